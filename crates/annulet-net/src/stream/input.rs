//! What arrives.

use std::task::{Context, Poll};

use annulet_driver::{Chunk, Instant, Op, Outcome};

use super::{Flag, Life, Phase, RECEIVE, Receive, State, Stream, failure, state_of, submit};
use crate::error::Error;

/// Arrivals up to this size are copied behind an unread chunk rather than queued with a buffer of their own.
const JOINED_MAX: usize = 512;
/// Bytes a draining connection still delivers beyond what it had: a peer that never pauses does not hold up the end.
const DRAIN_BYTES_MAX: u32 = 1024 * 1024;

impl Stream {
    /// The next bytes, `None` at the end.
    // A handler awaits it once or twice: a call would cost more than the code.
    #[inline(always)]
    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Chunk>, Error>> {
        let mut state = state_of(self);
        let state = &mut *state;
        if state.unread.is_some() {
            std::task::ready!(self.reactor().poll_budget(cx));
            let chunk = state.unread.take();
            state.flags.set(Flag::READER_ACTIVE);
            if state.buffers.is_some() || state.receive == Receive::Idle {
                self.has_taken(state);
            }
            return Poll::Ready(Ok(chunk));
        }
        if state.is_input_over()
            && let Some(end) = self.poll_end(state, cx)
        {
            return end;
        }
        self.wait_to_read(state, cx);
        Poll::Pending
    }

    /// True when the peer has ended and all it sent was received.
    pub(crate) fn has_ended(&self) -> bool {
        state_of(self).flags.is(Flag::ENDED)
    }

    /// True while nothing is unread and more may come.
    pub(crate) fn is_quiet(&self) -> bool {
        let state = state_of(self);
        state.unread.is_none() && !state.is_input_over()
    }

    /// What has arrived and is unread, without waiting.
    pub(crate) fn take_unread(&self) -> Option<Chunk> {
        let mut state = state_of(self);
        let chunk = state.unread.take()?;
        state.flags.set(Flag::READER_ACTIVE);
        self.has_taken(&mut state);
        Some(chunk)
    }

    /// Whether the peer has ended or the connection is broken.
    pub(crate) fn is_peer_gone(&self) -> bool {
        let state = state_of(self);
        state.trouble.is_some() || state.flags.is(Flag::ENDED)
    }

