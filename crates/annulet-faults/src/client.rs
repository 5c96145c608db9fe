//! A client process: workers that make connections, one after the other, until they are told to stop.
//!
//! It is told by the end of its standard input, so it does not outlive who started it.

mod held;
mod http;
mod lines;
mod stream;
mod wire;

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::random::{Random, mix};
pub(crate) use wire::{Trouble, Wire};

/// What the server serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum App {
    Echo,
    Lines,
    Command,
    Http,
}

impl App {
    pub(crate) const ALL: [Self; 4] = [Self::Echo, Self::Lines, Self::Command, Self::Http];

    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Lines => "lines",
            Self::Command => "command",
            Self::Http => "http",
        }
    }
}

/// What a client process is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) address: SocketAddr,
    pub(crate) app: App,
    pub(crate) seed: u64,
    /// Connections at a time.
    pub(crate) workers: u32,
    /// Connections to make and hold, before anything else.
    pub(crate) held: u32,
    /// Bytes one exchange moves at most.
    pub(crate) bytes_max: u64,
    /// Exchanges on one connection at most.
    pub(crate) exchanges_max: u64,
    /// So many connections of a thousand are given up in the middle, without a word or with a reset.
    pub(crate) abandoned: u64,
    /// What each worker waits between connections.
    pub(crate) pause: Duration,
}

impl Orders {
    pub(crate) fn new(address: SocketAddr, app: App, seed: u64) -> Self {
        Self {
            address,
            app,
            seed,
            workers: 8,
            held: 0,
            bytes_max: 256 * 1024,
            exchanges_max: 20,
            abandoned: 0,
            pause: Duration::ZERO,
        }
    }
}

/// What a client process saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClientReport {
    pub(crate) connections: u64,
    /// Connections that could not be made.
    pub(crate) refused: u64,
    /// Those of them that were made, and reset before `connect` had returned.
    pub(crate) reset_at_once: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Connections given up on purpose.
    pub(crate) abandoned: u64,
    /// Connections that ended in order between a request and its answer.
    pub(crate) unanswered: u64,
    /// Connections that ended in order in the middle of an answer.
    pub(crate) cut_short: u64,
    /// Connections that broke, and requests answered with an error.
    pub(crate) broken: u64,
    /// What became of some of them.
    pub(crate) examples: Vec<String>,
    pub(crate) lost: Vec<String>,
    pub(crate) hangs: Vec<String>,
}

/// Examples kept.
const EXAMPLES: usize = 20;

impl ClientReport {
    pub(crate) fn add(&mut self, other: Self) {
        self.connections += other.connections;
        self.refused += other.refused;
        self.reset_at_once += other.reset_at_once;
        self.answered += other.answered;
        self.failed += other.failed;
        self.sent += other.sent;
        self.received += other.received;
        self.abandoned += other.abandoned;
        self.unanswered += other.unanswered;
        self.cut_short += other.cut_short;
        self.broken += other.broken;
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES);
        self.lost.extend(other.lost);
        self.hangs.extend(other.hangs);
    }

    /// Counts a connection's end.
    fn ended(&mut self, name: &str, end: Result<(), Trouble>) {
        let Err(trouble) = end else { return };
        match trouble {
            Trouble::Refused(error) => {
                self.refused += 1;
                self.reset_at_once += u64::from(error.kind() == ErrorKind::ConnectionReset);
                self.example(format!("{name}: not connected: {error}"));
                return;
            }
            Trouble::Abandoned => {
                self.abandoned += 1;
                return;
            }
            Trouble::Lost(what) => self.lost.push(format!("{name}: {what}")),
            Trouble::Hang(what) => self.hangs.push(format!("{name}: {what}")),
            Trouble::Unanswered => {
                self.unanswered += 1;
                self.example(format!("{name}: an orderly end instead of an answer"));
            }
            Trouble::CutShort(what) => {
                self.cut_short += 1;
                self.example(format!("{name}: {what}"));
            }
            Trouble::Broken(what) => {
                self.broken += 1;
                self.example(format!("{name}: {what}"));
            }
        }
        self.failed += 1;
    }

    fn example(&mut self, what: String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(what);
        }
    }

    /// True when every connection ended in order with everything answered.
    pub(crate) fn is_complete(&self) -> bool {
        self.refused + self.failed + self.abandoned == 0
    }
}

/// The process: does what it is told until its standard input ends, and prints its report.
pub(crate) fn run(orders: &Orders) -> anyhow::Result<()> {
    let held = held::Held::connect(orders);
    println!("ready");
    let stop = AtomicBool::new(false);
    let total = Mutex::new(ClientReport::default());
    thread::scope(|scope| {
        for worker in 0..orders.workers {
            let (stop, total) = (&stop, &total);
            scope.spawn(move || {
                let mut report = ClientReport::default();
                let mut random = Random::new(mix(orders.seed ^ mix(u64::from(worker))));
                while !stop.load(Ordering::Relaxed) {
                    one_connection(orders, &mut random, &mut report);
                    let pause = if report.refused > 0 { Duration::from_millis(2) } else { orders.pause };
                    thread::sleep(pause);
                }
                total.lock().expect("no worker panics").add(report);
            });
        }
        // It says nothing; it ends.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        stop.store(true, Ordering::Relaxed);
    });
    let mut report = total.into_inner().expect("no worker panics");
    report.add(held.end());
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// So many connections, one after the other, of this process.
pub(crate) fn probe(orders: &Orders, connections: u64) -> ClientReport {
    let mut report = ClientReport::default();
    let mut random = Random::new(orders.seed);
    for _ in 0..connections {
        one_connection(orders, &mut random, &mut report);
    }
    report
}

fn one_connection(orders: &Orders, random: &mut Random, report: &mut ClientReport) {
    let key = random.next();
    let name = format!("{} {key:016x}", orders.app.name());
    let mut wire = match Wire::connect(orders.address) {
        Ok(wire) => wire,
        Err(trouble) => return report.ended(&name, Err(trouble)),
    };
    if random.happens(orders.abandoned) {
        // It may also end before.
        wire.abandon_after(random.size(1..=orders.bytes_max * 2) as u64, random.happens(500));
    }
    let mut random = Random::new(key);
    let answered = &mut report.answered;
    let end = match orders.app {
        App::Echo if random.happens(300) => stream::full_duplex(&mut wire, orders, &mut random, answered),
        App::Echo => stream::back_and_forth(&mut wire, orders, &mut random, answered),
        App::Lines => lines::upper(&mut wire, orders, &mut random, answered),
        App::Command => lines::command(&mut wire, orders, &mut random, answered),
        App::Http => http::requests(&mut wire, orders, &mut random, answered),
    };
    report.connections += 1;
    report.sent += wire.sent();
    report.received += wire.received();
    report.ended(&format!("{name}, port {}", wire.port()), end);
}
