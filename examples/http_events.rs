//! Server-sent events: a page that is told the time, once a second, for as long as it is open.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example http_events
//! curl -N http://127.0.0.1:7000/events      # or open http://127.0.0.1:7000/ in a browser
//! ```

use std::time::{Duration, Instant};

use annulet::Server;
use annulet::http::{BodyWriter, HandlerResult, HeaderValue, Response, Router, header, router};
use annulet::time::interval;

const PAGE: &str = "<!doctype html>
<title>Events</title>
<h1 id=seconds>…</h1>
<script>
  const events = new EventSource('/events');
  events.onmessage = event => document.getElementById('seconds').textContent = event.data;
</script>
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    annulet::run(async {
        let service = router(|_| {
            Router::new().get("/", async |_| Response::html(PAGE)).get("/events", async |_| {
                Response::stream(events)
                    .content_type("text/event-stream")
                    .header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
            })
        });
        let server = Server::builder().serve(&address, service).start().await?;
        println!("events on http://{}/", server.addresses()[0]);
        println!("{}", annulet::until_stopped(server).await);
        Ok(())
    })?
}

async fn events(mut body: BodyWriter) -> HandlerResult {
    let start = Instant::now();
    let mut seconds = interval(Duration::from_secs(1));
    // While the server drains the stream comes to its end, and the browser connects again, elsewhere. When the client is
    // gone, writing fails and the stream ends, too.
    while !body.is_draining() {
        seconds.tick().await;
        body.write(format!("data: {} seconds\n\n", start.elapsed().as_secs())).await?;
    }
    Ok(())
}
