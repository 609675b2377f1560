//! People whose client sends and reads datagrams, one message each, and acknowledges what it shows.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use chatd::hub::credentials::Password;
use chatd::hub::id::DeviceId;
use chatd::hub::name::UserName;
use chatd::wire::datagram::Notice;
use chatd::wire::datagram::notice::Audience;

use super::{Happens, World};
use crate::classic::datagram::{Python, READ_BYTES_MAX, Writer};
use crate::classic::screen::SERVER;
use crate::datagrams::{Datagram, Origin};
use crate::fired::Fault;
use crate::ledger::{Told, Uid, Way};
use crate::link::{MS, SECOND, Time};
use crate::outside::OWN_DATAGRAMS;
use crate::person::password;

/// So often somebody tries to log in before they give up.
const TRIES_MAX: u32 = 8;

pub type CorrespondentId = usize;

/// What somebody gets round to.
#[derive(Clone, Copy, Debug)]
pub enum Letter {
    LogIn,
    Act,
    /// The client is started again, unless there is another.
    Restart,
}

/// A run of a client.
#[derive(Debug)]
struct Correspondent {
    uid: Uid,
    user: UserName,
    at: SocketAddr,
    writer: Writer,
    secret: Password,
    stage: Stage,
    tries: u32,
    since: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Coming,
    In,
    /// It has ended.
    Gone,
}

/// All of them.
#[derive(Default)]
pub struct Correspondents {
    all: Vec<Correspondent>,
    uids: BTreeMap<UserName, Uid>,
}

impl Correspondents {
    pub fn users(&self) -> impl Iterator<Item = &UserName> {
        self.uids.keys()
    }

    /// Whose datagrams these are.
    pub fn at(&self, at: SocketAddr) -> Option<CorrespondentId> {
        self.all.iter().rposition(|found| found.at == at && found.stage != Stage::Gone)
    }

    fn of(&self, user: &UserName) -> Option<CorrespondentId> {
        self.all.iter().rposition(|found| found.user == *user && found.stage != Stage::Gone)
    }

    /// Where this user's client is, if it is logged in.
    pub fn address(&self, user: &UserName) -> Option<SocketAddr> {
        self.of(user).map(|id| &self.all[id]).filter(|found| found.stage == Stage::In).map(|found| found.at)
    }
}

impl World {
    pub(super) fn add_correspondent(&mut self, user: &UserName) {
        let uid = self.next_uid;
        self.next_uid += 1;
        self.ledger.add_classic(uid, user.clone(), DeviceId::DATAGRAM);
        self.correspondents.uids.insert(user.clone(), uid);
        self.start_correspondent(user);
    }

    fn start_correspondent(&mut self, user: &UserName) {
        let is_member = self.mix_has(user);
        let is_careless = is_member && !self.calm && self.mix.wrong_passwords && self.dice.one_in(4);
        let address = self.source(user, is_careless);
        let at = SocketAddr::new(address, self.dice.range(1024, 65_536) as u16);
        let word = if is_careless { "wrong".to_owned() } else { password(user) };
        let python = *self.dice.pick(&[Python::Two, Python::Three]);
        if self.is_taken(at) {
            return;
        }
        self.correspondents.all.push(Correspondent {
            uid: self.correspondents.uids[user],
            user: user.clone(),
            at,
            writer: Writer { python, server: OWN_DATAGRAMS },
            secret: Password::parse(&word).expect("a password"),
            stage: Stage::Coming,
            tries: 0,
            since: self.now,
        });
        let begins = self.now + self.dice.range(0, SECOND);
        self.at(begins, Happens::Correspondent(self.correspondents.all.len() - 1, Letter::LogIn));
    }

    pub(super) fn correspondent_acts(&mut self, id: CorrespondentId, letter: Letter) {
        match (letter, self.correspondents.all[id].stage) {
            (Letter::LogIn, Stage::Coming) => self.log_in_by_datagram(id),
            (Letter::Act, Stage::In) if !self.calm => {
                let pause = self.dice.range(self.mix.pause / 2, self.mix.pause * 3);
                self.at(self.now + pause, Happens::Correspondent(id, Letter::Act));
                self.act_by_datagram(id);
            }
            (Letter::Restart, _) => {
                let user = self.correspondents.all[id].user.clone();
                if self.correspondents.of(&user).is_none() && !self.leaving {
                    self.start_correspondent(&user);
                }
            }
            _ => {}
        }
    }

