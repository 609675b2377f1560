//! The cipher (protocols.md, section 2).
//!
//! It hides nothing from whoever knows its beginning: it is served because its clients exist, and counts as no encryption.

use super::{MESSAGE_BYTES_MAX, SessionKey};

/// Nobody can have said these bytes: they are no UTF-8, or too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecipherable;

impl SessionKey {
    /// Appends a message as it travels; each begins with the beginning of the key. It has as many bytes as its plain text.
    pub fn encipher(&self, plain: &str, out: &mut Vec<u8>) {
        out.reserve(plain.len());
        // What is ASCII stays so, and is most of what is said.
        if plain.is_ascii() {
            let chunks = plain.as_bytes().chunks(SessionKey::DIGITS);
            return chunks.for_each(|chunk| out.extend(chunk.iter().zip(self.digits()).map(|(c, digit)| c ^ digit)));
        }
        let mut utf8 = [0; 4];
        for (c, &digit) in plain.chars().zip(self.digits().iter().cycle()) {
            out.extend_from_slice(xor(c, digit).encode_utf8(&mut utf8).as_bytes());
        }
    }

    /// Reads one whole message. Bytes that were ciphered with another key, or that are two messages, come to a text all the
    /// same, which says nothing.
    pub fn decipher(&self, ciphered: &[u8]) -> Result<String, Undecipherable> {
        if ciphered.len() > MESSAGE_BYTES_MAX {
            return Err(Undecipherable);
        }
        let ciphered = str::from_utf8(ciphered).map_err(|_| Undecipherable)?;
        let mut plain = Vec::new();
        // The cipher is its own inverse.
        self.encipher(ciphered, &mut plain);
        String::from_utf8(plain).map_err(|_| Undecipherable)
    }
}

/// A digit is ASCII, so this stays within 128 scalar values that begin at a multiple of 128. Surrogates, the end of Unicode
/// and each length of UTF-8 begin at such multiples: what comes out is a character, as long as the one that went in.
fn xor(c: char, digit: u8) -> char {
    debug_assert!(digit.is_ascii());
    char::from_u32(u32::from(c) ^ u32::from(digit)).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Password;
    use crate::wire::session::Challenge;

    fn key() -> SessionKey {
        SessionKey::of(Challenge::new(Challenge::FIRST).unwrap(), &Password::parse("secret").unwrap())
    }

    #[test]
    fn a_message_has_a_bound() {
        assert!(key().decipher(&[b'x'; MESSAGE_BYTES_MAX]).is_ok());
        assert_eq!(key().decipher(&[b'x'; MESSAGE_BYTES_MAX + 1]), Err(Undecipherable));
    }

    #[test]
    fn every_character_stays_a_character_of_its_length() {
        for digit in *b"0123456789abcdef" {
            for c in '\0'..=char::MAX {
                let ciphered = xor(c, digit);
                assert_eq!((ciphered.len_utf8(), xor(ciphered, digit)), (c.len_utf8(), c), "{c:?} {digit}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_ciphered_is_deciphered(plain in "(.|\n){0,300}") {
            let mut ciphered = Vec::new();
            key().encipher(&plain, &mut ciphered);
            prop_assert_eq!(ciphered.len(), plain.len());
            prop_assert_eq!(key().decipher(&ciphered), Ok(plain));
        }

        #[test]
        fn what_is_no_utf_8_is_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(key().decipher(&bytes).is_ok(), str::from_utf8(&bytes).is_ok());
        }
    }
}
