//! What only the inside of the epoll driver can show. Behaviour common to all drivers is in `tests/conformance.rs`.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::FromRawFd;
use std::os::unix::net::UnixStream;

use super::serve::BUFFERS_PER_TURN;
use super::*;
use crate::op::Outcome;
use crate::socket::{Address, Domain};

fn driver(buffers: u32) -> EpollDriver {
    let options = DriverOptions::default().buffers(buffers).buffers_max(buffers).buffer_size(512);
    EpollDriver::new(&options).expect("an epoll driver")
}

/// A socket of the driver and its peer.
/// A pair whose near end has this number, which no other test of the process comes near.
fn pair_at(driver: &mut EpollDriver, number: i32) -> (Socket, UnixStream) {
    let (near, far) = UnixStream::pair().expect("pair");
    // SAFETY: no memory is passed; the number belongs to the caller.
    let copy = unsafe { libc::dup3(near.as_raw_fd(), number, libc::O_CLOEXEC) };
    assert_eq!(copy, number);
    // SAFETY: the descriptor was just made and has no other owner.
    let near = unsafe { std::os::fd::OwnedFd::from_raw_fd(copy) };
    (driver.sockets().adopt(near.into()), far)
}

fn pair(driver: &mut EpollDriver) -> (Socket, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    (driver.sockets().adopt(ours.into()), theirs)
}

fn turn(driver: &mut EpollDriver) -> Vec<Completion> {
    let mut completions = Vec::new();
    driver.turn(Wait::Poll, &mut completions).expect("turn");
    completions
}

fn received(completions: &[Completion]) -> usize {
    let length = |completion: &Completion| match &completion.outcome {
        Outcome::Received(chunk) => chunk.len(),
        _ => 0,
    };
    completions.iter().map(length).sum()
}

#[test]
fn an_operation_in_flight_costs_24_bytes() {
    assert_eq!(Slots::<Operation>::SLOT_SIZE, 24);
}

#[test]
fn a_receive_that_meets_an_empty_pool_is_parked_without_spinning_and_served_first_come_first_served() {
    let mut driver = driver(4);
    let taken: Vec<_> = std::iter::from_fn(|| driver.pool.take()).collect();
    let sockets: Vec<_> = (0..3).map(|_| pair(&mut driver)).collect();
    for (number, (socket, peer)) in sockets.iter().enumerate() {
        driver.submit(Token(number as u64), Op::Receive { socket: *socket });
        assert!(turn(&mut driver).is_empty());
        (&*peer).write_all(b"x").expect("write");
        assert!(turn(&mut driver).is_empty());
    }
    assert_eq!(driver.counters.starved_receives.get(), 3);
    assert!(!driver.has_work(), "it may sleep: the pool is empty");
    assert!(turn(&mut driver).is_empty());
    assert_eq!(driver.counters.starved_receives.get(), 3, "counted once per parking");

    let mut held = Vec::new();
    for (expected, id) in taken[..3].iter().enumerate() {
        driver.pool.put_back(*id);
        assert!(driver.has_work());
        held.append(&mut turn(&mut driver));
        let tokens: Vec<_> = held.iter().map(|completion| completion.token.0).collect();
        assert_eq!(tokens, (0..=expected as u64).collect::<Vec<_>>());
    }
    driver.pool.put_back(taken[3]);
}

#[test]
fn a_parked_receive_can_be_cancelled_and_its_bytes_wait_for_the_next() {
    let mut driver = driver(4);
    let taken: Vec<_> = std::iter::from_fn(|| driver.pool.take()).collect();
    let (socket, mut peer) = pair(&mut driver);
    let key = driver.submit(Token(1), Op::Receive { socket });
    peer.write_all(b"parked").expect("write");
    assert!(turn(&mut driver).is_empty());
    driver.cancel(key);
    assert!(matches!(turn(&mut driver)[..], [Completion { outcome: Outcome::Cancelled, last: true, .. }]));
    taken.iter().for_each(|id| driver.pool.put_back(*id));
    driver.submit(Token(2), Op::Receive { socket });
    assert_eq!(received(&turn(&mut driver)), 6);
}

#[test]
fn a_flood_on_one_connection_leaves_the_others_their_turn() {
    let mut driver = driver(256);
    let (flooded, mut flood) = pair(&mut driver);
    let (quiet, mut whisper) = pair(&mut driver);
    driver.submit(Token(1), Op::Receive { socket: flooded });
    driver.submit(Token(2), Op::Receive { socket: quiet });
    flood.write_all(&[1; 512 * 40]).expect("write");
    whisper.write_all(b"x").expect("write");

    let first = turn(&mut driver);
    assert_eq!(first.iter().filter(|completion| completion.token == Token(1)).count(), BUFFERS_PER_TURN);
    assert_eq!(first.iter().filter(|completion| completion.token == Token(2)).count(), 1);
    // No new edge comes for what is left, and the turn does not sleep on it.
    let mut rest = Vec::new();
    while driver.has_work() {
        driver.turn(Wait::Until(None), &mut rest).expect("turn");
    }
    assert_eq!(received(&first) + received(&rest), 512 * 40 + 1);
}

#[test]
fn a_short_pool_gives_each_connection_one_copy_a_turn() {
    let mut driver = driver(4);
    let (socket, mut peer) = pair(&mut driver);
    driver.submit(Token(1), Op::Receive { socket });
    peer.write_all(&[1; 512 * 8]).expect("write");
    let leases = turn(&mut driver);
    assert_eq!(leases.len(), 3, "two leases, then the reserve is copied from");
    assert_eq!(turn(&mut driver).len(), 1);
    drop(leases);
    assert_eq!(turn(&mut driver).len(), 3);
}

