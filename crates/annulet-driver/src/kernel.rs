//! What a driver needs of the kernel, so that the same driver also runs on a simulated one.
//!
//! The line is drawn at system calls and at the memory that the kernel shares with a process, not at the driver's
//! own interface: what a driver does about short queues, late completions and buffers that run out is then the same
//! code in a simulation and in production. Each driver is compiled for each kernel, so the seam costs nothing.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use io_uring::{cqueue, squeue};
use socket2::SockAddr;

use crate::counters::DriverCounters;
use crate::driver::{Sockets, Unpark, Wait};
use crate::instant::Instant;
use crate::op::Key;
use crate::pool::{BufferPool, Chunk, Filled};
use crate::signals::SignalWatch;
use crate::socket::{Address, Socket};
use crate::sys::epoll::Poller;
use crate::sys::{self, KernelSockets, WakeFd};
use crate::uring::{Ring, Rung, Watch};

/// A kernel, as seen by one driver.
pub(crate) trait Kernel: Clone + 'static {
    type Ring: Queues;
    /// What wakes the driver: it becomes readable.
    type Wake: Unpark + AsRawFd + 'static;
    type Watch: RoomWatch;
    type Signals: SignalNotes;
    type Calls: Calls;
    type Poller: Polling;

    /// A ring for the calling thread. `has_absolute_timeout`: whether this kernel takes deadlines.
    ///
    /// # Errors
    /// See [`Ring::new`].
    fn ring(
        &self,
        rung: Rung,
        submissions: u32,
        completions: u32,
        has_absolute_timeout: bool,
    ) -> io::Result<Self::Ring>;

    /// # Errors
    /// Descriptor exhaustion.
    fn wake(&self) -> io::Result<Arc<Self::Wake>>;

    /// # Errors
    /// Descriptor exhaustion.
    fn watch(&self) -> io::Result<Self::Watch>;

    /// Notes `signals` from now on and rings `wake` for each.
    ///
    /// # Errors
    /// For signals that do not exist or cannot be caught.
    fn signals(&self, signals: &[i32], wake: &Arc<Self::Wake>) -> io::Result<Self::Signals>;

    /// Calls on sockets, counted. `nonblocking`: the mode they are opened in.
    fn calls(&self, counters: Arc<DriverCounters>, nonblocking: bool) -> Self::Calls;

    /// A poller that takes up to `capacity` events at a time.
    ///
    /// # Errors
    /// Descriptor exhaustion.
    fn poller(&self, capacity: usize) -> io::Result<Self::Poller>;

    fn monotonic_now(&self) -> Instant;

    fn wall_clock(&self) -> SystemTime;

    fn entropy(&self, bytes: &mut [u8]);

    /// Stops the calling thread for this long.
    fn pause(&self, time: Duration);

    /// Until when the driver sleeps (`None`: for ever), on a kernel that does not keep its caller.
    fn sleeps_until(&self) -> Option<Option<Instant>> {
        None
    }

    /// What is wrong when the driver sleeps for longer than until `deadline`.
    fn oversleeps(&self, deadline: Option<Instant>) -> Option<String> {
        /// Time that passes between a look at the clock and the call that was computed from it.
        const SLACK: Duration = Duration::from_millis(1);
        let latest = deadline? + SLACK;
        let until = self.sleeps_until()?;
        until
            .is_none_or(|until| until > latest)
            .then(|| "the driver sleeps for longer than it may".to_owned())
    }

    /// The generation of a slot's first tenant.
    fn first_generation(&self) -> u32 {
        0
    }
}

/// The two queues of a ring. What the methods of the real one say holds for all.
pub(crate) trait Queues {
    type Completions<'a>: Iterator<Item = cqueue::Entry>
    where
        Self: 'a;

    /// Entries of the submission and of the completion queue.
    fn sizes(&self) -> (u32, u32);

    /// Makes `entries` buffers' places at `address` the buffers of group `group`.
    ///
    /// # Errors
    /// The kernel's.
    ///
    /// # Safety
    /// They are mapped, and stay so until the ring is closed (B1 of the buffer ring).
    unsafe fn register_buffers(&self, address: u64, entries: u32, group: u16) -> io::Result<()>;

    /// Moves up to `count` staged entries, oldest first, into the submission queue as long as it has room; returns how
    /// many.
    ///
    /// # Safety
    /// R2 holds for each of them.
    unsafe fn fill(&mut self, staged: &mut VecDeque<squeue::Entry>, count: usize) -> usize {
        let count = count.min(staged.len()).min(self.room());
        // SAFETY: the caller's promise.
        unsafe { self.push(staged.drain(..count)) }
    }

