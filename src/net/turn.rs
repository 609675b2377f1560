//! The server's one loop: everything that the chat consists of happens on this thread, a turn after the other.
//!
//! A turn: poll until the nearest deadline; read the clocks; serve each ready connection a bounded amount; the deadlines;
//! hand the turn's changes to the store; apply the effects; write each connection that has something to write once; free
//! what is closed. Handlers append; only the turn writes and frees. Readiness is edge-triggered: who may have more to
//! read stays on the ready list.
//!
//! Contains no rule of the chat (hub) and no byte of a protocol (wire).

mod apply;
mod serve;
mod storage;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::clock::Clock;
use super::connection::{Connection, Stage};
use super::listener::{Accepted, Reserve, listen};
use super::queue::BatchNumber;
use super::scope::Scope;
use super::slots::Slots;
use super::worker::{Done, Worker};
use crate::hub::Hub;
use crate::hub::effect::Outbox;
use crate::hub::id::{ConnectionId, RequestId};
use crate::hub::input::Input;
use crate::hub::message::HistoryQuery;
use crate::hub::time::{Instant, Now};
use crate::store::{Batch, Opened, Store, Ticket};

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;
/// Connections accepted in a turn, from each listener.
const ACCEPTS_A_TURN: usize = 64;
/// Bytes read from a connection in a turn.
const READ_BYTES_A_TURN: usize = 16 * 1024;
/// Requests of one connection handled in a turn.
const REQUESTS_A_TURN: usize = 64;
/// A connection whose peer does not read may have this much to be written; with more it is closed.
const OUT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// With this much to be written a connection's requests wait.
const OUT_BYTES_PAUSE: usize = 256 * 1024;
/// What a connection may say, and be told, before its log-in.
const STRANGE_BYTES_MAX: usize = 4 * 1024;
/// All connections together may have this much to be written, unless told otherwise; with more, who lets most wait is closed.
pub const ALL_OUT_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Batches that the store may owe an answer; with more nobody is read until it has caught up.
const BATCHES_IN_FLIGHT_MAX: usize = 4096;
/// The same in bytes.
const BYTES_IN_FLIGHT_MAX: usize = 64 * 1024 * 1024;
/// Questions about history that the store has at a time; others wait. A connection has one at a time.
const QUERIES_ASKED_MAX: usize = 32;
/// A connection's first complete message has to come within this time,
const FIRST_MESSAGE_WITHIN: Duration = Duration::from_secs(20);
/// each further one of the log-in within this,
const NEXT_MESSAGE_WITHIN: Duration = Duration::from_secs(60);
/// and the log-in must be done within this.
const LOG_IN_WITHIN: Duration = Duration::from_secs(600);
/// A connection that we have closed waits so long for the peer to close too.
const LINGER: Duration = Duration::from_secs(2);
/// When descriptors have run out, accepting is tried again after this time.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// At the end what is acknowledged may take this long to be written.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether the store is closed: the thread wakes the loop a moment before it ends.
const CLOSE_LOOK_EVERY: Duration = Duration::from_millis(20);
/// Turns with events but without progress, in a row, that are a bug.
const IDLE_TURNS_MAX: u32 = 1000;
/// Descriptors that are not for connections: listeners, poll, waker, signals, database, standard streams.
const DESCRIPTORS_KEPT: usize = 64;

const WAKER: Token = Token(0);
const SIGNALS: Token = Token(1);
const LISTENERS: usize = 2;
const CONNECTIONS: usize = 64;

/// What the server needs to know beside the hub's rules.
#[derive(Clone, Debug)]
pub struct Options {
    /// Listened on in turn, until one works; with port 0 a free port is taken.
    pub addresses: Vec<SocketAddr>,
    /// From where unencrypted protocols are served.
    pub plaintext: Scope,
    /// All connections together may have this much to be written, in bytes.
    pub out_bytes_max: usize,
    /// Whether SIGINT and SIGTERM stop the server.
    pub signals: bool,
}

