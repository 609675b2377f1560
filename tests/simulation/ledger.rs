//! What was sent, answered and shown, as the people saw it, and the laws that it must keep.

mod classics;
mod consents;
mod correspondents;
mod log_ons;
mod sessions;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use chatd::hub::effect::LogInFailure;
use chatd::hub::id::{DeviceId, Number, Source};
use chatd::hub::lockout::{FORGOTTEN_AFTER, SOURCE_TRIES};
use chatd::hub::message::Message;
use chatd::hub::name::UserName;
use chatd::hub::time::WallTime;
use chatd::wire::native::client::{Heard, Party, Problem};

use classics::Classics;
pub use classics::{Told, Way};
use consents::Consents;
use correspondents::Correspondents;
pub use correspondents::Evidence;
use log_ons::LogOns;
pub use log_ons::Responded;
use sessions::Sessions;

use crate::disk::Disk;
use crate::link::{LinkId, Time};

/// As many messages may wait for somebody.
const QUEUE_MESSAGES_MAX: usize = 1000;

/// Who sends or is shown something: a run of a client, or a device through all its runs.
pub type Uid = usize;

/// A message from its sender's view.
#[derive(Debug)]
pub struct Sent {
    pub text: String,
    pub from: UserName,
    pub sender: Uid,
    /// The sender's own order.
    pub order: u64,
    pub to: Option<UserName>,
    pub asked: Time,
    pub answer: Option<Result<Number, String>>,
    /// Each time that the hub took it, whether it was stored or not. Of two under one number the first was lost.
    accepted: Vec<Accepted>,
    copied: bool,
    shown: BTreeMap<Uid, Number>,
}

/// The hub took a message, while these were there.
#[derive(Debug)]
struct Accepted {
    number: Number,
    at: Time,
    here: BTreeSet<(UserName, DeviceId)>,
}

impl Sent {
    /// Whether the network has brought it twice, and so the hub took it twice.
    fn is_copied(&self) -> bool {
        self.copied
    }

    /// Whether somebody was shown what has this number.
    fn is_shown_as(&self, number: Number) -> bool {
        let is_copy = self.copied && self.accepted_as(number).is_some() && !self.shown.is_empty();
        is_copy || self.shown.values().any(|shown| *shown == number)
    }

    fn accepted_as(&self, number: Number) -> Option<&Accepted> {
        self.accepted.iter().rfind(|accepted| accepted.number == number)
    }
}

/// A device of somebody's.
#[derive(Debug)]
pub struct Device {
    pub user: UserName,
    pub id: DeviceId,
    /// When its first log-in was confirmed.
    pub known_since: Option<Time>,
    /// When the connection was made on which it is logged in.
    pub session_since: Time,
    /// When the server let it in, whether the client learnt that or not.
    log_ins: Vec<Time>,
    orders: BTreeMap<Uid, u64>,
    last_shown: Number,
}

/// Somebody asked to block or to unblock somebody.
#[derive(Debug)]
struct BlockAsked {
    block: bool,
    by: Uid,
    asked: Time,
    /// When the answer came, and whether it was yes.
    answered: Option<(Time, bool)>,
    /// It was about a guest who has gone.
    of_another: bool,
}

/// Where a name stands from one source, in a reference of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tries {
    failures: u32,
    until: Option<Time>,
    /// The same by the wall clock, which is all that a restart has to go by.
    wall_until: Option<WallTime>,
    last: WallTime,
}

type TriesKey = (String, String);

/// Somebody tries to log in.
#[derive(Clone, Copy)]
pub struct Tried<'a> {
    /// `None`: by a datagram.
    pub link: Option<LinkId>,
    pub user: &'a UserName,
    pub source: Source,
    /// Whether the password is, where the hub was told it; `None`: that is known of the link.
    pub right: Option<bool>,
}

