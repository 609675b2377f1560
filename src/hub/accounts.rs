//! Accounts: who exists, and what their log-ins are checked against. They come from the operator's file and from the
//! database; where both have a name, the file counts. Of some accounts the server has the password itself, of others no more
//! than a verifier, which may be of the password's digest only.
//!
//! Does not know how somebody logs in, nor who may change an account.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::Hub;
use super::change::{Account, Change};
use super::credentials::{Credential, Password, PasswordDigest};
use super::effect::{AccountsRead, Close, CloseReason, Derivation, Effect, Outbox};
use super::id::{ConnectionId, LogId, UserId};
use super::input::Ticket;
use super::name::UserName;
use super::scram::{self, SALT_BYTES, Verifier};
use super::seal::SealingKey;
use super::time::Now;

/// Passwords that go to the worker in one job.
const DERIVATIONS_A_JOB: usize = 16;
/// Accounts that the database holds at most.
pub const ACCOUNTS_MAX: usize = 10_000;

/// A name that has had an account once, or a guest's. Its id stays its own even while it has none.
#[derive(Debug)]
struct User {
    name: UserName,
    /// From the operator's file.
    in_file: Option<FileAccount>,
    /// From the database.
    kept: Option<Account>,
    /// It has had an account that was stored, or stood in the file: messages may be theirs.
    has_been: bool,
    /// It never has an account.
    is_guest: bool,
}

/// What the operator's file says of an account.
#[derive(Debug)]
struct FileAccount {
    verifier: Arc<Verifier>,
    password: Password,
}

/// All users, and the accounts that are being read.
#[derive(Debug)]
pub struct Accounts {
    /// Behind the salts of all names.
    secret: [u8; 32],
    /// By id, from 1; slot 0 is nobody's.
    users: Vec<Option<User>>,
    /// Without those that are retired, and those of guests who are gone.
    names: HashMap<UserName, UserId>,
    kept: usize,
    /// The names that the operator's file had when it was last read, whether their verifiers are there or not.
    file: BTreeSet<UserName>,
    /// Everybody knows the passwords of the file.
    public: bool,
    loading: Option<Loading>,
    /// The file was never read completely: log-ins wait, whether their name exists or not.
    unread: bool,
    last_ticket: Ticket,
}

/// Accounts of the file that wait for their verifiers.
#[derive(Debug)]
struct Loading {
    /// Of the job that is under way.
    ticket: Ticket,
    rest: VecDeque<Credential>,
    passwords: BTreeMap<UserName, Password>,
    ready: Vec<(UserName, Arc<Verifier>)>,
    public: bool,
}

impl User {
    fn new(name: UserName) -> User {
        User { name, in_file: None, kept: None, has_been: false, is_guest: false }
    }

    fn verifier(&self) -> Option<&Arc<Verifier>> {
        let in_file = self.in_file.as_ref().map(|account| &account.verifier);
        in_file.or(self.kept.as_ref().map(|account| &account.verifier))
    }
}

impl Accounts {
    pub(super) fn new(
        secret: [u8; 32],
        known: Vec<(UserId, UserName)>,
        retired: &[UserId],
        kept: Vec<(UserId, Account)>,
    ) -> Accounts {
        let mut accounts = Accounts {
            secret,
            users: vec![None],
            names: HashMap::new(),
            kept: 0,
            file: BTreeSet::new(),
            public: false,
            loading: None,
            unread: true,
            last_ticket: Ticket::default(),
        };
        for (id, name) in known {
            if !retired.contains(&id) {
                accounts.names.insert(name.clone(), id);
            }
            accounts.put(id, User { has_been: true, ..User::new(name) });
        }
        for (id, account) in kept {
            accounts.keep(id, Some(account));
        }
        accounts
    }

    /// The user of this name who can be written to: it has an account, or is a guest's who is here.
    pub fn find(&self, name: &UserName) -> Option<UserId> {
        self.find_ever(name).filter(|&id| self.has_account(id) || self.is_guest(id))
    }

    /// The user of this name, if it has an account.
    pub fn find_account(&self, name: &UserName) -> Option<UserId> {
        self.find_ever(name).filter(|&id| self.has_account(id))
    }

    /// The user of this name, even if there is no account any more.
    pub fn find_ever(&self, name: &UserName) -> Option<UserId> {
        self.names.get(name).copied()
    }

