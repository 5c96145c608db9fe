//! Few buffers: parking, growing, taking turns.

use std::collections::VecDeque;

use super::*;

/// A pool of 8 buffers and 100 connections, each sending more than the pool holds: all of it arrives, however handlers
/// hold on to what they got.
#[test]
fn a_small_pool_serves_many_connections() {
    const MESSAGE: usize = 8 * 512 + 100;
    let options = DriverOptions::default().buffers(8).buffers_max(8).buffer_size(512);
    each(&options, |mut bench| {
        let mut pairs: Vec<_> = (0..100).map(|_| bench.unix()).collect();
        for (number, pair) in pairs.iter().enumerate() {
            bench.receive(number as u64, pair.0);
        }
        for (number, (_, far)) in pairs.iter_mut().enumerate() {
            far.write_all(&[number as u8; MESSAGE]).expect("write");
        }
        let mut received = vec![0; 100];
        // As many leases as the pool gives out, kept to the end; what comes beyond is on the heap.
        let mut kept = VecDeque::new();
        while received.iter().any(|count| *count < MESSAGE) {
            for Completion { token, outcome, last, .. } in bench.count(1) {
                let Outcome::Received(chunk) = outcome else { panic!("{outcome:?}") };
                assert!(!last && chunk.iter().all(|byte| *byte == token.0 as u8));
                received[token.0 as usize] += chunk.len();
                kept.push_back(chunk);
            }
        }
        assert_eq!(received, vec![MESSAGE; 100]);
        assert_eq!(kept.iter().filter(|chunk| chunk.is_lease()).count(), 6);
        assert!(bench.counter("starved_receives") > 0);
        assert!(bench.counter("pressure_copies") > 0);
        kept.clear();
        bench.settle();
        let usage = bench.driver.pool().usage();
        assert_eq!((usage.leased, usage.total), (0, 8), "{usage:?}");
    });
}

/// A connection that floods must not keep those parked with it from the few buffers there are.
#[test]
fn parked_receives_are_served_in_turn_beside_one_that_floods() {
    let options = DriverOptions::default().buffers(4).buffers_max(4).buffer_size(512);
    each(&options, |mut bench| {
        let (source, flood) = bench.own_pair();
        let mut others: Vec<_> = (0..20).map(|_| bench.unix()).collect();
        bench.receive(99, flood);
        for (number, (socket, far)) in others.iter_mut().enumerate() {
            bench.receive(number as u64, *socket);
            far.write_all(b"x").expect("write");
        }
        let mut waiting: Vec<u64> = (0..20).collect();
        let mut kept = Vec::new();
        for _ in 0..200 {
            while bench.driver.try_send(source, &[1; 4096]).is_ok() {}
            bench.driver.turn(Wait::Poll, &mut bench.completions).expect("turn");
            for completion in bench.completions.drain(..) {
                waiting.retain(|token| *token != completion.token.0);
                if let Outcome::Received(chunk) = completion.outcome
                    && kept.len() < 2
                {
                    kept.push(chunk);
                }
            }
        }
        assert_eq!(waiting, []);
    });
}

#[test]
fn the_pool_grows_before_anyone_is_parked() {
    let options = DriverOptions::default().buffers(4).buffers_max(256).buffer_size(512);
    each(&options, |mut bench| {
        let (socket, mut far) = bench.unix();
        bench.receive(0, socket);
        assert!(bench.settle().is_empty());
        far.write_all(&[5; 60 * 512]).expect("write");
        let completions = bench.until(|seen| bytes(seen).len() == 60 * 512);
        assert!(completions.iter().all(|completion| !completion.last));
        assert_eq!(bench.counter("starved_receives"), 0);
        assert!(bench.counter("pool_growths") > 0);
        // The pool starts small and is full-grown only when it has to be.
        let usage = bench.driver.pool().usage();
        assert!((64..=256).contains(&usage.total), "{usage:?}");
    });
}

#[test]
fn a_parked_receive_can_be_cancelled_and_is_told_without_sleeping() {
    let options = DriverOptions::default().buffers(4).buffers_max(4).buffer_size(512);
    each(&options, |mut bench| {
        let mut pairs: Vec<_> = (0..8).map(|_| bench.unix()).collect();
        let keys: Vec<_> = pairs.iter().map(|pair| bench.receive(0, pair.0)).collect();
        for (_, far) in &mut pairs {
            far.write_all(&[1; 4096]).expect("write");
        }
        bench.driver.turn(Wait::Poll, &mut bench.completions).expect("turn");
        for key in &keys {
            bench.driver.cancel(*key);
            bench.driver.cancel(*key);
        }
        assert!(bench.driver.peek());
        let completions = bench.until(|seen| seen.iter().filter(|one| one.last).count() == 8);
        assert!(
            completions.iter().filter(|one| one.last).all(|one| matches!(one.outcome, Outcome::Cancelled))
        );
        assert_eq!(bench.driver.in_flight(), 0);
        drop(completions);
        bench.settle();
        assert_eq!(bench.driver.pool().usage().leased, 0);
    });
}

/// U1, broken on purpose: what arrives for a pool that went before its ring harms nobody in a debug build.
#[test]
#[cfg(debug_assertions)]
fn a_receive_into_a_pool_that_is_gone_fails_with_efault() {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    for setup in setups() {
        let mut ring = Ring::new(setup.rung, 8, 16, setup.traits.absolute_timeout).expect("a ring");
        let pool = BufferPool::new(&DriverOptions::default().pool, Arc::default()).expect("a pool");
        let mut buffers = BufferRing::register(&ring, pool.buffers_max()).expect("a buffer ring");
        buffers.publish(&pool);
        let (near, mut far) = UnixStream::pair().expect("socketpair");
        let mut staged = VecDeque::from([entry::receive_once(entry::CANCEL, near.as_raw_fd())]);
        // SAFETY: R2: the entry points to nothing; the pool is the subject of the test.
        unsafe { ring.fill(&mut staged, 1) };
        ring.enter(Wait::Poll).expect("enter");
        drop(pool);
        far.write_all(b"late").expect("write");
        let deadline = crate::sys::monotonic_now() + LONG;
        ring.enter(Wait::Until(Some(deadline))).expect("enter");
        let results: Vec<_> = ring.completions().map(|cqe| cqe.result()).collect();
        assert_eq!(results, [-libc::EFAULT], "{setup:?}");
        drop(ring);
    }
}
