//! TCP as far as it can be seen through sockets: handshake, segments, acknowledgements, resets, timers.
//!
//! Packets of one end arrive in the order in which they left, so each way is a queue of which only the first packet is
//! an event. What TCP does about losses and reordering is then just delay: a lost packet comes a retransmission timeout
//! later, and what was sent after it waits.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::errno;
use super::event::Event;
use super::fault::{Fault, Operation};
use super::file::{FileId, Fresh, Kind};
use super::host::{HostId, Life};
use super::link::{LinkId, link_id, time_for};
use super::log::LogKind;
use super::stream::{CLIENT, End, EndState, SERVER, Side, Stream, StreamId};
use super::window::{Direction, Fin};
use super::world::State;
use crate::instant::Instant;
use crate::socket::{Address, Domain, UnixAddress};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// `attempt` counts those that a full queue has dropped.
    Syn {
        attempt: u32,
    },
    SynAck,
    /// The handshake's third.
    Confirm,
    Data {
        length: u32,
    },
    Fin,
    /// What has arrived, how far the peer may send, and whether its end has arrived.
    Acknowledge {
        arrived: u64,
        edge: u64,
        fin: bool,
    },
    Reset {
        cause: Option<Fault>,
    },
}

impl Packet {
    /// For the log.
    fn number(self) -> u64 {
        match self {
            Self::Syn { .. } => 1,
            Self::SynAck => 2,
            Self::Confirm => 3,
            Self::Data { .. } => 4,
            Self::Fin => 5,
            Self::Acknowledge { .. } => 6,
            Self::Reset { .. } => 7,
        }
    }

    fn length(self) -> u64 {
        if let Self::Data { length } = self { u64::from(length) } else { 0 }
    }

    /// The operation that what befalls the packet befalls; `latest` is what its sender did last.
    fn operation(self, latest: Operation) -> Operation {
        match self {
            Self::Syn { .. } | Self::SynAck | Self::Confirm => Operation::Connect,
            Self::Data { .. } | Self::Fin => latest,
            Self::Acknowledge { .. } => Operation::Receive,
            Self::Reset { .. } => Operation::Close,
        }
    }
}

/// Packets on their way from one end to the other, in order.
#[derive(Debug, Default)]
pub(super) struct Wire {
    packets: VecDeque<(Instant, Packet)>,
    /// When the latest packet arrives.
    latest: Instant,
    /// The first packet found no way: no event is scheduled for it until there is one.
    is_held: bool,
}

impl Wire {
    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }
}

/// The first retransmission, later ones at double the distance each (`TCP_RTO_MIN`).
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// Losses in a row that are told apart.
const LOSSES_MAX: u32 = 6;
/// The first repetition of a SYN, later ones at double the distance each.
const SYN_REPETITION: Duration = Duration::from_secs(1);
/// How long SYNs are repeated (`tcp_syn_retries` 6).
const CONNECT_LIMIT: Duration = Duration::from_secs(127);
/// How long SYN-ACKs are repeated (`tcp_synack_retries` 5).
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(63);
/// How long unacknowledged bytes are sent again (`tcp_retries2` 15).
const SEND_LIMIT: Duration = Duration::from_millis(924_600);
/// The same once the socket is closed (`tcp_orphan_retries`).
const ORPHAN_LIMIT: Duration = Duration::from_millis(102_200);
/// How long unanswered probes are repeated (`tcp_keepalive_intvl` × `tcp_keepalive_probes`).
const PROBE_LIMIT: Duration = Duration::from_secs(75 * 9);
/// How soon a shut window is probed.
const WINDOW_PROBE: Duration = Duration::from_secs(1);

/// The address of a socket that has none.
pub(super) fn unbound(domain: Domain) -> Address {
    match domain {
        Domain::V4 => Address::Tcp((Ipv4Addr::UNSPECIFIED, 0).into()),
        Domain::V6 => Address::Tcp((Ipv6Addr::UNSPECIFIED, 0).into()),
        Domain::Unix => Address::Unix(UnixAddress::Unnamed),
    }
}

/// An address as a socket of `domain` sees it.
fn seen_by(domain: Domain, address: SocketAddr) -> Address {
    match address.ip() {
        IpAddr::V4(ip) if domain == Domain::V6 => Address::Tcp((ip.to_ipv6_mapped(), address.port()).into()),
        _ => Address::Tcp(address),
    }
}

