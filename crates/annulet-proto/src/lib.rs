//! Framing without I/O: where one message ends and the next begins, as functions of bytes.
//!
//! TCP hands over a stream of bytes cut anywhere. This crate finds the messages in it, and writes messages back
//! as bytes. It knows no socket, no clock and no runtime: input is bytes, output is frames, so the same code
//! serves a server, a unit test, a fuzzer and a simulator, and any bug replays from the bytes alone.
//!
//! # Tour
//!
//! | module | what it holds |
//! |---|---|
//! | [`codec`] | [`Decoder`](codec::Decoder) and [`Encoder`](codec::Encoder), the contract every framing keeps |
//! | [`lines`] | text lines ended by LF or CR LF, with a maximum length |
//! | [`length_prefixed`] | binary messages behind a length of 1, 2, 3, 4 or 8 bytes |
//! | [`command`] | the `PING` / `ECHO` / `QUIT` grammar and its replies |
//! | [`http1`] | HTTP/1.1 heads and bodies |
//! | [`upper`] | the answer of the upper-casing line server |
//!
//! # Promises
//!
//! - **Any split gives the same frames.** However the stream is cut into pieces, a decoder yields the same frames
//!   and the same errors in the same order.
//! - **Linear work.** A byte is searched once, even when a line arrives one byte at a time.
//! - **Bounded memory.** Every decoder has a limit on by default, says through
//!   [`buffered_max`](codec::Decoder::buffered_max) how much must be buffered at most, and never sets memory
//!   aside because a peer announced a length.
//! - **A peer cannot cause a panic.** Whatever bytes arrive, the answer is a frame, "more bytes needed" or a typed
//!   error.
//!
//! # Example
//!
//! A command server is these lines plus a socket:
//!
//! ```
//! use annulet_proto::codec::Decoder;
//! use annulet_proto::command::{Command, Reply};
//! use annulet_proto::lines::Lines;
//! use bytes::BytesMut;
//!
//! let mut lines = Lines::new(1024);
//! let mut input = BytesMut::from("PING\r\nECHO two words\nQU"); // the rest has not arrived
//! let mut output = Vec::new();
//!
//! Reply::Ready.write_to(&mut output);
//! while let Some(line) = lines.decode(&mut input)? {
//!     Command::parse(&line.bytes).reply().write_to(&mut output);
//! }
//!
//! assert_eq!(output, b"READY\nPONG\nOK two words\n");
//! assert_eq!(&input[..], b"QU");
//! # Ok::<(), annulet_proto::lines::LineError>(())
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod codec;
pub mod command;
pub mod http1;
pub mod length_prefixed;
pub mod lines;
mod search;
pub mod upper;
