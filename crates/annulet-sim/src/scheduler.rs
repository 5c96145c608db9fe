//! Who goes on next, until the program has ended.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use annulet_driver::Instant;
use annulet_driver::sim::{
    Chance, Death, Fault, Happened, HostId, OUTSIDE, Operation, Outside, Purpose, Simulation, World,
};
use annulet_runtime::Audit;

use crate::builder::Builder;
use crate::chance;
use crate::failure::{Failure, History, Report};
use crate::host::Host;
use crate::jobs::Names;
use crate::panics;
use crate::process::Process;
use crate::sim::{Order, Sim, start};

/// A job's end is an event of this kind.
const JOB: u64 = OUTSIDE;
/// Steps between two looks at everything.
const STEPS_PER_AUDIT: u64 = 64;
/// Steps that may follow each other without time passing by itself or anything happening.
const STEPS_WITHOUT_EVENT_MAX: u64 = 200_000;

/// Entries of the log that are kept: all of nearly every seed.
const KEPT: usize = 1 << 18;
/// Entries of it that a failure can tell.
const TOLD_MAX: usize = 4096;

pub(crate) struct Scheduler {
    builder: Builder,
    simulation: Simulation,
    world: World,
    sim: Sim,
    chance: Chance,
    processes: BTreeMap<HostId, Process>,
    names: Arc<Names>,
    steps: u64,
    steps_without_event: u64,
}

const STUCK: &str = "nothing will ever happen, and the program has not ended; did it wait for a thread that the \
                     simulation does not know?";

/// What did not hold.
type Broken = String;

impl Scheduler {
    pub(crate) fn new(builder: &Builder) -> Self {
        let world = World::new(builder.seed, builder.faults.clone());
        world.end_faults_at(start() + builder.faults_for);
        let simulation = Simulation::new(world.clone());
        Self {
            builder: builder.clone(),
            simulation,
            sim: Sim::new(world.clone()),
            chance: world.chance(Purpose::Schedule, 0),
            world,
            processes: BTreeMap::new(),
            names: Arc::default(),
            steps: 0,
            steps_without_event: 0,
        }
    }

    /// Runs `program` on the host `client` until it has ended, and everything after it. The history has to be that of a
    /// `former` run, if there was one.
    pub(crate) fn run<F>(
        mut self,
        program: F,
        former: Option<History>,
    ) -> Result<(Report, History), Box<Failure>>
    where
        F: AsyncFn(Sim) + 'static,
    {
        self.world.keep_log(KEPT);
        let result = self.run_program(program).and_then(|()| self.end_everything());
        let history = History {
            hash: self.world.log_hash(),
            events: self.world.log_count(),
            entries: self.world.log_latest(),
        };
        if let Some(former) = former.filter(|former| !former.is(&history)) {
            let what = chance::of_two_histories(&self.simulation, &former, &history);
            return Err(self.failure(what, history));
        }
        match result {
            Ok(()) => Ok((self.report(&history), history)),
            Err(what) => Err(self.failure(what, history)),
        }
    }

    fn report(&self, history: &History) -> Report {
        Report {
            seed: self.builder.seed,
            hash: history.hash,
            events: history.events,
            steps: self.steps,
            time: self.world.now() - start(),
            coverage: self.world.coverage(),
        }
    }

    fn failure(self, what: Broken, history: History) -> Box<Failure> {
        let mut failure = Box::new(Failure {
            seed: self.builder.seed,
            // A thread that interferes explains whatever came of it.
            what: self.simulation.foreign_thread().map_or(what, ToOwned::to_owned),
            panics: Vec::new(),
            faults: self.builder.faults.clone(),
            strikes: self.world.faults_struck(),
            latest_strikes: self.simulation.tell(&self.world.log_faults()),
            events: history.events,
            steps: self.steps,
            time: self.world.now() - start(),
            latest: self.simulation.history_of(TOLD_MAX),
            command: String::new(),
            history,
            is_stuck: false,
        });
        failure.set_panics(panics::take());
        // What is left is in no state to be taken down in order.
        self.processes.into_values().for_each(std::mem::forget);
        failure
    }

