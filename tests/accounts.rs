//! Accounts that come, change and go while people use them: what ends, what goes on, and what is left in the files.

mod support;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use chatd::wire::hex::unhex;
use serde_json::json;
use support::by_tls::{ByTls, keys};
use support::chat::run;
use support::operator::row;
use support::{Chatd, Client, device_claim};

/// zoe in many ways, and bob, who has to do with none of it.
struct Scene {
    /// As two devices, and once without.
    zoes: [Client; 3],
    encrypted: ByTls,
    bob: Client,
}

impl Scene {
    fn begin(chatd: &Chatd, password: &str) -> Scene {
        let zoes = [Some(1), Some(2), None].map(|device| chatd.log_in_with("zoe", password, device));
        let encrypted = ByTls::log_in(chatd.address(), "zoe", password, Some(3));
        Scene { zoes, encrypted, bob: chatd.log_in("bob", 1) }
    }

    /// All sessions of zoe end, and bob's does not: he is told no more than that she goes.
    #[track_caller]
    fn ends(&mut self, reason: &str) {
        for zoe in &mut self.zoes {
            let closing = zoe.event("closing");
            assert_eq!(closing["reason"], reason, "{closing}");
            assert_eq!(zoe.try_line(), None);
        }
        assert_eq!(self.encrypted.line(), json!({"event": "online", "user": "bob"}));
        self.encrypted.is_closed_for(reason);
        assert_eq!(self.bob.line(), json!({"event": "offline", "user": "zoe"}));
        self.bob.nothing_but_alive();
    }

    /// Nobody comes back by a token.
    #[track_caller]
    fn has_no_tokens(&self, chatd: &Chatd) {
        for (device, zoe) in [1, 2].into_iter().zip(&self.zoes) {
            let answer = chatd.connect().resume("zoe", device_claim(device), zoe.token.as_ref().expect("a token"));
            assert_eq!(answer["error"], "token-refused", "{answer}");
        }
        let token = self.encrypted.token.as_ref().expect("a token");
        let answer = ByTls::connect(chatd.address()).resume("zoe", 3, token);
        assert_eq!(answer["error"], "token-refused", "{answer}");
    }
}

#[test]
fn another_password_or_none_ends_the_sessions_of_that_user_and_of_nobody_else() {
    let mut chatd = Chatd::start(&[]);
    chatd.add("zoe", "zeppelin");
    let mut scene = Scene::begin(&chatd, "zeppelin");
    chatd.user(&["passwd", "ZOE"], "airship\n").is("zoe has another password\n", "", 0);
    scene.ends("account");
    scene.has_no_tokens(&chatd);
    chatd.assert_password("zoe", "zeppelin", false);
    chatd.kill_and_restart();
    scene.has_no_tokens(&chatd);

    let mut scene = Scene::begin(&chatd, "airship");
    chatd.user(&["remove", "zoe"], "").is("zoe has no account any more\n", "", 0);
    scene.ends("account");
    scene.has_no_tokens(&chatd);
    chatd.assert_password("zoe", "airship", false);
    chatd.kill_and_restart();
    scene.has_no_tokens(&chatd);
    chatd.assert_password("zoe", "airship", false);
}

#[test]
fn a_password_that_was_changed_while_no_server_ran_leaves_no_token() {
    let mut chatd = Chatd::start(&[]);
    chatd.add("zoe", "zeppelin");
    let zoe = chatd.log_in_with("zoe", "zeppelin", Some(1));
    let bob = chatd.log_in("bob", 1);
    assert!(chatd.stop().success());
    chatd.user(&["passwd", "zoe"], "airship\n").is("zoe has another password\n", "", 0);
    chatd.start_again();
    let answer = chatd.connect().resume("zoe", device_claim(1), zoe.token.as_ref().expect("a token"));
    assert_eq!(answer["error"], "token-refused", "{answer}");
    let answer = chatd.connect().resume("bob", device_claim(1), bob.token.as_ref().expect("a token"));
    assert_eq!(answer["reply"], "logged-in", "{answer}");
    chatd.assert_password("zoe", "airship", true);
}

