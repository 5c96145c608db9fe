//! The queue of a listener: who waits in it, who finds no place, and what becomes of them.

use std::io::{ErrorKind, Read, Write};

use annulet_driver::{Address, Key, ListenSpec, Op, Outcome, Socket};

use crate::bench::{Bench, local_spec};
use crate::case::{Case, any_port, on_each_kernel, read_to_end};

/// A listener of the driver's with the shortest queue there is.
fn listen_with_the_shortest_queue(bench: &mut Bench, address: Address) -> (Socket, Address) {
    let spec = ListenSpec { address, backlog: 0, ..local_spec() };
    bench.driver.sockets().listen(&spec).expect("listen")
}

/// Connects until one finds no place in the queue; those that did, and that one.
fn fill_queue(bench: &mut Bench, address: &Address) -> (Vec<Socket>, Socket, Key) {
    let mut connected = Vec::new();
    for _ in 0..20 {
        let (socket, key) = bench.connect(address.clone());
        if bench.is_quiet(key, &mut 0) {
            return (connected, socket, key);
        }
        assert!(matches!(bench.all(key)[..], [Outcome::Connected]));
        connected.push(socket);
    }
    panic!("20 connections do not fit the shortest queue");
}

/// One address of each kind.
fn addresses(case: &Case) -> Vec<Address> {
    std::iter::once(any_port()).chain(case.unix_names()).collect()
}

