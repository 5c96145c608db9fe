//! Connections and their slots.
//!
//! A slot is reused only after the last completion of both its operations, so a completion never meets a later
//! tenant and needs no generation.

use std::os::fd::OwnedFd;

use bench_common::http::Matched;

use crate::run::Run;

/// Bytes on their way out.
pub(crate) enum Sending {
    /// Nothing is in flight.
    Nothing,
    /// An entry sends a run as it is, without waiting (`MSG_DONTWAIT`): it completes within the enter.
    Run(Run),
    /// An entry sends `bytes[sent..]` and waits for room.
    Heap { bytes: Vec<u8>, sent: usize },
}

pub(crate) struct Conn {
    pub(crate) fd: OwnedFd,
    /// A multishot receive is armed: more completions of it will come.
    pub(crate) receiving: bool,
    /// Its cancellation has been asked for, because the peer does not read.
    pub(crate) paused: bool,
    /// HTTP: how much of a head's end has been received.
    pub(crate) matched: Matched,
    pub(crate) sending: Sending,
    /// To be sent, not yet taken by a send.
    pub(crate) backlog: Vec<u8>,
    /// The peer's FIN has been seen; what is staged is still sent.
    pub(crate) ended: bool,
    /// An operation failed; nothing is sent any more.
    pub(crate) dead: bool,
}

impl Conn {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self {
            fd,
            receiving: false,
            paused: false,
            matched: Matched::default(),
            sending: Sending::Nothing,
            backlog: Vec::new(),
            ended: false,
            dead: false,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.sending, Sending::Nothing)
    }

    /// Whether nothing is in flight and nothing is left to do.
    pub(crate) fn is_finished(&self) -> bool {
        let done = self.dead || (self.ended && self.backlog.is_empty());
        done && !self.receiving && self.is_idle()
    }
}

/// Slots with a free list.
#[derive(Default)]
pub(crate) struct Slots {
    slots: Vec<Option<Conn>>,
    free: Vec<u32>,
}

impl Slots {
    pub(crate) fn insert(&mut self, conn: Conn) -> u32 {
        if let Some(index) = self.free.pop() {
            self.slots[index as usize] = Some(conn);
            return index;
        }
        self.slots.push(Some(conn));
        (self.slots.len() - 1) as u32
    }

    /// The connection of a slot that has an operation in flight.
    pub(crate) fn get(&mut self, index: u32) -> &mut Conn {
        self.slots[index as usize].as_mut().expect("a slot is not reused while an operation is in flight")
    }

    /// The connection of a slot that may have been freed.
    pub(crate) fn find(&self, index: u32) -> Option<&Conn> {
        self.slots[index as usize].as_ref()
    }

    /// Closes the connection and frees its slot.
    pub(crate) fn remove(&mut self, index: u32) {
        self.slots[index as usize] = None;
        self.free.push(index);
    }
}
