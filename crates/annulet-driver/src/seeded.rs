//! Chance for what asks the system for it past every driver: the hash seeds of a `HashMap`, above all.
//!
//! The standard library asks `getrandom` by a weak symbol, "to allow interposition"; other libraries look it up in the
//! running program. With the feature `seeded-hashes` that symbol is the one below: on a thread that simulates it answers
//! from the seed, on every other it makes the system call that libc's would have made.
//!
//! # Invariants
//!
//! - **H1** A buffer handed to `getrandom` is writable for its length. That is getrandom(2)'s contract, so every caller of
//!   the symbol keeps it.
//! - **H2** No more than `COUNT_MAX` bytes are given at once, which a slice can have and a count can tell. Less than was
//!   asked for is allowed, as callers must expect it of the system.

use std::cell::RefCell;
use std::marker::PhantomData;

use crate::sim::{Chance, Purpose};

thread_local! {
    /// Has no destructor, so it can be asked as long as the thread lives.
    static CHANCE: RefCell<Option<Chance>> = const { RefCell::new(None) };
}

/// While it lives, what this thread asks the system for as chance comes from a seed. Of a `HashMap`, only the first on a
/// thread asks: a simulation needs a thread of its own.
#[derive(Debug)]
#[must_use]
pub struct SeededThread(PhantomData<*const ()>);

impl SeededThread {
    /// Has the calling thread get its chance from `seed`. Without the feature `seeded-hashes` nobody asks for it.
    pub fn new(seed: u64) -> Self {
        CHANCE.set(Some(Chance::new(seed, Purpose::Program, 0)));
        Self(PhantomData)
    }
}

impl Drop for SeededThread {
    fn drop(&mut self) {
        CHANCE.set(None);
    }
}

#[cfg(feature = "seeded-hashes")]
mod interposed {
    use super::CHANCE;

    /// What getrandom(2) itself gives at most.
    const COUNT_MAX: usize = (1 << 25) - 1;

    /// getrandom(2), from the seed where the thread has one.
    ///
    /// # Safety
    /// H1.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn getrandom(
        buffer: *mut libc::c_void,
        length: libc::size_t,
        flags: libc::c_uint,
    ) -> libc::ssize_t {
        let count = length.min(COUNT_MAX);
        let from_seed = CHANCE.with_borrow_mut(|chance| {
            let Some(chance) = chance else { return false };
            if count > 0 {
                // SAFETY: H1, H2. It is written to before it is read from, as plain bytes.
                chance.fill(unsafe { std::slice::from_raw_parts_mut(buffer.cast(), count) });
            }
            true
        });
        if from_seed {
            return count as libc::ssize_t;
        }
        // SAFETY: H1; the call's arguments are passed on as they are.
        unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) as libc::ssize_t }
    }
}

#[cfg(all(test, feature = "seeded-hashes"))]
mod tests {
    use std::collections::HashMap;
    use std::thread;

    use super::*;

    /// The order in which a new map on a new thread has its keys.
    fn order(seed: Option<u64>) -> Vec<u32> {
        let keys = move || {
            let _seeded = seed.map(SeededThread::new);
            (0..32).map(|key| (key, ())).collect::<HashMap<u32, ()>>().into_keys().collect()
        };
        thread::spawn(keys).join().expect("it ends")
    }

    #[test]
    fn the_order_of_a_hash_map_is_the_seeds() {
        assert_eq!(order(Some(7)), order(Some(7)));
        assert_ne!(order(Some(7)), order(Some(8)));
    }

    #[test]
    fn threads_without_a_seed_get_the_systems_chance() {
        assert_ne!(order(None), order(None));
        thread::spawn(|| {
            drop(SeededThread::new(7));
            assert_ne!(order(None), order(Some(7)));
        })
        .join()
        .expect("it ends");
    }

    #[test]
    fn entropy_of_the_seed_fills_everything() {
        let _seeded = SeededThread::new(7);
        let mut bytes = [0; 1000];
        crate::sys::entropy(&mut bytes);
        assert!(bytes.chunks(100).all(|chunk| chunk.iter().any(|byte| *byte != 0)));
        let again = SeededThread::new(7);
        let mut same = [0; 1000];
        crate::sys::entropy(&mut same);
        drop(again);
        assert!(bytes == same);
    }
}
