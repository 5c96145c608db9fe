//! What only the ring can get wrong: short queues, overflow, re-arming, buffers running out, late completions, dropping.
//! What every driver must do is in `tests/`.

use std::collections::VecDeque;
use std::io::{IoSlice, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::*;
use crate::counters::CounterSet;
use crate::op::Op;
use crate::socket::{Address, Domain, ListenSpec, UnixAddress};

/// Long enough for anything that happens at all.
const LONG: Duration = Duration::from_secs(5);

/// Every rung that this kernel has, and one that was told that Unix sockets lose their end.
fn setups() -> Vec<Setup> {
    let mut setups: Vec<_> = Rung::ALL.iter().filter_map(|rung| climb(&[*rung]).0).collect();
    if setups.is_empty() {
        eprintln!("no io_uring here: nothing is tested");
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
        (self.driver.sockets().adopt(OwnedFd::from(near)), far)
    }

    fn tcp(&mut self) -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let far = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
        let (near, _) = listener.accept().expect("accept");
        (self.driver.sockets().adopt(OwnedFd::from(near)), far)
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

fn is_last(completion: &Completion) -> bool {
    completion.last
}

#[test]
fn more_operations_than_entries_of_the_queue_are_all_submitted_in_order() {
    let options = DriverOptions::default().submission_entries(8);
    each(&options, |mut bench| {
        assert_eq!(bench.driver.sizes().0, 8);
        let mut pairs: Vec<_> = (0..200).map(|_| bench.unix()).collect();
        for (number, (_, far)) in pairs.iter_mut().enumerate() {
            far.write_all(&[number as u8]).expect("write");
        }
        for (number, pair) in pairs.iter().enumerate() {
            bench.receive(number as u64, pair.0);
        }
        assert_eq!(bench.driver.in_flight(), 200);
        let completions = bench.count(200);
        let tokens: Vec<_> = completions.iter().map(|completion| completion.token.0).collect();
        assert!(tokens.is_sorted(), "{tokens:?}");
        for Completion { token, outcome, .. } in &completions {
            let Outcome::Received(chunk) = outcome else { panic!("{outcome:?}") };
            assert_eq!(**chunk, [token.0 as u8]);
        }
        assert!(bench.counter("sqes") >= 200);
        assert!(bench.counter("enters") < 60, "{}", bench.counter("enters"));
    });
}

#[test]
fn a_completion_queue_that_overflows_loses_nothing() {
    let options = DriverOptions::default().submission_entries(8).completion_entries(16).buffers(512);
    each(&options, |mut bench| {
        assert_eq!(bench.driver.sizes().1, 16);
        let mut pairs: Vec<_> = (0..300).map(|_| bench.unix()).collect();
        for (number, pair) in pairs.iter().enumerate() {
            bench.receive(number as u64, pair.0);
        }
        assert!(bench.settle().is_empty());
        for round in 0..3_u8 {
            for (_, far) in &mut pairs {
                far.write_all(&[round]).expect("write");
            }
            let completions = bench.count(300);
            let mut tokens: Vec<_> = completions.iter().map(|completion| completion.token.0).collect();
            tokens.sort_unstable();
            assert_eq!(tokens, (0..300).collect::<Vec<_>>());
            assert!(completions.iter().all(|completion| !completion.last));
            assert_eq!(bytes(&completions), [round; 300]);
        }
        if bench.setup.rung == Rung::Cooperative {
            // Work is done whenever the thread enters the kernel, here 300 times between two turns.
            assert!(bench.counter("overflows") > 0);
        }
        assert_eq!(bench.counter("stale_completions"), 0);
    });
}

#[test]
fn cancelling_more_than_the_completion_queue_holds_ends_everything() {
    let options = DriverOptions::default().submission_entries(512).completion_entries(512).buffers(8);
    each(&options, |mut bench| {
        let pairs: Vec<_> = (0..1000).map(|_| bench.unix()).collect();
        let keys: Vec<_> = pairs.iter().map(|pair| bench.receive(0, pair.0)).collect();
        for key in keys {
            bench.driver.cancel(key);
        }
        // Two completions for each: its own and the cancellation's.
        let completions = bench.count(1000);
        assert!(completions.iter().all(|completion| matches!(completion.outcome, Outcome::Cancelled)));
        assert_eq!(bench.driver.in_flight(), 0);
        for (socket, _) in pairs {
            bench.driver.close(socket);
        }
    });
}

/// A pool of 8 buffers and 100 connections, each sending more than the pool holds: all of it arrives, however handlers
/// hold on to what they got.
#[test]
fn a_small_pool_serves_many_connections() {
    const MESSAGE: usize = 8 * 512 + 100;
    let options = DriverOptions::default().buffers(8).buffers_max(8).buffer_size(512);
    each(&options, |mut bench| {
        let mut pairs: Vec<_> = (0..100).map(|_| bench.unix()).collect();
        for (number, pair) in pairs.iter().enumerate() {
            bench.receive(number as u64, pair.0);
        }
        for (number, (_, far)) in pairs.iter_mut().enumerate() {
            far.write_all(&[number as u8; MESSAGE]).expect("write");
        }
        let mut received = vec![0; 100];
        // As many leases as the pool gives out, kept to the end; what comes beyond is on the heap.
        let mut kept = VecDeque::new();
        while received.iter().any(|count| *count < MESSAGE) {
            for Completion { token, outcome, last, .. } in bench.count(1) {
                let Outcome::Received(chunk) = outcome else { panic!("{outcome:?}") };
                assert!(!last && chunk.iter().all(|byte| *byte == token.0 as u8));
                received[token.0 as usize] += chunk.len();
                kept.push_back(chunk);
            }
        }
        assert_eq!(received, vec![MESSAGE; 100]);
        assert_eq!(kept.iter().filter(|chunk| chunk.is_lease()).count(), 6);
        assert!(bench.counter("starved_receives") > 0);
        assert!(bench.counter("pressure_copies") > 0);
        kept.clear();
        bench.settle();
        let usage = bench.driver.pool().usage();
        assert_eq!((usage.leased, usage.total), (0, 8), "{usage:?}");
    });
}

/// A connection that floods must not keep those parked with it from the few buffers there are.
#[test]
fn parked_receives_are_served_in_turn_beside_one_that_floods() {
    let options = DriverOptions::default().buffers(4).buffers_max(4).buffer_size(512);
    each(&options, |mut bench| {
        let (flood, mut source) = bench.unix();
        let mut others: Vec<_> = (0..20).map(|_| bench.unix()).collect();
        bench.receive(99, flood);
        source.set_nonblocking(true).expect("nonblocking");
        for (number, (socket, far)) in others.iter_mut().enumerate() {
            bench.receive(number as u64, *socket);
            far.write_all(b"x").expect("write");
        }
        let mut waiting: Vec<u64> = (0..20).collect();
        let mut kept = Vec::new();
        for _ in 0..200 {
            while source.write(&[1; 4096]).is_ok() {}
            bench.driver.turn(Wait::Poll, &mut bench.completions).expect("turn");
            for completion in bench.completions.drain(..) {
                waiting.retain(|token| *token != completion.token.0);
                if let Outcome::Received(chunk) = completion.outcome
                    && kept.len() < 2
                {
                    kept.push(chunk);
                }
            }
        }
        assert_eq!(waiting, []);
    });
}

#[test]
fn the_pool_grows_before_anyone_is_parked() {
    let options = DriverOptions::default().buffers(4).buffers_max(256).buffer_size(512);
    each(&options, |mut bench| {
        let (socket, mut far) = bench.unix();
        bench.receive(0, socket);
        assert!(bench.settle().is_empty());
        far.write_all(&[5; 60 * 512]).expect("write");
        let completions = bench.until(|seen| bytes(seen).len() == 60 * 512);
        assert!(completions.iter().all(|completion| !completion.last));
        assert_eq!(bench.counter("starved_receives"), 0);
        assert!(bench.counter("pool_growths") > 0);
        // The pool starts small and is full-grown only when it has to be.
        let usage = bench.driver.pool().usage();
        assert!((64..=256).contains(&usage.total), "{usage:?}");
    });
}

#[test]
fn a_parked_receive_can_be_cancelled_and_is_told_without_sleeping() {
    let options = DriverOptions::default().buffers(4).buffers_max(4).buffer_size(512);
    each(&options, |mut bench| {
        let mut pairs: Vec<_> = (0..8).map(|_| bench.unix()).collect();
        let keys: Vec<_> = pairs.iter().map(|pair| bench.receive(0, pair.0)).collect();
        for (_, far) in &mut pairs {
            far.write_all(&[1; 4096]).expect("write");
        }
        bench.driver.turn(Wait::Poll, &mut bench.completions).expect("turn");
        for key in &keys {
            bench.driver.cancel(*key);
            bench.driver.cancel(*key);
        }
        assert!(bench.driver.peek());
        let completions = bench.until(|seen| seen.iter().filter(|one| one.last).count() == 8);
        assert!(
            completions.iter().filter(|one| one.last).all(|one| matches!(one.outcome, Outcome::Cancelled))
        );
        assert_eq!(bench.driver.in_flight(), 0);
        drop(completions);
        bench.settle();
        assert_eq!(bench.driver.pool().usage().leased, 0);
    });
}

#[test]
fn a_receive_that_the_kernel_ends_early_goes_on() {
    let options = DriverOptions::default();
    each(&options, |mut bench| {
        let (socket, mut far) = bench.tcp();
        bench.receive(0, socket);
        let sender = std::thread::spawn(move || {
            far.write_all(&vec![3; 1 << 20]).expect("write");
            far
        });
        let completions = bench.until(|seen| bytes(seen).len() == 1 << 20);
        assert!(completions.iter().all(|completion| !completion.last));
        let far = sender.join().expect("sender");
        if bench.setup.traits.receive_cap {
            assert!(bench.counter("rearms") >= 15, "{}", bench.counter("rearms"));
        }
        far.shutdown(Shutdown::Write).expect("shutdown");
        let completions = bench.count(1);
        assert!(matches!(completions[0], Completion { outcome: Outcome::End, last: true, .. }));
    });
}

#[test]
fn the_end_of_a_stream_is_never_lost_behind_its_last_bytes() {
    each(&DriverOptions::default(), |mut bench| {
        for _ in 0..20 {
            let (socket, mut far) = bench.unix();
            bench.receive(0, socket);
            assert!(bench.settle().is_empty());
            far.write_all(b"bye").expect("write");
            drop(far);
            let completions = bench.until(|seen| seen.iter().any(is_last));
            assert_eq!(bytes(&completions), b"bye");
            assert!(matches!(completions.last(), Some(Completion { outcome: Outcome::End, .. })));
            bench.driver.close(socket);
        }
    });
}

#[test]
fn a_completion_for_a_former_tenant_is_counted_and_does_nothing() {
    each(&DriverOptions::default(), |mut bench| {
        let (socket, _far) = bench.unix();
        let key = bench.receive(0, socket);
        bench.driver.cancel(key);
        bench.until(|seen| seen.iter().any(is_last));
        let next = bench.receive(1, socket);
        assert_eq!(next.slot, key.slot);
        // The kernel completes what it is given with the key it is given.
        bench.driver.operations.staged().push_back(entry::nop(key));
        assert!(bench.settle().is_empty());
        assert_eq!(bench.counter("stale_completions"), 1);
        assert_eq!(bench.driver.in_flight(), 1);
        bench.driver.cancel(key);
        assert!(bench.settle().is_empty(), "a key of the past cancels nothing");
    });
}

#[test]
fn an_idle_driver_makes_no_system_call_after_it_was_woken() {
    each(&DriverOptions::default(), |mut bench| {
        let unparker = bench.driver.unparker();
        bench.settle();
        for woken in 1..=5 {
            unparker.unpark();
            assert!(bench.driver.peek());
            bench.driver.turn(Wait::Until(None), &mut bench.completions).expect("turn");
            assert_eq!(bench.counter("unparks"), woken);
            let enters = bench.counter("enters");
            assert!(!bench.driver.peek());
            assert!(bench.settle().is_empty());
            assert_eq!(bench.counter("enters"), enters);
        }
    });
}

#[test]
fn a_wait_ends_at_its_deadline_and_not_before() {
    each(&DriverOptions::default(), |mut bench| {
        bench.settle();
        for wait in [Duration::ZERO, Duration::from_micros(300), Duration::from_millis(5)] {
            let deadline = bench.driver.clock() + wait;
            bench.driver.turn(Wait::Until(Some(deadline)), &mut bench.completions).expect("turn");
            assert!(bench.driver.now() >= deadline);
            assert!(bench.driver.now() - deadline < Duration::from_millis(500));
        }
        let enters = bench.counter("enters");
        let past = bench.driver.clock();
        for _ in 0..10 {
            bench.driver.turn(Wait::Until(Some(past)), &mut bench.completions).expect("turn");
        }
        assert_eq!(bench.counter("enters"), enters, "a deadline that has passed is no reason to enter");
    });
}

#[test]
fn room_to_send_is_told_once_also_beside_a_peer_that_finished_sending() {
    each(&DriverOptions::default(), |mut bench| {
        let (socket, mut far) = bench.tcp();
        far.shutdown(Shutdown::Write).expect("shutdown");
        for round in 0..3 {
            let block = [7; 65536];
            let mut sent = 0;
            while let Ok(count) = bench.driver.try_send(socket, &[IoSlice::new(&block)]) {
                sent += count;
            }
            let key = bench.driver.submit(Token(round), Op::Writable { socket });
            assert!(bench.settle().is_empty(), "the buffer is full");
            let enters = bench.counter("enters");
            assert!(bench.settle().is_empty());
            assert_eq!(bench.counter("enters"), enters, "waiting for room costs nothing");
            let mut sink = vec![0; sent];
            far.read_exact(&mut sink).expect("read");
            let completions = bench.count(1);
            assert!(matches!(completions[..], [Completion { outcome: Outcome::Writable, last: true, .. }]));
            assert_eq!(completions[0].key, key);
        }
        let key = bench.driver.submit(Token(9), Op::Writable { socket });
        bench.driver.cancel(key);
        let completions = bench.count(1);
        assert!(matches!(completions[..], [Completion { outcome: Outcome::Cancelled, last: true, .. }]));
        assert!(bench.settle().is_empty());
        // The peer goes away with bytes unread: a reset, which is room as well.
        while bench.driver.try_send(socket, &[IoSlice::new(&[7; 65536])]).is_ok() {}
        bench.driver.submit(Token(10), Op::Writable { socket });
        drop(far);
        bench.count(1);
        assert!(bench.driver.try_send(socket, &[IoSlice::new(b"x")]).is_err());
    });
}

#[test]
fn accepting_goes_on_until_cancelled_and_loses_no_connection() {
    let options = DriverOptions::default().submission_entries(8).completion_entries(16);
    each(&options, |mut bench| {
        let (listener, address) = bench.listen();
        let key = bench.driver.submit(Token(1), Op::Accept { listener });
        bench.settle();
        let address = address.as_tcp().expect("tcp");
        let clients: Vec<_> = (0..100).map(|_| TcpStream::connect(address).expect("connect")).collect();
        let mut accepted = Vec::new();
        let take = |completions: Vec<Completion>, accepted: &mut Vec<Socket>| {
            for Completion { outcome, last, .. } in completions {
                let Outcome::Accepted(socket) = outcome else { return last };
                accepted.push(socket);
            }
            false
        };
        while accepted.len() < clients.len() {
            let completions = bench.count(1);
            take(completions, &mut accepted);
        }
        let late = TcpStream::connect(address).expect("connect");
        bench.driver.cancel(key);
        let completions = bench.until(|seen| seen.iter().any(is_last));
        assert!(matches!(completions.last(), Some(Completion { outcome: Outcome::Cancelled, .. })));
        take(completions, &mut accepted);
        // The last one was delivered, or is still in the queue.
        if accepted.len() == clients.len() {
            accepted.push(bench.driver.sockets().try_accept(listener).expect("the late one"));
        }
        assert_eq!(accepted.len(), 101);
        for socket in accepted {
            bench.driver.close(socket);
        }
        bench.driver.close(listener);
        drop(late);
    });
}

#[test]
fn a_connect_that_fails_says_why_and_one_that_succeeds_connects() {
    each(&DriverOptions::default(), |mut bench| {
        let (listener, address) = bench.listen();
        let socket = bench.driver.sockets().open(Domain::V4).expect("socket");
        bench.driver.submit(Token(1), Op::Connect { socket, address: address.clone() });
        let completions = bench.count(1);
        assert!(matches!(completions[..], [Completion { outcome: Outcome::Connected, last: true, .. }]));
        let peer = bench.driver.sockets().peer_address(socket).expect("connected");
        assert_eq!(peer, address);
        bench.driver.close(socket);
        bench.driver.close(listener);
        let socket = bench.driver.sockets().open(Domain::V4).expect("socket");
        bench.driver.submit(Token(2), Op::Connect { socket, address });
        let completions = bench.count(1);
        let [Completion { outcome: Outcome::Failed(error), last: true, .. }] = &completions[..] else {
            panic!("{completions:?}")
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        bench.driver.close(socket);
        let address = Address::Unix(UnixAddress::Path("x".repeat(200).into()));
        let socket = bench.driver.sockets().open(Domain::Unix).expect("socket");
        bench.driver.submit(Token(3), Op::Connect { socket, address });
        assert_eq!(bench.driver.in_flight(), 1);
        let completions = bench.count(1);
        assert!(matches!(completions[..], [Completion { outcome: Outcome::Failed(_), last: true, .. }]));
        assert_eq!(bench.driver.in_flight(), 0);
    });
}

/// Both a connect and a receive wait for nothing; a signal, an accept and room to send as well.
#[test]
fn quiescing_ends_every_kind_of_operation_and_closes_what_nobody_will_see() {
    each(&DriverOptions::default(), |mut bench| {
        let (listener, address) = bench.listen();
        bench.driver.submit(Token(0), Op::Accept { listener });
        let (socket, _far) = bench.tcp();
        bench.receive(1, socket);
        while bench.driver.try_send(socket, &[IoSlice::new(&[7; 65536])]).is_ok() {}
        bench.driver.submit(Token(2), Op::Writable { socket });
        bench.driver.submit(Token(3), Op::Signal { signals: vec![libc::SIGWINCH] });
        bench.settle();
        let clients: Vec<_> =
            (0..5).map(|_| TcpStream::connect(address.as_tcp().expect("tcp")).expect("connect")).collect();
        let open = bench.driver.sockets().open(Domain::V4).expect("socket");
        bench.driver.submit(Token(4), Op::Connect { socket: open, address });
        assert_eq!(bench.driver.in_flight(), 5);
        assert_eq!(bench.driver.quiesce(LONG), 0);
        assert_eq!(bench.driver.in_flight(), 0);
        assert!(bench.settle().is_empty());
        assert_eq!(
            bench.counter("sockets_opened") - bench.counter("sockets_closed"),
            3,
            "the listener, the stream and the fresh socket"
        );
        // The driver still works, and is still woken.
        let unparks = bench.counter("unparks");
        bench.driver.unparker().unpark();
        bench.driver.turn(Wait::Until(None), &mut bench.completions).expect("turn");
        assert!(bench.counter("unparks") > unparks);
        drop(clients);
    });
}

#[test]
fn dropping_a_driver_with_operations_in_flight_leaves_leases_readable() {
    each(&DriverOptions::default(), |mut bench| {
        let (socket, mut far) = bench.unix();
        let (other, _peer) = bench.unix();
        bench.receive(0, socket);
        bench.receive(1, other);
        far.write_all(b"kept").expect("write");
        let completions = bench.count(1);
        drop(bench);
        assert_eq!(bytes(&completions), b"kept");
    });
}

#[test]
fn operations_that_were_never_submitted_end_with_the_driver() {
    each(&DriverOptions::default(), |mut bench| {
        let (socket, _far) = bench.unix();
        bench.receive(0, socket);
        let (listener, address) = bench.listen();
        bench.driver.submit(Token(1), Op::Accept { listener });
        let socket = bench.driver.sockets().open(Domain::V4).expect("socket");
        bench.driver.submit(Token(2), Op::Connect { socket, address });
    });
}
