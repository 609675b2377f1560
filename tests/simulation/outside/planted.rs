//! Bugs planted in what the server hears and says by datagrams, in its log-ons and in its chats.

use std::net::SocketAddr;

use chatd::hub::challenge::SessionKey;
use chatd::hub::effect::{Close, Effect, Event, LogInFailure, LogOnAnswer, Outbox, Recipients, Refusal, Reply};
use chatd::hub::id::{ConnectionId, Endpoint, PeerAddress};
use chatd::hub::input::{Input, LogOn, Peer, Request};
use chatd::hub::time::LocalTime;
use chatd::wire::datagram::request::Server;
use chatd::wire::datagram::{self, Notice};
use chatd::wire::named::Named;

use super::chats::Here;
use super::desk::Desk;
use super::{Lent, OWN_DATAGRAMS};
use crate::classic::datagram::{Python, Writer, sealed};
use crate::datagrams::{Datagram, Origin};
use crate::plant::Plant;

/// Where attackers are who can be nowhere else.
pub const ELSEWHERE: [u8; 4] = [10, 0, 3, 1];

/// What a bug remembers of a log-on.
#[derive(Default)]
pub struct Bent {
    /// Where the last HELLO came from.
    hello: Option<SocketAddr>,
    /// Where the step that the hub was told last came from.
    real: Option<SocketAddr>,
    expected: Option<PeerAddress>,
}

impl Bent {
    /// The hub is told this next.
    pub fn tells(&mut self, plant: Plant, here: &Here, input: &mut Input) {
        match (plant, input) {
            (Plant::ChallengesAreAnybodys, Input::LogOn { from, step }) => {
                self.real = Some(from.address);
                match step {
                    LogOn::Hello(_) => self.hello = Some(from.address),
                    LogOn::Response { .. } => from.address = self.hello.unwrap_or(from.address),
                }
            }
            (Plant::AskingAgainIsAnew, Input::LogOn { from, step: LogOn::Hello(_) }) => {
                self.real = Some(from.address);
                if self.hello.replace(from.address) == Some(from.address) {
                    from.address.set_port(from.address.port() ^ 1);
                }
            }
            (Plant::ExpectedFromAnywhere, Input::Connected { peer: Peer::Stranger { address, .. }, .. })
                if address.disclose() == std::net::IpAddr::from(ELSEWHERE) =>
            {
                *address = self.expected.unwrap_or(*address);
            }
            (Plant::SaidToAnother, Input::Request { request, .. }) => {
                let Request::Say(text) = request else { return };
                if let Some((user, _)) = here.values().next() {
                    let (to, text) = (user.clone(), text.clone());
                    *request = Request::Message { to, text, counter: None, receipt: false };
                }
            }
            _ => {}
        }
    }

    /// What comes of it.
    pub fn observes(&mut self, plant: Plant, desk: &Desk, outbox: &mut Outbox, from: usize) {
        let real = self.real.take();
        let mut more = Vec::new();
        let counted = outbox.effects[from..].iter().any(|effect| matches!(effect, Effect::LogOnFailed { .. }));
        for effect in &mut outbox.effects[from..] {
            match (plant, effect) {
                (Plant::ChallengesAreAnybodys | Plant::AskingAgainIsAnew, Effect::LogOn { to, .. }) => {
                    to.address = real.unwrap_or(to.address);
                }
                (Plant::ChallengesAreAnybodys, Effect::Expect { from, .. }) => {
                    *from = real.map_or(*from, |real| PeerAddress::of(real.ip()));
                }
                (Plant::ResponsesCountTwice, Effect::LogOn { to, answer: LogOnAnswer::Failed, .. }) if !counted => {
                    more.push(Effect::LogOnFailed { from: *to, why: LogInFailure::WrongPassword });
                }
                (Plant::ExpectedFromAnywhere, Effect::Expect { from, challenge, key }) => {
                    self.expected = Some(*from);
                    let from = PeerAddress::of(ELSEWHERE.into());
                    more.push(Effect::Expect { from, challenge: *challenge, key: key.clone() });
                }
                (Plant::ExpectedForEver, Effect::ExpectNoMore { from, .. }) => *from = PeerAddress::of([0; 4].into()),
                (Plant::BusyIsNotChecked, Effect::Reply { answer, .. }) => {
                    if let Err(Refusal::Unreachable(peer)) = answer {
                        *answer = Ok(Reply::ChatStarted { id: LocalTime::from_number(1), peer: peer.clone() });
                    }
                }
                (Plant::ChatsOutliveTheirSides, Effect::Event { to, event: Event::ChatEnded { .. }, .. }) => {
                    *to = Recipients::Many(0..0);
                }
                (Plant::EndsAreToldTwice, effect @ Effect::Event { event: Event::ChatEnded { .. }, .. }) => {
                    more.push(effect.clone());
                }
                (Plant::FailedLogInsDisplace, Effect::LogInFailed { connection, .. }) => {
                    let older = desk.lodgers.get(connection).and_then(|lodger| desk.at(lodger.at));
                    more.extend(older.map(|connection| Effect::Close { connection, how: Close::Forced }));
                }
                _ => {}
            }
        }
        outbox.effects.append(&mut more);
    }
}

