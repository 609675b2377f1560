//! The clients: how the real core of `chat` is driven over the links, and what it tells whoever is behind it.

use std::net::IpAddr;
use std::time::Duration;

use chatd::client::core::{self, Closing, Done, End, Happening};
use chatd::hub::id::DeviceId;
use chatd::hub::name::UserName;
use chatd::hub::scram::ChannelBinding;
use chatd::net::turn::DRAIN_WITHIN;
use chatd::wire::native::client::News;

use super::{Happens, World};
use crate::fired::Fault;
use crate::ledger::Uid;
use crate::link::{LinkId, MS, SECOND, Time};
use crate::person::{Asked, Kind, Person, login, password, without_acknowledgements};
use crate::plant::Plant;

impl World {
    /// The client of a link reads what has come.
    pub(super) fn hear(&mut self, link: LinkId) {
        if self.callers.has(link) {
            return self.caller_hears(link);
        }
        if self.members.has(link) {
            return self.member_hears(link);
        }
        if self.attackers.has(link) {
            return self.attacker_hears(link);
        }
        if let Some(guest) = self.guests.at(link) {
            return self.guest_hears(guest);
        }
        if let Some(newcomer) = self.newcomer_at(link) {
            let Some(found) = self.links.map.get_mut(&link) else { return };
            let (bytes, over) = (found.down.take(usize::MAX), found.reset || found.down.fin.is_some());
            self.go_on_signing_up(newcomer, &bytes);
            if over {
                self.give_up_signing_up(newcomer);
            }
            return;
        }
        let Some(uid) = self.people.values().find(|person| person.link == Some(link)).map(|person| person.uid) else {
            return self.links.tidy(link);
        };
        let Some(person) = self.people.get_mut(&uid).filter(|person| person.reads) else { return };
        let Some(found) = self.links.map.get_mut(&link) else { return };
        let broken = found.reset;
        let bytes = found.down.take(usize::MAX);
        let ended = found.down.fin.is_some();
        if !bytes.is_empty() && !broken {
            if person.kind != Kind::Stranger {
                person.session.received(Duration::from_micros(self.now), &bytes);
            }
            self.drive(uid);
        }
        if ended && !broken {
            self.check_half_close(uid, link);
        }
        if broken || ended {
            self.hang_up(uid);
        }
    }

    /// What was asked before a client closed its side is answered before the server closes the other.
    fn check_half_close(&mut self, uid: Uid, link: LinkId) {
        let Some(person) = self.people.get_mut(&uid).filter(|person| person.link == Some(link)) else { return };
        let Some((closed, tags)) = person.half_closed.take() else { return };
        let unanswered = tags.iter().any(|tag| person.asks.contains_key(tag));
        let died = self.links.map.get(&link).is_none_or(|link| link.died);
        // What waits for a slow disk waits so long, and whom the kernel does not watch is let go.
        let in_time = self.now < closed + DRAIN_WITHIN.as_micros() as Time;
        let watched = self.kernel.unwatchable_until < closed;
        // What was too fast can't be said again.
        let limited = self.mix.rate.is_some();
        if unanswered && in_time && watched && !died && !limited {
            self.ledger.broken("1: what was asked before a half-close was not answered");
        }
    }

    /// The client has nothing more to say, and waits for the answers.
    pub(super) fn half_close(&mut self, uid: Uid) {
        let Some(person) = self.people.get_mut(&uid) else { return };
        let may_ask = person.session.is_logged_in() && !person.leaves;
        let has_said_all = may_ask && person.unsent.is_empty() && person.half_closed.is_none();
        let Some(link) = person.link.filter(|_| has_said_all) else { return };
        person.half_closes = false;
        person.half_closed = Some((self.now, person.asks.keys().copied().collect()));
        self.links.fin(&mut self.dice, self.now, link, true);
        self.fires(Fault::HalfClose);
    }

    /// The client takes what the core says, in the order that the core asks for.
    pub(super) fn drive(&mut self, uid: Uid) {
        let Some(person) = self.people.get_mut(&uid) else { return };
        let (mut close, mut come_back) = (false, person.kind == Kind::Device);
        let mut happenings = Vec::new();
        while let Some(happening) = person.session.next_happening() {
            happenings.push(happening);
        }
        for happening in happenings {
            match &happening {
                Happening::End(End::LoggedOut) => (close, come_back) = (true, false),
                Happening::Closing { reason: Closing::Displaced, .. } => close = true,
                Happening::End(_) | Happening::Closing { .. } => close = true,
                _ => {}
            }
            self.note(uid, happening);
        }
        let Some(person) = self.people.get_mut(&uid) else { return };
        if let Some(memory) = person.session.take_memory() {
            person.stale_memory = person.memory.replace(memory);
        }
        let output = person.session.take_output();
        person.unsent.extend(output);
        if let Some(link) = person.link.filter(|_| self.now >= person.silent_until) {
            let output = std::mem::take(&mut person.unsent);
            let dropped = !self.calm && self.dice.percent(self.mix.acks_dropped);
            let output = if dropped { without_acknowledgements(&output) } else { output };
            self.links.send(&mut self.dice, self.now, link, true, &output);
            if person.half_closes && !person.asks.is_empty() {
                self.half_close(uid);
            }
        }
        if close {
            if !come_back && let Some(person) = self.people.get_mut(&uid) {
                person.wants_in = false;
                person.over = person.kind != Kind::Device;
            }
            self.hang_up(uid);
        }
        self.sleep(uid);
    }

