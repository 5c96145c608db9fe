//! A client process, as a round sees it.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use crate::client::{ClientReport, Orders};
use crate::report::{Kind, Violation};

/// How long a client may take to be ready, and to end once it was told: longer than it waits for any byte.
const PATIENCE: Duration = Duration::from_secs(150);

/// A client process. Killed when dropped.
pub(crate) struct Crowd {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
}

impl Crowd {
    /// Returns once what is to be held is held.
    pub(crate) fn start(orders: &Orders) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["client", &serde_json::to_string(orders)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("while starting a client")?;
        let stdin = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, stdout) = mpsc::channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let crowd = Self { child, stdin, stdout };
        crowd.line("is not ready")?;
        Ok(crowd)
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Tells the client to end with what it is at, and waits.
    pub(crate) fn finish(mut self) -> anyhow::Result<ClientReport> {
        drop(self.stdin.take());
        let report = self.line("does not end")?;
        self.child.wait()?;
        Ok(serde_json::from_str(&report)?)
    }

    /// Ends it without a word; what it saw is not known.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn line(&self, otherwise: &str) -> anyhow::Result<String> {
        let line = self.stdout.recv_timeout(PATIENCE);
        Ok(line.map_err(|error| Violation::new(Kind::Hang, format!("a client {otherwise} ({error})")))?)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
