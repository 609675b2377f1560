//! Which protocol does a client speak? Decided from its first bytes, by one pure function.

use super::session::glued::{Begun, Expected};
use super::session::log_on;
use super::{Protocol, request};
use crate::hub::challenge::Challenge;

/// What a listener serves, and so what its first bytes can mean.
#[derive(Clone, Copy, Debug)]
pub struct Openings<'a> {
    pub native: bool,
    pub request: bool,
    /// Guests are let in: who says nothing for a while is asked for a nickname.
    pub nick: bool,
    /// That has been done: what is no other protocol's opening is the nickname.
    pub prompted: bool,
    /// Inside of TLS there is no second one.
    pub tls: bool,
    /// Those who have logged on from there by datagrams; `None`: nobody, or sessions are not served here.
    pub expected: Option<&'a Expected>,
}

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognition {
    This(Protocol),
    /// Whoever was challenged with this has logged on, and comes.
    Session(Challenge),
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
pub fn recognise(bytes: &[u8], quiet: bool, openings: &Openings<'_>) -> Recognition {
    if bytes.is_empty() {
        let asks = quiet && openings.nick && !openings.prompted;
        return if asks { Recognition::This(Protocol::Nick) } else { Recognition::Wait };
    }
    match opening(bytes, quiet, openings) {
        Recognition::None if openings.nick && openings.prompted => Recognition::This(Protocol::Nick),
        found => found,
    }
}

/// The same for what can be told by its own looks. White space before the native protocol's first object counts for nothing,
/// as everywhere between its objects.
fn opening(bytes: &[u8], quiet: bool, openings: &Openings<'_>) -> Recognition {
    match bytes {
        [0x16] if openings.tls => return Recognition::Wait,
        [0x16, 0x03, ..] if openings.tls => return Recognition::Tls,
        _ => {}
    }
    let begun = openings.expected.map_or(Begun::ByNobody, |expected| expected.find(bytes));
    match begun {
        Begun::By(challenge, _) => return Recognition::Session(challenge),
        Begun::Partly if !quiet => return Recognition::Wait,
        Begun::Partly | Begun::ByNobody => {}
    }
    if openings.request {
        match request::server::opens(bytes) {
            Some(true) => return Recognition::This(Protocol::Request),
            None if !quiet => return Recognition::Wait,
            Some(false) | None => {}
        }
    }
    match bytes.iter().find(|b| !b.is_ascii_whitespace()) {
        None if openings.native && bytes.len() < BLANK_BYTES_MAX => Recognition::Wait,
        Some(b'{') if openings.native => Recognition::This(Protocol::Native),
        _ => Recognition::None,
    }
}

/// Tells by its first bytes which protocol a datagram is meant for. `None`: none that has datagrams.
pub fn recognise_datagram(bytes: &[u8]) -> Option<Protocol> {
    match bytes {
        [b'[', ..] => Some(Protocol::Datagram),
        bytes if log_on::opens(bytes) => Some(Protocol::Session),
        _ => None,
    }
}

/// So much white space is no beginning.
const BLANK_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Password;
    use crate::wire::session::{SessionKey, glued::connect};

    /// The main port, for somebody whom guests are let in from.
    const ALL: Openings<'_> =
        Openings { native: true, request: true, nick: true, prompted: false, tls: true, expected: None };
    const PROMPTED: Openings<'_> = Openings { prompted: true, ..ALL };
    const NATIVE: Openings<'_> = Openings { request: false, nick: false, ..ALL };
    const REQUEST: Openings<'_> = Openings { native: false, nick: false, tls: false, ..ALL };
    const NICK: Openings<'_> = Openings { native: false, request: false, tls: false, ..PROMPTED };
    const THIS_NATIVE: Recognition = Recognition::This(Protocol::Native);
    const THIS_REQUEST: Recognition = Recognition::This(Protocol::Request);
    const THIS_NICK: Recognition = Recognition::This(Protocol::Nick);

    /// What bytes are, with more on its way and when it is quiet.
    fn both(bytes: &[u8], openings: &Openings<'_>) -> [Recognition; 2] {
        [false, true].map(|quiet| recognise(bytes, quiet, openings))
    }

    #[test]
    fn the_first_byte_that_says_something_decides() {
        for openings in [ALL, PROMPTED, NATIVE] {
            let what = |bytes| both(bytes, &openings);
            assert_eq!(what(b"\r\n"), [Recognition::Wait; 2]);
            assert_eq!(what(b"{"), [THIS_NATIVE; 2]);
            assert_eq!(what(b" \n{\"id\""), [THIS_NATIVE; 2]);
            assert_eq!(what(b"\x16"), [Recognition::Wait; 2]);
            assert_eq!(what(b"\x16\x03"), [Recognition::Tls; 2]);
            assert_eq!(what(b"\x16\x03\x01\x02\0"), [Recognition::Tls; 2]);
        }
        for openings in [ALL, NATIVE] {
            let inside = Openings { tls: false, ..openings };
            for second in [&b"\x16"[..], b"\x16\x03", b"\x16\x03\x01"] {
                assert_eq!(both(second, &inside), [Recognition::None; 2], "no TLS within TLS");
            }
            for other in [&b"GET / HTTP/1.1"[..], b"\x16\x02", b" \x16\x03", b"\0\0", b"[", b"\xff", b"bob"] {
                assert_eq!(both(other, &openings), [Recognition::None; 2], "{other:?}");
            }
            assert_eq!(both(&[b' '; 64], &openings), [Recognition::None; 2]);
        }
    }

    #[test]
    fn a_request_is_told_by_its_word_and_the_comma() {
        let words = [
            "newUser",
            "forward",
            "broadcast",
            "online",
            "block",
            "unblock",
            "getaddress",
            "private_answer",
            "alive",
            "logout",
        ];
        for openings in [ALL, PROMPTED, REQUEST] {
            for word in words {
                assert_eq!(both(format!("{word},").as_bytes(), &openings), [THIS_REQUEST; 2]);
                assert_eq!(both(format!("{word},bob,\0").as_bytes(), &openings), [THIS_REQUEST; 2]);
                for end in 1..=word.len() {
                    let known = if openings.prompted { THIS_NICK } else { Recognition::None };
                    assert_eq!(both(&word.as_bytes()[..end], &openings), [Recognition::Wait, known], "{word} {end}");
                }
            }
        }
        for other in [&b"Alive,bob"[..], b" alive,bob", b"alive ,bob", b"alivex", b",", b"newuser,a,b,1", b"ok"] {
            assert_eq!(both(other, &ALL), [Recognition::None; 2], "{other:?}");
            assert_eq!(both(other, &PROMPTED), [THIS_NICK; 2], "{other:?}");
        }
    }

    #[test]
    fn who_says_nothing_is_asked_for_a_nickname_once() {
        assert_eq!(both(b"", &ALL), [Recognition::Wait, THIS_NICK]);
        for openings in [PROMPTED, NICK, NATIVE, REQUEST] {
            assert_eq!(both(b"", &openings), [Recognition::Wait; 2]);
        }
    }

    #[test]
    fn what_can_be_nothing_else_is_the_nickname() {
        for nickname in [&b"bob"[..], b"bob\n", b"al\n", b"\xff", b"[", b"\x16\x02"] {
            assert_eq!(both(nickname, &PROMPTED), [THIS_NICK; 2], "{nickname:?}");
        }
        assert_eq!(both(b"al", &PROMPTED), [Recognition::Wait, THIS_NICK], "it could become 'alive,'");
        assert_eq!(both(&[b' '; 64], &PROMPTED), [THIS_NICK; 2]);
    }

    #[test]
    fn who_has_logged_on_is_known_by_the_first_bytes() {
        let challenge = Challenge::new(Challenge::FIRST).unwrap();
        let key = SessionKey::of(challenge, &Password::parse("secret").unwrap());
        let first = connect(challenge, &key);
        let mut expected = Expected::default();
        expected.insert(challenge, key);
        let begun = Recognition::Session(challenge);
        for openings in [ALL, PROMPTED, NATIVE, REQUEST] {
            let known = Openings { expected: Some(&expected), ..openings };
            assert_eq!(both(&first, &known), [begun; 2]);
            assert_eq!(both(&[&first[..], b"more"].concat(), &known), [begun; 2]);
            for end in 1..first.len() {
                assert_eq!(recognise(&first[..end], false, &known), Recognition::Wait);
                assert_ne!(recognise(&first[..end], true, &known), begun);
            }
            assert_ne!(both(&first[1..], &known), [begun; 2]);
            assert_ne!(both(&first, &openings), [begun; 2], "nobody is expected");
        }
        expected.remove(challenge);
        assert_eq!(both(&first, &Openings { expected: Some(&expected), ..NATIVE }), [Recognition::None; 2]);
    }

    #[test]
    fn a_datagram_is_told_by_its_first_bytes() {
        for (bytes, protocol) in [
            (&b"HELLO("[..], Some(Protocol::Session)),
            (b"HELLO(bob)", Some(Protocol::Session)),
            (b"RESPONSE(bob, 0)", Some(Protocol::Session)),
            (b"[", Some(Protocol::Datagram)),
            (b"[{}, '']", Some(Protocol::Datagram)),
            (b"", None),
            (b"HELLO", None),
            (b" HELLO(bob)", None),
            (b"hello(bob)", None),
            (b" [", None),
            (b"{", None),
            (b"\x16\x03", None),
        ] {
            assert_eq!(recognise_datagram(bytes), protocol, "{bytes:?}");
        }
    }

    #[test]
    fn a_listener_of_one_protocol_knows_no_other() {
        for (openings, its_own) in [(NATIVE, THIS_NATIVE), (REQUEST, THIS_REQUEST)] {
            for (bytes, what) in [(&b"{"[..], THIS_NATIVE), (b"alive,bob", THIS_REQUEST), (b"bob", THIS_NICK)] {
                let expected = if what == its_own { what } else { Recognition::None };
                assert_eq!(both(bytes, &openings), [expected; 2], "{bytes:?}");
            }
        }
        for bytes in [&b"{"[..], b"alive,bob", b"al", b"\n", b"\x16", b"\x16\x03", b"bob"] {
            assert_eq!(both(bytes, &NICK), [THIS_NICK; 2], "{bytes:?}");
        }
        assert_eq!(both(b"\x16\x03", &REQUEST), [Recognition::None; 2]);
        assert_eq!(both(b"\n", &REQUEST), [Recognition::None; 2]);
    }
}
