//! Server and clients stopped and continued: time passes, and nothing else may.

use rustix::process::Signal;

use crate::crowd::Crowd;
use crate::round::{Round, Tolerance};

pub(super) fn play(round: &mut Round) -> anyhow::Result<()> {
    let app = round.any_app();
    let mut served = round.serve(&round.launch(app))?;
    let orders = [round.client(&served), round.client(&served)];
    let [busy, stopped] = orders.map(|orders| Crowd::start(&orders));
    let (busy, stopped) = (busy?, stopped?);
    while round.goes_on() {
        if round.random.happens(500) {
            served.server.signal(Signal::STOP)?;
            round.pause(1..=600);
            served.server.signal(Signal::CONT)?;
        } else {
            stopped.signal(Signal::STOP)?;
            round.pause(1..=600);
            stopped.signal(Signal::CONT)?;
        }
        round.fault(1);
        round.pause(1..=200);
    }
    round.finish(&mut served, busy, Tolerance::Nothing)?;
    round.finish(&mut served, stopped, Tolerance::Nothing)?;
    round.settle(served, Tolerance::Nothing)
}
