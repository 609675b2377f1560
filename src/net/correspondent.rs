//! Clients that are reached by datagrams (protocols.md, section 3): who is at which address, what is for each of them, and
//! how often it is sent. Contains no socket and no clock.
//!
//! What always holds: at an address there is one client at most, and beside it one log-in at most that nothing has come of
//! yet. Of the messages for a client one is under way at a time; it is sent again until the client has acknowledged it, or is
//! given up. What is no message is sent once, and overtakes them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::queue::{BatchNumber, WriteQueue};
use crate::hub::id::{ConnectionId, Endpoint, Number};
use crate::wire::datagram::Request;
use crate::wire::datagram::server::{Correspondent as Client, Said};
use crate::wire::named::Named;
use crate::wire::{Conversation, Dialect, Kind};

/// Clients that have logged in.
pub const CORRESPONDENTS_MAX: usize = 4096;
/// Log-ins of which nothing has come yet, and those who are only told that it is over.
pub const UNDECIDED_MAX: usize = 256;
/// A message is sent so often,
pub const TRIES_MAX: usize = 5;
/// with these pauses between; after the last one nobody is there.
const PAUSES: [Duration; TRIES_MAX] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// What was sent more than once may be acknowledged as often, for so long. An acknowledgement names no message.
pub const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// One of them.
#[derive(Debug)]
pub struct Correspondent {
    endpoint: Endpoint,
    pub conversation: Conversation,
    /// What is for it and was not sent, and no message that waits for its turn.
    pub queue: WriteQueue,
    /// It stands in the list of those that wait for a batch.
    pub parked: bool,
    /// It stands in the list of those that something may be sent to.
    is_due: bool,
    standing: Standing,
    /// Messages that may leave; the first one may be under way.
    held: VecDeque<Held>,
    held_bytes: usize,
    line: Line,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing has come of its log-in yet.
    Undecided,
    LoggedIn,
    /// Its session is over, or it never had one: it is told what is left, once.
    Leaves,
}

#[derive(Debug)]
struct Held {
    piece: Arc<[u8]>,
    /// The message that ends with it.
    ends: Option<Number>,
}

/// How it stands with the first message that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// It is to be sent, if there is one, and was so often.
    Open { tries: usize },
    /// It was sent so often, and is not acknowledged.
    UnderWay { tries: usize },
    /// Copies of the last one may be acknowledged still: it waits.
    Settles,
}

/// What came of an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// The message that has arrived with it.
    pub ends: Option<Number>,
    /// The next one waits for so long.
    pub settles: Option<Duration>,
}

impl Correspondent {
    fn new(endpoint: Endpoint, conversation: Conversation) -> Correspondent {
        Correspondent {
            endpoint,
            conversation,
            queue: WriteQueue::default(),
            parked: false,
            is_due: false,
            standing: Standing::Undecided,
            held: VecDeque::new(),
            held_bytes: 0,
            line: Line::Open { tries: 0 },
        }
    }

    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    pub fn dialect(&self) -> Dialect {
        self.conversation.dialect()
    }

    pub fn is_undecided(&self) -> bool {
        self.standing == Standing::Undecided
    }

    pub fn leaves(&self) -> bool {
        self.standing == Standing::Leaves
    }

    /// What is for it and was not sent, or not acknowledged, in bytes.
    pub fn bytes(&self) -> usize {
        self.queue.bytes() + self.held_bytes
    }

    /// What comes of something that the client says.
    pub fn hear(&mut self, request: Request) -> Option<Said> {
        Some(self.client()?.hear(request))
    }

    fn client(&mut self) -> Option<&mut Client> {
        match &mut self.conversation {
            Conversation::Datagram(client) => Some(client),
            _ => None,
        }
    }

    /// Appends what is sent next, and once, as it travels; it stays until `said`. Messages before it line up on the way.
    /// False: nothing may be.
    pub fn seal_next(&mut self, persisted: BatchNumber, out: &mut Vec<u8>) -> bool {
        while let Some((piece, Kind::Acknowledged { ends })) = self.queue.first(persisted) {
            self.held_bytes += piece.len();
            self.held.push_back(Held { piece: Arc::clone(piece), ends });
            self.queue.remove_first();
        }
        let next = self.queue.first(persisted);
        next.inspect(|(piece, _)| self.conversation.seal(piece, out)).is_some()
    }

    /// It was sent.
    pub fn said(&mut self) {
        self.queue.remove_first();
    }

