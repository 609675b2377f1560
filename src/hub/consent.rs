//! Who may learn a user's address, to talk to them without the server.
//!
//! One user asks, and every device of the other's that can answer is told. The first that answers is the one: its address is
//! the one that is given. A yes is for that one asker, holds for a time, can be taken back, and is stored before anything of
//! it leaves. Whoever asks gives their own address to whoever says yes. Knows nothing of the conversation that follows: the
//! server takes no part in it. There are two kinds of it, which don't mix: who asks for one is answered by who can lead it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::change::{Change, ConsentRow};
use super::effect::{AskOver, Event, IfLost, NoAddress, Outbox, Pending, PrivacyList, Refusal, Reply};
use super::fingerprint::Fingerprint;
use super::gate::Gate;
use super::id::{ConnectionId, PeerAddress, UserId};
use super::input::{Offer, PeerPort};
use super::name::UserName;
use super::presence::Manner;
use super::time::{Instant, Now};
use super::{Answered, Hub};

/// A question that nobody answers is over after this.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(120);
/// A yes is good for so long.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(600);
/// Whoever got no yes, or did not wait for it, may ask the same user again after this.
pub const ASK_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Questions that one user may have open, on all their connections together.
pub const QUESTIONS_MAX: usize = 8;
/// Users to whom one user may have said yes at a time.
pub const CONSENTS_MAX: usize = 64;

/// All questions and all consents.
#[derive(Debug, Default)]
pub struct Consents {
    /// By who is asked: one at a time.
    questions: BTreeMap<UserId, Question>,
    /// Who asks whom.
    asking: BTreeSet<(UserId, UserId)>,
    /// Whose address who may learn, and until when.
    given: BTreeMap<(UserId, UserId), Given>,
    /// Who, asked by whom, has not said yes lately, even if the question was taken back before any answer: nobody is to see
    /// it come and go.
    unwilling: BTreeSet<(UserId, UserId)>,
    deadlines: BTreeSet<(Instant, Timer)>,
}

/// How two clients talk without the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Talk {
    /// Encrypted, each knowing the other's certificate.
    Encrypted,
    /// Between clients that are called: where the server calls them they are called by others too.
    Plain,
}

/// Somebody wants to know somebody's address.
#[derive(Clone, Debug)]
struct Question {
    asker: UserId,
    talk: Talk,
    /// Where the answer goes.
    connection: ConnectionId,
    /// What whoever says yes learns of the asker.
    address: PeerAddress,
    certificate: Option<Fingerprint>,
    until: Instant,
}

/// Whoever asks or answers.
struct Talker {
    user: UserId,
    address: PeerAddress,
    talk: Talk,
}

/// While lost changes are undone: by whom and for whom a yes would hold again whose time is over.
pub(super) type Lapsed = BTreeMap<(UserId, UserId), ConsentRow>;

/// A yes.
#[derive(Clone, Debug)]
struct Given {
    row: ConsentRow,
    until: Instant,
}

/// What ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The question to this user.
    Question(UserId),
    /// The consent of the first to the second.
    Consent(UserId, UserId),
    /// The first may be asked again by the second.
    Unwilling(UserId, UserId),
}

