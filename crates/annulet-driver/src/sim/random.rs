//! Streams of chance.
//!
//! One stream per purpose: what one part of a world draws leaves all other parts' draws as they were. So a fault can
//! be turned off, or a call be made once more, and the rest of the history stays comparable.

/// What a stream of chance is for. The numbers are part of every seed's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u64)]
pub enum Purpose {
    /// Which reactor runs next, and when.
    Schedule = 1,
    /// What a ring does with operations.
    Ring = 2,
    /// A host's entropy.
    Entropy = 3,
    /// What a workload does.
    Workload = 4,
    /// Delays and losses of a link.
    Link = 5,
    /// How bytes are cut into segments.
    Segments = 6,
    /// Which of several listeners gets a connection.
    Sharing = 7,
    /// Whether a kind of fault strikes, and how hard.
    Fault = 8,
    /// Which faults a seed turns on.
    Swarm = 9,
    /// Sizes of queues, buffers and limits.
    Sizes = 10,
    /// What a program asks the system for, past every driver.
    Program = 11,
}

/// A stream of chance (xoshiro256++).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chance([u64; 4]);

impl Chance {
    /// The stream for `purpose` and `index` in the world of `seed`. Streams of different purposes or indices have
    /// nothing to do with each other.
    pub fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let mut state = mix(seed) ^ mix(mix(purpose as u64) ^ index);
        // Seeded from splitmix64, as its authors advise; four zeroes in a row do not come.
        Self(std::array::from_fn(|_| {
            state = state.wrapping_add(GOLDEN);
            mix(state)
        }))
    }

    /// 64 bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number below `bound`, or 0 when that is 0. One draw, whatever the bound; the bias is below 2⁻³² for bounds
    /// below 2³².
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    ///
    /// # Panics
    /// When `low` is greater than `high`.
    #[inline]
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "from {low} to {high}");
        low + self.below((high - low).saturating_add(1))
    }

    /// A number from `low` to `high`, small ones as likely as great ones: each power of two has the same share.
    ///
    /// # Panics
    /// When `low` is 0 or greater than `high`.
    pub fn spread(&mut self, low: u64, high: u64) -> u64 {
        assert!(0 < low && low <= high, "from {low} to {high}");
        let power = self.between(u64::from(low.ilog2()), u64::from(high.ilog2()));
        let least = 1_u64 << power;
        (least + self.below(least)).clamp(low, high)
    }

    /// True `per_million` times of a million.
    #[inline]
    pub fn hits(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(per_million)
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            piece.copy_from_slice(&self.bits().to_le_bytes()[..piece.len()]);
        }
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finish of splitmix64: every bit of the result depends on every bit of `value`.
#[inline]
pub(super) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_a_function_of_seed_purpose_and_index() {
        let draw = |seed, purpose, index| Chance::new(seed, purpose, index).bits();
        assert_eq!(draw(7, Purpose::Link, 3), draw(7, Purpose::Link, 3));
        let others = [
            draw(8, Purpose::Link, 3),
            draw(7, Purpose::Link, 4),
            draw(7, Purpose::Fault, 3),
            draw(0, Purpose::Link, 0),
        ];
        assert!(others.iter().all(|other| *other != draw(7, Purpose::Link, 3)));
    }

    #[test]
    fn draws_stay_within_their_bounds_and_reach_them() {
        let mut chance = Chance::new(1, Purpose::Workload, 0);
        let mut seen = [false; 4];
        for _ in 0..200 {
            seen[chance.between(3, 6) as usize - 3] = true;
            assert!(chance.below(1) == 0 && chance.below(0) == 0);
            assert!((5..=1000).contains(&chance.spread(5, 1000)));
            assert!(!chance.hits(0) && chance.hits(1_000_000));
        }
        assert_eq!(seen, [true; 4]);
    }

    #[test]
    fn a_spread_has_small_numbers_as_often_as_great_ones() {
        let mut chance = Chance::new(1, Purpose::Workload, 0);
        let small = (0..1000).filter(|_| chance.spread(1, 1 << 19) < 1 << 10).count();
        assert!((400..600).contains(&small), "{small} of 1000");
    }

    #[test]
    fn every_byte_is_filled() {
        let mut chance = Chance::new(1, Purpose::Entropy, 0);
        let mut bytes = [0; 21];
        let mut met = [0; 21];
        for _ in 0..10 {
            chance.fill(&mut bytes);
            met.iter_mut().zip(bytes).for_each(|(met, byte)| *met |= byte);
        }
        assert!(met.iter().all(|met| *met != 0));
    }
}
