//! Effects: what the hub wants is encoded, put into queues, and written, once a connection and turn.

use super::*;
use crate::hub::challenge::Challenge;
use crate::hub::effect::{self, AccountsRead, Answer, Effect, LogInFailure, Recipients, Reply};
use crate::hub::status::{Status, Traffic};
use crate::net::connection::{Stream, Wrote};
use crate::net::queue::{IfLost, WriteQueue};
use crate::net::worker::Job;
use crate::wire::{Dialect, Protocol};

impl<E: Environment> Turn<E> {
    /// Applies the turn's effects, in order. Those of a turn that made changes wait for its batch. What would be void if
    /// something was lost waits for everything that was submitted: it may rest on an earlier turn's changes.
    pub(super) fn apply_effects(&mut self, now: Now) {
        let mut outbox = std::mem::take(&mut self.outbox);
        let batch = if outbox.changes.is_empty() { 0 } else { self.last_batch };
        let mut run = None;
        for (index, effect) in outbox.effects.iter().enumerate() {
            if self.answers.front().is_some_and(|&(place, ..)| place <= index) {
                self.push_run(run.take(), &outbox, batch);
                self.push_answers(index);
            }
            match effect {
                Effect::Event { to, if_lost, .. } => match &mut run {
                    Some(run) if run.takes(to, *if_lost) => run.end = index + 1,
                    _ => {
                        let next = Run { start: index, end: index + 1, to, if_lost: *if_lost, apart: None };
                        self.push_run(run.replace(next), &outbox, batch);
                    }
                },
                Effect::Reply { connection, id, answer, if_lost } if self.connections.get(*connection).is_some() => {
                    // What a protocol has no word for parts no run.
                    let Some(encoded) = self.encode_answer(*connection, *id, answer) else { continue };
                    if !run.as_mut().is_some_and(|run| run.is_apart(*connection, &outbox)) {
                        self.push_run(run.take(), &outbox, batch);
                    }
                    let batch = self.rests_on(effect, *if_lost, batch);
                    self.push(*connection, encoded, batch, fate(*if_lost, *id));
                }
                _ => {
                    self.push_run(run.take(), &outbox, batch);
                    self.apply(now, effect, batch);
                }
            }
        }
        self.push_run(run, &outbox, batch);
        self.push_answers(usize::MAX);
        outbox.clear();
        self.outbox = outbox;
    }

