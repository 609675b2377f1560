//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677, RFC 9266), both sides: the messages' syntax and the keys'
//! arithmetic.
//!
//! Knows nothing of accounts, lock-out or sockets. What it computes for a log-in is a few HMACs; only `Verifier::derive`
//! and `Secret::salted` are slow, and belong on a worker or a client.

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::num::NonZeroU32;

use super::effect::ResumeToken;
use super::name::UserName;

const KEY_BYTES: usize = digest::SHA256_OUTPUT_LEN;
/// Salts are this long; RFC 5802 leaves it open.
pub const SALT_BYTES: usize = 16;
/// The least number of iterations that a client accepts (RFC 7677, section 4).
const ITERATIONS_MIN: u32 = 4096;
/// The largest number of iterations that a client works off for a server, about five seconds' work.
const ITERATIONS_MAX: u32 = 20_000_000;
/// The longest nonce of a client.
const NONCE_BYTES_MAX: usize = 256;

type Key = [u8; KEY_BYTES];

/// What a server keeps to check a proof and to prove itself. It does not suffice to log in.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredKeys {
    pub stored_key: Key,
    pub server_key: Key,
}

/// What a server keeps of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    pub salt: [u8; SALT_BYTES],
    pub iterations: u32,
    pub keys: StoredKeys,
}

/// The client's secret in the form that the exchange works with: `SaltedPassword`.
#[derive(Clone)]
pub struct Secret(Key);

/// What only the two ends of one TLS connection know: `tls-exporter` (RFC 9266). An exchange that is bound to it is worth
/// nothing on another connection, and so to nobody in the middle.
#[derive(Clone, PartialEq, Eq)]
pub struct ChannelBinding(pub [u8; ChannelBinding::BYTES]);

/// The header of an exchange (`gs2-header` in RFC 5802, section 7): whether the client binds it to the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// `n,,`
    Unbound,
    /// `p=tls-exporter,,`
    Exporter,
}

/// `client-first-message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFirst {
    pub user: UserName,
    pub nonce: String,
    pub header: Header,
    /// The message without its gs2 header.
    bare: String,
}

/// `client-final-message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFinal {
    channel_binding: String,
    nonce: String,
    proof: Key,
    without_proof: String,
}

/// The server's side of one exchange, after its first message.
#[derive(Clone, Debug)]
pub struct ServerExchange {
    header: Header,
    nonce: String,
    client_first_bare: String,
    server_first: String,
}

/// The client's side of one exchange, after its first message.
pub struct ClientExchange {
    binding: Option<ChannelBinding>,
    nonce: String,
    first_bare: String,
}

/// What the server's first message asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    nonce: String,
    pub salt: Vec<u8>,
    pub iterations: u32,
    message: String,
}

/// The signature by which the server proves that it knows the account.
pub struct ServerSignature(Key);

/// What a server finds out about a client's last message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// `server-final-message`, and the token for the next log-in.
    Right(String, ResumeToken),
    /// The client knows the secret, but has not spoken to this server: its messages were made for another connection, or
    /// changed on their way.
    Elsewhere,
    Wrong,
}

impl ChannelBinding {
    /// The label to export keying material under; the context is empty (RFC 9266, section 2).
    pub const LABEL: &[u8] = b"EXPORTER-Channel-Binding";
    pub const BYTES: usize = 32;
}

impl std::fmt::Debug for ChannelBinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChannelBinding(..)")
    }
}

impl Header {
    fn as_str(self) -> &'static str {
        match self {
            Header::Unbound => "n,,",
            Header::Exporter => "p=tls-exporter,,",
        }
    }

    /// `cbind-input` in base64. `None`: what is to be bound to is not there.
    fn channel(self, binding: Option<&ChannelBinding>) -> Option<String> {
        match self {
            Header::Unbound => Some(BASE64.encode(self.as_str())),
            Header::Exporter => binding.map(|binding| BASE64.encode([self.as_str().as_bytes(), &binding.0].concat())),
        }
    }
}

