//! Where bodies end.

use super::chunked::Chunked;
use super::error::HttpError;

/// How long a body is (RFC 9112 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyLength {
    /// There is none.
    None,
    /// So many bytes; at least one.
    Bytes(u64),
    /// Chunks, the last of them empty.
    Chunked,
    /// Until the connection ends: responses only.
    UntilEnd,
}

/// Finds a body in the bytes that follow its head.
#[derive(Clone, Debug)]
pub struct BodyDecoder(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Bytes(u64),
    Chunked(Box<Chunked>),
    UntilEnd,
}

/// What the next bytes are. `skip` counts bytes in front that are framing: they are to be passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyStep {
    /// `length` bytes of the body, at least one, after `skip`. Ask again with what follows.
    Data {
        /// Bytes to pass over.
        skip: usize,
        /// Bytes of the body.
        length: usize,
    },
    /// All of the input is framing, and more is needed.
    More {
        /// Bytes to pass over: all there were.
        skip: usize,
    },
    /// The body is complete; what follows is the next message.
    End {
        /// Bytes to pass over.
        skip: usize,
    },
}

impl BodyDecoder {
    /// For a body of this length.
    pub fn new(length: BodyLength) -> Self {
        Self(match length {
            BodyLength::None => Kind::Bytes(0),
            BodyLength::Bytes(length) => Kind::Bytes(length),
            BodyLength::Chunked => Kind::Chunked(Box::default()),
            BodyLength::UntilEnd => Kind::UntilEnd,
        })
    }

    /// What `input` begins with. The input is what follows the bytes of all steps so far.
    ///
    /// After an [`End`](BodyStep::End) it says so again. The end of the connection is an end only for
    /// [`BodyLength::UntilEnd`]; anywhere else the body is cut off.
    ///
    /// # Errors
    /// Malformed chunks or trailers. Nothing that follows has a meaning.
    pub fn decode(&mut self, input: &[u8]) -> Result<BodyStep, HttpError> {
        match &mut self.0 {
            Kind::Bytes(0) => Ok(BodyStep::End { skip: 0 }),
            Kind::Bytes(left) => {
                let length = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= length as u64;
                Ok(data_or_more(length))
            }
            Kind::Chunked(chunked) => chunked.decode(input),
            Kind::UntilEnd => Ok(data_or_more(input.len())),
        }
    }

    /// Bytes of the body still to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        match &self.0 {
            Kind::Bytes(left) => Some(*left),
            Kind::Chunked(_) | Kind::UntilEnd => None,
        }
    }

    /// The trailer fields of a chunked body that is complete: lines with CR LF, as they came. Empty for all others.
    pub fn trailers(&self) -> &[u8] {
        match &self.0 {
            Kind::Chunked(chunked) => chunked.trailers(),
            Kind::Bytes(_) | Kind::UntilEnd => &[],
        }
    }
}

fn data_or_more(length: usize) -> BodyStep {
    if length == 0 { BodyStep::More { skip: 0 } } else { BodyStep::Data { skip: 0, length } }
}
