//! Questions for an address between clients that are called, and beside them those of native clients.

use super::consent::{Circle, address_of, of, offer_of};
use super::*;
use crate::hub::consent::{ANSWER_WITHIN, CONNECT_WITHIN};
use crate::hub::effect::{AskOver, NoAddress};
use crate::hub::input::Offer;

impl Circle {
    /// A client that is called, from an address of its own.
    fn come_called(&mut self, user: &str) -> (ConnectionId, Outcome) {
        let connection = ConnectionId { slot: self.world.next_slot + 1, generation: 0 };
        let peer = Peer::Stranger { address: address_of(connection), binding: None, may_sign_up: false };
        assert_eq!(self.world.connect_as(peer), connection);
        let outcome = self.world.try_by_password(connection, user, &format!("{user}'s password"));
        assert!(outcome.welcomed(), "{outcome:?}");
        (connection, outcome)
    }

    fn called(&mut self, user: &str) -> ConnectionId {
        self.come_called(user).0
    }

    fn post(&mut self, session: ConnectionId, user: &str, request: Request) -> Outcome {
        self.world.requests += 1;
        let (from, id) = (address_of(session), Some(self.world.id()));
        self.world.input(Input::Posted { from, user: name(user), id, request }).flat()
    }

    fn reply_to_post(&self, session: ConnectionId, reply: Reply, if_lost: IfLost) -> Effect {
        self.world.reply(session, Ok(reply), if_lost)
    }
}

fn question(user: &str) -> Request {
    Request::AskAddress { user: name(user), certificate: None }
}

fn answer(user: &str, offer: Option<Offer>) -> Request {
    Request::Consent { user: name(user), offer }
}

fn yes(user: &str) -> Request {
    answer(user, Some(Offer::WhereCalled))
}

fn asks(device: ConnectionId, user: &str) -> Effect {
    let told = Event::Asks { user: name(user), certificate: None, answer_within: ANSWER_WITHIN };
    event(device, told, IfLost::Send)
}

fn asked(user: &str) -> Reply {
    Reply::Asked { user: name(user), answer_within: ANSWER_WITHIN }
}

#[test]
fn who_has_no_word_for_it_is_not_asked_and_can_not_ask() {
    let mut circle = Circle::new();
    let (alice, carol) = (circle.come("alice", 1), circle.called("carol"));
    let (session, datagrams) = (circle.world.in_session("bob"), circle.world.by_datagrams("bob"));
    for (outcome, asker) in [(circle.ask(alice, "bob"), alice), (circle.post(carol, "carol", question("bob")), carol)] {
        let refused = Err(Refusal::CannotBeAsked(name("bob")));
        assert_eq!((outcome.answer(), outcome.effects.len()), (&refused, 1), "{asker:?}");
    }
    let native = circle.come("bob", 1);
    assert_eq!(circle.ask(alice, "bob").events_for(native).len(), 1);
    for other in [session, datagrams] {
        for request in [question("carol"), yes("alice"), answer("alice", None), answer("alice", Some(offer_of(alice)))]
        {
            assert_eq!(circle.request(other, request), circle.refusal(other, Refusal::NeedsTls));
        }
        assert_eq!(circle.privacy(other).asked_by.map(|asked| asked.user), Some(name("alice")));
    }
    let outcome = circle.yes(native, "alice");
    let told = |connection| outcome.events_for(connection).len();
    assert_eq!((told(session), told(datagrams), told(alice)), (0, 0, 1));
    let outcome = circle.revoke(session, "alice");
    assert_eq!(outcome.events_for(alice), [&Event::Revoked(name("bob"))]);
    assert_eq!(outcome.events_for(native), [&Event::AskOver { user: name("alice"), why: AskOver::Revoked }]);
    assert_eq!(outcome.events_for(datagrams), Vec::<&Event>::new());
}

#[test]
fn where_whoever_says_yes_is_called_the_asker_calls_too() {
    let mut circle = Circle::new();
    circle.come("bob", 1);
    circle.plain("bob", 2);
    let (alice, bob) = (circle.called("alice"), circle.called("bob"));
    let outcome = circle.post(alice, "alice", question("bob"));
    let reply = circle.reply_to_post(alice, asked("bob"), IfLost::Send);
    assert_eq!(outcome, of(vec![asks(bob, "alice"), reply], vec![]), "no other session of bob's hears of it");

    let outcome = circle.post(bob, "bob", yes("alice"));
    let (user, address) = (name("bob"), address_of(bob));
    let address = Event::Address { user, address, port: port(), certificate: None, connect_within: CONNECT_WITHIN };
    let consented = Reply::Consented {
        user: name("alice"),
        address: address_of(alice),
        certificate: None,
        connect_within: CONNECT_WITHIN,
    };
    let reply = circle.reply_to_post(bob, consented, IfLost::Refuse);
    assert_eq!(outcome.effects, [event(alice, address, IfLost::Drop), reply]);
    assert!(matches!(outcome.changes[..], [Change::Consent { waits, .. }] if waits == alice));
}

#[test]
fn a_no_is_told_to_the_asker() {
    let mut circle = Circle::new();
    let (alice, bob) = (circle.called("alice"), circle.called("bob"));
    circle.post(alice, "alice", question("bob"));
    let outcome = circle.post(bob, "bob", answer("alice", None));
    let declined = Event::NoAddress { user: name("bob"), why: NoAddress::Declined };
    let reply = circle.reply_to_post(bob, Reply::Declined(name("alice")), IfLost::Send);
    assert_eq!(outcome, of(vec![event(alice, declined, IfLost::Send), reply], vec![]));
    let outcome = circle.post(bob, "bob", yes("alice"));
    assert_eq!(outcome, circle.world.refusal(bob, Refusal::NotAsked(name("alice"))));
}

