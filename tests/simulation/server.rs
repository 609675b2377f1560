//! A model of the loop: the turns of `net::server` in virtual time, over simulated sockets, with the real hub, the real
//! wire code and the real write queue. It has the same bounds and the same order of things; what it does not have is
//! descriptors that run out and threads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chatd::hub::change::Change;
use chatd::hub::credentials::Credential;
use chatd::hub::effect::{self, CloseReason, Derivation, Effect, Event, Outbox, Recipients, Refusal};
use chatd::hub::id::{ConnectionId, DeviceId, RequestId, Source};
use chatd::hub::input::{Input, Mechanism, Peer, Request, Ticket};
use chatd::hub::message::HistoryPage;
use chatd::hub::name::UserName;
use chatd::hub::time::{Instant, Now, WallTime};
use chatd::hub::{Config, Hub};
use chatd::net::queue::{BatchNumber, IfLost, WriteQueue};
use chatd::net::slots::Slots;
use chatd::store::Batch;
use chatd::wire::recognise::{NOT_UNDERSTOOD, Openings, Recognition, recognise};
use chatd::wire::{Farewell, Protocol, Step};

use crate::dice::Dice;
use crate::disk::{Disk, Told};
use crate::ledger::Ledger;
use crate::link::{LinkId, Links, MS, Read, SECOND, Time};
use crate::plant::Plant;
use crate::secrets;

const READ_BYTES_A_TURN: usize = 16 * 1024;
const REQUESTS_A_TURN: usize = 64;
const OUT_BYTES_MAX: usize = 8 * 1024 * 1024;
const OUT_BYTES_PAUSE: usize = 256 * 1024;
const STRANGE_BYTES_MAX: usize = 4 * 1024;
const BATCHES_IN_FLIGHT_MAX: usize = 4096;
const FIRST_MESSAGE_WITHIN: Time = 20 * SECOND;
const NEXT_MESSAGE_WITHIN: Time = 60 * SECOND;
const LOG_IN_WITHIN: Time = 600 * SECOND;
const LINGER: Time = 2 * SECOND;
const DRAIN_WITHIN: Time = 5 * SECOND;
const PIECES_MAX: usize = 64;
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Strange,
    LoggedIn,
    Ending,
    Lingering,
    Gone,
}

