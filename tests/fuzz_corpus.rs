//! What the fuzzer has found worth keeping goes through the same targets again, without the fuzzer: fuzz/corpus, and the
//! inputs that have failed once, fuzz/regressions.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/targets/mod.rs"]
mod targets;

use targets::TARGETS;

/// Regressions that are not mended yet, and fail still.
const OPEN: &[&str] = &[];

fn inputs(kind: &str, target: &str) -> Vec<PathBuf> {
    let directory = Path::new("fuzz").join(kind).join(target);
    let Ok(entries) = fs::read_dir(&directory) else { return Vec::new() };
    let mut inputs: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    inputs.sort();
    inputs
}

#[test]
fn every_input_that_was_kept_still_holds() {
    let mut failed = Vec::new();
    for (name, run) in TARGETS {
        let corpus = inputs("corpus", name);
        assert!(!corpus.is_empty(), "{name} has no corpus");
        for input in corpus.into_iter().chain(inputs("regressions", name)) {
            let data = fs::read(&input).expect("an input");
            if std::panic::catch_unwind(|| run(&data)).is_err() {
                failed.push(input);
            }
        }
    }
    let expected: Vec<PathBuf> = OPEN.iter().map(PathBuf::from).collect();
    assert_eq!(failed, expected, "what fails says why above; what is mended is no longer open");
}
