//! What the system grants this process: descriptors, locked memory, processors.
//!
//! # Invariant
//!
//! - **L1** Every pointer handed to the kernel here is to a local that outlives the call, with the size given beside it.

use std::io;

/// The number of open descriptors a process may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorLimit {
    /// In force: numbers reach up to one less.
    pub soft: u64,
    /// What the soft limit may be raised to without privileges.
    pub hard: u64,
    /// The soft limit before the call that returned this.
    pub was: u64,
}

/// Raises the soft limit on descriptors to the hard one. Nothing here uses select(2), for whose sake the soft
/// limit of most systems is 1024.
///
/// # Errors
/// The kernel's; a sandbox may forbid the call.
pub fn raise_descriptor_limit() -> io::Result<DescriptorLimit> {
    let limit = descriptor_limit()?;
    if limit.soft == limit.hard {
        return Ok(limit);
    }
    let raised = libc::rlimit { rlim_cur: limit.hard as libc::rlim_t, rlim_max: limit.hard as libc::rlim_t };
    // SAFETY: L1.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) })?;
    Ok(DescriptorLimit { soft: limit.hard, ..limit })
}

/// The limit on descriptors as it is.
///
/// # Errors
/// The kernel's; none is known.
pub fn descriptor_limit() -> io::Result<DescriptorLimit> {
    // SAFETY: L1.
    let (soft, hard) = read_limit(|limit| unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limit) })?;
    Ok(DescriptorLimit { soft, hard, was: soft })
}

/// Bytes of memory the user may lock (`RLIMIT_MEMLOCK`); `None` is no limit. Rings are charged to it before Linux 5.12,
/// and again since 6.14.
///
/// # Errors
/// The kernel's; none is known.
pub fn memlock_limit() -> io::Result<Option<u64>> {
    // SAFETY: L1.
    let (soft, _) = read_limit(|limit| unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, limit) })?;
    Ok((soft != u64::MAX).then_some(soft))
}

/// Soft and hard limit, `u64::MAX` for none.
fn read_limit(call: impl FnOnce(&mut libc::rlimit) -> i32) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    check(call(&mut limit))?;
    // Some 32-bit systems count in 32 bits.
    #[allow(clippy::useless_conversion)]
    let widen = |value| if value == libc::RLIM_INFINITY { u64::MAX } else { u64::from(value) };
    Ok((widen(limit.rlim_cur), widen(limit.rlim_max)))
}

/// Processors the calling thread may run on, in ascending order: those of its affinity mask, which a control
/// group's cpuset and `taskset` narrow (a control group's quota of time does not). Never empty.
///
/// Called on a pinned thread it returns one.
pub fn available_cpus() -> Vec<usize> {
    // The kernel wants room for all processors it could ever have, known only by trial (sched_setaffinity(2), notes).
    let mut words = vec![0 as libc::c_ulong; 1024 / BITS];
    while let Err(error) = read_affinity(&mut words) {
        if error.raw_os_error() != Some(libc::EINVAL) || words.len() > (1 << 20) / BITS {
            // A sandbox without the call: one processor there is.
            return vec![0];
        }
        let doubled = words.len() * 2;
        words = vec![0; doubled];
    }
    let is_set = |cpu: &usize| words[cpu / BITS] >> (cpu % BITS) & 1 == 1;
    (0..words.len() * BITS).filter(is_set).collect()
}

/// Has the calling thread run on one processor only, and with it the threads it starts from now on.
///
/// # Errors
/// `InvalidInput` (EINVAL) when the processor does not exist or is outside the control group's cpuset.
pub fn pin_current_thread(cpu: usize) -> io::Result<()> {
    allow_current_thread(&[cpu])
}

/// Has the calling thread run on any of these processors, as [`available_cpus`] lists them: undoes a pinning.
///
/// # Errors
/// `InvalidInput` (EINVAL) when none of them exists within the control group's cpuset.
pub fn allow_current_thread(cpus: &[usize]) -> io::Result<()> {
    let Some(highest) = cpus.iter().copied().max().filter(|highest| *highest < 1 << 20) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    let mut words = vec![0 as libc::c_ulong; highest / BITS + 1];
    for cpu in cpus {
        words[cpu / BITS] |= 1 << (cpu % BITS);
    }
    // SAFETY: L1; 0 is the calling thread.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&*words), words.as_ptr().cast()) })
}

/// Processors per word of an affinity mask.
const BITS: usize = libc::c_ulong::BITS as usize;

fn read_affinity(words: &mut [libc::c_ulong]) -> io::Result<()> {
    // SAFETY: L1; 0 is the calling thread.
    check(unsafe { libc::sched_getaffinity(0, size_of_val(words), words.as_mut_ptr().cast()) })
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_sees_its_one_processor() {
        let all = available_cpus();
        assert!(!all.is_empty());
        let last = *all.last().expect("one at least");
        let everything = all.clone();
        let seen = std::thread::spawn(move || {
            pin_current_thread(last).expect("a processor from the list");
            let pinned = available_cpus();
            allow_current_thread(&everything).expect("what it had before");
            (pinned, available_cpus())
        });
        assert_eq!(seen.join().expect("thread"), (vec![last], all.clone()));
        assert_eq!(available_cpus(), all);
    }

    #[test]
    fn a_processor_that_does_not_exist_is_refused() {
        for cpu in [(1 << 20) - 1, usize::MAX] {
            assert_eq!(pin_current_thread(cpu).expect_err("refused").raw_os_error(), Some(libc::EINVAL));
        }
    }

    #[test]
    fn the_descriptor_limit_is_raised_to_the_hard_limit() {
        let before = descriptor_limit().expect("limit");
        let raised = raise_descriptor_limit().expect("raised");
        assert_eq!(raised, DescriptorLimit { soft: before.hard, hard: before.hard, was: before.soft });
        assert_eq!(descriptor_limit().expect("limit").soft, before.hard);
    }
}
