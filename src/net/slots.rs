//! Slots with generations: a table whose keys are never reused, though its places are.

use crate::hub::id::ConnectionId;

/// A table of connections. A key of one that was removed finds nothing, whoever has its slot now.
#[derive(Debug)]
pub struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    len: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// The table grows by so many slots at least.
const SLOTS_ADDED_MIN: usize = 16;

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots { slots: Vec::new(), free: Vec::new(), len: 0 }
    }
}

impl<T> Slots<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds what `make` builds from its key.
    pub fn insert<E>(&mut self, make: impl FnOnce(ConnectionId) -> Result<T, E>) -> Result<ConnectionId, E> {
        let id = self.next_key();
        self.slots[id.slot as usize].value = Some(make(id)?);
        self.free.pop();
        self.len += 1;
        Ok(id)
    }

    /// A key for something that is kept elsewhere: nobody gets its slot before it is released.
    pub fn reserve(&mut self) -> ConnectionId {
        let id = self.next_key();
        self.free.pop();
        id
    }

    /// The key of the last free slot; if there is none, one is made.
    fn next_key(&mut self) -> ConnectionId {
        let slot = match self.free.last() {
            Some(&slot) => slot,
            None => {
                if self.slots.len() == self.slots.capacity() {
                    // An eighth more: doubling would leave up to half of a large table empty.
                    self.slots.reserve_exact((self.slots.len() / 8).max(SLOTS_ADDED_MIN));
                }
                self.slots.push(Slot { generation: 0, value: None });
                let slot = (self.slots.len() - 1) as u32;
                self.free.push(slot);
                slot
            }
        };
        ConnectionId { slot, generation: self.slots[slot as usize].generation }
    }

    pub fn get(&self, id: ConnectionId) -> Option<&T> {
        self.slots.get(id.slot as usize).filter(|slot| slot.generation == id.generation)?.value.as_ref()
    }

    pub fn get_mut(&mut self, id: ConnectionId) -> Option<&mut T> {
        self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?.value.as_mut()
    }

    pub fn remove(&mut self, id: ConnectionId) -> Option<T> {
        let slot = self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        self.len -= 1;
        Some(value)
    }

    /// Takes what has this key, and keeps the key: nobody gets its slot before it is released.
    pub fn vacate(&mut self, id: ConnectionId) -> Option<T> {
        let value =
            self.slots.get_mut(id.slot as usize).filter(|slot| slot.generation == id.generation)?.value.take()?;
        self.len -= 1;
        Some(value)
    }

    /// Gives up the slot of a key that was kept.
    pub fn release(&mut self, id: ConnectionId) {
        let Some(slot) = self.slots.get_mut(id.slot as usize) else { return };
        if slot.generation == id.generation && slot.value.is_none() {
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(id.slot);
        }
    }

    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.value.as_ref())
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ConnectionId, &mut T)> {
        self.slots.iter_mut().enumerate().filter_map(|(index, slot)| {
            let id = ConnectionId { slot: index as u32, generation: slot.generation };
            slot.value.as_mut().map(|value| (id, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_outlives_its_value_and_finds_nothing() {
        let mut slots: Slots<&str> = Slots::default();
        let a = slots.insert(|_| Ok::<_, ()>("a")).unwrap();
        assert_eq!(slots.remove(a), Some("a"));
        let b = slots.insert(|_| Ok::<_, ()>("b")).unwrap();
        assert_eq!(b.slot, a.slot);
        assert_eq!((slots.get(a), slots.get(b)), (None, Some(&"b")));
        assert_eq!(slots.remove(a), None);
        assert_eq!(slots.len(), 1);
        assert_eq!(slots.insert(|_| Err(1)), Err(1));
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn a_key_can_be_had_for_nothing() {
        let mut slots: Slots<&str> = Slots::default();
        let a = slots.reserve();
        assert_eq!(slots.remove(a), None);
        assert_eq!((slots.get(a), slots.len()), (None, 0));
        let b = slots.insert(|_| Ok::<_, ()>("b")).unwrap();
        assert_ne!(b.slot, a.slot);
        slots.release(a);
        let c = slots.reserve();
        assert_eq!(c.slot, a.slot);
        assert_ne!(c, a);
    }

    #[test]
    fn a_key_can_outlast_what_it_was_for() {
        let mut slots: Slots<&str> = Slots::default();
        let a = slots.insert(|_| Ok::<_, ()>("a")).unwrap();
        assert_eq!((slots.vacate(a), slots.vacate(a)), (Some("a"), None));
        assert_eq!(slots.remove(a), None);
        assert_eq!((slots.get(a), slots.len()), (None, 0));
        let b = slots.insert(|_| Ok::<_, ()>("b")).unwrap();
        assert_ne!(b.slot, a.slot);
        slots.release(a);
        slots.release(a);
        slots.release(b);
        let [c, d] = ["c", "d"].map(|name| slots.insert(|_| Ok::<_, ()>(name)).unwrap());
        assert_eq!((c.slot, slots.get(a), slots.get(b)), (a.slot, None, Some(&"b")));
        assert!(d.slot != b.slot && d.slot != c.slot);
    }
}
