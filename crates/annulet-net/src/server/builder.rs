//! Settings of a server, and its start.

use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use annulet_driver::{Address, Descriptor, ListenSpec, Socket};
use annulet_runtime::time::sleep;
use annulet_runtime::{Handle, Reactor, ReactorId};

use super::claim::{Claim, Claims};
use super::control::{Control, Phase};
use super::handler::{Handler, HandlerService, Protocol, Service};
use super::reactor::{self, Bound};
use super::{DRAIN_TIMEOUT, ServeError, Server};
use crate::address::ListenAddress;
use crate::group::{ConnectionBudget, ListenerId};
use crate::listener::BACKLOG;
use crate::options::{Clocks, Limits};

/// How long binding is tried again while the address is in use: a process that has just ended may hold its port for
/// some milliseconds more, until the kernel has torn its ring down.
const BIND_PATIENCE: Duration = Duration::from_secs(1);
const BIND_PAUSE: Duration = Duration::from_millis(20);

/// Makes a reactor's handler, and the clocks of its connections from those that were set. Called once on each reactor, so
/// what it captures may be the reactor's own state.
pub(crate) type ServiceFactory = Arc<dyn Fn(&Reactor, Clocks) -> (Rc<dyn Service>, Clocks) + Send + Sync>;

/// Settings of a [`Server`].
#[must_use]
pub struct ServerBuilder {
    listeners: Vec<(Result<ListenOptions, ServeError>, ServiceFactory)>,
    limits: Limits,
    clocks: Clocks,
    connections_max: Option<usize>,
    drain_timeout: Duration,
}

impl Default for ServerBuilder {
    fn default() -> Self {
        Self {
            listeners: Vec::new(),
            limits: Limits::default(),
            clocks: Clocks::default(),
            connections_max: None,
            drain_timeout: DRAIN_TIMEOUT,
        }
    }
}

/// One listener: where, and what holds for its connections.
#[derive(Debug)]
#[must_use]
pub struct ListenOptions {
    pub(crate) address: ListenAddress,
    pub(crate) backlog: u32,
    pub(crate) share_port: bool,
    pub(crate) limits: Option<Limits>,
    pub(crate) clocks: Option<Clocks>,
}

impl ListenOptions {
    /// A listener at `address` with default settings.
    pub fn new(address: impl Into<ListenAddress>) -> Self {
        Self { address: address.into(), backlog: BACKLOG, share_port: false, limits: None, clocks: None }
    }

    /// A listener at an address in text: `127.0.0.1:7000`, `[::1]:7000`, `:7000`, `unix:/path`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(address: &str) -> Result<Self, crate::address::ParseAddressError> {
        Ok(Self::new(address.parse::<ListenAddress>()?))
    }

    /// Length of the accept queue, default 1024; the kernel caps it at `net.core.somaxconn`.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Lets other servers of the same user listen at the same address (`SO_REUSEPORT`), if they ask for it, too; the kernel
    /// spreads connections over all of them. Without it a second server fails with "in use".
    ///
    /// So a new version can take over from an old one that drains. Let the kernel move handshakes from the listeners that
    /// close to those that stay, else it resets some (`sysctl -w net.ipv4.tcp_migrate_req=1`, Linux 5.14). Even then it loses
    /// one now and then, which is established in the moment a listener closes: two in a thousand restarts of a plain accept
    /// loop, with 74,000 connections. An [inherited](crate::ListenAddress::Inherited) socket loses none.
    ///
    /// One case the kernel does not tell apart: the reactors of a server share its port among themselves, so when there are
    /// several, a server in *another process* of the same user that does ask for sharing is let in, and gets its part of
    /// the connections, though this one did not ask. (Within one process it is refused.) Only a server on one reactor, or
    /// on an [inherited](crate::ListenAddress::Inherited) socket bound without `SO_REUSEPORT`, has its port for itself
    /// whatever others ask for.
    pub fn share_port(mut self, share: bool) -> Self {
        self.share_port = share;
        self
    }

    /// Memory limits of this listener's connections instead of the server's.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Clocks of this listener's connections instead of the server's.
    pub fn clocks(mut self, clocks: Clocks) -> Self {
        self.clocks = Some(clocks);
        self
    }

    /// What to try, in order; nothing for a socket that listens already.
    fn specs(&self) -> Vec<ListenSpec> {
        let spec = |address| ListenSpec {
            address,
            backlog: self.backlog,
            share_port: self.share_port,
            v6_only: self.address.is_v6_only(),
        };
        self.address.candidates().into_iter().map(spec).collect()
    }
}

impl ServerBuilder {
    /// Listens at `address` (text, as in [`ListenOptions::parse`]) and serves connections with `handler`, one clone of it
    /// per reactor.
    pub fn listen<H>(self, address: &str, handler: H) -> Self
    where
        H: Handler + AsyncFn(crate::Connection) -> crate::HandlerResult + Clone + Send,
    {
        let options = ListenOptions::parse(address).map_err(ServeError::from);
        self.add(options, shared(handler))
    }

