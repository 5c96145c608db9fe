//! Clocks and limits: what is to end when its time is up ends then, not before, and not long after.

mod connecting;
mod drain;
mod linger;
mod places;
mod silence;
mod writing;

use std::time::Duration;

use annulet::time::{sleep, timeout};
use annulet::{Clock, Clocks, Server, ServerBuilder, spawn_local};
use annulet_sim::Sim;

use crate::draw::{millis, percent};
use crate::join;
use crate::shape::STANDSTILL_MAX;

/// Longer than any case takes.
const PATIENCE: Duration = Duration::from_secs(2000);
/// Timers are a millisecond late, and what follows from them takes some steps.
const SLACK: Duration = Duration::from_millis(5);

/// Whatever fails, nothing ends before its time. When nothing fails, nothing ends long after it.
pub(crate) async fn world(sim: Sim) {
    let inner = sim.clone();
    connecting::add_host(&sim);
    let machine = sim.host("machine").reactors(sim.spread(1, 3) as u32);
    let host = machine.start(async move || run(&inner).await);
    connecting::cut_off(&sim);
    host.ended().await;
}

async fn run(sim: &Sim) {
    let is_peaceful = percent(sim, 60);
    if is_peaceful {
        sim.end_faults();
        sleep(STANDSTILL_MAX).await;
    }
    let cases = (0..sim.spread(8, 32)).map(|number| spawn_local(case(sim.clone(), number, is_peaceful)));
    join::all(cases.collect()).await;
}

async fn case(sim: Sim, number: u64, is_peaceful: bool) {
    sleep(millis(&sim, 1, 1000)).await;
    let term = Term { limit: millis(&sim, 40, 60_000), is_peaceful };
    let at =
        if percent(&sim, 50) { format!("unix:@{number}") } else { format!("127.0.0.1:{}", 7000 + number) };
    let case = async {
        match sim.below(16) {
            0 => writing::case(&sim, &at, term).await,
            1 | 2 => linger::case(&sim, &at, term).await,
            3 | 4 => drain::case(&sim, &at, term).await,
            5 | 6 => places::case(&sim, &at, term).await,
            7 => connecting::case(term).await,
            _ => silence::case(&sim, &at, term).await,
        }
    };
    // A peer that the network lost says nothing any more.
    let is_over = timeout(PATIENCE, case).await.is_ok();
    assert!(is_over || !is_peaceful, "{at}, {term:?}: it does not end");
}

/// How long something may take.
#[derive(Clone, Copy, Debug)]
struct Term {
    limit: Duration,
    /// Nothing fails.
    is_peaceful: bool,
}

impl Term {
    /// It took so long until the time was up.
    #[track_caller]
    fn was_up_after(self, took: Duration) {
        assert!(took >= self.limit, "the time was up after {took:?} of {:?}", self.limit);
        self.was_over_after(took);
    }

    /// It took so long, perhaps less than it might have.
    #[track_caller]
    fn was_over_after(self, took: Duration) {
        assert!(
            !self.is_peaceful || took <= self.limit + SLACK,
            "it took {took:?}, with {:?} to spend",
            self.limit
        );
    }

    /// The same with another limit.
    fn of(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }
}

/// No clock but those that a case sets.
fn no_clocks() -> Clocks {
    Clocks::default().setup(None).idle(None).inactivity(None).request(None).write(None)
}

/// Starts a server; there is none when something failed.
async fn start(server: ServerBuilder, term: Term) -> Option<Server> {
    let started = server.start().await;
    assert!(started.is_ok() || !term.is_peaceful, "{started:?}");
    started.ok()
}
