//! Memory that the kernel may still use after a call has returned.
//!
//! No tool sees the kernel's writes: a buffer freed too soon is overwritten in silence, as somebody else's memory. So this
//! memory lies in mappings of its own, and in debug builds their release is loud: the pages go, the addresses stay
//! reserved, without any access. What the kernel then writes ends with EFAULT, and whoever reads or writes gets SIGSEGV.
//! The [`Quarantine`] bounds how many addresses are kept so. In release builds a region is unmapped, nothing more.
//!
//! What the kernel has pinned, as it does with the entries of a buffer ring, it goes on reading where it was: there the guard
//! shows our own accesses only.
//!
//! # Invariants
//!
//! - **G1** A region is mapped once, zeroed, whole pages, and nobody else's. Its owner drops it when neither process nor
//!   kernel uses it any more, or never.
//! - **G2** Addresses in the quarantine belong to nobody: they are mapped without access, so that no other mapping is put
//!   there, and each leaves the quarantine once, to be unmapped.
//! - **G3** A lent value lies at the front of its region, or in its box, which is its own; it is dropped once, and then the
//!   memory is released.

use std::collections::VecDeque;
use std::io;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

/// A mapping for the kernel to use.
#[derive(Debug)]
pub(crate) struct Region {
    base: NonNull<u8>,
    length: usize,
}

// SAFETY: a region is memory that its owner alone gives access to (G1); whose thread that is does not matter.
unsafe impl Send for Region {}

impl Region {
    /// Maps `length` bytes, not 0, all zero.
    ///
    /// # Errors
    /// The kernel's, when the address space cannot be mapped.
    pub(crate) fn map(length: usize) -> io::Result<Self> {
        match Self::try_map(length) {
            // Addresses may be what is short.
            Err(_) if cfg!(debug_assertions) && quarantine(Quarantine::clear) => Self::try_map(length),
            result => result,
        }
    }

    fn try_map(length: usize) -> io::Result<Self> {
        // SAFETY: an anonymous private mapping at an address of the kernel's choice touches no existing memory.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { base: NonNull::new(base.cast()).expect("mmap gives no null mapping"), length })
    }

    /// Where it begins: at the front of a page.
    #[inline]
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Allows or forbids access to a part, whole pages; false when the kernel did not do it, for it counts mappings, and
    /// parts that differ are several.
    pub(crate) fn allow(&self, start: usize, length: usize, is_allowed: bool) -> bool {
        assert!(start <= self.length && length <= self.length - start, "a part of the region");
        let access = if is_allowed { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_NONE };
        // SAFETY: within the region (G1); an access that is forbidden faults, and harms no memory.
        unsafe { libc::mprotect(self.base.as_ptr().wrapping_add(start).cast(), length, access) == 0 }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let range = Range { start: self.base.as_ptr() as usize, length: self.length };
        // SAFETY: G1: mapped with this length, and used no more.
        unsafe {
            if cfg!(debug_assertions) && range.close() {
                quarantine(|quarantine| quarantine.admit(range));
            } else {
                range.unmap();
            }
        }
    }
}

/// Bytes per page.
pub(crate) fn page_size() -> usize {
    // SAFETY: passes no memory.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).expect("every system has pages")
}

/// Addresses of what was a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: usize,
    length: usize,
}

impl Range {
    /// Gives the pages back and forbids every access; false when the kernel did not do it. Nobody else can get the addresses
    /// in between.
    ///
    /// # Safety
    /// The caller's own, and used no more.
    unsafe fn close(self) -> bool {
        // SAFETY: the caller's promise: what this mapping replaces is the caller's.
        let mapped = unsafe {
            libc::mmap(
                self.start as *mut libc::c_void,
                self.length,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED,
                -1,
                0,
            )
        };
        mapped != libc::MAP_FAILED
    }

    /// # Safety
    /// The caller's own, and used no more.
    unsafe fn unmap(self) {
        // SAFETY: the caller's promise.
        unsafe { libc::munmap(self.start as *mut libc::c_void, self.length) };
    }
}

/// The addresses of released regions, oldest first.
struct Quarantine {
    ranges: VecDeque<Range>,
    bytes: usize,
    ranges_max: usize,
    bytes_max: usize,
}

impl Quarantine {
    const fn new(ranges_max: usize, bytes_max: usize) -> Self {
        Self { ranges: VecDeque::new(), bytes: 0, ranges_max, bytes_max }
    }

    /// Keeps a range, and lets the oldest go for it.
    ///
    /// # Safety
    /// The range is closed, and the caller's own to give away (G2).
    unsafe fn admit(&mut self, range: Range) {
        self.ranges.push_back(range);
        self.bytes += range.length;
        while self.ranges.len() > self.ranges_max || self.bytes > self.bytes_max {
            self.dismiss();
        }
    }

    /// Unmaps the oldest; false when there is none.
    fn dismiss(&mut self) -> bool {
        let Some(range) = self.ranges.pop_front() else { return false };
        self.bytes -= range.length;
        // SAFETY: G2.
        unsafe { range.unmap() };
        true
    }

    /// Unmaps all; false when there is none.
    fn clear(&mut self) -> bool {
        let had_some = self.dismiss();
        while self.dismiss() {}
        had_some
    }
}

/// One for the process, for which thread gets an address next is the kernel's choice. The limits: a kernel has some 65,000
/// mappings for a process, and a limit on address space may be a few gigabytes.
fn quarantine<R>(f: impl FnOnce(&mut Quarantine) -> R) -> R {
    static QUARANTINE: Mutex<Quarantine> = Mutex::new(Quarantine::new(1024, 1 << 30));
    f(&mut QUARANTINE.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A value whose address is lent to the kernel: in a box, and in debug builds in a region of its own.
pub(crate) struct Lent<T>(NonNull<T>);

impl<T> Lent<T> {
    /// # Panics
    /// In debug builds, when nothing can be mapped.
    pub(crate) fn new(value: T) -> Self {
        if !cfg!(debug_assertions) {
            return Self(NonNull::from(Box::leak(Box::new(value))));
        }
        const { assert!(align_of::<T>() <= 4096 && size_of::<T>() > 0) };
        let place = std::mem::ManuallyDrop::new(Region::map(size_of::<T>()).expect("a page")).base().cast();
        // SAFETY: G1: the region is this large, at the front of a page, and new.
        unsafe { place.write(value) };
        Self(place)
    }
}

impl<T> Deref for Lent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: G3: it is there until the drop.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        if cfg!(debug_assertions) {
            // SAFETY: G3: dropped once, here.
            unsafe { self.0.drop_in_place() };
            drop(Region { base: self.0.cast(), length: size_of::<T>() });
        } else {
            // SAFETY: G3: made from a box by `new`.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
