//! Waiting for something to happen, in tasks and on threads.

use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use annulet::time::sleep;

use super::PATIENCE;

/// Closed until somebody opens it, then open for good. Clones are the same gate.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Default)]
struct State {
    open: bool,
    wakers: Vec<Waker>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn open(&self) {
        let mut state = self.0.state.lock().expect("gate");
        state.open = true;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.0.opened.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.state.lock().expect("gate").open
    }

    /// Waits in a task.
    pub(crate) async fn passed(&self) {
        poll_fn(|cx| {
            let mut state = self.0.state.lock().expect("gate");
            if state.open {
                return Poll::Ready(());
            }
            state.wakers.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits on a thread.
    pub(crate) fn block(&self) {
        let state = self.0.state.lock().expect("gate");
        let wait = self.0.opened.wait_timeout_while(state, PATIENCE, |state| !state.open);
        let (_held, result) = wait.expect("gate");
        assert!(!result.timed_out(), "nobody opens the gate");
    }
}

/// Looks every millisecond until `condition` holds: for what can only be seen from outside, such as counters.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let looks = PATIENCE.as_millis() / 2;
    for _ in 0..looks {
        if condition() {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("never came: {what}");
}
