//! The server's one loop around the turn: the poll, the listening sockets, signals, and the clocks.
//!
//! A round of the loop: poll until the nearest deadline; read the clocks; tell the turn what was announced; accept; let
//! the turn go round. What the store and the worker have done wakes the poll.

use std::fmt;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::net::{TcpStream, UdpSocket};
use mio::{Events, Interest, Poll, Token, Waker};
use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng, TryRng};
use rustls::ServerConfig;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use super::arrivals::{Arrivals, Reserve, is_exhaustion};
use super::clock::Clock;
use super::connection::{Door, Serves};
use super::control::Control;
use super::listener::{self, Listeners, Listening};
pub use super::listener::{LISTENERS_MAX, ListenError};
use super::room::Room;
use super::scope::Scope;
use super::socket::Socket;
use super::turn::{Admission, DRAIN_WITHIN, Environment, Turn};
pub use super::turn::{Ended, PACE, QUIET};
use super::worker::{Done, Job, Worker};
pub use super::worker::{Reload, Reloaded};
use crate::hub::Hub;
use crate::hub::effect::Outbox;
use crate::hub::id::{ConnectionId, Endpoint};
use crate::hub::input::Input;
use crate::hub::message::HistoryQuery;
use crate::hub::presence::{WINDOW_BYTES, WINDOW_MESSAGES};
use crate::hub::text::TEXT_BYTES_MAX;
use crate::hub::time::{Instant, Now};
use crate::store::{Batch, Completion, Opened, Store, Submitted, Ticket};
use crate::wire::session::log_on::FourDigitPort;
use crate::wire::{PeerPort, Protocol};

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;
/// All connections together may have this much to be written, unless told otherwise; with more, who lets most wait is
/// closed.
pub const ALL_OUT_BYTES_MAX: usize = 512 * 1024 * 1024;
/// The least of it: what is under way to one device, as it is written, must fit, or it would be closed at each log-in.
pub const ALL_OUT_BYTES_MIN: usize = 2 * 1024 * 1024;
const _: () = {
    // Two windows; escapes double a text at most, and a message's other fields are shorter than this.
    const FIELDS_BYTES_MAX: usize = 200;
    let window = 2 * (WINDOW_BYTES as usize + TEXT_BYTES_MAX) + WINDOW_MESSAGES as usize * FIELDS_BYTES_MAX;
    assert!(ALL_OUT_BYTES_MIN >= 2 * window && ALL_OUT_BYTES_MIN < ALL_OUT_BYTES_MAX);
};
/// How often it is looked whether the store is closed: the thread wakes the loop a moment before it ends.
const CLOSE_LOOK_EVERY: Duration = Duration::from_millis(20);

const WAKER: Token = Token(0);
const SIGNALS: Token = Token(1);
const CONTROL: Token = Token(2);
const LISTENERS: usize = 3;
const DATAGRAMS: usize = LISTENERS + SOCKETS_MAX;
const CONNECTIONS: usize = DATAGRAMS + SOCKETS_MAX;
/// Of each kind: the main one, the others, and one more for sessions.
const SOCKETS_MAX: usize = 1 + LISTENERS_MAX + 1;

/// What the server needs to know beside the hub's rules.
#[derive(Debug)]
pub struct Options {
    /// Tried in turn, until one can be listened on; with port 0 a free port is taken. None: no port is listened on.
    pub addresses: Vec<SocketAddr>,
    /// Where one protocol is served beside that, at most `LISTENERS_MAX`.
    pub listen: Vec<(Protocol, SocketAddr)>,
    /// From where unencrypted protocols are served.
    pub plaintext: Scope,
    /// From where people come in without an account.
    pub guests: Scope,
    /// From where people may make accounts.
    pub registration: Scope,
    /// What encrypted connections are made with; `None`: there are none.
    pub tls: Option<Arc<ServerConfig>>,
    /// In which directory the control socket is made; `None`: there is none.
    pub control: Option<PathBuf>,
    /// Somebody who is the operator, and needs no control socket.
    pub operator: Option<UnixStream>,
    /// What SIGHUP does.
    pub reload: Option<Reload>,
    /// All connections together may have this much to be written, in bytes; less than `ALL_OUT_BYTES_MIN` is taken for that.
    pub out_bytes_max: usize,
    /// So long a client without framing has to read a chunk before the next is written. Another than `PACE` is for tests.
    pub pace: Duration,
    /// Whether SIGINT and SIGTERM stop the server, and SIGHUP reloads its files.
    pub signals: bool,
}

