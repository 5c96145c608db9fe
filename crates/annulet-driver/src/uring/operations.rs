//! The table of operations: what each is waiting for.
//!
//! # States
//!
//! | state | of | left by | then |
//! |---|---|---|---|
//! | armed | accept, receive, connect | its end in the kernel | armed again, or done |
//! | ending | the same, after `cancel` | its end in the kernel | done |
//! | parked | receive, when no buffer was free | buffers are free | armed, for one buffer |
//! | watched | writable | a report of the watch, or `cancel` | done |
//! | active | signal | `cancel` | done |
//! | ended | a connect of a Unix socket, whatever failed before it began | | done |
//!
//! An operation armed in the kernel stays in the table until its terminal completion (the one without `CQE_F_MORE`),
//! whatever was asked of it; the others are ended here, by a completion made up on the spot.
//!
//! Entries for the kernel are staged in order and handed over at the next entry into it; nothing here enters.

mod audit;
mod completion;
mod operation;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use io_uring::squeue;

use self::operation::{Connecting, Kind, Operation, Progress};
use super::buffer_ring::BufferRing;
use super::entry;
use super::traits::Traits;
use crate::counters::DriverCounters;
use crate::guard::Lent;
use crate::kernel::{Calls, Kernel, RoomWatch, SignalNotes};
use crate::op::{Completion, Key, Op, Outcome, Token};
use crate::pool::BufferPool;
use crate::send_queue::SendQueue;
use crate::signals;
use crate::slots::Slots;
use crate::socket::Address;
use crate::sys;

/// Bytes a connection may receive before its receive is armed anew, behind those of others: a bound on what one kernel
/// pass delivers. Without it the kernel takes up to 33 buffers from one socket before it turns to the next.
const RECEIVE_CAP: u32 = 64 * 1024;

pub(super) struct Operations<K: Kernel> {
    kernel: K,
    table: Slots<Operation<K>>,
    /// Entries to hand to the kernel, in order.
    staged: VecDeque<squeue::Entry>,
    /// Receives that wait for a buffer, oldest first; keys of the past among them are passed over.
    parked: VecDeque<Key>,
    /// Completions that need no kernel.
    ready: Vec<Completion>,
    /// The signal operations: none or one, usually.
    signals: Vec<Key>,
    watch: Option<K::Watch>,
    /// What the next turn sends; none where the kernel does not tell short sends as they are.
    pub(super) sends: Option<SendQueue>,
    wake: Arc<K::Wake>,
    pool: BufferPool,
    buffers: BufferRing,
    pub(super) sockets: K::Calls,
    counters: Arc<DriverCounters>,
    traits: Traits,
    receive_cap: u32,
    /// The driver is going: its own operations are not armed again.
    is_closing: bool,
}

impl<K: Kernel> Operations<K> {
    pub(super) fn new(
        kernel: K,
        pool: BufferPool,
        buffers: BufferRing,
        wake: Arc<K::Wake>,
        counters: Arc<DriverCounters>,
        traits: Traits,
    ) -> Self {
        let receive_cap = if traits.receive_cap { RECEIVE_CAP.max(pool.buffer_size()) } else { 0 };
        let staged = VecDeque::from([entry::poll(entry::WAKE, wake.as_raw_fd())]);
        Self {
            table: Slots::starting_at(kernel.first_generation()),
            staged,
            parked: VecDeque::new(),
            ready: Vec::new(),
            signals: Vec::new(),
            watch: None,
            sends: traits.quiet_sends.then(SendQueue::new),
            wake,
            pool,
            buffers,
            sockets: kernel.calls(Arc::clone(&counters), false),
            counters,
            traits,
            receive_cap,
            is_closing: false,
            kernel,
        }
    }

