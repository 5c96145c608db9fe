//! What the fields of a head say about its message.

use super::body::BodyLength;
use super::error::HttpError;
use super::field::{Field, Span, elements, is_space};
use super::head::Version;
use super::target;

/// Places for fields on the stack while a head is being taken apart.
pub(super) const FIELDS_PLACES: usize = 128;

/// Notes where the fields of `head` are, and what those that concern the message mean. `first_line` is where the first
/// line ends.
///
/// The tokeniser also takes a bare LF, and more; lines that are exactly where they must be have none of it.
#[inline]
pub(super) fn take_fields(
    head: &[u8],
    first_line: usize,
    headers: &[httparse::Header<'_>],
    fields: &mut Vec<Field>,
) -> Result<Meaning, HttpError> {
    let mut meaning = Meaning::new();
    let mut end = first_line;
    fields.clear();
    for header in headers {
        end = line_end(head, end)?;
        let name = span(end, header.name.len());
        let mut value = end + header.name.len() + 1;
        while head.get(value).is_some_and(|byte| is_space(*byte)) {
            value += 1;
        }
        let value = span(value, header.value.len());
        if name.of(head) != header.name.as_bytes() || value.of(head) != header.value {
            return Err(HttpError::Field);
        }
        end = usize::from(value.start) + usize::from(value.length);
        while head.get(end).is_some_and(|byte| is_space(*byte)) {
            end += 1;
        }
        fields.push(Field { name, value });
        meaning.take(header.name.as_bytes(), header.value, value)?;
    }
    end = line_end(head, end)?;
    end = line_end(head, end)?;
    if end == head.len() { Ok(meaning) } else { Err(HttpError::LineEnd) }
}

/// What the fields say about the message as a whole.
pub(super) struct Meaning {
    pub(super) host: Option<Span>,
    length: Option<u64>,
    codings: Codings,
    closes: bool,
    stays: bool,
    pub(super) upgrades: bool,
    pub(super) has_upgrade: bool,
    expectation: Option<bool>,
}

/// The transfer codings so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Codings {
    None,
    Chunked,
    /// Another one first, chunked last.
    Unknown,
    /// The last one is not chunked.
    Open,
}

impl Meaning {
    fn new() -> Self {
        Self {
            host: None,
            length: None,
            codings: Codings::None,
            closes: false,
            stays: false,
            upgrades: false,
            has_upgrade: false,
            expectation: None,
        }
    }

    /// Takes note of a field, if it is one of those that say something about the message.
    #[inline]
    fn take(&mut self, name: &[u8], value: &[u8], place: Span) -> Result<(), HttpError> {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                if self.host.is_some() || !target::is_host(value) {
                    return Err(HttpError::Host);
                }
                self.host = Some(place);
            }
            6 if name.eq_ignore_ascii_case(b"expect") => {
                let is_known = value.eq_ignore_ascii_case(b"100-continue");
                self.expectation = Some(is_known && self.expectation != Some(false));
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.has_upgrade = true,
            10 if name.eq_ignore_ascii_case(b"connection") => self.connection(value),
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = decimal(value).filter(|_| self.length.is_none());
                self.length = Some(length.ok_or(HttpError::ContentLength)?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding(value)?,
            _ => {}
        }
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
                Codings::None | Codings::Open
                    if super::field::is_token(name) && !name.eq_ignore_ascii_case(b"chunked") =>
                {
                    Codings::Open
                }
                Codings::None | Codings::Open => return Err(HttpError::TransferEncoding),
            };
        }
        Ok(())
    }

    /// Whether the sender waits for 100 (Continue).
    pub(super) fn expects_continue(&self) -> Result<bool, HttpError> {
        match self.expectation {
            Some(false) => Err(HttpError::Expectation),
            expectation => Ok(expectation.is_some()),
        }
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

#[inline]
pub(super) fn span(start: usize, length: usize) -> Span {
    // A head is no longer than a u16 says.
    Span { start: start as u16, length: length as u16 }
}

/// The place behind the line end at `end`.
#[inline]
fn line_end(head: &[u8], end: usize) -> Result<usize, HttpError> {
    match head.get(end..end + 2) {
        Some(b"\r\n") => Ok(end + 2),
        _ => Err(HttpError::LineEnd),
    }
}

/// A decimal number and nothing else (RFC 9110 §8.6).
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let value = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(value)
    })
}