struct Connection {
    link: LinkId,
    source: Source,
    protocol: Option<Protocol>,
    inbound: Vec<u8>,
    queue: WriteQueue,
    stage: Stage,
    deadline: Option<Time>,
    came: Time,
    said: usize,
    readable: bool,
    read_closed: bool,
    listed: bool,
    dirty: bool,
    parked: bool,
    suspended: bool,
    watched: bool,
    /// For the laws: what the log-in claims, when the last request was handled, in which turn it was served.
    claim: Option<(Mechanism, UserName, Option<DeviceId>)>,
    last_heard: Time,
    served_in: u64,
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
    pub hub: Hub,
    config: Config,
    booted: Time,
    plant: Plant,
    check_always: bool,
    outbox: Outbox,
    connections: Slots<Connection>,
    by_link: BTreeMap<LinkId, ConnectionId>,
    pub backlog: VecDeque<LinkId>,
    worker: VecDeque<(Time, Ticket, Vec<Derivation>)>,
    worker_delay: Time,
    answers: VecDeque<(usize, ConnectionId, Vec<u8>)>,
    ready: VecDeque<ConnectionId>,
    dirty: Vec<ConnectionId>,
    overflowed: Vec<ConnectionId>,
    gone: Vec<ConnectionId>,
    deadlines: BTreeSet<(Time, ConnectionId)>,
    round_began: Time,
    in_flight: VecDeque<Batch>,
    last_batch: BatchNumber,
    persisted: BatchNumber,
    parked: VecDeque<(BatchNumber, ConnectionId)>,
    queries: VecDeque<(BatchNumber, ConnectionId, Option<RequestId>)>,
    /// The store's answers to these are there.
    asked: VecDeque<(ConnectionId, Option<RequestId>)>,
    out_bytes: usize,
    stopping: Option<Time>,
    /// The sessions that the hub has, by its own effects.
    here: BTreeMap<ConnectionId, (UserName, Option<DeviceId>)>,
    /// A kill falls when so many points in turns have passed.
    pub die_in: Option<u64>,
    /// The turn that has polled and not gone on yet.
    began: Option<Time>,
    due: Vec<ConnectionId>,
    turn: u64,
    closed_links: Vec<LinkId>,
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
        let hub = Hub::new(config.clone(), seed, around.disk.fold.snapshot(), now, &mut outbox);
        let mut server = Server {
            hub,
            config,
            booted: around.now,
            plant,
            check_always,
            outbox,
            connections: Slots::default(),
            by_link: BTreeMap::new(),
            backlog: VecDeque::new(),
            worker: VecDeque::new(),
            worker_delay,
            answers: VecDeque::new(),
            ready: VecDeque::new(),
            dirty: Vec::new(),
            overflowed: Vec::new(),
            gone: Vec::new(),
            deadlines: BTreeSet::new(),
            round_began: around.now,
            in_flight: VecDeque::new(),
            last_batch: 0,
            persisted: 0,
            parked: VecDeque::new(),
            queries: VecDeque::new(),
            asked: VecDeque::new(),
            out_bytes: 0,
            stopping: None,
            here: BTreeMap::new(),
            die_in: None,
            began: None,
            due: Vec::new(),
            turn: 0,
            closed_links: Vec::new(),
        };
        server.handle(around, Input::Accounts { credentials: accounts, public: false });
        server
    }

    /// When the next turn begins, if nothing else happens first.
    pub fn next_turn(&self, now: Time, disk: &Disk, links: &Links) -> Option<Time> {
        let congested = self.is_congested();
        let unread = !self.ready.is_empty() && !congested;
        let edges = links.map.iter().any(|(id, link)| link.edge && self.by_link.contains_key(id));
        let writable = self
            .by_link
            .iter()
            .any(|(link, id)| self.connections.get(*id).is_some_and(|found| found.watched) && links.is_writable(*link));
        if unread
            || edges
            || writable
            || !self.dirty.is_empty()
            || !self.outbox.is_empty()
            || !self.answers.is_empty()
            || !self.backlog.is_empty()
            || !disk.told.is_empty()
            || !self.asked.is_empty()
        {
            return Some(now);
        }
        let judged = [self.hub_timeout(), self.deadlines.first().map(|&(at, _)| at)];
        let judged = judged.into_iter().flatten().filter(|_| !congested);
        let own = [self.worker.front().map(|(at, ..)| *at), self.stopping.map(|began| began + DRAIN_WITHIN)];
        judged.chain(own.into_iter().flatten()).min().map(|at| at.max(now))
    }

    pub fn hub_timeout(&self) -> Option<Time> {
        self.hub.poll_timeout().map(|at| at.as_micros() + self.booted)
    }

    pub fn is_mid_turn(&self) -> bool {
        self.began.is_some()
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.is_some()
    }

    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// The first half of a turn: the clock is read, the kernel tells who is ready. The rest may come much later.
    pub fn poll(&mut self, around: &mut Around) {
        self.began = Some(around.now);
        self.turn += 1;
        self.due.clear();
        let links: Vec<(LinkId, ConnectionId)> = self.by_link.iter().map(|(&link, &id)| (link, id)).collect();
        for (link, id) in links {
            let Some(found) = around.links.map.get_mut(&link) else { continue };
            let Some(connection) = self.connections.get_mut(id) else { continue };
            if std::mem::take(&mut found.edge) {
                connection.readable = true;
                connection.read_closed |= found.up.fin;
                if !connection.listed {
                    connection.listed = true;
                    self.ready.push_back(id);
                }
            }
            if connection.watched && around.links.is_writable(link) && !connection.queue.is_empty() && !connection.dirty
            {
                connection.dirty = true;
                self.dirty.push(id);
            }
        }
        self.due.extend(self.ready.iter().copied());
    }

    /// The second half.
    pub fn turn(&mut self, around: &mut Around, stop: bool) -> Turned {
        let began = self.began.take().expect("it was polled before");
        if stop && self.stopping.is_none() {
            self.begin_stop(around);
        }
        self.take_completions(around);
        self.take_worker_results(around);
        self.accept(around);
        if !self.is_congested() {
            self.serve_ready(around);
            self.round_began = match self.plant {
                Plant::HeartbeatJudgedByNow => around.now,
                _ => began,
            };
        }
        if self.dies() {
            return Turned::Killed;
        }
        self.handle_deadlines(around);
        self.submit_changes(around);
        if self.dies() {
            return Turned::Killed;
        }
        self.apply_effects(around);
        self.ask_queries();
        if !self.write_dirty(around) || self.dies() {
            return Turned::Killed;
        }
        self.free_gone();
        if self.turn.is_multiple_of(64) {
            self.hub.check_invariants();
        }
        self.check_bounds(around);
        match self.stopping {
            Some(_) if self.connections.is_empty() && self.in_flight.is_empty() && self.outbox.is_empty() => {
                Turned::Stopped
            }
            Some(began) if around.now - began >= DRAIN_WITHIN => Turned::Hurried,
            _ => Turned::On,
        }
    }

    fn dies(&mut self) -> bool {
        match &mut self.die_in {
            Some(0) => true,
            Some(points) => {
                *points -= 1;
                false
            }
            None => false,
        }
    }

    fn is_congested(&self) -> bool {
        self.in_flight.len() >= BATCHES_IN_FLIGHT_MAX
    }

    /// Hands something to the hub, and looks at what comes of it.
    fn handle(&mut self, around: &mut Around, input: Input) {
        let before = (self.outbox.effects.len(), self.outbox.changes.len());
        let (mut from, mut password) = (None, false);
        match &input {
            Input::Request { connection, request, .. } => {
                from = Some(*connection);
                let Some(found) = self.connections.get_mut(*connection) else { return };
                found.last_heard = around.now;
                match request {
                    Request::LogIn { mechanism, first, device } => {
                        let device = device.map(|device| device.id);
                        if found.stage == Stage::Strange {
                            found.claim = Some((*mechanism, first.user.clone(), device));
                        }
                    }
                    Request::Authenticate(_) => {
                        password = found.claim.as_ref().is_some_and(|claim| claim.0 == Mechanism::Password);
                    }
                    _ => {}
                }
            }
            Input::Closed { connection } => {
                self.here.remove(connection);
            }
            Input::Heard { connection } => {
                if let Some(found) = self.connections.get_mut(*connection) {
                    found.last_heard = around.now;
                }
            }
            _ => {}
        }
        self.hub.handle(clock(around.now, self.booted), input, &mut self.outbox);
        self.look_at_outcome(around, before, from, password);
    }

    fn look_at_outcome(
        &mut self,
        around: &mut Around,
        (first_effect, first_change): (usize, usize),
        from: Option<ConnectionId>,
        password: bool,
    ) {
        if self.check_always {
            self.hub.check_invariants();
        }
        let judged = self.round_began;
        for index in first_effect..self.outbox.effects.len() {
            match &self.outbox.effects[index] {
                Effect::Suspend { connection } | Effect::Query { connection, .. } => {
                    if let Some(found) = self.connections.get_mut(*connection) {
                        found.suspended = true;
                    }
                }
                Effect::Authenticated { connection } => {
                    let id = *connection;
                    let Some(found) = self.connections.get_mut(id) else { continue };
                    let Some((_, user, device)) = found.claim.clone() else {
                        around.ledger.broken("14: a session without a log-in");
                        continue;
                    };
                    if found.stage != Stage::Strange {
                        around.ledger.broken("14: a second log-in on one connection");
                    }
                    around.ledger.authenticated(
                        around.now,
                        found.link,
                        &user,
                        found.source,
                        password,
                        self.last_batch + 1,
                    );
                    found.stage = Stage::LoggedIn;
                    found.last_heard = around.now;
                    self.here.insert(id, (user, device));
                    self.set_deadline(id, None);
                }
                Effect::LogInFailed { connection, why } => {
                    let Some(found) = self.connections.get(*connection) else { continue };
                    let Some((_, user, _)) = &found.claim else { continue };
                    around.ledger.log_in_failed(around.now, found.link, user, found.source, *why, self.last_batch + 1);
                }
                Effect::Close { connection, .. } => {
                    self.here.remove(connection);
                }
                Effect::Event { to, event, .. } => {
                    for id in self.outbox.recipients(to) {
                        let Some(found) = self.connections.get(id) else { continue };
                        match event {
                            Event::Message(_) | Event::Online(_) | Event::Offline(_) | Event::Token
                                if found.stage != Stage::LoggedIn =>
                            {
                                around.ledger.broken("14: news for somebody who is not logged in");
                            }
                            Event::Closing(CloseReason::HeartbeatMissed) => {
                                let until = found.last_heard + self.config.heartbeat_timeout.as_micros() as Time;
                                let link = around.links.map.get(&found.link);
                                let in_kernel = link.is_some_and(|link| {
                                    let mut arrived = link.up.arrived.iter();
                                    arrived.any(|(at, bytes)| *at <= until && bytes.contains(&b'\n'))
                                });
                                if until > judged {
                                    around.ledger.broken("8: somebody was heard, and is said to be silent");
                                }
                                // Who does not take their answers is not read, and so not heard; who waits for us is.
                                let in_kernel = in_kernel || found.inbound.contains(&b'\n');
                                let excused = found.parked || self.is_asking(id);
                                if in_kernel && (excused || !is_paused(found)) {
                                    around.ledger.broken("8: a sign of life was there in time, and was missed");
                                }
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        let strange = from.is_some_and(|id| !self.here.contains_key(&id));
        for change in &self.outbox.changes[first_change..] {
            match change {
                Change::Message(_) | Change::Block { .. } | Change::Unblock { .. } if strange => {
                    around.ledger.broken(&format!("14: a stranger changed something: {change:?}"));
                }
                Change::Message(message) => around.ledger.accepted(message, self.here.values()),
                _ => {}
            }
        }
    }

    fn begin_stop(&mut self, around: &mut Around) {
        self.backlog.clear();
        self.handle(around, Input::Shutdown);
        let unrecognised: Vec<ConnectionId> =
            self.connections.iter_mut().filter(|(_, found)| found.protocol.is_none()).map(|(id, _)| id).collect();
        unrecognised.into_iter().for_each(|id| self.drop_connection(id));
        self.stopping = Some(around.now);
    }

    fn take_worker_results(&mut self, around: &mut Around) {
        while self.worker.front().is_some_and(|(at, ..)| *at <= around.now) {
            let Some((_, ticket, derivations)) = self.worker.pop_front() else { return };
            let verifiers = derivations.iter().map(secrets::verifier).collect();
            self.handle(around, Input::Derived { ticket, verifiers });
        }
    }

    fn accept(&mut self, around: &mut Around) {
        while let Some(link) = self.backlog.pop_front() {
            let Some(found) = around.links.map.get(&link) else { continue };
            let connection = Connection {
                link,
                source: Source::of(found.source),
                protocol: None,
                inbound: Vec::new(),
                queue: WriteQueue::default(),
                stage: Stage::Strange,
                deadline: None,
                came: around.now,
                said: 0,
                readable: true,
                read_closed: false,
                listed: true,
                dirty: false,
                parked: false,
                suspended: false,
                watched: false,
                claim: None,
                last_heard: around.now,
                served_in: self.turn,
            };
            let Ok(id) = self.connections.insert(|_| Ok::<_, std::convert::Infallible>(connection));
            self.by_link.insert(link, id);
            self.set_deadline(id, Some(around.now + FIRST_MESSAGE_WITHIN));
            self.ready.push_back(id);
        }
    }

    fn serve_ready(&mut self, around: &mut Around) {
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else { break };
            let Some(connection) = self.connections.get_mut(id) else { continue };
            connection.listed = false;
            if !(self.plant == Plant::OneIsSkipped && id.slot % 4 == 1 && connection.stage == Stage::LoggedIn) {
                connection.served_in = self.turn;
                self.serve(around, id);
            }
            self.list_if_has_work(id);
        }
        let mut due = std::mem::take(&mut self.due);
        for id in due.drain(..) {
            if self.connections.get(id).is_some_and(|found| found.served_in != self.turn) {
                around.ledger.broken("12: somebody who was ready was not served in the round");
            }
        }
        self.due = due;
    }

    fn list_if_has_work(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id)
            && !connection.listed
            && has_work(connection)
        {
            connection.listed = true;
            self.ready.push_back(id);
        }
    }

    fn serve(&mut self, around: &mut Around, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        match connection.stage {
            Stage::Gone => return,
            Stage::Ending | Stage::Lingering => return self.discard(around, id),
            Stage::Strange | Stage::LoggedIn => {}
        }
        if is_paused(connection) {
            return;
        }
        let mut budget = REQUESTS_A_TURN;
        if !connection.inbound.is_empty() {
            let mut inbound = std::mem::take(&mut connection.inbound);
            let used = self.decode(around, id, &inbound, &mut budget);
            inbound.drain(..used);
            self.keep(id, inbound);
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        if budget == 0 || !connection.readable || !connection.is_served() || is_paused(connection) {
            return;
        }
        match around.links.read(connection.link, READ_BYTES_A_TURN) {
            Read::Bytes(bytes) => {
                connection.readable = bytes.len() == READ_BYTES_A_TURN || connection.read_closed;
                let mut inbound = std::mem::take(&mut connection.inbound);
                inbound.extend_from_slice(&bytes);
                let used = self.decode(around, id, &inbound, &mut budget);
                inbound.drain(..used);
                self.keep(id, inbound);
            }
            Read::End => {
                connection.readable = false;
                connection.read_closed = true;
                self.end(around, id);
            }
            Read::Nothing => connection.readable = false,
            Read::Broken => self.vanished(around, id),
        }
    }

    fn keep(&mut self, id: ConnectionId, rest: Vec<u8>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.is_served() {
            connection.inbound = rest;
        }
    }

    fn decode(&mut self, around: &mut Around, id: ConnectionId, bytes: &[u8], budget: &mut usize) -> usize {
        let mut used = 0;
        while *budget > 0 {
            let Some(connection) = self.connections.get_mut(id) else { return used };
            if !connection.is_served() || is_paused(connection) {
                return used;
            }
            let rest = &bytes[used..];
            if connection.protocol.is_none() && !self.recognise(around, id, rest) {
                return used;
            }
            let Some(connection) = self.connections.get_mut(id) else { return used };
            let Some(protocol) = connection.protocol else { return used };
            let room = match connection.stage {
                Stage::Strange if self.plant != Plant::StrangersMaySayAnything => {
                    STRANGE_BYTES_MAX - connection.said.min(STRANGE_BYTES_MAX)
                }
                _ => usize::MAX,
            };
            let step = protocol.decode(rest);
            let taken = match &step {
                Step::Wait => rest.len(),
                Step::Request { used, .. } | Step::Refused { used, .. } => *used,
                Step::Violation { .. } => 0,
            };
            if taken > room {
                self.farewell(around, id, protocol, Farewell::TooMuch);
                return used;
            }
            match step {
                Step::Wait => return used,
                Step::Request { id: request_id, request, .. } => {
                    self.said(around.now, id, taken);
                    self.handle(around, Input::Request { connection: id, id: request_id, request });
                }
                Step::Refused { reply, .. } => {
                    if let Some(connection) = self.connections.get_mut(id) {
                        connection.said += taken;
                    }
                    self.answer(id, reply);
                }
                Step::Violation { reply } => {
                    self.answer(id, reply);
                    self.end(around, id);
                    return used;
                }
            }
            used += taken;
            *budget -= 1;
        }
        used
    }

    fn said(&mut self, now: Time, id: ConnectionId, bytes: usize) {
        let Some(connection) = self.connections.get_mut(id).filter(|found| found.stage == Stage::Strange) else {
            return;
        };
        connection.said += bytes;
        let at = (now + NEXT_MESSAGE_WITHIN).min(connection.came + LOG_IN_WITHIN);
        self.set_deadline(id, Some(at));
    }

    fn recognise(&mut self, around: &mut Around, id: ConnectionId, bytes: &[u8]) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        match recognise(bytes, false, &Openings { native: true }) {
            Recognition::This(protocol) => {
                connection.protocol = Some(protocol);
                let source = connection.source;
                let peer = Peer::Stranger { source, binding: None, may_sign_up: false };
                self.handle(around, Input::Connected { connection: id, peer });
                true
            }
            Recognition::Wait => false,
            Recognition::None => {
                self.answer(id, NOT_UNDERSTOOD.to_vec());
                self.end(around, id);
                false
            }
        }
    }

    fn is_asking(&self, id: ConnectionId) -> bool {
        self.queries.iter().any(|(_, asking, _)| *asking == id) || self.asked.iter().any(|(asked, _)| *asked == id)
    }

    /// Who is not read because something is waited for on this side gives no sign of life that could be heard.
    fn excuse_the_waiting(&mut self, around: &mut Around) {
        let parked = self.parked.iter().map(|&(_, id)| id);
        let asking = self.queries.iter().map(|&(_, id, _)| id).chain(self.asked.iter().map(|&(id, _)| id));
        let waiting: Vec<ConnectionId> = parked.chain(asking).collect();
        for connection in waiting {
            if self.connections.get(connection).is_some_and(is_paused) {
                self.handle(around, Input::Heard { connection });
            }
        }
    }

    fn handle_deadlines(&mut self, around: &mut Around) {
        let judged = self.round_began;
        if self.hub_timeout().is_some_and(|at| at <= judged) {
            self.excuse_the_waiting(around);
            let before = (self.outbox.effects.len(), self.outbox.changes.len());
            let now = Now { instant: clock(judged, self.booted).instant, wall: clock(around.now, self.booted).wall };
            self.hub.handle_timeout(now, &mut self.outbox);
            self.look_at_outcome(around, before, None, false);
        }
        while let Some(&(at, id)) = self.deadlines.first() {
            if at > judged {
                break;
            }
            self.deadlines.pop_first();
            self.deadline_passed(around, id);
        }
        let timeout = self.config.heartbeat_timeout.as_micros() as Time;
        for id in self.here.keys() {
            if self.connections.get(*id).is_some_and(|found| found.last_heard + timeout <= judged) {
                around.ledger.broken("8: somebody was silent for too long, and is still there");
            }
        }
    }

    fn deadline_passed(&mut self, around: &mut Around, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.deadline = None;
        match (connection.stage, connection.protocol) {
            (Stage::Strange, _) if connection.suspended => {
                self.set_deadline(id, Some(around.now + NEXT_MESSAGE_WITHIN));
            }
            (Stage::Strange, Some(protocol)) => self.farewell(around, id, protocol, Farewell::TooSlow),
            (Stage::Strange, None) => {
                self.answer(id, NOT_UNDERSTOOD.to_vec());
                self.end(around, id);
            }
            (Stage::LoggedIn, _) => {}
            (Stage::Ending | Stage::Lingering | Stage::Gone, _) => self.drop_connection(id),
        }
    }

    fn farewell(&mut self, around: &mut Around, id: ConnectionId, protocol: Protocol, farewell: Farewell) {
        let mut bytes = Vec::new();
        protocol.encode_farewell(farewell, &mut bytes);
        self.answer(id, bytes);
        self.end(around, id);
    }

    fn end(&mut self, around: &mut Around, id: ConnectionId) {
        if !(self.plant == Plant::ClosedIsForgotten && around.dice.one_in(2)) {
            self.handle(around, Input::Closed { connection: id });
        }
        self.begin_ending(around.now, id);
    }

    fn begin_ending(&mut self, now: Time, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !connection.is_served() {
            return;
        }
        connection.stage = Stage::Ending;
        connection.inbound = Vec::new();
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(id);
        }
        self.set_deadline(id, Some(now + DRAIN_WITHIN));
        self.list_if_has_work(id);
    }

    fn vanished(&mut self, around: &mut Around, id: ConnectionId) {
        if self.connections.get(id).is_some_and(Connection::is_served) {
            self.handle(around, Input::Closed { connection: id });
        }
        self.drop_connection(id);
    }

    fn drop_connection(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id)
            && connection.stage != Stage::Gone
        {
            connection.stage = Stage::Gone;
            self.gone.push(id);
        }
    }

    fn discard(&mut self, around: &mut Around, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        match around.links.read(connection.link, READ_BYTES_A_TURN) {
            Read::Bytes(bytes) => connection.readable = bytes.len() == READ_BYTES_A_TURN || connection.read_closed,
            Read::End => {
                connection.readable = false;
                connection.read_closed = true;
                if connection.stage == Stage::Lingering {
                    self.drop_connection(id);
                }
            }
            Read::Nothing => connection.readable = false,
            Read::Broken => self.drop_connection(id),
        }
    }

    fn set_deadline(&mut self, id: ConnectionId, at: Option<Time>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if let Some(old) = connection.deadline.take() {
            self.deadlines.remove(&(old, id));
        }
        connection.deadline = at;
        if let Some(at) = at {
            self.deadlines.insert((at, id));
        }
    }

    fn submit_changes(&mut self, around: &mut Around) {
        if self.outbox.changes.is_empty() {
            return;
        }
        self.last_batch += 1;
        let batch = Batch { number: self.last_batch, changes: self.outbox.changes.iter().cloned().collect() };
        self.in_flight.push_back(batch.clone());
        around.disk.submit(around.dice, around.now, batch);
    }

    fn take_completions(&mut self, around: &mut Around) {
        while let Some(told) = around.disk.told.pop_front() {
            match told {
                Told::Persisted { through } => {
                    around.ledger.persisted(through);
                    self.advance_persisted(through);
                }
                Told::Failed { first } => self.commit_failed(around, first),
            }
        }
        while let Some((connection, id)) = self.asked.pop_front() {
            self.handle(around, Input::History { connection, id, page: Some(HistoryPage::default()) });
            if let Some(found) = self.connections.get_mut(connection) {
                found.suspended = false;
            }
            self.list_if_has_work(connection);
        }
    }

    fn ask_queries(&mut self) {
        while self.queries.front().is_some_and(|(batch, ..)| *batch <= self.persisted) {
            let Some((_, connection, id)) = self.queries.pop_front() else { return };
            self.asked.push_back((connection, id));
        }
    }

    fn advance_persisted(&mut self, through: BatchNumber) {
        self.persisted = self.persisted.max(through);
        while self.in_flight.front().is_some_and(|batch| batch.number <= through) {
            self.in_flight.pop_front();
        }
        while let Some(&(batch, id)) = self.parked.front() {
            if batch > self.persisted {
                return;
            }
            self.parked.pop_front();
            let Some(connection) = self.connections.get_mut(id) else { continue };
            connection.parked = false;
            if !connection.dirty {
                connection.dirty = true;
                self.dirty.push(id);
            }
        }
    }

    fn commit_failed(&mut self, around: &mut Around, first: BatchNumber) {
        around.ledger.lost(first, self.last_batch);
        let lost = first..=self.last_batch;
        let refusal = Err(Refusal::NotStored);
        for (_, connection) in self.connections.iter_mut() {
            let Some(protocol) = connection.protocol else { continue };
            let before = connection.queue.bytes();
            if self.plant != Plant::NothingIsTakenBack {
                connection.queue.lose(&lost, |id| {
                    let mut bytes = Vec::new();
                    protocol.encode_answer(id, &refusal, &mut bytes);
                    bytes.into()
                });
            }
            self.out_bytes = self.out_bytes - before + connection.queue.bytes();
        }
        let mut changes: Vec<Change> = self.in_flight.drain(..).flat_map(|batch| batch.changes.to_vec()).collect();
        match self.plant {
            Plant::MessagesAreNotUndone => changes.retain(|change| !matches!(change, Change::Message(_))),
            Plant::BlocksAreNotUndone => changes.retain(|change| !matches!(change, Change::Block { .. })),
            _ => {}
        }
        around.disk.resume(around.dice, around.now);
        self.advance_persisted(self.last_batch);
        self.handle(around, Input::CommitFailed(changes));
    }

    fn apply_effects(&mut self, around: &mut Around) {
        let mut outbox = std::mem::take(&mut self.outbox);
        let batch = if outbox.changes.is_empty() { 0 } else { self.last_batch };
        let mut run: Option<Run> = None;
        for (index, effect) in outbox.effects.iter().enumerate() {
            if self.answers.front().is_some_and(|&(place, ..)| place <= index) {
                self.push_run(run.take(), &outbox, batch);
                self.push_answers(index);
            }
            match effect {
                Effect::Event { to, if_lost, .. } => match &mut run {
                    Some(run) if run.takes(to, *if_lost) => run.end = index + 1,
                    _ => {
                        let next = Run { start: index, end: index + 1, to, if_lost: *if_lost };
                        self.push_run(run.replace(next), &outbox, batch);
                    }
                },
                Effect::Reply { connection, .. }
                    if run.as_ref().is_some_and(|run| !outbox.recipients(run.to).any(|id| id == *connection)) =>
                {
                    self.apply(around, effect, batch);
                }
                _ => {
                    self.push_run(run.take(), &outbox, batch);
                    self.apply(around, effect, batch);
                }
            }
        }
        self.push_run(run, &outbox, batch);
        self.push_answers(usize::MAX);
        outbox.clear();
        self.outbox = outbox;
    }

    fn push_run(&mut self, run: Option<Run>, outbox: &Outbox, batch: BatchNumber) {
        let Some(run) = run else { return };
        let batch = self.rests_on(run.if_lost, batch);
        let events: Vec<&Event> = run.events(outbox).collect();
        let many =
            matches!(run.to, Recipients::Many(_)) && events.iter().any(|event| matches!(event, Event::Message(_)));
        let everybody: Vec<ConnectionId> = match self.plant {
            Plant::BroadcastsReachEverybody if many => self.here.keys().copied().collect(),
            Plant::OneIsLeftOut if many => outbox.recipients(run.to).skip(1).collect(),
            _ => outbox.recipients(run.to).collect(),
        };
        let mut encoded: Option<Arc<[u8]>> = None;
        for id in everybody {
            let Some(protocol) = self.connections.get(id).and_then(|found| found.protocol) else { continue };
            let bytes = encoded.get_or_insert_with(|| {
                let mut bytes = Vec::new();
                events.iter().for_each(|event| protocol.encode_event(event, &mut bytes));
                bytes.into()
            });
            let bytes = Arc::clone(bytes);
            self.push(id, bytes, batch, fate(run.if_lost, None));
        }
    }

    fn apply(&mut self, around: &mut Around, effect: &Effect, batch: BatchNumber) {
        match effect {
            Effect::Reply { connection, id, answer, if_lost } => {
                let Some(protocol) = self.connections.get(*connection).and_then(|found| found.protocol) else { return };
                let mut bytes = Vec::new();
                protocol.encode_answer(*id, answer, &mut bytes);
                let batch = match (self.plant, answer) {
                    (Plant::AcknowledgedBeforeCommit, Ok(effect::Reply::Accepted { .. })) => 0,
                    _ => self.rests_on(*if_lost, batch),
                };
                self.push(*connection, bytes.into(), batch, fate(*if_lost, *id));
            }
            Effect::Event { .. } => {}
            Effect::Authenticated { .. } | Effect::Suspend { .. } => {}
            Effect::Unsuspend { connection } => {
                if let Some(found) = self.connections.get_mut(*connection) {
                    found.suspended = false;
                }
                self.list_if_has_work(*connection);
            }
            Effect::Close { connection, how: _ } => self.begin_ending(around.now, *connection),
            Effect::Derive { ticket, derivations } => {
                let begin = self.worker.back().map_or(around.now, |(at, ..)| *at);
                let delay = around.dice.range(MS, self.worker_delay + 2 * MS);
                self.worker.push_back((begin.max(around.now) + delay, *ticket, derivations.clone()));
            }
            Effect::Query { connection, id, .. } => self.queries.push_back((self.last_batch, *connection, *id)),
            Effect::LogInFailed { .. } | Effect::AccountsRead(_) => {}
        }
    }

    fn rests_on(&self, if_lost: effect::IfLost, batch: BatchNumber) -> BatchNumber {
        match if_lost {
            _ if self.plant == Plant::NothingWaitsForTheDisk => 0,
            _ if self.plant == Plant::OnlyTheTurnCounts => batch,
            effect::IfLost::Send => batch,
            effect::IfLost::Drop | effect::IfLost::Refuse => self.last_batch,
        }
    }

    fn answer(&mut self, id: ConnectionId, bytes: Vec<u8>) {
        self.answers.push_back((self.outbox.effects.len(), id, bytes));
    }

    fn push_answers(&mut self, index: usize) {
        while let Some((place, ..)) = self.answers.front() {
            if *place > index {
                return;
            }
            let Some((_, id, bytes)) = self.answers.pop_front() else { return };
            self.push(id, bytes.into(), 0, IfLost::Send);
        }
    }

    fn push(&mut self, id: ConnectionId, bytes: Arc<[u8]>, batch: BatchNumber, if_lost: IfLost) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if matches!(connection.stage, Stage::Lingering | Stage::Gone) || bytes.is_empty() {
            return;
        }
        let max = if connection.stage == Stage::Strange { STRANGE_BYTES_MAX } else { OUT_BYTES_MAX };
        if connection.queue.bytes() + bytes.len() > max {
            self.overflowed.push(id);
            return;
        }
        self.out_bytes += bytes.len();
        connection.queue.push(bytes, batch, if_lost);
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(id);
        }
    }

    /// False: killed in the middle.
    fn write_dirty(&mut self, around: &mut Around) -> bool {
        for id in std::mem::take(&mut self.overflowed) {
            if self.connections.get(id).is_some_and(Connection::is_served) {
                self.handle(around, Input::Closed { connection: id });
            }
            self.drop_connection(id);
        }
        for id in std::mem::take(&mut self.dirty) {
            if self.dies() {
                return false;
            }
            if self.write(around, id) {
                self.dirty.push(id);
            }
        }
        true
    }

    /// Writes once. True: there is more than one write takes.
    fn write(&mut self, around: &mut Around, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        connection.dirty = false;
        if matches!(connection.stage, Stage::Gone | Stage::Lingering) {
            return false;
        }
        let before = connection.queue.bytes();
        let mut pieces = connection.queue.writable(self.persisted);
        let mut bytes = Vec::new();
        pieces.by_ref().take(PIECES_MAX).for_each(|piece| bytes.extend_from_slice(piece));
        let more = pieces.next().is_some();
        drop(pieces);
        let mut full = false;
        if !bytes.is_empty() {
            let Some(written) = around.links.write(around.dice, around.now, connection.link, &bytes) else {
                self.vanished(around, id);
                return false;
            };
            connection.queue.advance(written);
            full = written < bytes.len();
        }
        let written = before - connection.queue.bytes();
        self.out_bytes -= written;
        if written > 0 && before > OUT_BYTES_PAUSE && connection.is_served() {
            self.handle(around, Input::Heard { connection: id });
        }
        let Some(connection) = self.connections.get_mut(id) else { return false };
        connection.dirty = more && !full;
        connection.watched = full;
        if let Some(batch) = connection.queue.waits_for(self.persisted)
            && !connection.parked
        {
            connection.parked = true;
            let place = self.parked.iter().rposition(|&(earlier, _)| earlier <= batch).map_or(0, |last| last + 1);
            self.parked.insert(place, (batch, id));
        }
        let again = connection.dirty;
        if connection.stage == Stage::Ending && connection.queue.is_empty() {
            connection.stage = Stage::Lingering;
            around.links.fin(around.dice, around.now, connection.link, false);
            if connection.read_closed {
                self.drop_connection(id);
            } else {
                self.set_deadline(id, Some(around.now + LINGER));
            }
        }
        self.list_if_has_work(id);
        again
    }

    fn free_gone(&mut self) {
        for id in std::mem::take(&mut self.gone) {
            let Some(connection) = self.connections.remove(id) else { continue };
            self.out_bytes -= connection.queue.bytes();
            if let Some(at) = connection.deadline {
                self.deadlines.remove(&(at, id));
            }
            self.by_link.remove(&connection.link);
            self.closed_links.push(connection.link);
        }
    }

    fn check_bounds(&mut self, around: &mut Around) {
        let mut sum = 0;
        for (_, connection) in self.connections.iter_mut() {
            sum += connection.queue.bytes();
            let inbound_max = READ_BYTES_A_TURN + Protocol::Native.request_bytes_max();
            if connection.queue.bytes() > OUT_BYTES_MAX || connection.inbound.len() > inbound_max {
                around.ledger.broken("10: a connection's buffers are over their bounds");
            }
            let strange = connection.stage == Stage::Strange;
            if strange && connection.said.max(connection.queue.bytes()) > STRANGE_BYTES_MAX {
                around.ledger.broken("10: a stranger has said or was told more than is allowed");
            }
        }
        if sum != self.out_bytes {
            around.ledger.broken("10: the sum of what waits to be written is wrong");
        }
    }

    /// Nobody is connected: nothing that belongs to a connection may be left.
    pub fn check_baseline(&self) -> Result<(), String> {
        let lists = [
            ("ready", self.ready.len()),
            ("dirty", self.dirty.len()),
            ("deadlines", self.deadlines.len()),
            ("in flight", self.in_flight.len()),
            ("queries", self.queries.len()),
            ("sessions", self.here.len()),
            ("bytes", self.out_bytes),
        ];
        if let Some((what, count)) = lists.iter().find(|(_, count)| *count > 0) {
            return Err(format!("11: nobody is connected, and {count} are left of: {what}"));
        }
        self.hub.check_invariants();
        let hub = format!("{:?}", self.hub);
        for empty in ["connections: {}", "online: {}", "heartbeats: {}", "waiting: []", "mailboxes: {}", "dirty: {}"] {
            if !hub.contains(empty) {
                return Err(format!("11: nobody is connected, everything is shown, and the hub has no '{empty}'"));
            }
        }
        Ok(())
    }

    /// Links whose descriptor was closed since the last call.
    pub fn take_closed(&mut self) -> Vec<LinkId> {
        std::mem::take(&mut self.closed_links)
    }
}

