use super::*;
use crate::hub::change::{Account, TriesRow};
use crate::hub::credentials::PasswordDigest;
use crate::hub::effect::{Close, CloseReason, Derivation, LogInFailure};
use crate::hub::input::{Operation, Ticket};
use crate::hub::presence::Manner;
use crate::hub::seal::SealingKey;

const ELSEWHERE: [u8; 4] = [10, 0, 0, 2];

fn digest(password: &str) -> PasswordDigest {
    PasswordDigest::of(&Password::parse(password).unwrap())
}

/// The digits that stand in the place of this password.
fn digits(password: &str) -> String {
    digest(password).as_password().as_str().to_owned()
}

fn by_digest(user: &str, password: &str) -> Request {
    Request::LogInByDigest { name: name(user), digest: digest(password) }
}

/// A peer that may not make an account.
fn invited() -> Peer {
    Peer::Stranger { address: PeerAddress::of([127, 0, 0, 1].into()), binding: None, may_sign_up: false }
}

fn counted(outcome: &Outcome) -> usize {
    outcome.changes.iter().filter(|change| matches!(change, Change::Tries(TriesRow { .. }))).count()
}

/// The job of a try that is under way.
fn job(outcome: &Outcome) -> (Ticket, &Derivation) {
    match &outcome.effects[..] {
        [Effect::Suspend { .. }, Effect::Derive { ticket, derivations }] => (*ticket, &derivations[0]),
        other => panic!("{other:?}"),
    }
}

fn finish(world: &mut World, outcome: &Outcome) -> Outcome {
    let (ticket, derivation) = job(outcome);
    world.input(Input::Derived { ticket, verifiers: vec![derivation.run()] })
}

impl World {
    fn try_digest(&mut self, user: &str, password: &str) -> (ConnectionId, Outcome) {
        let connection = self.connect();
        (connection, self.try_digest_on(connection, user, password))
    }

    fn try_digest_on(&mut self, connection: ConnectionId, user: &str, password: &str) -> Outcome {
        let outcome = self.ask(connection, by_digest(user, password));
        self.derive(outcome)
    }

    /// Logs in, or signs up.
    fn correspondent(&mut self, user: &str, password: &str) -> ConnectionId {
        let (connection, outcome) = self.try_digest(user, password);
        assert!(outcome.welcomed(), "{outcome:?}");
        connection
    }

    /// What a refusal comes to after everything else.
    fn turned_away(&self, connection: ConnectionId, refusal: Refusal) -> [Effect; 2] {
        let reply = self.reply(connection, Err(refusal), IfLost::Send);
        [reply, Effect::Close { connection, how: Close::Forced }]
    }

    fn failed(&self, connection: ConnectionId, why: LogInFailure, refusal: Refusal) -> Vec<Effect> {
        let [reply, close] = self.turned_away(connection, refusal);
        vec![Effect::LogInFailed { connection, why }, reply, close]
    }

    fn operate(&mut self, operation: Operation) -> Outcome {
        let operator = self.connect_as(Peer::Operator);
        let outcome = self.ask(operator, Request::Operate(operation));
        self.derive(outcome)
    }

    fn add(&mut self, user: &str, password: &str, classic: bool) {
        let password = Password::parse(password).unwrap();
        let outcome = self.operate(Operation::Add { name: name(user), password, classic });
        assert_eq!(outcome.answer(), &Ok(Reply::UserAdded(name(user))));
    }

    fn reset(&mut self, user: &str, password: &str, classic: Option<bool>) -> Outcome {
        let password = Password::parse(password).unwrap();
        self.operate(Operation::SetPassword { name: name(user), password, classic })
    }

    fn is_hashed(&self, user: &str) -> bool {
        self.hub.accounts.is_hashed(self.hub.accounts.find(&name(user)).unwrap())
    }
}

fn with_key() -> World {
    World::with(Config { sealing_key: Some(SealingKey::new([3; 32])), ..config() }, Snapshot::default())
}

