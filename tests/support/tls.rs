//! A client over TLS by hand: rustls and a few lines of SCRAM, and nothing of chatd's own code, so that what server and
//! client get wrong in the same way shows.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, ConnectionTrafficSecrets, DigitallySignedStruct, HandshakeKind,
    SignatureScheme, StreamOwned,
};
use serde_json::{Value, json};

use super::{LIMIT, device_claim, password};

/// Types of records (RFC 8446, section 5.1).
pub const ALERT: u8 = 21;
pub const HANDSHAKE: u8 = 22;
pub const APPLICATION: u8 = 23;

/// A record of this type without encryption.
pub fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len()).expect("no longer than a record").to_be_bytes();
    [&[kind, 3, 3, high, low], payload].concat()
}

/// How a log-in is made: the mechanism, and the header of its first message.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub mechanism: &'static str,
    pub header: &'static str,
}

pub const PLUS: Manner = Manner { mechanism: "SCRAM-SHA-256-PLUS", header: "p=tls-exporter,," };
pub const UNBOUND: Manner = Manner { mechanism: "SCRAM-SHA-256", header: "n,," };
pub const RESUME_PLUS: Manner = Manner { mechanism: "RESUME-SHA-256-PLUS", header: "p=tls-exporter,," };
pub const RESUME: Manner = Manner { mechanism: "RESUME-SHA-256", header: "n,," };

/// What a log-in proves.
#[derive(Clone, Copy, Debug)]
pub enum Secret<'a> {
    Password(&'a str),
    Token([u8; 32]),
}

/// Whoever makes connections; what one has learnt to resume, the next uses.
pub struct Connector {
    config: Arc<ClientConfig>,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// With `close_notify`.
    Goodbye,
    /// Without it.
    CutOff,
    Alert(AlertDescription),
}

/// A client that does what the test says, and nothing by itself.
pub struct TlsClient {
    pub tls: StreamOwned<ClientConnection, TcpStream>,
    /// Was read, and not asked for yet.
    plain: Vec<u8>,
    next_id: u64,
    /// The token that is valid.
    pub token: Option<[u8; 32]>,
    /// The token of the last log-in, until the server says that it is valid.
    derived: Option<[u8; 32]>,
    /// Each line that was sent.
    pub said: Vec<String>,
}

/// The first half of a log-in.
pub struct Begun {
    manner: Manner,
    bare: String,
    challenge: String,
}

/// What the second half of a log-in consists of.
pub struct Proof {
    pub message: String,
    pub signature: String,
    pub token: [u8; 32],
}

impl Connector {
    pub fn new() -> Connector {
        Connector::with(|_| ())
    }

    pub fn with(set: impl FnOnce(&mut ClientConfig)) -> Connector {
        let provider = Arc::new(default_provider());
        let takes_any = TakesAny(provider.signature_verification_algorithms);
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(takes_any))
            .with_no_client_auth();
        config.enable_sni = false;
        config.enable_secret_extraction = true;
        set(&mut config);
        Connector { config: Arc::new(config) }
    }

    /// The library's part of a connection.
    pub fn session(&self) -> ClientConnection {
        let name = ServerName::try_from("chatd").expect("a name");
        ClientConnection::new(Arc::clone(&self.config), name).expect("a session")
    }

    /// What a client says first.
    pub fn hello(&self) -> Vec<u8> {
        let mut hello = Vec::new();
        self.session().write_tls(&mut hello).expect("a vector");
        hello
    }

    /// A connection whose handshake is complete.
    #[track_caller]
    pub fn connect(&self, address: SocketAddr) -> TlsClient {
        self.try_connect(address).expect("a handshake")
    }

    pub fn try_connect(&self, address: SocketAddr) -> io::Result<TlsClient> {
        let mut tls = StreamOwned::new(self.session(), dial(address));
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(TlsClient::of(tls))
    }
}

/// A TCP connection with a limit on each wait.
pub fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    stream.set_nodelay(true).expect("no delay");
    stream
}

impl TlsClient {
    pub fn of(tls: StreamOwned<ClientConnection, TcpStream>) -> TlsClient {
        TlsClient { tls, plain: Vec::new(), next_id: 1, token: None, derived: None, said: Vec::new() }
    }

    pub fn kind(&self) -> HandshakeKind {
        self.tls.conn.handshake_kind().expect("a handshake")
    }

    pub fn certificate(&self) -> Vec<u8> {
        self.tls.conn.peer_certificates().expect("a certificate")[0].to_vec()
    }

