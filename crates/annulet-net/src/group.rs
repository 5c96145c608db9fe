//! What the connections of one listener (or of one runtime's outgoing side) have in common on one reactor.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use annulet_driver::Address;
use annulet_runtime::Reactor;

use crate::options::{Clocks, Limits};

/// Connection numbers are unique in the process, in the order connections were taken up. One of the process'
/// [shared](Reactor::shared) values.
#[derive(Default)]
pub(crate) struct ConnectionNumbers(AtomicU64);

impl ConnectionNumbers {
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Which listener of a server a connection came from: the order in which listeners were added, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub u32);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Draining,
    Cut,
}

/// Connections sharing limits, clocks and a fate.
pub(crate) struct Group {
    pub(crate) limits: Limits,
    pub(crate) clocks: Clocks,
    pub(crate) listener: Option<(ListenerId, Address)>,
    live: Cell<usize>,
    budget: Option<Arc<ConnectionBudget>>,
    fate: Cell<Fate>,
    /// Connections that [`cut`](Self::cut) reset.
    cut: Cell<u64>,
    /// A connection closed since [`take_closed`](Self::take_closed) last asked.
    closed_since: Cell<bool>,
    /// Called on every close: an accept loop or a drain may wait for it.
    close_waiters: RefCell<Vec<Waker>>,
    /// Who waits for the drain, by connection: forgotten when that closes.
    drain_waiters: RefCell<BTreeMap<u64, Vec<Waker>>>,
}

impl Group {
    pub(crate) fn new(
        limits: Limits,
        clocks: Clocks,
        listener: Option<(ListenerId, Address)>,
        budget: Option<Arc<ConnectionBudget>>,
    ) -> Rc<Self> {
        Rc::new(Self {
            limits,
            clocks,
            listener,
            live: Cell::new(0),
            budget,
            fate: Cell::new(Fate::Open),
            cut: Cell::new(0),
            closed_since: Cell::new(false),
            close_waiters: RefCell::default(),
            drain_waiters: RefCell::default(),
        })
    }

    /// The group of connections made from this reactor.
    pub(crate) fn outgoing(reactor: &Reactor) -> Rc<Self> {
        struct Outgoing(Rc<Group>);
        let group = || Outgoing(Self::new(Limits::default(), Clocks::outgoing(), None, None));
        reactor.extension(group).0.clone()
    }

    /// Connections whose sockets are open.
    pub(crate) fn live(&self) -> usize {
        self.live.get()
    }

    pub(crate) fn opened(&self) {
        self.live.set(self.live.get() + 1);
    }

    pub(crate) fn closed(&self) {
        self.live.set(self.live.get() - 1);
        self.closed_since.set(true);
        if let Some(budget) = &self.budget {
            budget.give_back();
        }
        for waker in self.close_waiters.take() {
            waker.wake();
        }
    }

    /// Ready when no connection is open.
    pub(crate) fn poll_empty(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.live() == 0 {
            return Poll::Ready(());
        }
        self.wake_on_close(cx.waker());
        Poll::Pending
    }

    /// Wakes `waker` when the next connection closes.
    pub(crate) fn wake_on_close(&self, waker: &Waker) {
        remember(&mut self.close_waiters.borrow_mut(), waker);
    }

    /// Whether a connection has closed since the last time this was asked.
    pub(crate) fn take_closed(&self) -> bool {
        self.closed_since.replace(false)
    }

    /// Ready once the group drains; asked on behalf of a connection.
    pub(crate) fn poll_draining(&self, connection: u64, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_draining() {
            return Poll::Ready(());
        }
        remember(self.drain_waiters.borrow_mut().entry(connection).or_default(), cx.waker());
        Poll::Pending
    }

    /// Nobody holds the connection any more.
    pub(crate) fn forget_draining(&self, connection: u64) {
        let waiters = self.drain_waiters.borrow_mut().remove(&connection);
        waiters.into_iter().flatten().for_each(Waker::wake);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.fate.get() != Fate::Open
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.fate.get() == Fate::Cut
    }

    /// Tells the group's connections to finish what they received.
    pub(crate) fn start_drain(&self, reactor: &Reactor) {
        self.fate.set(Fate::Draining);
        for waker in self.drain_waiters.take().into_values().flatten() {
            waker.wake();
        }
        reactor.review_sources();
    }

    /// Ends the group's connections. Returns how many had something left to do, and were reset.
    pub(crate) fn cut(&self, reactor: &Reactor) -> u64 {
        self.fate.set(Fate::Cut);
        reactor.review_sources();
        self.cut.get()
    }

    pub(crate) fn count_cut(&self) {
        self.cut.set(self.cut.get() + 1);
    }
}

fn remember(waiters: &mut Vec<Waker>, waker: &Waker) {
    if !waiters.iter().any(|known| known.will_wake(waker)) {
        waiters.push(waker.clone());
    }
}

/// How many connections the process takes. One atomic operation per connection taken and closed.
#[derive(Debug)]
pub(crate) struct ConnectionBudget {
    open: AtomicUsize,
    maximum: usize,
}

impl ConnectionBudget {
    pub(crate) fn new(maximum: usize) -> Arc<Self> {
        Arc::new(Self { open: AtomicUsize::new(0), maximum })
    }

    pub(crate) fn maximum(&self) -> usize {
        self.maximum
    }

    /// Takes a place; false when all are taken.
    pub(crate) fn try_take(&self) -> bool {
        if self.open.fetch_add(1, Ordering::Relaxed) < self.maximum {
            return true;
        }
        self.give_back();
        false
    }

    fn give_back(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}
