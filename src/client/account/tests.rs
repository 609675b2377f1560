use super::*;
use crate::client::exit::Status;
use crate::wire::scram::{Checked, ClientFinal, ClientFirst, SALT_BYTES, ServerExchange, Verifier};
use serde_json::Value;

const NONCES: Nonces = [[1; 18], [2; 18]];
/// What `printf wonderland | sha256sum` prints,
const WONDERLAND_DIGEST: &str = "a71a7c7011f53a1bab3642ec2ce12593f05230ace8de1e3e7645f69efac1443d";
/// and the same of `through the looking-glass`.
const LOOKING_GLASS_DIGEST: &str = "248d9daaed6e388d2a1a302711a17dbc19f16c3d996432eaf0354f1300c6bb58";

fn binding(byte: u8) -> ChannelBinding {
    ChannelBinding([byte; ChannelBinding::BYTES])
}

fn task(purpose: Purpose) -> Task {
    Task { user: UserName::parse("alice").unwrap(), password: password("wonderland"), purpose }
}

fn password(text: &str) -> Password {
    Password::parse(text).unwrap()
}

fn change(new: &str) -> Exchange {
    Exchange::new(task(Purpose::ChangePassword(password(new))), NONCES, binding(7))
}

fn sign_up() -> Exchange {
    Exchange::new(task(Purpose::SignUp), NONCES, binding(7))
}

/// The server's side, by hand.
struct Peer {
    verifier: Verifier,
    /// It knows but the digest of the password.
    hashed: bool,
    exchange: Option<ServerExchange>,
    /// The binding that the server sees.
    sees: ChannelBinding,
}

impl Peer {
    fn new() -> Peer {
        let verifier = Verifier::derive("wonderland", [5; SALT_BYTES], 4096);
        Peer { verifier, hashed: false, exchange: None, sees: binding(7) }
    }

    fn hashed() -> Peer {
        Peer { verifier: Verifier::derive(WONDERLAND_DIGEST, [5; SALT_BYTES], 4096), hashed: true, ..Peer::new() }
    }

