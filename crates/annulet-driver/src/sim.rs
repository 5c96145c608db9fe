//! A kernel made of a seed: hosts, sockets, links, time and faults. For `annulet-sim`, which runs programs on it.
//!
//! A [`World`] is everything below a driver: what sockets do, how long it takes, and what goes wrong. It has a clock
//! of its own that jumps from event to event. Nothing in it depends on anything but the seed, the [`Plan`] of faults
//! and the calls made, so the same calls give the same history, which [`World::log_hash`] sums up.
//!
//! # What is modelled
//!
//! | part | as on Linux |
//! |---|---|
//! | descriptors | a table per host, lowest number first, limited; an open file lives while a descriptor or an operation in flight refers to it |
//! | TCP connecting | SYN, SYN-ACK and ACK take the link's time; nobody listens: ECONNREFUSED; the queue is full: the SYN is dropped and repeated; nobody answers: ETIMEDOUT after 127 s |
//! | TCP streams | send buffer, receive buffer, window, segments, Nagle; FIN after the queued bytes, half-close both ways; bytes that arrived are readable before an error; an error is reported once, then EPIPE or the end |
//! | resets | closing with `ResetOnClose` or with unread bytes; bytes for a socket that is closed; a listener that goes resets its queue |
//! | waiting in vain | unacknowledged bytes 924 s or the user timeout, then ETIMEDOUT; keepalive |
//! | losses | seen as delay (200 ms, doubling), as is reordering; a partition holds packets until it is mended or the sender gives up, and then all timers start anew |
//! | listening | backlog; `share_port` with a drawn choice; dual-stack IPv6 |
//! | Unix sockets | names that outlive their listener, abstract names; connected at once or refused (EAGAIN, ECONNREFUSED, ENOENT); no delay; a reset when the peer left bytes unread |
//!
//! # What is not
//!
//! Urgent data, simultaneous open, TIME_WAIT's claim on a port, shutdown(2) of a socket that is not connected, the
//! ECONNABORTED of connecting again what was refused, IPv6 scopes, datagrams, files beside the names of Unix sockets.
//! Buffers count payload, not the kernel's bookkeeping.

mod audit;
mod event;
mod fault;
mod file;
mod host;
mod link;
mod listener;
mod log;
mod random;
mod story;
mod stream;
mod tcp;
#[cfg(test)]
mod tests;
mod unix;
mod window;
mod world;

use std::io;

pub use event::Outside;
pub use fault::{Coverage, Fault, Operation, Plan};
pub use file::{FileId, Readiness};
pub use host::{Death, HostId, HostSettings};
pub use link::LinkSettings;
pub use log::{LogEntry, LogKind};
pub use random::{Chance, Purpose};
pub(crate) use story::error_told;
pub use world::{Happened, World};

pub use crate::seeded::SeededThread;
pub use crate::simulated::{OUTSIDE, RingTraits, SeatId, Simulation};

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}
