//! Which reactor is running on this thread.
//!
//! A reactor enters the context for the length of its turn, so code inside finds it without being handed it, and a
//! simulator can step several reactors on one thread in turn.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use crate::inbox::Inbox;
use crate::reactor::{Core, Reactor};

thread_local! {
    /// Emptied by [`Entered`]. Without a destructor of its own, which every look at it would have to allow for.
    static CURRENT: RefCell<ManuallyDrop<Option<Rc<Core>>>> = const { RefCell::new(ManuallyDrop::new(None)) };
    /// The inbox of the current reactor: an address to compare with.
    static INBOX: Cell<*const Inbox> = const { Cell::new(ptr::null()) };
}

/// Puts the previous reactor (usually none) back when dropped.
pub(crate) struct Entered(Option<Rc<Core>>);

/// Makes `core` the current reactor until the guard goes.
pub(crate) fn enter(core: &Rc<Core>) -> Entered {
    Entered(replace(Some(core.clone())))
}

impl Drop for Entered {
    fn drop(&mut self) {
        let left = replace(self.0.take());
        drop(left);
    }
}

fn replace(core: Option<Rc<Core>>) -> Option<Rc<Core>> {
    INBOX.set(core.as_ref().map_or(ptr::null(), |core| Arc::as_ptr(core.inbox())));
    ManuallyDrop::into_inner(CURRENT.replace(ManuallyDrop::new(core)))
}

/// The reactor running on this thread.
pub(crate) fn current() -> Option<Reactor> {
    CURRENT.with_borrow(|current| current.as_ref().map(|core| Reactor::from_core(core.clone())))
}

/// True when the reactor of this inbox is the one running on this thread.
#[inline]
pub(crate) fn is_running(home: &Arc<Inbox>) -> bool {
    INBOX.get() == Arc::as_ptr(home)
}
