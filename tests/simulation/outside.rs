//! What the real turn reaches in this world: sockets over the links, readiness, the disk, a worker. From here the turn is
//! also looked at, for the laws, and bent, where a bug is planted in it.

mod chats;
mod desk;
mod known;
mod lent;
mod observed;
mod planted;

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use chatd::hub::change::Change;
use chatd::hub::credentials::{Password, PasswordDigest};
use chatd::hub::effect::{self, Effect, Event};
use chatd::hub::id::{ConnectionId, DeviceId, Endpoint, Number, PeerAddress, Source};
use chatd::hub::input::{Input, LogOn, Mechanism, Peer, Request};
use chatd::hub::message::{HistoryPage, HistoryQuery};
use chatd::hub::name::UserName;
use chatd::hub::time::WallTime;
use chatd::net::queue::BatchNumber;
use chatd::net::turn::{DRAIN_WITHIN, Environment, STRANGE_BYTES_MAX, Seen};
use chatd::net::worker::{Done, Job, Reload};
use chatd::store::{Batch, Completion, Submitted, Ticket};

use self::chats::Chats;
use self::desk::{Desk, Lodger};
use self::known::{Callee, Claim, Known, Proof};
pub use self::lent::{Lent, Socket};
use self::planted::Bent;
pub use self::planted::ELSEWHERE;
use crate::datagrams::{Datagrams, Origin};
use crate::dice::Dice;
use crate::disk::{Disk, Fold, Told};
use crate::fired::Fault;
use crate::kernel::{Kernel, Listener};
use crate::ledger::{Evidence, Ledger, Tried};
use crate::link::{LinkId, Links, MS, SECOND, Time};
use crate::plant::Plant;
use crate::secrets;

/// Where the server listens.
pub const OWN_PORT: u16 = 6001;
/// Where it hears datagrams.
pub const OWN_DATAGRAMS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 255, 1)), 12_000);
/// So long whoever is told to go may be called, with the longest stall.
const DRAIN: Time = DRAIN_WITHIN.as_micros() as Time + 31 * SECOND;
/// So long the store takes for a question at most.
const ANSWER_WITHIN: Time = 20 * MS;

/// Who asks for what the hub does now.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Asker {
    #[default]
    None,
    Connection(ConnectionId),
    /// Somebody who is nobody's client.
    Nobody,
}

/// What the poll announces of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Announced {
    /// More has come; whether the end has.
    pub readable: Option<bool>,
    pub writable: bool,
}

pub struct Outside {
    lent: Rc<RefCell<Lent>>,
    booted: Time,
    plant: Plant,
    heartbeat_timeout: Time,
    check_always: bool,
    known: BTreeMap<ConnectionId, Known>,
    jobs: VecDeque<(Time, Job)>,
    worker_delay: Time,
    questions: VecDeque<(Time, Ticket)>,
    /// The batches that questions have to wait for which were not asked yet.
    questions_wait: VecDeque<BatchNumber>,
    submitted: BatchNumber,
    /// Up to here every batch is on the disk or lost, as far as the turn was told.
    decided: BatchNumber,
    round: u64,
    /// The sessions that the hub has, by its own effects.
    here: chats::Here,
    chats: Chats,
    desk: Desk,
    bent: Bent,
    /// The step of a log-on that the hub was told last, and from where.
    step: Option<(SocketAddr, LogOn)>,
    /// Who says something in a chat.
    says: Option<ConnectionId>,
    /// Those of them that are reached by calls.
    callees: BTreeMap<ConnectionId, Callee>,
    asker: Asker,
    /// Whether what the hub does now may end a log-in by password.
    by_password: bool,
    /// How many changes of the turn somebody has asked for, so far.
    changes_seen: usize,
    accounts_read: bool,
}

