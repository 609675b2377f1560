//! The rules of the chat: who gets in, who is there, what reaches whom.
//!
//! Pure: no socket, no mio, no SQLite, no clock. Time comes in with every call, randomness from one seeded generator, and
//! the same inputs with the same seed give the same outputs, byte for byte. The contract stands in `input`, `effect` and
//! `change`; one file a concern owns its state, its constants and its deadlines; `Hub` routes and does not decide.

pub mod accounts;
pub mod calls;
pub mod challenge;
pub mod change;
pub mod consent;
pub mod conversation;
pub mod copies;
pub mod credentials;
pub mod delivery;
pub mod devices;
pub mod digest;
pub mod effect;
pub mod expiring;
pub mod fingerprint;
pub mod gate;
pub mod guests;
pub mod hex;
pub mod history;
pub mod id;
pub mod input;
pub mod lockout;
pub mod log_in;
pub mod log_on;
pub mod membership;
pub mod message;
pub mod name;
pub mod password;
pub mod presence;
pub mod rate;
pub mod receipts;
pub mod scram;
pub mod seal;
pub mod sends;
pub mod status;
pub mod table;
#[cfg(test)]
mod tests;
pub mod text;
pub mod time;
pub mod unsaved;

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use accounts::Accounts;
use calls::Calls;
use change::{Change, Snapshot};
use consent::Consents;
use conversation::Conversations;
use delivery::Delivery;
use devices::Devices;
use digest::{DigestChecks, DigestTry};
use effect::{Answer, Effect, IfLost, Outbox, Refusal, Reply};
use gate::Gate;
use guests::Guests;
use history::History;
use id::{ConnectionId, DeviceId, PeerAddress, RequestId};
use input::{Input, Peer, Request};
use lockout::Lockout;
use log_in::LogIns;
use log_on::LogOns;
use membership::Membership;
use name::UserName;
use password::{PasswordChecks, PasswordTry};
use presence::Presence;
use rate::Rates;
use seal::SealingKey;
use time::{Instant, Now};
use unsaved::Unsaved;

/// What the operator decides.
#[derive(Clone, Debug)]
pub struct Config {
    /// Without a sign of life for this long a client is gone.
    pub heartbeat_timeout: Duration,
    /// Wrong passwords for a name from one source before it is locked out.
    pub password_tries: u32,
    /// How long a lock-out lasts.
    pub lockout: Duration,
    /// How long a private message waits for its recipient.
    pub queue_expiry: Duration,
    /// How long history is kept.
    pub history_kept: Duration,
    /// Messages and broadcasts a second of an account, with a burst of ten times that; `None`: as fast as it can.
    pub messages_per_second: Option<u32>,
    /// The iteration count of password verifiers (RFC 7677, section 4). Names that nobody has are challenged with it: with
    /// another number than the database's accounts have, they can be told apart.
    pub scram_iterations: u32,
    /// Only accounts are managed: nobody logs in, the names of the operator's file are reserved and no more, and nothing is
    /// given up for its age.
    pub accounts_only: bool,
    /// With what passwords are sealed that have to be kept; `None`: none can be.
    pub sealing_key: Option<SealingKey>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            heartbeat_timeout: Duration::from_secs(35),
            password_tries: 3,
            lockout: Duration::from_secs(60),
            queue_expiry: Duration::from_secs(30 * 24 * 3600),
            history_kept: Duration::from_secs(365 * 24 * 3600),
            messages_per_second: Some(rate::MESSAGES_PER_SECOND),
            scram_iterations: 32_768,
            accounts_only: false,
            sealing_key: None,
        }
    }
}

/// The whole state of the chat.
#[derive(Debug)]
pub struct Hub {
    config: Config,
    rng: StdRng,
    accounts: Accounts,
    log_ins: LogIns,
    password_checks: PasswordChecks,
    digest_checks: DigestChecks,
    log_ons: LogOns,
    guests: Guests,
    membership: Membership,
    lockout: Lockout,
    gate: Gate,
    devices: Devices,
    presence: Presence,
    calls: Calls,
    delivery: Delivery,
    conversations: Conversations,
    consents: Consents,
    rates: Rates,
    history: History,
    unsaved: Unsaved,
    stopping: bool,
}

/// What a handler comes to.
#[derive(Debug)]
enum Answered {
    Now(Answer, IfLost),
    /// The answer has been given already, or comes with a later input.
    Later,
}

