//! The whole of an echo server: what arrives goes back.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example echo
//! nc 127.0.0.1 7000
//! ```
//!
//! It runs on every core, with limits and timeouts, and ends in order on Ctrl-C.

fn main() -> Result<(), annulet::ServeError> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    println!("echo on {address}");
    annulet::serve(&address, async |mut connection| {
        // What arrived, still in the buffer the kernel filled. `None` is the peer's end.
        while let Some(chunk) = connection.recv().await? {
            // The buffer itself is sent, without a copy. This waits only if the peer is slow to read.
            connection.send(chunk).await?;
        }
        Ok(())
    })
}
