//! Clients that are reached by datagrams (protocols.md, section 3): their log-ins, what they say, and what is sent to them.
//! The rules of what is sent when are in `correspondent.rs`.
//!
//! Each has a slot among the connections, though it is none. A log-in has one of its own: only when it has succeeded, whoever
//! was at the address before gives way.

use std::net::IpAddr;

use super::*;
use crate::hub::effect::Answer;
use crate::hub::id::{Endpoint, PeerAddress};
use crate::hub::input::{self, Peer};
use crate::hub::text::Text;
use crate::net::correspondent::{Admitted, conversation};
use crate::net::queue::IfLost;
use crate::wire::datagram::notice::{Ends, INCORRECT, LOG_IN_FIRST};
use crate::wire::datagram::server::{self, Heard, Said};
use crate::wire::datagram::{Manner, Request, Unread};
use crate::wire::named::Named;
use crate::wire::{Farewell, Pieces, UserName};

/// What whoever wants to log in under such a name is told.
const NOBODYS_NAME: &str = "Nobody can have that name.";

impl<E: Environment> Turn<E> {
    /// A datagram of the protocol.
    pub(super) fn hear_correspondent(&mut self, now: Now, from: Endpoint, datagram: &[u8]) {
        match server::read(datagram) {
            Ok(Heard::LogIn { user, request, manner }) => {
                self.begin_log_in(now, from, (user, manner), request, datagram.len());
            }
            Ok(Heard::Said(request)) => match self.correspondents.at(from) {
                Some(id) => self.hear_request(now, id, request),
                // It is gone already, and that is all that there is to say.
                None if matches!(request, Request::LogOut | Request::Acknowledgement { .. }) => {}
                None if matches!(request, Request::LogIn { .. }) => {
                    self.tell_error(now, from, NOBODYS_NAME, datagram.len());
                }
                None => self.tell_error(now, from, LOG_IN_FIRST, datagram.len()),
            },
            Err(Unread::WrongDigest) => self.tell_error(now, from, INCORRECT, datagram.len()),
            Err(Unread::Malformed) => {
                log::debug!("a datagram from {} does not keep to its protocol", from.address.ip().to_canonical());
            }
        }
    }

    fn ends(&self, endpoint: Endpoint) -> Ends {
        Ends { client: endpoint.address, server: self.environment.sends_from(endpoint) }
    }

    /// Somebody wants to log in.
    fn begin_log_in(
        &mut self,
        now: Now,
        from: Endpoint,
        (user, manner): (UserName, Manner),
        request: input::Request,
        question_bytes: usize,
    ) {
        let admitted = self.correspondents.admits(from);
        if admitted == Admitted::NotNow {
            return log::debug!("a log-in by a datagram was ignored: others are not decided");
        }
        let conversation = conversation(server::Correspondent::new(user, manner, self.ends(from)));
        if admitted == Admitted::Full {
            return self.turn_correspondent_away(now, from, &conversation, question_bytes);
        }
        let id = self.connections.reserve();
        self.correspondents.add(id, from, conversation);
        let may_sign_up = self.admission.registration.contains(from.address.ip());
        let peer = Peer::Stranger { address: PeerAddress::of(from.address.ip()), binding: None, may_sign_up };
        self.tell(now, Input::Connected { connection: id, peer });
        self.ask_for(now, id, None, request);
    }

    fn ask_for(&mut self, now: Now, id: ConnectionId, request_id: Option<RequestId>, request: input::Request) {
        let before = self.outbox.effects.len();
        self.tell(now, Input::Request { connection: id, id: request_id, request });
        self.heed(now, before);
    }

    /// As many have logged in as may.
    fn turn_correspondent_away(&mut self, now: Now, to: Endpoint, conversation: &Conversation, question_bytes: usize) {
        log::debug!("a log-in by a datagram was refused: as many have logged in as may");
        if !self.may_tell_error(now, to) {
            return;
        }
        let mut pieces = Pieces::default();
        conversation.encode_farewell(Farewell::Full, &mut pieces);
        let mut sealed = Vec::new();
        if let Some((piece, _)) = pieces.iter().next() {
            conversation.seal(piece, &mut sealed);
        }
        self.send_error(to, &sealed, question_bytes);
    }

