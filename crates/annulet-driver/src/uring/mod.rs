//! io_uring: one ring per reactor.
//!
//! # A turn
//!
//! ```text
//!   buffers that came back ──▶ buffer ring          parked receives ──▶ staged entries
//!   queued sends, staged entries ──▶ submission queue ──▶ one io_uring_enter: submit, work out, sleep as allowed
//!   completion queue ──▶ completions;  what ended early ──▶ staged entries, for the next turn
//! ```
//!
//! Entries are staged in memory of our own and reach the submission queue only in a turn, so nothing is lost or
//! reordered when that queue is short, and handlers never enter the kernel by way of it. A turn enters the kernel once;
//! more often only where more was staged than the queue holds, or the completion queue overflowed.
//!
//! Some operations are not the ring's: `Writable` is watched by an epoll instance inside the ring ([`watch`]), signals
//! are noted by a handler that wakes the driver, Unix sockets connect at once or not at all. Options and closing are direct
//! calls. No operation ever makes io_uring start a worker thread.
//!
//! Sends are direct calls, or queued ([`send_queue`](crate::send_queue)) where the kernel can be trusted with that. Those are
//! entries that may not wait and whose success makes no completion: they are over when the call that takes them returns.
//! A turn with sends goes on entering the kernel until it has taken them all and every completion there is has been
//! seen, so that none that failed can be among those left to the next turn.
//!
//! # Invariants
//!
//! - **U1** Memory that the kernel uses after a call has returned is: the queues, the entries of the buffer ring, the
//!   pool's buffers, the addresses of connects. All of it outlives the last operation that may use it, or is leaked. What
//!   is sent is not among it: the kernel has read it by then. But for the queues it lies in regions of [`guard`](crate::guard),
//!   which show in debug builds who breaks this.
//! - **U2** The ring is closed before anything else of U1 is freed.
//! - **U3** A slot is freed only by its operation's terminal completion, or by the driver itself for operations that the
//!   kernel does not hold.
//!
//! Those of the parts are with the parts: R in [`ring`], B in [`buffer_ring`].

mod buffer_ring;
pub(crate) mod entry;
mod ladder;
mod memory;
mod operations;
mod refusal;
mod ring;
mod select;
mod self_test;
mod traits;
mod watch;

#[cfg(test)]
mod tests;

pub use ladder::Rung;
pub(crate) use ring::Ring;
pub(crate) use select::{Setup, climb, examine};
pub use traits::Feature;
pub(crate) use traits::Traits;
pub(crate) use watch::Watch;

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use self::buffer_ring::BufferRing;
use self::memory::{halve, is_out_of_memory, with_memory};
use self::operations::Operations;
use crate::choice::DriverKind;
use crate::counters::DriverCounters;
use crate::driver::{Driver, Sockets, Unpark, Wait};
use crate::instant::Instant;
use crate::kernel::{Calls, Kernel, Linux, Queues};
use crate::op::{Completion, Key, Op, Outcome, Token};
use crate::options::DriverOptions;
use crate::pool::{BufferPool, Chunk};
use crate::send_queue::SendQueue;
use crate::socket::Socket;

/// Queuefuls of completions that did not fit which a turn brings out. The rest is left to the next: while the kernel works,
/// more may come.
const QUEUEFULS_MAX: usize = 64;

/// How long a driver that is dropped with operations in flight waits for their end.
const DROP_PATIENCE: Duration = Duration::from_millis(100);

/// The io_uring implementation of [`Driver`].
pub(crate) struct UringDriver<K: Kernel = Linux> {
    // Dropped first: U2.
    ring: K::Ring,
    operations: Operations<K>,
    kernel: K,
    /// Queued sends that were put into the submission queue, should a turn have failed since.
    offered: usize,
    /// The latest turn entered the ring with leave to sleep.
    may_sleep: bool,
    counters: Arc<DriverCounters>,
    now: Instant,
}

