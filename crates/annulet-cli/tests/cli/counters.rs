//! The counters on stdout.

use std::collections::BTreeSet;

use crate::client::{Client, converse};
use crate::drivers::on_each_driver;
use crate::process::Server;

/// The names of the tables in `docs/counters.md`, but for those of what the command does not use.
fn documented() -> BTreeSet<String> {
    let text = include_str!("../../../../docs/counters.md");
    let sections = text.split("\n## ").filter(|section| !section.starts_with("HTTP clients"));
    let rows = sections.flat_map(str::lines).filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    rows.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn sigusr1_prints_exactly_the_documented_counters() {
    on_each_driver(|driver| {
        let mut server = Server::start_on(driver, &["http"]);
        let request = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
        let mut client = Client::connect(server.address());
        client.send(request);
        let response = client.rest();
        drop(client);
        server.await_counter("connections_closed", 1);
        let counters = server.counters();
        let names: BTreeSet<String> = counters.keys().cloned().collect();
        assert_eq!(names, documented());
        assert_eq!(counters["connections_opened"], 1);
        assert_eq!(counters["connections_open"], 0);
        assert_eq!(counters["http_requests"], 1);
        assert_eq!(counters["bytes_received"], request.len() as u64);
        assert_eq!(counters["bytes_sent"], response.len() as u64);
        assert_eq!(counters["log_lines_dropped"], 0);
        let finished = server.stop();
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), ""));
    });
}

#[test]
fn stats_at_exit_prints_them_at_the_end() {
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &["echo", "--stats-at-exit"]);
        converse(server.address(), b"hello", b"hello");
        let finished = server.stop();
        assert_eq!(finished.code, Some(0));
        let counters: serde_json::Value = serde_json::from_str(&finished.stdout).expect(&finished.stdout);
        assert_eq!(counters["connections_opened"], 1);
        assert_eq!(counters["connections_closed"], 1);
        assert_eq!(counters["bytes_sent"], 5);
    });
}

#[test]
fn nobody_reading_stdout_is_no_failure() {
    let mut server = Server::start(&["echo", "--stats-at-exit"]);
    server.close_stdout();
    // The first line may still find the pipe's reader; the others cannot.
    for _ in 0..3 {
        server.signal("USR1");
        converse(server.address(), b"still serving", b"still serving");
    }
    let finished = server.stop();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
}
