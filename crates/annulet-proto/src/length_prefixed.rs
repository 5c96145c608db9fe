//! Binary messages, each behind its length.
//!
//! ```text
//!   ┌──────────────┬─────────────────────┬──────────────┬──── …
//!   │ length n     │ payload             │ length       │
//!   │ 1,2,3,4,8 B  │ n bytes, n ≥ 0      │              │
//!   └──────────────┴─────────────────────┴──────────────┴──── …
//! ```
//!
//! The length counts the payload only, not itself. By default it is 4 bytes in network byte order and a payload has
//! at most [`PAYLOAD_BYTES_MAX_DEFAULT`] bytes.
//!
//! A length is a promise of the peer. One over the maximum is refused as soon as the prefix is there; one within it
//! sets no memory aside: the input buffer grows with the bytes that arrive, as its owner appends them.

mod error;
mod prefix;
#[cfg(test)]
mod tests;

use bytes::{Buf, Bytes, BytesMut};

pub use self::error::{LengthEncodeError, LengthError};
pub use self::prefix::{ByteOrder, PrefixWidth};
use crate::codec::{Decoder, Encoder};

/// The maximum payload of [`LengthPrefixed::new`], in bytes: 1 MiB.
pub const PAYLOAD_BYTES_MAX_DEFAULT: usize = 1 << 20;

/// Cuts a stream into length-prefixed payloads, and writes them.
///
/// A frame is the payload without its prefix, as [`Bytes`] that share the memory of the input buffer.
///
/// ```
/// use annulet_proto::codec::{Decoder, Encoder};
/// use annulet_proto::length_prefixed::{ByteOrder, LengthError, LengthPrefixed, PrefixWidth};
/// use bytes::BytesMut;
///
/// let mut codec = LengthPrefixed::new()
///     .width(PrefixWidth::U16)
///     .byte_order(ByteOrder::Little)
///     .payload_max(500);
///
/// let mut output = Vec::new();
/// codec.encode(b"abc", &mut output).unwrap();
/// assert_eq!(output, b"\x03\x00abc");
///
/// let mut input = BytesMut::from(&output[..]);
/// input.extend_from_slice(b"\xf5\x01"); // 501
/// assert_eq!(codec.decode(&mut input)?.unwrap(), "abc");
/// assert_eq!(codec.decode(&mut input), Err(LengthError::TooLong { declared: 501, maximum: 500 }));
/// # Ok::<(), LengthError>(())
/// ```
#[derive(Clone, Debug)]
pub struct LengthPrefixed {
    width: PrefixWidth,
    order: ByteOrder,
    payload_max: usize,
    /// Set by the first error, and answered from then on: where the next prefix would be is unknown.
    failed: Option<LengthError>,
}

impl LengthPrefixed {
    /// A 4-byte big-endian length and payloads of at most [`PAYLOAD_BYTES_MAX_DEFAULT`] bytes.
    pub const fn new() -> Self {
        Self {
            width: PrefixWidth::U32,
            order: ByteOrder::Big,
            payload_max: PAYLOAD_BYTES_MAX_DEFAULT,
            failed: None,
        }
    }

    /// How many bytes the length takes.
    #[must_use]
    pub const fn width(mut self, width: PrefixWidth) -> Self {
        self.width = width;
        self
    }

    /// Which byte of the length comes first.
    #[must_use]
    pub const fn byte_order(mut self, order: ByteOrder) -> Self {
        self.order = order;
        self
    }

    /// The most bytes a payload may have, in both directions. A prefix too narrow for it lowers the real maximum.
    #[must_use]
    pub const fn payload_max(mut self, bytes: usize) -> Self {
        self.payload_max = bytes;
        self
    }

    /// The length in the prefix at the front of `input`, checked against the maximum; `None` while the prefix is
    /// incomplete.
    fn declared(&self, input: &[u8]) -> Result<Option<usize>, LengthError> {
        let Some(prefix) = input.get(..self.width.bytes()) else { return Ok(None) };
        let declared = self.order.read(prefix);
        match usize::try_from(declared) {
            Ok(length) if length <= self.payload_max => Ok(Some(length)),
            _ => Err(LengthError::TooLong { declared, maximum: self.payload_max }),
        }
    }

    fn take(&self, input: &mut BytesMut) -> Result<Option<Bytes>, LengthError> {
        match self.declared(input)? {
            Some(length) if input.len() - self.width.bytes() >= length => {
                input.advance(self.width.bytes());
                Ok(Some(input.split_to(length).freeze()))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// What the stream lacked when it ended with `input`, which holds no complete message but at least one byte.
    fn truncated(&self, input: &[u8]) -> LengthError {
        let width = self.width.bytes();
        match self.declared(input) {
            Ok(Some(declared)) => LengthError::TruncatedPayload { arrived: input.len() - width, declared },
            Ok(None) => LengthError::TruncatedPrefix { arrived: input.len(), width },
            Err(refused) => refused,
        }
    }

    fn fail(&mut self, error: LengthError) -> LengthError {
        self.failed = Some(error);
        error
    }
}

impl Default for LengthPrefixed {
    fn default() -> Self {
        Self::new()
    }
}

/// Recovers from no error.
impl Decoder for LengthPrefixed {
    type Frame = Bytes;
    type Error = LengthError;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, LengthError> {
        match self.failed {
            Some(error) => Err(error),
            None => self.take(input).map_err(|error| self.fail(error)),
        }
    }

    fn decode_end(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, LengthError> {
        match self.decode(input)? {
            None if !input.is_empty() => Err(self.fail(self.truncated(input))),
            payload => Ok(payload),
        }
    }

    /// The prefix and the largest payload.
    fn buffered_max(&self) -> usize {
        let fits = usize::try_from(self.width.length_max()).unwrap_or(usize::MAX);
        self.payload_max.min(fits).saturating_add(self.width.bytes())
    }
}

/// Writes the length and the payload. Refuses what the decoder with the same settings would refuse, and what the
/// prefix cannot express.
impl<T: AsRef<[u8]>> Encoder<T> for LengthPrefixed {
    type Error = LengthEncodeError;

    fn encode(&mut self, item: T, output: &mut Vec<u8>) -> Result<(), LengthEncodeError> {
        let payload = item.as_ref();
        let length = payload.len();
        if length > self.payload_max {
            return Err(LengthEncodeError::OverMaximum { length, maximum: self.payload_max });
        }
        if length as u64 > self.width.length_max() {
            return Err(LengthEncodeError::OverWidth { length, width: self.width.bytes() });
        }
        output.reserve(self.width.bytes() + length);
        self.order.write(length as u64, self.width, output);
        output.extend_from_slice(payload);
        Ok(())
    }
}
