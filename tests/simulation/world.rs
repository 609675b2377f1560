//! A run: virtual time, everybody who takes part, and the faults that fall.

mod acts;
mod attackers;
mod callers;
mod clients;
mod correspondents;
mod faults;
mod guests;
mod meetings;
mod members;
mod newcomers;

use std::collections::BTreeMap;
use std::time::Duration;

use chatd::hub::Config;
use chatd::hub::consent::{ANSWER_WITHIN, CONNECT_WITHIN};
use chatd::hub::credentials::Credential;
use chatd::hub::log_on::RESPONSE_WITHIN as LOG_ON_WITHIN;
use chatd::hub::name::UserName;
use chatd::hub::time::WallTime;

use crate::datagrams::{Datagram, Datagrams};
use crate::dice::Dice;
use crate::disk::{Disk, Fold};
use crate::fired::{Fault, Fired};
use crate::kernel::Kernel;
use crate::ledger::{Ledger, Uid};
use crate::link::{LinkId, Links, MS, SECOND, Segment, Time, Transit};
use crate::mix::Mix;
use crate::person::{Kind, Person, password};
use crate::plant::Plant;
use crate::secrets;
use crate::server::{Around, Server, Turned};
use attackers::Attackers;
use callers::{CallerId, Callers, Errand};
use correspondents::{CorrespondentId, Correspondents, Letter};
use faults::Strike;
use guests::{GuestId, Guests};
use meetings::Meeting;
use members::{MemberErrand, MemberId, Members};
use newcomers::Newcomer;

const NAMES: [&str; 6] = ["alice", "Bob", "carol-3", "dave.d", "eve_", "Frank"];
/// They make their accounts themselves.
const NEWCOMERS: [&str; 2] = ["grace", "Heidi"];
/// So does this one, by a datagram.
const BY_DATAGRAM: &str = "ivan";
/// With the same secret salts are the same, and verifiers are derived once.
const SECRET: [u8; 32] = [7; 32];
/// What dice of their own begin with.
const CLASSIC: u64 = 0x636c_6173_7369_6373;
const UDP: u64 = 0x6461_7461_6772_616d;
/// 2026-01-01.
const WALL_AT_START: Time = 1_767_225_600 * SECOND;
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
    /// Somebody who has no account makes one.
    SignUp(usize),
    /// Somebody who was asked for their address by this user makes up their mind.
    Decide(Uid, UserName),
    Meet(Meeting),
    /// Somebody asks when nothing is wrong any more.
    AskLate,
    LookLate,
    HangUp(Uid),
    /// Somebody new comes for a moment.
    Visitor,
    DiskDone,
    Boot,
    Strike(Strike),
    /// Somebody whose client is called does something.
    Caller(CallerId, Errand),
    /// A client comes to read what a call has brought.
    ReadsCall(LinkId),
    /// A user, by their place, whose client is called: perhaps they log in.
    Comes(usize),
    Guest(GuestId),
    Datagram(Datagram),
    Member(MemberId, MemberErrand),
    Correspondent(CorrespondentId, Letter),
    /// Two who are free chat, when nothing is wrong any more: a step of that.
    ChatLate(u32),
    /// Somebody says what is not theirs to say.
    Attack,
}

/// How a run came out.
pub struct Outcome {
    pub verdict: Result<(), String>,
    pub fired: Fired,
    /// Of everything that travelled, with its time.
    pub hash: u64,
    pub lasted: Time,
    pub turns: u64,
    pub sent: usize,
    pub shown: u64,
    pub shown_by_calls: u64,
    pub shown_to_guests: u64,
    pub shown_in_sessions: u64,
    pub shown_by_datagrams: u64,
    pub glued: u64,
    pub excused: usize,
    pub log_ons: u64,
    pub shown_again: u64,
    pub met: u64,
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
    datagrams: Datagrams,
    kernel: Kernel,
    /// What the wall clock is ahead of the world's time, beside its start.
    wall_offset: i64,
    disk: Disk,
    disk_wakes: Option<Time>,
    ledger: Ledger,
    server: Option<Server>,
    busy_until: Time,
    stall: Option<Time>,
    stall_after_poll: bool,
    stop_asked: bool,
    boot_asked: bool,
    people: BTreeMap<Uid, Person>,
    newcomers: Vec<Newcomer>,
    callers: Callers,
    guests: Guests,
    members: Members,
    correspondents: Correspondents,
    attackers: Attackers,
    /// When the server was started last.
    booted: Time,
    /// So often two have met without the server.
    met: u64,
    next_uid: Uid,
    users: Vec<UserName>,
    calm: bool,
    /// Everybody goes, and nobody comes.
    leaving: bool,
    fired: Fired,
    hash: u64,
    turns: u64,
}

