//! The connection against a script: every state reached on purpose, no kernel, no real time.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::net::Shutdown;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use annulet_driver::scripted::{Script, ScriptedDriver};
use annulet_driver::{Chunk, Domain, Driver, DriverOptions, Op, Socket, SocketOption};
use annulet_runtime::signal::{Signal, Signals};
use annulet_runtime::{Audit, Park, Reactor, ReactorId};

use super::{Flag, Life, Local, Receive, State, Stream};
use crate::connection::Connection;
use crate::error::Error;
use crate::group::Group;
use crate::options::{Clock, Clocks, Limits};

const ECONNRESET: i32 = 104;
const ENOMEM: i32 = 12;

/// A reactor on a script, with one connection. Ends with the test, and must then hold nothing.
struct Bench {
    reactor: Reactor,
    script: Script,
    socket: Socket,
    /// Keeps turns from sleeping: the script signals whenever nothing else happens.
    alarm: Option<Signals>,
}

/// What tasks leave for the test to look at.
type Seen<T> = Rc<RefCell<Vec<T>>>;

impl Bench {
    fn new() -> (Self, Connection) {
        Self::with(Limits::default(), Clocks::default())
    }

    fn with(limits: Limits, clocks: Clocks) -> (Self, Connection) {
        let options = DriverOptions::default().buffers(16).buffers_max(16).buffer_size(512);
        let (mut driver, script) = ScriptedDriver::with(&options, 1);
        let socket = driver.sockets().open(Domain::V4).expect("socket");
        let reactor = Reactor::new(ReactorId(0), Box::new(driver), Park::Block);
        let number = Signal::USER_2.0;
        let alarm = reactor.enter(|| Signals::new(&[Signal::USER_2]));
        let key = script.find(&Op::Signal { signals: vec![number] }).expect("submitted");
        script.when_idle(move |script| script.signal(key, number));
        let local = Local::of(&reactor);
        let group = Group::new(limits, clocks, None, None);
        let connection = Connection::new(Stream::open(&local, &group, socket, true));
        (Self { reactor, script, socket, alarm: Some(alarm) }, connection)
    }

    /// Lets everything happen that can. Nothing may look wrong after any turn.
    fn settle(&self) {
        for _ in 0..6 {
            self.reactor.turn().expect("turn");
            assert_eq!(self.audit().violations, [""; 0]);
        }
    }

    fn audit(&self) -> Audit {
        let mut audit = Audit::default();
        self.reactor.audit(&mut audit);
        audit
    }

    fn receive(&self, bytes: &[u8]) {
        self.script.received(self.script.receive_on(self.socket), bytes);
        self.settle();
    }

    fn pass(&self, time: Duration) {
        self.script.advance(time);
        self.settle();
    }

    fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.reactor.spawn_detached(future);
        self.settle();
    }

    fn is_closed(&self) -> bool {
        self.script.is_closed(self.socket)
    }

    fn is_reset(&self) -> bool {
        self.script.options(self.socket).contains(&SocketOption::ResetOnClose(true))
    }

    fn counters(&self) -> std::sync::Arc<crate::NetCounters> {
        Local::of(&self.reactor).counters.clone()
    }

    /// Ends the reactor.
    fn shut_down(&mut self) {
        self.alarm = None;
        let report = self.reactor.shut_down(Duration::ZERO);
        assert!(report.is_clean(), "{report}");
        assert!(self.script.open_sockets().is_empty());
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.shut_down();
        }
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Reads to the end or an error and notes everything.
async fn read_all(connection: &mut Connection, seen: &Seen<Result<Vec<u8>, Error>>) {
    loop {
        match connection.recv().await {
            Ok(Some(chunk)) => seen.borrow_mut().push(Ok(chunk.to_vec())),
            Ok(None) => return seen.borrow_mut().push(Ok(Vec::new())),
            Err(error) => return seen.borrow_mut().push(Err(error)),
        }
    }
}

