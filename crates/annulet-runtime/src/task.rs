//! Local tasks.

use std::cell::Cell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::context;
use crate::reactor::{Core, Reactor};

pub mod budget;
pub(crate) mod join;

pub use join::{JoinError, JoinHandle};

/// Spawns a task on the current reactor. The future need not be `Send`: it never leaves this thread.
///
/// The task runs whether or not the handle is kept; dropping the handle detaches it. A panic inside is caught, becomes a
/// [`JoinError`], and touches nothing else. A runtime that ends drops the tasks that are left.
///
/// # Panics
/// Outside a reactor.
///
/// ```
/// annulet_runtime::run(async {
///     let answer = annulet_runtime::spawn_local(async { 6 * 7 });
///     assert_eq!(answer.await.unwrap(), 42);
/// }).unwrap();
/// ```
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    Reactor::current().spawn_local(future)
}

/// Lets every other ready task run first.
///
/// # Cancel safety
/// Dropping it does nothing.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Reactor {
    /// [`spawn_local`] on this reactor.
    pub fn spawn_local<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let aborted = Rc::new(Cell::new(false));
        let core = self.core().clone();
        let index = core.tasks.borrow().next();
        let tracked = Tracked {
            future: Some(future),
            membership: Membership { core, index },
            aborted: aborted.clone(),
        };
        let home = self.inbox().clone();
        let (runnable, task) =
            async_task::spawn_local(tracked, move |runnable| context::schedule(&home, runnable));
        let waker = runnable.waker();
        self.start(index, waker.clone());
        runnable.schedule();
        JoinHandle::local(task.fallible(), aborted, waker)
    }

    /// Spawns a task nobody waits for: [`spawn_local`] without the cost of a handle. A panic is counted and its message
    /// goes to the panic hook, as ever.
    pub fn spawn_detached<F>(&self, future: F)
    where
        F: Future<Output = ()> + 'static,
    {
        let core = self.core().clone();
        let index = core.tasks.borrow().next();
        let detached = Detached { future, membership: Membership { core, index } };
        let home = self.inbox().clone();
        let (runnable, task) =
            async_task::spawn_local(detached, move |runnable| context::schedule(&home, runnable));
        self.start(index, runnable.waker());
        runnable.schedule();
        task.detach();
    }

    fn start(&self, index: u32, waker: Waker) {
        let core = self.core();
        core.tasks.borrow_mut().insert(index, waker);
        core.counters().tasks_spawned.increment();
        core.counters().tasks_live.add(1);
    }
}

/// Every live task's waker, so that a reactor that ends can drop the futures of tasks that wait.
#[derive(Default)]
pub(crate) struct Registry(slab::Slab<Waker>);

impl Registry {
    /// The place that the next task gets.
    fn next(&self) -> u32 {
        u32::try_from(self.0.vacant_key()).expect("fewer than 2^32 tasks")
    }

    /// Enters a task, at the place that [`next`](Self::next) said.
    fn insert(&mut self, index: u32, waker: Waker) {
        let place = self.0.insert(waker);
        debug_assert_eq!(place, index as usize, "a task was entered while another was made");
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The wakers of all tasks.
    pub(crate) fn cancel_all(&mut self) -> Vec<Waker> {
        self.0.iter().map(|(_, waker)| waker.clone()).collect()
    }
}

/// A task's place in the registry, given up when its future goes.
struct Membership {
    core: Rc<Core>,
    index: u32,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let waker = self.core.tasks.borrow_mut().0.remove(self.index as usize);
        drop(waker);
        self.core.counters().tasks_live.subtract(1);
    }
}

pin_project_lite::pin_project! {
    /// A future whose end and panics are noticed and which can be aborted.
    struct Tracked<F> {
        #[pin]
        future: Option<F>,
        membership: Membership,
        aborted: Rc<Cell<bool>>,
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = Result<F::Output, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let counters = this.membership.core.counters();
        if this.aborted.get() {
            let dropped = std::panic::catch_unwind(AssertUnwindSafe(|| this.future.set(None)));
            return Poll::Ready(Err(match dropped {
                Ok(()) => JoinError::cancelled(),
                Err(panic) => JoinError::panicked(panic),
            }));
        }
        let future = this.future.as_mut().as_pin_mut().expect("polled after its end");
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| future.poll(cx)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => {
                counters.tasks_panicked.increment();
                Poll::Ready(Err(JoinError::panicked(panic)))
            }
        }
    }
}

pin_project_lite::pin_project! {
    struct Detached<F> {
        #[pin]
        future: F,
        membership: Membership,
    }
}

impl<F: Future<Output = ()>> Future for Detached<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        std::panic::catch_unwind(AssertUnwindSafe(|| this.future.poll(cx))).unwrap_or_else(|_| {
            this.membership.core.counters().tasks_panicked.increment();
            Poll::Ready(())
        })
    }
}
