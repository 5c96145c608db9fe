//! What the server answers.

use crate::search::find_byte;

/// One line from the server to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reply<'a> {
    /// `READY`, once, when the connection is open.
    Ready,
    /// `PONG`, to `PING`.
    Pong,
    /// `OK` + space + text, to `ECHO`. The text must not contain LF; one from a parsed command never does.
    Ok(&'a [u8]),
    /// `BYE`, to `QUIT`; the server closes after it.
    Bye,
    /// `ERR unknown command`; the connection stays open.
    UnknownCommand,
    /// `ERR line too long`; the server closes after it, unless it skips such lines.
    LineTooLong,
}

impl Reply<'_> {
    /// Appends the reply and a line feed to `output`.
    ///
    /// # Panics
    ///
    /// In debug builds, when the text of [`Ok`](Self::Ok) contains a line feed.
    ///
    /// ```
    /// use annulet_proto::command::Reply;
    ///
    /// let mut output = Vec::new();
    /// Reply::Ready.write_to(&mut output);
    /// Reply::Ok(b"hello").write_to(&mut output);
    /// assert_eq!(output, b"READY\nOK hello\n");
    /// ```
    pub fn write_to(self, output: &mut Vec<u8>) {
        match self {
            Self::Ready => output.extend_from_slice(b"READY\n"),
            Self::Pong => output.extend_from_slice(b"PONG\n"),
            Self::Ok(text) => write_ok(text, output),
            Self::Bye => output.extend_from_slice(b"BYE\n"),
            Self::UnknownCommand => output.extend_from_slice(b"ERR unknown command\n"),
            Self::LineTooLong => output.extend_from_slice(b"ERR line too long\n"),
        }
    }
}

fn write_ok(text: &[u8], output: &mut Vec<u8>) {
    debug_assert!(find_byte(b'\n', text).is_none(), "line feed in the text of a reply");
    output.reserve(b"OK \n".len() + text.len());
    output.extend_from_slice(b"OK ");
    output.extend_from_slice(text);
    output.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reply_is_one_line_with_the_documented_words() {
        let replies = [
            (Reply::Ready, "READY\n"),
            (Reply::Pong, "PONG\n"),
            (Reply::Ok(b"x"), "OK x\n"),
            (Reply::Ok(b""), "OK \n"),
            (Reply::Bye, "BYE\n"),
            (Reply::UnknownCommand, "ERR unknown command\n"),
            (Reply::LineTooLong, "ERR line too long\n"),
        ];
        for (reply, expected) in replies {
            let mut output = Vec::new();
            reply.write_to(&mut output);
            assert_eq!(output, expected.as_bytes(), "{reply:?}");
        }
    }

    #[test]
    fn replies_follow_what_was_staged_before() {
        let mut output = b"READY\n".to_vec();
        Reply::Ok(b"a b").write_to(&mut output);
        Reply::Bye.write_to(&mut output);
        assert_eq!(output, b"READY\nOK a b\nBYE\n");
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "line feed in the text")]
    fn reply_that_would_be_two_lines_is_noticed() {
        Reply::Ok(b"a\nb").write_to(&mut Vec::new());
    }
}
