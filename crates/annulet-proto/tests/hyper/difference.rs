//! Where hyper takes what is refused here. Most are in the table of `annulet_proto::http1`, where this codec is stricter
//! than the RFC asks; `must` are those that the RFC demands and that hyper leaves to its service.

use annulet_proto::http1::HttpError;

use crate::peer::Request;

struct Difference {
    name: &'static str,
    error: HttpError,
    /// Whether a request has what the name says.
    is_it: fn(&Raw<'_>, &Request) -> bool,
}

/// A head as the most lenient would read it.
struct Raw<'a> {
    input: &'a [u8],
    target: &'a [u8],
    fields: Vec<(&'a [u8], &'a [u8])>,
}

const fn difference(
    name: &'static str,
    error: HttpError,
    is_it: fn(&Raw<'_>, &Request) -> bool,
) -> Difference {
    Difference { name, error, is_it }
}

const DIFFERENCES: &[Difference] = &[
    difference("a bare LF", HttpError::LineEnd, |raw, _| raw.has_bare_lf()),
    difference("a bare LF before a request", HttpError::RequestLine, |raw, _| raw.input.starts_with(b"\n")),
    difference("empty lines before a request", HttpError::RequestLine, |raw, _| {
        raw.input.starts_with(b"\r\n\r\n") || raw.input.starts_with(b"\r\n\n")
    }),
    difference("a long method", HttpError::RequestLine, |_, request| request.method.len() > 64),
    difference("must: a character of no target", HttpError::Target, |raw, _| {
        raw.target.iter().any(|byte| !byte.is_ascii_graphic() || b"#\"<>\\".contains(byte))
    }),
    difference("an escape of an end, or none", HttpError::Target, |_, request| {
        let is_escape = |rest: &str| {
            let digits = rest.get(..2).unwrap_or_default();
            digits.bytes().filter(u8::is_ascii_hexdigit).count() == 2
                && !["00", "0a", "0d"].contains(&digits.to_ascii_lowercase().as_str())
        };
        !request.path.split('%').skip(1).all(is_escape)
    }),
    difference("must: a form of target that the method has not", HttpError::Target, |raw, request| {
        let target = String::from_utf8_lossy(raw.target);
        let has_port = target.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        match request.method.as_str() {
            "CONNECT" => target.contains('/') || !has_port,
            "OPTIONS" if target == "*" => false,
            _ => !target.starts_with('/') && !target.contains("://"),
        }
    }),
    difference("a scheme other than http and https", HttpError::Target, |raw, _| {
        let scheme = raw.target.windows(3).position(|window| window == b"://").map(|end| &raw.target[..end]);
        scheme.is_some_and(|scheme| !matches!(&scheme.to_ascii_lowercase()[..], b"http" | b"https"))
    }),
    difference("must: an authority with a user, or an odd host", HttpError::Target, |_, request| {
        request.authority.as_deref().is_some_and(is_odd_host)
    }),
    difference("must: no Host, several, or an odd one", HttpError::Host, |raw, request| {
        let hosts: Vec<_> = raw.values(b"host").collect();
        match hosts[..] {
            [] => request.is_1_1,
            [host] => std::str::from_utf8(host)
                .map_or(true, |host| is_odd_host(host.trim_matches([' ', '\t', '\r']))),
            _ => true,
        }
    }),
    difference("several Content-Length, or a list", HttpError::ContentLength, |raw, _| {
        raw.values(b"content-length").count() > 1
    }),
    difference("a Content-Length with zeros or space", HttpError::ContentLength, |raw, _| {
        raw.values(b"content-length").any(|value| {
            let digits = value.strip_suffix(b"\r").unwrap_or(value);
            let digits = digits.strip_prefix(b" ").unwrap_or(digits);
            let number = digits.trim_ascii();
            number.iter().all(u8::is_ascii_digit) && (number != digits || matches!(digits, [b'0', _, ..]))
        })
    }),
    difference("a Content-Length of more than 63 bits", HttpError::ContentLength, |raw, _| {
        let value = raw.values(b"content-length").next().unwrap_or_default().trim_ascii();
        str::from_utf8(value)
            .is_ok_and(|digits| digits.parse().is_ok_and(|length: u64| length > i64::MAX as u64))
    }),
    difference("a Content-Length that Transfer-Encoding overrides", HttpError::ContentLength, |raw, _| {
        raw.values(b"content-length").count() > 0 && raw.values(b"transfer-encoding").count() > 0
    }),
    difference("a Content-Length with underscores", HttpError::ContentLength, |raw, _| {
        raw.values(b"content_length").count() > 0
    }),
    difference("a Transfer-Encoding with underscores", HttpError::TransferEncoding, |raw, _| {
        raw.values(b"transfer_encoding").count() > 0
    }),
    difference("Content-Length and Transfer-Encoding", HttpError::TwoLengths, |raw, _| {
        raw.values(b"content-length").count() > 0 && raw.values(b"transfer-encoding").count() > 0
    }),
    difference("must: a transfer coding that is not known", HttpError::TransferCoding, |raw, _| {
        raw.codings().iter().any(|coding| coding != "chunked")
    }),
    difference("a list of codings with odd elements", HttpError::TransferEncoding, |raw, _| {
        let codings = raw.codings();
        let is_token = |coding: &String| annulet_proto::http1::is_token(coding.as_bytes());
        !codings.iter().all(is_token) || codings.iter().filter(|coding| *coding == "chunked").count() > 1
    }),
    difference("several Content-Type", HttpError::ContentType, |raw, _| {
        raw.values(b"content-type").count() > 1
    }),
    difference("another expectation", HttpError::Expectation, |raw, _| {
        raw.values(b"expect").any(|value| !value.trim_ascii().eq_ignore_ascii_case(b"100-continue"))
    }),
];

/// Those of bodies.
const BODIES: &[(&str, HttpError)] = &[
    ("must: a chunk's line with a malformed extension", HttpError::Chunk),
    ("a trailer that should not be one", HttpError::Trailer),
];

pub(crate) fn names() -> Vec<&'static str> {
    let heads = DIFFERENCES.iter().map(|difference| difference.name);
    heads.chain(BODIES.iter().map(|(name, _)| *name)).collect()
}

