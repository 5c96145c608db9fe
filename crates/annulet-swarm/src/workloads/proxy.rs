//! A server that connects on to another one, on a third host.

use annulet::net::{ReadHalf, WriteHalf};
use annulet::{Connection, Error, HandlerResult, connect, spawn_local};
use annulet_cli::apps;
use annulet_sim::Sim;

use super::clients::{Crowd, visit};
use super::{echo, shaky};
use crate::keeper::Keeper;
use crate::shape::{Program, Shape};

/// What comes back from behind the proxy is what was sent.
pub(crate) async fn world(sim: Sim) {
    let (front, back) = (Shape::draw(&sim), Shape::draw(&sim));
    let [serving_front, serving_back] = [front, back].map(Program::new);
    let upstream = back.host(&sim, "upstream").start(async move || {
        let echo = async |connection| shaky(apps::echo(connection)).await;
        serving_back.serve(back.server().listen_with(back.listen("0.0.0.0:7001"), echo)).await;
    });
    let host = front.host(&sim, "server").start(async move || {
        let proxy = async |connection| shaky(proxy(connection, "upstream:7001")).await;
        serving_front.serve(front.server().listen_with(front.listen("0.0.0.0:7000"), proxy)).await;
    });
    let _keeper = Keeper::new(&sim, &upstream, back);
    let crowd = Crowd { clients_max: 12, rounds_max: 2, is_served: true };
    // The one behind may end in order at any time, which the one in front passes on.
    let shape = front.behind(&back);
    visit(&sim, &host, shape, vec!["server:7000".into()], crowd, echo::script).await;
}

async fn proxy(client: Connection, target: &str) -> HandlerResult {
    let server = match connect(target).await {
        Ok(server) => server,
        Err(error) => {
            // An orderly end would say that all is well.
            client.abort();
            return Err(error.into());
        }
    };
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let back = spawn_local(forward(from_server, to_client));
    let there = forward(from_client, to_server).await;
    Ok(there.and(back.await?)?)
}

/// What breaks on one side breaks on the other.
async fn forward(mut from: ReadHalf, mut to: WriteHalf) -> Result<(), Error> {
    loop {
        match from.recv().await {
            Ok(Some(chunk)) => to.send(chunk).await?,
            Ok(None) => return to.shutdown().await,
            Err(error) => {
                to.abort();
                return Err(error);
            }
        }
    }
}
