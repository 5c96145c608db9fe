//! Annulet: a server runtime on io_uring, or on epoll where io_uring is blocked.
//!
//! ```no_run
//! annulet::serve("127.0.0.1:7000", async |mut conn| {
//!     while let Some(chunk) = conn.recv().await? {
//!         conn.send(chunk).await?;
//!     }
//!     Ok(())
//! })
//! # .unwrap();
//! ```
//!
//! That is a whole server: on every core, with timeouts and limits, and with a drain on SIGTERM.
//!
//! # What is where
//!
//! | for | see |
//! |---|---|
//! | a server of one line | [`serve()`] |
//! | a server with settings | [`Server`], [`ListenOptions`], [`Limits`], [`Clocks`] |
//! | a connection | [`Connection`], [`Chunk`], [`connect`] |
//! | messages | [`Connection::framed`], [`proto`] |
//! | HTTP | [`http()`], [`mod@http`] |
//! | names of std and tokio | [`net`], [`time`], [`task`], [`signal`] |
//! | the runtime | [`run`], [`Runtime`], [`Park`], [`DriverChoice`] |
//! | tests | [`test`](macro@test), and in a simulated world (feature `sim`) `sim`, `sim_test` |
//!
//! # What it promises
//!
//! * Dropping any future is safe, and what had arrived is never lost: not a byte, not a connection.
//! * An idle connection holds no buffer.
//! * Every queue, pool and window has a limit, a policy when it is full, and a counter.
//! * The same program runs on io_uring and on epoll, and says which it got and why; its tests run in a simulated world, too.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(feature = "http")]
mod http_server;
mod serve;

pub use annulet_driver::{DriverChoice, DriverKind, DriverOptions, PoolOptions, Selection};
pub use annulet_macros::test;
pub use annulet_net::{
    Address, Chunk, Clock, Clocks, Connection, Connector, DrainReport, Error, Framed, FramedError,
    HandlerError, HandlerResult, Limits, ListenAddress, ListenOptions, ListenerId, Payload, ServeError,
    Server, ServerBuilder, Stats, connect,
};
pub use annulet_runtime::{
    Builder, ExitReport, Handle, JoinError, JoinHandle, Origin, Park, Reactor, ReactorId, Runtime,
    RuntimeError, resolve, run, signal, spawn_blocking, spawn_local, task, time, yield_now,
};
#[cfg(feature = "http")]
pub use http_server::http;
pub use serve::{serve, serving, stop_on_signal, stop_signals, until_stopped};

/// Sockets under the names of std and tokio, and the less common types around connections.
pub mod net {
    pub use annulet_net::*;
}

/// HTTP/1.1.
#[cfg(feature = "http")]
pub mod http {
    pub use annulet_http::*;
}

/// Framing without I/O: lines, length-prefixed messages, the PING/ECHO/QUIT grammar.
pub mod proto {
    pub use annulet_proto::*;
}

/// A world made of a seed, in which servers and clients run as they are: for tests.
///
/// The guide is `docs/simulation.md`.
#[cfg(feature = "sim")]
pub mod sim {
    pub use annulet_sim::*;
}

#[cfg(feature = "sim")]
pub use annulet_macros::sim_test;

/// The kernel interfaces: choosing one, probing what it offers.
pub mod driver {
    pub use annulet_driver::*;
}

/// The README's programs, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The guide's tests, compiled.
#[cfg(all(doctest, feature = "sim"))]
#[doc = include_str!("../../../docs/simulation.md")]
struct Simulation;
