//! TLS through the turn: a client of rustls at the other end of a stream in memory.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

use super::*;
use crate::net::tls::identity::{Origin, load};

/// Takes any certificate: whose it is is not the question here.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

pub(super) fn config() -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(4);
    Arc::new(config)
}

pub(super) fn world() -> World {
    let tls = Some(load(&Origin::Passing).unwrap().config);
    // Encrypted is allowed from anywhere.
    World::with(admission(Scope::Off, tls), usize::MAX / 2)
}

/// A client, and its end of the encryption.
pub(super) struct Encrypted {
    client: Client,
    tls: ClientConnection,
    /// The server has said that it ends.
    pub(super) ended: bool,
}

impl Encrypted {
    pub(super) fn shake(world: &mut World, config: &Arc<ClientConfig>) -> Encrypted {
        let client = world.connect();
        let name = ServerName::try_from("chatd").unwrap();
        let tls = ClientConnection::new(Arc::clone(config), name).unwrap();
        let mut encrypted = Encrypted { client, tls, ended: false };
        while encrypted.tls.is_handshaking() {
            encrypted.exchange(world);
        }
        encrypted.exchange(world);
        encrypted
    }

    /// Everything that is there goes both ways. Comes back: what the server says.
    fn exchange(&mut self, world: &mut World) -> String {
        let mut said = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut said).unwrap();
        }
        if !said.is_empty() {
            world.say(&self.client, &said);
        }
        world.settle();
        self.hear()
    }

    /// What the server has said so far.
    pub(super) fn hear(&mut self) -> String {
        let told = std::mem::take(&mut self.client.wire.borrow_mut().told);
        let mut told = &told[..];
        let mut text = Vec::new();
        while !told.is_empty() {
            self.tls.read_tls(&mut told).unwrap();
            let state = self.tls.process_new_packets().unwrap();
            self.ended |= state.peer_has_closed();
            let start = text.len();
            text.resize(start + state.plaintext_bytes_to_read(), 0);
            self.tls.reader().read_exact(&mut text[start..]).unwrap();
        }
        String::from_utf8(text).unwrap()
    }

    pub(super) fn ask(&mut self, world: &mut World, text: &str) -> String {
        self.tls.writer().write_all(text.as_bytes()).unwrap();
        self.exchange(world)
    }

    fn log_in(world: &mut World, config: &Arc<ClientConfig>, user: &str, device: u8) -> Encrypted {
        let mut client = Encrypted::shake(world, config);
        let binding = client.tls.export_keying_material([0; 32], ChannelBinding::LABEL, Some(&[])).unwrap();
        let exchange = ClientExchange::new(&UserName::parse(user).unwrap(), b"nonce", Some(ChannelBinding(binding)));
        let (message, device) = (exchange.message(), format!("{device:02x}").repeat(16));
        let told = client.ask(
            world,
            &format!("{{\"id\":1,\"request\":\"log-in\",\"mechanism\":\"SCRAM-SHA-256-PLUS\",\"message\":\"{message}\",\"device\":\"{device}\"}}\n"),
        );
        let challenge = serde_json::from_str::<Value>(&told).unwrap()["message"].as_str().unwrap().to_owned();
        let proof = prove(&exchange, &challenge);
        let told = client.ask(world, &format!("{{\"id\":2,\"request\":\"authenticate\",\"message\":\"{proof}\"}}\n"));
        assert!(told.contains("\"logged-in\""), "{told}");
        client
    }
}

#[test]
fn a_bound_log_in_a_message_and_an_orderly_end() {
    let mut world = world();
    let config = config();
    let mut alice = Encrypted::log_in(&mut world, &config, "alice", 1);
    let mut bob = Encrypted::log_in(&mut world, &config, "bob", 2);
    assert!(alice.ask(&mut world, &message(3, "bob", "hi")).contains("\"id\":3,\"reply\":\"accepted\""));
    assert!(bob.hear().contains("\"text\":\"hi\""));
    let told = alice.ask(&mut world, "{\"id\":4,\"request\":\"log-out\"}\n");
    assert_eq!(told.lines().last(), Some("{\"id\":4,\"reply\":\"logged-out\"}"));
    assert!(alice.ended && alice.client.wire.borrow().our_closed, "close_notify, then the end");
    world.close(&alice.client);
    world.settle();
    assert!(!world.is_there(&alice.client));
}

#[test]
fn requests_before_the_peers_end_are_answered() {
    let mut world = world();
    let mut alice = Encrypted::log_in(&mut world, &config(), "alice", 1);
    let count = 3 * REQUESTS_A_TURN;
    let requests: String = (0..count).map(|id| format!("{{\"id\":{id},\"request\":\"alive\"}}\n")).collect();
    alice.tls.writer().write_all(requests.as_bytes()).unwrap();
    alice.tls.send_close_notify();
    let told = alice.exchange(&mut world);
    assert_eq!(told.lines().count(), count);
    assert!(alice.ended);
}

