//! Operations and their completions, as data.

use std::io;

use crate::pool::Chunk;
use crate::socket::{Address, Socket};

/// What the submitter wants to find again when the operation completes. The driver only carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// Names one submitted operation: its slot and the slot's generation, so that a key outliving its operation
/// never names the slot's next tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl Key {
    /// Names no operation.
    pub(crate) const NONE: Self = Self { slot: u32::MAX, generation: u32::MAX };

    /// Slot in the low, generation in the high half: the form that travels through the kernel as `user_data`.
    pub(crate) const fn to_bits(self) -> u64 {
        self.slot as u64 | (self.generation as u64) << 32
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self { slot: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// An operation to submit.
///
/// | operation | completions before the last | last completion |
/// |---|---|---|
/// | `Accept` | `Accepted` × n | `Failed`, `Cancelled` |
/// | `Receive` | `Received` × n | `End`, `Failed`, `Cancelled` |
/// | `Writable` | | `Writable`, `Failed`, `Cancelled` |
/// | `Connect` | | `Connected`, `Failed`, `Cancelled` |
/// | `Signal` | `Signal` × n | `Failed`, `Cancelled` |
///
/// [`Outcome::Sent`] belongs to no operation, but to the sends of a [`SendQueue`](crate::SendQueue).
///
/// A cancelled operation may still deliver what had happened before the cancellation; only the completion marked
/// [`last`](Completion::last) ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Op {
    /// Accept connections from a listening socket until cancelled or failed. Accepted sockets are close-on-exec.
    /// Descriptor exhaustion (EMFILE, ENFILE, ENOBUFS, ENOMEM) ends it with `Failed`; whoever submitted it decides
    /// when to try again. A connection that died in the accept queue is skipped.
    Accept {
        /// The listening socket.
        listener: Socket,
    },
    /// Receive from a stream until its end, an error or cancellation. The driver re-arms what the kernel ends
    /// early, and parks the operation, first come first served, while the buffer pool is empty.
    Receive {
        /// The stream.
        socket: Socket,
    },
    /// Wait once until a stream takes bytes again. Meant for after [`Driver::try_send`](crate::Driver::try_send)
    /// took fewer than it was given: it waits for the *next* time the socket has room, and also completes when the
    /// socket has failed, so that the next send reports the error.
    Writable {
        /// The stream.
        socket: Socket,
    },
    /// Connect a fresh stream socket.
    Connect {
        /// From [`Sockets::open`](crate::Sockets::open), of the address's domain.
        socket: Socket,
        /// Where to.
        address: Address,
    },
    /// Deliver POSIX signals as completions until cancelled. From the first request for a signal on its default action
    /// is off for the rest of the process, for another library may have come to rely on that in the meantime. Fails
    /// for numbers that do not exist and signals that cannot be caught.
    Signal {
        /// Signal numbers, 1 to 63.
        signals: Vec<i32>,
    },
}

/// What an operation came to.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// A connection was accepted; whoever takes the completion owns the socket.
    Accepted(Socket),
    /// Bytes arrived, in order, never empty.
    Received(Chunk),
    /// The peer finished sending; everything before was delivered.
    End,
    /// The stream takes bytes again, or has failed: try.
    Writable,
    /// The sends queued before this turn were offered; [`SendQueue::take_sent`](crate::SendQueue::take_sent) says what became of
    /// them.
    Sent,
    /// The stream is connected.
    Connected,
    /// A signal arrived (several of one number may arrive as one).
    Signal(i32),
    /// The operation failed.
    Failed(io::Error),
    /// The operation ended because [`Driver::cancel`](crate::Driver::cancel) asked for it.
    Cancelled,
}

/// One answer to one operation.
#[derive(Debug)]
pub struct Completion {
    /// What the submitter gave.
    pub token: Token,
    /// Which operation.
    pub key: Key,
    /// What happened.
    pub outcome: Outcome,
    /// True on the operation's last completion: the key is dead, its resources are released.
    pub last: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_the_trip_through_user_data() {
        let key = Key { slot: 0xdead_beef, generation: 0x0123_4567 };
        assert_eq!(Key::from_bits(key.to_bits()), key);
    }

    #[test]
    fn a_completion_stays_within_a_cache_line() {
        assert!(size_of::<Completion>() <= 64, "{}", size_of::<Completion>());
    }
}
