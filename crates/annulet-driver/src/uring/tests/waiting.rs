//! Sleeping and being woken.

use super::*;

#[test]
fn an_idle_driver_makes_no_system_call_after_it_was_woken() {
    each(&DriverOptions::default(), |mut bench| {
        let unparker = bench.driver.unparker();
        bench.settle();
        for woken in 1..=5 {
            unparker.unpark();
            assert!(bench.driver.peek());
            bench.driver.turn(Wait::Until(None), &mut bench.completions).expect("turn");
            assert_eq!(bench.counter("unparks"), woken);
            let enters = bench.counter("enters");
            assert!(!bench.driver.peek());
            assert!(bench.settle().is_empty());
            assert_eq!(bench.counter("enters"), enters);
        }
    });
}

#[test]
fn a_wait_ends_at_its_deadline_and_not_before() {
    each(&DriverOptions::default(), |mut bench| {
        bench.settle();
        for wait in [Duration::ZERO, Duration::from_micros(300), Duration::from_millis(5)] {
            let deadline = bench.driver.clock() + wait;
            bench.driver.turn(Wait::Until(Some(deadline)), &mut bench.completions).expect("turn");
            assert!(bench.driver.now() >= deadline);
            assert!(bench.driver.now() - deadline < Duration::from_millis(500));
        }
        let enters = bench.counter("enters");
        let past = bench.driver.clock();
        for _ in 0..10 {
            bench.driver.turn(Wait::Until(Some(past)), &mut bench.completions).expect("turn");
        }
        assert_eq!(bench.counter("enters"), enters, "a deadline that has passed is no reason to enter");
    });
}

#[test]
fn room_to_send_is_told_once_also_beside_a_peer_that_finished_sending() {
    each(&DriverOptions::default(), |mut bench| {
        let (socket, mut far) = bench.tcp();
        far.shutdown(Shutdown::Write).expect("shutdown");
        for round in 0..3 {
            let block = [7; 65536];
            let mut sent = 0;
            while let Ok(count) = bench.driver.try_send(socket, &block) {
                sent += count;
            }
            let key = bench.driver.submit(Token(round), Op::Writable { socket });
            assert!(bench.settle().is_empty(), "the buffer is full");
            let enters = bench.counter("enters");
            assert!(bench.settle().is_empty());
            assert_eq!(bench.counter("enters"), enters, "waiting for room costs nothing");
            let mut sink = vec![0; sent];
            far.read_exact(&mut sink).expect("read");
            let completions = bench.count(1);
            assert!(matches!(completions[..], [Completion { outcome: Outcome::Writable, last: true, .. }]));
            assert_eq!(completions[0].key, key);
        }
        let key = bench.driver.submit(Token(9), Op::Writable { socket });
        bench.driver.cancel(key);
        let completions = bench.count(1);
        assert!(matches!(completions[..], [Completion { outcome: Outcome::Cancelled, last: true, .. }]));
        assert!(bench.settle().is_empty());
        // The peer goes away with bytes unread: a reset, which is room as well.
        while bench.driver.try_send(socket, &[7; 65536]).is_ok() {
            // What is under way makes room as well.
            bench.environment.pass(Duration::from_millis(1));
        }
        bench.driver.submit(Token(10), Op::Writable { socket });
        drop(far);
        bench.count(1);
        assert!(bench.driver.try_send(socket, b"x").is_err());
    });
}
