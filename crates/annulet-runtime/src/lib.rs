//! Reactors, tasks, timers and shutdown.
//!
//! A [`Runtime`] has one [`Reactor`] per thread, each with a driver of its own, and shares nothing between them on
//! the request path. Tasks are local: they need not be `Send` and never change threads.
//!
//! ```
//! use std::time::Duration;
//!
//! let answer = annulet_runtime::run(async {
//!     let task = annulet_runtime::spawn_local(async {
//!         annulet_runtime::time::sleep(Duration::from_millis(1)).await;
//!         42
//!     });
//!     task.await.unwrap()
//! });
//! assert_eq!(answer.unwrap(), 42);
//! ```
//!
//! # The turn
//!
//! A reactor lives in turns: wait for something to do, reap completions and deliver them to their sources, fire due
//! timers, run ready tasks (within a budget of count and time), let what was staged leave. The clock is read once per
//! turn. A task woken twice runs once; a handler resumes in the turn that reaped its completion, unless the budget
//! ran out, and then first in the next one, which does not wait.
//!
//! # What comes from where
//!
//! Nothing here makes a system call or reads a clock: that is the driver's. A reactor is a value with a
//! [`turn`](Reactor::turn) and its identity is its [`ReactorId`], so several can be stepped on one thread: [`Stepped`] is a
//! runtime of such, and [`Outside`] what else it needs.
#![deny(unsafe_code, missing_docs)]

/// The atomics of what the models of `tests/doorbell.rs` and `tests/task.rs` include.
mod atomic {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
}
mod audit;
mod blocking;
mod contain;
mod context;
pub mod counters;
mod doorbell;
mod inbox;
mod origin;
mod outside;
mod park;
mod process;
mod reactor;
mod runtime;
pub mod signal;
mod source;
pub mod task;
pub mod time;
mod wheel;

pub use audit::Audit;
pub use contain::contain;
pub use counters::ReactorCounters;
pub use inbox::SendError;
pub use origin::Origin;
pub use outside::{Outside, Refused};
pub use park::Park;
pub use reactor::{
    ExitReport, Reactor, ReactorId, Step, TASK_TIME_PER_TURN_MAX, TASKS_PER_TURN_MAX, TimerKey,
};
pub use runtime::{
    Builder, Handle, Runtime, RuntimeError, Stepped, error_chain, resolve, run, spawn_blocking,
};
pub use source::{Source, SourceId};
pub use task::{JoinError, JoinHandle, spawn_local, yield_now};
