//! Submission entries, one function for each kind in use.

use std::os::fd::RawFd;

use io_uring::opcode;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{CancelBuilder, Fd};
use socket2::SockAddr;

use super::buffer_ring::GROUP;
use crate::op::Key;

/// The driver's own operations: keys of a slot that no table reaches.
pub(crate) const OWN: u32 = u32::MAX;
/// The multishot poll of the eventfd that wakes the driver.
pub(crate) const WAKE: Key = Key { slot: OWN, generation: 0 };
/// The multishot poll of the epoll instance that watches for room to send.
pub(crate) const WATCH: Key = Key { slot: OWN, generation: 1 };
/// Cancellations. What they say is of no use: the cancelled operation's own completion tells how it ended.
pub(crate) const CANCEL: Key = Key { slot: OWN, generation: 2 };

/// Slot of the keys of queued sends; the generation is the place in the queue. Not reached by the table either.
pub(crate) const SEND: u32 = u32::MAX - 1;

/// Accept until cancelled (5.19).
pub(crate) fn accept(key: Key, listener: RawFd, flags: i32) -> Entry {
    opcode::AcceptMulti::new(Fd(listener)).flags(flags).build().user_data(key.to_bits())
}

/// Receive into the pool's buffers until cancelled (6.0), or, with a cap other than 0, until that many bytes came.
pub(crate) fn receive(key: Key, socket: RawFd, cap: u32) -> Entry {
    let mut entry = opcode::RecvMulti::new(Fd(socket), GROUP).build().user_data(key.to_bits());
    if cap != 0 {
        set_total_length(&mut entry, cap);
    }
    entry
}

/// Offer bytes to a stream's send buffer and say nothing when it took them all. The bytes must live until the entry into
/// the kernel that takes this has returned.
///
/// `MSG_DONTWAIT` has the kernel do it then and there, whatever comes of it; `MSG_WAITALL` has it count as failed, so that
/// it is told, when not all was taken.
pub(crate) fn send(place: usize, socket: RawFd, bytes: &[u8]) -> Entry {
    const FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
    // The kernel may take less than it is offered anyway.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let entry = opcode::Send::new(Fd(socket), bytes.as_ptr(), length).flags(FLAGS).build();
    let key = Key { slot: SEND, generation: place as u32 };
    entry.flags(Flags::SKIP_SUCCESS).user_data(key.to_bits())
}

/// Receive once into a buffer of the pool.
pub(crate) fn receive_once(key: Key, socket: RawFd) -> Entry {
    let entry = opcode::Recv::new(Fd(socket), std::ptr::null_mut(), 0).buf_group(GROUP).build();
    entry.flags(Flags::BUFFER_SELECT).user_data(key.to_bits())
}

/// Connect. The address must live until the completion.
pub(crate) fn connect(key: Key, socket: RawFd, address: &SockAddr) -> Entry {
    opcode::Connect::new(Fd(socket), address.as_ptr().cast(), address.len()).build().user_data(key.to_bits())
}

/// Tell every time `descriptor` becomes readable (5.13).
pub(crate) fn poll(key: Key, descriptor: RawFd) -> Entry {
    opcode::PollAdd::new(Fd(descriptor), libc::POLLIN as u32).multi(true).build().user_data(key.to_bits())
}

/// End the operation of this key.
pub(crate) fn cancel(key: Key) -> Entry {
    opcode::AsyncCancel::new(key.to_bits()).build().user_data(CANCEL.to_bits())
}

/// End every operation of the ring (5.19), the driver's own included.
pub(crate) fn cancel_all() -> Entry {
    opcode::AsyncCancel2::new(CancelBuilder::any()).build().user_data(CANCEL.to_bits())
}

/// Do nothing.
pub(crate) fn nop(key: Key) -> Entry {
    opcode::Nop::new().build().user_data(key.to_bits())
}

/// Sets `optlen`, the bytes after which a multishot receive ends (6.17). The `io-uring` crate has no name for it.
fn set_total_length(entry: &mut Entry, bytes: u32) {
    const OPTLEN: usize = 44;
    const { assert!(size_of::<Entry>() == 64 && align_of::<Entry>() >= 4) };
    // SAFETY: `Entry` is the 64 bytes of `struct io_uring_sqe` (repr(C)), in which these four, aligned, are a plain
    // integer for a receive.
    unsafe { (&raw mut *entry).cast::<u8>().add(OPTLEN).cast::<u32>().write(bytes) };
}
