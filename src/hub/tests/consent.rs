use super::*;
use crate::hub::change::ConsentRow;
use crate::hub::consent::{ANSWER_WITHIN, ASK_AGAIN_AFTER, CONNECT_WITHIN, CONSENTS_MAX, QUESTIONS_MAX};
use crate::hub::credentials::Password;
use crate::hub::effect::{AskOver, Close, CloseReason, NoAddress, Pending, PrivacyList};
use crate::hub::fingerprint::Fingerprint;
use crate::hub::id::UserId;
use crate::hub::input::{Offer, Operation, PeerPort};

const MICROSECOND: Duration = Duration::from_micros(1);
/// Heartbeats are not what these tests are about.
pub(super) const NEVER: Duration = Duration::from_secs(1_000_000);
/// More users than anybody may ask or say yes to.
const CROWD: usize = CONSENTS_MAX + 2;

/// What the client on a connection shows when it comes to somebody.
pub(super) fn shown_by(connection: ConnectionId) -> Fingerprint {
    Fingerprint([connection.slot as u8; Fingerprint::BYTES])
}

/// Where the client on a connection can be reached.
pub(super) fn offer_of(connection: ConnectionId) -> Offer {
    let port = PeerPort::parse(5000 + u64::from(connection.slot)).unwrap();
    Offer::Encrypted { port, certificate: Fingerprint([0x80 ^ connection.slot as u8; Fingerprint::BYTES]) }
}

/// Every connection comes from an address of its own.
pub(super) fn address_of(connection: ConnectionId) -> PeerAddress {
    PeerAddress::of([10, 0, (connection.slot >> 8) as u8, connection.slot as u8].into())
}

fn in_crowd(n: usize) -> String {
    format!("u{n}")
}

/// A hub, for `NAMES` and a crowd.
pub(super) struct Circle {
    pub(super) world: World,
}

impl Circle {
    pub(super) fn new() -> Circle {
        Circle::with(Config { heartbeat_timeout: NEVER, ..config() }, Snapshot::default())
    }

    pub(super) fn with(config: Config, snapshot: Snapshot) -> Circle {
        let mut world = World::empty(config, snapshot);
        let crowd = (0..CROWD).map(|n| Credential::new(name(&in_crowd(n)), format!("{}'s password", in_crowd(n))));
        world.read_accounts(credentials().into_iter().chain(crowd).collect());
        Circle { world }
    }

    /// A log-in on an encrypted connection; comes back: what came of it too.
    pub(super) fn log_in(&mut self, user: &str, device: Option<u8>) -> (ConnectionId, Outcome) {
        self.log_in_on(user, device, Some(binding()))
    }

    pub(super) fn log_in_on(
        &mut self,
        user: &str,
        device: Option<u8>,
        over: Option<ChannelBinding>,
    ) -> (ConnectionId, Outcome) {
        let connection = ConnectionId { slot: self.world.next_slot + 1, generation: 0 };
        let peer = Peer::Stranger { address: address_of(connection), binding: over.clone(), may_sign_up: false };
        assert_eq!(self.world.connect_as(peer), connection);
        let claim = device.map(|device| self.world.claim(device, 0));
        let password = format!("{user}'s password");
        let secret = |salt: &[u8], i| Secret::salted(&password, salt, i);
        let outcome = self.world.exchange_bound(connection, user, Mechanism::Password, claim, over, secret);
        assert!(outcome.logged_in(), "{outcome:?}");
        (connection, outcome.flat())
    }

    /// A device, by TLS.
    pub(super) fn come(&mut self, user: &str, device: u8) -> ConnectionId {
        self.log_in(user, Some(device)).0
    }

    /// A command, by TLS.
    pub(super) fn once(&mut self, user: &str) -> ConnectionId {
        self.log_in(user, None).0
    }

    /// A device, in the clear.
    pub(super) fn plain(&mut self, user: &str, device: u8) -> ConnectionId {
        self.log_in_on(user, Some(device), None).0
    }

    pub(super) fn id(&self, user: &str) -> UserId {
        self.world.hub.accounts.find_ever(&name(user)).unwrap()
    }

    pub(super) fn request(&mut self, connection: ConnectionId, request: Request) -> Outcome {
        self.world.ask(connection, request).flat()
    }

    pub(super) fn ask(&mut self, connection: ConnectionId, user: &str) -> Outcome {
        self.request(connection, Request::AskAddress { user: name(user), certificate: Some(shown_by(connection)) })
    }

    pub(super) fn yes(&mut self, connection: ConnectionId, user: &str) -> Outcome {
        self.request(connection, Request::Consent { user: name(user), offer: Some(offer_of(connection)) })
    }

    pub(super) fn no(&mut self, connection: ConnectionId, user: &str) -> Outcome {
        self.request(connection, Request::Consent { user: name(user), offer: None })
    }

    pub(super) fn revoke(&mut self, connection: ConnectionId, user: &str) -> Outcome {
        self.request(connection, Request::Revoke(name(user)))
    }

    pub(super) fn block(&mut self, connection: ConnectionId, user: &str) -> Outcome {
        self.request(connection, Request::Block(name(user)))
    }

    pub(super) fn unblock(&mut self, connection: ConnectionId, user: &str) -> Outcome {
        self.request(connection, Request::Unblock(name(user)))
    }

    pub(super) fn close(&mut self, connection: ConnectionId) -> Outcome {
        self.world.close(connection).flat()
    }

    pub(super) fn pass(&mut self, time: Duration) -> Outcome {
        self.world.pass(time).flat()
    }

    pub(super) fn operate(&mut self, operator: ConnectionId, operation: Operation) -> Outcome {
        let outcome = self.world.ask(operator, Request::Operate(operation));
        let outcome = self.world.derive(outcome).flat();
        assert!(outcome.answers().iter().all(|answer| answer.is_ok()), "{outcome:?}");
        outcome
    }

    pub(super) fn lose(&mut self, changes: Vec<Change>) -> Outcome {
        self.world.input(Input::CommitFailed(changes)).flat()
    }

    pub(super) fn privacy(&mut self, connection: ConnectionId) -> PrivacyList {
        let outcome = self.request(connection, Request::Privacy);
        let [Effect::Reply { answer: Ok(Reply::Privacy(list)), if_lost, .. }] = &outcome.effects[..] else {
            panic!("{outcome:?}");
        };
        // As firm as the blocks and the consents.
        assert_eq!((*if_lost, &outcome.changes[..]), (IfLost::Refuse, &[][..]));
        PrivacyList::clone(list)
    }

    /// The yes of `of` to `to`, given now.
    pub(super) fn row(&self, of: &str, to: &str) -> ConsentRow {
        ConsentRow { of: self.id(of), to: self.id(to), until: self.world.now.wall + CONNECT_WITHIN }
    }

    pub(super) fn reply(&self, connection: ConnectionId, reply: Reply, if_lost: IfLost) -> Effect {
        self.world.reply(connection, Ok(reply), if_lost)
    }

    pub(super) fn refusal(&self, connection: ConnectionId, refusal: Refusal) -> Outcome {
        self.world.refusal(connection, refusal)
    }

    /// Everything that was made of a question or a yes has gone again.
    pub(super) fn is_empty(&self) -> bool {
        self.world.hub.consents.is_empty()
    }
}

impl Outcome {
    /// The same with an event for many as one for each.
    pub(super) fn flat(self) -> Outcome {
        let Outcome { effects, recipients, changes } = self;
        let to_each = |effect: Effect| match effect {
            Effect::Event { to: Recipients::Many(range), event: told, if_lost } => {
                let each = recipients[range].iter();
                each.map(|&connection| event(connection, told.clone(), if_lost)).collect()
            }
            other => vec![other],
        };
        Outcome { effects: effects.into_iter().flat_map(to_each).collect(), recipients: Vec::new(), changes }
    }

    /// Without what others than this file are about: who comes and goes, and what is kept of that.
    pub(super) fn of_consent(mut self) -> Outcome {
        self.effects.retain(|effect| match effect {
            Effect::Event { event, .. } => matches!(
                event,
                Event::Asks { .. }
                    | Event::AskOver { .. }
                    | Event::Address { .. }
                    | Event::NoAddress { .. }
                    | Event::Revoked(_)
            ),
            _ => false,
        });
        self.changes.retain(|change| matches!(change, Change::Consent { .. } | Change::ConsentOver { .. }));
        self
    }
}

pub(super) fn of(effects: Vec<Effect>, changes: Vec<Change>) -> Outcome {
    Outcome { effects, changes, ..Outcome::default() }
}

