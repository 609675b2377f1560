//! Whoever takes their time: slowloris, a byte a second, handshakes that stop; and a crowd of such.

use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::AlertDescription;

use crate::deaf::Deaf;
use crate::scene::{LOG_IN_FIRST, NOT_UNDERSTOOD, Plain, Scene, TOO_MANY, ends_for, refused};
use crate::support::tls::{ALERT, Connector, HANDSHAKE, TlsClient, record};
use crate::support::{CREDENTIALS, LIMIT, password};

/// What a stranger has for the first request that is one.
const FIRST_MESSAGE_WITHIN: Duration = Duration::from_secs(20);
const A_BYTE_IN: Duration = Duration::from_secs(1);
const NONSENSE: &[u8] = b"{\"id\":1,\"request\":\"dance\"}\n";

/// What somebody says, a piece a second, until they are closed.
struct Slow {
    pieces: Vec<Vec<u8>>,
    /// What of it is sent at once.
    at_once: usize,
}

impl Slow {
    fn bytes(text: &[u8]) -> Slow {
        Slow { pieces: text.iter().map(|&byte| vec![byte]).collect(), at_once: 0 }
    }
}

/// What somebody was told to the end, how many pieces they had said by then, and how long it took.
struct Heard {
    bytes: Vec<u8>,
    said: usize,
    took: Duration,
}

fn slowly(address: SocketAddr, slow: Slow) -> Heard {
    let began = Instant::now();
    let mut client = Plain::connect(address);
    let mut heard = Heard { bytes: Vec::new(), said: 0, took: Duration::ZERO };
    let mut pieces = slow.pieces.into_iter();
    for piece in pieces.by_ref().take(slow.at_once) {
        client.say(&piece);
        heard.said += 1;
    }
    loop {
        let (bytes, ended) = client.bytes_within(A_BYTE_IN);
        heard.bytes.extend(bytes);
        heard.took = began.elapsed();
        assert!(heard.took < LIMIT, "the server waits for ever");
        if ended {
            return heard;
        }
        if let Some(piece) = pieces.next() {
            client.say(&piece);
            heard.said += 1;
        }
    }
}

/// The same inside TLS.
fn slowly_encrypted(address: SocketAddr, connector: &Connector, text: &[u8]) -> Heard {
    let began = Instant::now();
    let mut client: TlsClient = connector.connect(address);
    client.tls.sock.set_read_timeout(Some(A_BYTE_IN)).expect("a limit");
    let mut heard = Heard { bytes: Vec::new(), said: 0, took: Duration::ZERO };
    loop {
        let mut bytes = [0; 1024];
        match client.tls.read(&mut bytes) {
            Ok(0) => {
                heard.took = began.elapsed();
                return heard;
            }
            Ok(count) => heard.bytes.extend(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(began.elapsed() < LIMIT, "the server waits for ever");
                if let Some(byte) = text.get(heard.said) {
                    client.send_bytes(&[*byte]);
                    heard.said += 1;
                }
            }
            Err(error) => panic!("no goodbye: {error}"),
        }
    }
}

#[test]
fn whoever_is_slow_has_twenty_seconds_from_the_first_byte_on() {
    // Who says nothing at all may be a person typing, and has longer; who is asked for a nickname, for another reason.
    let scene = Scene::with(CREDENTIALS, &["--guests", "off"]);
    let (address, connector) = (scene.chatd.address(), Arc::new(Connector::new()));
    let hello = connector.hello();
    let request = b"{\"id\":1,\"request\":\"log-in\",\"mechanism\":\"SCRAM-SHA-256\"";
    let spawn = |slow: Slow| thread::spawn(move || slowly(address, slow));
    let encrypted = |text: &'static [u8]| {
        let connector = Arc::clone(&connector);
        thread::spawn(move || slowly_encrypted(address, &connector, text))
    };
    // Who has begun a log-in has longer, and is there to the end.
    let mut thinks = scene.connect();
    thinks.is_challenged("bob", None);
    let slowloris = spawn(Slow::bytes(request));
    let blank = spawn(Slow::bytes(&[b'\n'; 60]));
    let nonsense = spawn(Slow { pieces: vec![NONSENSE.to_vec(); 60], at_once: 0 });
    let one_byte_of_tls = spawn(Slow::bytes(b"\x16"));
    let slow_hello = spawn(Slow::bytes(&hello));
    let half_a_handshake = spawn(Slow { pieces: vec![hello.clone()], at_once: 1 });
    let (silent_inside, slow_inside) = (encrypted(b""), encrypted(request));

    let heard = |thread: thread::JoinHandle<Heard>| {
        let heard = thread.join().expect("whoever is slow");
        assert!(heard.took >= FIRST_MESSAGE_WITHIN, "closed after {:?}", heard.took);
        heard
    };
    let text = |heard: &Heard| String::from_utf8(heard.bytes.clone()).expect("UTF-8");
    let too_slow = ends_for("too-slow", "nobody logged in in time");
    // A hello that does not come to an end is ended in the manner of TLS.
    let goodbye = String::from_utf8(record(ALERT, &[1, AlertDescription::CloseNotify.into()])).expect("ASCII");
    for (thread, expected) in [
        (slowloris, too_slow.as_str()),
        (blank, NOT_UNDERSTOOD),
        (one_byte_of_tls, NOT_UNDERSTOOD),
        (slow_hello, goodbye.as_str()),
        (silent_inside, NOT_UNDERSTOOD),
        (slow_inside, too_slow.as_str()),
    ] {
        assert_eq!(text(&heard(thread)), expected);
    }
    let nonsense = heard(nonsense);
    let unknown = refused(1, "unknown-request", "there is no such request; docs/PROTOCOL.md lists them");
    let answered = |count: usize| unknown.repeat(count) + &too_slow;
    // What came together with the end of the time is not answered.
    assert!([answered(nonsense.said), answered(nonsense.said - 1)].contains(&text(&nonsense)), "{}", text(&nonsense));
    let half_a_handshake = heard(half_a_handshake).bytes;
    assert_eq!(half_a_handshake[0], HANDSHAKE, "the server's part of it, and then the end");
    assert!(!half_a_handshake.windows(5).any(|part| part == b"chatd"), "no line where none can be read");
    assert_eq!(thinks.within(Duration::from_millis(1)), (String::new(), false));
    drop(thinks);
    scene.end(&[]);
}

