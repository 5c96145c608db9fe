//! Open files, and what descriptors and operations do to them.

use std::io;

use super::errno;
use super::event::Event;
use super::fault::{Fault, Operation};
use super::host::{Host, HostId, Life};
use super::listener::Listener;
use super::log::LogKind;
use super::stream::{Options, Side, StreamId};
use super::world::State;
use crate::op::Key;
use crate::socket::Domain;

/// An open file (a "file description"): what descriptors refer to. It lives as long as a descriptor or an operation
/// in flight holds it. An id never names a later file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId(pub(super) Key);

impl FileId {
    /// For logs and tables; the same in every run.
    pub fn to_bits(self) -> u64 {
        self.0.to_bits()
    }
}

/// What poll(2) would say of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// There are bytes, an end, an error, or a connection to accept (POLLIN).
    pub readable: bool,
    /// There is room to send, or a send would fail (POLLOUT).
    pub writable: bool,
    /// The peer sends no more (POLLRDHUP).
    pub read_closed: bool,
    /// Neither direction is open (POLLHUP).
    pub hung_up: bool,
    /// An error waits to be taken (POLLERR).
    pub error: bool,
}

#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) host: HostId,
    pub(super) descriptors: u32,
    /// Operations in flight.
    pub(super) holds: u32,
    watchers: u32,
    /// Among the changes not yet taken.
    is_changed: bool,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// A socket that is neither connected nor listening.
    Fresh(Fresh),
    Listener(Listener),
    Stream(StreamId, Side),
    /// The layer above's.
    Outside {
        tag: u64,
        readiness: Readiness,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Fresh {
    pub(super) domain: Domain,
    pub(super) options: Options,
}

/// The errors that opening a descriptor can be made to fail with.
const SHORTAGES: [(Fault, i32); 4] = [
    (Fault::NoDescriptors, libc::EMFILE),
    (Fault::NoFiles, libc::ENFILE),
    (Fault::NoBuffers, libc::ENOBUFS),
    (Fault::NoMemory, libc::ENOMEM),
];

impl State {
    /// The host, if programs run on it.
    ///
    /// # Errors
    /// EBADF: a killed host's calls find nothing.
    pub(super) fn live_host(&mut self, host: HostId) -> io::Result<&mut Host> {
        let host = &mut self.hosts[host.index()];
        if host.life == Life::Alive { Ok(host) } else { Err(errno(libc::EBADF)) }
    }

    /// Whether `operation` may open a descriptor.
    ///
    /// # Errors
    /// EMFILE where the table is full, and the shortages that faults make up.
    pub(super) fn check_shortages(&mut self, host: HostId, operation: Operation) -> io::Result<()> {
        let host = self.live_host(host)?;
        if !host.descriptors.has_room(host.settings.descriptors_max) {
            return Err(errno(libc::EMFILE));
        }
        for (fault, number) in SHORTAGES {
            if fault.meets().contains(&operation) && self.hit(fault, operation) {
                return Err(errno(number));
            }
        }
        Ok(())
    }

    /// A new file behind the lowest free descriptor.
    pub(super) fn open(&mut self, host: HostId, kind: Kind) -> (i32, FileId) {
        let file = OpenFile { host, descriptors: 1, holds: 0, watchers: 0, is_changed: false, kind };
        let file = FileId(self.files.insert(file));
        let descriptor = self.hosts[host.index()].descriptors.open(file);
        self.names.add_file(file, host, descriptor);
        self.note(LogKind::OPEN, u64::from(host.0), descriptor as u64);
        (descriptor, file)
    }

    pub(super) fn socket(&mut self, host: HostId, domain: Domain) -> io::Result<i32> {
        self.check_shortages(host, Operation::Open)?;
        let options = Options::new(&self.hosts[host.index()].settings);
        Ok(self.open(host, Kind::Fresh(Fresh { domain, options })).0)
    }

    pub(super) fn open_outside(&mut self, host: HostId, tag: u64) -> io::Result<i32> {
        self.check_shortages(host, Operation::Open)?;
        Ok(self.open(host, Kind::Outside { tag, readiness: Readiness::default() }).0)
    }

    pub(super) fn duplicate(&mut self, host: HostId, descriptor: i32) -> io::Result<i32> {
        let file = self.live_host(host)?.descriptors.get(descriptor)?;
        self.check_shortages(host, Operation::Duplicate)?;
        self.file_mut(file)?.descriptors += 1;
        let copy = self.hosts[host.index()].descriptors.open(file);
        self.note(LogKind::OPEN, u64::from(host.0), copy as u64);
        Ok(copy)
    }

    pub(super) fn close(&mut self, host: HostId, descriptor: i32) -> io::Result<()> {
        let file = self.live_host(host)?.descriptors.close(descriptor)?;
        self.note(LogKind::CLOSE, u64::from(host.0), descriptor as u64);
        self.file_mut(file)?.descriptors -= 1;
        self.close_if_unused(file, Operation::Close);
        Ok(())
    }

    /// # Errors
    /// EBADF when it is closed.
    pub(super) fn file(&self, id: FileId) -> io::Result<&OpenFile> {
        self.files.get(id.0).ok_or_else(|| errno(libc::EBADF))
    }

    /// # Errors
    /// EBADF when it is closed.
    pub(super) fn file_mut(&mut self, id: FileId) -> io::Result<&mut OpenFile> {
        self.files.get_mut(id.0).ok_or_else(|| errno(libc::EBADF))
    }

    /// The connection end behind a file, if it is one.
    ///
    /// # Errors
    /// EBADF.
    pub(super) fn end_of(&self, id: FileId) -> io::Result<Option<(StreamId, Side)>> {
        Ok(match self.file(id)?.kind {
            Kind::Stream(stream, side) => Some((stream, side)),
            _ => None,
        })
    }

    pub(super) fn hold(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(id.0) {
            file.holds += 1;
        }
    }

    pub(super) fn release(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(id.0) {
            file.holds = file.holds.checked_sub(1).expect("a file is released as often as it is held");
            self.close_if_unused(id, Operation::Close);
        }
    }

    fn close_if_unused(&mut self, id: FileId, operation: Operation) {
        let is_unused = |file: &OpenFile| file.descriptors == 0 && file.holds == 0;
        if self.files.get(id.0).is_some_and(is_unused) {
            self.close_file(id, operation);
        }
    }

    /// The end of an open file, whoever still refers to it.
    pub(super) fn close_file(&mut self, id: FileId, operation: Operation) {
        let Some(file) = self.files.remove(id.0) else { return };
        match file.kind {
            Kind::Fresh(_) | Kind::Outside { .. } => {}
            Kind::Listener(listener) => self.close_listener(file.host, id, listener),
            Kind::Stream(stream, side) => self.close_end(stream, side, operation),
        }
    }

    pub(super) fn watch(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(id.0) {
            file.watchers += 1;
        }
    }

    pub(super) fn unwatch(&mut self, id: FileId) {
        if let Some(file) = self.files.get_mut(id.0) {
            file.watchers =
                file.watchers.checked_sub(1).expect("a file is unwatched as often as it is watched");
        }
    }

    /// Whoever watches this file is to look at it again.
    pub(super) fn changed(&mut self, id: Option<FileId>) {
        let Some(id) = id else { return };
        if let Some(file) = self.files.get_mut(id.0)
            && file.watchers > 0
            && !std::mem::replace(&mut file.is_changed, true)
        {
            self.changes.push(id);
        }
    }

    pub(super) fn take_changes(&mut self, files: &mut Vec<FileId>) {
        for id in self.changes.drain(..) {
            if let Some(file) = self.files.get_mut(id.0) {
                file.is_changed = false;
                files.push(id);
            }
        }
    }

    pub(super) fn readiness(&self, id: FileId) -> Readiness {
        match self.files.get(id.0).map(|file| &file.kind) {
            Some(Kind::Fresh(_)) => Readiness { writable: true, hung_up: true, ..Readiness::default() },
            Some(Kind::Listener(listener)) => {
                Readiness { readable: !listener.queue.is_empty(), ..Readiness::default() }
            }
            Some(Kind::Stream(stream, side)) => {
                self.streams.get(stream.0).map_or_else(Readiness::default, |stream| stream.readiness(*side))
            }
            Some(Kind::Outside { readiness, .. }) => *readiness,
            None => Readiness::default(),
        }
    }

    pub(super) fn set_readiness(&mut self, id: FileId, to: Readiness) {
        if let Some(OpenFile { kind: Kind::Outside { readiness, .. }, .. }) = self.files.get_mut(id.0) {
            *readiness = to;
            self.changed(Some(id));
        }
    }

    /// Reports room after a fault said that there was none.
    pub(super) fn schedule_room(&mut self, stream: StreamId, side: Side) {
        let wait = self.faults.chance(Fault::PartialSend).spread(1_000, 20_000_000);
        self.schedule_after(wait, Event::Room { stream, side });
    }
}
