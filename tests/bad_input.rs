//! Bad input over sockets: the exact reply, then the close where there is one; nobody else notices; nothing is left behind.

mod support;

use serde_json::{Value, json};
use support::{Chatd, Client, device_claim};

/// A server with a bystander, whose session must not notice anything.
struct Scene {
    chatd: Chatd,
    bystander: Client,
    descriptors: usize,
}

impl Scene {
    fn new() -> Scene {
        let chatd = Chatd::start(&["--memory"]);
        let bystander = chatd.log_in("dave", 9);
        let descriptors = descriptors(&chatd);
        Scene { chatd, bystander, descriptors }
    }

    /// What bytes from somebody who is not logged in bring: everything up to the close.
    fn bytes(&mut self, bytes: &[u8]) -> String {
        let mut client = self.chatd.connect();
        client.send_bytes(bytes);
        let rest = client.rest();
        drop(client);
        self.settle();
        rest
    }

    /// The bystander has heard nothing, and the server holds nothing that it did not hold before.
    fn settle(&mut self) {
        self.bystander.nothing_but_alive();
        let end = std::time::Instant::now() + support::LIMIT;
        while descriptors(&self.chatd) != self.descriptors {
            assert!(std::time::Instant::now() < end, "a descriptor is left behind");
            std::thread::yield_now();
        }
    }
}

fn descriptors(chatd: &Chatd) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", chatd.pid())).expect("proc").count()
}

fn error(code: &str, text: &str) -> String {
    format!("{{\"error\":\"{code}\",\"text\":\"{text}\"}}\n")
}

const NOT_UNDERSTOOD: &str = "chatd: this is a chat server, and that is no protocol it speaks. Try: chat HOST PORT\n";

#[test]
fn other_protocols_get_one_readable_line_and_a_close() {
    let mut scene = Scene::new();
    for bytes in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"\0\0\0\0", b"hello\n", b"\xff\xfe"] {
        assert_eq!(scene.bytes(bytes), NOT_UNDERSTOOD, "{bytes:?}");
    }
    assert_eq!(scene.bytes(&[b' '; 100]), NOT_UNDERSTOOD);
}

#[test]
fn what_is_no_json_ends_the_connection_with_a_reason() {
    let mut scene = Scene::new();
    let start = "{\"error\":\"not-json\",\"text\":\"a request is a JSON object on a line: ";
    for line in ["{\n", "{]\n", "{\"id\":1,}\n", "{'id':1}\n", "{\"a\":\"\u{1}\"}\n"] {
        let reply = scene.bytes(line.as_bytes());
        assert!(
            reply.starts_with(start) && reply.ends_with("\"}\n") && reply.lines().count() == 1,
            "{line:?}: {reply:?}"
        );
    }
    assert_eq!(scene.bytes(b"{\"request\":\"\xff\"}\n"), error("not-utf8", "a request is UTF-8"));
    let deep = format!("{{\"x\":{}\n", "[".repeat(3000));
    assert!(scene.bytes(deep.as_bytes()).starts_with(start), "nested 3000 deep");
}

#[test]
fn a_line_without_an_end_is_too_much_before_the_log_in_and_too_long_after_it() {
    let mut scene = Scene::new();
    let long = vec![b'{'; 17_000];
    assert_eq!(scene.bytes(&long[..5000]), error("too-much", "too much was sent before the log-in"));
    let mut client = scene.chatd.log_in_once("alice");
    client.send_bytes(&long);
    assert_eq!(client.rest(), error("too-long", "a request has at most 16384 bytes"));
    drop(client);
    scene.settle();
}

#[test]
fn many_small_requests_before_the_log_in_are_too_much() {
    let mut scene = Scene::new();
    let mut client = scene.chatd.connect();
    let request = json!({"id": 1, "request": "online"});
    let line = format!("{request}\n");
    let refused = json!({"id": 1, "error": "log-in-first", "text": "log in first"});
    let most = 4096 / line.len();
    client.send_bytes(line.repeat(most).as_bytes());
    for _ in 0..most {
        assert_eq!(client.line(), refused);
    }
    client.send_bytes(line.as_bytes());
    assert_eq!(client.rest(), error("too-much", "too much was sent before the log-in"));
    drop(client);
    scene.settle();
}

