//! What people do: those who have devices, and those who come for a moment.

use chatd::client::core::{self, Request};
use chatd::hub::name::UserName;
use chatd::hub::text::Text;

use super::{Happens, World};
use crate::fired::Fault;
use crate::ledger::Uid;
use crate::link::{LinkId, MS, SECOND};
use crate::person::{Asked, Kind, Person, login, password};
use crate::plant::Plant;

impl World {
    pub(super) fn act(&mut self, uid: Uid) {
        let pause = self.dice.range(self.mix.pause / 4, self.mix.pause * 2);
        if self.calm {
            return;
        }
        let Some(person) = self.people.get(&uid) else { return };
        let (flooding, wants_in) = (person.flooding > 0, person.wants_in);
        self.at(self.now + if flooding { pause / 8 } else { pause }, Happens::Act(uid));
        let expected = self.mix.stays_away && self.people.values().any(|other| other.flooding > 0);
        if !wants_in {
            let waits = expected && self.people.get(&uid).is_some_and(|person| person.user == self.users[1]);
            if (self.dice.one_in(3) && !waits) || flooding {
                self.come_back(uid);
            }
            return;
        }
        let other = self.dice.pick(&self.users).clone();
        if self.mix.consents && !flooding && self.dice.one_in(4) {
            return self.mind_privacy(uid, other);
        }
        let other = self.guests.one_instead_of(other, &mut self.dice);
        match self.dice.range(0, 100) {
            _ if flooding => self.flood(uid),
            0..45 => self.message(uid, Some(other)),
            45..58 => self.message(uid, None),
            58..64 if self.mix.blocks => self.block(uid, other, true),
            64..70 if self.mix.blocks => self.block(uid, other, false),
            70..73 => self.ask(uid, Request::Online, Asked::Other),
            73..75 => self.ask(uid, Request::History { with: None, count: 10 }, Asked::Other),
            75..80 => {
                if let Some(person) = self.people.get_mut(&uid) {
                    person.wants_in = false;
                    person.log_out();
                    self.drive(uid);
                }
            }
            80..83 => {
                if let Some(person) = self.people.get_mut(&uid) {
                    person.wants_in = false;
                }
                self.hang_up(uid);
            }
            83..86 if self.mix.zombies => {
                self.fires(Fault::LostLink);
                self.lose_link(uid);
            }
            86..88 if self.mix.silence => {
                let until = self.now + self.mix.heartbeat_timeout + self.dice.range(0, 10 * SECOND);
                if let Some(person) = self.people.get_mut(&uid).filter(|person| person.session.is_logged_in()) {
                    person.silent_until = until;
                    self.fires(Fault::Silence);
                }
            }
            88..90 if self.mix.non_readers => {
                if let Some(person) = self.people.get_mut(&uid) {
                    person.reads = false;
                    self.fires(Fault::NonReader);
                }
            }
            90..94 => self.restart_client(uid),
            94..97 => {
                for _ in 0..self.dice.range(2, 20) {
                    let other = self.dice.pick(&self.users).clone();
                    self.message(uid, Some(other));
                }
            }
            97..98 if self.mix.wrong_passwords => self.mistype(uid),
            _ if self.mix.half_closes => {
                self.message(uid, Some(other));
                self.half_close(uid);
            }
            _ => {}
        }
    }

    fn come_back(&mut self, uid: Uid) {
        if let Some(person) = self.people.get_mut(&uid) {
            person.wants_in = true;
            self.dial(uid);
        }
    }

    /// The client ends and is started again, with what it has kept; sometimes with what it kept long ago.
    fn restart_client(&mut self, uid: Uid) {
        self.hang_up(uid);
        let Some(person) = self.people.get_mut(&uid) else { return };
        let mut memory = person.memory.clone();
        let mut word = Some(password(&person.user));
        if self.dice.one_in(2) {
            // Only the token is left to log in with; it may be an old one.
            word = None;
            if self.dice.one_in(2)
                && let (Some(memory), Some(stale)) = (&mut memory, &person.stale_memory)
            {
                memory.token.clone_from(&stale.token);
            }
        }
        person.memory.clone_from(&memory);
        person.password_right = true;
        person.session = core::Session::new(login(&person.user, memory, word));
        person.asks.clear();
        person.expects.clear();
        person.woken_at = None;
        self.fires(Fault::ClientRestart);
    }

