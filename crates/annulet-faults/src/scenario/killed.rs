//! Client processes killed in the middle of requests and uploads, beside one that must not notice.

use crate::crowd::Crowd;
use crate::round::{Round, Tolerance};

pub(super) fn play(round: &mut Round) -> anyhow::Result<()> {
    let app = round.any_app();
    let mut served = round.serve(&round.launch(app))?;
    let mut witness = round.client(&served);
    witness.workers = 2;
    let witness = Crowd::start(&witness)?;
    served.has_silent_clients = true;
    while round.goes_on() {
        let mut orders = round.client(&served);
        orders.workers = 32;
        orders.bytes_max = 1024 * 1024;
        let victim = Crowd::start(&orders)?;
        round.pause(1..=300);
        victim.kill()?;
        // At least as many connections broke.
        round.fault(1);
    }
    round.finish(&mut served, witness, Tolerance::Nothing)?;
    round.settle(served, Tolerance::Nothing)
}
