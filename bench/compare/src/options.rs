//! The command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bench_common::args::{Args, usage};

use crate::quiet::Quiet;
use crate::scenarios::{self, Scenario};
use crate::servers::{self, Binaries, Server};

#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) scenarios: Vec<Scenario>,
    pub(crate) pairs: usize,
    pub(crate) seconds: Option<f64>,
    pub(crate) warm_up: f64,
    /// Only these servers, compared with their bases.
    pub(crate) only: Option<Vec<Server>>,
    /// Compare everything with this server.
    pub(crate) base: Option<Server>,
    pub(crate) binaries: Binaries,
    pub(crate) server_cpu: usize,
    pub(crate) client_cpu: usize,
    pub(crate) client_spin: bool,
    pub(crate) quiet: Quiet,
    pub(crate) build: bool,
    pub(crate) results: PathBuf,
    /// Added to the names of the result files.
    pub(crate) tag: Option<String>,
}

fn list(names: Vec<&str>) -> String {
    names.join(" ")
}

fn help() -> ! {
    let scenarios = list(scenarios::ALL.iter().map(|scenario| scenario.name).collect());
    let servers = list(servers::ALL.iter().map(|server| server.name).collect());
    usage(&format!(
        "compare SCENARIO… [options]\n\n\
         scenarios: {scenarios}\n\
         servers:   {servers}\n\n\
         --pairs N          interleaved pairs (15); repetitions of the counting scenarios are fixed\n\
         --seconds S        length of a measured window (by scenario)\n\
         --warm-up S        before each window (0.2)\n\
         --only A,B         only these servers, each against its base\n\
         --base NAME        compare with this server instead of Annulet\n\
         --annulet PATH     Annulet's binary (../target/release/annulet)\n\
         --server-cpu N     (0)   --client-cpu N (1)\n\
         --client-spin      the client asks again and again instead of sleeping\n\
         --others-max F     share of one CPU others may take before a pair is repeated (0.10)\n\
         --patience S       longest wait for a quiet moment before each pair (5)\n\
         --results FOLDER   (results)\n\
         --tag NAME         write SCENARIO-NAME instead of SCENARIO\n\
         --no-build         use the binaries that are there"
    ))
}

impl Options {
    /// Reads the command line. `bench` is the folder of the benchmarks' workspace, `own` that of its binaries.
    pub(crate) fn parse(mut args: Args, bench: &Path, own: &Path) -> Self {
        if args.flag("--help") || args.flag("-h") {
            help();
        }
        let mut chosen = Vec::new();
        while let Some(word) = args.word() {
            let scenario =
                scenarios::find(&word).unwrap_or_else(|| usage(&format!("unknown scenario {word}")));
            chosen.push(scenario);
        }
        let options = Self {
            scenarios: chosen,
            pairs: args.value_or("--pairs", 15),
            seconds: args.value("--seconds"),
            warm_up: args.value_or("--warm-up", 0.2),
            only: args.value::<String>("--only").map(|names| names.split(',').map(server).collect()),
            base: args.value::<String>("--base").map(|name| server(&name)),
            binaries: Binaries {
                own: own.to_owned(),
                annulet: args.value("--annulet").unwrap_or_else(|| bench.join("../target/release/annulet")),
            },
            server_cpu: args.value_or("--server-cpu", 0),
            client_cpu: args.value_or("--client-cpu", 1),
            client_spin: args.flag("--client-spin"),
            quiet: Quiet {
                others_max: args.value_or("--others-max", 0.10),
                patience: Duration::from_secs_f64(args.value_or("--patience", 5.0)),
            },
            build: !args.flag("--no-build"),
            results: args.value("--results").unwrap_or_else(|| bench.join("results")),
            tag: args.value("--tag"),
        };
        args.finish();
        if options.scenarios.is_empty() {
            help();
        }
        options
    }

    /// The servers of a scenario, bases first.
    pub(crate) fn servers(&self, scenario: &Scenario) -> Vec<Server> {
        let wanted = |server: &&Server| match &self.only {
            Some(only) => only.iter().any(|wanted| wanted.name == server.name),
            None => scenario.parking || !server.parking,
        };
        let can = |server: &&Server| server.speaks(scenario.protocol) && server.exists(&self.binaries);
        servers::ALL.iter().filter(wanted).filter(can).copied().collect()
    }

    /// What each server of a scenario is compared with.
    pub(crate) fn comparisons(&self, scenario: &Scenario) -> Vec<crate::pairs::Comparison> {
        let pair = |other: Server| {
            let base = self.base.or_else(|| other.base.and_then(servers::find))?;
            (base.name != other.name).then_some(crate::pairs::Comparison { base, other })
        };
        self.servers(scenario).into_iter().filter_map(pair).collect()
    }
}

fn server(name: &str) -> Server {
    servers::find(name).unwrap_or_else(|| usage(&format!("unknown server {name}")))
}
