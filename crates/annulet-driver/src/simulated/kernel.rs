//! The simulated kernel as a driver sees it.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use io_uring::{cqueue, squeue};

use super::buffers::Buffers;
use super::calls::SimulatedCalls;
use super::entry::{Completed, Submission};
use super::poller::SimulatedPoller;
use super::wake::Wake;
use super::{Interest, Seat, Simulation};
use crate::counters::DriverCounters;
use crate::driver::Wait;
use crate::instant::Instant;
use crate::kernel::{Holdings, Kernel, Queues, RoomWatch, SignalNotes};
use crate::op::Key;
use crate::sim::{Fault, Operation};
use crate::uring::Rung;

/// One reactor's kernel.
#[derive(Clone)]
pub(crate) struct SimulatedKernel {
    pub(super) simulation: Simulation,
    pub(super) seat: Rc<Seat>,
}

impl SimulatedKernel {
    pub(super) fn new(simulation: Simulation, seat: Rc<Seat>) -> Self {
        Self { simulation, seat }
    }
}

impl Kernel for SimulatedKernel {
    type Ring = SimulatedRing;
    type Wake = Wake;
    type Watch = SimulatedWatch;
    type Signals = SimulatedSignals;
    type Calls = SimulatedCalls;
    type Poller = SimulatedPoller;

    fn ring(&self, _: Rung, _: u32, _: u32, _: bool) -> io::Result<SimulatedRing> {
        Ok(SimulatedRing(self.clone()))
    }

    fn wake(&self) -> io::Result<Arc<Wake>> {
        let descriptor =
            self.simulation.world().open_outside(self.seat.host, u64::from(self.seat.id) << 1)?;
        let wake = Arc::new(Wake::new(descriptor, self.simulation.foreign_wakes()));
        self.seat.wake.replace(Some(Arc::clone(&wake)));
        Ok(wake)
    }

    fn watch(&self) -> io::Result<SimulatedWatch> {
        let descriptor =
            self.simulation.world().open_outside(self.seat.host, u64::from(self.seat.id) << 1 | 1)?;
        Ok(SimulatedWatch { kernel: self.clone(), descriptor })
    }

    fn signals(&self, signals: &[i32], _: &Arc<Wake>) -> io::Result<SimulatedSignals> {
        const NOT_TO_BE_CAUGHT: [i32; 5] =
            [libc::SIGKILL, libc::SIGSTOP, libc::SIGILL, libc::SIGFPE, libc::SIGSEGV];
        let cannot_be = |signal: &&i32| !(1..64).contains(*signal) || NOT_TO_BE_CAUGHT.contains(signal);
        if let Some(signal) = signals.iter().find(cannot_be) {
            let problem = format!("signal {signal} cannot be watched");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        let arrived = Rc::new(Cell::new(0));
        let set = signals.iter().fold(0, |set, signal| set | 1 << signal);
        self.seat.signals.borrow_mut().push((set, Rc::clone(&arrived)));
        Ok(SimulatedSignals { seat: Rc::clone(&self.seat), arrived })
    }

    fn calls(&self, counters: Arc<DriverCounters>, _: bool) -> SimulatedCalls {
        SimulatedCalls::new(self.simulation.clone(), Rc::clone(&self.seat), counters)
    }

    fn poller(&self, capacity: usize) -> io::Result<SimulatedPoller> {
        let descriptor =
            self.simulation.world().open_outside(self.seat.host, u64::from(self.seat.id) << 1 | 1)?;
        Ok(SimulatedPoller::new(self.clone(), descriptor, capacity))
    }

    /// Every look at the clock costs a little time, so that who waits for time to pass does not wait for ever.
    fn monotonic_now(&self) -> Instant {
        self.simulation.world().advance(Duration::from_nanos(30));
        self.simulation.world().now()
    }

    fn wall_clock(&self) -> SystemTime {
        let world = self.simulation.world();
        if world.hit(Fault::ClockJump, Operation::Clock) {
            const HOUR: u64 = 3_600_000_000_000;
            let nanos = world.severity(Fault::ClockJump, 1, 2 * HOUR) as i64 - HOUR as i64;
            world.jump_wall_clock(self.seat.host, nanos);
        }
        world.wall_clock(self.seat.host)
    }

    fn entropy(&self, bytes: &mut [u8]) {
        self.seat.entropy.borrow_mut().fill(bytes);
    }

    fn pause(&self, time: Duration) {
        self.simulation.world().advance(time);
    }

    fn sleeps_until(&self) -> Option<Option<Instant>> {
        self.seat.asleep.get()
    }

    fn first_generation(&self) -> u32 {
        let world = self.simulation.world();
        if !world.hit(Fault::GenerationWrap, Operation::Enter) {
            return 0;
        }
        u32::MAX - world.severity(Fault::GenerationWrap, 1, 4) as u32
    }
}

/// The two queues of a simulated ring.
pub(crate) struct SimulatedRing(SimulatedKernel);

impl SimulatedRing {
    fn seat(&self) -> &Seat {
        &self.0.seat
    }
}

/// Completions, taken out of the queue.
pub(crate) struct Taken(std::collections::vec_deque::IntoIter<Completed>);

impl Iterator for Taken {
    type Item = cqueue::Entry;

