//! Simulated kernels: io_uring and epoll on the sockets of a [`World`], one ring or one instance for each reactor.

mod buffers;
mod calls;
mod entry;
mod kernel;
mod operation;
mod poller;
mod polls;
mod ring;
mod room;
mod story;
mod wake;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use self::kernel::SimulatedKernel;
use self::polls::Polls;
use self::ring::Ring;
use self::room::Room;
use self::wake::Wake;
use crate::descriptor::Descriptor;
use crate::driver::Driver;
use crate::epoll::EpollDriver;
use crate::instant::Instant;
use crate::options::DriverOptions;
use crate::sim::Fault;
use crate::sim::FileId;
use crate::sim::HostId;
use crate::sim::Outside;
use crate::sim::{Chance, Purpose};
use crate::sim::{Happened, World};
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

pub(crate) struct Shared {
    pub(crate) world: World,
    seats: RefCell<Vec<Rc<Seat>>>,
    interests: RefCell<BTreeMap<u64, Vec<Interest>>>,
    changes: RefCell<Vec<FileId>>,
    abandoned: Arc<Abandoned>,
    /// A thread of somebody else's has woken a reactor.
    is_foreign: Arc<AtomicBool>,
    /// What happened while a driver slept and nobody asked: for the next who does.
    unasked: RefCell<VecDeque<Happened>>,
    meanwhile: RefCell<Option<Rc<Meanwhile>>>,
}

/// Descriptors that nobody adopted: dropped, perhaps, where the world cannot be reached.
type Abandoned = Mutex<Vec<(HostId, RawFd)>>;

/// Sees to what happens while a driver sleeps.
type Meanwhile = dyn Fn(Happened);

/// Who wants to know of a file's changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// An operation of a ring.
    Operation { seat: u32, number: u64 },
    /// A ring's watch for room.
    Room { seat: u32, descriptor: RawFd },
    /// An epoll instance.
    Edge { seat: u32, descriptor: RawFd },
}

/// One reactor's kernel.
pub(crate) struct Seat {
    pub(crate) id: u32,
    pub(crate) host: HostId,
    pub(crate) ring: RefCell<Ring>,
    pub(crate) room: RefCell<Room>,
    pub(crate) polls: RefCell<Polls>,
    pub(crate) wake: RefCell<Option<Arc<Wake>>>,
    /// Times the wake was rung.
    rung: Cell<u64>,
    pub(crate) signals: RefCell<Vec<(u64, Rc<Cell<u64>>)>>,
    pub(crate) entropy: RefCell<Chance>,
    pub(crate) costs: RefCell<Chance>,
    /// The scheduler takes over where the reactor would sleep.
    parks: Cell<bool>,
    /// Asleep, until then at the latest.
    asleep: Cell<Option<Option<Instant>>>,
}

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
                self.0.seat(a as u32).polls.borrow_mut().queue(b as RawFd);
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
        Arc::new(Guard { host, descriptor: Mutex::new(Some(descriptor)), abandoned })
    }
}

/// Closes a descriptor on its way, unless it was taken out.
pub(crate) struct Guard {
    host: HostId,
    descriptor: Mutex<Option<RawFd>>,
    abandoned: Arc<Abandoned>,
}

impl Guard {
    /// Takes the descriptor, which is then the caller's to close.
    pub(crate) fn take(&self) -> Option<RawFd> {
        self.descriptor.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(descriptor) = self.take() {
            self.abandoned.lock().unwrap_or_else(PoisonError::into_inner).push((self.host, descriptor));
        }
    }
}

impl Shared {
    fn seat(&self, seat: u32) -> Rc<Seat> {
        Rc::clone(&self.seats.borrow()[seat as usize])
    }

    pub(crate) fn host(&self, seat: u32) -> HostId {
        self.seats.borrow()[seat as usize].host
    }

    pub(crate) fn file(&self, seat: u32, descriptor: RawFd) -> io::Result<FileId> {
        self.world.file(self.host(seat), descriptor)
    }

    /// Has somebody told of a file's changes.
    pub(crate) fn watch(&self, file: FileId, interest: Interest) {
        self.world.watch(file);
        self.interests.borrow_mut().entry(file.to_bits()).or_default().push(interest);
    }

