use super::*;
use crate::hub::change::TriesRow;
use crate::hub::effect::{AccountsRead, Close, CloseReason, LogInFailure};
use crate::hub::input::{Operation, Precondition};

#[test]
fn a_log_in_comes_to_exactly_this() {
    let mut world = World::new();
    let claim = world.claim(1, 0);
    let (connection, outcome) = world.log_in_as("alice", Some(claim));
    let [Effect::Authenticated { connection: authenticated }, Effect::Reply { answer: Ok(reply), .. }, token] =
        &outcome.effects[..]
    else {
        panic!("{outcome:?}");
    };
    assert_eq!(*authenticated, connection);
    let Reply::LoggedIn { user, heartbeat_timeout, log, counter, waiting, .. } = reply else { panic!("{reply:?}") };
    assert_eq!((user.as_str(), heartbeat_timeout.as_secs(), *counter, *waiting), ("alice", 35, 0, 0));
    assert_eq!(*log, world.hub.accounts.log());
    assert_eq!(*token, event(connection, Event::Token, IfLost::Drop));
    let kinds: Vec<String> = outcome.changes.iter().map(|change| format!("{change:?}")).collect();
    assert!(
        matches!(outcome.changes[..], [Change::SourceKnown { .. }, Change::Device(_), Change::Arrived { .. }]),
        "{kinds:?}"
    );
}

/// What a refused log-in looks like: the reply, the log line, and one commit with three counters.
fn assert_refused(world: &World, connection: ConnectionId, outcome: &Outcome, why: LogInFailure) {
    assert_eq!(
        outcome.effects,
        [
            Effect::LogInFailed { connection, why },
            world.reply(connection, Err(Refusal::NotAuthenticated), IfLost::Send),
        ]
    );
    assert!(
        matches!(outcome.changes[..], [Change::Tries(_), Change::Tries(_), Change::Tries(_)]),
        "{:?}",
        outcome.changes
    );
}

#[test]
fn unknown_wrong_and_locked_look_alike() {
    let mut world = World::new();
    for (user, why) in [("alice", LogInFailure::WrongPassword), ("nobody", LogInFailure::UnknownName)] {
        let connection = world.connect();
        for _ in 0..3 {
            let outcome = world.try_password(connection, user, "wrong");
            assert_refused(&world, connection, &outcome, why);
        }
        let outcome = world.try_password(connection, user, "alice's password");
        assert_refused(&world, connection, &outcome, LogInFailure::LockedOut);
    }
}

#[test]
fn a_connection_has_five_failures_and_is_then_told_and_closed() {
    let mut world = World::new();
    let connection = world.connect();
    let claim = world.claim(1, 0);
    // Whatever they are: an old token, an unknown name, a wrong password, a name that is locked out.
    world.exchange(connection, "alice", Mechanism::Token, Some(claim), |_, _| Secret::token(&ResumeToken([1; 32])));
    for user in ["nobody", "bob", "carol"] {
        let outcome = world.try_password(connection, user, "wrong");
        assert_eq!(outcome.effects.len(), 2, "no more than the refusal: {outcome:?}");
    }
    let outcome = world.try_password(connection, "dave", "wrong");
    let closing = Event::Closing(CloseReason::LogInsFailed);
    assert_eq!(
        outcome.effects,
        [
            Effect::LogInFailed { connection, why: LogInFailure::WrongPassword },
            world.reply(connection, Err(Refusal::NotAuthenticated), IfLost::Send),
            event(connection, closing, IfLost::Send),
            Effect::Close { connection, how: Close::Forced },
        ]
    );
    assert!(!world.hub.presence.is_connected(connection));
    let again = world.connect();
    assert!(world.try_password(again, "dave", "dave's password").logged_in(), "another connection begins anew");
}

