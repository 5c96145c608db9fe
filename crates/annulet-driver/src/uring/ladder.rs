//! The ladder: ways to set up a ring, best first.

use std::fmt;

use io_uring::{Builder, IoUring};

/// A way to set up a ring. Each needs multishot accept (5.19), provided buffer rings (5.19) and multishot receive (6.0)
/// as well, which the self-test proves; where they are missing, epoll is the better choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Rung {
    /// `SINGLE_ISSUER|DEFER_TASKRUN|NO_SQARRAY` (6.6): completions are worked out only when this thread asks for them,
    /// so no other core interrupts it, and submissions are read without an index array.
    Deferred,
    /// `SINGLE_ISSUER|DEFER_TASKRUN` (6.1).
    DeferredIndexed,
    /// `COOP_TASKRUN` (5.19): completions are worked out whenever this thread enters the kernel anyway.
    Cooperative,
}

impl Rung {
    /// Every rung, best first.
    pub const ALL: [Self; 3] = [Self::Deferred, Self::DeferredIndexed, Self::Cooperative];

    /// The set-up flags that tell this rung from the others, without their `IORING_SETUP_`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deferred => "SINGLE_ISSUER|DEFER_TASKRUN|NO_SQARRAY",
            Self::DeferredIndexed => "SINGLE_ISSUER|DEFER_TASKRUN",
            Self::Cooperative => "COOP_TASKRUN",
        }
    }

    /// A builder with this rung's flags and those all have in common: `TASKRUN_FLAG` (5.19) shows in shared memory that
    /// there is work, `SUBMIT_ALL` (5.18) keeps one bad entry from holding up those behind it, `CLAMP` (5.6) cuts
    /// sizes to what the kernel takes.
    pub(super) fn builder(self) -> Builder {
        let mut builder = IoUring::builder();
        builder.setup_taskrun_flag().setup_submit_all().setup_clamp();
        match self {
            Self::Deferred => builder.setup_single_issuer().setup_defer_taskrun().setup_no_sqarray(),
            Self::DeferredIndexed => builder.setup_single_issuer().setup_defer_taskrun(),
            Self::Cooperative => builder.setup_coop_taskrun(),
        };
        builder
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
