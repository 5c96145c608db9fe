//! Messages behind their length, server and client in one program.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example length_prefixed
//! ```

use annulet::proto::length_prefixed::LengthPrefixed;
use annulet::{Connection, HandlerResult, Server};

/// Both sides must agree on the codec: 4 bytes of length, big end first, at most 64 KiB of payload.
fn codec() -> LengthPrefixed {
    LengthPrefixed::new().payload_max(64 * 1024)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `run` starts a reactor on every core and ends when its future is done.
    annulet::run(async {
        let server = Server::builder().listen("127.0.0.1:0", reverse).start().await?;
        // Port 0 let the kernel choose: ask which port it was.
        let address = server.addresses()[0].to_string();

        let mut client = annulet::connect(&address).await?.framed(codec());
        for word in ["annulet", "a small ring", ""] {
            client.send(word).await?;
        }
        // The questions left together; the answers come in their order.
        for _ in 0..3 {
            let answer = client.recv().await?.ok_or("the server ended too early")?;
            println!("{:?}", String::from_utf8_lossy(&answer));
        }
        drop(client);

        println!("{}", server.stop().await);
        Ok(())
    })?
}

/// Sends each message back to front.
async fn reverse(connection: Connection) -> HandlerResult {
    let mut messages = connection.framed(codec());
    while let Some(message) = messages.recv().await? {
        let reversed: Vec<u8> = message.iter().rev().copied().collect();
        messages.send(reversed).await?;
    }
    Ok(())
}
