//! TCP and Unix listeners, connections and servers.
//!
//! * [`Server`]: listeners on every reactor, limits, statistics, an orderly end.
//! * [`Connection`]: a byte stream with leases on received buffers, staged writes, clocks and limits.
//! * [`TcpListener`], [`TcpStream`], [`UnixListener`], [`UnixStream`]: the same under the names of std and tokio.
//! * [`connect`]: a connection to somewhere.
//! * [`Framed`]: messages on top of the bytes.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod acceptor;
mod address;
#[cfg(any(feature = "futures-io", feature = "tokio-io"))]
mod compat;
mod connect;
mod connection;
mod counters;
mod error;
mod framed;
mod group;
mod halves;
mod latch;
mod listener;
mod options;
mod server;
mod stream;
mod tcp;
mod unix;

pub use address::{ListenAddress, ParseAddressError};
pub use annulet_driver::{Address, Chunk, Payload, UnixAddress};
pub use connect::{CONNECT_TIMEOUT, Connector, connect};
pub use connection::Connection;
pub use counters::NetCounters;
pub use error::{Error, HandlerError, HandlerResult};
pub use framed::{Framed, FramedError};
pub use group::ListenerId;
pub use halves::{ReadHalf, WriteHalf};
pub use options::{Clock, Clocks, Limits};
pub use server::{
    Cutter, DRAIN_TIMEOUT, DrainReport, Handler, ListenOptions, Protocol, ServeError, Server, ServerBuilder,
    Stats,
};
pub use tcp::{TcpListener, TcpStream};
pub use unix::{UnixListener, UnixStream};
