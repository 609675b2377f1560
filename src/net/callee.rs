//! Clients that are reached by calls: what is for each of them, where it listens, and whose turn it is to be called. Contains
//! no socket and no clock.
//!
//! What always holds: a client has one call at a time; those that were reached the last time are called first, and the
//! others have half of the calls at most, so that nobody who does not answer keeps the others waiting. The others are those
//! that were not, those that never were yet, and those whose place another log-in has taken: who logs in again and again and
//! does not answer has no more than them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use super::queue::{BatchNumber, WriteQueue};
use super::scope::Scope;
use crate::hub::id::{ConnectionId, Number};
use crate::wire::{Dialect, PeerPort};

/// Of all calls, one in so many may be to clients that were not reached the last time, or are only told of their end.
pub const RETRIES_SHARE: usize = 2;

/// Where a client may be called that came from `address` and says that it listens at `port`; `None`: nowhere. It is never
/// somewhere else than where it came from, and never this server itself, by whichever of its addresses.
pub fn where_to_call(address: IpAddr, port: PeerPort, plaintext: &Scope, own_ports: &[u16]) -> Option<SocketAddr> {
    let address = address.to_canonical();
    let may_be_called = plaintext.contains(address) && !own_ports.contains(&port.get());
    may_be_called.then_some(SocketAddr::new(address, port.get()))
}

/// One of them.
#[derive(Debug)]
pub struct Callee {
    address: SocketAddr,
    pub queue: WriteQueue,
    /// It stands in the list of those that wait for a batch.
    pub parked: bool,
    /// Its log-in goes on there, and it does not listen yet.
    log_in: Option<ConnectionId>,
    line: Line,
    /// It was reached the last time, and its session goes on.
    is_proven: bool,
    /// Its session is over: it is called for what is left, once.
    leaves: bool,
    /// Others come before it, whether it is reached or not.
    stands_back: bool,
}

/// How it stands with the next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Nothing is for it, or nothing that may leave.
    Out,
    /// It waits for its turn.
    In,
    /// It is called, there.
    UnderWay(ConnectionId),
    /// It was not reached, and is not called before that is asked for.
    Rests,
}

impl Callee {
    /// How what is for it is cut.
    const DIALECT: Dialect = Dialect::Delivery;

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its log-in goes on.
    pub fn log_in(&self) -> Option<ConnectionId> {
        self.log_in
    }

    pub fn leaves(&self) -> bool {
        self.leaves
    }

    /// Where it is called now.
    pub fn call(&self) -> Option<ConnectionId> {
        match self.line {
            Line::UnderWay(call) => Some(call),
            Line::Out | Line::In | Line::Rests => None,
        }
    }

    /// The next chunk that is for it, whole. It stays in the queue until the call has ended.
    pub fn chunk(&mut self, persisted: BatchNumber) -> Vec<u8> {
        Self::DIALECT
            .chunking()
            .map(|chunking| self.queue.chunk(persisted, chunking).collect::<Vec<_>>().concat())
            .unwrap_or_default()
    }
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its session is over: nobody wants to know more.
    pub leaves: bool,
    /// The message that has arrived, with all before it.
    pub shown: Option<Number>,
}

/// All of them.
#[derive(Debug)]
pub struct Callees {
    all: BTreeMap<ConnectionId, Callee>,
    by_address: HashMap<IpAddr, usize>,
    /// Who waits for a call, by whether it was reached the last time; some are gone already, or belong into the other.
    first: VecDeque<ConnectionId>,
    again: VecDeque<ConnectionId>,
    calls_max: usize,
    /// How many are called now, and how many of them are not proven.
    calls: usize,
    retries: usize,
}

