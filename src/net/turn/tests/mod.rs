//! The turn over streams in memory: no socket, no clock, no disk. What is asserted is exact.

mod calls;
mod datagrams;
mod encrypted;
mod guests;
mod limits;
mod posts;
mod sessions;
mod store;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::hub::Config;
use crate::hub::change::Snapshot;
use crate::hub::credentials::Credential;
use crate::hub::id::Endpoint;
use crate::hub::name::UserName;
use crate::hub::scram::{ChannelBinding, ClientExchange, Secret};
use crate::hub::time::WallTime;
use crate::net::connection::{Door, Serves, Stream};
use crate::net::worker::Job;
use crate::store::{Completion, Submitted};
use crate::wire::Protocol;

/// One end of a stream: what the peer has said, and what it was told.
#[derive(Default)]
struct Wire {
    /// Under which key it is watched.
    key: Option<ConnectionId>,
    said: VecDeque<u8>,
    told: Vec<u8>,
    /// How many bytes the peer's buffers still take.
    room: usize,
    /// The peer has closed its side.
    peer_closed: bool,
    /// We have closed ours.
    our_closed: bool,
    /// The connection was reset by the peer.
    reset: bool,
    writes: usize,
    /// What each write took.
    chunks: Vec<String>,
    /// Whether the peer has answered, of what was dialled.
    answered: Option<bool>,
    /// What the peer's system has not acknowledged.
    unacknowledged: usize,
    /// On which network the peer is.
    zone: u32,
    /// Closed by us, it is reset.
    resets: bool,
    at_once: bool,
    given_up_after: Option<Duration>,
}

#[derive(Clone)]
struct Pipe(Rc<RefCell<Wire>>);

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
        wire.writes += 1;
        assert!(!wire.our_closed, "nothing is written after the end");
        if wire.reset {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let taken = bytes.len().min(wire.room);
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        wire.room -= taken;
        wire.told.extend_from_slice(&bytes[..taken]);
        wire.chunks.push(String::from_utf8_lossy(&bytes[..taken]).into_owned());
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
        let wire = self.0.borrow();
        match wire.answered {
            Some(true) => Ok(true),
            Some(false) => Err(ErrorKind::ConnectionRefused.into()),
            None => Ok(false),
        }
    }

    fn unacknowledged(&self) -> io::Result<usize> {
        Ok(self.0.borrow().unacknowledged)
    }

    fn peer_zone(&self) -> u32 {
        self.0.borrow().zone
    }

    fn reset_on_close(&self) -> io::Result<()> {
        self.0.borrow_mut().resets = true;
        Ok(())
    }

    fn write_at_once(&self) -> io::Result<()> {
        self.0.borrow_mut().at_once = true;
        Ok(())
    }

    fn give_up_after(&self, silence: Duration) -> io::Result<()> {
        self.0.borrow_mut().given_up_after = Some(silence);
        Ok(())
    }
}

/// A store that answers when it is told to, and a worker that is never busy.
#[derive(Default)]
struct Outside {
    /// Batches are kept at once; otherwise they wait for `World::persist`.
    keeps_at_once: bool,
    waiting: Vec<Batch>,
    completions: Vec<Completion>,
    asked: Vec<Ticket>,
    done: VecDeque<Done>,
    /// Who is watched, and whether for room to write as well.
    watched: BTreeMap<ConnectionId, bool>,
    /// The poll refuses.
    cannot_watch: bool,
    /// Where was dialled, and our end, until somebody looks; the newest last.
    dialled: VecDeque<(SocketAddr, Rc<RefCell<Wire>>)>,
    /// Descriptors have run out.
    cannot_dial: bool,
    /// What has come to each socket of datagrams.
    arrived: [VecDeque<(SocketAddr, Vec<u8>)>; SERVES.len()],
    /// What was sent by them, until somebody looks.
    sent: VecDeque<(Endpoint, Vec<u8>)>,
    /// So many more they take; `None`: all.
    takes_datagrams: Option<usize>,
    datagrams_watched: bool,
}

impl Environment for Outside {
    type Stream = Pipe;

