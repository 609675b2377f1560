//! Lock-out: how often a name may be tried with a wrong password.
//!
//! Three counters. For a name and a source: after `tries` failures in a row nothing is checked for `duration`. For a name
//! over all sources: after `OVERALL_TRIES` failures within `OVERALL_WINDOW` the sources that never succeeded are locked.
//! For a source over all names: after `SOURCE_TRIES` failures within `SOURCE_WINDOW` the names that never succeeded from
//! there are locked, so that one password can't be tried with every name, and a class behind one address goes on.
//! Names that nobody has are counted too, so that nobody can tell. Trying while locked extends nothing, and live sessions
//! are never touched. Knows names and sources, not accounts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::change::{Change, TriesRow};
use super::id::{Source, UserId};
use super::name::UserName;
use super::time::{Instant, Now, WallTime};

/// Failures over all sources, within `OVERALL_WINDOW`, that lock strange sources out.
pub const OVERALL_TRIES: usize = 30;
pub const OVERALL_WINDOW: Duration = Duration::from_secs(600);
/// Failures from one source, whatever the names, within `SOURCE_WINDOW`, that lock it out of the names that are strange to it.
pub const SOURCE_TRIES: usize = 100;
pub const SOURCE_WINDOW: Duration = Duration::from_secs(600);
/// Failures that did not lock are forgotten after this long without another.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);
/// Counters kept at most. Beyond it the one that changed longest ago is forgotten, those that lock only if all do.
pub const COUNTERS_MAX: usize = 20_000;
/// Sources remembered for an account as having succeeded; beyond it the oldest is forgotten.
pub const SOURCES_MAX: usize = 32;

/// A source over all names is counted under the name that nobody can have.
const ANY_NAME: &str = "";

type Key = (String, Option<Source>);

/// Where one name stands, from one source or over all.
#[derive(Debug)]
struct Tries {
    /// When the last failures happened, oldest first. Its length is the count.
    failures: VecDeque<Instant>,
    last_wall: WallTime,
    locked: Option<(Instant, WallTime)>,
    touched: Instant,
}

/// All counters.
#[derive(Debug)]
pub struct Lockout {
    tries_max: usize,
    duration: Duration,
    counters: BTreeMap<Key, Tries>,
    /// Those that lock nothing come first, and of them the one that changed longest ago.
    by_age: BTreeSet<(bool, Instant, Key)>,
    /// Rows of counters that had to make room: to be stored as gone.
    evicted: Vec<TriesRow>,
    succeeded: BTreeMap<UserId, VecDeque<Source>>,
    /// What the disk says of these is out of date.
    unwritten: BTreeSet<Key>,
}

impl Lockout {
    pub fn new(
        tries_max: u32,
        duration: Duration,
        rows: Vec<TriesRow>,
        sources: Vec<(UserId, Source, WallTime)>,
        now: Now,
        changes: &mut Vec<Change>,
    ) -> Lockout {
        let mut lockout = Lockout {
            tries_max: tries_max.max(1) as usize,
            duration,
            counters: BTreeMap::new(),
            by_age: BTreeSet::new(),
            evicted: Vec::new(),
            succeeded: BTreeMap::new(),
            unwritten: BTreeSet::new(),
        };
        for row in rows {
            // The wall clock may have jumped while the server was down: no lock lasts longer than a fresh one, and what has
            // been said of the time is said anew, or the jump would count again at the next start.
            let left = row.locked_until.map(|until| until.since(now.wall).min(duration));
            let last = row.last.min(now.wall);
            let key = (row.name.clone(), row.source);
            let (window, bound) = lockout.window(&key);
            let forgotten = row.locked_until.is_none() && now.wall.since(last) >= window;
            if forgotten || left.is_some_and(|left| left.is_zero()) {
                // It has ended, and the count begins anew; nor does it come back when the clock is set back.
                changes.push(Change::Tries(TriesRow { failures: 0, locked_until: None, ..row }));
                continue;
            }
            let locked = left.map(|left| (now.instant + left, now.wall + left));
            let locked_until = locked.map(|(_, wall)| wall);
            let failures = std::iter::repeat_n(now.instant, (row.failures as usize).min(bound)).collect();
            if (last, locked_until) != (row.last, row.locked_until) {
                changes.push(Change::Tries(TriesRow { last, locked_until, ..row }));
            }
            lockout.insert(key, Tries { failures, last_wall: last, locked, touched: now.instant });
        }
        let mut sources = sources;
        sources.sort_by_key(|&(user, source, time)| (time, user, source));
        for (user, source, _) in sources {
            lockout.remember(user, source);
        }
        lockout
    }

