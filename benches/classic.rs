//! What the classic protocols cost: a short request, a delivery by dialling, and a shared room of a thousand, each in the
//! processor time of a bare mio loop that makes the same system calls.
//!
//! `cargo bench --bench classic`; `-- request`, `-- delivery` or `-- nick` for one. All servers run in this process, each on
//! a thread of its own; one other thread plays the clients; all share one processor; what is compared is measured in turns.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use chatd::hub::change::Snapshot;
use chatd::net::server::PACE;
use chatd::store::Store;
use chatd::wire::nick;
use support::bare::Texts;
use support::bare_room::BareRoom;
use support::counting::Counting;
use support::crowd::{Crowd, name};
use support::guests::{self, Guests};
use support::receivers::Receivers;
use support::{Effort, LIMIT, Running, bare_calls, bare_posts, effort, in_turns, part, share_one_processor, tell};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Processor time in that of the bare loop: of a short request,
const REQUEST_TARGET: f64 = 1.2;
/// of a delivery by dialling,
const DELIVERY_TARGET: f64 = 1.3;
/// of a line to a room with one in flight, and with several.
const LINE_TARGETS: [f64; 2] = [1.15, 1.3];

/// Requests that come at once.
const REQUESTS_AT_ONCE: [usize; 2] = [1, 32];
/// Users who are called, and messages under way at once: never two to the same, which might share a call.
const RECEIVERS: usize = 32;
const MESSAGES_IN_FLIGHT: [usize; 2] = [1, RECEIVERS];
const TEXT_BYTES: usize = 64;
/// Lines under way at once.
const LINES_IN_FLIGHT: [usize; 2] = [1, 32];
/// Of a line, with its prefix and without a newline.
const LINE_BYTES: usize = 64;

fn main() {
    share_one_processor();
    if part("request") {
        short_requests();
    }
    if part("delivery") {
        deliveries();
    }
    if part("nick") {
        lines();
    }
}

fn start(accounts: usize) -> Running {
    Running::start(accounts, || (Store::memory(), Snapshot::default()))
}

/// Connections that say `alive` and close.
fn short_requests() {
    let (count, rounds) = match effort() {
        Effort::Quick => (32, 3),
        Effort::Usual => (256, 25),
        Effort::Full => (256, 51),
    };
    println!("classic, request: connect, 'alive', close, beside a bare mio accept-read-close loop; --memory");
    let server = start(1);
    let bare = bare_posts::start();
    let mut user = Receivers::new(1);
    user.log_in(server.address);
    for at_once in REQUESTS_AT_ONCE {
        let mine = || say_alive(server.address, count, at_once);
        let other = || say_alive(bare.address, count, at_once);
        mine();
        other();
        let costs = in_turns(rounds, || server.task.cost(mine), || bare.task.cost(other));
        tell(&format!("{at_once} at once"), &costs, Some(REQUEST_TARGET), count);
    }
    // What was measured was done for somebody who is online.
    user.expected = b"online".to_vec();
    post(server.address, format!("online,{}", name(0)).as_bytes());
    user.until(1);
    server.stop();
    bare.stop();
}

/// `count` short requests, so many at once; each is over when the server has closed in order.
fn say_alive(address: SocketAddr, count: usize, at_once: usize) {
    let alive = format!("alive,{}", name(0));
    for _ in 0..count / at_once {
        let posted: Vec<TcpStream> = (0..at_once).map(|_| post(address, alive.as_bytes())).collect();
        for mut stream in posted {
            assert_eq!(stream.read(&mut [0; 16]).expect("an orderly end"), 0, "a request is not answered");
        }
    }
}

fn post(address: SocketAddr, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a server that listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
    stream.write_all(request).expect("a server that reads");
    stream.shutdown(Shutdown::Write).expect("a socket");
    stream
}

