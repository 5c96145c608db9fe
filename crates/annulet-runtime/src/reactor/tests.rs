//! The reactor against a script: turns, budgets, timers and tasks without a kernel and without real time.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use annulet_driver::scripted::{Script, ScriptedDriver};

use super::*;
use crate::audit::Audit;
use crate::time::{interval, sleep, timeout};
use crate::yield_now;

fn reactor() -> (Reactor, Script) {
    let (driver, script) = ScriptedDriver::new();
    (Reactor::new(ReactorId(0), Box::new(driver), Park::Block), script)
}

/// A reactor whose sleeps end at once, for tests that wait for nothing but, perhaps, other threads.
fn restless() -> Reactor {
    let (driver, script) = ScriptedDriver::new();
    // Not by the inbox: that wakes nobody when another thread is about to.
    let unpark = driver.unparker();
    script.when_idle(move |_| unpark.unpark());
    Reactor::new(ReactorId(0), Box::new(driver), Park::Block)
}

/// A reactor that is stepped.
fn stepped() -> (Reactor, Script) {
    let (driver, script) = ScriptedDriver::new();
    (Reactor::new(ReactorId(0), Box::new(driver.returning()), Park::Block), script)
}

fn turns(reactor: &Reactor, count: u32) {
    (0..count).for_each(|_| reactor.turn().expect("turn"));
}

/// Ends a reactor that still has tasks, which hold it as it holds them.
fn end(reactor: &Reactor) {
    let report = reactor.shut_down(Duration::ZERO);
    assert!(report.is_clean(), "{report}");
}

type Log<T> = Rc<RefCell<Vec<T>>>;

#[test]
fn tasks_run_in_the_order_they_were_woken() {
    let (reactor, _script) = reactor();
    let log: Log<u32> = Rc::default();
    for n in 0..10 {
        let log = log.clone();
        reactor.spawn_detached(async move { log.borrow_mut().push(n) });
    }
    turns(&reactor, 1);
    assert_eq!(*log.borrow(), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_task_woken_twice_runs_once() {
    let (reactor, _script) = reactor();
    let polls = Rc::new(Cell::new(0));
    let counted = polls.clone();
    reactor.spawn_detached(poll_fn(move |cx| {
        counted.set(counted.get() + 1);
        if counted.get() == 1 {
            cx.waker().wake_by_ref();
            cx.waker().wake_by_ref();
        }
        Poll::<()>::Pending
    }));
    turns(&reactor, 1);
    assert_eq!(polls.get(), 2);
    end(&reactor);
}

#[test]
fn tasks_that_never_wait_do_not_keep_the_turn_from_ending() {
    let (reactor, _script) = reactor();
    reactor.spawn_detached(async {
        loop {
            yield_now().await;
        }
    });
    turns(&reactor, 3);
    assert_eq!(reactor.counters().budget_exhausted.get(), 3);
    assert_eq!(reactor.counters().tasks_polled.get(), u64::from(3 * TASKS_PER_TURN_MAX));
    end(&reactor);
}

#[test]
fn slow_tasks_end_the_turn_by_time() {
    let (reactor, script) = reactor();
    script.set_clock_step(Duration::from_millis(1));
    for _ in 0..1000 {
        reactor.spawn_detached(async {});
    }
    script.advance(TASK_TIME_PER_TURN_MAX);
    turns(&reactor, 1);
    assert!(reactor.counters().tasks_polled.get() < 1000);
    end(&reactor);
}

#[test]
fn an_operation_that_is_always_ready_yields_when_its_budget_is_used_up() {
    let (reactor, _script) = reactor();
    let taken = Rc::new(Cell::new(0_u32));
    let counted = taken.clone();
    let inner = reactor.clone();
    reactor.spawn_detached(poll_fn(move |cx| {
        while inner.poll_budget(cx).is_ready() {
            counted.set(counted.get() + 1);
        }
        if counted.get() >= 3 * OPERATIONS_PER_POLL_MAX { Poll::Ready(()) } else { Poll::Pending }
    }));
    let others = Rc::new(Cell::new(false));
    let ran = others.clone();
    reactor.spawn_detached(async move { ran.set(true) });
    turns(&reactor, 1);
    assert_eq!(taken.get(), 3 * OPERATIONS_PER_POLL_MAX);
    assert!(others.get());
}

#[test]
fn timers_fire_in_order_and_never_early() {
    let (reactor, script) = reactor();
    let log: Log<(u64, Instant)> = Rc::default();
    let start = reactor.now();
    for milliseconds in [30, 10, 20, 0] {
        let log = log.clone();
        let nap = reactor.enter(|| sleep(Duration::from_millis(milliseconds)));
        reactor.spawn_detached(async move {
            nap.await;
            log.borrow_mut().push((milliseconds, crate::time::now()));
        });
    }
    turns(&reactor, 4);
    assert_eq!(log.borrow().iter().map(|(ms, _)| *ms).collect::<Vec<_>>(), [0, 10, 20, 30]);
    for (milliseconds, fired) in log.borrow().iter() {
        assert!(*fired - start >= Duration::from_millis(*milliseconds));
        assert!(*fired - start <= Duration::from_millis(*milliseconds + 1));
    }
    assert_eq!(script.clock(), reactor.now(), "the clock jumped from deadline to deadline");
}

#[test]
fn a_dropped_sleep_disarms_its_timer() {
    let (reactor, _script) = reactor();
    let nap = reactor.enter(|| sleep(Duration::from_secs(5)));
    let task = reactor.spawn_local(async move {
        let mut nap = nap;
        poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut nap).poll(cx))).await.is_pending()
    });
    turns(&reactor, 1);
    assert!(task.is_finished());
    assert!(reactor.core().timers.borrow().is_empty());
}

