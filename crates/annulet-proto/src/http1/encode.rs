//! Writing heads and chunks.

use super::field::{is_token, is_value_byte};
use super::target;

/// The end of a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Appends `GET / HTTP/1.1` and the line's end; false, with nothing appended, when the method is no token, or the target
/// none that it may have: a space or a line end in either would begin something else.
#[must_use]
pub fn write_request_line(out: &mut Vec<u8>, method: &str, target: &str) -> bool {
    if !target::is_valid(method.as_bytes(), target.as_bytes()) {
        return false;
    }
    for piece in [method, " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
    true
}

/// Appends `HTTP/1.1 200 OK` and the line's end. The reason may be empty: nobody is to read it (RFC 9112 §4).
///
/// # Panics
/// When the status has not three digits, or the reason has control characters.
pub fn write_status_line(out: &mut Vec<u8>, status: u16, reason: &str) {
    assert!((100..1000).contains(&status), "{status} is no status");
    assert!(reason.bytes().all(is_value_byte), "a reason is one line");
    out.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends a field line; false, with nothing appended, when the name is no token or the value has a line end or another
/// control character: such a field would be several, or the end of the head.
#[must_use]
pub fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) -> bool {
    if !is_token(name.as_bytes()) || !value.iter().all(|byte| is_value_byte(*byte)) {
        return false;
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
    true
}

/// Appends the Content-Length field.
pub fn write_content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    write_decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

/// Appends the first line of a chunk. After its bytes comes a CR LF; a chunk without bytes would end the body.
///
/// # Panics
/// When the size is 0.
pub fn write_chunk_size(out: &mut Vec<u8>, size: u64) {
    assert!(size > 0, "the empty chunk is the last one");
    let digits = size.ilog2() / 4;
    for place in (0..=digits).rev() {
        let digit = (size >> (4 * place)) & 15;
        out.push(b"0123456789abcdef"[digit as usize]);
    }
    out.extend_from_slice(b"\r\n");
}

fn write_decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut left = number;
    loop {
        start -= 1;
        digits[start] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}
