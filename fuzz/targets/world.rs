//! The real turn over streams in memory, in the manner of its own tests (src/net/turn/tests): no socket, no clock, no disk.
//! There is always a bystander, who is logged in and must notice nothing.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chatd::hub::change::Snapshot;
use chatd::hub::credentials::Credential;
use chatd::hub::effect::Outbox;
use chatd::hub::id::{ConnectionId, Endpoint};
use chatd::hub::input::Input;
use chatd::hub::message::{HistoryPage, HistoryQuery};
use chatd::hub::name::UserName;
use chatd::hub::scram::{ChannelBinding, ClientExchange, Secret};
use chatd::hub::time::{Instant, Now, WallTime};
use chatd::hub::{Config, Hub};
use chatd::net::connection::{Door, Stream};
use chatd::net::room::Room;
use chatd::net::scope::Scope;
use chatd::net::tls::identity::{Origin, load};
use chatd::net::turn::{Admission, Environment, PACE, Turn};
use chatd::net::worker::{Done, Job};
use chatd::store::{Batch, Completion, Submitted, Ticket};
use rustls::ServerConfig;
use serde::Deserialize;

/// From where everything is allowed but by plain text from elsewhere.
pub const HERE: [u8; 4] = [127, 0, 0, 1];
pub const ELSEWHERE: [u8; 4] = [203, 0, 113, 7];
/// The peer's buffers take as much as they are given.
pub const PLENTY: usize = usize::MAX;
/// Longer than anybody may be silent.
const SILENCE: Duration = Duration::from_secs(700);
/// The bystander gives a sign of life this often.
const STEP: Duration = Duration::from_secs(20);

/// One end of a stream: what the peer has said, and what it was told.
#[derive(Default)]
pub struct Wire {
    pub said: VecDeque<u8>,
    pub told: Vec<u8>,
    /// How many bytes the peer's buffers still take.
    pub room: usize,
    pub peer_closed: bool,
    pub our_closed: bool,
    pub reset: bool,
}

