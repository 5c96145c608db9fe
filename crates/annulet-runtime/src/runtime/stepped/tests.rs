use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use annulet_driver::scripted::{Script, ScriptedDriver};

use super::*;
use crate::outside::Refused;
use crate::time::sleep;
use crate::{JoinError, Runtime, RuntimeError, resolve, spawn_blocking, spawn_local};

/// Jobs at most that wait to be run.
const JOBS_MAX: usize = 2;

/// Keeps jobs until the test runs them.
#[derive(Default)]
struct Jobs(Mutex<Vec<Box<dyn FnOnce() + Send>>>);

impl Jobs {
    fn take(&self) -> Vec<Box<dyn FnOnce() + Send>> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Outside for Jobs {
    fn run_blocking(&self, job: Box<dyn FnOnce() + Send>) -> Result<(), Refused> {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.len() == JOBS_MAX {
            return Err(Refused);
        }
        jobs.push(job);
        Ok(())
    }

    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        assert!(Reactor::try_current().is_none(), "within a turn");
        match host {
            "one" => Ok(vec![([10, 0, 0, 1], port).into()]),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn close(&self) {
        drop(self.take());
    }
}

/// A runtime, and what drives it.
struct Host {
    runtime: Stepped,
    scripts: Vec<Script>,
    jobs: Arc<Jobs>,
}

impl Host {
    fn new(reactors: u32) -> Self {
        let (drivers, scripts) = (0..reactors)
            .map(|_| {
                let (driver, script) = ScriptedDriver::new();
                (Box::new(driver.returning()) as Box<dyn Driver>, script)
            })
            .unzip();
        let jobs: Arc<Jobs> = Arc::default();
        Self { runtime: Stepped::new(drivers, Park::Block, jobs.clone()), scripts, jobs }
    }

    /// Steps until all reactors are asleep and no job is left; nothing must look wrong meanwhile.
    fn settle(&self) {
        let ids = || (0..self.scripts.len() as u32).map(ReactorId);
        loop {
            let ran = ids().filter(|id| self.runtime.step(*id).expect("step") == Step::Ran).count();
            let mut audit = Audit::default();
            self.runtime.audit(&mut audit);
            assert!(audit.violations.is_empty(), "{audit:?}");
            let jobs = self.jobs.take();
            if ran == 0 && jobs.is_empty() {
                return;
            }
            jobs.into_iter().for_each(|job| job());
        }
    }

    /// What the main program comes to.
    fn run<T: 'static>(&self, main: impl Future<Output = T> + 'static) -> T {
        let output: Rc<Cell<Option<T>>> = Rc::default();
        let put = output.clone();
        let task = self.runtime.spawn(async move { put.set(Some(main.await)) });
        self.settle();
        assert!(task.is_finished());
        output.take().expect("it has ended")
    }

    fn end(self) {
        let order: Vec<_> = (0..self.scripts.len() as u32).map(ReactorId).collect();
        for report in self.runtime.end(&order, Duration::ZERO) {
            assert!(report.is_clean(), "{report}");
        }
    }
}

#[test]
fn reactors_on_one_thread_reach_each_other_as_on_several() {
    let host = Host::new(2);
    host.settle();
    let ids = host.run(async {
        let latch: Arc<Mutex<(Option<ReactorId>, Option<std::task::Waker>)>> = Arc::default();
        let there = latch.clone();
        let on_another = move |reactor: &Reactor| {
            reactor.spawn_detached(async move {
                let waker = {
                    let mut state = there.lock().expect("nobody panics");
                    state.0 = Some(Reactor::current().id());
                    state.1.take()
                };
                waker.expect("waited for").wake();
            });
        };
        Handle::current().run_on(ReactorId(1), on_another).expect("room");
        let other = poll_fn(|cx| {
            let mut state = latch.lock().expect("nobody panics");
            state.1 = Some(cx.waker().clone());
            state.0.map_or(Poll::Pending, Poll::Ready)
        });
        (Reactor::current().id(), other.await)
    });
    assert_eq!(ids, (ReactorId(0), ReactorId(1)));
    host.end();
}

#[test]
fn a_program_wakes_the_reactor_it_is_given_to() {
    let host = Host::new(1);
    host.settle();
    let done = host.runtime.spawn(async { sleep(Duration::from_secs(1)).await });
    host.settle();
    assert!(!done.is_finished());
    host.scripts[0].advance(Duration::from_secs(1));
    host.settle();
    assert!(done.is_finished());
    host.end();
}

#[test]
fn a_stepped_runtime_is_a_process_of_its_own() {
    #[derive(Default)]
    struct Visits(AtomicU32);
    let visit = || Reactor::current().shared::<Visits>().0.fetch_add(1, Ordering::Relaxed);
    let hosts = [Host::new(1), Host::new(1)];
    for host in &hosts {
        assert_eq!(host.run(async move { visit() }), 0);
        assert_eq!(host.run(async move { visit() }), 1);
    }
    assert!(Process::this().shared::<Visits>().0.load(Ordering::Relaxed) == 0);
    hosts.into_iter().for_each(Host::end);
}

#[test]
fn what_blocks_is_done_outside() {
    let host = Host::new(1);
    let (sum, refused, found, nowhere, literal) = host.run(async {
        let first = spawn_blocking(|| 3);
        let second = spawn_blocking(|| 4);
        let refused = spawn_blocking(|| 5).await.expect_err("two are waiting");
        let sum = first.await.expect("run") + second.await.expect("run");
        (sum, refused, resolve("one:80").await, resolve("two:80").await, resolve("10.0.0.9:1").await)
    });
    assert_eq!(sum, 7);
    assert!(refused.is_refused());
    assert_eq!(found.expect("an address"), ["10.0.0.1:80".parse().expect("address")]);
    assert_eq!(nowhere.expect_err("no such host").kind(), io::ErrorKind::NotFound);
    assert_eq!(literal.expect("no look-up"), ["10.0.0.9:1".parse().expect("address")]);
    host.runtime.handle().visit_counters(|_, name, value| {
        assert!(value == 0 || !name.starts_with("blocking"), "{name} {value}");
    });
    host.end();
}

#[test]
fn a_runtime_that_blocks_is_refused_inside() {
    let host = Host::new(1);
    let error = host.run(async { Runtime::builder().build().expect_err("refused") });
    assert!(matches!(error, RuntimeError::InsideStepped));
    assert!(error.to_string().contains("runs on a host of the simulation"), "{error}");
    host.end();
    assert!(Runtime::builder().reactors(1).build().is_ok(), "and outside it is not");
}

#[test]
fn a_step_within_a_turn_is_a_mistake() {
    let host = Host::new(1);
    let inner = Rc::new(Host::new(1));
    let stepped = inner.clone();
    let outcome = host.run(async move { spawn_local(async move { stepped.settle() }).await });
    let panic = outcome.map_err(JoinError::into_panic).expect_err("panicked");
    let text = panic.downcast_ref::<&str>().expect("a text");
    assert!(text.contains("in the middle of another's turn"), "{text}");
    inner.settle();
    host.end();
}

#[test]
fn the_end_drops_jobs_then_tasks_reactor_by_reactor() {
    struct Noted(Arc<Mutex<Vec<&'static str>>>, &'static str);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.lock().expect("nobody panics").push(self.1);
        }
    }
    let host = Host::new(2);
    let notes: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let noted = |name| Noted(notes.clone(), name);
    let seen: Rc<RefCell<Option<bool>>> = Rc::default();
    let (here, there, see) = (noted("task of 0"), noted("task of 1"), seen.clone());
    host.runtime.spawn(async move {
        let _here = here;
        let on_another = |reactor: &Reactor| {
            reactor.spawn_detached(async move {
                let _there = there;
                pending::<()>().await;
            });
        };
        Handle::current().run_on(ReactorId(1), on_another).expect("room");
        see.replace(Some(true));
        pending::<()>().await;
    });
    host.settle();
    assert_eq!(*seen.borrow(), Some(true));
    let job = noted("job");
    host.runtime.handle().spawn_blocking(move || drop(job));
    let reports = host.runtime.end(&[ReactorId(1), ReactorId(0)], Duration::ZERO);
    assert_eq!(reports.iter().map(|report| report.reactor.0).collect::<Vec<_>>(), [1, 0]);
    assert!(reports.iter().all(ExitReport::is_clean));
    assert_eq!(*notes.lock().expect("nobody panics"), ["job", "task of 1", "task of 0"]);
}
