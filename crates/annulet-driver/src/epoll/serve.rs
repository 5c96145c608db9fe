//! What a turn does for each event and for each descriptor on the ready list.

use std::io;

use super::EpollDriver;
use super::operation::Kind;
use super::table::{Flag, Place, Side, WAKE};
use crate::driver::Sockets;
use crate::kernel::{Calls, Kernel, SignalNotes};
use crate::op::{Completion, Key, Outcome};
use crate::pool::Filled;
use crate::signals;
use crate::socket::{Socket, SocketOption};
use crate::sys;
use crate::sys::epoll::{CLOSED, ERROR, WRITABLE};

/// Buffers one connection may fill in a turn before the others have theirs.
pub(super) const BUFFERS_PER_TURN: usize = 16;

/// Connections taken from one listener in a turn.
pub(super) const ACCEPTS_PER_TURN: usize = 64;

/// What one receive came to.
enum Step {
    /// Bytes. When they did not fill the buffer the socket is empty, unless the peer has finished.
    Received { is_full: bool, is_copy: bool },
    /// Nothing, but another attempt may have more luck.
    Again,
    /// Nothing, and it has been seen to.
    Over,
}

impl<K: Kernel> EpollDriver<K> {
    pub(super) fn put_on_ready_list(&mut self, socket: Socket) {
        let place = self.sockets.table.place(socket);
        let watched = self.sockets.table.enter(socket);
        if !watched.is(Flag::LISTED) {
            watched.set(Flag::LISTED);
            self.ready.push(place);
        }
    }

    pub(super) fn serve_ready(&mut self, completions: &mut Vec<Completion>) {
        if self.ready.is_empty() && self.starved.is_empty() {
            return;
        }
        // Two lists, for what is served may be listed again: that is the next turn's.
        debug_assert!(self.serving.is_empty());
        if self.pool.has_free() {
            std::mem::swap(&mut self.serving, &mut self.starved);
        }
        self.serving.append(&mut self.ready);
        let mut serving = std::mem::take(&mut self.serving);
        for place in serving.drain(..) {
            // Closed since, or cancelled (then the edge is remembered and the next operation is listed again).
            let Some(watched) = self.sockets.table.at(place) else { continue };
            watched.clear(Flag::LISTED);
            let is_read_closed = watched.is(Flag::READ_CLOSED);
            if let Some(slot) = watched.start_reading() {
                self.read(place, slot, is_read_closed, completions);
            }
        }
        self.serving = serving;
    }

    #[inline]
    pub(super) fn handle_event(&mut self, event: u32, data: u64, completions: &mut Vec<Completion>) {
        let place = Place::from_bits(data);
        let Some(watched) = self.sockets.table.at(place) else {
            return self.handle_other_event(data, completions);
        };
        watched.merge(event);
        let is_read_closed = watched.is(Flag::READ_CLOSED);
        let writer = watched.slot(Side::Write);
        // What is listed has had its share of this turn.
        if !watched.is(Flag::LISTED)
            && let Some(slot) = watched.start_reading()
        {
            self.read(place, slot, is_read_closed, completions);
        }
        // Not by the end of reading alone: a half-closed peer may yet take what is queued for it.
        if event & (WRITABLE | CLOSED | ERROR) != 0
            && let Some(slot) = writer
        {
            self.write(place, slot, completions);
        }
    }

    /// The wake-up, or an event of a descriptor that was closed since.
    #[cold]
    fn handle_other_event(&mut self, data: u64, completions: &mut Vec<Completion>) {
        if data == WAKE {
            self.counters.unparks.add(u64::from(self.has_slept));
            self.take_signals(completions);
        } else {
            self.counters.stale_completions.increment();
        }
    }

    /// Serves the Receive or Accept in `slot`, for which something may be there.
    #[inline(always)]
    fn read(&mut self, place: Place, slot: u32, is_read_closed: bool, completions: &mut Vec<Completion>) {
        match self.operations.tenant(slot).1.kind {
            Kind::Receive => self.receive(place, slot, is_read_closed, completions),
            Kind::Accept => self.accept(place, slot, completions),
            kind @ (Kind::Writable | Kind::Connect | Kind::Signal) => unreachable!("{kind:?} does not read"),
        }
    }

    /// The usual receive is one short read. What else may happen is kept apart, so that the way of this one is short.
    #[inline(always)]
    fn receive(&mut self, place: Place, slot: u32, is_read_closed: bool, completions: &mut Vec<Completion>) {
        match self.receive_once(place, slot, completions) {
            Step::Received { is_full: false, .. } if !is_read_closed => {}
            step => self.receive_more(place, slot, is_read_closed, step, completions),
        }
    }

    /// Goes on after `step`, until nothing is left or the connection has had its share of this turn.
    #[cold]
    fn receive_more(
        &mut self,
        place: Place,
        slot: u32,
        is_read_closed: bool,
        mut step: Step,
        completions: &mut Vec<Completion>,
    ) {
        for _ in 1..BUFFERS_PER_TURN {
            match step {
                // No more than one copy a turn.
                Step::Received { is_copy: true, .. } => break,
                Step::Received { is_full: false, .. } if !is_read_closed => break,
                Step::Received { .. } | Step::Again => step = self.receive_once(place, slot, completions),
                Step::Over => return,
            }
        }
        match step {
            Step::Received { is_full: false, .. } if !is_read_closed => {}
            Step::Received { .. } | Step::Again => {
                self.note_more(place);
                self.put_on_ready_list(place.socket());
            }
            Step::Over => {}
        }
    }

