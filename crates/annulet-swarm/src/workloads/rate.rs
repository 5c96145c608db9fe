//! A hundred connections with ten messages a second each, and nothing that fails: how fast worlds go.

use std::time::Duration;

use annulet::time::interval;
use annulet::{Connection, Error, Server, connect, serving, spawn_local};
use annulet_cli::apps;
use annulet_sim::{Builder, Faults, Report, Sim};

const CONNECTIONS: u64 = 100;
const PERIOD: Duration = Duration::from_millis(100);
const MESSAGE: [u8; 64] = [b'm'; 64];

/// Runs it for so long, in simulated time.
///
/// # Panics
/// When anything fails.
pub fn run(time: Duration) -> Report {
    Builder::default().faults(Faults::none()).patience(time * 2).run(async move |sim: Sim| {
        let _server = sim.host("server").start(async || {
            let _ = serving(Server::builder().listen("0.0.0.0:7000", apps::echo)).await;
        });
        annulet::time::sleep(Duration::from_millis(10)).await;
        let messages = time.as_millis() / PERIOD.as_millis();
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                spawn_local(async move {
                    let mut connection = connect("server:7000").await.expect("a connection");
                    let mut pace = interval(PERIOD);
                    for _ in 0..messages {
                        pace.tick().await;
                        exchange(&mut connection).await.expect("an answer");
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.expect("a client ends");
        }
    })
}

async fn exchange(connection: &mut Connection) -> Result<(), Error> {
    connection.write_all(&MESSAGE).await?;
    let mut answer = [0; MESSAGE.len()];
    connection.read_exact(&mut answer).await?;
    assert_eq!(answer, MESSAGE);
    Ok(())
}
