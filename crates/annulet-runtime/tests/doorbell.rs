//! The doorbell's promise, checked by loom over every interleaving: no wake-up is lost, and a sleep costs its
//! senders at most one.
//!
//! `scripts/loom` runs it; without `--cfg loom` this file is an empty test program.
//!
//! # That the models can fail
//!
//! Tried by hand in `src/doorbell.rs`, one change at a time:
//!
//! | change | found by |
//! |---|---|
//! | `ring`: the store of `rung` to `Release` | lost wake-up (deadlock) in all of them |
//! | `ring`: the load of `sleeping` to `Acquire` | the same |
//! | `rung`: the load to `Acquire` | the same |
//! | `prepare_sleep`: the store of `sleeping` to `Release` | the same |
//! | `prepare_sleep`: does not look at `rung` | the same |
//! | `ring`: looks at `sleeping` before it stores `rung` | the same |
//! | `ring`: `load` and `store(false)` in place of `swap` | two wake-ups for one sleep, with two senders |
//! | the sleeper takes the work, then answers | lost wake-up with two senders |
//!
//! These four are the accesses whose order matters. `swap` and the stores of `answer` and `awake` would do with
//! less: the first only has to be atomic, and the others are ordered by the queue's lock and by the next
//! `prepare_sleep`.
#![cfg(loom)]

#[path = "../src/doorbell.rs"]
mod doorbell;

/// Loom's flag, corrected where loom is weaker than the language and would cry wolf.
mod atomic {
    use std::cell::Cell;

    use loom::sync::atomic as model;
    pub(crate) use std::sync::atomic::Ordering;

    loom::thread_local! {
        static LAST_STORE_WAS_SEQ_CST: Cell<bool> = Cell::new(false);
    }

    #[derive(Debug)]
    pub(crate) struct AtomicBool(model::AtomicBool);

    impl AtomicBool {
        pub(crate) fn new(value: bool) -> Self {
            Self(model::AtomicBool::new(value))
        }

        /// Loom takes `SeqCst` for `AcqRel`: it lets a load pass an earlier store. The language forbids that
        /// when both are `SeqCst`, and only then, so only then a fence stands between them.
        pub(crate) fn load(&self, ordering: Ordering) -> bool {
            if ordering != Ordering::SeqCst {
                return self.0.load(ordering);
            }
            if LAST_STORE_WAS_SEQ_CST.with(Cell::get) {
                model::fence(Ordering::SeqCst);
            }
            self.0.load(Ordering::Acquire)
        }

        /// Loom does not know that a swap follows directly upon the store it has read, and so lets a third
        /// thread see the swap's value after a store made later than both. A store that is a swap itself
        /// (which is what x86 makes of a `SeqCst` one) puts them in their order.
        pub(crate) fn store(&self, value: bool, ordering: Ordering) {
            LAST_STORE_WAS_SEQ_CST.with(|last| last.set(ordering == Ordering::SeqCst));
            if ordering == Ordering::SeqCst {
                self.0.swap(value, Ordering::AcqRel);
            } else {
                self.0.store(value, ordering);
            }
        }

        pub(crate) fn swap(&self, value: bool, ordering: Ordering) -> bool {
            LAST_STORE_WAS_SEQ_CST.with(|last| last.set(ordering == Ordering::SeqCst));
            self.0.swap(value, ordering)
        }
    }
}

mod models {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use loom::sync::{Arc, Condvar, Mutex};
    use loom::{model, thread};

    use crate::doorbell::Doorbell;

    /// A reactor's inbox and what it sleeps on, as `src/inbox.rs` and `src/reactor.rs` use them.
    struct Inbox {
        doorbell: Doorbell,
        work: Mutex<usize>,
        /// As an eventfd: what is posted before the sleep ends it at once.
        posted: Mutex<bool>,
        posted_changed: Condvar,
        // Bookkeeping of the model, invisible to loom: one thread of it runs at a time.
        sleeps_announced: AtomicUsize,
        unparks: AtomicUsize,
    }

    impl Inbox {
        fn new() -> Self {
            Self {
                doorbell: Doorbell::new(),
                work: Mutex::new(0),
                posted: Mutex::new(false),
                posted_changed: Condvar::new(),
                sleeps_announced: AtomicUsize::new(0),
                unparks: AtomicUsize::new(0),
            }
        }

        fn post(&self) {
            *self.posted.lock().unwrap() = true;
            self.posted_changed.notify_one();
        }

        fn send(&self) {
            *self.work.lock().unwrap() += 1;
            if self.doorbell.ring() {
                let unparks = self.unparks.fetch_add(1, Relaxed) + 1;
                assert!(unparks <= self.sleeps_announced.load(Relaxed), "two wake-ups for one sleep");
                self.post();
            }
        }

        /// The reactor: returns when it has seen `expected` pieces of work. A lost wake-up leaves it waiting with
        /// every sender gone, which loom reports as a deadlock.
        fn take_until(&self, expected: usize) {
            let mut taken = 0;
            loop {
                if self.doorbell.rung() {
                    self.doorbell.answer();
                    taken += std::mem::take(&mut *self.work.lock().unwrap());
                    if taken == expected {
                        return;
                    }
                }
                self.sleeps_announced.fetch_add(1, Relaxed);
                if !self.doorbell.prepare_sleep() {
                    continue;
                }
                let mut posted = self.posted.lock().unwrap();
                while !*posted {
                    posted = self.posted_changed.wait(posted).unwrap();
                }
                *posted = false;
                drop(posted);
                self.doorbell.awake();
            }
        }
    }

    /// `preemptions_max`: how often a thread is interrupted where it could have gone on; `None` is exhaustive.
    fn check(preemptions_max: Option<usize>, senders: &'static [usize], completion: bool) {
        let mut builder = model::Builder::new();
        // `LOOM_MAX_PREEMPTIONS` goes deeper.
        builder.preemption_bound = builder.preemption_bound.or(preemptions_max);
        builder.check(move || {
            let inbox = Arc::new(Inbox::new());
            let mut threads = Vec::new();
            for &sends in senders {
                let inbox = inbox.clone();
                threads.push(thread::spawn(move || (0..sends).for_each(|_| inbox.send())));
            }
            if completion {
                let inbox = inbox.clone();
                threads.push(thread::spawn(move || inbox.post()));
            }
            inbox.take_until(senders.iter().sum());
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    #[test]
    fn one_sender_wakes_the_sleeper() {
        check(None, &[1], false);
    }

    #[test]
    fn one_sender_wakes_the_sleeper_again() {
        check(Some(4), &[2], false);
    }

    #[test]
    fn two_senders_pay_for_one_wake_up() {
        check(Some(3), &[1, 1], false);
    }

    /// The sleep ends for another reason while a sender rings.
    #[test]
    fn a_completion_ends_the_sleep_meanwhile() {
        check(Some(3), &[1], true);
    }
}
