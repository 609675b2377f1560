//! Somebody who reads along, and says what is not theirs to say: by datagrams in others' names, from an address of their own
//! or as if from another's, and on connections that begin as others' have begun.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use chatd::hub::credentials::Password;
use chatd::hub::name::UserName;

use super::{Happens, World};
use crate::classic::datagram::{self, Python, Writer};
use crate::classic::session;
use crate::datagrams::Origin;
use crate::fired::Fault;
use crate::link::{LinkId, MS, SECOND};
use crate::outside::OWN_DATAGRAMS;

/// Connections of theirs, and what each begins with.
#[derive(Default)]
pub struct Attackers {
    links: BTreeMap<LinkId, Vec<u8>>,
}

impl Attackers {
    pub fn has(&self, link: LinkId) -> bool {
        self.links.contains_key(&link)
    }
}

impl World {
    pub(super) fn attack(&mut self) {
        if self.calm {
            return;
        }
        let pause = self.dice.range(100 * MS, SECOND);
        self.at(self.now + pause, Happens::Attack);
        match self.dice.range(0, 100) {
            0..40 => self.attack_log_ons(),
            40..55 => self.attack_sessions(),
            _ => self.attack_correspondents(),
        }
    }

    /// Where an attacker's datagram seems to be from.
    fn forged_source(&mut self, victim: Option<SocketAddr>) -> SocketAddr {
        match victim {
            Some(victim) if self.mix.udp.forged_sources && self.dice.one_in(2) => {
                self.fires(Fault::SourceForged);
                victim
            }
            _ => {
                self.fires(Fault::Spoofed);
                SocketAddr::new(World::elsewhere(), self.dice.range(1024, 1032) as u16)
            }
        }
    }

    fn forge_datagram(&mut self, from: SocketAddr, bytes: Vec<u8>) {
        self.datagrams.send(&mut self.dice, self.now, (from, true), Origin::Forged, bytes);
    }

    fn attack_log_ons(&mut self) {
        let Some(user) = self.some_member() else { return };
        let victim = self.members.address(&user);
        let from = self.forged_source(victim);
        let recorded = self.members.recorded.iter().rfind(|one| one.user == user).map(|one| one.response.clone());
        let guess = Password::parse("guess").expect("a password");
        let bytes = match (self.dice.range(0, 4), self.members.challenged(&user), recorded) {
            (0, _, _) => session::hello(&user),
            (1, Some((challenge, _)), _) => session::response(&user, challenge, &guess),
            (2, Some((_, response)), _) => {
                self.fires(Fault::Replayed);
                response
            }
            (_, _, Some(response)) => {
                self.fires(Fault::Replayed);
                response
            }
            _ => session::hello(&user),
        };
        self.forge_datagram(from, bytes);
    }

    fn some_member(&mut self) -> Option<UserName> {
        let users: Vec<UserName> = self.members.users().cloned().collect();
        (!users.is_empty()).then(|| self.dice.pick(&users).clone())
    }

    fn attack_sessions(&mut self) {
        let all = &self.members.recorded;
        let recorded = (!all.is_empty()).then(|| self.dice.pick(&all[all.len().saturating_sub(4)..]).clone());
        let (from, first): (IpAddr, Vec<u8>) = match recorded {
            Some(recorded) if self.dice.one_in(2) => {
                self.fires(Fault::Replayed);
                // From the same address whoever reads along could come first.
                let is_there = recorded.is_used && self.mix.udp.forged_sources && self.dice.one_in(2);
                (if is_there { recorded.at.ip() } else { World::elsewhere() }, recorded.connect)
            }
            _ => {
                self.fires(Fault::GarbageConnect);
                let garbage: [u8; 19] = self.dice.bytes();
                (World::elsewhere(), garbage.map(|byte| byte & 0x7f).to_vec())
            }
        };
        let link = self.ask_for_classic_link(from);
        self.attackers.links.insert(link, first);
    }

    pub(super) fn attacker_connects(&mut self, link: LinkId, up: bool) {
        let first = self.attackers.links.get(&link).cloned().unwrap_or_default();
        if !up {
            return self.attacker_leaves(link);
        }
        self.links.send(&mut self.dice, self.now, link, true, &first);
        // What follows would be theirs whose connection it seemed to be.
        self.links.send_apart(&mut self.dice, self.now, link, b"END_REQUEST(None)", &[]);
    }

    pub(super) fn attacker_hears(&mut self, link: LinkId) {
        let Some(found) = self.links.map.get_mut(&link) else { return };
        found.down.take(usize::MAX);
        if found.reset || found.down.fin.is_some() {
            self.attacker_leaves(link);
        }
    }

    fn attacker_leaves(&mut self, link: LinkId) {
        self.attackers.links.remove(&link);
        self.links.fin(&mut self.dice, self.now, link, true);
        self.links.client_leaves(link);
    }

    pub(super) fn attackers_leave(&mut self) {
        let links: Vec<LinkId> = self.attackers.links.keys().copied().collect();
        links.into_iter().for_each(|link| self.attacker_leaves(link));
    }

    fn attack_correspondents(&mut self) {
        // Whoever guessed first would be the one to sign up.
        let has_account = |user: &&UserName| self.users[..self.mix.users as usize].contains(user);
        let users: Vec<UserName> = self.correspondents.users().filter(has_account).cloned().collect();
        if users.is_empty() {
            return;
        }
        let user = self.dice.pick(&users).clone();
        let victim = self.correspondents.address(&user);
        let from = self.forged_source(victim);
        let is_victims = victim == Some(from);
        let other = self.dice.pick(&self.users).clone();
        let writer = Writer { python: Python::Two, server: OWN_DATAGRAMS };
        let guess = Password::parse("guess").expect("a password");
        let bytes = match self.dice.range(0, 7) {
            0 => writer.log_in(&user, &guess),
            // As from where the user is, it is the user's, for all that the server can know.
            1 if is_victims => {
                let text = self.text(20, &self.ledger.sent.len().to_string());
                self.ledger.forged(self.now, &user, &other, text.clone());
                writer.message(&user, &other, &text)
            }
            1 => writer.message(&user, &other, "from nobody"),
            2 => writer.message(&other, &user, if other == user { "" } else { "from nobody" }),
            3 => writer.acknowledgement(other.as_str(), "Message received by nobody"),
            4 => writer.log_out(),
            5 => datagram::sealed("{'body': {}, 'header': []}"),
            _ => {
                let mut bytes = writer.message(&user, &other, "from nobody");
                bytes.iter_mut().rev().nth(3).into_iter().for_each(|byte| *byte ^= 1);
                bytes
            }
        };
        self.forge_datagram(from, bytes);
    }
}
