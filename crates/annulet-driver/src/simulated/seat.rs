//! One reactor's kernel: its ring or epoll instance, its wake, and whether it sleeps.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::polls::Polls;
use super::ring::Ring;
use super::room::Room;
use super::wake::Wake;
use crate::instant::Instant;
use crate::sim::{Chance, HostId};

/// One reactor's kernel.
pub(crate) struct Seat {
    pub(crate) id: u32,
    pub(crate) host: HostId,
    pub(crate) ring: RefCell<Ring>,
    pub(crate) room: RefCell<Room>,
    pub(crate) polls: RefCell<Polls>,
    pub(crate) wake: RefCell<Option<Arc<Wake>>>,
    /// Times the wake was rung.
    pub(super) rung: Cell<u64>,
    pub(crate) signals: RefCell<Vec<(u64, Rc<Cell<u64>>)>>,
    pub(crate) entropy: RefCell<Chance>,
    pub(crate) costs: RefCell<Chance>,
    /// The scheduler takes over where the reactor would sleep.
    pub(super) parks: Cell<bool>,
    /// Asleep, until then at the latest.
    pub(crate) asleep: Cell<Option<Option<Instant>>>,
}

impl Seat {
    /// Something that ends a sleep.
    pub(super) fn has_news(&self) -> bool {
        self.ring.borrow().has_completions() || self.polls.borrow().is_ready() || self.has_work()
    }

    /// Something that only entering the ring brings forth.
    pub(super) fn has_work(&self) -> bool {
        let is_rung = || self.wake.borrow().as_ref().is_some_and(|wake| wake.is_rung());
        self.ring.borrow().wants_entering() || is_rung()
    }

    pub(super) fn sleeps_until(&self, now: Instant) -> Option<Option<Instant>> {
        let deadline = self.asleep.get()?;
        let is_over = self.has_news() || deadline.is_some_and(|deadline| deadline <= now);
        (!is_over).then_some(deadline)
    }

    /// True while it sleeps and nothing that ends the sleep is under way, however late it may be.
    pub(crate) fn is_asleep(&self, now: Instant) -> bool {
        self.sleeps_until(now).is_some() && !self.ring.borrow().has_yet_to_tell(self.rung.get())
    }
}
