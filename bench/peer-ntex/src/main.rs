//! HTTP/1.1 on ntex, on one of its own two drivers: `--driver uring` (its default where the kernel has one) or
//! `--driver polling` (epoll). A runtime per worker, and a thread that accepts for all.
//!
//! `--reactors` is the number of workers. Connections are kept for 75 s instead of 5 s, so that they outlive the rests of
//! the benchmarks; everything else is as it comes.

use std::any::Any;
use std::io;
use std::net::TcpListener;
use std::panic;
use std::str::FromStr;

use bench_common::args::Args;
use bench_common::listen::Blocking;
use bench_common::server::{self, ServerArgs};
use ntex::SharedCfg;
use ntex::http::HttpServiceConfig;
use ntex::rt::{BlockFuture, Reactor, Runner, Runtime, System, polling, uring, with_reactor};
use ntex::time::Seconds;
use ntex::util::Bytes;
use ntex::web::types::Path;
use ntex::web::{App, HttpResponse, HttpServer, ServiceConfig, get, post};

/// Entries of a ring, as ntex itself chooses them.
const ENTRIES: u32 = 2048;

#[derive(Debug, Clone, Copy)]
enum Driver {
    Uring,
    Polling,
}

fn main() -> io::Result<()> {
    let mut args = Args::from_env();
    let server = ServerArgs::take(&mut args);
    let driver = args.value_or("--driver", Driver::Uring);
    args.finish();
    let workers = server.reactors;
    let one = ServerArgs { reactors: 1, ..server };
    server::run(
        one,
        Blocking::No,
        || None,
        move |_, listener| System::new("peer-ntex", driver).block_on(serve(listener, workers)),
    )
}

impl FromStr for Driver {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "uring" => Ok(Self::Uring),
            "polling" => Ok(Self::Polling),
            _ => Err("expected uring or polling"),
        }
    }
}

/// What ntex's default runtime does, with the driver chosen on the command line instead of by a feature.
impl Runner for Driver {
    fn block_on(&self, future: BlockFuture) -> Result<(), Box<dyn Any + Send>> {
        let reactor: Box<dyn Reactor> = match self {
            Self::Uring => Box::new(uring::Reactor::new(ENTRIES).expect("a kernel with io_uring")),
            Self::Polling => Box::new(polling::Reactor::new().expect("a kernel with epoll")),
        };
        with_reactor(&reactor, || {
            panic::catch_unwind(panic::AssertUnwindSafe(|| {
                Runtime::new(reactor.handle()).block_on(future, &*reactor);
            }))
        })
    }
}

async fn serve(listener: TcpListener, workers: usize) -> io::Result<()> {
    let http = HttpServiceConfig::new().set_keepalive(Seconds(75));
    HttpServer::new(async || App::new().configure(routes))
        .workers(workers)
        .config(SharedCfg::new("http").add(http))
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
    HttpResponse::Ok().content_type("application/json").body(r#"{"message":"Hello, World!"}"#)
}

fn text(body: impl Into<Bytes>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body(body.into())
}
