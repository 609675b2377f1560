//! People who want to talk without the server: they ask for addresses, answer, take back, and meet.

use std::net::SocketAddr;

use chatd::client::core::{Done, Request};
use chatd::hub::consent::ANSWER_WITHIN;
use chatd::hub::fingerprint::Fingerprint;
use chatd::hub::input::{Offer, PeerPort};
use chatd::hub::name::UserName;
use chatd::wire::native::client::{News, Problem};

use super::{Happens, World};
use crate::ledger::Uid;
use crate::link::{MS, SECOND, Time};
use crate::person::{Asked, Kind, Question};

/// So often it is tried to meet, with a second in between.
const MEETINGS_MAX: u32 = 5;
/// An open question that is older than this should be over.
const QUESTION_MAX: Time = ANSWER_WITHIN.as_micros() as Time + 10 * SECOND;

/// Somebody goes to where somebody is said to be.
#[derive(Clone, Copy, Debug)]
pub struct Meeting {
    asker: Uid,
    /// Which yes it goes by.
    yes: usize,
    /// What the asker shows.
    certificate: Fingerprint,
    left: u32,
}

impl World {
    /// Somebody does something about who may know where they are.
    pub(super) fn mind_privacy(&mut self, uid: Uid, other: UserName) {
        let Some(user) = self.people.get(&uid).map(|person| person.user.clone()) else { return };
        match self.dice.range(0, 10) {
            0..5 => self.ask_address(uid, other),
            5..8 => {
                // Mostly somebody to whom there is something to take back.
                let said = self.ledger.yeses_of(&user);
                let other = if said.is_empty() { other } else { self.dice.pick(&said).clone() };
                if user == other {
                    return;
                }
                let index = self.ledger.revoke_asked(self.now, uid, &user, &other);
                self.expect_no_more(uid, &other);
                self.ask(uid, Request::Revoke { user: other.clone() }, Asked::Revoke(index));
            }
            _ => self.ask(uid, Request::Privacy, Asked::Privacy(self.now)),
        }
    }

    fn ask_address(&mut self, uid: Uid, other: UserName) {
        let certificate = Fingerprint(self.dice.bytes());
        let Some(person) = self.people.get_mut(&uid) else { return };
        if person.user != other && person.session.pending() < chatd::client::core::PENDING_MAX {
            self.ledger.address_asked(self.now, uid, &person.user, &other, certificate);
            let request = Request::AskAddress { user: other.clone(), certificate };
            self.ask(uid, request, Asked::Address { other, certificate });
        }
    }

    /// Nothing is wrong any more, and everybody looks to whom they have said yes.
    pub(super) fn look_late(&mut self) {
        let people: Vec<Uid> =
            self.people.values().filter(|person| person.kind == Kind::Device).map(|person| person.uid).collect();
        for uid in people {
            self.ask(uid, Request::Privacy, Asked::Privacy(self.now));
        }
    }

    /// Nothing is wrong any more, and somebody asks whom nobody may answer.
    pub(super) fn ask_late(&mut self) {
        let asks = |(uid, person): (&Uid, &crate::person::Person)| {
            (person.kind == Kind::Device && person.session.is_logged_in()).then_some(*uid)
        };
        let people: Vec<Uid> = self.people.iter().filter_map(asks).collect();
        if people.is_empty() {
            return;
        }
        let (uid, other) = (*self.dice.pick(&people), self.dice.pick(&self.users).clone());
        self.ask_address(uid, other);
        if self.dice.one_in(2) {
            self.at(self.now + 5 * SECOND, Happens::HangUp(uid));
        }
    }

    /// A revoke or a block: whoever comes now is not let in.
    pub(super) fn expect_no_more(&mut self, uid: Uid, other: &UserName) {
        if let Some(person) = self.people.get_mut(&uid) {
            person.expects.retain(|_, (user, ..)| user != other);
        }
    }

    /// What is told on a connection that is not encrypted could be read on the way.
    fn check_encrypted(&mut self, uid: Uid) {
        let link = self.people.get(&uid).and_then(|person| person.link);
        if link.and_then(|link| self.links.map.get(&link)).is_some_and(|link| link.binding.is_none()) {
            self.ledger.broken("9: questions and addresses pass on a connection that is not encrypted");
        }
    }

    pub(super) fn privacy_news(&mut self, uid: Uid, news: News) {
        let Some(person) = self.people.get_mut(&uid) else { return };
        let user = person.user.clone();
        match news {
            News::Asks { user: asker, certificate, .. } => {
                person.asked_by.insert(asker.clone(), self.now);
                self.ledger.question_told(&user, &asker, certificate);
                let after = self.dice.range(50 * MS, 3 * SECOND);
                self.at(self.now + after, Happens::Decide(uid, asker));
                self.check_encrypted(uid);
            }
            News::AskOver { user: asker, reason } if reason != "revoked" => _ = person.asked_by.remove(&asker),
            News::NoAddress { user: asked, .. } if person.questions.remove(&asked).is_none() => {
                self.ledger.broken(&format!("9: {user:?} has an answer of {asked:?} without a question"));
            }
            News::Address { user: asked, address, certificate, .. } => {
                let question = person.questions.remove(&asked);
                self.address_told(uid, &asked, question, address, certificate);
            }
            News::Revoked { user: other } => self.ledger.told_of_revoke(&other, &user),
            _ => {}
        }
    }

