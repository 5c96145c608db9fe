//! What the reactors of a server tell each other: how far its end has come. Cold: a mutex is fine.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::DrainReport;

/// How far a server has come. Only ever rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Until every listener is there on every reactor.
    Starting,
    Running,
    Draining,
    Cut,
}

#[derive(Debug)]
pub(crate) struct Control(Mutex<State>);

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Whether the server has started, however far it has come since.
    has_run: bool,
    /// Listeners on reactors that have not reported their end.
    running: usize,
    report: DrainReport,
    waiters: Vec<Waker>,
}

impl Control {
    pub(crate) fn new() -> Arc<Self> {
        let state = State {
            phase: Phase::Starting,
            has_run: false,
            running: 0,
            report: DrainReport::default(),
            waiters: Vec::new(),
        };
        Arc::new(Self(Mutex::new(state)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(state: MutexGuard<'_, State>) {
        let mut state = state;
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Moves on to `phase`, if that is further.
    pub(crate) fn advance(&self, phase: Phase) {
        let mut state = self.lock();
        if state.phase < phase {
            state.phase = phase;
            state.has_run |= phase == Phase::Running;
            Self::wake_all(state);
        }
    }

    /// One more listener runs on some reactor.
    pub(crate) fn enter(&self) {
        self.lock().running += 1;
    }

    /// A listener on some reactor has ended, with this outcome.
    pub(crate) fn leave(&self, report: DrainReport) {
        let mut state = self.lock();
        state.running -= 1;
        state.report.connections += report.connections;
        state.report.cut += report.cut;
        Self::wake_all(state);
    }

    pub(crate) fn report(&self) -> DrainReport {
        self.lock().report
    }

    /// Ready when `phase` is reached.
    pub(crate) fn poll_phase(&self, phase: Phase, cx: &mut Context<'_>) -> Poll<()> {
        Self::poll(self.lock(), |state| state.phase >= phase, cx)
    }

    /// Ready with true when the server has started, with false when it never will.
    pub(crate) fn poll_started(&self, cx: &mut Context<'_>) -> Poll<bool> {
        self.poll_phase(Phase::Running, cx).map(|()| self.lock().has_run)
    }

    /// Ready when no listener runs.
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        Self::poll(self.lock(), |state| state.running == 0, cx)
    }

    fn poll(
        mut state: MutexGuard<'_, State>,
        ready: impl Fn(&State) -> bool,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if ready(&state) {
            return Poll::Ready(());
        }
        if !state.waiters.iter().any(|waiter| waiter.will_wake(cx.waker())) {
            state.waiters.push(cx.waker().clone());
        }
        Poll::Pending
    }
}
