//! What the `session` protocol costs: a log-on by datagrams, and a message between two users with ciphers of their own, each
//! in the processor time of a bare mio loop that makes the same system calls.
//!
//! `cargo bench --bench session`; `-- log-on` or `-- relay` for one. Clients and servers as in the bench `classic`.

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use chatd::hub::change::Snapshot;
use chatd::net::server::QUIET;
use chatd::store::Store;
use chatd::wire::session::log_on::{self, FourDigitPort};
use chatd::wire::session::{Challenge, SessionKey};
use support::bare_echo::{self, Texts};
use support::crowd::{Crowd, PASSWORD};
use support::log_ons::{LogOns, password};
use support::sessions::Pairs;
use support::{Effort, Running, bare_relay, effort, in_turns, part, share_one_processor, tell};

/// Processor time in that of the bare loop: of a log-on,
const LOG_ON_TARGET: f64 = 1.5;
/// and of a message.
const RELAY_TARGET: f64 = 1.3;

/// Users who log on in a round, each from an address of its own,
const CLIENTS: usize = 256;
/// and from so many in turns: more often than that a source is not answered.
const ADDRESSES_EACH: usize = 4;
const LOG_ONS_AT_ONCE: [usize; 2] = [1, 32];
/// Pairs who chat, and messages under way at once: never two of the same pair, which would be one message.
const PAIRS: usize = 32;
const MESSAGES_IN_FLIGHT: [usize; 2] = [1, PAIRS];
const TEXT_BYTES: usize = 64;

fn main() {
    share_one_processor();
    if part("log-on") {
        log_ons();
    }
    if part("relay") {
        relays();
    }
}

fn start(accounts: usize) -> Running {
    let server = Running::start(accounts, || (Store::memory(), Snapshot::default()));
    // Until the accounts are read datagrams are not answered; a log-in waits for that.
    Crowd::new(server.address).log_in(1);
    server
}

/// The keys of the bare servers' clients.
fn keys() -> [SessionKey; 2] {
    challenges().map(|challenge| SessionKey::of(challenge, &password()))
}

fn challenges() -> [Challenge; 2] {
    [Challenge::FIRST, Challenge::LAST].map(|number| Challenge::new(number).expect("ten digits"))
}

/// `HELLO`, `CHALLENGE`, `RESPONSE`, `AUTH_SUCCESS`, again and again.
fn log_ons() {
    let (count, rounds) = match effort() {
        Effort::Quick => (32, 3),
        Effort::Usual => (CLIENTS, 25),
        Effort::Full => (CLIENTS, 51),
    };
    println!(
        "session, log-on: two datagrams in, two out, a SHA-256 and a SHA-512, beside a bare mio echo that computes the same; \
         --memory"
    );
    let server = start(count);
    let ([challenge, _], [key, _]) = (challenges(), keys());
    let port = FourDigitPort::new(FourDigitPort::FIRST).expect("four digits");
    let bare = bare_echo::start(Texts {
        hello: b"HELLO(",
        challenge: log_on::challenge(challenge),
        success: log_on::success(challenge, port, &key),
        challenged: format!("{challenge}{PASSWORD}"),
    });
    let mut ours = Again::new(server.address, count);
    let mut theirs = Again::new(bare.address, count);
    for at_once in LOG_ONS_AT_ONCE {
        let mut mine = || ours.log_on(at_once);
        let mut other = || theirs.log_on(at_once);
        mine();
        other();
        let costs = in_turns(rounds, || server.task.cost(&mut mine), || bare.task.cost(&mut other));
        tell(&format!("{at_once} at once"), &costs, Some(LOG_ON_TARGET), count);
    }
    server.stop();
    bare.stop();
}

/// Clients that log on again and again, in turns.
struct Again {
    sets: Vec<LogOns>,
    turn: usize,
}

impl Again {
    fn new(server: SocketAddr, count: usize) -> Again {
        Again { sets: (0..ADDRESSES_EACH).map(|set| LogOns::new(server, count, set)).collect(), turn: 0 }
    }

    fn log_on(&mut self, at_once: usize) {
        self.turn = (self.turn + 1) % self.sets.len();
        self.sets[self.turn].log_on(at_once);
    }
}

/// Messages between two users who chat.
fn relays() {
    let (each, rounds) = match effort() {
        Effort::Quick => (2, 3),
        Effort::Usual => (8, 25),
        Effort::Full => (8, 51),
    };
    println!(
        "session, relay: a {TEXT_BYTES}-byte message in a chat, deciphered and ciphered again, beside a bare mio relay that \
         waits for the same quiet of {} ms; --memory",
        QUIET.as_millis()
    );
    let server = start(2 * PAIRS);
    let mut ours = Pairs::chat(server.address, PAIRS);
    let text = "x".repeat(TEXT_BYTES);
    for (what, quiet, target) in
        [("after the same quiet", QUIET, Some(RELAY_TARGET)), ("at once by the bare relay", Duration::ZERO, None)]
    {
        let bare = bare_relay::start(keys(), quiet);
        let mut theirs = Pairs::connect(bare.address, PAIRS, &keys());
        for in_flight in MESSAGES_IN_FLIGHT {
            let count = each * in_flight;
            let mut mine = || ours.say(&text, count, in_flight);
            let mut other = || theirs.say(&text, count, in_flight);
            mine();
            other();
            // What has been written is looked after by timers.
            let rest = 3 * QUIET;
            let mine = || server.task.cost_with_rest(rest, &mut mine);
            let other = || bare.task.cost_with_rest(rest, &mut other);
            let costs = in_turns(rounds, mine, other);
            tell(&format!("{in_flight} in flight, {what}"), &costs, target, count);
        }
        drop(theirs);
        bare.stop();
    }
    drop(ours);
    server.stop();
}
