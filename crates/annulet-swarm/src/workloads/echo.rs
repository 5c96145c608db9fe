//! Echo over several listeners.

use annulet::{Connection, HandlerResult};
use annulet_cli::apps;
use annulet_sim::Sim;

use super::clients::{Crowd, visit};
use super::shaky;
use crate::conversation::Script;
use crate::draw::{pattern, percent};
use crate::shape::{Shape, serve};

/// What comes back is what was sent.
pub(crate) async fn world(sim: Sim) {
    let shape = Shape::draw(&sim);
    let ports: Vec<u16> = (7000..7000 + sim.spread(1, 3) as u16).collect();
    let targets = ports.iter().map(|port| format!("server:{port}")).collect();
    let keeps = percent(&sim, 25);
    let host = shape.host(&sim, "server").start(async move || {
        let listen = |port: &u16| shape.listen(&format!("0.0.0.0:{port}"));
        let echo = async move |connection| {
            if keeps { shaky(keep(connection)).await } else { shaky(apps::echo(connection)).await }
        };
        let server = ports.iter().map(listen).fold(shape.server(), |server, at| server.listen_with(at, echo));
        serve(server).await;
    });
    let crowd = Crowd { clients_max: 16, rounds_max: 3 };
    visit(&sim, &host, shape, targets, crowd, script).await;
}

/// Echo that keeps all it received to the end, in the buffers it came in.
async fn keep(mut connection: Connection) -> HandlerResult {
    let mut kept = Vec::new();
    while let Some(chunk) = connection.recv().await? {
        connection.send(chunk.to_vec()).await?;
        kept.push(chunk);
    }
    Ok(())
}

pub(super) fn script(sim: &Sim, stream: u64) -> Script {
    let input = pattern(stream, sim.spread(1, 40_000) as usize);
    Script { output: input.clone(), input, ends: Vec::new(), server_ends: false }
}
