//! The log on stderr.

use crate::client::converse;
use crate::process::{Server, annulet, serve};

#[test]
fn a_quiet_life_is_a_few_lines() {
    let server = Server::start(&["echo"]);
    converse(server.address(), b"hello", b"hello");
    let finished = server.stop();
    assert!(finished.stderr.contains("SIGTERM"), "{}", finished.stderr);
    assert!(finished.stderr.lines().count() <= 4, "{}", finished.stderr);
    assert!(!finished.stderr.contains('\x1b'));
}

#[test]
fn connections_are_logged_where_asked_for() {
    let server = Server::start(&["echo", "--log-level", "debug"]);
    converse(server.address(), b"hello", b"hello");
    let finished = server.stop();
    assert!(finished.stderr.contains("accepted"), "{}", finished.stderr);
    assert_eq!(Server::start(&["echo", "--log-level", "off"]).stop().stderr, "");
}

#[test]
fn json_is_an_object_per_line() {
    let finished = Server::start(&["echo", "--log", "json"]).stop();
    assert!(!finished.stderr.is_empty());
    for line in finished.stderr.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(event["level"].is_string() && event["message"].is_string(), "{line}");
    }
    let last: serde_json::Value =
        serde_json::from_str(finished.stderr.lines().last().expect("a line")).expect("JSON");
    assert_eq!((last["connections"].as_u64(), last["cut"].as_u64()), (Some(0), Some(0)));
}

#[test]
fn nobody_reading_the_log_costs_lines_and_no_time() {
    // Nobody reads this pipe while the server runs.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = serve(&["echo", "--log-level", "trace", "--linger-timeout", "0"]);
    command.stderr(writer);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("starts");
    drop(command);
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().expect("piped")));
    let mut line = || lines.next().expect("a line").expect("text");
    let start = line();
    let address = start.split(' ').nth(2).expect("an address").parse().expect(&start);
    let dropped = loop {
        (0..200).for_each(|_| converse(address, b"x", b"x"));
        let kill = format!("kill -USR1 {}", child.id());
        assert!(std::process::Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
        let counters: serde_json::Value = serde_json::from_str(&line()).expect("JSON");
        match counters["log_lines_dropped"].as_u64().expect("a number") {
            0 => {}
            dropped => break dropped,
        }
    };
    assert!(dropped > 0);
    drop(reader);
    child.kill().expect("killed");
    child.wait().expect("ended");
}

#[test]
fn help_into_a_closed_pipe_is_no_panic() {
    for arguments in [&["--help"][..], &["serve", "--help"], &["doctor"], &["doctor", "--json"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = annulet(arguments).stdout(writer).output().expect("runs");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
}
