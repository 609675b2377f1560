//! Messages on their way: accepted, waiting, leaving, acknowledged, expired.
//!
//! A private message waits in its recipient's mailbox until every device of theirs has shown it. Broadcasts are one
//! shared list. What is under way to a device is bounded by its window (`Flow`); the rest waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::change::{Change, PastSend};
use super::devices::{Devices, UNWRITTEN_MAX};
use super::effect::{Answer, Event, IfLost, Outbox, Reach, Refusal, Reply};
use super::gate::Gate;
use super::id::{ConnectionId, DeviceId, Number, UserId};
use super::message::{Message, Origin, Recipient, Sender};
use super::name::UserName;
use super::presence::{Flow, Presence, Session};
use super::receipts::{Receipts, Words};
use super::sends::{Digest, Sends};
use super::text::{TEXT_BYTES_MAX, Text};
use super::time::{Instant, LocalTime, Now, WallTime};
use super::{Answered, Hub};

/// Private messages that wait for a recipient who has shown them on no device. With more the sender gets an error.
pub const QUEUE_MESSAGES_MAX: usize = 1000;
/// Private messages kept for a user whose slow devices have not shown them, with those above.
pub const MAILBOX_MESSAGES_MAX: usize = 2 * QUEUE_MESSAGES_MAX;
/// As for `QUEUE_MESSAGES_MAX`, in bytes of text.
pub const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// As for `MAILBOX_MESSAGES_MAX`, in bytes of text.
pub const MAILBOX_BYTES_MAX: usize = 2 * QUEUE_BYTES_MAX;
/// Broadcasts kept for devices that have not shown them. With more the oldest are dropped, and who was owed them is told.
pub const BROADCASTS_MAX: usize = 1000;
/// The same in bytes of text.
pub const BROADCAST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How often expired messages and forgotten devices are looked for.
pub const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// A private message that some device of its recipient has not shown.
#[derive(Debug)]
struct Waiting {
    message: Arc<Message>,
    /// Who wants to know when it was delivered.
    receipt: Option<ConnectionId>,
}

/// What waits for one user, by rising number.
#[derive(Debug, Default)]
struct Mailbox {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Up to here everything was shown on one device at least.
    shown: Number,
    unshown: usize,
    unshown_bytes: usize,
    /// Messages up to here were dropped, though some device had not shown them.
    dropped: Number,
}

/// All messages that are on their way.
#[derive(Debug)]
pub struct Delivery {
    last: Number,
    mailboxes: BTreeMap<UserId, Mailbox>,
    broadcasts: VecDeque<Arc<Message>>,
    broadcast_bytes: usize,
    broadcasts_dropped: Number,
    pub(super) receipts: Receipts,
    sends: Sends,
    sweep_at: Instant,
}

impl Mailbox {
    fn push(&mut self, waiting: Waiting) {
        debug_assert!(self.waiting.back().is_none_or(|last| last.message.number < waiting.message.number));
        let (number, bytes) = (waiting.message.number, waiting.message.text.bytes());
        self.bytes += bytes;
        if number > self.shown {
            self.unshown += 1;
            self.unshown_bytes += bytes;
        }
        self.waiting.push_back(waiting);
    }

    fn is_full_for(&self, text: &Text) -> bool {
        self.unshown >= QUEUE_MESSAGES_MAX || self.unshown_bytes + text.bytes() > QUEUE_BYTES_MAX
    }

    /// What only slow devices still wait for must not cost without bound: the oldest of it goes.
    fn drop_surplus(&mut self) {
        while self.waiting.len() > MAILBOX_MESSAGES_MAX || self.bytes > MAILBOX_BYTES_MAX {
            match self.waiting.front() {
                Some(front) if front.message.number <= self.shown => self.dropped = front.message.number,
                _ => return,
            }
            self.remove(0);
        }
    }

