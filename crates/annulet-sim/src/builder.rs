//! Settings of a simulation.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Once;
use std::time::Duration;

use annulet_driver::DriverOptions;
use annulet_driver::sim::{Chance, Plan, RingTraits, SeededThread};

use crate::failure::{Failure, Report};
use crate::scheduler::Scheduler;
use crate::sim::Sim;

/// How large the queues and buffers of a host are.
#[derive(Clone, Debug, Default)]
pub enum Sizes {
    /// Drawn for each host, small ones often: what happens when they are full happens often, then.
    #[default]
    Drawn,
    /// These.
    Given(DriverOptions),
}

/// Settings of a simulation, begun with [`Sim::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    pub(crate) seed: u64,
    pub(crate) faults: Plan,
    pub(crate) faults_for: Duration,
    pub(crate) patience: Duration,
    pub(crate) sizes: Sizes,
    is_twice: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            seed: 0,
            faults: Plan::none(),
            faults_for: Duration::from_secs(60),
            patience: Duration::from_secs(3600),
            sizes: Sizes::default(),
            is_twice: false,
        }
    }
}

impl Builder {
    /// What everything is drawn from; 0 if not set.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// What goes wrong; by default nothing.
    pub fn faults(mut self, faults: Plan) -> Self {
        self.faults = faults;
        self
    }

    /// Simulated time after which nothing goes wrong any more; by default a minute.
    pub fn faults_for(mut self, time: Duration) -> Self {
        self.faults_for = time;
        self
    }

    /// Simulated time that the program may take after the faults have ended; by default an hour. One that takes longer
    /// hangs, and fails.
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// Sizes of queues and buffers; by default drawn.
    pub fn sizes(mut self, sizes: Sizes) -> Self {
        self.sizes = sizes;
        self
    }

    /// Runs everything twice and compares the histories: a difference is a failure, for something else than the seed
    /// decided.
    pub fn twice(mut self) -> Self {
        self.is_twice = true;
        self
    }

    /// Runs `program` on a host called `client`, in a world of its own, until it ends.
    ///
    /// # Panics
    /// When something fails: with the seed, what failed, and what had happened before.
    pub fn run<F>(self, program: F) -> Report
    where
        F: AsyncFn(Sim) + Clone + Send + 'static,
    {
        match self.try_run(program) {
            Ok(report) => report,
            Err(failure) => panic!("{failure}"),
        }
    }

    /// [`run`](Self::run) that returns what failed.
    ///
    /// # Errors
    /// The failure.
    pub fn try_run<F>(self, program: F) -> Result<Report, Failure>
    where
        F: AsyncFn(Sim) + Clone + Send + 'static,
    {
        let report = self.run_once(program.clone())?;
        if self.is_twice {
            let again = self.run_once(program)?;
            if (again.hash, again.events) != (report.hash, report.events) {
                return Err(Failure::of_two_histories(&self, &report, &again));
            }
        }
        Ok(report)
    }

    /// A thread of its own for each world: what thread-locals remember of one does not reach the next.
    pub(crate) fn run_once<F>(&self, program: F) -> Result<Report, Failure>
    where
        F: AsyncFn(Sim) + Send + 'static,
    {
        keep_panics_quiet();
        let builder = self.clone();
        let thread = std::thread::Builder::new().name(format!("{THREAD}{}", self.seed));
        let result = thread
            .spawn(move || {
                let _seeded = SeededThread::new(builder.seed);
                catch_unwind(AssertUnwindSafe(|| Scheduler::new(&builder).run(program)))
            })
            .expect("a thread")
            .join();
        match result {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) | Err(panic) => resume_unwind(panic),
        }
    }
}

/// What the names of threads that simulate begin with.
const THREAD: &str = "seed-";

/// A panic in a simulation is told by the failure it becomes, or it is one that the seed wanted.
fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !std::thread::current().name().is_some_and(|name| name.starts_with(THREAD)) {
                others(panic);
            }
        }));
    });
}

/// The sizes of one host's kernel.
pub(crate) fn options(sizes: &Sizes, chance: &mut Chance) -> DriverOptions {
    match sizes {
        Sizes::Given(options) => options.clone(),
        Sizes::Drawn => {
            let submissions = chance.spread(8, 256) as u32;
            let completions = (submissions * 2).max(chance.spread(16, 1024) as u32);
            let buffers = chance.spread(4, 64) as u32;
            DriverOptions::default()
                .submission_entries(submissions)
                .completion_entries(completions)
                .buffers(buffers)
                .buffers_max(chance.spread(u64::from(buffers), 256) as u32)
                .buffer_size(chance.spread(512, 16384) as u32)
        }
    }
}

/// What one host's kernel can do.
pub(crate) fn traits(chance: &mut Chance) -> RingTraits {
    RingTraits {
        receive_cap: chance.hits(700_000),
        unix_end: chance.hits(700_000),
        quiet_sends: chance.hits(700_000),
    }
}