#[test]
fn a_timeout_prefers_the_output_to_the_clock() {
    let (reactor, _script) = reactor();
    let log: Log<bool> = Rc::default();
    let notes = log.clone();
    reactor.spawn_detached(async move {
        let late = timeout(Duration::from_secs(1), pending::<()>()).await.is_err();
        let ready = timeout(Duration::ZERO, async {}).await.is_ok();
        notes.borrow_mut().extend([late, ready]);
    });
    turns(&reactor, 2);
    assert_eq!(*log.borrow(), [true, true]);
}

#[test]
fn an_interval_ticks_at_its_period() {
    let (reactor, script) = reactor();
    let ticks: Log<Instant> = Rc::default();
    let notes = ticks.clone();
    reactor.spawn_detached(async move {
        let mut interval = interval(Duration::from_millis(10));
        for _ in 0..4 {
            let due = interval.tick().await;
            notes.borrow_mut().push(due);
        }
    });
    turns(&reactor, 4);
    let ticks = ticks.borrow();
    assert!(ticks.windows(2).all(|pair| pair[1] - pair[0] == Duration::from_millis(10)), "{ticks:?}");
    assert!(script.clock() >= ticks[3]);
}

#[test]
fn a_handle_gives_output_panic_or_cancellation() {
    let reactor = restless();
    let output = reactor.spawn_local(async { 7 });
    let panics = reactor.spawn_local(async { panic!("on purpose") });
    let aborted = reactor.spawn_local(pending::<()>());
    aborted.abort();
    let log: Log<String> = Rc::default();
    let notes = log.clone();
    reactor.spawn_detached(async move {
        let (output, panic, aborted) = (output.await, panics.await, aborted.await);
        let panic: Result<(), _> = panic;
        notes.borrow_mut().push(format!("{output:?} {panic:?} {aborted:?}"));
    });
    turns(&reactor, 2);
    assert_eq!(
        *log.borrow(),
        [r#"Ok(7) Err(JoinError::Panic("on purpose")) Err(JoinError::Cancelled)"#.to_owned()]
    );
    assert_eq!(reactor.counters().tasks_live.get(), 0);
    assert_eq!(reactor.counters().tasks_panicked.get(), 1);
}

#[test]
fn a_dropped_handle_detaches_and_an_abort_after_the_end_changes_nothing() {
    let reactor = restless();
    let done = Rc::new(Cell::new(false));
    let set = done.clone();
    drop(reactor.spawn_local(async move {
        yield_now().await;
        set.set(true);
    }));
    let ended = reactor.spawn_local(async { 1 });
    turns(&reactor, 2);
    assert!(done.get());
    ended.abort();
    let value = Rc::new(Cell::new(0));
    let got = value.clone();
    reactor.spawn_detached(async move { got.set(ended.await.expect("it had ended")) });
    turns(&reactor, 1);
    assert_eq!(value.get(), 1);
}

#[test]
fn a_wake_from_another_thread_is_taken_in() {
    let reactor = restless();
    let (tell, told) = std::sync::mpsc::channel::<Waker>();
    let finished = Rc::new(Cell::new(false));
    let set = finished.clone();
    let mut polled = false;
    reactor.spawn_detached(poll_fn(move |cx| {
        if std::mem::replace(&mut polled, true) {
            set.set(true);
            return Poll::Ready(());
        }
        tell.send(cx.waker().clone()).expect("the thread waits");
        Poll::Pending
    }));
    turns(&reactor, 1);
    std::thread::spawn(move || told.recv().expect("a waker").wake()).join().expect("thread");
    assert!(reactor.inbox().has_work());
    turns(&reactor, 1);
    assert!(finished.get());
}

#[test]
fn no_wake_from_other_threads_is_lost_however_many_come_at_once() {
    const THREADS: u64 = 4;
    const WAKES: u64 = 5_000;
    let reactor = restless();
    let written: Arc<AtomicU64> = Arc::default();
    let seen: Rc<Cell<u64>> = Rc::default();
    let (tell, told) = std::sync::mpsc::channel::<Waker>();
    let (read, note, mut tell) = (written.clone(), seen.clone(), Some(tell));
    reactor.spawn_detached(poll_fn(move |cx| {
        // Relaxed: it is the wake-up that must make the value visible.
        note.set(read.load(Ordering::Relaxed));
        if let Some(tell) = tell.take() {
            tell.send(cx.waker().clone()).expect("the threads wait");
        }
        if note.get() == THREADS * WAKES { Poll::Ready(()) } else { Poll::Pending }
    }));
    turns(&reactor, 1);
    let waker = told.recv().expect("a waker");
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (waker, written) = (waker.clone(), written.clone());
            std::thread::spawn(move || {
                for _ in 0..WAKES {
                    written.fetch_add(1, Ordering::Relaxed);
                    waker.wake_by_ref();
                    drop(waker.clone());
                }
            })
        })
        .collect();
    while !threads.iter().all(std::thread::JoinHandle::is_finished) {
        turns(&reactor, 1);
    }
    turns(&reactor, 1);
    assert_eq!(seen.get(), THREADS * WAKES);
    assert_eq!(reactor.counters().tasks_live.get(), 0);
}

