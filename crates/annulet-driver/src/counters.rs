//! Counters that one thread writes and any thread reads.

use std::sync::atomic::{AtomicU64, Ordering};

/// One event count or gauge.
///
/// Written by its owner's thread only, so a plain load and store suffice and no cache line bounces; other threads
/// read a value that may be a moment old.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `count`.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Takes `count` away: for gauges.
    #[inline]
    pub fn subtract(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(count), Ordering::Relaxed);
    }

    /// Sets a gauge.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A set of counters that can be read from any thread.
pub trait CounterSet: Send + Sync {
    /// Calls `visit` with each counter's name and value, in the order of their definition.
    fn visit(&self, visit: &mut dyn FnMut(&'static str, u64));
}

/// Defines a set of counters: a struct of [`Counter`]s, one per name, and a way to visit them all.
#[macro_export]
macro_rules! counters {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        #[repr(align(128))]
        $vis struct $name { $($(#[$doc])* pub $field: $crate::Counter,)* }

        impl $crate::CounterSet for $name {
            fn visit(&self, visit: &mut dyn FnMut(&'static str, u64)) {
                $(visit(stringify!($field), self.$field.get());)*
            }
        }
    };
}

counters! {
    /// What one driver did.
    pub struct DriverCounters {
        /// Calls that enter the kernel for completions or readiness: `io_uring_enter`, or `epoll_wait`.
        enters,
        /// Submission queue entries handed to the kernel.
        sqes,
        /// Completion queue entries, or readiness events, taken.
        cqes,
        /// Times the completion queue overflowed and was flushed.
        overflows,
        /// Completions for a slot's former tenant.
        stale_completions,
        /// Multishot operations the kernel ended early and the driver armed again.
        rearms,
        /// Receives that met an empty pool and were parked.
        starved_receives,
        /// Direct send calls.
        sends,
        /// Sends that left with a turn's own entry into the kernel.
        sends_queued,
        /// Bytes taken by send buffers.
        bytes_sent,
        /// Bytes delivered from streams.
        bytes_received,
        /// Connections accepted.
        accepted,
        /// Sockets opened, accepted or adopted.
        sockets_opened,
        /// Sockets closed.
        sockets_closed,
        /// Operations in flight (gauge).
        ops_in_flight,
        /// Wake-ups from other threads that found the driver asleep.
        unparks,
        /// Buffers in the pool (gauge).
        buffers_total,
        /// Buffers the kernel may fill now (gauge).
        buffers_with_kernel,
        /// Buffers out as leases, being read or staged to be sent (gauge).
        buffers_leased,
        /// Buffers waiting to be given to the kernel (gauge).
        buffers_free,
        /// Times the pool grew.
        pool_growths,
        /// Chunks copied to the heap because leasing them would have emptied the pool.
        pressure_copies,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_is_visited_under_its_name() {
        let counters = DriverCounters::default();
        counters.enters.add(3);
        counters.bytes_sent.add(7);
        counters.bytes_sent.subtract(2);
        let mut seen = Vec::new();
        counters.visit(&mut |name, value| seen.push((name, value)));
        assert!(seen.contains(&("enters", 3)));
        assert!(seen.contains(&("bytes_sent", 5)));
        assert_eq!(seen.len(), 22);
    }
}
