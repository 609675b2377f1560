//! A run: virtual time, everybody who takes part, and the faults that fall.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use chatd::client::core::{self, Closing, Done, End, Happening, Request};
use chatd::hub::Config;
use chatd::hub::credentials::Credential;
use chatd::hub::id::DeviceId;
use chatd::hub::name::UserName;
use chatd::hub::text::Text;
use chatd::wire::native::client::News;

use crate::dice::Dice;
use crate::disk::{Disk, Fold};
use crate::ledger::{Ledger, Uid};
use crate::link::{LinkId, Links, MS, SECOND, Segment, Time, Transit};
use crate::mix::Mix;
use crate::person::{Asked, Kind, Person, login, password, without_acknowledgements};
use crate::plant::Plant;
use crate::secrets;
use crate::server::{Around, Server, Turned};

const NAMES: [&str; 6] = ["alice", "Bob", "carol-3", "dave.d", "eve_", "Frank"];
/// With the same secret salts are the same, and verifiers are derived once.
const SECRET: [u8; 32] = [7; 32];
/// More turns than any honest run takes.
const TURNS_MAX: u64 = 400_000;

/// Something that happens at a time.
#[derive(Clone, Debug)]
enum Happens {
    Transit(Transit),
    Connect(LinkId),
    /// A client's own deadline.
    Wake(Uid),
    /// Somebody does something.
    Act(Uid),
    Dial(Uid),
    /// Somebody new comes for a moment.
    Visitor,
    DiskDone,
    Boot,
    Fault(Fault),
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    Stop,
    ClockStall,
    DiskStall,
    DiskFailure,
}

/// How a run came out.
pub struct Outcome {
    pub verdict: Result<(), String>,
    pub faults: BTreeMap<&'static str, u32>,
    /// Of everything that travelled, with its time.
    pub hash: u64,
    pub lasted: Time,
    pub turns: u64,
    pub sent: usize,
    pub shown: u64,
    pub refused: BTreeMap<String, u32>,
    pub committed: Vec<std::sync::Arc<[chatd::hub::change::Change]>>,
    /// What was on the disk before the first of these.
    pub secret: Option<[u8; 32]>,
    pub fold: Fold,
}

pub struct World {
    now: Time,
    dice: Dice,
    mix: Mix,
    plant: Plant,
    verbose: bool,
    events: BTreeMap<(Time, u64), Happens>,
    order: u64,
    links: Links,
    disk: Disk,
    disk_wakes: Option<Time>,
    ledger: Ledger,
    server: Option<Server>,
    busy_until: Time,
    stall: Option<Time>,
    stop_asked: bool,
    boot_asked: bool,
    people: BTreeMap<Uid, Person>,
    next_uid: Uid,
    next_link: u64,
    users: Vec<UserName>,
    calm: bool,
    faults: BTreeMap<&'static str, u32>,
    hash: u64,
    turns: u64,
}

pub fn run(seed: u64, plant: Plant, verbose: bool) -> Outcome {
    let mut dice = Dice::new(seed);
    let mut mix = Mix::draw(&mut dice);
    if verbose {
        println!("{mix:#?}");
    }
    let fold = if mix.fresh_secret { Fold::default() } else { Fold::with_secret(SECRET) };
    let users = NAMES[..mix.users as usize].iter().map(|name| UserName::parse(name).expect("a name")).collect();
    if mix.wrong_passwords {
        // So that a lock begins and ends within a run.
        mix.lockout = mix.lockout.min(mix.duration / 5);
    }
    let mut ledger = Ledger::new(mix.tries, mix.lockout);
    ledger.expiry = mix.expiry;
    let mut world = World {
        now: 0,
        disk: Disk::new(fold, mix.disk_latency),
        ledger,
        dice,
        plant,
        verbose,
        events: BTreeMap::new(),
        order: 0,
        links: Links::default(),
        disk_wakes: None,
        server: None,
        busy_until: 0,
        stall: None,
        stop_asked: false,
        boot_asked: false,
        people: BTreeMap::new(),
        next_uid: 0,
        next_link: 0,
        users,
        calm: false,
        faults: BTreeMap::new(),
        hash: 0xcbf2_9ce4_8422_2325,
        turns: 0,
        mix,
    };
    world.play();
    let verdict = match world.ledger.verdict() {
        None => Ok(()),
        Some(law) => Err(law.clone()),
    };
    if verbose {
        for batch in &world.disk.committed {
            println!("committed {batch:?}");
        }
    }
    let resets = world.links.resets;
    if resets > 0 {
        world.faults.insert("reset", resets);
    }
    if world.disk.failures > 0 {
        world.faults.insert("failed commit", world.disk.failures);
    }
    Outcome {
        verdict,
        faults: world.faults,
        hash: world.hash,
        lasted: world.now,
        turns: world.turns,
        sent: world.ledger.sent.len(),
        shown: world.ledger.shown_count,
        refused: world.ledger.refused,
        committed: world.disk.committed,
        secret: (!world.mix.fresh_secret).then_some(SECRET),
        fold: world.disk.fold,
    }
}

