//! Who gets an account, another password, or loses it: sign-ups, people's own passwords, and the operator's commands.
//!
//! The operator's file is not touched: what stands in it is changed there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::change::{Account, Change};
use super::credentials::{Credential, Password, PasswordDigest};
use super::effect::{CloseReason, Derivation, Effect, IfLost, Listed, Outbox, Refusal, Reply};
use super::id::{ConnectionId, RequestId, UserId};
use super::input::{Mechanism, Operation, Ticket};
use super::name::UserName;
use super::presence::Manner;
use super::scram::{StoredKeys, Verifier};
use super::time::Now;
use super::{Answered, Hub};

/// The operator's passwords that are being derived. A connection has one at a time: it is suspended until then.
#[derive(Debug, Default)]
pub struct Membership {
    deriving: BTreeMap<Ticket, Deriving>,
}

#[derive(Debug)]
struct Deriving {
    connection: ConnectionId,
    id: Option<RequestId>,
    password: Password,
    purpose: Purpose,
    keeping: Keeping,
}

/// What a password is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// A new account.
    Add { classic: bool },
    /// Another password for this user; `None`: the account stays classic if it is.
    Reset { user: UserId, classic: Option<bool> },
}

/// What is kept of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeping {
    Verifier,
    /// A verifier, which is of the password's digest.
    OfDigest,
    /// Beside a verifier the password itself, sealed.
    Sealed,
}

impl Hub {
    /// An account for the name that was challenged.
    pub(super) fn sign_up(
        &mut self,
        now: Now,
        connection: ConnectionId,
        keys: StoredKeys,
        out: &mut Outbox,
    ) -> Answered {
        let Some((stranger, challenged)) = self.presence.take_challenged(connection) else {
            return Answered::refuse(Refusal::NoChallenge);
        };
        if !stranger.may_sign_up {
            return Answered::refuse(Refusal::NoSignUp);
        }
        if stranger.binding.is_none() {
            return Answered::refuse(Refusal::NeedsTls);
        }
        let name = challenged.name;
        if let Err(refusal) = self.may_sign_up(&name) {
            return Answered::refuse(refusal);
        }
        let salt = self.accounts.salt(&name);
        let verifier = Arc::new(Verifier { salt, iterations: challenged.iterations, keys });
        let user = self.accounts.enter(name.clone(), &mut out.changes);
        self.set_account(now, user, Some(Account { verifier, sealed: None, hashed: false }), None, out);
        Answered::stored(Reply::SignedUp(name))
    }

    /// Whether this can be the name of somebody who signs up.
    pub(super) fn may_sign_up(&self, name: &UserName) -> Result<(), Refusal> {
        // A name that once had an account has messages, which are not for whoever comes first.
        if self.accounts.has_been(name) || self.accounts.has_in_file(name) || self.accounts.find(name).is_some() {
            return Err(Refusal::NameTaken(name.clone()));
        }
        match self.accounts.are_full() {
            true => Err(Refusal::TooManyAccounts),
            false => Ok(()),
        }
    }

    /// Another password for whoever asks.
    pub(super) fn change_password(
        &mut self,
        now: Now,
        connection: ConnectionId,
        keys: StoredKeys,
        out: &mut Outbox,
    ) -> Answered {
        let Some(session) = self.presence.session(connection) else { return Answered::refuse(Refusal::LogInFirst) };
        let user = session.user;
        match session.manner {
            Manner::Native { encrypted: true, mechanism: Mechanism::Password } => {}
            Manner::Native { encrypted: true, mechanism: Mechanism::Token } => {
                return Answered::refuse(Refusal::PasswordFirst);
            }
            _ => return Answered::refuse(Refusal::NeedsTls),
        }
        let name = self.accounts.name(user).clone();
        if self.accounts.has_in_file(&name) {
            return Answered::refuse(Refusal::InFile(name));
        }
        let Some(account) = self.accounts.kept(user) else { return Answered::refuse(Refusal::NoSuchUser(name)) };
        if account.sealed.is_some() {
            return Answered::refuse(Refusal::PasswordIsKept);
        }
        let Verifier { salt, iterations, .. } = *account.verifier;
        let hashed = account.hashed;
        let verifier = Arc::new(Verifier { salt, iterations, keys });
        self.set_account(now, user, Some(Account { verifier, sealed: None, hashed }), Some(connection), out);
        Answered::stored(Reply::PasswordChanged(name))
    }