on_each_kernel! {
    fn connections_are_accepted_in_the_order_they_came(case) {
        let mut bench = case.open();
        let (listener, address) = bench.listen();
        let clients: Vec<_> = (0..10).map(|_| case.connect(address)).collect();
        let accept = bench.accept(listener);
        for client in clients {
            let socket = bench.next_socket(accept);
            assert_eq!(bench.driver.sockets().peer_address(socket).expect("peer"), client.address());
        }
    }

    fn what_a_client_sent_before_it_was_accepted_is_received(case) {
        for address in addresses(case) {
            let mut bench = case.open();
            let spec = ListenSpec { address, ..local_spec() };
            let (listener, address) = bench.driver.sockets().listen(&spec).expect("listen");
            let mut client = case.connect(address);
            client.write_all(b"early").expect("write");
            drop(client);
            let accept = bench.accept(listener);
            let socket = bench.next_socket(accept);
            let receive = bench.receive(socket);
            assert_eq!(bench.next_bytes(receive, 5), b"early");
            assert!(matches!(bench.all(receive)[..], [Outcome::End]));
        }
    }

    fn a_connection_reset_in_the_queue_is_received_to_its_reset(case) {
        let mut bench = case.open();
        let (listener, address) = bench.listen();
        let mut client = case.connect(address);
        client.write_all(b"early").expect("write");
        client.await_delivery();
        client.reset();
        let accept = bench.accept(listener);
        let socket = bench.next_socket(accept);
        let receive = bench.receive(socket);
        assert_eq!(bench.next_bytes(receive, 5), b"early");
        assert_eq!(bench.next_errno(receive), libc::ECONNRESET);
    }

    /// The kernel drops who finds no place, and the client asks again after a second.
    fn who_finds_a_full_queue_gets_in_when_there_is_room(case) {
        let mut bench = case.open();
        let (listener, address) = listen_with_the_shortest_queue(&mut bench, any_port());
        let (connected, socket, hanging) = fill_queue(&mut bench, &address);
        let accept = bench.accept(listener);
        for _ in &connected {
            bench.next_socket(accept);
        }
        assert!(matches!(bench.all(hanging)[..], [Outcome::Connected]));
        let accepted = bench.next_socket(accept);
        bench.send_all(socket, b"at last");
        let receive = bench.receive(accepted);
        assert_eq!(bench.next_bytes(receive, 7), b"at last");
    }

    fn who_finds_a_full_queue_is_refused_when_the_listener_closes(case) {
        let mut bench = case.open();
        let (listener, address) = listen_with_the_shortest_queue(&mut bench, any_port());
        let (_, _, hanging) = fill_queue(&mut bench, &address);
        bench.driver.close(listener);
        assert_eq!(bench.next_errno(hanging), libc::ECONNREFUSED);
    }

    fn a_full_queue_of_a_unix_listener_says_so_at_once(case) {
        for address in case.unix_names() {
            let mut bench = case.open();
            let (listener, address) = listen_with_the_shortest_queue(&mut bench, address);
            let mut connected = 0;
            let socket = loop {
                let (socket, key) = bench.connect(address.clone());
                match &bench.all(key)[..] {
                    [Outcome::Connected] => connected += 1,
                    [Outcome::Failed(error)] if error.kind() == ErrorKind::WouldBlock => break socket,
                    other => panic!("{other:?}"),
                }
                assert!(connected < 20, "the shortest queue holds {connected}");
            };
            assert_eq!(bench.drain(listener).len(), connected);
            let key = bench.submit(Op::Connect { socket, address });
            assert!(matches!(bench.all(key)[..], [Outcome::Connected]), "the same socket may try again");
            assert_eq!(bench.drain(listener).len(), 1);
        }
    }

    fn closing_a_listener_resets_who_waits_and_refuses_who_comes(case) {
        for address in addresses(case) {
            let mut bench = case.open();
            let spec = ListenSpec { address, ..local_spec() };
            let (listener, address) = bench.driver.sockets().listen(&spec).expect("listen");
            let mut client = case.connect(address.clone());
            bench.driver.close(listener);
            assert_eq!(client.read(&mut [0]).expect_err("a reset").kind(), ErrorKind::ConnectionReset);
            let (_, key) = bench.connect(address.clone());
            // The file of a Unix listener goes with it.
            let nobody = if address.as_path().is_some() { libc::ENOENT } else { libc::ECONNREFUSED };
            assert_eq!(bench.next_errno(key), nobody);
        }
    }

    fn a_closed_listener_leaves_its_connections_and_its_port(case) {
        let mut bench = case.open();
        let (listener, address) = bench.listen();
        let client = case.connect(address);
        let accept = bench.accept(listener);
        let socket = bench.next_socket(accept);
        bench.cancel(accept);
        bench.driver.close(listener);

        let spec = ListenSpec { address: address.into(), ..local_spec() };
        let (listener, _) = bench.driver.sockets().listen(&spec).expect("the port is free");
        let _second = case.connect(address);
        assert_eq!(bench.drain(listener).len(), 1);
        bench.send_all(socket, b"still here");
        bench.driver.close(socket);
        assert_eq!(read_to_end(client), b"still here");
    }

    fn closing_one_of_two_that_share_a_port_resets_those_of_its_own_queue(case) {
        let mut bench = case.open();
        let spec = ListenSpec { share_port: true, ..local_spec() };
        let (closed, address) = bench.driver.sockets().listen(&spec).expect("listen");
        let (open, _) = bench.driver.sockets().listen(&ListenSpec { address: address.clone(), ..spec }).expect("share");
        let mut clients: Vec<_> = (0..40).map(|_| case.connect(address.clone())).collect();
        bench.driver.close(closed);

        let mut served = Vec::new();
        for socket in bench.drain(open) {
            served.push(bench.driver.sockets().peer_address(socket).expect("peer"));
            bench.send_all(socket, b"served");
            bench.driver.close(socket);
        }
        assert!(!served.is_empty(), "40 connections are spread over both");
        if served.len() == clients.len() {
            return eprintln!("skipped: connections move to another queue here (net.ipv4.tcp_migrate_req)");
        }
        for client in &mut clients {
            if served.contains(&client.address()) {
                assert_eq!(read_to_end(client), b"served");
            } else {
                assert_eq!(client.read(&mut [0]).expect_err("a reset").kind(), ErrorKind::ConnectionReset);
            }
        }
    }
}