impl World {
    fn play(&mut self) {
        self.boot();
        for user in self.users.clone() {
            for _ in 0..self.dice.range(1, self.mix.devices_max + 1) {
                self.add_device(&user);
            }
        }
        if self.mix.flood {
            let first = *self.people.keys().next().expect("somebody is there");
            if let Some(person) = self.people.get_mut(&first) {
                person.flooding = 1100;
            }
        }
        let end = self.mix.duration;
        let faults = [
            (Fault::Kill, self.mix.kills),
            (Fault::Stop, self.mix.stops),
            (Fault::ClockStall, self.mix.clock_stalls),
            (Fault::DiskStall, self.mix.disk_stalls),
            (Fault::DiskFailure, self.mix.disk_failures),
        ];
        for (fault, count) in faults {
            for _ in 0..count {
                let at = self.dice.range(SECOND, end);
                self.at(at, Happens::Fault(fault));
            }
        }
        if self.mix.one_shots || self.mix.wrong_passwords || self.mix.strangers {
            self.at(SECOND, Happens::Visitor);
        }
        self.run_until(end);
        self.heal();
        self.run_until(self.now + self.mix.lockout + 60 * SECOND);
        self.check_settled();
        self.leave();
        self.run_until(self.now + 30 * SECOND);
        if self.ledger.verdict().is_none() {
            let left = match &self.server {
                Some(server) if server.connections() > 0 => {
                    Err(format!("11: {} connections are left", server.connections()))
                }
                Some(server) => server.check_baseline(),
                None => Err("the server is not there at the end".to_owned()),
            };
            if let Err(law) = left {
                self.ledger.broken(&law);
            }
        }
    }

    fn at(&mut self, at: Time, happens: Happens) {
        self.order += 1;
        self.events.insert((at.max(self.now), self.order), happens);
    }

    fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
        self.say(|_| format!("fault: {kind}"));
    }

    fn say(&self, what: impl FnOnce(&World) -> String) {
        if self.verbose {
            println!("{:>12.6} {}", self.now as f64 / 1e6, what(self));
        }
    }

    fn hash(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn run_until(&mut self, end: Time) {
        while self.ledger.verdict().is_none() {
            for (at, transit) in std::mem::take(&mut self.links.departed) {
                self.at(at, Happens::Transit(transit));
            }
            if let Some(at) = self.disk.busy_until().filter(|at| self.disk_wakes.is_none_or(|due| due != *at)) {
                self.disk_wakes = Some(at);
                self.at(at, Happens::DiskDone);
            }
            let event = self.events.first_key_value().map(|(&(at, _), _)| at);
            let turn = self.server.as_ref().and_then(|server| match server.is_mid_turn() {
                true => Some(self.busy_until),
                false => {
                    let at = server.next_turn(self.now, &self.disk, &self.links)?;
                    Some(at.max(self.busy_until))
                }
            });
            let turn = if self.stop_asked && self.server.is_some() { Some(turn.unwrap_or(self.now)) } else { turn };
            let next = match (event, turn) {
                (Some(event), Some(turn)) => event.min(turn),
                (Some(at), None) | (None, Some(at)) => at,
                (None, None) => end,
            };
            if next >= end {
                self.now = end;
                return;
            }
            self.now = next.max(self.now);
            if event.is_some_and(|at| at <= self.now) {
                if let Some((_, happens)) = self.events.pop_first() {
                    self.happen(happens);
                }
            } else {
                self.turn();
            }
        }
    }

    fn turn(&mut self) {
        self.turns += 1;
        if self.turns > TURNS_MAX {
            self.ledger.broken("the loop spins");
            return;
        }
        let Some(mut server) = self.server.take() else { return };
        let stop = self.stop_asked && !server.is_mid_turn();
        let mut around = Around {
            now: self.now,
            dice: &mut self.dice,
            links: &mut self.links,
            disk: &mut self.disk,
            ledger: &mut self.ledger,
        };
        if !server.is_mid_turn() {
            server.poll(&mut around);
            if let Some(stall) = self.stall.take() {
                self.busy_until = self.now + stall;
                self.server = Some(server);
                return;
            }
        }
        self.stop_asked &= !stop;
        let turned = server.turn(&mut around, stop);
        for link in server.take_closed() {
            self.links.server_closes(&mut self.dice, self.now, link);
        }
        self.busy_until = self.now + self.dice.range(20, 200);
        match turned {
            Turned::On => self.server = Some(server),
            Turned::Stopped => {
                self.say(|_| "the server has stopped".to_owned());
                let through = self.disk.closed(&mut self.dice, self.now);
                self.gone(through);
            }
            Turned::Killed | Turned::Hurried => {
                self.say(|_| format!("the server is gone: {turned:?}"));
                let through = self.disk.killed(&mut self.dice, self.now);
                self.gone(through);
            }
        }
    }

    /// The server's process is gone.
    fn gone(&mut self, through: Option<u64>) {
        self.server = None;
        self.stall = None;
        self.stop_asked = false;
        self.ledger.restarted(through, &self.disk);
        match self.plant {
            Plant::BlocksAreForgotten => self.disk.fold.blocks.clear(),
            Plant::TriesAreForgotten => self.disk.fold.forget_tries(),
            Plant::CursorsRunAhead => self.disk.fold.advance_cursors(),
            _ => {}
        }
        let links: Vec<LinkId> = self.links.map.keys().copied().collect();
        for link in links {
            self.links.server_dies(&mut self.dice, self.now, link);
        }
        let after = self.dice.range(20 * MS, 3 * SECOND);
        self.boot_in(after);
    }

    fn boot_in(&mut self, after: Time) {
        if !self.boot_asked {
            self.boot_asked = true;
            self.at(self.now + after, Happens::Boot);
        }
    }

    fn boot(&mut self) {
        self.boot_asked = false;
        self.busy_until = self.now;
        let config = Config {
            heartbeat_timeout: Duration::from_micros(self.mix.heartbeat_timeout),
            password_tries: self.mix.tries,
            lockout: Duration::from_micros(self.mix.lockout),
            queue_expiry: self.mix.expiry.map_or(Config::default().queue_expiry, Duration::from_micros),
            scram_iterations: secrets::ITERATIONS,
            messages_per_second: None,
            ..Config::default()
        };
        let accounts = self.users.iter().map(|user| Credential::new(user.clone(), password(user))).collect();
        let mut around = Around {
            now: self.now,
            dice: &mut self.dice,
            links: &mut self.links,
            disk: &mut self.disk,
            ledger: &mut self.ledger,
        };
        let server =
            Server::boot(config, accounts, self.plant, self.mix.check_always, self.mix.worker_delay, &mut around);
        self.server = Some(server);
        self.say(|_| "the server is up".to_owned());
    }

    fn happen(&mut self, happens: Happens) {
        match happens {
            Happens::Transit(transit) => self.arrive(transit),
            Happens::Connect(link) => self.connect(link),
            Happens::Wake(uid) => self.wake(uid),
            Happens::Act(uid) => self.act(uid),
            Happens::Dial(uid) => self.dial(uid),
            Happens::Visitor => self.visit(),
            Happens::DiskDone => {
                if self.disk.busy_until().is_some_and(|at| at <= self.now) {
                    self.disk_wakes = None;
                    self.disk.finish(&mut self.dice, self.now, self.plant == Plant::FailedIsCommitted);
                }
            }
            Happens::Boot => {
                if self.server.is_none() {
                    self.boot();
                }
            }
            Happens::Fault(fault) => self.fall(fault),
        }
    }

    fn fall(&mut self, fault: Fault) {
        if self.calm {
            return;
        }
        match fault {
            Fault::Kill => {
                if let Some(server) = &mut self.server {
                    server.die_in(Some(self.dice.range(0, 60)));
                    self.fault("kill");
                }
            }
            Fault::Stop => {
                if self.server.as_ref().is_some_and(|server| !server.is_stopping()) {
                    self.stop_asked = true;
                    self.ledger.shut_down = true;
                    self.fault("shutdown");
                }
            }
            Fault::ClockStall => {
                self.stall = Some(self.dice.range(SECOND, 30 * SECOND));
                self.fault("clock stall");
            }
            Fault::DiskStall => {
                self.disk.stalled_until = self.now + self.dice.range(100 * MS, 15 * SECOND);
                self.fault("disk stall");
            }
            Fault::DiskFailure => {
                self.disk.failing_until = self.now + self.dice.range(10 * MS, 12 * SECOND);
                self.fault("disk failure");
            }
        }
    }

    fn arrive(&mut self, transit: Transit) {
        let Transit { link, to_server, .. } = transit;
        if let Segment::Bytes(bytes) = &transit.segment {
            let mut mark = self.now.to_le_bytes().to_vec();
            mark.extend_from_slice(&link.0.to_le_bytes());
            mark.push(to_server.into());
            mark.extend_from_slice(bytes);
            self.hash(&mark);
            if self.verbose {
                let way = if to_server { "->" } else { "<-" };
                println!("{:>12.6} {way} link {} {:?}", self.now as f64 / 1e6, link.0, String::from_utf8_lossy(bytes));
            }
        } else {
            self.say(|_| format!("link {} to_server {to_server}: {:?}", link.0, transit.segment));
        }
        if self.links.arrive(self.now, &transit) && !to_server {
            self.hear(link);
        }
    }

    /// The client of a link reads what has come.
    fn hear(&mut self, link: LinkId) {
        let Some(uid) = self.people.values().find(|person| person.link == Some(link)).map(|person| person.uid) else {
            return self.links.tidy(link);
        };
        let Some(person) = self.people.get_mut(&uid).filter(|person| person.reads) else { return };
        let Some(found) = self.links.map.get_mut(&link) else { return };
        let broken = found.reset;
        let bytes = found.down.take(usize::MAX);
        let ended = found.down.fin;
        if !bytes.is_empty() && !broken {
            if person.kind != Kind::Stranger {
                person.session.received(Duration::from_micros(self.now), &bytes);
            }
            self.drive(uid);
        }
        if broken || ended {
            self.hang_up(uid);
        }
    }

    /// The client takes what the core says, in the order that the core asks for.
    fn drive(&mut self, uid: Uid) {
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

    fn wake(&mut self, uid: Uid) {
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
                    self.ledger.logged_in(self.now, uid, person.linked_at, link, told_by_the_dead, &self.disk);
                }
                if person.kind == Kind::Once && person.asks.is_empty() {
                    person.session.log_out();
                }
            }
            Happening::Answered { tag, answer } => {
                let asked = person.asks.remove(&tag);
                if person.kind == Kind::Once && person.asks.is_empty() {
                    person.session.log_out();
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
            Happening::News(_) | Happening::Closing { .. } => {}
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

    fn add_device(&mut self, user: &UserName) {
        let uid = self.next_uid;
        self.next_uid += 1;
        let id = DeviceId::from_bytes(self.dice.bytes());
        let device = core::Device { id, shown: None, token: None };
        let login = login(user, Some(device), Some(password(user)));
        let mut person = Person::new(uid, Kind::Device, user.clone(), login);
        let away = self.mix.flood && self.mix.stays_away && *user == self.users[1];
        person.wants_in = self.dice.percent(80) && !away;
        self.people.insert(uid, person);
        self.ledger.add_device(uid, user.clone(), id);
        let at = self.now + self.dice.range(0, 3 * SECOND);
        self.at(at, Happens::Dial(uid));
        self.at(at + SECOND, Happens::Act(uid));
    }

    fn source(&mut self, user: &UserName, wrong: bool) -> IpAddr {
        if wrong && self.dice.percent(75) {
            return [10, 0, 2, 1].into();
        }
        let home = self.users.iter().position(|known| known == user).unwrap_or(0) as u8;
        match self.dice.one_in(5) {
            true => [10, 0, 1, 1].into(),
            false => [10, 0, 0, home + 1].into(),
        }
    }

    fn dial(&mut self, uid: Uid) {
        let Some(person) = self.people.get(&uid) else { return };
        if !person.wants_in || person.link.is_some() || person.over {
            return;
        }
        let (user, wrong) = (person.user.clone(), !person.password_right);
        let link = LinkId(self.next_link);
        self.next_link += 1;
        let source = self.source(&user, wrong);
        let mut weather = self.mix.weather(&mut self.dice);
        if self.calm {
            weather.reset_after = None;
            weather.delay_max = weather.delay_max.min(SECOND);
            weather.buffer = 256 * 1024;
            weather.piece_max = weather.piece_max.max(1000);
        }
        self.links.open(link, source, weather);
        if let Some(person) = self.people.get_mut(&uid) {
            person.link = Some(link);
            person.silent_until = 0;
            person.connected = false;
        }
        let at = self.now + self.dice.range(100, self.mix.delay_max + 200);
        self.at(at, Happens::Connect(link));
    }

    fn connect(&mut self, link: LinkId) {
        let Some(uid) = self.people.values().find(|person| person.link == Some(link)).map(|person| person.uid) else {
            return self.links.tidy(link);
        };
        let up = match &mut self.server {
            Some(server) if !server.is_stopping() => {
                server.backlog.push_back(link);
                true
            }
            _ => false,
        };
        if !up {
            self.links.server_dies(&mut self.dice, self.now, link);
            return self.hang_up(uid);
        }
        let nonces = [self.dice.bytes(), self.dice.bytes()];
        let Some(person) = self.people.get_mut(&uid) else { return };
        person.connected = true;
        person.linked_at = self.now;
        if !person.password_right || person.kind == Kind::Stranger {
            self.ledger.wrong.insert(link);
        }
        if let Some(token) = person.memory.as_ref().and_then(|memory| memory.token.as_ref()) {
            self.ledger.tokens.insert(link, token.0);
        }
        if person.kind == Kind::Stranger {
            return self.babble(uid, link);
        }
        person.session.connected(Duration::from_micros(self.now), nonces, None);
        self.drive(uid);
    }

    /// The client gives its link up; it may come back.
    fn hang_up(&mut self, uid: Uid) {
        let Some(person) = self.people.get_mut(&uid) else { return };
        person.session.disconnected();
        person.unsent.clear();
        person.reads = true;
        person.connected = false;
        if person.kind != Kind::Device {
            person.over = true;
        }
        if let Some(link) = person.link.take() {
            if self.dice.one_in(4) {
                self.links.reset(&mut self.dice, self.now, link);
            } else {
                self.links.fin(&mut self.dice, self.now, link, true);
            }
            self.links.tidy(link);
        }
        let pause = self.dice.range(50 * MS, 3 * SECOND);
        self.at(self.now + pause, Happens::Dial(uid));
    }

    /// Leaves the link lying, as a machine does that loses its network. The server hears nothing.
    fn lose_link(&mut self, uid: Uid) {
        let Some(person) = self.people.get_mut(&uid) else { return };
        person.session.disconnected();
        person.unsent.clear();
        person.reads = true;
        person.connected = false;
        person.link = None;
        let pause = self.dice.range(MS, SECOND);
        self.at(self.now + pause, Happens::Dial(uid));
    }

    fn act(&mut self, uid: Uid) {
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
                    person.session.log_out();
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
                self.fault("lost link");
                self.lose_link(uid);
            }
            86..88 if self.mix.silence => {
                let until = self.now + self.mix.heartbeat_timeout + self.dice.range(0, 10 * SECOND);
                if let Some(person) = self.people.get_mut(&uid).filter(|person| person.session.is_logged_in()) {
                    person.silent_until = until;
                    self.fault("silence");
                }
            }
            88..90 if self.mix.non_readers => {
                if let Some(person) = self.people.get_mut(&uid) {
                    person.reads = false;
                    self.fault("non-reader");
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
            _ => {
                if let Some(link) = self.people.get(&uid).and_then(|person| person.link)
                    && self.mix.resets
                {
                    self.fault("half-close");
                    self.links.fin(&mut self.dice, self.now, link, true);
                }
            }
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
        person.woken_at = None;
        self.fault("client restart");
    }

    fn mistype(&mut self, uid: Uid) {
        self.restart_client(uid);
        let Some(person) = self.people.get_mut(&uid) else { return };
        person.password_right = false;
        let memory = person.memory.clone().map(|memory| core::Device { token: None, ..memory });
        person.memory.clone_from(&memory);
        person.session = core::Session::new(login(&person.user, memory, Some("wrong".to_owned())));
    }

    fn ask(&mut self, uid: Uid, request: Request, asked: Asked) {
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
    fn block(&mut self, uid: Uid, other: UserName, block: bool) {
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
        let asked = Asked::Block { other: other.clone(), index };
        let request = if block { Request::Block { user: other } } else { Request::Unblock { user: other } };
        self.ask(uid, request, asked);
    }

    /// Somebody comes for a moment: a one-shot command, a wrong password, or nobody we know.
    fn visit(&mut self) {
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
    fn babble(&mut self, uid: Uid, link: LinkId) {
        self.fault("stranger");
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

    /// No more faults: everybody comes back and reads.
    fn heal(&mut self) {
        self.say(|_| "heal".to_owned());
        self.calm = true;
        self.stall = None;
        self.disk.stalled_until = self.disk.stalled_until.min(self.now + SECOND);
        self.disk.failing_until = self.now;
        self.disk_wakes = None;
        match &mut self.server {
            Some(server) => server.die_in(None),
            None => self.boot_in(MS),
        }
        let everybody: Vec<Uid> = self.people.keys().copied().collect();
        for uid in everybody {
            let Some(person) = self.people.get_mut(&uid) else { continue };
            person.silent_until = 0;
            person.reads = true;
            match person.kind {
                Kind::Device => {
                    person.wants_in = true;
                    if !person.password_right {
                        person.session.set_password(password(&person.user));
                        person.password_right = true;
                    }
                    person.woken_at = None;
                    self.hang_up(uid);
                }
                _ => self.hang_up(uid),
            }
        }
    }

    fn check_settled(&mut self) {
        if self.ledger.verdict().is_some() {
            return;
        }
        for person in self.people.values().filter(|person| person.kind == Kind::Device) {
            if !person.session.is_logged_in() {
                let law = format!("1: nothing is wrong any more, and device {} is not logged in", person.uid);
                self.ledger.broken(&law);
                return;
            }
            if person.session.pending() > 0 {
                let law = format!("1: device {} still waits for {} answers", person.uid, person.session.pending());
                self.ledger.broken(&law);
                return;
            }
        }
        self.ledger.check_arrivals();
    }

    fn leave(&mut self) {
        let everybody: Vec<Uid> = self.people.keys().copied().collect();
        for uid in everybody {
            if let Some(person) = self.people.get_mut(&uid) {
                person.wants_in = false;
                person.session.log_out();
                self.drive(uid);
            }
        }
    }
}
