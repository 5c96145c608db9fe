//! The wheel against its invariants, named cases, and a model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const MS: u64 = TICK_NS;
const HOUR: u64 = 3_600_000 * MS;
const YEAR: u64 = 365 * 24 * HOUR;

impl<T> Wheel<T> {
    /// Checks W1, that lists, bitmaps and slab agree, and that no list is due before it says.
    fn assert_invariants(&self) {
        let mut linked = 0;
        for (number, list) in self.lists.iter().enumerate() {
            let (level, slot) = (number / SLOTS, number % SLOTS);
            if number != LATE {
                assert_eq!(self.occupied[level] & (1 << slot) != 0, list.head != NIL, "bit of list {number}");
                let present = (self.now >> (level as u32 * SLOT_BITS)) as usize % SLOTS;
                assert!(slot != present || list.head == NIL, "list {number} is the present's");
            }
            assert_eq!(list.head == NIL, list.tail == NIL, "ends of list {number}");
            let (mut prev, mut index) = (NIL, list.head);
            while index != NIL {
                let Node::Armed(entry) = &self.nodes[index as usize] else {
                    panic!("node {index} is vacant")
                };
                assert_eq!(usize::from(entry.list), number);
                assert_eq!(entry.prev, prev);
                assert!(list.earliest <= entry.tick, "list {number} promises too late a tick");
                assert_eq!(entry.tick <= self.now, number == LATE);
                linked += 1;
                (prev, index) = (index, entry.next);
            }
            assert_eq!(list.tail, prev);
        }
        assert_eq!(linked, self.len);

        let (mut vacant, mut index) = (0, self.vacant);
        while index != NIL {
            let Node::Vacant { next, .. } = &self.nodes[index as usize] else {
                panic!("node {index} is armed")
            };
            vacant += 1;
            index = *next;
        }
        assert_eq!(linked + vacant, self.nodes.len());
    }

    fn advanced(&mut self, now_ns: u64) -> Vec<T> {
        let mut due = Vec::new();
        self.advance(now_ns, &mut due);
        self.assert_invariants();
        due
    }
}

#[test]
fn an_empty_wheel_asks_for_no_wake_up() {
    let mut wheel = Wheel::<u32>::new();
    assert_eq!(wheel.next_deadline_ns(), None);
    assert!(wheel.advanced(HOUR).is_empty());
    assert_eq!(wheel.next_deadline_ns(), None);

    let key = wheel.insert(2 * HOUR, 1);
    assert_eq!(wheel.len(), 1);
    wheel.cancel(key);
    assert!(wheel.is_empty());
    assert_eq!(wheel.next_deadline_ns(), None);

    wheel.insert(2 * HOUR, 2);
    assert_eq!(wheel.advanced(2 * HOUR), [2]);
    assert!(wheel.is_empty());
    assert_eq!(wheel.next_deadline_ns(), None);
}

#[test]
fn a_deadline_is_rounded_up_and_the_present_down() {
    let mut wheel = Wheel::new();
    wheel.insert(MS + 1, "a");
    assert_eq!(wheel.next_deadline_ns(), Some(2 * MS));
    assert!(wheel.advanced(MS + 1).is_empty());
    assert!(wheel.advanced(2 * MS - 1).is_empty());
    assert_eq!(wheel.advanced(2 * MS), ["a"]);
}

#[test]
fn every_width_of_slot_fires_at_its_tick() {
    // Both sides of each level's boundary, from presents on both sides of one, so that cascades of all depths
    // happen.
    for start in [0, 1, 63, 64, 4095, 4096, (1 << 30) - 1, 1 << 30, (1 << 36) - 1, 1 << 36] {
        for shift in (0..=42).step_by(6) {
            for distance in [(1u64 << shift) - 1, 1 << shift, (1 << shift) + 1] {
                let mut wheel = Wheel::new();
                wheel.advanced(start * MS);
                let tick = start + distance.max(1);
                wheel.insert(tick * MS, ());
                wheel.assert_invariants();
                assert!(wheel.advanced(tick * MS - 1).is_empty(), "{start} + {distance} early");
                assert_eq!(wheel.advanced(tick * MS).len(), 1, "{start} + {distance} late");
            }
        }
    }
}

