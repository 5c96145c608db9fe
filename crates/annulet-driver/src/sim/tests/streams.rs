//! TCP streams: bytes, ends, errors.

use super::*;

#[test]
fn bytes_arrive_in_order_whatever_the_cuts() {
    for seed in 0..20 {
        let pair = Pair::new(seed);
        let (client, server) = pair.connected();
        let bytes = pattern(300_000);
        let (mut sent, mut got) = (0, Vec::new());
        while got.len() < bytes.len() {
            sent += client.send(&bytes[sent..(sent + 7777).min(bytes.len())]).unwrap_or(0);
            pair.world.run_next();
            if let Ok(more) = server.receive(1 + got.len() % 5000) {
                got.extend(more);
            }
        }
        assert!(got == bytes, "seed {seed}");
        pair.assert_sound();
    }
}

#[test]
fn a_sender_is_held_back_by_both_buffers() {
    let settings = HostSettings { send_buffer: 3000, receive_buffer: 2000, ..HostSettings::default() };
    let pair = Pair::sized(1, Plan::none(), settings);
    let (client, server) = pair.connected();
    assert_eq!(client.send(&pattern(10_000)), Ok(3000));
    assert_eq!(client.send(b"x"), Err(libc::EAGAIN));
    assert!(!client.readiness().writable);
    pair.run();
    assert_eq!(pair.world.unread(server.file), 2000);
    assert_eq!(client.send(&pattern(10_000)), Ok(2000));
    assert_eq!(client.send(b"x"), Err(libc::EAGAIN));
    pair.run();
    assert_eq!(pair.world.unread(server.file), 2000, "the window is shut");
    server.receive(2000).expect("bytes");
    assert!(!client.readiness().writable, "the sender does not know yet");
    pair.run();
    assert!(client.readiness().writable);
    pair.assert_sound();
}

#[test]
fn room_is_told_when_a_third_of_the_buffer_is_free() {
    let settings = HostSettings { send_buffer: 3000, receive_buffer: 1000, ..HostSettings::default() };
    let pair = Pair::sized(1, Plan::none(), settings);
    let (client, server) = pair.connected();
    client.send(&pattern(3000)).expect("room");
    pair.run();
    assert_eq!(client.send(&pattern(900)), Ok(900));
    pair.world.take_changes(&mut Vec::new());
    server.receive(600).expect("bytes");
    pair.run();
    assert!(!client.readiness().writable);
    assert_eq!(client.send(&pattern(3000)), Ok(700), "send(2) takes what fits nevertheless");
    pair.world.take_changes(&mut Vec::new());
    while server.receive(1000).is_ok() {
        pair.run();
    }
    let mut changes = Vec::new();
    pair.world.take_changes(&mut changes);
    assert!(client.readiness().writable && changes.contains(&client.file));
}

#[test]
fn each_direction_ends_by_itself_after_its_bytes() {
    let pair = Pair::new(1);
    let (client, server) = pair.connected();
    client.send(b"question").expect("send");
    client.shut(Shutdown::Write).expect("open");
    assert_eq!(client.send(b"x"), Err(libc::EPIPE));
    pair.run();
    assert_eq!(server.drain(), (b"question".to_vec(), Ok(())));
    let ready = server.readiness();
    assert!(ready.readable && ready.read_closed && ready.writable && !ready.hung_up);
    server.send(b"answer").expect("the other direction is open");
    pair.run();
    assert_eq!(client.drain(), (b"answer".to_vec(), Err(libc::EAGAIN)));
    server.shut(Shutdown::Write).expect("open");
    pair.run();
    assert_eq!(client.drain(), (vec![], Ok(())));
    assert!(client.readiness().hung_up && server.readiness().hung_up);
    // As in Linux, where a connection that is over is one no more.
    assert_eq!((client.peer(), server.shut(Shutdown::Both)), (Err(libc::ENOTCONN), Err(libc::ENOTCONN)));
    client.close();
    server.close();
    pair.assert_sound();
}

#[test]
fn closing_sends_what_was_queued() {
    let settings = HostSettings { receive_buffer: 1000, ..HostSettings::default() };
    let pair = Pair::sized(1, Plan::none(), settings);
    let (client, server) = pair.connected();
    let bytes = pattern(50_000);
    assert_eq!(client.send(&bytes), Ok(50_000));
    client.close();
    let mut got = Vec::new();
    loop {
        pair.run();
        match server.receive(300).expect("bytes or the end") {
            more if more.is_empty() => break,
            more => got.extend(more),
        }
    }
    assert!(got == bytes);
    server.close();
    pair.run();
    pair.assert_sound();
}

