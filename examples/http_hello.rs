//! Just enough HTTP for a browser to say hello. HTTP proper needs more than this: bodies, limits, dates.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example http_hello
//! curl http://127.0.0.1:7000/
//! ```

use annulet::proto::lines::Lines;
use annulet::{Connection, HandlerResult};

/// A request line and its fields.
const FIELDS_MAX: usize = 100;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!";
const TOO_MANY: &str =
    "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

fn main() -> Result<(), annulet::ServeError> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    println!("hello on http://{address}/");
    annulet::serve(&address, hello)
}

async fn hello(connection: Connection) -> HandlerResult {
    // A request without a body is lines up to an empty one. Lines end with CR LF here; the codec takes both off.
    let mut lines = connection.framed(Lines::new(8192));
    let mut fields = 0;
    while let Some(line) = lines.recv().await? {
        if !line.bytes.is_empty() {
            fields += 1;
            if fields > FIELDS_MAX {
                lines.connection().send(TOO_MANY).await?;
                return Ok(());
            }
        } else if fields > 0 {
            // The connection stays open: the next request may be here already.
            lines.connection().send(HELLO).await?;
            fields = 0;
        }
    }
    Ok(())
}
