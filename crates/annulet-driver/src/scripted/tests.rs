use super::*;
use crate::socket::{Domain, ListenSpec, SocketOption};

fn turn(driver: &mut ScriptedDriver, wait: Wait) -> Vec<Completion> {
    let mut completions = Vec::new();
    driver.turn(wait, &mut completions).expect("a scripted turn never fails");
    completions
}

fn outcomes(completions: Vec<Completion>) -> Vec<String> {
    completions.into_iter().map(|completion| format!("{:?}", completion.outcome)).collect()
}

#[test]
fn answers_are_delivered_in_the_order_given_and_end_the_operation() {
    let (mut driver, script) = ScriptedDriver::new();
    let socket = driver.sockets().open(Domain::V4).expect("open");
    let key = driver.submit(Token(1), Op::Receive { socket });
    assert_eq!(script.receive_on(socket), key);
    script.received(key, b"one");
    script.received(key, b"two");
    script.end(key);
    assert_eq!(script.find(&Op::Receive { socket }), None, "it awaits no answer");
    assert_eq!(driver.in_flight(), 1, "but its end is not delivered");
    let completions = turn(&mut driver, Wait::Until(None));
    assert_eq!(script.pool().usage().leased, 2);
    assert_eq!(
        outcomes(completions),
        ["Received(Chunk(lease, 3 bytes))", "Received(Chunk(lease, 3 bytes))", "End"]
    );
    assert_eq!(driver.in_flight(), 0);
    assert_eq!(script.pool().usage().leased, 0);
}

#[test]
fn a_sleep_without_events_moves_the_clock_to_its_deadline_and_not_back() {
    let (mut driver, script) = ScriptedDriver::new();
    let start = driver.now();
    let deadline = start + Duration::from_secs(3);
    turn(&mut driver, Wait::Until(Some(deadline)));
    assert_eq!(driver.now(), deadline);
    turn(&mut driver, Wait::Until(Some(start)));
    assert_eq!(driver.now(), deadline);
    script.advance(Duration::from_secs(1));
    assert_eq!(driver.now(), deadline, "the cached time is the turn's");
    assert_eq!(driver.clock(), deadline + Duration::from_secs(1));
    driver.unparker().unpark();
    turn(&mut driver, Wait::Until(Some(deadline + Duration::from_secs(9))));
    assert_eq!(driver.now(), deadline + Duration::from_secs(1), "woken");
}

#[test]
#[should_panic(expected = "deadlock: nothing will ever happen")]
fn a_sleep_nothing_can_end_is_reported() {
    let (mut driver, _script) = ScriptedDriver::new();
    let socket = driver.sockets().open(Domain::V4).expect("open");
    driver.submit(Token(1), Op::Receive { socket });
    turn(&mut driver, Wait::Until(None));
}

#[test]
fn a_driver_made_to_return_is_asleep_until_something_ends_the_sleep() {
    let (driver, script) = ScriptedDriver::new();
    let mut driver = driver.returning();
    let socket = driver.sockets().open(Domain::V4).expect("open");
    let key = driver.submit(Token(1), Op::Receive { socket });
    assert!(turn(&mut driver, Wait::Poll).is_empty());
    assert!(!driver.is_asleep(), "it was not to sleep");

    let deadline = driver.now() + Duration::from_secs(1);
    let fall_asleep = |driver: &mut ScriptedDriver, until| {
        assert!(turn(driver, Wait::Until(until)).is_empty());
        assert!(driver.is_asleep());
    };
    fall_asleep(&mut driver, Some(deadline));
    script.advance(Duration::from_secs(1));
    assert!(!driver.is_asleep(), "the time has come");

    fall_asleep(&mut driver, None);
    script.advance(Duration::from_secs(1));
    assert!(driver.is_asleep(), "without a limit time changes nothing");
    driver.unparker().unpark();
    assert!(!driver.is_asleep(), "unparked");
    assert!(turn(&mut driver, Wait::Until(None)).is_empty());
    assert!(!driver.is_asleep(), "the wake-up is told once");

    fall_asleep(&mut driver, None);
    script.received(key, b"x");
    assert!(!driver.is_asleep(), "something completed");
    assert_eq!(turn(&mut driver, Wait::Until(None)).len(), 1);
}

#[test]
fn an_idle_driver_asks_the_script_first() {
    let (mut driver, script) = ScriptedDriver::new();
    let socket = driver.sockets().open(Domain::V4).expect("open");
    driver.submit(Token(1), Op::Receive { socket });
    script.when_idle(move |script| script.received(script.receive_on(socket), b"x"));
    assert_eq!(turn(&mut driver, Wait::Until(None)).len(), 1);
    assert_eq!(turn(&mut driver, Wait::Until(None)).len(), 1);
}

#[test]
fn a_cancellation_comes_after_what_had_happened_unless_it_is_held_back() {
    let (mut driver, script) = ScriptedDriver::new();
    let socket = driver.sockets().open(Domain::V4).expect("open");
    let key = driver.submit(Token(1), Op::Receive { socket });
    script.received(key, b"x");
    driver.cancel(key);
    driver.cancel(key);
    assert_eq!(outcomes(turn(&mut driver, Wait::Poll)), ["Received(Chunk(lease, 1 bytes))", "Cancelled"]);
    driver.cancel(key);
    assert!(turn(&mut driver, Wait::Poll).is_empty(), "a key of the past");

    script.hold_cancellations(true);
    let key = driver.submit(Token(2), Op::Receive { socket });
    driver.cancel(key);
    assert!(turn(&mut driver, Wait::Poll).is_empty());
    assert!(script.submitted()[0].is_cancelled);
    script.received(key, b"late");
    script.release(key);
    assert_eq!(turn(&mut driver, Wait::Poll).len(), 2);
}

