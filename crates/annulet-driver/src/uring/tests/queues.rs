//! Short queues: what does not fit is handed over in order, what overflows is flushed, nothing is lost.

use super::*;

#[test]
fn more_operations_than_entries_of_the_queue_are_all_submitted_in_order() {
    let options = DriverOptions::default().submission_entries(8);
    each(&options, |mut bench| {
        assert_eq!(bench.driver.sizes().0, 8);
        let mut pairs: Vec<_> = (0..200).map(|_| bench.unix()).collect();
        for (number, (_, far)) in pairs.iter_mut().enumerate() {
            far.write_all(&[number as u8]).expect("write");
        }
        for (number, pair) in pairs.iter().enumerate() {
            bench.receive(number as u64, pair.0);
        }
        assert_eq!(bench.driver.in_flight(), 200);
        let completions = bench.count(200);
        let tokens: Vec<_> = completions.iter().map(|completion| completion.token.0).collect();
        assert!(tokens.is_sorted(), "{tokens:?}");
        for Completion { token, outcome, .. } in &completions {
            let Outcome::Received(chunk) = outcome else { panic!("{outcome:?}") };
            assert_eq!(**chunk, [token.0 as u8]);
        }
        assert!(bench.counter("sqes") >= 200);
        assert!(bench.counter("enters") < 60, "{}", bench.counter("enters"));
    });
}

#[test]
fn a_completion_queue_that_overflows_loses_nothing() {
    let options = DriverOptions::default().submission_entries(8).completion_entries(16).buffers(512);
    each(&options, |mut bench| {
        assert_eq!(bench.driver.sizes().1, 16);
        let mut pairs: Vec<_> = (0..300).map(|_| bench.unix()).collect();
        for (number, pair) in pairs.iter().enumerate() {
            bench.receive(number as u64, pair.0);
        }
        assert!(bench.settle().is_empty());
        for round in 0..3_u8 {
            for (_, far) in &mut pairs {
                far.write_all(&[round]).expect("write");
            }
            let completions = bench.count(300);
            let mut tokens: Vec<_> = completions.iter().map(|completion| completion.token.0).collect();
            tokens.sort_unstable();
            assert_eq!(tokens, (0..300).collect::<Vec<_>>());
            assert!(completions.iter().all(|completion| !completion.last));
            assert_eq!(bytes(&completions), [round; 300]);
        }
        assert!(bench.counter("overflows") > 0);
        assert_eq!(bench.counter("stale_completions"), 0);
    });
}

#[test]
fn cancelling_more_than_the_completion_queue_holds_ends_everything() {
    let options = DriverOptions::default().submission_entries(512).completion_entries(512).buffers(8);
    each(&options, |mut bench| {
        let pairs: Vec<_> = (0..1000).map(|_| bench.unix()).collect();
        let keys: Vec<_> = pairs.iter().map(|pair| bench.receive(0, pair.0)).collect();
        for key in keys {
            bench.driver.cancel(key);
        }
        // Two completions for each: its own and the cancellation's.
        let completions = bench.count(1000);
        assert!(completions.iter().all(|completion| matches!(completion.outcome, Outcome::Cancelled)));
        assert_eq!(bench.driver.in_flight(), 0);
        for (socket, _) in pairs {
            bench.driver.close(socket);
        }
    });
}

#[test]
fn a_completion_for_a_former_tenant_is_counted_and_does_nothing() {
    each(&DriverOptions::default(), |mut bench| {
        let (socket, _far) = bench.unix();
        let key = bench.receive(0, socket);
        bench.driver.cancel(key);
        bench.until(|seen| seen.iter().any(is_last));
        let next = bench.receive(1, socket);
        assert_eq!(next.slot, key.slot);
        // The kernel completes what it is given with the key it is given.
        bench.driver.staged().push_back(entry::nop(key));
        assert!(bench.settle().is_empty());
        assert_eq!(bench.counter("stale_completions"), 1);
        assert_eq!(bench.driver.in_flight(), 1);
        bench.driver.cancel(key);
        assert!(bench.settle().is_empty(), "a key of the past cancels nothing");
    });
}