pub struct Pipe(Rc<RefCell<Wire>>);

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        if wire.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if wire.said.is_empty() && !wire.peer_closed {
            return Err(ErrorKind::WouldBlock.into());
        }
        wire.said.read(buffer)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        assert!(!wire.our_closed, "nothing is written after the end");
        if wire.reset {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let taken = bytes.len().min(wire.room);
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        if wire.room != PLENTY {
            wire.room -= taken;
        }
        wire.told.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let whole: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        self.write(&whole)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Pipe {
    fn close_our_side(&mut self) -> io::Result<()> {
        self.0.borrow_mut().our_closed = true;
        Ok(())
    }

    fn is_connected(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    fn unacknowledged(&self) -> io::Result<usize> {
        Ok(0)
    }

    fn reset_on_close(&self) -> io::Result<()> {
        Ok(())
    }

    fn write_at_once(&self) -> io::Result<()> {
        Ok(())
    }

    fn give_up_after(&self, _: Duration) -> io::Result<()> {
        Ok(())
    }
}

/// A store that answers when it is told to, and a worker that is never busy.
#[derive(Default)]
pub struct Outside {
    /// Batches wait for `World::persist`, or to be lost.
    keeps_later: bool,
    waiting: Vec<Batch>,
    completions: Vec<Completion>,
    done: VecDeque<Done>,
    /// Who is watched, and whether for room to write as well.
    watched: BTreeMap<ConnectionId, bool>,
}

impl Environment for Outside {
    type Stream = Pipe;

    /// Nobody listens in this world.
    fn dial(&mut self, _: SocketAddr) -> io::Result<Pipe> {
        Err(ErrorKind::ConnectionRefused.into())
    }

    fn register(&mut self, _: &mut Pipe, id: ConnectionId, writable: bool) -> io::Result<()> {
        self.watched.insert(id, writable);
        Ok(())
    }

    fn reregister(&mut self, _: &mut Pipe, id: ConnectionId, writable: bool) -> io::Result<()> {
        self.watched.insert(id, writable);
        Ok(())
    }

    fn deregister(&mut self, _: &mut Pipe) -> io::Result<()> {
        Ok(())
    }

    /// No datagrams come in this world.
    fn receive(&mut self, _: u16, _: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn send(&mut self, _: Endpoint, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn sends_from(&self, to: Endpoint) -> SocketAddr {
        to.address
    }

    fn watch_datagrams(&mut self, _: u16, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn submit(&mut self, batch: Batch) -> Submitted {
        if !self.keeps_later && self.waiting.is_empty() {
            return Submitted::Persisted;
        }
        self.waiting.push(batch);
        Submitted::Pending
    }

    fn completions(&mut self) -> Vec<Completion> {
        std::mem::take(&mut self.completions)
    }

    fn resume(&mut self) {}

    fn query(&mut self, ticket: Ticket, _: HistoryQuery) {
        let page = Some(HistoryPage { messages: vec![], more: false });
        self.completions.push(Completion::Page { ticket, page });
    }

    fn work(&mut self, job: Job) {
        self.done.push_back(match job {
            Job::Derive(ticket, derivations) => {
                Done::Derived(ticket, derivations.iter().map(|derivation| derivation.run()).collect())
            }
            Job::Reload(reload) => Done::Reloaded((reload.0)()),
        });
    }

    fn done(&mut self) -> Option<Done> {
        self.done.pop_front()
    }

    fn descriptors(&self) -> Option<usize> {
        None
    }
}

/// Somebody at the other end.
pub struct Client {
    pub id: ConnectionId,
    pub wire: Rc<RefCell<Wire>>,
}

impl Client {
    /// What the client was told since it was last looked at.
    pub fn told(&self) -> Vec<u8> {
        std::mem::take(&mut self.wire.borrow_mut().told)
    }
}

/// A turn, the time, and the bystander.
pub struct World {
    turn: Turn<Outside>,
    now: Now,
    bystander: Client,
    asked: u64,
}

/// The certificate is made once: that is slow.
fn tls() -> Arc<ServerConfig> {
    static TLS: OnceLock<Arc<ServerConfig>> = OnceLock::new();
    Arc::clone(TLS.get_or_init(|| load(&Origin::Passing).expect("a certificate").config))
}

impl World {
    pub fn new() -> World {
        let now =
            Now { instant: Instant::from_micros(1), wall: WallTime::from_millis(1_700_000_000_000), ..Now::default() };
        let mut outbox = Outbox::new();
        let config = Config { scram_iterations: 1, queue_expiry: Duration::from_secs(120), ..Config::default() };
        let hub = Hub::new(config, [7; 32], Snapshot::default(), now, &mut outbox);
        let plaintext = Scope::Loopback;
        let room = Room { sessions: 64, strangers: 3, parting: 3, calls: 3, posts: 3 };
        let admission = Admission {
            plaintext,
            guests: Scope::Off,
            registration: Scope::Any,
            tls: Some(tls()),
            room,
            ports: Vec::new(),
            datagrams: Vec::new(),
            session_port: None,
            pace: PACE,
            seed: [1; 32],
        };
        let mut turn = Turn::new(Outside::default(), hub, outbox, admission, usize::MAX / 2);
        let names = ["alice", "bob", "carol", "dave"];
        let credential = |user| Credential::new(UserName::parse(user).expect("a name"), "password");
        turn.tell(now, Input::Accounts { credentials: names.map(credential).to_vec(), public: false });
        settle(&mut turn, now);
        let bystander = connect(&mut turn, now, HERE);
        let mut world = World { turn, now, bystander, asked: 2 };
        let wire = Rc::clone(&world.bystander.wire);
        let id = world.bystander.id;
        let mut heard = Vec::new();
        world.log_in(&Client { id, wire }, "alice", 1, &mut heard);
        assert!(find(&heard, "\"logged-in\""), "the bystander is not let in");
        world.ask_bystander();
        world
    }

    pub fn settle(&mut self) {
        settle(&mut self.turn, self.now);
    }

    pub fn connect(&mut self, address: [u8; 4]) -> Client {
        connect(&mut self.turn, self.now, address)
    }

    /// Somebody says something, as soon as the world settles.
    pub fn say(&mut self, client: &Client, bytes: &[u8]) {
        client.wire.borrow_mut().said.extend(bytes);
        self.turn.note_readable(client.id, false);
    }

    /// The peer has closed its side.
    pub fn close(&mut self, client: &Client) {
        client.wire.borrow_mut().peer_closed = true;
        self.turn.note_readable(client.id, true);
    }

    pub fn reset(&mut self, client: &Client) {
        client.wire.borrow_mut().reset = true;
        self.turn.note_readable(client.id, true);
    }

    /// The peer's buffers take so many bytes from now on.
    pub fn give_room(&mut self, client: &Client, bytes: usize) {
        client.wire.borrow_mut().room = bytes;
        if bytes > 0 && self.turn.environment.watched.get(&client.id) == Some(&true) {
            self.turn.note_writable(client.id);
        }
    }

    /// Time passes, while the bystander shows that it is there.
    pub fn pass(&mut self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(STEP);
            left -= step;
            self.now.instant = self.now.instant + step;
            self.now.wall = self.now.wall + step;
            self.turn_bystander(b"{\"request\":\"alive\"}\n");
            self.settle();
        }
        self.bystander.told();
    }

    /// The wall clock is set, and nothing else.
    pub fn set_wall(&mut self, millis: u64) {
        self.now.wall = WallTime::from_millis(millis);
    }

    pub fn keep_later(&mut self) {
        self.turn.environment.keeps_later = true;
    }

    /// The store has kept everything so far, and keeps at once from now on.
    pub fn persist(&mut self) {
        let outside = &mut self.turn.environment;
        outside.keeps_later = false;
        if let Some(last) = outside.waiting.drain(..).next_back() {
            outside.completions.push(Completion::Persisted { through: last.number });
        }
        self.settle();
    }

    /// Nothing that waits for the store will ever be kept.
    pub fn lose(&mut self) {
        let outside = &mut self.turn.environment;
        if let Some(first) = outside.waiting.drain(..).next() {
            outside.completions.push(Completion::Failed { first: first.number, error: "full".to_owned() });
        }
        self.settle();
    }

    /// Logs in as it should be done, with a device if that is not zero, as far as that goes. What is told meanwhile is added
    /// to `heard`.
    pub fn log_in(&mut self, client: &Client, user: &str, device: u8, heard: &mut Vec<u8>) {
        let exchange = LogIn::new(user, None);
        heard.extend(client.told());
        self.say(client, exchange.first(device).as_bytes());
        self.settle();
        let told = client.told();
        heard.extend(&told);
        let Some(last) = exchange.last(&told) else { return };
        self.say(client, last.as_bytes());
        self.settle();
        heard.extend(client.told());
    }

    pub fn connections(&self) -> usize {
        self.turn.connections()
    }

    /// Whatever has happened: the bystander is answered, unless something that was to be told before waits for the store.
    pub fn ask_bystander(&mut self) {
        if !self.turn.environment.waiting.is_empty() {
            return;
        }
        self.asked += 1;
        self.bystander.told();
        let ask = format!("{{\"id\":{},\"request\":\"alive\"}}\n", self.asked);
        self.turn_bystander(ask.as_bytes());
        self.settle();
        let told = self.bystander.told();
        let answer = format!("{{\"id\":{},\"reply\":\"alive\"}}\n", self.asked);
        assert!(find(&told, &answer), "the bystander hears {:?}", String::from_utf8_lossy(&told));
    }

    /// The store is well again; who says nothing any more goes; the bystander is answered; and when that goes too, nothing
    /// is left.
    pub fn end(mut self, clients: &[&Client]) {
        self.persist();
        self.ask_bystander();
        // Half of them never read again.
        for client in clients.iter().step_by(2) {
            self.give_room(client, PLENTY);
        }
        self.pass(SILENCE);
        assert_eq!(self.connections(), 1, "somebody who says nothing is kept");
        self.ask_bystander();
        self.bystander.wire.borrow_mut().peer_closed = true;
        self.turn.note_readable(self.bystander.id, true);
        self.settle();
        self.now.instant = self.now.instant + STEP;
        self.settle();
        for (what, count) in self.turn.left() {
            assert_eq!(count, 0, "without connections there are {what}");
        }
    }

    fn turn_bystander(&mut self, bytes: &[u8]) {
        self.bystander.wire.borrow_mut().said.extend(bytes);
        self.turn.note_readable(self.bystander.id, false);
    }
}

/// Turns until nothing is left to be done without something from outside.
fn settle(turn: &mut Turn<Outside>, now: Now) {
    for _ in 0..10_000 {
        turn.hear_back(now);
        turn.go_round(now, Some(now.instant));
        turn.check_invariants();
        let busy = turn.timeout(now.instant) == Some(Duration::ZERO);
        let outside = &turn.environment;
        if !busy && outside.done.is_empty() && outside.completions.is_empty() {
            return;
        }
    }
    panic!("it does not come to rest");
}

fn connect(turn: &mut Turn<Outside>, now: Now, address: [u8; 4]) -> Client {
    let wire = Rc::new(RefCell::new(Wire { room: PLENTY, ..Wire::default() }));
    let door = Door::main(IpAddr::from(address));
    let id = turn.add(now, Pipe(Rc::clone(&wire)), door).expect("nothing refuses it");
    settle(turn, now);
    Client { id, wire }
}

/// The client's half of a log-in, in lines.
pub struct LogIn {
    exchange: ClientExchange,
    is_bound: bool,
}

#[derive(Deserialize)]
struct Challenge {
    message: String,
}

impl LogIn {
    pub fn new(user: &str, binding: Option<ChannelBinding>) -> LogIn {
        let is_bound = binding.is_some();
        LogIn { exchange: ClientExchange::new(&UserName::parse(user).expect("a name"), b"nonce", binding), is_bound }
    }

    pub fn first(&self, device: u8) -> String {
        let (message, plus) = (self.exchange.message(), if self.is_bound { "-PLUS" } else { "" });
        let device = match device {
            0 => String::new(),
            _ => format!(",\"device\":\"{}\"", format!("{device:02x}").repeat(16)),
        };
        format!(
            "{{\"id\":1,\"request\":\"log-in\",\"mechanism\":\"SCRAM-SHA-256{plus}\",\"message\":\"{message}\"{device}}}\n"
        )
    }

    /// `None`: that was no challenge.
    pub fn last(&self, told: &[u8]) -> Option<String> {
        let challenge: Challenge = serde_json::from_slice(told).ok()?;
        let challenge = self.exchange.challenge(&challenge.message).ok()?;
        let secret = Secret::salted("password", &challenge.salt, challenge.iterations);
        let proof = self.exchange.prove(&challenge, &secret).0;
        Some(format!("{{\"id\":2,\"request\":\"authenticate\",\"message\":\"{proof}\"}}\n"))
    }
}

pub fn find(told: &[u8], text: &str) -> bool {
    told.windows(text.len()).any(|window| window == text.as_bytes())
}
