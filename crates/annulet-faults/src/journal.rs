//! System calls that fail: strace, which lets chosen calls return an error instead of entering the kernel, and notes each.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// A call, the error it gets, and which calls of each thread do: `first+step`, or a number.
#[derive(Clone, Debug)]
pub(crate) struct Injection {
    pub(crate) call: &'static str,
    pub(crate) error: &'static str,
    pub(crate) when: String,
}

/// What strace writes.
pub(crate) struct Journal {
    path: PathBuf,
    injections: Vec<Injection>,
}

impl Journal {
    pub(crate) fn new(injections: Vec<Injection>) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("annulet-faults-{}-{number}.strace", std::process::id());
        Self { path: std::env::temp_dir().join(name), injections }
    }

    /// The command under which the calls fail. The tracer is a grandchild: signals and exit code stay the server's.
    pub(crate) fn prefix(&self) -> Vec<String> {
        let calls: Vec<&str> = self.injections.iter().map(|injection| injection.call).collect();
        let mut prefix =
            ["strace", "-D", "-f", "--seccomp-bpf", "-qqq", "-Z", "-o"].map(str::to_owned).to_vec();
        prefix.push(self.path.display().to_string());
        prefix.extend(["-e".into(), format!("trace={}", calls.join(","))]);
        for Injection { call, error, when } in &self.injections {
            prefix.extend(["-e".into(), format!("inject={call}:error={error}:when={when}")]);
        }
        prefix
    }

    /// Calls that failed so far because they were made to.
    pub(crate) fn injected(&self) -> u64 {
        let text = fs::read(&self.path).unwrap_or_default();
        text.split(|byte| *byte == b'\n').filter(|line| line.ends_with(b"(INJECTED)")).count() as u64
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
