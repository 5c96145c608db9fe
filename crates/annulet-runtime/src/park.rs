//! How a reactor passes the time when it has nothing to do.
//!
//! Sleeping is expensive where waking is: on a virtual machine a cross-core wake-up costs its sender 6 µs and comes
//! 29 µs later. A reactor whose next completion is certain to come within microseconds does better to watch its
//! ring, which costs no system call. But a watch that ends in sleep was wasted, so watching must be earned.
//!
//! What a watch saves in time is felt by the one peer that was waited for; what it costs in CPU is taken from all. A
//! reactor with one connection may therefore watch for longer than a sleep costs, one with many may not: there a
//! longer watch would buy a little throughput for the processor's idle time.

use std::time::Duration;

/// What a reactor does before it sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Park {
    /// Watches for at most 50 µs a time (with many connections: 10 µs, which is what a sleep would cost), and only
    /// while watching keeps paying: one wasted watch ends it, for longer each time, unless a long row of good ones
    /// came before. The default.
    #[default]
    Adaptive,
    /// Sleeps at once.
    Block,
    /// Always watches this long first. For machines that have a core to spare per reactor.
    Spin(Duration),
}

/// Longest single watch of [`Park::Adaptive`].
const WATCH_MAX: Duration = Duration::from_micros(50);
/// Divided by the number of sources: how long they may make each other's reactor watch.
const WATCH_SHARED: Duration = Duration::from_micros(200);
/// CPU time a sleep costs, the sleeper's own and that of whoever wakes it: a watch may always take as long.
const SLEEP_COST: Duration = Duration::from_micros(10);
/// Good watches in a row after which a single wasted one is forgiven quickly.
const STREAK_TRUSTED: u32 = 32;
/// Parks slept through after a wasted watch: the first time, at most, and when forgiven.
const PENALTY_FIRST: u32 = 16;
const PENALTY_MAX: u32 = 4096;
const PENALTY_FORGIVEN: u32 = 4;

/// Decides, park by park, whether to watch.
#[derive(Debug)]
pub(crate) struct Parker {
    policy: Park,
    streak: u32,
    penalty: u32,
    parks_to_sleep: u32,
}

impl Parker {
    pub(crate) fn new(policy: Park) -> Self {
        Self { policy, streak: 0, penalty: PENALTY_FIRST, parks_to_sleep: 0 }
    }

    /// How long to watch before this sleep; `None`: not at all. `sources`: how many the reactor has, connections and
    /// listeners.
    pub(crate) fn watch(&mut self, sources: usize) -> Option<Duration> {
        match self.policy {
            Park::Block => None,
            Park::Spin(duration) => (!duration.is_zero()).then_some(duration),
            Park::Adaptive if self.parks_to_sleep > 0 => {
                self.parks_to_sleep -= 1;
                None
            }
            Park::Adaptive => {
                let shared = WATCH_SHARED / u32::try_from(sources).unwrap_or(u32::MAX).max(1);
                Some(shared.clamp(SLEEP_COST, WATCH_MAX))
            }
        }
    }

    /// The watch saw work coming.
    pub(crate) fn watched_well(&mut self) {
        self.streak = self.streak.saturating_add(1);
        if self.streak == STREAK_TRUSTED {
            self.penalty = PENALTY_FIRST;
        }
    }

    /// The watch ended in sleep.
    pub(crate) fn watched_in_vain(&mut self) {
        if self.streak >= STREAK_TRUSTED {
            self.parks_to_sleep = PENALTY_FORGIVEN;
        } else {
            self.parks_to_sleep = self.penalty;
            self.penalty = (self.penalty * 2).min(PENALTY_MAX);
        }
        self.streak = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parks slept through before the next watch.
    fn sleeps(parker: &mut Parker) -> u32 {
        (0..).find(|_| parker.watch(1).is_some()).expect("watches again")
    }

    #[test]
    fn wasted_watches_become_rare() {
        let mut parker = Parker::new(Park::Adaptive);
        let mut last = 0;
        for _ in 0..20 {
            assert!(sleeps(&mut parker) >= last);
            last = parker.parks_to_sleep;
            parker.watched_in_vain();
        }
        assert_eq!(sleeps(&mut parker), PENALTY_MAX);
    }

    #[test]
    fn a_trusted_row_forgives_a_miss() {
        let mut parker = Parker::new(Park::Adaptive);
        (0..STREAK_TRUSTED).for_each(|_| parker.watched_well());
        parker.watched_in_vain();
        assert_eq!(sleeps(&mut parker), PENALTY_FORGIVEN);
        parker.watched_in_vain();
        assert_eq!(sleeps(&mut parker), PENALTY_FIRST);
    }

    #[test]
    fn many_sources_are_watched_no_longer_than_a_sleep_costs() {
        let mut parker = Parker::new(Park::Adaptive);
        for (sources, micros) in [(0, 50), (1, 50), (4, 50), (8, 25), (20, 10), (21, 10), (usize::MAX, 10)] {
            assert_eq!(parker.watch(sources), Some(Duration::from_micros(micros)), "{sources} sources");
        }
    }

    #[test]
    fn fixed_policies_do_not_learn() {
        let mut block = Parker::new(Park::Block);
        let mut spin = Parker::new(Park::Spin(Duration::from_micros(7)));
        for _ in 0..10 {
            assert_eq!(block.watch(1), None);
            assert_eq!(spin.watch(1000), Some(Duration::from_micros(7)));
            spin.watched_in_vain();
        }
    }
}
