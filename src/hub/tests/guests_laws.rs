//! Guests come, speak, block and go at random, beside users with accounts, and some commits fail. What must hold whatever
//! happens: the store hears of a guest only for a message's sake, and then before it; an id in the log has one name.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::hub::id::UserId;
use crate::hub::message::{Recipient, Sender};

const SEEDS: u8 = 24;
const STEPS: usize = 400;
const GUESTS: [&str; 6] = ["gus", "Gus", "hal", "ida", "jo", "kay"];

/// What a store would have.
#[derive(Default)]
struct Stored {
    names: BTreeMap<UserId, String>,
    retired: BTreeSet<UserId>,
    nothing_waits_for: BTreeSet<UserId>,
}

impl Stored {
    fn apply(&mut self, hub: &Hub, changes: &[Change]) {
        for change in changes {
            match change {
                Change::User { id, name } => {
                    let before = self.names.insert(*id, name.to_string());
                    assert!(before.is_none(), "{id:?} was {before:?}, and is {name} now");
                }
                Change::Retired { user } => _ = self.retired.insert(*user),
                Change::DeviceForgotten { user, .. } => _ = self.nothing_waits_for.insert(*user),
                Change::Message(message) => self.knows(hub, message),
                Change::Block { user, other, .. } | Change::Unblock { user, other, .. } => {
                    assert!(!hub.accounts.is_guest(*user) && !hub.accounts.is_guest(*other), "{change:?}");
                }
                Change::Device(row) => assert!(!hub.accounts.is_guest(row.user), "{change:?}"),
                Change::Arrived { user, .. } | Change::Left { user, .. } | Change::SourceKnown { user, .. } => {
                    assert!(!hub.accounts.is_guest(*user), "{change:?}");
                }
                Change::Tries(_) | Change::Forget { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn knows(&self, hub: &Hub, message: &Message) {
        let from = match &message.from {
            Sender::User(user, name) => Some((user, name)),
            Sender::Server => None,
        };
        let to = match &message.to {
            Recipient::User(user, name) => Some((user, name)),
            Recipient::Everyone => None,
        };
        for (user, name) in from.into_iter().chain(to) {
            assert_eq!(self.names.get(user).map(String::as_str), Some(name.as_str()), "{message:?}");
            let is_guest = hub.accounts.is_guest(*user);
            let over = (self.retired.contains(user), self.nothing_waits_for.contains(user));
            assert!(!is_guest || over == (true, true), "{message:?}");
        }
    }
}

struct Party {
    world: World,
    dice: StdRng,
    stored: Stored,
    under_way: Vec<Change>,
    here: Vec<ConnectionId>,
}

impl Party {
    fn new(seed: u8) -> Party {
        let mut world = World::empty(config(), Snapshot::default());
        let mut stored = Stored::default();
        let outcome = world.read_accounts(credentials());
        stored.apply(&world.hub, &outcome.changes);
        Party { world, dice: StdRng::from_seed([seed; 32]), stored, under_way: Vec::new(), here: Vec::new() }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.dice.next_u32() as usize % bound
    }

    fn anybody(&mut self) -> &'static str {
        match self.below(2) {
            0 => GUESTS[self.below(GUESTS.len())],
            _ => NAMES[self.below(NAMES.len())],
        }
    }

    /// Everything that is under way is stored, or nothing of it.
    fn settle(&mut self, is_stored: bool) {
        let changes = std::mem::take(&mut self.under_way);
        if is_stored {
            self.stored.apply(&self.world.hub, &changes);
        } else {
            self.under_way = self.world.input(Input::CommitFailed(changes)).changes;
        }
    }

    fn step(&mut self) {
        let request = match self.below(14) {
            0 | 1 => return self.come(),
            2 => return self.go(),
            3 => return self.wait(),
            12 => return self.settle(true),
            13 => return self.settle(false),
            4 | 5 => Request::Broadcast { text: text("all"), counter: None },
            6 => Request::Block(name(self.anybody())),
            7 => Request::Unblock(name(self.anybody())),
            8 => Request::Online,
            _ => Request::Message { to: name(self.anybody()), text: text("hi"), counter: None, receipt: true },
        };
        if let Some(&connection) = self.here.get(self.dice.next_u32() as usize % self.here.len().max(1)) {
            let outcome = self.world.ask(connection, request);
            self.under_way.extend(outcome.changes);
        }
    }

    fn come(&mut self) {
        let user = self.anybody();
        let connection = self.world.connect();
        let outcome = match NAMES.contains(&user) {
            true => self.world.try_by_password(connection, user, &format!("{user}'s password")),
            false => self.world.ask(connection, Request::Enter(name(user))),
        };
        self.under_way.extend(outcome.changes);
        self.here.push(connection);
        self.here.retain(|&connection| self.world.hub.presence.is_connected(connection));
    }

    fn go(&mut self) {
        if !self.here.is_empty() {
            let connection = self.here.remove(self.dice.next_u32() as usize % self.here.len());
            let outcome = self.world.close(connection);
            self.under_way.extend(outcome.changes);
        }
    }

    /// A while, in which some of what was sent is shown.
    fn wait(&mut self) {
        for connection in self.here.clone() {
            if self.below(2) == 0 {
                let number = self.world.hub.delivery.last().0;
                let outcome = self.world.shown(connection, number);
                self.under_way.extend(outcome.changes);
            }
        }
        let outcome = self.world.pass(Duration::from_secs(3));
        self.under_way.extend(outcome.changes);
        self.here.retain(|&connection| self.world.hub.presence.is_connected(connection));
    }
}

#[test]
fn the_store_hears_of_a_guest_only_for_a_message_s_sake() {
    for seed in 0..SEEDS {
        let mut party = Party::new(seed);
        for _ in 0..STEPS {
            party.step();
        }
        let guests = party.stored.retired.len();
        assert!(guests > 0 && guests <= GUESTS.len(), "a row for each name: {guests}");
        while !party.here.is_empty() {
            party.go();
        }
        party.settle(true);
        assert!(party.world.hub.presence.sessions().next().is_none());
        let blocked = NAMES.map(|user| party.world.hub.accounts.find(&name(user)).unwrap());
        let blocked = blocked.iter().flat_map(|&user| party.world.hub.gate.blocked_by(user));
        assert!(blocked.map(|(other, _)| other).all(|other| !party.world.hub.accounts.is_guest(other)));
    }
}
