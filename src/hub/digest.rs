//! Log-ins with a digest in the place of the password, and sign-ups: all that the `datagram` protocol has.
//!
//! Where the server has the password, the digest is compared with the password's; where all that it ever had is a digest, it
//! goes to the worker as a password does. Of the other accounts there is nothing that it could be compared with. Whoever is
//! refused is gone: each log-in comes as somebody new.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::change::Account;
use super::credentials::{Credential, PasswordDigest};
use super::effect::{Close, Derivation, Effect, IfLost, LogInFailure, Outbox, Refusal};
use super::id::{ConnectionId, DeviceId, RequestId, UserId};
use super::input::{DeviceClaim, Request, Ticket};
use super::log_in::Proved;
use super::name::UserName;
use super::presence::{Manner, Stranger};
use super::scram::{SALT_BYTES, Verifier};
use super::time::Now;
use super::{Answered, Hub};

/// The tries whose digests are being derived.
#[derive(Debug, Default)]
pub struct DigestChecks {
    deriving: BTreeMap<Ticket, DigestTry>,
}

/// Somebody wants to log in, or to sign up.
#[derive(Debug)]
pub(super) struct DigestTry {
    pub connection: ConnectionId,
    pub id: Option<RequestId>,
    pub name: UserName,
}

/// What a digest comes to as far as it can be said at once.
enum Checked {
    /// It is this user's.
    Right(UserId),
    /// The worker has to derive it with this salt and as many iterations.
    Underived([u8; SALT_BYTES], u32),
    Wrong(LogInFailure),
    /// It would be a sign-up, which can't be done.
    NoAccount(Refusal),
}

impl DigestChecks {
    pub(super) fn has(&self, ticket: Ticket) -> bool {
        self.deriving.contains_key(&ticket)
    }

    pub(super) fn forget_connection(&mut self, connection: ConnectionId) {
        self.deriving.retain(|_, tried| tried.connection != connection);
    }
}

impl Hub {
    /// A whole log-in; where nobody has the name, a sign-up.
    pub(super) fn log_in_by_digest(
        &mut self,
        now: Now,
        tried: DigestTry,
        digest: PasswordDigest,
        out: &mut Outbox,
    ) -> Answered {
        let DigestTry { connection, id, .. } = tried;
        if !self.accounts.are_read() {
            return self.log_in_later(connection, id, Request::LogInByDigest { name: tried.name, digest }, out);
        }
        let Some(stranger) = self.presence.stranger(connection) else {
            return Answered::refuse(Refusal::AlreadyLoggedIn);
        };
        match self.check_digest(now, &stranger, &tried.name, digest) {
            Checked::Right(user) => self.correspondent_is_in(now, &stranger, tried, user, IfLost::Send, out),
            Checked::Underived(salt, iterations) => {
                let credential = Credential { name: tried.name.clone(), password: digest.as_password() };
                let derivations = vec![Derivation { credential, salt, iterations }];
                let ticket = self.accounts.next_ticket();
                out.effects.push(Effect::Suspend { connection });
                out.effects.push(Effect::Derive { ticket, derivations });
                self.digest_checks.deriving.insert(ticket, tried);
                Answered::Later
            }
            Checked::Wrong(why) => self.digest_is_wrong(now, &stranger, tried, why, out),
            Checked::NoAccount(refusal) => self.turn_away(now, tried, refusal, out),
        }
    }

