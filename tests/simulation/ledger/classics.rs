//! The laws for clients that can't be changed: what their users are shown, and how sure the server may be of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use chatd::hub::id::{DeviceId, Number};
use chatd::hub::input::Offer;
use chatd::hub::message::{Message, Recipient, Sender};
use chatd::hub::name::UserName;

use super::{Device, Ledger, Sent, Uid, check_meant, holds, number_on_disk};
use crate::classic::dialogue::Typed;
use crate::classic::session;
use crate::disk::Disk;
use crate::link::{LinkId, SECOND, Time};

/// A call lasts no longer than this, as long as the server goes on.
const CALL_WITHIN: Time = 2 * SECOND;

#[derive(Default)]
pub struct Classics {
    /// Whose sends are never answered.
    unanswered: BTreeSet<Uid>,
    /// What was typed in which log-in, and at which port the client listens.
    typed: BTreeMap<LinkId, (Vec<Typed>, u16)>,
    /// What log-ins said came in pieces that were too far apart.
    pub garbled: BTreeSet<LinkId>,
    /// In whose name something was posted.
    posts: BTreeMap<LinkId, UserName>,
    calls: BTreeMap<LinkId, CallRecord>,
    /// By which call a message was shown.
    shown_by: BTreeMap<(Uid, usize), LinkId>,
    /// Up to where the hub knows that everything was shown.
    pub(super) sure: BTreeMap<Uid, Number>,
    restarts: u32,
    /// On whose screen texts come in parts, and where those begin that have come, or that come next.
    parts: BTreeMap<Uid, BTreeMap<usize, BTreeSet<usize>>>,
    /// To whom a part may be missing, since what acknowledged another counted for it.
    pub(super) lost_parts: BTreeSet<Uid>,
    streams: BTreeMap<Uid, Stream>,
    nicknames: BTreeSet<UserName>,
    /// On which connection is which guest.
    pub guests: BTreeMap<LinkId, Uid>,
    questions: Vec<PlainQuestion>,
    yeses: Vec<PlainYes>,
    pub shown_by_calls: u64,
    pub shown_to_guests: u64,
    pub shown_in_sessions: u64,
    pub shown_by_datagrams: u64,
    pub shown_again: u64,
}

/// The server has called somebody.
#[derive(Clone, Copy, Debug)]
struct CallRecord {
    dialled: Time,
    /// When the session began that it is for.
    session_since: Time,
    /// What was known to have been shown before.
    sure: Number,
    restarts: u32,
    /// When the client's end of file was there.
    ended: Option<Time>,
    is_broken: bool,
}

/// What a guest says on one connection: the server takes consecutive pieces of it for texts.
#[derive(Debug)]
struct Stream {
    user: UserName,
    prefix: String,
    said: String,
    /// Where a text may begin or end.
    cuts: BTreeSet<usize>,
    taken: usize,
}

/// Somebody who is called asks for the address of somebody who is.
#[derive(Debug)]
struct PlainQuestion {
    from: UserName,
    to: UserName,
    asked: Time,
}

#[derive(Debug)]
struct PlainYes {
    of: UserName,
    to: UserName,
    asked: Time,
    address: SocketAddr,
}

/// How something has come to somebody's screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Call(LinkId),
    /// On the connection of a guest.
    Guest,
    Session(LinkId),
    Datagram,
}

impl Way {
    fn link(self) -> Option<LinkId> {
        match self {
            Way::Call(link) | Way::Session(link) => Some(link),
            Way::Guest | Way::Datagram => None,
        }
    }
}

/// A text, or a part of one, on somebody's screen.
pub struct Told<'a> {
    pub uid: Uid,
    pub way: Way,
    pub from: &'a str,
    pub text: &'a str,
    /// Whether the client says to whom it is.
    pub private: Option<bool>,
}

impl Classics {
    pub fn is_unanswered(&self, uid: Uid) -> bool {
        self.unanswered.contains(&uid)
    }

    pub fn is_nickname(&self, name: &UserName) -> bool {
        self.nicknames.contains(name)
    }

    /// What the server knows is what is on the disk.
    pub(super) fn restarted(&mut self, devices: &BTreeMap<Uid, Device>, disk: &Disk) {
        self.restarts += 1;
        for (uid, sure) in &mut self.sure {
            let cursor = devices.get(uid).and_then(|device| disk.fold.cursor(&device.user, device.id));
            *sure = (*sure).min(cursor.unwrap_or_default());
        }
    }

