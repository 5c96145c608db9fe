//! The end of a connection.

use std::rc::Rc;

use annulet_driver::SocketOption;

use super::{Flag, LINGER_BYTES_MAX, Life, Receive, State, Stream, state_of};
use crate::error::Error;

impl Stream {
    /// The last handle is gone: what is staged leaves, then FIN, then a bounded wait for the peer's.
    pub(super) fn close(self: &Rc<Self>) {
        let mut state = state_of(self);
        state.reader = None;
        state.flags.clear(Flag::READER_WAITING);
        if let Some(buffers) = &mut state.buffers {
            buffers.writer = None;
        }
        state.discard_unread();
        if state.life == Life::Open {
            state.life = Life::Closing;
            state.flags.set(Flag::WRITE_SHUT);
            self.send_at_turn_end(&mut state);
            // A peer may read nothing before it has sent everything.
            if state.receive == Receive::Idle && !state.flags.is(Flag::ENDED) && state.write_error().is_none()
            {
                self.arm_receive(&mut state);
            }
        }
    }

    /// The handler failed. When that was in the middle of a write and nobody is left to go on with it, the peer is not to
    /// take what it got for all there was.
    pub(crate) fn reset_if_half_written(self: &Rc<Self>) {
        let mut state = state_of(self);
        if state.life == Life::Closing && state.flags.is(Flag::HALF_WRITTEN) {
            tracing::debug!(connection = self.number, "reset: its last write was given up half-way");
            self.reset(&mut state, Error::Aborted);
            self.advance_close(&mut state);
        }
    }

    /// Resets the connection now; whoever waits on it gets `error`.
    pub(crate) fn abort(self: &Rc<Self>, error: Error) {
        let mut state = state_of(self);
        if matches!(state.life, Life::Finishing | Life::Closed) {
            return;
        }
        self.reset(&mut state, error);
        self.advance_close(&mut state);
    }

    /// The end of the group's patience. A connection that has sent all, its FIN too, has nothing left to lose by a reset but
    /// its last bytes: it closes as when its linger clock runs out. Any other is reset, and counts as cut.
    pub(super) fn cut(self: &Rc<Self>) {
        let mut state = state_of(self);
        match state.life {
            Life::Open | Life::Closing => {
                self.group.count_cut();
                self.reset(&mut state, Error::Aborted);
            }
            Life::Lingering => state.life = Life::Finishing,
            Life::Finishing | Life::Closed => return,
        }
        self.advance_close(&mut state);
    }

    pub(super) fn reset(&self, state: &mut State, error: Error) {
        self.reset_on_close();
        self.fail(state, error);
        state.life = Life::Finishing;
    }

    /// The socket's end will be a reset.
    pub(super) fn reset_on_close(&self) {
        self.counters().resets_sent.increment();
        let reset = SocketOption::ResetOnClose(true);
        // Fails only on a socket that is beyond resetting.
        let _ = self.reactor().driver(|driver| driver.sockets().set_option(self.socket, reset));
    }

    /// Takes every step towards the end that can be taken now.
    pub(super) fn advance_close(&self, state: &mut State) {
        if state.life == Life::Closing {
            let is_fin_sent = state.flags.is(Flag::FIN_SENT);
            if state.write_error().is_some() || (is_fin_sent && state.flags.is(Flag::ENDED)) {
                state.life = Life::Finishing;
            } else if is_fin_sent {
                self.linger(state);
            }
        }
        if state.life == Life::Lingering {
            let is_lost = state.read_error().is_some_and(|error| !matches!(error, Error::Timeout(_)));
            if is_lost || state.flags.is(Flag::ENDED) {
                state.life = Life::Finishing;
            } else if state.late_bytes > LINGER_BYTES_MAX {
                self.counters().linger_overruns.increment();
                state.life = Life::Finishing;
            }
        }
        if state.life == Life::Finishing {
            self.finish(state);
        }
    }

    fn linger(&self, state: &mut State) {
        if self.group.clocks.linger.is_none() {
            state.life = Life::Finishing;
            return;
        }
        state.life = Life::Lingering;
        state.late_bytes = 0;
        state.timing.since = self.now();
        self.update_timer(state);
        if state.receive == Receive::Idle {
            self.arm_receive(state);
        }
    }

    /// Ends the operations in flight, then the socket.
    fn finish(&self, state: &mut State) {
        self.cancel_receive(state);
        let writable = state.buffers.as_ref().and_then(|buffers| buffers.writable);
        if let Some(key) = writable {
            self.reactor().cancel(key);
        }
        if state.receive == Receive::Idle && writable.is_none() {
            self.close_socket(state);
        }
    }

    pub(super) fn close_socket(&self, state: &mut State) {
        if state.life == Life::Closed {
            return;
        }
        self.stop_timer(state);
        state.life = Life::Closed;
        state.discard_unread();
        self.release_buffers(state);
        self.reactor().driver(|driver| driver.close(self.socket));
        if let Some(id) = self.id.take() {
            self.reactor().deregister(id);
        }
        self.counters().connections_closed.increment();
        self.counters().connections_open.subtract(1);
        self.group.closed();
    }
}

impl State {
    fn discard_unread(&mut self) {
        self.unread = None;
        if let Some(buffers) = &mut self.buffers {
            buffers.unread.clear();
            buffers.unread_pinned = 0;
        }
    }
}
