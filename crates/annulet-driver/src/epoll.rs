//! Edge-triggered readiness, for kernels and containers without io_uring. Works from Linux 5.10.
//!
//! # How operations are carried out
//!
//! A descriptor is registered once, when its first operation is submitted, and stays so until it is closed. Edges
//! are remembered per descriptor ([`table`]), also while no operation wants them.
//!
//! | operation | how |
//! |---|---|
//! | `Receive` | One `recv` per edge into a pool buffer. A short read is an empty socket, for new bytes make a new edge, *unless* the edge said that the peer finished or the connection failed: then read on, to the end or the error queued behind the bytes. Full buffers are read on, [`serve::BUFFERS_PER_TURN`] a turn. |
//! | `Accept` | `accept4` until the queue is empty, [`serve::ACCEPTS_PER_TURN`] a turn. Several drivers may accept from one listener: each gets every edge and takes what it finds (edge-triggered, no EPOLLEXCLUSIVE: an edge given to one driver whose `Accept` has just ended would be lost to the others). |
//! | `Writable` | The send buffer has had room since the last send that filled it. Watched for from the first such operation of a connection: sooner, a TCP connection would cost one needless event, a Unix one an event for each message its peer takes. Each such operation asks epoll anew, which looks at the socket: no edge can be missed. |
//! | `Connect` | `connect`, then room or failure, then `SO_ERROR`. On a Unix socket whose listener's queue is full it fails at once with EAGAIN (unix(7)): try again after a pause. |
//! | `Signal` | A handler notes the signal and wakes the driver. |
//!
//! What is left over when a turn's share is used up stands on a *ready list*; while it holds anything, a turn does
//! not sleep. What the kernel need not be asked about (cancellations, connections that succeeded at once) ends in the
//! next turn, so that `submit` and `cancel` never call back.
//!
//! Wake-ups are writes to an eventfd that is watched for edges and never read.

mod audit;
mod operation;
mod serve;
mod sockets;
mod table;

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use self::operation::{Ending, Operation};
use self::sockets::EpollSockets;
use self::table::{Flag, Place, Side, Table, WAKE};
use crate::choice::DriverKind;
use crate::counters::DriverCounters;
use crate::driver::{Driver, Sockets, Unpark, Wait};
use crate::instant::Instant;
use crate::kernel::{Calls, Kernel, Linux, Polling};
use crate::op::{Completion, Key, Op, Token};
use crate::options::DriverOptions;
use crate::pool::{BufferPool, Chunk};
use crate::slots::Slots;
use crate::socket::Socket;
use crate::sys::epoll::READABLE;

/// Events taken from the kernel at a time. More stay queued there, in order. No more than the buffers a pool usually
/// starts with: one message from each connection does not make it grow, and what a turn touches stays in the cache.
const EVENTS_PER_TURN: usize = 128;

/// The epoll implementation of [`Driver`].
pub(crate) struct EpollDriver<K: Kernel = Linux> {
    kernel: K,
    poller: K::Poller,
    wake: Arc<K::Wake>,
    sockets: EpollSockets<K::Calls>,
    pool: BufferPool,
    counters: Arc<DriverCounters>,
    operations: Slots<Operation>,
    /// Operations whose end is known and will be told by the next turn, in this order.
    ended: Vec<(Key, Ending)>,
    /// Descriptors to be read from without a new edge.
    ready: Vec<Place>,
    /// The ready list of the turn under way; kept for its memory.
    serving: Vec<Place>,
    /// Descriptors whose bytes wait for a buffer, first come first served.
    starved: Vec<Place>,
    signals: Vec<(Key, K::Signals)>,
    /// The latest wait was allowed to sleep.
    has_slept: bool,
    now: Instant,
}

impl EpollDriver<Linux> {
    /// # Errors
    /// Descriptor exhaustion, or no address space for the pool.
    pub(crate) fn new(options: &DriverOptions) -> io::Result<Self> {
        Self::on(Linux, options)
    }
}

impl<K: Kernel> EpollDriver<K> {
    /// Opens a driver on `kernel`.
    ///
    /// # Errors
    /// As for [`new`](EpollDriver::new).
    pub(crate) fn on(kernel: K, options: &DriverOptions) -> io::Result<Self> {
        let counters = Arc::new(DriverCounters::default());
        let pool = BufferPool::new(&options.pool, Arc::clone(&counters))?;
        pool.publish_usage();
        let poller = kernel.poller(EVENTS_PER_TURN)?;
        let wake = kernel.wake()?;
        poller.watch(wake.as_raw_fd(), READABLE, WAKE)?;
        Ok(Self {
            poller,
            wake,
            sockets: EpollSockets {
                kernel: kernel.calls(Arc::clone(&counters), true),
                table: Table::default(),
            },
            pool,
            counters,
            operations: Slots::starting_at(kernel.first_generation()),
            ended: Vec::new(),
            ready: Vec::new(),
            serving: Vec::new(),
            starved: Vec::new(),
            signals: Vec::new(),
            has_slept: false,
            now: kernel.monotonic_now(),
            kernel,
        })
    }

    /// True when a turn has something to do whatever the kernel says.
    fn has_work(&self) -> bool {
        !self.ready.is_empty()
            || !self.ended.is_empty()
            || self.poller.filled() > 0
            || (!self.starved.is_empty() && self.pool.has_free())
    }

