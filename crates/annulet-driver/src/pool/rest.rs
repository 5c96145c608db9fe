//! Buffers at rest: returned, and not handed out again yet. Debug builds see to it that nobody touches one.
//!
//! A buffer that comes to rest is filled with poison and, where buffers are whole pages, forbidden to everybody: reading it
//! faults, and a receive that the kernel carries out there fails with EFAULT. When the rest ends, the poison must be intact.
//! Buffers that were never used do not rest: nobody can have kept an address of theirs, and they are to take no memory.
//!
//! What cannot be forbidden is a look at a buffer that is with the kernel, for it is the kernel that must write there.

use std::cell::Cell;

use super::{BufferId, Shared};
use crate::guard;

/// What a returned buffer is filled with, so that use after return shows.
const POISON: u8 = 0xdb;

/// Which buffers rest. Empty in release builds.
pub(super) struct Rest {
    resting: Box<[Cell<bool>]>,
    /// Whether they are forbidden.
    forbids: Cell<bool>,
}

impl Rest {
    pub(super) fn new(buffers_max: u32, buffer_size: u32) -> Self {
        let buffers = if cfg!(debug_assertions) { buffers_max as usize } else { 0 };
        let forbids = (buffer_size as usize).is_multiple_of(guard::page_size());
        Self { resting: vec![Cell::new(false); buffers].into_boxed_slice(), forbids: Cell::new(forbids) }
    }
}

impl Shared {
    /// The buffer, which the caller has, comes to rest: nobody is to use it.
    #[inline]
    pub(super) fn lay_down(&self, id: BufferId) {
        if cfg!(debug_assertions) && !self.rest.resting[id as usize].replace(true) {
            // SAFETY: P2; the caller has it.
            unsafe { self.address(id).write_bytes(POISON, self.buffer_size as usize) };
            self.allow(id, false);
        }
    }

    /// The rest ends: the buffer is to be handed out, or was never used.
    ///
    /// # Panics
    /// When somebody wrote to it.
    #[inline]
    pub(super) fn take_up(&self, id: BufferId) {
        if cfg!(debug_assertions) && self.rest.resting[id as usize].replace(false) {
            self.allow(id, true);
            // SAFETY: P2, P5; it is free, and so its memory the pool's.
            let bytes = unsafe { std::slice::from_raw_parts(self.address(id), self.buffer_size as usize) };
            // All equal, compared as a whole: a loop would take long in a debug build.
            let is_intact = bytes[0] == POISON && bytes[1..] == bytes[..bytes.len() - 1];
            assert!(is_intact, "somebody wrote to buffer {id} after it had been returned");
        }
    }

    fn allow(&self, id: BufferId, is_allowed: bool) {
        let size = self.buffer_size as usize;
        if self.rest.forbids.get() && !self.region.allow(id as usize * size, size, is_allowed) {
            // Too many mappings in this process: do without.
            self.rest.forbids.set(false);
            let whole = self.buffers_max as usize * size;
            assert!(self.region.allow(0, whole, true), "the pool cannot be allowed again");
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use std::io;

    use crate::guard::tests::{End, in_a_copy, read, receive_at};
    use crate::options::PoolOptions;
    use crate::pool::BufferPool;

    use super::POISON;

    const FAULT: End = End::Signal(libc::SIGSEGV);

    fn pool(buffer_size: u32) -> BufferPool {
        BufferPool::new(&PoolOptions { buffers: 4, buffers_max: 4, buffer_size }, Default::default())
            .expect("a pool")
    }

    fn page() -> u32 {
        crate::guard::page_size() as u32
    }

    /// The address of a buffer that was leased and is back.
    fn returned(pool: &BufferPool) -> *mut u8 {
        let lease = pool.fill(b"secret").expect("a free buffer");
        lease.as_ptr().cast_mut()
    }

    #[test]
    fn a_returned_buffer_of_whole_pages_faults_until_it_is_handed_out_again() {
        let pool = pool(page());
        let address = returned(&pool);
        assert_eq!(in_a_copy(|| read(address)), FAULT);
        assert_eq!(receive_at(address).expect_err("at rest").raw_os_error(), Some(libc::EFAULT));
        let lease = pool.fill(b"again").expect("a free buffer");
        assert_eq!((lease.as_ptr(), &*lease), (address.cast_const(), &b"again"[..]));
        assert_eq!(in_a_copy(|| read(address)), End::Exit(0));
    }

    #[test]
    fn a_buffer_that_was_not_filled_goes_on_resting() {
        let pool = pool(page());
        let address = returned(&pool);
        for result in [Err(io::ErrorKind::WouldBlock), Ok(0)] {
            let filled = pool.fill_first(|at, _| {
                assert_eq!((at, in_a_copy(|| read(at))), (address, End::Exit(0)));
                result
            });
            assert!(filled.is_some());
            assert_eq!(in_a_copy(|| read(address)), FAULT);
        }
        let id = pool.take().expect("a free buffer");
        assert_eq!(in_a_copy(|| read(address)), End::Exit(0));
        pool.put_back(id);
        assert_eq!(in_a_copy(|| read(address)), FAULT);
    }

    #[test]
    fn a_returned_buffer_of_any_size_shows_poison() {
        let pool = pool(512);
        let address = returned(&pool);
        // SAFETY: within the pool's region; nobody uses the buffer.
        assert!(unsafe { std::slice::from_raw_parts(address, 512) }.iter().all(|byte| *byte == POISON));
    }

    #[test]
    fn a_pool_that_can_forbid_no_more_goes_on_without() {
        let pool = pool(page());
        let address = returned(&pool);
        // As if the kernel had refused.
        pool.0.rest.forbids.set(false);
        assert!(pool.0.region.allow(0, 4 * page() as usize, true));
        assert_eq!(returned(&pool), address);
        assert_eq!(in_a_copy(|| read(address)), End::Exit(0));
    }

    #[test]
    #[should_panic(expected = "somebody wrote to buffer 0 after it had been returned")]
    fn a_write_to_a_returned_buffer_shows_when_the_kernel_is_to_have_it() {
        let pool = pool(512);
        let address = returned(&pool);
        // SAFETY: as above.
        unsafe { address.add(511).write(0) };
        pool.take();
    }

    #[test]
    #[should_panic(expected = "somebody wrote to buffer 0 after it had been returned")]
    fn a_write_to_a_returned_buffer_shows_when_it_is_to_be_filled() {
        let pool = pool(512);
        let address = returned(&pool);
        // SAFETY: as above.
        unsafe { address.write(1) };
        let _ = pool.fill_first(|_, _| Err::<usize, _>(io::ErrorKind::WouldBlock));
    }
}
