//! Where what is left over when a reactor ends came from.
//!
//! Known in debug builds only: release builds neither pass nor keep a place.

use std::fmt;
use std::panic::Location;

/// What leaked, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// What it is: `task spawned`, `connection from 127.0.0.1:4711 accepted at 127.0.0.1:80`.
    pub what: String,
    /// The line of source code that did so, where that is known.
    pub place: Option<&'static Location<'static>>,
}

impl Origin {
    pub(crate) fn new(what: impl Into<String>, caller: Caller) -> Self {
        Self { what: what.into(), place: caller.place() }
    }
}

impl From<String> for Origin {
    fn from(what: String) -> Self {
        Self { what, place: None }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(place) => write!(f, "{} at {place}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// The line that called a function, as that keeps it; nothing in release builds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    #[cfg(debug_assertions)]
    place: &'static Location<'static>,
}

impl Caller {
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub(crate) fn here() -> Self {
        Self {
            #[cfg(debug_assertions)]
            place: Location::caller(),
        }
    }

    fn place(self) -> Option<&'static Location<'static>> {
        #[cfg(debug_assertions)]
        return Some(self.place);
        #[cfg(not(debug_assertions))]
        None
    }
}

#[cfg(not(debug_assertions))]
const _: () = assert!(size_of::<Caller>() == 0);
