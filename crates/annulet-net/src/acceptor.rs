//! Accepting: a listening socket, its multishot accept, and the connections nobody has taken yet.
//!
//! | state | entered by | left by |
//! |---|---|---|
//! | armed | somebody waits for a connection; re-arming | queue full, stop, failure |
//! | cancelling | queue full, stop | the accept's last completion |
//! | paused | descriptors or memory ran out | a timer, or `retry` after an own close |
//! | idle | creation; queue was full | somebody waits; queue half empty |
//! | stopped | `stop`: the kernel's queue has been taken over, the socket is closed | |
//!
//! Descriptors may run out while the kernel's queue is taken over: then stopping pauses, too.
//!
//! Whoever waits for a connection only takes it from the queue, so a dropped wait loses none.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use annulet_driver::{Key, Op, Outcome, Socket};
use annulet_runtime::{Reactor, Source, SourceId, TimerKey};

use crate::stream::Local;

/// Accepted connections that wait to be taken; beyond it accepting stops until half are gone.
const QUEUE_MAX: usize = 256;
/// How long accepting pauses when descriptors or memory ran out, unless a connection closes earlier.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct Acceptor {
    local: Rc<Local>,
    listener: Socket,
    id: Cell<Option<SourceId>>,
    state: RefCell<State>,
}

struct State {
    accept: Accept,
    queue: VecDeque<Socket>,
    failure: Option<io::Error>,
    /// Several tasks may wait on one listener.
    waiters: Vec<Waker>,
    timer: Option<TimerKey>,
    /// Take the kernel's queue over and close the listener, once nothing is in flight.
    stopping: bool,
    /// Connections nobody will take are closed.
    abandoned: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Accept {
    Idle,
    Armed(Key),
    Cancelling,
    Paused,
    Stopped,
}

/// Closes what is left when the owner goes.
pub(crate) struct AcceptorHandle(Rc<Acceptor>);

impl AcceptorHandle {
    /// Takes a listening socket over. Accepting begins with the first wait for a connection.
    pub(crate) fn new(local: &Rc<Local>, listener: Socket) -> Self {
        let acceptor = Rc::new(Acceptor {
            local: local.clone(),
            listener,
            id: Cell::new(None),
            state: RefCell::new(State {
                accept: Accept::Idle,
                queue: VecDeque::new(),
                failure: None,
                waiters: Vec::new(),
                timer: None,
                stopping: false,
                abandoned: false,
            }),
        });
        acceptor.id.set(Some(local.reactor.register(acceptor.clone())));
        Self(acceptor)
    }

    /// The next connection; `None` after [`stop`](Self::stop), once all have been taken.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Socket>>> {
        let mut state = self.0.state.borrow_mut();
        if let Some(socket) = state.queue.pop_front() {
            if state.accept == Accept::Idle && !state.stopping && state.queue.len() <= QUEUE_MAX / 2 {
                self.0.arm(&mut state);
            }
            return Poll::Ready(Ok(Some(socket)));
        }
        if let Some(error) = state.failure.take() {
            return Poll::Ready(Err(error));
        }
        match state.accept {
            Accept::Stopped => return Poll::Ready(Ok(None)),
            Accept::Idle if !state.stopping => self.0.arm(&mut state),
            _ => {}
        }
        if !state.waiters.iter().any(|waiter| waiter.will_wake(cx.waker())) {
            state.waiters.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// True while accepting waits for descriptors or memory.
    pub(crate) fn is_paused(&self) -> bool {
        self.0.state.borrow().accept == Accept::Paused
    }

    /// Pauses after a failure that was returned.
    pub(crate) fn pause(&self) {
        let mut state = self.0.state.borrow_mut();
        if state.accept == Accept::Idle {
            self.0.pause(&mut state);
        }
    }

    /// Ends a pause early: something was closed.
    pub(crate) fn retry(&self) {
        let mut state = self.0.state.borrow_mut();
        if state.accept == Accept::Paused {
            self.0.stop_timer(&mut state);
            self.0.resume(&mut state);
        }
    }

    /// Takes over what waits in the kernel's accept queue, then closes the listener. Dropping the handle closes it at once.
    pub(crate) fn stop(&self) {
        self.0.stop(&mut self.0.state.borrow_mut());
    }
}

impl Drop for AcceptorHandle {
    fn drop(&mut self) {
        let mut state = self.0.state.borrow_mut();
        state.abandoned = true;
        state.waiters.clear();
        self.0.close_queue(&mut state);
        self.0.stop(&mut state);
    }
}

impl Acceptor {
    fn arm(&self, state: &mut State) {
        let Some(id) = self.id.get() else { return };
        state.accept =
            Accept::Armed(self.local.reactor.submit(id, 0, Op::Accept { listener: self.listener }));
    }