#[test]
fn who_was_kicked_may_come_back() {
    let chatd = Chatd::start(&[]);
    chatd.add("zoe", "zeppelin");
    let mut scene = Scene::begin(&chatd, "zeppelin");
    chatd.user(&["kick", "Zoe"], "").is("zoe: 4 sessions ended\n", "", 0);
    scene.ends("kicked");
    let mut zoe = chatd.log_in_with("zoe", "zeppelin", Some(1));
    zoe.nothing_but_alive();
    assert_eq!(scene.bob.line(), json!({"event": "online", "user": "zoe"}));
    // One of the file.
    chatd.user(&["kick", "bob"], "").is("bob: 1 session ended\n", "", 0);
    scene.bob.is_closed_for("kicked");
    assert_eq!(zoe.line(), json!({"event": "offline", "user": "bob"}));
    let mut bob = chatd.log_in("bob", 1);
    assert_eq!(zoe.line(), json!({"event": "online", "user": "bob"}));
    bob.nothing_but_alive();
}

#[test]
fn who_signs_up_has_an_account_that_stays() {
    let mut chatd = Chatd::start(&[]);
    let mut bystander = chatd.log_in("bob", 1);
    let mut yan = ByTls::connect(chatd.address());
    assert_eq!(yan.sign_up("Yan", "yellow"), json!({"id": 2, "reply": "signed-up", "user": "Yan"}));
    // Nobody is logged in by that.
    assert_eq!(yan.is_refused(json!({"request": "online"})), "log-in-first");
    let answer = yan.try_password("yan", "yellow", Some(1));
    assert_eq!([&answer["reply"], &answer["user"]], ["logged-in", "Yan"], "{answer}");
    assert_eq!(bystander.line(), json!({"event": "online", "user": "Yan"}));
    yan.nothing_but_alive();
    for number in 0..3 {
        let name = format!("yan{number}");
        assert_eq!(ByTls::connect(chatd.address()).sign_up(&name, "yellow")["reply"], "signed-up");
        chatd.kill_and_restart();
        chatd.assert_password(&name, "yellow", true);
        chatd.assert_password(&name, "wrong", false);
    }
    chatd.assert_password("yan", "yellow", true);
    let rows: String = ["Yan", "yan0", "yan1", "yan2"].map(|name| row(name, "database", "")).concat();
    let listed = chatd.user(&["list"], "");
    assert!(listed.out.ends_with(&rows), "{}", listed.out);
}

#[test]
fn nobody_signs_up_from_where_it_is_not_allowed() {
    for scope in ["off", "10.0.0.0/8,::1"] {
        let chatd = Chatd::start(&["--registration", scope]);
        let mut bystander = ByTls::log_in(chatd.address(), "bob", "builder", Some(1));
        let mut yan = ByTls::connect(chatd.address());
        let text = "nobody can sign up from your address: ask the operator for an account";
        assert_eq!(yan.sign_up("yan", "yellow"), json!({"id": 2, "error": "no-sign-up", "text": text}));
        // Its challenge is used up, and nothing was made.
        assert_eq!(yan.is_refused(keys_of_nothing()), "no-challenge");
        assert_eq!(yan.try_password("yan", "yellow", None)["error"], "not-authenticated");
        assert!(!chatd.user(&["list"], "").out.contains("yan"));
        bystander.nothing_but_alive();
    }
    for scope in ["any", "private", "10.0.0.0/8,127.0.0.0/8"] {
        let chatd = Chatd::start(&["--memory", "--registration", scope]);
        assert_eq!(ByTls::connect(chatd.address()).sign_up("yan", "yellow")["reply"], "signed-up");
    }
}

fn keys_of_nothing() -> serde_json::Value {
    json!({"request": "sign-up", "stored-key": "00".repeat(32), "server-key": "00".repeat(32)})
}

#[test]
fn nobody_signs_up_in_the_clear() {
    let chatd = Chatd::start(&[]);
    let mut bystander = chatd.log_in("bob", 1);
    let mut yan = chatd.connect();
    let message = "p=tls-exporter,,n=yan,r=abcdefgh";
    let bound = json!({"request": "log-in", "mechanism": "SCRAM-SHA-256-PLUS", "message": message});
    assert_eq!(yan.ask(bound)["error"], "needs-tls");
    let (_, challenge) = yan.begin_log_in("yan");
    assert_eq!(yan.ask(keys("sign-up", "yellow", &challenge))["error"], "needs-tls");
    let (_, challenge) = ByTls::connect(chatd.address()).begin("yan", "SCRAM-SHA-256-PLUS", None);
    // A challenge of another connection is none of this one.
    assert_eq!(chatd.connect().ask(keys("sign-up", "yellow", &challenge))["error"], "no-challenge");
    assert!(!chatd.user(&["list"], "").out.contains("yan"));
    bystander.nothing_but_alive();
}

