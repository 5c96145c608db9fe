//! A kernel made of a seed: the machine, its process and all who talk to it are events of one world.

mod actors;
mod sockets;

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use annulet_driver::sim::{HostId, HostSettings, LinkSettings, Plan, RingTraits, Simulation, World};
use annulet_driver::{Address, Domain, Driver, DriverOptions, Instant, Socket};

use self::actors::Actors;
use super::{Actor, Environment, Event, Listener, PATIENCE, Peer};

/// A process on a host of its own, in a world where nothing goes wrong, with drivers of one kind.
pub(crate) struct Simulated {
    machine: Rc<Machine>,
    /// What its io_uring can do; `None` is epoll.
    traits: Option<RingTraits>,
    /// Whether drivers that are asked for nothing special get the smallest queues and pools there are.
    is_small: bool,
    paths: Cell<u32>,
}

/// A host and what goes on there.
struct Machine {
    simulation: Simulation,
    host: HostId,
    actors: Actors,
}

impl Simulated {
    /// Kinds of io_uring and sizes, so that any two of them meet in each way.
    pub(crate) fn uring() -> Vec<Self> {
        const CHOICES: [[bool; 4]; 6] = [
            [true, true, true, false],
            [true, true, true, true],
            [true, false, false, true],
            [false, true, false, true],
            [false, false, true, true],
            [false, false, false, false],
        ];
        let kernel = |(seed, choice)| {
            let [receive_cap, unix_end, quiet_sends, is_small] = choice;
            Self::new(Some(RingTraits { receive_cap, unix_end, quiet_sends }), is_small, seed)
        };
        (0..).zip(CHOICES).map(kernel).collect()
    }

    /// epoll, with large pools and small ones.
    pub(crate) fn epoll() -> Vec<Self> {
        vec![Self::new(None, false, 6), Self::new(None, true, 7)]
    }

    fn new(traits: Option<RingTraits>, is_small: bool, seed: u64) -> Self {
        let world = World::new(seed, Plan::none());
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        let host = world.add_host("machine", vec![address], HostSettings::default());
        let simulation = Simulation::new(world);
        let machine = Rc::new(Machine { simulation, host, actors: Actors::default() });
        let weak = Rc::downgrade(&machine);
        machine.simulation.set_meanwhile(move |happened| {
            if let Some(machine) = weak.upgrade() {
                machine.see_to(happened);
            }
        });
        Self { machine, traits, is_small, paths: Cell::new(0) }
    }

    fn world(&self) -> &World {
        self.machine.world()
    }

    /// What a driver is opened with.
    pub(crate) fn parts(&self) -> (&Simulation, HostId, Option<RingTraits>) {
        (&self.machine.simulation, self.machine.host, self.traits)
    }
}

impl Machine {
    fn world(&self) -> &World {
        self.simulation.world()
    }

    /// Lets the next thing happen.
    fn go_on(&self) {
        self.see_to(self.simulation.run_next());
    }

    /// Waits for an answer, for as long as a test has patience.
    fn wait<T>(&self, mut ask: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let deadline = self.world().now() + PATIENCE;
        loop {
            match ask() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.is_due(deadline) => {
                    self.go_on()
                }
                answer => {
                    self.simulation.collect();
                    return answer;
                }
            }
        }
    }

    /// Whether anything happens by then.
    fn is_due(&self, deadline: Instant) -> bool {
        self.world().next_event_at().is_some_and(|at| at <= deadline)
    }

    fn pass(&self, time: Duration) {
        let end = self.world().now() + time;
        while self.is_due(end) {
            self.go_on();
        }
        self.world().advance(end - self.world().now());
    }
}

impl Environment for Simulated {
    fn open_driver(&self, options: &DriverOptions) -> Box<dyn Driver> {
        let small =
            DriverOptions::default().submission_entries(8).completion_entries(16).buffers(4).buffers_max(4);
        let has_wishes = *options != DriverOptions::default();
        let options = if self.is_small && !has_wishes { &small } else { options };
        let (simulation, host, traits) = self.parts();
        let opened = match traits {
            Some(traits) => simulation.open(host, options, traits),
            None => simulation.open_epoll(host, options),
        };
        opened.expect("a driver").0
    }

    fn pair(&self, driver: &mut dyn Driver, domain: Domain) -> (Socket, Box<dyn Peer>) {
        let (near, peer) = sockets::pair(&self.machine, domain);
        (driver.sockets().adopt(self.machine.simulation.descriptor(self.machine.host, near)), peer)
    }

    fn try_connect(&self, address: &Address) -> io::Result<Box<dyn Peer>> {
        let peer = sockets::connect(&self.machine, address)?;
        // The client's last word is under way.
        self.machine.pass(LinkSettings::LOOPBACK.delay_max);
        Ok(peer)
    }

    fn listen(&self, address: &Address, backlog: u32) -> (Box<dyn Listener>, Address) {
        let (listener, address) = sockets::listen(&self.machine, address, backlog);
        (Box::new(listener), address)
    }

    fn path(&self) -> PathBuf {
        let number = self.paths.replace(self.paths.get() + 1);
        PathBuf::from(format!("/run/conformance-{number}/socket"))
    }

    fn exists(&self, path: &Path) -> bool {
        self.world().inode(self.machine.host, path).is_some()
    }

    fn pass(&self, time: Duration) {
        self.machine.pass(time);
    }

    fn raise(&self, signal: i32) {
        self.world().raise(self.machine.host, signal, self.world().now());
        self.machine.pass(Duration::ZERO);
    }

    fn later(&self, delay: Duration, event: Event) -> Actor {
        let machine = Rc::clone(&self.machine);
        self.machine.start(delay, move || {
            match &event {
                Event::Unpark(unparker) => unparker.unpark(),
                Event::Signal(signal) => machine.world().raise(machine.host, *signal, machine.world().now()),
            }
            Some(Vec::new())
        })
    }

    /// The host is this behaviour's alone.
    fn alone(&self, _: &str, behaviour: Box<dyn FnOnce() + '_>) {
        behaviour();
    }

    fn open_descriptors(&self) -> usize {
        self.machine.simulation.collect();
        self.world().descriptors_open(self.machine.host)
    }

    /// The limit is one on numbers, and the lowest is given out first.
    fn limit_descriptors(&self, left: Option<usize>) {
        let (world, host) = (self.world(), self.machine.host);
        world.set_descriptors_max(host, HostSettings::default().descriptors_max);
        if let Some(left) = left {
            let open = || world.socket(host, Domain::Unix).expect("open");
            let numbers: Vec<_> = (0..=left).map(|_| open()).collect();
            world.set_descriptors_max(host, numbers[left] as u32);
            numbers.into_iter().for_each(|number| world.close(host, number).expect("close"));
        }
    }

    /// Nothing is ever passed on: there are no other programs.
    fn is_closed_on_exec(&self, _: Socket) -> bool {
        true
    }
}

impl fmt::Display for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}", self.traits, if self.is_small { ", small" } else { "" })
    }
}

impl Drop for Simulated {
    /// Whatever was shown held in a world that is in order.
    fn drop(&mut self) {
        self.machine.actors.forget();
        if !std::thread::panicking() {
            let mut violations = Vec::new();
            self.machine.simulation.audit(&mut violations);
            assert!(violations.is_empty(), "{violations:?}");
        }
    }
}
