//! Guests: bare text on one connection, with nothing to prove.

use std::net::IpAddr;

use chatd::hub::id::DeviceId;
use chatd::hub::name::UserName;

use super::{Happens, World};
use crate::classic::screen::{self, Item};
use crate::dice::Dice;
use crate::fired::Fault;
use crate::ledger::{Told, Uid, Way};
use crate::link::{LinkId, MS, SECOND};

const NICKNAMES: [&str; 3] = ["zoe", "Yann", "x-ray"];
/// What the client reads at once, in bytes.
const READ_BYTES_MAX: usize = 1024;

pub type GuestId = usize;

/// Somebody who comes under a nickname, again and again.
#[derive(Debug)]
pub struct Guest {
    name: UserName,
    /// On the connection that there is, or was.
    uid: Uid,
    link: Option<LinkId>,
    stage: Stage,
    /// Has said something that is not ASCII on this connection.
    says_more: bool,
    /// Ends what is said with a newline.
    by_lines: bool,
    said: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Away,
    /// Waits to be asked for the nickname.
    Silent,
    /// Waits to be let in.
    Named,
    In,
}

#[derive(Default)]
pub struct Guests(Vec<Guest>);

impl Guests {
    pub fn at(&self, link: LinkId) -> Option<GuestId> {
        self.0.iter().position(|guest| guest.link == Some(link))
    }

    /// Now and then a guest, who may be there, and not the user.
    pub fn one_instead_of(&self, user: UserName, dice: &mut Dice) -> UserName {
        if self.0.is_empty() || !dice.one_in(4) {
            return user;
        }
        dice.pick(&self.0).name.clone()
    }
}

impl World {
    pub(super) fn add_guest(&mut self) {
        let id = self.guests.0.len();
        let name = UserName::parse(NICKNAMES[id]).expect("a name");
        self.ledger.add_nickname(name.clone());
        let by_lines = self.dice.one_in(3);
        let guest = Guest { name, uid: 0, link: None, stage: Stage::Away, says_more: false, by_lines, said: 0 };
        self.guests.0.push(guest);
        let at = self.dice.range(0, 4 * SECOND);
        self.at(at, Happens::Guest(id));
    }

    pub(super) fn guest_acts(&mut self, id: GuestId) {
        let pause = self.dice.range(self.mix.pause / 2, self.mix.pause * 3) + 60 * MS;
        self.at(self.now + pause, Happens::Guest(id));
        match self.guests.0[id].stage {
            Stage::Away => self.guest_dials(id),
            Stage::In if !self.calm => match self.dice.range(0, 100) {
                0..75 => self.guest_says(id),
                75..80 => self.guest_leaves(id, true),
                80..84 if self.mix.zombies => {
                    self.fires(Fault::GuestLost);
                    if let Some(link) = self.guests.0[id].link {
                        self.links.unplug(self.now, link);
                    }
                    self.guest_leaves(id, false);
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn guest_dials(&mut self, id: GuestId) {
        if self.leaving {
            return;
        }
        let uid = self.next_uid;
        self.next_uid += 1;
        let source: IpAddr = [10, 0, 4, id as u8].into();
        let link = self.ask_for_classic_link(source);
        let name = self.guests.0[id].name.clone();
        self.ledger.add_classic(uid, name, DeviceId::NICK);
        self.ledger.classics.guests.insert(link, uid);
        let guest = &mut self.guests.0[id];
        (guest.uid, guest.link, guest.stage, guest.says_more) = (uid, Some(link), Stage::Silent, false);
    }

    pub(super) fn guest_connects(&mut self, id: GuestId, up: bool) {
        if !up {
            self.guest_leaves(id, true);
        }
    }

    /// The guest's client reads what has come.
    pub(super) fn guest_hears(&mut self, id: GuestId) {
        let Some(link) = self.guests.0[id].link else { return };
        let Some(found) = self.links.map.get_mut(&link) else { return };
        let over = found.reset || found.down.fin.is_some();
        let is_unnoticed = found.down.fin.is_some() && !found.reset && !found.died;
        while let Some(chunk) = self.links.map.get_mut(&link).map(|found| found.down.take(READ_BYTES_MAX)) {
            if chunk.is_empty() || self.guests.0[id].link.is_none() {
                break;
            }
            self.guest_reads(id, link, &chunk);
        }
        // Whom nobody knows yet is let go like any stranger, and so is whom the kernel does not watch.
        let is_known = self.guests.0[id].stage != Stage::Silent && self.mix.watch_failures == 0;
        if is_unnoticed && is_known {
            self.ledger.broken("13: a guest's connection ends in a way that their client does not notice");
        }
        if over {
            self.guest_leaves(id, true);
        }
    }

    fn guest_reads(&mut self, id: GuestId, link: LinkId, chunk: &[u8]) {
        let Ok(text) = str::from_utf8(chunk) else {
            return self.ledger.broken("13: a guest is told what is no UTF-8");
        };
        let guest = &mut self.guests.0[id];
        if !guest.says_more && !text.is_ascii() {
            return self.ledger.broken(&format!("13: a client that reads ASCII is told {text:?}"));
        }
        match (guest.stage, text) {
            (Stage::Silent, "NICK") => {
                guest.stage = Stage::Named;
                let name = guest.name.clone();
                self.links.send(&mut self.dice, self.now, link, true, name.as_str().as_bytes());
            }
            (Stage::Named, "Connected to the server!") => guest.stage = Stage::In,
            (Stage::Named | Stage::In, _) => {
                let uid = guest.uid;
                screen::room(text).into_iter().for_each(|item| self.guest_is_told(uid, item));
            }
            _ => self.ledger.broken(&format!("13: a guest who has no name yet is told {text:?}")),
        }
    }

    fn guest_is_told(&mut self, uid: Uid, item: Item) {
        if let Item::Said { from, text, private } = item {
            let told = Told { uid, way: Way::Guest, from: &from, text: &text, private: Some(private) };
            self.ledger.told(&told, &self.disk);
        }
    }

    fn guest_says(&mut self, id: GuestId) {
        let Some(link) = self.guests.0[id].link else { return };
        let size = self.dice.range(0, 200);
        let tag = format!("g{id}-{}", self.guests.0[id].said);
        let mut text = self.text(size, &tag);
        let more = self.dice.one_in(8);
        if more {
            text.push_str("é☃");
        }
        let guest = &mut self.guests.0[id];
        guest.said += 1;
        guest.says_more |= more;
        let (uid, name) = (guest.uid, guest.name.clone());
        let chunk = match guest.by_lines {
            true => format!("{name}: {text}\n"),
            false => format!("{name}: {text}"),
        };
        let cuts = self.cut(&chunk);
        self.ledger.guest_said(uid, &chunk, cuts.iter().filter(|(_, lull)| *lull).map(|(at, _)| *at));
        self.links.send_apart(&mut self.dice, self.now, link, chunk.as_bytes(), &cuts);
    }

    /// The guest's client ends; the server hears of it, or not.
    fn guest_leaves(&mut self, id: GuestId, orderly: bool) {
        let guest = &mut self.guests.0[id];
        guest.stage = Stage::Away;
        let Some(link) = guest.link.take() else { return };
        self.ledger.guest_left(guest.uid);
        if orderly {
            self.links.fin(&mut self.dice, self.now, link, true);
        }
        self.links.client_leaves(link);
    }

    pub(super) fn guests_leave(&mut self) {
        (0..self.guests.0.len()).for_each(|id| self.guest_leaves(id, true));
    }
}
