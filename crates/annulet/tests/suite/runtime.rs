//! Runtimes: beginning, living beside each other, ending; and how other threads reach one.

use std::cell::Cell;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use annulet::driver::DriverKind;
use annulet::net::{Connector, TcpListener as AnnuletListener, TcpStream as AnnuletStream};
use annulet::signal::{Signal, Signals};
use annulet::time::{sleep, timeout};
use annulet::{
    Builder, DriverChoice, Handle, Park, ReactorId, Runtime, connect as connect_to, resolve, spawn_blocking,
    spawn_local,
};

use crate::support::*;

/// A bit of everything.
async fn busy_life() {
    let server = serve(echo).await;
    let address = address(&server);
    let clients: Vec<_> = (0..4).map(|_| thread(move || exchange(&mut connect(address), b"hello"))).collect();
    for client in clients {
        client.await;
    }
    let mut ours = connect_to(&address.to_string()).await.expect("connect");
    ours.send(b"ours").await.expect("send");
    assert_eq!(&*ours.recv().await.expect("recv").expect("bytes"), b"ours");
    assert_eq!(spawn_blocking(|| 6 * 7).await.expect("a job"), 42);
    assert!(!resolve("localhost:80").await.expect("localhost").is_empty());
    // Some things are left to the runtime's end: a task that sleeps, a connection, a job's handle.
    spawn_local(async { sleep(Duration::MAX).await });
    drop(ours);
    stop(server).await;
}

#[test]
fn runtimes_one_after_another_leave_nothing_behind() {
    isolated(|| {
        each_driver(|builder| {
            run(builder.clone().reactors(3), busy_life());
            let threads_before = threads();
            let descriptors_before = descriptors();
            let memory = Memory::now();
            for _ in 0..20 {
                run(builder.clone().reactors(3), busy_life());
            }
            // A thread that was joined may take a moment to leave the kernel's list.
            let settled = (0..1000).any(|_| {
                std::thread::sleep(Duration::from_millis(1));
                threads() <= threads_before
            });
            assert!(settled, "{} threads, {threads_before} before", threads());
            assert_eq!(descriptors(), descriptors_before);
            let grown = memory.grown();
            println!("20 runtimes of 3 reactors: memory grew by {} KiB", grown >> 10);
            assert!(grown < 4 << 20, "memory grew by {grown}");
        });
    });
}

#[test]
fn a_runtime_that_never_runs_ends_its_threads() {
    isolated(|| {
        each_driver(|builder| {
            drop(builder.clone().reactors(2).build().expect("a runtime"));
            let (threads_before, descriptors_before) = (threads(), descriptors());
            for _ in 0..5 {
                drop(builder.clone().reactors(4).build().expect("a runtime"));
            }
            let settled = (0..1000).any(|_| {
                std::thread::sleep(Duration::from_millis(1));
                threads() <= threads_before
            });
            assert!(settled, "{} threads, {threads_before} before", threads());
            assert_eq!(descriptors(), descriptors_before);
        });
    });
}

#[test]
fn two_runtimes_live_beside_each_other_and_talk() {
    each_driver(|builder| {
        run(builder.clone(), async {
            let server = serve(echo).await;
            let address = address(&server).to_string();
            let other = builder.clone();
            thread(move || {
                run(other.reactors(2), async {
                    let mut connection = connect_to(&address).await.expect("connect");
                    let mut pattern = Pattern::new(1);
                    let mut echoed = Pattern::new(1);
                    for size in [1, 100, 5_000, 60_000] {
                        connection.write_all(&pattern.take(size)).await.expect("write");
                        while echoed.position() < pattern.position() {
                            echoed.check(&connection.recv().await.expect("recv").expect("bytes"));
                        }
                    }
                });
            })
            .await;
            stop(server).await;
        });
    });
}