    fn apply(&mut self, now: Now, effect: &Effect, batch: BatchNumber) {
        match effect {
            // To a client that is reached otherwise; connections are answered where runs are put together.
            Effect::Reply { connection, id, answer, if_lost } => {
                let batch = self.rests_on(effect, *if_lost, batch);
                let if_lost = fate(*if_lost, *id);
                match self.correspondents.get(*connection) {
                    Some(_) => self.answer_correspondent(now, *connection, *id, answer, batch, if_lost),
                    None => self.answer_callee(*connection, *id, answer, batch, if_lost),
                }
            }
            // Part of a run.
            Effect::Event { .. } => {}
            // Its limits have held since the request was handled.
            Effect::Authenticated { connection } => self.become_callee(now, *connection),
            // This has, too.
            Effect::Suspend { .. } => {}
            Effect::Unsuspend { connection } => {
                if let Some(found) = self.connections.get_mut(*connection) {
                    found.suspended = false;
                }
                self.list_if_has_work(*connection);
            }
            Effect::Close { connection, how } => match self.connections.get(*connection) {
                Some(_) => self.begin_ending(now, *connection, *how),
                None if self.correspondents.get(*connection).is_some() => self.part_from(now, *connection),
                None => self.dismiss(now, *connection),
            },
            Effect::LogOn { to, answer, if_lost } => {
                let batch = self.rests_on(effect, *if_lost, batch);
                self.answer_log_on(*to, answer, batch, fate(*if_lost, None));
            }
            Effect::Expect { from, challenge, key } => {
                self.expected.entry(from.disclose()).or_default().insert(*challenge, key.clone());
            }
            Effect::ExpectNoMore { from, challenge } => self.expect_no_more(from.disclose(), *challenge),
            Effect::LogOnFailed { from, why } => log_unproved_failure(from.address.ip(), *why),
            Effect::Call { connection } => self.call_again(*connection),
            // Whoever told the hub of it has seen this.
            Effect::Ignored => {}
            Effect::Derive { ticket, derivations } => self.environment.work(Job::Derive(*ticket, derivations.clone())),
            Effect::AccountsRead(AccountsRead { accounts, added, changed, removed, taken_over }) => {
                if *taken_over > 0 {
                    log::warn!(
                        "{taken_over} accounts of the database stand in the file now: the file's count, the others are dropped"
                    );
                }
                log::info!("{accounts} accounts in the file: {added} added, {changed} changed, {removed} removed");
            }
            Effect::Query { connection, id, query } => {
                let query = Query { connection: *connection, id: *id, query: query.clone() };
                self.queries.push_back((self.last_batch, query));
            }
            Effect::Status { connection, id, chat } => {
                let status = Status { chat: *chat, traffic: self.traffic() };
                // It rests on nothing: the operator may be asking why nothing goes on.
                self.push_answer(*connection, *id, &Ok(Reply::Status(status)), 0, IfLost::Send);
            }
            Effect::LogInFailed { connection, why } => {
                if let Some(address) = self.connections.get(*connection).and_then(|found| found.door.address()) {
                    log_failure(address, *why);
                } else if let Some(address) = self.correspondents_address(*connection) {
                    log_unproved_failure(address, *why);
                }
            }
        }
    }

    fn expect_no_more(&mut self, address: IpAddr, challenge: Challenge) {
        if let Some(expected) = self.expected.get_mut(&address) {
            expected.remove(challenge);
            if expected.is_empty() {
                self.expected.remove(&address);
            }
        }
    }

    /// What there is on this side of the hub.
    fn traffic(&self) -> Traffic {
        Traffic {
            connections: self.connections.len() as u64,
            strangers: self.strangers.len() as u64,
            deadlines: self.deadlines.len() as u64,
            in_bytes: self.connections.values().map(|connection| connection.inbound.len() as u64).sum(),
            out_bytes: self.out_bytes as u64,
            batches: self.in_flight.len() as u64,
            batch_bytes: self.in_flight_bytes as u64,
            questions: (self.queries.len() + self.asked.len()) as u64,
            descriptors: self.environment.descriptors().map(|open| open as u64),
        }
    }

    /// Puts a run into the queues of its recipients: encoded once a protocol, and shared.
    fn push_run(&mut self, run: Option<Run>, outbox: &Outbox, batch: BatchNumber) {
        let Some(run) = run else { return };
        let batch = self.rests_on(&outbox.effects[run.start], run.if_lost, batch);
        let mut encoded: [Option<Encoded>; Dialect::ALL.len()] = [const { None }; Dialect::ALL.len()];
        for id in outbox.recipients(run.to) {
            let Some(dialect) = self.dialect_of(id) else { continue };
            let buffer = &mut self.encode_buffer;
            let encoded = encoded[dialect as usize].get_or_insert_with(|| {
                buffer.clear();
                run.events(outbox).for_each(|event| dialect.encode_event(event, buffer));
                Encoded::of(buffer, dialect.chunking())
            });
            let encoded = encoded.clone();
            match dialect {
                Dialect::Delivery => self.push_to_callee(id, encoded, batch, fate(run.if_lost, None)),
                Dialect::DatagramPlain | Dialect::DatagramUnicode => {
                    self.push_to_correspondent(id, encoded, batch, fate(run.if_lost, None));
                }
                _ => self.push(id, encoded, batch, fate(run.if_lost, None)),
            }
            if dialect == Dialect::Session
                && let Some(conversation) = self.connections.get_mut(id).and_then(|found| found.conversation.as_mut())
            {
                run.events(outbox).for_each(|event| conversation.told(event));
            }
        }
    }