    /// Whether the server could not know that this call had brought what it was for.
    fn is_doubtful(&self, call: &CallRecord, next: &CallRecord) -> bool {
        let in_time = call.ended.is_some_and(|at| at < call.dialled + CALL_WITHIN);
        call.is_broken || !in_time || call.restarts != next.restarts || call.session_since != next.session_since
    }
}

impl Ledger {
    /// A user's client that is called, or a guest for as long as one connection lasts.
    pub fn add_classic(&mut self, uid: Uid, user: UserName, id: DeviceId) {
        self.add_device(uid, user.clone(), id);
        self.classics.unanswered.insert(uid);
        if id == DeviceId::NICK {
            let prefix = format!("{user}: ");
            self.classics.streams.insert(uid, Stream { user, prefix, said: String::new(), cuts: [0].into(), taken: 0 });
        }
    }

    /// Guests come under this name.
    pub fn add_nickname(&mut self, name: UserName) {
        self.classics.nicknames.insert(name);
    }

    /// The server has let a guest in.
    pub fn guest_entered(&mut self, now: Time, link: LinkId, user: &UserName) {
        let uid = self.classics.guests.get(&link).copied();
        let is_named = |device: &Device| device.user == *user && device.id != DeviceId::NICK;
        if self.devices.values().any(is_named) {
            self.broken(&format!("14: a guest has the name of an account, {user:?}"));
        }
        self.end_blocks_of_guest(user);
        if let Some(device) = uid.and_then(|uid| self.devices.get_mut(&uid)) {
            (device.known_since, device.session_since) = (Some(now), now);
        }
    }

    /// A guest has gone, and nothing is owed to them.
    pub fn guest_left(&mut self, uid: Uid) {
        if let Some(device) = self.devices.remove(&uid) {
            self.end_blocks_of_guest(&device.user);
        }
        self.classics.parts.remove(&uid);
    }

    /// Whether a guest has said this who is not here any more; another may have the name.
    pub(super) fn is_of_guest_gone(&self, sent: &Sent) -> bool {
        self.classics.is_nickname(&sent.from) && !self.devices.contains_key(&sent.sender)
    }

    /// Whoever was blocked under this name has gone, and whoever comes is another.
    fn end_blocks_of_guest(&mut self, user: &UserName) {
        for (_, asked) in self.blocks.iter_mut().filter(|((_, other), _)| other == user) {
            asked.iter_mut().for_each(|one| one.of_another |= one.answered.is_some());
        }
    }

    /// A guest says this, in pieces that end there. Texts may also end at each newline.
    pub fn guest_said(&mut self, uid: Uid, chunk: &str, cuts: impl IntoIterator<Item = usize>) {
        let Some(stream) = self.classics.streams.get_mut(&uid) else { return };
        let begin = stream.said.len();
        stream.said.push_str(chunk);
        stream.cuts.extend(cuts.into_iter().map(|cut| begin + cut));
        stream.cuts.insert(stream.said.len());
        stream.cuts.extend(chunk.match_indices('\n').map(|(at, _)| begin + at));
    }

    /// A message that the hub took, if a guest has said that. Comes back: its name here.
    pub(super) fn said_by_guest(&mut self, now: Time, message: &Message) -> Option<usize> {
        let Sender::User(_, user) = &message.from else { return None };
        if message.to != Recipient::Everyone {
            return None;
        }
        let text = message.text.as_str();
        let mut streams = self.classics.streams.iter_mut().filter(|(_, stream)| stream.user == *user);
        let uid = streams.find_map(|(uid, stream)| stream.take(text).then_some(*uid))?;
        let name = self.asked(now, uid, user, None, text.to_owned());
        self.by_text.extend(renderings(text).map(|rendered| (rendered, name)));
        Some(name)
    }

    pub fn log_in_typed(&mut self, link: LinkId, typed: Vec<Typed>, port: u16) {
        self.classics.typed.insert(link, (typed, port));
    }

    /// The hub is asked to let somebody in by their password. `None`: it can't be one.
    pub fn word_told(&mut self, link: LinkId, name: &UserName, word: Option<&str>, port: u16) {
        let typed = self.classics.typed.get(&link);
        let is_it = |typed: &Typed| typed.name == name.as_str() && word == Some(&typed.password);
        let is_told = typed.is_some_and(|(typed, at)| *at == port && typed.iter().any(is_it));
        if !is_told && !self.classics.garbled.contains(&link) {
            self.broken(&format!("13: the hub is told of a log-in of {name:?} that nobody typed"));
        }
    }

