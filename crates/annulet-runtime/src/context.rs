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
    let mut runnable = Some(runnable);
    let _ = CURRENT.try_with(|current| {
        if let Some(core) = &*current.borrow()
            && core.is_home(home)
        {
            core.push_ready(runnable.take().expect("not taken yet"));
        }
    });
    if let Some(runnable) = runnable {
        home.push_task(runnable);
    }
}
