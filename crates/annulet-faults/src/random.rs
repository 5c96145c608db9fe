//! Chance, from a seed.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A stream of random numbers (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number of this range.
    pub(crate) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (first, last) = range.into_inner();
        first + self.next() % (last - first + 1)
    }

    /// A size of this range: small ones are as likely as big ones.
    pub(crate) fn size(&mut self, range: RangeInclusive<u64>) -> usize {
        let (first, last) = range.into_inner();
        let bits = self.within(0..=u64::from((last - first + 1).ilog2()));
        let size = first + self.within(0..=(1 << bits) - 1).min(last - first);
        usize::try_from(size).expect("a size")
    }

    /// True in so many of a thousand cases.
    pub(crate) fn happens(&mut self, of_a_thousand: u64) -> bool {
        self.next() % 1000 < of_a_thousand
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.next() % choices.len() as u64).expect("an index")]
    }

    pub(crate) fn milliseconds(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }
}

/// Spreads a number over all bits.
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_ranges_hold() {
        let draw = |seed| {
            let mut random = Random::new(seed);
            (0..100).map(|_| (random.within(3..=9), random.size(1..=1000))).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(
            draw(3).into_iter().all(|(number, size)| (3..=9).contains(&number) && (1..=1000).contains(&size))
        );
    }
}
