//! chatd's certificate: made once and kept, or the operator's own; read again on SIGHUP.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use support::tls::{Connector, fingerprint};
use support::{CREDENTIALS, Chatd, LIMIT};
use tempfile::TempDir;

/// The fingerprint of the certificate that is shown to somebody who comes now.
fn shown(chatd: &Chatd) -> String {
    fingerprint(&Connector::new().connect(chatd.address()).certificate())
}

/// The fingerprint that the next such line of the log has.
fn logged(chatd: &Chatd) -> String {
    let line = chatd.expect_log("SHA256:");
    line[line.find("SHA256:").expect("it is there")..].trim_end().to_owned()
}

fn directory() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("credentials.txt"), CREDENTIALS).expect("credentials");
    dir
}

/// Writes a certificate and its key; comes back: its fingerprint.
fn put_pair(dir: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(["chat.example.org".to_owned()]).expect("a certificate");
    fs::write(dir.join("own-cert.pem"), made.cert.pem()).expect("a certificate");
    put_key(&dir.join("own-key.pem"), &made.signing_key.serialize_pem());
    fingerprint(made.cert.der())
}

fn put_key(path: &Path, pem: &str) {
    fs::write(path, pem).expect("a key");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a mode");
}

const OWN: [&str; 4] = ["--tls-cert", "own-cert.pem", "--tls-key", "own-key.pem"];

/// Runs chatd until it ends by itself.
fn run(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chatd"));
    command.current_dir(dir).env_remove("RUST_LOG").args(["--quiet", "--bind", "127.0.0.1", "--port", "0"]);
    command.args(arguments).output().expect("chatd")
}

/// The files in the data directory that have a private key in PEM.
fn keys(data: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(data).expect("a directory").map(|entry| entry.expect("an entry").path());
    let has_key = |path: &PathBuf| {
        path.is_file() && String::from_utf8_lossy(&fs::read(path).expect("a file")).contains("PRIVATE KEY")
    };
    files.filter(has_key).collect()
}

#[test]
fn one_is_made_at_the_first_start_and_stays() {
    let mut chatd = Chatd::start(&[]);
    let first = shown(&chatd);
    assert_eq!(logged(&chatd), first, "the log has the SHA-256 of what is shown");
    let found = keys(&chatd.data());
    let [key] = &found[..] else { panic!("one key: {found:?}") };
    assert_eq!(fs::metadata(key).expect("metadata").permissions().mode() & 0o777, 0o600);
    let before = fs::read(key).expect("a key");
    assert!(chatd.stop().success());
    chatd.start_again();
    assert_eq!((shown(&chatd), logged(&chatd)), (first.clone(), first.clone()));
    chatd.kill_and_restart();
    assert_eq!(shown(&chatd), first);
    assert_eq!(fs::read(key).expect("a key"), before);
    assert_ne!(shown(&Chatd::start(&[])), first, "each server has its own");
}

#[test]
fn the_operators_own_is_shown_and_none_is_made() {
    let dir = directory();
    let own = put_pair(dir.path());
    let chatd = Chatd::start_in(dir, &OWN);
    assert_eq!((shown(&chatd), logged(&chatd)), (own.clone(), own));
    assert_eq!(keys(&chatd.data()), [""; 0].map(PathBuf::from));
    Connector::new().connect(chatd.address()).log_in("alice", None);
}

