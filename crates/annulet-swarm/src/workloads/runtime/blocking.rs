//! Blocking jobs: each gives its own result, once.

use annulet::time::{sleep, timeout};
use annulet::{resolve, spawn_blocking, spawn_local};
use annulet_sim::Sim;

use super::Live;
use crate::draw::{micros, percent};
use crate::join;
use crate::ledger::Ledger;

pub(super) async fn run(sim: Sim, live: Live) {
    let done = Ledger::default();
    let askers: Vec<_> = (0..sim.spread(1, 30))
        .map(|asker| {
            let (sim, live, done) = (sim.clone(), live.clone(), done.clone());
            spawn_local(async move {
                for round in 0..sim.spread(1, 10) {
                    ask(&sim, &live, &done, asker * 100 + round).await;
                }
            })
        })
        .collect();
    join::all(askers).await;
}

async fn ask(sim: &Sim, live: &Live, done: &Ledger, number: u64) {
    let (life, ledger) = (live.begin(), done.clone());
    let panics = percent(sim, 5);
    let job = spawn_blocking(move || {
        let _life = life;
        ledger.note(number);
        if panics {
            std::panic::resume_unwind(Box::new("a job panics"));
        }
        number * 3
    });
    match sim.below(6) {
        0 => {
            job.abort();
            match job.await {
                Ok(result) => assert!(result == number * 3 && done.count(number) == 1),
                Err(error) => assert!(error.is_cancelled() || panics, "{error}"),
            }
        }
        1 => {
            let _ = timeout(micros(sim, 1, 2000), job).await;
            return;
        }
        2 => drop(job),
        3 => {
            // One waits for it and is told so, and then another does.
            let mut job = job;
            let result = match timeout(micros(sim, 1, 500), &mut job).await {
                Ok(result) => result,
                Err(_) => spawn_local(job).await.expect("the heir lives"),
            };
            assert!(result.is_ok_and(|result| result == number * 3) || panics, "job {number}");
        }
        _ => match job.await {
            Ok(result) => assert!(result == number * 3 && !panics && done.count(number) == 1),
            Err(error) => assert!(error.is_panic() && panics, "{error}"),
        },
    }
    if percent(sim, 30) {
        // It may fail, but not find another host's address.
        if let Ok(addresses) = resolve("machine:80").await {
            assert!(addresses.iter().all(|address| address.port() == 80) && !addresses.is_empty());
        }
        assert!(resolve("nobody:80").await.is_err());
    }
    sleep(micros(sim, 1, 50_000)).await;
    assert!(done.count(number) <= 1, "job {number} ran twice");
}