    fn address_told(
        &mut self,
        uid: Uid,
        asked: &UserName,
        question: Option<Question>,
        address: SocketAddr,
        certificate: Fingerprint,
    ) {
        let Some(user) = self.people.get(&uid).map(|person| person.user.clone()) else { return };
        self.check_encrypted(uid);
        let yes = self.ledger.address_told(asked, &user, address, certificate, &self.disk);
        let Some(question) = question else {
            return self.ledger.broken(&format!("9: {user:?} was told an address of {asked:?} without having asked"));
        };
        if let Some(yes) = yes {
            let meeting = Meeting { asker: uid, yes, certificate: question.certificate, left: MEETINGS_MAX };
            let at = self.now + self.dice.range(MS, SECOND);
            self.at(at, Happens::Meet(meeting));
        }
    }

    /// They meet if whoever is asked lets the asker in, as far as they know by now.
    pub(super) fn meet(&mut self, meeting: Meeting) {
        let asked = self.ledger.consents.yeses[meeting.yes].by;
        let known = self.people.contains_key(&meeting.asker);
        let expects = self.people.get(&asked).and_then(|person| person.expects.get(&meeting.yes));
        match expects {
            Some((_, certificate, _)) if known && *certificate != meeting.certificate => {
                self.ledger.broken("9: whoever was asked expects another certificate than the asker's");
            }
            Some((_, _, until)) if known && self.now < *until => self.met += 1,
            // The answer to the yes may be on its way.
            None if meeting.left > 0 => {
                self.at(self.now + SECOND, Happens::Meet(Meeting { left: meeting.left - 1, ..meeting }));
            }
            _ => {}
        }
    }

    /// Somebody who was asked makes up their mind.
    pub(super) fn decide(&mut self, uid: Uid, asker: UserName) {
        let Some(person) = self.people.get(&uid).filter(|person| person.session.is_logged_in()) else { return };
        let is_open = person.asked_by.contains_key(&asker);
        let user = person.user.clone();
        match self.dice.range(0, 20) {
            // It does not hurt to answer what is over.
            _ if !is_open && self.dice.one_in(2) => {}
            0..12 => {
                let port = PeerPort::parse(self.dice.range(1024, 65_536)).expect("a port");
                let offer = Offer::Encrypted { port, certificate: Fingerprint(self.dice.bytes()) };
                let index = self.ledger.yes_said(self.now, uid, &user, &asker, offer);
                let request = Request::Consent { user: asker.clone(), offer: Some(offer) };
                self.ask(uid, request, Asked::Consent { other: asker, index: Some(index) });
            }
            12..15 => {
                let request = Request::Consent { user: asker.clone(), offer: None };
                self.ask(uid, request, Asked::Consent { other: asker, index: None });
            }
            15..17 if self.mix.blocks => self.block(uid, asker, true),
            _ => {}
        }
    }

    pub(super) fn privacy_answered(&mut self, uid: Uid, asked: Asked, answer: Result<Done, Problem>) {
        let Some(person) = self.people.get_mut(&uid) else { return };
        let user = person.user.clone();
        let code = answer.as_ref().err().map(|problem| problem.code.clone());
        let fine: &[&str] = match (&asked, answer) {
            (Asked::Address { other, certificate }, Ok(Done::Asked { .. })) => {
                person.questions.insert(other.clone(), Question { since: self.now, certificate: *certificate });
                &[]
            }
            (Asked::Address { .. }, Err(_)) => &[
                "needs-tls",
                "blocked-by-you",
                "blocked",
                "offline",
                "cannot-be-asked",
                "already-asked",
                "busy",
                "asked-lately",
                "too-many-questions",
                "shutting-down",
            ],
            (
                Asked::Consent { other, index: Some(index) },
                Ok(Done::Consented { address, certificate, connect_within, .. }),
            ) => {
                let until = self.now + connect_within.as_micros() as Time;
                person.asked_by.remove(other);
                person.expects.insert(*index, (other.clone(), certificate, until));
                self.ledger.consented(self.now, *index, (address, certificate, connect_within), &self.disk);
                self.check_encrypted(uid);
                &[]
            }
            (Asked::Consent { other, index: None }, Ok(Done::Declined(_))) => {
                person.asked_by.remove(other);
                &[]
            }
            (Asked::Consent { other, index }, Err(problem)) => {
                if problem.code == "not-asked" {
                    person.asked_by.remove(other);
                }
                index.iter().for_each(|&index| self.ledger.not_consented(index, &problem.code));
                &["needs-tls", "not-asked", "not-stored", "shutting-down"]
            }
            (Asked::Revoke(index), answer) => {
                let done = answer.as_ref().map(|_| ()).map_err(|problem| &*problem.code);
                self.ledger.revoked(self.now, *index, done);
                &["not-consented", "not-stored", "shutting-down"]
            }
            (Asked::Privacy(asked), Ok(Done::Privacy(list))) => {
                let firm = self.wall_offset == 0 && self.mix.wall_jumps == 0;
                self.ledger.privacy_told(self.now, &user, *asked, &list, firm);
                &[]
            }
            (Asked::Privacy(_), Err(_)) => &["not-stored", "shutting-down"],
            (asked, answer) => return self.ledger.broken(&format!("13: {asked:?} was answered with {answer:?}")),
        };
        if let Some(code) = code.filter(|code| !fine.contains(&&**code)) {
            self.ledger.broken(&format!("13: {asked:?} was answered with {code}"));
        }
    }

    /// No question is open for longer than it may be.
    pub(super) fn check_questions(&mut self) {
        let is_old = |since: &Time| *since + QUESTION_MAX < self.now;
        let asks = |person: &&crate::person::Person| person.questions.values().any(|question| is_old(&question.since));
        if let Some(person) = self.people.values().find(asks) {
            let law = format!("9: a question of {:?} is neither answered nor over", person.user);
            return self.ledger.broken(&law);
        }
        if let Some(person) = self.people.values().find(|person| person.asked_by.values().any(is_old)) {
            let law = format!("9: a question to {:?} is neither answered nor over", person.user);
            self.ledger.broken(&law);
        }
    }
}
