//! A TCP proxy: connections to one address go on to another.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example proxy -- 127.0.0.1:7001 127.0.0.1:7000
//! ```
//!
//! A slow reader on either side slows the other side down, so a connection never takes more than its limits of memory. An
//! end in one direction is passed on, and the other direction goes on. A connection that breaks on one side is reset on the
//! other: nobody takes half an answer for a whole one.

use std::env;

use annulet::net::{ReadHalf, WriteHalf};
use annulet::{Connection, Error, HandlerResult, ServeError, connect, spawn_local};

fn main() -> Result<(), ServeError> {
    let listen = env::args().nth(1).unwrap_or("127.0.0.1:7001".into());
    let target = env::args().nth(2).unwrap_or("127.0.0.1:7000".into());
    println!("{listen} goes to {target}");
    // Each reactor gets a copy of the handler, and with it of what it captured.
    annulet::serve(&listen, async move |client| proxy(client, &target).await)
}

async fn proxy(client: Connection, target: &str) -> HandlerResult {
    let server = match connect(target).await {
        Ok(server) => server,
        Err(error) => {
            client.abort();
            return Err(error.into());
        }
    };
    // Two halves can be used by two tasks. Both run on this reactor, so nothing has to be `Send`.
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let back = spawn_local(forward(from_server, to_client));
    let there = forward(from_client, to_server).await;
    Ok(there.and(back.await?)?)
}

async fn forward(mut from: ReadHalf, mut to: WriteHalf) -> Result<(), Error> {
    loop {
        match from.recv().await {
            // The received buffer itself is sent on, without a copy.
            Ok(Some(chunk)) => to.send(chunk).await?,
            Ok(None) => return to.shutdown().await,
            Err(error) => {
                to.abort();
                return Err(error);
            }
        }
    }
}
