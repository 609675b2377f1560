//! What encryption costs: a log-in beside a bare rustls server, messages over TLS beside the same over plain, and the memory
//! of an idle connection.
//!
//! `cargo bench --bench tls`. All servers run in this process, each on a thread of its own; one other thread plays the
//! clients; what is compared is measured in turns. The clients derive their keys themselves, with one iteration: what a
//! password costs is not the question.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, HandshakeKind};

use chatd::hub::change::Snapshot;
use chatd::hub::devices::FLUSH_AFTER;
use chatd::store::Store;
use chatd::wire::native::client::{Ask, FromServer, Hear, Told, decode, encode};
use chatd::wire::scram::{ClientExchange, Secret};
use chatd::wire::{RequestId, UserName};
use support::bare_tls::{self, Script};
use support::counting::{Counting, Heap, heap};
use support::crowd::{ACKNOWLEDGE_EVERY, Crowd, PASSWORD, name};
use support::{Effort, LIMIT, Running, effort, in_turns, middle, part, tls_client, verdict};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Processor time of a log-in, in those of the bare server.
const TARGET_RATIO: f64 = 1.3;
/// Processor time of a 64-byte message over TLS above that of one over plain, in µs.
const TARGET_MICROS: f64 = 2.0;
/// Bytes of the server's own memory that an idle logged-in connection over TLS may cost.
const TARGET_BYTES: f64 = 20.0 * 1024.0;
/// What aws-lc takes from C's malloc for a connection, past the allocator that counts: two EVP_AEAD_CTX, one a direction. Found
/// once by putting a counting malloc under the bench.
const LIBRARY_BYTES: f64 = 2.0 * 624.0;

/// Log-ins under way at once.
const LOG_INS_AT_ONCE: [usize; 2] = [1, 32];
const MESSAGE_BYTES: usize = 64;
/// A round of broadcasts: each client acknowledges once in it.
const BROADCASTS_A_ROUND: u64 = ACKNOWLEDGE_EVERY;
/// A round of private messages. Short rounds, and many: where the scheduler puts a thread changes what one costs by more than
/// the encryption does.
const MESSAGES_A_ROUND: u64 = 8 * ACKNOWLEDGE_EVERY;

fn main() {
    if part("log-in") {
        log_in();
    }
    if part("broadcast") {
        message(To::Everybody);
    }
    if part("private") {
        message(To::One);
    }
    if part("idle") {
        idle();
    }
}

fn start(accounts: usize) -> Running {
    Running::start(accounts, || (Store::memory(), Snapshot::default()))
}

/// Full handshakes, each with a SCRAM-SHA-256-PLUS log-in and an orderly end.
fn log_in() {
    let (count, rounds) = match effort() {
        Effort::Quick => (32, 3),
        Effort::Usual => (256, 25),
        Effort::Full => (256, 51),
    };
    println!(
        "tls, log-in: handshake and SCRAM-SHA-256-PLUS without a device, beside a bare mio + rustls server with the same \
         ServerConfig, system calls and lines, and SCRAM's three HMACs and one SHA-256; --memory"
    );
    let server = start(LOG_INS_AT_ONCE[1]);
    for resumes in [false, true] {
        let kind = if resumes { HandshakeKind::Resumed } else { HandshakeKind::Full };
        let script = log_ins(server.address, &tls_client::config(false), 1, 1, None, None);
        let bare = bare_tls::start(Arc::clone(&server.tls), script.clone());
        for at_once in LOG_INS_AT_ONCE {
            let client = tls_client::config(resumes);
            let round = |address, kind, script| drop(log_ins(address, &client, count, at_once, kind, script));
            let mine = || round(server.address, Some(kind), None);
            let other = || round(bare.address, Some(kind), Some(&script));
            // The first have no session to resume. Both servers are one to the clients: their tickets have the same key.
            round(server.address, None, None);
            mine();
            other();
            let costs = in_turns(rounds, || server.task.cost(mine), || bare.task.cost(other));
            let ratio = middle(&costs, |[mine, other]| mine / other);
            let each = |micros: f64| micros / count as f64;
            let verdict = if resumes { "(for information)" } else { verdict(ratio <= TARGET_RATIO) };
            println!(
                "  {verdict} {kind:?} handshakes, {at_once} at once: {ratio:.2} times the processor time (of at most \
                 {TARGET_RATIO}; {rounds} rounds of {count}; {:.0} and {:.0} µs a log-in)",
                each(middle(&costs, |costs| costs[0])),
                each(middle(&costs, |costs| costs[1])),
            );
        }
        bare.stop();
    }
    server.stop();
}

/// A client in the middle of a log-in, over a socket that blocks.
struct Client {
    stream: TcpStream,
    session: ClientConnection,
    exchange: Option<ClientExchange>,
    plain: Vec<u8>,
}