pub fn run(seed: u64, plant: Plant, verbose: bool) -> Outcome {
    let mut dice = Dice::new(seed);
    let mut mix = Mix::draw(&mut dice, &mut Dice::new(seed ^ CLASSIC), &mut Dice::new(seed ^ UDP));
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
    ledger.limited = mix.rate.is_some();
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
        datagrams: Datagrams::default(),
        kernel: Kernel::default(),
        wall_offset: 0,
        disk_wakes: None,
        server: None,
        busy_until: 0,
        stall: None,
        stall_after_poll: false,
        stop_asked: false,
        boot_asked: false,
        people: BTreeMap::new(),
        newcomers: Vec::new(),
        callers: Callers::default(),
        guests: Guests::default(),
        members: Members::default(),
        correspondents: Correspondents::default(),
        attackers: Attackers::default(),
        booted: 0,
        met: 0,
        next_uid: 0,
        users,
        calm: false,
        leaving: false,
        fired: Fired::default(),
        hash: 0xcbf2_9ce4_8422_2325,
        turns: 0,
        mix,
    };
    if plant == Plant::TheLastCommitIsLost {
        world.disk.before = Some(Fold::default());
    }
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
    for others in [&world.links.fired, &world.datagrams.fired, &world.kernel.fired, &world.disk.fired] {
        world.fired.add(others);
    }
    Outcome {
        verdict,
        fired: world.fired,
        hash: world.hash,
        lasted: world.now,
        turns: world.turns,
        sent: world.ledger.sent.len(),
        shown: world.ledger.shown_count,
        shown_by_calls: world.ledger.classics.shown_by_calls,
        shown_to_guests: world.ledger.classics.shown_to_guests,
        shown_in_sessions: world.ledger.classics.shown_in_sessions,
        shown_by_datagrams: world.ledger.classics.shown_by_datagrams,
        glued: world.ledger.sessions.glued,
        excused: world.ledger.correspondents.excused(),
        log_ons: world.ledger.log_ons.counted,
        shown_again: world.ledger.classics.shown_again,
        met: world.met,
        refused: world.ledger.refused,
        committed: world.disk.committed,
        secret: (!world.mix.fresh_secret).then_some(SECRET),
        fold: world.disk.fold,
    }
}

