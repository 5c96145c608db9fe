//! What is to happen, in the order in which it will.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::host::HostId;
use super::stream::{Side, StreamId};
use crate::instant::Instant;

/// An event of the layer above. The world only carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outside {
    /// What it is.
    pub kind: u64,
    /// Its first argument.
    pub a: u64,
    /// Its second argument.
    pub b: u64,
}

/// Something that happens at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The first packet under way from this side reaches the other.
    Arrival { stream: StreamId, from: Side },
    /// A send buffer that a fault had declared full has room again.
    Room { stream: StreamId, side: Side },
    /// An end has waited long enough for an answer. `number` tells whether it still waits for the same.
    GiveUp { stream: StreamId, side: Side, number: u32 },
    /// An idle end asks whether the peer is still there.
    Probe { stream: StreamId, side: Side, number: u32 },
    /// A link cut by a fault is mended; `number` is that of the cut.
    Heal { link: (HostId, HostId), number: u32 },
    /// No faults from here on.
    EndFaults,
    /// A signal reaches a host.
    Signal { host: HostId, signal: i32 },
    /// The layer above has something to do.
    Outside(Outside),
}

/// The events to come. Their order is total: by time, then by when they were scheduled, and nothing else.
#[derive(Debug, Default)]
pub(super) struct Events {
    heap: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
}

#[derive(Clone, Copy, Debug)]
struct Scheduled {
    at: Instant,
    sequence: u64,
    event: Event,
}

impl Events {
    pub(super) fn schedule(&mut self, at: Instant, event: Event) {
        self.scheduled += 1;
        self.heap.push(Reverse(Scheduled { at, sequence: self.scheduled, event }));
    }

    pub(super) fn first(&self) -> Option<(Instant, Event)> {
        self.heap.peek().map(|Reverse(first)| (first.at, first.event))
    }

    pub(super) fn take(&mut self) -> Option<(Instant, Event)> {
        self.heap.pop().map(|Reverse(first)| (first.at, first.event))
    }
}

impl Scheduled {
    fn order(&self) -> (Instant, u64) {
        (self.at, self.sequence)
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_the_order_they_were_scheduled() {
        let mut events = Events::default();
        for (at, a) in [(5, 1), (3, 2), (5, 3), (3, 4), (4, 5)] {
            events.schedule(Instant::from_nanos(at), Event::Outside(Outside { kind: 0, a, b: 0 }));
        }
        let order = std::iter::from_fn(|| match events.take() {
            Some((_, Event::Outside(Outside { a, .. }))) => Some(a),
            _ => None,
        });
        assert_eq!(order.collect::<Vec<_>>(), [2, 4, 5, 1, 3]);
    }
}
