//! What can be wrong with a length.

use thiserror::Error;

/// Why [`LengthPrefixed`](super::LengthPrefixed) gave up on a stream. The fault is the peer's; the stream is out of
/// step and cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LengthError {
    /// The peer announced a payload larger than the maximum. Reported as soon as the prefix is there.
    #[error("payload of {declared} bytes announced, more than the maximum of {maximum}")]
    TooLong {
        /// The length in the prefix, in bytes.
        declared: u64,
        /// The most bytes a payload may have.
        maximum: usize,
    },
    /// The stream ended inside a prefix.
    #[error("stream ended after {arrived} of {width} bytes of a length prefix")]
    TruncatedPrefix {
        /// Bytes of the prefix that arrived, at least 1.
        arrived: usize,
        /// Bytes a prefix has.
        width: usize,
    },
    /// The stream ended inside a payload.
    #[error("stream ended after {arrived} of {declared} bytes of a payload")]
    TruncatedPayload {
        /// Bytes of the payload that arrived; may be 0.
        arrived: usize,
        /// The length in the prefix, in bytes.
        declared: usize,
    },
}

/// Why [`LengthPrefixed`](super::LengthPrefixed) refused to write a payload. The fault is the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LengthEncodeError {
    /// The payload is larger than the configured maximum.
    #[error("payload of {length} bytes, more than the maximum of {maximum}")]
    OverMaximum {
        /// Bytes of the payload.
        length: usize,
        /// The most bytes a payload may have.
        maximum: usize,
    },
    /// The maximum would allow the payload, but its length does not fit into the prefix.
    #[error("payload of {length} bytes, whose length does not fit into a prefix of {width} bytes")]
    OverWidth {
        /// Bytes of the payload.
        length: usize,
        /// Bytes a prefix has.
        width: usize,
    },
}
