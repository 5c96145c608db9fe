//! What a runtime needs beside its drivers: somewhere for what blocks.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::blocking::{BlockingError, BlockingPool, BlockingStats, Job, system_resolver};

/// Runs what blocks for a runtime without threads, and is its resolver.
pub trait Outside: Send + Sync {
    /// Takes a job, to be run later and within no reactor's turn. It delivers its result by itself; dropped unrun it tells
    /// whoever waits that it was cancelled.
    ///
    /// # Errors
    /// [`Refused`] when no more jobs are taken now; this one has been dropped.
    fn run_blocking(&self, job: Box<dyn FnOnce() + Send>) -> Result<(), Refused>;

    /// The addresses of a host, at least one, in order of preference. Called by a job.
    ///
    /// # Errors
    /// What the resolver says: there is no such host, or it could not find out.
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;

    /// The runtime ends: drops the jobs that have not started, and takes no more.
    fn close(&self);
}

/// A blocking job was not taken. It has been dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no more blocking jobs are taken now")]
pub struct Refused;

/// Where a runtime has done what blocks.
pub(crate) enum Blocking {
    Threads(BlockingPool),
    Outside(Arc<dyn Outside>),
}

impl Blocking {
    pub(crate) fn spawn(&self, job: Job) -> Result<(), BlockingError> {
        match self {
            Self::Threads(pool) => pool.spawn(job),
            Self::Outside(outside) => Ok(outside.run_blocking(job)?),
        }
    }

    /// The resolver, for a job to call.
    pub(crate) fn resolver(&self) -> impl FnOnce(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + use<> {
        let outside = match self {
            Self::Threads(_) => None,
            Self::Outside(outside) => Some(outside.clone()),
        };
        move |host, port| match outside {
            Some(outside) => outside.resolve(host, port),
            None => system_resolver(host, port),
        }
    }

    /// Drops the jobs that have not started and waits for the others, where there are threads, for as long as `patience`.
    /// Returns how many still run.
    pub(crate) fn shut_down(&self, patience: Duration) -> usize {
        match self {
            Self::Threads(pool) => pool.shutdown(patience),
            Self::Outside(outside) => {
                outside.close();
                0
            }
        }
    }

    /// Of the threads: what is done outside is counted there.
    pub(crate) fn stats(&self) -> BlockingStats {
        match self {
            Self::Threads(pool) => pool.stats(),
            Self::Outside(_) => BlockingStats::default(),
        }
    }
}
