//! Somebody in each of the five protocols: each reaches each other, by every path that their protocol has, and by none when
//! they are blocked.

use crate::existing::End;
use crate::existing::datagram_client::DatagramClient;
use crate::existing::request_client::RequestClient;
use crate::existing::session_client::SessionClient;
use crate::scene::{Guest, Native, Scene, alert, end, hears_nothing_else};

const USERS: [&str; 5] = ["alice", "bob", "carol", "dave", "zoe"];
const BLOCKED: &str = "Your message could not bedelivered\nas the recipient has blocked you\n";

/// What is a word, a field or an end of a message in `session` or `datagram`.
const SYNTAX: [&str; 16] = [
    "CONNECTED",
    "END_NOTIF(20260101120000)",
    "CHAT_STARTED(20260101120000, bob)",
    "UNREACHABLE(bob)",
    "END_REQUEST(None)",
    "log off",
    "AUTH_SUCCESS(1234567890, 6001)",
    "bob: it is bob",
    "<20260101120000> bob: it is bob",
    "'}, 'header': {'command': '', 'message_type': 'GREETING', 'recipient_data': ''}}",
    "\\'\\\\' + \"\" u'' \\x41\\u0041\\",
    "[{'body': {}}, '']",
    "Private message from bob: it is bob",
    "Group Message from bob: it is bob",
    "from: to: a:b: ::",
    "%s %(name)s {0} \u{7f}\u{80}",
];

struct Everybody {
    alice: Native,
    bob: RequestClient,
    carol: SessionClient,
    dave: DatagramClient,
    zoe: Guest,
}

impl Everybody {
    fn new(scene: &Scene) -> Everybody {
        let zoe = scene.guest("zoe");
        let dave = scene.datagram("dave");
        zoe.expect("dave joined the chat!");
        let carol = scene.session("carol");
        zoe.expect("carol joined the chat!");
        dave.expect("ALERT", "carol is online!");
        let bob = scene.request("bob");
        zoe.expect("bob joined the chat!");
        dave.expect("ALERT", "bob is online!");
        let mut alice = scene.native("alice");
        zoe.expect("alice joined the chat!");
        dave.expect("ALERT", "alice is online!");
        bob.expect("note:alice is online!\n");
        alice.session.says("online");
        for user in ["bob", "carol", "dave", "zoe"] {
            alice.session.hears(user);
        }
        Everybody { alice, bob, carol, dave, zoe }
    }

    #[track_caller]
    fn hears(&mut self, user: &str, from: &str, text: &str) {
        match user {
            "alice" => self.alice.session.hears(&format!("{from}: {text}")),
            "bob" => self.bob.expect(&format!("{from}:{text}\n")),
            "carol" => self.carol.expect(&format!("{from}: {text}")),
            "dave" => self.dave.expect("MESSAGE_EXCHANGE", &format!("Private message from {from}: {text}")),
            _ => self.zoe.expect(&format!("{from} (private): {text}")),
        }
    }

    #[track_caller]
    fn hears_to_all(&mut self, user: &str, from: &str, text: &str) {
        match user {
            "alice" => self.alice.session.hears(&format!("{from} (to everyone): {text}")),
            "bob" => self.bob.expect(&format!("{from}:{text}\n")),
            "carol" => self.carol.expect(&format!("{from}: {text}")),
            "dave" => self.dave.expect("MESSAGE_EXCHANGE", &format!("Group Message from {from}: {text}")),
            _ => self.zoe.expect(&format!("{from}: {text}")),
        }
    }

    /// What a sender says to one other, in whatever way their protocol has for it.
    #[track_caller]
    fn says(&mut self, from: &str, to: &str, text: &str) {
        match from {
            "alice" => {
                self.alice.session.says(&format!("message {to} {text}"));
                self.alice.session.hears_something();
            }
            "bob" => self.bob.forward(to, text),
            "carol" => {
                self.carol.request_chat(to);
                self.carol.expect_chat_with(to);
                self.carol.send(&[text]);
            }
            _ => self.dave.message(to, text),
        }
    }

    /// What follows for the sender when it has come.
    #[track_caller]
    fn has_said(&mut self, from: &str, to: &str) {
        match from {
            "carol" => self.carol.end_chat(),
            "dave" => self.dave.expect("ACKNOWLEDGEMENT", &format!("Message received by {to}")),
            _ => {}
        }
    }
}

fn others(user: &str) -> impl Iterator<Item = &'static str> {
    USERS.into_iter().filter(move |other| *other != user)
}

#[test]
fn everybody_reaches_everybody() {
    let scene = Scene::new();
    let mut all = Everybody::new(&scene);
    for from in ["alice", "bob", "carol", "dave"] {
        for to in others(from) {
            let text = format!("sch\u{f6}n, {to}! \u{1f389}");
            all.says(from, to, &text);
            let heard = if to == "zoe" { format!("sch\\u{{f6}}n, {to}! \\u{{1f389}}") } else { text };
            all.hears(to, from, &heard);
            all.has_said(from, to);
        }
    }
    all.bob.expect_nothing_else();
    all.carol.expect_nothing_else();
    hears_nothing_else(&all.dave);
}