#[test]
fn a_task_that_ended_is_freed_by_its_last_waker_wherever_that_is() {
    let reactor = restless();
    let (tell, told) = std::sync::mpsc::channel::<Waker>();
    let alive: Arc<()> = Arc::default();
    let kept = alive.clone();
    reactor.spawn_detached(poll_fn(move |cx| {
        let _kept = &kept;
        tell.send(cx.waker().clone()).expect("the test listens");
        Poll::Ready(())
    }));
    turns(&reactor, 1);
    assert_eq!(Arc::strong_count(&alive), 1, "the future goes when it ends");
    let waker = told.recv().expect("a waker");
    std::thread::spawn(move || {
        waker.wake_by_ref();
        drop(waker);
    })
    .join()
    .expect("thread");
    // What it left in the inbox is a task that ended: nothing to run.
    let polled = reactor.counters().tasks_polled.get();
    turns(&reactor, 1);
    assert_eq!(reactor.counters().tasks_polled.get(), polled);
}

#[test]
fn a_reactor_may_be_shut_down_by_one_of_its_tasks() {
    let (reactor, _script) = reactor();
    let inner = reactor.clone();
    let dropped = Rc::new(());
    let kept = dropped.clone();
    reactor.spawn_detached(async move {
        let _kept = kept;
        pending::<()>().await;
    });
    reactor.spawn_detached(async move {
        let report = inner.shut_down(Duration::ZERO);
        assert_eq!(report.tasks, 1, "this one");
    });
    turns(&reactor, 1);
    assert_eq!(Rc::strong_count(&dropped), 1);
    assert_eq!(reactor.counters().tasks_live.get(), 0);
    assert_eq!(reactor.counters().tasks_panicked.get(), 0);
}

