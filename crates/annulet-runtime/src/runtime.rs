//! A runtime: its reactors on their threads.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use annulet_driver::limits::allow_current_thread;
use annulet_driver::{CounterSet, OpenError, Selection};

use crate::blocking;
use crate::inbox::{Inbox, SendError};
use crate::outside::Blocking;
use crate::process::Process;
use crate::reactor::{ExitReport, Reactor, ReactorId};
use crate::task::JoinHandle;

mod builder;
mod stepped;

pub use builder::Builder;
pub use stepped::Stepped;

/// How long a reactor that ends waits for the kernel to give back what is in flight.
const REAP_PATIENCE: Duration = Duration::from_secs(1);
/// How long a runtime that ends waits for blocking jobs that have started.
const BLOCKING_PATIENCE: Duration = Duration::from_secs(1);

/// Runs `future` on a runtime with default settings and returns its output.
///
/// # Errors
/// When no driver can be had, or one breaks.
pub fn run<F: Future>(future: F) -> Result<F::Output, RuntimeError> {
    Runtime::builder().build()?.block_on(future)
}

/// Why a runtime did not start, or stopped.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The driver asked for cannot be had.
    #[error(transparent)]
    Select(#[from] OpenError),
    /// It was to start within a runtime that is [stepped](Stepped), such as a simulated host, which it would block.
    #[error(
        "a runtime cannot be started inside one that is stepped: what is simulated runs on a host of the simulation"
    )]
    InsideStepped,
    /// A reactor's driver or thread could not be set up: descriptors, threads or locked memory ran out.
    #[error("starting reactor {reactor}")]
    Start {
        /// Which.
        reactor: ReactorId,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A driver broke while running. Every reactor was stopped, for half a server is worse than none.
    #[error("reactor {reactor} failed")]
    Driver {
        /// Which.
        reactor: ReactorId,
        /// The kernel's reason.
        source: io::Error,
    },
}

/// In words, with the causes: it is what `main() -> Result<(), RuntimeError>` prints.
impl fmt::Debug for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        error_chain(self, f)
    }
}

/// Prints an error and its causes in one line.
///
/// # Errors
/// The formatter's.
pub fn error_chain(error: &dyn std::error::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{error}")?;
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(f, ": {error}")?;
        cause = error.source();
    }
    Ok(())
}

/// Reactors ready to run: reactor 0 on the thread that built it, the others on threads of their own.
///
/// Several runtimes may live in one process, beside or after each other; one that ended leaves nothing behind.
pub struct Runtime {
    main: Reactor,
    handle: Handle,
    workers: Vec<Worker>,
    /// The processors this thread might use before it was pinned; empty when it was not.
    unpinned: Vec<usize>,
}

struct Worker {
    id: ReactorId,
    start: Option<mpsc::Sender<Handle>>,
    thread: Option<thread::JoinHandle<(ExitReport, Result<(), io::Error>)>>,
}

/// A runtime's shared side: reach its reactors, read its counters. Cheap to clone, `Send` and `Sync`.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

struct Shared {
    reactors: Vec<Remote>,
    blocking: Blocking,
    selection: Selection,
    stopping: AtomicBool,
    failure: OnceLock<(ReactorId, io::Error)>,
    process: Arc<Process>,
}

/// What other threads know of a reactor.
struct Remote {
    inbox: Arc<Inbox>,
    counters: Mutex<Vec<Arc<dyn CounterSet>>>,
}

impl Remote {
    fn of(reactor: &Reactor) -> Self {
        Self {
            inbox: reactor.inbox().clone(),
            counters: Mutex::new(vec![reactor.counters().clone(), reactor.driver_counters().clone()]),
        }
    }
}

impl Runtime {
    /// Settings first.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The shared side.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs `future` on reactor 0 and returns its output. When it is ready the runtime ends: tasks that are left are
    /// dropped, staged bytes leave, and every reactor gives back what it held. Leaks are logged.
    ///
    /// # Errors
    /// [`RuntimeError::Driver`] when a driver broke.
    ///
    /// # Panics
    /// When `future` does.
    pub fn block_on<F: Future>(self, future: F) -> Result<F::Output, RuntimeError> {
        let (output, reports) = self.block_on_reporting(future);
        for report in reports.iter().filter(|report| !report.is_clean()) {
            tracing::error!("leak: {report}");
        }
        output
    }