#[test]
fn who_tries_many_names_from_one_source_is_left_unchecked_and_who_has_succeeded_there_goes_on() {
    const CLASS: [u8; 4] = [10, 0, 0, 1];
    let mut world = World::new();
    let connection = world.connect_from(CLASS);
    assert!(world.try_password(connection, "alice", "alice's password").logged_in());
    for n in 0..100 {
        let connection = world.connect_from(CLASS);
        let outcome = world.try_password(connection, &format!("u{n}"), "wrong");
        assert_refused(&world, connection, &outcome, LogInFailure::UnknownName);
        world.close(connection);
    }
    for (user, password) in [("bob", "bob's password"), ("bob", "wrong"), ("nobody", "wrong")] {
        let connection = world.connect_from(CLASS);
        let outcome = world.try_password(connection, user, password);
        assert_refused(&world, connection, &outcome, LogInFailure::LockedOut);
    }
    let again = world.connect_from(CLASS);
    assert!(world.try_password(again, "alice", "alice's password").logged_in());
    assert_eq!(world.ask(connection, Request::Alive).answer(), &Ok(Reply::Alive), "who is there stays");
    let elsewhere = world.connect_from([10, 0, 0, 2]);
    assert!(world.try_password(elsewhere, "bob", "bob's password").logged_in());
    world.pass(world.hub.config.lockout);
    let later = world.connect_from(CLASS);
    assert!(world.try_password(later, "carol", "carol's password").logged_in());
}

#[test]
fn a_lock_out_ends_on_time_and_survives_a_restart() {
    let mut world = World::new();
    let connection = world.connect();
    let mut rows: Vec<TriesRow> = Vec::new();
    for _ in 0..3 {
        for change in world.try_password(connection, "alice", "wrong").changes {
            let Change::Tries(row) = change else { panic!("{change:?}") };
            rows.retain(|other| (&other.name, other.source) != (&row.name, row.source));
            rows.push(row);
        }
    }
    let mut again = World::with(config(), Snapshot { tries: rows, ..Snapshot::default() });
    for world in [&mut world, &mut again] {
        let connection = world.connect();
        world.pass(Duration::from_micros(59_999_999));
        assert!(!world.try_password(connection, "alice", "alice's password").logged_in());
        world.pass(Duration::from_micros(1));
        assert!(world.try_password(connection, "alice", "alice's password").logged_in());
    }
}

#[test]
fn somebody_elses_lock_out_touches_no_live_session() {
    let mut world = World::new();
    let alice = world.log_in("alice", 1);
    let stranger = world.connect();
    for _ in 0..5 {
        assert_eq!(world.try_password(stranger, "alice", "wrong").events_for(alice), Vec::<&Event>::new());
    }
    assert_eq!(world.ask(alice, Request::Alive).answer(), &Ok(Reply::Alive));
}

#[test]
fn public_passwords_work_from_loopback_only() {
    let mut world = World::public();
    let stranger = world.connect_from([10, 0, 0, 1]);
    let outcome = world.try_password(stranger, "alice", "alice's password");
    assert_refused(&world, stranger, &outcome, LogInFailure::NotFromHere);
    let local = world.connect();
    assert!(world.try_password(local, "alice", "alice's password").logged_in());
}

#[test]
fn tokens_of_public_passwords_work_from_loopback_only() {
    let mut world = World::public();
    let claim = world.claim(1, 0);
    let (alice, outcome) = world.log_in_as("alice", Some(claim));
    let token = world.token(&outcome);
    world.close(alice);
    let resume = |world: &mut World, connection, token: &ResumeToken| {
        world.exchange(connection, "alice", Mechanism::Token, Some(claim), |_, _| Secret::token(token))
    };
    let stranger = world.connect_from([10, 0, 0, 1]);
    for (token, why) in [(&token, LogInFailure::NotFromHere), (&ResumeToken([1; 32]), LogInFailure::StaleToken)] {
        let outcome = resume(&mut world, stranger, token);
        let refused = world.reply(stranger, Err(Refusal::TokenRefused), IfLost::Send);
        assert_eq!(outcome.effects, [Effect::LogInFailed { connection: stranger, why }, refused]);
        assert_eq!(outcome.changes, []);
    }
    let local = world.connect();
    assert!(resume(&mut world, local, &token).logged_in());
}