    fn called_client(&self, user: &UserName) -> Option<Uid> {
        self.classic_client(user, DeviceId::REQUEST)
    }

    pub(super) fn classic_client(&self, user: &UserName, id: DeviceId) -> Option<Uid> {
        let is_it = |(_, device): &(&Uid, &Device)| device.user == *user && device.id == id;
        self.devices.iter().find(is_it).map(|(uid, _)| *uid)
    }

    /// A client says something of this user on a connection of its own.
    pub fn posted(&mut self, link: LinkId, user: &UserName) {
        self.classics.posts.insert(link, user.clone());
    }

    pub fn posts_of(&self, user: &UserName) -> impl Iterator<Item = LinkId> {
        self.classics.posts.iter().filter(move |(_, of)| *of == user).map(|(link, _)| *link)
    }

    pub fn dialled(&mut self, now: Time, link: LinkId, user: &UserName, session_since: Time) {
        let Some(uid) = self.called_client(user) else { return };
        let sure = self.classics.sure.get(&uid).copied().unwrap_or_default();
        let restarts = self.classics.restarts;
        let record = CallRecord { dialled: now, session_since, sure, restarts, ended: None, is_broken: false };
        self.classics.calls.insert(link, record);
    }

    /// The client's end of file is there.
    pub fn call_ended(&mut self, now: Time, link: LinkId) {
        if let Some(call) = self.classics.calls.get_mut(&link) {
            call.ended = Some(now);
        }
    }

    pub fn call_broke(&mut self, link: LinkId) {
        if let Some(call) = self.classics.calls.get_mut(&link) {
            call.is_broken = true;
        }
    }

    /// The hub is told that everything up to there was shown on this client.
    pub fn surely_shown(&mut self, user: &UserName, id: DeviceId, number: Number) {
        let Some(uid) = self.classic_client(user, id) else { return };
        let sure = self.classics.sure.entry(uid).or_default();
        *sure = (*sure).max(number);
    }

    /// A text stands on somebody's screen, or a part of one. Comes back: its name, if it ends there.
    pub fn told(&mut self, told: &Told<'_>, disk: &Disk) -> Option<usize> {
        let name = self.recognise(told)?;
        if let Err(law) = self.check_told(name, told, disk) {
            self.broken(&law);
        }
        Some(name)
    }

    /// Which message it is, once it is whole.
    fn recognise(&mut self, told: &Told<'_>) -> Option<usize> {
        let Told { uid, text, .. } = *told;
        let begun = self.classics.parts.get(&uid).into_iter().flatten();
        let begun = begun.flat_map(|(name, places)| places.iter().rev().map(|&at| (*name, at)));
        let begins = || text.split_once(": ").and_then(|(name, _)| name.parse().ok()).map(|name: usize| (name, 0));
        let whole = self.by_text.get(text).map(|&name| (name, 0));
        let fits = |&(name, at): &(usize, usize)| {
            let rendered = self.sent.get(name).map(|sent| renderings(&sent.text)).unwrap_or_default();
            let whole =
                rendered.into_iter().find(|whole| whole.get(at..).is_some_and(|rest| rest.starts_with(text)))?;
            Some((name, at, whole.len() == at + text.len()))
        };
        let places = whole.into_iter().chain(begun).chain(begins());
        // What was said in one breath may be long, and has no name in it, or another's.
        let any = (0..self.sent.len()).rev().filter(|&name| may_begin(&self.sent[name].text, text));
        let any = any.map(|name| (name, 0));
        let mut all = places.chain(any).filter_map(|place| fits(&place));
        let Some((name, at, is_all)) = all.next() else {
            let is_rest = |sent: &Sent| sent.text.contains(text);
            if !(self.classics.lost_parts.contains(&uid) && self.sent.iter().any(is_rest)) {
                self.broken(&format!("3: nobody sent {text:?}, as shown to {uid}"));
            }
            return None;
        };
        if is_all {
            return Some(name);
        }
        // It may be a part of several, and what has failed brings the same part again.
        let mut others: Vec<(usize, usize, bool)> = all.collect();
        if let Some((name, ..)) = others.iter().find(|(.., is_all)| *is_all) {
            return Some(*name);
        }
        others.push((name, at, false));
        let parts = self.classics.parts.entry(uid).or_default();
        for (name, at, _) in others {
            parts.entry(name).or_default().extend([at, at + text.len()]);
        }
        None
    }

