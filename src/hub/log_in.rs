//! The log-in exchange, up to the moment it succeeds.
//!
//! Unknown names, wrong passwords and lock-outs look and last alike. Does not know what a logged-in user may do.

use std::mem;

use rand::Rng;

use super::change::Change;
use super::credentials::Password;
use super::effect::{Close, CloseReason, Effect, Event, IfLost, LogInFailure, Outbox, Refusal, Reply, ResumeToken};
use super::id::{ConnectionId, PeerAddress, RequestId, Source, UserId};
use super::input::{DeviceClaim, Mechanism, Request};
use super::name::UserName;
use super::presence::{Manner, State, Stranger};
use super::scram::{Checked, ClientFinal, ClientFirst, Header, ServerExchange, StoredKeys};
use super::time::Now;
use super::{Answered, Hub};

/// Random bytes in the server's part of a nonce.
const NONCE_BYTES: usize = 18;
/// Log-ins that may fail on a connection, for whatever reason. The last one ends it.
pub const LOG_IN_FAILURES_MAX: u32 = 5;

/// Log-ins that came before the operator's file was read.
#[derive(Debug, Default)]
pub struct LogIns {
    waiting: Vec<WaitingLogIn>,
}

#[derive(Debug)]
struct WaitingLogIn {
    connection: ConnectionId,
    id: Option<RequestId>,
    request: Request,
}

/// A log-in that has been challenged.
#[derive(Debug)]
pub struct Challenged {
    exchange: ServerExchange,
    mechanism: Mechanism,
    pub(super) name: UserName,
    /// What a password of the name is put to.
    pub(super) iterations: u32,
    device: Option<DeviceClaim>,
}

/// A log-in whose second half has come.
struct Attempt {
    connection: ConnectionId,
    id: Option<RequestId>,
    stranger: Stranger,
    challenged: Challenged,
}

/// A log-in that has succeeded.
#[derive(Debug)]
pub(super) struct Proved {
    pub connection: ConnectionId,
    pub id: Option<RequestId>,
    pub user: UserId,
    pub manner: Manner,
    pub device: Option<DeviceClaim>,
    pub address: PeerAddress,
    /// `None`: there was no exchange.
    pub finished: Option<Finished>,
    /// What becomes of the answer.
    pub if_lost: IfLost,
}

/// What both sides have of an exchange that has succeeded.
#[derive(Debug)]
pub(super) struct Finished {
    /// `server-final-message`.
    pub message: String,
    pub token: ResumeToken,
}

impl LogIns {
    pub(super) fn forget_connection(&mut self, connection: ConnectionId) {
        self.waiting.retain(|waiting| waiting.connection != connection);
    }
}

impl Attempt {
    /// Checks the proof against these keys; against nobody's, if there are none, which takes as long.
    fn check(&self, last: &ClientFinal, keys: Option<StoredKeys>) -> Checked {
        let keys = keys.unwrap_or(StoredKeys::of_nobody());
        self.challenged.exchange.check(last, &keys, self.stranger.binding.as_ref())
    }

    fn proved(self, user: UserId, message: String, token: ResumeToken) -> Proved {
        let Attempt { connection, id, stranger, challenged } = self;
        let manner = Manner::Native { mechanism: challenged.mechanism, encrypted: stranger.binding.is_some() };
        let (device, address) = (challenged.device, stranger.address);
        let finished = Some(Finished { message, token });
        Proved { connection, id, user, manner, device, address, finished, if_lost: IfLost::Send }
    }
}