fn reading(bench: &Bench, mut connection: Connection) -> Seen<Result<Vec<u8>, Error>> {
    let seen: Seen<_> = Rc::default();
    let notes = seen.clone();
    bench.spawn(async move { read_all(&mut connection, &notes).await });
    seen
}

#[test]
fn bytes_come_in_order_before_the_end_and_their_buffers_go_back() {
    let (bench, connection) = Bench::new();
    let key = bench.script.receive_on(bench.socket);
    bench.script.received(key, b"one");
    bench.script.received(key, b"two");
    bench.script.end(key);
    let seen = reading(&bench, connection);
    let joined: Vec<u8> = seen.borrow().iter().flatten().flatten().copied().collect();
    assert_eq!(joined, b"onetwo");
    assert_eq!(seen.borrow().last(), Some(&Ok(Vec::new())));
    assert!(bench.is_closed());
    assert_eq!(bench.script.pool().usage().leased, 0);
}

#[test]
fn a_dropped_wait_loses_nothing() {
    let (bench, mut connection) = Bench::new();
    let seen: Seen<Vec<u8>> = Rc::default();
    let notes = seen.clone();
    bench.spawn(async move {
        loop {
            // Polls a receive once and drops it, ready or not; only what is ready may be taken.
            let polled = poll_fn(|cx| Poll::Ready(pin!(connection.recv()).poll(cx))).await;
            match polled {
                Poll::Ready(Ok(Some(chunk))) => notes.borrow_mut().push(chunk.to_vec()),
                Poll::Ready(_) => return,
                Poll::Pending => annulet_runtime::yield_now().await,
            }
        }
    });
    for byte in b"abcdef" {
        bench.receive(&[*byte]);
    }
    assert_eq!(seen.borrow().concat(), b"abcdef");
    bench.script.end(bench.script.receive_on(bench.socket));
    bench.settle();
}

#[test]
fn a_burst_is_answered_in_one_send() {
    let (bench, mut connection) = Bench::new();
    bench.spawn(async move {
        while let Ok(Some(_)) = connection.recv().await {
            for part in ["a", "b", "c"] {
                connection.send(part).await.expect("room");
            }
            connection.write_all(b"d").await.expect("room");
        }
    });
    bench.receive(b"x");
    assert_eq!(bench.script.sent(bench.socket), b"abcd");
    assert_eq!(bench.script.sends(bench.socket), 1);
}

#[test]
fn small_writes_share_a_staging_buffer_and_leave_together() {
    let (bench, mut connection) = Bench::new();
    bench.spawn(async move {
        for _ in 0..100 {
            connection.write_all(b"0123456789").await.expect("room");
        }
        std::future::pending::<()>().await;
    });
    assert_eq!(bench.script.sent(bench.socket), b"0123456789".repeat(100));
    assert_eq!(bench.script.sends(bench.socket), 1);
}

#[test]
fn receiving_stops_over_the_unread_limit_and_goes_on_at_half() {
    let (bench, mut connection) = Bench::with(Limits::default().unread_max(2048), Clocks::default());
    let key = bench.script.receive_on(bench.socket);
    bench.script.hold_cancellations(true);
    for n in 0..5_u8 {
        bench.script.received(key, &[n; 512]);
    }
    bench.settle();
    assert_eq!(bench.counters().receive_paused.get(), 1);
    // What the kernel delivers before the cancellation took hold counts all the same.
    bench.script.received(key, &[5; 512]);
    bench.settle();
    bench.script.hold_cancellations(false);
    bench.script.release(key);
    bench.settle();
    assert_eq!(
        bench.script.find(&Op::Receive { socket: bench.socket }),
        None,
        "not armed while too much is unread"
    );
    let seen: Seen<Vec<u8>> = Rc::default();
    let notes = seen.clone();
    bench.spawn(async move {
        for _ in 0..4 {
            let chunk = connection.recv().await.expect("bytes").expect("bytes");
            notes.borrow_mut().push(chunk.to_vec());
        }
        std::future::pending::<()>().await;
        drop(connection);
    });
    assert_eq!(seen.borrow().concat(), [[0; 512], [1; 512], [2; 512], [3; 512]].concat());
    assert!(bench.script.find(&Op::Receive { socket: bench.socket }).is_some(), "armed again at half");
}

