//! Code written for `tokio::io` runs on a connection as it is. Needs the feature `tokio-io` of `annulet`, and no tokio
//! runtime.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example tokio_io
//! nc 127.0.0.1 7000
//! ```

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};

fn main() -> Result<(), annulet::ServeError> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    println!("words are counted on {address}");
    annulet::serve(&address, async |connection| Ok(count_words(connection).await?))
}

/// Knows nothing of Annulet: any library's function over these traits could stand here.
async fn count_words<S>(mut stream: S) -> io::Result<()>
where
    S: AsyncBufRead + AsyncWrite + Unpin,
{
    let mut line = String::new();
    // No `BufReader` is needed: a connection is buffered already.
    while stream.read_line(&mut line).await? > 0 {
        let words = line.split_whitespace().count();
        stream.write_all(format!("{words}\n").as_bytes()).await?;
        line.clear();
    }
    stream.shutdown().await
}
