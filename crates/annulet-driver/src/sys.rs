//! System calls, wrapped one by one.
//!
//! What needs `unsafe` here is small: a borrowed view of a descriptor for `socket2`'s safe wrappers, and the calls
//! for which a wrapper would cost the request path something or does not exist.
//!
//! Calls that can be interrupted (EINTR) are repeated; every error keeps its errno.
//!
//! # Invariants
//!
//! - **S1** A [`Socket`](crate::Socket) names a descriptor that its holder has not closed. A broken promise is a
//!   logic error (EBADF, or the wrong socket), never a memory error: a descriptor number is only an index into a
//!   table of the kernel.
//! - **S2** A pointer handed to the kernel is valid, for reading or writing as the call needs, until the call
//!   returns. No call made here leaves anything behind that the kernel uses afterwards.
//! - **S3** A descriptor the kernel just returned belongs to nobody else, so it may be owned.

mod address;
mod births;
mod clock;
pub(crate) mod epoll;
mod option;
mod release;
mod socket_file;
mod sockets;
mod stream;
mod wake;

pub(crate) use address::{from_sockaddr, read_sockaddr, to_sockaddr};
pub(crate) use clock::{entropy, monotonic_now, wall_clock};
pub(crate) use release::kernel_release;
pub(crate) use sockets::KernelSockets;
pub(crate) use stream::is_of_the_connection;
pub(crate) use wake::WakeFd;

use std::io;

/// Turns the C convention (-1 and errno) into a result, repeating interrupted calls.
#[inline]
fn retry(mut call: impl FnMut() -> libc::ssize_t) -> io::Result<usize> {
    loop {
        let result = call();
        if result >= 0 {
            return Ok(result as usize);
        }
        if let Some(error) = failure() {
            return Err(error);
        }
    }
}

/// The error of a call that failed; `None` when it was only interrupted.
#[cold]
fn failure() -> Option<io::Error> {
    let error = io::Error::last_os_error();
    (error.kind() != io::ErrorKind::Interrupted).then_some(error)
}
