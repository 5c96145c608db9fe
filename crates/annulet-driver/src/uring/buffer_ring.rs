//! The provided-buffer ring: where the kernel takes the pool's buffers from (io_uring_register_buf_ring(3)).
//!
//! ```text
//!            head (the kernel's, not visible)      tail (ours, published once a turn)
//!              ▼                                     ▼
//!   [ taken ][ free ][ free ][ free ][ free ][ free ][ not yet published ]
//! ```
//!
//! # Invariants
//!
//! - **B1** The entries are mapped before they are registered and released after the ring is closed, or never.
//! - **B2** There are at least as many entries as the pool can have buffers, and a buffer is published only after it came
//!   back from the kernel ("with kernel" in the pool's states). So an entry written here is never one that the kernel
//!   has yet to read.
//! - **B3** The kernel only reads the entries; it sees those before the tail it loads (acquire) and the store of the
//!   tail here (release) comes after the entries are written.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::cqueue;

use crate::guard::Region;
use crate::kernel::Queues;
use crate::pool::{BufferId, BufferPool};

/// The one group of buffers of a ring.
pub(super) const GROUP: u16 = 0;

/// `struct io_uring_buf`. The last field of the first entry is the tail of the ring.
#[repr(C)]
struct Entry {
    address: u64,
    length: u32,
    id: u16,
    tail: u16,
}

const _: () = assert!(size_of::<Entry>() == 16);

/// The buffers the kernel may fill.
pub(super) struct BufferRing {
    entries: NonNull<Entry>,
    /// Where they lie.
    region: Option<Region>,
    capacity: u32,
    tail: u16,
}

impl BufferRing {
    /// Registers a ring that can hold `buffers` buffers.
    ///
    /// # Errors
    /// The kernel's: EINVAL before 5.19; ENOMEM where the limit on locked memory does not admit it.
    pub(super) fn register(ring: &impl Queues, buffers: u32) -> io::Result<Self> {
        let capacity = buffers.next_power_of_two();
        assert!(capacity <= 32768, "a pool has at most 32768 buffers");
        let region = Region::map(capacity as usize * size_of::<Entry>())?;
        let entries = region.base().cast();
        let this = Self { entries, region: Some(region), capacity, tail: 0 };
        // SAFETY: B1.
        unsafe { ring.register_buffers(entries.as_ptr() as u64, capacity, GROUP) }?;
        Ok(this)
    }

    pub(super) fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Gives the kernel every free buffer of the pool.
    pub(super) fn publish(&mut self, pool: &BufferPool) {
        if !pool.has_free() {
            return;
        }
        let length = pool.buffer_size();
        while let Some(id) = pool.take() {
            let index = u32::from(self.tail) & (self.capacity - 1);
            let address = pool.address(id) as u64;
            // SAFETY: the index is within the mapping; B2, B3. Only these three fields are written: in the first entry
            // the fourth is the tail.
            unsafe {
                let entry = self.entries.as_ptr().add(index as usize);
                (&raw mut (*entry).address).write(address);
                (&raw mut (*entry).length).write(length);
                (&raw mut (*entry).id).write(id);
            }
            self.tail = self.tail.wrapping_add(1);
        }
        // SAFETY: the field lies in the mapping, is aligned, and is only ever accessed atomically, here and by the
        // kernel (B3).
        let tail = unsafe { AtomicU16::from_ptr(&raw mut (*self.entries.as_ptr()).tail) };
        tail.store(self.tail, Ordering::Release);
    }

    /// Leaves the mapping for ever: the kernel may still read it.
    pub(super) fn leak(&mut self) {
        std::mem::forget(self.region.take());
    }
}

/// The buffer a completion came in, if any.
pub(super) fn buffer(flags: u32) -> Option<BufferId> {
    cqueue::buffer_select(flags)
}