#[test]
fn many_small_arrivals_pin_few_buffers() {
    let (bench, connection) = Bench::new();
    for n in 0..400_u32 {
        bench.receive(&[n as u8]);
    }
    assert_eq!(bench.script.pool().usage().leased, 1);
    let seen = reading(&bench, connection);
    assert_eq!(seen.borrow()[0].as_ref().map(Vec::len), Ok(400));
}

#[test]
fn what_a_slow_peer_does_not_take_pins_no_buffer_and_follows_later() {
    let (bench, mut connection) = Bench::new();
    bench.script.send_capacity(bench.socket, 3);
    bench.spawn(async move {
        while let Ok(Some(chunk)) = connection.recv().await {
            assert!(chunk.is_lease());
            connection.send(chunk).await.expect("room");
        }
    });
    bench.receive(b"hello world");
    assert_eq!(bench.script.sent(bench.socket), b"hel");
    assert_eq!(bench.script.pool().usage().leased, 0);
    bench.script.send_capacity(bench.socket, 100);
    bench.script.writable(bench.script.writable_on(bench.socket));
    bench.settle();
    assert_eq!(bench.script.sent(bench.socket), b"hello world");
}

#[test]
fn a_writer_waits_for_room_and_one_payload_may_exceed_the_limit() {
    let (bench, mut connection) = Bench::with(Limits::default().unsent_max(100), Clocks::default());
    bench.script.send_capacity(bench.socket, 0);
    let seen: Seen<usize> = Rc::default();
    let notes = seen.clone();
    bench.spawn(async move {
        connection.send(vec![1; 500]).await.expect("the only one");
        notes.borrow_mut().push(500);
        connection.send(vec![2; 10]).await.expect("room at last");
        notes.borrow_mut().push(10);
        connection.flush().await.expect("all gone");
        notes.borrow_mut().push(0);
        std::future::pending::<()>().await;
    });
    assert_eq!(*seen.borrow(), [500]);
    bench.script.send_capacity(bench.socket, 460);
    bench.script.writable(bench.script.writable_on(bench.socket));
    bench.settle();
    assert_eq!(*seen.borrow(), [500, 10]);
    bench.script.send_capacity(bench.socket, 1000);
    bench.script.writable(bench.script.writable_on(bench.socket));
    bench.settle();
    assert_eq!(*seen.borrow(), [500, 10, 0]);
    assert_eq!(bench.script.sent(bench.socket).len(), 510);
}

#[test]
fn a_failed_send_is_told_by_every_later_call_and_counted() {
    let (bench, mut connection) = Bench::new();
    bench.script.fail_sends(bench.socket, ECONNRESET);
    let seen: Seen<Error> = Rc::default();
    let notes = seen.clone();
    bench.spawn(async move {
        connection.send("lost").await.expect("staged");
        let failed = connection.flush().await.expect_err("reset");
        let sent = connection.send("more").await.expect_err("sticky");
        let received = connection.recv().await.expect_err("sticky");
        notes.borrow_mut().extend([failed, sent, received]);
    });
    assert_eq!(*seen.borrow(), [Error::Reset; 3]);
    assert_eq!(bench.counters().bytes_undelivered.get(), 4);
    assert!(bench.is_closed());
}

#[test]
fn bytes_the_kernel_refused_are_followed_by_a_reset_and_not_by_a_fin() {
    let (bench, mut connection) = Bench::new();
    bench.script.fail_sends(bench.socket, ENOMEM);
    bench.spawn(async move { connection.send("half of it").await.expect("staged") });
    assert_eq!(bench.counters().bytes_undelivered.get(), 10);
    assert!(bench.is_reset() && bench.is_closed());
    assert_eq!(bench.counters().resets_sent.get(), 1);
}

