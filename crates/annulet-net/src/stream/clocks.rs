//! The clocks of a connection. Activity only stores a time; the wheel's entry re-checks when it fires.

use annulet_driver::Instant;
use annulet_runtime::TimerKey;

use super::{Flag, Life, Receive, State, Stream};
use crate::error::Error;
use crate::options::{Clock, Clocks};

pub(super) struct Timing {
    /// What the running read (or linger) clock counts from.
    pub(super) since: Instant,
    /// Since when the reader, which was waiting, has been busy with something else ([`Flag::PAUSED`]).
    paused: Instant,
    /// When the current message began.
    message_since: Instant,
    timer: Option<TimerKey>,
    timer_at: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Setup,
    BetweenMessages,
    WithinMessage,
    /// Within a message whose rest may be of any length.
    Streaming,
}

impl Timing {
    pub(super) fn starting(now: Instant) -> Self {
        Self { since: now, paused: now, message_since: now, timer: None, timer_at: now }
    }
}

impl State {
    #[inline]
    pub(super) fn bytes_came(&mut self, now: Instant) {
        if self.flags.is(Flag::PAUSED) {
            self.resume(now);
        }
        self.timing.since = now;
    }

    /// The reader gave up its wait.
    pub(super) fn pause(&mut self, now: Instant) {
        if !self.flags.is(Flag::PAUSED) {
            self.flags.set(Flag::PAUSED);
            self.timing.paused = now;
        }
    }

    /// The reader waits (again): what it did meanwhile does not count.
    #[inline(never)]
    pub(super) fn resume(&mut self, now: Instant) {
        if self.flags.take(Flag::PAUSED) {
            let pause = now - self.timing.paused;
            self.timing.since += pause;
            self.timing.message_since += pause;
        }
    }

    /// Whether nothing is to be done for the idle clock: the usual case of a connection that waits for its next message.
    #[inline]
    pub(super) fn is_watched_for_idle(&self) -> bool {
        self.phase == Phase::BetweenMessages && self.flags.is(Flag::IDLE_WATCHED)
    }

    /// Whether some clock runs while the reader waits now.
    pub(super) fn counts_waiting(&self, clocks: &Clocks) -> bool {
        match self.phase {
            Phase::Setup => clocks.setup.is_some(),
            Phase::BetweenMessages => clocks.idle.is_some(),
            Phase::WithinMessage | Phase::Streaming => true,
        }
    }
}

impl Stream {
    /// The first bytes of all. A timer that has nothing more to watch would wake the reactor for nothing.
    #[inline(never)]
    pub(super) fn end_setup(&self, state: &mut State) {
        state.phase = Phase::BetweenMessages;
        if self.deadline(state).is_none() && self.group.clocks.idle.is_none() {
            self.stop_timer(state);
        }
    }

    /// A message's first byte is here.
    pub(crate) fn message_started(&self) {
        let mut state = self.state.borrow_mut();
        if state.phase != Phase::WithinMessage {
            state.phase = Phase::WithinMessage;
            state.timing.message_since = state.timing.since;
        }
    }

    /// What follows of the message may be of any length. A drain that has begun waits for its end.
    pub(crate) fn message_streams(&self) {
        let mut state = self.state.borrow_mut();
        state.phase = Phase::Streaming;
        // A receive that is just being cancelled is armed again when it has been.
        if state.flags.take(Flag::DRAINING) && state.receive == Receive::Idle && state.life == Life::Open {
            self.arm_receive(&mut state);
        }
    }

    /// The message is complete.
    pub(crate) fn message_ended(&self) {
        let mut state = self.state.borrow_mut();
        let has_streamed = state.phase == Phase::Streaming;
        state.phase = Phase::BetweenMessages;
        if has_streamed && self.group.is_draining() {
            self.start_drain(&mut state);
        }
    }

