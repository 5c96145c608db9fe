//! The search for a delimiter.

/// Bytes compared together before the position is looked for. A block without an early exit is what the compiler
/// turns into vector instructions.
const BLOCK: usize = 32;

/// Index of the first `byte` in `haystack`.
pub(crate) fn find_byte(byte: u8, haystack: &[u8]) -> Option<usize> {
    let (blocks, _) = haystack.as_chunks::<BLOCK>();
    let clean = blocks.iter().take_while(|block| !contains(byte, block)).count() * BLOCK;
    haystack[clean..].iter().position(|candidate| *candidate == byte).map(|index| clean + index)
}

fn contains(byte: u8, block: &[u8; BLOCK]) -> bool {
    block.iter().fold(false, |hit, candidate| hit | (*candidate == byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length around the block size, with the byte at every place, once alone and once followed by another.
    #[test]
    fn first_occurrence_is_found_at_every_place_of_every_length() {
        for length in 0..=3 * BLOCK + 1 {
            let mut haystack = vec![b'x'; length];
            assert_eq!(find_byte(b'\n', &haystack), None, "length {length}");
            for place in (0..length).rev() {
                haystack[place] = b'\n';
                assert_eq!(find_byte(b'\n', &haystack), Some(place), "length {length}");
            }
        }
    }
}