#[test]
fn a_name_that_is_somebodys_or_nobodys_is_not_given_away() {
    let chatd = Chatd::start(&[]);
    chatd.add("zoe", "zeppelin");
    let mut bystander = chatd.log_in_with("zoe", "zeppelin", Some(1));
    let mut yan = ByTls::connect(chatd.address());
    let mut id = 0;
    for name in ["zoe", "ZOE", "alice", "Alice"] {
        id += 2;
        let text = format!("the name {name} is taken");
        assert_eq!(yan.sign_up(name, "yellow"), json!({"id": id, "error": "name-taken", "text": text}));
    }
    // Words that mean something, and what is no name.
    for name in ["everyone", "SERVER", "nick", "note", "a b", "a\nb", "", &"x".repeat(33), "zoë"] {
        // A connection for each: so much is not read of a stranger.
        let mut yan = ByTls::connect(chatd.address());
        let message = format!("p=tls-exporter,,n={name},r=abcdefgh");
        let refused =
            yan.is_refused(json!({"request": "log-in", "mechanism": "SCRAM-SHA-256-PLUS", "message": message}));
        assert_eq!(refused, "bad-request", "{name}");
        assert_eq!(yan.is_refused(keys_of_nothing()), "no-challenge", "{name}");
    }
    chatd.assert_password("zoe", "zeppelin", true);
    chatd.assert_password("alice", "wonderland", true);
    chatd.assert_password("alice", "yellow", false);
    bystander.nothing_but_alive();
    // What is not understood leaves the challenge; what is, uses it up.
    let (_, challenge) = yan.begin("yan", "SCRAM-SHA-256-PLUS", None);
    let key = "0".repeat(64);
    for request in [
        json!({"request": "sign-up"}),
        json!({"request": "sign-up", "stored-key": key}),
        json!({"request": "sign-up", "stored-key": key, "server-key": "0".repeat(63)}),
        json!({"request": "sign-up", "stored-key": key, "server-key": "g".repeat(64)}),
    ] {
        assert_eq!(yan.is_refused(request), "bad-request");
    }
    assert_eq!(yan.ask(keys("sign-up", "yellow", &challenge))["reply"], "signed-up");
    assert_eq!(yan.is_refused(keys("sign-up", "yellow", &challenge)), "no-challenge");
    assert_eq!(yan.try_password("yan", "yellow", None)["reply"], "logged-in");
    assert_eq!(yan.is_refused(keys("sign-up", "yellow", &challenge)), "already-logged-in");
}

#[test]
fn of_two_who_sign_up_for_the_same_name_one_gets_it() {
    let chatd = Chatd::start(&[]);
    let mut both = [ByTls::connect(chatd.address()), ByTls::connect(chatd.address())];
    let challenges = both.each_mut().map(|client| client.begin("yan", "SCRAM-SHA-256-PLUS", None).1);
    for (client, (challenge, password)) in both.iter_mut().zip(challenges.iter().zip(["first", "second"])) {
        client.request(keys("sign-up", password, challenge));
    }
    let answers = both.each_mut().map(|client| client.line());
    let winner = answers.iter().position(|answer| answer["reply"] == "signed-up").expect("one gets it");
    assert_eq!(answers[1 - winner]["error"], "name-taken");
    chatd.assert_password("yan", ["first", "second"][winner], true);
    chatd.assert_password("yan", ["first", "second"][1 - winner], false);
}

#[test]
fn a_new_password_of_ones_own_ends_all_sessions_but_this_one() {
    let mut chatd = Chatd::start(&[]);
    chatd.add("zoe", "zeppelin");
    let mut scene = Scene::begin(&chatd, "zeppelin");
    let mut here = ByTls::log_in(chatd.address(), "zoe", "zeppelin", Some(4));
    let own = here.token.take().expect("a token");
    let answer = here.ask(here.new_password("airship"));
    assert_eq!([&answer["reply"], &answer["user"]], ["password-changed", "zoe"], "{answer}");
    for zoe in &mut scene.zoes {
        assert_eq!(zoe.event("closing")["reason"], "account");
        assert_eq!(zoe.try_line(), None);
    }
    assert_eq!(scene.encrypted.line(), json!({"event": "online", "user": "bob"}));
    scene.encrypted.is_closed_for("account");
    // She is still there, so bob is told nothing.
    here.nothing_but_alive();
    scene.bob.nothing_but_alive();
    // This session was proved by the old password, and may change it once more.
    assert_eq!(here.ask(here.new_password("rocket"))["reply"], "password-changed");
    chatd.kill_and_restart();
    scene.has_no_tokens(&chatd);
    let answer = ByTls::connect(chatd.address()).resume("zoe", 4, &own);
    assert_eq!(answer["error"], "token-refused", "{answer}");
    chatd.assert_password("zoe", "zeppelin", false);
    chatd.assert_password("zoe", "airship", false);
    chatd.assert_password("zoe", "rocket", true);
    assert!(chatd.user(&["list"], "").out.ends_with(&row("zoe", "database", "")));
}

