//! The interface every kernel implements.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::SystemTime;

use crate::choice::DriverKind;
use crate::counters::DriverCounters;
use crate::descriptor::Descriptor;
use crate::instant::Instant;
use crate::op::{Completion, Key, Op, Token};
use crate::pool::{BufferPool, Chunk};
use crate::send_queue::SendQueue;
use crate::socket::{Address, Domain, ListenSpec, Socket, SocketOption};

/// How long [`Driver::turn`] may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: submit, take what is there, return.
    Poll,
    /// Until something completes, [`Unpark::unpark`] is called, or the instant comes (`None`: no limit).
    Until(Option<Instant>),
}

/// Ends another thread's [`Driver::turn`] early.
pub trait Unpark: Send + Sync {
    /// Makes the current sleep, or else the next one, return. Calls may be merged. Costs a system call: callers
    /// keep a flag that says whether the reactor sleeps.
    fn unpark(&self);
}

/// One reactor's kernel.
///
/// A driver belongs to one thread (`turn` must always be called from the same one) and is neither `Send` nor
/// `Sync`. Everything asynchronous goes through [`submit`](Self::submit); the remaining methods never block.
///
/// # Life of an operation
///
/// | state | entered by | left by | who frees |
/// |---|---|---|---|
/// | submitted | `submit` | last completion | slot keeps the operation's memory |
/// | cancelling | `cancel` | last completion: `Cancelled`, or what had happened first | the same |
/// | parked (`Receive` only) | pool empty | a buffer is free, or `cancel` | holds no buffer |
/// | done | last completion delivered by `turn` | | slot is free, generation raised |
///
/// A completion that names an older generation is counted, gives its buffer back, and does nothing else.
pub trait Driver {
    /// Which implementation this is.
    fn kind(&self) -> DriverKind;

    /// Starts an operation. It reaches the kernel at the latest in the next [`turn`](Self::turn).
    fn submit(&mut self, token: Token, op: Op) -> Key;

    /// Asks for an operation's end. Its own last completion says how it ended; a key of the past is ignored.
    fn cancel(&mut self, key: Key);

    /// Submits what is staged, sleeps as `wait` allows, appends what completed, and refreshes [`now`](Self::now).
    ///
    /// # Errors
    /// Only what no retry can mend (the ring or epoll descriptor itself is broken). Interruption, a full completion
    /// queue and their like are handled inside.
    fn turn(&mut self, wait: Wait, completions: &mut Vec<Completion>) -> io::Result<()>;

    /// True while the sleep that the latest [`turn`](Self::turn) was allowed lasts: it had nothing to tell, and returned only
    /// because this kernel does not block its caller. Whatever ends a sleep makes it false at once, also what is no completion,
    /// such as [`Unpark::unpark`]. Never true where a turn sleeps.
    fn is_asleep(&self) -> bool {
        false
    }

    /// True when [`turn`](Self::turn) would find something without sleeping. Used to watch for work for a bounded time before
    /// sleeping; on io_uring it reads shared memory only, on epoll it is one system call.
    fn peek(&mut self) -> bool;

    /// The time of the latest turn: cheap, the same for everything done within the turn.
    fn now(&self) -> Instant;

    /// Reads the clock.
    fn clock(&self) -> Instant;

    /// Reads the wall clock.
    fn wall_clock(&self) -> SystemTime;

    /// Fills `bytes` with randomness fit for seeding.
    fn entropy(&mut self, bytes: &mut [u8]);

    /// The handle with which other threads wake this driver.
    fn unparker(&self) -> Arc<dyn Unpark>;

    /// Offers `bytes` to a stream's send buffer without blocking and returns how many it took. They are only borrowed
    /// for the call: no memory stays with the kernel. Not while a send on this stream is [queued](Self::send_queue).
    ///
    /// # Errors
    /// `WouldBlock` when it took none (then submit [`Op::Writable`]); otherwise the connection's error, such as
    /// `ConnectionReset` or `BrokenPipe`.
    fn try_send(&mut self, socket: Socket, bytes: &[u8]) -> io::Result<usize>;