    /// Appends the message that is to be sent, for the first time or again, as it travels. False: there is none.
    pub fn seal_message(&self, out: &mut Vec<u8>) -> bool {
        self.message().inspect(|piece| self.conversation.seal(piece, out)).is_some()
    }

    fn message(&self) -> Option<&[u8]> {
        match self.line {
            Line::Open { .. } => self.held.front().map(|held| &held.piece[..]),
            Line::UnderWay { .. } | Line::Settles => None,
        }
    }

    /// It was sent. Comes back: after how long `again` is asked, if it is not acknowledged before.
    pub fn sent(&mut self) -> Duration {
        let (Line::Open { tries } | Line::UnderWay { tries }) = self.line else { return SETTLED_AFTER };
        self.line = Line::UnderWay { tries: tries + 1 };
        PAUSES[tries.min(TRIES_MAX - 1)]
    }

    /// The message was not acknowledged in time. False: the client is given up.
    pub fn again(&mut self) -> bool {
        let Line::UnderWay { tries } = self.line else { return true };
        if tries >= TRIES_MAX {
            return false;
        }
        self.line = Line::Open { tries };
        true
    }

    /// The client says that a message of this sender's has come. `None`: that is not the one under way.
    pub fn acknowledged(&mut self, sender: &Named) -> Option<Arrived> {
        let tries = match self.line {
            Line::UnderWay { tries } => tries,
            // It is to be sent again.
            Line::Open { tries } if tries > 0 => tries,
            Line::Open { .. } | Line::Settles => return None,
        };
        let (Some(held), Conversation::Datagram(client)) = (self.held.front(), &self.conversation) else { return None };
        if !client.acknowledges(&held.piece, sender) {
            return None;
        }
        let held = self.held.pop_front()?;
        self.held_bytes -= held.piece.len();
        let settles = (tries > 1).then_some(SETTLED_AFTER);
        self.line = if settles.is_some() { Line::Settles } else { Line::Open { tries: 0 } };
        Some(Arrived { ends: held.ends, settles })
    }

    /// No copy of the last message is acknowledged any more.
    pub fn settled(&mut self) {
        if self.line == Line::Settles {
            self.line = Line::Open { tries: 0 };
        }
    }

    /// Whether something may be sent to it now.
    fn may_be_sent_to(&self, persisted: BatchNumber) -> bool {
        self.queue.may_leave(persisted) || self.message().is_some()
    }
}

/// Whether somebody may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    Yes,
    /// Something will come of another log-in at that address first, or of others.
    NotNow,
    /// As many have logged in as may.
    Full,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Correspondents {
    all: BTreeMap<ConnectionId, Correspondent>,
    logged_in: HashMap<Endpoint, ConnectionId>,
    undecided: HashMap<Endpoint, ConnectionId>,
    /// Those that something may be sent to; some are gone already.
    due: VecDeque<ConnectionId>,
}

impl Correspondents {
    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many have logged in.
    pub fn logged_in(&self) -> usize {
        self.logged_in.len()
    }

    pub fn get(&self, id: ConnectionId) -> Option<&Correspondent> {
        self.all.get(&id)
    }

    pub fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Correspondent> {
        self.all.get_mut(&id)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ConnectionId, &mut Correspondent)> {
        self.all.iter_mut().map(|(&id, correspondent)| (id, correspondent))
    }

    /// Who has logged in at this address.
    pub fn at(&self, endpoint: Endpoint) -> Option<ConnectionId> {
        self.logged_in.get(&endpoint).copied()
    }

    /// Whether somebody may log in at this address.
    pub fn admits(&self, endpoint: Endpoint) -> Admitted {
        let pending = self.all.len() - self.logged_in.len();
        if self.undecided.contains_key(&endpoint) || pending >= UNDECIDED_MAX {
            return Admitted::NotNow;
        }
        let takes_a_place = !self.logged_in.contains_key(&endpoint);
        let places = CORRESPONDENTS_MAX.saturating_sub(self.undecided.len());
        if takes_a_place && self.logged_in.len() >= places { Admitted::Full } else { Admitted::Yes }
    }

    /// Somebody wants to log in.
    pub fn add(&mut self, id: ConnectionId, endpoint: Endpoint, conversation: Conversation) {
        self.all.insert(id, Correspondent::new(endpoint, conversation));
        self.undecided.insert(endpoint, id);
    }

