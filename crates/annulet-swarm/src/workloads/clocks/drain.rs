//! A server that ends: who is in time is served, who is not is cut when the time is up.

use annulet::time::{now, sleep};
use annulet::{Connection, Connector, Error, HandlerResult, JoinHandle, Server, spawn_local};
use annulet_sim::Sim;

use super::{SLACK, Term, no_clocks, start};
use crate::draw::pattern;

pub(super) async fn case(sim: &Sim, at: &str, term: Term) {
    let server = Server::builder().clocks(no_clocks()).drain_timeout(term.limit).listen(at, serve);
    let Some(server) = start(server, term).await else { return };
    let [stubborn, polite, eager] = [0; 3].map(|_| sim.below(4));
    let mut clients = Vec::new();
    for kind in [Kind::Stubborn; 3].into_iter().take(stubborn as usize) {
        clients.push(meet(at, kind).await);
    }
    for kind in [Kind::Polite; 3].into_iter().take(polite as usize) {
        clients.push(meet(at, kind).await);
    }
    // What a Unix socket has taken is there.
    let eager = if at.starts_with("unix:") { eager } else { 0 };
    for number in 0..eager {
        clients.push(ask(at, pattern(number, sim.spread(1, 3000) as usize)).await);
    }
    let (begin, count) = (now(), clients.len() as u64);
    let report = server.stop().await;
    let took = now() - begin;
    if clients.iter().all(Result::is_ok) && stubborn > 0 {
        term.was_up_after(took);
    }
    if term.is_peaceful {
        assert_eq!(
            (report.connections, report.cut),
            (count, stubborn),
            "of those whom the end of a server met"
        );
        assert!(stubborn > 0 || took <= SLACK, "it took {took:?} to end, and nobody to wait for");
    }
    for client in clients {
        match client {
            Ok(client) => {
                let is_served = client.await.is_ok_and(|is_served| is_served);
                assert!(is_served || !term.is_peaceful, "somebody was not served to the end");
            }
            Err(error) => assert!(!term.is_peaceful, "{error}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Its handler does not end.
    Stubborn,
    /// Its handler ends when it is told to.
    Polite,
    /// Its handler sends back what it gets.
    Eager,
}

const KINDS: [Kind; 3] = [Kind::Stubborn, Kind::Polite, Kind::Eager];

async fn serve(mut connection: Connection) -> HandlerResult {
    let mut kind = [0];
    connection.read_exact(&mut kind).await?;
    match KINDS[usize::from(kind[0])] {
        Kind::Stubborn => {
            connection.send("s").await?;
            std::future::pending::<()>().await;
        }
        Kind::Polite => {
            connection.send("p").await?;
            connection.draining().await;
            connection.send("bye").await?;
        }
        Kind::Eager => {
            while let Some(chunk) = connection.recv().await? {
                connection.send(chunk).await?;
            }
        }
    }
    Ok(())
}

/// Comes before the end, and is known to be served.
async fn meet(at: &str, kind: Kind) -> std::io::Result<JoinHandle<bool>> {
    let mut connection = Connector::new().clocks(no_clocks()).connect(at).await?;
    connection.write_all(&[kind as u8]).await?;
    connection.read_exact(&mut [0]).await?;
    // Unix sockets have no reset.
    let has_reset = !at.starts_with("unix:");
    Ok(spawn_local(async move {
        match (kind, hear(&mut connection).await) {
            (Kind::Stubborn, heard) => {
                if has_reset {
                    heard.is_err()
                } else {
                    heard.is_ok_and(|heard| heard.is_empty())
                }
            }
            (_, heard) => heard.is_ok_and(|heard| heard == b"bye"),
        }
    }))
}

/// Comes at the last moment.
async fn ask(at: &str, question: Vec<u8>) -> std::io::Result<JoinHandle<bool>> {
    let mut connection = Connector::new().clocks(no_clocks()).connect(at).await?;
    connection.stage(vec![Kind::Eager as u8])?;
    connection.stage(question.clone())?;
    connection.flush().await?;
    Ok(spawn_local(async move { hear(&mut connection).await.is_ok_and(|answer| answer == question) }))
}

async fn hear(connection: &mut Connection) -> Result<Vec<u8>, Error> {
    let mut heard = Vec::new();
    while let Some(chunk) = connection.recv().await? {
        heard.extend_from_slice(&chunk);
        sleep(std::time::Duration::ZERO).await;
    }
    Ok(heard)
}
