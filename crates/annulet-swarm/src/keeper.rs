//! Who looks after a server: starts it again when it has ended, and makes trouble now and then.

use std::time::Duration;

use annulet::signal::Signal;
use annulet::time::{sleep, timeout};
use annulet::{JoinHandle, spawn_local};
use annulet_sim::{Death, Host, LinkSettings, Sim};

use crate::draw::{micros, millis, one_of, percent};
use crate::shape::Shape;

/// A server that is asked to end has ended after this long: longer than it drains, and than a host stands still.
const OBEDIENCE: Duration = Duration::from_secs(600);

/// Looks after a host until it is dropped.
pub(crate) struct Keeper([JoinHandle<()>; 2]);

impl Keeper {
    pub(crate) fn new(sim: &Sim, host: &Host, shape: Shape) -> Self {
        Self([
            spawn_local(keep_running(sim.clone(), host.clone())),
            spawn_local(make_trouble(sim.clone(), host.clone(), shape)),
        ])
    }

    /// No trouble from now on, and no faults.
    pub(crate) fn make_peace(&self, sim: &Sim, host: &Host) {
        self.0[1].abort();
        sim.heal("client", host.name());
        sim.end_faults();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// A server that could not start, or has ended, is started again.
async fn keep_running(sim: Sim, host: Host) {
    loop {
        host.ended().await;
        sleep(millis(&sim, 1, 3000)).await;
        host.restart();
    }
}

/// A way through other networks.
fn far_away(sim: &Sim) -> LinkSettings {
    let delay_min = micros(sim, 100, 100_000);
    LinkSettings {
        delay_min,
        delay_max: delay_min + micros(sim, 1, 50_000),
        loss_per_million: sim.below(20_000) as u32,
        bytes_per_second: percent(sim, 50).then(|| sim.spread(20_000, 10_000_000)),
        segment_max: sim.spread(500, 1460) as u32,
    }
}

async fn make_trouble(sim: Sim, host: Host, shape: Shape) {
    if sim.seed() % 5 == 2 {
        sleep(micros(&sim, 10, 1000)).await;
        sim.link("client", host.name(), far_away(&sim));
    }
    for _ in 0..sim.below(4) {
        sleep(micros(&sim, 100, 5_000_000)).await;
        match sim.below(4) {
            0 if shape.may_be_signalled => {
                host.signal(Signal::TERMINATE);
                let ended = timeout(OBEDIENCE, host.ended()).await;
                assert!(ended.is_ok(), "{} was asked to end and has not", host.name());
            }
            1 if shape.may_be_killed => {
                host.kill(one_of(&sim, &[Death::Killed, Death::Reset, Death::Silent]));
            }
            2 => {
                sim.partition("client", host.name());
                sleep(micros(&sim, 1000, 30_000_000)).await;
                sim.heal("client", host.name());
            }
            _ => {}
        }
    }
}
