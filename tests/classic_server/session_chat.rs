//! The chats of `session`: who may begin one, what is said in it, and all the ways in which it ends.

use crate::existing::End;
use crate::existing::session_client::{Chat, SessionClient};
use crate::scene::{Scene, end};

/// Two who are in a chat, and its id. Neither has confirmed it.
struct Pair {
    caller: SessionClient,
    called: SessionClient,
    id: String,
}

impl Pair {
    fn of(scene: &Scene, caller: &str, called: &str) -> Pair {
        let (caller, called) = (scene.session(caller), scene.session(called));
        let id = start(&caller, &called);
        Pair { caller, called, id }
    }
}

#[track_caller]
fn start(caller: &SessionClient, called: &SessionClient) -> String {
    caller.request_chat(called.user());
    let Chat { id, .. } = caller.expect_chat_with(called.user());
    assert!(id.len() == 14 && id.bytes().all(|byte| byte.is_ascii_digit()), "{id}");
    assert_eq!(called.expect_chat_with(caller.user()).id, id);
    id
}

#[track_caller]
fn is_unreachable(client: &SessionClient, other: &str) {
    client.request_chat(other);
    client.expect(&format!("UNREACHABLE({other})"));
}

#[test]
fn both_are_told_each_others_name_and_confirm_it_and_talk() {
    let scene = Scene::new();
    let Pair { caller: alice, called: bob, .. } = Pair::of(&scene, "alice", "bob");
    alice.press_enter();
    bob.press_enter();
    for text in ["hi, bob", "sch\u{f6}n \u{2014} \u{2713} \u{1f389} \u{202e}", "CHAT_CHECK", "(1,  bob)", "log  off"] {
        alice.say(text);
        bob.expect(&format!("alice: {text}"));
        bob.say(text);
        alice.expect(&format!("bob: {text}"));
    }
    // A chat with nobody is asked for in a chat too.
    alice.expect_nothing_else();
    bob.expect_nothing_else();
}

#[test]
fn the_id_is_the_local_time() {
    let scene = Scene::new();
    let now = || jiff::Zoned::now().strftime("%Y%m%d%H%M%S").to_string();
    let before = now();
    let Pair { id, .. } = Pair::of(&scene, "alice", "bob");
    assert!((before..=now()).contains(&id), "{id}");
}

#[test]
fn nobody_needs_to_confirm_a_chat() {
    let scene = Scene::new();
    let bob = scene.session("bob");
    // From now on this client confirms none.
    is_unreachable(&bob, "carol");
    let alice = scene.session("alice");
    start(&alice, &bob);
    bob.say("at once");
    alice.expect("bob: at once");
    alice.press_enter();
    alice.say("me too");
    bob.expect("alice: me too");
}

#[test]
fn a_text_that_is_typed_in_place_of_enter_arrives_without_the_confirmation() {
    let scene = Scene::new();
    let Pair { caller: alice, called: bob, id } = Pair::of(&scene, "alice", "bob");
    bob.say("I am typing already");
    alice.expect("bob: I am typing already");
    alice.say("m\u{ea}me moi \u{1f389}");
    bob.expect("alice: m\u{ea}me moi \u{1f389}");
    alice.end_chat();
    bob.expect(&format!("END_NOTIF({id})"));
    // The confirmation comes behind what is no chat's any more.
    bob.say("too late");
    let told = bob.next().text;
    assert!(!told.is_empty() && !told.contains("END_CHECK"), "{told:?}");
    alice.expect_nothing_else();
}

#[test]
fn an_end_that_is_typed_in_place_of_enter_ends_the_chat() {
    let scene = Scene::new();
    let Pair { caller: alice, called: bob, id } = Pair::of(&scene, "alice", "bob");
    bob.send(&["good bye", &format!("END_REQUEST({id})")]);
    alice.expect("bob: good bye");
    alice.expect(&format!("END_NOTIF({id})"));
    bob.expect_nothing_else();
}

