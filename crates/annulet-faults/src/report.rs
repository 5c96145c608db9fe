//! What rounds report and runs add up.

use std::fmt;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// What was done and met, in one round or in many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) rounds: u64,
    /// Connections clients made.
    pub(crate) connections: u64,
    /// What was done to server, clients or network: packets dropped, calls failed, processes stopped or killed, …
    pub(crate) faults: u64,
    /// Bytes clients sent and received.
    pub(crate) bytes: u64,
    /// Servers started beside the first of a round.
    pub(crate) restarts: u64,
    /// Requests answered in full.
    pub(crate) answered: u64,
    /// Requests that ended with their connection, as the faults explain.
    pub(crate) failed: u64,
    pub(crate) leaks: u64,
    pub(crate) hangs: u64,
    /// Bytes missing, repeated or out of place, and requests lost: places, not bytes.
    pub(crate) lost: u64,
    /// Other broken promises.
    pub(crate) broken: u64,
}

impl Figures {
    /// Each with its name, those of the table first.
    pub(crate) fn named(&self) -> [(&'static str, u64); 11] {
        [
            ("rounds", self.rounds),
            ("connections", self.connections),
            ("faults", self.faults),
            ("bytes", self.bytes),
            ("restarts", self.restarts),
            ("answered", self.answered),
            ("failed", self.failed),
            ("leaks", self.leaks),
            ("hangs", self.hangs),
            ("lost", self.lost),
            ("other", self.broken),
        ]
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.rounds += other.rounds;
        self.connections += other.connections;
        self.faults += other.faults;
        self.bytes += other.bytes;
        self.restarts += other.restarts;
        self.answered += other.answered;
        self.failed += other.failed;
        self.leaks += other.leaks;
        self.hangs += other.hangs;
        self.lost += other.lost;
        self.broken += other.broken;
    }
}

/// What kind of promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Something was not given back.
    Leak,
    /// Something did not end, or did not answer.
    Hang,
    /// A byte or a request was lost.
    Lost,
    /// Anything else: counters that disagree, a wrong exit code, a failure nothing explains.
    Broken,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    pub(crate) what: String,
}

impl Violation {
    pub(crate) fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into() }
    }
}

impl std::error::Error for Violation {}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Leak => "leak",
            Kind::Hang => "hang",
            Kind::Lost => "lost",
            Kind::Broken => "broken promise",
        };
        write!(f, "{kind}: {}", self.what)
    }
}

/// One round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RoundReport {
    pub(crate) figures: Figures,
    pub(crate) violations: Vec<Violation>,
    /// Parts of the scenario that this machine forbids.
    pub(crate) left_out: Vec<String>,
}

impl RoundReport {
    pub(crate) fn violate(&mut self, violation: Violation) {
        let figures = &mut self.figures;
        *match violation.kind {
            Kind::Leak => &mut figures.leaks,
            Kind::Hang => &mut figures.hangs,
            Kind::Lost => &mut figures.lost,
            Kind::Broken => &mut figures.broken,
        } += 1;
        self.violations.push(violation);
    }
}
