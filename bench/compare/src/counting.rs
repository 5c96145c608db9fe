//! Counts per message, as the difference of two runs with different numbers of messages: start-up, accepting and closing
//! cancel out.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::Running;
use crate::runs::{Setup, number};
use crate::servers::Server;

/// Messages of the two runs under callgrind, which is some fifty times slower than the processor.
const UNDER_CALLGRIND: [u64; 2] = [3_840, 23_040];
/// Messages of the two runs under perf: whole rounds of 1, 16 and 64.
const UNDER_PERF: [u64; 2] = [19_200, 115_200];
/// Time a tool gets to attach.
const ATTACH: Duration = Duration::from_millis(400);

/// Per message: what the kernel counted and what the server counts itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Calls {
    pub(crate) syscalls: f64,
    /// Not a number if the server counts no enters.
    pub(crate) enters: f64,
}

fn load_with(load: &[&str], connections: usize, messages: u64) -> Vec<String> {
    let mut line: Vec<String> = load.iter().map(|word| String::from(*word)).collect();
    line.extend(["--warm-up", "0", "--seconds", "60", "--connections"].map(String::from));
    line.extend([connections.to_string(), String::from("--messages"), messages.to_string()]);
    line
}

/// User-space instructions per message.
pub(crate) fn instructions(
    setup: &Setup,
    server: Server,
    load: &[&str],
    connections: usize,
) -> io::Result<f64> {
    let mut counts = [0.0; 2];
    let mut messages = [0.0; 2];
    for (at, goal) in UNDER_CALLGRIND.into_iter().enumerate() {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        command.arg(server.binary(&setup.binaries)).args(server.command_line(setup.protocol, setup.buffer));
        let running = Running::start(command, setup.server_cpu, false)?;
        let figures = setup.client.run(&running, &load_with(load, connections, goal))?;
        messages[at] = number(&figures, "messages_total");
        let said = running.stop()?.said;
        counts[at] = said
            .iter()
            .find_map(|line| line.split_once("Collected :"))
            .and_then(|(_, count)| count.trim().parse().ok())
            .ok_or_else(|| io::Error::other(format!("callgrind counted nothing: {}", said.join("\n"))))?;
    }
    Ok((counts[1] - counts[0]) / (messages[1] - messages[0]))
}

/// System calls and enters per message. Client and server share a core under `SCHED_BATCH` and go in lockstep: the
/// server finds a message on every connection each time it wakes, so the count does not depend on timing.
pub(crate) fn calls(setup: &Setup, server: Server, load: &[&str], connections: usize) -> io::Result<Calls> {
    let mut running = setup.start(server)?;
    let load_with = |messages| {
        let mut load = load_with(load, connections, messages);
        load.extend(["--lockstep", "--sched-batch"].map(String::from));
        load
    };
    // Threads that a first load starts must be there before perf looks.
    setup.client.run(&running, &load_with(1_000))?;
    let mut counted = [(0.0, 0.0, 0.0); 2];
    let own = server.has_counters();
    for (at, goal) in UNDER_PERF.into_iter().enumerate() {
        let enters_before = if own { number(&running.counters()?, "enters") } else { f64::NAN };
        let perf = Perf::attach(running.pid(), at)?;
        let figures = setup.client.run(&running, &load_with(goal))?;
        let syscalls = perf.finish()?;
        let enters = if own { number(&running.counters()?, "enters") - enters_before } else { f64::NAN };
        counted[at] = (syscalls, enters, number(&figures, "messages_total"));
    }
    running.stop()?;
    let messages = counted[1].2 - counted[0].2;
    Ok(Calls {
        syscalls: (counted[1].0 - counted[0].0) / messages,
        enters: (counted[1].1 - counted[0].1) / messages,
    })
}

/// System calls in ten seconds while `load` (the idle mode) holds its connections.
pub(crate) fn calls_at_rest(setup: &Setup, server: Server, load: &[String]) -> io::Result<f64> {
    let running = setup.start(server)?;
    let client = setup.client.command(&running, load).stdout(Stdio::piped()).spawn()?;
    let counted = count_at_rest(&running);
    // Also after a failure: the client ends by itself, soon.
    let output = client.wait_with_output()?;
    running.stop()?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stdout);
        return Err(io::Error::other(format!("the idle client failed: {text}")));
    }
    counted
}

fn count_at_rest(running: &Running) -> io::Result<f64> {
    thread::sleep(Duration::from_secs(1)); // connecting and the first exchange are over
    let perf = Perf::attach(running.pid(), 0)?;
    thread::sleep(Duration::from_secs(10) - ATTACH);
    perf.finish()
}

/// `perf stat` counting the system calls of a process from now on.
struct Perf {
    child: Child,
    output: PathBuf,
}

impl Perf {
    fn attach(pid: u32, number: usize) -> io::Result<Self> {
        let output = std::env::temp_dir().join(format!("compare-perf-{}-{number}", std::process::id()));
        let child = Command::new("perf")
            .args(["stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", &pid.to_string(), "-o"])
            .arg(&output)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("cannot start perf: {error}")))?;
        thread::sleep(ATTACH);
        Ok(Self { child, output })
    }

    fn finish(mut self) -> io::Result<f64> {
        // SAFETY: no pointer is involved; the child has not been waited for, so the id is still its own.
        unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGINT) };
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.child.try_wait()?.is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        let mut text = String::new();
        File::open(&self.output)?.read_to_string(&mut text)?;
        std::fs::remove_file(&self.output)?;
        parse(&text).ok_or_else(|| io::Error::other(format!("perf counted nothing: {text}")))
    }
}

impl Drop for Perf {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `COUNT,,raw_syscalls:sys_enter,…`; a process that never ran meanwhile is "not counted".
fn parse(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.contains("raw_syscalls:sys_enter"))?;
    let count = line.split(',').next()?;
    if count == "<not counted>" { Some(0.0) } else { count.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perf_output_is_parsed() {
        let text = "# started on Fri\n\n1234,,raw_syscalls:sys_enter,99,100.00,,\n";
        assert_eq!(parse(text), Some(1234.0));
        assert_eq!(parse("<not counted>,,raw_syscalls:sys_enter,0"), Some(0.0));
        assert_eq!(parse("<not supported>,,raw_syscalls:sys_enter,0"), None);
    }
}
