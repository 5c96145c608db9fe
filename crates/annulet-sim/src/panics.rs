//! Panics of simulated programs: kept for the failure that may come of them instead of being printed.

use std::cell::RefCell;
use std::fmt;
use std::sync::Once;

/// What the names of threads that simulate begin with.
pub(crate) const THREAD: &str = "seed-";

/// Panics remembered of one simulation.
const KEPT: usize = 4;

/// A panic.
#[derive(Clone, Debug)]
pub(crate) struct Panic {
    pub(crate) message: String,
    pub(crate) place: String,
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at {})", self.message, self.place)
    }
}

thread_local! {
    static PANICS: RefCell<Vec<Panic>> = const { RefCell::new(Vec::new()) };
}

/// The latest panics of this thread since the last call. Those that the seed wanted are not among them.
pub(crate) fn take() -> Vec<Panic> {
    PANICS.take()
}

/// The first of them, of which others may have come.
pub(crate) fn first() -> Option<String> {
    PANICS.with_borrow(|panics| panics.first().map(|panic| panic.message.clone()))
}

/// From now on panics of threads that simulate are kept, and all others printed as before.
pub(crate) fn keep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !std::thread::current().name().is_some_and(|name| name.starts_with(THREAD)) {
                return others(panic);
            }
            let message = panic.payload_as_str().unwrap_or("no message").to_owned();
            let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
            PANICS.with_borrow_mut(|panics| {
                if panics.len() == KEPT {
                    panics.remove(0);
                }
                panics.push(Panic { message, place });
            });
        }));
    });
}