    /// Entries the submission queue has room for.
    fn room(&mut self) -> usize;

    /// Puts entries, no more than there is [`room`](Self::room) for, into the submission queue; returns how many.
    ///
    /// # Safety
    /// R2 holds for each of them.
    unsafe fn push(&mut self, entries: impl Iterator<Item = squeue::Entry>) -> usize;

    /// Entries in the submission queue that the kernel has not taken.
    fn pending(&mut self) -> u32;

    /// Hands the submission queue to the kernel, has it work out completions, and waits for one as `wait` allows.
    /// Returns how many entries it took, by the queue's head: what was taken is never handed over twice, whatever the
    /// call says.
    ///
    /// Returning early, with nothing taken or nothing completed, is normal: the wait was interrupted (EINTR) or timed
    /// out (ETIME), the kernel is short of memory (EAGAIN, ENOMEM), or completions must be taken first (EBUSY).
    ///
    /// `wait` must not be an instant that has passed: on an expired timer the kernel still goes to sleep and back,
    /// 17 µs against 0.2 for [`Wait::Poll`].
    ///
    /// # Errors
    /// Any other: the ring is unusable.
    fn enter(&mut self, wait: Wait) -> io::Result<u32>;

    /// The completions that are there now. They are given up, all at once, when the iterator is dropped.
    fn completions(&mut self) -> Self::Completions<'_>;

    /// True when completions wait in the queue.
    fn has_completions(&mut self) -> bool;

    /// True when the kernel has something that only entering it brings forth: work left for this thread, or completions
    /// that did not fit into the queue.
    fn wants_entering(&mut self) -> bool;

    /// True when completions that did not fit wait in the kernel.
    fn has_overflowed(&mut self) -> bool;

    /// What the kernel holds, from one that says so.
    fn holdings(&self) -> Option<Holdings> {
        None
    }

    /// True while the sleep lasts that the latest [`enter`](Self::enter) was allowed, on a kernel that does not keep its
    /// caller.
    fn is_asleep(&self) -> bool {
        false
    }
}

/// What a kernel holds for a ring.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    /// User data of the operations that have not ended.
    pub(crate) operations: Vec<u64>,
    /// User data of those that have ended, or have not begun, and of which the driver has yet to hear.
    pub(crate) under_way: Vec<u64>,
    /// Buffers to be filled, or filled and not told of yet.
    pub(crate) buffers: Vec<u16>,
}

/// Watching for room to send, as [`Watch`] does it.
pub(crate) trait RoomWatch: AsRawFd {
    /// Reports `key` once, as soon as `socket` has room or has failed.
    ///
    /// # Errors
    /// The kernel's: memory, or a limit on watches.
    fn add(&self, socket: RawFd, key: Key) -> io::Result<()>;

    /// Takes back a report not yet taken.
    fn remove(&self, socket: RawFd);

    /// Takes all reports: the ring hears only of new ones.
    fn take(&mut self, report: impl FnMut(Key));
}

/// Readiness told by edges: epoll(7), as [`Poller`] does it.
pub(crate) trait Polling {
    /// Reports edges of `interest` from now on, with `data`, beginning with the present state: both adding and
    /// changing look at the file at once, so no edge is lost between the last failed attempt and this call.
    ///
    /// # Errors
    /// ENOSPC (`fs.epoll.max_user_watches`), ENOMEM, EPERM for a file that cannot be watched.
    fn watch(&self, descriptor: RawFd, interest: u32, data: u64) -> io::Result<()>;

    /// The same for a descriptor that is watched already: what is true at present is reported once more.
    ///
    /// # Errors
    /// As for [`watch`](Self::watch).
    fn watch_again(&self, descriptor: RawFd, interest: u32, data: u64) -> io::Result<()>;

    /// Stops watching. Needed only for a file that stays open under another descriptor; closing the last one does it.
    fn forget(&self, descriptor: RawFd);

    /// Waits for events, no longer than `limit`, and returns how many there are: 0 also when a signal interrupted.
    ///
    /// # Errors
    /// Only for a broken epoll descriptor.
    fn wait(&mut self, limit: Option<Duration>) -> io::Result<usize>;

    /// Number of events of the latest wait.
    fn filled(&self) -> usize;

    /// Flags and data of one of the [`filled`](Self::filled) events.
    fn event(&self, index: usize) -> (u32, u64);

    /// Forgets the events of the latest wait.
    fn clear(&mut self);

