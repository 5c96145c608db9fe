//! Clocks and entropy.

use std::time::SystemTime;

use crate::instant::Instant;

/// `CLOCK_MONOTONIC`, which no one can set and which stands still while the machine is suspended. Served by the vDSO:
/// no entry into the kernel.
pub(crate) fn monotonic_now() -> Instant {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: S2: `time` is a local that outlives the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    assert_eq!(result, 0, "every Linux has CLOCK_MONOTONIC");
    Instant::from_nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// Fills `bytes` from the kernel's generator, waiting, early in boot, until it is seeded.
///
/// # Panics
/// When `getrandom(2)` is refused (a seccomp filter): without it nothing sound can be seeded.
pub(crate) fn entropy(bytes: &mut [u8]) {
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = &mut bytes[filled..];
        // SAFETY: S2: `rest` is writable for its length. More than 256 bytes may come in parts (getrandom(2)).
        let got = super::retry(|| unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) });
        match got {
            Ok(count) => filled += count,
            Err(error) => panic!("getrandom: {error}"),
        }
    }
}

/// Nanoseconds as the kernel's 64-bit `timespec`, the same on every architecture.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timespec {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: i64,
}

impl From<std::time::Duration> for Timespec {
    fn from(duration: std::time::Duration) -> Self {
        Self {
            seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: i64::from(duration.subsec_nanos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_does_not_run_backwards() {
        let first = monotonic_now();
        assert!(monotonic_now() >= first);
    }

    #[test]
    fn entropy_fills_everything_however_long() {
        let mut bytes = [0; 1000];
        entropy(&mut bytes);
        assert!(bytes.chunks(100).all(|chunk| chunk.iter().any(|byte| *byte != 0)));
    }
}