#[test]
fn who_has_not_shown_the_password_on_tls_changes_none() {
    let chatd = Chatd::start(&[]);
    chatd.add("zoe", "zeppelin");
    let mut bystander = chatd.log_in("bob", 1);
    // In the clear.
    let mut plain = chatd.connect();
    let (_, challenge) = plain.begin_log_in("zoe");
    assert_eq!(plain.log_in_with("zoe", "zeppelin", Some(1))["reply"], "logged-in");
    assert_eq!(plain.ask(keys("password", "airship", &challenge))["error"], "needs-tls");
    // By a token: whoever finds an open session does not get the account.
    let mut zoe = ByTls::log_in(chatd.address(), "zoe", "zeppelin", Some(2));
    let token = zoe.token.take().expect("a token");
    let mut resumed = ByTls::connect(chatd.address());
    assert_eq!(resumed.resume("zoe", 2, &token)["reply"], "logged-in");
    assert_eq!(resumed.is_refused(keys("password", "airship", &challenge)), "password-first");
    // Without a log-in.
    let mut stranger = ByTls::connect(chatd.address());
    assert_eq!(stranger.is_refused(keys("password", "airship", &challenge)), "log-in-first");
    // The operator's file.
    let mut alice = ByTls::log_in(chatd.address(), "alice", "wonderland", None);
    assert_eq!(alice.is_refused(alice.new_password("airship")), "in-file");
    // Half of it, or nothing.
    let mut zoe = ByTls::log_in(chatd.address(), "zoe", "zeppelin", Some(3));
    let key = "0".repeat(64);
    for request in [
        json!({"request": "password"}),
        json!({"request": "password", "stored-key": key}),
        json!({"request": "password", "server-key": key}),
        json!({"request": "password", "password": "airship"}),
    ] {
        assert_eq!(zoe.is_refused(request), "bad-request");
    }
    chatd.assert_password("zoe", "zeppelin", true);
    chatd.assert_password("alice", "wonderland", true);
    plain.nothing_but_alive();
    while bystander.line_if_there().is_some() {}
    bystander.nothing_but_alive();
}

#[test]
fn the_password_of_a_classic_account_is_the_operators_to_change() {
    let mut chatd = Chatd::start(&[]);
    assert_eq!(chatd.user(&["add", "zoe", "--classic"], "zeppelin\n").status, 0);
    let mut other = chatd.log_in_with("zoe", "zeppelin", Some(1));
    let mut zoe = ByTls::log_in(chatd.address(), "zoe", "zeppelin", Some(2));
    assert_eq!(zoe.is_refused(zoe.new_password("airship")), "password-is-kept");
    other.nothing_but_alive();
    assert_eq!(chatd.user(&["passwd", "zoe"], "airship\n").status, 0);
    other.is_closed_for("account");
    chatd.kill_and_restart();
    chatd.assert_password("zoe", "airship", true);
    chatd.assert_password("zoe", "zeppelin", false);
    assert!(chatd.user(&["list"], "").out.ends_with(&row("zoe", "database", "classic")));
}

#[test]
fn what_is_the_operators_is_nobody_elses() {
    let chatd = Chatd::start(&[]);
    let mut alice = ByTls::log_in(chatd.address(), "alice", "wonderland", None);
    let mut bob = chatd.log_in("bob", 1);
    let mut stranger = chatd.connect();
    for request in [
        json!({"request": "user-add", "user": "eve", "password": "x"}),
        json!({"request": "user-password", "user": "bob", "password": "x"}),
        json!({"request": "user-remove", "user": "bob"}),
        json!({"request": "users"}),
        json!({"request": "user-unlock", "user": "bob"}),
        json!({"request": "user-kick", "user": "bob"}),
    ] {
        assert_eq!(alice.is_refused(request.clone()), "operator-only");
        assert_eq!(bob.ask(request.clone())["error"], "operator-only");
        assert_eq!(stranger.ask(request)["error"], "operator-only");
    }
    bob.nothing_but_alive();
    assert!(!chatd.user(&["list"], "").out.contains("eve"));
}

