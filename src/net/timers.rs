//! Times beside the one deadline of a connection: what each of them waits for, and which is next. Knows no clock.

use std::collections::{BTreeMap, BTreeSet};

use crate::hub::id::ConnectionId;
use crate::hub::time::Instant;

/// What a connection waits for, or a client that is reached by calls or by datagrams. Of each kind it has one at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// It has said nothing so far: then it is asked for a nickname.
    Silence,
    /// More may come of what it says: then that is all.
    Quiet,
    /// Its system has not acknowledged everything: then that is looked at again.
    Acknowledged,
    /// Its log-in goes on: then it may be called all the same.
    LogIn,
    /// It has not acknowledged the last datagram: then that is sent again, or nobody is there.
    Again,
    /// It has acknowledged one that was sent more than once, and may acknowledge the copies: then the next one is sent.
    Settled,
    /// It is reached by calls or by datagrams, and has to go: then it is gone, whatever is left.
    Leave,
}

impl Timer {
    const FIRST: Timer = Timer::Silence;
    const LAST: Timer = Timer::Leave;
}

/// All that are set.
#[derive(Debug, Default)]
pub struct Timers {
    by_time: BTreeSet<(Instant, ConnectionId, Timer)>,
    by_owner: BTreeMap<(ConnectionId, Timer), Instant>,
}

impl Timers {
    pub fn len(&self) -> usize {
        self.by_owner.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_owner.is_empty()
    }

    /// In place of the one of this kind that was set before.
    pub fn set(&mut self, id: ConnectionId, timer: Timer, at: Instant) {
        self.cancel(id, timer);
        self.by_owner.insert((id, timer), at);
        self.by_time.insert((at, id, timer));
    }

    pub fn is_set(&self, id: ConnectionId, timer: Timer) -> bool {
        self.by_owner.contains_key(&(id, timer))
    }

    pub fn cancel(&mut self, id: ConnectionId, timer: Timer) {
        if let Some(at) = self.by_owner.remove(&(id, timer)) {
            self.by_time.remove(&(at, id, timer));
        }
    }

    /// Whoever had some is gone.
    pub fn clear(&mut self, id: ConnectionId) {
        while let Some((&(_, timer), _)) = self.by_owner.range((id, Timer::FIRST)..=(id, Timer::LAST)).next() {
            self.cancel(id, timer);
        }
    }

    /// What was `from`'s is `to`'s.
    pub fn pass_on(&mut self, from: ConnectionId, to: ConnectionId) {
        while let Some((&(_, timer), &at)) = self.by_owner.range((from, Timer::FIRST)..=(from, Timer::LAST)).next() {
            self.cancel(from, timer);
            self.set(to, timer, at);
        }
    }

    /// When the next one is over.
    pub fn next_at(&self) -> Option<Instant> {
        self.by_time.first().map(|&(at, ..)| at)
    }

    /// The next one that is over by `now`; it is set no more.
    pub fn pop(&mut self, now: Instant) -> Option<(ConnectionId, Timer)> {
        let &(at, id, timer) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.cancel(id, timer);
        Some((id, timer))
    }

    /// Whose they are. For the simulation.
    pub fn owners(&self) -> impl Iterator<Item = ConnectionId> {
        self.by_owner.keys().map(|&(id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: u32) -> ConnectionId {
        ConnectionId { slot, generation: 0 }
    }

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn each_comes_once_in_its_time_and_the_last_word_counts() {
        let mut timers = Timers::default();
        timers.set(id(1), Timer::Quiet, at(5));
        timers.set(id(2), Timer::Acknowledged, at(3));
        timers.set(id(1), Timer::Quiet, at(7));
        assert_eq!((timers.len(), timers.next_at()), (2, Some(at(3))));
        assert_eq!(timers.pop(at(2)), None);
        assert_eq!(timers.pop(at(6)), Some((id(2), Timer::Acknowledged)));
        assert_eq!(timers.pop(at(6)), None);
        assert_eq!(timers.pop(at(7)), Some((id(1), Timer::Quiet)));
        assert!(timers.is_empty() && timers.next_at().is_none());
    }

    #[test]
    fn they_go_with_their_owner_or_to_another() {
        let mut timers = Timers::default();
        for timer in [Timer::FIRST, Timer::Quiet, Timer::LAST] {
            timers.set(id(1), timer, at(5));
            timers.set(id(2), timer, at(6));
        }
        timers.pass_on(id(1), id(3));
        assert!(!timers.is_set(id(1), Timer::Quiet) && timers.is_set(id(3), Timer::Quiet));
        timers.clear(id(2));
        assert_eq!(timers.owners().collect::<Vec<_>>(), [id(3); 3]);
        assert_eq!(timers.pop(at(5)), Some((id(3), Timer::FIRST)));
    }
}
