//! Watching for room to send.
//!
//! Inside the ring this would be a poll for POLLOUT, but io_uring always polls for POLLRDHUP too, so that on a
//! connection whose peer has finished sending every such poll completes at once: a busy loop. A small epoll instance
//! asks for EPOLLOUT alone, and the ring polls that.
//!
//! Registrations are edge-triggered and one-shot: reported at once if there is room already, else at the next chance,
//! and then silent until asked again. EPOLLERR and EPOLLHUP are always reported. A socket's registration stays,
//! silent, until the socket is closed.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use crate::kernel::{Polling, RoomWatch};
use crate::op::Key;
use crate::sys::epoll::{Poller, WRITABLE};

/// Reports taken from the kernel at a time.
const BATCH: usize = 64;

/// An epoll instance for EPOLLOUT.
pub(crate) struct Watch(Poller);

impl Watch {
    /// # Errors
    /// Descriptor exhaustion.
    pub(crate) fn new() -> io::Result<Self> {
        Poller::new(BATCH).map(Self)
    }
}

impl RoomWatch for Watch {
    /// Reports `key` once, as soon as `socket` has room or has failed.
    ///
    /// # Errors
    /// The kernel's: memory, or `fs.epoll.max_user_watches`.
    fn add(&self, socket: RawFd, key: Key) -> io::Result<()> {
        self.0.watch(socket, WRITABLE | libc::EPOLLONESHOT as u32, key.to_bits())
    }

    fn remove(&self, socket: RawFd) {
        self.0.forget(socket);
    }

    fn take(&mut self, mut report: impl FnMut(Key)) {
        // Nothing but a broken descriptor makes a wait for no time fail.
        while let Ok(count) = self.0.wait(Some(Duration::ZERO)) {
            for index in 0..count {
                report(Key::from_bits(self.0.event(index).1));
            }
            if count < BATCH {
                return;
            }
        }
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