impl Outside {
    pub fn new(
        booted: Time,
        plant: Plant,
        heartbeat_timeout: Duration,
        check_always: bool,
        worker_delay: Time,
    ) -> Outside {
        let lent = Lent {
            now: booted,
            wall: WallTime::default(),
            dice: Dice::new(0),
            links: Links::default(),
            datagrams: Datagrams::default(),
            disk: Disk::new(Fold::default(), 0),
            ledger: Ledger::new(0, 0),
            kernel: Kernel::default(),
            plant,
            die_in: None,
            die_after_commit: false,
            dies_of_commit: false,
            dead: false,
            closed: Vec::new(),
            full: BTreeSet::new(),
            polls: [0; 2],
            carried: BTreeMap::new(),
            read_at: BTreeMap::new(),
            chunks: BTreeMap::new(),
        };
        Outside {
            lent: Rc::new(RefCell::new(lent)),
            booted,
            plant,
            heartbeat_timeout: heartbeat_timeout.as_micros() as Time,
            check_always,
            known: BTreeMap::new(),
            jobs: VecDeque::new(),
            worker_delay,
            questions: VecDeque::new(),
            questions_wait: VecDeque::new(),
            submitted: 0,
            decided: 0,
            round: 0,
            here: BTreeMap::new(),
            chats: Chats::default(),
            desk: Desk::default(),
            bent: Bent::default(),
            step: None,
            says: None,
            callees: BTreeMap::new(),
            asker: Asker::None,
            by_password: false,
            changes_seen: 0,
            accounts_read: false,
        }
    }

    pub fn lent(&self) -> RefMut<'_, Lent> {
        self.lent.borrow_mut()
    }

    pub fn listener(&self) -> Listener {
        Listener::new(Rc::clone(&self.lent), self.plant)
    }

    fn is_writable(known: &Known, full: &BTreeSet<LinkId>, links: &Links) -> bool {
        known.writable && full.contains(&known.link) && links.is_writable(known.link)
    }

    /// Whether a poll would announce something.
    pub fn has_events(&self, links: &Links) -> bool {
        let lent = self.lent.borrow();
        let full = &lent.full;
        if self.desk.waits {
            return true;
        }
        self.known.values().any(|known| {
            links.map.get(&known.link).is_some_and(|link| link.edge) || Outside::is_writable(known, full, links)
        })
    }

    /// Whether the operator's accounts have been read.
    pub fn has_accounts(&self) -> bool {
        self.accounts_read
    }

    /// When the worker or the store is done with something.
    pub fn next_result(&self) -> Option<Time> {
        let job = self.jobs.front().map(|(at, _)| *at);
        let question = self.questions.front().map(|(at, _)| *at);
        job.into_iter().chain(question).min()
    }

    /// Announces, once, what has happened on the links. A round begins.
    pub fn poll(&mut self) -> Vec<(ConnectionId, Announced)> {
        self.round += 1;
        {
            let lent = &mut *self.lent.borrow_mut();
            lent.polls = [lent.polls[1], lent.now];
        }
        let Lent { links, full, kernel, .. } = &mut *self.lent.borrow_mut();
        kernel.deaf = false;
        let mut events = Vec::new();
        for (&id, known) in &self.known {
            let mut event = Announced::default();
            if Outside::is_writable(known, full, links) {
                full.remove(&known.link);
                event.writable = true;
            }
            if let Some(link) = links.map.get_mut(&known.link)
                && std::mem::take(&mut link.edge)
            {
                let ended = link.up.fin.is_some() || link.reset;
                let seems_taken = self.plant == Plant::TakenBeforeItIsRead && link.is_written_call();
                event.readable = Some(ended || seems_taken);
            }
            if event.writable || event.readable.is_some() {
                events.push((id, event));
            }
        }
        events
    }

    /// Whether more has come to the socket of datagrams, and whether it takes them again.
    pub fn poll_datagrams(&mut self) -> (bool, bool) {
        let edge = &mut self.lent.borrow_mut().datagrams.edge;
        (std::mem::take(edge), std::mem::take(&mut self.desk.waits))
    }

    /// A round is over in which everybody who was `due` should have been served. Silence is judged by `judged`.
    pub fn check_round(&mut self, due: &[ConnectionId], judged: Time) {
        self.check_given_up(judged);
        let ledger = &mut self.lent.borrow_mut().ledger;
        if due.iter().any(|id| self.known.get(id).is_some_and(|known| known.served_in != self.round)) {
            ledger.broken("12: somebody who was ready was not served in the round");
        }
        for (id, (_, device)) in &self.here {
            let last_heard = match self.callees.get(id) {
                Some(callee) => Some(callee.last_heard),
                None => self.known.get(id).map(|known| known.last_heard),
            };
            let is_late = last_heard.is_some_and(|at| at + self.heartbeat_timeout <= judged);
            if is_late && !matches!(*device, Some(DeviceId::NICK | DeviceId::SESSION)) {
                ledger.broken("8: somebody was silent for too long, and is still there");
            }
        }
    }

    fn check_given_up(&self, judged: Time) {
        if self.desk.is_late(judged) {
            self.lent.borrow_mut().ledger.broken("12: somebody acknowledges nothing, and is not given up");
        }
    }

    pub fn calls(&self, user: &UserName, at: SocketAddr) -> bool {
        self.callees.values().any(|callee| callee.user == *user && callee.at == at && callee.left.is_none())
    }

    pub fn left(&self) -> [(&'static str, usize); 3] {
        let lodgers = self.desk.lodgers.len();
        [("sessions", self.here.len()), ("descriptors", self.known.len()), ("correspondents", lodgers)]
    }

    /// Links whose descriptor was closed since the last call.
    pub fn take_closed(&mut self) -> Vec<LinkId> {
        std::mem::take(&mut self.lent.borrow_mut().closed)
    }
}

