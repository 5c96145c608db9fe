//! A process' memory, seen from outside.

use std::fs;

/// Resident and proportional size of one process, in KiB.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// `VmRSS` of `/proc/PID/status`.
    pub rss_kib: u64,
    /// `Pss` of `/proc/PID/smaps_rollup`; walks the page tables, so it is exact where `VmRSS` may lag.
    pub pss_kib: u64,
    /// `Anonymous` of `/proc/PID/smaps_rollup`: heap, stacks and other private pages.
    pub anonymous_kib: u64,
    /// `Rss` of `/proc/PID/smaps_rollup`; includes shared ring memory.
    pub rollup_rss_kib: u64,
}

/// Reads the memory of process `pid`; what cannot be read is 0.
pub fn memory_of(pid: u32) -> Memory {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    Memory {
        rss_kib: field(&status, "VmRSS:"),
        pss_kib: field(&rollup, "Pss:"),
        anonymous_kib: field(&rollup, "Anonymous:"),
        rollup_rss_kib: field(&rollup, "Rss:"),
    }
}

/// The number after `name` at the start of a line, or 0.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_finds_the_number_of_the_named_line() {
        let text = "VmSize:\t  10 kB\nVmRSS:\t    1234 kB\n";
        assert_eq!(field(text, "VmRSS:"), 1234);
        assert_eq!(field(text, "Pss:"), 0);
    }

    #[test]
    fn own_memory_is_not_zero() {
        let memory = memory_of(std::process::id());
        assert!(memory.rss_kib > 0 && memory.rollup_rss_kib > 0);
    }
}
