//! The echo server and its clients, in worlds of all kinds.

use std::time::Duration;

use annulet::time::timeout;
use annulet::{Clocks, Connection, Server, ServerBuilder, connect, serving};
use annulet_sim::{Check, Faults, Sim, maybe_panic};

/// Without clocks: with them a slow client may be sent away in order, and would not know why.
fn server() -> ServerBuilder {
    Server::builder().clocks(Clocks::outgoing()).listen("0.0.0.0:7000", echo)
}

/// How long a client waits for news.
const PATIENCE: Duration = Duration::from_secs(1200);

async fn echo(mut connection: Connection) -> annulet::HandlerResult {
    while let Some(chunk) = connection.recv().await? {
        maybe_panic();
        connection.send(chunk).await?;
    }
    Ok(())
}

/// One client: what it gets back is a beginning of what it sent, and all of it if nothing failed. Returns whether it
/// did.
async fn client(sim: &Sim, number: u64) -> bool {
    let length = sim.spread(1, 60_000) as usize;
    let bytes: Vec<u8> = (0..length as u64).map(|at| (at * 7 + number) as u8).collect();
    let Ok(connection) = connect("server:7000").await else { return false };
    let (mut receive, mut send) = connection.split();
    let sent = bytes.clone();
    let sending = annulet::spawn_local(async move {
        let result = send.write_all(&sent).await;
        match result {
            Ok(()) => send.shutdown().await,
            Err(error) => Err(error),
        }
    });
    let mut received = Vec::new();
    let end = loop {
        // A peer that the network lost says nothing any more.
        match timeout(PATIENCE, receive.recv()).await {
            Ok(Ok(Some(chunk))) => received.extend_from_slice(&chunk),
            Ok(Ok(None)) => break true,
            Ok(Err(_)) | Err(_) => break false,
        }
    };
    drop(receive);
    let sent = sending.await.expect("the task ends");
    assert!(bytes.starts_with(&received), "what comes back is what was sent");
    let is_whole = end && sent.is_ok();
    // A handler that failed ends the connection by a reset: an orderly end means that all came back.
    assert!(
        !is_whole || received.len() == bytes.len(),
        "{} of {} bytes came back",
        received.len(),
        bytes.len()
    );
    is_whole
}

async fn world(sim: Sim) {
    let reactors = sim.spread(1, 3) as u32;
    let _server = sim.host("server").reactors(reactors).start(async || {
        let _ = serving(server()).await;
    });
    let clients = sim.spread(1, 20);
    let tasks: Vec<_> = (0..clients)
        .map(|number| {
            let sim = sim.clone();
            annulet::spawn_local(async move {
                annulet::time::sleep(Duration::from_micros(sim.spread(1, 1_000_000))).await;
                client(&sim, number).await
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a client ends");
    }
}

#[test]
fn without_faults_everything_comes_back() {
    let report = Sim::builder().seed(1).twice().run(async |sim: Sim| {
        let _server = sim.host("server").start(async || {
            let _ = serving(server()).await;
        });
        annulet::time::sleep(Duration::from_millis(10)).await;
        for number in 0..20 {
            assert!(client(&sim, number).await, "client {number}");
        }
    });
    assert!(report.events > 500, "{report:?}");
}

#[test]
fn whatever_fails_nobody_gets_wrong_bytes_or_waits_for_ever() {
    let totals = Check::default().seeds(200).run(world);
    println!("{} seeds, {} events, {:?}, {:016x}", totals.seeds, totals.events, totals.time, totals.hash);
    assert!(totals.events > 10_000);
}

#[test]
fn a_seed_without_faults_is_the_same_in_every_run() {
    Check::default().seeds(10).faults(|_| Faults::none()).run(world);
}
