//! Making TCP connections.

use super::*;

#[test]
fn a_connection_takes_the_links_time_and_knows_both_addresses() {
    let pair = Pair::new(1);
    let millis = Duration::from_millis;
    let settings = LinkSettings { delay_min: millis(10), delay_max: millis(10), ..LinkSettings::LOCAL };
    pair.world.link(pair.client, pair.server, settings);
    let listener = pair.listen(at_server(80));
    let client = pair.connect(at_server(80));
    assert_eq!(client.readiness(), Readiness::default());
    assert_eq!((client.send(b"x"), client.receive(1)), (Err(libc::EAGAIN), Err(libc::EAGAIN)));
    pair.run_for(millis(19));
    assert_eq!(pair.world.connect_result(client.file), None);
    pair.run_for(millis(1));
    assert_eq!(pair.world.connect_result(client.file), Some(Ok(())));
    assert!(client.readiness().writable && !client.readiness().readable);
    assert_eq!(pair.accept(&listener).err(), Some(libc::EAGAIN));
    pair.run_for(millis(10));
    assert!(listener.readiness().readable);
    let server = pair.accept(&listener).expect("a connection");
    assert_eq!((server.local(), server.peer()), (at_server(80), Ok(client.local())));
    assert_eq!(client.peer(), Ok(at_server(80)));
    let error = pair.world.connect(pair.client, client.descriptor, &at_server(80).into());
    assert_eq!(error.map_err(number), Err(libc::EISCONN));
    pair.assert_sound();
}

#[test]
fn where_nobody_listens_connecting_is_refused_once() {
    let pair = Pair::new(1);
    let client = pair.connect(at_server(80));
    let again = pair.world.connect(pair.client, client.descriptor, &at_server(80).into());
    assert_eq!(again.map_err(number), Err(libc::EALREADY));
    pair.run();
    let ready = client.readiness();
    assert!(ready.error && ready.hung_up && ready.readable && ready.writable, "{ready:?}");
    assert_eq!(pair.world.connect_result(client.file), Some(Err(libc::ECONNREFUSED)));
    assert_eq!((client.send(b"x"), client.receive(1)), (Err(libc::EPIPE), Ok(vec![])));
    assert_eq!(client.peer(), Err(libc::ENOTCONN));
    client.close();
    pair.assert_sound();
}

#[test]
fn a_refused_socket_can_try_again() {
    let pair = Pair::new(1);
    let client = pair.connect(at_server(80));
    pair.run();
    let listener = pair.listen(at_server(80));
    let again = pair.world.connect(pair.client, client.descriptor, &at_server(80).into());
    assert_eq!(again.map_err(number), Err(libc::EINPROGRESS));
    pair.run();
    assert_eq!(pair.world.connect_result(client.file), Some(Ok(())));
    pair.accept(&listener).expect("it arrived");
}

#[test]
fn where_nobody_answers_connecting_times_out() {
    let pair = Pair::new(1);
    let client = pair.connect("10.0.0.99:80".parse::<SocketAddr>().expect("address"));
    let start = pair.world.now();
    pair.run();
    assert_eq!(pair.world.now() - start, 127 * SECOND);
    assert_eq!(pair.world.connect_result(client.file), Some(Err(libc::ETIMEDOUT)));
}

#[test]
fn families_that_do_not_fit_are_refused_at_once() {
    let pair = Pair::new(1);
    let world = &pair.world;
    let lonely = world.add_host("lonely", vec![Ipv4Addr::new(10, 0, 0, 3).into()], HostSettings::default());
    let socket = world.socket(lonely, Domain::V6).expect("socket");
    let v6 = Address::Tcp("[fd00::2]:80".parse().expect("address"));
    assert_eq!(world.connect(lonely, socket, &v6).map_err(number), Err(libc::ENETUNREACH));
    assert_eq!(world.connect(lonely, socket, &at_server(80).into()).map_err(number), Err(libc::EINVAL));
    let socket = world.socket(lonely, Domain::V4).expect("socket");
    assert_eq!(world.connect(lonely, socket, &v6).map_err(number), Err(libc::EAFNOSUPPORT));
}

#[test]
fn a_host_reaches_itself() {
    let pair = Pair::new(1);
    let listener = pair.listen((Ipv4Addr::UNSPECIFIED, 80));
    for address in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(10, 0, 0, 2)] {
        let descriptor = pair.world.socket(pair.server, Domain::V4).expect("socket");
        let target = Address::Tcp((address, 80).into());
        pair.world.connect(pair.server, descriptor, &target).expect_err("not yet");
        pair.run();
        let client = pair.sock(pair.server, descriptor);
        assert_eq!(pair.world.connect_result(client.file), Some(Ok(())));
        let server = pair.accept(&listener).expect("a connection");
        assert_eq!((server.local(), Ok(server.local())), (client.peer().expect("peer"), client.peer()));
        client.send(b"hello").expect("send");
        pair.run();
        assert_eq!(server.receive(10), Ok(b"hello".to_vec()));
    }
}

#[test]
fn a_client_that_leaves_during_the_handshake_leaves_nothing_behind() {
    for leaves_after in 0..4 {
        let pair = Pair::new(leaves_after);
        let listener = pair.listen_with(at_server(80), 0, false);
        let client = pair.connect(at_server(80));
        for _ in 0..leaves_after {
            pair.world.run_next();
        }
        client.set(SocketOption::ResetOnClose(true));
        client.close();
        pair.run();
        // Its place is free again, or it waits there, dead.
        if let Ok(server) = pair.accept(&listener) {
            assert_eq!(server.receive(1), Err(libc::ECONNRESET));
        }
        pair.connect(at_server(80));
        pair.run();
        pair.accept(&listener).expect("the next client's");
        pair.assert_sound();
    }
}