    /// Must this try be left unchecked? `user`: the account, if there is one of that name.
    pub fn is_locked(&self, name: &UserName, user: Option<UserId>, source: Source, now: Now) -> bool {
        let locked = |key: Key| {
            let tries = self.counters.get(&key);
            tries.and_then(|tries| tries.locked).is_some_and(|(until, _)| now.instant < until)
        };
        let here = locked((name.folded(), Some(source)));
        let strange = locked((name.folded(), None)) | locked((ANY_NAME.to_owned(), Some(source)));
        here || (strange && !self.has_succeeded(user, source))
    }

    /// Is the name locked for some source, or for all strange ones?
    pub fn is_locked_anywhere(&self, name: &UserName, now: Now) -> bool {
        let tries = self.counters.range((name.folded(), None)..).take_while(|((other, _), _)| *other == name.folded());
        let mut locks = tries.filter_map(|(_, tries)| tries.locked);
        locks.any(|(until, _)| now.instant < until)
    }

    /// How many counters there are.
    pub fn counters(&self) -> usize {
        self.counters.len()
    }

    /// The operator ends all lock-outs of a name. What comes back is to be stored.
    pub(super) fn unlock(&mut self, name: &UserName) -> Vec<TriesRow> {
        let tries = self.counters.range((name.folded(), None)..).take_while(|((other, _), _)| *other == name.folded());
        let keys: Vec<Key> = tries.map(|(key, _)| key.clone()).collect();
        keys.into_iter()
            .map(|key| {
                self.remove(&key);
                self.row(key)
            })
            .collect()
    }

    /// A password was wrong. What comes back is to be stored: the three counters, and those that had to make room.
    pub(super) fn failed(&mut self, name: &UserName, source: Source, now: Now) -> Vec<TriesRow> {
        let mut rows: Vec<TriesRow> = keys(name, source).into_iter().map(|key| self.count(key, now)).collect();
        rows.append(&mut self.evicted);
        rows
    }

    /// A name that nobody has was tried, and whoever tried is told so: only the source's counter has to say how often.
    pub(super) fn failed_unknown(&mut self, source: Source, now: Now) -> Vec<TriesRow> {
        let mut rows = vec![self.count((ANY_NAME.to_owned(), Some(source)), now)];
        rows.append(&mut self.evicted);
        rows
    }

    /// A try that was not checked. What comes back only makes it take as long as one that was.
    pub(super) fn left_unchecked(&self, name: &UserName, source: Source) -> Vec<TriesRow> {
        keys(name, source).into_iter().map(|key| self.row(key)).collect()
    }

    /// A password was right. Comes back: the counter to store, if there was one; and whether the source is new.
    pub(super) fn succeeded(
        &mut self,
        name: &UserName,
        user: UserId,
        source: Source,
        now: Now,
    ) -> (Option<TriesRow>, bool) {
        let key = (name.folded(), Some(source));
        let row = self.remove(&key).map(|_| TriesRow {
            name: key.0,
            source: key.1,
            failures: 0,
            last: now.wall,
            locked_until: None,
        });
        let new = !self.has_succeeded(Some(user), source);
        if new {
            self.remember(user, source);
        }
        (row, new)
    }

    /// This row was lost with its commit.
    pub(super) fn not_written(&mut self, row: TriesRow) {
        if self.unwritten.len() < COUNTERS_MAX {
            self.unwritten.insert((row.name, row.source));
        }
    }

