//! How long a ✓ takes: private messages over sockets, with a database on disk.
//!
//! `cargo bench --bench latency`. First one message at a time, then several senders with many in flight each. What the
//! server is worth is the ratio: messages/s beside the commits/s that the same disk gives one after the other.

mod support;

use std::time::{Duration, Instant};

use chatd::store::{Durability, Hooks, Store};
use support::crowd::{Crowd, name};
use support::{Effort, Running, effort};
use tempfile::TempDir;

const SENDERS: usize = 8;
/// Messages that each sender has without a ✓.
const IN_FLIGHT: u64 = 32;

fn main() {
    let (singles, rounds) = match effort() {
        Effort::Quick => (20, 2),
        Effort::Usual => (500, 100),
        Effort::Full => (2000, 400),
    };
    println!("latency: private messages of 64 bytes from send to ✓, on disk");
    for durability in [Durability::Full, Durability::Process] {
        measure(durability, singles, rounds);
    }
}

fn measure(durability: Durability, singles: u64, rounds: u64) {
    let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let path = dir.path().to_owned();
    let open = move || Store::open(&path, durability, Hooks::default()).expect("a store");
    let server = Running::start(2 * SENDERS, open);
    let mut crowd = Crowd::new(server.address);
    // The second half are the recipients, each of one sender.
    crowd.log_in(2 * SENDERS);
    let mut counters = [0; SENDERS];
    let mut times: Vec<Duration> = (0..singles).map(|_| exchange(&mut crowd, &mut counters, 1, 1)).collect();
    times.sort();
    let all: Duration = times.iter().sum();
    let one_by_one = singles as f64 / all.as_secs_f64();
    let begin = Instant::now();
    for _ in 0..rounds {
        exchange(&mut crowd, &mut counters, SENDERS, IN_FLIGHT);
    }
    let per_second = (rounds * SENDERS as u64 * IN_FLIGHT) as f64 / begin.elapsed().as_secs_f64();
    println!(
        "  --durability {}: {:.1} times as many messages/s from {SENDERS} senders with {IN_FLIGHT} in flight each as one \
         by one ({per_second:.0} and {one_by_one:.0}); ✓ after {:.2?}, p99 {:.2?}",
        format!("{durability:?}").to_lowercase(),
        per_second / one_by_one,
        times[times.len() / 2],
        times[times.len() * 99 / 100],
    );
    drop(crowd);
    server.stop();
}

/// Sends `count` messages as each of the first `senders`, and waits for every ✓.
fn exchange(crowd: &mut Crowd, counters: &mut [u64], senders: usize, count: u64) -> Duration {
    let text = "x".repeat(64);
    let answers = crowd.answers + senders as u64 * count;
    let begin = Instant::now();
    for (sender, counter) in counters.iter_mut().enumerate().take(senders) {
        let mut requests = String::new();
        let to = name(SENDERS + sender);
        for _ in 0..count {
            *counter += 1;
            let n = *counter;
            requests += &format!(
                "{{\"id\":{n},\"request\":\"message\",\"to\":\"{to}\",\"text\":\"{text}\",\"counter\":{n}}}\n"
            );
        }
        crowd.send(sender, requests.as_bytes());
    }
    crowd.until(0, answers);
    let took = begin.elapsed();
    assert!(crowd.last_answer.starts_with(b"{\"id\":") && crowd.refused == 0, "every message is accepted");
    took
}
