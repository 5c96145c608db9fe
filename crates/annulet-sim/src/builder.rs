//! Settings of a simulation.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use annulet_driver::sim::{Chance, HostId, Plan, Purpose, RingTraits, SeededThread, World};
use annulet_driver::{DriverChoice, DriverOptions};
use annulet_runtime::Park;

use crate::failure::{Failure, History, Report};
use crate::panics;
use crate::replay::command;
use crate::scheduler::{Scheduler, message_of};
use crate::shrink::shrink;
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
    step_patience: Duration,
    /// Steps of all the runs, for whoever watches them.
    pub(crate) pulse: Arc<AtomicU64>,
    pub(crate) sizes: Sizes,
    pub(crate) driver: DriverChoice,
    pub(crate) may_panic: bool,
    is_twice: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            seed: 0,
            faults: Plan::none(),
            faults_for: Duration::from_secs(60),
            patience: Duration::from_secs(3600),
            step_patience: Duration::from_secs(60),
            pulse: Arc::default(),
            sizes: Sizes::default(),
            driver: DriverChoice::Auto,
            may_panic: false,
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

    /// Real time that one step may take: by default a minute. A step is what a task does between two waits; one that takes
    /// longer never comes back, and fails. The thread that runs it is left to itself.
    pub fn step_patience(mut self, time: Duration) -> Self {
        self.step_patience = time;
        self
    }

    /// Sizes of queues and buffers; by default drawn.
    pub fn sizes(mut self, sizes: Sizes) -> Self {
        self.sizes = sizes;
        self
    }

    /// Which driver hosts have; by default drawn for each, io_uring more often than epoll.
    pub fn driver(mut self, driver: DriverChoice) -> Self {
        self.driver = driver;
        self
    }

    /// Panics of tasks and handlers are no failures, unless the program itself does; by default every one is, contained
    /// or not. Those of [`maybe_panic`](crate::maybe_panic) never are.
    pub fn may_panic(mut self) -> Self {
        self.may_panic = true;
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
    /// When something does not hold, with a [`Failure`]'s text: the seed, what did not hold, the fewest faults it takes,
    /// the latest events, and how to run it again.
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
    /// The failure, with the fewest faults it takes.
    pub fn try_run<F>(self, program: F) -> Result<Report, Box<Failure>>
    where
        F: AsyncFn(Sim) + Clone + Send + 'static,
    {
        self.try_as_it_is(program.clone()).map_err(|failure| {
            let mut failure = self.shortest(failure, &program);
            failure.command = command(None, None);
            failure
        })
    }

    /// The same without looking for a shorter description.
    pub(crate) fn try_as_it_is<F>(&self, program: F) -> Result<Report, Box<Failure>>
    where
        F: AsyncFn(Sim) + Clone + Send + 'static,
    {
        let (report, history) = self.run_once(program.clone(), None)?;
        if self.is_twice {
            self.run_once(program, Some(history))?;
        }
        Ok(report)
    }

    /// The shortest description of a failure; another failure, if it does not come again.
    pub(crate) fn shortest<F>(&self, failure: Box<Failure>, program: &F) -> Box<Failure>
    where
        F: AsyncFn(Sim) + Clone + Send + 'static,
    {
        if failure.is_stuck {
            return failure;
        }
        match self.run_once(program.clone(), Some(failure.history.clone())) {
            Err(again) if again.history.is(&failure.history) => shrink(self, again, program),
            Err(again) => again,
            Ok(_) => failure,
        }
    }

    /// A thread of its own for each world: what thread-locals remember of one does not reach the next. Fails when the
    /// history is not that of `former`.
    pub(crate) fn run_once<F>(
        &self,
        program: F,
        former: Option<History>,
    ) -> Result<(Report, History), Box<Failure>>
    where
        F: AsyncFn(Sim) + Send + 'static,
    {
        panics::keep();
        let builder = Self { pulse: Arc::default(), ..self.clone() };
        let pulse = Arc::clone(&builder.pulse);
        let (alive, ended) = mpsc::channel();
        let thread = std::thread::Builder::new().name(format!("{}{}", panics::THREAD, self.seed));
        let thread = thread
            .spawn(move || {
                let _alive = alive;
                let _seeded = SeededThread::new(builder.seed);
                catch_unwind(AssertUnwindSafe(|| Scheduler::new(&builder).run(program, former)))
            })
            .expect("a thread");
        if !self.comes_to_an_end(&ended, &pulse) {
            return Err(Failure::stuck(self.seed, self.faults.clone(), self.step_patience));
        }
        match thread.join() {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) | Err(panic) => {
                // Nothing above knows the seed, and what keeps panics has not let this one say anything.
                eprintln!("seed {}: the simulation panicked: {}", self.seed, message_of(&*panic));
                resume_unwind(panic)
            }
        }
    }
}

impl Builder {
    /// Waits for the end of a run; false when it no longer makes steps.
    fn comes_to_an_end(&self, ended: &Receiver<Infallible>, pulse: &AtomicU64) -> bool {
        let mut former = None;
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(self.step_patience) {
            let steps = Some(pulse.load(Ordering::Relaxed));
            if former == steps {
                return false;
            }
            former = steps;
        }
        true
    }
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

/// Whether a host has epoll.
pub(crate) fn is_epoll(driver: DriverChoice, world: &World, host: HostId) -> bool {
    match driver {
        // A stream of its own: what is drawn for io_uring is the same whether the driver is drawn or given.
        DriverChoice::Auto => world.chance(Purpose::Sizes, host.index() as u64 | 1 << 32).hits(300_000),
        DriverChoice::Uring => false,
        DriverChoice::Epoll => true,
    }
}

/// What a host's reactors do before they sleep.
pub(crate) fn park(world: &World, host: HostId) -> Park {
    let mut chance = world.chance(Purpose::Sizes, host.index() as u64 | 2 << 32);
    match chance.below(10) {
        // No longer: while one watches nothing else happens here, and nothing comes that it could wait for.
        0..2 => Park::Spin(Duration::from_nanos(chance.spread(30, 1000))),
        2 => Park::Adaptive,
        _ => Park::Block,
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
