//! The `session` protocol, as the server hears its clients and as `chat` hears other servers.
//!
//! The first byte says what the rest is: a datagram of the log-on, what was read of a session, or a text for a client.

use chatd::hub::time::LocalTime;
use chatd::wire::session::glued::{self, Beginnings, Endings};
use chatd::wire::session::messages::{FromClient, FromServer};
use chatd::wire::session::{Challenge, MESSAGE_BYTES_MAX, READ_BYTES_MAX, SessionKey, log_on, texts};
use chatd::wire::{Password, Pieces, Text, UserName};

pub fn run(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else { return };
    match mode % 4 {
        0 => log_on(rest),
        1 => read(rest),
        2 => glued(rest),
        _ => text(rest),
    }
}

fn key() -> SessionKey {
    let challenge = Challenge::new(4_365_043_278).expect("ten digits");
    SessionKey::of(challenge, &Password::parse("100").expect("a password"))
}

fn ciphered(plain: &str) -> Vec<u8> {
    let mut out = Vec::new();
    key().encipher(plain, &mut out);
    assert_eq!(out.len(), plain.len());
    out
}

fn log_on(datagram: &[u8]) {
    if let Some(said) = log_on::FromClient::parse(datagram) {
        assert_eq!(log_on::FromClient::parse(&said.write()), Some(said));
    }
    let _ = log_on::FromServer::parse(datagram, None);
    if let Ok(plain) = str::from_utf8(datagram) {
        let told = log_on::FromServer::parse(&ciphered(plain), Some(&key()));
        if let Some(log_on::FromServer::Success { challenge, port }) = told {
            assert_eq!(log_on::success(challenge, port, &key()), ciphered(plain));
        }
    }
}

/// One message, which is ciphered here so that it means something.
fn read(message: &[u8]) {
    if let Ok(deciphered) = key().decipher(message) {
        assert_eq!(ciphered(&deciphered), message);
    }
    let Ok(plain) = str::from_utf8(&message[..message.len().min(MESSAGE_BYTES_MAX)]) else { return };
    assert_eq!(key().decipher(&ciphered(plain)).as_deref(), Ok(plain));
    if let Ok(said) = FromClient::parse(plain) {
        assert_eq!(FromClient::parse(&said.write()), Ok(said));
    }
    let told = FromServer::parse(plain);
    let again = FromServer::parse(&told.write());
    assert!(again == told || matches!(told, FromServer::Text(_)));
    assert_eq!(again.write(), told.write());
    let _ = texts::parse_relayed(plain);
    if let Some(lines) = texts::parse_history(plain) {
        assert!(lines.len() <= plain.lines().count());
    }
}

/// Messages that were read as one: each byte below 4 of the input is a command that is known, the rest is text.
fn glued(parts: &[u8]) {
    let (id, peer) = (LocalTime::at(Default::default(), Default::default()), UserName::parse("bob").expect("a name"));
    let commands =
        [FromClient::ChatCheck { id, peer: peer.clone() }, FromClient::EndCheck(id), FromClient::EndRequest(Some(id))];
    let mut bytes = Vec::new();
    for &part in parts {
        match commands.get(usize::from(part)) {
            Some(command) => bytes.extend(ciphered(&command.write())),
            None => bytes.push(part),
        }
    }
    let endings = Endings::of(id, &peer, &key());
    let (mut rest, mut count) = (&bytes[..], 0);
    while !rest.is_empty() {
        let first = glued::first(rest, std::iter::once(&endings));
        assert!(!first.is_empty() && rest.starts_with(first));
        (rest, count) = (&rest[first.len()..], count + 1);
    }
    let separate = Beginnings::of(Some(&peer), &key());
    assert_eq!(separate.separate(&bytes).concat(), bytes);
    let known = parts.iter().rev().take_while(|&&part| usize::from(part) < commands.len()).count();
    assert!(count >= known, "a command was not told apart");
}

fn text(text: &[u8]) {
    let Ok(text) = Text::replacing(text) else { return };
    let user = UserName::parse("END_NOTIF").expect("a name");
    let mut told = Pieces::default();
    texts::relayed(user.as_str(), &text, None, &mut told);
    if let [(piece, _)] = told.iter().collect::<Vec<_>>()[..]
        && !text.as_str().contains(['\u{200b}', ' '])
    {
        let relayed = texts::parse_relayed(str::from_utf8(piece).expect("whole characters"));
        assert_eq!(relayed, Some((user.clone(), text.as_str().to_owned())));
    }
    let line = texts::Line {
        id: LocalTime::at(Default::default(), Default::default()),
        from: user.clone(),
        text: text.clone(),
    };
    texts::history(&[line.clone(), line], &mut told);
    for (piece, _) in told.iter() {
        let piece = str::from_utf8(piece).expect("whole characters");
        assert!(ciphered(piece).len() <= READ_BYTES_MAX);
        let looked_for = ["END_NOTIF", "CHAT_STARTED", "UNREACHABLE"];
        assert!(looked_for.iter().all(|word| !piece.contains(word)), "{piece}");
        assert!(matches!(FromServer::parse(piece), FromServer::Text(_)));
    }
    for part in texts::said(&user, &text) {
        assert!(matches!(FromClient::parse(&part), Ok(FromClient::Text(_))), "{part}");
        assert!(part.len() + user.as_str().len() <= READ_BYTES_MAX);
    }
}
