//! A server with so many places: so many are served at once, and who leaves makes room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use annulet::time::sleep;
use annulet::{Connection, Connector, HandlerResult, Server};
use annulet_sim::Sim;

use super::{Term, no_clocks, start};

/// Longer than it takes to be served, or not.
const ANSWERED: Duration = Duration::from_millis(20);

pub(super) async fn case(sim: &Sim, at: &str, term: Term) {
    let places = sim.spread(1, 8) as usize;
    let server = Server::builder().clocks(no_clocks()).connections_max(places);
    let served = Arc::new(AtomicUsize::new(0));
    let server = server.listen(at, async move |connection| greet(connection, &served, places).await);
    let Some(server) = start(server, term).await else { return };
    let mut guests = Vec::new();
    for _ in 0..sim.spread(2, 30) {
        if sim.below(3) == 0 {
            guests.pop();
            // The server has to hear of it.
            sleep(ANSWERED).await;
        }
        let Some(guest) = visit(at).await else {
            assert!(guests.len() >= places || !term.is_peaceful, "{} of {places} are there", guests.len());
            continue;
        };
        guests.push(guest);
    }
    drop(guests);
    server.stop().await;
}

async fn greet(mut connection: Connection, served: &AtomicUsize, places: usize) -> HandlerResult {
    let _place = Place::take(served, places);
    connection.send("welcome").await?;
    while connection.recv().await?.is_some() {}
    Ok(())
}

/// Somebody is served.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(served: &'a AtomicUsize, places: usize) -> Self {
        let before = served.fetch_add(1, Ordering::Relaxed);
        assert!(before < places, "{before} are served already, of at most {places}");
        Self(served)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that is served.
async fn visit(at: &str) -> Option<Connection> {
    let mut connection = Connector::new().clocks(no_clocks()).connect(at).await.ok()?;
    connection.read_exact(&mut [0; 7]).await.ok()?;
    Some(connection)
}