#[test]
fn log_ins_wait_for_the_accounts_whether_the_name_exists_or_not() {
    let mut world = World::empty(config(), Snapshot::default());
    let outcome = world.input(Input::Accounts { credentials: credentials(), public: false });
    let [Effect::Derive { ticket, derivations }] = &outcome.effects[..] else { panic!("{outcome:?}") };
    let (known, unknown) = (world.connect(), world.connect());
    for (connection, user) in [(known, "alice"), (unknown, "nobody")] {
        let first = ClientFirst::parse(&ClientExchange::new(&name(user), b"n", None).message()).unwrap();
        let outcome = world.ask(connection, Request::LogIn { mechanism: Mechanism::Password, first, device: None });
        assert_eq!(outcome, Outcome { effects: vec![Effect::Suspend { connection }], ..Outcome::default() });
    }
    let verifiers = derivations.iter().map(|job| job.run()).collect();
    let outcome = world.input(Input::Derived { ticket: *ticket, verifiers });
    assert!(matches!(
        &outcome.effects[..],
        [
            Effect::AccountsRead(AccountsRead { accounts: 4, added: 4, changed: 0, removed: 0, taken_over: 0 }),
            Effect::Unsuspend { connection: a },
            Effect::Reply { connection: b, answer: Ok(Reply::Challenge { .. }), .. },
            Effect::Unsuspend { connection: c },
            Effect::Reply { connection: d, answer: Ok(Reply::Challenge { .. }), .. },
        ] if (a, b, c, d) == (&known, &known, &unknown, &unknown)
    ));
}

#[test]
fn a_changed_password_ends_sessions_and_tokens_and_a_removed_account_is_nobody() {
    let mut world = World::new();
    let claim = world.claim(1, 0);
    let (alice, outcome) = world.log_in_as("alice", Some(claim));
    let bob = world.log_in("bob", 2);
    let dave = world.log_in("dave", 3);
    let token = world.token(&outcome);
    let mut changed = credentials();
    changed[0] = Credential::new(name("alice"), "another");
    changed.remove(3);
    let outcome = world.read_accounts(changed);
    let closing = Event::Closing(crate::hub::effect::CloseReason::AccountChanged);
    assert_eq!(outcome.events_for(alice), [&closing]);
    assert_eq!(outcome.events_for(dave)[0], &Event::Offline(name("alice")));
    assert!(outcome.events_for(dave).contains(&&closing));
    assert_eq!(outcome.events_for(bob), [&Event::Offline(name("alice")), &Event::Offline(name("dave"))]);
    let again = world.connect();
    let outcome = world.exchange(again, "alice", Mechanism::Token, Some(claim), |_, _| Secret::token(&token));
    assert_eq!(outcome.answer(), &Err(Refusal::TokenRefused));
    assert_eq!(world.message(bob, "dave", "hi").answer(), &Err(Refusal::NoSuchUser(name("dave"))));
}

#[test]
fn a_token_works_once_and_only_for_its_device_and_user() {
    let mut world = World::new();
    let claim = world.claim(1, 0);
    let (first, outcome) = world.log_in_as("alice", Some(claim));
    let token = world.token(&outcome);
    world.close(first);
    let connection = world.connect();
    let other_device = world.claim(2, 0);
    let resume = |world: &mut World, user, claim| {
        world.exchange(connection, user, Mechanism::Token, Some(claim), |_, _| Secret::token(&token))
    };
    assert_eq!(resume(&mut world, "alice", other_device).answer(), &Err(Refusal::TokenRefused));
    assert_eq!(resume(&mut world, "bob", claim).answer(), &Err(Refusal::TokenRefused));
    assert_eq!(resume(&mut world, "nobody", claim).answer(), &Err(Refusal::TokenRefused));
    let outcome = resume(&mut world, "alice", claim);
    assert!(outcome.logged_in());
    assert_ne!(world.token(&outcome), token);
    world.close(connection);
    let connection = world.connect();
    let outcome = world.exchange(connection, "alice", Mechanism::Token, Some(claim), |_, _| Secret::token(&token));
    assert_eq!(outcome.answer(), &Err(Refusal::TokenRefused), "used already");
}

#[test]
fn logging_out_takes_the_token_with_it() {
    let mut world = World::new();
    let claim = world.claim(1, 0);
    let (alice, outcome) = world.log_in_as("alice", Some(claim));
    let token = world.token(&outcome);
    world.ask(alice, Request::LogOut);
    let connection = world.connect();
    let outcome = world.exchange(connection, "alice", Mechanism::Token, Some(claim), |_, _| Secret::token(&token));
    assert_eq!(outcome.answer(), &Err(Refusal::TokenRefused));
}