    /// What the operator asks for.
    pub(super) fn operate(
        &mut self,
        now: Now,
        connection: ConnectionId,
        id: Option<RequestId>,
        operation: Operation,
        out: &mut Outbox,
    ) -> Answered {
        match operation {
            Operation::Add { name, password, classic } => match self.may_add(&name) {
                Ok(()) => self.derive(connection, id, Purpose::Add { classic }, name, password, out),
                Err(refusal) => Answered::refuse(refusal),
            },
            Operation::SetPassword { name, password, classic } => match self.may_reset(&name) {
                Ok(user) => {
                    let name = self.accounts.name(user).clone();
                    self.derive(connection, id, Purpose::Reset { user, classic }, name, password, out)
                }
                Err(refusal) => Answered::refuse(refusal),
            },
            Operation::Remove(name) => self.remove_account(now, name, out),
            Operation::List => self.list_accounts(now),
            Operation::Unlock(name) => {
                let rows = self.lockout.unlock(&name);
                out.changes.extend(rows.into_iter().map(Change::Tries));
                Answered::stored(Reply::Unlocked(name))
            }
            Operation::Kick(name) => match self.accounts.find(&name) {
                Some(user) => {
                    let sessions = self.end_sessions(now, &[user].into(), None, CloseReason::Kicked, out);
                    Answered::reply(Reply::Kicked { user: self.accounts.name(user).clone(), sessions })
                }
                // Nobody can have logged in yet.
                None if self.accounts.has_in_file(&name) => Answered::reply(Reply::Kicked { user: name, sessions: 0 }),
                None => Answered::refuse(Refusal::NoSuchUser(name)),
            },
            Operation::Status => {
                self.tell_status(connection, id, out);
                Answered::Later
            }
        }
    }

    fn may_add(&self, name: &UserName) -> Result<(), Refusal> {
        if self.accounts.has_in_file(name) {
            return Err(Refusal::InFile(name.clone()));
        }
        if self.accounts.find_account(name).is_some() {
            return Err(Refusal::NameTaken(name.clone()));
        }
        if self.accounts.are_full() {
            return Err(Refusal::TooManyAccounts);
        }
        Ok(())
    }

    fn may_reset(&self, name: &UserName) -> Result<UserId, Refusal> {
        if self.accounts.has_in_file(name) {
            return Err(Refusal::InFile(name.clone()));
        }
        self.accounts.find_account(name).ok_or_else(|| Refusal::NoSuchUser(name.clone()))
    }

    /// Sends a password to the worker. The connection is not read until it is back.
    fn derive(
        &mut self,
        connection: ConnectionId,
        id: Option<RequestId>,
        purpose: Purpose,
        name: UserName,
        password: Password,
        out: &mut Outbox,
    ) -> Answered {
        let keeping = self.keeping(purpose);
        if keeping == Keeping::Sealed && self.config.sealing_key.is_none() {
            return Answered::refuse(Refusal::NoSealingKey);
        }
        let ticket = self.accounts.next_ticket();
        let salt = self.accounts.salt(&name);
        let iterations = self.config.scram_iterations;
        let verified = match keeping {
            Keeping::OfDigest => PasswordDigest::of(&password).as_password(),
            Keeping::Verifier | Keeping::Sealed => password.clone(),
        };
        let credential = Credential { name, password: verified };
        out.effects.push(Effect::Suspend { connection });
        out.effects.push(Effect::Derive { ticket, derivations: vec![Derivation { credential, salt, iterations }] });
        self.membership.deriving.insert(ticket, Deriving { connection, id, password, purpose, keeping });
        Answered::Later
    }

    fn keeping(&self, purpose: Purpose) -> Keeping {
        let (user, classic) = match purpose {
            Purpose::Add { classic: true } | Purpose::Reset { classic: Some(true), .. } => return Keeping::Sealed,
            Purpose::Add { classic: false } => return Keeping::Verifier,
            Purpose::Reset { user, classic } => (user, classic),
        };
        match self.accounts.kept(user) {
            // Whoever has it logs in with the digest.
            Some(account) if account.hashed => Keeping::OfDigest,
            Some(account) if account.sealed.is_some() && classic.is_none() => Keeping::Sealed,
            _ => Keeping::Verifier,
        }
    }

