//! The kernel behind one interface.
//!
//! A [`Driver`] carries everything a reactor needs from outside: operations on sockets, the clock, wake-ups
//! from other threads, signals, socket options and entropy. Nothing above this crate makes a system call, reads
//! a clock or asks for randomness, so a program runs unchanged on each implementation:
//!
//! | implementation | what it is |
//! |---|---|
//! | io_uring ([`DriverKind::Uring`]) | one ring per reactor, multishot accept and receive, provided buffers |
//! | epoll ([`DriverKind::Epoll`]) | edge-triggered readiness, for kernels and containers without io_uring |
//! | [`scripted`] | no kernel at all: a test says what completes and when |
//!
//! # Operations are data
//!
//! An [`Op`] says what is wanted; [`Driver::submit`] returns a [`Key`] and the answer arrives as one or more
//! [`Completion`]s from [`Driver::turn`], the last of them marked. The driver owns whatever the kernel may
//! touch until that last completion, whatever happened to the future that asked. No operation borrows memory.
//!
//! # Who owns received bytes
//!
//! The kernel fills buffers of the driver's [`BufferPool`]; a filled one is handed out as a [`Chunk`], a lease
//! that returns its buffer when dropped. See [`pool`] for the states of a buffer and the progress guarantee.
//!
//! # Unsafe code
//!
//! This crate is the only one of the workspace that contains any: `pool` (the buffers), `guard` (the mappings they and
//! other memory for the kernel lie in), `uring` (memory shared with the kernel), `simulated` (the same memory, from the
//! other side), `seeded` (chance that others ask for), `sys` (raw calls), `limits` (resource limits), `signals` (handler
//! set-up). Each opens with its numbered invariants.
#![deny(missing_docs)]

// The environments of the conformance suite know the crate by its name.
#[cfg(test)]
extern crate self as annulet_driver;

mod choice;
pub mod counters;
mod descriptor;
mod driver;
mod epoll;
mod guard;
mod instant;
mod kernel;
pub mod limits;
mod op;
mod options;
mod payload;
pub mod pool;
mod probe;
pub mod scripted;
mod seeded;
mod send_queue;
mod signals;
pub mod sim;
mod simulated;
mod slots;
mod socket;
mod sys;
mod uring;

pub use choice::{
    DriverChoice, DriverKind, OpenError, ParseDriverError, Selection, StepDown, select, select_rung,
};
pub use counters::{Counter, CounterSet, DriverCounters};
pub use descriptor::Descriptor;
pub use driver::{Driver, Sockets, Unpark, Wait};
pub use instant::Instant;
pub use op::{Completion, Key, Op, Outcome, Token};
pub use options::{DriverOptions, PoolOptions};
pub use payload::Payload;
pub use pool::{BufferPool, Chunk, PoolUsage};
pub use probe::{Report, RingSizes, probe};
pub use send_queue::{SendBatch, SendQueue};
pub use socket::{Address, Domain, ListenSpec, Socket, SocketOption, UnixAddress};
pub use uring::{Feature, Rung};
