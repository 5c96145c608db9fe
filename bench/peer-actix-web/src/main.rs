//! HTTP/1.1 on actix-web, on tokio: a current-thread runtime per worker, and a thread that accepts for all.
//!
//! `--reactors` is the number of workers. Connections are kept for 75 s instead of 5 s, so that they outlive the rests of
//! the benchmarks; everything else is as it comes.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use actix_web::http::header::ContentType;
use actix_web::rt::System;
use actix_web::web::{Bytes, Path, ServiceConfig, get, post};
use actix_web::{App, HttpResponse, HttpServer};
use bench_common::args::Args;
use bench_common::listen::Blocking;
use bench_common::server::{self, ServerArgs};

fn main() -> io::Result<()> {
    let mut args = Args::from_env();
    let server = ServerArgs::take(&mut args);
    args.finish();
    let workers = server.reactors;
    let one = ServerArgs { reactors: 1, ..server };
    server::run(
        one,
        Blocking::No,
        || None,
        move |_, listener| System::new().block_on(serve(listener, workers)),
    )
}

async fn serve(listener: TcpListener, workers: usize) -> io::Result<()> {
    HttpServer::new(|| App::new().configure(routes))
        .workers(workers)
        .keep_alive(Duration::from_secs(75))
        .disable_signals()
        .listen(listener)?
        .run()
        .await
}

fn routes(config: &mut ServiceConfig) {
    config
        .route("/", get().to(async || text("Hello, World!")))
        .route("/echo", post().to(async |body: Bytes| text(body)))
        .route("/json", get().to(json))
        .route("/users/{id}", get().to(async |id: Path<String>| text(id.into_inner())))
        .route(
            "/stream/{bytes}",
            get().to(async |count: Path<u16>| text(vec![b'x'; usize::from(count.into_inner())])),
        );
}

async fn json() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(r#"{"message":"Hello, World!"}"#)
}

fn text(body: impl Into<Bytes>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body(body.into())
}
