use std::net::SocketAddr;

use super::*;
use crate::hub::challenge::{Challenge, Response, SessionKey};
use crate::hub::change::TriesRow;
use crate::hub::effect::{Close, CloseReason, LogInFailure, LogOnAnswer};
use crate::hub::id::Endpoint;
use crate::hub::input::{LogOn, Operation};
use crate::hub::log_on::{A_SOURCE_MAX, AN_ADDRESS_MAX, CHALLENGED_MAX, CONNECT_WITHIN, RESPONSE_WITHIN};
use crate::hub::presence::Manner;
use crate::hub::seal::SealingKey;

const HERE: [u8; 4] = [127, 0, 0, 1];
const ELSEWHERE: [u8; 4] = [10, 0, 0, 2];
const MOMENT: Duration = Duration::from_micros(1);

pub(super) fn endpoint(address: [u8; 4], port: u16) -> Endpoint {
    Endpoint { socket: 0, address: SocketAddr::from((address, port)) }
}

pub(super) fn here() -> Endpoint {
    endpoint(HERE, 4000)
}

fn secret(text: &str) -> Password {
    Password::parse(text).unwrap()
}

fn password_of(user: &str) -> Password {
    secret(&format!("{user}'s password"))
}

fn answered(to: Endpoint, answer: LogOnAnswer) -> Effect {
    Effect::LogOn { to, answer, if_lost: IfLost::Send }
}

fn expect_no_more(from: Endpoint, challenge: Challenge) -> Effect {
    Effect::ExpectNoMore { from: from.peer(), challenge }
}

fn succeeded(challenge: Challenge, password: &Password) -> LogOnAnswer {
    LogOnAnswer::Succeeded { challenge, key: SessionKey::of(challenge, password) }
}

fn only(effects: Vec<Effect>) -> Outcome {
    Outcome { effects, ..Outcome::default() }
}

/// The names of the counters that a failure was counted in.
fn counted(outcome: &Outcome) -> usize {
    outcome.changes.iter().filter(|change| matches!(change, Change::Tries(TriesRow { .. }))).count()
}

impl Outcome {
    pub(super) fn log_on_answer(&self) -> &LogOnAnswer {
        match &self.effects[..] {
            [.., Effect::LogOn { answer, .. }] => answer,
            other => panic!("no answer: {other:?}"),
        }
    }

    pub(super) fn expects_no_more(&self) -> Vec<Challenge> {
        let ended = self.effects.iter().filter_map(|effect| match effect {
            Effect::ExpectNoMore { challenge, .. } => Some(*challenge),
            _ => None,
        });
        ended.collect()
    }
}

impl World {
    pub(super) fn hello(&mut self, from: Endpoint, user: &str) -> Outcome {
        self.input(Input::LogOn { from, step: LogOn::Hello(UserName::parse(user).ok()) })
    }

    fn challenged(&mut self, from: Endpoint, user: &str) -> Challenge {
        match self.hello(from, user).log_on_answer() {
            LogOnAnswer::Challenge(challenge) => *challenge,
            other => panic!("no challenge: {other:?}"),
        }
    }

    pub(super) fn respond(&mut self, from: Endpoint, user: &str, response: Response) -> Outcome {
        self.input(Input::LogOn { from, step: LogOn::Response { user: UserName::parse(user).ok(), response } })
    }

    /// Answers a new challenge with this secret.
    fn try_secret(&mut self, from: Endpoint, user: &str, password: &Password) -> Outcome {
        let challenge = self.challenged(from, user);
        self.respond(from, user, Response::to(challenge, password))
    }

