//! A client: sends what is typed to a server, and prints what comes back.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example lines      # in one terminal
//! cargo run --release -p annulet-examples --example client -- localhost:7000
//! ```

use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use annulet::net::{Connector, ReadHalf};
use annulet::{spawn_blocking, spawn_local};

fn main() -> Result<(), Box<dyn Error>> {
    let target = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    // One reactor is enough for one connection.
    annulet::Runtime::builder().reactors(1).build()?.block_on(converse(&target))?
}

async fn converse(target: &str) -> Result<(), Box<dyn Error>> {
    // One deadline for finding the name's addresses and trying each of them.
    let connection = Connector::new().timeout(Duration::from_secs(5)).connect(target).await?;
    println!("connected to {}", connection.peer_address()?);
    // One task prints while the other waits for lines.
    let (reader, mut writer) = connection.split();
    let printing = spawn_local(print(reader));
    // Reading a terminal blocks, so it is not for a reactor.
    while let Some(line) = spawn_blocking(read_line).await?? {
        writer.send(line).await?;
    }
    // This side has no more to say; the server may still answer.
    writer.shutdown().await?;
    Ok(printing.await??)
}

async fn print(mut reader: ReadHalf) -> io::Result<()> {
    while let Some(chunk) = reader.recv().await? {
        io::stdout().write_all(&chunk)?;
        io::stdout().flush()?;
    }
    Ok(())
}

/// A line of standard input with its end; none after the last.
fn read_line() -> io::Result<Option<String>> {
    let mut line = String::new();
    Ok((io::stdin().read_line(&mut line)? > 0).then_some(line))
}
