use super::*;
use crate::hub::change::TriesRow;
use crate::hub::effect::{Derivation, LogInFailure};
use crate::hub::input::{Operation, Ticket};
use crate::hub::lockout::SOURCE_TRIES;
use crate::hub::presence::Manner;

const ELSEWHERE: [u8; 4] = [10, 0, 0, 2];

/// What a refusal comes to after a job of the worker's.
fn refused_late(world: &World, connection: ConnectionId, why: LogInFailure, refusal: Refusal) -> Vec<Effect> {
    let reply = world.reply(connection, Err(refusal), IfLost::Send);
    vec![
        Effect::Suspend { connection },
        Effect::Unsuspend { connection },
        Effect::LogInFailed { connection, why },
        reply,
    ]
}

fn refused_at_once(world: &World, connection: ConnectionId, why: LogInFailure, refusal: Refusal) -> Vec<Effect> {
    refused_late(world, connection, why, refusal).split_off(2)
}

/// The names of the counters that a failure was counted in; the source over all names is under the empty one.
fn counted(outcome: &Outcome) -> Vec<(&str, bool)> {
    let row = |change| match change {
        &Change::Tries(TriesRow { ref name, source, .. }) => (name.as_str(), source.is_some()),
        other => panic!("{other:?}"),
    };
    outcome.changes.iter().map(row).collect()
}

const ALL_COUNTERS: [(&str, bool); 3] = [("alice", true), ("alice", false), ("", true)];

/// The job of a try that is under way.
fn job(outcome: &Outcome) -> (Ticket, &Derivation) {
    match &outcome.effects[..] {
        [Effect::Suspend { .. }, Effect::Derive { ticket, derivations }] => (*ticket, &derivations[0]),
        other => panic!("{other:?}"),
    }
}

/// The worker is done with this try.
fn finish(world: &mut World, outcome: &Outcome) -> Outcome {
    let (ticket, derivation) = job(outcome);
    world.input(Input::Derived { ticket, verifiers: vec![derivation.run()] })
}

#[test]
fn a_log_in_comes_to_exactly_this() {
    let mut world = World::new();
    let connection = world.connect();
    let outcome = world.ask(connection, World::by_password("ALICE", "alice's password"));
    let alice = world.hub.accounts.find(&name("alice")).unwrap();
    let verifier = world.hub.accounts.verifier(alice).unwrap().clone();
    let (_, derivation) = job(&outcome);
    assert_eq!((derivation.salt, derivation.iterations), (verifier.salt, verifier.iterations));
    assert_eq!(outcome.changes, []);

    let outcome = finish(&mut world, &outcome);
    let welcome = Reply::Welcome { user: name("alice"), waiting: 0 };
    let expected = [
        Effect::Unsuspend { connection },
        Effect::Authenticated { connection },
        world.reply(connection, Ok(welcome), IfLost::Send),
    ];
    assert_eq!(outcome.effects, expected);
    assert!(
        matches!(outcome.changes[..], [Change::SourceKnown { .. }, Change::Device(_), Change::Arrived { .. }]),
        "{outcome:?}"
    );
    let session = world.hub.presence.session(connection).unwrap();
    assert_eq!((session.manner, session.device), (Manner::Called { port: port() }, Some(DeviceId::REQUEST)));
    let again = world.ask(connection, World::by_password("alice", "alice's password"));
    assert_eq!(again, world.refusal(connection, Refusal::AlreadyLoggedIn));
}

#[test]
fn three_wrong_passwords_lock_out_whatever_connection_they_come_on() {
    let mut world = World::new();
    let wrong = LogInFailure::WrongPassword;
    for refusal in [Refusal::WrongPassword, Refusal::WrongPassword, Refusal::LockedOutNow] {
        let connection = world.connect();
        let outcome = world.try_by_password(connection, "alice", "wrong");
        assert_eq!(outcome.effects, refused_late(&world, connection, wrong, refusal));
        assert_eq!(counted(&outcome), ALL_COUNTERS);
    }
    let connection = world.connect();
    let locked = |world: &mut World| {
        let outcome = world.try_by_password(connection, "alice", "alice's password");
        let effects = refused_at_once(world, connection, LogInFailure::LockedOut, Refusal::LockedOut);
        outcome == Outcome { effects, ..Outcome::default() }
    };
    assert!(locked(&mut world), "nothing is checked, and nothing extends it");
    world.pass(Duration::from_micros(59_999_999));
    assert!(locked(&mut world));
    let elsewhere = world.connect_from(ELSEWHERE);
    assert!(world.try_by_password(elsewhere, "alice", "alice's password").welcomed(), "another source is not locked");
    world.pass(Duration::from_micros(1));
    assert!(world.try_by_password(connection, "alice", "alice's password").welcomed());
}

#[test]
fn a_success_forgets_the_wrong_tries() {
    let mut world = World::new();
    for round in 0..3 {
        for _ in 0..2 {
            let connection = world.connect();
            let outcome = world.try_by_password(connection, "alice", "wrong");
            assert_eq!(outcome.answer(), &Err(Refusal::WrongPassword), "round {round}");
        }
        world.called("alice");
    }
}

#[test]
fn the_counters_are_those_of_the_native_log_in() {
    let mut world = World::new();
    for _ in 0..2 {
        let connection = world.connect();
        world.try_password(connection, "alice", "wrong");
    }
    let connection = world.connect();
    assert_eq!(world.try_by_password(connection, "alice", "wrong").answer(), &Err(Refusal::LockedOutNow));
    let native = world.connect();
    assert!(!world.try_password(native, "alice", "alice's password").logged_in());
}