#[test]
fn closing_with_unread_bytes_resets() {
    let pair = Pair::new(1);
    let (client, server) = pair.connected();
    client.send(b"nobody reads this").expect("send");
    pair.run();
    server.send(b"arrives").expect("send");
    server.close();
    pair.run();
    assert!(client.readiness().error);
    assert_eq!(client.drain(), (b"arrives".to_vec(), Err(libc::ECONNRESET)), "bytes first");
    assert_eq!((client.receive(1), client.send(b"x")), (Ok(vec![]), Err(libc::EPIPE)), "reported once");
    pair.assert_sound();
}

#[test]
fn closing_with_linger_zero_resets_and_drops_what_was_not_sent() {
    let settings = HostSettings { receive_buffer: 1000, ..HostSettings::default() };
    let pair = Pair::sized(1, Plan::none(), settings);
    let (client, server) = pair.connected();
    client.send(&pattern(5000)).expect("send");
    pair.run();
    client.set(SocketOption::ResetOnClose(true));
    client.close();
    pair.run();
    assert_eq!(server.drain(), (pattern(1000), Err(libc::ECONNRESET)));
    pair.assert_sound();
}

#[test]
fn both_parts_of_a_cut_segment_leave_before_a_reset() {
    for seed in 0..100 {
        let pair = Pair::new(seed);
        let (client, server) = pair.connected();
        client.set(SocketOption::NoDelay(false));
        client.set(SocketOption::ResetOnClose(true));
        client.send(b"last words").expect("send");
        client.close();
        pair.run();
        assert_eq!(server.drain(), (b"last words".to_vec(), Err(libc::ECONNRESET)), "seed {seed}");
    }
}

#[test]
fn bytes_for_a_closed_end_are_answered_with_a_reset() {
    let pair = Pair::new(1);
    let (client, server) = pair.connected();
    server.close();
    pair.run();
    assert_eq!(client.receive(1), Ok(vec![]));
    assert_eq!(client.send(b"first"), Ok(5), "nobody knows yet");
    pair.run();
    // The peer had ended: what is lost is ours.
    assert_eq!(client.send(b"second"), Err(libc::EPIPE));
    assert_eq!(client.receive(1), Ok(vec![]), "an end stays an end");
    pair.assert_sound();
}

#[test]
fn a_reset_eats_what_the_closing_end_had_not_sent() {
    let settings = HostSettings { receive_buffer: 1000, ..HostSettings::default() };
    let pair = Pair::sized(1, Plan::none(), settings);
    let (client, server) = pair.connected();
    server.send(&pattern(3000)).expect("send");
    pair.run();
    server.close();
    client.send(b"late").expect("send");
    pair.run();
    assert_eq!(client.drain(), (pattern(1000), Err(libc::ECONNRESET)));
    pair.assert_sound();
}

#[test]
fn bytes_after_both_directions_were_shut_reset_the_connection() {
    let pair = Pair::new(1);
    let (client, server) = pair.connected();
    server.shut(Shutdown::Both).expect("open");
    client.send(b"late").expect("send");
    pair.run();
    assert_eq!(server.option_error(), libc::ECONNRESET);
    assert_eq!(client.send(b"x"), Err(libc::EPIPE));
    pair.assert_sound();
}

#[test]
fn a_reader_that_wants_no_more_gets_what_is_there() {
    let pair = Pair::new(1);
    let (client, server) = pair.connected();
    client.send(b"before").expect("send");
    pair.run();
    server.shut(Shutdown::Read).expect("open");
    assert!(server.readiness().readable && server.readiness().read_closed);
    assert_eq!(server.drain(), (b"before".to_vec(), Ok(())));
    client.send(b"after").expect("send");
    pair.run();
    assert_eq!(server.drain(), (b"after".to_vec(), Ok(())), "tcp(7) has no way to refuse it");
    pair.assert_sound();
}

#[test]
fn the_error_is_taken_by_whoever_asks_first() {
    let pair = Pair::new(1);
    let (client, server) = pair.connected();
    client.set(SocketOption::ResetOnClose(true));
    client.close();
    pair.run();
    assert_eq!(server.option_error(), libc::ECONNRESET);
    assert_eq!((server.option_error(), server.receive(1)), (0, Ok(vec![])));
}