    fn remove(&mut self, index: usize) -> Option<Waiting> {
        let removed = self.waiting.remove(index)?;
        let bytes = removed.message.text.bytes();
        self.bytes -= bytes;
        if removed.message.number > self.shown {
            self.unshown -= 1;
            self.unshown_bytes -= bytes;
        }
        Some(removed)
    }

    /// The index of the first message after `number`.
    fn after(&self, number: Number) -> usize {
        self.waiting.partition_point(|waiting| waiting.message.number <= number)
    }

    /// Everything up to `number` was shown on some device. Comes back: who waits for a receipt of what.
    fn show(&mut self, number: Number) -> Vec<(ConnectionId, Arc<Message>)> {
        let mut receipts = Vec::new();
        let (from, to) = (self.after(self.shown), self.after(number));
        for waiting in self.waiting.range_mut(from..to.max(from)) {
            self.unshown -= 1;
            self.unshown_bytes -= waiting.message.text.bytes();
            receipts.extend(waiting.receipt.take().map(|connection| (connection, Arc::clone(&waiting.message))));
        }
        self.shown = self.shown.max(number);
        receipts
    }
}

impl Delivery {
    pub(super) fn new(
        waiting: Vec<Arc<Message>>,
        past: Vec<PastSend>,
        last: Number,
        devices: &Devices,
        now: Now,
    ) -> Delivery {
        let answer = |send: &PastSend| -> Answer {
            Ok(Reply::Accepted {
                number: send.number,
                reach: if send.to == Recipient::Everyone { Reach::Online } else { Reach::Queued },
            })
        };
        let mut delivery = Delivery {
            last,
            mailboxes: BTreeMap::new(),
            broadcasts: VecDeque::new(),
            broadcast_bytes: 0,
            broadcasts_dropped: Number(0),
            receipts: Receipts::default(),
            sends: Sends::new(past, answer),
            sweep_at: now.instant,
        };
        for message in waiting {
            match message.recipient() {
                Some(user) if message.number > devices.lowest_cursor(user) => {
                    let mailbox = delivery.mailbox(user, devices);
                    mailbox.push(Waiting { message, receipt: None });
                    mailbox.drop_surplus();
                }
                Some(_) => {}
                None => delivery.keep_broadcast(message),
            }
        }
        delivery
    }

    /// The number of the newest message.
    pub fn last(&self) -> Number {
        self.last
    }

    /// How many private messages some device of their recipients has not shown.
    pub fn messages_waiting(&self) -> usize {
        self.mailboxes.values().map(|mailbox| mailbox.waiting.len()).sum()
    }

    /// How many broadcasts are kept for devices that have not shown them.
    pub fn broadcasts_kept(&self) -> usize {
        self.broadcasts.len()
    }

    pub(super) fn highest_counter(&self, user: UserId, device: DeviceId) -> u64 {
        self.sends.highest(user, device)
    }

    pub(super) fn next_sweep(&self) -> Instant {
        self.sweep_at
    }

    fn mailbox(&mut self, user: UserId, devices: &Devices) -> &mut Mailbox {
        self.mailboxes
            .entry(user)
            .or_insert_with(|| Mailbox { shown: devices.highest_cursor(user), ..Mailbox::default() })
    }

    fn keep_broadcast(&mut self, message: Arc<Message>) {
        self.broadcast_bytes += message.text.bytes();
        self.broadcasts.push_back(message);
        while self.broadcasts.len() > BROADCASTS_MAX || self.broadcast_bytes > BROADCAST_BYTES_MAX {
            let Some(oldest) = self.broadcasts.pop_front() else { return };
            self.broadcast_bytes -= oldest.text.bytes();
            self.broadcasts_dropped = oldest.number;
            self.receipts.forget(oldest.number);
        }
    }

    /// Nothing waits for this user any more.
    pub(super) fn forget_mailbox(&mut self, user: UserId) {
        self.mailboxes.remove(&user);
    }

    pub(super) fn forget_device(&mut self, user: UserId, device: DeviceId) {
        self.sends.forget_device(user, device);
    }

