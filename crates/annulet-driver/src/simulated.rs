//! Simulated kernels: io_uring and epoll on the sockets of a [`World`], one ring or one instance for each reactor.

mod buffers;
mod calls;
mod entry;
mod guard;
mod kernel;
mod operation;
mod poller;
mod polls;
mod ring;
mod room;
mod seat;
mod shared;
mod story;
mod wake;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

pub(crate) use self::guard::Guard;
use self::kernel::SimulatedKernel;
use self::ring::Ring;
use self::room::Room;
pub(crate) use self::seat::Seat;
pub(crate) use self::shared::{Interest, Shared};
use crate::descriptor::Descriptor;
use crate::driver::Driver;
use crate::epoll::EpollDriver;
use crate::instant::Instant;
use crate::options::DriverOptions;
use crate::sim::{Fault, Happened, HostId, Outside, Purpose, World};
use crate::uring::{Rung, Setup, Traits, UringDriver};

/// Kinds of [`Outside`] events that are the kernels' own. Those of layers above are greater than all of them.
pub(crate) const RUN: u64 = 1;
pub(crate) const STALE: u64 = 2;
const ROUSE: u64 = 3;
const EDGE: u64 = 4;
/// Longest that an edge is held back.
const LATE_MAX_NANOS: u64 = 20_000_000;
/// Kinds from here on are for the layers above: [`Simulation::run_next`] gives them back.
pub const OUTSIDE: u64 = 256;

/// A reactor's place in a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeatId(pub u32);

/// What a simulated io_uring can do. See `annulet doctor` for the real one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingTraits {
    /// A multishot receive can be armed for a number of bytes.
    pub receive_cap: bool,
    /// A multishot receive on a Unix socket sees the end of the stream; else each is armed once.
    pub unix_end: bool,
    /// Sends may leave with the entry into the kernel.
    pub quiet_sends: bool,
}

impl From<RingTraits> for Setup {
    fn from(traits: RingTraits) -> Self {
        let RingTraits { receive_cap, unix_end, quiet_sends } = traits;
        let always =
            Traits { registered_ring: true, absolute_timeout: true, no_iowait: true, ..Traits::default() };
        Self { rung: Rung::DeferredIndexed, traits: Traits { receive_cap, unix_end, quiet_sends, ..always } }
    }
}

/// The kernels of a world. A handle: cloning gives another on the same.
#[derive(Clone)]
pub struct Simulation(Rc<Shared>);

impl Simulation {
    /// Kernels for the hosts of `world`.
    pub fn new(world: World) -> Self {
        Self(Rc::new(Shared {
            world,
            seats: RefCell::default(),
            interests: RefCell::default(),
            changes: RefCell::default(),
            abandoned: Arc::default(),
            is_foreign: Arc::default(),
            unasked: RefCell::default(),
            meanwhile: RefCell::default(),
        }))
    }

    /// The world.
    pub fn world(&self) -> &World {
        &self.0.world
    }

    /// A driver on io_uring for one more reactor of `host`, and its seat.
    ///
    /// # Errors
    /// The simulated kernel's: no descriptors.
    pub fn open(
        &self,
        host: HostId,
        options: &DriverOptions,
        traits: RingTraits,
    ) -> io::Result<(Box<dyn Driver>, SeatId)> {
        let (driver, seat) = self.open_ring(host, options, traits.into())?;
        Ok((Box::new(driver), seat))
    }

    /// [`open`](Self::open), for whoever looks into the driver.
    pub(crate) fn open_ring(
        &self,
        host: HostId,
        options: &DriverOptions,
        setup: Setup,
    ) -> io::Result<(UringDriver<SimulatedKernel>, SeatId)> {
        let (kernel, seat) = self.kernel(host, options);
        kernel.seat.ring.borrow_mut().set_unix_end(setup.traits.unix_end);
        Ok((UringDriver::on(kernel, setup, options)?, seat))
    }

    /// A driver on epoll, and its seat.
    ///
    /// # Errors
    /// The simulated kernel's: no descriptors.
    pub fn open_epoll(&self, host: HostId, options: &DriverOptions) -> io::Result<(Box<dyn Driver>, SeatId)> {
        let (kernel, seat) = self.kernel(host, options);
        Ok((Box::new(EpollDriver::on(kernel, options)?), seat))
    }