    /// Tells whoever has not logged in why nothing is done.
    fn tell_error(&mut self, now: Now, to: Endpoint, why: &str, question_bytes: usize) {
        if self.may_tell_error(now, to) {
            // In which manner they read is not known: what is ASCII all read alike.
            let error = server::error(why, &self.ends(to), Manner::Plain);
            self.send_error(to, &error, question_bytes);
        }
    }

    /// Whether it is not too often. What is not told costs nothing.
    fn may_tell_error(&mut self, now: Now, to: Endpoint) -> bool {
        self.datagrams.errors.allows(now.instant, to.peer().source())
    }

    /// Nothing proves that they are where it goes: it is not longer than the question.
    fn send_error(&mut self, to: Endpoint, error: &[u8], question_bytes: usize) {
        if !error.is_empty() && error.len() <= question_bytes {
            self.send(to, error);
        }
    }

    /// Somebody has logged in. Whoever was at the address before is told nothing: there is nobody else there.
    pub(super) fn admit_correspondent(&mut self, now: Now, id: ConnectionId) {
        if let Some(older) = self.correspondents.log_in(id) {
            self.tell(now, Input::Closed { connection: older });
            self.free_correspondent(older);
        }
    }

    /// Who has logged in says something.
    fn hear_request(&mut self, now: Now, id: ConnectionId, request: Request) {
        let Some(said) = self.correspondents.get_mut(id).and_then(|found| found.hear(request)) else { return };
        match said {
            Said::Request { id: request_id, request } => self.ask_for(now, id, request_id, request),
            Said::Acknowledged { sender, words } => self.hear_acknowledgement(now, id, &sender, words),
            Said::Nothing(why) => log::debug!("a datagram comes to nothing: {why}"),
        }
    }

    fn hear_acknowledgement(&mut self, now: Now, id: ConnectionId, sender: &Named, words: Option<Text>) {
        self.tell(now, Input::Heard { connection: id });
        let Some(correspondent) = self.correspondents.get_mut(id) else { return };
        let before = correspondent.bytes();
        let Some(arrived) = correspondent.acknowledged(sender) else {
            return log::debug!("an acknowledgement is of nothing that is under way");
        };
        self.out_bytes -= before - correspondent.bytes();
        self.timers.cancel(id, Timer::Again);
        if let Some(after) = arrived.settles {
            self.timers.set(id, Timer::Settled, now.instant + after);
        }
        if let Some(number) = arrived.ends {
            self.tell(now, Input::Shown { connection: id, number, words });
        }
        self.consider(id);
    }

    /// An answer to a correspondent. Whoever has not logged in is refused something only so often.
    pub(super) fn answer_correspondent(
        &mut self,
        now: Now,
        id: ConnectionId,
        request: Option<RequestId>,
        answer: &Answer,
        batch: BatchNumber,
        if_lost: IfLost,
    ) {
        let Some(correspondent) = self.correspondents.get_mut(id) else { return };
        let source = correspondent.endpoint().peer().source();
        if correspondent.is_undecided() && answer.is_err() && !self.datagrams.errors.allows(now.instant, source) {
            return;
        }
        self.encode_buffer.clear();
        correspondent.conversation.encode_answer(request, answer, &mut self.encode_buffer);
        let encoded = Encoded::of(&self.encode_buffer, correspondent.dialect().chunking());
        self.push_to_correspondent(id, encoded, batch, if_lost);
    }

    /// Appends to what is for a correspondent.
    pub(super) fn push_to_correspondent(
        &mut self,
        id: ConnectionId,
        encoded: Encoded,
        batch: BatchNumber,
        if_lost: IfLost,
    ) {
        let bytes = encoded.bytes();
        let Some(correspondent) = self.correspondents.get(id).filter(|found| bytes > 0 && !found.leaves()) else {
            return;
        };
        let max = if correspondent.is_undecided() { STRANGE_BYTES_MAX } else { OUT_BYTES_MAX };
        if correspondent.bytes() + bytes > max {
            log::debug!("a client that is reached by datagrams takes too little of what is for it: it has to go");
            self.overflowed.push(id);
            return;
        }
        if self.out_bytes + bytes > self.out_bytes_max {
            self.make_room();
        }
        let Some(correspondent) = self.correspondents.get_mut(id) else { return };
        correspondent.queue.push(encoded, batch, if_lost);
        self.out_bytes += bytes;
        self.send_or_park(id);
    }

