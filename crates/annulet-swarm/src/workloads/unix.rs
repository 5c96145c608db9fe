//! Echo over Unix sockets: the server's clients are tasks of its own runtime.

use std::time::Duration;

use annulet::time::sleep;
use annulet::{Server, connect, spawn_local};
use annulet_cli::apps;
use annulet_sim::Sim;

use super::{echo, shaky};
use crate::conversation::{Trust, converse, insist};
use crate::draw::{micros, one_of, percent};
use crate::join;
use crate::shape::Shape;

const TARGETS: [&str; 2] = ["unix:/run/echo", "unix:@echo"];

/// What comes back is what was sent; once the server has ended, nobody is there.
pub(crate) async fn world(sim: Sim) {
    let shape = Shape::draw(&sim).undisturbed();
    let inner = sim.clone();
    let host = shape.host(&sim, "box").start(async move || serve(&inner, shape).await);
    host.ended().await;
}

async fn serve(sim: &Sim, shape: Shape) {
    let is_shaky = percent(sim, 30);
    let Some(server) = start(shape, is_shaky).await else { return };
    let is_cut_short = percent(sim, 20);
    // Unix sockets have no reset: of a handler that panicked, whoever had sent nothing more sees an orderly end.
    let trust = Trust { is_faithful: shape.is_faithful() && !is_cut_short && !is_shaky, ends_whole: true };
    let clients: Vec<_> = (0..sim.spread(2, 12))
        .map(|number| {
            let (sim, trust) = (sim.clone(), trust.clone());
            let rounds = sim.spread(1, 2);
            spawn_local(async move {
                for round in 0..rounds {
                    sleep(micros(&sim, 1, 100_000)).await;
                    let target = one_of(&sim, &TARGETS);
                    converse(&sim, target, echo::script(&sim, number * 100 + round), &trust).await;
                }
            })
        })
        .collect();
    if is_cut_short {
        sleep(micros(sim, 1, 200_000)).await;
        server.start_drain();
    }
    join::all(clients).await;
    sim.end_faults();
    if shape.is_welcoming() && !is_cut_short {
        for target in TARGETS {
            insist(sim, target, &echo::script(sim, 0), &trust).await;
        }
    }
    server.stop().await;
    for target in TARGETS {
        assert!(connect(target).await.is_err(), "{target} is still there");
    }
}

/// Tries until nothing fails; gives up where that does not come.
async fn start(shape: Shape, is_shaky: bool) -> Option<Server> {
    for _ in 0..20 {
        let echo = async move |connection| {
            if is_shaky { shaky(apps::echo(connection)).await } else { apps::echo(connection).await }
        };
        let listen = |server: annulet::ServerBuilder, at: &str| server.listen_with(shape.listen(at), echo);
        if let Ok(server) = TARGETS.into_iter().fold(shape.server(), listen).start().await {
            return Some(server);
        }
        sleep(Duration::from_secs(5)).await;
    }
    None
}