    /// The kernel of one more reactor.
    fn kernel(&self, host: HostId, options: &DriverOptions) -> (SimulatedKernel, SeatId) {
        let id = self.0.seats.borrow().len() as u32;
        let chance = |purpose| self.0.world.chance(purpose, u64::from(id));
        let (submissions, completions) = (
            options.submission_entries.max(8),
            options.completion_entries.max(options.submission_entries).max(8),
        );
        let seat = Rc::new(Seat {
            id,
            host,
            ring: RefCell::new(Ring::new(
                id,
                chance(Purpose::Ring),
                submissions as usize,
                completions as usize,
            )),
            room: RefCell::new(Room::new()),
            polls: RefCell::default(),
            wake: RefCell::default(),
            rung: Cell::new(0),
            signals: RefCell::default(),
            entropy: RefCell::new(chance(Purpose::Entropy)),
            costs: RefCell::new(self.0.world.chance(Purpose::Ring, u64::from(id) | 1 << 32)),
            parks: Cell::new(false),
            asleep: Cell::new(None),
        });
        self.0.seats.borrow_mut().push(Rc::clone(&seat));
        (SimulatedKernel::new(self.clone(), seat), SeatId(id))
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }

    fn seat(&self, seat: SeatId) -> Rc<Seat> {
        self.0.seat(seat.0)
    }

    /// Whether the driver of this seat returns where it would sleep; else it runs the world until it need not sleep any
    /// more.
    pub fn set_parks(&self, seat: SeatId, parks: bool) {
        self.seat(seat).parks.set(parks);
    }

    /// How long this seat's reactor sleeps: until the instant, or for ever (`None`) if nothing happens. Outer `None`: it
    /// does not sleep, or has been woken.
    pub fn sleeps_until(&self, seat: SeatId) -> Option<Option<Instant>> {
        self.seat(seat).sleeps_until(self.0.world.now())
    }

    /// Takes note of the wake-ups that reactors were sent, and of the descriptors that were dropped.
    pub fn collect(&self) {
        let seats = self.0.seats.borrow().clone();
        for seat in seats {
            let is_rung = seat.wake.borrow().as_ref().is_some_and(|wake| wake.take());
            if is_rung {
                seat.rung.set(seat.rung.get() + 1);
                self.0.poke_poll(&seat);
                if let Some(wake) = &*seat.wake.borrow() {
                    seat.polls.borrow_mut().queue(wake.as_raw_fd());
                }
            }
        }
        let abandoned = std::mem::take(&mut *self.0.abandoned.lock().unwrap_or_else(PoisonError::into_inner));
        for (host, descriptor) in abandoned {
            let _ = self.0.world.close(host, descriptor);
        }
        self.0.settle();
    }

    /// Has `see_to` told of what is not the kernels' while a driver sleeps that does not park. Without it
    /// [`run_next`](Self::run_next) gives that back later.
    pub fn set_meanwhile(&self, see_to: impl Fn(Happened) + 'static) {
        self.0.meanwhile.replace(Some(Rc::new(see_to)));
    }

    /// Goes to the world's next event, and has the kernels see to it. What is not theirs is given back.
    pub fn run_next(&self) -> Happened {
        let unasked = self.0.unasked.borrow_mut().pop_front();
        unasked.unwrap_or_else(|| self.run_event())
    }

    /// Lets the next event happen while a driver has the world to itself.
    fn run_meanwhile(&self) {
        let happened = self.run_event();
        let see_to = self.0.meanwhile.borrow().clone();
        match see_to {
            _ if happened == Happened::Nothing => {}
            Some(see_to) => see_to(happened),
            None => self.0.unasked.borrow_mut().push_back(happened),
        }
    }

    fn run_event(&self) -> Happened {
        let happened = match self.0.world.run_next() {
            Happened::Outside(Outside { kind: RUN, a, b }) => {
                self.0.seat(a as u32).ring.borrow_mut().no_longer_late(b);
                Happened::Nothing
            }
            Happened::Outside(Outside { kind: STALE, a, b }) => {
                self.0.seat(a as u32).ring.borrow_mut().complete_stale(&self.0, b);
                Happened::Nothing
            }
            Happened::Outside(Outside { kind: EDGE, a, b }) => {
                self.0.seat(a as u32).polls.borrow_mut().let_go(b as RawFd);
                Happened::Nothing
            }
            Happened::Outside(Outside { kind: ROUSE, a, .. }) => {
                self.0.seat(a as u32).asleep.set(None);
                Happened::Nothing
            }
            Happened::Signal(host, signal) if self.0.deliver_signal(host, signal) => Happened::Nothing,
            other => other,
        };
        self.collect();
        happened
    }