impl UringDriver<Linux> {
    /// Opens a driver for the calling thread. Where locked memory is short, with smaller queues than asked for.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn new(setup: Setup, options: &DriverOptions) -> io::Result<Self> {
        let mut options = options.clone();
        let mut result = with_memory(|| Self::on(Linux, setup, &options));
        while is_out_of_memory(&result) && halve(&mut options) {
            tracing::warn!(
                submission_entries = options.submission_entries,
                completion_entries = options.completion_entries,
                buffers_max = options.pool.buffers_max,
                "no memory for a ring, which counts towards the limit on locked memory; trying a smaller one"
            );
            result = with_memory(|| Self::on(Linux, setup, &options));
        }
        result
    }
}

impl<K: Kernel> UringDriver<K> {
    /// Opens a driver on `kernel`.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn on(kernel: K, setup: Setup, options: &DriverOptions) -> io::Result<Self> {
        let counters = Arc::new(DriverCounters::default());
        let (submissions, completions) = (options.submission_entries, options.completion_entries);
        let ring = kernel.ring(setup.rung, submissions, completions, setup.traits.absolute_timeout)?;
        let pool = BufferPool::new(&options.pool, Arc::clone(&counters))?;
        let buffers = BufferRing::register(&ring, pool.buffers_max())?;
        pool.publish_usage();
        let wake = kernel.wake()?;
        let operations =
            Operations::new(kernel.clone(), pool, buffers, wake, Arc::clone(&counters), setup.traits);
        let now = kernel.monotonic_now();
        Ok(Self { ring, operations, kernel, offered: 0, may_sleep: false, counters, now })
    }

    /// Entries of the submission queue, the completion queue and the buffer ring, as they came out.
    pub(crate) fn sizes(&self) -> (u32, u32, u32) {
        let (submissions, completions) = self.ring.sizes();
        (submissions, completions, self.operations.buffer_entries())
    }

    /// Moves what was staged when the turn began into the submission queue. What does not fit costs an enter for each
    /// queueful. True when the kernel took all it could be given; else the turn must not sleep.
    fn stage(&mut self, completions: &mut Vec<Completion>) -> io::Result<bool> {
        let mut left = self.operations.staged().len();
        if left == 0 {
            return Ok(true);
        }
        loop {
            // SAFETY: R2: `Operations` keeps what its entries point to.
            left -= unsafe { self.ring.fill(self.operations.staged(), left) };
            if left == 0 {
                return Ok(self.operations.staged().is_empty());
            }
            let taken = self.enter(Wait::Poll)?;
            // Completions make room for what was taken, and may stage more, which is left to the next turn.
            if self.reap(completions) == 0 && taken == 0 {
                return Ok(false);
            }
        }
    }

    fn enter(&mut self, wait: Wait) -> io::Result<u32> {
        self.counters.enters.increment();
        let taken = self.ring.enter(wait)?;
        self.counters.sqes.add(u64::from(taken));
        Ok(taken)
    }

    /// Takes every completion from the queue.
    fn reap(&mut self, completions: &mut Vec<Completion>) -> usize {
        let mut count = 0;
        for cqe in self.ring.completions() {
            count += 1;
            self.operations.complete(&cqe, completions);
        }
        self.counters.cqes.add(count as u64);
        count
    }

    /// Enters the kernel once, unless there is no reason to.
    fn wait(&mut self, wait: Wait) -> io::Result<()> {
        let is_idle = self.ring.pending() == 0 && !self.ring.wants_entering();
        self.may_sleep = false;
        if is_idle && (wait == Wait::Poll || self.ring.has_completions()) {
            return Ok(());
        }
        self.may_sleep = wait != Wait::Poll;
        self.enter(wait)?;
        Ok(())
    }

    /// What is left of a wait after the handlers of the latest turn have run.
    fn still(&self, wait: Wait) -> Wait {
        /// An older clock than this is read again before sleeping, lest the deadline has passed (see [`Ring::enter`]).
        const FRESH: Duration = Duration::from_millis(1);
        match wait {
            Wait::Until(Some(deadline))
                if deadline <= self.now
                    || deadline - self.now < FRESH && deadline <= self.kernel.monotonic_now() =>
            {
                Wait::Poll
            }
            wait => wait,
        }
    }

    /// Puts the queued sends into the submission queue, ahead of what is staged.
    fn offer_sends(&mut self, count: usize, completions: &mut Vec<Completion>) -> io::Result<()> {
        while self.offered < count {
            let room = self.ring.room();
            if room == 0 {
                self.make_room(completions)?;
                continue;
            }
            let sends =
                self.operations.sends.as_ref().expect("some are queued").queued_from(self.offered).take(room);
            let entries = (self.offered..)
                .zip(sends)
                .map(|(place, (socket, bytes))| entry::send(place, socket.as_raw(), bytes));
            // SAFETY: R2: the queue keeps the payloads until `conclude_sends`, which is when the kernel has taken the entries.
            self.offered += unsafe { self.ring.push(entries) };
        }
        Ok(())
    }

    /// Sees to it that the kernel has carried out every queued send and that all that failed are known; then tells of them.
    #[inline(never)]
    fn conclude_sends(
        &mut self,
        count: usize,
        completions: &mut Vec<Completion>,
        before: usize,
    ) -> io::Result<()> {
        while self.ring.pending() > 0 {
            self.make_room(completions)?;
        }
        if self.ring.has_overflowed() {
            // To the end, which there is: what overflows is not armed again before the next turn.
            self.flush_overflow(completions, usize::MAX)?;
        }
        self.offered = 0;
        let sends = self.operations.sends.as_mut().expect("some were queued");
        self.counters.bytes_sent.add(sends.conclude(completions, before));
        self.counters.sends_queued.add(count as u64);
        Ok(())
    }

    /// Has the kernel take what is in the submission queue, or as much as it can.
    fn make_room(&mut self, completions: &mut Vec<Completion>) -> io::Result<()> {
        /// What is given to a kernel that is out of memory.
        const RESPITE: Duration = Duration::from_millis(1);
        let taken = self.enter(Wait::Poll)?;
        if self.reap(completions) == 0 && taken == 0 {
            self.kernel.pause(RESPITE);
        }
        Ok(())
    }

    /// Has the kernel bring out the completions that did not fit, a queueful at a time.
    fn flush_overflow(&mut self, completions: &mut Vec<Completion>, queuefuls_max: usize) -> io::Result<()> {
        self.counters.overflows.increment();
        for _ in 0..queuefuls_max {
            self.enter(Wait::Poll)?;
            if self.reap(completions) == 0 || !self.ring.has_overflowed() {
                break;
            }
        }
        Ok(())
    }

    /// Closes the sockets in completions that nobody will see.
    fn discard(&mut self, completions: &mut Vec<Completion>) {
        for completion in completions.drain(..) {
            if let Outcome::Accepted(socket) = completion.outcome {
                self.operations.sockets.close(socket);
            }
        }
    }
}