/// `count` log-ins, so many at once, each step of them one after the other. What is said to a server that answers by a
/// script is in the script. Comes back: how the last one went.
fn log_ins(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    count: usize,
    at_once: usize,
    kind: Option<HandshakeKind>,
    known: Option<&Script>,
) -> Script {
    let mut script = Script::default();
    for _ in 0..count / at_once {
        let mut clients: Vec<Client> = (0..at_once).map(|n| Client::hello(address, config, n)).collect();
        for (n, client) in clients.iter_mut().enumerate() {
            script.asks[0] = client.first(n, known);
        }
        for client in &mut clients {
            script.answers[0] = client.line();
            (script.asks[1], script.transcript) = client.second(&script, known);
        }
        for client in &mut clients {
            script.answers[1] = client.line();
            assert!(kind.is_none() || client.session.handshake_kind() == kind, "the handshake that is measured");
            client.session.send_close_notify();
            client.say(b"");
        }
        for client in &mut clients {
            client.see_end();
        }
    }
    script
}

impl Client {
    fn hello(address: SocketAddr, config: &Arc<ClientConfig>, n: usize) -> Client {
        let stream = TcpStream::connect(address).expect("a server that listens");
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        let session = tls_client::connection(config, n);
        let mut client = Client { stream, session, exchange: None, plain: Vec::new() };
        client.say(b"");
        client
    }

    /// The end of the handshake and the first message of the log-in, in one write.
    fn first(&mut self, n: usize, known: Option<&Script>) -> Vec<u8> {
        while self.session.is_handshaking() {
            self.read();
        }
        let ask = match known {
            Some(script) => script.asks[0].clone(),
            None => {
                let user = UserName::parse(&name(n)).expect("a name");
                let exchange = ClientExchange::new(&user, &[n as u8; 8], tls_client::binding(&self.session));
                let ask = Ask::LogIn { resume: false, bound: true, message: exchange.message(), device: None };
                self.exchange = Some(exchange);
                line_of(1, &ask)
            }
        };
        self.say(&ask);
        ask
    }

    fn second(&mut self, script: &Script, known: Option<&Script>) -> (Vec<u8>, usize) {
        let (ask, transcript) = match (known, &self.exchange) {
            (None, Some(exchange)) => {
                let Hear::Line { line: FromServer::Answer { answer: Ok(Told::Challenge { message, .. }), .. }, .. } =
                    decode(&script.answers[0])
                else {
                    panic!("no challenge: {}", String::from_utf8_lossy(&script.answers[0]));
                };
                let challenge = exchange.challenge(&message).expect("a challenge");
                let secret = Secret::salted(PASSWORD, &challenge.salt, challenge.iterations);
                let (proof, ..) = exchange.prove(&challenge, &secret);
                let without_header = exchange.message().len() - "p=tls-exporter,,".len();
                let without_proof = proof.rfind(",p=").expect("a proof");
                let transcript = without_header + message.len() + without_proof + 2;
                (line_of(2, &Ask::Authenticate { message: proof }), transcript)
            }
            (known, _) => {
                let known = known.expect("who has no exchange has a script");
                (known.asks[1].clone(), known.transcript)
            }
        };
        self.say(&ask);
        (ask, transcript)
    }

    fn see_end(&mut self) {
        while self.read() {}
        assert!(self.plain.is_empty(), "nothing comes after the log-in");
    }

    fn say(&mut self, bytes: &[u8]) {
        self.session.writer().write_all(bytes).expect("room");
        while self.session.wants_write() {
            self.session.write_tls(&mut self.stream).expect("a server that reads");
        }
    }

    fn line(&mut self) -> Vec<u8> {
        while !self.plain.ends_with(b"\n") {
            assert!(self.read(), "the server has closed");
        }
        assert!(self.plain.starts_with(b"{\"id\":"), "{}", String::from_utf8_lossy(&self.plain));
        assert!(!self.plain.windows(8).any(|part| part == b"\"error\":"), "{}", String::from_utf8_lossy(&self.plain));
        std::mem::take(&mut self.plain)
    }

    /// False: the end.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        let bytes = self.stream.read(&mut buffer).expect("a server that answers");
        tls_client::decrypt(&mut self.session, &buffer[..bytes], &mut self.plain);
        bytes > 0
    }
}

fn line_of(id: u64, ask: &Ask) -> Vec<u8> {
    let mut line = Vec::new();
    encode(Some(RequestId(id)), ask, &mut line);
    line
}

