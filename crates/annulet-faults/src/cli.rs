//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::scenario::Scenario;
use crate::{client, round, run};

/// The kernel interface of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Driver {
    Uring,
    Epoll,
}

impl Driver {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Epoll => "epoll",
        }
    }
}

/// Runs `annulet serve` under faults of a real kernel, round after round, and looks whether anything is left, hangs or is
/// lost. Exit code 1 when something was, 2 when the suite itself failed.
#[derive(Debug, Parser)]
#[command(name = "annulet-faults", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    process: Option<Process>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArguments {
    /// The servers' kernel interface.
    #[arg(long, value_enum, default_value = "uring")]
    pub(crate) driver: Driver,

    /// Start rounds for so long.
    #[arg(long, value_name = "MINUTES", default_value_t = 1.0, conflicts_with = "rounds")]
    pub(crate) minutes: f64,

    /// So many rounds of each scenario instead.
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<u64>,

    /// Only these scenarios; may be repeated, or a list with commas.
    #[arg(long = "scenario", value_name = "SCENARIO", value_enum, value_delimiter = ',')]
    pub(crate) scenarios: Vec<Scenario>,

    /// The first round's seed; each further round takes the next [default: by the clock].
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// Seconds of faults in a round.
    #[arg(long, value_name = "SECONDS", default_value_t = 8.0)]
    pub(crate) round_seconds: f64,

    /// Connections the scenario `held` holds.
    #[arg(long, value_name = "N", default_value_t = 19_000)]
    pub(crate) held: u32,

    /// The command to test [default: built now, in this program's profile].
    #[arg(long, value_name = "PATH")]
    pub(crate) annulet: Option<PathBuf>,

    /// Install missing tools from Debian, if this is root.
    #[arg(long)]
    pub(crate) install: bool,

    /// Write the figures into this file's table for the driver.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
}

/// The processes a run consists of; each takes its orders as JSON.
#[derive(Debug, Subcommand)]
enum Process {
    #[command(hide = true)]
    Round { orders: String },
    #[command(hide = true)]
    Client { orders: String },
}

pub(crate) fn start() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    match cli.process {
        None => run::run(&cli.run),
        Some(Process::Round { orders }) => round::run(serde_json::from_str(&orders)?),
        Some(Process::Client { orders }) => {
            client::run(&serde_json::from_str(&orders)?).map(|()| ExitCode::SUCCESS)
        }
    }
}
