//! A TLS server that speaks as much of the native protocol as the tests of chat's TLS need, written without any of chatd's
//! code: what both get wrong in the same way would not show otherwise.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::support::LIMIT;

/// How often a connection that nobody uses looks for what others did.
const LOOK: Duration = Duration::from_millis(20);
const SALT: [u8; 16] = [9; 16];
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// A certificate and a key, which need not belong together.
pub struct Certificate {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

/// How the server behaves on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Right,
    /// Refuses every proof.
    NotAuthenticated,
    /// Accepts every proof, and can't prove itself.
    WrongSignature,
    SomebodyInBetween,
    /// Closes without TLS's goodbye when asked who is online.
    CutOff,
    /// Closes with it.
    Goodbye,
    /// Takes each message only when it comes again.
    TooFast,
    /// Takes a new password itself only.
    KeepsPasswords,
    /// Takes no new password.
    InFile,
    /// Ends the session in the operator's name when asked who is online.
    Kicks,
    /// Tells of a new password when it has ended the other sessions, and their clients have gone.
    EndsOthersFirst,
}

/// The server.
pub struct StandIn {
    port: u16,
    seen: Receiver<Seen>,
    shared: Arc<Shared>,
}

/// What the server has seen of a connection that is over.
#[derive(Debug)]
pub struct Seen {
    /// `None`: it failed.
    pub handshake: Option<HandshakeKind>,
    pub server_name: Option<String>,
    pub lines: Vec<String>,
    pub has_said_goodbye: bool,
}

struct Shared {
    /// From which connection on which certificate is shown.
    configs: Mutex<BTreeMap<usize, Arc<ServerConfig>>>,
    accounts: Mutex<BTreeMap<String, Keys>>,
    connections: AtomicUsize,
    /// Passwords that were changed.
    changes: AtomicUsize,
    /// Connections whose client has gone because of that.
    gone: AtomicUsize,
}

#[derive(Clone)]
struct Keys {
    stored: Vec<u8>,
    server: Vec<u8>,
}

impl Certificate {
    pub fn new() -> Certificate {
        let made = rcgen::generate_simple_self_signed(["chatd".to_owned()]).unwrap();
        Certificate { certificate: made.cert.der().clone(), key: made.signing_key.serialize_der() }
    }

    /// What somebody has who has only seen it.
    pub fn with_another_key(&self) -> Certificate {
        Certificate { certificate: self.certificate.clone(), ..Certificate::new() }
    }

    /// As openssl prints it.
    pub fn fingerprint(&self) -> String {
        let bytes: Vec<String> = sha256(&self.certificate).iter().map(|byte| format!("{byte:02X}")).collect();
        format!("SHA256:{}", bytes.join(":"))
    }

    fn config(&self) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::try_from(self.key.clone()).unwrap();
        let key = any_supported_type(&key).unwrap();
        let shown = Shown(Arc::new(CertifiedKey::new(vec![self.certificate.clone()], key)));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shown));
        Arc::new(config)
    }
}

#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

impl StandIn {
    pub fn start(certificate: &Certificate) -> StandIn {
        StandIn::start_with(certificate, |_| Manner::Right)
    }

    /// `manner`: of the connection with that number, from 0.
    pub fn start_with(certificate: &Certificate, manner: impl Fn(usize) -> Manner + Send + 'static) -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            configs: Mutex::new(BTreeMap::from([(0, certificate.config())])),
            accounts: Mutex::new(BTreeMap::from([("alice".to_owned(), keys("wonderland"))])),
            connections: AtomicUsize::new(0),
            changes: AtomicUsize::new(0),
            gone: AtomicUsize::new(0),
        });
        let (sender, seen) = channel();
        let all = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let number = all.connections.fetch_add(1, Ordering::SeqCst);
                let (all, sender, manner) = (all.clone(), sender.clone(), manner(number));
                thread::spawn(move || serve(stream, number, manner, &all, &sender));
            }
        });
        StandIn { port, seen, shared }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Another certificate from the connection with this number on.
    pub fn show_from(&self, connection: usize, certificate: &Certificate) {
        self.shared.configs.lock().unwrap().insert(connection, certificate.config());
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The next connection that is over.
    #[track_caller]
    pub fn seen(&self) -> Seen {
        self.seen.recv_timeout(LIMIT).expect("a connection that is over")
    }
}