    fn cancel(&self, state: &mut State) {
        if let Accept::Armed(key) = state.accept {
            state.accept = Accept::Cancelling;
            self.local.reactor.cancel(key);
        }
    }

    fn stop(&self, state: &mut State) {
        state.stopping = true;
        self.stop_timer(state);
        match state.accept {
            Accept::Armed(_) => self.cancel(state),
            Accept::Idle | Accept::Paused => self.close(state),
            Accept::Cancelling | Accept::Stopped => {}
        }
    }

    /// After a pause: goes on with what it interrupted.
    fn resume(&self, state: &mut State) {
        if state.stopping {
            self.close(state);
        } else {
            self.arm(state);
        }
    }

    /// Nothing is in flight: takes over the kernel's queue and closes the listener.
    fn close(&self, state: &mut State) {
        while !state.abandoned {
            match self.local.reactor.driver(|driver| driver.sockets().try_accept(self.listener)) {
                Ok(socket) => state.queue.push_back(socket),
                Err(error) if is_exhaustion(&error) => return self.pause_when_exhausted(state, &error),
                Err(_) => break,
            }
        }
        self.release_socket(state);
    }

    fn release_socket(&self, state: &mut State) {
        if state.accept != Accept::Stopped {
            state.accept = Accept::Stopped;
            self.local.reactor.driver(|driver| driver.close(self.listener));
        }
        if let Some(id) = self.id.take() {
            self.local.reactor.deregister(id);
        }
        wake(state);
    }

    fn close_queue(&self, state: &mut State) {
        for socket in state.queue.drain(..) {
            self.local.reactor.driver(|driver| driver.close(socket));
        }
    }

    fn stop_timer(&self, state: &mut State) {
        if let Some(key) = state.timer.take() {
            self.local.reactor.cancel_timer(key);
        }
    }

    fn pause_when_exhausted(&self, state: &mut State, error: &io::Error) {
        let counters = &self.local.counters;
        if counters.accept_paused.get() == 0 {
            tracing::warn!(%error, "accepting pauses until something is closed: raise the descriptor limit or lower the connection limit");
        }
        counters.accept_paused.increment();
        self.pause(state);
    }

    fn pause(&self, state: &mut State) {
        state.accept = Accept::Paused;
        if let Some(id) = self.id.get() {
            let reactor = &self.local.reactor;
            state.timer = Some(reactor.arm_timer(reactor.now() + PAUSE, id));
        }
        wake(state);
    }
}

fn wake(state: &mut State) {
    // All of them: which of them still waits is not known, and who finds nothing waits again.
    state.waiters.drain(..).for_each(Waker::wake);
}

/// Errors that pass when something is closed: EMFILE, ENFILE, ENOBUFS, ENOMEM.
fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(24 | 23 | 105 | 12))
}

impl Source for Acceptor {
    fn complete(self: Rc<Self>, _reactor: &Reactor, _tag: u32, outcome: Outcome, last: bool) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if last {
            state.accept = Accept::Idle;
        }
        match outcome {
            Outcome::Accepted(socket) if state.abandoned => {
                self.local.reactor.driver(|driver| driver.close(socket))
            }
            Outcome::Accepted(socket) => {
                state.queue.push_back(socket);
                if state.queue.len() >= QUEUE_MAX {
                    self.cancel(state);
                }
                wake(state);
            }
            Outcome::Failed(error) if is_exhaustion(&error) && !state.stopping => {
                self.pause_when_exhausted(state, &error);
            }
            Outcome::Failed(error) if !state.stopping => {
                state.failure = Some(error);
                wake(state);
            }
            _ => {}
        }
        if last && state.stopping {
            self.close(state);
        } else if state.accept == Accept::Idle
            && state.queue.len() <= QUEUE_MAX / 2
            && state.failure.is_none()
        {
            // The queue was emptied while the cancellation was under way.
            self.arm(state);
        }
    }

    fn timer(self: Rc<Self>, _reactor: &Reactor) {
        let mut state = self.state.borrow_mut();
        state.timer = None;
        if state.accept == Accept::Paused {
            self.resume(&mut state);
        }
    }

    fn story(&self, reactor: &Reactor) -> String {
        match reactor.driver(|driver| driver.sockets().local_address(self.listener)) {
            Ok(address) => format!("listener at {address}"),
            Err(_) => "listener".to_owned(),
        }
    }

    fn release(self: Rc<Self>, _reactor: &Reactor) {
        let mut state = self.state.borrow_mut();
        self.close_queue(&mut state);
        self.release_socket(&mut state);
    }
}