impl Answered {
    /// An answer that is true whatever the disk does.
    fn reply(reply: Reply) -> Answered {
        Answered::Now(Ok(reply), IfLost::Send)
    }

    /// An answer that promises that something is on disk.
    fn stored(reply: Reply) -> Answered {
        Answered::Now(Ok(reply), IfLost::Refuse)
    }

    fn refuse(refusal: Refusal) -> Answered {
        Answered::Now(Err(refusal), IfLost::Send)
    }

    fn send(self, connection: ConnectionId, id: Option<RequestId>, out: &mut Outbox) {
        if let Answered::Now(answer, if_lost) = self {
            out.effects.push(Effect::Reply { connection, id, answer, if_lost });
        }
    }
}

impl Hub {
    /// Takes up where `snapshot` ends. What has to be stored for that comes out first.
    pub fn new(config: Config, seed: [u8; 32], snapshot: Snapshot, now: Now, out: &mut Outbox) -> Hub {
        let mut rng = StdRng::from_seed(seed);
        let secret = snapshot.secret.unwrap_or_else(|| {
            let mut secret = [0; 32];
            rng.fill_bytes(&mut secret);
            out.changes.push(Change::Secret(secret));
            secret
        });
        let last = snapshot.last.max(devices::highest_number(&snapshot.devices, &snapshot.shown));
        out.changes.extend(snapshot.online.iter().map(|&user| Change::Left { user, last }));
        let devices = Devices::new(snapshot.devices, snapshot.shown, last, &mut out.changes);
        let Config { password_tries, lockout, .. } = config;
        let Snapshot { tries, sources, .. } = snapshot;
        let lockout = Lockout::new(password_tries, lockout, tries, sources, now, &mut out.changes);
        Hub {
            accounts: Accounts::new(secret, snapshot.users, &snapshot.retired, snapshot.accounts),
            log_ins: LogIns::default(),
            password_checks: PasswordChecks::default(),
            digest_checks: DigestChecks::default(),
            log_ons: LogOns::default(),
            guests: Guests::default(),
            membership: Membership::default(),
            lockout,
            gate: Gate::new(snapshot.blocks),
            presence: Presence::default(),
            calls: Calls::default(),
            delivery: Delivery::new(snapshot.waiting, snapshot.sends, last, &devices, now),
            conversations: Conversations::default(),
            consents: Consents::new(snapshot.consents, now, &mut out.changes),
            rates: Rates::new(config.messages_per_second),
            history: History::new(now.instant),
            devices,
            unsaved: Unsaved::default(),
            stopping: false,
            rng,
            config,
        }
    }

    /// Something happened.
    pub fn handle(&mut self, now: Now, input: Input, out: &mut Outbox) {
        match input {
            Input::Connected { connection, peer } => {
                if peer == Peer::Operator {
                    out.effects.push(Effect::Authenticated { connection });
                }
                self.presence.connected(connection, peer);
            }
            Input::Request { connection, id, request } => {
                if self.presence.is_connected(connection) {
                    self.request(now, connection, id, request, out).send(connection, id, out);
                }
            }
            Input::Posted { from, user, id, request } => self.posted(now, from, &user, id, request, out),
            Input::Shown { connection, number, words } => {
                self.acknowledge(now, connection, number, words, out);
            }
            Input::LogOn { from, step } => self.log_on(now, from, step, out),
            Input::Unreached { connection } => self.unreached(now, connection, out),
            Input::Called { connection, reached } => self.called(now, connection, reached),
            Input::Heard { connection } => self.presence.heard(connection, now.instant),
            Input::Closed { connection } => self.leave(now, connection, out),
            Input::Accounts { credentials, public } => self.read_accounts(now, credentials, public, out),
            Input::Derived { ticket, verifiers } => self.derived(now, ticket, verifiers, out),
            Input::History { connection, id, page } => self.tell_history(connection, id, page, out),
            Input::CommitFailed(changes) => self.undo(now, changes, out),
            Input::Shutdown => self.shut_down(now, out),
        }
        self.catch_up(false, out);
    }