impl<K: Kernel> Driver for UringDriver<K> {
    fn kind(&self) -> DriverKind {
        DriverKind::Uring
    }

    fn submit(&mut self, token: Token, op: Op) -> Key {
        self.operations.submit(token, op)
    }

    fn cancel(&mut self, key: Key) {
        self.operations.cancel(key);
    }

    fn turn(&mut self, wait: Wait, completions: &mut Vec<Completion>) -> io::Result<()> {
        let before = completions.len();
        let sends = self.operations.queued_sends();
        self.operations.take_ready(completions);
        self.operations.feed();
        if sends > 0 {
            self.offer_sends(sends, completions)?;
        }
        let all_staged = self.stage(completions)?;
        let may_sleep = all_staged && completions.len() == before && !self.operations.may_unpark();
        self.wait(if may_sleep { self.still(wait) } else { Wait::Poll })?;
        self.reap(completions);
        if sends > 0 {
            self.conclude_sends(sends, completions, before)?;
        }
        if self.ring.has_overflowed() {
            self.flush_overflow(completions, QUEUEFULS_MAX)?;
        }
        self.now = self.kernel.monotonic_now();
        self.operations.deliver_signals(completions);
        self.operations.pool().publish_usage();
        self.counters.ops_in_flight.set(self.operations.in_flight() as u64);
        Ok(())
    }

