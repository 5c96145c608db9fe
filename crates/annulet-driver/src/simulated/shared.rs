//! What the kernels of a world share: the world, each other, and who wants to know of which file.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::guard::Abandoned;
use super::seat::Seat;
use super::{EDGE, LATE_MAX_NANOS};
use crate::sim::{Fault, FileId, Happened, HostId, Outside, World};

pub(crate) struct Shared {
    pub(crate) world: World,
    pub(super) seats: RefCell<Vec<Rc<Seat>>>,
    pub(super) interests: RefCell<BTreeMap<u64, Vec<Interest>>>,
    pub(super) changes: RefCell<Vec<FileId>>,
    pub(super) abandoned: Arc<Abandoned>,
    /// A thread of somebody else's has woken a reactor.
    pub(super) is_foreign: Arc<AtomicBool>,
    /// What happened while a driver slept and nobody asked: for the next who does.
    pub(super) unasked: RefCell<VecDeque<Happened>>,
    pub(super) meanwhile: RefCell<Option<Rc<Meanwhile>>>,
}

/// Sees to what happens while a driver sleeps.
pub(super) type Meanwhile = dyn Fn(Happened);

/// Who wants to know of a file's changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// An operation of a ring.
    Operation { seat: u32, number: u64 },
    /// A ring's watch for room.
    Room { seat: u32, descriptor: RawFd },
    /// An epoll instance.
    Edge { seat: u32, descriptor: RawFd },
}

impl Shared {
    pub(super) fn seat(&self, seat: u32) -> Rc<Seat> {
        Rc::clone(&self.seats.borrow()[seat as usize])
    }

    pub(crate) fn host(&self, seat: u32) -> HostId {
        self.seats.borrow()[seat as usize].host
    }

    pub(crate) fn file(&self, seat: u32, descriptor: RawFd) -> io::Result<FileId> {
        self.world.file(self.host(seat), descriptor)
    }

    /// Has somebody told of a file's changes.
    pub(crate) fn watch(&self, file: FileId, interest: Interest) {
        self.world.watch(file);
        self.interests.borrow_mut().entry(file.to_bits()).or_default().push(interest);
    }

    /// And no longer.
    pub(crate) fn unwatch(&self, file: FileId, interest: Interest) {
        let mut interests = self.interests.borrow_mut();
        let Some(list) = interests.get_mut(&file.to_bits()) else { return };
        let Some(at) = list.iter().position(|other| *other == interest) else { return };
        list.remove(at);
        if list.is_empty() {
            interests.remove(&file.to_bits());
        }
        drop(interests);
        self.world.unwatch(file);
    }

    /// Tells everybody of what has changed.
    pub(super) fn settle(&self) {
        let mut changes = self.changes.take();
        self.world.take_changes(&mut changes);
        for file in changes.drain(..) {
            let interests = self.interests.borrow().get(&file.to_bits()).cloned().unwrap_or_default();
            for interest in interests {
                match interest {
                    Interest::Operation { seat, number } => {
                        self.seat(seat).ring.borrow_mut().poke(self, number);
                    }
                    Interest::Edge { seat, descriptor } => self.edge(seat, descriptor),
                    Interest::Room { seat, descriptor } => {
                        let seat = self.seat(seat);
                        let has_news = seat.room.borrow_mut().look(&self.world, descriptor);
                        if has_news {
                            self.poke_poll(&seat);
                        }
                    }
                }
            }
        }
        self.changes.replace(changes);
    }

    /// A seat's wake or watch has something to tell: its polls get on.
    pub(crate) fn poke_poll(&self, seat: &Seat) {
        seat.ring.borrow_mut().poke_polls(self);
    }

    /// Something happened to a file that an epoll instance watches.
    pub(super) fn edge(&self, seat: u32, descriptor: RawFd) {
        if self.world.hit(Fault::LateCompletion, crate::sim::Operation::Receive) {
            let nanos = self.world.severity(Fault::LateCompletion, 1, LATE_MAX_NANOS);
            let event = Outside { kind: EDGE, a: u64::from(seat), b: descriptor as u64 };
            self.seat(seat).polls.borrow_mut().hold_back(descriptor);
            self.world.schedule(self.world.now() + Duration::from_nanos(nanos), event);
        } else {
            self.seat(seat).polls.borrow_mut().queue(descriptor);
        }
    }

    /// True for the descriptor of a watch for room.
    pub(super) fn is_watch(&self, seat: u32, descriptor: RawFd) -> bool {
        self.file(seat, descriptor).ok().and_then(|file| self.world.tag(file)).is_some_and(|tag| tag & 1 == 1)
    }

    /// How often the file of a poll became readable: a wake's or a watch's.
    pub(crate) fn events_of(&self, seat: u32, file: FileId) -> Option<u64> {
        let is_watch = self.world.tag(file)? & 1 == 1;
        let seat = self.seat(seat);
        if is_watch { seat.room.try_borrow().ok().map(|room| room.events()) } else { Some(seat.rung.get()) }
    }

    /// Notes a signal for those of the host that watch it; false when nobody does.
    pub(super) fn deliver_signal(&self, host: HostId, signal: i32) -> bool {
        let mut is_watched = false;
        let seats = self.seats.borrow().clone();
        for seat in seats.iter().filter(|seat| seat.host == host) {
            let signals = seat.signals.borrow();
            for (watched, arrived) in signals.iter() {
                if watched & 1 << signal != 0 {
                    is_watched = true;
                    arrived.set(arrived.get() | 1 << signal);
                    if let Some(wake) = &*seat.wake.borrow() {
                        wake.ring();
                    }
                }
            }
        }
        is_watched
    }
}
