//! The rules by their values: exact outputs, and nothing more. No socket, no clock.

mod called;
mod consent;
mod consent_called;
mod consent_laws;
mod conversation;
mod conversation_laws;
mod copies;
mod delivery;
mod digest;
mod guests;
mod guests_laws;
mod log_in;
mod log_on;
mod log_on_laws;
mod membership;
mod membership_laws;
mod password;
mod presence;
mod rate;
mod receipts;
mod status;
mod storage;

use std::sync::Arc;
use std::time::Duration;

use super::change::{Change, Snapshot};
use super::credentials::{Credential, Password};
use super::effect::{Answer, Effect, Event, IfLost, Outbox, Recipients, Refusal, Reply, ResumeToken};
use super::id::{ConnectionId, DeviceId, Number, PeerAddress, RequestId};
use super::input::{DeviceClaim, Input, Mechanism, Peer, PeerPort, Request};
use super::log_in::Proved;
use super::message::Message;
use super::name::UserName;
use super::presence::Manner;
use super::scram::{ChannelBinding, ClientExchange, ClientFinal, ClientFirst, Secret, StoredKeys};
use super::text::Text;
use super::time::{Instant, Now, WallTime};
use super::{Config, Hub};

/// A hub, and the time.
struct World {
    hub: Hub,
    now: Now,
    next_slot: u32,
    requests: u64,
    /// The token of the last exchange, as the client has it.
    derived: Option<ResumeToken>,
}

/// What came of one input.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    effects: Vec<Effect>,
    recipients: Vec<ConnectionId>,
    changes: Vec<Change>,
}

const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

fn text(text: &str) -> Text {
    Text::parse(text).unwrap()
}

fn device(n: u8) -> DeviceId {
    DeviceId::from_bytes([n; 16])
}

/// Where clients are called.
fn port() -> PeerPort {
    PeerPort::parse(4711).unwrap()
}

fn credentials() -> Vec<Credential> {
    NAMES.iter().map(|user| Credential::new(name(user), format!("{user}'s password"))).collect()
}

/// What is kept of a password, for tests that never log in with it.
fn keys(password: &str) -> StoredKeys {
    StoredKeys::of(&Secret::salted(password, &[], 1))
}

/// Of encrypted connections.
fn binding() -> ChannelBinding {
    ChannelBinding([9; ChannelBinding::BYTES])
}

fn config() -> Config {
    Config { scram_iterations: 1, messages_per_second: None, ..Config::default() }
}

impl World {
    /// With accounts for `NAMES`.
    fn new() -> World {
        World::with(config(), Snapshot::default())
    }

    /// With accounts for `NAMES` whose passwords everybody knows.
    fn public() -> World {
        let mut world = World::empty(config(), Snapshot::default());
        let outcome = world.input(Input::Accounts { credentials: credentials(), public: true });
        world.derive(outcome);
        world
    }

    fn with(config: Config, snapshot: Snapshot) -> World {
        let mut world = World::empty(config, snapshot);
        world.read_accounts(credentials());
        world
    }

    /// Without accounts.
    fn empty(config: Config, snapshot: Snapshot) -> World {
        let now =
            Now { instant: Instant::from_micros(1), wall: WallTime::from_millis(1_700_000_000_000), ..Now::default() };
        let hub = Hub::new(config, [7; 32], snapshot, now, &mut Outbox::new());
        World { hub, now, next_slot: 0, requests: 0, derived: None }
    }

    fn read_accounts(&mut self, credentials: Vec<Credential>) -> Outcome {
        let outcome = self.input(Input::Accounts { credentials, public: false });
        self.derive(outcome)
    }