impl Callees {
    /// At most so many are called at a time.
    pub fn new(calls_max: usize) -> Callees {
        Callees {
            all: BTreeMap::new(),
            by_address: HashMap::new(),
            first: VecDeque::new(),
            again: VecDeque::new(),
            calls_max,
            calls: 0,
            retries: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many are called now.
    pub fn calls(&self) -> usize {
        self.calls
    }

    /// Whether one of them came from there.
    pub fn any_from(&self, address: IpAddr) -> bool {
        self.by_address.contains_key(&address)
    }

    pub fn get(&self, id: ConnectionId) -> Option<&Callee> {
        self.all.get(&id)
    }

    pub fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Callee> {
        self.all.get_mut(&id)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ConnectionId, &mut Callee)> {
        self.all.iter_mut().map(|(&id, callee)| (id, callee))
    }

    /// Somebody has logged in, and is told so on the connection `log_in`.
    pub fn add(&mut self, id: ConnectionId, address: SocketAddr, log_in: ConnectionId) {
        let callee = Callee {
            address,
            queue: WriteQueue::default(),
            parked: false,
            log_in: Some(log_in),
            line: Line::Out,
            is_proven: false,
            leaves: false,
            stands_back: false,
        };
        self.all.insert(id, callee);
        *self.by_address.entry(address.ip()).or_default() += 1;
    }

    pub fn remove(&mut self, id: ConnectionId) -> Option<Callee> {
        let callee = self.all.remove(&id)?;
        if let Line::UnderWay(_) = callee.line {
            self.calls -= 1;
            self.retries -= usize::from(!callee.is_proven);
        }
        let address = callee.address.ip();
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
        Some(callee)
    }

    /// Its log-in is over, or has lasted for too long: it listens now, if it ever does.
    pub fn log_in_over(&mut self, id: ConnectionId, persisted: BatchNumber) {
        if let Some(callee) = self.all.get_mut(&id) {
            callee.log_in = None;
            self.consider(id, persisted);
        }
    }

    /// A client that was not reached may be called again.
    pub fn rested(&mut self, id: ConnectionId, persisted: BatchNumber) {
        if let Some(callee) = self.all.get_mut(&id)
            && callee.line == Line::Rests
        {
            callee.line = Line::Out;
            self.consider(id, persisted);
        }
    }

    /// Its session is over. What it must still be told it is called for once more, also if it was not reached before.
    pub fn leave(&mut self, id: ConnectionId, persisted: BatchNumber) {
        let Some(callee) = self.all.get_mut(&id) else { return };
        callee.leaves = true;
        callee.queue.let_messages_go();
        self.rested(id, persisted);
    }

    /// Its place was taken by another log-in: whoever still has one comes before it. A call that is under way goes on.
    pub fn stand_back(&mut self, id: ConnectionId) {
        let Some(callee) = self.all.get_mut(&id) else { return };
        callee.stands_back = true;
        if callee.call().is_none() {
            callee.is_proven = false;
        }
    }

    /// Puts it into the line if it has to be called.
    pub fn consider(&mut self, id: ConnectionId, persisted: BatchNumber) {
        let Some(callee) = self.all.get_mut(&id) else { return };
        if callee.line == Line::Out && callee.log_in.is_none() && callee.queue.may_leave(persisted) {
            callee.line = Line::In;
            let line = if callee.is_proven { &mut self.first } else { &mut self.again };
            line.push_back(id);
        }
    }

    /// Whether somebody may be called now.
    pub fn has_next(&self) -> bool {
        self.calls < self.calls_max && (!self.first.is_empty() || !self.again.is_empty() && self.may_retry())
    }

    fn may_retry(&self) -> bool {
        self.retries < (self.calls_max / RETRIES_SHARE).max(1)
    }

    /// Who is called next, if anybody may be now.
    pub fn next(&mut self, persisted: BatchNumber) -> Option<ConnectionId> {
        while self.has_next() {
            let is_first = !self.first.is_empty();
            let id = self.first.pop_front().or_else(|| self.again.pop_front())?;
            let Some(callee) = self.all.get_mut(&id).filter(|callee| callee.line == Line::In) else { continue };
            if is_first && !callee.is_proven {
                self.again.push_back(id);
                continue;
            }
            callee.line = Line::Out;
            // Something may have been taken back meanwhile.
            if callee.queue.may_leave(persisted) {
                return Some(id);
            }
        }
        None
    }

    /// It is called, there.
    pub fn begun(&mut self, id: ConnectionId, call: ConnectionId) {
        let Some(callee) = self.all.get_mut(&id) else { return };
        debug_assert_eq!(callee.line, Line::Out, "one call at a time");
        callee.line = Line::UnderWay(call);
        self.calls += 1;
        self.retries += usize::from(!callee.is_proven);
    }

    /// It has taken its chunk, or not; or it could not even be dialled.
    pub fn ended(&mut self, id: ConnectionId, reached: bool, persisted: BatchNumber) -> Option<Outcome> {
        let callee = self.all.get_mut(&id)?;
        if let Line::UnderWay(_) = callee.line {
            self.calls -= 1;
            self.retries -= usize::from(!callee.is_proven);
        }
        callee.is_proven = reached && !callee.stands_back;
        callee.line = if reached { Line::Out } else { Line::Rests };
        let shown = if reached { callee.queue.finish_chunk() } else { None };
        if !reached {
            callee.queue.abandon_chunk();
        }
        let leaves = callee.leaves;
        self.consider(id, persisted);
        Some(Outcome { leaves, shown })
    }

    /// Panics where what must hold does not. Comes back: how many wait for a batch, and the bytes of all queues.
    pub fn check_invariants(&self, persisted: BatchNumber) -> (usize, usize) {
        let mut in_line: Vec<ConnectionId> = Vec::new();
        let (mut calls, mut retries, mut parked, mut bytes) = (0, 0, 0, 0);
        for (&id, callee) in &self.all {
            let waits = callee.queue.waits_for(persisted).is_some();
            assert!(callee.parked || !waits, "{id:?} waits for a batch that will not wake it");
            let is_idle = callee.line == Line::Out && callee.log_in.is_none();
            assert!(!(is_idle && callee.queue.may_leave(persisted)), "nobody will call {id:?}");
            match callee.line {
                Line::In => in_line.push(id),
                Line::UnderWay(_) => {
                    calls += 1;
                    retries += usize::from(!callee.is_proven);
                }
                Line::Out | Line::Rests => {}
            }
            parked += usize::from(callee.parked);
            bytes += callee.queue.bytes();
        }
        for id in in_line {
            let places = self.first.iter().chain(&self.again).filter(|&&waits| waits == id).count();
            assert_eq!(places, 1, "the places of {id:?} in the line");
        }
        assert_eq!((self.calls, self.retries), (calls, retries), "how many are called");
        assert!(calls <= self.calls_max, "more calls than there may be");
        assert_eq!(self.by_address.values().sum::<usize>(), self.all.len());
        (parked, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::queue::{Encoded, IfLost};
    use crate::wire::{Kind, Pieces};

    const HERE: [u8; 4] = [10, 0, 0, 1];

    fn id(slot: u32) -> ConnectionId {
        ConnectionId { slot, generation: 0 }
    }

    fn port(port: u64) -> PeerPort {
        PeerPort::parse(port).unwrap()
    }

    fn say(callees: &mut Callees, id: ConnectionId, text: &str, kind: Kind) {
        let mut pieces = Pieces::default();
        pieces.bytes.extend_from_slice(text.as_bytes());
        pieces.end(kind);
        let encoded = Encoded::of(&pieces, Dialect::Delivery.chunking());
        callees.get_mut(id).unwrap().queue.push(encoded, 0, IfLost::Drop);
        callees.consider(id, 0);
    }

    /// So many who have logged in, and whose log-in is over.
    fn callees(count: u32, calls_max: usize) -> Callees {
        let mut callees = Callees::new(calls_max);
        for slot in 0..count {
            callees.add(id(slot), (HERE, 5000).into(), id(100 + slot));
            callees.log_in_over(id(slot), 0);
        }
        callees
    }

    /// Each of them is reached once.
    fn prove(callees: &mut Callees) {
        for slot in 0..callees.len() as u32 {
            say(callees, id(slot), "hello", Kind::Control);
            assert_eq!(call(callees), Some(slot));
            callees.ended(id(slot), true, 0);
        }
    }

    /// Begins the next call.
    fn call(callees: &mut Callees) -> Option<u32> {
        let next = callees.next(0)?;
        assert_ne!(callees.get_mut(next).unwrap().chunk(0), b"", "nobody is called for nothing");
        callees.begun(next, id(200 + next.slot));
        callees.check_invariants(0);
        Some(next.slot)
    }

    #[test]
    fn a_client_is_called_where_it_came_from_and_never_is_the_server() {
        let private = Scope::Private;
        let to = |address: &str, listens_at| {
            let found = where_to_call(address.parse().unwrap(), port(listens_at), &private, &[6001, 55_555]);
            found.map(|found| found.to_string())
        };
        assert_eq!(to("10.0.0.1", 5000).as_deref(), Some("10.0.0.1:5000"));
        assert_eq!(to("::ffff:10.0.0.1", 5000).as_deref(), Some("10.0.0.1:5000"));
        assert_eq!(to("fd00::1", 1024).as_deref(), Some("[fd00::1]:1024"));
        assert_eq!(to("127.0.0.1", 65_535).as_deref(), Some("127.0.0.1:65535"));
        for (address, port) in [("8.8.8.8", 5000), ("::ffff:8.8.8.8", 5000), ("10.0.0.1", 6001), ("127.0.0.1", 55_555)]
        {
            assert_eq!(to(address, port), None, "{address} {port}");
        }
        assert_eq!(where_to_call(HERE.into(), port(5000), &Scope::Off, &[]), None);
    }

    #[test]
    fn nobody_is_called_before_the_log_in_is_over_nor_for_nothing() {
        let mut callees = Callees::new(4);
        callees.add(id(1), (HERE, 5000).into(), id(2));
        say(&mut callees, id(1), "hi", Kind::Control);
        assert_eq!(call(&mut callees), None);
        callees.log_in_over(id(1), 0);
        assert_eq!((call(&mut callees), call(&mut callees)), (Some(1), None));
        say(&mut callees, id(1), "again", Kind::Text { ends: Some(Number(7)) });
        assert_eq!(call(&mut callees), None, "one call at a time");
        assert_eq!(callees.ended(id(1), true, 0), Some(Outcome { leaves: false, shown: None }));
        assert_eq!(call(&mut callees), Some(1));
        assert_eq!(callees.ended(id(1), true, 0), Some(Outcome { leaves: false, shown: Some(Number(7)) }));
        assert_eq!((call(&mut callees), callees.calls()), (None, 0));
    }

    #[test]
    fn who_was_not_reached_rests_and_keeps_what_is_for_it() {
        let mut callees = callees(1, 4);
        say(&mut callees, id(0), "hi", Kind::Text { ends: Some(Number(1)) });
        assert_eq!(call(&mut callees), Some(0));
        assert_eq!(callees.ended(id(0), false, 0), Some(Outcome { leaves: false, shown: None }));
        say(&mut callees, id(0), "more", Kind::Control);
        assert_eq!(call(&mut callees), None);
        callees.rested(id(0), 0);
        assert_eq!(call(&mut callees), Some(0));
        assert_eq!(callees.get_mut(id(0)).unwrap().chunk(0), b"hi");
        assert_eq!(callees.ended(id(0), true, 0).unwrap().shown, Some(Number(1)));
    }

    #[test]
    fn who_does_not_answer_keeps_nobody_waiting() {
        let mut callees = callees(8, 4);
        prove(&mut callees);
        for slot in 0..8 {
            say(&mut callees, id(slot), "hi", Kind::Control);
        }
        for slot in 0..4 {
            assert_eq!(call(&mut callees), Some(slot));
        }
        assert_eq!(call(&mut callees), None, "no more than there may be");
        for slot in 0..4 {
            callees.ended(id(slot), false, 0);
            callees.rested(id(slot), 0);
        }
        let order = [4, 5, 6, 7].map(Some);
        assert_eq!([(); 4].map(|()| call(&mut callees)), order, "who has not failed comes first");
        for slot in 4..8 {
            callees.ended(id(slot), true, 0);
        }
        assert_eq!([(); 3].map(|()| call(&mut callees)), [Some(0), Some(1), None], "half of the calls are the others'");
        say(&mut callees, id(7), "ho", Kind::Control);
        assert_eq!(call(&mut callees), Some(7));
        callees.ended(id(0), false, 0);
        assert_eq!((call(&mut callees), call(&mut callees)), (Some(2), None));
    }

    #[test]
    fn who_logs_in_again_and_again_keeps_nobody_waiting() {
        let mut callees = callees(8, 4);
        prove(&mut callees);
        // 7 is displaced while it waits for its turn, the others while they do not; 6 was called before.
        say(&mut callees, id(6), "hi", Kind::Control);
        assert_eq!(call(&mut callees), Some(6));
        say(&mut callees, id(7), "hi", Kind::Control);
        for slot in 1..8 {
            callees.stand_back(id(slot));
            callees.leave(id(slot), 0);
            say(&mut callees, id(slot), "logout_duplicate", Kind::Control);
            callees.check_invariants(0);
        }
        callees.add(id(8), (HERE, 5000).into(), id(108));
        callees.log_in_over(id(8), 0);
        say(&mut callees, id(8), "note", Kind::Control);
        assert_eq!([(); 3].map(|()| call(&mut callees)), [Some(1), Some(2), None], "half of the calls are the others'");
        say(&mut callees, id(0), "hi", Kind::Control);
        assert_eq!(call(&mut callees), Some(0));
        callees.ended(id(6), true, 0);
        assert_eq!(call(&mut callees), None, "its calls go on behind the others'");
    }

    #[test]
    fn who_leaves_is_told_why_once_even_if_it_rests() {
        let mut callees = callees(2, 4);
        for slot in [0, 1] {
            say(&mut callees, id(slot), "message", Kind::Text { ends: Some(Number(1)) });
        }
        assert_eq!(call(&mut callees), Some(0));
        callees.ended(id(0), false, 0);
        say(&mut callees, id(0), "shutdown", Kind::Control);
        callees.leave(id(0), 0);
        callees.leave(id(1), 0);
        assert_eq!((call(&mut callees), call(&mut callees)), (Some(0), None));
        assert_eq!(callees.get_mut(id(0)).unwrap().chunk(0), b"shutdown");
        assert_eq!(callees.ended(id(0), true, 0), Some(Outcome { leaves: true, shown: None }));
        assert!(callees.get(id(1)).unwrap().queue.is_empty());
    }

    #[test]
    fn who_is_removed_leaves_no_place_behind() {
        let mut callees = callees(2, 1);
        for slot in [0, 1] {
            say(&mut callees, id(slot), "hi", Kind::Control);
        }
        assert_eq!((call(&mut callees), call(&mut callees)), (Some(0), None));
        assert!(callees.any_from(HERE.into()));
        callees.remove(id(0)).unwrap();
        assert_eq!((callees.ended(id(0), true, 0), call(&mut callees)), (None, Some(1)));
        callees.remove(id(1)).unwrap();
        callees.check_invariants(0);
        assert!(callees.is_empty() && callees.calls() == 0 && !callees.any_from(HERE.into()));
    }
}
