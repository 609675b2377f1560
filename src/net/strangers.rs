//! Connections on which nobody has logged in yet: how many there may be, in all and from one source, and who has to go when
//! there are more.
//!
//! A newcomer is let in, and one of those who are there goes, at random: whoever logs in is done in a moment, and whoever
//! only holds a connection is the likely victim. From half of the bound on somebody goes now and then already (random
//! early drop), so that the bound is hardly ever reached. Knows neither sockets nor protocols.

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::hub::id::{ConnectionId, Source};

/// Of the strangers there may be, one source may have one in so many: a class behind one address fits, and nobody else is
/// shut out by it.
const SOURCES_SHARE: usize = 4;
/// And so many at least.
const A_SOURCE_MIN: usize = 8;

/// Who is there and nobody yet.
#[derive(Debug)]
pub struct Strangers {
    max: usize,
    a_source_max: usize,
    all: Vec<(ConnectionId, Source)>,
    by_source: HashMap<Source, usize>,
    rng: StdRng,
}

impl Strangers {
    /// At most `max` of them.
    pub fn new(max: usize, seed: [u8; 32]) -> Strangers {
        let max = max.max(1);
        Strangers {
            max,
            a_source_max: (max / SOURCES_SHARE).max(A_SOURCE_MIN).min(max),
            all: Vec::new(),
            by_source: HashMap::new(),
            rng: StdRng::from_seed(seed),
        }
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn has(&self, id: ConnectionId) -> bool {
        self.all.iter().any(|&(other, _)| other == id)
    }

    /// Somebody has come. Comes back: who has to go for it.
    pub fn add(&mut self, id: ConnectionId, source: Source) -> Option<ConnectionId> {
        let goes = self.choose(source);
        if let Some(victim) = goes {
            self.remove(victim);
        }
        self.all.push((id, source));
        *self.by_source.entry(source).or_default() += 1;
        goes
    }

    /// Somebody has logged in, or is gone. Whoever is not here is left alone. O(N), and N is small.
    pub fn remove(&mut self, id: ConnectionId) {
        let Some(index) = self.all.iter().position(|&(other, _)| other == id) else { return };
        let (_, source) = self.all.swap_remove(index);
        if let Some(count) = self.by_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
    }

    fn choose(&mut self, source: Source) -> Option<ConnectionId> {
        let from_there = self.by_source.get(&source).copied().unwrap_or(0);
        if from_there >= self.a_source_max {
            let index = self.rng.random_range(0..from_there);
            let mut same = self.all.iter().filter(|(_, other)| *other == source);
            return same.nth(index).map(|&(id, _)| id);
        }
        let early = self.max / 2;
        let over = self.all.len().saturating_sub(early);
        let goes = over > 0 && self.rng.random_range(0..self.max - early) < over;
        goes.then(|| self.all[self.rng.random_range(0..self.all.len())].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: usize) -> ConnectionId {
        ConnectionId { slot: slot as u32, generation: 0 }
    }

    fn source(n: usize) -> Source {
        Source::of([10, 0, (n / 256) as u8, (n % 256) as u8].into())
    }

    #[test]
    fn up_to_half_everybody_stays_and_beyond_the_bound_nobody_more() {
        let mut strangers = Strangers::new(100, [1; 32]);
        for n in 0..50 {
            assert_eq!(strangers.add(id(n), source(n)), None);
        }
        let mut gone = 0;
        for n in 50..1000 {
            gone += usize::from(strangers.add(id(n), source(n)).is_some());
            assert!(strangers.len() <= 100);
        }
        assert_eq!(strangers.len(), 1000 - gone);
        assert!(strangers.len() > 60, "dropping early leaves room, and not all of it: {}", strangers.len());
        (0..1000).for_each(|n| strangers.remove(id(n)));
        assert_eq!((strangers.len(), strangers.by_source.len()), (0, 0));
    }

    #[test]
    fn one_source_has_its_share_and_drives_out_only_its_own() {
        let mut strangers = Strangers::new(100, [1; 32]);
        (0..20).for_each(|n| assert_eq!(strangers.add(id(n), source(n)), None));
        for n in 100..500 {
            if let Some(gone) = strangers.add(id(n), source(7777)) {
                assert!(gone.slot >= 100, "somebody else was driven out");
            }
        }
        assert_eq!(strangers.by_source[&source(7777)], 25);
        assert_eq!(strangers.len(), 45);
    }

    #[test]
    fn whoever_only_holds_connections_is_the_likely_victim() {
        let mut strangers = Strangers::new(64, [1; 32]);
        let mut slots = 0..;
        let mut next = || id(slots.next().unwrap());
        for n in 0..200 {
            strangers.add(next(), source(n));
        }
        // Somebody comes, and logs in while ten others come.
        let mut driven_out = 0;
        for n in 0..1000 {
            let somebody = next();
            strangers.add(somebody, source(5000 + n));
            let others: Vec<Option<ConnectionId>> =
                (0..10).map(|m| strangers.add(next(), source(10 * n + m))).collect();
            driven_out += usize::from(others.contains(&Some(somebody)));
            strangers.remove(somebody);
        }
        assert!(driven_out < 250, "{driven_out} of 1000");
    }
}