    fn dial(&mut self, address: SocketAddr) -> io::Result<Pipe> {
        if self.cannot_dial {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error()));
        }
        let wire = Rc::new(RefCell::new(Wire { room: PLENTY, ..Wire::default() }));
        self.dialled.push_back((address, Rc::clone(&wire)));
        Ok(Pipe(wire))
    }

    fn register(&mut self, pipe: &mut Pipe, id: ConnectionId, writable: bool) -> io::Result<()> {
        if self.cannot_watch {
            return Err(ErrorKind::OutOfMemory.into());
        }
        pipe.0.borrow_mut().key = Some(id);
        self.watched.insert(id, writable);
        Ok(())
    }

    fn reregister(&mut self, _: &mut Pipe, id: ConnectionId, writable: bool) -> io::Result<()> {
        if self.cannot_watch {
            return Err(ErrorKind::OutOfMemory.into());
        }
        self.watched.insert(id, writable);
        Ok(())
    }

    fn deregister(&mut self, _: &mut Pipe) -> io::Result<()> {
        Ok(())
    }

    fn receive(&mut self, socket: u16, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (address, datagram) =
            self.arrived[usize::from(socket)].pop_front().ok_or(io::Error::from(ErrorKind::WouldBlock))?;
        let bytes = datagram.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&datagram[..bytes]);
        Ok((bytes, address))
    }

    fn send(&mut self, to: Endpoint, datagram: &[u8]) -> io::Result<()> {
        if self.takes_datagrams == Some(0) {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.takes_datagrams = self.takes_datagrams.map(|left| left - 1);
        self.sent.push_back((to, datagram.to_vec()));
        Ok(())
    }

    fn sends_from(&self, _: Endpoint) -> SocketAddr {
        ([127, 0, 0, 1], 6001).into()
    }

    fn watch_datagrams(&mut self, _: u16, writable: bool) -> io::Result<()> {
        self.datagrams_watched = writable;
        Ok(())
    }

    fn submit(&mut self, batch: Batch) -> Submitted {
        if self.keeps_at_once {
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
        self.asked.push(ticket);
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
        Some(self.watched.len())
    }
}

/// A turn, and the time.
struct World {
    turn: Turn<Outside>,
    now: Now,
}

/// Somebody at the other end.
struct Client {
    id: ConnectionId,
    wire: Rc<RefCell<Wire>>,
}

const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(86_400);
const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];
const NOT_UNDERSTOOD: &str = "chatd: this is a chat server, and that is no protocol it speaks. Try: chat HOST PORT\n";
/// The peer's buffers take as much as they are given.
const PLENTY: usize = usize::MAX;

/// What the sockets of datagrams serve.
const SERVES: [Serves; 3] = [Serves::Everything, Serves::Only(Protocol::Session), Serves::Only(Protocol::Datagram)];

/// Guests are let in nowhere, and nobody is called at 6001.
fn admission(plaintext: Scope, tls: Option<Arc<ServerConfig>>) -> Admission {
    Admission {
        plaintext,
        guests: Scope::Off,
        registration: Scope::Off,
        tls,
        room: Room { sessions: 1000, strangers: 64, parting: 500, calls: 4, posts: 16 },
        ports: vec![6001],
        datagrams: SERVES.to_vec(),
        session_port: FourDigitPort::new(6001),
        pace: PACE,
        seed: [1; 32],
    }
}

impl World {
    /// With accounts for `NAMES`, whose store keeps everything at once.
    fn new() -> World {
        World::with(admission(Scope::Any, None), usize::MAX / 2)
    }

    fn with(admission: Admission, out_bytes_max: usize) -> World {
        let now =
            Now { instant: Instant::from_micros(1), wall: WallTime::from_millis(1_700_000_000_000), ..Now::default() };
        let mut outbox = Outbox::new();
        let config = Config {
            scram_iterations: 1,
            heartbeat_timeout: HEARTBEAT_TIMEOUT,
            messages_per_second: None,
            ..Config::default()
        };
        let hub = Hub::new(config, [7; 32], Snapshot::default(), now, &mut outbox);
        let outside = Outside { keeps_at_once: true, ..Outside::default() };
        let mut world = World { turn: Turn::new(outside, hub, outbox, admission, out_bytes_max), now };
        let credentials = NAMES.map(|user| Credential::new(UserName::parse(user).unwrap(), "password")).to_vec();
        world.turn.tell(now, Input::Accounts { credentials, public: false });
        world.settle();
        world
    }

