//! Signals as events of a driver.
//!
//! # Invariants
//!
//! - **G1** What runs in the handler is async-signal-safe (signal-safety(7)): one atomic operation and one write(2) to
//!   an eventfd that the action itself keeps open. It neither allocates nor locks nor panics.
//! - **G2** The registry drops an action outside of any handler, after the last handler that may run it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use signal_hook_registry::{FORBIDDEN, SigId};

use crate::kernel::SignalNotes;
use crate::sys::WakeFd;

/// Some signals, noted as they arrive, from construction to drop.
///
/// The registry never gives a signal back its default action: another user of it in the process may rely on that.
#[derive(Debug)]
pub(crate) struct SignalWatch {
    /// Bit `n`: signal `n` arrived since the last look.
    arrived: Arc<AtomicU64>,
    actions: Vec<SigId>,
}

impl SignalWatch {
    /// Watches `signals` and writes `wake` whenever one arrives.
    ///
    /// # Errors
    /// `InvalidInput` for a number outside 1 to 63, and for the signals that cannot be caught or must not be (SIGKILL,
    /// SIGSTOP, SIGILL, SIGFPE, SIGSEGV); otherwise what sigaction(2) says.
    pub(crate) fn new(signals: &[i32], wake: &Arc<WakeFd>) -> io::Result<Self> {
        if let Some(signal) =
            signals.iter().find(|signal| !(1..64).contains(*signal) || FORBIDDEN.contains(signal))
        {
            let problem = format!("signal {signal} cannot be watched");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        // Should a registration fail, dropping the watch takes back those before it.
        let mut watch = Self { arrived: Arc::default(), actions: Vec::with_capacity(signals.len()) };
        for &signal in signals {
            let (arrived, wake) = (Arc::clone(&watch.arrived), Arc::clone(wake));
            let action = move || {
                // Release, and Acquire in `take`: not for data, but so that the bit is never seen later than the wake.
                arrived.fetch_or(1 << signal, Ordering::Release);
                wake.wake();
            };
            // SAFETY: G1, G2.
            let id = unsafe { signal_hook_registry::register(signal, action) }?;
            watch.actions.push(id);
        }
        Ok(watch)
    }
}

impl SignalNotes for SignalWatch {
    fn take(&self) -> u64 {
        self.arrived.swap(0, Ordering::Acquire)
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        for id in self.actions.drain(..) {
            signal_hook_registry::unregister(id);
        }
    }
}

/// The numbers in a set of signals, lowest first.
pub(crate) fn numbers(mut set: u64) -> impl Iterator<Item = i32> {
    std::iter::from_fn(move || {
        let lowest = set.trailing_zeros();
        (set != 0).then(|| {
            set &= set - 1;
            lowest as i32
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raise(signal: i32) {
        // SAFETY: sends a signal that a watch handles to this thread.
        unsafe { libc::raise(signal) };
    }

    #[test]
    fn a_signal_is_noted_once_and_only_by_watches_that_asked_for_it() {
        let wake = Arc::new(WakeFd::new().expect("an eventfd"));
        let one = SignalWatch::new(&[libc::SIGWINCH, libc::SIGURG], &wake).expect("watch");
        let other = SignalWatch::new(&[libc::SIGURG], &wake).expect("watch");
        raise(libc::SIGWINCH);
        raise(libc::SIGWINCH);
        raise(libc::SIGURG);
        assert_eq!(numbers(one.take()).collect::<Vec<_>>(), [libc::SIGURG, libc::SIGWINCH]);
        assert_eq!(numbers(other.take()).collect::<Vec<_>>(), [libc::SIGURG]);
        assert_eq!(one.take(), 0);
        drop(one);
        raise(libc::SIGWINCH);
        assert_eq!(other.take(), 0);
    }

    #[test]
    fn signals_that_cannot_be_watched_are_refused() {
        let wake = Arc::new(WakeFd::new().expect("an eventfd"));
        for signal in [0, -1, 64, libc::SIGKILL, libc::SIGSEGV] {
            let error = SignalWatch::new(&[signal], &wake).expect_err("refused");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
