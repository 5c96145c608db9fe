//! What workloads draw from the seed.

use std::time::Duration;

use annulet_sim::Sim;

/// True `percent` times of a hundred.
pub(crate) fn percent(sim: &Sim, percent: u64) -> bool {
    sim.below(100) < percent
}

/// From `low` to `high` microseconds, short ones as often as long ones.
pub(crate) fn micros(sim: &Sim, low: u64, high: u64) -> Duration {
    Duration::from_micros(sim.spread(low, high))
}

/// From `low` to `high` milliseconds, short ones as often as long ones.
pub(crate) fn millis(sim: &Sim, low: u64, high: u64) -> Duration {
    Duration::from_millis(sim.spread(low, high))
}

/// One of these.
pub(crate) fn one_of<T: Copy>(sim: &Sim, values: &[T]) -> T {
    values[sim.below(values.len() as u64) as usize]
}

/// Bytes that tell where they belong: those of another stream, or of another place in this one, differ.
pub(crate) fn pattern(stream: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| pattern_at(stream, at)).collect()
}

/// One byte of [`pattern`].
pub(crate) fn pattern_at(stream: u64, at: u64) -> u8 {
    let mixed = (stream << 32 ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}