impl Consents {
    /// What was given before the restart and still holds; what does not is to be stored as over.
    pub(super) fn new(rows: Vec<ConsentRow>, now: Now, changes: &mut Vec<Change>) -> Consents {
        let mut consents = Consents::default();
        for row in rows {
            // The wall clock may have jumped: no consent lasts longer than a fresh one.
            let left = row.until.since(now.wall).min(CONNECT_WITHIN);
            if left.is_zero() {
                changes.push(Change::ConsentOver { row, revoked: false });
            } else {
                consents.give(Given { row, until: now.instant + left });
            }
        }
        consents
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// How many are open.
    pub(super) fn questions(&self) -> usize {
        self.questions.len()
    }

    /// How many consents hold.
    pub(super) fn given(&self) -> usize {
        self.given.len()
    }

    fn open(&mut self, asked: UserId, question: Question) {
        self.deadlines.insert((question.until, Timer::Question(asked)));
        self.asking.insert((question.asker, asked));
        self.questions.insert(asked, question);
    }

    fn close(&mut self, asked: UserId) -> Option<Question> {
        let question = self.questions.remove(&asked)?;
        self.asking.remove(&(question.asker, asked));
        self.deadlines.remove(&(question.until, Timer::Question(asked)));
        Some(question)
    }

    /// The questions of a user, by who is asked.
    fn asked_by(&self, asker: UserId) -> impl Iterator<Item = (UserId, &Question)> {
        let asked = self.asking.range((asker, UserId(0))..=(asker, UserId(u32::MAX))).map(|&(_, asked)| asked);
        asked.filter_map(|asked| Some((asked, self.questions.get(&asked)?)))
    }

    /// Comes back: the consent that it replaces.
    fn give(&mut self, given: Given) -> Option<Given> {
        let (of, to) = (given.row.of, given.row.to);
        let older = self.take_back(of, to);
        self.deadlines.insert((given.until, Timer::Consent(of, to)));
        self.given.insert((of, to), given);
        older
    }

    fn take_back(&mut self, of: UserId, to: UserId) -> Option<Given> {
        let given = self.given.remove(&(of, to))?;
        self.deadlines.remove(&(given.until, Timer::Consent(of, to)));
        Some(given)
    }

    fn given_by(&self, of: UserId) -> impl Iterator<Item = &Given> {
        self.given.range((of, UserId(0))..=(of, UserId(u32::MAX))).map(|(_, given)| given)
    }

    fn note_unwilling(&mut self, asked: UserId, asker: UserId, now: Instant) {
        if self.unwilling.insert((asked, asker)) {
            self.deadlines.insert((now + ASK_AGAIN_AFTER, Timer::Unwilling(asked, asker)));
        }
    }

    /// Whether nothing is left of anything.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let Consents { questions, asking, given, unwilling, deadlines } = self;
        let tables = [questions.is_empty(), asking.is_empty(), given.is_empty(), unwilling.is_empty()];
        tables == [true; 4] && deadlines.is_empty()
    }

    pub(super) fn check_invariants(&self, gate: &Gate) {
        for (&asked, question) in &self.questions {
            assert_ne!(asked, question.asker);
            assert!(gate.may_see(asked, question.asker) && gate.may_see(question.asker, asked));
            assert!(self.asking.contains(&(question.asker, asked)));
            assert!(self.deadlines.contains(&(question.until, Timer::Question(asked))));
        }
        for (&(of, to), given) in &self.given {
            assert_eq!((of, to), (given.row.of, given.row.to));
            assert!(self.deadlines.contains(&(given.until, Timer::Consent(of, to))));
        }
        assert_eq!(self.asking.len(), self.questions.len());
        let timed = self.questions.len() + self.given.len() + self.unwilling.len();
        assert_eq!(self.deadlines.len(), timed, "one deadline for each, and for nothing else");
    }
}

impl Hub {
    /// Somebody wants to talk to `name` without the server.
    pub(super) fn ask_address(
        &mut self,
        now: Now,
        connection: ConnectionId,
        name: UserName,
        certificate: Option<Fingerprint>,
        out: &mut Outbox,
    ) -> Answered {
        match self.may_ask(connection, &name, certificate) {
            Err(refusal) => Answered::refuse(refusal),
            Ok((Talker { user: asker, address, talk }, asked)) => {
                let until = now.instant + ANSWER_WITHIN;
                self.consents.open(asked, Question { asker, talk, connection, address, certificate, until });
                let devices: Vec<ConnectionId> = self.who_can_answer(asked, talk).collect();
                for device in devices {
                    self.tell_question(now, asked, device, out);
                }
                Answered::reply(Reply::Asked { user: self.accounts.name(asked).clone(), answer_within: ANSWER_WITHIN })
            }
        }
    }

