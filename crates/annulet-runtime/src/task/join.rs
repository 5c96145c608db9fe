//! Waiting for a task.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Waits for a task's output. Semantics are tokio's: dropping it detaches the task.
///
/// # Panics
/// When it is polled again after it gave the output.
///
/// # Cancel safety
/// Awaiting `&mut handle` and dropping that future loses nothing.
pub struct JoinHandle<T>(Kind<T>);

enum Kind<T> {
    Local { result: Rc<LocalResult<T>>, task: Waker },
    Blocking(Arc<BlockingResult<T>>),
}

impl<T> JoinHandle<T> {
    pub(super) fn local(result: Rc<LocalResult<T>>, task: Waker) -> Self {
        Self(Kind::Local { result, task })
    }

    pub(crate) fn blocking(result: Arc<BlockingResult<T>>) -> Self {
        Self(Kind::Blocking(result))
    }

    /// Asks the task to end: its future is dropped when the task would run next, and the handle gives a cancelled
    /// [`JoinError`]. No effect on a task that has ended, nor on a blocking job that has started.
    pub fn abort(&self) {
        match &self.0 {
            Kind::Local { result, task } => {
                result.aborted.set(true);
                task.wake_by_ref();
            }
            Kind::Blocking(result) => result.abort(),
        }
    }

    /// True when the output is there or was taken, or the task has been dropped.
    pub fn is_finished(&self) -> bool {
        match &self.0 {
            Kind::Local { result, .. } => result.is_complete(),
            Kind::Blocking(result) => !matches!(result.lock().output, Output::Awaited),
        }
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.get_mut().0 {
            Kind::Local { result, .. } => result.poll(cx),
            Kind::Blocking(result) => result.poll(cx),
        }
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        // Whoever waited by way of this handle waits no more.
        let waiting = match &self.0 {
            Kind::Local { result, .. } => result.waiting.take(),
            Kind::Blocking(result) => result.lock().waiting.take(),
        };
        drop(waiting);
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

impl<T> Unpin for JoinHandle<T> {}

/// A task's way back to the one that waits for it.
pub(super) struct LocalResult<T> {
    output: Cell<Output<T>>,
    aborted: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

enum Output<T> {
    Awaited,
    There(Result<T, JoinError>),
    Taken,
}

impl<T> LocalResult<T> {
    pub(super) fn new() -> Self {
        Self { output: Cell::new(Output::Awaited), aborted: Cell::new(false), waiting: RefCell::default() }
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.aborted.get()
    }

    /// Only the first output counts.
    pub(super) fn complete(&self, output: Result<T, JoinError>) {
        if self.is_complete() {
            return;
        }
        self.output.set(Output::There(output));
        let waiting = self.waiting.take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    fn is_complete(&self) -> bool {
        let output = self.output.replace(Output::Taken);
        let is_complete = !matches!(output, Output::Awaited);
        self.output.set(output);
        is_complete
    }

    /// # Panics
    /// When the output was taken before.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        match self.output.replace(Output::Taken) {
            Output::There(output) => Poll::Ready(output),
            Output::Awaited => {
                self.output.set(Output::Awaited);
                // Wakers are foreign code: none of it runs while something is borrowed.
                let replaced = self.waiting.replace(Some(cx.waker().clone()));
                drop(replaced);
                Poll::Pending
            }
            Output::Taken => panic!("{AWAITED_ONCE}"),
        }
    }
}

const AWAITED_ONCE: &str = "a task is awaited once";

/// A blocking job's way back to the task that waits for it.
pub(crate) struct BlockingResult<T>(Mutex<BlockingState<T>>);

struct BlockingState<T> {
    output: Output<T>,
    aborted: bool,
    waiting: Option<Waker>,
}

impl<T> BlockingResult<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(BlockingState { output: Output::Awaited, aborted: false, waiting: None })))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BlockingState<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when the job should not start any more.
    pub(crate) fn is_aborted(&self) -> bool {
        self.lock().aborted
    }

    fn abort(&self) {
        self.lock().aborted = true;
    }

    pub(crate) fn complete(&self, output: Result<T, JoinError>) {
        let waiting = {
            let mut state = self.lock();
            state.output = Output::There(output);
            state.waiting.take()
        };
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// # Panics
    /// When the output was taken before.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        // Wakers are foreign code: none of it runs while the lock is held.
        let waiting = cx.waker().clone();
        let replaced = {
            let mut state = self.lock();
            match std::mem::replace(&mut state.output, Output::Taken) {
                Output::There(output) => return Poll::Ready(output),
                Output::Awaited => state.output = Output::Awaited,
                Output::Taken => panic!("{AWAITED_ONCE}"),
            }
            state.waiting.replace(waiting)
        };
        drop(replaced);
        Poll::Pending
    }
}

/// Why a task has no output.
pub struct JoinError(Cause);

enum Cause {
    Cancelled,
    Refused,
    Panic(Box<dyn Any + Send>),
}

impl JoinError {
    pub(crate) fn cancelled() -> Self {
        Self(Cause::Cancelled)
    }

    pub(crate) fn refused() -> Self {
        Self(Cause::Refused)
    }

    pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> Self {
        Self(Cause::Panic(panic))
    }

    /// The task was aborted, or dropped with its runtime.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.0, Cause::Cancelled)
    }

    /// A blocking job found the pool's queue full, or the pool shut down: it did not run, and may be tried again later.
    pub fn is_refused(&self) -> bool {
        matches!(self.0, Cause::Refused)
    }

    /// The task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.0, Cause::Panic(_))
    }

    /// What the task panicked with, to pass to [`std::panic::resume_unwind`].
    ///
    /// # Panics
    /// When the task did not panic.
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        match self.0 {
            Cause::Panic(panic) => panic,
            Cause::Cancelled | Cause::Refused => panic!("the task did not panic"),
        }
    }
}

/// The text of a panic, when it has one.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Cancelled => f.write_str("JoinError::Cancelled"),
            Cause::Refused => f.write_str("JoinError::Refused"),
            Cause::Panic(panic) => write!(f, "JoinError::Panic({:?})", message(&**panic)),
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Cancelled => f.write_str("the task was cancelled"),
            Cause::Refused => f.write_str("the blocking pool takes no more jobs now"),
            Cause::Panic(panic) => write!(f, "the task panicked: {}", message(&**panic)),
        }
    }
}

impl std::error::Error for JoinError {}
