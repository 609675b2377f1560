//! Log-ons in any order, with datagrams that are lost, late and come twice, against the rules in their plainest form.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::log_on::endpoint;
use super::*;
use crate::hub::challenge::{Challenge, Response, SessionKey};
use crate::hub::effect::LogOnAnswer;
use crate::hub::id::Endpoint;
use crate::hub::log_on::{CONNECT_WITHIN, RESPONSE_WITHIN};

const WHO: [&str; 2] = ["alice", "bob"];
/// Two of them at one address.
const WHERE: [([u8; 4], u16); 3] = [([127, 0, 0, 1], 4000), ([127, 0, 0, 1], 4001), ([10, 0, 0, 2], 4000)];

#[derive(Clone, Copy, Debug)]
enum Step {
    Hello,
    /// To one of the challenges so far, counted from the last.
    Respond {
        back: usize,
        right: bool,
    },
    Connect {
        back: usize,
    },
    Pass(u64),
}

/// So few that the lock-out over all sources has nothing to do.
const STEPS_MAX: usize = 29;

fn steps() -> impl Strategy<Value = Vec<(Step, usize, usize)>> {
    let step = prop_oneof![
        Just(Step::Hello),
        (0..3usize, any::<bool>()).prop_map(|(back, right)| Step::Respond { back, right }),
        (0..3usize).prop_map(|back| Step::Connect { back }),
        (1..40u64).prop_map(Step::Pass),
    ];
    prop::collection::vec((step, 0..WHO.len(), 0..WHERE.len()), 1..=STEPS_MAX)
}

/// What a user's client at an endpoint can still do.
#[derive(Default)]
struct Place {
    open: Option<(Challenge, Instant)>,
    closed: Option<(Response, LogOnAnswer, Instant)>,
}

struct Scene {
    world: World,
    places: BTreeMap<(Endpoint, usize), Place>,
    expected: BTreeMap<(PeerAddress, Challenge), (usize, Instant)>,
    challenges: Vec<Challenge>,
}

impl Scene {
    fn new() -> Scene {
        let world = World::with(Config { password_tries: 1000, ..config() }, Snapshot::default());
        Scene { world, places: BTreeMap::new(), expected: BTreeMap::new(), challenges: Vec::new() }
    }

    fn step(&mut self, step: Step, who: usize, place: usize) {
        let (address, port) = WHERE[place];
        let from = endpoint(address, port);
        match step {
            Step::Hello => self.hello(from, who),
            Step::Respond { back, right } => self.respond(from, who, back, right),
            Step::Connect { back } => self.connect(address, back),
            Step::Pass(seconds) => {
                let outcome = self.world.pass(Duration::from_secs(seconds));
                self.end(&outcome);
            }
        }
    }

    /// What is over by now; `outcome`: everybody who was expected too long is not any more.
    fn end(&mut self, outcome: &Outcome) {
        let now = self.world.now.instant;
        let late = self.expected.extract_if(.., |_, &mut (_, until)| until <= now).map(|((_, challenge), _)| challenge);
        let (mut late, mut ended): (Vec<_>, _) = (late.collect(), outcome.expects_no_more());
        late.sort();
        ended.sort();
        assert_eq!(ended, late);
        for place in self.places.values_mut() {
            place.open.take_if(|&mut (_, until)| until <= now);
            place.closed.take_if(|(.., until)| *until <= now);
        }
    }

    fn hello(&mut self, from: Endpoint, who: usize) {
        let outcome = self.world.hello(from, WHO[who]);
        let &LogOnAnswer::Challenge(challenge) = outcome.log_on_answer() else { panic!("{outcome:?}") };
        let place = self.places.entry((from, who)).or_default();
        match place.open {
            Some((open, _)) => assert_eq!(challenge, open),
            None => {
                assert!(!self.challenges.contains(&challenge), "it is new");
                self.challenges.push(challenge);
                place.open = Some((challenge, self.world.now.instant + RESPONSE_WITHIN));
            }
        }
    }

    fn respond(&mut self, from: Endpoint, who: usize, back: usize, right: bool) {
        let Some(&to) = self.challenges.iter().rev().nth(back) else { return };
        let password =
            Password::parse(&if right { format!("{}'s password", WHO[who]) } else { "wrong".into() }).unwrap();
        let response = Response::to(to, &password);
        let outcome = self.world.respond(from, WHO[who], response);
        let place = self.places.entry((from, who)).or_default();
        let (answer, counts) = match (&place.closed, place.open) {
            (Some((before, answer, _)), _) if *before == response => (answer.clone(), false),
            (_, None) => (LogOnAnswer::Failed, false),
            (_, Some((challenge, until))) => {
                let answer = match right && challenge == to {
                    true => LogOnAnswer::Succeeded { challenge, key: SessionKey::of(challenge, &password) },
                    false => LogOnAnswer::Failed,
                };
                *place = Place { open: None, closed: Some((response, answer.clone(), until)) };
                (answer, true)
            }
        };
        assert_eq!(outcome.log_on_answer(), &answer);
        let succeeded = counts && answer != LogOnAnswer::Failed;
        let counted = outcome.changes.iter().any(|change| matches!(change, Change::Tries(row) if row.failures > 0));
        assert_eq!(counted, counts && !succeeded);
        let is_expected = outcome.effects.iter().any(|effect| matches!(effect, Effect::Expect { .. }));
        assert_eq!(is_expected, succeeded);
        if succeeded {
            self.expected.retain(|&(address, _), &mut (whose, _)| address != from.peer() || whose != who);
            self.expected.insert((from.peer(), to), (who, self.world.now.instant + CONNECT_WITHIN));
        }
    }

    fn connect(&mut self, address: [u8; 4], back: usize) {
        let Some(&challenge) = self.challenges.iter().rev().nth(back) else { return };
        let (connection, outcome) = self.world.come(address, challenge);
        let expected = self.expected.remove(&(PeerAddress::of(address.into()), challenge));
        assert_eq!(outcome.welcomed(), expected.is_some());
        let session = self.world.hub.presence.session(connection);
        let whose = session.map(|session| self.world.hub.accounts.name(session.user).clone());
        assert_eq!(whose, expected.map(|(who, _)| name(WHO[who])));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn each_challenge_is_answered_once_and_each_log_on_connects_once(steps in steps()) {
        let mut scene = Scene::new();
        for (step, who, place) in steps {
            scene.step(step, who, place);
        }
        let outcome = scene.world.pass(CONNECT_WITHIN + RESPONSE_WITHIN);
        scene.end(&outcome);
        prop_assert_eq!(scene.world.hub.log_ons.next_deadline(), None, "nothing is left over");
    }
}
