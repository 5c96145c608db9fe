//! Connecting.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

use annulet_driver::{Address, Domain, Op, Outcome, UnixAddress};

use crate::case::{Bench, on_each_driver, read_to_end};

fn connect(bench: &mut Bench, address: Address) -> (annulet_driver::Socket, annulet_driver::Key) {
    let socket = bench.driver.sockets().open(address.domain()).expect("open");
    (socket, bench.submit(Op::Connect { socket, address }))
}

/// An abstract name nobody else has.
fn unused_name(case: &str) -> UnixAddress {
    UnixAddress::Abstract(
        format!("annulet-{case}-{}-{:?}", std::process::id(), std::thread::current().id()).into(),
    )
}

on_each_driver! {
    fn a_tcp_connection_is_made_and_carries_bytes(case) {
        let mut bench = case.open();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
        let address = listener.local_addr().expect("address");
        let (socket, key) = connect(&mut bench, address.into());
        assert!(matches!(bench.all(key)[..], [Outcome::Connected]));
        assert_eq!(bench.driver.sockets().peer_address(socket).expect("peer"), Address::Tcp(address));
        let (peer, from) = listener.accept().expect("accept");
        assert_eq!(bench.driver.sockets().local_address(socket).expect("local"), Address::Tcp(from));
        bench.send_all(socket, b"hello");
        bench.driver.close(socket);
        assert_eq!(read_to_end(peer), b"hello");
    }

    fn a_connected_socket_receives_and_waits_for_room(case) {
        let mut bench = case.open();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
        let (socket, key) = connect(&mut bench, listener.local_addr().expect("address").into());
        assert!(matches!(bench.all(key)[..], [Outcome::Connected]));
        let (mut peer, _) = listener.accept().expect("accept");
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
        let address = {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
            listener.local_addr().expect("address")
        };
        let (socket, key) = connect(&mut bench, address.into());
        assert_eq!(bench.next_errno(key), libc::ECONNREFUSED);
        bench.driver.close(socket);
    }

    fn a_unix_connection_is_made_refused_or_finds_nobody(case) {
        let mut bench = case.open();
        let directory = std::env::temp_dir().join(format!("annulet-{}-{:?}", std::process::id(), std::thread::current().id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        let path = directory.join("socket");
        let address = || Address::Unix(UnixAddress::Path(path.clone()));

        let (_, nobody) = connect(&mut bench, address());
        assert_eq!(bench.next_errno(nobody), libc::ENOENT);

        let listener = UnixListener::bind(&path).expect("bind");
        let (socket, made) = connect(&mut bench, address());
        assert!(matches!(bench.all(made)[..], [Outcome::Connected]));
        let (peer, _) = listener.accept().expect("accept");
        bench.send_all(socket, b"hello");
        bench.driver.close(socket);
        assert_eq!(read_to_end(peer), b"hello");

        drop(listener);
        let (_, refused) = connect(&mut bench, address());
        assert_eq!(bench.next_errno(refused), libc::ECONNREFUSED);
        std::fs::remove_dir_all(&directory).expect("cleared away");
    }

    fn an_address_the_kernel_cannot_take_fails_the_connect(case) {
        let mut bench = case.open();
        let address = Address::Unix(UnixAddress::Path("x".repeat(200).into()));
        let (_, key) = connect(&mut bench, address);
        assert!(matches!(bench.all(key)[..], [Outcome::Failed(_)]));
        let (_, key) = connect(&mut bench, Address::Unix(unused_name("nobody")));
        assert_eq!(bench.next_errno(key), libc::ECONNREFUSED);
    }

    /// A listener whose queue is full answers no more: the connection hangs until somebody gives up.
    fn a_connect_that_hangs_can_be_cancelled(case) {
        let mut bench = case.open();
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("socket");
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("bind");
        listener.listen(0).expect("listen");
        let address = listener.local_addr().expect("address").as_socket().expect("tcp");
        let mut hanging = None;
        for _ in 0..20 {
            let (socket, key) = connect(&mut bench, address.into());
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
