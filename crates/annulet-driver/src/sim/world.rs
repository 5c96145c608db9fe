//! The world: a handle that everybody shares, the clock, and the loop of events.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Shutdown};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::event::{Event, Events, Outside};
use super::fault::{Coverage, Fault, Faults, Operation, Plan};
use super::file::{FileId, Kind, OpenFile, Readiness};
use super::host::{Death, Descriptors, Host, HostId, HostSettings, Life};
use super::link::{LinkSettings, Links, link_id};
use super::log::{Log, LogEntry, LogKind};
use super::random::{Chance, Purpose};
use super::story::Names;
use super::stream::{Side, Stream, StreamId};
use super::unix::Name;
use crate::instant::Instant;
use crate::slots::Slots;
use crate::socket::{Address, Domain, ListenSpec, SocketOption};

/// What an event was, for the layer above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Something of the world's own. Whose readiness changed by it, [`World::take_changes`] says.
    Nothing,
    /// What the layer above scheduled.
    Outside(Outside),
    /// A signal reached a host.
    Signal(HostId, i32),
}

#[derive(Debug)]
pub(super) struct State {
    seed: u64,
    pub(super) now: Instant,
    pub(super) events: Events,
    pub(super) hosts: Vec<Host>,
    /// Whose each address is.
    pub(super) addresses: BTreeMap<IpAddr, HostId>,
    pub(super) links: Links,
    pub(super) files: Slots<OpenFile>,
    pub(super) streams: Slots<Stream>,
    /// Watched files that may have changed, in the order in which they did.
    pub(super) changes: Vec<FileId>,
    pub(super) faults: Faults,
    /// Chance of how bytes are cut.
    pub(super) segments: Chance,
    /// Chance of which listener gets a connection.
    pub(super) sharing: Chance,
    log: Log,
    /// For whoever reads the log.
    pub(super) names: Names,
    pub(super) violations: Vec<String>,
}

impl State {
    pub(super) fn note(&mut self, kind: LogKind, a: u64, b: u64) {
        self.log.note(self.now, kind, a, b);
    }

    pub(super) fn schedule_after(&mut self, nanos: u64, event: Event) {
        self.events.schedule(self.now + Duration::from_nanos(nanos), event);
    }

    /// Whether `fault` strikes now; whom it met is told later.
    pub(super) fn strikes(&mut self, fault: Fault) -> bool {
        let strikes = self.faults.strikes(fault);
        if strikes {
            self.note(LogKind::FAULT, fault as u64, u64::MAX);
        }
        strikes
    }

    pub(super) fn hit(&mut self, fault: Fault, operation: Operation) -> bool {
        let hits = self.faults.strikes(fault);
        if hits {
            self.faults.met(fault, operation);
            self.note(LogKind::FAULT, fault as u64, operation as u64);
        }
        hits
    }

    /// When the next event is due, leaving out those that have become void.
    fn next_event_at(&mut self) -> Option<Instant> {
        while let Some((at, event)) = self.events.first() {
            if !self.is_void(event) {
                return Some(at.max(self.now));
            }
            self.events.take();
        }
        None
    }

    fn run_next(&mut self) -> Happened {
        let Some((at, event)) = self.next_event_at().and_then(|_| self.events.take()) else {
            return Happened::Nothing;
        };
        self.now = self.now.max(at);
        match event {
            Event::Arrival { stream, from } => self.arrive(stream, from),
            Event::Room { stream, side } => self.room_again(stream, side),
            Event::GiveUp { stream, side, number } => {
                self.note(LogKind::GIVE_UP, stream.0.to_bits(), side as u64);
                self.give_up(stream, side, number);
            }
            Event::Probe { stream, side, number } => {
                self.note(LogKind::PROBE, stream.0.to_bits(), side as u64);
                self.probe(stream, side, number);
            }
            Event::Heal { link, .. } => self.heal(link),
            Event::EndFaults => self.end_faults(),
            Event::Signal { host, signal } => {
                self.note(LogKind::SIGNAL, u64::from(host.0), signal as u64);
                return Happened::Signal(host, signal);
            }
            Event::Outside(outside) => {
                self.note(LogKind::EVENT, outside.kind ^ outside.a.rotate_left(32), outside.b);
                return Happened::Outside(outside);
            }
        }
        Happened::Nothing
    }

