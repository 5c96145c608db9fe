//! Addresses and options.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::time::Duration;

use annulet_driver::{Address, Domain, ListenSpec, SocketOption, UnixAddress};

use crate::bench::local_spec;
use crate::case::{on_each_kernel, read_to_end};

on_each_kernel! {
    fn options_are_read_back_as_they_were_set(case) {
        let mut bench = case.open();
        let (socket, _peer) = bench.tcp_pair();
        let sockets = bench.driver.sockets();
        for option in [
            SocketOption::NoDelay(true),
            SocketOption::NoDelay(false),
            SocketOption::Keepalive(Some(Duration::from_secs(17))),
            SocketOption::Keepalive(None),
            SocketOption::ResetOnClose(true),
            SocketOption::ResetOnClose(false),
            SocketOption::UserTimeout(Some(Duration::from_millis(1234))),
            SocketOption::UserTimeout(None),
            SocketOption::QuickAck(true),
            SocketOption::TypeOfService(0x10),
            SocketOption::TimeToLive(7),
        ] {
            sockets.set_option(socket, option).expect("set");
            assert_eq!(sockets.option(socket, option).expect("get"), option);
        }
        sockets.set_option(socket, SocketOption::Keepalive(Some(Duration::from_millis(1)))).expect("set");
        let idle = sockets.option(socket, SocketOption::Keepalive(None)).expect("get");
        assert_eq!(idle, SocketOption::Keepalive(Some(Duration::from_secs(1))), "rounded up");
        for (set, doubled) in [
            (SocketOption::SendBuffer(10_000), SocketOption::SendBuffer(20_000)),
            (SocketOption::ReceiveBuffer(10_000), SocketOption::ReceiveBuffer(20_000)),
        ] {
            sockets.set_option(socket, set).expect("set");
            assert_eq!(sockets.option(socket, set).expect("get"), doubled);
        }
        assert_eq!(sockets.option(socket, SocketOption::Error(1)).expect("get"), SocketOption::Error(0));
        assert!(sockets.set_option(socket, SocketOption::Error(0)).is_err());
    }

    fn options_of_an_ipv6_socket_cover_both_families(case) {
        let mut bench = case.open();
        let sockets = bench.driver.sockets();
        let socket = sockets.open(Domain::V6).expect("open");
        for option in [SocketOption::TimeToLive(9), SocketOption::TypeOfService(0x10)] {
            sockets.set_option(socket, option).expect("set");
            assert_eq!(sockets.option(socket, option).expect("get"), option);
        }
        bench.driver.close(socket);
    }

    fn an_address_in_use_is_refused_unless_it_is_shared(case) {
        let mut bench = case.open();
        let sockets = bench.driver.sockets();
        let (_, address) = sockets.listen(&local_spec()).expect("listen");
        let taken = ListenSpec { address, ..local_spec() };
        assert_eq!(sockets.listen(&taken).expect_err("taken").kind(), ErrorKind::AddrInUse);

        let shared = ListenSpec { share_port: true, ..local_spec() };
        let (_, address) = sockets.listen(&shared).expect("listen");
        let again = ListenSpec { address, ..shared };
        sockets.listen(&again).expect("shared");
    }

    fn an_ipv6_listener_takes_ipv4_unless_told_not_to(case) {
        let mut bench = case.open();
        for v6_only in [false, true] {
            let spec = ListenSpec {
                address: Address::Tcp((Ipv6Addr::UNSPECIFIED, 0).into()),
                v6_only,
                ..local_spec()
            };
            let Ok((listener, address)) = bench.driver.sockets().listen(&spec) else {
                eprintln!("skipped: no IPv6 here");
                return;
            };
            let port = address.as_tcp().expect("tcp").port();
            // Somebody else may have the port's IPv4 half, so that connecting proves nothing by itself.
            let _client = case.try_connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into());
            let accept = bench.accept(listener);
            if v6_only {
                bench.assert_quiet(accept);
            } else {
                bench.next_socket(accept);
            }
            bench.cancel(accept);
            bench.driver.close(listener);
        }
    }

    fn unix_listeners_have_paths_or_abstract_names(case) {
        let mut bench = case.open();
        for address in case.unix_names() {
            let spec = ListenSpec { address: address.clone(), ..local_spec() };
            let (listener, bound) = bench.driver.sockets().listen(&spec).expect("listen");
            assert_eq!(bound, address);
            let error = bench.driver.sockets().listen(&spec).expect_err("taken");
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
            let accept = bench.accept(listener);
            let socket = bench.driver.sockets().open(Domain::Unix).expect("open");
            bench.submit(annulet_driver::Op::Connect { socket, address: address.clone() });
            let accepted = bench.next_socket(accept);
            assert_eq!(bench.driver.sockets().local_address(accepted).expect("local"), address);
            let peer = bench.driver.sockets().peer_address(accepted).expect("peer");
            assert_eq!(peer, Address::Unix(UnixAddress::Unnamed));
            drop(case.connect(address.clone()));
            assert!(address.as_path().is_none_or(|path| case.exists(path)));
        }
    }

    fn a_stale_file_is_replaced_and_removed_with_its_listener(case) {
        let mut bench = case.open();
        let path = case.path();
        let spec = ListenSpec { address: Address::Unix(UnixAddress::Path(path.clone())), ..local_spec() };
        drop(case.listen(&spec.address, 1));
        assert!(case.exists(&path), "nobody removed it");
        let (listener, _) = bench.driver.sockets().listen(&spec).expect("nobody listens there");
        let _client = case.connect(spec.address);
        assert_eq!(bench.drain(listener).len(), 1);
        bench.driver.close(listener);
        assert!(!case.exists(&path));
    }

    fn the_file_of_somebody_who_listens_is_left_alone(case) {
        let mut bench = case.open();
        let spec = ListenSpec { address: Address::Unix(UnixAddress::Path(case.path())), ..local_spec() };
        // Whoever looks whether somebody listens takes a place in the queue. When it is full, that shows it as well.
        let (listener, _) = case.listen(&spec.address, 0);
        for _ in 0..2 {
            let error = bench.driver.sockets().listen(&spec).expect_err("somebody listens");
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
        }
        listener.accept();
        let _client = case.connect(spec.address);
        listener.accept();
    }

    fn without_a_descriptor_nothing_is_opened_and_what_is_open_works(case) {
        case.alone(|| {
            let mut bench = case.open();
            let (socket, mut peer) = bench.tcp_pair();
            let spare = bench.driver.sockets().open(Domain::V4).expect("open");
            case.limit_descriptors(Some(0));
            let sockets = bench.driver.sockets();
            for domain in [Domain::V4, Domain::V6, Domain::Unix] {
                assert_eq!(sockets.open(domain).expect_err("none left").raw_os_error(), Some(libc::EMFILE));
            }
            assert_eq!(sockets.listen(&local_spec()).expect_err("none left").raw_os_error(), Some(libc::EMFILE));
            assert_eq!(sockets.duplicate(socket).expect_err("none left").raw_os_error(), Some(libc::EMFILE));

            let receive = bench.receive(socket);
            peer.write_all(b"x").expect("write");
            assert_eq!(bench.next_bytes(receive, 1), b"x");
            bench.driver.close(spare);
            let sockets = bench.driver.sockets();
            sockets.open(Domain::V4).expect("the number of the spare one");
            assert_eq!(sockets.open(Domain::V4).expect_err("none left").raw_os_error(), Some(libc::EMFILE));
            case.limit_descriptors(None);
            sockets.open(Domain::V4).expect("no limit");
        });
    }

    fn no_socket_is_passed_on_to_programs(case) {
        let mut bench = case.open();
        let (accepted, _peer) = bench.tcp_pair();
        let sockets = bench.driver.sockets();
        let opened = sockets.open(Domain::V4).expect("open");
        let (listener, _) = sockets.listen(&local_spec()).expect("listen");
        let copy = sockets.duplicate(accepted).expect("duplicate");
        let copy = sockets.adopt(copy);
        for socket in [accepted, opened, listener, copy] {
            assert!(case.is_closed_on_exec(socket), "{socket:?}");
        }
    }

    fn a_duplicate_is_the_same_connection(case) {
        let mut bench = case.open();
        let (socket, peer) = bench.tcp_pair();
        let copy = bench.driver.sockets().duplicate(socket).expect("duplicate");
        let copy = bench.driver.sockets().adopt(copy);
        assert_ne!(copy, socket);
        bench.driver.close(socket);
        bench.send_all(copy, b"still open");
        bench.driver.close(copy);
        assert_eq!(read_to_end(peer), b"still open");
    }

    fn a_descriptor_on_its_way_keeps_the_socket_open_until_somebody_drops_it(case) {
        let (mut one, mut other) = (case.open(), case.open());
        let (socket, mut peer) = one.tcp_pair();
        let on_its_way = one.driver.sockets().duplicate(socket).expect("duplicate");
        one.driver.close(socket);
        let socket = other.driver.sockets().adopt(on_its_way);
        other.send_all(socket, b"arrived");
        peer.read_exact(&mut [0; 7]).expect("read");

        let on_its_way = other.driver.sockets().duplicate(socket).expect("duplicate");
        other.driver.close(socket);
        drop(on_its_way);
        assert_eq!(read_to_end(peer), b"");
    }

    fn the_limit_on_descriptors_is_the_one_in_force(case) {
        case.alone(|| {
            let mut bench = case.open();
            let opened = bench.driver.sockets().open(Domain::V4).expect("open");
            let before = bench.driver.sockets().descriptors_max();
            case.limit_descriptors(Some(1));
            let limit = bench.driver.sockets().descriptors_max();
            assert!(limit > opened.as_raw() as u64 && limit < before, "{limit} of {before}");
            case.limit_descriptors(None);
            assert!(bench.driver.sockets().descriptors_max() >= before);
        });
    }

    fn a_socket_without_a_peer_says_so(case) {
        let mut bench = case.open();
        let sockets = bench.driver.sockets();
        let socket = sockets.open(Domain::V4).expect("open");
        assert_eq!(sockets.peer_address(socket).expect_err("none").kind(), ErrorKind::NotConnected);
        assert_eq!(sockets.shutdown(socket, Shutdown::Both).expect_err("none").kind(), ErrorKind::NotConnected);
        bench.driver.close(socket);
    }
}
