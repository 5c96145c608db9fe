//! One client connection: an outgoing stream of known bytes and the check of what comes back.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use socket2::{Domain, Protocol, Socket, Type};

use crate::pattern::{Pattern, SLICE_MAX};

/// What a round of receiving found.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Received {
    /// Bytes that arrived.
    pub(crate) bytes: usize,
    /// Bytes among them that were not what was sent.
    pub(crate) wrong: usize,
    /// The server has ended the connection.
    pub(crate) ended: bool,
}

pub(crate) struct Conn {
    stream: TcpStream,
    /// Stream positions: what may be sent, what the socket has taken, what has come back.
    pub(crate) wanted: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

impl Conn {
    /// Starts to connect; an edge for writing tells the end of it. `source` spreads many short
    /// connections over several loopback addresses, each with its own ephemeral ports.
    pub(crate) fn start(server: SocketAddr, source: Option<SocketAddr>) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(source) = source {
            bind_address_no_port(&socket)?;
            socket.bind(&source.into())?;
        }
        match socket.connect(&server.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        Ok(Self { stream: socket.into(), wanted: 0, sent: 0, received: 0 })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Sends up to `wanted`, as far as the socket takes it.
    #[inline]
    pub(crate) fn send(&mut self, pattern: &Pattern) -> io::Result<()> {
        while self.sent < self.wanted {
            let len = (self.wanted - self.sent).min(SLICE_MAX as u64) as usize;
            match self.stream.write(pattern.at(self.sent, len)) {
                Ok(taken) => self.sent += taken as u64,
                // Not connected yet, or no room: an edge will tell.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Receives until drained, at most to the end, and compares. A read shorter than `scratch` means drained, unless
    /// everything sent has come back and only the end can follow.
    #[inline]
    pub(crate) fn receive(&mut self, pattern: &Pattern, scratch: &mut [u8]) -> io::Result<Received> {
        let mut found = Received::default();
        loop {
            match self.stream.read(scratch) {
                Ok(0) => {
                    found.ended = true;
                    return Ok(found);
                }
                Ok(len) => {
                    found.wrong += self.check(pattern, &scratch[..len]);
                    found.bytes += len;
                    if len < scratch.len() {
                        return Ok(found);
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return Ok(found);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Counts the bytes that differ from what was sent; bytes never sent are all wrong.
    #[inline]
    fn check(&mut self, pattern: &Pattern, bytes: &[u8]) -> usize {
        let known = bytes.len().min((self.sent - self.received) as usize);
        let expected = pattern.at(self.received, known);
        self.received += known as u64;
        if bytes == expected {
            return 0;
        }
        bytes.len() - bytes.iter().zip(expected).filter(|(a, b)| a == b).count()
    }

    /// Ends our direction; the server should answer with its own end.
    pub(crate) fn shut_down_write(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }
}

/// Lets the kernel choose the port at connect time, when it knows the whole address pair
/// (`IP_BIND_ADDRESS_NO_PORT`): only then may the pairs of different connections share a port.
fn bind_address_no_port(socket: &Socket) -> io::Result<()> {
    let on: libc::c_int = 1;
    let (level, name) = (libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT);
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: pointer and length are those of a live value, which the kernel only reads.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const on).cast(), len) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
