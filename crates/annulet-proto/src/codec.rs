//! The contract between a byte stream and the messages in it.
//!
//! The owner of the stream keeps one [`BytesMut`], appends what arrives to its back, and asks the decoder for
//! frames, which the decoder takes from the front:
//!
//! ```text
//!            ┌──────────────── input ────────────────┐
//!   taken by │ looked at, incomplete │ not looked at │ ← appended by
//!   decoder  └───────────────────────────────────────┘   the owner
//! ```
//!
//! ```
//! use annulet_proto::codec::Decoder;
//! use annulet_proto::lines::{LineError, Lines};
//! use bytes::BytesMut;
//!
//! let mut decoder = Lines::new(1024);
//! let mut input = BytesMut::new();
//! let mut seen = Vec::new();
//!
//! for piece in ["one\ntw", "o\nthr", "ee"] {
//!     input.extend_from_slice(piece.as_bytes());
//!     while let Some(line) = decoder.decode(&mut input)? {
//!         seen.push(line.bytes);
//!     }
//! }
//! while let Some(line) = decoder.decode_end(&mut input)? {
//!     seen.push(line.bytes);
//! }
//!
//! assert_eq!(seen, ["one", "two", "three"]);
//! # Ok::<(), LineError>(())
//! ```

use std::error::Error;

use bytes::BytesMut;

/// Cuts a stream of bytes into frames.
///
/// One decoder serves one direction of one connection, together with one input buffer. The caller owes it this:
///
/// - `input` holds every byte of the stream that has not been consumed, in order. Between two calls the caller only
///   appends. Taking bytes from the front, or handing in another buffer, loses frame limits; a decoder that notices
///   panics.
/// - `decode` is called until it answers `Ok(None)` before more input is awaited. After `Err` too: frames may follow.
/// - At end of stream `decode_end` is called until it answers `Ok(None)`.
///
/// An implementation owes this in return:
///
/// - **Any split**: cutting the stream elsewhere changes neither frames nor errors nor their order.
/// - **Linear**: it remembers how far it has looked; calls for one frame, whatever their number, look at each byte a
///   bounded number of times.
/// - **Bounded**: see [`buffered_max`](Self::buffered_max). It does not reserve memory because a peer announced a
///   length.
/// - **Errors**: its documentation says which errors it recovers from, by going on behind the damage; reporting one
///   consumes at least one byte. After any other error it answers the same error for ever and consumes nothing, so
///   that a stream out of step is never read as if it were in step.
/// - **No panic** on any bytes.
pub trait Decoder {
    /// One message, owned: it may outlive the input buffer.
    ///
    /// Frames made of [`Bytes`](bytes::Bytes) share the memory of the input buffer instead of copying. While one is
    /// alive the buffer behind it stays allocated as a whole: copy what is kept for long. When all frames are dropped
    /// before more input is appended, the buffer is reused and decoding allocates nothing in the steady state.
    type Frame;

    /// What can be wrong with the bytes of a peer.
    type Error: Error + 'static;

    /// Takes the next frame from the front of `input`; `Ok(None)` means that more bytes are needed.
    ///
    /// # Errors
    ///
    /// The bytes break the framing or one of its limits. Reported as soon as it is certain, without waiting for the
    /// rest of the frame. Calling again is allowed and either goes on behind the damage or answers the same.
    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Self::Frame>, Self::Error>;

    /// The same once the stream has ended and nothing will be appended: first the complete frames still in `input`,
    /// then what the framing makes of an incomplete one, then `Ok(None)`.
    ///
    /// # Errors
    ///
    /// Those of [`decode`](Self::decode), and a frame cut short where the framing cannot deliver it.
    fn decode_end(&mut self, input: &mut BytesMut) -> Result<Option<Self::Frame>, Self::Error>;

    /// The number of bytes that always suffices for progress: with at least this many in `input`, `decode` consumes
    /// some or answers an error. So after `Ok(None)` fewer than this remain buffered.
    ///
    /// A caller that caps its buffer must leave room for this many bytes, or the connection could stall.
    fn buffered_max(&self) -> usize;
}

/// Turns messages of type `T` into bytes.
///
/// ```
/// use annulet_proto::codec::Encoder;
/// use annulet_proto::length_prefixed::LengthPrefixed;
///
/// let mut output = Vec::new();
/// LengthPrefixed::new().encode("hi", &mut output)?;
/// assert_eq!(output, b"\0\0\0\x02hi");
/// # Ok::<(), annulet_proto::length_prefixed::LengthEncodeError>(())
/// ```
pub trait Encoder<T> {
    /// Why an item has no encoding. The fault is the caller's, not the peer's.
    type Error: Error + 'static;

    /// Appends `item` to `output`, whose present contents stay as they are.
    ///
    /// # Errors
    ///
    /// The item cannot be framed. Nothing was appended, and the encoder is good for the next item.
    fn encode(&mut self, item: T, output: &mut Vec<u8>) -> Result<(), Self::Error>;
}