pub struct Ledger {
    pub sent: Vec<Sent>,
    by_text: HashMap<String, usize>,
    pub devices: BTreeMap<Uid, Device>,
    blocks: BTreeMap<(UserName, UserName), Vec<BlockAsked>>,
    pub consents: Consents,
    pub classics: Classics,
    pub log_ons: LogOns,
    pub sessions: Sessions,
    pub correspondents: Correspondents,
    /// Which links bring a wrong password.
    pub wrong: BTreeSet<LinkId>,
    /// The resume tokens that links bring, and those that have served.
    pub tokens: BTreeMap<LinkId, [u8; 32]>,
    tokens_used: BTreeSet<[u8; 32]>,
    tries_max: u32,
    lockout: Time,
    tries: BTreeMap<TriesKey, Tries>,
    tries_kept: BTreeMap<TriesKey, Tries>,
    tries_in_flight: Vec<(u64, TriesKey, Tries)>,
    failures_of: BTreeMap<String, u32>,
    failures_from: BTreeMap<IpAddr, usize>,
    restarted: bool,
    /// Messages may expire at a restart.
    pub expiry: Option<Time>,
    pub commits_failed: bool,
    pub shut_down: bool,
    /// There is a bound to how fast somebody may send.
    pub limited: bool,
    pub shown_count: u64,
    pub refused: BTreeMap<String, u32>,
    verdict: Option<String>,
}

impl Ledger {
    pub fn new(tries_max: u32, lockout: Time) -> Ledger {
        Ledger {
            sent: Vec::new(),
            by_text: HashMap::new(),
            devices: BTreeMap::new(),
            blocks: BTreeMap::new(),
            consents: Consents::default(),
            classics: Classics::default(),
            log_ons: LogOns::default(),
            sessions: Sessions::default(),
            correspondents: Correspondents::default(),
            wrong: BTreeSet::new(),
            tokens: BTreeMap::new(),
            tokens_used: BTreeSet::new(),
            tries_max,
            lockout,
            tries: BTreeMap::new(),
            tries_kept: BTreeMap::new(),
            tries_in_flight: Vec::new(),
            failures_of: BTreeMap::new(),
            failures_from: BTreeMap::new(),
            restarted: false,
            expiry: None,
            commits_failed: false,
            shut_down: false,
            limited: false,
            shown_count: 0,
            refused: BTreeMap::new(),
            verdict: None,
        }
    }

    /// A law was broken; the first one counts.
    pub fn broken(&mut self, law: &str) {
        self.verdict.get_or_insert_with(|| law.to_owned());
    }

    pub fn verdict(&self) -> Option<&String> {
        self.verdict.as_ref()
    }

    pub fn add_device(&mut self, uid: Uid, user: UserName, id: DeviceId) {
        let device = Device {
            user,
            id,
            known_since: None,
            session_since: 0,
            log_ins: Vec::new(),
            orders: BTreeMap::new(),
            last_shown: Number(0),
        };
        self.devices.insert(uid, device);
    }

    /// A client is logged in. What a server has said that is gone since, the next one may not know.
    pub fn logged_in(
        &mut self,
        now: Time,
        uid: Uid,
        since: Time,
        link: Option<LinkId>,
        told_by_the_dead: bool,
        disk: &Disk,
    ) {
        let link = link.filter(|link| !self.wrong.contains(link));
        self.tokens_used.extend(link.and_then(|link| self.tokens.get(&link)));
        if let Some(device) = self.devices.get_mut(&uid) {
            if !told_by_the_dead || disk.fold.has_device(&device.user, device.id) {
                device.known_since.get_or_insert(now);
            }
            device.session_since = since;
        }
    }

    /// The server has let somebody in.
    pub fn let_in(&mut self, now: Time, user: &UserName, device: Option<DeviceId>) {
        let is_it = |known: &&mut Device| Some(known.id) == device && known.user == *user;
        if let Some(device) = self.devices.values_mut().find(is_it) {
            device.log_ins.push(now);
        }
    }

    /// Somebody sends something. Comes back: its name here.
    pub fn asked(&mut self, now: Time, sender: Uid, from: &UserName, to: Option<&UserName>, text: String) -> usize {
        let name = self.sent.len();
        self.by_text.insert(text.clone(), name);
        self.sent.push(Sent {
            text,
            from: from.clone(),
            sender,
            order: name as u64,
            to: to.cloned(),
            asked: now,
            answer: None,
            accepted: Vec::new(),
            copied: false,
            shown: BTreeMap::new(),
        });
        name
    }