    /// Ready when the peer has ended or the connection is broken. What arrived before may be unread.
    pub(crate) fn poll_peer_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = state_of(self);
        if state.trouble.is_some() || state.flags.is(Flag::ENDED) {
            return Poll::Ready(());
        }
        Self::replace_reader(&mut state, cx);
        state.flags.set(Flag::END_AWAITED);
        Poll::Pending
    }

    /// The reader has given up its wait: the clocks stand still until it waits again.
    #[cold]
    pub(crate) fn stop_waiting(&self) {
        let mut state = state_of(self);
        if state.flags.take(Flag::READER_WAITING) {
            state.pause(self.now());
        }
    }

    /// After a chunk was taken: the next one takes its place, and a receive that was stopped may go on.
    #[inline(never)]
    fn has_taken(&self, state: &mut State) {
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
    }

    /// What a reader gets when nothing is unread and input is over; `None` when it has to wait for the last of it.
    #[cold]
    fn poll_end(
        &self,
        state: &mut State,
        cx: &mut Context<'_>,
    ) -> Option<Poll<Result<Option<Chunk>, Error>>> {
        if self.reactor().poll_budget(cx).is_pending() {
            return Some(Poll::Pending);
        }
        if let Some(error) = state.read_error().or(state.write_error()) {
            return Some(Poll::Ready(Err(error)));
        }
        if state.flags.is(Flag::ENDED) {
            return Some(Poll::Ready(Ok(None)));
        }
        (state.receive == Receive::Idle).then(|| Poll::Ready(self.receive_last(state)))
    }

    /// Usually the receive is armed, the reader is the one of before, and no clock has to be started.
    #[inline(always)]
    fn wait_to_read(&self, state: &mut State, cx: &mut Context<'_>) {
        if state.receive == Receive::Idle {
            self.arm_receive(state);
        }
        if !state.reader.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            Self::replace_reader(state, cx);
        }
        if state.flags.is(Flag::PAUSED) {
            state.resume(self.now());
        }
        if state.flags.is(Flag::READER_ACTIVE) {
            state.timing.since = self.now();
        }
        state.flags.exchange(Flag::READER_ACTIVE, Flag::READER_WAITING);
        if !state.is_watched_for_idle() {
            self.watch_wait(state);
        }
    }

    #[inline(never)]
    fn watch_wait(&self, state: &mut State) {
        if state.counts_waiting(&self.group.clocks) {
            self.update_timer(state);
        } else if state.phase == Phase::BetweenMessages {
            // There is no idle clock.
            state.flags.set(Flag::IDLE_WATCHED);
        }
    }

    #[inline(never)]
    fn replace_reader(state: &mut State, cx: &Context<'_>) {
        state.reader = Some(cx.waker().clone());
    }

    /// Whether a receive that is not armed should be.
    fn wants_input(&self, state: &State) -> bool {
        state.life == Life::Open
            && !state.is_input_over()
            && state.unread_pinned() <= self.group.limits.unread_max / 2
    }

    #[inline(never)]
    pub(super) fn arm_receive(&self, state: &mut State) {
        state.receive = Receive::Armed(submit(self, RECEIVE, Op::Receive { socket: self.socket }));
    }

    pub(super) fn cancel_receive(&self, state: &mut State) {
        if let Receive::Armed(key) = state.receive {
            state.receive = Receive::Cancelling(key);
            self.reactor().cancel(key);
        }
    }

    pub(super) fn on_receive(&self, state: &mut State, outcome: Outcome, last: bool) {
        if last {
            state.receive = Receive::Idle;
        }
        match outcome {
            Outcome::Received(chunk) if state.life == Life::Lingering => {
                // The linger's clock is not put back by what nobody wants.
                state.late_bytes = state.late_bytes.saturating_add(chunk.len() as u32);
            }
            // Nobody is left to read it.
            Outcome::Received(_) => {}
            Outcome::End => {
                state.flags.set(Flag::ENDED);
                Self::wake_reader(state);
            }
            Outcome::Cancelled => {
                // Why it was cancelled may have passed meanwhile; otherwise a draining reader looks for itself now.
                if self.wants_input(state) || matches!(state.life, Life::Closing | Life::Lingering) {
                    self.arm_receive(state);
                } else {
                    Self::wake_reader(state);
                }
            }
            outcome => {
                let error = failure(&outcome).expect("a receive fails, ends or is cancelled");
                self.fail(state, error);
            }
        }
    }

    /// Bytes for an open connection.
    #[inline]
    pub(super) fn on_bytes(&self, state: &mut State, now: Instant, chunk: Chunk) {
        state.bytes_came(now);
        if state.phase == Phase::Setup {
            self.end_setup(state);
        }
        if state.unread.is_none() && chunk.pinned() <= self.group.limits.unread_max {
            state.unread = Some(chunk);
        } else {
            self.queue_unread(state, chunk);
        }
        Self::wake_reader(state);
    }

    /// Keeps a chunk behind others, and stops receiving when that is more than may be unread.
    #[inline(never)]
    fn queue_unread(&self, state: &mut State, chunk: Chunk) {
        if state.unread.is_none() {
            state.unread = Some(chunk);
        } else if let Some(chunk) = state.join(chunk) {
            let buffers = self.buffers(state);
            buffers.unread_pinned += chunk.pinned();
            buffers.unread.push_back(chunk);
        }
        if state.unread_pinned() > self.group.limits.unread_max && matches!(state.receive, Receive::Armed(_))
        {
            self.counters().receive_paused.increment();
            self.cancel_receive(state);
        }
    }

    /// Draining: what the kernel still has, one chunk at a time, then the end.
    fn receive_last(&self, state: &mut State) -> Result<Option<Chunk>, Error> {
        if state.late_bytes >= DRAIN_BYTES_MAX {
            return Ok(None);
        }
        match self.reactor().driver(|driver| driver.try_receive(self.socket)) {
            Ok(Some(chunk)) => {
                state.late_bytes += chunk.len() as u32;
                Ok(Some(chunk))
            }
            Ok(None) => {
                state.flags.set(Flag::ENDED);
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
        // A message that streams in is received to its end; then the drain begins.
        if state.life != Life::Open || state.flags.is(Flag::DRAINING) || state.phase == Phase::Streaming {
            return;
        }
        state.flags.set(Flag::DRAINING);
        match state.receive {
            // The reader looks for itself once nothing is armed.
            Receive::Idle => Self::wake_reader(state),
            Receive::Armed(_) => self.cancel_receive(state),
            Receive::Cancelling(_) => {}
        }
    }
}

impl State {
    /// Nothing more comes, or only what the kernel still has.
    #[inline]
    pub(super) fn is_input_over(&self) -> bool {
        self.trouble.is_some() || self.flags.is(Flag::INPUT_OVER)
    }

    /// Copies a small chunk into the unused rest of the last one's buffer, or gives it back.
    fn join(&mut self, chunk: Chunk) -> Option<Chunk> {
        let last = match &mut self.buffers {
            Some(buffers) if !buffers.unread.is_empty() => buffers.unread.back_mut(),
            _ => self.unread.as_mut(),
        };
        let is_joined = chunk.len() <= JOINED_MAX && last.is_some_and(|last| last.try_append(&chunk));
        (!is_joined).then_some(chunk)
    }

    /// Memory pinned by what arrived and was not taken.
    pub(super) fn unread_pinned(&self) -> usize {
        let queued = self.buffers.as_ref().map_or(0, |buffers| buffers.unread_pinned);
        self.unread.as_ref().map_or(0, |chunk| chunk.pinned()) + queued
    }
}
