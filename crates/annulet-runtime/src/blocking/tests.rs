//! The pool at its bounds, under panics, and at its end. All waits are for a state, with a bound far beyond
//! need.

use std::sync::Weak;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Instant;

use super::*;

/// For what happens at once on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than any test waits.
const FOR_EVER: Duration = Duration::from_secs(3600);

fn limits(threads_max: usize, queue_max: usize) -> BlockingLimits {
    BlockingLimits { threads_max, queue_max, keep_alive: FOR_EVER }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until the pool's counters look as they should.
fn wait_for(pool: &BlockingPool, what: &str, holds: impl Fn(BlockingStats) -> bool) {
    wait_until(what, || holds(pool.stats()));
}

/// Shuts the pool down, which must take no longer than its jobs.
fn shut_down(pool: &BlockingPool) {
    let start = Instant::now();
    assert_eq!(pool.shutdown(2 * PATIENCE), 0);
    assert!(start.elapsed() < PATIENCE, "nobody said that the last thread had ended");
    assert_eq!(pool.stats().threads, 0);
}

/// Waits until all threads that knew the pool are gone. (They hold the last references to its state.)
fn wait_for_threads_to_end(shared: &Weak<Shared>) {
    wait_until("the end of all threads", || shared.strong_count() == 0);
}

/// A job that says it has started, then runs until the gate, which is the sender, is dropped.
struct Gated {
    gate: Sender<()>,
    started: Receiver<()>,
}

fn gated() -> (Gated, Job) {
    let (gate, closed) = mpsc::channel::<()>();
    let (start, started) = mpsc::channel();
    let job = Box::new(move || {
        let _ = start.send(());
        let _ = closed.recv();
    });
    (Gated { gate, started }, job)
}

/// Occupies `count` threads until what it returns is dropped.
fn occupy(pool: &BlockingPool, count: usize) -> Vec<Sender<()>> {
    let occupy_one = |_| {
        let (gated, job) = gated();
        pool.spawn(job).unwrap();
        gated.started.recv_timeout(PATIENCE).unwrap();
        gated.gate
    };
    (0..count).map(occupy_one).collect()
}

#[test]
fn a_job_runs_on_a_named_thread() {
    let pool = BlockingPool::new(BlockingLimits::default());
    assert_eq!(pool.stats(), BlockingStats::default(), "threads start lazily");
    let (sender, name) = mpsc::channel();
    pool.spawn(Box::new(move || sender.send(thread::current().name().map(str::to_owned)).unwrap())).unwrap();
    assert_eq!(name.recv_timeout(PATIENCE).unwrap().as_deref(), Some("annulet-blocking-1"));
    wait_for(&pool, "completion", |stats| {
        stats == BlockingStats { threads: 1, completed: 1, ..BlockingStats::default() }
    });
    shut_down(&pool);
}

#[test]
fn an_idle_thread_is_preferred_to_a_new_one() {
    let pool = BlockingPool::new(limits(8, 8));
    for completed in 1..=20 {
        pool.spawn(Box::new(|| {})).unwrap();
        wait_for(&pool, "completion", |stats| stats.completed == completed);
    }
    assert_eq!(pool.stats().threads, 1);
}

#[test]
fn a_job_is_not_left_behind_a_busy_thread_while_another_may_start() {
    let pool = BlockingPool::new(limits(8, 0));
    let gates = occupy(&pool, 8);
    assert_eq!(pool.stats(), BlockingStats { threads: 8, running: 8, ..BlockingStats::default() });
    drop(gates);
    wait_for(&pool, "completion", |stats| stats.completed == 8);
}

#[test]
fn threads_and_queue_are_bounded() {
    let pool = BlockingPool::new(limits(2, 3));
    let gates = occupy(&pool, 2);
    let ran = Arc::new(AtomicUsize::new(0));
    let count = || -> Job {
        let ran = Arc::clone(&ran);
        Box::new(move || {
            ran.fetch_add(1, Ordering::Relaxed);
        })
    };
    for _ in 0..3 {
        pool.spawn(count()).unwrap();
    }
    for _ in 0..4 {
        let error = pool.spawn(count()).unwrap_err();
        assert!(matches!(error, BlockingError::QueueFull { queue_max: 3, threads_max: 2 }), "{error}");
    }
    let full = BlockingStats { threads: 2, running: 2, queued: 3, refused: 4, ..BlockingStats::default() };
    assert_eq!(pool.stats(), full);

    drop(gates);
    wait_for(&pool, "completion", |stats| stats.completed == 5);
    assert_eq!(ran.load(Ordering::Relaxed), 3);
    pool.spawn(count()).expect("there is room again");
}

#[test]
fn without_a_queue_an_idle_thread_still_takes_a_job() {
    let pool = BlockingPool::new(limits(1, 0));
    for completed in 1..=20 {
        pool.spawn(Box::new(|| {})).unwrap();
        wait_for(&pool, "completion", |stats| stats.completed == completed);
    }
    let _gates = occupy(&pool, 1);
    assert!(matches!(pool.spawn(Box::new(|| {})), Err(BlockingError::QueueFull { queue_max: 0, .. })));
}

/// Thrown, and throws again when dropped.
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        std::panic::panic_any("dropped a grenade");
    }
}

