//! Who may speak to whom without the server: who has asked us, to whom we have said yes, and whose address we have learnt.
//!
//! Nothing proves who a peer is: the protocol has no more than a name and where it comes from.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::client::core::Now;
use crate::wire::UserName;

/// Users of each kind that are remembered; the oldest is forgotten.
const USERS_MAX: usize = 64;
/// Of strangers at our socket is told so often.
const KNOCKS_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Meetings {
    askers: VecDeque<UserName>,
    /// Those to whom we have said yes.
    welcome: VecDeque<UserName>,
    addresses: VecDeque<(UserName, SocketAddr)>,
    told_at: Option<Now>,
    untold: u64,
}

impl Meetings {
    pub(super) fn asked_by(&mut self, user: &UserName) {
        self.askers.retain(|known| known != user);
        remember(&mut self.askers, user.clone());
    }

    /// Answers a question. `false`: there is none.
    pub(super) fn answer(&mut self, asker: &UserName, yes: bool) -> bool {
        let Some(place) = self.askers.iter().position(|user| user == asker) else { return false };
        self.askers.remove(place);
        self.welcome.retain(|user| user != asker);
        if yes {
            remember(&mut self.welcome, asker.clone());
        }
        true
    }

    pub(super) fn learn(&mut self, user: &UserName, address: SocketAddr) {
        self.forget(user);
        remember(&mut self.addresses, (user.clone(), address));
    }

    pub(super) fn address(&self, user: &UserName) -> Option<SocketAddr> {
        self.addresses.iter().find_map(|(known, address)| (known == user).then_some(*address))
    }

    pub(super) fn forget(&mut self, user: &UserName) {
        self.addresses.retain(|(known, _)| known != user);
    }

    /// Whether somebody who says to be this user, and comes from there, is to be heard.
    pub(super) fn may_speak(&self, user: &UserName, from: IpAddr) -> bool {
        self.welcome.contains(user) || self.address(user).is_some_and(|address| address.ip() == from)
    }

    /// Somebody came who is not to be heard. Comes back, if that is to be told: how many were not told of before.
    pub(super) fn knocked(&mut self, now: Now) -> Option<u64> {
        if self.told_at.is_some_and(|at| now < at + KNOCKS_EVERY) {
            self.untold += 1;
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

fn remember<T>(known: &mut VecDeque<T>, new: T) {
    if known.len() == USERS_MAX {
        known.pop_front();
    }
    known.push_back(new);
}
