//! Bytes that say where in which stream they belong, so that a lost, doubled or foreign byte shows at once.

/// A stream of bytes given by its seed, at a position.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    seed: u64,
    position: u64,
}

impl Pattern {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, position: 0 }
    }

    /// How many bytes have been made or checked.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Makes the next bytes.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        let mut bytes = bytes;
        while !bytes.is_empty() {
            let word = self.word();
            let offset = (self.position % 8) as usize;
            let count = bytes.len().min(8 - offset);
            let (now, rest) = bytes.split_at_mut(count);
            now.copy_from_slice(&word[offset..offset + count]);
            self.position += count as u64;
            bytes = rest;
        }
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.fill(&mut bytes);
        bytes
    }

    /// Asserts that `bytes` are the next ones.
    #[track_caller]
    pub(crate) fn check(&mut self, bytes: &[u8]) {
        let start = self.position;
        let mut expected = [0; 4096];
        for piece in bytes.chunks(expected.len()) {
            let expected = &mut expected[..piece.len()];
            self.fill(expected);
            if piece != expected {
                let wrong =
                    piece.iter().zip(&*expected).position(|(a, b)| a != b).expect("some byte differs");
                let at = self.position - piece.len() as u64 + wrong as u64;
                panic!("byte {at} is wrong ({} checked at {start})", bytes.len());
            }
        }
    }

    fn word(&self) -> [u8; 8] {
        let mut word = (self.position / 8).wrapping_add(1).wrapping_mul(self.seed);
        word ^= word >> 29;
        word.wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes()
    }
}