    /// Something may have changed in what is for a correspondent, or what of it may leave.
    pub(super) fn send_or_park(&mut self, id: ConnectionId) {
        let Some(correspondent) = self.correspondents.get_mut(id) else { return };
        if let Some(batch) = correspondent.queue.waits_for(self.persisted)
            && !std::mem::replace(&mut correspondent.parked, true)
        {
            self.park(batch, id);
        }
        self.consider(id);
    }

    /// Whoever something may be sent to is sent it in this turn, unless the socket takes nothing: then all of them are looked at
    /// when it does.
    fn consider(&mut self, id: ConnectionId) {
        let socket = self.correspondents.get(id).map(|found| found.endpoint().socket);
        if socket.is_some_and(|socket| self.datagrams.takes(socket)) {
            self.correspondents.consider(id, self.persisted);
        }
    }

    /// Sends what may leave, a bounded amount, unless the socket takes nothing: then when it does.
    pub(super) fn send_to(&mut self, now: Now, id: ConnectionId) {
        let mut sealed = std::mem::take(&mut self.datagrams.sealed);
        let all = self.send_what_is_said_once(id, &mut sealed);
        if all {
            self.send_message(now, id, &mut sealed);
        }
        self.datagrams.sealed = sealed;
        self.send_or_park(id);
        self.let_go_if_told(id);
    }

    /// False: the socket takes nothing now.
    fn send_what_is_said_once(&mut self, id: ConnectionId, sealed: &mut Vec<u8>) -> bool {
        for _ in 0..DATAGRAMS_A_TURN {
            sealed.clear();
            let persisted = self.persisted;
            let Some(correspondent) = self.correspondents.get_mut(id) else { return true };
            let to = correspondent.endpoint();
            if !correspondent.seal_next(persisted, sealed) {
                return true;
            }
            if !self.send(to, sealed) {
                return false;
            }
            let Some(correspondent) = self.correspondents.get_mut(id) else { return true };
            let before = correspondent.bytes();
            correspondent.said();
            self.out_bytes -= before - correspondent.bytes();
        }
        true
    }

    /// Sends the message whose turn it is, if it is to be sent.
    fn send_message(&mut self, now: Now, id: ConnectionId, sealed: &mut Vec<u8>) {
        sealed.clear();
        let Some(correspondent) = self.correspondents.get(id) else { return };
        let to = correspondent.endpoint();
        if correspondent.seal_message(sealed)
            && self.send(to, sealed)
            && let Some(correspondent) = self.correspondents.get_mut(id)
        {
            self.timers.set(id, Timer::Again, now.instant + correspondent.sent());
        }
    }

    /// The message under way was not acknowledged in time.
    pub(super) fn send_again(&mut self, now: Now, id: ConnectionId) {
        let Some(correspondent) = self.correspondents.get_mut(id) else { return };
        if correspondent.again() {
            self.consider(id);
        } else {
            self.tell(now, Input::Unreached { connection: id });
        }
    }

    /// No copy of the last message is acknowledged any more.
    pub(super) fn send_next(&mut self, id: ConnectionId) {
        if let Some(correspondent) = self.correspondents.get_mut(id) {
            correspondent.settled();
            self.consider(id);
        }
    }

    /// Its session is over, or does not begin: what it must still be told it is told, within a time.
    pub(super) fn part_from(&mut self, now: Now, id: ConnectionId) {
        let Some(before) = self.correspondents.get(id).map(|found| found.bytes()) else { return };
        self.correspondents.leave(id);
        self.out_bytes -= before - self.correspondents.get(id).map_or(0, |found| found.bytes());
        for timer in [Timer::Again, Timer::Settled] {
            self.timers.cancel(id, timer);
        }
        self.timers.set(id, Timer::Leave, now.instant + DRAIN_WITHIN);
        self.send_or_park(id);
        self.let_go_if_told(id);
    }

    fn let_go_if_told(&mut self, id: ConnectionId) {
        if self.correspondents.get(id).is_some_and(|found| found.leaves() && found.queue.is_empty()) {
            self.gone.push(id);
        }
    }

    /// Nothing is left of it, and its key belongs to nobody any more.
    pub(super) fn free_correspondent(&mut self, id: ConnectionId) {
        let Some(correspondent) = self.correspondents.remove(id) else { return };
        self.out_bytes -= correspondent.bytes();
        self.timers.clear(id);
        self.connections.release(id);
    }

    /// From where it logs in, or has.
    pub(super) fn correspondents_address(&self, id: ConnectionId) -> Option<IpAddr> {
        self.correspondents.get(id).map(|found| found.endpoint().address.ip())
    }
}
