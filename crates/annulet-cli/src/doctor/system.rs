//! What the system grants a server: descriptors, locked memory, processors, network settings.

use std::collections::BTreeMap;
use std::fs;

use annulet::driver::limits::{available_cpus, descriptor_limit, memlock_limit};
use serde::Serialize;

/// Settings that matter to a server, and why.
pub(super) const SYSCTLS: [(&str, &str); 14] = [
    ("kernel.io_uring_disabled", "0 is for everybody, 1 for kernel.io_uring_group, 2 for nobody"),
    ("kernel.io_uring_group", "who may use io_uring when the above is 1"),
    ("net.core.somaxconn", "cap of every accept queue"),
    ("net.ipv4.tcp_max_syn_backlog", "handshakes under way per listener"),
    ("net.ipv4.tcp_syncookies", "what happens when there are more"),
    ("net.ipv4.tcp_abort_on_overflow", "1 resets clients that find the accept queue full"),
    ("net.ipv4.tcp_migrate_req", "1 moves handshakes to another reactor when a listener closes"),
    ("net.ipv4.ip_local_port_range", "ports for outgoing connections"),
    ("net.ipv4.ip_unprivileged_port_start", "lowest port a server needs no privilege for"),
    ("net.ipv4.tcp_rmem", "kernel receive buffer of a connection: least, usual, most"),
    ("net.ipv4.tcp_wmem", "kernel send buffer of a connection: least, usual, most"),
    ("net.ipv4.tcp_mem", "pages for all TCP buffers: no pressure, pressure, refusal"),
    ("fs.nr_open", "cap of every process's descriptor limit"),
    ("fs.file-max", "open files of the whole system"),
];

#[derive(Debug, Serialize)]
pub(super) struct System {
    pub(super) limits: Limits,
    /// The processors this process may run on.
    pub(super) cores: Vec<usize>,
    /// Whether a seccomp filter watches this process's system calls, as in most containers.
    pub(super) seccomp: Option<bool>,
    /// By name; none where this kernel has no such setting.
    pub(super) sysctls: BTreeMap<&'static str, Option<String>>,
}

#[derive(Debug, Serialize)]
pub(super) struct Limits {
    /// Descriptors a process has, before a server raises it to `descriptors_hard`.
    pub(super) descriptors_soft: Option<u64>,
    pub(super) descriptors_hard: Option<u64>,
    /// Bytes of memory the user may lock; none is no limit.
    pub(super) locked_memory: Option<u64>,
}

impl System {
    pub(super) fn gather() -> Self {
        let descriptors = descriptor_limit().ok();
        Self {
            limits: Limits {
                descriptors_soft: descriptors.map(|limit| limit.soft),
                descriptors_hard: descriptors.map(|limit| limit.hard),
                locked_memory: memlock_limit().ok().flatten(),
            },
            cores: available_cpus(),
            seccomp: is_filtered(),
            sysctls: SYSCTLS.iter().map(|(name, _)| (*name, sysctl(name))).collect(),
        }
    }

    /// A setting's value.
    pub(super) fn sysctl(&self, name: &str) -> Option<&str> {
        self.sysctls.get(name)?.as_deref()
    }

    /// A setting's value, if it is one number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.sysctl(name)?.parse().ok()
    }
}

fn sysctl(name: &str) -> Option<String> {
    let value = fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?;
    Some(value.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn is_filtered() -> Option<bool> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:"))?;
    Some(mode.trim() != "0")
}
