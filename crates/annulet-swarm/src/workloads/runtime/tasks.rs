//! Tasks that end, are aborted, panic, or are left alone.

use std::future::pending;

use annulet::time::sleep;
use annulet::{JoinHandle, spawn_local, yield_now};
use annulet_sim::Sim;

use super::Live;
use crate::draw::micros;

pub(super) async fn run(sim: Sim, live: Live) {
    for _ in 0..sim.spread(1, 60) {
        let wave: Vec<_> = (0..sim.spread(1, 30)).map(|number| begin(&sim, &live, number)).collect();
        if sim.below(2) == 0 {
            sleep(micros(&sim, 1, 20_000)).await;
        }
        for (number, (kind, task)) in wave.into_iter().enumerate() {
            end(&sim, number as u64, kind, task).await;
        }
    }
}

/// How a task is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Returns,
    Panics,
    Never,
}

fn begin(sim: &Sim, live: &Live, number: u64) -> (Kind, JoinHandle<u64>) {
    let kind = match sim.below(10) {
        0 => Kind::Panics,
        1 | 2 => Kind::Never,
        _ => Kind::Returns,
    };
    let (life, pause, yields) = (live.begin(), micros(sim, 1, 50_000), sim.below(5));
    let task = spawn_local(async move {
        let _life = life;
        for _ in 0..yields {
            yield_now().await;
        }
        if yields % 2 == 0 {
            sleep(pause).await;
        }
        match kind {
            Kind::Returns => number,
            Kind::Panics => std::panic::resume_unwind(Box::new("a task panics")),
            Kind::Never => pending().await,
        }
    });
    (kind, task)
}

async fn end(sim: &Sim, number: u64, kind: Kind, task: JoinHandle<u64>) {
    match (kind, sim.below(4)) {
        (Kind::Returns | Kind::Panics, 0) | (Kind::Never, 0..3) => {
            task.abort();
            match task.await {
                Ok(result) => assert!(kind == Kind::Returns && result == number),
                Err(error) => assert!(error.is_cancelled() || kind == Kind::Panics, "{error}"),
            }
        }
        // Nobody waits for it.
        (_, 1) | (Kind::Never, _) => drop(task),
        (Kind::Returns, _) => assert_eq!(task.await.expect("it returns"), number),
        (Kind::Panics, _) => assert!(task.await.expect_err("it panics").is_panic()),
    }
}