#[test]
fn a_session_is_resumed_and_bound_to_its_own_connection() {
    let mut world = world();
    let config = config();
    let first = Encrypted::log_in(&mut world, &config, "alice", 1);
    assert_eq!(first.tls.handshake_kind(), Some(rustls::HandshakeKind::Full));
    let second = Encrypted::log_in(&mut world, &config, "bob", 2);
    assert_eq!(second.tls.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
}

#[test]
fn bytes_may_come_and_go_one_at_a_time() {
    let mut world = world();
    let mut alice = Encrypted::log_in(&mut world, &config(), "alice", 1);
    alice.client.wire.borrow_mut().room = 0;
    alice.tls.writer().write_all(b"{\"id\":3,\"request\":\"online\"}\n{\"id\":4,\"request\":\"blocked\"}\n").unwrap();
    let mut said = Vec::new();
    alice.tls.write_tls(&mut said).unwrap();
    for byte in said {
        world.say(&alice.client, &[byte]);
        world.settle();
    }
    let mut told = String::new();
    for _ in 0..1000 {
        world.give_room(&alice.client, 1);
        told += &alice.hear();
    }
    assert_eq!(
        told,
        "{\"id\":3,\"reply\":\"online\",\"users\":[]}\n{\"id\":4,\"reply\":\"block-list\",\"users\":[]}\n"
    );
    assert!(!world.turn.environment.watched[&alice.client.id], "nothing is left to be written");
}

#[test]
fn little_is_encrypted_ahead_so_that_what_is_lost_can_be_taken_back() {
    let mut world = world();
    let config = config();
    let mut alice = Encrypted::log_in(&mut world, &config, "alice", 1);
    let mut bob = Encrypted::log_in(&mut world, &config, "bob", 2);
    bob.client.wire.borrow_mut().room = 0;
    let text = "x".repeat(4096);
    for id in 0..60 {
        alice.ask(&mut world, &message(id, "bob", &text));
    }
    let connection = world.turn.connections.get(bob.client.id).unwrap();
    let (ahead, all) = (connection.tls.as_ref().unwrap().ahead(), connection.out_bytes());
    assert!(ahead > 0 && ahead <= 64 * 1024 + 16 * 1024, "{ahead}");
    assert!(all > 60 * 4096, "{all}");
    world.give_room(&bob.client, PLENTY);
    assert_eq!(bob.hear().lines().count(), 60);
}

#[test]
fn a_handshake_has_four_kibibytes_and_its_time() {
    let mut world = world();
    let client = world.connect();
    // A ClientHello that says that it is long, and goes on.
    let mut hello = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3];
    hello.resize(STRANGE_BYTES_MAX, 0);
    world.say(&client, &hello);
    world.settle();
    assert!(!client.wire.borrow().our_closed);
    world.say(&client, &[0]);
    world.settle();
    assert!(client.wire.borrow().our_closed);

    let client = world.connect();
    world.say(&client, &hello[..100]);
    world.pass(FIRST_MESSAGE_WITHIN);
    assert!(client.wire.borrow().our_closed);
    let told = std::mem::take(&mut client.wire.borrow_mut().told);
    assert!(told.is_empty() || told[0] == 0x15, "an alert at most, and no text: {told:?}");
}

#[test]
fn what_does_not_keep_to_tls_ends_with_an_alert() {
    let mut world = world();
    for nonsense in [&b"\x16\x03\x01\x00\x05hello"[..], b"\x16\x03\x03\x00\x04\x0e\x00\x00\x00"] {
        let client = world.connect();
        world.say(&client, nonsense);
        world.settle();
        let wire = client.wire.borrow();
        // An alert or none, but not the one that says goodbye.
        let goodbye = wire.told.ends_with(&[1, 0]);
        assert!(wire.our_closed && wire.told.first().is_none_or(|&first| first == 0x15) && !goodbye, "{:?}", wire.told);
    }
    let mut alice = Encrypted::log_in(&mut world, &config(), "alice", 1);
    world.say(&alice.client, b"\x17\x03\x03\x00\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    world.settle();
    assert!(alice.client.wire.borrow().our_closed);
    alice.client.told_raw();
    let mut bob = Encrypted::log_in(&mut world, &config(), "bob", 1);
    assert!(bob.ask(&mut world, "{\"id\":9,\"request\":\"online\"}\n").contains("\"users\":[]"), "alice is gone");
    let mut second = Encrypted::shake(&mut world, &config());
    assert_eq!(second.ask(&mut world, "\u{16}\u{3}\u{1}"), NOT_UNDERSTOOD, "no TLS within TLS");
    assert!(second.ended);
    alice.ended = true;
}

impl Client {
    fn told_raw(&self) -> Vec<u8> {
        std::mem::take(&mut self.wire.borrow_mut().told)
    }
}

#[test]
fn a_handshake_of_a_byte_a_second_has_no_longer_than_anybody() {
    let mut world = world();
    let name = ServerName::try_from("chatd").unwrap();
    let mut hello = Vec::new();
    ClientConnection::new(config(), name).unwrap().write_tls(&mut hello).unwrap();
    let client = world.connect();
    for byte in &hello[..FIRST_MESSAGE_WITHIN.as_secs() as usize] {
        assert!(client.wire.borrow().told.is_empty() && world.is_there(&client));
        world.say(&client, &[*byte]);
        world.pass(Duration::from_secs(1));
    }
    // close_notify, as there are no keys yet (RFC 8446, section 6.1).
    assert_eq!(client.wire.borrow().told, [21, 3, 3, 0, 2, 1, 0]);
    assert!(client.wire.borrow().our_closed);
    world.pass(LINGER);
    assert!(!world.is_there(&client));
    // Inside TLS the time is the same: the handshake has bought none.
    let mut inside = Encrypted::shake(&mut world, &config());
    for byte in b"{\"id\":1,\"request\":\"onl" {
        if inside.ended {
            break;
        }
        inside.tls.writer().write_all(&[*byte]).unwrap();
        let told = inside.exchange(&mut world);
        assert_eq!(told, "");
        world.pass(Duration::from_secs(1));
        let told = inside.hear();
        assert_eq!(told.is_empty(), !inside.ended, "{told}");
        assert!(told.is_empty() || told == "{\"error\":\"too-slow\",\"text\":\"nobody logged in in time\"}\n");
    }
    assert!(inside.ended);
}
