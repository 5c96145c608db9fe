//! `annulet doctor`.

use crate::drivers::has_uring;
use crate::process::run;

fn report(arguments: &[&str]) -> serde_json::Value {
    let finished = run(&[&["doctor", "--json"], arguments].concat());
    assert_eq!(finished.stdout.lines().count(), 1);
    serde_json::from_str(&finished.stdout).expect(&finished.stdout)
}

#[test]
fn json_tells_kernel_driver_limits_cores_and_settings() {
    let report = report(&[]);
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a kernel");
    assert_eq!(report["kernel"], release.trim());
    assert_eq!(report["driver"]["asked"], "auto");
    assert_eq!(report["driver"]["kind"], if has_uring() { "io_uring" } else { "epoll" });
    assert!(report["driver"]["rungs"].as_array().is_some_and(|rungs| !rungs.is_empty()));
    assert!(report["limits"]["descriptors_hard"].as_u64().is_some_and(|limit| limit > 0));
    assert!(report["cores"].as_array().is_some_and(|cores| !cores.is_empty()));
    assert!(report["sysctls"]["net.core.somaxconn"].is_string());
    assert!(report["advice"].is_array());
    assert!(report.get("self_test").is_none());
}

#[test]
fn every_refused_step_has_a_reason() {
    let report = report(&[]);
    let refused = report["driver"]["refused"].as_array().expect("a list");
    assert_eq!(refused.is_empty(), report["driver"]["rungs"][0]["refused"].is_null());
    assert!(refused.iter().all(|step| step["reason"].as_str().is_some_and(|reason| !reason.is_empty())));
}

#[test]
fn text_tells_the_same() {
    let finished = run(&["doctor"]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""));
    for word in ["Driver", "chosen", "Limits", "descriptors", "net.core.somaxconn", "What to change"] {
        assert!(finished.stdout.contains(word), "{word}: {}", finished.stdout);
    }
}

#[test]
fn the_driver_can_be_asked_for() {
    let epoll = report(&["--driver", "epoll"]);
    assert_eq!(epoll["driver"]["kind"], "epoll");
    let finished = run(&["doctor", "--driver", "uring"]);
    assert_eq!(finished.code, Some(if has_uring() { 0 } else { 1 }), "{finished:?}");
}

#[test]
fn the_self_test_echoes_on_every_driver() {
    let finished = run(&["doctor", "--self-test"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let uring = if has_uring() { "self-test uring: ok (rung " } else { "self-test uring: unavailable (" };
    assert!(finished.stdout.lines().any(|line| line.starts_with(uring)), "{}", finished.stdout);
    assert!(finished.stdout.lines().any(|line| line == "self-test epoll: ok"), "{}", finished.stdout);
    let report = report(&["--self-test"]);
    assert_eq!(report["self_test"][1]["result"], "ok");
}