    /// True when a file is as any of `awaited` has it and no event is to come that says so, from a kernel that tells.
    fn is_silent(&self, descriptor: RawFd, awaited: u32) -> bool {
        let _ = (descriptor, awaited);
        false
    }

    /// True while the sleep lasts that the latest [`wait`](Self::wait) was allowed, on a kernel that does not keep its
    /// caller.
    fn is_asleep(&self) -> bool {
        false
    }
}

/// Signals noted as they arrive.
pub(crate) trait SignalNotes {
    /// Those that arrived since the last call: bit `n` for signal `n`.
    fn take(&self) -> u64;
}

/// The calls on sockets that are not [`Sockets`]'.
pub(crate) trait Calls: Sockets {
    /// Flags of accepted sockets.
    fn accept_flags(&self) -> i32;

    /// Counts a connection the kernel handed over.
    fn accepted(&self, descriptor: RawFd) -> Socket;

    /// [`Driver::try_send`](crate::Driver::try_send).
    fn try_send(&self, socket: Socket, bytes: &[u8]) -> io::Result<usize>;

    /// [`Driver::try_send_vectored`](crate::Driver::try_send_vectored).
    fn try_send_vectored(&self, socket: Socket, slices: &[io::IoSlice<'_>]) -> io::Result<usize>;

    /// [`Driver::try_receive`](crate::Driver::try_receive).
    fn try_receive(&self, socket: Socket) -> io::Result<Option<Chunk>>;

    /// Closes the descriptor.
    fn close(&mut self, socket: Socket);

    /// Receives into the pool's first free buffer; no bytes are the end of the stream. `None` when no buffer is free: the
    /// socket was not asked.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, else the connection's error.
    fn receive_pooled(&self, socket: RawFd, pool: &BufferPool) -> Option<io::Result<Filled>>;

    /// Takes a connection from a listener in non-blocking mode.
    ///
    /// # Errors
    /// `WouldBlock` when the queue is empty; see accept(2) for the many others.
    fn accept(&self, listener: RawFd) -> io::Result<RawFd>;

    /// Starts to connect a socket in non-blocking mode.
    ///
    /// # Errors
    /// EINPROGRESS when the answer will come later, also where the call was interrupted (connect(2)).
    fn connect(&self, socket: Socket, address: &Address) -> io::Result<()>;

    /// How an open socket came to be and where its ends are, in debug builds of drivers that keep a note of it.
    fn story(&self, socket: RawFd) -> Option<Rc<str>> {
        let _ = socket;
        None
    }

    /// [`Driver::origins`](crate::Driver::origins), of a driver with this pool.
    fn origins(&self, pool: &BufferPool) -> Vec<String> {
        let _ = pool;
        Vec::new()
    }

    /// True for a Unix socket.
    fn is_unix(&self, socket: RawFd) -> bool;

    /// Connects a Unix socket, which either succeeds at once or fails: with EAGAIN where the listener's queue is full
    /// (unix(7)). The ring would give that case to a kernel thread that waits, one for each.
    ///
    /// # Errors
    /// connect(2)'s.
    fn connect_at_once(&self, socket: RawFd, address: &SockAddr) -> io::Result<()>;
}

/// The kernel this runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linux;

impl Kernel for Linux {
    type Ring = Ring;
    type Wake = WakeFd;
    type Watch = Watch;
    type Signals = SignalWatch;
    type Calls = KernelSockets;
    type Poller = Poller;

    fn ring(
        &self,
        rung: Rung,
        submissions: u32,
        completions: u32,
        has_absolute_timeout: bool,
    ) -> io::Result<Ring> {
        Ring::new(rung, submissions, completions, has_absolute_timeout)
    }

    fn wake(&self) -> io::Result<Arc<WakeFd>> {
        WakeFd::new().map(Arc::new)
    }

    fn watch(&self) -> io::Result<Watch> {
        Watch::new()
    }

    fn signals(&self, signals: &[i32], wake: &Arc<WakeFd>) -> io::Result<SignalWatch> {
        SignalWatch::new(signals, wake)
    }

    fn calls(&self, counters: Arc<DriverCounters>, nonblocking: bool) -> KernelSockets {
        KernelSockets::new(counters, nonblocking)
    }

    fn poller(&self, capacity: usize) -> io::Result<Poller> {
        Poller::new(capacity)
    }

    #[inline]
    fn monotonic_now(&self) -> Instant {
        sys::monotonic_now()
    }

    fn wall_clock(&self) -> SystemTime {
        sys::wall_clock()
    }

    fn entropy(&self, bytes: &mut [u8]) {
        sys::entropy(bytes);
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}
