//! Connections on which nobody has logged in yet: how many there may be, in all, from one source and from one network, and
//! who has to go when there are more.
//!
//! A newcomer is let in, and one of those who are there goes, at random: whoever logs in is done in a moment, and whoever
//! only holds a connection is the likely victim. From half of the bound on somebody goes now and then already (random
//! early drop), so that the bound is hardly ever reached. Whoever has failed to log in goes first, and nobody is driven
//! out by a newcomer from where more connections are held already. Knows neither sockets nor protocols.

use std::collections::HashMap;
use std::net::IpAddr;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::hub::id::{ConnectionId, Source};

/// Of the strangers there may be, one source may have one in so many: a class behind one address fits, and nobody else is
/// shut out by it.
pub const SOURCES_SHARE: usize = 4;
/// And so many at least.
pub const A_SOURCE_MIN: usize = 8;
/// One network may have one in so many: whoever has a whole network of addresses leaves the others half of the room.
pub const NETWORKS_SHARE: usize = 2;
/// And so many at least.
pub const A_NETWORK_MIN: usize = 16;
/// The bits of an address that a network's addresses share.
pub const NETWORK_BITS_V4: u32 = 24;
pub const NETWORK_BITS_V6: u32 = 48;

/// What one operator mostly has: an IPv4 /24, an IPv6 /48.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Network(IpAddr);

impl Network {
    fn of(source: Source) -> Network {
        Network(match source.address() {
            IpAddr::V4(v4) => IpAddr::V4((u32::from(v4) & (u32::MAX << (32 - NETWORK_BITS_V4))).into()),
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & (u128::MAX << (128 - NETWORK_BITS_V6))).into()),
        })
    }
}

/// One of them.
#[derive(Clone, Copy, Debug)]
struct Stranger {
    id: ConnectionId,
    source: Source,
    /// A log-in has failed on this connection.
    failed: bool,
}

/// Who is there and nobody yet.
#[derive(Debug)]
pub struct Strangers {
    max: usize,
    a_source_max: usize,
    a_network_max: usize,
    all: Vec<Stranger>,
    /// The places in `all`.
    places: HashMap<ConnectionId, usize>,
    by_source: HashMap<Source, usize>,
    by_network: HashMap<Network, usize>,
    rng: StdRng,
}

