//! The end of connections, and of the server: what is written all the same, who is told, and how a peer notices.
//!
//! Clients of protocols without framing do not notice an orderly close (protocols.md, "Common to all", Closing): an end that
//! they did not ask for is a reset, once what was written has arrived.

use super::*;
use crate::hub::effect::Close;
use crate::net::connection::Stream;
use crate::wire::Farewell;

impl<E: Environment> Turn<E> {
    /// The end begins: the hub says farewell, and what is to be written is written, within a time.
    pub fn begin_stop(&mut self, now: Now) {
        log::info!("stopping");
        self.tell(now, Input::Shutdown);
        let mut log_ins = Vec::new();
        for (id, connection) in self.connections.iter_mut() {
            match connection.known {
                // What is called still is told, and ends by itself.
                _ if matches!(connection.door, Door::Dialled { .. }) => {}
                Known::AsCallee(_) => log_ins.push(id),
                // Who has not even been recognised is not known to the hub.
                Known::Not if connection.conversation.is_none() || connection.is_post() => {
                    connection.stage = Stage::Gone;
                    self.gone.push(id);
                }
                Known::Not | Known::Itself => {}
            }
        }
        log_ins.into_iter().for_each(|id| self.begin_ending(now, id, Close::Forced));
        self.datagrams.close();
        self.stopping = Some(now.instant);
    }

    /// Whether the end that was begun is reached.
    pub fn has_stopped(&self, now: Now) -> Option<Ended> {
        let began = self.stopping?;
        let nobody = self.connections.is_empty() && self.callees.is_empty() && self.correspondents.is_empty();
        if nobody && self.in_flight.is_empty() && self.outbox.is_empty() {
            return Some(Ended::Orderly);
        }
        (now.instant.since(began) >= DRAIN_WITHIN).then_some(Ended::Hurried)
    }

    /// Ends a connection on which nobody has logged in, and says why.
    pub(super) fn farewell(&mut self, now: Now, id: ConnectionId, farewell: Farewell) {
        let mut pieces = Pieces::default();
        if let Some(conversation) = self.connections.get(id).and_then(|found| found.conversation.as_ref()) {
            conversation.encode_farewell(farewell, &mut pieces);
            let encoded = Encoded::of(&pieces, conversation.dialect().chunking());
            self.answer(id, encoded);
        }
        self.end(now, id, Close::Forced);
    }

    /// The client does not keep to its protocol.
    pub(super) fn end_violation(&mut self, now: Now, id: ConnectionId, why: &str) {
        self.log_violation(id, why);
        self.end(now, id, Close::Forced);
    }

    /// For the operator, who looks for what is wrong with a client.
    pub(super) fn log_violation(&self, id: ConnectionId, why: &str) {
        if let Some(address) = self.connections.get(id).and_then(|found| found.door.address()) {
            log::debug!("a connection from {} does not keep to its protocol: {why}", address.to_canonical());
        }
    }

    /// Ends a connection from this side: the hub forgets it, what is in the queue is still written.
    pub(super) fn end(&mut self, now: Now, id: ConnectionId, how: Close) {
        self.tell_of_close(now, id);
        self.begin_ending(now, id, how);
    }

    fn tell_of_close(&mut self, now: Now, id: ConnectionId) {
        if self.connections.get(id).is_some_and(|found| found.known == Known::Itself) {
            self.tell(now, Input::Closed { connection: id });
        }
    }