pub(super) fn of_changes(changes: Vec<Change>) -> Outcome {
    of(vec![], changes)
}

/// A yes to who asked on `asker`, in place of `before`.
pub(super) fn given(row: ConsentRow, before: Option<ConsentRow>, waits: ConnectionId) -> Change {
    Change::Consent { row, before, waits }
}

pub(super) fn nothing() -> Outcome {
    Outcome::default()
}

/// The question that is asked on `asker`, as `device` hears it.
pub(super) fn asks(device: ConnectionId, user: &str, asker: ConnectionId, left: Duration) -> Effect {
    let told = Event::Asks { user: name(user), certificate: Some(shown_by(asker)), answer_within: left };
    event(device, told, IfLost::Send)
}

pub(super) fn ask_over(device: ConnectionId, user: &str, why: AskOver) -> Effect {
    event(device, Event::AskOver { user: name(user), why }, IfLost::Send)
}

/// As a part of an answer that must be stored.
pub(super) fn ask_answered(device: ConnectionId, user: &str) -> Effect {
    event(device, Event::AskOver { user: name(user), why: AskOver::Answered }, IfLost::Drop)
}

/// A yes to `user` counts no more, which whoever listens for them has to know.
pub(super) fn taken_back(device: ConnectionId, user: &str) -> Effect {
    event(device, Event::AskOver { user: name(user), why: AskOver::Revoked }, IfLost::Drop)
}

pub(super) fn no_address(asker: ConnectionId, user: &str, why: NoAddress) -> Effect {
    event(asker, Event::NoAddress { user: name(user), why }, IfLost::Send)
}

/// What the asker learns of who said yes on `answering`.
pub(super) fn address(asker: ConnectionId, user: &str, answering: ConnectionId) -> Effect {
    let Offer::Encrypted { port, certificate } = offer_of(answering) else { unreachable!() };
    let (user, address) = (name(user), address_of(answering));
    let told = Event::Address { user, address, port, certificate: Some(certificate), connect_within: CONNECT_WITHIN };
    event(asker, told, IfLost::Drop)
}

pub(super) fn revoked(connection: ConnectionId, user: &str) -> Effect {
    event(connection, Event::Revoked(name(user)), IfLost::Drop)
}

pub(super) fn asked(user: &str) -> Reply {
    Reply::Asked { user: name(user), answer_within: ANSWER_WITHIN }
}

/// What who said yes learns of the asker.
pub(super) fn consented(user: &str, asker: ConnectionId) -> Reply {
    let (user, address, certificate) = (name(user), address_of(asker), Some(shown_by(asker)));
    Reply::Consented { user, address, certificate, connect_within: CONNECT_WITHIN }
}

pub(super) fn pending(user: &str, left: Duration) -> Pending {
    Pending { user: name(user), left }
}

#[test]
fn a_question_goes_to_every_device_that_could_answer_and_tells_no_address() {
    let mut circle = Circle::new();
    let alice = circle.come("alice", 1);
    let (phone, desk) = (circle.come("bob", 1), circle.come("bob", 2));
    circle.plain("bob", 3);
    circle.once("bob");
    circle.come("carol", 1);
    let outcome = circle.ask(alice, "bob");
    let told = vec![
        asks(phone, "alice", alice, ANSWER_WITHIN),
        asks(desk, "alice", alice, ANSWER_WITHIN),
        circle.reply(alice, asked("bob"), IfLost::Send),
    ];
    assert_eq!(outcome, of(told, vec![]));
}

#[test]
fn the_device_that_says_yes_is_the_one_whose_address_is_given() {
    let mut circle = Circle::new();
    let other = circle.come("alice", 9);
    let alice = circle.come("alice", 1);
    let (phone, desk) = (circle.come("bob", 1), circle.come("bob", 2));
    circle.plain("bob", 3);
    circle.once("bob");
    circle.ask(alice, "bob");
    let outcome = circle.yes(desk, "alice");
    let told = vec![
        address(alice, "bob", desk),
        ask_answered(phone, "alice"),
        circle.reply(desk, consented("alice", alice), IfLost::Refuse),
    ];
    assert_eq!(outcome, of(told, vec![given(circle.row("bob", "alice"), None, alice)]));
    assert_eq!(outcome.events_for(other), Vec::<&Event>::new());
    // The first answer is the one.
    for late in [phone, desk] {
        assert_eq!(circle.no(late, "alice"), circle.refusal(late, Refusal::NotAsked(name("alice"))));
        assert_eq!(circle.yes(late, "alice"), circle.refusal(late, Refusal::NotAsked(name("alice"))));
    }
}

#[test]
fn commands_can_ask_and_answer() {
    let mut circle = Circle::new();
    let (asking, phone) = (circle.once("alice"), circle.come("bob", 1));
    assert_eq!(circle.ask(asking, "bob").effects[0], asks(phone, "alice", asking, ANSWER_WITHIN));
    let answering = circle.once("bob");
    let outcome = circle.yes(answering, "alice");
    let told = vec![
        address(asking, "bob", answering),
        ask_answered(phone, "alice"),
        circle.reply(answering, consented("alice", asking), IfLost::Refuse),
    ];
    assert_eq!(outcome.effects, told);
}

#[test]
fn a_no_tells_nobody_anything_and_nothing_is_stored() {
    let mut circle = Circle::new();
    let alice = circle.come("alice", 1);
    let (phone, desk) = (circle.come("bob", 1), circle.come("bob", 2));
    circle.ask(alice, "bob");
    let outcome = circle.no(desk, "alice");
    let told = vec![
        no_address(alice, "bob", NoAddress::Declined),
        ask_over(phone, "alice", AskOver::Answered),
        circle.reply(desk, Reply::Declined(name("alice")), IfLost::Send),
    ];
    assert_eq!(outcome, of(told, vec![]));
    assert_eq!(circle.yes(desk, "alice"), circle.refusal(desk, Refusal::NotAsked(name("alice"))));
}

#[test]
fn only_who_was_asked_answers_and_only_by_tls() {
    let mut circle = Circle::new();
    let alice = circle.come("alice", 1);
    let (bob, in_the_clear, carol) = (circle.come("bob", 1), circle.plain("bob", 2), circle.come("carol", 1));
    circle.ask(alice, "bob");
    for (connection, user, refusal) in [
        (carol, "alice", Refusal::NotAsked(name("alice"))),
        (alice, "alice", Refusal::NotAsked(name("alice"))),
        (alice, "bob", Refusal::NotAsked(name("bob"))),
        (bob, "carol", Refusal::NotAsked(name("carol"))),
        (bob, "bob", Refusal::NotAsked(name("bob"))),
        (bob, "nobody", Refusal::NoSuchUser(name("nobody"))),
        (in_the_clear, "alice", Refusal::NeedsTls),
        (in_the_clear, "nobody", Refusal::NeedsTls),
    ] {
        assert_eq!(circle.yes(connection, user), circle.refusal(connection, refusal.clone()));
        assert_eq!(circle.no(connection, user), circle.refusal(connection, refusal));
    }
    // The question has outlived all of that.
    assert!(circle.yes(bob, "alice").answer().is_ok());
}

#[test]
fn nobody_does_any_of_it_without_a_log_in() {
    let mut circle = Circle::new();
    let certificate = Some(Fingerprint([0; Fingerprint::BYTES]));
    for connection in [circle.world.connect_encrypted(), circle.world.connect_as(Peer::Operator)] {
        for request in [
            Request::AskAddress { user: name("bob"), certificate },
            Request::Consent { user: name("bob"), offer: None },
            Request::Revoke(name("bob")),
            Request::Privacy,
        ] {
            assert_eq!(circle.request(connection, request), circle.refusal(connection, Refusal::LogInFirst));
        }
    }
}