    fn room_again(&mut self, id: StreamId, side: Side) {
        let Some(stream) = self.streams.get_mut(id.0) else { return };
        stream.ends[side].is_held_off = false;
        let file = stream.ends[side].file;
        self.note(LogKind::ROOM, id.0.to_bits(), side as u64);
        self.changed(file);
    }

    fn end_faults(&mut self) {
        self.note(LogKind::END_FAULTS, 0, 0);
        self.faults.end();
        for link in self.links.cut_by_faults() {
            self.heal(link);
        }
    }

    fn add_host(&mut self, name: &str, addresses: Vec<IpAddr>, settings: HostSettings) -> HostId {
        let id = HostId(self.hosts.len() as u32);
        for address in &addresses {
            let owner = self.addresses.insert(*address, id);
            assert!(owner.is_none(), "{address} is the address of two hosts");
        }
        self.hosts.push(Host::new(name, addresses, settings));
        id
    }

    fn wall_clock(&mut self, host: HostId) -> SystemTime {
        if self.hit(Fault::ClockJump, Operation::Clock) {
            let chance = self.faults.chance(Fault::ClockJump);
            let nanos = chance.spread(1_000_000, 86_400_000_000_000) as i64;
            let is_back = chance.hits(500_000);
            self.jump_wall_clock(host, if is_back { -nanos } else { nanos });
        }
        self.hosts[host.index()].wall_clock(self.now)
    }

    fn jump_wall_clock(&mut self, host: HostId, nanos: i64) {
        self.note(LogKind::CLOCK, u64::from(host.0), nanos as u64);
        let offset = &mut self.hosts[host.index()].wall_offset;
        *offset = offset.saturating_add(nanos);
    }

    fn kill(&mut self, id: HostId, death: Death) {
        self.note(LogKind::KILL, u64::from(id.0), death as u64);
        let files = self.files.keys().into_iter().map(FileId);
        let own: Vec<_> =
            files.filter(|file| self.files.get(file.0).is_some_and(|file| file.host == id)).collect();
        match death {
            Death::Killed => own.into_iter().for_each(|file| self.close_file(file, Operation::Close)),
            Death::Reset => own.into_iter().for_each(|file| self.reset_file(file)),
            Death::Silent => self.silence(id, &own),
        }
        let host = &mut self.hosts[id.index()];
        host.life = if death == Death::Silent { Life::Silent } else { Life::Dead };
        host.descriptors = Descriptors::default();
    }

    fn reset_file(&mut self, file: FileId) {
        if let Ok(Some((stream, side))) = self.end_of(file) {
            self.stream_mut(stream).ends[side].options.resets_on_close = true;
        }
        self.close_file(file, Operation::Close);
    }

    /// Everything of a host is gone, and nobody is told.
    fn silence(&mut self, id: HostId, files: &[FileId]) {
        for file in files {
            self.files.remove(file.0);
        }
        let host = &mut self.hosts[id.index()];
        host.life = Life::Silent;
        host.ports.clear();
        for inode in host.names.values_mut() {
            inode.listener = None;
        }
        host.names.retain(|name, _| !matches!(name, Name::Abstract(_)));
        for key in self.streams.keys() {
            let stream = self.streams.get_mut(key).expect("just listed");
            for end in stream.ends.iter_mut().filter(|end| end.host == Some(id)) {
                (end.file, end.is_queued) = (None, false);
                end.close();
            }
            self.free_if_over(StreamId(key));
        }
        self.way_lost(|stream| stream.ends.iter().any(|end| end.host == Some(id)));
    }

    fn restart(&mut self, id: HostId) {
        self.note(LogKind::RESTART, u64::from(id.0), 0);
        let host = &mut self.hosts[id.index()];
        assert!(host.life != Life::Alive, "host {} is alive", host.name);
        host.life = Life::Alive;
        self.way_found(|stream| stream.ends.iter().any(|end| end.host == Some(id)));
    }

    fn tag(&self, id: FileId) -> Option<u64> {
        match self.files.get(id.0)?.kind {
            Kind::Outside { tag, .. } => Some(tag),
            _ => None,
        }
    }
}