#[test]
fn a_reset_that_sending_and_receiving_both_hear_of_is_counted_once() {
    for sending_first in [true, false] {
        let (bench, mut connection) = Bench::new();
        let receive = bench.script.receive_on(bench.socket);
        bench.script.fail_sends(bench.socket, ECONNRESET);
        if sending_first {
            bench.reactor.enter(|| connection.stage("lost")).expect("staged");
            bench.settle();
            bench.script.fail(receive, ECONNRESET);
        } else {
            // Both are heard of in one turn.
            bench.script.fail(receive, ECONNRESET);
            bench.reactor.enter(|| connection.stage("lost")).expect("staged");
        }
        bench.settle();
        assert_eq!(bench.counters().resets_received.get(), 1);
        bench.reactor.enter(|| drop(connection));
        bench.settle();
        assert_eq!(bench.counters().resets_received.get(), 1);
        assert!(bench.is_closed());
    }
}

#[test]
fn the_end_is_staged_bytes_then_fin_then_a_wait_for_the_peers() {
    let (bench, mut connection) = Bench::new();
    bench.script.send_capacity(bench.socket, 2);
    bench.spawn(async move { connection.send("bye").await.expect("staged") });
    assert!(bench.script.shutdowns(bench.socket).is_empty(), "not before the last byte");
    bench.script.send_capacity(bench.socket, 10);
    bench.script.writable(bench.script.writable_on(bench.socket));
    bench.settle();
    assert_eq!(bench.script.sent(bench.socket), b"bye");
    assert_eq!(bench.script.shutdowns(bench.socket), [Shutdown::Write]);
    bench.receive(b"too late");
    assert!(!bench.is_closed());
    bench.script.end(bench.script.receive_on(bench.socket));
    bench.settle();
    assert!(bench.is_closed() && !bench.is_reset());
}

#[test]
fn a_linger_ends_by_its_clock() {
    let (bench, connection) = Bench::new();
    bench.spawn(async move { drop(connection) });
    bench.pass(Duration::from_millis(1900));
    assert!(!bench.is_closed());
    bench.pass(Duration::from_millis(200));
    assert!(bench.is_closed());
    assert_eq!(bench.counters().timeouts_linger.get(), 1);
}

#[test]
fn a_linger_ends_when_the_peer_sends_too_much() {
    let (bench, connection) = Bench::new();
    bench.spawn(async move { drop(connection) });
    for _ in 0..=super::LINGER_BYTES_MAX / 512 {
        if !bench.is_closed() {
            bench.receive(&[0; 512]);
        }
    }
    assert!(bench.is_closed());
    assert_eq!(bench.counters().linger_overruns.get(), 1);
}

#[test]
fn an_abort_resets_and_closes_only_after_the_last_completion() {
    let (bench, connection) = Bench::new();
    bench.script.hold_cancellations(true);
    let key = bench.script.receive_on(bench.socket);
    bench.spawn(async move { connection.abort() });
    assert!(bench.is_reset() && !bench.is_closed(), "the kernel may still use the socket");
    bench.script.hold_cancellations(false);
    bench.script.release(key);
    bench.settle();
    assert!(bench.is_closed());
    assert_eq!(bench.counters().resets_sent.get(), 1);
}

#[test]
fn the_setup_clock_runs_until_the_first_byte() {
    let (bench, connection) = Bench::new();
    let seen = reading(&bench, connection);
    bench.pass(Duration::from_millis(9900));
    assert!(seen.borrow().is_empty());
    bench.pass(Duration::from_millis(200));
    assert_eq!(*seen.borrow(), [Err(Error::Timeout(Clock::Setup))]);

    let (bench, connection) = Bench::new();
    let seen = reading(&bench, connection);
    bench.receive(b"x");
    bench.pass(seconds(3600));
    assert_eq!(*seen.borrow(), [Ok(b"x".to_vec())], "between messages nothing runs unless asked for");
}

