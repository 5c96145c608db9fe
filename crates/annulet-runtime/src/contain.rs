//! Foreign code that panics ends there.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is thrown may throw when it is dropped, and what that throws likewise, so many times. The rest is leaked: it might
/// go on for ever.
const THROWN_MAX: usize = 8;

/// Runs code of a user; `None` when it panicked. What it threw is dropped, and what that throws in turn.
#[inline]
pub fn contain<R>(code: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(code)) {
        Ok(output) => Some(output),
        Err(thrown) => {
            drop_thrown(thrown);
            None
        }
    }
}

#[cold]
fn drop_thrown(mut thrown: Box<dyn Any + Send>) {
    for _ in 0..THROWN_MAX {
        match catch_unwind(AssertUnwindSafe(|| drop(thrown))) {
            Ok(()) => return,
            Err(next) => thrown = next,
        }
    }
    mem::forget(thrown);
}
