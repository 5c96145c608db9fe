//! What only the ring can get wrong: short queues, overflow, re-arming, buffers running out, late completions, dropping.
//! What every driver must do is in `tests/`.

mod buffers;
mod ending;
mod queues;
mod sends;
mod streams;
mod waiting;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::*;
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

fn each(options: &DriverOptions, mut test: impl FnMut(Bench)) {
    for setup in setups() {
        let driver = UringDriver::new(setup, options).expect("a driver");
        test(Bench { driver, setup, completions: Vec::new() });
    }
}

struct Bench {
    driver: UringDriver,
    setup: Setup,
    completions: Vec<Completion>,
}

impl Bench {
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
    fn unix(&mut self) -> (Socket, UnixStream) {
        let (near, far) = UnixStream::pair().expect("socketpair");
        (self.driver.sockets().adopt(near.into()), far)
    }

    fn tcp(&mut self) -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let far = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        let (near, _) = listener.accept().expect("accept");
        (self.driver.sockets().adopt(near.into()), far)
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