/// All ways in which a secret could stand in a file.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let utf16 = |bytes: fn(u16) -> [u8; 2]| secret.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let raw = [secret.as_bytes().to_vec(), utf16(u16::to_le_bytes), utf16(u16::to_be_bytes)];
    let mut forms = raw.to_vec();
    for bytes in &raw {
        let hexadecimal: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        forms.extend([hexadecimal.to_uppercase().into_bytes(), hexadecimal.into_bytes()]);
        // In base64 it depends on what stands before it: without the characters at both ends, which others share.
        for before in 0..3 {
            for engine in [&STANDARD, &URL_SAFE] {
                let padded = [&[0; 2][..before], bytes].concat();
                let whole = padded.len() / 3 * 4;
                forms.push(engine.encode(padded).as_bytes()[(before * 8).div_ceil(6)..whole].to_vec());
            }
        }
    }
    forms
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(directory).expect("files").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// In which file and which form one of the secrets stands.
fn found(directory: &Path, secrets: &[&str]) -> Option<(PathBuf, String)> {
    // By their first bytes: there are many.
    let mut by_start: HashMap<[u8; 4], Vec<(&str, Vec<u8>)>> = HashMap::new();
    for &secret in secrets {
        for form in forms(secret) {
            by_start.entry(form[..4].try_into().expect("4 bytes")).or_default().push((secret, form));
        }
    }
    for path in files(directory).into_iter().filter(|path| !path.ends_with("control")) {
        let bytes = fs::read(&path).expect("a file");
        for (at, start) in bytes.windows(4).enumerate() {
            let forms = by_start.get(start).into_iter().flatten();
            if let Some((secret, form)) = forms.clone().find(|(_, form)| bytes[at..].starts_with(form)) {
                return Some((path, format!("{secret} as {}", String::from_utf8_lossy(form))));
            }
        }
    }
    None
}

#[track_caller]
fn assert_private(data: &Path) {
    let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(data), 0o700);
    for path in files(data).iter().filter(|path| !path.ends_with("tls-cert.pem")) {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
}

#[test]
fn no_file_holds_a_password() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("in"), "what the search finds: needle-haystack").expect("a file");
    assert!(found(directory.path(), &["nothing", "needle-haystack"]).is_some(), "the search can find something");
    for form in forms("needle-haystack") {
        fs::write(directory.path().join("in"), form).expect("a file");
        assert!(found(directory.path(), &["needle-haystack"]).is_some());
    }
    let text = STANDARD.encode("{\"a\":\"needle-haystack\"}");
    fs::write(directory.path().join("in"), text).expect("a file");
    assert!(found(directory.path(), &["needle-haystack"]).is_some());

    let mut chatd = Chatd::start(&[]);
    let secrets = [
        "added-Password-1",
        "changed-Password-2",
        "classic-Password-3",
        "classic-Password-4",
        "classic-Password-5",
        "signed-Password-6",
        "signed-Password-7",
        "mistyped-Password-8",
        "wonderland",
        "removed-Password-9",
        "no-longer-classic-10",
    ];
    let [added, changed, classic, classic_changed, classic_own, signed, signed_own, mistyped, _, removed, unsealed] =
        secrets;
    let user = |words: &[&str], password: &str| assert_eq!(chatd.user(words, password).status, 0, "{words:?}");
    user(&["add", "zoe"], added);
    user(&["passwd", "zoe"], changed);
    user(&["add", "yan", "--classic"], classic);
    user(&["passwd", "yan"], classic_changed);
    user(&["add", "xav", "--classic"], removed);
    user(&["remove", "xav"], "");
    user(&["add", "xav", "--classic"], unsealed);
    user(&["passwd", "xav", "--classic=no"], unsealed);
    assert_eq!(ByTls::connect(chatd.address()).sign_up("will", signed)["reply"], "signed-up");
    let mut will = ByTls::log_in(chatd.address(), "will", signed, Some(1));
    assert_eq!(will.ask(will.new_password(signed_own))["reply"], "password-changed");
    let mut yan = ByTls::log_in(chatd.address(), "yan", classic_changed, Some(1));
    assert_eq!(yan.is_refused(yan.new_password(classic_own)), "password-is-kept");
    chatd.assert_password("zoe", mistyped, false);
    chatd.assert_password("nobody", mistyped, false);
    chatd.assert_password("zoe", changed, true);
    chatd.assert_password("alice", "wonderland", true);
    let rows = [("will", ""), ("xav", ""), ("yan", "classic"), ("zoe", "")].map(|(name, is)| row(name, "database", is));
    drop((will, yan));
    chatd.expect_online("will", false);
    chatd.expect_online("yan", false);
    let listed = chatd.user(&["list"], "").out;
    assert!(listed.ends_with(&rows.concat()), "{listed}");

    let data = chatd.data();
    let names = |data: &Path| files(data).iter().map(|path| path.file_name().unwrap().to_owned()).collect::<Vec<_>>();
    assert!(names(&data).iter().any(|name| name == "chatd.sqlite3-wal"), "{:?}", names(&data));
    assert_private(&data);
    assert_eq!(found(&data, &secrets), None, "while it runs");
    chatd.kill();
    assert_eq!(found(&data, &secrets), None, "after a kill");
    chatd.start_again();
    assert_private(&data);
    assert!(chatd.stop().success());
    assert_eq!(found(&data, &secrets), None, "after an orderly end");
    assert_private(&data);

    // The key stands in its own file and nowhere else.
    let file = data.join("sealing.key");
    let text = fs::read_to_string(&file).expect("a key");
    let bytes: [u8; 32] = unhex(text.trim_end()).expect("a key in hexadecimal");
    fs::rename(&file, data.parent().expect("one").join("sealing.key")).expect("it is moved away");
    for form in [text.trim_end().as_bytes(), &bytes, STANDARD.encode(bytes).as_bytes()] {
        for path in files(&data) {
            let content = fs::read(&path).expect("a file");
            assert!(!content.windows(form.len()).any(|window| window == form), "{}", path.display());
        }
    }
    assert_eq!(found(&data, &secrets), None, "without the key");
}

