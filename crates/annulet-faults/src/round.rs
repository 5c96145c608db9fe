//! A round: a scenario, and what must be true after it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cli::Driver;
use crate::client::{self, App, ClientReport, Orders};
use crate::crowd::Crowd;
use crate::machine;
use crate::random::{Random, mix};
use crate::report::{Figures, Kind, RoundReport, Violation};
use crate::scenario::Scenario;
use crate::server::{Counters, DescriptorLimit, Launch, Server};

/// How long a server may take to give back what its clients left behind: its clocks are shorter.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections of a probe: enough to come by every reactor.
const PROBES: u64 = 6;

/// What a round process is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RoundOrders {
    pub(crate) scenario: Scenario,
    pub(crate) driver: Driver,
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    pub(crate) held: u32,
    pub(crate) annulet: PathBuf,
    /// Whether this process has a network of its own.
    pub(crate) has_namespace: bool,
}

/// The process: plays the scenario and prints a report.
pub(crate) fn run(orders: RoundOrders) -> anyhow::Result<ExitCode> {
    if orders.has_namespace {
        machine::set_up_namespace()?;
    }
    let scenario = orders.scenario;
    let mut round = Round::new(orders);
    if let Err(error) = scenario.play(&mut round) {
        // What is no violation is a failure of the suite.
        let Violation { kind, what } = error.downcast()?;
        round.violate(kind, what);
    }
    println!("{}", serde_json::to_string(&round.report)?);
    Ok(ExitCode::SUCCESS)
}

/// What the clients of a scenario may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tolerance {
    /// Nothing: every connection is made, and every request answered.
    Nothing,
    /// The network or the kernel breaks connections; where one ends in order all the same, a clock of the server ran out
    /// or its handler met an error.
    Breaks,
}

/// A server, and what is known of its clients.
pub(crate) struct Served {
    pub(crate) server: Server,
    descriptors: DescriptorLimit,
    pub(crate) clients: ClientReport,
    /// Whether there were clients that could not report.
    pub(crate) has_silent_clients: bool,
}

pub(crate) struct Round {
    pub(crate) orders: RoundOrders,
    pub(crate) random: Random,
    pub(crate) report: RoundReport,
    /// What is being tried, where a round tries several things; it goes with every violation.
    pub(crate) trying: String,
    start: Instant,
}

impl Round {
    fn new(orders: RoundOrders) -> Self {
        let random = Random::new(mix(orders.seed));
        let report =
            RoundReport { figures: Figures { rounds: 1, ..Figures::default() }, ..RoundReport::default() };
        Self { orders, random, report, trying: String::new(), start: Instant::now() }
    }

    /// One of the protocols.
    pub(crate) fn any_app(&mut self) -> App {
        self.random.one_of(&App::ALL)
    }

    pub(crate) fn launch(&self, app: App) -> Launch {
        Launch::new(app, self.orders.driver)
    }

    /// Whether faults go on.
    pub(crate) fn goes_on(&self) -> bool {
        self.start.elapsed().as_secs_f64() < self.orders.seconds
    }

    /// Sleeps for a random time.
    pub(crate) fn pause(&mut self, milliseconds: std::ops::RangeInclusive<u64>) {
        thread::sleep(self.random.milliseconds(milliseconds));
    }

    pub(crate) fn fault(&mut self, count: u64) {
        self.report.figures.faults += count;
    }

    pub(crate) fn leave_out(&mut self, why: impl Into<String>) {
        self.report.left_out.push(why.into());
    }

    pub(crate) fn violate(&mut self, kind: Kind, what: impl Into<String>) {
        let what = what.into();
        let what = if self.trying.is_empty() { what } else { format!("{}: {what}", self.trying) };
        self.report.violate(Violation::new(kind, what));
    }

    /// A server that must start. It is used a little before its descriptors are counted, for some are made on first use.
    pub(crate) fn serve(&mut self, launch: &Launch) -> anyhow::Result<Served> {
        match Server::try_start(&self.orders.annulet, launch)? {
            Ok(server) => self.warm(server),
            Err(not_started) => {
                let what = format!("the server did not start: {not_started:?}");
                Err(Violation::new(Kind::Broken, what).into())
            }
        }
    }

    pub(crate) fn warm(&mut self, server: Server) -> anyhow::Result<Served> {
        let clients = ClientReport::default();
        let mut served =
            Served { server, descriptors: DescriptorLimit::NONE, clients, has_silent_clients: false };
        self.probe(&mut served, Tolerance::Nothing)?;
        self.await_quiet(&mut served)?;
        served.descriptors = served.server.descriptors().limit();
        Ok(served)
    }

    /// Orders for a client process of this server.
    pub(crate) fn client(&mut self, served: &Served) -> Orders {
        Orders::new(served.server.address, served.server.app, self.random.next())
    }

    /// Some requests of this process.
    fn probe(&mut self, served: &mut Served, tolerance: Tolerance) -> anyhow::Result<()> {
        let mut orders = self.client(served);
        orders.exchanges_max = 3;
        orders.bytes_max = 64 * 1024;
        let report = client::probe(&orders, PROBES);
        self.saw(served, report, tolerance)
    }

    /// Ends a client process and takes its report.
    pub(crate) fn finish(
        &mut self,
        served: &mut Served,
        crowd: Crowd,
        tolerance: Tolerance,
    ) -> anyhow::Result<()> {
        let report = crowd.finish()?;
        self.saw(served, report, tolerance)
    }

