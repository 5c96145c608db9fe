//! What only the ring can get wrong: short queues, overflow, re-arming, buffers running out, late completions, dropping.
//! What every driver must do is in `tests/`.

mod buffers;
mod ending;
/// Whoever is at the other end, as in the suite that every driver has to pass.
#[allow(dead_code, reason = "the suite needs more of it")]
#[path = "../../tests/conformance/environment/mod.rs"]
mod environment;
mod queues;
mod sends;
mod streams;
mod waiting;

use std::collections::VecDeque;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use io_uring::squeue;

use self::environment::{Act, Environment, Linux, Peer, Simulated};
use super::*;
use crate::choice::DriverChoice;
use crate::counters::CounterSet;
use crate::op::Op;
use crate::payload::Payload;
use crate::send_queue::SendBatch;
use crate::socket::{Address, Domain, ListenSpec, UnixAddress};

/// Long enough for anything that happens at all.
const LONG: Duration = Duration::from_secs(5);

/// Every rung that this kernel has, and one that was told that Unix sockets lose their end.
fn setups() -> Vec<Setup> {
    let mut setups: Vec<_> = Rung::ALL.iter().filter_map(|rung| climb(&[*rung]).0).collect();
    if setups.is_empty() {
        let reasons: Vec<_> = climb(&Rung::ALL).1.into_iter().map(|step| step.reason).collect();
        eprintln!("not tested on io_uring: {}", reasons.join("; "));
    }
    if let Some(&Setup { rung, traits }) = setups.first() {
        setups.push(Setup { rung, traits: Traits { unix_end: false, receive_cap: false, ..traits } });
        setups.push(Setup { rung, traits: Traits::default() });
    }
    setups
}

/// On this kernel and on a simulated one.
fn each(options: &DriverOptions, mut test: impl FnMut(Bench)) {
    for setup in setups() {
        let driver = UringDriver::new(setup, options).expect("a driver");
        let environment = Linux::new(DriverChoice::Uring).expect("there is a setup");
        test(Bench::new(driver, setup, environment));
    }
    for environment in Simulated::uring() {
        let (simulation, host, traits) = environment.parts();
        let setup = traits.expect("these are rings").into();
        let (driver, _) = simulation.open_ring(host, options, setup).expect("a driver");
        test(Bench::new(driver, setup, environment));
    }
}

/// A driver, and what only these tests do to it.
trait Tested: Driver {
    fn sizes(&self) -> (u32, u32);

    /// Entries that are to be handed over.
    fn staged(&mut self) -> &mut VecDeque<squeue::Entry>;

    /// Has the kernel bring forth completions.
    fn enter(&mut self);
}

impl<K: Kernel> Tested for UringDriver<K> {
    fn sizes(&self) -> (u32, u32) {
        self.ring.sizes()
    }

    fn staged(&mut self) -> &mut VecDeque<squeue::Entry> {
        self.operations.staged()
    }

    fn enter(&mut self) {
        self.ring.enter(Wait::Poll).expect("enter");
    }
}

struct Bench {
    driver: Box<dyn Tested>,
    setup: Setup,
    environment: Rc<dyn Environment>,
    completions: Vec<Completion>,
}

impl Bench {
    fn new(driver: impl Tested + 'static, setup: Setup, environment: impl Environment + 'static) -> Self {
        eprintln!("on {environment}, {setup:?}");
        Self { driver: Box::new(driver), setup, environment: Rc::new(environment), completions: Vec::new() }
    }

    /// Turns until `done` says so of all completions gathered.
    fn until(&mut self, mut done: impl FnMut(&[Completion]) -> bool) -> Vec<Completion> {
        let deadline = self.driver.clock() + LONG;
        while !done(&self.completions) {
            assert!(self.driver.clock() < deadline, "{:?}: {:?}", self.setup, self.completions);
            self.driver.turn(Wait::Until(Some(deadline)), &mut self.completions).expect("turn");
        }
        std::mem::take(&mut self.completions)
    }

    fn count(&mut self, count: usize) -> Vec<Completion> {
        self.until(|seen| seen.len() >= count)
    }

    /// Turns without sleeping until nothing happens any more.
    fn settle(&mut self) -> Vec<Completion> {
        for _ in 0..16 {
            self.driver.turn(Wait::Poll, &mut self.completions).expect("turn");
        }
        std::mem::take(&mut self.completions)
    }

    fn counter(&self, name: &str) -> u64 {
        let mut value = None;
        self.driver.counters().visit(&mut |counter, now| {
            if counter == name {
                value = Some(now);
            }
        });
        value.expect("a counter of that name")
    }

    /// A stream of the driver and its peer.
    fn unix(&mut self) -> (Socket, Box<dyn Peer>) {
        self.environment.pair(&mut *self.driver, Domain::Unix)
    }

    fn tcp(&mut self) -> (Socket, Box<dyn Peer>) {
        self.environment.pair(&mut *self.driver, Domain::V4)
    }

    /// A client of a listener.
    fn connect(&self, address: &Address) -> Box<dyn Peer> {
        self.environment.try_connect(address).expect("connect")
    }

    /// A connection with both of its ends at the driver.
    fn own_pair(&mut self) -> (Socket, Socket) {
        let (listener, address) = self.listen();
        let client = self.driver.sockets().open(Domain::V4).expect("socket");
        self.driver.submit(Token(0), Op::Connect { socket: client, address });
        assert!(matches!(self.count(1)[..], [Completion { outcome: Outcome::Connected, .. }]));
        self.driver.submit(Token(0), Op::Accept { listener });
        let completions = self.count(1);
        let [Completion { outcome: Outcome::Accepted(server), key, .. }] = completions[..] else {
            panic!("{completions:?}")
        };
        self.driver.cancel(key);
        self.count(1);
        self.driver.close(listener);
        (client, server)
    }

    fn receive(&mut self, token: u64, socket: Socket) -> Key {
        self.driver.submit(Token(token), Op::Receive { socket })
    }

    fn listen(&mut self) -> (Socket, Address) {
        let address = Address::Tcp("127.0.0.1:0".parse().expect("address"));
        let spec = ListenSpec { address, backlog: 1024, share_port: false, v6_only: false };
        self.driver.sockets().listen(&spec).expect("listen")
    }
}

fn bytes(completions: &[Completion]) -> Vec<u8> {
    let chunks = completions.iter().filter_map(|completion| match &completion.outcome {
        Outcome::Received(chunk) => Some(&**chunk),
        _ => None,
    });
    chunks.flatten().copied().collect()
}

/// Operations that the kernel cannot carry out without waiting go to threads of its own, one for each: we want none.
fn assert_no_workers() {
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads");
    for task in tasks.flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        assert!(!name.starts_with("iou-wrk"), "{name}");
    }
}

fn is_last(completion: &Completion) -> bool {
    completion.last
}
