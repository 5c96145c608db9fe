//! A simulated epoll instance as a driver sees it.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use super::Interest;
use super::kernel::SimulatedKernel;
use crate::kernel::Polling;
use crate::sim::{Fault, Operation};

pub(crate) struct SimulatedPoller {
    kernel: SimulatedKernel,
    descriptor: RawFd,
    capacity: usize,
    events: Vec<(u32, u64)>,
}

impl SimulatedPoller {
    pub(super) fn new(kernel: SimulatedKernel, descriptor: RawFd, capacity: usize) -> Self {
        Self { kernel, descriptor, capacity, events: Vec::new() }
    }
}

impl Polling for SimulatedPoller {
    fn watch(&self, descriptor: RawFd, interest: u32, data: u64) -> io::Result<()> {
        let SimulatedKernel { simulation, seat } = &self.kernel;
        let world = simulation.world();
        let is_wake = world.tag(world.file(seat.host, descriptor)?).is_some();
        if !is_wake && world.hit(Fault::NoMemory, Operation::Watch) {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        self.watch_again(descriptor, interest, data)
    }

    /// Changing a watch takes no memory.
    fn watch_again(&self, descriptor: RawFd, interest: u32, data: u64) -> io::Result<()> {
        let SimulatedKernel { simulation, seat } = &self.kernel;
        let world = simulation.world();
        let file = world.file(seat.host, descriptor)?;
        let edge = Interest::Edge { seat: seat.id, descriptor };
        let mut polls = seat.polls.borrow_mut();
        if !polls.watches(descriptor, file) {
            simulation.shared().watch(file, edge);
        }
        if let Some(former) = polls.watch(world, descriptor, file, (interest, data)) {
            simulation.shared().unwatch(former, edge);
        }
        Ok(())
    }

    fn forget(&self, descriptor: RawFd) {
        let SimulatedKernel { simulation, seat } = &self.kernel;
        let file = seat.polls.borrow().file(descriptor);
        if let Some(file) = file {
            simulation.shared().unwatch(file, Interest::Edge { seat: seat.id, descriptor });
            seat.polls.borrow_mut().remove(descriptor);
        }
    }

    fn wait(&mut self, limit: Option<Duration>) -> io::Result<usize> {
        let SimulatedKernel { simulation, seat } = &self.kernel;
        let sleep = match limit {
            Some(Duration::ZERO) => None,
            Some(limit) => Some(Some(simulation.world().now() + limit)),
            None => Some(None),
        };
        self.events = simulation.poll(seat, self.capacity, sleep);
        Ok(self.events.len())
    }

    fn filled(&self) -> usize {
        self.events.len()
    }

    fn event(&self, index: usize) -> (u32, u64) {
        self.events[index]
    }

    fn clear(&mut self) {
        self.events.clear();
    }

    fn is_silent(&self, descriptor: RawFd, awaited: u32) -> bool {
        let SimulatedKernel { simulation, seat } = &self.kernel;
        seat.polls.borrow().is_silent(simulation.world(), descriptor, awaited)
    }

    fn is_asleep(&self) -> bool {
        let SimulatedKernel { simulation, seat } = &self.kernel;
        seat.is_asleep(simulation.world().now())
    }
}

/// A closed instance watches nothing any more.
impl Drop for SimulatedPoller {
    fn drop(&mut self) {
        let descriptors = self.kernel.seat.polls.borrow().descriptors();
        for descriptor in descriptors {
            self.forget(descriptor);
        }
        let SimulatedKernel { simulation, seat } = &self.kernel;
        let wake = seat.wake.take();
        for descriptor in wake.iter().map(|wake| wake.as_raw_fd()).chain([self.descriptor]) {
            let _ = simulation.world().close(seat.host, descriptor);
        }
    }
}
