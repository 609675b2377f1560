//! People whose client is called: it logs in by a dialogue, posts each request on a connection of its own, and reads what
//! calls bring, each once.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use chatd::hub::id::DeviceId;
use chatd::hub::name::UserName;

use super::{Happens, World};
use crate::classic::dialogue::{Dialogue, Obeys, Typed};
use crate::classic::screen::{self, Item};
use crate::dice::Dice;
use crate::fired::Fault;
use crate::ledger::{Told, Uid, Way};
use crate::link::{IN_ONE, LinkId, MS, SECOND, Time};
use crate::person::password;

/// What the client reads of a call, in bytes.
const READ_BYTES_MAX: usize = 4096;
/// What one call brings, in bytes.
const DELIVERY_BYTES_MAX: usize = 1400;

/// Whoever logs in from here takes their time, where guests come from.
const SLOW_HANDS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 4, 100));

pub type CallerId = usize;

/// What somebody gets round to.
#[derive(Clone, Debug)]
pub enum Errand {
    LogIn,
    /// The client is started again, unless there is another.
    Restart,
    /// Has typed the name and the password in the log-in on that link.
    Opens(LinkId),
    /// Types this in the log-in on that link.
    Types(LinkId, String),
    /// The client gives a sign of life.
    Beat,
    Act,
    /// Answers somebody who has asked for their address.
    Answer(UserName),
}

/// A run of a client.
#[derive(Debug)]
struct Caller {
    uid: Uid,
    user: UserName,
    at: SocketAddr,
    stage: Stage,
    dialogue: Dialogue,
    linked_at: Time,
    /// Where it has said who it is.
    opened: Option<LinkId>,
    refuses_until: Time,
    hangs_until: Time,
    deaf_until: Time,
    silent_until: Time,
    is_slow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Coming,
    In,
    /// It has ended.
    Gone,
}

/// What a link is to the clients that are called.
#[derive(Debug)]
enum Use {
    LogIn(CallerId),
    Post(Vec<u8>),
    Call(CallerId),
    /// The client has closed it.
    Over,
}

/// All of them.
#[derive(Default)]
pub struct Callers {
    all: Vec<Caller>,
    /// By user: the client's name in the ledger.
    uids: BTreeMap<UserName, Uid>,
    links: BTreeMap<LinkId, Use>,
}

impl Callers {
    pub fn has(&self, link: LinkId) -> bool {
        self.links.contains_key(&link)
    }

    /// Whoever listens there.
    fn listening(&self, at: SocketAddr) -> Option<CallerId> {
        self.all.iter().rposition(|caller| caller.at == at && caller.stage != Stage::Gone)
    }

    /// Somebody who has such a client.
    fn pick(&self, dice: &mut Dice) -> UserName {
        let users: Vec<&UserName> = self.uids.keys().collect();
        (*dice.pick(&users)).clone()
    }

    /// The user's last client that has not ended.
    fn of(&self, user: &UserName) -> Option<CallerId> {
        self.all.iter().rposition(|caller| caller.user == *user && caller.stage != Stage::Gone)
    }
}

impl World {
    pub(super) fn add_caller(&mut self, place: usize) {
        let user = self.users[place].clone();
        let uid = self.next_uid;
        self.next_uid += 1;
        self.ledger.add_classic(uid, user.clone(), DeviceId::REQUEST);
        self.callers.uids.insert(user, uid);
        let at = self.dice.range(0, 3 * SECOND);
        self.at(at, Happens::Comes(place));
    }

    /// Somebody whose client is called may come back.
    pub(super) fn comes(&mut self, place: usize) {
        if self.calm {
            return;
        }
        let pause = self.dice.range(SECOND, 6 * SECOND);
        self.at(self.now + pause, Happens::Comes(place));
        let user = self.users[place].clone();
        match self.callers.of(&user) {
            None => self.start_caller(&user, None),
            Some(_) if self.mix.classic.twins && self.dice.one_in(4) => {
                self.fires(Fault::Twin);
                self.start_caller(&user, None);
            }
            Some(_) => {}
        }
    }

