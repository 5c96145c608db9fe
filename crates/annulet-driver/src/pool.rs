//! The receive buffer pool and its leases.
//!
//! # States of a buffer
//!
//! ```text
//!            publish                 kernel filled it, lease handed out
//!   free ───────────────▶ with kernel ───────────────────────────▶ leased
//!    ▲                         │ filled, but leasing it would                │
//!    │                         ▼ empty the pool: copied to the heap          │
//!    └─────────────────────────┴─────────────────────────────────────────────┘
//!                                             lease dropped (exactly once)
//! ```
//!
//! On io_uring "with kernel" is the provided-buffer ring. On epoll it is the moment of the `recv` call, during which
//! nobody else can ask, so the buffer goes from free to leased in one step (`BufferPool::fill_first`).
//!
//! # Progress guarantee
//!
//! Handlers may keep leases for as long as they like, so leases alone must never empty the pool. Of a pool that
//! has reached its maximum, a share ([`BufferPool::reserve`], a quarter, at least two buffers) is never leased:
//! what arrives while only that share is left is copied to exact-size heap memory and the buffer goes straight
//! back. A parked receive is therefore always served in the end, without any handler's cooperation, and the
//! memory so used counts against each connection's unread limit.
//!
//! # Invariants
//!
//! - **P1** The region is mapped once, at its maximum size, and released when the last of pool and leases is gone. The driver
//!   keeps a handle, or leaks one, for as long as the kernel may write.
//! - **P2** Buffer `id` is the `buffer_size` bytes at `id * buffer_size`; ids are below `buffers_max`, so a buffer
//!   lies within the region.
//! - **P3** A buffer is in exactly one state. Only a `Leased` buffer is read or written from here, and only through
//!   its one lease; the kernel writes only buffers that are `WithKernel`, and within `BufferPool::fill_first` the
//!   first free one, which nobody can take meanwhile. What debug builds do besides, to show who breaks this, is in `rest`.
//! - **P4** Pool and leases stay on one thread (`Rc`).
//! - **P5** Every byte of the region was initialised by the zeroing map, so reading any of it is defined.

mod chunk;
mod rest;

pub use chunk::Chunk;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use self::rest::Rest;
use crate::counters::DriverCounters;
use crate::guard::Region;
use crate::options::PoolOptions;

/// Number of a buffer within its pool.
pub(crate) type BufferId = u16;

/// State of one buffer. Free buffers form a list, the one returned last in front: the state of each is the number of
/// the next, or [`State::LAST`]. So a transition reads and writes one entry, and the list needs no memory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State(u16);

impl State {
    /// Not yet part of the pool.
    const UNUSED: Self = Self(u16::MAX);
    const LEASED: Self = Self(u16::MAX - 1);
    const WITH_KERNEL: Self = Self(u16::MAX - 2);
    /// Free, and the last of the list.
    const LAST: Self = Self(u16::MAX - 3);

    const fn is_free(self) -> bool {
        self.0 <= Self::LAST.0
    }
}

/// A reactor's receive buffers. Cloning gives another handle on the same pool.
#[derive(Clone)]
pub struct BufferPool(Rc<Shared>);

struct Shared {
    region: Region,
    buffer_size: u32,
    buffers_max: u32,
    total: Cell<u32>,
    leased: Cell<u32>,
    /// Leases beyond which the pool grows or, full-grown, copies.
    leased_max: Cell<u32>,
    with_kernel: Cell<u32>,
    /// The first free buffer, as if it were the next of another.
    free: Cell<State>,
    /// One per buffer the pool may ever have.
    states: Box<[Cell<State>]>,
    counters: Arc<DriverCounters>,
    rest: Rest,
    /// Whom the bytes of each lease were received on, where that is known. Empty in release builds.
    origins: Box<[RefCell<Option<Rc<str>>>]>,
}

