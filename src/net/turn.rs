//! The turn: everything that the chat consists of happens in it, a turn after the other.
//!
//! A turn, as its owner calls it: note what the poll has announced; `hear_back` from the store and the worker; `add` who
//! has come; `go_round`: serve each ready connection a bounded amount; the deadlines; hand the turn's changes to the
//! store; apply the effects; write each connection that has something to write once; free what is closed. Handlers
//! append; only the turn writes and frees. Readiness is edge-triggered: who may have more to read stays on the ready list.
//!
//! Contains no rule of the chat (hub) and no byte of a protocol (wire), and no socket, clock or thread either: those are
//! its [`Environment`]. The server has real ones, and the simulation runs the same turn in virtual time.

mod apply;
mod calls;
mod correspondents;
mod datagrams;
mod ending;
mod environment;
mod invariants;
mod opening;
mod pacing;
mod serve;
mod storage;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;

use datagrams::Datagrams;
pub use environment::{Environment, Seen};

use super::callee::Callees;
use super::connection::{Connection, Door, Known, Serves, Stage};
use super::correspondent::Correspondents;
use super::posts::Posts;
use super::queue::{BatchNumber, Encoded};
use super::room::Room;
use super::scope::Scope;
use super::slots::Slots;
use super::strangers::Strangers;
use super::timers::{Timer, Timers};
use super::worker::{Done, Reloaded};
use crate::hub::Hub;
use crate::hub::effect::Outbox;
use crate::hub::id::{ConnectionId, RequestId};
use crate::hub::input::Input;
use crate::hub::message::HistoryQuery;
use crate::hub::time::{Instant, Now};
use crate::store::{Batch, Ticket};
use crate::wire::session::glued::Expected;
use crate::wire::session::log_on::FourDigitPort;
use crate::wire::{Conversation, Pieces};

/// Bytes read from a connection in a turn.
const READ_BYTES_A_TURN: usize = 16 * 1024;
/// Requests of one connection handled in a turn.
const REQUESTS_A_TURN: usize = 64;
/// Datagrams received from a socket in a turn, and sent to one client, beside its messages.
const DATAGRAMS_A_TURN: usize = 64;
/// Datagrams that the kernel keeps for a socket, at most, about.
const DATAGRAMS_KEPT_MAX: usize = 4096;
/// A connection whose peer does not read may have this much to be written; with more it is closed.
const OUT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// With this much to be written a connection's requests wait.
pub const OUT_BYTES_PAUSE: usize = 256 * 1024;
/// What a connection may say, and be told, before its log-in.
pub const STRANGE_BYTES_MAX: usize = 4 * 1024;
/// What may come of a stranger's encrypted connection without a word in it: a whole record, and the few that TLS itself needs.
const UNHEARD_BYTES_MAX: usize = 20 * 1024;
/// Batches that the store may owe an answer; with more nobody is read until it has caught up.
const BATCHES_IN_FLIGHT_MAX: usize = 4096;
/// The same in bytes.
const BYTES_IN_FLIGHT_MAX: usize = 64 * 1024 * 1024;
/// Questions about history that the store has at a time; others wait. A connection has one at a time.
const QUERIES_ASKED_MAX: usize = 32;
/// A connection's first complete message has to come within this time,
const FIRST_MESSAGE_WITHIN: Duration = Duration::from_secs(20);
/// each further one of the log-in within this, and so does the first byte where a person may be typing,
const NEXT_MESSAGE_WITHIN: Duration = Duration::from_secs(60);
/// and the log-in must be done within this.
const LOG_IN_WITHIN: Duration = Duration::from_secs(600);
/// A connection that we have closed waits so long for the peer to close too.
const LINGER: Duration = Duration::from_secs(2);
/// Who has said nothing for so long, where guests are let in, is asked for a nickname.
const SILENCE: Duration = Duration::from_secs(1);
/// After so long without more to come a message has ended, where a protocol has no other end.
pub const QUIET: Duration = Duration::from_millis(50);
/// What was written to a client without framing is taken to be read after so long: then the next chunk follows.
pub const PACE: Duration = Duration::from_millis(50);
/// While a client's system has not acknowledged what was written, that is looked at again after so long.
const ACKNOWLEDGED_EVERY: Duration = Duration::from_millis(50);
/// Chunks with messages that may be on their way to such a client before that is looked at, while more waits.
const UNDER_WAY_MAX: usize = 16;
/// A client whose connection is its sign of life is gone when its system has acknowledged nothing for so long.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(35);
/// A client that is called has to have taken what is for it, and closed, within this time from the dialling on.
const CALL_WITHIN: Duration = Duration::from_secs(2);
/// A client that has logged in is called after this time, even if its log-in is not over.
const LOG_IN_OVER_WITHIN: Duration = Duration::from_secs(5);
/// At the end what is acknowledged may take this long to be written.
pub const DRAIN_WITHIN: Duration = Duration::from_secs(5);
/// That there are too many connections is logged no more often than this.
const TELL_OF_A_CROWD_EVERY: Duration = Duration::from_secs(60);
/// Turns with events but without progress, in a row, that are a bug.
const IDLE_TURNS_MAX: u32 = 1000;

