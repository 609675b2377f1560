//! Reading: bytes become requests, requests go to the hub. Who says nothing, too much or nonsense is ended here.

use super::opening::Recognised;
use super::*;
use crate::hub::effect::{Close, Effect};
use crate::hub::id::PeerAddress;
use crate::hub::input::Request;
use crate::hub::name::UserName;
use crate::wire::{Farewell, Lull, Step};

impl<E: Environment> Turn<E> {
    /// One round: everybody on the ready list is served once, a bounded amount.
    pub(super) fn serve_ready(&mut self, now: Now) -> bool {
        if self.is_congested() {
            return false;
        }
        let mut progress = self.serve_datagrams(now);
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
            Stage::Gone | Stage::Dialling => return,
            Stage::Ending | Stage::Lingering => return self.discard(now, id),
            Stage::Strange | Stage::LoggedIn => {}
        }
        if connection.suspended && connection.is_log_in() {
            return self.look_whether_it_stays(now, id);
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
            self.decode_kept(now, id, &mut budget);
        }
        let Some(connection) = self.connections.get_mut(id) else { return };
        if budget == 0 || !connection.readable || !connection.is_served() || connection.is_paused() {
            return;
        }
        // The end of a request that is posted has mostly come with it, and is not waited for.
        while self.read(now, id, &mut budget) && self.connections.get(id).is_some_and(Connection::is_post) {}
    }

    /// Who logs in with a password has more to say than that: whoever is gone meanwhile logs in no more, and displaces nobody.
    /// What is said too early is kept.
    fn look_whether_it_stays(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id).filter(|found| found.readable) else { return };
        match connection.read(&mut self.read_buffer) {
            Ok(0) if connection.read_closed => self.end(now, id, Close::Orderly),
            Ok(bytes) => {
                connection.inbound.extend_from_slice(&self.read_buffer[..bytes]);
                if connection.inbound.len() > STRANGE_BYTES_MAX {
                    self.farewell(now, id, Farewell::TooMuch);
                }
            }
            Err(_) => self.vanished(now, id),
        }
    }

    /// Reads once, and does what comes of it. Says whether something has come.
    fn read(&mut self, now: Now, id: ConnectionId, budget: &mut usize) -> bool {
        let Some(connection) = self.connections.get_mut(id).filter(|found| found.is_served()) else { return false };
        let mut buffer = std::mem::take(&mut self.read_buffer);
        let read = connection.read(&mut buffer);
        let has_come = matches!(read, Ok(1..));
        match read {
            Ok(0) if connection.read_closed => self.hear_the_end(now, id, budget),
            // What was announced was nothing: a lull may have been taken for the middle of a message.
            Ok(0) if self.timers.is_set(id, Timer::Quiet) => {}
            Ok(0) => self.await_quiet(now, id),
            Ok(bytes) => {
                let is_encrypted = connection.tls.is_some();
                if !connection.heard {
                    self.hear_first(now, id);
                }
                match is_encrypted {
                    true => self.decrypt(now, id, &buffer[..bytes], budget),
                    false => self.hear(now, id, &buffer[..bytes], budget),
                }
            }
            // Who posts reads nothing: where they were asked for a nickname meanwhile, their close comes as a reset.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && connection.is_asked_in_vain() => {
                self.hear_the_end(now, id, budget);
                self.drop_connection(id);
            }
            Err(error) => {
                log::debug!("a connection failed: {error}");
                self.vanished(now, id);
            }
        }
        self.read_buffer = buffer;
        has_come
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
                self.end(now, id, Close::Forced);
            }
            Ok(()) if too_much => self.end(now, id, Close::Forced),
            Ok(()) => {}
        }
    }

    /// Takes what a client has said.
    fn hear(&mut self, now: Now, id: ConnectionId, bytes: &[u8], budget: &mut usize) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.quiet = false;
        if connection.inbound.is_empty() {
            let used = self.decode(now, id, bytes, Lull::None, budget);
            self.keep(id, bytes[used..].to_vec());
        } else {
            connection.inbound.extend_from_slice(bytes);
            self.decode_inbound(now, id, Lull::None, budget);
        }
        self.await_quiet(now, id);
    }

    /// What was kept may be whole by now, or the last turn had no time for it.
    fn decode_kept(&mut self, now: Now, id: ConnectionId, budget: &mut usize) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let lull = if std::mem::take(&mut connection.quiet) { Lull::Quiet } else { Lull::None };
        self.decode_inbound(now, id, lull, budget);
        if lull == Lull::Quiet
            && let Some(connection) = self.connections.get_mut(id)
        {
            // Where not everything could be looked at, it is still all there is.
            connection.quiet = *budget == 0 || connection.is_paused();
        }
    }

    /// What was asked before the end is still answered: a script may have closed its side already.
    fn hear_the_end(&mut self, now: Now, id: ConnectionId, budget: &mut usize) {
        self.decode_inbound(now, id, Lull::Ended, budget);
        self.end(now, id, Close::Orderly);
    }

    /// Decodes what has come and was not understood yet.
    fn decode_inbound(&mut self, now: Now, id: ConnectionId, lull: Lull, budget: &mut usize) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.inbound.is_empty() {
            return;
        }
        let mut inbound = std::mem::take(&mut connection.inbound);
        let used = self.decode(now, id, &inbound, lull, budget);
        inbound.drain(..used);
        self.keep(id, inbound);
    }

    /// Where nothing but a lull ends a message, what is there may be one.
    fn await_quiet(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        let by_quiet = match &connection.conversation {
            Some(conversation) => conversation.ends_by_quiet(),
            None => connection.prompted && connection.tls.is_none(),
        };
        if by_quiet && connection.is_served() && !connection.inbound.is_empty() {
            self.timers.set(id, Timer::Quiet, now.instant + QUIET);
        }
    }

    /// Nothing has come for the quiet time. Where more has been announced meanwhile, which was not read since something was
    /// waited for, that belongs to it.
    pub(super) fn quiet_over(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !connection.is_served() || connection.readable || connection.inbound.is_empty() {
            return;
        }
        connection.quiet = true;
        self.list_if_has_work(id);
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
    fn decode(&mut self, now: Now, id: ConnectionId, bytes: &[u8], lull: Lull, budget: &mut usize) -> usize {
        let mut used = 0;
        while *budget > 0 {
            let Some(connection) = self.connections.get_mut(id) else { return used };
            if !connection.is_served() || connection.is_paused() {
                return used;
            }
            let rest = &bytes[used..];
            if connection.conversation.is_none() {
                match self.recognise(now, id, rest, lull != Lull::None) {
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
            let Some((step, taken)) = self.next_step(now, id, rest, lull) else { return used };
            if !self.take_step(now, id, step, taken) {
                return used;
            }
            used += taken;
            *budget -= 1;
        }
        used
    }

    /// What stands at the beginning of `bytes`, and how many of them it took. `None`: nothing yet, or the end.
    fn next_step(&mut self, now: Now, id: ConnectionId, bytes: &[u8], lull: Lull) -> Option<(Step, usize)> {
        let connection = self.connections.get(id)?;
        // A request that is posted has a bound of its own, and nobody logs in with it.
        let is_strange = connection.stage == Stage::Strange && !connection.is_post();
        let room = match is_strange {
            true => self.environment.strange_bytes_max().saturating_sub(connection.said),
            false => usize::MAX,
        };
        if is_strange && self.members >= self.admission.room.sessions && !self.one_leaves() {
            self.tell_of_fullness(now);
            self.farewell(now, id, Farewell::Full);
            return None;
        }
        // What is beyond that is not looked at, so how it was split on its way changes nothing.
        let bytes = &bytes[..bytes.len().min(room.saturating_add(1))];
        let step = self.connections.get_mut(id)?.conversation.as_mut()?.decode(bytes, lull);
        let taken = match &step {
            Step::Wait => bytes.len(),
            Step::Request { used, .. }
            | Step::Posted { used, .. }
            | Step::Heard { used, .. }
            | Step::Refused { used, .. } => *used,
            Step::Violation { .. } => 0,
        };
        if taken > room {
            self.log_violation(id, "too much was said before the log-in");
            self.farewell(now, id, Farewell::TooMuch);
            return None;
        }
        (step != Step::Wait).then_some((step, taken))
    }

    /// Does what a client has said, which took so many bytes. False: that was the end.
    fn take_step(&mut self, now: Now, id: ConnectionId, step: Step, taken: usize) -> bool {
        match step {
            Step::Wait => {}
            Step::Request { id: request_id, request, .. } => {
                self.said(now, id, taken);
                self.request(now, id, request_id, request);
            }
            Step::Posted { user, id: request_id, request, .. } => self.post(now, id, user, request_id, request),
            Step::Heard { reply, .. } => {
                self.said(now, id, taken);
                self.answer(id, Encoded::alone(reply));
            }
            Step::Refused { reply, .. } => {
                // It counts as said, but nonsense buys no time.
                if let Some(connection) = self.connections.get_mut(id) {
                    connection.said += taken;
                }
                self.answer(id, Encoded::alone(reply));
            }
            Step::Violation { reply } => {
                self.answer(id, Encoded::alone(reply));
                self.end_violation(now, id, "what it says is none of its words");
                return false;
            }
        }
        true
    }

    fn request(&mut self, now: Now, id: ConnectionId, request_id: Option<RequestId>, request: Request) {
        let Some(connection) = self.connections.get(id) else { return };
        if connection.known != Known::Itself {
            return self.end_violation(now, id, "a request where nobody is asked for one");
        }
        if let Request::LogInByPassword { port, .. } = request
            && self.where_to_call(connection.door, port).is_none()
        {
            return self.end_violation(now, id, "nobody is called where it says that it listens");
        }
        let before = self.outbox.effects.len();
        self.tell(now, Input::Request { connection: id, id: request_id, request });
        self.heed(now, before);
    }

    /// A request for somebody who is reached by calls. The connection has brought what it was for.
    fn post(&mut self, now: Now, id: ConnectionId, user: UserName, request_id: Option<RequestId>, request: Request) {
        let Some(address) = self.connections.get(id).and_then(|found| found.door.address()) else { return };
        let before = self.outbox.effects.len();
        self.tell(now, Input::Posted { from: PeerAddress::of(address), user, id: request_id, request });
        self.heed(now, before);
        if self.outbox.effects[before..].contains(&Effect::Ignored) {
            log::debug!(
                "a request from {} was ignored: nobody of that name is logged in there",
                address.to_canonical()
            );
        }
        // The client has closed its side: there is nothing to wait for.
        self.drop_connection(id);
    }

    /// Somebody who has not logged in, or whose log-in is not over, has said something: the time for the next step begins.
    fn said(&mut self, now: Now, id: ConnectionId, bytes: usize) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.stage != Stage::Strange && !matches!(connection.known, Known::AsCallee(_)) {
            return;
        }
        connection.said += bytes;
        let at = (now.instant + NEXT_MESSAGE_WITHIN).min(connection.came + LOG_IN_WITHIN);
        self.set_deadline(id, Some(at));
    }
}
