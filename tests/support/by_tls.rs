//! A client by hand on TLS: the connection is bound, as `chat` does it, and nothing happens by itself. Any certificate will
//! do, as at a first connection; the handshake's signature is checked.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use chatd::wire::hex::hex;
use chatd::wire::scram::{Challenge, ChannelBinding, ClientExchange, Secret, StoredKeys};
use chatd::wire::{ResumeToken, UserName};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned};
use serde_json::{Value, json};

use super::{LIMIT, device_claim};

pub struct ByTls {
    stream: StreamOwned<ClientConnection, TcpStream>,
    binding: ChannelBinding,
    input: Vec<u8>,
    next_id: u64,
    pub token: Option<ResumeToken>,
    /// The challenge of the log-in of this connection.
    pub challenge: Option<Challenge>,
}

impl ByTls {
    pub fn connect(address: SocketAddr) -> ByTls {
        let mut tcp = TcpStream::connect(address).expect("connect");
        tcp.set_read_timeout(Some(LIMIT)).expect("a limit");
        tcp.set_nodelay(true).expect("no delay");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let any = Arc::new(AnyCertificate(Arc::clone(&provider)));
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(any)
            .with_no_client_auth();
        let name = ServerName::try_from("chatd").expect("a name");
        let mut tls = ClientConnection::new(Arc::new(config), name).expect("a client");
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp).expect("a handshake");
        }
        let exported = tls.export_keying_material([0; ChannelBinding::BYTES], b"EXPORTER-Channel-Binding", Some(b""));
        let binding = ChannelBinding(exported.expect("an exporter"));
        let stream = StreamOwned::new(tls, tcp);
        ByTls { stream, binding, input: Vec::new(), next_id: 1, token: None, challenge: None }
    }

    /// From now on proofs are made for another connection, as they come through somebody in between.
    pub fn is_relayed(&mut self) {
        self.binding = ChannelBinding([7; ChannelBinding::BYTES]);
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).expect("write");
    }

    pub fn request(&mut self, mut request: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        request["id"] = id.into();
        self.send_bytes(format!("{request}\n").as_bytes());
        id
    }

    /// The next line; `None` at an orderly end.
    pub fn try_line(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.input.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("JSON"));
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(bytes) => self.input.extend_from_slice(&buffer[..bytes]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("the connection broke: {error}"),
            }
        }
    }

    pub fn line(&mut self) -> Value {
        self.try_line().expect("the server has closed")
    }

    /// Sends a request and waits for its answer; events before it are passed over.
    pub fn ask(&mut self, request: Value) -> Value {
        let id = self.request(request);
        loop {
            let line = self.line();
            if line["id"] == id {
                return line;
            }
        }
    }

    /// The code of the error that answers a request.
    #[track_caller]
    pub fn is_refused(&mut self, request: Value) -> String {
        let answer = self.ask(request);
        answer["error"].as_str().unwrap_or_else(|| panic!("no error: {answer}")).to_owned()
    }

    #[track_caller]
    pub fn nothing_but_alive(&mut self) {
        let id = self.request(json!({"request": "alive"}));
        assert_eq!(self.line(), json!({"id": id, "reply": "alive"}));
    }

    #[track_caller]
    pub fn is_closed_for(&mut self, reason: &str) {
        let line = self.line();
        assert_eq!([&line["event"], &line["reason"]], ["closing", reason], "{line}");
        assert_eq!(self.try_line(), None);
    }

    /// The first half of a log-in: what is challenged.
    pub fn begin(&mut self, user: &str, mechanism: &str, device: Option<u8>) -> (ClientExchange, Challenge) {
        let name = UserName::parse(user).expect("a name");
        let bound = mechanism.ends_with("-PLUS").then(|| self.binding.clone());
        let exchange = ClientExchange::new(&name, &self.next_id.to_be_bytes(), bound);
        let mut request = json!({"request": "log-in", "mechanism": mechanism, "message": exchange.message()});
        if let Some(Value::Object(device)) = device.map(device_claim) {
            request.as_object_mut().expect("an object").extend(device);
        }
        let answer = self.ask(request);
        let challenge = answer["message"].as_str().unwrap_or_else(|| panic!("no challenge: {answer}"));
        let challenge = exchange.challenge(challenge).expect("a challenge");
        (exchange, challenge)
    }

    fn exchange(
        &mut self,
        user: &str,
        mechanism: &str,
        device: Option<u8>,
        secret: impl FnOnce(&Challenge) -> Secret,
    ) -> Value {
        let (exchange, challenge) = self.begin(user, mechanism, device);
        let (proof, signature, token) = exchange.prove(&challenge, &secret(&challenge));
        let answer = self.ask(json!({"request": "authenticate", "message": proof}));
        if let Some(message) = answer["message"].as_str() {
            assert!(signature.matches(message), "the server does not know the account");
            self.challenge = Some(challenge);
            if device.is_some() {
                assert_eq!(self.line(), json!({"event": "token"}));
                self.token = Some(token);
            }
        }
        answer
    }

    pub fn try_password(&mut self, user: &str, password: &str, device: Option<u8>) -> Value {
        self.exchange(user, "SCRAM-SHA-256-PLUS", device, |challenge| salted(password, challenge))
    }

    pub fn resume(&mut self, user: &str, device: u8, token: &ResumeToken) -> Value {
        self.exchange(user, "RESUME-SHA-256-PLUS", Some(device), |_| Secret::token(token))
    }

    /// A client that is logged in.
    #[track_caller]
    pub fn log_in(address: SocketAddr, user: &str, password: &str, device: Option<u8>) -> ByTls {
        let mut client = ByTls::connect(address);
        let answer = client.try_password(user, password, device);
        assert_eq!(answer["reply"], "logged-in", "{answer}");
        client
    }

    /// A whole sign-up; comes back: the answer to its second half.
    pub fn sign_up(&mut self, user: &str, password: &str) -> Value {
        let (_, challenge) = self.begin(user, "SCRAM-SHA-256-PLUS", None);
        self.ask(keys("sign-up", password, &challenge))
    }

    /// The request for another password by its keys.
    pub fn new_password(&self, password: &str) -> Value {
        keys("password", password, self.challenge.as_ref().expect("a log-in"))
    }
}

/// A request that brings the keys of a password.
pub fn keys(request: &str, password: &str, challenge: &Challenge) -> Value {
    let keys = StoredKeys::of(&salted(password, challenge));
    json!({"request": request, "stored-key": hex(&keys.stored_key), "server-key": hex(&keys.server_key)})
}

fn salted(password: &str, challenge: &Challenge) -> Secret {
    Secret::salted(password, &challenge.salt, challenge.iterations)
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
