//! What a seed decides, and what is found out when something else did.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use annulet_sim::Sim;

/// What a program that sleeps for the times in a map, in the map's order, comes to.
fn in_the_order_of_a_map(seed: u64) -> u64 {
    let program = async |sim: Sim| {
        let times: HashMap<u64, u64> = (0..20).map(|key| (key, sim.spread(1, 1000))).collect();
        for millis in times.into_values() {
            annulet::time::sleep(Duration::from_millis(millis)).await;
        }
        let nanos = RandomState::new().hash_one("what a stranger to the seed would not get again") >> 40;
        annulet::time::sleep(Duration::from_nanos(nanos)).await;
    };
    Sim::builder().seed(seed).twice().run(program).hash
}

#[test]
fn the_order_of_a_hash_map_is_the_seeds() {
    assert_eq!(in_the_order_of_a_map(1), in_the_order_of_a_map(1));
    assert_ne!(in_the_order_of_a_map(1), in_the_order_of_a_map(2));
}

fn failure_of<F: AsyncFn(Sim) + Clone + Send + 'static>(program: F) -> String {
    Sim::builder().twice().try_run(program).expect_err("the seed does not decide").to_string()
}

#[test]
fn the_real_clock_is_found_out() {
    let text = failure_of(async |_| {
        let start = std::time::Instant::now();
        std::thread::sleep(Duration::from_micros(10));
        annulet::time::sleep(Duration::from_millis(start.elapsed().as_nanos() as u64)).await;
    });
    assert!(text.contains("two runs of this seed have different histories, from event"), "{text}");
    assert!(text.contains("the real clock (std::time::Instant::now"), "{text}");
    assert!(text.contains("the first run: ") && text.contains("the second run: "), "{text}");
}

#[test]
fn a_thread_that_decides_something_is_found_out() {
    let text = failure_of(async |_| {
        // Every thread has a number of its own, so what this one says is never the same again.
        let number =
            std::thread::spawn(|| format!("{:?}", std::thread::current().id())).join().expect("it ends");
        let number = RandomState::new().hash_one(number) >> 34;
        annulet::time::sleep(Duration::from_nanos(number)).await;
    });
    assert!(text.contains("two runs of this seed have different histories"), "{text}");
    assert!(text.contains("a thread (take annulet::spawn_blocking)"), "{text}");
}

#[test]
fn a_thread_that_wakes_a_reactor_is_found_out() {
    let (to_waker, wakers) = std::sync::mpsc::channel::<std::task::Waker>();
    let wakers = std::sync::Arc::new(std::sync::Mutex::new(wakers));
    let text = failure_of(async move |sim: Sim| {
        let to_waker = to_waker.clone();
        // The host sleeps while the client has a thread wake it.
        let _host = sim.host("host").start(async move || {
            std::future::poll_fn(|cx| {
                to_waker.send(cx.waker().clone()).expect("the client waits for it");
                std::task::Poll::<()>::Pending
            })
            .await;
        });
        annulet::time::sleep(Duration::from_secs(1)).await;
        let waker = wakers.lock().expect("not poisoned").recv().expect("the host runs");
        let _ = std::thread::spawn(move || waker.wake()).join();
        annulet::time::sleep(Duration::from_secs(1)).await;
    });
    assert!(text.contains("woken by a thread that the simulation does not know"), "{text}");
}

#[test]
fn blocking_jobs_are_no_threads() {
    let program = async |_: Sim| {
        let sum = annulet::spawn_blocking(|| (0..1000_u64).sum::<u64>()).await.expect("it ends");
        annulet::time::sleep(Duration::from_nanos(sum)).await;
    };
    Sim::builder().twice().run(program);
}

#[test]
fn a_select_without_biased_is_found_out() {
    let text = failure_of(async |_| {
        for _ in 0..100 {
            let millis = tokio::select! {
                _ = std::future::ready(()) => 1,
                _ = std::future::ready(()) => 2,
            };
            annulet::time::sleep(Duration::from_millis(millis)).await;
        }
    });
    assert!(text.contains("tokio::select! or futures::select! without `biased`"), "{text}");
}

#[test]
fn a_select_with_biased_is_the_programs() {
    Sim::builder().twice().run(async |_: Sim| {
        let first = tokio::select! {
            biased;
            _ = std::future::ready(()) => 1,
            _ = std::future::ready(()) => 2,
        };
        assert_eq!(first, 1);
    });
}

#[test]
fn what_libraries_take_from_the_system_is_the_seeds() {
    // This crate, on which many stand, looks for the system's function at run time.
    let time = |seed| {
        let program = async |_: Sim| {
            let nanos = getrandom::u64().expect("entropy") >> 34;
            annulet::time::sleep(Duration::from_nanos(nanos)).await;
        };
        Sim::builder().seed(seed).twice().run(program).time
    };
    assert_eq!(time(1), time(1));
    assert_ne!(time(1), time(2));
}
