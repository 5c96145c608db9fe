//! The long run: many seeds of every workload, over all processors.
//!
//! ```sh
//! cargo run --release -p annulet-swarm -- --seeds 100000 --minutes 60
//! cargo run --release -p annulet-swarm -- --workload echo --from 17 --seeds 1    # one again
//! cargo run --release -p annulet-swarm -- --speed                                # how fast worlds go
//! ```
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use annulet_sim::{Check, Failure};
use annulet_swarm::{Tally, WORKLOADS, Workload, rate};
use clap::Parser;

/// Seeds of one workload that are run before the next one has its turn.
const BATCH: u64 = 100;

/// Runs servers and clients in simulated worlds, each with faults of its own.
#[derive(Parser, Debug)]
#[command(version)]
struct Arguments {
    /// Seeds in all, spread over the workloads.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// Ends after so many minutes, whatever is left.
    #[arg(long)]
    minutes: Option<f64>,
    /// Only this workload.
    #[arg(long)]
    workload: Option<String>,
    /// The first seed of each workload.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Measures how fast a world without faults goes: 100 connections, ten messages a second each.
    #[arg(long)]
    speed: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.speed {
        return speed();
    }
    let workloads = match &arguments.workload {
        None => WORKLOADS.to_vec(),
        Some(name) => match Workload::named(name) {
            Some(workload) => vec![workload],
            None => {
                let names: Vec<_> = WORKLOADS.iter().map(|workload| workload.name).collect();
                eprintln!("no workload is called {name}: there are {}", names.join(", "));
                return ExitCode::from(2);
            }
        },
    };
    let mut run = Run { started: Instant::now(), said: Instant::now(), tallies: BTreeMap::new() };
    let result = run.go(&arguments, &workloads);
    run.say_all();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err((workload, failure)) => {
            println!("\nworkload {}: {failure}", workload.name);
            println!(
                "cargo run --release -p annulet-swarm -- --workload {} --from {} --seeds 1",
                workload.name, failure.seed
            );
            ExitCode::FAILURE
        }
    }
}

struct Run {
    started: Instant,
    said: Instant,
    tallies: BTreeMap<&'static str, Tally>,
}

impl Run {
    fn go(&mut self, arguments: &Arguments, workloads: &[Workload]) -> Result<(), (Workload, Box<Failure>)> {
        let time = arguments.minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
        let each = arguments.seeds.div_ceil(workloads.len() as u64);
        let end = arguments.from + each;
        for from in (arguments.from..end).step_by(BATCH as usize) {
            for workload in workloads {
                if time.is_some_and(|time| self.started.elapsed() >= time) {
                    return Ok(());
                }
                let seeds = from..end.min(from + BATCH);
                let totals =
                    workload.run(Check::default().range(seeds)).map_err(|failure| (*workload, failure))?;
                self.tallies.entry(workload.name).or_default().add(&totals);
                self.say_now_and_then();
            }
        }
        Ok(())
    }

    fn all(&self) -> Tally {
        let mut all = Tally::default();
        self.tallies.values().for_each(|tally| all.merge(tally));
        all
    }

    /// A line a minute.
    fn say_now_and_then(&mut self) {
        if self.said.elapsed() >= Duration::from_secs(60) {
            self.said = Instant::now();
            let minutes = self.started.elapsed().as_secs() / 60;
            println!("{minutes:>4} min: {}", self.all().summary(self.started.elapsed()));
        }
    }

    fn say_all(&self) {
        let real = self.started.elapsed();
        for (name, tally) in &self.tallies {
            println!("{name:<16} {} seeds, median {} events", tally.seeds(), tally.median_events());
        }
        let all = self.all();
        println!("{all}\n{} in {:.0} s", all.summary(real), real.as_secs_f64());
    }
}

fn speed() -> ExitCode {
    let time = Duration::from_secs(60);
    let started = Instant::now();
    let report = rate::run(time);
    let ratio = report.time.as_secs_f64() / started.elapsed().as_secs_f64();
    println!(
        "{:?} of 100 connections in {:?}: {ratio:.0} × real time, {} events, {} steps",
        report.time,
        started.elapsed(),
        report.events,
        report.steps
    );
    ExitCode::SUCCESS
}
