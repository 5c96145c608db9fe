//! The command grammar of the sample server: `PING`, `ECHO`, `QUIT`.
//!
//! | line | command | reply |
//! |---|---|---|
//! | (on connect) | | `READY` |
//! | `PING` | [`Command::Ping`] | `PONG` |
//! | `ECHO` + space + text | [`Command::Echo`] | `OK` + space + text |
//! | `QUIT` | [`Command::Quit`] | `BYE`, then close |
//! | anything else | [`Command::Unknown`] | `ERR unknown command` |
//! | (over the limit) | | `ERR line too long`, then close |
//!
//! Commands are exact and case-sensitive: `ping`, `PING ` and ` PING` are unknown. The text of `ECHO` is any bytes,
//! kept verbatim, leading and trailing spaces included; it may be empty, but the space before it may not be missing.
//! All carriage returns at the end of the line are ignored.

mod reply;

pub use self::reply::Reply;
use crate::search::find_byte;

/// One command, as read from a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command<'a> {
    /// Asks for a sign of life.
    Ping,
    /// Asks for this text back. Any bytes but LF; may be empty.
    Echo(&'a [u8]),
    /// Asks for the connection to be closed.
    Quit,
    /// Not a command.
    Unknown,
}

impl<'a> Command<'a> {
    /// Reads a command from a line without its line feed. Nothing is copied.
    ///
    /// Trailing carriage returns are ignored, however many. A "line" with a line feed in it is more than one line
    /// and therefore [`Unknown`](Self::Unknown), so that an echoed text never breaks the framing of the reply.
    ///
    /// ```
    /// use annulet_proto::command::Command;
    ///
    /// assert_eq!(Command::parse(b"PING\r"), Command::Ping);
    /// assert_eq!(Command::parse(b"ECHO  two  words "), Command::Echo(b" two  words "));
    /// assert_eq!(Command::parse(b"ECHO "), Command::Echo(b""));
    /// assert_eq!(Command::parse(b"ECHO"), Command::Unknown);
    /// ```
    pub fn parse(line: &'a [u8]) -> Self {
        match trim_carriage_returns(line) {
            b"PING" => Self::Ping,
            b"QUIT" => Self::Quit,
            [b'E', b'C', b'H', b'O', b' ', text @ ..] if find_byte(b'\n', text).is_none() => Self::Echo(text),
            _ => Self::Unknown,
        }
    }

    /// The reply the server gives.
    ///
    /// ```
    /// use annulet_proto::command::{Command, Reply};
    ///
    /// assert_eq!(Command::Echo(b"hi").reply(), Reply::Ok(b"hi"));
    /// ```
    pub const fn reply(self) -> Reply<'a> {
        match self {
            Self::Ping => Reply::Pong,
            Self::Echo(text) => Reply::Ok(text),
            Self::Quit => Reply::Bye,
            Self::Unknown => Reply::UnknownCommand,
        }
    }
}

fn trim_carriage_returns(mut line: &[u8]) -> &[u8] {
    while let Some(shorter) = line.strip_suffix(b"\r") {
        line = shorter;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Command<'_>) {
        assert_eq!(Command::parse(line.as_bytes()), expected, "{line:?}");
    }

    #[test]
    fn commands_are_exact_and_case_sensitive() {
        check("PING", Command::Ping);
        check("QUIT", Command::Quit);
        for other in
            ["", " ", "ping", "Ping", "PING ", " PING", "PINGPING", "PIN", "quit", "QUIT now", "echo x"]
        {
            check(other, Command::Unknown);
        }
    }

    #[test]
    fn echo_keeps_the_rest_verbatim() {
        check("ECHO x", Command::Echo(b"x"));
        check("ECHO  a  b ", Command::Echo(b" a  b "));
        check("ECHO\t x", Command::Unknown);
        check("ECHO a\rb", Command::Echo(b"a\rb"));
        assert_eq!(Command::parse(b"ECHO \xff\0"), Command::Echo(b"\xff\0"));
    }

    #[test]
    fn echo_needs_its_space_but_not_a_text() {
        check("ECHO", Command::Unknown);
        check("ECHOx", Command::Unknown);
        check("ECHO ", Command::Echo(b""));
    }

    #[test]
    fn all_trailing_carriage_returns_are_ignored() {
        check("PING\r", Command::Ping);
        check("QUIT\r\r\r", Command::Quit);
        check("ECHO x\r\r", Command::Echo(b"x"));
        check("ECHO \r", Command::Echo(b""));
        check("ECHO\r", Command::Unknown);
        check("\rPING", Command::Unknown);
        check("\r\r", Command::Unknown);
    }

    #[test]
    fn more_than_one_line_is_not_a_command() {
        check("PING\n", Command::Unknown);
        check("ECHO a\nQUIT", Command::Unknown);
        check("ECHO \n", Command::Unknown);
    }
}
