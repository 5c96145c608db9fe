//! Counters of a hand-written loop: one writer, any reader, no locked instruction.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// A counter with a single writer. Readers may see a value that is a moment old.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning reactor calls this; a plain load and store is therefore enough.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one reactor counts. Aligned so that two reactors share no cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    /// Rounds of the loop.
    pub turns: Counter,
    /// Calls of `io_uring_enter` or `epoll_wait`.
    pub enters: Counter,
    /// Submission queue entries handed to the kernel (0 on epoll).
    pub sqes: Counter,
    /// Completions reaped, or readiness events on epoll.
    pub cqes: Counter,
    /// Direct `recv` system calls.
    pub recvs: Counter,
    /// Direct `send` system calls.
    pub sends: Counter,
    /// Sends that took less than they were given, or nothing.
    pub short_sends: Counter,
    /// Receives that ended because no provided buffer was left.
    pub starved: Counter,
    /// Connections accepted.
    pub accepted: Counter,
    /// Connections closed.
    pub closed: Counter,
    /// Bytes received.
    pub bytes_received: Counter,
    /// Bytes the socket buffers took.
    pub bytes_sent: Counter,
}

impl Counters {
    /// A set for each of `reactors` reactors, alive until the process ends.
    pub fn leak(reactors: usize) -> &'static [Self] {
        Vec::leak((0..reactors).map(|_| Self::default()).collect())
    }

    fn named(&self) -> [(&'static str, &Counter); 12] {
        [
            ("turns", &self.turns),
            ("enters", &self.enters),
            ("sqes", &self.sqes),
            ("cqes", &self.cqes),
            ("recvs", &self.recvs),
            ("sends", &self.sends),
            ("short_sends", &self.short_sends),
            ("starved", &self.starved),
            ("accepted", &self.accepted),
            ("closed", &self.closed),
            ("bytes_received", &self.bytes_received),
            ("bytes_sent", &self.bytes_sent),
        ]
    }

    /// The sums over all reactors as one line of JSON.
    pub fn json(all: &[Self]) -> String {
        let mut line = String::from("{");
        let names = Self::default();
        for (at, (name, _)) in names.named().into_iter().enumerate() {
            let sum: u64 = all.iter().map(|counters| counters.named()[at].1.get()).sum();
            let comma = if at == 0 { "" } else { "," };
            write!(line, "{comma}\"{name}\":{sum}").expect("a String takes any text");
        }
        line.push('}');
        line
    }
}
