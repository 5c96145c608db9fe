//! Sleeps, timeouts and intervals: never early, and always.

use std::future::pending;
use std::time::Duration;

use annulet::time::{interval, now, sleep, timeout};
use annulet::{spawn_local, yield_now};
use annulet_sim::Sim;

use super::Live;
use crate::draw::{micros, percent};
use crate::join;

pub(super) async fn run(sim: Sim, live: Live) {
    let sleepers: Vec<_> = (0..sim.spread(4, 200))
        .map(|_| {
            let (sim, life) = (sim.clone(), live.begin());
            spawn_local(async move {
                let _life = life;
                for _ in 0..sim.spread(1, 30) {
                    wait(&sim).await;
                }
            })
        })
        .collect();
    let ticking = spawn_local(tick(sim, live));
    join::all(sleepers).await;
    ticking.await.expect("ticking ends");
}

async fn wait(sim: &Sim) {
    let begin = now();
    let short = micros(sim, 1, 3_000_000);
    match sim.below(5) {
        0 => yield_now().await,
        1 => {
            let result = timeout(short, pending::<()>()).await;
            assert!(
                result.is_err() && now() - begin >= short,
                "a timeout after {:?} of {short:?}",
                now() - begin
            );
        }
        2 => {
            // One that is given up, for the wheel to forget.
            let long = short + Duration::from_secs(sim.below(4000));
            let _ = timeout(short, sleep(long)).await;
            assert!(now() - begin >= short);
        }
        _ => {
            sleep(short).await;
            assert!(now() - begin >= short, "a sleep of {:?} instead of {short:?}", now() - begin);
        }
    }
}

async fn tick(sim: Sim, live: Live) {
    let _life = live.begin();
    let period = micros(&sim, 500, 500_000);
    let begin = now();
    let mut pace = interval(period);
    let first = pace.tick().await;
    for number in 1..sim.spread(2, 100) as u32 {
        pace.tick().await;
        assert!(now() - first >= period * number, "tick {number} after {:?}", now() - begin);
        if percent(&sim, 5) {
            sleep(micros(&sim, 1, 1_000_000)).await;
        }
    }
}
