//! What the server sends by datagrams and hears, as it can be seen from beside its socket: which messages are under way, how
//! often they are sent, and how often whoever has proved nothing is answered.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use chatd::hub::id::ConnectionId;
use chatd::hub::name::UserName;
use chatd::wire::datagram::{Notice, Request};

use super::{Claim, DRAIN};
use crate::datagrams::{Datagram, Origin};
use crate::link::{MS, SECOND, Time};

/// Between the first two times that a message is sent.
const AGAIN_AFTER: Time = 500 * MS;
/// What was sent again may be acknowledged for so long before the next is sent.
const SETTLED_AFTER: Time = SECOND;
/// A message is sent so often, and so long after the last time the client is given up.
const TRIES_MAX: usize = 5;
const GIVEN_UP_AFTER: Time = 8 * SECOND;
/// So often in a second a source is told that something is wrong with what it says, and so often a log-on is answered.
const ERRORS_A_SECOND: usize = 4 + 2;
const ANSWERS_A_SECOND: usize = 64 + 16;

/// Somebody who logs in by a datagram, or has.
pub struct Lodger {
    pub at: SocketAddr,
    pub claim: Option<Claim>,
    pub logged_in: bool,
    pub since: Time,
}

/// A message that is under way to an address.
struct UnderWay {
    notice: Notice,
    sent: Vec<Time>,
    /// When an acknowledgement came that may be its.
    acknowledged: Option<Time>,
    /// By whose session it was sent.
    lodger: ConnectionId,
}

#[derive(Default)]
pub struct Desk {
    pub lodgers: BTreeMap<ConnectionId, Lodger>,
    /// The last one that was received, as it came.
    pub heard: Option<Datagram>,
    /// Somebody waits for the socket to take datagrams.
    pub waits: bool,
    under_way: BTreeMap<SocketAddr, UnderWay>,
    /// When somebody was last there who is not any more: they are told what is left; and whether they had logged in.
    left: BTreeMap<SocketAddr, (Time, bool)>,
    errors: BTreeMap<IpAddr, VecDeque<Time>>,
    answers: BTreeMap<IpAddr, VecDeque<Time>>,
}

impl Desk {
    /// Who has logged in from this address.
    pub fn at(&self, at: SocketAddr) -> Option<ConnectionId> {
        let is_it = |(_, lodger): &(&ConnectionId, &Lodger)| lodger.at == at && lodger.logged_in;
        self.lodgers.iter().rfind(is_it).map(|(id, _)| *id)
    }

    /// Who has.
    pub fn user_at(&self, at: SocketAddr) -> Option<&UserName> {
        let lodger = self.lodgers.get(&self.at(at)?)?;
        lodger.claim.as_ref().map(|claim| &claim.user)
    }

    /// From where this user has.
    pub fn address_of(&self, user: &UserName) -> Option<SocketAddr> {
        let is_theirs =
            |lodger: &&Lodger| lodger.logged_in && lodger.claim.as_ref().is_some_and(|one| one.user == *user);
        self.lodgers.values().find(is_theirs).map(|lodger| lodger.at)
    }

    /// Whom the last datagram names, if it is an acknowledgement.
    pub fn acknowledged_sender(&self) -> Option<String> {
        match Request::parse(&self.heard.as_ref()?.bytes) {
            Ok((Request::Acknowledgement { sender, .. }, _)) => Some(sender.as_str().to_owned()),
            _ => None,
        }
    }

    /// Who has sent what is under way to an address.
    pub fn sender_under_way(&self, at: SocketAddr) -> Option<&str> {
        match &self.under_way.get(&at)?.notice {
            Notice::Message { from, .. } => Some(from.as_str()),
            _ => None,
        }
    }

    /// A datagram is received.
    pub fn hears(&mut self, now: Time, datagram: &Datagram) {
        let acknowledges = match Request::parse(&datagram.bytes) {
            Ok((Request::Acknowledgement { sender, .. }, _)) => Some(sender),
            _ => None,
        };
        self.heard = Some(datagram.clone());
        let lodger = self.at(datagram.client);
        let (Some(sender), Some(found)) = (acknowledges, self.under_way.get_mut(&datagram.client)) else { return };
        let Notice::Message { from, .. } = &found.notice else { return };
        if Some(found.lodger) == lodger && from.as_str().eq_ignore_ascii_case(sender.as_str()) {
            found.acknowledged.get_or_insert(now);
        }
    }

    /// The text that is under way to an address.
    pub fn text_under_way(&self, at: SocketAddr) -> Option<&str> {
        match &self.under_way.get(&at)?.notice {
            Notice::Message { text, .. } => Some(text),
            _ => None,
        }
    }

    /// A datagram is sent. Comes back: the law that it breaks.
    pub fn sends(&mut self, now: Time, to: SocketAddr, bytes: &[u8]) -> Option<String> {
        let law = self.judges(now, to, bytes)?;
        Some(format!("{law}: {:?}", String::from_utf8_lossy(bytes)))
    }

