//! io_uring blocked by a seccomp filter, as container runtimes do: `auto` serves on epoll, `uring` says why not.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::cli::Driver;
use crate::crowd::Crowd;
use crate::report::Kind;
use crate::round::{Round, Tolerance};
use crate::server::Server;

const SCRIPT: &str = include_str!("../../../../scripts/without-io-uring");

/// What the filter answers.
const ERRORS: [&str; 4] = ["EPERM", "ENOSYS", "ENOMEM", "EINVAL"];

pub(super) fn play(round: &mut Round) -> anyhow::Result<()> {
    let script = Script::write()?;
    if !Command::new("perl").arg(&script.0).arg("true").status()?.success() {
        round.leave_out("no seccomp filter can be set");
        return Ok(());
    }
    while round.goes_on() {
        let error = round.random.one_of(&ERRORS);
        round.trying = error.into();
        let prefix: Vec<String> =
            ["perl".into(), script.0.display().to_string(), "--errno".into(), error.into()].into();
        let app = round.any_app();
        let mut launch = round.launch(app).prefix(prefix);
        round.fault(1);
        if launch.driver == Some(Driver::Uring) {
            match Server::try_start(&round.orders.annulet, &launch)? {
                Err(not) if not.status.code() == Some(1) && not.stderr.contains(error) => {}
                Err(not) => round.violate(Kind::Broken, format!("{not:?}")),
                Ok(server) => round.violate(Kind::Broken, server.start_line.clone()),
            }
            launch.driver = None;
        }
        let mut served = round.serve(&launch)?;
        if !served.server.start_line.contains("driver epoll") {
            let line = served.server.start_line.clone();
            round.violate(Kind::Broken, line);
        }
        let crowd = Crowd::start(&round.client(&served))?;
        round.pause(200..=800);
        round.finish(&mut served, crowd, Tolerance::Nothing)?;
        round.settle(served, Tolerance::Nothing)?;
    }
    Ok(())
}

/// The script as a file of this round, wherever the repository is. Removed when dropped.
struct Script(PathBuf);

impl Script {
    fn write() -> anyhow::Result<Self> {
        let path =
            std::env::temp_dir().join(format!("annulet-faults-{}-without-io-uring", std::process::id()));
        fs::write(&path, SCRIPT)?;
        Ok(Self(path))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
