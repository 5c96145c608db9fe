//! The load client: one thread, epoll, no runtime. Prints one line of JSON.
//!
//! `load MODE --server ADDR [options]`; the README lists modes and options.

mod churn;
mod client;
mod conn;
mod idle;
mod pattern;
mod pingpong;
mod poll;
mod rate;
mod report;
mod requests;
mod responses;
mod stream;
mod traffic;
mod window;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use bench_common::affinity;
use bench_common::args::{Args, usage};
use serde_json::Value;

use crate::client::Options;
use crate::poll::Waiting;
use crate::requests::Head;
use crate::traffic::Message;

const MODES: &str = "pingpong, rate, churn, stream, idle, http, http-pipelined, http-churn or http-idle";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> std::io::Result<bool> {
    let mut args = Args::from_env();
    let Some(mode) = args.word() else { usage(&format!("a mode, please: {MODES}")) };
    if let Some(cpu) = args.value::<usize>("--cpu") {
        affinity::pin_current_thread(cpu)?;
    }
    if args.flag("--sched-batch") {
        affinity::batch_current_thread()?;
    }
    let Some(server) = args.value::<SocketAddr>("--server") else { usage("--server ADDR, please") };
    let size = args.value_or("--size", 100);
    let message = if mode.starts_with("http") { requests(&mut args, &mode) } else { Message::Echo { size } };
    let options = Options {
        server,
        server_pid: args.value("--server-pid"),
        connections: args.value_or("--connections", 64),
        message,
        warm_up: Duration::from_secs_f64(args.value_or("--warm-up", 0.2)),
        length: Duration::from_secs_f64(args.value_or("--seconds", 1.0)),
        waiting: if args.flag("--spin") { Waiting::Spin } else { Waiting::Sleep },
    };
    let (clean, mut fields) = match mode.as_str() {
        "pingpong" | "http" | "http-pipelined" => {
            let messages = args.value("--messages");
            let lockstep = args.flag("--lockstep");
            args.finish();
            pingpong::run(&options, messages, lockstep)?
        }
        "rate" => {
            let rate = args.value_or("--rate", 1000.0);
            args.finish();
            rate::run(&options, size, rate)?
        }
        "churn" | "http-churn" => {
            let exchanges = args.value_or("--exchanges", 1u32).max(1);
            let connections_max = args.value("--messages");
            args.finish();
            churn::run(&options, exchanges, connections_max)?
        }
        "stream" => {
            let in_flight = args.value_or("--window", 256 * 1024);
            args.finish();
            stream::run(&options, in_flight)?
        }
        "idle" | "http-idle" => {
            args.finish();
            idle::run(&options)?
        }
        _ => usage(&format!("unknown mode {mode}")),
    };
    fields.insert("mode".into(), Value::from(mode));
    fields.insert("connections".into(), Value::from(options.connections));
    match message {
        Message::Echo { size } => fields.insert("size".into(), Value::from(size)),
        Message::Http { depth, .. } => fields.insert("depth".into(), Value::from(depth)),
    };
    println!("{}", Value::Object(fields));
    Ok(clean)
}

/// The requests of an HTTP mode.
fn requests(args: &mut Args, mode: &str) -> Message {
    let depth = args.value_or("--depth", if mode == "http-pipelined" { 16 } else { 1 });
    let head = if args.flag("--browser") { Head::Browser } else { Head::H2load };
    Message::Http { head, depth }
}
