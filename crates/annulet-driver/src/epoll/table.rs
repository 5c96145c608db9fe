//! What the driver knows about each descriptor.

use crate::socket::Socket;
use crate::sys::epoll;

/// No operation.
const NONE: u32 = u32::MAX;

/// Descriptor of no socket: the event data of the wake-up.
pub(super) const WAKE: u64 = u64::MAX;

/// State of one descriptor, 12 bytes for every number below the highest in use. Both sides name the *slot* of an
/// operation only: it is forgotten here before the operation leaves its slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    /// Slot of the Receive or Accept.
    reader: u32,
    /// Slot of the Writable or Connect.
    writer: u32,
    /// Raised by every close, so that an event or ready-list entry for the number's former owner is told apart.
    /// Entries live for one turn; 65536 closes of one number within a turn would pass for none, and cost an EAGAIN.
    generation: u16,
    flags: u16,
}

/// Bits of [`Watched`]: any of them for a question, all of them for a change. Those that events set have epoll's own
/// values, so that an event is merged by one instruction.
#[derive(Clone, Copy)]
pub(super) struct Flag(u16);

impl Flag {
    /// An edge of reading came, and no attempt since has found the socket empty. Unset while an attempt is under way.
    pub(super) const READABLE: Self = Self(epoll::READABLE as u16);
    /// The send buffer had room, and no attempt since has filled it.
    pub(super) const ROOM: Self = Self(epoll::WRITABLE as u16);
    /// Closed both ways, or failed: a send will say how.
    pub(super) const DEAD: Self = Self((epoll::CLOSED | epoll::ERROR) as u16);
    /// The peer finished sending, or the connection is gone: a short read may have the end or an error behind it.
    pub(super) const READ_CLOSED: Self = Self(epoll::READ_CLOSED as u16 | Self::DEAD.0);
    /// epoll reports edges.
    pub(super) const WATCHED: Self = Self(1 << 8);
    /// Stands on the ready list, or waits for a buffer: not to be put there twice.
    pub(super) const LISTED: Self = Self(1 << 9);
    /// Other descriptors may keep the open file alive, so that close does not end the watch.
    pub(super) const SHARED: Self = Self(1 << 10);

    /// What events set.
    const SIGHT: Self = Self(Self::READABLE.0 | Self::ROOM.0 | Self::READ_CLOSED.0);
}

const _: () = {
    let ours = Flag::WATCHED.0 | Flag::LISTED.0 | Flag::SHARED.0;
    assert!(ours & Flag::SIGHT.0 == 0);
    let epoll = epoll::READABLE | epoll::WRITABLE | epoll::CLOSED | epoll::ERROR | epoll::READ_CLOSED;
    assert!(Flag::SIGHT.0 as u32 == epoll);
};

/// A side of a socket that an operation occupies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Read,
    Write,
}

impl Watched {
    const fn new(generation: u16) -> Self {
        Self { reader: NONE, writer: NONE, generation, flags: 0 }
    }

    #[inline]
    pub(super) fn is(&self, flag: Flag) -> bool {
        self.flags & flag.0 != 0
    }

    #[inline]
    pub(super) fn set(&mut self, flag: Flag) {
        self.flags |= flag.0;
    }

    #[inline]
    pub(super) fn clear(&mut self, flag: Flag) {
        self.flags &= !flag.0;
    }

    /// Adds what an event says. The end of reading and failure are something to read, too.
    #[inline]
    pub(super) fn merge(&mut self, event: u32) {
        self.flags |= event as u16 & Flag::SIGHT.0;
        if self.is(Flag::READ_CLOSED) {
            self.set(Flag::READABLE);
        }
    }

    /// The slot of the operation that reads, if there may be something for it to read. The socket is then taken to be
    /// empty: it will be, as a rule, and who leaves something there [says so](Self::set).
    #[inline]
    pub(super) fn start_reading(&mut self) -> Option<u32> {
        if !self.is(Flag::READABLE) {
            return None;
        }
        let slot = self.slot(Side::Read)?;
        self.clear(Flag::READABLE);
        Some(slot)
    }

