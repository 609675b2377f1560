//! Who chats with whom, as the hub says it: each connection in one chat at most, both sides in the same one, and none longer
//! than whoever is in it.

use std::collections::BTreeMap;

use chatd::hub::effect::{Effect, Event, Outbox, Recipients, Reply};
use chatd::hub::id::{ConnectionId, DeviceId};
use chatd::hub::message::Recipient;
use chatd::hub::name::UserName;
use chatd::hub::time::LocalTime;

/// Who is on a connection.
pub type Here = BTreeMap<ConnectionId, (UserName, Option<DeviceId>)>;

#[derive(Default)]
pub struct Chats(BTreeMap<ConnectionId, Side>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Side {
    id: LocalTime,
    peer: UserName,
    /// The peer's connection that is in it.
    other: Option<ConnectionId>,
}

impl Chats {
    /// Whether whoever is on this connection chats with this one.
    pub fn is_with(&self, connection: ConnectionId, to: &Recipient) -> bool {
        let peer = self.0.get(&connection).map(|side| &side.peer);
        matches!(to, Recipient::User(_, user) if Some(user) == peer)
    }

    /// Takes in what the hub says. Comes back: the law that it breaks.
    pub fn observe(&mut self, outbox: &Outbox, from: usize, here: &Here) -> Option<&'static str> {
        let mut law = None;
        for effect in &outbox.effects[from..] {
            let said = match effect {
                Effect::Reply { connection, answer: Ok(Reply::ChatStarted { id, peer }), .. } => {
                    self.begins(*connection, (*id, peer), true, here)
                }
                Effect::Event { to: Recipients::One(connection), event: Event::ChatStarted { id, peer }, .. } => {
                    self.begins(*connection, (*id, peer), false, here)
                }
                Effect::Reply { connection, answer: Ok(Reply::ChatEnded { id, .. }), .. } => {
                    self.ends(*connection, *id)
                }
                Effect::Event { to: Recipients::One(connection), event: Event::ChatEnded { id, .. }, .. } => {
                    self.ends(*connection, *id)
                }
                _ => None,
            };
            law = law.or(said);
        }
        self.0.retain(|connection, _| here.contains_key(connection));
        law.or_else(|| self.check(here))
    }

    /// The client is told that it is in a chat; `asked`: it has asked for it, and the other side was told before.
    fn begins(
        &mut self,
        connection: ConnectionId,
        (id, peer): (LocalTime, &UserName),
        asked: bool,
        here: &Here,
    ) -> Option<&'static str> {
        let is_session = |(_, (user, device)): &(&ConnectionId, &(UserName, Option<DeviceId>))| {
            user == peer && *device == Some(DeviceId::SESSION)
        };
        let other = here.iter().find(is_session).map(|(other, _)| *other).filter(|_| asked);
        if let Some(other) = other.and_then(|other| self.0.get_mut(&other)) {
            other.other = Some(connection);
        }
        match self.0.insert(connection, Side { id, peer: peer.clone(), other }) {
            Some(_) => Some("13: a client in a chat has begun another"),
            None => None,
        }
    }

    fn ends(&mut self, connection: ConnectionId, id: LocalTime) -> Option<&'static str> {
        match self.0.remove(&connection) {
            Some(side) if side.id == id => None,
            Some(_) => Some("13: another chat has ended than the client was in"),
            None => Some("13: a chat ends for somebody who is in none"),
        }
    }

    fn check(&self, here: &Here) -> Option<&'static str> {
        for (connection, side) in &self.0 {
            let law = match side.other {
                Some(other) => match self.0.get(&other) {
                    Some(found) if found.id == side.id && found.other == Some(*connection) => None,
                    _ => Some("13: the two sides of a chat are not in the same one"),
                },
                None => {
                    let is_here = here.values().any(|(user, device)| *user == side.peer && device.is_some());
                    (!is_here).then_some("13: a chat goes on with somebody who is not here")
                }
            };
            if law.is_some() {
                return law;
            }
        }
        None
    }
}