    /// [`block_on`](Self::block_on), with what each reactor still held at its end.
    ///
    /// # Panics
    /// When `future` does.
    pub fn block_on_reporting<F: Future>(
        mut self,
        future: F,
    ) -> (Result<F::Output, RuntimeError>, Vec<ExitReport>) {
        self.start_workers();
        let output = std::panic::catch_unwind(AssertUnwindSafe(|| self.drive(future)));
        self.handle.stop();
        // Jobs that have not started are dropped, and whoever waits for one on a reactor learns it before that ends.
        let still_running = self.handle.0.blocking.shut_down(BLOCKING_PATIENCE);
        if still_running > 0 {
            tracing::warn!(still_running, "blocking jobs outlive the runtime");
        }
        let mut reports = vec![self.main.shut_down(REAP_PATIENCE)];
        let mut failure = None;
        for worker in &mut self.workers {
            let thread = worker.thread.take().expect("joined once");
            match thread.join() {
                Ok((report, result)) => {
                    reports.push(report);
                    if let Err(source) = result {
                        failure.get_or_insert(RuntimeError::Driver { reactor: worker.id, source });
                    }
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        match output {
            Ok(Ok(output)) => (Ok(output), reports),
            Ok(Err(source)) => {
                let main = RuntimeError::Driver { reactor: ReactorId(0), source };
                (Err(failure.unwrap_or(main)), reports)
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    fn start_workers(&mut self) {
        self.main.set_handle(self.handle.clone());
        for worker in &mut self.workers {
            let start = worker.start.take().expect("started once");
            start.send(self.handle.clone()).expect("the thread waits for its start");
        }
    }

    fn drive<F: Future>(&self, future: F) -> io::Result<F::Output> {
        let mut future = pin!(future);
        let root = Arc::new(Root { woken: AtomicBool::new(true), inbox: self.main.inbox().clone() });
        let waker = Waker::from(root.clone());
        let mut cx = Context::from_waker(&waker);
        root.inbox.ring();
        loop {
            let mut output = None;
            self.main.turn_with(|| {
                if root.woken.swap(false, Ordering::AcqRel)
                    && let Poll::Ready(ready) = future.as_mut().poll(&mut cx)
                {
                    output = Some(ready);
                }
            })?;
            if let Some(output) = output {
                return Ok(output);
            }
            if let Some((reactor, error)) = self.handle.0.failure.get() {
                return Err(io::Error::new(error.kind(), format!("reactor {reactor} failed: {error}")));
            }
        }
    }
}

impl Drop for Runtime {
    /// Gives the thread its processors back. A runtime that was built and never ran ends its threads, and its reactor.
    fn drop(&mut self) {
        if !self.unpinned.is_empty() {
            // They were this thread's before; only a cpuset that shrank meanwhile refuses, and then it has what is left.
            let _ = allow_current_thread(&self.unpinned);
        }
        for worker in &mut self.workers {
            drop(worker.start.take());
            if let Some(thread) = worker.thread.take() {
                let _ = thread.join();
            }
        }
    }
}

/// The waker of the future given to `block_on`.
struct Root {
    woken: AtomicBool,
    inbox: Arc<Inbox>,
}

impl Wake for Root {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.inbox.ring();
        }
    }
}

/// The life of a reactor's thread after it opened its driver.
fn run_worker(reactor: &Reactor, start: &mpsc::Receiver<Handle>) -> (ExitReport, Result<(), io::Error>) {
    let mut result = Ok(());
    if let Ok(handle) = start.recv() {
        reactor.set_handle(handle.clone());
        let _all_or_none = StopWhenPanicking { reactor: reactor.id(), handle: handle.clone() };
        while !handle.0.stopping.load(Ordering::Acquire) {
            if let Err(error) = reactor.turn() {
                tracing::error!(reactor = reactor.id().0, %error, "the driver failed; stopping the runtime");
                let copy = io::Error::new(error.kind(), error.to_string());
                let _ = handle.0.failure.set((reactor.id(), copy));
                result = Err(error);
                handle.stop();
            }
        }
    }
    (reactor.shut_down(REAP_PATIENCE), result)
}

/// A reactor that dies of a bug takes the runtime with it: connections the kernel goes on handing to a dead reactor would
/// hang.
struct StopWhenPanicking {
    reactor: ReactorId,
    handle: Handle,
}

impl Drop for StopWhenPanicking {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.handle.0.failure.set((self.reactor, io::Error::other("a reactor panicked")));
            self.handle.stop();
        }
    }
}

impl Handle {
    /// The runtime this thread's reactor belongs to.
    ///
    /// # Panics
    /// Outside a reactor that belongs to a runtime.
    #[track_caller]
    pub fn current() -> Self {
        Reactor::current().handle().expect("this reactor belongs to no runtime")
    }

    /// Number of reactors.
    pub fn reactors(&self) -> u32 {
        self.0.reactors.len() as u32
    }

    /// The driver in use, and why.
    pub fn selection(&self) -> &Selection {
        &self.0.selection
    }

    /// State that a layer above keeps once per process, whatever runtimes there are in it: made at first use, and never
    /// dropped. A runtime that is [stepped](Stepped) counts as a process.
    pub fn shared<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        self.0.process.shared()
    }

    /// Runs `f` on a reactor, within one of its next turns, in the order sent. When it panics, nothing else is harmed.
    ///
    /// # Errors
    /// When that reactor's inbox is full (try again), or it has ended.
    ///
    /// # Panics
    /// When there is no such reactor.
    pub fn run_on(
        &self,
        reactor: ReactorId,
        f: impl FnOnce(&Reactor) + Send + 'static,
    ) -> Result<(), SendError> {
        self.0.reactors[reactor.0 as usize].inbox.push_message(Box::new(f))
    }

    /// Calls `visit` with every counter of every reactor: its own, its driver's, and those of the layers above.
    pub fn visit_counters(&self, mut visit: impl FnMut(ReactorId, &'static str, u64)) {
        for (id, remote) in (0..).zip(&self.0.reactors) {
            let mut visit = |name, value| visit(ReactorId(id), name, value);
            for counters in remote.counters.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                counters.visit(&mut visit);
            }
        }
        // The pool is one for all reactors; it is shown with the first.
        let blocking = self.0.blocking.stats();
        for (name, value) in [
            ("blocking_threads", blocking.threads as u64),
            ("blocking_running", blocking.running as u64),
            ("blocking_queued", blocking.queued as u64),
            ("blocking_completed", blocking.completed),
            ("blocking_panicked", blocking.panicked),
            ("blocking_discarded", blocking.discarded),
            ("blocking_refused", blocking.refused),
            ("blocking_thread_start_failures", blocking.thread_start_failures),
        ] {
            visit(ReactorId(0), name, value);
        }
    }

    pub(crate) fn publish_counters(&self, reactor: ReactorId, counters: Arc<dyn CounterSet>) {
        let sets = &self.0.reactors[reactor.0 as usize].counters;
        sets.lock().unwrap_or_else(PoisonError::into_inner).push(counters);
    }

    /// True for the handle of a [`Stepped`] runtime.
    fn is_stepped(&self) -> bool {
        matches!(self.0.blocking, Blocking::Outside(_))
    }

    fn stop(&self) {
        self.0.stopping.store(true, Ordering::Release);
        for remote in &self.0.reactors {
            remote.inbox.ring();
        }
    }

    /// [`spawn_blocking`] on this runtime's pool.
    pub fn spawn_blocking<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        blocking::task::spawn(&self.0.blocking, f)
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("reactors", &self.reactors()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("reactors", &self.handle.reactors()).finish_non_exhaustive()
    }
}

/// Runs `f` on a thread where blocking is allowed, and gives its result.
///
/// The pool starts threads as needed, up to 64, and queues up to 1024 jobs; beyond that the handle gives a refused
/// [`JoinError`](crate::JoinError) at once. A job that has started cannot be aborted. A runtime that ends drops jobs
/// that have not started and waits a second for those that have.
///
/// # Panics
/// Outside a runtime.
#[track_caller]
pub fn spawn_blocking<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Handle::current().spawn_blocking(f)
}

/// Resolves `host:port` to addresses, in the resolver's order. Literal addresses are parsed on the spot; names go to the
/// system's resolver on the blocking pool.
///
/// # Errors
/// `InvalidInput` without a port; otherwise the resolver's error, or `ResourceBusy` when the pool is full.
///
/// # Cancel safety
/// Dropping it leaves the lookup to finish unseen.
pub async fn resolve(host_port: &str) -> io::Result<Vec<SocketAddr>> {
    if let Some(address) = blocking::parse_literal(host_port) {
        return Ok(vec![address]);
    }
    let owned = host_port.to_owned();
    let handle = Handle::current();
    let resolver = handle.0.blocking.resolver();
    match handle.spawn_blocking(move || blocking::resolve(&owned, resolver)).await {
        Ok(result) => result,
        Err(error) => Err(io::Error::new(io::ErrorKind::ResourceBusy, error.to_string())),
    }
}
