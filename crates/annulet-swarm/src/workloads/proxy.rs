//! A server that connects on to another one, on a third host.

use annulet::net::{ReadHalf, WriteHalf};
use annulet::{Connection, Error, HandlerResult, connect, spawn_local};
use annulet_cli::apps;
use annulet_sim::Sim;

use super::clients::{Crowd, visit};
use super::{echo, shaky};
use crate::keeper::Keeper;
use crate::shape::{Shape, Starts};

/// What comes back from behind the proxy is what was sent.
pub(crate) async fn world(sim: Sim) {
    let (front, back) = (Shape::draw(&sim), Shape::draw(&sim));
    let starts = Starts::default();
    let [serving_front, serving_back] = [starts.clone(), starts.clone()];
    let upstream = back.host(&sim, "upstream").start(async move || {
        let echo = async |connection| shaky(apps::echo(connection)).await;
        serving_back.serve(back.server().listen_with(back.listen("0.0.0.0:7001"), echo)).await;
    });
    let host = front.host(&sim, "server").start(async move || {
        let proxy = async |connection| shaky(proxy(connection, "upstream:7001")).await;
        serving_front.serve(front.server().listen_with(front.listen("0.0.0.0:7000"), proxy)).await;
    });
    let _keeper = Keeper::new(&sim, &upstream, back);
    let crowd = Crowd { clients_max: 12, rounds_max: 2 };
    // The one behind may end in order at any time, which the one in front passes on.
    let shape = front.behind(&back);
    visit(&sim, &host, shape, starts, vec!["server:7000".into()], crowd, echo::script).await;
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
    let (from_client, _, there) = forward(from_client, to_server).await;
    let (_, to_client, back) = back.await?;
    if back.is_err()
        && let Ok(client) = from_client.reunite(to_client)
    {
        client.abort();
    }
    Ok(there.and(back)?)
}

/// The halves come back, for whoever has to say that it failed.
async fn forward(mut from: ReadHalf, mut to: WriteHalf) -> (ReadHalf, WriteHalf, Result<(), Error>) {
    let result = async {
        while let Some(chunk) = from.recv().await? {
            to.send(chunk).await?;
        }
        to.shutdown().await
    }
    .await;
    (from, to, result)
}
