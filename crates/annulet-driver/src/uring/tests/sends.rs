//! Queued sends: in the turn's own entry into the kernel, their results first.

use super::*;

/// A driver's queue; none on a kernel that loses the count of short sends.
fn push(bench: &mut Bench, socket: Socket, payload: impl Into<Payload>) {
    bench.driver.send_queue().expect("a queue").push(Token(77), socket, payload.into());
}

/// The results of the latest turn's sends.
fn results(bench: &mut Bench) -> Vec<Option<io::Result<usize>>> {
    let mut batch = SendBatch::default();
    bench.driver.send_queue().expect("a queue").take_sent(&mut batch);
    batch.drain().map(|(_, result)| result).collect()
}

fn each_with_queue(options: &DriverOptions, mut test: impl FnMut(Bench)) {
    each(options, |mut bench| {
        assert_eq!(bench.driver.send_queue().is_some(), bench.setup.traits.quiet_sends);
        if bench.setup.traits.quiet_sends {
            test(bench);
        }
    });
}

#[test]
fn sends_leave_in_the_one_entry_of_the_turn_and_those_that_succeed_say_nothing() {
    each_with_queue(&DriverOptions::default(), |mut bench| {
        let mut pairs: Vec<_> = (0..100).map(|_| bench.unix()).collect();
        bench.settle();
        let (enters, sqes, cqes) = (bench.counter("enters"), bench.counter("sqes"), bench.counter("cqes"));
        for (number, pair) in pairs.iter().enumerate() {
            push(&mut bench, pair.0, vec![number as u8; 10]);
        }
        bench.driver.turn(Wait::Poll, &mut bench.completions).expect("turn");
        assert!(matches!(
            bench.completions[..],
            [Completion { token: Token(77), outcome: Outcome::Sent, .. }]
        ));
        assert!(results(&mut bench).iter().all(Option::is_none));
        assert_eq!(bench.counter("enters") - enters, 1);
        assert_eq!(bench.counter("sqes") - sqes, 100);
        assert_eq!(bench.counter("cqes") - cqes, 0);
        assert_eq!((bench.counter("sends"), bench.counter("sends_queued")), (0, 100));
        assert_eq!(bench.counter("bytes_sent"), 1000);
        for (number, (_, far)) in pairs.iter_mut().enumerate() {
            let mut bytes = [0; 10];
            far.read_exact(&mut bytes).expect("read");
            assert_eq!(bytes, [number as u8; 10]);
        }
        assert_no_workers();
    });
}

/// The peer answers what it gets, so a turn that slept before it sent would sleep for ever.
#[test]
fn a_turn_that_sleeps_sends_before_it_does_so_in_one_entry() {
    each_with_queue(&DriverOptions::default(), |mut bench| {
        let (socket, far) = bench.unix();
        bench.receive(1, socket);
        bench.settle();
        let enters = bench.counter("enters");
        let peer = far.meanwhile(Act::Answer { question: 8, answer: b"answer".into() });
        push(&mut bench, socket, "question");
        let deadline = bench.driver.clock() + LONG;
        bench.driver.turn(Wait::Until(Some(deadline)), &mut bench.completions).expect("turn");
        assert!(bench.driver.clock() < deadline, "slept in spite of the answer");
        assert_eq!(bench.counter("enters") - enters, 1);
        assert!(matches!(bench.completions[0].outcome, Outcome::Sent));
        let completions = bench.until(|seen| bytes(seen).len() == 6);
        assert_eq!(bytes(&completions), b"answer");
        peer.join();
    });
}

#[test]
fn a_refused_send_ends_the_sleep_of_its_turn() {
    each_with_queue(&DriverOptions::default(), |mut bench| {
        let (socket, far) = bench.unix();
        drop(far);
        bench.settle();
        push(&mut bench, socket, "for nobody");
        let deadline = bench.driver.clock() + LONG;
        bench.driver.turn(Wait::Until(Some(deadline)), &mut bench.completions).expect("turn");
        assert!(bench.driver.clock() < deadline, "slept with a result at hand");
        let results = results(&mut bench);
        let [Some(Err(error))] = &results[..] else { panic!("{results:?}") };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

/// The completion queue is full of arrivals when the sends are offered, so every refusal waits behind it in the kernel.
#[test]
fn results_come_first_and_complete_from_a_completion_queue_that_overflows() {
    const STREAMS: usize = 512;
    let options = DriverOptions::default().submission_entries(512).completion_entries(512).buffers(2048);
    each_with_queue(&options, |mut bench| {
        let mut pairs: Vec<_> = (0..STREAMS).map(|_| bench.unix()).collect();
        let block = [0; 64 * 1024];
        for pair in &pairs {
            bench.receive(1, pair.0);
            while bench.driver.try_send(pair.0, &block).is_ok() {}
        }
        assert!(bench.settle().is_empty());
        for (_, far) in &mut pairs {
            far.write_all(b"y").expect("write");
        }
        // The kernel brings forth so many at a time.
        for _ in 0..STREAMS {
            bench.driver.enter();
        }
        for pair in &pairs {
            push(&mut bench, pair.0, "x");
        }
        bench.driver.turn(Wait::Poll, &mut bench.completions).expect("turn");
        assert!(matches!(bench.completions[0].outcome, Outcome::Sent));
        let results = results(&mut bench);
        assert_eq!(results.len(), STREAMS);
        for result in results {
            let Some(Err(error)) = result else { panic!("{result:?}") };
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        }
        let completions = bench.until(|seen| bytes(seen).len() == STREAMS);
        assert_eq!(completions.iter().filter(|one| matches!(one.outcome, Outcome::Sent)).count(), 1);
        assert!(bench.counter("overflows") > 0, "nothing overflowed");
        assert_eq!(bench.counter("stale_completions"), 0);
    });
}
