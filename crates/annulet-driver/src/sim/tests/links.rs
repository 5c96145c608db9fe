//! Partitions, losses, dead hosts, and who finds out.

use super::*;

#[test]
fn a_partition_holds_bytes_until_it_is_mended() {
    let pair = Pair::new(1);
    let (client, server) = pair.connected();
    client.send(b"before").expect("send");
    pair.world.partition(pair.client, pair.server);
    client.send(b", during").expect("send");
    client.shut(Shutdown::Write).expect("open");
    pair.run_for(60 * SECOND);
    assert_eq!(server.receive(1), Err(libc::EAGAIN));
    pair.world.heal(pair.client, pair.server);
    pair.run_for(SECOND);
    assert_eq!(server.drain(), (b"before, during".to_vec(), Ok(())));
    server.close();
    client.close();
    pair.run();
    assert_eq!(pair.world.next_event_at(), None);
    pair.assert_sound();
}

#[test]
fn whoever_waits_for_acknowledgements_gives_up() {
    let pair = Pair::new(1);
    let (client, server) = pair.connected();
    pair.world.partition(pair.client, pair.server);
    client.send(b"into the void").expect("send");
    let start = pair.world.now();
    pair.run();
    assert_eq!((pair.world.now() - start).as_secs(), 924);
    assert_eq!(client.drain(), (vec![], Err(libc::ETIMEDOUT)));
    assert_eq!(server.receive(1), Err(libc::EAGAIN), "it waits for nothing, so it never knows");
    pair.world.heal(pair.client, pair.server);
    server.send(b"hello?").expect("send");
    pair.run();
    assert_eq!(server.send(b"x"), Err(libc::ECONNRESET));
    pair.assert_sound();
}

#[test]
fn the_user_timeout_shortens_the_wait_also_before_a_shut_window() {
    let settings = HostSettings { receive_buffer: 1000, ..HostSettings::default() };
    let pair = Pair::sized(1, Plan::none(), settings);
    let (client, _server) = pair.connected();
    client.set(SocketOption::UserTimeout(Some(5 * SECOND)));
    client.send(&pattern(2000)).expect("send");
    let start = pair.world.now();
    pair.run();
    assert_eq!((pair.world.now() - start).as_secs(), 5);
    assert_eq!(client.send(b"x"), Err(libc::ETIMEDOUT));
}

#[test]
fn progress_starts_the_user_timeout_anew() {
    let settings = HostSettings { receive_buffer: 1000, ..HostSettings::default() };
    let pair = Pair::sized(1, Plan::none(), settings);
    let (client, server) = pair.connected();
    client.set(SocketOption::UserTimeout(Some(5 * SECOND)));
    client.send(&pattern(9000)).expect("send");
    for _ in 0..8 {
        pair.run_for(4 * SECOND);
        assert_eq!(server.receive(1000).expect("bytes").len(), 1000);
    }
    pair.run_for(SECOND);
    assert_eq!(server.receive(1000).expect("the last").len(), 1000);
    pair.run_for(SECOND);
    assert_eq!(pair.world.next_event_at(), None, "nothing is waited for");
    pair.assert_sound();
}

#[test]
fn keepalive_finds_out_what_nobody_told() {
    for (heals, error) in [(false, libc::ETIMEDOUT), (true, libc::ECONNRESET)] {
        let pair = Pair::new(1);
        let (client, _server) = pair.connected();
        client.set(SocketOption::Keepalive(Some(10 * SECOND)));
        assert_eq!(pair.world.next_event_at(), None, "all is well");
        pair.world.kill(pair.server, Death::Silent);
        if heals {
            pair.world.restart(pair.server);
        }
        pair.run();
        assert_eq!(client.receive(1), Err(error));
        assert_eq!(pair.world.now().as_nanos() / 1_000_000_000, if heals { 10 } else { 10 + 675 });
        client.close();
        pair.assert_sound();
    }
}

#[test]
fn a_mended_partition_satisfies_keepalive() {
    let pair = Pair::new(1);
    let (client, server) = pair.connected();
    client.set(SocketOption::Keepalive(Some(SECOND)));
    pair.world.partition(pair.client, pair.server);
    pair.run_for(100 * SECOND);
    pair.world.heal(pair.client, pair.server);
    pair.run();
    server.send(b"alive").expect("send");
    pair.run();
    assert_eq!(client.receive(10), Ok(b"alive".to_vec()));
}

#[test]
fn connecting_across_a_partition_waits_and_goes_on() {
    let pair = Pair::new(1);
    let listener = pair.listen(at_server(80));
    pair.world.partition(pair.client, pair.server);
    let client = pair.connect(at_server(80));
    pair.run_for(20 * SECOND);
    assert_eq!(pair.world.connect_result(client.file), None);
    pair.world.heal(pair.client, pair.server);
    pair.run_for(SECOND);
    assert_eq!(pair.world.connect_result(client.file), Some(Ok(())));
    pair.accept(&listener).expect("it arrived");
    pair.world.partition(pair.client, pair.server);
    let late = pair.connect(at_server(80));
    pair.run();
    assert_eq!(pair.world.connect_result(late.file), Some(Err(libc::ETIMEDOUT)));
}

