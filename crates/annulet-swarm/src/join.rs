//! Waiting for many tasks.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use annulet::JoinHandle;

/// Waits for all of them.
///
/// # Panics
/// As soon as one of them has panicked, with what it said.
pub(crate) async fn all(mut tasks: Vec<JoinHandle<()>>) {
    poll_fn(|cx| {
        tasks.retain_mut(|task| match Pin::new(task).poll(cx) {
            Poll::Pending => true,
            Poll::Ready(Ok(())) => false,
            Poll::Ready(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Poll::Ready(Err(error)) => panic!("{error}"),
        });
        if tasks.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
