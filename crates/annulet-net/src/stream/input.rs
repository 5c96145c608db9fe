//! What arrives.

use std::rc::Rc;
use std::task::{Context, Poll};

use annulet_driver::{Chunk, Completion, Op, Outcome};

use super::{LINGER_BYTES_MAX, Life, RECEIVE, Receive, State, Stream, failure, state_of, submit};
use crate::error::Error;

/// Arrivals up to this size are copied behind an unread chunk rather than queued with a buffer of their own.
const JOINED_MAX: usize = 512;
/// Bytes a draining connection still delivers beyond what it had: a peer that never pauses does not hold up the end.
const DRAIN_BYTES_MAX: usize = 1024 * 1024;

impl Stream {
    /// The next bytes, `None` at the end.
    pub(crate) fn poll_recv(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<Result<Option<Chunk>, Error>> {
        let mut state = state_of(self);
        let state = &mut *state;
        if state.unread.is_some() || state.is_input_over() {
            std::task::ready!(self.reactor().poll_budget(cx));
            if let Some(chunk) = self.take_unread(state) {
                state.flags.reader_active = true;
                return Poll::Ready(Ok(Some(chunk)));
            }
            if let Some(error) = state.read_error.or(state.write_error) {
                return Poll::Ready(Err(error));
            }
            if state.flags.ended {
                return Poll::Ready(Ok(None));
            }
            if state.receive == Receive::Idle {
                return Poll::Ready(self.receive_last(state));
            }
        }
        if state.receive == Receive::Idle {
            self.arm_receive(state);
        }
        if !state.reader.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            state.reader = Some(cx.waker().clone());
        }
        state.flags.reader_waiting = true;
        state.timing.resume(self.now());
        if std::mem::take(&mut state.flags.reader_active) {
            state.timing.since = self.now();
        }
        if state.timing.counts_waiting(&self.group.clocks) {
            self.update_timer(state);
        }
        Poll::Pending
    }

    /// True when the peer has ended and all it sent was received.
    pub(crate) fn has_ended(&self) -> bool {
        state_of(self).flags.ended
    }

    /// The reader has given up its wait: the clocks stand still until it waits again.
    pub(crate) fn stop_waiting(&self) {
        let mut state = state_of(self);
        if std::mem::take(&mut state.flags.reader_waiting) {
            state.timing.pause(self.now());
        }
    }

    fn take_unread(&self, state: &mut State) -> Option<Chunk> {
        let chunk = state.unread.take()?;
        if let Some(buffers) = &mut state.buffers {
            if let Some(next) = buffers.unread.pop_front() {
                buffers.unread_pinned -= next.pinned();
                state.unread = Some(next);
            }
            self.release_buffers(state);
        }
        if state.receive == Receive::Idle && self.wants_input(state) {
            self.arm_receive(state);
        }
        Some(chunk)
    }

    /// Whether a receive that is not armed should be.
    fn wants_input(&self, state: &State) -> bool {
        state.life == Life::Open
            && !state.is_input_over()
            && state.unread_pinned() <= self.group.limits.unread_max / 2
    }

    pub(super) fn arm_receive(&self, state: &mut State) {
        state.receive = Receive::Armed(submit(self, RECEIVE, Op::Receive { socket: self.socket }));
    }

    pub(super) fn cancel_receive(&self, state: &mut State) {
        if let Receive::Armed(key) = state.receive {
            state.receive = Receive::Cancelling(key);
            self.reactor().cancel(key);
        }
    }

    pub(super) fn on_receive(&self, state: &mut State, completion: Completion) {
        if completion.last {
            state.receive = Receive::Idle;
        }
        match completion.outcome {
            Outcome::Received(chunk) => self.on_bytes(state, chunk),
            Outcome::End => {
                state.flags.ended = true;
                Self::wake_reader(state);
            }
            Outcome::Cancelled => {
                // Why it was cancelled may have passed meanwhile; otherwise a draining reader looks for itself now.
                if self.wants_input(state) || matches!(state.life, Life::Closing | Life::Lingering { .. }) {
                    self.arm_receive(state);
                } else {
                    Self::wake_reader(state);
                }
            }
            outcome => {
                let error = failure(&outcome).expect("a receive fails, ends or is cancelled");
                if error == Error::Reset {
                    self.counters().resets_received.increment();
                }
                self.fail(state, error);
            }
        }
    }

    fn on_bytes(&self, state: &mut State, chunk: Chunk) {
        match &mut state.life {
            Life::Open => state.timing.received(self.now()),
            // The linger's clock is not put back by what nobody wants.
            Life::Lingering { discarded } => {
                *discarded = discarded.saturating_add(chunk.len() as u32);
                return;
            }
            Life::Closing | Life::Finishing | Life::Closed => return,
        }
        if state.unread.is_none() {
            state.unread = Some(chunk);
        } else {
            self.queue_unread(state, chunk);
        }
        if state.unread_pinned() > self.group.limits.unread_max && matches!(state.receive, Receive::Armed(_))
        {
            self.counters().receive_paused.increment();
            self.cancel_receive(state);
        }
        Self::wake_reader(state);
    }

    /// Queues a chunk behind others, small ones in the unused rest of the last one's buffer.
    fn queue_unread(&self, state: &mut State, chunk: Chunk) {
        let last = match &mut state.buffers {
            Some(buffers) if !buffers.unread.is_empty() => buffers.unread.back_mut(),
            _ => state.unread.as_mut(),
        };
        if chunk.len() <= JOINED_MAX && last.is_some_and(|last| last.try_append(&chunk)) {
            return;
        }
        let buffers = self.buffers(state);
        buffers.unread_pinned += chunk.pinned();
        buffers.unread.push_back(chunk);
    }

    /// Draining: what the kernel still has, one chunk at a time, then the end.
    fn receive_last(&self, state: &mut State) -> Result<Option<Chunk>, Error> {
        if state.timing.drained_bytes >= DRAIN_BYTES_MAX as u32 {
            return Ok(None);
        }
        match self.reactor().driver(|driver| driver.try_receive(self.socket)) {
            Ok(Some(chunk)) => {
                state.timing.drained_bytes += chunk.len() as u32;
                Ok(Some(chunk))
            }
            Ok(None) => {
                state.flags.ended = true;
                Ok(None)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => {
                let error = Error::from_io(&error);
                self.fail(state, error);
                Err(error)
            }
        }
    }

    /// Deliver what has been received, then the end.
    pub(super) fn start_drain(&self, state: &mut State) {
        if state.life != Life::Open || std::mem::replace(&mut state.flags.draining, true) {
            return;
        }
        match state.receive {
            // The reader looks for itself once nothing is armed.
            Receive::Idle => Self::wake_reader(state),
            Receive::Armed(_) => self.cancel_receive(state),
            Receive::Cancelling(_) => {}
        }
    }

    /// The linger's discarded bytes are more than is put up with.
    pub(super) fn lingered_enough(discarded: u32) -> bool {
        discarded > LINGER_BYTES_MAX
    }
}

impl State {
    /// Nothing more comes, or only what the kernel still has.
    fn is_input_over(&self) -> bool {
        self.read_error.is_some() || self.write_error.is_some() || self.flags.ended || self.flags.draining
    }

    /// Memory pinned by what arrived and was not taken.
    fn unread_pinned(&self) -> usize {
        let queued = self.buffers.as_ref().map_or(0, |buffers| buffers.unread_pinned);
        self.unread.as_ref().map_or(0, |chunk| chunk.pinned()) + queued
    }
}