/// How many buffers are in which state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUsage {
    /// Buffers in the pool.
    pub total: u32,
    /// Buffers the kernel may fill now.
    pub with_kernel: u32,
    /// Buffers out as leases.
    pub leased: u32,
    /// Buffers waiting to be given to the kernel.
    pub free: u32,
}

impl BufferPool {
    /// Maps a pool.
    ///
    /// # Errors
    /// The kernel's, when the address space cannot be mapped.
    pub fn new(options: &PoolOptions, counters: Arc<DriverCounters>) -> std::io::Result<Self> {
        let PoolOptions { buffers, buffers_max, buffer_size } = options.clamped();
        let pool = Self(Rc::new(Shared {
            region: Region::map(buffers_max as usize * buffer_size as usize)?,
            buffer_size,
            buffers_max,
            total: Cell::new(0),
            leased: Cell::new(0),
            leased_max: Cell::new(0),
            with_kernel: Cell::new(0),
            free: Cell::new(State::LAST),
            states: vec![Cell::new(State::UNUSED); buffers_max as usize].into_boxed_slice(),
            counters,
            rest: Rest::new(buffers_max, buffer_size),
            origins: (0..if cfg!(debug_assertions) { buffers_max } else { 0 })
                .map(|_| RefCell::default())
                .collect(),
        }));
        pool.add(buffers);
        Ok(pool)
    }

    /// Bytes per buffer.
    pub fn buffer_size(&self) -> u32 {
        self.0.buffer_size
    }

    /// Buffers the pool may grow to.
    pub fn buffers_max(&self) -> u32 {
        self.0.buffers_max
    }

    /// Buffers of a full-grown pool that are never leased.
    pub fn reserve(&self) -> u32 {
        (self.0.total.get() / 4).max(2)
    }

    /// How many buffers are in which state.
    pub fn usage(&self) -> PoolUsage {
        let shared = &self.0;
        let (total, with_kernel, leased) =
            (shared.total.get(), shared.with_kernel.get(), shared.leased.get());
        PoolUsage { total, with_kernel, leased, free: total - with_kernel - leased }
    }

    /// Writes the usage gauges into the counters. Called once per turn, and before they are read.
    pub(crate) fn publish_usage(&self) {
        let usage = self.usage();
        let counters = &self.0.counters;
        counters.buffers_total.set(u64::from(usage.total));
        counters.buffers_with_kernel.set(u64::from(usage.with_kernel));
        counters.buffers_leased.set(u64::from(usage.leased));
        counters.buffers_free.set(u64::from(usage.free));
    }

    /// Doubles the pool, up to its maximum; false when it is there already.
    #[cold]
    pub(crate) fn grow(&self) -> bool {
        let total = self.0.total.get();
        let grown = (total * 2).min(self.0.buffers_max);
        if grown == total {
            return false;
        }
        self.add(grown - total);
        self.0.counters.pool_growths.increment();
        true
    }

    fn add(&self, count: u32) {
        let shared = &self.0;
        let total = shared.total.get();
        shared.total.set(total + count);
        shared.leased_max.set(total + count - self.reserve());
        // Backwards, so that the lowest id is on top: a lightly used pool touches few pages.
        for id in (total..total + count).rev() {
            shared.release(id as BufferId, State::UNUSED);
        }
    }

    /// Takes a free buffer for the kernel to fill (the one returned last).
    pub(crate) fn take(&self) -> Option<BufferId> {
        let id = self.0.claim(State::WITH_KERNEL)?;
        self.0.take_up(id);
        self.0.with_kernel.set(self.0.with_kernel.get() + 1);
        Some(id)
    }

    /// True when [`take`](Self::take) would give a buffer.
    pub(crate) fn has_free(&self) -> bool {
        self.0.free.get() != State::LAST
    }

    /// Where a buffer lies. The kernel may write there while the buffer is `WithKernel`.
    pub(crate) fn address(&self, id: BufferId) -> *mut u8 {
        assert!(u32::from(id) < self.0.buffers_max, "not a buffer of this pool");
        self.0.address(id)
    }

