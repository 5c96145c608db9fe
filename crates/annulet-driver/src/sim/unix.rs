//! Unix sockets: names, and connections that are made at once.

use std::io;
use std::path::{Path, PathBuf};

use super::errno;
use super::fault::Operation;
use super::file::{FileId, Kind};
use super::host::{Host, HostId};
use super::stream::{CLIENT, End, EndState, Options, SERVER, Side, Stream, StreamId};
use super::window::{Direction, Fin};
use super::world::State;
use crate::socket::{Address, Domain, UnixAddress};

/// A name that a Unix socket can have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    Path(PathBuf),
    Abstract(Vec<u8>),
    None,
}

impl Name {
    pub(super) fn of(address: &UnixAddress) -> Self {
        match address {
            UnixAddress::Path(path) => Self::Path(path.clone()),
            UnixAddress::Abstract(name) => Self::Abstract(name.clone()),
            UnixAddress::Unnamed => Self::None,
        }
    }

    /// # Errors
    /// EINVAL for what does not fit into a `sockaddr_un`, and for no name.
    fn checked(address: &UnixAddress) -> io::Result<Self> {
        let name = Self::of(address);
        let length = match &name {
            Self::Path(path) => path.as_os_str().len(),
            Self::Abstract(name) => name.len(),
            Self::None => usize::MAX,
        };
        if length > 107 { Err(errno(libc::EINVAL)) } else { Ok(name) }
    }
}

/// What a name stands for. A path outlives its listener.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) number: u64,
    pub(super) is_socket: bool,
    pub(super) listener: Option<FileId>,
}

impl Host {
    pub(super) fn forget_listener(&mut self, name: Name, id: FileId) {
        let Some(inode) = self.names.get_mut(&name).filter(|inode| inode.listener == Some(id)) else {
            return;
        };
        inode.listener = None;
        if matches!(name, Name::Abstract(_)) {
            self.names.remove(&name);
        }
    }

    /// The inode at a path and whether it is a socket.
    pub(super) fn inode(&self, path: &Path) -> Option<(u64, bool)> {
        self.names.get(&Name::Path(path.to_owned())).map(|inode| (inode.number, inode.is_socket))
    }

    pub(super) fn create(&mut self, name: Name, is_socket: bool) -> io::Result<()> {
        if self.names.contains_key(&name) {
            return Err(errno(if is_socket { libc::EADDRINUSE } else { libc::EEXIST }));
        }
        let number = self.new_inode();
        self.names.insert(name, Inode { number, is_socket, listener: None });
        Ok(())
    }

    /// unlink(2). A listener that was behind the path stays open and cannot be reached.
    pub(super) fn unlink(&mut self, path: &Path) -> io::Result<()> {
        self.names.remove(&Name::Path(path.to_owned())).map(drop).ok_or_else(|| errno(libc::ENOENT))
    }
}

impl State {
    pub(super) fn bind_unix(&mut self, host: HostId, address: &UnixAddress) -> io::Result<Name> {
        let name = Name::checked(address)?;
        self.hosts[host.index()].create(name.clone(), true)?;
        Ok(name)
    }

    /// Connects at once, or fails.
    ///
    /// # Errors
    /// EAGAIN where the listener's queue is full (unix(7)), ECONNREFUSED where nobody listens, ENOENT without a file.
    pub(super) fn connect_unix(&mut self, host: HostId, id: FileId, address: &UnixAddress) -> io::Result<()> {
        let name = Name::checked(address)?;
        let found = self.hosts[host.index()].names.get(&name).map(|inode| inode.listener);
        let missing = if matches!(name, Name::Path(_)) { libc::ENOENT } else { libc::ECONNREFUSED };
        let listener_id = found.ok_or_else(|| errno(missing))?.ok_or_else(|| errno(libc::ECONNREFUSED))?;
        let listener = self.listener_mut(listener_id).expect("a name's listener is open");
        if listener.is_full() {
            return Err(errno(libc::EAGAIN));
        }
        let fresh = self.connectable(id)?;
        let listener = self.listener_mut(listener_id).expect("just found");
        let (bound, options) = (listener.address.clone(), listener.options.clone());
        let nobody = Address::Unix(UnixAddress::Unnamed);
        let ends = [
            End { file: Some(id), ..End::new(host, nobody.clone(), bound.clone(), fresh.options) },
            End { is_queued: true, ..End::new(host, bound, nobody, options) },
        ];
        let stream = self.insert_unix(ends);
        self.file_mut(id)?.kind = Kind::Stream(stream, CLIENT);
        self.listener_mut(listener_id).expect("just found").queue.push_back(stream);
        self.changed(Some(listener_id));
        Ok(())
    }

    /// socketpair(2).
    pub(super) fn unix_pair(&mut self, host: HostId) -> io::Result<(i32, i32)> {
        self.check_shortages(host, Operation::Open)?;
        let options = Options::new(&self.hosts[host.index()].settings);
        let nobody = Address::Unix(UnixAddress::Unnamed);
        let end = || End::new(host, nobody.clone(), nobody.clone(), options.clone());
        let stream = self.insert_unix([end(), end()]);
        let [one, other] = [CLIENT, SERVER].map(|side| {
            let (descriptor, file) = self.open(host, Kind::Stream(stream, side));
            self.stream_mut(stream).ends[side].file = Some(file);
            descriptor
        });
        Ok((one, other))
    }

    fn insert_unix(&mut self, mut ends: [End; 2]) -> StreamId {
        ends.iter_mut().for_each(|end| (end.state, end.is_used) = (EndState::Open, true));
        let directions = [CLIENT, SERVER].map(|side| Direction::instant(ends[side].options.send_buffer));
        self.insert_stream(Stream::new(Domain::Unix, ends, directions))
    }

    /// An end's file is closed, or it is thrown out of the queue (`is_refused`). The peer reads what it was sent; it
    /// hears of a reset if bytes of its own were not read.
    pub(super) fn close_unix(&mut self, id: StreamId, side: Side, is_refused: bool) {
        let stream = self.stream_mut(id);
        let had_unread = stream.directions[1 - side].unread() > 0;
        stream.directions[1 - side].discard_unread();
        stream.ends[side].state = EndState::Closed;
        let peer = &mut stream.ends[1 - side];
        if peer.state == EndState::Open {
            (peer.is_read_shut, peer.is_send_shut) = (true, true);
            if had_unread || is_refused {
                peer.error = Some(libc::ECONNRESET);
            }
            stream.directions[side].fin = Fin::Arrived;
        }
        let file = peer.file;
        self.changed(file);
        self.free_if_over(id);
    }

    /// shutdown(2): what one end may not receive, the other may not send, and the reverse.
    pub(super) fn shut_unix(&mut self, id: StreamId, side: Side, read: bool, send: bool) {
        let stream = self.stream_mut(id);
        let [one, other] = &mut stream.ends;
        let (own, peer) = if side == CLIENT { (one, other) } else { (other, one) };
        own.is_read_shut |= read;
        own.is_send_shut |= send;
        peer.is_read_shut |= send;
        peer.is_send_shut |= read;
        if send {
            stream.directions[side].fin = Fin::Arrived;
        }
        let files = stream.ends.each_ref().map(|end| end.file);
        files.into_iter().for_each(|file| self.changed(file));
    }
}