/// Each holds together with all that stand after it, as far as they can.
#[test]
fn of_several_reasons_against_a_question_the_first_is_told() {
    let mut circle = Circle::new();
    let (alice, in_the_clear) = (circle.come("alice", 1), circle.plain("alice", 2));
    let (carol, bob) = (circle.come("carol", 1), circle.come("bob", 1));
    circle.ask(alice, "bob");
    circle.no(bob, "alice");
    for n in 0..QUESTIONS_MAX {
        circle.come(&in_crowd(n), 1);
        assert!(circle.ask(alice, &in_crowd(n)).answer().is_ok());
    }
    circle.block(alice, "bob");
    circle.block(bob, "alice");
    circle.close(bob);
    let refused = |circle: &mut Circle, connection, user: &str, refusal: Refusal| {
        assert_eq!(circle.ask(connection, user), circle.refusal(connection, refusal));
    };
    for user in ["nobody", "alice", "bob"] {
        refused(&mut circle, in_the_clear, user, Refusal::NeedsTls);
    }
    refused(&mut circle, alice, "nobody", Refusal::NoSuchUser(name("nobody")));
    refused(&mut circle, alice, "Alice", Refusal::CannotAskYourself);
    refused(&mut circle, alice, "bob", Refusal::BlockedByYou(name("bob")));
    circle.unblock(alice, "bob");
    refused(&mut circle, alice, "bob", Refusal::BlockedBy(name("bob")));
    let bob = circle.plain("bob", 2);
    circle.unblock(bob, "alice");
    circle.close(bob);
    refused(&mut circle, alice, "bob", Refusal::Offline(name("bob")));
    circle.once("bob");
    refused(&mut circle, alice, "bob", Refusal::Offline(name("bob")));
    circle.plain("bob", 2);
    refused(&mut circle, alice, "bob", Refusal::CannotBeAsked(name("bob")));
    let bob = circle.come("bob", 1);
    circle.ask(carol, "bob");
    refused(&mut circle, alice, "bob", Refusal::Busy(name("bob")));
    circle.no(bob, "carol");
    refused(&mut circle, alice, "bob", Refusal::AskedLately(name("bob")));
    circle.pass(ASK_AGAIN_AFTER);
    refused(&mut circle, alice, "bob", Refusal::TooManyQuestions);
    refused(&mut circle, alice, "u0", Refusal::AlreadyAsked(name("u0")));
    let other = circle.come("alice", 3);
    refused(&mut circle, other, "u0", Refusal::AlreadyAsked(name("u0")));
}

#[test]
fn a_blocked_user_learns_nothing_of_who_is_there() {
    let mut circle = Circle::new();
    let (alice, bob, carol) = (circle.come("alice", 1), circle.come("bob", 1), circle.come("carol", 1));
    circle.block(bob, "alice");
    let blocked = |circle: &mut Circle| {
        assert_eq!(circle.ask(alice, "bob"), circle.refusal(alice, Refusal::BlockedBy(name("bob"))));
    };
    blocked(&mut circle);
    circle.ask(carol, "bob");
    blocked(&mut circle);
    circle.close(bob);
    blocked(&mut circle);
    circle.plain("bob", 2);
    blocked(&mut circle);
}

#[test]
fn names_are_told_as_their_accounts_spell_them() {
    let mut circle = Circle::new();
    let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
    let spelled = |outcome: &Outcome, user: &str| {
        let told = format!("{outcome:?}");
        assert!(told.contains(user) && !told.contains(&user.to_uppercase()), "{told}");
    };
    spelled(&circle.ask(alice, "BOB"), "bob");
    spelled(&circle.ask(alice, "BOB"), "bob");
    spelled(&circle.yes(bob, "ALICE"), "alice");
    spelled(&circle.yes(bob, "ALICE"), "alice");
    spelled(&circle.revoke(bob, "ALICE"), "alice");
    spelled(&circle.revoke(bob, "ALICE"), "alice");
    circle.ask(alice, "BOB");
    spelled(&circle.no(bob, "ALICE"), "alice");
    spelled(&circle.ask(alice, "BOB"), "bob");
}

#[test]
fn a_question_ends_to_the_microsecond_and_so_does_the_time_until_the_next() {
    let mut circle = Circle::new();
    let alice = circle.come("alice", 1);
    let (phone, desk) = (circle.come("bob", 1), circle.come("bob", 2));
    circle.ask(alice, "bob");
    let end = circle.world.now.instant + ANSWER_WITHIN;
    assert!(circle.world.hub.poll_timeout() <= Some(end));
    assert_eq!(circle.pass(ANSWER_WITHIN - MICROSECOND).of_consent(), nothing());
    let list = circle.privacy(phone);
    assert_eq!(list.asked_by, Some(pending("alice", MICROSECOND)));
    let told = vec![
        no_address(alice, "bob", NoAddress::Expired),
        ask_over(phone, "alice", AskOver::Expired),
        ask_over(desk, "alice", AskOver::Expired),
    ];
    assert_eq!(circle.pass(MICROSECOND).of_consent(), of(told, vec![]));
    assert_eq!(circle.yes(desk, "alice"), circle.refusal(desk, Refusal::NotAsked(name("alice"))));
    circle.pass(ASK_AGAIN_AFTER - MICROSECOND);
    assert_eq!(circle.ask(alice, "bob"), circle.refusal(alice, Refusal::AskedLately(name("bob"))));
    circle.pass(MICROSECOND);
    assert!(circle.ask(alice, "bob").answer().is_ok());
}

#[test]
fn after_a_no_only_who_asked_has_to_wait_and_only_for_that_user() {
    let mut circle = Circle::new();
    let (alice, other) = (circle.come("alice", 1), circle.once("alice"));
    let (bob, carol) = (circle.come("bob", 1), circle.come("carol", 1));
    circle.ask(alice, "bob");
    circle.no(bob, "alice");
    for connection in [alice, other] {
        assert_eq!(circle.ask(connection, "bob"), circle.refusal(connection, Refusal::AskedLately(name("bob"))));
    }
    assert!(circle.ask(alice, "carol").answer().is_ok());
    assert!(circle.ask(carol, "bob").answer().is_ok());
    assert!(circle.no(bob, "carol").answer().is_ok());
    assert!(circle.ask(bob, "alice").answer().is_ok(), "the other way");
    circle.pass(ASK_AGAIN_AFTER - MICROSECOND);
    assert_eq!(circle.ask(alice, "bob"), circle.refusal(alice, Refusal::AskedLately(name("bob"))));
    circle.pass(MICROSECOND);
    assert!(circle.ask(alice, "bob").answer().is_ok());
}

#[test]
fn a_user_is_asked_by_one_at_a_time() {
    let mut circle = Circle::new();
    let (alice, bob, carol) = (circle.come("alice", 1), circle.come("bob", 1), circle.come("carol", 1));
    circle.ask(alice, "bob");
    assert_eq!(circle.ask(carol, "bob"), circle.refusal(carol, Refusal::Busy(name("bob"))));
    assert!(circle.ask(bob, "alice").answer().is_ok(), "who is asked may ask, even the same user");
    circle.yes(bob, "alice");
    assert!(circle.ask(carol, "bob").answer().is_ok(), "who has answered can be asked again");
    assert_eq!(circle.yes(bob, "alice"), circle.refusal(bob, Refusal::NotAsked(name("alice"))));
}

/// How a client of Alice's goes; comes back: what came of it.
type WayToGo = fn(&mut Circle, ConnectionId) -> Outcome;

/// All of them.
fn ways_to_go() -> Vec<(&'static str, WayToGo)> {
    vec![
        ("closed", |circle, alice| circle.close(alice)),
        ("logged out", |circle, alice| circle.request(alice, Request::LogOut)),
        ("displaced", |circle, _| circle.log_in("alice", Some(1)).1),
        ("displaced in the clear", |circle, _| circle.log_in_on("alice", Some(1), None).1),
        ("kicked", |circle, _| {
            let operator = circle.world.connect_as(Peer::Operator);
            circle.request(operator, Request::Operate(Operation::Kick(name("alice"))))
        }),
        ("without an account", |circle, _| {
            let others = credentials().into_iter().filter(|credential| credential.name != name("alice")).collect();
            circle.world.read_accounts(others).flat()
        }),
    ]
}

#[test]
fn when_the_asker_goes_the_question_is_withdrawn_however_they_go() {
    for (how, go) in ways_to_go() {
        let mut circle = Circle::new();
        let alice = circle.come("alice", 1);
        let (phone, desk, carol) = (circle.come("bob", 1), circle.come("bob", 2), circle.come("carol", 1));
        circle.ask(alice, "bob");
        circle.ask(alice, "carol");
        let outcome = go(&mut circle, alice);
        let told = [
            ask_over(phone, "alice", AskOver::Withdrawn),
            ask_over(desk, "alice", AskOver::Withdrawn),
            ask_over(carol, "alice", AskOver::Withdrawn),
        ];
        assert_eq!(outcome.of_consent(), of(told.to_vec(), vec![]), "{how}");
        for device in [phone, desk, carol] {
            assert_eq!(circle.yes(device, "alice"), circle.refusal(device, Refusal::NotAsked(name("alice"))), "{how}");
        }
    }
}

