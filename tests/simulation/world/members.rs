//! People whose client logs on by datagrams, and then talks on one ciphered connection, with one other at a time.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use chatd::hub::challenge::{Challenge, SessionKey};
use chatd::hub::credentials::Password;
use chatd::hub::id::DeviceId;
use chatd::hub::name::UserName;
use chatd::hub::time::LocalTime;

use super::{Happens, World};
use crate::classic::session::{self, Item};
use crate::datagrams::{Datagram, Origin};
use crate::fired::Fault;
use crate::ledger::{Told, Uid, Way};
use crate::link::{LinkId, MS, SECOND, Time};
use crate::outside::{ELSEWHERE, OWN_PORT};
use crate::person::password;

/// So often something is said again that nobody answers.
const TRIES_MAX: u32 = 8;

pub type MemberId = usize;

/// What somebody gets round to.
#[derive(Clone, Copy, Debug)]
pub enum MemberErrand {
    /// Says the last datagram of the log-on again.
    LogOn,
    Act,
    /// The client is started again, unless there is another.
    Restart,
}

/// A run of a client.
#[derive(Debug)]
struct Member {
    uid: Uid,
    user: UserName,
    at: SocketAddr,
    secret: Password,
    stage: Stage,
    tries: u32,
    chat: Option<(LocalTime, UserName)>,
    /// Has just been told that it can't have a chat, and so checks none.
    is_sulky: bool,
}

#[derive(Clone, Debug)]
enum Stage {
    /// Has said who it is.
    Greets,
    /// Has answered this.
    Answers(Challenge, SessionKey),
    Connects(Session),
    In(Session),
    /// It has ended.
    Gone,
}

/// The connection of a client that has logged on.
#[derive(Clone, Debug)]
struct Session {
    link: LinkId,
    challenge: Challenge,
    key: SessionKey,
    linked_at: Time,
}

/// What somebody who reads along has seen of a session.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub user: UserName,
    pub at: SocketAddr,
    pub response: Vec<u8>,
    pub connect: Vec<u8>,
    /// The session has begun, and so can't begin again.
    pub is_used: bool,
}

/// All of them.
#[derive(Default)]
pub struct Members {
    all: Vec<Member>,
    uids: BTreeMap<UserName, Uid>,
    links: BTreeMap<LinkId, MemberId>,
    /// The last ones.
    pub recorded: Vec<Recorded>,
}

impl Members {
    pub fn has(&self, link: LinkId) -> bool {
        self.links.contains_key(&link)
    }

    pub fn users(&self) -> impl Iterator<Item = &UserName> {
        self.uids.keys()
    }

    /// Whose datagrams these are.
    pub fn at(&self, at: SocketAddr) -> Option<MemberId> {
        self.all.iter().rposition(|member| member.at == at && !matches!(member.stage, Stage::Gone))
    }

    /// Where this user's client is.
    pub fn address(&self, user: &UserName) -> Option<SocketAddr> {
        self.of(user).map(|id| self.all[id].at)
    }

    /// What this user's client has been challenged with, and its answer.
    pub fn challenged(&self, user: &UserName) -> Option<(Challenge, Vec<u8>)> {
        let member = &self.all[self.of(user)?];
        match &member.stage {
            Stage::Answers(challenge, _) => {
                Some((*challenge, session::response(&member.user, *challenge, &member.secret)))
            }
            _ => None,
        }
    }

    /// The user's last client that has not ended.
    fn of(&self, user: &UserName) -> Option<MemberId> {
        self.all.iter().rposition(|member| member.user == *user && !matches!(member.stage, Stage::Gone))
    }

    fn session(&self, id: MemberId) -> Option<Session> {
        match &self.all[id].stage {
            Stage::Connects(session) | Stage::In(session) => Some(session.clone()),
            _ => None,
        }
    }

    /// The connection on which this client is.
    fn is_on(&self, id: MemberId, link: LinkId) -> bool {
        self.session(id).is_some_and(|session| session.link == link)
    }
}

impl World {
    pub(super) fn add_member(&mut self, user: &UserName) {
        let uid = self.next_uid;
        self.next_uid += 1;
        self.ledger.add_classic(uid, user.clone(), DeviceId::SESSION);
        self.members.uids.insert(user.clone(), uid);
        self.start_member(user);
    }

