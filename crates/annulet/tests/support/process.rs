//! What the kernel says about this process. Only of use in a process of the test's own: see [`super::isolated`].

use std::fs;

/// Open descriptors.
pub(crate) fn descriptors() -> usize {
    // One of them is the directory itself.
    fs::read_dir("/proc/self/fd").expect("/proc/self/fd").count() - 1
}

/// Threads.
pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").expect("/proc/self/task").count()
}

/// Resident memory in bytes.
pub(crate) fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").expect("/proc/self/statm");
    let pages: usize = statm.split(' ').nth(1).expect("resident pages").parse().expect("a number");
    pages * 4096
}
