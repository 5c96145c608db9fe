//! Programs for the simulator: servers and clients of every kind, each of a shape that the seed draws, with checks of all
//! that a client can know for certain.
//!
//! | file | idea |
//! |---|---|
//! | `workloads` | the programs; [`WORKLOADS`] lists them |
//! | `shape` | a server's reactors, limits, clocks, and what may happen to it |
//! | `keeper` | who starts servers again, and makes trouble |
//! | `conversation` | a client that knows what it is to be answered, byte by byte |
//! | `ledger` | what was done how often |
//! | `tally` | what a long run came to |
//!
//! A failing seed is run again by `cargo run --release -p annulet-swarm -- --workload W --from S --seeds 1`.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod conversation;
mod draw;
mod join;
mod keeper;
mod ledger;
mod shape;
mod tally;
mod workload;
mod workloads;

pub use tally::Tally;
pub use workload::{WORKLOADS, Workload};
pub use workloads::rate;