#[test]
fn due_timers_come_in_the_order_of_ticks_then_of_insertion() {
    let mut wheel = Wheel::new();
    let ticks = [5000, 70, 70, 3, 5000, 64, 300_000, 4096, 70, 3, 0];
    for (number, tick) in ticks.into_iter().enumerate() {
        wheel.insert(tick * MS, (tick, number));
    }
    // From another present, so that the same ticks are reached from another level.
    let mut due = wheel.advanced(10 * MS);
    for (number, tick) in [70, 5000, 11, 300_000].into_iter().enumerate() {
        wheel.insert(tick * MS, (tick, ticks.len() + number));
    }
    due.extend(wheel.advanced(HOUR));
    assert_eq!(due.len(), 15);
    assert!(due.is_sorted(), "{due:?}");
}

#[test]
fn a_deadline_in_the_past_fires_at_the_next_advance() {
    let mut wheel = Wheel::new();
    wheel.advanced(100 * MS);
    wheel.insert(101 * MS, "next");
    wheel.insert(100 * MS, "present");
    wheel.insert(0, "past");
    let cancelled = wheel.insert(7, "cancelled");
    wheel.assert_invariants();
    assert_eq!(wheel.next_deadline_ns(), Some(0));
    assert_eq!(wheel.cancel(cancelled), Some("cancelled"));
    assert_eq!(wheel.advanced(100 * MS), ["present", "past"]);
    assert_eq!(wheel.next_deadline_ns(), Some(101 * MS));
    assert_eq!(wheel.advanced(101 * MS), ["next"]);
}

#[test]
fn time_does_not_run_backwards() {
    let mut wheel = Wheel::new();
    wheel.advanced(100 * MS);
    wheel.insert(150 * MS, 1);
    assert!(wheel.advanced(10 * MS).is_empty());
    wheel.insert(90 * MS, 2);
    assert_eq!(wheel.advanced(20 * MS), [2]);
    assert_eq!(wheel.advanced(150 * MS), [1]);
}

#[test]
fn a_stale_key_finds_nothing() {
    let mut wheel = Wheel::new();
    let fired = wheel.insert(MS, 1);
    assert_eq!(wheel.advanced(MS), [1]);
    let cancelled = wheel.insert(2 * MS, 2);
    assert_eq!(wheel.cancel(fired), None, "the node has a new tenant");
    assert_eq!(wheel.cancel(cancelled), Some(2));
    assert_eq!(wheel.cancel(cancelled), None, "the node is vacant");
    let elsewhere = TimerKey { index: 1000, generation: NonZeroU32::MIN };
    assert_eq!(wheel.cancel(elsewhere), None, "the node does not exist");
}

#[test]
fn the_generation_wraps_past_zero() {
    let mut wheel = Wheel::new();
    let key = wheel.insert(MS, 1);
    let Node::Armed(entry) = &mut wheel.nodes[0] else { unreachable!() };
    entry.generation = NonZeroU32::MAX;
    assert_eq!(wheel.cancel(key), None);
    assert_eq!(wheel.cancel(TimerKey { generation: NonZeroU32::MAX, ..key }), Some(1));
    assert_eq!(wheel.insert(MS, 2), key);
}

#[test]
fn vacant_nodes_are_reused_last_in_first_out() {
    let mut wheel = Wheel::new();
    let keys: Vec<_> = (0..8).map(|number| wheel.insert(HOUR, number)).collect();
    for victim in [2, 5, 3] {
        wheel.cancel(keys[victim]);
    }
    let reused = [0, 1, 2].map(|_| wheel.insert(HOUR, 0).index);
    assert_eq!(reused, [3, 5, 2]);
    assert_eq!(wheel.nodes.len(), 8);
}

#[test]
fn a_list_survives_cancellation_at_both_ends_and_within() {
    for victims in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
        for count in 0..=victims.len() {
            let mut wheel = Wheel::new();
            let keys = [0, 1, 2].map(|number| wheel.insert(5000 * MS, number));
            for &victim in &victims[..count] {
                assert_eq!(wheel.cancel(keys[victim]), Some(victim));
                wheel.assert_invariants();
            }
            let expected: Vec<_> = (0..3).filter(|number| !victims[..count].contains(number)).collect();
            assert_eq!(wheel.advanced(5000 * MS), expected);
        }
    }
}

#[test]
fn due_values_are_appended() {
    let mut wheel = Wheel::new();
    wheel.insert(MS, 2);
    let mut due = vec![1];
    wheel.advance(MS, &mut due);
    assert_eq!(due, [1, 2]);
}

