//! The world as the simulated programs see it.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use annulet_driver::Instant;
use annulet_driver::sim::{Chance, Fault, HostId, LinkSettings, Operation, Purpose, World};

use crate::builder::Builder;
use crate::host::{Host, HostBuilder, Program};

/// A handle on the world, for the program that [`Builder::run`](crate::Builder::run) runs: it adds hosts, cuts links,
/// and asks what time it is. For the thread of the simulation only.
#[derive(Clone)]
pub struct Sim(Rc<Inner>);

struct Inner {
    world: World,
    /// What the scheduler is to do before its next step.
    orders: RefCell<Vec<Order>>,
    workload: RefCell<Chance>,
    hosts: RefCell<u8>,
}

/// What the scheduler does between two steps.
pub(crate) enum Order {
    Add { host: Host, reactors: u32, addresses: Vec<IpAddr>, program: Program },
    Start(Host),
    Kill { host: Host, death: annulet_driver::sim::Death },
}

thread_local! {
    /// The world of this thread.
    static CURRENT: RefCell<Option<World>> = const { RefCell::new(None) };
}

impl Sim {
    /// Settings first.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(world: World) -> Self {
        CURRENT.set(Some(world.clone()));
        let workload = RefCell::new(world.chance(Purpose::Workload, 0));
        Self(Rc::new(Inner { world, orders: RefCell::default(), workload, hosts: RefCell::new(1) }))
    }

    /// A host to be started. Others reach it by its name.
    pub fn host(&self, name: &str) -> HostBuilder {
        let number = {
            let mut hosts = self.0.hosts.borrow_mut();
            *hosts += 1;
            *hosts
        };
        HostBuilder::new(self.clone(), name, IpAddr::V4(Ipv4Addr::new(10, 0, 0, number)))
    }

    pub(crate) fn world(&self) -> &World {
        &self.0.world
    }

    pub(crate) fn order(&self, order: Order) {
        self.0.orders.borrow_mut().push(order);
    }

    pub(crate) fn take_orders(&self) -> Vec<Order> {
        self.0.orders.take()
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.0.world.seed()
    }

    /// Simulated time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.0.world.now() - start()
    }

    /// The client's wall clock.
    pub fn wall_clock(&self) -> SystemTime {
        let client = self.id("client");
        self.0.world.wall_clock(client)
    }

    /// A number below `bound` from the seed, for what a workload does.
    pub fn below(&self, bound: u64) -> u64 {
        self.0.workload.borrow_mut().below(bound)
    }

    /// A number from `low` to `high` from the seed, small ones as often as great ones.
    ///
    /// # Panics
    /// When `low` is 0 or greater than `high`.
    pub fn spread(&self, low: u64, high: u64) -> u64 {
        self.0.workload.borrow_mut().spread(low, high)
    }

    /// Says what the way between two hosts, by their names, is like.
    ///
    /// # Panics
    /// When there is no such host.
    pub fn link(&self, a: &str, b: &str, settings: LinkSettings) {
        self.0.world.link(self.id(a), self.id(b), settings);
    }

    /// Cuts the way between two hosts: what is sent is held.
    ///
    /// # Panics
    /// When there is no such host.
    pub fn partition(&self, a: &str, b: &str) {
        self.0.world.partition(self.id(a), self.id(b));
    }

    /// Mends it.
    ///
    /// # Panics
    /// When there is no such host.
    pub fn heal(&self, a: &str, b: &str) {
        self.0.world.heal(self.id(a), self.id(b));
    }

    /// Ends all faults before their time.
    pub fn end_faults(&self) {
        self.0.world.end_faults();
    }

    fn id(&self, name: &str) -> HostId {
        self.0.world.host_named(name).unwrap_or_else(|| panic!("no host is called {name}"))
    }
}

/// Where the clock of every world starts.
pub(crate) fn start() -> Instant {
    Instant::default()
}

/// Panics where the seed has a handler panic. For handlers under test; does nothing outside a simulation.
///
/// # Panics
/// When [`Fault::HandlerPanic`] strikes.
pub fn maybe_panic() {
    let strikes = CURRENT.with_borrow(|world| {
        world.as_ref().is_some_and(|world| world.hit(Fault::HandlerPanic, Operation::Handler))
    });
    if strikes {
        std::panic::resume_unwind(Box::new("a handler panics, as the seed has it"));
    }
}