#[test]
fn a_panic_in_the_main_future_passes_on_and_leaves_nothing_behind() {
    isolated(|| {
        each_driver(|builder| {
            let run_and_panic = |builder: Builder| {
                let runtime = builder.reactors(2).build().expect("a runtime");
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    runtime.block_on(async {
                        let server = serve(echo).await;
                        let _client = connect(address(&server));
                        panic!("as the test asked");
                    })
                }));
                let panic = outcome.expect_err("a panic");
                assert_eq!(panic.downcast_ref::<&str>(), Some(&"as the test asked"));
            };
            run_and_panic(builder.clone());
            let descriptors_before = descriptors();
            run_and_panic(builder);
            assert_eq!(descriptors(), descriptors_before);
        });
    });
}

#[test]
fn what_was_staged_when_the_runtime_ends_is_sent() {
    each_driver(|builder| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
        let address = listener.local_addr().expect("address").to_string();
        run(builder, async {
            let mut connection = connect_to(&address).await.expect("connect");
            connection.stage(b"last words").expect("room");
            // Kept alive to the very end by a task.
            spawn_local(async move {
                sleep(Duration::MAX).await;
                drop(connection);
            });
        });
        let (mut peer, _) = listener.accept().expect("accept");
        assert_eq!(read_all(&mut peer), b"last words");
    });
}

#[test]
fn the_driver_asked_for_is_the_one_in_use() {
    for (choice, kind) in [(DriverChoice::Epoll, DriverKind::Epoll), (DriverChoice::Uring, DriverKind::Uring)]
    {
        if !drivers().contains(&choice) {
            continue;
        }
        run(Runtime::builder().driver(choice).reactors(2), async {
            let handle = Handle::current();
            assert_eq!(handle.selection().kind(), kind);
            assert_eq!(handle.reactors(), 2);
            assert!(!handle.selection().summary().is_empty());
        });
    }
}

#[test]
fn each_reactor_may_have_a_processor_of_its_own() {
    each_driver(|builder| {
        // Pinning is the thread's: not this one's, which other tests are to use.
        let pinned = builder.reactors(2).pin(true);
        std::thread::spawn(move || run(pinned, busy_life())).join().expect("a pinned runtime");
    });
}

/// Every policy, with work coming from another thread at any moment: no wake-up is lost.
#[test]
fn a_task_is_woken_from_another_thread_however_the_reactor_parks() {
    const ROUNDS: u32 = 3_000;
    each_driver(|builder| {
        for park in [Park::Block, Park::Adaptive, Park::Spin(Duration::from_micros(20))] {
            run(builder.clone().park(park), async {
                let (ping, pong) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
                let waker = Arc::new(std::sync::Mutex::new(None::<std::task::Waker>));
                let other = {
                    let (ping, pong, waker) = (ping.clone(), pong.clone(), waker.clone());
                    thread(move || {
                        for round in 1..=ROUNDS {
                            ping.store(round, Ordering::Release);
                            if let Some(waker) = waker.lock().expect("waker").take() {
                                waker.wake();
                            }
                            while pong.load(Ordering::Acquire) < round {
                                std::hint::spin_loop();
                            }
                        }
                    })
                };
                let answer = spawn_local(async move {
                    for round in 1..=ROUNDS {
                        std::future::poll_fn(|cx| {
                            *waker.lock().expect("waker") = Some(cx.waker().clone());
                            if ping.load(Ordering::Acquire) >= round {
                                std::task::Poll::Ready(())
                            } else {
                                std::task::Poll::Pending
                            }
                        })
                        .await;
                        pong.store(round, Ordering::Release);
                    }
                });
                answer.await.expect("no panic");
                other.await;
            });
        }
    });
}

