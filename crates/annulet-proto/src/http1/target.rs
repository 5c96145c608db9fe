//! Request targets (RFC 9112 §3.2) and hosts.

use std::net::Ipv6Addr;
use std::ops::Range;

use super::error::HttpError;
use super::field::{Span, is_token};
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

/// Whether a request line can have this method and this target.
pub(super) fn is_valid(method: &[u8], target: &[u8]) -> bool {
    is_token(method)
        && scan::length_of(&TARGET, target) == target.len()
        && form_and_path(method, target).is_ok()
}

/// The form of the target in a request line, and where in the line its path is.
#[inline]
pub(super) fn examine(line: &[u8], method: usize) -> Result<(TargetForm, Span), HttpError> {
    let (form, path) = form_and_path(&line[..method], &line[method + 1..])?;
    Ok((form, Span::new(method + 1 + path.start, path.len())))
}

/// The form of a target, and where in it the path is.
#[inline]
fn form_and_path(method: &[u8], target: &[u8]) -> Result<(TargetForm, Range<usize>), HttpError> {
    let (form, before) = match target {
        [b'/', ..] if method != b"CONNECT" => (TargetForm::Origin, 0),
        _ => other_than_origin(method, target)?,
    };
    let path = path_length(&target[before..]).ok_or(HttpError::Target)?;
    Ok((form, before..before + path))
}

/// The form of a target that is no path, and how long what stands before its path is.
#[cold]
fn other_than_origin(method: &[u8], target: &[u8]) -> Result<(TargetForm, usize), HttpError> {
    if method == b"CONNECT" {
        let has_port = matches!(host_and_port(target), Some((_, Some([_, ..]))));
        return has_port.then_some((TargetForm::Authority, 0)).ok_or(HttpError::Target);
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

/// What paths are made of, besides escapes. Browsers escape a grave accent here.
static PATH: Kind = kind!(b'!' | b'$' | b'&'..=b';' | b'=' | b'@'..=b'[' | b']'..=b'_' | b'a'..=b'~');

/// How long the path at the front of path and query is.
#[inline]
fn path_length(target: &[u8]) -> Option<usize> {
    let mut length = 0;
    loop {
        length += scan::length_of(&PATH, &target[length..]);
        match &target[length..] {
            [] | [b'?', ..] => return Some(length),
            [b'%', high, low, ..] if is_escape(*high, *low) => length += 3,
            _ => return None,
        }
    }
}

/// Whether these are the digits of a byte that a path may have: NUL and line ends are there for the sake of somebody who
/// takes them for the end.
fn is_escape(high: u8, low: u8) -> bool {
    let ends = (high, low.to_ascii_lowercase());
    high.is_ascii_hexdigit() && low.is_ascii_hexdigit() && !matches!(ends, (b'0', b'0' | b'a' | b'd'))
}

/// Whether this is a host with an optional port (RFC 9110 §7.2), and neither empty nor with a user in front: what a Host field
/// may say.
#[inline]
pub fn is_host(host: &[u8]) -> bool {
    host_and_port(host).is_some()
}

/// A host and what is behind its colon, if it has one.
#[inline]
fn host_and_port(bytes: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let length = match bytes {
        [b'[', ..] => address_length(bytes)?,
        _ => scan::length_of(&HOST, bytes),
    };
    let (host, port) = bytes.split_at(length);
    match port {
        _ if host.is_empty() => None,
        [] => Some((host, None)),
        [b':', port @ ..] => is_port(port).then_some((host, Some(port))),
        _ => None,
    }
}

/// The length of the address in brackets at the front. A zone means nothing to anybody but its sender (RFC 9844).
#[cold]
fn address_length(bytes: &[u8]) -> Option<usize> {
    let end = bytes.iter().position(|byte| *byte == b']')?;
    let address = std::str::from_utf8(&bytes[1..end]).ok()?;
    address.parse::<Ipv6Addr>().ok().map(|_| end + 1)
}

/// A number of 16 bits, or nothing (RFC 3986 §3.2.3).
#[inline]
fn is_port(port: &[u8]) -> bool {
    let number = port.iter().try_fold(0_u16, |number, digit| {
        let value = digit.is_ascii_digit().then(|| u16::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(value)
    });
    port.len() <= 5 && number.is_some()
}

/// What names and IPv4 addresses are made of: what RFC 3986 §3.2.2 allows, but for escapes, which no client sends, and
/// commas, which make a list of it.
static HOST: Kind = kind!(
    b'!' | b'$' | b'&'..=b'+' | b'-' | b'.' | b'0'..=b'9' | b';' | b'=' | b'A'..=b'Z' | b'_' | b'a'..=b'z' | b'~'
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
        assert_eq!(form("CONNECT", "[::1]:443"), Ok(TargetForm::Authority));
        assert_eq!(form("GET", "/%20%c3%a9%7F?%00`%"), Ok(TargetForm::Origin));
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
            ("GET", "/a`b"),
            ("GET", "/a%"),
            ("GET", "/a%2?b"),
            ("GET", "/a%g0"),
            ("GET", "/a%00"),
            ("GET", "/a%0D%0aX:y"),
            ("GET", "http://example.org/%00"),
            ("GET", "http://example.org:65536/"),
            ("GET", "http://example%2eorg/"),
            ("GET", "http://a,b/"),
            ("GET", "http://[::1%25lo]/"),
            ("GET", "/a\u{7f}"),
            ("CONNECT", "/"),
            ("CONNECT", "example.org"),
            ("CONNECT", "example.org:"),
            ("CONNECT", "[::1]"),
            ("CONNECT", "[::1]:"),
            ("CONNECT", "a:b:80"),
            ("CONNECT", "user@example.org:80"),
            ("CONNECT", "http://example.org:80"),
            ("CONNECT", "*"),
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
            "a:00080",
            "a_b",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            ":80",
            "user@a",
            "a b",
            "a/b",
            "[::1",
            "[]",
            "[::1]80",
            "a:b",
            "a:80:90",
            "a:123456",
            "a:65536",
            "a:99999999999999999999",
            "a:+1",
            "::1",
            "a,b",
            "a%20",
            "[::1%25lo]",
            "[v1.a]",
            "[:::]",
            "[1.2.3.4]",
            "a\u{e9}",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }
}