    /// A cursor of the user's devices has moved, because of the log-in or the end of one.
    pub(super) fn cursor_moved(&mut self, user: UserId, devices: &Devices, out: &mut Outbox) {
        self.shown(user, devices, None, out);
    }

    /// A cursor of the user's devices has moved: receipts are due, and what all have shown need not wait any more.
    fn shown(&mut self, user: UserId, devices: &Devices, words: Option<&Words>, out: &mut Outbox) {
        let Some(mailbox) = self.mailboxes.get_mut(&user) else { return };
        for (connection, message) in mailbox.show(devices.highest_cursor(user)) {
            if let Recipient::User(_, to) = &message.to {
                let (number, to, words) = (message.number, to.clone(), Words::to(words, message.number));
                out.event(connection, Event::Delivered { number, to, words }, IfLost::Send);
            }
        }
        let lowest = devices.lowest_cursor(user);
        while mailbox.waiting.front().is_some_and(|front| front.message.number <= lowest) {
            mailbox.remove(0);
        }
        if mailbox.waiting.is_empty() {
            self.mailboxes.remove(&user);
        }
    }

    /// The message is passed over: nobody will hear that it was delivered.
    fn forget_receipt(&mut self, user: UserId, number: Number) {
        self.receipts.take(number, user);
        let Some(mailbox) = self.mailboxes.get_mut(&user) else { return };
        let index = mailbox.after(number).wrapping_sub(1);
        if let Some(waiting) = mailbox.waiting.get_mut(index).filter(|waiting| waiting.message.number == number) {
            waiting.receipt = None;
        }
    }

    /// The message was not stored: it is nowhere.
    pub(super) fn retract(&mut self, message: &Message) {
        match message.recipient() {
            Some(user) => {
                if let Some(mailbox) = self.mailboxes.get_mut(&user) {
                    let index = mailbox.after(message.number).wrapping_sub(1);
                    if mailbox.waiting.get(index).is_some_and(|waiting| waiting.message.number == message.number) {
                        mailbox.remove(index);
                    }
                    if mailbox.waiting.is_empty() {
                        self.mailboxes.remove(&user);
                    }
                }
            }
            None => {
                if self.broadcasts.back().is_some_and(|newest| newest.number == message.number) {
                    self.broadcasts.pop_back();
                    self.broadcast_bytes -= message.text.bytes();
                    self.receipts.forget(message.number);
                }
            }
        }
        if let (Some(user), Some(origin)) = (message.sender(), message.origin) {
            self.sends.forget(user, origin);
        }
    }

    pub(super) fn check_invariants(&self, presence: &Presence) {
        for mailbox in self.mailboxes.values() {
            let bytes = |waiting: &Waiting| waiting.message.text.bytes();
            assert!(!mailbox.waiting.is_empty(), "an empty mailbox is none");
            assert!(mailbox.waiting.iter().is_sorted_by_key(|waiting| waiting.message.number));
            assert_eq!(mailbox.bytes, mailbox.waiting.iter().map(bytes).sum::<usize>());
            let unshown = mailbox.waiting.range(mailbox.after(mailbox.shown)..);
            assert_eq!(mailbox.unshown, unshown.len());
            assert_eq!(mailbox.unshown_bytes, unshown.map(bytes).sum::<usize>());
            // A restart may find cursors that are a little behind.
            assert!(mailbox.unshown <= QUEUE_MESSAGES_MAX + UNWRITTEN_MAX as usize);
            assert!(mailbox.unshown_bytes <= QUEUE_BYTES_MAX + UNWRITTEN_MAX as usize * TEXT_BYTES_MAX);
        }
        assert_eq!(self.broadcast_bytes, self.broadcasts.iter().map(|message| message.text.bytes()).sum::<usize>());
        assert!(self.broadcasts.len() <= BROADCASTS_MAX);
        let is_kept = |number| self.broadcasts.binary_search_by_key(&number, |message| message.number).is_ok();
        let wants_receipts = |sender| presence.session(sender).is_some_and(Session::wants_receipts);
        self.receipts.check_invariants(is_kept, wants_receipts);
    }
}

