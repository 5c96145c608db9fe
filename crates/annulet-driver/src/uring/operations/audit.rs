//! Whether driver and kernel agree on what is in flight.

use std::collections::BTreeSet;

use super::Operations;
use super::operation::{Kind, Operation, Progress};
use crate::kernel::{Holdings, Kernel};
use crate::op::Key;
use crate::uring::entry;

impl<K: Kernel> Operations<K> {
    /// Notes every operation that only one of the two knows of, and every buffer that is not in one place.
    pub(in crate::uring) fn audit(&self, holdings: &Holdings, violations: &mut Vec<String>) {
        let staged = self.staged.iter().map(io_uring::squeue::Entry::get_user_data);
        let known: BTreeSet<u64> =
            holdings.operations.iter().chain(&holdings.under_way).copied().chain(staged).collect();
        for key in self.table.keys() {
            let Some(progress) = self.table.get(key).and_then(progress) else { continue };
            let is_known = known.contains(&key.to_bits());
            match progress {
                Progress::Parked if is_known => {
                    violations.push(format!("{key:?} is parked, and the kernel has it"));
                }
                Progress::Parked if !self.parked.contains(&key) => {
                    violations.push(format!("{key:?} is parked, and nobody will arm it again"));
                }
                Progress::Armed | Progress::Ending if !is_known => {
                    violations.push(format!("{key:?} is {progress:?}, and the kernel does not have it"));
                }
                _ => {}
            }
        }
        for key in holdings.operations.iter().copied().map(Key::from_bits) {
            let is_ours = key.slot == entry::OWN || self.table.get(key).and_then(progress).is_some();
            if !is_ours {
                violations.push(format!("the kernel has {key:?}, which has ended"));
            }
        }
        self.pool.audit(&holdings.buffers, violations);
    }
}

/// How far an operation that the kernel may hold has come.
fn progress<K: Kernel>(operation: &Operation<K>) -> Option<Progress> {
    match operation.kind {
        Kind::Accept { progress, .. } | Kind::Receive { progress, .. } | Kind::Connect { progress, .. } => {
            Some(progress)
        }
        Kind::Writable { .. } | Kind::Signal(_) => None,
    }
}
