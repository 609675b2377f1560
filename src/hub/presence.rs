//! Who is there: connections, sessions, heartbeats, and the notes that tell others.
//!
//! A user is online while a device of theirs is logged in. A session without a device (a one-shot command) makes nobody
//! online, takes nothing from the queue and displaces nobody. Clients of other protocols count as a device each.

use std::collections::BTreeSet;
use std::mem;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::change::Change;
use super::copies::SaidLately;
use super::devices::DEVICES_MAX;
use super::effect::{Close, CloseReason, Effect, Event, IfLost, Outbox, Refusal, Reply, ResumeToken};
use super::id::{ConnectionId, DeviceId, Number, PeerAddress, RequestId, Source, UserId};
use super::input::{DeviceClaim, Mechanism, Peer, PeerPort, Precondition};
use super::log_in::{Challenged, Finished, LOG_IN_FAILURES_MAX, Proved};
use super::name::UserName;
use super::scram::{ChannelBinding, StoredKeys};
use super::table::Table;
use super::time::{Instant, Now};
use super::{Answered, Hub};

/// One client.
#[derive(Debug)]
pub struct Connection {
    /// `None`: nobody asks any more.
    stranger: Option<Box<Stranger>>,
    state: State,
}

/// What a log-in has to know of who is there.
#[derive(Clone, Debug)]
pub struct Stranger {
    pub address: PeerAddress,
    /// `None`: the connection is not encrypted.
    pub binding: Option<ChannelBinding>,
    pub may_sign_up: bool,
    /// Log-ins that have failed on this connection.
    pub failures: u32,
}

impl Stranger {
    /// As lock-out tells where somebody is.
    pub fn source(&self) -> Source {
        self.address.source()
    }
}

/// How far a client has come.
#[derive(Debug)]
pub enum State {
    New,
    Challenged(Box<Challenged>),
    LoggedIn(Session),
    /// Whoever runs the server: nobody's session, and in no list.
    Operator,
}

/// A log-in that holds.
#[derive(Debug)]
pub struct Session {
    pub user: UserId,
    pub device: Option<DeviceId>,
    pub manner: Manner,
    pub address: PeerAddress,
    /// The highest counter that the device had used when it logged in.
    pub counter: u64,
    last_heard: Instant,
    /// When its heartbeat is looked at next: its entry in `Presence::heartbeats`. `None`: it needs none.
    look_at: Option<Instant>,
    pub flow: Flow,
    /// What a correspondent has said lately; empty otherwise.
    pub(super) said_lately: SaidLately,
}

/// How a session was proved, and how its client is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// On its connection, on which it has proved the user's secret.
    Native { mechanism: Mechanism, encrypted: bool },
    /// Nowhere between its requests: it is called at this port of its address.
    Called { port: PeerPort },
    /// On its connection, which is all there is to them.
    Guest,
    /// On its connection, from where datagrams have logged on before.
    Session,
    /// Where its datagrams come from.
    Correspondent,
}

impl Session {
    /// Whether what the user says to everyone is said to this session too: its client shows nothing by itself.
    pub fn echoes(&self) -> bool {
        self.manner == Manner::Guest
    }

    /// Whether its client is told of all it sends when it was shown: there everybody confirms what they get.
    pub fn wants_receipts(&self) -> bool {
        self.manner == Manner::Correspondent
    }

    /// What says that the client is there: not that it takes what it is called for, only what it says itself.
    pub(super) fn heard(&mut self, now: Instant) {
        if !matches!(self.manner, Manner::Called { .. }) {
            self.last_heard = self.last_heard.max(now);
        }
    }

    /// Without a sign of life for this long the client is gone. `None`: its connection is one.
    fn silence_max(&self, heartbeat_timeout: Duration) -> Option<Duration> {
        match self.manner {
            Manner::Native { .. } | Manner::Called { .. } => Some(heartbeat_timeout),
            Manner::Correspondent => Some(CORRESPONDENT_SILENCE_MAX),
            Manner::Guest | Manner::Session => None,
        }
    }
}

