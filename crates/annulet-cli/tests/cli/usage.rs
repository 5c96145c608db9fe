//! Arguments, environment and exit codes.

use crate::client::converse;
use crate::process::{Server, annulet, run, serve};

/// Every setting of `annulet serve`: its flag, which also names its variable.
const SETTINGS: &str = "listen backlog share-port banner greeting reactors pin driver park buffers buffers-max buffer-size \
    max-connections max-line max-unsent max-unread setup-timeout idle-timeout request-timeout write-timeout \
    linger-timeout drain-timeout log log-level stats-at-exit";

/// The command line is wrong: exit code 2, and stderr says how to do better.
#[track_caller]
fn refused(arguments: &[&str], hint: &str) {
    let finished = run(arguments);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert_eq!(finished.stdout, "");
    assert!(finished.stderr.contains(hint), "{hint}: {}", finished.stderr);
}

#[test]
fn help_shows_every_flag_and_its_variable() {
    let help = run(&["serve", "--help"]);
    assert_eq!(help.code, Some(0));
    for name in SETTINGS.split_whitespace() {
        assert!(help.stdout.contains(&format!("--{name}")), "--{name}");
        let variable = format!("[env: ANNULET_{}=", name.to_uppercase().replace('-', "_"));
        assert!(help.stdout.contains(&variable), "{variable}");
    }
    for app in ["echo", "lines", "command", "http"] {
        assert!(help.stdout.contains(&format!("- {app}:")), "{app}");
    }
    assert!(run(&["--help"]).stdout.contains("doctor"));
    assert_eq!(run(&["--version"]).stdout, format!("annulet {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    refused(&[], "Usage: annulet");
    refused(&["serve"], "<APP>");
    refused(&["serve", "chargen"], "echo");
    refused(&["serve", "echo", "--nonsense"], "--nonsense");
    refused(&["serve", "echo", "--listen", "example.org"], "127.0.0.1:7000");
    refused(&["serve", "echo", "--reactors", "0"], "cores");
    refused(&["serve", "echo", "--driver", "kqueue"], "auto, uring or epoll");
    refused(&["serve", "echo", "--park", "spin"], "spin:50us");
    refused(&["serve", "echo", "--idle-timeout", "10"], "10s");
    refused(&["serve", "echo", "--max-unsent", "64KB"], "64KiB");
    refused(&["serve", "echo", "--max-connections", "0"], "--max-connections");
    refused(&["serve", "echo", "--buffers", "3"], "4..=32768");
    refused(&["serve", "echo", "--log", "xml"], "json");
    refused(&["serve", "echo", "--log-level", "loud"], "debug");
    refused(&["doctor", "--driver", "kqueue"], "auto, uring or epoll");
}

#[test]
fn arguments_that_do_not_go_together_are_refused() {
    refused(&["serve", "lines", "--banner", "hi"], "serve echo");
    refused(&["serve", "echo", "--greeting", "hi"], "serve lines");
    refused(&["serve", "http", "--max-line", "10"], "serve command");
    refused(&["serve", "lines", "--greeting", "two\nlines"], "one line");
    refused(&["serve", "echo", "--buffers", "9", "--buffers-max", "8"], "--buffers-max");
    refused(&["serve", "echo", "--buffer-size", "100"], "512");
}

#[test]
fn the_environment_says_what_the_command_line_does_not() {
    let mut command = annulet(&["serve", "echo", "--reactors", "1"]);
    command
        .env("ANNULET_LISTEN", "127.0.0.1:0,127.0.0.1:0")
        .env("ANNULET_REACTORS", "2")
        .env("ANNULET_DRIVER", "epoll")
        .env("ANNULET_PIN", "yes")
        .env("ANNULET_IDLE_TIMEOUT", "1m")
        .env("ANNULET_GREETING", "for another app");
    let server = Server::start_command(command);
    assert_eq!(server.addresses().len(), 2);
    assert!(server.start_line.ends_with(" - driver epoll, as asked - 1 reactor"), "{}", server.start_line);
    server.stop_cleanly();
}

#[test]
fn every_setting_is_taken() {
    let line = "echo --backlog 16 --share-port --banner hi --reactors 1 --pin --driver epoll --park spin:50us --buffers 16 \
                --buffers-max 64 --buffer-size 2KiB --max-connections 10 --max-unsent 8KiB --max-unread 8KiB \
                --setup-timeout 5s --idle-timeout 1m --request-timeout 0 --write-timeout 10s --linger-timeout 500ms \
                --drain-timeout 1m --log json --log-level trace --stats-at-exit";
    let mut server = Server::start(&line.split_whitespace().collect::<Vec<_>>());
    converse(server.address(), b"hello", b"hi\nhello");
    assert_eq!(server.counter("buffers_total"), 16);
    server.stop_cleanly();
}

#[test]
fn a_wrong_variable_is_exit_code_2() {
    let output = serve(&["echo"]).env("ANNULET_WRITE_TIMEOUT", "soon").output().expect("runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--write-timeout"));
}