/// A handle on a world. All of its copies are of the same world.
///
/// Calls that a program makes name its host and a descriptor, or the open file behind one ([`World::file`]). They never
/// wait. Their errors are those of Linux, with their numbers. Calls on behalf of a killed host, or on a file that is
/// gone, fail with EBADF.
#[derive(Clone, Debug)]
pub struct World(Rc<RefCell<State>>);

/// Time and events.
impl World {
    /// The world of `seed`, with these faults.
    pub fn new(seed: u64, plan: Plan) -> Self {
        Self(Rc::new(RefCell::new(State {
            seed,
            now: Instant::default(),
            events: Events::default(),
            hosts: Vec::new(),
            addresses: BTreeMap::new(),
            links: Links::new(seed),
            files: Slots::new(),
            streams: Slots::new(),
            changes: Vec::new(),
            faults: Faults::new(seed, plan),
            segments: Chance::new(seed, Purpose::Segments, 0),
            sharing: Chance::new(seed, Purpose::Sharing, 0),
            log: Log::default(),
            names: Names::default(),
            violations: Vec::new(),
        })))
    }

    fn state(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }

    fn view(&self) -> Ref<'_, State> {
        self.0.borrow()
    }

    /// What this world was made of.
    pub fn seed(&self) -> u64 {
        self.view().seed
    }

    /// Now.
    pub fn now(&self) -> Instant {
        self.view().now
    }

    /// Lets time pass without anything happening, as while a program runs. What was due meanwhile happens late.
    pub fn advance(&self, by: Duration) {
        self.state().now += by;
    }

    /// When the next event is due, never before [`now`](Self::now).
    pub fn next_event_at(&self) -> Option<Instant> {
        self.state().next_event_at()
    }

    /// Goes to the next event and lets it happen. Without one nothing happens.
    pub fn run_next(&self) -> Happened {
        self.state().run_next()
    }

    /// Has [`run_next`](Self::run_next) tell `event` at this time. Events of one instant come in the order in which they
    /// were scheduled.
    pub fn schedule(&self, at: Instant, event: Outside) {
        self.state().events.schedule(at, Event::Outside(event));
    }

    /// Sends a host a signal at this time.
    pub fn raise(&self, host: HostId, signal: i32, at: Instant) {
        self.state().events.schedule(at, Event::Signal { host, signal });
    }
}

/// Hosts and links.
impl World {
    /// Adds a machine.
    ///
    /// # Panics
    /// When another one has one of the addresses.
    pub fn add_host(&self, name: &str, addresses: Vec<IpAddr>, settings: HostSettings) -> HostId {
        self.state().add_host(name, addresses, settings)
    }

    /// The first host of this name.
    pub fn host_named(&self, name: &str) -> Option<HostId> {
        let index = self.view().hosts.iter().position(|host| host.name == name)?;
        Some(HostId(index as u32))
    }

    /// A host's name.
    pub fn name(&self, host: HostId) -> String {
        self.view().hosts[host.index()].name.clone()
    }

    /// A host's addresses, in the order in which they were given.
    pub fn addresses(&self, host: HostId) -> Vec<IpAddr> {
        self.view().hosts[host.index()].addresses.clone()
    }

    /// Sets what the way between two hosts does, or of one to itself.
    pub fn link(&self, a: HostId, b: HostId, settings: LinkSettings) {
        self.state().links.between(link_id(a, b)).settings = settings;
    }

    /// Cuts the way between two hosts. What is sent from now on, or under way, is held.
    pub fn partition(&self, a: HostId, b: HostId) {
        self.state().cut(link_id(a, b));
    }

    /// Mends the way between two hosts. What was held arrives, and all of TCP's timers start anew.
    pub fn heal(&self, a: HostId, b: HostId) {
        self.state().heal(link_id(a, b));
    }

    /// A host's wall clock.
    pub fn wall_clock(&self, host: HostId) -> SystemTime {
        self.state().wall_clock(host)
    }

    /// Sets a host's wall clock forward, or back by negative `nanos`.
    pub fn jump_wall_clock(&self, host: HostId, nanos: i64) {
        self.state().jump_wall_clock(host, nanos);
    }

