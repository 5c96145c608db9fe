//! HTTP/1.1 on axum, on hyper, on tokio.
//!
//! Tuned: a current-thread runtime per reactor, each with its own listener and its own copy of the router; hyper's HTTP/1
//! connections, with the responses to pipelined requests leaving together. `--untuned`: `axum::serve` on one multi-thread
//! runtime with its defaults, as `#[tokio::main]` makes it; `--reactors` is then the number of workers.

use std::io;
use std::net::TcpListener as StdListener;

use axum::Router;
use axum::extract::Path;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::routing::{get, post};
use bench_common::args::Args;
use bench_common::listen::Blocking;
use bench_common::server::{self, ServerArgs};
use hyper::server::conn::http1::Builder as Http;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

type Typed<T> = ([(HeaderName, &'static str); 1], T);

fn main() -> io::Result<()> {
    let mut args = Args::from_env();
    let server = ServerArgs::take(&mut args);
    let untuned = args.flag("--untuned");
    args.finish();
    if untuned {
        let workers = server.reactors;
        let one = ServerArgs { reactors: 1, ..server };
        return server::run(
            one,
            Blocking::No,
            || None,
            move |_, listener| {
                let runtime = Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
                runtime.block_on(async { axum::serve(TcpListener::from_std(listener)?, router()).await })
            },
        );
    }
    server::run(
        server,
        Blocking::No,
        || None,
        |_, listener| Builder::new_current_thread().enable_io().build()?.block_on(serve(listener)),
    )
}

async fn serve(listener: StdListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let service = TowerToHyperService::new(router());
    let mut http = Http::new();
    http.pipeline_flush(true);
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            // An error ends the connection.
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service.clone()));
        }
    }
}

fn router() -> Router {
    Router::new()
        .route("/", get(async || text("Hello, World!")))
        .route("/echo", post(async |body: String| text(body)))
        .route(
            "/json",
            get(async || ([(CONTENT_TYPE, "application/json")], r#"{"message":"Hello, World!"}"#)),
        )
        .route("/users/{id}", get(async |Path(id): Path<String>| text(id)))
        .route("/stream/{bytes}", get(async |Path(count): Path<u16>| text(vec![b'x'; usize::from(count)])))
}

/// The type is `text/plain`, like everybody's; by itself axum would add a charset.
fn text<T>(body: T) -> Typed<T> {
    ([(CONTENT_TYPE, "text/plain")], body)
}
