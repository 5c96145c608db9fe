//! Many seeds.

use std::num::NonZero;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use annulet_driver::sim::{Coverage, Fault, Plan};

use crate::builder::Builder;
use crate::failure::{Failure, Report};
use crate::sim::Sim;

/// Runs a program with many seeds, each with faults of its own.
#[derive(Clone, Debug)]
#[must_use]
pub struct Check {
    seeds: Range<u64>,
    builder: Builder,
    faults: fn(u64) -> Plan,
    twice_every: u64,
}

/// What many seeds came to.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Totals {
    /// Seeds run.
    pub seeds: u64,
    /// Events of all of them.
    pub events: u64,
    /// Events of each, to take a median of.
    pub events_each: Vec<u64>,
    /// Simulated time.
    pub time: Duration,
    /// Which faults met which operations, and how often.
    pub coverage: Coverage,
    /// Of all histories, in the order of the seeds.
    pub hash: u64,
}

impl Totals {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.events += report.events;
        self.events_each.push(report.events);
        self.time += report.time;
        self.coverage.add(&report.coverage);
        // Any order of adding gives the same.
        self.hash = self.hash.wrapping_add(report.hash.wrapping_mul(2 * report.seed + 1));
    }

    /// Half of the seeds had at least so many events.
    pub fn median_events(&self) -> u64 {
        let mut each = self.events_each.clone();
        each.sort_unstable();
        each.get(each.len() / 2).copied().unwrap_or(0)
    }

    /// Faults that struck.
    pub fn faults(&self) -> u64 {
        Fault::ALL.into_iter().map(|fault| self.coverage.total(fault)).sum()
    }
}

impl Default for Check {
    /// A hundred seeds, each with the faults that it draws itself.
    fn default() -> Self {
        Self { seeds: 0..100, builder: Builder::default(), faults: Plan::swarm, twice_every: 16 }
    }
}

impl Check {
    /// How many seeds, from 0 on. `ANNULET_SEED` in the environment has one run alone, `ANNULET_SEEDS` says another number.
    pub fn seeds(mut self, seeds: u64) -> Self {
        self.seeds = 0..seeds;
        self
    }

    /// These seeds.
    pub fn range(mut self, seeds: Range<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    /// What goes wrong in a seed's world; by default [`Plan::swarm`].
    pub fn faults(mut self, faults: fn(u64) -> Plan) -> Self {
        self.faults = faults;
        self
    }

    /// Settings of each simulation beside seed and faults.
    pub fn settings(mut self, builder: Builder) -> Self {
        self.builder = builder;
        self
    }

    /// Runs `program` with each seed, on as many threads as there are processors.
    ///
    /// # Panics
    /// When one fails: with the lowest seed that did, and the fewest kinds of faults it needs to.
    pub fn run<F>(self, program: F) -> Totals
    where
        F: AsyncFn(Sim) + Clone + Send + Sync + 'static,
    {
        match self.try_run(program) {
            Ok(totals) => totals,
            Err(failure) => panic!("{failure}"),
        }
    }

    /// [`run`](Self::run) that returns what failed.
    ///
    /// # Errors
    /// The failure.
    pub fn try_run<F>(mut self, program: F) -> Result<Totals, Box<Failure>>
    where
        F: AsyncFn(Sim) + Clone + Send + Sync + 'static,
    {
        if let Some(seed) = number("ANNULET_SEED") {
            self.seeds = seed..seed + 1;
        } else if let Some(seeds) = number("ANNULET_SEEDS") {
            self.seeds = 0..seeds;
        }
        let next = AtomicU64::new(self.seeds.start);
        let totals = Mutex::new(Totals::default());
        let failed: Mutex<Option<Box<Failure>>> = Mutex::new(None);
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        let is_over = failed
                            .lock()
                            .expect("not poisoned")
                            .as_ref()
                            .is_some_and(|first| first.seed < seed);
                        if seed >= self.seeds.end || is_over {
                            return;
                        }
                        match self.run_seed(seed, program.clone()) {
                            Ok(report) => totals.lock().expect("not poisoned").add(&report),
                            Err(failure) => {
                                let mut failed = failed.lock().expect("not poisoned");
                                if failed.as_ref().is_none_or(|first| first.seed > seed) {
                                    *failed = Some(Box::new(failure));
                                }
                            }
                        }
                    }
                });
            }
        });
        match failed.into_inner().expect("not poisoned") {
            Some(failure) => Err(Box::new(self.shrink(*failure, &program))),
            None => Ok(totals.into_inner().expect("not poisoned")),
        }
    }

    fn run_seed<F>(&self, seed: u64, program: F) -> Result<Report, Failure>
    where
        F: AsyncFn(Sim) + Clone + Send + 'static,
    {
        let builder = self.builder.clone().seed(seed).faults((self.faults)(seed));
        let builder = if seed % self.twice_every == 0 { builder.twice() } else { builder };
        builder.try_run(program)
    }

    /// The same failure with fewer kinds of faults, if they are enough.
    fn shrink<F>(&self, mut failure: Failure, program: &F) -> Failure
    where
        F: AsyncFn(Sim) + Clone + Send + 'static,
    {
        let kinds: Vec<_> = failure.faults.on().collect();
        for fault in kinds {
            let fewer = failure.faults.clone().without(fault);
            let builder = self.builder.clone().seed(failure.seed).faults(fewer);
            if let Err(smaller) = builder.try_run(program.clone()) {
                failure = smaller;
            }
        }
        failure
    }
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable}: a number, please")))
}