    pub fn answered(&mut self, name: usize, answer: Result<Number, Problem>, disk: &Disk) {
        let sent = &mut self.sent[name];
        match &answer {
            Ok(number) if !disk.has(*number, &sent.text) => {
                let law = format!("1: {:?} was acknowledged as {number:?} and is not on the disk", sent.text);
                return self.broken(&law);
            }
            Ok(_) => {
                let asked = sent.to.as_ref().and_then(|to| self.blocks.get(&(to.clone(), sent.from.clone())));
                if asked.and_then(|asked| holds(asked)).is_some_and(|(since, _)| since <= sent.asked) {
                    let law = format!("5: {:?} was accepted, though its recipient had blocked the sender", sent.text);
                    return self.broken(&law);
                }
            }
            Err(problem) => {
                *self.refused.entry(problem.code.clone()).or_default() += 1;
                let may = match &*problem.code {
                    "not-stored" => self.commits_failed,
                    "blocked" => sent.to.as_ref().is_some_and(|to| {
                        let asked = self.blocks.get(&(to.clone(), sent.from.clone()));
                        asked.is_some_and(|list| list.iter().any(|asked| asked.block))
                    }),
                    "queue-full" => true,
                    // A guest may have gone.
                    "no-such-user" => sent.to.as_ref().is_some_and(|to| self.classics.is_nickname(to)),
                    "too-fast" => self.limited,
                    "shutting-down" => self.shut_down,
                    // What was refused is not remembered over a restart, nor what was lost, and later ones were taken since.
                    "counter-too-old" => self.restarted || self.commits_failed,
                    _ => false,
                };
                if !may {
                    let law = format!("an honest send was answered with: {} {}", problem.code, problem.text);
                    return self.broken(&law);
                }
            }
        }
        if answer.is_ok() && self.waits_for(name) > QUEUE_MESSAGES_MAX {
            return self.broken("10: more waits for somebody than may");
        }
        let sent = &mut self.sent[name];
        let answer = answer.map_err(|problem| problem.code);
        if let (Err(code), false) = (&answer, sent.shown.is_empty()) {
            let law = format!("3: {:?} was shown and then answered with {code}", sent.text);
            return self.broken(&law);
        }
        sent.answer = Some(answer);
    }

    /// How many messages were accepted for the same recipient and shown nowhere, as far as this can be said.
    fn waits_for(&self, name: usize) -> usize {
        let to = &self.sent[name].to;
        if to.is_none() || self.sent.len() < QUEUE_MESSAGES_MAX || !self.blocks.is_empty() || self.expiry.is_some() {
            return 0;
        }
        let waits = |sent: &&Sent| sent.to == *to && sent.shown.is_empty() && matches!(sent.answer, Some(Ok(_)));
        self.sent.iter().filter(waits).count()
    }

