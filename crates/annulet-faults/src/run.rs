//! A run: rounds until its time is over.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde::Serialize;

use crate::cli::{Driver, RunArguments};
use crate::machine::{self, Refusal};
use crate::record;
use crate::report::{Figures, Kind, RoundReport, Violation};
use crate::round::RoundOrders;
use crate::scenario::Scenario;

/// What a round may take beside its faults before it counts as hung itself.
const PATIENCE: Duration = Duration::from_secs(400);

/// What a run found, as it is printed and recorded.
#[derive(Debug, Serialize)]
pub(crate) struct RunReport {
    pub(crate) driver: &'static str,
    pub(crate) kernel: String,
    pub(crate) minutes: f64,
    pub(crate) total: Figures,
    pub(crate) scenarios: BTreeMap<Scenario, Figures>,
    pub(crate) skipped: BTreeMap<Scenario, Refusal>,
    pub(crate) left_out: Vec<String>,
    pub(crate) violations: Vec<String>,
}

pub(crate) fn run(arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    let annulet = match &arguments.annulet {
        Some(path) => path.canonicalize().with_context(|| path.display().to_string())?,
        None => build()?,
    };
    if let Err(why) = grants(&annulet, arguments.driver)? {
        println!("skipped: {why}");
        return Ok(ExitCode::SUCCESS);
    }
    let asked =
        if arguments.scenarios.is_empty() { Scenario::value_variants() } else { &arguments.scenarios };
    if arguments.install {
        asked.iter().flat_map(|scenario| scenario.tools()).for_each(|tool| tool.install());
    }
    let namespace = machine::namespace();
    let (scenarios, skipped) = choose(asked, &namespace);
    for (scenario, why) in &skipped {
        println!("skipped {}: {why}", scenario.name());
    }
    let mut report = RunReport {
        driver: arguments.driver.name(),
        kernel: machine::kernel(),
        minutes: 0.0,
        total: Figures::default(),
        scenarios: BTreeMap::new(),
        skipped,
        left_out: Vec::new(),
        violations: Vec::new(),
    };
    let start = Instant::now();
    let mut seed = arguments.seed.unwrap_or_else(seed_of_the_clock);
    let rounds = scenarios.iter().cycle().take(match arguments.rounds {
        Some(rounds) => scenarios.len() * usize::try_from(rounds)?,
        None => usize::MAX,
    });
    for scenario in rounds {
        if arguments.rounds.is_none() && start.elapsed().as_secs_f64() >= arguments.minutes * 60.0 {
            break;
        }
        let orders = RoundOrders {
            scenario: *scenario,
            driver: arguments.driver,
            seed,
            seconds: arguments.round_seconds,
            held: arguments.held,
            annulet: annulet.clone(),
            has_namespace: namespace.is_ok(),
        };
        let round = play(&orders, namespace.as_deref().unwrap_or_default())?;
        tell(&orders, &round);
        report.take(*scenario, seed, round, arguments);
        seed = seed.wrapping_add(1);
    }
    report.minutes = start.elapsed().as_secs_f64() / 60.0;
    report.print()?;
    if let Some(path) = &arguments.record {
        record::write(path, &report)?;
    }
    Ok(if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn seed_of_the_clock() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// The command, in this program's profile.
fn build() -> anyhow::Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../annulet-cli/Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--bin",
        "annulet",
        "--message-format",
        "json-render-diagnostics",
        "--manifest-path",
    ]);
    command.arg(manifest);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.stderr(Stdio::inherit()).output().context("while starting cargo")?;
    if !output.status.success() {
        bail!("the command cannot be built");
    }
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let path = messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next_back();
    path.context("cargo names no executable; use --annulet")
}

