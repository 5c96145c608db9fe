//! A peer that takes nothing more: the write clock runs from the last byte that it took.

use std::time::Duration;

use annulet::time::{now, sleep};
use annulet::{Connection, Connector, Error, HandlerResult, Server};
use annulet_sim::Sim;

use super::{Clock, Term, no_clocks, start};

/// More than fits between two connections: taking it lets the other side go on.
const MUCH: usize = 256 * 1024;

pub(super) async fn case(sim: &Sim, at: &str, term: Term) {
    let rounds = sim.spread(1, 4) as u32;
    let server = Server::builder().clocks(no_clocks().write(Some(term.limit)));
    let server = server.listen(at, async move |connection| speak(connection, term, rounds).await);
    let Some(server) = start(server, term).await else { return };
    take_some(at, term, rounds).await;
    server.stop().await;
}

async fn speak(mut connection: Connection, term: Term, rounds: u32) -> HandlerResult {
    let begin = now();
    loop {
        match connection.send(vec![b'w'; 16 * 1024]).await {
            Ok(()) => {}
            Err(Error::Timeout(clock)) => {
                assert_eq!(clock, Clock::Write);
                if term.is_peaceful {
                    let taking = term.limit / 2 * rounds;
                    let took = now() - begin;
                    assert!(took >= taking, "the time was up after {took:?}, and {taking:?} of taking");
                    term.of(term.limit + taking + Duration::from_millis(100)).was_over_after(took);
                }
                return Ok(());
            }
            Err(_) => return Ok(()),
        }
    }
}

/// Takes much now and then, then nothing, and stays until the other side gives up.
async fn take_some(at: &str, term: Term, rounds: u32) {
    let Ok(mut connection) = Connector::new().clocks(no_clocks()).connect(at).await else {
        assert!(!term.is_peaceful, "{at} is not there");
        return;
    };
    for _ in 0..rounds {
        sleep(term.limit / 2).await;
        let mut taken = 0;
        while taken < MUCH {
            match connection.recv().await {
                Ok(Some(chunk)) => taken += chunk.len(),
                end => {
                    assert!(!term.is_peaceful, "{end:?} while bytes are taken");
                    return;
                }
            }
        }
    }
    sleep(term.limit * 3).await;
}
