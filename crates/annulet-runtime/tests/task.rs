//! What a task promises across threads, checked by loom over every interleaving: a wake-up from elsewhere is followed
//! by a poll that sees what it was for, however many come at once, and the task is freed once, by somebody who is alone
//! with it.
//!
//! `scripts/loom` runs it; without `--cfg loom` this file is an empty test program.
//!
//! # That the models can fail
//!
//! Tried by hand in `src/task/shared.rs`, one change at a time:
//!
//! | change | found by |
//! |---|---|
//! | `depart`: the swap to `Acquire` | a wake-up that is never answered (deadlock) |
//! | `arrive`: the swap to `Release`, or a `store` | the same |
//! | `depart`: `load` and `store(true)` in place of `swap` | the same |
//! | the home polls, then `arrive`s | the same |
//! | `release`: `fetch_sub` to `Relaxed` | freed while another still reads |
//! | `release`: without the load | the same |
#![cfg(loom)]

#[path = "../src/task/shared.rs"]
mod shared;

mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32};
    pub(crate) use std::sync::atomic::Ordering;
}

mod models {
    use std::sync::atomic::Ordering::Relaxed;

    use loom::cell::UnsafeCell;
    use loom::sync::atomic::AtomicUsize;
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::{model, thread};

    use crate::shared::Shared;

    /// A task, what it waits for, and its home's inbox.
    struct Task {
        shared: Shared,
        /// What wakers left for the task before they woke it.
        left: AtomicUsize,
        inbox: Mutex<usize>,
        inbox_changed: Condvar,
    }

    impl Task {
        fn new() -> Self {
            Self {
                shared: Shared::new(),
                left: AtomicUsize::new(0),
                inbox: Mutex::new(0),
                inbox_changed: Condvar::new(),
            }
        }

        fn wake(&self) {
            self.left.fetch_add(1, Relaxed);
            if self.shared.depart() {
                let mut inbox = self.inbox.lock().unwrap();
                *inbox += 1;
                assert_eq!(*inbox, 1, "the task stands in its inbox once");
                drop(inbox);
                self.inbox_changed.notify_one();
            }
        }

        /// The home: polls whenever the task has arrived, until it has seen all that was to be left. One that nobody
        /// puts into the inbox any more waits for ever, which loom reports as a deadlock.
        fn poll_until(&self, expected: usize) {
            while self.left.load(Relaxed) < expected {
                let mut inbox = self.inbox.lock().unwrap();
                while *inbox == 0 {
                    inbox = self.inbox_changed.wait(inbox).unwrap();
                }
                *inbox -= 1;
                drop(inbox);
                self.shared.arrive();
            }
        }
    }

    fn check(preemptions_max: Option<usize>, f: impl Fn() + Send + Sync + 'static) {
        let mut builder = model::Builder::new();
        // `LOOM_MAX_PREEMPTIONS` goes deeper.
        builder.preemption_bound = builder.preemption_bound.or(preemptions_max);
        builder.check(f);
    }

    fn wakers(preemptions_max: Option<usize>, wakes: &'static [usize]) {
        check(preemptions_max, move || {
            let task = Arc::new(Task::new());
            let mut threads = Vec::new();
            for &wakes in wakes {
                let task = task.clone();
                threads.push(thread::spawn(move || (0..wakes).for_each(|_| task.wake())));
            }
            task.poll_until(wakes.iter().sum());
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    #[test]
    fn a_waker_is_answered() {
        wakers(None, &[1]);
    }

    #[test]
    fn a_waker_that_wakes_again_is_answered_again() {
        wakers(Some(4), &[2]);
    }

    #[test]
    fn two_wakers_at_once_are_both_answered() {
        wakers(Some(3), &[1, 1]);
    }

    /// A task's memory: read by all who refer to it, written by who frees it.
    struct Memory {
        shared: Shared,
        content: UnsafeCell<usize>,
        freed: AtomicUsize,
    }

    // SAFETY: loom checks each access.
    unsafe impl Sync for Memory {}
    // SAFETY: likewise.
    unsafe impl Send for Memory {}

    impl Memory {
        fn give_up(&self) {
            // SAFETY: loom checks that nobody writes meanwhile.
            assert_eq!(self.content.with(|content| unsafe { *content }), 7);
            if self.shared.release() {
                // SAFETY: loom checks that nobody reads meanwhile.
                self.content.with_mut(|content| unsafe { *content = 0 });
                self.freed.fetch_add(1, Relaxed);
            }
        }
    }

    #[test]
    fn the_last_reference_frees_and_is_alone() {
        check(None, || {
            let memory = Arc::new(Memory {
                shared: Shared::new(),
                content: UnsafeCell::new(7),
                freed: AtomicUsize::new(0),
            });
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    memory.shared.share();
                    let memory = memory.clone();
                    thread::spawn(move || memory.give_up())
                })
                .collect();
            memory.give_up();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(memory.freed.load(Relaxed), 1);
        });
    }
}
