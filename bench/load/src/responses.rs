//! Responses: cut out of the stream and checked.

use std::io;

/// The body every server answers with.
const BODY: &[u8] = b"Hello, World!";
/// A head longer than this is none.
const HEAD_MAX: usize = 8 * 1024;

/// Responses of one server.
#[derive(Default)]
pub(crate) struct Responses {
    /// The last one that was looked at and found right. A server repeats itself until its clock shows another second, and
    /// a response equal to this one is right, too.
    known: Vec<u8>,
}

impl Responses {
    /// The length of the response at the front of `bytes`, or `None` if it is not complete. An error if it is wrong.
    #[inline]
    pub(crate) fn length(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        if !self.known.is_empty() && bytes.starts_with(&self.known) {
            return Ok(Some(self.known.len()));
        }
        let Some(length) = check(bytes)? else { return Ok(None) };
        self.known.clear();
        self.known.extend_from_slice(&bytes[..length]);
        Ok(Some(length))
    }
}

fn check(bytes: &[u8]) -> io::Result<Option<usize>> {
    const END: &[u8] = b"\r\n\r\n";
    let Some(head) = bytes.windows(END.len()).position(|window| window == END) else {
        return if bytes.len() > HEAD_MAX { Err(wrong("a head without end", bytes)) } else { Ok(None) };
    };
    let (head, body) = (&bytes[..head], &bytes[head + END.len()..]);
    let mut lines = head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end);
    if !lines.next().is_some_and(|status| status.starts_with(b"HTTP/1.1 200 ")) {
        return Err(wrong("not a 200", head));
    }
    if content_length(lines) != Some(BODY.len()) {
        return Err(wrong("not the content-length of the body", head));
    }
    if body.len() < BODY.len() {
        return Ok(None);
    }
    if !body.starts_with(BODY) {
        return Err(wrong("not the body", &body[..BODY.len()]));
    }
    Ok(Some(head.len() + END.len() + BODY.len()))
}

fn content_length<'a>(mut fields: impl Iterator<Item = &'a [u8]>) -> Option<usize> {
    fields.find_map(|field| {
        let colon = field.iter().position(|&byte| byte == b':')?;
        let is_length = field[..colon].eq_ignore_ascii_case(b"content-length");
        is_length.then(|| str::from_utf8(field[colon + 1..].trim_ascii()).ok()?.parse().ok())?
    })
}

fn wrong(what: &str, bytes: &[u8]) -> io::Error {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]);
    io::Error::other(format!("{what}: {shown:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: &str =
        "HTTP/1.1 200 OK\r\ncontent-LENGTH: 13\r\ndate: Sat, 21 Nov 2026 15:30:50 GMT\r\n\r\nHello, World!";

    #[test]
    fn a_response_is_complete_with_its_last_byte() {
        let stream = [RIGHT, RIGHT].concat();
        let mut responses = Responses::default();
        for known in [false, true] {
            assert_eq!(responses.known.is_empty(), !known);
            for length in 0..RIGHT.len() {
                assert_eq!(responses.length(&RIGHT.as_bytes()[..length]).expect("right so far"), None);
            }
            assert_eq!(responses.length(stream.as_bytes()).expect("right"), Some(RIGHT.len()));
        }
    }

    #[test]
    fn what_is_wrong_is_found() {
        for (from, to) in [
            ("200 OK", "404 Not Found"),
            ("13", "14"),
            ("content-LENGTH: 13\r\n", ""),
            ("Hello", "hello"),
            ("HTTP/1.1", "HTTP/1.0"),
        ] {
            let mut responses = Responses::default();
            responses.length(RIGHT.as_bytes()).expect("right");
            let text = RIGHT.replace(from, to);
            assert_ne!(text, RIGHT);
            assert!(responses.length(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Responses::default().length(&[b'x'; HEAD_MAX + 1]).is_err());
    }
}