    fn mistype(&mut self, uid: Uid) {
        self.restart_client(uid);
        let Some(person) = self.people.get_mut(&uid) else { return };
        person.password_right = false;
        let memory = person.memory.clone().map(|memory| core::Device { token: None, ..memory });
        person.memory.clone_from(&memory);
        person.session = core::Session::new(login(&person.user, memory, Some("wrong".to_owned())));
    }

    pub(super) fn ask(&mut self, uid: Uid, request: Request, asked: Asked) {
        let Some(person) = self.people.get_mut(&uid) else { return };
        if let Ok(tag) = person.session.ask(request) {
            person.asks.insert(tag, asked);
        }
        self.drive(uid);
    }

    fn message(&mut self, uid: Uid, to: Option<UserName>) {
        let size = match self.dice.range(0, 20) {
            0 => self.dice.range(0, 4000),
            _ => self.dice.range(0, 60),
        };
        self.message_of(uid, to, size);
    }

    fn message_of(&mut self, uid: Uid, to: Option<UserName>, size: u64) {
        let Some(person) = self.people.get_mut(&uid) else { return };
        if person.session.pending() >= core::PENDING_MAX {
            return;
        }
        if self.plant == Plant::CountersAreNotKept && person.kind == Kind::Device {
            // As if a device forgot, on each connection, what it had sent: what is not answered is asked anew.
            let again = person.asks.iter().find_map(|(&tag, asked)| match asked {
                Asked::Message(name) if !person.connected => Some((tag, *name)),
                _ => None,
            });
            if let Some((tag, name)) = again {
                let sent = &self.ledger.sent[name];
                let text = Text::parse(&sent.text).expect("a text");
                let request = match sent.to.clone() {
                    Some(to) => Request::Message { to, text, receipt: false },
                    None => Request::Broadcast { text },
                };
                person.session.forget(tag);
                person.asks.remove(&tag);
                return self.ask(uid, request, Asked::Message(name));
            }
        }
        let mut text = format!("{}: ", self.ledger.sent.len());
        let odd = ['"', '\\', '\n', '\t', 'é', '☃', '\u{202e}', '😀', '{', '}', '\''];
        while (text.len() as u64) < size {
            match self.dice.one_in(6) {
                true => text.push(*self.dice.pick(&odd)),
                false => text.push((b'a' + self.dice.range(0, 26) as u8) as char),
            }
        }
        let from = person.user.clone();
        let parsed = Text::parse(&text).expect("a text");
        let name = self.ledger.asked(self.now, uid, &from, to.as_ref(), text);
        let receipt = self.dice.one_in(3);
        let request = match to {
            Some(to) => Request::Message { to, text: parsed, receipt },
            None => Request::Broadcast { text: parsed },
        };
        self.ask(uid, request, Asked::Message(name));
    }

    fn flood(&mut self, uid: Uid) {
        // Somebody who is mostly away, or, in other seeds, mostly there.
        let victim = self.users[1].clone();
        let big = self.dice.one_in(2);
        for _ in 0..self.dice.range(20, 150) {
            let size = if big { self.dice.range(0, 2000) } else { 0 };
            self.message_of(uid, Some(victim.clone()), size);
            if let Some(person) = self.people.get_mut(&uid) {
                person.flooding = person.flooding.saturating_sub(1);
            }
        }
    }

    /// Sometimes two sessions of somebody's ask for the same.
    pub(super) fn block(&mut self, uid: Uid, other: UserName, block: bool) {
        self.block_once(uid, other.clone(), block);
        let Some(person) = self.people.get(&uid) else { return };
        let is_twin = |twin: &&Person| twin.uid != uid && twin.user == person.user && twin.session.is_logged_in();
        if let Some(twin) = self.people.values().find(is_twin).map(|twin| twin.uid)
            && self.dice.one_in(2)
        {
            self.block_once(twin, other, block);
        }
    }