/// A log-in that has failed ends no session but its own.
pub fn check_failed(desk: &Desk, outbox: &Outbox, from: usize) -> Option<&'static str> {
    let effects = &outbox.effects[from..];
    let failed = |effect: &Effect| match effect {
        Effect::LogInFailed { connection, .. } => Some(*connection),
        _ => None,
    };
    let id: ConnectionId = effects.iter().find_map(failed).filter(|id| desk.lodgers.contains_key(id))?;
    let ends_another = |effect: &Effect| matches!(effect, Effect::Close { connection, .. } if *connection != id);
    effects.iter().any(ends_another).then_some("14: a log-in that has failed has ended another session")
}

/// A datagram as the server seems to receive it.
pub fn received(plant: Plant, desk: &Desk, datagram: &mut Datagram) {
    let server = Server { host: "10.0.255.1", port: OWN_DATAGRAMS.port() };
    let request = datagram::Request::parse(&datagram.bytes);
    match (plant, request) {
        (Plant::AnyAcknowledgementCounts, Ok((datagram::Request::Acknowledgement { text, .. }, _))) => {
            if let Some(sender) = desk.sender_under_way(datagram.client) {
                let (sender, text) = (Named::parse(sender), text.clone());
                datagram.bytes = datagram::Request::Acknowledgement { sender, text }.write(&server).swap_remove(0);
            }
        }
        (Plant::NamesAreNotChecked, Ok((datagram::Request::Message { to, text, .. }, _))) => {
            if let Some(user) = desk.user_at(datagram.client) {
                let from = Named::User(user.clone());
                datagram.bytes = datagram::Request::Message { from, to, text }.write(&server).swap_remove(0);
            }
        }
        (Plant::SourcesAreNotChecked, Ok((datagram::Request::Message { from, .. }, _))) => {
            let at = from.user().and_then(|user| desk.address_of(user));
            datagram.client = at.unwrap_or(datagram.client);
        }
        (Plant::DigestsAreNotChecked, Err(datagram::Unread::WrongDigest)) => {
            let dict = str::from_utf8(&datagram.bytes).ok().and_then(|text| text.strip_prefix('['));
            if let Some((dict, _)) = dict.and_then(|text| text.rsplit_once(", '")) {
                datagram.bytes = sealed(dict);
            }
        }
        _ => {}
    }
}

/// A datagram is sent: what else comes of it. Comes back: how often it seems to be sent.
pub fn sent(lent: &mut Lent, to: Endpoint, bytes: &[u8]) -> usize {
    match (lent.plant, Notice::parse(bytes)) {
        (Plant::ShownWhenSent, Ok(Notice::Message { from, .. })) => {
            let writer = Writer { python: Python::Two, server: OWN_DATAGRAMS };
            let bytes = writer.acknowledgement(from.as_str(), "received");
            let (now, client) = (lent.now, to.address);
            let datagram = Datagram { client, to_server: true, bytes, origin: Origin::Said, sent: now, came: now };
            lent.datagrams.arrived.push_back(datagram);
            lent.datagrams.edge = true;
            1
        }
        (Plant::SentAgainAtOnce, Ok(Notice::Message { .. })) => 2,
        (Plant::ErrorsHaveNoBound, Ok(Notice::Error(_))) => 8,
        _ => 1,
    }
}

/// What is written to a session, ciphered from where the last message ended.
pub fn carried_over(key: &SessionKey, position: usize, bytes: &[u8]) -> Vec<u8> {
    let plain = key.decipher(bytes).unwrap_or_default();
    let mut out = Vec::new();
    key.encipher(&format!("{}{plain}", " ".repeat(position % SessionKey::DIGITS)), &mut out);
    out.split_off(position % SessionKey::DIGITS)
}
