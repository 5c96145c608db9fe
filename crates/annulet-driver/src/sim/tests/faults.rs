//! Each fault of the world, alone.

use super::*;

const ALWAYS: u32 = 1_000_000;

fn always(fault: Fault) -> Pair {
    Pair::with(1, Plan::none().with(fault, ALWAYS))
}

/// Sends until `length` bytes were taken, as a driver would: after EAGAIN it waits for room.
fn send_all(pair: &Pair, sock: &Sock, bytes: &[u8]) {
    let mut sent = 0;
    while sent < bytes.len() {
        match sock.send(&bytes[sent..]) {
            Ok(count) => sent += count,
            Err(number) => assert_eq!(number, libc::EAGAIN),
        }
        while sent < bytes.len() && !sock.readiness().writable {
            assert!(pair.world.next_event_at().is_some(), "room is never reported");
            pair.world.run_next();
        }
    }
}

#[test]
fn short_reads_lose_nothing() {
    let pair = always(Fault::ShortRead);
    let (client, server) = pair.connected();
    client.send(&pattern(3000)).expect("send");
    pair.run();
    let first = server.receive(3000).expect("some");
    assert!((1..3000).contains(&first.len()));
    let (rest, then) = server.drain();
    assert_eq!(([first, rest].concat(), then), (pattern(3000), Err(libc::EAGAIN)));
    assert!(pair.world.coverage().count(Fault::ShortRead, Operation::TryReceive) > 1);
}

#[test]
fn partial_sends_are_followed_by_room() {
    let pair = Pair::with(1, Plan::none().with(Fault::PartialSend, 700_000));
    let (client, server) = pair.connected();
    for piece in pattern(5000).chunks(100) {
        send_all(&pair, &client, piece);
    }
    client.close();
    pair.run();
    assert_eq!(server.drain(), (pattern(5000), Ok(())));
    assert!(pair.world.coverage().count(Fault::PartialSend, Operation::TrySend) > 1);
}

#[test]
fn a_refusal_with_room_is_kept_up_until_room_is_told() {
    let pair = Pair::with(1, Plan::none().with(Fault::PartialSend, ALWAYS).at_most(Fault::PartialSend, 1));
    let (client, _server) = pair.connected();
    assert_eq!(client.send(b"x"), Err(libc::EAGAIN), "none of one byte");
    assert_eq!(client.send(b"x"), Err(libc::EAGAIN));
    pair.world.take_changes(&mut Vec::new());
    pair.run();
    let mut changes = Vec::new();
    pair.world.take_changes(&mut changes);
    assert!(changes.contains(&client.file) && client.readiness().writable);
    assert_eq!(client.send(b"x"), Ok(1));
}

#[test]
fn shortages_have_their_errors_and_keep_the_connection() {
    for (fault, error) in [
        (Fault::NoDescriptors, libc::EMFILE),
        (Fault::NoFiles, libc::ENFILE),
        (Fault::NoBuffers, libc::ENOBUFS),
        (Fault::NoMemory, libc::ENOMEM),
    ] {
        let pair = Pair::with(1, Plan::none().with(fault, ALWAYS).at_most(fault, 3));
        let spec =
            ListenSpec { address: at_server(80).into(), backlog: 1, share_port: false, v6_only: false };
        assert_eq!(pair.world.socket(pair.client, Domain::V4).map_err(number), Err(error));
        assert_eq!(pair.world.listen(pair.server, &spec).map_err(number), Err(error));
        assert_eq!(pair.world.open_outside(pair.client, 0).map_err(number), Err(error));
        pair.listen(at_server(80)).close();
        let pair = Pair::with(1, Plan::none().with(fault, 500_000));
        let mut errors = 0;
        let listener = loop {
            match pair.world.listen(pair.server, &spec) {
                Ok((descriptor, _)) => break pair.sock(pair.server, descriptor),
                Err(_) => errors += 1,
            }
        };
        let client = loop {
            match pair.world.socket(pair.client, Domain::V4) {
                Ok(descriptor) => break descriptor,
                Err(_) => errors += 1,
            }
        };
        pair.world.connect(pair.client, client, &at_server(80).into()).expect_err("not yet");
        pair.run();
        while let Err(number) = pair.accept(&listener) {
            assert_eq!(number, error);
            errors += 1;
        }
        assert_eq!(pair.world.coverage().total(fault), errors);
        pair.assert_sound();
    }
}

