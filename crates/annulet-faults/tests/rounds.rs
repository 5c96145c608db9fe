//! A short round of each scenario, on both drivers. `ANNULET_FULL=1` plays those that need privileges, too, and longer.

use std::process::Command;

/// What everybody may do, beside other tests and within seconds.
const ORDINARY: [&str; 6] = ["clients", "killed", "stopped", "descriptors", "blocked", "restarts"];
/// What needs privileges, tools or time.
const FULL: [&str; 8] = ["memory", "held", "calls", "starts", "loss", "resets", "partition", "narrow"];

fn is_full() -> bool {
    std::env::var_os("ANNULET_FULL").is_some_and(|value| value == "1")
}

fn play(driver: &str) {
    if std::env::var_os("ANNULET_SANITIZER").is_some() {
        eprintln!("not tested: the suite builds the command as it is, not with a sanitizer");
        return;
    }
    let (mut scenarios, seconds) = (ORDINARY.to_vec(), if is_full() { "5" } else { "1" });
    if is_full() {
        scenarios.extend(FULL);
    } else {
        eprintln!("left out without ANNULET_FULL=1: {}", FULL.join(", "));
    }
    let output = Command::new(env!("CARGO_BIN_EXE_annulet-faults"))
        .args(is_full().then_some("--install"))
        .args(["--driver", driver, "--rounds", "1", "--round-seconds", seconds])
        .args(["--scenario", &scenarios.join(",")])
        .output()
        .expect("the suite starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    eprint!("{stdout}");
}

#[test]
fn nothing_leaks_hangs_or_is_lost_on_io_uring() {
    play("uring");
}

#[test]
fn nothing_leaks_hangs_or_is_lost_on_epoll() {
    play("epoll");
}
