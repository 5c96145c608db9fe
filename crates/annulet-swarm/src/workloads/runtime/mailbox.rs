//! A queue between tasks of different reactors.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// Cloning gives another handle on it.
pub(super) struct Mailbox<T>(Arc<Mutex<Inner<T>>>);

struct Inner<T> {
    letters: VecDeque<T>,
    waiting: Option<Waker>,
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Mailbox<T> {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Inner { letters: VecDeque::new(), waiting: None })))
    }

    pub(super) fn send(&self, letter: T) {
        let waiting = {
            let mut inner = self.lock();
            inner.letters.push_back(letter);
            inner.waiting.take()
        };
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// The next one. For one task at a time.
    pub(super) async fn recv(&self) -> T {
        poll_fn(|cx| {
            let mut inner = self.lock();
            match inner.letters.pop_front() {
                Some(letter) => Poll::Ready(letter),
                None => {
                    inner.waiting = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// The next one, if there is one.
    pub(super) fn try_recv(&self) -> Option<T> {
        self.lock().letters.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