    /// Somebody logs on with the secret of the file. Comes back: the challenge.
    fn logged_on(&mut self, from: Endpoint, user: &str) -> Challenge {
        let outcome = self.try_secret(from, user, &password_of(user));
        match outcome.log_on_answer() {
            LogOnAnswer::Succeeded { challenge, .. } => *challenge,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn come(&mut self, address: [u8; 4], challenge: Challenge) -> (ConnectionId, Outcome) {
        let connection = self.connect_from(address);
        (connection, self.ask(connection, Request::Connect(challenge)))
    }

    /// A client of the protocol, from its log-on to its session.
    fn come_to_session(&mut self, user: &str) -> ConnectionId {
        let challenge = self.logged_on(here(), user);
        let (connection, outcome) = self.come(HERE, challenge);
        assert!(outcome.welcomed(), "{outcome:?}");
        connection
    }
}

#[test]
fn a_log_on_comes_to_exactly_this() {
    let mut world = World::new();
    let outcome = world.hello(here(), "ALICE");
    let &LogOnAnswer::Challenge(challenge) = outcome.log_on_answer() else { panic!("{outcome:?}") };
    assert_eq!(outcome, only(vec![answered(here(), LogOnAnswer::Challenge(challenge))]));

    let outcome = world.respond(here(), "alice", Response::to(challenge, &password_of("alice")));
    let key = SessionKey::of(challenge, &password_of("alice"));
    let expected = [
        Effect::Expect { from: here().peer(), challenge, key: key.clone() },
        answered(here(), LogOnAnswer::Succeeded { challenge, key }),
    ];
    assert_eq!(outcome.effects, expected);
    assert!(matches!(outcome.changes[..], [Change::SourceKnown { .. }]), "{outcome:?}");

    let (connection, outcome) = world.come(HERE, challenge);
    let welcome = Reply::Welcome { user: name("alice"), waiting: 0 };
    let expected = [
        expect_no_more(here(), challenge),
        Effect::Authenticated { connection },
        world.reply(connection, Ok(welcome), IfLost::Send),
    ];
    assert_eq!(outcome.effects, expected);
    assert!(matches!(outcome.changes[..], [Change::Device(_), Change::Arrived { .. }]), "{outcome:?}");
    let session = world.hub.presence.session(connection).unwrap();
    assert_eq!((session.manner, session.device), (Manner::Session, Some(DeviceId::SESSION)));
}

#[test]
fn only_those_whose_secret_the_server_has_are_on_the_list() {
    let key = SealingKey::new([3; 32]);
    let mut world = World::with(Config { sealing_key: Some(key), ..config() }, Snapshot::default());
    let operator = world.connect_as(Peer::Operator);
    for (user, classic) in [("eve", false), ("zoe", true)] {
        let add = Operation::Add { name: name(user), password: secret("apple"), classic };
        let outcome = world.ask(operator, Request::Operate(add));
        assert_eq!(world.derive(outcome).answer(), &Ok(Reply::UserAdded(name(user))));
    }
    let unlisted =
        |why| only(vec![Effect::LogOnFailed { from: here(), why }, answered(here(), LogOnAnswer::NotOnList)]);
    for nobody in ["nobody", "no name at all"] {
        assert_eq!(world.hello(here(), nobody), unlisted(LogInFailure::UnknownName));
    }
    assert_eq!(world.hello(here(), "eve"), unlisted(LogInFailure::NotByThisProtocol));
    let outcome = world.try_secret(here(), "zoe", &secret("apple"));
    assert!(matches!(outcome.log_on_answer(), LogOnAnswer::Succeeded { .. }), "{outcome:?}");
}

#[test]
fn a_guest_is_on_no_list() {
    let mut world = World::new();
    world.guest("gus");
    assert_eq!(world.hello(here(), "gus").log_on_answer(), &LogOnAnswer::NotOnList);
}

#[test]
fn who_asks_again_is_challenged_as_before_until_it_is_over() {
    let mut world = World::new();
    let challenge = world.challenged(here(), "alice");
    world.pass(RESPONSE_WITHIN - MOMENT);
    assert_eq!(world.challenged(here(), "alice"), challenge);
    let others = [(endpoint(HERE, 4001), "alice"), (endpoint(ELSEWHERE, 4000), "alice"), (here(), "bob")];
    for (from, user) in others {
        assert_ne!(world.challenged(from, user), challenge);
    }
    assert_ne!(world.challenged(Endpoint { socket: 1, ..here() }, "alice"), challenge);
    // As if nobody had come to handle the end of it.
    world.now.instant = world.now.instant + MOMENT;
    assert_ne!(world.challenged(here(), "alice"), challenge);
}

#[test]
fn a_response_that_comes_again_gets_its_answer_and_counts_once() {
    let mut world = World::new();
    let challenge = world.challenged(here(), "alice");
    let wrong = Response::to(challenge, &secret("wrong"));
    let outcome = world.respond(here(), "alice", wrong);
    let failed = answered(here(), LogOnAnswer::Failed);
    let line = Effect::LogOnFailed { from: here(), why: LogInFailure::WrongPassword };
    assert_eq!((&outcome.effects, counted(&outcome)), (&vec![line, failed.clone()], 3));
    for _ in 0..5 {
        assert_eq!(world.respond(here(), "alice", wrong), only(vec![failed.clone()]));
    }
    // The next challenge does not take it away.
    let next = world.challenged(here(), "alice");
    assert_ne!(next, challenge);
    assert_eq!(world.respond(here(), "alice", wrong), only(vec![failed]));
    let right = Response::to(next, &password_of("alice"));
    let success = succeeded(next, &password_of("alice"));
    assert_eq!(world.respond(here(), "alice", right).log_on_answer(), &success);
    assert_eq!(world.respond(here(), "alice", right), only(vec![answered(here(), success.clone())]));
    world.challenged(here(), "alice");
    assert_eq!(world.respond(here(), "alice", right), only(vec![answered(here(), success)]));
}

#[test]
fn a_challenge_is_answered_once() {
    let mut world = World::new();
    let challenge = world.challenged(here(), "alice");
    world.respond(here(), "alice", Response::to(challenge, &secret("wrong")));
    let late = world.respond(here(), "alice", Response::to(challenge, &password_of("alice")));
    assert_eq!(late, only(vec![answered(here(), LogOnAnswer::Failed)]));
}

#[test]
fn what_answers_nothing_is_neither_checked_nor_counted() {
    let mut world = World::new();
    let nothing = |from| only(vec![answered(from, LogOnAnswer::Failed)]);
    let challenge = world.challenged(here(), "alice");
    let right = Response::to(challenge, &password_of("alice"));
    for from in [endpoint(HERE, 4001), endpoint(ELSEWHERE, 4000), Endpoint { socket: 1, ..here() }] {
        assert_eq!(world.respond(from, "alice", right), nothing(from));
    }
    for user in ["bob", "nobody", "no name at all"] {
        assert_eq!(world.respond(here(), user, right), nothing(here()));
    }
    world.now.instant = world.now.instant + RESPONSE_WITHIN;
    assert_eq!(world.respond(here(), "alice", right), nothing(here()));
}

#[test]
fn an_answer_is_remembered_as_long_as_its_challenge_lives() {
    let mut world = World::new();
    let challenge = world.challenged(here(), "alice");
    let response = Response::to(challenge, &password_of("alice"));
    world.respond(here(), "alice", response);
    world.pass(RESPONSE_WITHIN - MOMENT);
    assert_eq!(world.respond(here(), "alice", response).log_on_answer(), &succeeded(challenge, &password_of("alice")));
    world.challenged(here(), "alice");
    world.pass(MOMENT);
    let outcome = world.respond(here(), "alice", response);
    assert_eq!(outcome.log_on_answer(), &LogOnAnswer::Failed, "it answers the next challenge now, wrongly");
    assert_eq!(counted(&outcome), 3);
}

#[test]
fn three_wrong_secrets_lock_out_as_wrong_passwords_do() {
    let mut world = World::new();
    let connection = world.connect();
    world.try_password(connection, "alice", "wrong");
    for port in [4000, 4001] {
        assert_eq!(counted(&world.try_secret(endpoint(HERE, port), "alice", &secret("wrong"))), 3);
    }
    let outcome = world.try_secret(here(), "alice", &password_of("alice"));
    let line = Effect::LogOnFailed { from: here(), why: LogInFailure::LockedOut };
    assert_eq!(outcome, only(vec![line, answered(here(), LogOnAnswer::Failed)]), "nothing is checked or counted");
    let native = world.connect();
    assert!(!world.try_password(native, "alice", "alice's password").logged_in());
    world.pass(Duration::from_secs(60));
    world.logged_on(here(), "alice");
    for _ in 0..2 {
        world.try_secret(here(), "alice", &secret("wrong"));
    }
    world.logged_on(here(), "alice");
}

#[test]
fn public_secrets_are_wrong_from_elsewhere() {
    let mut world = World::public();
    let from = endpoint(ELSEWHERE, 4000);
    let outcome = world.try_secret(from, "alice", &password_of("alice"));
    let line = Effect::LogOnFailed { from, why: LogInFailure::NotFromHere };
    assert_eq!(outcome.effects, [line, answered(from, LogOnAnswer::Failed)]);
    assert_eq!(counted(&outcome), 3);
    world.come_to_session("alice");
}

#[test]
fn who_has_logged_on_comes_once_from_there() {
    let mut world = World::new();
    let challenge = world.logged_on(here(), "alice");
    let turned_away = |world: &World, connection| {
        let refused = world.reply(connection, Err(Refusal::NotAuthenticated), IfLost::Send);
        only(vec![refused, Effect::Close { connection, how: Close::Forced }])
    };
    let (connection, outcome) = world.come(ELSEWHERE, challenge);
    assert_eq!(outcome, turned_away(&world, connection));
    let unasked = world.challenged(here(), "bob");
    let (connection, outcome) = world.come(HERE, unasked);
    assert_eq!(outcome, turned_away(&world, connection), "it was challenged only");
    let (alice, outcome) = world.come(HERE, challenge);
    assert!(outcome.welcomed());
    let (connection, outcome) = world.come(HERE, challenge);
    assert_eq!(outcome, turned_away(&world, connection));
    let again = world.ask(alice, Request::Connect(challenge));
    assert_eq!(again, world.refusal(alice, Refusal::AlreadyLoggedIn));
}

#[test]
fn who_does_not_come_in_time_is_expected_no_more() {
    let mut world = World::new();
    let challenge = world.logged_on(here(), "alice");
    let end = world.now.instant + CONNECT_WITHIN;
    while let Some(at) = world.hub.poll_timeout().filter(|&at| at < end) {
        let outcome = world.pass(at.since(world.now.instant));
        assert_eq!(outcome.expects_no_more(), []);
    }
    assert_eq!(world.hub.poll_timeout(), Some(end));
    let outcome = world.pass(end.since(world.now.instant));
    assert_eq!(outcome.expects_no_more(), [challenge]);
    assert!(!world.come(HERE, challenge).1.welcomed());
}

#[test]
fn who_comes_too_late_is_turned_away_whether_time_was_handled_or_not() {
    let mut world = World::new();
    let challenge = world.logged_on(here(), "alice");
    world.now.instant = world.now.instant + CONNECT_WITHIN;
    let (_, outcome) = world.come(HERE, challenge);
    assert_eq!((outcome.welcomed(), outcome.expects_no_more()), (false, vec![challenge]));
}

#[test]
fn the_last_log_on_of_a_user_at_an_address_counts() {
    let mut world = World::new();
    let first = world.logged_on(here(), "alice");
    let elsewhere = world.logged_on(endpoint(ELSEWHERE, 4000), "alice");
    let outcome = world.try_secret(endpoint(HERE, 4001), "alice", &password_of("alice"));
    assert_eq!(outcome.expects_no_more(), [first]);
    assert!(!world.come(HERE, first).1.welcomed());
    let (older, outcome) = world.come(ELSEWHERE, elsewhere);
    assert!(outcome.welcomed());
    let challenge = world.logged_on(here(), "alice");
    let (_, outcome) = world.come(HERE, challenge);
    assert_eq!(outcome.events_for(older), [&Event::Closing(CloseReason::Displaced)]);
    assert!(outcome.effects.contains(&Effect::Close { connection: older, how: Close::Forced }));
}

#[test]
fn another_password_ends_what_was_to_become_a_session() {
    let mut world = World::new();
    let (expected, open) = (world.logged_on(here(), "alice"), world.challenged(here(), "alice"));
    let bob = world.logged_on(here(), "bob");
    let mut file = credentials();
    file[0] = Credential::new(name("alice"), "another");
    let outcome = world.read_accounts(file);
    assert_eq!(outcome.expects_no_more(), [expected]);
    assert!(!world.come(HERE, expected).1.welcomed());
    let late = world.respond(here(), "alice", Response::to(open, &secret("another")));
    assert_eq!(late, only(vec![answered(here(), LogOnAnswer::Failed)]), "the challenge is over too");
    world.challenged(here(), "alice");
    let outcome = world.read_accounts(vec![]);
    assert_eq!(outcome.expects_no_more(), [bob]);
    assert_eq!(world.hello(here(), "alice").log_on_answer(), &LogOnAnswer::NotOnList);
}

#[test]
fn the_operator_ends_what_was_to_become_a_session() {
    let mut world = World::new();
    let challenge = world.logged_on(here(), "alice");
    let operator = world.connect_as(Peer::Operator);
    let outcome = world.ask(operator, Request::Operate(Operation::Kick(name("alice"))));
    assert_eq!(outcome.expects_no_more(), [challenge]);
}

#[test]
fn an_account_that_was_not_stored_has_not_logged_on() {
    let key = SealingKey::new([3; 32]);
    let mut world = World::with(Config { sealing_key: Some(key), ..config() }, Snapshot::default());
    let operator = world.connect_as(Peer::Operator);
    let add = Operation::Add { name: name("zoe"), password: secret("apple"), classic: true };
    let outcome = world.ask(operator, Request::Operate(add));
    let lost = world.derive(outcome).changes;
    let outcome = world.try_secret(here(), "zoe", &secret("apple"));
    let &LogOnAnswer::Succeeded { challenge, .. } = outcome.log_on_answer() else { panic!("{outcome:?}") };
    let outcome = world.input(Input::CommitFailed(lost));
    assert_eq!(outcome.expects_no_more(), [challenge]);
}

#[test]
fn a_log_on_holds_without_the_disk() {
    let mut world = World::new();
    let outcome = world.try_secret(here(), "alice", &password_of("alice"));
    let &LogOnAnswer::Succeeded { challenge, .. } = outcome.log_on_answer() else { panic!("{outcome:?}") };
    world.input(Input::CommitFailed(outcome.changes));
    assert!(world.come(HERE, challenge).1.welcomed());
}

#[test]
fn from_one_source_the_first_who_was_challenged_gives_way() {
    let mut world = World::new();
    let elsewhere = world.challenged(endpoint(ELSEWHERE, 4000), "bob");
    let first = world.challenged(endpoint(HERE, 1), "alice");
    let second = world.challenged(endpoint(HERE, 2), "alice");
    for port in 3..=A_SOURCE_MAX as u16 {
        world.pass(MOMENT);
        world.challenged(endpoint(HERE, port), "alice");
    }
    assert_eq!(world.challenged(endpoint(HERE, 1), "alice"), first, "there is room for so many");
    world.challenged(endpoint(HERE, 5000), "alice");
    let late = world.respond(endpoint(HERE, 1), "alice", Response::to(first, &password_of("alice")));
    assert_eq!(late.log_on_answer(), &LogOnAnswer::Failed);
    assert_eq!(world.challenged(endpoint(HERE, 2), "alice"), second);
    assert_eq!(world.challenged(endpoint(ELSEWHERE, 4000), "bob"), elsewhere, "another source");
}

#[test]
fn of_all_the_first_who_was_challenged_gives_way() {
    let mut world = World::new();
    let address = |n: usize| [10, 1, (n >> 8) as u8, n as u8];
    let first = world.challenged(here(), "alice");
    world.pass(MOMENT);
    let second = world.challenged(endpoint(address(1), 1), "alice");
    for n in 2..=CHALLENGED_MAX {
        world.now.instant = world.now.instant + MOMENT;
        world.hub.handle(
            world.now,
            Input::LogOn { from: endpoint(address(n), 1), step: LogOn::Hello(Some(name("alice"))) },
            &mut Outbox::new(),
        );
    }
    let late = world.respond(here(), "alice", Response::to(first, &password_of("alice")));
    assert_eq!(late.log_on_answer(), &LogOnAnswer::Failed);
    assert_eq!(world.challenged(endpoint(address(1), 1), "alice"), second);
}

#[test]
fn so_many_are_expected_from_an_address() {
    let names: Vec<String> = (0..=AN_ADDRESS_MAX).map(|n| format!("user{n}")).collect();
    let mut world = World::empty(config(), Snapshot::default());
    world.read_accounts(names.iter().map(|user| Credential::new(name(user), format!("{user}'s password"))).collect());
    let (first, elsewhere) = (world.logged_on(here(), &names[0]), world.logged_on(endpoint(ELSEWHERE, 1), &names[0]));
    world.pass(MOMENT);
    for user in &names[1..AN_ADDRESS_MAX] {
        assert_eq!(world.try_secret(here(), user, &password_of(user)).expects_no_more(), []);
    }
    let last = &names[AN_ADDRESS_MAX];
    assert_eq!(world.try_secret(here(), last, &password_of(last)).expects_no_more(), [first]);
    assert!(!world.come(HERE, first).1.welcomed());
    assert!(world.come(ELSEWHERE, elsewhere).1.welcomed(), "another address");
}

#[test]
fn before_the_accounts_are_there_nothing_is_said() {
    let mut world = World::empty(config(), Snapshot::default());
    assert_eq!(world.hello(here(), "alice"), Outcome::default());
    world.read_accounts(credentials());
    world.come_to_session("alice");
}

#[test]
fn once_the_server_stops_nothing_is_said_and_nobody_expected() {
    let mut world = World::new();
    let (expected, open) = (world.logged_on(here(), "alice"), world.challenged(here(), "bob"));
    let outcome = world.input(Input::Shutdown);
    assert_eq!(outcome.expects_no_more(), [expected]);
    assert_eq!(world.hello(here(), "alice"), Outcome::default());
    assert_eq!(world.respond(here(), "bob", Response::to(open, &password_of("bob"))), Outcome::default());
}
