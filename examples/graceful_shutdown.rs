//! A server that ends well: on a signal, or when it is told so.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example graceful_shutdown
//! nc 127.0.0.1 7000        # then press Ctrl-C at the server
//! ```

use std::time::Duration;

use annulet::signal::{Signal, Signals};
use annulet::{Connection, HandlerResult, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    annulet::run(async {
        // Before anybody can know of the server, so that no signal is missed.
        let mut signals = Signals::new(&[Signal::INTERRUPT, Signal::TERMINATE]);
        let server = Server::builder()
            .listen(&address, echo)
            // Who has not ended by then is cut off.
            .drain_timeout(Duration::from_secs(5))
            .start()
            .await?;
        println!("echo on {}", server.addresses()[0]);

        println!("{}: no new connections", signals.recv().await);
        // Connections that wait to be accepted are served; those that are open may finish.
        let report = server.stop().await;
        println!("{report}");
        Ok(())
    })?
}

async fn echo(mut connection: Connection) -> HandlerResult {
    // While the server drains, what has arrived is still delivered; then comes `None`, as if the peer had ended.
    while let Some(chunk) = connection.recv().await? {
        connection.send(chunk).await?;
    }
    if connection.is_draining() {
        connection.send("The server stops. Come back soon.\n").await?;
    }
    Ok(())
}
