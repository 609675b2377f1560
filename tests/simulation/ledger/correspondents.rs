//! The laws for clients that are reached by datagrams.
//!
//! An acknowledgement names a sender and no message. So it may be taken for that of a later message of the same sender where
//! the network has brought it, or what it acknowledges, twice; where it comes more than a second after what it acknowledges
//! was sent, or within a second of a log-in; and where somebody has forged it as if from the client's address. One such mistake
//! makes the next. The message that it was taken for is not owed to this client any more (law 1), may come late (law 4), and a
//! part of it may be missing. Everywhere else these laws hold as they do for others.
//!
//! What the network brings twice is said twice (law 2), and everything in the order in which it comes (law 4). What seems to come
//! from where a client is counts as that client's (law 3).

use std::collections::{BTreeMap, BTreeSet};

use chatd::hub::id::{DeviceId, Number};
use chatd::hub::name::UserName;
use chatd::hub::text::Text;
use chatd::wire::datagram::Request;

use super::{Ledger, Sent, Uid};
use crate::datagrams::{Datagram, Origin};
use crate::link::{SECOND, Time};

/// What was sent again may be acknowledged for so long before the next is sent.
const SETTLED_AFTER: Time = SECOND;

#[derive(Default)]
pub struct Correspondents {
    /// In order of their tags.
    acknowledgements: Vec<Acknowledgement>,
    /// What counts as shown to somebody who was not shown it.
    excused: BTreeSet<(Number, UserName)>,
    /// What others have said as if from where a user is.
    forged: BTreeMap<usize, Uid>,
    /// The last datagram that the server has received is one that came before, or that nobody said who is there.
    is_copy: bool,
}

/// A client has said that something was shown.
#[derive(Debug)]
struct Acknowledgement {
    user: UserName,
    sender: String,
    text: String,
    /// What ended there.
    shown: Option<usize>,
    /// When the server had sent what was shown, and whether the network had brought it once.
    sent: Time,
    origin: Origin,
}

/// What the server was told when it takes something for shown.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    pub words: Option<&'a Text>,
    pub origin: Origin,
    /// Whom the acknowledgement names.
    pub sender: Option<String>,
    /// When its session has begun.
    pub since: Time,
}

impl Correspondents {
    pub(super) fn is_excused(&self, number: Number, user: &UserName) -> bool {
        self.excused.contains(&(number, user.clone()))
    }

    pub fn excused(&self) -> usize {
        self.excused.len()
    }

    fn tagged(&self, words: &str) -> Option<&Acknowledgement> {
        let (_, tag) = words.rsplit_once('#')?;
        self.acknowledgements.get(tag.parse::<usize>().ok()?)
    }
}

impl Acknowledgement {
    /// Whether it may be of a copy, or of something that was settled long ago.
    fn is_doubtful(&self, now: Time) -> bool {
        now > self.sent + SETTLED_AFTER || self.origin != Origin::Said
    }
}

impl Ledger {
    /// Somebody sends a datagram as if from where this user is: for all that the server can know, it is the user's.
    pub fn forged(&mut self, now: Time, user: &UserName, to: &UserName, text: String) {
        let Some(uid) = self.classic_client(user, DeviceId::DATAGRAM) else { return };
        let name = self.asked(now, uid, user, Some(to), text);
        self.correspondents.forged.insert(name, uid);
    }

    /// Law 2: what was said once is taken once, unless the network has brought it twice.
    pub(super) fn note_copy(&mut self, name: usize) {
        let sent = &mut self.sent[name];
        let is_theirs = self.devices.get(&sent.sender).is_some_and(|device| device.id == DeviceId::DATAGRAM);
        if !is_theirs || sent.accepted.is_empty() {
            return;
        }
        sent.copied |= self.correspondents.is_copy;
        if !sent.copied && !self.commits_failed {
            self.broken("2: what came once was taken twice");
        }
    }