    fn run_program<F>(&mut self, program: F) -> Result<(), Broken>
    where
        F: AsyncFn(Sim) + 'static,
    {
        let program = Rc::new(program);
        let sim = self.sim.clone();
        let client = self.sim.host("client").addresses(vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))]).start(
            async move || {
                let (program, sim) = (Rc::clone(&program), sim.clone());
                program(sim).await;
            },
        );
        self.carry_out_orders()?;
        let client = client.id();
        let deadline = start() + self.builder.faults_for + self.builder.patience;
        loop {
            self.carry_out_orders()?;
            if self.take_ended(client)? {
                return Ok(());
            }
            if self.world.now() > deadline {
                return Err(format!(
                    "the program has not ended {:?} after the faults",
                    self.builder.patience
                ));
            }
            self.go_on()?;
        }
    }

    /// One step of a reactor, or one event.
    fn go_on(&mut self) -> Result<(), Broken> {
        self.simulation.collect();
        if let Some(what) = self.simulation.foreign_thread() {
            return Err(what.to_owned());
        }
        let now = self.world.now();
        let next = self.world.next_event_at();
        if next.is_some_and(|next| next <= now) {
            return self.run_next_event();
        }
        let runnable = self.runnable(now);
        if !runnable.is_empty() {
            let (host, reactor) = runnable[self.chance.below(runnable.len() as u64) as usize];
            return self.step(host, reactor);
        }
        match (next, self.next_deadline(now)) {
            (Some(next), Some(deadline)) if deadline < next => self.world.advance(deadline - now),
            (Some(_), _) => return self.run_next_event(),
            (None, Some(deadline)) => self.world.advance(deadline - now),
            (None, None) => return Err(STUCK.into()),
        }
        self.steps_without_event = 0;
        Ok(())
    }

    fn runnable(&mut self, now: Instant) -> Vec<(HostId, usize)> {
        let mut runnable = Vec::new();
        for (&id, process) in &mut self.processes {
            if process.frozen_until.is_some_and(|until| until > now) || !self.world.is_alive(id) {
                continue;
            }
            process.frozen_until = None;
            runnable.extend(process.runnable(&self.simulation).map(|reactor| (id, reactor)));
        }
        runnable
    }

    fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let deadline = |process: &Process| match process.frozen_until {
            Some(until) if until > now => Some(until),
            _ => process.next_deadline(&self.simulation),
        };
        self.processes.values().filter_map(deadline).min()
    }

    fn step(&mut self, host: HostId, reactor: usize) -> Result<(), Broken> {
        self.steps += 1;
        self.builder.pulse.store(self.steps, Ordering::Relaxed);
        self.steps_without_event += 1;
        if self.steps_without_event > STEPS_WITHOUT_EVENT_MAX {
            return Err(format!(
                "reactors of {} run for ever without anything happening",
                self.world.name(host)
            ));
        }
        let process = self.processes.get_mut(&host).expect("runnable");
        if self.world.hit(Fault::Frozen, Operation::Handler) {
            let nanos = self.world.severity(Fault::Frozen, 100_000, 20_000_000_000);
            process.frozen_until = Some(self.world.now() + Duration::from_nanos(nanos));
            return Ok(());
        }
        contained(|| process.step(reactor))?
            .map_err(|error| format!("reactor {reactor} is broken: {error}"))?;
        self.check_panics(host)?;
        self.simulation.collect();
        self.take_jobs(host);
        if process_faults(&self.world, &self.processes[&host].host) {
            self.kill(host, Death::Killed)?;
        }
        self.audit(host)
    }

    /// A panic that the runtime contained: it ended one task, as it would on Linux, and is a bug all the same.
    fn check_panics(&self, host: HostId) -> Result<(), Broken> {
        match panics::first() {
            Some(message) if !self.builder.may_panic => {
                Err(format!("{} panicked: {message}", self.world.name(host)))
            }
            _ => Ok(()),
        }
    }

    fn audit(&self, host: HostId) -> Result<(), Broken> {
        let mut audit = Audit::default();
        if self.steps.is_multiple_of(STEPS_PER_AUDIT) {
            self.processes.values().for_each(|process| process.audit(&mut audit));
            self.simulation.audit(&mut audit.violations);
        } else if self.steps.is_multiple_of(STEPS_PER_AUDIT / 8)
            && let Some(process) = self.processes.get(&host)
        {
            process.audit(&mut audit);
        }
        match audit.violations.first() {
            Some(violation) => Err(violation.clone()),
            None => Ok(()),
        }
    }

    fn run_next_event(&mut self) -> Result<(), Broken> {
        self.steps_without_event = 0;
        match self.simulation.run_next() {
            Happened::Outside(Outside { kind: JOB, a, b }) => {
                let process = self.processes.values_mut().find(|process| process.id.index() as u64 == a);
                if let Some(process) = process
                    && let Some(job) = process.running.remove(&b)
                {
                    let host = process.id;
                    contained(job)?;
                    self.check_panics(host)?;
                }
            }
            // Nobody watches the signal: its default action ends the process.
            Happened::Signal(host, _) => self.kill(host, Death::Killed)?,
            _ => {}
        }
        Ok(())
    }

    fn take_jobs(&mut self, host: HostId) {
        let Some(process) = self.processes.get_mut(&host) else { return };
        for job in process.jobs.take() {
            let longest =
                if self.world.hit(Fault::SlowJob, Operation::Job) { 5_000_000_000 } else { 1_000_000 };
            process.jobs.set_lost(self.world.hit(Fault::ResolveFailed, Operation::Resolve));
            let number = process.jobs_so_far;
            process.jobs_so_far += 1;
            process.running.insert(number, job);
            let at = self.world.now() + Duration::from_nanos(self.chance.between(1000, longest));
            self.world.schedule(at, Outside { kind: JOB, a: host.index() as u64, b: number });
        }
    }

    fn carry_out_orders(&mut self) -> Result<(), Broken> {
        for order in self.sim.take_orders() {
            match order {
                Order::Add { host, reactors, addresses, program } => {
                    let id = host.id();
                    self.names.add(host.name(), addresses);
                    let process = Process::new(host.clone(), id, reactors, program, Arc::clone(&self.names));
                    self.processes.insert(id, process);
                    self.start(&host);
                }
                Order::Start(host) => {
                    if !self.world.is_alive(host.id()) {
                        self.world.restart(host.id());
                    }
                    self.start(&host);
                }
                Order::Kill { host, death } => self.kill(host.id(), death)?,
            }
        }
        Ok(())
    }

    fn start(&mut self, host: &Host) {
        let process = self.processes.get_mut(&host.id()).expect("it was added");
        if process.is_running() {
            return;
        }
        // Faults do not meet what a process opens before its program runs; they would only keep it from starting.
        while process.start(&self.simulation, &self.builder).is_err() {}
    }

    fn kill(&mut self, host: HostId, death: Death) -> Result<(), Broken> {
        let process = self.processes.get_mut(&host).expect("it was added");
        if !process.is_running() {
            return Ok(());
        }
        self.world.kill(host, death);
        let simulation = &self.simulation;
        contained(|| process.end(simulation))?;
        process.host.has_ended();
        Ok(())
    }

    /// Ends the processes whose programs have ended; true when that of `client` has.
    fn take_ended(&mut self, client: HostId) -> Result<bool, Broken> {
        let ended = |process: &Process| process.main.as_ref().is_some_and(|main| main.is_finished());
        let ids: Vec<_> =
            self.processes.iter().filter(|(_, process)| ended(process)).map(|(id, _)| *id).collect();
        for id in ids {
            let process = self.processes.get_mut(&id).expect("just seen");
            if let Some(main) = process.main.take()
                && let Some(Err(error)) = now_or_never(main)
                && error.is_panic()
            {
                let message = message_of(&*error.into_panic());
                return Err(format!("{} panicked: {message}", process.host.name()));
            }
            self.end(id)?;
            if id == client {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn end(&mut self, id: HostId) -> Result<(), Broken> {
        let process = self.processes.get_mut(&id).expect("it was added");
        let simulation = &self.simulation;
        let left = contained(|| process.end(simulation))?;
        process.host.has_ended();
        let name = process.host.name();
        if let Some(report) = left.reports.iter().find(|report| !report.is_clean()) {
            return Err(format!("{name} leaks: {report}"));
        }
        match left.gauges.first() {
            Some((reactor, gauge, value)) => {
                Err(format!("{name} has ended, and reactor {reactor} counts {value} {gauge}"))
            }
            None => Ok(()),
        }
    }

    fn end_everything(&mut self) -> Result<(), Broken> {
        self.world.end_faults();
        let running: Vec<_> =
            self.processes.iter().filter(|(_, process)| process.is_running()).map(|(id, _)| *id).collect();
        for id in running {
            self.end(id)?;
        }
        let mut violations = Vec::new();
        self.simulation.audit(&mut violations);
        for process in self.processes.values().filter(|process| self.world.is_alive(process.id)) {
            let left = self.world.descriptors_open(process.id);
            if left > 0 {
                violations.push(format!("{} leaves {left} descriptors open", process.host.name()));
            }
        }
        violations.into_iter().next().map_or(Ok(()), Err)
    }
}

/// Faults that meet a process after a step; true when it is killed.
fn process_faults(world: &World, host: &Host) -> bool {
    if host.may_be_signalled() && world.hit(Fault::Signal, Operation::Signal) {
        const TERMINATE: i32 = 15;
        world.raise(host.id(), TERMINATE, world.now());
    }
    host.may_be_killed() && world.hit(Fault::Killed, Operation::Handler)
}

fn contained<T>(f: impl FnOnce() -> T) -> Result<T, Broken> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| format!("a reactor panicked: {}", message_of(&*panic)))
}

pub(crate) fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no message").to_owned()
}

fn now_or_never<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match Pin::new(&mut future).poll(&mut cx) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}
