//! Chats: clients that talk with one user at a time.
//!
//! Whoever begins a chat binds their connection to a user, the peer. If the peer has a client of the `session` protocol, which
//! knows nothing else, it is bound too, and is the chat's other side. A user of other protocols only is always free, and told
//! nothing: to them it is private messages. A connection is in one chat at most, and two sides are in the same one.
//!
//! Nothing of it is stored, and nothing of it waits: a chat ends with the connections that are in it, at the latest. What is said
//! in it is a private message like any other; the log has it under the chat's beginning.

use std::collections::{BTreeMap, BTreeSet};

use super::effect::{Event, IfLost, Outbox, Refusal, Reply};
use super::gate::Gate;
use super::id::{ConnectionId, DeviceId, UserId};
use super::name::UserName;
use super::presence::Presence;
use super::text::Text;
use super::time::{LocalTime, Now};
use super::{Answered, Hub};

/// All chats.
#[derive(Debug, Default)]
pub struct Conversations {
    sides: BTreeMap<ConnectionId, Side>,
    /// The same by the peer, the user and the connection.
    by_peer: BTreeSet<(UserId, UserId, ConnectionId)>,
}

/// A chat, as a connection is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Side {
    /// When it began.
    id: LocalTime,
    user: UserId,
    peer: UserId,
    /// The peer's connection. `None`: the peer's clients know nothing of the chat.
    other: Option<ConnectionId>,
}

impl Conversations {
    pub(super) fn is_engaged(&self, connection: ConnectionId) -> bool {
        self.sides.contains_key(&connection)
    }

    fn begin(&mut self, connection: ConnectionId, side: Side) {
        self.insert(connection, side);
        if let Some(other) = side.other {
            let Side { id, user, peer, .. } = side;
            self.insert(other, Side { id, user: peer, peer: user, other: Some(connection) });
        }
    }

    fn insert(&mut self, connection: ConnectionId, side: Side) {
        debug_assert!(!self.is_engaged(connection));
        self.by_peer.insert((side.peer, side.user, connection));
        self.sides.insert(connection, side);
    }

    /// Ends the chat that this connection is in, on both sides. Comes back: as it was on this one.
    fn end(&mut self, connection: ConnectionId) -> Option<Side> {
        let side = self.remove(connection)?;
        if let Some(other) = side.other {
            self.remove(other);
        }
        Some(side)
    }

    fn remove(&mut self, connection: ConnectionId) -> Option<Side> {
        let side = self.sides.remove(&connection)?;
        self.by_peer.remove(&(side.peer, side.user, connection));
        Some(side)
    }

    /// Whoever chats with this user without a client of theirs that is in the chat.
    fn one_sided_with(&self, peer: UserId) -> impl Iterator<Item = ConnectionId> + '_ {
        let all = (peer, UserId(0), ConnectionId::FIRST)..=(peer, UserId(u32::MAX), ConnectionId::LAST);
        let all = self.by_peer.range(all).map(|&(_, _, connection)| connection);
        all.filter(|connection| self.sides.get(connection).is_some_and(|side| side.other.is_none()))
    }

    /// Whoever is in a chat that these two users have: they may have several, on several connections.
    fn between(&self, one: UserId, other: UserId) -> impl Iterator<Item = ConnectionId> + '_ {
        let chatting = |user, peer| (peer, user, ConnectionId::FIRST)..=(peer, user, ConnectionId::LAST);
        let both = [chatting(one, other), chatting(other, one)];
        both.into_iter().flat_map(|range| self.by_peer.range(range)).map(|&(_, _, connection)| connection)
    }

    /// The chat that a message is part of: the one that its sender is in on this connection, or else the oldest that the two have.
    pub(super) fn of_message(&self, connection: ConnectionId, from: UserId, to: UserId) -> Option<LocalTime> {
        let id = |connection| self.sides.get(&connection).map(|side| side.id);
        match self.sides.get(&connection) {
            Some(side) if side.peer == to => Some(side.id),
            _ => self.between(from, to).filter_map(id).min(),
        }
    }

    pub(super) fn check_invariants(&self, gate: &Gate, presence: &Presence) {
        for (&connection, side) in &self.sides {
            let Side { id, user, peer, other } = *side;
            assert_eq!(presence.session(connection).map(|session| session.user), Some(user));
            assert!(user != peer && gate.may_see(user, peer) && gate.may_see(peer, user));
            assert!(self.by_peer.contains(&(peer, user, connection)));
            match other {
                Some(other) => {
                    let mirrored = Side { id, user: peer, peer: user, other: Some(connection) };
                    assert_eq!(self.sides.get(&other), Some(&mirrored), "both sides are in the same chat");
                }
                None => assert!(presence.is_online(peer)),
            }
        }
        assert_eq!(self.by_peer.len(), self.sides.len());
    }
}

