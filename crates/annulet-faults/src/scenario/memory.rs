//! Little memory from the start: the server serves with it, or says in one line that it cannot.

use std::process::Command;

use crate::crowd::Crowd;
use crate::machine;
use crate::report::{Kind, Violation};
use crate::round::{Round, Served, Tolerance};
use crate::server::{Launch, Server};

/// Bytes of memory a process may lock; io_uring's rings count for who is not privileged.
const LOCKED: [u64; 5] = [0, 16 << 10, 64 << 10, 256 << 10, 8 << 20];

/// MiB of address space with which nothing may run out: the C library sets 64 MiB aside for each of the server's threads, and
/// takes less where less is left. Below, an allocation may fail, which ends every Rust program with SIGABRT.
const ENOUGH: u64 = 256;

/// What Rust says then.
const OUT_OF_MEMORY: &str = "memory allocation of";

pub(super) fn play(round: &mut Round) -> anyhow::Result<()> {
    locked(round)?;
    address_space(round)
}

fn locked(round: &mut Round) -> anyhow::Result<()> {
    let unprivileged = match unprivileged(round) {
        Ok(prefix) => prefix,
        Err(why) => {
            round.leave_out(why);
            return Ok(());
        }
    };
    let bytes = round.random.one_of(&LOCKED);
    let limits = machine::limited(&[format!("--memlock={bytes}:{bytes}")]).map_err(anyhow::Error::msg)?;
    let app = round.any_app();
    let mut launch = round.launch(app).prefix(limits).prefix(unprivileged);
    // Whether a ring can be had is the kernel's to say; that there is a server is not.
    launch.driver = (round.orders.driver == crate::cli::Driver::Epoll).then_some(crate::cli::Driver::Epoll);
    round.trying = launch.prefix.join(" ");
    let served = round.serve(&launch)?;
    round.fault(1);
    exercise(round, served)
}

/// A prefix under which the command can be run by nobody in particular.
fn unprivileged(round: &Round) -> Result<Vec<String>, String> {
    let prefix = machine::unprivileged()?;
    let trial =
        [prefix.clone(), vec![round.orders.annulet.display().to_string(), "--version".into()]].concat();
    match Command::new(&trial[0]).args(&trial[1..]).output() {
        Ok(output) if output.status.success() => Ok(prefix),
        _ => {
            Err("memory: locked memory is not limited, for nobody unprivileged can run the command here"
                .into())
        }
    }
}

fn address_space(round: &mut Round) -> anyhow::Result<()> {
    while round.goes_on() {
        let mebibytes = round.random.within(48..=320);
        let limits = machine::limited(&[format!("--as={}", mebibytes << 20)]).map_err(anyhow::Error::msg)?;
        let app = round.any_app();
        let launch = round.launch(app).prefix(limits);
        round.trying = launch.prefix.join(" ");
        round.fault(1);
        match serve(round, &launch) {
            Err(error) if mebibytes < ENOUGH && error.to_string().contains(OUT_OF_MEMORY) => {}
            result => result?,
        }
    }
    Ok(())
}

/// Exercises a server, unless it says in order that it cannot be had.
fn serve(round: &mut Round, launch: &Launch) -> anyhow::Result<()> {
    match Server::try_start(&round.orders.annulet, launch)? {
        Ok(server) => {
            let served = round.warm(server)?;
            exercise(round, served)
        }
        // The loader's 127 is not the server's to choose.
        Err(not) if matches!(not.status.code(), Some(1 | 127)) => Ok(()),
        Err(not) => Err(Violation::new(Kind::Broken, format!("{}; {}", not.status, not.stderr)).into()),
    }
}

fn exercise(round: &mut Round, mut served: Served) -> anyhow::Result<()> {
    let mut orders = round.client(&served);
    orders.bytes_max = 64 * 1024;
    let crowd = Crowd::start(&orders)?;
    round.pause(100..=500);
    round.finish(&mut served, crowd, Tolerance::Nothing)?;
    round.settle(served, Tolerance::Nothing)
}
