//! Listening and accepting.

use std::io::{ErrorKind, Read, Write};

use annulet_driver::{Outcome, SocketOption};

use crate::case::on_each_kernel;

on_each_kernel! {
    fn more_clients_than_one_turn_takes_are_all_accepted(case) {
        let mut bench = case.open();
        let (listener, address) = bench.listen();
        let clients: Vec<_> = (0..120).map(|_| case.connect(address)).collect();
        let accept = bench.accept(listener);
        for _ in &clients {
            bench.next_socket(accept);
        }
        assert_eq!(bench.driver.counters().accepted.get(), 120);
    }

    fn cancelling_an_accept_loses_no_connection(case) {
        let mut bench = case.open();
        let (listener, address) = bench.listen();
        for round in 0..20 {
            let clients: Vec<_> = (0..10).map(|_| case.connect(address)).collect();
            let accept = bench.accept(listener);
            let mut sockets = Vec::new();
            for _ in 0..round % 4 {
                sockets.push(bench.next_socket(accept));
            }
            sockets.extend(bench.cancel(accept).into_iter().filter_map(|outcome| match outcome {
                Outcome::Accepted(socket) => Some(socket),
                _ => None,
            }));
            sockets.extend(bench.drain(listener));
            assert_eq!(sockets.len(), clients.len(), "round {round}");
            sockets.into_iter().for_each(|socket| bench.driver.close(socket));
        }
    }

    fn accepting_goes_on_after_it_was_cancelled(case) {
        let mut bench = case.open();
        let (listener, address) = bench.listen();
        let accept = bench.accept(listener);
        bench.assert_quiet(accept);
        assert!(matches!(bench.cancel(accept)[..], [Outcome::Cancelled]));
        let _client = case.connect(address);
        let accept = bench.accept(listener);
        bench.next_socket(accept);
    }

    fn an_empty_queue_does_not_block(case) {
        let mut bench = case.open();
        let (listener, address) = bench.listen();
        assert_eq!(bench.drain(listener).len(), 0);
        let _client = case.connect(address);
        assert_eq!(bench.drain(listener).len(), 1);
    }

    fn a_connection_reset_in_the_queue_does_not_end_accepting(case) {
        let mut bench = case.open();
        let (listener, address) = bench.listen();
        case.connect(address).reset();
        let accept = bench.accept(listener);
        let mut client = case.connect(address);
        let mut last = bench.next_socket(accept);
        // Linux hands the dead one over as well.
        while bench.driver.sockets().peer_address(last).is_err() {
            last = bench.next_socket(accept);
        }
        bench.send_all(last, b"alive");
        client.read_exact(&mut [0; 5]).expect("the living one was accepted");
    }

    fn descriptor_exhaustion_fails_the_accept_and_the_next_one_works(case) {
        case.alone(|| {
            let mut bench = case.open();
            let (listener, address) = bench.listen();
            let (deserted, _) = bench.listen();
            let mut client = case.connect(address);
            let accept = bench.accept(listener);
            let first = bench.next_socket(accept);
            assert!(matches!(bench.cancel(accept)[..], [Outcome::Cancelled]));

            let _second_client = case.connect(address);
            case.limit_descriptors(Some(0));
            let accept = bench.accept(listener);
            assert_eq!(bench.next_errno(accept), libc::EMFILE);
            let again = bench.accept(listener);
            assert_eq!(bench.next_errno(again), libc::EMFILE);
            let error = bench.driver.sockets().try_accept(listener).expect_err("still none");
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
            // Where nobody waits, nobody lacks a descriptor.
            let error = bench.driver.sockets().try_accept(deserted).expect_err("nobody");
            assert_eq!(error.kind(), ErrorKind::WouldBlock);

            // What is open goes on working meanwhile.
            let receive = bench.receive(first);
            client.write_all(b"x").expect("write");
            bench.next_bytes(receive, 1);

            case.limit_descriptors(None);
            let accept = bench.accept(listener);
            bench.next_socket(accept);
        });
    }

    fn the_last_descriptor_is_given_out_before_the_accept_fails(case) {
        case.alone(|| {
            let mut bench = case.open();
            let (listener, address) = bench.listen();
            let _clients = [case.connect(address), case.connect(address)];
            case.limit_descriptors(Some(1));
            let accept = bench.accept(listener);
            let last = bench.next_socket(accept);
            assert_eq!(bench.next_errno(accept), libc::EMFILE);

            // The number of a closed one is given out again, limit or no limit.
            bench.driver.close(last);
            let accept = bench.accept(listener);
            bench.next_socket(accept);
        });
    }

    fn accepted_sockets_inherit_no_delay_and_are_not_passed_on_to_programs(case) {
        let mut bench = case.open();
        let (listener, address) = bench.listen();
        let _client = case.connect(address);
        let accept = bench.accept(listener);
        let socket = bench.next_socket(accept);
        let option = bench.driver.sockets().option(socket, SocketOption::NoDelay(false)).expect("option");
        assert_eq!(option, SocketOption::NoDelay(true));
        assert!(case.is_closed_on_exec(socket));
        assert_eq!(bench.driver.sockets().local_address(socket).expect("local").as_tcp(), Some(address));
    }

    fn one_listener_shared_by_two_drivers_gives_each_connection_to_one_of_them(case) {
        let (mut one, mut other) = (case.open(), case.open());
        let (listener, address) = one.listen();
        let copy = one.driver.sockets().duplicate(listener).expect("duplicate");
        let copy = other.driver.sockets().adopt(copy);
        let (first, second) = (one.accept(listener), other.accept(copy));
        // Armed before the clients come, so that both are told of each.
        one.assert_quiet(first);
        other.assert_quiet(second);
        let clients: Vec<_> = (0..40).map(|_| case.connect(address)).collect();
        one.idle();
        other.idle();
        let count = |outcomes: &[Outcome]| {
            outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Accepted(_))).count()
        };
        let taken = count(&one.cancel(first)) + count(&other.cancel(second));
        let left = one.drain(listener).len();
        assert_eq!(taken + left, clients.len());
        assert!(taken > 0);
    }
}
