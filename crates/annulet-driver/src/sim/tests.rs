//! Two hosts with a link, and sockets on them.

mod connecting;
mod determinism;
mod faults;
mod files;
mod links;
mod listening;
mod model;
mod streams;
mod unix;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::time::Duration;

use super::*;
use crate::instant::Instant;
use crate::socket::{Address, Domain, ListenSpec, SocketOption};

const SECOND: Duration = Duration::from_secs(1);

/// A world of two hosts.
struct Pair {
    world: World,
    client: HostId,
    server: HostId,
}

/// A socket of a host.
#[derive(Clone)]
struct Sock {
    world: World,
    host: HostId,
    descriptor: i32,
    file: FileId,
}

fn addresses(last: u8) -> Vec<IpAddr> {
    vec![Ipv4Addr::new(10, 0, 0, last).into(), Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into()).into()]
}

fn at_server(port: u16) -> SocketAddr {
    (Ipv4Addr::new(10, 0, 0, 2), port).into()
}

impl Pair {
    fn new(seed: u64) -> Self {
        Self::with(seed, Plan::none())
    }

    fn with(seed: u64, plan: Plan) -> Self {
        Self::sized(seed, plan, HostSettings::default())
    }

    fn sized(seed: u64, plan: Plan, settings: HostSettings) -> Self {
        let world = World::new(seed, plan);
        let client = world.add_host("client", addresses(1), settings.clone());
        let server = world.add_host("server", addresses(2), settings);
        Self { world, client, server }
    }

    fn sock(&self, host: HostId, descriptor: i32) -> Sock {
        let file = self.world.file(host, descriptor).expect("an open descriptor");
        self.world.watch(file);
        Sock { world: self.world.clone(), host, descriptor, file }
    }

    fn listen(&self, address: impl Into<SocketAddr>) -> Sock {
        self.listen_with(address, 128, false)
    }

    /// Faults may refuse it for a while.
    fn listen_with(&self, address: impl Into<SocketAddr>, backlog: u32, share_port: bool) -> Sock {
        let address = Address::Tcp(address.into());
        let spec = ListenSpec { address, backlog, share_port, v6_only: false };
        let attempts = (0..1000).find_map(|_| self.world.listen(self.server, &spec).ok());
        self.sock(self.server, attempts.expect("listen").0)
    }

    /// A socket of the client that has begun to connect.
    fn connect(&self, address: impl Into<SocketAddr>) -> Sock {
        let address = Address::Tcp(address.into());
        let descriptor = self.world.socket(self.client, address.domain()).expect("socket");
        let error = self.world.connect(self.client, descriptor, &address).expect_err("not yet");
        assert_eq!(error.raw_os_error(), Some(libc::EINPROGRESS));
        self.sock(self.client, descriptor)
    }

    /// A connection: its client's end and its server's. Faults may have it take several attempts.
    fn connected(&self) -> (Sock, Sock) {
        loop {
            let listener = self.listen(at_server(0));
            let client = self.connect(at_server(listener.local().port()));
            self.run();
            let result = self.world.connect_result(client.file);
            let accepted = self.accept(&listener);
            listener.close();
            match (result, accepted) {
                (Some(Ok(())), Ok(server)) => {
                    client.set(SocketOption::NoDelay(true));
                    return (client, server);
                }
                (_, accepted) => {
                    client.close();
                    accepted.iter().for_each(Sock::close);
                }
            }
        }
    }

    fn accept(&self, listener: &Sock) -> Result<Sock, i32> {
        let accepted = self.world.accept(listener.host, listener.file, Operation::TryAccept);
        accepted.map(|descriptor| self.sock(listener.host, descriptor)).map_err(number)
    }

    /// Lets everything happen that is going to; returns how much that was.
    fn run(&self) -> usize {
        let mut events = 0;
        while self.world.next_event_at().is_some() {
            self.world.run_next();
            events += 1;
        }
        events
    }

    /// Lets everything happen that does within this time.
    fn run_for(&self, time: Duration) {
        let until = self.world.now() + time;
        while self.world.next_event_at().is_some_and(|at| at <= until) {
            self.world.run_next();
        }
        self.world.advance(until - self.world.now());
    }

    fn assert_sound(&self) {
        assert_eq!(self.world.audit(), Vec::<String>::new());
    }
}

impl Sock {
    fn send(&self, bytes: &[u8]) -> Result<usize, i32> {
        self.world.send(self.file, Operation::TrySend, bytes).map_err(number)
    }

    /// At most `length` bytes; no bytes are the end.
    fn receive(&self, length: usize) -> Result<Vec<u8>, i32> {
        let mut bytes = vec![0; length];
        let count = self.world.receive(self.file, Operation::TryReceive, &mut bytes).map_err(number)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    /// All that is there, and what comes after it.
    fn drain(&self) -> (Vec<u8>, Result<(), i32>) {
        let mut all = Vec::new();
        loop {
            match self.receive(1000) {
                Ok(bytes) if bytes.is_empty() => return (all, Ok(())),
                Ok(bytes) => all.extend(bytes),
                Err(number) => return (all, Err(number)),
            }
        }
    }

    fn shut(&self, how: Shutdown) -> Result<(), i32> {
        self.world.shutdown(self.file, how).map_err(number)
    }

    fn close(&self) {
        self.world.close(self.host, self.descriptor).expect("open");
    }

    fn set(&self, option: SocketOption) {
        self.world.set_option(self.file, option).expect("an option");
    }

    fn readiness(&self) -> Readiness {
        self.world.readiness(self.file)
    }

    fn local(&self) -> SocketAddr {
        self.world.local_address(self.file).expect("an address").as_tcp().expect("of TCP")
    }

    fn peer(&self) -> Result<SocketAddr, i32> {
        self.world.peer_address(self.file).map_err(number).map(|address| address.as_tcp().expect("of TCP"))
    }
}

fn number(error: io::Error) -> i32 {
    error.raw_os_error().expect("an error of the kernel")
}

/// Bytes that show where they came from.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index ^ (index >> 8) ^ (index >> 16)) as u8).collect()
}
