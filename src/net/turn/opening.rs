//! The beginning of connections: who is let in, what they speak, and how long they may take. Who says nothing, or nothing
//! that is served here, is ended here.

use std::net::IpAddr;

use super::*;
use crate::hub::effect::Close;
use crate::hub::id::{PeerAddress, Source};
use crate::hub::input::Peer;
use crate::net::connection::{Serves, Stream};
use crate::net::tls::Tls;
use crate::wire::recognise::{NOT_UNDERSTOOD, Openings, Recognition, TOO_MANY, recognise};
use crate::wire::{Farewell, Protocol, nick};

/// What the first bytes of a connection have come to.
pub(super) enum Recognised {
    Protocol,
    /// Encryption begins.
    Tls,
    /// Nothing yet, or it is over.
    Nothing,
}

impl<E: Environment> Turn<E> {
    /// Somebody has come.
    pub fn add(&mut self, now: Now, mut stream: E::Stream, door: Door) -> io::Result<ConnectionId> {
        let id = self.connections.insert(|id| {
            self.environment.register(&mut stream, id, false)?;
            Ok::<_, io::Error>(Connection::new(stream, door, now.instant))
        })?;
        let within = if self.may_be_typing(door) { NEXT_MESSAGE_WITHIN } else { FIRST_MESSAGE_WITHIN };
        self.set_deadline(id, Some(now.instant + within));
        self.list_if_has_work(id);
        if let Door::Port { address, serves } = door {
            self.make_place(now, id, address);
            self.await_silence(now, id, address, serves);
        }
        Ok(id)
    }

    /// It is a stranger's, or that of a request in somebody's name, as far as can be known.
    fn make_place(&mut self, now: Now, id: ConnectionId, address: IpAddr) {
        let address = address.to_canonical();
        if self.callees.any_from(address) && self.posts.add(id, address) {
            return;
        }
        if let Some(victim) = self.strangers.add(id, Source::of(address)) {
            self.turn_away(now, victim);
        }
    }

    /// Whether a person may sit there, of whose program we hear when they have typed their name.
    fn may_be_typing(&self, door: Door) -> bool {
        match door {
            Door::Port { address, serves } => {
                let is_served = serves.protocol(Protocol::Request) || serves.protocol(Protocol::Nick);
                is_served && self.admission.plaintext.contains(address)
            }
            Door::Control | Door::Dialled { .. } => false,
        }
    }

    fn lets_guests_in(&self, address: IpAddr, serves: Serves) -> bool {
        let Admission { plaintext, guests, .. } = &self.admission;
        serves.protocol(Protocol::Nick) && plaintext.contains(address) && guests.contains(address)
    }

    /// Guests wait to be asked: where there can be nobody else, at once.
    fn await_silence(&mut self, now: Now, id: ConnectionId, address: IpAddr, serves: Serves) {
        let only_guests = serves == Serves::Only(Protocol::Nick);
        match self.lets_guests_in(address, serves) {
            true if only_guests => self.prompt(id),
            true => self.timers.set(id, Timer::Silence, now.instant + SILENCE),
            false if only_guests => self.refuse_guest(now, id),
            false => {}
        }
    }

    fn refuse_guest(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.conversation = Conversation::begin(Protocol::Nick, b"", false);
        self.refuse_out_of_scope(now, id);
    }

    fn refuse_out_of_scope(&mut self, now: Now, id: ConnectionId) {
        if let Some(address) = self.connections.get(id).and_then(|found| found.door.address()) {
            log::info!("an unencrypted connection from {} was refused: out of scope", address.to_canonical());
        }
        self.farewell(now, id, Farewell::OutOfScope);
    }

    fn prompt(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.prompted = true;
        write_at_once(&connection.stream);
        self.answer(id, Encoded::alone(nick::server::PROMPT.to_vec()));
    }

    /// Nothing was said for a while.
    pub(super) fn silence_over(&mut self, now: Now, id: ConnectionId) {
        if self.connections.get(id).is_some_and(|found| found.is_served() && !found.heard) {
            self.recognise(now, id, b"", true);
        }
    }

