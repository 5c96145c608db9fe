//! HTTP/1.1 on hyper, on tokio.
//!
//! Tuned: a current-thread runtime per reactor, each with its own listener; responses to pipelined requests leave
//! together. `--untuned`: one multi-thread runtime and one connection builder with their defaults, but for the timer that
//! hyper's first example sets; `--reactors` is then the number of workers.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener as StdListener;

use bench_common::args::Args;
use bench_common::listen::Blocking;
use bench_common::server::{self, ServerArgs};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1::Builder as Http;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

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
                let mut http = Http::new();
                http.timer(TokioTimer::new());
                // As `#[tokio::main]` does: the accept loop runs outside the workers, connections on them.
                runtime.block_on(serve(listener, http))
            },
        );
    }
    server::run(
        server,
        Blocking::No,
        || None,
        |_, listener| {
            let mut http = Http::new();
            http.pipeline_flush(true);
            Builder::new_current_thread().enable_io().build()?.block_on(serve(listener, http))
        },
    )
}

async fn serve(listener: StdListener, http: Http) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            // An error ends the connection.
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service_fn(route)));
        }
    }
}

/// hyper has no router: this is what one writes without.
async fn route(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let response = match request.uri().path() {
        "/" => text(Bytes::from_static(b"Hello, World!")),
        "/echo" => match request.into_body().collect().await {
            Ok(body) => text(body.to_bytes()),
            Err(_) => status(StatusCode::BAD_REQUEST),
        },
        "/json" => with_type(Bytes::from_static(br#"{"message":"Hello, World!"}"#), "application/json"),
        path => {
            if let Some(id) = path.strip_prefix("/users/") {
                text(Bytes::copy_from_slice(id.as_bytes()))
            } else if let Some(Ok(count)) = path.strip_prefix("/stream/").map(str::parse::<u16>) {
                text(vec![b'x'; usize::from(count)].into())
            } else {
                status(StatusCode::NOT_FOUND)
            }
        }
    };
    Ok(response)
}

fn text(body: Bytes) -> Response<Full<Bytes>> {
    with_type(body, "text/plain")
}

fn with_type(body: Bytes, media_type: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