/// The gate on leave: asked when a message is about to be sent to a device, whenever it was accepted.
fn may_leave(gate: &Gate, message: &Message, to: UserId) -> bool {
    message.sender().is_none_or(|from| gate.may_deliver(from, to))
}

/// A message that is not accepted yet.
#[derive(Debug)]
pub(super) struct Draft {
    connection: ConnectionId,
    from: UserId,
    origin: Option<Origin>,
    /// It was first sent before this session, if it is a copy.
    again: bool,
    text: Text,
    receipt: Option<ConnectionId>,
}

impl Hub {
    /// What a session wants to send. `None` if there is no session.
    pub(super) fn draft(
        &self,
        connection: ConnectionId,
        text: Text,
        counter: Option<u64>,
        receipt: bool,
    ) -> Option<Draft> {
        let session = self.presence.session(connection)?;
        let origin = session.device.zip(counter).map(|(device, counter)| Origin { device, counter });
        let again = counter.is_some_and(|counter| counter <= session.counter);
        let receipt = (receipt || session.wants_receipts()).then_some(connection);
        Some(Draft { connection, from: session.user, origin, again, text, receipt })
    }

    /// A private message.
    pub(super) fn message(&mut self, now: Now, draft: Draft, to: UserName, out: &mut Outbox) -> Answered {
        let (connection, digest) = (draft.connection, Digest::of(Some(&to), &draft.text));
        let recipient = self.accounts.find(&to);
        if let Some(copy) = recipient.and_then(|user| self.answer_copy(now, connection, digest, Some(user))) {
            return copy;
        }
        let answered = self.once(now, draft, digest, |hub, draft| hub.accept_private(now, draft, to, out));
        self.expect_copies(now, connection, digest, &answered);
        answered
    }

    /// A message to everyone who is online.
    pub(super) fn broadcast(&mut self, now: Now, draft: Draft, out: &mut Outbox) -> Answered {
        let (connection, digest) = (draft.connection, Digest::of(None, &draft.text));
        if let Some(copy) = self.answer_copy(now, connection, digest, None) {
            return copy;
        }
        let answered = self.once(now, draft, digest, |hub, draft| Ok(hub.accept_broadcast(now, draft, out)));
        self.expect_copies(now, connection, digest, &answered);
        answered
    }

    /// Answers a copy like the first, and remembers the answer to what is none.
    fn once(
        &mut self,
        now: Now,
        draft: Draft,
        digest: Digest,
        accept: impl FnOnce(&mut Hub, Draft) -> Answer,
    ) -> Answered {
        let (from, origin) = (draft.from, draft.origin);
        if let Some(answer) = origin.and_then(|origin| self.delivery.sends.earlier(from, origin, digest)) {
            // The log-in in between has waited for what came of the first: whatever is lost now, that is not.
            return Answered::Now(answer, if draft.again { IfLost::Send } else { IfLost::Refuse });
        }
        let counter = origin.map(|origin| origin.counter);
        if let Err(refusal) = self.rates.send(from, draft.connection, counter, now.instant) {
            // It is as if it had never come: its counter is free.
            return Answered::refuse(refusal);
        }
        let answer = accept(self, draft);
        if let Some(origin) = origin {
            self.delivery.sends.record(from, origin, digest, answer.clone());
        }
        Answered::Now(answer, IfLost::Refuse)
    }

    fn accept_private(&mut self, now: Now, draft: Draft, to: UserName, out: &mut Outbox) -> Answer {
        let Some(recipient) = self.accounts.find(&to) else { return Err(Refusal::NoSuchUser(to)) };
        let to = self.accounts.name(recipient).clone();
        if self.accept(draft.from, [recipient]) != Reach::Online {
            return Err(Refusal::BlockedBy(to));
        }
        if self.delivery.mailbox(recipient, &self.devices).is_full_for(&draft.text) {
            return Err(Refusal::QueueFull(to));
        }
        let receipt = draft.receipt;
        let message = self.log(now, draft, Recipient::User(recipient, to), out);
        self.wait_for(&message, recipient, receipt, out);
        let reach = if self.presence.is_online(recipient) { Reach::Online } else { Reach::Queued };
        Ok(Reply::Accepted { number: message.number, reach })
    }

