//! Clients that are reached by calls (protocols.md, section 1): a log-in that becomes one, what is said to it, and the
//! connections that bring it there. The rules of who is called when are in `callee.rs`.
//!
//! A call is a connection that the hub does not know: it is dialled, brings one chunk, closes our side, and waits for the
//! client to close. Only then has the chunk arrived; whatever else happens is a call that has failed.

use std::net::SocketAddr;

use super::*;
use crate::hub::effect::Answer;
use crate::hub::input::PeerPort;
use crate::net::callee::{Callee, where_to_call};
use crate::net::connection::Stream;
use crate::net::queue::IfLost;
use crate::wire::Dialect;

impl<E: Environment> Turn<E> {
    /// Where whoever came by this door may be called.
    pub(super) fn where_to_call(&self, door: Door, port: PeerPort) -> Option<SocketAddr> {
        where_to_call(door.address()?, port, &self.admission.plaintext, &self.admission.ports)
    }

    /// Somebody has logged in who is reached by calls from now on: the key of the connection is the client's, and the
    /// connection gets another, under which the log-in is brought to its end.
    pub(super) fn become_callee(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get(id).filter(|found| found.is_served() && found.is_log_in()) else {
            return;
        };
        let port = connection.conversation.as_ref().and_then(Conversation::listens_at);
        let Some(mut address) = port.and_then(|port| self.where_to_call(connection.door, port)) else {
            return self.vanished(now, id);
        };
        if let SocketAddr::V6(address) = &mut address {
            address.set_scope_id(connection.stream.peer_zone());
        }
        let Some(mut connection) = self.connections.vacate(id) else { return };
        let deadline = connection.deadline.take();
        if let Some(at) = deadline {
            self.deadlines.remove(&(at, id));
        }
        // The lists name it by its old key, which those that wait for a batch are woken by.
        let parked = std::mem::take(&mut connection.parked);
        (connection.listed, connection.dirty) = (false, false);
        (connection.known, connection.suspended, connection.readable) = (Known::AsCallee(id), false, true);
        let Ok(log_in) = self.connections.insert(|_| Ok::<_, std::convert::Infallible>(connection));
        self.timers.pass_on(id, log_in);
        if let Some((_, paced)) = self.paced.iter_mut().find(|(_, paced)| *paced == id) {
            *paced = log_in;
        }
        self.callees.add(id, address, log_in);
        if let Some(callee) = self.callees.get_mut(id) {
            callee.parked = parked;
        }
        self.timers.set(id, Timer::LogIn, now.instant + LOG_IN_OVER_WITHIN);
        self.set_deadline(log_in, Some(now.instant + NEXT_MESSAGE_WITHIN));
        self.watch_again(log_in);
    }

    /// Watches a connection under its new key; what has come meanwhile is announced again.
    fn watch_again(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let watched = connection.watched;
        let unwatched = self.environment.deregister(&mut connection.stream);
        let again = unwatched.and_then(|()| self.environment.register(&mut connection.stream, id, watched));
        match again {
            Ok(()) => {
                self.mark_dirty(id);
                self.list_if_has_work(id);
            }
            Err(error) => {
                log::warn!("a connection could not be watched: {error}");
                self.drop_connection(id);
            }
        }
    }

    /// Its log-in is over, or takes too long: it can be called.
    pub(super) fn log_in_over(&mut self, id: ConnectionId) {
        self.timers.cancel(id, Timer::LogIn);
        self.callees.log_in_over(id, self.persisted);
        self.free_if_done(id);
    }

    /// An answer to a client that is reached by calls. The one to the log-in itself is given there.
    pub(super) fn answer_callee(
        &mut self,
        id: ConnectionId,
        request: Option<RequestId>,
        answer: &Answer,
        batch: BatchNumber,
        if_lost: IfLost,
    ) {
        let Some(callee) = self.callees.get(id) else { return };
        if let Some(log_in) = callee.log_in() {
            self.push_answer(log_in, request, answer, batch, if_lost);
        }
        self.encode_buffer.clear();
        Dialect::Delivery.encode_answer(request, answer, &mut self.encode_buffer);
        let encoded = Encoded::of(&self.encode_buffer, Dialect::Delivery.chunking());
        self.push_to_callee(id, encoded, batch, if_lost);
    }

    /// Appends to what is for a client that is reached by calls.
    pub(super) fn push_to_callee(&mut self, id: ConnectionId, encoded: Encoded, batch: BatchNumber, if_lost: IfLost) {
        let bytes = encoded.bytes();
        let Some(callee) = self.callees.get(id).filter(|callee| bytes > 0 && !callee.leaves()) else { return };
        if callee.queue.bytes() + bytes > OUT_BYTES_MAX {
            log::debug!("a client that is reached by calls takes too little of what is for it: it has to go");
            self.overflowed.push(id);
            return;
        }
        if self.out_bytes + bytes > self.out_bytes_max {
            self.make_room();
        }
        let Some(callee) = self.callees.get_mut(id) else { return };
        callee.queue.push(encoded, batch, if_lost);
        self.out_bytes += bytes;
        self.call_or_park(id);
    }

    /// Something may have changed in what is for a client, or what of it may leave.
    pub(super) fn call_or_park(&mut self, id: ConnectionId) {
        let Some(callee) = self.callees.get_mut(id) else { return };
        if let Some(batch) = callee.queue.waits_for(self.persisted)
            && !std::mem::replace(&mut callee.parked, true)
        {
            self.park(batch, id);
        }
        self.callees.consider(id, self.persisted);
    }

