//! Secrets that have to be kept themselves, because a classic protocol's challenge/response needs them: sealed with a key
//! that is not in the database, so that the database alone gives nothing away.
//!
//! AES-256-GCM (NIST SP 800-38D) with a random nonce; the name is bound in, so that a sealed secret is worth nothing under
//! another name.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rand::Rng;

use super::name::UserName;

/// What secrets are sealed with.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingKey([u8; SealingKey::BYTES]);

/// A nonce, the sealed secret and its tag.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Box<[u8]>);

impl SealingKey {
    pub const BYTES: usize = 32;

    pub fn new(bytes: [u8; SealingKey::BYTES]) -> SealingKey {
        SealingKey(bytes)
    }

    /// Seals a secret of `name`'s.
    pub fn seal(&self, rng: &mut impl Rng, name: &UserName, secret: &str) -> Sealed {
        let mut nonce = [0; NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        let mut bytes = secret.as_bytes().to_vec();
        self.key()
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(name), &mut bytes)
            .expect("a secret is far shorter than what AES-GCM can seal");
        Sealed([&nonce[..], &bytes].concat().into())
    }

    /// `None`: sealed with another key, under another name, or damaged.
    pub fn open(&self, name: &UserName, sealed: &Sealed) -> Option<String> {
        let (nonce, rest) = sealed.0.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = rest.to_vec();
        let secret = self.key().open_in_place(nonce, aad(name), &mut bytes).ok()?;
        String::from_utf8(secret.to_vec()).ok()
    }

    fn key(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.0).expect("the key has the right length"))
    }
}

fn aad(name: &UserName) -> Aad<Vec<u8>> {
    Aad::from(name.folded().into_bytes())
}

impl Sealed {
    /// As the store gives it back.
    pub fn from_bytes(bytes: Vec<u8>) -> Sealed {
        Sealed(bytes.into())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(..)")
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(..)")
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn only_the_key_and_the_name_open_what_is_sealed() {
        let name = |text| UserName::parse(text).unwrap();
        let mut rng = StdRng::from_seed([1; 32]);
        let key = SealingKey::new([7; 32]);
        let sealed = key.seal(&mut rng, &name("alice"), "wonderland");
        assert_eq!(key.open(&name("ALICE"), &sealed).as_deref(), Some("wonderland"));
        assert_eq!(key.open(&name("bob"), &sealed), None);
        assert_eq!(SealingKey::new([8; 32]).open(&name("alice"), &sealed), None);
        assert!(!sealed.as_bytes().windows(5).any(|bytes| b"wonderland".windows(5).any(|part| part == bytes)));
        for index in 0..sealed.as_bytes().len() {
            let mut bytes = sealed.as_bytes().to_vec();
            bytes[index] ^= 1;
            assert_eq!(key.open(&name("alice"), &Sealed::from_bytes(bytes)), None, "byte {index}");
        }
        assert_eq!(key.open(&name("alice"), &Sealed::from_bytes(vec![0; 3])), None);
        assert_ne!(key.seal(&mut rng, &name("alice"), "wonderland"), sealed, "no nonce is used twice");
    }
}
