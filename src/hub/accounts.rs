//! Accounts: who exists, and by what they prove it. The log-in exchange up to the moment it succeeds.
//!
//! Does not know what a logged-in user may do.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::Arc;

use rand::Rng;

use super::change::Change;
use super::credentials::Credential;
use super::effect::{Close, CloseReason, Derivation, Effect, Event, IfLost, LogInFailure, Outbox, Refusal, Reply};
use super::id::{ConnectionId, LogId, RequestId, UserId};
use super::input::{DeviceClaim, Mechanism};
use super::name::UserName;
use super::presence::State;
use super::scram::{self, ClientFinal, ClientFirst, ServerExchange, StoredKeys, Verifier};
use super::time::Now;
use super::{Answered, Hub};

/// Passwords that go to the worker in one job.
const DERIVATIONS_A_JOB: usize = 16;
/// Random bytes in the server's part of a nonce.
const NONCE_BYTES: usize = 18;

/// A name that has been seen in the operator's file once. Its id stays its own even while it has no account.
#[derive(Debug)]
pub struct User {
    pub name: UserName,
    /// `None`: no account now.
    verifier: Option<Arc<Verifier>>,
}

/// All users, and the accounts that are being read.
#[derive(Debug)]
pub struct Accounts {
    /// Behind the salts of all names.
    secret: [u8; 32],
    /// By id, from 1; slot 0 is nobody's.
    users: Vec<Option<User>>,
    names: HashMap<UserName, UserId>,
    loading: Option<Loading>,
    /// The accounts were never read completely: log-ins wait, whether their name exists or not.
    unread: bool,
    waiting: Vec<WaitingLogIn>,
}

/// Accounts that wait for their verifiers.
#[derive(Debug)]
struct Loading {
    rest: VecDeque<Credential>,
    ready: Vec<(UserName, Arc<Verifier>)>,
    total: usize,
}

/// A log-in that came before the accounts were there.
#[derive(Debug)]
struct WaitingLogIn {
    connection: ConnectionId,
    id: Option<RequestId>,
    log_in: (Mechanism, ClientFirst, Option<DeviceClaim>),
}

/// A log-in that has been challenged.
#[derive(Debug)]
pub struct Challenged {
    exchange: ServerExchange,
    mechanism: Mechanism,
    name: UserName,
    device: Option<DeviceClaim>,
}

impl Accounts {
    pub(super) fn new(secret: [u8; 32], known: Vec<(UserId, UserName)>) -> Accounts {
        let mut accounts = Accounts {
            secret,
            users: vec![None],
            names: HashMap::new(),
            loading: None,
            unread: true,
            waiting: Vec::new(),
        };
        for (id, name) in known {
            accounts.insert(id, name);
        }
        accounts
    }

    /// The user of this name, if it has an account.
    pub fn find(&self, name: &UserName) -> Option<UserId> {
        self.names.get(name).copied().filter(|&id| self.has_account(id))
    }

    /// The user of this name, even if there is no account any more.
    pub fn find_ever(&self, name: &UserName) -> Option<UserId> {
        self.names.get(name).copied()
    }

    /// The name as its owner spells it.
    pub fn name(&self, user: UserId) -> &UserName {
        &self.users[user.0 as usize].as_ref().expect("ids are only given to users").name
    }

    /// Which log of messages this is.
    pub fn log(&self) -> LogId {
        // The secret itself must not be guessable from it: it is one more salt.
        let name = UserName::parse("log").expect("a name");
        let salt = scram::salt_of(&self.secret, &name);
        LogId(u64::from_be_bytes(salt[..8].try_into().expect("8 bytes")))
    }

    pub(super) fn verifier(&self, user: UserId) -> Option<&Arc<Verifier>> {
        self.users.get(user.0 as usize)?.as_ref()?.verifier.as_ref()
    }

    fn has_account(&self, user: UserId) -> bool {
        self.verifier(user).is_some()
    }

    fn insert(&mut self, id: UserId, name: UserName) {
        let slot = id.0 as usize;
        if self.users.len() <= slot {
            self.users.resize_with(slot + 1, || None);
        }
        self.names.insert(name.clone(), id);
        self.users[slot] = Some(User { name, verifier: None });
    }