#[test]
fn messages_run_on_the_reactor_in_order_and_are_bounded() {
    let reactor = restless();
    let inbox = reactor.inbox().clone();
    let (tell, told) = std::sync::mpsc::channel();
    for n in 0..3 {
        let tell = tell.clone();
        inbox.push_message(Box::new(move |_| tell.send(n).expect("the test listens"))).expect("room");
    }
    turns(&reactor, 1);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    let refused = (0..=crate::inbox::MESSAGES_MAX).filter(|_| inbox.push_message(Box::new(|_| ())).is_err());
    assert_eq!(refused.count(), 1);
    reactor.shut_down(Duration::ZERO);
    assert_eq!(inbox.push_message(Box::new(|_| ())), Err(crate::SendError::Closed));
}

#[test]
fn a_reactor_that_ends_drops_every_task_even_those_spawned_by_destructors() {
    struct SpawnsWhenDropped(Rc<Cell<u32>>);
    impl Drop for SpawnsWhenDropped {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            if self.0.get() == 1 {
                let other = SpawnsWhenDropped(self.0.clone());
                Reactor::current().spawn_detached(async move {
                    let _other = other;
                    pending::<()>().await;
                });
            }
        }
    }
    let (reactor, _script) = reactor();
    let dropped = Rc::new(Cell::new(0));
    let guard = SpawnsWhenDropped(dropped.clone());
    reactor.spawn_detached(async move {
        let _guard = guard;
        pending::<()>().await;
    });
    turns(&reactor, 1);
    end(&reactor);
    assert_eq!(dropped.get(), 2);
}

#[test]
fn a_waker_that_outlives_its_reactor_does_nothing() {
    let (reactor, _script) = reactor();
    let kept: Rc<RefCell<Option<Waker>>> = Rc::default();
    let keep = kept.clone();
    reactor.spawn_detached(poll_fn(move |cx| {
        keep.borrow_mut().replace(cx.waker().clone());
        Poll::<()>::Pending
    }));
    turns(&reactor, 1);
    end(&reactor);
    kept.take().expect("polled").wake();
}

#[test]
fn a_stalled_turn_is_counted() {
    let (reactor, script) = reactor();
    let slow = script.clone();
    reactor.spawn_detached(async move { slow.advance(STALL) });
    turns(&reactor, 1);
    assert_eq!(reactor.counters().stalls.get(), 1);
}

