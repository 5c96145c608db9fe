//! The sample protocols.

mod command;
mod echo;
mod http;
mod lines;

use bytes::Bytes;

pub use command::{COMMAND_LINE_MAX, command};
pub use echo::echo;
pub use http::http;
pub use lines::{UPPER_LINE_MAX, lines};

/// A text and its line feed, made once and sent to everybody.
pub fn line(text: &str) -> Bytes {
    Bytes::from(format!("{text}\n"))
}
