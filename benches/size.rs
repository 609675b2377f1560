//! How large the programs are, as they are built for release.
//!
//! `cargo bench --bench size`.

mod support;

use support::verdict;

/// Bytes that chatd may have, stripped.
const TARGET_BYTES: u64 = 10_000_000;

fn main() {
    println!("size: bytes of the stripped programs");
    for (name, path) in [("chatd", env!("CARGO_BIN_EXE_chatd")), ("chat", env!("CARGO_BIN_EXE_chat"))] {
        let bytes = std::fs::metadata(path).expect("a program").len();
        let verdict = verdict(bytes < TARGET_BYTES);
        println!("  {verdict} {name}: {:.2} of {TARGET_BYTES} bytes ({bytes})", bytes as f64 / TARGET_BYTES as f64);
    }
}