#[test]
fn where_the_password_is_known_a_log_in_comes_to_exactly_this() {
    let mut world = World::new();
    let connection = world.connect();
    let outcome = world.ask(connection, by_digest("ALICE", "alice's password"));
    let welcome = Reply::Welcome { user: name("alice"), waiting: 0 };
    let expected = [Effect::Authenticated { connection }, world.reply(connection, Ok(welcome), IfLost::Send)];
    assert_eq!(outcome.effects, expected, "without the worker");
    assert!(
        matches!(outcome.changes[..], [Change::SourceKnown { .. }, Change::Device(_), Change::Arrived { .. }]),
        "{outcome:?}"
    );
    let session = world.hub.presence.session(connection).unwrap();
    assert_eq!((session.manner, session.device), (Manner::Correspondent, Some(DeviceId::DATAGRAM)));
    let again = world.ask(connection, by_digest("alice", "alice's password"));
    assert_eq!(again, world.refusal(connection, Refusal::AlreadyLoggedIn));
}

#[test]
fn a_sign_up_comes_to_exactly_this() {
    let mut world = World::new();
    let connection = world.connect();
    let outcome = world.ask(connection, by_digest("Eve", "apple"));
    let (_, derivation) = job(&outcome);
    assert_eq!((derivation.salt, derivation.iterations), (world.hub.accounts.salt(&name("eve")), 1));
    assert_eq!(derivation.credential.password.as_str(), digits("apple"));
    let verifier = derivation.run().1;
    assert_eq!(outcome.changes, []);

    let outcome = finish(&mut world, &outcome);
    let welcome = Reply::Welcome { user: name("Eve"), waiting: 0 };
    let expected = [
        Effect::Unsuspend { connection },
        Effect::Authenticated { connection },
        world.reply(connection, Ok(welcome), IfLost::Refuse),
    ];
    assert_eq!(outcome.effects, expected);
    let [user, account, rest @ ..] = &outcome.changes[..] else { panic!("{outcome:?}") };
    let &Change::User { id, .. } = user else { panic!("{user:?}") };
    let made = Account { verifier, sealed: None, hashed: true };
    assert_eq!(account, &Change::Account { user: id, account: Some(made), before: None });
    assert!(matches!(rest, [Change::SourceKnown { .. }, Change::Device(_), Change::Arrived { .. }]), "{rest:?}");
    world.close(connection);
    world.correspondent("eve", "apple");
}

#[test]
fn nobody_signs_up_under_a_name_that_is_or_was_somebody_s() {
    let mut world = World::new();
    world.guest("gus");
    let (connection, outcome) = world.try_digest("gus", "apple");
    assert_eq!(
        outcome,
        Outcome {
            effects: world.turned_away(connection, Refusal::NameTaken(name("gus"))).into(),
            ..Outcome::default()
        }
    );
    world.read_accounts(vec![]);
    let (_, outcome) = world.try_digest("alice", "apple");
    assert_eq!(outcome.answer(), &Err(Refusal::NameTaken(name("alice"))));
    world.correspondent("eve", "apple");
    world.operate(Operation::Remove(name("eve")));
    world.correspondent("eve", "another");
}

#[test]
fn who_may_not_sign_up_is_unknown() {
    let mut world = World::new();
    let connection = world.connect_as(invited());
    let outcome = world.try_digest_on(connection, "eve", "apple");
    assert_eq!(outcome.effects, world.failed(connection, LogInFailure::UnknownName, Refusal::UnknownName));
    assert_eq!(counted(&outcome), 1, "for the source");
    let connection = world.connect_as(invited());
    assert!(world.try_digest_on(connection, "alice", "alice's password").welcomed());
}

#[test]
fn two_who_sign_up_with_the_same_are_one() {
    let mut world = World::new();
    let tries = ["apple", "apple", "banana"].map(|password| {
        let connection = world.connect();
        (connection, world.ask(connection, by_digest("eve", password)))
    });
    let [first, again, other] = tries.map(|(connection, outcome)| (connection, finish(&mut world, &outcome)));
    assert!(first.1.welcomed());
    assert!(again.1.welcomed(), "it is a log-in by now");
    assert_eq!(again.1.events_for(first.0), [&Event::Closing(CloseReason::Displaced)]);
    assert!(!again.1.changes.iter().any(|change| matches!(change, Change::Account { .. })));
    assert_eq!(other.1.answer(), &Err(Refusal::WrongPassword));
}

#[test]
fn a_sign_up_that_was_not_stored_is_none() {
    let mut world = World::new();
    let (connection, outcome) = world.try_digest("eve", "apple");
    let outcome = world.input(Input::CommitFailed(outcome.changes));
    assert_eq!(outcome.events_for(connection), [&Event::Closing(CloseReason::AccountChanged)]);
    assert!(outcome.effects.contains(&Effect::Close { connection, how: Close::Forced }));
    assert_eq!(world.hub.accounts.find(&name("eve")), None);
    world.correspondent("eve", "another");
}

