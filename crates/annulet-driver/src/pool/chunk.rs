//! Received bytes, as they are handed to users.
//!
//! A chunk goes through several layers for every message, so it is two words that travel in registers: who owns the
//! bytes, and which of them are meant.
//!
//! # Invariants
//!
//! - **C1** `owner` is an `Rc<Shared>` of the pool when `place` names a lease, else a `Box<Heap>`; raw, and the chunk's own.
//! - **C2** A lease is the only one of its buffer (P3 of the pool), and its bytes lie within that buffer.

use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::rc::Rc;

use bytes::Bytes;

use super::{BufferId, Shared};

/// What a chunk on the heap takes beside its bytes: a second allocation, the rounding of both, a place in a queue.
const HEAP_OVERHEAD: usize = 96;

/// Received bytes: usually a lease on the buffer the kernel filled, on the heap when the pool was short.
///
/// Dereferences to the bytes. Dropping it gives the buffer back, so keep one only as long as the bytes are of use:
/// [`into_bytes`](Self::into_bytes) and `to_vec` copy them out. A chunk stays on its reactor's thread.
pub struct Chunk {
    owner: NonNull<()>,
    place: Place,
    _owner: PhantomData<(Rc<Shared>, Box<Heap>)>,
}

const _: () = assert!(size_of::<Option<Chunk>>() == 16);

/// Which bytes of which buffer a lease means: buffer, start and length, 16 bits each. [`Place::HEAP`] for what is no lease.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place(u64);

impl Place {
    const HEAP: Self = Self(u64::MAX);

    #[inline]
    const fn new(id: BufferId, start: u16, length: u16) -> Self {
        Self(id as u64 | (start as u64) << 16 | (length as u64) << 32)
    }

    #[inline]
    const fn id(self) -> BufferId {
        self.0 as u16
    }

    #[inline]
    const fn start(self) -> u16 {
        (self.0 >> 16) as u16
    }

    #[inline]
    const fn length(self) -> u16 {
        (self.0 >> 32) as u16
    }
}

/// Bytes of a chunk that is no lease.
struct Heap {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

/// A chunk, seen as what it is.
enum View<'a> {
    Lease(&'a Shared, Place),
    Heap(&'a Heap),
}

impl Chunk {
    /// The first `length` bytes, no more than there are, of a buffer that has just been leased.
    #[inline]
    pub(super) fn lease(pool: Rc<Shared>, id: BufferId, length: usize) -> Self {
        // SAFETY: a pointer from an `Rc` is not null.
        let owner = unsafe { NonNull::new_unchecked(Rc::into_raw(pool).cast_mut()) };
        Self { owner: owner.cast(), place: Place::new(id, 0, length as u16), _owner: PhantomData }
    }

    #[inline]
    fn view(&self) -> View<'_> {
        if self.is_lease() {
            // SAFETY: C1; the chunk keeps the pool alive.
            View::Lease(unsafe { self.owner.cast::<Shared>().as_ref() }, self.place)
        } else {
            // SAFETY: C1.
            View::Heap(unsafe { self.owner.cast::<Heap>().as_ref() })
        }
    }

    /// The heap memory of a chunk that is no lease.
    fn heap_mut(&mut self) -> Option<&mut Heap> {
        // SAFETY: C1, exclusively, for `self` is borrowed so.
        (!self.is_lease()).then(|| unsafe { self.owner.cast::<Heap>().as_mut() })
    }

    /// Has a lease remember whom it was received on, in debug builds.
    #[inline]
    pub(crate) fn note_origin(&self, origin: impl FnOnce() -> Option<Rc<str>>) {
        if cfg!(debug_assertions)
            && let View::Lease(pool, place) = self.view()
        {
            pool.origins[place.id() as usize].replace(origin());
        }
    }

    /// Removes the first `count` bytes.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.len(), "advance by {count} in a chunk of {}", self.len());
        let place = self.place;
        match self.heap_mut() {
            Some(heap) => heap.start += count,
            None => {
                let (start, length) = (place.start() + count as u16, place.length() - count as u16);
                self.place = Place::new(place.id(), start, length);
            }
        }
    }

