//! Text lines, ended by LF or CR LF.
//!
//! # What counts as the line end
//!
//! A line ends at its first LF. When trimming is on (the default) one CR directly before that LF belongs to the line
//! end too; when it is off the CR is an ordinary byte of the line. The limit counts the bytes of the line *without*
//! its line end:
//!
//! | input | trimming on | trimming off |
//! |---|---|---|
//! | `abc\n` | `abc`, 3 bytes | `abc`, 3 bytes |
//! | `abc\r\n` | `abc`, 3 bytes | `abc\r`, 4 bytes |
//! | `abc\r\r\n` | `abc\r`, 4 bytes | `abc\r\r`, 5 bytes |
//! | `a\rbc\n` | `a\rbc`, 4 bytes | `a\rbc`, 4 bytes |
//! | `abc`, end of stream | `abc`, 3 bytes, unterminated | the same |
//! | `abc\r`, end of stream | `abc`, 3 bytes, unterminated | `abc\r`, 4 bytes, unterminated |
//!
//! Only *one* CR is trimmed, because a line end of any length would let a peer send carriage returns without limit. A
//! grammar that ignores all trailing ones, as [`Command::parse`](crate::command::Command::parse) does, drops the rest
//! itself; they have been counted by then.
//!
//! # Over the limit
//!
//! [`LineError::TooLong`] is reported by the first byte that makes it certain, whether or not a line feed ever comes.
//! With a limit of 3 that is the fourth byte of `abcd`, but the fifth of `abc\r` + anything but LF when trimming is
//! on. What happens next is a choice: [`Oversize`].

mod error;
#[cfg(test)]
mod tests;

use bytes::{Buf, Bytes, BytesMut};

pub use self::error::{LineEncodeError, LineError};
use crate::codec::{Decoder, Encoder};
use crate::search::find_byte;

/// The limit of [`Lines::default`], in bytes.
pub const LINE_BYTES_MAX_DEFAULT: usize = 1024;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    /// The text, without its line end. Any bytes but LF; not necessarily UTF-8. Shares the memory of the input buffer.
    pub bytes: Bytes,
    /// Whether a line feed ended it. `false` only for the last line of a stream that ended without one: the peer may
    /// have finished, or been cut off in the middle.
    pub terminated: bool,
}

impl AsRef<[u8]> for Line {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What happens after a line over the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Oversize {
    /// The decoder answers [`LineError::TooLong`] for ever and consumes nothing more; the caller closes.
    #[default]
    Poison,
    /// The decoder answers [`LineError::TooLong`] once, throws the line away up to and including its line feed, and goes
    /// on with the next. What is thrown away is not kept meanwhile, however long it is.
    Skip,
}

/// Cuts a stream into [`Line`]s, and writes lines.
///
/// See the [module](self) for what counts as a line end and what the limit counts.
///
/// ```
/// use annulet_proto::codec::Decoder;
/// use annulet_proto::lines::{LineError, Lines, Oversize};
/// use bytes::BytesMut;
///
/// let mut lines = Lines::new(4).oversize(Oversize::Skip);
/// let mut input = BytesMut::from("four\r\nfive!\nend");
///
/// assert_eq!(lines.decode(&mut input)?.unwrap().bytes, "four");
/// assert_eq!(lines.decode(&mut input), Err(LineError::TooLong { limit: 4 }));
/// assert_eq!(lines.decode(&mut input), Ok(None)); // "end" may go on
///
/// let last = lines.decode_end(&mut input)?.unwrap();
/// assert_eq!((&last.bytes[..], last.terminated), (&b"end"[..], false));
/// # Ok::<(), LineError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Lines {
    limit: usize,
    trim_carriage_return: bool,
    oversize: Oversize,
    state: State,
}

/// Where the decoder stands in the stream.
#[derive(Clone, Copy, Debug)]
enum State {
    /// In a line, of whose bytes the first `searched` hold no line feed.
    Searching { searched: usize },
    /// In a line that has been reported as too long: nothing counts until its line feed.
    Skipping,
    /// Behind an error that is not recovered from.
    Poisoned,
}

/// What a search found at the front of the input.
enum Found {
    /// A line: the length of its text, and that including the line end.
    Line { text: usize, with_end: usize },
    /// Too long for certain; the first `searched` bytes belong to that line and hold no line feed.
    TooLong { searched: usize },
    /// No line end yet, and one that keeps the limit may still come.
    Incomplete,
}