#[test]
fn an_aborted_connection_costs_only_itself() {
    for (fault, error) in [(Fault::Aborted, libc::ECONNABORTED), (Fault::ProtocolError, libc::EPROTO)] {
        let pair = Pair::with(1, Plan::none().with(fault, ALWAYS).at_most(fault, 1));
        let listener = pair.listen(at_server(80));
        assert_eq!(pair.accept(&listener).err(), Some(libc::EAGAIN), "of an empty queue nothing is aborted");
        let clients = [(); 2].map(|()| pair.connect(at_server(80)));
        pair.run();
        assert_eq!(pair.accept(&listener).err(), Some(error));
        pair.accept(&listener).expect("the other one");
        pair.run();
        let resets = clients.iter().filter(|client| client.receive(1) == Err(libc::ECONNRESET));
        assert_eq!(resets.count(), 1);
        assert_eq!(pair.world.coverage().count(fault, Operation::TryAccept), 1);
        pair.assert_sound();
    }
}

#[test]
fn connecting_fails_in_each_way() {
    for (fault, error) in [
        (Fault::Refused, libc::ECONNREFUSED),
        (Fault::Unreachable, libc::EHOSTUNREACH),
        (Fault::TimedOut, libc::ETIMEDOUT),
    ] {
        let pair = always(fault);
        let listener = pair.listen(at_server(80));
        let client = pair.connect(at_server(80));
        assert_eq!(pair.world.connect_result(client.file), None);
        pair.run();
        assert!(client.readiness().error);
        assert_eq!(pair.world.connect_result(client.file), Some(Err(error)));
        assert_eq!(pair.accept(&listener).err(), Some(libc::EAGAIN));
        assert_eq!(pair.world.coverage().count(fault, Operation::Connect), 1);
        client.close();
        pair.assert_sound();
    }
}

#[test]
fn an_established_connection_dies_under_an_operation_and_the_peer_learns_by_sending() {
    for (fault, error) in [(Fault::TimedOut, libc::ETIMEDOUT), (Fault::Unreachable, libc::EHOSTUNREACH)] {
        for seed in 0..5 {
            let pair = Pair::with(seed, Plan::none().with(fault, 200_000).at_most(fault, 1));
            let (client, server) = pair.connected();
            let mut died = None;
            for _ in 0..50 {
                died = died
                    .or(client.send(b"x").err())
                    .or(client.receive(1).err().filter(|n| *n != libc::EAGAIN));
                pair.run();
            }
            if let Some(died) = died.filter(|number| *number != libc::ECONNRESET) {
                assert_eq!(died, error);
                server.send(b"x").expect("it does not know");
                pair.run();
                assert_eq!(server.drain().1, Err(libc::ECONNRESET));
            }
            pair.assert_sound();
        }
    }
}

#[test]
fn a_reset_comes_at_a_byte_and_both_ends_hear_of_it() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let pair = Pair::with(seed, Plan::none().with(Fault::Reset, ALWAYS));
        let (client, server) = pair.connected();
        let mut got = Vec::new();
        let end = loop {
            let sent = client.send(&[7; 3000]);
            pair.run();
            let (bytes, end) = server.drain();
            got.extend(bytes);
            if end != Err(libc::EAGAIN) {
                break (sent.is_ok(), end);
            }
        };
        assert_eq!(end, (true, Err(libc::ECONNRESET)));
        assert_eq!(client.receive(1), Err(libc::ECONNRESET));
        lengths.insert(got.len());
        let coverage = pair.world.coverage();
        assert_eq!(coverage.count(Fault::Reset, Operation::TryReceive), 2);
        pair.assert_sound();
    }
    assert!(lengths.len() > 20, "{lengths:?}");
}

