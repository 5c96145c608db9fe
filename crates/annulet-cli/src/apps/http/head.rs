//! Where one request's head ends and the next begins.

use std::fmt;

use annulet::proto::codec::Decoder;
use bytes::{Buf, Bytes, BytesMut};

/// Bytes of a request's head, its blank line included.
const HEAD_MAX: usize = 16 * 1024;

/// Cuts a stream into heads. Bodies are unknown to it: a head that announces one must be the last.
pub(super) struct Heads {
    /// Bytes at the front of the input that hold no end of a head.
    searched: usize,
}

/// A request's head, up to and with its blank line.
pub(super) struct Head(Bytes);

/// The head is larger than is put up with.
#[derive(Debug)]
pub(super) struct TooLarge;

impl Heads {
    pub(super) const fn new() -> Self {
        Self { searched: 0 }
    }
}

impl Decoder for Heads {
    type Frame = Head;
    type Error = TooLarge;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Head>, TooLarge> {
        // Blank lines before a request are ignored (RFC 9112, 2.2).
        while self.searched == 0 && matches!(input.first(), Some(b'\r' | b'\n')) {
            input.advance(1);
        }
        let window = &input[..input.len().min(HEAD_MAX)];
        let mut line_feeds = (self.searched..window.len()).filter(|&at| window[at] == b'\n');
        match line_feeds.find(|&at| window[..at].ends_with(b"\n") || window[..at].ends_with(b"\n\r")) {
            Some(end) => {
                self.searched = 0;
                Ok(Some(Head(input.split_to(end + 1).freeze())))
            }
            None if window.len() == HEAD_MAX => Err(TooLarge),
            None => {
                self.searched = window.len();
                Ok(None)
            }
        }
    }

    /// A head that was cut off gets no answer.
    fn decode_end(&mut self, input: &mut BytesMut) -> Result<Option<Head>, TooLarge> {
        self.decode(input)
    }

    fn buffered_max(&self) -> usize {
        HEAD_MAX
    }
}

impl Head {
    /// True when the request's method is `method`.
    pub(super) fn is(&self, method: &[u8]) -> bool {
        self.0.strip_prefix(method).is_some_and(|rest| rest.starts_with(b" "))
    }

    /// True when nothing can follow: the client asks to close, speaks an older version, or announces a body, which would
    /// be taken for the next head.
    pub(super) fn is_last(&self) -> bool {
        let mut lines = self.0.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end);
        let is_current = lines.next().is_some_and(|request| request.ends_with(b" HTTP/1.1"));
        !is_current || lines.any(announces_the_end)
    }
}

fn announces_the_end(field: &[u8]) -> bool {
    let Some(colon) = field.iter().position(|&byte| byte == b':') else { return false };
    let (name, value) = (&field[..colon], field[colon + 1..].trim_ascii());
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    if is(b"connection") {
        return value
            .split(|&byte| byte == b',')
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
    }
    is(b"transfer-encoding") || (is(b"content-length") && value != b"0")
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request head larger than {HEAD_MAX} bytes")
    }
}

impl std::error::Error for TooLarge {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The heads found in `text`, given piece by piece, and how much is left.
    fn cut(text: &str, piece: usize) -> (Vec<String>, usize) {
        let (mut heads, mut input, mut found) = (Heads::new(), BytesMut::new(), Vec::new());
        for piece in text.as_bytes().chunks(piece) {
            input.extend_from_slice(piece);
            while let Some(head) = heads.decode(&mut input).expect("small heads") {
                found.push(String::from_utf8_lossy(&head.0).into_owned());
            }
        }
        (found, input.len())
    }

    #[test]
    fn heads_end_at_a_blank_line_however_they_arrive() {
        let text = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\n\nGET";
        for piece in 1..=text.len() {
            let (heads, left) = cut(text, piece);
            assert_eq!(heads, ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /b HTTP/1.1\n\n"], "{piece}");
            assert_eq!(left, 3);
        }
    }

    #[test]
    fn a_head_over_the_limit_is_refused() {
        let head = |filler: usize| format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(filler));
        let room = HEAD_MAX - head(0).len();
        assert_eq!(cut(&head(room), 1000).0.len(), 1);
        let mut over = BytesMut::from(&*head(room + 1));
        assert!(Heads::new().decode(&mut over).is_err());
    }

    #[test]
    fn what_cannot_be_followed_is_the_last() {
        let head = |text: &str| Head(Bytes::copy_from_slice(text.as_bytes()));
        for text in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\nContent-Length: 0\nConnection: keep-alive\n\n",
        ] {
            assert!(!head(text).is_last(), "{text}");
        }
        for text in [
            "GET / HTTP/1.0\r\n\r\n",
            "rubbish\n\n",
            "GET / HTTP/1.1\r\nCONNECTION: x, Close\r\n\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(head(text).is_last(), "{text}");
        }
        assert!(head("HEAD / HTTP/1.1\r\n\r\n").is(b"HEAD"));
        assert!(!head("HEADER / HTTP/1.1\r\n\r\n").is(b"HEAD"));
    }
}