#[test]
fn a_send_buffer_fills_and_keeps_what_it_took() {
    let (mut driver, script) = ScriptedDriver::new();
    let socket = driver.sockets().open(Domain::V4).expect("open");
    let slices = [io::IoSlice::new(b"hello "), io::IoSlice::new(b"world")];
    assert_eq!(driver.try_send_vectored(socket, &slices).expect("no limit"), 11);
    script.send_capacity(socket, 8);
    assert_eq!(driver.try_send_vectored(socket, &slices).expect("some room"), 8);
    assert_eq!(
        driver.try_send_vectored(socket, &slices).expect_err("full").kind(),
        io::ErrorKind::WouldBlock
    );
    assert_eq!(script.take_sent(socket), b"hello worldhello wo");
    assert_eq!((script.sent(socket).len(), script.sends(socket)), (0, 3));
    driver.sockets().shutdown(socket, std::net::Shutdown::Write).expect("shutdown");
    assert_eq!(
        driver.try_send_vectored(socket, &slices).expect_err("shut").kind(),
        io::ErrorKind::BrokenPipe
    );
}

#[test]
fn sockets_are_recorded_to_their_close() {
    let (mut driver, script) = ScriptedDriver::new();
    let spec = ListenSpec {
        address: crate::Address::Tcp("127.0.0.1:0".parse().expect("address")),
        backlog: 16,
        share_port: false,
        v6_only: false,
    };
    let (listener, bound) = driver.sockets().listen(&spec).expect("listen");
    assert_ne!(bound.as_tcp().expect("tcp").port(), 0);
    let key = driver.submit(Token(1), Op::Accept { listener });
    let accepted = script.accepted(key);
    assert!(
        matches!(turn(&mut driver, Wait::Poll)[0].outcome, Outcome::Accepted(socket) if socket == accepted)
    );
    assert_eq!(driver.sockets().local_address(accepted).expect("local"), bound);
    driver.sockets().set_option(accepted, SocketOption::NoDelay(true)).expect("set");
    assert_eq!(
        driver.sockets().option(accepted, SocketOption::NoDelay(false)).expect("get"),
        SocketOption::NoDelay(true)
    );
    assert_eq!(script.options(accepted), [SocketOption::NoDelay(true)]);

    driver.cancel(key);
    turn(&mut driver, Wait::Poll);
    let waiting = script.queue_connection(listener);
    assert_eq!(driver.sockets().try_accept(listener).expect("one waits"), waiting);
    assert_eq!(driver.sockets().try_accept(listener).expect_err("no more").kind(), io::ErrorKind::WouldBlock);
    for socket in [waiting, accepted, listener] {
        driver.close(socket);
        assert!(script.is_closed(socket));
    }
    assert!(script.open_sockets().is_empty());
}

#[test]
fn quiescing_closes_what_was_accepted_and_counts_what_is_held_back() {
    let (mut driver, script) = ScriptedDriver::new();
    let listener = driver.sockets().open(Domain::V4).expect("open");
    let socket = driver.sockets().open(Domain::V4).expect("open");
    let key = driver.submit(Token(1), Op::Accept { listener });
    let accepted = script.accepted(key);
    assert_eq!(driver.quiesce(Duration::from_secs(1)), 0);
    assert!(script.is_closed(accepted));

    script.hold_cancellations(true);
    driver.submit(Token(2), Op::Receive { socket });
    let before = script.clock();
    assert_eq!(driver.quiesce(Duration::from_secs(1)), 1);
    assert_eq!(script.clock() - before, Duration::from_secs(1));
}

#[test]
fn ordered_failures_are_used_up_one_by_one() {
    let (mut driver, script) = ScriptedDriver::new();
    script.fail_next(Call::Open, libc::EMFILE);
    assert_eq!(driver.sockets().open(Domain::V4).expect_err("ordered").raw_os_error(), Some(libc::EMFILE));
    assert!(driver.sockets().open(Domain::V4).is_ok());
}

#[test]
#[should_panic(expected = "is used after it was closed")]
fn use_after_close_is_reported() {
    let (mut driver, _script) = ScriptedDriver::new();
    let socket = driver.sockets().open(Domain::V4).expect("open");
    driver.close(socket);
    let _ = driver.try_send(socket, &[]);
}

#[test]
#[should_panic(expected = "in flight")]
fn closing_under_an_operation_is_reported() {
    let (mut driver, _script) = ScriptedDriver::new();
    let socket = driver.sockets().open(Domain::V4).expect("open");
    let key = driver.submit(Token(1), Op::Receive { socket });
    driver.cancel(key);
    driver.close(socket);
}

#[test]
fn one_seed_gives_one_sequence() {
    let draw = |seed| {
        let (mut driver, _script) = ScriptedDriver::with(&DriverOptions::default(), seed);
        let mut bytes = [0; 20];
        driver.entropy(&mut bytes);
        bytes
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}
