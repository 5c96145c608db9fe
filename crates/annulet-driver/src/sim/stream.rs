//! A connection: one record for both of its ends, and the calls on either.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use super::errno;
use super::fault::{Fault, Operation};
use super::file::{FileId, Kind, Readiness};
use super::host::{HostId, HostSettings};
use super::log::LogKind;
use super::tcp::{Packet, Wire};
use super::window::{Direction, Fin};
use super::world::State;
use crate::instant::Instant;
use crate::op::Key;
use crate::socket::{Address, Domain, SocketOption};

/// Names a connection. An id never names a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamId(pub(super) Key);

/// Which end of a connection.
pub(super) type Side = usize;

/// The end that connected.
pub(super) const CLIENT: Side = 0;
/// The end that is accepted.
pub(super) const SERVER: Side = 1;

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) domain: Domain,
    pub(super) ends: [End; 2],
    /// What each end sends.
    pub(super) directions: [Direction; 2],
    /// What each end has put on the way.
    pub(super) wires: [Wire; 2],
    /// Bytes a second, where a fault made the connection narrow.
    pub(super) bytes_per_second: Option<u64>,
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct End {
    /// `None` where no machine has the address.
    pub(super) host: Option<HostId>,
    pub(super) local: Address,
    pub(super) peer: Address,
    /// `None` before it is accepted, and once it is closed; what was queued is still sent then.
    pub(super) file: Option<FileId>,
    /// Waits to be accepted.
    pub(super) is_queued: bool,
    pub(super) state: EndState,
    /// To be reported once (SO_ERROR).
    pub(super) error: Option<i32>,
    /// The fault behind the error.
    pub(super) cause: Option<Fault>,
    /// What a fault has decided connecting will come to.
    pub(super) doom: Option<i32>,
    /// Receives no more.
    pub(super) is_read_shut: bool,
    /// Sends no more.
    pub(super) is_send_shut: bool,
    /// The peer's FIN came, so receiving ends with the end and not with an error (SOCK_DONE).
    pub(super) has_end: bool,
    /// Was connected once, and can never be connected again.
    pub(super) is_used: bool,
    /// A fault says that there is no room, until it is reported.
    pub(super) is_held_off: bool,
    /// The latest operation that sent something, to be met by what befalls the packets.
    pub(super) latest: Operation,
    /// When what was sent was last acknowledged, or began to wait for that.
    pub(super) progress_at: Instant,
    /// When the peer was last heard of.
    pub(super) heard_at: Instant,
    /// The timers: their numbers tell a current one from those that were taken back.
    pub(super) give_up: Timer,
    pub(super) probe: Timer,
    pub(super) options: Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndState {
    /// Nothing of the connection has reached this host.
    Absent,
    /// SYN sent.
    Connecting,
    /// SYN received: the listener keeps a place.
    Handshaking(FileId),
    Open,
    /// Ended both ways, reset, or given up.
    Closed,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timer {
    pub(super) number: u32,
    pub(super) is_armed: bool,
}

impl Timer {
    /// Arms it; returns the number its event carries.
    pub(super) fn arm(&mut self) -> u32 {
        self.number = self.number.wrapping_add(1);
        self.is_armed = true;
        self.number
    }

    pub(super) fn is(&self, number: u32) -> bool {
        self.is_armed && self.number == number
    }
}

/// What setsockopt(2) sets.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) no_delay: bool,
    pub(super) keepalive: Option<Duration>,
    pub(super) resets_on_close: bool,
    pub(super) send_buffer: u32,
    pub(super) receive_buffer: u32,
    pub(super) user_timeout: Option<Duration>,
    quick_ack: bool,
    type_of_service: u32,
    time_to_live: u32,
}

/// The smallest buffers Linux gives (`SOCK_MIN_SNDBUF`, `SOCK_MIN_RCVBUF`).
const BUFFER_MIN: [u32; 2] = [4608, 2304];

impl Options {
    pub(super) fn new(settings: &HostSettings) -> Self {
        Self {
            no_delay: false,
            keepalive: None,
            resets_on_close: false,
            send_buffer: settings.send_buffer,
            receive_buffer: settings.receive_buffer,
            user_timeout: None,
            quick_ack: true,
            type_of_service: 0,
            time_to_live: 64,
        }
    }

    /// # Errors
    /// EINVAL for what cannot be set, EOPNOTSUPP for what only TCP has.
    fn set(&mut self, domain: Domain, option: SocketOption) -> io::Result<()> {
        let doubled = |bytes: u32, least: u32| bytes.saturating_mul(2).max(least);
        match option {
            // SO_KEEPALIVE is any socket's, when to probe is TCP's.
            SocketOption::Keepalive(Some(idle)) => self.set_keepalive(domain, whole_seconds(idle))?,
            SocketOption::Keepalive(None) => self.keepalive = None,
            SocketOption::ResetOnClose(on) => self.resets_on_close = on,
            SocketOption::SendBuffer(bytes) => self.send_buffer = doubled(bytes, BUFFER_MIN[0]),
            SocketOption::ReceiveBuffer(bytes) => self.receive_buffer = doubled(bytes, BUFFER_MIN[1]),
            SocketOption::Error(_) => return Err(errno(libc::EINVAL)),
            _ if domain == Domain::Unix => return Err(errno(libc::EOPNOTSUPP)),
            SocketOption::NoDelay(on) => self.no_delay = on,
            SocketOption::UserTimeout(limit) => self.user_timeout = milliseconds(limit)?,
            SocketOption::QuickAck(on) => self.quick_ack = on,
            // A stream's bits for congestion are its own.
            SocketOption::TypeOfService(value) => self.type_of_service = value & 0xfc,
            SocketOption::TimeToLive(hops) => self.set_time_to_live(domain, hops)?,
        }
        Ok(())
    }

    fn set_keepalive(&mut self, domain: Domain, idle: Duration) -> io::Result<()> {
        let former = *self.keepalive.get_or_insert(KEEPALIVE_IDLE);
        if domain == Domain::Unix {
            return Err(errno(libc::EOPNOTSUPP));
        }
        let is_too_long = idle > KEEPALIVE_IDLE_MAX;
        self.keepalive = Some(if is_too_long { former } else { idle });
        if is_too_long { Err(errno(libc::EINVAL)) } else { Ok(()) }
    }

    fn set_time_to_live(&mut self, domain: Domain, hops: u32) -> io::Result<()> {
        // IPv6 takes 0, IPv4, which an IPv6 socket is set up for as well, does not.
        if (1..256).contains(&hops) || domain == Domain::V6 && hops == 0 {
            self.time_to_live = hops;
        }
        if (1..256).contains(&hops) { Ok(()) } else { Err(errno(libc::EINVAL)) }
    }

    /// The option of which `option` is any value; of an error there is none.
    ///
    /// # Errors
    /// EOPNOTSUPP for what only TCP has.
    fn get(&self, domain: Domain, option: SocketOption) -> io::Result<SocketOption> {
        let is_unix = domain == Domain::Unix;
        Ok(match option {
            SocketOption::Keepalive(_) if !is_unix || self.keepalive.is_none() => {
                SocketOption::Keepalive(self.keepalive)
            }
            SocketOption::ResetOnClose(_) => SocketOption::ResetOnClose(self.resets_on_close),
            SocketOption::SendBuffer(_) => SocketOption::SendBuffer(self.send_buffer),
            SocketOption::ReceiveBuffer(_) => SocketOption::ReceiveBuffer(self.receive_buffer),
            SocketOption::Error(_) => SocketOption::Error(0),
            _ if is_unix => return Err(errno(libc::EOPNOTSUPP)),
            SocketOption::Keepalive(_) => unreachable!("of TCP"),
            SocketOption::NoDelay(_) => SocketOption::NoDelay(self.no_delay),
            SocketOption::UserTimeout(_) => SocketOption::UserTimeout(self.user_timeout),
            SocketOption::QuickAck(_) => SocketOption::QuickAck(self.quick_ack),
            SocketOption::TypeOfService(_) => SocketOption::TypeOfService(self.type_of_service),
            SocketOption::TimeToLive(_) => SocketOption::TimeToLive(self.time_to_live),
        })
    }
}

/// `net.ipv4.tcp_keepalive_time`.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(7200);
/// `MAX_TCP_KEEPIDLE`.
const KEEPALIVE_IDLE_MAX: Duration = Duration::from_secs(32_767);

/// A user timeout in whole milliseconds; 0 is none.
///
/// # Errors
/// EINVAL where the kernel sees a negative number.
fn milliseconds(limit: Option<Duration>) -> io::Result<Option<Duration>> {
    let millis = limit.map_or(0, |limit| limit.as_millis());
    let millis = i32::try_from(millis).map_err(|_| errno(libc::EINVAL))?;
    Ok((millis > 0).then(|| Duration::from_millis(millis as u64)))
}

/// The kernel counts keepalive in whole seconds; a time is rounded up, as the drivers do.
fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(Duration::from_secs(1))
}

