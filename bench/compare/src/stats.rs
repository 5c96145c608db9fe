//! Medians and their intervals, without assuming any distribution.

/// A median with the interval that holds the true one with 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The median of `values` and its interval from order statistics; of fewer than six, the interval is the range.
///
/// `None` if there are no values.
pub(crate) fn spread(values: &[f64]) -> Option<Spread> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let cut = cut(sorted.len());
    Some(Spread { median: middle(&sorted), low: sorted[cut], high: sorted[last - cut] })
}

/// The median, or not a number if there are no values.
pub(crate) fn median(values: &[f64]) -> f64 {
    spread(values).map_or(f64::NAN, |spread| spread.median)
}

fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 }
}

/// How many values to leave out at each end: the largest `k` for which at most 2.5 % of all samples have the true
/// median below their `k`-th smallest value, that is P(Binomial(n, ½) < k) ≤ 0.025.
fn cut(n: usize) -> usize {
    let mut probability = 0.5f64.powi(n as i32);
    let mut below = 0.0;
    for k in 0..n {
        below += probability;
        if below > 0.025 {
            return k.saturating_sub(1);
        }
        probability *= (n - k) as f64 / (k + 1) as f64;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_are_those_of_the_sign_test_tables() {
        // Ranks from below, counted from 1: n = 6 → 1, 9 → 2, 15 → 4, 25 → 8.
        for (n, rank) in [(6, 1), (9, 2), (15, 4), (25, 8)] {
            assert_eq!(cut(n) + 1, rank, "n = {n}");
        }
    }

    #[test]
    fn spread_of_few_values_is_their_range() {
        let spread = spread(&[3.0, 1.0, 2.0]).expect("three values");
        assert_eq!((spread.median, spread.low, spread.high), (2.0, 1.0, 3.0));
        assert!(super::spread(&[]).is_none());
    }
}
