//! The sample protocols.

mod command;
mod echo;
mod http;
mod lines;

use bytes::Bytes;

pub(crate) use command::{COMMAND_LINE_MAX, command};
pub(crate) use echo::echo;
pub(crate) use http::http;
pub(crate) use lines::{UPPER_LINE_MAX, lines};

/// A text and its line feed, made once and sent to everybody.
pub(crate) fn line(text: &str) -> Bytes {
    Bytes::from(format!("{text}\n"))
}
