//! Echo on glommio (its own io_uring rings), one executor per reactor, with its defaults.
//!
//! `--spin-us N` is `spin_before_park`, which it offers and leaves off.

use std::io;
use std::net::TcpListener as StdListener;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::time::Duration;

use bench_common::args::Args;
use bench_common::listen::Blocking;
use bench_common::server::{self, ServerArgs};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement};

fn main() -> io::Result<()> {
    let mut args = Args::from_env();
    let server = ServerArgs::take(&mut args);
    let buffer = args.value_or("--buffer", 4096);
    let spin = Duration::from_micros(args.value_or("--spin-us", 0));
    args.finish();
    server::run(
        server,
        Blocking::Yes,
        || None,
        move |_, listener| {
            let mut builder = LocalExecutorBuilder::new(Placement::Unbound);
            if !spin.is_zero() {
                builder = builder.spin_before_park(spin);
            }
            let executor = builder.make().map_err(|error| io::Error::other(error.to_string()))?;
            executor.run(serve(listener, buffer))
        },
    )
}

async fn serve(listener: StdListener, buffer: usize) -> io::Result<()> {
    // SAFETY: the descriptor is a listening socket whose ownership is handed over.
    let listener = unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) };
    loop {
        if let Ok(stream) = listener.accept().await {
            glommio::spawn_local(echo(stream, buffer)).detach();
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