impl Environment for Outside {
    type Stream = Socket;

    fn dial(&mut self, address: SocketAddr) -> io::Result<Socket> {
        let lent = &mut *self.lent.borrow_mut();
        if lent.dies() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        if let Err(error) = lent.kernel.take_descriptor(lent.now) {
            lent.kernel.fired.note(Fault::NoDescriptorToCall);
            return Err(error);
        }
        let address = match self.plant {
            Plant::CallsGoElsewhere => SocketAddr::new(address.ip(), address.port() ^ 1),
            _ => address,
        };
        let link = lent.links.dial(&mut lent.dice, lent.now, address);
        lent.kernel.open += 1;
        let callees = self.callees.values_mut().filter(|callee| callee.at == address);
        match callees.max_by_key(|callee| callee.since) {
            Some(callee) => {
                callee.is_called(lent, link);
                if self.plant == Plant::CallsAreMadeTwice {
                    callee.is_called(lent, link);
                }
            }
            None => lent.ledger.broken("9: the server calls where nobody has said that they listen"),
        }
        Ok(Socket::new(link, Rc::clone(&self.lent)))
    }

    fn register(&mut self, socket: &mut Socket, id: ConnectionId, writable: bool) -> io::Result<()> {
        let lent = &mut *self.lent.borrow_mut();
        if let Err(error) = lent.watch() {
            lent.kernel.deaf |= self.plant == Plant::UnwatchedLosesTheListener;
            socket.leaks = self.plant == Plant::UnwatchedIsLeaked;
            return Err(error);
        }
        if writable {
            lent.full.insert(socket.link);
        }
        // What came before it was watched is announced as well.
        if let Some(link) = lent.links.map.get_mut(&socket.link) {
            link.edge |= !link.up.arrived.is_empty() || link.up.fin.is_some() || link.reset;
        }
        let known = Known {
            link: socket.link,
            source: Source::of(lent.links.map[&socket.link].source),
            writable,
            claim: None,
            logged_in: false,
            last_heard: lent.now,
            served_in: self.round,
        };
        self.known.insert(id, known);
        Ok(())
    }

    fn reregister(&mut self, socket: &mut Socket, id: ConnectionId, writable: bool) -> io::Result<()> {
        let lent = &mut *self.lent.borrow_mut();
        lent.watch()?;
        if let Some(known) = self.known.get_mut(&id) {
            known.writable = writable;
            // Asked for anew, it is announced anew.
            lent.full.insert(socket.link);
        }
        Ok(())
    }

    fn deregister(&mut self, socket: &mut Socket) -> io::Result<()> {
        self.known.retain(|_, known| known.link != socket.link);
        let lent = &mut *self.lent.borrow_mut();
        lent.full.remove(&socket.link);
        // Closed, it is not watched any more, whatever is said here.
        lent.watch()
    }