/// Who may come in, and how.
#[derive(Clone, Debug)]
pub struct Admission {
    /// From where unencrypted protocols are served.
    pub plaintext: Scope,
    /// From where people come in without an account.
    pub guests: Scope,
    /// From where people may make accounts.
    pub registration: Scope,
    /// What encrypted connections are made with; `None`: there are none.
    pub tls: Option<Arc<ServerConfig>>,
    /// How many connections there may be.
    pub room: Room,
    /// The ports that this server listens at: nobody is called there.
    pub ports: Vec<u16>,
    /// What each socket of datagrams serves, in order.
    pub datagrams: Vec<Serves>,
    /// Where whoever has logged on by datagrams finds the session; `None`: nobody can.
    pub session_port: Option<FourDigitPort>,
    /// So long a client without framing has to read a chunk before the next is written; `PACE`, but for tests.
    pub pace: Duration,
    /// Who of them has to go is drawn with this.
    pub seed: [u8; 32],
}

/// The state of all connections, and what is under way between them, the hub and the outside.
pub struct Turn<E: Environment> {
    pub environment: E,
    admission: Admission,
    /// All connections together may have this much to be written, in bytes.
    out_bytes_max: usize,
    connections: Slots<Connection<E::Stream>>,
    strangers: Strangers,
    /// Those who would be strangers, but come from where somebody is logged in who makes a connection for each request.
    posts: Posts,
    /// Clients that are reached by calls. Each has a slot among the connections, though it is none.
    callees: Callees,
    datagrams: Datagrams,
    /// Clients that are reached by datagrams. Each has a slot among the connections, though it is none.
    correspondents: Correspondents,
    /// Those who have logged on by datagrams and have not connected yet, by where they come from.
    expected: HashMap<IpAddr, Expected>,
    /// When it was said last that there are too many of them.
    crowd_told: Option<Instant>,
    /// How many connections are there on which somebody has logged in, whatever has become of them.
    members: usize,
    /// Those of them that have been told everything and only wait for the peer to close, oldest first; some are gone already.
    lingering: VecDeque<ConnectionId>,
    /// When it was said last that no more of them fit.
    full_told: Option<Instant>,
    /// Strangers whom nobody serves any more, oldest first; some of them are gone already.
    parting: VecDeque<ConnectionId>,
    hub: Hub,
    outbox: Outbox,
    /// Answers that net gives by itself, each with its place among the turn's effects.
    answers: VecDeque<(usize, ConnectionId, Encoded)>,
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
    timers: Timers,
    /// Who has been written a chunk and may not have read it yet, until when, the first one first; some are gone already.
    paced: VecDeque<(Instant, ConnectionId)>,
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
    plain_buffer: Vec<u8>,
    encode_buffer: Pieces,
    /// A chunk as it travels on a connection with a cipher of its own.
    seal_buffer: Vec<u8>,
}

