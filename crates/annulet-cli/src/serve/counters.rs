//! The counters, as operators read them.

use std::fmt;

use annulet::signal::{Signal, Signals};
use annulet::{Handle, Stats};
use tracing_appender::non_blocking::ErrorCounter;

/// The counters of a runtime, and of the log.
#[derive(Clone)]
pub(crate) struct Counters {
    handle: Handle,
    log_lines_dropped: ErrorCounter,
}

impl Counters {
    pub(crate) fn new(handle: Handle, log_lines_dropped: ErrorCounter) -> Self {
        Self { handle, log_lines_dropped }
    }

    /// Prints them whenever SIGUSR1 arrives. The signal counts from the call on.
    pub(crate) fn print_on_signal(self) -> impl Future<Output = ()> {
        let mut signals = Signals::new(&[Signal::USER_1]);
        async move {
            loop {
                signals.recv().await;
                super::print(self.to_string()).await;
            }
        }
    }
}

/// One line of JSON: an object of names and numbers, documented in `docs/counters.md`.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = Stats::of(&self.handle).to_string();
        let rest = stats.strip_prefix('{').expect("an object");
        write!(f, "{{\"log_lines_dropped\":{},{rest}", self.log_lines_dropped.dropped_lines())
    }
}
