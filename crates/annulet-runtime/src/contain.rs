//! Foreign code that panics ends there.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs foreign code; `None` when it panicked.
#[inline]
pub(crate) fn contain<R>(code: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(code)) {
        Ok(output) => Some(output),
        Err(payload) => {
            // What was thrown may throw when dropped. What that throws is given up: it might go on for ever.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                mem::forget(payload);
            }
            None
        }
    }
}