    /// A client is started, there or wherever its user may be.
    fn start_caller(&mut self, user: &UserName, address: Option<IpAddr>) {
        let is_careless = !self.calm && self.mix.wrong_passwords && self.dice.one_in(3);
        let types_slowly = self.mix.classic.slow_typing && self.dice.one_in(2);
        let address = match address {
            Some(address) => address,
            None if types_slowly => SLOW_HANDS,
            None => self.source(user, is_careless),
        };
        let port = self.dice.range(1024, 65_536) as u16;
        let dialogue = Dialogue::new(self.what_is_typed(user, is_careless), port);
        let caller = Caller {
            uid: self.callers.uids[user],
            user: user.clone(),
            at: SocketAddr::new(address, port),
            stage: Stage::Coming,
            dialogue,
            linked_at: 0,
            opened: None,
            refuses_until: 0,
            hangs_until: 0,
            deaf_until: 0,
            silent_until: 0,
            is_slow: !self.calm && self.mix.classic.slowness && self.dice.one_in(3),
        };
        if self.callers.listening(caller.at).is_some() {
            return;
        }
        self.callers.all.push(caller);
        self.at(self.now, Happens::Caller(self.callers.all.len() - 1, Errand::LogIn));
    }

    fn what_is_typed(&mut self, user: &UserName, is_careless: bool) -> Vec<Typed> {
        let typed = |name: &str, password: &str| Typed { name: name.to_owned(), password: password.to_owned() };
        let mut all = Vec::new();
        if is_careless {
            if self.dice.one_in(3) {
                all.push(typed("nobody", "wrong"));
            }
            (0..self.dice.range(0, 5)).for_each(|_| all.push(typed(user.as_str(), "wrong")));
        }
        all.push(typed(user.as_str(), &password(user)));
        all
    }

    pub(super) fn run_errand(&mut self, id: CallerId, errand: Errand) {
        let stage = self.callers.all[id].stage;
        match errand {
            Errand::LogIn if stage == Stage::Coming => self.log_in_caller(id),
            Errand::Restart => {
                let user = self.callers.all[id].user.clone();
                if self.callers.of(&user).is_none() && !self.leaving {
                    // Perhaps as impatiently as before.
                    let again = Some(self.callers.all[id].at.ip()).filter(|_| self.dice.one_in(2));
                    self.start_caller(&user, again.filter(|_| !self.calm));
                }
            }
            Errand::Opens(link) if stage == Stage::Coming => self.open_log_in(id, link),
            Errand::Types(link, text) if stage == Stage::Coming => self.caller_says(link, &text),
            Errand::Beat if stage == Stage::In => {
                let user = self.callers.all[id].user.clone();
                self.post(id, format!("alive,{user}"));
                let at = self.now + self.mix.heartbeat_timeout / 3;
                self.at(at, Happens::Caller(id, Errand::Beat));
            }
            Errand::Act if stage == Stage::In => self.caller_acts(id),
            Errand::Answer(asker) if stage == Stage::In => self.caller_answers(id, asker),
            _ => {}
        }
    }

    fn log_in_caller(&mut self, id: CallerId) {
        let caller = &self.callers.all[id];
        let link = self.ask_for_classic_link(caller.at.ip());
        self.callers.links.insert(link, Use::LogIn(id));
    }

    /// A connection whose bytes come as they were said, but for what is done on purpose.
    pub(super) fn ask_for_classic_link(&mut self, source: IpAddr) -> LinkId {
        let mut weather = self.mix.weather(&mut self.dice);
        (weather.piece_max, weather.singles, weather.buffer) = (IN_ONE, 0, 64 * 1024);
        // What is written with a pause in between is read with one.
        weather.delay_max = weather.delay_max.min(20 * MS);
        if self.calm {
            weather.reset_after = None;
        }
        let link = self.links.open(source, weather, None);
        let at = self.now + self.dice.range(100, self.mix.delay_max + 200);
        self.at(at, Happens::Connect(link));
        link
    }

