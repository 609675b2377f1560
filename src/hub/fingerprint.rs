//! What people compare certificates by.

use std::fmt;

use aws_lc_rs::digest;

/// The SHA-256 of a certificate, in DER. People see it as `SHA256:AB:CD:…`, like that of `openssl x509 -fingerprint -sha256`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; Fingerprint::BYTES]);

impl Fingerprint {
    pub const BYTES: usize = digest::SHA256_OUTPUT_LEN;
    const PREFIX: &str = "SHA256:";

    /// Of a certificate.
    pub fn of(certificate: &[u8]) -> Fingerprint {
        let hash = digest::digest(&digest::SHA256, certificate);
        Fingerprint(hash.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// Reads what `Display` writes; large and small letters don't differ.
    pub fn parse(text: &str) -> Option<Fingerprint> {
        let mut parts = text.strip_prefix(Self::PREFIX)?.split(':');
        let mut bytes = [0; Self::BYTES];
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))?;
            *byte = u8::from_str_radix(part, 16).ok()?;
        }
        parts.next().is_none().then_some(Fingerprint(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::PREFIX)?;
        for (index, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02X}", if index == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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
        assert_eq!(text.get(..18), Some("SHA256:E3:B0:C4:42"));
        assert_eq!(Fingerprint::parse(&text), Some(fingerprint));
        let small = format!("SHA256:{}", text[7..].to_lowercase());
        assert_eq!(Fingerprint::parse(&small), Some(fingerprint));
        for bad in
            ["", "SHA256:E3", &text[7..], &format!("{text}:00"), &text.replace("E3", "+3"), &text.replace(":E", ":")]
        {
            assert_eq!(Fingerprint::parse(bad), None, "{bad}");
        }
    }
}
