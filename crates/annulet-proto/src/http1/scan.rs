//! How far bytes of a kind go. Heads are short and read often: most of what reading one costs is spent here.

use super::field::is_space;

/// A kind of bytes.
pub(super) type Kind = [bool; 256];

/// The kind of the bytes that match a pattern.
macro_rules! kind {
    ($pattern:pat) => {{
        let mut kind = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            kind[byte] = matches!(byte as u8, $pattern);
            byte += 1;
        }
        kind
    }};
}
pub(super) use kind;

/// How many bytes at the front are of a kind. Four are looked at between two looks at what is left.
#[inline(always)]
pub(super) fn length_of(kind: &Kind, bytes: &[u8]) -> usize {
    let (fours, rest) = bytes.as_chunks::<4>();
    for (index, four) in fours.iter().enumerate() {
        for (place, byte) in four.iter().enumerate() {
            if !kind[usize::from(*byte)] {
                return 4 * index + place;
            }
        }
    }
    let others = rest.iter().position(|byte| !kind[usize::from(*byte)]);
    bytes.len() - rest.len() + others.unwrap_or(rest.len())
}

/// How many bytes at the front are certainly of a field's value: visible ASCII, spaces, and what is beyond ASCII. The byte
/// behind them may be, too: eight are tested together, and a tab is not looked for.
#[inline(always)]
pub(super) fn value(bytes: &[u8]) -> usize {
    const HIGH_BITS: u64 = each(0x80);
    let (words, rest) = bytes.as_chunks();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let below_space = word.wrapping_sub(each(b' '));
        let delete = word.wrapping_add(each(0x80 - 0x7f));
        let hits = (below_space | delete) & !word & HIGH_BITS;
        if hits != 0 {
            return 8 * index + hits.trailing_zeros() as usize / 8;
        }
    }
    bytes.len() - rest.len()
}

/// How much white space is at the front: nearly always one space.
#[inline(always)]
pub(super) fn spaces(bytes: &[u8]) -> usize {
    match bytes {
        [b' ', b'!'..=0xff, ..] => 1,
        _ => bytes.iter().position(|byte| !is_space(*byte)).unwrap_or(bytes.len()),
    }
}

/// These bytes without the white space behind them: nearly always there is none.
#[inline(always)]
pub(super) fn without_spaces_behind(bytes: &[u8]) -> &[u8] {
    match bytes {
        [.., b'!'..=0xff] => bytes,
        _ => super::field::trim(bytes),
    }
}

/// A word of eight such bytes.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}