    fn accept_broadcast(&mut self, now: Now, draft: Draft, out: &mut Outbox) -> Reply {
        let (from, receipt) = (draft.from, draft.receipt);
        let mut reach = self.accept(from, self.presence.users_here().filter(|&user| user != from));
        let message = self.log(now, draft, Recipient::Everyone, out);
        self.delivery.keep_broadcast(Arc::clone(&message));
        if let Some(sender) = receipt {
            let reached = self.who_gets(&message);
            reach = if reached.is_empty() { Reach::Nobody } else { reach };
            self.delivery.receipts.want(message.number, sender, reached);
        }
        self.send_broadcast(&message, from, out);
        Reply::Accepted { number: message.number, reach }
    }

    /// All who get a broadcast, but for its sender.
    fn who_gets(&self, broadcast: &Message) -> BTreeSet<UserId> {
        let others = self.presence.online().filter(|&user| broadcast.sender() != Some(user));
        others.filter(|&user| may_leave(&self.gate, broadcast, user)).collect()
    }

    /// The gate on accept. `Online`: all of them may be reached; `Partial`: not all.
    fn accept(&self, from: UserId, to: impl IntoIterator<Item = UserId>) -> Reach {
        match to.into_iter().all(|to| self.gate.may_deliver(from, to)) {
            true => Reach::Online,
            false => Reach::Partial,
        }
    }

    /// Writes a message into the log.
    fn log(&mut self, now: Now, draft: Draft, to: Recipient, out: &mut Outbox) -> Arc<Message> {
        self.name_in_log(draft.from, out);
        let mut chat = None;
        if let Recipient::User(to, _) = &to {
            self.name_in_log(*to, out);
            chat = self.conversations.of_message(draft.connection, draft.from, *to);
        }
        let from = Sender::User(draft.from, self.accounts.name(draft.from).clone());
        let Draft { text, origin, .. } = draft;
        let number = self.delivery.last.next();
        let local = chat.unwrap_or_else(|| now.local());
        self.append(Message { number, time: now.wall, local, from, to, text, origin }, out)
    }

    fn append(&mut self, message: Message, out: &mut Outbox) -> Arc<Message> {
        self.delivery.last = message.number;
        let message = Arc::new(message);
        out.changes.push(Change::Message(Arc::clone(&message)));
        message
    }

    /// Puts a message into its recipient's mailbox and sends it to the devices that are there.
    fn wait_for(&mut self, message: &Arc<Message>, to: UserId, receipt: Option<ConnectionId>, out: &mut Outbox) {
        let mailbox = self.delivery.mailbox(to, &self.devices);
        mailbox.push(Waiting { message: Arc::clone(message), receipt });
        mailbox.drop_surplus();
        for connection in self.presence.devices_of(to).collect::<Vec<_>>() {
            let Some(session) = self.presence.session_mut(connection) else { continue };
            if session.flow.behind {
                continue;
            }
            if self.gate_and_window(connection, message, to) {
                out.event(connection, Event::Message(Arc::clone(message)), IfLost::Drop);
            }
        }
    }

    /// Asks the gate on leave, then the window. A message that may not leave is passed over.
    fn gate_and_window(&mut self, connection: ConnectionId, message: &Message, to: UserId) -> bool {
        let Some(session) = self.presence.session_mut(connection) else { return false };
        if may_leave(&self.gate, message, to) {
            return session.flow.take(message.number, message.text.bytes());
        }
        session.flow.next = message.number;
        self.delivery.forget_receipt(to, message.number);
        false
    }