impl StoredKeys {
    /// What a server keeps of a secret.
    pub fn of(secret: &Secret) -> StoredKeys {
        let client_key = hmac_sha256(&secret.0, b"Client Key");
        StoredKeys { stored_key: sha256(&client_key), server_key: hmac_sha256(&secret.0, b"Server Key") }
    }

    /// What to keep of a resume token. It is as good as random, so no iterations are needed. `verifier` is the account's:
    /// with another password the token is worth nothing, whenever that was changed.
    pub fn of_token(token: &ResumeToken, verifier: &Verifier) -> StoredKeys {
        StoredKeys::of(&Secret(token.0)).bound_to(verifier)
    }

    /// Mixes the account's keys in, or out again.
    pub fn bound_to(&self, verifier: &Verifier) -> StoredKeys {
        let account = &verifier.keys.stored_key;
        StoredKeys {
            stored_key: xor(&self.stored_key, &hmac_sha256(account, b"Token Stored Key")),
            server_key: xor(&self.server_key, &hmac_sha256(account, b"Token Server Key")),
        }
    }

    /// Keys that no secret fits, for names that nobody has: checking against them takes as long.
    pub fn of_nobody() -> StoredKeys {
        StoredKeys { stored_key: [0; KEY_BYTES], server_key: [0; KEY_BYTES] }
    }
}

impl std::fmt::Debug for StoredKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoredKeys(..)")
    }
}

impl Verifier {
    /// Slow, by `iterations`.
    pub fn derive(password: &str, salt: [u8; SALT_BYTES], iterations: u32) -> Verifier {
        let secret = Secret::salted(password, &salt, iterations);
        Verifier { salt, iterations, keys: StoredKeys::of(&secret) }
    }

    /// Whether both were made of the same password, in the same way. It takes as long if they were not.
    pub fn matches(&self, other: &Verifier) -> bool {
        let keys = constant_time::verify_slices_are_equal(&self.keys.stored_key, &other.keys.stored_key);
        keys.is_ok() && (self.salt, self.iterations) == (other.salt, other.iterations)
    }
}

/// The salt of a name: an HMAC, so that it is the same each time and tells nothing about whether the name exists.
pub fn salt_of(secret: &[u8; 32], name: &UserName) -> [u8; SALT_BYTES] {
    let mac = hmac_sha256(secret, name.folded().as_bytes());
    mac[..SALT_BYTES].try_into().expect("a MAC is longer than a salt")
}

impl Secret {
    /// `SaltedPassword` of a password. Slow, by `iterations`.
    pub fn salted(password: &str, salt: &[u8], iterations: u32) -> Secret {
        // A password that SASLprep forbids is taken as it is: it can't be spelled in another way then.
        let prepared = stringprep::saslprep(password).unwrap_or(password.into());
        let mut key = [0; KEY_BYTES];
        let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, prepared.as_bytes(), &mut key);
        Secret(key)
    }

    /// A resume token stands where a salted password would.
    pub fn token(token: &ResumeToken) -> Secret {
        Secret(token.0)
    }
}

impl ClientFirst {
    /// Reads `n,,n=USER,r=NONCE` or `p=tls-exporter,,n=USER,r=NONCE`. A `y` is refused as a downgrade.
    pub fn parse(message: &str) -> Result<ClientFirst, &'static str> {
        let (header, bare) = match message.split_once(",,") {
            Some(("n", bare)) => (Header::Unbound, bare),
            Some(("p=tls-exporter", bare)) => (Header::Exporter, bare),
            Some(("y", _)) => return Err("'y' is refused: this server binds channels, so somebody has hidden that"),
            Some((flag, _)) if flag.starts_with("p=") => return Err("the channel binding is tls-exporter"),
            _ => return Err("the first message is 'p=tls-exporter,,n=USER,r=NONCE', or begins with 'n,,'"),
        };
        let mut fields = bare.split(',');
        let user =
            fields.next().and_then(|field| field.strip_prefix("n=")).ok_or("the user name is missing: 'n=USER'")?;
        let nonce =
            fields.next().and_then(|field| field.strip_prefix("r=")).ok_or("the nonce is missing: 'r=NONCE'")?;
        let user = UserName::parse(user).map_err(|_| "that is not a user name")?;
        if nonce.is_empty() || nonce.len() > NONCE_BYTES_MAX || !nonce.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("a nonce has 1 to 256 printable characters");
        }
        Ok(ClientFirst { user, nonce: nonce.to_owned(), header, bare: bare.to_owned() })
    }
}