    /// Whether this name has, or once had, an account.
    pub(super) fn has_been(&self, name: &UserName) -> bool {
        let user = self.find_ever(name).and_then(|id| self.user(id));
        user.is_some_and(|user| user.has_been || user.verifier().is_some())
    }

    /// Whether the user is, or was, a guest.
    pub fn is_guest(&self, user: UserId) -> bool {
        self.user(user).is_some_and(|user| user.is_guest)
    }

    /// All guests who ever were here, by rising id.
    pub(super) fn guests(&self) -> impl Iterator<Item = UserId> + '_ {
        (0..self.users.len() as u32).map(UserId).filter(|&user| self.is_guest(user))
    }

    /// The name of a user who still has it.
    pub(super) fn name_now(&self, user: UserId) -> Option<&UserName> {
        let name = self.name(user);
        (self.find_ever(name) == Some(user)).then_some(name)
    }

    /// The name as its owner spells it.
    pub fn name(&self, user: UserId) -> &UserName {
        &self.users[user.0 as usize].as_ref().expect("ids are only given to users").name
    }

    /// Which log of messages this is.
    pub fn log(&self) -> LogId {
        // The secret itself must not be guessable from it: it is one more salt.
        let name = UserName::parse("log").expect("a name");
        let salt = self.salt(&name);
        LogId(u64::from_be_bytes(salt[..8].try_into().expect("8 bytes")))
    }

    /// The salt of a name, whether it exists or not.
    pub(super) fn salt(&self, name: &UserName) -> [u8; SALT_BYTES] {
        scram::salt_of(&self.secret, name)
    }

    pub(super) fn verifier(&self, user: UserId) -> Option<&Arc<Verifier>> {
        self.user(user)?.verifier()
    }

    /// The user's password, as far as the server has it: it stands in the operator's file, or is sealed with this key.
    pub(super) fn password(&self, user: UserId, key: Option<&SealingKey>) -> Option<Password> {
        let user = self.user(user)?;
        if let Some(in_file) = &user.in_file {
            return Some(in_file.password.clone());
        }
        let sealed = user.kept.as_ref()?.sealed.as_ref()?;
        Password::parse(&key?.open(&user.name, sealed)?).ok()
    }

    /// Whether the user's verifier is of the password's digest.
    pub(super) fn is_hashed(&self, user: UserId) -> bool {
        let user = self.user(user).filter(|user| user.in_file.is_none());
        user.and_then(|user| user.kept.as_ref()).is_some_and(|account| account.hashed)
    }

    /// What the user's verifier is of, if this is their password.
    pub(super) fn verified_by(&self, user: UserId, password: Password) -> Password {
        match self.is_hashed(user) {
            true => PasswordDigest::of(&password).as_password(),
            false => password,
        }
    }

    /// What the database has of a user's account.
    pub(super) fn kept(&self, user: UserId) -> Option<&Account> {
        self.user(user)?.kept.as_ref()
    }

    /// Whether the operator's file has this name, even if it was read just now and its verifier is not there yet.
    pub(super) fn has_in_file(&self, name: &UserName) -> bool {
        self.file.contains(name)
    }

    /// Whether everybody knows this user's password.
    pub(super) fn is_public(&self, user: UserId) -> bool {
        self.public && self.user(user).is_some_and(|user| user.in_file.is_some())
    }

    /// The names of all accounts, in order.
    pub(super) fn all(&self) -> BTreeSet<&UserName> {
        let kept = self.names.values().filter(|&&id| self.kept(id).is_some()).map(|&id| self.name(id));
        self.file.iter().chain(kept).collect()
    }

    /// Whether the database holds as many accounts as it may.
    pub(super) fn are_full(&self) -> bool {
        self.kept >= ACCOUNTS_MAX
    }

    /// Whether the file has been read completely once.
    pub(super) fn are_read(&self) -> bool {
        !self.unread
    }

    pub(super) fn next_ticket(&mut self) -> Ticket {
        self.last_ticket.0 += 1;
        self.last_ticket
    }

    /// Takes a name for a new user, or finds the user that has it. The name is spelled like this from now on.
    pub(super) fn enter(&mut self, name: UserName, changes: &mut Vec<Change>) -> UserId {
        let known = self.find_ever(&name);
        let id = known.unwrap_or(UserId(self.users.len() as u32));
        if known.is_none() {
            self.put(id, User::new(name.clone()));
        }
        let user = self.users[id.0 as usize].as_mut().expect("it was found, or put there");
        if known.is_none() || user.name.as_str() != name.as_str() {
            user.name = name.clone();
            self.names.remove(&name);
            self.names.insert(name.clone(), id);
            changes.push(Change::User { id, name });
        }
        id
    }

    /// A guest has this name from now on, which nobody else has. `known`: the id of a guest who is gone.
    pub(super) fn admit(&mut self, name: UserName, known: Option<UserId>) -> UserId {
        let id = known.unwrap_or(UserId(self.users.len() as u32));
        self.put(id, User { is_guest: true, ..User::new(name.clone()) });
        self.names.insert(name, id);
        id
    }

    /// What the database has for a user is this from now on. Comes back: what it was.
    pub(super) fn keep(&mut self, user: UserId, account: Option<Account>) -> Option<Account> {
        let slot = self.users.get_mut(user.0 as usize)?.as_mut()?;
        self.kept += usize::from(account.is_some());
        let before = std::mem::replace(&mut slot.kept, account);
        self.kept -= usize::from(before.is_some());
        before
    }

    /// The name is nobody's from now on.
    pub(super) fn retire(&mut self, user: UserId) {
        let name = self.name(user).clone();
        self.names.remove(&name);
    }

    /// The account that the name was taken for came to nothing: the name is nobody's again. `false`: there is one, or was.
    pub(super) fn release(&mut self, user: UserId) -> bool {
        let Some(found) = self.user(user).filter(|found| !found.has_been && found.verifier().is_none()) else {
            return false;
        };
        let name = found.name.clone();
        if self.find_ever(&name) == Some(user) {
            self.names.remove(&name);
        }
        true
    }

    /// The name is the user's again, unless somebody has taken it: `false`.
    pub(super) fn restore(&mut self, user: UserId) -> bool {
        let name = self.name(user).clone();
        *self.names.entry(name).or_insert(user) == user
    }

    fn user(&self, user: UserId) -> Option<&User> {
        self.users.get(user.0 as usize)?.as_ref()
    }

    fn has_account(&self, user: UserId) -> bool {
        self.verifier(user).is_some()
    }

    fn put(&mut self, id: UserId, user: User) {
        let slot = id.0 as usize;
        if self.users.len() <= slot {
            self.users.resize_with(slot + 1, || None);
        }
        self.users[slot] = Some(user);
    }

    /// The next job of the file that is being read; `None`: all verifiers are there, or nothing is being read.
    fn next_job(&mut self, iterations: u32) -> Option<(Ticket, Vec<Derivation>)> {
        let loading = self.loading.as_mut()?;
        if loading.rest.is_empty() {
            return None;
        }
        let count = loading.rest.len().min(DERIVATIONS_A_JOB);
        let derivation = |credential: Credential| Derivation {
            salt: scram::salt_of(&self.secret, &credential.name),
            credential,
            iterations,
        };
        let derivations = loading.rest.drain(..count).map(derivation).collect();
        self.last_ticket.0 += 1;
        loading.ticket = self.last_ticket;
        Some((loading.ticket, derivations))
    }

    pub(super) fn check_invariants(&self) {
        let users = self.users.iter().flatten();
        assert_eq!(self.kept, users.filter(|user| user.kept.is_some()).count(), "kept accounts are counted");
        for (name, &id) in &self.names {
            assert_eq!(self.name(id), name, "a name leads to its user");
        }
        for (slot, user) in self.users.iter().enumerate() {
            let Some(user) = user.as_ref().filter(|user| user.verifier().is_some()) else { continue };
            assert!(!user.is_guest, "a guest has no account");
            let Some(kept) = &user.kept else { continue };
            assert!(!kept.hashed || kept.sealed.is_none(), "of a digest no password is kept");
            assert_eq!(self.find_ever(&user.name), Some(UserId(slot as u32)), "nobody without a name has an account");
        }
    }
}