    /// Listens as `options` say and serves connections with `handler`, one clone of it per reactor.
    pub fn listen_with<H>(self, options: ListenOptions, handler: H) -> Self
    where
        H: Handler + AsyncFn(crate::Connection) -> crate::HandlerResult + Clone + Send,
    {
        self.add(Ok(options), shared(handler))
    }

    /// Listens as `options` say and serves connections with what `make` returns, called once on each reactor. The place for
    /// state of the reactor's own: it needs neither locks nor `Send`.
    pub fn listen_each<H, M>(self, options: ListenOptions, make: M) -> Self
    where
        H: Handler,
        M: Fn(&Reactor) -> H + Send + Sync + 'static,
    {
        self.add(
            Ok(options),
            Arc::new(move |reactor, clocks| (Rc::new(HandlerService(make(reactor))), clocks)),
        )
    }

    /// Listens at `address` (text, as in [`ListenOptions::parse`]) and speaks `protocol` there.
    pub fn serve(self, address: &str, protocol: impl Protocol) -> Self {
        let options = ListenOptions::parse(address).map_err(ServeError::from);
        self.add(options, spoken(protocol))
    }

    /// Listens as `options` say and speaks `protocol` there.
    pub fn serve_with(self, options: ListenOptions, protocol: impl Protocol) -> Self {
        self.add(Ok(options), spoken(protocol))
    }

    fn add(mut self, options: Result<ListenOptions, ServeError>, factory: ServiceFactory) -> Self {
        self.listeners.push((options, factory));
        self
    }

    /// Memory limits of connections.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Clocks of connections.
    pub fn clocks(mut self, clocks: Clocks) -> Self {
        self.clocks = clocks;
        self
    }

    /// Connections open at a time, over all listeners and reactors; one more is accepted and closed at once, and counted. By
    /// default the descriptor limit less 2 % (at least 64).
    pub fn connections_max(mut self, connections: usize) -> Self {
        self.connections_max = Some(connections);
        self
    }

    /// How long [`Server::stop`] waits before it resets what is left. Default 30 s.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// Binds every listener and starts accepting on every reactor of the current runtime.
    ///
    /// # Errors
    /// The first listener that cannot be had; those bound before are closed again.
    ///
    /// # Panics
    /// Outside a runtime.
    pub async fn start(self) -> Result<Server, ServeError> {
        let reactor = Reactor::current();
        let handle = Handle::current();
        let connections_max = self.connections_max.unwrap_or_else(|| default_connections_max(&reactor));
        let budget = ConnectionBudget::new(connections_max);
        let control = Control::new();
        let mut server = Server {
            control: control.clone(),
            addresses: Vec::new(),
            drain_timeout: self.drain_timeout,
            handle: handle.clone(),
        };
        if self.listeners.is_empty() {
            return Err(ServeError::NoListener);
        }
        for (index, (options, factory)) in (0..).zip(self.listeners) {
            let options = options?;
            let text = options.address.to_string();
            let listen_error = |source| ServeError::Listen { address: text.clone(), source };
            let share = handle.reactors() > 1 || options.share_port;
            let specs = options.specs();
            let (socket, address, claim) = match options.address {
                ListenAddress::Inherited(descriptor) => adopt(&reactor, descriptor),
                _ => bind_patiently(&reactor, &specs, share).await,
            }
            .map_err(listen_error)?;
            // Nothing is waited for until the acceptor has the socket: a start that is dropped leaves none behind.
            let sources = match sources(&reactor, &specs, socket, &address, handle.reactors() - 1) {
                Ok(sources) => sources,
                Err(error) => {
                    reactor.driver(|driver| driver.close(socket));
                    return Err(listen_error(error));
                }
            };
            server.addresses.push(address.clone());
            let bound = Bound {
                listener: ListenerId(index),
                address,
                limits: options.limits.unwrap_or(self.limits),
                clocks: options.clocks.unwrap_or(self.clocks),
                budget: budget.clone(),
                control: control.clone(),
                claim,
                factory,
            };
            control.enter();
            reactor::start(&reactor, bound.clone(), socket).map_err(listen_error)?;
            let others = (0..handle.reactors()).map(ReactorId).filter(|id| *id != reactor.id());
            for (id, source) in others.zip(sources) {
                start_on(&handle, id, bound.clone(), source).await.map_err(listen_error)?;
            }
        }
        control.advance(Phase::Running);
        tracing::debug!(connections_max = budget.maximum(), "accepting");
        Ok(server)
    }
}

/// A listening socket, its address, and the claim to have that alone.
type Listening = (Socket, Address, Option<Arc<Claim>>);

/// Where the listening socket of another reactor comes from. Owns what it names: it may never get there.
enum Source {
    /// One TCP socket per reactor: the kernel spreads connections over them.
    Listen(ListenSpec),
    /// A Unix or inherited socket is one, accepted from by every reactor.
    Duplicate(Descriptor),
}