impl ClientFinal {
    /// Reads `c=CHANNEL,r=NONCE,p=PROOF`.
    pub fn parse(message: &str) -> Result<ClientFinal, &'static str> {
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or("the proof is missing: ',p=PROOF'")?;
        let mut fields = without_proof.split(',');
        let channel_binding = fields.next().and_then(|field| field.strip_prefix("c=")).ok_or("'c=' is missing")?;
        let nonce =
            fields.next().and_then(|field| field.strip_prefix("r=")).ok_or("the nonce is missing: 'r=NONCE'")?;
        Ok(ClientFinal {
            channel_binding: channel_binding.to_owned(),
            nonce: nonce.to_owned(),
            proof: decode_key(proof).ok_or("the proof is not the base64 of 32 bytes")?,
            without_proof: without_proof.to_owned(),
        })
    }
}

impl ServerExchange {
    /// Answers a client's first message with a salt and a fresh nonce.
    pub fn new(first: &ClientFirst, server_nonce: &[u8], salt: &[u8; SALT_BYTES], iterations: u32) -> ServerExchange {
        let nonce = format!("{}{}", first.nonce, BASE64.encode(server_nonce));
        let server_first = format!("r={nonce},s={},i={iterations}", BASE64.encode(salt));
        ServerExchange { header: first.header, nonce, client_first_bare: first.bare.clone(), server_first }
    }

    /// `server-first-message`.
    pub fn message(&self) -> &str {
        &self.server_first
    }

    /// Checks the client's last message. `binding`: of the connection that it came on. Takes the same time if it is wrong.
    pub fn check(&self, last: &ClientFinal, keys: &StoredKeys, binding: Option<&ChannelBinding>) -> Checked {
        let transcript = transcript(&self.client_first_bare, &self.server_first, &last.without_proof);
        let signature = hmac_sha256(&keys.stored_key, transcript.as_bytes());
        let client_key = xor(&last.proof, &signature);
        let right = constant_time::verify_slices_are_equal(&sha256(&client_key), &keys.stored_key).is_ok();
        let server_signature = hmac_sha256(&keys.server_key, transcript.as_bytes());
        let token = resume_token(&client_key, &transcript);
        let here = self.header.channel(binding).is_some_and(|channel| channel == last.channel_binding);
        match right && last.nonce == self.nonce {
            true if here => Checked::Right(format!("v={}", BASE64.encode(server_signature)), token),
            true => Checked::Elsewhere,
            false => Checked::Wrong,
        }
    }
}

impl ClientExchange {
    /// Begins an exchange. `nonce` is random for each; its bytes are sent as base64. With `binding` the exchange is worth
    /// something on that connection only.
    pub fn new(user: &UserName, nonce: &[u8], binding: Option<ChannelBinding>) -> ClientExchange {
        let nonce = BASE64.encode(nonce);
        ClientExchange { binding, first_bare: format!("n={user},r={nonce}"), nonce }
    }

    /// `client-first-message`.
    pub fn message(&self) -> String {
        format!("{}{}", self.header().as_str(), self.first_bare)
    }

    fn header(&self) -> Header {
        if self.binding.is_some() { Header::Exporter } else { Header::Unbound }
    }

