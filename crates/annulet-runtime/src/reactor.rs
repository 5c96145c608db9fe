//! The reactor: one driver, its tasks, timers and sources, and the turn that moves them.

mod audit;
mod report;

use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, SystemTime};

pub use self::report::ExitReport;
use annulet_driver::{
    Completion, CounterSet, Driver, DriverCounters, Instant, Key, Op, Outcome, Payload, SendQueue, Socket,
    Wait,
};

use crate::contain::contain;
use crate::context;
use crate::counters::ReactorCounters;
use crate::inbox::Inbox;
use crate::origin::Caller;
use crate::park::{Park, Parker};
use crate::process::Process;
use crate::source::{Source, SourceId, Sources};
use crate::task::raw::{ReadyList, Tasks};
use crate::wheel::{TimerKey as WheelKey, Wheel};

/// Tasks polled in one turn before the ring is looked at again.
pub const TASKS_PER_TURN_MAX: u32 = 256;
/// Time tasks get in one turn before the ring is looked at again.
pub const TASK_TIME_PER_TURN_MAX: Duration = Duration::from_millis(5);
/// Tasks polled between two looks at the clock.
const TASKS_PER_CLOCK_READ: u32 = 32;
/// Ready operations one poll of a task may take before it yields (see [`crate::task::budget`]).
const OPERATIONS_PER_POLL_MAX: u32 = 128;
/// A reactor kept from its ring for longer by its tasks counts as stalled.
const STALL: Duration = Duration::from_millis(100);
/// Looks at the ring between two looks at the clock, while watching.
const PEEKS_PER_CLOCK_READ: u32 = 16;

/// Number of a reactor within its runtime, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReactorId(pub u32);

impl fmt::Display for ReactorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A handle on one reactor, for code that runs on it. Cloning is cheap; it is neither `Send` nor `Sync`.
#[derive(Clone)]
pub struct Reactor(Rc<Core>);

pub(crate) struct Core {
    id: ReactorId,
    driver: RefCell<Box<dyn Driver>>,
    /// Read from the driver once per turn.
    now: Cell<Instant>,
    /// Tasks woken, in this order.
    pub(crate) ready: ReadyList,
    sources: RefCell<Sources>,
    at_turn_end: RefCell<Vec<Rc<dyn Source>>>,
    timers: RefCell<Wheel<TimerTarget>>,
    pub(crate) tasks: RefCell<Tasks>,
    pub(crate) budget: Cell<u32>,
    inbox: Arc<Inbox>,
    parker: RefCell<Parker>,
    counters: Arc<ReactorCounters>,
    driver_counters: Arc<DriverCounters>,
    /// Reused from turn to turn.
    completions: RefCell<Vec<Completion>>,
    due: RefCell<Vec<TimerTarget>>,
    handle: RefCell<Option<crate::Handle>>,
    is_ended: Cell<bool>,
    /// State that crates above keep per reactor, by type.
    extensions: RefCell<Vec<(TypeId, Rc<dyn Any>)>>,
    /// The sleep the latest [step](Reactor::step) did not come back from.
    asleep: Cell<Option<Wait>>,
}

/// What became of a [step](Reactor::step).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// There was something to do, or the sleep came to its end.
    Ran,
    /// The reactor sleeps: it is to be stepped again when its driver has been woken.
    Asleep,
}

/// Whom a timer tells.
enum TimerTarget {
    Task(Waker),
    Source(SourceId),
}

/// Names an armed timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerKey(WheelKey);

impl Reactor {
    /// A reactor on `driver`. It runs when [`turn`](Self::turn) is called, always on the thread that opened the driver, and
    /// ends by [`shut_down`](Self::shut_down): tasks and the connections they hold keep it alive until then.
    pub fn new(id: ReactorId, driver: Box<dyn Driver>, park: Park) -> Self {
        let core = Core {
            id,
            now: Cell::new(driver.now()),
            inbox: Arc::new(Inbox::new(driver.unparker())),
            driver_counters: driver.counters().clone(),
            driver: RefCell::new(driver),
            ready: ReadyList::default(),
            sources: RefCell::default(),
            at_turn_end: RefCell::default(),
            timers: RefCell::new(Wheel::new()),
            tasks: RefCell::default(),
            budget: Cell::new(0),
            parker: RefCell::new(Parker::new(park)),
            counters: Arc::default(),
            completions: RefCell::default(),
            due: RefCell::default(),
            handle: RefCell::default(),
            is_ended: Cell::new(false),
            extensions: RefCell::default(),
            asleep: Cell::new(None),
        };
        Self(Rc::new(core))
    }

