//! An HTTP client: asks for a page, sends a form, and streams what is long, over connections it keeps.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example http_client                          # asks a server of its own
//! cargo run --release -p annulet-examples --example http_client -- http://127.0.0.1:7000/  # or yours
//! ```

use std::error::Error;
use std::time::Duration;

use annulet::Server;
use annulet::http::{BodyWriter, Client, ClientError, Request, Response, Router, router};

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    // A client stays on its reactor; one is enough for this.
    annulet::Runtime::builder().reactors(1).build()?.block_on(async {
        match url {
            Some(url) => Ok(get(&Client::new(), &url).await?),
            None => own_server().await,
        }
    })?
}

/// The usual: a URL, a deadline for everything, and the body as text.
async fn get(client: &Client, url: &str) -> Result<(), ClientError> {
    let mut response = client.get(url).timeout(Duration::from_secs(10)).send().await?;
    println!("{} {}", response.status(), response.text().await?.trim_end());
    Ok(())
}

async fn own_server() -> Result<(), Box<dyn Error>> {
    let routes = |_: &annulet::Reactor| {
        Router::new()
            .get("/", async |_| "hello\n")
            .get("/old", async |_| Response::see_other("/"))
            .get("/numbers", async |_| Response::stream(numbers))
            .post("/length", async |mut request: Request| {
                Ok(format!("{} bytes", request.bytes().await?.len())) as Answer
            })
    };
    let server = Server::builder().serve("127.0.0.1:0", router(routes)).start().await?;
    let url = format!("http://{}", server.addresses()[0]);

    // Settings are for all requests of a client; its clones share its connections.
    let client = Client::builder().connections_per_host_max(8).redirects_max(3).build();
    get(&client, &format!("{url}/")).await?;
    get(&client, &format!("{url}/old")).await?;
    get(&client, &format!("{url}/nowhere")).await?;

    // A response that is read as it comes: a slow reader slows the server down, and needs little memory.
    let mut response = client.get(&format!("{url}/numbers")).send().await?;
    let mut received = 0;
    while let Some(chunk) = response.recv().await? {
        received += chunk.len();
    }
    println!("received {received} bytes");

    // A request that is written as it goes.
    let request = client.post(&format!("{url}/length")).stream(async |mut body| {
        for line in 0..1000 {
            body.send(format!("line {line}\n")).await?;
        }
        Ok(())
    });
    println!("the server has got {}", request.send().await?.text().await?);

    // What went wrong, and whether it does any harm to try again.
    let error = client.post("http://127.0.0.1:1/").body("x").send().await.expect_err("nobody listens there");
    println!("{error}; nothing was sent: {}", error.is_retry_safe());

    drop(client);
    println!("{}", server.stop().await);
    Ok(())
}

type Answer = Result<String, annulet::HandlerError>;

async fn numbers(mut writer: BodyWriter) -> annulet::HandlerResult {
    for number in 0..100_000 {
        writer.write(format!("{number}\n")).await?;
    }
    Ok(())
}
