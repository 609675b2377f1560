//! A table by connection: found by its slot, in the order of slots.
//!
//! Net gives slots out from the lowest and reuses them, so the table is as long as there were ever connections at once.
//! Of a slot at most one generation is there.

use std::fmt;

use super::id::ConnectionId;

/// What is known of each connection.
pub struct Table<T> {
    /// With the generation that has the slot.
    slots: Vec<Option<(u32, T)>>,
}

/// The table grows by so many slots at least.
const SLOTS_ADDED_MIN: usize = 16;

impl<T: fmt::Debug> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table { slots: Vec::new() }
    }
}

impl<T> Table<T> {
    pub fn get(&self, id: ConnectionId) -> Option<&T> {
        let (generation, value) = self.slots.get(id.slot as usize)?.as_ref()?;
        (*generation == id.generation).then_some(value)
    }

    pub fn get_mut(&mut self, id: ConnectionId) -> Option<&mut T> {
        let (generation, value) = self.slots.get_mut(id.slot as usize)?.as_mut()?;
        (*generation == id.generation).then_some(value)
    }

    /// Takes the place of whoever had the slot.
    pub fn insert(&mut self, id: ConnectionId, value: T) {
        let slot = id.slot as usize;
        if slot >= self.slots.capacity() {
            // An eighth more: doubling would leave up to half of a large table empty.
            let spare = (self.slots.len() / 8).max(SLOTS_ADDED_MIN);
            self.slots.reserve_exact(slot + spare - self.slots.len());
        }
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        self.slots[slot] = Some((id.generation, value));
    }

    pub fn remove(&mut self, id: ConnectionId) -> Option<T> {
        let found = self.slots.get_mut(id.slot as usize)?;
        found.take_if(|(generation, _)| *generation == id.generation).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (ConnectionId, &T)> {
        self.slots.iter().enumerate().filter_map(|(slot, found)| {
            let (generation, value) = found.as_ref()?;
            Some((ConnectionId { slot: slot as u32, generation: *generation }, value))
        })
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ConnectionId, &mut T)> {
        self.slots.iter_mut().enumerate().filter_map(|(slot, found)| {
            let (generation, value) = found.as_mut()?;
            Some((ConnectionId { slot: slot as u32, generation: *generation }, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn id(slot: u32, generation: u32) -> ConnectionId {
        ConnectionId { slot, generation }
    }

    #[test]
    fn only_the_generation_that_has_the_slot_is_found() {
        let mut table = Table::default();
        table.insert(id(40, 7), "a");
        assert_eq!((table.get(id(40, 7)), table.get(id(40, 6)), table.get(id(3, 7))), (Some(&"a"), None, None));
        for stranger in [id(1000, 0), id(40, 8), id(0, 0)] {
            assert_eq!(table.get_mut(stranger), None);
            assert_eq!(table.remove(stranger), None);
        }
        assert_eq!(table.remove(id(40, 7)), Some("a"));
        assert_eq!((table.get(id(40, 7)), table.iter().count()), (None, 0));
    }

    #[test]
    fn it_goes_through_the_slots_in_order() {
        let mut table = Table::default();
        for slot in [5, 0, 300, 2] {
            table.insert(id(slot, slot), slot);
        }
        table.remove(id(0, 0));
        assert_eq!(table.iter().collect::<Vec<_>>(), [(id(2, 2), &2), (id(5, 5), &5), (id(300, 300), &300)]);
        assert!(table.iter_mut().all(|(id, &mut slot)| id.slot == slot));
    }
}