    /// Operations whose last completion was not delivered.
    pub(super) fn in_flight(&self) -> usize {
        self.table.len() + self.ready.len() + self.queued_sends()
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Sends the next turn offers to the kernel.
    pub(super) fn queued_sends(&self) -> usize {
        self.sends.as_ref().map_or(0, SendQueue::len)
    }

    pub(super) fn pool(&self) -> &BufferPool {
        &self.pool
    }

    pub(super) fn buffer_entries(&self) -> u32 {
        self.buffers.capacity()
    }

    pub(super) fn wake(&self) -> &Arc<K::Wake> {
        &self.wake
    }

    /// Entries for the kernel. Each points to nothing, or to what its operation keeps (R2).
    pub(super) fn staged(&mut self) -> &mut VecDeque<squeue::Entry> {
        &mut self.staged
    }

    /// True when a turn has something to do or to tell without any news from the kernel.
    pub(super) fn has_work(&self) -> bool {
        !self.ready.is_empty()
            || !self.staged.is_empty()
            || self.queued_sends() > 0
            || !self.parked.is_empty() && (self.pool.has_free() || self.may_unpark())
    }

    /// Appends the completions made up since the last call.
    pub(super) fn take_ready(&mut self, completions: &mut Vec<Completion>) {
        completions.append(&mut self.ready);
    }

    pub(super) fn submit(&mut self, token: Token, op: Op) -> Key {
        match op {
            Op::Accept { listener } => {
                let listener = listener.as_raw();
                let key = self.insert(token, Kind::Accept { listener, progress: Progress::Armed });
                self.arm_accept(key, listener);
                key
            }
            Op::Receive { socket } => {
                let socket = socket.as_raw();
                let single = !self.traits.unix_end && self.sockets.is_unix(socket);
                let key = self.insert(token, Kind::Receive { socket, progress: Progress::Armed, single });
                self.arm_receive(key, socket, single);
                key
            }
            Op::Writable { socket } => {
                let socket = socket.as_raw();
                let key = self.insert(token, Kind::Writable { socket });
                if let Err(error) = self.watch_for_room(key, socket) {
                    self.end(key, Outcome::Failed(error));
                }
                key
            }
            Op::Connect { socket, address } => self.connect(token, socket.as_raw(), &address),
            Op::Signal { signals } => self.watch_signals(token, &signals),
        }
    }

    fn insert(&mut self, token: Token, kind: Kind<K>) -> Key {
        let key = self.table.insert(Operation { token, kind });
        debug_assert!(key.slot < entry::SEND, "the driver's own keys are never given out");
        key
    }

    fn connect(&mut self, token: Token, socket: RawFd, address: &Address) -> Key {
        match sys::to_sockaddr(address) {
            Ok(address) if address.is_unix() => {
                let key = self.insert(token, Kind::Writable { socket });
                let result = self.sockets.connect_at_once(socket, &address);
                self.end(key, result.map_or_else(Outcome::Failed, |()| Outcome::Connected));
                key
            }
            Ok(address) => {
                let connection = Lent::new(Connecting { socket, address });
                let key = self.insert(token, Kind::Connect { connection, progress: Progress::Armed });
                if let Some(Operation { kind: Kind::Connect { connection, .. }, .. }) = self.table.get(key) {
                    self.staged.push_back(entry::connect(key, socket, &connection.address));
                }
                key
            }
            Err(error) => self.fail(token, error),
        }
    }

    fn watch_signals(&mut self, token: Token, signals: &[i32]) -> Key {
        match self.kernel.signals(signals, &self.wake) {
            Ok(watch) => {
                let key = self.insert(token, Kind::Signal(Box::new(watch)));
                self.signals.push(key);
                key
            }
            Err(error) => self.fail(token, error),
        }
    }

    /// An operation that fails before it begins, told like any other.
    fn fail(&mut self, token: Token, error: io::Error) -> Key {
        let key = self.insert(token, Kind::Writable { socket: -1 });
        self.end(key, Outcome::Failed(error));
        key
    }

    /// Ends an operation that the kernel does not hold.
    fn end(&mut self, key: Key, outcome: Outcome) {
        if let Some(Operation { token, .. }) = self.table.remove(key) {
            self.ready.push(Completion { token, key, outcome, last: true });
        }
    }

    pub(super) fn cancel(&mut self, key: Key) {
        let Some(operation) = self.table.get_mut(key) else { return };
        match &mut operation.kind {
            Kind::Accept { progress, .. }
            | Kind::Receive { progress, .. }
            | Kind::Connect { progress, .. } => match progress {
                Progress::Armed => {
                    *progress = Progress::Ending;
                    self.staged.push_back(entry::cancel(key));
                }
                Progress::Ending => {}
                Progress::Parked => self.end(key, Outcome::Cancelled),
            },
            Kind::Writable { socket } => {
                if let Some(watch) = &self.watch {
                    watch.remove(*socket);
                }
                self.end(key, Outcome::Cancelled);
            }
            Kind::Signal(watch) => {
                // What was caught before is told before.
                let (token, caught) = (operation.token, watch.take());
                self.ready.extend(signals::numbers(caught).map(|number| signal(token, key, number)));
                self.signals.retain(|signal| *signal != key);
                self.end(key, Outcome::Cancelled);
            }
        }
    }

    /// Asks for the end of everything. To be repeated as long as operations are left.
    pub(super) fn cancel_all(&mut self) {
        for key in self.table.keys() {
            let Some(operation) = self.table.get_mut(key) else { continue };
            match &mut operation.kind {
                Kind::Accept { progress, .. }
                | Kind::Receive { progress, .. }
                | Kind::Connect { progress, .. }
                    if *progress != Progress::Parked =>
                {
                    *progress = Progress::Ending;
                }
                _ => self.cancel(key),
            }
        }
        self.staged.push_back(entry::cancel_all());
    }

    /// From now on the driver's own operations are not armed again.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
    }

