//! Ports that servers of this process do not share.
//!
//! The reactors of one server each bind a socket of their own to one port, which takes `SO_REUSEPORT`, and then the kernel
//! lets in every other socket of the same user that has the option. It keeps no note of who meant it; so this process
//! does, for its own servers.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use annulet_driver::{Address, ListenSpec};

/// An address whose connections are one server's alone, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Claim(Extent);

/// What a TCP socket takes connections from.
#[derive(Debug)]
struct Extent {
    address: SocketAddr,
    is_dual_stack: bool,
}

/// The claims of a process: one of its [shared](annulet_runtime::Reactor::shared) values.
#[derive(Default)]
pub(super) struct Claims(Mutex<Vec<Weak<Claim>>>);

/// The claims in force; nobody else enters one meanwhile.
pub(super) struct InForce<'a>(MutexGuard<'a, Vec<Weak<Claim>>>);

impl Claims {
    pub(super) fn lock(&self) -> InForce<'_> {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claims.retain(|claim| claim.strong_count() > 0);
        InForce(claims)
    }
}

impl InForce<'_> {
    /// Whether a socket as of `spec` would take connections that are another server's alone.
    ///
    /// # Errors
    /// `AddrInUse` when it would.
    pub(super) fn check(&self, spec: &ListenSpec) -> io::Result<()> {
        let Some(wanted) = Extent::of(spec) else { return Ok(()) };
        let is_claimed = self.0.iter().filter_map(Weak::upgrade).any(|claim| claim.0.overlaps(&wanted));
        if is_claimed { Err(io::ErrorKind::AddrInUse.into()) } else { Ok(()) }
    }

    /// Claims what a socket as of `spec` takes; nothing when that is no TCP socket.
    pub(super) fn enter(&mut self, spec: &ListenSpec) -> Option<Arc<Claim>> {
        let claim = Arc::new(Claim(Extent::of(spec)?));
        self.0.push(Arc::downgrade(&claim));
        Some(claim)
    }
}

impl Extent {
    fn of(spec: &ListenSpec) -> Option<Self> {
        match spec.address {
            Address::Tcp(address) => {
                Some(Self { address, is_dual_stack: address.is_ipv6() && !spec.v6_only })
            }
            Address::Unix(_) => None,
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.address, other.address);
        let is_one_protocol = ours.is_ipv4() == theirs.is_ipv4() || self.is_dual_stack || other.is_dual_stack;
        let is_everywhere = ours.ip().is_unspecified() || theirs.ip().is_unspecified();
        ours.port() == theirs.port() && is_one_protocol && (is_everywhere || ours.ip() == theirs.ip())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_overlap_where_one_connection_could_go_to_either() {
        let extent = |text: &str| {
            let (address, is_dual_stack) = match text.strip_prefix("both ") {
                Some(address) => (address, true),
                None => (text, false),
            };
            Extent { address: address.parse().expect("an address"), is_dual_stack }
        };
        for (one, other, expected) in [
            ("127.0.0.1:7", "127.0.0.1:7", true),
            ("127.0.0.1:7", "127.0.0.1:8", false),
            ("127.0.0.1:7", "127.0.0.2:7", false),
            ("0.0.0.0:7", "127.0.0.1:7", true),
            ("[::1]:7", "127.0.0.1:7", false),
            ("[::]:7", "127.0.0.1:7", false),
            ("both [::]:7", "127.0.0.1:7", true),
            ("both [::]:7", "[::1]:7", true),
            ("both [::]:7", "0.0.0.0:7", true),
        ] {
            for (one, other) in [(one, other), (other, one)] {
                assert_eq!(extent(one).overlaps(&extent(other)), expected, "{one} and {other}");
            }
        }
    }
}
