//! The server's turn with its hub and wire code in virtual time, over simulated links and a model of the store, with real
//! clients, models of those that can't be changed, and every fault that a seed can draw. A run is its seed: the same one gives the same run, byte for byte.
//!
//! `cargo test --test simulation` runs `SEEDS` seeds and those of `failing-seeds.txt`. `CHATD_SIMULATION_SEED=n` runs one
//! and tells everything; `CHATD_SIMULATION_SEEDS=n` runs so many.

mod classic;
mod datagrams;
mod dice;
mod disk;
mod fired;
mod kernel;
mod ledger;
mod link;
mod mix;
mod outside;
mod person;
mod plant;
mod secrets;
mod server;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use chatd::hub::change::Change;
use chatd::store::{Batch, Completion, Durability, Hooks, Store};
use fired::{Fault, Fired};
use plant::Plant;
use world::Outcome;

/// As many as an ordinary test run takes.
const SEEDS: u64 = 256;
/// Over all of them each kind of fault fires this often at least.
const FIRED_MIN: u32 = 20;
const FAILING_SEEDS: &str = include_str!("failing-seeds.txt");

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A panic, of an invariant or of anything else, is a verdict too.
fn run(seed: u64, plant: Plant, verbose: bool) -> Result<Outcome, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| world::run(seed, plant, verbose)));
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

fn replay(seed: u64) -> String {
    format!("CHATD_SIMULATION_SEED={seed} cargo test --test simulation the_laws_hold -- --nocapture")
}

/// Does `work` for each of these, on whatever thread is free; their order changes nothing.
fn on_threads<T: Copy + Ord + Sync + Send, R: Send>(these: &[T], work: impl Fn(T) -> R + Sync) -> BTreeMap<T, R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    let work_on = || {
        while let Some(&one) = these.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = work(one);
            results.lock().expect("nobody panics with it").insert(one, result);
        }
    };
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get());
    thread::scope(|scope| {
        (0..threads).for_each(|_| {
            scope.spawn(work_on);
        })
    });
    results.into_inner().expect("nobody panicked with it")
}

/// Runs these seeds; prints what each came to, and says which failed, and which faults have fired.
fn run_all(seeds: impl IntoIterator<Item = u64>, verbose: bool) -> (Vec<u64>, Fired) {
    let seeds: Vec<u64> = seeds.into_iter().collect();
    let mut failed = Vec::new();
    let mut fired = Fired::default();
    let mut refused: BTreeMap<String, u32> = BTreeMap::new();
    let (mut sent, mut shown, mut met, mut turns) = (0, 0, 0, 0);
    let (mut by_calls, mut to_guests, mut again) = (0, 0, 0);
    let (mut in_sessions, mut by_datagrams, mut glued, mut excused, mut log_ons) = (0, 0, 0, 0, 0);
    for (seed, outcome) in on_threads(&seeds, |seed| run(seed, Plant::None, verbose)) {
        let (verdict, fired) = match outcome {
            Ok(outcome) => {
                fired.add(&outcome.fired);
                outcome.refused.iter().for_each(|(code, count)| *refused.entry(code.clone()).or_default() += count);
                sent += outcome.sent;
                shown += outcome.shown;
                by_calls += outcome.shown_by_calls;
                to_guests += outcome.shown_to_guests;
                again += outcome.shown_again;
                in_sessions += outcome.shown_in_sessions;
                by_datagrams += outcome.shown_by_datagrams;
                (glued, excused) = (glued + outcome.glued, excused + outcome.excused);
                log_ons += outcome.log_ons;
                met += outcome.met;
                turns += outcome.turns;
                (outcome.verdict, format!("{:?} in {} s", outcome.fired, outcome.lasted / link::SECOND))
            }
            Err(panic) => (Err(format!("panic: {panic}")), String::new()),
        };
        match verdict {
            Ok(()) => println!("seed {seed}: {fired}: passed"),
            Err(law) => {
                println!("seed {seed}: {fired}: FAILED: law {law}\n    {}", replay(seed));
                failed.push(seed);
            }
        }
    }
    println!("all: {fired:?}; {sent} sent, {shown} shown, {met} meetings, {turns} turns; refused {refused:?}");
    println!("beside that {by_calls} shown by calls, {again} of them again, and {to_guests} to guests");
    println!("{log_ons} log-ons; {in_sessions} shown in sessions, {glued} of them read as one");
    println!("{by_datagrams} shown by datagrams, and {excused} acknowledged by mistake");
    (failed, fired)
}

