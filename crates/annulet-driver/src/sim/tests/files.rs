//! Open files, readiness, clocks, signals, events from above.

use super::*;

#[test]
fn a_file_is_open_as_long_as_anybody_has_it() {
    let pair = Pair::new(1);
    let (client, server) = pair.connected();
    let copy = pair.world.duplicate(pair.server, server.descriptor).expect("room");
    pair.world.hold(server.file);
    server.close();
    assert_eq!(pair.world.file(pair.server, copy).expect("open"), server.file);
    pair.world.close(pair.server, copy).expect("open");
    pair.run();
    assert_eq!(client.receive(1), Err(libc::EAGAIN), "an operation in flight has it");
    assert_eq!(pair.world.socket(pair.server, Domain::V4).expect("socket"), server.descriptor.min(copy));
    pair.world.release(server.file);
    pair.run();
    assert_eq!(client.receive(1), Ok(vec![]));
    assert_eq!(server.send(b"x"), Err(libc::EBADF), "its id names nothing any more");
    pair.world.release(server.file);
    pair.world.unwatch(server.file);
    assert_eq!(pair.world.readiness(server.file), Readiness::default());
    pair.assert_sound();
}

#[test]
fn a_held_listener_goes_on_listening() {
    let pair = Pair::new(1);
    let listener = pair.listen(at_server(80));
    pair.world.hold(listener.file);
    listener.close();
    pair.connect(at_server(80));
    pair.run();
    pair.accept(&listener).expect("the operation's");
    pair.world.release(listener.file);
    pair.listen(at_server(80));
}

#[test]
fn changes_are_told_once_to_whoever_watches() {
    let pair = Pair::new(1);
    let (client, server) = pair.connected();
    let (other, quiet) = pair.connected();
    let mut changes = Vec::new();
    pair.world.take_changes(&mut changes);
    changes.clear();
    pair.world.unwatch(quiet.file);
    for sock in [&client, &client, &other] {
        sock.send(b"x").expect("send");
        pair.run();
    }
    pair.world.take_changes(&mut changes);
    changes.retain(|file| *file == server.file || *file == quiet.file);
    assert_eq!(changes, [server.file]);
    changes.clear();
    pair.world.take_changes(&mut changes);
    assert_eq!(changes, []);
    client.send(b"x").expect("send");
    pair.run();
    pair.world.take_changes(&mut changes);
    assert!(changes.contains(&server.file));
}

#[test]
fn files_of_the_layer_above_are_as_ready_as_it_says() {
    let pair = Pair::new(1);
    let event = pair.sock(pair.client, pair.world.open_outside(pair.client, 77).expect("room"));
    assert_eq!((pair.world.tag(event.file), event.readiness()), (Some(77), Readiness::default()));
    let ready = Readiness { readable: true, ..Readiness::default() };
    pair.world.set_readiness(event.file, ready);
    let mut changes = Vec::new();
    pair.world.take_changes(&mut changes);
    assert_eq!((event.readiness(), changes), (ready, vec![event.file]));
    let error = pair.world.set_option(event.file, SocketOption::NoDelay(true));
    assert_eq!(error.map_err(number), Err(libc::ENOTSOCK));
    event.close();
    assert_eq!(pair.world.tag(event.file), None);
}

#[test]
fn time_jumps_to_the_next_event_and_events_from_above_come_in_order() {
    let pair = Pair::new(1);
    let world = &pair.world;
    let hour = Instant::from_nanos(3_600_000_000_000);
    let event = |a| Outside { kind: 1, a, b: 0 };
    world.schedule(hour, event(1));
    world.schedule(hour, event(2));
    world.raise(pair.server, libc::SIGTERM, Instant::from_nanos(5));
    world.schedule(hour + SECOND, event(3));
    assert_eq!(world.next_event_at(), Some(Instant::from_nanos(5)));
    assert_eq!(world.run_next(), Happened::Signal(pair.server, libc::SIGTERM));
    assert_eq!(world.run_next(), Happened::Outside(event(1)));
    assert_eq!(world.now(), hour);
    world.advance(10 * SECOND);
    assert_eq!(world.next_event_at(), Some(hour + 10 * SECOND), "what was due meanwhile is late");
    assert_eq!([world.run_next(), world.run_next()], [event(2), event(3)].map(Happened::Outside));
    assert_eq!((world.now(), world.run_next()), (hour + 10 * SECOND, Happened::Nothing));
}

#[test]
fn wall_clocks_jump_one_by_one() {
    let pair = Pair::new(1);
    let before = [pair.client, pair.server].map(|host| pair.world.wall_clock(host));
    pair.world.advance(SECOND);
    pair.world.jump_wall_clock(pair.server, -60_000_000_000);
    assert_eq!(pair.world.wall_clock(pair.client), before[0] + SECOND);
    assert_eq!(pair.world.wall_clock(pair.server), before[1] + SECOND - 60 * SECOND);
}

#[test]
fn hosts_are_found_by_name_and_know_their_addresses() {
    let pair = Pair::new(1);
    assert_eq!(pair.world.host_named("server"), Some(pair.server));
    assert_eq!(pair.world.host_named("nobody"), None);
    assert_eq!(pair.world.name(pair.client), "client");
    assert_eq!(pair.world.addresses(pair.server), addresses(2));
    assert_eq!(pair.server.index(), 1);
}

#[test]
fn options_are_what_was_set() {
    let pair = Pair::new(1);
    let (client, _server) = pair.connected();
    let option = |option| pair.world.option(client.file, option).expect("an option");
    for set in [
        SocketOption::NoDelay(false),
        SocketOption::Keepalive(Some(9 * SECOND)),
        SocketOption::ResetOnClose(true),
        SocketOption::UserTimeout(Some(SECOND)),
        SocketOption::QuickAck(false),
        SocketOption::TypeOfService(8),
        SocketOption::TimeToLive(3),
    ] {
        client.set(set);
        assert_eq!(option(set), set);
    }
    client.set(SocketOption::SendBuffer(10_000));
    assert_eq!(
        option(SocketOption::SendBuffer(0)),
        SocketOption::SendBuffer(20_000),
        "doubled, as Linux does"
    );
    client.set(SocketOption::ReceiveBuffer(1));
    assert_eq!(option(SocketOption::ReceiveBuffer(0)), SocketOption::ReceiveBuffer(2304));
    let error = pair.world.set_option(client.file, SocketOption::Error(0));
    assert_eq!(error.map_err(number), Err(libc::EINVAL));
}
