//! Runs the command.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::client::Client;

/// How long anything may take before a test gives up. Generous: other tests run beside it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The command with nothing of this process's environment that it would listen to.
pub(crate) fn annulet(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_annulet"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ANNULET_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs the command to its end.
pub(crate) fn run(arguments: &[&str]) -> Finished {
    Finished::from(annulet(arguments).output().expect("the command starts"))
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("text on stdout"),
            stderr: String::from_utf8(output.stderr).expect("text on stderr"),
        }
    }
}

/// It did not start: exit code 1 and one line with these words.
#[track_caller]
pub(crate) fn failed(finished: &Finished, words: &[&str]) {
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert_eq!(finished.stdout, "");
    assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    for word in words {
        assert!(finished.stderr.contains(word), "{word}: {}", finished.stderr);
    }
}

/// A server that has printed its start line. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) start_line: String,
    stdout: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
}

impl Server {
    /// `annulet serve` with these arguments and, unless they say otherwise, a free port of 127.0.0.1 and two reactors.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_command(serve(arguments))
    }

    /// The same on a driver.
    pub(crate) fn start_on(driver: &str, arguments: &[&str]) -> Self {
        Self::start(&[arguments, &["--driver", driver]].concat())
    }

    pub(crate) fn start_command(mut command: Command) -> Self {
        let mut server = Self::spawn(&mut command);
        server.start_line = server.line();
        server
    }

    /// A server, or how it ended without a start line.
    pub(crate) fn try_start_command(command: &mut Command) -> Result<Self, Finished> {
        let mut server = Self::spawn(command);
        match server.stdout.recv_timeout(PATIENCE) {
            Ok(line) => {
                server.start_line = line;
                Ok(server)
            }
            Err(RecvTimeoutError::Disconnected) => Err(server.wait()),
            Err(RecvTimeoutError::Timeout) => {
                server.signal("KILL");
                panic!("neither a start line nor an end: {:?}", server.wait())
            }
        }
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
        let stdout = lines_of(child.stdout.take().expect("piped"));
        let stderr = text_of(child.stderr.take().expect("piped"));
        Self { child, start_line: String::new(), stdout, stderr: Some(stderr) }
    }

    /// The next line of stdout.
    pub(crate) fn line(&mut self) -> String {
        match self.stdout.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(error) => {
                let _ = self.child.kill();
                let stderr = self.stderr.take().map(|stderr| stderr.join());
                panic!("no line on stdout ({error}); stderr: {stderr:?}")
            }
        }
    }

    /// Stops listening to stdout, as a reader that went away.
    pub(crate) fn close_stdout(&mut self) {
        self.stdout = mpsc::channel().1;
    }

    /// The addresses of the start line.
    pub(crate) fn addresses(&self) -> Vec<&str> {
        let rest = self.start_line.strip_prefix("listening on ").expect(&self.start_line);
        let (addresses, _) = rest.split_once(" - ").expect(&self.start_line);
        addresses.split(" and ").collect()
    }

    /// The first of them.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses()[0].parse().expect(&self.start_line)
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// Sends the process a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success(), "{kill}");
    }

    /// The counters, asked for by SIGUSR1.
    pub(crate) fn counters(&mut self) -> serde_json::Map<String, serde_json::Value> {
        self.signal("USR1");
        let line = self.line();
        match serde_json::from_str(&line) {
            Ok(serde_json::Value::Object(counters)) => counters,
            other => panic!("{line}: {other:?}"),
        }
    }

    /// One of them.
    pub(crate) fn counter(&mut self, name: &str) -> u64 {
        self.counters()[name].as_u64().expect("a number")
    }

    /// Waits until a counter has at least this value.
    pub(crate) fn await_counter(&mut self, name: &str, least: u64) {
        let start = std::time::Instant::now();
        while self.counter(name) < least {
            assert!(start.elapsed() < PATIENCE, "{name} stays below {least}");
            thread::yield_now();
        }
    }

    /// Asks the server to end, and waits.
    pub(crate) fn stop(self) -> Finished {
        self.signal("TERM");
        self.wait()
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Finished {
        let stderr = self.stderr.take().expect("waited for once").join().expect("stderr");
        let status = self.child.wait().expect("ended");
        let stdout: Vec<String> = self.stdout.iter().collect();
        Finished { code: status.code(), stdout: stdout.join("\n"), stderr }
    }

    /// Ends the server, which must have nothing to complain about.
    pub(crate) fn stop_cleanly(self) {
        let finished = self.stop();
        assert_eq!(finished.code, Some(0), "{finished:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `annulet serve` with defaults fit for tests.
pub(crate) fn serve(arguments: &[&str]) -> Command {
    let mut command = annulet(&["serve"]);
    command.args(arguments);
    for (name, value) in [("--listen", "127.0.0.1:0"), ("--reactors", "2")] {
        if !arguments.contains(&name) {
            command.args([name, value]);
        }
    }
    command
}

/// A port of 127.0.0.1 nobody listens at; somebody else might take it, but the kernel gives others first.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

fn lines_of(stdout: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            // The receiver goes first when a test closes stdout: then so does the pipe.
            if sender.send(line.expect("text on stdout")).is_err() {
                break;
            }
        }
    });
    receiver
}

fn text_of(mut stderr: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).expect("text on stderr");
        text
    })
}