    /// One event for all, and for each recipient nothing but a place in the list of recipients.
    fn send_broadcast(&mut self, message: &Arc<Message>, from: UserId, out: &mut Outbox) {
        let (gate, number, bytes) = (&self.gate, message.number, message.text.bytes());
        let reached = self.presence.sessions_mut().filter_map(|(connection, session)| {
            if session.device.is_none() || session.flow.behind || (session.user == from && !session.echoes()) {
                return None;
            }
            if !may_leave(gate, message, session.user) {
                session.flow.next = number;
                return None;
            }
            session.flow.take(number, bytes).then_some(connection)
        });
        out.event_to_many(reached, || Event::Message(Arc::clone(message)), IfLost::Drop);
    }

    /// How many messages wait for a session's device.
    pub(super) fn waiting(&self, session: &Session) -> usize {
        let (user, Some(device)) = (session.user, session.device) else { return 0 };
        let cursor = self.devices.cursor(user, device);
        let private = self.delivery.mailboxes.get(&user).map_or(0, |mailbox| {
            mailbox
                .waiting
                .range(mailbox.after(cursor)..)
                .filter(|waiting| may_leave(&self.gate, &waiting.message, user))
                .count()
        });
        let broadcasts = self.delivery.broadcasts.iter().rev().take_while(|message| message.number > cursor);
        private
            + broadcasts
                .filter(|message| self.is_owed(message, session, device) && may_leave(&self.gate, message, user))
                .count()
    }

    fn is_owed(&self, broadcast: &Message, session: &Session, device: DeviceId) -> bool {
        let is_meant = broadcast.sender() != Some(session.user) || session.echoes();
        is_meant && self.devices.was_there(session.user, device, broadcast.number)
    }

    /// Sends a device what waits for it, in order, as far as its window is open.
    pub(super) fn pump(&mut self, connection: ConnectionId, out: &mut Outbox) {
        let Some(session) = self.presence.session(connection) else { return };
        let (user, Some(device)) = (session.user, session.device) else { return };
        self.tell_missed(connection, user, device, session.flow.next, out);
        loop {
            let Some(session) = self.presence.session(connection) else { return };
            let next = session.flow.next;
            let private =
                self.delivery.mailboxes.get(&user).and_then(|mailbox| mailbox.waiting.get(mailbox.after(next)));
            let private = private.map(|waiting| &waiting.message);
            let after = self.delivery.broadcasts.partition_point(|message| message.number <= next);
            let mut broadcasts = self.delivery.broadcasts.range(after..);
            let broadcast = broadcasts.find(|message| self.is_owed(message, session, device));
            let earliest = match (private, broadcast) {
                (Some(private), Some(broadcast)) if broadcast.number < private.number => broadcast,
                (Some(private), _) => private,
                (None, Some(broadcast)) => broadcast,
                (None, None) => break,
            };
            let message = Arc::clone(earliest);
            if self.gate_and_window(connection, &message, user) {
                out.event(connection, Event::Message(message), IfLost::Drop);
            } else if self.presence.session(connection).is_some_and(|session| session.flow.next < message.number) {
                return; // The window is closed.
            }
        }
        let last = self.delivery.last;
        if let Some(session) = self.presence.session_mut(connection) {
            session.flow.behind = false;
            session.flow.next = last;
        }
    }

    /// Messages that were dropped before this device has shown them are gone; it is told so.
    fn tell_missed(&self, connection: ConnectionId, user: UserId, device: DeviceId, next: Number, out: &mut Outbox) {
        let dropped = self.delivery.mailboxes.get(&user).map_or(Number(0), |mailbox| mailbox.dropped);
        let broadcasts = self.delivery.broadcasts_dropped;
        let missed = u64::from(dropped > next)
            + u64::from(broadcasts > next && self.devices.was_there(user, device, broadcasts));
        if missed > 0 {
            out.event(connection, Event::Missed { count: missed }, IfLost::Send);
        }
    }