    /// They have. Comes back: who was at the address before.
    pub fn log_in(&mut self, id: ConnectionId) -> Option<ConnectionId> {
        let correspondent = self.all.get_mut(&id).filter(|found| found.is_undecided())?;
        correspondent.standing = Standing::LoggedIn;
        self.undecided.remove(&correspondent.endpoint);
        self.logged_in.insert(correspondent.endpoint, id)
    }

    /// Its session is over, or does not begin: what is no message it is still told. Until a log-in has its answer, others from
    /// its address are taken for copies of it.
    pub fn leave(&mut self, id: ConnectionId) {
        let Some(correspondent) = self.all.get_mut(&id) else { return };
        forget_place(&mut self.logged_in, correspondent.endpoint, id);
        correspondent.standing = Standing::Leaves;
        correspondent.held.clear();
        correspondent.held_bytes = 0;
        correspondent.line = Line::Open { tries: 0 };
        correspondent.queue.let_messages_go();
    }

    pub fn remove(&mut self, id: ConnectionId) -> Option<Correspondent> {
        let correspondent = self.all.remove(&id)?;
        for places in [&mut self.logged_in, &mut self.undecided] {
            forget_place(places, correspondent.endpoint, id);
        }
        Some(correspondent)
    }

    /// Puts it into the list of those that something may be sent to, if that is so.
    pub fn consider(&mut self, id: ConnectionId, persisted: BatchNumber) {
        let Some(correspondent) = self.all.get_mut(&id) else { return };
        if !correspondent.is_due && correspondent.may_be_sent_to(persisted) {
            correspondent.is_due = true;
            self.due.push_back(id);
        }
    }

    /// A socket takes datagrams again.
    pub fn consider_all_at(&mut self, socket: u16, persisted: BatchNumber) {
        let there = self.all.iter().filter(|(_, found)| found.endpoint.socket == socket);
        let there: Vec<ConnectionId> = there.map(|(&id, _)| id).collect();
        there.into_iter().for_each(|id| self.consider(id, persisted));
    }

    /// To how many something may be sent; some of them are gone already.
    pub fn due(&self) -> usize {
        self.due.len()
    }

    /// Takes the one of them who waits longest.
    pub fn next_due(&mut self) -> Option<ConnectionId> {
        let id = self.due.pop_front()?;
        if let Some(correspondent) = self.all.get_mut(&id) {
            correspondent.is_due = false;
        }
        Some(id)
    }

    /// Panics where what must hold does not. `waits`: whether somebody is in no list because their socket takes nothing.
    /// Comes back: how many wait for a batch, and the bytes for all.
    pub fn check_invariants(&self, persisted: BatchNumber, waits: impl Fn(ConnectionId) -> bool) -> (usize, usize) {
        let (mut parked, mut bytes, mut due) = (0, 0, 0);
        for (&id, correspondent) in &self.all {
            let place = match correspondent.standing {
                Standing::Undecided => self.undecided.get(&correspondent.endpoint),
                Standing::LoggedIn => self.logged_in.get(&correspondent.endpoint),
                Standing::Leaves => Some(&id),
            };
            assert_eq!(place, Some(&id), "the place of {id:?}");
            let is_left = correspondent.may_be_sent_to(persisted) && !correspondent.is_due && !waits(id);
            assert!(!is_left, "nobody will send to {id:?} what may leave");
            assert!(
                correspondent.parked || correspondent.queue.waits_for(persisted).is_none(),
                "{id:?} waits for a batch that will not wake it"
            );
            assert_eq!(correspondent.held_bytes, correspondent.held.iter().map(|held| held.piece.len()).sum::<usize>());
            parked += usize::from(correspondent.parked);
            due += usize::from(correspondent.is_due);
            bytes += correspondent.bytes();
        }
        assert!(self.logged_in.len() <= CORRESPONDENTS_MAX && self.all.len() - self.logged_in.len() <= UNDECIDED_MAX);
        assert!(self.logged_in.len() + self.undecided.len() <= self.all.len(), "a place of nobody");
        assert_eq!(self.due.iter().filter(|id| self.all.contains_key(id)).count(), due, "the list of those due");
        (parked, bytes)
    }
}

/// Another may be there, if this one was.
fn forget_place(places: &mut HashMap<Endpoint, ConnectionId>, endpoint: Endpoint, id: ConnectionId) {
    if places.get(&endpoint) == Some(&id) {
        places.remove(&endpoint);
    }
}