#[test]
fn a_send_after_a_reset_says_why_and_then_epipe() {
    let pair = Pair::new(1);
    let (client, server) = pair.connected();
    client.set(SocketOption::ResetOnClose(true));
    client.close();
    pair.run();
    assert_eq!(server.send(b"x"), Err(libc::ECONNRESET));
    assert_eq!(server.send(b"x"), Err(libc::EPIPE));
    assert_eq!(server.receive(1), Ok(vec![]));
}

#[test]
fn small_segments_wait_for_each_other_without_no_delay() {
    for (no_delay, arrivals) in [(true, 10), (false, 2)] {
        let pair = Pair::new(1);
        let (client, server) = pair.connected();
        client.set(SocketOption::NoDelay(no_delay));
        (0..10).for_each(|_| assert_eq!(client.send(b"0123456789"), Ok(10)));
        let mut times = 0;
        let mut unread = 0;
        while pair.world.next_event_at().is_some() {
            pair.world.run_next();
            times += u32::from(pair.world.unread(server.file) > unread);
            unread = pair.world.unread(server.file);
        }
        assert_eq!(unread, 100);
        assert!(
            if no_delay { times >= arrivals } else { (arrivals..arrivals + 3).contains(&times) },
            "{times}"
        );
    }
}

#[test]
fn nothing_is_sent_on_a_socket_that_was_never_connected() {
    let pair = Pair::new(1);
    let fresh = pair.sock(pair.client, pair.world.socket(pair.client, Domain::V4).expect("socket"));
    assert_eq!((fresh.send(b"x"), fresh.receive(1)), (Err(libc::EPIPE), Err(libc::ENOTCONN)));
    assert_eq!((fresh.shut(Shutdown::Both), fresh.peer()), (Err(libc::ENOTCONN), Err(libc::ENOTCONN)));
    assert!(fresh.readiness().hung_up && fresh.readiness().writable);
}

#[test]
fn slices_are_taken_in_order_as_far_as_they_fit() {
    let settings = HostSettings { send_buffer: 10, ..HostSettings::default() };
    let pair = Pair::sized(1, Plan::none(), settings);
    let (client, server) = pair.connected();
    let slices = [b"abcd", b"efgh", b"ijkl"].map(|piece| io::IoSlice::new(piece));
    let taken = pair.world.send_slices(client.file, Operation::TrySendVectored, &slices);
    assert_eq!(taken.map_err(number), Ok(10));
    pair.run();
    assert_eq!(server.receive(20), Ok(b"abcdefghij".to_vec()));
}

impl Sock {
    fn option_error(&self) -> i32 {
        match self.world.option(self.file, SocketOption::Error(0)).expect("an option") {
            SocketOption::Error(number) => number,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn options_are_refused_where_linux_refuses_them() {
    let pair = Pair::new(1);
    let (client, _server) = pair.connected();
    let unix = pair.sock(pair.client, pair.world.socket(pair.client, Domain::Unix).expect("socket"));
    let set = |sock: &Sock, option| sock.world.set_option(sock.file, option).map_err(number);
    let get = |sock: &Sock, option| sock.world.option(sock.file, option).map_err(number);
    assert_eq!(set(&unix, SocketOption::NoDelay(true)), Err(libc::EOPNOTSUPP));
    assert_eq!(get(&unix, SocketOption::TimeToLive(0)), Err(libc::EOPNOTSUPP));
    assert_eq!(set(&client, SocketOption::TimeToLive(0)), Err(libc::EINVAL));
    assert_eq!(set(&client, SocketOption::Keepalive(Some(SECOND * 40_000))), Err(libc::EINVAL));
    client.set(SocketOption::UserTimeout(Some(Duration::from_micros(3))));
    assert_eq!(get(&client, SocketOption::UserTimeout(None)), Ok(SocketOption::UserTimeout(None)));
    client.set(SocketOption::TypeOfService(0x13));
    assert_eq!(get(&client, SocketOption::TypeOfService(0)), Ok(SocketOption::TypeOfService(0x10)));
}

#[test]
fn a_connection_that_was_reset_is_never_connected_again() {
    let pair = Pair::new(1);
    let (client, server) = pair.connected();
    server.set(SocketOption::ResetOnClose(true));
    server.close();
    pair.run();
    assert_eq!(client.option_error(), libc::ECONNRESET);
    let again = pair.world.connect(pair.client, client.descriptor, &at_server(80).into());
    assert_eq!(again.map_err(number), Err(libc::EISCONN));
}
