//! Unix stream sockets under the names of std and tokio.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::path::Path;

use annulet_driver::{Address, UnixAddress};

use crate::connect::Connector;
use crate::connection::Connection;
use crate::listener::Listener;

/// A listening Unix stream socket of the current reactor.
pub struct UnixListener(Listener);

impl UnixListener {
    /// Listens at `path`. A stale socket file is replaced if nobody answers there; the file is removed when the listener
    /// goes.
    ///
    /// # Errors
    /// `AddrInUse` when somebody answers; whatever the file system says.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        let address = UnixAddress::Path(path.as_ref().to_owned());
        Ok(Self(Listener::bind(Address::Unix(address))?))
    }

    /// The next connection and the peer's address, which is usually unnamed.
    ///
    /// # Errors
    /// The listener's own.
    ///
    /// # Cancel safety
    /// No connection is lost.
    pub async fn accept(&self) -> io::Result<(UnixStream, Address)> {
        let connection = self.0.accept().await?;
        let address = connection.peer_address().unwrap_or(Address::Unix(UnixAddress::Unnamed));
        Ok((UnixStream(connection), address))
    }

    /// Its address.
    ///
    /// # Errors
    /// None today; the signature is std's.
    pub fn local_addr(&self) -> io::Result<Address> {
        Ok(self.0.address().clone())
    }
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnixListener({})", self.0.address())
    }
}

/// A Unix stream connection: a [`Connection`].
pub struct UnixStream(Connection);

impl UnixStream {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// The kernel's; `TimedOut` after 10 seconds.
    ///
    /// # Cancel safety
    /// Not cancel-safe.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let address = Address::Unix(UnixAddress::Path(path.as_ref().to_owned()));
        Ok(Self(Connector::new().connect_address(address).await?))
    }

    /// The connection.
    pub fn into_connection(self) -> Connection {
        self.0
    }
}

impl From<UnixStream> for Connection {
    fn from(stream: UnixStream) -> Self {
        stream.0
    }
}

impl Deref for UnixStream {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for UnixStream {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnixStream({})", self.0.number())
    }
}
