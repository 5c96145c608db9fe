//! Listening and accepting.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};

use super::errno;
use super::fault::{Fault, Operation};
use super::file::{FileId, Kind};
use super::host::HostId;
use super::log::LogKind;
use super::stream::{Options, SERVER, StreamId};
use super::unix::Name;
use super::world::State;
use crate::socket::{Address, Domain, ListenSpec};

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) address: Address,
    /// Connections that wait to be accepted. One that died meanwhile stays: Linux hands it over, and its first call
    /// says what became of it.
    pub(super) queue: VecDeque<StreamId>,
    /// Connections that have a place in the queue and wait for the client's last word.
    pub(super) handshakes: usize,
    backlog: usize,
    shares_port: bool,
    is_v6_only: bool,
    /// What accepted sockets inherit.
    pub(super) options: Options,
}

impl Listener {
    /// Linux takes one more than the backlog.
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() + self.handshakes > self.backlog
    }

    pub(super) fn domain(&self) -> Domain {
        self.address.domain()
    }

    fn takes_v4(&self) -> bool {
        self.domain() == Domain::V4 || !self.is_v6_only
    }

    /// How exactly this listener's address fits; `None` when it does not.
    fn fit(&self, to: IpAddr) -> Option<u32> {
        let bound = self.address.as_tcp()?.ip();
        match (bound, to) {
            _ if bound == to => Some(3),
            (IpAddr::V4(bound), IpAddr::V4(_)) if bound.is_unspecified() => Some(2),
            (IpAddr::V6(bound), IpAddr::V6(_)) if bound.is_unspecified() => Some(2),
            (IpAddr::V6(bound), IpAddr::V4(_)) if bound.is_unspecified() && self.takes_v4() => Some(1),
            _ => None,
        }
    }

    /// Whether the two want the same address.
    fn collides(&self, other: &Self) -> bool {
        let (Some(one), Some(two)) = (self.address.as_tcp(), other.address.as_tcp()) else { return false };
        let overlap = match (one.ip(), two.ip()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => a == b || a.is_unspecified() || b.is_unspecified(),
            (IpAddr::V6(a), IpAddr::V6(b)) => a == b || a.is_unspecified() || b.is_unspecified(),
            (IpAddr::V6(wide), IpAddr::V4(_)) => wide.is_unspecified() && self.takes_v4(),
            (IpAddr::V4(_), IpAddr::V6(wide)) => wide.is_unspecified() && other.takes_v4(),
        };
        overlap && !(self.shares_port && other.shares_port)
    }
}

impl State {
    pub(super) fn listen(&mut self, host: HostId, spec: &ListenSpec) -> io::Result<(i32, Address)> {
        self.check_shortages(host, Operation::Listen)?;
        let settings = &self.hosts[host.index()].settings;
        let mut options = Options::new(settings);
        // As the drivers set it, before listen(2).
        options.no_delay = spec.address.domain() != Domain::Unix;
        let mut listener = Listener {
            address: spec.address.clone(),
            queue: VecDeque::new(),
            handshakes: 0,
            backlog: spec.backlog.min(settings.backlog_max) as usize,
            shares_port: spec.share_port,
            is_v6_only: spec.v6_only,
            options,
        };
        let name = match &spec.address {
            Address::Tcp(address) => {
                listener.address = Address::Tcp(self.bind_tcp(host, *address, &listener)?);
                None
            }
            Address::Unix(address) => Some(self.bind_unix(host, address)?),
        };
        let bound = listener.address.clone();
        let (descriptor, file) = self.open(host, Kind::Listener(listener));
        let host = &mut self.hosts[host.index()];
        match (name, bound.as_tcp()) {
            (Some(name), _) => drop(host.names.entry(name).and_modify(|inode| inode.listener = Some(file))),
            (None, Some(address)) => host.ports.entry(address.port()).or_default().push(file),
            (None, None) => unreachable!("an address is of one family"),
        }
        self.note(LogKind::LISTEN, file.to_bits(), bound.as_tcp().map_or(0, |address| address.port().into()));
        Ok((descriptor, bound))
    }

