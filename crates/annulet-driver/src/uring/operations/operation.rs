//! One operation: its kind, how far it has come, and what the end of its arming in the kernel means.

use std::io;
use std::os::fd::RawFd;

use socket2::SockAddr;

use crate::guard::Lent;
use crate::kernel::{Kernel, Linux};
use crate::op::{Outcome, Token};

/// How far an operation that the kernel holds has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Progress {
    Armed,
    Ending,
    Parked,
}

pub(super) enum Kind<K: Kernel> {
    Accept {
        listener: RawFd,
        progress: Progress,
    },
    Receive {
        socket: RawFd,
        progress: Progress,
        /// Armed for one completion at a time, always.
        single: bool,
    },
    Writable {
        socket: RawFd,
    },
    Connect {
        connection: Lent<Connecting>,
        progress: Progress,
    },
    Signal(Box<K::Signals>),
}

pub(super) struct Connecting {
    pub(super) socket: RawFd,
    /// The kernel may read it until the completion.
    pub(super) address: SockAddr,
}

pub(super) struct Operation<K: Kernel> {
    pub(super) token: Token,
    pub(super) kind: Kind<K>,
}

// One per connection: with its generation 32 bytes of the table.
const _: () = assert!(size_of::<Operation<Linux>>() <= 24);

/// What happens to a receive or accept that ended in the kernel.
pub(super) enum Next {
    Rearm,
    Park,
    Done(Outcome),
}

/// What follows the end of a receive in the kernel.
pub(super) fn after_receive(result: i32, progress: Progress) -> Next {
    let is_ending = progress == Progress::Ending;
    match -result {
        0 => Next::Done(Outcome::End),
        libc::ENOBUFS if !is_ending => Next::Park,
        // The cap was reached, the completion queue overflowed, a signal came, memory was short, or something else than
        // our cancellation cancelled it: all of them mend by asking again. Before 6.5 a cancelled receive may also end
        // with ENOBUFS.
        ..=-1 | libc::ECANCELED | libc::EINTR | libc::EAGAIN | libc::ENOBUFS => {
            if is_ending {
                Next::Done(Outcome::Cancelled)
            } else {
                Next::Rearm
            }
        }
        error => Next::Done(Outcome::Failed(io::Error::from_raw_os_error(error))),
    }
}

/// What follows the end of an accept in the kernel.
pub(super) fn after_accept(result: i32, progress: Progress) -> Next {
    match -result {
        // As above; and what accept(2) reports of the connection it took off the queue, not of the listener.
        ..=0
        | libc::ECANCELED
        | libc::EINTR
        | libc::EAGAIN
        | libc::ECONNABORTED
        | libc::EPROTO
        | libc::ENOPROTOOPT
        | libc::ENETDOWN
        | libc::ENETUNREACH
        | libc::ENONET
        | libc::EHOSTDOWN
        | libc::EHOSTUNREACH => {
            if progress == Progress::Ending {
                Next::Done(Outcome::Cancelled)
            } else {
                Next::Rearm
            }
        }
        error => Next::Done(Outcome::Failed(io::Error::from_raw_os_error(error))),
    }
}