    /// [`try_send`](Self::try_send) of several slices, in order.
    ///
    /// # Errors
    /// As for `try_send`.
    fn try_send_vectored(&mut self, socket: Socket, slices: &[io::IoSlice<'_>]) -> io::Result<usize>;

    /// Where sends are queued that leave in the next turn, in the entry into the kernel that it makes anyway. `None` where
    /// that is no better than [`try_send`](Self::try_send), or not to be had.
    fn send_queue(&mut self) -> Option<&mut SendQueue> {
        None
    }

    /// Takes what a stream has received, without blocking: `Ok(None)` at its end. Not to be mixed with a
    /// [`Op::Receive`] that has not ended, for the order of bytes would be lost. The chunk is on the heap.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; otherwise the connection's error.
    fn try_receive(&mut self, socket: Socket) -> io::Result<Option<Chunk>>;

    /// Closes a socket. No operation on it may be in flight: end them first (debug builds assert it). What is queued to be
    /// sent on it is not sent.
    fn close(&mut self, socket: Socket);

    /// Calls on sockets that have nothing to wait for.
    fn sockets(&mut self) -> &mut dyn Sockets;

    /// The pool that receives are filled from.
    fn pool(&self) -> &BufferPool;

    /// What happened so far; readable from other threads.
    fn counters(&self) -> &Arc<DriverCounters>;

    /// Where the sockets that are open came from, and then the buffers that are leased: a line for each, as far as it is
    /// known. Debug builds of the real kernel's drivers keep a note of it.
    fn origins(&self) -> Vec<String> {
        Vec::new()
    }

    /// Number of operations whose last completion has not been delivered.
    fn in_flight(&self) -> usize;

    /// Notes what must not be, as far as the driver and its kernel can tell: for simulations, between two turns.
    fn audit(&self, violations: &mut Vec<String>) {
        let _ = violations;
    }

    /// The same of one that [is asleep](Self::is_asleep), allowed to be until `deadline`: nothing may be left that it could
    /// do without news from the kernel.
    fn audit_sleep(&self, deadline: Option<Instant>, violations: &mut Vec<String>) {
        let _ = (deadline, violations);
    }

    /// Cancels everything still in flight and reaps it, within `patience`; returns how many operations could not be
    /// reaped. Memory those may still touch is leaked rather than freed. Sockets in discarded completions are
    /// closed.
    fn quiesce(&mut self, patience: std::time::Duration) -> usize;
}

/// The part of a driver that answers at once.
pub trait Sockets {
    /// A fresh stream socket, close-on-exec.
    ///
    /// # Errors
    /// Descriptor exhaustion, or a domain the kernel does not know.
    fn open(&mut self, domain: Domain) -> io::Result<Socket>;

    /// A listening socket and the address it really has (port 0 resolved). A Unix socket's file is replaced when nobody
    /// answers there, and removed when the socket is closed.
    ///
    /// # Errors
    /// `AddrInUse`, `PermissionDenied`, `AddrNotAvailable` and their like from bind or listen.
    fn listen(&mut self, spec: &ListenSpec) -> io::Result<(Socket, Address)>;

    /// Takes over a descriptor opened elsewhere (inherited, or of the standard library), or by another driver.
    ///
    /// # Panics
    /// When it is another kernel's.
    fn adopt(&mut self, descriptor: Descriptor) -> Socket;

    /// A second descriptor of the same open socket, for whoever [adopts](Self::adopt) it: another driver, on any thread. It
    /// closes itself when nobody does.
    ///
    /// # Errors
    /// Descriptor exhaustion.
    fn duplicate(&mut self, socket: Socket) -> io::Result<Descriptor>;

    /// Takes the next connection waiting at a listener, without blocking. Only while no [`Op::Accept`] is in flight.
    ///
    /// # Errors
    /// `WouldBlock` when the accept queue is empty, whatever else is amiss; descriptor exhaustion when it is not.
    fn try_accept(&mut self, listener: Socket) -> io::Result<Socket>;

    /// Sets an option.
    ///
    /// # Errors
    /// Whatever the kernel says: an option the socket does not have, a value out of range.
    fn set_option(&mut self, socket: Socket, option: SocketOption) -> io::Result<()>;

    /// Reads an option: pass any value of the variant wanted, receive the one in force.
    ///
    /// # Errors
    /// As for [`set_option`](Self::set_option).
    fn option(&mut self, socket: Socket, option: SocketOption) -> io::Result<SocketOption>;

    /// Address of this end.
    ///
    /// # Errors
    /// The kernel's.
    fn local_address(&mut self, socket: Socket) -> io::Result<Address>;

    /// Address of the other end.
    ///
    /// # Errors
    /// `NotConnected` when there is none any more.
    fn peer_address(&mut self, socket: Socket) -> io::Result<Address>;

    /// How many descriptors this driver's process may have open, each reactor's together.
    fn descriptors_max(&self) -> u64;

    /// Ends sending, receiving or both.
    ///
    /// # Errors
    /// `NotConnected` when the peer is gone already.
    fn shutdown(&mut self, socket: Socket, how: Shutdown) -> io::Result<()>;
}