    /// And no longer.
    pub(crate) fn unwatch(&self, file: FileId, interest: Interest) {
        let mut interests = self.interests.borrow_mut();
        let Some(list) = interests.get_mut(&file.to_bits()) else { return };
        let Some(at) = list.iter().position(|other| *other == interest) else { return };
        list.remove(at);
        if list.is_empty() {
            interests.remove(&file.to_bits());
        }
        drop(interests);
        self.world.unwatch(file);
    }

    /// Tells everybody of what has changed.
    fn settle(&self) {
        let mut changes = self.changes.take();
        self.world.take_changes(&mut changes);
        for file in changes.drain(..) {
            let interests = self.interests.borrow().get(&file.to_bits()).cloned().unwrap_or_default();
            for interest in interests {
                match interest {
                    Interest::Operation { seat, number } => {
                        self.seat(seat).ring.borrow_mut().poke(self, number);
                    }
                    Interest::Edge { seat, descriptor } => self.edge(seat, descriptor),
                    Interest::Room { seat, descriptor } => {
                        let seat = self.seat(seat);
                        let has_news = seat.room.borrow_mut().look(&self.world, descriptor);
                        if has_news {
                            self.poke_poll(&seat);
                        }
                    }
                }
            }
        }
        self.changes.replace(changes);
    }

    /// A seat's wake or watch has something to tell: its polls get on.
    pub(crate) fn poke_poll(&self, seat: &Seat) {
        seat.ring.borrow_mut().poke_polls(self);
    }

    /// Something happened to a file that an epoll instance watches.
    fn edge(&self, seat: u32, descriptor: RawFd) {
        if self.world.hit(Fault::LateCompletion, crate::sim::Operation::Receive) {
            let nanos = self.world.severity(Fault::LateCompletion, 1, LATE_MAX_NANOS);
            let event = Outside { kind: EDGE, a: u64::from(seat), b: descriptor as u64 };
            self.world.schedule(self.world.now() + Duration::from_nanos(nanos), event);
        } else {
            self.seat(seat).polls.borrow_mut().queue(descriptor);
        }
    }

    /// True for the descriptor of a watch for room.
    fn is_watch(&self, seat: u32, descriptor: RawFd) -> bool {
        self.file(seat, descriptor).ok().and_then(|file| self.world.tag(file)).is_some_and(|tag| tag & 1 == 1)
    }

    /// How often the file of a poll became readable: a wake's or a watch's.
    pub(crate) fn events_of(&self, seat: u32, file: FileId) -> Option<u64> {
        let is_watch = self.world.tag(file)? & 1 == 1;
        let seat = self.seat(seat);
        if is_watch { seat.room.try_borrow().ok().map(|room| room.events()) } else { Some(seat.rung.get()) }
    }

    /// Notes a signal for those of the host that watch it; false when nobody does.
    fn deliver_signal(&self, host: HostId, signal: i32) -> bool {
        let mut is_watched = false;
        let seats = self.seats.borrow().clone();
        for seat in seats.iter().filter(|seat| seat.host == host) {
            let signals = seat.signals.borrow();
            for (watched, arrived) in signals.iter() {
                if watched & 1 << signal != 0 {
                    is_watched = true;
                    arrived.set(arrived.get() | 1 << signal);
                    if let Some(wake) = &*seat.wake.borrow() {
                        wake.ring();
                    }
                }
            }
        }
        is_watched
    }
}

impl Seat {
    /// Something that ends a sleep.
    fn has_news(&self) -> bool {
        self.ring.borrow().has_completions() || self.polls.borrow().is_ready() || self.has_work()
    }

    /// Something that only entering the ring brings forth.
    fn has_work(&self) -> bool {
        let is_rung = || self.wake.borrow().as_ref().is_some_and(|wake| wake.is_rung());
        self.ring.borrow().wants_entering() || is_rung()
    }

    fn sleeps_until(&self, now: Instant) -> Option<Option<Instant>> {
        let deadline = self.asleep.get()?;
        let is_over = self.has_news() || deadline.is_some_and(|deadline| deadline <= now);
        (!is_over).then_some(deadline)
    }

    /// True while it sleeps and nothing that ends the sleep is under way, however late it may be.
    pub(crate) fn is_asleep(&self, now: Instant) -> bool {
        self.sleeps_until(now).is_some() && !self.ring.borrow().has_yet_to_tell(self.rung.get())
    }
}

#[cfg(test)]
mod tests;