impl Hub {
    /// Somebody wants to chat with this user.
    pub(super) fn chat(&mut self, now: Now, connection: ConnectionId, name: UserName, out: &mut Outbox) -> Answered {
        let (user, peer) = match self.may_chat(connection, name) {
            Ok(both) => both,
            Err(refusal) => return Answered::refuse(refusal),
        };
        // The other side is told, and nobody is told things faster than messages come.
        if let Err(refusal) = self.rates.send(user, connection, None, now.instant) {
            return Answered::refuse(refusal);
        }
        let (id, other) = (now.local(), self.devices.connection(peer, DeviceId::SESSION));
        self.conversations.begin(connection, Side { id, user, peer, other });
        if let Some(other) = other {
            out.event(other, Event::ChatStarted { id, peer: self.accounts.name(user).clone() }, IfLost::Send);
        }
        Answered::reply(Reply::ChatStarted { id, peer: self.accounts.name(peer).clone() })
    }

    /// Who wants to chat with whom, if they can. Whoever is blocked learns nothing of it.
    fn may_chat(&self, connection: ConnectionId, name: UserName) -> Result<(UserId, UserId), Refusal> {
        let user = self.presence.session(connection).ok_or(Refusal::LogInFirst)?.user;
        let Some(peer) = self.accounts.find(&name) else { return Err(Refusal::Unreachable(name)) };
        let is_engaged = |connection| self.conversations.is_engaged(connection);
        let may_meet = peer != user && self.gate.may_see(user, peer) && self.gate.may_see(peer, user);
        let is_free = !self.devices.connection(peer, DeviceId::SESSION).is_some_and(is_engaged);
        if may_meet && self.presence.is_online(peer) && is_free && !is_engaged(connection) {
            Ok((user, peer))
        } else {
            Err(Refusal::Unreachable(self.accounts.name(peer).clone()))
        }
    }

    /// Something is said in a chat.
    pub(super) fn say(&mut self, now: Now, connection: ConnectionId, text: Text, out: &mut Outbox) -> Answered {
        let Some(side) = self.conversations.sides.get(&connection) else { return Answered::refuse(Refusal::NotInChat) };
        let peer = self.accounts.name(side.peer).clone();
        match self.draft(connection, text, None, false) {
            Some(draft) => self.message(now, draft, peer, out),
            None => Answered::refuse(Refusal::LogInFirst),
        }
    }

    /// One of them ends a chat. `None`: whichever they are in.
    pub(super) fn end_chat(&mut self, connection: ConnectionId, id: Option<LocalTime>, out: &mut Outbox) -> Answered {
        let current = self.conversations.sides.get(&connection).map(|side| side.id);
        if id.is_some() && id != current {
            return Answered::refuse(Refusal::NotInChat);
        }
        match self.chat_ends_with_side(connection, out) {
            Some((id, peer)) => Answered::reply(Reply::ChatEnded { id, peer: self.accounts.name(peer).clone() }),
            None => Answered::refuse(Refusal::NotInChat),
        }
    }

    /// The chat goes on without this side, which is to say not at all; the other one is told. Comes back: which it was, and
    /// with whom.
    pub(super) fn chat_ends_with_side(
        &mut self,
        connection: ConnectionId,
        out: &mut Outbox,
    ) -> Option<(LocalTime, UserId)> {
        let Side { id, user, peer, other } = self.conversations.end(connection)?;
        if let Some(other) = other {
            self.tell_chat_ended(other, id, user, out);
        }
        Some((id, peer))
    }

    /// The user is not online any more.
    pub(super) fn chats_end_with_user(&mut self, user: UserId, out: &mut Outbox) {
        let left: Vec<ConnectionId> = self.conversations.one_sided_with(user).collect();
        self.end_chats(left, out);
    }

    /// One of these two has blocked the other.
    pub(super) fn chats_end_with_block(&mut self, user: UserId, other: UserId, out: &mut Outbox) {
        let apart: Vec<ConnectionId> = self.conversations.between(user, other).collect();
        self.end_chats(apart, out);
    }

    /// Ends the chats that these connections are in; they are told.
    fn end_chats(&mut self, connections: Vec<ConnectionId>, out: &mut Outbox) {
        for connection in connections {
            if let Some(side) = self.conversations.remove(connection) {
                self.tell_chat_ended(connection, side.id, side.peer, out);
            }
        }
    }

    fn tell_chat_ended(&self, connection: ConnectionId, id: LocalTime, peer: UserId, out: &mut Outbox) {
        out.event(connection, Event::ChatEnded { id, peer: self.accounts.name(peer).clone() }, IfLost::Send);
    }

    /// The server stops, and everybody is told that.
    pub(super) fn forget_chats(&mut self) {
        self.conversations = Conversations::default();
    }
}
