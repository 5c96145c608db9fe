//! Pinning and scheduling policy.

use std::io;

/// Pins the calling thread, and the threads it starts from now on, to one CPU.
///
/// Async-signal-safe: it allocates nothing, so it may run between `fork` and `exec`.
pub fn pin_current_thread(cpu: usize) -> io::Result<()> {
    // SAFETY: an all-zero cpu_set_t is a valid, empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: `cpu` is below CPU_SETSIZE, checked above.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the pointer and the size describe the local set, which outlives the call.
    let done = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Puts the calling thread, and the threads it starts from now on, under `SCHED_BATCH`: when woken it waits for its turn
/// instead of interrupting whoever runs. With client and server on one core under this policy, each runs until it has
/// nothing left to do, so the size of batches does not depend on timing.
///
/// Async-signal-safe like [`pin_current_thread`].
pub fn batch_current_thread() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the pointer is to a live value.
    let done = unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &parameters) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
