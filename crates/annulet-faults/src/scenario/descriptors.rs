//! Too few descriptors, then enough: who cannot be accepted waits, and nobody is turned away.

use crate::crowd::Crowd;
use crate::machine;
use crate::round::{Round, Tolerance};

/// Connections at a time that clients ask for: more than there are descriptors for.
const WORKERS: u32 = 64;

pub(super) fn play(round: &mut Round) -> anyhow::Result<()> {
    let app = round.any_app();
    // A multishot accept goes by the limit there was when it was armed: there must be too few from the start.
    let limit = round.random.within(40..=80);
    let limits = machine::limited(&[format!("--nofile={limit}:{limit}")]).map_err(anyhow::Error::msg)?;
    let launch = round.launch(app).prefix(limits).arguments(&["--max-connections", "1000"]);
    let mut served = round.serve(&launch)?;
    let mut orders = round.client(&served);
    orders.workers = WORKERS;
    let crowd = Crowd::start(&orders)?;
    while round.goes_on() {
        let used = served.server.descriptors().count() as u64;
        let fewer = round.random.within(used / 2..=used + 4).min(limit);
        let before = served.server.limit_descriptors(fewer)?;
        round.pause(1..=400);
        served.server.limit_descriptors(before)?;
        round.pause(1..=200);
    }
    let paused = served.server.counters()?.get("accept_paused");
    round.fault(paused);
    round.finish(&mut served, crowd, Tolerance::Nothing)?;
    round.settle(served, Tolerance::Nothing)
}
