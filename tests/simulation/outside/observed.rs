//! What the hub says, as it is seen before anything comes of it: held to the laws, and bent, where a bug is planted in it.

use std::net::SocketAddr;

use chatd::hub::effect::{AskOver, CloseReason, Effect, Event, LogOnAnswer, NoAddress, Outbox, Recipients};
use chatd::hub::id::{ConnectionId, PeerAddress, Source};
use chatd::hub::input::LogOn;
use chatd::hub::message::Sender;
use chatd::net::connection::Stage;
use chatd::net::turn::Seen;

use super::Outside;
use super::known::{Callee, Claim, Proof};
use super::lent::Socket;
use crate::ledger::{Responded, Tried};
use crate::link::LinkId;
use crate::plant::Plant;

impl Outside {
    /// The hub has no session there any more.
    pub(super) fn forget(&mut self, id: ConnectionId) {
        self.here.remove(&id);
        self.desk.forget(self.lent.borrow().now, id);
        if let Some(callee) = self.callees.get_mut(&id) {
            callee.left = Some(self.lent.borrow().now);
        }
    }

    /// What has come of a step of a log-on.
    pub(super) fn observe_log_on(&mut self, seen: &Seen<'_, Socket>) {
        let Some((at, step)) = self.step.take() else { return };
        let lent = &mut *self.lent.borrow_mut();
        let new = &seen.outbox.effects[seen.effects_before..];
        let failure = new.iter().find_map(|effect| match effect {
            Effect::LogOnFailed { why, .. } => Some(*why),
            _ => None,
        });
        let answers = new.iter().filter_map(|effect| match effect {
            Effect::LogOn { to, answer, .. } => Some((to.address, answer)),
            _ => None,
        });
        for (to, answer) in answers {
            if to != at {
                return lent.ledger.broken("6: a log-on is answered elsewhere than where it was asked");
            }
            match (&step, answer) {
                (LogOn::Hello(Some(user)), LogOnAnswer::Challenge(challenge)) => {
                    lent.ledger.challenged(lent.now, at, user, *challenge);
                }
                (LogOn::Response { user: Some(user), response }, answer) => {
                    let responded = Responded { at, user, response: *response, answer, failure };
                    lent.ledger.responded(lent.now, lent.wall, responded, seen.batch);
                }
                _ => {}
            }
        }
    }

    /// Somebody has logged in by a datagram.
    pub(super) fn lodger_authenticated(&mut self, id: ConnectionId, seen: &Seen<'_, Socket>) {
        let lent = &mut *self.lent.borrow_mut();
        let Some(lodger) = self.desk.lodgers.get_mut(&id) else { return };
        let Some(Claim { user, device, by }) = lodger.claim.clone() else {
            return lent.ledger.broken("14: a session without a log-in");
        };
        lent.ledger.let_in(lent.now, &user, device);
        let (source, right) = (Source::of(lodger.at.ip()), by.word_is_right());
        let tried = Tried { link: None, user: &user, source, right };
        lent.ledger.authenticated(lent.now, tried, true, seen.batch);
        (lodger.logged_in, lodger.since) = (true, lent.now);
        self.here.insert(id, (user, device));
    }

    pub(super) fn authenticated(&mut self, id: ConnectionId, seen: &Seen<'_, Socket>) {
        if self.desk.lodgers.contains_key(&id) {
            return self.lodger_authenticated(id, seen);
        }
        let lent = &mut *self.lent.borrow_mut();
        let Some(known) = self.known.get_mut(&id) else { return };
        let Some(Claim { user, device, by }) = known.claim.clone() else {
            return lent.ledger.broken("14: a session without a log-in");
        };
        if known.logged_in {
            lent.ledger.broken("14: a second log-in on one connection");
        }
        lent.ledger.let_in(lent.now, &user, device);
        let address = lent.links.map[&known.link].source;
        let tried = Tried { link: Some(known.link), user: &user, source: known.source, right: by.word_is_right() };
        match by {
            Proof::Scram(_) => lent.ledger.authenticated(lent.now, tried, self.by_password, seen.batch),
            Proof::Word { port, .. } => {
                lent.ledger.authenticated(lent.now, tried, true, seen.batch);
                let at = SocketAddr::new(address, port);
                let (since, user) = (lent.now, user.clone());
                self.callees
                    .insert(id, Callee { user, at, since, last_heard: since, rests: false, call: None, left: None });
            }
            Proof::Nothing => lent.ledger.guest_entered(lent.now, known.link, &user),
            Proof::Challenge(challenge) => {
                lent.ledger.connected(lent.now, address, challenge);
                lent.ledger.session_begins(known.link);
            }
            Proof::Digest { .. } => lent.ledger.broken("14: a digest has logged in a connection"),
        }
        known.logged_in = true;
        known.last_heard = lent.now;
        self.here.insert(id, (user, device));
    }