    /// The hub took a message.
    pub fn accepted<'a>(
        &mut self,
        at: Time,
        message: &Message,
        here: impl Iterator<Item = &'a (UserName, Option<DeviceId>)>,
    ) {
        let known = self.by_text.get(message.text.as_str()).copied();
        let known = known.or_else(|| self.said_by_guest(at, message));
        let Some(name) = known.or_else(|| self.read_as_one(at, message)) else {
            if message.sender().is_some() {
                self.broken(&format!("3: the hub accepted what nobody sent: {:?}", message.text));
            }
            return;
        };
        let here = here.filter_map(|(user, device)| Some((user.clone(), (*device)?))).collect();
        self.note_peer(name, message);
        self.note_copy(name);
        let sent = &mut self.sent[name];
        sent.accepted.push(Accepted { number: message.number, at, here });
        if self.classics.is_unanswered(sent.sender) {
            // Their connections may overtake each other.
            sent.order = message.number.0;
        }
    }

    /// A device, or a session without one, is shown a message.
    pub fn shown(&mut self, now: Time, uid: Uid, heard: &Heard, disk: &Disk) {
        if let Err(law) = self.check_shown(now, uid, heard, disk) {
            self.broken(&law);
        }
    }

    fn check_shown(&mut self, now: Time, uid: Uid, heard: &Heard, disk: &Disk) -> Result<(), String> {
        let _ = now;
        self.shown_count += 1;
        let Heard { number, from, to, text, .. } = heard;
        let of_guest_gone = self.by_text.get(text).is_some_and(|&name| self.is_of_guest_gone(&self.sent[name]));
        let Some(device) = self.devices.get_mut(&uid) else {
            return Err(format!("6: {text:?} was told to a session without a device"));
        };
        if *number <= device.last_shown {
            return Err(format!("2: {number:?} was shown after {:?}", device.last_shown));
        }
        device.last_shown = *number;
        if !disk.has(*number, text) {
            return Err(format!("1: {text:?} was shown as {number:?} and is not on the disk"));
        }
        if *from == Party::Server {
            return Ok(());
        }
        let Some(&name) = self.by_text.get(text) else {
            return Err(format!("3: nobody sent {text:?}"));
        };
        let sent = &mut self.sent[name];
        if *from != Party::User(sent.from.clone()) {
            return Err(format!("3: {text:?} was shown as from {from:?}"));
        }
        if let Some(Err(code)) = &sent.answer {
            return Err(format!("3: {text:?} was answered with {code} and shown all the same"));
        }
        if let Some(before) = sent.shown.insert(uid, *number).filter(|before| !sent.copied || before == number) {
            return Err(format!("2: {text:?} was shown as {before:?} and as {number:?}"));
        }
        if sent.to.is_some() != (*to == Party::You) {
            return Err(format!("6: {text:?} for {:?} was shown as for {to:?}", sent.to));
        }
        check_meant(sent, device, *number)?;
        let order = device.orders.entry(sent.sender).or_insert(0);
        let own = if self.classics.is_unanswered(sent.sender) { number.0 } else { sent.order };
        if own < *order {
            return Err(format!("4: {text:?} was shown after a later one of the same sender"));
        }
        *order = own;
        let asked = self.blocks.get(&(device.user.clone(), sent.from.clone()));
        if let Some((since, by)) = asked.and_then(|asked| holds(asked))
            && (sent.asked >= since || device.session_since >= since || by == uid)
            && !of_guest_gone
        {
            return Err(format!("5: {text:?} was shown to {:?}, who had blocked the sender", device.user));
        }
        Ok(())
    }

    pub fn block_asked(&mut self, now: Time, by: Uid, user: &UserName, other: &UserName, block: bool) -> usize {
        let list = self.blocks.entry((user.clone(), other.clone())).or_default();
        list.push(BlockAsked { block, by, asked: now, answered: None, of_another: false });
        list.len() - 1
    }

    pub fn block_answered(
        &mut self,
        now: Time,
        user: &UserName,
        other: &UserName,
        index: usize,
        yes: bool,
        disk: &Disk,
    ) {
        let Some(list) = self.blocks.get_mut(&(user.clone(), other.clone())) else { return };
        let device = self.devices.get(&list[index].by);
        if !yes && device.is_some_and(|device| device.session_since > list[index].asked) {
            // A copy may be refused with what is lost beside it, though the first was done.
            return;
        }
        if self.classics.is_nickname(other) && !is_same_guest(&self.devices, other, list[index].asked) {
            // It may be another guest who was blocked.
            return;
        }
        list[index].answered = Some((now, yes));
        let (block, asked) = (list[index].block, list[index].asked);
        // Only if nobody meant to change it meanwhile.
        let alone = list.iter().enumerate().all(|(place, one)| {
            place == index
                || (one.asked < asked && one.answered.is_some_and(|(at, _)| at < asked))
                || one.block == block
        });
        let stored = disk
            .fold
            .blocks
            .keys()
            .any(|(by, whom)| disk.fold.name(*by) == Some(user) && disk.fold.name(*whom) == Some(other));
        let block = block && !self.classics.is_nickname(other);
        if yes && alone && stored != block {
            self.broken(&format!(
                "5: {user:?} was told that {other:?} is blocked: {block}, and the disk says {stored}"
            ));
        }
    }

    pub fn delivered(&mut self, number: Number, to: &UserName) {
        if self.classics.is_nickname(to) {
            // Their machine has it.
            return;
        }
        let shown = self.sent.iter().any(|sent| sent.to.as_ref() == Some(to) && sent.is_shown_as(number));
        if !shown && !self.correspondents.is_excused(number, to) {
            self.broken(&format!("1: {number:?} was reported as delivered to {to:?}, who was not shown it"));
        }
    }

    fn tries_key(user: &UserName, source: Source) -> TriesKey {
        (user.folded(), source.address().to_string())
    }

    /// `None`: it can't be said, since there were too many tries over all sources, or over all names.
    fn locked(&self, now: Time, user: &UserName, source: Source) -> Option<bool> {
        let many = self.failures_of.get(&user.folded()).is_some_and(|&failures| failures >= 29);
        if many || self.failures_from.get(&source.address()).is_some_and(|&failures| failures >= SOURCE_TRIES - 1) {
            return None;
        }
        let until = self.tries.get(&Ledger::tries_key(user, source)).and_then(|tries| tries.until);
        match until {
            Some(until) => Some(now < until),
            None => Some(false),
        }
    }

    fn is_right(&self, tried: Tried<'_>) -> bool {
        tried.right.unwrap_or_else(|| !tried.link.is_some_and(|link| self.wrong.contains(&link)))
    }

    fn note_tries(&mut self, key: TriesKey, tries: Tries, batch: u64) {
        self.tries.insert(key.clone(), tries);
        self.tries_in_flight.push((batch, key, tries));
    }

    pub fn authenticated(&mut self, now: Time, tried: Tried<'_>, password: bool, batch: u64) {
        let Tried { link, user, source, .. } = tried;
        if !password {
            // With its commit, a log-in takes back that the token has served.
            let token = link.and_then(|link| self.tokens.get(&link));
            let used = token.is_none_or(|token| self.tokens_used.contains(token));
            if used && !self.commits_failed {
                self.broken("14: a resume token has served twice");
            }
            return;
        }
        if self.locked(now, user, source) == Some(true) {
            self.broken("7: somebody was let in while locked out");
        }
        if !self.is_right(tried) {
            self.broken("14: a wrong password was right");
        }
        self.note_tries(Ledger::tries_key(user, source), Tries::default(), batch);
    }

    pub fn log_in_failed(&mut self, (now, wall): (Time, WallTime), tried: Tried<'_>, why: LogInFailure, batch: u64) {
        let Tried { user, source, right, .. } = tried;
        if why == LogInFailure::StaleToken {
            return;
        }
        if why == LogInFailure::UnknownName && right.is_some() {
            // Said to be unknown, a name has nothing to be tried.
            *self.failures_from.entry(source.address()).or_default() += 1;
            return;
        }
        let checked = why != LogInFailure::LockedOut;
        if self.locked(now, user, source) == Some(checked) {
            let key = Ledger::tries_key(user, source);
            self.broken(&format!("7: a try was checked: {checked}, at {now}: {key:?} {:?}", self.tries.get(&key)));
        }
        if checked && self.is_right(tried) {
            self.broken(&format!("7: a right password was answered with {why:?}"));
        }
        if !checked {
            // It is written all the same, so that it takes as long.
            let key = Ledger::tries_key(user, source);
            let tries = self.tries.get(&key).copied().unwrap_or_default();
            self.note_tries(key, tries, batch);
        } else {
            *self.failures_of.entry(user.folded()).or_default() += 1;
            *self.failures_from.entry(source.address()).or_default() += 1;
            let key = Ledger::tries_key(user, source);
            let mut tries = self.tries.get(&key).copied().unwrap_or_default();
            if tries.until.is_some_and(|until| until <= now) {
                tries = Tries::default();
            }
            tries.failures += 1;
            tries.last = wall;
            if tries.failures >= self.tries_max && tries.until.is_none() {
                tries.until = Some(now + self.lockout);
                tries.wall_until = Some(wall + Duration::from_micros(self.lockout));
            }
            self.note_tries(key, tries, batch);
        }
    }

    pub fn persisted(&mut self, through: u64) {
        let kept = self.tries_in_flight.iter().filter(|(batch, ..)| *batch <= through);
        kept.for_each(|(_, key, tries)| {
            self.tries_kept.insert(key.clone(), *tries);
        });
        self.tries_in_flight.retain(|(batch, ..)| *batch > through);
    }

    /// Batches from `first` to `last` are lost. Counters of failed log-ins go with the next.
    pub fn lost(&mut self, first: u64, last: u64) {
        self.commits_failed = true;
        let lost = self.tries_in_flight.iter_mut().filter(|(batch, ..)| *batch >= first);
        lost.for_each(|(batch, ..)| *batch = last + 1);
    }

    /// The server has ended, and what was committed is all there is.
    pub fn restarted(&mut self, through: Option<u64>, disk: &Disk) {
        // Log-ins go on without a disk; a device that never got there is new again.
        let is_lost =
            |device: &&mut Device| !disk.fold.has_device(&device.user, device.id) && device.id != DeviceId::NICK;
        for device in self.devices.values_mut().filter(is_lost) {
            device.known_since = None;
        }
        self.persisted(through.unwrap_or(0));
        self.tries_in_flight.clear();
        self.tries = self.tries_kept.clone();
        self.restarted = true;
        self.classics.restarted(&self.devices, disk);
        self.log_ons.restarted();
    }

    /// A server begins with what was committed. A lock lasts for what the wall clock says is left of it, and no longer than
    /// a fresh one.
    pub fn booted(&mut self, now: Time, wall: WallTime) {
        let fresh = Duration::from_micros(self.lockout);
        for (key, tries) in std::mem::take(&mut self.tries) {
            let left = tries.wall_until.map(|until| until.since(wall).min(fresh));
            let last = tries.last.min(wall);
            let forgotten = left.is_none() && wall.since(last) >= FORGOTTEN_AFTER;
            let again = match left {
                _ if forgotten => Tries::default(),
                Some(left) if left.is_zero() => Tries::default(),
                left => Tries {
                    until: left.map(|left| now + left.as_micros() as Time),
                    wall_until: left.map(|left| wall + left),
                    last,
                    ..tries
                },
            };
            // With the server's first changes.
            self.note_tries(key, again, 1);
        }
    }

    /// Whether `other` may have been blocked by `user` at some time after `since`.
    fn may_be_blocked(&self, user: &UserName, other: &UserName, since: Time) -> bool {
        let Some(list) = self.blocks.get(&(user.clone(), other.clone())) else { return false };
        list.iter().any(|one| match (one.block, one.answered) {
            (false, _) | (true, Some((_, false))) => false,
            (true, None) => true,
            (true, Some((done, true))) => {
                // An unblock that was asked for before may have been done before.
                let ends = list.iter().filter(|later| !later.block && later.asked >= done);
                ends.filter_map(|later| later.answered).all(|(at, yes)| !yes || at > since)
            }
        })
    }

    /// Under which number a message is promised to arrive. Who is never answered is promised what is on the disk.
    fn promised(&self, sent: &Sent, disk: &Disk) -> Option<Number> {
        match &sent.answer {
            Some(answer) => answer.as_ref().ok().copied(),
            None if self.classics.is_unanswered(sent.sender) => number_on_disk(sent, disk),
            None => None,
        }
    }

    /// Everything has settled: what was promised must have come about.
    pub fn check_arrivals(&mut self, disk: &Disk) {
        let mut laws = Vec::new();
        for sent in &self.sent {
            let Some(number) = self.promised(sent, disk).filter(|_| self.expiry.is_none()) else { continue };
            let blocked = |user: &UserName| self.may_be_blocked(user, &sent.from, sent.asked);
            match &sent.to {
                Some(to) => {
                    if blocked(to) {
                        continue;
                    }
                    let theirs: Vec<(&Uid, &Device)> =
                        self.devices.iter().filter(|(_, device)| device.user == *to).collect();
                    let excused = self.correspondents.is_excused(number, to);
                    let is_excused = |device: &Device| excused && device.id == DeviceId::DATAGRAM;
                    let mut owed =
                        theirs.iter().filter(|(_, device)| is_owed(sent, number, device) && !is_excused(device));
                    if let Some((uid, _)) = owed.clone().find(|(uid, _)| !sent.shown.contains_key(uid)) {
                        laws.push(format!("1: {number:?} {:?} was not shown on device {uid} of {to:?}", sent.text));
                    }
                    let nobody = owed.next().is_none() && !excused && !theirs.is_empty() && sent.shown.is_empty();
                    let lasts = |device: &Device| device.known_since.is_some() && device.id != DeviceId::NICK;
                    if nobody && theirs.iter().any(|(_, device)| lasts(device)) {
                        laws.push(format!("1: {number:?} {:?} was not shown on any device of {to:?}", sent.text));
                    }
                }
                None => {
                    if sent.accepted_as(number).is_none() {
                        laws.push(format!("3: {number:?} was answered and never accepted"));
                        continue;
                    }
                    for (uid, device) in &self.devices {
                        let excused =
                            device.id == DeviceId::DATAGRAM && self.correspondents.is_excused(number, &device.user);
                        let owed = was_here(sent, number, device) && is_told(sent, device) && !excused;
                        if owed && !blocked(&device.user) && !sent.shown.contains_key(uid) {
                            let user = &device.user;
                            laws.push(format!(
                                "1: {number:?} {:?} was not shown on device {uid} of {user:?}",
                                sent.text
                            ));
                        }
                    }
                }
            }
        }
        if let Some(law) = laws.first() {
            let law = format!("{law} ({} such)", laws.len());
            self.broken(&law);
        }
    }
}

