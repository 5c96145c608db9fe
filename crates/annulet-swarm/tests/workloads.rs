//! Every workload with a bounded number of seeds, each with faults of its own.
//!
//! Each seventeenth seed runs twice, and has to have the same history both times.

use std::time::Duration;

use annulet_sim::{Check, Faults};
use annulet_swarm::{Tally, Workload, rate};

/// Seeds of each workload: a few seconds in a debug build.
const SEEDS: u64 = 12;

#[track_caller]
fn check(name: &str) -> Tally {
    let workload = Workload::named(name).expect("a workload");
    let mut tally = Tally::default();
    match workload.run(Check::default().seeds(SEEDS)) {
        Ok(totals) => tally.add(&totals),
        Err(failure) => panic!("workload {name}: {failure}"),
    }
    println!("{name}: {}", tally.summary(Duration::from_secs(1)));
    tally
}

macro_rules! workloads {
    ($($test:ident = $name:literal,)*) => {
        $(
            #[test]
            fn $test() {
                assert!(check($name).median_events() > 1000, "too little happens");
            }
        )*

        #[test]
        fn none_is_forgotten() {
            let tested = [$($name),*];
            let all: Vec<_> = annulet_swarm::WORKLOADS.iter().map(|workload| workload.name).collect();
            assert_eq!(tested[..], all[..]);
        }
    };
}

workloads! {
    echo = "echo",
    lines = "lines",
    command = "command",
    length_prefixed = "length-prefixed",
    http_server = "http-server",
    http_client = "http-client",
    proxy = "proxy",
    runtime = "runtime",
    unix = "unix",
}

#[test]
fn without_faults_nothing_fails() {
    for workload in annulet_swarm::WORKLOADS {
        let check = Check::default().range(1000..1002).faults(|_| Faults::none());
        if let Err(failure) = workload.run(check) {
            panic!("workload {}: {failure}", workload.name);
        }
    }
}

#[test]
fn a_hundred_connections_keep_their_pace() {
    let report = rate::run(Duration::from_secs(1));
    assert!(report.time >= Duration::from_millis(900) && report.time < Duration::from_secs(2), "{report:?}");
}