#[test]
fn a_half_made_connection_is_forgotten_by_the_listener() {
    let pair = Pair::new(1);
    let listener = pair.listen_with(at_server(80), 0, false);
    let client = pair.connect(at_server(80));
    pair.world.run_next();
    pair.world.partition(pair.client, pair.server);
    client.close();
    pair.run_for(70 * SECOND);
    pair.world.heal(pair.client, pair.server);
    pair.run();
    let next = pair.connect(at_server(80));
    pair.run_for(SECOND / 2);
    assert_eq!(pair.world.connect_result(next.file), Some(Ok(())));
    pair.accept(&listener).expect("the place was free");
    pair.assert_sound();
}

#[test]
fn losses_are_delays() {
    let pair = Pair::new(1);
    let (client, server) = pair.connected();
    let settings = LinkSettings { loss_per_million: 300_000, ..LinkSettings::LOCAL };
    pair.world.link(pair.client, pair.server, settings);
    let start = pair.world.now();
    for _ in 0..20 {
        client.send(&pattern(100)).expect("send");
    }
    pair.run();
    assert_eq!(server.receive(5000).expect("all").len(), 2000);
    assert!(pair.world.now() - start >= Duration::from_millis(200));
}

#[test]
fn a_narrow_link_takes_its_time() {
    let pair = Pair::new(1);
    let (client, server) = pair.connected();
    let settings = LinkSettings { bytes_per_second: Some(10_000), segment_max: 1000, ..LinkSettings::LOCAL };
    pair.world.link(pair.client, pair.server, settings);
    client.send(&pattern(10_000)).expect("send");
    pair.run_for(SECOND / 2);
    let half = pair.world.unread(server.file);
    assert!((3000..5500).contains(&half), "{half}");
    pair.run_for(SECOND);
    assert_eq!(pair.world.unread(server.file), 10_000);
}

#[test]
fn a_killed_process_closes_its_sockets_and_its_host_refuses() {
    let pair = Pair::new(1);
    let (client, server) = pair.connected();
    let _listener = pair.listen(at_server(80));
    server.send(b"last words").expect("send");
    pair.world.kill(pair.server, Death::Killed);
    pair.run();
    assert_eq!(client.drain(), (b"last words".to_vec(), Ok(())));
    assert_eq!(server.send(b"x"), Err(libc::EBADF));
    assert_eq!(pair.world.socket(pair.server, Domain::V4).map_err(number), Err(libc::EBADF));
    let refused = pair.connect(at_server(80));
    pair.run();
    assert_eq!(pair.world.connect_result(refused.file), Some(Err(libc::ECONNREFUSED)));
    assert!(!pair.world.is_alive(pair.server) && pair.world.descriptors_open(pair.server) == 0);
    pair.world.restart(pair.server);
    let listener = pair.listen(at_server(80));
    pair.connect(at_server(80));
    pair.run();
    pair.accept(&listener).expect("a new life");
    pair.assert_sound();
}

#[test]
fn a_reset_host_resets() {
    let pair = Pair::new(1);
    let (client, _server) = pair.connected();
    pair.world.kill(pair.server, Death::Reset);
    pair.run();
    assert_eq!(client.receive(1), Err(libc::ECONNRESET));
}

#[test]
fn a_silent_host_says_nothing_until_it_is_back() {
    let pair = Pair::new(1);
    let (client, server) = pair.connected();
    pair.world.hold(server.file);
    pair.world.kill(pair.server, Death::Silent);
    pair.world.release(server.file);
    client.send(b"hello?").expect("send");
    pair.run_for(100 * SECOND);
    assert_eq!(client.receive(1), Err(libc::EAGAIN));
    pair.world.restart(pair.server);
    pair.run();
    assert_eq!(client.receive(1), Err(libc::ECONNRESET));
    client.close();
    pair.assert_sound();
}

#[test]
fn a_shut_window_is_probed_so_that_a_peer_gone_without_a_word_is_found_out() {
    let settings = HostSettings { receive_buffer: 1000, ..HostSettings::default() };
    let pair = Pair::sized(1, Plan::none(), settings);
    let (client, server) = pair.connected();
    server.send(&pattern(3000)).expect("room");
    pair.run();
    pair.world.partition(pair.client, pair.server);
    client.send(b"into the void").expect("send");
    pair.run();
    assert_eq!(client.drain(), (pattern(1000), Err(libc::ETIMEDOUT)));
    assert_eq!(server.receive(1), Err(libc::ETIMEDOUT), "its probes stay without an answer");
    let (client, server) = {
        pair.world.heal(pair.client, pair.server);
        pair.connected()
    };
    server.send(&pattern(3000)).expect("room");
    pair.run();
    pair.world.kill(pair.client, Death::Silent);
    pair.world.restart(pair.client);
    pair.run_for(2 * SECOND);
    assert_eq!(server.receive(1), Err(libc::ECONNRESET));
    assert_eq!(client.receive(1), Err(libc::EBADF));
    pair.assert_sound();
}
