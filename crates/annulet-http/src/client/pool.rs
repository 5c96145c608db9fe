//! The connections of a client: who has one, who waits for one, and which are idle.
//!
//! # Places
//!
//! A connection counts from the moment somebody begins to make it until it is closed. While it is made or used, a
//! [`Place`] stands for it; while it is idle, its host's list does. So what is dropped half-way leaves no place taken.
//!
//! # Who is next
//!
//! Those who wait are in one queue. What becomes free goes to the first of them whom it helps: a connection to one who waits
//! for its host; room to one whose host has room. Among connections the one used last goes first, so that those there are too
//! many of grow old and close.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use annulet_driver::Instant;
use annulet_net::Connection;
use annulet_runtime::time::{Elapsed, timeout_at};

use super::error::{ClientError, Phase};
use super::local::Local;
use super::settings::Settings;

pub(super) struct Pool {
    pub(super) local: Rc<Local>,
    pub(super) settings: Settings,
    /// In order, so that it is not chance who goes first among hosts with equal claims.
    hosts: RefCell<BTreeMap<Rc<str>, Rc<Host>>>,
    /// Connections that count.
    open: Cell<usize>,
    queue: RefCell<VecDeque<Rc<Waiter>>>,
    pub(super) keeper: RefCell<KeeperState>,
}

/// What the pool knows of its [keeper](super::keeper).
#[derive(Default)]
pub(super) struct KeeperState {
    pub(super) waker: Option<Waker>,
    /// It wakes by itself before the next idle connection is too old.
    pub(super) has_timer: bool,
}

struct Host {
    name: Rc<str>,
    /// Connections that count.
    open: Cell<usize>,
    /// Who waits for one of its connections.
    waiting: Cell<usize>,
    /// The one used last at the end.
    idle: RefCell<VecDeque<Idle>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

struct Waiter {
    host: Rc<Host>,
    /// Does not want one that was used before.
    wants_new: bool,
    granted: RefCell<Option<Lease>>,
    waker: RefCell<Option<Waker>>,
}

/// A place, and the connection in it if there is one already.
pub(super) struct Lease {
    pub(super) place: Place,
    pub(super) connection: Option<Connection>,
}

/// One connection's part in the limits. Dropped, it goes to who waits.
pub(super) struct Place {
    pool: Rc<Pool>,
    /// `None` once it was given back.
    host: Option<Rc<Host>>,
}

impl Pool {
    pub(super) fn new(local: Rc<Local>, settings: Settings) -> Rc<Self> {
        Rc::new(Self {
            local,
            settings,
            hosts: RefCell::default(),
            open: Cell::new(0),
            queue: RefCell::default(),
            keeper: RefCell::default(),
        })
    }

    /// A connection to `name` that was used before, unless one is wanted that was not; else the right to make one. Waits for
    /// either, no longer than until `deadline`.
    pub(super) async fn lease(
        self: &Rc<Self>,
        name: &str,
        wants_new: bool,
        deadline: Instant,
    ) -> Result<Lease, ClientError> {
        let host = self.host(name);
        if host.waiting.get() == 0
            && let Some(lease) = self.take(&host, wants_new)
        {
            return Ok(lease);
        }
        if self.queue.borrow().len() >= self.settings.waiting_max {
            self.local.counters.client_queue_full.increment();
            self.forget_if_unused(&host);
            return Err(ClientError::QueueFull);
        }
        let waiting = Waiting::start(self, host, wants_new);
        match timeout_at(deadline, poll_fn(|cx| waiting.waiter.poll(cx))).await {
            Ok(lease) => Ok(lease),
            Err(Elapsed) => Err(ClientError::TimedOut(Phase::Waiting)),
        }
    }

    fn host(&self, name: &str) -> Rc<Host> {
        let mut hosts = self.hosts.borrow_mut();
        if let Some(host) = hosts.get(name) {
            return host.clone();
        }
        let name: Rc<str> = name.into();
        let host = Rc::new(Host {
            name: name.clone(),
            open: Cell::new(0),
            waiting: Cell::new(0),
            idle: RefCell::default(),
        });
        hosts.insert(name, host.clone());
        host
    }