    pub(crate) fn from_core(core: Rc<Core>) -> Self {
        Self(core)
    }

    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.0
    }

    /// The reactor running on this thread.
    ///
    /// # Panics
    /// Outside a reactor's turn.
    #[track_caller]
    pub fn current() -> Self {
        Self::try_current()
            .expect("there is no Annulet reactor on this thread: call this inside annulet::run or a handler")
    }

    /// The reactor running on this thread, if one is.
    pub fn try_current() -> Option<Self> {
        context::current()
    }

    /// Its number.
    pub fn id(&self) -> ReactorId {
        self.0.id
    }

    /// The runtime it belongs to, for a reactor that belongs to one.
    pub fn handle(&self) -> Option<crate::Handle> {
        self.0.handle.borrow().clone()
    }

    pub(crate) fn set_handle(&self, handle: crate::Handle) {
        self.0.handle.replace(Some(handle));
    }

    /// The time of this turn: the same for everything done within it.
    #[inline]
    pub fn now(&self) -> Instant {
        self.0.now.get()
    }

    /// The wall clock.
    pub fn wall_clock(&self) -> SystemTime {
        self.driver(|driver| driver.wall_clock())
    }

    /// Calls `f` with the driver.
    ///
    /// # Panics
    /// When called from within itself.
    #[inline]
    pub fn driver<R>(&self, f: impl FnOnce(&mut dyn Driver) -> R) -> R {
        f(&mut **self.0.driver.borrow_mut())
    }

    /// What the reactor counts.
    #[inline]
    pub fn counters(&self) -> &Arc<ReactorCounters> {
        &self.0.counters
    }

    /// What its driver counts.
    pub fn driver_counters(&self) -> &Arc<DriverCounters> {
        &self.0.driver_counters
    }

    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.0.inbox
    }

    /// State that a layer above keeps once per reactor: made at first use, dropped with the reactor.
    pub fn extension<T: 'static>(&self, make: impl FnOnce() -> T) -> Rc<T> {
        let id = TypeId::of::<T>();
        let found =
            self.0.extensions.borrow().iter().find(|(other, _)| *other == id).map(|(_, state)| state.clone());
        let state = found.unwrap_or_else(|| {
            let state: Rc<dyn Any> = Rc::new(make());
            self.0.extensions.borrow_mut().push((id, state.clone()));
            state
        });
        state.downcast().expect("found by its type")
    }

    /// [`Handle::shared`](crate::Handle::shared) of its runtime; of this process, for a reactor that belongs to none.
    pub fn shared<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        self.handle().map_or_else(|| Process::this().shared(), |handle| handle.shared())
    }

    /// Enters a source in the table; it stays until [`deregister`](Self::deregister).
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn register(&self, source: Rc<dyn Source>) -> SourceId {
        self.0.sources.borrow_mut().insert(source, Caller::here())
    }

    /// Takes a source out. None of its operations may be in flight, none of its timers armed.
    ///
    /// # Panics
    /// When it is not in.
    pub fn deregister(&self, id: SourceId) {
        let source = self.0.sources.borrow_mut().remove(id);
        drop(source);
    }

    /// Submits an operation; its completions go to the source, with `tag`.
    pub fn submit(&self, source: SourceId, tag: u32, op: Op) -> Key {
        self.0.driver.borrow_mut().submit(source.token(tag), op)
    }

    /// Queues what is to be sent on `socket` when the reactor next enters the kernel. In that turn, before anything else, the
    /// source is told [`Outcome::Sent`](annulet_driver::Outcome::Sent). One source of a reactor queues sends, those of all
    /// streams, and only on a driver that [has a queue](Self::has_send_queue).
    ///
    /// # Panics
    /// When it has none.
    #[inline]
    pub fn queue_send(&self, source: SourceId, tag: u32, socket: Socket, payload: Payload) {
        let mut driver = self.0.driver.borrow_mut();
        driver.send_queue().expect("asked before").push(source.token(tag), socket, payload);
    }

    /// True when the driver has a queue for sends.
    pub fn has_send_queue(&self) -> bool {
        self.driver(|driver| driver.send_queue().is_some())
    }

    /// Calls `f` with the driver's queue for sends.
    ///
    /// # Panics
    /// As for [`queue_send`](Self::queue_send).
    pub fn send_queue<R>(&self, f: impl FnOnce(&mut SendQueue) -> R) -> R {
        self.driver(|driver| f(driver.send_queue().expect("asked before")))
    }

    /// Asks for an operation's end; its last completion still comes.
    pub fn cancel(&self, key: Key) {
        self.0.driver.borrow_mut().cancel(key);
    }

    /// Has [`Source::turn_end`] called when this turn's tasks have run. The source asks once per turn.
    pub fn at_turn_end(&self, source: Rc<dyn Source>) {
        self.0.at_turn_end.borrow_mut().push(source);
    }

    /// Calls [`Source::timer`] at `deadline`, at most a millisecond late as far as the reactor is concerned, never early.
    pub fn arm_timer(&self, deadline: Instant, source: SourceId) -> TimerKey {
        TimerKey(self.0.timers.borrow_mut().insert(deadline.as_nanos(), TimerTarget::Source(source)))
    }

    /// Wakes a task at `deadline`.
    pub(crate) fn arm_waker(&self, deadline: Instant, waker: Waker) -> TimerKey {
        TimerKey(self.0.timers.borrow_mut().insert(deadline.as_nanos(), TimerTarget::Task(waker)))
    }

    /// Disarms a timer; one that fired already is ignored.
    pub fn cancel_timer(&self, key: TimerKey) {
        let target = self.0.timers.borrow_mut().cancel(key.0);
        drop(target);
    }

    /// Has every source look again; see [`Source::review`].
    pub fn review_sources(&self) {
        let sources = self.0.sources.borrow().all();
        for source in sources {
            source.review(self);
        }
    }

    /// Adds a set of counters of a layer above to those [`Handle::visit_counters`](crate::Handle::visit_counters) shows.
    pub fn publish_counters(&self, counters: Arc<dyn CounterSet>) {
        if let Some(handle) = self.handle() {
            handle.publish_counters(self.id(), counters);
        }
    }

    /// One turn: wait for something to do (not if there is something already), reap, deliver, fire timers, run tasks, let
    /// staged bytes leave.
    ///
    /// # Errors
    /// When the driver is broken beyond repair.
    pub fn turn(&self) -> io::Result<()> {
        self.turn_with(|| ())
    }

    /// [`turn`](Self::turn), with `first` run at the head of its tasks.
    pub(crate) fn turn_with(&self, first: impl FnOnce()) -> io::Result<()> {
        let _entered = context::enter(&self.0);
        self.0.counters.turns.increment();
        self.wait_and_reap()?;
        self.finish_turn(first);
        Ok(())
    }

    /// A [`turn`](Self::turn) that does not block, on a driver that returns where it would sleep. A turn that is asleep is the
    /// same turn when it is stepped again, and its announcement of sleep stays in force: whoever leaves work for the reactor
    /// wakes its driver. A reactor is either turned or stepped.
    ///
    /// # Errors
    /// When the driver is broken beyond repair.
    pub fn step(&self) -> io::Result<Step> {
        let _entered = context::enter(&self.0);
        if !self.reap_unless_asleep()? {
            return Ok(Step::Asleep);
        }
        self.finish_turn(|| ());
        Ok(Step::Ran)
    }

    /// What a turn does when it has reaped.
    #[inline(always)]
    fn finish_turn(&self, first: impl FnOnce()) {
        self.deliver();
        self.fire_timers();
        self.take_messages();
        self.0.budget.set(OPERATIONS_PER_POLL_MAX);
        first();
        self.run_tasks();
        self.end_turn();
    }

    /// Runs `f` as if within a turn: for what is done between turns, such as the first spawn.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        let _entered = context::enter(&self.0);
        f()
    }

    fn wait_and_reap(&self) -> io::Result<()> {
        let core = &*self.0;
        let wait = self.choose_wait();
        let mut completions = core.completions.borrow_mut();
        let mut driver = core.driver.borrow_mut();
        let result = driver.turn(wait, &mut completions);
        core.now.set(driver.now());
        if wait != Wait::Poll {
            core.inbox.awake();
        }
        result
    }

    /// [`wait_and_reap`](Self::wait_and_reap) for a step; false when that would have gone on sleeping.
    fn reap_unless_asleep(&self) -> io::Result<bool> {
        let core = &*self.0;
        let wait = core.asleep.take().unwrap_or_else(|| {
            core.counters.turns.increment();
            self.choose_wait()
        });
        let mut completions = core.completions.borrow_mut();
        let mut driver = core.driver.borrow_mut();
        let result = driver.turn(wait, &mut completions);
        if result.is_ok() && driver.is_asleep() {
            if completions.is_empty() {
                core.asleep.set(Some(wait));
                return Ok(false);
            }
            // A turn that sent what was queued has that to tell, and goes on as if it had been woken.
            let is_sent = |completion: &Completion| matches!(completion.outcome, Outcome::Sent);
            assert!(
                completions.iter().all(is_sent),
                "the driver sleeps, and has something to tell: {completions:?}"
            );
        }
        core.now.set(driver.now());
        if wait != Wait::Poll {
            core.inbox.awake();
        }
        result.map(|()| true)
    }

    fn choose_wait(&self) -> Wait {
        let core = &*self.0;
        if !core.ready.is_empty() || core.inbox.has_work() {
            return Wait::Poll;
        }
        let deadline = core.timers.borrow().next_deadline_ns().map(Instant::from_nanos);
        let watch = core.parker.borrow_mut().watch(core.sources.borrow().len());
        if let Some(watch) = watch
            && self.watch(watch, deadline)
        {
            return Wait::Poll;
        }
        if !core.inbox.prepare_sleep() {
            return Wait::Poll;
        }
        core.counters.parks.increment();
        Wait::Until(deadline)
    }

    /// Watches for work for at most `limit`; true when some is there.
    fn watch(&self, limit: Duration, deadline: Option<Instant>) -> bool {
        let core = &*self.0;
        let mut driver = core.driver.borrow_mut();
        if driver.peek() {
            return true;
        }
        let mut end = driver.clock() + limit;
        if let Some(deadline) = deadline {
            end = end.min(deadline);
        }
        loop {
            for _ in 0..PEEKS_PER_CLOCK_READ {
                if driver.peek() || core.inbox.has_work() {
                    core.parker.borrow_mut().watched_well();
                    core.counters.watches_paid.increment();
                    return true;
                }
                std::hint::spin_loop();
            }
            let now = driver.clock();
            if now >= end {
                if deadline.is_some_and(|deadline| now >= deadline) {
                    return true;
                }
                core.parker.borrow_mut().watched_in_vain();
                core.counters.watches_wasted.increment();
                return false;
            }
        }
    }

    fn deliver(&self) {
        let mut completions = self.0.completions.take();
        for Completion { token, outcome, last, .. } in completions.drain(..) {
            let (id, tag) = SourceId::split(token);
            let source = self.0.sources.borrow().get(id);
            match source {
                Some(source) => source.complete(self, tag, outcome, last),
                None => unreachable!("a source left with an operation in flight: {token:?}"),
            }
        }
        self.0.completions.replace(completions);
    }

    fn fire_timers(&self) {
        if self.0.timers.borrow().is_empty() {
            return;
        }
        let mut due = self.0.due.take();
        self.0.timers.borrow_mut().advance(self.now().as_nanos(), &mut due);
        self.0.counters.timers_fired.add(due.len() as u64);
        for target in due.drain(..) {
            match target {
                TimerTarget::Task(waker) => waker.wake(),
                TimerTarget::Source(id) => {
                    let source = self.0.sources.borrow().get(id);
                    if let Some(source) = source {
                        source.timer(self);
                    }
                }
            }
        }
        self.0.due.replace(due);
    }

    fn take_messages(&self) {
        if !self.0.inbox.has_work() {
            return;
        }
        let queues = self.0.inbox.take();
        self.0.counters.messages_received.add((queues.tasks.len() + queues.messages.len()) as u64);
        for task in queues.tasks {
            task.arrive(&self.0);
        }
        for message in queues.messages {
            // Foreign code, like a task: what it does wrong ends with it.
            if contain(|| message(self)).is_none() {
                self.0.counters.tasks_panicked.increment();
            }
        }
    }

    /// Runs tasks, in the order in which they were woken, until none is ready or the turn is used up.
    fn run_tasks(&self) {
        let core = &*self.0;
        let mut polled = 0;
        while let Some(task) = core.ready.pop() {
            core.budget.set(OPERATIONS_PER_POLL_MAX);
            task.run();
            polled += 1;
            if polled % TASKS_PER_CLOCK_READ == 0 && self.turn_is_used_up(polled) && !core.ready.is_empty() {
                core.counters.budget_exhausted.increment();
                break;
            }
        }
        core.counters.tasks_polled.add(u64::from(polled));
        if polled > 0 {
            self.note_stall();
        }
    }

    fn turn_is_used_up(&self, polled: u32) -> bool {
        let clock = self.0.driver.borrow().clock();
        polled >= TASKS_PER_TURN_MAX || clock - self.now() >= TASK_TIME_PER_TURN_MAX
    }

    fn end_turn(&self) {
        let mut sources = self.0.at_turn_end.take();
        for source in sources.drain(..) {
            source.turn_end(self);
        }
        // What asked meanwhile waits for the next turn's end, which then comes at once.
        let mut asked = self.0.at_turn_end.borrow_mut();
        if asked.is_empty() {
            *asked = sources;
        } else {
            drop(asked);
            self.0.inbox.ring();
        }
    }

    /// Notices when this turn's tasks held the reactor up.
    fn note_stall(&self) {
        let core = &*self.0;
        let took = core.driver.borrow().clock() - self.now();
        if took >= STALL {
            core.counters.stalls.increment();
            tracing::warn!(
                reactor = core.id.0,
                milliseconds = took.as_millis() as u64,
                "a task kept its reactor from all others: move long work to spawn_blocking"
            );
        }
    }

    /// Ends everything: drops every task, lets staged bytes leave, cancels and reaps what is in flight, closes what the
    /// sources hold. Operations that cannot be reaped within `patience` keep their memory (it is leaked).
    pub fn shut_down(&self, patience: Duration) -> ExitReport {
        let _entered = context::enter(&self.0);
        // From now on what is spawned is dropped at once.
        self.0.is_ended.set(true);
        self.drop_tasks();
        // What was queued leaves before what is staged now, or the end of its stream.
        self.flush_send_queue();
        self.end_turn();
        self.flush_send_queue();
        let left_over = self.0.inbox.close();
        drop(left_over);
        let targets = std::mem::replace(&mut *self.0.timers.borrow_mut(), Wheel::new());
        drop(targets);
        let unreaped = self.0.driver.borrow_mut().quiesce(patience);
        // Before they are released: then a connection's ends are still known.
        let sources_before = self.source_origins();
        let sources = self.0.sources.borrow().all();
        for source in sources {
            source.release(self);
        }
        // Extensions may hold the reactor: without this neither would ever go.
        let extensions = self.0.extensions.take();
        drop(extensions);
        self.0.handle.take();
        self.report(unreaped, &sources_before)
    }

    /// Has queued sends leave, if there are any, and tells what became of them.
    fn flush_send_queue(&self) {
        let is_empty = self.driver(|driver| driver.send_queue().is_none_or(|queue| queue.is_empty()));
        if is_empty {
            return;
        }
        let result = self.0.driver.borrow_mut().turn(Wait::Poll, &mut self.0.completions.borrow_mut());
        if let Err(error) = result {
            return tracing::debug!(reactor = self.0.id.0, %error, "what was queued to be sent may be lost");
        }
        self.deliver();
    }

    /// Drops every task's future, but for that of a task that runs just now: it goes when its poll has ended.
    fn drop_tasks(&self) {
        self.0.tasks.borrow().wake_all();
        while let Some(task) = self.0.ready.pop() {
            drop(task);
        }
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reactor({})", self.0.id)
    }
}

impl Core {
    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    /// True once the reactor is shut down or being so.
    #[inline]
    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended.get()
    }

    pub(crate) fn counters(&self) -> &ReactorCounters {
        &self.counters
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // Messages may hold a handle to this very inbox, and ended tasks their place in it.
        let left_over = self.inbox.close();
        drop(left_over);
    }
}

#[cfg(test)]
mod tests;
