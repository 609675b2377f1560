//! Challenge and response with the account's secret, and the key of the session that follows (protocols.md, section 2).
//!
//! Both digests are of RAND and the secret, as text, one behind the other.

use std::fmt;

use aws_lc_rs::constant_time;
use rand::{Rng, RngExt};
use sha2::{Digest, Sha256, Sha512};

use super::credentials::Password;
use super::hex::{hex, unhex};

/// RAND: what a client is challenged with, a number of ten decimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Challenge(u64);

/// RES: what answers a challenge.
#[derive(Clone, Copy)]
pub struct Response([u8; 32]);

/// CK: what the messages of a session are ciphered with, lower-case hexadecimal digits.
#[derive(Clone)]
pub struct SessionKey([u8; SessionKey::DIGITS]);

impl Challenge {
    pub const FIRST: u64 = 1_000_000_000;
    pub const LAST: u64 = 9_999_999_999;
    pub const DIGITS: usize = 10;

    /// `None`: it does not have ten digits.
    pub fn new(number: u64) -> Option<Challenge> {
        (Challenge::FIRST..=Challenge::LAST).contains(&number).then_some(Challenge(number))
    }

    /// One that nobody can guess.
    pub(super) fn draw(rng: &mut impl Rng) -> Challenge {
        Challenge(rng.random_range(Challenge::FIRST..=Challenge::LAST))
    }

    /// As text.
    fn digits(self) -> [u8; Challenge::DIGITS] {
        let mut rest = self.0;
        let mut digits = [b'0'; Challenge::DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        digits
    }

    /// Reads the ten digits.
    pub fn parse(digits: &str) -> Option<Challenge> {
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number
            .then(|| digits.parse().ok())
            .flatten()
            .and_then(Challenge::new)
            .filter(|_| digits.len() == Challenge::DIGITS)
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Response {
    /// A3: SHA-256.
    pub fn to(challenge: Challenge, secret: &Password) -> Response {
        Response(digest_of::<Sha256>(challenge, secret).into())
    }

    /// Reads the 64 lower-case digits.
    pub fn parse(digits: &str) -> Option<Response> {
        let is_lower = !digits.bytes().any(|byte| byte.is_ascii_uppercase());
        unhex(digits).filter(|_| is_lower).map(Response)
    }
}

/// In a time that says nothing of where they differ.
impl PartialEq for Response {
    fn eq(&self, other: &Response) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for Response {}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Response(..)")
    }
}

impl SessionKey {
    pub const DIGITS: usize = 128;

    /// A8: SHA-512.
    pub fn of(challenge: Challenge, secret: &Password) -> SessionKey {
        let digits = hex(&digest_of::<Sha512>(challenge, secret));
        SessionKey(digits.into_bytes().try_into().expect("SHA-512 has 64 bytes"))
    }

    /// Its digits, in lower case.
    pub fn digits(&self) -> &[u8; SessionKey::DIGITS] {
        &self.0
    }
}

/// In a time that says nothing of where they differ.
impl PartialEq for SessionKey {
    fn eq(&self, other: &SessionKey) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for SessionKey {}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

fn digest_of<D: Digest>(challenge: Challenge, secret: &Password) -> sha2::digest::Output<D> {
    D::new().chain_update(challenge.digits()).chain_update(secret.as_str()).finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SessionKey {
        SessionKey::of(Challenge(Challenge::FIRST), &Password::parse("secret").unwrap())
    }

    #[test]
    fn a_challenge_has_ten_digits() {
        for number in [Challenge::FIRST, 4_365_043_278, Challenge::LAST] {
            let challenge = Challenge::new(number).unwrap();
            assert_eq!(Challenge::parse(&challenge.to_string()), Some(challenge));
        }
        assert_eq!(Challenge::new(Challenge::FIRST - 1), None);
        assert_eq!(Challenge::new(Challenge::LAST + 1), None);
        for bad in ["", "999999999", "0999999999", "01000000000", "10000000000", "+436504327", " 4365043278", "４"] {
            assert_eq!(Challenge::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_response_is_lower_case_and_secrets_are_not_printed() {
        let digits = "0123456789abcdef".repeat(4);
        assert_eq!(Response::parse(&digits).unwrap().to_string(), digits);
        for bad in [digits.to_uppercase(), digits[1..].to_owned(), digits.replace('a', "g"), String::new()] {
            assert_eq!(Response::parse(&bad), None, "{bad}");
        }
        assert_ne!(Response::parse(&digits), Response::parse(&digits.replace('f', "e")));
        assert_eq!(format!("{:?} {:?}", key(), Response::parse(&digits)), "SessionKey(..) Some(Response(..))");
    }
}
