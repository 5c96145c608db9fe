//! What runs on a host from its start to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use annulet_driver::Instant;
use annulet_driver::sim::{HostId, Purpose, SeatId, Simulation};
use annulet_runtime::{Audit, ExitReport, JoinHandle, ReactorId, Step, Stepped};

use crate::builder::{self, Builder};
use crate::host::{Host, Program};
use crate::jobs::{Job, Jobs, Names};

/// How long a process that ends waits for its operations, in simulated time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Counters of what is there now: of nothing, at the end.
const GAUGES: [&str; 2] = ["tasks_live", "connections_open"];

/// What is left of a runtime that has ended.
#[derive(Default)]
pub(crate) struct LeftOver {
    /// What each reactor still held.
    pub(crate) reports: Vec<ExitReport>,
    /// Counters of what is there that are not zero.
    pub(crate) gauges: Vec<(ReactorId, &'static str, i64)>,
}

/// A runtime, its seats in the simulation, and its program.
pub(crate) struct Process {
    pub(crate) host: Host,
    pub(crate) id: HostId,
    runtime: Option<Stepped>,
    seats: Vec<SeatId>,
    is_asleep: Vec<bool>,
    pub(crate) main: Option<JoinHandle<()>>,
    pub(crate) jobs: Arc<Jobs>,
    /// Jobs under way, by number.
    pub(crate) running: BTreeMap<u64, Job>,
    pub(crate) jobs_so_far: u64,
    program: Program,
    reactors: u32,
    names: Arc<Names>,
    /// It stands still until then.
    pub(crate) frozen_until: Option<Instant>,
}

impl Process {
    pub(crate) fn new(host: Host, id: HostId, reactors: u32, program: Program, names: Arc<Names>) -> Self {
        let jobs = Arc::new(Jobs::new(Arc::clone(&names)));
        Self {
            host,
            id,
            runtime: None,
            seats: Vec::new(),
            is_asleep: Vec::new(),
            main: None,
            jobs,
            running: BTreeMap::new(),
            jobs_so_far: 0,
            program,
            reactors,
            names,
            frozen_until: None,
        }
    }

    /// Starts the program.
    ///
    /// # Errors
    /// When the host has no descriptors for it.
    pub(crate) fn start(&mut self, simulation: &Simulation, settings: &Builder) -> std::io::Result<()> {
        assert!(self.runtime.is_none(), "{} runs already", self.host.name());
        let mut chance = simulation.world().chance(Purpose::Sizes, self.id.index() as u64);
        let is_epoll = builder::is_epoll(settings.driver, simulation.world(), self.id);
        let (mut drivers, mut seats) = (Vec::new(), Vec::new());
        for _ in 0..self.reactors {
            let options = builder::options(&settings.sizes, &mut chance);
            let traits = builder::traits(&mut chance);
            let (driver, seat) = if is_epoll {
                simulation.open_epoll(self.id, &options)?
            } else {
                simulation.open(self.id, &options, traits)?
            };
            simulation.set_parks(seat, true);
            drivers.push(driver);
            seats.push(seat);
        }
        self.jobs = Arc::new(Jobs::new(Arc::clone(&self.names)));
        let runtime = Stepped::new(drivers, builder::park(simulation.world(), self.id), self.jobs.clone());
        self.main = Some(runtime.spawn((self.program)()));
        self.is_asleep = vec![false; seats.len()];
        self.seats = seats;
        self.runtime = Some(runtime);
        Ok(())
    }

    pub(crate) fn is_running(&self) -> bool {
        self.runtime.is_some()
    }

    /// Reactors that have something to do now.
    pub(crate) fn runnable(&self, simulation: &Simulation) -> impl Iterator<Item = usize> {
        (0..self.seats.len())
            .filter(|at| !self.is_asleep[*at] || simulation.sleeps_until(self.seats[*at]).is_none())
    }

    /// When the first of its sleeping reactors wakes by itself.
    pub(crate) fn next_deadline(&self, simulation: &Simulation) -> Option<Instant> {
        let deadline = |seat: &SeatId| simulation.sleeps_until(*seat).flatten();
        self.seats.iter().filter_map(deadline).min()
    }

    /// Steps one reactor.
    ///
    /// # Errors
    /// When its driver is broken.
    pub(crate) fn step(&mut self, reactor: usize) -> std::io::Result<()> {
        let runtime = self.runtime.as_ref().expect("it runs");
        self.is_asleep[reactor] = runtime.step(ReactorId(reactor as u32))? == Step::Asleep;
        Ok(())
    }

    pub(crate) fn audit(&self, audit: &mut Audit) {
        if let Some(runtime) = &self.runtime {
            runtime.audit(audit);
        }
    }

    /// Ends the runtime; what is left of it.
    pub(crate) fn end(&mut self, simulation: &Simulation) -> LeftOver {
        let Some(runtime) = self.runtime.take() else { return LeftOver::default() };
        let handle = runtime.handle().clone();
        for seat in self.seats.drain(..) {
            simulation.set_parks(seat, false);
        }
        self.main = None;
        self.running.clear();
        let order: Vec<_> = (0..self.reactors).map(ReactorId).collect();
        let reports = runtime.end(&order, PATIENCE);
        simulation.collect();
        let mut gauges = Vec::new();
        handle.visit_counters(|reactor, name, value| {
            if value != 0 && GAUGES.contains(&name) {
                gauges.push((reactor, name, value as i64));
            }
        });
        LeftOver { reports, gauges }
    }
}
