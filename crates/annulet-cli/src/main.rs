//! The `annulet` command: serves the sample protocols, and explains what this machine offers.
//!
//! Exit codes: 0 clean, 1 failure, 2 usage. What somebody may want to read by program goes to stdout (the start line, the
//! counters, the doctor's report), everything else to stderr.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod cli;
mod doctor;
mod explain;
mod logging;
mod output;
mod serve;

use std::process::ExitCode;

use cli::Command;

fn main() -> ExitCode {
    let cli = cli::parse();
    let result = match cli.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
    };
    result.unwrap_or_else(|error| {
        output::error(&error);
        ExitCode::FAILURE
    })
}