    /// Judges what clients saw by themselves.
    fn saw(&mut self, served: &mut Served, report: ClientReport, tolerance: Tolerance) -> anyhow::Result<()> {
        served.server.check_alive()?;
        self.add(&report);
        let ClientReport { refused, unanswered, cut_short, broken, examples, .. } = &report;
        if tolerance == Tolerance::Nothing {
            let examples = examples.join("; ");
            // Whoever has to find out why wants to know what the server knows.
            let counters = match refused + broken + unanswered + cut_short {
                0 => String::new(),
                _ => format!("{:?}", served.server.counters()?),
            };
            for (count, kind, what) in [
                (refused, Kind::Broken, "connections could not be made"),
                (broken, Kind::Broken, "connections broke or were refused"),
                (unanswered, Kind::Lost, "requests were not answered"),
                (cut_short, Kind::Lost, "answers were cut short"),
            ] {
                if *count > 0 {
                    self.violate(
                        kind,
                        format!("{count} {what}, though nothing explains it: {examples}; {counters}"),
                    );
                }
            }
        }
        served.clients.add(report);
        Ok(())
    }

    /// Adds figures, and what no fault explains.
    pub(crate) fn add(&mut self, report: &ClientReport) {
        let figures = &mut self.report.figures;
        figures.connections += report.connections;
        figures.bytes += report.sent + report.received;
        figures.answered += report.answered;
        figures.failed += report.failed;
        figures.faults += report.abandoned;
        for lost in &report.lost {
            self.violate(Kind::Lost, lost);
        }
        for hang in &report.hangs {
            self.violate(Kind::Hang, hang);
        }
    }

    /// What must be true when all clients are gone; then a fresh request, and the end.
    pub(crate) fn settle(&mut self, mut served: Served, tolerance: Tolerance) -> anyhow::Result<()> {
        served.server.check_alive()?;
        let counters = self.await_quiet(&mut served)?;
        self.compare(&served, &counters);
        // Whatever happened before: nothing happens now.
        self.probe(&mut served, tolerance)?;
        self.await_quiet(&mut served)?;
        self.stop(served.server)
    }

    pub(crate) fn stop(&mut self, server: Server) -> anyhow::Result<()> {
        for Violation { kind, what } in server.stop()? {
            self.violate(kind, what);
        }
        Ok(())
    }

    /// Waits until the server has given back what it had for its clients.
    fn await_quiet(&mut self, served: &mut Served) -> anyhow::Result<Counters> {
        let start = Instant::now();
        loop {
            served.server.check_alive()?;
            let counters = served.server.counters()?;
            let open = counters.get("connections_open");
            let descriptors = served.server.descriptors();
            if open == 0 && descriptors.are_within(served.descriptors) {
                return Ok(counters);
            }
            if start.elapsed() > PATIENCE {
                let limit = served.descriptors;
                let what = format!(
                    "{open} connections and {descriptors:?} instead of {limit:?}, {PATIENCE:?} after the last client; {counters:?}"
                );
                return Err(Violation::new(Kind::Leak, what).into());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the server's counters and its clients tell the same story.
    fn compare(&mut self, served: &Served, counters: &Counters) {
        let clients = &served.clients;
        let mut expect = |is_right: bool, what: String| {
            if !is_right {
                self.violate(Kind::Broken, format!("counters: {what}; {counters:?}"));
            }
        };
        let [opened, closed, received, sent, requests, panicked] = [
            "connections_opened",
            "connections_closed",
            "bytes_received",
            "bytes_sent",
            "http_requests",
            "tasks_panicked",
        ]
        .map(|name| counters.get(name));
        expect(opened == closed, format!("{opened} opened, {closed} closed"));
        expect(panicked == 0, format!("{panicked} tasks panicked"));
        if served.has_silent_clients {
            expect(sent >= clients.received, format!("{sent} bytes sent, clients got {}", clients.received));
            // Only the server can tell.
            let figures = &mut self.report.figures;
            figures.connections += opened.saturating_sub(clients.connections);
            figures.bytes += (sent + received).saturating_sub(clients.sent + clients.received);
            return;
        }
        if clients.is_complete() {
            expect(
                opened == clients.connections,
                format!("{opened} opened, clients made {}", clients.connections),
            );
            expect(
                received == clients.sent,
                format!("{received} bytes received, clients sent {}", clients.sent),
            );
            expect(sent == clients.received, format!("{sent} bytes sent, clients got {}", clients.received));
            let is_http = served.server.app == App::Http;
            expect(
                !is_http || requests == clients.answered,
                format!("{requests} requests, clients got {} answers", clients.answered),
            );
            return;
        }
        expect(sent >= clients.received, format!("{sent} bytes sent, clients got {}", clients.received));
        expect(received <= clients.sent, format!("{received} bytes received, clients sent {}", clients.sent));
        let early = clients.unanswered + clients.cut_short;
        let explained = counters.sum(&EXPLANATIONS);
        expect(early <= explained, format!("{early} connections ended early, and {explained} had a reason"));
    }
}

/// Why a server ends a connection in order before everything was answered.
const EXPLANATIONS: [&str; 7] = [
    "handlers_failed",
    "timeouts_setup",
    "timeouts_idle",
    "timeouts_inactivity",
    "timeouts_request",
    "http_timeouts",
    "connections_cut",
];
