//! Slots: the place of each operation from its submission to its last completion.

use crate::op::Key;

/// A table of operations, addressed by [`Key`]. A freed slot's generation is raised, so an old key finds nothing.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    /// The generation of a slot's first tenant.
    first_generation: u32,
    vacant: Option<u32>,
    occupied: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    content: Content<T>,
}

#[derive(Debug)]
enum Content<T> {
    Occupied(T),
    Vacant { next: Option<u32> },
}

impl<T> Slots<T> {
    /// Memory per operation, in bytes.
    #[cfg(test)]
    pub(crate) const SLOT_SIZE: usize = size_of::<Slot<T>>();

    pub(crate) const fn new() -> Self {
        Self::starting_at(0)
    }

    /// An empty table whose slots begin with this generation.
    pub(crate) const fn starting_at(first_generation: u32) -> Self {
        Self { slots: Vec::new(), first_generation, vacant: None, occupied: 0 }
    }

    /// Number of occupied slots.
    pub(crate) fn len(&self) -> usize {
        self.occupied
    }

    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.occupied += 1;
        if let Some(slot) = self.vacant {
            let entry = &mut self.slots[slot as usize];
            let Content::Vacant { next } = entry.content else {
                unreachable!("the vacant list holds vacant slots")
            };
            self.vacant = next;
            entry.content = Content::Occupied(value);
            return Key { slot, generation: entry.generation };
        }
        let slot = u32::try_from(self.slots.len()).expect("fewer than 2^32 operations in flight");
        let generation = self.first_generation;
        self.slots.push(Slot { generation, content: Content::Occupied(value) });
        Key { slot, generation }
    }

    /// A slot's present tenant, for holders that forget the slot before the tenant leaves it.
    ///
    /// # Panics
    /// When the slot is vacant.
    #[inline]
    pub(crate) fn tenant(&self, slot: u32) -> (Key, &T) {
        match &self.slots[slot as usize] {
            Slot { generation, content: Content::Occupied(value) } => {
                (Key { slot, generation: *generation }, value)
            }
            Slot { content: Content::Vacant { .. }, .. } => panic!("slot {slot} is vacant"),
        }
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        match self.slots.get(key.slot as usize) {
            Some(Slot { generation, content: Content::Occupied(value) })
                if *generation == key.generation || cfg!(annulet_planted = "no-generation-check") =>
            {
                Some(value)
            }
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.slots.get_mut(key.slot as usize) {
            Some(Slot { generation, content: Content::Occupied(value) }) if *generation == key.generation => {
                Some(value)
            }
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        let entry = &mut self.slots[key.slot as usize];
        let content = std::mem::replace(&mut entry.content, Content::Vacant { next: self.vacant });
        entry.generation = entry.generation.wrapping_add(1);
        self.vacant = Some(key.slot);
        self.occupied -= 1;
        match content {
            Content::Occupied(value) => Some(value),
            Content::Vacant { .. } => unreachable!("just found occupied"),
        }
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| match &slot.content {
            Content::Occupied(value) => Some(value),
            Content::Vacant { .. } => None,
        })
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        let occupied = |(slot, entry): (usize, &Slot<T>)| {
            matches!(entry.content, Content::Occupied(_))
                .then_some(Key { slot: slot as u32, generation: entry.generation })
        };
        self.slots.iter().enumerate().filter_map(occupied).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_key_does_not_find_the_slots_next_tenant() {
        let mut slots = Slots::new();
        let first = slots.insert('a');
        assert_eq!(slots.remove(first), Some('a'));
        let second = slots.insert('b');
        assert_eq!(second.slot, first.slot);
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get(second), Some(&'b'));
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn vacant_slots_are_used_again_before_new_ones() {
        let mut slots = Slots::new();
        let keys: Vec<_> = (0..4).map(|n| slots.insert(n)).collect();
        slots.remove(keys[1]);
        slots.remove(keys[3]);
        assert_eq!(slots.insert(7).slot, 3);
        assert_eq!(slots.insert(8).slot, 1);
        assert_eq!(slots.insert(9).slot, 4);
        assert_eq!(slots.keys().len(), 5);
    }

    #[test]
    fn a_generation_wraps_without_harm() {
        let mut slots = Slots::new();
        let key = slots.insert(1);
        slots.remove(key);
        slots.slots[0].generation = u32::MAX;
        let last = slots.insert(2);
        assert_eq!(last.generation, u32::MAX);
        slots.remove(last);
        assert_eq!(slots.insert(3).generation, 0);
        assert_eq!(slots.get(last), None);
    }
}