/// Whether the kernel grants this driver at all.
fn grants(annulet: &Path, driver: Driver) -> anyhow::Result<Result<(), Refusal>> {
    let doctor = Command::new(annulet).args(["doctor", "--driver", driver.name()]).output()?;
    let said = String::from_utf8_lossy(&doctor.stdout);
    let why =
        said.lines().find(|line| line.trim_start().starts_with("chosen")).unwrap_or("the doctor refuses it");
    Ok(if doctor.status.success() {
        Ok(())
    } else {
        Err(format!("driver {}: {}", driver.name(), why.trim()))
    })
}

/// What is to be played, and what cannot be.
fn choose(
    asked: &[Scenario],
    namespace: &Result<Vec<&'static str>, Refusal>,
) -> (Vec<Scenario>, BTreeMap<Scenario, Refusal>) {
    let (mut chosen, mut skipped) = (Vec::new(), BTreeMap::new());
    for scenario in asked {
        let refusal = match namespace {
            Err(why) if scenario.needs_namespace() => Err(why.clone()),
            _ => scenario.tools().iter().try_for_each(|tool| tool.have()),
        };
        match refusal {
            Ok(()) => chosen.push(*scenario),
            Err(why) => {
                skipped.insert(*scenario, why);
            }
        }
    }
    (chosen, skipped)
}

/// Plays a round in a process of its own.
fn play(orders: &RoundOrders, namespace: &[&str]) -> anyhow::Result<RoundReport> {
    let program = std::env::current_exe()?;
    let mut words: Vec<String> =
        machine::leash().iter().chain(namespace).map(|word| (*word).to_owned()).collect();
    words.extend([program.display().to_string(), "round".into(), serde_json::to_string(orders)?]);
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("while starting a round")?;
    let mut stdout = child.stdout.take().expect("piped");
    let reading = thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let start = Instant::now();
    let limit = PATIENCE + Duration::from_secs_f64(orders.seconds);
    while child.try_wait()?.is_none() {
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            let mut report = RoundReport::default();
            report
                .violate(Violation::new(Kind::Hang, format!("the round itself takes longer than {limit:?}")));
            return Ok(report);
        }
        thread::sleep(Duration::from_millis(20));
    }
    let text = reading.join().expect("reading does not panic")?;
    // A round that does not report is no reason to give up an hour's run, and none to call it good.
    Ok(text.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_else(|| {
        let mut report = RoundReport::default();
        report.violate(Violation::new(Kind::Broken, format!("the suite itself failed in {orders:?}")));
        report
    }))
}

fn tell(orders: &RoundOrders, round: &RoundReport) {
    let Figures { connections, faults, bytes, restarts, answered, failed, .. } = round.figures;
    println!(
        "{} seed {}: {connections} connections, {faults} faults, {bytes} bytes, {restarts} restarts, {answered} answered, {failed} failed{}",
        orders.scenario.name(),
        orders.seed,
        if round.violations.is_empty() { "" } else { " - VIOLATED" }
    );
}

impl RunReport {
    fn take(&mut self, scenario: Scenario, seed: u64, round: RoundReport, arguments: &RunArguments) {
        self.total += round.figures;
        *self.scenarios.entry(scenario).or_default() += round.figures;
        for why in round.left_out {
            if !self.left_out.contains(&why) {
                println!("left out: {why}");
                self.left_out.push(why);
            }
        }
        for violation in round.violations {
            let (name, driver) = (scenario.name(), self.driver);
            println!("{name} on {driver}, seed {seed}: {violation}");
            println!(
                "  again: cargo run --release -p annulet-faults -- --driver {driver} --scenario {name} --seed {seed} --rounds 1 --round-seconds {} --held {}",
                arguments.round_seconds, arguments.held
            );
            self.violations.push(format!("{name}, seed {seed}: {violation}"));
        }
    }

    fn print(&self) -> anyhow::Result<()> {
        for (scenario, figures) in &self.scenarios {
            println!("{:12} {}", scenario.name(), line(figures));
        }
        println!("{:12} {}", "total", line(&self.total));
        println!("{}", serde_json::to_string(self)?);
        Ok(())
    }
}

fn line(figures: &Figures) -> String {
    figures.named().map(|(name, number)| format!("{name} {number}")).join(" ")
}
