//! HTTP in one line: keep-alive, pipelining, limits, clocks and a drain on SIGTERM come with it.
//!
//! ```sh
//! cargo run --release -p annulet-examples --example http_hello
//! curl http://127.0.0.1:7000/
//! ```

fn main() -> Result<(), annulet::ServeError> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:7000".into());
    println!("hello on http://{address}/");
    annulet::http(&address, async |_request| "Hello, World!")
}