/// Connecting.
impl State {
    pub(super) fn connect(&mut self, host: HostId, descriptor: i32, address: &Address) -> io::Result<()> {
        let file = self.live_host(host)?.descriptors.get(descriptor)?;
        self.note(
            LogKind::CONNECT,
            file.to_bits(),
            address.as_tcp().map_or(0, |address| address.port().into()),
        );
        match (self.domain(file), address) {
            // unix(7) looks at the address first.
            (Some(Domain::Unix), Address::Unix(name)) => self.connect_unix(host, file, name),
            (Some(Domain::Unix), Address::Tcp(_)) => Err(errno(libc::EINVAL)),
            _ => {
                let fresh = self.connectable(file)?;
                match address {
                    Address::Tcp(target) if address.domain() == fresh.domain => {
                        self.connect_tcp(host, file, &fresh, *target)
                    }
                    // Too short an address for IPv6.
                    Address::Tcp(_) if fresh.domain == Domain::V6 => Err(errno(libc::EINVAL)),
                    _ => Err(errno(libc::EAFNOSUPPORT)),
                }
            }
        }
    }

    /// The socket as it was before it was connected, where that failed.
    ///
    /// # Errors
    /// EALREADY while it is being connected, EISCONN afterwards and of a listener, ENOTSOCK.
    pub(super) fn connectable(&mut self, id: FileId) -> io::Result<Fresh> {
        if let Some((stream, side)) = self.end_of(id)? {
            let end = &self.stream(stream).ends[side];
            let fresh = Fresh { domain: end.local.domain(), options: end.options.clone() };
            return match end.state {
                EndState::Connecting => Err(errno(libc::EALREADY)),
                EndState::Closed if !end.is_used => {
                    self.close_end(stream, side, Operation::Close);
                    self.file_mut(id)?.kind = Kind::Fresh(fresh.clone());
                    Ok(fresh)
                }
                _ => Err(errno(libc::EISCONN)),
            };
        }
        match &self.file(id)?.kind {
            Kind::Fresh(fresh) => Ok(fresh.clone()),
            Kind::Listener(listener) if listener.domain() == Domain::Unix => Err(errno(libc::EINVAL)),
            Kind::Listener(_) => Err(errno(libc::EISCONN)),
            _ => Err(errno(libc::ENOTSOCK)),
        }
    }

    fn connect_tcp(
        &mut self,
        host: HostId,
        file: FileId,
        fresh: &Fresh,
        target: SocketAddr,
    ) -> io::Result<()> {
        let target = SocketAddr::new(reachable(target.ip()), target.port());
        let source = self.source(host, target.ip()).ok_or_else(|| errno(libc::ENETUNREACH))?;
        let port = self.hosts[host.index()].free_port().map_err(|_| errno(libc::EADDRNOTAVAIL))?;
        let source = SocketAddr::new(source, port);
        let owner = self.owner(host, target.ip());
        let mut client = End::new(host, source.into(), target.into(), fresh.options.clone());
        client.file = Some(file);
        client.state = EndState::Connecting;
        client.progress_at = self.now;
        let server = End::new(owner, target.into(), source.into(), fresh.options.clone());
        let receive_max = self.receive_max(fresh.options.receive_buffer);
        // What the server's side allows is known when the SYN arrives.
        let directions = [Direction::new(fresh.options.send_buffer, 0), Direction::new(0, receive_max)];
        let mut stream = Stream::new(target_domain(target), [client, server], directions);
        self.plan_faults(&mut stream);
        let id = self.insert_stream(stream);
        self.file_mut(file)?.kind = Kind::Stream(id, CLIENT);
        if !self.doom(id) {
            self.transmit(id, CLIENT, Packet::Syn { attempt: 0 });
            if owner.is_none() {
                self.arm_give_up(id, CLIENT);
            }
        }
        Err(errno(libc::EINPROGRESS))
    }

    /// What the faults have in mind for this connection.
    fn plan_faults(&mut self, stream: &mut Stream) {
        for direction in &mut stream.directions {
            if self.strikes(Fault::Reset) {
                direction.reset_at = Some(self.faults.chance(Fault::Reset).spread(1, 1 << 17) - 1);
            }
        }
        if self.hit(Fault::NarrowLink, Operation::Connect) {
            stream.bytes_per_second = Some(self.faults.chance(Fault::NarrowLink).spread(512, 1 << 18));
        }
    }

