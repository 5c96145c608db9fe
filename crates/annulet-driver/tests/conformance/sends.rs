//! Sends of many streams that are offered together.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;

use annulet_driver::{DriverOptions, Payload, Socket, SocketOption, Token, Wait};

use crate::bench::Bench;
use crate::case::{on_each_kernel, pattern, read_to_end};
use crate::environment::{Act, PATIENCE, Peer};
use crate::numbers::Numbers;

/// A stream with the smallest buffers there are, so that most offers are taken in part.
fn narrow_pair(bench: &mut Bench) -> (Socket, Box<dyn Peer>) {
    let (socket, peer) = bench.unix_pair();
    bench.driver.sockets().set_option(socket, SocketOption::SendBuffer(1)).expect("send buffer");
    peer.narrow();
    (socket, peer)
}

/// What is left to be sent on one stream.
struct Outgoing {
    socket: Socket,
    bytes: Vec<u8>,
    sent: usize,
}

/// Sends everything, in pieces of random sizes, many streams together, while the peers read; each piece that was not taken
/// whole is followed by what was left of it.
fn send_everything(bench: &mut Bench, mut streams: Vec<Outgoing>, piece_max: usize) -> (usize, usize) {
    let mut numbers = Numbers(1);
    let (mut offers, mut short) = (0, 0);
    while !streams.is_empty() {
        let sent_before: usize = streams.iter().map(|stream| stream.sent).sum();
        let sends: Vec<_> = streams
            .iter()
            .map(|stream| {
                let left = &stream.bytes[stream.sent..];
                let length = (1 + numbers.below(piece_max)).min(left.len());
                (stream.socket, Payload::from(left[..length].to_vec()))
            })
            .collect();
        let lengths: Vec<_> = sends.iter().map(|(_, payload)| payload.len()).collect();
        offers += sends.len();
        for ((stream, result), length) in streams.iter_mut().zip(bench.offer(sends)).zip(lengths) {
            let taken = match result {
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                result => result.expect("a connection that is fine"),
            };
            assert!(taken <= length);
            short += usize::from(taken < length);
            stream.sent += taken;
        }
        if streams.iter().map(|stream| stream.sent).sum::<usize>() == sent_before {
            bench.pause();
        }
        for stream in streams.extract_if(.., |stream| stream.sent == stream.bytes.len()) {
            bench.driver.sockets().shutdown(stream.socket, Shutdown::Write).expect("shutdown");
        }
    }
    (offers, short)
}

fn on_many_narrow_streams(bench: &mut Bench, count: usize, length: usize, piece_max: usize) {
    let mut streams = Vec::new();
    let mut readers = Vec::new();
    for number in 0..count {
        let (socket, peer) = narrow_pair(bench);
        let bytes: Vec<u8> = pattern(length + number).split_off(number);
        streams.push(Outgoing { socket, bytes, sent: 0 });
        readers.push(peer.meanwhile(Act::Read));
    }
    let (offers, short) = send_everything(bench, streams, piece_max);
    assert!(short > 0 && short < offers, "{short} of {offers} offers were short: nothing was tested");
    for (number, reader) in readers.into_iter().enumerate() {
        let bytes = reader.join();
        assert!(bytes == pattern(length + number)[number..], "stream {number} is not what was sent");
    }
}

