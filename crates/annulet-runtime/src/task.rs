//! Local tasks.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::reactor::Reactor;

pub mod budget;
pub(crate) mod join;
#[allow(unsafe_code)]
pub(crate) mod raw;
mod shared;

use join::LocalResult;
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
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn spawn_local<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let result = Rc::new(LocalResult::new());
        let waker = raw::spawn_woken(self.core(), Tracked { future: Some(future), result: result.clone() });
        JoinHandle::local(result, waker)
    }

    /// Spawns a task nobody waits for: [`spawn_local`] without the cost of a handle. A panic is counted and its message
    /// goes to the panic hook, as ever.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn spawn_detached<F>(&self, future: F)
    where
        F: Future<Output = ()> + 'static,
    {
        raw::spawn(self.core(), future);
    }
}

pin_project_lite::pin_project! {
    /// A future that somebody waits for, and may abort.
    struct Tracked<F: Future> {
        #[pin]
        future: Option<F>,
        result: Rc<LocalResult<F::Output>>,
    }

    impl<F: Future> PinnedDrop for Tracked<F> {
        fn drop(this: Pin<&mut Self>) {
            // No effect after an output.
            this.project().result.complete(Err(JoinError::cancelled()));
        }
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| {
            if this.result.is_aborted() {
                this.future.set(None);
                return Poll::Ready(Err(JoinError::cancelled()));
            }
            let future = this.future.as_mut().as_pin_mut().expect("not polled after its end");
            future.poll(cx).map(Ok)
        }));
        let Poll::Ready(output) = polled.unwrap_or_else(|panic| {
            Reactor::current().core().counters().tasks_panicked.increment();
            Poll::Ready(Err(JoinError::panicked(panic)))
        }) else {
            return Poll::Pending;
        };
        this.result.complete(output);
        Poll::Ready(())
    }
}