#[test]
fn the_idle_clock_counts_from_the_last_byte_and_not_while_the_handler_works() {
    let clocks = Clocks::default().idle(Some(seconds(5)));
    let (bench, mut connection) = Bench::with(Limits::default(), clocks);
    let seen: Seen<Result<Vec<u8>, Error>> = Rc::default();
    let notes = seen.clone();
    bench.spawn(async move {
        connection.recv().await.expect("bytes");
        annulet_runtime::time::sleep(seconds(60)).await;
        read_all(&mut connection, &notes).await;
    });
    bench.receive(b"work");
    bench.pass(seconds(60));
    bench.pass(seconds(4));
    assert!(seen.borrow().is_empty(), "the handler's minute does not count");
    bench.receive(b"x");
    bench.pass(seconds(4));
    assert_eq!(seen.borrow().len(), 1, "a byte starts the clock again");
    bench.pass(seconds(2));
    assert_eq!(seen.borrow()[1], Err(Error::Timeout(Clock::Idle)));
    assert_eq!(bench.counters().timeouts_idle.get(), 1);
}

#[test]
fn polling_in_vain_does_not_restart_the_idle_clock() {
    let clocks = Clocks::default().setup(None).idle(Some(seconds(5)));
    let (bench, mut connection) = Bench::with(Limits::default(), clocks);
    let seen: Seen<Error> = Rc::default();
    let notes = seen.clone();
    bench.spawn(async move {
        connection.recv().await.expect("bytes");
        loop {
            let wait = annulet_runtime::time::timeout(Duration::from_millis(700), connection.recv());
            if let Ok(Err(error)) = wait.await {
                return notes.borrow_mut().push(error);
            }
        }
    });
    bench.receive(b"x");
    for _ in 0..20 {
        bench.pass(Duration::from_millis(300));
    }
    assert_eq!(*seen.borrow(), [Error::Timeout(Clock::Idle)]);
}

#[test]
fn a_message_that_trickles_in_meets_the_request_clock() {
    let clocks = Clocks::default().inactivity(Some(seconds(10))).request(Some(seconds(30)));
    let (bench, mut connection) = Bench::with(Limits::default(), clocks);
    let seen: Seen<Result<Vec<u8>, Error>> = Rc::default();
    let notes = seen.clone();
    bench.spawn(async move {
        connection.recv().await.expect("first byte");
        connection.message_started();
        read_all(&mut connection, &notes).await;
    });
    bench.receive(b"m");
    for _ in 0..3 {
        bench.pass(seconds(9));
        bench.receive(b"m");
    }
    assert!(seen.borrow().iter().all(Result::is_ok));
    bench.pass(seconds(4));
    assert_eq!(seen.borrow().last(), Some(&Err(Error::Timeout(Clock::Request))));
}

#[test]
fn a_message_that_stops_meets_the_inactivity_clock() {
    let clocks = Clocks::default().inactivity(Some(seconds(10))).request(None);
    let (bench, mut connection) = Bench::with(Limits::default(), clocks);
    let seen: Seen<Result<Vec<u8>, Error>> = Rc::default();
    let notes = seen.clone();
    bench.spawn(async move {
        connection.recv().await.expect("first byte");
        connection.message_started();
        read_all(&mut connection, &notes).await;
    });
    bench.receive(b"m");
    bench.pass(seconds(11));
    assert_eq!(*seen.borrow(), [Err(Error::Timeout(Clock::Inactivity))]);
}