    fn jobs(&mut self, iterations: u32) -> Vec<Derivation> {
        let Some(loading) = &mut self.loading else { return Vec::new() };
        let count = loading.rest.len().min(DERIVATIONS_A_JOB);
        let secret = &self.secret;
        loading
            .rest
            .drain(..count)
            .map(|credential| Derivation { salt: scram::salt_of(secret, &credential.name), credential, iterations })
            .collect()
    }

    /// Whether the accounts have been read completely once.
    pub(super) fn are_read(&self) -> bool {
        !self.unread
    }

    pub(super) fn forget_connection(&mut self, connection: ConnectionId) {
        self.waiting.retain(|waiting| waiting.connection != connection);
    }
}

impl Hub {
    /// The operator's file was read. The accounts that were there stay until all of the new ones are ready.
    pub(super) fn read_accounts(&mut self, now: Now, credentials: Vec<Credential>, out: &mut Outbox) {
        let total = credentials.len();
        self.accounts.loading = Some(Loading { rest: credentials.into(), ready: Vec::with_capacity(total), total });
        self.derive_next(now, out);
    }

    pub(super) fn derived(&mut self, now: Now, ready: Vec<(UserName, Arc<Verifier>)>, out: &mut Outbox) {
        if let Some(loading) = &mut self.accounts.loading {
            loading.ready.extend(ready);
        }
        self.derive_next(now, out);
    }

    fn derive_next(&mut self, now: Now, out: &mut Outbox) {
        let jobs = self.accounts.jobs(self.config.scram_iterations);
        if !jobs.is_empty() {
            out.effects.push(Effect::Derive(jobs));
            return;
        }
        if let Some(loading) = self.accounts.loading.take_if(|loading| loading.ready.len() >= loading.total) {
            self.install(now, loading.ready, out);
        }
    }

    fn install(&mut self, now: Now, ready: Vec<(UserName, Arc<Verifier>)>, out: &mut Outbox) {
        let mut verifiers: Vec<Option<Arc<Verifier>>> = Vec::new();
        for (name, verifier) in ready {
            let id = match self.accounts.names.get(&name) {
                Some(&id) => id,
                None => UserId(self.accounts.users.len() as u32),
            };
            let slot = id.0 as usize;
            if self
                .accounts
                .users
                .get(slot)
                .and_then(Option::as_ref)
                .is_none_or(|user| user.name.as_str() != name.as_str())
            {
                self.accounts.names.remove(&name);
                let before = self.accounts.users.get_mut(slot).and_then(Option::take).and_then(|user| user.verifier);
                self.accounts.insert(id, name.clone());
                self.accounts.users[slot].as_mut().expect("just inserted").verifier = before;
                out.changes.push(Change::User { id, name });
            }
            verifiers.resize(verifiers.len().max(slot + 1), None);
            verifiers[slot] = Some(verifier);
        }
        let mut changed = Vec::new();
        for (slot, user) in self.accounts.users.iter_mut().enumerate() {
            let Some(user) = user else { continue };
            let verifier = verifiers.get_mut(slot).and_then(Option::take);
            if user.verifier.is_some() && user.verifier != verifier {
                changed.push(UserId(slot as u32));
            }
            user.verifier = verifier;
        }
        for user in changed {
            for connection in self.presence.sessions_of(user) {
                self.end_session(now, connection, Some(CloseReason::AccountChanged), Close::Forced, out);
            }
        }
        self.accounts.unread = false;
        for WaitingLogIn { connection, id, log_in: (mechanism, first, device) } in mem::take(&mut self.accounts.waiting)
        {
            out.effects.push(Effect::Unsuspend { connection });
            let answer = self.log_in(connection, id, mechanism, first, device, out);
            answer.send(connection, id, out);
        }
    }