    /// The first bytes have come: no silence any more, and the rest of the message is not for a person to type.
    pub(super) fn hear_first(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.heard = true;
        let door = connection.door;
        self.timers.cancel(id, Timer::Silence);
        if self.may_be_typing(door) {
            self.set_deadline(id, Some(now.instant + FIRST_MESSAGE_WITHIN));
        }
    }

    /// `quiet`: nothing has come for a while.
    pub(super) fn recognise(&mut self, now: Now, id: ConnectionId, bytes: &[u8], quiet: bool) -> Recognised {
        let Some(openings) = self.openings(id) else { return Recognised::Nothing };
        match recognise(bytes, quiet, &openings) {
            Recognition::This(Protocol::Nick) if !openings.prompted => {
                self.prompt(id);
                Recognised::Nothing
            }
            Recognition::This(protocol) => self.begin(now, id, Conversation::begin(protocol, bytes, openings.prompted)),
            Recognition::Session(_) => {
                let key = openings.expected.and_then(|expected| expected.key(bytes)).cloned();
                self.begin(now, id, key.map(Conversation::session))
            }
            Recognition::Tls => self.begin_tls(now, id),
            Recognition::Wait => Recognised::Nothing,
            Recognition::None => {
                self.answer(id, Encoded::alone(NOT_UNDERSTOOD.to_vec()));
                self.end(now, id, Close::Forced);
                Recognised::Nothing
            }
        }
    }