    /// Bytes of a receive buffer, which a fault may make tiny.
    fn receive_max(&mut self, bytes: u32) -> u32 {
        if self.hit(Fault::SlowPeer, Operation::Connect) {
            return bytes.min(self.faults.chance(Fault::SlowPeer).spread(64, 2048) as u32);
        }
        bytes
    }

    /// Whether a fault lets connecting fail. Then nothing is sent, and the error comes when it would.
    fn doom(&mut self, id: StreamId) -> bool {
        const DOOMS: [(Fault, i32, u64); 3] = [
            (Fault::Refused, libc::ECONNREFUSED, 1_000_000),
            (Fault::Unreachable, libc::EHOSTUNREACH, 3_000_000_000),
            (Fault::TimedOut, libc::ETIMEDOUT, CONNECT_LIMIT.as_nanos() as u64),
        ];
        for (fault, number, longest) in DOOMS {
            if self.strikes(fault) {
                let wait = self.faults.chance(fault).spread(10_000, longest);
                let end = &mut self.stream_mut(id).ends[CLIENT];
                (end.doom, end.cause) = (Some(number), Some(fault));
                let number = end.give_up.arm();
                self.schedule_after(wait, Event::GiveUp { stream: id, side: CLIENT, number });
                return true;
            }
        }
        false
    }

    /// Whose address this is, as seen from `host`.
    fn owner(&self, host: HostId, address: IpAddr) -> Option<HostId> {
        if address.is_loopback() { Some(host) } else { self.addresses.get(&address).copied() }
    }

    /// The address from which `host` reaches `target`.
    fn source(&self, host: HostId, target: IpAddr) -> Option<IpAddr> {
        let own = &self.hosts[host.index()].addresses;
        if target.is_loopback() || own.contains(&target) {
            return Some(target);
        }
        own.iter().find(|address| address.is_ipv4() == target.is_ipv4()).copied()
    }
}

/// Linux takes the unspecified address for the loopback's.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

fn target_domain(target: SocketAddr) -> Domain {
    Address::Tcp(target).domain()
}

/// Sending.
impl State {
    /// Puts a packet on its way.
    pub(super) fn transmit(&mut self, id: StreamId, from: Side, packet: Packet) {
        let stream = self.stream(id);
        let (Some(sender), Some(receiver)) = (stream.ends[from].host, stream.ends[1 - from].host) else {
            return;
        };
        let operation = packet.operation(stream.ends[from].latest);
        let link = link_id(sender, receiver);
        self.draw_partition(link, operation);
        let is_backward = if sender == receiver { from == SERVER } else { sender > receiver };
        let mut arrives = self.links.between(link).arrival(self.now, is_backward, packet.length());
        arrives += self.misfortune(link, packet, operation);
        let stream = self.stream_mut(id);
        let wire = &mut stream.wires[from];
        if let Some(rate) = stream.bytes_per_second {
            arrives = arrives.max(wire.latest) + time_for(packet.length(), rate);
        }
        wire.latest = arrives.max(wire.latest);
        wire.packets.push_back((wire.latest, packet));
        let (at, is_first, is_held) = (wire.latest, wire.packets.len() == 1, wire.is_held);
        if is_held {
            self.arm_give_up(id, from);
        } else if is_first {
            self.events.schedule(at, Event::Arrival { stream: id, from });
        }
    }

    /// How much longer a packet takes by loss and delay. A lost acknowledgement is made up for by the next one, which
    /// nobody can see.
    fn misfortune(&mut self, link: LinkId, packet: Packet, operation: Operation) -> Duration {
        let mut longer = Duration::ZERO;
        if self.hit(Fault::Delay, operation) {
            longer += Duration::from_nanos(self.faults.chance(Fault::Delay).spread(100_000, 2_000_000_000));
        }
        if matches!(packet, Packet::Acknowledge { .. }) {
            return longer;
        }
        for loss in 0..LOSSES_MAX {
            if !self.links.between(link).loses() && !self.hit(Fault::Loss, operation) {
                break;
            }
            longer += RETRANSMISSION * 2_u32.pow(loss);
        }
        longer
    }

