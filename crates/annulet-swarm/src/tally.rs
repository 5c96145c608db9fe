//! What a long run came to.

use std::fmt;
use std::time::Duration;

use annulet_sim::{Coverage, Fault, Operation, Totals};

/// Sums over many seeds of several workloads.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    seeds: u64,
    events_each: Vec<u64>,
    simulated: Duration,
    coverage: Coverage,
    hash: u64,
}

impl Tally {
    /// Adds what some seeds came to.
    pub fn add(&mut self, totals: &Totals) {
        self.seeds += totals.seeds;
        self.events_each.extend_from_slice(&totals.events_each);
        self.simulated += totals.time;
        self.coverage.add(&totals.coverage);
        self.hash = self.hash.wrapping_add(totals.hash);
    }

    /// Adds another tally.
    pub fn merge(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.events_each.extend_from_slice(&other.events_each);
        self.simulated += other.simulated;
        self.coverage.add(&other.coverage);
        self.hash = self.hash.wrapping_add(other.hash);
    }

    /// Seeds run.
    pub fn seeds(&self) -> u64 {
        self.seeds
    }

    /// Half of the seeds had at least so many events.
    pub fn median_events(&self) -> u64 {
        let mut each = self.events_each.clone();
        let middle = each.len() / 2;
        if each.is_empty() { 0 } else { *each.select_nth_unstable(middle).1 }
    }

    /// Which faults met which operations, and how often.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// One line: seeds, events, simulated and real time, faults, and a number that is the same for the same histories.
    pub fn summary(&self, real: Duration) -> String {
        let events: u64 = self.events_each.iter().sum();
        let faults: u64 = Fault::ALL.into_iter().map(|fault| self.coverage.total(fault)).sum();
        format!(
            "{} seeds, {events} events, median {} a seed, {:.1} simulated hours, {:.0} × real time, {faults} faults, \
             histories {:016x}",
            self.seeds,
            self.median_events(),
            self.simulated.as_secs_f64() / 3600.0,
            self.simulated.as_secs_f64() / real.as_secs_f64(),
            self.hash,
        )
    }

    /// The pairs of fault and operation that can meet and have not.
    pub fn unmet(&self) -> impl Iterator<Item = (Fault, Operation)> + '_ {
        Fault::ALL
            .into_iter()
            .flat_map(|fault| fault.meets().iter().map(move |operation| (fault, *operation)))
            .filter(|(fault, operation)| self.coverage.count(*fault, *operation) == 0)
    }
}

/// The table of faults and operations: how often each met each, and `never` where they could have.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in Fault::ALL {
            write!(f, "{fault:<22}")?;
            for operation in Operation::ALL {
                let count = self.coverage.count(fault, operation);
                if count > 0 {
                    write!(f, " {operation} {count},")?;
                } else if fault.meets().contains(&operation) {
                    write!(f, " {operation} NEVER,")?;
                }
            }
            writeln!(f)?;
        }
        write!(f, "never met: ")?;
        for (fault, operation) in self.unmet() {
            write!(f, "{fault} × {operation}; ")?;
        }
        Ok(())
    }
}
