//! Listeners, made the same way for every server.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Pending connections a listener holds; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Whether the runtime wants `O_NONBLOCK` on its listener. Readiness runtimes do; a ring must not have it, since
/// the kernel then answers `EAGAIN` instead of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocking {
    /// The flag is clear.
    Yes,
    /// The flag is set.
    No,
}

/// `count` listeners that share one address (`SO_REUSEPORT`), and that address with its real port.
///
/// `TCP_NODELAY` is set on the listener and inherited by each accepted socket, so no server spends a system
/// call per connection on it.
pub fn listeners(
    address: SocketAddr,
    count: usize,
    blocking: Blocking,
) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let first = listener(address, blocking)?;
    let address = first.local_addr()?;
    let mut all = vec![first];
    for _ in 1..count {
        all.push(listener(address, blocking)?);
    }
    Ok((address, all))
}

fn listener(address: SocketAddr, blocking: Blocking) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(blocking == Blocking::No)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