#[test]
fn the_laws_hold() {
    let (first, count) = match variable("CHATD_SIMULATION_SEED") {
        Some(seed) => (seed, 1),
        None => (0, variable("CHATD_SIMULATION_SEEDS").unwrap_or(SEEDS)),
    };
    let (failed, fired) = run_all(first..first + count, count == 1);
    assert!(failed.is_empty(), "{} seeds failed: {failed:?}; replay the first: {}", failed.len(), replay(failed[0]));
    if count >= SEEDS {
        let rare: Vec<Fault> = Fault::ALL.into_iter().filter(|&fault| fired.count(fault) < FIRED_MIN).collect();
        assert!(rare.is_empty(), "these faults hardly ever fire: {rare:?}");
    }
}

/// Seeds that have failed once, each on a line of its own with a comment.
#[test]
fn seeds_that_have_failed_do_not_fail_again() {
    let lines = FAILING_SEEDS.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let seeds = lines.filter(|line| !line.is_empty()).map(|line| line.parse().expect("a seed and a comment"));
    let (failed, _) = run_all(seeds, false);
    assert!(failed.is_empty(), "failed again: {failed:?}; replay the first: {}", replay(failed[0]));
}

#[test]
fn the_same_seed_gives_the_same_run_byte_for_byte() {
    for seed in 0..8 {
        let [one, other] = [0, 1].map(|_| run(seed, Plant::None, false).expect("a run"));
        assert_eq!((one.hash, one.turns, one.lasted), (other.hash, other.turns, other.lasted), "seed {seed}");
        assert_eq!(format!("{:?}", one.committed), format!("{:?}", other.committed), "seed {seed}");
    }
}

/// Law 15: what the real store gives back after it was closed is the fold of the batches that it was given.
#[test]
fn the_store_gives_back_the_fold_of_the_committed_batches() {
    for seed in 0..6 {
        let outcome = run(seed, Plant::None, false).expect("a run");
        let directory = tempfile::tempdir().expect("a directory");
        let open = || Store::open(directory.path(), Durability::Process, Hooks::default()).expect("a store");
        let (opened, _) = open();
        let mut store = opened.start(|| ()).expect("a running store");
        let first = outcome.secret.map(Change::Secret).into_iter().collect();
        for (number, changes) in (1..).zip(std::iter::once(first).chain(outcome.committed)) {
            store.submit(Batch { number, changes });
        }
        for completion in store.close() {
            assert!(matches!(completion, Completion::Persisted { .. }), "{completion:?}");
        }
        assert_eq!(open().1, outcome.fold.snapshot(), "seed {seed}");
    }
}

/// The checkers must be able to fail: each planted bug is found within so many seeds.
#[test]
fn planted_bugs_are_found() {
    const SEEDS_EACH: u64 = 200;
    let find = |(plant, first): (Plant, u64)| {
        std::iter::once(first).chain(0..SEEDS_EACH).find_map(|seed| match run(seed, plant, false) {
            Ok(outcome) => outcome.verdict.err().map(|law| (seed, law)),
            Err(panic) => Some((seed, format!("panic: {panic}"))),
        })
    };
    let mut missed = Vec::new();
    for ((plant, _), found) in on_threads(&Plant::ALL, find) {
        match found {
            Some((seed, law)) => println!("{plant:?}: seed {seed}: law {law}"),
            None => missed.push(plant),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