    fn draw_partition(&mut self, link: LinkId, operation: Operation) {
        if !self.links.is_cut(link) && self.hit(Fault::Partition, operation) {
            let wait = self.faults.chance(Fault::Partition).spread(1_000_000, 200_000_000_000);
            let number = self.cut(link);
            self.links.between(link).is_cut_by_fault = true;
            self.schedule_after(wait, Event::Heal { link, number });
        }
    }

    pub(super) fn segment_max(&mut self, id: StreamId) -> u32 {
        let [Some(one), Some(other)] = self.stream(id).ends.each_ref().map(|end| end.host) else { return 1 };
        self.links.between(link_id(one, other)).settings.segment_max.max(1)
    }

    /// Sends what the window allows, in segments; then the end.
    pub(super) fn push(&mut self, id: StreamId, side: Side) {
        if self.stream(id).ends[side].state != EndState::Open {
            return;
        }
        let segment_max = u64::from(self.segment_max(id));
        while let Some(length) = self.next_segment(id, side, segment_max) {
            self.stream_mut(id).directions[side].sent += length;
            let cut = self.draw_cut(length);
            for length in [cut, length - cut].into_iter().filter(|length| *length > 0) {
                self.transmit(id, side, Packet::Data { length: length as u32 });
            }
        }
        let direction = &mut self.stream_mut(id).directions[side];
        if direction.fin == Fin::Waiting && direction.sent == direction.taken {
            direction.fin = Fin::Sent;
            self.transmit(id, side, Packet::Fin);
        } else if direction.taken > direction.sent {
            self.arm_probe(id, side);
        }
    }

    /// Where a segment is cut in two on its way: one in eight somewhere, so that messages are split at every byte.
    fn draw_cut(&mut self, length: u64) -> u64 {
        let draw = self.segments.bits();
        if draw.is_multiple_of(8) { 1 + (draw >> 3) % length } else { length }
    }

    /// The length of the segment to send now.
    fn next_segment(&self, id: StreamId, side: Side, segment_max: u64) -> Option<u64> {
        let stream = self.stream(id);
        let (end, direction) = (&stream.ends[side], &stream.directions[side]);
        let length = direction.sendable().min(segment_max);
        // Nagle: a small segment waits until all before it has been acknowledged.
        let is_small = length < segment_max && direction.fin == Fin::None;
        if length == 0 || is_small && !end.options.no_delay && direction.sent > direction.acknowledged {
            return None;
        }
        Some(length)
    }

    /// Tells the peer what has arrived and how far it may send.
    pub(super) fn acknowledge(&mut self, id: StreamId, side: Side) {
        let segment_max = self.segment_max(id);
        let direction = &mut self.stream_mut(id).directions[1 - side];
        direction.told = direction.next_edge(segment_max);
        let packet = Packet::Acknowledge {
            arrived: direction.arrived,
            edge: direction.told,
            fin: direction.fin >= Fin::Arrived,
        };
        self.transmit(id, side, packet);
    }
}

/// Arriving.
impl State {
    /// The first packet from this side arrives, if there is a way.
    pub(super) fn arrive(&mut self, id: StreamId, from: Side) {
        let Some(stream) = self.streams.get(id.0) else { return };
        if !self.has_way(stream, 1 - from) {
            self.note(LogKind::HELD, id.0.to_bits(), from as u64);
            self.stream_mut(id).wires[from].is_held = true;
            self.arm_give_up(id, CLIENT);
            self.arm_give_up(id, SERVER);
            return;
        }
        let now = self.now;
        let wire = &mut self.stream_mut(id).wires[from];
        let (_, packet) = wire.packets.pop_front().expect("an arrival is scheduled for a packet");
        let next = wire.packets.front().copied();
        if let Some((at, _)) = next {
            self.events.schedule(at.max(now), Event::Arrival { stream: id, from });
        }
        let what = packet.number() << 32 | packet.length();
        self.note(LogKind::ARRIVAL, id.0.to_bits(), (from as u64) << 63 | what);
        let to = 1 - from;
        match packet {
            Packet::Syn { attempt } => self.syn_arrives(id, attempt),
            Packet::SynAck => self.syn_ack_arrives(id),
            Packet::Confirm => self.confirm_arrives(id),
            Packet::Data { length } => {
                let is_followed = matches!(next, Some((at, Packet::Data { .. } | Packet::Fin)) if at <= now);
                self.data_arrives(id, to, u64::from(length), is_followed);
            }
            Packet::Fin => self.fin_arrives(id, to),
            Packet::Acknowledge { arrived, edge, fin } => {
                self.acknowledgement_arrives(id, to, arrived, edge, fin)
            }
            Packet::Reset { cause } => self.reset_arrives(id, to, cause),
        }
    }