impl Connection {
    fn is_served(&self) -> bool {
        matches!(self.stage, Stage::Strange | Stage::LoggedIn)
    }
}

fn is_paused(connection: &Connection) -> bool {
    connection.suspended || connection.queue.bytes() > OUT_BYTES_PAUSE
}

fn has_work(connection: &Connection) -> bool {
    match connection.stage {
        Stage::Gone => false,
        Stage::Ending | Stage::Lingering => connection.readable,
        Stage::Strange | Stage::LoggedIn => !is_paused(connection) && (connection.readable || has_request(connection)),
    }
}

fn has_request(connection: &Connection) -> bool {
    match connection.protocol {
        Some(protocol) => !connection.inbound.is_empty() && protocol.may_decode(&connection.inbound),
        None => false,
    }
}

/// Events of a turn for the same recipients, which take one place in each queue.
struct Run<'a> {
    start: usize,
    end: usize,
    to: &'a Recipients,
    if_lost: effect::IfLost,
}

const RUN_MAX: usize = 128;

impl Run<'_> {
    fn takes(&self, to: &Recipients, if_lost: effect::IfLost) -> bool {
        self.to == to && self.if_lost == if_lost && self.end - self.start < RUN_MAX
    }

    fn events<'b>(&self, outbox: &'b Outbox) -> impl Iterator<Item = &'b Event> {
        outbox.effects[self.start..self.end].iter().filter_map(|effect| match effect {
            Effect::Event { event, .. } => Some(event),
            _ => None,
        })
    }
}

fn fate(if_lost: effect::IfLost, id: Option<RequestId>) -> IfLost {
    match if_lost {
        effect::IfLost::Send => IfLost::Send,
        effect::IfLost::Drop => IfLost::Drop,
        effect::IfLost::Refuse => IfLost::Refuse(id),
    }
}

/// The clocks of a server that was started at `booted`.
fn clock(now: Time, booted: Time) -> Now {
    Now { instant: Instant::from_micros(now - booted), wall: WallTime::from_millis(WALL_AT_START_MS + now / MS) }
}