fn serve(stream: TcpStream, number: usize, manner: Manner, shared: &Shared, sender: &Sender<Seen>) {
    let config = shared.configs.lock().unwrap().range(..=number).next_back().unwrap().1.clone();
    let mut seen = Seen { handshake: None, server_name: None, lines: Vec::new(), has_said_goodbye: false };
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut tls = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    while tls.conn.is_handshaking() {
        if tls.conn.complete_io(&mut tls.sock).is_err() {
            let _ = sender.send(seen);
            return;
        }
    }
    seen.handshake = tls.conn.handshake_kind();
    seen.server_name = tls.conn.server_name().map(str::to_owned);
    tls.sock.set_read_timeout(Some(LOOK)).unwrap();
    talk(&mut tls, manner, shared, &mut seen);
    let _ = sender.send(seen);
}

/// One client's dialogue.
struct Dialogue<'a> {
    manner: Manner,
    shared: &'a Shared,
    exporter: [u8; 32],
    user: String,
    client_first_bare: String,
    server_first: String,
    is_in: bool,
    /// Messages that have come.
    messages: usize,
    /// Of the changes that there were.
    known_changes: usize,
}

enum Next {
    Say(Value),
    Nothing,
    Close,
    Vanish,
}

fn talk(tls: &mut StreamOwned<ServerConnection, TcpStream>, manner: Manner, shared: &Shared, seen: &mut Seen) {
    let exporter = tls.conn.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None).unwrap();
    let known_changes = shared.changes.load(Ordering::SeqCst);
    let (user, client_first_bare, server_first) = Default::default();
    let mut dialogue = Dialogue {
        manner,
        shared,
        exporter,
        user,
        client_first_bare,
        server_first,
        is_in: false,
        messages: 0,
        known_changes,
    };
    let mut input: Vec<u8> = Vec::new();
    let end = Instant::now() + 2 * LIMIT;
    while Instant::now() < end {
        while let Some(at) = input.iter().position(|&byte| byte == b'\n') {
            let line = String::from_utf8(input.drain(..=at).collect()).unwrap();
            let answer = dialogue.answer(&line);
            seen.lines.push(line);
            match answer {
                Next::Say(value) => tls.write_all(format!("{value}\n").as_bytes()).unwrap(),
                Next::Nothing => {}
                Next::Close => {
                    tls.conn.send_close_notify();
                    let _ = tls.flush();
                    return;
                }
                Next::Vanish => return,
            }
        }
        let mut bytes = [0; 4096];
        match tls.read(&mut bytes) {
            Ok(0) => {
                seen.has_said_goodbye = true;
                return;
            }
            Ok(count) => input.extend(&bytes[..count]),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                if dialogue.is_in && dialogue.known_changes != shared.changes.load(Ordering::SeqCst) {
                    let closing = json!({"event": "closing", "reason": "account", "text": "changed"});
                    let _ = tls.write_all(format!("{closing}\n").as_bytes());
                    tls.sock.set_read_timeout(Some(LIMIT)).unwrap();
                    while tls.read(&mut bytes).is_ok_and(|count| count > 0) {}
                    shared.gone.fetch_add(1, Ordering::SeqCst);
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

impl Dialogue<'_> {
    fn answer(&mut self, line: &str) -> Next {
        let line: Value = serde_json::from_str(line).unwrap();
        let reply = |mut fields: Value| {
            fields["id"] = line["id"].clone();
            Next::Say(fields)
        };
        let refuse = |code: &str, text: &str| reply(json!({"error": code, "text": text}));
        let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
        match &*text("request") {
            "log-in" => {
                if text("mechanism") != "SCRAM-SHA-256-PLUS" {
                    return refuse("bad-request", "only what is bound will do");
                }
                let message = text("message");
                let bare = message.strip_prefix("p=tls-exporter,,").expect("a bound exchange");
                let (user, nonce) = bare.strip_prefix("n=").unwrap().split_once(",r=").unwrap();
                self.user = user.to_owned();
                self.client_first_bare = bare.to_owned();
                self.server_first = format!("r={nonce}server,s={},i={ITERATIONS}", BASE64.encode(SALT));
                reply(json!({"reply": "challenge", "message": self.server_first}))
            }
            "authenticate" => match self.prove(&text("message")) {
                _ if self.manner == Manner::SomebodyInBetween => refuse("somebody-in-between", "somebody"),
                Some(_) if self.manner == Manner::NotAuthenticated => refuse("not-authenticated", "wrong"),
                None => refuse("not-authenticated", "wrong"),
                Some(mut proof) => {
                    if self.manner == Manner::WrongSignature {
                        proof[0] ^= 1;
                    }
                    self.is_in = true;
                    self.known_changes = self.shared.changes.load(Ordering::SeqCst);
                    reply(json!({
                        "reply": "logged-in", "message": format!("v={}", BASE64.encode(proof)), "user": self.user,
                        "heartbeat-timeout": 35, "log": "000000000000000a", "counter": 0, "waiting": 0,
                    }))
                }
            },
            "sign-up" if self.shared.accounts.lock().unwrap().contains_key(&self.user) => refuse("name-taken", "taken"),
            "sign-up" => {
                self.set(sent_keys(&line));
                reply(json!({"reply": "signed-up", "user": self.user}))
            }
            "password" if !self.is_in => refuse("log-in-first", "log in first"),
            "password" if self.manner == Manner::InFile => refuse("in-file", "in the file"),
            "password" => {
                if self.manner == Manner::KeepsPasswords {
                    return refuse("password-is-kept", "itself");
                }
                self.set(sent_keys(&line));
                self.known_changes = self.shared.changes.fetch_add(1, Ordering::SeqCst) + 1;
                let end = Instant::now() + LIMIT;
                while self.manner == Manner::EndsOthersFirst && self.shared.gone.load(Ordering::SeqCst) == 0 {
                    assert!(Instant::now() < end, "the other session goes on");
                    thread::yield_now();
                }
                reply(json!({"reply": "password-changed", "user": self.user}))
            }
            "online" if self.manner == Manner::CutOff => Next::Vanish,
            "online" if self.manner == Manner::Goodbye => Next::Close,
            "online" if self.manner == Manner::Kicks => {
                Next::Say(json!({"event": "closing", "reason": "kicked", "text": "kicked"}))
            }
            "online" => reply(json!({"reply": "online", "users": ["bob"]})),
            "message" => {
                self.messages += 1;
                match self.messages % 2 {
                    1 if self.manner == Manner::TooFast => {
                        reply(json!({"error": "too-fast", "retry-after": 30, "text": "too fast"}))
                    }
                    _ => reply(json!({"reply": "accepted", "number": self.messages, "reach": "queued"})),
                }
            }
            "log-out" => reply(json!({"reply": "logged-out"})),
            _ => Next::Nothing,
        }
    }

    fn set(&self, keys: Keys) {
        self.shared.accounts.lock().unwrap().insert(self.user.clone(), keys);
    }

    /// The server's signature (RFC 5802, section 3), if the client's proof is right and meant for this connection.
    fn prove(&self, message: &str) -> Option<Vec<u8>> {
        let keys = self.shared.accounts.lock().unwrap().get(&self.user)?.clone();
        let (without_proof, proof) = message.rsplit_once(",p=")?;
        let channel = BASE64.encode([&b"p=tls-exporter,,"[..], &self.exporter].concat());
        if without_proof.split(',').next() != Some(&format!("c={channel}")) {
            return None;
        }
        let transcript = format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        let signature = hmac_sha256(&keys.stored, transcript.as_bytes());
        let client_key: Vec<u8> =
            BASE64.decode(proof).ok()?.iter().zip(signature).map(|(proof, signature)| proof ^ signature).collect();
        (sha256(&client_key) == keys.stored).then(|| hmac_sha256(&keys.server, transcript.as_bytes()))
    }
}

fn keys(password: &str) -> Keys {
    let mut salted = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, &SALT, password.as_bytes(), &mut salted);
    Keys { stored: sha256(&hmac_sha256(&salted, b"Client Key")), server: hmac_sha256(&salted, b"Server Key") }
}

fn sent_keys(line: &Value) -> Keys {
    let key = |field: &str| {
        let text = line[field].as_str().expect("a key");
        (0..32).map(|byte| u8::from_str_radix(&text[2 * byte..2 * byte + 2], 16).unwrap()).collect()
    };
    Keys { stored: key("stored-key"), server: key("server-key") }
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

fn hmac_sha256(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes).as_ref().to_vec()
}

/// Whoever listens there says these bytes to each client once it has said something, and closes.
pub fn stranger(listener: TcpListener, says: Vec<u8>) -> Stranger {
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (mut count, mut heard) = (0, Vec::new());
        for mut stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            let mut bytes = [0; 65536];
            let length = stream.read(&mut bytes).unwrap_or(0);
            if bytes[..length] == *b"the end" {
                return (count, heard);
            }
            heard.extend(&bytes[..length]);
            count += 1;
            let _ = stream.write_all(&says);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut heard);
        }
        (count, heard)
    });
    Stranger { address, thread }
}

pub struct Stranger {
    address: std::net::SocketAddr,
    thread: JoinHandle<(usize, Vec<u8>)>,
}

impl Stranger {
    /// How many clients came, and all that they said.
    pub fn end(self) -> (usize, Vec<u8>) {
        TcpStream::connect(self.address).unwrap().write_all(b"the end").unwrap();
        self.thread.join().unwrap()
    }
}