    fn next(&mut self) -> Option<cqueue::Entry> {
        self.0.next().map(Completed::write)
    }
}

impl Queues for SimulatedRing {
    type Completions<'a> = Taken;

    fn sizes(&self) -> (u32, u32) {
        self.seat().ring.borrow().sizes()
    }

    unsafe fn register_buffers(&self, address: u64, entries: u32, _: u16) -> io::Result<()> {
        // SAFETY: the caller's promise.
        self.seat().ring.borrow_mut().register(unsafe { Buffers::new(address, entries) });
        Ok(())
    }

    fn room(&mut self) -> usize {
        self.seat().ring.borrow().room()
    }

    unsafe fn push(&mut self, entries: impl Iterator<Item = squeue::Entry>) -> usize {
        let mut ring = self.seat().ring.borrow_mut();
        entries.map(|entry| ring.push(Submission::read(entry))).count()
    }

    fn pending(&mut self) -> u32 {
        self.seat().ring.borrow().pending() as u32
    }

    fn enter(&mut self, wait: Wait) -> io::Result<u32> {
        let sleep = match wait {
            Wait::Poll => None,
            Wait::Until(deadline) => Some(deadline),
        };
        Ok(self.0.simulation.enter(self.seat(), sleep))
    }

    fn completions(&mut self) -> Taken {
        Taken(self.seat().ring.borrow_mut().take_completions())
    }

    fn has_completions(&mut self) -> bool {
        self.seat().ring.borrow().has_completions()
    }

    fn wants_entering(&mut self) -> bool {
        self.seat().has_work()
    }

    fn has_overflowed(&mut self) -> bool {
        self.seat().ring.borrow().has_overflowed()
    }

    fn holdings(&self) -> Option<Holdings> {
        Some(self.seat().ring.borrow().holdings())
    }

    fn is_asleep(&self) -> bool {
        self.seat().is_asleep(self.0.simulation.world().now())
    }
}

/// A closed ring lets go of all it held.
impl Drop for SimulatedRing {
    fn drop(&mut self) {
        let (simulation, seat) = (&self.0.simulation, self.seat());
        seat.ring.borrow_mut().close(simulation.shared());
        if let Some(wake) = seat.wake.take() {
            let _ = simulation.world().close(seat.host, wake.as_raw_fd());
        }
    }
}

/// Watching for room to send.
pub(crate) struct SimulatedWatch {
    kernel: SimulatedKernel,
    descriptor: RawFd,
}

impl AsRawFd for SimulatedWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor
    }
}

impl RoomWatch for SimulatedWatch {
    fn add(&self, socket: RawFd, key: Key) -> io::Result<()> {
        let SimulatedKernel { simulation, seat } = &self.kernel;
        let file = simulation.world().file(seat.host, socket)?;
        if simulation.world().hit(Fault::NoMemory, Operation::Watch) {
            return Err(io::Error::from_raw_os_error(libc::ENOMEM));
        }
        let interest = Interest::Room { seat: seat.id, descriptor: socket };
        let mut room = seat.room.borrow_mut();
        if !room.watches(socket, file) {
            simulation.shared().watch(file, interest);
        }
        if let Some(former) = room.arm(socket, file, key) {
            simulation.shared().unwatch(former, interest);
        }
        let has_news = room.look(simulation.world(), socket);
        drop(room);
        if has_news {
            simulation.shared().poke_poll(seat);
        }
        Ok(())
    }

    fn remove(&self, socket: RawFd) {
        let SimulatedKernel { simulation, seat } = &self.kernel;
        if let Some(file) = seat.room.borrow_mut().remove(socket) {
            simulation.shared().unwatch(file, Interest::Room { seat: seat.id, descriptor: socket });
        }
    }

    fn take(&mut self, report: impl FnMut(Key)) {
        let keys = self.kernel.seat.room.borrow_mut().take(self.kernel.simulation.world());
        keys.into_iter().for_each(report);
    }
}

impl Drop for SimulatedWatch {
    fn drop(&mut self) {
        let _ = self.kernel.simulation.world().close(self.kernel.seat.host, self.descriptor);
    }
}

/// Signals noted for one reactor.
pub(crate) struct SimulatedSignals {
    seat: Rc<Seat>,
    arrived: Rc<Cell<u64>>,
}

impl SignalNotes for SimulatedSignals {
    fn take(&self) -> u64 {
        self.arrived.take()
    }
}

impl Drop for SimulatedSignals {
    fn drop(&mut self) {
        self.seat.signals.borrow_mut().retain(|(_, arrived)| !Rc::ptr_eq(arrived, &self.arrived));
    }
}