struct Query {
    connection: ConnectionId,
    id: Option<RequestId>,
    query: HistoryQuery,
}

/// How the server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything acknowledged was written.
    Orderly,
    /// Some of what was to be written was not, or a second signal came.
    Hurried,
}

impl<E: Environment> Turn<E> {
    /// `outbox`: what came of making the hub; it is stored and sent first.
    pub fn new(environment: E, hub: Hub, outbox: Outbox, admission: Admission, out_bytes_max: usize) -> Turn<E> {
        Turn {
            environment,
            crowd_told: None,
            members: 0,
            lingering: VecDeque::new(),
            full_told: None,
            parting: VecDeque::new(),
            strangers: Strangers::new(admission.room.strangers, admission.seed),
            posts: Posts::new(admission.room.posts),
            callees: Callees::new(admission.room.calls),
            datagrams: Datagrams::new(&admission.datagrams),
            correspondents: Correspondents::default(),
            expected: HashMap::new(),
            admission,
            out_bytes_max,
            connections: Slots::default(),
            hub,
            outbox,
            answers: VecDeque::new(),
            ready: VecDeque::new(),
            dirty: Vec::new(),
            dirty_again: Vec::new(),
            overflowed: Vec::new(),
            gone: Vec::new(),
            deadlines: BTreeSet::new(),
            timers: Timers::default(),
            paced: VecDeque::new(),
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
            plain_buffer: Vec::new(),
            encode_buffer: Pieces::default(),
            seal_buffer: Vec::new(),
        }
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// When the end began, if it has.
    pub fn stopping(&self) -> Option<Instant> {
        self.stopping
    }

    /// Hands the hub an input.
    pub fn tell(&mut self, now: Now, input: Input) {
        let Some(input) = self.environment.tells(input) else { return };
        let before = (self.outbox.effects.len(), self.outbox.changes.len());
        self.hub.handle(now, input, &mut self.outbox);
        self.let_observe(before);
    }

    /// For the simulation; the server's environment does not look.
    fn let_observe(&mut self, (effects_before, changes_before): (usize, usize)) {
        self.environment.observe(Seen {
            hub: &self.hub,
            outbox: &mut self.outbox,
            effects_before,
            changes_before,
            connections: &self.connections,
            round_began: self.round_began,
            batch: self.last_batch + 1,
        });
    }

    /// More has come on a connection, or its end (`closed`), or it has failed.
    pub fn note_readable(&mut self, id: ConnectionId, closed: bool) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.readable = true;
        connection.read_closed |= closed;
        if !connection.listed {
            connection.listed = true;
            self.ready.push_back(id);
        }
    }

    /// A connection takes bytes again.
    pub fn note_writable(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !connection.is_drained() && !connection.dirty {
            connection.dirty = true;
            self.dirty.push(id);
        }
    }

