//! A runtime that somebody else drives.

use std::future::Future;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use annulet_driver::{Driver, Selection};

use super::{Handle, Remote, Shared};
use crate::audit::Audit;
use crate::outside::{Blocking, Outside};
use crate::park::Park;
use crate::process::Process;
use crate::reactor::{ExitReport, Reactor, ReactorId, Step};
use crate::task::JoinHandle;

/// A runtime without threads: its reactors run when they are [stepped](Self::step), one at a time and in any order, on the
/// thread that made it. For simulations, where each runtime stands for a process of its own: what runtimes share within a
/// process ([`Handle::shared`]) is not shared with others.
///
/// Its drivers return where they would sleep ([`Driver::is_asleep`]).
pub struct Stepped {
    reactors: Vec<Reactor>,
    handle: Handle,
}

impl Stepped {
    /// A runtime of one reactor per driver.
    ///
    /// # Panics
    /// Without a driver.
    pub fn new(drivers: Vec<Box<dyn Driver>>, park: Park, outside: Arc<dyn Outside>) -> Self {
        let kind = drivers.first().expect("a runtime has at least one reactor").kind();
        let reactor = |(id, driver)| Reactor::new(ReactorId(id), driver, park);
        let reactors: Vec<_> = (0..).zip(drivers).map(reactor).collect();
        let handle = Handle(Arc::new(Shared {
            reactors: reactors.iter().map(Remote::of).collect(),
            blocking: Blocking::Outside(outside),
            selection: Selection::given(kind),
            stopping: false.into(),
            failure: OnceLock::new(),
            process: Arc::new(Process::default()),
        }));
        for reactor in &reactors {
            reactor.set_handle(handle.clone());
        }
        Self { reactors, handle }
    }

    /// The shared side.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Spawns a task on reactor 0, between its turns: the runtime's main program, which ends nothing when it ends.
    pub fn spawn<F>(&self, main: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let reactor = &self.reactors[0];
        let task = reactor.enter(|| reactor.spawn_local(main));
        // It may sleep.
        reactor.inbox().ring();
        task
    }

    /// Steps one reactor.
    ///
    /// # Errors
    /// When its driver is broken beyond repair.
    ///
    /// # Panics
    /// When there is no such reactor, or one is in the middle of a turn on this thread.
    pub fn step(&self, reactor: ReactorId) -> io::Result<Step> {
        assert!(Reactor::try_current().is_none(), "a reactor is stepped in the middle of another's turn");
        self.reactors[reactor.0 as usize].step()
    }

    /// Looks whether all is as it must be between two steps.
    pub fn audit(&self, audit: &mut Audit) {
        for reactor in &self.reactors {
            reactor.audit(audit);
        }
    }

    /// Ends the runtime, as [`Runtime::block_on`](crate::Runtime::block_on) does when its future is ready: blocking jobs that
    /// have not started are dropped, and the reactors shut down in the order given. Returns what each still held.
    ///
    /// # Panics
    /// When `order` does not name each reactor once.
    pub fn end(self, order: &[ReactorId], patience: Duration) -> Vec<ExitReport> {
        let mut left: Vec<_> = self.reactors.into_iter().map(Some).collect();
        let take = |id: &ReactorId| left[id.0 as usize].take().expect("each reactor is named once");
        let reactors: Vec<_> = order.iter().map(take).collect();
        assert!(reactors.len() == left.len(), "each reactor is named");
        self.handle.stop();
        self.handle.0.blocking.shut_down(patience);
        reactors.iter().map(|reactor| reactor.shut_down(patience)).collect()
    }
}

impl std::fmt::Debug for Stepped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stepped").field("reactors", &self.reactors.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