    fn may_ask(
        &self,
        connection: ConnectionId,
        name: &UserName,
        certificate: Option<Fingerprint>,
    ) -> Result<(Talker, UserId), Refusal> {
        let talker = self.talker(connection)?;
        let asker = talker.user;
        if certificate.is_some() != (talker.talk == Talk::Encrypted) {
            return Err(Refusal::NeedsTls);
        }
        let Some(asked) = self.accounts.find(name) else { return Err(Refusal::NoSuchUser(name.clone())) };
        let name = self.accounts.name(asked);
        if asked == asker {
            return Err(Refusal::CannotAskYourself);
        }
        // Whoever says yes is to learn the asker's address.
        if !self.gate.may_see(asked, asker) {
            return Err(Refusal::BlockedByYou(name.clone()));
        }
        if !self.gate.may_see(asker, asked) {
            return Err(Refusal::BlockedBy(name.clone()));
        }
        if !self.presence.is_online(asked) {
            return Err(Refusal::Offline(name.clone()));
        }
        if self.who_can_answer(asked, talker.talk).next().is_none() {
            return Err(Refusal::CannotBeAsked(name.clone()));
        }
        match self.consents.questions.get(&asked) {
            Some(question) if question.asker == asker => return Err(Refusal::AlreadyAsked(name.clone())),
            Some(_) => return Err(Refusal::Busy(name.clone())),
            None => {}
        }
        if self.consents.unwilling.contains(&(asked, asker)) {
            return Err(Refusal::AskedLately(name.clone()));
        }
        if self.consents.asked_by(asker).count() >= QUESTIONS_MAX {
            return Err(Refusal::TooManyQuestions);
        }
        Ok((talker, asked))
    }

    /// Who is on the session's connection. A native client has to be encrypted: else whoever is in between could put their
    /// own certificate in place of a user's.
    fn talker(&self, connection: ConnectionId) -> Result<Talker, Refusal> {
        let session = self.presence.session(connection).ok_or(Refusal::LogInFirst)?;
        let talk = match session.manner {
            Manner::Native { encrypted: true, .. } => Talk::Encrypted,
            Manner::Called { .. } => Talk::Plain,
            Manner::Native { encrypted: false, .. } | Manner::Guest | Manner::Session | Manner::Correspondent => {
                return Err(Refusal::NeedsTls);
            }
        };
        Ok(Talker { user: session.user, address: session.address, talk })
    }

