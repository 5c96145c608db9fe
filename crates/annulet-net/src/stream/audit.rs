//! What must be true of a connection between two turns.

use annulet_driver::{Chunk, Payload};
use annulet_runtime::Audit;

use super::local::STAGING_MAX;
use super::{Buffers, Flag, Life, Receive, State, Stream};

/// What the kernel may deliver of a receive that is to be stopped: so many passes,
const PASSES_UNTIL_STOPPED: usize = 2;
/// each of so many bytes where it can be told a cap, and a buffer that is begun,
const PASS_BYTES: usize = 64 * 1024;
/// else of so many buffers.
const PASS_BUFFERS: usize = 32;

impl Stream {
    pub(super) fn audit(&self, audit: &mut Audit) {
        let state = self.state.borrow();
        let (staged, unread) = (self.unsent_bytes(&state), state.unread_pinned());
        audit.staged += staged;
        audit.unread += unread;
        let mut violation = |what| audit.violation(format_args!("connection {}: {what}", self.number));
        if state.buffers.as_deref().is_some_and(|buffers| !buffers.are_counted()) {
            violation("its queues are counted wrong".to_owned());
        }
        let (staged_max, unread_max) = (self.staged_max(&state), self.unread_max());
        if staged > staged_max {
            violation(format!("{staged} bytes are staged, of at most {staged_max}"));
        }
        if unread > unread_max {
            violation(format!("{unread} bytes are unread, of at most {unread_max}"));
        }
        let is_departing = self.local.departures.as_ref().is_some_and(|departures| departures.hold(self));
        if staged > 0 && state.has_ended_writing() {
            violation(format!("its end was sent before {staged} bytes"));
        }
        if is_departing && state.has_ended_writing() {
            violation("its end was sent before what is in the driver's queue".to_owned());
        }
        if staged > 0 && !state.is_sending() {
            violation(format!("nobody sends {staged} bytes"));
        }
        if state.is_deaf() {
            violation("somebody waits for input, and none is received".to_owned());
        }
    }

    /// The limit, one payload whatever its size, and what is composed without asking, such as heads.
    fn staged_max(&self, state: &State) -> usize {
        let queued = state.buffers.iter().flat_map(|buffers| &buffers.unsent).map(Payload::len).max();
        let posted =
            |place| self.local.with_posted(place, |payload| payload.as_ref().map_or(0, Payload::len));
        let largest = queued.max(state.outbox.map(posted)).unwrap_or(0);
        self.group.limits.unsent_max + largest + STAGING_MAX
    }

    fn unread_max(&self) -> usize {
        let buffer_size = self.reactor().driver(|driver| driver.pool().buffer_size()) as usize;
        // When buffers are short what they hold is copied, and a copy takes a little more.
        let copied = buffer_size + Chunk::from(Vec::new()).pinned();
        let pass = (PASS_BYTES.div_ceil(buffer_size) + 1).max(PASS_BUFFERS) * copied;
        self.group.limits.unread_max + PASSES_UNTIL_STOPPED * pass
    }
}

impl Buffers {
    fn are_counted(&self) -> bool {
        let unsent: usize = self.unsent.iter().map(Payload::len).sum();
        let pinned: usize = self.unread.iter().map(annulet_driver::Chunk::pinned).sum();
        (unsent, pinned) == (self.unsent_bytes, self.unread_pinned)
    }
}

impl State {
    fn has_ended_writing(&self) -> bool {
        self.flags.is(Flag::FIN_SENT) || !matches!(self.life, Life::Open | Life::Closing)
    }

    /// What is staged leaves when the turn ends, or when the peer makes room.
    fn is_sending(&self) -> bool {
        self.outbox.is_some() || self.buffers.as_ref().is_some_and(|buffers| buffers.writable.is_some())
    }

    /// A reader waits, and nothing will wake it.
    fn is_deaf(&self) -> bool {
        self.flags.is(Flag::READER_WAITING)
            && self.life == Life::Open
            && self.receive == Receive::Idle
            && self.unread.is_none()
            && !self.is_input_over()
    }
}
