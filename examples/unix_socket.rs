//! A Unix socket works like any other address. Server and client in one program.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example unix_socket
//! ```

use annulet::Server;
use annulet::net::UnixStream;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join(format!("annulet-example-{}.sock", std::process::id()));
    annulet::run(async {
        let address = format!("unix:{}", path.display());
        let server = Server::builder()
            .listen(&address, async |mut connection| {
                while let Some(chunk) = connection.recv().await? {
                    connection.send(chunk).await?;
                }
                Ok(())
            })
            .start()
            .await?;

        // `connect("unix:/path")` does the same; this is the name tokio and std have for it.
        let mut stream = UnixStream::connect(&path).await?;
        stream.write_all(b"over a file").await?;
        // This side has nothing more to say; it can still listen.
        stream.shutdown().await?;
        while let Some(chunk) = stream.recv().await? {
            println!("{}", String::from_utf8_lossy(&chunk));
        }

        println!("{}", server.stop().await);
        assert!(!path.exists(), "the file goes with its server");
        Ok(())
    })?
}