    /// Has `fill` write to the front of the first free buffer and say how much. The buffer stays free; what was written
    /// is handed out by [`lease_filled`](Self::lease_filled) or [`copy_filled`](Self::copy_filled), called next. `None`,
    /// without having called it, when no buffer is free.
    ///
    /// `fill` gets the buffer's address and length, and may write there until it returns.
    #[inline]
    pub(crate) fn fill_first<E>(
        &self,
        fill: impl FnOnce(*mut u8, usize) -> Result<usize, E>,
    ) -> Option<Result<Filled, E>> {
        let State(id) = self.0.free.get();
        if State(id) == State::LAST {
            return None;
        }
        self.0.take_up(id);
        let filled = fill(self.address(id), self.0.buffer_size as usize).map(|length| Filled { id, length });
        if cfg!(debug_assertions) && !matches!(filled, Ok(Filled { length: 1.., .. })) {
            self.0.lay_down(id);
        }
        Some(filled)
    }

    /// True when one more lease would take the reserve. Grows the pool first, if it may grow.
    #[inline]
    pub(crate) fn is_short(&self) -> bool {
        self.0.leased.get() >= self.0.leased_max.get() && !self.grow()
    }

    /// Leases what [`fill_first`](Self::fill_first) wrote. Not while the pool [is short](Self::is_short).
    ///
    /// # Panics
    /// When the pool was used since, or more than a buffer was written: the driver is broken.
    #[inline(always)]
    pub(crate) fn lease_filled(&self, filled: Filled) -> Chunk {
        let shared = &*self.0;
        assert!(shared.free.get() == State(filled.id), "the pool was used between filling and leasing");
        shared.claim(State::LEASED);
        self.lease(filled.id, filled.length)
    }

    /// Copies what [`fill_first`](Self::fill_first) wrote; the buffer stays free.
    ///
    /// # Panics
    /// As for [`lease_filled`](Self::lease_filled).
    #[cold]
    pub(crate) fn copy_filled(&self, filled: Filled) -> Chunk {
        self.0.counters.pressure_copies.increment();
        self.lease_filled(filled).into_heap()
    }

    /// Hands out what the kernel wrote to the front of `id`: as a lease, or as a copy when a lease would take the
    /// reserve.
    ///
    /// # Panics
    /// When `length` is more than a buffer or the buffer was not with the kernel: the driver is broken.
    pub(crate) fn deliver(&self, id: BufferId, length: usize) -> Chunk {
        let shared = &*self.0;
        shared.expect(id, State::WITH_KERNEL);
        shared.states[id as usize].set(State::LEASED);
        shared.with_kernel.set(shared.with_kernel.get() - 1);
        let is_short = self.is_short();
        let chunk = self.lease(id, length);
        if is_short { self.spare_the_reserve(chunk) } else { chunk }
    }

    /// The lease on a buffer that has become `Leased`.
    #[inline]
    fn lease(&self, id: BufferId, length: usize) -> Chunk {
        let shared = &*self.0;
        assert!(length <= shared.buffer_size as usize, "the kernel filled more than a buffer");
        shared.leased.set(shared.leased.get() + 1);
        Chunk::lease(self.0.clone(), id, length)
    }

    /// A copy of a chunk whose lease would take the reserve.
    #[cold]
    fn spare_the_reserve(&self, chunk: Chunk) -> Chunk {
        self.0.counters.pressure_copies.increment();
        chunk.into_heap()
    }