    /// A host nobody has anything to do with is not remembered.
    fn forget_if_unused(&self, host: &Host) {
        if host.open.get() == 0 && host.waiting.get() == 0 {
            self.hosts.borrow_mut().remove(&host.name);
        }
    }

    /// A connection, or room for one.
    fn take(self: &Rc<Self>, host: &Rc<Host>, wants_new: bool) -> Option<Lease> {
        while !wants_new && let Some(idle) = self.pop_idle(host, VecDeque::pop_back) {
            if idle.connection.is_quiet() && !self.is_old(&idle) {
                return Some(Lease { place: self.place(host), connection: Some(idle.connection) });
            }
            self.evict(host, idle);
        }
        if host.open.get() >= self.settings.per_host_max {
            let idle = self.pop_idle(host, VecDeque::pop_front)?;
            self.evict(host, idle);
        } else if self.open.get() >= self.settings.connections_max {
            let (host, idle) = self.pop_oldest_idle()?;
            self.evict(&host, idle);
            self.forget_if_unused(&host);
        }
        host.open.set(host.open.get() + 1);
        self.open.set(self.open.get() + 1);
        self.local.counters.client_connections.add(1);
        // The eviction may have forgotten it.
        self.hosts.borrow_mut().entry(host.name.clone()).or_insert_with(|| host.clone());
        Some(Lease { place: self.place(host), connection: None })
    }

    fn place(self: &Rc<Self>, host: &Rc<Host>) -> Place {
        Place { pool: self.clone(), host: Some(host.clone()) }
    }

    /// Takes a connection back that may be used again.
    fn put(self: &Rc<Self>, host: &Rc<Host>, connection: Connection) {
        self.push_idle(host, connection);
        self.serve(host);
        if host.idle.borrow().len() > self.settings.idle_per_host_max
            && let Some(idle) = self.pop_idle(host, VecDeque::pop_front)
        {
            self.evict(host, idle);
            self.forget_if_unused(host);
        }
    }

    /// A connection is no more.
    fn uncount(&self, host: &Host) {
        host.open.set(host.open.get() - 1);
        self.open.set(self.open.get() - 1);
        self.local.counters.client_connections.subtract(1);
    }
}

/// Idle connections.
impl Pool {
    fn push_idle(&self, host: &Host, mut connection: Connection) {
        let since = self.local.reactor.now();
        let keeper = self.keeper.borrow();
        // From now on whatever happens on it wakes the keeper. One that has not run yet finds it when it does.
        let waker = keeper.waker.as_ref().unwrap_or(Waker::noop());
        let polled = connection.poll_recv(&mut Context::from_waker(waker));
        debug_assert!(polled.is_pending(), "an idle connection is quiet");
        if !keeper.has_timer {
            waker.wake_by_ref();
        }
        drop(keeper);
        host.idle.borrow_mut().push_back(Idle { connection, since });
        self.local.counters.client_connections_idle.add(1);
    }

    fn pop_idle(&self, host: &Host, pop: fn(&mut VecDeque<Idle>) -> Option<Idle>) -> Option<Idle> {
        let idle = pop(&mut host.idle.borrow_mut())?;
        self.local.counters.client_connections_idle.subtract(1);
        Some(idle)
    }

    fn pop_oldest_idle(&self) -> Option<(Rc<Host>, Idle)> {
        let since = |host: &Host| host.idle.borrow().front().map(|idle| idle.since);
        let hosts = self.hosts.borrow();
        let oldest =
            hosts.values().filter(|host| since(host).is_some()).min_by_key(|host| since(host))?.clone();
        drop(hosts);
        let idle = self.pop_idle(&oldest, VecDeque::pop_front)?;
        Some((oldest, idle))
    }

    fn is_old(&self, idle: &Idle) -> bool {
        self.local.reactor.now() >= idle.since + self.settings.idle_timeout
    }

    /// Closes a connection that was idle.
    fn evict(&self, host: &Host, idle: Idle) {
        drop(idle);
        self.uncount(host);
        self.local.counters.client_connections_evicted.increment();
    }