impl Hub {
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
        if first.header == Header::Exporter && !self.presence.is_encrypted(connection) {
            return Answered::refuse(Refusal::NeedsTls);
        }
        if !self.accounts.are_read() {
            return self.log_in_later(connection, id, Request::LogIn { mechanism, first, device }, out);
        }
        let mut nonce = [0; NONCE_BYTES];
        self.rng.fill_bytes(&mut nonce);
        let user = self.accounts.find_account(&first.user);
        let verifier = user.and_then(|user| self.accounts.verifier(user));
        let (salt, iterations) = match verifier {
            Some(verifier) => (verifier.salt, verifier.iterations),
            None => (self.accounts.salt(&first.user), self.config.scram_iterations),
        };
        let exchange = ServerExchange::new(&first, &nonce, &salt, iterations);
        let message = exchange.message().to_owned();
        let challenged = Challenged { exchange, mechanism, name: first.user, iterations, device };
        self.presence.set_state(connection, State::Challenged(Box::new(challenged)));
        // Whether a name has an account whose password is hashed can be told by this; who speaks `datagram` can ask anyway.
        let hashed = user.is_some_and(|user| self.accounts.is_hashed(user));
        Answered::reply(Reply::Challenge { message, hashed })
    }

    /// The accounts are not there yet: whoever wants to come in waits for them.
    pub(super) fn log_in_later(
        &mut self,
        connection: ConnectionId,
        id: Option<RequestId>,
        request: Request,
        out: &mut Outbox,
    ) -> Answered {
        out.effects.push(Effect::Suspend { connection });
        self.log_ins.waiting.push(WaitingLogIn { connection, id, request });
        Answered::Later
    }

    /// The log-ins that waited for the accounts go on.
    pub(super) fn resume_log_ins(&mut self, now: Now, out: &mut Outbox) {
        for WaitingLogIn { connection, id, request } in mem::take(&mut self.log_ins.waiting) {
            out.effects.push(Effect::Unsuspend { connection });
            self.request(now, connection, id, request, out).send(connection, id, out);
        }
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
        let Some((stranger, challenged)) = self.presence.take_challenged(connection) else {
            return Answered::refuse(Refusal::NoChallenge);
        };
        let attempt = Attempt { connection, id, stranger, challenged };
        let answered = match attempt.challenged.mechanism {
            Mechanism::Password => self.check_password(now, attempt, last, out),
            Mechanism::Token => self.check_token(now, attempt, last, out),
        };
        if !self.presence.has_failed_too_often(connection) {
            return answered;
        }
        answered.send(connection, id, out);
        self.end_session(now, connection, Some(CloseReason::LogInsFailed), Close::Forced, out);
        Answered::Later
    }

    fn log_in_failed(&mut self, connection: ConnectionId, why: LogInFailure, out: &mut Outbox) {
        self.presence.failed(connection);
        out.effects.push(Effect::LogInFailed { connection, why });
    }

    fn check_password(&mut self, now: Now, attempt: Attempt, last: &ClientFinal, out: &mut Outbox) -> Answered {
        let (source, name) = (attempt.stranger.source(), &attempt.challenged.name);
        let user = self.accounts.find_account(name);
        let locked = self.lockout.is_locked(name, user, source, now);
        let keys = user.and_then(|user| self.accounts.verifier(user)).map(|verifier| verifier.keys.clone());
        let checked = attempt.check(last, keys);
        let (why, rows) = match (user, checked) {
            _ if locked => (LogInFailure::LockedOut, self.lockout.left_unchecked(name, source)),
            (Some(user), Checked::Right(message, token)) if !self.is_too_far(user, attempt.stranger.source()) => {
                self.password_was_right(now, name, user, source, out);
                return self.begin_session(now, attempt.proved(user, message, token), out);
            }
            (Some(_), Checked::Elsewhere) => return self.somebody_in_between(attempt.connection, out),
            (user, checked) => {
                let why = match (user, checked) {
                    (None, _) => LogInFailure::UnknownName,
                    (Some(_), Checked::Right(..)) => LogInFailure::NotFromHere,
                    (Some(_), _) => LogInFailure::WrongPassword,
                };
                (why, self.lockout.failed(name, source, now))
            }
        };
        out.changes.extend(rows.into_iter().map(Change::Tries));
        self.log_in_failed(attempt.connection, why, out);
        // As true without a disk as with one: the counters live in memory then.
        Answered::Now(Err(Refusal::NotAuthenticated), IfLost::Send)
    }

    /// The source is known to the account from now on, and its wrong tries are forgotten.
    pub(super) fn password_was_right(
        &mut self,
        now: Now,
        name: &UserName,
        user: UserId,
        source: Source,
        out: &mut Outbox,
    ) {
        let (row, new_source) = self.lockout.succeeded(name, user, source, now);
        out.changes.extend(row.map(Change::Tries));
        if new_source {
            out.changes.push(Change::SourceKnown { user, source, time: now.wall });
        }
    }

    fn check_token(&mut self, now: Now, attempt: Attempt, last: &ClientFinal, out: &mut Outbox) -> Answered {
        let Challenged { name, device, .. } = &attempt.challenged;
        let user = self.accounts.find_account(name);
        let keys = user.and_then(|user| {
            let kept = self.devices.token(user, device.as_ref()?.id)?;
            Some(kept.bound_to(self.accounts.verifier(user)?))
        });
        let why = match (user, attempt.check(last, keys)) {
            (Some(user), Checked::Right(message, token)) if !self.is_too_far(user, attempt.stranger.source()) => {
                return self.begin_session(now, attempt.proved(user, message, token), out);
            }
            (Some(_), Checked::Elsewhere) => return self.somebody_in_between(attempt.connection, out),
            (Some(_), Checked::Right(..)) => LogInFailure::NotFromHere,
            _ => LogInFailure::StaleToken,
        };
        self.log_in_failed(attempt.connection, why, out);
        Answered::refuse(Refusal::TokenRefused)
    }

    /// Whoever is at the other end knows the secret and has not meant this connection: it does not count as a wrong try.
    fn somebody_in_between(&mut self, connection: ConnectionId, out: &mut Outbox) -> Answered {
        self.log_in_failed(connection, LogInFailure::Elsewhere, out);
        Answered::refuse(Refusal::SomebodyInBetween)
    }

    /// The user's password, as far as the server has it.
    pub(super) fn password(&self, user: UserId) -> Option<Password> {
        self.accounts.password(user, self.config.sealing_key.as_ref())
    }

    /// Public passwords work from loopback only.
    pub(super) fn is_too_far(&self, user: UserId, source: Source) -> bool {
        self.accounts.is_public(user) && !source.is_loopback()
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
