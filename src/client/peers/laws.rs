//! Two sides joined by a model of the server and of the link, in virtual time: whatever happens to them, in whatever order and
//! in whatever pieces, the laws of a conversation hold.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::tests::{NOW, WITHIN, certificate, name, text};
use super::*;

/// How long a question can be answered.
const ANSWER: Duration = Duration::from_secs(120);
const NAMES: [&str; 2] = ["alice", "bob"];
/// Nobody has asked with this one.
const STRANGERS: u8 = 9;

/// What can happen. `side`: 0 is alice, 1 is bob.
#[derive(Clone, Debug)]
enum Op {
    Say {
        side: usize,
    },
    Begin {
        side: usize,
    },
    Answer {
        side: usize,
        yes: bool,
    },
    End {
        side: usize,
    },
    Revoke {
        side: usize,
    },
    Block {
        side: usize,
    },
    Reconnect {
        side: usize,
    },
    TakeHeld {
        side: usize,
    },
    Stranger {
        side: usize,
    },
    /// Whoever was dialled hears of it.
    Arrive {
        connection: usize,
    },
    Carry {
        connection: usize,
        to: usize,
        bytes: usize,
    },
    /// The connection is cut: what is on its way is lost.
    Cut {
        connection: usize,
    },
    Overflow {
        connection: usize,
        side: usize,
    },
    Pass {
        seconds: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let side = || 0..2usize;
    let connection = || 0..4usize;
    prop_oneof![
        8 => side().prop_map(|side| Op::Say { side }),
        2 => side().prop_map(|side| Op::Begin { side }),
        6 => (side(), prop::bool::weighted(0.9)).prop_map(|(side, yes)| Op::Answer { side, yes }),
        1 => side().prop_map(|side| Op::End { side }),
        1 => side().prop_map(|side| Op::Revoke { side }),
        1 => side().prop_map(|side| Op::Block { side }),
        1 => side().prop_map(|side| Op::Reconnect { side }),
        1 => side().prop_map(|side| Op::TakeHeld { side }),
        1 => side().prop_map(|side| Op::Stranger { side }),
        8 => connection().prop_map(|connection| Op::Arrive { connection }),
        16 => (connection(), side(), prop_oneof![1..8usize, Just(4096usize)])
            .prop_map(|(connection, to, bytes)| Op::Carry { connection, to, bytes }),
        1 => connection().prop_map(|connection| Op::Cut { connection }),
        1 => (connection(), side()).prop_map(|(connection, side)| Op::Overflow { connection, side }),
        2 => prop_oneof![1..15u64, 100..700u64].prop_map(|seconds| Op::Pass { seconds }),
    ]
}

struct Connection {
    dialler: usize,
    ids: [Option<PeerId>; 2],
    /// What is on its way to each.
    on_the_way: [VecDeque<u8>; 2],
    /// It has neither closed nor been told of the end.
    open: [bool; 2],
    /// It has closed.
    has_closed: [bool; 2],
    /// Whoever dialled knows that it was let in.
    is_let_in: bool,
    has_heard_hello: bool,
}

struct World {
    now: Now,
    sides: [Peers; 2],
    connections: Vec<Connection>,
    next_id: [u64; 2],
    /// Until when the question of each can be answered.
    questions: [Option<Now>; 2],
    /// The certificates that each would let in, by its actions.
    lets_in: [Vec<Fingerprint>; 2],
    said: [Vec<Text>; 2],
    /// What each was told, which the other has said.
    told: [Vec<Text>; 2],
    taken: [Vec<Text>; 2],
}

fn shown_by(side: usize) -> Fingerprint {
    certificate(side as u8 + 1)
}

fn user(side: usize) -> UserName {
    name(NAMES[side])
}

impl World {
    fn new() -> World {
        let mut world = World {
            now: NOW,
            sides: Default::default(),
            connections: Vec::new(),
            next_id: [0; 2],
            questions: [None; 2],
            lets_in: Default::default(),
            said: Default::default(),
            told: Default::default(),
            taken: Default::default(),
        };
        for side in [0, 1] {
            world.sides[side].logged_in(NOW, &user(side));
        }
        world
    }