impl Default for Options {
    /// No port, no encryption, nothing from outside.
    fn default() -> Options {
        Options {
            addresses: Vec::new(),
            listen: Vec::new(),
            plaintext: Scope::Private,
            guests: Scope::Off,
            registration: Scope::Off,
            tls: None,
            control: None,
            operator: None,
            reload: None,
            out_bytes_max: ALL_OUT_BYTES_MAX,
            pace: PACE,
            signals: false,
        }
    }
}

/// Why a server can't start.
#[derive(Debug)]
pub enum StartError {
    Listen(ListenError),
    Fault(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Listen(error) => error.fmt(f),
            StartError::Fault(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

impl From<ListenError> for StartError {
    fn from(error: ListenError) -> StartError {
        StartError::Listen(error)
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> StartError {
        StartError::Fault(error)
    }
}

/// The server.
pub struct Server {
    clock: Clock,
    waker: Arc<Waker>,
    stop: Arc<AtomicBool>,
    signals: Option<Signals>,
    listeners: Listeners,
    /// What each of them serves.
    serves: Vec<Serves>,
    /// What is served where, as it is announced.
    addresses: Vec<(Serves, SocketAddr)>,
    arrivals: Arrivals<File>,
    control: Option<Control>,
    /// Somebody may wait at the control socket.
    control_ready: bool,
    reload: Option<Reload>,
    /// With this the operator comes in when descriptors have run out, which is something to be seen.
    operators_reserve: Reserve<File>,
    turn: Turn<Outside>,
}

/// What the turn reaches of the machine.
struct Outside {
    poll: Poll,
    datagrams: Vec<UdpSocket>,
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
    pub fn start(
        options: Options,
        store: Opened,
        hub: impl FnOnce(Now, &mut Outbox) -> Hub,
    ) -> Result<Server, StartError> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        // Before there are other threads.
        let control = match &options.control {
            Some(directory) => Some(open_control(&poll, directory)?),
            None => None,
        };
        let (listening, session_port) = listen(&options)?;
        let Listening { mut listeners, serves, mut datagrams, datagrams_serve, addresses } = listening;
        for (index, socket) in listeners.0.iter_mut().enumerate() {
            poll.registry().register(socket, Token(LISTENERS + index), Interest::READABLE)?;
        }
        for (index, socket) in datagrams.iter_mut().enumerate() {
            poll.registry().register(socket, Token(DATAGRAMS + index), Interest::READABLE)?;
        }
        let signals = match options.signals {
            true => {
                let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
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
        let outside = Outside { poll, datagrams, store, worker };
        let ports = listeners.0.iter().map(|socket| Ok(socket.local_addr()?.port())).collect::<io::Result<_>>()?;
        let Options { plaintext, guests, registration, tls, reload, operator, out_bytes_max, pace, .. } = options;
        let mut seed = [0; 32];
        SysRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
        let room = Room::of(descriptors_max());
        let datagrams = datagrams_serve;
        let admission =
            Admission { plaintext, guests, registration, tls, room, ports, datagrams, session_port, pace, seed };
        let mut turn = Turn::new(outside, hub, outbox, admission, out_bytes_max.max(ALL_OUT_BYTES_MIN));
        if let Some(operator) = operator {
            operator.set_nonblocking(true)?;
            let socket = Socket::Unix(mio::net::UnixStream::from_std(operator));
            turn.add(clock.now(), socket, Door::Control)?;
        }
        Ok(Server {
            clock,
            waker,
            stop: Arc::new(AtomicBool::new(false)),
            signals,
            arrivals: Arrivals::new(listeners.0.len(), Reserve::new(&mut listeners)?),
            operators_reserve: Reserve::new(&mut listeners)?,
            listeners,
            serves,
            addresses,
            control,
            control_ready: true,
            reload,
            turn,
        })
    }

    /// The addresses that are listened on, each with what is served there.
    pub fn addresses(&self) -> &[(Serves, SocketAddr)] {
        &self.addresses
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
        let Outside { mut poll, store, worker: _worker, .. } = turn.environment;
        let closing = std::thread::Builder::new().name("store-close".to_owned()).spawn(move || {
            // What nobody fetched concerns nobody any more.
            let _ = store.close();
            wake(&waker)();
        })?;
        let end = stopping.unwrap_or_else(|| clock.instant()) + DRAIN_WITHIN;
        while !closing.is_finished() {
            let left = end.since(clock.instant());
            let asked_again = signals.as_mut().is_some_and(|signals| signals.pending().any(|signal| signal != SIGHUP));
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
        let mut began = self.clock.instant();
        let timeout = self.timeout(began);
        match self.turn.environment.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => events.clear(),
            result => {
                result?;
                // A poll in vain has looked until then: what waits for that time needs no second one.
                began = timeout.filter(|_| events.is_empty()).map_or(began, |timeout| began + timeout);
            }
        }
        let now = self.clock.now();
        let mut progress = self.note_events(events);
        if self.stop_was_asked() {
            if self.turn.stopping().is_some() {
                return Ok(Some(Ended::Hurried));
            }
            self.listeners.0.clear();
            self.arrivals.close();
            self.control = None;
            self.turn.begin_stop(now);
            progress = true;
        }
        progress |= self.turn.hear_back(now);
        progress |= self.accept(now);
        progress |= self.accept_operators(now);
        // With as many events as that more may have been ready. Who waits to be let in may bring a sign of life.
        let complete = events.iter().count() < EVENTS_MAX;
        let judged = complete.then_some(began).and_then(|began| self.arrivals.caught_up(began));
        progress |= self.turn.go_round(now, judged);
        // Before somebody else takes what was freed.
        self.operators_reserve.refill(&mut self.listeners);
        self.turn.watch_progress(!events.is_empty(), progress);
        Ok(self.turn.has_stopped(now))
    }

    fn timeout(&self, now: Instant) -> Option<Duration> {
        let accept = self.arrivals.again_at().map(|at| at.since(now));
        self.turn.timeout(now).into_iter().chain(accept).min()
    }

    fn note_events(&mut self, events: &Events) -> bool {
        let mut progress = false;
        for event in events {
            match event.token() {
                WAKER | SIGNALS => progress = true,
                CONTROL => self.control_ready = true,
                Token(token) if token < DATAGRAMS => self.arrivals.note_ready(token - LISTENERS),
                Token(token) if token < CONNECTIONS => {
                    let socket = (token - DATAGRAMS) as u16;
                    self.turn.note_datagrams(socket, event.is_readable() || event.is_error(), event.is_writable());
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
        let mut asked = self.stop.swap(false, Ordering::SeqCst);
        for signal in self.signals.iter_mut().flat_map(Signals::pending) {
            match (signal, &self.reload) {
                (SIGHUP, Some(reload)) => self.turn.environment.work(Job::Reload(reload.clone())),
                (SIGHUP, None) => {}
                _ => asked = true,
            }
        }
        asked
    }

    /// The operator's connections are few, and are not counted against the others' limit.
    fn accept_operators(&mut self, now: Now) -> bool {
        let mut progress = false;
        while let Some(control) = self.control.as_ref().filter(|_| self.control_ready) {
            match control.accept() {
                Ok(stream) => {
                    progress = true;
                    if let Err(error) = self.turn.add(now, Socket::Unix(stream), Door::Control) {
                        log::warn!("the operator's connection could not be watched: {error}");
                    }
                }
                Err(error) if is_exhaustion(&error) => {
                    if !self.operators_reserve.give() {
                        self.control_ready = false;
                        self.arrivals.try_again(now.instant);
                    }
                }
                // Whoever could not be accepted is announced again with whoever comes next.
                Err(_) => self.control_ready = false,
            }
        }
        progress
    }

    fn accept(&mut self, now: Now) -> bool {
        // The operator may wait as well.
        self.control_ready |= self.arrivals.again_at().is_some_and(|at| at <= now.instant);
        let Server { arrivals, listeners, serves, turn, .. } = self;
        arrivals.accept(now.instant, listeners, |listener, stream, address| {
            let door = Door::Port { address: address.ip(), serves: serves[listener] };
            if let Err(error) = turn.add(now, Socket::Tcp(stream), door) {
                log::warn!("a connection could not be watched: {error}");
            }
        })
    }
}

impl Environment for Outside {
    type Stream = Socket;

    fn dial(&mut self, address: SocketAddr) -> io::Result<Socket> {
        TcpStream::connect(address).map(Socket::Tcp)
    }

    fn register(&mut self, stream: &mut Socket, id: ConnectionId, writable: bool) -> io::Result<()> {
        self.poll.registry().register(stream, token_of(id), interest(writable))
    }

    fn reregister(&mut self, stream: &mut Socket, id: ConnectionId, writable: bool) -> io::Result<()> {
        self.poll.registry().reregister(stream, token_of(id), interest(writable))
    }

    fn deregister(&mut self, stream: &mut Socket) -> io::Result<()> {
        self.poll.registry().deregister(stream)
    }

    fn receive(&mut self, socket: u16, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.datagrams[usize::from(socket)].recv_from(buffer)
    }

    fn send(&mut self, to: Endpoint, datagram: &[u8]) -> io::Result<()> {
        self.datagrams[usize::from(to.socket)].send_to(datagram, to.address).map(drop)
    }

    fn sends_from(&self, to: Endpoint) -> SocketAddr {
        let socket = &self.datagrams[usize::from(to.socket)];
        socket.local_addr().map_or(to.address, |own| listener::sends_from(own, to.address))
    }

    fn watch_datagrams(&mut self, socket: u16, writable: bool) -> io::Result<()> {
        let registered = &mut self.datagrams[usize::from(socket)];
        self.poll.registry().reregister(registered, Token(DATAGRAMS + usize::from(socket)), interest(writable))
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

    fn descriptors(&self) -> Option<usize> {
        // Without the one that this takes itself.
        std::fs::read_dir("/proc/self/fd").ok().map(|open| open.count().saturating_sub(1))
    }
}

/// Opens all sockets. Comes back as well: where whoever has logged on by datagrams finds the session.
fn listen(options: &Options) -> Result<(Listening, Option<FourDigitPort>), StartError> {
    let mut listening = Listening::open(&options.addresses, &options.listen)?;
    if options.plaintext == Scope::Off {
        return Ok((listening, None));
    }
    let mut rng = StdRng::try_from_rng(&mut SysRng).map_err(io::Error::other)?;
    let port = listening.session_port(|| rng.random_range(PeerPort::MIN..=FourDigitPort::LAST))?;
    Ok((listening, port))
}

fn interest(writable: bool) -> Interest {
    if writable { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE }
}

fn wake(waker: &Arc<Waker>) -> impl Fn() + Send + Sync + 'static {
    let waker = Arc::clone(waker);
    move || {
        if let Err(error) = waker.wake() {
            log::error!("the loop could not be woken: {error}");
        }
    }
}

fn open_control(poll: &Poll, directory: &Path) -> io::Result<Control> {
    let open = || {
        let mut control = Control::listen(directory)?;
        poll.registry().register(&mut control.listener, CONTROL, Interest::READABLE)?;
        Ok(control)
    };
    open()
        .map_err(|error: io::Error| io::Error::other(format!("no control socket in {}: {error}", directory.display())))
}

fn token_of(id: ConnectionId) -> Token {
    Token((id.generation as usize) << 32 | (id.slot as usize + CONNECTIONS))
}

fn connection_of(token: Token) -> ConnectionId {
    ConnectionId { slot: (token.0 as u32).wrapping_sub(CONNECTIONS as u32), generation: (token.0 >> 32) as u32 }
}

/// The descriptor limit, after raising it as far as may be.
fn descriptors_max() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit = raised,
            Err(error) => log::warn!("the descriptor limit could not be raised: {error}"),
        }
    }
    limit.current.map_or(usize::MAX, |limit| limit as usize)
}