impl End {
    pub(super) fn new(
        host: impl Into<Option<HostId>>,
        local: Address,
        peer: Address,
        options: Options,
    ) -> Self {
        Self {
            host: host.into(),
            local,
            peer,
            file: None,
            is_queued: false,
            state: EndState::Absent,
            error: None,
            cause: None,
            doom: None,
            is_read_shut: false,
            is_send_shut: false,
            has_end: false,
            is_used: false,
            is_held_off: false,
            latest: Operation::Connect,
            progress_at: Instant::default(),
            heard_at: Instant::default(),
            give_up: Timer::default(),
            probe: Timer::default(),
            options,
        }
    }

    /// A program has it, or can still get it.
    pub(super) fn is_held(&self) -> bool {
        self.file.is_some() || self.is_queued
    }

    /// It sends and receives no more, for good.
    pub(super) fn close(&mut self) {
        self.state = EndState::Closed;
        (self.is_read_shut, self.is_send_shut) = (true, true);
    }
}

impl Stream {
    pub(super) fn new(domain: Domain, ends: [End; 2], directions: [Direction; 2]) -> Self {
        Self { domain, ends, directions, wires: [Wire::default(), Wire::default()], bytes_per_second: None }
    }

    pub(super) fn is_unix(&self) -> bool {
        self.domain == Domain::Unix
    }

