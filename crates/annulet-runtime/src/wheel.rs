//! Timer wheel: the deadlines of one reactor.
//!
//! Time is counted in ticks of 1 ms since the driver's epoch and always comes in as an argument; nothing here
//! reads a clock. A deadline is rounded *up* to a tick, the present *down*, so a timer is never early.
//!
//! ```text
//!   tick   …│ digit 5 │ digit 4 │ digit 3 │ digit 2 │ digit 1 │ digit 0 │     6 bits each
//!   level       5         4         3         2         1         0
//!   slot is  12.4 days  4.7 h    4.4 min    4.1 s     64 ms      1 ms        wide
//! ```
//!
//! An entry stands at the level of the most significant digit in which its tick differs from the present, in
//! the slot named by its own digit there. What follows from this, and is relied on below:
//!
//! - W1. A slot is opened, and so emptied, when the present reaches it: at every level the slot of the present
//!   is empty.
//! - W2. Entries of one level are all due before those of any higher level, because they share the higher
//!   digits with the present. The first occupied slot of the lowest occupied level is therefore the next one
//!   to be opened, and finding it looks at no more than six bitmaps, however far time has jumped.
//! - W3. Entries of one tick stand in one slot, in the order of their insertion, so that is the order they
//!   fire in.
//!
//! The top level is a circle: it also holds what lies beyond the 2.2 years of its own turn. What lies more
//! than 63 of its slots ahead is clamped into the slot furthest away and placed anew when that one opens;
//! only such entries are excepted from W3.
//!
//! Entries are nodes of a slab, linked by index; a vacant node is reused last in, first out, while it is in
//! the cache.

#[cfg(test)]
mod tests;

use std::mem;
use std::num::NonZeroU32;

/// Length of a tick.
const TICK_NS: u64 = 1_000_000;

/// Levels of the wheel.
const LEVELS: usize = 6;
/// Bits of a tick that one level sorts by.
const SLOT_BITS: u32 = 6;
/// Slots of a level; as many as a bitmap has bits.
const SLOTS: usize = 1 << SLOT_BITS;
/// The level that is a circle.
const LEVEL_TOP: u32 = LEVELS as u32 - 1;
/// Furthest slot of the top level an entry may be put in, counted from the present one.
const TOP_AHEAD_MAX: u64 = SLOTS as u64 - 1;

/// The list, after those of all slots, of entries that were due when they were inserted.
const LATE: usize = LEVELS * SLOTS;
/// Number of lists.
const LISTS: usize = LATE + 1;

/// No node: the end of a list.
const NIL: u32 = u32::MAX;

const _: () = assert!(SLOTS == u64::BITS as usize);
const _: () = assert!(LISTS <= u16::MAX as usize);
// The clamp can be added to the largest tick.
const _: () = assert!(u64::MAX / TICK_NS < u64::MAX - (1 << (LEVELS as u32 * SLOT_BITS)));
const _: () = assert!(size_of::<TimerKey>() == 8);
const _: () = assert!(size_of::<Option<TimerKey>>() == 8);
const _: () = assert!(size_of::<Node<u64>>() == 24 + size_of::<u64>());

/// Names one insertion into a [`Wheel`]; of no use with another wheel.
///
/// A key whose timer fired or was cancelled is stale and finds nothing. Generations are 32 bits wide: a key
/// kept while its node changes hands 2³² times would be taken for the new tenant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TimerKey {
    index: u32,
    generation: NonZeroU32,
}

/// Hierarchical timer wheel over values of type `T`. Owned by one reactor.
///
/// Insertion and cancellation take constant time. Firing relinks an entry at most once per level on its way
/// down. Call [`advance`](Self::advance) once per turn, before the turn inserts anything: positions are
/// relative to the last time the wheel was told, and an old one costs wake-ups (never punctuality).
pub(crate) struct Wheel<T> {
    /// The present: the tick last advanced to.
    now: u64,
    /// Bit `s` of word `l` is set while slot `s` of level `l` has entries.
    occupied: [u64; LEVELS],
    /// `LISTS` lists: that of slot `s` of level `l` is number `l * SLOTS + s`; then `LATE`.
    lists: Box<[List]>,
    /// The slab.
    nodes: Vec<Node<T>>,
    /// Most recently vacated node, or `NIL`.
    vacant: u32,
    /// Nodes that are armed.
    len: usize,
}

