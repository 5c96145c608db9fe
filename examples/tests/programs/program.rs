//! Runs an example.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use annulet::driver::limits::available_cpus;
use annulet::driver::select;
use annulet::{DriverChoice, DriverOptions};

/// How long anything may take before a test gives up. Generous: other tests run beside it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a scenario on epoll and, where the kernel allows it, on io_uring.
pub(crate) fn on_each_driver(scenario: impl Fn(&str)) {
    scenario("epoll");
    match select(DriverChoice::Uring, &DriverOptions::default()) {
        Ok(_) => scenario("uring"),
        Err(error) => eprintln!("not tested on io_uring: {error}"),
    }
}

/// A running example. Killed when dropped.
pub(crate) struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    port: OnceCell<u16>,
}

impl Program {
    pub(crate) fn start(name: &str, driver: &str, arguments: &[&str]) -> Self {
        let path = executable(name);
        let mut command = Command::new(&path);
        command.args(arguments).env("ANNULET_DRIVER", driver);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; are the examples built?", path.display()));
        let stdin = child.stdin.take();
        let stdout = lines_of(child.stdout.take().expect("piped"));
        Self { child, stdin, stdout, port: OnceCell::new() }
    }

    /// The next line of stdout.
    pub(crate) fn line(&self) -> String {
        self.stdout.recv_timeout(PATIENCE).expect("a line on stdout")
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.stdin.as_mut().expect("open").write_all(text.as_bytes()).expect("it listens");
    }

    /// Ends its standard input.
    pub(crate) fn end_input(&mut self) {
        drop(self.stdin.take());
    }

    /// The TCP ports it listens at, once all its reactors do.
    pub(crate) fn ports(&self, count: usize) -> Vec<u16> {
        // Each reactor has a socket of its own; the runtime's default is one for each processor.
        let reactors = available_cpus().len().max(1);
        let start = Instant::now();
        loop {
            let mut sockets: HashMap<u16, usize> = HashMap::new();
            for port in listening_ports(self.child.id()) {
                *sockets.entry(port).or_default() += 1;
            }
            if sockets.len() == count && sockets.values().all(|sockets| *sockets == reactors) {
                return sockets.into_keys().collect();
            }
            assert!(start.elapsed() < PATIENCE, "it does not listen: {sockets:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A connection to its only port.
    pub(crate) fn connect(&self) -> TcpStream {
        let port = *self.port.get_or_init(|| self.ports(1)[0]);
        connect(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// Asks it to end, and waits until it has, in order.
    pub(crate) fn stop(self) -> Vec<String> {
        self.await_signal_handler();
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success(), "{kill}");
        self.wait()
    }

    /// Waits for its orderly end. Returns what else it had to say.
    pub(crate) fn wait(mut self) -> Vec<String> {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(5));
        };
        assert!(status.success(), "{status}");
        self.stdout.iter().collect()
    }

    /// A server may be answering before it listens to signals.
    fn await_signal_handler(&self) {
        const TERM: u64 = 1 << (15 - 1);
        let start = Instant::now();
        loop {
            let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
            let mask = |name| {
                let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a mask");
                u64::from_str_radix(line.trim(), 16).expect("a number")
            };
            if (mask("SigCgt:") | mask("SigBlk:")) & TERM != 0 {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "it does not listen to SIGTERM");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Beside the folder of this test program.
fn executable(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("this program");
    let profile = this.parent().and_then(Path::parent).expect("target/PROFILE/deps");
    profile.join("examples").join(name)
}

/// Ports of the listening TCP sockets of a process.
fn listening_ports(process: u32) -> Vec<u16> {
    let links = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten();
    let links = links.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let own: HashSet<String> = links
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let table = |name| fs::read_to_string(format!("/proc/{process}/net/{name}")).unwrap_or_default();
    let tables = table("tcp") + &table("tcp6");
    // There may be thousands of others.
    let listening = tables.lines().filter(|line| line.contains(" 0A "));
    let port = |line: &str| {
        let mut fields = line.split_whitespace();
        let (local, socket) = (fields.nth(1)?, fields.nth(7)?);
        let (_, port) = local.rsplit_once(':')?;
        own.contains(socket).then(|| u16::from_str_radix(port, 16).expect("a port"))
    };
    listening.filter_map(port).collect()
}

fn lines_of(stdout: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            if sender.send(line.expect("text on stdout")).is_err() {
                break;
            }
        }
    });
    receiver
}

/// A connection whose reads and writes fail rather than hang.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

/// Sends `request` and expects exactly `answer` next.
#[track_caller]
pub(crate) fn ask(stream: &mut (impl Read + Write), request: &str, answer: &str) {
    stream.write_all(request.as_bytes()).expect("sent");
    let mut received = vec![0; answer.len()];
    stream.read_exact(&mut received).expect("an answer");
    assert_eq!(String::from_utf8_lossy(&received), answer);
}

/// What comes up to an orderly end.
#[track_caller]
pub(crate) fn rest(stream: &mut impl Read) -> String {
    let mut received = String::new();
    stream.read_to_string(&mut received).expect("an orderly end");
    received
}

/// A server that is none of ours: answers one connection with what it gets, up to its end.
pub(crate) fn echo_once() -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let serving = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection");
        std::io::copy(&mut &stream, &mut &stream).expect("an orderly end");
    });
    (address, serving)
}
