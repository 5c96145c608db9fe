//! Echo on monoio (io_uring), one runtime per reactor.
//!
//! Tuned: a ring with SINGLE_ISSUER, DEFER_TASKRUN, TASKRUN_FLAG, SUBMIT_ALL, CLAMP and 4096 entries (its io-uring crate
//! has no NO_SQARRAY). `--coop`: COOP_TASKRUN in place of DEFER_TASKRUN. `--untuned`: its defaults, no flags at all.

use std::io;
use std::net::TcpListener as StdListener;

use bench_common::args::Args;
use bench_common::listen::Blocking;
use bench_common::server::{self, ServerArgs};
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};

fn main() -> io::Result<()> {
    let mut args = Args::from_env();
    let server = ServerArgs::take(&mut args);
    let buffer = args.value_or("--buffer", 4096);
    let untuned = args.flag("--untuned");
    let coop = args.flag("--coop");
    args.finish();
    server::run(
        server,
        Blocking::Yes,
        || None,
        move |_, listener| {
            let mut builder = RuntimeBuilder::<IoUringDriver>::new();
            if !untuned {
                builder = builder.with_entries(4096).uring_builder(flags(coop));
            }
            builder.build()?.block_on(serve(listener, buffer))
        },
    )
}

fn flags(coop: bool) -> io_uring::Builder {
    let mut flags = io_uring::IoUring::builder();
    flags.setup_single_issuer().setup_taskrun_flag().setup_submit_all().setup_clamp();
    if coop {
        flags.setup_coop_taskrun();
    } else {
        flags.setup_defer_taskrun();
    }
    flags
}

async fn serve(listener: StdListener, buffer: usize) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            monoio::spawn(echo(stream, buffer));
        }
    }
}

/// An error ends the connection.
async fn echo(mut stream: TcpStream, buffer: usize) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(buffer);
    loop {
        let (len, received) = stream.read(buffer).await;
        if len? == 0 {
            return Ok(());
        }
        let (sent, mut taken) = stream.write_all(received).await;
        sent?;
        taken.clear();
        buffer = taken;
    }
}
