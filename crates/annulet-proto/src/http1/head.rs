//! Heads of requests.

use super::asked::Asked;
use super::body::BodyLength;
use super::error::HttpError;
use super::field::{Field, Fields, Span, text};
use super::lines::{Lines, Stop};
use super::meaning::Meaning;
use super::target::{self, TargetForm};

/// Bytes of a method: those that are registered have 17 at most.
const METHOD_MAX: usize = 64;

/// Bounds of a head, and how strictly its lines must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of a head, its empty line included; no more than 65,535 count.
    pub bytes: usize,
    /// Fields.
    pub fields: usize,
    /// Bytes of a target.
    pub target: usize,
    /// Whether LF alone ends a line of a head, too (RFC 9112 §2.2), for the sake of clients that are older than they
    /// should be. It never does in a chunked body.
    pub bare_lf: bool,
}

impl Default for HeadLimits {
    /// 16 KiB, 100 fields, a target of 8 KiB; lines end with CR LF.
    fn default() -> Self {
        Self::new()
    }
}

impl HeadLimits {
    const fn new() -> Self {
        Self { bytes: 16 * 1024, fields: 100, target: 8 * 1024, bare_lf: false }
    }

    /// Bytes of a head that count: its places are noted as 16-bit numbers. With so many of one there is no need to wait for
    /// more: it is whole, or refused.
    #[inline]
    pub fn bytes_max(&self) -> usize {
        self.bytes.min(usize::from(u16::MAX))
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
    /// The first line: text, so that it need not be made sure again that it is.
    line: String,
    /// All of it.
    bytes: Vec<u8>,
    /// Places behind the first line.
    fields: Vec<Field>,
    /// Bytes of the method.
    method: u16,
    /// Where the target and its path are in the line.
    target: Span,
    path: Span,
    /// Bytes of the method, a space and the path, if that is what the line begins with.
    method_and_path: u16,
    form: TargetForm,
    version: Version,
    body: BodyLength,
    asked: Asked,
    meaning: Meaning,
    /// What the fields were read with.
    limits: HeadLimits,
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
            line: String::new(),
            bytes: Vec::new(),
            fields: Vec::new(),
            method: 0,
            target: Span { start: 0, length: 0 },
            path: Span { start: 0, length: 0 },
            method_and_path: 0,
            form: TargetForm::Origin,
            version: Version::Http11,
            body: BodyLength::None,
            asked: Asked::NOTHING,
            meaning: Meaning::new(),
            limits: HeadLimits::new(),
        }
    }

    /// Reads the head that `input` begins with, and returns how many bytes it took; `None` when it does not end within
    /// `input`. An empty line before it is skipped (RFC 9112 §2.2).
    ///
    /// Looks at everything anew each time: call it again only when another line has arrived.
    ///
    /// # Errors
    /// What is wrong with it, as soon as that is certain.
    pub fn parse(&mut self, input: &[u8], limits: &HeadLimits) -> Result<Option<usize>, HttpError> {
        let before = match input {
            [b'\r', b'\n', ..] => 2,
            [b'\n', ..] if limits.bare_lf => 1,
            [b'\r'] => 1,
            _ => 0,
        };
        let head = &input[before..];
        let stop = match self.read(head, limits) {
            Ok(length) => return Ok(Some(before + length)),
            Err(stop) => stop,
        };
        self.forget();
        match stop {
            Stop::Refused(error) => Err(error),
            Stop::More if head.len() >= limits.bytes_max() => Err(HttpError::HeadTooLarge),
            Stop::More => Ok(None),
        }
    }

    /// How long a head at the front of `input` is that is the same as this one, byte by byte: then nothing needs to be read,
    /// for it means the same. Clients repeat themselves. What is read with other limits is to be [read](Self::parse).
    #[inline]
    pub fn repeated(&self, input: &[u8]) -> Option<usize> {
        (!self.bytes.is_empty() && input.starts_with(&self.bytes)).then_some(self.bytes.len())
    }

    /// Makes it an empty one that keeps its memory: places without the bytes they are in are of no use.
    #[cold]
    fn forget(&mut self) {
        let (mut line, mut bytes) = (std::mem::take(&mut self.line), std::mem::take(&mut self.bytes));
        let mut fields = std::mem::take(&mut self.fields);
        line.clear();
        bytes.clear();
        fields.clear();
        *self = Self { line, bytes, fields, ..Self::new() };
    }

    /// The length of the head that `input` begins with, of which everything is noted.
    ///
    /// Part of it, too, may be the same as before.
    fn read(&mut self, input: &[u8], limits: &HeadLimits) -> Result<usize, Stop> {
        let mut lines = Lines::new(input, limits);
        let is_read_alike = self.limits == *limits;
        let line = self.line.len();
        let is_line_known = is_read_alike && lines.pass(self.line.as_bytes());
        if !is_line_known {
            self.read_line(&mut lines, limits)?;
        }
        let are_fields_known = is_read_alike && lines.pass(&self.bytes[line..]);
        if !are_fields_known {
            lines.fields(&mut self.fields, limits.fields, &mut self.meaning)?;
        }
        self.bytes.clear();
        self.bytes.extend_from_slice(&lines.input[..lines.place]);
        self.limits = *limits;
        self.meaning.request(self.version)?;
        self.body = self.meaning.request_body(self.version)?;
        self.asked = self.what_is_asked();
        Ok(lines.place)
    }

    fn read_line(&mut self, lines: &mut Lines<'_>, limits: &HeadLimits) -> Result<(), Stop> {
        let method = lines.token(b' ', HttpError::RequestLine);
        if *method.as_ref().unwrap_or(&lines.input.len()) > METHOD_MAX {
            return Err(HttpError::RequestLine.into());
        }
        let method = method?;
        let target = target::read(lines, limits.target)?;
        self.version = version(lines)?;
        (self.form, self.path) = target::examine(&lines.input[..target.end], method)?;
        self.method = method as u16;
        self.target = Span::new(target.start, target.len());
        self.method_and_path =
            if self.path.start == self.target.start { self.path.range().end as u16 } else { 0 };
        self.line.clear();
        self.line.push_str(text(&lines.input[..lines.place]));
        Ok(())
    }

    fn what_is_asked(&self) -> Asked {
        let is_old = self.version == Version::Http10;
        // What a client of 1.0 says of an upgrade it does not mean (RFC 9110 §7.8).
        let upgrades = self.meaning.upgrades && self.meaning.has_upgrade && !is_old;
        Asked::NOTHING
            .and(Asked::HEAD, self.method() == "HEAD")
            .and(Asked::CONNECT, self.form == TargetForm::Authority)
            .and(Asked::HTTP10, is_old)
            .and(Asked::CLOSE, !self.meaning.keeps_alive(self.version))
            .and(Asked::UPGRADE, upgrades)
            .and(Asked::BODY, self.body != BodyLength::None)
    }

    /// The method, as it was sent: methods are case-sensitive.
    #[inline]
    pub fn method(&self) -> &str {
        &self.line[..usize::from(self.method)]
    }

    /// The target, as it was sent.
    #[inline]
    pub fn target(&self) -> &str {
        &self.line[self.target.range()]
    }

    /// Its form.
    pub fn target_form(&self) -> TargetForm {
        self.form
    }

    /// The path, as it was sent, percent signs and all. `/` where an absolute target has none; the whole target of OPTIONS
    /// `*` and of CONNECT.
    #[inline]
    pub fn path(&self) -> &str {
        let path = &self.line[self.path.range()];
        if path.is_empty() { "/" } else { path }
    }

    /// Method and path with a space between them, as they stand in the first line: `GET /path`. Empty when the target says more
    /// before its path.
    #[inline]
    pub fn method_and_path(&self) -> &[u8] {
        &self.line.as_bytes()[..usize::from(self.method_and_path)]
    }

    /// What follows the first `?`, without it.
    #[inline]
    pub fn query(&self) -> Option<&str> {
        self.line.get(self.path.range().end + 1..self.target.range().end)
    }

    /// The version that was sent.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The Host field. Always there in HTTP/1.1. An absolute target's host goes before it (RFC 9112 §3.2.2).
    pub fn host(&self) -> Option<&str> {
        if self.form == TargetForm::Absolute {
            let before = &self.line[..self.path.range().start];
            return before.split_once("//").map(|(_, host)| host);
        }
        self.meaning.host.map(|host| text(host.of(self.behind_line())))
    }

    fn behind_line(&self) -> &[u8] {
        &self.bytes[self.line.len()..]
    }

    /// All fields, in their order.
    pub fn fields(&self) -> Fields<'_> {
        Fields { bytes: self.behind_line(), fields: self.fields.iter() }
    }

    /// The value of the first field of this name, in whatever case.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields().first(name)
    }

    /// How long the body is.
    #[inline]
    pub fn body_length(&self) -> BodyLength {
        self.body
    }

    /// What its response depends on.
    #[inline]
    pub fn asked(&self) -> Asked {
        self.asked
    }

    /// Whether the client wants to send another request after this one (RFC 9112 §9.3).
    #[inline]
    pub fn keeps_alive(&self) -> bool {
        !self.asked.is(Asked::CLOSE)
    }

    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    pub fn expects_continue(&self) -> bool {
        // A 1.0 client does not know it.
        self.meaning.expects_continue && self.version == Version::Http11
    }

    /// Whether the client offers to go on with another protocol (RFC 9110 §7.8). It may be ignored.
    #[inline]
    pub fn asks_for_upgrade(&self) -> bool {
        self.asked.is(Asked::UPGRADE)
    }
}