/// Tick by tick, each of these advances would take longer than anybody waits for a test.
#[test]
fn a_jump_costs_nothing_per_tick() {
    let mut wheel = Wheel::new();
    for step in 1..1000u64 {
        assert!(wheel.advanced(step * HOUR).is_empty());
    }
    let start = 1000 * HOUR;
    for number in 0..10_000u64 {
        wheel.insert(start + number * number * number * 40_000, number);
    }
    let due = wheel.advanced(start + 2 * YEAR);
    assert_eq!(due.len(), 10_000);
    assert!(due.is_sorted());
    wheel.insert(u64::MAX, 1);
    wheel.insert(u64::MAX - 2 * MS, 2);
    assert_eq!(wheel.advanced(u64::MAX - MS), [2]);
}

#[test]
fn the_largest_deadline_is_never_reached() {
    let mut wheel = Wheel::new();
    let key = wheel.insert(u64::MAX, ());
    assert!(wheel.next_deadline_ns() < Some(u64::MAX), "clamped");
    assert!(wheel.advanced(u64::MAX).is_empty());
    assert_eq!(wheel.next_deadline_ns(), Some(u64::MAX));
    assert_eq!(wheel.cancel(key), Some(()));
}

#[test]
fn a_lone_timer_wakes_its_reactor_once() {
    for deadline in [MS, 64 * MS, 30_000 * MS + 7, HOUR, YEAR] {
        let mut wheel = Wheel::new();
        wheel.insert(deadline, ());
        let wake = wheel.next_deadline_ns().unwrap();
        assert_eq!(wake, deadline.next_multiple_of(MS));
        assert_eq!(wheel.advanced(wake).len(), 1);
        assert_eq!(wheel.next_deadline_ns(), None);
    }
}

/// Two years is the most a wake-up is off, so a century takes some fifty of them.
#[test]
fn a_timer_beyond_the_top_level_is_looked_at_once_per_turn() {
    let mut wheel = Wheel::new();
    let near = 3 * YEAR / 2;
    wheel.insert(100 * YEAR, "far");
    wheel.insert(near, "near");
    let (mut wakes, mut fired) = (0, Vec::new());
    while let Some(wake) = wheel.next_deadline_ns() {
        wakes += 1;
        fired.extend(wheel.advanced(wake).into_iter().map(|value| (value, wake)));
    }
    assert_eq!(fired, [("near", near), ("far", 100 * YEAR)]);
    assert!(wakes < 60, "{wakes}");
}

/// A span of time in nanoseconds, every order of magnitude as likely as any other.
fn span() -> impl Strategy<Value = u64> {
    (0..63u32, any::<u64>()).prop_map(|(bits, noise)| noise % (2 << bits))
}

#[derive(Clone, Debug)]
enum Step {
    /// Arm a timer this long after the present.
    Insert(u64),
    /// Arm a timer this long before the present.
    InsertLate(u64),
    /// Cancel by a key once given out, stale or not.
    Cancel(prop::sample::Index),
    /// Let this much time pass.
    Advance(u64),
    /// Let time pass up to the next deadline.
    AdvanceToNext,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => span().prop_map(Step::Insert),
        4 => (0..200 * MS).prop_map(Step::Insert),
        1 => span().prop_map(Step::InsertLate),
        3 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        1 => span().prop_map(Step::Advance),
        2 => (0..100 * MS).prop_map(Step::Advance),
        3 => Just(Step::AdvanceToNext),
    ]
}

/// What a wheel should do, in a sorted map.
#[derive(Default)]
struct Model {
    now_ns: u64,
    /// By tick (not before the present of its insertion) and number of insertion; the tick asked for.
    armed: BTreeMap<(u64, usize), u64>,
    /// All keys ever given out, and what became of them.
    keys: Vec<(TimerKey, (u64, usize))>,
    /// Whether a timer was ever clamped; after that the order within a tick is open.
    clamped: bool,
}

impl Model {
    fn insert(&mut self, wheel: &mut Wheel<usize>, deadline_ns: u64) {
        let number = self.keys.len();
        let key = wheel.insert(deadline_ns, number);
        let (now, tick) = (self.now_ns / MS, deadline_ns.div_ceil(MS));
        let place = (tick.max(now), number);
        self.clamped |= place.0 - now >= 63 << 30;
        self.armed.insert(place, tick);
        self.keys.push((key, place));
    }