    fn judges(&mut self, now: Time, to: SocketAddr, bytes: &[u8]) -> Option<&'static str> {
        let is_notice = bytes.starts_with(b"{");
        match Notice::parse(bytes) {
            Ok(notice @ Notice::Message { .. }) => self.sends_message(now, to, notice),
            Ok(Notice::Error(text)) => self.sends_error(now, to, bytes, &text),
            Ok(_) => {
                let has_left = self.left.get(&to).is_some_and(|(at, _)| now < *at + DRAIN);
                let is_nobody = self.at(to).is_none() && !has_left;
                is_nobody.then_some("14: somebody who has not logged in is told what is for others")
            }
            Err(_) if is_notice => Some("13: a datagram is none of its protocol"),
            Err(_) => too_often(&mut self.answers, now, to.ip(), ANSWERS_A_SECOND)
                .then_some("10: log-ons are answered without a bound"),
        }
    }

    fn sends_message(&mut self, now: Time, to: SocketAddr, notice: Notice) -> Option<&'static str> {
        let Some(lodger) = self.at(to) else {
            return Some("14: somebody who has not logged in is sent a message");
        };
        let before = self.under_way.get_mut(&to).filter(|before| before.lodger == lodger);
        let Some(before) = before else {
            self.under_way.insert(to, UnderWay { notice, sent: vec![now], acknowledged: None, lodger });
            return None;
        };
        if let Some(acknowledged) = before.acknowledged {
            let settles = before.sent.len() > 1 && now < acknowledged + SETTLED_AFTER;
            self.under_way.insert(to, UnderWay { notice, sent: vec![now], acknowledged: None, lodger });
            return settles.then_some("1: a message follows while copies of the last may still be acknowledged");
        }
        let last = before.sent.last().copied().unwrap_or_default();
        let pause = AGAIN_AFTER << (before.sent.len() - 1);
        before.sent.push(now);
        match () {
            () if before.notice != notice => Some("4: two messages are under way to a client at a time"),
            () if now < last + pause => Some("12: a message is sent again too soon"),
            () if before.sent.len() > TRIES_MAX => Some("12: a message is sent again without end"),
            () => None,
        }
    }

    fn sends_error(&mut self, now: Time, to: SocketAddr, bytes: &[u8], text: &str) -> Option<&'static str> {
        let logged_in = self.at(to).is_some();
        if logged_in && text.starts_with("Log in first") {
            return Some("14: somebody who has logged in is told to do so");
        }
        let had_logged_in = self.left.get(&to).is_some_and(|(at, logged_in)| *logged_in && now < *at + DRAIN);
        if logged_in || had_logged_in && !text.starts_with("Log in first") {
            return None;
        }
        let question =
            self.heard.as_ref().filter(|heard| heard.client == to).map_or(usize::MAX, |heard| heard.bytes.len());
        let is_long = text.starts_with("Log in first") && bytes.len() > question;
        let is_often = too_often(&mut self.errors, now, to.ip(), ERRORS_A_SECOND);
        match () {
            () if is_long => Some("10: whoever has proved nothing is told more than they have said"),
            () if is_often => Some("10: errors are told without a bound"),
            () => None,
        }
    }

    /// The hub is told that a client is gone. Comes back: the law that this breaks. `arrived`: what has come and was not read.
    pub fn gives_up(&self, now: Time, id: ConnectionId, arrived: &VecDeque<Datagram>) -> Option<&'static str> {
        let at = self.lodgers.get(&id)?.at;
        let found = self.under_way.get(&at).filter(|found| found.lodger == id);
        let Some(found) = found else { return Some("8: a client is given up that was sent nothing") };
        let last = found.sent.last().copied().unwrap_or_default();
        let says_so = |datagram: &&Datagram| datagram.client == at && datagram.origin == Origin::Said;
        let is_there = arrived.iter().filter(says_so).any(|datagram| {
            datagram.came <= last + GIVEN_UP_AFTER
                && matches!(Request::parse(&datagram.bytes), Ok((Request::Acknowledgement { .. }, _)))
        });
        match () {
            () if found.sent.len() < TRIES_MAX => Some("8: a client is given up that was not sent to often enough"),
            () if now < last + GIVEN_UP_AFTER => Some("8: a client is given up too soon"),
            () if is_there => Some("8: an acknowledgement was there in time, and was missed"),
            () => None,
        }
    }

    /// Whether somebody is still there who has acknowledged nothing for so long, at a time by which deadlines are judged.
    pub fn is_late(&self, judged: Time) -> bool {
        self.under_way.iter().any(|(at, found)| {
            let last = found.sent.last().copied().unwrap_or_default();
            let is_over = found.sent.len() >= TRIES_MAX && found.acknowledged.is_none();
            is_over && judged > last + GIVEN_UP_AFTER + SECOND && self.at(*at) == Some(found.lodger)
        })
    }

    /// Nobody is there any more.
    pub fn forget(&mut self, now: Time, id: ConnectionId) {
        // A log-in that comes to nothing may be told why.
        if let Some(lodger) = self.lodgers.remove(&id) {
            self.left.insert(lodger.at, (now, lodger.logged_in));
        }
        self.under_way.retain(|_, found| found.lodger != id);
    }
}

/// Notes one more, and says whether there were more in the last second than may be.
fn too_often(times: &mut BTreeMap<IpAddr, VecDeque<Time>>, now: Time, source: IpAddr, most: usize) -> bool {
    let times = times.entry(source).or_default();
    times.retain(|at| *at + SECOND > now);
    times.push_back(now);
    times.len() > most
}
