//! Whether the driver's notes and the kernel agree on what is left to do.

use super::EpollDriver;
use super::operation::{Kind, Operation};
use super::table::{Flag, Place, Side};
use crate::kernel::{Kernel, Polling};
use crate::op::Key;
use crate::sys::epoll::{CLOSED, ERROR, READ_CLOSED, READABLE, WRITABLE};

impl<K: Kernel> EpollDriver<K> {
    /// Notes every operation that nothing will ever serve, and every buffer that is not in one place.
    pub(super) fn look(&self, violations: &mut Vec<String>) {
        for key in self.operations.keys() {
            if let Some(operation) = self.operations.get(key)
                && let Some(flaw) = self.flaw(key, operation)
            {
                violations.push(format!("{:?} {key:?} on {:?} {flaw}", operation.kind, operation.socket));
            }
        }
        // Between two turns the kernel has no buffer.
        self.pool.audit(&[], violations);
    }

    fn flaw(&self, key: Key, operation: &Operation) -> Option<&'static str> {
        if operation.has_ended {
            let is_told = self.ended.iter().any(|(ended, _)| *ended == key);
            return (!is_told).then_some("has ended, and nobody will be told");
        }
        if operation.kind == Kind::Signal {
            let is_noted = self.signals.iter().any(|(signal, _)| *signal == key);
            return (!is_noted).then_some("is not watched for");
        }
        let (socket, side) = (operation.socket, operation.kind.side());
        let Some((place, watched)) = self.sockets.table.look(socket) else { return Some("has no socket") };
        if watched.slot(side) != Some(key.slot) {
            return Some("is not what its socket knows");
        }
        if side == Side::Read && watched.is(Flag::READABLE) {
            let is_listed = self.ready.iter().chain(&self.starved).any(|listed| *listed == place);
            return (!is_listed).then_some("has something to read, and stands on no list");
        }
        self.is_left_alone(place, side).then_some("could go on, and no event will say so")
    }

    /// True when the kernel has what this side waits for, and neither it nor what it said last will tell.
    fn is_left_alone(&self, place: Place, side: Side) -> bool {
        let awaited = match side {
            Side::Read => READABLE | READ_CLOSED,
            Side::Write => WRITABLE,
        };
        let is_at_hand = (0..self.poller.filled()).any(|index| self.poller.event(index).1 == place.to_bits());
        !is_at_hand && self.poller.is_silent(place.socket().as_raw(), awaited | CLOSED | ERROR)
    }
}
