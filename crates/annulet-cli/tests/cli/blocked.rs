//! Where a seccomp filter blocks io_uring, as in a container with default settings.
//!
//! The filter is that of `scripts/without-io-uring`, which needs no privileges, only Perl.

use std::process::{Command, Stdio};

use crate::client::converse;
use crate::process::{Finished, Server, annulet, failed, serve};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/without-io-uring");

/// What the kernel answers instead: what container runtimes say, and what a kernel without io_uring says.
const ERRORS: [&str; 2] = ["EPERM", "ENOSYS"];

/// Calls `test` with each error the filter can answer with; only says why where no filter can be set.
fn on_each_error(test: impl Fn(&str)) {
    match Command::new("perl").args([SCRIPT, "true"]).output() {
        Ok(output) if output.status.success() => ERRORS.into_iter().for_each(test),
        Ok(output) => eprintln!("not tested behind a filter: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => eprintln!("not tested behind a filter, for want of Perl: {error}"),
    }
}

/// `command` behind a filter that answers io_uring's calls with this error.
fn blocked(error: &str, command: &Command) -> Command {
    let mut filtered = Command::new("perl");
    filtered.args([SCRIPT, "--errno", error]);
    filtered.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => filtered.env(name, value),
            None => filtered.env_remove(name),
        };
    }
    filtered
}

fn run(error: &str, command: &Command) -> Finished {
    Finished::from(blocked(error, command).output().expect("the command starts"))
}

#[test]
fn the_doctor_says_why_io_uring_is_refused_and_what_to_change() {
    on_each_error(|error| {
        let finished = run(error, &annulet(&["doctor"]));
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
        let reason = format!("io_uring_setup: {error}, ");
        let has_line = |name: &str, value: &str| {
            let value = format!("{value}{reason}");
            finished.stdout.lines().any(|line| line.trim_start().starts_with(name) && line.contains(&value))
        };
        assert!(has_line("chosen", "epoll: "), "{}", finished.stdout);
        assert!(has_line("refused", "COOP_TASKRUN: "), "{}", finished.stdout);
        assert!(finished.stdout.contains("a filter is active"), "{}", finished.stdout);
    });
}

#[test]
fn the_doctor_says_the_same_in_json() {
    on_each_error(|error| {
        let finished = run(error, &annulet(&["doctor", "--json"]));
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
        let report: serde_json::Value = serde_json::from_str(&finished.stdout).expect(&finished.stdout);
        let reason = format!("io_uring_setup: {error}, ");
        let tells = |value: &serde_json::Value| value.as_str().is_some_and(|text| text.contains(&reason));
        let driver = &report["driver"];
        assert_eq!((&driver["asked"], &driver["kind"]), (&"auto".into(), &"epoll".into()));
        assert!(tells(&driver["summary"]), "{driver}");
        assert!(tells(&driver["refused"][0]["reason"]), "{driver}");
        let rungs = driver["rungs"].as_array().expect("a list");
        assert!(!rungs.is_empty() && rungs.iter().all(|rung| tells(&rung["refused"])), "{driver}");
        assert!(driver["rung"].is_null() && driver["ring"].is_null(), "{driver}");
        assert_eq!(report["seccomp"], true);
        let advice = report["advice"].as_array().expect("a list");
        // Who is refused by the kernel's own setting as well is told of that.
        let is_disabled = matches!(report["sysctls"]["kernel.io_uring_disabled"].as_str(), Some("1" | "2"));
        let words = if is_disabled { "io_uring" } else { "a seccomp filter blocks io_uring" };
        assert!(advice[0].as_str().is_some_and(|advice| advice.contains(words)), "{advice:?}");
    });
}

#[test]
fn a_doctor_asked_for_io_uring_fails_and_the_self_test_tells_it_from_a_failure() {
    on_each_error(|error| {
        let finished = run(error, &annulet(&["doctor", "--driver", "uring"]));
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stdout.contains("none: it cannot be had"), "{}", finished.stdout);
        let finished = run(error, &annulet(&["doctor", "--self-test"]));
        assert_eq!(finished.code, Some(0), "{finished:?}");
        let uring = "self-test uring: unavailable (io_uring cannot be used; ";
        assert!(finished.stdout.lines().any(|line| line.starts_with(uring)), "{}", finished.stdout);
        assert!(finished.stdout.lines().any(|line| line == "self-test epoll: ok"), "{}", finished.stdout);
    });
}

#[test]
fn a_server_starts_on_epoll_and_its_start_line_says_why() {
    on_each_error(|error| {
        let server = Server::start_command(blocked(error, &serve(&["echo"])));
        let expected = format!(" - driver epoll: io_uring_setup: {error}, ");
        assert!(server.start_line.contains(&expected), "{}", server.start_line);
        converse(server.address(), b"all the same", b"all the same");
        server.stop_cleanly();
    });
}

#[test]
fn a_server_that_must_have_io_uring_fails_with_one_line() {
    on_each_error(|error| {
        let finished = run(error, &serve(&["echo", "--driver", "uring"]));
        let reason = format!("io_uring_setup: {error}, ");
        failed(&finished, &["io_uring cannot be used", &reason, "--driver auto"]);
    });
}
