//! Sleeping, waking, peeking, signals.

use std::io::Write;
use std::time::Duration;

use annulet_driver::{Op, Outcome, Wait};

use crate::bench::QUIET;
use crate::case::on_each_kernel;
use crate::environment::{Event, PATIENCE};

on_each_kernel! {
    fn a_sleep_lasts_until_its_deadline(case) {
        let mut bench = case.open();
        for time in [Duration::from_micros(300), QUIET] {
            let deadline = bench.driver.clock() + time;
            let mut turns = 0;
            while bench.driver.clock() < deadline {
                bench.turn(Wait::Until(Some(deadline)));
                turns += 1;
            }
            assert!(bench.driver.now() >= deadline, "the turn refreshes the time");
            assert!(turns < 20, "{turns} turns");
        }
    }

    fn a_deadline_in_the_past_does_not_sleep(case) {
        let mut bench = case.open();
        let past = bench.driver.clock();
        for _ in 0..100 {
            bench.turn(Wait::Until(Some(past)));
            bench.turn(Wait::Poll);
        }
        assert!(bench.driver.clock() - past < PATIENCE);
    }

    fn another_thread_ends_a_sleep(case) {
        let mut bench = case.open();
        for _ in 0..3 {
            let waker = case.later(QUIET, Event::Unpark(bench.driver.unparker()));
            let deadline = bench.driver.clock() + PATIENCE;
            bench.turn(Wait::Until(Some(deadline)));
            assert!(bench.driver.clock() < deadline);
            waker.join();
        }
    }

    fn a_wake_up_before_the_sleep_is_not_lost(case) {
        let mut bench = case.open();
        for _ in 0..3 {
            bench.driver.unparker().unpark();
            bench.driver.unparker().unpark();
            let deadline = bench.driver.clock() + PATIENCE;
            bench.turn(Wait::Until(Some(deadline)));
            assert!(bench.driver.clock() < deadline);
        }
    }

    fn waking_a_driver_that_is_gone_wakes_no_other(case) {
        let unparker = case.open().driver.unparker();
        let mut successor = case.open();
        let waker = case.later(QUIET / 2, Event::Unpark(unparker));
        successor.idle();
        waker.join();
        successor.idle();
        assert_eq!(successor.driver.counters().unparks.get(), 0);
    }

    fn wake_ups_are_not_remembered_for_ever(case) {
        let mut bench = case.open();
        for _ in 0..50 {
            bench.driver.unparker().unpark();
        }
        let deadline = bench.driver.clock() + QUIET;
        let mut turns = 0;
        while bench.driver.clock() < deadline {
            bench.turn(Wait::Until(Some(deadline)));
            turns += 1;
        }
        assert!(turns < 60, "{turns} turns");
    }

    fn a_peek_sees_what_the_next_turn_delivers(case) {
        let mut bench = case.open();
        let (socket, mut peer) = bench.tcp_pair();
        let receive = bench.receive(socket);
        bench.turn(Wait::Poll);
        bench.assert_quiet(receive);
        assert!(!bench.driver.peek());
        peer.write_all(b"x").expect("write");
        bench.until(|driver| driver.peek().then_some(()));
        assert!(bench.driver.peek(), "looking takes nothing away");
        bench.turn(Wait::Poll);
        assert_eq!(bench.next_bytes(receive, 1), b"x");
    }

    fn the_clocks_run(case) {
        let mut bench = case.open();
        let (now, wall) = (bench.driver.clock(), bench.driver.wall_clock());
        assert!(bench.driver.now() <= now);
        case.pass(Duration::from_millis(2));
        bench.turn(Wait::Poll);
        assert!(bench.driver.now() - now >= Duration::from_millis(2));
        assert!(bench.driver.wall_clock() > wall);
    }

    fn entropy_differs_from_call_to_call(case) {
        let mut bench = case.open();
        let (mut one, mut other) = ([0; 16], [0; 16]);
        bench.driver.entropy(&mut one);
        bench.driver.entropy(&mut other);
        assert_ne!(one, other);
    }

    fn a_signal_is_a_completion_asleep_or_not(case) {
        let mut bench = case.open();
        let key = bench.submit(Op::Signal { signals: vec![libc::SIGUSR2] });
        bench.turn(Wait::Poll);
        case.raise(libc::SIGUSR2);
        assert!(matches!(bench.next(key).outcome, Outcome::Signal(libc::SIGUSR2)));
        let sender = case.later(QUIET, Event::Signal(libc::SIGUSR2));
        assert!(matches!(bench.next(key).outcome, Outcome::Signal(libc::SIGUSR2)));
        sender.join();
    }

    fn a_signal_reaches_every_driver_that_asked_for_it(case) {
        let mut benches = [case.open(), case.open()];
        let keys = benches.each_mut().map(|bench| {
            let key = bench.submit(Op::Signal { signals: vec![libc::SIGWINCH] });
            bench.turn(Wait::Poll);
            key
        });
        case.raise(libc::SIGWINCH);
        for (bench, key) in benches.iter_mut().zip(keys) {
            assert!(matches!(bench.next(key).outcome, Outcome::Signal(libc::SIGWINCH)));
        }
    }

    fn a_signal_caught_before_the_cancellation_is_told(case) {
        let mut bench = case.open();
        let key = bench.submit(Op::Signal { signals: vec![libc::SIGURG, libc::SIGWINCH] });
        bench.turn(Wait::Poll);
        case.raise(libc::SIGWINCH);
        let outcomes = bench.cancel(key);
        assert!(outcomes.iter().any(|outcome| matches!(outcome, Outcome::Signal(libc::SIGWINCH))), "{outcomes:?}");
        assert!(matches!(outcomes.last(), Some(Outcome::Cancelled)));
    }

    fn a_signal_that_cannot_be_caught_fails(case) {
        let mut bench = case.open();
        let key = bench.submit(Op::Signal { signals: vec![libc::SIGKILL] });
        assert!(matches!(bench.all(key)[..], [Outcome::Failed(_)]));
    }
}