#[test]
fn closures_run_on_the_reactor_they_were_sent_to_in_order() {
    each_driver(|builder| {
        run(builder.reactors(3), async {
            let handle = Handle::current();
            for reactor in (0..3).map(ReactorId) {
                let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
                let done = Gate::new();
                for number in 0..100 {
                    let (seen, done) = (seen.clone(), done.clone());
                    handle
                        .run_on(reactor, move |here| {
                            assert_eq!(here.id(), reactor);
                            seen.lock().expect("seen").push(number);
                            if number == 99 {
                                // What is spawned there runs there.
                                spawn_local(async move {
                                    sleep(Duration::from_millis(1)).await;
                                    done.open();
                                });
                            }
                        })
                        .expect("room");
                }
                done.passed().await;
                assert_eq!(*seen.lock().expect("seen"), (0..100).collect::<Vec<_>>());
            }
        });
    });
}

/// One that panics must not take its reactor down, and one for a reactor that has ended is refused.
#[test]
fn a_closure_that_panics_harms_nobody_and_one_that_comes_too_late_is_refused() {
    each_driver(|builder| {
        let handle = run(builder.reactors(2), async {
            let handle = Handle::current();
            for reactor in [ReactorId(0), ReactorId(1)] {
                handle.run_on(reactor, |_| panic!("as the test asked")).expect("room");
                let done = Gate::new();
                let opened = done.clone();
                handle.run_on(reactor, move |_| opened.open()).expect("room");
                done.passed().await;
            }
            handle
        });
        for reactor in [ReactorId(0), ReactorId(1)] {
            let never = handle.run_on(reactor, |_| unreachable!("the reactor has ended"));
            assert!(never.is_err(), "it will never run");
        }
    });
}

#[test]
fn blocking_jobs_run_beside_the_reactor_and_give_back_their_results_and_panics() {
    each_driver(|builder| {
        run(builder, async {
            let go = Gate::new();
            let waiting = go.clone();
            let job = spawn_blocking(move || {
                waiting.block();
                "done"
            });
            // The reactor is not held up by it.
            sleep(Duration::from_millis(5)).await;
            assert!(!job.is_finished());
            go.open();
            assert_eq!(job.await.expect("a job"), "done");
            let error = spawn_blocking(|| panic!("as the test asked")).await.expect_err("a panic");
            assert!(error.is_panic() && !error.is_cancelled() && !error.is_refused());
            assert_eq!(error.into_panic().downcast_ref::<&str>(), Some(&"as the test asked"));
        });
    });
}

/// As a task's handle, and tokio's: finished stays finished.
#[test]
fn a_blocking_jobs_handle_says_finished_before_and_after_it_was_awaited() {
    each_driver(|builder| {
        run(builder, async {
            let gate = Gate::new();
            let opened = gate.clone();
            let mut job = spawn_blocking(move || opened.block());
            assert!(!job.is_finished());
            gate.open();
            until("its end", || job.is_finished()).await;
            (&mut job).await.expect("a job");
            assert!(job.is_finished());
            let mut task = spawn_local(async {});
            (&mut task).await.expect("a task");
            assert!(task.is_finished());
            // A second wait would never end: it is a mistake, and says so.
            let again = spawn_local(job).await.expect_err("awaited before");
            assert!(again.is_panic());
            let again = spawn_local(task).await.expect_err("awaited before");
            assert!(again.is_panic());
        });
    });
}

/// 64 threads and 1024 jobs in the queue, as documented; the next one is refused, and all others run.
#[test]
fn the_blocking_pool_is_bounded_and_says_when_it_is_full() {
    const THREADS: usize = 64;
    const QUEUE: usize = 1024;
    each_driver(|builder| {
        run(builder, async {
            let go = Gate::new();
            let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let job = || {
                let (go, running, most) = (go.clone(), running.clone(), most.clone());
                move || {
                    let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    go.block();
                    running.fetch_sub(1, Ordering::SeqCst);
                }
            };
            let mut accepted: Vec<_> = (0..THREADS + QUEUE).map(|_| spawn_blocking(job())).collect();
            until("every thread at work", || running.load(Ordering::SeqCst) == THREADS).await;
            let refused = spawn_blocking(job()).await.expect_err("one too many");
            assert!(refused.is_refused() && !refused.is_panic());
            // A job that has not started can be called off.
            let last = accepted.pop().expect("a job");
            last.abort();
            let name = resolve("localhost:80").await.expect_err("no room for a lookup");
            assert_eq!(name.kind(), ErrorKind::ResourceBusy);
            go.open();
            for job in accepted {
                job.await.expect("an accepted job");
            }
            assert!(last.await.is_err_and(|error| error.is_cancelled()));
            assert_eq!(most.load(Ordering::SeqCst), THREADS);
            spawn_blocking(|| ()).await.expect("room again");
        });
    });
}

