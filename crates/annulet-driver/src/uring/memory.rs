//! Making do with little locked memory.
//!
//! From 6.14 on the queues and the buffer ring count towards the limit on locked memory (`ulimit -l`), which is one for
//! all processes of a user and was 64 KiB for long.

use std::io;
use std::time::Duration;

use crate::options::DriverOptions;

/// Smaller queues than these are not tried when memory is short.
const ENTRIES_MIN: u32 = 64;

pub(super) fn is_out_of_memory<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.raw_os_error() == Some(libc::ENOMEM))
}

/// Tries once more after a pause when locked memory ran out: what a closed ring was charged comes back only some 30 ms
/// later, and others, if only that of the self-test, may have been closed just now.
pub(super) fn with_memory<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    const RELEASE: Duration = Duration::from_millis(50);
    let result = attempt();
    if !is_out_of_memory(&result) {
        return result;
    }
    std::thread::sleep(RELEASE);
    attempt()
}

/// Halves the sizes that are charged to locked memory; false when they are small already.
pub(super) fn halve(options: &mut DriverOptions) -> bool {
    let mut is_less = false;
    let pool = &mut options.pool;
    for size in [&mut options.submission_entries, &mut options.completion_entries, &mut pool.buffers_max] {
        if *size > ENTRIES_MIN {
            *size = (*size / 2).max(ENTRIES_MIN);
            is_less = true;
        }
    }
    is_less
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_halved_down_to_a_minimum() {
        let mut options = DriverOptions::default();
        let mut steps = 0;
        while halve(&mut options) {
            steps += 1;
        }
        assert_eq!(steps, 6);
        assert_eq!((options.submission_entries, options.completion_entries), (ENTRIES_MIN, ENTRIES_MIN));
        assert_eq!(options.pool.buffers_max, ENTRIES_MIN);
        let mut small = DriverOptions::default().submission_entries(8).completion_entries(16).buffers_max(8);
        assert!(!halve(&mut small));
        assert_eq!(small.submission_entries, 8);
    }
}