/// The conversation with whoever wants to log in.
pub fn conversation(client: Client) -> Conversation {
    Conversation::Datagram(Box::new(client))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::effect::Event;
    use crate::hub::id::UserId;
    use crate::hub::message::{Message, Recipient, Sender};
    use crate::hub::name::UserName;
    use crate::hub::time::{LocalTime, WallTime};
    use crate::net::queue::{Encoded, IfLost};
    use crate::wire::datagram::Manner;
    use crate::wire::datagram::notice::Ends;
    use crate::wire::{Pieces, Text};

    fn id(slot: u32) -> ConnectionId {
        ConnectionId { slot, generation: 0 }
    }

    fn endpoint(port: u16) -> Endpoint {
        Endpoint { socket: 0, address: ([10, 0, 0, 1], port).into() }
    }

    fn name(name: &str) -> UserName {
        UserName::parse(name).unwrap()
    }

    fn client() -> Conversation {
        let ends = Ends { client: endpoint(1).address, server: ([10, 0, 0, 9], 6001).into() };
        conversation(Client::new(name("bob"), Manner::Plain, ends))
    }

    fn push(bob: &mut Correspondent, event: &Event, batch: BatchNumber) {
        let mut pieces = Pieces::default();
        bob.dialect().encode_event(event, &mut pieces);
        bob.queue.push(Encoded::of(&pieces, bob.dialect().chunking()), batch, IfLost::Drop);
    }

    fn message(number: u64, from: &str, text: &str) -> Event {
        Event::Message(Arc::new(Message {
            number: Number(number),
            time: WallTime::default(),
            local: LocalTime::default(),
            from: Sender::User(UserId(1), name(from)),
            to: Recipient::User(UserId(2), name("bob")),
            text: Text::parse(text).unwrap(),
            origin: None,
        }))
    }

    /// Everything that is sent now, by its bodies.
    fn sent(bob: &mut Correspondent, persisted: BatchNumber) -> Vec<String> {
        let mut all = Vec::new();
        let mut out = Vec::new();
        while bob.seal_next(persisted, &mut out) {
            bob.said();
            all.push(body(&std::mem::take(&mut out)));
        }
        if bob.seal_message(&mut out) {
            bob.sent();
            all.push(body(&out));
        }
        all
    }

    fn body(datagram: &[u8]) -> String {
        let text = std::str::from_utf8(datagram).unwrap();
        text.split('\'').nth(3).unwrap().to_owned()
    }

    fn bob() -> Correspondent {
        Correspondent::new(endpoint(1), client())
    }

    #[test]
    fn one_message_is_under_way_and_what_is_said_once_overtakes_the_others() {
        let mut bob = bob();
        push(&mut bob, &message(1, "alice", "one"), 0);
        push(&mut bob, &message(2, "carol", "two"), 0);
        push(&mut bob, &Event::Online(name("dave")), 0);
        push(&mut bob, &message(3, "alice", "three"), 2);
        push(&mut bob, &Event::Online(name("erin")), 0);
        let one = "Private message from alice: one";
        assert_eq!(sent(&mut bob, 1), ["dave is online!", one]);
        assert_eq!(bob.acknowledged(&Named::parse("carol")), None, "that one is not under way");
        let arrived = Arrived { ends: Some(Number(1)), settles: None };
        assert_eq!(bob.acknowledged(&Named::parse("ALICE")), Some(arrived));
        assert_eq!(sent(&mut bob, 1), ["Private message from carol: two"]);
        assert_eq!(bob.acknowledged(&Named::parse("carol")).unwrap().ends, Some(Number(2)));
        assert!(sent(&mut bob, 1).is_empty(), "what is not on disk holds back what is behind it");
        assert_eq!(sent(&mut bob, 2), ["erin is online!", "Private message from alice: three"]);
        bob.acknowledged(&Named::parse("alice")).unwrap();
        assert_eq!((bob.bytes(), bob.may_be_sent_to(9)), (0, false));
    }

    #[test]
    fn a_message_is_sent_again_with_growing_pauses_and_then_nobody_is_there() {
        let mut bob = bob();
        push(&mut bob, &message(1, "alice", "one"), 0);
        let mut out = Vec::new();
        assert!(!bob.seal_next(0, &mut out), "there is nothing but the message");
        for pause in PAUSES {
            assert!(bob.seal_message(&mut out));
            assert_eq!(bob.sent(), pause);
            assert!(!bob.seal_message(&mut out), "it is under way");
            assert_eq!(bob.again(), pause != PAUSES[TRIES_MAX - 1]);
        }
        assert_eq!(PAUSES.iter().sum::<Duration>(), Duration::from_millis(15_500));
    }

    #[test]
    fn what_was_sent_more_than_once_is_waited_for_until_its_copies_have_come() {
        let mut bob = bob();
        for (number, text) in [(1, "one"), (2, "two")] {
            push(&mut bob, &message(number, "alice", text), 0);
        }
        sent(&mut bob, 0);
        assert!(bob.again());
        assert_eq!(sent(&mut bob, 0), ["Private message from alice: one"]);
        assert!(bob.again(), "it is to be sent once more, and comes before that");
        let arrived = Arrived { ends: Some(Number(1)), settles: Some(SETTLED_AFTER) };
        assert_eq!(bob.acknowledged(&Named::parse("alice")), Some(arrived));
        assert_eq!(bob.acknowledged(&Named::parse("alice")), None);
        assert!(sent(&mut bob, 0).is_empty());
        bob.settled();
        assert_eq!(sent(&mut bob, 0), ["Private message from alice: two"]);
    }

    #[test]
    fn at_an_address_there_is_one_client_and_one_log_in() {
        let mut all = Correspondents::default();
        assert_eq!(all.admits(endpoint(1)), Admitted::Yes);
        all.add(id(1), endpoint(1), client());
        assert_eq!((all.admits(endpoint(1)), all.admits(endpoint(2))), (Admitted::NotNow, Admitted::Yes));
        assert_eq!((all.at(endpoint(1)), all.log_in(id(1))), (None, None));
        assert_eq!((all.at(endpoint(1)), all.log_in(id(1))), (Some(id(1)), None));
        all.add(id(2), endpoint(1), client());
        assert_eq!(all.at(endpoint(1)), Some(id(1)), "nothing has come of it yet");
        assert_eq!(all.log_in(id(2)), Some(id(1)));
        all.remove(id(1));
        assert_eq!(all.at(endpoint(1)), Some(id(2)), "who is gone takes nobody's place along");
        all.leave(id(2));
        assert_eq!((all.at(endpoint(1)), all.len(), all.logged_in()), (None, 1, 0));
        assert_eq!(all.admits(endpoint(1)), Admitted::Yes, "its session is over");
        all.add(id(3), endpoint(1), client());
        all.leave(id(3));
        assert_eq!(all.admits(endpoint(1)), Admitted::NotNow, "it has no answer yet");
        all.check_invariants(0, |_| false);
        all.remove(id(3));
        assert_eq!(all.admits(endpoint(1)), Admitted::Yes);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut all = Correspondents::default();
        let at = |number: usize| Endpoint {
            socket: (number / 1000) as u16,
            address: endpoint(1000 + (number % 1000) as u16).address,
        };
        for number in 0..CORRESPONDENTS_MAX {
            assert_eq!(all.admits(at(number)), Admitted::Yes);
            all.add(id(number as u32), at(number), client());
            all.log_in(id(number as u32));
        }
        assert_eq!(all.admits(at(CORRESPONDENTS_MAX)), Admitted::Full);
        for number in 0..UNDECIDED_MAX {
            assert_eq!(all.admits(at(number)), Admitted::Yes, "who is there may come again");
            all.add(id((CORRESPONDENTS_MAX + number) as u32), at(number), client());
        }
        assert_eq!(all.admits(at(UNDECIDED_MAX)), Admitted::NotNow);
        all.check_invariants(0, |_| false);
    }

    #[test]
    fn who_leaves_is_told_what_is_no_message() {
        let mut all = Correspondents::default();
        all.add(id(1), endpoint(1), client());
        all.log_in(id(1));
        let bob = all.get_mut(id(1)).unwrap();
        push(bob, &message(1, "alice", "one"), 0);
        push(bob, &message(2, "alice", "two"), 0);
        assert_eq!(sent(bob, 0).len(), 1);
        push(bob, &message(3, "alice", "three"), 0);
        push(bob, &Event::Online(name("dave")), 0);
        all.leave(id(1));
        assert_eq!(sent(all.get_mut(id(1)).unwrap(), 0), ["dave is online!"]);
        assert_eq!(all.get(id(1)).unwrap().bytes(), 0);
    }
}
