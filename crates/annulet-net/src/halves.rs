//! A connection in two halves, for two tasks.

use std::fmt;

use annulet_driver::{Chunk, Payload};

use crate::connection::Connection;
use crate::error::Error;

/// The reading half; see [`Connection::split`]. Its methods are those of [`Connection`].
pub struct ReadHalf(Connection);

/// The writing half; see [`Connection::split`]. Its methods are those of [`Connection`].
pub struct WriteHalf {
    connection: Connection,
    /// Dropping the half ends this side.
    ends: bool,
}

impl ReadHalf {
    pub(crate) fn new(connection: Connection) -> Self {
        Self(connection)
    }

    /// [`Connection::recv`].
    ///
    /// # Errors
    /// The same.
    pub async fn recv(&mut self) -> Result<Option<Chunk>, Error> {
        self.0.recv().await
    }

    /// [`Connection::fill_buf`].
    ///
    /// # Errors
    /// The same.
    pub async fn fill_buf(&mut self) -> Result<&[u8], Error> {
        self.0.fill_buf().await
    }

    /// [`Connection::consume`].
    ///
    /// # Panics
    /// The same.
    pub fn consume(&mut self, count: usize) {
        self.0.consume(count);
    }

    /// [`Connection::read`].
    ///
    /// # Errors
    /// The same.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.0.read(buffer).await
    }

    /// [`Connection::read_exact`].
    ///
    /// # Errors
    /// The same.
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        self.0.read_exact(buffer).await
    }

    /// The connection's number.
    pub fn number(&self) -> u64 {
        self.0.number()
    }

    /// The whole again.
    ///
    /// # Errors
    /// Both halves back when they are not of one connection.
    pub fn reunite(self, mut write: WriteHalf) -> Result<Connection, (Self, WriteHalf)> {
        if std::rc::Rc::ptr_eq(self.0.stream(), write.connection.stream()) {
            write.ends = false;
            Ok(self.0)
        } else {
            Err((self, write))
        }
    }
}

impl WriteHalf {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection, ends: true }
    }

    /// [`Connection::write`].
    ///
    /// # Errors
    /// The same.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        self.connection.write(bytes).await
    }

    /// [`Connection::write_all`].
    ///
    /// # Errors
    /// The same.
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.connection.write_all(bytes).await
    }

    /// [`Connection::send`].
    ///
    /// # Errors
    /// The same.
    pub async fn send(&mut self, payload: impl Into<Payload> + AsRef<[u8]>) -> Result<(), Error> {
        self.connection.send(payload).await
    }

    /// [`Connection::reserve`].
    ///
    /// # Errors
    /// The same.
    pub async fn reserve(&mut self, length: usize) -> Result<(), Error> {
        self.connection.reserve(length).await
    }

    /// [`Connection::stage`].
    ///
    /// # Errors
    /// The same.
    pub fn stage(&mut self, payload: impl Into<Payload>) -> Result<(), Error> {
        self.connection.stage(payload)
    }

    /// [`Connection::flush`].
    ///
    /// # Errors
    /// The same.
    pub async fn flush(&mut self) -> Result<(), Error> {
        self.connection.flush().await
    }

    /// [`Connection::shutdown`].
    ///
    /// # Errors
    /// The same.
    pub async fn shutdown(&mut self) -> Result<(), Error> {
        self.connection.shutdown().await
    }

    /// [`Connection::abort`]: of both halves. The other half's next call says so.
    pub fn abort(mut self) {
        self.ends = false;
        self.connection.stream().abort(Error::Aborted);
    }

    /// The connection's number.
    pub fn number(&self) -> u64 {
        self.connection.number()
    }
}

impl Drop for WriteHalf {
    fn drop(&mut self) {
        if self.ends && !std::thread::panicking() {
            self.connection.stream().shutdown_write();
        }
    }
}

impl fmt::Debug for ReadHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadHalf({})", self.number())
    }
}

impl fmt::Debug for WriteHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WriteHalf({})", self.number())
    }
}