    /// A client is started where its user is.
    fn start_member(&mut self, user: &UserName) {
        let is_careless = !self.calm && self.mix.wrong_passwords && self.dice.one_in(4);
        let address = self.source(user, is_careless);
        let at = SocketAddr::new(address, self.dice.range(1024, 65_536) as u16);
        let word = if is_careless { "wrong".to_owned() } else { password(user) };
        let member = Member {
            uid: self.members.uids[user],
            user: user.clone(),
            at,
            secret: Password::parse(&word).expect("a password"),
            stage: Stage::Greets,
            tries: 0,
            chat: None,
            is_sulky: false,
        };
        if self.is_taken(at) {
            return;
        }
        self.members.all.push(member);
        let begins = self.now + self.dice.range(0, SECOND);
        self.at(begins, Happens::Member(self.members.all.len() - 1, MemberErrand::LogOn));
    }

    pub(super) fn member_acts(&mut self, id: MemberId, errand: MemberErrand) {
        match (errand, &self.members.all[id].stage) {
            (MemberErrand::LogOn, Stage::Greets | Stage::Answers(..)) => self.log_on(id),
            (MemberErrand::Act, Stage::In(_)) if !self.calm => {
                let pause = self.dice.range(self.mix.pause / 2, self.mix.pause * 3) + 60 * MS;
                self.at(self.now + pause, Happens::Member(id, MemberErrand::Act));
                self.act_in_session(id);
            }
            (MemberErrand::Restart, _) => {
                let user = self.members.all[id].user.clone();
                if self.members.of(&user).is_none() && !self.leaving {
                    self.start_member(&user);
                }
            }
            _ => {}
        }
    }

    /// Says what is to be said now, and again if nobody answers.
    fn log_on(&mut self, id: MemberId) {
        let member = &mut self.members.all[id];
        member.tries += 1;
        if member.tries > TRIES_MAX {
            return self.member_ends(id);
        }
        let said = match member.stage {
            Stage::Answers(challenge, _) => session::response(&member.user, challenge, &member.secret),
            _ => session::hello(&member.user),
        };
        let at = member.at;
        self.datagrams.send(&mut self.dice, self.now, (at, true), Origin::Said, said);
        let patience = self.dice.range(400 * MS, 1500 * MS);
        self.at(self.now + patience, Happens::Member(id, MemberErrand::LogOn));
    }

    /// A client that logs on reads a datagram.
    pub(super) fn member_is_told(&mut self, id: MemberId, datagram: &Datagram) {
        let member = &mut self.members.all[id];
        let key = match &member.stage {
            Stage::Answers(_, key) => Some(key),
            _ => None,
        };
        let Some(told) = session::log_on(&datagram.bytes, key) else {
            // What comes late may be for an earlier challenge.
            return;
        };
        match (told, &member.stage) {
            (session::Told::Challenge(challenge), Stage::Greets) => {
                let key = SessionKey::of(challenge, &member.secret);
                (member.stage, member.tries) = (Stage::Answers(challenge, key), 0);
                self.log_on(id);
            }
            (session::Told::Failure, Stage::Answers(..)) | (session::Told::NotOnList, Stage::Greets) => {
                self.member_ends(id);
            }
            (session::Told::Success { challenge, port }, Stage::Answers(asked, key)) if challenge == *asked => {
                let key = key.clone();
                if port != OWN_PORT {
                    return self.ledger.broken(&format!("13: a session is said to be at {port}"));
                }
                self.connect_session(id, challenge, key);
            }
            _ => {}
        }
    }

    fn connect_session(&mut self, id: MemberId, challenge: Challenge, key: SessionKey) {
        let Member { user, at, secret, .. } = &self.members.all[id];
        let recorded = Recorded {
            user: user.clone(),
            at: *at,
            response: session::response(user, challenge, secret),
            connect: session::ciphered(&key, &session::connect(challenge)),
            is_used: false,
        };
        self.members.recorded.push(recorded);
        let link = self.ask_for_classic_link(self.members.all[id].at.ip());
        self.members.links.insert(link, id);
        self.members.all[id].stage = Stage::Connects(Session { link, challenge, key, linked_at: 0 });
    }

    pub(super) fn member_connects(&mut self, link: LinkId, up: bool) {
        let Some(&id) = self.members.links.get(&link).filter(|_| up) else {
            return self.member_loses(link);
        };
        let now = self.now;
        let member = &mut self.members.all[id];
        let Stage::Connects(session) = &mut member.stage else { return self.member_loses(link) };
        session.linked_at = now;
        let (challenge, key) = (session.challenge, session.key.clone());
        self.ledger.session_opened(link, member.uid, key);
        self.say_in_session(link, &session::connect(challenge), None, true);
        // With whoever has no session yet, the chat has one side.
        if !self.calm && self.mix.udp.haste && self.dice.one_in(4) {
            let other = self.dice.pick(&self.users).clone();
            self.say_in_session(link, &session::chat_request(&other), None, false);
        }
    }

