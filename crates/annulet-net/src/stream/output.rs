//! What leaves.

use std::io::{ErrorKind, IoSlice};
use std::net::Shutdown;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use annulet_driver::{Op, Outcome, Payload};
use annulet_runtime::Reactor;

use super::local::STAGING_MAX;
use super::{Flag, Life, State, Stream, Trouble, WRITABLE, state_of, submit};
use crate::error::Error;

/// Payloads staged at most, however small they are.
const PAYLOADS_MAX: usize = 1024;
/// Payloads offered to the kernel in one call.
const SLICES_MAX: usize = 16;

impl Stream {
    /// Stages a payload when there is room for it.
    ///
    /// # Panics
    /// When there is no payload: it was staged before.
    // Inline for the same reason as `poll_recv`.
    #[inline(always)]
    pub(crate) fn poll_send<P: Into<Payload> + AsRef<[u8]>>(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        payload: &mut Option<P>,
    ) -> Poll<Result<(), Error>> {
        let staged = payload.take().expect("not polled after it was ready");
        let mut state = state_of(self);
        if state.is_first() && !staged.as_ref().is_empty() {
            state.outbox = Some(self.local.post(self, Some(staged.into())));
            return Poll::Ready(Ok(()));
        }
        drop(state);
        if self.poll_room(cx, staged.as_ref().len())?.is_pending() {
            *payload = Some(staged);
            return Poll::Pending;
        }
        Poll::Ready(self.stage(staged.into()))
    }

    /// Ready when a payload of `length` bytes may be staged.
    pub(crate) fn poll_room(self: &Rc<Self>, cx: &mut Context<'_>, length: usize) -> Poll<Result<(), Error>> {
        self.poll_room_in(&mut state_of(self), cx, length)
    }

    pub(super) fn poll_room_in(
        &self,
        state: &mut State,
        cx: &mut Context<'_>,
        length: usize,
    ) -> Poll<Result<(), Error>> {
        self.check_writable(state)?;
        if (state.outbox.is_none() && state.buffers.is_none()) || self.has_room(state, length) {
            return Poll::Ready(Ok(()));
        }
        self.counters().writers_waited.increment();
        self.wait_to_write(state, cx);
        Poll::Pending
    }

    fn has_room(&self, state: &State, length: usize) -> bool {
        let queued = state.buffers.as_ref().map_or(0, |buffers| buffers.unsent.len());
        let unsent = self.unsent_bytes(state);
        unsent == 0 || (unsent + length <= self.group.limits.unsent_max && queued < PAYLOADS_MAX)
    }

    /// Bytes staged and not taken by the kernel.
    pub(super) fn unsent_bytes(&self, state: &State) -> usize {
        let queued = state.buffers.as_ref().map_or(0, |buffers| buffers.unsent_bytes);
        let posted =
            |place| self.local.with_posted(place, |payload| payload.as_ref().map_or(0, Payload::len));
        queued + state.outbox.map_or(0, posted)
    }

