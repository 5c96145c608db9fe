//! What a server is like, and what may happen to it.

use std::cell::Cell;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::time::Duration;

use annulet::http::Settings;
use annulet::time::timeout;
use annulet::{Clocks, Limits, ListenOptions, Server, ServerBuilder, serving};
use annulet_sim::{HostBuilder, Sim};

use crate::draw::{millis, one_of, percent};

/// A host that stands still when faults end goes on by then.
pub(crate) const STANDSTILL_MAX: Duration = Duration::from_secs(21);

/// A server's program, over all the starts of its host.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    shape: Shape,
    has_quit: Rc<Cell<bool>>,
}

impl Program {
    pub(crate) fn new(shape: Shape) -> Self {
        Self { shape, has_quit: Rc::default() }
    }

    /// Serves until SIGTERM, if it can; the first time perhaps not that long.
    pub(crate) async fn serve(&self, server: ServerBuilder) {
        match self.shape.quits_after {
            Some(time) if !self.has_quit.replace(true) => drop(timeout(time, serving(server)).await),
            _ => drop(serving(server).await),
        }
    }
}

/// A server's settings and fate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    reactors: u32,
    limits: Limits,
    clocks: Clocks,
    connections_max: Option<usize>,
    backlog: u32,
    drain_timeout: Duration,
    patience: Patience,
    /// Its program ends in the middle of everything.
    quits_after: Option<Duration>,
    /// It may be asked to end while it serves.
    pub(crate) may_be_signalled: bool,
    /// It may be killed.
    pub(crate) may_be_killed: bool,
}

/// How long a server waits for its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Patience {
    /// For ever.
    Endless,
    /// As servers do.
    Usual,
    /// Perhaps hardly at all.
    Drawn,
}

impl Shape {
    pub(crate) fn draw(sim: &Sim) -> Self {
        let patience = one_of(sim, &[Patience::Endless, Patience::Endless, Patience::Usual, Patience::Drawn]);
        // Where dead connections are kept for ever, they would keep others out for ever.
        let is_narrow = patience != Patience::Endless && percent(sim, 30);
        let mut clocks = clocks(sim, patience);
        if is_narrow {
            clocks = clocks.idle(Some(Duration::from_secs(10)));
        }
        Self {
            reactors: sim.spread(1, 4) as u32,
            limits: limits(sim),
            clocks,
            connections_max: is_narrow.then(|| sim.spread(1, 16) as usize),
            backlog: sim.spread(1, 1024) as u32,
            drain_timeout: millis(sim, 1, 30_000),
            patience,
            quits_after: percent(sim, 15).then(|| millis(sim, 1, 2000)),
            may_be_signalled: percent(sim, 25),
            may_be_killed: percent(sim, 20),
        }
    }

    /// Never asked to end, and with all the patience there is: who fails then, failed because of the network.
    pub(crate) fn is_faithful(&self) -> bool {
        let ends_by_itself = self.quits_after.is_some() || self.may_be_signalled || self.may_be_killed;
        self.patience == Patience::Endless && !ends_by_itself
    }

    /// Whoever speaks at once is served, when nothing fails.
    pub(crate) fn is_welcoming(&self) -> bool {
        self.patience != Patience::Drawn
    }

    /// Who is silent between two messages is not sent away.
    pub(crate) fn bears_silence(&self) -> bool {
        self.clocks.idle.is_none()
    }

    /// How long a message may take.
    pub(crate) fn message_max(&self) -> Option<Duration> {
        self.clocks.request
    }

    /// An orderly end comes from the program, not from a kernel that tidies up after it.
    pub(crate) fn ends_are_the_programs(&self) -> bool {
        !self.may_be_killed
    }

    /// What can be relied on where another server stands behind this one.
    pub(crate) fn behind(self, other: &Self) -> Self {
        Self {
            patience: self.patience.max(other.patience),
            quits_after: self.quits_after.or(other.quits_after),
            may_be_signalled: self.may_be_signalled || other.may_be_signalled,
            may_be_killed: self.may_be_killed || other.may_be_killed,
            ..self
        }
    }

    /// The same, which does not end by itself, nor is asked to, nor killed.
    pub(crate) fn undisturbed(self) -> Self {
        Self { quits_after: None, may_be_signalled: false, may_be_killed: false, ..self }
    }

    /// How long HTTP clients may take.
    pub(crate) fn http(&self, sim: &Sim) -> Settings {
        let settings = Settings::default().body_max(sim.spread(1, 100_000));
        let settings =
            if percent(sim, 10) { settings.requests_max(sim.spread(1, 20) as u32) } else { settings };
        match self.patience {
            Patience::Endless => settings.head_timeout(None).keep_alive(None).body_rate_min(0),
            Patience::Usual => settings,
            Patience::Drawn => settings
                .head_timeout(percent(sim, 50).then(|| millis(sim, 1, 30_000)))
                .keep_alive(percent(sim, 50).then(|| millis(sim, 1, 75_000)))
                .body_rate_min(sim.below(1000) as u32)
                .requests_max(sim.spread(1, 100) as u32),
        }
    }

    /// A host for it.
    pub(crate) fn host(&self, sim: &Sim, name: &str) -> HostBuilder {
        let mut host = sim.host(name).reactors(self.reactors);
        if sim.seed() % 4 == 1 {
            // Two addresses, of which nobody here can reach the first.
            let number = name.len() as u8;
            let unreachable = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into()).into();
            host = host.addresses(vec![unreachable, Ipv4Addr::new(10, 1, 0, number).into()]);
        }
        if self.may_be_signalled {
            host = host.may_be_signalled();
        }
        if self.may_be_killed {
            host = host.may_be_killed();
        }
        host
    }

    /// The server, without listeners.
    pub(crate) fn server(&self) -> ServerBuilder {
        let server =
            Server::builder().limits(self.limits).clocks(self.clocks).drain_timeout(self.drain_timeout);
        match self.connections_max {
            Some(connections) => server.connections_max(connections),
            None => server,
        }
    }

    /// One of its listeners.
    pub(crate) fn listen(&self, address: &str) -> ListenOptions {
        ListenOptions::parse(address).expect("an address").backlog(self.backlog)
    }
}

/// Limits of a connection, on either side.
pub(crate) fn limits(sim: &Sim) -> Limits {
    if percent(sim, 30) {
        return Limits::default();
    }
    // The tiny ones make many turns of few bytes.
    let least = if percent(sim, 20) { 1 } else { 128 };
    Limits::default()
        .unsent_max(sim.spread(least, 64 * 1024) as usize)
        .unread_max(sim.spread(least, 64 * 1024) as usize)
}

fn clocks(sim: &Sim, patience: Patience) -> Clocks {
    let linger = one_of(sim, &[None, Some(Duration::from_millis(1)), Clocks::default().linger]);
    let clocks = Clocks::default().linger(linger);
    match patience {
        Patience::Endless => clocks.setup(None).idle(None).inactivity(None).request(None),
        Patience::Usual => clocks,
        Patience::Drawn => {
            let drawn = || if percent(sim, 50) { Some(millis(sim, 1, 60_000)) } else { None };
            Clocks::default()
                .setup(drawn())
                .idle(drawn())
                .inactivity(drawn())
                .request(drawn())
                .write(drawn())
                .linger(drawn())
        }
    }
}
