//! A peer that does not end: a connection that this side has ended lingers for as long as it may.

use std::time::Duration;

use annulet::time::{now, sleep};
use annulet::{Connection, Connector, Error, Server};
use annulet_sim::Sim;

use super::{Term, no_clocks, start};
use crate::draw::percent;

/// Longer than it takes to hear of a reset.
const ANSWERED: Duration = Duration::from_millis(3);

pub(super) async fn case(sim: &Sim, at: &str, term: Term) {
    let delay = if percent(sim, 50) { term.limit * 2 } else { Duration::ZERO };
    let server = Server::builder().clocks(no_clocks().linger(Some(term.limit)));
    let server = server.listen(at, async move |connection: Connection| {
        sleep(delay).await;
        drop(connection);
        Ok(())
    });
    let Some(server) = start(server, term).await else { return };
    let stayed = stay(at, term).await;
    assert!(stayed.is_ok() || !term.is_peaceful, "{stayed:?}");
    server.stop().await;
}

/// Is heard, if not listened to, until the time is up.
async fn stay(at: &str, term: Term) -> Result<(), Error> {
    let connector = Connector::new().clocks(no_clocks());
    let Ok(mut connection) = connector.connect(at).await else { return Err(Error::UnexpectedEnd) };
    assert!(connection.recv().await?.is_none(), "nothing was sent");
    let ended = now();
    sleep(term.limit / 2).await;
    for _ in 0..2 {
        connection.write_all(b"x").await?;
        sleep(ANSWERED).await;
    }
    connection.flush().await?;
    sleep((term.limit + super::SLACK).saturating_sub(now() - ended)).await;
    // The first of them is answered by a reset, of which the second hears, which the third is told.
    let mut is_over = false;
    for _ in 0..3 {
        is_over = connection.write_all(b"x").await.is_err();
        sleep(ANSWERED).await;
    }
    assert!(is_over || !term.is_peaceful, "it lingers for more than {:?}", term.limit);
    Ok(())
}