    fn happen(&mut self, op: Op) {
        let now = self.now;
        match op {
            Op::Say { side } => {
                let said = text(&format!("text {} of {}", self.said[side].len(), NAMES[side]));
                if self.sides[side].say(now, &user(1 - side), Some(said.clone())).is_ok() {
                    self.said[side].push(said);
                }
            }
            Op::Begin { side } => drop(self.sides[side].say(now, &user(1 - side), None)),
            Op::Answer { side, yes } => self.answer(side, yes),
            Op::End { side } => drop(self.sides[side].end(&user(1 - side))),
            Op::Revoke { side } => {
                self.sides[side].revoke(&user(1 - side));
                self.sides[1 - side].news(now, &News::Revoked { user: user(side) });
            }
            Op::Block { side } => {
                for asker in [0, 1] {
                    self.withdraw(asker, "withdrawn");
                }
                self.sides[side].blocked(&user(1 - side));
                self.sides[1 - side].news(now, &News::Revoked { user: user(side) });
            }
            Op::Reconnect { side } => {
                if self.questions[side].take().is_some() {
                    let over = News::AskOver { user: user(side), reason: "withdrawn".to_owned() };
                    self.sides[1 - side].news(now, &over);
                }
                self.sides[side].logged_in(now, &user(side));
                if let Some(until) = self.questions[1 - side] {
                    let (user, certificate) = (user(1 - side), shown_by(1 - side));
                    self.sides[side].news(now, &News::Asks { user, certificate, answer_within: until - now });
                }
            }
            Op::TakeHeld { side } => {
                let taken = self.sides[side].take_held(&user(1 - side));
                self.taken[side].extend(taken);
            }
            Op::Stranger { side } => {
                let id = self.id(side);
                self.sides[side].up(now, id, certificate(STRANGERS), false);
                assert_eq!(self.sides[side].actions.pop_back(), Some(Action::Close(id)), "a stranger");
            }
            Op::Arrive { connection } => self.arrive(connection),
            Op::Carry { connection, to, bytes } => self.carry(connection, to, bytes),
            Op::Cut { connection } => {
                let Some(found) = self.connections.get_mut(connection) else { return };
                for side in [0, 1] {
                    if let (true, Some(id)) = (std::mem::take(&mut found.open[side]), found.ids[side]) {
                        self.sides[side].gone(now, id, &PeerGone::CutOff);
                    }
                }
            }
            Op::Overflow { connection, side } => {
                let Some(found) = self.connections.get(connection) else { return };
                if let (true, Some(id)) = (found.open[side], found.ids[side]) {
                    self.sides[side].overflowed(id);
                }
            }
            Op::Pass { seconds } => {
                self.now = now.saturating_add(Duration::from_secs(seconds));
                for side in [0, 1] {
                    if self.questions[side].is_some_and(|until| until <= self.now) {
                        self.withdraw(side, "expired");
                    }
                    self.sides[side].tick(self.now);
                    let next = self.sides[side].poll_timeout();
                    assert!(next.is_none_or(|next| next > self.now), "what is over is done");
                }
            }
        }
    }

    fn id(&mut self, side: usize) -> PeerId {
        self.next_id[side] += 1;
        PeerId(self.next_id[side])
    }

    /// A question ends without a yes, if there is one.
    fn withdraw(&mut self, asker: usize, reason: &str) {
        if self.questions[asker].take().is_none() {
            return;
        }
        let (now, reason) = (self.now, reason.to_owned());
        self.sides[1 - asker].news(now, &News::AskOver { user: user(asker), reason: reason.clone() });
        self.sides[asker].news(now, &News::NoAddress { user: user(1 - asker), reason });
    }

    fn answer(&mut self, side: usize, yes: bool) {
        let (now, asker) = (self.now, 1 - side);
        if self.questions[asker].is_none() {
            return;
        }
        if !yes {
            self.questions[asker] = None;
            self.sides[side].declined(&user(asker));
            self.sides[asker].news(now, &News::NoAddress { user: user(side), reason: "no".to_owned() });
            return;
        }
        self.sides[side].expect(now, &user(asker)).expect("they have asked");
        self.settle();
        self.questions[asker] = None;
        self.sides[side].consented(now, &user(asker), shown_by(asker), WITHIN);
        let address = ([10, 0, 0, side as u8], 4000).into();
        let certificate = shown_by(side);
        let news = News::Address { user: user(side), address, certificate, connect_within: WITHIN };
        self.sides[asker].news(now, &news);
    }

    fn arrive(&mut self, connection: usize) {
        let now = self.now;
        let Some((dialler, open)) = self.connections.get(connection).map(|found| (found.dialler, found.open)) else {
            return;
        };
        let host = 1 - dialler;
        if self.connections[connection].ids[host].is_some() || !open[dialler] {
            return;
        }
        let id = self.id(host);
        let found = &mut self.connections[connection];
        found.ids[host] = Some(id);
        found.open[host] = true;
        self.sides[host].up(now, id, shown_by(dialler), false);
        if !self.lets_in[host].contains(&shown_by(dialler)) {
            assert_eq!(self.sides[host].actions.back(), Some(&Action::Close(id)), "nobody has said yes");
        }
    }

    fn carry(&mut self, connection: usize, to: usize, bytes: usize) {
        let now = self.now;
        let Some(found) = self.connections.get_mut(connection).filter(|found| found.open[to]) else { return };
        let Some(id) = found.ids[to] else { return };
        let bytes: Vec<u8> = {
            let count = bytes.min(found.on_the_way[to].len());
            found.on_the_way[to].drain(..count).collect()
        };
        if !bytes.is_empty() {
            if to == found.dialler && !std::mem::replace(&mut found.is_let_in, true) {
                self.sides[to].up(now, id, shown_by(1 - to), true);
            }
            found.has_heard_hello |= to == found.dialler && bytes.contains(&b'\n');
            self.sides[to].received(id, &bytes);
        }
        let found = &mut self.connections[connection];
        let has_closed = found.ids[1 - to].is_some() && !found.open[1 - to];
        if has_closed && found.on_the_way[to].is_empty() {
            found.open[to] = false;
            let why = if to == found.dialler && !found.is_let_in { PeerGone::Refused } else { PeerGone::Ended };
            self.sides[to].gone(now, id, &why);
        }
    }

