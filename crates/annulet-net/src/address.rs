//! Addresses as users write them.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use annulet_driver::{Address, Descriptor, UnixAddress};

/// Where a server listens.
#[derive(Debug)]
#[non_exhaustive]
pub enum ListenAddress {
    /// A literal IP address and port; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// Every address of this machine, IPv6 and IPv4, at this port.
    DualStack(u16),
    /// A Unix socket.
    Unix(UnixAddress),
    /// A listening socket opened by somebody else, such as a service manager: `Inherited(descriptor.into())`.
    Inherited(Descriptor),
}

/// The text is no address to listen at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no address to listen at: use 127.0.0.1:7000, [::1]:7000, :7000 (all addresses), unix:/path or unix:@name"
)]
pub struct ParseAddressError {
    text: String,
}

impl FromStr for ListenAddress {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseAddressError { text: text.to_owned() };
        if let Some(Address::Unix(address)) = parse_unix(text) {
            return Ok(Self::Unix(address));
        }
        if let Some(port) = text.strip_prefix(':') {
            return port.parse().map(Self::DualStack).map_err(|_| error());
        }
        if let Some(port) = text.strip_prefix("localhost:") {
            let port = port.parse().map_err(|_| error())?;
            return Ok(Self::Tcp((Ipv4Addr::LOCALHOST, port).into()));
        }
        text.parse().map(Self::Tcp).map_err(|_| error())
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl ListenAddress {
    /// The addresses to try, in order: a machine without IPv6 takes IPv4 alone.
    pub(crate) fn candidates(&self) -> Vec<Address> {
        match self {
            Self::Tcp(address) => vec![Address::Tcp(*address)],
            Self::DualStack(port) => vec![
                Address::Tcp((Ipv6Addr::UNSPECIFIED, *port).into()),
                Address::Tcp((Ipv4Addr::UNSPECIFIED, *port).into()),
            ],
            Self::Unix(address) => vec![Address::Unix(address.clone())],
            Self::Inherited(_) => Vec::new(),
        }
    }

    /// True when only IPv6 is meant.
    pub(crate) fn is_v6_only(&self) -> bool {
        matches!(self, Self::Tcp(SocketAddr::V6(_)))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::DualStack(port) => write!(f, ":{port}"),
            Self::Unix(address) => Address::Unix(address.clone()).fmt(f),
            Self::Inherited(_) => f.write_str("an inherited socket"),
        }
    }
}

/// `unix:/path` or `unix:@name`.
pub(crate) fn parse_unix(text: &str) -> Option<Address> {
    let name = text.strip_prefix("unix:").filter(|name| !name.is_empty())?;
    Some(Address::Unix(match name.strip_prefix('@') {
        Some(name) => UnixAddress::Abstract(name.as_bytes().to_vec()),
        None => UnixAddress::Path(name.into()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_in_every_documented_form() {
        for text in ["127.0.0.1:7000", "[::1]:0", ":7000", "unix:/tmp/a", "unix:@name"] {
            let address: ListenAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), text);
        }
        assert_eq!("localhost:80".parse::<ListenAddress>().expect("localhost").to_string(), "127.0.0.1:80");
    }

    #[test]
    fn other_texts_are_refused_with_the_forms_that_work() {
        for text in ["", "7000", "127.0.0.1", ":", ":70000", "unix:", "example.org:80", "1.2.3.4:x"] {
            let error = text.parse::<ListenAddress>().expect_err(text);
            assert!(error.to_string().contains("unix:/path"), "{error}");
        }
    }
}