    fn sleep(&mut self, uid: Uid) {
        let Some(person) = self.people.get_mut(&uid) else { return };
        let at = person.session.poll_timeout().map(|at| (at.as_micros() as Time).max(person.silent_until));
        if at != person.woken_at {
            person.woken_at = at;
            if let Some(at) = at {
                self.at(at, Happens::Wake(uid));
            }
        }
    }

    pub(super) fn wake(&mut self, uid: Uid) {
        let Some(person) = self.people.get_mut(&uid) else { return };
        if person.woken_at != Some(self.now) {
            return;
        }
        person.woken_at = None;
        person.session.tick(Duration::from_micros(self.now));
        self.drive(uid);
    }

    /// What a client is told.
    fn note(&mut self, uid: Uid, happening: Happening) {
        let Some(person) = self.people.get_mut(&uid) else { return };
        let user = person.user.clone();
        match happening {
            Happening::LoggedIn { .. } => {
                if let Some(link) = person.link {
                    let told_by_the_dead = !self.links.has_server(link);
                    self.ledger.logged_in(self.now, uid, person.linked_at, Some(link), told_by_the_dead, &self.disk);
                }
                if person.kind == Kind::Once && person.asks.is_empty() {
                    person.log_out();
                }
            }
            Happening::Answered { tag, answer } => {
                let asked = person.asks.remove(&tag);
                if person.kind == Kind::Once && person.asks.is_empty() {
                    person.log_out();
                }
                match (asked, answer) {
                    (Some(Asked::Message(name)), Ok(Done::Accepted { number, .. })) => {
                        self.ledger.answered(name, Ok(number), &self.disk);
                    }
                    (Some(Asked::Message(name)), Err(problem)) => {
                        self.ledger.answered(name, Err(problem), &self.disk);
                    }
                    (Some(Asked::Block { other, index }), answer) => {
                        self.ledger.block_answered(self.now, &user, &other, index, answer.is_ok(), &self.disk);
                    }
                    (Some(Asked::Other), _) => {}
                    (Some(asked), answer) if asked.is_about_privacy() => self.privacy_answered(uid, asked, answer),
                    (asked, answer) => {
                        self.ledger.broken(&format!("13: {asked:?} was answered with {answer:?}"));
                    }
                }
            }
            Happening::News(News::Message(heard)) => {
                if self.plant == Plant::CopiesAreShown && self.dice.one_in(20) {
                    self.ledger.shown(self.now, uid, &heard, &self.disk);
                }
                self.ledger.shown(self.now, uid, &heard, &self.disk);
            }
            Happening::News(News::Delivered { number, to }) => self.ledger.delivered(number, &to),
            Happening::News(News::Missed { .. }) => {
                self.ledger.broken("1: messages were given up, though they were few")
            }
            Happening::News(news) => self.privacy_news(uid, news),
            Happening::Closing { .. } => {}
            Happening::End(End::NotUnderstood) => self.ledger.broken("13: the client does not understand the server"),
            Happening::End(End::Impostor(why)) => {
                self.ledger.broken(&format!("13: the server can't prove itself: {why}"))
            }
            Happening::End(End::Refused(problem)) => {
                let fine = ["shutting-down", "too-slow", "too-much"].contains(&&*problem.code);
                if !fine {
                    self.ledger.broken(&format!("13: the server complains: {problem:?}"));
                }
            }
            Happening::End(End::PasswordNeeded) => person.session.set_password(password(&user)),
            Happening::End(End::NotAuthenticated(_)) => {
                if person.kind == Kind::Device {
                    person.session.set_password(password(&user));
                    person.password_right = true;
                }
            }
            Happening::End(_) => {}
        }
    }

    pub(super) fn add_device(&mut self, user: &UserName) {
        let uid = self.next_uid;
        self.next_uid += 1;
        let id = DeviceId::from_bytes(self.dice.bytes());
        let device = core::Device { id, shown: None, token: None };
        let login = login(user, Some(device), Some(password(user)));
        let mut person = Person::new(uid, Kind::Device, user.clone(), login);
        let away = self.mix.flood && self.mix.stays_away && *user == self.users[1];
        person.wants_in = self.calm || (self.dice.percent(80) && !away);
        self.people.insert(uid, person);
        self.ledger.add_device(uid, user.clone(), id);
        let at = self.now + self.dice.range(0, 3 * SECOND);
        self.at(at, Happens::Dial(uid));
        self.at(at + SECOND, Happens::Act(uid));
    }