    /// Does what the worker would do, until nothing is left to do.
    fn derive(&mut self, mut outcome: Outcome) -> Outcome {
        while let Some(index) = outcome.effects.iter().position(|effect| matches!(effect, Effect::Derive { .. })) {
            let Effect::Derive { ticket, derivations } = outcome.effects.remove(index) else { unreachable!() };
            let verifiers = derivations.iter().map(|job| job.run()).collect();
            let next = self.input(Input::Derived { ticket, verifiers });
            outcome.effects.extend(next.effects);
            outcome.recipients.extend(next.recipients);
            outcome.changes.extend(next.changes);
        }
        outcome
    }

    fn input(&mut self, input: Input) -> Outcome {
        let mut out = Outbox::new();
        self.hub.handle(self.now, input, &mut out);
        self.hub.check_invariants();
        Outcome { effects: out.effects, recipients: out.recipients, changes: out.changes }
    }

    fn pass(&mut self, time: Duration) -> Outcome {
        self.now.instant = self.now.instant + time;
        self.now.wall = self.now.wall + time;
        let mut out = Outbox::new();
        self.hub.handle_timeout(self.now, &mut out);
        self.hub.check_invariants();
        Outcome { effects: out.effects, recipients: out.recipients, changes: out.changes }
    }

    fn connect(&mut self) -> ConnectionId {
        self.connect_from([127, 0, 0, 1])
    }

    fn connect_from(&mut self, address: [u8; 4]) -> ConnectionId {
        let peer = Peer::Stranger { address: PeerAddress::of(address.into()), binding: None, may_sign_up: true };
        self.connect_as(peer)
    }

    /// An encrypted connection, with the binding that `binding` gives.
    fn connect_encrypted(&mut self) -> ConnectionId {
        let address = PeerAddress::of([127, 0, 0, 1].into());
        self.connect_as(Peer::Stranger { address, binding: Some(binding()), may_sign_up: true })
    }

    fn connect_as(&mut self, peer: Peer) -> ConnectionId {
        self.next_slot += 1;
        let connection = ConnectionId { slot: self.next_slot, generation: 0 };
        let expected = match peer {
            Peer::Stranger { .. } => vec![],
            Peer::Operator => vec![Effect::Authenticated { connection }],
        };
        let outcome = self.input(Input::Connected { connection, peer });
        assert_eq!(outcome, Outcome { effects: expected, ..Outcome::default() });
        connection
    }

    fn ask(&mut self, connection: ConnectionId, request: Request) -> Outcome {
        self.requests += 1;
        self.input(Input::Request { connection, id: Some(self.id()), request })
    }

    /// The id of the last request.
    fn id(&self) -> RequestId {
        RequestId(self.requests)
    }

    /// The two halves of a log-in; comes back: what came of the second.
    fn exchange(
        &mut self,
        connection: ConnectionId,
        user: &str,
        mechanism: Mechanism,
        device: Option<DeviceClaim>,
        secret: impl FnOnce(&[u8], u32) -> Secret,
    ) -> Outcome {
        self.exchange_bound(connection, user, mechanism, device, None, secret)
    }

    /// The same, bound to what the client takes for its connection.
    fn exchange_bound(
        &mut self,
        connection: ConnectionId,
        user: &str,
        mechanism: Mechanism,
        device: Option<DeviceClaim>,
        binding: Option<ChannelBinding>,
        secret: impl FnOnce(&[u8], u32) -> Secret,
    ) -> Outcome {
        let client = ClientExchange::new(&name(user), b"client nonce", binding);
        let first = ClientFirst::parse(&client.message()).unwrap();
        let outcome = self.ask(connection, Request::LogIn { mechanism, first, device });
        let [Effect::Reply { answer: Ok(Reply::Challenge { message, .. }), .. }] = &outcome.effects[..] else {
            panic!("no challenge: {outcome:?}");
        };
        assert_eq!(outcome.changes, []);
        let challenge = client.challenge(message).unwrap();
        let (proof, _, token) = client.prove(&challenge, &secret(&challenge.salt, challenge.iterations));
        self.derived = Some(token);
        self.ask(connection, Request::Authenticate(ClientFinal::parse(&proof).unwrap()))
    }

