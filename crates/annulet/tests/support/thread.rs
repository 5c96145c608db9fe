//! Threads that tasks can wait for.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// Small, for there may be hundreds.
const STACK: usize = 256 * 1024;

/// A thread's result. Awaiting it passes a panic on.
pub(crate) struct Thread<T>(Arc<Mutex<Slot<T>>>);

struct Slot<T> {
    result: Option<std::thread::Result<T>>,
    waker: Option<Waker>,
}

/// Runs `f` on a thread of its own; unlike `spawn_blocking` as many as are asked for.
pub(crate) fn thread<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Thread<T> {
    let slot = Arc::new(Mutex::new(Slot { result: None, waker: None }));
    let theirs = slot.clone();
    let run = move || {
        let result = catch_unwind(AssertUnwindSafe(f));
        let mut slot = theirs.lock().expect("slot");
        slot.result = Some(result);
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
    };
    std::thread::Builder::new().stack_size(STACK).spawn(run).expect("a thread");
    Thread(slot)
}

impl<T> Future for Thread<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut slot = self.0.lock().expect("slot");
        match slot.result.take() {
            Some(Ok(output)) => Poll::Ready(output),
            Some(Err(panic)) => resume_unwind(panic),
            None => {
                slot.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