    fn receive(&mut self, _: u16, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let lent = &mut *self.lent.borrow_mut();
        if lent.dead {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if lent.dice.one_in(64) {
            // Somebody whom something was sent to is not there (ICMP).
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let mut datagram = lent.datagrams.arrived.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        let under_way = self.desk.text_under_way(datagram.client);
        lent.ledger.note_received(lent.now, &datagram, under_way);
        self.desk.hears(lent.now, &datagram);
        planted::received(self.plant, &self.desk, &mut datagram);
        let size = datagram.bytes.len().min(buffer.len());
        buffer[..size].copy_from_slice(&datagram.bytes[..size]);
        Ok((size, datagram.client))
    }

    fn send(&mut self, to: Endpoint, datagram: &[u8]) -> io::Result<()> {
        let lent = &mut *self.lent.borrow_mut();
        if lent.dies() {
            return Ok(());
        }
        if lent.dice.one_in(64) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for _ in 0..planted::sent(lent, to, datagram) {
            if let Some(law) = self.desk.sends(lent.now, to.address, datagram) {
                lent.ledger.broken(&law);
            }
        }
        let Lent { datagrams, dice, now, .. } = lent;
        datagrams.send(dice, *now, (to.address, false), Origin::Said, datagram.to_vec());
        Ok(())
    }

    fn sends_from(&self, _: Endpoint) -> SocketAddr {
        OWN_DATAGRAMS
    }

    fn watch_datagrams(&mut self, _: u16, writable: bool) -> io::Result<()> {
        self.desk.waits |= writable;
        Ok(())
    }

    fn submit(&mut self, batch: Batch) -> Submitted {
        let lent = &mut *self.lent.borrow_mut();
        if !lent.dies() {
            self.submitted = batch.number;
            lent.disk.submit(&mut lent.dice, lent.now, batch);
            lent.dies();
        }
        match self.plant {
            Plant::NothingWaitsForTheDisk => Submitted::Persisted,
            _ => Submitted::Pending,
        }
    }

    fn completions(&mut self) -> Vec<Completion> {
        let lent = &mut *self.lent.borrow_mut();
        let mut completions = Vec::new();
        for told in lent.disk.told.drain(..) {
            match told {
                Told::Persisted { through } => {
                    lent.ledger.persisted(through);
                    self.decided = self.decided.max(through);
                    if std::mem::take(&mut lent.die_after_commit) {
                        lent.die_in = Some(lent.dice.range(0, 4));
                        lent.dies_of_commit = true;
                    }
                    completions.push(Completion::Persisted { through });
                }
                Told::Failed { first } => {
                    lent.ledger.lost(first, self.submitted);
                    self.decided = self.submitted;
                    // Said so, no queue has anything that is lost.
                    let first = if self.plant == Plant::NothingIsTakenBack { u64::MAX } else { first };
                    completions.push(Completion::Failed { first, error: "the disk fails".to_owned() });
                }
            }
        }
        while self.questions.front().is_some_and(|(at, _)| *at <= lent.now) {
            let Some((_, ticket)) = self.questions.pop_front() else { break };
            let page = (!lent.dice.one_in(16)).then(HistoryPage::default);
            completions.push(Completion::Page { ticket, page });
        }
        completions
    }

    fn resume(&mut self) {
        let lent = &mut *self.lent.borrow_mut();
        lent.disk.resume(&mut lent.dice, lent.now);
    }

    fn query(&mut self, ticket: Ticket, _: HistoryQuery) {
        let lent = &mut *self.lent.borrow_mut();
        if self.questions_wait.pop_front().is_none_or(|batch| batch > self.decided && !lent.dead) {
            lent.ledger.broken("1: a question was asked before what it may be about was on the disk");
        }
        let begin = self.questions.back().map_or(lent.now, |(at, _)| lent.now.max(*at));
        self.questions.push_back((begin + lent.dice.range(0, ANSWER_WITHIN), ticket));
    }

    fn work(&mut self, job: Job) {
        let lent = &mut *self.lent.borrow_mut();
        let begin = self.jobs.back().map_or(lent.now, |(at, _)| lent.now.max(*at));
        self.jobs.push_back((begin + lent.dice.range(MS, self.worker_delay + 2 * MS), job));
    }

    fn descriptors(&self) -> Option<usize> {
        Some(self.known.len())
    }

    fn done(&mut self) -> Option<Done> {
        let now = self.lent.borrow().now;
        self.jobs.front().filter(|(at, _)| *at <= now)?;
        let (_, job) = self.jobs.pop_front()?;
        Some(match job {
            Job::Reload(Reload(reload)) => Done::Reloaded(reload()),
            Job::Derive(ticket, derivations) => {
                Done::Derived(ticket, derivations.iter().map(secrets::verifier).collect())
            }
        })
    }

    fn tells(&mut self, input: Input) -> Option<Input> {
        (self.asker, self.by_password) = (Asker::None, false);
        let lent = &mut *self.lent.borrow_mut();
        let mut input = input;
        match &mut input {
            Input::Request { connection, request, .. } if self.desk.lodgers.contains_key(connection) => {
                self.asker = Asker::Connection(*connection);
                if let Some(lodger) = self.desk.lodgers.get_mut(connection)
                    && let Request::LogInByDigest { name, digest } = request
                {
                    let word = Password::parse(&crate::person::password(name)).ok()?;
                    let by = Proof::Digest { right: *digest == PasswordDigest::of(&word) };
                    lodger.claim = Some(Claim { user: name.clone(), device: Some(DeviceId::DATAGRAM), by });
                }
            }
            Input::LogOn { from, step } => self.step = Some((from.address, step.clone())),
            Input::Unreached { .. } if self.plant == Plant::UnreachedStay => return None,
            Input::Unreached { connection } => {
                let law = self.desk.gives_up(lent.now, *connection, &lent.datagrams.arrived);
                law.into_iter().for_each(|law| lent.ledger.broken(law));
            }
            Input::Request { connection, request, .. } => {
                self.asker = Asker::Connection(*connection);
                let known = self.known.get_mut(connection)?;
                known.last_heard = lent.now;
                match request {
                    Request::LogIn { mechanism, first, device } if !known.logged_in => {
                        let device = device.map(|device| device.id);
                        known.claim = Some(Claim { user: first.user.clone(), device, by: Proof::Scram(*mechanism) });
                    }
                    Request::LogInByPassword { name, password, port } => {
                        let (word, port) = (password.as_ref().map(Password::as_str), port.get());
                        lent.ledger.word_told(known.link, name, word, port);
                        let by = Proof::Word { right: word == Some(&*crate::person::password(name)), port };
                        known.claim = Some(Claim { user: name.clone(), device: Some(DeviceId::REQUEST), by });
                    }
                    Request::Connect(challenge) => {
                        known.claim = lent.ledger.log_ons.user_of(*challenge).map(|user| Claim {
                            user: user.clone(),
                            device: Some(DeviceId::SESSION),
                            by: Proof::Challenge(*challenge),
                        });
                    }
                    Request::Say(_) => self.says = Some(*connection),
                    Request::Enter(name) => {
                        let (user, device) = (name.clone(), Some(DeviceId::NICK));
                        known.claim = Some(Claim { user, device, by: Proof::Nothing });
                    }
                    Request::Authenticate(_) => {
                        let claim = known.claim.as_ref();
                        self.by_password = claim.is_some_and(|claim| claim.by == Proof::Scram(Mechanism::Password));
                    }
                    _ => {}
                }
            }
            Input::Connected { connection, .. } if !self.known.contains_key(connection) => {
                let heard = self.desk.heard.as_ref()?;
                let lodger = Lodger { at: heard.client, claim: None, logged_in: false, since: lent.now };
                self.desk.lodgers.insert(*connection, lodger);
            }
            Input::Connected { connection, peer: Peer::Stranger { binding, .. } } => {
                let link = self.known.get(connection).and_then(|known| lent.links.map.get(&known.link));
                *binding = link.and_then(|link| link.binding.clone());
            }
            Input::Closed { .. } if self.plant == Plant::ClosedIsForgotten && lent.dice.one_in(2) => return None,
            Input::Closed { connection } => {
                self.here.remove(connection);
                self.callees.remove(connection);
                self.desk.forget(lent.now, *connection);
            }
            Input::Posted { from, user, .. } => {
                let is_theirs = |(_, callee): &(&ConnectionId, &mut Callee)| {
                    callee.user == *user && callee.at.ip() == from.disclose() && callee.left.is_none()
                };
                let of_theirs = self.callees.values().find(|callee| callee.user == *user && callee.left.is_none());
                let at = of_theirs.map(|callee| PeerAddress::of(callee.at.ip()));
                self.asker = match self.callees.iter_mut().find(is_theirs) {
                    Some((id, callee)) => {
                        callee.last_heard = lent.now;
                        Asker::Connection(*id)
                    }
                    None => Asker::Nobody,
                };
                if self.plant == Plant::PostsFromAnywhereCount {
                    *from = at.unwrap_or(*from);
                }
            }
            Input::Shown { connection, number, words } => {
                if let Some(callee) = self.callees.get(connection).filter(|callee| callee.left.is_none()) {
                    lent.ledger.surely_shown(&callee.user, DeviceId::REQUEST, *number);
                } else if let Some((user, Some(device))) = self.here.get(connection) {
                    lent.ledger.surely_shown(user, *device, *number);
                    if let (Some(lodger), Some(heard)) = (self.desk.lodgers.get(connection), &self.desk.heard) {
                        let evidence = Evidence {
                            words: words.as_ref(),
                            origin: heard.origin,
                            sender: self.desk.acknowledged_sender(),
                            since: lodger.since,
                        };
                        lent.ledger.acknowledged(lent.now, user, *number, evidence);
                    }
                }
            }
            Input::Called { connection, reached } => {
                if let Some(callee) = self.callees.get_mut(connection) {
                    callee.rests = !*reached;
                    let call = callee.call.take();
                    if *reached && !call.is_some_and(|link| lent.links.was_taken(link)) {
                        lent.ledger.broken("1: a call counts as taken, and the client has not read it to its end");
                    }
                }
                match self.plant {
                    Plant::FailedCallsAreForgotten if !*reached => return None,
                    Plant::FailedCountsAsShown if !*reached => {
                        return Some(Input::Shown { connection: *connection, number: Number(u64::MAX), words: None });
                    }
                    _ => {}
                }
            }
            Input::Heard { connection } => {
                if let Some(known) = self.known.get_mut(connection) {
                    known.last_heard = lent.now;
                }
            }
            Input::CommitFailed(changes) => match self.plant {
                Plant::MessagesAreNotUndone => changes.retain(|change| !matches!(change, Change::Message(_))),
                Plant::AccountsAreNotUndone => changes.retain(|change| !matches!(change, Change::Account { .. })),
                Plant::ConsentsAreNotUndone => changes.retain(|change| !matches!(change, Change::Consent { .. })),
                Plant::RevokesAreNotUndone => changes.retain(|change| !matches!(change, Change::ConsentOver { .. })),
                Plant::BlocksAreNotUndone => changes.retain(|change| !matches!(change, Change::Block { .. })),
                _ => {}
            },
            _ => {}
        }
        self.bent.tells(self.plant, &self.here, &mut input);
        Some(input)
    }

    fn observe(&mut self, seen: Seen<'_, Socket>) {
        if self.lent.borrow().dead {
            return;
        }
        self.bent.observes(self.plant, &self.desk, seen.outbox, seen.effects_before);
        if let Some(law) = planted::check_failed(&self.desk, seen.outbox, seen.effects_before) {
            self.lent.borrow_mut().ledger.broken(law);
        }
        if self.check_always {
            seen.hub.check_invariants();
        }
        for index in seen.effects_before..seen.outbox.effects.len() {
            match &seen.outbox.effects[index] {
                Effect::Authenticated { connection } => self.authenticated(*connection, &seen),
                Effect::LogInFailed { connection, why } if self.desk.lodgers.contains_key(connection) => {
                    let Some(Lodger { at, claim: Some(claim), .. }) = self.desk.lodgers.get(connection) else {
                        continue;
                    };
                    let lent = &mut *self.lent.borrow_mut();
                    let (source, right) = (Source::of(at.ip()), claim.word_is_right());
                    let tried = Tried { link: None, user: &claim.user, source, right };
                    lent.ledger.log_in_failed((lent.now, lent.wall), tried, *why, seen.batch);
                }
                Effect::LogInFailed { connection, why } => {
                    let Some(known) = self.known.get(connection) else { continue };
                    let Some(claim) = &known.claim else { continue };
                    let lent = &mut *self.lent.borrow_mut();
                    let tried = Tried {
                        link: Some(known.link),
                        user: &claim.user,
                        source: known.source,
                        right: claim.word_is_right(),
                    };
                    lent.ledger.log_in_failed((lent.now, lent.wall), tried, *why, seen.batch);
                }
                Effect::Close { connection, .. } => self.forget(*connection),
                Effect::Call { connection } => {
                    if let Some(callee) = self.callees.get_mut(connection) {
                        callee.rests = false;
                    }
                }
                Effect::AccountsRead(_) => self.accounts_read = true,
                Effect::Query { .. } => self.questions_wait.push_back(seen.batch - 1),
                Effect::Event { to, event, .. } => {
                    seen.outbox.recipients(to).for_each(|id| self.news(id, event, &seen));
                }
                _ => {}
            }
        }
        self.observe_log_on(&seen);
        let stranger = match std::mem::take(&mut self.asker) {
            Asker::None => false,
            Asker::Connection(id) => !self.here.contains_key(&id),
            Asker::Nobody => true,
        };
        let says = self.says.take();
        let lent = &mut *self.lent.borrow_mut();
        let Lent { ledger, now, .. } = lent;
        // What the hub stores anew comes before all others, and is nothing that somebody asks for.
        let asked_for = |change: &&Change| match change {
            Change::Message(message) => message.sender().is_some(),
            change => matches!(change, Change::Block { .. } | Change::Unblock { .. }),
        };
        let before = if seen.changes_before == 0 { 0 } else { self.changes_seen };
        let changes = || seen.outbox.changes.iter().filter(asked_for);
        self.changes_seen = changes().count();
        for change in changes().skip(before) {
            if stranger {
                ledger.broken(&format!("14: a stranger changed something: {change:?}"));
            }
            if let Change::Message(message) = change {
                if says.is_some_and(|id| !self.chats.is_with(id, &message.to)) {
                    ledger.broken(&format!("6: what was said in a chat goes to another: {message:?}"));
                }
                ledger.accepted(*now, message, self.here.values());
            }
        }
        let before = seen.effects_before;
        let outbox = self.misdirect(seen);
        if let Some(law) = self.chats.observe(outbox, before, &self.here) {
            ledger.broken(law);
        }
    }

    fn serves(&mut self, id: ConnectionId) -> bool {
        let Some(known) = self.known.get_mut(&id) else { return true };
        if self.plant == Plant::OneIsSkipped && id.slot % 4 == 1 && known.logged_in {
            return false;
        }
        known.served_in = self.round;
        true
    }

    fn waits_for(&self, effect: &Effect, own: BatchNumber, rests_on: BatchNumber) -> BatchNumber {
        match (self.plant, effect) {
            (Plant::AcknowledgedBeforeCommit, Effect::Reply { answer: Ok(effect::Reply::Accepted { .. }), .. }) => 0,
            (Plant::SignedUpBeforeCommit, Effect::Reply { answer: Ok(effect::Reply::SignedUp(_)), .. }) => 0,
            (Plant::AddressLeavesBeforeCommit, Effect::Event { event: Event::Address { .. }, .. }) => 0,
            (Plant::ConsentedBeforeCommit, Effect::Reply { answer: Ok(effect::Reply::Consented { .. }), .. }) => 0,
            (Plant::OnlyTheTurnCounts, _) => own,
            _ => rests_on,
        }
    }

    fn strange_bytes_max(&self) -> usize {
        if self.plant == Plant::StrangersMaySayAnything { usize::MAX } else { STRANGE_BYTES_MAX }
    }
}
