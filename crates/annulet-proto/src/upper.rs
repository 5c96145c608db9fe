//! The answer of the upper-casing line server.

/// Appends `line` in upper case, and a line feed, to `output`.
///
/// Only the ASCII letters `a` to `z` change. Every other byte, be it part of a UTF-8 sequence, no UTF-8 at all or a
/// carriage return, is copied as it is, so the answer is as long as the line.
///
/// ```
/// use annulet_proto::upper::upper_line;
///
/// let mut output = Vec::new();
/// upper_line(b"hello, z\xc3\xbcrich", &mut output);
/// assert_eq!(output, b"HELLO, Z\xc3\xbcRICH\n");
/// ```
pub fn upper_line(line: &[u8], output: &mut Vec<u8>) {
    let start = output.len();
    output.reserve(line.len() + 1);
    output.extend_from_slice(line);
    output[start..].make_ascii_uppercase();
    output.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_letters_a_to_z_change() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        let mut output = Vec::new();
        upper_line(&all, &mut output);

        assert_eq!(output.pop(), Some(b'\n'));
        assert_eq!(output.len(), all.len());
        for (before, after) in all.into_iter().zip(output) {
            let expected = if before.is_ascii_lowercase() { before - 0x20 } else { before };
            assert_eq!(after, expected, "byte {before:#04x}");
        }
    }

    #[test]
    fn what_was_already_staged_is_left_alone() {
        let mut output = b"staged ".to_vec();
        upper_line(b"abc", &mut output);
        upper_line(b"", &mut output);
        assert_eq!(output, b"staged ABC\n\n");
    }
}
