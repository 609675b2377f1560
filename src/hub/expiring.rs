//! Things that end by themselves, and of which there are only so many, in a group and in all: with one more, the oldest of them
//! gives way.

use std::collections::{BTreeMap, BTreeSet};

use super::time::Instant;

/// What is known of each thing, by its group and its key in it.
#[derive(Debug)]
pub struct Expiring<G, K, V> {
    groups: BTreeMap<G, BTreeMap<K, Entry<V>>>,
    ends: BTreeSet<(Instant, G, K)>,
    a_group_max: usize,
    max: usize,
}

#[derive(Debug)]
pub struct Entry<V> {
    pub until: Instant,
    pub value: V,
}

impl<G: Copy + Ord, K: Copy + Ord, V> Expiring<G, K, V> {
    pub fn new(a_group_max: usize, max: usize) -> Expiring<G, K, V> {
        Expiring { groups: BTreeMap::new(), ends: BTreeSet::new(), a_group_max, max }
    }

    pub fn get(&self, group: G, key: K) -> Option<&Entry<V>> {
        self.groups.get(&group)?.get(&key)
    }

    /// Its time stays.
    pub fn get_mut(&mut self, group: G, key: K) -> Option<&mut V> {
        self.groups.get_mut(&group)?.get_mut(&key).map(|entry| &mut entry.value)
    }

    /// The things of a group, by their keys.
    pub fn group(&self, group: G) -> impl Iterator<Item = (K, &V)> {
        self.groups.get(&group).into_iter().flatten().map(|(&key, entry)| (key, &entry.value))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.groups.values().flatten().map(|(&key, entry)| (key, &entry.value))
    }

    /// Takes the place of what had the key. Comes back: what has given way to it.
    pub fn insert(&mut self, group: G, key: K, until: Instant, value: V) -> Option<(G, K)> {
        if let Some(entry) = self.groups.get_mut(&group).and_then(|entries| entries.get_mut(&key)) {
            self.ends.remove(&(entry.until, group, key));
            self.ends.insert((until, group, key));
            *entry = Entry { until, value };
            return None;
        }
        let gives_way = self.surplus(group);
        if let Some((group, key)) = gives_way {
            self.remove(group, key);
        }
        self.groups.entry(group).or_default().insert(key, Entry { until, value });
        self.ends.insert((until, group, key));
        gives_way
    }

    pub fn remove(&mut self, group: G, key: K) -> Option<V> {
        let entries = self.groups.get_mut(&group)?;
        let Entry { until, value } = entries.remove(&key)?;
        if entries.is_empty() {
            self.groups.remove(&group);
        }
        self.ends.remove(&(until, group, key));
        Some(value)
    }

    /// Removes all of these. Comes back: which they were.
    pub fn remove_if(&mut self, condition: impl Fn(K, &V) -> bool) -> Vec<(G, K)> {
        let entries = self.groups.iter().flat_map(|(&group, entries)| entries.iter().map(move |entry| (group, entry)));
        let removed: Vec<(G, K)> = entries
            .filter(|(_, (key, entry))| condition(**key, &entry.value))
            .map(|(group, (&key, _))| (group, key))
            .collect();
        for &(group, key) in &removed {
            self.remove(group, key);
        }
        removed
    }

    /// When the next one ends.
    pub fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|&(until, ..)| until)
    }

    /// Removes one that has ended by `now`.
    pub fn pop_ended(&mut self, now: Instant) -> Option<(G, K)> {
        let &(_, group, key) = self.ends.first().filter(|&&(until, ..)| until <= now)?;
        self.remove(group, key);
        Some((group, key))
    }

    /// What has to go before one more comes into the group.
    fn surplus(&self, group: G) -> Option<(G, K)> {
        let of_group = self.groups.get(&group).filter(|entries| entries.len() >= self.a_group_max);
        match of_group {
            Some(entries) => entries.iter().min_by_key(|(_, entry)| entry.until).map(|(&key, _)| (group, key)),
            None if self.ends.len() >= self.max => self.ends.first().map(|&(_, group, key)| (group, key)),
            None => None,
        }
    }

    pub(super) fn check_invariants(&self) {
        let mut ends = BTreeSet::new();
        for (&group, entries) in &self.groups {
            assert!(!entries.is_empty() && entries.len() <= self.a_group_max);
            ends.extend(entries.iter().map(|(&key, entry)| (entry.until, group, key)));
        }
        assert!(ends == self.ends && ends.len() <= self.max, "an end for each");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn the_oldest_gives_way_in_its_group_and_then_in_all() {
        let mut things = Expiring::new(2, 3);
        assert_eq!(things.insert('a', 1, at(10), ()), None);
        assert_eq!(things.insert('a', 2, at(9), ()), None);
        assert_eq!(things.insert('a', 3, at(11), ()), Some(('a', 2)), "of its own group first");
        assert_eq!(things.insert('b', 1, at(12), ()), None);
        assert_eq!(things.insert('c', 1, at(13), ()), Some(('a', 1)), "then of all");
        assert_eq!(things.insert('c', 1, at(14), ()), None, "it takes its own place");
        things.check_invariants();
        assert_eq!(things.group('a').map(|(key, ())| key).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn they_end_in_order_and_at_their_time() {
        let mut things = Expiring::new(9, 9);
        for (key, until) in [(1, 30), (2, 10), (3, 20)] {
            things.insert('a', key, at(until), key * 100);
        }
        assert_eq!((things.next_end(), things.pop_ended(at(9))), (Some(at(10)), None));
        assert_eq!(things.pop_ended(at(25)), Some(('a', 2)));
        assert_eq!(things.pop_ended(at(25)), Some(('a', 3)));
        assert_eq!(things.pop_ended(at(25)), None);
        assert_eq!(things.remove_if(|key, &value| value == key * 100), [('a', 1)]);
        assert_eq!((things.next_end(), things.groups.len()), (None, 0), "nothing is left over");
    }
}