    /// Reads the server's first message. An error means that the server can't be trusted with a proof.
    pub fn challenge(&self, message: &str) -> Result<Challenge, &'static str> {
        let mut fields = message.split(',');
        let nonce =
            fields.next().and_then(|field| field.strip_prefix("r=")).ok_or("no nonce in the server's challenge")?;
        let salt =
            fields.next().and_then(|field| field.strip_prefix("s=")).ok_or("no salt in the server's challenge")?;
        let iterations = fields
            .next()
            .and_then(|field| field.strip_prefix("i="))
            .ok_or("no iterations in the server's challenge")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("the server's challenge is not for this log-in");
        }
        let salt = BASE64.decode(salt).map_err(|_| "the salt in the server's challenge is not base64")?;
        let iterations = iterations.parse().map_err(|_| "the iterations in the server's challenge are no number")?;
        Ok(Challenge { nonce: nonce.to_owned(), salt, iterations, message: message.to_owned() })
    }

    /// `client-final-message`, the signature that the server has to answer with, and the token that it then has too.
    pub fn prove(&self, challenge: &Challenge, secret: &Secret) -> (String, ServerSignature, ResumeToken) {
        let keys = StoredKeys::of(secret);
        let channel = self.header().channel(self.binding.as_ref()).expect("the header is bound only with a binding");
        let without_proof = format!("c={channel},r={}", challenge.nonce);
        let transcript = transcript(&self.first_bare, &challenge.message, &without_proof);
        let signature = hmac_sha256(&keys.stored_key, transcript.as_bytes());
        let client_key = hmac_sha256(&secret.0, b"Client Key");
        let proof = xor(&client_key, &signature);
        let server = ServerSignature(hmac_sha256(&keys.server_key, transcript.as_bytes()));
        let token = resume_token(&client_key, &transcript);
        (format!("{without_proof},p={}", BASE64.encode(proof)), server, token)
    }
}

impl Challenge {
    /// Whether a password may be put to so many iterations: too few give it away, too many are an attack on the client.
    pub fn iterations_are_sane(&self) -> bool {
        (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&self.iterations)
    }
}

impl ServerSignature {
    /// Whether `server-final-message` proves that the server knows the account.
    pub fn matches(&self, message: &str) -> bool {
        let signature = message.strip_prefix("v=").and_then(decode_key);
        signature.is_some_and(|signature| constant_time::verify_slices_are_equal(&signature, &self.0).is_ok())
    }
}

fn transcript(client_first_bare: &str, server_first: &str, client_final_without_proof: &str) -> String {
    format!("{client_first_bare},{server_first},{client_final_without_proof}")
}

/// Both sides have the client key when the proof is right, and whoever only listens has not: the token never travels.
fn resume_token(client_key: &Key, transcript: &str) -> ResumeToken {
    ResumeToken(hmac_sha256(client_key, format!("Resume Token{transcript}").as_bytes()))
}

fn decode_key(base64: &str) -> Option<Key> {
    BASE64.decode(base64).ok()?.try_into().ok()
}

fn sha256(bytes: &[u8]) -> Key {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn hmac_sha256(key: &[u8], bytes: &[u8]) -> Key {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes);
    tag.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
}