/// How much is under way to a device. What does not fit into the window stays in its mailbox.
#[derive(Debug, Default)]
pub struct Flow {
    /// Everything up to here was sent, or is not for it.
    pub next: Number,
    /// The last that was really sent.
    pub last_sent: Number,
    /// Once this is acknowledged, the window opens anew.
    mark: Number,
    messages: u32,
    bytes: u32,
    /// More waits than was sent.
    pub behind: bool,
}

/// Messages that may be under way to a device without its acknowledgement: at most twice as many as this.
pub const WINDOW_MESSAGES: u32 = 256;
/// The same in bytes of text.
pub const WINDOW_BYTES: u32 = 256 * 1024;

impl Flow {
    /// Takes a message into the window; or not, and then more waits.
    pub(super) fn take(&mut self, number: Number, bytes: usize) -> bool {
        if self.messages >= WINDOW_MESSAGES || self.bytes >= WINDOW_BYTES {
            self.behind = true;
            return false;
        }
        self.messages += 1;
        self.bytes += bytes as u32;
        self.next = number;
        self.last_sent = number;
        true
    }

    /// Everything up to `number` was acknowledged; says whether the window opened.
    pub(super) fn acknowledged(&mut self, number: Number) -> bool {
        if number < self.mark {
            return false;
        }
        self.mark = self.last_sent;
        self.messages = 0;
        self.bytes = 0;
        true
    }

    /// Begins anew after `cursor`: what was sent beyond it may not have arrived.
    pub(super) fn rewind(&mut self, cursor: Number) {
        *self = Flow { next: cursor, last_sent: cursor, mark: cursor, behind: true, ..Flow::default() };
    }
}

/// Sessions that an account can have at a time.
pub const SESSIONS_MAX: usize = 32;
/// So many of them can be without a device. The rest is for devices, which are no more than that: scripts that hang shut
/// nobody out of chat.
pub const COMMANDS_MAX: usize = SESSIONS_MAX - DEVICES_MAX;

/// Who speaks by datagrams and says nothing for so long is gone. Nobody is asked for a sign of life there.
pub const CORRESPONDENT_SILENCE_MAX: Duration = Duration::from_secs(12 * 3600);

/// All connections.
#[derive(Debug, Default)]
pub struct Presence {
    connections: Table<Connection>,
    /// The sessions with a device, by user: who is here is online. One set, since most users have one session.
    online: BTreeSet<(UserId, ConnectionId)>,
    /// Those without.
    commands: BTreeSet<(UserId, ConnectionId)>,
    /// A heartbeat may have been missed then. At most one entry a session; it is looked at anew when it comes up.
    heartbeats: BTreeSet<(Instant, ConnectionId)>,
}

impl Presence {
    pub fn is_online(&self, user: UserId) -> bool {
        self.devices_of(user).next().is_some()
    }

