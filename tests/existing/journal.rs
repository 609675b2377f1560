//! What a program has seen, in order, for its test to wait for.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::LIMIT;

/// Entries are taken by the test, each once.
pub struct Journal<T> {
    entries: Mutex<Entries<T>>,
    recorded: Condvar,
}

struct Entries<T> {
    all: Vec<T>,
    untaken: VecDeque<T>,
}

/// A chunk that was read, or what else happened.
#[derive(Clone, Debug)]
pub enum Seen<E> {
    Chunk(Chunk),
    Else(E),
}

/// What one read has brought, whole.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub text: String,
    pub at: Instant,
}

impl<T: Clone + Debug> Journal<T> {
    pub fn new() -> Journal<T> {
        let entries = Entries { all: Vec::new(), untaken: VecDeque::new() };
        Journal { entries: Mutex::new(entries), recorded: Condvar::new() }
    }

    pub fn record(&self, entry: T) {
        let mut entries = self.lock();
        entries.all.push(entry.clone());
        entries.untaken.push_back(entry);
        self.recorded.notify_all();
    }

    /// Everything since the start, taken or not.
    pub fn all(&self) -> Vec<T> {
        self.lock().all.clone()
    }

    /// What is there and was not taken. Takes nothing.
    pub fn untaken(&self) -> Vec<T> {
        self.lock().untaken.iter().cloned().collect()
    }

    /// Takes the next entry. Waits until there is one.
    #[track_caller]
    pub fn next(&self) -> T {
        self.take("an entry", |untaken| (!untaken.is_empty()).then_some(0))
    }

    /// Takes the entry that `find` has found among those not taken. Waits until it finds one.
    #[track_caller]
    fn take(&self, wanted: &str, find: impl Fn(&VecDeque<T>) -> Option<usize>) -> T {
        let end = Instant::now() + LIMIT;
        let mut entries = self.lock();
        loop {
            if let Some(entry) = find(&entries.untaken).and_then(|at| entries.untaken.remove(at)) {
                return entry;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let all = entries.all.clone();
                drop(entries);
                panic!("{wanted} does not come; what came: {all:?}");
            }
            entries = self.recorded.wait_timeout(entries, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries<T>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Clone + Debug> Journal<Seen<E>> {
    pub fn chunk(&self, text: String) {
        self.record(Seen::Chunk(Chunk { text, at: Instant::now() }));
    }

    /// Takes the next entry, which is a chunk.
    #[track_caller]
    pub fn next_chunk(&self) -> Chunk {
        match self.next() {
            Seen::Chunk(chunk) => chunk,
            Seen::Else(other) => panic!("{other:?} instead of a chunk"),
        }
    }

    /// Takes the next entry, which is no chunk.
    #[track_caller]
    pub fn next_else(&self) -> E {
        match self.next() {
            Seen::Chunk(chunk) => panic!("a chunk: {:?}", chunk.text),
            Seen::Else(other) => other,
        }
    }

    /// Takes the first entry that is no chunk, and leaves chunks where they are.
    #[track_caller]
    pub fn wait_for_else(&self) -> E {
        let is_else = |entry: &Seen<E>| matches!(entry, Seen::Else(_));
        match self.take("what is no chunk", |untaken| untaken.iter().position(is_else)) {
            Seen::Chunk(chunk) => panic!("a chunk: {:?}", chunk.text),
            Seen::Else(other) => other,
        }
    }

    /// Takes the first chunk that is this text, and leaves others where they are.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> Chunk {
        self.wait_for_one(&format!("{text:?}"), |chunk| chunk == text)
    }

    /// Takes the first chunk that is the one `wanted`, and leaves others where they are.
    #[track_caller]
    pub fn wait_for_one(&self, wanted: &str, is_wanted: impl Fn(&str) -> bool) -> Chunk {
        // What is no chunk ends the wait: it says why none comes.
        let is_it_or_none = |entry: &Seen<E>| !matches!(entry, Seen::Chunk(chunk) if !is_wanted(&chunk.text));
        match self.take(wanted, |untaken| untaken.iter().position(is_it_or_none)) {
            Seen::Chunk(chunk) => chunk,
            Seen::Else(other) => panic!("{other:?} before {wanted}"),
        }
    }

    /// The texts of all chunks since the start.
    pub fn chunks(&self) -> Vec<String> {
        let text = |entry| match entry {
            Seen::Chunk(chunk) => Some(chunk.text),
            Seen::Else(_) => None,
        };
        self.all().into_iter().filter_map(text).collect()
    }

    /// All since the start that was no chunk.
    pub fn others(&self) -> Vec<E> {
        let other = |entry| match entry {
            Seen::Chunk(_) => None,
            Seen::Else(other) => Some(other),
        };
        self.all().into_iter().filter_map(other).collect()
    }
}
