//! Reading: bytes become requests, requests go to the hub. Who says nothing, too much or nonsense is ended here.

use super::*;
use crate::hub::id::PeerAddress;
use crate::hub::input::Peer;
use crate::net::tls::Tls;
use crate::wire::recognise::{NOT_UNDERSTOOD, Openings, Recognition, TOO_MANY, recognise};
use crate::wire::{Conversation, Farewell, Lull, Pieces, Step};

/// What the first bytes of a connection have come to.
enum Recognised {
    Protocol,
    /// Encryption begins.
    Tls,
    /// Nothing yet, or it is over.
    Nothing,
}

impl<E: Environment> Turn<E> {
    /// One round: everybody on the ready list is served once, a bounded amount.
    pub(super) fn serve_ready(&mut self, now: Now) -> bool {
        if self.is_congested() {
            return false;
        }
        let mut progress = false;
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else { break };
            let Some(connection) = self.connections.get_mut(id) else { continue };
            connection.listed = false;
            progress = true;
            if self.environment.serves(id) {
                self.serve(now, id);
            }
            if let Some(connection) = self.connections.get_mut(id)
                && connection.has_work()
                && !connection.listed
            {
                connection.listed = true;
                self.ready.push_back(id);
            }
        }
        progress
    }

    /// Puts a connection on the ready list if it has work left that it could not do before.
    pub(super) fn list_if_has_work(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id)
            && !connection.listed
            && connection.has_work()
        {
            connection.listed = true;
            self.ready.push_back(id);
        }
    }

    /// Who is not read because something is waited for on this side gives no sign of life that could be heard.
    pub(super) fn excuse_the_waiting(&mut self, now: Now) {
        let parked = self.parked.iter().map(|&(_, id)| id);
        let asking = self.queries.iter().map(|(_, query)| query.connection);
        let asked = self.asked.iter().map(|&(_, id, _)| id);
        let waiting = parked.chain(asking).chain(asked);
        let is_paused = |&id: &ConnectionId| self.connections.get(id).is_some_and(Connection::is_paused);
        let waiting: Vec<ConnectionId> = waiting.filter(is_paused).collect();
        for connection in waiting {
            self.tell(now, Input::Heard { connection });
        }
    }

    fn serve(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        match connection.stage {
            Stage::Gone => return,
            Stage::Ending | Stage::Lingering => return self.discard(id),
            Stage::Strange | Stage::LoggedIn => {}
        }
        if connection.is_paused() {
            // It stands on the list because more has come of it, which is as good a sign of life as any.
            if connection.readable {
                self.tell(now, Input::Heard { connection: id });
            }
            return;
        }
        let mut budget = REQUESTS_A_TURN;
        if !connection.inbound.is_empty() {
            let mut inbound = std::mem::take(&mut connection.inbound);
            let used = self.decode(now, id, &inbound, &mut budget);
            inbound.drain(..used);
            self.keep(id, inbound);
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        if budget == 0 || !connection.readable || !connection.is_served() || connection.is_paused() {
            return;
        }
        let mut buffer = std::mem::take(&mut self.read_buffer);
        match connection.read(&mut buffer) {
            // What was asked before the end is still answered: a script may have closed its side already.
            Ok(0) if connection.read_closed => self.end(now, id),
            Ok(0) => {}
            Ok(bytes) if connection.tls.is_some() => self.decrypt(now, id, &buffer[..bytes], &mut budget),
            Ok(bytes) => self.hear(now, id, &buffer[..bytes], &mut budget),
            Err(error) => {
                log::debug!("a connection failed: {error}");
                self.vanished(now, id);
            }
        }
        self.read_buffer = buffer;
    }

    /// Takes what has come on an encrypted connection.
    fn decrypt(&mut self, now: Now, id: ConnectionId, raw: &[u8], budget: &mut usize) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let Some(tls) = &mut connection.tls else { return };
        let mut plain = std::mem::take(&mut self.plain_buffer);
        let taken = tls.take(raw, &mut plain);
        let shakes_too_much = tls.is_handshaking() && tls.shaken() > STRANGE_BYTES_MAX;
        let says_nothing = connection.stage == Stage::Strange && tls.unheard() > UNHEARD_BYTES_MAX;
        let too_much = shakes_too_much || says_nothing;
        if too_much || taken.is_err() {
            tls.give_up();
        }
        // The end is met by the next read, when everything before it has been heard.
        connection.readable |= tls.has_ended();
        if tls.wants_write() && !connection.dirty {
            connection.dirty = true;
            self.dirty.push(id);
        }
        if !plain.is_empty() {
            self.hear(now, id, &plain, budget);
        }
        plain.clear();
        self.plain_buffer = plain;
        match taken {
            Err(violation) => {
                log::debug!("TLS: {}", violation.0);
                self.end(now, id);
            }
            Ok(()) if too_much => self.end(now, id),
            Ok(()) => {}
        }
    }

    /// Takes what a client has said.
    fn hear(&mut self, now: Now, id: ConnectionId, bytes: &[u8], budget: &mut usize) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.inbound.is_empty() {
            let used = self.decode(now, id, bytes, budget);
            self.keep(id, bytes[used..].to_vec());
        } else {
            let mut inbound = std::mem::take(&mut connection.inbound);
            inbound.extend_from_slice(bytes);
            let used = self.decode(now, id, &inbound, budget);
            inbound.drain(..used);
            self.keep(id, inbound);
        }
    }

    /// Keeps what is no whole request yet.
    fn keep(&mut self, id: ConnectionId, mut rest: Vec<u8>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.is_served() {
            rest.shrink_to_fit();
            connection.inbound = rest;
        }
    }

    /// Handles the requests at the beginning of `bytes`, as many as `budget` allows. Comes back: how many bytes they took.
    fn decode(&mut self, now: Now, id: ConnectionId, bytes: &[u8], budget: &mut usize) -> usize {
        let mut used = 0;
        while *budget > 0 {
            let Some(connection) = self.connections.get_mut(id) else { return used };
            if !connection.is_served() || connection.is_paused() {
                return used;
            }
            let rest = &bytes[used..];
            if connection.conversation.is_none() {
                match self.recognise(now, id, rest) {
                    Recognised::Protocol => {}
                    Recognised::Nothing => return used,
                    Recognised::Tls => {
                        // A handshake waits for our answer: nothing can have been said under it yet.
                        self.decrypt(now, id, rest, budget);
                        debug_assert!(self.connections.get(id).is_none_or(|found| found.inbound.is_empty()));
                        return bytes.len();
                    }
                }
            }
            let Some(connection) = self.connections.get_mut(id) else { return used };
            let room = match connection.stage {
                Stage::Strange => self.environment.strange_bytes_max().saturating_sub(connection.said),
                _ => usize::MAX,
            };
            let is_strange = connection.stage == Stage::Strange;
            if is_strange && self.members >= self.admission.room.sessions && !self.one_leaves() {
                self.tell_of_fullness(now);
                self.farewell(now, id, Farewell::Full);
                return used;
            }
            // What is beyond that is not looked at, so how it was split on its way changes nothing.
            let rest = &rest[..rest.len().min(room.saturating_add(1))];
            let Some(conversation) = self.connections.get_mut(id).and_then(|found| found.conversation.as_mut()) else {
                return used;
            };
            let step = conversation.decode(rest, Lull::None);
            let taken = match &step {
                Step::Wait => rest.len(),
                Step::Request { used, .. }
                | Step::Posted { used, .. }
                | Step::Heard { used, .. }
                | Step::Refused { used, .. } => *used,
                Step::Violation { .. } => 0,
            };
            if taken > room {
                self.farewell(now, id, Farewell::TooMuch);
                return used;
            }
            match step {
                Step::Wait => return used,
                Step::Request { id: request_id, request, .. } => {
                    self.said(now, id, taken);
                    let before = self.outbox.effects.len();
                    self.tell(now, Input::Request { connection: id, id: request_id, request });
                    self.heed(before);
                }
                Step::Posted { .. } | Step::Heard { .. } => {}
                Step::Refused { reply, .. } => {
                    // It counts as said, but nonsense buys no time.
                    if let Some(connection) = self.connections.get_mut(id) {
                        connection.said += taken;
                    }
                    self.answer(id, reply);
                }
                Step::Violation { reply } => {
                    self.answer(id, reply);
                    self.end(now, id);
                    return used;
                }
            }
            used += taken;
            *budget -= 1;
        }
        used
    }

    /// Somebody who has not logged in has said something: the time for the next step begins.
    fn said(&mut self, now: Now, id: ConnectionId, bytes: usize) {
        let Some(connection) = self.connections.get_mut(id).filter(|found| found.stage == Stage::Strange) else {
            return;
        };
        connection.said += bytes;
        let at = (now.instant + NEXT_MESSAGE_WITHIN).min(connection.came + LOG_IN_WITHIN);
        self.set_deadline(id, Some(at));
    }

    fn recognise(&mut self, now: Now, id: ConnectionId, bytes: &[u8]) -> Recognised {
        let Some(connection) = self.connections.get_mut(id) else { return Recognised::Nothing };
        let Admission { plaintext, registration, tls, .. } = &self.admission;
        let is_open = connection.tls.is_none() && connection.door != Door::Control;
        let openings =
            Openings { native: true, request: false, nick: false, prompted: false, tls: is_open && tls.is_some() };
        match (recognise(bytes, false, &openings), connection.door) {
            (Recognition::This(protocol), Door::Port(address)) if is_open && !plaintext.contains(address) => {
                log::info!("an unencrypted connection from {} was refused: out of scope", address.to_canonical());
                connection.conversation = Some(Conversation::begin(protocol, bytes, false));
                self.farewell(now, id, Farewell::OutOfScope);
                Recognised::Nothing
            }
            (Recognition::This(protocol), door) => {
                connection.conversation = Some(Conversation::begin(protocol, bytes, false));
                let peer = match door {
                    Door::Control => Peer::Operator,
                    Door::Port(address) => Peer::Stranger {
                        address: PeerAddress::of(address),
                        binding: connection.tls.as_ref().and_then(|tls| tls.binding()),
                        may_sign_up: registration.contains(address),
                    },
                };
                let is_bound = matches!(&peer, Peer::Stranger { binding: Some(_), .. });
                debug_assert_eq!(is_bound, connection.tls.is_some(), "what is encrypted can be bound to");
                let before = self.outbox.effects.len();
                self.tell(now, Input::Connected { connection: id, peer });
                self.heed(before);
                Recognised::Protocol
            }
            (Recognition::Tls, _) => match tls.as_ref().map(Tls::new) {
                Some(Ok(tls)) => {
                    connection.tls = Some(Box::new(tls));
                    Recognised::Tls
                }
                Some(Err(error)) => {
                    log::error!("a connection can't be encrypted: {error}");
                    self.end(now, id);
                    Recognised::Nothing
                }
                None => Recognised::Nothing,
            },
            (Recognition::Wait, _) => Recognised::Nothing,
            (Recognition::None, _) => {
                self.answer(id, NOT_UNDERSTOOD.to_vec());
                self.end(now, id);
                Recognised::Nothing
            }
        }
    }

    /// The time to log in is over, or the time to close.
    pub(super) fn deadline_passed(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.deadline = None;
        match (connection.stage, &connection.conversation) {
            (Stage::Strange, _) if connection.suspended => {
                // It waits for us, not we for it.
                self.set_deadline(id, Some(now.instant + NEXT_MESSAGE_WITHIN));
            }
            (Stage::Strange, Some(_)) => self.farewell(now, id, Farewell::TooSlow),
            (Stage::Strange, None) if connection.is_handshaking() => self.end(now, id),
            (Stage::Strange, None) => {
                self.answer(id, NOT_UNDERSTOOD.to_vec());
                self.end(now, id);
            }
            (Stage::LoggedIn, _) => {}
            (Stage::Ending | Stage::Lingering | Stage::Gone, _) => self.drop_connection(id),
        }
    }

    /// Too many are there: one goes, and is told, if it can be.
    pub(super) fn turn_away(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if self.crowd_told.is_none_or(|told| now.instant.since(told) >= TELL_OF_A_CROWD_EVERY) {
            self.crowd_told = Some(now.instant);
            log::warn!("too many connections on which nobody has logged in: some of them are closed");
        }
        match (connection.stage, &connection.conversation) {
            (Stage::Strange, Some(_)) => self.farewell(now, id, Farewell::TooMany),
            (Stage::Strange, None) if connection.is_handshaking() => self.end(now, id),
            (Stage::Strange, None) => {
                self.answer(id, TOO_MANY.to_vec());
                self.end(now, id);
            }
            // It has had its farewell.
            _ => self.drop_connection(id),
        }
    }

    /// No more sessions fit, and whoever only lingers gives way: else one account that comes and goes, and does not close, takes
    /// everybody's room. Comes back: whether there was one.
    fn one_leaves(&mut self) -> bool {
        while let Some(id) = self.lingering.pop_front() {
            let Some(connection) = self.connections.get_mut(id) else { continue };
            if connection.stage == Stage::Lingering && std::mem::take(&mut connection.member) {
                self.members -= 1;
                self.drop_connection(id);
                return true;
            }
        }
        false
    }

    /// A session's connection lingers from now on.
    pub(super) fn note_lingering(&mut self, id: ConnectionId) {
        while self.lingering.front().is_some_and(|&oldest| self.connections.get(oldest).is_none()) {
            self.lingering.pop_front();
        }
        self.lingering.push_back(id);
    }

    fn tell_of_fullness(&mut self, now: Now) {
        if self.full_told.is_none_or(|told| now.instant.since(told) >= TELL_OF_A_CROWD_EVERY) {
            self.full_told = Some(now.instant);
            log::warn!("{} sessions are there, and no more fit: who comes is turned away", self.members);
        }
    }

    fn farewell(&mut self, now: Now, id: ConnectionId, farewell: Farewell) {
        let mut pieces = Pieces::default();
        if let Some(conversation) = self.connections.get(id).and_then(|found| found.conversation.as_ref()) {
            conversation.encode_farewell(farewell, &mut pieces);
        }
        self.answer(id, pieces.bytes);
        self.end(now, id);
    }

    /// Ends a connection from this side: the hub forgets it, what is in the queue is still written.
    pub(super) fn end(&mut self, now: Now, id: ConnectionId) {
        self.tell(now, Input::Closed { connection: id });
        self.begin_ending(now, id);
    }

    /// From here on only the queue matters.
    pub(super) fn begin_ending(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !connection.is_served() {
            return;
        }
        let was_strange = connection.stage == Stage::Strange;
        connection.stage = Stage::Ending;
        connection.inbound = Vec::new();
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(id);
        }
        self.set_deadline(id, Some(now.instant + DRAIN_WITHIN));
        self.list_if_has_work(id);
        if was_strange {
            self.part_with(id);
        }
    }

    /// A stranger is not served any more, and makes room for another. Until it has been told everything it has a place
    /// among a few; when they are too many, the oldest has had its time.
    fn part_with(&mut self, id: ConnectionId) {
        self.strangers.remove(id);
        self.parting.push_back(id);
        if self.stopping.is_none()
            && self.parting.len() > self.admission.room.parting
            && let Some(oldest) = self.parting.pop_front()
        {
            self.drop_connection(oldest);
        }
    }

    /// The connection has failed.
    pub(super) fn vanished(&mut self, now: Now, id: ConnectionId) {
        if self.connections.get(id).is_some_and(Connection::is_served) {
            self.tell(now, Input::Closed { connection: id });
        }
        self.drop_connection(id);
    }

    /// To be freed at the end of the turn.
    pub(super) fn drop_connection(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id)
            && connection.stage != Stage::Gone
        {
            connection.stage = Stage::Gone;
            self.gone.push(id);
        }
    }

    /// Throws away what still comes on a connection that ends; the peer's end of it ends ours.
    fn discard(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        match connection.read(&mut self.read_buffer) {
            Ok(0) if connection.read_closed && connection.stage == Stage::Lingering => self.drop_connection(id),
            Ok(_) => {}
            Err(_) => self.drop_connection(id),
        }
    }

    pub(super) fn set_deadline(&mut self, id: ConnectionId, at: Option<Instant>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if let Some(old) = connection.deadline.take() {
            self.deadlines.remove(&(old, id));
        }
        connection.deadline = at;
        if let Some(at) = at {
            self.deadlines.insert((at, id));
        }
    }
}