#[test]
fn the_write_clock_starts_again_with_progress_and_resets_without() {
    let clocks = Clocks::default().write(Some(seconds(30)));
    let (bench, mut connection) = Bench::with(Limits::default(), clocks);
    bench.script.send_capacity(bench.socket, 1);
    let seen: Seen<Error> = Rc::default();
    let notes = seen.clone();
    bench.spawn(async move {
        connection.send(vec![0; 100]).await.expect("staged");
        let error = connection.flush().await.expect_err("blocked");
        notes.borrow_mut().push(error);
    });
    for _ in 0..3 {
        bench.pass(seconds(29));
        bench.script.send_capacity(bench.socket, 1);
        bench.script.writable(bench.script.writable_on(bench.socket));
        bench.settle();
    }
    assert!(seen.borrow().is_empty());
    // Room that turns out to be none is no progress.
    bench.pass(seconds(20));
    bench.script.writable(bench.script.writable_on(bench.socket));
    bench.settle();
    bench.pass(seconds(11));
    assert_eq!(*seen.borrow(), [Error::Timeout(Clock::Write)]);
    assert!(bench.is_reset() && bench.is_closed());
    assert_eq!(bench.counters().bytes_undelivered.get(), 96);
}

#[test]
fn after_a_read_timeout_the_handler_may_say_farewell() {
    let (bench, mut connection) = Bench::new();
    bench.spawn(async move {
        connection.recv().await.expect_err("setup");
        connection.send("too slow\n").await.expect("writing goes on");
    });
    bench.pass(seconds(11));
    assert_eq!(bench.script.sent(bench.socket), b"too slow\n");
    assert_eq!(bench.script.shutdowns(bench.socket), [Shutdown::Write]);
    assert!(!bench.is_reset());
}

#[test]
fn a_drain_delivers_what_the_kernel_has_and_then_the_end() {
    let (bench, connection) = Bench::new();
    let group = connection.stream().group.clone();
    let seen = reading(&bench, connection);
    bench.receive(b"before");
    bench.script.queue_bytes(bench.socket, b"in the kernel");
    group.start_drain(&bench.reactor);
    bench.settle();
    assert_eq!(*seen.borrow(), [Ok(b"before".to_vec()), Ok(b"in the kernel".to_vec()), Ok(Vec::new())]);
    assert_eq!(bench.script.shutdowns(bench.socket), [Shutdown::Write]);
}

#[test]
fn a_peer_that_never_pauses_does_not_hold_a_drain_up() {
    let (bench, connection) = Bench::new();
    let group = connection.stream().group.clone();
    let seen = reading(&bench, connection);
    bench.script.queue_bytes(bench.socket, &vec![7; 4 * 1024 * 1024]);
    group.start_drain(&bench.reactor);
    for _ in 0..100 {
        bench.settle();
    }
    assert_eq!(seen.borrow().last(), Some(&Ok(Vec::new())));
}

#[test]
fn a_panic_resets_the_connection_and_nothing_else() {
    let (bench, connection) = Bench::new();
    bench.spawn(async move {
        let _connection = connection;
        panic!("a handler's bug");
    });
    assert!(bench.is_reset() && bench.is_closed());
    assert_eq!(bench.reactor.counters().tasks_panicked.get(), 1);
}

#[test]
fn a_reactor_that_ends_holds_nothing() {
    let (mut bench, mut connection) = Bench::new();
    bench.script.send_capacity(bench.socket, 1);
    bench.spawn(async move {
        connection.send("cut short").await.expect("staged");
        let _kept: Vec<Chunk> = vec![connection.recv().await.expect("bytes").expect("bytes")];
        std::future::pending::<()>().await;
    });
    bench.receive(b"kept");
    assert!(!bench.is_closed());
    bench.shut_down();
}

#[test]
fn a_connection_past_its_setup_wakes_nobody() {
    let clocks = Clocks { setup: Some(seconds(10)), idle: None, ..Clocks::default() };
    let (bench, connection) = Bench::with(Limits::default(), clocks);
    let seen = reading(&bench, connection);
    bench.receive(b"hello");
    bench.pass(seconds(3600));
    assert_eq!(*seen.borrow(), [Ok(b"hello".to_vec())]);
    assert_eq!(bench.reactor.counters().timers_fired.get(), 0);
}