    /// Whether somebody has an account from the beginning.
    fn mix_has(&self, user: &UserName) -> bool {
        self.users[..self.mix.users as usize].contains(user)
    }

    fn log_in_by_datagram(&mut self, id: CorrespondentId) {
        let found = &mut self.correspondents.all[id];
        found.tries += 1;
        if found.tries > TRIES_MAX {
            return self.correspondent_ends(id);
        }
        let said = found.writer.log_in(&found.user, &found.secret);
        self.say_by_datagram(id, said);
        let patience = self.mix.worker_delay + self.dice.range(SECOND, 3 * SECOND);
        self.at(self.now + patience, Happens::Correspondent(id, Letter::LogIn));
    }

    fn say_by_datagram(&mut self, id: CorrespondentId, bytes: Vec<u8>) {
        let at = self.correspondents.all[id].at;
        self.datagrams.send(&mut self.dice, self.now, (at, true), Origin::Said, bytes);
    }

    /// The client reads a datagram.
    pub(super) fn correspondent_is_told(&mut self, id: CorrespondentId, datagram: &Datagram) {
        let bytes = &datagram.bytes;
        if bytes.len() > READ_BYTES_MAX {
            return self.ledger.broken("10: a datagram is longer than its client reads");
        }
        if !bytes.is_ascii() {
            return self.ledger.broken("13: a datagram is not written in ASCII");
        }
        let at = self.correspondents.all[id].at;
        if let Some(law) = tells_address(bytes, at) {
            return self.ledger.broken(&law);
        }
        match Notice::parse(bytes) {
            Ok(notice) => self.correspondent_obeys(id, (datagram.sent, datagram.origin), notice),
            Err(_) => {
                let law = format!("13: a client is told {:?}", String::from_utf8_lossy(bytes));
                self.ledger.broken(&law);
            }
        }
    }

    fn correspondent_obeys(&mut self, id: CorrespondentId, (sent, origin): (Time, Origin), notice: Notice) {
        let found = &mut self.correspondents.all[id];
        match (notice, found.stage) {
            (Notice::Greeting, Stage::Coming) => {
                let (uid, since) = (found.uid, found.since);
                let told_by_the_dead = sent < self.booted || self.server.is_none();
                if self.calm && told_by_the_dead {
                    return self.correspondent_ends(id);
                }
                let user = found.user.clone();
                found.stage = Stage::In;
                if !self.users.contains(&user) {
                    self.users.push(user);
                }
                self.ledger.logged_in(self.now, uid, since, None, told_by_the_dead, &self.disk);
                let at = self.now + self.dice.range(0, 2 * SECOND);
                self.at(at, Happens::Correspondent(id, Letter::Act));
            }
            (Notice::Message { from, to, text }, _) => {
                let shown = self.show_datagram(id, (from.as_str(), to, &text));
                self.acknowledge(id, from.as_str(), &text, shown, (sent, origin));
            }
            (Notice::Error(_), Stage::Coming) => self.correspondent_ends(id),
            // The server has another one now, or has given this client up.
            (Notice::Error(text), Stage::In) if text.starts_with("Log in first") => self.correspondent_ends(id),
            (Notice::Acknowledgement(words), _) => {
                let user = found.user.clone();
                self.ledger.acknowledgement_told(&user, &words);
            }
            _ => {}
        }
    }

    /// Comes back: what ends there.
    fn show_datagram(&mut self, id: CorrespondentId, (from, to, text): (&str, Audience, &str)) -> Option<usize> {
        if from == SERVER {
            return None;
        }
        let uid = self.correspondents.all[id].uid;
        let private = Some(to == Audience::OneUser);
        let told = Told { uid, way: Way::Datagram, from, text, private };
        self.ledger.told(&told, &self.disk)
    }

    /// What is shown is acknowledged at once, in words that name it.
    fn acknowledge(
        &mut self,
        id: CorrespondentId,
        sender: &str,
        text: &str,
        shown: Option<usize>,
        told: (Time, Origin),
    ) {
        let Correspondent { user, writer, .. } = &self.correspondents.all[id];
        let tag = self.ledger.acknowledges(user, (sender, text), shown, told);
        let said = writer.acknowledgement(sender, &format!("Message received by {user} #{tag}"));
        self.say_by_datagram(id, said);
    }

