//! Echo over several listeners.

use annulet_sim::Sim;

use super::clients::{Crowd, visit};
use super::manner::Manner;
use super::shaky;
use crate::conversation::Script;
use crate::draw::pattern;
use crate::shape::{Program, Shape};

/// What comes back is what was sent.
pub(crate) async fn world(sim: Sim) {
    let shape = Shape::draw(&sim);
    let ports: Vec<u16> = (7000..7000 + sim.spread(1, 3) as u16).collect();
    let targets = ports.iter().map(|port| format!("server:{port}")).collect();
    let manner = Manner::draw(&sim);
    let program = Program::new(shape);
    let host = shape.host(&sim, "server").start(async move || {
        let listen = |port: &u16| shape.listen(&format!("0.0.0.0:{port}"));
        let echo = async move |connection| shaky(manner.echo(connection)).await;
        let server = ports.iter().map(listen).fold(shape.server(), |server, at| server.listen_with(at, echo));
        program.serve(server).await;
    });
    let crowd = Crowd { clients_max: 16, rounds_max: 3, is_served: manner.is_patient() };
    visit(&sim, &host, shape, targets, crowd, script).await;
}

pub(super) fn script(sim: &Sim, stream: u64) -> Script {
    let input = pattern(stream, sim.spread(1, 40_000) as usize);
    Script { output: input.clone(), input, rests: Vec::new(), ends: Vec::new(), server_ends: false }
}
