//! Law 9: whose address reaches whom. Asking is the asker's own yes to whoever is asked, given with the answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chatd::hub::consent::CONNECT_WITHIN;
use chatd::hub::effect::PrivacyList;
use chatd::hub::fingerprint::Fingerprint;
use chatd::hub::input::{Offer, PeerPort};
use chatd::hub::name::UserName;

use super::{Ledger, Uid, holds};
use crate::disk::Disk;
use crate::link::Time;

#[derive(Default)]
pub struct Consents {
    asks: Vec<Ask>,
    pub yeses: Vec<Yes>,
    revokes: Vec<Over>,
    /// From where the server may have seen somebody's client.
    sources: BTreeMap<Uid, BTreeSet<IpAddr>>,
    /// How often the address of the first was told to the second.
    told: BTreeMap<(UserName, UserName), u32>,
}

/// Somebody wants to know somebody's address.
struct Ask {
    by: Uid,
    from: UserName,
    to: UserName,
    certificate: Fingerprint,
    asked: Time,
}

/// Somebody says yes.
pub struct Yes {
    pub by: Uid,
    of: UserName,
    to: UserName,
    offer: Offer,
    asked: Time,
    answered: Option<Answered>,
}

/// A yes is taken back.
struct Over {
    by: Uid,
    of: UserName,
    to: UserName,
    asked: Time,
    answered: Option<Answered>,
}

#[derive(Clone, Copy)]
enum Answered {
    Done(Time),
    /// It has not been done, and never will be.
    Refused,
    /// An earlier copy of it may have been done.
    Doubtful,
}

impl Answered {
    fn done(self) -> Option<Time> {
        if let Answered::Done(at) = self { Some(at) } else { None }
    }
}

impl Ledger {
    pub fn seen_from(&mut self, uid: Uid, source: IpAddr) {
        self.consents.sources.entry(uid).or_default().insert(source);
    }

    pub fn address_asked(&mut self, now: Time, by: Uid, from: &UserName, to: &UserName, certificate: Fingerprint) {
        self.consents.asks.push(Ask { by, from: from.clone(), to: to.clone(), certificate, asked: now });
    }

    pub fn yes_said(&mut self, now: Time, by: Uid, of: &UserName, to: &UserName, offer: Offer) -> usize {
        let (of, to) = (of.clone(), to.clone());
        self.consents.yeses.push(Yes { by, of, to, offer, asked: now, answered: None });
        self.consents.yeses.len() - 1
    }

    pub fn revoke_asked(&mut self, now: Time, by: Uid, of: &UserName, to: &UserName) -> usize {
        let (of, to) = (of.clone(), to.clone());
        self.consents.revokes.push(Over { by, of, to, asked: now, answered: None });
        self.consents.revokes.len() - 1
    }

    /// To whom somebody has said yes.
    pub fn yeses_of(&self, user: &UserName) -> Vec<UserName> {
        self.consents.yeses.iter().filter(|yes| yes.of == *user).map(|yes| yes.to.clone()).collect()
    }

    /// A question reaches a device.
    pub fn question_told(&mut self, at: &UserName, from: &UserName, certificate: Fingerprint) {
        let asks = &self.consents.asks;
        let Some(ask) = asks.iter().find(|ask| ask.certificate == certificate && ask.from == *from && ask.to == *at)
        else {
            return self.broken(&format!("9: {at:?} was told of a question that {from:?} has not asked"));
        };
        let asked = ask.asked;
        if self.blocks_since_before(at, from, asked) || self.blocks_since_before(from, at, asked) {
            self.broken(&format!("5: {from:?} has asked {at:?} for the address, though one blocks the other"));
        }
    }

    /// Whoever has said yes learns the asker's address.
    pub fn consented(
        &mut self,
        now: Time,
        index: usize,
        (address, certificate, within): (IpAddr, Fingerprint, Duration),
        disk: &Disk,
    ) {
        let Yes { of, to, asked, .. } = &self.consents.yeses[index];
        let (of, to, asked) = (of.clone(), to.clone(), *asked);
        self.consents.yeses[index].answered = Some(Answered::Done(now));
        let asks = self.consents.asks.iter().filter(|ask| ask.from == to && ask.to == of);
        let known = |uid: Uid| self.consents.sources.get(&uid).is_some_and(|sources| sources.contains(&address));
        if !asks.clone().any(|ask| ask.certificate == certificate && known(ask.by)) {
            return self.broken(&format!("9: {of:?} was told an address of {to:?}, who has not asked from there"));
        }
        let confirmed = |yes: &&Yes| yes.of == of && yes.to == to && matches!(yes.answered, Some(Answered::Done(_)));
        if self.consents.yeses.iter().filter(confirmed).count() > disk.fold.consented(&of, &to) as usize {
            return self.broken(&format!("9: {of:?} has said yes to {to:?}, and it is not on the disk"));
        }
        if within > CONNECT_WITHIN {
            return self.broken("9: a yes is good for longer than it may be");
        }
        self.check_unblocked(&of, &to, asked);
    }

    /// A yes was refused. `again`: there was another connection in between.
    pub fn not_consented(&mut self, index: usize, code: &str) {
        let Yes { by, asked, .. } = self.consents.yeses[index];
        let answered = self.refused(by, asked, code);
        self.consents.yeses[index].answered = Some(answered);
    }

    pub fn revoked(&mut self, now: Time, index: usize, done: Result<(), &str>) {
        let Over { by, asked, .. } = self.consents.revokes[index];
        let answered = match done {
            Ok(()) => Answered::Done(now),
            Err(code) => self.refused(by, asked, code),
        };
        self.consents.revokes[index].answered = Some(answered);
    }

