//! Interleaved pairs: both servers of a comparison run one after the other, in alternating order, so that whatever the
//! machine does besides falls on both alike.

use std::io;

use serde_json::Value;

use crate::quiet::{self, Quiet};
use crate::runs::{Setup, number};
use crate::servers::Server;
use crate::stats::{Spread, median, spread};

/// Steal over this share of a window makes it worthless.
const STEAL_MAX: f64 = 0.05;
/// How often a disturbed pair is tried again.
const TRIES: usize = 3;

/// Two servers and what to do with them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Comparison {
    pub(crate) base: Server,
    pub(crate) other: Server,
}

/// Both runs of one pair.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) base: Value,
    pub(crate) other: Value,
}

impl Pair {
    /// Whether other programs or the hypervisor took more than `others_max` of the machine meanwhile.
    fn is_disturbed(&self, others_max: f64) -> bool {
        [&self.base, &self.other]
            .iter()
            .any(|run| number(run, "others_busy") > others_max || number(run, "steal") > STEAL_MAX)
    }
}

/// All pairs of a comparison.
pub(crate) struct Pairs {
    pub(crate) comparison: Comparison,
    pub(crate) pairs: Vec<Pair>,
    /// Pairs kept although disturbed, because no quiet moment came.
    pub(crate) disturbed: usize,
    /// Pairs thrown away because disturbed.
    pub(crate) repeated: usize,
}

/// Runs `count` pairs.
pub(crate) fn run(
    setup: &Setup,
    comparison: Comparison,
    load: &[String],
    count: usize,
    quiet: Quiet,
) -> io::Result<Pairs> {
    let mut done = Pairs { comparison, pairs: Vec::new(), disturbed: 0, repeated: 0 };
    for number in 0..count {
        quiet::wait(quiet);
        let mut pair = run_pair(setup, comparison, load, number % 2 == 0)?;
        let mut tries = 1;
        while pair.is_disturbed(quiet.others_max) && tries < TRIES {
            done.repeated += 1;
            tries += 1;
            quiet::wait(quiet);
            pair = run_pair(setup, comparison, load, number % 2 == 0)?;
        }
        done.disturbed += usize::from(pair.is_disturbed(quiet.others_max));
        done.pairs.push(pair);
        eprint!(".");
    }
    eprintln!();
    Ok(done)
}

fn run_pair(setup: &Setup, comparison: Comparison, load: &[String], base_first: bool) -> io::Result<Pair> {
    if base_first {
        let base = setup.run(comparison.base, load)?;
        let other = setup.run(comparison.other, load)?;
        Ok(Pair { base, other })
    } else {
        let other = setup.run(comparison.other, load)?;
        let base = setup.run(comparison.base, load)?;
        Ok(Pair { base, other })
    }
}

/// A figure of both servers: medians, and the spread of the pairs' ratios.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) base: f64,
    pub(crate) other: f64,
    /// Base over other.
    pub(crate) ratio: Spread,
}

impl Pairs {
    /// The figure `name`, if both servers have it.
    pub(crate) fn figure(&self, name: &str) -> Option<Figure> {
        let values = |run: fn(&Pair) -> &Value| -> Vec<f64> {
            self.pairs.iter().map(|pair| number(run(pair), name)).collect()
        };
        let (base, other) = (values(|pair| &pair.base), values(|pair| &pair.other));
        let ratios: Vec<f64> = base.iter().zip(&other).map(|(base, other)| base / other).collect();
        Some(Figure { base: median(&base), other: median(&other), ratio: spread(&ratios)? })
    }

    /// In how many runs of base and other the client was what limited the rate.
    pub(crate) fn client_limited(&self) -> (usize, usize) {
        let count = |run: fn(&Pair) -> &Value| {
            let limited = |pair: &&Pair| run(pair).get("client_limited") == Some(&Value::Bool(true));
            self.pairs.iter().filter(limited).count()
        };
        (count(|pair| &pair.base), count(|pair| &pair.other))
    }

    /// CPU time other programs used meanwhile, in shares of one CPU: the median over all runs.
    pub(crate) fn others_busy(&self) -> f64 {
        let runs = self.pairs.iter().flat_map(|pair| [&pair.base, &pair.other]);
        median(&runs.map(|run| number(run, "others_busy")).collect::<Vec<_>>())
    }
}
