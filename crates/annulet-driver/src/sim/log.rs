//! The history of a world: a hash of all of it, and its end in full.

use std::collections::VecDeque;
use std::fmt;

use super::random::mix;
use crate::instant::Instant;

/// Entries kept in full.
const KEPT: usize = 4096;

/// Faults kept in full.
const FAULTS_KEPT: usize = 64;

/// What an entry of the log is about. Only the number goes into the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogKind {
    /// Below [`LogKind::OUTSIDE`] the world's own.
    pub number: u16,
    /// For people.
    pub name: &'static str,
}

impl LogKind {
    /// The first number of the layer above.
    pub const OUTSIDE: u16 = 0x100;

    /// A kind of the layer above.
    ///
    /// # Panics
    /// When the number is the world's.
    pub const fn outside(number: u16, name: &'static str) -> Self {
        assert!(number >= Self::OUTSIDE, "numbers below 256 are the world's");
        Self { number, name }
    }

    pub(super) const ARRIVAL: Self = Self { number: 1, name: "packet arrives" };
    pub(super) const HELD: Self = Self { number: 2, name: "packet held" };
    pub(super) const ROOM: Self = Self { number: 3, name: "room again" };
    pub(super) const GIVE_UP: Self = Self { number: 4, name: "gives up" };
    pub(super) const PROBE: Self = Self { number: 5, name: "probes" };
    pub(super) const CUT: Self = Self { number: 6, name: "link cut" };
    pub(super) const HEAL: Self = Self { number: 7, name: "link mended" };
    pub(super) const END_FAULTS: Self = Self { number: 8, name: "faults end" };
    pub(super) const SIGNAL: Self = Self { number: 9, name: "signal" };
    pub(crate) const EVENT: Self = Self { number: 10, name: "event from above" };
    pub(super) const FAULT: Self = Self { number: 11, name: "fault" };
    pub(super) const OPEN: Self = Self { number: 12, name: "open" };
    pub(super) const CLOSE: Self = Self { number: 13, name: "close" };
    pub(super) const LISTEN: Self = Self { number: 14, name: "listen" };
    pub(super) const CONNECT: Self = Self { number: 15, name: "connect" };
    pub(super) const ACCEPT: Self = Self { number: 16, name: "accept" };
    pub(super) const SEND: Self = Self { number: 17, name: "send" };
    pub(super) const RECEIVE: Self = Self { number: 18, name: "receive" };
    pub(super) const SHUTDOWN: Self = Self { number: 19, name: "shutdown" };
    pub(super) const FAILED: Self = Self { number: 20, name: "connection fails" };
    pub(super) const KILL: Self = Self { number: 21, name: "host killed" };
    pub(super) const RESTART: Self = Self { number: 22, name: "host restarted" };
    pub(super) const CLOCK: Self = Self { number: 23, name: "wall clock jumps" };
}

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When.
    pub at: Instant,
    /// What.
    pub kind: LogKind,
    /// To whom, mostly.
    pub a: u64,
    /// How much, mostly.
    pub b: u64,
}

impl LogEntry {
    /// `   12.000345678`, in seconds.
    pub(crate) fn when(&self) -> String {
        let nanos = self.at.as_nanos();
        format!("{:>5}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
    }
}

/// `   12.000345678 send 4 17`: the bare numbers. For words see [`World::tell`](super::World::tell).
impl fmt::Display for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.when(), self.kind.name, self.a, self.b)
    }
}

/// All that happened, as a number, and the latest of it.
#[derive(Debug)]
pub(super) struct Log {
    hash: u64,
    count: u64,
    latest: VecDeque<LogEntry>,
    kept: usize,
    /// The latest faults, which may be long ago.
    faults: VecDeque<LogEntry>,
}

impl Default for Log {
    fn default() -> Self {
        Self { hash: 0, count: 0, latest: VecDeque::new(), kept: KEPT, faults: VecDeque::new() }
    }
}

impl Log {
    #[inline]
    pub(super) fn note(&mut self, at: Instant, kind: LogKind, a: u64, b: u64) {
        // Multiplied by odd constants and turned, so that neither order nor place of a number is lost.
        let entry = at.as_nanos().wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ a.wrapping_mul(0xc2b2_ae3d_27d4_eb4f).rotate_left(21)
            ^ b.wrapping_mul(0x1656_67b1_9e37_79f9).rotate_left(42)
            ^ u64::from(kind.number);
        self.hash = mix(self.hash.rotate_left(5) ^ entry);
        self.count += 1;
        let entry = LogEntry { at, kind, a, b };
        push_within(&mut self.latest, entry, self.kept);
        if kind.number == LogKind::FAULT.number {
            push_within(&mut self.faults, entry, FAULTS_KEPT);
        }
    }

    pub(super) fn keep(&mut self, entries: usize) {
        self.kept = entries;
    }

    pub(super) fn faults(&self) -> Vec<LogEntry> {
        self.faults.iter().copied().collect()
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn latest(&self) -> Vec<LogEntry> {
        self.latest.iter().copied().collect()
    }
}

fn push_within(entries: &mut VecDeque<LogEntry>, entry: LogEntry, kept: usize) {
    if entries.len() == kept {
        entries.pop_front();
    }
    entries.push_back(entry);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: LogKind = LogKind::outside(256, "something");
    const OTHER: LogKind = LogKind::outside(257, "something");

    fn hash(entries: &[(u64, LogKind, u64, u64)]) -> u64 {
        let mut log = Log::default();
        for &(at, kind, a, b) in entries {
            log.note(Instant::from_nanos(at), kind, a, b);
        }
        log.hash()
    }

    #[test]
    fn the_hash_depends_on_every_number_and_on_the_order() {
        let base = [(1, SOME, 2, 3), (4, SOME, 5, 6)];
        let others = [
            [(0, SOME, 2, 3), (4, SOME, 5, 6)],
            [(1, OTHER, 2, 3), (4, SOME, 5, 6)],
            [(1, SOME, 3, 2), (4, SOME, 5, 6)],
            [(1, SOME, 2, 3), (4, SOME, 5, 7)],
            [(4, SOME, 5, 6), (1, SOME, 2, 3)],
        ];
        assert!(others.iter().all(|other| hash(other) != hash(&base)));
        assert_eq!(hash(&base), hash(&base));
    }

    #[test]
    fn the_end_of_the_history_is_kept() {
        let mut log = Log::default();
        (0..10_000).for_each(|n| log.note(Instant::from_nanos(n), SOME, n, 0));
        let latest = log.latest();
        assert_eq!((log.count(), latest.len(), latest[KEPT - 1].a), (10_000, KEPT, 9_999));
        assert_eq!(latest[KEPT - 1].to_string(), "    0.000009999 something 9999 0");
    }
}