#[test]
fn a_step_returns_where_a_turn_would_sleep_and_is_the_same_turn_until_it_wakes() {
    let (reactor, script) = stepped();
    let nap = reactor.enter(|| sleep(Duration::from_millis(10)));
    let task = reactor.spawn_local(nap);
    assert_eq!(reactor.step().expect("step"), Step::Ran, "the task is new");
    let steps_asleep = |count| {
        for _ in 0..count {
            assert_eq!(reactor.step().expect("step"), Step::Asleep);
        }
        (reactor.counters().turns.get(), reactor.counters().parks.get())
    };
    assert_eq!(steps_asleep(3), (2, 1));
    script.advance(Duration::from_millis(9));
    assert_eq!(steps_asleep(1), (2, 1));
    assert_ne!(reactor.now(), script.clock(), "the time is that of the last turn that ran");
    script.advance(Duration::from_millis(1));
    assert_eq!(reactor.step().expect("step"), Step::Ran);
    assert!(task.is_finished());
    assert_eq!(reactor.now(), script.clock());
    assert_eq!(steps_asleep(1), (3, 2));
    end(&reactor);
}

#[test]
fn work_left_for_a_stepped_reactor_wakes_its_driver_once_for_each_sleep() {
    let (reactor, _script) = stepped();
    let (tell, told) = std::sync::mpsc::channel();
    let unparks = || reactor.driver_counters().unparks.get();
    for round in 1..=3 {
        assert_eq!(reactor.step().expect("step"), Step::Asleep);
        assert_eq!(reactor.step().expect("step"), Step::Asleep, "the announcement stays in force");
        for n in 0..2 {
            let tell = tell.clone();
            let message = Box::new(move |_: &Reactor| tell.send(n).expect("the test listens"));
            reactor.inbox().push_message(message).expect("room");
        }
        assert!(!reactor.driver(|driver| driver.is_asleep()));
        assert_eq!(reactor.step().expect("step"), Step::Ran);
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [0, 1]);
        assert_eq!(unparks(), round);
    }
    // Awake it needs no waking: it looks before it sleeps.
    let inbox = reactor.inbox().clone();
    reactor.spawn_detached(async move { inbox.push_message(Box::new(|_| ())).expect("room") });
    for expected in [Step::Ran, Step::Ran, Step::Asleep] {
        assert_eq!(reactor.step().expect("step"), expected);
    }
    assert_eq!(unparks(), 3);
}

fn violations(reactor: &Reactor) -> Vec<String> {
    let mut audit = Audit::default();
    reactor.audit(&mut audit);
    audit.violations
}

#[test]
fn an_audit_finds_what_a_sleeper_was_not_woken_for() {
    let (reactor, script) = stepped();
    assert_eq!(reactor.step().expect("step"), Step::Asleep);
    assert_eq!(violations(&reactor), [""; 0]);
    reactor.inbox().push_message(Box::new(|_| ())).expect("room");
    assert_eq!(violations(&reactor), [""; 0], "its driver was woken");
    assert_eq!(reactor.step().expect("step"), Step::Ran);

    assert_eq!(reactor.step().expect("step"), Step::Asleep);
    // The announcement of sleep is lost, and with it the wake-up.
    reactor.inbox().awake();
    reactor.inbox().push_message(Box::new(|_| ())).expect("room");
    assert_eq!(violations(&reactor), ["reactor 0: sleeps, and whoever rang did not wake it"]);
    assert_eq!(reactor.step().expect("step"), Step::Asleep, "that is how it shows");
    reactor.driver(|driver| driver.unparker()).unpark();
    assert_eq!(reactor.step().expect("step"), Step::Ran);

    assert_eq!(reactor.step().expect("step"), Step::Asleep);
    let nap = reactor.enter(|| sleep(Duration::from_secs(1)));
    reactor.spawn_detached(nap);
    reactor.arm_timer(script.clock() + Duration::from_secs(1), SourceId::split(annulet_driver::Token(0)).0);
    assert_eq!(
        violations(&reactor),
        ["reactor 0: sleeps, with tasks that are ready", "reactor 0: sleeps beyond its next timer"]
    );
    end(&reactor);
}