    /// The token of the last exchange; `outcome` is what came of that.
    fn token(&self, outcome: &Outcome) -> ResumeToken {
        let valid = |effect: &Effect| matches!(effect, Effect::Event { event: Event::Token, .. });
        assert!(outcome.effects.iter().any(valid), "{outcome:?}");
        self.derived.clone().expect("an exchange")
    }

    fn try_password(&mut self, connection: ConnectionId, user: &str, password: &str) -> Outcome {
        self.exchange(connection, user, Mechanism::Password, None, |salt, i| Secret::salted(password, salt, i))
    }

    fn claim(&self, id: u8, shown: u64) -> DeviceClaim {
        DeviceClaim { id: device(id), shown: Some((self.hub.accounts.log(), Number(shown))) }
    }

    /// Logs in as a device; `None`: without one.
    fn log_in_as(&mut self, user: &str, claim: Option<DeviceClaim>) -> (ConnectionId, Outcome) {
        let connection = self.connect();
        let password = format!("{user}'s password");
        let outcome =
            self.exchange(connection, user, Mechanism::Password, claim, |salt, i| Secret::salted(&password, salt, i));
        assert!(outcome.logged_in(), "{outcome:?}");
        (connection, outcome)
    }

    fn log_in(&mut self, user: &str, device: u8) -> ConnectionId {
        let claim = self.claim(device, 0);
        self.log_in_as(user, Some(claim)).0
    }

    fn log_in_once(&mut self, user: &str) -> ConnectionId {
        self.log_in_as(user, None).0
    }

    /// The request with which a client that is called logs in.
    fn by_password(user: &str, password: &str) -> Request {
        Request::LogInByPassword { name: name(user), password: Password::parse(password).ok(), port: port() }
    }

    /// What came of a log-in with the password itself, once the worker is done with it.
    fn try_by_password(&mut self, connection: ConnectionId, user: &str, password: &str) -> Outcome {
        let outcome = self.ask(connection, World::by_password(user, password));
        self.derive(outcome)
    }

    /// Logs in a client that is called.
    fn come_called(&mut self, user: &str) -> (ConnectionId, Outcome) {
        let connection = self.connect();
        let outcome = self.try_by_password(connection, user, &format!("{user}'s password"));
        assert!(outcome.welcomed(), "{outcome:?}");
        (connection, outcome)
    }

    fn called(&mut self, user: &str) -> ConnectionId {
        self.come_called(user).0
    }

    /// What a client that is called has to say, from where it has logged in.
    fn post(&mut self, user: &str, request: Request) -> Outcome {
        self.post_from([127, 0, 0, 1], user, request)
    }

    fn post_from(&mut self, address: [u8; 4], user: &str, request: Request) -> Outcome {
        self.requests += 1;
        let from = PeerAddress::of(address.into());
        self.input(Input::Posted { from, user: name(user), id: Some(self.id()), request })
    }

    fn shown(&mut self, connection: ConnectionId, number: u64) -> Outcome {
        self.input(Input::Shown { connection, number: Number(number), words: None })
    }

    /// A guest comes in.
    fn come_guest(&mut self, guest: &str) -> (ConnectionId, Outcome) {
        let connection = self.connect();
        let outcome = self.ask(connection, Request::Enter(name(guest)));
        assert!(outcome.welcomed(), "{outcome:?}");
        (connection, outcome)
    }

    fn guest(&mut self, guest: &str) -> ConnectionId {
        self.come_guest(guest).0
    }

    /// A session of this manner begins, however it was proved.
    fn begin(&mut self, user: &str, manner: Manner, device: DeviceId) -> (ConnectionId, Outcome) {
        let (connection, address) = (self.connect(), PeerAddress::of([127, 0, 0, 1].into()));
        let user = self.hub.accounts.find(&name(user)).unwrap();
        let device = Some(DeviceClaim { id: device, shown: None });
        let proved =
            Proved { connection, id: None, user, manner, device, address, finished: None, if_lost: IfLost::Send };
        let mut out = Outbox::new();
        self.hub.begin_session(self.now, proved, &mut out);
        self.hub.check_invariants();
        (connection, Outcome { effects: out.effects, recipients: out.recipients, changes: out.changes })
    }

