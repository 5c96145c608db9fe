//! One io_uring instance: its two queues and the call that enters the kernel.
//!
//! # Invariants
//!
//! - **R1** A ring is made, entered and dropped by one thread (`SINGLE_ISSUER` would refuse another with EEXIST, and the
//!   registered descriptor is an index into a table of the thread).
//! - **R2** Whoever stages an entry keeps what the entry points to until its last completion, or for a send until the call
//!   that took it has returned.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{CompletionQueue, EnterFlags, IoUring, Probe, squeue};

use super::ladder::Rung;
use crate::driver::Wait;
use crate::instant::Instant;
use crate::kernel::Queues;
use crate::sys;

/// io_uring_register(2), 5.18. The `io-uring` crate can register the descriptor too, but keeps the index in a borrow of
/// the ring that does not outlive the call.
const REGISTER_RING_FDS: libc::c_uint = 20;
const UNREGISTER_RING_FDS: libc::c_uint = 21;

/// What a wait takes for which the kernel has no memory.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(1);

/// io_uring_register(2), 5.19.
const REGISTER_PBUF_RING: libc::c_uint = 22;

/// `struct io_uring_buf_reg`.
#[repr(C)]
struct BufferRegistration {
    address: u64,
    entries: u32,
    group: u16,
    flags: u16,
    reserved: [u64; 3],
}

/// `struct io_uring_rsrc_update`.
#[repr(C)]
struct ResourceUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

pub(crate) struct Ring {
    ring: IoUring,
    /// What every call enters with: the descriptor, or its index and the flag that says so.
    descriptor: i32,
    flags: EnterFlags,
    is_registered: bool,
    /// Flags for calls that may sleep.
    sleep_flags: EnterFlags,
    has_absolute_timeout: bool,
}

impl Ring {
    /// Sets up a ring. Sizes are rounded up to powers of two and cut to the kernel's limits.
    /// `has_absolute_timeout`: whether the kernel takes deadlines (6.12).
    ///
    /// # Errors
    /// The kernel's: EINVAL for a rung it does not know, EPERM or ENOSYS where io_uring is off, ENOMEM where the locked
    /// memory limit does not admit the queues.
    pub(crate) fn new(
        rung: Rung,
        submissions: u32,
        completions: u32,
        has_absolute_timeout: bool,
    ) -> io::Result<Self> {
        let submissions = submissions.clamp(8, 32768);
        let ring = rung.builder().setup_cqsize(completions.max(submissions)).build(submissions)?;
        // Waiting for the network is not waiting for a disk: neither load average nor cpufreq should take it so (6.15).
        let no_iowait =
            if ring.params().is_feature_no_iowait() { EnterFlags::NO_IOWAIT } else { EnterFlags::empty() };
        let mut this = Self {
            descriptor: ring.as_raw_fd(),
            ring,
            flags: EnterFlags::GETEVENTS,
            is_registered: false,
            sleep_flags: no_iowait,
            has_absolute_timeout,
        };
        this.register_descriptor();
        Ok(this)
    }

    /// Registers the ring's descriptor, which saves looking it up on each entry. Failure (before 5.18, or when the
    /// thread's 16 places are taken) costs only that.
    fn register_descriptor(&mut self) {
        let descriptor = self.ring.as_raw_fd();
        let mut update = ResourceUpdate { offset: u32::MAX, reserved: 0, data: descriptor as u64 };
        // SAFETY: the call reads and writes one `io_uring_rsrc_update`, a local.
        if unsafe { register(descriptor, REGISTER_RING_FDS, (&raw mut update).cast(), 1) }.is_ok() {
            self.descriptor = update.offset as i32;
            self.flags |= EnterFlags::REGISTERED_RING;
            self.is_registered = true;
        }
    }

    pub(super) fn is_registered(&self) -> bool {
        self.is_registered
    }

    pub(super) fn has_no_iowait(&self) -> bool {
        self.ring.params().is_feature_no_iowait()
    }

    /// What the kernel says of its opcodes.
    ///
    /// # Errors
    /// The kernel's (5.6).
    pub(super) fn probe(&self) -> io::Result<Probe> {
        let mut probe = Probe::new();
        self.ring.submitter().register_probe(&mut probe)?;
        Ok(probe)
    }

    /// The deadline as the kernel takes it; `None` when it never comes.
    fn timeout(&self, deadline: Instant) -> Option<(Timespec, EnterFlags)> {
        const NEVER: u64 = i64::MAX as u64;
        let nanos = deadline.as_nanos();
        if nanos >= NEVER {
            return None;
        }
        if self.has_absolute_timeout {
            let time = Timespec::new().sec(nanos / 1_000_000_000).nsec((nanos % 1_000_000_000) as u32);
            // On CLOCK_MONOTONIC unless REGISTER_CLOCK says otherwise, which is also the clock of `Instant`.
            return Some((time, EnterFlags::EXT_ARG | EnterFlags::ABS_TIMER));
        }
        Some((Timespec::from(deadline - sys::monotonic_now()), EnterFlags::EXT_ARG))
    }

    /// From now on passes durations to the kernel, which does not take deadlines.
    pub(super) fn forgo_absolute_timeout(&mut self) {
        self.has_absolute_timeout = false;
    }
}

impl Queues for Ring {
    type Completions<'a> = CompletionQueue<'a>;

    fn sizes(&self) -> (u32, u32) {
        (self.ring.params().sq_entries(), self.ring.params().cq_entries())
    }