    /// A message, ciphered by itself; `apart`: in a read of its own, as far as that is the client's to say. `text`: its name in
    /// the ledger.
    fn say_in_session(&mut self, link: LinkId, plain: &str, text: Option<usize>, apart: bool) {
        let Some(session) = self.members.links.get(&link).and_then(|&id| self.members.session(id)) else { return };
        let bytes = session::ciphered(&session.key, plain);
        self.ledger.session_said(link, text, &bytes);
        match apart {
            true => {
                let cuts = self.cut_within(&bytes);
                self.links.send_apart(&mut self.dice, self.now, link, &bytes, &cuts);
            }
            false => self.links.send(&mut self.dice, self.now, link, true, &bytes),
        }
    }

    /// Where a message is cut on its way, so that its pieces come soon after each other.
    fn cut_within(&mut self, bytes: &[u8]) -> Vec<(usize, bool)> {
        if self.calm || !self.mix.classic.pieces || bytes.len() < 2 || !self.dice.one_in(3) {
            return Vec::new();
        }
        self.fires(Fault::Pieces);
        vec![(self.dice.range(1, bytes.len() as u64) as usize, false)]
    }

    pub(super) fn member_hears(&mut self, link: LinkId) {
        let Some(&id) = self.members.links.get(&link) else { return };
        let Some(found) = self.links.map.get_mut(&link) else { return };
        let broken = found.reset;
        let chunk = found.down.take(session::READ_BYTES_MAX);
        let ended = found.down.fin.is_some();
        let is_unnoticed = ended && !broken && !found.died;
        if chunk.starts_with(b"chatd: ") && self.is_unknown(id) {
            return self.member_loses(link);
        }
        if !chunk.is_empty() && self.members.is_on(id, link) {
            self.member_reads(id, link, &chunk);
        }
        if is_unnoticed && matches!(self.members.all[id].stage, Stage::In(_)) && self.mix.watch_failures == 0 {
            self.ledger.broken("13: a session's connection ends in a way that its client does not notice");
        }
        if broken || ended {
            self.member_loses(link);
        }
    }

    /// Whether the server has an excuse for not knowing this client: another of the same user's has logged on from there since,
    /// or another server has.
    fn is_unknown(&self, id: MemberId) -> bool {
        match &self.members.all[id].stage {
            Stage::Connects(session) => !self.ledger.log_ons.is_expected(session.challenge),
            _ => false,
        }
    }

    fn member_reads(&mut self, id: MemberId, link: LinkId, chunk: &[u8]) {
        let Some(session) = self.members.session(id) else { return };
        match session::reads(&session.key, chunk) {
            Ok(items) => items.into_iter().for_each(|item| self.member_obeys(id, link, item)),
            Err(why) => self.ledger.broken(&format!("13: {why}")),
        }
    }

    fn member_obeys(&mut self, id: MemberId, link: LinkId, item: Item) {
        let (uid, user) = (self.members.all[id].uid, self.members.all[id].user.clone());
        match (item, self.members.all[id].stage.clone()) {
            (Item::Connected, Stage::Connects(session)) => {
                let told_by_the_dead = !self.links.has_server(link);
                self.ledger.logged_in(self.now, uid, session.linked_at, Some(link), told_by_the_dead, &self.disk);
                let used = session::ciphered(&session.key, &session::connect(session.challenge));
                let recorded = self.members.recorded.iter_mut().filter(|one| one.connect == used);
                recorded.for_each(|one| one.is_used = true);
                self.members.all[id].stage = Stage::In(session);
                let at = self.now + self.dice.range(0, 2 * SECOND);
                self.at(at, Happens::Member(id, MemberErrand::Act));
            }
            (Item::ChatStarted { id: chat, peer }, Stage::In(_)) => self.chat_begins(id, link, chat, peer),
            (Item::EndNotif(chat), Stage::In(_)) => {
                self.ledger.chat_ended(link, chat);
                self.members.all[id].chat = None;
                self.say_in_session(link, &session::end_check(chat), None, true);
            }
            (Item::Unreachable(_), Stage::In(_)) => self.members.all[id].is_sulky = true,
            (Item::Said { from, text }, Stage::In(_)) => {
                let told = Told { uid, way: Way::Session(link), from: &from, text: &text, private: None };
                self.ledger.told(&told, &self.disk);
            }
            (Item::Line(_), Stage::In(_)) => {}
            (item, stage) => self.ledger.broken(&format!("13: {user:?} is told {item:?} when it {stage:?}")),
        }
    }

