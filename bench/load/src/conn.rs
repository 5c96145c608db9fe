//! One client connection: an outgoing stream of known bytes and the check of what comes back.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use socket2::{Domain, Protocol, Socket, Type};

use crate::pattern::{Pattern, SLICE_MAX};
use crate::requests::Requests;
use crate::responses::Responses;
use crate::traffic::Traffic;

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
    /// Positions in the stream that is sent: what may be sent, what the socket has taken, what has come back or, of
    /// requests, has been answered.
    pub(crate) wanted: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Of requests: the number of the next to be sent, the number of the next to be answered, and the beginning of that
    /// answer.
    asked: u64,
    answered: u64,
    partial: Vec<u8>,
}

impl Conn {
    /// Starts to connect; an edge for writing tells the end of it. `source` spreads many short
    /// connections over several loopback addresses, each with its own ephemeral ports. `asked` and `position` are where the
    /// stream begins.
    pub(crate) fn start(
        server: SocketAddr,
        source: Option<SocketAddr>,
        (asked, position): (u64, u64),
    ) -> io::Result<Self> {
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
        Ok(Self {
            stream: socket.into(),
            wanted: position,
            sent: position,
            received: position,
            asked,
            answered: asked,
            partial: Vec::new(),
        })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Lets it send one message more.
    #[inline]
    pub(crate) fn want_message(&mut self, traffic: &Traffic) {
        match traffic {
            Traffic::Echo { size, .. } => self.wanted += size,
            Traffic::Http { requests, depth, .. } => {
                let end = self.asked + depth;
                self.wanted += (self.asked..end).map(|number| requests.length(number)).sum::<u64>();
                self.asked = end;
            }
        }
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
    pub(crate) fn receive(&mut self, traffic: &mut Traffic, scratch: &mut [u8]) -> io::Result<Received> {
        let mut found = Received::default();
        loop {
            match self.stream.read(scratch) {
                Ok(0) => {
                    found.ended = true;
                    return Ok(found);
                }
                Ok(len) => {
                    match traffic {
                        Traffic::Echo { bytes, .. } => found.wrong += self.check_echo(bytes, &scratch[..len]),
                        Traffic::Http { requests, responses, .. } => {
                            self.check_responses(requests, responses, &scratch[..len])?;
                        }
                    }
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
    fn check_echo(&mut self, pattern: &Pattern, bytes: &[u8]) -> usize {
        let known = bytes.len().min((self.sent - self.received) as usize);
        let expected = pattern.at(self.received, known);
        self.received += known as u64;
        if bytes == expected {
            return 0;
        }
        bytes.len() - bytes.iter().zip(expected).filter(|(a, b)| a == b).count()
    }

    /// Counts the requests that are answered, correctly or it is an error.
    #[inline]
    fn check_responses(
        &mut self,
        requests: &Requests,
        responses: &mut Responses,
        bytes: &[u8],
    ) -> io::Result<()> {
        if self.partial.is_empty() {
            let taken = self.take_responses(requests, responses, bytes)?;
            self.partial.extend_from_slice(&bytes[taken..]);
            return Ok(());
        }
        let mut partial = std::mem::take(&mut self.partial);
        partial.extend_from_slice(bytes);
        let taken = self.take_responses(requests, responses, &partial)?;
        partial.drain(..taken);
        self.partial = partial;
        Ok(())
    }

    /// Takes all complete responses at the front; how many bytes they are.
    #[inline]
    fn take_responses(
        &mut self,
        requests: &Requests,
        responses: &mut Responses,
        bytes: &[u8],
    ) -> io::Result<usize> {
        let mut taken = 0;
        while taken < bytes.len() {
            let Some(length) = responses.length(&bytes[taken..])? else { break };
            if self.answered == self.asked {
                return Err(io::Error::other("a response to no request"));
            }
            taken += length;
            self.received += requests.length(self.answered);
            self.answered += 1;
        }
        Ok(taken)
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
