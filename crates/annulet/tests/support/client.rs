//! Blocking clients: what the other end of a connection is in real life, with no code of ours in it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::PATIENCE;

/// A connection whose reads and writes fail rather than hang.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    impatient(TcpStream::connect(address).expect("connect"))
}

/// A connection with a kernel receive buffer of `bytes`, set before the handshake so that the window is small from the
/// start.
pub(crate) fn connect_narrow(address: SocketAddr, bytes: usize) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.cloexec(), None).expect("socket");
    socket.set_recv_buffer_size(bytes).expect("SO_RCVBUF");
    socket.connect(&address.into()).expect("connect");
    impatient(socket.into())
}

fn impatient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).expect("read timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("write timeout");
    stream.set_nodelay(true).expect("nodelay");
    stream
}

/// Sends `bytes` and expects them back. They must fit the buffers on the way, since nothing is read meanwhile.
pub(crate) fn exchange(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).expect("write");
    assert_eq!(read_exactly(stream, bytes.len()), bytes);
}

/// The next `count` bytes.
pub(crate) fn read_exactly(stream: &mut impl Read, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).expect("read");
    bytes
}

/// Everything up to an orderly end.
pub(crate) fn read_all(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an orderly end");
    bytes
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In order.
    Finished,
    /// By a reset.
    Reset,
}

/// Reads until the end: what came, and how it ended.
pub(crate) fn end_of(stream: &mut impl Read) -> (Vec<u8>, End) {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => (bytes, End::Finished),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => (bytes, End::Reset),
        Err(error) => panic!("neither an end nor a reset: {error}"),
    }
}