    fn arm_accept(&mut self, key: Key, listener: RawFd) {
        self.staged.push_back(entry::accept(key, listener, self.sockets.accept_flags()));
    }

    fn arm_receive(&mut self, key: Key, socket: RawFd, single: bool) {
        self.staged.push_back(if single {
            entry::receive_once(key, socket)
        } else {
            entry::receive(key, socket, self.receive_cap)
        });
    }

    fn watch_for_room(&mut self, key: Key, socket: RawFd) -> io::Result<()> {
        if self.watch.is_none() {
            let watch = self.kernel.watch()?;
            self.staged.push_back(entry::poll(entry::WATCH, watch.as_raw_fd()));
            self.watch = Some(watch);
        }
        self.watch.as_ref().expect("made above").add(socket, key)
    }

    /// Gives the kernel the buffers that came back since the last turn, and arms the oldest parked receives if there
    /// are enough of them.
    pub(super) fn feed(&mut self) {
        self.buffers.publish(&self.pool);
        if self.may_unpark() {
            self.unpark();
        }
    }

    /// True when receives are parked and an eighth of the pool is with the kernel: not sooner, lest every single buffer
    /// that comes back cause a turn of its own. Leases never take more than three quarters of a pool, so that share
    /// does come back whatever handlers do.
    ///
    /// While this is true the driver must not sleep: those armed may have nothing to receive, and one that is still
    /// parked may.
    pub(super) fn may_unpark(&self) -> bool {
        if self.parked.is_empty() {
            return false;
        }
        let usage = self.pool.usage();
        usage.with_kernel >= (usage.total / 8).max(1)
    }

    /// Arms as many parked receives as there are buffers. More would only fail and be parked again, behind the others.
    /// Whichever has nothing to receive stays armed and leaves its buffer to the next, a turn later.
    ///
    /// Each is armed for one buffer only: the first of them, with more to receive than there are buffers, would
    /// otherwise starve those behind it again.
    fn unpark(&mut self) {
        let mut room = self.pool.usage().with_kernel;
        while room > 0 {
            let Some(key) = self.parked.pop_front() else { return };
            if let Some(Operation { kind: Kind::Receive { socket, progress, .. }, .. }) =
                self.table.get_mut(key)
                && *progress == Progress::Parked
            {
                *progress = Progress::Armed;
                self.staged.push_back(entry::receive_once(key, *socket));
                self.counters.rearms.increment();
                room -= 1;
            }
        }
    }

    /// A receive that found no buffer waits for one, in turn. Growing the pool comes first.
    fn park(&mut self, key: Key) {
        if self.pool.usage().total == self.pool.buffers_max() {
            self.counters.starved_receives.increment();
        } else if !self.pool.has_free() {
            self.pool.grow();
        }
        if let Some(Operation { kind: Kind::Receive { progress, .. }, .. }) = self.table.get_mut(key) {
            *progress = Progress::Parked;
        }
        if !cfg!(annulet_planted = "no-rearm-after-enobufs") {
            self.parked.push_back(key);
        }
    }

    /// True when an operation uses this socket. Looks at every one.
    pub(super) fn uses(&self, descriptor: RawFd) -> bool {
        self.table.values().any(|operation| match &operation.kind {
            Kind::Accept { listener: socket, .. }
            | Kind::Receive { socket, .. }
            | Kind::Writable { socket } => *socket == descriptor,
            Kind::Connect { connection, .. } => connection.socket == descriptor,
            Kind::Signal(_) => false,
        })
    }

    /// Leaves for ever what operations still in the kernel may touch: the addresses in the table, the pool, the entries
    /// of the buffer ring.
    pub(super) fn leak(&mut self) {
        std::mem::forget(std::mem::replace(&mut self.table, Slots::new()));
        std::mem::forget(self.pool.clone());
        self.buffers.leak();
    }
}

fn signal(token: Token, key: Key, number: i32) -> Completion {
    Completion { token, key, outcome: Outcome::Signal(number), last: false }
}
