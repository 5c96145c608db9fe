//! The bytes every connection sends: an endless stream read out of one table. An echo's table is random, so that a lost,
//! doubled, shifted or foreign byte is noticed wherever it happens.

/// Length of the random table: a prime, so that message and table limits fall together rarely.
const PERIOD: usize = 65_521;

/// Longest slice that `at` returns.
pub(crate) const SLICE_MAX: usize = 64 * 1024;

pub(crate) struct Pattern {
    /// The table, continued far enough that a slice never wraps.
    bytes: Vec<u8>,
    /// Length of the table.
    period: u64,
}

impl Pattern {
    pub(crate) fn random() -> Self {
        let mut random = Random::new(0x5eed);
        Self::repeating((0..PERIOD).map(|_| random.next() as u8).collect())
    }

    /// `table` again and again.
    pub(crate) fn repeating(table: Vec<u8>) -> Self {
        let period = table.len();
        let bytes = table.into_iter().cycle().take(period + SLICE_MAX).collect();
        Self { bytes, period: period as u64 }
    }

    /// `len` bytes of the stream from `position` on.
    #[inline]
    pub(crate) fn at(&self, position: u64, len: usize) -> &[u8] {
        let from = (position % self.period) as usize;
        &self.bytes[from..from + len]
    }
}

/// A small generator (splitmix64): same seed, same run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Exponentially distributed with the given mean: the gap between two arrivals of a Poisson process.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        let uniform = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        -mean * (1.0 - uniform).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_agree_across_the_end_of_the_table() {
        let pattern = Pattern::random();
        let position = PERIOD as u64 - 3;
        assert_eq!(pattern.at(position, 10)[3..], pattern.at(PERIOD as u64, 7)[..]);
        assert_eq!(pattern.at(0, SLICE_MAX), pattern.at(5 * PERIOD as u64, SLICE_MAX));
    }

    #[test]
    fn exponential_has_the_asked_mean() {
        let mut random = Random::new(1);
        let sum: f64 = (0..100_000).map(|_| random.exponential(3.0)).sum();
        assert!((sum / 100_000.0 - 3.0).abs() < 0.05);
    }
}