    /// Whether packets to this end get there.
    fn has_way(&self, stream: &Stream, to: Side) -> bool {
        let [Some(one), Some(other)] = stream.ends.each_ref().map(|end| end.host) else { return false };
        let receiver = [one, other][to];
        self.hosts[receiver.index()].life != Life::Silent && !self.links.is_cut(link_id(one, other))
    }

    fn syn_arrives(&mut self, id: StreamId, attempt: u32) {
        let server = &self.stream(id).ends[SERVER];
        let (Some(host), Some(target)) = (server.host, server.local.as_tcp()) else {
            unreachable!("a SYN is sent to a TCP address of a host")
        };
        let Some(file) = self.listener_at(host, target) else {
            self.stream_mut(id).ends[SERVER].close();
            self.transmit(id, SERVER, Packet::Reset { cause: None });
            self.free_if_over(id);
            return;
        };
        let listener = self.listener_mut(file).expect("just found");
        if listener.is_full() {
            return self.repeat_syn(id, attempt);
        }
        listener.handshakes += 1;
        let (domain, options) = (listener.domain(), listener.options.clone());
        let receive_max = self.receive_max(options.receive_buffer);
        let now = self.now;
        let stream = self.stream_mut(id);
        let end = &mut stream.ends[SERVER];
        end.state = EndState::Handshaking(file);
        (end.progress_at, end.heard_at) = (now, now);
        let addresses = (end.local.as_tcp(), end.peer.as_tcp());
        if let (Some(local), Some(peer)) = addresses {
            (end.local, end.peer) = (seen_by(domain, local), seen_by(domain, peer));
        }
        stream.directions[SERVER].send_max = u64::from(options.send_buffer);
        stream.directions[CLIENT].open(receive_max);
        end.options = options;
        self.transmit(id, SERVER, Packet::SynAck);
    }

    /// The queue is full: the SYN is dropped, and its sender tries again, for a while.
    fn repeat_syn(&mut self, id: StreamId, attempt: u32) {
        let stream = self.stream_mut(id);
        if stream.ends[CLIENT].state != EndState::Connecting {
            stream.ends[SERVER].close();
            return self.free_if_over(id);
        }
        let at = self.now + SYN_REPETITION * 2_u32.pow(attempt.min(LOSSES_MAX));
        let wire = &mut self.stream_mut(id).wires[CLIENT];
        wire.latest = wire.latest.max(at);
        wire.packets.push_front((at, Packet::Syn { attempt: attempt + 1 }));
        self.events.schedule(at, Event::Arrival { stream: id, from: CLIENT });
        self.arm_give_up(id, CLIENT);
    }

    fn syn_ack_arrives(&mut self, id: StreamId) {
        let now = self.now;
        let end = &mut self.stream_mut(id).ends[CLIENT];
        if end.state != EndState::Connecting {
            return self.transmit(id, CLIENT, Packet::Reset { cause: None });
        }
        end.state = EndState::Open;
        end.is_used = true;
        (end.progress_at, end.heard_at) = (now, now);
        end.give_up.is_armed = false;
        let file = end.file;
        self.transmit(id, CLIENT, Packet::Confirm);
        self.changed(file);
    }

    fn confirm_arrives(&mut self, id: StreamId) {
        let now = self.now;
        let end = &mut self.stream_mut(id).ends[SERVER];
        let EndState::Handshaking(file) = end.state else {
            // It gave up waiting.
            return self.transmit(id, SERVER, Packet::Reset { cause: None });
        };
        end.give_up.is_armed = false;
        let Some(listener) = self.listener_mut(file) else {
            self.stream_mut(id).ends[SERVER].close();
            self.transmit(id, SERVER, Packet::Reset { cause: None });
            return self.free_if_over(id);
        };
        listener.handshakes -= 1;
        listener.queue.push_back(id);
        let end = &mut self.stream_mut(id).ends[SERVER];
        end.state = EndState::Open;
        end.is_used = true;
        end.is_queued = true;
        (end.progress_at, end.heard_at) = (now, now);
        self.changed(Some(file));
    }