    fn act_by_datagram(&mut self, id: CorrespondentId) {
        let found = &self.correspondents.all[id];
        let (user, writer) = (found.user.clone(), found.writer);
        let other = self.pick_anybody();
        match self.dice.range(0, 100) {
            0..50 => self.write_message(id, Some(&other)),
            50..62 => self.write_message(id, None),
            62..66 => self.say_by_datagram(id, writer.contacts()),
            66..70 => {
                self.say_by_datagram(id, writer.log_out());
                self.correspondent_ends(id);
            }
            70..74 if self.mix.udp.vanishing => {
                self.fires(Fault::Vanished);
                self.correspondents.all[id].stage = Stage::Gone;
                // Perhaps so long that the server notices.
                let pause = self.dice.range(SECOND, 30 * SECOND);
                self.at(self.now + pause, Happens::Correspondent(id, Letter::Restart));
            }
            74..78 if self.mix.udp.successors => {
                self.fires(Fault::Successor);
                self.start_correspondent(&user);
            }
            // In a name that is not its own.
            78..82 if self.mix.udp.forgeries && other != user => {
                let said = writer.message(&other, &user, "from nobody");
                self.say_by_datagram(id, said);
            }
            _ => {}
        }
    }

    fn write_message(&mut self, id: CorrespondentId, to: Option<&UserName>) {
        let size = if self.dice.one_in(12) { self.dice.range(0, 3500) } else { self.dice.range(0, 200) };
        let mut text = self.text(size, &self.ledger.sent.len().to_string());
        if self.dice.one_in(4) {
            text.push_str("é☃😀");
        }
        let found = &self.correspondents.all[id];
        let (user, writer) = (found.user.clone(), found.writer);
        self.ledger.asked(self.now, found.uid, &user, to, text.clone());
        let said = match to {
            Some(to) => writer.message(&user, to, &text),
            None => writer.broadcast(&user, &text),
        };
        self.say_by_datagram(id, said);
    }

    fn correspondent_ends(&mut self, id: CorrespondentId) {
        self.correspondents.all[id].stage = Stage::Gone;
        // What was told before a restart comes late, and is nobody's then.
        let pause = self.dice.range(500 * MS, 4 * SECOND);
        self.at(self.now + pause, Happens::Correspondent(id, Letter::Restart));
    }

    /// No more faults: every client ends, and everybody has a new one.
    pub(super) fn heal_correspondents(&mut self) {
        for found in &mut self.correspondents.all {
            found.stage = Stage::Gone;
        }
        let users: Vec<UserName> = self.correspondents.users().cloned().collect();
        users.iter().for_each(|user| self.start_correspondent(user));
    }

    /// The server has gone, when nothing else is wrong any more; their users notice.
    pub(super) fn correspondents_miss_the_server(&mut self) {
        for id in 0..self.correspondents.all.len() {
            if self.correspondents.all[id].stage == Stage::In {
                self.correspondent_ends(id);
            }
        }
    }

    /// Nothing is wrong any more.
    pub(super) fn check_correspondents(&mut self) {
        let is_in = |user: &UserName| self.correspondents.address(user).is_some();
        if let Some(user) = self.correspondents.users().find(|user| !is_in(user)) {
            let law = format!("1: nothing is wrong any more, and {user:?} is not logged in to datagrams");
            self.ledger.broken(&law);
        }
    }

    pub(super) fn correspondents_leave(&mut self) {
        for id in 0..self.correspondents.all.len() {
            let found = &mut self.correspondents.all[id];
            if found.stage == Stage::In {
                let said = found.writer.log_out();
                self.say_by_datagram(id, said);
            }
            self.correspondents.all[id].stage = Stage::Gone;
        }
    }
}

/// Law 9: whether a datagram to a client has any address but the server's and its own.
fn tells_address(bytes: &[u8], own: SocketAddr) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let server = OWN_DATAGRAMS.ip().to_string();
    let own = own.ip().to_string();
    let is_strange = |host: &str| host.starts_with("10.0.") && host != own && host != server;
    let found = text.split(|c: char| !c.is_ascii_digit() && c != '.').find(|host| is_strange(host))?;
    Some(format!("9: a client is told the address {found}"))
}
