//! What leaves with the driver's next turn, on a driver that has a queue for that.
//!
//! Only the plain case does: one payload, of moderate size, of an open connection that has nothing queued, no FIN to send and
//! nobody waiting to write. When all of it is taken nothing follows, so nothing has to be told. Everything else is sent by a
//! direct call at the turn's end.
//!
//! | a connection with a payload in the driver's queue | what becomes of the payload |
//! |---|---|
//! | all of it is taken | its memory goes back, before anything else is delivered |
//! | a part is taken, or nothing | the rest is the head of the connection's queue, a pool buffer is copied; it waits for room |
//! | the connection turns out to be reset | counted as undelivered; both directions learn of it |
//! | is aborted, or cut, before the driver's turn | not sent if its socket is closed by then, else as ever: the reset discards it |
//! | is dropped before the driver's turn | sent as ever: FIN follows at the end of a later turn |
//! | the reactor ends | sent first, before what its tasks leave behind, and before their connections' FINs |
//!
//! Between the turn's end and the driver's turn no task runs; what is in the second half of the table can be done only by the
//! destructor of another payload, or from outside the reactor's turns.
//!
//! When the driver's turn sleeps, what it sent is kept until it wakes: at most [`QUEUED_MAX`] payloads. Leases among them
//! count as leases, so the pool's reserve keeps receives going, and a receive that finds no buffer ends the sleep.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use annulet_driver::{Payload, SendBatch};
use annulet_runtime::{Reactor, SourceId};

use super::{Local, Stream};

/// A turn that sends for fewer streams, like the one before it, sends directly: one call costs less than an entry and, where the
/// reactor watches before it sleeps, one more way into the kernel.
const QUEUED_MIN: usize = 2;
/// Payloads that leave with one turn of the driver: as many as tasks run in a turn.
const QUEUED_MAX: usize = 256;
/// A larger payload is likely to exceed a send buffer, and costs far more than the call that sends it.
const QUEUED_BYTES_MAX: usize = 16 * 1024;

/// The streams whose payloads are in the driver's queue.
#[derive(Default)]
pub(super) struct Departures {
    /// For how many streams the latest turn that sent anything did.
    latest: Cell<usize>,
    /// The source of these sends: `Local`, once there were any.
    source: Cell<Option<SourceId>>,
    /// In the order of the queue.
    streams: RefCell<Vec<Rc<Stream>>>,
    /// Kept for its memory.
    batch: RefCell<SendBatch>,
}

impl Departures {
    /// True when a turn that sends for `count` streams had better queue that. One alone may be the first of a burst, of which
    /// the kernel brings forth more at a time when it is entered with something to submit.
    pub(super) fn pay(&self, count: usize) -> bool {
        count.max(self.latest.replace(count)) >= QUEUED_MIN
    }

    pub(super) fn have_room_for(&self, payload: &Payload) -> bool {
        self.streams.borrow().len() < QUEUED_MAX && payload.len() <= QUEUED_BYTES_MAX
    }

    /// Queues a payload of a stream that [may depart](Stream::may_depart).
    pub(super) fn push(&self, local: &Rc<Local>, stream: Rc<Stream>, payload: Payload) {
        let source = self.source.get().unwrap_or_else(|| self.register(local));
        local.reactor.queue_send(source, 0, stream.socket, payload);
        self.streams.borrow_mut().push(stream);
    }

    /// Whether something of the stream is in the driver's queue.
    pub(super) fn hold(&self, stream: &Stream) -> bool {
        self.streams.borrow().iter().any(|departing| std::ptr::eq(&**departing, stream))
    }

    #[cold]
    fn register(&self, local: &Rc<Local>) -> SourceId {
        let source = local.reactor.register(local.clone());
        self.source.set(Some(source));
        source
    }

    pub(super) fn deregister(&self, reactor: &Reactor) {
        if let Some(source) = self.source.take() {
            reactor.deregister(source);
        }
    }

    /// The driver has offered what was queued.
    pub(super) fn conclude(&self, local: &Local) {
        // Taken out, for what a payload's destructor does is not known.
        let (mut streams, mut batch) = (self.streams.take(), self.batch.take());
        local.reactor.send_queue(|queue| queue.take_sent(&mut batch));
        for (stream, (payload, refusal)) in streams.drain(..).zip(batch.drain()) {
            match refusal {
                None => local.recycle(payload),
                Some(result) => stream.departed_in_part(payload, result),
            }
        }
        self.streams.replace(streams);
        self.batch.replace(batch);
    }
}

#[cfg(test)]
mod tests;
