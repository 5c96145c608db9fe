//! Sockets as the layers above see them: a handle, addresses, options.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A handle on a socket of one driver. On the real drivers it is the descriptor's number. It closes nothing when
/// dropped: whoever owns the socket calls [`Driver::close`](crate::Driver::close).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Socket(i32);

impl Socket {
    /// The socket with this number.
    #[inline]
    pub const fn from_raw(number: i32) -> Self {
        Self(number)
    }

    /// The descriptor number on the real drivers.
    #[inline]
    pub const fn as_raw(self) -> i32 {
        self.0
    }
}

/// Family of a stream socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Domain {
    /// TCP over IPv4.
    V4,
    /// TCP over IPv6.
    V6,
    /// Unix stream.
    Unix,
}

/// An address of either kind of stream.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Address {
    /// IPv4 or IPv6, with its port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(UnixAddress),
}

/// Name of a Unix socket.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum UnixAddress {
    /// A file.
    Path(PathBuf),
    /// A name in Linux's abstract namespace, without the leading NUL.
    Abstract(Vec<u8>),
    /// None: the usual client.
    Unnamed,
}

impl Address {
    /// Family of sockets that can have this address.
    pub fn domain(&self) -> Domain {
        match self {
            Self::Tcp(SocketAddr::V4(_)) => Domain::V4,
            Self::Tcp(SocketAddr::V6(_)) => Domain::V6,
            Self::Unix(_) => Domain::Unix,
        }
    }

    /// The TCP address, if it is one.
    pub fn as_tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The Unix socket's file, if it has one.
    pub fn as_path(&self) -> Option<&Path> {
        match self {
            Self::Unix(UnixAddress::Path(path)) => Some(path),
            _ => None,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// `127.0.0.1:7000`, `[::1]:7000`, `unix:/path`, `unix:@name`, `unix:` for an unnamed one. Control characters in
/// paths are escaped.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(UnixAddress::Path(path)) => {
                write!(f, "unix:{}", path.to_string_lossy().escape_debug())
            }
            Self::Unix(UnixAddress::Abstract(name)) => write!(f, "unix:@{}", name.escape_ascii()),
            Self::Unix(UnixAddress::Unnamed) => f.write_str("unix:"),
        }
    }
}

/// How to open a listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenSpec {
    /// Where; port 0 lets the kernel choose.
    pub address: Address,
    /// Length of the accept queue; the kernel caps it at `net.core.somaxconn`.
    pub backlog: u32,
    /// Let several sockets bind the address (`SO_REUSEPORT`); the kernel spreads connections over them.
    pub share_port: bool,
    /// On an IPv6 address: take IPv6 only, not IPv4 as well.
    pub v6_only: bool,
}

/// A socket option and its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SocketOption {
    /// Send small segments at once (`TCP_NODELAY`).
    NoDelay(bool),
    /// Probe an idle peer after this time (`SO_KEEPALIVE`, `TCP_KEEPIDLE`; whole seconds); `None` turns it off.
    Keepalive(Option<Duration>),
    /// `SO_LINGER` with zero seconds: closing resets the connection. Longer times are not offered, for they would
    /// block the closing thread.
    ResetOnClose(bool),
    /// Kernel send buffer in bytes (`SO_SNDBUF`; the kernel doubles what is set and reports the double).
    SendBuffer(u32),
    /// Kernel receive buffer in bytes (`SO_RCVBUF`; as above).
    ReceiveBuffer(u32),
    /// Give up on unacknowledged data after this time (`TCP_USER_TIMEOUT`, milliseconds); `None` is the system's.
    UserTimeout(Option<Duration>),
    /// Acknowledge at once (`TCP_QUICKACK`); the kernel may turn it off again by itself.
    QuickAck(bool),
    /// Type of service of IPv4 packets (`IP_TOS`).
    TypeOfService(u32),
    /// Time to live of IPv4 packets, hop limit of IPv6 ones (`IP_TTL`, `IPV6_UNICAST_HOPS`).
    TimeToLive(u32),
    /// The pending error, cleared by reading it (`SO_ERROR`); 0 is none. Cannot be set.
    Error(i32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_as_the_command_line_takes_them() {
        let tcp: SocketAddr = "[::1]:7000".parse().expect("address");
        assert_eq!(Address::from(tcp).to_string(), "[::1]:7000");
        assert_eq!(Address::Unix(UnixAddress::Path("/tmp/a\nb".into())).to_string(), "unix:/tmp/a\\nb");
        assert_eq!(Address::Unix(UnixAddress::Abstract(b"name".to_vec())).to_string(), "unix:@name");
    }
}
