//! Clients of a server that has one right answer to everything.

use annulet::spawn_local;
use annulet::time::sleep;
use annulet_sim::{Host, Sim};

use crate::conversation::{Script, Trust, converse, insist, outlast, rest_between};
use crate::draw::{micros, percent};
use crate::join;
use crate::keeper::Keeper;
use crate::shape::Shape;

/// How many clients there are, and how much they say.
pub(super) struct Crowd {
    pub(super) clients_max: u64,
    pub(super) rounds_max: u64,
    /// All are served when nothing fails.
    pub(super) is_served: bool,
}

/// A crowd of clients talks to a host's servers, and when all is over one more is served, whatever happened.
pub(super) async fn visit<S>(
    sim: &Sim,
    host: &Host,
    shape: Shape,
    targets: Vec<String>,
    crowd: Crowd,
    script: S,
) where
    S: Fn(&Sim, u64) -> Script + Clone + 'static,
{
    let keeper = Keeper::new(sim, host, shape);
    let trust = Trust { is_faithful: shape.is_faithful(), ends_whole: shape.ends_are_the_programs() };
    let clients: Vec<_> = (0..sim.spread(4, crowd.clients_max))
        .map(|number| {
            let (sim, targets, script, trust) = (sim.clone(), targets.clone(), script.clone(), trust.clone());
            let rounds = sim.spread(1, crowd.rounds_max);
            spawn_local(async move {
                for round in 0..rounds {
                    sleep(micros(&sim, 1, 1_000_000)).await;
                    let target = &targets[sim.below(targets.len() as u64) as usize];
                    let script = script(&sim, number * 100 + round);
                    converse(&sim, target, script, &trust).await;
                }
            })
        })
        .collect();
    join::all(clients).await;
    if shape.is_welcoming() && crowd.is_served {
        keeper.make_peace(sim, host);
        for target in &targets {
            let script = script(sim, 0);
            insist(sim, target, &script, &trust).await;
            if shape.bears_silence() && percent(sim, 20) {
                rest_between(sim, target, &script, &trust).await;
            }
            if let Some(limit) = shape.message_max()
                && percent(sim, 40)
            {
                outlast(target, &script, limit).await;
            }
        }
    }
}
