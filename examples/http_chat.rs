//! A chat: what one says, all hear, each over a response that does not end.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example http_chat
//! curl -N http://127.0.0.1:7000/hear                # as many as you like
//! curl http://127.0.0.1:7000/say/ann -d 'hello'
//! ```

use annulet::Server;
use annulet::http::{BodyWriter, HandlerError, HandlerResult, Request, Response, Router, StatusCode, router};
use tokio::sync::broadcast::{Receiver, Sender, error::RecvError};

/// Lines a listener may be behind; then it misses some.
const BACKLOG: usize = 256;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    // Listeners are on every reactor.
    let room = Sender::<String>::new(BACKLOG);
    annulet::run(async move {
        let service = router(move |_| {
            let (hearing, saying) = (room.clone(), room.clone());
            Router::new()
                .get("/hear", async move |_| {
                    let lines = hearing.subscribe();
                    Response::stream(async move |body| hear(body, lines).await).content_type("text/plain")
                })
                .post("/say/{name}", async move |mut request: Request| {
                    let text = request.text().await?;
                    let name = request.param("name").unwrap_or_default();
                    // Fails only when nobody listens.
                    let _ = saying.send(format!("{name}: {text}\n"));
                    Ok::<_, HandlerError>(StatusCode::NO_CONTENT)
                })
        });
        let server = Server::builder().serve(&address, service).start().await?;
        println!("chat on http://{}/hear", server.addresses()[0]);
        println!("{}", annulet::until_stopped(server).await);
        Ok(())
    })?
}

async fn hear(mut body: BodyWriter, mut lines: Receiver<String>) -> HandlerResult {
    body.write("You are in.\n").await?;
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            () = body.client_gone() => return Ok(()),
            () = body.draining() => return Ok(()),
        };
        match line {
            Ok(line) => body.write(line).await?,
            Err(RecvError::Lagged(missed)) => body.write(format!("(you missed {missed} lines)\n")).await?,
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}
