//! What both ends of `session` make of a user's secret.

use super::digest::{hex_sha256, hex_sha512};

/// A3: the right answer to a challenge.
pub fn response(rand: &str, secret: &str) -> String {
    hex_sha256(format!("{rand}{secret}").as_bytes())
}

/// XOR with a session key, character by character. Every message starts anew.
#[derive(Clone, Debug)]
pub struct Cipher {
    session_key: Vec<u32>,
}

impl Cipher {
    /// With the session key that A8 makes.
    pub fn new(rand: &str, secret: &str) -> Cipher {
        let session_key = hex_sha512(format!("{rand}{secret}").as_bytes());
        Cipher { session_key: session_key.chars().map(u32::from).collect() }
    }

    /// Enciphers and deciphers.
    pub fn apply(&self, text: &str) -> String {
        let with_key = text.chars().zip(self.session_key.iter().cycle());
        // ASCII changes the lowest seven bits only, which takes no character out of its range.
        with_key.map(|(character, key)| char::from_u32(u32::from(character) ^ key).unwrap_or(character)).collect()
    }
}