#[test]
fn who_speaks_to_everyone_is_heard_by_everyone() {
    let scene = Scene::new();
    let mut all = Everybody::new(&scene);
    for from in ["alice", "bob", "dave", "zoe"] {
        let text = format!("I am {from}");
        match from {
            "alice" => {
                all.alice.session.says(&format!("broadcast {text}"));
                all.alice.session.hears_something();
            }
            "bob" => all.bob.broadcast(&text),
            "dave" => all.dave.message_all(&text),
            _ => {
                all.zoe.say(&text);
                all.zoe.expect(&format!("zoe: {text}"));
            }
        }
        for to in others(from) {
            all.hears_to_all(to, from, &text);
            if from == "dave" {
                all.dave.wait_for("ACKNOWLEDGEMENT", &format!("Message received by {to}"));
            }
        }
    }
    all.bob.expect_nothing_else();
    all.carol.expect_nothing_else();
    hears_nothing_else(&all.dave);
}

#[test]
fn a_text_is_never_anything_but_a_text() {
    let scene = Scene::new();
    let mut all = Everybody::new(&scene);
    for text in SYNTAX {
        let text = text.replace('\u{80}', "");
        all.bob.broadcast(&text);
        let text = text.replace('\u{7f}', "\u{fffd}");
        all.hears_to_all("alice", "bob", &text);
        all.hears_to_all("dave", "bob", &text);
        all.hears_to_all("zoe", "bob", &text.replace('\u{fffd}', "\\u{fffd}"));
        let mut broken = text.clone();
        for word in ["END_NOTIF", "CHAT_STARTED", "UNREACHABLE"] {
            broken = broken.replace(word, &format!("{}\u{200b}{}", &word[..1], &word[1..]));
        }
        all.hears_to_all("carol", "bob", &broken);
    }
    all.carol.expect_nothing_else();
    hears_nothing_else(&all.dave);
}

#[test]
fn whoever_has_blocked_somebody_is_reached_by_no_path_of_theirs() {
    let scene = Scene::new();
    let mut all = Everybody::new(&scene);
    all.zoe.say("it begins");
    for user in ["alice", "bob", "carol", "dave"] {
        all.hears_to_all(user, "zoe", "it begins");
    }
    // bob has blocked both, and is away from what they say.
    for other in ["carol", "dave"] {
        all.bob.block(other);
        all.bob.expect(&format!("User {other} has been blocked\n"));
    }
    all.carol.request_chat("bob");
    all.carol.expect("UNREACHABLE(bob)");
    all.dave.message("bob", "evil");
    let error = all.dave.next();
    assert!(error.message_type == "ERROR" && error.body.contains("bob"), "{error:?}");
    all.dave.message_all("to all");
    all.hears_to_all("alice", "dave", "to all");
    all.hears_to_all("carol", "dave", "to all");
    all.zoe.wait_for("dave: to all");
    assert!(alert(&all.dave).contains("some"));
    for user in ["alice", "carol", "zoe"] {
        all.dave.wait_for("ACKNOWLEDGEMENT", &format!("Message received by {user}"));
    }
    all.dave.ask_for_contacts();
    for user in ["alice", "carol", "zoe"] {
        all.dave.expect("LIST_CONTACTS", &format!("{user} : ('127.0.0.1', {}) is online!", scene.chatd.port()));
    }
    all.bob.expect_nothing_else();

    // carol and dave have blocked alice.
    for user in ["carol", "dave"] {
        scene.chat(user, &["block", "alice"]).is("", "", 0);
        assert_eq!(scene.chat("alice", &["message", user, "evil"]).status, 77);
    }
    scene.broadcast("alice", "to the others");
    all.hears_to_all("bob", "alice", "to the others");
    all.hears_to_all("zoe", "alice", "to the others");
    all.carol.expect_nothing_else();
    hears_nothing_else(&all.dave);
    // What they say reaches her still.
    all.says("dave", "alice", "hello");
    all.hears("alice", "dave", "hello");
    all.carol.request_chat("alice");
    all.carol.expect("UNREACHABLE(alice)");
}

#[test]
fn whoever_is_blocked_by_a_client_of_request_hears_so_from_every_protocol() {
    let scene = Scene::new();
    let bob = scene.request("bob");
    let alice = scene.session("alice");
    bob.expect("note:alice is online!\n");
    let carol = scene.datagram("carol");
    bob.expect("note:carol is online!\n");
    for user in ["alice", "carol"] {
        scene.chat(user, &["block", "bob"]).is("", "", 0);
        bob.forward(user, "evil");
        bob.expect(BLOCKED);
    }
    bob.broadcast("evil");
    bob.expect("Your message could not be delivered to some recipients\n");
    bob.ask_who_is_online();
    bob.expect("online");
    for user in ["alice", "carol"] {
        bob.ask_for_address(user);
        bob.expect("getaddress,blocked");
    }
    alice.expect_nothing_else();
    hears_nothing_else(&carol);
}