impl Hub {
    /// The operator's file was read. The accounts that were there stay until all of the new ones are ready.
    pub(super) fn read_accounts(&mut self, now: Now, credentials: Vec<Credential>, public: bool, out: &mut Outbox) {
        self.accounts.file = credentials.iter().map(|credential| credential.name.clone()).collect();
        if self.config.accounts_only {
            return;
        }
        self.guests_give_way(now, out);
        let ready = Vec::with_capacity(credentials.len());
        let password = |credential: &Credential| (credential.name.clone(), credential.password.clone());
        let (ticket, passwords) = (Ticket::default(), credentials.iter().map(password).collect());
        self.accounts.loading = Some(Loading { ticket, rest: credentials.into(), passwords, ready, public });
        self.derive_next(now, out);
    }

    /// The worker has made verifiers. Those of a file that has been read anew since count for nothing.
    pub(super) fn derived(
        &mut self,
        now: Now,
        ticket: Ticket,
        verifiers: Vec<(UserName, Arc<Verifier>)>,
        out: &mut Outbox,
    ) {
        match &mut self.accounts.loading {
            Some(loading) if loading.ticket == ticket => {
                loading.ready.extend(verifiers);
                self.derive_next(now, out);
            }
            _ if self.password_checks.has(ticket) => self.password_is_derived(now, ticket, &verifiers, out),
            _ if self.digest_checks.has(ticket) => self.digest_is_derived(now, ticket, verifiers, out),
            _ => self.password_derived(now, ticket, verifiers, out),
        }
    }