#[test]
fn an_event_for_a_closed_descriptor_does_not_reach_the_numbers_next_owner() {
    let mut driver = driver(4);
    let (first, mut peer) = pair_at(&mut driver, 950);
    let key = driver.submit(Token(1), Op::Receive { socket: first });
    assert!(turn(&mut driver).is_empty());
    peer.write_all(b"old").expect("write");
    assert!(driver.peek(), "the event is in the driver's hands");
    driver.cancel(key);
    let mut told = Vec::new();
    driver.tell_ended(&mut told);
    driver.close(first);

    let (second, mut peer) = pair_at(&mut driver, 950);
    assert_eq!(second, first, "the number is used again");
    driver.submit(Token(2), Op::Receive { socket: second });
    assert!(turn(&mut driver).is_empty());
    assert_eq!(driver.counters.stale_completions.get(), 1);
    peer.write_all(b"new").expect("write");
    let completions = turn(&mut driver);
    assert!(
        matches!(&completions[..], [Completion { token: Token(2), outcome: Outcome::Received(chunk), .. }] if **chunk == *b"new")
    );
}

#[test]
fn a_closed_duplicate_is_no_longer_watched() {
    let mut driver = driver(4);
    let (socket, mut peer) = pair(&mut driver);
    let copy = driver.sockets().duplicate(socket).expect("duplicate");
    let copy = driver.sockets().adopt(copy);
    let key = driver.submit(Token(1), Op::Receive { socket: copy });
    driver.cancel(key);
    turn(&mut driver);
    driver.close(copy);
    peer.write_all(b"x").expect("write");
    assert!(!driver.peek(), "the open file lives on, but not under a descriptor anybody watches");
    driver.submit(Token(2), Op::Receive { socket });
    assert_eq!(received(&turn(&mut driver)), 1);
}

#[test]
fn room_seen_in_an_earlier_turn_is_not_waited_for_again() {
    let mut driver = driver(4);
    let (socket, mut peer) = pair(&mut driver);
    let block = [0; 4096];
    let fill = |driver: &mut EpollDriver| {
        while driver.try_send(socket, &block).is_ok() {}
    };
    fill(&mut driver);
    let key = driver.submit(Token(1), Op::Writable { socket });
    assert!(turn(&mut driver).is_empty());
    driver.cancel(key);
    turn(&mut driver);

    // The edge comes while nobody waits for it.
    let mut sink = [0; 1 << 20];
    while peer.read(&mut sink).is_ok_and(|count| count == sink.len()) {}
    assert!(turn(&mut driver).is_empty());
    driver.submit(Token(2), Op::Writable { socket });
    assert!(driver.has_work());
    assert!(matches!(turn(&mut driver)[..], [Completion { outcome: Outcome::Writable, .. }]));

    // Filled once more, the socket is not taken to have room.
    fill(&mut driver);
    driver.submit(Token(3), Op::Writable { socket });
    assert!(turn(&mut driver).is_empty());
}

#[test]
fn a_peer_that_takes_what_is_sent_causes_no_events() {
    let mut driver = driver(4);
    let (socket, mut peer) = pair(&mut driver);
    driver.submit(Token(1), Op::Receive { socket });
    turn(&mut driver);
    let before = driver.counters.cqes.get();
    for _ in 0..10 {
        driver.try_send(socket, b"hello").expect("send");
        peer.read_exact(&mut [0; 5]).expect("read");
        assert!(turn(&mut driver).is_empty());
    }
    assert_eq!(driver.counters.cqes.get(), before);
}

#[test]
fn a_half_closed_peer_is_no_room_to_write() {
    let mut driver = driver(4);
    let (socket, peer) = pair(&mut driver);
    let block = [0; 4096];
    while driver.try_send(socket, &block).is_ok() {}
    driver.submit(Token(1), Op::Writable { socket });
    driver.submit(Token(2), Op::Receive { socket });
    turn(&mut driver);
    peer.shutdown(Shutdown::Write).expect("shutdown");
    let completions = turn(&mut driver);
    assert!(matches!(completions[..], [Completion { token: Token(2), outcome: Outcome::End, .. }]));
    assert!(!driver.peek());
}

#[test]
fn an_event_from_before_the_connect_does_not_pass_for_a_connection() {
    let mut driver = driver(4);
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("socket");
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("bind");
    listener.listen(0).expect("listen");
    let address = listener.local_addr().expect("address").as_socket().expect("tcp");
    // The queue holds one; those after it wait for an answer that does not come.
    let connect = |driver: &mut EpollDriver| {
        let socket = driver.sockets().open(Domain::V4).expect("open");
        driver.submit(Token(1), Op::Connect { socket, address: Address::Tcp(address) });
        socket
    };
    let sockets: Vec<_> = (0..3).map(|_| connect(&mut driver)).collect();
    turn(&mut driver);
    let pending = driver.in_flight();
    assert!(pending > 0, "three do not fit a queue of one");
    let place = driver.sockets.table.place(sockets[2]);
    let mut completions = Vec::new();
    driver.handle_event(crate::sys::epoll::WRITABLE, place.to_bits(), &mut completions);
    assert!(completions.is_empty(), "{completions:?}");
    assert_eq!(driver.in_flight(), pending);
}
