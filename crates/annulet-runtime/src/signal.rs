//! POSIX signals as something to wait for.
//!
//! While anybody in the process waits for a signal, its default action is off; when the last [`Signals`] for it goes,
//! the default is not put back by itself (a program that stops listening for SIGTERM rarely wants to die of it).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use annulet_driver::{Key, Op, Outcome};

use crate::reactor::Reactor;
use crate::source::{Source, SourceId};

/// A signal's number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Signal(pub i32);

impl Signal {
    /// SIGHUP: the terminal is gone; for daemons: read the configuration again.
    pub const HANGUP: Self = Self(1);
    /// SIGINT: Ctrl-C.
    pub const INTERRUPT: Self = Self(2);
    /// SIGTERM: please end.
    pub const TERMINATE: Self = Self(15);
    /// SIGUSR1.
    pub const USER_1: Self = Self(10);
    /// SIGUSR2.
    pub const USER_2: Self = Self(12);
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::HANGUP => f.write_str("SIGHUP"),
            Self::INTERRUPT => f.write_str("SIGINT"),
            Self::TERMINATE => f.write_str("SIGTERM"),
            Self::USER_1 => f.write_str("SIGUSR1"),
            Self::USER_2 => f.write_str("SIGUSR2"),
            Self(number) => write!(f, "signal {number}"),
        }
    }
}

/// Waits for SIGINT once.
///
/// # Panics
/// Outside a reactor.
pub async fn ctrl_c() {
    Signals::new(&[Signal::INTERRUPT]).recv().await;
}

/// A stream of signals, from its creation on.
///
/// Several signals of one number that arrive together may count as one, as is their nature.
pub struct Signals(Rc<Inner>);

struct Inner {
    reactor: Reactor,
    signals: Vec<Signal>,
    id: Cell<Option<SourceId>>,
    key: Cell<Option<Key>>,
    arrived: RefCell<VecDeque<Signal>>,
    waker: RefCell<Option<Waker>>,
}

impl Signals {
    /// Listens for `signals`, on the current reactor.
    ///
    /// # Panics
    /// Outside a reactor.
    #[track_caller]
    pub fn new(signals: &[Signal]) -> Self {
        let reactor = Reactor::current();
        let inner = Rc::new(Inner {
            reactor: reactor.clone(),
            signals: signals.to_vec(),
            id: Cell::new(None),
            key: Cell::new(None),
            arrived: RefCell::default(),
            waker: RefCell::default(),
        });
        let id = reactor.register(inner.clone());
        let numbers = signals.iter().map(|signal| signal.0).collect();
        inner.id.set(Some(id));
        inner.key.set(Some(reactor.submit(id, 0, Op::Signal { signals: numbers })));
        Self(inner)
    }

    /// Waits for the next signal.
    ///
    /// # Cancel safety
    /// A signal that was not returned comes at the next call.
    pub async fn recv(&mut self) -> Signal {
        poll_fn(|cx| match self.0.arrived.borrow_mut().pop_front() {
            Some(signal) => Poll::Ready(signal),
            None => {
                self.0.waker.replace(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        if let Some(key) = self.0.key.take() {
            self.0.reactor.cancel(key);
        }
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

impl Source for Inner {
    fn complete(self: Rc<Self>, reactor: &Reactor, _tag: u32, outcome: Outcome, last: bool) {
        match outcome {
            Outcome::Signal(number) => self.arrived.borrow_mut().push_back(Signal(number)),
            Outcome::Failed(error) => tracing::error!(%error, "listening for signals failed"),
            _ => {}
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        if last {
            self.key.set(None);
            if let Some(id) = self.id.take() {
                reactor.deregister(id);
            }
        }
    }

    fn story(&self, _reactor: &Reactor) -> String {
        let names: Vec<_> = self.signals.iter().map(Signal::to_string).collect();
        format!("wait for {}", names.join(", "))
    }

    fn release(self: Rc<Self>, reactor: &Reactor) {
        self.key.set(None);
        if let Some(id) = self.id.take() {
            reactor.deregister(id);
        }
    }
}
