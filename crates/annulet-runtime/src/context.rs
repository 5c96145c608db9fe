//! Which reactor is running on this thread.
//!
//! A reactor enters the context for the length of its turn, so code inside finds it without being handed it, and a
//! simulator can step several reactors on one thread in turn.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use async_task::Runnable;

use crate::inbox::Inbox;
use crate::reactor::{Core, Reactor};

thread_local! {
    static CURRENT: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
}

/// Puts the previous reactor (usually none) back when dropped.
pub(crate) struct Entered(Option<Rc<Core>>);

/// Makes `core` the current reactor until the guard goes.
pub(crate) fn enter(core: &Rc<Core>) -> Entered {
    Entered(CURRENT.replace(Some(core.clone())))
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// The reactor running on this thread.
pub(crate) fn current() -> Option<Reactor> {
    CURRENT.try_with(|current| current.borrow().clone().map(Reactor::from_core)).ok().flatten()
}

/// Queues a task on its home reactor: directly when that one is running here, else through its inbox.
pub(crate) fn schedule(home: &Arc<Inbox>, runnable: Runnable) {
    match running(home) {
        Some(core) => core.push_ready(runnable),
        None => home.push_task(runnable),
    }
}

/// The reactor of this inbox, if it is the one running on this thread.
#[inline]
fn running(home: &Arc<Inbox>) -> Option<Rc<Core>> {
    let running = |current: &RefCell<Option<Rc<Core>>>| {
        current.borrow().as_ref().filter(|core| core.is_home(home)).cloned()
    };
    CURRENT.try_with(running).ok().flatten()
}
