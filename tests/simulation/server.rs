//! The server: the real turn of `net`, with the real hub, in virtual time. What it reaches outside of itself is the links,
//! the kernel and the disk of this world. What it has not got here is threads.

use std::net::SocketAddr;
use std::time::Duration;

use chatd::hub::credentials::Credential;
use chatd::hub::effect::Outbox;
use chatd::hub::id::ConnectionId;
use chatd::hub::input::Input;
use chatd::hub::name::UserName;
use chatd::hub::time::{Instant, Now, WallTime};
use chatd::hub::{Config, Hub};
use chatd::net::arrivals::{Arrivals, Reserve};
use chatd::net::connection::{Door, Serves};
use chatd::net::room::Room;
use chatd::net::scope::Scope;
use chatd::net::server::ALL_OUT_BYTES_MAX;
use chatd::net::turn::{Admission, Ended, PACE, Turn};
use chatd::wire::session::log_on::FourDigitPort;

use crate::datagrams::Datagrams;
use crate::dice::Dice;
use crate::disk::Disk;
use crate::kernel::{Held, Kernel, Listener};
use crate::ledger::Ledger;
use crate::link::{LinkId, Links, Time};
use crate::outside::{OWN_PORT, Outside};
use crate::plant::Plant;

/// So much of what there is too much of is told, in characters.
const EXCERPT: usize = 300;
/// From where guests come, and whoever else is asked for a nickname while they type.
const GUESTS: &str = "10.0.4.0/24";
const NO_CONSENTS: &str = "Consents { questions: {}, asking: {}, given: {}, unwilling: {}, deadlines: {} }";

/// The world around a turn.
pub struct Around<'a> {
    pub now: Time,
    pub wall: WallTime,
    pub kernel: &'a mut Kernel,
    pub dice: &'a mut Dice,
    pub links: &'a mut Links,
    pub datagrams: &'a mut Datagrams,
    pub disk: &'a mut Disk,
    pub ledger: &'a mut Ledger,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    On,
    Stopped,
    /// Not everything was written in time.
    Hurried,
    Killed,
}

pub struct Server {
    turn: Turn<Outside>,
    booted: Time,
    booted_wall: WallTime,
    plant: Plant,
    listener: Listener,
    arrivals: Arrivals<Held>,
    /// When the turn has polled that has not gone on yet, and whether that announced anything.
    began: Option<(Time, bool)>,
    /// Who was ready when it polled.
    due: Vec<ConnectionId>,
}

impl Server {
    pub fn boot(
        config: Config,
        accounts: Vec<Credential>,
        plant: Plant,
        check_always: bool,
        worker_delay: Time,
        around: &mut Around,
    ) -> Server {
        let mut outbox = Outbox::new();
        let now = Now { instant: Instant::default(), wall: around.wall, ..Now::default() };
        let seed = around.dice.bytes();
        let outside = Outside::new(around.now, plant, config.heartbeat_timeout, check_always, worker_delay);
        let mut snapshot = around.disk.fold.snapshot();
        if plant == Plant::SendsAreForgotten {
            snapshot.sends.clear();
        }
        let hub = Hub::new(config, seed, snapshot, now, &mut outbox);
        let admission = Admission {
            plaintext: Scope::Any,
            guests: GUESTS.parse().expect("a scope"),
            registration: Scope::Any,
            tls: None,
            room: Room::of(usize::MAX),
            ports: vec![OWN_PORT],
            datagrams: vec![Serves::Everything],
            session_port: FourDigitPort::new(OWN_PORT),
            pace: if plant == Plant::PaceIsIgnored { Duration::ZERO } else { PACE },
            seed: [7; 32],
        };
        let mut listener = outside.listener();
        let reserve = Reserve::new(&mut listener).expect("a process begins with descriptors");
        let mut server = Server {
            turn: Turn::new(outside, hub, outbox, admission, ALL_OUT_BYTES_MAX),
            booted: around.now,
            booted_wall: around.wall,
            plant,
            listener,
            arrivals: Arrivals::new(1, reserve),
            began: None,
            due: Vec::new(),
        };
        let accounts = Input::Accounts { credentials: accounts, public: false };
        server.lend(around, |server| server.turn.tell(now, accounts));
        server
    }

    /// The world is the turn's for as long as it acts.
    fn lend<R>(&mut self, around: &mut Around, act: impl FnOnce(&mut Server) -> R) -> R {
        self.turn.environment.lent().exchange(around);
        let result = act(self);
        self.turn.environment.lent().exchange(around);
        result
    }

    /// When the next turn begins, if nothing else happens first.
    pub fn next_turn(&self, now: Time, world: (&Disk, &Links, &Datagrams, &Kernel)) -> Option<Time> {
        let (disk, links, datagrams, kernel) = world;
        let outside = &self.turn.environment;
        if outside.has_events(links) || datagrams.edge || kernel.edge || !disk.told.is_empty() {
            return Some(now);
        }
        let accept = self.arrivals.again_at().map(|at| at.since(self.instant(now)));
        let own = self.turn.timeout(self.instant(now)).into_iter().chain(accept).min();
        let own = own.map(|left| now + left.as_micros() as Time);
        own.into_iter().chain(outside.next_result()).min().map(|at| at.max(now))
    }

    pub fn is_mid_turn(&self) -> bool {
        self.began.is_some()
    }

    pub fn is_stopping(&self) -> bool {
        self.turn.stopping().is_some()
    }

    pub fn connections(&self) -> usize {
        self.turn.connections()
    }

    /// Whether the hub has a session of this user who is called there.
    pub fn calls(&self, user: &UserName, at: SocketAddr) -> bool {
        self.turn.environment.calls(user, at)
    }

