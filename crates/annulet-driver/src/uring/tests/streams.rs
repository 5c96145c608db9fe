//! Receives, accepts and connects, and what the kernel does to them.

use super::*;

#[test]
fn a_receive_that_the_kernel_ends_early_goes_on() {
    let options = DriverOptions::default();
    each(&options, |mut bench| {
        let (socket, far) = bench.tcp();
        bench.receive(0, socket);
        let sender = far.meanwhile(Act::Write { bytes: vec![3; 1 << 20], piece: 1 << 20 });
        let completions = bench.until(|seen| seen.iter().any(is_last));
        assert_eq!(bytes(&completions).len(), 1 << 20);
        assert!(matches!(completions.last(), Some(Completion { outcome: Outcome::End, .. })));
        sender.join();
        if bench.setup.traits.receive_cap {
            assert!(bench.counter("rearms") >= 15, "{}", bench.counter("rearms"));
        }
    });
}

#[test]
fn the_end_of_a_stream_is_never_lost_behind_its_last_bytes() {
    each(&DriverOptions::default(), |mut bench| {
        for _ in 0..20 {
            let (socket, mut far) = bench.unix();
            bench.receive(0, socket);
            assert!(bench.settle().is_empty());
            far.write_all(b"bye").expect("write");
            drop(far);
            let completions = bench.until(|seen| seen.iter().any(is_last));
            assert_eq!(bytes(&completions), b"bye");
            assert!(matches!(completions.last(), Some(Completion { outcome: Outcome::End, .. })));
            bench.driver.close(socket);
        }
    });
}

#[test]
fn accepting_goes_on_until_cancelled_and_loses_no_connection() {
    let options = DriverOptions::default().submission_entries(8).completion_entries(16);
    each(&options, |mut bench| {
        let (listener, address) = bench.listen();
        let key = bench.driver.submit(Token(1), Op::Accept { listener });
        bench.settle();
        let clients: Vec<_> = (0..100).map(|_| bench.connect(&address)).collect();
        let mut accepted = Vec::new();
        let take = |completions: Vec<Completion>, accepted: &mut Vec<Socket>| {
            for Completion { outcome, last, .. } in completions {
                let Outcome::Accepted(socket) = outcome else { return last };
                accepted.push(socket);
            }
            false
        };
        while accepted.len() < clients.len() {
            let completions = bench.count(1);
            take(completions, &mut accepted);
        }
        let late = bench.connect(&address);
        bench.driver.cancel(key);
        let completions = bench.until(|seen| seen.iter().any(is_last));
        assert!(matches!(completions.last(), Some(Completion { outcome: Outcome::Cancelled, .. })));
        take(completions, &mut accepted);
        // The last one was delivered, or is still in the queue.
        if accepted.len() == clients.len() {
            accepted.push(bench.driver.sockets().try_accept(listener).expect("the late one"));
        }
        assert_eq!(accepted.len(), 101);
        for socket in accepted {
            bench.driver.close(socket);
        }
        bench.driver.close(listener);
        drop(late);
        assert_no_workers();
    });
}

#[test]
fn a_connect_that_fails_says_why_and_one_that_succeeds_connects() {
    each(&DriverOptions::default(), |mut bench| {
        let (listener, address) = bench.listen();
        let socket = bench.driver.sockets().open(Domain::V4).expect("socket");
        bench.driver.submit(Token(1), Op::Connect { socket, address: address.clone() });
        let completions = bench.count(1);
        assert!(matches!(completions[..], [Completion { outcome: Outcome::Connected, last: true, .. }]));
        let peer = bench.driver.sockets().peer_address(socket).expect("connected");
        assert_eq!(peer, address);
        bench.driver.close(socket);
        bench.driver.close(listener);
        let socket = bench.driver.sockets().open(Domain::V4).expect("socket");
        bench.driver.submit(Token(2), Op::Connect { socket, address });
        let completions = bench.count(1);
        let [Completion { outcome: Outcome::Failed(error), last: true, .. }] = &completions[..] else {
            panic!("{completions:?}")
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        bench.driver.close(socket);
        let address = Address::Unix(UnixAddress::Path("x".repeat(200).into()));
        let socket = bench.driver.sockets().open(Domain::Unix).expect("socket");
        bench.driver.submit(Token(3), Op::Connect { socket, address });
        assert_eq!(bench.driver.in_flight(), 1);
        let completions = bench.count(1);
        assert!(matches!(completions[..], [Completion { outcome: Outcome::Failed(_), last: true, .. }]));
        assert_eq!(bench.driver.in_flight(), 0);
    });
}

#[test]
fn a_full_queue_of_a_unix_listener_is_told_at_once_and_occupies_no_thread() {
    each(&DriverOptions::default(), |mut bench| {
        let name = format!("annulet-full-{}-{:?}", std::process::id(), bench.setup.rung).into_bytes();
        let address = Address::Unix(UnixAddress::Abstract(name));
        let spec = ListenSpec { address, backlog: 0, share_port: false, v6_only: false };
        let (listener, address) = bench.driver.sockets().listen(&spec).expect("listen");
        for number in 0..3 {
            let socket = bench.driver.sockets().open(Domain::Unix).expect("socket");
            bench.driver.submit(Token(number), Op::Connect { socket, address: address.clone() });
        }
        let completions = bench.count(3);
        assert!(matches!(completions[0].outcome, Outcome::Connected), "{completions:?}");
        for completion in &completions[1..] {
            let Outcome::Failed(error) = &completion.outcome else { panic!("{completion:?}") };
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
        bench.driver.close(listener);
        assert_no_workers();
    });
}
