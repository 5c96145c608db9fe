//! The chunked transfer coding (RFC 9112 §7.1), byte by byte: any split gives the same result, and no byte is looked at
//! twice.

use super::body::BodyStep;
use super::error::HttpError;
use super::field::{is_space, is_token_byte, is_value_byte};

/// Bytes of a chunk's first line.
const LINE_MAX: u32 = 1024;
/// Bytes of all chunk extensions of a body: they carry nothing that anybody uses, but cost as much as what does.
const EXTENSIONS_MAX: u32 = 16 * 1024;
/// Bytes of all trailers of a body.
const TRAILERS_MAX: usize = 8 * 1024;

/// Fields that frame, route or authorise a message: they come too late here (RFC 9110 §6.5.1).
const FORBIDDEN: [&[u8]; 15] = [
    b"authorization",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"host",
    b"proxy-authorization",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

/// Whether a field may stand behind a chunked body: not one that frames, routes or authorises the message, which would come
/// too late there (RFC 9110 §6.5.1).
pub fn may_be_trailer(name: &[u8]) -> bool {
    !FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}

#[derive(Clone, Debug, Default)]
pub(super) struct Chunked {
    state: State,
    /// Of the chunk: what its line says so far, then what is left of it.
    size: u64,
    /// Bytes of the chunk's line so far.
    line: u32,
    /// Bytes of extensions so far.
    extensions: u32,
    trailers: Vec<u8>,
    /// Where the trailer line begins that is being read.
    trailer: usize,
}

/// What is expected next. Names with `…Space` may also see white space, which means nothing there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The first digit of a size.
    #[default]
    Size,
    /// More digits, or what follows them.
    Digits,
    /// White space after the size, which only an extension may follow.
    SizeSpace,
    /// After `;`: an extension's name.
    NameSpace,
    Name,
    /// After an extension's name and white space.
    AfterNameSpace,
    /// After `=`: a token or a quoted string.
    ValueSpace,
    Value,
    Quoted,
    Escaped,
    /// After a value, or white space behind it.
    AfterValueSpace,
    /// The LF of a chunk's line.
    LineEnd,
    Data,
    /// The CR and the LF behind a chunk's data.
    DataEnd,
    DataEndLf,
    /// A trailer's name, or the empty line.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    /// The LF of the empty line.
    LastLf,
    Done,
}

impl Chunked {
    pub(super) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    pub(super) fn decode(&mut self, input: &[u8]) -> Result<BodyStep, HttpError> {
        let mut skip = 0;
        loop {
            match self.state {
                State::Done => return Ok(BodyStep::End { skip }),
                State::Data => {
                    let length = (input.len() - skip).min(usize::try_from(self.size).unwrap_or(usize::MAX));
                    if length == 0 {
                        return Ok(BodyStep::More { skip });
                    }
                    self.size -= length as u64;
                    if self.size == 0 {
                        self.state = State::DataEnd;
                    }
                    return Ok(BodyStep::Data { skip, length });
                }
                _ => {}
            }
            let Some(byte) = input.get(skip) else { return Ok(BodyStep::More { skip }) };
            self.state = self.after(*byte)?;
            skip += 1;
        }
    }

    fn after(&mut self, byte: u8) -> Result<State, HttpError> {
        use State::*;
        match self.state {
            Size | Digits | SizeSpace | NameSpace | Name | AfterNameSpace | ValueSpace | Value | Quoted
            | Escaped | AfterValueSpace | LineEnd => self.after_line_byte(byte),
            DataEnd if byte == b'\r' => Ok(DataEndLf),
            DataEndLf if byte == b'\n' => Ok(Size),
            Trailer | TrailerName | TrailerValue | TrailerEnd => self.after_trailer_byte(byte),
            LastLf if byte == b'\n' => Ok(Done),
            _ => Err(HttpError::Chunk),
        }
    }

    /// Within a chunk's line.
    fn after_line_byte(&mut self, byte: u8) -> Result<State, HttpError> {
        use State::*;
        self.line += 1;
        if self.line > LINE_MAX {
            return Err(HttpError::ChunkLineTooLong);
        }
        if !matches!(self.state, Size | Digits | LineEnd) {
            self.extensions += 1;
            if self.extensions > EXTENSIONS_MAX {
                return Err(HttpError::ChunkLineTooLong);
            }
        }
        match (self.state, byte) {
            (Size | Digits, byte) if byte.is_ascii_hexdigit() => {
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                self.size = self.size.checked_mul(16).ok_or(HttpError::Chunk)? | digit;
                Ok(Digits)
            }
            (Digits | Name | Value | AfterValueSpace, b'\r') => Ok(LineEnd),
            (Digits | SizeSpace | Name | AfterNameSpace | Value | AfterValueSpace, b';') => Ok(NameSpace),
            (Digits | SizeSpace, byte) if is_space(byte) => Ok(SizeSpace),
            (NameSpace, byte) if is_space(byte) => Ok(NameSpace),
            (NameSpace | Name, byte) if is_token_byte(byte) => Ok(Name),
            (Name | AfterNameSpace, byte) if is_space(byte) => Ok(AfterNameSpace),
            (Name | AfterNameSpace, b'=') => Ok(ValueSpace),
            (ValueSpace, byte) if is_space(byte) => Ok(ValueSpace),
            (ValueSpace, b'"') => Ok(Quoted),
            (ValueSpace | Value, byte) if is_token_byte(byte) => Ok(Value),
            (Value | AfterValueSpace, byte) if is_space(byte) => Ok(AfterValueSpace),
            (Quoted, b'"') => Ok(AfterValueSpace),
            (Quoted, b'\\') => Ok(Escaped),
            (Quoted | Escaped, byte) if is_value_byte(byte) => Ok(Quoted),
            (LineEnd, b'\n') => {
                self.line = 0;
                Ok(if self.size == 0 { Trailer } else { Data })
            }
            _ => Err(HttpError::Chunk),
        }
    }

    fn after_trailer_byte(&mut self, byte: u8) -> Result<State, HttpError> {
        use State::*;
        let next = match (self.state, byte) {
            (Trailer, b'\r') => return Ok(LastLf),
            (Trailer | TrailerName, byte) if is_token_byte(byte) => TrailerName,
            (TrailerName, b':') => {
                let name = &self.trailers[self.trailer..];
                if !may_be_trailer(name) {
                    return Err(HttpError::Trailer);
                }
                TrailerValue
            }
            (TrailerValue, b'\r') => TrailerEnd,
            (TrailerValue, byte) if is_value_byte(byte) => TrailerValue,
            (TrailerEnd, b'\n') => Trailer,
            _ => return Err(HttpError::Trailer),
        };
        if self.trailers.len() >= TRAILERS_MAX {
            return Err(HttpError::TrailersTooLarge);
        }
        self.trailers.push(byte);
        if next == Trailer {
            self.trailer = self.trailers.len();
        }
        Ok(next)
    }
}
