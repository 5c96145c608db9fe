//! A server process: started pinned, asked for its address and its counters, ended.

use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use bench_common::affinity;
use serde_json::Value;

/// How long a server may take to start, to answer SIGUSR1 and to end. Generous: it may run under valgrind.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Lines of standard output and standard error, in order of arrival.
    lines: Receiver<String>,
    /// Lines read so far that were not counters; shown if the server fails.
    said: Vec<String>,
}

impl Running {
    /// Starts `command` on `cpu`, under `SCHED_BATCH` if `batch`, and waits for the line that names its address.
    pub(crate) fn start(mut command: Command, cpu: usize, batch: bool) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let place = move || {
            affinity::pin_current_thread(cpu)?;
            if batch { affinity::batch_current_thread() } else { Ok(()) }
        };
        // SAFETY: both calls are async-signal-safe, which is all that is allowed between fork and exec.
        unsafe { command.pre_exec(place) };
        let mut child = command.spawn().map_err(|error| describe(&command, &error))?;
        let (sender, lines) = mpsc::channel();
        forward(child.stdout.take().expect("piped above"), sender.clone());
        forward(child.stderr.take().expect("piped above"), sender);
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Self { child, address, lines, said: Vec::new() };
        let deadline = Instant::now() + PATIENCE;
        while let Some(line) = server.line(deadline) {
            let found = address_in(&line);
            server.said.push(line);
            if let Some(address) = found {
                server.address = address;
                return Ok(server);
            }
        }
        Err(io::Error::other(format!("no start line from {command:?}: {:?}", server.said)))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn line(&self, deadline: Instant) -> Option<String> {
        self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
    }

    fn signal(&self, signal: libc::c_int) {
        let pid = self.child.id() as libc::pid_t;
        // SAFETY: no pointer is involved; the child has not been waited for, so the id is still its own.
        unsafe { libc::kill(pid, signal) };
    }

    /// Sends SIGUSR1 and reads the counters it makes the server print.
    pub(crate) fn counters(&mut self) -> io::Result<Value> {
        self.signal(libc::SIGUSR1);
        let deadline = Instant::now() + PATIENCE;
        while let Some(line) = self.line(deadline) {
            if let Some(counters) = counters_in(&line) {
                return Ok(counters);
            }
            self.said.push(line);
        }
        Err(io::Error::other(format!("no counters after SIGUSR1: {:?}", self.said)))
    }

    /// Ends the server with SIGTERM (SIGKILL if it does not obey) and returns how it ended, what it printed, and the
    /// counters if it printed any.
    pub(crate) fn stop(mut self) -> io::Result<Stopped> {
        self.signal(libc::SIGTERM);
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                self.child.kill()?;
                break self.child.wait()?;
            }
            thread::sleep(Duration::from_millis(5));
        };
        let mut counters = None;
        while let Some(line) = self.line(Instant::now() + PATIENCE) {
            counters = counters_in(&line).or(counters);
            self.said.push(line);
        }
        Ok(Stopped { status, said: std::mem::take(&mut self.said), counters })
    }
}

impl Drop for Running {
    /// A server never outlives the harness' interest in it.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// How a server ended.
pub(crate) struct Stopped {
    pub(crate) status: ExitStatus,
    pub(crate) said: Vec<String>,
    pub(crate) counters: Option<Value>,
}

fn forward(stream: impl Read + Send + 'static, sender: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
}

fn describe(command: &Command, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot start {command:?}: {error}"))
}

/// The first IPv4 address with a port in a line.
fn address_in(line: &str) -> Option<SocketAddr> {
    let of_address = |c: char| c.is_ascii_digit() || c == '.' || c == ':';
    let words = line.split(|c: char| !of_address(c));
    words
        .filter_map(|word| word.trim_matches(['.', ':']).parse().ok())
        .find(|address: &SocketAddr| address.port() != 0)
}

/// A line of JSON that counts enters.
fn counters_in(line: &str) -> Option<Value> {
    let from = line.find('{')?;
    let value: Value = serde_json::from_str(line[from..].trim()).ok()?;
    value.get("enters").is_some().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_any_start_line() {
        for line in [
            "listening on 127.0.0.1:4711",
            "2026-01-02T03:04:05.6Z INFO annulet: listening on 127.0.0.1:4711, driver uring (6.18.44), 1 reactor",
            r#"{"listening":["127.0.0.1:4711"],"reactors":1}"#,
            "addresses=tcp://127.0.0.1:4711.",
        ] {
            assert_eq!(address_in(line).expect(line).port(), 4711);
        }
        assert_eq!(address_in("==12:0== started at 10:20:30"), None);
    }

    #[test]
    fn counters_are_a_json_object_with_enters() {
        assert!(counters_in(r#"stats {"enters":3,"turns":2}"#).is_some());
        assert!(counters_in(r#"{"level":"info"}"#).is_none());
    }
}