    /// Closes the idle connections that are of no more use, and has whatever happens on the others wake `cx`. Returns when the
    /// next one will be too old.
    pub(super) fn sweep(self: &Rc<Self>, cx: &mut Context<'_>) -> Option<Instant> {
        let hosts: Vec<_> = self.hosts.borrow().values().cloned().collect();
        let mut next = None;
        for host in hosts {
            let count = host.idle.borrow().len();
            for _ in 0..count {
                let Some(mut idle) = self.pop_idle(&host, VecDeque::pop_front) else { break };
                if self.is_old(&idle) || !idle.connection.is_quiet() {
                    self.evict(&host, idle);
                    self.serve(&host);
                    continue;
                }
                let _ = idle.connection.poll_recv(cx);
                let end = idle.since + self.settings.idle_timeout;
                next = Some(next.map_or(end, |next: Instant| next.min(end)));
                host.idle.borrow_mut().push_back(idle);
                self.local.counters.client_connections_idle.add(1);
            }
            self.forget_if_unused(&host);
        }
        next
    }
}

/// Those who wait.
impl Pool {
    /// Something of `freed` has become free: it goes to the first who can do with it.
    fn serve(self: &Rc<Self>, freed: &Rc<Host>) {
        let granted = {
            let queue = self.queue.borrow();
            let helps = |waiter: &Waiter| {
                Rc::ptr_eq(&waiter.host, freed) || waiter.host.open.get() < self.settings.per_host_max
            };
            let first = queue.iter().position(|waiter| helps(waiter));
            first.and_then(|index| Some((index, self.take(&queue[index].host, queue[index].wants_new)?)))
        };
        let Some((index, lease)) = granted else { return };
        let waiter = self.queue.borrow_mut().remove(index).expect("just found");
        self.no_longer_waits(&waiter);
        waiter.granted.replace(Some(lease));
        if let Some(waker) = waiter.waker.take() {
            waker.wake();
        }
    }

    fn no_longer_waits(&self, waiter: &Waiter) {
        waiter.host.waiting.set(waiter.host.waiting.get() - 1);
        self.local.counters.client_waiting.subtract(1);
    }
}

impl Waiter {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Lease> {
        if let Some(lease) = self.granted.take() {
            return Poll::Ready(lease);
        }
        self.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

/// A wait that ends when it is dropped.
struct Waiting<'a> {
    pool: &'a Rc<Pool>,
    waiter: Rc<Waiter>,
}

impl<'a> Waiting<'a> {
    fn start(pool: &'a Rc<Pool>, host: Rc<Host>, wants_new: bool) -> Self {
        host.waiting.set(host.waiting.get() + 1);
        pool.local.counters.client_waiting.add(1);
        let waiter =
            Rc::new(Waiter { host, wants_new, granted: RefCell::default(), waker: RefCell::default() });
        pool.queue.borrow_mut().push_back(waiter.clone());
        Self { pool, waiter }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // What was granted and not taken goes to the next.
        if let Some(lease) = self.waiter.granted.take() {
            return lease.give_back();
        }
        let mut queue = self.pool.queue.borrow_mut();
        let Some(index) = queue.iter().position(|waiter| Rc::ptr_eq(waiter, &self.waiter)) else { return };
        queue.remove(index);
        drop(queue);
        self.pool.no_longer_waits(&self.waiter);
        self.pool.forget_if_unused(&self.waiter.host);
    }
}

impl Lease {
    fn give_back(self) {
        match self.connection {
            Some(connection) => self.place.give_back(connection),
            None => drop(self.place),
        }
    }
}

impl Place {
    /// The connection made in this place may be used again, unless the peer has ended it, or spoken unasked, while nobody
    /// looked: then it closes, and the place is free.
    pub(super) fn give_back(mut self, connection: Connection) {
        if !connection.is_quiet() {
            self.pool.local.counters.client_connections_evicted.increment();
            return drop(connection);
        }
        let host = self.host.take().expect("given back once");
        self.pool.put(&host, connection);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(host) = self.host.take() {
            self.pool.uncount(&host);
            self.pool.serve(&host);
            self.pool.forget_if_unused(&host);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let idle: usize = self.hosts.borrow().values().map(|host| host.idle.borrow().len()).sum();
        self.local.counters.client_connections_idle.subtract(idle as u64);
        self.local.counters.client_connections.subtract(self.open.get() as u64);
        // The keeper sees that there is nothing left to keep.
        if let Some(waker) = self.keeper.borrow_mut().waker.take() {
            waker.wake();
        }
    }
}