#[test]
fn either_side_ends_a_chat_and_only_the_other_is_told() {
    let scene = Scene::new();
    let Pair { caller: alice, called: bob, id } = Pair::of(&scene, "alice", "bob");
    alice.end_chat();
    bob.expect(&format!("END_NOTIF({id})"));
    bob.press_enter();
    bob.expect_nothing_else();
    alice.expect_nothing_else();
    let Pair { caller: carol, called: dave, id } = Pair::of(&scene, "carol", "dave");
    dave.end_chat();
    carol.expect(&format!("END_NOTIF({id})"));
    carol.expect_nothing_else();
    dave.expect_nothing_else();
}

#[test]
fn who_has_not_confirmed_the_end_can_be_called_all_the_same() {
    let scene = Scene::new();
    let Pair { caller: alice, called: bob, id } = Pair::of(&scene, "alice", "bob");
    alice.end_chat();
    bob.expect(&format!("END_NOTIF({id})"));
    let carol = scene.session("carol");
    start(&carol, &bob);
    // Both END_CHECK, of the chat that is over, and CHAT_CHECK count for nothing.
    bob.send(&[&format!("END_CHECK({id})")]);
    bob.say("hello");
    carol.expect("bob: hello");
}

#[test]
fn the_end_of_a_chat_that_is_over_or_of_none_is_nothing() {
    let scene = Scene::new();
    let Pair { caller: alice, called: bob, id } = Pair::of(&scene, "alice", "bob");
    let carol = scene.session("carol");
    carol.end_chat();
    carol.expect_nothing_else();
    bob.end_chat();
    alice.expect(&format!("END_NOTIF({id})"));
    bob.say(&format!("END_REQUEST({id})"));
    bob.end_chat();
    bob.expect_nothing_else();
    alice.expect_nothing_else();
}

#[test]
fn whoever_is_away_engaged_oneself_or_nobody_is_unreachable() {
    let scene = Scene::new();
    let carol = scene.session("carol");
    for other in ["alice", "carol", "nobody", "two words", "", "al\u{ed}ce", &"x".repeat(40)] {
        is_unreachable(&carol, other);
    }
    let Pair { caller: alice, called: bob, .. } = Pair::of(&scene, "alice", "bob");
    is_unreachable(&carol, "alice");
    is_unreachable(&carol, "bob");
    is_unreachable(&alice, "carol");
    is_unreachable(&alice, "bob");
    // The chat has gone on.
    bob.say("still here");
    alice.expect("bob: still here");
}

#[test]
fn whoever_has_blocked_the_asker_is_unreachable() {
    let scene = Scene::new();
    let (alice, bob) = (scene.session("alice"), scene.session("bob"));
    scene.chat("bob", &["block", "alice"]).is("", "", 0);
    is_unreachable(&alice, "bob");
    bob.expect_nothing_else();
    scene.chat("bob", &["unblock", "alice"]).is("", "", 0);
    start(&alice, &bob);
}

#[test]
fn a_block_ends_a_chat() {
    let scene = Scene::new();
    let Pair { caller: alice, called: bob, id } = Pair::of(&scene, "alice", "bob");
    scene.chat("bob", &["block", "alice"]).is("", "", 0);
    alice.expect(&format!("END_NOTIF({id})"));
    bob.expect(&format!("END_NOTIF({id})"));
    is_unreachable(&alice, "bob");
}

#[test]
fn whoever_logs_off_ends_the_chat_for_the_other() {
    let scene = Scene::new();
    for spelling in ["log off", "LOG OFF", "  Log oFF \n"] {
        let Pair { caller: alice, called: bob, id } = Pair::of(&scene, "alice", "bob");
        alice.log_off(spelling);
        assert_eq!(alice.expect_end(), End::LoggedOff);
        bob.expect(&format!("END_NOTIF({id})"));
        is_unreachable(&bob, "alice");
        bob.log_off("log off");
        assert_eq!(bob.expect_end(), End::LoggedOff);
    }
}

#[test]
fn whoever_vanishes_ends_the_chat_for_the_other() {
    let scene = Scene::new();
    let Pair { caller: alice, called: bob, id } = Pair::of(&scene, "alice", "bob");
    drop(bob);
    alice.expect(&format!("END_NOTIF({id})"));
    alice.expect_nothing_else();
}

