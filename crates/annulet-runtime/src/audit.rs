//! What a look inside finds.

use std::fmt;

use crate::reactor::ReactorId;

/// What was found of reactors and their sources between two turns, by whoever checks a simulation.
#[derive(Debug, Default)]
pub struct Audit {
    /// What must not be, each with its reactor's number.
    pub violations: Vec<String>,
    /// Sources registered.
    pub sources: usize,
    /// Tasks that have not ended.
    pub tasks: usize,
    /// Bytes that streams have staged and the kernel has not taken.
    pub staged: usize,
    /// Memory pinned by what streams received and nobody has taken.
    pub unread: usize,
    /// Where the audit is.
    reactor: Option<ReactorId>,
}

impl Audit {
    /// Goes on to another reactor.
    pub(crate) fn enter(&mut self, reactor: ReactorId) {
        self.reactor = Some(reactor);
    }

    /// Notes what must not be.
    pub fn violation(&mut self, what: impl fmt::Display) {
        self.violations.push(match self.reactor {
            Some(reactor) => format!("reactor {reactor}: {what}"),
            None => what.to_string(),
        });
    }
}