    fn who_can_answer(&self, user: UserId, talk: Talk) -> impl Iterator<Item = ConnectionId> + '_ {
        self.who_can_talk(user).filter(move |&(_, can)| can == talk).map(|(connection, _)| connection)
    }

    fn who_can_talk(&self, user: UserId) -> impl Iterator<Item = (ConnectionId, Talk)> + '_ {
        self.presence.devices_of(user).filter_map(|connection| Some((connection, self.talker(connection).ok()?.talk)))
    }

    fn tell_question(&self, now: Now, asked: UserId, device: ConnectionId, out: &mut Outbox) {
        let Some(question) = self.consents.questions.get(&asked) else { return };
        let event = Event::Asks {
            user: self.accounts.name(question.asker).clone(),
            certificate: question.certificate,
            answer_within: question.until.since(now.instant),
        };
        out.event(device, event, IfLost::Send);
    }

    /// A device has come: it may answer too.
    pub(super) fn tell_open_question(&self, now: Now, connection: ConnectionId, out: &mut Outbox) {
        let Ok(Talker { user, talk, .. }) = self.talker(connection) else { return };
        if self.consents.questions.get(&user).is_some_and(|question| question.talk == talk) {
            self.tell_question(now, user, connection, out);
        }
    }

    /// The answer to a question; `None`: no.
    pub(super) fn consent(
        &mut self,
        now: Now,
        connection: ConnectionId,
        name: UserName,
        offer: Option<Offer>,
        out: &mut Outbox,
    ) -> Answered {
        let Talker { user: of, address, talk } = match self.talker(connection) {
            Ok(talker) => talker,
            Err(refusal) => return Answered::refuse(refusal),
        };
        let Some(to) = self.accounts.find_ever(&name) else { return Answered::refuse(Refusal::NoSuchUser(name)) };
        let name = self.accounts.name(to).clone();
        let is_asked = |question: &Question| question.asker == to && question.talk == talk;
        let place = offer.map(|offer| self.place(connection, offer));
        if !self.consents.questions.get(&of).is_some_and(is_asked) || place == Some(None) {
            return Answered::refuse(Refusal::NotAsked(name));
        }
        if offer.is_some() && self.is_full_of_consents(of, to) {
            return Answered::refuse(Refusal::TooManyConsents);
        }
        let Some(question) = self.consents.close(of) else { return Answered::refuse(Refusal::NotAsked(name)) };
        let Some((port, certificate)) = place.flatten() else {
            self.consents.note_unwilling(of, to, now.instant);
            self.tell_asker(&question, of, NoAddress::Declined, out);
            self.tell_asked(of, &question, AskOver::Answered, Some(connection), IfLost::Send, out);
            return Answered::reply(Reply::Declined(name));
        };
        let row = ConsentRow { of, to, until: now.wall + CONNECT_WITHIN };
        let given = Given { row, until: now.instant + CONNECT_WITHIN };
        let before = self.consents.give(given).map(|older| older.row);
        out.changes.push(Change::Consent { row, before, waits: question.connection });
        let user = self.accounts.name(of).clone();
        let event = Event::Address { user, address, port, certificate, connect_within: CONNECT_WITHIN };
        out.event(question.connection, event, IfLost::Drop);
        self.tell_asked(of, &question, AskOver::Answered, Some(connection), IfLost::Drop, out);
        Answered::stored(Reply::Consented {
            user: name,
            address: question.address,
            certificate: question.certificate,
            connect_within: CONNECT_WITHIN,
        })
    }

    /// Where whoever has said yes on this connection can be reached, and what they show there. `None`: not in that way.
    fn place(&self, connection: ConnectionId, offer: Offer) -> Option<(PeerPort, Option<Fingerprint>)> {
        match (self.presence.session(connection)?.manner, offer) {
            (Manner::Native { .. }, Offer::Encrypted { port, certificate }) => Some((port, Some(certificate))),
            (Manner::Called { port }, Offer::WhereCalled) => Some((port, None)),
            _ => None,
        }
    }

    fn is_full_of_consents(&self, of: UserId, to: UserId) -> bool {
        !self.consents.given.contains_key(&(of, to)) && self.consents.given_by(of).count() >= CONSENTS_MAX
    }

    fn tell_asker(&self, question: &Question, asked: UserId, why: NoAddress, out: &mut Outbox) {
        let event = Event::NoAddress { user: self.accounts.name(asked).clone(), why };
        out.event(question.connection, event, IfLost::Send);
    }

    /// The devices that were told of a question hear that it is over.
    fn tell_asked(
        &self,
        asked: UserId,
        question: &Question,
        why: AskOver,
        except: Option<ConnectionId>,
        if_lost: IfLost,
        out: &mut Outbox,
    ) {
        let devices = self.who_can_answer(asked, question.talk).filter(|&device| Some(device) != except);
        let event = || Event::AskOver { user: self.accounts.name(question.asker).clone(), why };
        out.event_to_many(devices, event, if_lost);
    }

    /// The same of a yes: it may have been said on any device that can talk.
    fn tell_consenting(
        &self,
        of: UserId,
        to: UserId,
        why: AskOver,
        except: Option<ConnectionId>,
        if_lost: IfLost,
        out: &mut Outbox,
    ) {
        let devices = self.who_can_talk(of).map(|(device, _)| device).filter(|&device| Some(device) != except);
        out.event_to_many(devices, || Event::AskOver { user: self.accounts.name(to).clone(), why }, if_lost);
    }

    /// A yes is taken back.
    pub(super) fn revoke(
        &mut self,
        connection: ConnectionId,
        user: UserId,
        name: UserName,
        out: &mut Outbox,
    ) -> Answered {
        let Some(to) = self.accounts.find_ever(&name) else { return Answered::refuse(Refusal::NoSuchUser(name)) };
        let name = self.accounts.name(to).clone();
        match self.take_back(user, to, Some(connection), out) {
            true => Answered::stored(Reply::Revoked(name)),
            // As firm as whatever has taken it back.
            false => Answered::Now(Err(Refusal::NotConsented(name)), IfLost::Refuse),
        }
    }

    /// The device that listens for the other may be any of the user's but `except`, on which it is taken back.
    fn take_back(&mut self, of: UserId, to: UserId, except: Option<ConnectionId>, out: &mut Outbox) -> bool {
        let Some(given) = self.consents.take_back(of, to) else { return false };
        out.changes.push(Change::ConsentOver { row: given.row, revoked: true });
        let sessions = self.presence.sessions_of(&[to].into());
        let event = || Event::Revoked(self.accounts.name(of).clone());
        out.event_to_many(sessions.into_iter(), event, IfLost::Drop);
        self.tell_consenting(of, to, AskOver::Revoked, except, IfLost::Drop, out);
        true
    }

    /// `user` has blocked `other`, who is to learn nothing more of them.
    pub(super) fn consents_end_with_block(
        &mut self,
        now: Now,
        connection: ConnectionId,
        user: UserId,
        other: UserId,
        out: &mut Outbox,
    ) {
        self.questions_end_with_block(now, user, other, out);
        self.take_back(user, other, Some(connection), out);
    }

    /// `user` blocks `other`: neither asks the other any more.
    pub(super) fn questions_end_with_block(&mut self, now: Now, user: UserId, other: UserId, out: &mut Outbox) {
        if self.consents.questions.get(&user).is_some_and(|question| question.asker == other)
            && let Some(question) = self.consents.close(user)
        {
            self.consents.note_unwilling(user, other, now.instant);
            self.tell_asker(&question, user, NoAddress::Declined, out);
            self.tell_asked(user, &question, AskOver::Blocked, None, IfLost::Send, out);
        }
        if self.consents.questions.get(&other).is_some_and(|question| question.asker == user)
            && let Some(question) = self.consents.close(other)
        {
            self.consents.note_unwilling(other, user, now.instant);
            self.tell_asker(&question, other, NoAddress::Withdrawn, out);
            self.tell_asked(other, &question, AskOver::Withdrawn, None, IfLost::Send, out);
        }
    }

    /// The account is gone, and with it what was consented by or to it.
    pub(super) fn consents_end_with_account(&mut self, user: UserId, out: &mut Outbox) {
        self.consents_end_where(|of, to| of == user || to == user, out);
    }

    /// The accounts have been read anew: some may be gone, also since before the restart.
    pub(super) fn consents_end_without_account(&mut self, out: &mut Outbox) {
        let accounts = &self.accounts;
        let pairs = self.consents.given.keys().copied();
        let over = pairs.filter(|&(of, to)| accounts.verifier(of).is_none() || accounts.verifier(to).is_none());
        let over: BTreeSet<_> = over.collect();
        self.consents_end_where(|of, to| over.contains(&(of, to)), out);
    }

    fn consents_end_where(&mut self, is_over: impl Fn(UserId, UserId) -> bool, out: &mut Outbox) {
        let pairs = self.consents.given.keys().copied().filter(|&(of, to)| is_over(of, to));
        for (of, to) in pairs.collect::<Vec<_>>() {
            self.take_back(of, to, None, out);
        }
    }

    /// Whoever asked on this connection is gone.
    pub(super) fn questions_end_with_asker(
        &mut self,
        now: Now,
        user: UserId,
        connection: ConnectionId,
        out: &mut Outbox,
    ) {
        let asked = self.consents.asked_by(user).filter(|(_, question)| question.connection == connection);
        for asked in asked.map(|(asked, _)| asked).collect::<Vec<_>>() {
            let Some(question) = self.consents.close(asked) else { continue };
            self.consents.note_unwilling(asked, user, now.instant);
            self.tell_asked(asked, &question, AskOver::Withdrawn, None, IfLost::Send, out);
        }
    }

    /// A device of the user's is gone; it may have been the last that could answer.
    pub(super) fn question_ends_with_asked(&mut self, user: UserId, out: &mut Outbox) {
        let Some(talk) = self.consents.questions.get(&user).map(|question| question.talk) else { return };
        if self.who_can_answer(user, talk).next().is_none()
            && let Some(question) = self.consents.close(user)
        {
            self.tell_asker(&question, user, NoAddress::Offline, out);
        }
    }

    /// The server stops, and everybody is told that.
    pub(super) fn forget_questions(&mut self) {
        for asked in self.consents.questions.keys().copied().collect::<Vec<_>>() {
            self.consents.close(asked);
        }
    }

    /// Ends what has had its time.
    pub(super) fn expire_consents(&mut self, now: Now, out: &mut Outbox) {
        while let Some(&(at, timer)) = self.consents.deadlines.first() {
            if at > now.instant {
                return;
            }
            match timer {
                Timer::Question(asked) => {
                    if let Some(question) = self.consents.close(asked) {
                        self.consents.note_unwilling(asked, question.asker, now.instant);
                        self.tell_asker(&question, asked, NoAddress::Expired, out);
                        self.tell_asked(asked, &question, AskOver::Expired, None, IfLost::Send, out);
                    }
                }
                Timer::Consent(of, to) => {
                    // Nobody is told: both have known the time from the beginning.
                    if let Some(Given { row, .. }) = self.consents.take_back(of, to) {
                        out.changes.push(Change::ConsentOver { row, revoked: false });
                    }
                }
                Timer::Unwilling(asked, asker) => {
                    self.consents.unwilling.remove(&(asked, asker));
                    self.consents.deadlines.remove(&(at, timer));
                }
            }
        }
    }

    /// Who may reach the user, and who has asked.
    pub(super) fn privacy(&self, now: Now, user: UserId) -> Answered {
        let pending = |other: UserId, until: Instant| Pending {
            user: self.accounts.name(other).clone(),
            left: until.since(now.instant),
        };
        let asking = self.consents.asked_by(user).map(|(asked, question)| pending(asked, question.until));
        let list = PrivacyList {
            blocked: self.names_blocked_by(user),
            consents: self.consents.given_by(user).map(|given| pending(given.row.to, given.until)).collect(),
            asked_by: self.consents.questions.get(&user).map(|question| pending(question.asker, question.until)),
            asking: asking.collect(),
        };
        // As firm as the blocks and the consents themselves.
        Answered::stored(Reply::Privacy(Box::new(list)))
    }

    /// A yes could not be stored: nothing of it has left, and what was `before` holds again. It may have been taken back, or
    /// have ended, by now: whoever waits for it has heard nothing all the same.
    pub(super) fn consent_was_lost(
        &mut self,
        now: Now,
        row: ConsentRow,
        before: Option<ConsentRow>,
        waits: ConnectionId,
        lapsed: &mut Lapsed,
        out: &mut Outbox,
    ) {
        let ConsentRow { of, to, .. } = row;
        // Who has asked again meanwhile waits for the answer to that.
        let asks_on = self.consents.questions.get(&of).filter(|question| question.asker == to);
        let asks_on = asks_on.map(|question| question.connection);
        if asks_on != Some(waits) {
            let event = Event::NoAddress { user: self.accounts.name(of).clone(), why: NoAddress::NotStored };
            out.event(waits, event, IfLost::Send);
        }
        if asks_on.is_none() {
            self.tell_consenting(of, to, AskOver::NotStored, None, IfLost::Send, out);
        }
        let given = self.consents.given.get(&(of, to)).map(|given| given.row);
        if given.or_else(|| lapsed.get(&(of, to)).copied()) != Some(row) {
            return;
        }
        lapsed.remove(&(of, to));
        self.consents.take_back(of, to);
        if let Some(before) = before {
            self.consent_is_back(now, before, lapsed);
        }
    }

    /// The end of a consent could not be stored: it holds again, as long as it would have. If that time is over it has
    /// `lapsed`, which is to be stored unless it turns out to have been lost itself.
    pub(super) fn consent_is_back(&mut self, now: Now, row: ConsentRow, lapsed: &mut Lapsed) {
        let left = row.until.since(now.wall).min(CONNECT_WITHIN);
        if left.is_zero() {
            lapsed.insert((row.of, row.to), row);
        } else if !self.consents.given.contains_key(&(row.of, row.to)) {
            self.consents.give(Given { row, until: now.instant + left });
        }
    }
}