#[test]
fn the_two_ways_to_talk_do_not_mix() {
    let mut circle = Circle::new();
    let (alice, bob) = (circle.called("alice"), circle.called("bob"));
    let (native_alice, native_bob) = (circle.come("alice", 1), circle.come("bob", 1));
    let not_asked = Refusal::NotAsked(name("alice"));
    let encrypted = consent_offer(native_bob);

    circle.post(alice, "alice", question("bob"));
    for offer in [Some(encrypted), Some(Offer::WhereCalled), None] {
        let outcome = circle.request(native_bob, answer("alice", offer));
        assert_eq!(outcome, circle.world.refusal(native_bob, not_asked.clone()), "a plain question: {offer:?}");
    }
    let outcome = circle.post(bob, "bob", answer("alice", Some(encrypted)));
    assert_eq!(outcome, circle.world.refusal(bob, not_asked.clone()));
    assert!(circle.post(bob, "bob", yes("alice")).answer().is_ok(), "it is open still");

    circle.ask(native_alice, "bob");
    for offer in [Some(encrypted), Some(Offer::WhereCalled), None] {
        let outcome = circle.post(bob, "bob", answer("alice", offer));
        assert_eq!(outcome, circle.world.refusal(bob, not_asked.clone()), "an encrypted question: {offer:?}");
    }
    let outcome = circle.request(native_bob, yes("alice"));
    assert_eq!(outcome, circle.world.refusal(native_bob, not_asked));
    assert!(circle.yes(native_bob, "alice").answer().is_ok());
}

/// What a native client offers.
fn consent_offer(connection: ConnectionId) -> Offer {
    super::consent::offer_of(connection)
}

#[test]
fn who_is_here_in_another_way_only_can_not_be_asked() {
    let mut circle = Circle::new();
    let (alice, native) = (circle.called("alice"), circle.come("alice", 1));
    circle.come("bob", 1);
    circle.called("carol");
    circle.world.guest("gus");
    let no = |user: &str| Refusal::CannotBeAsked(name(user));
    for user in ["bob", "gus"] {
        assert_eq!(circle.post(alice, "alice", question(user)), circle.world.refusal(alice, no(user)));
    }
    for user in ["carol", "gus"] {
        assert_eq!(circle.ask(native, user), circle.world.refusal(native, no(user)));
    }
    let outcome = circle.post(alice, "alice", question("dave"));
    assert_eq!(outcome, circle.world.refusal(alice, Refusal::Offline(name("dave"))));
}

#[test]
fn a_question_says_what_its_asker_shows_and_a_guest_asks_nobody() {
    let mut circle = Circle::new();
    let (alice, native, gus) = (circle.called("alice"), circle.come("alice", 1), circle.world.guest("gus"));
    circle.called("bob");
    circle.come("bob", 1);
    let certificate = Some(super::consent::shown_by(alice));
    let outcome = circle.post(alice, "alice", Request::AskAddress { user: name("bob"), certificate });
    assert_eq!(outcome, circle.world.refusal(alice, Refusal::NeedsTls));
    for connection in [native, gus] {
        let outcome = circle.request(connection, question("bob"));
        assert_eq!(outcome, circle.world.refusal(connection, Refusal::NeedsTls));
    }
}

#[test]
fn a_question_ends_with_the_last_session_that_could_answer_it() {
    let mut circle = Circle::new();
    let (alice, bob) = (circle.called("alice"), circle.called("bob"));
    circle.come("bob", 1);
    circle.post(alice, "alice", question("bob"));
    let outcome = circle.post(bob, "bob", Request::LogOut);
    let offline = Event::NoAddress { user: name("bob"), why: NoAddress::Offline };
    assert_eq!(outcome.events_for(alice), [&offline], "bob himself is here still");
}

#[test]
fn a_new_log_in_of_who_is_asked_hears_the_question() {
    let mut circle = Circle::new();
    let (alice, _) = (circle.called("alice"), circle.called("bob"));
    circle.post(alice, "alice", question("bob"));
    let (native, outcome) = circle.log_in("bob", Some(1));
    assert!(!outcome.effects.contains(&asks(native, "alice")), "it could not answer");
    let (bob, outcome) = circle.come_called("bob");
    assert!(outcome.effects.contains(&asks(bob, "alice")), "{outcome:?}");
    assert_eq!(outcome.events_for(alice), Vec::<&Event>::new(), "bob was here all the time");
    assert!(circle.post(bob, "bob", yes("alice")).answer().is_ok());
}

#[test]
fn the_others_hear_that_it_is_over_only_if_they_were_told() {
    let mut circle = Circle::new();
    let (alice, bob, native) = (circle.called("alice"), circle.called("bob"), circle.come("bob", 1));
    circle.post(alice, "alice", question("bob"));
    let outcome = circle.post(alice, "alice", Request::LogOut);
    let over = Event::AskOver { user: name("alice"), why: AskOver::Withdrawn };
    assert_eq!(outcome.events_for(bob)[0], &over);
    assert!(!outcome.events_for(native).contains(&&over));
}

#[test]
fn whoever_was_consented_to_hears_that_it_is_taken_back() {
    let mut circle = Circle::new();
    let (alice, bob) = (circle.called("alice"), circle.called("bob"));
    circle.post(alice, "alice", question("bob"));
    circle.post(bob, "bob", yes("alice"));
    let outcome = circle.post(bob, "bob", Request::Block(name("alice")));
    assert_eq!(outcome.events_for(alice), [&Event::Revoked(name("bob"))]);
}
