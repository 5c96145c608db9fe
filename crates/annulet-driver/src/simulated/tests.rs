//! A driver on a simulated kernel.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::*;
use crate::driver::Wait;
use crate::op::{Completion, Op, Outcome, Token};
use crate::sim::{HostSettings, Plan};
use crate::socket::{Address, Domain, ListenSpec, Socket};

const TRAITS: RingTraits = RingTraits { receive_cap: true, unix_end: true, quiet_sends: true };

struct Bench {
    simulation: Simulation,
    driver: Box<dyn Driver>,
    completions: Vec<Completion>,
}

impl Bench {
    fn new(seed: u64, plan: Plan, is_epoll: bool) -> Self {
        let world = World::new(seed, plan);
        let host =
            world.add_host("one", vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))], HostSettings::default());
        let simulation = Simulation::new(world);
        let options = DriverOptions::default().submission_entries(8).completion_entries(16);
        let opened = if is_epoll {
            simulation.open_epoll(host, &options)
        } else {
            simulation.open(host, &options, TRAITS)
        };
        let (driver, _) = opened.expect("a driver");
        Self { simulation, driver, completions: Vec::new() }
    }

    /// Turns until `done` says so of all completions gathered.
    fn until(&mut self, mut done: impl FnMut(&[Completion]) -> bool) {
        let deadline = self.driver.clock() + Duration::from_secs(600);
        while !done(&self.completions) {
            assert!(self.driver.clock() < deadline, "{:?}", self.completions);
            self.driver.turn(Wait::Until(Some(deadline)), &mut self.completions).expect("turn");
        }
    }

    fn accepted(&self) -> Option<Socket> {
        self.completions.iter().find_map(|completion| match completion.outcome {
            Outcome::Accepted(socket) => Some(socket),
            _ => None,
        })
    }

    /// A connection to itself: the client's end and the server's.
    fn pair(&mut self) -> (Socket, Socket) {
        let address = Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let spec = ListenSpec { address, backlog: 16, share_port: false, v6_only: false };
        let (listener, address) = self.driver.sockets().listen(&spec).expect("listen");
        let accept = self.driver.submit(Token(1), Op::Accept { listener });
        let client = self.driver.sockets().open(Domain::V4).expect("open");
        self.driver.submit(Token(2), Op::Connect { socket: client, address });
        let connected = |completions: &[Completion]| {
            let has = |wanted: fn(&Outcome) -> bool| {
                completions.iter().any(|completion| wanted(&completion.outcome))
            };
            has(|outcome| matches!(outcome, Outcome::Accepted(_)))
                && has(|outcome| matches!(outcome, Outcome::Connected))
        };
        self.until(connected);
        let server = self.accepted().expect("just seen");
        self.driver.cancel(accept);
        self.until(|completions| {
            completions.iter().any(|completion| completion.last && completion.key == accept)
        });
        self.driver.close(listener);
        self.completions.clear();
        (client, server)
    }

    fn received(&self) -> Vec<u8> {
        let bytes = self.completions.iter().filter_map(|completion| match &completion.outcome {
            Outcome::Received(chunk) => Some(&**chunk),
            _ => None,
        });
        bytes.flatten().copied().collect()
    }
}

fn exchange(seed: u64, plan: &Plan) -> [(u64, u64); 2] {
    [false, true].map(|is_epoll| exchange_on(seed, plan.clone(), is_epoll))
}

fn exchange_on(seed: u64, plan: Plan, is_epoll: bool) -> (u64, u64) {
    let mut bench = Bench::new(seed, plan, is_epoll);
    let (client, server) = bench.pair();
    let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    bench.driver.submit(Token(3), Op::Receive { socket: server });
    let mut sent = 0;
    while sent < bytes.len() {
        match bench.driver.try_send(client, &bytes[sent..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let key = bench.driver.submit(Token(4), Op::Writable { socket: client });
                bench.until(|completions| completions.iter().any(|completion| completion.key == key));
            }
            Err(error) => panic!("{error}"),
        }
    }
    bench.driver.sockets().shutdown(client, std::net::Shutdown::Write).expect("shutdown");
    bench
        .until(|completions| completions.iter().any(|completion| matches!(completion.outcome, Outcome::End)));
    assert!(bench.received() == bytes, "what was sent is received");
    bench.completions.clear();
    bench.driver.close(client);
    bench.driver.close(server);
    assert_eq!(bench.driver.quiesce(Duration::from_secs(1)), 0);
    let world = bench.simulation.world().clone();
    let mut violations = Vec::new();
    bench.simulation.audit(&mut violations);
    assert!(violations.is_empty(), "{violations:?}");
    drop(bench.driver);
    (world.log_hash(), world.log_count())
}

#[test]
fn bytes_go_through_a_simulated_kernel() {
    for (_, events) in exchange(1, &Plan::none()) {
        assert!(events > 20, "{events}");
    }
}

#[test]
fn the_same_seed_gives_the_same_history_and_another_another() {
    assert_eq!(exchange(7, &Plan::none()), exchange(7, &Plan::none()));
    assert_ne!(exchange(7, &Plan::none()), exchange(8, &Plan::none()));
}

/// Those that do not break connections.
const HARMLESS: [Fault; 16] = [
    Fault::ShortRead,
    Fault::PartialSend,
    Fault::Delay,
    Fault::Loss,
    Fault::LateCompletion,
    Fault::ReorderedCompletions,
    Fault::CompletionOverflow,
    Fault::SubmissionFull,
    Fault::MultishotEnded,
    Fault::StaleCompletion,
    Fault::BuffersExhausted,
    Fault::CancelBefore,
    Fault::CancelDuring,
    Fault::CancelAfter,
    Fault::Interrupted,
    Fault::Busy,
];

#[test]
fn no_fault_that_leaves_connections_alone_loses_a_byte() {
    for fault in
        HARMLESS.into_iter().chain([Fault::SpuriousWakeUp, Fault::GenerationWrap, Fault::EndedUnasked])
    {
        for seed in 0..5 {
            exchange(seed, &Plan::none().with(fault, 200_000));
        }
    }
    for seed in 0..50 {
        let plan = HARMLESS
            .into_iter()
            .fold(Plan::none(), |plan, fault| plan.with(fault, Plan::swarm(seed).per_million(fault)));
        exchange(seed, &plan);
    }
}

#[test]
fn the_history_is_told_in_words() {
    let mut bench = Bench::new(1, Plan::none(), false);
    let (client, server) = bench.pair();
    assert_eq!(bench.driver.try_send(client, b"seventeen bytes!!").expect("room"), 17);
    let operation = bench.driver.submit(Token(3), Op::Receive { socket: server });
    bench.until(|completions| {
        completions.iter().any(|completion| matches!(completion.outcome, Outcome::Received(_)))
    });
    let history = bench.simulation.history_of(1000);
    assert_eq!(history.len() as u64, bench.simulation.world().log_count());
    let port = bench.driver.sockets().peer_address(client).expect("connected").as_tcp().expect("TCP").port();
    let receive = format!("receive {}.{}", operation.slot, operation.generation);
    for part in [
        format!("one descriptor 4 listens at port {port}"),
        format!("-> one:{port}: SYN"),
        "one descriptor 5 sends 17 bytes".to_owned(),
        format!("-> one:{port}: 17 bytes"),
        format!("one ring 0 asks for {receive}"),
        format!("one ring 0 tells of {receive}: 17, more follow"),
    ] {
        assert!(history.iter().any(|line| line.contains(&part)), "no '{part}' in {history:#?}");
    }
}