impl Strangers {
    /// At most `max` of them.
    pub fn new(max: usize, seed: [u8; 32]) -> Strangers {
        let max = max.max(1);
        Strangers {
            max,
            a_source_max: (max / SOURCES_SHARE).max(A_SOURCE_MIN).min(max),
            a_network_max: (max / NETWORKS_SHARE).max(A_NETWORK_MIN).min(max),
            all: Vec::new(),
            places: HashMap::new(),
            by_source: HashMap::new(),
            by_network: HashMap::new(),
            rng: StdRng::from_seed(seed),
        }
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn has(&self, id: ConnectionId) -> bool {
        self.places.contains_key(&id)
    }

    /// Somebody has come. Comes back: who has to go for it.
    pub fn add(&mut self, id: ConnectionId, source: Source) -> Option<ConnectionId> {
        let goes = self.choose(source);
        if let Some(victim) = goes {
            self.remove(victim);
        }
        self.places.insert(id, self.all.len());
        self.all.push(Stranger { id, source, failed: false });
        *self.by_source.entry(source).or_default() += 1;
        *self.by_network.entry(Network::of(source)).or_default() += 1;
        goes
    }

    /// A log-in has failed there.
    pub fn failed(&mut self, id: ConnectionId) {
        if let Some(&place) = self.places.get(&id) {
            self.all[place].failed = true;
        }
    }

    /// Somebody has logged in, or is gone. Whoever is not here is left alone.
    pub fn remove(&mut self, id: ConnectionId) {
        let Some(place) = self.places.remove(&id) else { return };
        let Stranger { source, .. } = self.all.swap_remove(place);
        if let Some(moved) = self.all.get(place) {
            self.places.insert(moved.id, place);
        }
        leave(&mut self.by_source, source);
        leave(&mut self.by_network, Network::of(source));
    }

    fn choose(&mut self, source: Source) -> Option<ConnectionId> {
        let network = Network::of(source);
        if self.in_source(source) >= self.a_source_max {
            return self.draw(|other| other.source == source);
        }
        if self.in_network(network) >= self.a_network_max {
            return self.draw(|other| Network::of(other.source) == network);
        }
        let early = self.max / 2;
        let over = self.all.len().saturating_sub(early);
        if over == 0 || self.rng.random_range(0..self.max - early) >= over {
            return None;
        }
        let drawn = self.draw(|_| true)?;
        let drawn = self.all[self.places[&drawn]];
        if !drawn.failed && self.in_source(source) > self.in_source(drawn.source) {
            return self.draw(|other| other.source == source);
        }
        if !drawn.failed && self.in_network(network) > self.in_network(Network::of(drawn.source)) {
            return self.draw(|other| Network::of(other.source) == network);
        }
        Some(drawn.id)
    }

    /// One of these, at random; of those who have failed, if there are any. O(N), and only when somebody has to go: there
    /// are a thousand at most, whatever number is logged in.
    fn draw(&mut self, is_meant: impl Fn(&Stranger) -> bool) -> Option<ConnectionId> {
        let meant = || self.all.iter().filter(|stranger| is_meant(stranger));
        let failed = meant().filter(|stranger| stranger.failed).count();
        let count = if failed > 0 { failed } else { meant().count() };
        if count == 0 {
            return None;
        }
        let index = self.rng.random_range(0..count);
        meant().filter(|stranger| stranger.failed || failed == 0).nth(index).map(|stranger| stranger.id)
    }

    fn in_source(&self, source: Source) -> usize {
        self.by_source.get(&source).copied().unwrap_or(0)
    }

    fn in_network(&self, network: Network) -> usize {
        self.by_network.get(&network).copied().unwrap_or(0)
    }
}

/// One less from there.
fn leave<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, usize>, from: K) {
    if let Some(count) = counts.get_mut(&from) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: usize) -> ConnectionId {
        ConnectionId { slot: slot as u32, generation: 0 }
    }

    fn source(n: usize) -> Source {
        Source::of([10, (n / 256) as u8, (n % 256) as u8, 1].into())
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
        assert_eq!((strangers.len(), strangers.places.len()), (0, 0));
        assert_eq!((strangers.by_source.len(), strangers.by_network.len()), (0, 0));
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

    /// Keeps coming from there, and holds what it gets. Comes back: who was driven out.
    fn press(strangers: &mut Strangers, from: impl Fn(usize) -> Source, slots: std::ops::Range<usize>) -> Vec<usize> {
        slots.filter_map(|slot| strangers.add(id(slot), from(slot))).map(|gone| gone.slot as usize).collect()
    }

    #[test]
    fn one_network_has_its_share_and_drives_out_only_its_own() {
        for (network, other) in [("192.0.2.0", "192.0.3.1"), ("2001:db8:7::", "2001:db8:8::1")] {
            let at = |n: usize| match network.parse().unwrap() {
                IpAddr::V4(v4) => Source::of(IpAddr::V4((u32::from(v4) + n as u32 % 256).into())),
                // Each of them a /64 of its own.
                IpAddr::V6(v6) => Source::of(IpAddr::V6((u128::from(v6) + ((n as u128 % 65536) << 64)).into())),
            };
            assert_eq!(Network::of(at(1)), Network::of(at(255)));
            assert_ne!(Network::of(at(1)), Network::of(Source::of(other.parse().unwrap())));
            let mut strangers = Strangers::new(100, [1; 32]);
            (0..30).for_each(|n| assert_eq!(strangers.add(id(n), source(n)), None));
            let gone = press(&mut strangers, at, 1000..3000);
            assert!(gone.iter().all(|&slot| slot >= 1000), "somebody else was driven out: {gone:?}");
            assert!(strangers.in_network(Network::of(at(1))) <= 50);
            assert!((0..30).all(|n| strangers.has(id(n))));
        }
    }

    #[test]
    fn who_holds_more_drives_out_nobody_who_holds_less() {
        // Far below what one source, or one network, may have.
        let sources: [fn(usize) -> Source; 2] =
            [|_| Source::of([192, 0, 2, 1].into()), |n| Source::of([192, 0, 2, (n % 200) as u8].into())];
        for greedy in sources {
            let mut strangers = Strangers::new(100, [1; 32]);
            press(&mut strangers, source, 0..65);
            press(&mut strangers, greedy, 1000..1010);
            // A neighbour of the one who has a single source.
            let neighbour = |n: usize| Source::of([192, 0, (2 + n % 2) as u8, 250].into());
            press(&mut strangers, |_| neighbour(usize::from(greedy(1) != greedy(2))), 90..91);
            let there: Vec<usize> = (0..65).chain([90]).filter(|&n| strangers.has(id(n))).collect();
            assert!(there.contains(&90));
            let mut gone = Vec::new();
            for n in 2000..2500 {
                let went = press(&mut strangers, greedy, n..n + 1);
                if went.is_empty() {
                    strangers.remove(id(n));
                }
                gone.extend(went);
            }
            assert!(gone.len() > 5, "somebody had to go: {gone:?}");
            assert!(there.iter().all(|&n| strangers.has(id(n))), "{gone:?}");
        }
    }

    #[test]
    fn who_has_failed_goes_first() {
        let mut strangers = Strangers::new(64, [1; 32]);
        (0..40).for_each(|n| _ = strangers.add(id(n), source(n)));
        let failed: Vec<usize> = (0..40).filter(|&n| strangers.has(id(n))).step_by(4).collect();
        failed.iter().for_each(|&n| strangers.failed(id(n)));
        strangers.failed(id(9999));
        let gone = press(&mut strangers, source, 1000..1100);
        assert!(gone.len() > failed.len());
        let (first, rest) = gone.split_at(failed.len());
        assert!(first.iter().all(|slot| failed.contains(slot)), "{gone:?}");
        assert!(rest.iter().all(|slot| !failed.contains(slot)));
    }

    #[test]
    fn under_pressure_from_everywhere_loopback_gets_in() {
        let mut strangers = Strangers::new(64, [1; 32]);
        let loopback = Source::of([127, 0, 0, 1].into());
        press(&mut strangers, source, 0..1000);
        let mut driven_out = 0;
        for n in 0..200 {
            let somebody = id(100_000 + n);
            strangers.add(somebody, loopback);
            assert!(strangers.has(somebody), "whoever comes is let in");
            driven_out +=
                usize::from(press(&mut strangers, source, 1000 + 4 * n..1004 + 4 * n).contains(&(100_000 + n)));
            strangers.remove(somebody);
        }
        assert!(driven_out < 30, "{driven_out} of 200, while four others came");
    }

    #[test]
    fn places_are_right_whoever_leaves() {
        let mut strangers = Strangers::new(64, [1; 32]);
        press(&mut strangers, |slot| source(slot % 7), 0..200);
        for slot in (0..200).step_by(3) {
            strangers.remove(id(slot));
            strangers.remove(id(slot));
            assert!(strangers.all.iter().enumerate().all(|(place, found)| strangers.places[&found.id] == place));
            assert_eq!(strangers.by_network.values().sum::<usize>(), strangers.len());
            assert_eq!(strangers.by_source.values().sum::<usize>(), strangers.len());
        }
    }
}