    /// A kill falls when so many points in turns have passed.
    pub fn die_in(&mut self, points: Option<u64>) {
        let mut lent = self.turn.environment.lent();
        (lent.die_in, lent.die_after_commit) = (points, false);
    }

    /// A kill falls when the server has heard of the next commit, and before all is written that waited for it.
    pub fn die_after_commit(&mut self) {
        self.turn.environment.lent().die_after_commit = true;
    }

    /// Whether it is that kill which has fallen.
    pub fn died_of_commit(&self) -> bool {
        self.turn.environment.lent().dies_of_commit
    }

    /// Whether the operator's accounts have been read.
    pub fn has_accounts(&self) -> bool {
        self.turn.environment.has_accounts()
    }

    /// The first half of a turn: the clock is read, the kernel tells who is ready. The rest may come much later.
    pub fn poll(&mut self, around: &mut Around) {
        if std::mem::take(&mut around.kernel.edge) {
            self.arrivals.note_ready(0);
        }
        let (readable, writable) = self.lend(around, |server| server.turn.environment.poll_datagrams());
        if readable || writable {
            self.turn.note_datagrams(0, readable, writable);
        }
        let events = self.lend(around, |server| server.turn.environment.poll());
        for &(id, event) in &events {
            if let Some(closed) = event.readable {
                self.turn.note_readable(id, closed);
            }
            if event.writable {
                self.turn.note_writable(id);
            }
        }
        self.began = Some((around.now, !events.is_empty() || readable || writable));
        self.due.clear();
        self.due.extend(self.turn.ready());
    }

    /// The second half, in the order of `net::server`.
    pub fn turn(&mut self, around: &mut Around, stop: bool) -> Turned {
        let (began, had_events) = self.began.take().expect("it was polled before");
        let now = self.clock(around);
        let began = match self.plant {
            Plant::HeartbeatJudgedByNow => around.now,
            Plant::DeadlinesAreJudgedAhead => around.now + PACE.as_micros() as Time,
            _ => began,
        };
        self.lend(around, |server| {
            let mut progress = false;
            if stop && server.turn.stopping().is_none() {
                server.turn.environment.lent().kernel.backlog.clear();
                server.arrivals.close();
                server.turn.begin_stop(now);
                progress = true;
            }
            progress |= server.turn.hear_back(now);
            progress |= server.accept(now);
            let serves = !server.turn.is_congested();
            let judged = server.arrivals.caught_up(server.instant(began));
            progress |= server.turn.go_round(now, judged);
            if server.turn.environment.lent().dies() {
                return Turned::Killed;
            }
            server.turn.watch_progress(had_events, progress);
            server.turn.check_invariants();
            server.check_arrivals();
            let judged = server.booted + server.turn.round_began().as_micros();
            server.turn.environment.check_round(if serves { &server.due } else { &[] }, judged);
            match server.turn.has_stopped(now) {
                None => Turned::On,
                Some(Ended::Orderly) => Turned::Stopped,
                Some(Ended::Hurried) => Turned::Hurried,
            }
        })
    }

    fn accept(&mut self, now: Now) -> bool {
        let Server { arrivals, listener, turn, .. } = self;
        arrivals.accept(now.instant, listener, |_, socket, address| {
            // Whom the kernel does not watch is let go.
            let _ = turn.add(now, socket, Door::main(address.ip()));
        })
    }

    fn check_arrivals(&mut self) {
        let lent = &mut *self.turn.environment.lent();
        if !lent.kernel.backlog.is_empty() && !lent.kernel.edge && self.arrivals.again_at().is_none() {
            lent.ledger.broken("12: somebody waits to be accepted, and nobody will look");
        }
        if lent.kernel.open != self.turn.connections() {
            lent.ledger.broken("11: a descriptor is open that belongs to no connection");
        }
    }

    /// What there is of anything.
    pub fn left(&self) -> Vec<(&'static str, usize)> {
        let all = self.turn.left().into_iter().chain(self.turn.environment.left());
        all.filter(|(_, count)| *count > 0).collect()
    }

    /// Nobody is connected: nothing that belongs to a connection may be left.
    pub fn check_baseline(&self) -> Result<(), String> {
        let left = self.left();
        if !left.is_empty() {
            return Err(format!("11: nobody is connected, and these are left: {left:?}"));
        }
        self.turn.hub().check_invariants();
        let hub = format!("{:?}", self.turn.hub());
        for empty in [
            "connections: {}",
            "online: {}",
            "heartbeats: {}",
            "waiting: []",
            "mailboxes: {}",
            "dirty: {}",
            NO_CONSENTS,
            "deriving: {}",
            "here: {}",
            "unreached: {}",
            "due: {}",
        ] {
            if !hub.contains(empty) {
                let name = empty.split(':').next().unwrap_or_default();
                let there: String = hub[hub.find(name).unwrap_or(0)..].chars().take(EXCERPT).collect();
                let law = "nobody is connected and everything is shown, but the hub has not";
                return Err(format!("11: {law} '{empty}': {there}"));
            }
        }
        Ok(())
    }

    /// Links whose descriptor was closed since the last call.
    pub fn take_closed(&mut self) -> Vec<LinkId> {
        self.turn.environment.take_closed()
    }

    fn instant(&self, at: Time) -> Instant {
        Instant::from_micros(at - self.booted)
    }

    fn clock(&self, around: &Around) -> Now {
        let instant = match self.plant {
            Plant::DeadlinesByTheWallClock => Instant::default() + around.wall.since(self.booted_wall),
            _ => self.instant(around.now),
        };
        Now { instant, wall: around.wall, ..Now::default() }
    }
}