    /// RFC 9266.
    pub fn exporter(&self) -> [u8; 32] {
        self.tls.conn.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[])).expect("exported")
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.tls.write_all(bytes).expect("write");
        self.tls.flush().expect("write");
    }

    pub fn send(&mut self, request: &Value) {
        let line = format!("{request}\n");
        self.send_bytes(line.as_bytes());
        self.said.push(line);
    }

    /// Sends a request with the next id; the id comes back.
    pub fn request(&mut self, mut request: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        request["id"] = id.into();
        self.send(&request);
        id
    }

    /// Sends these bytes and our goodbye in one write.
    pub fn send_and_say_goodbye(&mut self, bytes: &[u8]) {
        self.tls.conn.writer().write_all(bytes).expect("a buffer");
        self.tls.conn.send_close_notify();
        let mut all = Vec::new();
        while self.tls.conn.wants_write() {
            self.tls.conn.write_tls(&mut all).expect("a vector");
        }
        self.tls.sock.write_all(&all).expect("write");
    }

    /// The next line; `None` at the end.
    pub fn try_line(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.plain.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.plain.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap_or_else(|_| panic!("no JSON: {line:?}")));
            }
            let mut bytes = [0; 65536];
            match self.tls.read(&mut bytes) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.plain.extend(&bytes[..count]),
            }
        }
    }

    #[track_caller]
    pub fn line(&mut self) -> Value {
        self.try_line().expect("the server has closed")
    }

    /// Everything up to the end, and what kind of end it was.
    pub fn rest(&mut self) -> (String, End) {
        let mut rest = std::mem::take(&mut self.plain);
        let end = loop {
            let mut bytes = [0; 65536];
            match self.tls.read(&mut bytes) {
                Ok(0) => break End::Goodbye,
                Ok(count) => rest.extend(&bytes[..count]),
                Err(error) => break end_of(&error),
            }
        };
        (String::from_utf8(rest).expect("UTF-8"), end)
    }

    /// The answer to a request: the next line with that id. Events before it are passed over.
    #[track_caller]
    pub fn answer(&mut self, id: u64) -> Value {
        loop {
            let line = self.line();
            if line["id"] == id {
                return line;
            }
        }
    }

    /// Sends a request and waits for its answer.
    #[track_caller]
    pub fn ask(&mut self, request: Value) -> Value {
        let id = self.request(request);
        self.answer(id)
    }

    /// The next line with this event. Others are passed over.
    #[track_caller]
    pub fn event(&mut self, event: &str) -> Value {
        loop {
            let line = self.line();
            if line["event"] == event {
                return line;
            }
        }
    }

    /// Asserts that nothing but the answer to a harmless request comes next.
    #[track_caller]
    pub fn nothing_but_alive(&mut self) {
        let id = self.request(json!({"request": "alive"}));
        assert_eq!(self.line(), json!({"id": id, "reply": "alive"}));
    }

    /// Logs in with the right password, bound to the connection.
    #[track_caller]
    pub fn log_in(&mut self, user: &str, device: Option<u8>) -> Value {
        let answer = self.exchange(user, PLUS, Secret::Password(password(user)), device);
        assert_eq!(answer["reply"], "logged-in", "{answer}");
        if device.is_some() {
            self.take_token();
        }
        answer
    }

    #[track_caller]
    pub fn take_token(&mut self) {
        assert_eq!(self.line(), json!({"event": "token"}));
        self.token = Some(self.derived.take().expect("a log-in"));
    }

    /// A whole log-in; comes back: the answer to its second half.
    #[track_caller]
    pub fn exchange(&mut self, user: &str, manner: Manner, secret: Secret<'_>, device: Option<u8>) -> Value {
        let begun = self.begin(user, manner, device);
        let exporter = self.exporter();
        self.finish(&begun, secret, exporter)
    }

    /// The first half of a log-in.
    #[track_caller]
    pub fn begin(&mut self, user: &str, manner: Manner, device: Option<u8>) -> Begun {
        let mut nonce = [0; 18];
        rand::fill(&mut nonce).expect("random numbers");
        let bare = format!("n={user},r={}", BASE64.encode(nonce));
        let message = format!("{}{bare}", manner.header);
        let mut request = json!({"request": "log-in", "mechanism": manner.mechanism, "message": message});
        if let Some(device) = device {
            request["device"] = device_claim(device)["device"].take();
        }
        let answer = self.ask(request);
        assert_eq!(answer["reply"], "challenge", "{answer}");
        Begun { manner, bare, challenge: answer["message"].as_str().expect("a message").to_owned() }
    }

    /// The second half, for a connection with this exporter value; comes back: its answer, whose signature is right.
    #[track_caller]
    pub fn finish(&mut self, begun: &Begun, secret: Secret<'_>, exporter: [u8; 32]) -> Value {
        let proof = begun.prove(secret, &exporter);
        let answer = self.ask(json!({"request": "authenticate", "message": proof.message}));
        if answer["reply"] == "logged-in" {
            assert_eq!(answer["message"], proof.signature, "the server does not know the account");
            self.derived = Some(proof.token);
        }
        answer
    }

    /// From here on the test makes the records itself. Everything that was sent must have been read.
    pub fn into_records(self) -> Records {
        let StreamOwned { conn, sock } = self.tls;
        let secrets = conn.dangerous_extract_secrets().expect("secrets");
        Records { stream: sock, write: Cipher::new(secrets.tx), read: Cipher::new(secrets.rx) }
    }
}