    pub(super) fn readiness(&self, side: Side) -> Readiness {
        let end = &self.ends[side];
        if end.state == EndState::Connecting {
            return Readiness::default();
        }
        let has_room = !end.is_held_off && self.directions[side].is_roomy();
        Readiness {
            readable: self.directions[1 - side].unread() > 0 || end.is_read_shut || end.error.is_some(),
            writable: has_room || end.is_send_shut || end.error.is_some(),
            read_closed: end.is_read_shut,
            hung_up: end.is_read_shut && end.is_send_shut,
            error: end.error.is_some(),
        }
    }
}

impl State {
    pub(super) fn stream(&self, id: StreamId) -> &Stream {
        self.streams.get(id.0).expect("a connection outlives its files and its place in a queue")
    }

    pub(super) fn stream_mut(&mut self, id: StreamId) -> &mut Stream {
        self.streams.get_mut(id.0).expect("a connection outlives its files and its place in a queue")
    }

    /// Takes the pending error (SO_ERROR), as met by `operation`.
    fn take_error(&mut self, id: StreamId, side: Side, operation: Operation) -> Option<i32> {
        let end = &mut self.stream_mut(id).ends[side];
        let (error, cause) = (end.error.take()?, end.cause.take());
        if let Some(cause) = cause {
            self.faults.met(cause, operation);
        }
        Some(error)
    }

    pub(super) fn connect_result(&mut self, id: FileId) -> Option<Result<(), i32>> {
        let Ok(Some((stream, side))) = self.end_of(id) else { return Some(Err(libc::ENOTCONN)) };
        if let Some(error) = self.take_error(stream, side, Operation::Connect) {
            return Some(Err(error));
        }
        match self.stream(stream).ends[side].state {
            EndState::Connecting => None,
            EndState::Closed if !self.stream(stream).ends[side].has_end => Some(Err(libc::ECONNABORTED)),
            _ => Some(Ok(())),
        }
    }