    fn data_arrives(&mut self, id: StreamId, to: Side, length: u64, is_followed: bool) {
        let (now, faults_are_over) = (self.now, self.faults.are_over());
        let stream = self.stream_mut(id);
        let (end, direction) = (&mut stream.ends[to], &mut stream.directions[1 - to]);
        end.heard_at = now;
        if end.state != EndState::Open {
            return self.transmit(id, to, Packet::Reset { cause: None });
        }
        if end.is_read_shut && end.is_send_shut {
            // Nobody will read it, and the sender is to know (RFC 1122, 4.2.2.13).
            return self.refuse_data(id, to);
        }
        let room =
            direction.reset_at.filter(|_| !faults_are_over).map(|at| at.saturating_sub(direction.arrived));
        direction.arrived += length.min(room.unwrap_or(length));
        let file = end.file;
        self.changed(file);
        if room.is_some_and(|room| room < length) {
            self.transmit(id, to, Packet::Reset { cause: Some(Fault::Reset) });
            return self.fail(id, to, libc::ECONNRESET, Some(Fault::Reset));
        }
        if !is_followed {
            self.acknowledge(id, to);
        }
    }

    /// Data came after both directions were shut.
    fn refuse_data(&mut self, id: StreamId, to: Side) {
        self.transmit(id, to, Packet::Reset { cause: None });
        self.fail(id, to, libc::ECONNRESET, None);
    }

    fn fin_arrives(&mut self, id: StreamId, to: Side) {
        let now = self.now;
        let stream = self.stream_mut(id);
        let end = &mut stream.ends[to];
        end.heard_at = now;
        if end.state != EndState::Open {
            return self.transmit(id, to, Packet::Reset { cause: None });
        }
        (end.has_end, end.is_read_shut) = (true, true);
        let file = end.file;
        stream.directions[1 - to].fin = Fin::Arrived;
        self.acknowledge(id, to);
        self.changed(file);
        self.finish(id, to);
    }

    fn acknowledgement_arrives(&mut self, id: StreamId, to: Side, arrived: u64, edge: u64, fin: bool) {
        let now = self.now;
        let stream = self.stream_mut(id);
        let (end, direction) = (&mut stream.ends[to], &mut stream.directions[to]);
        end.heard_at = now;
        if end.state != EndState::Open {
            return;
        }
        let has_progress = arrived > direction.acknowledged;
        if has_progress {
            direction.acknowledged = arrived;
            end.progress_at = now;
        }
        direction.edge = direction.edge.max(edge);
        if fin && direction.fin == Fin::Arrived {
            direction.fin = Fin::Acknowledged;
        }
        let has_room = has_progress && !end.is_held_off && direction.is_roomy();
        let file = end.file.filter(|_| has_room);
        self.changed(file);
        self.push(id, to);
        self.finish(id, to);
    }

    /// Both directions have ended, and this end knows.
    fn finish(&mut self, id: StreamId, side: Side) {
        let stream = self.stream_mut(id);
        let is_over = stream.directions[side].fin == Fin::Acknowledged && stream.ends[side].has_end;
        if is_over && stream.ends[side].state == EndState::Open {
            stream.ends[side].close();
            let file = stream.ends[side].file;
            self.changed(file);
            self.free_if_over(id);
        }
    }

    fn reset_arrives(&mut self, id: StreamId, to: Side, cause: Option<Fault>) {
        let end = &self.stream(id).ends[to];
        match end.state {
            EndState::Connecting => self.fail(id, to, libc::ECONNREFUSED, cause),
            EndState::Handshaking(listener) => self.give_up_handshake(id, listener),
            // As Linux has it: the peer had ended, so what is lost is what this end sends.
            EndState::Open if end.has_end && !end.is_send_shut => self.fail(id, to, libc::EPIPE, cause),
            EndState::Open => self.fail(id, to, libc::ECONNRESET, cause),
            EndState::Absent | EndState::Closed => self.free_if_over(id),
        }
    }

    fn give_up_handshake(&mut self, id: StreamId, listener: FileId) {
        if let Some(listener) = self.listener_mut(listener) {
            listener.handshakes -= 1;
        }
        self.stream_mut(id).ends[SERVER].close();
        self.free_if_over(id);
    }
}