    /// Plays the kernel: copies the front of `bytes` into a free buffer and delivers it; `None` when there is none.
    pub(crate) fn fill(&self, bytes: &[u8]) -> Option<Chunk> {
        let id = self.take()?;
        let length = bytes.len().min(self.buffer_size() as usize);
        // SAFETY: the buffer was taken, so nobody else uses it (P3), and it is at least `length` long (P2).
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.address(id), length) };
        Some(self.deliver(id, length))
    }

    /// Checks that each buffer is in one state and counted there, and that those with the kernel are the ones it says it
    /// has.
    pub(crate) fn audit(&self, in_kernel: &[BufferId], violations: &mut Vec<String>) {
        let shared = &*self.0;
        let total = shared.total.get();
        let count = |state: fn(State) -> bool| {
            shared.states[..total as usize].iter().filter(|each| state(each.get())).count() as u32
        };
        let (free, leased) = (count(State::is_free), count(|state| state == State::LEASED));
        let with_kernel = count(|state| state == State::WITH_KERNEL);
        if (with_kernel, leased) != (shared.with_kernel.get(), shared.leased.get())
            || free + leased + with_kernel != total
        {
            violations.push(format!(
                "of {total} buffers {free} are free, {leased} leased and {with_kernel} with the kernel, but counted are {:?}",
                self.usage()
            ));
        }
        let mut listed = 0;
        let mut next = shared.free.get();
        while next != State::LAST && listed <= total {
            listed += 1;
            next = shared.states[next.0 as usize].get();
            if !next.is_free() {
                violations.push(format!("the list of free buffers leads to one that is {next:?}"));
                return;
            }
        }
        if listed != free {
            violations.push(format!("{free} buffers are free, and {listed} are listed"));
        }
        let mut in_kernel = in_kernel.to_vec();
        in_kernel.sort_unstable();
        let states = (0..).zip(&shared.states[..total as usize]);
        let with_kernel = states.filter(|(_, state)| state.get() == State::WITH_KERNEL).map(|(id, _)| id);
        if !in_kernel.iter().copied().eq(with_kernel) {
            violations
                .push(format!("the kernel has the buffers {in_kernel:?}, and the pool counts on others"));
        }
    }

    /// Whom the leases that are out were received on, where that is known.
    pub(crate) fn origins(&self) -> impl Iterator<Item = Rc<str>> {
        self.0.origins.iter().filter_map(|origin| origin.borrow().clone())
    }

    /// Gives back a buffer that came back from the kernel without bytes.
    pub(crate) fn put_back(&self, id: BufferId) {
        self.0.release(id, State::WITH_KERNEL);
        self.0.lay_down(id);
        self.0.with_kernel.set(self.0.with_kernel.get() - 1);
    }
}

/// What `BufferPool::fill_first` wrote.
#[derive(Debug)]
pub(crate) struct Filled {
    id: BufferId,
    length: usize,
}

impl Filled {
    /// How many bytes.
    pub(crate) fn len(&self) -> usize {
        self.length
    }
}

impl Shared {
    /// Takes the first buffer off the free list.
    #[inline]
    fn claim(&self, to: State) -> Option<BufferId> {
        let first = self.free.get();
        if first == State::LAST {
            return None;
        }
        let state = &self.states[first.0 as usize];
        if !state.get().is_free() {
            misplaced(first.0, state.get(), State::LAST);
        }
        self.free.set(state.replace(to));
        Some(first.0)
    }

    /// Puts a buffer in front of the free list.
    #[inline]
    fn release(&self, id: BufferId, from: State) {
        self.expect(id, from);
        self.states[id as usize].set(self.free.replace(State(id)));
    }

    /// The end of a lease. The caller has the only one of this buffer, and uses it no more.
    #[inline]
    fn take_back(&self, id: BufferId) {
        if cfg!(debug_assertions) {
            self.expect(id, State::LEASED);
            self.lay_down(id);
            self.origins[id as usize].take();
        }
        self.leased.set(self.leased.get() - 1);
        self.release(id, State::LEASED);
    }

    /// Where a buffer lies. For any number; only those of the pool lie within the region.
    #[inline]
    fn address(&self, id: BufferId) -> *mut u8 {
        self.region.base().as_ptr().wrapping_add(id as usize * self.buffer_size as usize)
    }

