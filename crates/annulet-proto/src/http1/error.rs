//! What is wrong with a message.

/// Why a message is refused. The bytes behind it mean nothing any more: answer with [`status`](Self::status) if nothing was
/// answered yet, and close. There is no point in trying again with the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The first line is not a method, a target and a version with one space between them.
    #[error("malformed request line")]
    RequestLine,
    /// The first line of a response is not a version and a status.
    #[error("malformed status line")]
    StatusLine,
    /// The target has no form that its method allows, or characters that no target has.
    #[error("malformed request target")]
    Target,
    /// The target is longer than the limit.
    #[error("request target too long")]
    TargetTooLong,
    /// A version other than 1.0 and 1.1.
    #[error("HTTP version not supported")]
    Version,
    /// A field line without a name, with a space before the colon, folded, or with control characters.
    #[error("malformed header field")]
    Field,
    /// A line ends with LF or CR alone.
    #[error("a line does not end with CR LF")]
    LineEnd,
    /// The head is longer than the limit.
    #[error("request head too large")]
    HeadTooLarge,
    /// There are more fields than the limit.
    #[error("too many header fields")]
    TooManyFields,
    /// None in HTTP/1.1, several, or one that names no host.
    #[error("missing, repeated or malformed Host")]
    Host,
    /// Not one decimal number that fits 63 bits, or not written in the one usual way.
    #[error("malformed or repeated Content-Length")]
    ContentLength,
    /// Not a list that ends with chunked, or in HTTP/1.0.
    #[error("malformed Transfer-Encoding")]
    TransferEncoding,
    /// A transfer coding other than chunked.
    #[error("transfer coding not supported")]
    TransferCoding,
    /// Content-Length and Transfer-Encoding contradict each other.
    #[error("both Content-Length and Transfer-Encoding")]
    TwoLengths,
    /// Several of a field that can be there once.
    #[error("repeated Content-Type")]
    ContentType,
    /// An expectation other than `100-continue`.
    #[error("expectation not supported")]
    Expectation,
    /// A chunk's size, extension or end is malformed.
    #[error("malformed chunk")]
    Chunk,
    /// Chunk extensions or leading zeros without end.
    #[error("chunk line too long")]
    ChunkLineTooLong,
    /// A trailer line is malformed, or names a field that frames or routes messages.
    #[error("malformed or forbidden trailer field")]
    Trailer,
    /// The trailers are longer than the limit.
    #[error("trailers too large")]
    TrailersTooLarge,
}

impl HttpError {
    /// The status to answer a request with (RFC 9110 §15).
    pub fn status(self) -> u16 {
        match self {
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLarge | Self::TooManyFields | Self::TrailersTooLarge => 431,
            Self::TransferCoding => 501,
            Self::Version => 505,
            _ => 400,
        }
    }
}
