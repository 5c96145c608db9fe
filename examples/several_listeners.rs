//! One server, several doors: each with an address, a handler and limits of its own.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example several_listeners
//! nc 127.0.0.1 7000; nc ::1 7001; nc -U /tmp/annulet-example.sock
//! ```

use std::time::Duration;

use annulet::{Clocks, Connection, HandlerResult, Limits, ListenOptions, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut address = |usual: &str| arguments.next().unwrap_or(usual.into());
    let doors = [address("127.0.0.1:7000"), address(":7001"), address("unix:/tmp/annulet-example.sock")];
    annulet::run(async {
        // A door for the world: little memory per connection, and little patience.
        let public = ListenOptions::parse(&doors[1])?
            .limits(Limits::default().unsent_max(16 * 1024).unread_max(16 * 1024))
            .clocks(Clocks::default().idle(Some(Duration::from_secs(10))));
        let server = Server::builder()
            // Doors without settings of their own have the server's.
            .listen(&doors[0], echo)
            .listen_with(public, echo)
            .listen(&doors[2], status)
            // Over all doors together; one more connection is closed at once, and counted.
            .connections_max(10_000)
            .start()
            .await?;
        for address in server.addresses() {
            println!("listening on {address}");
        }
        println!("{}", annulet::until_stopped(server).await);
        Ok(())
    })?
}

async fn echo(mut connection: Connection) -> HandlerResult {
    // A handler of several doors can ask which one a connection came through.
    if let Some(listener) = connection.listener() {
        connection.send(format!("door {}\n", listener.0)).await?;
    }
    while let Some(chunk) = connection.recv().await? {
        connection.send(chunk).await?;
    }
    Ok(())
}

/// For the operator: the counters, and goodbye.
async fn status(mut connection: Connection) -> HandlerResult {
    let stats = annulet::Stats::of(&annulet::Handle::current());
    connection.send(format!("{stats}\n")).await?;
    Ok(())
}
