//! What a failure tells, and that it tells no more than it takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use annulet::time::{sleep, timeout};
use annulet::{Clocks, Connection, Server, connect, serving};
use annulet_sim::{Check, Death, Fault, Faults, Host, LinkSettings, Sim, maybe_panic};

/// Sends back what it receives.
async fn echo(mut connection: Connection) -> annulet::HandlerResult {
    while let Some(chunk) = connection.recv().await? {
        connection.send(chunk).await?;
    }
    Ok(())
}

fn echo_server(sim: &Sim) -> Host {
    sim.host("server").start(async || {
        let _ = serving(Server::builder().clocks(Clocks::outgoing()).listen(":7000", echo)).await;
    })
}

/// A client that relies on what no network promises: that a connection lasts.
async fn naive(sim: Sim) {
    let _server = echo_server(&sim);
    sleep(Duration::from_millis(10)).await;
    let Ok(mut connection) = connect("server:7000").await else { return };
    for _ in 0..50 {
        if connection.write_all(b"some bytes").await.is_err() {
            return;
        }
        let Ok(received) = timeout(Duration::from_secs(600), connection.recv()).await else { return };
        received.expect("a connection lasts");
    }
}

#[test]
fn a_failure_takes_the_fewest_faults_and_says_where_it_was() {
    let failure =
        Check::default().named(module_path!(), "naive").try_run(naive).expect_err("the client is wrong");
    assert!(failure.what.starts_with("client panicked: "), "{failure}");
    assert!(failure.what.contains("a connection lasts"), "{failure}");
    assert!(failure.what.contains("tests/failures.rs:"), "{failure}");
    assert!(failure.faults.on().count() == 1 && failure.strikes == 1, "{failure}");
    assert_eq!(failure.latest_strikes.len(), 1);
    let text = failure.to_string();
    for part in [
        &format!("ANNULET_SEED={} cargo test -p annulet-sim naive -- --exact", failure.seed),
        &format!("Sim::builder().seed({}).faults(Faults::none().with(Fault::", failure.seed),
        "it takes 1 fault: ",
        "server",
        "bytes",
    ] {
        assert!(text.contains(part), "no '{part}' in {text}");
    }
}

#[test]
fn what_a_failure_says_it_takes_is_what_it_takes() {
    let failure = Check::default().try_run(naive).expect_err("the client is wrong");
    let (spared, at_most) = failure.faults.window();
    assert_eq!(at_most, 1);
    let again = Sim::builder().seed(failure.seed).faults(failure.faults.clone()).try_run(naive);
    assert_eq!(again.expect_err("the same").what, failure.what);
    let none = failure.faults.clone().sparing(spared).in_all_at_most(0);
    Sim::builder().seed(failure.seed).faults(none).run(naive);
}

#[test]
fn faults_that_it_does_not_take_are_left_out() {
    let wrong = async |sim: Sim| {
        let _server = echo_server(&sim);
        sleep(Duration::from_millis(10)).await;
        assert!(connect("server:7000").await.is_err(), "nobody is there");
    };
    let faults = Faults::none().with(Fault::LateCompletion, 500_000).with(Fault::Delay, 500_000);
    let failure = Sim::builder().seed(3).faults(faults).try_run(wrong).expect_err("somebody is");
    assert_eq!(failure.faults.on().count(), 0, "{failure}");
    assert!(failure.to_string().contains("it takes no fault"));
}

#[test]
fn a_panic_in_a_task_is_told_with_its_place() {
    let program = async |_| {
        let task = annulet::spawn_local(async { panic!("the reason") });
        task.await.expect("the task");
    };
    let failure = Sim::builder().try_run(program).expect_err("it panics");
    assert!(failure.what.starts_with("client panicked: the reason (at "), "{failure}");
    let failure = Sim::builder().may_panic().try_run(program).expect_err("it panics, too");
    assert!(failure.what.starts_with("client panicked: the task"), "{failure}");
    assert!(failure.panics.iter().any(|panic| panic.starts_with("the reason (at ")), "{failure}");
}

#[test]
fn waiting_for_what_never_comes_is_found_out() {
    let failure = Sim::builder().try_run(async |_| std::future::pending().await).expect_err("stuck");
    assert!(failure.what.starts_with("nothing will ever happen"), "{failure}");
    let failure = Sim::builder().patience(Duration::from_secs(60)).try_run(async |_| {
        loop {
            sleep(Duration::from_secs(1)).await;
        }
    });
    assert!(failure.expect_err("endless").what.starts_with("the program has not ended"));
}

#[test]
fn a_host_is_there_at_once() {
    Sim::builder().run(async |sim| {
        let server = echo_server(&sim);
        sim.link(
            "client",
            "server",
            LinkSettings { delay_min: Duration::from_millis(50), ..LinkSettings::LOCAL },
        );
        sleep(Duration::from_millis(1)).await;
        let before = sim.elapsed();
        drop(connect("server:7000").await.expect("somebody listens"));
        assert!(sim.elapsed() - before >= Duration::from_millis(100), "there and back");
        server.kill(Death::Killed);
        server.ended().await;
        assert!(connect("server:7000").await.is_err());
    });
}

#[test]
fn a_handler_that_panics_is_a_failure_although_its_server_goes_on() {
    let program = async |sim: Sim| {
        let _server = sim.host("server").start(async || {
            let handler = async |_: Connection| -> annulet::HandlerResult { panic!("a bug") };
            let _ = serving(Server::builder().listen(":7000", handler)).await;
        });
        sleep(Duration::from_millis(10)).await;
        let mut connection = connect("server:7000").await.expect("somebody listens");
        assert!(connection.recv().await.is_err(), "it is reset");
    };
    let failure = Sim::builder().try_run(program).expect_err("a handler panics");
    assert!(failure.what.starts_with("server panicked: a bug (at "), "{failure}");
    Sim::builder().may_panic().run(program);
}

#[test]
fn panics_that_a_seed_wants_are_no_failures() {
    let faults = Faults::none().with(Fault::HandlerPanic, 1_000_000);
    Sim::builder().faults(faults).run(async |_| {
        let task = annulet::spawn_local(async { maybe_panic() });
        assert!(task.await.expect_err("it panics").is_panic());
    });
}

#[test]
fn a_loop_that_never_waits_is_found_out() {
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    let settings = Sim::builder().step_patience(Duration::from_millis(50));
    let failure = Check::default()
        .seeds(1)
        .settings(settings)
        .try_run(async |_| {
            sleep(Duration::from_secs(1)).await;
            while !IS_OVER.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        })
        .expect_err("it never ends");
    IS_OVER.store(true, Ordering::Relaxed);
    assert!(failure.to_string().starts_with("seed 0 fails: a step has not come back"), "{failure}");
}