    /// Everything up to `number` was shown on the asking device. `words`: what its client says to that message.
    pub(super) fn acknowledge(
        &mut self,
        now: Now,
        connection: ConnectionId,
        number: Number,
        words: Option<Text>,
        out: &mut Outbox,
    ) -> Answered {
        let words = words.map(|text| Words { number, text });
        let Some(session) = self.presence.session_mut(connection) else {
            return Answered::refuse(Refusal::LogInFirst);
        };
        let (user, Some(device)) = (session.user, session.device) else {
            return Answered::refuse(Refusal::NoDevice);
        };
        session.heard(now.instant);
        // What was not sent can't have been shown.
        let number = number.min(session.flow.last_sent);
        let all_shown = number == session.flow.last_sent;
        let cursor = if all_shown { session.flow.next } else { number };
        let Flow { behind, .. } = session.flow;
        let opened = session.flow.acknowledged(number);
        self.broadcasts_shown(user, device, number, words.as_ref(), out);
        if self.devices.advance(user, device, cursor, now.instant) {
            self.delivery.shown(user, &self.devices, words.as_ref(), out);
            self.devices.save_if_far(user, device, &mut out.changes);
        }
        if behind && opened {
            self.pump(connection, out);
        }
        Answered::reply(Reply::Acknowledged)
    }

    /// Messages that have waited too long are given up; their senders get a note.
    pub(super) fn sweep(&mut self, now: Now, out: &mut Outbox) {
        self.delivery.sweep_at = now.instant + SWEEP_EVERY;
        let keep = self.config.queue_expiry;
        let mut notes = Vec::new();
        for (&user, mailbox) in &mut self.delivery.mailboxes {
            while mailbox.waiting.front().is_some_and(|front| now.wall.since(front.message.time) >= keep) {
                let unshown = mailbox.waiting[0].message.number > mailbox.shown;
                let Some(expired) = mailbox.remove(0) else { break };
                if !unshown {
                    continue;
                }
                out.changes.push(Change::Expired { number: expired.message.number });
                if let Some(sender) = expired.message.sender().filter(|&sender| sender != user) {
                    notes.push((sender, user, expired.message.time));
                }
            }
        }
        self.delivery.mailboxes.retain(|_, mailbox| !mailbox.waiting.is_empty());
        for (sender, user, time) in notes {
            self.note_expired(now, sender, user, time, out);
        }
        for (user, device) in self.devices.forget_unseen(now.wall, &mut out.changes) {
            self.delivery.forget_device(user, device);
            self.delivery.cursor_moved(user, &self.devices, out);
        }
    }

    fn note_expired(&mut self, now: Now, sender: UserId, user: UserId, time: WallTime, out: &mut Outbox) {
        let days = now.wall.since(time).as_secs() / 86_400;
        let recipient = self.accounts.name(user);
        let text = format!("Your message to {recipient} of {days} days ago was not delivered: it waited too long.");
        if let Ok(text) = Text::parse(&text) {
            self.note(sender, text, (now.wall, now.local()), out);
        }
    }

    /// The server has something to tell a user.
    pub(super) fn note(&mut self, user: UserId, text: Text, (time, local): (WallTime, LocalTime), out: &mut Outbox) {
        if self.accounts.verifier(user).is_none() {
            return;
        }
        if self.delivery.mailbox(user, &self.devices).is_full_for(&text) {
            return; // Too much waits for the user already.
        }
        let number = self.delivery.last.next();
        let to = Recipient::User(user, self.accounts.name(user).clone());
        let note = Message { number, time, local, from: Sender::Server, to, text, origin: None };
        let note = self.append(note, out);
        self.wait_for(&note, user, None, out);
    }

    /// Nothing of these turns was stored: what was sent meanwhile may not have left either, so every device begins anew
    /// after its cursor. What does come twice is dropped by its number.
    pub(super) fn rewind_all(&mut self, out: &mut Outbox) {
        let connections: Vec<ConnectionId> = self.presence.sessions().map(|(connection, _)| connection).collect();
        for connection in connections {
            let Some(session) = self.presence.session_mut(connection) else { continue };
            if let Some(device) = session.device {
                session.flow.rewind(self.devices.cursor(session.user, device));
                self.pump(connection, out);
            }
        }
    }
}
