//! Connections and their slots.

use std::os::fd::OwnedFd;

use bench_common::http::Matched;

pub(crate) struct Conn {
    pub(crate) fd: OwnedFd,
    /// HTTP: how much of a head's end has been received.
    pub(crate) matched: Matched,
    /// To be sent, not yet taken by the socket; `backlog[..sent]` has been.
    pub(crate) backlog: Vec<u8>,
    pub(crate) sent: usize,
    /// More may be waiting in the socket: reading stopped with a full buffer or because of the backlog.
    pub(crate) unread: bool,
    /// The peer's FIN has been read; what is staged is still sent.
    pub(crate) ended: bool,
}

impl Conn {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd, matched: Matched::default(), backlog: Vec::new(), sent: 0, unread: false, ended: false }
    }
}

/// Slots with a free list. A closed connection's fd leaves the epoll set at once, but events already fetched in the
/// same turn may still name its slot: `free_pending` slots are reused from the next turn on only.
#[derive(Default)]
pub(crate) struct Slots {
    slots: Vec<Option<Conn>>,
    free: Vec<u32>,
    free_pending: Vec<u32>,
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

    #[inline]
    pub(crate) fn get(&mut self, index: u32) -> Option<&mut Conn> {
        self.slots[index as usize].as_mut()
    }

    /// Closes the connection.
    pub(crate) fn remove(&mut self, index: u32) {
        self.slots[index as usize] = None;
        self.free_pending.push(index);
    }

    pub(crate) fn end_turn(&mut self) {
        self.free.append(&mut self.free_pending);
    }
}
