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

/// What memory had grown by since [`Memory::now`].
#[derive(Clone, Copy)]
pub(crate) struct Memory(usize);

impl Memory {
    pub(crate) fn now() -> Self {
        Self(resident())
    }

    /// Bytes of growth. Under a sanitizer, which keeps freed memory from being used again, always 0.
    pub(crate) fn grown(self) -> usize {
        if is_sanitized() { 0 } else { resident().saturating_sub(self.0) }
    }
}

/// Whether `scripts/asan` or its like runs this.
fn is_sanitized() -> bool {
    std::env::var_os("ANNULET_SANITIZER").is_some()
}

/// Resident memory in bytes.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").expect("/proc/self/statm");
    let pages: usize = statm.split(' ').nth(1).expect("resident pages").parse().expect("a number");
    pages * 4096
}
