//! The hub and the wire code in virtual time, with a model of net and of the store, real clients, and every fault that a
//! seed can draw. A run is its seed: the same one gives the same run, byte for byte.
//!
//! `cargo test --test simulation` runs `SEEDS` seeds and those of `failing-seeds.txt`. `CHATD_SIMULATION_SEED=n` runs one
//! and tells everything; `CHATD_SIMULATION_SEEDS=n` runs so many.

mod dice;
mod disk;
mod ledger;
mod link;
mod mix;
mod person;
mod plant;
mod secrets;
mod server;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use plant::Plant;
use world::Outcome;

/// As many as an ordinary test run takes.
const SEEDS: u64 = 256;
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

/// Runs these seeds; prints what each came to, and says which failed.
fn run_all(seeds: impl Iterator<Item = u64>, verbose: bool) -> Vec<u64> {
    let mut failed = Vec::new();
    let mut faults: BTreeMap<&str, u32> = BTreeMap::new();
    let mut refused: BTreeMap<String, u32> = BTreeMap::new();
    let (mut sent, mut shown, mut turns) = (0, 0, 0);
    for seed in seeds {
        let (verdict, fired) = match run(seed, Plant::None, verbose) {
            Ok(outcome) => {
                assert_eq!(outcome.seed, seed);
                outcome.faults.iter().for_each(|(kind, count)| *faults.entry(kind).or_default() += count);
                outcome.refused.iter().for_each(|(code, count)| *refused.entry(code.clone()).or_default() += count);
                sent += outcome.sent;
                shown += outcome.shown;
                turns += outcome.turns;
                (outcome.verdict, format!("{:?} in {} s", outcome.faults, outcome.lasted / link::SECOND))
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
    println!("all: {faults:?}; {sent} sent, {shown} shown, {turns} turns; refused {refused:?}");
    failed
}

#[test]
fn the_laws_hold() {
    let failed = match variable("CHATD_SIMULATION_SEED") {
        Some(seed) => run_all(std::iter::once(seed), true),
        None => run_all(0..variable("CHATD_SIMULATION_SEEDS").unwrap_or(SEEDS), false),
    };
    assert!(failed.is_empty(), "{} seeds failed: {failed:?}; replay the first: {}", failed.len(), replay(failed[0]));
}
