//! What leaves with the driver's turn, against a script: every line of the module's table.

use std::cell::RefCell;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use annulet_driver::scripted::{Script, ScriptedDriver};
use annulet_driver::{Domain, Driver, DriverOptions, Op, Payload, Socket};
use annulet_runtime::{Audit, Park, Reactor, ReactorId};
use bytes::Bytes;

use crate::connection::Connection;
use crate::error::Error;
use crate::group::Group;
use crate::options::{Clocks, Limits};
use crate::stream::{Flag, Local, Stream};

const ECONNRESET: i32 = 104;

/// A reactor on a script that queues sends, with some connections.
struct Bench {
    reactor: Reactor,
    script: Script,
    sockets: Vec<Socket>,
    connections: Vec<Option<Connection>>,
}

impl Bench {
    fn new(count: usize) -> Self {
        let options = DriverOptions::default().buffers(16).buffers_max(16).buffer_size(512);
        let (driver, script) = ScriptedDriver::with(&options, 1);
        let mut driver = driver.with_send_queue();
        let open = |_| driver.sockets().open(Domain::V4).expect("socket");
        let sockets: Vec<Socket> = (0..count).map(open).collect();
        let reactor = Reactor::new(ReactorId(0), Box::new(driver), Park::Block);
        let local = Local::of(&reactor);
        let group = Group::new(Limits::default(), Clocks::default(), None, None);
        let open = |socket: &Socket| Some(Connection::new(Stream::open(&local, &group, *socket, false)));
        let connections = sockets.iter().map(open).collect();
        // Whenever there is nothing to do, somebody rings.
        script.when_idle({
            let unparker = reactor.driver(|driver| driver.unparker());
            move |_| unparker.unpark()
        });
        Self { reactor, script, sockets, connections }
    }

    /// Turns in which `f` is done as a task would do it.
    fn act(&mut self, f: impl FnOnce(&mut [Option<Connection>])) {
        self.reactor.enter(|| f(&mut self.connections));
        self.turn();
    }

    /// Everyone stages a payload of its own, and the turn ends: `connections` many are queued.
    fn queue(&mut self) {
        self.act(|connections| {
            for (number, connection) in connections.iter_mut().enumerate() {
                stage(connection, vec![b'a' + number as u8; 10]);
            }
        });
        assert_eq!(self.queued(), self.connections.len());
    }

    fn queued(&self) -> usize {
        Local::of(&self.reactor).departures.as_ref().expect("a queue").streams.borrow().len()
    }

    /// Nothing may look wrong after it.
    fn turn(&self) {
        self.reactor.turn().expect("turn");
        let mut audit = Audit::default();
        self.reactor.audit(&mut audit);
        assert_eq!(audit.violations, [""; 0]);
    }

    fn sent(&self, number: usize) -> Vec<u8> {
        self.script.sent(self.sockets[number])
    }

    fn receive(&self, number: usize, bytes: &[u8]) {
        self.script.received(self.script.receive_on(self.sockets[number]), bytes);
    }

    fn writable(&self, number: usize) {
        let socket = self.sockets[number];
        self.script.writable(self.script.find(&Op::Writable { socket }).expect("waited for"));
        self.turn();
    }

    fn counters(&self) -> std::sync::Arc<crate::NetCounters> {
        Local::of(&self.reactor).counters.clone()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.reactor.enter(|| self.connections.clear());
            let report = self.reactor.shut_down(Duration::ZERO);
            assert!(report.is_clean(), "{report}");
            assert!(self.script.open_sockets().is_empty());
        }
    }
}

fn stage(connection: &mut Option<Connection>, payload: impl Into<Payload>) {
    connection.as_mut().expect("still there").stage(payload).expect("staged");
}