    /// In which words a client is written to; `None`: nobody is there, or nobody knows.
    fn dialect_of(&self, id: ConnectionId) -> Option<Dialect> {
        match self.connections.get(id) {
            Some(connection) => connection.dialect(),
            None if self.callees.get(id).is_some() => Some(Dialect::Delivery),
            None => self.correspondents.get(id).map(|found| found.dialect()),
        }
    }

    /// Puts an answer into a connection's queue, in the words of its conversation.
    pub(super) fn push_answer(
        &mut self,
        id: ConnectionId,
        request: Option<RequestId>,
        answer: &Answer,
        batch: BatchNumber,
        if_lost: IfLost,
    ) {
        if let Some(encoded) = self.encode_answer(id, request, answer) {
            self.push(id, encoded, batch, if_lost);
        }
    }

    /// An answer in the words of a connection's conversation; `None`: it has none, or there is nobody.
    fn encode_answer(&mut self, id: ConnectionId, request: Option<RequestId>, answer: &Answer) -> Option<Encoded> {
        let conversation = self.connections.get_mut(id)?.conversation.as_mut()?;
        self.encode_buffer.clear();
        conversation.encode_answer(request, answer, &mut self.encode_buffer);
        let is_said = !self.encode_buffer.is_empty();
        is_said.then(|| Encoded::of(&self.encode_buffer, conversation.dialect().chunking()))
    }

    /// The batch that an effect of a turn waits for, if the turn's own is `batch`.
    fn rests_on(&self, effect: &Effect, if_lost: effect::IfLost, batch: BatchNumber) -> BatchNumber {
        let rests_on = match if_lost {
            effect::IfLost::Send => batch,
            effect::IfLost::Drop | effect::IfLost::Refuse => self.last_batch,
        };
        self.environment.waits_for(effect, batch, rests_on)
    }

    /// An answer that needs no hub. It takes its place behind the effects that the turn has had so far.
    pub(super) fn answer(&mut self, id: ConnectionId, encoded: Encoded) {
        self.answers.push_back((self.outbox.effects.len(), id, encoded));
    }

    fn push_answers(&mut self, index: usize) {
        while let Some((place, ..)) = self.answers.front() {
            if *place > index {
                return;
            }
            let Some((_, id, encoded)) = self.answers.pop_front() else { return };
            self.push(id, encoded, 0, IfLost::Send);
        }
    }

    /// Some effects hold at once, before the next request of the connection is looked at.
    pub(super) fn heed(&mut self, now: Now, first: usize) {
        for index in first..self.outbox.effects.len() {
            match self.outbox.effects[index] {
                Effect::Suspend { connection } => {
                    if let Some(found) = self.connections.get_mut(connection) {
                        found.suspended = true;
                    }
                }
                // One question at a time: the next request waits for its answer.
                Effect::Query { connection, .. } => {
                    if let Some(found) = self.connections.get_mut(connection) {
                        found.asking = true;
                    }
                }
                Effect::Authenticated { connection } => self.admit(now, connection),
                Effect::LogInFailed { connection, .. } => self.strangers.failed(connection),
                _ => {}
            }
        }
    }

    /// Somebody has logged in: the limits are an account's from now on.
    fn admit(&mut self, now: Now, id: ConnectionId) {
        self.admit_correspondent(now, id);
        let Some(found) = self.connections.get_mut(id).filter(|found| found.stage == Stage::Strange) else { return };
        found.stage = Stage::LoggedIn;
        // The operator's are not counted.
        found.member = found.door.address().is_some();
        self.members += usize::from(found.member);
        // Their connection is their only sign of life.
        let protocol = found.conversation.as_ref().map(Conversation::protocol);
        if matches!(protocol, Some(Protocol::Nick | Protocol::Session))
            && let Err(error) = found.stream.give_up_after(GIVEN_UP_AFTER)
        {
            log::debug!("a connection is not watched for silence: {error}");
        }
        self.no_stranger(id);
        self.set_deadline(id, None);
    }

