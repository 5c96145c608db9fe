//! What a reactor holds, and held at its end.

use std::fmt;

use super::{Reactor, ReactorId};
use crate::origin::Origin;
use crate::source::SourceId;

/// What a reactor still held when it ended; all zero unless something leaked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitReport {
    /// Which reactor.
    pub reactor: ReactorId,
    /// Operations the kernel did not give back in time; their memory was leaked on purpose.
    pub operations: usize,
    /// Sockets opened and not closed.
    pub sockets: i64,
    /// Receive buffers still leased: chunks kept beyond the reactor's life.
    pub buffers: u32,
    /// Sources still registered.
    pub sources: usize,
    /// Tasks not dropped.
    pub tasks: usize,
    /// Where what leaked came from, as far as it is known: tasks, sources, sockets, leases. Empty in release builds, and for
    /// operations, whose sources or sockets tell.
    pub origins: Vec<Origin>,
}

impl ExitReport {
    /// True when nothing leaked.
    pub fn is_clean(&self) -> bool {
        let Self { reactor: _, operations, sockets, buffers, sources, tasks, origins: _ } = self;
        (*operations, *sockets, *buffers, *sources, *tasks) == (0, 0, 0, 0, 0)
    }
}

impl fmt::Display for ExitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reactor, operations, sockets, buffers, sources, tasks, origins } = self;
        write!(
            f,
            "reactor {reactor} ended with {operations} operations in flight, {sockets} sockets open, {buffers} buffers \
             leased, {sources} sources registered, {tasks} tasks alive"
        )?;
        origins.iter().try_for_each(|origin| write!(f, "\n  {origin}"))
    }
}

impl Reactor {
    /// What is left, of operations and sources as they were found.
    pub(super) fn report(&self, unreaped: usize, sources: &[(SourceId, Origin)]) -> ExitReport {
        let origins = self.all_origins(sources);
        let driver = self.0.driver.borrow();
        let counters = driver.counters();
        ExitReport {
            reactor: self.0.id,
            operations: unreaped,
            sockets: counters.sockets_opened.get() as i64 - counters.sockets_closed.get() as i64,
            buffers: driver.pool().usage().leased,
            sources: self.0.sources.borrow().len(),
            tasks: self.0.tasks.borrow().len(),
            origins,
        }
    }

    /// Where all that the reactor holds came from, as an [`ExitReport`] tells of what leaked: tasks, sources, sockets, leases. In
    /// debug builds, as far as it is known. Not for production: it takes time.
    pub fn origins(&self) -> Vec<Origin> {
        self.all_origins(&self.source_origins())
    }

    pub(super) fn source_origins(&self) -> Vec<(SourceId, Origin)> {
        if cfg!(debug_assertions) { self.0.sources.borrow().origins(self) } else { Vec::new() }
    }

    /// Of these sources, those that are registered still.
    fn all_origins(&self, sources: &[(SourceId, Origin)]) -> Vec<Origin> {
        if !cfg!(debug_assertions) {
            return Vec::new();
        }
        let core = &*self.0;
        let mut origins = core.tasks.borrow().origins();
        let is_registered = |id| core.sources.borrow().has(id);
        origins.extend(sources.iter().filter(|(id, _)| is_registered(*id)).map(|(_, origin)| origin.clone()));
        origins.extend(core.driver.borrow().origins().into_iter().map(Origin::from));
        origins
    }
}
