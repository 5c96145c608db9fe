//! One task with many connections, which does with all of them what it does, before it waits for any.

use std::time::Duration;

use annulet::net::TcpListener;
use annulet::time::{sleep, timeout};
use annulet::{Connection, Error, JoinHandle, connect, spawn_local};
use annulet_sim::Sim;

use super::{Life, Live};
use crate::draw::{micros, pattern, percent};

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) async fn run(sim: Sim, live: Live) {
    let Ok(listener) = TcpListener::bind("127.0.0.1:7001").await else { return };
    let accepting = spawn_local(accept(listener, live));
    if percent(&sim, 20) {
        // It stops listening while clients are on their way.
        let soon = micros(&sim, 1, 5000);
        let stopping = spawn_local(async move {
            sleep(soon).await;
            accepting.abort();
        });
        fan_out(&sim).await;
        stopping.abort();
    } else {
        fan_out(&sim).await;
        accepting.abort();
    }
}

async fn accept(listener: TcpListener, live: Live) {
    let _life: Life = live.begin();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(spawn_local(echo(stream.into_connection()))),
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn echo(mut connection: Connection) -> Result<(), Error> {
    while let Some(chunk) = connection.recv().await? {
        connection.send(chunk).await?;
    }
    Ok(())
}

/// Connects many at once, and then in rounds sends on all of them before it reads from any.
async fn fan_out(sim: &Sim) {
    let connecting: Vec<JoinHandle<_>> = (0..sim.spread(1, 150))
        .map(|_| spawn_local(async { timeout(PATIENCE, connect("127.0.0.1:7001")).await }))
        .collect();
    let mut connections = Vec::new();
    for connection in connecting {
        if let Ok(Ok(Ok(connection))) = connection.await {
            connections.push(Some(connection));
        }
    }
    for round in 0..sim.spread(1, 6) {
        let length = sim.spread(1, 600) as usize;
        for (number, place) in (0..).zip(&mut connections) {
            let Some(connection) = place else { continue };
            if connection.stage(pattern(number << 16 | round, length)).is_err() {
                *place = None;
            }
        }
        for (number, place) in (0..).zip(&mut connections) {
            let Some(connection) = place else { continue };
            let mut answer = vec![0; length];
            match timeout(PATIENCE, connection.read_exact(&mut answer)).await {
                Ok(Ok(())) => assert!(
                    answer == pattern(number << 16 | round, length),
                    "another answer in round {round}"
                ),
                // Nothing good comes after that.
                _ => *place = None,
            }
        }
    }
}