    /// Copies as much of `bytes` as there is room for; ready when that is at least one byte.
    pub(crate) fn poll_write(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Error>> {
        ready!(self.poll_room(cx, bytes.len().min(1)))?;
        let mut state = state_of(self);
        let limit = self.group.limits.unsent_max;
        let count = bytes.len().min(limit.saturating_sub(self.unsent_bytes(&state)).max(1));
        state.flags.put(Flag::HALF_WRITTEN, count < bytes.len());
        let bytes = &bytes[..count];
        if count > 0 {
            self.copy(&mut state, bytes, &[]);
        }
        Poll::Ready(Ok(count))
    }

    /// Copies both pieces when there is room for them.
    // What they are is known to every caller, so that inlined it would be there many times.
    #[inline(never)]
    pub(crate) fn poll_copy(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<Result<(), Error>> {
        let mut state = state_of(self);
        if state.is_first() {
            let mut staging = self.local.take_staging();
            staging.extend_from_slice(first);
            staging.extend_from_slice(second);
            state.outbox = Some(self.local.post_copy(self, staging));
            return Poll::Ready(Ok(()));
        }
        self.poll_copy_behind(&mut state, cx, first, second)
    }

    #[inline(never)]
    fn poll_copy_behind(
        self: &Rc<Self>,
        state: &mut State,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<Result<(), Error>> {
        if state.buffers.is_none() && state.may_write() && self.append_posted(state, first, second) {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_room_in(state, cx, first.len() + second.len()))?;
        self.copy(state, first, second);
        Poll::Ready(Ok(()))
    }

    /// Copies both pieces behind what was staged first in this turn, if there is room for them in every respect.
    #[inline(always)]
    fn append_posted(&self, state: &State, first: &[u8], second: &[u8]) -> bool {
        let Some(place) = state.outbox else { return false };
        let length_max = self.group.limits.unsent_max.min(STAGING_MAX);
        self.local.with_posted(place, |payload| match payload {
            Some(Payload::Vec { bytes, .. }) if bytes.len() + first.len() + second.len() <= length_max => {
                bytes.extend_from_slice(first);
                bytes.extend_from_slice(second);
                true
            }
            _ => false,
        })
    }

    /// Copies both pieces, at least one byte, behind what is staged.
    fn copy(self: &Rc<Self>, state: &mut State, first: &[u8], second: &[u8]) {
        if !self.append(state, first, second) {
            let mut staging = self.local.take_staging();
            staging.extend_from_slice(first);
            staging.extend_from_slice(second);
            self.stage_payload(state, staging.into());
        }
    }

    /// A writer was given more than it took, in pieces.
    #[cfg(any(feature = "futures-io", feature = "tokio-io"))]
    pub(crate) fn note_half_written(&self) {
        state_of(self).flags.set(Flag::HALF_WRITTEN);
    }

    /// Copies both pieces behind what was staged last, if that can grow.
    fn append(&self, state: &mut State, first: &[u8], second: &[u8]) -> bool {
        let length = first.len() + second.len();
        // Only up to a length: what was sent from the front of a buffer is freed with the buffer, and a peer that is
        // always a little behind would otherwise have one buffer grow with everything ever written to it.
        let extend = |last: Option<&mut Payload>| match last {
            Some(Payload::Vec { bytes: staging, .. }) if staging.len() + length <= STAGING_MAX => {
                staging.extend_from_slice(first);
                staging.extend_from_slice(second);
                true
            }
            _ => false,
        };
        match &mut state.buffers {
            Some(buffers) if !buffers.unsent.is_empty() => {
                let appended = extend(buffers.unsent.back_mut());
                buffers.unsent_bytes += if appended { length } else { 0 };
                appended
            }
            _ => match state.outbox {
                Some(place) => self.local.with_posted(place, |payload| extend(payload.as_mut())),
                None => false,
            },
        }
    }

    /// Adds a payload behind what is staged; it leaves when the turn ends.
    pub(crate) fn stage(self: &Rc<Self>, payload: Payload) -> Result<(), Error> {
        let mut state = state_of(self);
        self.check_writable(&state)?;
        if !payload.is_empty() {
            self.stage_payload(&mut state, payload);
        }
        Ok(())
    }

    pub(super) fn stage_payload(self: &Rc<Self>, state: &mut State, mut payload: Payload) {
        if state.outbox.is_none() && state.buffers.is_none() {
            state.outbox = Some(self.local.post(self, Some(payload)));
            return;
        }
        let first = state.outbox.and_then(|place| self.local.with_posted(place, Option::take));
        let buffers = self.buffers(state);
        if buffers.writable.is_some() {
            // It gets no attempt of its own before the peer takes what is queued, which may be long.
            payload.unpin();
        }
        for payload in first.into_iter().chain([payload]) {
            buffers.unsent_bytes += payload.len();
            buffers.unsent.push_back(payload);
        }
        self.send_at_turn_end(state);
    }

    /// Ready when the kernel has taken every staged byte.
    pub(crate) fn poll_flush(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut state = state_of(self);
        if let Some(error) = state.write_error() {
            return Poll::Ready(Err(error));
        }
        if self.unsent_bytes(&state) == 0 {
            return Poll::Ready(Ok(()));
        }
        self.wait_to_write(&mut state, cx);
        Poll::Pending
    }

    /// Sends FIN after what is staged.
    pub(crate) fn shutdown_write(self: &Rc<Self>) {
        let mut state = state_of(self);
        if !state.flags.is(Flag::WRITE_SHUT) {
            state.flags.set(Flag::WRITE_SHUT);
            self.send_at_turn_end(&mut state);
        }
    }

    pub(super) fn check_writable(&self, state: &State) -> Result<(), Error> {
        match state.write_error() {
            Some(error) => Err(error),
            None if state.flags.is(Flag::WRITE_SHUT) => Err(Error::BrokenPipe),
            None => Ok(()),
        }
    }

    fn wait_to_write(&self, state: &mut State, cx: &mut Context<'_>) {
        let buffers = self.buffers(state);
        if !buffers.writer.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            buffers.writer = Some(cx.waker().clone());
        }
    }

    /// Has [`send_posted`](Self::send_posted) called, unless the kernel is waited for already.
    pub(super) fn send_at_turn_end(self: &Rc<Self>, state: &mut State) {
        let is_blocked = state.buffers.as_ref().is_some_and(|buffers| buffers.writable.is_some());
        if !is_blocked && state.life != Life::Closed && state.outbox.is_none() {
            state.outbox = Some(self.local.post(self, None));
        }
    }

    /// The turn ends: all that is staged, one payload, leaves. `recycle` gets it when it is gone.
    #[inline(always)]
    pub(super) fn send_posted<P: Into<Payload> + AsRef<[u8]>>(
        &self,
        reactor: &Reactor,
        payload: P,
        recycle: impl FnOnce(P),
    ) {
        let mut state = state_of(self);
        let state = &mut *state;
        state.outbox = None;
        if state.life == Life::Closed {
            return;
        }
        let bytes = payload.as_ref();
        let length = bytes.len();
        let result = reactor.driver(|driver| driver.try_send(self.socket, bytes));
        if !matches!(result, Ok(taken) if taken == length) {
            return self.sent_in_part(state, payload.into(), length, result);
        }
        recycle(payload);
        if state.life != Life::Open || state.buffers.is_some() || state.flags.is(Flag::WRITE_SHUT) {
            self.has_sent(state);
            self.step(state);
        }
    }

    /// The turn ends: true when all that is staged, one payload, may leave with the driver's next turn, for nothing follows
    /// from its being sent. Then it does.
    pub(super) fn may_depart(&self) -> bool {
        let mut state = state_of(self);
        let is_plain =
            state.life == Life::Open && state.buffers.is_none() && !state.flags.is(Flag::WRITE_SHUT);
        if is_plain {
            state.outbox = None;
        }
        is_plain
    }

    /// The kernel did not take all of a payload that left with the driver's turn. It goes in front of what was staged since.
    #[cold]
    pub(super) fn departed_in_part(&self, payload: Payload, result: std::io::Result<usize>) {
        let mut state = state_of(self);
        let state = &mut *state;
        if !matches!(state.life, Life::Open | Life::Closing) {
            return;
        }
        // Only a payload's destructor can have staged anything: no task has run.
        if let Some(since) = state.outbox.and_then(|place| self.local.with_posted(place, Option::take)) {
            let buffers = self.buffers(state);
            buffers.unsent_bytes += since.len();
            buffers.unsent.push_front(since);
        }
        let length = payload.len();
        self.sent_in_part(state, payload, length, result);
    }

    /// The turn ends: what is staged leaves, from the queue, or FIN alone.
    #[inline(never)]
    pub(super) fn send_queue(&self) {
        let mut state = state_of(self);
        state.outbox = None;
        if state.life != Life::Closed {
            self.transmit(&mut state);
            self.step(&mut state);
        }
    }

    /// The kernel did not take all of a payload: it becomes the head of the queue.
    #[cold]
    fn sent_in_part(
        &self,
        state: &mut State,
        payload: Payload,
        length: usize,
        result: std::io::Result<usize>,
    ) {
        let buffers = self.buffers(state);
        buffers.unsent_bytes += length;
        buffers.unsent.push_front(payload);
        if self.account(state, length, result) {
            self.has_sent(state);
        }
        self.step(state);
    }

    /// Offers everything staged to the kernel, once; waits for room for what it does not take.
    pub(super) fn transmit(&self, state: &mut State) {
        while let Some(buffers) = &state.buffers
            && buffers.writable.is_none()
            && !buffers.unsent.is_empty()
        {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut offered = 0;
            let mut count = 0;
            for (slice, payload) in slices.iter_mut().zip(&buffers.unsent) {
                *slice = IoSlice::new(payload.as_slice());
                offered += payload.len();
                count += 1;
            }
            let result =
                self.reactor().driver(|driver| driver.try_send_vectored(self.socket, &slices[..count]));
            if !self.account(state, offered, result) {
                return;
            }
        }
        self.has_sent(state);
    }

    /// Takes note of what became of an offer; false when the connection failed.
    fn account(&self, state: &mut State, offered: usize, result: std::io::Result<usize>) -> bool {
        let taken = match result {
            Ok(taken) => taken,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => {
                let error = Error::from_io(&error);
                self.fail(state, error);
                return false;
            }
        };
        let buffers = state.buffers.as_mut().expect("what was offered is queued");
        buffers.unsent_bytes -= taken;
        let mut left = taken;
        while left > 0 {
            let first = buffers.unsent.front_mut().expect("the kernel takes no more than it is offered");
            let length = first.len();
            if length > left {
                first.advance(left);
                break;
            }
            left -= length;
            let sent = buffers.unsent.pop_front().expect("just seen");
            self.local.recycle(sent);
        }
        if taken < offered {
            // A slow peer pins no pool buffer: what is left of leases is copied.
            buffers.unsent.iter_mut().for_each(Payload::unpin);
            buffers.writable = Some(submit(self, WRITABLE, Op::Writable { socket: self.socket }));
            buffers.write_since = self.now();
            self.update_timer(state);
        }
        true
    }

    /// After sending: wakes writers, ends the side when that was asked for, gives back the queue.
    fn has_sent(&self, state: &mut State) {
        if state
            .buffers
            .as_ref()
            .is_none_or(|buffers| buffers.unsent_bytes <= self.group.limits.unsent_max / 2)
        {
            Self::wake_writer(state);
        }
        self.finish_writing(state);
        self.release_buffers(state);
    }

    pub(super) fn on_writable(&self, state: &mut State, outcome: Outcome) {
        if let Some(buffers) = &mut state.buffers {
            buffers.writable = None;
        }
        if state.life != Life::Finishing && matches!(outcome, Outcome::Writable | Outcome::Failed(_)) {
            // After a failure the send itself reports the error.
            self.resume_transmit(state);
        }
    }

    /// Transmits after a wait: a wait that brought no progress does not restart the write clock.
    fn resume_transmit(&self, state: &mut State) {
        let since = state.buffers.as_ref().map(|buffers| buffers.write_since);
        let before = self.unsent_bytes(state);
        self.transmit(state);
        if self.unsent_bytes(state) == before
            && let (Some(buffers), Some(since)) = (&mut state.buffers, since)
        {
            buffers.write_since = since;
            self.update_timer(state);
        }
    }

    /// FIN, once everything is out.
    fn finish_writing(&self, state: &mut State) {
        if !state.flags.is(Flag::WRITE_SHUT)
            || state.flags.is(Flag::FIN_SENT)
            || state.write_error().is_some()
        {
            return;
        }
        let is_all_out = state.buffers.as_ref().is_none_or(|buffers| buffers.unsent.is_empty())
            || cfg!(annulet_planted = "bytes-dropped-before-fin");
        if state.outbox.is_none() && is_all_out {
            state.flags.set(Flag::FIN_SENT);
            if state.life == Life::Closing && state.flags.is(Flag::ENDED) {
                // Both sides have ended: the socket is closed next, and that sends FIN as well.
                return;
            }
            // Fails only when the peer is gone, which the receive reports.
            let _ = self.reactor().driver(|driver| driver.sockets().shutdown(self.socket, Shutdown::Write));
        }
    }

    /// The connection is broken: both directions learn it, what was not sent is counted.
    pub(super) fn fail(&self, state: &mut State, error: Error) {
        let trouble = state.trouble();
        // Sending and receiving may both hear of one reset.
        if error == Error::Reset && ![trouble.read, trouble.write].contains(&Some(Error::Reset)) {
            self.counters().resets_received.increment();
        }
        // The same reset tells a send EPIPE when the receive took it first, whichever of them is heard of first.
        if error == Error::Reset && trouble.write == Some(Error::BrokenPipe) {
            *trouble = Trouble { read: Some(error), write: Some(error) };
        }
        trouble.read.get_or_insert(error);
        trouble.write.get_or_insert(error);
        let undelivered = self.unsent_bytes(state);
        if undelivered > 0 {
            self.counters().connections_undelivered.increment();
            self.counters().bytes_undelivered.add(undelivered as u64);
            tracing::debug!(connection = self.number, undelivered, %error, "bytes were not delivered");
        }
        if matches!(error, Error::Os(_)) && !state.flags.is(Flag::FIN_SENT) {
            // The peer may be there, and to it a FIN would say that this was all.
            self.reset_on_close();
        }
        if let Some(place) = state.outbox {
            let posted = self.local.with_posted(place, Option::take);
            drop(posted);
        }
        if let Some(buffers) = &mut state.buffers {
            buffers.unsent_bytes = 0;
            buffers.unsent.clear();
        }
        Self::wake_reader(state);
        Self::wake_writer(state);
    }
}

impl State {
    /// Nothing is staged, and something may be.
    #[inline]
    pub(super) fn is_first(&self) -> bool {
        self.outbox.is_none() && self.buffers.is_none() && self.may_write()
    }

    #[inline]
    fn may_write(&self) -> bool {
        self.trouble.is_none() && !self.flags.is(Flag::WRITE_SHUT)
    }
}