#[test]
fn a_recorded_answer_to_a_challenge_is_worth_nothing() {
    let mut world = World::new();
    let connection = world.connect();
    let client = ClientExchange::new(&name("alice"), b"n", None);
    let log_in = |device| Request::LogIn {
        mechanism: Mechanism::Password,
        first: ClientFirst::parse(&client.message()).unwrap(),
        device,
    };
    let outcome = world.ask(connection, log_in(None));
    let Ok(Reply::Challenge { message, .. }) = outcome.answer() else { panic!() };
    let challenge = client.challenge(message).unwrap();
    let secret = Secret::salted("alice's password", &challenge.salt, challenge.iterations);
    let last = ClientFinal::parse(&client.prove(&challenge, &secret).0).unwrap();
    let spy = world.connect();
    assert_eq!(world.ask(spy, Request::Authenticate(last.clone())).answer(), &Err(Refusal::NoChallenge));
    world.ask(spy, log_in(None));
    assert_eq!(world.ask(spy, Request::Authenticate(last.clone())).answer(), &Err(Refusal::NotAuthenticated));
    assert!(world.ask(connection, Request::Authenticate(last)).logged_in());
}

#[test]
fn preconditions_are_checked_before_anything_happens() {
    let mut world = World::new();
    let requests = |world: &World| {
        let first = ClientFirst::parse(&ClientExchange::new(&name("alice"), b"n", None).message()).unwrap();
        let proof = "c=biws,r=x,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let _ = world;
        vec![
            Request::LogIn { mechanism: Mechanism::Password, first, device: None },
            Request::Authenticate(ClientFinal::parse(proof).unwrap()),
            Request::SignUp(keys("pencil")),
            Request::ChangePassword(keys("pencil")),
            Request::Operate(Operation::List),
            Request::LogOut,
            Request::Message { to: name("bob"), text: text("hi"), counter: None, receipt: false },
            Request::Message { to: name("bob"), text: text("hi"), counter: Some(1), receipt: false },
            Request::Broadcast { text: text("hi"), counter: None },
            Request::Broadcast { text: text("hi"), counter: Some(1) },
            Request::Acknowledge(Number(1)),
            Request::Alive,
            Request::Online,
            Request::Block(name("bob")),
            Request::Unblock(name("bob")),
            Request::Blocked,
            Request::History { with: None, before: None, limit: 1 },
        ]
    };
    for request in requests(&world) {
        let needs = request.precondition();
        let stranger = world.connect();
        let outcome = world.ask(stranger, request.clone());
        match needs {
            Precondition::LoggedOut => assert!(outcome.answer().is_ok()),
            Precondition::Challenged => assert_eq!(outcome, world.refusal(stranger, Refusal::NoChallenge)),
            Precondition::LoggedIn | Precondition::Device => {
                assert_eq!(outcome, world.refusal(stranger, Refusal::LogInFirst));
            }
            Precondition::Operator => assert_eq!(outcome, world.refusal(stranger, Refusal::OperatorOnly)),
        }
        let once = world.log_in_once("alice");
        let outcome = world.ask(once, request);
        match needs {
            Precondition::LoggedOut | Precondition::Challenged => {
                assert_eq!(outcome, world.refusal(once, Refusal::AlreadyLoggedIn));
            }
            Precondition::Device => assert_eq!(outcome, world.refusal(once, Refusal::NoDevice)),
            Precondition::LoggedIn => assert_ne!(outcome, world.refusal(once, Refusal::LogInFirst)),
            Precondition::Operator => assert_eq!(outcome, world.refusal(once, Refusal::OperatorOnly)),
        }
        world.close(once);
    }
}

#[test]
fn the_same_inputs_and_seed_give_the_same_outputs() {
    let run = |seed: u8| {
        let now =
            Now { instant: Instant::from_micros(1), wall: WallTime::from_millis(1_700_000_000_000), ..Now::default() };
        let hub = Hub::new(config(), [seed; 32], Snapshot::default(), now, &mut Outbox::new());
        let mut world = World { hub, now, next_slot: 0, requests: 0, derived: None };
        let mut transcript = format!("{:?}", world.read_accounts(credentials()));
        for (index, user) in NAMES.iter().enumerate() {
            let claim = world.claim(index as u8, 0);
            let (connection, outcome) = world.log_in_as(user, Some(claim));
            let message = outcome.answers().iter().map(|answer| format!("{answer:?}")).collect::<String>();
            transcript += &format!("{message}{:?}{:?}", world.token(&outcome).0, outcome.changes);
            transcript += &format!("{:?}", world.broadcast(connection, "hello"));
            transcript += &format!("{:?}", world.ask(connection, Request::Online));
            transcript += &format!("{:?}", world.pass(Duration::from_secs(7)));
        }
        transcript
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2), "the seed is what nonces and tokens come from");
}
