//! Heads of requests.

use std::mem::MaybeUninit;

use super::body::BodyLength;
use super::error::HttpError;
use super::field::{Field, Fields, Span, is_token, text};
use super::meaning::{FIELDS_PLACES, span, take_fields};
use super::target::{self, TargetForm};

/// Bounds of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of a head, its empty line included; no more than 65,535 count.
    pub bytes: usize,
    /// Fields; no more than 128 count.
    pub fields: usize,
    /// Bytes of a target.
    pub target: usize,
}

impl Default for HeadLimits {
    /// 16 KiB, 100 fields, a target of 8 KiB.
    fn default() -> Self {
        Self { bytes: 16 * 1024, fields: 100, target: 8 * 1024 }
    }
}

/// The versions there are, of HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0: connections close unless both sides say otherwise; no chunks.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// The head of a request: a copy of its bytes, and where everything is in them.
///
/// One is kept for many requests: what [`parse`](Self::parse) found before is forgotten, its memory used again. Until it
/// finds a whole one, the head is empty.
#[derive(Clone, Debug)]
pub struct RequestHead {
    bytes: Vec<u8>,
    fields: Vec<Field>,
    method: Span,
    target: Span,
    /// Where the path begins within the target.
    path: u16,
    form: TargetForm,
    version: Version,
    body: BodyLength,
    host: Option<Span>,
    keeps_alive: bool,
    expects_continue: bool,
    asks_for_upgrade: bool,
}

impl Default for RequestHead {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestHead {
    /// An empty one.
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            fields: Vec::new(),
            method: Span { start: 0, length: 0 },
            target: Span { start: 0, length: 0 },
            path: 0,
            form: TargetForm::Origin,
            version: Version::Http11,
            body: BodyLength::None,
            host: None,
            keeps_alive: false,
            expects_continue: false,
            asks_for_upgrade: false,
        }
    }

    /// Reads the head that `input` begins with, and returns how many bytes it took; `None` when it does not end within
    /// `input`. Empty lines before it are skipped (RFC 9112 §2.2).
    ///
    /// Looks at everything anew each time: call it again only when another line has arrived.
    ///
    /// # Errors
    /// What is wrong with it, as soon as that is certain.
    pub fn parse(&mut self, input: &[u8], limits: &HeadLimits) -> Result<Option<usize>, HttpError> {
        self.forget();
        let before = empty_lines(input);
        let Some(head) = input.get(before..).filter(|head| !head.is_empty()) else { return Ok(None) };
        let bytes_max = limits.bytes.min(usize::from(u16::MAX));
        let window = &head[..head.len().min(bytes_max)];
        let mut places = [const { MaybeUninit::uninit() }; FIELDS_PLACES];
        let places = &mut places[..limits.fields.min(FIELDS_PLACES)];
        let mut request = httparse::Request::new(&mut []);
        let length = match request.parse_with_uninit_headers(window, places) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => {
                return incomplete(window, head.len() >= bytes_max, limits).map(|()| None);
            }
            Err(error) => return Err(refusal(error, window)),
        };
        match self.take(&request, &window[..length], limits) {
            Ok(()) => Ok(Some(before + length)),
            Err(error) => {
                self.forget();
                Err(error)
            }
        }
    }

    /// Makes it an empty one that keeps its memory: places without the bytes they are in are of no use.
    fn forget(&mut self) {
        let (mut bytes, mut fields) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.fields));
        bytes.clear();
        fields.clear();
        *self = Self { bytes, fields, ..Self::new() };
    }

    /// Takes over what the tokeniser found in `head`, and gives it its meaning.
    fn take(
        &mut self,
        request: &httparse::Request<'_, '_>,
        head: &[u8],
        limits: &HeadLimits,
    ) -> Result<(), HttpError> {
        let (Some(method), Some(path), Some(minor)) = (request.method, request.path, request.version) else {
            return Err(HttpError::RequestLine);
        };
        if path.len() > limits.target {
            return Err(HttpError::TargetTooLong);
        }
        let target_start = method.len() + 1;
        // A space, and `HTTP/1.x`.
        let first_line = target_start + path.len() + 9;
        let (form, path_start) = target::examine(method.as_bytes(), path.as_bytes())?;
        self.version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        let meaning = take_fields(head, first_line, request.headers, &mut self.fields)?;
        self.body = meaning.request_body(self.version)?;
        self.host = meaning.host;
        if self.host.is_none() && self.version == Version::Http11 {
            return Err(HttpError::Host);
        }
        self.keeps_alive = meaning.keeps_alive(self.version);
        // A 1.0 client knows neither (RFC 9110 §7.8, §10.1.1).
        self.expects_continue = meaning.expects_continue()? && self.version == Version::Http11;
        self.asks_for_upgrade = meaning.upgrades && meaning.has_upgrade && self.version == Version::Http11;
        self.method = span(0, method.len());
        self.target = span(target_start, path.len());
        self.form = form;
        self.path = path_start as u16;
        self.bytes.clear();
        self.bytes.extend_from_slice(head);
        Ok(())
    }

    /// The method, as it was sent: methods are case-sensitive.
    #[inline]
    pub fn method(&self) -> &str {
        text(self.method.of(&self.bytes))
    }

    /// The target, as it was sent.
    pub fn target(&self) -> &str {
        text(self.target.of(&self.bytes))
    }

    /// Its form.
    pub fn target_form(&self) -> TargetForm {
        self.form
    }

    /// The path, as it was sent, percent signs and all. `/` where an absolute target has none; the whole target of OPTIONS
    /// `*` and of CONNECT.
    #[inline]
    pub fn path(&self) -> &str {
        let path = self.path_and_query();
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        if path.is_empty() { "/" } else { path }
    }

    /// What follows the first `?`, without it.
    pub fn query(&self) -> Option<&str> {
        self.path_and_query().split_once('?').map(|(_, query)| query)
    }

    fn path_and_query(&self) -> &str {
        &self.target()[usize::from(self.path)..]
    }

    /// The version that was sent.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The Host field. Always there in HTTP/1.1. An absolute target's host goes before it (RFC 9112 §3.2.2).
    pub fn host(&self) -> Option<&str> {
        if self.form == TargetForm::Absolute {
            let before = &self.target()[..usize::from(self.path)];
            return before.split_once("//").map(|(_, host)| host);
        }
        self.host.map(|host| text(host.of(&self.bytes)))
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

    /// How long the body is.
    #[inline]
    pub fn body_length(&self) -> BodyLength {
        self.body
    }

    /// Whether the client wants to send another request after this one (RFC 9112 §9.3).
    #[inline]
    pub fn keeps_alive(&self) -> bool {
        self.keeps_alive
    }

    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    #[inline]
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// Whether the client offers to go on with another protocol (RFC 9110 §7.8). It may be ignored.
    pub fn asks_for_upgrade(&self) -> bool {
        self.asks_for_upgrade
    }
}