#[test]
fn nobody_is_asked_for_an_address_who_has_none_to_give() {
    let scene = Scene::new();
    let bob = scene.request("bob");
    let alice = scene.session("alice");
    bob.expect("note:alice is online!\n");
    let carol = scene.datagram("carol");
    bob.expect("note:carol is online!\n");
    for user in ["alice", "carol"] {
        bob.ask_for_address(user);
        let told = bob.next().text;
        assert!(!told.starts_with("getaddress,alice,") && !told.contains("127.0.0.1"), "{told:?}");
    }
    alice.expect_nothing_else();
    hears_nothing_else(&carol);
}

#[test]
fn what_waits_comes_from_and_to_every_protocol_and_over_a_restart() {
    let mut scene = Scene::on_disk();
    let (bob, dave) = (scene.request("bob"), scene.datagram("dave"));
    bob.expect("note:dave is online!\n");
    bob.forward("alice", "from request");
    scene.wait_for_history("bob", "from request");
    dave.message("alice", "from datagram");
    alert(&dave);
    scene.message("carol", "alice", "from chat");
    scene.chatd.kill_and_restart();
    let alice = scene.datagram("alice");
    for (user, text) in [("bob", "from request"), ("dave", "from datagram"), ("carol", "from chat")] {
        alice.expect("MESSAGE_EXCHANGE", &format!("Private message from {user}: {text}"));
    }
    hears_nothing_else(&alice);
}

#[test]
fn history_is_of_all_protocols_and_lasts() {
    let mut scene = Scene::on_disk();
    let (alice, bob) = (scene.session("alice"), scene.datagram("bob"));
    alice.request_chat("bob");
    let id = alice.expect_chat_with("bob").id;
    alice.send(&["from session"]);
    bob.expect("MESSAGE_EXCHANGE", "Private message from alice: from session");
    bob.message("alice", "from datagram");
    alice.expect("bob: from datagram");
    bob.expect("ACKNOWLEDGEMENT", "Message received by alice");
    scene.message("alice", "bob", "from chat");
    bob.expect("MESSAGE_EXCHANGE", "Private message from alice: from chat");
    drop((alice, bob));
    scene.chatd.kill_and_restart();
    let alice = scene.session("alice");
    alice.ask_for_history("bob");
    let lines =
        ["alice: from session", "bob: from datagram", "alice: from chat"].map(|said| format!("<{id}> {said}\n"));
    // What was shown last may come again before it.
    alice.wait_for(&lines.concat());
    let history = scene.chat("alice", &["history", "bob"]).undated();
    let lines = ["alice -> bob: from session", "bob -> alice: from datagram", "alice -> bob: from chat"];
    history.is(&lines.map(|line| format!("(time) {line}\n")).concat(), "", 0);
}

#[test]
fn whoever_is_there_by_every_protocol_hears_everything_everywhere() {
    let scene = Scene::on_disk();
    let zoe = scene.guest("zoe");
    let mut native = scene.native("alice");
    zoe.expect("alice joined the chat!");
    let request = scene.request("alice");
    let session = scene.session("alice");
    let datagram = scene.datagram("alice");
    scene.message("bob", "alice", "hello");
    native.session.hears("bob: hello");
    request.expect("bob:hello\n");
    session.expect("bob: hello");
    datagram.expect("MESSAGE_EXCHANGE", "Private message from bob: hello");
    zoe.say("hello");
    zoe.expect("zoe: hello");
    native.session.hears("zoe (to everyone): hello");
    request.expect("zoe:hello\n");
    session.expect("zoe: hello");
    datagram.expect("MESSAGE_EXCHANGE", "Group Message from zoe: hello");
    scene.everything_is_shown();
    // Each protocol's second log-in ends its own first and no other.
    let second = scene.session("alice");
    assert_eq!(end(&session), End::Reset);
    let later = scene.datagram("alice");
    scene.message("bob", "alice", "still there?");
    native.session.hears("bob: still there?");
    request.expect("bob:still there?\n");
    second.expect("bob: still there?");
    later.expect("MESSAGE_EXCHANGE", "Private message from bob: still there?");
    assert!(!datagram.datagrams().concat().contains("still there?"));
    // One is gone when the last is.
    native.session.says("logout");
    native.session.has_ended(0);
    later.log_out();
    drop(request);
    second.log_off("log off");
    assert_eq!(second.expect_end(), End::LoggedOff);
    zoe.expect_nothing_before("a client that is called is there until it is silent");
}

#[test]
fn a_user_without_a_client_of_request_is_gone_when_the_last_of_the_others_is() {
    let scene = Scene::new();
    let zoe = scene.guest("zoe");
    let session = scene.session("alice");
    zoe.expect("alice joined the chat!");
    let datagram = scene.datagram("alice");
    drop(session);
    zoe.expect_nothing_before("still there");
    datagram.wait_for("MESSAGE_EXCHANGE", "Group Message from zoe: still there");
    datagram.log_out();
    zoe.expect("alice left the chat!");
    zoe.expect_nothing_before("gone");
}
