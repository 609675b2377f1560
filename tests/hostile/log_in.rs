//! Log-ins by those who are somebody else: what was overheard, what is guessed, and what is done to keep others out.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;

use crate::scene::{LOG_IN_FIRST, NOT_AUTHENTICATED, Plain, Scene, authenticate_line, log_in_line};
use crate::support::tls::{APPLICATION, Begun, PLUS, Secret, UNBOUND, dial};
use crate::support::{CREDENTIALS, Chatd, password};

const TO_BOB: &str = "{\"id\":3,\"request\":\"message\",\"to\":\"bob\",\"text\":\"once\"}\n";
const ACCEPTED: &str = "{\"id\":3,\"reply\":\"accepted\",\"number\":1,\"reach\":\"queued\"}\n";

#[test]
fn a_replayed_transcript_logs_nobody_in_and_says_nothing() {
    // The bystander's own messages would take numbers.
    let mut scene = Scene::around(Chatd::start(&["--durability", "process"]), u64::MAX);
    let mut alice = scene.connect();
    let challenge = alice.is_challenged("alice", None);
    let begun = Begun::new(UNBOUND, "n=alice,r=a-nonce-of-the-test", &challenge);
    let authenticate = authenticate_line(&begun.prove(Secret::Password(password("alice")), &[0; 32]).message);
    alice.say(authenticate.as_bytes());
    assert!(alice.line().starts_with("{\"id\":2,\"reply\":\"logged-in\","));
    alice.say(TO_BOB.as_bytes());
    alice.hears(ACCEPTED);
    let whole = log_in_line(UNBOUND, "alice", None) + &authenticate + TO_BOB;
    for pieces in [vec![whole.as_str()], whole.split_inclusive('\n').collect()] {
        let mut thief = scene.connect();
        let mut told = Vec::new();
        for piece in &pieces {
            thief.say(piece.as_bytes());
            told.extend(piece.lines().map(|_| thief.line()));
        }
        let [again, refused, first] = &told[..] else { panic!("{told:?}") };
        assert!(again.starts_with("{\"id\":1,\"reply\":\"challenge\",\"message\":\"r=a-nonce-of-the-test"));
        assert!(!again.contains(&challenge), "the server's part of it is new");
        assert_eq!((refused.as_str(), first), (NOT_AUTHENTICATED, &LOG_IN_FIRST.replace("\"id\":1", "\"id\":3")));
        alice.say(b"{\"id\":4,\"request\":\"alive\"}\n");
        alice.hears("{\"id\":4,\"reply\":\"alive\"}\n");
    }
    assert_eq!(scene.counts()["waiting"], 1, "once, as alice said it");
    drop(alice);
    // It counts as a wrong password, for its source and over all.
    scene.end(&[("waiting", 1), ("counters", 2)]);
}

/// A connection that remembers what was sent on it, as it was sent.
struct Recorder {
    stream: TcpStream,
    sent: Vec<u8>,
}

impl Read for Recorder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.stream.write(bytes)?;
        self.sent.extend(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Says a line inside TLS, and reads the answer.
fn ask(tls: &mut StreamOwned<ClientConnection, Recorder>, line: &str) -> String {
    tls.write_all(line.as_bytes()).and_then(|()| tls.flush()).expect("write");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n") {
        let mut byte = [0];
        tls.read_exact(&mut byte).expect("an answer");
        answer.push(byte[0]);
    }
    String::from_utf8(answer).expect("UTF-8")
}

#[test]
fn the_bytes_of_an_encrypted_session_are_worth_nothing_a_second_time() {
    let mut scene = Scene::around(Chatd::start(&["--durability", "process"]), u64::MAX);
    let recorder = Recorder { stream: dial(scene.chatd.address()), sent: Vec::new() };
    let mut tls = StreamOwned::new(scene.connector.session(), recorder);
    let line = ask(&mut tls, &log_in_line(PLUS, "alice", None));
    let challenge: Value = serde_json::from_str(&line).expect("JSON");
    let begun = Begun::new(PLUS, "n=alice,r=a-nonce-of-the-test", challenge["message"].as_str().expect("a challenge"));
    let exporter = tls.conn.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[])).expect("exported");
    let proof = begun.prove(Secret::Password(password("alice")), &exporter);
    assert!(ask(&mut tls, &authenticate_line(&proof.message)).starts_with("{\"id\":2,\"reply\":\"logged-in\","));
    assert_eq!(ask(&mut tls, TO_BOB), ACCEPTED);
    let sent = std::mem::take(&mut tls.sock.sent);
    let mut thief = scene.connect();
    thief.say(&sent);
    // The server's part of a handshake with keys of its own, and an alert: these bytes were made with other keys.
    let told = thief.rest_of_bytes();
    let alert = told.len() - 5 - 2 - 1 - 16;
    assert_eq!(told[alert..alert + 5], [APPLICATION, 3, 3, 0, 19]);
    let counts = scene.counts();
    assert_eq!((&counts["waiting"], &counts["sessions"]), (&1.into(), &2.into()), "{counts}");
    assert_eq!(ask(&mut tls, "{\"id\":4,\"request\":\"alive\"}\n"), "{\"id\":4,\"reply\":\"alive\"}\n");
    drop((tls, thief));
    scene.end(&[("waiting", 1)]);
}

