//! A world made of a seed, in which servers and clients run as they are.
//!
//! The programs are those that run on Linux, down to the driver: what is simulated is the kernel beneath it, with
//! sockets, clocks and randomness of its own. Several hosts with several reactors each run on one thread, one step at
//! a time, in an order that the seed draws; time jumps to the next event. The same seed gives the same history.
//!
//! ```
//! use annulet_sim::{Faults, Sim};
//!
//! let report = Sim::builder().seed(7).faults(Faults::none()).run(async |sim| {
//!     let server = sim.host("server").start(async || {
//!         annulet_runtime::time::sleep(std::time::Duration::from_secs(3600)).await;
//!     });
//!     server.ended().await;
//! });
//! assert!(report.time.as_secs() >= 3600);
//! ```
//!
//! # What is checked
//!
//! Every few steps: every operation in flight is known to kernel and driver, and to one of each; every buffer has one
//! owner; descriptors opened are closed or live; bytes staged and unread are within their limits; nobody sleeps who was
//! woken. At the end: every byte sent before an end of stream arrived or its connection reported an error, nothing was
//! leaked, and all that was to be done came to an end after the faults had.
//!
//! # What is not
//!
//! The real clock, threads of the program's own, files and sockets of the real system, and chance that no seed reaches
//! (`tokio::select!` without `biased`; but a `HashMap`'s order is the seed's). A program that depends on them gives
//! different histories for one seed: [`Check`] looks for that in one seed of sixteen, [`Builder::twice`] always, and every
//! failure is seen twice before it is reported. A thread that wakes a simulated reactor is a failure at once.
//!
//! # Failures
//!
//! A [`Failure`] tells what did not hold, the fewest faults that it takes, what happened around the last of them and at
//! the end, and how to run it again. `ANNULET_SEED`, `ANNULET_SEEDS` and `ANNULET_HISTORY` in the environment choose one seed,
//! how many, and how many events are told.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod builder;
mod chance;
mod check;
mod failure;
mod host;
mod jobs;
mod panics;
mod process;
mod replay;
mod scheduler;
mod shrink;
mod sim;

pub use annulet_driver::sim::{
    Chance, Coverage, Death, Fault, LinkSettings, Operation, Plan as Faults, Purpose,
};
pub use builder::{Builder, Sizes};
pub use check::{Check, Totals};
pub use failure::{Failure, Report};
pub use host::{Host, HostBuilder};
pub use sim::{Sim, maybe_panic};
