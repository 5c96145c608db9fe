//! Servers: listeners on every reactor, handlers, limits, statistics and an orderly end.

mod builder;
mod claim;
mod control;
mod handler;
mod reactor;
mod stats;

pub use builder::{ListenOptions, ServerBuilder};
pub use handler::{Handler, Protocol};
pub use stats::Stats;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use annulet_driver::Address;
use annulet_runtime::Handle;
use annulet_runtime::time::timeout;

use control::{Control, Phase};

/// How long a drain may take unless [`ServerBuilder::drain_timeout`] says otherwise.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// A server that runs: its listeners accept on every reactor until it is stopped or dropped.
///
/// ```no_run
/// # async fn example() -> Result<(), annulet_net::ServeError> {
/// use annulet_net::Server;
///
/// let server = Server::builder()
///     .listen("127.0.0.1:7000", async |mut connection| {
///         while let Some(chunk) = connection.recv().await? {
///             connection.send(chunk).await?;
///         }
///         Ok(())
///     })
///     .start()
///     .await?;
/// println!("listening on {}", server.addresses()[0]);
/// annulet_runtime::signal::ctrl_c().await;
/// let report = server.stop().await;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
pub struct Server {
    control: Arc<Control>,
    addresses: Vec<Address>,
    drain_timeout: Duration,
    handle: Handle,
}

/// Why a server did not start.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// An address could not be understood.
    #[error(transparent)]
    Address(#[from] crate::address::ParseAddressError),
    /// Listening failed.
    #[error("listening on {address}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The builder was given no listener.
    #[error("a server needs at least one address to listen at")]
    NoListener,
    /// The runtime under a one-line server did not start, or broke.
    #[error(transparent)]
    Runtime(#[from] annulet_runtime::RuntimeError),
}

/// In words, with the causes: it is what `main() -> Result<(), ServeError>` prints.
impl fmt::Debug for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        annulet_runtime::error_chain(self, f)
    }
}

/// What a drain came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Connections open when the drain began, or found in the accept queues.
    pub connections: u64,
    /// Connections that had not ended at the deadline, or could not be accepted by then for want of descriptors, and were
    /// reset. One that had sent everything, and only waited for the peer's end, had ended.
    pub cut: u64,
}

impl DrainReport {
    /// True when nothing was cut.
    pub fn is_clean(&self) -> bool {
        self.cut == 0
    }
}

impl fmt::Display for DrainReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "drained {} connections, cut {}", self.connections, self.cut)
    }
}

impl Server {
    /// Settings first.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Where it listens, in the order the listeners were added, with the ports the kernel chose.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Counters of all reactors, summed.
    pub fn stats(&self) -> Stats {
        Stats::of(&self.handle)
    }

    /// Begins the drain without waiting for it: connections waiting to be accepted are accepted, listeners close, handlers
    /// are told. Idempotent.
    pub fn start_drain(&self) {
        self.control.advance(Phase::Draining);
    }

    /// Stops in order: takes what waits to be accepted, closes the listeners, tells handlers, lets them finish what was
    /// received, and at the drain deadline resets the connections that are left. When descriptors run out, those that end
    /// make room for those that wait, until the deadline.
    ///
    /// # Cancel safety
    /// Dropping it cuts at once.
    pub async fn stop(self) -> DrainReport {
        self.start_drain();
        let drained = timeout(self.drain_timeout, poll_fn(|cx| self.control.poll_ended(cx))).await;
        if drained.is_err() {
            self.control.advance(Phase::Cut);
            poll_fn(|cx| self.control.poll_ended(cx)).await;
        }
        self.control.report()
    }

    /// A handle with which another task can cut a drain short.
    pub fn cutter(&self) -> Cutter {
        Cutter(self.control.clone())
    }

    /// Stops without waiting for anybody: every connection is reset.
    pub async fn abort(self) -> DrainReport {
        self.control.advance(Phase::Cut);
        poll_fn(|cx| self.control.poll_ended(cx)).await;
        self.control.report()
    }
}

/// Cuts a server short; see [`Server::cutter`].
#[derive(Clone, Debug)]
pub struct Cutter(Arc<Control>);

impl Cutter {
    /// Resets every connection that is left.
    pub fn cut(&self) {
        self.0.advance(Phase::Cut);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.control.advance(Phase::Cut);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}