/// Waiting in vain. Timers run only while something is in the way, for else an answer is sure to come: a world in which
/// nothing happens has no events.
impl State {
    /// When this end gives up, should nothing change; `None` when it waits for nothing.
    fn limit(&self, stream: &Stream, side: Side) -> Option<Instant> {
        let end = &stream.ends[side];
        let limit = match end.state {
            EndState::Connecting => CONNECT_LIMIT,
            EndState::Handshaking(_) => HANDSHAKE_LIMIT,
            EndState::Open if stream.directions[side].is_pending() => match end.options.user_timeout {
                Some(limit) => limit,
                None if end.is_held() => SEND_LIMIT,
                None => ORPHAN_LIMIT,
            },
            _ => return None,
        };
        Some(end.progress_at + limit)
    }

    /// Starts to wait for an answer that may not come.
    pub(super) fn arm_give_up(&mut self, id: StreamId, side: Side) {
        let Some(stream) = self.streams.get(id.0) else { return };
        let Some(limit) = self.limit(stream, side).filter(|_| !stream.ends[side].give_up.is_armed) else {
            return;
        };
        let at = limit.max(self.now);
        let number = self.stream_mut(id).ends[side].give_up.arm();
        self.events.schedule(at, Event::GiveUp { stream: id, side, number });
    }

    pub(super) fn give_up(&mut self, id: StreamId, side: Side, number: u32) {
        let Some(stream) = self.streams.get_mut(id.0) else { return };
        if !stream.ends[side].give_up.is(number) {
            return;
        }
        stream.ends[side].give_up.is_armed = false;
        let end = &mut stream.ends[side];
        if let (EndState::Connecting, Some(number)) = (end.state, end.doom) {
            let cause = end.cause.take();
            return self.fail(id, side, number, cause);
        }
        let stream = self.stream(id);
        let Some(limit) = self.limit(stream, side) else { return };
        if limit > self.now {
            let is_in_the_way = stream.wires.iter().any(|wire| wire.is_held);
            let end = &stream.ends[side];
            if is_in_the_way || end.state == EndState::Connecting || end.options.user_timeout.is_some() {
                self.arm_give_up(id, side);
            }
            return;
        }
        match stream.ends[side].state {
            EndState::Handshaking(listener) => self.give_up_handshake(id, listener),
            _ => self.fail(id, side, libc::ETIMEDOUT, None),
        }
    }

    /// Whether an event has become void, so that time need not come to it.
    pub(super) fn is_void(&mut self, event: Event) -> bool {
        let (id, side, number) = match event {
            Event::GiveUp { stream, side, number } | Event::Probe { stream, side, number } => {
                (stream, side, number)
            }
            Event::Heal { link, number } => return self.links.between(link).number != number,
            _ => return false,
        };
        let Some(stream) = self.streams.get(id.0) else { return true };
        if matches!(event, Event::Probe { .. }) {
            let end = &stream.ends[side];
            return !end.probe.is(number) || end.state != EndState::Open;
        }
        let is_current = stream.ends[side].give_up.is(number);
        if is_current && self.limit(stream, side).is_none() {
            self.stream_mut(id).ends[side].give_up.is_armed = false;
            return true;
        }
        !is_current
    }

    /// Whether the peer may have gone without a word.
    fn is_unsure(&self, stream: &Stream, side: Side) -> bool {
        stream.ends[1 - side].state == EndState::Closed || !self.has_way(stream, 1 - side)
    }

    /// When this end asks whether its peer is still there: after being idle with keepalive on, and soon where the
    /// peer's window is shut, since nothing else would be sent.
    fn probe_at(&self, stream: &Stream, side: Side) -> Option<Instant> {
        let (end, direction) = (&stream.ends[side], &stream.directions[side]);
        let is_shut_out = direction.taken > direction.sent && direction.sendable() == 0;
        let window = is_shut_out.then(|| self.now + WINDOW_PROBE);
        let idle = end.options.keepalive.map(|idle| (end.heard_at + idle).max(self.now));
        window.into_iter().chain(idle).min().filter(|_| end.state == EndState::Open)
    }

