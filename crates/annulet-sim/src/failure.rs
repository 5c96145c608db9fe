//! How a simulation ended.

use std::fmt;
use std::time::Duration;

use annulet_driver::sim::{Coverage, Fault, LogEntry, Plan};

use crate::panics::Panic;

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
///
/// Its text is the whole story: what did not hold, the faults it takes, the latest events, and how to run it again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What did not hold.
    pub what: String,
    /// Panics on the way to it: their messages and places.
    pub panics: Vec<String>,
    /// The faults that were on.
    pub faults: Plan,
    /// Times that faults struck.
    pub strikes: u64,
    /// The latest of these, in words.
    pub latest_strikes: Vec<String>,
    /// How much had happened.
    pub events: u64,
    /// Steps of reactors.
    pub steps: u64,
    /// Simulated time.
    pub time: Duration,
    /// The latest of what had happened, in words.
    pub latest: Vec<String>,
    /// A command that runs it again.
    pub command: String,
    pub(crate) history: History,
    /// The run goes on, and nothing but this can be said of it.
    pub(crate) is_stuck: bool,
}

impl Failure {
    /// A step has taken so long in real time, and has not come back.
    pub(crate) fn stuck(seed: u64, faults: Plan, time: Duration) -> Box<Self> {
        Box::new(Self {
            seed,
            what: format!(
                "a step has not come back for {time:?} of real time: is there a loop that never waits?"
            ),
            panics: Vec::new(),
            faults,
            strikes: 0,
            latest_strikes: Vec::new(),
            events: 0,
            steps: 0,
            time: Duration::ZERO,
            latest: Vec::new(),
            command: String::new(),
            history: History::default(),
            is_stuck: true,
        })
    }

    /// Makes the panic that `what` tells of part of it, and keeps the others.
    pub(crate) fn set_panics(&mut self, mut panics: Vec<Panic>) {
        if let Some(at) = panics.iter().rposition(|panic| self.what.ends_with(&panic.message)) {
            self.what = format!("{} (at {})", self.what, panics.remove(at).place);
        }
        self.panics = panics.iter().map(Panic::to_string).collect();
    }

    /// What stays the same of `what` while numbers and texts of the program's differ.
    pub(crate) fn gist(&self) -> (&str, Option<&str>) {
        let beginning = self.what.split(|c: char| c.is_ascii_digit() || c == ':').next();
        (beginning.unwrap_or_default(), self.what.rsplit_once(" (at ").map(|(_, place)| place))
    }

    fn plan(&self) -> String {
        let mut plan = String::from("Faults::none()");
        for fault in self.faults.on() {
            plan += &format!(".with(Fault::{fault:?}, {})", self.faults.per_million(fault));
        }
        let (spared, at_most) = self.faults.window();
        if spared > 0 {
            plan += &format!(".sparing({spared})");
        }
        if at_most < u64::MAX {
            plan += &format!(".in_all_at_most({at_most})");
        }
        plan
    }

    fn write_faults(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<_> = self.faults.on().map(Fault::name).collect();
        if kinds.is_empty() {
            return writeln!(f, "it takes no fault");
        }
        let left_out = match self.faults.window().0 {
            0 => String::new(),
            spared => format!(" (the first {spared} that the seed has are left out)"),
        };
        let plural = if self.strikes == 1 { "" } else { "s" };
        writeln!(f, "it takes {} fault{plural}: {}{left_out}", self.strikes, kinds.join(", "))?;
        write_lines(f, &self.latest_strikes[self.latest_strikes.len().saturating_sub(STRIKES_TOLD)..])
    }

    /// The latest events; where the latest fault is not among them, those around it, too.
    fn write_history(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = std::env::var("ANNULET_HISTORY").ok().and_then(|told| told.parse().ok()).unwrap_or(TOLD);
        let (all, events) = (self.latest.as_slice(), self.events);
        let last = all.len().saturating_sub(told);
        let strike =
            self.latest_strikes.last().and_then(|strike| all.iter().rposition(|line| line == strike));
        let last = match strike.filter(|strike| *strike < last) {
            Some(strike) => {
                let last = all.len() - told / 3;
                let from = strike.saturating_sub(BEFORE);
                writeln!(f, "events around the last fault:")?;
                write_lines(f, &all[from..last.min(from + told - told / 3)])?;
                last
            }
            None => last,
        };
        writeln!(
            f,
            "the last {} of {events} events, in {:?} of simulated time:",
            all.len() - last,
            self.time
        )?;
        write_lines(f, &all[last..])
    }
}

fn write_lines(f: &mut fmt::Formatter<'_>, lines: &[String]) -> fmt::Result {
    lines.iter().try_for_each(|line| writeln!(f, "  {line}"))
}

/// All that happened, as far as it is kept, to be compared with another run's.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) hash: u64,
    pub(crate) events: u64,
    pub(crate) entries: Vec<LogEntry>,
}

impl History {
    /// The first entry that differs, where it is kept.
    pub(crate) fn first_difference(&self, other: &Self) -> Option<usize> {
        let is_whole = |history: &Self| history.entries.len() as u64 == history.events;
        if !is_whole(self) || !is_whole(other) {
            return None;
        }
        let differs = self.entries.iter().zip(&other.entries).position(|(one, other)| one != other);
        differs.or((self.events != other.events).then(|| self.entries.len().min(other.entries.len())))
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        (self.hash, self.events) == (other.hash, other.events)
    }
}

/// How many of the latest events are told, and of the strikes.
const TOLD: usize = 40;
const STRIKES_TOLD: usize = 8;
/// Events told before the latest fault.
const BEFORE: usize = 3;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, what, panics, command, .. } = self;
        writeln!(f, "seed {seed} fails: {what}")?;
        panics.iter().try_for_each(|panic| writeln!(f, "  there was a panic: {panic}"))?;
        if self.is_stuck {
            return write!(f, "what led to it, only a debugger can tell:\n  {command}");
        }
        self.write_faults(f)?;
        self.write_history(f)?;
        writeln!(f, "run it again, with more events told:\n  ANNULET_HISTORY=500 {command}")?;
        write!(f, "keep it as a test:\n  Sim::builder().seed({seed}).faults({})", self.plan())
    }
}

impl std::error::Error for Failure {}