impl Lines {
    /// Lines of at most `limit` bytes, line end not counted; CR LF is accepted as a line end; an over-long line poisons
    /// the stream. A limit of 0 admits empty lines only.
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            trim_carriage_return: true,
            oversize: Oversize::Poison,
            state: State::Searching { searched: 0 },
        }
    }

    /// Whether one CR before the LF belongs to the line end (the default) or to the line.
    #[must_use]
    pub const fn trim_carriage_return(mut self, trim: bool) -> Self {
        self.trim_carriage_return = trim;
        self
    }

    /// What happens after a line over the limit; [`Oversize::Poison`] by default.
    #[must_use]
    pub const fn oversize(mut self, oversize: Oversize) -> Self {
        self.oversize = oversize;
        self
    }

    /// The most bytes a line may have, its line end not counted.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Looks for the end of the line at the front of `input`, of which the first `searched` bytes are known to hold
    /// no line feed.
    fn find(&self, input: &[u8], searched: usize) -> Found {
        assert!(searched <= input.len(), "input was taken from the decoder's buffer between two calls");
        // A line feed behind the window is too late, so a flood without one is refused without reading all of it.
        let window = &input[..input.len().min(self.buffered_max())];
        match find_byte(b'\n', &window[searched..]) {
            Some(index) => {
                let line_feed = searched + index;
                match self.text_len(&window[..line_feed]) {
                    text if text <= self.limit => Found::Line { text, with_end: line_feed + 1 },
                    _ => Found::TooLong { searched: line_feed },
                }
            }
            // A CR in the last place is given the benefit of the doubt: the LF may be the next byte to arrive.
            None if self.text_len(window) > self.limit => Found::TooLong { searched: window.len() },
            None => Found::Incomplete,
        }
    }

    /// Length of `line` without the CR of its line end, if that one is trimmed.
    fn text_len(&self, line: &[u8]) -> usize {
        line.len() - usize::from(self.trim_carriage_return && line.last() == Some(&b'\r'))
    }

    fn too_long(&self) -> LineError {
        LineError::TooLong { limit: self.limit }
    }
}

/// Lines of at most [`LINE_BYTES_MAX_DEFAULT`] bytes, otherwise as [`Lines::new`].
impl Default for Lines {
    fn default() -> Self {
        Self::new(LINE_BYTES_MAX_DEFAULT)
    }
}

/// Recovers from [`LineError::TooLong`] with [`Oversize::Skip`], from nothing otherwise. At end of stream an
/// unterminated line is delivered as such, not refused.
///
/// # Panics
///
/// When bytes that had been searched are gone from `input`, which only the caller can cause.
impl Decoder for Lines {
    type Frame = Line;
    type Error = LineError;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Line>, LineError> {
        let searched = match self.state {
            State::Poisoned => return Err(self.too_long()),
            State::Searching { searched } => searched,
            State::Skipping => match find_byte(b'\n', input) {
                Some(line_feed) => {
                    input.advance(line_feed + 1);
                    0
                }
                None => {
                    input.clear();
                    return Ok(None);
                }
            },
        };
        match self.find(input, searched) {
            Found::Line { text, with_end } => {
                self.state = State::Searching { searched: 0 };
                let mut line = input.split_to(with_end);
                line.truncate(text);
                Ok(Some(Line { bytes: line.freeze(), terminated: true }))
            }
            Found::Incomplete => {
                self.state = State::Searching { searched: input.len() };
                Ok(None)
            }
            Found::TooLong { searched } => {
                match self.oversize {
                    Oversize::Poison => self.state = State::Poisoned,
                    Oversize::Skip => {
                        self.state = State::Skipping;
                        input.advance(searched);
                    }
                }
                Err(self.too_long())
            }
        }
    }

    fn decode_end(&mut self, input: &mut BytesMut) -> Result<Option<Line>, LineError> {
        if let Some(line) = self.decode(input)? {
            return Ok(Some(line));
        }
        self.state = State::Searching { searched: 0 };
        if input.is_empty() {
            return Ok(None);
        }
        let text = self.text_len(input);
        debug_assert!(text <= self.limit, "an over-long line was taken for an incomplete one");
        let mut line = input.split();
        line.truncate(text);
        Ok(Some(Line { bytes: line.freeze(), terminated: false }))
    }

    /// One byte over the limit, and one more when a CR could belong to the line end.
    fn buffered_max(&self) -> usize {
        self.limit.saturating_add(1 + usize::from(self.trim_carriage_return))
    }
}

/// Writes the bytes and an LF, never a CR.
///
/// The limit is not applied: it protects against what peers send, and an answer may well be longer than the line it
/// answers. A CR at the end of the text is written as it is, and a reader that trims will take it for part of the
/// line end.
///
/// ```
/// use annulet_proto::codec::Encoder;
/// use annulet_proto::lines::{LineEncodeError, Lines};
///
/// let mut lines = Lines::default();
/// let mut output = Vec::new();
/// lines.encode("hello", &mut output)?;
/// assert_eq!(output, b"hello\n");
///
/// let forged = lines.encode("hello\nQUIT", &mut output);
/// assert_eq!(forged, Err(LineEncodeError::LineFeedInside { index: 5 }));
/// assert_eq!(output, b"hello\n");
/// # Ok::<(), LineEncodeError>(())
/// ```
impl<T: AsRef<[u8]>> Encoder<T> for Lines {
    type Error = LineEncodeError;

    fn encode(&mut self, item: T, output: &mut Vec<u8>) -> Result<(), LineEncodeError> {
        let text = item.as_ref();
        if let Some(index) = find_byte(b'\n', text) {
            return Err(LineEncodeError::LineFeedInside { index });
        }
        output.reserve(text.len() + 1);
        output.extend_from_slice(text);
        output.push(b'\n');
        Ok(())
    }
}
