//! A line server: each line comes back in upper case.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example lines
//! nc 127.0.0.1 7000
//! ```

use annulet::proto::lines::Lines;

fn main() -> Result<(), annulet::ServeError> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    println!("lines on {address}");
    annulet::serve(&address, async |connection| {
        // TCP brings bytes cut anywhere; a codec finds the messages in them. Lines of at most 4096 bytes, here.
        let mut lines = connection.framed(Lines::new(4096));
        lines.send("Hello! Each line comes back in upper case.").await?;
        // A line that is too long is an error, which ends the connection.
        while let Some(line) = lines.recv().await? {
            // Many lines may arrive at once: their answers leave together, when this task has to wait again.
            lines.send(line.bytes.to_ascii_uppercase()).await?;
        }
        Ok(())
    })
}
