//! Every clock ends its connection and is counted under its name. Lower bounds only: a slow machine is no failure.

use std::time::{Duration, Instant};

use crate::client::Client;
use crate::drivers::on_each_driver;
use crate::process::Server;

/// Starts a server with a clock of 200 ms, lets `lead_up` bring a client to where it should run, and expects the end.
#[track_caller]
fn runs_out(app: &str, flag: &str, counter: &str, lead_up: impl Fn(&mut Client)) {
    on_each_driver(|driver| {
        let mut server = Server::start_on(driver, &[app, flag, "200ms"]);
        let mut client = server.connect();
        let start = Instant::now();
        lead_up(&mut client);
        client.expect_end();
        assert!(start.elapsed() >= Duration::from_millis(150), "{:?}", start.elapsed());
        drop(client);
        server.await_counter(counter, 1);
        server.stop_cleanly();
    });
}

#[test]
fn setup_ends_who_never_says_anything() {
    runs_out("echo", "--setup-timeout", "timeouts_setup", |_| {});
}

#[test]
fn idle_ends_who_falls_silent_between_messages() {
    runs_out("echo", "--idle-timeout", "timeouts_idle", |client| {
        client.send("hello");
        client.expect("hello");
    });
}

#[test]
fn idle_ends_who_falls_silent_within_a_message() {
    runs_out("command", "--idle-timeout", "timeouts_inactivity", |client| {
        client.expect("READY\n");
        client.send("PI");
    });
}

#[test]
fn request_ends_who_takes_too_long_for_one_message() {
    runs_out("command", "--request-timeout", "timeouts_request", |client| {
        client.expect("READY\n");
        client.send("PI");
    });
}

#[test]
fn write_resets_who_never_reads() {
    on_each_driver(|driver| {
        let mut server = Server::start_on(driver, &["echo", "--write-timeout", "200ms"]);
        let mut client = server.connect();
        client.send_until_stuck(b"x");
        server.await_counter("timeouts_write", 1);
        server.await_counter("connections_closed", 1);
        server.stop_cleanly();
    });
}

#[test]
fn a_clock_that_is_off_does_not_run() {
    on_each_driver(|driver| {
        let server = Server::start_on(
            driver,
            &["command", "--setup-timeout", "0", "--request-timeout", "0", "--idle-timeout", "0"],
        );
        let mut client = server.connect();
        client.expect("READY\n");
        client.send("PI");
        // No synchronisation, but the wait that the default clocks of a hasty implementation would cut short.
        client.0.set_read_timeout(Some(Duration::from_millis(300))).expect("a time-out");
        assert!(std::io::Read::read(&mut client.0, &mut [0]).is_err());
        client.send("NG\n");
        client.expect("PONG\n");
        drop(client);
        server.stop_cleanly();
    });
}
