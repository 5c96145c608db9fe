//! The part of a task that every thread touches: how many refer to it, and whether it is on its way home.
//! `tests/task` holds the loom model.

// This crate's are std's; the model of `tests/task.rs`, which includes this file, brings its own.
use crate::atomic::{AtomicBool, AtomicU32, Ordering};

/// More references than this are a leak in a loop; the process ends before their number can overflow.
const REFERENCES_MAX: u32 = i32::MAX as u32;

/// See the invariants of [`super::raw`].
#[derive(Debug)]
pub(crate) struct Shared {
    references: AtomicU32,
    /// The task stands in the home's inbox.
    is_remote: AtomicBool,
}

impl Shared {
    /// With one reference, the home's.
    pub(crate) fn new() -> Self {
        Self { references: AtomicU32::new(1), is_remote: AtomicBool::new(false) }
    }

    /// Counts one more reference; the caller has one.
    pub(crate) fn share(&self) {
        if self.references.fetch_add(1, Ordering::Relaxed) > REFERENCES_MAX {
            std::process::abort();
        }
    }

    /// Gives a reference up; true for the last, whose owner is alone with the task from then on.
    pub(crate) fn release(&self) -> bool {
        let is_last = self.references.fetch_sub(1, Ordering::Release) == 1;
        if is_last {
            // A load rather than a fence, which the thread sanitizer does not understand.
            self.references.load(Ordering::Acquire);
        }
        is_last
    }

    /// A wake-up elsewhere than at home: true when the caller is to put the task into its home's inbox.
    pub(crate) fn depart(&self) -> bool {
        !self.is_remote.swap(true, Ordering::AcqRel)
    }

    /// The home has taken the task out of its inbox.
    pub(crate) fn arrive(&self) {
        // Read and written in one, so that all who found the task in the inbox have happened before its poll.
        self.is_remote.swap(false, Ordering::AcqRel);
    }
}
