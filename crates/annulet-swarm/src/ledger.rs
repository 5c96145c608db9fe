//! What was done how often, on whatever reactor of whatever host.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts by number. Cloning gives another handle on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<BTreeMap<u64, u64>>>);

impl Ledger {
    /// `number` was done; how often, with this time.
    pub(crate) fn note(&self, number: u64) -> u64 {
        let mut counts = self.lock();
        let count = counts.entry(number).or_default();
        *count += 1;
        *count
    }

    /// How often `number` was done.
    pub(crate) fn count(&self, number: u64) -> u64 {
        self.lock().get(&number).copied().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