#[test]
fn a_panic_costs_neither_the_thread_nor_the_pool() {
    let pool = BlockingPool::new(limits(1, 8));
    pool.spawn(Box::new(|| panic!("expected by the test"))).unwrap();
    pool.spawn(Box::new(|| std::panic::panic_any(Grenade))).unwrap();
    let (sender, name) = mpsc::channel();
    pool.spawn(Box::new(move || sender.send(thread::current().name().map(str::to_owned)).unwrap())).unwrap();
    assert_eq!(name.recv_timeout(PATIENCE).unwrap().as_deref(), Some("annulet-blocking-1"));
    wait_for(&pool, "completion", |stats| {
        stats == BlockingStats { threads: 1, completed: 3, panicked: 2, ..BlockingStats::default() }
    });
    assert!(!pool.shared.state.is_poisoned());
    shut_down(&pool);
}

#[test]
fn shutdown_drops_what_has_not_started_and_waits_for_what_has() {
    let pool = Arc::new(BlockingPool::new(limits(1, 8)));
    let gates = occupy(&pool, 1);
    let (sender, outcome) = mpsc::channel::<()>();
    pool.spawn(Box::new(move || sender.send(()).unwrap())).unwrap();

    let waiting = Arc::clone(&pool);
    let shutdown = thread::spawn(move || shut_down(&waiting));
    assert_eq!(outcome.recv_timeout(PATIENCE), Err(mpsc::RecvTimeoutError::Disconnected), "dropped, not run");
    assert!(!shutdown.is_finished());

    drop(gates);
    shutdown.join().unwrap();
    assert_eq!(pool.stats(), BlockingStats { completed: 1, discarded: 1, ..BlockingStats::default() });
    assert_eq!(pool.shutdown(Duration::ZERO), 0, "a second one has nothing to do");
}

#[test]
fn shutdown_counts_what_outlasts_it() {
    let pool = BlockingPool::new(limits(4, 8));
    let shared = Arc::downgrade(&pool.shared);
    let gates = occupy(&pool, 3);
    assert_eq!(pool.shutdown(Duration::from_millis(20)), 3);
    assert_eq!(pool.stats().running, 3);
    drop(gates);
    shut_down(&pool);
    drop(pool);
    wait_for_threads_to_end(&shared);
}