#[test]
fn whoever_is_displaced_ends_the_chat_for_the_other() {
    let scene = Scene::new();
    let Pair { caller: alice, called: bob, id } = Pair::of(&scene, "alice", "bob");
    let second = scene.session("alice");
    bob.expect(&format!("END_NOTIF({id})"));
    assert_eq!(end(&alice), End::Reset);
    start(&bob, &second);
}

#[test]
fn whoever_is_kicked_ends_the_chat_for_the_other() {
    let scene = Scene::on_disk();
    let Pair { caller: alice, called: bob, id } = Pair::of(&scene, "alice", "bob");
    assert_eq!(scene.chatd.user(&["kick", "alice"], "").status, 0);
    bob.expect(&format!("END_NOTIF({id})"));
    assert_eq!(end(&alice), End::Reset);
}

#[test]
fn many_pairs_chat_at_once_and_hear_nothing_of_each_other() {
    let scene = Scene::new();
    let pairs = [Pair::of(&scene, "alice", "bob"), Pair::of(&scene, "carol", "dave")];
    for n in 0..3 {
        for Pair { caller, called, .. } in &pairs {
            caller.say(&format!("number {n}"));
            called.say(&format!("answer {n}"));
        }
        for Pair { caller, called, .. } in &pairs {
            called.expect(&format!("{}: number {n}", caller.user()));
            caller.expect(&format!("{}: answer {n}", called.user()));
        }
    }
    for Pair { caller, called, .. } in &pairs {
        caller.expect_nothing_else();
        called.expect_nothing_else();
    }
}

#[test]
fn a_user_of_another_protocol_is_always_free_and_knows_nothing_of_it() {
    let scene = Scene::new();
    let (alice, carol) = (scene.session("alice"), scene.session("carol"));
    let mut bob = scene.native("bob");
    for asker in [&alice, &carol] {
        asker.request_chat("bob");
        asker.expect_chat_with("bob");
        asker.press_enter();
        asker.say("hello");
        bob.session.hears(&format!("{}: hello", asker.user()));
        bob.session.says(&format!("message {} hello to you", asker.user()));
        bob.session.hears_something();
        asker.expect("bob: hello to you");
    }
    alice.end_chat();
    alice.expect_nothing_else();
    // When such a user has gone altogether, the chat is over.
    let id = carol.chat().expect("a chat").id;
    bob.session.says("logout");
    bob.session.has_ended(0);
    carol.expect(&format!("END_NOTIF({id})"));
    carol.press_enter();
    is_unreachable(&carol, "bob");
}

#[test]
fn a_user_of_several_protocols_is_called_where_there_are_chats_and_reads_everywhere() {
    let scene = Scene::new();
    let alice = scene.session("alice");
    let request = scene.request("bob");
    let bob = scene.session("bob");
    start(&alice, &bob);
    alice.say("hello");
    bob.expect("alice: hello");
    request.expect("alice:hello\n");
    bob.say("hello to you");
    alice.expect("bob: hello to you");
    request.expect_nothing_else();
}

#[test]
fn a_chat_of_chats_own_reaches_a_session() {
    let scene = Scene::new();
    let bob = scene.session("bob");
    let mut alice = scene.native("alice");
    alice.session.says("chat bob");
    alice.session.hears_something();
    let id = bob.expect_chat_with("alice").id;
    bob.press_enter();
    bob.say("hello from a session");
    alice.session.hears("bob: hello from a session");
    alice.session.says("message bob hello from chat");
    alice.session.hears_something();
    bob.expect("alice: hello from chat");
    alice.session.says("end chat");
    alice.session.hears_something();
    bob.expect(&format!("END_NOTIF({id})"));
}

#[test]
fn a_server_that_stops_ends_chats_and_connections() {
    let mut scene = Scene::new();
    let Pair { caller: alice, called: bob, .. } = Pair::of(&scene, "alice", "bob");
    assert!(scene.chatd.stop().success());
    for client in [&alice, &bob] {
        assert_eq!(end(client), End::Reset);
    }
}
