//! What the workloads found, each under the name of what it was.

use std::time::Duration;

use annulet::time::sleep;
use annulet::{
    Clocks, Connection, DriverChoice, DriverOptions, HandlerResult, Limits, Server, connect, serving,
    spawn_local,
};
use annulet_sim::{Builder, Check, Fault, Faults, Sim, Sizes};
use annulet_swarm::Workload;

#[track_caller]
fn holds(workload: &str, seed: u64) {
    let found = Workload::named(workload).expect("a workload");
    if let Err(failure) = found.run(Check::default().range(seed..seed + 1)) {
        panic!("workload {workload}: {failure}");
    }
}

/// The audit allowed two passes of 32 buffers beyond the limit, where a pass of 64 KiB has more buffers when they are small.
/// Found by the workload `lines`.
#[test]
fn a_pass_of_small_buffers_is_no_overrun() {
    let sizes = Sizes::Given(DriverOptions::default().buffers(512).buffers_max(512).buffer_size(512));
    let settings = Builder::default().sizes(sizes);
    Check::default().seeds(10).settings(settings).faults(|_| Faults::none()).run(async |sim: Sim| {
        let _server = sim.host("server").start(async || {
            let server =
                Server::builder().limits(Limits::default().unread_max(1000)).clocks(Clocks::outgoing());
            let _ = serving(server.listen("0.0.0.0:7000", sleepy)).await;
        });
        sleep(Duration::from_millis(10)).await;
        let mut connection = connect("server:7000").await.expect("a connection");
        connection.write_all(&[b'x'; 200_000]).await.expect("taken");
        connection.shutdown().await.expect("an end");
        let mut answer = Vec::new();
        while let Some(chunk) = connection.recv().await.expect("an answer") {
            answer.extend_from_slice(&chunk);
        }
        assert_eq!(answer, b"200000");
    });
}

/// Nor did it know that copies, which are made when buffers are short, take more than the buffers did.
#[test]
fn a_pass_of_copies_is_no_overrun() {
    holds("clocks", 8192);
}

/// Counts what comes, and lets much come meanwhile.
async fn sleepy(mut connection: Connection) -> HandlerResult {
    let mut received = 0;
    sleep(Duration::from_secs(1)).await;
    while let Some(chunk) = connection.recv().await? {
        received += chunk.len();
        sleep(Duration::from_millis(1)).await;
    }
    Ok(connection.send(received.to_string()).await?)
}

/// The answer to a HEAD of which only a part had come has a body: the server gave up before it knew the method.
#[test]
fn a_head_that_is_given_up_may_be_answered_with_a_body() {
    holds("http-server", 124);
}

/// A server's start fails on the last of its listeners. Who had connected to the others was served by them and saw an orderly
/// end; now nobody is accepted before all listen, and the end of the sockets is a reset. Found by the workload `echo`.
#[test]
fn a_start_that_fails_halfway_accepts_nobody() {
    Check::default().seeds(20).faults(|_| Faults::none()).run(async |sim: Sim| {
        let _server = sim.host("server").reactors(2).start(async || {
            let first = Server::builder().listen(":7001", annulet_cli::apps::echo).start().await;
            // For as long as the second address is in use, this one waits for it: a second.
            let server = Server::builder().listen(":7000", annulet_cli::apps::echo);
            serving(server.listen(":7001", annulet_cli::apps::echo)).await.expect_err("in use");
            drop(first);
        });
        sleep(Duration::from_millis(10)).await;
        let mut connection = connect("server:7000").await.expect("it listens");
        connection.write_all(b"x").await.expect("taken");
        connection.recv().await.expect_err("neither an answer nor an end");
    });
}

/// Unix sockets have no reset: the peer of a handler that panicked sees an orderly end, unless it had sent something unread.
/// Found by the workload `unix`.
#[test]
fn a_panic_behind_a_unix_socket_looks_like_an_end() {
    Sim::builder().run(async |_| {
        let panics = async |mut connection: Connection| {
            connection.recv().await?;
            std::panic::resume_unwind(Box::new("a handler panics"));
        };
        let server = Server::builder().listen("unix:/run/panics", panics).start().await.expect("it starts");
        let client = spawn_local(async {
            let mut connection = connect("unix:/run/panics").await.expect("a connection");
            connection.write_all(b"x").await.expect("taken");
            connection.recv().await.expect("an end").is_none()
        });
        assert!(client.await.expect("it ends"));
        server.stop().await;
    });
}

/// A program that ended with bytes staged that the kernel had no room for ended their connection in order: to the peer it looked
/// as if that had been all.
#[test]
fn a_program_that_ends_in_the_middle_of_an_answer_resets_it() {
    holds("lines", 105);
    holds("command", 184);
}

/// There is no memory to watch a connection with that is to be received from. It ended in order, as if it had been served.
/// Found by the workload `lines`.
#[test]
fn what_cannot_be_received_ends_in_a_reset() {
    let settings = Builder::default().driver(DriverChoice::Epoll);
    let faults = |_| Faults::none().with(Fault::NoMemory, 200_000);
    Check::default().seeds(100).settings(settings).faults(faults).run(async |sim: Sim| {
        let _server = sim.host("server").start(async || {
            while serving(Server::builder().listen(":7000", annulet_cli::apps::echo)).await.is_err() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        for _ in 0..20 {
            sleep(Duration::from_millis(100)).await;
            let Ok(mut connection) = connect("server:7000").await else { continue };
            if connection.write_all(b"x").await.is_ok()
                && let Ok(end) = connection.recv().await
            {
                assert_eq!(end.as_deref(), Some(&b"x"[..]));
            }
        }
    });
}