    unsafe fn register_buffers(&self, address: u64, entries: u32, group: u16) -> io::Result<()> {
        let register_with = |reserved| {
            let mut registration = BufferRegistration { address, entries, group, flags: 0, reserved };
            // SAFETY: the call reads one `io_uring_buf_reg`, a local; the caller's promise for what it points to.
            unsafe { register(self.as_raw_fd(), REGISTER_PBUF_RING, (&raw mut registration).cast(), 1) }
        };
        match register_with([0; 3]) {
            // Ubuntu's 6.8.0-139 and later refuse reserved words that are all zero, as every other kernel wants them.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                register_with([1, 0, 0]).map_err(|_| error)
            }
            result => result,
        }
    }

    fn room(&mut self) -> usize {
        let queue = self.ring.submission();
        queue.capacity() - queue.len()
    }

    unsafe fn push(&mut self, entries: impl Iterator<Item = squeue::Entry>) -> usize {
        let mut queue = self.ring.submission();
        let mut count = 0;
        for entry in entries {
            // SAFETY: the caller's promise.
            let pushed = unsafe { queue.push(&entry) };
            debug_assert!(pushed.is_ok(), "room was counted");
            count += 1;
        }
        count
    }

    fn pending(&mut self) -> u32 {
        self.ring.submission().len() as u32
    }

    fn enter(&mut self, wait: Wait) -> io::Result<u32> {
        let before = self.pending();
        let mut flags = self.flags;
        let timeout;
        let arguments;
        let (wanted, argument, size): (u32, *const SubmitArgs<'_, '_>, usize) = match wait {
            Wait::Poll => (0, std::ptr::null(), 0),
            Wait::Until(deadline) => {
                flags |= self.sleep_flags;
                match deadline.and_then(|deadline| self.timeout(deadline)) {
                    None => (1, std::ptr::null(), 0),
                    Some((time, kind)) => {
                        timeout = time;
                        flags |= kind;
                        arguments = SubmitArgs::new().timespec(&timeout);
                        (1, &raw const arguments, size_of_val(&arguments))
                    }
                }
            }
        };
        // SAFETY: `argument` is null or points to a local; the entries handed over are those of `fill`.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                libc::c_long::from(self.descriptor),
                libc::c_ulong::from(before),
                libc::c_ulong::from(wanted),
                libc::c_ulong::from(flags.bits()),
                argument,
                size,
            )
        };
        if result < 0 {
            let error = io::Error::last_os_error();
            if !is_early_return(&error) {
                return Err(error);
            }
            if wanted > 0 && is_out_of_memory(&error) {
                // It did not wait, and will not the next time: trying without a pause would only take processor time.
                thread::sleep(SHORTAGE_PAUSE);
            }
        }
        Ok(before - self.pending())
    }

    fn completions(&mut self) -> Self::Completions<'_> {
        self.ring.completion()
    }

    fn has_completions(&mut self) -> bool {
        // Not dropped, so that nothing is written: this is read in a loop while another core may be writing next to it.
        !ManuallyDrop::new(self.ring.completion()).is_empty()
    }

    fn wants_entering(&mut self) -> bool {
        let queue = ManuallyDrop::new(self.ring.submission());
        queue.taskrun() || queue.cq_overflow()
    }

    fn has_overflowed(&mut self) -> bool {
        ManuallyDrop::new(self.ring.submission()).cq_overflow()
    }
}

impl Drop for Ring {
    /// A registered descriptor keeps the ring alive beyond close(2), so it goes first.
    fn drop(&mut self) {
        if self.is_registered {
            let mut update = ResourceUpdate { offset: self.descriptor as u32, reserved: 0, data: 0 };
            // SAFETY: as in `register_descriptor`. Nothing can be done about a failure.
            let _ =
                unsafe { register(self.ring.as_raw_fd(), UNREGISTER_RING_FDS, (&raw mut update).cast(), 1) };
        }
    }
}

/// Whether entering the ring only ended before its time. Short of memory the kernel says EAGAIN where it makes requests,
/// and ENOMEM where it notes that a thread uses a ring.
fn is_early_return(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::ENOMEM | libc::EBUSY)
    )
}

/// Whether the kernel had no memory to enter the ring with.
fn is_out_of_memory(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM))
}

/// io_uring_register(2).
///
/// # Safety
/// `argument` must be what the operation wants.
unsafe fn register(
    descriptor: i32,
    operation: libc::c_uint,
    argument: *mut libc::c_void,
    count: libc::c_uint,
) -> io::Result<()> {
    // SAFETY: the caller's promise.
    let result = unsafe {
        libc::syscall(
            libc::SYS_io_uring_register,
            libc::c_long::from(descriptor),
            libc::c_ulong::from(operation),
            argument,
            libc::c_ulong::from(count),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> i32 {
        self.ring.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_of_memory_or_time_does_not_break_a_ring() {
        let returns_early = |code| is_early_return(&io::Error::from_raw_os_error(code));
        for code in [libc::EINTR, libc::ETIME, libc::EAGAIN, libc::ENOMEM, libc::EBUSY] {
            assert!(returns_early(code), "{code}");
        }
        // The ring is gone, or the kernel has dropped a completion.
        for code in [libc::EBADF, libc::ENXIO, libc::EBADR] {
            assert!(!returns_early(code), "{code}");
        }
    }
}