#[test]
fn names_and_addresses_are_resolved() {
    each_driver(|builder| {
        run(builder, async {
            assert_eq!(
                resolve("127.0.0.1:80").await.expect("literal"),
                ["127.0.0.1:80".parse().expect("address")]
            );
            assert_eq!(resolve("[::1]:80").await.expect("literal"), ["[::1]:80".parse().expect("address")]);
            let local = resolve("localhost:80").await.expect("a name");
            assert!(local.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
            for wrong in ["localhost", "localhost:", "localhost:http", ":80", "::1:80"] {
                let error = resolve(wrong).await.expect_err(wrong);
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{wrong}");
            }
        });
    });
}

#[test]
fn connecting_works_by_name_and_by_address_and_fails_with_the_reason() {
    each_driver(|builder| {
        run(builder, async {
            let listener = AnnuletListener::bind("localhost:0").await.expect("listener");
            let address = listener.local_addr().expect("address");
            let mut by_name =
                AnnuletStream::connect(&format!("localhost:{}", address.port())).await.expect("by name");
            assert_eq!(by_name.peer_addr().expect("peer"), address);
            let (mut accepted, peer) = listener.accept().await.expect("accept");
            assert_eq!(peer, by_name.local_addr().expect("local"));
            assert_ne!(accepted.number(), by_name.number());
            by_name.send(b"hello").await.expect("send");
            assert_eq!(&*accepted.recv().await.expect("recv").expect("bytes"), b"hello");
            drop(listener);
            drop((by_name, accepted));
            until("nobody listens", || std::net::TcpStream::connect(address).is_err()).await;
            let refused = connect_to(&address.to_string()).await.expect_err("refused");
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            assert_eq!(connect_to("nonsense").await.expect_err("no port").kind(), ErrorKind::InvalidInput);
            let missing = connect_to("unix:/nonexistent/socket").await.expect_err("no such file");
            assert_eq!(missing.kind(), ErrorKind::NotFound);
        });
    });
}

/// A listener whose accept queue is full drops what comes: connecting neither succeeds nor fails.
#[test]
fn connecting_ends_at_its_deadline() {
    const LIMIT: Duration = Duration::from_millis(200);
    each_driver(|builder| {
        run(builder, async {
            let full =
                socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("socket");
            full.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("bind");
            full.listen(0).expect("listen");
            let address = full.local_addr().expect("address").as_socket().expect("TCP");
            let mut fillers = Vec::new();
            let start = std::time::Instant::now();
            let error = loop {
                match Connector::new().timeout(LIMIT).connect(&address.to_string()).await {
                    Ok(connection) => fillers.push(connection),
                    Err(error) => break error,
                }
                assert!(fillers.len() < 10, "the accept queue has no end");
            };
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
            assert!(start.elapsed() >= LIMIT);
            // The same by a timeout from outside: the attempt is given up, its socket closed.
            let attempt = timeout(LIMIT / 4, connect_to(&address.to_string())).await;
            assert!(attempt.is_err());
        });
    });
}

/// Signals are the process's: one of its own.
#[test]
fn signals_reach_everybody_who_waits_and_none_is_lost() {
    isolated(|| {
        let raise = |signal: &'static str| {
            let kill = format!("kill -{signal} {}", std::process::id());
            let status = std::process::Command::new("sh").arg("-c").arg(kill).status().expect("kill");
            assert!(status.success());
        };
        each_driver(|builder| {
            run(builder.clone().reactors(2), async {
                let mut both = Signals::new(&[Signal::USER_2, Signal::HANGUP]);
                let mut one = Signals::new(&[Signal::USER_2]);
                // Given up before it came: still there for the next call.
                assert!(timeout(Duration::from_millis(1), both.recv()).await.is_err());
                raise("USR2");
                assert_eq!(both.recv().await, Signal::USER_2);
                assert_eq!(one.recv().await, Signal::USER_2);
                raise("HUP");
                assert_eq!(both.recv().await, Signal::HANGUP);
                assert!(timeout(Duration::from_millis(5), one.recv()).await.is_err());
                // On another reactor.
                let there = Gate::new();
                let (ready, seen) = (Gate::new(), there.clone());
                let listening = ready.clone();
                Handle::current()
                    .run_on(ReactorId(1), move |_| {
                        spawn_local(async move {
                            let mut signals = Signals::new(&[Signal::USER_1]);
                            listening.open();
                            assert_eq!(signals.recv().await, Signal::USER_1);
                            seen.open();
                        });
                    })
                    .expect("room");
                ready.passed().await;
                raise("USR1");
                there.passed().await;
                let interrupted = spawn_local(annulet::signal::ctrl_c());
                // Polled once, it listens.
                annulet::yield_now().await;
                annulet::yield_now().await;
                raise("INT");
                interrupted.await.expect("no panic");
                // With nobody listening any more the signal is ignored, not deadly.
                drop((both, one));
                sleep(Duration::from_millis(5)).await;
                raise("USR2");
            });
        });
    });
}