    /// A client of the `session` protocol is there.
    fn in_session(&mut self, user: &str) -> ConnectionId {
        self.begin(user, Manner::Session, DeviceId::SESSION).0
    }

    /// A client of the `datagram` protocol is there.
    fn by_datagrams(&mut self, user: &str) -> ConnectionId {
        self.begin(user, Manner::Correspondent, DeviceId::DATAGRAM).0
    }

    fn message(&mut self, from: ConnectionId, to: &str, body: &str) -> Outcome {
        self.ask(from, Request::Message { to: name(to), text: text(body), counter: None, receipt: false })
    }

    fn broadcast(&mut self, from: ConnectionId, body: &str) -> Outcome {
        self.ask(from, Request::Broadcast { text: text(body), counter: None })
    }

    fn acknowledge(&mut self, connection: ConnectionId, number: u64) -> Outcome {
        self.ask(connection, Request::Acknowledge(Number(number)))
    }

    fn block(&mut self, by: ConnectionId, other: &str) -> Outcome {
        self.ask(by, Request::Block(name(other)))
    }

    fn close(&mut self, connection: ConnectionId) -> Outcome {
        self.input(Input::Closed { connection })
    }

    /// The reply to the last request.
    fn reply(&self, connection: ConnectionId, answer: Answer, if_lost: IfLost) -> Effect {
        Effect::Reply { connection, id: Some(self.id()), answer, if_lost }
    }

    fn refusal(&self, connection: ConnectionId, refusal: Refusal) -> Outcome {
        let effects = vec![self.reply(connection, Err(refusal), IfLost::Send)];
        Outcome { effects, ..Outcome::default() }
    }
}

impl Outcome {
    fn answers(&self) -> Vec<&Answer> {
        self.effects
            .iter()
            .filter_map(|effect| if let Effect::Reply { answer, .. } = effect { Some(answer) } else { None })
            .collect()
    }

    fn answer(&self) -> &Answer {
        match self.answers()[..] {
            [answer] => answer,
            _ => panic!("not one answer: {self:?}"),
        }
    }

    fn logged_in(&self) -> bool {
        self.answers().iter().any(|answer| matches!(answer, Ok(Reply::LoggedIn { .. })))
    }

    /// Whether somebody has come in who had nothing to be proved to.
    fn welcomed(&self) -> bool {
        self.answers().iter().any(|answer| matches!(answer, Ok(Reply::Welcome { .. })))
    }

    /// The events for one connection, in order.
    fn events_for(&self, connection: ConnectionId) -> Vec<&Event> {
        let is_for = |to: &Recipients| match to {
            Recipients::One(one) => *one == connection,
            Recipients::Many(range) => self.recipients[range.clone()].contains(&connection),
        };
        self.effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Event { to, event, .. } if is_for(to) => Some(event),
                _ => None,
            })
            .collect()
    }

    /// The texts of the messages for one connection, in order.
    fn texts_for(&self, connection: ConnectionId) -> Vec<&str> {
        self.events_for(connection)
            .into_iter()
            .filter_map(|event| if let Event::Message(message) = event { Some(message.text.as_str()) } else { None })
            .collect()
    }

    fn message(&self) -> Arc<Message> {
        let message = self.changes.iter().find_map(|change| match change {
            Change::Message(message) => Some(Arc::clone(message)),
            _ => None,
        });
        message.expect("a message")
    }
}

fn event(to: ConnectionId, event: Event, if_lost: IfLost) -> Effect {
    Effect::Event { to: Recipients::One(to), event, if_lost }
}
