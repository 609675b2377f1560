//! Which protocol does a client speak? Decided from its first bytes, by one pure function.

use super::Protocol;

/// What a listener serves, and so what its first bytes can mean.
#[derive(Clone, Copy, Debug)]
pub struct Openings {
    pub native: bool,
    pub request: bool,
    /// Guests are let in: who says nothing for a while is asked for a nickname.
    pub nick: bool,
    /// That has been done: what is no other protocol's opening is the nickname.
    pub prompted: bool,
    /// Inside of TLS there is no second one.
    pub tls: bool,
}

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognition {
    This(Protocol),
    /// A handshake of TLS (RFC 8446, section 5.1: a handshake record of any 3.x version); inside it the table begins anew.
    Tls,
    /// No protocol that is served here begins like this.
    None,
    /// Too little is there to say.
    Wait,
}

/// The line that a connection gets which speaks nothing that is served here.
pub const NOT_UNDERSTOOD: &[u8] =
    b"chatd: this is a chat server, and that is no protocol it speaks. Try: chat HOST PORT\n";

/// The line for somebody who has said nothing yet, and has to go for others.
pub const TOO_MANY: &[u8] = b"chatd: too many connections wait for a log-in here: try again in a moment\n";

/// Tells a protocol by its first bytes. `quiet`: nothing has come for a while, so that what is there may be all there is.
/// White space before the native protocol's first object counts for nothing, as everywhere between its objects.
pub fn recognise(bytes: &[u8], quiet: bool, openings: &Openings) -> Recognition {
    let _ = quiet; // No protocol that is served so far begins with silence.
    match bytes {
        [0x16] if openings.tls => return Recognition::Wait,
        [0x16, 0x03, ..] if openings.tls => return Recognition::Tls,
        _ => {}
    }
    match bytes.iter().find(|b| !b.is_ascii_whitespace()) {
        None if bytes.len() < BLANK_BYTES_MAX => Recognition::Wait,
        Some(b'{') if openings.native => Recognition::This(Protocol::Native),
        _ => Recognition::None,
    }
}

/// So much white space is no beginning.
const BLANK_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Openings = Openings { native: true, request: false, nick: false, prompted: false, tls: true };

    #[test]
    fn the_first_byte_that_says_something_decides() {
        for quiet in [false, true] {
            assert_eq!(recognise(b"", quiet, &ALL), Recognition::Wait);
            assert_eq!(recognise(b"\r\n", quiet, &ALL), Recognition::Wait);
            assert_eq!(recognise(b"{", quiet, &ALL), Recognition::This(Protocol::Native));
            assert_eq!(recognise(b" \n{\"id\"", quiet, &ALL), Recognition::This(Protocol::Native));
            assert_eq!(recognise(b"\x16", quiet, &ALL), Recognition::Wait);
            assert_eq!(recognise(b"\x16\x03", quiet, &ALL), Recognition::Tls);
            assert_eq!(recognise(b"\x16\x03\x01\x02\0", quiet, &ALL), Recognition::Tls);
            let inside = Openings { tls: false, ..ALL };
            for second in [&b"\x16"[..], b"\x16\x03", b"\x16\x03\x01"] {
                assert_eq!(recognise(second, quiet, &inside), Recognition::None, "no TLS within TLS");
            }
            for other in [&b"GET / HTTP/1.1"[..], b"\x16\x02", b" \x16\x03", b"\0\0", b"alive,bob", b"[", b"\xff"] {
                assert_eq!(recognise(other, quiet, &ALL), Recognition::None, "{other:?}");
            }
        }
        assert_eq!(recognise(b"{", false, &Openings { native: false, ..ALL }), Recognition::None);
        assert_eq!(recognise(&[b' '; 64], false, &ALL), Recognition::None);
    }
}
