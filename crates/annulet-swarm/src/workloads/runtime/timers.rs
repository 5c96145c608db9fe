//! Sleeps, timeouts and intervals: never early, and always.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use annulet::time::{MissedTicks, interval, now, sleep, timeout};
use annulet::{spawn_local, yield_now};
use annulet_sim::Sim;

use super::Live;
use crate::draw::{micros, one_of, percent};
use crate::join;

/// A tick of the wheel, and some steps.
const LATE_MAX: Duration = Duration::from_millis(3);

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

/// Ticks come in their rhythm, whatever becomes of those that were missed.
async fn tick(sim: Sim, live: Live) {
    let _life = live.begin();
    let period = micros(&sim, 500, 500_000);
    let missed = one_of(&sim, &[MissedTicks::Burst, MissedTicks::Delay, MissedTicks::Skip]);
    let mut pace = interval(period).missed_ticks(missed);
    let first = pace.tick().await;
    let (mut last, mut seen) = (first, now());
    for number in 1..sim.spread(2, 100) as u32 {
        let due = pace.tick().await;
        assert!(now() >= due, "a tick before it is due");
        // What was seen late moves only what may be moved.
        let is_right = match missed {
            MissedTicks::Burst => due == first + period * number,
            MissedTicks::Delay => due == last + period || due == seen + period,
            MissedTicks::Skip => {
                due > last && (due - first).as_nanos() % period.as_nanos() == 0 && due <= seen + period
            }
        };
        assert!(
            is_right,
            "tick {number} is due {:?} after the first, every {period:?}, {missed:?}",
            due - first
        );
        (last, seen) = (due, now());
        if percent(&sim, 5) {
            sleep(micros(&sim, 1, 1_000_000)).await;
        }
    }
}

/// When nothing fails, waits end on time.
pub(super) async fn be_punctual(sim: &Sim) {
    let sleepers = (0..sim.spread(1, 50)).map(|_| {
        let sim = sim.clone();
        spawn_local(async move {
            for _ in 0..sim.spread(1, 6) {
                let (begin, wait) = (now(), micros(&sim, 1, 400_000_000));
                let deadline = begin + wait;
                match sim.below(4) {
                    0 => drop(timeout(wait, pending::<()>()).await),
                    1 => {
                        // It is put off, or comes earlier than was said.
                        let mut sleep = pin!(sleep(micros(&sim, 1, 400_000_000)));
                        let _ = timeout(wait / 2, sleep.as_mut()).await;
                        sleep.reset(deadline);
                        sleep.await;
                    }
                    2 => drop(timeout(wait, sleep(wait * 2)).await),
                    _ => sleep(wait).await,
                }
                let late = now() - deadline;
                assert!(now() >= deadline && late <= LATE_MAX, "a wait of {wait:?} ended {late:?} late");
            }
        })
    });
    join::all(sleepers.collect()).await;
}
