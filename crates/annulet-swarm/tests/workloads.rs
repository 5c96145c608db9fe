//! Every workload with a bounded number of seeds, each with faults of its own.
//!
//! One seed in sixteen runs twice, and has to have the same history both times.

use std::time::{Duration, Instant};

use annulet_sim::{Check, Faults};
use annulet_swarm::{Tally, Workload, rate};

/// Runs so many seeds; what they come to.
#[track_caller]
fn check(name: &str, seeds: u64) -> Tally {
    let workload = Workload::named(name).expect("a workload");
    let mut tally = Tally::default();
    let started = Instant::now();
    match workload.run(Check::default().seeds(seeds)) {
        Ok(totals) => tally.add(&totals),
        Err(failure) => panic!("workload {name}: {failure}"),
    }
    println!("{name}: {}", tally.summary(started.elapsed()));
    tally
}

macro_rules! workloads {
    ($($test:ident = $name:literal, $seeds:literal;)*) => {
        $(
            #[test]
            fn $test() {
                assert!(check($name, $seeds).median_events() > 500, "too little happens");
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
    echo = "echo", 8;
    lines = "lines", 8;
    command = "command", 8;
    length_prefixed = "length-prefixed", 8;
    http_server = "http-server", 8;
    http_client = "http-client", 8;
    proxy = "proxy", 8;
    runtime = "runtime", 8;
    unix = "unix", 4;
    clocks = "clocks", 8;
}

#[test]
fn without_faults_nothing_fails() {
    for workload in annulet_swarm::WORKLOADS {
        let check = Check::default().range(1000..1001).faults(|_| Faults::none());
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
