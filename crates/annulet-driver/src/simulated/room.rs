//! Watching simulated sockets for room to send, as the small epoll instance inside a real ring does it.

use std::collections::BTreeMap;
use std::os::fd::RawFd;

use crate::op::Key;
use crate::sim::{FileId, World};

/// What is watched, once each.
pub(crate) struct Room {
    watched: BTreeMap<RawFd, Watched>,
    ready: Vec<RawFd>,
    events: u64,
}

#[derive(Clone, Copy)]
struct Watched {
    file: FileId,
    key: Key,
    is_armed: bool,
}

impl Room {
    pub(super) fn new() -> Self {
        Self { watched: BTreeMap::new(), ready: Vec::new(), events: 0 }
    }

    /// Times something became ready.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// Arms a watch; the file that was watched under this number before, if it was another.
    pub(super) fn arm(&mut self, descriptor: RawFd, file: FileId, key: Key) -> Option<FileId> {
        let former = self.watched.insert(descriptor, Watched { file, key, is_armed: true });
        former.map(|former| former.file).filter(|former| *former != file)
    }

    /// True when the file is watched under this number.
    pub(super) fn watches(&self, descriptor: RawFd, file: FileId) -> bool {
        self.watched.get(&descriptor).is_some_and(|watched| watched.file == file)
    }

    /// Takes a watch back; its file.
    pub(super) fn remove(&mut self, descriptor: RawFd) -> Option<FileId> {
        self.ready.retain(|ready| *ready != descriptor);
        self.watched.remove(&descriptor).map(|watched| watched.file)
    }

    /// Looks whether a socket has room now; true when that is news.
    pub(super) fn look(&mut self, world: &World, descriptor: RawFd) -> bool {
        let Some(watched) = self.watched.get(&descriptor) else { return false };
        if !watched.is_armed || self.ready.contains(&descriptor) || !has_room(world, watched.file) {
            return false;
        }
        self.ready.push(descriptor);
        self.events += 1;
        true
    }

    /// The keys of those that are ready still; each is told once.
    pub(super) fn take(&mut self, world: &World) -> Vec<Key> {
        let ready = std::mem::take(&mut self.ready);
        let mut keys = Vec::new();
        for descriptor in ready {
            if let Some(watched) = self.watched.get_mut(&descriptor)
                && watched.is_armed
                && has_room(world, watched.file)
            {
                watched.is_armed = false;
                keys.push(watched.key);
            }
        }
        keys
    }
}

fn has_room(world: &World, file: FileId) -> bool {
    let readiness = world.readiness(file);
    readiness.writable || readiness.error || readiness.hung_up
}