#[test]
fn files_are_the_owners_whatever_the_umask() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 000; exec \"$0\" user --data-dir data add zoe --classic"]);
    shell.arg(env!("CARGO_BIN_EXE_chatd")).current_dir(directory.path());
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    assert_eq!(run(shell, b"zeppelin\n").status, 0);
    assert_private(&directory.path().join("data"));
    let chatd = Chatd::start_in(directory, &[]);
    chatd.assert_password("zoe", "zeppelin", true);
    assert_private(&chatd.data());
}

#[test]
fn a_password_that_comes_too_late_is_not_the_next_owners() {
    // Enough accounts in the file to keep the worker busy for a moment.
    let dir = tempfile::tempdir().expect("a directory");
    let names = (0..64).map(|number| format!("n{number} password{number}\n")).collect::<String>();
    fs::write(dir.path().join("credentials.txt"), names).expect("credentials");
    let chatd = Chatd::start_in(dir, &[]);
    for round in 0..3 {
        let name = format!("zoe{round}");
        chatd.add(&name, "zeppelin");
        let mut old = ByTls::log_in(chatd.address(), &name, "zeppelin", None);
        let mut new = ByTls::connect(chatd.address());
        let (_, challenge) = new.begin(&name, "SCRAM-SHA-256-PLUS", None);
        let sign_up = keys("sign-up", "yellow", &challenge);
        let mut operator = UnixStream::connect(chatd.data().join("control")).expect("the control socket");
        chatd.signal("HUP");
        // The answer to the first shows that both were read.
        old.send_bytes(
            b"{\"id\":8,\"request\":\"alive\"}\n{\"id\":9,\"request\":\"password\",\"password\":\"stolen\"}\n",
        );
        assert_eq!(old.line(), json!({"id": 8, "reply": "alive"}));
        let remove = json!({"id": 1, "request": "user-remove", "user": name});
        operator.write_all(format!("{remove}\n").as_bytes()).expect("written");
        let mut answer = String::new();
        BufReader::new(&operator).read_line(&mut answer).expect("an answer");
        assert!(answer.contains("user-removed"), "{answer}");
        assert_eq!(new.ask(sign_up)["reply"], "signed-up");
        // The worker has done all that was asked of it by then.
        chatd.add(&format!("other{round}"), "x");
        chatd.assert_password(&name, "stolen", false);
        chatd.assert_password(&name, "yellow", true);
    }
}