impl World {
    fn play(&mut self) {
        self.boot();
        self.links.calls = self.mix.call_weather();
        self.datagrams.weather = self.mix.udp.weather;
        let callers = self.users.len() - self.mix.classic.callers.min(self.mix.users - 2) as usize;
        for (place, user) in self.users.clone().into_iter().enumerate() {
            if place >= callers {
                self.add_caller(place);
                if !self.mix.classic.others_too {
                    continue;
                }
            }
            if self.logs_on_by_datagrams(place, callers) {
                continue;
            }
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
        for name in &NEWCOMERS[..self.mix.newcomers as usize] {
            self.add_newcomer(UserName::parse(name).expect("a name"));
        }
        (0..self.mix.classic.guests).for_each(|_| self.add_guest());
        if self.mix.udp.newcomer && !self.mix.flood {
            self.add_correspondent(&UserName::parse(BY_DATAGRAM).expect("a name"));
        }
        if self.mix.udp.forgeries {
            self.at(SECOND, Happens::Attack);
        }
        let end = self.mix.duration;
        self.plan_strikes();
        if self.mix.one_shots || self.mix.wrong_passwords || self.mix.strangers {
            self.at(SECOND, Happens::Visitor);
        }
        self.run_until(end);
        self.heal();
        let mut settling = self.mix.lockout + 60 * SECOND;
        if self.mix.rate.is_some() {
            // What was too fast takes its time.
            settling = settling.max(300 * SECOND);
        }
        if self.mix.consents {
            // The questions of this time have to be over too.
            settling = settling.max(2 * ANSWER_WITHIN.as_micros() as Time);
            self.at(self.now + 8 * SECOND, Happens::LookLate);
            (0..4).for_each(|_| {
                let at = self.now + self.dice.range(10 * SECOND, 40 * SECOND);
                self.at(at, Happens::AskLate);
            });
        }
        for step in 0..3 {
            self.at(self.now + settling - (15 - 4 * Time::from(step)) * SECOND, Happens::ChatLate(step));
        }
        self.run_until(self.now + settling);
        self.check_settled();
        self.leave();
        self.run_until(self.now + 30 * SECOND);
        if self.mix.udp.members > 0 || self.mix.udp.newcomer {
            self.run_until(self.now + LOG_ON_WITHIN.as_micros() as Time);
        }
        if self.mix.consents && self.server.as_ref().is_some_and(|server| server.connections() == 0) {
            self.run_until(self.now + CONNECT_WITHIN.as_micros() as Time + 60 * SECOND);
        }
        if self.ledger.verdict().is_none() && self.disk.fold.has_consents() {
            self.ledger.broken("11: every consent has ended, and the disk has some");
        }
        if self.ledger.verdict().is_none() {
            let left = match &self.server {
                Some(server) if server.connections() > 0 => {
                    Err(format!("11: nobody is here, and these are left: {:?}", server.left()))
                }
                Some(server) => server.check_baseline(),
                None => Err("the server is not there at the end".to_owned()),
            };
            if let Err(law) = left {
                self.ledger.broken(&law);
            }
        }
    }

    /// Gives a user the clients that log on by datagrams. Comes back: whether those are all.
    fn logs_on_by_datagrams(&mut self, place: usize, callers: usize) -> bool {
        if self.mix.flood {
            return false;
        }
        let is_member = (place as u64) < self.mix.udp.members;
        // So that some have both.
        let is_correspondent = place > 0 && (place as u64) <= self.mix.udp.correspondents;
        let user = self.users[place].clone();
        if is_member {
            self.add_member(&user);
        }
        if is_correspondent {
            self.add_correspondent(&user);
        }
        (is_member || is_correspondent) && !self.mix.udp.others_too && place + 1 < callers
    }

    fn at(&mut self, at: Time, happens: Happens) {
        self.order += 1;
        self.events.insert((at.max(self.now), self.order), happens);
    }

    fn fires(&mut self, fault: Fault) {
        self.fired.note(fault);
        self.say(|_| format!("fault: {fault:?}"));
    }

    /// What the wall clock of the server's machine says.
    fn wall(&self) -> WallTime {
        WallTime::from_millis((WALL_AT_START + self.now).saturating_add_signed(self.wall_offset) / MS)
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
            for (at, datagram) in std::mem::take(&mut self.datagrams.departed) {
                self.at(at, Happens::Datagram(datagram));
            }
            if let Some(at) = self.disk.busy_until().filter(|at| self.disk_wakes.is_none_or(|due| due != *at)) {
                self.disk_wakes = Some(at);
                self.at(at, Happens::DiskDone);
            }
            let event = self.events.first_key_value().map(|(&(at, _), _)| at);
            let turn = self.server.as_ref().and_then(|server| match server.is_mid_turn() {
                true => Some(self.busy_until),
                false => {
                    let at = server.next_turn(self.now, (&self.disk, &self.links, &self.datagrams, &self.kernel))?;
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
        let wall = self.wall();
        let Some(mut server) = self.server.take() else { return };
        let stop = self.stop_asked && !server.is_mid_turn();
        if !server.is_mid_turn()
            && let Some(stall) = self.stall.take()
        {
            // Before the clock is read, or when it was read and the kernel has told who is ready.
            self.fired.note(Fault::ClockStall);
            self.busy_until = self.now + stall;
            self.stall_after_poll = self.dice.one_in(2);
            if !self.stall_after_poll {
                self.server = Some(server);
                return;
            }
        }
        let mut around = Around {
            now: self.now,
            wall,
            kernel: &mut self.kernel,
            dice: &mut self.dice,
            links: &mut self.links,
            datagrams: &mut self.datagrams,
            disk: &mut self.disk,
            ledger: &mut self.ledger,
        };
        if !server.is_mid_turn() {
            server.poll(&mut around);
            if std::mem::take(&mut self.stall_after_poll) {
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
                if turned == Turned::Killed {
                    self.fired.note(Fault::Kill);
                    if server.died_of_commit() {
                        self.fired.note(Fault::KillAfterCommit);
                    }
                    if !server.has_accounts() {
                        self.fired.note(Fault::KillAtStart);
                    }
                }
                let through = self.disk.killed(&mut self.dice, self.now);
                if let Some(before) = &self.disk.before {
                    self.disk.fold.clone_from(before);
                }
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
            Plant::AccountsAreForgotten => self.disk.fold.forget_accounts(),
            Plant::ConsentsAreForgotten => self.disk.fold.forget_consents(),
            Plant::RevokesAreForgotten => self.disk.fold.bring_consents_back(),
            Plant::LocksBeginAnew => self.disk.fold.begin_locks_anew(),
            Plant::CursorsRunAhead => self.disk.fold.advance_cursors(),
            _ => {}
        }
        self.kernel.begin_anew();
        self.datagrams.begin_anew();
        let links: Vec<LinkId> = self.links.map.keys().copied().collect();
        for link in links {
            self.links.server_dies(&mut self.dice, self.now, link);
        }
        if self.mix.wall_jumps > 0 && !self.calm && self.dice.one_in(3) {
            self.jump();
        }
        if self.calm {
            self.callers_miss_the_server();
            self.correspondents_miss_the_server();
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
        self.booted = self.now;
        self.busy_until = self.now;
        let config = Config {
            heartbeat_timeout: Duration::from_micros(self.mix.heartbeat_timeout),
            password_tries: self.mix.tries,
            lockout: Duration::from_micros(self.mix.lockout),
            queue_expiry: self.mix.expiry.map_or(Config::default().queue_expiry, Duration::from_micros),
            scram_iterations: secrets::ITERATIONS,
            messages_per_second: self.mix.rate,
            ..Config::default()
        };
        let in_file = &self.users[..self.mix.users as usize];
        let accounts = in_file.iter().map(|user| Credential::new(user.clone(), password(user))).collect();
        let wall = self.wall();
        self.ledger.booted(self.now, wall);
        let mut around = Around {
            now: self.now,
            wall,
            kernel: &mut self.kernel,
            dice: &mut self.dice,
            links: &mut self.links,
            datagrams: &mut self.datagrams,
            disk: &mut self.disk,
            ledger: &mut self.ledger,
        };
        let mut server =
            Server::boot(config, accounts, self.plant, self.mix.check_always, self.mix.worker_delay, &mut around);
        if self.mix.kills_at_start && self.now > 0 && !self.calm && self.dice.one_in(2) {
            server.die_in(Some(self.dice.range(0, 8)));
        }
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
            Happens::Decide(uid, asker) => self.decide(uid, asker),
            Happens::Meet(meeting) => self.meet(meeting),
            Happens::AskLate => self.ask_late(),
            Happens::LookLate => self.look_late(),
            Happens::HangUp(uid) => self.hang_up(uid),
            Happens::SignUp(newcomer) => self.sign_up(newcomer),
            Happens::Visitor => self.visit(),
            Happens::DiskDone => {
                if self.disk.busy_until().is_some_and(|at| at <= self.now) {
                    self.disk_wakes = None;
                    self.disk.finish(&mut self.dice, self.now, self.plant == Plant::FailedIsCommitted);
                }
            }
            Happens::Caller(caller, errand) => self.run_errand(caller, errand),
            Happens::ReadsCall(link) => self.read_call(link),
            Happens::Comes(user) => self.comes(user),
            Happens::Guest(guest) => self.guest_acts(guest),
            Happens::Datagram(datagram) => self.datagram_arrives(datagram),
            Happens::Member(member, errand) => self.member_acts(member, errand),
            Happens::Correspondent(correspondent, letter) => self.correspondent_acts(correspondent, letter),
            Happens::ChatLate(step) => self.chat_late(step),
            Happens::Attack => self.attack(),
            Happens::Boot => {
                if self.server.is_none() {
                    self.boot();
                }
            }
            Happens::Strike(strike) => self.strike(strike),
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
        let there = self.links.arrive(self.now, &transit);
        match transit.segment {
            _ if !there => {}
            Segment::Call => self.called(link),
            Segment::Fin if to_server => self.ledger.call_ended(self.now, link),
            Segment::Reset => {
                // Wherever it arrives first, neither end reads on.
                self.ledger.call_broke(link);
                if !to_server {
                    self.hear(link);
                }
            }
            _ if !to_server => self.hear(link),
            _ => {}
        }
    }

    fn datagram_arrives(&mut self, datagram: Datagram) {
        let mut mark = self.now.to_le_bytes().to_vec();
        mark.push(datagram.to_server.into());
        mark.extend_from_slice(&datagram.bytes);
        self.hash(&mark);
        self.say(|_| {
            let way = if datagram.to_server { "->" } else { "<-" };
            let Datagram { client, origin, bytes, .. } = &datagram;
            format!("{way} {client} {origin:?} {:?}", String::from_utf8_lossy(bytes))
        });
        if datagram.to_server && self.server.is_none() {
            return;
        }
        let Some(datagram) = self.datagrams.arrive(self.now, datagram) else { return };
        if let Some(member) = self.members.at(datagram.client) {
            self.member_is_told(member, &datagram);
        } else if let Some(correspondent) = self.correspondents.at(datagram.client) {
            self.correspondent_is_told(correspondent, &datagram);
        }
    }

    fn check_settled(&mut self) {
        if self.ledger.verdict().is_some() {
            return;
        }
        if let Some(newcomer) = self.newcomers.iter().find(|newcomer| !newcomer.is_member) {
            let law = format!("1: nothing is wrong any more, and {:?} has no account", newcomer.user);
            return self.ledger.broken(&law);
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
        self.check_callers();
        self.check_members();
        self.check_correspondents();
        self.check_questions();
        self.ledger.check_arrivals(&self.disk);
    }

    fn leave(&mut self) {
        self.leaving = true;
        let everybody: Vec<Uid> = self.people.keys().copied().collect();
        for uid in everybody {
            if let Some(person) = self.people.get_mut(&uid) {
                person.wants_in = false;
                person.log_out();
                self.drive(uid);
            }
        }
        self.callers_leave();
        self.guests_leave();
        self.members_leave();
        self.correspondents_leave();
        self.attackers_leave();
    }
}