    fn is_asleep(&self) -> bool {
        self.may_sleep && self.ring.is_asleep()
    }

    fn peek(&mut self) -> bool {
        self.operations.has_work() || self.ring.wants_entering() || self.ring.has_completions()
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn clock(&self) -> Instant {
        self.kernel.monotonic_now()
    }

    fn wall_clock(&self) -> SystemTime {
        self.kernel.wall_clock()
    }

    fn entropy(&mut self, bytes: &mut [u8]) {
        self.kernel.entropy(bytes);
    }

    fn unparker(&self) -> Arc<dyn Unpark> {
        Arc::clone(self.operations.wake()) as Arc<dyn Unpark>
    }

    fn try_send(&mut self, socket: Socket, bytes: &[u8]) -> io::Result<usize> {
        self.operations.sockets.try_send(socket, bytes)
    }

    fn try_send_vectored(&mut self, socket: Socket, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.operations.sockets.try_send_vectored(socket, slices)
    }

    fn send_queue(&mut self) -> Option<&mut SendQueue> {
        self.operations.sends.as_mut()
    }

    fn try_receive(&mut self, socket: Socket) -> io::Result<Option<Chunk>> {
        self.operations.sockets.try_receive(socket)
    }

    fn close(&mut self, socket: Socket) {
        /// A debug build looks through this many operations, so that closing many sockets does not take for ever.
        const CHECKED_MAX: usize = 1024;
        debug_assert!(
            self.operations.len() > CHECKED_MAX || !self.operations.uses(socket.as_raw()),
            "{socket:?} is closed with an operation in flight"
        );
        if let Some(sends) = &mut self.operations.sends {
            sends.forget(socket);
        }
        self.operations.sockets.close(socket);
    }

    fn sockets(&mut self) -> &mut dyn Sockets {
        &mut self.operations.sockets
    }

    fn pool(&self) -> &BufferPool {
        self.operations.pool()
    }

    fn counters(&self) -> &Arc<DriverCounters> {
        &self.counters
    }

    fn origins(&self) -> Vec<String> {
        self.operations.sockets.origins(self.operations.pool())
    }

    fn in_flight(&self) -> usize {
        self.operations.in_flight()
    }

    fn audit(&self, violations: &mut Vec<String>) {
        if let Some(holdings) = self.ring.holdings() {
            self.operations.audit(&holdings, violations);
        }
    }

    fn audit_sleep(&self, deadline: Option<Instant>, violations: &mut Vec<String>) {
        if self.operations.has_work() {
            violations.push("the driver sleeps, with something left to do".into());
        }
        violations.extend(self.kernel.oversleeps(deadline));
    }

    fn quiesce(&mut self, patience: Duration) -> usize {
        /// A cancellation that found its operation just between two states is asked for again after this long.
        const AGAIN: Duration = Duration::from_millis(20);
        let deadline = self.kernel.monotonic_now() + patience;
        let mut completions = Vec::new();
        while self.in_flight() > 0 {
            self.operations.cancel_all();
            let until = deadline.min(self.kernel.monotonic_now() + AGAIN);
            loop {
                let before = self.in_flight();
                let result = self.turn(Wait::Until(Some(until)), &mut completions);
                self.discard(&mut completions);
                // As long as it helps, time is no matter: none of these turns sleeps.
                let helped = self.in_flight() < before;
                if result.is_err() || self.in_flight() == 0 || !helped && self.now >= deadline {
                    return self.in_flight();
                }
                if !helped && self.now >= until {
                    break;
                }
            }
        }
        0
    }
}

impl<K: Kernel> Drop for UringDriver<K> {
    fn drop(&mut self) {
        self.operations.close();
        if self.quiesce(DROP_PATIENCE) > 0 {
            // U1: the kernel ends the rest some time after the ring is closed.
            self.operations.leak();
        }
    }
}