    /// Appends to a connection's queue. Who does not read what they asked for is ended here.
    pub(super) fn push(&mut self, id: ConnectionId, encoded: Encoded, batch: BatchNumber, if_lost: IfLost) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let bytes = encoded.bytes();
        if matches!(connection.stage, Stage::Lingering | Stage::Gone) || bytes == 0 {
            return;
        }
        let max = if connection.stage == Stage::Strange { STRANGE_BYTES_MAX } else { OUT_BYTES_MAX };
        if connection.out_bytes() + bytes > max {
            log::debug!("a connection does not read what is sent to it: closed");
            self.overflowed.push(id);
            return;
        }
        if self.out_bytes + bytes > self.out_bytes_max {
            self.make_room();
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        self.out_bytes += bytes;
        connection.queue.push(encoded, batch, if_lost);
        // Who still reads its last chunk is written to after that.
        let will_be_written = connection.dirty || connection.paced && connection.queue.may_leave(self.persisted);
        if !will_be_written {
            connection.dirty = true;
            self.dirty.push(id);
        }
    }

    /// All queues together are full: whoever lets most wait is closed.
    pub(super) fn make_room(&mut self) {
        let connections = self.connections.iter_mut().map(|(id, found)| (found.out_bytes(), id, &mut found.queue));
        let callees = self.callees.iter_mut().map(|(id, callee)| (callee.queue.bytes(), id, &mut callee.queue));
        let correspondents = self.correspondents.iter_mut().map(|(id, found)| (found.bytes(), id, &mut found.queue));
        let all = connections.chain(callees).chain(correspondents);
        if let Some((_, id, queue)) = all.max_by_key(|&(bytes, ..)| bytes) {
            log::warn!("too much waits to be written: the connection with most of it is closed");
            self.out_bytes -= queue.bytes();
            *queue = WriteQueue::default();
            self.overflowed.push(id);
        }
    }

    /// Writes to everybody who has something to be written, once.
    pub(super) fn write_dirty(&mut self, now: Now) -> bool {
        for id in std::mem::take(&mut self.overflowed) {
            self.vanished(now, id);
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        let progress = !dirty.is_empty();
        let mut again = std::mem::take(&mut self.dirty_again);
        for id in dirty.drain(..) {
            if self.write(now, id) == Some(Wrote::More) {
                again.push(id);
            }
        }
        self.dirty_again = dirty;
        self.dirty = again;
        progress
    }

    fn write(&mut self, now: Now, id: ConnectionId) -> Option<Wrote> {
        let connection = self.connections.get_mut(id)?;
        connection.dirty = false;
        if matches!(connection.stage, Stage::Gone | Stage::Lingering)
            || connection.stage == Stage::Dialling && !self.is_made(id)
        {
            return None;
        }
        let connection = self.connections.get_mut(id)?;
        let before = connection.out_bytes();
        let written = match connection.chunking() {
            None => connection.write(self.persisted),
            Some(chunking) => self.write_chunk(now, id, chunking),
        };
        let wrote = match written {
            Ok(wrote) => wrote,
            Err(error) => {
                log::debug!("a connection failed: {error}");
                self.vanished(now, id);
                return None;
            }
        };
        let connection = self.connections.get_mut(id)?;
        let written = before - connection.out_bytes();
        self.out_bytes -= written;
        if written > 0 && before > OUT_BYTES_PAUSE && connection.is_served() {
            // It is not read until its queue is shorter, but it takes what is written.
            self.tell(now, Input::Heard { connection: id });
        }
        let connection = self.connections.get_mut(id)?;
        connection.dirty = wrote == Wrote::More;
        // Writable events are asked for only while something is left that the socket did not take. A call has one write, and
        // is not worth being asked about again.
        let is_call = matches!(connection.door, Door::Dialled { .. });
        let watch = wrote == Wrote::Full || is_call && connection.watched;
        if watch != connection.watched {
            connection.watched = watch;
            if let Err(error) = self.environment.reregister(&mut connection.stream, id, watch) {
                log::warn!("a connection could not be watched: {error}");
                self.vanished(now, id);
                return None;
            }
        }
        if let Some(batch) = connection.queue.waits_for(self.persisted)
            && !connection.parked
        {
            connection.parked = true;
            self.park(batch, id);
        }
        if self.connections.get(id).is_some_and(|found| found.stage == Stage::Ending && found.is_drained()) {
            self.close(now, id);
        }
        self.list_if_has_work(id);
        Some(wrote)
    }

    /// Wakes whoever it is when a batch is on disk.
    pub(super) fn park(&mut self, batch: BatchNumber, id: ConnectionId) {
        // Mostly at the end: by rising batch.
        let place = self.parked.iter().rposition(|&(earlier, _)| earlier <= batch).map_or(0, |last| last + 1);
        self.parked.insert(place, (batch, id));
    }
}

/// Events of a turn for the same recipients, which take one place in each queue: who sends many broadcasts at once, or is
/// told much at once, costs little more than one message.
struct Run<'a> {
    /// Its events stand among these effects, with answers to others.
    start: usize,
    end: usize,
    to: &'a Recipients,
    if_lost: effect::IfLost,
    /// This connection is none of the recipients, so what it is told may overtake the run.
    apart: Option<ConnectionId>,
}