#[test]
fn an_audit_counts_tasks_and_sources() {
    struct Idle;
    impl Source for Idle {
        fn complete(self: Rc<Self>, _: &Reactor, _: u32, _: annulet_driver::Outcome, _: bool) {}
        fn release(self: Rc<Self>, _: &Reactor) {}
        fn audit(&self, audit: &mut Audit) {
            audit.staged += 5;
            audit.violation("idle");
        }
    }
    let (reactor, _script) = reactor();
    let source = reactor.register(Rc::new(Idle));
    reactor.spawn_detached(pending());
    let mut audit = Audit::default();
    reactor.audit(&mut audit);
    assert_eq!((audit.sources, audit.tasks, audit.staged, audit.unread), (1, 1, 5, 0));
    assert_eq!(audit.violations, ["reactor 0: idle"]);
    reactor.deregister(source);
    end(&reactor);
}

/// Panics once more when what was thrown is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the payload, too");
    }
}

#[test]
fn a_payload_that_panics_when_dropped_ends_with_its_task_or_message() {
    struct ThrowsBomb;
    impl Drop for ThrowsBomb {
        fn drop(&mut self) {
            std::panic::panic_any(Bomb);
        }
    }
    let reactor = restless();
    reactor.spawn_detached(async { std::panic::panic_any(Bomb) });
    reactor.spawn_detached(async {
        let _throws = ThrowsBomb;
        yield_now().await;
    });
    reactor.inbox().push_message(Box::new(|_| std::panic::panic_any(Bomb))).expect("room");
    turns(&reactor, 3);
    assert_eq!(reactor.counters().tasks_panicked.get(), 3);
    assert!(reactor.shut_down(Duration::ZERO).is_clean());
}

#[test]
fn a_future_whose_destructor_panics_is_gone_all_the_same() {
    struct Throws;
    impl Drop for Throws {
        fn drop(&mut self) {
            std::panic::panic_any(Bomb);
        }
    }
    let (reactor, _script) = reactor();
    let throws = Throws;
    reactor.spawn_detached(async move {
        let _throws = throws;
        pending::<()>().await;
    });
    turns(&reactor, 1);
    assert!(reactor.shut_down(Duration::ZERO).is_clean());
    assert_eq!(reactor.counters().tasks_panicked.get(), 1);
}

#[test]
fn a_reactor_that_has_ended_drops_what_is_spawned() {
    let (reactor, _script) = reactor();
    reactor.shut_down(Duration::ZERO);
    let kept = Rc::new(());
    let inner = kept.clone();
    let handle = reactor.spawn_local(async move {
        let _inner = inner;
        pending::<()>().await;
    });
    assert!(handle.is_finished());
    assert_eq!(Rc::strong_count(&kept), 1);
    handle.abort();
    assert_eq!(reactor.counters().tasks_spawned.get(), 0);
}

#[test]
fn a_task_that_ends_its_reactor_and_goes_on_is_dropped_with_its_poll() {
    let (reactor, _script) = reactor();
    let inner = reactor.clone();
    let kept = Rc::new(());
    let held = kept.clone();
    reactor.spawn_detached(async move {
        let _held = held;
        inner.shut_down(Duration::ZERO);
        pending::<()>().await;
    });
    turns(&reactor, 1);
    assert_eq!(Rc::strong_count(&kept), 1);
    assert_eq!(reactor.counters().tasks_live.get(), 0);
}

/// What a report says, line by line, of what leaked. Nothing in release builds.
fn told(report: &ExitReport) -> Vec<String> {
    assert!(!report.is_clean());
    let lines: Vec<_> = report.to_string().lines().skip(1).map(str::to_owned).collect();
    assert_eq!(lines.len(), report.origins.len());
    lines
}

/// Each of these in a debug build, nothing in others.
fn if_known<const N: usize>(lines: [String; N]) -> Vec<String> {
    if cfg!(debug_assertions) { lines.into() } else { Vec::new() }
}

