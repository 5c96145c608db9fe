//! The command line.

mod serve;
mod values;

use annulet::DriverChoice;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use serve::{
    App, ClockArguments, LimitArguments, ListenArguments, LogArguments, LogFormat, LogLevel,
};
pub(crate) use serve::{RuntimeArguments, ServeArguments};
pub(crate) use values::{Limit, Reactors};

/// A server runtime on io_uring, or on epoll where io_uring is blocked.
#[derive(Debug, Parser)]
#[command(name = "annulet", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve one of the sample protocols.
    Serve(Box<ServeArguments>),
    /// Explain which driver this machine and process get, and what to change for a better one.
    Doctor(DoctorArguments),
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// Print the report as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,

    /// Also run an echo over loopback TCP on every driver there is; exit code 1 if one fails.
    #[arg(long)]
    pub(crate) self_test: bool,

    /// The driver to ask for: auto, uring or epoll.
    #[arg(long, value_name = "DRIVER", default_value = "auto", env = "ANNULET_DRIVER")]
    pub(crate) driver: DriverChoice,
}

/// Parses the process's command line. Help, version and mistakes end the process, with clap's exit codes: 0 and 2.
pub(crate) fn parse() -> Cli {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let Command::Serve(arguments) = &cli.command
        && let Some(given) = matches.subcommand_matches("serve")
        && let Err(problem) = arguments.check(|name| is_typed(given, name))
    {
        Cli::command().error(ErrorKind::ArgumentConflict, problem).exit();
    }
    cli
}

/// True when an argument was typed: one from the environment may be meant for another program.
fn is_typed(given: &ArgMatches, name: &str) -> bool {
    given.value_source(name) == Some(ValueSource::CommandLine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }
}
