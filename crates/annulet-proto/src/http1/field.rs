//! Fields of a head, as places in its bytes.

use std::ops::Range;

use super::scan::{Kind, kind};

/// A piece of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u16,
    pub(super) length: u16,
}

impl Span {
    #[inline]
    pub(super) fn new(start: usize, length: usize) -> Self {
        // A head is no longer than a u16 says.
        Self { start: start as u16, length: length as u16 }
    }

    #[inline]
    pub(super) fn range(self) -> Range<usize> {
        usize::from(self.start)..usize::from(self.start) + usize::from(self.length)
    }

    #[inline]
    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.range()]
    }
}

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: Span,
    pub(super) value: Span,
}

/// The fields of a head, in their order: names as they were sent, values without the white space around them.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) fields: std::slice::Iter<'a, Field>,
}

impl<'a> Fields<'a> {
    /// The value of the first of this name, in whatever case.
    pub(super) fn first(mut self, name: &str) -> Option<&'a [u8]> {
        let is_it = |field: &&Field| {
            usize::from(field.name.length) == name.len()
                && field.name.of(self.bytes).eq_ignore_ascii_case(name.as_bytes())
        };
        self.fields.find(is_it).map(|field| field.value.of(self.bytes))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let Field { name, value } = self.fields.next()?;
        Some((text(name.of(self.bytes)), value.of(self.bytes)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.fields.size_hint()
    }
}

impl ExactSizeIterator for Fields<'_> {}

/// What is known to be ASCII.
#[inline]
pub(super) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("tokens and targets are ASCII")
}

/// White space within a line: OWS and BWS of RFC 9110 §5.6.3.
#[inline]
pub(super) const fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// What tokens are made of (tchar, RFC 9110 §5.6.2).
pub(super) static TOKEN: Kind = kind!(
    b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'0'..=b'9' | b'A'..=b'Z' | b'^'..=b'z' | b'|' | b'~'
);

/// Whether a byte may be in a token.
#[inline]
pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// Whether these bytes are a token: a method, a field name, a coding (RFC 9110 §5.6.2).
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// Whether a byte may be in a field's value (RFC 9110 §5.5): visible, a space, a tab, or beyond ASCII.
#[inline]
pub(super) const fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// The elements of a list (RFC 9110 §5.6.1), empty ones included, without the white space around them.
pub(super) fn elements(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_space(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_space(*last)
    {
        bytes = rest;
    }
    bytes
}