#[test]
fn a_report_names_the_lines_that_spawned_the_tasks_that_are_left() {
    let (reactor, _script) = reactor();
    reactor.spawn_detached(pending());
    drop(reactor.spawn_local(pending::<()>()));
    reactor.enter(|| drop(crate::spawn_local(pending::<()>())));
    let (line, file) = (line!(), file!());
    // Who has it runs or drops it, and nobody has these.
    (0..3).for_each(|_| std::mem::forget(reactor.core().ready.pop()));
    let report = reactor.shut_down(Duration::ZERO);
    assert_eq!(report.tasks, 3);
    assert_eq!(
        told(&report),
        if_known([
            format!("  task spawned at {file}:{}:27", line - 1),
            format!("  task spawned at {file}:{}:18", line - 2),
            format!("  task spawned at {file}:{}:13", line - 3),
        ])
    );
}

/// A source that stays when its reactor goes.
struct Clinging(Rc<dyn Source>);

impl Source for Clinging {
    fn complete(self: Rc<Self>, _: &Reactor, _: u32, _: annulet_driver::Outcome, _: bool) {}
    fn story(&self, reactor: &Reactor) -> String {
        self.0.story(reactor)
    }
    fn release(self: Rc<Self>, _: &Reactor) {}
}

#[test]
fn a_report_names_the_lines_that_registered_the_sources_that_are_left() {
    struct Plain;
    impl Source for Plain {
        fn complete(self: Rc<Self>, _: &Reactor, _: u32, _: annulet_driver::Outcome, _: bool) {}
        fn release(self: Rc<Self>, _: &Reactor) {}
    }
    let (reactor, _script) = reactor();
    let wanted = [crate::signal::Signal::HANGUP, crate::signal::Signal(40)];
    let signals = reactor.enter(|| crate::signal::Signals::new(&wanted));
    let source = reactor.core().sources.borrow().all().remove(0);
    reactor.register(Rc::new(Clinging(source)));
    reactor.register(Rc::new(Plain));
    let (line, file) = (line!(), file!());
    // Forgotten, but released when the reactor ends: not a leak.
    std::mem::forget(signals);
    let report = reactor.shut_down(Duration::ZERO);
    assert_eq!((report.sources, report.operations), (2, 0));
    assert_eq!(
        told(&report),
        if_known([
            format!("  wait for SIGHUP, signal 40, registered at {file}:{}:13", line - 2),
            format!("  source, registered at {file}:{}:13", line - 1),
        ])
    );
}

#[test]
fn signals_are_registered_where_they_were_asked_for() {
    let (reactor, _script) = reactor();
    let _signals = reactor.enter(|| crate::signal::Signals::new(&[crate::signal::Signal::HANGUP]));
    let line = line!() - 1;
    let origins = reactor.core().sources.borrow().origins(&reactor);
    let place = origins[0].1.place.map(|place| (place.file(), place.line()));
    assert_eq!(place, cfg!(debug_assertions).then_some((file!(), line)));
    reactor.shut_down(Duration::ZERO);
}

#[test]
fn an_ended_reactor_takes_what_was_left_in_its_inbox_along() {
    let (reactor, _script) = reactor();
    let inbox = Arc::downgrade(reactor.inbox());
    let keep = Arc::new(());
    // A message that keeps the inbox it lies in.
    let (held, itself) = (keep.clone(), reactor.inbox().clone());
    reactor
        .inbox()
        .push_message(Box::new(move |_| {
            let _both = (&held, &itself);
        }))
        .expect("room");
    drop(reactor);
    assert_eq!(Arc::strong_count(&keep), 1);
    assert!(inbox.upgrade().is_none());
}

#[test]
fn a_handle_that_was_dropped_leaves_no_waker_behind() {
    let reactor = restless();
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut handle = reactor.spawn_local(pending::<()>());
    assert!(Pin::new(&mut handle).poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    drop(waker);
    assert_eq!(Arc::strong_count(&wakes), 2);
    drop(handle);
    assert_eq!(Arc::strong_count(&wakes), 1);
    reactor.shut_down(Duration::ZERO);
}

#[derive(Default)]
struct Wakes(AtomicU64);

impl std::task::Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