    /// What the first bytes of a connection can mean.
    fn openings(&self, id: ConnectionId) -> Option<Openings<'_>> {
        let connection = self.connections.get(id)?;
        let (is_open, serves) = match connection.door {
            Door::Port { serves, .. } => (connection.tls.is_none(), serves),
            Door::Control | Door::Dialled { .. } => (false, Serves::Only(Protocol::Native)),
        };
        let native = serves.protocol(Protocol::Native);
        let address = connection.door.address();
        let nick = address.is_some_and(|address| self.lets_guests_in(address, serves));
        // Those in the clear are looked at once more when they begin.
        let expected = address.filter(|_| serves.protocol(Protocol::Session));
        Some(Openings {
            native,
            request: is_open && serves.protocol(Protocol::Request),
            nick: is_open && nick,
            prompted: connection.prompted,
            tls: is_open && native && self.admission.tls.is_some(),
            expected: expected.and_then(|address| self.expected.get(&address.to_canonical())),
        })
    }

    /// The conversation begins, if it may. The hub hears of who is there, unless that is nobody: a request that is posted.
    fn begin(&mut self, now: Now, id: ConnectionId, begun: Option<Conversation>) -> Recognised {
        let Admission { plaintext, registration, .. } = &self.admission;
        let Some(connection) = self.connections.get_mut(id) else { return Recognised::Nothing };
        let Some(begun) = begun else { return Recognised::Nothing };
        let conversation = connection.conversation.insert(begun);
        let is_posted = matches!(conversation, Conversation::Post);
        let peer = match connection.door {
            Door::Port { address, .. } if connection.tls.is_none() && !plaintext.contains(address) => {
                self.refuse_out_of_scope(now, id);
                return Recognised::Nothing;
            }
            Door::Port { address, .. } => Peer::Stranger {
                address: PeerAddress::of(address),
                binding: connection.tls.as_ref().and_then(|tls| tls.binding()),
                may_sign_up: registration.contains(address),
            },
            Door::Control => Peer::Operator,
            // Whoever is called is not listened to.
            Door::Dialled { .. } => return Recognised::Nothing,
        };
        let is_bound = matches!(&peer, Peer::Stranger { binding: Some(_), .. });
        debug_assert_eq!(is_bound, connection.tls.is_some(), "what is encrypted can be bound to");
        if is_posted {
            return Recognised::Protocol;
        }
        write_at_once(&connection.stream);
        connection.known = Known::Itself;
        let before = self.outbox.effects.len();
        self.tell(now, Input::Connected { connection: id, peer });
        self.heed(now, before);
        Recognised::Protocol
    }

    fn begin_tls(&mut self, now: Now, id: ConnectionId) -> Recognised {
        let Some(connection) = self.connections.get_mut(id) else { return Recognised::Nothing };
        match self.admission.tls.as_ref().map(Tls::new) {
            Some(Ok(tls)) => {
                write_at_once(&connection.stream);
                connection.tls = Some(Box::new(tls));
                Recognised::Tls
            }
            Some(Err(error)) => {
                log::error!("a connection can't be encrypted: {error}");
                self.end(now, id, Close::Forced);
                Recognised::Nothing
            }
            None => Recognised::Nothing,
        }
    }

    /// The time to log in is over, or the time to close.
    pub(super) fn deadline_passed(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.deadline = None;
        match (connection.stage, connection.known) {
            (Stage::Strange, _) if connection.suspended => {
                // It waits for us, not we for it.
                self.set_deadline(id, Some(now.instant + NEXT_MESSAGE_WITHIN));
            }
            // What has come is a message by now, and is looked at before this is judged, in the next round.
            (Stage::Strange, _) if connection.quiet => {
                self.set_deadline(id, Some(now.instant + Duration::from_micros(1)));
            }
            (Stage::Strange, _) => self.too_slow(now, id),
            (Stage::LoggedIn, Known::AsCallee(_)) => self.end_violation(now, id, "its log-in is never over"),
            (Stage::LoggedIn, _) => {}
            (Stage::Dialling, _) => self.give_up_dialling(now, id),
            (Stage::Ending | Stage::Lingering, _) if connection.resets => self.reset(id),
            (Stage::Ending | Stage::Lingering | Stage::Gone, _) => self.drop_connection(id),
        }
    }

    fn too_slow(&mut self, now: Now, id: ConnectionId) {
        let Some(connection) = self.connections.get(id) else { return };
        match &connection.conversation {
            Some(Conversation::Post) => self.end_violation(now, id, "its request has no end"),
            Some(_) => self.farewell(now, id, Farewell::TooSlow),
            None => self.end_unrecognised(now, id, NOT_UNDERSTOOD),
        }
    }

    /// Who has said nothing that could be understood gets a line for people, if it can be told anything.
    fn end_unrecognised(&mut self, now: Now, id: ConnectionId, line: &[u8]) {
        if self.connections.get(id).is_some_and(|found| !found.is_handshaking()) {
            self.answer(id, Encoded::alone(line.to_vec()));
        }
        self.end(now, id, Close::Forced);
    }

    /// Too many are there: one goes, and is told, if it can be.
    pub(super) fn turn_away(&mut self, now: Now, id: ConnectionId) {
        if self.crowd_told.is_none_or(|told| now.instant.since(told) >= TELL_OF_A_CROWD_EVERY) {
            self.crowd_told = Some(now.instant);
            log::warn!("too many connections on which nobody has logged in: some of them are closed");
        }
        let Some(connection) = self.connections.get(id) else { return };
        match (connection.stage, &connection.conversation) {
            (Stage::Strange, Some(_)) => self.farewell(now, id, Farewell::TooMany),
            (Stage::Strange, None) => self.end_unrecognised(now, id, TOO_MANY),
            // It has had its farewell.
            _ => self.drop_connection(id),
        }
    }

    /// No more sessions fit, and whoever only lingers gives way: else one account that comes and goes, and does not close, takes
    /// everybody's room. Comes back: whether there was one.
    pub(super) fn one_leaves(&mut self) -> bool {
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

    pub(super) fn tell_of_fullness(&mut self, now: Now) {
        if self.full_told.is_none_or(|told| now.instant.since(told) >= TELL_OF_A_CROWD_EVERY) {
            self.full_told = Some(now.instant);
            log::warn!("{} sessions are there, and no more fit: who comes is turned away", self.members);
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

/// Where something is written. Where that fails the connection has too, which the next read tells.
fn write_at_once(stream: &impl Stream) {
    if let Err(error) = stream.write_at_once() {
        log::debug!("writes to a connection may be held back: {error}");
    }
}
