//! Echo on compio (io_uring), one runtime per reactor.
//!
//! Tuned: SINGLE_ISSUER, DEFER_TASKRUN, TASKRUN_FLAG, a larger completion queue, multishot accept, and multishot receive
//! (`read_multi`) on a pool of 128 buffers of 8 KiB. `--read owned`: the same ring with plain reads into a buffer per
//! connection. `--buffer BYTES` is the size of either kind of buffer. `--untuned`: its defaults, plain accept and plain reads.

use std::io;
use std::net::TcpListener as StdListener;
use std::num::NonZero;

use bench_common::args::{Args, usage};
use bench_common::listen::Blocking;
use bench_common::server::{self, ServerArgs};
use compio::BufResult;
use compio::driver::ProactorBuilder;
use compio::io::{AsyncRead, AsyncReadMulti, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::{RuntimeBuilder, spawn};
use futures_util::{StreamExt, pin_mut};

/// How connections are read.
#[derive(Debug, Clone, Copy)]
enum Read {
    /// Multishot, into the runtime's buffer pool.
    Multi,
    /// One shot, into a buffer of this size per connection.
    Owned(usize),
}

fn main() -> io::Result<()> {
    let mut args = Args::from_env();
    let server = ServerArgs::take(&mut args);
    let buffer: Option<usize> = args.value("--buffer");
    let untuned = args.flag("--untuned");
    let buffers: NonZero<u16> = args.value_or("--buffers", NonZero::new(128).expect("128 is not 0"));
    let pool_buffer = buffer.unwrap_or(8192);
    let own_buffer = buffer.unwrap_or(4096);
    let event_interval: Option<usize> = args.value("--event-interval");
    let read = match args.value::<String>("--read").as_deref() {
        _ if untuned => Read::Owned(own_buffer),
        None | Some("multi") => Read::Multi,
        Some("owned") => Read::Owned(own_buffer),
        Some(other) => usage(&format!("--read {other}: expected multi or owned")),
    };
    args.finish();
    server::run(
        server,
        Blocking::Yes,
        || None,
        move |_, listener| {
            let mut runtime = RuntimeBuilder::new();
            if !untuned {
                let mut ring = ProactorBuilder::new();
                ring.single_issuer(true).defer_taskrun(true).taskrun_flag(true);
                ring.capacity(1024).cqsize(4096);
                ring.buffer_pool_size(buffers).buffer_pool_buffer_len(pool_buffer);
                runtime.with_proactor(ring);
            }
            if let Some(ticks) = event_interval {
                runtime.event_interval(ticks);
            }
            runtime.build()?.block_on(serve(listener, read, untuned))
        },
    )
}

async fn serve(listener: StdListener, read: Read, untuned: bool) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    if untuned {
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                start(stream, read);
            }
        }
    }
    let mut incoming = listener.incoming();
    while let Some(stream) = incoming.next().await {
        if let Ok(stream) = stream {
            start(stream, read);
        }
    }
    Ok(())
}

/// An error ends the connection.
fn start(stream: TcpStream, read: Read) {
    match read {
        Read::Multi => spawn(echo_multi(stream)).detach(),
        Read::Owned(size) => spawn(echo_owned(stream, size)).detach(),
    }
}

async fn echo_multi(stream: TcpStream) -> io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    loop {
        if let Next::End = echo_chunks(&mut reader, &mut writer).await? {
            return Ok(());
        }
        // The pool is empty, perhaps for long (a peer that does not read pins what it was sent): one message goes
        // through a buffer of our own.
        if let Next::End = echo_once(&mut reader, &mut writer, Vec::with_capacity(4096)).await?.0 {
            return Ok(());
        }
    }
}

async fn echo_owned(mut stream: TcpStream, size: usize) -> io::Result<()> {
    let mut writer = stream.clone();
    let mut buffer = Vec::with_capacity(size);
    loop {
        match echo_once(&mut stream, &mut writer, buffer).await? {
            (Next::End, _) => return Ok(()),
            (Next::More, taken) => buffer = taken,
        }
    }
}

/// Whether the peer may send more.
enum Next {
    More,
    End,
}

/// Echoes what the pool's buffers hold, until it has none left.
async fn echo_chunks(reader: &mut TcpStream, writer: &mut TcpStream) -> io::Result<Next> {
    let chunks = reader.read_multi(0);
    pin_mut!(chunks);
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => writer.write_all(chunk).await.0?,
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => return Ok(Next::More),
            Err(error) => return Err(error),
        }
    }
    Ok(Next::End)
}

async fn echo_once(
    reader: &mut TcpStream,
    writer: &mut TcpStream,
    buffer: Vec<u8>,
) -> io::Result<(Next, Vec<u8>)> {
    let BufResult(len, received) = reader.read(buffer).await;
    if len? == 0 {
        return Ok((Next::End, received));
    }
    let BufResult(sent, mut taken) = writer.write_all(received).await;
    sent?;
    taken.clear();
    Ok((Next::More, taken))
}
