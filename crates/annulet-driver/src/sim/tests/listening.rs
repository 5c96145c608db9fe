//! Listening and accepting.

use super::*;

#[test]
fn a_full_queue_drops_the_syn_and_the_client_tries_again() {
    let pair = Pair::new(1);
    let listener = pair.listen_with(at_server(80), 1, false);
    let clients: Vec<_> = (0..3).map(|_| pair.connect(at_server(80))).collect();
    pair.run_for(SECOND / 2);
    let is_connected = |client: &Sock| pair.world.connect_result(client.file) == Some(Ok(()));
    assert_eq!(clients.iter().filter(|client| is_connected(client)).count(), 2, "one more than the backlog");
    pair.accept(&listener).expect("a connection");
    pair.run_for(SECOND);
    assert!(clients.iter().all(is_connected));
    pair.assert_sound();
}

#[test]
fn a_queue_that_stays_full_times_the_client_out() {
    let pair = Pair::new(1);
    let _listener = pair.listen_with(at_server(80), 0, false);
    let clients = [(); 2].map(|()| pair.connect(at_server(80)));
    pair.run();
    let mut results = clients.each_ref().map(|client| pair.world.connect_result(client.file));
    results.sort();
    assert_eq!(results, [Some(Ok(())), Some(Err(libc::ETIMEDOUT))]);
    assert_eq!(pair.world.now().as_nanos() / 1_000_000_000, 127);
    clients.iter().for_each(Sock::close);
    pair.assert_sound();
}

#[test]
fn a_dead_connection_is_handed_over_with_what_it_had_received() {
    let pair = Pair::new(1);
    let listener = pair.listen(at_server(80));
    let client = pair.connect(at_server(80));
    pair.run();
    client.send(b"last words").expect("send");
    client.set(SocketOption::ResetOnClose(true));
    client.close();
    pair.run();
    let server = pair.accept(&listener).expect("it is still in the queue");
    assert_eq!(server.peer(), Err(libc::ENOTCONN));
    assert_eq!(server.drain(), (b"last words".to_vec(), Err(libc::ECONNRESET)));
    assert_eq!((server.receive(1), server.send(b"x")), (Ok(vec![]), Err(libc::EPIPE)));
}

#[test]
fn a_listener_that_goes_resets_what_it_had_not_accepted() {
    let pair = Pair::new(1);
    let listener = pair.listen(at_server(80));
    let queued = pair.connect(at_server(80));
    pair.run();
    let shaking = pair.connect(at_server(80));
    while pair.world.connect_result(shaking.file).is_none() {
        pair.world.run_next();
    }
    listener.close();
    pair.run();
    for client in [queued, shaking] {
        assert_eq!(client.receive(1), Err(libc::ECONNRESET));
        client.close();
    }
    pair.assert_sound();
    pair.listen(at_server(80));
}

#[test]
fn an_address_is_taken_unless_all_share_it() {
    let pair = Pair::new(1);
    let listen = |address: &str, share_port, v6_only| {
        let address = Address::Tcp(address.parse().expect("address"));
        let spec = ListenSpec { address, backlog: 1, share_port, v6_only };
        pair.world.listen(pair.server, &spec).map(|(descriptor, _)| descriptor).map_err(number)
    };
    let first = listen("10.0.0.2:80", true, false).expect("free");
    assert_eq!(listen("0.0.0.0:80", false, false), Err(libc::EADDRINUSE));
    assert_eq!(listen("[::]:80", false, false), Err(libc::EADDRINUSE));
    assert_eq!(listen("[::]:80", false, true).map(drop), Ok(()));
    assert_eq!(listen("127.0.0.1:80", false, false).map(drop), Ok(()));
    assert_eq!(listen("10.0.0.2:80", true, false).map(drop), Ok(()));
    assert_eq!(listen("10.0.0.9:80", false, false), Err(libc::EADDRNOTAVAIL));
    assert_eq!(listen("10.0.0.2:80", false, false), Err(libc::EADDRINUSE));
    pair.world.close(pair.server, first).expect("open");
    assert_eq!(listen("10.0.0.2:80", false, false), Err(libc::EADDRINUSE));
}