/// Passes over a version that is ours and the end of its line.
#[inline]
fn version(lines: &mut Lines<'_>) -> Result<Version, Stop> {
    // Compared as numbers, they are compared at once.
    const HTTP_10: u64 = u64::from_le_bytes(*b"HTTP/1.0");
    const HTTP_11: u64 = u64::from_le_bytes(*b"HTTP/1.1");
    let version = match lines.rest().first_chunk().map(|version| u64::from_le_bytes(*version)) {
        Some(HTTP_11) => Version::Http11,
        Some(HTTP_10) => Version::Http10,
        _ => return Err(not_our_version(lines)),
    };
    lines.place += 8;
    lines.line_end(HttpError::RequestLine)?;
    Ok(version)
}

/// What is wrong where our version should be: the client may speak HTTP, of another kind.
#[cold]
fn not_our_version(lines: &mut Lines<'_>) -> Stop {
    let is_like = |(byte, ours): (&u8, &u8)| byte == ours || byte.is_ascii_digit() && ours.is_ascii_digit();
    if !lines.rest().iter().zip(b"HTTP/1.1").all(is_like) {
        return HttpError::RequestLine.into();
    }
    if lines.rest().len() < 8 {
        return Stop::More;
    }
    lines.place += 8;
    lines.line_end(HttpError::RequestLine).err().unwrap_or(HttpError::Version.into())
}