    /// From here on only the queue matters.
    pub(super) fn begin_ending(&mut self, now: Now, id: ConnectionId, how: Close) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !connection.is_served() {
            return;
        }
        let was_strange = connection.stage == Stage::Strange;
        connection.stage = Stage::Ending;
        connection.inbound = Vec::new();
        connection.resets = how == Close::Forced
            && match &connection.conversation {
                Some(conversation) => conversation.dialect().chunking().is_some(),
                None => connection.prompted && connection.tls.is_none(),
            };
        self.mark_dirty(id);
        self.set_deadline(id, Some(now.instant + DRAIN_WITHIN));
        self.list_if_has_work(id);
        if was_strange {
            self.part_with(id);
        }
    }

    /// A stranger is not served any more, and makes room for another. Until it has been told everything it has a place
    /// among a few; when they are too many, the oldest has had its time.
    fn part_with(&mut self, id: ConnectionId) {
        self.no_stranger(id);
        self.parting.push_back(id);
        if self.stopping.is_none()
            && self.parting.len() > self.admission.room.parting
            && let Some(oldest) = self.parting.pop_front()
        {
            self.drop_connection(oldest);
        }
    }

    /// Its place among the strangers is free.
    pub(super) fn no_stranger(&mut self, id: ConnectionId) {
        self.strangers.remove(id);
        self.posts.remove(id);
    }

    /// Everything is written to a connection that ends: our side is closed, now or by a reset.
    pub(super) fn close(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.resets && !connection.read_closed && !connection.is_log_in() {
            return self.reset_when_read(now, id);
        }
        connection.stage = Stage::Lingering;
        if !connection.resets {
            connection.close_our_side();
        }
        if connection.read_closed {
            return self.drop_connection(id);
        }
        if connection.member {
            self.note_lingering(id);
        }
        // A call has a time of its own, and a client that was told that its log-in has failed closes by itself.
        if self.connections.get(id).is_some_and(|found| found.door.address().is_some() || found.door == Door::Control) {
            self.set_deadline(id, Some(now.instant + LINGER));
        }
    }

    /// A reset may overtake what was not read yet: first it has to arrive, and to be read.
    fn reset_when_read(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        if connection.paced || self.timers.is_set(id, Timer::Acknowledged) {
            return;
        }
        match connection.unacknowledged() {
            Ok(bytes) if bytes > 0 => self.timers.set(id, Timer::Acknowledged, now.instant + ACKNOWLEDGED_EVERY),
            // If that can't be known, it is reset all the same.
            _ => self.reset(id),
        }
    }

    pub(super) fn reset(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get(id)
            && let Err(error) = connection.stream.reset_on_close()
        {
            log::debug!("a connection could not be reset: {error}");
        }
        self.drop_connection(id);
    }

    /// The connection has failed.
    pub(super) fn vanished(&mut self, now: Now, id: ConnectionId) {
        if self.callees.get(id).is_some() {
            self.tell(now, Input::Closed { connection: id });
            return self.free_callee(id);
        }
        if let Some(correspondent) = self.correspondents.get(id) {
            if !correspondent.leaves() {
                self.tell(now, Input::Closed { connection: id });
            }
            return self.free_correspondent(id);
        }
        if self.connections.get(id).is_some_and(Connection::is_served) {
            self.tell_of_close(now, id);
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
    pub(super) fn discard(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        match connection.read(&mut self.read_buffer) {
            Ok(0) if connection.read_closed && connection.stage == Stage::Lingering => match connection.door {
                Door::Dialled { callee } => self.call_was_closed(now, id, callee),
                Door::Port { .. } | Door::Control => self.drop_connection(id),
            },
            Ok(_) => {}
            Err(_) => self.drop_connection(id),
        }
    }

    pub(super) fn free_gone(&mut self, now: Now) {
        while let Some(id) = self.gone.pop() {
            let Some(mut connection) = self.connections.remove(id) else {
                self.free_correspondent(id);
                continue;
            };
            self.no_stranger(id);
            self.members -= usize::from(connection.member);
            self.out_bytes -= connection.out_bytes();
            if let Some(at) = connection.deadline {
                self.deadlines.remove(&(at, id));
            }
            self.timers.clear(id);
            // A call that brings nothing would end the client (protocols.md, section 1).
            if matches!(connection.door, Door::Dialled { .. }) && !connection.queue.is_empty() {
                let _ = connection.stream.reset_on_close();
            }
            if let Err(error) = self.environment.deregister(&mut connection.stream) {
                log::debug!("a closed connection could not be unwatched: {error}");
            }
            match (connection.known, connection.door) {
                (Known::AsCallee(callee), _) => self.log_in_over(callee),
                (_, Door::Dialled { callee }) => self.call_failed(now, id, callee),
                _ => {}
            }
        }
    }
}
