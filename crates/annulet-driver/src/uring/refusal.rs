//! Why io_uring, or a rung of the ladder, cannot be had, in words.

use std::io;

/// `what: ENAME, and what may be behind it`.
pub(super) fn describe(what: &str, error: &io::Error) -> String {
    let Some(errno) = error.raw_os_error() else { return format!("{what}: {error}") };
    let name = name(errno).map_or_else(|| format!("errno {errno}"), String::from);
    match hint(errno) {
        Some(hint) => format!("{what}: {name}, {hint}"),
        None => format!("{what}: {name}"),
    }
}

/// True when no other rung can do better: io_uring is not there at all.
pub(super) fn is_final(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES | libc::ENOSYS))
}

fn hint(errno: i32) -> Option<String> {
    Some(match errno {
        libc::EPERM | libc::EACCES => match disabled().as_deref() {
            Some("2") => "kernel.io_uring_disabled is 2".into(),
            Some("1") => {
                "kernel.io_uring_disabled is 1 and this process is not in kernel.io_uring_group".into()
            }
            // Container runtimes block the calls by default since the end of 2023.
            Some(_) => "blocked by seccomp or a security module".into(),
            None => "blocked by seccomp or kernel.io_uring_disabled".into(),
        },
        libc::ENOSYS => "the kernel was built without io_uring, or seccomp hides it".into(),
        libc::EINVAL => "not known to this kernel".into(),
        libc::ENOMEM => "memory, or the limit on locked memory (ulimit -l), ran out".into(),
        libc::EMFILE | libc::ENFILE => "descriptors ran out (ulimit -n)".into(),
        _ => return None,
    })
}

/// The value of the sysctl (6.6).
fn disabled() -> Option<String> {
    let value = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?;
    Some(value.trim().to_owned())
}

fn name(errno: i32) -> Option<&'static str> {
    Some(match errno {
        libc::EACCES => "EACCES",
        libc::EAGAIN => "EAGAIN",
        libc::EBADF => "EBADF",
        libc::EBUSY => "EBUSY",
        libc::ECANCELED => "ECANCELED",
        libc::EEXIST => "EEXIST",
        libc::EFAULT => "EFAULT",
        libc::EINVAL => "EINVAL",
        libc::EMFILE => "EMFILE",
        libc::ENFILE => "ENFILE",
        libc::ENOBUFS => "ENOBUFS",
        libc::ENOENT => "ENOENT",
        libc::ENOMEM => "ENOMEM",
        libc::ENOSYS => "ENOSYS",
        libc::ENXIO => "ENXIO",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::EPERM => "EPERM",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_call_the_error_and_a_cause() {
        let said = |errno| describe("io_uring_setup", &io::Error::from_raw_os_error(errno));
        assert!(said(libc::EPERM).starts_with("io_uring_setup: EPERM, "), "{}", said(libc::EPERM));
        assert!(said(libc::ENOMEM).contains("ulimit -l"));
        assert_eq!(said(libc::EBADF), "io_uring_setup: EBADF");
        assert_eq!(said(4242), "io_uring_setup: errno 4242");
        assert_eq!(describe("a", &io::Error::other("b")), "a: b");
    }
}
