//! The server's one loop around the turn: the poll, the listening sockets, signals, and the clocks.
//!
//! A round of the loop: poll until the nearest deadline; read the clocks; tell the turn what was announced; accept; let
//! the turn go round. What the store and the worker have done wakes the poll.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::clock::Clock;
use super::connection::Stream;
use super::listener::{Accepted, Reserve, listen};
use super::scope::Scope;
pub use super::turn::Ended;
use super::turn::{DRAIN_WITHIN, Environment, Turn};
use super::worker::{Done, Job, Worker};
use crate::hub::Hub;
use crate::hub::effect::Outbox;
use crate::hub::id::ConnectionId;
use crate::hub::input::Input;
use crate::hub::message::HistoryQuery;
use crate::hub::time::{Instant, Now};
use crate::store::{Batch, Completion, Opened, Store, Submitted, Ticket};

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;
/// Connections accepted in a turn, from each listener.
const ACCEPTS_A_TURN: usize = 64;
/// All connections together may have this much to be written, unless told otherwise; with more, who lets most wait is closed.
pub const ALL_OUT_BYTES_MAX: usize = 512 * 1024 * 1024;
/// When descriptors have run out, accepting is tried again after this time.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How often it is looked whether the store is closed: the thread wakes the loop a moment before it ends.
const CLOSE_LOOK_EVERY: Duration = Duration::from_millis(20);
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
    waker: Arc<Waker>,
    stop: Arc<AtomicBool>,
    signals: Option<Signals>,
    listeners: Vec<Listener>,
    reserve: Reserve,
    accept_again_at: Option<Instant>,
    connections_max: usize,
    turn: Turn<Outside>,
}

struct Listener {
    socket: TcpListener,
    ready: bool,
}

/// What the turn reaches of the machine.
struct Outside {
    poll: Poll,
    store: Store,
    worker: Worker,
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
        let outside = Outside { poll, store, worker };
        Ok(Server {
            clock,
            waker,
            stop: Arc::new(AtomicBool::new(false)),
            signals,
            listeners: vec![Listener { socket, ready: true }],
            reserve: Reserve::new()?,
            accept_again_at: None,
            connections_max: connections_max(),
            turn: Turn::new(outside, hub, outbox, options.plaintext, options.out_bytes_max),
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
        self.turn.tell(now, input);
    }

    /// Turns until it is stopped.
    pub fn run(mut self) -> io::Result<Ended> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let ended = loop {
            if let Some(ended) = self.go_round(&mut events)? {
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
        let Server { clock, waker, stop, mut signals, turn, .. } = self;
        let stopping = turn.stopping();
        let Outside { mut poll, store, worker: _worker } = turn.environment;
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

    fn go_round(&mut self, events: &mut Events) -> io::Result<Option<Ended>> {
        let began = self.clock.instant();
        match self.turn.environment.poll.poll(events, self.timeout(began)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => events.clear(),
            result => result?,
        }
        let now = self.clock.now();
        let mut progress = self.note_events(events);
        if self.stop_was_asked() {
            if self.turn.stopping().is_some() {
                return Ok(Some(Ended::Hurried));
            }
            self.listeners.clear();
            self.accept_again_at = None;
            self.turn.begin_stop(now);
            progress = true;
        }
        progress |= self.turn.hear_back(now);
        progress |= self.accept(now);
        // With as many events as that more may have been ready.
        let complete = events.iter().count() < EVENTS_MAX;
        progress |= self.turn.go_round(now, complete.then_some(began));
        self.turn.watch_progress(!events.is_empty(), progress);
        Ok(self.turn.has_stopped(now))
    }

    fn timeout(&self, now: Instant) -> Option<Duration> {
        let accept = self.accept_again_at.map(|at| at.since(now));
        self.turn.timeout(now).into_iter().chain(accept).min()
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
                    if event.is_readable() || event.is_read_closed() || event.is_error() {
                        self.turn.note_readable(id, event.is_read_closed());
                    }
                    if event.is_writable() {
                        self.turn.note_writable(id);
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
                        if self.turn.connections() >= self.connections_max {
                            log::warn!("{} connections are open, one more was turned away", self.connections_max);
                            continue;
                        }
                        let added = stream.set_nodelay(true);
                        if let Err(error) = added.and_then(|()| self.turn.add(now, stream, address.ip())) {
                            log::warn!("a connection could not be watched: {error}");
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
}

impl Environment for Outside {
    type Stream = TcpStream;

    fn register(&mut self, stream: &mut TcpStream, id: ConnectionId) -> io::Result<()> {
        self.poll.registry().register(stream, token_of(id), Interest::READABLE)
    }

    fn reregister(&mut self, stream: &mut TcpStream, id: ConnectionId, writable: bool) -> io::Result<()> {
        let interest = if writable { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        self.poll.registry().reregister(stream, token_of(id), interest)
    }

    fn deregister(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        self.poll.registry().deregister(stream)
    }

    fn submit(&mut self, batch: Batch) -> Submitted {
        self.store.submit(batch)
    }

    fn completions(&mut self) -> Vec<Completion> {
        self.store.completions().collect()
    }

    fn resume(&mut self) {
        self.store.resume();
    }

    fn query(&mut self, ticket: Ticket, query: HistoryQuery) {
        self.store.query(ticket, query);
    }

    fn work(&mut self, job: Job) {
        self.worker.submit(job);
    }

    fn done(&mut self) -> Option<Done> {
        self.worker.result()
    }
}

impl Stream for TcpStream {
    fn close_our_side(&mut self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
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