    fn cancel(&mut self, wheel: &mut Wheel<usize>, victim: prop::sample::Index) {
        if !self.keys.is_empty() {
            let (key, place) = *victim.get(&self.keys);
            let expected = self.armed.remove(&place).map(|_| place.1);
            assert_eq!(wheel.cancel(key), expected);
        }
    }

    fn advance(&mut self, wheel: &mut Wheel<usize>, now_ns: u64) {
        self.now_ns = now_ns;
        let later = self.armed.split_off(&(now_ns / MS + 1, 0));
        let expected: Vec<_> = std::mem::replace(&mut self.armed, later).into_keys().collect();

        let due = wheel.advanced(now_ns);
        let mut due: Vec<_> = due.into_iter().map(|number| self.keys[number].1).collect();
        assert!(due.is_sorted_by_key(|&(tick, _)| tick), "out of order: {due:?}");
        if self.clamped {
            due.sort_unstable();
        }
        assert_eq!(due, expected);
    }

    fn check(&self, wheel: &Wheel<usize>) {
        wheel.assert_invariants();
        assert_eq!(wheel.len(), self.armed.len());
        assert_eq!(wheel.is_empty(), self.armed.is_empty());
        let next = wheel.next_deadline_ns();
        assert_eq!(next.is_some(), !self.armed.is_empty());
        let (Some(next), Some(earliest)) = (next, self.armed.values().min()) else { return };
        assert!(next <= earliest.saturating_mul(MS), "{next} is after {earliest}");
        let now = self.now_ns / MS;
        if *earliest > now {
            assert!(next > now * MS, "a wake-up that changes nothing");
            if earliest ^ now < 64 {
                assert_eq!(next, earliest.saturating_mul(MS));
            }
        }
    }
}

proptest! {
    #[test]
    fn behaves_like_a_sorted_map(start in span(), steps in prop::collection::vec(step(), 1..200)) {
        let mut wheel = Wheel::new();
        let mut model = Model::default();
        model.advance(&mut wheel, start);
        for step in steps {
            let now = model.now_ns;
            match step {
                Step::Insert(after) => model.insert(&mut wheel, now.saturating_add(after)),
                Step::InsertLate(before) => model.insert(&mut wheel, now.saturating_sub(before)),
                Step::Cancel(victim) => model.cancel(&mut wheel, victim),
                Step::Advance(span) => model.advance(&mut wheel, now.saturating_add(span)),
                Step::AdvanceToNext => {
                    let next = wheel.next_deadline_ns().unwrap_or(0);
                    model.advance(&mut wheel, now.max(next));
                }
            }
            model.check(&wheel);
        }
    }

    /// One who waits for `next_deadline_ns` and advances meets every timer at its tick, once per tick;
    /// cancelled timers may cost a wake-up for each level they would have come down.
    #[test]
    fn waiting_for_the_next_deadline_fires_each_timer_at_its_tick(
        start in 0..4 * YEAR,
        spans in prop::collection::vec(span().prop_map(|span| span % YEAR), 1..100),
        victims in prop::collection::vec(any::<prop::sample::Index>(), 0..50),
    ) {
        let mut wheel = Wheel::new();
        wheel.advanced(start);
        let deadlines: Vec<_> = spans.into_iter().map(|span| start + span).collect();
        let keys: Vec<_> = deadlines.iter().map(|&deadline| wheel.insert(deadline, deadline)).collect();
        let cancelled = victims.iter().filter(|victim| wheel.cancel(*victim.get(&keys)).is_some()).count();
        let expected = deadlines.len() - cancelled;

        let (mut wakes, mut ticks, mut fired) = (0, 0, 0);
        while let Some(wake) = wheel.next_deadline_ns() {
            let now = wake.max(start);
            let due = wheel.advanced(now);
            for &deadline in &due {
                let tick = deadline.next_multiple_of(MS);
                prop_assert!(now == tick || tick <= start, "due at {} and fired at {}", tick, now);
            }
            wakes += 1;
            ticks += usize::from(!due.is_empty());
            fired += due.len();
        }
        prop_assert_eq!(fired, expected);
        prop_assert!(wakes <= ticks + cancelled * LEVELS, "{} wake-ups for {} ticks", wakes, ticks);
    }
}
