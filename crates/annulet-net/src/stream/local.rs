//! What the connections of one reactor share.

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;

use annulet_driver::{Outcome, Payload};
use annulet_runtime::{Reactor, Source};

use super::departures::Departures;
use super::{Buffers, Stream};
use crate::counters::NetCounters;
use crate::group::ConnectionNumbers;

/// Spare boxes and staging buffers kept per reactor.
const SPARES_MAX: usize = 256;
/// Small writes are joined in staging buffers of this size; larger buffers are not kept.
pub(super) const STAGING_MAX: usize = 16 * 1024;

pub(crate) struct Local {
    pub(crate) reactor: Reactor,
    pub(crate) counters: Arc<NetCounters>,
    pub(super) numbers: Arc<ConnectionNumbers>,
    /// Streams that have something to send when the turn ends.
    outbox: RefCell<Vec<Staged>>,
    /// What the driver's next turn sends, where the driver has a queue for that.
    pub(super) departures: Option<Departures>,
    /// Boxed, for that is how a stream holds them.
    #[allow(clippy::vec_box)]
    spare_buffers: RefCell<Vec<Box<Buffers>>>,
    spare_staging: RefCell<Vec<Vec<u8>>>,
}

/// A stream, and what it staged first in this turn. A second payload moves both to the stream's own queue.
struct Staged {
    stream: Rc<Stream>,
    payload: Option<Payload>,
}

/// A place in the outbox of the current turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct OutboxPlace(
    /// Counted from 1, so that an optional place is no larger.
    NonZeroU32,
);

impl OutboxPlace {
    /// The place after `count` others.
    #[inline]
    fn after(count: usize) -> Self {
        // No two streams have one descriptor, and of those there are fewer than 2^31.
        Self(NonZeroU32::new(count as u32 + 1).expect("fewer than 2^32 streams"))
    }

    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

impl Local {
    /// The current reactor's.
    #[track_caller]
    pub(crate) fn current() -> Rc<Self> {
        Self::of(&Reactor::current())
    }

    pub(crate) fn of(reactor: &Reactor) -> Rc<Self> {
        reactor.extension(|| {
            let counters: Arc<NetCounters> = Arc::default();
            reactor.publish_counters(counters.clone());
            let has_queue = reactor.has_send_queue();
            Self {
                reactor: reactor.clone(),
                counters,
                numbers: reactor.shared(),
                outbox: RefCell::default(),
                departures: has_queue.then(Departures::default),
                spare_buffers: RefCell::default(),
                spare_staging: RefCell::default(),
            }
        })
    }

    /// Has the stream sent for when the turn ends.
    // Out of line it would copy the payload once more.
    #[inline(always)]
    pub(super) fn post(self: &Rc<Self>, stream: &Rc<Stream>, payload: Option<Payload>) -> OutboxPlace {
        let mut outbox = self.outbox.borrow_mut();
        if outbox.is_empty() {
            self.ask_for_turn_end();
        }
        let place = OutboxPlace::after(outbox.len());
        outbox.push(Staged { stream: stream.clone(), payload });
        place
    }

    /// [`post`](Self::post) of bytes that were copied.
    #[inline(always)]
    pub(super) fn post_copy(self: &Rc<Self>, stream: &Rc<Stream>, bytes: Vec<u8>) -> OutboxPlace {
        let mut outbox = self.outbox.borrow_mut();
        if outbox.is_empty() {
            self.ask_for_turn_end();
        }
        let place = OutboxPlace::after(outbox.len());
        outbox.push(Staged { stream: stream.clone(), payload: Some(Payload::Vec { bytes, start: 0 }) });
        place
    }

    #[inline(never)]
    fn ask_for_turn_end(self: &Rc<Self>) {
        self.reactor.at_turn_end(self.clone());
    }

    /// Calls `f` with what the stream staged first.
    #[inline]
    pub(super) fn with_posted<R>(&self, place: OutboxPlace, f: impl FnOnce(&mut Option<Payload>) -> R) -> R {
        match self.outbox.borrow_mut().get_mut(place.index()) {
            Some(staged) => f(&mut staged.payload),
            // The outbox is being emptied, and a payload's destructor writes to another connection.
            None => f(&mut None),
        }
    }

    /// Has leave with the driver's next turn what may.
    #[inline(never)]
    fn depart(self: &Rc<Self>, departures: &Departures, outbox: &mut Vec<Staged>) {
        let departing = outbox.extract_if(.., |Staged { stream, payload }| {
            payload.as_ref().is_some_and(|payload| departures.have_room_for(payload)) && stream.may_depart()
        });
        for Staged { stream, payload } in departing {
            departures.push(self, stream, payload.expect("just seen"));
        }
    }

    #[inline(always)]
    pub(crate) fn take_staging(&self) -> Vec<u8> {
        self.spare_staging.borrow_mut().pop().unwrap_or_default()
    }

    /// Drops a payload that has been sent, keeping its memory when it is of use.
    pub(super) fn recycle(&self, payload: Payload) {
        if let Payload::Vec { bytes, .. } = payload {
            self.keep_staging(bytes);
        }
    }

    #[inline(always)]
    fn keep_staging(&self, mut bytes: Vec<u8>) {
        let mut spare = self.spare_staging.borrow_mut();
        if bytes.capacity() <= STAGING_MAX && spare.len() < SPARES_MAX {
            bytes.clear();
            spare.push(bytes);
        }
    }

    pub(super) fn take_buffers(&self) -> Box<Buffers> {
        self.spare_buffers.borrow_mut().pop().unwrap_or_default()
    }

    pub(super) fn keep_buffers(&self, buffers: Box<Buffers>) {
        let mut spare = self.spare_buffers.borrow_mut();
        if spare.len() < SPARES_MAX {
            spare.push(buffers);
        }
    }
}

/// Asks for the turn's end, once for all its streams. Registered only to learn what became of queued sends.
impl Source for Local {
    fn complete(self: Rc<Self>, _reactor: &Reactor, _tag: u32, outcome: Outcome, _last: bool) {
        match (outcome, &self.departures) {
            (Outcome::Sent, Some(departures)) => departures.conclude(&self),
            (outcome, _) => unreachable!("submits nothing, got {outcome:?}"),
        }
    }

    fn turn_end(self: Rc<Self>, reactor: &Reactor) {
        let mut outbox = self.outbox.take();
        if let Some(departures) = &self.departures
            && departures.pay(outbox.len())
        {
            self.depart(departures, &mut outbox);
        }
        for Staged { stream, payload } in outbox.drain(..) {
            match payload {
                Some(Payload::Chunk(chunk)) => stream.send_posted(reactor, chunk, drop),
                Some(Payload::Vec { bytes, start: 0 }) => {
                    stream.send_posted(reactor, bytes, |sent| self.keep_staging(sent));
                }
                Some(payload) => stream.send_posted(reactor, payload, |sent| self.recycle(sent)),
                None => stream.send_queue(),
            }
        }
        let mut next = self.outbox.borrow_mut();
        if next.is_empty() {
            *next = outbox;
        }
    }

    fn story(&self, _reactor: &Reactor) -> String {
        "queue of what streams send".to_owned()
    }

    fn release(self: Rc<Self>, reactor: &Reactor) {
        if let Some(departures) = &self.departures {
            departures.deregister(reactor);
        }
    }
}
