//! A driver without a kernel: a test says what completes and when.
//!
//! [`ScriptedDriver`] goes where a driver is wanted; the test keeps its [`Script`], looks at what was submitted, and
//! answers. Time stands still unless the test moves it or the driver is told to sleep, so nothing depends on the
//! machine's speed.
//!
//! ```
//! use annulet_driver::scripted::ScriptedDriver;
//! use annulet_driver::{Domain, Driver, Op, Outcome, Token, Wait};
//!
//! let (mut driver, script) = ScriptedDriver::new();
//! let socket = driver.sockets().open(Domain::V4)?;
//! let key = driver.submit(Token(7), Op::Receive { socket });
//!
//! script.received(key, b"hello");
//! script.end(key);
//!
//! let mut completions = Vec::new();
//! driver.turn(Wait::Poll, &mut completions)?;
//! assert!(matches!(&completions[0].outcome, Outcome::Received(chunk) if **chunk == *b"hello"));
//! assert!(matches!(completions[1].outcome, Outcome::End));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What it does by itself
//!
//! | call | answer |
//! |---|---|
//! | `turn(Wait::Poll)` | what the script has queued, in order |
//! | `turn(Wait::Until(Some(t)))` | the same; with nothing queued and no unpark pending, the clock jumps to `t` |
//! | `turn(Wait::Until(None))` | the same; with nothing queued and no unpark pending it panics: nothing will ever happen |
//! | `turn(Wait::Until(_))`, [made to return](ScriptedDriver::returning) | the same; where it would sleep it returns, and `is_asleep` until something is queued, it is unparked or the script moves the clock to `t` |
//! | `cancel` | `Cancelled` in the next turn, after what was queued; or as [`Script::hold_cancellations`] says |
//! | `try_send`, `try_send_vectored` | takes everything, or as much as [`Script::send_capacity`] left; the bytes are kept |
//! | `send_queue` | none, unless made [`with_send_queue`](ScriptedDriver::with_send_queue); a turn offers what is queued as `try_send` would |
//! | `try_receive`, `try_accept` | what [`Script::queue_bytes`], [`Script::queue_end`] and [`Script::queue_connection`] provided, else `WouldBlock` |
//! | `open`, `listen`, `adopt` | a socket with a number never used before |
//! | `duplicate` | a descriptor for another scripted driver; the two sockets have nothing but the address in common |
//! | options, `shutdown`, `close` | recorded |
//!
//! # What it forbids
//!
//! It panics, with what happened, where a real driver would do damage or nothing: a socket used after its close, closed
//! twice, or closed with an operation in flight; a send, or an end of sending, while a send on the socket is queued; two operations that read (or write) on one socket; a script that
//! completes an operation that has ended.
//!
//! Received chunks are leases on a real [`BufferPool`], so leaks and double returns show as on the real drivers.

mod script;
mod sockets;
mod state;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

pub use self::script::{Call, Script, Submitted};
use self::state::State;
use crate::choice::DriverKind;
use crate::counters::DriverCounters;
use crate::driver::{Driver, Sockets, Unpark, Wait};
use crate::instant::Instant;
use crate::op::{Completion, Key, Op, Outcome, Token};
use crate::options::DriverOptions;
use crate::pool::{BufferPool, Chunk};
use crate::send_queue::SendQueue;
use crate::socket::Socket;

/// Seed of [`ScriptedDriver::new`].
const SEED: u64 = 0x5eed;

/// The driver. See the [module's documentation](self).
pub struct ScriptedDriver {
    state: Rc<RefCell<State>>,
    script: Script,
    pool: BufferPool,
    counters: Arc<DriverCounters>,
    doorbell: Arc<Doorbell>,
    sends: Option<SendQueue>,
    /// Returns where it would sleep.
    returns: bool,
    /// The sleep the latest turn returned from: until when.
    asleep: Option<Option<Instant>>,
    /// Time of the latest turn.
    now: Instant,
}

/// Whether another thread has called since the latest turn.
#[derive(Debug, Default)]
struct Doorbell(AtomicBool);

