//! HTTP/1.1 message framing (RFC 9112): heads and bodies of requests and responses, without I/O.
//!
//! Where the next message begins is never a matter of opinion (RFC 9112 §11.2): whatever is ambiguous is an error, with
//! the status to answer it with, and the connection is to be closed after it. Heads are read from left to right, once, and
//! every byte of one is accounted for.
//!
//! # A connection's requests
//!
//! ```
//! use annulet_proto::http1::{BodyDecoder, BodyStep, HeadLimits, RequestHead};
//!
//! let input = b"POST /notes HTTP/1.1\r\nHost: example.org\r\nContent-Length: 5\r\n\r\nhelloGET /";
//! let mut head = RequestHead::new(); // kept for the next request: parsing allocates nothing then
//! let length = head.parse(input, &HeadLimits::default())?.expect("it is all there");
//! assert_eq!((head.method(), head.path()), ("POST", "/notes"));
//!
//! let mut body = BodyDecoder::new(head.body_length());
//! let rest = &input[length..];
//! assert_eq!(body.decode(rest)?, BodyStep::Data { skip: 0, length: 5 });
//! assert_eq!(body.decode(&rest[5..])?, BodyStep::End { skip: 0 });
//! # Ok::<(), annulet_proto::http1::HttpError>(())
//! ```
//!
//! # Where it is stricter than the RFC asks
//!
//! | what | RFC 9112 | here |
//! |---|---|---|
//! | bare LF as a line end | may be taken (§2.2) | refused, unless [`HeadLimits::bare_lf`] takes it in heads |
//! | empty lines before a request | one at least should be skipped (§2.2) | one is |
//! | versions 1.2 to 1.9 | should be taken for 1.1 (RFC 9110 §2.5) | 505 |
//! | a method | any token (RFC 9110 §9.1) | any token of up to 64 bytes |
//! | an absolute target | any scheme (§3.2.2) | http and https |
//! | a path | escapes of any byte (RFC 3986 §2.1) | not of NUL, CR and LF; a percent sign is an escape's |
//! | a host | names with escapes and commas, addresses to come (RFC 3986 §3.2.2) | none of these; a port fits 16 bits |
//! | several equal Content-Length | may be taken as one (§6.3) | refused |
//! | Content-Length | any digits, with any white space around (RFC 9110 §8.6) | 63 bits, no zeros in front, and one space at most |
//! | Content-Length and Transfer-Encoding | should be refused (§6.3) | refused |
//! | `Content_Length`, `Transfer_Encoding` | fields like others | refused |
//! | a transfer coding other than chunked alone | 501 (§6.1) | 501; 400 unless chunked is the last |
//! | Transfer-Encoding in HTTP/1.0 | suspect (§6.1) | refused |
//! | a transfer coding list with empty elements | to be taken (RFC 9110 §5.6.1) | refused |
//! | line folding | may be replaced by spaces (§5.2) | refused |
//! | several Content-Type in a request | not to be sent (RFC 9110 §5.3) | refused |
//! | an expectation other than `100-continue` | may be 417 (RFC 9110 §10.1.1) | 417 |
//! | a body announced for a 204, two lengths for a 304 or HEAD | not to be sent (§6.1, §6.2) | the connection is not kept |
//! | chunk extensions | ought to be limited (§7.1.1) | 1 KiB in a line, 16 KiB in a body |
//! | framing, routing and authorising fields as trailers | to be ignored (RFC 9110 §6.5.1) | refused |

mod asked;
mod body;
mod chunked;
mod encode;
mod error;
mod field;
mod head;
mod lines;
mod meaning;
mod response;
mod scan;
mod target;

#[cfg(test)]
mod tests;

pub use asked::Asked;
pub use body::{BodyDecoder, BodyLength, BodyStep};
pub use chunked::may_be_trailer;
pub use encode::{
    LAST_CHUNK, write_chunk_size, write_content_length, write_field, write_request_line, write_status_line,
};
pub use error::HttpError;
pub use field::{Fields, is_token};
pub use head::{HeadLimits, RequestHead, Version};
pub use response::{Answers, ResponseHead};
pub use target::{TargetForm, is_host};