    fn chat_begins(&mut self, id: MemberId, link: LinkId, chat: LocalTime, peer: UserName) {
        if let Some((before, _)) = &self.members.all[id].chat {
            let law = format!("13: a client that is in the chat {before} is told that it is in {chat}");
            return self.ledger.broken(&law);
        }
        self.ledger.chat_begun(self.now, link, chat, &peer);
        self.members.all[id].chat = Some((chat, peer.clone()));
        if self.members.all[id].is_sulky {
            return;
        }
        // Whoever types instead of pressing Enter says it behind a text.
        if self.mix.udp.haste && self.dice.one_in(2) {
            self.say_text(id, link);
            return self.say_in_session(link, &session::chat_check(chat, &peer), None, false);
        }
        self.say_in_session(link, &session::chat_check(chat, &peer), None, true);
    }

    fn act_in_session(&mut self, id: MemberId) {
        let Some(Session { link, .. }) = self.members.session(id) else { return };
        let user = self.members.all[id].user.clone();
        let chat = self.members.all[id].chat.clone();
        match (self.dice.range(0, 100), chat) {
            // Two texts that are read as one.
            (0..8, Some(_)) if self.mix.udp.haste => {
                self.fires(Fault::Glued);
                self.say_text(id, link);
                self.say_text_apart(id, link, false);
            }
            (0..60, Some(_)) => self.say_text(id, link),
            (60..75, Some((chat, _))) => {
                if self.mix.udp.haste && self.dice.one_in(2) {
                    self.say_text(id, link);
                    self.say_in_session(link, &session::end_request(Some(chat)), None, false);
                } else {
                    self.say_in_session(link, &session::end_request(Some(chat)), None, true);
                }
                self.members.all[id].chat = None;
                self.ledger.chat_left(link, chat);
            }
            (0..60, None) | (75..78, Some(_)) => {
                let other = self.pick_peer();
                self.say_in_session(link, &session::chat_request(&other), None, true);
            }
            (60..66, None) => self.say_text(id, link),
            (66..70, None) => self.say_in_session(link, &session::end_request(None), None, true),
            (70..85, _) => {
                let other = self.dice.pick(&self.users).clone();
                self.say_in_session(link, &session::history(&other), None, true);
            }
            (85..89, _) => {
                self.say_in_session(link, " Log OFF\n", None, true);
                self.members.all[id].stage = Stage::Gone;
                self.let_session_go(link);
                self.member_comes_back(id);
            }
            (89..92, _) if self.mix.udp.vanishing => {
                self.fires(Fault::Vanished);
                self.links.unplug(self.now, link);
                self.members.all[id].stage = Stage::Gone;
                self.links.client_leaves(link);
                self.members.links.remove(&link);
                self.member_comes_back(id);
            }
            (92..97, _) if self.mix.udp.successors => {
                self.fires(Fault::Successor);
                self.start_member(&user);
            }
            _ => {}
        }
    }

    /// Mostly somebody with the same kind of client.
    fn pick_peer(&mut self) -> UserName {
        let members: Vec<UserName> = self.members.users().cloned().collect();
        let from = if self.dice.one_in(3) { &self.users } else { &members };
        self.dice.pick(from).clone()
    }

    /// Something is said to whoever the client takes for its peer.
    fn say_text(&mut self, id: MemberId, link: LinkId) {
        self.say_text_apart(id, link, true);
    }

    /// `apart`: not behind what was said before.
    fn say_text_apart(&mut self, id: MemberId, link: LinkId, apart: bool) {
        let size = if self.dice.one_in(12) { self.dice.range(0, 2500) } else { self.dice.range(0, 200) };
        let mut text = self.text(size, &self.ledger.sent.len().to_string());
        match self.dice.range(0, 8) {
            0 => text.push_str("é☃😀"),
            1 => text.push_str(" END_NOTIF(20260101000000) CHAT_STARTED UNREACHABLE"),
            _ => {}
        }
        let Member { uid, user, chat, .. } = &self.members.all[id];
        let peer = chat.as_ref().map(|(_, peer)| peer);
        let name = self.ledger.asked_in_session(self.now, *uid, user, peer, text.clone());
        self.say_in_session(link, &text, Some(name), apart);
    }