    fn challenge(&mut self, exchange: &mut Exchange) {
        let line = sent(exchange);
        assert_eq!((&line["request"], &line["mechanism"]), (&"log-in".into(), &"SCRAM-SHA-256-PLUS".into()));
        assert!(line.get("device").is_none(), "{line}");
        let first = ClientFirst::parse(line["message"].as_str().unwrap()).unwrap();
        let answer = ServerExchange::new(&first, b"server", &self.verifier.salt, self.verifier.iterations);
        let hashed = if self.hashed { r#","hashed":true"# } else { "" };
        tell(exchange, &line, &format!(r#""reply":"challenge","message":"{}"{hashed}"#, answer.message()));
        self.exchange = Some(answer);
    }

    fn log_in(&mut self, exchange: &mut Exchange) {
        self.challenge(exchange);
        let line = sent(exchange);
        assert_eq!(line["request"], "authenticate");
        let last = ClientFinal::parse(line["message"].as_str().unwrap()).unwrap();
        match self.exchange.take().unwrap().check(&last, &self.verifier.keys, Some(&self.sees)) {
            Checked::Right(proof, _) => tell(exchange, &line, &logged_in(&proof)),
            Checked::Elsewhere => tell(exchange, &line, r#""error":"somebody-in-between","text":"oh""#),
            Checked::Wrong => tell(exchange, &line, r#""error":"not-authenticated","text":"no""#),
        }
    }

    /// What the server would keep of a password.
    fn keys(&self, password: &str) -> Value {
        let keys = Verifier::derive(password, self.verifier.salt, self.verifier.iterations).keys;
        let hex = crate::wire::hex::hex;
        serde_json::json!([hex(&keys.stored_key).to_string(), hex(&keys.server_key).to_string()])
    }
}

fn logged_in(proof: &str) -> String {
    format!(
        r#""reply":"logged-in","message":"{proof}","user":"Alice","heartbeat-timeout":35,"log":"{}","counter":0,"waiting":0"#,
        crate::wire::LogId(1)
    )
}

/// The one request that was sent.
fn sent(exchange: &mut Exchange) -> Value {
    let out = String::from_utf8(exchange.take_output()).unwrap();
    assert_eq!(out.lines().count(), 1, "{out}");
    serde_json::from_str(&out).unwrap()
}

fn tell(exchange: &mut Exchange, line: &Value, answer: &str) {
    for byte in format!("{{\"id\":{},{answer}}}\n", line["id"]).bytes() {
        exchange.received(&[byte]);
    }
}

fn happened(exchange: &mut Exchange) -> Vec<Happening> {
    std::iter::from_fn(|| exchange.next_happening()).collect()
}

/// The exchange is over with this status, and says and hears nothing more.
fn refused(exchange: &mut Exchange) -> (Status, String) {
    let happened = happened(exchange);
    let [Happening::Over(Err(failure))] = &happened[..] else { panic!("{happened:?}") };
    assert!(exchange.take_output().is_empty());
    exchange.received(b"{\"event\":\"token\"}\nnonsense\n");
    assert_eq!(exchange.next_happening(), None);
    (failure.status, failure.text.clone())
}

fn keys(line: &Value) -> Value {
    serde_json::json!([line["stored-key"], line["server-key"]])
}

#[test]
fn a_new_password_travels_as_keys_after_the_old_one_is_proved() {
    let (mut peer, mut exchange) = (Peer::new(), change("through the looking-glass"));
    peer.log_in(&mut exchange);
    assert_eq!(happened(&mut exchange), [Happening::Proved]);
    let line = sent(&mut exchange);
    assert_eq!(line["request"], "password");
    assert_eq!(keys(&line), peer.keys("through the looking-glass"));
    assert!(line.get("password").is_none(), "{line}");
    tell(&mut exchange, &line, r#""reply":"password-changed","user":"alice""#);
    assert_eq!(happened(&mut exchange), [Happening::Over(Ok(()))]);
}

#[test]
fn an_account_that_knows_but_a_digest_goes_on_knowing_one() {
    let (mut peer, mut exchange) = (Peer::hashed(), change("through the looking-glass"));
    peer.log_in(&mut exchange);
    assert_eq!(happened(&mut exchange), [Happening::Proved]);
    let line = sent(&mut exchange);
    assert_eq!(line["request"], "password");
    assert_eq!(keys(&line), peer.keys(LOOKING_GLASS_DIGEST));

    let (mut peer, mut exchange) = (Peer::hashed(), sign_up());
    peer.challenge(&mut exchange);
    let line = sent(&mut exchange);
    assert_eq!(line["request"], "sign-up");
    assert_eq!(keys(&line), peer.keys(WONDERLAND_DIGEST));
}

#[test]
fn no_server_gets_a_password_itself() {
    let (mut peer, mut exchange) = (Peer::new(), change("new"));
    peer.log_in(&mut exchange);
    let line = sent(&mut exchange);
    tell(&mut exchange, &line, r#""error":"password-is-kept","text":"the operator changes it""#);
    assert_eq!(happened(&mut exchange)[0], Happening::Proved);
    assert!(exchange.take_output().is_empty());
}

#[test]
fn before_the_server_has_proved_itself_nothing_of_the_new_password_leaves() {
    let (mut peer, mut exchange) = (Peer::new(), change("new"));
    peer.challenge(&mut exchange);
    let line = sent(&mut exchange);
    let lie = "dj1BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";
    tell(&mut exchange, &line, &logged_in(&format!("v={lie}")));
    let (status, text) = refused(&mut exchange);
    assert_eq!(status, Status::Refused);
    assert!(text.contains("can't prove"), "{text}");
}

#[test]
fn who_is_in_between_is_noticed() {
    let (mut peer, mut exchange) = (Peer::new(), change("new"));
    peer.sees = binding(8);
    peer.log_in(&mut exchange);
    let (status, text) = refused(&mut exchange);
    assert_eq!(status, Status::Refused);
    assert!(text.contains("somebody is between you and the server") && text.contains("remembered"), "{text}");
}

#[test]
fn what_is_wrong_is_said() {
    let mut peer = Peer::new();
    peer.verifier = Verifier::derive("another", [5; SALT_BYTES], 4096);
    let mut exchange = change("new");
    peer.log_in(&mut exchange);
    assert_eq!(refused(&mut exchange), (Status::Refused, "no".into()));
    peer.verifier.iterations = 1;
    for mut exchange in [change("new"), sign_up()] {
        peer.challenge(&mut exchange);
        assert!(refused(&mut exchange).1.contains("too weak"));
    }
    for (line, status) in [
        ("HTTP/1.1 400 Bad Request\r\n", Status::NotUnderstood),
        ("{\"error\":\"out-of-scope\",\"text\":\"no\"}\n", Status::Refused),
        ("{\"event\":\"closing\",\"reason\":\"shutdown\",\"text\":\"no\"}\n", Status::NoServer),
        ("{\"id\":9,\"reply\":\"alive\"}\n", Status::NotUnderstood),
        ("{\"id\":1,\"reply\":\"alive\"}\n", Status::NotUnderstood),
    ] {
        let mut exchange = change("new");
        exchange.take_output();
        exchange.received(line.as_bytes());
        assert_eq!(refused(&mut exchange).0, status, "{line}");
    }
}

#[test]
fn a_sign_up_makes_the_keys_of_its_challenge_and_then_logs_in() {
    let (mut peer, mut exchange) = (Peer::new(), sign_up());
    peer.challenge(&mut exchange);
    let line = sent(&mut exchange);
    assert_eq!(line["request"], "sign-up");
    assert_eq!(keys(&line), peer.keys("wonderland"));
    tell(&mut exchange, &line, r#""reply":"signed-up","user":"alice""#);
    assert_eq!(happened(&mut exchange), []);
    peer.log_in(&mut exchange);
    assert_eq!(happened(&mut exchange), [Happening::Proved, Happening::Over(Ok(()))]);
}

#[test]
fn a_sign_up_that_is_refused_is_over() {
    for code in ["no-sign-up", "name-taken", "needs-tls", "too-many-accounts"] {
        let (mut peer, mut exchange) = (Peer::new(), sign_up());
        peer.challenge(&mut exchange);
        let line = sent(&mut exchange);
        tell(&mut exchange, &line, &format!(r#""error":"{code}","text":"no""#));
        assert_eq!(refused(&mut exchange), (Status::Refused, "no".into()));
    }
}
