//! Heads of responses, as a client reads them.

use std::ops::Range;

use super::body::BodyLength;
use super::error::HttpError;
use super::field::{Field, Fields};
use super::head::{HeadLimits, Version};
use super::lines::{Lines, Stop};
use super::meaning::Meaning;

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
    reason: Vec<u8>,
    /// Everything behind the first line.
    bytes: Vec<u8>,
    fields: Vec<Field>,
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
            reason: Vec::new(),
            bytes: Vec::new(),
            fields: Vec::new(),
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
        let stop = match self.read(input, limits, answers) {
            Ok(length) => return Ok(Some(length)),
            Err(stop) => stop,
        };
        self.forget();
        match stop {
            Stop::Refused(error) => Err(error),
            Stop::More if input.len() >= limits.bytes_max() => Err(HttpError::HeadTooLarge),
            Stop::More => Ok(None),
        }
    }

    /// Makes it an empty one that keeps its memory.
    #[cold]
    fn forget(&mut self) {
        let (mut reason, mut bytes) = (std::mem::take(&mut self.reason), std::mem::take(&mut self.bytes));
        let mut fields = std::mem::take(&mut self.fields);
        reason.clear();
        bytes.clear();
        fields.clear();
        *self = Self { reason, bytes, fields, ..Self::new() };
    }

    /// The length of the head that `input` begins with, of which everything is noted.
    fn read(&mut self, input: &[u8], limits: &HeadLimits, answers: Answers) -> Result<usize, Stop> {
        let mut lines = Lines::new(input, limits);
        let (version, status) = version_and_status(&mut lines)?;
        let reason = reason(&mut lines)?;
        let reason = &lines.input[reason];
        let fields = lines.place;
        let mut meaning = Meaning::new();
        lines.fields(&mut self.fields, limits.fields, &mut meaning)?;
        let announced = meaning.response_body(version);
        // Where the fields contradict what there can be, the next response may begin anywhere.
        let (body, is_clear) = match (answers, status) {
            (Answers::Connect, 200..300) => (BodyLength::UntilEnd, true),
            (_, 100..200) => (BodyLength::None, true),
            (_, 204) => (BodyLength::None, matches!(announced, Ok(BodyLength::None | BodyLength::UntilEnd))),
            (_, 304) | (Answers::Head, _) => (BodyLength::None, announced.is_ok()),
            _ => (announced?, true),
        };
        self.body = body;
        self.length = meaning.length();
        self.keeps_alive = is_clear && meaning.keeps_alive(version) && body != BodyLength::UntilEnd;
        (self.status, self.version) = (status, version);
        self.reason.clear();
        self.reason.extend_from_slice(reason);
        self.bytes.clear();
        self.bytes.extend_from_slice(&lines.input[fields..lines.place]);
        Ok(lines.place)
    }

    /// Bytes of memory that it holds, whether it is empty or not: as many as its largest took.
    pub fn capacity(&self) -> usize {
        self.reason.capacity() + self.bytes.capacity() + self.fields.capacity() * size_of::<Field>()
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
        &self.reason
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
        self.fields().first(name)
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

/// Passes over `HTTP/1.x 200`.
fn version_and_status(lines: &mut Lines<'_>) -> Result<(Version, u16), Stop> {
    let rest = lines.rest();
    let is_like = |(byte, like): (&u8, &u8)| byte == like || byte.is_ascii_digit() && like.is_ascii_digit();
    if !rest.iter().zip(b"HTTP/1.1 200").all(is_like) {
        return Err(HttpError::StatusLine.into());
    }
    let Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b' ', status @ ..]) =
        rest.first_chunk::<12>()
    else {
        return Err(Stop::More);
    };
    let version = match (major, minor) {
        (b'1', b'1') => Version::Http11,
        (b'1', b'0') => Version::Http10,
        _ => return Err(HttpError::Version.into()),
    };
    let status = status.iter().fold(0, |number, digit| 10 * number + u16::from(digit - b'0'));
    if status < 100 {
        return Err(HttpError::StatusLine.into());
    }
    lines.place += 12;
    Ok((version, status))
}

/// Passes over a space and a reason, of which some servers leave out both (RFC 9112 §4), and the end of the line. Returns
/// where the reason is.
fn reason(lines: &mut Lines<'_>) -> Result<Range<usize>, Stop> {
    match lines.rest() {
        [b' ', ..] => lines.place += 1,
        [] | [b'\r' | b'\n', ..] => {}
        _ => return Err(HttpError::StatusLine.into()),
    }
    let start = lines.place;
    Ok(start..lines.value(HttpError::StatusLine)?)
}