    /// A client that was not reached may be called again.
    pub(super) fn call_again(&mut self, id: ConnectionId) {
        self.callees.rested(id, self.persisted);
    }

    /// The session is over: what it must still be told it is told, within a time.
    pub(super) fn dismiss(&mut self, now: Now, id: ConnectionId) {
        let Some(callee) = self.callees.get(id) else { return };
        let before = callee.queue.bytes();
        // At the end of the server nobody is left who could be kept waiting.
        if self.stopping.is_none() {
            self.callees.stand_back(id);
        }
        self.callees.leave(id, self.persisted);
        self.out_bytes -= before - self.callees.get(id).map_or(0, |callee| callee.queue.bytes());
        self.timers.set(id, Timer::Leave, now.instant + DRAIN_WITHIN);
        // What stood before it may have gone, and it may wait for another batch.
        self.call_or_park(id);
        self.free_if_done(id);
    }

    fn free_if_done(&mut self, id: ConnectionId) {
        let is_done = |callee: &Callee| callee.leaves() && callee.queue.is_empty();
        if self.callees.get(id).is_some_and(is_done) {
            self.free_callee(id);
        }
    }

    /// Nothing is left of it, and its key belongs to nobody any more.
    pub(super) fn free_callee(&mut self, id: ConnectionId) {
        let Some(callee) = self.callees.remove(id) else { return };
        self.out_bytes -= callee.queue.bytes();
        self.timers.clear(id);
        self.connections.release(id);
        if let Some(call) = callee.call() {
            self.drop_connection(call);
        }
    }

    /// Calls whoever is to be called, as many as there may be.
    pub(super) fn place_calls(&mut self, now: Now) {
        while let Some(id) = self.callees.next(self.persisted) {
            if let Err(error) = self.call(now, id) {
                log::debug!("a client could not be called: {error}");
                self.call_ended(now, id, false);
            }
        }
    }

    fn call(&mut self, now: Now, id: ConnectionId) -> io::Result<()> {
        let Some(callee) = self.callees.get_mut(id) else { return Ok(()) };
        let chunk = Encoded::alone(callee.chunk(self.persisted));
        let bytes = chunk.bytes();
        let mut stream = self.environment.dial(callee.address())?;
        let call = self.connections.insert(|call| {
            self.environment.register(&mut stream, call, true)?;
            let mut connection = Connection::new(stream, Door::Dialled { callee: id }, now.instant);
            connection.queue.push(chunk, 0, IfLost::Send);
            connection.watched = true;
            Ok::<_, io::Error>(connection)
        })?;
        self.out_bytes += bytes;
        self.callees.begun(id, call);
        self.set_deadline(call, Some(now.instant + CALL_WITHIN));
        Ok(())
    }

    /// Whether a connection that was dialled is made. If that has failed, so has the call.
    pub(super) fn is_made(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(id) else { return false };
        match connection.stream.is_connected() {
            Ok(true) => {
                connection.stage = Stage::Ending;
                self.list_if_has_work(id);
                true
            }
            Ok(false) => false,
            Err(error) => {
                log::debug!("a client could not be called: {error}");
                self.drop_connection(id);
                false
            }
        }
    }

    /// The time for a call is over. If the connection is made by now, it brings what it is for: one that brings nothing would
    /// end the client (protocols.md, section 1).
    pub(super) fn give_up_dialling(&mut self, now: Now, id: ConnectionId) {
        if self.is_made(id) {
            self.mark_dirty(id);
            self.set_deadline(id, Some(now.instant + CALL_WITHIN));
        } else {
            self.drop_connection(id);
        }
    }

    /// A client that was called has closed. It has read what it was brought if its system has acknowledged that, and has not
    /// answered it with a reset.
    pub(super) fn call_was_closed(&mut self, now: Now, call: ConnectionId, callee: ConnectionId) {
        let acknowledged = self.connections.get(call).and_then(|found| found.stream.unacknowledged().ok());
        self.drop_connection(call);
        // The end of our side may be left, which counts as one.
        if acknowledged.is_some_and(|bytes| bytes <= 1) {
            self.call_ended(now, callee, true);
        }
    }

    /// A call is over; if nothing is known of it yet it has failed.
    pub(super) fn call_failed(&mut self, now: Now, call: ConnectionId, callee: ConnectionId) {
        if self.callees.get(callee).is_some_and(|found| found.call() == Some(call)) {
            self.call_ended(now, callee, false);
        }
    }

    fn call_ended(&mut self, now: Now, id: ConnectionId, reached: bool) {
        let Some(before) = self.callees.get(id).map(|callee| callee.queue.bytes()) else { return };
        let Some(outcome) = self.callees.ended(id, reached, self.persisted) else { return };
        self.out_bytes -= before - self.callees.get(id).map_or(0, |callee| callee.queue.bytes());
        if outcome.leaves {
            if !reached {
                return self.free_callee(id);
            }
            self.call_or_park(id);
            return self.free_if_done(id);
        }
        self.tell(now, Input::Called { connection: id, reached });
        if let Some(number) = outcome.shown {
            self.tell(now, Input::Shown { connection: id, number, words: None });
        }
        self.call_or_park(id);
    }
}
