//! Submission entries as the kernel reads them, completion entries as it writes them.
//!
//! # Invariants
//!
//! - **E1** An entry is 64 (16) bytes of plain integers, `repr(C)` in the `io-uring` crate: every bit pattern is one.

use std::os::fd::RawFd;

use io_uring::{cqueue, squeue};

/// `struct io_uring_sqe` (io_uring_enter(2)), as far as it is used.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Submission {
    pub(super) opcode: u8,
    pub(super) flags: u8,
    pub(super) priority: u16,
    pub(super) descriptor: RawFd,
    pub(super) offset: u64,
    pub(super) address: u64,
    pub(super) length: u32,
    pub(super) operation_flags: u32,
    pub(super) user_data: u64,
    pub(super) buffer_group: u16,
    personality: u16,
    pub(super) total_length: u32,
    rest: [u64; 2],
}

/// `struct io_uring_cqe`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Completed {
    pub(super) user_data: u64,
    pub(super) result: i32,
    pub(super) flags: u32,
}

const _: () = assert!(size_of::<Submission>() == size_of::<squeue::Entry>());
const _: () = assert!(align_of::<Submission>() == align_of::<squeue::Entry>());
const _: () = assert!(size_of::<Completed>() == size_of::<cqueue::Entry>());
const _: () = assert!(align_of::<Completed>() == align_of::<cqueue::Entry>());

/// More completions of this operation follow.
pub(super) const MORE: u32 = 1 << 1;

/// Flags of a completion that carries this buffer.
pub(super) const fn with_buffer(id: u16) -> u32 {
    const BUFFER: u32 = 1;
    (id as u32) << 16 | BUFFER
}

impl Submission {
    pub(super) fn read(entry: squeue::Entry) -> Self {
        // SAFETY: E1.
        unsafe { std::mem::transmute(entry) }
    }

    /// Asks for no completion when all went well.
    pub(super) fn skips_success(self) -> bool {
        self.flags & (1 << 6) != 0
    }

    /// Takes a buffer of the group.
    #[cfg(test)]
    pub(super) fn selects_buffer(self) -> bool {
        self.flags & (1 << 5) != 0
    }
}

impl Completed {
    pub(super) fn has_more(self) -> bool {
        self.flags & MORE != 0
    }

    pub(super) fn has_buffer(self) -> bool {
        self.flags & 1 != 0
    }

    pub(super) fn write(self) -> cqueue::Entry {
        // SAFETY: E1.
        unsafe { std::mem::transmute(self) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Key;
    use crate::uring::entry;

    #[test]
    fn an_entry_is_read_as_it_was_built() {
        let key = Key { slot: 7, generation: 9 };
        let receive = Submission::read(entry::receive(key, 5, 65536));
        assert_eq!((receive.opcode, receive.descriptor, receive.user_data), (27, 5, key.to_bits()));
        assert_eq!((receive.priority, receive.total_length), (2, 65536));
        assert!(receive.selects_buffer() && !receive.skips_success());
        let bytes = *b"hello";
        let send = Submission::read(entry::send(3, 6, &bytes));
        assert_eq!((send.address, send.length), (bytes.as_ptr() as u64, 5));
        assert!(send.skips_success());
    }

    #[test]
    fn a_completion_is_written_as_it_is_read() {
        let written = Completed { user_data: 3, result: -5, flags: with_buffer(9) | MORE }.write();
        assert_eq!((written.user_data(), written.result()), (3, -5));
        assert_eq!(io_uring::cqueue::buffer_select(written.flags()), Some(9));
        assert!(io_uring::cqueue::more(written.flags()));
    }
}