    /// Turns until nothing is left to be done without something from outside.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.turn.hear_back(self.now);
            self.turn.go_round(self.now, Some(self.now.instant));
            self.turn.check_invariants();
            let busy = self.turn.timeout(self.now.instant) == Some(Duration::ZERO);
            if !busy && self.turn.environment.done.is_empty() && self.turn.environment.completions.is_empty() {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    fn pass(&mut self, time: Duration) {
        self.now.instant = self.now.instant + time;
        self.now.wall = self.now.wall + time;
        self.settle();
    }

    fn connect(&mut self) -> Client {
        self.connect_by(Door::main(IpAddr::from([127, 0, 0, 1])))
    }

    fn connect_by(&mut self, door: Door) -> Client {
        let wire = Rc::new(RefCell::new(Wire { room: PLENTY, ..Wire::default() }));
        let id = self.turn.add(self.now, Pipe(Rc::clone(&wire)), door).unwrap();
        self.settle();
        Client { id, wire }
    }

    /// Somebody says something; nothing happens yet.
    fn say(&mut self, client: &Client, bytes: &[u8]) {
        client.wire.borrow_mut().said.extend(bytes);
        self.turn.note_readable(client.key(), false);
    }

    /// The peer has closed its side.
    fn close(&mut self, client: &Client) {
        client.wire.borrow_mut().peer_closed = true;
        self.turn.note_readable(client.key(), true);
    }

    /// The peer resets the connection.
    fn reset(&mut self, client: &Client) {
        client.wire.borrow_mut().reset = true;
        self.turn.note_readable(client.key(), true);
    }

    /// Says something that ends by quiet. Comes back: what is told before anything else has time to happen.
    fn chunk(&mut self, client: &Client, text: &str) -> String {
        self.say(client, text.as_bytes());
        self.settle();
        self.pass(QUIET);
        client.told()
    }

    /// Somebody says something; comes back: what they are told, as far as it comes.
    fn ask(&mut self, client: &Client, text: &str) -> String {
        self.say(client, text.as_bytes());
        self.settle();
        client.told()
    }

    /// The peer's buffers take so many bytes more.
    fn give_room(&mut self, client: &Client, bytes: usize) {
        client.wire.borrow_mut().room = bytes;
        if self.turn.environment.watched.get(&client.key()) == Some(&true) {
            self.turn.note_writable(client.key());
        }
        self.settle();
    }

    /// Logs in, with a device if `device` is not zero.
    fn log_in(&mut self, user: &str, device: u8) -> Client {
        let client = self.connect();
        let name = UserName::parse(user).unwrap();
        let exchange = ClientExchange::new(&name, b"nonce", None);
        let device =
            if device == 0 { String::new() } else { format!(r#","device":"{}""#, format!("{device:02x}").repeat(16)) };
        let message = exchange.message();
        let told = self.ask(
            &client,
            &format!("{{\"id\":1,\"request\":\"log-in\",\"mechanism\":\"SCRAM-SHA-256\",\"message\":\"{message}\"{device}}}\n"),
        );
        let challenge = serde_json::from_str::<Value>(&told).unwrap()["message"].as_str().unwrap().to_owned();
        let proof = prove(&exchange, &challenge);
        let told = self.ask(&client, &format!("{{\"id\":2,\"request\":\"authenticate\",\"message\":\"{proof}\"}}\n"));
        assert!(told.contains("\"logged-in\"") || !self.turn.environment.keeps_at_once, "{told}");
        client
    }

    /// The store has kept everything so far.
    fn persist(&mut self) {
        let through = self.turn.environment.waiting.last().map_or(0, |batch| batch.number);
        self.turn.environment.waiting.clear();
        self.turn.environment.completions.push(Completion::Persisted { through });
        self.settle();
    }

    fn is_there(&self, client: &Client) -> bool {
        self.turn.connections.get(client.key()).is_some()
    }
}

impl Client {
    /// Under which key the connection is known now.
    fn key(&self) -> ConnectionId {
        self.wire.borrow().key.unwrap_or(self.id)
    }

    /// What each write has brought since it was last looked at.
    fn chunks(&self) -> Vec<String> {
        let mut wire = self.wire.borrow_mut();
        wire.told.clear();
        std::mem::take(&mut wire.chunks)
    }

    /// Whether we have closed our side, and whether by a reset.
    fn closed(&self) -> (bool, bool) {
        let wire = self.wire.borrow();
        (wire.our_closed, wire.resets)
    }

    /// What the client was told since it was last looked at.
    fn told(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.wire.borrow_mut().told)).unwrap()
    }
}

fn prove(exchange: &ClientExchange, challenge: &str) -> String {
    let challenge = exchange.challenge(challenge).unwrap();
    exchange.prove(&challenge, &Secret::salted("password", &challenge.salt, challenge.iterations)).0
}

fn message(id: usize, to: &str, text: &str) -> String {
    format!("{{\"id\":{id},\"request\":\"message\",\"to\":\"{to}\",\"text\":\"{text}\"}}\n")
}
