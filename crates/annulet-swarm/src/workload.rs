//! The list of programs.

use std::fmt;

use annulet_sim::{Check, Failure, Totals};

use crate::workloads::{
    clocks, command, echo, http_client, http_server, length_prefixed, lines, proxy, runtime, unix,
};

/// A program and its name.
#[derive(Clone, Copy)]
pub struct Workload {
    /// As it is said on the command line.
    pub name: &'static str,
    run: fn(Check) -> Result<Totals, Box<Failure>>,
}

/// All of them.
pub const WORKLOADS: &[Workload] = &[
    Workload { name: "echo", run: |check| check.try_run(echo::world) },
    Workload { name: "lines", run: |check| check.try_run(lines::world) },
    Workload { name: "command", run: |check| check.try_run(command::world) },
    Workload { name: "length-prefixed", run: |check| check.try_run(length_prefixed::world) },
    Workload { name: "http-server", run: |check| check.try_run(http_server::world) },
    Workload { name: "http-client", run: |check| check.try_run(http_client::world) },
    Workload { name: "proxy", run: |check| check.try_run(proxy::world) },
    Workload { name: "runtime", run: |check| check.try_run(runtime::world) },
    Workload { name: "unix", run: |check| check.try_run(unix::world) },
    Workload { name: "clocks", run: |check| check.try_run(clocks::world) },
];

impl Workload {
    /// The program of this name.
    pub fn named(name: &str) -> Option<Self> {
        WORKLOADS.iter().copied().find(|workload| workload.name == name)
    }

    /// Runs it with many seeds.
    ///
    /// # Errors
    /// What failed first.
    pub fn run(&self, check: Check) -> Result<Totals, Box<Failure>> {
        (self.run)(check)
    }
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workload").field("name", &self.name).finish_non_exhaustive()
    }
}
