//! TCP under the names of std and tokio.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

use annulet_driver::Address;
use annulet_runtime::resolve;

use crate::connect::Connector;
use crate::connection::Connection;
use crate::listener::Listener;

/// A listening TCP socket of the current reactor.
///
/// For a server on all reactors, with limits and a drain, see [`Server`](crate::Server).
pub struct TcpListener(Listener);

impl TcpListener {
    /// Listens at `address` (`host:port`; port 0 lets the kernel choose), with an accept queue of 1024.
    ///
    /// # Errors
    /// `AddrInUse` and the like; the resolver's.
    pub async fn bind(address: &str) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in resolve(address).await? {
            match Listener::bind(Address::Tcp(address)) {
                Ok(listener) => return Ok(Self(listener)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The next connection and the peer's address. For one that is gone already the address is unknown
    /// (`0.0.0.0:0`), and reading it tells why.
    ///
    /// # Errors
    /// The listener's own. Running out of descriptors is not one: accepting pauses until something is closed.
    ///
    /// # Cancel safety
    /// No connection is lost: it waits for the next call.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let connection = self.0.accept().await?;
        let address = connection.peer_address().ok().and_then(|address| address.as_tcp());
        Ok((TcpStream(connection), address.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))))
    }

    /// The address it really listens at.
    ///
    /// # Errors
    /// None today; the signature is std's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.address().as_tcp().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpListener({})", self.0.address())
    }
}

/// A TCP connection: a [`Connection`] with TCP's addresses.
pub struct TcpStream(Connection);

impl TcpStream {
    /// Connects to `host:port` within 10 seconds over all its addresses.
    ///
    /// # Errors
    /// The last address's error, or `TimedOut`.
    ///
    /// # Cancel safety
    /// Not cancel-safe: a connection that is just being made is closed.
    pub async fn connect(target: &str) -> io::Result<Self> {
        Ok(Self(Connector::new().connect(target).await?))
    }

    /// Address of the peer.
    ///
    /// # Errors
    /// The kernel's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        tcp(self.0.peer_address()?)
    }

    /// Address of this end.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        tcp(self.0.local_address()?)
    }

    /// The connection.
    pub fn into_connection(self) -> Connection {
        self.0
    }
}

fn tcp(address: Address) -> io::Result<SocketAddr> {
    address.as_tcp().ok_or_else(|| io::Error::other("not a TCP address"))
}

impl From<TcpStream> for Connection {
    fn from(stream: TcpStream) -> Self {
        stream.0
    }
}

impl Deref for TcpStream {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for TcpStream {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpStream({})", self.0.number())
    }
}