    /// The client closes its connection.
    fn let_session_go(&mut self, link: LinkId) {
        self.links.fin(&mut self.dice, self.now, link, true);
        self.links.client_leaves(link);
        self.members.links.remove(&link);
    }

    /// The connection is over.
    fn member_loses(&mut self, link: LinkId) {
        let id = self.members.links.get(&link).copied();
        self.let_session_go(link);
        if let Some(id) = id.filter(|&id| self.members.is_on(id, link)) {
            self.member_ends(id);
        }
    }

    fn member_ends(&mut self, id: MemberId) {
        self.members.all[id].stage = Stage::Gone;
        self.member_comes_back(id);
    }

    fn member_comes_back(&mut self, id: MemberId) {
        self.members.all[id].chat = None;
        let pause = self.dice.range(200 * MS, 3 * SECOND);
        self.at(self.now + pause, Happens::Member(id, MemberErrand::Restart));
    }

    /// No more faults: every client ends, and everybody has a new one.
    pub(super) fn heal_members(&mut self) {
        let links: Vec<LinkId> = self.members.links.keys().copied().collect();
        for link in links {
            self.links.reset(&mut self.dice, self.now, link);
            self.let_session_go(link);
        }
        for member in &mut self.members.all {
            member.stage = Stage::Gone;
        }
        let users: Vec<UserName> = self.members.users().cloned().collect();
        users.iter().for_each(|user| self.start_member(user));
    }

    /// Two who are free chat, when nothing is wrong any more: each says something, and one of them ends it.
    pub(super) fn chat_late(&mut self, step: u32) {
        let ids: Vec<MemberId> = self.members.users().filter_map(|user| self.members.of(user)).collect();
        let [one, other, ..] = ids[..] else { return };
        let links = [one, other].map(|id| match &self.members.all[id].stage {
            Stage::In(session) => Some(session.link),
            _ => None,
        });
        let [Some(link), Some(_)] = links else { return };
        match step {
            0 => {
                let peer = self.members.all[other].user.clone();
                self.say_in_session(link, &session::chat_request(&peer), None, true);
            }
            1 => [one, other].into_iter().zip(links.into_iter().flatten()).for_each(|(id, link)| {
                if self.members.all[id].chat.is_some() {
                    self.say_text(id, link);
                }
            }),
            _ => {
                if let Some((chat, _)) = self.members.all[one].chat.take() {
                    self.ledger.chat_left(link, chat);
                    self.say_in_session(link, &session::end_request(Some(chat)), None, true);
                }
            }
        }
    }

    /// Nothing is wrong any more.
    pub(super) fn check_members(&mut self) {
        let is_in = |user: &UserName| {
            let stage = self.members.of(user).map(|id| &self.members.all[id].stage);
            matches!(stage, Some(Stage::In(_)))
        };
        if let Some(user) = self.members.users().find(|user| !is_in(user)) {
            let law = format!("1: nothing is wrong any more, and {user:?} is not logged on to a session");
            return self.ledger.broken(&law);
        }
        let chat = |user: &UserName| self.members.of(user).and_then(|id| self.members.all[id].chat.clone());
        let disagrees = |user: &&UserName| {
            chat(user).is_some_and(|(id, peer)| {
                self.members.uids.contains_key(&peer) && chat(&peer) != Some((id, (*user).clone()))
            })
        };
        if let Some(user) = self.members.users().find(disagrees) {
            let law = format!("13: {user:?} takes itself for in a chat whose other side does not");
            self.ledger.broken(&law);
        }
    }

    pub(super) fn members_leave(&mut self) {
        let links: Vec<LinkId> = self.members.links.keys().copied().collect();
        links.into_iter().for_each(|link| self.let_session_go(link));
        self.members.all.iter_mut().for_each(|member| member.stage = Stage::Gone);
    }

    /// Whether somebody has a socket for datagrams there.
    pub(super) fn is_taken(&self, at: SocketAddr) -> bool {
        self.members.at(at).is_some() || self.correspondents.at(at).is_some()
    }

    /// Where attackers are who can be nowhere else.
    pub(super) fn elsewhere() -> IpAddr {
        ELSEWHERE.into()
    }
}