/// The server.
pub struct Server {
    clock: Clock,
    poll: Poll,
    waker: Arc<Waker>,
    stop: Arc<AtomicBool>,
    signals: Option<Signals>,
    listeners: Vec<Listener>,
    reserve: Reserve,
    accept_again_at: Option<Instant>,
    options: Options,
    connections_max: usize,
    connections: Slots<Connection>,
    hub: Hub,
    outbox: Outbox,
    store: Store,
    worker: Worker,
    /// Answers that net gives by itself, each with its place among the turn's effects.
    answers: VecDeque<(usize, ConnectionId, Vec<u8>)>,
    /// Who has something to be read or handled.
    ready: VecDeque<ConnectionId>,
    /// Who has something to be written.
    dirty: Vec<ConnectionId>,
    /// An empty list, kept for its room.
    dirty_again: Vec<ConnectionId>,
    /// Who has more to be written than is allowed.
    overflowed: Vec<ConnectionId>,
    /// Who is to be freed at the end of the turn.
    gone: Vec<ConnectionId>,
    deadlines: BTreeSet<(Instant, ConnectionId)>,
    /// The begin of the last round in which everybody who was ready was served. Deadlines are judged by it, so that our
    /// own stall makes nobody late.
    round_began: Instant,
    /// Batches without an outcome, oldest first.
    in_flight: VecDeque<Batch>,
    in_flight_bytes: usize,
    /// The last commit failed; said once.
    store_fails: bool,
    last_batch: BatchNumber,
    persisted: BatchNumber,
    /// The first item of their queue waits for this batch.
    parked: VecDeque<(BatchNumber, ConnectionId)>,
    /// Questions that wait until everything from before them is in the store.
    queries: VecDeque<(BatchNumber, Query)>,
    asked: VecDeque<(Ticket, ConnectionId, Option<RequestId>)>,
    last_ticket: u64,
    out_bytes: usize,
    stopping: Option<Instant>,
    idle_turns: u32,
    read_buffer: Box<[u8]>,
    encode_buffer: Vec<u8>,
}

struct Listener {
    socket: TcpListener,
    ready: bool,
}

struct Query {
    connection: ConnectionId,
    id: Option<RequestId>,
    query: HistoryQuery,
}

/// Stops a server from another thread.
#[derive(Clone)]
pub struct Stopper {
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Stopper {
    /// As SIGTERM does.
    pub fn stop(&self) -> io::Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        self.waker.wake()
    }
}

/// How the server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything acknowledged was written.
    Orderly,
    /// Some of what was to be written was not, or a second signal came.
    Hurried,
}

