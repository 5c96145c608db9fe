//! Names to addresses.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// The address that `host_port` spells out: `192.0.2.1:80`, `[2001:db8::1]:80`, with a numeric scope
/// `[fe80::1%2]:80`.
///
/// `None` if it is anything else, such as a name. Neither blocks nor allocates, so a reactor may ask before
/// it troubles the blocking pool.
pub(crate) fn parse_literal(host_port: &str) -> Option<SocketAddr> {
    host_port.parse().ok()
}

/// The system's resolver. An IPv6 address' scope may also be the name of an interface.
pub(crate) fn system_resolver(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

/// The addresses of `host:port`, in the resolver's order of preference; at least one.
///
/// Blocks for as long as the resolver takes, which may be many seconds, unless [`parse_literal`] knows the
/// answer. An IPv6 address stands in brackets.
///
/// # Errors
///
/// `InvalidInput` if `host_port` is not of that form: asking again is no use. Otherwise what the resolver
/// said, as std reports it; that it is worth another try cannot be told from the kind.
pub(crate) fn resolve(
    host_port: &str,
    resolver: impl FnOnce(&str, u16) -> io::Result<Vec<SocketAddr>>,
) -> io::Result<Vec<SocketAddr>> {
    if let Some(address) = parse_literal(host_port) {
        return Ok(vec![address]);
    }
    let (host, port) = split(host_port).map_err(|what| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{what} in {host_port:?}, expected host:port"))
    })?;
    let addresses = resolver(host, port)?;
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("{host:?} has no address")));
    }
    Ok(addresses)
}

/// Host, without its brackets, and port; or what is wrong.
fn split(host_port: &str) -> Result<(&str, u16), &'static str> {
    let (host, port) = host_port.rsplit_once(':').ok_or("no port")?;
    // `u16::from_str` takes a sign.
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| digits).ok_or("bad port")?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or("unclosed bracket")?,
        None if host.contains(':') => return Err("IPv6 address without brackets"),
        None => host,
    };
    if host.is_empty() { Err("no host") } else { Ok((host, port)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_recognised() {
        for literal in ["127.0.0.1:80", "0.0.0.0:0", "[::1]:65535", "[2001:db8::1]:80", "[fe80::1%2]:80"] {
            let address = parse_literal(literal).unwrap();
            assert_eq!(address.to_string(), literal);
            assert_eq!(resolve(literal, system_resolver).unwrap(), [address]);
        }
    }

    #[test]
    fn what_is_not_a_literal_is_left_to_the_resolver() {
        for other in [
            "",
            "localhost:80",
            "127.0.0.1",
            "127.1:80",
            "::1:80",
            "[::1]",
            "127.0.0.1:65536",
            " 127.0.0.1:80",
        ] {
            assert_eq!(parse_literal(other), None, "{other}");
        }
    }

    #[test]
    fn a_malformed_address_is_an_error_that_quotes_it() {
        let cases = [
            ("", "no port"),
            ("localhost", "no port"),
            ("localhost:", "bad port"),
            ("localhost:http", "bad port"),
            ("localhost:+80", "bad port"),
            ("localhost:65536", "bad port"),
            (":80", "no host"),
            ("[]:80", "no host"),
            ("[::1:80", "unclosed bracket"),
            ("::1:80", "IPv6 address without brackets"),
        ];
        for (input, what) in cases {
            let error = resolve(input, system_resolver).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{input}");
            let message = error.to_string();
            assert!(message.contains(what) && message.contains(&format!("{input:?}")), "{message}");
        }
    }

    /// From /etc/hosts, so it needs no network.
    #[test]
    fn a_name_is_resolved() {
        let addresses = resolve("localhost:80", system_resolver).unwrap();
        assert!(!addresses.is_empty());
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
    }

    #[test]
    fn the_resolver_gets_host_and_port_and_no_answer_is_an_error() {
        let addresses = resolve("[fe80::1%eth0]:7", |host, port| {
            assert_eq!((host, port), ("fe80::1%eth0", 7));
            Ok(vec!["[fe80::1%3]:7".parse().unwrap()])
        });
        assert_eq!(addresses.unwrap(), ["[fe80::1%3]:7".parse().unwrap()]);
        let error = resolve("nowhere:7", |_, _| Ok(Vec::new())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_scope_may_be_the_name_of_an_interface() {
        let addresses = resolve("[fe80::1%lo]:80", system_resolver).unwrap();
        assert!(matches!(addresses[..], [SocketAddr::V6(address)] if address.scope_id() != 0));
    }
}