    /// Who it is will be written to, or looked at for that, in this turn.
    fn mark_dirty(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id)
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push(id);
        }
    }

    /// Takes what the store and the worker have done. Says whether that was anything.
    pub fn hear_back(&mut self, now: Now) -> bool {
        let completed = self.take_completions(now);
        self.take_worker_results(now) || completed
    }

    /// Serves everybody who has something to be read or handled once, and does what comes of it, up to the writes. `began`:
    /// when the poll began, if it has announced everybody who was ready then. Says whether there was anything to do.
    pub fn go_round(&mut self, now: Now, began: Option<Instant>) -> bool {
        let mut progress = self.serve_ready(now);
        if let Some(began) = began
            && !self.is_congested()
            && let Some(judged) = self.datagrams.caught_up(began)
        {
            self.round_began = judged;
        }
        progress |= self.handle_deadlines(now);
        self.submit_changes();
        self.apply_effects(now);
        self.place_calls(now);
        self.ask_queries();
        progress |= self.write_dirty(now);
        progress |= self.send_datagrams(now);
        self.free_gone(now);
        progress
    }

    /// Until the nearest deadline; not at all while somebody has work to do.
    pub fn timeout(&self, now: Instant) -> Option<Duration> {
        let congested = self.is_congested();
        let unread = (!self.ready.is_empty() || self.datagrams.is_ready()) && !congested;
        let unsent = self.correspondents.due() > 0 || self.datagrams.may_reply(self.persisted);
        let unwritten = !self.dirty.is_empty() || self.callees.has_next() || unsent;
        if unread || unwritten || !self.outbox.is_empty() || !self.answers.is_empty() {
            return Some(Duration::ZERO);
        }
        // While nobody is read, nobody can be late.
        let deadline = self.deadlines.first().map(|&(at, _)| at);
        let paced = self.paced.front().map(|&(at, _)| at);
        let judged = [self.hub.poll_timeout(), deadline, self.timers.next_at(), paced];
        let judged = judged.into_iter().flatten().filter(|_| !congested);
        let own = self.stopping.map(|began| began + DRAIN_WITHIN);
        let nearest = judged.chain(own).min()?;
        Some(nearest.since(now))
    }

    /// The store is so far behind that nobody is read until it has caught up.
    pub fn is_congested(&self) -> bool {
        self.in_flight.len() >= BATCHES_IN_FLIGHT_MAX || self.in_flight_bytes >= BYTES_IN_FLIGHT_MAX
    }

    fn take_worker_results(&mut self, now: Now) -> bool {
        let mut progress = false;
        while let Some(done) = self.environment.done() {
            progress = true;
            let before = self.outbox.effects.len();
            match done {
                Done::Derived(ticket, verifiers) => self.tell(now, Input::Derived { ticket, verifiers }),
                Done::Reloaded(Reloaded { accounts, tls }) => {
                    if let Some((credentials, public)) = accounts {
                        self.tell(now, Input::Accounts { credentials, public });
                    }
                    if tls.is_some() {
                        // Connections that are there keep what they have.
                        self.admission.tls = tls;
                    }
                }
            }
            // It may have ended log-ins.
            self.heed(now, before);
        }
        progress
    }

    /// Deadlines are judged by the begin of the last complete round, on every turn.
    fn handle_deadlines(&mut self, now: Now) -> bool {
        let judged = Now { instant: self.round_began, ..now };
        let mut progress = false;
        if self.hub.poll_timeout().is_some_and(|at| at <= judged.instant) {
            self.excuse_the_waiting(now);
            let before = (self.outbox.effects.len(), self.outbox.changes.len());
            self.hub.handle_timeout(judged, &mut self.outbox);
            self.let_observe(before);
            progress = true;
        }
        // A lull may make a message of what has come in time.
        while let Some((id, timer)) = self.timers.pop(judged.instant) {
            progress = true;
            self.timer_over(now, id, timer);
        }
        while let Some(&(at, id)) = self.deadlines.first() {
            if at > judged.instant {
                break;
            }
            self.deadlines.pop_first();
            progress = true;
            self.deadline_passed(now, id);
        }
        while let Some(&(at, id)) = self.paced.front() {
            if at > judged.instant {
                break;
            }
            self.paced.pop_front();
            progress = true;
            self.pace_over(now, id);
        }
        progress
    }

    /// By which time deadlines are judged.
    pub fn round_began(&self) -> Instant {
        self.round_began
    }

    /// Who is served in the next round. For the simulation.
    pub fn ready(&self) -> impl Iterator<Item = ConnectionId> {
        self.ready.iter().copied()
    }

    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Events again and again that lead to nothing are a bug, and would cost a whole core.
    pub fn watch_progress(&mut self, had_events: bool, progress: bool) {
        // While the store is behind nobody is read, and what comes announces itself in vain.
        let idle = had_events && !progress && !self.is_congested();
        self.idle_turns = if idle { self.idle_turns + 1 } else { 0 };
        if self.idle_turns == IDLE_TURNS_MAX {
            log::error!("{IDLE_TURNS_MAX} turns brought events but no progress; this is a bug");
            debug_assert!(false, "the loop spins");
        }
    }
}
