//! The files of Unix sockets: replaced when stale, removed when their listener goes.
//!
//! A listener's file stays behind when its process dies, and binding then fails although nobody listens. A file is
//! replaced only when it is a socket and connecting to it is refused, which is what the kernel says when no listener
//! is behind it. Two servers that replace one stale file in the same instant may both succeed; the later one has it.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use socket2::{SockAddr, Socket};

/// A file that a listener of ours is bound to.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode: a file that somebody else put there since is not ours to remove.
    identity: (u64, u64),
}

impl SocketFile {
    /// The file `path`, just made by bind(2).
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), identity: (metadata.dev(), metadata.ino()) })
    }

    /// Removes the file, if it is still the same.
    pub(super) fn remove(&self) {
        if Self::at(&self.path).is_ok_and(|now| now.identity == self.identity) {
            // Whoever removed it meanwhile did our work; a directory that forbids it keeps the file, to be replaced next time.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Binds to a path, replacing a stale socket file.
///
/// # Errors
/// `AddrInUse` when somebody answers at the path, or it is no socket; otherwise what bind(2) says.
pub(super) fn bind(socket: &Socket, path: &Path, address: &SockAddr) -> io::Result<()> {
    match socket.bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path, address) => {
            std::fs::remove_file(path)?;
            socket.bind(address)
        }
        result => result,
    }
}

fn is_stale(path: &Path, address: &SockAddr) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    is_socket && is_refused(address)
}

fn is_refused(address: &SockAddr) -> bool {
    let kind = socket2::Type::STREAM.cloexec().nonblocking();
    let probe = Socket::new_raw(socket2::Domain::UNIX, kind, None);
    let answer = probe.and_then(|probe| probe.connect(address));
    // A listener with a full queue answers EAGAIN: it is alive.
    answer.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::sync::Arc;

    use crate::driver::Sockets;
    use crate::kernel::Calls;
    use crate::socket::{Address, ListenSpec, UnixAddress};
    use crate::sys::KernelSockets;

    fn spec(path: &std::path::Path) -> ListenSpec {
        let address = Address::Unix(UnixAddress::Path(path.to_owned()));
        ListenSpec { address, backlog: 8, share_port: false, v6_only: false }
    }

    /// A path of this test's own.
    fn path(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("annulet-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    #[test]
    fn a_stale_file_is_replaced_and_removed_at_the_end() {
        let path = path("stale");
        drop(UnixListener::bind(&path).expect("bind"));
        assert!(path.exists(), "std leaves the file behind");
        let mut sockets = KernelSockets::new(Arc::default(), true);
        let (listener, _) = sockets.listen(&spec(&path)).expect("nobody listens there");
        UnixStream::connect(&path).expect("now somebody does");
        sockets.close(listener);
        assert!(!path.exists());
    }

    #[test]
    fn a_live_listener_and_other_files_are_left_alone() {
        let path = path("live");
        let mut sockets = KernelSockets::new(Arc::default(), true);
        let live = UnixListener::bind(&path).expect("bind");
        let error = sockets.listen(&spec(&path)).expect_err("somebody listens");
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).expect("still there");
        drop(live);
        std::fs::remove_file(&path).expect("remove");
        std::fs::write(&path, b"precious").expect("write");
        assert!(sockets.listen(&spec(&path)).is_err());
        assert_eq!(std::fs::read(&path).expect("read"), b"precious");
        std::fs::remove_file(&path).expect("remove");
    }

    #[test]
    fn a_file_somebody_else_put_there_since_is_not_removed() {
        let path = path("since");
        let mut sockets = KernelSockets::new(Arc::default(), true);
        let (listener, _) = sockets.listen(&spec(&path)).expect("listen");
        std::fs::remove_file(&path).expect("remove");
        let _other = UnixListener::bind(&path).expect("bind");
        sockets.close(listener);
        UnixStream::connect(&path).expect("the other's file");
        std::fs::remove_file(&path).expect("remove");
    }
}