impl Server {
    /// Listens, and starts the threads. `hub` makes the hub once the clock runs; what it wants stored is stored first.
    pub fn start(options: Options, store: Opened, hub: impl FnOnce(Now, &mut Outbox) -> Hub) -> io::Result<Server> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let mut socket = listen_on_first(&options.addresses)?;
        poll.registry().register(&mut socket, Token(LISTENERS), Interest::READABLE)?;
        let signals = match options.signals {
            true => {
                let mut signals = Signals::new([SIGINT, SIGTERM])?;
                poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
                Some(signals)
            }
            false => None,
        };
        let clock = Clock::new();
        let mut outbox = Outbox::new();
        let hub = hub(clock.now(), &mut outbox);
        let store = store.start(wake(&waker))?;
        let worker = Worker::start(wake(&waker))?;
        Ok(Server {
            clock,
            poll,
            waker,
            stop: Arc::new(AtomicBool::new(false)),
            signals,
            listeners: vec![Listener { socket, ready: true }],
            reserve: Reserve::new()?,
            accept_again_at: None,
            options,
            connections_max: connections_max(),
            connections: Slots::default(),
            hub,
            outbox,
            store,
            worker,
            answers: VecDeque::new(),
            ready: VecDeque::new(),
            dirty: Vec::new(),
            dirty_again: Vec::new(),
            overflowed: Vec::new(),
            gone: Vec::new(),
            deadlines: BTreeSet::new(),
            round_began: Instant::default(),
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            store_fails: false,
            last_batch: 0,
            persisted: 0,
            parked: VecDeque::new(),
            queries: VecDeque::new(),
            asked: VecDeque::new(),
            last_ticket: 0,
            out_bytes: 0,
            stopping: None,
            idle_turns: 0,
            read_buffer: vec![0; READ_BYTES_A_TURN].into_boxed_slice(),
            encode_buffer: Vec::new(),
        })
    }

    /// The addresses that are listened on.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.listeners.iter().map(|listener| listener.socket.local_addr()).collect()
    }

    pub fn stopper(&self) -> Stopper {
        Stopper { stop: Arc::clone(&self.stop), waker: Arc::clone(&self.waker) }
    }

    /// Hands the hub an input from outside the loop, such as the operator's accounts.
    pub fn input(&mut self, input: Input) {
        let now = self.clock.now();
        self.hub.handle(now, input, &mut self.outbox);
    }

    /// Turns until it is stopped.
    pub fn run(mut self) -> io::Result<Ended> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let ended = loop {
            if let Some(ended) = self.turn(&mut events)? {
                break ended;
            }
        };
        if ended == Ended::Hurried {
            // A disk that stalls must not keep the program from ending.
            return Ok(ended);
        }
        self.close_store(&mut events)
    }

    /// Everything is stored; what is left is to tidy up. A second signal, or a disk that stalls, ends that.
    fn close_store(self, events: &mut Events) -> io::Result<Ended> {
        let Server { clock, mut poll, waker, stop, mut signals, store, stopping, .. } = self;
        let closing = std::thread::Builder::new().name("store-close".to_owned()).spawn(move || {
            // What nobody fetched concerns nobody any more.
            let _ = store.close();
            wake(&waker)();
        })?;
        let end = stopping.unwrap_or_else(|| clock.instant()) + DRAIN_WITHIN;
        while !closing.is_finished() {
            let left = end.since(clock.instant());
            let asked_again = signals.as_mut().is_some_and(|signals| signals.pending().count() > 0);
            if left.is_zero() || asked_again || stop.load(Ordering::SeqCst) {
                return Ok(Ended::Hurried);
            }
            match poll.poll(events, Some(left.min(CLOSE_LOOK_EVERY))) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        Ok(Ended::Orderly)
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<Option<Ended>> {
        let began = self.clock.instant();
        match self.poll.poll(events, self.timeout(began)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => events.clear(),
            result => result?,
        }
        let now = self.clock.now();
        let mut progress = self.note_events(events);
        if self.stop_was_asked() {
            if self.stopping.is_some() {
                return Ok(Some(Ended::Hurried));
            }
            self.begin_stop(now);
            progress = true;
        }
        progress |= self.take_completions(now);
        progress |= self.take_worker_results(now);
        progress |= self.accept(now);
        progress |= self.serve_ready(now);
        if events.iter().count() < EVENTS_MAX && !self.is_congested() {
            self.round_began = began;
        }
        progress |= self.handle_deadlines(now);
        self.submit_changes();
        self.apply_effects(now);
        self.ask_queries();
        progress |= self.write_dirty(now);
        self.free_gone();
        self.watch_progress(!events.is_empty(), progress);
        Ok(self.has_stopped(now))
    }

    /// Until the nearest deadline; not at all while somebody has work to do.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        let congested = self.is_congested();
        let unread = !self.ready.is_empty() && !congested;
        if unread || !self.dirty.is_empty() || !self.outbox.is_empty() || !self.answers.is_empty() {
            return Some(Duration::ZERO);
        }
        // While nobody is read, nobody can be late.
        let judged = [self.hub.poll_timeout(), self.deadlines.first().map(|&(at, _)| at)];
        let judged = judged.into_iter().flatten().filter(|_| !congested);
        let own = [self.accept_again_at, self.stopping.map(|began| began + DRAIN_WITHIN)];
        let nearest = judged.chain(own.into_iter().flatten()).min()?;
        Some(nearest.since(now))
    }

    /// The store is so far behind that nobody is read until it has caught up.
    fn is_congested(&self) -> bool {
        self.in_flight.len() >= BATCHES_IN_FLIGHT_MAX || self.in_flight_bytes >= BYTES_IN_FLIGHT_MAX
    }

    fn note_events(&mut self, events: &Events) -> bool {
        let mut progress = false;
        for event in events {
            match event.token() {
                WAKER | SIGNALS => progress = true,
                Token(token) if token < CONNECTIONS => {
                    if let Some(listener) = self.listeners.get_mut(token - LISTENERS) {
                        listener.ready = true;
                    }
                }
                token => {
                    let id = connection_of(token);
                    let Some(connection) = self.connections.get_mut(id) else { continue };
                    if event.is_readable() || event.is_read_closed() || event.is_error() {
                        connection.readable = true;
                        connection.read_closed |= event.is_read_closed();
                        if !connection.listed {
                            connection.listed = true;
                            self.ready.push_back(id);
                        }
                    }
                    if event.is_writable() && !connection.queue.is_empty() && !connection.dirty {
                        connection.dirty = true;
                        self.dirty.push(id);
                    }
                }
            }
        }
        progress
    }

    fn stop_was_asked(&mut self) -> bool {
        let by_signal = self.signals.as_mut().is_some_and(|signals| signals.pending().count() > 0);
        by_signal | self.stop.swap(false, Ordering::SeqCst)
    }

    fn begin_stop(&mut self, now: Now) {
        log::info!("stopping");
        self.listeners.clear();
        self.accept_again_at = None;
        self.hub.handle(now, Input::Shutdown, &mut self.outbox);
        for (id, connection) in self.connections.iter_mut() {
            // Who has not even been recognised is not known to the hub.
            if connection.protocol.is_none() {
                connection.stage = Stage::Gone;
                self.gone.push(id);
            }
        }
        self.stopping = Some(now.instant);
    }

    fn has_stopped(&self, now: Now) -> Option<Ended> {
        let began = self.stopping?;
        if self.connections.is_empty() && self.in_flight.is_empty() && self.outbox.is_empty() {
            return Some(Ended::Orderly);
        }
        (now.instant.since(began) >= DRAIN_WITHIN).then_some(Ended::Hurried)
    }

    fn take_worker_results(&mut self, now: Now) -> bool {
        let mut progress = false;
        while let Some(done) = self.worker.result() {
            progress = true;
            match done {
                Done::Derived(verifiers) => self.hub.handle(now, Input::Derived(verifiers), &mut self.outbox),
            }
        }
        progress
    }

    fn accept(&mut self, now: Now) -> bool {
        if self.accept_again_at.is_some_and(|at| at <= now.instant) {
            self.accept_again_at = None;
            self.listeners.iter_mut().for_each(|listener| listener.ready = true);
        }
        let mut progress = false;
        for listener in &mut self.listeners {
            for _ in 0..ACCEPTS_A_TURN {
                if !listener.ready {
                    break;
                }
                match self.reserve.accept(&listener.socket) {
                    Accepted::Connection(stream, address) => {
                        progress = true;
                        if self.connections.len() >= self.connections_max {
                            log::warn!("{} connections are open, one more was turned away", self.connections_max);
                            continue;
                        }
                        let added = add(&self.poll, &mut self.connections, stream, address.ip(), now.instant);
                        match added {
                            Ok(id) => {
                                let at = now.instant + FIRST_MESSAGE_WITHIN;
                                self.deadlines.insert((at, id));
                                if let Some(connection) = self.connections.get_mut(id) {
                                    connection.deadline = Some(at);
                                    connection.listed = true;
                                }
                                self.ready.push_back(id);
                            }
                            Err(error) => log::warn!("a connection could not be watched: {error}"),
                        }
                    }
                    Accepted::Nobody => listener.ready = false,
                    Accepted::Failed => {}
                    Accepted::TurnedAway => {
                        progress = true;
                        log::warn!("descriptors have run out: a connection was turned away");
                    }
                    Accepted::Exhausted => {
                        listener.ready = false;
                        self.accept_again_at = Some(now.instant + ACCEPT_AGAIN_AFTER);
                    }
                }
            }
            if listener.ready && self.accept_again_at.is_none() {
                // More may wait than a turn accepts.
                self.accept_again_at = Some(now.instant);
            }
        }
        progress
    }

    /// Deadlines are judged by the begin of the last complete round, on every turn.
    fn handle_deadlines(&mut self, now: Now) -> bool {
        let judged = Now { instant: self.round_began, wall: now.wall };
        let mut progress = false;
        if self.hub.poll_timeout().is_some_and(|at| at <= judged.instant) {
            self.excuse_the_waiting(now);
            self.hub.handle_timeout(judged, &mut self.outbox);
            progress = true;
        }
        while let Some(&(at, id)) = self.deadlines.first() {
            if at > judged.instant {
                break;
            }
            self.deadlines.pop_first();
            progress = true;
            self.deadline_passed(now, id);
        }
        progress
    }

    fn free_gone(&mut self) {
        for id in self.gone.drain(..) {
            let Some(mut connection) = self.connections.remove(id) else { continue };
            self.out_bytes -= connection.queue.bytes();
            if let Some(at) = connection.deadline {
                self.deadlines.remove(&(at, id));
            }
            if let Err(error) = self.poll.registry().deregister(&mut connection.stream) {
                log::debug!("a closed connection could not be unwatched: {error}");
            }
        }
    }

    /// Events again and again that lead to nothing are a bug, and would cost a whole core.
    fn watch_progress(&mut self, had_events: bool, progress: bool) {
        // While the store is behind nobody is read, and what comes announces itself in vain.
        let idle = had_events && !progress && !self.is_congested();
        self.idle_turns = if idle { self.idle_turns + 1 } else { 0 };
        if self.idle_turns == IDLE_TURNS_MAX {
            log::error!("{IDLE_TURNS_MAX} turns brought events but no progress; this is a bug");
            debug_assert!(false, "the loop spins");
        }
    }
}