impl Begun {
    /// What was said so far of a log-in whose lines the test makes itself.
    pub fn new(manner: Manner, bare: &str, challenge: &str) -> Begun {
        Begun { manner, bare: bare.to_owned(), challenge: challenge.to_owned() }
    }

    /// RFC 5802, section 3; for a token as PROTOCOL.md says.
    pub fn prove(&self, secret: Secret<'_>, exporter: &[u8; 32]) -> Proof {
        let field = |name: &str| {
            self.challenge.split(',').find_map(|field| field.strip_prefix(name)).expect("a field of the challenge")
        };
        let salted = match secret {
            Secret::Password(password) => {
                let (mut salted, salt) = ([0; 32], BASE64.decode(field("s=")).expect("base64"));
                let iterations: NonZeroU32 = field("i=").parse().expect("a number");
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password.as_bytes(), &mut salted);
                salted
            }
            Secret::Token(token) => token,
        };
        let channel = match self.manner.header {
            "n,," => b"n,,".to_vec(),
            header => [header.as_bytes(), exporter].concat(),
        };
        let without_proof = format!("c={},r={}", BASE64.encode(channel), field("r="));
        let transcript = format!("{},{},{without_proof}", self.bare, self.challenge);
        let client_key = hmac_sha256(&salted, b"Client Key");
        let client_signature = hmac_sha256(&sha256(&client_key), transcript.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(client_signature).map(|(key, signature)| key ^ signature).collect();
        let signature = hmac_sha256(&hmac_sha256(&salted, b"Server Key"), transcript.as_bytes());
        let token = hmac_sha256(&client_key, &[b"Resume Token", transcript.as_bytes()].concat());
        Proof {
            message: format!("{without_proof},p={}", BASE64.encode(proof)),
            signature: format!("v={}", BASE64.encode(signature)),
            token,
        }
    }
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().expect("32 bytes")
}

fn hmac_sha256(key: &[u8], bytes: &[u8]) -> [u8; 32] {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes).as_ref().try_into().expect("32 bytes")
}

/// The SHA-256 of a certificate as openssl prints it, with what known_servers and logs put before it.
pub fn fingerprint(certificate: &[u8]) -> String {
    let bytes: Vec<String> = sha256(certificate).iter().map(|byte| format!("{byte:02X}")).collect();
    format!("SHA256:{}", bytes.join(":"))
}

fn end_of(error: &io::Error) -> End {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => End::Alert(*alert),
        Some(other) => panic!("not TLS: {other}"),
        None if error.kind() == ErrorKind::UnexpectedEof || error.kind() == ErrorKind::ConnectionReset => End::CutOff,
        None => panic!("the server neither says anything nor closes: {error}"),
    }
}

/// A connection after its handshake, of which each record is made by the test.
pub struct Records {
    pub stream: TcpStream,
    write: Cipher,
    read: Cipher,
}

impl Records {
    /// A record of this type, encrypted.
    pub fn seal(&mut self, kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = [payload, &[kind]].concat();
        let length = u16::try_from(bytes.len() + 16).expect("no longer than a record");
        let [high, low] = length.to_be_bytes();
        let header = [APPLICATION, 3, 3, high, low];
        let nonce = self.write.nonce();
        self.write.key.seal_in_place_append_tag(nonce, Aad::from(header), &mut bytes).expect("sealed");
        [&header[..], &bytes].concat()
    }

    /// All records up to the end: their types and what they say.
    pub fn rest(&mut self) -> Vec<(u8, Vec<u8>)> {
        let mut raw = Vec::new();
        let result = self.stream.read_to_end(&mut raw);
        assert!(result.is_ok(), "{result:?} after {raw:x?}");
        let (mut records, mut raw) = (Vec::new(), &raw[..]);
        while let [APPLICATION, 3, 3, high, low, after @ ..] = raw {
            let (body, after) = after.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            let (nonce, mut body) = (self.read.nonce(), body.to_vec());
            let plain = self.read.key.open_in_place(nonce, Aad::from(&raw[..5]), &mut body).expect("the right key");
            let (kind, payload) = plain.split_last().expect("a type");
            records.push((*kind, payload.to_vec()));
            raw = after;
        }
        assert!(raw.is_empty(), "what is no record: {raw:x?}");
        records
    }
}

/// One direction of a connection (RFC 8446, section 5.2).
struct Cipher {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Cipher {
    fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Cipher {
        let (algorithm, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => panic!("another cipher"),
        };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).expect("a key"));
        Cipher { key, iv: iv.as_ref().try_into().expect("12 bytes"), sequence }
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = self.iv;
        nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()).for_each(|(byte, number)| *byte ^= number);
        self.sequence += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Takes any certificate, if its key has signed the handshake: it is the log-in that proves the server.
#[derive(Debug)]
struct TakesAny(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for TakesAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