    /// Users who are online, by rising id.
    pub fn online(&self) -> impl Iterator<Item = UserId> + '_ {
        let mut last = None;
        self.online.iter().map(|&(user, _)| user).filter(move |&user| last.replace(user) != Some(user))
    }

    /// The same in no particular order, each user as often as they have devices here; what is cheapest.
    pub(super) fn users_here(&self) -> impl Iterator<Item = UserId> + '_ {
        self.sessions().filter(|(_, session)| session.device.is_some()).map(|(_, session)| session.user)
    }

    /// The user's sessions with a device.
    pub fn devices_of(&self, user: UserId) -> impl Iterator<Item = ConnectionId> + '_ {
        self.online.range(all_of(user)).map(|&(_, connection)| connection)
    }

    /// All of these users' sessions, those without a device too.
    pub fn sessions_of(&self, users: &BTreeSet<UserId>) -> Vec<ConnectionId> {
        self.sessions().filter(|(_, session)| users.contains(&session.user)).map(|(connection, _)| connection).collect()
    }

    pub fn session(&self, connection: ConnectionId) -> Option<&Session> {
        match &self.connections.get(connection)?.state {
            State::LoggedIn(session) => Some(session),
            _ => None,
        }
    }

    pub(super) fn session_mut(&mut self, connection: ConnectionId) -> Option<&mut Session> {
        match &mut self.connections.get_mut(connection)?.state {
            State::LoggedIn(session) => Some(session),
            _ => None,
        }
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = (ConnectionId, &Session)> {
        self.connections.iter().filter_map(|(connection, found)| match &found.state {
            State::LoggedIn(session) => Some((connection, session)),
            _ => None,
        })
    }

    pub(super) fn sessions_mut(&mut self) -> impl Iterator<Item = (ConnectionId, &mut Session)> {
        self.connections.iter_mut().filter_map(|(connection, found)| match &mut found.state {
            State::LoggedIn(session) => Some((connection, session)),
            _ => None,
        })
    }

    pub(super) fn all(&self) -> Vec<ConnectionId> {
        self.connections.iter().map(|(connection, _)| connection).collect()
    }

    pub(super) fn connected(&mut self, connection: ConnectionId, peer: Peer) {
        let found = match peer {
            Peer::Stranger { address, binding, may_sign_up } => {
                let stranger = Stranger { address, binding, may_sign_up, failures: 0 };
                Connection { stranger: Some(Box::new(stranger)), state: State::New }
            }
            Peer::Operator => Connection { stranger: None, state: State::Operator },
        };
        self.connections.insert(connection, found);
    }

    pub(super) fn is_encrypted(&self, connection: ConnectionId) -> bool {
        let stranger = self.connections.get(connection).and_then(|found| found.stranger.as_ref());
        stranger.is_some_and(|stranger| stranger.binding.is_some())
    }

    pub(super) fn is_connected(&self, connection: ConnectionId) -> bool {
        self.connections.get(connection).is_some()
    }

    pub(super) fn set_state(&mut self, connection: ConnectionId, state: State) {
        if let Some(found) = self.connections.get_mut(connection) {
            found.state = state;
        }
    }

    /// A log-in has failed on the connection.
    pub(super) fn failed(&mut self, connection: ConnectionId) {
        if let Some(stranger) = self.connections.get_mut(connection).and_then(|found| found.stranger.as_mut()) {
            stranger.failures += 1;
        }
    }

    pub(super) fn has_failed_too_often(&self, connection: ConnectionId) -> bool {
        let stranger = self.connections.get(connection).and_then(|found| found.stranger.as_ref());
        stranger.is_some_and(|stranger| stranger.failures >= LOG_IN_FAILURES_MAX)
    }

    /// Whether this is a session that is reached by calls.
    pub(super) fn is_called(&self, connection: ConnectionId) -> bool {
        self.session(connection).is_some_and(|session| matches!(session.manner, Manner::Called { .. }))
    }

    /// Who is there and has not logged in.
    pub(super) fn stranger(&self, connection: ConnectionId) -> Option<Stranger> {
        self.connections.get(connection)?.stranger.as_deref().cloned()
    }

    fn logged_in(&mut self, connection: ConnectionId, session: Session) {
        if let Some(found) = self.connections.get_mut(connection) {
            found.stranger = None;
            found.state = State::LoggedIn(session);
        }
    }

    pub(super) fn take_challenged(&mut self, connection: ConnectionId) -> Option<(Stranger, Challenged)> {
        let found = self.connections.get_mut(connection)?;
        let stranger = Stranger::clone(found.stranger.as_ref()?);
        match mem::replace(&mut found.state, State::New) {
            State::Challenged(challenged) => Some((stranger, *challenged)),
            other => {
                found.state = other;
                None
            }
        }
    }

    /// The one place where a request's precondition is checked. Who is logged in has shown a sign of life by asking.
    pub(super) fn check(&mut self, connection: ConnectionId, needs: Precondition, now: Instant) -> Result<(), Refusal> {
        let Some(found) = self.connections.get_mut(connection) else { return Err(Refusal::LogInFirst) };
        match (&mut found.state, needs) {
            (State::Operator, Precondition::Operator) => Ok(()),
            (State::Operator, _) => Err(Refusal::LogInFirst),
            (State::LoggedIn(session), needs) => {
                session.last_heard = now;
                match needs {
                    Precondition::LoggedOut | Precondition::Challenged => Err(Refusal::AlreadyLoggedIn),
                    Precondition::Device if session.device.is_none() => Err(Refusal::NoDevice),
                    Precondition::Device | Precondition::LoggedIn => Ok(()),
                    Precondition::Operator => Err(Refusal::OperatorOnly),
                }
            }
            (_, Precondition::LoggedOut) | (State::Challenged(_), Precondition::Challenged) => Ok(()),
            (_, Precondition::Challenged) => Err(Refusal::NoChallenge),
            (_, Precondition::LoggedIn | Precondition::Device) => Err(Refusal::LogInFirst),
            (_, Precondition::Operator) => Err(Refusal::OperatorOnly),
        }
    }

    pub(super) fn heard(&mut self, connection: ConnectionId, now: Instant) {
        if let Some(session) = self.session_mut(connection) {
            session.heard(now);
        }
    }

    pub(super) fn next_heartbeat(&self) -> Option<Instant> {
        self.heartbeats.first().map(|&(at, _)| at)
    }

    pub(super) fn check_invariants(&self) {
        let mut online = BTreeSet::new();
        let mut heartbeats = BTreeSet::new();
        for (connection, session) in self.sessions() {
            assert_eq!(session.look_at.is_some(), session.silence_max(Duration::ZERO).is_some());
            heartbeats.extend(session.look_at.map(|at| (at, connection)));
            if session.device.is_some() {
                online.insert((session.user, connection));
            }
        }
        assert_eq!(self.commands.len(), self.sessions().count() - online.len(), "the others have none");
        assert_eq!(self.online, online, "who is online is who has a session with a device");
        assert_eq!(self.heartbeats, heartbeats, "one for each session that has a heartbeat");
    }
}