#[test]
fn what_can_not_be_used_is_told_in_one_line() {
    let dir = directory();
    put_pair(dir.path());
    let file = |name: &str| dir.path().join(name);
    let (certificate, key) = (fs::read(file("own-cert.pem")).unwrap(), fs::read(file("own-key.pem")).unwrap());
    put_pair(dir.path());
    fs::copy(file("own-key.pem"), file("another-key.pem")).unwrap();
    fs::write(file("own-cert.pem"), &certificate).unwrap();
    put_key(&file("own-key.pem"), std::str::from_utf8(&key).unwrap());
    fs::write(file("empty"), "").unwrap();
    fs::write(file("text"), "not a certificate\n").unwrap();
    fs::write(file("cut.pem"), &certificate[..certificate.len() / 2]).unwrap();
    fs::write(file("hollow-key.pem"), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    fs::write(file("binary"), [0xff; 100]).unwrap();
    for (certificate, key, status, named) in [
        ("own-cert.pem", "another-key.pem", 65, "another-key.pem"),
        ("own-cert.pem", "none.pem", 66, "none.pem"),
        ("none.pem", "own-key.pem", 66, "none.pem"),
        // A directory can't be read, whoever tries.
        (".", "own-key.pem", 66, "."),
        ("own-cert.pem", ".", 66, "."),
        ("empty", "own-key.pem", 65, "empty"),
        ("text", "own-key.pem", 65, "text"),
        ("binary", "own-key.pem", 65, "binary"),
        ("cut.pem", "own-key.pem", 65, "cut.pem"),
        ("own-key.pem", "own-key.pem", 65, "own-key.pem"),
        ("own-cert.pem", "empty", 65, "empty"),
        ("own-cert.pem", "text", 65, "text"),
        ("own-cert.pem", "binary", 65, "binary"),
        ("own-cert.pem", "hollow-key.pem", 65, "hollow-key.pem"),
        ("own-cert.pem", "own-cert.pem", 65, "own-cert.pem"),
    ] {
        let output = run(dir.path(), &["--memory", "--tls-cert", certificate, "--tls-key", key]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{certificate} {key}: {told}");
        assert!(told.starts_with("chatd: ") && told.lines().count() == 1 && told.contains(named), "{key}: {told}");
        assert!(output.stdout.is_empty(), "nothing is announced");
        assert!(!told.contains("AAAA"), "nothing of what is in a file is repeated: {told}");
    }
    for arguments in [&["--memory", "--tls-cert", "own-cert.pem"][..], &["--memory", "--tls-key", "own-key.pem"]] {
        assert_eq!(run(dir.path(), arguments).status.code(), Some(2), "both or none");
    }
}

#[test]
fn a_key_that_was_lost_is_no_reason_for_a_new_certificate() {
    let mut chatd = Chatd::start(&[]);
    let key = keys(&chatd.data()).pop().expect("a key");
    assert!(chatd.stop().success());
    let kept = fs::read(&key).unwrap();
    for damaged in [None, Some(&kept[..kept.len() / 2])] {
        fs::remove_file(&key).unwrap();
        if let Some(damaged) = damaged {
            fs::write(&key, damaged).unwrap();
        }
        let output = run(chatd.dir.path(), &["--data-dir", "data"]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(65), "{told}");
        assert!(
            told.lines().count() == 1 && told.contains(key.to_str().unwrap().rsplit('/').next().unwrap()),
            "{told}"
        );
        fs::write(&key, &kept).unwrap();
    }
}

#[test]
fn a_new_one_is_shown_after_sighup_and_who_is_there_goes_on() {
    let dir = directory();
    let old = put_pair(dir.path());
    let chatd = Chatd::start_in(dir, &OWN);
    assert_eq!(logged(&chatd), old);
    let connector = Connector::new();
    let mut alice = connector.connect(chatd.address());
    alice.log_in("alice", None);
    let new = put_pair(chatd.dir.path());
    chatd.signal("HUP");
    assert_eq!(logged(&chatd), new);
    let end = std::time::Instant::now() + LIMIT;
    while shown(&chatd) != new {
        assert!(std::time::Instant::now() < end, "the old one is still shown");
    }
    alice.nothing_but_alive();
    assert_eq!(fingerprint(&alice.certificate()), old);
    // Who would resume under the old one meets the new one: what was known of the old one proves nothing about it.
    let mut again = connector.connect(chatd.address());
    assert_eq!(fingerprint(&again.certificate()), new);
    again.log_in("alice", None);
}

#[test]
fn a_broken_one_is_told_after_sighup_and_the_old_one_stays() {
    let dir = directory();
    let old = put_pair(dir.path());
    let chatd = Chatd::start_in(dir, &OWN);
    let mut alice = Connector::new().connect(chatd.address());
    alice.log_in("alice", None);
    let file = |name: &str| chatd.dir.path().join(name);
    let (certificate, key) = (fs::read(file("own-cert.pem")).unwrap(), fs::read(file("own-key.pem")).unwrap());
    let another = {
        let made = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
        made.signing_key.serialize_pem().into_bytes()
    };
    for (name, content) in [
        ("own-cert.pem", Some(&b"broken"[..])),
        ("own-cert.pem", None),
        ("own-key.pem", Some(b"broken")),
        ("own-key.pem", Some(&another[..])),
        ("own-key.pem", None),
    ] {
        match content {
            Some(content) => fs::write(file(name), content).unwrap(),
            None => fs::remove_file(file(name)).unwrap(),
        }
        chatd.signal("HUP");
        let line = chatd.expect_log("ERROR");
        assert!(line.contains(name), "{line}");
        let secret = BASE64.encode(&another);
        assert!(!line.contains("broken") && !line.contains(&secret[..20]), "{line}");
        assert_eq!(shown(&chatd), old);
        alice.nothing_but_alive();
        fs::write(file("own-cert.pem"), &certificate).unwrap();
        put_key(&file("own-key.pem"), std::str::from_utf8(&key).unwrap());
    }
    // A broken file of accounts does not keep a certificate back.
    let new = put_pair(chatd.dir.path());
    fs::write(file("credentials.txt"), "alice\n").unwrap();
    chatd.signal("HUP");
    let end = std::time::Instant::now() + LIMIT;
    while shown(&chatd) != new {
        assert!(std::time::Instant::now() < end, "the old one is still shown");
    }
    alice.nothing_but_alive();
}

#[test]
fn what_is_no_certificate_inside_is_named_and_its_key_is_not() {
    let dir = directory();
    put_pair(dir.path());
    let hollow = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs::write(dir.path().join("hollow.pem"), hollow).unwrap();
    let output = run(dir.path(), &["--memory", "--tls-cert", "hollow.pem", "--tls-key", "own-key.pem"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(65), "{told}");
    assert!(told.starts_with("chatd: hollow.pem") && told.lines().count() == 1, "{told}");
}
