//! The kernel's side of a ring's provided buffers.
//!
//! # Invariants
//!
//! - **M1** What was registered stays mapped as long as the ring (B1 of the driver's buffer ring), and the driver writes
//!   entries only beyond the tail it has published (B2, B3).
//! - **M2** A buffer between head and tail is the kernel's: nobody else reads or writes it (P3 of the pool).

use std::sync::atomic::{AtomicU16, Ordering};

/// `struct io_uring_buf`. The last field of the first is the tail of the ring.
#[repr(C)]
struct Entry {
    address: u64,
    length: u32,
    id: u16,
    tail: u16,
}

/// A registered ring of buffers.
#[derive(Debug)]
pub(super) struct Buffers {
    address: u64,
    capacity: u32,
    head: u16,
}

/// A buffer the kernel may fill.
#[derive(Debug)]
pub(super) struct Buffer {
    pub(super) id: u16,
    address: u64,
    length: u32,
}

impl Buffers {
    /// # Safety
    /// M1 holds for `address`.
    pub(super) unsafe fn new(address: u64, capacity: u32) -> Self {
        Self { address, capacity, head: 0 }
    }

    fn entry(&self, index: u16) -> *const Entry {
        let index = u32::from(index) & (self.capacity - 1);
        (self.address as *const Entry).wrapping_add(index as usize)
    }

    /// Buffers there to be filled.
    pub(super) fn len(&self) -> u16 {
        // SAFETY: M1; the tail is only ever accessed atomically.
        let tail = unsafe { AtomicU16::from_ptr((&raw const (*self.entry(0)).tail).cast_mut()) };
        tail.load(Ordering::Acquire).wrapping_sub(self.head)
    }

    /// The next one. It stays the next until it is [taken](Self::take).
    pub(super) fn first(&self) -> Option<Buffer> {
        if self.len() == 0 {
            return None;
        }
        let entry = self.entry(self.head);
        // SAFETY: M1: published, and not written again before it came back.
        let (address, length, id) = unsafe { ((*entry).address, (*entry).length, (*entry).id) };
        Some(Buffer { id, address, length })
    }

    /// Takes the first out of the ring.
    pub(super) fn take(&mut self) {
        self.head = self.head.wrapping_add(1);
    }

    /// The numbers of those that are there.
    pub(super) fn ids(&self) -> Vec<u16> {
        // SAFETY: as in `first`.
        (0..self.len()).map(|at| unsafe { (*self.entry(self.head.wrapping_add(at))).id }).collect()
    }
}

impl Buffer {
    /// Where it lies.
    pub(super) fn memory(&mut self) -> &mut [u8] {
        // SAFETY: M2: the pool's memory is initialised, and the kernel's alone until the completion is taken.
        unsafe { std::slice::from_raw_parts_mut(self.address as *mut u8, self.length as usize) }
    }
}
