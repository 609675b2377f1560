mod chats;

use super::*;
use crate::wire::native::client::Party;
use crate::wire::scram::{Checked, ClientFinal, ClientFirst, SALT_BYTES, ServerExchange, StoredKeys, Verifier};
use serde_json::Value;

const NONCES: Nonces = [[1; 18], [2; 18]];
const LOG: LogId = LogId(0xa);

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

fn seconds(seconds: u64) -> Now {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Now {
    Duration::from_millis(millis)
}

fn device() -> Device {
    Device { id: DeviceId::from_bytes([3; 16]), shown: None, token: None }
}

fn login(password: Option<&str>, device: Option<Device>) -> Login {
    Login { user: name("alice"), password: password.map(str::to_owned), device, heartbeat: seconds(30) }
}

fn message(to: &str, text: &str) -> Request {
    Request::Message { to: name(to), text: Text::parse(text).unwrap(), receipt: false }
}

/// The server's side, by hand.
struct Peer {
    verifier: Verifier,
    hashed: bool,
    token: Option<ResumeToken>,
    /// What the last log-in came to.
    derived: Option<ResumeToken>,
    exchange: Option<ServerExchange>,
}

impl Peer {
    fn new() -> Peer {
        Peer {
            verifier: Verifier::derive("wonderland", [5; SALT_BYTES], 4096),
            hashed: false,
            token: None,
            derived: None,
            exchange: None,
        }
    }

    /// A server that knows but the digest of the password.
    fn hashed() -> Peer {
        let digest = "a71a7c7011f53a1bab3642ec2ce12593f05230ace8de1e3e7645f69efac1443d";
        Peer { verifier: Verifier::derive(digest, [5; SALT_BYTES], 4096), hashed: true, ..Peer::new() }
    }

    /// Answers a `log-in` with a challenge.
    fn challenge(&mut self, line: &str) -> String {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["request"], "log-in");
        let first = ClientFirst::parse(line["message"].as_str().unwrap()).unwrap();
        let exchange = ServerExchange::new(&first, b"server", &self.verifier.salt, self.verifier.iterations);
        let hashed = if self.hashed { r#","hashed":true"# } else { "" };
        let message = exchange.message();
        let answer = format!(r#"{{"id":{},"reply":"challenge","message":"{message}"{hashed}}}"#, line["id"]);
        self.exchange = Some(exchange);
        answer + "\n"
    }

    /// Answers an `authenticate`.
    fn check(&mut self, line: &str, counter: u64) -> String {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["request"], "authenticate");
        let last = ClientFinal::parse(line["message"].as_str().unwrap()).unwrap();
        let keys = match &self.token {
            Some(token) => StoredKeys::of_token(token, &self.verifier).bound_to(&self.verifier),
            None => self.verifier.keys.clone(),
        };
        let Checked::Right(proof, token) = self.exchange.take().unwrap().check(&last, &keys, None) else {
            panic!("the proof is right");
        };
        self.derived = Some(token);
        format!(
            "{{\"id\":{},\"reply\":\"logged-in\",\"message\":\"{proof}\",\"user\":\"Alice\",\"heartbeat-timeout\":35,\
             \"log\":\"{LOG}\",\"counter\":{counter},\"waiting\":0}}\n",
            line["id"]
        )
    }
}

fn sent(session: &mut Session) -> Vec<String> {
    let out = String::from_utf8(session.take_output()).unwrap();
    out.lines().map(str::to_owned).collect()
}

fn happened(session: &mut Session) -> Vec<Happening> {
    std::iter::from_fn(|| session.next_happening()).collect()
}

fn hear(session: &mut Session, now: Now, line: &str) {
    session.received(now, line.as_bytes());
}

/// Logs in on a new connection; what is sent after it is left in the output.
fn log_in(session: &mut Session, peer: &mut Peer, now: Now, counter: u64) {
    session.connected(now, NONCES, None);
    let challenge = peer.challenge(&sent(session)[0]);
    hear(session, now, &challenge);
    let proof = peer.check(&sent(session)[0], counter);
    hear(session, now, &proof);
    let expected = Happening::LoggedIn { user: name("alice"), waiting: 0 };
    assert_eq!(happened(session), [expected]);
    assert!(session.is_logged_in());
}

fn logged_in() -> Session {
    let mut session = Session::new(login(Some("wonderland"), Some(device())));
    log_in(&mut session, &mut Peer::new(), seconds(0), 0);
    session.take_memory();
    session
}

fn message_event(number: u64) -> String {
    format!("{{\"event\":\"message\",\"number\":{number},\"time\":1,\"from\":\"bob\",\"text\":\"hi\"}}\n")
}

fn heard(number: u64) -> Happening {
    let (from, to) = (Party::User(name("bob")), Party::You);
    Happening::News(News::Message(Heard { number: Number(number), time: 1, from, to, text: "hi".into() }))
}

/// Servers ask whoever is slow to begin for a nickname.
#[test]
fn the_question_for_a_nickname_is_passed_over_before_anything_else() {
    for at_a_time in [1, 3, 100] {
        let mut session = Session::new(login(Some("wonderland"), Some(device())));
        let mut peer = Peer::new();
        session.connected(seconds(0), NONCES, None);
        let challenge = format!("NICK{}", peer.challenge(&sent(&mut session)[0]));
        challenge.as_bytes().chunks(at_a_time).for_each(|bytes| session.received(seconds(0), bytes));
        let proof = peer.check(&sent(&mut session)[0], 0);
        hear(&mut session, seconds(0), &proof);
        assert_eq!(happened(&mut session), [Happening::LoggedIn { user: name("alice"), waiting: 0 }]);
    }
    let mut session = Session::new(login(Some("wonderland"), Some(device())));
    session.connected(seconds(0), NONCES, None);
    session.received(seconds(0), b"NICKNICK\n");
    assert_eq!(happened(&mut session), [Happening::End(End::NotUnderstood)], "once");
}

#[test]
fn a_log_in_says_exactly_this() {
    let mut session = Session::new(login(Some("wonderland"), Some(device())));
    session.connected(seconds(0), NONCES, None);
    assert_eq!(
        sent(&mut session),
        [
            r#"{"id":1,"request":"log-in","mechanism":"SCRAM-SHA-256","message":"n,,n=alice,r=AQEBAQEBAQEBAQEBAQEBAQEB","device":"03030303030303030303030303030303"}"#
        ]
    );
    let mut session = Session::new(login(Some("wonderland"), None));
    session.connected(seconds(0), NONCES, None);
    assert!(!sent(&mut session)[0].contains("device"));
}

#[test]
fn how_the_bytes_are_split_changes_nothing() {
    let mut session = Session::new(login(Some("wonderland"), Some(device())));
    let mut peer = Peer::new();
    session.connected(seconds(0), NONCES, None);
    let challenge = peer.challenge(&sent(&mut session)[0]);
    challenge.bytes().for_each(|byte| session.received(seconds(0), &[byte]));
    let rest = peer.check(&sent(&mut session)[0], 0) + &message_event(1) + &message_event(2);
    rest.bytes().for_each(|byte| session.received(seconds(0), &[byte]));
    assert_eq!(happened(&mut session)[1..], [heard(1), heard(2)]);
}

#[test]
fn requests_wait_for_the_log_in_and_are_answered_by_their_tag() {
    let mut session = Session::new(login(Some("wonderland"), Some(device())));
    let first = session.ask(message("bob", "hi")).unwrap();
    let second = session.ask(Request::Online).unwrap();
    log_in(&mut session, &mut Peer::new(), seconds(0), 41);
    assert_eq!(
        sent(&mut session),
        [r#"{"id":1,"request":"message","to":"bob","text":"hi","counter":42}"#, r#"{"id":2,"request":"online"}"#,]
    );
    hear(&mut session, seconds(0), "{\"id\":2,\"reply\":\"online\",\"users\":[\"bob\"],\"continues\":true}\n");
    hear(&mut session, seconds(0), "{\"id\":1,\"reply\":\"accepted\",\"number\":7,\"reach\":\"queued\"}\n");
    hear(&mut session, seconds(0), "{\"id\":2,\"reply\":\"online\",\"users\":[\"carol\"]}\n");
    assert_eq!(
        happened(&mut session),
        [
            Happening::Answered {
                tag: first,
                answer: Ok(Done::Accepted { number: Number(7), reach: ReachTold::Queued })
            },
            Happening::Answered { tag: second, answer: Ok(Done::Online(vec![name("bob"), name("carol")])) },
        ]
    );
    assert_eq!(session.pending(), 0);
}

#[test]
fn unanswered_sends_travel_again_with_their_counters_and_in_order() {
    let mut session = logged_in();
    let mut tags = Vec::new();
    for text in ["a", "b", "c"] {
        tags.push(session.ask(message("bob", text)).unwrap());
    }
    let before = sent(&mut session);
    hear(
        &mut session,
        seconds(1),
        &format!("{{\"id\":{},\"reply\":\"accepted\",\"number\":1,\"reach\":\"online\"}}\n", tags[0].0),
    );
    assert_eq!(happened(&mut session).len(), 1);
    session.disconnected();
    assert!(!session.is_logged_in());
    tags.push(session.ask(message("bob", "d")).unwrap());
    // The server has seen "b", whose answer was lost.
    log_in(&mut session, &mut Peer::new(), seconds(2), 2);
    let again = sent(&mut session);
    assert_eq!(again[..2], before[1..]);
    assert!(again[2].contains(r#""text":"d","counter":4"#), "{}", again[2]);
    assert_eq!(again.len(), 3);
}

#[test]
fn counters_go_on_above_what_the_server_has_seen() {
    let mut session = logged_in();
    session.disconnected();
    log_in(&mut session, &mut Peer::new(), seconds(2), 100);
    session.ask(message("bob", "x")).unwrap();
    assert!(sent(&mut session)[0].contains(r#""counter":101"#));
}

#[test]
fn without_a_device_nothing_is_sent_twice() {
    let mut session = Session::new(login(Some("wonderland"), None));
    session.ask(message("bob", "a")).unwrap();
    log_in(&mut session, &mut Peer::new(), seconds(0), 0);
    assert_eq!(sent(&mut session), [r#"{"id":1,"request":"message","to":"bob","text":"a"}"#]);
    session.disconnected();
    log_in(&mut session, &mut Peer::new(), seconds(1), 0);
    assert_eq!(sent(&mut session), [""; 0]);
}

#[test]
fn a_copy_is_told_once_and_acknowledged_again() {
    let mut session = logged_in();
    for line in [message_event(5), message_event(5), message_event(4), message_event(6)] {
        hear(&mut session, seconds(1), &line);
    }
    assert_eq!(happened(&mut session), [heard(5), heard(6)]);
    assert_eq!(session.take_memory().unwrap().shown, Some((LOG, Number(6))));
    assert_eq!(session.take_memory(), None);
    assert_eq!(session.poll_timeout(), Some(millis(1200)));
    assert_eq!(sent(&mut session), [""; 0]);
    session.tick(millis(1200));
    assert_eq!(sent(&mut session), [r#"{"request":"acknowledge","number":6}"#]);
    hear(&mut session, seconds(2), &message_event(6));
    assert_eq!(happened(&mut session), []);
    session.tick(seconds(3));
    assert_eq!(sent(&mut session), [r#"{"request":"acknowledge","number":6}"#]);
}

#[test]
fn acknowledgements_are_gathered_by_32() {
    let mut session = logged_in();
    (1..=70).for_each(|number| hear(&mut session, seconds(1), &message_event(number)));
    assert_eq!(
        sent(&mut session),
        [r#"{"request":"acknowledge","number":32}"#, r#"{"request":"acknowledge","number":64}"#]
    );
    session.log_out();
    let last = sent(&mut session);
    assert_eq!(last[0], r#"{"request":"acknowledge","number":70}"#);
    assert!(last[1].contains("log-out"));
}

#[test]
fn what_was_shown_is_told_at_the_next_log_in_and_counts_for_its_log_only() {
    let mut session = logged_in();
    hear(&mut session, seconds(1), &message_event(5));
    session.disconnected();
    session.connected(seconds(2), NONCES, None);
    assert!(sent(&mut session)[0].contains(r#""shown":5,"log":"000000000000000a""#));

    let shown = Some((LogId(0xb), Number(1000)));
    let mut session = Session::new(login(Some("wonderland"), Some(Device { shown, ..device() })));
    log_in(&mut session, &mut Peer::new(), seconds(0), 0);
    hear(&mut session, seconds(1), &message_event(5));
    assert_eq!(happened(&mut session), [heard(5)]);
}

#[test]
fn a_token_comes_before_the_password_once_that_was_right() {
    let mut session = Session::new(login(Some("wonderland"), Some(device())));
    let mut peer = Peer::new();
    log_in(&mut session, &mut peer, seconds(0), 0);
    assert_eq!(session.take_memory().unwrap().token, None, "the server has not said that it is valid");
    hear(&mut session, seconds(1), "{\"event\":\"token\"}\n");
    assert_eq!(happened(&mut session), []);
    peer.token = peer.derived.take();
    assert!(peer.token.is_some());
    assert_eq!(session.take_memory().unwrap().token, peer.token);
    session.disconnected();
    log_in(&mut session, &mut peer, seconds(2), 0);

    // The next one is refused: the password is tried on the same connection, with another nonce.
    session.disconnected();
    session.connected(seconds(3), NONCES, None);
    let line = sent(&mut session).remove(0);
    assert!(line.contains("RESUME-SHA-256") && line.contains("AQEB"));
    let id = serde_json::from_str::<Value>(&line).unwrap()["id"].clone();
    hear(&mut session, seconds(3), &format!("{{\"id\":{id},\"error\":\"token-refused\",\"text\":\"\"}}\n"));
    assert_eq!(session.take_memory().unwrap().token, None);
    let line = sent(&mut session).remove(0);
    assert!(line.contains("\"SCRAM-SHA-256") && line.contains("AgIC"));
}

#[test]
fn a_given_password_comes_before_a_kept_token() {
    let kept = || Some(Device { token: Some(ResumeToken([7; 32])), ..device() });
    let mut session = Session::new(login(Some("wonderland"), kept()));
    session.connected(seconds(0), NONCES, None);
    assert!(sent(&mut session)[0].contains("\"SCRAM-SHA-256"));

    let mut session = Session::new(login(None, kept()));
    session.connected(seconds(0), NONCES, None);
    assert!(sent(&mut session)[0].contains("RESUME-SHA-256"));
    hear(&mut session, seconds(0), "{\"id\":1,\"error\":\"token-refused\",\"text\":\"\"}\n");
    assert_eq!(happened(&mut session), [Happening::End(End::PasswordNeeded)]);
}

#[test]
fn a_log_out_forgets_the_token_and_ends() {
    let mut session = logged_in();
    hear(&mut session, seconds(1), "{\"event\":\"token\"}\n");
    session.log_out();
    assert_eq!(session.take_memory().unwrap().token, None);
    let id = serde_json::from_str::<Value>(&sent(&mut session)[0]).unwrap()["id"].clone();
    // What is still on its way counts as shown.
    hear(&mut session, seconds(1), &message_event(9));
    hear(&mut session, seconds(1), &format!("{{\"id\":{id},\"reply\":\"logged-out\"}}\n"));
    assert_eq!(happened(&mut session), [heard(9), Happening::End(End::LoggedOut)]);
    assert_eq!(session.take_memory().unwrap().shown, Some((LOG, Number(9))));

    let mut session = Session::new(login(Some("wonderland"), None));
    session.log_out();
    assert_eq!(happened(&mut session), [Happening::End(End::LoggedOut)]);
}

#[test]
fn signs_of_life_are_never_later_than_the_server_wants() {
    let mut session = logged_in();
    assert_eq!(session.poll_timeout(), Some(seconds(30)));
    session.tick(seconds(29));
    assert_eq!(sent(&mut session), [""; 0]);
    session.tick(seconds(30));
    assert_eq!(sent(&mut session), [r#"{"request":"alive"}"#]);
    assert_eq!(session.poll_timeout(), Some(seconds(60)));
    for (timeout, heartbeat) in [(34, 29_000), (12, 7_000), (10, 5_000), (3, 1_500), (0, 250)] {
        session.logged_in(seconds(100), seconds(timeout), LOG, 0);
        assert_eq!(session.poll_timeout(), Some(seconds(100) + millis(heartbeat)), "{timeout}");
    }
}

/// The digest is the one that `printf wonderland | sha256sum` prints.
#[test]
fn where_the_server_knows_but_the_digest_the_digest_is_proved() {
    let mut session = Session::new(login(Some("wonderland"), Some(device())));
    log_in(&mut session, &mut Peer::hashed(), seconds(0), 0);
    session.disconnected();
    // What was derived of the one is not taken for the other.
    log_in(&mut session, &mut Peer::new(), seconds(1), 0);
    session.disconnected();
    log_in(&mut session, &mut Peer::hashed(), seconds(2), 0);
}

#[test]
fn a_wrong_password_ends_the_attempt_and_another_can_follow() {
    let mut session = Session::new(login(Some("wrong"), Some(device())));
    session.connected(seconds(0), NONCES, None);
    let challenge = Peer::new().challenge(&sent(&mut session)[0]);
    hear(&mut session, seconds(0), &challenge);
    assert_eq!(sent(&mut session).len(), 1);
    hear(&mut session, seconds(0), "{\"id\":2,\"error\":\"not-authenticated\",\"text\":\"no\"}\n");
    let problem = Problem { code: "not-authenticated".into(), text: "no".into(), retry_after: None };
    assert_eq!(happened(&mut session), [Happening::End(End::NotAuthenticated(problem))]);
    session.set_password("wonderland".into());
    log_in(&mut session, &mut Peer::new(), seconds(1), 0);
}

#[test]
fn an_impostor_gets_no_proof_and_tells_nothing() {
    let weak = |iterations: u32| {
        let mut session = Session::new(login(Some("wonderland"), Some(device())));
        session.connected(seconds(0), NONCES, None);
        sent(&mut session);
        let nonce = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBx";
        let line = format!("{{\"id\":1,\"reply\":\"challenge\",\"message\":\"r={nonce},s=AAAA,i={iterations}\"}}\n");
        hear(&mut session, seconds(0), &(message_event(1) + &line + &message_event(2)));
        assert_eq!(sent(&mut session), [""; 0]);
        assert!(matches!(&happened(&mut session)[..], [Happening::End(End::Impostor(_))]));
    };
    weak(1);
    weak(4_000_000_000);

    let mut session = Session::new(login(Some("wonderland"), Some(device())));
    let mut peer = Peer::new();
    session.connected(seconds(0), NONCES, None);
    let challenge = peer.challenge(&sent(&mut session)[0]);
    hear(&mut session, seconds(0), &challenge);
    let answer = peer.check(&sent(&mut session)[0], 0).replace("\"v=", "\"v=A");
    hear(&mut session, seconds(0), &answer);
    assert!(matches!(&happened(&mut session)[..], [Happening::End(End::Impostor(_))]));
}

#[test]
fn nonsense_ends_the_connection_and_nothing_else() {
    let endless = "{".repeat(SERVER_LINE_BYTES_MAX);
    let far = message_event(INTEGER_MAX + 1);
    for nonsense in [
        "HTTP/1.1 400 Bad Request\r\n",
        "S",
        "{}\n",
        "{\"reply\":\"alive\"}\n",
        "{\"event\":\"message\"}\n",
        "\n",
        &endless,
        &far,
    ] {
        let mut session = logged_in();
        hear(&mut session, seconds(1), nonsense);
        assert_eq!(happened(&mut session), [Happening::End(End::NotUnderstood)], "{nonsense:.40}");
        hear(&mut session, seconds(1), &message_event(1));
        assert_eq!(happened(&mut session), []);
        assert_eq!(session.poll_timeout(), None);
    }
}

#[test]
fn an_answer_that_does_not_fit_is_nonsense() {
    for (request, answer) in [
        (Request::Online, r#""reply":"accepted","number":1,"reach":"online""#),
        (message("bob", "x"), r#""reply":"online","users":[]"#),
        (Request::History { with: None, count: 1 }, r#""reply":"history","messages":[],"continues":true"#),
        (
            Request::History { with: None, count: 1 },
            r#""reply":"history","messages":[{"number":1,"time":1,"from":"a","to":"b","text":"x"},{"number":2,"time":1,"from":"a","to":"b","text":"x"}]"#,
        ),
        (
            Request::History { with: None, count: 9 },
            r#""reply":"history","messages":[{"number":2,"time":1,"from":"a","to":"b","text":"x"},{"number":1,"time":1,"from":"a","to":"b","text":"x"}]"#,
        ),
    ] {
        let mut session = logged_in();
        let tag = session.ask(request).unwrap();
        hear(&mut session, seconds(1), &format!("{{\"id\":{},{answer}}}\n", tag.0));
        assert_eq!(happened(&mut session), [Happening::End(End::NotUnderstood)], "{answer}");
    }
    // An answer to nothing is left out.
    let mut session = logged_in();
    hear(&mut session, seconds(1), "{\"id\":999,\"reply\":\"alive\"}\n");
    assert_eq!(happened(&mut session), []);
}

#[test]
fn a_long_history_comes_in_pages() {
    let mut session = logged_in();
    let tag = session.ask(Request::History { with: Some(name("bob")), count: 600 }).unwrap();
    let line = |numbers: std::ops::Range<u64>, rest: &str| {
        let message = |n| format!(r#"{{"number":{n},"time":1,"from":"bob","to":"Alice","text":"x"}}"#);
        let messages = numbers.map(message).collect::<Vec<_>>().join(",");
        format!("{{\"id\":{},\"reply\":\"history\",\"messages\":[{messages}],{rest}}}\n", tag.0)
    };
    assert_eq!(
        sent(&mut session),
        [format!("{{\"id\":{},\"request\":\"history\",\"with\":\"bob\",\"limit\":500}}", tag.0)]
    );
    hear(&mut session, seconds(1), &line(501..800, "\"continues\":true"));
    hear(&mut session, seconds(1), &line(800..1001, "\"more\":true"));
    assert_eq!(
        sent(&mut session),
        [format!("{{\"id\":{},\"request\":\"history\",\"with\":\"bob\",\"before\":501,\"limit\":100}}", tag.0)]
    );
    hear(&mut session, seconds(1), &line(401..501, "\"more\":true"));
    let all = happened(&mut session);
    let [Happening::Answered { answer: Ok(Done::History(messages)), .. }] = &all[..] else { panic!("{all:?}") };
    assert!(messages.iter().map(|message| message.number.0).eq(401..1001));
}

#[test]
fn an_unblock_that_was_done_before_the_loss_is_done() {
    let mut session = logged_in();
    let tag = session.ask(Request::Unblock { user: name("bob") }).unwrap();
    session.disconnected();
    log_in(&mut session, &mut Peer::new(), seconds(2), 0);
    hear(&mut session, seconds(2), &format!("{{\"id\":{},\"error\":\"not-blocked\",\"text\":\"\"}}\n", tag.0));
    assert_eq!(happened(&mut session), [Happening::Answered { tag, answer: Ok(Done::Unblocked(name("bob"))) }]);
}

#[test]
fn a_revoke_that_was_done_before_the_loss_is_done() {
    let mut session = logged_in();
    let tag = session.ask(Request::Revoke { user: name("bob") }).unwrap();
    session.disconnected();
    log_in(&mut session, &mut Peer::new(), seconds(2), 0);
    hear(&mut session, seconds(2), &format!("{{\"id\":{},\"error\":\"not-consented\",\"text\":\"\"}}\n", tag.0));
    assert_eq!(happened(&mut session), [Happening::Answered { tag, answer: Ok(Done::Revoked(name("bob"))) }]);
}

#[test]
fn what_waits_for_an_answer_is_bounded_and_can_be_forgotten() {
    let mut session = Session::new(login(Some("wonderland"), Some(device())));
    let tag = session.ask(message("bob", "x")).unwrap();
    (1..PENDING_MAX).for_each(|_| assert!(session.ask(Request::Online).is_ok()));
    assert_eq!(session.ask(Request::Online), Err(TooMany));
    session.forget(tag);
    assert!(session.ask(Request::Online).is_ok());
}

#[test]
fn a_server_that_ends_or_complains_is_heard() {
    for (reason, expected) in [
        ("displaced", Closing::Displaced),
        ("account", Closing::Account),
        ("kicked", Closing::Kicked),
        ("shutdown", Closing::Lost),
        ("heartbeat", Closing::Lost),
        ("new", Closing::Lost),
    ] {
        let mut session = logged_in();
        hear(&mut session, seconds(1), &format!("{{\"event\":\"closing\",\"reason\":\"{reason}\",\"text\":\"t\"}}\n"));
        assert_eq!(happened(&mut session), [Happening::Closing { reason: expected, text: "t".into() }]);
    }
    let mut session = Session::new(login(Some("wonderland"), None));
    session.connected(seconds(0), NONCES, None);
    hear(&mut session, seconds(0), "{\"error\":\"out-of-scope\",\"text\":\"t\"}\n");
    let problem = Problem { code: "out-of-scope".into(), text: "t".into(), retry_after: None };
    assert_eq!(happened(&mut session), [Happening::End(End::Refused(problem))]);
}

#[test]
fn a_displaced_session_leaves_the_memory_to_the_other() {
    for (reason, kept) in [("shutdown", true), ("displaced", false)] {
        let mut session = logged_in();
        session.take_memory();
        let message = r#"{"event":"message","number":9,"time":1,"from":"bob","text":"hi"}"#;
        let closing = format!(r#"{{"event":"closing","reason":"{reason}","text":"t"}}"#);
        hear(&mut session, seconds(1), &format!("{message}\n{closing}\n"));
        assert_eq!(session.take_memory().is_some(), kept, "{reason}");
    }
}

#[test]
fn a_silent_server_is_given_up() {
    let mut session = Session::new(login(Some("wonderland"), None));
    session.connected(seconds(5), NONCES, None);
    assert_eq!(session.poll_timeout(), Some(seconds(35)));
    session.tick(seconds(35));
    assert_eq!(happened(&mut session), [Happening::End(End::TooSlow)]);
    assert_eq!(session.poll_timeout(), None);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(lines in proptest::collection::vec("(\\{[\"a-z:,0-9\\[\\]{}]{0,80}\\}|\\PC{0,20})\n?", 0..8)) {
        let mut session = logged_in();
        session.ask(Request::Online).unwrap();
        for line in lines {
            hear(&mut session, seconds(1), &line);
        }
        session.tick(seconds(60));
    }
}

/// The answer of a server that takes no more: to the request with this id.
fn too_fast(id: u64, millis: u64) -> String {
    format!("{{\"id\":{id},\"error\":\"too-fast\",\"retry-after\":{millis},\"text\":\"t\"}}\n")
}

fn out_of_turn(id: u64) -> String {
    format!("{{\"id\":{id},\"error\":\"out-of-turn\",\"text\":\"t\"}}\n")
}

fn accepted(id: u64, number: u64) -> String {
    format!("{{\"id\":{id},\"reply\":\"accepted\",\"number\":{number},\"reach\":\"online\"}}\n")
}

/// The ids and counters of what was sent.
fn sends(session: &mut Session) -> Vec<(u64, u64)> {
    let number = |line: &Value, field: &str| line[field].as_u64().unwrap();
    let lines: Vec<Value> = sent(session).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.iter().map(|line| (number(line, "id"), number(line, "counter"))).collect()
}

#[test]
fn what_was_too_fast_is_sent_again_in_order_when_nothing_else_is_under_way() {
    let mut session = logged_in();
    let tags: Vec<u64> = ["a", "b", "c"].map(|text| session.ask(message("bob", text)).unwrap().0).into();
    let [a, b, c] = tags[..] else { panic!() };
    assert_eq!(sends(&mut session), [(a, 1), (b, 2), (c, 3)]);
    hear(&mut session, seconds(1), &accepted(a, 1));
    hear(&mut session, seconds(1), &too_fast(b, 500));
    assert_eq!(session.held(), 1);
    // What comes behind it waits, what is no send does not.
    let d = session.ask(Request::Broadcast { text: Text::parse("d").unwrap() }).unwrap().0;
    session.ask(Request::Online).unwrap();
    assert!(matches!(&sent(&mut session)[..], [online] if online.contains("online")));
    session.tick(seconds(3));
    assert_eq!(sent(&mut session), [""; 0], "c is under way, and must not be overtaken");
    assert_ne!(session.poll_timeout(), Some(millis(1500)), "and until its answer nothing is due");
    hear(&mut session, seconds(3), &out_of_turn(c));
    assert_eq!(sends(&mut session), [(b, 2)], "under the same counter, by the first one's time");
    hear(&mut session, seconds(3), &accepted(b, b));
    assert_eq!(sends(&mut session), [(c, 3), (d, 4)], "and more when that was accepted");
    [c, d].into_iter().for_each(|id| hear(&mut session, seconds(4), &accepted(id, id)));
    let answered: Vec<Tag> = happened(&mut session)
        .into_iter()
        .map(|happening| match happening {
            Happening::Answered { tag, answer: Ok(Done::Accepted { .. }) } => tag,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(answered, [a, b, c, d].map(Tag));
    assert_eq!((session.held(), session.pending()), (0, 1));
}

#[test]
fn the_time_of_a_server_is_waited_for_within_bounds() {
    for (told, waited) in [(500, millis(500)), (0, AGAIN_AFTER_MIN), (u64::MAX, AGAIN_AFTER_MAX)] {
        let mut session = logged_in();
        let tag = session.ask(message("bob", "a")).unwrap().0;
        session.take_output();
        hear(&mut session, seconds(1), &too_fast(tag, told));
        session.tick(seconds(1) + waited - Duration::from_nanos(1));
        assert_eq!(sent(&mut session), [""; 0]);
        assert!(session.poll_timeout().is_some_and(|at| at <= seconds(1) + waited));
        session.tick(seconds(1) + waited);
        assert_eq!(sends(&mut session), [(tag, 1)]);
    }
}

#[test]
fn what_waits_survives_a_reconnect_and_comes_first() {
    let mut session = logged_in();
    let a = session.ask(message("bob", "a")).unwrap().0;
    hear(&mut session, seconds(1), &too_fast(a, 5000));
    let b = session.ask(message("bob", "b")).unwrap().0;
    session.take_output();
    session.disconnected();
    log_in(&mut session, &mut Peer::new(), seconds(2), 0);
    assert_eq!(sends(&mut session), [(a, 1), (b, 2)]);
}

#[test]
fn the_counter_of_a_message_that_was_given_up_is_taken_by_the_next() {
    let mut session = logged_in();
    let tags: Vec<Tag> = ["a", "b", "c"].map(|text| session.ask(message("bob", text)).unwrap()).into();
    hear(&mut session, seconds(1), &accepted(tags[0].0, 1));
    hear(&mut session, seconds(1), &too_fast(tags[1].0, 500));
    hear(&mut session, seconds(1), &out_of_turn(tags[2].0));
    session.forget(tags[1]);
    session.take_output();
    session.tick(seconds(2));
    assert_eq!(sends(&mut session), [(tags[2].0, 2)], "or the server would wait for it");
    hear(&mut session, seconds(2), &too_fast(tags[2].0, 500));
    session.forget(tags[2]);
    session.tick(seconds(3));
    let d = session.ask(message("bob", "d")).unwrap();
    assert_eq!(sends(&mut session), [(d.0, 2)]);
    session.forget(d);
    let e = session.ask(message("bob", "e")).unwrap();
    assert_eq!(sends(&mut session), [(e.0, 3)], "d is under way: nobody knows what comes of it");
}

#[test]
fn what_was_given_up_on_its_way_holds_nothing_back_if_it_was_too_fast() {
    let mut session = logged_in();
    let [a, b] = ["a", "b"].map(|text| session.ask(message("bob", text)).unwrap());
    assert_eq!(sends(&mut session), [(a.0, 1), (b.0, 2)]);
    session.forget(a);
    hear(&mut session, seconds(1), &too_fast(a.0, 500));
    hear(&mut session, seconds(1), &out_of_turn(b.0));
    assert_eq!(session.held(), 1);
    session.tick(millis(1500));
    assert_eq!(sends(&mut session), [(b.0, 1)], "the server takes nothing higher");
    // What was accepted keeps its counter, and is told to nobody.
    session.forget(b);
    let c = session.ask(message("bob", "c")).unwrap();
    hear(&mut session, seconds(2), &accepted(b.0, 1));
    assert_eq!((sends(&mut session), happened(&mut session)), (vec![(c.0, 2)], vec![]));
}

#[test]
fn a_log_out_waits_for_what_was_too_fast() {
    let mut session = logged_in();
    let a = session.ask(message("bob", "a")).unwrap().0;
    hear(&mut session, seconds(1), &too_fast(a, 500));
    session.take_output();
    session.log_out();
    assert_eq!(sent(&mut session), [""; 0]);
    session.tick(millis(1500));
    assert_eq!(sends(&mut session), [(a, 1)]);
    hear(&mut session, seconds(2), &accepted(a, 1));
    assert!(matches!(&sent(&mut session)[..], [line] if line.contains("log-out")));
}

#[test]
fn a_log_out_waits_until_it_is_known_that_nothing_was_too_fast() {
    let mut session = logged_in();
    let a = session.ask(message("bob", "a")).unwrap().0;
    session.ask(Request::Online).unwrap();
    session.take_output();
    session.log_out();
    assert_eq!(sent(&mut session), [""; 0]);
    hear(&mut session, seconds(1), &too_fast(a, 500));
    session.tick(seconds(2));
    assert_eq!(sends(&mut session), [(a, 1)]);
    hear(&mut session, seconds(2), &accepted(a, 1));
    assert!(matches!(&sent(&mut session)[..], [line] if line.contains("log-out")), "other requests are not waited for");
}

#[test]
fn after_a_send_that_was_too_fast_the_window_opens_again_slowly() {
    let mut session = logged_in();
    let tags: Vec<u64> = (0..100).map(|_| session.ask(message("bob", "x")).unwrap().0).collect();
    hear(&mut session, seconds(1), &too_fast(tags[0], 500));
    tags[1..].iter().for_each(|&id| hear(&mut session, seconds(1), &out_of_turn(id)));
    session.take_output();
    session.tick(seconds(2));
    let mut left = &tags[..];
    for expected in [1, 2, 4, 8] {
        let under_way: Vec<u64> = sends(&mut session).into_iter().map(|(id, _)| id).collect();
        assert_eq!(under_way, left[..expected], "each accepted send brings two more");
        left = &left[expected..];
        under_way.into_iter().for_each(|id| hear(&mut session, seconds(2), &accepted(id, id)));
    }
    assert_eq!(session.held(), 100 - 1 - 2 - 4 - 8 - 16);
    let under_way: Vec<u64> = sends(&mut session).into_iter().map(|(id, _)| id).collect();
    hear(&mut session, seconds(2), &too_fast(under_way[0], 500));
    under_way[1..].iter().for_each(|&id| hear(&mut session, seconds(2), &out_of_turn(id)));
    session.tick(seconds(3));
    assert_eq!(sends(&mut session), [(under_way[0], 16)]);
    left.iter().for_each(|&id| hear(&mut session, seconds(3), &accepted(id, id)));
    let more = session.ask(message("bob", "y")).unwrap().0;
    assert_eq!(sends(&mut session).last().map(|&(id, _)| id), Some(more), "nothing waits any more");
}