/// Entries of one slot, oldest first.
#[derive(Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
    /// No entry of the list is due before this tick. Exact until an entry is cancelled; of no meaning when
    /// empty.
    earliest: u64,
}

impl List {
    const EMPTY: Self = Self { head: NIL, tail: NIL, earliest: 0 };
}

/// A place in the slab.
enum Node<T> {
    Vacant {
        /// What the next tenant's key will say.
        generation: NonZeroU32,
        /// The node vacated before this one, or `NIL`.
        next: u32,
    },
    Armed(Entry<T>),
}

/// A timer that has neither fired nor been cancelled.
struct Entry<T> {
    /// First tick at which it is due.
    tick: u64,
    prev: u32,
    next: u32,
    generation: NonZeroU32,
    /// Number of the list it is linked into.
    list: u16,
    value: T,
}

/// The slot that opens next.
struct Opening {
    level: usize,
    slot: usize,
    /// First tick of the slot.
    start: u64,
}

impl Opening {
    fn list(&self) -> usize {
        self.level * SLOTS + self.slot
    }
}

impl<T> Wheel<T> {
    /// An empty wheel at the driver's epoch. Allocates its 6 KiB of list heads, and no nodes.
    pub(crate) fn new() -> Self {
        Self {
            now: 0,
            occupied: [0; LEVELS],
            lists: vec![List::EMPTY; LISTS].into_boxed_slice(),
            nodes: Vec::new(),
            vacant: NIL,
            len: 0,
        }
    }

    /// Timers that have neither fired nor been cancelled.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is armed.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Arms a timer for `deadline_ns`, in nanoseconds since the driver's epoch.
    ///
    /// A deadline that is not after the tick last advanced to fires at the next [`advance`](Self::advance),
    /// before all others. `u64::MAX` is never reached.
    ///
    /// # Panics
    ///
    /// With 2³² − 1 timers armed at once.
    pub(crate) fn insert(&mut self, deadline_ns: u64, value: T) -> TimerKey {
        let tick = deadline_ns.div_ceil(TICK_NS);
        let key = self.occupy(tick, value);
        self.place(key.index, tick);
        key
    }

