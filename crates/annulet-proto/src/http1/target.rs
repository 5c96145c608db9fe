//! Request targets (RFC 9112 §3.2) and hosts.

use std::ops::Range;

use super::error::HttpError;
use super::field::Span;
use super::lines::{Lines, Stop};
use super::scan::{self, Kind, kind};

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

/// Passes over a target, of bytes that a target may have, and the space behind it.
#[inline]
pub(super) fn read(lines: &mut Lines<'_>, bytes_max: usize) -> Result<Range<usize>, Stop> {
    let start = lines.place;
    let rest = lines.rest();
    let length = scan::length_of(&TARGET, rest);
    if length > bytes_max {
        return Err(HttpError::TargetTooLong.into());
    }
    match rest.get(length) {
        Some(b' ') if length > 0 => {}
        None => return Err(Stop::More),
        Some(b' ' | b'\r' | b'\n') => return Err(HttpError::RequestLine.into()),
        Some(_) => return Err(HttpError::Target.into()),
    }
    lines.place += length + 1;
    Ok(start..start + length)
}

/// The form of the target in a request line, and where in the line its path is.
#[inline]
pub(super) fn examine(line: &[u8], method: usize) -> Result<(TargetForm, Span), HttpError> {
    let (method, target) = (&line[..method], &line[method + 1..]);
    let (form, before) = match target {
        [b'/', ..] if method != b"CONNECT" => (TargetForm::Origin, 0),
        _ => other_than_origin(method, target)?,
    };
    let path = target[before..].iter().position(|byte| *byte == b'?').unwrap_or(target.len() - before);
    Ok((form, Span::new(method.len() + 1 + before, path)))
}

/// The form of a target that is no path, and how long what stands before its path is.
#[cold]
fn other_than_origin(method: &[u8], target: &[u8]) -> Result<(TargetForm, usize), HttpError> {
    if method == b"CONNECT" {
        let port = target.iter().rposition(|byte| *byte == b':').map(|colon| &target[colon + 1..]);
        let has_port = port.is_some_and(|port| !port.is_empty());
        return (has_port && is_host(target)).then_some((TargetForm::Authority, 0)).ok_or(HttpError::Target);
    }
    if target == b"*" && method == b"OPTIONS" {
        return Ok((TargetForm::Asterisk, 0));
    }
    let scheme = [&b"http://"[..], b"https://"]
        .into_iter()
        .find(|scheme| target.len() > scheme.len() && target[..scheme.len()].eq_ignore_ascii_case(scheme));
    let before = scheme.ok_or(HttpError::Target)?.len();
    let rest = &target[before..];
    let host = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    is_host(&rest[..host]).then_some((TargetForm::Absolute, before + host)).ok_or(HttpError::Target)
}

/// What paths and queries are made of. What RFC 3986 allows, and besides what browsers send as it is (WHATWG URL):
/// `[ ] ^ { | }` and the grave accent. No fragment, no quotes, no backslash, nothing beyond ASCII.
static TARGET: Kind = kind!(b'!' | b'$'..=b';' | b'=' | b'?'..=b'[' | b']'..=b'~');

/// Whether this is a host with an optional port (RFC 9110 §7.2), and neither empty nor with a user in front.
#[inline]
pub(super) fn is_host(host: &[u8]) -> bool {
    let name = scan::length_of(&HOST, host);
    match &host[name..] {
        [] => name > 0,
        [b':', port @ ..] => name > 0 && is_port(port),
        [b'[', ..] if name == 0 => is_address(host),
        _ => false,
    }
}

/// Whether this is an address in brackets, with an optional port.
#[cold]
fn is_address(host: &[u8]) -> bool {
    let Some(end) = host.iter().position(|byte| *byte == b']') else { return false };
    let (address, port) = (&host[1..end], &host[end + 1..]);
    let is_address = !address.is_empty()
        && address.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.' | b'v' | b'V'));
    is_address && (port.is_empty() || port[0] == b':' && is_port(&port[1..]))
}

/// Digits, or nothing (RFC 3986 §3.2.3).
fn is_port(port: &[u8]) -> bool {
    port.len() <= 5 && port.iter().all(u8::is_ascii_digit)
}

/// What a registered name is made of (RFC 3986 §3.2.2).
static HOST: Kind = kind!(
    b'!' | b'$'..=b'.' | b'0'..=b'9' | b';' | b'=' | b'A'..=b'Z' | b'_' | b'a'..=b'z' | b'~'
);

#[cfg(test)]
mod tests {
    use super::super::head::HeadLimits;
    use super::*;

    #[test]
    fn each_method_has_its_forms() {
        let form = |method: &str, target: &str| {
            let line = format!("{method} {target} ");
            let mut lines = Lines::new(line.as_bytes(), &HeadLimits::default());
            lines.place = method.len() + 1;
            match read(&mut lines, 100) {
                Ok(target) => examine(&line.as_bytes()[..target.end], method.len()).map(|found| found.0),
                Err(Stop::Refused(error)) => Err(error),
                Err(Stop::More) => panic!("{line:?}"),
            }
        };
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
