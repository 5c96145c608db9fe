//! The calls of the request path: each is one system call that never waits.

use std::io;
use std::mem::MaybeUninit;

use crate::pool::{BufferPool, Chunk, Filled};

/// Slices offered to the kernel in one call. Enough to gather a burst of responses; the kernel's own limit is 1024.
const SLICES_MAX: usize = 64;

const SEND: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// Bytes [`try_receive`] asks for.
const TRY_RECEIVE: usize = 4096;

/// Offers bytes to the send buffer of a stream; returns how many it took. `MSG_NOSIGNAL`: a closed peer is EPIPE, not
/// SIGPIPE.
///
/// # Errors
/// `WouldBlock` when it took none, else the connection's error.
#[inline]
pub(crate) fn send(descriptor: i32, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: S2: the slice is readable for its length and borrowed for the call.
    super::retry(|| unsafe { raw::send(descriptor, bytes.as_ptr(), bytes.len(), SEND) })
}

/// [`send`] of several slices; of no more than [`SLICES_MAX`].
///
/// # Errors
/// As for [`send`].
pub(crate) fn send_vectored(descriptor: i32, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
    if slices.is_empty() {
        return Ok(0);
    }
    // SAFETY: all zeroes is a `msghdr` without name, control data and slices.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // `IoSlice` is guaranteed to have the layout of `iovec`; sendmsg(2) only reads through the pointer.
    message.msg_iov = slices.as_ptr().cast_mut().cast();
    message.msg_iovlen = slices.len().min(SLICES_MAX) as _;
    // SAFETY: S2: message, slices and bytes are borrowed for the call.
    super::retry(|| unsafe { libc::sendmsg(descriptor, &message, SEND) })
}

/// Receives into the pool's first free buffer; no bytes are the end of the stream. `None` when no buffer is free: the
/// socket was not asked.
///
/// # Errors
/// `WouldBlock` when nothing is there, else the connection's error.
#[inline]
pub(crate) fn receive_pooled(descriptor: i32, pool: &BufferPool) -> Option<io::Result<Filled>> {
    // SAFETY: the pool lends the buffer for the length of the call.
    pool.fill_first(|address, length| unsafe { receive_into(descriptor, address, length) })
}

/// Receives `length` bytes at most; 0 is the end of the stream.
///
/// # Errors
/// `WouldBlock` when nothing is there, else the connection's error.
///
/// # Safety
/// `address` must be valid for writing `length` bytes, and nobody else may use them during the call.
#[inline]
unsafe fn receive_into(descriptor: i32, address: *mut u8, length: usize) -> io::Result<usize> {
    // SAFETY: the caller's promise is S2.
    super::retry(|| unsafe { raw::receive(descriptor, address, length, libc::MSG_DONTWAIT) })
}

/// send(2) and recv(2) without glibc's cancellation points, which a process with several threads pays for with 90
/// instructions a pair, although a call that never waits cannot be cancelled.
mod raw {
    use std::ptr::null;

    /// # Safety
    /// As for send(2): `length` bytes at `bytes` are readable.
    #[inline]
    pub(super) unsafe fn send(descriptor: i32, bytes: *const u8, length: usize, flags: i32) -> isize {
        // Every 64-bit Linux has these calls; 32-bit ones may have socketcall(2) instead.
        #[cfg(target_pointer_width = "64")]
        // SAFETY: the caller's; no address is passed.
        return unsafe {
            libc::syscall(libc::SYS_sendto, descriptor, bytes, length, flags, null::<u8>(), 0) as isize
        };
        #[cfg(not(target_pointer_width = "64"))]
        // SAFETY: the caller's.
        return unsafe { libc::send(descriptor, bytes.cast(), length, flags) };
    }

    /// # Safety
    /// As for recv(2): `length` bytes at `bytes` are writable and nobody else's for the call.
    #[inline]
    pub(super) unsafe fn receive(descriptor: i32, bytes: *mut u8, length: usize, flags: i32) -> isize {
        #[cfg(target_pointer_width = "64")]
        // SAFETY: the caller's; no address is asked for.
        return unsafe {
            libc::syscall(libc::SYS_recvfrom, descriptor, bytes, length, flags, null::<u8>(), null::<u8>())
                as isize
        };
        #[cfg(not(target_pointer_width = "64"))]
        // SAFETY: the caller's.
        return unsafe { libc::recv(descriptor, bytes.cast(), length, flags) };
    }
}

/// Receives into memory of its own; `None` is the end of the stream.
///
/// # Errors
/// As for [`receive_pooled`].
pub(crate) fn try_receive(descriptor: i32) -> io::Result<Option<Chunk>> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); TRY_RECEIVE];
    // SAFETY: the array is writable for its length, and only a local name knows it.
    let count = unsafe { receive_into(descriptor, buffer.as_mut_ptr().cast(), TRY_RECEIVE) }?;
    if count == 0 {
        return Ok(None);
    }
    // SAFETY: the kernel initialised the first `count` bytes.
    let bytes = unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), count) };
    Ok(Some(Chunk::from(bytes.to_vec())))
}

/// Takes a connection from a listener and gives it `flags` (`SOCK_CLOEXEC`, `SOCK_NONBLOCK`). Waits when the listener
/// is in blocking mode and its queue is empty. The peer's address is not asked for: most servers never look.
///
/// # Errors
/// `WouldBlock` when the queue is empty; see accept(2) for the many others.
pub(crate) fn accept(descriptor: i32, flags: i32) -> io::Result<i32> {
    let null = std::ptr::null_mut();
    // SAFETY: S2: null pointers say that no address is wanted.
    let accepted = super::retry(|| unsafe { libc::accept4(descriptor, null, null.cast(), flags) as isize })?;
    Ok(accepted as i32)
}

/// True for errors that accept(2) passes on from the connection it took from the queue: the listener is fine. EPERM is
/// none of them: a security module says it before a connection is taken, and would say it again at once.
pub(crate) fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
        )
    )
}
