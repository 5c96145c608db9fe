//! Runs of the load client.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::process::Running;

/// How to start the client.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) binary: PathBuf,
    pub(crate) cpu: usize,
    /// Spin instead of sleeping.
    pub(crate) spin: bool,
}

impl Client {
    /// The command that puts `load` on `server`.
    pub(crate) fn command(&self, server: &Running, load: &[String]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(load).arg("--server").arg(server.address.to_string());
        command.arg("--server-pid").arg(server.pid().to_string());
        command.arg("--cpu").arg(self.cpu.to_string());
        if self.spin {
            command.arg("--spin");
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs the client and returns its line of JSON; any error or wrong byte is an error.
    pub(crate) fn run(&self, server: &Running, load: &[String]) -> io::Result<Value> {
        let output = self.command(server, load).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("load {}: {text}{complaint}", load.join(" "))));
        }
        serde_json::from_str(text.trim()).map_err(io::Error::other)
    }
}