    /// Time has passed. To be called at `poll_timeout`, or at any other time.
    pub fn handle_timeout(&mut self, now: Now, out: &mut Outbox) {
        self.expire_heartbeats(now, out);
        self.expire_log_ons(now, out);
        self.call_again(now, out);
        self.expire_consents(now, out);
        if self.devices.flush_at().is_some_and(|at| at <= now.instant) {
            self.devices.flush(&mut out.changes);
        }
        if self.sweep_at().is_some_and(|at| at <= now.instant) {
            self.sweep(now, out);
        }
        if self.forget_at().is_some_and(|at| at <= now.instant) {
            self.forget_history(now, out);
        }
        if self.rates.next_sweep().is_some_and(|at| at <= now.instant) {
            self.rates.sweep(now.instant);
        }
        self.catch_up(self.unsaved.retry_at().is_some_and(|at| at <= now.instant), out);
    }

    /// Whether the operator's accounts are there. Before that nobody can log in.
    pub fn has_read_accounts(&self) -> bool {
        self.accounts.are_read()
    }

    /// When `handle_timeout` has something to do next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [
            self.presence.next_heartbeat(),
            self.log_ons.next_deadline(),
            self.calls.next_deadline(),
            self.consents.next_deadline(),
            self.devices.flush_at(),
            self.unsaved.retry_at(),
            self.rates.next_sweep(),
            self.sweep_at(),
            self.forget_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Before the accounts are there, nobody has one who could be told.
    fn sweep_at(&self) -> Option<Instant> {
        (self.accounts.are_read() && !self.config.accounts_only).then(|| self.delivery.next_sweep())
    }

    fn forget_at(&self) -> Option<Instant> {
        (!self.config.accounts_only).then(|| self.history.next_forget())
    }

    fn request(
        &mut self,
        now: Now,
        connection: ConnectionId,
        id: Option<RequestId>,
        request: Request,
        out: &mut Outbox,
    ) -> Answered {
        if self.stopping {
            return Answered::refuse(Refusal::ShuttingDown);
        }
        if let Err(refusal) = self.presence.check(connection, request.precondition(), now.instant) {
            return Answered::refuse(refusal);
        }
        match request {
            Request::LogIn { mechanism, first, device } => self.log_in(connection, id, mechanism, first, device, out),
            Request::LogInByPassword { name, password, port } => {
                self.log_in_by_password(now, PasswordTry { connection, id, name, port }, password, out)
            }
            Request::Enter(name) => self.enter(now, connection, id, name, out),
            Request::LogInByDigest { name, digest } => {
                self.log_in_by_digest(now, DigestTry { connection, id, name }, digest, out)
            }
            Request::Connect(challenge) => self.connect_session(now, connection, id, challenge, out),
            Request::Chat(user) => self.chat(now, connection, user, out),
            Request::Say(text) => self.say(now, connection, text, out),
            Request::EndChat(id) => self.end_chat(connection, id, out),
            Request::Unfit(why) => Answered::refuse(Refusal::Unfit(why)),
            Request::Authenticate(last) => self.authenticate(now, connection, id, &last, out),
            Request::SignUp(keys) => self.sign_up(now, connection, keys, out),
            Request::ChangePassword(keys) => self.change_password(now, connection, keys, out),
            Request::Operate(operation) => self.operate(now, connection, id, operation, out),
            Request::LogOut => self.log_out(now, connection, id, out),
            Request::Message { to, text, counter, receipt } => match self.draft(connection, text, counter, receipt) {
                Some(draft) => self.message(now, draft, to, out),
                None => Answered::refuse(Refusal::LogInFirst),
            },
            Request::Broadcast { text, counter } => match self.draft(connection, text, counter, false) {
                Some(draft) => self.broadcast(now, draft, out),
                None => Answered::refuse(Refusal::LogInFirst),
            },
            Request::Acknowledge(number) => self.acknowledge(now, connection, number, None, out),
            Request::Alive => Answered::reply(Reply::Alive),
            Request::Online => self.asking(connection, |hub, user| hub.who_is_online(user)),
            Request::Block(other) => self.asking(connection, |hub, user| hub.block(now, connection, user, other, out)),
            Request::Unblock(other) => self.asking(connection, |hub, user| hub.unblock(user, other, out)),
            Request::Blocked => self.asking(connection, |hub, user| hub.block_list(user)),
            Request::AskAddress { user, certificate } => self.ask_address(now, connection, user, certificate, out),
            Request::Consent { user, offer } => self.consent(now, connection, user, offer, out),
            Request::Revoke(other) => self.asking(connection, |hub, user| hub.revoke(connection, user, other, out)),
            Request::Privacy => self.asking(connection, |hub, user| hub.privacy(now, user)),
            Request::History { with, before, limit } => self.ask_history(connection, id, with, before, limit, out),
        }
    }

