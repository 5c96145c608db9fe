//! Long polling: a request that is answered when there is something to say.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example http_long_polling
//! curl -i http://127.0.0.1:7000/news?after=0        # waits
//! curl http://127.0.0.1:7000/news -d 'it rains'     # in another terminal
//! ```

use std::time::Duration;

use annulet::Server;
use annulet::http::{HandlerError, Request, Response, Router, StatusCode, router};
use annulet::time::timeout;
use tokio::sync::watch;

/// How long a request waits for news.
const PATIENCE: Duration = Duration::from_secs(30);

/// The latest news and its number.
#[derive(Clone, Default)]
struct News {
    number: u64,
    text: String,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    let news = watch::Sender::new(News::default());
    annulet::run(async move {
        let service = router(move |_| {
            let (reading, writing) = (news.clone(), news.clone());
            Router::new()
                .get("/news", async move |request: Request| {
                    wait_for_news(&request, reading.subscribe()).await
                })
                .post("/news", async move |mut request: Request| {
                    let text = request.text().await?;
                    writing.send_modify(|news| *news = News { number: news.number + 1, text });
                    Ok::<_, HandlerError>(StatusCode::NO_CONTENT)
                })
        });
        let server = Server::builder().serve(&address, service).start().await?;
        println!("news on http://{}/news", server.addresses()[0]);
        println!("{}", annulet::until_stopped(server).await);
        Ok(())
    })?
}

async fn wait_for_news(request: &Request, mut news: watch::Receiver<News>) -> Response {
    let known: u64 = request.query_value("after").and_then(|number| number.parse().ok()).unwrap_or(0);
    let newer = timeout(PATIENCE, async {
        tokio::select! {
            newer = news.wait_for(|news| news.number > known) => newer.ok().map(|news| news.clone()),
            // Nobody waits for the answer any more.
            () = request.client_gone() => None,
            // Another server may know more.
            () = request.draining() => None,
        }
    });
    match newer.await {
        Ok(Some(News { number, text })) => Response::text(format!("{number}: {text}\n")),
        // Ask again.
        _ => Response::new(StatusCode::NO_CONTENT),
    }
}
