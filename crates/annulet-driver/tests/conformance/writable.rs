//! Waiting for room in a send buffer.

use std::io::{Read, Write};
use std::net::Shutdown;

use annulet_driver::{Op, Outcome, SocketOption};

use crate::bench::DOMAINS;
use crate::case::{on_each_kernel, read_to_end};

/// Reads `length` bytes and forgets them.
fn swallow(peer: &mut impl Read, length: usize) {
    let mut sink = vec![0; length];
    peer.read_exact(&mut sink).expect("read");
}

on_each_kernel! {
    fn a_full_buffer_is_writable_when_the_peer_has_read_and_not_before(case) {
        let mut bench = case.open();
        let (socket, mut peer) = bench.unix_pair();
        for _ in 0..3 {
            let length = bench.fill(socket);
            let writable = bench.submit(Op::Writable { socket });
            bench.assert_quiet(writable);
            swallow(&mut peer, length);
            assert!(matches!(bench.all(writable)[..], [Outcome::Writable]));
            bench.send_all(socket, b"room");
            swallow(&mut peer, 4);
        }
    }

    fn a_full_tcp_connection_is_writable_again_each_time_the_peer_has_read(case) {
        let mut bench = case.open();
        let (socket, mut peer) = bench.tcp_pair();
        for round in 0..5 {
            let length = bench.fill(socket);
            let writable = bench.submit(Op::Writable { socket });
            if round % 2 == 0 {
                bench.turn(annulet_driver::Wait::Poll);
            }
            swallow(&mut peer, length);
            assert!(matches!(bench.all(writable)[..], [Outcome::Writable]));
        }
    }

    fn a_small_send_buffer_takes_less_and_loses_none_of_it(case) {
        for domain in DOMAINS {
            let mut bench = case.open();
            let (wide, _wide_peer) = bench.pair(domain);
            let (narrow, mut peer) = bench.pair(domain);
            bench.driver.sockets().set_option(narrow, SocketOption::SendBuffer(1)).expect("send buffer");
            let taken = bench.fill(narrow);
            assert!(taken < bench.fill(wide));
            bench.driver.close(narrow);
            assert_eq!(read_to_end(&mut peer).len(), taken);
        }
    }

    fn room_made_between_the_refused_send_and_the_wait_is_noticed(case) {
        let mut bench = case.open();
        let (socket, mut peer) = bench.tcp_pair();
        for _ in 0..3 {
            let length = bench.fill(socket);
            swallow(&mut peer, length);
            let writable = bench.submit(Op::Writable { socket });
            assert!(matches!(bench.all(writable)[..], [Outcome::Writable]));
        }
    }

    fn a_half_closed_peer_that_does_not_read_causes_no_busy_loop(case) {
        let mut bench = case.open();
        let (socket, mut peer) = bench.unix_pair();
        let receive = bench.receive(socket);
        peer.write_all(b"x").expect("write");
        peer.shutdown(Shutdown::Write).expect("shutdown");
        bench.next_bytes(receive, 1);
        assert!(matches!(bench.all(receive)[..], [Outcome::End]));
        let length = bench.fill(socket);
        let writable = bench.submit(Op::Writable { socket });
        let turns = bench.assert_quiet(writable);
        assert!(turns < 20, "{turns} turns while nothing happened");
        swallow(&mut peer, length);
        assert!(matches!(bench.all(writable)[..], [Outcome::Writable]));
    }

    fn a_half_closed_tcp_peer_that_does_not_read_causes_no_busy_loop(case) {
        let mut bench = case.open();
        let (socket, peer) = bench.tcp_pair();
        peer.shutdown(Shutdown::Write).expect("shutdown");
        let receive = bench.receive(socket);
        assert!(matches!(bench.all(receive)[..], [Outcome::End]));
        // The kernel may find room a few times yet; what must not be is a wait that ends at once, over and over.
        let mut turns = 0;
        let mut waits = 0;
        loop {
            bench.fill(socket);
            let writable = bench.submit(Op::Writable { socket });
            waits += 1;
            let before = turns;
            let is_quiet = bench.is_quiet(writable, &mut turns);
            assert!(turns - before < 20 && waits < 20, "{turns} turns, {waits} waits");
            if is_quiet {
                break;
            }
        }
    }

    fn a_failed_connection_ends_the_wait_and_the_next_send_says_why(case) {
        let mut bench = case.open();
        let (socket, peer) = bench.tcp_pair();
        bench.fill(socket);
        let writable = bench.submit(Op::Writable { socket });
        bench.turn(annulet_driver::Wait::Poll);
        peer.reset();
        assert!(matches!(bench.all(writable)[..], [Outcome::Writable]));
        bench.idle();
        let error = bench.driver.try_send(socket, b"x").expect_err("reset");
        assert!(matches!(error.raw_os_error(), Some(libc::ECONNRESET | libc::EPIPE)), "{error}");
    }

    fn a_wait_for_room_can_be_cancelled_and_repeated(case) {
        let mut bench = case.open();
        let (socket, mut peer) = bench.unix_pair();
        let length = bench.fill(socket);
        for _ in 0..2 {
            let writable = bench.submit(Op::Writable { socket });
            bench.assert_quiet(writable);
            assert!(matches!(bench.cancel(writable)[..], [Outcome::Cancelled]));
        }
        let writable = bench.submit(Op::Writable { socket });
        swallow(&mut peer, length);
        assert!(matches!(bench.all(writable)[..], [Outcome::Writable]));
    }

    fn receiving_goes_on_while_the_send_buffer_is_full(case) {
        let mut bench = case.open();
        let (socket, mut peer) = bench.unix_pair();
        bench.fill(socket);
        let writable = bench.submit(Op::Writable { socket });
        let receive = bench.receive(socket);
        peer.write_all(b"hello").expect("write");
        assert_eq!(bench.next_bytes(receive, 5), b"hello");
        bench.assert_quiet(writable);
    }
}