    /// A password is back from the worker. What was checked before may have changed meanwhile.
    pub(super) fn password_derived(
        &mut self,
        now: Now,
        ticket: Ticket,
        verifiers: Vec<(UserName, Arc<Verifier>)>,
        out: &mut Outbox,
    ) {
        let Some(deriving) = self.membership.deriving.remove(&ticket) else { return };
        let Deriving { connection, id, password, purpose, keeping } = deriving;
        let Some((name, verifier)) = verifiers.into_iter().next() else { return };
        out.effects.push(Effect::Unsuspend { connection });
        let sealed = match &self.config.sealing_key {
            Some(key) if keeping == Keeping::Sealed => Some(key.seal(&mut self.rng, &name, password.as_str())),
            _ => None,
        };
        let account = Account { verifier, sealed, hashed: keeping == Keeping::OfDigest };
        let answered = match purpose {
            Purpose::Add { .. } => self.may_add(&name).map(|()| {
                self.guest_gives_way(now, &name, out);
                let user = self.accounts.enter(name.clone(), &mut out.changes);
                self.set_account(now, user, Some(account), None, out);
                Reply::UserAdded(name)
            }),
            Purpose::Reset { user, .. } => match self.may_reset(&name) {
                // Somebody else has the name by now.
                Ok(found) if found != user => Err(Refusal::NoSuchUser(name)),
                Ok(_) => {
                    self.set_account(now, user, Some(account), None, out);
                    Ok(Reply::PasswordChanged(name))
                }
                Err(refusal) => Err(refusal),
            },
        };
        answered.map_or_else(Answered::refuse, Answered::stored).send(connection, id, out);
    }

    /// The account goes; so do the user's own blocks, and the name is free. The id is never used again: whoever gets the name
    /// is somebody else. What others have blocked stays blocked.
    fn remove_account(&mut self, now: Now, name: UserName, out: &mut Outbox) -> Answered {
        if self.accounts.has_in_file(&name) {
            return Answered::refuse(Refusal::InFile(name));
        }
        let user = self.accounts.find_ever(&name).filter(|&user| !self.accounts.is_guest(user));
        let Some(user) = user else { return Answered::refuse(Refusal::NoSuchUser(name)) };
        let name = self.accounts.name(user).clone();
        self.set_account(now, user, None, None, out);
        for (other, shown) in self.gate.blocked_by(user).collect::<Vec<_>>() {
            self.gate.unblock(user, other);
            if self.is_block_stored(user, other) {
                out.changes.push(Change::Unblock { user, other, shown });
            }
        }
        self.consents_end_with_account(user, out);
        self.accounts.retire(user);
        out.changes.push(Change::Retired { user });
        Answered::stored(Reply::UserRemoved(name))
    }

    fn list_accounts(&self, now: Now) -> Answered {
        let all = self.accounts.all().into_iter().map(|name| {
            let user = self.accounts.find_ever(name);
            let in_file = self.accounts.has_in_file(name);
            let kept = user.and_then(|user| self.accounts.kept(user));
            Listed {
                name: name.clone(),
                in_file,
                classic: !in_file && kept.is_some_and(|account| account.sealed.is_some()),
                hashed: !in_file && kept.is_some_and(|account| account.hashed),
                online: user.is_some_and(|user| self.presence.is_online(user)),
                locked: self.lockout.is_locked_anywhere(name, now),
            }
        });
        // As firm as the accounts themselves.
        Answered::Now(Ok(Reply::Users(all.collect())), IfLost::Refuse)
    }

    /// What the database has for a user is this from now on. Sessions that began with something else end.
    pub(super) fn set_account(
        &mut self,
        now: Now,
        user: UserId,
        account: Option<Account>,
        except: Option<ConnectionId>,
        out: &mut Outbox,
    ) {
        let verifier_before = self.accounts.verifier(user).cloned();
        let before = self.accounts.keep(user, account.clone());
        if before.is_some() || account.is_some() {
            out.changes.push(Change::Account { user, account, before });
        }
        if verifier_before.as_ref() != self.accounts.verifier(user) {
            self.end_sessions(now, &[user].into(), except, CloseReason::AccountChanged, out);
        }
    }
}
