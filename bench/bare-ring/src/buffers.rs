//! One provided-buffer ring: the kernel takes a buffer from its head when data is there, we give it back at its
//! tail.
//!
//! Invariants. I1: `entries` and `memory` live as long as the process (leaked), so the kernel never writes to freed
//! memory. I2: a buffer is either in the ring (the kernel's) or named by a completion not yet recycled (ours).

use std::alloc::{Layout, alloc_zeroed};
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// The ring's group id; there is one group per reactor.
pub(crate) const GROUP: u16 = 0;

const PAGE: usize = 4096;

pub(crate) struct Buffers {
    entries: *mut BufRingEntry,
    memory: *mut u8,
    count: u16,
    size: usize,
    tail: u16,
}

impl Buffers {
    /// Registers `count` (a power of two) buffers of `size` bytes.
    pub(crate) fn register(submitter: &Submitter<'_>, count: u16, size: usize) -> io::Result<Self> {
        assert!(count.is_power_of_two());
        let entries = leak_pages(usize::from(count) * size_of::<BufRingEntry>()).cast::<BufRingEntry>();
        let memory = leak_pages(usize::from(count) * size);
        // SAFETY: I1; the allocation holds `count` entries and is page-aligned.
        unsafe { submitter.register_buf_ring_with_flags(entries as u64, count, GROUP, 0)? };
        let mut buffers = Self { entries, memory, count, size, tail: 0 };
        for bid in 0..count {
            buffers.recycle(bid);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// The first `len` bytes of a buffer that a completion has named (I2).
    pub(crate) fn filled(&self, bid: u16, len: usize) -> &[u8] {
        assert!(bid < self.count && len <= self.size);
        // SAFETY: inside the allocation by the assertion; the kernel does not write to a buffer that it has handed
        // out (I2); `recycle` takes `&mut self`, so the slice is gone before the buffer goes back.
        unsafe { std::slice::from_raw_parts(self.memory.add(usize::from(bid) * self.size), len) }
    }

    /// Puts a buffer at the tail; the kernel sees it after `publish`.
    pub(crate) fn recycle(&mut self, bid: u16) {
        assert!(bid < self.count);
        let at = usize::from(self.tail & (self.count - 1));
        // SAFETY: `at` is below `count`; entries beyond the published tail are not read by the kernel. Only these
        // three fields are written: the fourth of entry 0 is the tail itself.
        unsafe {
            let entry = &mut *self.entries.add(at);
            entry.set_addr(self.memory.add(usize::from(bid) * self.size) as u64);
            entry.set_len(self.size as u32);
            entry.set_bid(bid);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Makes the recycled buffers visible to the kernel.
    pub(crate) fn publish(&self) {
        // SAFETY: the address is that of the tail of a live ring (I1), aligned for u16, and shared with the kernel
        // only, which reads it with acquire order.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

fn leak_pages(bytes: usize) -> *mut u8 {
    let layout = Layout::from_size_align(bytes, PAGE).expect("a size far below isize::MAX");
    // SAFETY: the size is not zero.
    let pages = unsafe { alloc_zeroed(layout) };
    assert!(!pages.is_null(), "out of memory");
    pages
}
