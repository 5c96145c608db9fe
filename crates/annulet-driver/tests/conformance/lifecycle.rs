//! The life of operations, descriptors and drivers.

use std::io::Write;
use std::time::Duration;

use annulet_driver::{Op, Outcome, Wait};

use crate::case::{on_each_kernel, read_to_end};
use crate::environment::PATIENCE;

on_each_kernel! {
    fn operations_in_flight_are_counted_until_their_last_completion_is_delivered(case) {
        let mut bench = case.open();
        let (socket, _peer) = bench.tcp_pair();
        assert_eq!(bench.driver.in_flight(), 0);
        let receive = bench.receive(socket);
        assert_eq!(bench.driver.in_flight(), 1);
        bench.assert_quiet(receive);
        bench.driver.cancel(receive);
        assert_eq!(bench.driver.in_flight(), 1);
        assert!(matches!(bench.all(receive)[..], [Outcome::Cancelled]));
        assert_eq!(bench.driver.in_flight(), 0);
    }

    fn a_key_of_the_past_touches_no_later_operation(case) {
        let mut bench = case.open();
        let (socket, mut peer) = bench.tcp_pair();
        let past = bench.receive(socket);
        bench.cancel(past);
        let receive = bench.receive(socket);
        bench.driver.cancel(past);
        bench.assert_quiet(receive);
        peer.write_all(b"x").expect("write");
        assert_eq!(bench.next_bytes(receive, 1), b"x");
    }

    fn a_second_cancellation_changes_nothing(case) {
        let mut bench = case.open();
        let (socket, _peer) = bench.tcp_pair();
        let receive = bench.receive(socket);
        bench.driver.cancel(receive);
        bench.driver.cancel(receive);
        assert!(matches!(bench.all(receive)[..], [Outcome::Cancelled]));
        let later = bench.receive(socket);
        bench.assert_quiet(later);
    }

    fn a_reused_descriptor_number_gets_nothing_of_its_predecessor(case) {
        let mut bench = case.open();
        for round in 0..100_u8 {
            let (socket, mut peer) = bench.tcp_pair();
            let receive = bench.receive(socket);
            if round % 2 == 0 {
                bench.turn(Wait::Poll);
            }
            peer.write_all(&[round; 3]).expect("write");
            if round % 3 == 0 {
                // The event is with the driver already when the socket goes.
                bench.driver.peek();
            }
            let bytes: Vec<u8> = bench.cancel(receive).iter().fold(Vec::new(), |mut bytes, outcome| {
                if let Outcome::Received(chunk) = outcome {
                    bytes.extend_from_slice(chunk);
                }
                bytes
            });
            assert!([round; 3].starts_with(&bytes), "round {round}: {bytes:?}");
            bench.driver.close(socket);

            let (successor, mut peer) = bench.tcp_pair();
            let receive = bench.receive(successor);
            peer.write_all(b"mine").expect("write");
            assert_eq!(bench.next_bytes(receive, 4), b"mine");
            bench.cancel(receive);
            bench.driver.close(successor);
        }
    }

    fn several_events_of_one_batch_find_their_own_operations(case) {
        let mut bench = case.open();
        let mut pairs: Vec<_> = (0..50).map(|_| bench.tcp_pair()).collect();
        let receives: Vec<_> = pairs.iter().map(|(socket, _)| bench.receive(*socket)).collect();
        bench.assert_quiet(receives[0]);
        for (number, (_, peer)) in pairs.iter_mut().enumerate() {
            peer.write_all(&[number as u8; 10]).expect("write");
        }
        for (number, receive) in receives.iter().enumerate().rev() {
            assert_eq!(bench.next_bytes(*receive, 10), [number as u8; 10]);
        }
    }

    fn closing_tells_the_peer(case) {
        let mut bench = case.open();
        let (socket, peer) = bench.tcp_pair();
        let receive = bench.receive(socket);
        bench.assert_quiet(receive);
        bench.send_all(socket, b"bye");
        bench.cancel(receive);
        bench.driver.close(socket);
        assert_eq!(read_to_end(peer), b"bye");
    }

    fn a_quiesced_driver_leaves_no_descriptor_behind(case) {
        case.alone(|| {
            // Loaded once and kept by the process: the signal registry, the thread-locals of the tests.
            drop(case.open());
            let before = case.open_descriptors();
            {
                let mut bench = case.open();
                let (listener, address) = bench.listen();
                let (receiving, _peer) = bench.tcp_pair();
                let (full, _deaf) = bench.tcp_pair();
                bench.accept(listener);
                bench.receive(receiving);
                bench.fill(full);
                bench.submit(Op::Writable { socket: full });
                bench.submit(Op::Signal { signals: vec![libc::SIGUSR2] });
                bench.turn(Wait::Poll);
                // Connections that come while nobody turns: the kernel may accept them for us meanwhile.
                let clients: Vec<_> = (0..5).map(|_| case.connect(address)).collect();
                bench.driver.peek();
                assert_eq!(bench.driver.quiesce(PATIENCE), 0);
                assert_eq!(bench.driver.in_flight(), 0);
                for socket in [listener, receiving, full] {
                    bench.driver.close(socket);
                }
                let counters = bench.driver.counters();
                assert_eq!(counters.sockets_opened.get(), counters.sockets_closed.get());
                drop(clients);
            }
            assert_eq!(case.open_descriptors(), before);
        });
    }

    fn a_driver_dropped_with_operations_in_flight_frees_its_descriptors(case) {
        case.alone(|| {
            drop(case.open());
            let before = case.open_descriptors();
            {
                let mut bench = case.open();
                let (socket, _peer) = bench.tcp_pair();
                let receive = bench.receive(socket);
                bench.assert_quiet(receive);
                // Dropping the bench quiesces; then the socket, which is ours, is closed by hand.
                bench.driver.quiesce(Duration::from_secs(1));
                bench.driver.close(socket);
            }
            assert_eq!(case.open_descriptors(), before);
        });
    }

    fn a_driver_may_be_used_again_after_it_was_quiesced(case) {
        let mut bench = case.open();
        let (socket, mut peer) = bench.tcp_pair();
        bench.receive(socket);
        assert_eq!(bench.driver.quiesce(PATIENCE), 0);
        peer.write_all(b"x").expect("write");
        let receive = bench.receive(socket);
        assert_eq!(bench.next_bytes(receive, 1), b"x");
    }

    fn adopted_descriptors_work_in_whatever_mode_they_come(case) {
        let mut bench = case.open();
        for nonblocking in [false, true] {
            let (listener, address) = case.listener();
            let listener = listener.hand_over(&mut *bench.driver, nonblocking);
            let accept = bench.accept(listener);
            bench.assert_quiet(accept);
            let mut peer = case.connect(address);
            let socket = bench.next_socket(accept);
            let receive = bench.receive(socket);
            bench.assert_quiet(receive);
            peer.write_all(b"x").expect("write");
            assert_eq!(bench.next_bytes(receive, 1), b"x");
        }
    }
}
