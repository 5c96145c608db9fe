//! Errors in one line, with what to do about them.

use std::io::{self, ErrorKind};

use annulet::{RuntimeError, ServeError};

/// A server that did not start.
pub(crate) fn serve(error: &ServeError) -> anyhow::Error {
    match error {
        ServeError::Listen { source, .. } => advised(error, listen_advice(source)),
        ServeError::Runtime(error) => runtime(error),
        _ => anyhow::anyhow!("{error:?}"),
    }
}

/// A runtime that did not start, or broke.
pub(crate) fn runtime(error: &RuntimeError) -> anyhow::Error {
    match error {
        RuntimeError::Select(_) => {
            advised(error, Some("use --driver auto or epoll, and see 'annulet doctor'"))
        }
        RuntimeError::Start { source, .. } => advised(error, start_advice(source)),
        _ => anyhow::anyhow!("{error:?}"),
    }
}

/// The error with its causes, which its `Debug` prints in one line, and what to do about it.
fn advised(error: &dyn std::error::Error, advice: Option<&str>) -> anyhow::Error {
    match advice {
        Some(advice) => anyhow::anyhow!("{error:?}: {advice}"),
        None => anyhow::anyhow!("{error:?}"),
    }
}

fn listen_advice(error: &io::Error) -> Option<&'static str> {
    Some(match error.kind() {
        ErrorKind::AddrInUse => {
            "another program listens there; choose another address, or --share-port for both"
        }
        ErrorKind::AddrNotAvailable => "this machine does not have that address; see 'ip addr'",
        ErrorKind::PermissionDenied => {
            "ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE; a socket file, a writable folder"
        }
        ErrorKind::NotFound => "the folder of a socket file must exist",
        ErrorKind::InvalidInput => "the path of a socket file has at most 107 bytes",
        _ if is_descriptor_shortage(error) => RAISE_DESCRIPTORS,
        _ => return None,
    })
}

fn start_advice(error: &io::Error) -> Option<&'static str> {
    Some(match error.kind() {
        ErrorKind::OutOfMemory => "raise the limit on locked memory (ulimit -l), or use --driver epoll",
        _ if is_descriptor_shortage(error) => RAISE_DESCRIPTORS,
        _ => return None,
    })
}

const RAISE_DESCRIPTORS: &str = "raise the limit on descriptors (ulimit -n, or LimitNOFILE= of a service)";

/// EMFILE or ENFILE, for which there is no [`ErrorKind`].
fn is_descriptor_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}