    fn check_told(&mut self, name: usize, told: &Told<'_>, disk: &Disk) -> Result<(), String> {
        let uid = told.uid;
        let call = told.way.link().and_then(|link| self.classics.calls.get(&link).copied());
        let sent = &self.sent[name];
        let text = &sent.text;
        let Some(device) = self.devices.get(&uid) else { return Ok(()) };
        let Some(number) = number_on_disk(sent, disk) else {
            return Err(format!("1: {text:?} was shown and is not on the disk"));
        };
        if told.from != sent.from.as_str() {
            return Err(format!("3: {text:?} was shown as from {:?}", told.from));
        }
        if told.private.is_some_and(|private| private != sent.to.is_some()) {
            return Err(format!("6: {text:?} for {:?} was shown as for others", sent.to));
        }
        if let Some(Err(code)) = &sent.answer {
            return Err(format!("3: {text:?} was answered with {code} and shown all the same"));
        }
        check_meant(sent, device, number)?;
        self.check_block(name, device, call.map_or(device.session_since, |call| call.session_since))?;
        if sent.shown.contains_key(&uid) {
            return self.check_again(name, uid, number, told.way);
        }
        // What a block has held back comes late, if it ends.
        let was_blocked = self.blocks.contains_key(&(device.user.clone(), sent.from.clone()));
        let sender = sent.sender;
        let last = device.orders.get(&sender).copied().unwrap_or(0);
        // What counted as shown before it was comes when it comes.
        let was_excused = told.way == Way::Datagram && self.correspondents.is_excused(number, &device.user);
        if number.0 <= last && !was_blocked && !was_excused {
            return Err(format!("4: {text:?} was shown after a later one of the same sender"));
        }
        self.sent[name].shown.insert(uid, number);
        if let Some(device) = self.devices.get_mut(&uid) {
            device.orders.insert(sender, number.0.max(last));
        }
        if let Some(link) = told.way.link() {
            self.classics.shown_by.insert((uid, name), link);
        }
        match told.way {
            Way::Call(_) => self.classics.shown_by_calls += 1,
            Way::Guest => self.classics.shown_to_guests += 1,
            Way::Session(_) => self.classics.shown_in_sessions += 1,
            Way::Datagram => self.classics.shown_by_datagrams += 1,
        }
        Ok(())
    }

    /// Law 5, for what the server has sent on its way in a session that began at `since`.
    fn check_block(&self, name: usize, device: &Device, since: Time) -> Result<(), String> {
        let sent = &self.sent[name];
        let asked = self.blocks.get(&(device.user.clone(), sent.from.clone()));
        match asked.and_then(|asked| holds(asked)) {
            _ if self.is_of_guest_gone(sent) => Ok(()),
            Some((blocked, _)) if sent.asked >= blocked || since >= blocked => {
                Err(format!("5: {:?} was shown to {:?}, who had blocked the sender", sent.text, device.user))
            }
            _ => Ok(()),
        }
    }

    /// Law 2 for these clients: possibly twice, where the server could not know.
    fn check_again(&mut self, name: usize, uid: Uid, number: Number, way: Way) -> Result<(), String> {
        let sent = &self.sent[name];
        let text = &sent.text;
        // The hub has gone back to what is on the disk, and says it again from there; or it was told it twice.
        if self.commits_failed || sent.is_copied() {
            self.classics.shown_again += 1;
            return Ok(());
        }
        let earlier = self.classics.shown_by.get(&(uid, name)).copied();
        let is_known = match way {
            Way::Guest => return Err(format!("2: {text:?} was shown to a guest again")),
            // Whether it was sent again too early is seen where it is sent.
            Way::Datagram => false,
            Way::Session(link) if earlier == Some(link) => {
                return Err(format!("2: {text:?} was shown again in the same session"));
            }
            Way::Session(link) => self.sessions.sure(link).is_some_and(|sure| number <= sure),
            Way::Call(link) => self.classics.calls.get(&link).is_some_and(|call| number <= call.sure),
        };
        if is_known {
            return Err(format!("2: {text:?} was shown again, though the server knew that it had been"));
        }
        if let Way::Call(link) = way
            && let Some(call) = self.classics.calls.get(&link)
        {
            let earlier = earlier.and_then(|link| self.classics.calls.get(&link));
            let doubtful = earlier.is_none_or(|earlier| match earlier.dialled <= call.dialled {
                true => self.classics.is_doubtful(earlier, call),
                // It was read late.
                false => self.classics.is_doubtful(call, earlier),
            });
            if !doubtful {
                return Err(format!("2: {text:?} was shown again, though its first call had come to its end"));
            }
        }
        self.classics.shown_again += 1;
        Ok(())
    }

