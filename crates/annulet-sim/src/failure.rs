//! How a simulation ended.

use std::fmt;
use std::time::Duration;

use annulet_driver::sim::{Coverage, LogEntry, Plan};

use crate::builder::Builder;

/// A simulation in which everything held.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Of all that happened: the same for the same seed and program.
    pub hash: u64,
    /// How much happened.
    pub events: u64,
    /// Steps of reactors.
    pub steps: u64,
    /// Simulated time.
    pub time: Duration,
    /// Which faults met which operations, and how often.
    pub coverage: Coverage,
}

/// A simulation in which something did not hold.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What did not hold.
    pub what: String,
    /// The faults that were on.
    pub faults: Plan,
    /// How much had happened.
    pub events: u64,
    /// Simulated time.
    pub time: Duration,
    /// The last of what had happened.
    pub latest: Vec<LogEntry>,
}

impl Failure {
    pub(crate) fn of_two_histories(builder: &Builder, one: &Report, other: &Report) -> Self {
        Self {
            seed: builder.seed,
            what: format!(
                "two runs of this seed have different histories ({:016x} after {} events, {:016x} after {}): something \
                 else than the seed decides, such as the order of a HashMap, select! without biased, a clock, or a thread",
                one.hash, one.events, other.hash, other.events
            ),
            faults: builder.faults.clone(),
            events: one.events,
            time: one.time,
            latest: Vec::new(),
        }
    }
}

/// How many of the latest events are told.
const TOLD: usize = 24;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, what, faults, events, time, latest } = self;
        writeln!(f, "seed {seed} fails: {what}")?;
        writeln!(f, "after {events} events, {time:?} of simulated time")?;
        writeln!(
            f,
            "faults: {}",
            if faults.on().next().is_none() { "none".into() } else { faults.to_string() }
        )?;
        let told = std::env::var("ANNULET_HISTORY").ok().and_then(|told| told.parse().ok()).unwrap_or(TOLD);
        for entry in latest.iter().skip(latest.len().saturating_sub(told)) {
            writeln!(f, "{entry}")?;
        }
        write!(f, "run it again with ANNULET_SEED={seed}")
    }
}

impl std::error::Error for Failure {}
