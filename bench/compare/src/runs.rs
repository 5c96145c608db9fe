//! One run: a fresh server, the load, the counters.

use std::io;
use std::process::Command;

use bench_common::protocol::Protocol;
use serde_json::{Value, json};

use crate::client::Client;
use crate::process::Running;
use crate::servers::{Binaries, Server};

/// What a run is started with.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) binaries: Binaries,
    pub(crate) client: Client,
    pub(crate) server_cpu: usize,
    pub(crate) protocol: Protocol,
    /// Servers run under `SCHED_BATCH`.
    pub(crate) batch: bool,
    /// Read buffer of servers that have one per connection.
    pub(crate) buffer: Option<usize>,
}

impl Setup {
    pub(crate) fn start(&self, server: Server) -> io::Result<Running> {
        let mut command = Command::new(server.binary(&self.binaries));
        command.args(server.command_line(self.protocol, self.buffer));
        if server.is_annulet() {
            command.arg("--stats-at-exit");
        }
        Running::start(command, self.server_cpu, self.batch)
    }

    /// Starts the server, runs `load`, ends the server; the client's figures, with what the counters add.
    pub(crate) fn run(&self, server: Server, load: &[String]) -> io::Result<Value> {
        let running = self.start(server)?;
        let mut figures = self.client.run(&running, load)?;
        let stopped = running.stop()?;
        if !stopped.status.success() {
            let said = stopped.said.join("\n");
            return Err(io::Error::other(format!("{} ended with {}: {said}", server.name, stopped.status)));
        }
        figures["server"] = json!(server.name);
        if let Some(counters) = stopped.counters {
            for (name, per_message) in
                [("enters", "enters_per_message"), ("sqes", "sqes_per_message"), ("cqes", "cqes_per_message")]
            {
                let count = number(&counters, name);
                figures[per_message] = json!(count / number(&figures, "messages_total"));
            }
            figures["counters"] = counters;
        }
        Ok(figures)
    }
}

/// A field as a number; not a number if it is missing.
pub(crate) fn number(value: &Value, name: &str) -> f64 {
    value.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN)
}
