//! Sleeping, deadlines and intervals, on the reactor's timer wheel.
//!
//! The wheel ticks in milliseconds: nothing fires early, and a deadline is met within a millisecond plus whatever
//! the reactor is busy with. A wait counts from the start of the current turn, for time is read once per turn: after 50 ms
//! of computing, a sleep of 100 ms lasts 50. Times are the driver's: in a simulation they pass as the simulation says.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::reactor::{Reactor, TimerKey};

pub use annulet_driver::Instant;
pub use interval::{Interval, MissedTicks, interval, interval_at};
pub use std::time::Duration;

mod interval;

/// The time of the current turn.
///
/// # Panics
/// Outside a reactor.
#[track_caller]
pub fn now() -> Instant {
    Reactor::current().now()
}

/// Waits for `duration` from now. Zero is ready at once.
///
/// # Panics
/// Outside a reactor, here or when polled.
///
/// # Cancel safety
/// Dropping it disarms the timer.
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(now() + duration)
}

/// Waits until `deadline`.
///
/// # Cancel safety
/// Dropping it disarms the timer.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline, armed: None }
}

/// A wait for a deadline; see [`sleep`].
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    deadline: Instant,
    armed: Option<Armed>,
}

struct Armed {
    reactor: Reactor,
    key: TimerKey,
    waker: std::task::Waker,
}

impl Sleep {
    /// When it ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Moves the end; the timer is armed anew at the next poll.
    pub fn reset(&mut self, deadline: Instant) {
        self.disarm();
        self.deadline = deadline;
    }

    fn disarm(&mut self) {
        if let Some(armed) = self.armed.take() {
            armed.reactor.cancel_timer(armed.key);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let reactor = Reactor::current();
        if reactor.now() >= self.deadline {
            // Time stands still within a turn: a loop of sleeps that are over would never let it pass.
            std::task::ready!(reactor.poll_budget(cx));
            self.disarm();
            return Poll::Ready(());
        }
        if self.armed.as_ref().is_some_and(|armed| armed.waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        self.disarm();
        let waker = cx.waker().clone();
        let key = reactor.arm_waker(self.deadline, waker.clone());
        self.armed = Some(Armed { reactor, key, waker });
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl std::fmt::Debug for Sleep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// The time was up first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time was up")]
pub struct Elapsed;

/// Gives `future` at most `duration`. The future is polled before the clock, so what is ready counts even when late.
///
/// # Errors
/// [`Elapsed`] when the time was up first; the future is then dropped. With Annulet's own futures nothing is lost by
/// that: what had arrived stays with the connection or listener.
///
/// # Panics
/// Outside a reactor.
#[track_caller]
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    timeout_at(now() + duration, future)
}

/// Gives `future` time until `deadline`; see [`timeout`].
///
/// # Errors
/// [`Elapsed`] when the time was up first.
pub fn timeout_at<F: Future>(deadline: Instant, future: F) -> Timeout<F> {
    Timeout { future, sleep: sleep_until(deadline) }
}

pin_project_lite::pin_project! {
    /// A future with a deadline; see [`timeout`].
    #[must_use = "futures do nothing unless awaited"]
    #[derive(Debug)]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        #[pin]
        sleep: Sleep,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        this.sleep.poll(cx).map(|()| Err(Elapsed))
    }
}