#[test]
fn an_audit_counts_what_is_staged_and_unread() {
    let (bench, mut connection) = Bench::new();
    bench.script.send_capacity(bench.socket, 2);
    bench.reactor.enter(|| connection.stage("staged")).expect("staged");
    assert_eq!((bench.audit().staged, bench.audit().unread), (6, 0));
    bench.settle();
    assert_eq!(bench.audit().staged, 4);
    bench.receive(b"unread");
    bench.receive(&[0; 512]);
    assert_eq!(bench.audit().unread, 2 * 512, "whole buffers");
    bench.reactor.enter(|| connection.abort());
    bench.settle();
    assert_eq!((bench.audit().staged, bench.audit().unread), (0, 0));
}

/// Each of these is what a bug of this module would leave behind.
#[test]
fn an_audit_finds_what_must_not_be() {
    type Spoil = fn(&mut State);
    /// With one payload staged and nothing unread.
    fn note(state: &State) -> impl FnOnce(&mut State) + use<> {
        let (receive, life, flags) = (state.receive, state.life, state.flags);
        let buffers = state.buffers.as_ref().expect("staged");
        let (unsent_bytes, writable) = (buffers.unsent_bytes, buffers.writable);
        move |state| {
            (state.receive, state.life, state.flags) = (receive, life, flags);
            let buffers = state.buffers.as_mut().expect("staged");
            buffers.unsent.truncate(1);
            buffers.unread.clear();
            (buffers.unsent_bytes, buffers.unread_pinned, buffers.writable) = (unsent_bytes, 0, writable);
        }
    }
    let miscounts: Spoil = |state| state.buffers.get_or_insert_default().unsent_bytes += 1;
    let forgets_to_send: Spoil = |state| state.buffers.as_mut().expect("staged").writable = None;
    let ends_too_early: Spoil = |state| state.flags.set(Flag::FIN_SENT);
    let closes_too_early: Spoil = |state| state.life = Life::Lingering;
    let receives_no_more: Spoil = |state| state.receive = Receive::Idle;
    let stages_on: Spoil = |state| {
        let buffers = state.buffers.as_mut().expect("staged");
        for _ in 0..200 {
            buffers.unsent.push_back(vec![0; 1024].into());
            buffers.unsent_bytes += 1024;
        }
    };
    let receives_on: Spoil = |state| {
        let buffers = state.buffers.as_mut().expect("staged");
        for _ in 0..200 {
            let chunk = Chunk::from(vec![0; 1024]);
            buffers.unread_pinned += chunk.pinned();
            buffers.unread.push_back(chunk);
        }
    };
    for (spoil, finding) in [
        (miscounts, "its queues are counted wrong"),
        (forgets_to_send, "nobody sends 4 bytes"),
        (ends_too_early, "its end was sent before 4 bytes"),
        (closes_too_early, "its end was sent before 4 bytes"),
        (receives_no_more, "somebody waits for input, and none is received"),
        (stages_on, "204804 bytes are staged, of at most 82944"),
        (receives_on, "bytes are unread, of at most 222400"),
    ] {
        let (bench, mut connection) = Bench::new();
        bench.script.send_capacity(bench.socket, 2);
        bench.reactor.enter(|| connection.stage("staged")).expect("staged");
        bench.settle();
        let stream = connection.stream().clone();
        let mut recv = Box::pin(connection.recv());
        let polled = bench.reactor.enter(|| recv.as_mut().poll(&mut Context::from_waker(Waker::noop())));
        assert!(polled.is_pending());
        assert_eq!(bench.audit().violations, [""; 0]);
        let restore = note(&stream.state.borrow());
        spoil(&mut stream.state.borrow_mut());
        let violations = bench.audit().violations;
        restore(&mut stream.state.borrow_mut());
        assert_eq!(bench.audit().violations, [""; 0]);
        let start = format!("reactor 0: connection {}: ", stream.number);
        let found = |violation: &String| violation.starts_with(&start) && violation.ends_with(finding);
        assert!(violations.iter().any(found), "{violations:?} has no {finding:?}");
    }
}
