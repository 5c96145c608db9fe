//! Operations that a simulated ring holds.

use crate::sim::{FileId, Operation};

/// What is asked of the kernel until it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Accept until it ends.
    Accept,
    /// Receive into buffers until it ends, or until so many bytes came (0: any number).
    Receive { left: u32, is_capped: bool },
    /// Receive once into a buffer.
    ReceiveOnce,
    /// Connect.
    Connect,
    /// Tell whenever the wake, or the watch for room, becomes readable.
    Poll { is_watch: bool },
}

impl Kind {
    /// Its end in the kernel says nothing of the socket unless it says so. A connect that ends has failed.
    pub(super) fn may_be_asked_again(self) -> bool {
        matches!(self, Self::Accept | Self::Receive { .. } | Self::ReceiveOnce)
    }

    /// What faults call it.
    pub(super) fn operation(self) -> Operation {
        match self {
            Self::Accept => Operation::Accept,
            Self::Receive { .. } => Operation::Receive,
            Self::ReceiveOnce => Operation::ReceiveOnce,
            Self::Connect => Operation::Connect,
            Self::Poll { is_watch: false } => Operation::Wake,
            Self::Poll { is_watch: true } => Operation::Writable,
        }
    }
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Armed {
    pub(super) user_data: u64,
    pub(super) kind: Kind,
    pub(super) file: FileId,
    /// Among the work left for the ring's thread.
    pub(super) is_queued: bool,
    /// Its work is held back for a while.
    pub(super) is_late: bool,
    /// It hears of nothing any more.
    pub(super) is_deaf: bool,
    /// For a poll: what was reported of its file.
    pub(super) reported: u64,
}