    fn bind_tcp(&mut self, host: HostId, address: SocketAddr, listener: &Listener) -> io::Result<SocketAddr> {
        let ip = address.ip();
        let owner = &mut self.hosts[host.index()];
        if !ip.is_unspecified() && !ip.is_loopback() && !owner.addresses.contains(&ip) {
            return Err(errno(libc::EADDRNOTAVAIL));
        }
        if address.port() == 0 {
            return Ok(SocketAddr::new(ip, owner.free_port()?));
        }
        let others = owner.ports.get(&address.port()).into_iter().flatten();
        let collides = |file: &FileId| matches!(self.files.get(file.0), Some(file) if matches!(&file.kind, Kind::Listener(other) if listener.collides(other)));
        if others.into_iter().any(collides) { Err(errno(libc::EADDRINUSE)) } else { Ok(address) }
    }

    /// The listener for a connection to `to`: of those that fit best any, as Linux spreads them by a hash.
    pub(super) fn listener_at(&mut self, host: HostId, to: SocketAddr) -> Option<FileId> {
        let files = self.hosts[host.index()].ports.get(&to.port())?;
        let fit = |file: &FileId| match &self.files.get(file.0)?.kind {
            Kind::Listener(listener) => listener.fit(to.ip()),
            _ => None,
        };
        let best = files.iter().filter_map(fit).max()?;
        let fitting = || files.iter().filter(|file| fit(file) == Some(best));
        let count = fitting().count() as u64;
        let chosen = if count > 1 { self.sharing.below(count) } else { 0 };
        fitting().nth(chosen as usize).copied()
    }

    pub(super) fn listener_mut(&mut self, id: FileId) -> Option<&mut Listener> {
        match &mut self.files.get_mut(id.0)?.kind {
            Kind::Listener(listener) => Some(listener),
            _ => None,
        }
    }

    pub(super) fn accept(&mut self, host: HostId, id: FileId, operation: Operation) -> io::Result<i32> {
        // accept4(2) takes a descriptor before it looks into the queue.
        self.check_shortages(host, operation)?;
        self.file(id)?;
        let listener = self.listener_mut(id).ok_or_else(|| errno(libc::EINVAL))?;
        if listener.queue.is_empty() {
            return Err(errno(libc::EAGAIN));
        }
        for (fault, number) in [(Fault::Aborted, libc::ECONNABORTED), (Fault::ProtocolError, libc::EPROTO)] {
            if self.hit(fault, operation) {
                let stream = self.next_accepted(id);
                self.stream_mut(stream).ends[SERVER].is_queued = false;
                self.abort(stream, SERVER, Some(fault));
                return Err(errno(number));
            }
        }
        let stream = self.next_accepted(id);
        let (descriptor, file) = self.open(host, Kind::Stream(stream, SERVER));
        let end = &mut self.stream_mut(stream).ends[SERVER];
        end.is_queued = false;
        end.file = Some(file);
        self.note(LogKind::ACCEPT, id.to_bits(), file.to_bits());
        Ok(descriptor)
    }

    fn next_accepted(&mut self, id: FileId) -> StreamId {
        let listener = self.listener_mut(id).expect("just found");
        listener.queue.pop_front().expect("just seen")
    }

    /// A listener goes: nobody is connected to it any more, and what it had not accepted is reset
    /// (`net.ipv4.tcp_migrate_req` is 0). Handshakes end when the client's last word finds no listener.
    pub(super) fn close_listener(&mut self, host: HostId, id: FileId, listener: Listener) {
        let owner = &mut self.hosts[host.index()];
        match &listener.address {
            Address::Tcp(address) => {
                let files = owner.ports.get_mut(&address.port()).expect("a listener is bound");
                files.retain(|file| *file != id);
                if files.is_empty() {
                    owner.ports.remove(&address.port());
                }
            }
            Address::Unix(address) => owner.forget_listener(Name::of(address), id),
        }
        for stream in listener.queue {
            self.stream_mut(stream).ends[SERVER].is_queued = false;
            self.abort(stream, SERVER, None);
        }
    }
}
