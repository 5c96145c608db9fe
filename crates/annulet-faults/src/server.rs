//! The server under test: a process.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::{Map, Value};

use crate::cli::Driver;
use crate::client::App;
use crate::machine::leash;
use crate::report::{Kind, Violation};

/// How long a line on stdout may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The drain of every server.
const DRAIN: Duration = Duration::from_secs(10);

/// Of every server, on whatever machine.
const REACTORS: usize = 2;

/// How a server is started.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) app: App,
    /// Auto, if none.
    pub(crate) driver: Option<Driver>,
    pub(crate) address: SocketAddr,
    pub(crate) arguments: Vec<String>,
    /// A command that starts the server, such as `prlimit --as=…`.
    pub(crate) prefix: Vec<String>,
}

impl Launch {
    pub(crate) fn new(app: App, driver: Driver) -> Self {
        Self {
            app,
            driver: Some(driver),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            arguments: Vec::new(),
            prefix: Vec::new(),
        }
    }

    pub(crate) fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    pub(crate) fn prefix(mut self, prefix: Vec<String>) -> Self {
        self.prefix.extend(prefix);
        self
    }

    fn command(&self, annulet: &Path) -> Command {
        let driver = self.driver.map_or("auto", Driver::name);
        let drain = format!("{}s", DRAIN.as_secs());
        let words = leash().iter().map(|word| (*word).to_owned()).chain(self.prefix.iter().cloned());
        let mut words: Vec<String> = words.collect();
        words.push(annulet.display().to_string());
        words.extend(
            ["serve", self.app.name(), "--driver", driver, "--drain-timeout", &drain].map(str::to_owned),
        );
        let (reactors, address) = (REACTORS.to_string(), self.address.to_string());
        words.extend(["--reactors", &reactors, "--listen", &address].map(str::to_owned));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args(&self.arguments);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ANNULET_") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// What a server that did not start said.
#[derive(Debug)]
pub(crate) struct NotStarted {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
}

/// A server that has printed its start line. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    stdout: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
    pub(crate) app: App,
    pub(crate) start_line: String,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it; an orderly refusal to start is a value.
    pub(crate) fn try_start(annulet: &Path, launch: &Launch) -> anyhow::Result<Result<Self, NotStarted>> {
        let mut command = launch.command(annulet);
        let mut child = command.spawn().with_context(|| format!("while starting {command:?}"))?;
        let stdout = lines_of(child.stdout.take().expect("piped"));
        let mut stderr = child.stderr.take().expect("piped");
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            // What has been read stays when reading fails.
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let (app, address) = (launch.app, launch.address);
        let mut server =
            Self { child, stdout, stderr: Some(stderr), app, start_line: String::new(), address };
        match server.stdout.recv_timeout(PATIENCE) {
            Ok(line) => {
                server.address = listening_on(&line).with_context(|| format!("the start line {line:?}"))?;
                server.start_line = line;
                Ok(Ok(server))
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = server.child.wait()?;
                Ok(Err(NotStarted { status, stderr: server.log() }))
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                Err(Violation::new(Kind::Hang, format!("no start line within {PATIENCE:?}")).into())
            }
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(self.pid(), signal)?)
    }

    /// Sets the soft limit on descriptors. Returns the one before.
    pub(crate) fn limit_descriptors(&self, current: u64) -> anyhow::Result<u64> {
        let Rlimit { current: before, maximum } = {
            let text = fs::read_to_string(self.proc("limits"))?;
            let line = text.lines().find(|line| line.starts_with("Max open files")).context("its limits")?;
            let mut numbers = line.split_whitespace().skip(3).map(|number| number.parse().ok());
            Rlimit { current: numbers.next().flatten(), maximum: numbers.next().flatten() }
        };
        prlimit(Some(self.pid()), Resource::Nofile, Rlimit { current: Some(current), maximum })?;
        before.context("a limit on descriptors")
    }

    /// Its descriptors and what they are.
    pub(crate) fn descriptors(&self) -> Descriptors {
        let entries = fs::read_dir(self.proc("fd")).into_iter().flatten().flatten();
        let target = |entry: fs::DirEntry| fs::read_link(entry.path()).ok();
        Descriptors(entries.filter_map(target).map(|target| target.display().to_string()).collect())
    }

    /// Bytes of memory in use.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(self.proc("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("its memory")?;
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes * 1024)
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }

    /// Its counters.
    pub(crate) fn counters(&self) -> anyhow::Result<Counters> {
        self.signal(Signal::USR1)?;
        let line = self.stdout.recv_timeout(PATIENCE);
        let line = line.map_err(|error| {
            Violation::new(Kind::Hang, format!("no counters after SIGUSR1 ({error}); {}", self.threads()))
        })?;
        Ok(Counters(serde_json::from_str(&line).with_context(|| format!("counters: {line}"))?))
    }

    /// What its threads are doing, for who wonders why it hangs.
    fn threads(&self) -> String {
        let tasks = fs::read_dir(self.proc("task")).into_iter().flatten().flatten();
        let tell = |task: fs::DirEntry| {
            let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
            format!("{} in {} ({})", read("comm").trim(), read("syscall").trim(), read("wchan").trim())
        };
        tasks.map(tell).collect::<Vec<_>>().join("; ")
    }

    /// Asks it to end; it must, in time, with exit code 0 and nothing bad in its log.
    pub(crate) fn stop(self) -> anyhow::Result<Vec<Violation>> {
        Ok(self.stop_counting()?.0)
    }

    /// The same, with the counters of `--stats-at-exit`, if that was asked for.
    pub(crate) fn stop_counting(mut self) -> anyhow::Result<(Vec<Violation>, Option<Counters>)> {
        self.signal(Signal::TERM)?;
        let start = Instant::now();
        let limit = DRAIN + Duration::from_secs(10);
        let status = loop {
            match self.child.try_wait()? {
                Some(status) => break status,
                None if start.elapsed() > limit => {
                    let what = format!("alive {limit:?} after SIGTERM; {}", self.threads());
                    return Ok((vec![Violation::new(Kind::Hang, what)], None));
                }
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        let log = self.log();
        let mut violations = Vec::new();
        for (word, kind) in [("leak", Kind::Leak), ("panicked", Kind::Broken)] {
            if let Some(line) = log.lines().find(|line| line.contains(word)) {
                violations.push(Violation::new(kind, format!("the log says: {line}")));
            }
        }
        if !status.success() {
            violations.push(Violation::new(Kind::Broken, format!("SIGTERM, then {status}; the log:\n{log}")));
        }
        let last = self.stdout.iter().last();
        let counters = last.and_then(|line| serde_json::from_str(&line).ok()).map(Counters);
        Ok((violations, counters))
    }

    /// What it logged, once it has ended.
    fn log(&mut self) -> String {
        self.stderr.take().map(|stderr| stderr.join().expect("reading does not panic")).unwrap_or_default()
    }

    /// How it ended, if it has: nothing ends a server but its signals.
    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = self.log();
            let last: Vec<&str> = log.lines().rev().take(10).collect();
            let what = format!("the server is gone: {status}; {}", last.join(" | "));
            return Err(Violation::new(Kind::Broken, what).into());
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the descriptors of a process are.
#[derive(Debug)]
pub(crate) struct Descriptors(Vec<String>);

/// How many there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DescriptorLimit {
    epoll_sets: usize,
    others: usize,
}

impl Descriptors {
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    fn epoll_sets(&self) -> usize {
        self.0.iter().filter(|target| target.contains("[eventpoll]")).count()
    }

    /// So many and no more, but for the epoll set that a reactor on a ring makes when a send has to wait for the first time.
    pub(crate) fn limit(&self) -> DescriptorLimit {
        let epoll_sets = self.epoll_sets();
        DescriptorLimit { epoll_sets: epoll_sets.max(REACTORS), others: self.count() - epoll_sets }
    }

    pub(crate) fn are_within(&self, limit: DescriptorLimit) -> bool {
        let epoll_sets = self.epoll_sets();
        epoll_sets <= limit.epoll_sets && self.count() - epoll_sets <= limit.others
    }
}

impl DescriptorLimit {
    pub(crate) const NONE: Self = Self { epoll_sets: usize::MAX, others: usize::MAX };
}

/// Counters as the server printed them.
#[derive(Clone, Debug)]
pub(crate) struct Counters(Map<String, Value>);

impl Counters {
    pub(crate) fn get(&self, name: &str) -> u64 {
        self.0.get(name).and_then(Value::as_u64).unwrap_or(0)
    }

    pub(crate) fn sum(&self, names: &[&str]) -> u64 {
        names.iter().map(|name| self.get(name)).sum()
    }
}

fn listening_on(line: &str) -> Option<SocketAddr> {
    line.strip_prefix("listening on ")?.split_once(" - ")?.0.parse().ok()
}

fn lines_of(stdout: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    receiver
}