    pub(super) fn caller_connects(&mut self, link: LinkId, up: bool) {
        match self.callers.links.get(&link) {
            Some(Use::LogIn(id)) if up => {
                let id = *id;
                self.callers.all[id].linked_at = self.now;
                let types = self.callers.all[id].at.ip() == SLOW_HANDS;
                let after = if types { self.dice.range(0, 5 * SECOND) } else { 0 };
                self.at(self.now + after, Happens::Caller(id, Errand::Opens(link)));
            }
            Some(Use::Post(bytes)) if up => {
                let bytes = bytes.clone();
                self.links.send(&mut self.dice, self.now, link, true, &bytes);
                self.let_go(link);
            }
            Some(Use::LogIn(id)) => {
                let id = *id;
                self.let_go(link);
                self.log_in_again(id);
            }
            _ => self.let_go(link),
        }
    }

    /// The client says who is there, and reads what it has been told meanwhile.
    fn open_log_in(&mut self, id: CallerId, link: LinkId) {
        let caller = &mut self.callers.all[id];
        caller.opened = Some(link);
        let (opening, typed) = (caller.dialogue.opening(), caller.dialogue.all().cloned().collect());
        self.ledger.log_in_typed(link, typed, caller.at.port());
        self.caller_says(link, &opening);
        self.hear_log_in(id, link);
    }

    /// The client closes a link.
    fn let_go(&mut self, link: LinkId) {
        self.links.fin(&mut self.dice, self.now, link, true);
        self.links.client_leaves(link);
        self.forget_link(link);
    }

    fn forget_link(&mut self, link: LinkId) {
        match self.links.map.contains_key(&link) {
            true => _ = self.callers.links.insert(link, Use::Over),
            false => _ = self.callers.links.remove(&link),
        }
    }

    /// The log-in has come to nothing, and ends the client.
    fn log_in_again(&mut self, id: CallerId) {
        self.callers.all[id].stage = Stage::Gone;
        let pause = self.dice.range(200 * MS, 4 * SECOND);
        self.at(self.now + pause, Happens::Caller(id, Errand::Restart));
    }

    /// A chunk of the log-in.
    fn caller_says(&mut self, link: LinkId, text: &str) {
        let cuts = self.cut(text);
        if cuts.iter().any(|(_, lull)| *lull) {
            self.ledger.classics.garbled.insert(link);
        }
        self.links.send_apart(&mut self.dice, self.now, link, text.as_bytes(), &cuts);
    }

