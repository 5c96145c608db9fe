//! Making connections.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use annulet_driver::{Address, Instant, Key, Op, Outcome, Socket, SocketOption};
use annulet_runtime::time::{Elapsed, timeout_at};
use annulet_runtime::{Reactor, Source, SourceId, resolve};

use crate::address;
use crate::connection::Connection;
use crate::group::Group;
use crate::options::{Clocks, Limits};
use crate::stream::{Local, Stream};

/// How long making a connection may take, all addresses together, unless [`Connector::timeout`] says otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to `host:port`, `[::1]:port` or `unix:/path` with default limits and within 10 seconds.
///
/// # Errors
/// The last address's error; `TimedOut` when the deadline came first.
///
/// # Cancel safety
/// Not cancel-safe: a connection that is just being made is closed.
pub async fn connect(target: &str) -> io::Result<Connection> {
    Connector::new().connect(target).await
}

/// Settings of connections to be made.
#[derive(Clone, Debug)]
#[must_use]
pub struct Connector {
    timeout: Duration,
    limits: Limits,
    clocks: Clocks,
}

impl Default for Connector {
    fn default() -> Self {
        Self::new()
    }
}

impl Connector {
    /// The defaults.
    pub fn new() -> Self {
        Self { timeout: CONNECT_TIMEOUT, limits: Limits::default(), clocks: Clocks::outgoing() }
    }

    /// One deadline over name resolution and all addresses.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Memory limits of the connection.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Clocks of the connection.
    pub fn clocks(mut self, clocks: Clocks) -> Self {
        self.clocks = clocks;
        self
    }

    /// Connects to `host:port`, `[::1]:port` or `unix:/path`, trying the resolver's addresses in their order.
    ///
    /// # Errors
    /// The last address's error; `TimedOut` when the deadline came first; the resolver's error.
    ///
    /// # Cancel safety
    /// Not cancel-safe: a connection that is just being made is closed.
    pub async fn connect(&self, target: &str) -> io::Result<Connection> {
        let deadline = Reactor::current().now() + self.timeout;
        let addresses = match address::parse_unix(target) {
            Some(address) => vec![address],
            None => match timeout_at(deadline, resolve(target)).await {
                Ok(resolved) => resolved?.into_iter().map(Address::Tcp).collect(),
                Err(Elapsed) => return Err(timed_out()),
            },
        };
        self.connect_until(&addresses, deadline).await
    }

    /// Connects to an address.
    ///
    /// # Errors
    /// The kernel's; `TimedOut` when the deadline came first.
    ///
    /// # Cancel safety
    /// Not cancel-safe.
    pub async fn connect_address(&self, address: Address) -> io::Result<Connection> {
        let deadline = Reactor::current().now() + self.timeout;
        self.connect_until(&[address], deadline).await
    }

    async fn connect_until(&self, addresses: &[Address], deadline: Instant) -> io::Result<Connection> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            match timeout_at(deadline, connect_one(address)).await {
                Ok(Ok(socket)) => return Ok(self.adopt(socket, address)),
                Ok(Err(error)) => last = error,
                Err(Elapsed) => return Err(timed_out()),
            }
        }
        Err(last)
    }

    fn adopt(&self, socket: Socket, address: &Address) -> Connection {
        let local = Local::current();
        if let Address::Tcp(_) = address {
            // Fails only on a socket that is broken already, which the first use reports.
            let _ = local
                .reactor
                .driver(|driver| driver.sockets().set_option(socket, SocketOption::NoDelay(true)));
        }
        let defaults = self.limits == Limits::default() && self.clocks == Clocks::outgoing();
        let group = if defaults {
            Group::outgoing(&local.reactor)
        } else {
            Group::new(self.limits, self.clocks, None, None)
        };
        Connection::new(Stream::open(&local, &group, socket, false))
    }
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, crate::Error::Timeout(crate::Clock::Connect))
}

/// One attempt. Dropped early, it is cancelled and its socket closed.
async fn connect_one(address: &Address) -> io::Result<Socket> {
    let attempt = Abandon(Attempt::start(address)?);
    poll_fn(|cx| attempt.0.poll(cx)).await
}

struct Attempt {
    reactor: Reactor,
    address: Address,
    socket: Cell<Option<Socket>>,
    id: Cell<Option<SourceId>>,
    key: Cell<Option<Key>>,
    result: RefCell<Option<io::Result<()>>>,
    waker: RefCell<Option<Waker>>,
}

/// Gives an attempt up when its future is dropped.
struct Abandon(Rc<Attempt>);

impl Drop for Abandon {
    fn drop(&mut self) {
        match self.0.key.get() {
            Some(key) => self.0.reactor.cancel(key),
            None => self.0.close(),
        }
    }
}

impl Attempt {
    fn start(address: &Address) -> io::Result<Rc<Self>> {
        let reactor = Reactor::current();
        let socket = reactor.driver(|driver| driver.sockets().open(address.domain()))?;
        let attempt = Rc::new(Self {
            reactor: reactor.clone(),
            address: address.clone(),
            socket: Cell::new(Some(socket)),
            id: Cell::new(None),
            key: Cell::new(None),
            result: RefCell::default(),
            waker: RefCell::default(),
        });
        let id = reactor.register(attempt.clone());
        attempt.id.set(Some(id));
        attempt.key.set(Some(reactor.submit(id, 0, Op::Connect { socket, address: address.clone() })));
        Ok(attempt)
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<io::Result<Socket>> {
        match self.result.take() {
            Some(result) => {
                let socket = self.socket.take().expect("polled after it was ready");
                if result.is_err() {
                    self.socket.set(Some(socket));
                }
                Poll::Ready(result.map(|()| socket))
            }
            None => {
                self.waker.replace(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }

    fn close(&self) {
        if let Some(socket) = self.socket.take() {
            self.reactor.driver(|driver| driver.close(socket));
        }
    }
}

impl Source for Attempt {
    fn complete(self: Rc<Self>, reactor: &Reactor, _tag: u32, outcome: Outcome, last: bool) {
        debug_assert!(last, "connecting completes once");
        self.key.set(None);
        if let Some(id) = self.id.take() {
            reactor.deregister(id);
        }
        match outcome {
            Outcome::Connected => drop(self.result.replace(Some(Ok(())))),
            Outcome::Failed(error) => drop(self.result.replace(Some(Err(error)))),
            _ => {}
        }
        // Only a future that is gone cancels; then nobody but this closes the socket.
        let abandoned = Rc::strong_count(&self) == 1;
        if abandoned {
            self.close();
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn story(&self, _reactor: &Reactor) -> String {
        format!("attempt to connect to {}", self.address)
    }

    fn release(self: Rc<Self>, reactor: &Reactor) {
        self.key.set(None);
        self.close();
        if let Some(id) = self.id.take() {
            reactor.deregister(id);
        }
    }
}