#[test]
fn delays_and_losses_only_delay() {
    for fault in [Fault::Delay, Fault::Loss] {
        let pair = Pair::with(1, Plan::none().with(fault, 600_000));
        let (client, server) = pair.connected();
        let start = pair.world.now();
        for piece in pattern(5000).chunks(500) {
            client.send(piece).expect("send");
        }
        client.shut(Shutdown::Write).expect("open");
        pair.run();
        assert_eq!(server.drain(), (pattern(5000), Ok(())));
        assert!(pair.world.now() - start > Duration::from_millis(10));
        let coverage = pair.world.coverage();
        assert!(coverage.count(fault, Operation::TrySend) > 0, "{coverage}");
        assert!(coverage.missing().len() < Coverage::default().missing().len());
    }
}

#[test]
fn a_drawn_partition_heals_by_itself_or_with_the_end_of_faults() {
    for ends_early in [false, true] {
        let pair = Pair::with(5, Plan::none().with(Fault::Partition, ALWAYS).at_most(Fault::Partition, 3));
        let listener = pair.listen(at_server(80));
        let client = pair.connect(at_server(80));
        if ends_early {
            pair.world.end_faults_at(pair.world.now() + Duration::from_micros(1));
            pair.run_for(SECOND);
        } else {
            pair.run();
        }
        assert_eq!(pair.world.connect_result(client.file), Some(Ok(())));
        pair.accept(&listener).expect("it arrived");
        assert_eq!(pair.world.next_event_at(), None, "a cut that was mended has no event left");
        assert!(pair.world.coverage().count(Fault::Partition, Operation::Connect) > 0);
    }
}

#[test]
fn slow_peers_and_narrow_links_are_slow_and_whole() {
    for fault in [Fault::SlowPeer, Fault::NarrowLink] {
        let pair = always(fault);
        let (client, server) = pair.connected();
        client.send(&pattern(20_000)).expect("send");
        client.close();
        let mut got = Vec::new();
        while got.len() < 20_000 {
            pair.world.run_next();
            let (bytes, _) = server.drain();
            assert!(fault != Fault::SlowPeer || bytes.len() <= 4096);
            got.extend(bytes);
        }
        pair.run();
        assert_eq!((got, server.receive(1)), (pattern(20_000), Ok(vec![])));
        assert!(pair.world.coverage().count(fault, Operation::Connect) > 0);
        pair.assert_sound();
    }
}

#[test]
fn clocks_jump_and_go_on() {
    let pair = always(Fault::ClockJump);
    let first = pair.world.wall_clock(pair.client);
    let second = pair.world.wall_clock(pair.client);
    assert_ne!(first, second);
    pair.world.end_faults();
    assert_eq!(pair.world.wall_clock(pair.client), second);
    assert_eq!(pair.world.coverage().count(Fault::ClockJump, Operation::Clock), 2);
}

#[test]
fn faults_of_the_layer_above_are_drawn_and_counted_here() {
    let pair = Pair::with(1, Plan::none().with(Fault::LateCompletion, 500_000));
    let hits = (0..1000).filter(|_| pair.world.hit(Fault::LateCompletion, Operation::Receive)).count();
    assert!((400..600).contains(&hits));
    assert!(!pair.world.hit(Fault::Busy, Operation::Enter));
    pair.world.count(Fault::CancelAfter, Operation::Accept);
    let coverage = pair.world.coverage();
    assert_eq!(coverage.count(Fault::LateCompletion, Operation::Receive), hits as u64);
    assert_eq!(coverage.count(Fault::CancelAfter, Operation::Accept), 1);
    let nanos = pair.world.severity(Fault::LateCompletion, 10, 1000);
    assert!((10..=1000).contains(&nanos));
}
