//! What is measured, by name.

use bench_common::protocol::Protocol;

/// How a scenario's figures are obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Interleaved pairs of runs of the load client.
    Pairs,
    /// Resident memory per idle connection.
    Idle,
    /// System calls in ten seconds with idle connections.
    Quiet,
    /// User-space instructions per message, by callgrind.
    Instructions,
    /// System calls per message, by perf.
    Syscalls,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// One sentence for the head of the table.
    pub(crate) what: &'static str,
    pub(crate) kind: Kind,
    /// What the servers speak.
    pub(crate) protocol: Protocol,
    pub(crate) load: &'static [&'static str],
    pub(crate) seconds: f64,
    /// Client and server share the server's core.
    pub(crate) same_core: bool,
    /// The server runs under `SCHED_BATCH`.
    pub(crate) batch: bool,
    /// Servers that differ from Annulet's default in how they park only are of interest too.
    pub(crate) parking: bool,
    /// Read buffer for servers that have one per connection; `None` leaves their default of 4 KiB.
    pub(crate) buffer: Option<usize>,
}

const DEFAULT: Scenario = Scenario {
    name: "",
    what: "",
    kind: Kind::Pairs,
    protocol: Protocol::Echo,
    load: &[],
    seconds: 1.0,
    same_core: false,
    batch: false,
    parking: false,
    buffer: None,
};

const HTTP: Scenario = Scenario { protocol: Protocol::Http, ..DEFAULT };

pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        name: "echo64",
        what: "64 connections, 100 bytes each way, closed loop: the server is saturated",
        load: &["pingpong", "--connections", "64", "--size", "100"],
        ..DEFAULT
    },
    Scenario {
        name: "lockstep64",
        what: "64 connections send 100 bytes together; client and server take turns on one core, so that each \
               wake-up finds 64 messages, and neither timing nor waking another core is in the figures",
        load: &["pingpong", "--connections", "64", "--size", "100", "--lockstep", "--sched-batch"],
        same_core: true,
        batch: true,
        ..DEFAULT
    },
    Scenario {
        name: "pingpong1",
        what: "1 connection, 100 bytes each way, closed loop: latency and the price of sleeping",
        load: &["pingpong", "--connections", "1", "--size", "100"],
        parking: true,
        ..DEFAULT
    },
    Scenario {
        name: "pingpong16",
        what: "16 connections, 100 bytes each way, closed loop",
        load: &["pingpong", "--connections", "16", "--size", "100"],
        parking: true,
        ..DEFAULT
    },
    Scenario {
        name: "rate1k",
        what: "1,000 messages/s with Poisson arrivals over 16 connections",
        load: &["rate", "--connections", "16", "--rate", "1000"],
        seconds: 3.0,
        parking: true,
        ..DEFAULT
    },
    Scenario {
        name: "rate10k",
        what: "10,000 messages/s with Poisson arrivals over 16 connections",
        load: &["rate", "--connections", "16", "--rate", "10000"],
        seconds: 2.0,
        parking: true,
        ..DEFAULT
    },
    Scenario {
        name: "rate30k",
        what: "30,000 messages/s with Poisson arrivals over 16 connections",
        load: &["rate", "--connections", "16", "--rate", "30000"],
        seconds: 2.0,
        parking: true,
        ..DEFAULT
    },
    Scenario {
        name: "samecore1",
        what: "1 connection, closed loop, client and server on the same core",
        load: &["pingpong", "--connections", "1", "--size", "100"],
        same_core: true,
        parking: true,
        ..DEFAULT
    },
    Scenario {
        name: "churn",
        what: "32 at a time: connect, one exchange of 100 bytes, both ends, close (a message is a connection)",
        load: &["churn", "--connections", "32", "--size", "100"],
        ..DEFAULT
    },
    Scenario {
        name: "churn10",
        what: "the same with 10 exchanges per connection (a message is a connection)",
        load: &["churn", "--connections", "32", "--size", "100", "--exchanges", "10"],
        ..DEFAULT
    },
    Scenario {
        name: "stream",
        what: "bulk echo, 4 connections with 256 KiB on their way (a message is 64 KiB); peers read into 64 KiB",
        load: &["stream", "--connections", "4", "--window", "262144"],
        buffer: Some(64 * 1024),
        ..DEFAULT
    },
    Scenario {
        name: "idle10k",
        what: "growth of resident memory per connection: 10,000 that exchanged a message and rest",
        kind: Kind::Idle,
        load: &["idle", "--connections", "10000", "--size", "100"],
        seconds: 30.0,
        ..DEFAULT
    },
    Scenario {
        name: "quiet",
        what: "system calls of the server in ten seconds with 100 idle connections",
        kind: Kind::Quiet,
        load: &["idle", "--connections", "100", "--size", "100", "--seconds", "12"],
        ..DEFAULT
    },
    Scenario {
        name: "instructions",
        what: "user-space instructions per echoed message of 100 bytes, callgrind, epoll servers",
        kind: Kind::Instructions,
        load: &["pingpong", "--size", "100"],
        parking: true,
        ..DEFAULT
    },
    Scenario {
        name: "syscalls",
        what: "system calls (perf), and enters by the server's own count, per echoed message of 100 bytes; \
               all connections send together, client and server take turns on one core",
        kind: Kind::Syscalls,
        same_core: true,
        batch: true,
        load: &["pingpong", "--size", "100"],
        parking: true,
        ..DEFAULT
    },
    Scenario {
        name: "http64",
        what: "64 connections, each a small request at a time (h2load's head): the server is saturated",
        load: &["http", "--connections", "64"],
        ..HTTP
    },
    Scenario {
        name: "http64-browser",
        what: "the same with heads of browsers, twelve fields in varying order",
        load: &["http", "--connections", "64", "--browser"],
        ..HTTP
    },
    Scenario {
        name: "http-lockstep64",
        what: "64 connections send a small request together; client and server take turns on one core, so that \
               each wake-up finds 64 requests, and neither timing nor waking another core is in the figures",
        load: &["http", "--connections", "64", "--lockstep", "--sched-batch"],
        same_core: true,
        batch: true,
        ..HTTP
    },
    Scenario {
        name: "http16-pipelined",
        what: "64 connections, each sixteen small requests at a time, sent in one go (latency is that of all \
               sixteen)",
        load: &["http-pipelined", "--connections", "64", "--depth", "16"],
        ..HTTP
    },
    Scenario {
        name: "http-churn",
        what: "32 at a time: connect, one request, both ends, close (a message is a connection)",
        load: &["http-churn", "--connections", "32"],
        ..HTTP
    },
    Scenario {
        name: "http-idle4096",
        what: "growth of resident memory per connection: 4,096 that made a request and rest",
        kind: Kind::Idle,
        load: &["http-idle", "--connections", "4096"],
        seconds: 10.0,
        ..HTTP
    },
    Scenario {
        name: "http-instructions",
        what: "user-space instructions per request with h2load's head, callgrind, epoll servers",
        kind: Kind::Instructions,
        load: &["http"],
        parking: true,
        ..HTTP
    },
    Scenario {
        name: "http-instructions-browser",
        what: "user-space instructions per request with heads of browsers, callgrind, epoll servers",
        kind: Kind::Instructions,
        load: &["http", "--browser"],
        parking: true,
        ..HTTP
    },
];

/// The scenario of this name.
pub(crate) fn find(name: &str) -> Option<Scenario> {
    ALL.iter().copied().find(|scenario| scenario.name == name)
}
