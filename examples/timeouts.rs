//! Clocks of a server, and a time-out of one's own that loses nothing.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example timeouts
//! nc 127.0.0.1 7000        # then type nothing, or half a line
//! ```

use std::time::Duration;

use annulet::proto::lines::Lines;
use annulet::time::timeout;
use annulet::{Clock, Clocks, Connection, Error, FramedError, HandlerResult, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    annulet::run(async {
        // Connections have clocks without being asked for: these are shorter. `None` would turn one off.
        let clocks = Clocks::default()
            .setup(Some(Duration::from_secs(10))) // until the first byte
            .idle(Some(Duration::from_secs(30))) // between two lines
            .request(Some(Duration::from_secs(5))); // for one line, however slowly it trickles in
        let server = Server::builder().clocks(clocks).listen(&address, remind).start().await?;
        println!("lines on {}", server.addresses()[0]);
        println!("{}", annulet::until_stopped(server).await);
        Ok(())
    })?
}

async fn remind(connection: Connection) -> HandlerResult {
    let mut lines = connection.framed(Lines::default());
    loop {
        // Dropping `recv` loses nothing: half a line stays until the rest has come.
        let received = timeout(Duration::from_secs(3), lines.recv()).await;
        match received {
            Err(_) => lines.send("Still there?").await?,
            Ok(Ok(Some(line))) => lines.send(line.bytes).await?,
            Ok(Ok(None)) => return Ok(()),
            // A clock that runs out ends the input only: there is time for a farewell.
            Ok(Err(FramedError::Connection(Error::Timeout(clock)))) => {
                return farewell(lines.connection(), clock).await;
            }
            Ok(Err(error)) => return Err(error.into()),
        }
    }
}

async fn farewell(connection: &mut Connection, clock: Clock) -> HandlerResult {
    connection.send(format!("Goodbye: {clock}.\n")).await?;
    Ok(())
}
