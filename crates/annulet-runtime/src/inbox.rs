//! What other threads leave for a reactor, and how they wake it.
//!
//! # No lost wake-up
//!
//! The sleeper sets `sleeping`, then looks at the queue; the sender fills the queue, then looks at `sleeping`. All
//! four accesses are sequentially consistent (the queue's through its `pending` flag), so at least one of the two
//! sees the other: either the reactor finds the work, or the sender finds it asleep and pays for one wake-up.
//! `tests/doorbell` holds the loom model.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use annulet_driver::Unpark;

use crate::doorbell::Doorbell;
use crate::reactor::Reactor;
use crate::task::raw::TaskRef;

/// Messages a reactor takes before it has looked at them; more are refused.
pub(crate) const MESSAGES_MAX: usize = 4096;

/// A piece of work to run on a reactor.
pub(crate) type Message = Box<dyn FnOnce(&Reactor) + Send>;

/// A reactor's address for other threads.
pub(crate) struct Inbox {
    doorbell: Doorbell,
    unpark: Arc<dyn Unpark>,
    queues: Mutex<Queues>,
}

#[derive(Default)]
pub(crate) struct Queues {
    /// Tasks woken from elsewhere. Needs no limit of its own: a task is queued at most once.
    pub(crate) tasks: VecDeque<TaskRef>,
    pub(crate) messages: VecDeque<Message>,
    /// The reactor is gone: what is left here would never run.
    closed: bool,
}

/// A reactor did not take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Too many messages are waiting there: try again later.
    #[error("the reactor's inbox is full")]
    Full,
    /// The reactor has ended.
    #[error("the reactor has ended")]
    Closed,
}

impl Inbox {
    pub(crate) fn new(unpark: Arc<dyn Unpark>) -> Self {
        Self { doorbell: Doorbell::new(), unpark, queues: Mutex::default() }
    }

    /// Leaves a woken task.
    #[cold]
    pub(crate) fn push_task(&self, task: TaskRef) {
        {
            let mut queues = self.lock();
            if queues.closed {
                drop(queues);
                drop(task);
                return;
            }
            queues.tasks.push_back(task);
        }
        self.ring();
    }

    /// Leaves a message.
    pub(crate) fn push_message(&self, message: Message) -> Result<(), SendError> {
        {
            let mut queues = self.lock();
            if queues.closed {
                return Err(SendError::Closed);
            }
            if queues.messages.len() >= MESSAGES_MAX {
                return Err(SendError::Full);
            }
            queues.messages.push_back(message);
        }
        self.ring();
        Ok(())
    }

    /// Says that there is something to look at, and wakes the reactor if it sleeps.
    pub(crate) fn ring(&self) {
        if self.doorbell.ring() && !cfg!(annulet_planted = "lost-wake-up") {
            self.unpark.unpark();
        }
    }

    /// True when somebody rang since the last [`take`](Self::take).
    pub(crate) fn has_work(&self) -> bool {
        self.doorbell.rung()
    }

    /// Announces sleep; false when there is work and the reactor must not sleep.
    pub(crate) fn prepare_sleep(&self) -> bool {
        self.doorbell.prepare_sleep()
    }

    /// Ends the announcement.
    pub(crate) fn awake(&self) {
        self.doorbell.awake();
    }

    /// Takes everything.
    pub(crate) fn take(&self) -> Queues {
        self.doorbell.answer();
        let mut queues = self.lock();
        let closed = queues.closed;
        std::mem::replace(&mut *queues, Queues { closed, ..Queues::default() })
    }

    /// Refuses whatever comes from now on and returns what had come.
    pub(crate) fn close(&self) -> Queues {
        std::mem::replace(&mut *self.lock(), Queues { closed: true, ..Queues::default() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
