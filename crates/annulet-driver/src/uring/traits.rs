//! What the self-test found out about the running kernel beyond what is required.

/// What this kernel's io_uring can do, proved by the self-test at selection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Traits {
    /// The ring's descriptor can be registered with the thread (5.18).
    pub(crate) registered_ring: bool,
    /// A wait takes its deadline as it is (`ENTER_ABS_TIMER`, 6.12), so no clock is read to compute a timeout.
    pub(crate) absolute_timeout: bool,
    /// Sleeping is not accounted as waiting for a disk (`ENTER_NO_IOWAIT`, 6.15).
    pub(crate) no_iowait: bool,
    /// A multishot receive can be armed for a number of bytes (the `optlen` of its entry, 6.17). What `len` caps is one
    /// bundle, and we use none.
    pub(crate) receive_cap: bool,
    /// A multishot receive on a Unix socket sees the end of the stream also when it came together with the last data.
    /// Lost from 6.17 to the fix of early 2026 (axboe/liburing#1549); receives on Unix sockets are single ones there.
    pub(crate) unix_end: bool,
    /// A send that may not wait is over when the entry into the kernel that takes it returns, silent when all was taken, and
    /// else tells how much (6.1: before, the count of a part was lost).
    pub(crate) quiet_sends: bool,
}

/// Something a kernel may have or not, for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Feature {
    /// What it is.
    pub name: &'static str,
    /// Whether this kernel has it.
    pub present: bool,
    /// The kernel release it came with, such as `6.12`.
    pub since: &'static str,
}

impl Traits {
    pub(crate) fn features(self) -> [Feature; 6] {
        let feature = |name, present, since| Feature { name, present, since };
        [
            feature("registered ring descriptor", self.registered_ring, "5.18"),
            feature("absolute wait timeout", self.absolute_timeout, "6.12"),
            feature("sleep without iowait accounting", self.no_iowait, "6.15"),
            feature("receive cap", self.receive_cap, "6.17"),
            feature("multishot end of stream on Unix sockets", self.unix_end, "6.0, not 6.17 to 6.19"),
            feature("quiet sends", self.quiet_sends, "6.1"),
        ]
    }
}
