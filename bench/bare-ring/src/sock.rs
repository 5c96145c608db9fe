//! Direct system calls on sockets.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::run::Parts;

/// One non-blocking `send(2)` or `sendmsg(2)`; 0 if there is no room.
#[inline]
pub(crate) fn send_now(fd: BorrowedFd<'_>, parts: &Parts<'_>) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    loop {
        let sent = match parts {
            // SAFETY: pointer and length are those of a live slice.
            Parts::One(bytes) => unsafe {
                libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags)
            },
            // SAFETY: the header and what it points to belong to a run that the caller keeps unchanged.
            Parts::Many(header) => unsafe { libc::sendmsg(fd.as_raw_fd(), *header, flags) },
        };
        if sent >= 0 {
            return Ok(sent as usize);
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock => return Ok(0),
            io::ErrorKind::Interrupted => {}
            _ => return Err(error),
        }
    }
}

/// Ends both directions, so that an armed receive completes.
pub(crate) fn shut_down(fd: BorrowedFd<'_>) {
    // SAFETY: no pointer is involved. A failure means that the connection is already gone, which is what we want.
    unsafe { libc::shutdown(fd.as_raw_fd(), libc::SHUT_RDWR) };
}
