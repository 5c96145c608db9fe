//! Ticks at a fixed period.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Instant, Sleep, now, sleep_until};

/// What becomes of ticks that were due while nobody looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissedTicks {
    /// All come, one after the other at once, until the count is right again.
    #[default]
    Burst,
    /// One comes, and the next a full period after it: the rhythm moves.
    Delay,
    /// One comes, and the next at the next multiple of the period: the rhythm stays.
    Skip,
}

/// Ticks every `period`, the first at once.
///
/// # Panics
/// When `period` is zero, or outside a reactor.
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(now(), period)
}

/// Ticks every `period`, the first at `start`.
///
/// # Panics
/// When `period` is zero.
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval's period must not be zero");
    Interval { next: sleep_until(start), period, missed: MissedTicks::default() }
}

/// A row of ticks; see [`interval`].
#[derive(Debug)]
pub struct Interval {
    next: Sleep,
    period: Duration,
    missed: MissedTicks,
}

impl Interval {
    /// Chooses what becomes of missed ticks.
    #[must_use]
    pub fn missed_ticks(mut self, missed: MissedTicks) -> Self {
        self.missed = missed;
        self
    }

    /// The period.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Waits for the next tick and returns when it was due.
    ///
    /// # Cancel safety
    /// A tick that was not returned comes at the next call.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        std::task::ready!(std::future::Future::poll(Pin::new(&mut self.next), cx));
        let due = self.next.deadline();
        let next = following(due, now(), self.period, self.missed);
        self.next.reset(next);
        Poll::Ready(due)
    }
}

/// When the tick after the one due at `due`, seen at `now`, comes.
fn following(due: Instant, now: Instant, period: Duration, missed: MissedTicks) -> Instant {
    let next = due + period;
    if now < next {
        return next;
    }
    match missed {
        MissedTicks::Burst => next,
        MissedTicks::Delay => now + period,
        MissedTicks::Skip => {
            let late = (now - due).as_nanos();
            let into_period = u64::try_from(late % period.as_nanos()).expect("less than a period");
            now + (period - Duration::from_nanos(into_period))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Instant {
        Instant::from_nanos(milliseconds * 1_000_000)
    }

    #[test]
    fn the_tick_after_a_late_one_follows_the_policy() {
        let period = Duration::from_millis(10);
        for (now, missed, next) in [
            (105, MissedTicks::Burst, 110),
            (105, MissedTicks::Delay, 110),
            (105, MissedTicks::Skip, 110),
            (137, MissedTicks::Burst, 110),
            (137, MissedTicks::Delay, 147),
            (137, MissedTicks::Skip, 140),
            (130, MissedTicks::Skip, 140),
        ] {
            assert_eq!(following(at(100), at(now), period, missed), at(next), "{missed:?} seen at {now}");
        }
    }
}