    /// The first half of a log-in. A name that nobody has is challenged as any other.
    pub(super) fn log_in(
        &mut self,
        connection: ConnectionId,
        id: Option<RequestId>,
        mechanism: Mechanism,
        first: ClientFirst,
        device: Option<DeviceClaim>,
        out: &mut Outbox,
    ) -> Answered {
        if mechanism == Mechanism::Token && device.is_none() {
            return Answered::refuse(Refusal::NoDevice);
        }
        if self.accounts.unread {
            out.effects.push(Effect::Suspend { connection });
            self.accounts.waiting.push(WaitingLogIn { connection, id, log_in: (mechanism, first, device) });
            return Answered::Later;
        }
        let mut nonce = [0; NONCE_BYTES];
        self.rng.fill_bytes(&mut nonce);
        let salt = scram::salt_of(&self.accounts.secret, &first.user);
        let exchange = ServerExchange::new(&first, &nonce, &salt, self.config.scram_iterations);
        let message = exchange.message().to_owned();
        let challenged = Challenged { exchange, mechanism, name: first.user, device };
        self.presence.set_state(connection, State::Challenged(Box::new(challenged)));
        Answered::reply(Reply::Challenge { message })
    }

    /// The second half. Unknown, wrong and locked take the same steps, the same commit and the same reply.
    pub(super) fn authenticate(
        &mut self,
        now: Now,
        connection: ConnectionId,
        id: Option<RequestId>,
        last: &ClientFinal,
        out: &mut Outbox,
    ) -> Answered {
        let Some((source, challenged)) = self.presence.take_challenged(connection) else {
            return Answered::refuse(Refusal::NoChallenge);
        };
        let not_from_here = self.config.loopback_only && !source.is_loopback();
        match challenged.mechanism {
            Mechanism::Password => {
                let user = self.accounts.find(&challenged.name);
                let locked = self.lockout.is_locked(&challenged.name, user, source, now);
                let verifier = user.and_then(|user| self.accounts.verifier(user)).cloned();
                let nobody = StoredKeys::of_nobody();
                let keys = verifier.as_ref().map_or(&nobody, |verifier| &verifier.keys);
                let proof = challenged.exchange.check(last, keys);
                let (why, rows) = match (user, proof) {
                    _ if locked => (LogInFailure::LockedOut, self.lockout.left_unchecked(&challenged.name, source)),
                    (Some(user), Some(proved)) if !not_from_here => {
                        let (row, new_source) = self.lockout.succeeded(&challenged.name, user, source, now);
                        out.changes.extend(row.map(Change::Tries));
                        if new_source {
                            out.changes.push(Change::SourceKnown { user, source, time: now.wall });
                        }
                        return self.begin_session(now, connection, id, user, challenged.device, proved, out);
                    }
                    (user, proof) => {
                        let why = match (user, proof) {
                            (None, _) => LogInFailure::UnknownName,
                            (Some(_), Some(_)) => LogInFailure::NotFromHere,
                            (Some(_), None) => LogInFailure::WrongPassword,
                        };
                        (why, self.lockout.failed(&challenged.name, source, now))
                    }
                };
                out.changes.extend(rows.into_iter().map(Change::Tries));
                out.effects.push(Effect::LogInFailed { connection, why });
                // As true without a disk as with one: the counters live in memory then.
                Answered::Now(Err(Refusal::NotAuthenticated), IfLost::Send)
            }
            Mechanism::Token => {
                let user = self.accounts.find(&challenged.name);
                let keys = user.and_then(|user| {
                    let kept = self.devices.token(user, challenged.device?.id)?;
                    Some(kept.bound_to(self.accounts.verifier(user)?))
                });
                let proof = challenged.exchange.check(last, keys.as_ref().unwrap_or(&StoredKeys::of_nobody()));
                let why = match (user, proof) {
                    (Some(user), Some(proved)) if !not_from_here => {
                        return self.begin_session(now, connection, id, user, challenged.device, proved, out);
                    }
                    (Some(_), Some(_)) => LogInFailure::NotFromHere,
                    _ => LogInFailure::StaleToken,
                };
                out.effects.push(Effect::LogInFailed { connection, why });
                Answered::refuse(Refusal::TokenRefused)
            }
        }
    }

    /// Ends a session that the client did not end: tells why, and closes.
    pub(super) fn end_session(
        &mut self,
        now: Now,
        connection: ConnectionId,
        reason: Option<CloseReason>,
        how: Close,
        out: &mut Outbox,
    ) {
        if let Some(reason) = reason {
            out.event(connection, Event::Closing(reason), IfLost::Send);
        }
        out.effects.push(Effect::Close { connection, how });
        self.leave(now, connection, out);
    }
}