#[test]
fn requests_of_the_wrong_shape_are_refused_and_the_connection_goes_on() {
    let mut scene = Scene::new();
    let mut client = scene.chatd.log_in_once("alice");
    let long = "x".repeat(4097);
    for (request, code) in [
        (json!({"request": "dance"}), "unknown-request"),
        (json!({"request": 7}), "bad-request"),
        (json!({}), "bad-request"),
        (json!({"request": "message", "to": "bob"}), "bad-request"),
        (json!({"request": "message", "to": "b b", "text": "hi"}), "bad-name"),
        (json!({"request": "message", "to": "everyone", "text": "hi"}), "bad-name"),
        (json!({"request": "message", "to": "nobody", "text": "hi"}), "no-such-user"),
        (json!({"request": "message", "to": "bob", "text": ""}), "bad-text"),
        (json!({"request": "message", "to": "bob", "text": "a\u{7}b"}), "bad-text"),
        (json!({"request": "message", "to": "bob", "text": long}), "text-too-long"),
        (json!({"request": "message", "to": "bob", "text": ["hi"]}), "bad-request"),
        (json!({"request": "message", "to": "bob", "text": "hi", "counter": 1}), "no-device"),
        (json!({"request": "acknowledge", "number": 1}), "no-device"),
        (json!({"request": "history", "limit": 0}), "bad-request"),
        (json!({"request": "history", "with": "nobody"}), "no-such-user"),
        (json!({"request": "unblock", "user": "bob"}), "not-blocked"),
        (json!({"request": "block", "user": "alice"}), "cannot-block-yourself"),
        (json!({"request": "log-in", "mechanism": "SCRAM-SHA-256", "message": "n,,n=bob,r=x"}), "already-logged-in"),
        (
            json!({"request": "authenticate", "message": "c=biws,r=x,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}),
            "already-logged-in",
        ),
    ] {
        let answer = client.ask(request.clone());
        assert_eq!(answer["error"], code, "{request}: {answer}");
        assert!(answer["text"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
    }
    client.nothing_but_alive();
    drop(client);
    scene.settle();
}

#[test]
fn log_ins_of_the_wrong_shape_are_refused() {
    let mut scene = Scene::new();
    let mut client = scene.chatd.connect();
    let log_in = |message: &str| json!({"request": "log-in", "mechanism": "SCRAM-SHA-256", "message": message});
    for (request, code) in [
        (log_in("n,,n=alice"), "bad-request"),
        (log_in("y,,n=alice,r=x"), "bad-request"),
        (log_in("p=tls-exporter,,n=alice,r=x"), "bad-request"),
        (log_in("n,a=bob,n=alice,r=x"), "bad-request"),
        (json!({"request": "log-in", "mechanism": "PLAIN", "message": "n,,n=alice,r=x"}), "bad-request"),
        (json!({"request": "authenticate", "message": "c=biws,r=x,p=AAAA"}), "bad-request"),
        (
            json!({"request": "authenticate", "message": "c=biws,r=x,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}),
            "no-challenge",
        ),
        (json!({"request": "message", "to": "bob", "text": "hi"}), "log-in-first"),
    ] {
        assert_eq!(client.ask(request.clone())["error"], code, "{request}");
    }
    drop(client);
    scene.settle();
}

#[test]
fn unknown_names_and_wrong_passwords_get_the_same_reply() {
    let scene = Scene::new();
    let mut client = scene.chatd.connect();
    let reply = |mut answer: Value| {
        answer["id"].take();
        answer
    };
    let wrong = reply(client.try_password("alice", "wrong"));
    assert_eq!(wrong["error"], "not-authenticated");
    assert_eq!(reply(client.try_password("nobody", "wrong")), wrong);
    client.try_password("alice", "wrong");
    client.try_password("alice", "wrong");
    assert_eq!(reply(client.try_password("alice", "wonderland")), wrong, "locked out");
    let line = scene.chatd.expect_log("log-in failed");
    assert!(line.contains("log-in failed from 127.0.0.1 (wrong password)"), "{line}");
    assert!(!line.contains("alice"), "{line}");
}

#[test]
fn a_forged_token_is_refused_and_a_used_one_too() {
    let scene = Scene::new();
    let mut alice = scene.chatd.log_in("alice", 1);
    let token = alice.token.take().expect("a token");
    drop(alice);
    let forged = chatd::wire::ResumeToken([1; 32]);
    let mut client = scene.chatd.connect();
    let refused = client.resume("alice", device_claim(1), &forged);
    assert_eq!(refused["error"], "token-refused", "{refused}");
    assert_eq!(client.resume("alice", device_claim(2), &token)["error"], "token-refused", "another device's");
    assert_eq!(client.resume("alice", device_claim(1), &token)["reply"], "logged-in");
    client.take_token();
    drop(client);
    let mut client = scene.chatd.connect();
    assert_eq!(client.resume("alice", device_claim(1), &token)["error"], "token-refused", "used already");
}

#[test]
fn whoever_listens_hears_no_token() {
    let scene = Scene::new();
    let mut alice = scene.chatd.log_in("alice", 1);
    let first = alice.token.take().expect("a token");
    let mut heard = alice.heard.clone();
    drop(alice);
    let mut client = scene.chatd.connect();
    assert_eq!(client.resume("alice", device_claim(1), &first)["reply"], "logged-in");
    client.take_token();
    let second = client.token.take().expect("a token");
    client.nothing_but_alive();
    heard += &client.heard;
    assert_eq!(heard.matches("{\"event\":\"token\"}\n").count(), 2, "{heard}");
    assert!(first != second);
    for token in [first, second] {
        let hex: String = token.0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!heard.to_lowercase().contains(&hex), "{heard}");
    }
}

#[test]
fn a_client_that_closes_its_side_still_gets_its_answers() {
    let scene = Scene::new();
    let mut client = scene.chatd.log_in_once("alice");
    let id = client.request(json!({"request": "message", "to": "bob", "text": "hi"}));
    client.close_our_side();
    let answer: Value = serde_json::from_str(&client.rest()).expect("one line");
    assert_eq!(answer, json!({"id": id, "reply": "accepted", "number": 1, "reach": "queued"}));
}

#[test]
fn answers_come_in_the_order_of_the_requests() {
    let scene = Scene::new();
    let mut client = scene.chatd.log_in_once("alice");
    let requests = [
        json!({"id": 1, "request": "message", "to": "bob", "text": "one"}),
        json!({"id": 2, "request": "dance"}),
        json!({"id": 3, "request": "message", "to": "bob", "text": "two"}),
    ];
    let lines: String = requests.iter().map(|request| format!("{request}\n")).collect();
    client.send_bytes(lines.as_bytes());
    let ids: Vec<Value> = (0..3).map(|_| client.line()["id"].take()).collect();
    assert_eq!(ids, [1, 2, 3]);
}

#[test]
fn half_a_line_and_silence_ends_when_its_time_is_over_and_nobody_notices() {
    // The time limit itself is tested in virtual time by the simulation; here: half a line costs nothing meanwhile.
    let mut scene = Scene::new();
    let mut half = scene.chatd.connect();
    half.send_bytes(b"{\"id\":1,");
    for _ in 0..100 {
        scene.bystander.nothing_but_alive();
    }
    half.send_bytes(b"\"request\":\"alive\"}\n");
    assert_eq!(half.line(), json!({"id": 1, "error": "log-in-first", "text": "log in first"}));
    drop(half);
    scene.settle();
}

#[test]
fn plaintext_out_of_scope_gets_one_line_and_a_close() {
    let chatd = Chatd::start(&["--memory", "--plaintext", "10.0.0.0/8"]);
    let mut client = chatd.connect();
    client.send(&json!({"id": 1, "request": "alive"}));
    assert_eq!(client.rest(), error("out-of-scope", "unencrypted connections are not served to your address: use TLS"));
}