#[test]
fn a_lock_out_leaves_the_session_alone_and_whoever_has_been_there_before() {
    let chatd = Chatd::start(&["--durability", "process"]);
    let address = chatd.address();
    let mut alice = Plain::connect(address);
    alice.log_in("alice", password("alice"), Some(1));
    let scene = Scene::around(chatd, 50);
    alice.hears("{\"event\":\"online\",\"user\":\"dave\"}\n");
    let mut undisturbed = |id: u64| {
        alice.say(format!("{{\"id\":{id},\"request\":\"alive\"}}\n").as_bytes());
        alice.hears(&format!("{{\"id\":{id},\"reply\":\"alive\"}}\n"));
    };
    let is_let_in = |source: [u8; 4]| {
        let mut client = Plain::connect_from(source, address);
        let challenge = client.is_challenged("alice", None);
        let answer = client.prove("alice", password("alice"), &challenge);
        assert!(answer == NOT_AUTHENTICATED || answer.starts_with("{\"id\":2,\"reply\":\"logged-in\","), "{answer}");
        answer != NOT_AUTHENTICATED
    };
    assert!(is_let_in([127, 0, 0, 2]));
    // Next to her: the same address is the same source.
    for _ in 0..10 {
        assert_eq!(scene.connect().guess("alice").1, NOT_AUTHENTICATED);
    }
    undisturbed(3);
    assert!(!is_let_in([127, 0, 0, 1]), "the source is locked out");
    assert!(is_let_in([127, 0, 0, 2]), "and no other");
    // From many sources: three times ten, and then new sources are locked out.
    for source in 1..=12 {
        for _ in 0..3 {
            assert_eq!(Plain::connect_from([127, 0, 1, source], address).guess("alice").1, NOT_AUTHENTICATED);
        }
    }
    undisturbed(4);
    assert!(!is_let_in([127, 0, 0, 3]), "a new source is locked out");
    assert!(is_let_in([127, 0, 0, 2]), "and one where she has been is not");
    assert!(!is_let_in([127, 0, 0, 1]));
    undisturbed(5);
    // One for each source until it was locked, one over all.
    scene.end(&[("counters", 11)]);
}

/// Names that nobody has, as long as those that somebody has.
fn names(kind: char, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{kind}{number:02}")).collect()
}

fn accounts(names: &[String]) -> String {
    names.iter().map(|name| format!("{name} of a crowd\n")).collect()
}

/// What may differ between two challenges is random; comes back: the salt.
#[track_caller]
fn salt(challenge: &str) -> &str {
    let fields: Vec<&str> = challenge.split(',').collect();
    let [nonce, salt, "i=32768"] = fields[..] else { panic!("{challenge}") };
    let random = nonce.strip_prefix("r=a-nonce-of-the-test").expect("our nonce");
    assert_eq!((random.len(), salt.len()), (24, "s=".len() + 24), "{challenge}");
    salt
}

#[test]
fn names_can_not_be_told_from_the_replies() {
    let scene = Scene::new();
    // Somebody's, nobody's, and one that is locked out.
    (0..3).for_each(|_| assert_eq!(scene.connect().guess("carol").1, NOT_AUTHENTICATED));
    for user in ["alice", "nobody", "carol"] {
        let mut client = scene.connect();
        let challenges = [(); 2].map(|()| client.guess(user));
        for (_, answer) in &challenges {
            assert_eq!(answer, NOT_AUTHENTICATED, "{user}");
        }
        let [first, second] = challenges.map(|(challenge, _)| salt(&challenge).to_owned());
        assert_eq!(first, second, "a name keeps its salt, whether somebody has it or not");
        // The connection goes on, whoever it was.
        client.say(b"{\"id\":1,\"request\":\"online\"}\n");
        client.hears(LOG_IN_FIRST);
    }
    scene.end(&[("counters", 6)]);
}

#[test]
fn names_can_not_be_told_from_the_time_it_takes() {
    const NAMES: usize = 30;
    const ROUNDS: usize = 6;
    let [unknown, known, locked] = ['n', 'k', 'l'].map(|kind| names(kind, NAMES));
    let file = CREDENTIALS.to_owned() + &accounts(&known) + &accounts(&locked);
    let scene = Scene::with(&file, &["--password-tries", "7"]);
    let guess_all = |names: &[String]| {
        // So many as a stranger may say.
        for names in names.chunks(10) {
            let mut client = scene.connect();
            for name in names {
                assert_eq!(client.guess(name).1, NOT_AUTHENTICATED);
            }
        }
    };
    (0..7).for_each(|_| guess_all(&locked));
    // The least of many rounds: what a busy machine adds to some of them says nothing.
    let mut costs = [Duration::MAX; 3];
    for _ in 0..ROUNDS {
        for (cost, names) in costs.iter_mut().zip([&unknown, &known, &locked]) {
            let before = scene.loop_cpu();
            guess_all(names);
            *cost = (*cost).min(scene.loop_cpu() - before);
        }
    }
    let (least, most) = (costs.iter().min().expect("three"), costs.iter().max().expect("three"));
    assert!(*most < 2 * *least, "unknown, known, locked: {costs:?}");
    scene.end(&[("counters", 2 * 3 * NAMES as u64)]);
}
