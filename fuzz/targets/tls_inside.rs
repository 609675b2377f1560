//! A real client of TLS, whose plaintext is anything, and whose records are changed on their way.
//!
//! The first part of the input changes the stream of records, in steps of four bytes: what, where (two bytes), by what. The
//! others are what the client does. rustls draws its own random numbers: where a change hits is the same each time, and
//! what it hits may not be.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chatd::hub::scram::ChannelBinding;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use std::io::{Read, Write};

use super::script::parts;
use super::world::{Client, ELSEWHERE, LogIn, World, find};

const CHANGES_MAX: usize = 8;
/// What is inserted at once, at most.
const INSERTED_MAX: usize = 64;

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

/// Without resumption: each run begins anew.
fn config() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let made = || {
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Arc::new(config)
    };
    Arc::clone(CONFIG.get_or_init(made))
}

struct Encrypted {
    client: Client,
    tls: ClientConnection,
    /// Changes to what is sent, the first first: what, where, and by what.
    changes: Vec<(u8, usize, u8)>,
    /// Bytes sent so far, before they were changed.
    sent: usize,
    /// Something else came than was sent.
    touched: bool,
    /// The client does not go on: what it hears is no TLS, or it has ended.
    over: bool,
    /// The client has announced its end.
    closed: bool,
}

pub fn run(data: &[u8]) {
    let mut world = World::new();
    let parts = parts(data);
    let Some((changes, acts)) = parts.split_first() else { return };
    let change = |change: &[u8]| (change[0], usize::from(change[1]) << 8 | usize::from(change[2]), change[3]);
    let mut changes: Vec<_> = changes.chunks_exact(4).take(CHANGES_MAX).map(change).collect();
    changes.sort_by_key(|&(_, at, _)| at);
    let client = world.connect(ELSEWHERE);
    let name = ServerName::try_from("chatd").expect("a name");
    let tls = ClientConnection::new(config(), name).expect("a client");
    let mut client = Encrypted { client, tls, changes, sent: 0, touched: false, over: false, closed: false };
    client.exchange(&mut world);
    assert!(client.touched || !client.tls.is_handshaking(), "an honest handshake is not done");
    let mut served = true;
    for act in acts {
        let Some((&what, rest)) = act.split_first() else { continue };
        match what % 8 {
            0 => {
                // What it says by itself may end everything, or make it somebody.
                served = false;
                client.ask(&mut world, rest);
            }
            1 => {
                let is_in = client.log_in(&mut world, rest.first().copied().unwrap_or(0) % 3);
                assert!(is_in || client.touched || !served, "an honest log-in is refused");
                served = false;
            }
            2 => {
                client.tls.send_close_notify();
                client.closed = true;
                client.exchange(&mut world);
                served = false;
            }
            3 => {
                world.close(&client.client);
                served = false;
            }
            4 => {
                world.pass(Duration::from_secs(u64::from(rest.first().copied().unwrap_or(0) % 16)));
                // It may have been too slow.
                served = false;
            }
            5 => {
                client.tls.refresh_traffic_keys().ok();
                client.exchange(&mut world);
            }
            6 => world.give_room(&client.client, usize::from(rest.first().copied().unwrap_or(0)) * 64),
            _ => world.ask_bystander(),
        }
        if what % 8 == 6 || client.over {
            served = false;
        }
        world.settle();
    }
    world.end(&[&client.client]);
}

impl Encrypted {
    /// Everything that is there goes both ways. Comes back: what the server says.
    fn exchange(&mut self, world: &mut World) -> Vec<u8> {
        let mut text = Vec::new();
        // Each side speaks three times in a handshake at most.
        for _ in 0..8 {
            let mut said = Vec::new();
            while self.tls.wants_write() {
                self.tls.write_tls(&mut said).expect("memory takes everything");
            }
            let quiet = said.is_empty();
            let changed = self.change(said);
            // rustls asserts that nothing malformed comes after that, and an answer to what was changed may be.
            self.over |= self.closed && self.touched;
            if !changed.is_empty() {
                world.say(&self.client, &changed);
            }
            world.settle();
            let told = self.client.told();
            if quiet && told.is_empty() {
                break;
            }
            self.hear(&told, &mut text);
        }
        text
    }

    fn hear(&mut self, mut told: &[u8], text: &mut Vec<u8>) {
        while !told.is_empty() && !self.over {
            let read = self.tls.read_tls(&mut told).unwrap_or(0);
            let state = match self.tls.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    assert!(self.touched, "what the server says is no TLS: {error}");
                    self.over = true;
                    return;
                }
            };
            self.over = state.peer_has_closed() || read == 0;
            let start = text.len();
            text.resize(start + state.plaintext_bytes_to_read(), 0);
            self.tls.reader().read_exact(&mut text[start..]).expect("all of it is there");
        }
    }

    /// What comes of bytes on their way.
    fn change(&mut self, said: Vec<u8>) -> Vec<u8> {
        let (start, end) = (self.sent, self.sent + said.len());
        self.sent = end;
        let mut bytes = said.clone();
        // From behind, so that the places stay.
        for &(what, at, by) in self.changes.iter().rev().filter(|&&(_, at, _)| (start..end).contains(&at)) {
            let at = (at - start).min(bytes.len());
            match what % 4 {
                0 if at < bytes.len() => bytes[at] ^= by,
                1 => bytes.truncate(at),
                2 => drop(bytes.splice(at..at, vec![by; usize::from(what / 4) % INSERTED_MAX])),
                3 => drop(bytes.drain(at..bytes.len().min(at + usize::from(by)))),
                _ => {}
            }
        }
        self.touched |= bytes != said;
        bytes
    }

    fn ask(&mut self, world: &mut World, text: &[u8]) -> Vec<u8> {
        if self.over {
            return Vec::new();
        }
        // More than it keeps ahead of an unfinished handshake it does not take.
        let _ = self.tls.writer().write(text);
        self.exchange(world)
    }

    /// A log-in that is bound to this connection.
    fn log_in(&mut self, world: &mut World, device: u8) -> bool {
        let Ok(binding) = self.tls.export_keying_material([0; 32], ChannelBinding::LABEL, Some(&[])) else {
            return false;
        };
        let exchange = LogIn::new("carol", Some(ChannelBinding(binding)));
        let told = self.ask(world, exchange.first(device).as_bytes());
        let Some(last) = exchange.last(&told) else { return false };
        let told = self.ask(world, last.as_bytes());
        find(&told, "\"logged-in\"")
    }
}