#[test]
fn tries_that_are_under_way_together_are_judged_one_after_another() {
    let mut world = World::new();
    let passwords = ["wrong", "bad", "no", "alice's password", "worse"];
    let tries: Vec<(ConnectionId, Outcome)> = passwords
        .map(|password| {
            let connection = world.connect();
            (connection, world.ask(connection, World::by_password("alice", password)))
        })
        .into();
    let answers: Vec<Answer> = tries.iter().map(|(_, outcome)| finish(&mut world, outcome).answer().clone()).collect();
    let [wrong, now, locked] = [Refusal::WrongPassword, Refusal::LockedOutNow, Refusal::LockedOut].map(Err);
    assert_eq!(answers, [wrong.clone(), wrong, now, locked.clone(), locked], "the right one came too late");
    assert!(!world.hub.presence.is_online(world.hub.accounts.find(&name("alice")).unwrap()));
}

#[test]
fn an_unknown_name_can_be_tried_again_and_again_and_counts_for_the_source_alone() {
    let mut world = World::new();
    let connection = world.connect_from(ELSEWHERE);
    for n in 0..SOURCE_TRIES {
        let outcome = world.try_by_password(connection, if n % 2 == 0 { "nobody" } else { "noone" }, "x");
        let effects = refused_at_once(&world, connection, LogInFailure::UnknownName, Refusal::UnknownName);
        assert_eq!((&outcome.effects, counted(&outcome)), (&effects, vec![("", true)]), "try {n}");
    }
    for user in ["nobody", "alice"] {
        let outcome = world.try_by_password(connection, user, "alice's password");
        let effects = refused_at_once(&world, connection, LogInFailure::LockedOut, Refusal::LockedOut);
        assert_eq!(outcome, Outcome { effects, ..Outcome::default() });
    }
    let here = world.connect();
    assert_eq!(world.try_by_password(here, "nobody", "x").answer(), &Err(Refusal::UnknownName));
}

#[test]
fn what_can_t_be_a_password_is_wrong_without_a_job() {
    let mut world = World::new();
    let connection = world.connect();
    let outcome = world.ask(connection, World::by_password("alice", ""));
    let effects = refused_at_once(&world, connection, LogInFailure::WrongPassword, Refusal::WrongPassword);
    assert_eq!((&outcome.effects, counted(&outcome)), (&effects, ALL_COUNTERS.to_vec()));
    let outcome = world.ask(connection, World::by_password("nobody", ""));
    assert_eq!(outcome.answer(), &Err(Refusal::UnknownName));
}

#[test]
fn public_passwords_are_wrong_from_elsewhere() {
    let mut world = World::public();
    let connection = world.connect_from(ELSEWHERE);
    let outcome = world.try_by_password(connection, "alice", "alice's password");
    let effects = refused_late(&world, connection, LogInFailure::NotFromHere, Refusal::WrongPassword);
    assert_eq!((&outcome.effects, counted(&outcome)), (&effects, ALL_COUNTERS.to_vec()));
    world.called("alice");
}

#[test]
fn a_log_in_waits_for_the_accounts() {
    let mut world = World::empty(config(), Snapshot::default());
    let connection = world.connect();
    let outcome = world.ask(connection, World::by_password("alice", "alice's password"));
    assert_eq!(outcome, Outcome { effects: vec![Effect::Suspend { connection }], ..Outcome::default() });
    let outcome = world.read_accounts(credentials());
    assert!(outcome.welcomed(), "{outcome:?}");
    let mut suspended = outcome.effects.iter().filter_map(|effect| match effect {
        Effect::Suspend { .. } => Some(true),
        Effect::Unsuspend { .. } => Some(false),
        _ => None,
    });
    assert!(suspended.by_ref().eq([false, true, false]), "for the accounts, then for the worker");
}

#[test]
fn the_account_counts_as_it_is_when_the_worker_is_done() {
    let mut world = World::new();
    let under_way = |world: &mut World, user: &str| {
        let connection = world.connect();
        world.ask(connection, World::by_password(user, &format!("{user}'s password")))
    };
    let (changed, gone) = (under_way(&mut world, "alice"), under_way(&mut world, "bob"));
    world.read_accounts(vec![Credential::new(name("alice"), "another")]);
    assert_eq!(finish(&mut world, &changed).answer(), &Err(Refusal::WrongPassword));
    let outcome = finish(&mut world, &gone);
    assert_eq!((outcome.answer(), counted(&outcome)), (&Err(Refusal::UnknownName), vec![("", true)]));
}

#[test]
fn a_name_is_unlocked_for_all_ways_to_log_in() {
    let mut world = World::new();
    let connection = world.connect();
    for _ in 0..3 {
        world.try_by_password(connection, "alice", "wrong");
    }
    let operator = world.connect_as(Peer::Operator);
    world.ask(operator, Request::Operate(Operation::Unlock(name("alice"))));
    assert!(world.try_by_password(connection, "alice", "alice's password").welcomed());
}

#[test]
fn nothing_comes_of_a_try_whose_connection_is_gone() {
    let mut world = World::new();
    for password in ["wrong", "alice's password"] {
        let connection = world.connect();
        let outcome = world.ask(connection, World::by_password("alice", password));
        world.close(connection);
        assert!(!world.hub.password_checks.has(job(&outcome).0));
        assert_eq!(finish(&mut world, &outcome), Outcome::default());
    }
}
