//! The ring and its flags.

use std::io;

use io_uring::{CompletionQueue, IoUring, SubmissionQueue, Submitter};

use crate::reactor::Options;

/// Makes a ring owned by the calling thread, registers its fd for cheaper enters and lends its three parts.
pub(crate) fn with_ring<R>(
    options: &Options,
    run: impl FnOnce(Submitter<'_>, SubmissionQueue<'_>, CompletionQueue<'_>) -> io::Result<R>,
) -> io::Result<R> {
    let mut ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_no_sqarray()
        .setup_clamp()
        .setup_cqsize(options.cq_entries)
        .build(options.sq_entries)?;
    let (mut submitter, sq, cq) = ring.split();
    submitter.register_ring_fd()?;
    run(submitter, sq, cq)
}