#[test]
fn a_classic_account_is_checked_at_once_and_another_not_at_all() {
    let mut world = with_key();
    world.add("zoe", "apple", true);
    world.add("eve", "apple", false);
    let connection = world.connect();
    assert!(world.ask(connection, by_digest("zoe", "apple")).welcomed());
    let (connection, outcome) = world.try_digest("eve", "apple");
    let effects = world.failed(connection, LogInFailure::NotByThisProtocol, Refusal::NotByThisProtocol);
    assert_eq!(outcome, Outcome { effects, ..Outcome::default() }, "and nothing is counted");
}

#[test]
fn three_wrong_digests_lock_out_as_wrong_passwords_do() {
    let mut world = World::new();
    world.correspondent("eve", "apple");
    for user in ["alice", "eve"] {
        for refusal in [Refusal::WrongPassword, Refusal::WrongPassword, Refusal::LockedOutNow] {
            let (connection, outcome) = world.try_digest(user, "wrong");
            let expected = world.failed(connection, LogInFailure::WrongPassword, refusal);
            assert!(outcome.effects.ends_with(&expected), "{outcome:?}");
            assert_eq!(counted(&outcome), 3);
        }
        let (connection, outcome) = world.try_digest(user, "apple");
        let effects = world.failed(connection, LogInFailure::LockedOut, Refusal::LockedOut);
        assert_eq!(outcome, Outcome { effects, ..Outcome::default() }, "nothing is checked");
    }
    let native = world.connect();
    assert!(!world.try_password(native, "alice", "alice's password").logged_in());
    world.pass(Duration::from_secs(60));
    world.correspondent("alice", "alice's password");
}

#[test]
fn tries_that_are_under_way_together_are_judged_one_after_another() {
    let mut world = World::new();
    world.correspondent("eve", "apple");
    let tries = ["a", "b", "c", "apple"].map(|password| {
        let connection = world.connect();
        world.ask(connection, by_digest("eve", password))
    });
    let answers = tries.map(|outcome| finish(&mut world, &outcome).answer().clone());
    let wrong = || Err(Refusal::WrongPassword);
    assert_eq!(answers, [wrong(), wrong(), Err(Refusal::LockedOutNow), Err(Refusal::LockedOut)]);
}

#[test]
fn public_passwords_are_wrong_from_elsewhere() {
    let mut world = World::public();
    let connection = world.connect_from(ELSEWHERE);
    let outcome = world.try_digest_on(connection, "alice", "alice's password");
    assert_eq!(outcome.effects, world.failed(connection, LogInFailure::NotFromHere, Refusal::WrongPassword));
    world.correspondent("alice", "alice's password");
}

#[test]
fn a_log_in_waits_for_the_accounts() {
    let mut world = World::empty(config(), Snapshot::default());
    let connection = world.connect();
    let outcome = world.ask(connection, by_digest("alice", "alice's password"));
    assert_eq!(outcome, Outcome { effects: vec![Effect::Suspend { connection }], ..Outcome::default() });
    assert!(world.read_accounts(credentials()).welcomed());
}

#[test]
fn nothing_comes_of_a_try_whose_client_is_gone() {
    let mut world = World::new();
    let connection = world.connect();
    let outcome = world.ask(connection, by_digest("eve", "apple"));
    world.close(connection);
    assert!(!world.hub.digest_checks.has(job(&outcome).0));
    assert_eq!(finish(&mut world, &outcome), Outcome::default());
    assert_eq!(world.hub.accounts.find(&name("eve")), None);
}

#[test]
fn a_new_log_in_displaces_the_older() {
    let mut world = World::new();
    let older = world.correspondent("alice", "alice's password");
    let (_, outcome) = world.try_digest("alice", "alice's password");
    assert_eq!(outcome.events_for(older), [&Event::Closing(CloseReason::Displaced)]);
    assert!(outcome.effects.contains(&Effect::Close { connection: older, how: Close::Forced }));
}