    /// Ends all that runs on a host.
    pub fn kill(&self, host: HostId, death: Death) {
        self.state().kill(host, death);
    }

    /// Starts a killed host again. Of before only the files of Unix sockets are left.
    ///
    /// # Panics
    /// When it is alive.
    pub fn restart(&self, host: HostId) {
        self.state().restart(host);
    }

    /// Whether programs can run on a host.
    pub fn is_alive(&self, host: HostId) -> bool {
        self.view().hosts[host.index()].life == Life::Alive
    }

    /// Descriptors open on a host.
    pub fn descriptors_open(&self, host: HostId) -> usize {
        self.view().hosts[host.index()].descriptors.live()
    }

    /// How many descriptors a host may have open, the three standard ones among them.
    pub fn descriptors_max(&self, host: HostId) -> u32 {
        self.view().hosts[host.index()].settings.descriptors_max
    }

    /// Sets how many descriptors a host may have open. Those that are open stay open.
    pub fn set_descriptors_max(&self, host: HostId, max: u32) {
        self.state().hosts[host.index()].settings.descriptors_max = max;
    }
}

/// Descriptors and files.
impl World {
    /// The open file behind a descriptor.
    ///
    /// # Errors
    /// EBADF.
    pub fn file(&self, host: HostId, descriptor: i32) -> io::Result<FileId> {
        self.view().hosts[host.index()].descriptors.get(descriptor)
    }

    /// An operation in flight keeps a file open from now on.
    pub fn hold(&self, file: FileId) {
        self.state().hold(file);
    }

    /// It no longer does. A file that is gone, with its host, is ignored.
    ///
    /// # Panics
    /// When it is released more often than held.
    pub fn release(&self, file: FileId) {
        self.state().release(file);
    }

    /// dup(2).
    ///
    /// # Errors
    /// EBADF, EMFILE, ENOMEM.
    pub fn duplicate(&self, host: HostId, descriptor: i32) -> io::Result<i32> {
        self.state().duplicate(host, descriptor)
    }

    /// close(2).
    ///
    /// # Errors
    /// EBADF.
    pub fn close(&self, host: HostId, descriptor: i32) -> io::Result<()> {
        self.state().close(host, descriptor)
    }

    /// A descriptor for a file of the layer above (an eventfd, an epoll), which finds it again by `tag`.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM, ENOBUFS.
    pub fn open_outside(&self, host: HostId, tag: u64) -> io::Result<i32> {
        self.state().open_outside(host, tag)
    }

    /// The tag of a file of the layer above.
    pub fn tag(&self, file: FileId) -> Option<u64> {
        self.view().tag(file)
    }

    /// Says what a file of the layer above is ready for.
    pub fn set_readiness(&self, file: FileId, readiness: Readiness) {
        self.state().set_readiness(file, readiness);
    }

    /// What a file is ready for; nothing, if it is gone.
    pub fn readiness(&self, file: FileId) -> Readiness {
        self.view().readiness(file)
    }

    /// From now on [`take_changes`](Self::take_changes) names this file. Watching is counted.
    pub fn watch(&self, file: FileId) {
        self.state().watch(file);
    }

    /// The reverse of [`watch`](Self::watch). A file that is gone is ignored.
    ///
    /// # Panics
    /// When it is unwatched more often than watched.
    pub fn unwatch(&self, file: FileId) {
        self.state().unwatch(file);
    }

    /// Appends the watched files whose readiness may have changed since the last call, each once, in the order of the
    /// changes.
    pub fn take_changes(&self, files: &mut Vec<FileId>) {
        self.state().take_changes(files);
    }

    /// Whether the next [`take_changes`](Self::take_changes) names this file.
    pub fn has_changed(&self, file: FileId) -> bool {
        self.view().changes.contains(&file)
    }

    /// The inode at a path, and whether it is a socket.
    pub fn inode(&self, host: HostId, path: &Path) -> Option<(u64, bool)> {
        self.view().hosts[host.index()].inode(path)
    }

