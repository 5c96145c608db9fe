//! Runs everything: `cargo run --release --bin compare -- SCENARIO…`; `--help` lists scenarios, servers and options, the
//! README says how to read the tables.

mod client;
mod counting;
mod environment;
mod options;
mod output;
mod pairs;
mod process;
mod quiet;
mod runs;
mod scenarios;
mod servers;
mod stats;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use bench_common::args::Args;
use serde_json::json;

use crate::client::Client;
use crate::options::Options;
use crate::output::Report;
use crate::pairs::Comparison;
use crate::runs::{Setup, number};
use crate::scenarios::{Kind, Scenario};
use crate::servers::Server;
use crate::stats::{median, spread};

/// Connections of the counting scenarios.
const COUNTED_CONNECTIONS: [usize; 3] = [1, 16, 64];
/// Runs per server of the idle scenario.
const IDLE_RUNS: usize = 3;

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failures) => {
            eprintln!("{failures} comparisons failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<usize> {
    let (bench, own) = folders()?;
    let options = Options::parse(Args::from_env(), &bench, &own);
    if options.build {
        build(&bench, &options)?;
    }
    let mut failures = 0;
    for scenario in &options.scenarios {
        failures += run_scenario(&bench, &options, scenario)?;
    }
    Ok(failures)
}

/// The benchmarks' folder and that of their binaries: this program is `BENCH/target/PROFILE/compare`.
fn folders() -> io::Result<(PathBuf, PathBuf)> {
    let own = std::env::current_exe()?;
    let own = own.parent().map(Path::to_owned).unwrap_or_default();
    let bench = own.ancestors().nth(2).map(Path::to_owned).unwrap_or_default();
    Ok((bench, own))
}

/// Builds the client and the servers one by one, so that the peers' feature sets do not mix.
fn build(bench: &Path, options: &Options) -> io::Result<()> {
    let wanted = |server: &&Server| {
        let named = |chosen: &Server| chosen.name == server.name;
        let can = |scenario: &Scenario| server.speaks(scenario.protocol);
        if !options.scenarios.iter().any(can) {
            return false;
        }
        options.only.as_ref().is_none_or(|only| only.iter().any(named))
            || options.base.as_ref().is_some_and(named)
    };
    let mut packages: Vec<&str> =
        servers::ALL.iter().filter(wanted).filter_map(|server| server.package).collect();
    packages.push("load");
    packages.dedup();
    for package in packages {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--release", "-q", "-p", package])
            .current_dir(bench)
            .status()?;
        if !status.success() {
            return Err(io::Error::other(format!("cannot build {package}")));
        }
    }
    Ok(())
}

fn run_scenario(bench: &Path, options: &Options, scenario: &Scenario) -> io::Result<usize> {
    let comparisons = options.comparisons(scenario);
    if let Some(missing) = comparisons.iter().find(|pair| !pair.base.exists(&options.binaries)) {
        let binary = missing.base.binary(&options.binaries);
        let advice = "build it, or give --annulet PATH or --base NAME";
        return Err(io::Error::other(format!("{} is missing: {advice}", binary.display())));
    }
    let client_cpu = if scenario.same_core { options.server_cpu } else { options.client_cpu };
    let setup = Setup {
        binaries: options.binaries.clone(),
        client: Client {
            binary: options.binaries.own.join("load"),
            cpu: client_cpu,
            spin: options.client_spin,
        },
        server_cpu: options.server_cpu,
        protocol: scenario.protocol,
        batch: scenario.batch,
        buffer: scenario.buffer,
    };
    let conditions = format!(
        "server on CPU {}{}, client on CPU {client_cpu} ({}), 1 reactor",
        options.server_cpu,
        if scenario.batch { " under SCHED_BATCH" } else { "" },
        if options.client_spin { "spinning" } else { "sleeping" },
    );
    eprintln!("{}: {}", scenario.name, scenario.what);
    let mut report = Report::new(options, scenario, &environment::describe(bench), &conditions);
    let failures = match scenario.kind {
        Kind::Pairs => run_pairs(options, scenario, &setup, &comparisons, &mut report)?,
        _ => run_counts(options, scenario, &setup, &mut report),
    };
    report.write()?;
    Ok(failures)
}

fn run_pairs(
    options: &Options,
    scenario: &Scenario,
    setup: &Setup,
    comparisons: &[Comparison],
    report: &mut Report,
) -> io::Result<usize> {
    let seconds = options.seconds.unwrap_or(scenario.seconds);
    let mut load: Vec<String> = scenario.load.iter().map(|word| String::from(*word)).collect();
    load.extend(["--seconds".into(), seconds.to_string(), "--warm-up".into(), options.warm_up.to_string()]);
    report.line(&format!("Load: `load {}`.", load.join(" ")));
    report.pairs_head();
    let mut failures = 0;
    for comparison in comparisons {
        eprint!("{} {} / {} ", scenario.name, comparison.base.name, comparison.other.name);
        match pairs::run(setup, *comparison, &load, options.pairs, options.quiet) {
            Ok(pairs) => {
                report.pairs_row(&pairs);
                report.raw(&pairs)?;
            }
            Err(error) => {
                failures += 1;
                report.line(&failed(comparison.other, &error));
            }
        }
    }
    Ok(failures)
}

fn failed(server: Server, error: &io::Error) -> String {
    format!("| | {} | FAILED: {} |", server.name, error.to_string().replace('\n', " "))
}

/// The scenarios that count: each server once.
fn run_counts(options: &Options, scenario: &Scenario, setup: &Setup, report: &mut Report) -> usize {
    let mut all = options.servers(scenario);
    all.retain(|server| scenario.kind != Kind::Instructions || server.epoll);
    counts_head(scenario, report);
    let mut failures = 0;
    for server in all {
        eprintln!("{} {}", scenario.name, server.name);
        if let Err(error) = count(options, scenario, setup, server, report) {
            failures += 1;
            report.line(&failed(server, &error));
        }
    }
    failures
}

fn counts_head(scenario: &Scenario, report: &mut Report) {
    let columns: Vec<String> = match scenario.kind {
        Kind::Idle => {
            ["bytes/connection", "range", "runs", "server CPU while idle, ms"].map(String::from).into()
        }
        Kind::Quiet => vec![String::from("system calls in 10 s")],
        Kind::Syscalls => COUNTED_CONNECTIONS
            .iter()
            .flat_map(|n| [format!("syscalls/msg, {n} conns"), format!("enters/msg, {n} conns")])
            .collect(),
        _ => COUNTED_CONNECTIONS.iter().map(|n| format!("instructions/msg, {n} conns")).collect(),
    };
    report.line(&format!("| server | {} |", columns.join(" | ")));
    report.line(&format!("|---|{}", "---|".repeat(columns.len())));
}

/// Measures one server and writes its row.
fn count(
    options: &Options,
    scenario: &Scenario,
    setup: &Setup,
    server: Server,
    report: &mut Report,
) -> io::Result<()> {
    let mut cells = Vec::new();
    let mut line = json!({ "scenario": scenario.name, "server": server.name });
    let mut load: Vec<String> = scenario.load.iter().map(|word| String::from(*word)).collect();
    match scenario.kind {
        Kind::Pairs => unreachable!("pairs are not counted"),
        Kind::Idle => {
            let seconds = options.seconds.unwrap_or(scenario.seconds);
            load.extend(["--seconds".into(), seconds.to_string()]);
            let runs = (0..IDLE_RUNS).map(|_| setup.run(server, &load)).collect::<io::Result<Vec<_>>>()?;
            let values = |name: &str| -> Vec<f64> { runs.iter().map(|run| number(run, name)).collect() };
            let bytes =
                spread(&values("rollup_rss_per_connection")).unwrap_or_else(|| unreachable!("three runs"));
            let cpu = median(&values("server_idle_cpu_ms"));
            line["bytes_per_connection"] = json!(bytes.median);
            line["idle_cpu_ms"] = json!(cpu);
            cells.extend([format!("{:.0}", bytes.median), format!("{:.0}–{:.0}", bytes.low, bytes.high)]);
            cells.extend([IDLE_RUNS.to_string(), format!("{cpu:.1}")]);
        }
        Kind::Quiet => {
            let calls = counting::calls_at_rest(setup, server, &load)?;
            line["syscalls"] = json!(calls);
            cells.push(format!("{calls:.0}"));
        }
        Kind::Instructions => {
            for connections in COUNTED_CONNECTIONS {
                let count = counting::instructions(setup, server, scenario.load, connections)?;
                line[format!("instructions_{connections}")] = json!(count);
                cells.push(format!("{count:.0}"));
            }
        }
        Kind::Syscalls => {
            for connections in COUNTED_CONNECTIONS {
                let calls = counting::calls(setup, server, scenario.load, connections)?;
                line[format!("syscalls_{connections}")] = json!(calls.syscalls);
                line[format!("enters_{connections}")] = json!(calls.enters);
                let enters =
                    if calls.enters.is_nan() { String::from("–") } else { format!("{:.3}", calls.enters) };
                cells.extend([format!("{:.3}", calls.syscalls), enters]);
            }
        }
    }
    report.line(&format!("| {} | {} |", server.name, cells.join(" | ")));
    report.json(line);
    Ok(())
}