    /// A request in the name of a user who is reached by calls; nothing but their session's address speaks for it.
    fn posted(
        &mut self,
        now: Now,
        from: PeerAddress,
        user: &UserName,
        id: Option<RequestId>,
        request: Request,
        out: &mut Outbox,
    ) {
        let user = self.accounts.find_account(user);
        let connection = user.and_then(|user| self.devices.connection(user, DeviceId::REQUEST));
        let begun_there = |&connection: &ConnectionId| {
            self.presence.session(connection).is_some_and(|session| session.address == from)
        };
        match connection.filter(begun_there) {
            Some(connection) => self.request(now, connection, id, request, out).send(connection, id, out),
            None => out.effects.push(Effect::Ignored),
        }
    }

    /// Runs a handler that needs to know only who asks.
    fn asking(&mut self, connection: ConnectionId, handler: impl FnOnce(&mut Hub, id::UserId) -> Answered) -> Answered {
        match self.presence.session(connection).map(|session| session.user) {
            Some(user) => handler(self, user),
            None => Answered::refuse(Refusal::LogInFirst),
        }
    }

    fn block(
        &mut self,
        now: Now,
        connection: ConnectionId,
        user: id::UserId,
        other: UserName,
        out: &mut Outbox,
    ) -> Answered {
        let Some(other) = self.accounts.find_ever(&other) else {
            return Answered::refuse(Refusal::NoSuchUser(other));
        };
        if other == user {
            return Answered::refuse(Refusal::CannotBlockYourself);
        }
        if !self.gate.blocks(user, other) {
            if self.gate.is_full(user) {
                return Answered::refuse(Refusal::TooManyBlocked);
            }
            let shown = self.devices.highest_cursor(user);
            self.gate.block(user, other, shown);
            if self.is_block_stored(user, other) {
                out.changes.push(Change::Block { user, other, shown });
            }
            self.consents_end_with_block(now, connection, user, other, out);
            self.chats_end_with_block(user, other, out);
        }
        self.block_changed(user, other, Reply::Blocked(self.accounts.name(other).clone()))
    }

    fn unblock(&mut self, user: id::UserId, other: UserName, out: &mut Outbox) -> Answered {
        let Some(other) = self.accounts.find_ever(&other) else {
            return Answered::refuse(Refusal::NoSuchUser(other));
        };
        let name = self.accounts.name(other).clone();
        let Some(shown) = self.gate.unblock(user, other) else {
            return Answered::Now(Err(Refusal::NotBlocked(name)), IfLost::Refuse);
        };
        if self.is_block_stored(user, other) {
            out.changes.push(Change::Unblock { user, other, shown });
        }
        self.block_changed(user, other, Reply::Unblocked(name))
    }

    /// What is not stored holds whatever the disk does.
    fn block_changed(&self, user: id::UserId, other: id::UserId, reply: Reply) -> Answered {
        if self.is_block_stored(user, other) { Answered::stored(reply) } else { Answered::reply(reply) }
    }

    /// A guest is blocked, and blocks, only while they are here.
    fn is_block_stored(&self, user: id::UserId, other: id::UserId) -> bool {
        !self.accounts.is_guest(user) && !self.accounts.is_guest(other)
    }

    fn block_list(&mut self, user: id::UserId) -> Answered {
        // As firm as the blocks themselves.
        Answered::stored(Reply::BlockList(self.names_blocked_by(user)))
    }

    fn names_blocked_by(&self, user: id::UserId) -> Vec<UserName> {
        let mut names: Vec<UserName> =
            self.gate.blocked_by(user).filter_map(|(other, _)| self.accounts.name_now(other)).cloned().collect();
        names.sort();
        names
    }

    /// What always holds; panics where it doesn't. For tests and simulations.
    pub fn check_invariants(&self) {
        self.accounts.check_invariants();
        self.devices.check_invariants();
        self.presence.check_invariants();
        self.delivery.check_invariants(&self.presence);
        self.conversations.check_invariants(&self.gate, &self.presence);
        self.log_ons.check_invariants(&self.accounts);
        self.consents.check_invariants(&self.gate);
        self.guests.check_invariants(&self.accounts, &self.presence);
        self.calls.check_invariants(|connection| self.presence.is_called(connection));
    }
}
