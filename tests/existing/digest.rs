//! The digests that the existing programs make, in lower-case hex.

use aws_lc_rs::digest::{Algorithm, SHA256, SHA512, digest};

pub fn hex_sha256(bytes: &[u8]) -> String {
    hex(&SHA256, bytes)
}

pub fn hex_sha512(bytes: &[u8]) -> String {
    hex(&SHA512, bytes)
}

fn hex(algorithm: &'static Algorithm, bytes: &[u8]) -> String {
    digest(algorithm, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