#[test]
fn an_asker_whose_heart_has_stopped_has_gone() {
    let mut circle = Circle::with(config(), Snapshot::default());
    let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
    circle.pass(Duration::from_secs(30));
    circle.ask(alice, "bob");
    circle.pass(Duration::from_secs(1));
    circle.request(bob, Request::Alive);
    let outcome = circle.pass(Duration::from_secs(34));
    assert_eq!(outcome.of_consent(), of(vec![ask_over(bob, "alice", AskOver::Withdrawn)], vec![]));
    // The other way round: who was asked is silent.
    let mut circle = Circle::with(config(), Snapshot::default());
    let (bob, alice) = (circle.come("bob", 1), circle.come("alice", 1));
    circle.ask(alice, "bob");
    circle.pass(Duration::from_secs(30));
    circle.request(alice, Request::Alive);
    let outcome = circle.pass(Duration::from_secs(5));
    assert_eq!(outcome.of_consent(), of(vec![no_address(alice, "bob", NoAddress::Offline)], vec![]));
    assert_eq!(circle.world.hub.presence.session(bob).map(|session| session.user), None);
}

#[test]
fn the_answer_goes_to_the_connection_that_asked_and_to_no_other_of_that_user() {
    let mut circle = Circle::new();
    let (alice, other, bob) = (circle.come("alice", 1), circle.come("alice", 2), circle.come("bob", 1));
    circle.ask(alice, "bob");
    assert_eq!(circle.close(other).of_consent(), nothing(), "another connection of the asker's does not count");
    let outcome = circle.yes(bob, "alice");
    assert_eq!(outcome.effects[0], address(alice, "bob", bob));
    assert_eq!(circle.close(alice).of_consent(), nothing(), "a question that was answered can't be withdrawn");
}

#[test]
fn a_question_lasts_until_the_last_device_that_could_answer_has_gone() {
    let mut circle = Circle::new();
    let alice = circle.come("alice", 1);
    let (phone, desk) = (circle.come("bob", 1), circle.come("bob", 2));
    circle.plain("bob", 3);
    circle.once("bob");
    circle.ask(alice, "bob");
    assert_eq!(circle.close(phone).of_consent(), nothing());
    let told = vec![no_address(alice, "bob", NoAddress::Offline)];
    assert_eq!(circle.close(desk).of_consent(), of(told, vec![]), "the one in the clear can't answer");
    // That was nobody's fault: they can be asked as soon as they are there again.
    circle.come("bob", 1);
    assert!(circle.ask(alice, "bob").answer().is_ok());
}

#[test]
fn a_device_that_comes_while_a_question_is_open_is_asked_too() {
    let mut circle = Circle::new();
    let (alice, phone) = (circle.come("alice", 1), circle.come("bob", 1));
    circle.ask(alice, "bob");
    circle.pass(Duration::from_micros(1_500_000));
    let left = ANSWER_WITHIN - Duration::from_micros(1_500_000);
    let (desk, outcome) = circle.log_in("bob", Some(2));
    let greeted = outcome.effects.iter().position(|effect| matches!(effect, Effect::Reply { .. }));
    let told = outcome.effects.iter().position(|effect| *effect == asks(desk, "alice", alice, left));
    assert!(greeted.is_some() && greeted < told, "{outcome:?}");
    assert_eq!(outcome.of_consent(), of(vec![asks(desk, "alice", alice, left)], vec![]));
    // Neither in the clear, nor a command, nor somebody else, nor when it is over.
    assert_eq!(circle.log_in_on("bob", Some(3), None).1.of_consent(), nothing());
    assert_eq!(circle.log_in("bob", None).1.of_consent(), nothing());
    assert_eq!(circle.log_in("carol", Some(1)).1.of_consent(), nothing());
    let outcome = circle.yes(desk, "alice");
    assert_eq!(outcome.effects[..2], [address(alice, "bob", desk), ask_answered(phone, "alice")]);
    assert_eq!(circle.log_in("bob", Some(4)).1.of_consent(), nothing());
}

#[test]
fn a_device_that_displaces_itself_keeps_the_question_if_it_can_answer_it() {
    let mut circle = Circle::new();
    let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
    circle.ask(alice, "bob");
    let (again, outcome) = circle.log_in("bob", Some(1));
    assert_eq!(outcome.effects[0], event(bob, Event::Closing(CloseReason::Displaced), IfLost::Send));
    assert_eq!(outcome.of_consent(), of(vec![asks(again, "alice", alice, ANSWER_WITHIN)], vec![]));
    let (_, outcome) = circle.log_in_on("bob", Some(1), None);
    assert_eq!(outcome.of_consent(), of(vec![no_address(alice, "bob", NoAddress::Offline)], vec![]));
    // The ninth device drives the first out.
    let mut circle = Circle::new();
    let alice = circle.come("alice", 1);
    circle.come("bob", 1);
    circle.ask(alice, "bob");
    let clear: Vec<Outcome> = (2..=9).map(|device| circle.log_in_on("bob", Some(device), None).1).collect();
    let told = clear.into_iter().map(|outcome| outcome.of_consent().effects).collect::<Vec<_>>();
    assert_eq!(told.concat(), [no_address(alice, "bob", NoAddress::Offline)]);
}

#[test]
fn a_user_whose_sessions_are_ended_can_be_asked_no_more() {
    for (how, go) in ways_to_go() {
        if how.starts_with("displaced") {
            continue;
        }
        let mut circle = Circle::new();
        let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
        circle.ask(bob, "alice");
        let told = vec![no_address(bob, "alice", NoAddress::Offline)];
        assert_eq!(go(&mut circle, alice).of_consent(), of(told, vec![]), "{how}");
    }
}

#[test]
fn a_yes_ends_by_itself_to_the_microsecond_and_nobody_is_told() {
    let mut circle = Circle::new();
    let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
    circle.ask(alice, "bob");
    circle.yes(bob, "alice");
    let row = circle.row("bob", "alice");
    assert!(circle.world.hub.poll_timeout() <= Some(circle.world.now.instant + CONNECT_WITHIN));
    assert_eq!(circle.pass(CONNECT_WITHIN - MICROSECOND).of_consent(), nothing());
    assert_eq!(circle.privacy(bob).consents, [pending("alice", MICROSECOND)]);
    let over = Change::ConsentOver { row, revoked: false };
    assert_eq!(circle.pass(MICROSECOND).of_consent(), of(vec![], vec![over]));
    assert_eq!(circle.privacy(bob), PrivacyList::default());
    let not_consented = Err(Refusal::NotConsented(name("alice")));
    let outcome = circle.revoke(bob, "alice");
    assert_eq!(outcome, of(vec![circle.world.reply(bob, not_consented, IfLost::Refuse)], vec![]));
    assert!(circle.is_empty());
}

#[test]
fn a_yes_can_be_renewed_and_holds_from_then_on() {
    let mut circle = Circle::new();
    let (alice, phone, desk) = (circle.come("alice", 1), circle.come("bob", 1), circle.come("bob", 2));
    circle.ask(alice, "bob");
    circle.yes(phone, "alice");
    let older = circle.row("bob", "alice");
    circle.pass(CONNECT_WITHIN / 2);
    assert!(circle.ask(alice, "bob").answer().is_ok(), "who got a yes may ask at once");
    assert_eq!(circle.privacy(phone).consents, [pending("alice", CONNECT_WITHIN / 2)], "until the answer it holds");
    let outcome = circle.yes(desk, "alice");
    let row = circle.row("bob", "alice");
    assert_eq!(outcome.changes, [given(row, Some(older), alice)]);
    assert_eq!(outcome.effects[0], address(alice, "bob", desk));
    assert_eq!(circle.pass(CONNECT_WITHIN - MICROSECOND).of_consent(), nothing());
    let over = Change::ConsentOver { row, revoked: false };
    assert_eq!(circle.pass(MICROSECOND).of_consent(), of(vec![], vec![over]));
    assert!(circle.is_empty());
}

#[test]
fn a_no_leaves_an_earlier_yes_as_it_is() {
    let mut circle = Circle::new();
    let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
    circle.ask(alice, "bob");
    circle.yes(bob, "alice");
    circle.ask(alice, "bob");
    assert_eq!(circle.no(bob, "alice").changes, []);
    assert_eq!(circle.privacy(bob).consents, [pending("alice", CONNECT_WITHIN)]);
}