    /// Disarms a timer and returns its value; `None` if it has fired or was cancelled before.
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        match self.nodes.get(key.index as usize) {
            Some(Node::Armed(entry)) if entry.generation == key.generation => {}
            _ => return None,
        }
        self.unlink(key.index);
        Some(self.vacate(key.index).value)
    }

    /// Moves the present to `now_ns`, in nanoseconds since the driver's epoch, and appends the values of all
    /// timers due by then to `due`: in the order of their ticks, and in the order of insertion within a tick.
    ///
    /// A `now_ns` before the present leaves the present where it is.
    pub(crate) fn advance(&mut self, now_ns: u64, due: &mut Vec<T>) {
        let target = self.now.max(now_ns / TICK_NS);
        self.open(LATE, due);
        while let Some(next) = self.next_opening().filter(|next| next.start <= target) {
            // Entries that stay are placed relative to the slot's own start, or W1 would not hold for them.
            self.now = next.start;
            self.occupied[next.level] &= !(1 << next.slot);
            self.open(next.list(), due);
        }
        self.now = target;
    }

    /// A time, in nanoseconds since the driver's epoch, until which there is no need to call
    /// [`advance`](Self::advance); `None` when no timer is armed.
    ///
    /// It is the tick of the earliest timer, with two exceptions in which it is earlier: when that timer
    /// shared its slot with a still earlier one that was cancelled, and when it is more than two years away.
    /// Advancing brings it nearer to the truth each time, so waiting for it and advancing, repeatedly, fires
    /// every timer at its tick. When a timer was inserted late, it lies in the past.
    pub(crate) fn next_deadline_ns(&self) -> Option<u64> {
        let list = match self.next_opening() {
            _ if self.lists[LATE].head != NIL => LATE,
            Some(next) => next.list(),
            None => return None,
        };
        // The tick of `u64::MAX` begins after it.
        Some(self.lists[list].earliest.saturating_mul(TICK_NS))
    }

    /// First occupied slot of the lowest occupied level (W2).
    fn next_opening(&self) -> Option<Opening> {
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let shift = level as u32 * SLOT_BITS;
        // By W1 the present slot is empty, so the search begins after it; only at the top does it come round.
        let first = (self.now >> shift) + 1;
        let ahead = self.occupied[level].rotate_right((first % SLOTS as u64) as u32).trailing_zeros();
        let slot = first + u64::from(ahead);
        Some(Opening { level, slot: (slot % SLOTS as u64) as usize, start: slot << shift })
    }

    /// Empties a list whose slot the present has reached: fires what is due and places the rest anew, below.
    fn open(&mut self, list: usize, due: &mut Vec<T>) {
        let mut index = mem::replace(&mut self.lists[list], List::EMPTY).head;
        while index != NIL {
            let Entry { tick, next, .. } = *self.entry(index);
            if tick <= self.now {
                due.push(self.vacate(index).value);
            } else {
                self.place(index, tick);
            }
            index = next;
        }
    }

    /// Links a node that is in no list into the one its tick belongs to.
    fn place(&mut self, index: u32, tick: u64) {
        if tick <= self.now {
            return self.link(index, LATE, tick);
        }
        let level = ((self.now ^ tick).ilog2() / SLOT_BITS).min(LEVEL_TOP);
        let shift = level * SLOT_BITS;
        let horizon = ((self.now >> shift) + TOP_AHEAD_MAX) << shift;
        let tick = if level == LEVEL_TOP { tick.min(horizon) } else { tick };
        let slot = (tick >> shift) as usize % SLOTS;
        let level = level as usize;
        self.occupied[level] |= 1 << slot;
        self.link(index, level * SLOTS + slot, tick);
    }

    /// Appends a node to a list, as one to be looked at by `tick`.
    fn link(&mut self, index: u32, list: usize, tick: u64) {
        let List { tail, earliest, .. } = self.lists[list];
        let entry = self.entry(index);
        entry.prev = tail;
        entry.next = NIL;
        entry.list = list as u16;
        if tail == NIL {
            self.lists[list] = List { head: index, tail: index, earliest: tick };
        } else {
            self.entry(tail).next = index;
            self.lists[list].tail = index;
            self.lists[list].earliest = earliest.min(tick);
        }
    }

    /// Takes a node out of its list.
    fn unlink(&mut self, index: u32) {
        let Entry { prev, next, list, .. } = *self.entry(index);
        let list = usize::from(list);
        match prev {
            NIL => self.lists[list].head = next,
            _ => self.entry(prev).next = next,
        }
        match next {
            NIL => self.lists[list].tail = prev,
            _ => self.entry(next).prev = prev,
        }
        if prev == NIL && next == NIL && list != LATE {
            self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
        }
    }

    /// Puts a value into a node that is not linked yet.
    fn occupy(&mut self, tick: u64, value: T) -> TimerKey {
        let arm = |generation| Node::Armed(Entry { tick, prev: NIL, next: NIL, generation, list: 0, value });
        self.len += 1;
        if let Some(node) = self.nodes.get_mut(self.vacant as usize) {
            let Node::Vacant { generation, next } = *node else { unreachable!("a vacant node is armed") };
            *node = arm(generation);
            let index = mem::replace(&mut self.vacant, next);
            return TimerKey { index, generation };
        }
        assert_eq!(self.vacant, NIL, "a vacant node is outside the slab");
        assert!(self.nodes.len() < NIL as usize, "no index left for another timer");
        let key = TimerKey { index: self.nodes.len() as u32, generation: NonZeroU32::MIN };
        self.nodes.push(arm(key.generation));
        key
    }

    /// Empties a node that is not linked any more; its key is stale from here on.
    fn vacate(&mut self, index: u32) -> Entry<T> {
        let generation = self.entry(index).generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        let vacant = Node::Vacant { generation, next: mem::replace(&mut self.vacant, index) };
        self.len -= 1;
        match mem::replace(&mut self.nodes[index as usize], vacant) {
            Node::Armed(entry) => entry,
            Node::Vacant { .. } => unreachable!("a timer was vacated twice"),
        }
    }

    fn entry(&mut self, index: u32) -> &mut Entry<T> {
        match &mut self.nodes[index as usize] {
            Node::Armed(entry) => entry,
            Node::Vacant { .. } => unreachable!("a linked node is vacant"),
        }
    }
}