    /// Makes an ordinary file.
    ///
    /// # Errors
    /// EEXIST.
    pub fn create_file(&self, host: HostId, path: &Path) -> io::Result<()> {
        self.state().hosts[host.index()].create(Name::Path(path.to_owned()), false)
    }

    /// unlink(2).
    ///
    /// # Errors
    /// ENOENT.
    pub fn unlink(&self, host: HostId, path: &Path) -> io::Result<()> {
        self.state().hosts[host.index()].unlink(path)
    }
}

/// Sockets.
impl World {
    /// socket(2).
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM, ENOBUFS.
    pub fn socket(&self, host: HostId, domain: Domain) -> io::Result<i32> {
        self.state().socket(host, domain)
    }

    /// socketpair(2) of Unix streams.
    ///
    /// # Errors
    /// As for [`socket`](Self::socket).
    pub fn unix_pair(&self, host: HostId) -> io::Result<(i32, i32)> {
        self.state().unix_pair(host)
    }

    /// socket(2), bind(2) and listen(2); accepted sockets inherit `NoDelay`, as of the drivers. Returns the address
    /// with the port that was chosen.
    ///
    /// # Errors
    /// EADDRINUSE, also for a path that exists; EADDRNOTAVAIL; EINVAL; those of [`socket`](Self::socket).
    pub fn listen(&self, host: HostId, spec: &ListenSpec) -> io::Result<(i32, Address)> {
        self.state().listen(host, spec)
    }

    /// connect(2) that does not wait.
    ///
    /// # Errors
    /// EINPROGRESS over TCP: the answer comes by readiness and [`connect_result`](Self::connect_result). ENETUNREACH,
    /// EAFNOSUPPORT, EALREADY, EISCONN. Of Unix sockets ECONNREFUSED, ENOENT, and EAGAIN where the queue is full.
    pub fn connect(&self, host: HostId, descriptor: i32, address: &Address) -> io::Result<()> {
        self.state().connect(host, descriptor, address)
    }

    /// How connecting ended; `None` while it is under way. An error is taken from the socket (`SO_ERROR`).
    pub fn connect_result(&self, file: FileId) -> Option<Result<(), i32>> {
        self.state().connect_result(file)
    }

    /// accept4(2) that does not wait, by [`Operation::Accept`] or [`Operation::TryAccept`].
    ///
    /// # Errors
    /// EAGAIN where nobody waits, but EMFILE, ENFILE, ENOMEM and ENOBUFS before it looks; ECONNABORTED, EPROTO.
    pub fn accept(&self, host: HostId, listener: FileId, operation: Operation) -> io::Result<i32> {
        self.state().accept(host, listener, operation)
    }

    /// send(2) that does not wait.
    ///
    /// # Errors
    /// EAGAIN without room; the connection's error, then EPIPE.
    pub fn send(&self, file: FileId, operation: Operation, bytes: &[u8]) -> io::Result<usize> {
        self.state().send(file, operation, &[io::IoSlice::new(bytes)])
    }

