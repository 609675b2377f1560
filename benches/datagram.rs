//! What it costs to read a datagram of the `datagram` protocol, in the processor time of the digest that it has to be checked
//! with anyway. `cargo bench --bench datagram`.

mod support;

use std::hint::black_box;
use std::time::Duration;

use chatd::wire::datagram::Request;
use chatd::wire::datagram::request::Server;
use chatd::wire::datagram::server::read;
use chatd::wire::named::Named;
use chatd::wire::{PasswordDigest, Text};
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};
use support::counting::{Counting, count_this_thread, heap};
use support::{Effort, effort, in_turns, middle, share_one_processor, verdict};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The time to read a datagram in that of the SHA-256 of what its digest is of.
const TARGET: f64 = 10.0;

const DATAGRAM_BYTES: usize = 300;
/// Of the digest, with what stands around it and the dict.
const ENVELOPE_BYTES: usize = "[, '']".len() + 64;

fn main() {
    share_one_processor();
    println!("datagram: {DATAGRAM_BYTES} bytes are read, beside the SHA-256 of the dict in them");
    let datagrams = [
        ("a message in ASCII", message('x', DATAGRAM_BYTES)),
        ("a message of escapes", message('é', DATAGRAM_BYTES)),
        ("a log-in", written(&Request::LogIn { user: named("u0"), password: PasswordDigest([7; 32]) })),
    ];
    for (what, datagram) in &datagrams {
        measure(what, datagram);
    }
    // Counting takes time itself.
    count_this_thread();
    for (what, datagram) in &datagrams {
        let before = heap().calls;
        drop(black_box(read(datagram)));
        println!("  {what}: {} allocations", heap().calls - before);
    }
}

/// A message of one character, in about so many bytes.
fn message(character: char, bytes: usize) -> Vec<u8> {
    let of = |text: &str| {
        let text = Text::replacing(text.as_bytes());
        written(&Request::Message { from: named("u0"), to: named("u1"), text })
    };
    let empty = of("x").len() - 1;
    let each = of(&character.to_string()).len() - empty;
    of(&character.to_string().repeat((bytes - empty) / each))
}

fn written(request: &Request) -> Vec<u8> {
    request.write(&Server { host: "127.0.0.1", port: 6001 }).swap_remove(0)
}

fn named(name: &str) -> Named {
    Named::parse(name)
}

fn measure(what: &str, datagram: &[u8]) {
    let (count, rounds) = match effort() {
        Effort::Quick => (10, 3),
        Effort::Usual => (10_000, 51),
        Effort::Full => (10_000, 201),
    };
    let dict = &datagram[1..1 + datagram.len() - ENVELOPE_BYTES];
    assert!(dict.starts_with(b"{") && dict.ends_with(b"}") && read(datagram).is_ok());
    let reading = || cost(count, || read(black_box(datagram)));
    let hashing = || cost(count, || Sha256::digest(black_box(dict)));
    let costs = in_turns(rounds, reading, hashing);
    let ratio = middle(&costs, |[reading, hashing]| reading / hashing);
    let nanos = |of: fn(&[f64; 2]) -> f64| middle(&costs, of) * 1e3 / f64::from(count);
    println!(
        "  {} {what}, {} bytes: {ratio:.1} times its digest (of at most {TARGET}; {rounds} rounds; {:.0} and {:.0} ns each)",
        verdict(ratio <= TARGET),
        datagram.len(),
        nanos(|costs| costs[0]),
        nanos(|costs| costs[1]),
    );
}

/// The processor time of this thread, so often.
fn cost<T>(count: u32, what: impl Fn() -> T) -> Duration {
    let now = || {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    };
    let before = now();
    (0..count).for_each(|_| drop(black_box(what())));
    now() - before
}