impl Unpark for Doorbell {
    fn unpark(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl ScriptedDriver {
    /// A driver with default options and a fixed seed, and the handle of the test.
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> (Self, Script) {
        Self::with(&DriverOptions::default(), SEED)
    }

    /// The same with a pool as `options` say, and entropy from `seed`.
    ///
    /// # Panics
    /// When there is no address space for the pool.
    pub fn with(options: &DriverOptions, seed: u64) -> (Self, Script) {
        let counters = Arc::new(DriverCounters::default());
        let pool = BufferPool::new(&options.pool, Arc::clone(&counters)).expect("address space for the pool");
        let state = Rc::new(RefCell::new(State::new(seed)));
        let script = Script::new(Rc::clone(&state), pool.clone(), Arc::clone(&counters));
        let now = state.borrow().clock();
        let driver = Self {
            state,
            script: script.clone(),
            pool,
            counters,
            doorbell: Arc::default(),
            sends: None,
            returns: false,
            asleep: None,
            now,
        };
        (driver, script)
    }

    /// The same driver with a queue for sends, which it offers when it turns, before anything else.
    #[must_use]
    pub fn with_send_queue(mut self) -> Self {
        self.sends = Some(SendQueue::new());
        self
    }

    /// The same driver, which returns where it would sleep: see [`Driver::is_asleep`].
    #[must_use]
    pub fn returning(mut self) -> Self {
        self.returns = true;
        self
    }

    /// Offers what is queued; true when there was something.
    fn offer_sends(&mut self) -> bool {
        let Some(queue) = &mut self.sends else { return false };
        let mut state = self.state.borrow_mut();
        let offer = |(place, (socket, bytes)): (usize, (Socket, &[u8]))| {
            let result = match socket.as_raw() {
                -1 => Err(io::Error::from_raw_os_error(libc::EBADF)),
                _ => state.open_socket(socket).send(&[io::IoSlice::new(bytes)]),
            };
            (!matches!(result, Ok(taken) if taken == bytes.len())).then_some((place, result))
        };
        let refused: Vec<_> = queue.queued_from(0).enumerate().filter_map(offer).collect();
        for (place, result) in refused {
            queue.refuse(place, result);
        }
        !queue.is_empty()
    }

    /// A send out of turn would overtake what is queued.
    fn check_none_queued(&self, socket: Socket) {
        let is_queued =
            self.sends.as_ref().is_some_and(|queue| queue.queued_from(0).any(|(other, _)| other == socket));
        assert!(!is_queued, "{socket:?} is used for sending while a send on it is queued");
    }

    /// Gives the script its chance to answer before the driver sleeps; true when there is something to deliver.
    fn is_anything_there(&self) -> bool {
        self.state.borrow().has_queued() || self.doorbell.0.load(Ordering::Acquire) || {
            self.script.call_when_idle();
            self.state.borrow().has_queued() || self.doorbell.0.load(Ordering::Acquire)
        }
    }
}

impl Driver for ScriptedDriver {
    fn kind(&self) -> DriverKind {
        DriverKind::Scripted
    }

    fn submit(&mut self, token: Token, op: Op) -> Key {
        self.state.borrow_mut().submit(token, op)
    }

    fn cancel(&mut self, key: Key) {
        self.state.borrow_mut().cancel(key);
    }

    /// # Panics
    /// When it would sleep for ever.
    fn turn(&mut self, wait: Wait, completions: &mut Vec<Completion>) -> io::Result<()> {
        self.counters.enters.increment();
        let has_sent = self.offer_sends();
        self.asleep = None;
        if let Wait::Until(deadline) = wait
            && !has_sent
            && !self.is_anything_there()
        {
            let mut state = self.state.borrow_mut();
            match deadline {
                _ if self.returns => self.asleep = Some(deadline),
                Some(deadline) => state.sleep_until(deadline),
                None => panic!("deadlock: nothing will ever happen. In flight: {:#?}", state.submitted()),
            }
        }
        if self.doorbell.0.swap(false, Ordering::AcqRel) && wait != Wait::Poll {
            self.counters.unparks.increment();
        }
        let mut state = self.state.borrow_mut();
        self.now = state.clock();
        let before = completions.len();
        state.deliver(completions);
        if has_sent && let Some(queue) = &mut self.sends {
            self.counters.sends_queued.add(queue.len() as u64);
            self.counters.bytes_sent.add(queue.conclude(completions, before));
        }
        for completion in &completions[before..] {
            self.counters.cqes.increment();
            match &completion.outcome {
                Outcome::Received(chunk) => self.counters.bytes_received.add(chunk.len() as u64),
                Outcome::Accepted(_) => self.counters.accepted.increment(),
                _ => {}
            }
        }
        self.counters.ops_in_flight.set(state.in_flight() as u64);
        self.pool.publish_usage();
        Ok(())
    }

    fn is_asleep(&self) -> bool {
        let state = self.state.borrow();
        self.asleep.is_some_and(|deadline| {
            let is_over = deadline.is_some_and(|deadline| state.clock() >= deadline);
            !is_over && !state.has_queued() && !self.doorbell.0.load(Ordering::Acquire)
        })
    }

    fn peek(&mut self) -> bool {
        let has_sends = self.sends.as_ref().is_some_and(|queue| !queue.is_empty());
        has_sends || self.state.borrow().has_queued() || self.doorbell.0.load(Ordering::Acquire)
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn clock(&self) -> Instant {
        self.state.borrow_mut().read_clock()
    }

    /// A day in 2023, plus the time since the test began.
    fn wall_clock(&self) -> SystemTime {
        let since_start = self.state.borrow().clock() - state::START;
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + since_start
    }

    fn entropy(&mut self, bytes: &mut [u8]) {
        self.state.borrow_mut().entropy(bytes);
    }

    fn unparker(&self) -> Arc<dyn Unpark> {
        Arc::clone(&self.doorbell) as Arc<dyn Unpark>
    }

    fn try_send(&mut self, socket: Socket, bytes: &[u8]) -> io::Result<usize> {
        self.try_send_vectored(socket, &[io::IoSlice::new(bytes)])
    }

    fn try_send_vectored(&mut self, socket: Socket, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.check_none_queued(socket);
        self.counters.sends.increment();
        let taken = self.state.borrow_mut().open_socket(socket).send(slices)?;
        self.counters.bytes_sent.add(taken as u64);
        Ok(taken)
    }

    fn send_queue(&mut self) -> Option<&mut SendQueue> {
        self.sends.as_mut()
    }

    fn try_receive(&mut self, socket: Socket) -> io::Result<Option<Chunk>> {
        let bytes = {
            let mut state = self.state.borrow_mut();
            state.check(Call::TryReceive)?;
            state.open_socket(socket).receive()?
        };
        self.counters.bytes_received.add(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64));
        Ok(bytes.map(Chunk::from))
    }

    fn close(&mut self, socket: Socket) {
        self.counters.sockets_closed.increment();
        if let Some(queue) = &mut self.sends {
            queue.forget(socket);
        }
        self.state.borrow_mut().close(socket);
    }

    fn sockets(&mut self) -> &mut dyn Sockets {
        self
    }

    fn pool(&self) -> &BufferPool {
        &self.pool
    }

    fn counters(&self) -> &Arc<DriverCounters> {
        &self.counters
    }

    fn in_flight(&self) -> usize {
        self.state.borrow().in_flight()
    }

    /// Ends everything but what [`Script::hold_cancellations`] holds back; the clock moves by `patience` if that is
    /// anything.
    fn quiesce(&mut self, patience: Duration) -> usize {
        let mut state = self.state.borrow_mut();
        let mut discarded = Vec::new();
        state.cancel_all();
        state.deliver(&mut discarded);
        for completion in discarded {
            if let Outcome::Accepted(socket) = completion.outcome {
                self.counters.sockets_closed.increment();
                state.close(socket);
            }
        }
        let left = state.in_flight();
        if left > 0 {
            let deadline = state.clock() + patience;
            state.sleep_until(deadline);
        }
        left
    }
}

#[cfg(test)]
mod tests;
