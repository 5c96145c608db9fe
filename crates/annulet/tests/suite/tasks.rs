//! Tasks and time: what a `JoinHandle` says, who runs when, and when timers fire.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::Write;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use annulet::net::{Connector, TcpListener};
use annulet::time::{MissedTicks, interval, interval_at, now, sleep, sleep_until, timeout, timeout_at};
use annulet::{Clocks, Connection, spawn_local, yield_now};

use crate::support::*;

/// What a loaded machine may add to a time.
const LATE: Duration = Duration::from_secs(10);

#[test]
fn a_handle_gives_the_tasks_output() {
    each_driver(|builder| {
        run(builder, async {
            let task = spawn_local(async { 42 });
            assert!(!task.is_finished(), "it has not run yet");
            yield_now().await;
            yield_now().await;
            assert!(task.is_finished());
            assert_eq!(task.await.expect("no panic"), 42);
        });
    });
}

#[test]
fn an_aborted_task_is_dropped_where_it_waits_and_its_handle_says_so() {
    struct Dropped(Rc<Cell<bool>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    each_driver(|builder| {
        run(builder, async {
            let dropped = Rc::new(Cell::new(false));
            let guard = Dropped(dropped.clone());
            let task = spawn_local(async move {
                sleep(Duration::MAX).await;
                drop(guard);
            });
            yield_now().await;
            yield_now().await;
            task.abort();
            let error = task.await.expect_err("aborted");
            assert!(error.is_cancelled() && !error.is_panic() && !error.is_refused());
            assert!(dropped.get());
            // Before its first poll, and after its end.
            let unpolled = spawn_local(async { unreachable!("aborted before it ran") });
            unpolled.abort();
            assert!(unpolled.await.expect_err("aborted").is_cancelled());
            let ended = spawn_local(async { 1 });
            until("its end", || ended.is_finished()).await;
            ended.abort();
            assert_eq!(ended.await.expect("it had ended"), 1);
        });
    });
}

#[test]
fn a_panic_ends_its_task_alone_and_is_in_the_handle() {
    each_driver(|builder| {
        run(builder, async {
            let neighbour = spawn_local(async {
                sleep(Duration::from_millis(5)).await;
                "well"
            });
            let panicking = spawn_local(async {
                yield_now().await;
                if now().as_nanos() > 0 {
                    std::panic::panic_any(String::from("number 7"));
                }
            });
            let error = panicking.await.expect_err("a panic");
            assert!(error.is_panic() && !error.is_cancelled());
            assert!(error.to_string().contains("number 7"), "{error}");
            assert_eq!(error.into_panic().downcast_ref::<String>().map(String::as_str), Some("number 7"));
            assert_eq!(neighbour.await.expect("no panic"), "well");
            assert_eq!(counter("tasks_panicked"), 1);
        });
    });
}

#[test]
fn a_dropped_handle_detaches_its_task() {
    each_driver(|builder| {
        run(builder, async {
            let done = Gate::new();
            let opened = done.clone();
            drop(spawn_local(async move {
                sleep(Duration::from_millis(1)).await;
                opened.open();
            }));
            done.passed().await;
        });
    });
}

#[test]
fn awaiting_a_borrowed_handle_and_giving_up_loses_nothing() {
    each_driver(|builder| {
        run(builder, async {
            let mut task = spawn_local(async {
                sleep(Duration::from_millis(20)).await;
                "there"
            });
            let mut given_up = 0;
            let output = loop {
                match timeout(Duration::from_millis(1), &mut task).await {
                    Ok(output) => break output,
                    Err(_) => given_up += 1,
                }
            };
            assert_eq!(output.expect("no panic"), "there");
            assert!(given_up > 0);
        });
    });
}

#[test]
fn tasks_run_in_the_order_they_became_ready() {
    each_driver(|builder| {
        run(builder, async {
            let order = Rc::new(RefCell::new(Vec::new()));
            let tasks: Vec<_> = (0..3)
                .map(|task| {
                    let order = order.clone();
                    spawn_local(async move {
                        for round in 0..3 {
                            order.borrow_mut().push((round, task));
                            yield_now().await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("no panic");
            }
            let expected: Vec<_> = (0..3).flat_map(|round| (0..3).map(move |task| (round, task))).collect();
            assert_eq!(*order.borrow(), expected);
        });
    });
}

/// Tasks that are always ready: timers fire and connections are served all the same.
#[test]
fn tasks_that_are_always_ready_starve_nobody() {
    each_driver(|builder| {
        run(builder, async {
            let stopped = Rc::new(Cell::new(false));
            let spinners: Vec<_> = (0..3)
                .map(|_| {
                    let stopped = stopped.clone();
                    spawn_local(async move {
                        while !stopped.get() {
                            yield_now().await;
                        }
                    })
                })
                .collect();
            let server = serve(echo).await;
            let address = address(&server);
            thread(move || {
                let mut client = connect(address);
                (0..50).for_each(|_| exchange(&mut client, b"hello"));
            })
            .await;
            for _ in 0..5 {
                sleep(Duration::from_millis(1)).await;
            }
            stopped.set(true);
            for spinner in spinners {
                spinner.await.expect("no panic");
            }
            assert!(counter("budget_exhausted") > 0);
            stop(server).await;
        });
    });
}

/// A handler whose input never ends never has to wait, and yet lets the others run.
#[test]
fn a_handler_whose_input_is_always_ready_starves_nobody() {
    each_driver(|builder| {
        run(builder, async {
            let server = serve(async |mut connection: Connection| {
                let first = connection.recv().await?.expect("bytes");
                if first[0] == b'e' {
                    connection.send(first).await?;
                    return echo(connection).await;
                }
                // Read a byte at a time: one arrival is thousands of ready operations.
                let mut byte = [0];
                while connection.read(&mut byte).await? > 0 {}
                Ok(())
            })
            .await;
            let address = address(&server);
            let done = Arc::new(AtomicBool::new(false));
            let floods: Vec<_> = (0..2)
                .map(|_| {
                    let done = done.clone();
                    thread(move || {
                        let mut client = connect(address);
                        while !done.load(Ordering::Relaxed) {
                            client.write_all(&[b'f'; 60_000]).expect("write");
                        }
                    })
                })
                .collect();
            until("a flood", || counter("bytes_received") > 1 << 20).await;
            thread(move || {
                let mut client = connect(address);
                (0..30).for_each(|_| exchange(&mut client, b"echo"));
            })
            .await;
            done.store(true, Ordering::Relaxed);
            for flood in floods {
                flood.await;
            }
            stop(server).await;
        });
    });
}

/// A future that makes every operation it can in one poll is stopped by the budget: `recv` says "not yet" though bytes
/// are there.
#[test]
fn ready_operations_use_up_a_tasks_budget() {
    each_driver(|builder| {
        run(builder, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
            let address = listener.local_addr().expect("address");
            let mut client = connect(address);
            let (stream, _) = listener.accept().await.expect("accept");
            let mut connection = stream.into_connection();
            let ran = Rc::new(Cell::new(0));
            // The end of the stream is ready for ever.
            client.write_all(b"x").expect("write");
            drop(client);
            while connection.recv().await.expect("recv").is_some() {}
            let counted = ran.clone();
            let other = spawn_local(async move {
                for _ in 0..3 {
                    counted.set(counted.get() + 1);
                    yield_now().await;
                }
            });
            let mut reads = 0_u64;
            while ran.get() < 3 {
                assert!(connection.recv().await.expect("recv").is_none());
                reads += 1;
                assert!(reads < 10_000_000, "the other task never runs");
            }
            other.await.expect("no panic");
        });
    });
}

/// Time stands still within a turn, so a sleep that is over at once must end the turn now and again.
#[test]
fn sleeping_for_no_time_at_all_starves_nobody() {
    each_driver(|builder| {
        run(builder, async {
            let stop = now() + Duration::from_millis(20);
            let sleeper = spawn_local(async move {
                while now() < stop {
                    sleep(Duration::ZERO).await;
                }
            });
            let mut late = interval_at(now(), Duration::from_nanos(1));
            while now() < stop {
                late.tick().await;
            }
            sleeper.await.expect("no panic");
        });
    });
}

#[test]
fn sleeps_end_in_the_order_of_their_deadlines_and_never_early() {
    each_driver(|builder| {
        run(builder, async {
            let start = now();
            let order = Rc::new(RefCell::new(Vec::new()));
            let sleepers: Vec<_> = [30, 5, 20, 0, 10, 25, 15]
                .into_iter()
                .map(|milliseconds| {
                    let order = order.clone();
                    spawn_local(async move {
                        let deadline = start + Duration::from_millis(milliseconds);
                        sleep_until(deadline).await;
                        assert!(now() >= deadline, "{milliseconds} ms: early by {:?}", deadline - now());
                        order.borrow_mut().push(milliseconds);
                    })
                })
                .collect();
            for sleeper in sleepers {
                sleeper.await.expect("no panic");
            }
            assert_eq!(*order.borrow(), [0, 5, 10, 15, 20, 25, 30]);
            assert!(now() - start < LATE);
        });
    });
}

#[test]
fn a_dropped_sleep_disarms_its_timer_and_a_moved_one_obeys_its_last_deadline() {
    each_driver(|builder| {
        run(builder, async {
            let fired = counter("timers_fired");
            for _ in 0..100 {
                let mut dropped = Box::pin(sleep(Duration::from_millis(1)));
                poll_fn(|cx| {
                    assert!(dropped.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
            }
            let start = now();
            let mut moved = Box::pin(sleep(Duration::from_secs(3600)));
            poll_fn(|cx| {
                assert!(moved.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            let deadline = start + Duration::from_millis(10);
            moved.as_mut().get_mut().reset(deadline);
            assert_eq!(moved.deadline(), deadline);
            moved.await;
            assert!(now() >= deadline && now() - start < LATE);
            assert!(counter("timers_fired") - fired <= 2, "dropped timers fired");
        });
    });
}

#[test]
fn a_timeout_gives_what_is_ready_in_time_and_else_drops_the_future() {
    each_driver(|builder| {
        run(builder, async {
            let limit = Duration::from_millis(20);
            assert_eq!(timeout(limit, async { 1 }).await.expect("ready"), 1);
            // Ready at once counts, however late.
            assert_eq!(timeout(Duration::ZERO, async { 2 }).await.expect("ready"), 2);
            assert_eq!(timeout_at(now(), async { 3 }).await.expect("ready"), 3);
            assert_eq!(timeout(Duration::MAX, async { 4 }).await.expect("ready"), 4);
            let held = Rc::new(());
            let theirs = held.clone();
            let start = now();
            let never = timeout(limit, async move {
                sleep(Duration::MAX).await;
                drop(theirs);
            });
            assert!(never.await.is_err());
            assert!(now() - start >= limit && now() - start < LATE);
            assert_eq!(Rc::strong_count(&held), 1);
        });
    });
}

#[test]
fn an_interval_ticks_at_multiples_of_its_period() {
    each_driver(|builder| {
        run(builder, async {
            let period = Duration::from_millis(5);
            let start = now();
            let mut ticking = interval(period);
            assert_eq!(ticking.period(), period);
            for tick in 0..5 {
                assert_eq!(ticking.tick().await, start + period * tick);
                assert!(now() >= start + period * tick);
            }
            let later = now() + Duration::from_millis(10);
            let mut ticking = interval_at(later, period);
            assert_eq!(ticking.tick().await, later);
            assert!(now() >= later);
        });
    });
}

/// What was missed while nobody looked comes at once, late, or not at all, as the policy says.
#[test]
fn missed_ticks_are_made_up_for_as_asked() {
    each_driver(|builder| {
        run(builder, async {
            let period = Duration::from_millis(20);
            for policy in [MissedTicks::Burst, MissedTicks::Delay, MissedTicks::Skip] {
                let start = now();
                let mut ticking = interval(period).missed_ticks(policy);
                assert_eq!(ticking.tick().await, start);
                sleep(period * 3 + period / 2).await;
                let late = now();
                assert_eq!(ticking.tick().await, start + period, "{policy:?}: the tick that was due comes");
                assert_eq!(now(), late, "{policy:?}: at once");
                let next = ticking.tick().await;
                let periods = (next - start).as_nanos() / period.as_nanos();
                match policy {
                    MissedTicks::Burst => {
                        assert_eq!(next, start + period * 2);
                        assert_eq!(now(), late, "the third as well");
                    }
                    MissedTicks::Delay => assert_eq!(next, late + period),
                    MissedTicks::Skip => {
                        assert_eq!(next, start + period * u32::try_from(periods).expect("few"), "a multiple");
                        assert!(next > late && next - late <= period);
                    }
                }
            }
        });
    });
}

/// A connection's clock is not at the mercy of another future's timer, nor the other way round.
#[test]
fn many_timers_of_many_kinds_fire_side_by_side() {
    each_driver(|builder| {
        run(builder, async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
            let address = listener.local_addr().expect("address").to_string();
            let clocks = Clocks::outgoing().setup(Some(Duration::from_millis(30)));
            let connector = Connector::new().clocks(clocks);
            let mut waits = Vec::new();
            for _ in 0..20 {
                let mut connection = connector.connect(&address).await.expect("connect");
                waits.push(spawn_local(async move {
                    let error = connection.recv().await.expect_err("nobody speaks");
                    assert_eq!(error, annulet::Error::Timeout(annulet::Clock::Setup));
                }));
            }
            let mut sleepers = Vec::new();
            for milliseconds in 0..100 {
                sleepers.push(spawn_local(async move {
                    let mut sleeping = pin!(sleep(Duration::from_millis(milliseconds)));
                    sleeping.as_mut().await;
                }));
            }
            for task in waits.into_iter().chain(sleepers) {
                task.await.expect("no panic");
            }
            assert_eq!(counter("timeouts_setup"), 20);
        });
    });
}
