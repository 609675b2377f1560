//! The `datagram` protocol, as the server hears its clients and as `chat` hears other servers.
//!
//! The first byte says what the rest is: a client's datagram, a dict that gets the digest which makes it one, or a server's.

use chatd::wire::datagram::notice::{Ends, Notice};
use chatd::wire::datagram::request::{Request, Server};
use chatd::wire::datagram::{Manner, Unread, WRITTEN_BYTES_MAX};
use chatd::wire::hex::hex;
use sha2::{Digest, Sha256};

pub fn run(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else { return };
    match mode % 3 {
        0 => check(Request::parse(rest)),
        1 => sealed(rest),
        _ => notice(rest),
    }
}

/// A dict with the right digest, and with a wrong one.
fn sealed(dict: &[u8]) {
    let dict = dict.trim_ascii();
    let around = |digest: &str| [b"[", dict, b", '", digest.as_bytes(), b"']"].concat();
    let parsed = Request::parse(&around(&hex(&Sha256::digest(dict))));
    assert_ne!(parsed, Err(Unread::WrongDigest));
    if parsed.is_ok() {
        assert_eq!(Request::parse(&around(&hex(&[7; 32]))), Err(Unread::WrongDigest));
    }
    check(parsed);
}

/// What was read is said as it was meant.
fn check(parsed: Result<(Request, Manner), Unread>) {
    let Ok((request, _)) = parsed else { return };
    let datagrams = request.write(&Server { host: "server.example", port: 12000 });
    assert!(datagrams.iter().all(|datagram| datagram.is_ascii() && datagram.len() <= WRITTEN_BYTES_MAX));
    match (&datagrams[..], &request) {
        // That it is too long is not said again.
        (_, Request::Message { text: Err(_), .. } | Request::Broadcast { text: Err(_), .. }) => {}
        ([one], Request::Acknowledgement { text, .. }) => {
            let again = Request::parse(one).map(|(request, _)| request);
            let Ok(Request::Acknowledgement { text: said, .. }) = again else {
                panic!("{again:?} is what {text:?} was")
            };
            check_cut(&said, text, one);
        }
        ([one], request) => assert_eq!(Request::parse(one).as_ref().map(|(request, _)| request), Ok(request)),
        (parts, _) => assert!(parts.iter().all(|part| Request::parse(part).is_ok())),
    }
}

/// An acknowledgement has as much of its text as there is room for.
fn check_cut(said: &str, text: &str, datagram: &[u8]) {
    assert!(text.starts_with(said));
    // Each quote was counted as two.
    let quotes = said.matches(['\'', '"']).count();
    assert!(
        said == text || datagram.len() + quotes + 16 > WRITTEN_BYTES_MAX,
        "{said:?} is all that is left of {text:?}"
    );
}

fn notice(datagram: &[u8]) {
    let Ok(notice) = Notice::parse(datagram) else { return };
    let ends = Ends { client: ([127, 0, 0, 1], 40001).into(), server: ([127, 0, 0, 1], 12000).into() };
    for manner in [Manner::Plain, Manner::Unicode] {
        let datagrams = notice.write(&ends, manner);
        assert!(datagrams.iter().all(|datagram| datagram.is_ascii() && datagram.len() <= WRITTEN_BYTES_MAX));
        match (&datagrams[..], &notice) {
            ([one], Notice::Acknowledgement(text)) => {
                let again = Notice::parse(one);
                let Ok(Notice::Acknowledgement(said)) = again else { panic!("{again:?} is what {text:?} was") };
                check_cut(&said, text, one);
            }
            ([one], notice) => assert_eq!(Notice::parse(one).as_ref(), Ok(&canonical(notice))),
            (parts, _) => assert!(parts.iter().all(|part| Notice::parse(part).is_ok())),
        }
    }
}

/// An address that stands for one of IPv4 is written as that.
fn canonical(notice: &Notice) -> Notice {
    match notice.clone() {
        Notice::Contact { user, mut address } => {
            address.set_ip(address.ip().to_canonical());
            Notice::Contact { user, address }
        }
        notice => notice,
    }
}