    /// The server receives a datagram from a client to which this text is under way.
    pub fn note_received(&mut self, now: Time, datagram: &Datagram, under_way: Option<&str>) {
        self.correspondents.is_copy = datagram.origin != Origin::Said;
        let Ok((Request::Acknowledgement { text, .. }, _)) = Request::parse(&datagram.bytes) else { return };
        let Some(under_way) = under_way else { return };
        let Some(found) = self.correspondents.tagged(&text) else { return };
        let is_late = datagram.origin != Origin::Said || found.is_doubtful(now);
        if found.text != under_way && is_late {
            let uid = self.classic_client(&found.user, DeviceId::DATAGRAM);
            self.classics.lost_parts.extend(uid);
        }
    }

    /// A client acknowledges what it has shown, as it came from the server. Comes back: the tag of that.
    pub fn acknowledges(
        &mut self,
        user: &UserName,
        (sender, text): (&str, &str),
        shown: Option<usize>,
        (sent, origin): (Time, Origin),
    ) -> usize {
        let (user, sender, text) = (user.clone(), sender.to_owned(), text.to_owned());
        self.correspondents.acknowledgements.push(Acknowledgement { user, sender, text, shown, sent, origin });
        self.correspondents.acknowledgements.len() - 1
    }

    /// The hub is told that this was shown to somebody.
    pub fn acknowledged(&mut self, now: Time, user: &UserName, number: Number, evidence: Evidence<'_>) {
        // What was lost may have had the number before.
        let taken = |sent: &Sent| sent.accepted_as(number).map(|accepted| accepted.at);
        let last = self.sent.iter().filter(|sent| taken(sent).is_some()).max_by_key(|sent| taken(sent));
        let names = |sender: &String, sent: &Sent| sender.eq_ignore_ascii_case(sent.from.as_str());
        if last.is_some_and(|sent| !evidence.sender.as_ref().is_some_and(|sender| names(sender, sent))) {
            let law = format!("1: {number:?} counts as shown to {user:?}, who has named another sender");
            return self.broken(&law);
        }
        let found = evidence.words.and_then(|words| self.correspondents.tagged(words.as_str()));
        let is_forged = evidence.origin == Origin::Forged;
        let (is_it, is_excused) = match found {
            Some(found) if found.user == *user => {
                let is_it = found.shown.is_some_and(|name| self.sent[name].accepted_as(number).is_some());
                let is_anew = now < evidence.since + SETTLED_AFTER;
                let is_doubtful = is_anew || evidence.origin != Origin::Said || found.is_doubtful(now);
                (is_it, is_doubtful || self.is_surplus(found))
            }
            _ => (false, is_forged),
        };
        if is_it {
            return;
        }
        if !is_excused {
            let law = format!("1: {number:?} counts as shown to {user:?}, who has acknowledged something else");
            return self.broken(&law);
        }
        self.correspondents.excused.insert((number, user.clone()));
    }

    /// Whether what is acknowledged counted as shown before: the network has brought it twice, or one mistake makes the next.
    fn is_surplus(&self, found: &Acknowledgement) -> bool {
        let mut all = self.correspondents.acknowledgements.iter();
        if all.any(|one| one.user == found.user && one.text == found.text && one.origin != Origin::Said) {
            return true;
        }
        let Some(name) = found.shown else {
            let uid = self.classic_client(&found.user, DeviceId::DATAGRAM);
            return uid.is_some_and(|uid| self.classics.lost_parts.contains(&uid));
        };
        let mut numbers = self.sent[name].accepted.iter().map(|accepted| accepted.number);
        numbers.any(|number| self.correspondents.is_excused(number, &found.user))
    }

    /// A sender is told what somebody says to a message: to one of theirs.
    pub fn acknowledgement_told(&mut self, user: &UserName, words: &str) {
        if let Some(found) = self.correspondents.tagged(words)
            && found.sender != user.as_str()
        {
            let law = format!("6: {user:?} is told what was said to {:?}: {words:?}", found.sender);
            self.broken(&law);
        }
    }
}
