//! Echo on tokio (epoll).
//!
//! Tuned: a current-thread runtime per reactor, each with its own listener. `--untuned`: one multi-thread runtime with
//! its defaults, as `#[tokio::main]` makes it; `--reactors` is then the number of workers.

use std::io;
use std::net::TcpListener as StdListener;

use bench_common::args::Args;
use bench_common::listen::Blocking;
use bench_common::server::{self, ServerArgs};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

fn main() -> io::Result<()> {
    let mut args = Args::from_env();
    let server = ServerArgs::take(&mut args);
    let buffer = args.value_or("--buffer", 4096);
    let untuned = args.flag("--untuned");
    let event_interval = args.value("--event-interval");
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
                // As `#[tokio::main]` does: the accept loop runs outside the workers, connections on them.
                runtime.block_on(serve(listener, buffer))
            },
        );
    }
    server::run(
        server,
        Blocking::No,
        || None,
        move |_, listener| {
            let mut builder = Builder::new_current_thread();
            if let Some(turns) = event_interval {
                builder.event_interval(turns);
            }
            builder.enable_io().build()?.block_on(serve(listener, buffer))
        },
    )
}

async fn serve(listener: StdListener, buffer: usize) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream, buffer));
        }
    }
}

/// An error ends the connection.
async fn echo(mut stream: TcpStream, buffer: usize) -> io::Result<()> {
    let mut buffer = vec![0; buffer];
    loop {
        let len = stream.read(&mut buffer).await?;
        if len == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..len]).await?;
    }
}