#[test]
fn a_yes_that_is_taken_back_is_told_to_every_session_of_who_had_it() {
    let mut circle = Circle::new();
    let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
    let not_consented = |user| Err(Refusal::NotConsented(name(user)));
    let refused = |circle: &mut Circle, connection, user| {
        // As firm as whatever has taken it back.
        let told = |circle: &Circle| circle.world.reply(connection, not_consented(user), IfLost::Refuse);
        assert_eq!(circle.revoke(connection, user), of(vec![told(circle)], vec![]));
    };
    refused(&mut circle, bob, "alice");
    circle.ask(alice, "bob");
    refused(&mut circle, bob, "alice");
    circle.yes(bob, "alice");
    let row = circle.row("bob", "alice");
    refused(&mut circle, alice, "bob");
    assert_eq!(circle.revoke(bob, "nobody"), circle.refusal(bob, Refusal::NoSuchUser(name("nobody"))));
    let (in_the_clear, once) = (circle.plain("alice", 2), circle.once("alice"));
    circle.come("carol", 1);
    // Neither encryption nor a device is needed for it.
    let who_listens = bob;
    let bob = circle.log_in_on("bob", None, None).0;
    circle.pass(Duration::from_secs(9));
    let outcome = circle.revoke(bob, "alice");
    let told = vec![
        revoked(alice, "bob"),
        revoked(in_the_clear, "bob"),
        revoked(once, "bob"),
        taken_back(who_listens, "alice"),
        circle.reply(bob, Reply::Revoked(name("alice")), IfLost::Refuse),
    ];
    assert_eq!(outcome, of(told, vec![Change::ConsentOver { row, revoked: true }]));
    refused(&mut circle, bob, "alice");
    assert!(circle.is_empty());
}

#[test]
fn a_yes_can_be_given_to_so_many_and_no_more() {
    let mut circle = Circle::new();
    let bob = circle.come("bob", 1);
    let crowd: Vec<ConnectionId> = (0..=CONSENTS_MAX).map(|n| circle.come(&in_crowd(n), 1)).collect();
    for (n, &connection) in crowd.iter().enumerate().take(CONSENTS_MAX) {
        circle.ask(connection, "bob");
        assert!(circle.yes(bob, &in_crowd(n)).answer().is_ok());
    }
    let (last, surplus) = (in_crowd(CONSENTS_MAX - 1), in_crowd(CONSENTS_MAX));
    circle.ask(crowd[CONSENTS_MAX], "bob");
    assert_eq!(circle.yes(bob, &surplus), circle.refusal(bob, Refusal::TooManyConsents));
    circle.revoke(bob, &last);
    assert!(circle.yes(bob, &surplus).answer().is_ok(), "the question was open still");
    circle.ask(crowd[CONSENTS_MAX - 1], "bob");
    assert_eq!(circle.yes(bob, &last), circle.refusal(bob, Refusal::TooManyConsents));
    assert!(circle.no(bob, &last).answer().is_ok(), "there is always room for a no");
    circle.ask(crowd[0], "bob");
    assert!(circle.yes(bob, "u0").answer().is_ok(), "and for a yes to who has one");
}

#[test]
fn who_is_blocked_is_told_no_and_loses_the_yes() {
    let mut circle = Circle::new();
    let alice = circle.come("alice", 1);
    let (phone, desk) = (circle.come("bob", 1), circle.come("bob", 2));
    circle.ask(alice, "bob");
    circle.yes(desk, "alice");
    let row = circle.row("bob", "alice");
    circle.ask(alice, "bob");
    let outcome = circle.block(desk, "alice");
    let told = vec![
        no_address(alice, "bob", NoAddress::Declined),
        ask_over(phone, "alice", AskOver::Blocked),
        ask_over(desk, "alice", AskOver::Blocked),
        revoked(alice, "bob"),
        taken_back(phone, "alice"),
        circle.reply(desk, Reply::Blocked(name("alice")), IfLost::Refuse),
    ];
    let block = Change::Block { user: row.of, other: row.to, shown: Number(0) };
    assert_eq!(outcome, of(told, vec![block, Change::ConsentOver { row, revoked: true }]));
    assert_eq!(circle.yes(desk, "alice"), circle.refusal(desk, Refusal::NotAsked(name("alice"))));
    assert_eq!(circle.block(desk, "alice").of_consent(), nothing(), "to block once more is nothing");
}

#[test]
fn who_blocks_a_user_asks_them_no_longer_and_keeps_what_they_have_given() {
    let mut circle = Circle::new();
    let (alice, other, bob) = (circle.come("alice", 1), circle.come("alice", 2), circle.come("bob", 1));
    circle.ask(alice, "bob");
    circle.yes(bob, "alice");
    circle.ask(alice, "bob");
    let outcome = circle.block(other, "bob");
    let told = vec![
        no_address(alice, "bob", NoAddress::Withdrawn),
        ask_over(bob, "alice", AskOver::Withdrawn),
        circle.reply(other, Reply::Blocked(name("bob")), IfLost::Refuse),
    ];
    assert_eq!(outcome.effects, told);
    assert_eq!(circle.privacy(bob).consents, [pending("alice", CONNECT_WITHIN)]);
}

#[test]
fn a_block_of_somebody_else_changes_nothing() {
    let mut circle = Circle::new();
    let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
    circle.ask(alice, "bob");
    circle.yes(bob, "alice");
    circle.ask(alice, "bob");
    assert_eq!(circle.block(bob, "carol").of_consent(), nothing());
    assert_eq!(circle.block(alice, "carol").of_consent(), nothing());
    assert!(circle.yes(bob, "alice").answer().is_ok());
}

#[test]
fn privacy_says_who_may_reach_one_and_who_has_asked() {
    let mut circle = Circle::new();
    let (alice, bob, carol) = (circle.come("alice", 1), circle.come("bob", 1), circle.come("carol", 1));
    let dave = circle.come("dave", 1);
    for connection in [alice, bob] {
        assert_eq!(circle.privacy(connection), PrivacyList::default());
    }
    let second = Duration::from_secs(1);
    circle.ask(dave, "bob");
    circle.yes(bob, "dave");
    circle.pass(second);
    circle.ask(alice, "bob");
    circle.yes(bob, "alice");
    circle.pass(second);
    circle.ask(carol, "bob");
    circle.pass(second);
    circle.ask(bob, "dave");
    let other = circle.come("bob", 2);
    circle.ask(other, "alice");
    circle.block(bob, "u1");
    circle.block(bob, "u0");
    let list = PrivacyList {
        blocked: vec![name("u0"), name("u1")],
        consents: vec![pending("alice", CONNECT_WITHIN - 2 * second), pending("dave", CONNECT_WITHIN - 3 * second)],
        asked_by: Some(pending("carol", ANSWER_WITHIN - second)),
        asking: vec![pending("alice", ANSWER_WITHIN), pending("dave", ANSWER_WITHIN)],
    };
    let bobs = [bob, other, circle.once("bob"), circle.plain("bob", 3), circle.log_in_on("bob", None, None).0];
    for connection in bobs {
        assert_eq!(circle.privacy(connection), list);
    }
    // Of others it says only what is theirs.
    let asked_by_bob = PrivacyList { asked_by: Some(pending("bob", ANSWER_WITHIN)), ..PrivacyList::default() };
    assert_eq!(circle.privacy(alice), asked_by_bob);
    assert_eq!(circle.privacy(dave), asked_by_bob);
    let asking = vec![pending("bob", ANSWER_WITHIN - second)];
    assert_eq!(circle.privacy(carol), PrivacyList { asking, ..PrivacyList::default() });
    // And nothing of what is over.
    circle.no(bob, "carol");
    circle.revoke(bob, "dave");
    circle.pass(CONNECT_WITHIN - 2 * second);
    circle.pass(ASK_AGAIN_AFTER);
    let blocked = vec![name("u0"), name("u1")];
    assert_eq!(circle.privacy(bob), PrivacyList { blocked, ..PrivacyList::default() });
    assert_eq!(circle.privacy(alice), PrivacyList::default());
    assert_eq!(circle.privacy(carol), PrivacyList::default());
    assert!(circle.is_empty());
}

#[test]
fn at_the_end_everybody_is_told_of_the_end_and_of_nothing_else() {
    let mut circle = Circle::new();
    let (alice, bob, carol) = (circle.come("alice", 1), circle.come("bob", 1), circle.come("carol", 1));
    circle.ask(carol, "alice");
    circle.yes(alice, "carol");
    circle.ask(alice, "bob");
    circle.ask(bob, "alice");
    let outcome = circle.world.input(Input::Shutdown).flat();
    let all = [alice, bob, carol];
    let closing = all.map(|connection| event(connection, Event::Closing(CloseReason::Shutdown), IfLost::Send));
    let closed = all.map(|connection| Effect::Close { connection, how: Close::Forced });
    assert_eq!(outcome.effects, [&closing[..], &closed].concat());
    assert_eq!(outcome.of_consent().changes, []);
}

