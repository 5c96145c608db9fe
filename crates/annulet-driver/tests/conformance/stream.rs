//! Receiving and sending.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;

use annulet_driver::{DriverOptions, Outcome};

use crate::case::{on_each_kernel, pattern, read_to_end};
use crate::environment::Act;

on_each_kernel! {
    fn a_connection_is_accepted_and_echoes(case) {
        let mut bench = case.open();
        let (listener, address) = bench.listen();
        let accept = bench.accept(listener);
        let mut peer = case.connect(address);
        let socket = bench.next_socket(accept);
        let receive = bench.receive(socket);
        for round in 0..100_u8 {
            let message = [round; 64];
            peer.write_all(&message).expect("write");
            let bytes = bench.next_bytes(receive, 64);
            bench.send_all(socket, &bytes);
            let mut echo = [0; 64];
            peer.read_exact(&mut echo).expect("read");
            assert_eq!(echo, message);
        }
        drop(peer);
        assert!(matches!(bench.all(receive)[..], [Outcome::End]));
    }

    fn bytes_and_end_queued_before_the_receive_arrive_in_order(case) {
        let mut bench = case.open();
        let (socket, mut peer) = bench.tcp_pair();
        peer.write_all(b"x").expect("write");
        peer.shutdown(Shutdown::Write).expect("shutdown");
        let receive = bench.receive(socket);
        assert_eq!(bench.next_bytes(receive, 1), b"x");
        assert!(matches!(bench.all(receive)[..], [Outcome::End]));
    }

    fn bytes_and_end_that_come_together_while_receiving_arrive_in_order(case) {
        let mut bench = case.open();
        let (socket, mut peer) = bench.tcp_pair();
        let receive = bench.receive(socket);
        bench.assert_quiet(receive);
        peer.write_all(b"last words").expect("write");
        peer.shutdown(Shutdown::Write).expect("shutdown");
        assert_eq!(bench.next_bytes(receive, 10), b"last words");
        assert!(matches!(bench.all(receive)[..], [Outcome::End]));
    }

    fn a_buffer_filled_exactly_hides_neither_more_bytes_nor_the_end(case) {
        for length in [4095, 4096, 4097, 8192] {
            let mut bench = case.open();
            let (socket, mut peer) = bench.tcp_pair();
            peer.write_all(&pattern(length)).expect("write");
            let receive = bench.receive(socket);
            assert_eq!(bench.next_bytes(receive, length), pattern(length));
            bench.assert_quiet(receive);
            drop(peer);
            assert!(matches!(bench.all(receive)[..], [Outcome::End]));
        }
    }

    fn the_end_is_found_again_by_a_second_receive(case) {
        let mut bench = case.open();
        let (socket, peer) = bench.tcp_pair();
        drop(peer);
        for _ in 0..2 {
            let receive = bench.receive(socket);
            assert!(matches!(bench.all(receive)[..], [Outcome::End]));
        }
    }

    fn a_peer_that_finished_sending_still_receives(case) {
        let mut bench = case.open();
        let (socket, peer) = bench.tcp_pair();
        peer.shutdown(Shutdown::Write).expect("shutdown");
        let receive = bench.receive(socket);
        assert!(matches!(bench.all(receive)[..], [Outcome::End]));
        bench.send_all(socket, b"answer");
        bench.driver.sockets().shutdown(socket, Shutdown::Write).expect("shutdown");
        assert_eq!(read_to_end(peer), b"answer");
    }

    fn what_a_peer_sends_after_our_end_still_arrives(case) {
        let mut bench = case.open();
        let (socket, mut peer) = bench.tcp_pair();
        let receive = bench.receive(socket);
        bench.driver.sockets().shutdown(socket, Shutdown::Write).expect("shutdown");
        assert_eq!(read_to_end(&mut peer), b"");
        peer.write_all(b"late").expect("write");
        assert_eq!(bench.next_bytes(receive, 4), b"late");
        drop(peer);
        assert!(matches!(bench.all(receive)[..], [Outcome::End]));
    }

    fn our_own_shutdown_of_reading_ends_a_receive(case) {
        let mut bench = case.open();
        let (socket, _peer) = bench.tcp_pair();
        let receive = bench.receive(socket);
        bench.assert_quiet(receive);
        bench.driver.sockets().shutdown(socket, Shutdown::Both).expect("shutdown");
        assert!(matches!(bench.all(receive)[..], [Outcome::End]));
    }

    fn a_reset_is_told_from_an_end(case) {
        let mut bench = case.open();
        let (socket, mut peer) = bench.tcp_pair();
        let receive = bench.receive(socket);
        peer.write_all(b"x").expect("write");
        bench.next_bytes(receive, 1);
        peer.reset();
        assert_eq!(bench.next_errno(receive), libc::ECONNRESET);
    }

    fn a_long_stream_arrives_complete_and_in_order(case) {
        let mut bench = case.open_with(DriverOptions::default().buffers(8).buffers_max(32));
        let (socket, peer) = bench.tcp_pair();
        let bytes = pattern(3 << 20);
        let sender = peer.meanwhile(Act::Write { bytes: bytes.clone(), piece: bytes.len() });
        let receive = bench.receive(socket);
        assert_eq!(bench.next_bytes(receive, bytes.len()), bytes);
        sender.join();
        assert!(matches!(bench.all(receive)[..], [Outcome::End]));
    }

    fn cancelled_receives_keep_the_order_and_lose_nothing(case) {
        const LENGTH: usize = 1 << 20;
        let mut bench = case.open_with(DriverOptions::default().buffers(16).buffers_max(16));
        let (socket, peer) = bench.tcp_pair();
        let sender = peer.meanwhile(Act::Write { bytes: pattern(LENGTH), piece: 1500 });
        let mut bytes = Vec::new();
        let mut rounds = 0;
        'rounds: loop {
            rounds += 1;
            let receive = bench.receive(socket);
            // Sometimes at once, sometimes after some chunks, so that it meets the receive in every state.
            for _ in 0..rounds % 4 {
                match bench.next(receive).outcome {
                    Outcome::Received(chunk) => bytes.extend_from_slice(&chunk),
                    Outcome::End => break 'rounds,
                    other => panic!("{other:?}"),
                }
            }
            for outcome in bench.cancel(receive) {
                match outcome {
                    Outcome::Received(chunk) => bytes.extend_from_slice(&chunk),
                    Outcome::Cancelled => {}
                    Outcome::End => break 'rounds,
                    other => panic!("{other:?}"),
                }
            }
        }
        sender.join();
        assert!(bytes == pattern(LENGTH), "{} bytes after {rounds} rounds", bytes.len());
    }

    fn try_receive_takes_what_a_cancelled_receive_left(case) {
        let mut bench = case.open();
        let (socket, mut peer) = bench.tcp_pair();
        let receive = bench.receive(socket);
        bench.assert_quiet(receive);
        assert!(matches!(bench.cancel(receive)[..], [Outcome::Cancelled]));
        let error = bench.driver.try_receive(socket).expect_err("nothing there");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        peer.write_all(b"left").expect("write");
        drop(peer);
        let mut bytes = Vec::new();
        while let Some(chunk) = bench.try_receive(socket).expect("bytes or the end") {
            assert!(!chunk.is_lease());
            bytes.extend_from_slice(&chunk);
        }
        assert_eq!(bytes, b"left");
    }

    fn slices_are_sent_in_order_however_many(case) {
        let mut bench = case.open();
        let (socket, peer) = bench.tcp_pair();
        let bytes = pattern(200);
        let slices: Vec<_> = bytes.chunks(1).map(IoSlice::new).collect();
        let mut sent = 0;
        while sent < slices.len() {
            // One byte each, so bytes taken are slices taken.
            sent += bench.driver.try_send_vectored(socket, &slices[sent..]).expect("send");
        }
        assert_eq!(bench.driver.try_send_vectored(socket, &[]).expect("nothing"), 0);
        bench.driver.sockets().shutdown(socket, Shutdown::Write).expect("shutdown");
        assert_eq!(read_to_end(peer), bytes);
    }

    fn sending_to_a_connection_that_is_gone_is_an_error_and_no_signal(case) {
        let mut bench = case.open();
        let (socket, peer) = bench.tcp_pair();
        let receive = bench.receive(socket);
        peer.reset();
        assert_eq!(bench.next_errno(receive), libc::ECONNRESET);
        let error = bench.driver.try_send(socket, b"x").expect_err("gone");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }

    fn bytes_are_counted_both_ways(case) {
        let mut bench = case.open();
        let (socket, mut peer) = bench.tcp_pair();
        let receive = bench.receive(socket);
        peer.write_all(&[1; 5000]).expect("write");
        bench.next_bytes(receive, 5000);
        bench.send_all(socket, &[2; 70]);
        let counters = bench.driver.counters();
        assert_eq!((counters.bytes_received.get(), counters.bytes_sent.get(), counters.sends.get()), (5000, 70, 1));
    }
}
