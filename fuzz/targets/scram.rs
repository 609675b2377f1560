//! The log-in exchange: nothing but the right proof, made for this very exchange, is right.
//!
//! The first part says what is meant by the others: arbitrary messages, or changes to those of an honest exchange.

use chatd::wire::scram::{
    ChannelBinding, Checked, ClientExchange, ClientFinal, ClientFirst, SALT_BYTES, Secret, ServerExchange, StoredKeys,
};
use chatd::wire::{ResumeToken, UserName};

use super::script::parts;

const SALT: [u8; SALT_BYTES] = [5; SALT_BYTES];

/// A secret that needs no iterations.
fn secret() -> Secret {
    Secret::token(&ResumeToken([9; 32]))
}

pub fn run(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else { return };
    let parts = parts(rest);
    let part = |index: usize| parts.get(index).map_or(&[][..], |part| part);
    let bound = mode & 1 != 0;
    let binding = || bound.then_some(ChannelBinding([7; ChannelBinding::BYTES]));
    let user = UserName::parse("user").expect("a name");
    let client = ClientExchange::new(&user, b"client nonce", binding());
    if mode & 2 == 0 {
        let texts = [0, 1, 2].map(|index| String::from_utf8_lossy(part(index)).into_owned());
        arbitrary(&client, &texts, binding().as_ref());
    } else {
        changed(&client, &[part(0), part(1), part(2), part(3)], binding().as_ref());
    }
}

/// Messages that were never made with the secret.
fn arbitrary(client: &ClientExchange, texts: &[String; 3], binding: Option<&ChannelBinding>) {
    let [first, last, from_server] = texts;
    if let Ok(first) = ClientFirst::parse(first) {
        assert!((1..=256).contains(&first.nonce.len()));
        let server = ServerExchange::new(&first, b"server nonce", &SALT, 4096);
        assert!(server.message().starts_with(&format!("r={}", first.nonce)));
        if let Ok(last) = ClientFinal::parse(last) {
            for keys in [StoredKeys::of(&secret()), StoredKeys::of_nobody()] {
                assert_eq!(server.check(&last, &keys, binding), Checked::Wrong);
            }
        }
    }
    if let Ok(challenge) = client.challenge(from_server) {
        let _ = challenge.iterations_are_sane();
        let (message, signature, _) = client.prove(&challenge, &secret());
        assert!(ClientFinal::parse(&message).is_ok(), "the server can't read {message:?}");
        assert!(!signature.matches(first) && !signature.matches(last) && !signature.matches(from_server));
    }
}

/// An honest exchange whose four messages are changed on their way.
fn changed(client: &ClientExchange, changes: &[&[u8]; 4], binding: Option<&ChannelBinding>) {
    let keys = StoredKeys::of(&secret());
    let first = client.message();
    let Ok(read) = ClientFirst::parse(&change(&first, changes[0])) else {
        assert_ne!(change(&first, changes[0]), first, "an honest message is refused");
        return;
    };
    let server = ServerExchange::new(&read, b"server nonce", &SALT, 4096);
    let challenged = change(server.message(), changes[1]);
    let Ok(challenge) = client.challenge(&challenged) else {
        assert!(
            change(&first, changes[0]) != first || challenged != server.message(),
            "an honest challenge is refused"
        );
        return;
    };
    let (last, signature, token) = client.prove(&challenge, &secret());
    let sent = change(&last, changes[2]);
    let untouched = change(&first, changes[0]) == first && challenged == server.message() && sent == last;
    match ClientFinal::parse(&sent).map(|last| server.check(&last, &keys, binding)) {
        Ok(Checked::Right(message, same)) => {
            assert!(untouched, "what was changed on its way is right: {first:?} {challenged:?} {sent:?}");
            assert_eq!(token, same);
            let heard = change(&message, changes[3]);
            assert_eq!(signature.matches(&heard), heard == message, "the server's proof is {heard:?}");
        }
        other => assert!(!untouched, "an honest log-in is {other:?}"),
    }
}

/// Each three bytes are a change: where, what, and by what.
fn change(text: &str, changes: &[u8]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for change in changes.chunks_exact(3).take(8) {
        let at = usize::from(change[0]) % (bytes.len() + 1);
        match change[1] % 4 {
            0 => bytes.insert(at, change[2]),
            1 if at < bytes.len() => bytes[at] ^= change[2],
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            _ => {}
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