    /// Asks the kernel for events, unless `peek` did.
    fn wait(&mut self, wait: Wait) -> io::Result<()> {
        if self.poller.filled() > 0 {
            return Ok(());
        }
        let limit = match wait {
            _ if self.has_work() => Some(Duration::ZERO),
            Wait::Poll => Some(Duration::ZERO),
            Wait::Until(None) => None,
            // A fresh look at the clock: handlers have run since the latest turn, and the kernel wants a duration.
            Wait::Until(Some(deadline)) => Some(deadline - self.kernel.monotonic_now()),
        };
        self.ask(limit)
    }

    fn ask(&mut self, limit: Option<Duration>) -> io::Result<()> {
        let events = self.poller.wait(limit)?;
        self.has_slept = limit != Some(Duration::ZERO);
        self.counters.enters.increment();
        self.counters.cqes.add(events as u64);
        Ok(())
    }
}

impl<K: Kernel> Driver for EpollDriver<K> {
    fn kind(&self) -> DriverKind {
        DriverKind::Epoll
    }

    fn submit(&mut self, token: Token, op: Op) -> Key {
        self.start(token, op)
    }

    fn cancel(&mut self, key: Key) {
        self.stop(key);
    }

    fn turn(&mut self, wait: Wait, completions: &mut Vec<Completion>) -> io::Result<()> {
        self.wait(wait)?;
        self.now = self.kernel.monotonic_now();
        if !self.ended.is_empty() {
            self.tell_ended(completions);
        }
        self.serve_ready(completions);
        for index in 0..self.poller.filled() {
            let (flags, data) = self.poller.event(index);
            self.handle_event(flags, data, completions);
        }
        self.poller.clear();
        self.pool.publish_usage();
        self.counters.ops_in_flight.set(self.operations.len() as u64);
        Ok(())
    }

    fn is_asleep(&self) -> bool {
        !self.has_work() && self.poller.is_asleep()
    }

    fn peek(&mut self) -> bool {
        // A broken epoll descriptor is reported by the turn.
        self.has_work() || self.ask(Some(Duration::ZERO)).is_err() || self.poller.filled() > 0
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
        Arc::clone(&self.wake) as Arc<dyn Unpark>
    }

    fn try_send(&mut self, socket: Socket, bytes: &[u8]) -> io::Result<usize> {
        match self.sockets.kernel.try_send(socket, bytes) {
            Ok(taken) if taken == bytes.len() => Ok(taken),
            result => self.note_sent(socket, bytes.len(), result),
        }
    }

    fn try_send_vectored(&mut self, socket: Socket, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let result = self.sockets.kernel.try_send_vectored(socket, slices);
        self.note_sent(socket, slices.iter().map(|slice| slice.len()).sum(), result)
    }

    fn try_receive(&mut self, socket: Socket) -> io::Result<Option<Chunk>> {
        self.sockets.kernel.try_receive(socket)
    }

    fn close(&mut self, socket: Socket) {
        debug_assert!(!self.is_busy(socket), "{socket:?} is closed with an operation in flight");
        if let Some(watched) = self.sockets.table.get(socket)
            && watched.is(Flag::SHARED)
            && watched.is(Flag::WATCHED)
        {
            self.poller.forget(socket.as_raw());
        }
        self.sockets.table.leave(socket);
        self.sockets.kernel.close(socket);
    }

    fn sockets(&mut self) -> &mut dyn Sockets {
        &mut self.sockets
    }

    fn pool(&self) -> &BufferPool {
        &self.pool
    }

    fn counters(&self) -> &Arc<DriverCounters> {
        &self.counters
    }

    fn origins(&self) -> Vec<String> {
        self.sockets.kernel.origins(&self.pool)
    }

    fn in_flight(&self) -> usize {
        self.operations.len()
    }

    fn audit(&self, violations: &mut Vec<String>) {
        self.look(violations);
    }

    fn audit_sleep(&self, deadline: Option<Instant>, violations: &mut Vec<String>) {
        let is_fed = !self.starved.is_empty() && self.pool.has_free();
        if !self.ready.is_empty() || !self.ended.is_empty() || is_fed {
            violations.push("the driver sleeps, with something left to do".into());
        }
        violations.extend(self.kernel.oversleeps(deadline));
    }

    /// Needs no patience: the kernel holds nothing.
    fn quiesce(&mut self, _patience: Duration) -> usize {
        for key in self.operations.keys() {
            self.stop(key);
        }
        // Nothing but ends is told here, so no accepted socket can be among what is discarded.
        self.tell_ended(&mut Vec::new());
        self.pool.publish_usage();
        self.counters.ops_in_flight.set(0);
        self.operations.len()
    }
}

impl<K: Kernel> EpollDriver<K> {
    /// Notes when a send filled the send buffer. Out of line, for most take everything at once and need no note.
    #[inline(never)]
    fn note_sent(&mut self, socket: Socket, offered: usize, result: io::Result<usize>) -> io::Result<usize> {
        let is_full = match &result {
            Ok(taken) => *taken < offered,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        if is_full && let Some(watched) = self.sockets.table.get(socket) {
            watched.clear(Flag::ROOM);
        }
        result
    }

    /// True while an operation on the socket is in flight, cancelled ones included.
    fn is_busy(&mut self, socket: Socket) -> bool {
        let is_watching = |watched: &mut table::Watched| {
            watched.slot(Side::Read).is_some() || watched.slot(Side::Write).is_some()
        };
        self.sockets.table.get(socket).is_some_and(is_watching)
            || self
                .ended
                .iter()
                .any(|(key, _)| self.operations.get(*key).is_some_and(|operation| operation.socket == socket))
    }
}

#[cfg(test)]
mod tests;