/// The sources of `others` reactors beside the one that has `socket`, which was bound as one of `specs` if any.
fn sources(
    reactor: &Reactor,
    specs: &[ListenSpec],
    socket: Socket,
    address: &Address,
    others: u32,
) -> io::Result<Vec<Source>> {
    let source = |_| match (specs.first(), address) {
        (Some(spec), Address::Tcp(_)) => {
            Ok(Source::Listen(ListenSpec { address: address.clone(), share_port: true, ..spec.clone() }))
        }
        _ => Ok(Source::Duplicate(reactor.driver(|driver| driver.sockets().duplicate(socket))?)),
    };
    (0..others).map(source).collect()
}

fn shared<H>(handler: H) -> ServiceFactory
where
    H: Handler + Clone + Send,
{
    // Only cloned under the lock, so that the handler need not be `Sync`.
    let handler = Mutex::new(handler);
    Arc::new(move |_, clocks| {
        let handler = handler.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (Rc::new(HandlerService(handler)), clocks)
    })
}

fn spoken(protocol: impl Protocol) -> ServiceFactory {
    // Only asked for handlers under the lock, so that the protocol need not be `Sync`.
    let protocol = Mutex::new(protocol);
    Arc::new(move |reactor, clocks| {
        let protocol = protocol.lock().unwrap_or_else(PoisonError::into_inner);
        (Rc::new(HandlerService(protocol.handler(reactor))), protocol.clocks(clocks))
    })
}

/// The descriptor limit less 2 %, at least 64, for files and listeners.
fn default_connections_max(reactor: &Reactor) -> usize {
    let limit = reactor.driver(|driver| driver.sockets().descriptors_max());
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    limit.saturating_sub((limit / 50).max(64)).max(1)
}

async fn bind_patiently(reactor: &Reactor, specs: &[ListenSpec], share: bool) -> io::Result<Listening> {
    let give_up = reactor.now() + BIND_PATIENCE;
    loop {
        match bind(reactor, specs, share) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && reactor.now() < give_up => {
                sleep(BIND_PAUSE).await;
            }
            result => return result,
        }
    }
}

/// Takes over a socket that listens already.
fn adopt(reactor: &Reactor, descriptor: Descriptor) -> io::Result<Listening> {
    reactor.driver(|driver| {
        let socket = driver.sockets().adopt(descriptor);
        match driver.sockets().local_address(socket) {
            Ok(address) => Ok((socket, address, None)),
            Err(error) => {
                driver.close(socket);
                Err(error)
            }
        }
    })
}

/// Binds as the first of `specs` whose protocol this machine has.
fn bind(reactor: &Reactor, specs: &[ListenSpec], share: bool) -> io::Result<Listening> {
    let claims = reactor.shared::<Claims>();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for spec in specs {
        let mut spec = spec.clone();
        let is_tcp = matches!(spec.address, Address::Tcp(_));
        let listened: io::Result<Listening> = reactor.driver(|driver| {
            let mut claims = claims.lock();
            if spec.share_port {
                claims.check(&spec)?;
                let (socket, address) = driver.sockets().listen(&spec)?;
                return Ok((socket, address, None));
            }
            let (socket, address) = driver.sockets().listen(&spec)?;
            spec.address = address.clone();
            let claim = claims.enter(&spec);
            if !share || !is_tcp {
                return Ok((socket, address, claim));
            }
            // Nobody else listens here, and the port is known: now sockets that share it.
            driver.close(socket);
            spec.share_port = true;
            let (socket, address) = driver.sockets().listen(&spec)?;
            Ok((socket, address, claim))
        });
        match listened {
            Err(error) if error.raw_os_error() == Some(EAFNOSUPPORT) => last = error,
            result => return result,
        }
    }
    Err(last)
}

/// The machine has no IPv6.
const EAFNOSUPPORT: i32 = 97;

/// Starts a listener on another reactor and waits until it listens.
async fn start_on(handle: &Handle, id: ReactorId, bound: Bound, source: Source) -> io::Result<()> {
    let started = Arc::new(crate::latch::Latch::new());
    let report = started.clone();
    let control = bound.control.clone();
    control.enter();
    let sent = handle.run_on(id, move |reactor| {
        let socket = reactor.driver(|driver| match source {
            Source::Listen(spec) => driver.sockets().listen(&spec).map(|(socket, _)| socket),
            Source::Duplicate(descriptor) => Ok(driver.sockets().adopt(descriptor)),
        });
        match socket {
            Ok(socket) => report.set(reactor::start(reactor, bound, socket)),
            Err(error) => {
                bound.control.leave(super::DrainReport::default());
                report.set(Err(error));
            }
        }
    });
    if let Err(error) = sent {
        control.leave(super::DrainReport::default());
        return Err(io::Error::other(error));
    }
    started.wait().await
}
