//! What stands around a client's dict: a list of it and its digest, `[{…}, 'HEX']`.

use aws_lc_rs::constant_time;
use sha2::{Digest, Sha256};

use super::{BODY, Literal, Manner, Unread};
use crate::wire::hex::{hex, unhex};

/// The dict, and in which manner its writer wants to be written to.
pub(super) fn open(datagram: &[u8]) -> Result<(Literal<'_>, Manner), Unread> {
    let items: [_; 2] = Literal::parse_items(datagram)?.try_into().map_err(|_| Unread::Malformed)?;
    let [dict, digest] = items;
    let (Literal::Dict(entries), Some(digest)) = (&dict.value, digest.value.as_text()) else {
        return Err(Unread::Malformed);
    };
    // Python 2 orders the keys by their hashes, which puts this one first; Python 3 keeps the order that the program has.
    let is_python_2 = entries.first().is_some_and(|(key, _)| key.as_text() == Some(BODY));
    let manner = if is_python_2 { Manner::Plain } else { Manner::Unicode };
    let is_right = unhex(digest)
        .is_some_and(|digest| constant_time::verify_slices_are_equal(&digest, &sha256(dict.source)).is_ok());
    if is_right { Ok((dict.value, manner)) } else { Err(Unread::WrongDigest) }
}

/// As Python 2 writes it.
pub(super) fn seal(dict: &Literal<'_>) -> Vec<u8> {
    let mut out = String::from("[");
    dict.write(Manner::Plain, &mut out);
    let digest = hex(&sha256(&out[1..]));
    out.push_str(", '");
    out.push_str(&digest);
    out.push_str("']");
    out.into_bytes()
}

fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}
