//! Request targets (RFC 9112 §3.2) and hosts.

use super::error::HttpError;

/// The form of a request's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetForm {
    /// `/path?query`: the usual one.
    Origin,
    /// `http://host/path?query`: what proxies are sent, and every server must take.
    Absolute,
    /// `host:port`: CONNECT's.
    Authority,
    /// `*`: OPTIONS about the server as a whole.
    Asterisk,
}

/// The form of a target, and how long what stands before its path is.
pub(super) fn examine(method: &[u8], target: &[u8]) -> Result<(TargetForm, usize), HttpError> {
    if method == b"CONNECT" {
        let port = target.iter().rposition(|byte| *byte == b':').map(|colon| &target[colon + 1..]);
        let has_port = port.is_some_and(|port| !port.is_empty());
        return (has_port && is_host(target)).then_some((TargetForm::Authority, 0)).ok_or(HttpError::Target);
    }
    match target {
        [b'/', ..] if target.iter().all(|byte| is_target_byte(*byte)) => Ok((TargetForm::Origin, 0)),
        b"*" if method == b"OPTIONS" => Ok((TargetForm::Asterisk, 0)),
        _ => absolute(target),
    }
}

fn absolute(target: &[u8]) -> Result<(TargetForm, usize), HttpError> {
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.len() > scheme.len() && target[..scheme.len()].eq_ignore_ascii_case(scheme));
    let before = scheme.ok_or(HttpError::Target)?.len();
    let rest = &target[before..];
    let host = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let is_right = is_host(&rest[..host]) && rest[host..].iter().all(|byte| is_target_byte(*byte));
    is_right.then_some((TargetForm::Absolute, before + host)).ok_or(HttpError::Target)
}

/// Whether a byte may be in a path or query. What RFC 3986 allows, and besides what browsers send as it is (WHATWG URL):
/// `[ ] ^ { | }` and the grave accent. No fragment, no quotes, no backslash, nothing beyond ASCII.
#[inline]
const fn is_target_byte(byte: u8) -> bool {
    TARGET[byte as usize]
}

const TARGET: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = !matches!(byte, b'#' | b'"' | b'<' | b'>' | b'\\');
        byte += 1;
    }
    table
};

/// Whether this is a host with an optional port (RFC 9110 §7.2), and neither empty nor with a user in front.
pub(super) fn is_host(host: &[u8]) -> bool {
    if let [b'[', rest @ ..] = host {
        let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
        let (address, port) = (&rest[..end], &rest[end + 1..]);
        let is_address = !address.is_empty()
            && address
                .iter()
                .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.' | b'v' | b'V'));
        return is_address && (port.is_empty() || port[0] == b':' && is_port(&port[1..]));
    }
    let name = host.iter().position(|byte| *byte == b':').unwrap_or(host.len());
    name > 0
        && host[..name].iter().all(|byte| HOST[usize::from(*byte)])
        && (name == host.len() || is_port(&host[name + 1..]))
}

/// Digits, or nothing (RFC 3986 §3.2.3).
fn is_port(port: &[u8]) -> bool {
    port.len() <= 5 && port.iter().all(u8::is_ascii_digit)
}

/// What a registered name is made of (RFC 3986 §3.2.2).
const HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'%'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b','
                    | b';'
                    | b'='
            );
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_has_its_forms() {
        let form =
            |method: &str, target: &str| examine(method.as_bytes(), target.as_bytes()).map(|found| found.0);
        assert_eq!(form("GET", "/"), Ok(TargetForm::Origin));
        assert_eq!(form("GET", "/a?b=[1]|{2}"), Ok(TargetForm::Origin));
        assert_eq!(form("GET", "http://example.org"), Ok(TargetForm::Absolute));
        assert_eq!(form("GET", "HTTP://example.org:80?x"), Ok(TargetForm::Absolute));
        assert_eq!(form("OPTIONS", "*"), Ok(TargetForm::Asterisk));
        assert_eq!(form("CONNECT", "example.org:443"), Ok(TargetForm::Authority));
        for (method, target) in [
            ("GET", "*"),
            ("GET", "**"),
            ("OPTIONS", "**"),
            ("GET", "example.org:443"),
            ("GET", "path"),
            ("GET", "http://"),
            ("GET", "http:///path"),
            ("GET", "http://user@example.org/"),
            ("GET", "ftp://example.org/"),
            ("GET", "/a#b"),
            ("GET", "/a\\b"),
            ("GET", "/caf\u{e9}"),
            ("GET", "/a\u{7f}"),
            ("CONNECT", "/"),
            ("CONNECT", "example.org"),
            ("CONNECT", "example.org:"),
        ] {
            assert_eq!(form(method, target), Err(HttpError::Target), "{method} {target}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses_with_a_port_or_without() {
        for host in [
            "a",
            "example.org",
            "example.org:",
            "example.org:80",
            "127.0.0.1:65535",
            "[::1]",
            "[::1]:80",
            "a_b%20",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "", ":80", "user@a", "a b", "a/b", "[::1", "[]", "[::1]80", "a:b", "a:80:90", "a:123456", "::1",
            "a\u{e9}",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }
}