/// The places of a user in a set of sessions.
fn all_of(user: UserId) -> RangeInclusive<(UserId, ConnectionId)> {
    (user, ConnectionId::FIRST)..=(user, ConnectionId::LAST)
}

impl Hub {
    /// A log-in succeeded. It may be one too many all the same.
    pub(super) fn begin_session(&mut self, now: Now, proved: Proved, out: &mut Outbox) -> Answered {
        let Proved { connection, id, user, manner, device: claim, address, finished, if_lost } = proved;
        let device = claim.map(|claim| claim.id);
        if device.is_none() {
            if self.presence.commands.range(all_of(user)).count() >= COMMANDS_MAX {
                return Answered::refuse(Refusal::TooManySessions);
            }
            self.presence.commands.insert((user, connection));
        }
        let came_online = device.is_some() && !self.presence.is_online(user);
        if let Some(claim) = claim {
            self.device_arrives(now, connection, user, claim, out);
        }
        let mut flow = Flow::default();
        if let Some(device) = device {
            flow.rewind(self.devices.cursor(user, device));
        }
        let counter = device.map_or(0, |device| self.delivery.highest_counter(user, device));
        let last_heard = now.instant;
        let mut session = Session {
            user,
            device,
            manner,
            address,
            counter,
            last_heard,
            look_at: None,
            flow,
            said_lately: SaidLately::default(),
        };
        session.look_at = session.silence_max(self.config.heartbeat_timeout).map(|silence| now.instant + silence);
        let waiting = self.waiting(&session);
        self.presence.heartbeats.extend(session.look_at.map(|at| (at, connection)));
        self.presence.logged_in(connection, session);
        out.effects.push(Effect::Authenticated { connection });
        let name = self.accounts.name(user).clone();
        let (reply, token) = match finished {
            Some(Finished { message, token }) => (self.logged_in(message, name, counter, waiting), Some(token)),
            None => (Reply::Welcome { user: name, waiting }, None),
        };
        Answered::Now(Ok(reply), if_lost).send(connection, id, out);
        if let Some(device) = device {
            self.presence.online.insert((user, connection));
            if let Some(token) = token {
                self.issue_token(connection, user, device, &token, out);
            }
            self.devices.save(user, device, &mut out.changes);
            if came_online {
                if !self.accounts.is_guest(user) {
                    out.changes.push(Change::Arrived { user, first: self.delivery.last().next() });
                }
                self.tell_others(user, Event::Online, out);
            }
            self.tell_open_question(now, connection, out);
            self.pump(connection, out);
            // A session that had to make room may have been the only encrypted one.
            self.question_ends_with_asked(user, out);
        }
        Answered::Later
    }