/// Messages over TLS, beside the same over plain. What the server spends on one: on the request, the ✓, the delivery, and
/// its part of the acknowledgement; of a broadcast, divided by the recipients.
fn message(to: To) {
    let (rounds, recipients, a_round) = match (effort(), to) {
        (Effort::Quick, To::Everybody) => (3, 50, BROADCASTS_A_ROUND),
        (Effort::Quick, To::One) => (3, 1, BROADCASTS_A_ROUND),
        (Effort::Usual, To::Everybody) => (25, 1000, BROADCASTS_A_ROUND),
        (Effort::Usual, To::One) => (151, 1, MESSAGES_A_ROUND),
        (Effort::Full, To::Everybody) => (51, 1000, BROADCASTS_A_ROUND),
        (Effort::Full, To::One) => (501, 1, MESSAGES_A_ROUND),
    };
    let what = match to {
        To::Everybody => format!("broadcasts to {recipients}, by recipient"),
        To::One => "private messages, each with its ✓ and its delivery".to_owned(),
    };
    println!("tls, {what}: {MESSAGE_BYTES} bytes over TLS beside the same over plain; --memory");
    let plain = start(2 * (recipients + 1));
    // Broadcasts go to all, so they need a server of each kind. Private messages don't, and two threads are not equally lucky.
    let second = matches!(to, To::Everybody).then(|| start(2 * (recipients + 1)));
    let secret = second.as_ref().unwrap_or(&plain);
    let mut over_plain = Side { crowd: Crowd::new(plain.address), counter: 0 };
    let mut over_tls = Side { crowd: Crowd::over_tls(secret.address), counter: 0 };
    over_tls.crowd.first = recipients + 1;
    over_plain.crowd.log_in(recipients + 1);
    over_tls.crowd.log_in(recipients + 1);
    for in_flight in [1, ACKNOWLEDGE_EVERY] {
        let mine = |side: &mut Side| secret.task.cost(|| side.round(to, a_round, in_flight));
        let other = |side: &mut Side| plain.task.cost(|| side.round(to, a_round, in_flight));
        mine(&mut over_tls);
        other(&mut over_plain);
        let costs = in_turns(rounds, || mine(&mut over_tls), || other(&mut over_plain));
        let each = |micros: f64| micros / (a_round * recipients as u64) as f64;
        let above = each(middle(&costs, |[mine, other]| mine - other));
        println!(
            "  {} {in_flight} in flight: {above:.2} µs above plain (of at most {TARGET_MICROS}; {rounds} rounds; {:.2} and \
             {:.2} µs; {:.2} times)",
            verdict(above <= TARGET_MICROS),
            each(middle(&costs, |costs| costs[0])),
            each(middle(&costs, |costs| costs[1])),
            middle(&costs, |[mine, other]| mine / other),
        );
    }
    drop((over_plain, over_tls));
    second.into_iter().chain([plain]).for_each(Running::stop);
}

#[derive(Clone, Copy)]
enum To {
    Everybody,
    One,
}

/// One of the servers, as its clients see it.
struct Side {
    crowd: Crowd,
    counter: u64,
}

impl Side {
    /// So many messages, received by everybody concerned, and acknowledged.
    fn round(&mut self, to: To, count: u64, in_flight: u64) {
        for _ in 0..count / in_flight {
            self.send(to, in_flight);
        }
    }

    /// So many messages in one write.
    fn send(&mut self, to: To, count: u64) {
        let text = "x".repeat(MESSAGE_BYTES);
        let (request, recipients) = match to {
            To::Everybody => ("\"broadcast\"".to_owned(), self.crowd.len() as u64 - 1),
            To::One => (format!("\"message\",\"to\":\"{}\"", name(self.crowd.first + 1)), 1),
        };
        let mut requests = String::new();
        for _ in 0..count {
            self.counter += 1;
            let id = self.counter;
            requests += &format!("{{\"id\":{id},\"request\":{request},\"text\":\"{text}\",\"counter\":{id}}}\n");
        }
        let (received, answers) = (self.crowd.received + count * recipients, self.crowd.answers + count);
        self.crowd.send(0, requests.as_bytes());
        self.crowd.until(received, answers);
        assert_eq!(self.crowd.refused, 0, "every message is accepted");
    }
}

/// Idle connections over TLS.
fn idle() {
    let count = if effort() == Effort::Quick { 50 } else { 1000 };
    println!("tls, idle: bytes of the server's heap for each idle, logged-in TLS connection with a device; --memory");
    let server = start(count + 1);
    let mut crowd = Crowd::over_tls(server.address);
    // Whatever the first one makes the server set up is not what one more costs.
    crowd.log_in(1);
    server.task.settled_cpu();
    let none = heap();
    crowd.log_in(count + 1);
    server.task.settled_cpu();
    tell("after the log-in", count, none, heap());
    crowd.send(0, b"{\"id\":3,\"request\":\"broadcast\",\"text\":\"to all\",\"counter\":1}\n");
    crowd.until(count as u64, 1);
    crowd.acknowledge();
    // The hub writes cursors that have moved within five seconds.
    thread::sleep(FLUSH_AFTER + Duration::from_secs(1));
    server.task.settled_cpu();
    tell("after a broadcast, acknowledged", count, none, heap());
    drop(crowd);
    server.stop();
}

fn tell(when: &str, count: usize, none: Heap, now: Heap) {
    let each = |now: i64, none: i64| (now - none) as f64 / count as f64;
    let (asked, held) = (each(now.asked, none.asked), each(now.held, none.held));
    let all = held + LIBRARY_BYTES;
    println!(
        "  {} {count} connections, {when}: {:.2} of {TARGET_BYTES} bytes ({all:.0}: {asked:.0} asked for, {held:.0} with \
         malloc's own, and {LIBRARY_BYTES} of aws-lc's)",
        verdict(all <= TARGET_BYTES),
        all / TARGET_BYTES,
    );
}