/// What is said to all is not said to whoever says it; a guest's client shows nothing by itself.
fn is_told(sent: &Sent, device: &Device) -> bool {
    device.user != sent.from || device.id == DeviceId::NICK
}

/// Whether a guest of this name has been here since then.
fn is_same_guest(devices: &BTreeMap<Uid, Device>, name: &UserName, then: Time) -> bool {
    let mut guests = devices.values().filter(|device| device.id == DeviceId::NICK && device.user == *name);
    guests.any(|guest| guest.known_since.is_some_and(|since| since < then))
}

fn was_here(sent: &Sent, number: Number, device: &Device) -> bool {
    let Some(accepted) = sent.accepted_as(number) else { return false };
    // A guest of the same name may be another.
    let is_the_same = device.id != DeviceId::NICK || device.known_since.is_some_and(|since| since <= accepted.at);
    is_the_same && accepted.here.contains(&(device.user.clone(), device.id))
}

/// Whether a private message is this device's, too. A client that is called is none of its user's while it is away.
fn is_owed(sent: &Sent, number: Number, device: &Device) -> bool {
    let since = device.known_since.is_some_and(|since| since < sent.asked);
    match device.id {
        DeviceId::NICK => was_here(sent, number, device),
        DeviceId::REQUEST | DeviceId::SESSION | DeviceId::DATAGRAM => since && was_here(sent, number, device),
        _ => since,
    }
}