    /// The log-in is on this device. Where it was before, or what has to make room for it, ends.
    fn device_arrives(
        &mut self,
        now: Now,
        connection: ConnectionId,
        user: UserId,
        claim: DeviceClaim,
        out: &mut Outbox,
    ) {
        if let Some(older) = self.devices.connection(user, claim.id) {
            self.end_session_quietly(now, older, CloseReason::Displaced, out);
        }
        if let Some((surplus, older)) = self.devices.surplus(user, claim.id) {
            if let Some(older) = older {
                self.end_session_quietly(now, older, CloseReason::Displaced, out);
            }
            self.devices.forget(user, surplus, &mut out.changes);
            self.delivery.forget_device(user, surplus);
        }
        let shown = claim.shown.filter(|&(log, _)| log == self.accounts.log()).map_or(Number(0), |(_, shown)| shown);
        self.broadcasts_shown(user, claim.id, shown, None, out);
        self.devices.arrive(user, claim.id, connection, shown, self.delivery.last(), now.wall);
        self.delivery.cursor_moved(user, &self.devices, out);
    }

    fn logged_in(&self, message: String, user: UserName, counter: u64, waiting: usize) -> Reply {
        let (heartbeat_timeout, log) = (self.config.heartbeat_timeout, self.accounts.log());
        Reply::LoggedIn { message, user, heartbeat_timeout, log, counter, waiting }
    }

    /// From now on the token of this log-in serves, once, in the place of the password. The client has derived it too.
    fn issue_token(
        &mut self,
        connection: ConnectionId,
        user: UserId,
        device: DeviceId,
        token: &ResumeToken,
        out: &mut Outbox,
    ) {
        let Some(verifier) = self.accounts.verifier(user).map(Arc::clone) else { return };
        self.devices.set_token(user, device, Some(StoredKeys::of_token(token, &verifier)));
        out.event(connection, Event::Token, IfLost::Drop);
    }

    /// Ends a session whose user goes on elsewhere: nobody is told that they left.
    fn end_session_quietly(&mut self, now: Now, connection: ConnectionId, reason: CloseReason, out: &mut Outbox) {
        out.event(connection, Event::Closing(reason), IfLost::Send);
        out.effects.push(Effect::Close { connection, how: Close::Forced });
        self.remove(now, connection, out);
    }

    pub(super) fn log_out(
        &mut self,
        now: Now,
        connection: ConnectionId,
        id: Option<RequestId>,
        out: &mut Outbox,
    ) -> Answered {
        Answered::reply(Reply::LoggedOut).send(connection, id, out);
        if let Some((user, Some(device))) =
            self.presence.session(connection).map(|session| (session.user, session.device))
        {
            // Whoever logs out means it: the next log-in on this device needs the password.
            self.devices.set_token(user, device, None);
        }
        self.end_session(now, connection, None, Close::Orderly, out);
        Answered::Later
    }

    /// The connection is gone, whatever it was.
    pub(super) fn leave(&mut self, now: Now, connection: ConnectionId, out: &mut Outbox) {
        let Some(user) = self.remove(now, connection, out) else { return };
        if !self.presence.is_online(user) {
            self.tell_others(user, Event::Offline, out);
            self.chats_end_with_user(user, out);
            self.went_offline(user, out);
        }
        self.question_ends_with_asked(user, out);
    }

    /// The user's last session with a device is gone.
    fn went_offline(&mut self, user: UserId, out: &mut Outbox) {
        if self.accounts.is_guest(user) {
            self.forget_guest(user);
        } else {
            out.changes.push(Change::Left { user, last: self.delivery.last() });
        }
    }

    /// Takes a connection out of all tables. Comes back: whose device it was.
    fn remove(&mut self, now: Now, connection: ConnectionId, out: &mut Outbox) -> Option<UserId> {
        self.log_ins.forget_connection(connection);
        self.password_checks.forget_connection(connection);
        self.digest_checks.forget_connection(connection);
        self.calls.forget(connection);
        self.rates.forget_connection(connection);
        self.chat_ends_with_side(connection, out);
        let State::LoggedIn(session) = self.presence.connections.remove(connection)?.state else { return None };
        self.questions_end_with_asker(now, session.user, connection, out);
        if session.wants_receipts() {
            self.delivery.receipts.forget_sender(connection);
        }
        let Presence { heartbeats, online, commands, .. } = &mut self.presence;
        if let Some(at) = session.look_at {
            heartbeats.remove(&(at, connection));
        }
        let Some(device) = session.device else {
            commands.remove(&(session.user, connection));
            return None;
        };
        online.remove(&(session.user, connection));
        self.device_departs(now, &session, device, out);
        Some(session.user)
    }

