//! Clients of all protocols come, chat, block and go at random, and some commits fail. What must hold whatever happens: a chat
//! begins when it can and ends when it must, every client that is in it hears of both exactly once, and of no other.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::hub::id::UserId;
use crate::hub::time::LocalTime;

const SEEDS: u8 = 32;
const STEPS: usize = 600;

/// How a client is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Native,
    Once,
    Session,
    Correspondent,
}

#[derive(Clone, Copy, Debug)]
struct Client {
    user: &'static str,
    kind: Kind,
}

/// A chat, as whoever looks on would tell of it.
#[derive(Clone, Copy, Debug)]
struct Chat {
    id: LocalTime,
    asker: ConnectionId,
    user: &'static str,
    peer: &'static str,
    other: Option<ConnectionId>,
}

/// What a client is told of chats: that one begins (or ends), which, and with whom.
type Told = (ConnectionId, bool, LocalTime, String);

struct Party {
    world: World,
    dice: StdRng,
    here: BTreeMap<ConnectionId, Client>,
    chats: Vec<Chat>,
    under_way: Vec<Change>,
    begun: usize,
}

impl Party {
    fn new(seed: u8) -> Party {
        let (world, dice) = (World::new(), StdRng::from_seed([seed; 32]));
        Party { world, dice, here: BTreeMap::new(), chats: Vec::new(), under_way: Vec::new(), begun: 0 }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.dice.next_u32() as usize % bound
    }

    fn anybody(&mut self) -> &'static str {
        NAMES[self.below(NAMES.len())]
    }

    fn any_client(&mut self) -> Option<ConnectionId> {
        let index = self.below(self.here.len().max(1));
        self.here.keys().nth(index).copied()
    }

    fn is_online(&self, user: &str) -> bool {
        self.here.values().any(|client| client.user == user && client.kind != Kind::Once)
    }

    fn is_in_chat(&self, connection: ConnectionId) -> bool {
        self.chats.iter().any(|chat| chat.asker == connection || chat.other == Some(connection))
    }

    fn session_of(&self, user: &str) -> Option<ConnectionId> {
        let is_it = |client: &Client| client.user == user && client.kind == Kind::Session;
        self.here.iter().find(|(_, client)| is_it(client)).map(|(&connection, _)| connection)
    }

    fn are_apart(&self, one: &str, other: &str) -> bool {
        let [one, other] = [one, other].map(|user| self.id(user));
        self.world.hub.gate.blocks(one, other) || self.world.hub.gate.blocks(other, one)
    }

    fn id(&self, user: &str) -> UserId {
        self.world.hub.accounts.find(&name(user)).unwrap()
    }

    fn step(&mut self) {
        let outcome = match self.below(16) {
            0..3 => self.come(),
            3 => self.go(),
            4..8 => return self.chat(),
            8 => return self.end(),
            9 => self.ask_any(|party| Request::Block(name(party.anybody()))),
            10 => self.ask_any(|party| Request::Unblock(name(party.anybody()))),
            11 => self.ask_any(|party| Request::Message {
                to: name(party.anybody()),
                text: text("hi"),
                counter: None,
                receipt: false,
            }),
            12 => self.ask_any(|_| Request::Say(text("hi"))),
            13 => self.fail(),
            14 => self.log_out(),
            _ => self.world.pass(Duration::from_secs(1)),
        };
        self.settle(outcome, &[]);
    }

    fn come(&mut self) -> Outcome {
        let user = self.anybody();
        let kind = [Kind::Native, Kind::Once, Kind::Session, Kind::Correspondent][self.below(4)];
        let (connection, outcome) = match kind {
            Kind::Native => self.world.log_in_as(user, Some(self.world.claim(1, 0))),
            Kind::Once => {
                let of_user = self.here.values().filter(|client| client.user == user && client.kind == Kind::Once);
                if of_user.count() >= 2 {
                    return Outcome::default();
                }
                self.world.log_in_as(user, None)
            }
            Kind::Session => self.world.begin(user, Manner::Session, DeviceId::SESSION),
            Kind::Correspondent => self.world.begin(user, Manner::Correspondent, DeviceId::DATAGRAM),
        };
        self.here.insert(connection, Client { user, kind });
        outcome
    }

    fn go(&mut self) -> Outcome {
        let Some(connection) = self.any_client() else { return Outcome::default() };
        self.here.remove(&connection);
        self.world.close(connection)
    }

    fn log_out(&mut self) -> Outcome {
        let Some(connection) = self.any_client() else { return Outcome::default() };
        self.world.ask(connection, Request::LogOut)
    }

    fn ask_any(&mut self, request: impl FnOnce(&mut Party) -> Request) -> Outcome {
        let Some(connection) = self.any_client() else { return Outcome::default() };
        let is_in_chat = self.is_in_chat(connection);
        let request = request(self);
        let is_said = matches!(request, Request::Say(_));
        let outcome = self.world.ask(connection, request);
        if is_said {
            assert_eq!(outcome.answer() != &Err(Refusal::NotInChat), is_in_chat);
        }
        outcome
    }

    fn fail(&mut self) -> Outcome {
        let changes = std::mem::take(&mut self.under_way);
        self.world.input(Input::CommitFailed(changes))
    }

    fn chat(&mut self) {
        let (Some(asker), peer) = (self.any_client(), self.anybody()) else { return };
        let user = self.here[&asker].user;
        let other = self.session_of(peer);
        let are_free = !self.is_in_chat(asker) && !other.is_some_and(|other| self.is_in_chat(other));
        let can = user != peer && self.is_online(peer) && are_free && !self.are_apart(user, peer);
        let outcome = self.world.ask(asker, Request::Chat(name(peer)));
        if !can {
            assert_eq!(outcome, self.world.refusal(asker, Refusal::Unreachable(name(peer))));
            return;
        }
        let id = self.world.now.local();
        let mut expected = vec![(asker, true, id, peer.to_owned())];
        expected.extend(other.map(|other| (other, true, id, user.to_owned())));
        self.chats.push(Chat { id, asker, user, peer, other });
        self.begun += 1;
        self.settle(outcome, &expected);
    }

    fn end(&mut self) {
        let Some(connection) = self.any_client() else { return };
        let mine = |chat: &Chat| chat.asker == connection || chat.other == Some(connection);
        let Some(index) = self.chats.iter().position(mine) else {
            let outcome = self.world.ask(connection, Request::EndChat(None));
            assert_eq!(outcome, self.world.refusal(connection, Refusal::NotInChat));
            return;
        };
        let chat = self.chats.remove(index);
        let id = (self.below(2) == 0).then_some(chat.id);
        let outcome = self.world.ask(connection, Request::EndChat(id));
        let expected = self.told_of_end(&chat);
        self.settle(outcome, &expected);
    }

    /// What those of a chat's clients are told who are there.
    fn told_of_end(&self, chat: &Chat) -> Vec<Told> {
        let asker = (chat.asker, false, chat.id, chat.peer.to_owned());
        let other = chat.other.map(|other| (other, false, chat.id, chat.user.to_owned()));
        let both = std::iter::once(asker).chain(other);
        both.filter(|(connection, ..)| self.here.contains_key(connection)).collect()
    }

    /// Whatever has happened, the clients are told `expected`, and of each chat that can't go on.
    fn settle(&mut self, outcome: Outcome, expected: &[Told]) {
        for effect in &outcome.effects {
            if let Effect::Close { connection, .. } = effect {
                self.here.remove(connection);
            }
        }
        let goes_on = |chat: &Chat| {
            let are_here = [Some(chat.asker), chat.other].iter().flatten().all(|side| self.here.contains_key(side));
            are_here && (chat.other.is_some() || self.is_online(chat.peer)) && !self.are_apart(chat.user, chat.peer)
        };
        let (left, over): (Vec<Chat>, Vec<Chat>) = self.chats.iter().partition(|chat| goes_on(chat));
        let mut expected = expected.to_vec();
        expected.extend(over.iter().flat_map(|chat| self.told_of_end(chat)));
        expected.sort();
        self.chats = left;
        assert_eq!(told(&outcome), expected, "{outcome:?}");
        self.under_way.extend(outcome.changes);
        for &connection in self.here.keys() {
            assert_eq!(self.world.hub.conversations.is_engaged(connection), self.is_in_chat(connection));
        }
    }
}