/// The length of the empty lines at the front.
fn empty_lines(input: &[u8]) -> usize {
    let mut length = 0;
    while input[length..].starts_with(b"\r\n") {
        length += 2;
    }
    length
}

/// A head that does not end here: refused if it is too long, or has a line end that is none.
#[cold]
pub(super) fn incomplete(window: &[u8], is_full: bool, limits: &HeadLimits) -> Result<(), HttpError> {
    let mut lines = window.split(|byte| *byte == b'\n');
    let last = lines.next_back();
    if lines.any(|line| line.last() != Some(&b'\r')) {
        return Err(HttpError::LineEnd);
    }
    let is_first_line = last.map_or(0, <[u8]>::len) == window.len();
    let target = window.split(|byte| *byte == b' ').nth(1).map_or(0, <[u8]>::len);
    if is_first_line && target > limits.target {
        return Err(HttpError::TargetTooLong);
    }
    if is_full { Err(HttpError::HeadTooLarge) } else { Ok(()) }
}

#[cold]
fn refusal(error: httparse::Error, window: &[u8]) -> HttpError {
    let line = window.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let is_in_first_line = !matches!(error, httparse::Error::HeaderName | httparse::Error::HeaderValue);
    match error {
        httparse::Error::TooManyHeaders => HttpError::TooManyFields,
        httparse::Error::HeaderName | httparse::Error::HeaderValue => HttpError::Field,
        httparse::Error::Version if is_another_version(line) => HttpError::Version,
        httparse::Error::NewLine => HttpError::LineEnd,
        _ if is_in_first_line => HttpError::RequestLine,
        _ => HttpError::Field,
    }
}

/// Whether a request line is well-formed but for a version that is not ours: the client speaks HTTP, of another kind.
fn is_another_version(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = line.split(|byte| *byte == b' ');
    let (version, target, method) = (words.next_back(), words.next_back(), words.next_back());
    let is_version = matches!(version, Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
        if major.is_ascii_digit() && minor.is_ascii_digit());
    is_version
        && target.is_some_and(|target| !target.is_empty())
        && method.is_some_and(is_token)
        && words.next().is_none()
}