    /// The session was on this device. A client of a classic protocol remembers nothing itself: if nothing is owed to it,
    /// nothing need be remembered of it.
    fn device_departs(&mut self, now: Now, session: &Session, device: DeviceId, out: &mut Outbox) {
        let user = session.user;
        let all_shown = session.flow.last_sent <= self.devices.cursor(user, device);
        if all_shown {
            // Nothing is under way, so what was not for this device need not be looked at again.
            self.devices.advance(user, device, session.flow.next, now.instant);
            self.delivery.cursor_moved(user, &self.devices, out);
        }
        match session.manner {
            Manner::Guest => {
                self.devices.remove(user, device);
                self.delivery.forget_mailbox(user);
            }
            Manner::Called { .. } | Manner::Session | Manner::Correspondent if all_shown && !session.flow.behind => {
                self.devices.forget(user, device, &mut out.changes);
                self.delivery.forget_device(user, device);
                self.delivery.cursor_moved(user, &self.devices, out);
            }
            Manner::Native { .. } | Manner::Called { .. } | Manner::Session | Manner::Correspondent => {
                self.devices.depart(user, device, self.delivery.last(), now.wall);
                self.devices.save(user, device, &mut out.changes);
            }
        }
    }

    /// A presence note to everybody who may see `subject`.
    fn tell_others(&self, subject: UserId, event: impl FnOnce(UserName) -> Event, out: &mut Outbox) {
        let online = self.presence.online.iter();
        let others = online.filter(|&&(viewer, _)| viewer != subject && self.gate.may_see(viewer, subject));
        let others = others.map(|&(_, connection)| connection);
        out.event_to_many(others, || event(self.accounts.name(subject).clone()), IfLost::Send);
    }

    /// Who is online, as far as `viewer` may see, without the viewer.
    pub(super) fn who_is_online(&self, viewer: UserId) -> Answered {
        let mut names: Vec<UserName> = self
            .presence
            .online()
            .filter(|&subject| subject != viewer && self.gate.may_see(viewer, subject))
            .map(|subject| self.accounts.name(subject).clone())
            .collect();
        names.sort();
        Answered::reply(Reply::Online(names))
    }

    /// Ends the sessions that gave no sign of life.
    pub(super) fn expire_heartbeats(&mut self, now: Now, out: &mut Outbox) {
        while let Some(&(at, connection)) = self.presence.heartbeats.first() {
            if at > now.instant {
                return;
            }
            let heartbeat_timeout = self.config.heartbeat_timeout;
            let Some(session) = self.presence.session_mut(connection) else { return };
            let Some(silence) = session.silence_max(heartbeat_timeout) else { return };
            let due = session.last_heard + silence;
            if due <= now.instant {
                self.end_session(now, connection, Some(CloseReason::HeartbeatMissed), Close::Forced, out);
            } else {
                session.look_at = Some(due);
                self.presence.heartbeats.remove(&(at, connection));
                self.presence.heartbeats.insert((due, connection));
            }
        }
    }

    /// What is sent to this client does not arrive: it is gone, as if it had been silent for too long.
    pub(super) fn unreached(&mut self, now: Now, connection: ConnectionId, out: &mut Outbox) {
        if self.presence.session(connection).is_some_and(|session| session.manner == Manner::Correspondent) {
            self.end_session(now, connection, Some(CloseReason::HeartbeatMissed), Close::Forced, out);
        }
    }

    /// The server stops: everyone is told, and what is known of devices is written.
    pub(super) fn shut_down(&mut self, now: Now, out: &mut Outbox) {
        self.stopping = true;
        self.forget_questions();
        self.forget_chats();
        self.end_all_log_ons(out);
        let all = self.presence.all();
        out.event_to_many(all.iter().copied(), || Event::Closing(CloseReason::Shutdown), IfLost::Send);
        for connection in all {
            out.effects.push(Effect::Close { connection, how: Close::Forced });
            if let Some(user) = self.remove(now, connection, out)
                && !self.presence.is_online(user)
            {
                self.went_offline(user, out);
            }
        }
        self.devices.flush(&mut out.changes);
    }
}