#[test]
fn sharing_listeners_each_get_some() {
    let pair = Pair::new(1);
    let listeners = [(); 3].map(|()| pair.listen_with(at_server(80), 128, true));
    (0..60).for_each(|_| drop(pair.connect(at_server(80))));
    pair.run();
    let counts = listeners.map(|listener| std::iter::from_fn(|| pair.accept(&listener).ok()).count());
    assert_eq!(counts.iter().sum::<usize>(), 60);
    assert!(counts.iter().all(|count| *count > 5), "{counts:?}");
}

#[test]
fn a_dual_listener_sees_mapped_addresses_and_the_exact_one_comes_first() {
    let pair = Pair::new(1);
    let dual = pair.listen((Ipv6Addr::UNSPECIFIED, 80));
    let client = pair.connect(at_server(80));
    pair.run();
    let server = pair.accept(&dual).expect("a connection");
    assert_eq!(server.local(), "[::ffff:10.0.0.2]:80".parse().expect("address"));
    assert_eq!(server.peer().expect("peer").port(), client.local().port());
    assert_eq!(pair.world.domain(server.file), Some(Domain::V6));
    assert_eq!(client.peer(), Ok(at_server(80)));
    pair.connect("[fd00::2]:80".parse::<SocketAddr>().expect("address"));
    pair.run();
    assert!(pair.accept(&dual).expect("a connection").peer().expect("peer").is_ipv6());
}

#[test]
fn accepted_sockets_inherit_the_listeners_options() {
    let pair = Pair::new(1);
    let listener = pair.listen(at_server(80));
    listener.set(SocketOption::ReceiveBuffer(5000));
    let client = pair.connect(at_server(80));
    pair.run();
    let server = pair.accept(&listener).expect("a connection");
    let option = |sock: &Sock, option| pair.world.option(sock.file, option).expect("an option");
    assert_eq!(option(&server, SocketOption::NoDelay(false)), SocketOption::NoDelay(true));
    assert_eq!(option(&server, SocketOption::ReceiveBuffer(0)), SocketOption::ReceiveBuffer(10_000));
    assert_eq!(option(&client, SocketOption::NoDelay(true)), SocketOption::NoDelay(false));
    assert_eq!(client.send(&pattern(20_000)), Ok(20_000));
    pair.run();
    assert_eq!(pair.world.unread(server.file), 10_000);
}

#[test]
fn a_full_table_fails_the_accept_and_keeps_the_connection() {
    let settings = HostSettings { descriptors_max: 5, ..HostSettings::default() };
    let pair = Pair::sized(1, Plan::none(), settings);
    let listener = pair.listen(at_server(80));
    pair.world.socket(pair.server, Domain::V4).expect("the fifth");
    assert_eq!(pair.accept(&listener).err(), Some(libc::EMFILE), "also of an empty queue");
    pair.connect(at_server(80));
    pair.run();
    assert_eq!(pair.accept(&listener).err(), Some(libc::EMFILE));
    assert_eq!(pair.world.duplicate(pair.server, listener.descriptor).map_err(number), Err(libc::EMFILE));
    assert_eq!(pair.world.open_outside(pair.server, 1).map_err(number), Err(libc::EMFILE));
    pair.world.set_descriptors_max(pair.server, 6);
    pair.accept(&listener).expect("it waited");
    assert_eq!(pair.world.socket(pair.server, Domain::V4).map_err(number), Err(libc::EMFILE));
}

#[test]
fn ports_are_chosen_where_none_is_named() {
    let pair = Pair::new(1);
    let ports: Vec<_> = (0..3).map(|_| pair.listen(at_server(0)).local().port()).collect();
    assert!(ports.iter().all(|port| *port >= 32_768) && ports[0] != ports[1] && ports[1] != ports[2]);
}