    pub fn plain_question(&mut self, asked: Time, from: &UserName, to: &UserName) {
        self.classics.questions.push(PlainQuestion { from: from.clone(), to: to.clone(), asked });
    }

    /// Somebody is asked by a call.
    pub fn plain_question_told(&mut self, at: &UserName, from: &str) {
        let is_it = |question: &&PlainQuestion| question.from.as_str() == from && question.to == *at;
        let Some(asked) = self.classics.questions.iter().rfind(is_it).map(|question| question.asked) else {
            return self.broken(&format!("9: {at:?} was told of a question that {from:?} has not asked"));
        };
        let Ok(from) = UserName::parse(from) else { return };
        if self.blocks_since_before(at, &from, asked) || self.blocks_since_before(&from, at, asked) {
            self.broken(&format!("5: {from:?} has asked {at:?} for the address, though one blocks the other"));
        }
    }

    /// Somebody who is called says yes.
    pub fn plain_yes(&mut self, asked: Time, by: Uid, of: &UserName, to: &UserName, address: SocketAddr) {
        self.yes_said(asked, by, of, to, Offer::WhereCalled);
        self.classics.yeses.push(PlainYes { of: of.clone(), to: to.clone(), asked, address });
    }

    /// Somebody who has asked learns the address.
    pub fn plain_address_told(&mut self, to: &UserName, of: &str, address: (IpAddr, u16)) {
        let is_it = |yes: &&PlainYes| yes.of.as_str() == of && yes.to == *to;
        let place = |yes: &PlainYes| (yes.address.ip(), yes.address.port());
        let yeses = || self.classics.yeses.iter().filter(is_it);
        // Another client of theirs may have come to the same machine just before the yes.
        let listens = |(typed, port): &(Vec<Typed>, u16)| *port == address.1 && typed.iter().any(|one| one.name == of);
        let is_anew = self.classics.typed.values().any(listens);
        let is_there = |yes: &PlainYes| place(yes) == address || is_anew && yes.address.ip() == address.0;
        let Some(yes) = yeses().rfind(|yes| is_there(yes)) else {
            let law = match yeses().next() {
                Some(_) => "was told another address than that of",
                None => "was told an address without a yes of",
            };
            return self.broken(&format!("9: {to:?} {law} {of:?}"));
        };
        let (of, asked) = (yes.of.clone(), yes.asked);
        if self.blocks_since_before(&of, to, asked) || self.blocks_since_before(to, &of, asked) {
            self.broken(&format!("9: addresses of {of:?} and {to:?} were told, though one blocks the other"));
        }
    }

    /// Somebody who is called is told that somebody is blocked, or is no longer, or was not.
    pub fn block_told(&mut self, now: Time, uid: Uid, other: &str, block: bool, disk: &Disk) {
        let Some(user) = self.devices.get(&uid).map(|device| device.user.clone()) else { return };
        let Ok(other) = UserName::parse(other) else { return };
        let open = self.blocks.get(&(user.clone(), other.clone())).and_then(|asked| {
            asked.iter().position(|one| one.by == uid && one.block == block && one.answered.is_none())
        });
        if let Some(index) = open {
            self.block_answered(now, &user, &other, index, true, disk);
        }
    }
}

impl Stream {
    /// Whether this text stands there, behind the last one that was taken: then so does it count as taken.
    fn take(&mut self, text: &str) -> bool {
        let begins: Vec<usize> = self.cuts.range(self.taken..).copied().collect();
        for begin in begins {
            let rest = &self.said[begin..];
            let rest = rest.strip_prefix('\n').unwrap_or(rest);
            let rest = rest.strip_prefix(&self.prefix).unwrap_or(rest);
            let end = self.said.len() - rest.len() + text.len();
            if rest.starts_with(text) && self.cuts.contains(&end) {
                self.taken = end;
                return true;
            }
        }
        false
    }
}

/// Whether a text may stand on a screen with this beginning: what renderings leave alone is compared.
fn may_begin(text: &str, shown: &str) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let both = text.bytes().zip(shown.bytes()).take_while(|(one, other)| is_plain(one) && is_plain(other));
    both.take(4).all(|(one, other)| one == other)
}

/// As a text may stand on a screen: with what is not ASCII as it is, or written out; or with words broken.
fn renderings(text: &str) -> [String; 3] {
    let escape = |c: char| match c.is_ascii() {
        true => c.to_string(),
        false => c.escape_unicode().to_string(),
    };
    [text.to_owned(), text.chars().map(escape).collect(), session::rendered(text)]
}
