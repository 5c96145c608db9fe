//! Quiescing and dropping.

use super::*;

/// Both a connect and a receive wait for nothing; a signal, an accept and room to send as well.
#[test]
fn quiescing_ends_every_kind_of_operation_and_closes_what_nobody_will_see() {
    each(&DriverOptions::default(), |mut bench| {
        let (listener, address) = bench.listen();
        bench.driver.submit(Token(0), Op::Accept { listener });
        let (socket, _far) = bench.tcp();
        bench.receive(1, socket);
        while bench.driver.try_send(socket, &[7; 65536]).is_ok() {}
        bench.driver.submit(Token(2), Op::Writable { socket });
        bench.driver.submit(Token(3), Op::Signal { signals: vec![libc::SIGWINCH] });
        bench.settle();
        let clients: Vec<_> = (0..5).map(|_| bench.connect(&address)).collect();
        let open = bench.driver.sockets().open(Domain::V4).expect("socket");
        bench.driver.submit(Token(4), Op::Connect { socket: open, address });
        assert_eq!(bench.driver.in_flight(), 5);
        assert_eq!(bench.driver.quiesce(LONG), 0);
        assert_eq!(bench.driver.in_flight(), 0);
        assert!(bench.settle().is_empty());
        assert_eq!(
            bench.counter("sockets_opened") - bench.counter("sockets_closed"),
            3,
            "the listener, the stream and the fresh socket"
        );
        // The driver still works, and is still woken.
        let unparks = bench.counter("unparks");
        bench.driver.unparker().unpark();
        bench.driver.turn(Wait::Until(None), &mut bench.completions).expect("turn");
        assert!(bench.counter("unparks") > unparks);
        drop(clients);
    });
}

#[test]
fn dropping_a_driver_with_operations_in_flight_leaves_leases_readable() {
    each(&DriverOptions::default(), |mut bench| {
        let (socket, mut far) = bench.unix();
        let (other, _peer) = bench.unix();
        bench.receive(0, socket);
        bench.receive(1, other);
        far.write_all(b"kept").expect("write");
        let completions = bench.count(1);
        drop(bench);
        assert_eq!(bytes(&completions), b"kept");
    });
}

#[test]
fn operations_that_were_never_submitted_end_with_the_driver() {
    each(&DriverOptions::default(), |mut bench| {
        let (socket, _far) = bench.unix();
        bench.receive(0, socket);
        let (listener, address) = bench.listen();
        bench.driver.submit(Token(1), Op::Accept { listener });
        let socket = bench.driver.sockets().open(Domain::V4).expect("socket");
        bench.driver.submit(Token(2), Op::Connect { socket, address });
    });
}

/// An operation that the kernel never ends: here, for it never got it.
#[test]
fn what_cannot_be_reaped_in_time_is_reported_and_leaked() {
    each(&DriverOptions::default(), |mut bench| {
        let (socket, mut far) = bench.unix();
        let (lost, _peer) = bench.unix();
        bench.receive(0, socket);
        far.write_all(b"kept").expect("write");
        let completions = bench.count(1);
        assert!(bench.settle().is_empty());
        bench.receive(1, lost);
        bench.driver.staged().clear();
        let start = bench.driver.clock();
        assert_eq!(bench.driver.quiesce(Duration::from_millis(30)), 1);
        assert!(bench.driver.clock() - start >= Duration::from_millis(30));
        assert_eq!(bench.driver.in_flight(), 1);
        drop(bench);
        assert_eq!(bytes(&completions), b"kept");
    });
}