    /// The hub tells a connection something that it has not asked for.
    pub(super) fn news(&self, id: ConnectionId, event: &Event, seen: &Seen<'_, Socket>) {
        if let Some(callee) = self.callees.get(&id)
            && *event == Event::Closing(CloseReason::HeartbeatMissed)
        {
            return self.check_silence(callee, seen);
        }
        let (Some(known), Some(found)) = (self.known.get(&id), seen.connections.get(id)) else { return };
        let lent = &mut *self.lent.borrow_mut();
        match event {
            Event::Message(_) | Event::Online(_) | Event::Offline(_) | Event::Token
                if !known.logged_in || !matches!(found.stage, Stage::Strange | Stage::LoggedIn) =>
            {
                lent.ledger.broken("14: news for somebody who is not logged in");
            }
            Event::Closing(CloseReason::HeartbeatMissed) => {
                let until = known.last_heard + self.heartbeat_timeout;
                if until > self.booted + seen.round_began.as_micros() {
                    lent.ledger.broken("8: somebody was heard, and is said to be silent");
                }
                let in_kernel = lent.links.map.get(&known.link).is_some_and(|link| {
                    let mut arrived = link.up.arrived.iter();
                    arrived.any(|(at, bytes)| *at <= until && bytes.contains(&b'\n'))
                });
                // Who does not take their answers is not read, and so not heard; who waits for us is.
                let there = in_kernel || found.inbound.contains(&b'\n');
                let excused = found.parked || found.asking;
                if there && (excused || !found.is_paused()) {
                    lent.ledger.broken("8: a sign of life was there in time, and was missed");
                }
            }
            _ => {}
        }
    }

    /// A client that is called is said to be silent.
    pub(super) fn check_silence(&self, callee: &Callee, seen: &Seen<'_, Socket>) {
        let lent = &mut *self.lent.borrow_mut();
        let until = callee.last_heard + self.heartbeat_timeout;
        if until > self.booted + seen.round_began.as_micros() {
            lent.ledger.broken("8: somebody was heard, and is said to be silent");
        }
        let in_time = |link: &LinkId| {
            let Some(found) = lent.links.map.get(link).filter(|found| !found.reset) else { return false };
            let waits = lent.kernel.backlog.contains(link) && lent.kernel.exhausted_until > 0;
            let came = found.up.fin.is_some_and(|at| at > callee.last_heard && at <= until);
            came && lent.links.has_server(*link) && !waits && found.source == callee.at.ip()
        };
        if lent.ledger.posts_of(&callee.user).any(|link| in_time(&link)) {
            lent.ledger.broken("8: a sign of life was there in time, and was missed");
        }
    }

    /// Planted bugs: what is for one or for many goes to others, or to nobody.
    pub(super) fn misdirect<'a>(&self, seen: Seen<'a, Socket>) -> &'a Outbox {
        let outbox = seen.outbox;
        for effect in &mut outbox.effects[seen.effects_before..] {
            let Effect::Event { to, event, .. } = effect else { continue };
            match (self.plant, event, to) {
                (Plant::BroadcastsReachEverybody, Event::Message(_), Recipients::Many(range)) => {
                    let start = outbox.recipients.len();
                    outbox.recipients.extend(self.here.keys());
                    *range = start..outbox.recipients.len();
                }
                (Plant::EchoIsMissing, Event::Message(message), Recipients::Many(range)) => {
                    let start = outbox.recipients.len();
                    let Sender::User(_, from) = &message.from else { continue };
                    let is_other = |id: &ConnectionId| self.here.get(id).is_none_or(|(user, _)| user != from);
                    let others: Vec<ConnectionId> =
                        outbox.recipients[range.clone()].iter().copied().filter(is_other).collect();
                    outbox.recipients.extend(others);
                    *range = start..outbox.recipients.len();
                }
                (Plant::OneIsLeftOut, Event::Message(_), Recipients::Many(range)) => range.start += 1,
                (Plant::AddressGoesToAnother, Event::Address { .. }, to)
                | (Plant::QuestionGoesToAnother, Event::Asks { .. }, to) => {
                    let Recipients::One(right) = to else { continue };
                    let other = self.here.iter().find(|(id, who)| *id != right && Some(*who) != self.here.get(right));
                    if let Some((id, _)) = other {
                        *to = Recipients::One(*id);
                    }
                }
                (Plant::AddressIsAnother, Event::Address { address, .. }, _) => {
                    *address = PeerAddress::of([10, 9, 9, 9].into());
                }
                (Plant::ExpiryIsNotTold, Event::NoAddress { why: NoAddress::Expired, .. }, to)
                | (Plant::RefusalIsNotTold, Event::NoAddress { why: NoAddress::Declined, .. }, to)
                | (Plant::WithdrawalIsNotTold, Event::AskOver { why: AskOver::Withdrawn, .. }, to) => {
                    *to = Recipients::Many(0..0);
                }
                _ => {}
            }
        }
        outbox
    }
}
