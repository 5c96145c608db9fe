//! Bytes that say where they belong.

use crate::random::mix;

/// Every eight bytes tell their place in the stream of one key, so that what is lost, repeated or out of order shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(u64);

/// How far around its place a misplaced byte is searched for.
const SEARCHED: u64 = 1 << 20;

impl Pattern {
    pub(crate) fn new(key: u64) -> Self {
        Self(mix(key))
    }

    /// The bytes from `offset` on.
    pub(crate) fn bytes(self, offset: u64, length: usize) -> Vec<u8> {
        (offset..offset + length as u64).map(|place| self.byte(place)).collect()
    }

    fn byte(self, place: u64) -> u8 {
        mix(self.0 ^ (place / 8)).to_le_bytes()[(place % 8) as usize]
    }

    /// Says what is wrong with bytes that should be those from `offset` on.
    pub(crate) fn check(self, offset: u64, bytes: &[u8]) -> Result<(), String> {
        let is_wrong = |(index, byte): (usize, &u8)| *byte != self.byte(offset + index as u64);
        match bytes.iter().enumerate().position(is_wrong) {
            None => Ok(()),
            Some(index) => Err(self.describe(offset + index as u64, &bytes[index..])),
        }
    }

    fn describe(self, place: u64, bytes: &[u8]) -> String {
        let sample = &bytes[..bytes.len().min(8)];
        let is_there = |from: &u64| sample.iter().zip(*from..).all(|(byte, place)| *byte == self.byte(place));
        let found = (place..place + SEARCHED).find(is_there);
        let found = found.or_else(|| (place.saturating_sub(SEARCHED)..place).rev().find(is_there));
        match found {
            // A few bytes are found anywhere.
            _ if sample.len() < 4 => format!("wrong bytes {sample:x?} at {place}"),
            Some(from) if from > place => format!("{} bytes are missing at {place}", from - place),
            Some(from) => format!("the bytes from {from} are repeated at {place}"),
            None => format!("foreign bytes {sample:x?} at {place}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_a_repeated_and_a_foreign_byte_are_told() {
        let pattern = Pattern::new(7);
        let bytes = pattern.bytes(100, 1000);
        assert_eq!(pattern.check(100, &bytes), Ok(()));
        assert_eq!(pattern.check(100, &bytes[3..]), Err("3 bytes are missing at 100".into()));
        let repeated = [&bytes[..500], &bytes[200..]].concat();
        assert_eq!(pattern.check(100, &repeated), Err("the bytes from 300 are repeated at 600".into()));
        assert!(Pattern::new(8).check(100, &bytes).is_err_and(|what| what.starts_with("foreign bytes")));
    }
}