    #[inline]
    fn expect(&self, id: BufferId, expected: State) {
        let state = self.states[id as usize].get();
        if state != expected {
            misplaced(id, state, expected);
        }
    }
}

/// Out of line and by value, so that the check costs the usual way nothing but a comparison.
#[cold]
fn misplaced(id: BufferId, state: State, expected: State) -> ! {
    panic!("buffer {id} is {state:?}, not {expected:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(buffers: u32, buffers_max: u32) -> BufferPool {
        let options = PoolOptions { buffers, buffers_max, buffer_size: 512 };
        BufferPool::new(&options, Arc::default()).expect("pool")
    }

    fn fill(pool: &BufferPool, bytes: &[u8]) -> Chunk {
        pool.fill(bytes).expect("a free buffer")
    }

    #[test]
    fn a_lease_reads_what_the_kernel_wrote_and_returns_its_buffer_once() {
        let pool = pool(8, 8);
        let mut chunk = fill(&pool, b"hello");
        assert_eq!(&*chunk, b"hello");
        chunk.advance(2);
        chunk.truncate(2);
        assert_eq!(&*chunk, b"ll");
        assert_eq!(pool.usage(), PoolUsage { total: 8, with_kernel: 0, leased: 1, free: 7 });
        drop(chunk);
        assert_eq!(pool.usage(), PoolUsage { total: 8, with_kernel: 0, leased: 0, free: 8 });
    }

    #[test]
    fn a_pool_grows_before_it_copies() {
        let pool = pool(4, 16);
        let leases: Vec<_> = (0..12).map(|n| fill(&pool, &[n])).collect();
        assert!(leases.iter().all(Chunk::is_lease));
        assert_eq!(pool.usage().total, 16);
        assert!(leases.iter().enumerate().all(|(n, chunk)| **chunk == [n as u8]));
    }

    #[test]
    fn leases_never_take_the_reserve() {
        let pool = pool(8, 8);
        let chunks: Vec<_> = (0..100).map(|n| fill(&pool, &[n])).collect();
        assert_eq!(chunks.iter().filter(|chunk| chunk.is_lease()).count(), 6);
        assert_eq!(pool.usage().free, 2);
        assert!(chunks.iter().enumerate().all(|(n, chunk)| **chunk == [n as u8]));
    }

    #[test]
    fn a_lease_outlives_its_pool() {
        let pool = pool(8, 8);
        let chunk = fill(&pool, b"still here");
        drop(pool);
        assert_eq!(&*chunk, b"still here");
    }

    #[test]
    fn small_arrivals_are_joined_in_the_rest_of_a_buffer() {
        let pool = pool(8, 8);
        let mut chunk = fill(&pool, b"a");
        assert!(chunk.try_append(b"bc"));
        assert_eq!(&*chunk, b"abc");
        assert!(!chunk.try_append(&[0; 510]));
        assert!(chunk.try_append(&[1; 509]));
        assert_eq!(chunk.len(), 512);
        assert!(!Chunk::from(vec![1]).try_append(b"x"));
    }

    #[test]
    fn bytes_taken_out_are_those_left_in_the_chunk() {
        let pool = pool(8, 8);
        let mut lease = fill(&pool, b"abcdef");
        lease.advance(1);
        lease.truncate(3);
        assert_eq!(lease.into_bytes(), &b"bcd"[..]);
        let mut heap = Chunk::from(b"abcdef".to_vec());
        heap.advance(1);
        heap.truncate(3);
        assert_eq!(heap.into_bytes(), &b"bcd"[..]);
        assert_eq!(pool.usage().leased, 0);
    }

    #[test]
    #[should_panic(expected = "is State")]
    fn a_completion_for_a_buffer_the_kernel_does_not_have_is_a_bug() {
        let pool = pool(8, 8);
        let id = pool.take().expect("a free buffer");
        let _chunk = pool.deliver(id, 1);
        let _again = pool.deliver(id, 1);
    }
}
