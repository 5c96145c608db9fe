//! Settings of a runtime.

use std::sync::mpsc;
use std::thread;

use annulet_driver::limits::{available_cpus, pin_current_thread};
use annulet_driver::{DriverChoice, DriverOptions, Selection, select};

use super::{Handle, Remote, Runtime, RuntimeError, Shared, Worker, run_worker};
use crate::blocking::{BlockingLimits, BlockingPool};
use crate::outside::Blocking;
use crate::park::Park;
use crate::process::Process;
use crate::reactor::{Reactor, ReactorId};

/// Settings of a [`Runtime`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Builder {
    reactors: Option<u32>,
    pin: bool,
    driver: Option<DriverChoice>,
    options: DriverOptions,
    park: Park,
}

impl Builder {
    /// Number of reactors; by default one per processor this process may use (cgroup cpusets count). At least 1.
    pub fn reactors(mut self, reactors: u32) -> Self {
        self.reactors = Some(reactors.max(1));
        self
    }

    /// Pins each reactor's thread to a processor of its own, among those this process may use.
    pub fn pin(mut self, pin: bool) -> Self {
        self.pin = pin;
        self
    }

    /// Which driver; by default what the environment variable `ANNULET_DRIVER` says (`auto`, `uring`, `epoll`), else
    /// `auto`.
    pub fn driver(mut self, driver: DriverChoice) -> Self {
        self.driver = Some(driver);
        self
    }

    /// Sizes of rings and buffer pools.
    pub fn driver_options(mut self, options: DriverOptions) -> Self {
        self.options = options;
        self
    }

    /// What a reactor does before it sleeps.
    pub fn park(mut self, park: Park) -> Self {
        self.park = park;
        self
    }

    /// Chooses the driver and opens every reactor; nothing runs yet.
    ///
    /// # Errors
    /// When the driver asked for cannot be had, or a thread or ring cannot be made; and inside a [`Stepped`](super::Stepped)
    /// runtime.
    pub fn build(self) -> Result<Runtime, RuntimeError> {
        let around = Reactor::try_current().and_then(|reactor| reactor.handle());
        if around.is_some_and(|handle| handle.is_stepped()) {
            return Err(RuntimeError::InsideStepped);
        }
        let choice = self.driver.map_or_else(driver_from_environment, Ok)?;
        let selection = select(choice, &self.options)?;
        let cpus = available_cpus();
        let count = self.reactors.unwrap_or(cpus.len().max(1) as u32);
        let cpu_of = |id: u32| self.pin.then(|| cpus.get(id as usize % cpus.len().max(1)).copied()).flatten();
        // What pinning takes from this thread is given back when the runtime goes.
        let unpinned = if self.pin { cpus.clone() } else { Vec::new() };
        let main = open(ReactorId(0), &selection, self.park, cpu_of(0))?;
        let mut reactors = vec![Remote::of(&main)];
        let mut workers = Vec::new();
        for id in 1..count {
            let (worker, remote) = start_worker(ReactorId(id), selection.clone(), self.park, cpu_of(id))?;
            reactors.push(remote);
            workers.push(worker);
        }
        let handle = Handle(std::sync::Arc::new(Shared {
            reactors,
            blocking: Blocking::Threads(BlockingPool::on_cpus(BlockingLimits::default(), unpinned.clone())),
            selection,
            stopping: false.into(),
            failure: std::sync::OnceLock::new(),
            process: Process::this(),
        }));
        Ok(Runtime { main, handle, workers, unpinned })
    }
}

fn driver_from_environment() -> Result<DriverChoice, RuntimeError> {
    let Ok(value) = std::env::var("ANNULET_DRIVER") else { return Ok(DriverChoice::Auto) };
    value.parse().map_err(|error| RuntimeError::Start {
        reactor: ReactorId(0),
        source: std::io::Error::new(std::io::ErrorKind::InvalidInput, format!("ANNULET_DRIVER: {error}")),
    })
}

/// Opens a reactor for the calling thread.
fn open(
    id: ReactorId,
    selection: &Selection,
    park: Park,
    cpu: Option<usize>,
) -> Result<Reactor, RuntimeError> {
    let start_error = |source| RuntimeError::Start { reactor: id, source };
    if let Some(cpu) = cpu {
        pin_current_thread(cpu).map_err(start_error)?;
    }
    let driver = selection.open().map_err(start_error)?;
    Ok(Reactor::new(id, driver, park))
}

fn start_worker(
    id: ReactorId,
    selection: Selection,
    park: Park,
    cpu: Option<usize>,
) -> Result<(Worker, Remote), RuntimeError> {
    let (opened, wait_for_open) = mpsc::channel();
    let (start, wait_for_start) = mpsc::channel();
    let thread = thread::Builder::new()
        .name(format!("annulet-{id}"))
        .spawn(move || {
            let reactor = match open(id, &selection, park, cpu) {
                Ok(reactor) => reactor,
                Err(error) => {
                    let report = crate::ExitReport {
                        reactor: id,
                        operations: 0,
                        sockets: 0,
                        buffers: 0,
                        sources: 0,
                        tasks: 0,
                        origins: Vec::new(),
                    };
                    let _ = opened.send(Err(error));
                    return (report, Ok(()));
                }
            };
            let _ = opened.send(Ok(Remote::of(&reactor)));
            run_worker(&reactor, &wait_for_start)
        })
        .map_err(|source| RuntimeError::Start { reactor: id, source })?;
    let remote = wait_for_open.recv().expect("the thread reports before it ends")?;
    Ok((Worker { id, start: Some(start), thread: Some(thread) }, remote))
}