    /// [`send`](Self::send) of several slices.
    ///
    /// # Errors
    /// The same.
    pub fn send_slices(
        &self,
        file: FileId,
        operation: Operation,
        slices: &[io::IoSlice<'_>],
    ) -> io::Result<usize> {
        self.state().send(file, operation, slices)
    }

    /// recv(2) that does not wait; 0 is the end.
    ///
    /// # Errors
    /// EAGAIN when nothing is there; the connection's error, after all bytes that arrived.
    pub fn receive(&self, file: FileId, operation: Operation, bytes: &mut [u8]) -> io::Result<usize> {
        self.state().receive(file, operation, bytes)
    }

    /// Bytes that could be received now (`FIONREAD`).
    pub fn unread(&self, file: FileId) -> usize {
        self.view().unread(file)
    }

    /// Bytes that were sent and, as far as the sender knows, have not arrived (`SIOCOUTQ`); of a Unix socket none.
    pub fn unacknowledged(&self, file: FileId) -> usize {
        self.view().unacknowledged(file)
    }

    /// shutdown(2).
    ///
    /// # Errors
    /// ENOTCONN, also once a TCP connection is over.
    pub fn shutdown(&self, file: FileId, how: Shutdown) -> io::Result<()> {
        self.state().shutdown(file, how)
    }

    /// setsockopt(2).
    ///
    /// # Errors
    /// EINVAL for [`SocketOption::Error`].
    pub fn set_option(&self, file: FileId, option: SocketOption) -> io::Result<()> {
        self.state().set_option(file, option)
    }

    /// getsockopt(2): the option of which `option` is any value.
    ///
    /// # Errors
    /// EBADF, ENOTSOCK.
    pub fn option(&self, file: FileId, option: SocketOption) -> io::Result<SocketOption> {
        self.state().option(file, option)
    }

    /// `SO_DOMAIN`; `None` for what is no socket.
    pub fn domain(&self, file: FileId) -> Option<Domain> {
        self.view().domain(file)
    }

    /// getsockname(2).
    ///
    /// # Errors
    /// EBADF, ENOTSOCK.
    pub fn local_address(&self, file: FileId) -> io::Result<Address> {
        self.view().local_address(file)
    }

    /// getpeername(2).
    ///
    /// # Errors
    /// ENOTCONN, also once a TCP connection is over.
    pub fn peer_address(&self, file: FileId) -> io::Result<Address> {
        self.view().peer_address(file)
    }
}

/// Chance, faults, history.
impl World {
    /// The stream of chance for this purpose: to be taken once and kept.
    pub fn chance(&self, purpose: Purpose, index: u64) -> Chance {
        Chance::new(self.seed(), purpose, index)
    }

    /// Whether `fault` meets `operation` now: drawn, counted and logged.
    pub fn hit(&self, fault: Fault, operation: Operation) -> bool {
        self.state().hit(fault, operation)
    }

    /// A number from `low` to `high`, each power of two as likely, from the fault's own stream of chance: how long, how
    /// much.
    ///
    /// # Panics
    /// When `low` is 0 or greater than `high`.
    pub fn severity(&self, fault: Fault, low: u64, high: u64) -> u64 {
        self.state().faults.chance(fault).spread(low, high)
    }

    /// Counts an operation that met `fault` without drawing it: noticed it, or was named by a test.
    pub fn count(&self, fault: Fault, operation: Operation) {
        self.state().faults.met(fault, operation);
    }

    /// From now on no fault strikes. Links that a fault has cut are mended.
    pub fn end_faults(&self) {
        self.state().end_faults();
    }

    /// The same at this time.
    pub fn end_faults_at(&self, at: Instant) {
        self.state().events.schedule(at, Event::EndFaults);
    }

    /// What met what so far.
    pub fn coverage(&self) -> Coverage {
        self.view().faults.coverage().clone()
    }

    /// Adds an entry to the log.
    pub fn log(&self, kind: LogKind, a: u64, b: u64) {
        self.state().note(kind, a, b);
    }

    /// The hash of the whole log. Two runs with the same hash are the same.
    pub fn log_hash(&self) -> u64 {
        self.view().log.hash()
    }

    /// Entries of the whole log.
    pub fn log_count(&self) -> u64 {
        self.view().log.count()
    }

    /// Keeps so many entries of the log from now on, instead of a few thousand.
    pub fn keep_log(&self, entries: usize) {
        self.state().log.keep(entries);
    }

    /// Times that faults have struck.
    pub fn faults_struck(&self) -> u64 {
        self.view().faults.struck()
    }

    /// The latest few dozen entries of the log that are faults.
    pub fn log_faults(&self) -> Vec<LogEntry> {
        self.view().log.faults()
    }

    /// The latest few thousand entries of the log.
    pub fn log_latest(&self) -> Vec<LogEntry> {
        self.view().log.latest()
    }

    /// What an entry of the log says. Of kinds that the layer above made, the numbers.
    pub fn tell(&self, entry: &LogEntry) -> String {
        self.view().tell(entry)
    }

    /// The name of a host by its number.
    pub(crate) fn tell_host(&self, index: u64) -> String {
        self.view().host_told(index)
    }

    /// What must hold of a world and does not, in sentences: descriptors opened are closed or live; buffers stay within
    /// their limits; bytes arrive in order, once, and all before an end.
    pub fn audit(&self) -> Vec<String> {
        self.view().audit()
    }
}
