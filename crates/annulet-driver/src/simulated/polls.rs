//! What a simulated epoll instance watches, and what it has to tell: edges, as epoll(7) has them with EPOLLET.
//!
//! Whatever happens to a watched file queues it, once; what is told is its state when it is taken. So edges are never
//! lost, but merged, and told again without need.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::RawFd;

use crate::sim::{Fault, FileId, Operation, Readiness, World};
use crate::sys::epoll::{CLOSED, ERROR, READ_CLOSED, READABLE, WRITABLE};

/// How many events of closed descriptors may still be told.
const FORMER_MAX: usize = 16;

#[derive(Default)]
pub(crate) struct Polls {
    watched: BTreeMap<RawFd, Watched>,
    /// Those with something to tell, each once.
    ready: VecDeque<RawFd>,
    /// Those with edges that are held back, and how many.
    late: BTreeMap<RawFd, u32>,
    /// Data of descriptors that were closed.
    former: VecDeque<u64>,
}

#[derive(Clone, Copy)]
struct Watched {
    file: FileId,
    interest: u32,
    data: u64,
    /// The wake: readable from its first ring on.
    is_wake: bool,
}

impl Polls {
    /// Adds or changes a watch, which looks at the file at once; the file that was watched under this number before, if
    /// it was another.
    pub(super) fn watch(
        &mut self,
        world: &World,
        descriptor: RawFd,
        file: FileId,
        (interest, data): (u32, u64),
    ) -> Option<FileId> {
        let is_wake = world.tag(file).is_some();
        let former = self.watched.insert(descriptor, Watched { file, interest, data, is_wake });
        if !is_wake && mask(world.readiness(file)) & told(interest) != 0 {
            self.queue(descriptor);
        }
        former.map(|former| former.file).filter(|former| *former != file)
    }

    /// True when the file is watched under this number.
    pub(super) fn watches(&self, descriptor: RawFd, file: FileId) -> bool {
        self.watched.get(&descriptor).is_some_and(|watched| watched.file == file)
    }

    /// The file watched under this number.
    pub(super) fn file(&self, descriptor: RawFd) -> Option<FileId> {
        self.watched.get(&descriptor).map(|watched| watched.file)
    }

    /// Ends a watch.
    pub(super) fn remove(&mut self, descriptor: RawFd) {
        self.ready.retain(|ready| *ready != descriptor);
        if let Some(Watched { data, .. }) = self.watched.remove(&descriptor) {
            if self.former.len() == FORMER_MAX {
                self.former.pop_front();
            }
            self.former.push_back(data);
        }
    }

    /// All numbers watched.
    pub(super) fn descriptors(&self) -> Vec<RawFd> {
        self.watched.keys().copied().collect()
    }

    /// Something happened to the file behind a number.
    pub(super) fn queue(&mut self, descriptor: RawFd) {
        if self.watched.contains_key(&descriptor) && !self.ready.contains(&descriptor) {
            self.ready.push_back(descriptor);
        }
    }

    /// An edge of the file behind a number is held back.
    pub(super) fn hold_back(&mut self, descriptor: RawFd) {
        *self.late.entry(descriptor).or_default() += 1;
    }

    /// And no longer.
    pub(super) fn let_go(&mut self, descriptor: RawFd) {
        if let Some(late) = self.late.get_mut(&descriptor) {
            *late -= 1;
            if *late == 0 {
                self.late.remove(&descriptor);
            }
        }
        self.queue(descriptor);
    }

    /// True when the file behind a number is as any of `awaited` has it, and nothing will be told of it.
    pub(super) fn is_silent(&self, world: &World, descriptor: RawFd, awaited: u32) -> bool {
        let Some(watched) = self.watched.get(&descriptor) else { return true };
        let is_so = mask(world.readiness(watched.file)) & awaited;
        let is_to_be_told = self.ready.contains(&descriptor)
            || self.late.contains_key(&descriptor)
            || world.has_changed(watched.file);
        is_so != 0 && !(is_to_be_told && is_so & told(watched.interest) != 0)
    }

    /// True when there is something to tell, or may be.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes up to `capacity` events: flags and data.
    pub(super) fn take(&mut self, world: &World, capacity: usize) -> Vec<(u32, u64)> {
        let mut events = Vec::new();
        if !self.former.is_empty() && world.hit(Fault::StaleCompletion, Operation::Receive) {
            events.extend(self.former.pop_front().map(|data| (READABLE, data)));
        }
        while events.len() < capacity && !self.ready.is_empty() {
            let at = match self.ready.len() {
                1 => 0,
                count if world.hit(Fault::ReorderedCompletions, Operation::Receive) => {
                    world.severity(Fault::ReorderedCompletions, 1, count as u64) as usize - 1
                }
                _ => 0,
            };
            let descriptor = self.ready.remove(at).expect("within the queue");
            let Some(watched) = self.watched.get(&descriptor) else { continue };
            let flags = if watched.is_wake {
                READABLE
            } else {
                mask(world.readiness(watched.file)) & told(watched.interest)
            };
            if flags != 0 {
                events.push((flags, watched.data));
            }
        }
        events
    }
}

/// What is told of: what is asked for, and always the two that nobody need ask for.
fn told(interest: u32) -> u32 {
    interest | CLOSED | ERROR
}

fn mask(readiness: Readiness) -> u32 {
    let Readiness { readable, writable, read_closed, hung_up, error } = readiness;
    [
        (readable, READABLE),
        (writable, WRITABLE),
        (read_closed, READ_CLOSED),
        (hung_up, CLOSED),
        (error, ERROR),
    ]
    .into_iter()
    .filter(|(is_so, _)| *is_so)
    .fold(0, |mask, (_, flag)| mask | flag)
}