/// What clients are told of chats, by whatever way.
fn told(outcome: &Outcome) -> Vec<Told> {
    let of = |effect: &Effect| match effect {
        Effect::Event { to: Recipients::One(connection), event, .. } => match event {
            Event::ChatStarted { id, peer } => Some((*connection, true, *id, peer.to_string())),
            Event::ChatEnded { id, peer } => Some((*connection, false, *id, peer.to_string())),
            _ => None,
        },
        Effect::Reply { connection, answer: Ok(reply), .. } => match reply {
            Reply::ChatStarted { id, peer } => Some((*connection, true, *id, peer.to_string())),
            Reply::ChatEnded { id, peer } => Some((*connection, false, *id, peer.to_string())),
            _ => None,
        },
        _ => None,
    };
    let mut told: Vec<Told> = outcome.effects.iter().filter_map(of).collect();
    told.sort();
    told
}

#[test]
fn both_sides_of_a_chat_know_the_same_whatever_happens() {
    let mut begun = 0;
    for seed in 0..SEEDS {
        let mut party = Party::new(seed);
        for _ in 0..STEPS {
            party.step();
        }
        begun += party.begun;
        while let Some(&connection) = party.here.keys().next() {
            party.here.remove(&connection);
            let outcome = party.world.close(connection);
            party.settle(outcome, &[]);
        }
        assert!(party.chats.is_empty(), "nothing is left");
    }
    assert!(begun > SEEDS as usize * 20, "chats begin: {begun}");
}
