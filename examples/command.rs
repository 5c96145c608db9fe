//! A command server: PING gives PONG, ECHO x gives OK x, QUIT gives BYE.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example command
//! printf 'PING\nECHO hello\nQUIT\n' | nc 127.0.0.1 7000
//! ```

use annulet::proto::command::{Command, Reply};
use annulet::proto::lines::{LineError, Lines};
use annulet::{Connection, FramedError, HandlerResult};

fn main() -> Result<(), annulet::ServeError> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    println!("commands on {address}");
    // A handler can be a function as well as a closure.
    annulet::serve(&address, serve)
}

async fn serve(connection: Connection) -> HandlerResult {
    let mut lines = connection.framed(Lines::new(1024));
    lines.connection().send(text(Reply::Ready)).await?;
    loop {
        let line = match lines.recv().await {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
            // The peer's fault, so tell it. Returning then sends what is staged before it closes.
            Err(FramedError::Codec(LineError::TooLong { .. })) => {
                lines.connection().send(text(Reply::LineTooLong)).await?;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let command = Command::parse(&line.bytes);
        lines.connection().send(text(command.reply())).await?;
        if command == Command::Quit {
            return Ok(());
        }
    }
}

fn text(reply: Reply<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    reply.write_to(&mut text);
    text
}