    /// Writes what was lost, as it is now.
    pub(super) fn flush(&mut self, changes: &mut Vec<Change>) {
        let keys = std::mem::take(&mut self.unwritten);
        changes.extend(keys.into_iter().map(|key| Change::Tries(self.row(key))));
    }

    fn has_succeeded(&self, user: Option<UserId>, source: Source) -> bool {
        user.and_then(|user| self.succeeded.get(&user)).is_some_and(|sources| sources.contains(&source))
    }

    fn remember(&mut self, user: UserId, source: Source) {
        let sources = self.succeeded.entry(user).or_default();
        if sources.len() == SOURCES_MAX {
            sources.pop_front();
        }
        // Most accounts are used from one source only.
        sources.reserve_exact(1);
        sources.push_back(source);
    }

    /// For how long a failure counts, and how many lock.
    fn window(&self, (name, source): &Key) -> (Duration, usize) {
        match source {
            None => (OVERALL_WINDOW, OVERALL_TRIES),
            Some(_) if name == ANY_NAME => (SOURCE_WINDOW, SOURCE_TRIES),
            Some(_) => (FORGOTTEN_AFTER, self.tries_max),
        }
    }

    fn count(&mut self, key: Key, now: Now) -> TriesRow {
        let mut tries = self.remove(&key).unwrap_or(Tries {
            failures: VecDeque::new(),
            last_wall: now.wall,
            locked: None,
            touched: now.instant,
        });
        if tries.locked.is_some_and(|(until, _)| until <= now.instant) {
            tries.locked = None;
            tries.failures.clear();
        }
        let (window, bound) = self.window(&key);
        while tries.failures.front().is_some_and(|&at| now.instant.since(at) >= window) {
            tries.failures.pop_front();
        }
        tries.failures.push_back(now.instant);
        tries.last_wall = now.wall;
        tries.touched = now.instant;
        if tries.failures.len() >= bound && tries.locked.is_none() {
            tries.locked = Some((now.instant + self.duration, now.wall + self.duration));
        }
        while tries.failures.len() > bound {
            tries.failures.pop_front();
        }
        self.insert(key.clone(), tries);
        self.row(key)
    }

    fn row(&self, key: Key) -> TriesRow {
        let tries = self.counters.get(&key);
        TriesRow {
            failures: tries.map_or(0, |tries| tries.failures.len() as u32),
            last: tries.map_or(WallTime::default(), |tries| tries.last_wall),
            locked_until: tries.and_then(|tries| tries.locked).map(|(_, wall)| wall),
            name: key.0,
            source: key.1,
        }
    }

    fn insert(&mut self, key: Key, tries: Tries) {
        if self.counters.len() >= COUNTERS_MAX
            && let Some((_, _, oldest)) = self.by_age.pop_first()
        {
            self.counters.remove(&oldest);
            self.evicted.push(self.row(oldest));
        }
        self.by_age.insert((tries.locked.is_some(), tries.touched, key.clone()));
        self.counters.insert(key, tries);
    }

    fn remove(&mut self, key: &Key) -> Option<Tries> {
        let tries = self.counters.remove(key)?;
        self.by_age.remove(&(tries.locked.is_some(), tries.touched, key.clone()));
        Some(tries)
    }
}