#[test]
fn other_log_ins_to_an_account_by_digest_hash_first() {
    let mut world = World::new();
    world.correspondent("eve", "apple");
    let connection = world.connect();
    assert!(world.try_by_password(connection, "eve", "apple").welcomed());
    let connection = world.connect();
    assert_eq!(world.try_by_password(connection, "eve", &digits("apple")).answer(), &Err(Refusal::WrongPassword));
    let native = |world: &mut World, password: &str| {
        let connection = world.connect();
        world.try_password(connection, "eve", password).logged_in()
    };
    assert!(native(&mut world, &digits("apple")));
    assert!(!native(&mut world, "apple"));
}

#[test]
fn the_native_challenge_says_whose_password_is_hashed() {
    let mut world = World::new();
    world.correspondent("eve", "apple");
    for (user, is_hashed) in [("eve", true), ("alice", false), ("nobody", false)] {
        let connection = world.connect();
        let first = ClientFirst::parse(&ClientExchange::new(&name(user), b"n", None).message()).unwrap();
        let outcome = world.ask(connection, Request::LogIn { mechanism: Mechanism::Password, first, device: None });
        assert!(matches!(outcome.answer(), Ok(Reply::Challenge { hashed, .. }) if *hashed == is_hashed), "{user}");
    }
}

#[test]
fn an_account_by_digest_stays_one_unless_the_operator_says_otherwise() {
    let mut world = with_key();
    world.correspondent("eve", "apple");
    for (password, classic) in [("banana", None), ("cherry", Some(false))] {
        let outcome = world.reset("eve", password, classic);
        assert_eq!(outcome.answer(), &Ok(Reply::PasswordChanged(name("eve"))));
        assert!(world.is_hashed("eve"));
        let connection = world.correspondent("eve", password);
        world.close(connection);
        let connection = world.connect();
        assert!(world.try_by_password(connection, "eve", password).welcomed());
    }
    world.reset("eve", "damson", Some(true));
    assert!(!world.is_hashed("eve"), "the server has the password itself now");
    let connection = world.connect();
    assert!(world.ask(connection, by_digest("eve", "damson")).welcomed());
    let native = world.connect();
    assert!(world.try_password(native, "eve", "damson").logged_in());
    world.reset("eve", "elder", Some(false));
    assert_eq!(world.try_digest("eve", "elder").1.answer(), &Err(Refusal::NotByThisProtocol));
}

#[test]
fn one_s_own_new_password_keeps_the_account_one_by_digest() {
    let mut world = World::new();
    world.correspondent("eve", "apple");
    let native = world.connect_encrypted();
    let secret = |salt: &[u8], iterations| Secret::salted(&digits("apple"), salt, iterations);
    let outcome = world.exchange_bound(native, "eve", Mechanism::Password, None, Some(binding()), secret);
    assert!(outcome.logged_in());
    let keys = StoredKeys::of(&Secret::salted(&digits("banana"), &world.hub.accounts.salt(&name("eve")), 1));
    let outcome = world.ask(native, Request::ChangePassword(keys));
    assert_eq!(outcome.answer(), &Ok(Reply::PasswordChanged(name("eve"))));
    assert!(world.is_hashed("eve"));
    world.correspondent("eve", "banana");
}

#[test]
fn the_file_counts_where_it_has_a_name_too() {
    let mut world = World::new();
    let eve = world.correspondent("eve", "apple");
    let outcome = world.read_accounts(vec![Credential::new(name("eve"), "from the file")]);
    assert_eq!(outcome.events_for(eve), [&Event::Closing(CloseReason::AccountChanged)]);
    assert!(!world.is_hashed("eve"));
    let connection = world.connect();
    assert!(world.ask(connection, by_digest("eve", "from the file")).welcomed());
    let connection = world.connect();
    assert!(world.try_by_password(connection, "eve", "from the file").welcomed());
}

#[test]
fn accounts_by_digest_outlive_the_server() {
    let mut world = World::new();
    let (_, outcome) = world.try_digest("eve", "apple");
    let (mut users, mut accounts) = (vec![], vec![]);
    for change in outcome.changes {
        match change {
            Change::User { id, name } => users.push((id, name)),
            Change::Account { user, account: Some(account), .. } => accounts.push((user, account)),
            _ => {}
        }
    }
    let secret = Some([5; 32]);
    let mut world = World::with(config(), Snapshot { secret, users, accounts, ..Snapshot::default() });
    assert!(world.is_hashed("eve"));
    world.correspondent("eve", "apple");
}