    pub(super) fn send(
        &mut self,
        id: FileId,
        operation: Operation,
        slices: &[io::IoSlice<'_>],
    ) -> io::Result<usize> {
        let result = self.try_send(id, operation, slices);
        self.note(LogKind::SEND, id.to_bits(), outcome(&result));
        result
    }

    fn try_send(
        &mut self,
        id: FileId,
        operation: Operation,
        slices: &[io::IoSlice<'_>],
    ) -> io::Result<usize> {
        let Some((stream, side)) = self.end_of(id)? else {
            return Err(errno(if self.domain(id) == Some(Domain::Unix) {
                libc::ENOTCONN
            } else {
                libc::EPIPE
            }));
        };
        self.check_sending(stream, side, operation)?;
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        if offered == 0 {
            return Ok(0);
        }
        let mut count = self.room(stream, side).min(offered);
        if count > 0 && self.hit(Fault::PartialSend, operation) {
            count = self.faults.chance(Fault::PartialSend).below(count as u64) as usize;
            self.stream_mut(stream).ends[side].is_held_off = true;
            self.schedule_room(stream, side);
        }
        if count == 0 {
            return Err(errno(libc::EAGAIN));
        }
        self.take(stream, side, operation, slices, count);
        Ok(count)
    }

    /// # Errors
    /// What says that nothing can be sent: the pending error first, then EPIPE; on a Unix socket at once EPIPE.
    fn check_sending(&mut self, id: StreamId, side: Side, operation: Operation) -> io::Result<()> {
        let stream = self.stream(id);
        let is_shut = stream.ends[side].is_send_shut;
        if stream.is_unix() {
            return if is_shut { Err(errno(libc::EPIPE)) } else { Ok(()) };
        }
        if stream.ends[side].state == EndState::Connecting {
            return Err(errno(libc::EAGAIN));
        }
        if !is_shut {
            self.strike_dead(id, side);
        }
        if let Some(error) = self.take_error(id, side, operation) {
            return Err(errno(error));
        }
        if is_shut { Err(errno(libc::EPIPE)) } else { Ok(()) }
    }

    fn room(&self, id: StreamId, side: Side) -> usize {
        let stream = self.stream(id);
        if stream.ends[side].is_held_off { 0 } else { stream.directions[side].room() }
    }

    /// Takes the first `count` bytes of `slices` and sends what may be sent.
    fn take(
        &mut self,
        id: StreamId,
        side: Side,
        operation: Operation,
        slices: &[io::IoSlice<'_>],
        mut count: usize,
    ) {
        let now = self.now;
        let stream = self.stream_mut(id);
        let (end, direction) = (&mut stream.ends[side], &mut stream.directions[side]);
        end.latest = operation;
        if !direction.is_pending() {
            end.progress_at = now;
        }
        for slice in slices {
            let piece = &slice[..slice.len().min(count)];
            direction.take(piece);
            count -= piece.len();
        }
        let has_timeout = end.options.user_timeout.is_some();
        if stream.is_unix() {
            let reader = stream.ends[1 - side].file;
            return self.changed(reader);
        }
        self.push(id, side);
        if has_timeout {
            self.arm_give_up(id, side);
        }
    }

    pub(super) fn receive(
        &mut self,
        id: FileId,
        operation: Operation,
        bytes: &mut [u8],
    ) -> io::Result<usize> {
        let result = self.try_receive(id, operation, bytes);
        self.note(LogKind::RECEIVE, id.to_bits(), outcome(&result));
        result
    }

    fn try_receive(&mut self, id: FileId, operation: Operation, bytes: &mut [u8]) -> io::Result<usize> {
        let Some((stream, side)) = self.end_of(id)? else {
            return Err(errno(if self.domain(id) == Some(Domain::Unix) {
                libc::EINVAL
            } else {
                libc::ENOTCONN
            }));
        };
        if self.stream(stream).ends[side].state == EndState::Open && !self.stream(stream).is_unix() {
            self.strike_dead(stream, side);
        }
        let unread = self.stream(stream).directions[1 - side].unread();
        if unread > 0 {
            return Ok(self.read(stream, side, operation, bytes));
        }
        if self.stream(stream).ends[side].has_end {
            return Ok(self.read_end(stream, side));
        }
        if let Some(error) = self.take_error(stream, side, operation) {
            return Err(errno(error));
        }
        if self.stream(stream).ends[side].is_read_shut {
            return Ok(self.read_end(stream, side));
        }
        Err(errno(libc::EAGAIN))
    }

    fn read(&mut self, id: StreamId, side: Side, operation: Operation, bytes: &mut [u8]) -> usize {
        let mut count = self.stream(id).directions[1 - side].unread().min(bytes.len());
        if count > 1 && self.hit(Fault::ShortRead, operation) {
            count = self.faults.chance(Fault::ShortRead).between(1, count as u64 - 1) as usize;
        }
        let segment_max = self.segment_max(id);
        let stream = self.stream_mut(id);
        stream.directions[1 - side].read(&mut bytes[..count]);
        let direction = &stream.directions[1 - side];
        if stream.is_unix() {
            let sender = stream.ends[1 - side].file.filter(|_| direction.is_roomy());
            self.changed(sender);
        } else if stream.ends[side].state == EndState::Open
            && direction.next_edge(segment_max) > direction.told
        {
            self.acknowledge(id, side);
        }
        count
    }

    /// The receiver is told that no more comes: if the peer has ended, it has got everything.
    fn read_end(&mut self, id: StreamId, side: Side) -> usize {
        let direction = &self.stream(id).directions[1 - side];
        if direction.fin >= Fin::Arrived
            && let Some(flaw) = direction.flaw_at_end()
        {
            let violation = format!("end {side} of connection {id:?} {flaw}: {direction:?}");
            self.violations.push(violation);
        }
        0
    }

    /// A fault may end the connection under an operation, as when the network has long been gone. The peer is not told.
    fn strike_dead(&mut self, id: StreamId, side: Side) {
        for (fault, number) in [(Fault::TimedOut, libc::ETIMEDOUT), (Fault::Unreachable, libc::EHOSTUNREACH)]
        {
            if self.strikes(fault) {
                self.fail(id, side, number, Some(fault));
                return;
            }
        }
    }

    pub(super) fn shutdown(&mut self, id: FileId, how: Shutdown) -> io::Result<()> {
        let Some((stream, side)) = self.end_of(id)? else {
            // A Unix socket can be shut before it is connected, which nobody would notice.
            let is_unix = self.domain(id) == Some(Domain::Unix);
            return if is_unix { Ok(()) } else { Err(errno(libc::ENOTCONN)) };
        };
        self.note(LogKind::SHUTDOWN, id.to_bits(), how as u64);
        let (read, send) = (how != Shutdown::Write, how != Shutdown::Read);
        if self.stream(stream).is_unix() {
            self.shut_unix(stream, side, read, send);
            return Ok(());
        }
        let end = &mut self.stream_mut(stream).ends[side];
        if end.state != EndState::Open {
            return Err(errno(libc::ENOTCONN));
        }
        end.is_read_shut |= read;
        if send && !std::mem::replace(&mut end.is_send_shut, true) {
            end.latest = Operation::Shutdown;
            self.end_sending(stream, side);
        }
        self.changed(Some(id));
        Ok(())
    }

    /// The end's file is closed.
    pub(super) fn close_end(&mut self, id: StreamId, side: Side, operation: Operation) {
        let stream = self.stream_mut(id);
        stream.ends[side].file = None;
        if stream.is_unix() {
            return self.close_unix(id, side, false);
        }
        let has_unread = stream.directions[1 - side].unread() > 0;
        let end = &mut stream.ends[side];
        match end.state {
            EndState::Open if has_unread || end.options.resets_on_close => self.abort(id, side, None),
            EndState::Open => {
                end.is_read_shut = true;
                if !std::mem::replace(&mut end.is_send_shut, true) {
                    end.latest = operation;
                    self.end_sending(id, side);
                }
            }
            _ => {
                end.close();
                self.free_if_over(id);
            }
        }
    }

    fn end_sending(&mut self, id: StreamId, side: Side) {
        let now = self.now;
        let stream = self.stream_mut(id);
        if !stream.directions[side].is_pending() {
            stream.ends[side].progress_at = now;
        }
        stream.directions[side].fin = Fin::Waiting;
        self.push(id, side);
    }

    pub(super) fn insert_stream(&mut self, stream: Stream) -> StreamId {
        let id = StreamId(self.streams.insert(stream));
        self.names.add_stream(id, &self.streams.get(id.0).expect("just inserted").ends);
        id
    }

    /// Throws the connection away: what was not sent is dropped, and the peer hears of it.
    pub(super) fn abort(&mut self, id: StreamId, side: Side, cause: Option<Fault>) {
        if self.stream(id).is_unix() {
            return self.close_unix(id, side, true);
        }
        if self.stream(id).ends[side].state == EndState::Open {
            self.transmit(id, side, Packet::Reset { cause });
        }
        let stream = self.stream_mut(id);
        stream.ends[side].close();
        stream.directions[side].drop_unsent();
        self.free_if_over(id);
    }

    /// The connection is over at this end; the error is reported once. The peer is not told, but may ask.
    pub(super) fn fail(&mut self, id: StreamId, side: Side, number: i32, cause: Option<Fault>) {
        self.note(LogKind::FAILED, id.0.to_bits(), (side as u64) << 32 | number as u64);
        let stream = self.stream_mut(id);
        let end = &mut stream.ends[side];
        end.close();
        end.is_held_off = false;
        (end.error, end.cause) = (Some(number), cause);
        let file = end.file;
        stream.directions[side].drop_unsent();
        self.changed(file);
        self.arm_probe(id, 1 - side);
        self.free_if_over(id);
    }

    /// Forgets a connection that nobody can use or hear of any more.
    pub(super) fn free_if_over(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(id.0) else { return };
        let is_over = |end: &End| {
            let is_closed = end.state == EndState::Closed
                || end.state == EndState::Absent && stream.wires[CLIENT].is_empty();
            is_closed && !end.is_held()
        };
        if stream.ends.iter().all(is_over) {
            self.streams.remove(id.0);
        }
    }

    pub(super) fn set_option(&mut self, id: FileId, option: SocketOption) -> io::Result<()> {
        match &mut self.file_mut(id)?.kind {
            Kind::Fresh(fresh) => return fresh.options.set(fresh.domain, option),
            Kind::Listener(listener) => return listener.options.set(listener.address.domain(), option),
            Kind::Outside { .. } => return Err(errno(libc::ENOTSOCK)),
            Kind::Stream(..) => {}
        }
        let Some((id, side)) = self.end_of(id)? else { unreachable!("just seen") };
        let stream = self.stream_mut(id);
        let domain = stream.domain;
        stream.ends[side].options.set(domain, option)?;
        stream.directions[side].send_max = u64::from(stream.ends[side].options.send_buffer);
        match option {
            SocketOption::ReceiveBuffer(_) => {
                stream.directions[1 - side].receive_max = u64::from(stream.ends[side].options.receive_buffer);
            }
            SocketOption::NoDelay(true) => self.push(id, side),
            SocketOption::Keepalive(_) => self.arm_probe(id, side),
            SocketOption::UserTimeout(_) => self.arm_give_up(id, side),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn option(&mut self, id: FileId, option: SocketOption) -> io::Result<SocketOption> {
        if let Some((stream, side)) = self.end_of(id)? {
            if let SocketOption::Error(_) = option {
                let error = self.take_error(stream, side, Operation::Connect);
                return Ok(SocketOption::Error(error.unwrap_or(0)));
            }
            let stream = self.stream(stream);
            return stream.ends[side].options.get(stream.domain, option);
        }
        match &self.file(id)?.kind {
            Kind::Fresh(fresh) => fresh.options.get(fresh.domain, option),
            Kind::Listener(listener) => listener.options.get(listener.domain(), option),
            _ => Err(errno(libc::ENOTSOCK)),
        }
    }

    pub(super) fn domain(&self, id: FileId) -> Option<Domain> {
        match &self.files.get(id.0)?.kind {
            Kind::Fresh(fresh) => Some(fresh.domain),
            Kind::Listener(listener) => Some(listener.domain()),
            Kind::Stream(stream, side) => Some(self.stream(*stream).ends[*side].local.domain()),
            Kind::Outside { .. } => None,
        }
    }

    pub(super) fn local_address(&self, id: FileId) -> io::Result<Address> {
        match &self.file(id)?.kind {
            Kind::Fresh(fresh) => Ok(super::tcp::unbound(fresh.domain)),
            Kind::Listener(listener) => Ok(listener.address.clone()),
            Kind::Stream(stream, side) => Ok(self.stream(*stream).ends[*side].local.clone()),
            Kind::Outside { .. } => Err(errno(libc::ENOTSOCK)),
        }
    }

    /// # Errors
    /// ENOTCONN, also once a TCP connection is over.
    pub(super) fn peer_address(&self, id: FileId) -> io::Result<Address> {
        let Some((stream, side)) = self.end_of(id)? else { return Err(errno(libc::ENOTCONN)) };
        let end = &self.stream(stream).ends[side];
        if end.state == EndState::Open { Ok(end.peer.clone()) } else { Err(errno(libc::ENOTCONN)) }
    }

    pub(super) fn unread(&self, id: FileId) -> usize {
        match self.end_of(id) {
            Ok(Some((stream, side))) => self.stream(stream).directions[1 - side].unread(),
            _ => 0,
        }
    }

    pub(super) fn unacknowledged(&self, id: FileId) -> usize {
        match self.end_of(id) {
            Ok(Some((stream, side))) if !self.stream(stream).is_unix() => {
                let direction = &self.stream(stream).directions[side];
                (direction.taken - direction.acknowledged) as usize
            }
            _ => 0,
        }
    }
}

/// A call's result as one number.
fn outcome(result: &io::Result<usize>) -> u64 {
    match result {
        Ok(count) => *count as u64,
        Err(error) => 1 << 63 | error.raw_os_error().unwrap_or(0) as u64,
    }
}
