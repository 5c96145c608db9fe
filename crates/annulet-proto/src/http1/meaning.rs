//! What the fields of a head say about its message.

use super::body::BodyLength;
use super::error::HttpError;
use super::field::{Span, elements, is_token};
use super::head::Version;
use super::target;

/// What the fields say about the message as a whole.
#[derive(Clone, Debug)]
pub(super) struct Meaning {
    pub(super) host: Option<Span>,
    length: Option<u64>,
    codings: Codings,
    closes: bool,
    stays: bool,
    pub(super) upgrades: bool,
    pub(super) has_upgrade: bool,
    pub(super) expects_continue: bool,
    expects_other: bool,
    /// How many Content-Type fields there are.
    types: u8,
}

/// A field line as it is read.
pub(super) struct FieldLine<'a> {
    pub(super) name: &'a [u8],
    /// All that is behind the colon.
    pub(super) raw: &'a [u8],
    /// The same without the white space around it, and where that is.
    pub(super) value: &'a [u8],
    pub(super) place: Span,
}

/// The transfer codings so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codings {
    None,
    Chunked,
    /// Another one first, chunked last.
    Unknown,
    /// The last one is not chunked.
    Open,
}

impl Meaning {
    pub(super) const fn new() -> Self {
        Self {
            host: None,
            length: None,
            codings: Codings::None,
            closes: false,
            stays: false,
            upgrades: false,
            has_upgrade: false,
            expects_continue: false,
            expects_other: false,
            types: 0,
        }
    }

    /// Takes note of a field, if it is one of those that say something about the message.
    #[inline]
    pub(super) fn take(&mut self, line: &FieldLine<'_>) -> Result<(), HttpError> {
        // Most fields are ruled out by their length and first letter.
        match (line.name.len(), line.name[0] | 0x20) {
            (4, b'h') if is(line.name, b"host") => self.host(line.value, line.place),
            (6, b'e') | (7, b'u') | (10 | 12 | 14, b'c') | (17, b't') => self.take_rarer(line),
            _ => Ok(()),
        }
    }

    #[inline(never)]
    fn take_rarer(&mut self, line: &FieldLine<'_>) -> Result<(), HttpError> {
        let FieldLine { name, raw, value, .. } = *line;
        if is(name, b"connection") {
            self.connection(value);
        } else if is(name, b"content-type") {
            self.types = self.types.saturating_add(1);
        } else if is(name, b"content-length") {
            let length = decimal(raw.strip_prefix(b" ").unwrap_or(raw)).filter(|_| self.length.is_none());
            self.length = Some(length.ok_or(HttpError::ContentLength)?);
        } else if is(name, b"transfer-encoding") {
            self.transfer_encoding(value)?;
        } else if is(name, b"upgrade") {
            self.has_upgrade = true;
        } else if is(name, b"expect") {
            let is_known = value.eq_ignore_ascii_case(b"100-continue");
            self.expects_continue |= is_known;
            self.expects_other |= !is_known;
        } else if is_but_for_underscores(name, b"content-length") {
            return Err(HttpError::ContentLength);
        } else if is_but_for_underscores(name, b"transfer-encoding") {
            return Err(HttpError::TransferEncoding);
        }
        Ok(())
    }

    #[inline]
    fn host(&mut self, value: &[u8], place: Span) -> Result<(), HttpError> {
        if self.host.is_some() || !target::is_host(value) {
            return Err(HttpError::Host);
        }
        self.host = Some(place);
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        for option in elements(value) {
            self.closes |= option.eq_ignore_ascii_case(b"close");
            self.stays |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrades |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), HttpError> {
        for coding in elements(value) {
            let is_chunked = coding.eq_ignore_ascii_case(b"chunked");
            let name = coding.split(|byte| matches!(byte, b';' | b' ' | b'\t')).next().unwrap_or_default();
            self.codings = match self.codings {
                // Nothing comes after chunked, least of all chunked (RFC 9112 §6.1).
                Codings::Chunked | Codings::Unknown => return Err(HttpError::TransferEncoding),
                Codings::None if is_chunked => Codings::Chunked,
                Codings::Open if is_chunked => Codings::Unknown,
                Codings::None | Codings::Open if is_token(name) && !name.eq_ignore_ascii_case(b"chunked") => {
                    Codings::Open
                }
                Codings::None | Codings::Open => return Err(HttpError::TransferEncoding),
            };
        }
        Ok(())
    }

    /// Whether the fields are those of a request that can be answered.
    pub(super) fn request(&self, version: Version) -> Result<(), HttpError> {
        if self.host.is_none() && version == Version::Http11 {
            return Err(HttpError::Host);
        }
        if self.types > 1 {
            return Err(HttpError::ContentType);
        }
        if self.expects_other { Err(HttpError::Expectation) } else { Ok(()) }
    }

    /// Whether the connection may stay open after the message (RFC 9112 §9.3).
    pub(super) fn keeps_alive(&self, version: Version) -> bool {
        !self.closes && (version == Version::Http11 || self.stays)
    }

    /// How long a request's body is (RFC 9112 §6.3).
    pub(super) fn request_body(&self, version: Version) -> Result<BodyLength, HttpError> {
        match (self.codings, self.length) {
            (Codings::None, None) => Ok(BodyLength::None),
            (Codings::None, Some(0)) => Ok(BodyLength::None),
            (Codings::None, Some(length)) => Ok(BodyLength::Bytes(length)),
            (_, Some(_)) => Err(HttpError::TwoLengths),
            (Codings::Chunked, None) if version == Version::Http11 => Ok(BodyLength::Chunked),
            (Codings::Unknown, None) if version == Version::Http11 => Err(HttpError::TransferCoding),
            (Codings::Chunked | Codings::Unknown | Codings::Open, None) => Err(HttpError::TransferEncoding),
        }
    }

    /// How long a response's body is, if it has one (RFC 9112 §6.3).
    pub(super) fn response_body(&self, version: Version) -> Result<BodyLength, HttpError> {
        match (self.codings, self.length) {
            (Codings::None, None) => Ok(BodyLength::UntilEnd),
            _ => self.request_body(version),
        }
    }

    /// What Content-Length says.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }
}

/// Whether a name is this one, in whatever case. Beside the letters there are none in tokens that the bit makes equal.
#[inline]
fn is<const LENGTH: usize>(name: &[u8], ours: &[u8; LENGTH]) -> bool {
    name.as_array::<LENGTH>().is_some_and(|name| name.map(|byte| byte | 0x20) == *ours)
}

/// Whether a name is this one with underscores instead of hyphens: gateways that make variables of fields do not tell the
/// two apart.
#[cold]
fn is_but_for_underscores(name: &[u8], ours: &[u8]) -> bool {
    let is_like =
        |(byte, ours): (&u8, &u8)| byte.eq_ignore_ascii_case(ours) || (*byte, *ours) == (b'_', b'-');
    name.len() == ours.len() && name.iter().zip(ours).all(is_like)
}

/// A decimal number and nothing else (RFC 9110 §8.6), not even a zero in front that may make it octal. It leaves a bit free,
/// so that who adds to it, or has a sign, gets no other number.
fn decimal(digits: &[u8]) -> Option<u64> {
    if matches!(digits, [] | [b'0', _, ..]) {
        return None;
    }
    let number = digits.iter().try_fold(0_i64, |number, digit| {
        let value = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(value)
    })?;
    u64::try_from(number).ok()
}