#[test]
fn an_account_that_goes_takes_with_it_what_was_consented_by_it_and_to_it() {
    let mut circle = Circle::new();
    let operator = circle.world.connect_as(Peer::Operator);
    circle.operate(operator, add_eve());
    let (eve, bob, carol) = (circle.come("eve", 1), circle.come("bob", 1), circle.come("carol", 1));
    circle.ask(eve, "bob");
    circle.yes(bob, "eve");
    circle.ask(carol, "eve");
    circle.yes(eve, "carol");
    circle.ask(carol, "bob");
    circle.yes(bob, "carol");
    let (by_bob, by_eve) = (circle.row("bob", "eve"), circle.row("eve", "carol"));
    circle.ask(eve, "carol");
    circle.ask(bob, "eve");
    let outcome = circle.operate(operator, Operation::Remove(name("eve"))).of_consent();
    let told = vec![
        ask_over(carol, "eve", AskOver::Withdrawn),
        no_address(bob, "eve", NoAddress::Offline),
        taken_back(bob, "eve"),
        revoked(carol, "eve"),
    ];
    let over = [by_bob, by_eve].map(|row| Change::ConsentOver { row, revoked: true });
    assert_eq!(outcome, of(told, over.to_vec()));
    assert_eq!(circle.privacy(bob).consents, [pending("carol", CONNECT_WITHIN)]);
    circle.pass(CONNECT_WITHIN);
    assert!(circle.is_empty());
}

#[test]
fn an_account_that_leaves_the_file_takes_it_with_it_too() {
    let mut circle = Circle::new();
    let (alice, bob, carol) = (circle.come("alice", 1), circle.come("bob", 1), circle.come("carol", 1));
    for (asker, asked, by, to) in
        [(alice, "bob", bob, "alice"), (carol, "alice", alice, "carol"), (carol, "bob", bob, "carol")]
    {
        circle.ask(asker, asked);
        circle.yes(by, to);
    }
    let (by_alice, by_bob) = (circle.row("alice", "carol"), circle.row("bob", "alice"));
    let others: Vec<Credential> = credentials().into_iter().filter(|found| found.name != name("alice")).collect();
    let outcome = circle.world.read_accounts(others.clone()).flat().of_consent();
    let told = vec![revoked(carol, "alice"), taken_back(bob, "alice")];
    let over = [by_alice, by_bob].map(|row| Change::ConsentOver { row, revoked: true });
    assert_eq!(outcome, of(told, over.to_vec()));
    assert_eq!(circle.privacy(bob).consents, [pending("carol", CONNECT_WITHIN)]);
    assert_eq!(circle.world.read_accounts(others).changes, [], "nothing is left to end");
}

#[test]
fn a_yes_to_somebody_who_has_left_the_file_does_not_outlive_a_restart() {
    let mut circle = Circle::new();
    let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
    circle.ask(alice, "bob");
    circle.yes(bob, "alice");
    let row = circle.row("bob", "alice");
    let users = vec![(row.of, name("bob")), (row.to, name("alice"))];
    let mut world = World::empty(config(), Snapshot { users, consents: vec![row], ..Snapshot::default() });
    let others = credentials().into_iter().filter(|found| found.name != name("alice")).collect();
    let changes = world.read_accounts(others).changes;
    let over = |change: &Change| matches!(change, Change::ConsentOver { row: found, .. } if *found == row);
    assert_eq!(changes.iter().filter(|change| over(change)).count(), 1, "{changes:?}");
}

#[test]
fn nothing_is_left_of_anything() {
    let mut circle = Circle::new();
    let (alice, bob, carol) = (circle.come("alice", 1), circle.come("bob", 1), circle.come("carol", 1));
    circle.ask(alice, "bob");
    assert!(!circle.is_empty());
    circle.no(bob, "alice");
    circle.ask(carol, "bob");
    circle.ask(carol, "alice");
    circle.close(carol);
    circle.ask(bob, "alice");
    circle.yes(alice, "bob");
    circle.revoke(alice, "bob");
    circle.ask(bob, "alice");
    circle.block(alice, "bob");
    circle.pass(ASK_AGAIN_AFTER);
    assert!(circle.is_empty());
    circle.unblock(alice, "bob");
    circle.ask(bob, "alice");
    circle.pass(ANSWER_WITHIN);
    circle.ask(alice, "bob");
    circle.yes(bob, "alice");
    circle.pass(CONNECT_WITHIN);
    assert!(circle.is_empty());
}

/// A hub that finds these on disk, and what it has to store for that.
fn restarted(consents: Vec<ConsentRow>) -> (Circle, Vec<Change>) {
    let users = (0..).map(UserId).zip(NAMES.map(name)).collect();
    let snapshot = Snapshot { secret: Some([1; 32]), users, consents, ..Snapshot::default() };
    let Now { instant, wall, .. } = World::new().now;
    let (now, mut out) = (Now { instant: instant + NEVER, wall, ..Now::default() }, Outbox::new());
    let hub = Hub::new(Config { heartbeat_timeout: NEVER, ..config() }, [7; 32], snapshot, now, &mut out);
    hub.check_invariants();
    let mut world = World { hub, now, next_slot: 0, requests: 0, derived: None };
    world.read_accounts(credentials());
    (Circle { world }, out.changes)
}

#[test]
fn a_yes_survives_a_restart_with_the_time_that_is_left() {
    let wall = World::new().now.wall;
    let [alice, bob, carol, dave] = [0, 1, 2, 3].map(UserId);
    let millis = Duration::from_millis;
    let row = |of, to, until| ConsentRow { of, to, until };
    let rows = vec![
        row(bob, alice, wall + millis(400_000)),
        // To the millisecond.
        row(bob, carol, wall + millis(1)),
        row(bob, dave, wall),
        // The wall clock has jumped back: not longer than a fresh one.
        row(carol, alice, wall + Duration::from_secs(1_000_000)),
        // It has jumped ahead.
        row(carol, bob, wall - Duration::from_secs(1_000_000)),
        row(carol, dave, WallTime::default()),
    ];
    let (mut circle, changes) = restarted(rows.clone());
    let over = [2, 4, 5].map(|n: usize| Change::ConsentOver { row: rows[n], revoked: false });
    assert_eq!(changes, over);
    let (by_bob, by_carol) = (circle.come("bob", 1), circle.come("carol", 1));
    let list = circle.privacy(by_bob);
    assert_eq!(list.consents, [pending("alice", millis(400_000)), pending("carol", millis(1))]);
    assert_eq!(circle.privacy(by_carol).consents, [pending("alice", CONNECT_WITHIN)]);
    let over = |row| of_changes(vec![Change::ConsentOver { row, revoked: false }]);
    assert_eq!(circle.pass(millis(1) - MICROSECOND).of_consent(), nothing());
    assert_eq!(circle.pass(MICROSECOND).of_consent(), over(rows[1]));
    assert_eq!(circle.pass(millis(399_999) - MICROSECOND).of_consent(), nothing());
    assert_eq!(circle.pass(MICROSECOND).of_consent(), over(rows[0]));
    assert_eq!(circle.pass(millis(200_000) - MICROSECOND).of_consent(), nothing());
    assert_eq!(circle.pass(MICROSECOND).of_consent(), over(rows[3]));
    assert!(circle.is_empty());
}

#[test]
fn a_yes_from_before_a_restart_can_be_taken_back_and_renewed() {
    let wall = World::new().now.wall;
    let until = wall + Duration::from_secs(300);
    let rows = [UserId(0), UserId(2)].map(|to| ConsentRow { of: UserId(1), to, until });
    let (mut circle, changes) = restarted(rows.to_vec());
    assert_eq!(changes, []);
    let (alice, bob, carol) = (circle.come("alice", 1), circle.come("bob", 1), circle.come("carol", 1));
    let outcome = circle.revoke(bob, "alice");
    assert_eq!(outcome.effects[0], revoked(alice, "bob"));
    assert_eq!(outcome.changes, [Change::ConsentOver { row: rows[0], revoked: true }]);
    circle.ask(carol, "bob");
    let outcome = circle.yes(bob, "carol");
    let row = circle.row("bob", "carol");
    assert_eq!(outcome.changes, [given(row, Some(rows[1]), carol)]);
}