    pub(super) fn source(&mut self, user: &UserName, wrong: bool) -> IpAddr {
        if wrong && self.dice.percent(75) {
            return [10, 0, 2, 1].into();
        }
        let home = self.users.iter().position(|known| known == user).unwrap_or(0) as u8;
        match self.dice.one_in(5) {
            true => [10, 0, 1, 1].into(),
            false => [10, 0, 0, home + 1].into(),
        }
    }

    pub(super) fn dial(&mut self, uid: Uid) {
        let Some(person) = self.people.get(&uid) else { return };
        if !person.wants_in || person.link.is_some() || person.over {
            return;
        }
        let (user, wrong) = (person.user.clone(), !person.password_right);
        let encrypted = self.dice.percent(self.mix.encrypted);
        let link = self.ask_for_link(&user, wrong, encrypted);
        if let Some(person) = self.people.get_mut(&uid) {
            person.link = Some(link);
            person.silent_until = 0;
            person.connected = false;
        }
    }

    /// Somebody asks for a connection; it is there, or refused, a moment later.
    pub(super) fn ask_for_link(&mut self, user: &UserName, wrong: bool, encrypted: bool) -> LinkId {
        let source = self.source(user, wrong);
        let mut weather = self.mix.weather(&mut self.dice);
        if self.calm {
            weather.reset_after = None;
            weather.delay_max = weather.delay_max.min(SECOND);
            weather.buffer = 256 * 1024;
            weather.piece_max = weather.piece_max.max(1000);
        }
        let binding = encrypted.then(|| ChannelBinding(self.dice.bytes()));
        let link = self.links.open(source, weather, binding);
        let at = self.now + self.dice.range(100, self.mix.delay_max + 200);
        self.at(at, Happens::Connect(link));
        link
    }

    pub(super) fn connect(&mut self, link: LinkId) {
        if self.callers.has(link) {
            let up = self.reaches_server(link);
            return self.caller_connects(link, up);
        }
        if self.members.has(link) {
            let up = self.reaches_server(link);
            return self.member_connects(link, up);
        }
        if self.attackers.has(link) {
            let up = self.reaches_server(link);
            return self.attacker_connects(link, up);
        }
        if let Some(guest) = self.guests.at(link) {
            let up = self.reaches_server(link);
            return self.guest_connects(guest, up);
        }
        let newcomer = self.newcomer_at(link);
        let uid = self.people.values().find(|person| person.link == Some(link)).map(|person| person.uid);
        if newcomer.is_none() && uid.is_none() {
            return self.links.tidy(link);
        }
        let up = self.reaches_server(link);
        let uid = match (newcomer, uid) {
            (Some(newcomer), _) if up => return self.begin_sign_up(newcomer, link),
            (Some(newcomer), _) => return self.give_up_signing_up(newcomer),
            (None, Some(uid)) if !up => return self.hang_up(uid),
            (None, Some(uid)) => uid,
            (None, None) => return,
        };
        let nonces = [self.dice.bytes(), self.dice.bytes()];
        let Some(person) = self.people.get_mut(&uid) else { return };
        person.connected = true;
        person.linked_at = self.now;
        if let Some(found) = self.links.map.get(&link) {
            self.ledger.seen_from(uid, found.source);
        }
        if !person.password_right || person.kind == Kind::Stranger {
            self.ledger.wrong.insert(link);
        }
        if let Some(token) = person.memory.as_ref().and_then(|memory| memory.token.as_ref()) {
            self.ledger.tokens.insert(link, token.0);
        }
        if person.kind == Kind::Stranger {
            return self.babble(uid, link);
        }
        let binding = self.links.map.get(&link).and_then(|link| link.binding.clone());
        person.session.connected(Duration::from_micros(self.now), nonces, binding);
        self.drive(uid);
    }

    /// Whether there is a server that takes the connection.
    fn reaches_server(&mut self, link: LinkId) -> bool {
        let up = self.server.as_ref().is_some_and(|server| !server.is_stopping());
        match up {
            true => self.kernel.comes(link),
            false => self.links.server_dies(&mut self.dice, self.now, link),
        }
        up
    }

    /// The client gives its link up; it may come back.
    pub(super) fn hang_up(&mut self, uid: Uid) {
        let Some(person) = self.people.get_mut(&uid) else { return };
        person.disconnected();
        if person.kind != Kind::Device {
            person.over = true;
        }
        if let Some(link) = person.link.take() {
            if self.dice.one_in(4) {
                self.links.reset(&mut self.dice, self.now, link);
            } else {
                self.links.fin(&mut self.dice, self.now, link, true);
            }
            self.links.client_leaves(link);
        }
        let pause = self.dice.range(50 * MS, 3 * SECOND);
        self.at(self.now + pause, Happens::Dial(uid));
    }

    /// Leaves the link lying, as a machine does that loses its network. The server hears nothing.
    pub(super) fn lose_link(&mut self, uid: Uid) {
        let Some(person) = self.people.get_mut(&uid) else { return };
        person.disconnected();
        if let Some(link) = person.link.take() {
            self.links.client_leaves(link);
        }
        let pause = self.dice.range(MS, SECOND);
        self.at(self.now + pause, Happens::Dial(uid));
    }
}
