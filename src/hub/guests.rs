//! Guests: who is here without an account, under a name that is nobody else's, for as long as their connection lasts.
//!
//! A guest is a user, so that everything between users holds for them too; but nothing of them is stored, and what others
//! have to do with them (blocks, what waits for them) ends when they go. Only a message makes a name last: whoever reads
//! the log is to know who wrote it, and to whom. From then on the guest's id is theirs for ever.

use std::collections::{BTreeMap, BTreeSet};

use super::accounts::Accounts;
use super::change::{AWAY, Change};
use super::effect::{Close, CloseReason, IfLost, Outbox, Refusal};
use super::id::{ConnectionId, DeviceId, RequestId, UserId};
use super::input::{DeviceClaim, Request};
use super::log_in::Proved;
use super::name::UserName;
use super::presence::{Manner, Presence};
use super::time::Now;
use super::{Answered, Hub};

/// Guests that can be here at a time.
pub const GUESTS_MAX: usize = 2000;
/// With so many names of guests in the log since the start only those come in who were here before: a name in the log is kept.
pub const GUEST_NAMES_MAX: usize = 4000;

/// All guests, and their ids.
#[derive(Debug, Default)]
pub struct Guests {
    here: BTreeSet<UserId>,
    /// Whose names the log has, here or not.
    logged: BTreeSet<UserId>,
    /// Those of them who are gone, by their names as they spelled them: who comes back is the same.
    gone: BTreeMap<String, UserId>,
    /// The ids of others who are gone: the next guests'.
    free: BTreeSet<UserId>,
}

impl Guests {
    /// Whether the log has this guest's name, or room for it.
    fn has_name_for(&self, name: &UserName) -> bool {
        self.logged.len() < GUEST_NAMES_MAX || self.gone.contains_key(name.as_str())
    }

    /// The id of a guest who comes. `None`: one that nobody has had.
    fn arrive(&mut self, name: &UserName) -> Option<UserId> {
        self.gone.remove(name.as_str()).or_else(|| self.free.pop_first())
    }

    fn leave(&mut self, user: UserId, name: &UserName) {
        self.here.remove(&user);
        if self.logged.contains(&user) {
            self.gone.insert(name.as_str().to_owned(), user);
        } else {
            self.free.insert(user);
        }
    }

    pub(super) fn check_invariants(&self, accounts: &Accounts, presence: &Presence) {
        let sessions: Vec<UserId> = presence
            .sessions()
            .filter(|(_, session)| matches!(session.manner, Manner::Guest))
            .map(|(_, session)| session.user)
            .collect();
        assert_eq!(sessions.len(), self.here.len(), "a session for each guest");
        assert_eq!(sessions.into_iter().collect::<BTreeSet<_>>(), self.here);
        for &user in &self.here {
            assert!(accounts.is_guest(user) && accounts.find(accounts.name(user)) == Some(user));
        }
        let gone: BTreeSet<UserId> = self.gone.values().copied().collect();
        assert!(gone.is_subset(&self.logged) && gone.is_disjoint(&self.here));
        assert!(self.free.is_disjoint(&self.here) && self.free.is_disjoint(&self.logged), "a free id is nobody's");
        let away = accounts.guests().filter(|user| !self.here.contains(user));
        assert!(away.eq(gone.union(&self.free).copied()), "no id is lost");
    }
}

impl Hub {
    /// Somebody comes in without an account.
    pub(super) fn enter(
        &mut self,
        now: Now,
        connection: ConnectionId,
        id: Option<RequestId>,
        name: UserName,
        out: &mut Outbox,
    ) -> Answered {
        if !self.accounts.are_read() {
            return self.log_in_later(connection, id, Request::Enter(name), out);
        }
        if let Err(refusal) = self.may_enter(&name) {
            Answered::refuse(refusal).send(connection, id, out);
            self.end_session(now, connection, None, Close::Forced, out);
            return Answered::Later;
        }
        let Some(stranger) = self.presence.stranger(connection) else {
            return Answered::refuse(Refusal::AlreadyLoggedIn);
        };
        let address = stranger.address;
        let known = self.guests.arrive(&name);
        let user = self.accounts.admit(name, known);
        self.guests.here.insert(user);
        let device = Some(DeviceClaim { id: DeviceId::NICK, shown: None });
        let (manner, if_lost) = (Manner::Guest, IfLost::Send);
        let proved = Proved { connection, id, user, manner, device, address, finished: None, if_lost };
        self.begin_session(now, proved, out)
    }

    fn may_enter(&self, name: &UserName) -> Result<(), Refusal> {
        // A name that once had an account has messages, which are not for whoever comes first.
        if self.accounts.find_ever(name).is_some() || self.accounts.has_in_file(name) {
            return Err(Refusal::NameTaken(name.clone()));
        }
        if self.guests.here.len() >= GUESTS_MAX || !self.guests.has_name_for(name) {
            return Err(Refusal::TooManyGuests);
        }
        Ok(())
    }

    /// The guest's session has ended.
    pub(super) fn forget_guest(&mut self, user: UserId) {
        self.gate.forget(user);
        self.accounts.retire(user);
        self.guests.leave(user, self.accounts.name(user));
    }

    /// The name is an account's from now on, and no guest's.
    pub(super) fn guest_gives_way(&mut self, now: Now, name: &UserName, out: &mut Outbox) {
        if let Some(guest) = self.accounts.find(name).filter(|&user| self.accounts.is_guest(user)) {
            self.end_sessions(now, &[guest].into(), None, CloseReason::AccountChanged, out);
        }
    }

    /// The operator's file has been read: it may have names of guests.
    pub(super) fn guests_give_way(&mut self, now: Now, out: &mut Outbox) {
        let accounts = &self.accounts;
        let here = self.guests.here.iter().copied();
        let guests = here.filter(|&user| accounts.has_in_file(accounts.name(user))).collect();
        self.end_sessions(now, &guests, None, CloseReason::AccountChanged, out);
    }

    /// The next message is of this user or for them: the log is to have their name. The name stays nobody's, and nothing
    /// ever waits for them, whatever the log ends with.
    pub(super) fn name_in_log(&mut self, user: UserId, out: &mut Outbox) {
        if self.accounts.is_guest(user) && self.guests.logged.insert(user) {
            let name = self.accounts.name(user).clone();
            let forgotten = Change::DeviceForgotten { user, device: DeviceId::NICK, shown: AWAY };
            out.changes.extend([Change::User { id: user, name }, Change::Retired { user }, forgotten]);
        }
    }

    /// A guest's name is not in the log after all, and neither is any message of theirs.
    pub(super) fn name_was_lost(&mut self, user: UserId) {
        self.guests.logged.remove(&user);
        if !self.guests.here.contains(&user) {
            self.guests.gone.remove(self.accounts.name(user).as_str());
            self.guests.free.insert(user);
        }
    }
}