    fn refused(&self, by: Uid, asked: Time, code: &str) -> Answered {
        let again = self.devices.get(&by).is_none_or(|device| device.session_since > asked);
        if code == "not-stored" && !again { Answered::Refused } else { Answered::Doubtful }
    }

    /// Whoever has asked learns the address. Comes back: by which yes.
    pub fn address_told(
        &mut self,
        of: &UserName,
        to: &UserName,
        address: SocketAddr,
        certificate: Fingerprint,
        disk: &Disk,
    ) -> Option<usize> {
        let place = |yes: &Yes| match yes.offer {
            Offer::Encrypted { port, certificate: shown } if shown == certificate => Some(port),
            Offer::Encrypted { .. } | Offer::WhereCalled => None,
        };
        let is_it = |yes: &Yes| place(yes).is_some() && yes.of == *of && yes.to == *to;
        let Some(index) = self.consents.yeses.iter().position(is_it) else {
            self.broken(&format!("9: {to:?} was told an address of {of:?}, who has not said yes to that"));
            return None;
        };
        let Yes { by, asked, .. } = self.consents.yeses[index];
        let port = place(&self.consents.yeses[index]).map(PeerPort::get);
        let known = self.consents.sources.get(&by).is_some_and(|sources| sources.contains(&address.ip()));
        if !known || port != Some(address.port()) {
            self.broken(&format!("9: {to:?} was told another address than that of {of:?}"));
        }
        let told = self.consents.told.entry((of.clone(), to.clone())).or_default();
        *told += 1;
        if *told > disk.fold.consented(of, to) {
            self.broken(&format!("9: an address of {of:?} was told to {to:?} before the yes was on the disk"));
        }
        self.check_unblocked(of, to, asked);
        Some(index)
    }

    fn check_unblocked(&mut self, of: &UserName, to: &UserName, asked: Time) {
        if self.blocks_since_before(of, to, asked) || self.blocks_since_before(to, of, asked) {
            self.broken(&format!("9: addresses of {of:?} and {to:?} were told, though one blocks the other"));
        }
    }

    /// Whether a block was confirmed before then and holds for certain.
    pub(super) fn blocks_since_before(&self, user: &UserName, other: &UserName, before: Time) -> bool {
        let asked = self.blocks.get(&(user.clone(), other.clone()));
        asked.and_then(|asked| holds(asked)).is_some_and(|(since, _)| since < before)
    }

    /// `of` has taken back a yes to `to`, as `to` is told.
    pub fn told_of_revoke(&mut self, of: &UserName, to: &UserName) {
        if self.overs(of, to).next().is_none() {
            self.broken(&format!("9: {to:?} was told that {of:?} had revoked, who has not"));
        }
    }

    /// When each revoke and each block was asked for, and answered.
    fn overs(&self, of: &UserName, to: &UserName) -> impl Iterator<Item = (Time, Option<Answered>)> {
        let (user, other) = (of.clone(), to.clone());
        let revokes = self.consents.revokes.iter().filter(move |over| over.of == user && over.to == other);
        let blocks = self.blocks.get(&(of.clone(), to.clone())).into_iter().flatten().filter(|asked| asked.block);
        let blocks = blocks.map(|asked| {
            let answered = asked.answered.map(|(at, yes)| if yes { Answered::Done(at) } else { Answered::Doubtful });
            (asked.asked, answered)
        });
        revokes.map(|over| (over.asked, over.answered)).chain(blocks)
    }

    /// Somebody who asked at `asked` is told to whom they have said yes. `firm`: no jump of the wall clock can have ended one.
    pub fn privacy_told(&mut self, now: Time, user: &UserName, asked: Time, list: &PrivacyList, firm: bool) {
        let users: BTreeSet<UserName> = self.consents.yeses.iter().map(|yes| yes.to.clone()).collect();
        let listed: BTreeSet<&UserName> = list.consents.iter().map(|pending| &pending.user).collect();
        let nobody = listed.iter().any(|other| !users.contains(*other));
        if nobody || list.consents.iter().any(|pending| pending.left > CONNECT_WITHIN) {
            return self.broken(&format!("9: {user:?} is told of a yes that was never said, or not for so long"));
        }
        for other in &users {
            let yeses = || self.consents.yeses.iter().filter(|yes| yes.of == *user && yes.to == *other);
            // Confirmed before the question, and after the yes: it is over.
            let is_over = |yes: &&Yes| {
                let Some(said) = yes.answered.and_then(Answered::done) else { return false };
                self.overs(user, other).any(|(over, answered)| {
                    over > said && answered.and_then(Answered::done).is_some_and(|at| at < asked)
                })
            };
            let may = yeses().any(|yes| !matches!(yes.answered, Some(Answered::Refused)) && !is_over(&yes));
            if listed.contains(other) && !may {
                return self.broken(&format!("9: {user:?} is told of a yes to {other:?} that was taken back, or lost"));
            }
            let lasts = |said: Time| now < said + CONNECT_WITHIN.as_micros() as Time - crate::link::SECOND;
            let must = yeses().any(|yes| {
                let confirmed = yes.answered.and_then(Answered::done).is_some_and(|at| at < asked && lasts(at));
                let untouched = self.overs(user, other).all(|(_, answered)| match answered {
                    Some(Answered::Refused) => true,
                    Some(Answered::Done(at)) => at < yes.asked,
                    _ => false,
                });
                confirmed && untouched
            });
            if firm && must && !listed.contains(other) {
                return self.broken(&format!("9: {user:?} is not told of a yes to {other:?} that holds"));
            }
        }
    }
}
