//! A blocking job as something a task can wait for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::outside::Blocking;
use crate::task::join::BlockingResult;
use crate::task::{JoinError, JoinHandle};

/// Runs `f` where it may block; a refusal shows in the handle.
pub(crate) fn spawn<F, T>(blocking: &Blocking, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let result = BlockingResult::new();
    let delivery = Delivery(Some(result.clone()));
    let job = Box::new(move || {
        if delivery.is_aborted() {
            return;
        }
        let output = catch_unwind(AssertUnwindSafe(f)).map_err(JoinError::panicked);
        delivery.deliver(output);
    });
    if let Err(error) = blocking.spawn(job) {
        tracing::debug!(%error, "blocking job refused");
        result.complete(Err(JoinError::refused()));
    }
    JoinHandle::blocking(result)
}

/// Delivers a result, or a cancellation when it is dropped without one.
struct Delivery<T>(Option<Arc<BlockingResult<T>>>);

impl<T> Delivery<T> {
    fn is_aborted(&self) -> bool {
        self.0.as_ref().is_some_and(|result| result.is_aborted())
    }

    fn deliver(mut self, output: Result<T, JoinError>) {
        if let Some(result) = self.0.take() {
            result.complete(output);
        }
    }
}

impl<T> Drop for Delivery<T> {
    fn drop(&mut self) {
        if let Some(result) = self.0.take() {
            result.complete(Err(JoinError::cancelled()));
        }
    }
}