    #[inline(always)]
    fn receive_once(&mut self, place: Place, slot: u32, completions: &mut Vec<Completion>) -> Step {
        if self.pool.is_short() {
            return self.receive_copy(place, slot, completions);
        }
        let filled = match self.sockets.kernel.receive_pooled(place.descriptor as i32, &self.pool) {
            Some(Ok(filled)) if filled.len() > 0 => filled,
            nothing => return self.receive_nothing(place, slot, nothing, completions),
        };
        let length = filled.len();
        self.counters.bytes_received.add(length as u64);
        let (key, operation) = self.operations.tenant(slot);
        let chunk = self.pool.lease_filled(filled);
        chunk.note_origin(|| self.sockets.kernel.story(place.descriptor as i32));
        let outcome = Outcome::Received(chunk);
        completions.push(Completion { token: operation.token, key, outcome, last: false });
        Step::Received { is_full: length == self.pool.buffer_size() as usize, is_copy: false }
    }

    /// [`receive_once`](Self::receive_once) while leases are short.
    #[cold]
    fn receive_copy(&mut self, place: Place, slot: u32, completions: &mut Vec<Completion>) -> Step {
        let filled = match self.sockets.kernel.receive_pooled(place.descriptor as i32, &self.pool) {
            Some(Ok(filled)) if filled.len() > 0 => filled,
            nothing => return self.receive_nothing(place, slot, nothing, completions),
        };
        let length = filled.len();
        self.counters.bytes_received.add(length as u64);
        let (key, operation) = self.operations.tenant(slot);
        let outcome = Outcome::Received(self.pool.copy_filled(filled));
        completions.push(Completion { token: operation.token, key, outcome, last: false });
        Step::Received { is_full: length == self.pool.buffer_size() as usize, is_copy: true }
    }

    #[cold]
    fn receive_nothing(
        &mut self,
        place: Place,
        slot: u32,
        result: Option<io::Result<Filled>>,
        completions: &mut Vec<Completion>,
    ) -> Step {
        let (key, _) = self.operations.tenant(slot);
        match result {
            None if self.pool.grow() => return Step::Again,
            None => self.starve(place),
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The end stays, for whoever asks next.
            Some(Ok(_)) => {
                self.note_more(place);
                self.finish(key, Outcome::End, completions);
            }
            Some(Err(error)) => {
                self.note_more(place);
                self.finish(key, Outcome::Failed(error), completions);
            }
        }
        Step::Over
    }

    #[cold]
    fn accept(&mut self, place: Place, slot: u32, completions: &mut Vec<Completion>) {
        let (key, operation) = self.operations.tenant(slot);
        let token = operation.token;
        for _ in 0..ACCEPTS_PER_TURN {
            match self.sockets.kernel.accept(place.descriptor as i32) {
                Ok(descriptor) => {
                    let socket = self.sockets.kernel.accepted(descriptor);
                    completions.push(Completion {
                        token,
                        key,
                        outcome: Outcome::Accepted(socket),
                        last: false,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if sys::is_of_the_connection(&error) => {}
                Err(error) => {
                    // The connection is still in the queue and makes no new edge.
                    self.note_more(place);
                    return self.finish(key, Outcome::Failed(error), completions);
                }
            }
        }
        self.note_more(place);
        self.put_on_ready_list(place.socket());
    }

    /// Something may be left to read at `place`.
    #[cold]
    fn note_more(&mut self, place: Place) {
        if let Some(watched) = self.sockets.table.at(place) {
            watched.set(Flag::READABLE);
        }
    }

    #[cold]
    fn starve(&mut self, place: Place) {
        self.counters.starved_receives.increment();
        self.note_more(place);
        self.sockets.table.enter(place.socket()).set(Flag::LISTED);
        self.starved.push(place);
    }

    #[cold]
    fn write(&mut self, place: Place, slot: u32, completions: &mut Vec<Completion>) {
        let (key, operation) = self.operations.tenant(slot);
        match operation.kind {
            Kind::Writable => self.finish(key, Outcome::Writable, completions),
            Kind::Connect => self.finish_connecting(place.socket(), key, completions),
            kind @ (Kind::Accept | Kind::Receive | Kind::Signal) => unreachable!("{kind:?} does not write"),
        }
    }

    fn finish_connecting(&mut self, socket: Socket, key: Key, completions: &mut Vec<Completion>) {
        let kernel = &mut self.sockets.kernel;
        let outcome = match kernel.option(socket, SocketOption::Error(0)) {
            Ok(SocketOption::Error(errno)) if errno != 0 => {
                Outcome::Failed(io::Error::from_raw_os_error(errno))
            }
            // The event told of the time before connect(2) was called.
            Ok(_) if kernel.peer_address(socket).is_err() => return,
            Ok(_) => Outcome::Connected,
            Err(error) => Outcome::Failed(error),
        };
        self.finish(key, outcome, completions);
    }

    fn take_signals(&mut self, completions: &mut Vec<Completion>) {
        for (key, watch) in &self.signals {
            let token = self.operations.get(*key).expect("a watch ends with its operation").token;
            completions.extend(signals::numbers(watch.take()).map(|number| Completion {
                token,
                key: *key,
                outcome: Outcome::Signal(number),
                last: false,
            }));
        }
    }
}