    /// A digest is back from the worker. What was found before it went may hold no more; whoever tried may be gone, and then
    /// nothing comes of it.
    pub(super) fn digest_is_derived(
        &mut self,
        now: Now,
        ticket: Ticket,
        verifiers: Vec<(UserName, Arc<Verifier>)>,
        out: &mut Outbox,
    ) {
        let Some(tried) = self.digest_checks.deriving.remove(&ticket) else { return };
        let Some((_, derived)) = verifiers.into_iter().next() else { return };
        let (connection, id) = (tried.connection, tried.id);
        let Some(stranger) = self.presence.stranger(connection) else { return };
        out.effects.push(Effect::Unsuspend { connection });
        let answered = match self.judge(now, stranger.source(), &tried.name, Some(&derived)) {
            Ok(user) => self.correspondent_is_in(now, &stranger, tried, user, IfLost::Send, out),
            Err(LogInFailure::UnknownName) if stranger.may_sign_up => {
                self.sign_up_by_digest(now, &stranger, tried, derived, out)
            }
            Err(why) => self.digest_is_wrong(now, &stranger, tried, why, out),
        };
        answered.send(connection, id, out);
    }

    fn check_digest(&self, now: Now, stranger: &Stranger, name: &UserName, digest: PasswordDigest) -> Checked {
        let user = match self.may_check(now, stranger.source(), name) {
            Ok(user) => user,
            Err(LogInFailure::UnknownName) if stranger.may_sign_up => {
                return match self.may_sign_up(name) {
                    Ok(()) => Checked::Underived(self.accounts.salt(name), self.config.scram_iterations),
                    Err(refusal) => Checked::NoAccount(refusal),
                };
            }
            Err(why) => return Checked::Wrong(why),
        };
        if let Some(password) = self.password(user) {
            let is_right = PasswordDigest::of(&password) == digest;
            return self.judge_secret(user, stranger.source(), is_right).map_or_else(Checked::Wrong, Checked::Right);
        }
        match self.accounts.verifier(user).filter(|_| self.accounts.is_hashed(user)) {
            Some(verifier) => Checked::Underived(verifier.salt, verifier.iterations),
            None => Checked::Wrong(LogInFailure::NotByThisProtocol),
        }
    }

    /// An account of which the server has no more than the verifier of a digest, and a log-in to it.
    fn sign_up_by_digest(
        &mut self,
        now: Now,
        stranger: &Stranger,
        tried: DigestTry,
        verifier: Arc<Verifier>,
        out: &mut Outbox,
    ) -> Answered {
        if let Err(refusal) = self.may_sign_up(&tried.name) {
            return self.turn_away(now, tried, refusal, out);
        }
        let user = self.accounts.enter(tried.name.clone(), &mut out.changes);
        self.set_account(now, user, Some(Account { verifier, sealed: None, hashed: true }), None, out);
        self.correspondent_is_in(now, stranger, tried, user, IfLost::Refuse, out)
    }

    fn correspondent_is_in(
        &mut self,
        now: Now,
        stranger: &Stranger,
        tried: DigestTry,
        user: UserId,
        if_lost: IfLost,
        out: &mut Outbox,
    ) -> Answered {
        self.password_was_right(now, &tried.name, user, stranger.source(), out);
        let DigestTry { connection, id, .. } = tried;
        let device = Some(DeviceClaim { id: DeviceId::DATAGRAM, shown: None });
        let (manner, address) = (Manner::Correspondent, stranger.address);
        let proved = Proved { connection, id, user, manner, device, address, finished: None, if_lost };
        self.begin_session(now, proved, out)
    }

    fn digest_is_wrong(
        &mut self,
        now: Now,
        stranger: &Stranger,
        tried: DigestTry,
        why: LogInFailure,
        out: &mut Outbox,
    ) -> Answered {
        let refusal = self.count_failure(now, &tried.name, stranger.source(), why, out);
        out.effects.push(Effect::LogInFailed { connection: tried.connection, why });
        self.turn_away(now, tried, refusal, out)
    }

    fn turn_away(&mut self, now: Now, tried: DigestTry, refusal: Refusal, out: &mut Outbox) -> Answered {
        let DigestTry { connection, id, .. } = tried;
        // As true without a disk as with one: the counters live in memory then.
        Answered::refuse(refusal).send(connection, id, out);
        self.end_session(now, connection, None, Close::Forced, out);
        Answered::Later
    }
}
