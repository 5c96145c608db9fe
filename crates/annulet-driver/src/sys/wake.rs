//! Waking a driver from other threads and from signal handlers.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::driver::Unpark;

/// An eventfd that a driver watches.
///
/// It is in blocking mode, as io_uring needs it (an O_NONBLOCK file gives EAGAIN instead of waiting). Writing blocks
/// only when the counter is about to pass 2^64 - 2, which 10^9 wake-ups a second reach after 584 years.
#[derive(Debug)]
pub(crate) struct WakeFd(OwnedFd);

impl WakeFd {
    /// # Errors
    /// Descriptor exhaustion.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no memory is passed.
        let descriptor = super::retry(|| unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) as isize })?;
        // SAFETY: S3.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor as i32) }))
    }

    /// Adds one to the counter. Async-signal-safe: one system call, no memory, no panic.
    pub(crate) fn wake(&self) {
        let one = 1_u64;
        // SAFETY: S2: eight bytes of a local. The result is of no use: EAGAIN and EINTR cannot occur in blocking mode
        // on a counter that is not full, and no other error is possible on a descriptor that is owned.
        let _ = unsafe { libc::write(self.0.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
    }
}

impl AsRawFd for WakeFd {
    fn as_raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

impl Unpark for WakeFd {
    fn unpark(&self) {
        self.wake();
    }
}