    /// Slot of the operation on a side.
    #[inline]
    pub(super) fn slot(&self, side: Side) -> Option<u32> {
        let slot = match side {
            Side::Read => self.reader,
            Side::Write => self.writer,
        };
        (slot != NONE).then_some(slot)
    }

    pub(super) fn set_slot(&mut self, side: Side, slot: Option<u32>) {
        let slot = slot.unwrap_or(NONE);
        match side {
            Side::Read => self.reader = slot,
            Side::Write => self.writer = slot,
        }
    }

    /// Forgets what was seen of a socket that is about to be connected, perhaps for the second time.
    pub(super) fn reset_sight(&mut self) {
        self.clear(Flag::SIGHT);
    }
}

/// A descriptor at a moment: its number and the generation the number was in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) descriptor: u32,
    pub(super) generation: u16,
}

impl Place {
    /// The form that travels through the kernel as event data; never [`WAKE`].
    pub(super) fn to_bits(self) -> u64 {
        u64::from(self.descriptor) | u64::from(self.generation) << 32
    }

    #[inline]
    pub(super) fn from_bits(bits: u64) -> Self {
        Self { descriptor: bits as u32, generation: (bits >> 32) as u16 }
    }

    #[inline]
    pub(super) fn socket(self) -> Socket {
        Socket::from_raw(self.descriptor as i32)
    }
}

/// The state of all descriptors, indexed by their number.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Watched>);

impl Table {
    /// The state of a socket, which is created if need be.
    pub(super) fn enter(&mut self, socket: Socket) -> &mut Watched {
        let index = usize::try_from(socket.as_raw()).expect("descriptors are not negative");
        if index >= self.0.len() {
            self.0.resize(index + 1, Watched::new(0));
        }
        &mut self.0[index]
    }

    /// The state of a socket, if there is any to speak of.
    #[inline]
    pub(super) fn get(&mut self, socket: Socket) -> Option<&mut Watched> {
        self.0.get_mut(usize::try_from(socket.as_raw()).ok()?)
    }

    /// The state of a socket and its place, for whoever checks.
    pub(super) fn look(&self, socket: Socket) -> Option<(Place, &Watched)> {
        let watched = self.0.get(usize::try_from(socket.as_raw()).ok()?)?;
        Some((Place { descriptor: socket.as_raw() as u32, generation: watched.generation }, watched))
    }

    /// The state at a place; `None` when the descriptor was closed since, and for [`WAKE`].
    #[inline]
    pub(super) fn at(&mut self, place: Place) -> Option<&mut Watched> {
        self.0.get_mut(place.descriptor as usize).filter(|watched| watched.generation == place.generation)
    }

    pub(super) fn place(&mut self, socket: Socket) -> Place {
        let generation = self.enter(socket).generation;
        Place { descriptor: socket.as_raw() as u32, generation }
    }

    /// Forgets a socket that is about to be closed.
    pub(super) fn leave(&mut self, socket: Socket) {
        if let Some(watched) = self.get(socket) {
            *watched = Watched::new(watched.generation.wrapping_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_costs_twelve_bytes() {
        assert_eq!(size_of::<Watched>(), 12);
    }

    #[test]
    fn a_place_survives_the_trip_through_event_data_and_is_never_the_wake_up() {
        let place = Place { descriptor: i32::MAX as u32, generation: u16::MAX };
        assert_eq!(Place::from_bits(place.to_bits()), place);
        assert_ne!(place.to_bits(), WAKE);
    }

    #[test]
    fn a_reused_number_does_not_answer_to_its_former_place() {
        let mut table = Table::default();
        let socket = Socket::from_raw(5);
        let former = table.place(socket);
        table.enter(socket).set(Flag::READABLE);
        table.leave(socket);
        assert!(table.at(former).is_none());
        let place = table.place(socket);
        assert!(!table.at(place).expect("the new owner").is(Flag::READABLE));
    }
}