#[test]
fn after_shutdown_jobs_are_refused_and_dropped() {
    let pool = BlockingPool::new(BlockingLimits::default());
    assert_eq!(pool.shutdown(Duration::ZERO), 0);
    let (sender, outcome) = mpsc::channel::<()>();
    let error = pool.spawn(Box::new(move || sender.send(()).unwrap())).unwrap_err();
    assert!(matches!(error, BlockingError::ShutDown), "{error}");
    assert_eq!(outcome.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    assert_eq!(pool.stats(), BlockingStats { refused: 1, ..BlockingStats::default() });
}

#[test]
fn idle_threads_but_the_last_end_and_new_ones_take_their_place() {
    let keep_alive = Duration::from_millis(20);
    let pool = BlockingPool::new(BlockingLimits { keep_alive, ..limits(4, 4) });
    for round in 1..=3 {
        drop(occupy(&pool, 4));
        wait_for(&pool, "idle threads to end", |stats| stats.threads == 1);
        assert_eq!(pool.stats().completed, 4 * round);
    }
    assert_eq!(pool.shared.lock().threads_started, 10);
}

/// Threads that time out race with jobs that count on them; each job must run all the same.
#[test]
fn a_job_that_meets_a_thread_about_to_end_is_not_lost() {
    let pool = BlockingPool::new(BlockingLimits { keep_alive: Duration::from_micros(50), ..limits(2, 8) });
    for round in 1..=500 {
        // Two at once, for a thread that is alone does not end.
        pool.spawn(Box::new(|| {})).unwrap();
        pool.spawn(Box::new(|| {})).unwrap();
        wait_until("completion", || pool.stats().completed == 2 * round);
        thread::sleep(Duration::from_micros(round % 100));
    }
}

#[test]
fn dropping_the_pool_ends_its_threads() {
    let pool = BlockingPool::new(limits(4, 4));
    let shared = Arc::downgrade(&pool.shared);
    drop(occupy(&pool, 4));
    wait_for(&pool, "four idle threads", |stats| stats.threads == 4 && stats.running == 0);
    drop(pool);
    wait_for_threads_to_end(&shared);
}

#[test]
fn dropping_the_pool_drops_what_has_not_started_and_leaves_what_has() {
    let pool = BlockingPool::new(limits(2, 4));
    let shared = Arc::downgrade(&pool.shared);
    let gates = occupy(&pool, 2);
    let (sender, outcome) = mpsc::channel::<()>();
    pool.spawn(Box::new(move || sender.send(()).unwrap())).unwrap();
    drop(pool);
    assert_eq!(outcome.try_recv(), Err(mpsc::TryRecvError::Disconnected), "dropped, not run");
    assert_eq!(shared.strong_count(), 2, "running jobs go on");
    drop(gates);
    wait_for_threads_to_end(&shared);
}

/// Looks at the pool when it is dropped, which hangs if that happens with the mutex held.
struct LooksBack(Arc<BlockingPool>);

impl Drop for LooksBack {
    fn drop(&mut self) {
        self.0.stats();
    }
}

#[test]
fn jobs_are_dropped_and_run_without_the_mutex() {
    let pool = Arc::new(BlockingPool::new(limits(1, 1)));
    let job = || -> Job {
        let looks_back = LooksBack(Arc::clone(&pool));
        Box::new(move || drop(looks_back))
    };
    let gates = occupy(&pool, 1);
    pool.spawn(job()).unwrap();
    assert!(matches!(pool.spawn(job()), Err(BlockingError::QueueFull { .. })));
    drop(gates);
    wait_for(&pool, "completion", |stats| stats.completed == 2);

    let gates = occupy(&pool, 1);
    pool.spawn(job()).unwrap();
    assert_eq!(pool.shutdown(Duration::ZERO), 1);
    assert_eq!(pool.stats().discarded, 1);
    assert!(matches!(pool.spawn(job()), Err(BlockingError::ShutDown)));
    drop(gates);
    shut_down(&pool);
}

#[test]
fn a_job_that_panics_when_dropped_does_not_stop_a_shutdown() {
    let pool = BlockingPool::new(limits(1, 8));
    let gates = occupy(&pool, 1);
    let (sender, outcome) = mpsc::channel::<()>();
    let grenade = Grenade;
    pool.spawn(Box::new(move || drop(grenade))).unwrap();
    pool.spawn(Box::new(move || drop(sender))).unwrap();
    assert_eq!(pool.shutdown(Duration::ZERO), 1);
    assert_eq!(outcome.try_recv(), Err(mpsc::TryRecvError::Disconnected), "the one behind it is dropped too");
    assert_eq!(pool.stats().discarded, 2);
    drop(gates);
    shut_down(&pool);
}

#[test]
fn a_job_may_spawn_another() {
    let pool = Arc::new(BlockingPool::new(limits(1, 1)));
    let (sender, outcome) = mpsc::channel();
    let inner = Arc::clone(&pool);
    pool.spawn(Box::new(move || inner.spawn(Box::new(move || sender.send(()).unwrap())).unwrap())).unwrap();
    outcome.recv_timeout(PATIENCE).unwrap();
    wait_for(&pool, "completion", |stats| stats.completed == 2);
}

#[test]
fn no_thread_at_all_is_an_error_and_too_few_are_not() {
    fn refuse(_: Arc<Shared>, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }
    let mut pool = BlockingPool::with_start_thread(limits(4, 1), Vec::new(), refuse);
    let error = pool.spawn(Box::new(|| {})).unwrap_err();
    assert!(
        matches!(&error, BlockingError::ThreadStart(source) if source.kind() == io::ErrorKind::WouldBlock)
    );
    let expected = BlockingStats { refused: 1, thread_start_failures: 1, ..BlockingStats::default() };
    assert_eq!(pool.stats(), expected);

    pool.start_thread = start_thread;
    let gates = occupy(&pool, 1);
    pool.start_thread = refuse;
    pool.spawn(Box::new(|| {})).expect("the one thread will come for it");
    assert!(matches!(pool.spawn(Box::new(|| {})), Err(BlockingError::QueueFull { .. })));
    drop(gates);
    wait_for(&pool, "completion", |stats| stats.completed == 2);
    assert_eq!(pool.stats().thread_start_failures, 3);
}

#[test]
fn every_job_of_many_spawners_is_accounted_for() {
    const SPAWNERS: usize = 4;
    const JOBS: usize = 2000;
    let pool = BlockingPool::new(limits(3, 5));
    let ran = Arc::new(AtomicUsize::new(0));
    let accepted: usize = thread::scope(|scope| {
        let spawn_all = || {
            let mut accepted = 0;
            for _ in 0..JOBS {
                let ran = Arc::clone(&ran);
                let job = Box::new(move || {
                    ran.fetch_add(1, Ordering::Relaxed);
                });
                accepted += usize::from(pool.spawn(job).is_ok());
                let stats = pool.stats();
                assert!(stats.threads <= 3);
                assert!(stats.queued <= 5 + stats.threads - stats.running, "{stats:?}");
            }
            accepted
        };
        let spawners: Vec<_> = (0..SPAWNERS).map(|_| scope.spawn(spawn_all)).collect();
        spawners.into_iter().map(|spawner| spawner.join().unwrap()).sum()
    });
    wait_for(&pool, "completion", |stats| stats.completed == accepted as u64);
    assert_eq!(ran.load(Ordering::Relaxed), accepted);
    assert_eq!(pool.stats().refused, (SPAWNERS * JOBS - accepted) as u64);
    shut_down(&pool);
}
