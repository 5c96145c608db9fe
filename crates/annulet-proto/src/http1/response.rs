//! Heads of responses, as a client reads them.

use std::mem::MaybeUninit;

use super::body::BodyLength;
use super::error::HttpError;
use super::field::{Field, Fields, Span};
use super::head::{HeadLimits, Version, incomplete};
use super::meaning::{FIELDS_PLACES, span, take_fields};

/// What a response answers: its body depends on it (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answers {
    /// HEAD: no body, whatever the fields say.
    Head,
    /// CONNECT: after a 2xx the connection is a tunnel.
    Connect,
    /// Any other method.
    Other,
}

/// The head of a response: a copy of its bytes, and where everything is in them. One is kept for many responses;
/// until a whole one is found, it is empty.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    bytes: Vec<u8>,
    fields: Vec<Field>,
    reason: Span,
    status: u16,
    version: Version,
    body: BodyLength,
    length: Option<u64>,
    keeps_alive: bool,
}

impl Default for ResponseHead {
    fn default() -> Self {
        Self::new()
    }
}

impl ResponseHead {
    /// An empty one.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            fields: Vec::new(),
            reason: Span { start: 0, length: 0 },
            status: 0,
            version: Version::Http11,
            body: BodyLength::None,
            length: None,
            keeps_alive: false,
        }
    }

    /// Reads the head that `input` begins with, and returns how many bytes it took; `None` when it does not end within
    /// `input`. An [informational](Self::is_informational) one is followed by another.
    ///
    /// # Errors
    /// What is wrong with it. The connection is of no further use.
    pub fn parse(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        answers: Answers,
    ) -> Result<Option<usize>, HttpError> {
        self.forget();
        let bytes_max = limits.bytes.min(usize::from(u16::MAX));
        let window = &input[..input.len().min(bytes_max)];
        let mut places = [const { MaybeUninit::uninit() }; FIELDS_PLACES];
        let places = &mut places[..limits.fields.min(FIELDS_PLACES)];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            window,
            places,
        );
        let length = match parsed {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => {
                // No target here: nothing of a status line is too long but all of it.
                let limits = HeadLimits { target: usize::MAX, ..*limits };
                return incomplete(window, input.len() >= bytes_max, &limits).map(|()| None);
            }
            Err(httparse::Error::TooManyHeaders) => return Err(HttpError::TooManyFields),
            Err(httparse::Error::HeaderName | httparse::Error::HeaderValue) => return Err(HttpError::Field),
            Err(httparse::Error::NewLine) => return Err(HttpError::LineEnd),
            Err(httparse::Error::Version) => return Err(HttpError::Version),
            Err(_) => return Err(HttpError::StatusLine),
        };
        match self.take(&response, &window[..length], answers) {
            Ok(()) => Ok(Some(length)),
            Err(error) => {
                self.forget();
                Err(error)
            }
        }
    }

    /// Makes it an empty one that keeps its memory.
    fn forget(&mut self) {
        let (mut bytes, mut fields) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.fields));
        bytes.clear();
        fields.clear();
        *self = Self { bytes, fields, ..Self::new() };
    }

    fn take(
        &mut self,
        response: &httparse::Response<'_, '_>,
        head: &[u8],
        answers: Answers,
    ) -> Result<(), HttpError> {
        let (Some(status @ 100..), Some(minor)) = (response.code, response.version) else {
            return Err(HttpError::StatusLine);
        };
        // `HTTP/1.x 200`, then a space and a reason, of which some servers leave out both (RFC 9112 §4).
        let line = head.iter().position(|byte| *byte == b'\n').unwrap_or(head.len());
        let end = head[..line].strip_suffix(b"\r").ok_or(HttpError::LineEnd)?.len();
        let reason = if end > 12 { span(13, end - 13) } else { Span::default() };
        let meaning = take_fields(head, end, response.headers, &mut self.fields)?;
        let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        self.body = match (answers, status) {
            (Answers::Connect, 200..300) => BodyLength::UntilEnd,
            (_, 100..200 | 204 | 304) | (Answers::Head, _) => BodyLength::None,
            _ => meaning.response_body(version)?,
        };
        self.length = meaning.length();
        self.keeps_alive = meaning.keeps_alive(version) && self.body != BodyLength::UntilEnd;
        (self.status, self.version, self.reason) = (status, version, reason);
        self.bytes.clear();
        self.bytes.extend_from_slice(head);
        Ok(())
    }

    /// The status: three digits.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// 1xx: the answer itself is still to come, unless it is 101 (Switching Protocols).
    pub fn is_informational(&self) -> bool {
        self.status < 200
    }

    /// The reason, for humans.
    pub fn reason(&self) -> &[u8] {
        self.reason.of(&self.bytes)
    }

    /// The version that was sent.
    pub fn version(&self) -> Version {
        self.version
    }

    /// All fields, in their order.
    pub fn fields(&self) -> Fields<'_> {
        Fields { bytes: &self.bytes, fields: self.fields.iter() }
    }

    /// The value of the first field of this name, in whatever case.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        let is_it = |field: &&Field| field.name.of(&self.bytes).eq_ignore_ascii_case(name.as_bytes());
        self.fields.iter().find(is_it).map(|field| field.value.of(&self.bytes))
    }

    /// How long the body is that follows.
    pub fn body_length(&self) -> BodyLength {
        self.body
    }

    /// What Content-Length says: to HEAD, how long the body would have been.
    pub fn content_length(&self) -> Option<u64> {
        self.length
    }

    /// Whether the connection may be used again after the body.
    pub fn keeps_alive(&self) -> bool {
        self.keeps_alive
    }
}
