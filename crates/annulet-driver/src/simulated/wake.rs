//! What wakes a simulated reactor.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ThreadId;

use crate::driver::Unpark;

/// What is told of a thread that the simulation does not know.
pub(super) const FOREIGN: &str =
    "a simulated reactor is woken by a thread that the simulation does not know: use spawn_blocking instead";

/// An eventfd of a simulated kernel.
#[derive(Debug)]
pub(crate) struct Wake {
    is_rung: AtomicBool,
    descriptor: RawFd,
    /// The simulation's thread.
    home: ThreadId,
    /// Somebody else's thread rang.
    is_foreign: Arc<AtomicBool>,
}

impl Wake {
    pub(super) fn new(descriptor: RawFd, is_foreign: Arc<AtomicBool>) -> Self {
        Self { is_rung: AtomicBool::new(false), descriptor, home: std::thread::current().id(), is_foreign }
    }

    pub(super) fn ring(&self) {
        self.is_rung.store(true, Ordering::Release);
    }

    pub(super) fn is_rung(&self) -> bool {
        self.is_rung.load(Ordering::Acquire)
    }

    pub(super) fn take(&self) -> bool {
        self.is_rung.swap(false, Ordering::AcqRel)
    }
}

impl Unpark for Wake {
    /// # Panics
    /// On a thread of its own: when it would come is no seed's to say.
    fn unpark(&self) {
        if std::thread::current().id() != self.home {
            self.is_foreign.store(true, Ordering::Release);
            panic!("{FOREIGN}");
        }
        self.ring();
    }
}

impl AsRawFd for Wake {
    fn as_raw_fd(&self) -> RawFd {
        self.descriptor
    }
}