    /// Turns the idle clock off.
    pub(crate) fn allow_idling(&self) {
        self.state.borrow_mut().flags.set(Flag::MAY_IDLE);
    }

    /// The next deadline, and the clock it belongs to.
    fn deadline(&self, state: &State) -> Option<(Instant, Clock)> {
        let clocks = &self.group.clocks;
        let timing = &state.timing;
        let at = |since: Instant, limit: Option<std::time::Duration>, clock| {
            limit.map(|limit| (since + limit, clock))
        };
        let earlier = |a: Option<(Instant, Clock)>, b: Option<(Instant, Clock)>| match (a, b) {
            (Some(a), Some(b)) => Some(if a.0 <= b.0 { a } else { b }),
            (a, b) => a.or(b),
        };
        let write = match &state.buffers {
            Some(buffers) if buffers.writable.is_some() => {
                at(buffers.write_since, clocks.write, Clock::Write)
            }
            _ => None,
        };
        let read = match state.life {
            Life::Open if state.flags.is(Flag::READER_WAITING) => match state.phase {
                Phase::Setup => at(timing.since, clocks.setup, Clock::Setup),
                Phase::BetweenMessages if state.flags.is(Flag::MAY_IDLE) => None,
                Phase::BetweenMessages => at(timing.since, clocks.idle, Clock::Idle),
                Phase::WithinMessage => earlier(
                    at(timing.since, clocks.inactivity, Clock::Inactivity),
                    at(timing.message_since, clocks.request, Clock::Request),
                ),
                Phase::Streaming => at(timing.since, clocks.inactivity, Clock::Inactivity),
            },
            Life::Lingering => at(timing.since, clocks.linger, Clock::Linger),
            _ => None,
        };
        earlier(write, read)
    }

    /// Sees to it that the wheel's entry is not later than the next deadline; an earlier one is left to re-check.
    #[inline(never)]
    pub(super) fn update_timer(&self, state: &mut State) {
        if state.life == Life::Closed {
            return;
        }
        let Some((deadline, clock)) = self.deadline(state) else { return };
        if state.timing.timer.is_none() || state.timing.timer_at > deadline {
            self.stop_timer(state);
            state.timing.timer = Some(self.reactor().arm_timer(deadline, self.id()));
            state.timing.timer_at = deadline;
        }
        if clock == Clock::Idle {
            state.flags.set(Flag::IDLE_WATCHED);
        }
    }

    pub(super) fn stop_timer(&self, state: &mut State) {
        state.flags.clear(Flag::IDLE_WATCHED);
        if let Some(key) = state.timing.timer.take() {
            self.reactor().cancel_timer(key);
        }
    }

    pub(super) fn on_timer(&self, state: &mut State) {
        state.timing.timer = None;
        state.flags.clear(Flag::IDLE_WATCHED);
        let Some((deadline, clock)) = self.deadline(state) else { return };
        if self.now() >= deadline {
            self.ran_out(state, clock);
        }
    }

    fn ran_out(&self, state: &mut State, clock: Clock) {
        let counters = self.counters();
        match clock {
            Clock::Setup => counters.timeouts_setup.increment(),
            Clock::Idle => counters.timeouts_idle.increment(),
            Clock::Inactivity => counters.timeouts_inactivity.increment(),
            Clock::Request => counters.timeouts_request.increment(),
            Clock::Write => counters.timeouts_write.increment(),
            Clock::Linger => counters.timeouts_linger.increment(),
            Clock::Connect => unreachable!("a connection's own clocks start when it is connected"),
        }
        tracing::debug!(connection = self.number, %clock, "timed out");
        match clock {
            Clock::Write => self.reset(state, Error::Timeout(clock)),
            Clock::Linger => state.life = Life::Finishing,
            _ => {
                // Only input is over: a handler may still say farewell.
                state.trouble().read.get_or_insert(Error::Timeout(clock));
                Self::wake_reader(state);
            }
        }
    }
}
