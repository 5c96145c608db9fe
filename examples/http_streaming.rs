//! Bodies of any size, both ways, in bounded memory: what is uploaded is counted as it comes, what is downloaded is made as
//! the client takes it.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example http_streaming
//! head -c 1000000000 /dev/zero | curl -T - http://127.0.0.1:7000/upload
//! curl http://127.0.0.1:7000/download/1000 | wc -c
//! ```

use annulet::Server;
use annulet::http::{HandlerError, Request, Response, Router, StatusCode, router};

/// A mebibyte to send; it is not copied.
static MEBIBYTE: [u8; 1 << 20] = [b'.'; 1 << 20];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    annulet::run(async {
        let service = router(|_| {
            Router::new()
                .get("/download/{mebibytes}", async |request: Request| download(&request))
                // The default is 1 MiB. From here on it is what the disk would take.
                .body_max(u64::MAX)
                .put("/upload", upload)
                // Both at once: what comes goes.
                .post("/echo", async |request: Request| echo(request))
        });
        let server = Server::builder().serve(&address, service).start().await?;
        println!("uploads and downloads on http://{}/", server.addresses()[0]);
        println!("{}", annulet::until_stopped(server).await);
        Ok(())
    })?
}

async fn upload(mut request: Request) -> Result<String, HandlerError> {
    let mut bytes = 0;
    // A chunk is a lease on the buffer that the kernel filled; it goes back here. Who reads slowly slows the client down.
    while let Some(chunk) = request.body().recv().await? {
        bytes += chunk.len();
    }
    Ok(format!("{bytes} bytes\n"))
}

fn download(request: &Request) -> Response {
    let Some(mebibytes) = request.param("mebibytes").and_then(|number| number.parse::<u64>().ok()) else {
        return Response::text("how many mebibytes?\n").status(StatusCode::BAD_REQUEST);
    };
    Response::stream_sized(mebibytes << 20, async move |mut body| {
        for _ in 0..mebibytes {
            // Waits while the client is behind.
            body.send(&MEBIBYTE[..]).await?;
        }
        Ok(())
    })
}

fn echo(request: Request) -> Response {
    let mut incoming = request.into_body();
    Response::stream(async move |mut outgoing| {
        while let Some(chunk) = incoming.recv().await? {
            outgoing.send(chunk).await?;
        }
        Ok(())
    })
}
