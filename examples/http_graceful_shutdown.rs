//! An HTTP server that ends well: requests under way are answered, idle connections close at once, nobody is cut off.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example http_graceful_shutdown
//! curl -i http://127.0.0.1:7000/slow        # then press Ctrl-C at the server
//! ```

use std::time::Duration;

use annulet::Server;
use annulet::http::{Router, Settings, router};
use annulet::time::sleep;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    annulet::run(async {
        let service = router(|_| {
            Router::new().get("/", async |_| "Ask for /slow.\n").get("/slow", async |_| {
                sleep(Duration::from_secs(2)).await;
                "Here you are.\n"
            })
        })
        .settings(Settings::default().keep_alive(Some(Duration::from_secs(20))));
        let signals = annulet::stop_signals();
        let server = Server::builder()
            .serve(&address, service)
            // Who has no answer by then gets none.
            .drain_timeout(Duration::from_secs(10))
            .start()
            .await?;
        println!("slow answers on http://{}/slow", server.addresses()[0]);
        // From the signal on, responses say `Connection: close`. A second signal cuts what is left.
        println!("{}", annulet::stop_on_signal(server, signals).await);
        Ok(())
    })?
}
