//! Log-ins with the password itself, by clients that are reached by calls from then on; and how a try is judged and counted
//! whose protocol says what became of it.
//!
//! Their protocol says which of unknown, wrong and locked out it was, so these neither look nor last alike. The password
//! goes to the worker; what was checked before it went is checked again when it is back, or those who try many at once
//! would have them all checked before the first counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::change::Change;
use super::credentials::{Credential, Password};
use super::effect::{Derivation, Effect, IfLost, LogInFailure, Outbox, Refusal};
use super::id::{ConnectionId, DeviceId, RequestId, Source, UserId};
use super::input::{DeviceClaim, PeerPort, Request, Ticket};
use super::log_in::Proved;
use super::name::UserName;
use super::presence::{Manner, Stranger};
use super::scram::Verifier;
use super::time::Now;
use super::{Answered, Hub};

/// The tries whose passwords are being derived.
#[derive(Debug, Default)]
pub struct PasswordChecks {
    deriving: BTreeMap<Ticket, PasswordTry>,
}

/// Somebody wants to log in.
#[derive(Debug)]
pub(super) struct PasswordTry {
    pub connection: ConnectionId,
    pub id: Option<RequestId>,
    pub name: UserName,
    /// Where to be called.
    pub port: PeerPort,
}

impl PasswordChecks {
    pub(super) fn has(&self, ticket: Ticket) -> bool {
        self.deriving.contains_key(&ticket)
    }

    pub(super) fn forget_connection(&mut self, connection: ConnectionId) {
        self.deriving.retain(|_, tried| tried.connection != connection);
    }
}

impl Hub {
    /// A whole log-in; `password`: `None` if it can't be one.
    pub(super) fn log_in_by_password(
        &mut self,
        now: Now,
        tried: PasswordTry,
        password: Option<Password>,
        out: &mut Outbox,
    ) -> Answered {
        let PasswordTry { connection, id, .. } = tried;
        if !self.accounts.are_read() {
            let PasswordTry { name, port, .. } = tried;
            return self.log_in_later(connection, id, Request::LogInByPassword { name, password, port }, out);
        }
        let Some(stranger) = self.presence.stranger(connection) else {
            return Answered::refuse(Refusal::AlreadyLoggedIn);
        };
        // What can't be a password is nobody's.
        let checked = self
            .may_check(now, stranger.source(), &tried.name)
            .and_then(|user| self.what_to_derive(user, password).ok_or(LogInFailure::WrongPassword));
        let (verifier, password) = match checked {
            Ok(found) => found,
            Err(why) => return self.refuse_try(now, &stranger, &tried, why, out),
        };
        let (salt, iterations) = (verifier.salt, verifier.iterations);
        let credential = Credential { name: tried.name.clone(), password };
        let ticket = self.accounts.next_ticket();
        out.effects.push(Effect::Suspend { connection });
        out.effects.push(Effect::Derive { ticket, derivations: vec![Derivation { credential, salt, iterations }] });
        self.password_checks.deriving.insert(ticket, tried);
        Answered::Later
    }

    /// A password is back from the worker. The account may be another by now, or gone; so may whoever tried, and then nothing
    /// comes of it.
    pub(super) fn password_is_derived(
        &mut self,
        now: Now,
        ticket: Ticket,
        verifiers: &[(UserName, Arc<Verifier>)],
        out: &mut Outbox,
    ) {
        let Some(tried) = self.password_checks.deriving.remove(&ticket) else { return };
        let (connection, id) = (tried.connection, tried.id);
        let Some(stranger) = self.presence.stranger(connection) else { return };
        out.effects.push(Effect::Unsuspend { connection });
        let derived = verifiers.first().map(|(_, derived)| &**derived);
        let answered = match self.judge(now, stranger.source(), &tried.name, derived) {
            Ok(user) => self.let_in(now, &stranger, tried, user, out),
            Err(why) => self.refuse_try(now, &stranger, &tried, why, out),
        };
        answered.send(connection, id, out);
    }

    /// What a password of this user's would have to come to, and from what.
    fn what_to_derive(&self, user: UserId, password: Option<Password>) -> Option<(&Verifier, Password)> {
        Some((self.accounts.verifier(user)?, self.accounts.verified_by(user, password?)))
    }

    /// Whose password it would be. Nothing is checked while the name is locked out.
    pub(super) fn may_check(&self, now: Now, source: Source, name: &UserName) -> Result<UserId, LogInFailure> {
        let user = self.accounts.find_account(name);
        match self.lockout.is_locked(name, user, source, now) {
            true => Err(LogInFailure::LockedOut),
            false => user.ok_or(LogInFailure::UnknownName),
        }
    }

    /// Whose password it is.
    pub(super) fn judge(
        &self,
        now: Now,
        source: Source,
        name: &UserName,
        derived: Option<&Verifier>,
    ) -> Result<UserId, LogInFailure> {
        let user = self.may_check(now, source, name)?;
        let verifiers = self.accounts.verifier(user).zip(derived);
        self.judge_secret(user, source, verifiers.is_some_and(|(verifier, derived)| verifier.matches(derived)))
    }

    /// Whose secret it is, if it `is_right` for this user.
    pub(super) fn judge_secret(&self, user: UserId, source: Source, is_right: bool) -> Result<UserId, LogInFailure> {
        match is_right {
            false => Err(LogInFailure::WrongPassword),
            true if self.is_too_far(user, source) => Err(LogInFailure::NotFromHere),
            true => Ok(user),
        }
    }

    fn let_in(
        &mut self,
        now: Now,
        stranger: &Stranger,
        tried: PasswordTry,
        user: UserId,
        out: &mut Outbox,
    ) -> Answered {
        self.password_was_right(now, &tried.name, user, stranger.source(), out);
        let PasswordTry { connection, id, port, .. } = tried;
        let device = Some(DeviceClaim { id: DeviceId::REQUEST, shown: None });
        let (manner, address, if_lost) = (Manner::Called { port }, stranger.address, IfLost::Send);
        self.begin_session(now, Proved { connection, id, user, manner, device, address, finished: None, if_lost }, out)
    }

    fn refuse_try(
        &mut self,
        now: Now,
        stranger: &Stranger,
        tried: &PasswordTry,
        why: LogInFailure,
        out: &mut Outbox,
    ) -> Answered {
        let refusal = self.count_failure(now, &tried.name, stranger.source(), why, out);
        out.effects.push(Effect::LogInFailed { connection: tried.connection, why });
        // As true without a disk as with one: the counters live in memory then.
        Answered::refuse(refusal)
    }

    /// Counts a failure, if it counts. Comes back: what it was, for whoever tried.
    pub(super) fn count_failure(
        &mut self,
        now: Now,
        name: &UserName,
        source: Source,
        why: LogInFailure,
        out: &mut Outbox,
    ) -> Refusal {
        let (refusal, rows) = match why {
            LogInFailure::LockedOut => (Refusal::LockedOut, vec![]),
            LogInFailure::NotByThisProtocol => (Refusal::NotByThisProtocol, vec![]),
            LogInFailure::UnknownName => (Refusal::UnknownName, self.lockout.failed_unknown(source, now)),
            _ => {
                let rows = self.lockout.failed(name, source, now);
                let user = self.accounts.find_account(name);
                match self.lockout.is_locked(name, user, source, now) {
                    true => (Refusal::LockedOutNow, rows),
                    false => (Refusal::WrongPassword, rows),
                }
            }
        };
        out.changes.extend(rows.into_iter().map(Change::Tries));
        refusal
    }
}