/// A run spans so many effects at most, so that what a queue holds of it can be let go in pieces.
const RUN_MAX: usize = 128;

impl<'a> Run<'a> {
    fn takes(&self, to: &Recipients, if_lost: effect::IfLost) -> bool {
        self.to == to && self.if_lost == if_lost && self.end - self.start < RUN_MAX
    }

    /// Looked up for one connection only, mostly the sender: the list may be long.
    fn is_apart(&mut self, connection: ConnectionId, outbox: &Outbox) -> bool {
        if self.apart.is_none() && !outbox.recipients(self.to).any(|id| id == connection) {
            self.apart = Some(connection);
        }
        self.apart == Some(connection)
    }

    fn events<'b>(&self, outbox: &'b Outbox) -> impl Iterator<Item = &'b effect::Event> {
        outbox.effects[self.start..self.end].iter().filter_map(|effect| match effect {
            Effect::Event { event, .. } => Some(event),
            _ => None,
        })
    }
}

/// For tools like fail2ban.
fn log_failure(address: IpAddr, why: LogInFailure) {
    log::warn!("log-in failed from {} ({})", address.to_canonical(), reason(why));
}

/// Whoever made the datagram can have made its address up: a line that no tool bans anybody for.
fn log_unproved_failure(address: IpAddr, why: LogInFailure) {
    log::warn!("log-in failed by a datagram that says it is from {} ({})", address.to_canonical(), reason(why));
}

const fn reason(why: LogInFailure) -> &'static str {
    match why {
        LogInFailure::UnknownName => "unknown name",
        LogInFailure::WrongPassword => "wrong password",
        LogInFailure::LockedOut => "locked out",
        LogInFailure::StaleToken => "stale resume token",
        LogInFailure::NotByThisProtocol => "the account can't be used by this protocol",
        LogInFailure::NotFromHere => "the shipped passwords work from loopback only",
        LogInFailure::Elsewhere => "somebody is in between",
    }
}

fn fate(if_lost: effect::IfLost, id: Option<RequestId>) -> IfLost {
    match if_lost {
        effect::IfLost::Send => IfLost::Send,
        effect::IfLost::Drop => IfLost::Drop,
        effect::IfLost::Refuse => IfLost::Refuse(id),
    }
}
