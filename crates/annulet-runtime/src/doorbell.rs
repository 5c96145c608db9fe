//! The flag pair behind an inbox: "somebody rang" and "the reactor sleeps".

// This crate's are std's; the model of `tests/doorbell.rs`, which includes this file, brings its own.
use crate::atomic::{AtomicBool, Ordering};

/// See [`crate::inbox`] for the protocol.
#[derive(Debug)]
pub(crate) struct Doorbell {
    rung: AtomicBool,
    sleeping: AtomicBool,
}

impl Doorbell {
    pub(crate) fn new() -> Self {
        Self { rung: AtomicBool::new(false), sleeping: AtomicBool::new(false) }
    }

    /// After the work has been left. True for exactly one caller per sleep: that one must wake the sleeper.
    pub(crate) fn ring(&self) -> bool {
        self.rung.store(true, Ordering::SeqCst);
        // The load first: a busy reactor's line is not taken exclusively by every sender.
        self.sleeping.load(Ordering::SeqCst) && self.sleeping.swap(false, Ordering::SeqCst)
    }

    pub(crate) fn rung(&self) -> bool {
        self.rung.load(Ordering::SeqCst)
    }

    /// Before looking at the work.
    pub(crate) fn answer(&self) {
        self.rung.store(false, Ordering::SeqCst);
    }

    /// False when somebody rang: do not sleep.
    pub(crate) fn prepare_sleep(&self) -> bool {
        self.sleeping.store(true, Ordering::SeqCst);
        if self.rung() {
            self.awake();
            return false;
        }
        true
    }

    pub(crate) fn awake(&self) {
        self.sleeping.store(false, Ordering::SeqCst);
    }
}