#[test]
fn when_the_wall_clock_jumps_a_yes_lasts_as_long_all_the_same() {
    for jump in [Duration::ZERO, 2 * CONNECT_WITHIN] {
        let mut circle = Circle::new();
        let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
        circle.ask(alice, "bob");
        circle.yes(bob, "alice");
        circle.world.now.wall = WallTime::from_millis(1_600_000_000_000) + jump;
        assert_eq!(circle.pass(CONNECT_WITHIN - MICROSECOND).of_consent(), nothing());
        assert_eq!(circle.pass(MICROSECOND).of_consent().changes.len(), 1);
    }
}

#[test]
fn a_yes_that_was_not_stored_is_none_and_who_waits_for_it_is_told() {
    let mut circle = Circle::new();
    let (alice, phone, desk) = (circle.come("alice", 1), circle.come("bob", 1), circle.come("bob", 2));
    circle.ask(alice, "bob");
    let lost = circle.yes(desk, "alice").changes;
    let told = vec![
        no_address(alice, "bob", NoAddress::NotStored),
        ask_over(phone, "alice", AskOver::NotStored),
        ask_over(desk, "alice", AskOver::NotStored),
    ];
    assert_eq!(circle.lose(lost), of(told, vec![]));
    assert!(circle.is_empty(), "and it can be asked again at once");
    assert!(circle.ask(alice, "bob").answer().is_ok());
}

#[test]
fn a_yes_that_was_not_stored_leaves_the_older_one_that_was() {
    let mut circle = Circle::new();
    let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
    circle.ask(alice, "bob");
    circle.yes(bob, "alice");
    let older = circle.row("bob", "alice");
    circle.pass(Duration::from_secs(500));
    circle.ask(alice, "bob");
    let lost = circle.yes(bob, "alice").changes;
    let told = vec![no_address(alice, "bob", NoAddress::NotStored), ask_over(bob, "alice", AskOver::NotStored)];
    assert_eq!(circle.lose(lost), of(told, vec![]));
    assert_eq!(circle.privacy(bob).consents, [pending("alice", Duration::from_secs(100))]);
    assert_eq!(circle.pass(Duration::from_secs(100) - MICROSECOND).of_consent(), nothing());
    let over = Change::ConsentOver { row: older, revoked: false };
    assert_eq!(circle.pass(MICROSECOND).of_consent(), of_changes(vec![over]));
    assert!(circle.is_empty());
}

#[test]
fn a_yes_is_in_force_again_when_that_it_was_taken_back_is_lost() {
    let mut circle = Circle::new();
    let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
    circle.ask(alice, "bob");
    circle.yes(bob, "alice");
    let row = circle.row("bob", "alice");
    circle.pass(Duration::from_secs(10));
    let lost = circle.revoke(bob, "alice").changes;
    circle.pass(Duration::from_secs(10));
    assert_eq!(circle.lose(lost), nothing());
    assert_eq!(circle.privacy(bob).consents, [pending("alice", Duration::from_secs(580))]);
    // The same with a block, which does not hold either.
    let lost = circle.block(bob, "alice").changes;
    assert_eq!(lost.len(), 2);
    assert_eq!(circle.lose(lost), nothing());
    assert_eq!(circle.privacy(bob).consents, [pending("alice", Duration::from_secs(580))]);
    assert_eq!(circle.privacy(bob).blocked, []);
    let outcome = circle.revoke(bob, "alice");
    assert_eq!(outcome.changes, [Change::ConsentOver { row, revoked: true }]);
    assert!(circle.is_empty());
}

#[test]
fn a_question_that_ended_with_a_block_stays_over_when_the_block_is_lost() {
    let mut circle = Circle::new();
    let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
    circle.ask(alice, "bob");
    let lost = circle.block(bob, "alice").changes;
    assert_eq!(circle.lose(lost), nothing());
    assert_eq!(circle.yes(bob, "alice"), circle.refusal(bob, Refusal::NotAsked(name("alice"))));
}

#[test]
fn that_a_yes_has_ended_by_itself_is_stored_later_when_it_is_lost() {
    let mut circle = Circle::new();
    let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
    circle.ask(alice, "bob");
    circle.yes(bob, "alice");
    let over = circle.pass(CONNECT_WITHIN).of_consent();
    assert_eq!(circle.lose(over.changes.clone()), nothing());
    assert!(circle.is_empty());
    // Before a new one, or it would undo that.
    circle.ask(alice, "bob");
    let outcome = circle.yes(bob, "alice").of_consent();
    let row = circle.row("bob", "alice");
    assert_eq!(outcome.changes, [over.changes[0].clone(), given(row, None, alice)]);
}

/// Everything that is done between two commits is lost at once, whatever it was.
#[test]
fn what_is_lost_together_is_undone_the_newest_first() {
    type Deed = fn(&mut Circle, ConnectionId, ConnectionId) -> Outcome;
    let deeds: [(&str, Deed); 4] = [
        ("yes", |circle, alice, bob| {
            circle.ask(alice, "bob");
            circle.yes(bob, "alice")
        }),
        ("revoke", |circle, _, bob| circle.revoke(bob, "alice")),
        ("block", |circle, _, bob| circle.block(bob, "alice")),
        ("unblock", |circle, _, bob| circle.unblock(bob, "alice")),
    ];
    for is_on_disk in [false, true] {
        for plan in 0..deeds.len().pow(4) {
            let mut circle = Circle::new();
            let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
            if is_on_disk {
                circle.ask(alice, "bob");
                circle.yes(bob, "alice");
            }
            let before = (circle.privacy(bob), circle.privacy(alice));
            let (mut lost, mut done) = (Vec::new(), Vec::new());
            for step in 0..4 {
                let (what, deed) = deeds[plan / deeds.len().pow(step) % deeds.len()];
                done.push(what);
                lost.extend(deed(&mut circle, alice, bob).changes);
            }
            circle.lose(lost);
            assert_eq!((circle.privacy(bob), circle.privacy(alice)), before, "{is_on_disk}, {done:?}");
        }
    }
}

/// Or one user could keep everybody busy, and have a list that fits into no line.
#[test]
fn a_user_has_so_many_questions_open_on_however_many_connections() {
    let mut circle = Circle::new();
    let crowd: Vec<ConnectionId> = (0..=QUESTIONS_MAX).map(|n| circle.come(&in_crowd(n), 1)).collect();
    for n in 0..QUESTIONS_MAX {
        let alice = circle.once("alice");
        assert!(circle.ask(alice, &in_crowd(n)).answer().is_ok());
    }
    let alice = circle.come("alice", 1);
    let surplus = in_crowd(QUESTIONS_MAX);
    assert_eq!(circle.ask(alice, &surplus), circle.refusal(alice, Refusal::TooManyQuestions));
    assert_eq!(circle.privacy(alice).asking.len(), QUESTIONS_MAX);
    let bob = circle.come("bob", 1);
    assert!(circle.ask(bob, &surplus).answer().is_ok(), "others have their own");
    circle.no(crowd[QUESTIONS_MAX], "bob");
    circle.no(crowd[0], "alice");
    assert!(circle.ask(alice, &surplus).answer().is_ok());
}

/// Or a question could be put up again and again before anybody has answered it.
#[test]
fn who_withdraws_a_question_has_to_wait_like_who_heard_no() {
    let waits = |circle: &mut Circle, alice: ConnectionId| {
        assert_eq!(circle.ask(alice, "bob"), circle.refusal(alice, Refusal::AskedLately(name("bob"))));
        circle.pass(ASK_AGAIN_AFTER - MICROSECOND);
        assert_eq!(circle.ask(alice, "bob"), circle.refusal(alice, Refusal::AskedLately(name("bob"))));
        circle.pass(MICROSECOND);
        assert!(circle.ask(alice, "bob").answer().is_ok());
    };
    for (_, go) in ways_to_go().into_iter().filter(|(how, _)| *how != "without an account") {
        let mut circle = Circle::new();
        let (alice, _) = (circle.come("alice", 1), circle.come("bob", 1));
        circle.ask(alice, "bob");
        go(&mut circle, alice);
        let alice = circle.come("alice", 1);
        waits(&mut circle, alice);
    }
    // And for who takes it back with a block, or was blocked for it.
    for (blocks, other) in [("alice", "bob"), ("bob", "alice")] {
        let mut circle = Circle::new();
        let (alice, _) = (circle.come("alice", 1), circle.come("bob", 1));
        circle.ask(alice, "bob");
        let by = circle.once(blocks);
        circle.block(by, other);
        circle.unblock(by, other);
        waits(&mut circle, alice);
    }
}