    /// Has an end find out whether its peer is gone, or cannot be reached, if that is not certain.
    pub(super) fn arm_probe(&mut self, id: StreamId, side: Side) {
        let Some(stream) = self.streams.get(id.0) else { return };
        let Some(at) = self.probe_at(stream, side).filter(|_| !stream.ends[side].probe.is_armed) else {
            return;
        };
        if self.is_unsure(stream, side) {
            let number = self.stream_mut(id).ends[side].probe.arm();
            self.events.schedule(at, Event::Probe { stream: id, side, number });
        }
    }

    pub(super) fn probe(&mut self, id: StreamId, side: Side, number: u32) {
        let Some(stream) = self.streams.get(id.0) else { return };
        let end = &stream.ends[side];
        if !end.probe.is(number) {
            return;
        }
        let has_way = self.has_way(stream, 1 - side);
        let is_gone = stream.ends[1 - side].state == EndState::Closed;
        let patience = end.options.user_timeout.unwrap_or(PROBE_LIMIT);
        let limit = end.options.keepalive.map(|idle| end.heard_at + idle + patience);
        let is_open = end.state == EndState::Open;
        let now = self.now;
        self.stream_mut(id).ends[side].probe.is_armed = false;
        match (has_way, is_gone) {
            _ if !is_open => {}
            // The peer's host knows nothing of the connection.
            (true, true) => self.fail(id, side, libc::ECONNRESET, None),
            (true, false) => self.stream_mut(id).ends[side].heard_at = now,
            (false, _) => match limit {
                Some(limit) if limit > now => {
                    let number = self.stream_mut(id).ends[side].probe.arm();
                    self.events.schedule(limit, Event::Probe { stream: id, side, number });
                }
                Some(_) => self.fail(id, side, libc::ETIMEDOUT, None),
                // Whoever waits for the window has another timer, and probes again once there is a way.
                None => {}
            },
        }
    }

    /// The way between two hosts, or to one, has changed: whoever may be waiting in vain finds out.
    pub(super) fn way_lost(&mut self, concerns: impl Fn(&Stream) -> bool) {
        for id in self.streams_where(concerns) {
            for side in [CLIENT, SERVER] {
                self.arm_probe(id, side);
                self.arm_give_up(id, side);
            }
        }
    }

    /// What was held goes on. All retransmission timers start anew, so that a healed world recovers within the links'
    /// delays and not within TCP's back-off.
    pub(super) fn way_found(&mut self, concerns: impl Fn(&Stream) -> bool) {
        for id in self.streams_where(concerns) {
            for side in [CLIENT, SERVER] {
                self.resume(id, side);
                self.arm_probe(id, side);
            }
        }
    }

    fn resume(&mut self, id: StreamId, from: Side) {
        let now = self.now;
        let Some(stream) = self.streams.get_mut(id.0) else { return };
        stream.ends[from].progress_at = now;
        let [Some(one), Some(other)] = stream.ends.each_ref().map(|end| end.host) else { return };
        if std::mem::take(&mut stream.wires[from].is_held) {
            let at = self.links.between(link_id(one, other)).arrival(now, from == SERVER, 0);
            self.events.schedule(at, Event::Arrival { stream: id, from });
        }
    }

    fn streams_where(&self, concerns: impl Fn(&Stream) -> bool) -> Vec<StreamId> {
        let keys = self.streams.keys();
        let concerned = |key: &crate::op::Key| {
            self.streams.get(*key).is_some_and(|stream| !stream.is_unix() && concerns(stream))
        };
        keys.into_iter().filter(concerned).map(StreamId).collect()
    }

    /// Cuts a link; returns the cut's number.
    pub(super) fn cut(&mut self, id: LinkId) -> u32 {
        let link = self.links.between(id);
        (link.is_cut, link.is_cut_by_fault) = (true, false);
        link.number += 1;
        let number = link.number;
        self.note(LogKind::CUT, u64::from(id.0.0), u64::from(id.1.0));
        self.way_lost(|stream| crosses(stream, id));
        number
    }

    pub(super) fn heal(&mut self, id: LinkId) {
        let link = self.links.between(id);
        if std::mem::take(&mut link.is_cut) {
            link.number += 1;
            self.note(LogKind::HEAL, u64::from(id.0.0), u64::from(id.1.0));
            self.way_found(|stream| crosses(stream, id));
        }
    }
}

fn crosses(stream: &Stream, link: LinkId) -> bool {
    let [one, other] = stream.ends.each_ref().map(|end| end.host);
    matches!((one, other), (Some(one), Some(other)) if link_id(one, other) == link)
}
