//! Many seeds.

use std::num::NonZero;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use annulet_driver::sim::{Coverage, Fault, Plan};

use crate::builder::Builder;
use crate::failure::{Failure, Report};
use crate::replay::command;
use crate::sim::Sim;

/// One seed in so many is run twice.
const TWICE_EVERY: u64 = 16;

/// Runs a program with many seeds, each with faults of its own. One seed in sixteen is run twice, so that a program in
/// which something else than the seed decides is found out.
#[derive(Clone, Debug)]
#[must_use]
pub struct Check {
    seeds: Range<u64>,
    /// The environment has no say in them.
    is_fixed: bool,
    name: Option<String>,
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
        Self {
            seeds: 0..100,
            is_fixed: false,
            name: None,
            builder: Builder::default(),
            faults: Plan::swarm,
            twice_every: TWICE_EVERY,
        }
    }
}

impl Check {
    /// How many seeds, from 0 on. `ANNULET_SEED` in the environment has one run alone, `ANNULET_SEEDS` says another number.
    pub fn seeds(mut self, seeds: u64) -> Self {
        self.seeds = 0..seeds;
        self
    }

    /// These seeds, unless the environment says others.
    pub fn range(mut self, seeds: Range<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    /// This seed alone, whatever the environment says: one that has found something once.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seeds = seed..seed + 1;
        self.is_fixed = true;
        self
    }

    /// The test's module (`module_path!()`) and name, for the command that runs it again; by default what the thread is
    /// called, as test harnesses call theirs by the test.
    pub fn named(mut self, module: &str, name: &str) -> Self {
        self.name = Some(match module.split_once("::") {
            Some((_, module)) => format!("{module}::{name}"),
            None => name.to_owned(),
        });
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
    /// When one fails, with a [`Failure`]'s text: that of the lowest seed that did, and the fewest faults it takes.
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
        self.seeds = self.seeds_wanted();
        let next = AtomicU64::new(self.seeds.start);
        let totals = Mutex::new(Totals::default());
        let failed = Mutex::new(None);
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| self.run_seeds(&next, &totals, &failed, &program));
            }
        });
        match failed.into_inner().expect("not poisoned") {
            Some(failure) => {
                let seed = failure.seed;
                let mut failure = self.builder_for(seed).shortest(failure, &program);
                failure.command = command(self.name.as_deref(), (!self.is_fixed).then_some(seed));
                Err(failure)
            }
            None => Ok(totals.into_inner().expect("not poisoned")),
        }
    }

    fn seeds_wanted(&self) -> Range<u64> {
        match (number("ANNULET_SEED"), number("ANNULET_SEEDS")) {
            _ if self.is_fixed => self.seeds.clone(),
            (Some(seed), _) => seed..seed + 1,
            (None, Some(seeds)) => 0..seeds,
            (None, None) => self.seeds.clone(),
        }
    }

    /// One thread's: seeds until there are no more, or one that is less has failed.
    fn run_seeds<F>(
        &self,
        next: &AtomicU64,
        totals: &Mutex<Totals>,
        failed: &Mutex<Option<Box<Failure>>>,
        program: &F,
    ) where
        F: AsyncFn(Sim) + Clone + Send + Sync + 'static,
    {
        let is_over = |seed| {
            let failed = failed.lock().expect("not poisoned");
            failed.as_ref().is_some_and(|first| first.seed < seed)
        };
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= self.seeds.end || is_over(seed) {
                return;
            }
            match self.builder_for(seed).try_as_it_is(program.clone()) {
                Ok(report) => totals.lock().expect("not poisoned").add(&report),
                Err(failure) => {
                    let mut failed = failed.lock().expect("not poisoned");
                    if failed.as_ref().is_none_or(|first| first.seed > seed) {
                        *failed = Some(failure);
                    }
                }
            }
        }
    }

    fn builder_for(&self, seed: u64) -> Builder {
        let builder = self.builder.clone().seed(seed).faults((self.faults)(seed));
        if seed.is_multiple_of(self.twice_every) { builder.twice() } else { builder }
    }
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable}: a number, please")))
}