    /// Does what both want done, and takes what they tell.
    fn settle(&mut self) {
        for side in [0, 1, 0, 1] {
            while let Some(action) = self.sides[side].next_action() {
                self.act(side, action);
            }
            while let Some(news) = self.sides[side].next_news() {
                if let PeerNews::Said { user: who, text } = news {
                    assert_eq!(who, user(1 - side));
                    self.told[side].push(text);
                }
            }
        }
    }

    fn act(&mut self, side: usize, action: Action) {
        let now = self.now;
        match action {
            Action::Ask(_) => {
                self.questions[side] = Some(now + ANSWER);
                self.sides[side].asked(now, &user(1 - side), ANSWER);
                let (user, certificate) = (user(side), shown_by(side));
                self.sides[1 - side].news(now, &News::Asks { user, certificate, answer_within: ANSWER });
            }
            Action::Expect(certificate) => self.lets_in[side].push(certificate),
            Action::ExpectNoLonger(certificate) => self.lets_in[side].retain(|other| *other != certificate),
            Action::StopListening => assert!(self.lets_in[side].is_empty()),
            Action::Dial { user: who, certificate, .. } => {
                assert_eq!((&who, certificate), (&user(1 - side), shown_by(1 - side)));
                let id = self.id(side);
                let (mut ids, mut open) = ([None; 2], [false; 2]);
                (ids[side], open[side]) = (Some(id), true);
                let on_the_way = Default::default();
                let (has_closed, is_let_in, has_heard_hello) = ([false; 2], false, false);
                self.connections.push(Connection {
                    dialler: side,
                    ids,
                    on_the_way,
                    open,
                    has_closed,
                    is_let_in,
                    has_heard_hello,
                });
                self.sides[side].dialling(&who, id);
            }
            Action::Send(id, bytes) => {
                let found = self.connection(side, id);
                assert!(!found.has_closed[side], "nothing is sent after the end");
                assert!(found.dialler != side || found.has_heard_hello, "nothing is said before hello");
                match found.open[side] {
                    true => found.on_the_way[1 - side].extend(bytes),
                    false => self.sides[side].overflowed(id),
                }
            }
            Action::Close(id) => {
                let found = self.connection(side, id);
                (found.open[side], found.has_closed[side]) = (false, true);
            }
        }
    }

    fn connection(&mut self, side: usize, id: PeerId) -> &mut Connection {
        self.connections.iter_mut().find(|found| found.ids[side] == Some(id)).expect("a connection")
    }

    fn check(&self) {
        for side in [0, 1] {
            let told: Vec<usize> = self.told[side].iter().map(|text| self.place(1 - side, text)).collect();
            assert!(told.is_sorted_by(|one, next| one < next), "in order, and once: {told:?}");
            let held = self.sides[side].held.get(&user(1 - side)).into_iter().flatten();
            let kept: Vec<usize> = self.taken[side].iter().chain(held).map(|text| self.place(side, text)).collect();
            let different: BTreeSet<&usize> = kept.iter().collect();
            assert_eq!(different.len(), kept.len(), "nothing is kept twice: {kept:?}");
            assert!(self.sides[side].talks.len() <= 1 && self.sides[side].users.len() <= 1);
        }
    }

    fn place(&self, side: usize, text: &Text) -> usize {
        self.said[side].iter().position(|said| said == text).expect("somebody has said it")
    }

    /// Everything comes to its end, and nothing is left over.
    fn end(&mut self) {
        for side in [0, 1] {
            self.sides[side].close();
        }
        self.settle();
        for connection in 0..self.connections.len() {
            for to in [0, 1] {
                self.carry(connection, to, usize::MAX);
                self.settle();
            }
        }
        self.happen(Op::Pass { seconds: 10_000 });
        self.settle();
        self.check();
        for side in [0, 1] {
            let peers = &self.sides[side];
            assert!(peers.talks.is_empty() && peers.users.is_empty(), "{:?}", peers.talks);
            assert!(peers.expected.is_empty() && peers.known.is_empty() && peers.questions.is_empty());
            assert_eq!(peers.poll_timeout(), None);
            assert!(self.lets_in[side].is_empty());
            let kept = peers.held.get(&user(1 - side)).into_iter().flatten().chain(&self.taken[side]);
            let known: BTreeSet<&str> = kept.chain(&self.told[1 - side]).map(Text::as_str).collect();
            for said in &self.said[side] {
                assert!(known.contains(said.as_str()), "neither told nor kept: {}", said.as_str());
            }
        }
        assert!(self.connections.iter().all(|found| found.open == [false; 2]), "a connection is left over");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn whatever_happens_the_laws_of_a_conversation_hold(ops in prop::collection::vec(op(), 0..120)) {
        let mut world = World::new();
        for op in ops {
            world.happen(op);
            world.settle();
            world.check();
        }
        world.end();
    }
}