    /// Where what is said without framing is cut on its way, and whether so that nobody can know.
    pub(super) fn cut(&mut self, text: &str) -> Vec<(usize, bool)> {
        let lulls = !self.calm && self.mix.classic.lulls && self.dice.one_in(6);
        let pieces = !self.calm && self.mix.classic.pieces && self.dice.one_in(3);
        if text.len() < 30 || !(lulls || pieces) {
            return Vec::new();
        }
        self.fires(if lulls { Fault::Lull } else { Fault::Pieces });
        let at = self.dice.range(14, text.len() as u64 - 14) as usize;
        let at = (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        vec![(at, lulls)]
    }

    pub(super) fn caller_hears(&mut self, link: LinkId) {
        match self.callers.links.get(&link) {
            Some(Use::LogIn(id)) => {
                let id = *id;
                self.hear_log_in(id, link);
            }
            Some(Use::Call(id)) => {
                let caller = &self.callers.all[*id];
                let is_slow = caller.is_slow && self.dice.one_in(3);
                let after = if is_slow { self.dice.range(0, 4 * SECOND) } else { self.dice.range(0, 2 * MS) };
                if is_slow {
                    self.fires(Fault::CallSlow);
                }
                self.at(self.now + after, Happens::ReadsCall(link));
            }
            // Nobody is there to read it.
            Some(Use::Over | Use::Post(_)) => {
                if self.links.map.get(&link).is_some_and(|link| !link.down.arrived.is_empty()) {
                    self.links.refuse_more(&mut self.dice, self.now, link);
                }
                self.links.tidy(link);
                self.forget_link(link);
            }
            None => {}
        }
    }

    fn hear_log_in(&mut self, id: CallerId, link: LinkId) {
        let Some(found) = self.links.map.get_mut(&link) else { return };
        let broken = found.reset;
        if self.callers.all[id].opened != Some(link) && !broken {
            // Somebody types, and nothing is read.
            return;
        }
        let chunk = found.down.take(READ_BYTES_MAX);
        let ended = found.down.fin.is_some();
        if self.callers.all[id].stage == Stage::Gone {
            return self.let_go(link);
        }
        if !chunk.is_empty() && !broken {
            let Ok(chunk) = String::from_utf8(chunk) else {
                return self.ledger.broken("13: a log-in is told what is no UTF-8");
            };
            self.obey(id, link, &chunk);
        } else if broken || ended {
            self.let_go(link);
            self.log_in_again(id);
        }
    }

    fn obey(&mut self, id: CallerId, link: LinkId, chunk: &str) {
        let typed = chunk.starts_with("prompt");
        match self.callers.all[id].dialogue.reads(chunk) {
            Obeys::Says(text) if typed => {
                let after = self.dice.range(100 * MS, 5 * SECOND);
                self.at(self.now + after, Happens::Caller(id, Errand::Types(link, text)));
            }
            // The question for a nickname was there before, and the answer comes glued.
            Obeys::Says(ok) if chunk == "NICK" => {
                self.fires(Fault::AskedWhileTyping);
                self.links.send(&mut self.dice, self.now, link, true, ok.as_bytes());
            }
            Obeys::Says(text) => self.caller_says(link, &text),
            Obeys::GivesUp => {
                self.let_go(link);
                self.log_in_again(id);
            }
            Obeys::IsIn(name) => self.caller_is_in(id, link, &name),
        }
    }

    fn caller_is_in(&mut self, id: CallerId, link: LinkId, name: &str) {
        let caller = &mut self.callers.all[id];
        caller.stage = Stage::In;
        if name != caller.user.as_str() {
            let law = format!("13: {:?} is told to be {name:?}", caller.user);
            return self.ledger.broken(&law);
        }
        let (uid, linked_at) = (caller.uid, caller.linked_at);
        let told_by_the_dead = !self.links.has_server(link);
        self.ledger.logged_in(self.now, uid, linked_at, Some(link), told_by_the_dead, &self.disk);
        self.let_go(link);
        for (errand, after) in [(Errand::Beat, SECOND), (Errand::Act, 2 * SECOND)] {
            let at = self.now + self.dice.range(0, after);
            self.at(at, Happens::Caller(id, errand));
        }
    }

    /// A request, on a connection of its own.
    fn post(&mut self, id: CallerId, request: String) {
        let caller = &self.callers.all[id];
        let user = caller.user.clone();
        if self.now >= caller.silent_until {
            let link = self.post_from(caller.at.ip(), request);
            self.ledger.posted(link, &user);
        }
    }

    fn post_from(&mut self, source: IpAddr, request: String) -> LinkId {
        let mut weather = self.mix.weather(&mut self.dice);
        let mut delay_max = self.mix.delay_max;
        if self.calm {
            // Signs of life come in time.
            delay_max = delay_max.min(200 * MS);
            (weather.reset_after, weather.delay_max) = (None, delay_max);
        }
        if source == SLOW_HANDS {
            // Whoever hesitates there is asked for a nickname, and a word that hesitates may be one.
            (weather.piece_max, weather.singles) = (IN_ONE, 0);
            weather.delay_max = weather.delay_max.min(200 * MS);
        }
        let link = self.links.open(source, weather, None);
        self.callers.links.insert(link, Use::Post(request.into_bytes()));
        let at = self.now + self.dice.range(100, delay_max + 200);
        self.at(at, Happens::Connect(link));
        link
    }

    fn caller_acts(&mut self, id: CallerId) {
        if self.calm {
            return;
        }
        let pause = self.dice.range(self.mix.pause / 4, self.mix.pause * 2);
        self.at(self.now + pause, Happens::Caller(id, Errand::Act));
        let other = self.pick_anybody();
        let user = self.callers.all[id].user.clone();
        let until = self.now + self.dice.range(SECOND, 12 * SECOND);
        let classic = self.mix.classic.clone();
        match self.dice.range(0, 100) {
            0..32 => self.forward(id, Some(&other)),
            32..43 => self.forward(id, None),
            43..52 if self.mix.blocks => self.block_by_post(id, &other, true),
            52..59 if self.mix.blocks => self.block_by_post(id, &other, false),
            59..61 => self.post(id, format!("online,{user}")),
            61..75 if self.mix.consents => {
                // Mostly somebody who could answer.
                let other = if self.dice.one_in(4) { other } else { self.callers.pick(&mut self.dice) };
                self.ledger.plain_question(self.now, &user, &other);
                self.post(id, format!("getaddress,{user},{other}"));
            }
            75..78 => {
                self.post(id, format!("logout,{user}"));
                self.callers.all[id].stage = Stage::Gone;
            }
            78..81 if classic.vanishing => {
                self.fires(Fault::Vanished);
                self.callers.all[id].stage = Stage::Gone;
            }
            81..84 if classic.refusals => self.callers.all[id].refuses_until = until,
            84..87 if classic.hangs => self.callers.all[id].hangs_until = until,
            87..90 if classic.deafness => self.callers.all[id].deaf_until = until,
            90..92 if self.mix.silence => {
                self.callers.all[id].silent_until = self.now + self.mix.heartbeat_timeout + 2 * SECOND;
                self.fires(Fault::Silence);
            }
            92..96 if classic.forgeries => self.forge(&user, &other),
            96..98 => _ = self.post_from(self.callers.all[id].at.ip(), format!("no such word,{user}")),
            _ => {}
        }
    }

    /// Somebody of any protocol.
    pub(super) fn pick_anybody(&mut self) -> UserName {
        let user = self.dice.pick(&self.users).clone();
        self.guests.one_instead_of(user, &mut self.dice)
    }

    /// A text that nobody else has sent.
    pub(super) fn text(&mut self, size: u64, tag: &str) -> String {
        let mut text = format!("{tag}: ");
        for _ in 0..30 {
            text.push((b'a' + self.dice.range(0, 26) as u8) as char);
        }
        let odd = ['"', '\\', ',', ',', ':', ' ', '\t', '{', '}', '\''];
        while (text.len() as u64) < size {
            match self.dice.one_in(6) {
                true => text.push(*self.dice.pick(&odd)),
                false => text.push((b'a' + self.dice.range(0, 26) as u8) as char),
            }
        }
        text.push('.');
        text
    }

    fn forward(&mut self, id: CallerId, to: Option<&UserName>) {
        let size = if self.dice.one_in(12) { self.dice.range(0, 3500) } else { self.dice.range(0, 60) };
        let mut text = self.text(size, &self.ledger.sent.len().to_string());
        if self.dice.one_in(4) {
            text.push_str("é☃😀");
        }
        let caller = &self.callers.all[id];
        let user = caller.user.clone();
        self.ledger.asked(self.now, caller.uid, &user, to, text.clone());
        let end = if self.dice.one_in(2) { "\n" } else { "" };
        let request = match to {
            Some(to) => format!("forward,{user},{to},{text}{end}"),
            None => format!("broadcast,{user},{text}{end}"),
        };
        self.post(id, request);
    }

    fn block_by_post(&mut self, id: CallerId, other: &UserName, block: bool) {
        let caller = &self.callers.all[id];
        let user = caller.user.clone();
        if user == *other || self.now < caller.silent_until {
            return;
        }
        self.ledger.block_asked(self.now, caller.uid, &user, other, block);
        let word = if block { "block" } else { "unblock" };
        self.post(id, format!("{word},{user},{other}"));
    }

    /// Somebody who is somewhere else posts in this user's name.
    fn forge(&mut self, user: &UserName, other: &UserName) {
        self.fires(Fault::Forgery);
        let request = match self.dice.range(0, 4) {
            0 => format!("forward,{user},{other},from nobody"),
            1 => format!("broadcast,{user},from nobody"),
            2 => format!("block,{user},{other}"),
            _ => format!("private_answer,{user},{other},yes"),
        };
        self.post_from([10, 0, 3, 1].into(), request);
    }

    fn caller_answers(&mut self, id: CallerId, asker: UserName) {
        let caller = &self.callers.all[id];
        let (uid, user, at) = (caller.uid, caller.user.clone(), caller.at);
        if self.now < caller.silent_until {
            return;
        }
        let answer = *self.dice.pick(&["yes", "yes", "yes", "no", "y"]);
        if answer == "yes" {
            self.ledger.plain_yes(self.now, uid, &user, &asker, at);
        }
        self.post(id, format!("private_answer,{user},{asker},{answer}"));
    }

    /// The server's call has come to somebody's machine.
    pub(super) fn called(&mut self, link: LinkId) {
        let Some(call) = self.links.map.get(&link).and_then(|link| link.call) else { return };
        let caller = self.callers.listening(call.to);
        let found = caller.map(|id| &self.callers.all[id]);
        if found.is_some_and(|caller| caller.hangs_until > self.now) {
            self.fires(Fault::CallHangs);
            self.links.unplug(self.now, link);
            return self.links.client_leaves(link);
        }
        let takes = found.is_some_and(|caller| caller.refuses_until <= self.now);
        if !takes {
            self.fires(Fault::CallRefused);
        }
        self.links.answer_call(&mut self.dice, self.now, link, takes);
        if let Some(id) = caller.filter(|_| takes) {
            self.callers.links.insert(link, Use::Call(id));
        }
    }

    /// The client reads once, and closes.
    pub(super) fn read_call(&mut self, link: LinkId) {
        let Some(Use::Call(id)) = self.callers.links.get(&link) else { return };
        let id = *id;
        let caller = &self.callers.all[id];
        if caller.deaf_until > self.now {
            return self.fires(Fault::CallUnread);
        }
        let Some(found) = self.links.map.get_mut(&link) else { return };
        let broken = found.reset;
        let chunk = found.down.take(READ_BYTES_MAX);
        let (ended, is_cut) = (found.down.fin.is_some(), found.has_more_to_come());
        if broken || caller.stage == Stage::Gone {
            return self.hang_up_on_call(link);
        }
        if chunk.is_empty() {
            // A server that is killed says nothing either.
            if ended && !self.links.map.get(&link).is_some_and(|link| link.died) {
                self.ledger.broken("1: a call brings nothing, and ends the client");
            }
            return;
        }
        if is_cut {
            self.fires(Fault::CallCut);
        } else {
            self.show(id, link, &chunk);
        }
        let resets = !self.calm && self.mix.classic.resets > 0 && self.dice.one_in(12);
        let leaves_some = self.links.map.get(&link).is_some_and(|link| !link.down.arrived.is_empty());
        match resets || leaves_some {
            true => self.hang_up_on_call(link),
            false => self.let_go(link),
        }
    }

    fn hang_up_on_call(&mut self, link: LinkId) {
        self.links.reset(&mut self.dice, self.now, link);
        self.links.client_leaves(link);
        self.forget_link(link);
    }

    fn show(&mut self, id: CallerId, link: LinkId, chunk: &[u8]) {
        if chunk.len() > DELIVERY_BYTES_MAX {
            return self.ledger.broken("10: a call brings more than one segment holds");
        }
        let items = str::from_utf8(chunk).map_err(|_| "a delivery is no UTF-8".to_owned()).and_then(screen::delivery);
        match items {
            Ok(items) => items.into_iter().for_each(|item| self.show_item(id, link, item)),
            Err(why) => self.ledger.broken(&format!("13: {why}")),
        }
    }

    fn show_item(&mut self, id: CallerId, link: LinkId, item: Item) {
        let (uid, user) = (self.callers.all[id].uid, self.callers.all[id].user.clone());
        match item {
            Item::Said { from, text, .. } => {
                let told = Told { uid, way: Way::Call(link), from: &from, text: &text, private: None };
                self.ledger.told(&told, &self.disk);
            }
            Item::Word(word) => self.obey_word(id, &user, &word),
            Item::Line(line) => {
                let is_blocked = |line: &str| Some((line.strip_suffix(" has been blocked")?.to_owned(), true));
                let is_free = |line: &str| Some((line.strip_suffix(" is unblocked")?.to_owned(), false));
                let about = line.strip_prefix("User ").and_then(|line| is_blocked(line).or_else(|| is_free(line)));
                if let Some((other, block)) = about {
                    self.ledger.block_told(self.now, uid, &other, block, &self.disk);
                }
            }
        }
    }

    fn obey_word(&mut self, id: CallerId, user: &UserName, word: &str) {
        let fields: Vec<&str> = word.split(',').collect();
        match fields[..] {
            // Somebody comes back in time, but when nothing is wrong any more that is soon.
            ["logout_duplicate" | "shutdown"] if self.calm => self.log_in_again(id),
            ["logout_duplicate" | "shutdown"] => self.callers.all[id].stage = Stage::Gone,
            ["private_consent", asker] => {
                self.ledger.plain_question_told(user, asker);
                let Ok(asker) = UserName::parse(asker) else { return };
                let after = self.dice.range(50 * MS, 3 * SECOND);
                self.at(self.now + after, Happens::Caller(id, Errand::Answer(asker)));
            }
            ["getaddress", "no" | "offline" | "blocked"] => {}
            ["getaddress", of, address, port] => match (address.parse(), port.parse()) {
                (Ok(address), Ok(port)) => self.ledger.plain_address_told(user, of, (address, port)),
                _ => self.ledger.broken(&format!("13: an address is none: {word:?}")),
            },
            ["online", ..] => {}
            _ => self.ledger.broken(&format!("13: a client is told {word:?}")),
        }
    }

    /// Whether this is the client that the server calls, and nothing is under way that would end its session.
    fn may_stay(&self, id: CallerId) -> bool {
        let Caller { user, at, stage, silent_until, .. } = &self.callers.all[id];
        let log_out = format!("logout,{user}");
        let ends_it = |used: &Use| match used {
            Use::Post(bytes) => *bytes == log_out.as_bytes(),
            Use::LogIn(other) => self.callers.all[*other].user == *user,
            Use::Call(_) | Use::Over => false,
        };
        let is_called = self.server.as_ref().is_some_and(|server| server.calls(user, *at));
        let is_well = *stage == Stage::In && *silent_until == 0;
        is_well && is_called && !self.callers.links.values().any(ends_it)
    }

    /// No more faults: old clients end, but for some that the server knows, and everybody has one.
    pub(super) fn heal_callers(&mut self) {
        self.links.calls.delay_max = self.links.calls.delay_max.min(100 * MS);
        (self.links.calls.resets, self.links.calls.splits) = (0, 0);
        for id in 0..self.callers.all.len() {
            let stays = self.may_stay(id) && self.dice.one_in(2);
            let caller = &mut self.callers.all[id];
            caller.stage = if stays { Stage::In } else { Stage::Gone };
            (caller.refuses_until, caller.hangs_until, caller.deaf_until, caller.silent_until) = (0, 0, 0, 0);
            caller.is_slow = false;
        }
        let links: Vec<LinkId> = self.callers.links.keys().copied().collect();
        for link in links {
            self.links.reset(&mut self.dice, self.now, link);
            self.links.client_leaves(link);
            self.forget_link(link);
        }
        let users: Vec<UserName> = self.callers.uids.keys().cloned().collect();
        for user in users {
            match self.callers.of(&user) {
                None => self.start_caller(&user, None),
                // What is under way is lost.
                Some(id) => self.post(id, format!("alive,{user}")),
            }
        }
    }

    /// Clients that are called do not notice that the server has gone; their users do.
    pub(super) fn callers_miss_the_server(&mut self) {
        for id in 0..self.callers.all.len() {
            if self.callers.all[id].stage == Stage::In {
                self.log_in_again(id);
            }
        }
    }

    /// Nothing is wrong any more.
    pub(super) fn check_callers(&mut self) {
        let is_in = |user: &UserName| self.callers.of(user).is_some_and(|id| self.callers.all[id].stage == Stage::In);
        if let Some(user) = self.callers.uids.keys().find(|user| !is_in(user)) {
            let law = format!("1: nothing is wrong any more, and {user:?} is not logged in by request");
            self.ledger.broken(&law);
        }
    }

    pub(super) fn callers_leave(&mut self) {
        for id in 0..self.callers.all.len() {
            if self.callers.all[id].stage == Stage::In {
                let user = self.callers.all[id].user.clone();
                self.post(id, format!("logout,{user}"));
            }
            self.callers.all[id].stage = Stage::Gone;
        }
    }
}