    fn block_once(&mut self, uid: Uid, other: UserName, block: bool) {
        let Some(person) = self.people.get(&uid) else { return };
        let user = person.user.clone();
        if user == other || person.session.pending() >= core::PENDING_MAX {
            return;
        }
        let index = self.ledger.block_asked(self.now, uid, &user, &other, block);
        if block {
            self.expect_no_more(uid, &other);
        }
        let asked = Asked::Block { other: other.clone(), index };
        let request = if block { Request::Block { user: other } } else { Request::Unblock { user: other } };
        self.ask(uid, request, asked);
    }

    /// Somebody comes for a moment: a one-shot command, a wrong password, or nobody we know.
    pub(super) fn visit(&mut self) {
        if self.calm {
            return;
        }
        let pause_max = if self.mix.wrong_passwords { SECOND } else { 4 * SECOND };
        let pause = self.dice.range(200 * MS, pause_max);
        self.at(self.now + pause, Happens::Visitor);
        let wrong = self.mix.wrong_passwords && self.dice.percent(70);
        let user = if wrong && self.dice.percent(75) { &self.users[0] } else { self.dice.pick(&self.users) }.clone();
        let other = self.dice.pick(&self.users).clone();
        let uid = self.next_uid;
        self.next_uid += 1;
        let stranger = self.mix.strangers && self.dice.one_in(3);
        if !wrong && !stranger && !self.mix.one_shots {
            return;
        }
        let word = if wrong { "wrong".to_owned() } else { password(&user) };
        let kind = if stranger { Kind::Stranger } else { Kind::Once };
        let mut person = Person::new(uid, kind, user.clone(), login(&user, None, Some(word)));
        person.password_right = !wrong;
        person.half_closes = self.mix.half_closes && self.dice.one_in(2);
        self.people.insert(uid, person);
        if kind == Kind::Once {
            match self.dice.range(0, 10) {
                0..6 => self.message(uid, Some(other)),
                6..8 => self.message(uid, None),
                8 if self.mix.blocks => self.block(uid, other, true),
                _ => self.ask(uid, Request::Online, Asked::Other),
            }
        }
        self.dial(uid);
        self.people.retain(|_, person| !person.over || person.kind == Kind::Device);
    }

    /// A stranger speaks.
    pub(super) fn babble(&mut self, uid: Uid, link: LinkId) {
        self.fires(Fault::Stranger);
        let Some(person) = self.people.get(&uid) else { return };
        let user = &person.user;
        let lines: [Vec<u8>; 10] = [
            format!("{{\"id\":1,\"request\":\"message\",\"to\":\"{user}\",\"text\":\"from nobody\"}}\n").into_bytes(),
            b"{\"id\":2,\"request\":\"broadcast\",\"text\":\"from nobody\",\"counter\":1}\n".to_vec(),
            format!("{{\"id\":3,\"request\":\"block\",\"user\":\"{user}\"}}\n").into_bytes(),
            b"{\"id\":4,\"request\":\"authenticate\",\"message\":\"c=biws,r=x,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=\"}\n".to_vec(),
            format!("{{\"id\":5,\"request\":\"log-in\",\"mechanism\":\"SCRAM-SHA-256\",\"message\":\"n,,n={user},r=abc\"}}\n").into_bytes(),
            b"{\"id\":6,\"request\":\"acknowledge\",\"number\":7}\n{\"request\":\"alive\"}\n".to_vec(),
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            vec![b'{'; 9000],
            b"{\"request\":\"alive\"}\n".repeat(300),
            b"{\"id\":7,\"request\":\"online\"".to_vec(),
        ];
        let mut bytes = Vec::new();
        for _ in 0..self.dice.range(1, 6) {
            bytes.extend_from_slice(&lines[self.dice.range(0, 10) as usize]);
        }
        self.links.send(&mut self.dice, self.now, link, true, &bytes);
    }
}
