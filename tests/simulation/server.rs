//! The server: the real turn of `net`, with the real hub, in virtual time. What it reaches outside of itself is the links
//! and the disk of this world. What it has not got here is descriptors that run out, and threads.

use std::collections::VecDeque;

use chatd::hub::credentials::Credential;
use chatd::hub::effect::Outbox;
use chatd::hub::id::ConnectionId;
use chatd::hub::input::Input;
use chatd::hub::time::{Instant, Now, WallTime};
use chatd::hub::{Config, Hub};
use chatd::net::connection::Door;
use chatd::net::room::Room;
use chatd::net::scope::Scope;
use chatd::net::server::ALL_OUT_BYTES_MAX;
use chatd::net::turn::{Admission, Ended, Turn};

use crate::dice::Dice;
use crate::disk::Disk;
use crate::ledger::Ledger;
use crate::link::{LinkId, Links, MS, Time};
use crate::outside::Outside;
use crate::plant::Plant;

/// 2026-01-01.
const WALL_AT_START_MS: u64 = 1_767_225_600_000;

/// The world around a turn.
pub struct Around<'a> {
    pub now: Time,
    pub dice: &'a mut Dice,
    pub links: &'a mut Links,
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
    plant: Plant,
    /// Who has asked for a connection.
    pub backlog: VecDeque<LinkId>,
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
        let now = clock(around.now, around.now);
        let seed = around.dice.bytes();
        let outside = Outside::new(around.now, plant, config.heartbeat_timeout, check_always, worker_delay);
        let hub = Hub::new(config, seed, around.disk.fold.snapshot(), now, &mut outbox);
        let admission = Admission {
            plaintext: Scope::Any,
            registration: Scope::Off,
            tls: None,
            room: Room::of(usize::MAX),
            seed: [7; 32],
        };
        let mut server = Server {
            turn: Turn::new(outside, hub, outbox, admission, ALL_OUT_BYTES_MAX),
            booted: around.now,
            plant,
            backlog: VecDeque::new(),
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
    pub fn next_turn(&self, now: Time, disk: &Disk, links: &Links) -> Option<Time> {
        let outside = &self.turn.environment;
        if outside.has_events(links) || !self.backlog.is_empty() || !disk.told.is_empty() {
            return Some(now);
        }
        let own = self.turn.timeout(self.instant(now)).map(|left| now + left.as_micros() as Time);
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

    /// A kill falls when so many points in turns have passed.
    pub fn die_in(&mut self, points: Option<u64>) {
        self.turn.environment.lent().die_in = points;
    }

    /// The first half of a turn: the clock is read, the kernel tells who is ready. The rest may come much later.
    pub fn poll(&mut self, around: &mut Around) {
        let events = self.lend(around, |server| server.turn.environment.poll());
        for &(id, event) in &events {
            if let Some(closed) = event.readable {
                self.turn.note_readable(id, closed);
            }
            if event.writable {
                self.turn.note_writable(id);
            }
        }
        self.began = Some((around.now, !events.is_empty()));
        self.due.clear();
        self.due.extend(self.turn.ready());
    }

    /// The second half, in the order of `net::server`.
    pub fn turn(&mut self, around: &mut Around, stop: bool) -> Turned {
        let (began, had_events) = self.began.take().expect("it was polled before");
        let now = clock(around.now, self.booted);
        let began = if self.plant == Plant::HeartbeatJudgedByNow { around.now } else { began };
        self.lend(around, |server| {
            let mut progress = false;
            if stop && server.turn.stopping().is_none() {
                server.backlog.clear();
                server.turn.begin_stop(now);
                progress = true;
            }
            progress |= server.turn.hear_back(now);
            progress |= server.accept(now);
            let serves = !server.turn.is_congested();
            progress |= server.turn.go_round(now, Some(server.instant(began)));
            if server.turn.environment.lent().dies() {
                return Turned::Killed;
            }
            server.turn.watch_progress(had_events, progress);
            server.turn.check_invariants();
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
        let progress = !self.backlog.is_empty();
        for link in self.backlog.drain(..) {
            let Some((socket, address)) = self.turn.environment.connect(link) else { continue };
            self.turn.add(now, socket, Door::Port(address)).expect("a link can always be watched");
        }
        progress
    }

    /// Nobody is connected: nothing that belongs to a connection may be left.
    pub fn check_baseline(&self) -> Result<(), String> {
        let left = self.turn.left().into_iter().chain(self.turn.environment.left());
        if let Some((what, count)) = left.into_iter().find(|(_, count)| *count > 0) {
            return Err(format!("11: nobody is connected, and {count} are left of: {what}"));
        }
        self.turn.hub().check_invariants();
        let hub = format!("{:?}", self.turn.hub());
        for empty in ["connections: {}", "online: {}", "heartbeats: {}", "waiting: []", "mailboxes: {}", "dirty: {}"] {
            if !hub.contains(empty) {
                return Err(format!("11: nobody is connected, everything is shown, and the hub has no '{empty}'"));
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
}

/// The clocks of a server that was started at `booted`.
fn clock(now: Time, booted: Time) -> Now {
    Now { instant: Instant::from_micros(now - booted), wall: WallTime::from_millis(WALL_AT_START_MS + now / MS) }
}