on_each_kernel! {
    fn streams_stay_in_order_however_much_of_each_offer_is_taken(case) {
        on_many_narrow_streams(&mut case.open(), 64, 200_000, 6_000);
    }

    fn streams_stay_in_order_with_the_shortest_queues(case) {
        let options = DriverOptions::default().submission_entries(8).completion_entries(16);
        on_many_narrow_streams(&mut case.open_with(options), 64, 50_000, 6_000);
    }

    fn many_tcp_streams_get_what_each_was_sent(case) {
        const ROUNDS: usize = 20;
        let mut bench = case.open();
        let mut pairs: Vec<_> = (0..300).map(|_| bench.tcp_pair()).collect();
        let mut numbers = Numbers(2);
        let mut expected = vec![Vec::new(); pairs.len()];
        for _ in 0..ROUNDS {
            let sends = pairs.iter().zip(&mut expected).map(|((socket, _), expected)| {
                let bytes = pattern(1 + numbers.below(900));
                expected.extend_from_slice(&bytes);
                (*socket, Payload::from(bytes))
            });
            let sends: Vec<_> = sends.collect();
            let lengths: Vec<_> = sends.iter().map(|(_, payload)| payload.len()).collect();
            let taken: Vec<_> = bench.offer(sends).into_iter().map(|result| result.expect("room")).collect();
            assert_eq!(taken, lengths);
        }
        for ((_, peer), expected) in pairs.iter_mut().zip(expected) {
            let mut bytes = vec![0; expected.len()];
            peer.read_exact(&mut bytes).expect("read");
            assert!(bytes == expected);
        }
        let counters = bench.driver.counters();
        assert_eq!(counters.sends.get() + counters.sends_queued.get(), (ROUNDS * 300) as u64);
    }

    fn a_payload_larger_than_the_send_buffer_tells_exactly_how_much_was_taken(case) {
        const LENGTH: usize = 8 << 20;
        let mut bench = case.open();
        let (tcp, mut tcp_peer) = bench.tcp_pair();
        let (unix, mut unix_peer) = bench.unix_pair();
        let sends = vec![(tcp, Payload::from(pattern(LENGTH))), (unix, Payload::from(pattern(LENGTH)))];
        let taken: Vec<_> = bench.offer(sends).into_iter().map(|result| result.expect("a part")).collect();
        assert!(taken.iter().all(|taken| (1..LENGTH).contains(taken)), "{taken:?}");
        assert_eq!(bench.driver.counters().bytes_sent.get(), (taken[0] + taken[1]) as u64);
        bench.driver.sockets().shutdown(tcp, Shutdown::Write).expect("shutdown");
        bench.driver.sockets().shutdown(unix, Shutdown::Write).expect("shutdown");
        for (peer, taken) in [(&mut tcp_peer as &mut dyn Read, taken[0]), (&mut unix_peer, taken[1])] {
            assert!(read_to_end(peer) == pattern(LENGTH)[..taken], "what arrived is not the part that was taken");
        }
    }

    fn a_full_send_buffer_refuses_and_the_others_are_sent(case) {
        let mut bench = case.open();
        let (full, mut full_peer) = bench.unix_pair();
        let (free, mut free_peer) = bench.unix_pair();
        let filled = bench.fill(full);
        let results = bench.offer(vec![(full, "late".into()), (free, "now".into()), (full, "later".into())]);
        assert_eq!(results[0].as_ref().expect_err("full").kind(), ErrorKind::WouldBlock);
        assert_eq!(results[1].as_ref().expect("room"), &3);
        assert_eq!(results[2].as_ref().expect_err("full").kind(), ErrorKind::WouldBlock);
        let mut bytes = [0; 3];
        free_peer.read_exact(&mut bytes).expect("read");
        assert_eq!(&bytes, b"now");
        full_peer.read_exact(&mut vec![0; filled]).expect("read");
        assert_eq!(*bench.offer(vec![(full, "late".into())])[0].as_ref().expect("room"), 4);
        let mut bytes = [0; 4];
        full_peer.read_exact(&mut bytes).expect("read");
        assert_eq!(&bytes, b"late");
    }

    fn a_failed_connection_is_told_without_a_signal_and_spares_the_others(case) {
        let mut bench = case.open();
        let (reset_one, peer) = bench.tcp_pair();
        let (fine, fine_peer) = bench.tcp_pair();
        peer.reset();
        // The reset is there when a receive has it.
        let receive = bench.receive(reset_one);
        assert_eq!(bench.next_errno(receive), libc::ECONNRESET);
        let results = bench.offer(vec![(reset_one, "lost".into()), (fine, "kept".into())]);
        assert_eq!(results[0].as_ref().expect_err("gone").kind(), ErrorKind::BrokenPipe);
        assert_eq!(results[1].as_ref().expect("fine"), &4);
        bench.driver.sockets().shutdown(fine, Shutdown::Write).expect("shutdown");
        assert_eq!(read_to_end(fine_peer), b"kept");
    }

    /// Hundreds of refusals among hundreds of arrivals, in a completion queue of 16.
    fn every_refusal_is_known_before_anything_else_is_told(case) {
        const STREAMS: usize = 200;
        let options = DriverOptions::default().submission_entries(8).completion_entries(16).buffers(512);
        let mut bench = case.open_with(options);
        let mut pairs: Vec<_> = (0..STREAMS).map(|_| bench.unix_pair()).collect();
        let receives: Vec<_> = pairs.iter().map(|(socket, _)| bench.receive(*socket)).collect();
        bench.turn(Wait::Poll);
        for (number, (socket, _)) in pairs.iter().enumerate() {
            if number % 3 != 0 {
                bench.fill(*socket);
            }
        }
        for round in 0..3_u8 {
            for (_, peer) in &mut pairs {
                peer.write_all(&[round]).expect("write");
            }
            let sends = pairs.iter().map(|(socket, _)| (*socket, Payload::from("x"))).collect();
            for (number, result) in bench.offer(sends).into_iter().enumerate() {
                match result {
                    Ok(taken) => assert_eq!((taken, number % 3), (1, 0)),
                    Err(error) => assert!(error.kind() == ErrorKind::WouldBlock && number % 3 != 0, "{number}: {error}"),
                }
            }
            for receive in &receives {
                assert_eq!(bench.next_bytes(*receive, 1), [round]);
            }
        }
    }

    fn a_lease_that_was_sent_on_is_given_back(case) {
        let mut bench = case.open();
        let (socket, mut peer) = bench.tcp_pair();
        let receive = bench.receive(socket);
        peer.write_all(b"x").expect("write");
        let chunk = bench.next_chunk(receive);
        assert_eq!(bench.driver.pool().usage().leased, 1);
        assert_eq!(bench.offer(vec![(socket, chunk.into())])[0].as_ref().expect("room"), &1);
        assert_eq!(bench.driver.pool().usage().leased, 0);
        let mut bytes = [0; 1];
        peer.read_exact(&mut bytes).expect("read");
        assert_eq!(&bytes, b"x");
    }

    fn what_is_queued_for_a_closed_socket_does_not_reach_its_successor(case) {
        case.alone(|| {
            let mut bench = case.open();
            let (socket, peer) = bench.unix_pair();
            let Some(queue) = bench.driver.send_queue() else { return };
            queue.push(Token(1), socket, "for whom?".into());
            bench.driver.close(socket);
            let (successor, far) = bench.unix_pair();
            assert_eq!(successor, socket, "the lowest number is given out again first");
            bench.turn(Wait::Poll);
            assert_eq!(read_to_end(peer), b"");
            bench.driver.sockets().shutdown(successor, Shutdown::Write).expect("shutdown");
            assert_eq!(read_to_end(far), b"");
        });
    }

    /// The peer answers what it gets, so a turn that slept before it sent would sleep for ever.
    fn a_turn_that_sleeps_sends_what_is_queued_before(case) {
        let mut bench = case.open();
        let (socket, peer) = bench.tcp_pair();
        let receive = bench.receive(socket);
        bench.turn(Wait::Poll);
        let Some(queue) = bench.driver.send_queue() else { return };
        queue.push(Token(1), socket, "question".into());
        let answering = peer.meanwhile(Act::Answer { question: 8, answer: b"answer".into() });
        assert_eq!(bench.next_bytes(receive, 6), b"answer");
        answering.join();
    }

    fn queued_sends_are_in_flight_and_leave_when_the_driver_is_quiesced(case) {
        let mut bench = case.open();
        let (socket, peer) = bench.tcp_pair();
        let Some(queue) = bench.driver.send_queue() else { return };
        assert!(queue.is_empty());
        queue.push(Token(1), socket, "at last".into());
        assert!(!queue.is_empty());
        assert_eq!(bench.driver.in_flight(), 1);
        assert!(bench.driver.peek(), "a turn has something to do");
        assert_eq!(bench.driver.quiesce(PATIENCE), 0);
        bench.driver.close(socket);
        assert_eq!(read_to_end(peer), b"at last");
    }
}