fn xor(a: &Key, b: &Key) -> Key {
    std::array::from_fn(|i| a[i] ^ b[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, section 3: user `user`, password `pencil`.
    const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
    const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                                p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn right(checked: Checked) -> (String, ResumeToken) {
        match checked {
            Checked::Right(message, token) => (message, token),
            other => panic!("{other:?}"),
        }
    }

    fn rfc_exchange() -> (ServerExchange, Verifier) {
        let first = ClientFirst::parse(CLIENT_FIRST).unwrap();
        let nonce = format!("{}{SERVER_NONCE}", first.nonce);
        let server_first = format!("r={nonce},s={SALT},i=4096");
        let verifier = Verifier::derive("pencil", BASE64.decode(SALT).unwrap().try_into().unwrap(), 4096);
        (ServerExchange { header: first.header, nonce, client_first_bare: first.bare, server_first }, verifier)
    }

    #[test]
    fn the_server_agrees_with_rfc_7677() {
        let (exchange, verifier) = rfc_exchange();
        let last = ClientFinal::parse(CLIENT_FINAL).unwrap();
        assert_eq!(right(exchange.check(&last, &verifier.keys, None)).0, SERVER_FINAL);
        assert_eq!(exchange.check(&last, &StoredKeys::of_nobody(), None), Checked::Wrong);
    }

    #[test]
    fn the_client_agrees_with_rfc_7677() {
        let client = ClientExchange {
            binding: None,
            nonce: "rOprNGfwEbeRWgbNEkqO".into(),
            first_bare: "n=user,r=rOprNGfwEbeRWgbNEkqO".into(),
        };
        let challenge = client.challenge(rfc_exchange().0.message()).unwrap();
        assert!(challenge.iterations_are_sane());
        let secret = Secret::salted("pencil", &challenge.salt, challenge.iterations);
        let (message, signature, _) = client.prove(&challenge, &secret);
        assert_eq!(message, CLIENT_FINAL);
        assert!(signature.matches(SERVER_FINAL));
        assert!(!signature.matches("v=AAriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!signature.matches("e=other-error"));
    }

    #[test]
    fn a_proof_is_bound_to_its_exchange() {
        let (exchange, verifier) = rfc_exchange();
        for (from, to) in [("c=biws", "c=eSws"), ("$k0,", "$k1,"), ("p=dHz", "p=dHy")] {
            let last = ClientFinal::parse(&CLIENT_FINAL.replace(from, to)).unwrap();
            assert_eq!(exchange.check(&last, &verifier.keys, None), Checked::Wrong, "{to}");
        }
    }

    #[test]
    fn malformed_messages_are_refused() {
        for bad in [
            "",
            "n,,",
            "n,,n=user",
            "n,,n=user,r=",
            "n,,r=x,n=user",
            "n,a=bob,n=user,r=x",
            "y,,n=user,r=x",
            "p=tls-unique,,n=user,r=x",
            "p=tls-exporter,a=bob,n=user,r=x",
            "n,,n=no such,r=x",
            "n,,n=user,r=\u{7f}",
        ] {
            assert!(ClientFirst::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "c=biws", "c=biws,r=x", "c=biws,r=x,p=", "c=biws,r=x,p=AAAA", "r=x,c=biws,p=AAAA"] {
            assert!(ClientFinal::parse(bad).is_err(), "{bad:?}");
        }
        let client = ClientExchange::new(&UserName::parse("user").unwrap(), b"nonce", None);
        for bad in [
            "",
            "r=bm9uY2U=",
            "r=other,s=AAAA,i=4096",
            "r=bm9uY2U=,s=AAAA,i=4096",
            "r=bm9uY2U=x,s=!,i=4096",
            "r=bm9uY2U=x,s=AAAA,i=x",
        ] {
            assert!(client.challenge(bad).is_err(), "{bad:?}");
        }
        assert!(!client.challenge("r=bm9uY2U=x,s=AAAA,i=1").unwrap().iterations_are_sane());
    }

    #[test]
    fn a_token_stands_for_a_password() {
        let user = UserName::parse("user").unwrap();
        let token = ResumeToken([7; 32]);
        let client = ClientExchange::new(&user, b"client", None);
        let first = ClientFirst::parse(&client.message()).unwrap();
        let server = ServerExchange::new(&first, b"server", &[0; SALT_BYTES], 1);
        let challenge = client.challenge(server.message()).unwrap();
        let (message, signature, _) = client.prove(&challenge, &Secret::token(&token));
        let last = ClientFinal::parse(&message).unwrap();
        let (account, changed) = (Verifier::derive("old", [0; 16], 1), Verifier::derive("new", [0; 16], 1));
        let kept = StoredKeys::of_token(&token, &account);
        assert_eq!(server.check(&last, &kept, None), Checked::Wrong, "what is kept does not check without the account");
        assert_eq!(server.check(&last, &kept.bound_to(&changed), None), Checked::Wrong);
        assert!(signature.matches(&right(server.check(&last, &kept.bound_to(&account), None)).0));
    }

    #[test]
    fn both_sides_derive_the_same_token_and_another_in_each_exchange() {
        let user = UserName::parse("user").unwrap();
        let account = Verifier::derive("pencil", [0; SALT_BYTES], 1);
        let exchange = |client_nonce: &[u8], server_nonce: &[u8], secret: &Secret, keys: &StoredKeys| {
            let client = ClientExchange::new(&user, client_nonce, None);
            let first = ClientFirst::parse(&client.message()).unwrap();
            let server = ServerExchange::new(&first, server_nonce, &account.salt, 1);
            let challenge = client.challenge(server.message()).unwrap();
            let (message, _, token) = client.prove(&challenge, secret);
            let (_, same) = right(server.check(&ClientFinal::parse(&message).unwrap(), keys, None));
            assert_eq!(token.0, same.0);
            token
        };
        let password = Secret::salted("pencil", &account.salt, 1);
        let mut tokens = vec![
            exchange(b"client", b"server", &password, &account.keys),
            exchange(b"client", b"another", &password, &account.keys),
            exchange(b"another", b"server", &password, &account.keys),
        ];
        let kept = StoredKeys::of_token(&tokens[0], &account).bound_to(&account);
        let resumed = exchange(b"client", b"server", &Secret::token(&tokens[0]), &kept);
        tokens.push(resumed);
        let different: std::collections::BTreeSet<Key> = tokens.iter().map(|token| token.0).collect();
        assert_eq!(different.len(), tokens.len());
    }

    /// A log-in of `user`'s with `pencil`, where client and server see these bindings; `forge` may change the client's two
    /// messages on their way.
    fn log_in(
        client_sees: Option<ChannelBinding>,
        server_sees: Option<ChannelBinding>,
        forge: impl Fn(String) -> String,
    ) -> Checked {
        let account = Verifier::derive("pencil", [0; SALT_BYTES], 1);
        let client = ClientExchange::new(&UserName::parse("user").unwrap(), b"client", client_sees);
        let first = ClientFirst::parse(&forge(client.message())).unwrap();
        let server = ServerExchange::new(&first, b"server", &account.salt, 1);
        let challenge = client.challenge(server.message()).unwrap();
        let (message, _, _) = client.prove(&challenge, &Secret::salted("pencil", &account.salt, 1));
        server.check(&ClientFinal::parse(&forge(message)).unwrap(), &account.keys, server_sees.as_ref())
    }

    #[test]
    fn a_bound_exchange_is_worth_nothing_on_another_connection() {
        let (here, there) = (|| Some(ChannelBinding([1; 32])), || Some(ChannelBinding([2; 32])));
        let as_it_is = |message| message;
        assert!(matches!(log_in(here(), here(), as_it_is), Checked::Right(..)));
        assert!(matches!(log_in(None, here(), as_it_is), Checked::Right(..)), "other clients may do without");
        assert_eq!(log_in(here(), there(), as_it_is), Checked::Elsewhere);
        assert_eq!(log_in(here(), None, as_it_is), Checked::Elsewhere);
    }

    #[test]
    fn who_is_in_the_middle_cannot_take_the_binding_out() {
        let here = || Some(ChannelBinding([1; 32]));
        let there = || Some(ChannelBinding([2; 32]));
        let unbind_first = |message: String| message.replace("p=tls-exporter,,", "n,,");
        assert_eq!(log_in(here(), there(), unbind_first), Checked::Elsewhere);
        let unbind_both = |message: String| match message.split_once(",r=") {
            Some((channel, rest)) if channel.starts_with("c=") => format!("c=biws,r={rest}"),
            _ => unbind_first(message),
        };
        assert_eq!(log_in(here(), there(), unbind_both), Checked::Wrong);
    }
}
