//! What people compare certificates by: the SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` writes it.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; SHA256_OUTPUT_LEN]);

/// The text is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Fingerprint {
    /// Of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Fingerprint {
        Fingerprint(digest(&SHA256, certificate).as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02X}", if index == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl FromStr for Fingerprint {
    type Err = Malformed;

    /// Reads it as it is written; lower case will do.
    fn from_str(text: &str) -> Result<Fingerprint, Malformed> {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        let mut pairs = text.split(':');
        for byte in &mut bytes {
            let pair = pairs.next().filter(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or(Malformed)?;
        }
        if pairs.next().is_some() { Err(Malformed) } else { Ok(Fingerprint(bytes)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_is_written() {
        // SHA-256 of nothing (FIPS 180-4).
        let fingerprint = Fingerprint::of(b"");
        let text = fingerprint.to_string();
        assert_eq!(text.get(..11), Some("E3:B0:C4:42"));
        assert_eq!(text.parse(), Ok(fingerprint));
        assert_eq!(text.to_lowercase().parse(), Ok(fingerprint));
        for bad in ["", "E3", &text[1..], &format!("{text}:00"), &text.replace(':', ""), &text.replace("E3", "+3")] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(Malformed), "{bad}");
        }
    }
}