/// What the difference is called that made this the error.
pub(crate) fn name(error: HttpError, input: &[u8], theirs: &Request) -> Option<&'static str> {
    let raw = Raw::new(input);
    let is_it = |difference: &&Difference| difference.error == error && (difference.is_it)(&raw, theirs);
    DIFFERENCES.iter().find(is_it).map(|difference| difference.name)
}

/// What the difference is called that made this the error of a body.
pub(crate) fn body_name(error: HttpError, input: &[u8]) -> Option<&'static str> {
    let body = input.windows(4).position(|window| window == b"\r\n\r\n").map(|end| &input[end + 4..])?;
    let has_it = match error {
        HttpError::Chunk => body.contains(&b';') || body.contains(&b' ') || body.contains(&b'\t'),
        HttpError::Trailer => body.contains(&b':'),
        _ => false,
    };
    BODIES.iter().find(|(_, other)| *other == error && has_it).map(|(name, _)| *name)
}

fn is_odd_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (host, ""),
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!$&'()*+-.;=_~".contains(&byte);
    let is_right = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.bytes().all(is_name),
    };
    !is_right
        || !(port.is_empty() || port.len() <= 5 && port.parse::<u16>().is_ok() && !port.starts_with('+'))
}

impl<'a> Raw<'a> {
    fn new(input: &'a [u8]) -> Self {
        let start = input.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(input.len());
        let mut lines = input[start..].split(|byte| *byte == b'\n');
        let line = lines.next().unwrap_or_default();
        let fields = lines.take_while(|line| !matches!(*line, [] | b"\r")).filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((&line[..colon], &line[colon + 1..]))
        });
        Self {
            input,
            target: line.split(|byte| *byte == b' ').nth(1).unwrap_or_default(),
            fields: fields.collect(),
        }
    }

    fn values(&self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |field| field.0.eq_ignore_ascii_case(name)).map(|field| field.1)
    }

    /// All transfer codings, in lower case, without the white space around them.
    fn codings(&self) -> Vec<String> {
        let values = self
            .values(b"transfer-encoding")
            .map(|value| String::from_utf8_lossy(value).to_ascii_lowercase());
        values
            .flat_map(|value| value.split(',').map(|coding| coding.trim().to_owned()).collect::<Vec<_>>())
            .collect()
    }

    fn has_bare_lf(&self) -> bool {
        self.input.starts_with(b"\n")
            || self.input.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r')
    }
}
