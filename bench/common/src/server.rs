//! The frame of every benchmarked server.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread;

use crate::args::Args;
use crate::listen::{self, Blocking};
use crate::signals;

/// The options all servers share.
#[derive(Debug, Clone, Copy)]
pub struct ServerArgs {
    /// `--listen ADDR`, by default a free port on loopback.
    pub listen: SocketAddr,
    /// `--reactors N`: threads, each with a listener, a loop and its connections of its own.
    pub reactors: usize,
}

impl ServerArgs {
    /// Takes the shared options.
    pub fn take(args: &mut Args) -> Self {
        Self {
            listen: args.value_or("--listen", SocketAddr::from(([127, 0, 0, 1], 0))),
            reactors: args.value_or("--reactors", 1).max(1),
        }
    }
}

/// Opens the listeners, prints the start line and runs `reactor(index, listener)` on a thread each.
///
/// Returns only if a reactor ends, which is an error for all of these servers; SIGTERM ends the process.
pub fn run(
    args: ServerArgs,
    blocking: Blocking,
    report: impl Fn() -> Option<String> + Send + 'static,
    reactor: impl Fn(usize, TcpListener) -> io::Result<()> + Clone + Send + 'static,
) -> io::Result<()> {
    signals::handle(report)?;
    let (address, listeners) = listen::listeners(args.listen, args.reactors, blocking)?;
    println!("listening on {address}");
    let spawn = |(index, listener)| {
        let reactor = reactor.clone();
        thread::Builder::new().name(format!("reactor-{index}")).spawn(move || reactor(index, listener))
    };
    let threads = listeners.into_iter().enumerate().map(spawn).collect::<io::Result<Vec<_>>>()?;
    for thread in threads {
        thread.join().map_err(|_| io::Error::other("a reactor panicked"))??;
    }
    Err(io::Error::other("the reactors ended"))
}