fn number_on_disk(sent: &Sent, disk: &Disk) -> Option<Number> {
    sent.accepted.iter().rev().map(|accepted| accepted.number).find(|&number| disk.has(number, &sent.text))
}

/// Law 6: a message is shown to whom it was meant for.
fn check_meant(sent: &Sent, device: &Device, number: Number) -> Result<(), String> {
    let text = &sent.text;
    match &sent.to {
        Some(recipient) if *recipient == device.user => Ok(()),
        None if is_told(sent, device) => {
            // Absences beyond the eighth are forgotten, and what was said in them may come after all.
            let since = device.log_ins.iter().filter(|&&at| at > sent.asked).count();
            match was_here(sent, number, device) || since >= 8 {
                true => Ok(()),
                false => Err(format!("6: {:?} was not there for {text:?}", device.user)),
            }
        }
        to => Err(format!("6: {text:?} for {to:?} was shown to {:?}", device.user)),
    }
}

/// Since when a block holds for certain, and who asked for it.
fn holds(asked: &[BlockAsked]) -> Option<(Time, Uid)> {
    let is_done = |one: &BlockAsked| one.block && !one.of_another && one.answered.is_some_and(|(_, yes)| yes);
    let place = asked.iter().rposition(is_done)?;
    let block = &asked[place];
    let doubtful = asked
        .iter()
        .any(|one| !one.block && (one.asked >= block.asked || one.answered.is_none_or(|(at, _)| at >= block.asked)));
    (!doubtful).then_some((block.answered?.0, block.by))
}