/// Extensions, tasks and their contents stay on their thread: nothing of a reactor need be `Send`.
#[test]
fn tasks_need_not_be_send() {
    each_driver(|builder| {
        run(builder, async {
            let shared = Rc::new(Cell::new(0));
            let tasks: Vec<_> = (0..10)
                .map(|number| {
                    let shared = shared.clone();
                    spawn_local(async move {
                        annulet::yield_now().await;
                        shared.set(shared.get() + number);
                        Rc::new(number)
                    })
                })
                .collect();
            for (number, task) in tasks.into_iter().enumerate() {
                assert_eq!(*task.await.expect("no panic"), number);
            }
            assert_eq!(shared.get(), 45);
        });
    });
}

/// A future that is dropped with its runtime is dropped on its own thread, and may still use the runtime.
#[test]
fn what_tasks_hold_is_dropped_on_their_thread_when_the_runtime_ends() {
    struct Watched(std::thread::ThreadId, Arc<AtomicBool>);
    impl Drop for Watched {
        fn drop(&mut self) {
            assert_eq!(std::thread::current().id(), self.0);
            // A destructor may spawn; what it spawns is dropped as well.
            spawn_local(async { unreachable!("the runtime has ended") });
            self.1.store(true, Ordering::SeqCst);
        }
    }
    each_driver(|builder| {
        let dropped: Vec<_> = (0..2).map(|_| Arc::new(AtomicBool::new(false))).collect();
        let theirs = dropped.clone();
        run(builder.reactors(2), async move {
            for (reactor, dropped) in (0..).map(ReactorId).zip(theirs) {
                let started = Gate::new();
                let opened = started.clone();
                Handle::current()
                    .run_on(reactor, move |_| {
                        let watched = Watched(std::thread::current().id(), dropped);
                        spawn_local(async move {
                            opened.open();
                            sleep(Duration::MAX).await;
                            drop(watched);
                        });
                    })
                    .expect("room");
                started.passed().await;
            }
        });
        assert!(dropped.iter().all(|dropped| dropped.load(Ordering::SeqCst)));
    });
}
