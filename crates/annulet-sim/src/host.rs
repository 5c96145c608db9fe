//! Hosts: what runs on them, and what is done to them.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use annulet_driver::sim::{Death, HostId, HostSettings};
use annulet_runtime::signal::Signal;

use crate::sim::{Order, Sim};

/// What a host runs, each time it starts.
pub(crate) type Program = Rc<dyn Fn() -> Pin<Box<dyn Future<Output = ()>>>>;

/// Settings of a host, from [`Sim::host`].
#[must_use]
pub struct HostBuilder {
    sim: Sim,
    name: String,
    addresses: Vec<IpAddr>,
    reactors: u32,
    may_be_signalled: bool,
    may_be_killed: bool,
}

/// A host. Cloning gives another handle on it.
#[derive(Clone)]
pub struct Host(Rc<Inner>);

struct Inner {
    sim: Sim,
    name: String,
    id: HostId,
    is_running: Cell<bool>,
    may_be_signalled: bool,
    may_be_killed: bool,
    waiting: RefCell<Vec<Waker>>,
}

impl HostBuilder {
    pub(crate) fn new(sim: Sim, name: &str, address: IpAddr) -> Self {
        Self {
            sim,
            name: name.to_owned(),
            addresses: vec![address],
            reactors: 1,
            may_be_signalled: false,
            may_be_killed: false,
        }
    }

    /// Number of reactors; 1 by default.
    pub fn reactors(mut self, reactors: u32) -> Self {
        self.reactors = reactors.max(1);
        self
    }

    /// Addresses instead of the one that it is given.
    pub fn addresses(mut self, addresses: Vec<IpAddr>) -> Self {
        self.addresses = addresses;
        self
    }

    /// Faults may send it SIGTERM at any moment.
    pub fn may_be_signalled(mut self) -> Self {
        self.may_be_signalled = true;
        self
    }

    /// Faults may kill it at any moment.
    pub fn may_be_killed(mut self) -> Self {
        self.may_be_killed = true;
        self
    }

    /// Starts it: `program` runs on its first reactor, anew after each [restart](Host::restart). The host has ended when
    /// the program has. It begins to run when who called this next waits for something, as on a machine of its own.
    ///
    /// # Panics
    /// When another host has one of the addresses.
    pub fn start<F>(self, program: F) -> Host
    where
        F: AsyncFn() + Clone + 'static,
    {
        let id = self.sim.world().add_host(&self.name, self.addresses.clone(), HostSettings::default());
        let host = Host(Rc::new(Inner {
            sim: self.sim.clone(),
            name: self.name,
            id,
            is_running: Cell::new(true),
            may_be_signalled: self.may_be_signalled,
            may_be_killed: self.may_be_killed,
            waiting: RefCell::default(),
        }));
        let program: Program = Rc::new(move || {
            let program = program.clone();
            Box::pin(async move { program().await })
        });
        let (reactors, addresses) = (self.reactors, self.addresses);
        self.sim.order(Order::Add { host: host.clone(), reactors, addresses, program });
        host
    }
}

impl Host {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Sends it a signal. One that its program does not watch ends it.
    pub fn signal(&self, signal: Signal) {
        let world = self.0.sim.world();
        world.raise(self.id(), signal.0, world.now());
    }

    /// Kills what runs on it, as `death` says.
    pub fn kill(&self, death: Death) {
        self.0.sim.order(Order::Kill { host: self.clone(), death });
    }

    /// Starts its program again, when it has ended or was killed.
    pub fn restart(&self) {
        self.0.is_running.set(true);
        self.0.sim.order(Order::Start(self.clone()));
    }

    /// Waits until its program has ended, or it was killed.
    pub async fn ended(&self) {
        poll_fn(|cx| {
            if !self.0.is_running.get() {
                return Poll::Ready(());
            }
            self.0.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub(crate) fn id(&self) -> HostId {
        self.0.id
    }

    pub(crate) fn has_ended(&self) {
        self.0.is_running.set(false);
        for waker in self.0.waiting.take() {
            waker.wake();
        }
    }

    pub(crate) fn may_be_signalled(&self) -> bool {
        self.0.may_be_signalled
    }

    pub(crate) fn may_be_killed(&self) -> bool {
        self.0.may_be_killed
    }
}
