//! Descriptors on their way between two drivers.

use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, PoisonError};

use crate::sim::HostId;

/// Descriptors that nobody adopted: dropped, perhaps, where the world cannot be reached.
pub(super) type Abandoned = Mutex<Vec<(HostId, RawFd)>>;

/// Closes a descriptor on its way, unless it was taken out.
pub(crate) struct Guard {
    host: HostId,
    descriptor: Mutex<Option<RawFd>>,
    abandoned: Arc<Abandoned>,
}

impl Guard {
    pub(super) fn new(host: HostId, descriptor: RawFd, abandoned: Arc<Abandoned>) -> Self {
        Self { host, descriptor: Mutex::new(Some(descriptor)), abandoned }
    }

    /// Takes the descriptor, which is then the caller's to close.
    pub(crate) fn take(&self) -> Option<RawFd> {
        self.descriptor.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(descriptor) = self.take() {
            self.abandoned.lock().unwrap_or_else(PoisonError::into_inner).push((self.host, descriptor));
        }
    }
}
