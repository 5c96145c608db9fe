//! Waiting for a quiet moment.

use std::thread;
use std::time::{Duration, Instant};

use bench_common::cpu;

/// What pairs demand of the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quiet {
    /// Share of one CPU that other programs may use.
    pub(crate) others_max: f64,
    /// How long to wait for that, before each pair.
    pub(crate) patience: Duration,
}

/// How long the machine is looked at.
const LOOK: Duration = Duration::from_millis(300);

/// Returns when the machine was quiet for a moment, or when patience ends.
pub(crate) fn wait(quiet: Quiet) {
    let deadline = Instant::now() + quiet.patience;
    while Instant::now() < deadline {
        let before = cpu::machine().busy;
        thread::sleep(LOOK);
        let busy = cpu::machine().busy.saturating_sub(before);
        if busy.as_secs_f64() / LOOK.as_secs_f64() <= quiet.others_max {
            return;
        }
    }
}