    /// What is wrong with the threads around this simulation: one that it does not know has woken a reactor.
    pub fn foreign_thread(&self) -> Option<&'static str> {
        self.0.is_foreign.load(Ordering::Acquire).then_some(wake::FOREIGN)
    }

    pub(crate) fn foreign_wakes(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0.is_foreign)
    }

    /// What does not hold and must, as far as the kernels can see it. Not during a turn.
    pub fn audit(&self, violations: &mut Vec<String>) {
        violations.extend(self.0.world.audit());
    }

    /// Enters a seat's ring: see [`Queues::enter`](crate::kernel::Queues::enter).
    pub(crate) fn enter(&self, seat: &Seat, sleep: Option<Option<Instant>>) -> u32 {
        use crate::sim::Operation::Enter;
        let world = &self.0.world;
        seat.asleep.set(None);
        world.advance(Duration::from_nanos(seat.costs.borrow_mut().between(200, 2000)));
        // Where nobody else runs the world, what was due happens at least when somebody looks.
        while !seat.parks.get() && world.next_event_at().is_some_and(|at| at <= world.now()) {
            self.run_meanwhile();
        }
        self.collect();
        if world.hit(Fault::Busy, Enter) {
            return 0;
        }
        let mut ring = seat.ring.borrow_mut();
        let pending = ring.pending();
        if pending > 0 && world.hit(Fault::SubmissionFull, Enter) {
            // What is not taken at once keeps the kernel from going on, and from sleeping.
            let count = world.severity(Fault::SubmissionFull, 1, pending as u64) as usize - 1;
            return ring.submit(&self.0, count);
        }
        let taken = ring.submit(&self.0, pending);
        ring.flush();
        ring.work(&self.0);
        drop(ring);
        self.0.settle();
        seat.ring.borrow_mut().work(&self.0);
        if let Some(deadline) = sleep
            && !seat.has_news()
            && !world.hit(Fault::Interrupted, Enter)
        {
            self.sleep(seat, deadline);
        }
        taken
    }

    /// Asks a seat's epoll instance for events, and sleeps as allowed when there are none.
    pub(crate) fn poll(
        &self,
        seat: &Seat,
        capacity: usize,
        sleep: Option<Option<Instant>>,
    ) -> Vec<(u32, u64)> {
        let world = &self.0.world;
        seat.asleep.set(None);
        world.advance(Duration::from_nanos(seat.costs.borrow_mut().between(200, 2000)));
        self.collect();
        let events = seat.polls.borrow_mut().take(world, capacity);
        if !events.is_empty() {
            return events;
        }
        if let Some(deadline) = sleep
            && !world.hit(Fault::Interrupted, crate::sim::Operation::Enter)
        {
            self.sleep(seat, deadline);
        }
        if seat.asleep.get().is_some() { Vec::new() } else { seat.polls.borrow_mut().take(world, capacity) }
    }

    fn sleep(&self, seat: &Seat, deadline: Option<Instant>) {
        let world = &self.0.world;
        if deadline.is_some_and(|deadline| deadline <= world.now()) {
            return;
        }
        if world.hit(Fault::SpuriousWakeUp, crate::sim::Operation::Enter) {
            let nanos = world.severity(Fault::SpuriousWakeUp, 1, 50_000_000);
            let event = Outside { kind: ROUSE, a: u64::from(seat.id), b: 0 };
            world.schedule(world.now() + Duration::from_nanos(nanos), event);
        }
        seat.asleep.set(Some(deadline));
        if seat.parks.get() {
            return;
        }
        // Nobody else is to be run: the world goes on until there is a reason to return.
        while seat.sleeps_until(world.now()).is_some() {
            match (world.next_event_at(), deadline) {
                (Some(next), Some(deadline)) if next > deadline => {
                    world.advance(deadline - world.now());
                }
                (Some(_), _) => self.run_meanwhile(),
                (None, Some(deadline)) => world.advance(deadline - world.now()),
                (None, None) => {
                    panic!("deadlock: nothing will ever happen in this world, and a driver waits for it")
                }
            }
        }
        seat.asleep.set(None);
        seat.ring.borrow_mut().flush();
        seat.ring.borrow_mut().work(&self.0);
    }

    /// An open descriptor of a host, for one of its drivers to adopt.
    pub fn descriptor(&self, host: HostId, number: RawFd) -> Descriptor {
        Descriptor::simulated(number, self.guard(host, number))
    }

    /// A guard that closes a descriptor when it is dropped without having been adopted.
    fn guard(&self, host: HostId, descriptor: RawFd) -> Arc<dyn Any + Send + Sync> {
        let abandoned = Arc::clone(&self.0.abandoned);
        Arc::new(Guard::new(host, descriptor, abandoned))
    }
}

#[cfg(test)]
mod tests;