/// Messages of a native client to users who are called.
fn deliveries() {
    let (count, rounds) = match effort() {
        Effort::Quick => (RECEIVERS, 3),
        Effort::Usual => (8 * RECEIVERS, 25),
        Effort::Full => (8 * RECEIVERS, 51),
    };
    println!(
        "classic, delivery: a {TEXT_BYTES}-byte message of a native client to one of {RECEIVERS} users, each in a call of \
         its own, beside a bare mio dial-write-close loop; --memory"
    );
    let server = start(RECEIVERS + 1);
    let mut ours = Caller::new(server.address);
    ours.sender.log_in(1);
    ours.receivers.log_in(server.address);
    ours.send(RECEIVERS, RECEIVERS);
    let receivers = Receivers::new(RECEIVERS);
    let texts = Texts { event: delivered().into_bytes(), answer: ours.sender.last_answer.clone() };
    let bare = bare_calls::start(receivers.addresses(), texts);
    let mut theirs = Caller { receivers, ..Caller::new(bare.address) };
    theirs.sender.connect(1);
    for in_flight in MESSAGES_IN_FLIGHT {
        let mut mine = || ours.send(count, in_flight);
        let mut other = || theirs.send(count, in_flight);
        mine();
        other();
        let costs = in_turns(rounds, || server.task.cost(&mut mine), || bare.task.cost(&mut other));
        tell(&format!("{in_flight} in flight"), &costs, Some(DELIVERY_TARGET), count);
    }
    drop((ours, theirs));
    server.stop();
    bare.stop();
}

/// What a call brings.
fn delivered() -> String {
    format!("{}:{}\n", name(RECEIVERS), text())
}

fn text() -> String {
    "x".repeat(TEXT_BYTES)
}

/// One of the servers that call, as its clients see it.
struct Caller {
    sender: Crowd,
    receivers: Receivers,
    counter: u64,
}

impl Caller {
    fn new(address: SocketAddr) -> Caller {
        let mut sender = Crowd::new(address);
        sender.first = RECEIVERS;
        Caller { sender, receivers: Receivers::new(RECEIVERS), counter: 0 }
    }

    /// So many messages, each received by a call; as many at once are in one write.
    fn send(&mut self, count: usize, in_flight: usize) {
        self.receivers.expected = delivered().into_bytes();
        for _ in 0..count / in_flight {
            let mut requests = String::new();
            for _ in 0..in_flight {
                let to = name(self.counter as usize % RECEIVERS);
                self.counter += 1;
                let (id, text) = (self.counter, text());
                requests += &format!(
                    "{{\"id\":{id},\"request\":\"message\",\"to\":\"{to}\",\"text\":\"{text}\",\"counter\":{id}}}\n"
                );
            }
            self.sender.send(0, requests.as_bytes());
            self.receivers.until(self.counter);
            self.sender.until(0, self.counter);
            assert_eq!(self.sender.refused, 0, "every message is accepted");
        }
    }
}

/// Lines of a guest to a room.
fn lines() {
    let (guests, [one, several], rounds) = match effort() {
        Effort::Quick => (50, [4, 32], 3),
        Effort::Usual => (1000, [8, 32], 25),
        Effort::Full => (1000, [32, 32], 51),
    };
    println!(
        "classic, nick: {LINE_BYTES}-byte lines to a room of {guests}, the sender included, by recipient, beside a bare mio \
         fan-out with the same pace of {} ms; --memory",
        PACE.as_millis()
    );
    let server = start(0);
    let bare = BareRoom::start(PACE);
    let mut ours = Guests::new(server.address);
    let mut theirs = Guests::new(bare.address());
    ours.enter(guests);
    theirs.connect(guests);
    let mut measure = |what: &str, count: usize, in_flight: usize, target: Option<f64>| {
        let mut mine = || say_lines(&mut ours, count, in_flight);
        let mut other = || say_lines(&mut theirs, count, in_flight);
        mine();
        other();
        // What has been written is looked after by timers.
        let rest = 3 * PACE;
        let mine = || server.task.cost_with_rest(rest, &mut mine);
        let other = || bare.task().cost_with_rest(rest, &mut other);
        let costs = in_turns(rounds, mine, other);
        tell(&format!("{in_flight} in flight, {what}"), &costs, target, count * guests);
    };
    let [alone, together] = LINES_IN_FLIGHT;
    bare.set_chunk_bytes_max(nick::READ_BYTES_MAX);
    measure("a write each", one, alone, Some(LINE_TARGETS[0]));
    measure("as many in a write as a client reads", several, together, Some(LINE_TARGETS[1]));
    bare.set_chunk_bytes_max(usize::MAX);
    measure("all in one write of the bare loop", several, together, None);
    drop((ours, theirs));
    server.stop();
    bare.stop();
}

/// `count` lines, so many in one write, each heard by everybody.
fn say_lines(guests: &mut Guests, count: usize, in_flight: usize) {
    let prefix = format!("{}: ", guests::name(0));
    let line = prefix.clone() + &"x".repeat(LINE_BYTES - prefix.len()) + "\n";
    for _ in 0..count / in_flight {
        guests.say(line.repeat(in_flight).as_bytes(), in_flight * LINE_BYTES);
    }
}
