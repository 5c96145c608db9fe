//! Connecting.

use std::io::{Read, Write};
use std::net::Ipv6Addr;

use annulet_driver::{Address, Domain, ListenSpec, Op, Outcome, UnixAddress};

use crate::bench::local_spec;
use crate::case::{any_port, on_each_kernel, read_to_end};

on_each_kernel! {
    fn a_tcp_connection_is_made_and_carries_bytes(case) {
        let mut bench = case.open();
        let (listener, address) = case.listener();
        let (socket, key) = bench.connect(address.clone());
        assert!(matches!(bench.all(key)[..], [Outcome::Connected]));
        assert_eq!(bench.driver.sockets().peer_address(socket).expect("peer"), address);
        let (peer, from) = listener.accept();
        assert_eq!(bench.driver.sockets().local_address(socket).expect("local"), from);
        bench.send_all(socket, b"hello");
        bench.driver.close(socket);
        assert_eq!(read_to_end(peer), b"hello");
    }

    fn an_ipv6_connection_is_made_and_carries_bytes(case) {
        let mut bench = case.open();
        let spec = ListenSpec { address: Address::Tcp((Ipv6Addr::LOCALHOST, 0).into()), ..local_spec() };
        let Ok((listener, address)) = bench.driver.sockets().listen(&spec) else {
            return eprintln!("skipped: no IPv6 here");
        };
        let (socket, key) = bench.connect(address.clone());
        assert!(matches!(bench.all(key)[..], [Outcome::Connected]));
        assert_eq!(bench.driver.sockets().peer_address(socket).expect("peer"), address);
        let accept = bench.accept(listener);
        let accepted = bench.next_socket(accept);
        bench.send_all(socket, b"hello");
        let receive = bench.receive(accepted);
        assert_eq!(bench.next_bytes(receive, 5), b"hello");
    }

    fn a_connected_socket_receives_and_waits_for_room(case) {
        let mut bench = case.open();
        let (listener, address) = case.listener();
        let (socket, key) = bench.connect(address);
        assert!(matches!(bench.all(key)[..], [Outcome::Connected]));
        let (mut peer, _) = listener.accept();
        let receive = bench.receive(socket);
        peer.write_all(b"hello").expect("write");
        assert_eq!(bench.next_bytes(receive, 5), b"hello");
        let length = bench.fill(socket);
        let writable = bench.submit(Op::Writable { socket });
        peer.read_exact(&mut vec![0; length]).expect("read");
        assert!(matches!(bench.all(writable)[..], [Outcome::Writable]));
    }

    fn a_refused_connection_says_so(case) {
        let mut bench = case.open();
        let (listener, address) = case.listener();
        drop(listener);
        let (socket, key) = bench.connect(address);
        assert_eq!(bench.next_errno(key), libc::ECONNREFUSED);
        bench.driver.close(socket);
    }

    fn a_unix_connection_is_made_refused_or_finds_nobody(case) {
        let mut bench = case.open();
        let address = Address::Unix(UnixAddress::Path(case.path()));
        let (_, nobody) = bench.connect(address.clone());
        assert_eq!(bench.next_errno(nobody), libc::ENOENT);

        let (listener, _) = case.listen(&address, 128);
        let (socket, made) = bench.connect(address.clone());
        assert!(matches!(bench.all(made)[..], [Outcome::Connected]));
        let (peer, _) = listener.accept();
        bench.send_all(socket, b"hello");
        bench.driver.close(socket);
        assert_eq!(read_to_end(peer), b"hello");

        drop(listener);
        let (_, refused) = bench.connect(address);
        assert_eq!(bench.next_errno(refused), libc::ECONNREFUSED);
    }

    fn an_address_the_kernel_cannot_take_fails_the_connect(case) {
        let mut bench = case.open();
        let address = Address::Unix(UnixAddress::Path("x".repeat(200).into()));
        let (_, key) = bench.connect(address);
        assert!(matches!(bench.all(key)[..], [Outcome::Failed(_)]));
        let [_, unused_name] = case.unix_names();
        let (_, key) = bench.connect(unused_name);
        assert_eq!(bench.next_errno(key), libc::ECONNREFUSED);
    }

    /// A listener whose queue is full answers no more: the connection hangs until somebody gives up.
    fn a_connect_that_hangs_can_be_cancelled(case) {
        let mut bench = case.open();
        let (_listener, address) = case.listen(&any_port(), 0);
        let mut hanging = None;
        for _ in 0..20 {
            let (socket, key) = bench.connect(address.clone());
            if bench.is_quiet(key, &mut 0) {
                hanging = Some((socket, key));
                break;
            }
        }
        let (socket, key) = hanging.expect("20 connections do not fit a queue of one");
        assert!(matches!(bench.cancel(key)[..], [Outcome::Cancelled]));
        bench.driver.close(socket);
    }

    fn a_socket_opens_for_each_domain(case) {
        let mut bench = case.open();
        for domain in [Domain::V4, Domain::V6, Domain::Unix] {
            let socket = bench.driver.sockets().open(domain).expect("open");
            bench.driver.close(socket);
        }
        let counters = bench.driver.counters();
        assert_eq!((counters.sockets_opened.get(), counters.sockets_closed.get()), (3, 3));
    }
}