/// The counters that a failure counts in.
fn keys(name: &UserName, source: Source) -> [Key; 3] {
    [(name.folded(), Some(source)), (name.folded(), None), (ANY_NAME.to_owned(), Some(source))]
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: Duration = Duration::from_secs(60);
    const USER: UserId = UserId(1);

    fn at(micros: u64) -> Now {
        Now {
            instant: Instant::from_micros(micros),
            wall: WallTime::from_millis(1_000_000 + micros / 1000),
            ..Now::default()
        }
    }

    fn source(last: u8) -> Source {
        Source::of([10, 0, 0, last].into())
    }

    fn alice() -> UserName {
        UserName::parse("Alice").unwrap()
    }

    #[test]
    fn three_failures_lock_one_source_for_exactly_the_duration() {
        let mut lockout = Lockout::new(3, D, vec![], vec![], at(0), &mut vec![]);
        for i in 0..3 {
            assert!(!lockout.is_locked(&alice(), Some(USER), source(1), at(i)));
            lockout.failed(&alice(), source(1), at(i));
        }
        let end = 2 + D.as_micros() as u64;
        assert!(lockout.is_locked(&alice(), Some(USER), source(1), at(2)));
        assert!(lockout.is_locked(&alice(), Some(USER), source(1), at(end - 1)));
        assert!(!lockout.is_locked(&alice(), Some(USER), source(1), at(end)));
        assert!(!lockout.is_locked(&alice(), Some(USER), source(2), at(2)), "another source is not locked");
        lockout.failed(&alice(), source(1), at(end));
        assert!(!lockout.is_locked(&alice(), Some(USER), source(1), at(end)), "the count begins anew");
    }

    #[test]
    fn a_success_resets_the_count() {
        let mut lockout = Lockout::new(3, D, vec![], vec![], at(0), &mut vec![]);
        lockout.failed(&alice(), source(1), at(0));
        lockout.failed(&alice(), source(1), at(0));
        let (row, new) = lockout.succeeded(&alice(), USER, source(1), at(1));
        assert_eq!((row.map(|row| row.failures), new), (Some(0), true));
        lockout.failed(&alice(), source(1), at(2));
        lockout.failed(&alice(), source(1), at(2));
        assert!(!lockout.is_locked(&alice(), Some(USER), source(1), at(2)));
        assert_eq!(lockout.succeeded(&alice(), USER, source(2), at(3)), (None, true));
        assert_eq!(lockout.succeeded(&alice(), USER, source(2), at(3)), (None, false));
    }

    #[test]
    fn thirty_failures_over_all_sources_lock_only_strangers() {
        let mut lockout = Lockout::new(3, D, vec![], vec![], at(0), &mut vec![]);
        lockout.succeeded(&alice(), USER, source(200), at(0));
        for i in 0..30 {
            lockout.failed(&alice(), source(i), at(u64::from(i)));
        }
        assert!(lockout.is_locked(&alice(), Some(USER), source(100), at(29)));
        assert!(!lockout.is_locked(&alice(), Some(USER), source(200), at(29)), "this one has succeeded before");
        assert!(!lockout.is_locked(&alice(), Some(USER), source(100), at(29 + D.as_micros() as u64)));
    }

    #[test]
    fn failures_over_all_sources_count_for_ten_minutes() {
        let mut lockout = Lockout::new(3, D, vec![], vec![], at(0), &mut vec![]);
        for i in 0..29 {
            lockout.failed(&alice(), source(i), at(0));
        }
        lockout.failed(&alice(), source(50), at(OVERALL_WINDOW.as_micros() as u64));
        assert!(!lockout.is_locked(&alice(), None, source(100), at(OVERALL_WINDOW.as_micros() as u64)));
    }

    #[test]
    fn a_lock_survives_a_restart_but_never_lasts_longer_than_a_fresh_one() {
        let mut lockout = Lockout::new(1, D, vec![], vec![], at(0), &mut vec![]);
        let row = lockout.failed(&alice(), source(1), at(0)).swap_remove(0);
        let again = Lockout::new(1, D, vec![row.clone()], vec![], at(10_000_000), &mut vec![]);
        assert!(again.is_locked(&alice(), None, source(1), at(D.as_micros() as u64 - 1)));
        assert!(!again.is_locked(&alice(), None, source(1), at(D.as_micros() as u64)));
        let jumped_back = Now::default();
        let again = Lockout::new(1, D, vec![row], vec![], jumped_back, &mut vec![]);
        assert!(!again.is_locked(&alice(), None, source(1), at(D.as_micros() as u64)));
    }

    #[test]
    fn a_jump_of_the_wall_clock_lengthens_a_lock_once_and_not_at_every_start() {
        let mut lockout = Lockout::new(1, D, vec![], vec![], at(0), &mut vec![]);
        let row = lockout.failed(&alice(), source(1), at(0)).swap_remove(0);
        let back = |micros: u64| Now { wall: WallTime::from_millis(micros / 1000), ..at(micros) };
        let (mut changes, end) = (vec![], 5 + D.as_micros() as u64);
        let again = Lockout::new(1, D, vec![row.clone()], vec![], back(5), &mut changes);
        assert!(again.is_locked(&alice(), None, source(1), back(end - 1)));
        let (last, locked_until) = (back(5).wall, Some(back(5).wall + D));
        let rewritten = TriesRow { last, locked_until, ..row };
        assert_eq!(changes, [Change::Tries(rewritten.clone())]);
        let mut changes = vec![];
        let again = Lockout::new(1, D, vec![rewritten], vec![], back(10_000_000), &mut changes);
        assert!(again.is_locked(&alice(), None, source(1), back(end - 6)));
        assert!(!again.is_locked(&alice(), None, source(1), back(end)), "as long as at the first start, and no longer");
        assert_eq!(changes, []);
    }

    #[test]
    fn a_lock_that_ended_before_a_start_does_not_come_back_when_the_clock_is_set_back() {
        let mut lockout = Lockout::new(1, D, vec![], vec![], at(0), &mut vec![]);
        let row = lockout.failed(&alice(), source(1), at(0)).swap_remove(0);
        let mut changes = vec![];
        Lockout::new(1, D, vec![row.clone()], vec![], at(D.as_micros() as u64), &mut changes);
        assert_eq!(changes, [Change::Tries(TriesRow { failures: 0, locked_until: None, ..row })]);
    }

    #[test]
    fn after_a_lock_that_ended_during_a_restart_the_count_begins_anew() {
        let mut lockout = Lockout::new(3, D, vec![], vec![], at(0), &mut vec![]);
        let rows = (0..3).map(|_| lockout.failed(&alice(), source(1), at(0))).last().unwrap();
        let end = D.as_micros() as u64;
        let mut again = Lockout::new(3, D, rows, vec![], at(end), &mut vec![]);
        again.failed(&alice(), source(1), at(end));
        again.failed(&alice(), source(1), at(end));
        assert!(!again.is_locked(&alice(), None, source(1), at(end)));
        again.failed(&alice(), source(1), at(end));
        assert!(again.is_locked(&alice(), None, source(1), at(end)));
    }

    #[test]
    fn counters_are_bounded() {
        let mut lockout = Lockout::new(3, D, vec![], vec![], at(0), &mut vec![]);
        (0..3).for_each(|_| drop(lockout.failed(&alice(), source(1), at(0))));
        let mut kept = 3;
        for i in 0..COUNTERS_MAX as u64 {
            let rows = lockout.failed(&UserName::parse(&format!("u{i}")).unwrap(), source(1), at(i));
            kept = kept + 2 - (rows.len() - 3);
            assert!(rows[3..].iter().all(|row| row.failures == 0 && row.locked_until.is_none()), "stored as gone");
        }
        assert_eq!((lockout.counters.len(), lockout.by_age.len(), kept), (COUNTERS_MAX, COUNTERS_MAX, COUNTERS_MAX));
        assert!(lockout.is_locked(&alice(), None, source(1), at(1)), "a lock does not make room for guesses");
    }

    /// One password for many names, each tried once.
    fn spray(lockout: &mut Lockout, tries: usize, from: Source, now: Now) -> Vec<TriesRow> {
        let name = |n| UserName::parse(&format!("u{n}")).unwrap();
        (0..tries).flat_map(|n| lockout.failed(&name(n), from, now)).filter(|row| row.name == ANY_NAME).collect()
    }

    #[test]
    fn a_hundred_failures_from_a_source_lock_the_names_that_are_strange_to_it() {
        let bob = UserName::parse("bob").unwrap();
        let mut lockout = Lockout::new(3, D, vec![], vec![], at(0), &mut vec![]);
        lockout.succeeded(&alice(), USER, source(1), at(0));
        spray(&mut lockout, SOURCE_TRIES - 1, source(1), at(0));
        assert!(!lockout.is_locked(&bob, Some(UserId(2)), source(1), at(0)));
        spray(&mut lockout, 1, source(1), at(1));
        let end = 1 + D.as_micros() as u64;
        for now in [1, end - 1] {
            assert!(lockout.is_locked(&bob, Some(UserId(2)), source(1), at(now)));
            assert!(lockout.is_locked(&UserName::parse("nobody").unwrap(), None, source(1), at(now)));
        }
        assert!(!lockout.is_locked(&bob, Some(UserId(2)), source(1), at(end)), "it ends on time");
        assert!(!lockout.is_locked(&alice(), Some(USER), source(1), at(1)), "who has succeeded from there goes on");
        assert!(!lockout.is_locked(&bob, Some(UserId(2)), source(2), at(1)), "and so does everybody elsewhere");
        // One's own wrong passwords lock as before.
        (0..3).for_each(|_| drop(lockout.failed(&alice(), source(1), at(2))));
        assert!(lockout.is_locked(&alice(), Some(USER), source(1), at(2)));
    }

    #[test]
    fn failures_of_a_source_count_for_ten_minutes_and_no_success_takes_them_back() {
        let mut lockout = Lockout::new(3, D, vec![], vec![], at(0), &mut vec![]);
        let window = SOURCE_WINDOW.as_micros() as u64;
        spray(&mut lockout, SOURCE_TRIES - 1, source(1), at(0));
        lockout.succeeded(&alice(), USER, source(1), at(0));
        let bob = UserName::parse("bob").unwrap();
        let mut later = Lockout::new(3, D, spray(&mut lockout, 0, source(1), at(0)), vec![], at(0), &mut vec![]);
        spray(&mut later, SOURCE_TRIES - 1, source(1), at(0));
        later.failed(&bob, source(1), at(window));
        assert!(!later.is_locked(&alice(), Some(USER), source(1), at(window)));
        lockout.failed(&bob, source(1), at(window - 1));
        assert!(lockout.is_locked(&bob, Some(UserId(2)), source(1), at(window - 1)));
    }

    #[test]
    fn the_count_of_a_source_survives_a_restart() {
        let bob = UserName::parse("bob").unwrap();
        let mut lockout = Lockout::new(3, D, vec![], vec![], at(0), &mut vec![]);
        let rows = spray(&mut lockout, SOURCE_TRIES, source(1), at(0));
        let [one_less, locked] = &rows[SOURCE_TRIES - 2..] else { panic!() };
        let again = Lockout::new(3, D, vec![locked.clone()], vec![], at(10), &mut vec![]);
        assert!(again.is_locked(&bob, None, source(1), at(10)));
        assert!(!again.is_locked(&bob, None, source(1), at(10 + D.as_micros() as u64)));
        let mut again = Lockout::new(3, D, vec![one_less.clone()], vec![], at(10), &mut vec![]);
        assert!(!again.is_locked(&bob, None, source(1), at(10)));
        again.failed(&alice(), source(1), at(10));
        assert!(again.is_locked(&bob, None, source(1), at(10)));
    }

    #[test]
    fn what_failed_long_before_a_restart_is_forgotten() {
        let mut lockout = Lockout::new(3, D, vec![], vec![], at(0), &mut vec![]);
        (0..2).for_each(|_| drop(lockout.failed(&alice(), source(1), at(0))));
        let rows = lockout.left_unchecked(&alice(), source(1));
        let later = FORGOTTEN_AFTER.as_micros() as u64;
        for (restart, locked) in [(later - 1_000_000, true), (later, false)] {
            let mut again = Lockout::new(3, D, rows.clone(), vec![], at(restart), &mut vec![]);
            again.failed(&alice(), source(1), at(restart));
            assert_eq!(again.is_locked(&alice(), None, source(1), at(restart)), locked);
        }
    }
}
