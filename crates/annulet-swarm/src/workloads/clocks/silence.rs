//! A peer that says nothing more: the clock that its silence is a matter of ends the wait, and no other.

use std::time::Duration;

use annulet::time::{Elapsed, now, sleep, timeout};
use annulet::{Clocks, Connection, Connector, Error, HandlerResult, Server};
use annulet_sim::Sim;

use super::{Clock, Term, no_clocks, start};
use crate::draw::{micros, one_of, percent};

/// What a server waits for, and how.
#[derive(Clone, Copy, Debug)]
struct Wait {
    clock: Clock,
    term: Term,
    /// It gives the wait up and goes back to it.
    is_restless: bool,
    /// It has something else to do for so long, after each message.
    is_busy_for: Duration,
    may_idle: bool,
}

pub(super) async fn case(sim: &Sim, at: &str, term: Term) {
    let clock = one_of(sim, &[Clock::Setup, Clock::Idle, Clock::Inactivity, Clock::Request]);
    let wait = Wait {
        clock,
        term,
        // A message's time goes on whatever its reader does.
        is_restless: clock != Clock::Request && percent(sim, 50),
        is_busy_for: if percent(sim, 30) { micros(sim, 1, 2_000_000) } else { Duration::ZERO },
        may_idle: clock == Clock::Idle && percent(sim, 20),
    };
    let server = Server::builder().clocks(clocks(wait));
    let server = server.listen(at, async move |connection| listen(connection, wait).await);
    let Some(server) = start(server, term).await else { return };
    fall_silent(sim, at, wait).await;
    server.stop().await;
}

/// The one that is to run out, and those beside it that are not.
fn clocks(wait: Wait) -> Clocks {
    let limit = wait.term.limit;
    let (less, more) = (Some(limit / 2), Some(limit * 16));
    let clocks = no_clocks();
    match wait.clock {
        Clock::Setup => clocks.setup(Some(limit)).idle(less).inactivity(less).request(less),
        Clock::Idle => clocks.setup(more).idle(Some(limit)).inactivity(less).request(less),
        Clock::Inactivity => clocks.idle(less).inactivity(Some(limit)).request(more),
        _ => clocks.idle(less).inactivity(less).request(Some(limit)),
    }
}

async fn listen(mut connection: Connection, wait: Wait) -> HandlerResult {
    if wait.may_idle {
        connection.allow_idling();
    }
    let (mut waited, mut is_within) = (Duration::ZERO, false);
    loop {
        let begin = now();
        let heard = match wait.is_restless {
            true => timeout(wait.term.limit / 3, connection.recv()).await,
            false => Ok(connection.recv().await),
        };
        waited += now() - begin;
        match heard {
            Err(Elapsed) => sleep(wait.term.limit).await,
            Ok(Ok(Some(_))) => match wait.clock {
                Clock::Idle => {
                    sleep(wait.is_busy_for).await;
                    waited = Duration::ZERO;
                }
                Clock::Request if is_within => {}
                _ => {
                    connection.message_started();
                    (waited, is_within) = (Duration::ZERO, true);
                }
            },
            Ok(Err(Error::Timeout(clock))) => {
                if clock == wait.clock {
                    wait.term.was_up_after(waited);
                }
                // One who is not heard may be silent.
                let is_expected = clock == wait.clock && !wait.may_idle;
                assert!(is_expected || !wait.term.is_peaceful, "{clock:?} ran out, of {wait:?}");
                return Ok(());
            }
            Ok(_) => return Ok(()),
        }
    }
}

/// Says something, perhaps, and then nothing, until the other side ends.
async fn fall_silent(sim: &Sim, at: &str, wait: Wait) {
    let limit = wait.term.limit;
    let Ok(mut connection) = Connector::new().clocks(no_clocks()).connect(at).await else {
        assert!(!wait.term.is_peaceful, "{at} is not there");
        return;
    };
    let (pieces, pause) = match wait.clock {
        Clock::Setup => (0, limit),
        Clock::Request => (16, limit / 8),
        _ if wait.may_idle => (sim.spread(1, 4), limit * 3),
        _ => (sim.spread(1, 8), limit / 4),
    };
    for _ in 0..pieces {
        if connection.write_all(b"x").await.is_err() {
            return;
        }
        sleep(pause).await;
    }
    if wait.may_idle {
        return;
    }
    let patience = limit * 16 + wait.is_busy_for * 16;
    let end = timeout(patience, connection.recv()).await;
    assert!(end.is_ok() || !wait.term.is_peaceful, "no clock runs: {wait:?}");
}
