//! How connections break: who is told what, and what is still read before.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use annulet_driver::{Driver, Outcome, Socket, SocketOption};

use crate::bench::{Bench, DOMAINS};
use crate::case::{on_each_kernel, read_to_end};

/// The pending error of a socket, which is none afterwards.
fn take_error(driver: &mut dyn Driver, socket: Socket) -> Option<i32> {
    match driver.sockets().option(socket, SocketOption::Error(0)).expect("option") {
        SocketOption::Error(0) => None,
        SocketOption::Error(errno) => Some(errno),
        other => panic!("{other:?} instead of an error"),
    }
}

/// What a connection is once its error has been told.
fn assert_over(bench: &mut Bench, socket: Socket) {
    let receive = bench.receive(socket);
    assert!(matches!(bench.all(receive)[..], [Outcome::End]));
    assert!(bench.try_receive(socket).expect("the end").is_none());
    let error = bench.driver.try_send(socket, b"x").expect_err("nobody there");
    assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
    assert_eq!(take_error(&mut *bench.driver, socket), None);
}

/// What a peer reads before it is told of a reset.
fn read_to_reset(peer: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let error = peer.read_to_end(&mut bytes).expect_err("no end but a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    bytes
}

on_each_kernel! {
    fn bytes_that_came_before_a_reset_are_received_before_it(case) {
        for is_receiving in [false, true] {
            let mut bench = case.open();
            let (socket, mut peer) = bench.tcp_pair();
            let early = is_receiving.then(|| bench.receive(socket));
            bench.idle();
            peer.write_all(b"last words").expect("write");
            peer.await_delivery();
            peer.reset();
            let receive = early.unwrap_or_else(|| bench.receive(socket));
            assert_eq!(bench.next_bytes(receive, 10), b"last words");
            assert_eq!(bench.next_errno(receive), libc::ECONNRESET);
        }
    }

    fn a_reset_is_told_once_to_whoever_asks_first(case) {
        let ways: [fn(&mut Bench, Socket) -> Option<i32>; 4] = [
            |bench, socket| {
                let receive = bench.receive(socket);
                Some(bench.next_errno(receive))
            },
            |bench, socket| bench.try_receive(socket).expect_err("a reset").raw_os_error(),
            |bench, socket| bench.errno_of_sending(socket),
            |bench, socket| Some(bench.until(|driver| take_error(driver, socket))),
        ];
        for ask in ways {
            let mut bench = case.open();
            let (socket, peer) = bench.tcp_pair();
            peer.reset();
            assert_eq!(ask(&mut bench, socket), Some(libc::ECONNRESET));
            assert_over(&mut bench, socket);
        }
    }

    fn a_reset_after_the_end_is_a_broken_pipe_and_the_end_stays(case) {
        let mut bench = case.open();
        let (socket, peer) = bench.tcp_pair();
        peer.shutdown(Shutdown::Write).expect("shutdown");
        let receive = bench.receive(socket);
        assert!(matches!(bench.all(receive)[..], [Outcome::End]));
        peer.reset();
        assert_eq!(bench.errno_of_sending(socket), Some(libc::EPIPE));
        assert_over(&mut bench, socket);
    }

    fn bytes_for_a_peer_that_has_closed_are_answered_with_a_reset(case) {
        let mut bench = case.open();
        let (socket, peer) = bench.tcp_pair();
        drop(peer);
        let receive = bench.receive(socket);
        assert!(matches!(bench.all(receive)[..], [Outcome::End]));
        // Half a connection looks no different; only the answer tells.
        bench.send_all(socket, b"still there?");
        assert_eq!(bench.errno_of_sending(socket), Some(libc::EPIPE));
        assert_over(&mut bench, socket);
    }

    fn a_unix_peer_that_has_closed_takes_nothing(case) {
        let mut bench = case.open();
        let (socket, peer) = bench.unix_pair();
        drop(peer);
        let error = bench.driver.try_send(socket, b"x").expect_err("nobody there");
        assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
        assert_over(&mut bench, socket);
    }

    fn a_peer_that_closes_without_having_read_everything_resets(case) {
        for domain in DOMAINS {
            let mut bench = case.open();
            let (socket, mut peer) = bench.pair(domain);
            bench.send_all(socket, b"read, unread");
            peer.read_exact(&mut [0; 6]).expect("read");
            peer.write_all(b"enough").expect("write");
            peer.await_delivery();
            drop(peer);
            let receive = bench.receive(socket);
            assert_eq!(bench.next_bytes(receive, 6), b"enough");
            assert_eq!(bench.next_errno(receive), libc::ECONNRESET);
            assert_over(&mut bench, socket);
        }
    }

    fn closing_without_having_read_everything_resets_the_peer(case) {
        for domain in DOMAINS {
            let mut bench = case.open();
            let (socket, mut peer) = bench.pair(domain);
            peer.write_all(b"unread").expect("write");
            peer.await_delivery();
            bench.send_all(socket, b"enough");
            bench.driver.close(socket);
            assert_eq!(read_to_reset(&mut peer), b"enough");
            assert_eq!(read_to_end(&mut peer), b"", "a reset is told once");
        }
    }

    fn closing_resets_where_that_is_asked_for(case) {
        let mut bench = case.open();
        let (socket, mut peer) = bench.tcp_pair();
        bench.driver.sockets().set_option(socket, SocketOption::ResetOnClose(true)).expect("option");
        bench.driver.close(socket);
        assert_eq!(read_to_reset(&mut peer), b"");
    }

    fn closing_one_of_two_descriptors_neither_ends_nor_resets(case) {
        let mut bench = case.open();
        let (socket, mut peer) = bench.tcp_pair();
        let copy = bench.driver.sockets().duplicate(socket).expect("duplicate");
        let copy = bench.driver.sockets().adopt(copy);
        peer.write_all(b"unread").expect("write");
        peer.await_delivery();
        bench.driver.close(socket);
        let receive = bench.receive(copy);
        assert_eq!(bench.next_bytes(receive, 6), b"unread");
        bench.send_all(copy, b"read");
        bench.cancel(receive);
        bench.driver.close(copy);
        assert_eq!(read_to_end(peer), b"read");
    }

    fn sending_after_our_own_end_is_a_broken_pipe(case) {
        for domain in DOMAINS {
            let mut bench = case.open();
            let (socket, _peer) = bench.pair(domain);
            bench.driver.sockets().shutdown(socket, Shutdown::Write).expect("shutdown");
            let error = bench.driver.try_send(socket, b"x").expect_err("over");
            assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
            let slices = [io::IoSlice::new(b"x")];
            let error = bench.driver.try_send_vectored(socket, &slices).expect_err("over");
            assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
        }
    }

    fn our_own_half_close_and_the_peers_make_an_orderly_end(case) {
        for domain in DOMAINS {
            let mut bench = case.open();
            let (socket, mut peer) = bench.pair(domain);
            bench.driver.sockets().shutdown(socket, Shutdown::Write).expect("shutdown");
            assert_eq!(read_to_end(&mut peer), b"");
            drop(peer);
            let receive = bench.receive(socket);
            assert!(matches!(bench.all(receive)[..], [Outcome::End]));
            assert_eq!(take_error(&mut *bench.driver, socket), None);
        }
    }
}
