//! Sources: whatever gives operations to a reactor and takes their completions.

use std::rc::Rc;

use annulet_driver::{Outcome, Token};

use crate::audit::Audit;
use crate::origin::{Caller, Origin};
use crate::reactor::Reactor;

/// Something that submits operations: a connection, a listener, a signal stream.
///
/// The reactor calls these methods one at a time, never from within each other: an operation completes in the turn
/// after its submission at the earliest, and timers and turn ends have their place in the turn.
pub trait Source {
    /// One of the source's operations completed; `last`: for the last time. `tag` is what it was submitted with.
    fn complete(self: Rc<Self>, reactor: &Reactor, tag: u32, outcome: Outcome, last: bool);

    /// The turn ends: whatever was staged in it leaves now. Called once after
    /// [`Reactor::at_turn_end`] asked for it.
    fn turn_end(self: Rc<Self>, reactor: &Reactor) {
        let _ = reactor;
    }

    /// A timer armed with [`Reactor::arm_timer`] fired.
    fn timer(self: Rc<Self>, reactor: &Reactor) {
        let _ = reactor;
    }

    /// Something the source depends on outside its operations has changed (its server drains, or cuts): look again.
    /// Called by [`Reactor::review_sources`].
    fn review(self: Rc<Self>, reactor: &Reactor) {
        let _ = reactor;
    }

    /// Adds to `audit` what it holds, and what of that must not be. Called by [`Reactor::audit`], between turns.
    fn audit(&self, audit: &mut Audit) {
        let _ = audit;
    }

    /// What the source is, for whoever finds that it leaked: `connection from 127.0.0.1:4711 accepted at 127.0.0.1:80`.
    fn story(&self, reactor: &Reactor) -> String {
        let _ = reactor;
        "source".to_owned()
    }

    /// The reactor ends now. No operation of the source is in flight any more and none may be submitted: close what
    /// it holds.
    fn release(self: Rc<Self>, reactor: &Reactor);
}

/// A source's place in its reactor's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceId(u32);

impl SourceId {
    pub(crate) fn token(self, tag: u32) -> Token {
        Token(u64::from(self.0) | u64::from(tag) << 32)
    }

    #[inline]
    pub(crate) fn split(token: Token) -> (Self, u32) {
        (Self(token.0 as u32), (token.0 >> 32) as u32)
    }
}

/// The table of sources.
#[derive(Default)]
pub(crate) struct Sources(slab::Slab<(Rc<dyn Source>, Caller)>);

impl Sources {
    /// Enters a source that `caller` registered.
    pub(crate) fn insert(&mut self, source: Rc<dyn Source>, caller: Caller) -> SourceId {
        SourceId(u32::try_from(self.0.insert((source, caller))).expect("fewer than 2^32 sources"))
    }

    pub(crate) fn remove(&mut self, id: SourceId) -> Rc<dyn Source> {
        self.0.remove(id.0 as usize).0
    }

    #[inline]
    pub(crate) fn get(&self, id: SourceId) -> Option<Rc<dyn Source>> {
        self.0.get(id.0 as usize).map(|(source, _)| source.clone())
    }

    pub(crate) fn all(&self) -> Vec<Rc<dyn Source>> {
        self.0.iter().map(|(_, (source, _))| source.clone()).collect()
    }

    /// Where each came from.
    pub(crate) fn origins(&self, reactor: &Reactor) -> Vec<(SourceId, Origin)> {
        let origin = |(id, (source, caller)): (usize, &(Rc<dyn Source>, Caller))| {
            (SourceId(id as u32), Origin::new(format!("{}, registered", source.story(reactor)), *caller))
        };
        self.0.iter().map(origin).collect()
    }

    pub(crate) fn has(&self, id: SourceId) -> bool {
        self.0.contains(id.0 as usize)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
