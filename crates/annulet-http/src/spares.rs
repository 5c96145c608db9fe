//! What is used again: its memory, and what is worth remembering of the last time.

use std::cell::{Cell, RefCell};

/// Spares kept at most.
const SPARES_MAX: usize = 256;

/// Things of a kind that are taken and given back, the last one first.
///
/// Most requests are answered before the next one is looked at, so that one thing goes to and fro: it has a place of its own.
pub(crate) struct Spares<T> {
    first: Cell<Option<T>>,
    others: RefCell<Vec<T>>,
}

impl<T> Default for Spares<T> {
    fn default() -> Self {
        Self { first: Cell::default(), others: RefCell::default() }
    }
}

impl<T> Spares<T> {
    #[inline]
    pub(crate) fn take(&self) -> Option<T> {
        match self.first.take() {
            None => self.take_other(),
            first => first,
        }
    }

    #[inline]
    pub(crate) fn keep(&self, spare: T) {
        if let Some(before) = self.first.replace(Some(spare)) {
            self.keep_other(before);
        }
    }

    #[inline(never)]
    fn take_other(&self) -> Option<T> {
        self.others.borrow_mut().pop()
    }

    #[inline(never)]
    fn keep_other(&self, spare: T) {
        let mut others = self.others.borrow_mut();
        if others.len() < SPARES_MAX {
            others.push(spare);
        }
    }
}