#[test]
fn who_waits_for_a_yes_that_is_lost_is_told_whatever_has_happened_to_it_meanwhile() {
    let mut circle = Circle::new();
    let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
    let told = |asker| vec![no_address(asker, "bob", NoAddress::NotStored), ask_over(bob, "alice", AskOver::NotStored)];
    let (by, row) = (circle.id("bob"), |circle: &Circle| circle.row("bob", "alice"));
    // It was taken back, by a word or by a block.
    circle.ask(alice, "bob");
    let mut lost = circle.yes(bob, "alice").changes;
    lost.extend(circle.revoke(bob, "alice").changes);
    assert_eq!(lost.len(), 2);
    assert_eq!(circle.lose(lost), of(told(alice), vec![]));
    circle.ask(alice, "bob");
    let mut lost = circle.yes(bob, "alice").changes;
    lost.extend(circle.block(bob, "alice").changes);
    assert_eq!(lost.len(), 3);
    assert_eq!(circle.lose(lost), of(told(alice), vec![]));
    assert_eq!(circle.world.hub.gate.blocked_by(by).count(), 0);
    // It has ended by itself, so long did it take.
    circle.ask(alice, "bob");
    let mut lost = circle.yes(bob, "alice").changes;
    let over = Change::ConsentOver { row: row(&circle), revoked: false };
    lost.extend(circle.pass(CONNECT_WITHIN).of_consent().changes);
    assert_eq!(lost[1..], [over]);
    assert_eq!(circle.lose(lost), of(told(alice), vec![]));
    assert!(circle.is_empty());
    // It was renewed, for another connection of the same user's.
    let other = circle.once("alice");
    circle.ask(alice, "bob");
    let mut lost = circle.yes(bob, "alice").changes;
    circle.ask(other, "bob");
    lost.extend(circle.yes(bob, "alice").changes);
    assert_eq!(circle.lose(lost), of([told(other), told(alice)].concat(), vec![]));
    assert!(circle.is_empty());
}

#[test]
fn who_has_asked_again_meanwhile_waits_for_that_answer() {
    let mut circle = Circle::new();
    let (alice, other, bob) = (circle.come("alice", 1), circle.come("alice", 2), circle.come("bob", 1));
    circle.ask(alice, "bob");
    let lost = circle.yes(bob, "alice").changes;
    circle.ask(alice, "bob");
    assert_eq!(circle.lose(lost), nothing(), "the question that is open is another");
    let lost = circle.yes(bob, "alice").changes;
    circle.ask(other, "bob");
    let told = vec![no_address(alice, "bob", NoAddress::NotStored)];
    assert_eq!(circle.lose(lost), of(told, vec![]), "on this connection nothing is open");
    assert_eq!(circle.yes(bob, "alice").effects[0], address(other, "bob", bob));
}

/// As the store keeps them: what was committed, folded.
#[test]
fn a_yes_that_was_lost_and_taken_back_is_not_given_again() {
    let mut circle = Circle::new();
    let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
    circle.ask(alice, "bob");
    circle.yes(bob, "alice");
    circle.pass(Duration::from_secs(1));
    circle.ask(alice, "bob");
    let mut lost = circle.yes(bob, "alice").changes;
    lost.extend(circle.revoke(bob, "alice").changes);
    circle.lose(lost);
    let left = CONNECT_WITHIN - Duration::from_secs(1);
    assert_eq!(circle.privacy(bob).consents, [pending("alice", left)], "the one that is on disk");
}

#[test]
fn a_question_that_a_block_forbids_again_is_over() {
    // Bob's block is on disk, and that he took it back is not: Alice's question should not be there.
    let mut circle = Circle::new();
    let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
    circle.block(bob, "alice");
    let lost = circle.unblock(bob, "alice").changes;
    circle.ask(alice, "bob");
    let told = vec![no_address(alice, "bob", NoAddress::Declined), ask_over(bob, "alice", AskOver::Blocked)];
    assert_eq!(circle.lose(lost), of(told, vec![]));
    assert_eq!(circle.yes(bob, "alice"), circle.refusal(bob, Refusal::NotAsked(name("alice"))));
    // Alice's block: Bob would learn where she is.
    let mut circle = Circle::new();
    let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
    circle.block(alice, "bob");
    let lost = circle.unblock(alice, "bob").changes;
    circle.ask(alice, "bob");
    let told = vec![no_address(alice, "bob", NoAddress::Withdrawn), ask_over(bob, "alice", AskOver::Withdrawn)];
    assert_eq!(circle.lose(lost), of(told, vec![]));
    assert_eq!(circle.yes(bob, "alice"), circle.refusal(bob, Refusal::NotAsked(name("alice"))));
    // One that was answered as well.
    let mut circle = Circle::new();
    let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
    circle.block(bob, "alice");
    let mut lost = circle.unblock(bob, "alice").changes;
    circle.ask(alice, "bob");
    lost.extend(circle.yes(bob, "alice").changes);
    let told = vec![no_address(alice, "bob", NoAddress::NotStored), ask_over(bob, "alice", AskOver::NotStored)];
    assert_eq!(circle.lose(lost), of(told, vec![]));
    assert!(circle.is_empty());
}

/// A club with a member whom the operator can remove; she has said yes to Bob, and he to her.
fn with_eve() -> (Circle, ConnectionId, [ConsentRow; 2]) {
    let mut circle = Circle::new();
    let operator = circle.world.connect_as(Peer::Operator);
    circle.operate(operator, add_eve());
    let (eve, bob) = (circle.come("eve", 1), circle.come("bob", 1));
    circle.ask(eve, "bob");
    circle.yes(bob, "eve");
    circle.ask(bob, "eve");
    circle.yes(eve, "bob");
    let rows = [circle.row("bob", "eve"), circle.row("eve", "bob")];
    (circle, operator, rows)
}

fn add_eve() -> Operation {
    let password = Password::parse("eve's password").unwrap();
    Operation::Add { name: name("eve"), password, classic: false }
}

#[test]
fn a_yes_is_in_force_again_when_the_end_of_an_account_is_lost() {
    let (mut circle, operator, _) = with_eve();
    let lost = circle.operate(operator, Operation::Remove(name("eve"))).changes;
    assert!(circle.is_empty());
    assert_eq!(circle.lose(lost).of_consent(), nothing());
    let (eve, bob) = (circle.once("eve"), circle.once("bob"));
    assert_eq!(circle.privacy(bob).consents, [pending("eve", CONNECT_WITHIN)]);
    assert_eq!(circle.privacy(eve).consents, [pending("bob", CONNECT_WITHIN)]);
}

/// Somebody else has the name by then, and keeps it: what the first had is over, and is stored so later.
#[test]
fn of_a_user_whose_name_is_anothers_no_yes_comes_back() {
    let (mut circle, operator, rows) = with_eve();
    let lost = circle.operate(operator, Operation::Remove(name("eve"))).changes;
    circle.operate(operator, add_eve());
    assert_eq!(circle.lose(lost).of_consent(), nothing());
    let (bob, outcome) = circle.log_in("bob", Some(1));
    let over = rows.map(|row| Change::ConsentOver { row, revoked: true });
    assert_eq!(outcome.of_consent(), of_changes(over.to_vec()));
    let eve = circle.once("eve");
    assert_eq!(circle.privacy(bob), PrivacyList::default());
    assert_eq!(circle.privacy(eve), PrivacyList::default());
    assert!(circle.is_empty());
}

#[test]
fn a_yes_whose_time_is_over_when_its_end_is_lost_is_over_on_disk_too_in_the_end() {
    let mut circle = Circle::new();
    let (alice, bob) = (circle.come("alice", 1), circle.come("bob", 1));
    circle.ask(alice, "bob");
    circle.yes(bob, "alice");
    let over = Change::ConsentOver { row: circle.row("bob", "alice"), revoked: false };
    // It was taken back.
    let lost = circle.revoke(bob, "alice").changes;
    circle.pass(CONNECT_WITHIN);
    assert_eq!(circle.lose(lost), nothing());
    assert_eq!(circle.block(bob, "carol").of_consent().changes, [over]);
    // It was renewed.
    circle.ask(alice, "bob");
    circle.yes(bob, "alice");
    let over = Change::ConsentOver { row: circle.row("bob", "alice"), revoked: false };
    circle.pass(CONNECT_WITHIN - Duration::from_secs(1));
    circle.ask(alice, "bob");
    let lost = circle.yes(bob, "alice").changes;
    circle.pass(Duration::from_secs(1));
    assert!(circle.lose(lost).changes.is_empty());
    assert_eq!(circle.block(bob, "dave").of_consent().changes, [over]);
    assert!(circle.is_empty());
}