/// Those of a crowd that are half-open: silent, or in the middle of a handshake.
struct HalfOpen {
    silent: Vec<Plain>,
    shaking: Vec<Plain>,
}

impl HalfOpen {
    /// Some have said nothing, some a byte, some a part of a hello, some all that comes before the server's answer.
    fn new(scene: &Scene, count: usize) -> HalfOpen {
        let hello = scene.connector.hello();
        let (mut silent, mut shaking) = (Vec::new(), Vec::new());
        for number in 0..count {
            let mut client = scene.connect();
            let hello = match number % 4 {
                0 => &[][..],
                1 => &hello[..1],
                2 => &hello[..2 + number % (hello.len() - 2)],
                _ => &hello,
            };
            client.say(hello);
            if hello.len() < 2 { silent.push(client) } else { shaking.push(client) }
        }
        HalfOpen { silent, shaking }
    }

    /// Each was left alone, or was drawn to go and told so as far as it could be. Comes back: how many are left.
    fn were_told_nothing_else(&mut self) -> usize {
        let mut left = 0;
        for client in &mut self.silent {
            let (told, ended) = client.within(Duration::from_millis(1));
            match (told.strip_prefix("NICK").unwrap_or(&told), ended) {
                ("", false) => left += 1,
                end => assert_eq!(end, (TOO_MANY, true)),
            }
        }
        for client in &mut self.shaking {
            let (flight, ended) = client.bytes_within(Duration::from_millis(1));
            let begins_like_tls = |&kind| kind == HANDSHAKE || (kind == ALERT && ended);
            assert!(flight.first().is_none_or(begins_like_tls), "{flight:x?}");
            left += usize::from(!ended);
        }
        left
    }
}

/// Logs in like anybody, in the clear and on TLS. Whoever is drawn to go in a crowd comes again.
fn log_in_in_a_crowd(scene: &Scene) -> (Plain, TlsClient) {
    let plain = (0..20).find_map(|_| {
        let mut plain = scene.connect();
        plain.say(b"{\"id\":1,\"request\":\"online\"}\n");
        if plain.line_or_end() != LOG_IN_FIRST {
            return None;
        }
        let challenge = plain.is_challenged("alice", None);
        let answer = plain.prove("alice", password("alice"), &challenge);
        answer.contains("\"logged-in\"").then_some(plain)
    });
    let encrypted = (0..20).find_map(|_| scene.connector.try_connect(scene.chatd.address()).ok());
    let mut encrypted = encrypted.expect("one of twenty is let in");
    encrypted.log_in("bob", None);
    (plain.expect("one of twenty is let in"), encrypted)
}

#[test]
fn a_flood_of_half_open_connections_keeps_nobody_out() {
    let mut scene = Scene::new();
    let mut flood = HalfOpen::new(&scene, 150);
    let (mut plain, mut encrypted) = log_in_in_a_crowd(&scene);
    scene.bystander_is_served(20);
    plain.say(b"{\"id\":3,\"request\":\"alive\"}\n");
    plain.hears("{\"id\":3,\"reply\":\"alive\"}\n");
    encrypted.nothing_but_alive();
    let left = flood.were_told_nothing_else() as u64;
    let counts = scene.counts();
    assert_eq!((&counts["strangers"], &counts["sessions"]), (&left.into(), &3.into()), "{counts}");
    drop((flood, plain, encrypted));
    scene.end(&[]);
}

#[test]
fn a_class_logs_in_among_half_open_connections_and_others_that_never_read() {
    const DEAF: usize = 100;
    let users: Vec<String> = (0..DEAF).map(|number| format!("u{number}")).collect();
    let accounts: String = users.iter().map(|user| format!("{user} of a class\n")).collect();
    let mut scene = Scene::with(&(CREDENTIALS.to_owned() + &accounts), &[]);
    let mut deaf: Vec<Deaf> = users.iter().map(|user| Deaf::log_in(&scene, user, "of a class")).collect();
    deaf[0].asks_until_nobody_listens(&mut scene);
    deaf.iter_mut().for_each(|client| client.asks(300));
    let mut flood = HalfOpen::new(&scene, 150);
    let (mut plain, mut encrypted) = log_in_in_a_crowd(&scene);
    scene.bystander_is_served(20);
    plain.say(b"{\"id\":3,\"request\":\"alive\"}\n");
    plain.hears("{\"id\":3,\"reply\":\"alive\"}\n");
    encrypted.nothing_but_alive();
    let counts = scene.counts();
    assert_eq!(counts["sessions"], 3 + DEAF, "{counts}");
    assert!(counts["out-bytes"].as_u64() > Some(0), "something waits to be read: {counts}");
    flood.were_told_nothing_else();
    drop((flood, deaf, plain, encrypted));
    scene.end(&[]);
}