    /// Keeps the first `length` bytes; no effect when there are fewer.
    pub fn truncate(&mut self, length: usize) {
        if length >= self.len() {
            return;
        }
        let place = self.place;
        match self.heap_mut() {
            Some(heap) => heap.end = heap.start + length,
            None => self.place = Place::new(place.id(), place.start(), length as u16),
        }
    }

    /// Copies the bytes into memory of their own, which may go to other threads, and returns the buffer.
    pub fn into_bytes(mut self) -> Bytes {
        match self.heap_mut() {
            Some(heap) => Bytes::from(std::mem::take(&mut heap.bytes)).slice(heap.start..heap.end),
            None => Bytes::copy_from_slice(&self),
        }
    }

    /// True while the bytes lie in a pool buffer.
    #[inline]
    pub fn is_lease(&self) -> bool {
        self.place != Place::HEAP
    }

    /// Memory this chunk keeps from other use, in bytes: a whole buffer for a lease, and on the heap what the allocator
    /// adds to a few bytes.
    #[inline]
    pub fn pinned(&self) -> usize {
        match self.view() {
            View::Lease(pool, _) => pool.buffer_size as usize,
            View::Heap(heap) => heap.bytes.len() + HEAP_OVERHEAD,
        }
    }

    /// The same bytes in exact-size heap memory, so that no pool buffer is held.
    #[must_use]
    pub fn into_heap(self) -> Self {
        if self.is_lease() { Self::from(self.to_vec()) } else { self }
    }

    /// Appends `bytes` in the unused rest of a leased buffer; false when they do not fit.
    pub fn try_append(&mut self, bytes: &[u8]) -> bool {
        let View::Lease(pool, place) = self.view() else { return false };
        let end = place.start() as usize + place.length() as usize;
        if bytes.len() > pool.buffer_size as usize - end {
            return false;
        }
        // SAFETY: C2, and `self` is borrowed exclusively: nobody looks at the buffer. What is written fits its rest.
        unsafe { pool.address(place.id()).add(end).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        self.place = Place::new(place.id(), place.start(), place.length() + bytes.len() as u16);
        true
    }
}

impl Deref for Chunk {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self.view() {
            View::Lease(pool, place) => {
                let start = pool.address(place.id()).wrapping_add(place.start() as usize);
                // SAFETY: C2 for place and exclusiveness; P5: initialised.
                unsafe { std::slice::from_raw_parts(start, place.length() as usize) }
            }
            View::Heap(heap) => &heap.bytes[heap.start..heap.end],
        }
    }
}

impl Drop for Chunk {
    #[inline(always)]
    fn drop(&mut self) {
        if self.is_lease() {
            let pool = self.owner.cast::<Shared>();
            // SAFETY: C1; the chunk keeps the pool alive.
            unsafe { pool.as_ref() }.take_back(self.place.id());
            if cfg!(annulet_planted = "lease-returned-twice") {
                // SAFETY: none: a bug, planted for the simulator to find.
                unsafe { pool.as_ref() }.take_back(self.place.id());
            }
            // SAFETY: C1; the chunk is not used any more.
            unsafe { Rc::decrement_strong_count(pool.as_ptr()) };
        } else {
            // SAFETY: C1; the chunk is not used any more.
            unsafe { drop_heap(self.owner.cast()) };
        }
    }
}

/// # Safety
/// `heap` is a `Box<Heap>`, raw, that nobody uses any more.
#[cold]
unsafe fn drop_heap(heap: NonNull<Heap>) {
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(heap.as_ptr()) });
}

impl AsRef<[u8]> for Chunk {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// A chunk on the heap, as tests and clients make them.
impl From<Vec<u8>> for Chunk {
    fn from(bytes: Vec<u8>) -> Self {
        let bytes = bytes.into_boxed_slice();
        let heap = Box::new(Heap { start: 0, end: bytes.len(), bytes });
        Self { owner: NonNull::from(Box::leak(heap)).cast(), place: Place::HEAP, _owner: PhantomData }
    }
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.is_lease() { "lease" } else { "heap" };
        write!(f, "Chunk({kind}, {} bytes)", self.len())
    }
}