    fn derive_next(&mut self, now: Now, out: &mut Outbox) {
        if let Some((ticket, derivations)) = self.accounts.next_job(self.config.scram_iterations) {
            out.effects.push(Effect::Derive { ticket, derivations });
        } else if let Some(loading) = self.accounts.loading.take() {
            self.install(now, loading, out);
        }
    }

    fn install(&mut self, now: Now, mut loading: Loading, out: &mut Outbox) {
        let mut read = AccountsRead { accounts: loading.ready.len(), ..AccountsRead::default() };
        let mut in_file: Vec<Option<FileAccount>> = Vec::new();
        for (name, verifier) in loading.ready {
            let Some(password) = loading.passwords.remove(&name) else { continue };
            let slot = self.accounts.enter(name, &mut out.changes).0 as usize;
            in_file.resize_with(in_file.len().max(slot + 1), || None);
            in_file[slot] = Some(FileAccount { verifier, password });
        }
        self.accounts.public = loading.public;
        let (mut changed, mut taken_over) = (BTreeSet::new(), Vec::new());
        for (slot, user) in self.accounts.users.iter_mut().enumerate() {
            let Some(user) = user else { continue };
            let account = in_file.get_mut(slot).and_then(Option::take);
            match (&user.in_file, &account) {
                (None, Some(_)) => read.added += 1,
                (Some(_), None) => read.removed += 1,
                (Some(before), Some(after)) if before.verifier != after.verifier => read.changed += 1,
                _ => {}
            }
            let before = user.verifier().cloned();
            user.has_been |= account.is_some();
            user.in_file = account;
            if before.as_ref() != user.verifier() {
                changed.insert(UserId(slot as u32));
            }
            if user.in_file.is_some() && user.kept.is_some() {
                taken_over.push(UserId(slot as u32));
            }
        }
        read.taken_over = taken_over.len();
        for user in taken_over {
            // It would come back, unseen, when the line leaves the file.
            let before = self.accounts.keep(user, None);
            out.changes.push(Change::Account { user, account: None, before });
        }
        self.end_sessions(now, &changed, None, CloseReason::AccountChanged, out);
        self.consents_end_without_account(out);
        out.effects.push(Effect::AccountsRead(read));
        self.accounts.unread = false;
        self.unsaved.accounts_are_read(now.instant);
        self.resume_log_ins(now, out);
    }

    /// Ends all sessions of these users, but for one, and what was to become one. Comes back: how many.
    pub(super) fn end_sessions(
        &mut self,
        now: Now,
        users: &BTreeSet<UserId>,
        except: Option<ConnectionId>,
        reason: CloseReason,
        out: &mut Outbox,
    ) -> usize {
        if users.is_empty() {
            return 0;
        }
        self.end_log_ons(users, out);
        let mut sessions = self.presence.sessions_of(users);
        sessions.retain(|&connection| Some(connection) != except);
        for &connection in &sessions {
            self.end_session(now, connection, Some(reason), Close::Forced, out);
        }
        sessions.len()
    }
}