fn wake(waker: &Arc<Waker>) -> impl Fn() + Send + Sync + 'static {
    let waker = Arc::clone(waker);
    move || {
        if let Err(error) = waker.wake() {
            log::error!("the loop could not be woken: {error}");
        }
    }
}

fn listen_on_first(addresses: &[SocketAddr]) -> io::Result<TcpListener> {
    let mut error = io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on");
    for &address in addresses {
        match listen(address) {
            Ok(socket) => return Ok(socket),
            Err(why) => error = why,
        }
        // Only a machine without IPv6 is a reason to try the next.
        if error.kind() == io::ErrorKind::AddrInUse || error.kind() == io::ErrorKind::PermissionDenied {
            break;
        }
    }
    Err(error)
}

fn add(
    poll: &Poll,
    connections: &mut Slots<Connection>,
    mut stream: mio::net::TcpStream,
    address: IpAddr,
    now: Instant,
) -> io::Result<ConnectionId> {
    stream.set_nodelay(true)?;
    connections.insert(|id| {
        poll.registry().register(&mut stream, token_of(id), Interest::READABLE)?;
        Ok(Connection::new(stream, address, now))
    })
}

fn token_of(id: ConnectionId) -> Token {
    Token((id.generation as usize) << 32 | (id.slot as usize + CONNECTIONS))
}

fn connection_of(token: Token) -> ConnectionId {
    ConnectionId { slot: (token.0 as u32).wrapping_sub(CONNECTIONS as u32), generation: (token.0 >> 32) as u32 }
}

/// As many connections as the descriptor limit allows, after raising it as far as may be.
fn connections_max() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit = raised,
            Err(error) => log::warn!("the descriptor limit could not be raised: {error}"),
        }
    }
    let descriptors = limit.current.map_or(usize::MAX, |limit| limit as usize);
    descriptors.saturating_sub(DESCRIPTORS_KEPT).max(1)
}
