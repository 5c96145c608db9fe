//! The fault suite on a real kernel.
//!
//! ```text
//! cargo run --release -p annulet-faults -- --install --driver uring --minutes 60 --record docs/reliability.md
//! ```
//!
//! A **run** repeats rounds until its time is over. A **round** is a process, in a network namespace of its own where the
//! machine grants one: it starts `annulet serve …` and clients as further processes, lets one scenario do its damage, and
//! then looks whether anything was left behind. What it draws at random comes from its seed; what the kernel makes of it
//! does not, so a seed repeats the faults and not the history.
//!
//! After a round, its server must have as many descriptors as before and no connection, its counters must agree with what
//! the clients saw, it must answer a fresh request, and SIGTERM must end it with exit code 0, in time, without a leak in
//! its log. Clients know every byte they have to get, and say where one is missing, repeated or out of place.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod cli;
mod client;
mod crowd;
mod firewall;
mod journal;
mod machine;
mod pattern;
mod random;
mod record;
mod report;
mod round;
mod run;
mod scenario;
mod server;

use std::process::ExitCode;

/// The command: a run, or one of the processes a run consists of.
pub fn main() -> ExitCode {
    match cli::start() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("annulet-faults: {error:#}");
            ExitCode::from(2)
        }
    }
}