/// Bytes larger than what is queued, so they are sent at the turn's end; then their destructor does `then`.
fn sent_directly(then: impl FnOnce() + 'static) -> Bytes {
    struct Owner(Vec<u8>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    impl Drop for Owner {
        fn drop(&mut self) {
            THEN.take().expect("one at a time")();
        }
    }
    THEN.set(Some(Box::new(then)));
    Bytes::from_owner(Owner(vec![0; super::QUEUED_BYTES_MAX + 1]))
}

thread_local! {
    /// What `Bytes` owns must be `Send`; what the tests do is not.
    static THEN: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

#[test]
fn payloads_of_several_connections_leave_with_the_next_turn() {
    let mut bench = Bench::new(3);
    bench.queue();
    bench.turn();
    assert_eq!((bench.sent(0), bench.sent(2)), (b"aaaaaaaaaa".to_vec(), b"cccccccccc".to_vec()));
    assert_eq!(bench.reactor.driver_counters().sends_queued.get(), 3);
    assert_eq!(bench.reactor.driver_counters().sends.get(), 0);
    assert_eq!(bench.queued(), 0);
}

#[test]
fn one_payload_alone_leaves_at_once_unless_the_turn_before_sent_more() {
    let mut bench = Bench::new(2);
    bench.act(|connections| stage(&mut connections[0], "first"));
    assert_eq!(bench.sent(0), b"first");
    bench.queue();
    assert_eq!(bench.sent(0), b"first");
    bench.turn();
    bench.act(|connections| stage(&mut connections[0], "burst"));
    assert_eq!(bench.queued(), 1);
    bench.turn();
    assert!(bench.sent(0).ends_with(b"burst"));
    bench.act(|connections| stage(&mut connections[0], "last"));
    assert!(bench.sent(0).ends_with(b"last"));
}

#[test]
fn only_the_plain_case_is_queued() {
    let mut bench = Bench::new(5);
    bench.act(|connections| {
        stage(&mut connections[0], "plain");
        stage(&mut connections[1], "two");
        stage(&mut connections[1], " payloads");
        stage(&mut connections[2], vec![b'x'; super::QUEUED_BYTES_MAX + 1]);
        stage(&mut connections[3], "and the end");
        connections[3] = None;
        stage(&mut connections[4], "plain");
    });
    assert_eq!(bench.queued(), 2);
    assert_eq!(bench.sent(1), b"two payloads");
    assert_eq!(bench.sent(2).len(), super::QUEUED_BYTES_MAX + 1);
    assert_eq!(bench.sent(3), b"and the end");
    assert_eq!(bench.script.shutdowns(bench.sockets[3]), [Shutdown::Write]);
    bench.turn();
    assert_eq!((bench.sent(0), bench.sent(4)), (b"plain".to_vec(), b"plain".to_vec()));
}

#[test]
fn what_was_not_taken_goes_before_what_is_staged_later_and_pins_no_buffer() {
    let mut bench = Bench::new(2);
    for mut connection in std::mem::take(&mut bench.connections).into_iter().flatten() {
        bench.reactor.spawn_detached(async move {
            while let Ok(Some(chunk)) = connection.recv().await {
                assert!(chunk.is_lease());
                connection.send(chunk).await.expect("staged");
            }
        });
    }
    bench.turn();
    bench.script.send_capacity(bench.sockets[0], 4);
    bench.receive(0, b"0123456789");
    bench.receive(1, b"other");
    bench.turn();
    assert_eq!(bench.queued(), 2);
    assert_eq!(bench.script.pool().usage().leased, 2);
    bench.receive(0, b"later");
    bench.turn();
    assert_eq!(bench.script.pool().usage().leased, 0);
    assert_eq!((bench.sent(0), bench.sent(1)), (b"0123".to_vec(), b"other".to_vec()));
    bench.script.send_capacity(bench.sockets[0], 100);
    bench.writable(0);
    assert_eq!(bench.sent(0), b"0123456789later");
}

#[test]
fn what_was_not_taken_at_all_waits_for_room() {
    let mut bench = Bench::new(2);
    bench.script.send_capacity(bench.sockets[1], 0);
    bench.queue();
    bench.turn();
    assert_eq!((bench.sent(0).len(), bench.sent(1).len()), (10, 0));
    bench.script.send_capacity(bench.sockets[1], 100);
    bench.writable(1);
    assert_eq!(bench.sent(1), b"bbbbbbbbbb");
}

#[test]
fn a_connection_that_was_reset_counts_what_it_lost_and_tells_its_owner() {
    let mut bench = Bench::new(2);
    bench.script.fail_sends(bench.sockets[0], ECONNRESET);
    bench.queue();
    bench.turn();
    assert_eq!(bench.counters().bytes_undelivered.get(), 10);
    bench.act(|connections| {
        let error = connections[0].as_mut().expect("there").stage("x").expect_err("reset");
        assert_eq!(error, Error::Reset);
        stage(&mut connections[1], "fine");
    });
    bench.turn();
    assert!(bench.sent(1).ends_with(b"fine"));
}

#[test]
fn a_connection_aborted_while_queued_is_closed_without_sending() {
    let mut bench = Bench::new(3);
    let victim = Rc::new(RefCell::new(bench.connections[0].take()));
    let then = sent_directly({
        let victim = victim.clone();
        move || victim.take().expect("once").abort()
    });
    bench.act(move |connections| {
        victim.borrow_mut().as_mut().expect("there").stage("queued").expect("staged");
        stage(&mut connections[1], "also queued");
        stage(&mut connections[2], then);
    });
    assert!(bench.script.is_closed(bench.sockets[0]));
    bench.turn();
    assert_eq!(bench.sent(0), b"");
    assert_eq!(bench.sent(1), b"also queued");
}

#[test]
fn a_connection_dropped_while_queued_sends_and_ends_in_order() {
    let mut bench = Bench::new(2);
    bench.queue();
    let dropped = bench.connections[0].take();
    bench.reactor.enter(|| drop(dropped));
    assert_eq!(bench.script.shutdowns(bench.sockets[0]), []);
    // The script refuses an end that would overtake what is queued.
    bench.turn();
    assert_eq!(bench.sent(0), b"aaaaaaaaaa");
    assert_eq!(bench.script.shutdowns(bench.sockets[0]), [Shutdown::Write]);
}

#[test]
fn what_a_destructor_stages_follows_what_was_queued_and_not_taken() {
    let mut bench = Bench::new(3);
    bench.script.send_capacity(bench.sockets[0], 4);
    let writer = Rc::new(RefCell::new(bench.connections[0].take()));
    let then = sent_directly({
        let writer = writer.clone();
        move || stage(&mut writer.borrow_mut(), "since")
    });
    bench.act({
        let writer = writer.clone();
        move |connections| {
            stage(&mut writer.borrow_mut(), "queued");
            stage(&mut connections[1], "also queued");
            stage(&mut connections[2], then);
        }
    });
    assert_eq!(bench.queued(), 2);
    bench.turn();
    assert_eq!(bench.sent(0), b"queu");
    bench.script.send_capacity(bench.sockets[0], 100);
    bench.writable(0);
    assert_eq!(bench.sent(0), b"queuedsince");
    bench.connections[0] = writer.take();
}

#[test]
fn a_reactor_that_ends_sends_what_is_queued_before_the_ends_of_connections() {
    let mut bench = Bench::new(2);
    bench.queue();
    // As at the end of a runtime: connections go when their tasks are dropped.
    let connections = std::mem::take(&mut bench.connections);
    bench.reactor.spawn_detached(async move {
        let _held = connections;
        std::future::pending::<()>().await;
    });
    let report = bench.reactor.shut_down(Duration::ZERO);
    assert!(report.is_clean(), "{report}");
    assert_eq!((bench.sent(0), bench.sent(1)), (b"aaaaaaaaaa".to_vec(), b"bbbbbbbbbb".to_vec()));
    assert_eq!(bench.script.shutdowns(bench.sockets[0]), [Shutdown::Write]);
    std::mem::forget(bench);
}

#[test]
fn an_audit_finds_an_end_that_overtakes_what_is_queued() {
    let mut bench = Bench::new(2);
    bench.queue();
    let stream = bench.connections[1].as_ref().expect("there").stream().clone();
    stream.state.borrow_mut().flags.set(Flag::FIN_SENT);
    let mut audit = Audit::default();
    bench.reactor.audit(&mut audit);
    assert_eq!(
        audit.violations,
        [format!(
            "reactor 0: connection {}: its end was sent before what is in the driver's queue",
            stream.number
        )]
    );
    stream.state.borrow_mut().flags.clear(Flag::FIN_SENT);
    bench.turn();
}
