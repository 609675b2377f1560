//! `chatd user`: what the operator types, where a server runs and where none does.

mod support;

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use chatd::store::{Durability, Hooks, Store};
use serde_json::json;
use support::chat::{Outcome, run};
use support::operator::{row, user, user_command};
use support::terminal::Terminal;
use support::{CREDENTIALS, Chatd, LIMIT, device_claim};
use tempfile::TempDir;

const TRY_AGAIN: i32 = 75;
/// An account of the database for tests that need one.
const ZOE: (&str, &str) = ("Zoe", "zeppelin");

fn directory() -> TempDir {
    directory_with(CREDENTIALS)
}

/// A place where a server has been that did nothing.
fn directory_with(credentials: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("credentials.txt"), credentials).expect("credentials");
    drop(Store::open(&dir.path().join("data"), Durability::Full, Hooks::default()).expect("a database"));
    dir
}

fn in_file(name: &str) -> String {
    format!("chatd: the account {name} stands in the operator's file, and is changed there\n")
}

/// The accounts of the file, with these rows of the database after them.
fn list(rows: &[String]) -> String {
    ["alice", "bob", "carol", "dave"].map(|name| row(name, "file", "")).concat() + &rows.concat()
}

/// Everything that the commands can be told, one after the other, in a directory where nothing was done yet.
fn everything(dir: &Path) {
    let user = |words: &[&str], input: &str| user(dir, words, input);
    user(&["list"], "").is(&list(&[]), "", 0);
    user(&["add", "Zoe"], "zeppelin\n").is("Zoe has an account\n", "", 0);
    user(&["add", "Zoe"], "another\n").is("", "chatd: the name Zoe is taken\n", 77);
    user(&["add", "zOE"], "another\n").is("", "chatd: the name zOE is taken\n", 77);
    for name in ["alice", "ALICE"] {
        user(&["add", name], "x\n").is("", &in_file(name), 77);
        user(&["passwd", name], "x\n").is("", &in_file(name), 77);
        user(&["remove", name], "").is("", &in_file(name), 77);
    }
    let nobody = "chatd: there is no user nobody\n";
    user(&["passwd", "nobody"], "x\n").is("", nobody, 67);
    user(&["remove", "nobody"], "").is("", nobody, 67);
    user(&["kick", "nobody"], "").is("", nobody, 67);
    user(&["unlock", "nobody"], "").is("nobody is not locked out\n", "", 0);
    user(&["kick", "zoe"], "").is("Zoe: 0 sessions ended\n", "", 0);
    // `a` is before `alice`: the order is that of the alphabet, whatever the place or the case.
    user(&["add", "A"], "first\n").is("A has an account\n", "", 0);
    let rows = |rest: &[String]| row("A", "database", "") + &list(rest);
    user(&["list"], "").is(&rows(&[row("Zoe", "database", "")]), "", 0);
    user(&["passwd", "zoe"], "airship\n").is("Zoe has another password\n", "", 0);
    let classic = user(&["passwd", "zoe", "--classic"], "classic one\n");
    assert_eq!((classic.out.as_str(), classic.status), ("Zoe has another password\n", 0), "{}", classic.error);
    user(&["list"], "").is(&rows(&[row("Zoe", "database", "classic")]), "", 0);
    // Without the flag it stays what it is.
    user(&["passwd", "zoe"], "classic two\n").is("Zoe has another password\n", "", 0);
    user(&["list"], "").is(&rows(&[row("Zoe", "database", "classic")]), "", 0);
    user(&["passwd", "zoe", "--classic=no"], "airship\n").is("Zoe has another password\n", "", 0);
    user(&["list"], "").is(&rows(&[row("Zoe", "database", "")]), "", 0);
    user(&["remove", "a"], "").is("A has no account any more\n", "", 0);
    user(&["remove", "a"], "").is("", "chatd: there is no user a\n", 67);
    user(&["list"], "").is(&list(&[row("Zoe", "database", "")]), "", 0);
}

#[test]
fn it_is_the_same_with_a_server_and_without() {
    let chatd = Chatd::start(&[]);
    let mut bystander = chatd.log_in_once("bob");
    everything(chatd.dir.path());
    chatd.assert_password("zoe", "airship", true);
    bystander.nothing_but_alive();

    let dir = directory();
    everything(dir.path());
    assert!(!dir.path().join("data/control").exists(), "nobody listens any more");
    let chatd = Chatd::start_in(dir, &[]);
    chatd.assert_password("zoe", "airship", true);
    chatd.assert_password("zoe", "zeppelin", false);
    chatd.assert_password("a", "first", false);
    chatd.user(&["list"], "").is(&list(&[row("Zoe", "database", "")]), "", 0);
}

#[test]
fn who_is_online_and_who_is_locked_out_is_listed() {
    let mut chatd = Chatd::start(&[]);
    chatd.add(ZOE.0, ZOE.1);
    let zoe = chatd.log_in_with("zoe", ZOE.1, Some(1));
    (0..3).for_each(|_| chatd.assert_password("zoe", "wrong", false));
    let both = list(&[row("Zoe", "database", "online,locked")]);
    chatd.user(&["list"], "").is(&both, "", 0);
    chatd.assert_password("zoe", ZOE.1, false);
    drop(zoe);
    // It is on the disk: a server that was not there when it happened ends it as well.
    assert!(chatd.stop().success());
    chatd.user(&["list"], "").is(&list(&[row("Zoe", "database", "locked")]), "", 0);
    chatd.user(&["unlock", "ZOE"], "").is("ZOE is not locked out\n", "", 0);
    chatd.user(&["list"], "").is(&list(&[row("Zoe", "database", "")]), "", 0);
    chatd.start_again();
    chatd.assert_password("zoe", ZOE.1, true);
    // And by a server that runs: an account of the file, too.
    (0..3).for_each(|_| chatd.assert_password("alice", "wrong", false));
    chatd.assert_password("alice", "wonderland", false);
    chatd.user(&["unlock", "alice"], "").is("alice is not locked out\n", "", 0);
    chatd.assert_password("alice", "wonderland", true);
}

#[test]
fn what_is_no_name_no_password_or_no_flag_is_usage_and_changes_nothing() {
    let dir = directory();
    let long = "x".repeat(33);
    let wrong: [&[&str]; 17] = [
        &[],
        &["add"],
        &["add", ""],
        &["add", "no name"],
        &["add", "a\u{1b}[31m"],
        &["add", "zoë"],
        &["add", &long],
        &["add", "everyone"],
        &["add", "NICK"],
        &["passwd", "server"],
        &["remove", "no,name"],
        &["unlock", "no name"],
        &["kick", "no name"],
        // A password as an argument.
        &["add", "zoe", "zeppelin"],
        &["add", "zoe", "--password", "zeppelin"],
        &["passwd", "zoe", "--classic=perhaps"],
        &["list", "zoe"],
    ];
    for words in wrong {
        let Outcome { out, error, status } = user(dir.path(), words, "zeppelin\n");
        assert_eq!((out.as_str(), status), ("", 2), "{words:?} {error}");
        assert!(!error.contains("\u{1b}[31m"), "{error:?}");
    }
    for flags in [&["--port", "0"][..], &["--memory"], &["--plaintext", "off"], &["--bind", "::1"], &["--lockout", "5"]]
    {
        for words in [[flags, &["user", "list"]].concat(), [&["user", "list"], flags].concat()] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_chatd"));
            command.current_dir(dir.path()).env_clear().args(&words);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let Outcome { out, error, status } = run(command, b"");
            assert_eq!((out.as_str(), status), ("", 2), "{words:?} {error}");
            assert!(error.contains(flags[0]), "{error}");
        }
    }
    user(dir.path(), &["list"], "").is(&list(&[]), "", 0);
}

#[test]
fn a_password_comes_from_a_file_or_from_one_line_of_standard_input() {
    let chatd = Chatd::start(&[]);
    let file = |name: &str, content: &[u8]| fs::write(chatd.dir.path().join(name), content).expect("a file");
    file("plain", b"in a file\n");
    file("crlf", b"from windows\r\nand more\r\n");
    file("bare", b"without an end");
    file("empty", b"");
    file("blank", b"\nzeppelin\n");
    file("binary", b"\xff\xfe\n");
    for (name, file, password) in
        [("p1", "plain", "in a file"), ("p2", "crlf", "from windows"), ("p3", "bare", "without an end")]
    {
        chatd.user(&["add", name, "--password-file", file], "not this\n").is(
            &format!("{name} has an account\n"),
            "",
            0,
        );
        chatd.assert_password(name, password, true);
    }
    for (name, input, password) in [
        ("q1", "one line\nanother line\n", "one line"),
        ("q2", "from windows\r\n", "from windows"),
        ("q3", "no end", "no end"),
        ("q4", "  spaces count  \n", "  spaces count  "),
        ("q5", "žluťoučký kůň 🐎\n", "žluťoučký kůň 🐎"),
    ] {
        chatd.user(&["add", name], input).is(&format!("{name} has an account\n"), "", 0);
        chatd.assert_password(name, password, true);
    }
    for file in ["none", "empty", "blank", "binary", "."] {
        let Outcome { out, error, status } = chatd.user(&["add", "r1", "--password-file", file], "");
        assert_eq!((out.as_str(), error.lines().count(), status), ("", 1, 66), "{error}");
    }
    for (input, expected) in [("", 66), ("\n", 66), ("\r\n", 66), ("\u{7}bell\n", 2), ("tab\there\n", 2)] {
        let Outcome { out, error, status } = chatd.user(&["add", "r1"], input);
        assert_eq!((out.as_str(), error.lines().count(), status), ("", 1, expected), "{input:?} {error}");
    }
    let limits = [(1024, 0), (1025, 2)];
    for (length, expected) in limits {
        let password = "x".repeat(length);
        assert_eq!(chatd.user(&["add", &format!("long{length}")], &password).status, expected);
    }
    let listed = chatd.user(&["list"], "").out;
    assert!(!listed.contains("r1") && !listed.contains("long1025"), "{listed}");
}

#[test]
fn a_prompt_asks_twice_and_shows_nothing() {
    let chatd = Chatd::start(&[]);
    for (command, done) in [("add", "zoe has an account"), ("passwd", "zoe has another password")] {
        let mut terminal = Terminal::start(&user_command(chatd.dir.path(), &[command, "zoe"]));
        terminal.sees(&["new password of zoe:"]);
        terminal.enters(&format!("air{command}ship"));
        terminal.sees(&["new password of zoe:", "the same again:"]);
        terminal.enters(&format!("air{command}ship"));
        terminal.ends(0, &["new password of zoe:", "the same again:", done]);
        assert!(!terminal.printed().contains("ship"), "{}", terminal.printed());
        chatd.assert_password("zoe", &format!("air{command}ship"), true);
    }
}

#[test]
fn classic_says_what_it_means() {
    let dir = directory();
    let plain = |words: &[&str]| {
        let Outcome { error, status, .. } = user(dir.path(), words, "zeppelin\n");
        assert_eq!((error.as_str(), status), ("", 0));
    };
    let classic = |words: &[&str]| {
        let Outcome { error, status, .. } = user(dir.path(), words, "zeppelin\n");
        assert_eq!((error.lines().count(), status), (1, 0), "{error}");
        for word in ["chatd: ", "password itself", "sealing.key", "not encrypted"] {
            assert!(error.contains(word), "{word}: {error}");
        }
    };
    plain(&["add", "zoe"]);
    classic(&["add", "yan", "--classic"]);
    classic(&["passwd", "zoe", "--classic"]);
    classic(&["passwd", "zoe", "--classic=yes"]);
    plain(&["passwd", "zoe", "--classic=no"]);
}

#[test]
fn where_another_has_the_directory_and_no_socket_it_says_try_again() {
    let dir = directory();
    user(dir.path(), &["list"], "").is(&list(&[]), "", 0);
    let lock = File::options().write(true).open(dir.path().join("data/chatd.lock")).expect("a lock");
    lock.lock().expect("nobody has it");
    for words in [&["list"][..], &["add", "zoe"], &["unlock", "zoe"]] {
        let Outcome { out, error, status } = user(dir.path(), words, "zeppelin\n");
        assert_eq!((out.as_str(), status, error.lines().count()), ("", TRY_AGAIN, 1), "{error}");
        assert!(error.ends_with("try again\n"), "{error}");
    }
    lock.unlock().expect("it was ours");
    user(dir.path(), &["list"], "").is(&list(&[]), "", 0);
}

/// The rows of the accounts that `add_from_two_sides` makes.
fn ten() -> Vec<String> {
    let names = |side| (0..5).map(move |number| row(&format!("{side}{number}"), "database", ""));
    ["left", "right"].into_iter().flat_map(names).collect()
}

/// Adds ten accounts from two threads at once; comes back: how often they had to try again.
fn add_from_two_sides(dir: &Path) -> usize {
    let add = |side: &str| {
        let mut repeated = 0;
        for number in 0..5 {
            let end = Instant::now() + LIMIT;
            loop {
                let outcome = user(dir, &["add", &format!("{side}{number}")], &format!("{side} password {number}\n"));
                match outcome.status {
                    0 => break outcome.is(&format!("{side}{number} has an account\n"), "", 0),
                    TRY_AGAIN => assert!(outcome.error.ends_with("try again\n"), "{outcome:?}"),
                    _ => panic!("{outcome:?}"),
                }
                assert!(Instant::now() < end, "it never succeeds");
                repeated += 1;
            }
        }
        repeated
    };
    thread::scope(|scope| {
        let left = scope.spawn(|| add("left"));
        let right = add("right");
        left.join().expect("it succeeds") + right
    })
}

#[test]
fn two_at_once_are_both_served() {
    let chatd = Chatd::start(&[]);
    assert_eq!(add_from_two_sides(chatd.dir.path()), 0, "a server takes both");
    chatd.user(&["list"], "").is(&list(&ten()), "", 0);
}

#[test]
fn of_two_who_add_the_same_name_one_gets_it() {
    let chatd = Chatd::start(&[]);
    let dir = chatd.dir.path();
    let add = |password: &str| user(dir, &["add", "zoe"], password);
    let (one, other) = thread::scope(|scope| {
        let one = scope.spawn(|| add("one"));
        let other = add("other");
        (one.join().expect("it ends"), other)
    });
    let (winner, loser, password) = if one.status == 0 { (one, other, "one") } else { (other, one, "other") };
    winner.is("zoe has an account\n", "", 0);
    loser.is("", "chatd: the name zoe is taken\n", 77);
    chatd.assert_password("zoe", password, true);
}

#[test]
fn the_socket_is_the_owners_and_one_that_was_left_is_no_hindrance() {
    let mut chatd = Chatd::start(&[]);
    let socket = chatd.data().join("control");
    let is_private_socket = || {
        let metadata = fs::symlink_metadata(&socket).expect("a socket");
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    };
    is_private_socket();
    chatd.kill();
    is_private_socket();
    chatd.add("first", "1");
    chatd.start_again();
    is_private_socket();
    chatd.kill_and_restart();
    is_private_socket();
    chatd.add("second", "2");
    chatd.assert_password("first", "1", true);
    chatd.assert_password("second", "2", true);
    assert!(chatd.stop().success());
    assert!(!socket.exists());
}

#[test]
fn a_directory_that_can_not_be_used_is_told_in_one_line() {
    let dir = directory();
    // Nobody, not even root, makes a directory there.
    for (directory, refused) in [("/sys/chatd", 77), ("/proc/chatd", 73), ("credentials.txt/data", 73)] {
        for (words, expected) in [(&["list"][..], 73), (&["add", "zoe"], refused)] {
            let words = [words, &["--data-dir", directory]].concat();
            let mut command = Command::new(env!("CARGO_BIN_EXE_chatd"));
            command.current_dir(dir.path()).env_clear().arg("user").args(&words);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let Outcome { out, error, status } = run(command, b"zeppelin\n");
            assert_eq!((out.as_str(), status, error.lines().count()), ("", expected, 1), "{error}");
            assert!(error.starts_with("chatd: ") && error.contains(directory), "{error}");
        }
    }
}

#[test]
fn a_name_that_was_free_again_belongs_to_somebody_else() {
    let mut chatd = Chatd::start(&[]);
    chatd.add("zoe", "zeppelin");
    // The first owner: a device with a token, history, a block, and messages that wait.
    let mut zoe = chatd.log_in_with("zoe", "zeppelin", Some(7));
    let mut bob = chatd.log_in("bob", 1);
    assert_eq!(bob.ask(json!({"request": "message", "to": "zoe", "text": "seen"}))["reply"], "accepted");
    let number = zoe.event("message")["number"].clone();
    zoe.send(&json!({"request": "acknowledge", "number": number}));
    assert_eq!(zoe.ask(json!({"request": "message", "to": "bob", "text": "from the first"}))["reply"], "accepted");
    assert_eq!(zoe.ask(json!({"request": "block", "user": "carol"}))["reply"], "blocked");
    let mut carol = chatd.log_in("carol", 1);
    assert_eq!(carol.ask(json!({"request": "block", "user": "zoe"}))["reply"], "blocked");
    let token = zoe.token.take().expect("a token");
    drop(zoe);
    chatd.expect_online("zoe", false);
    assert_eq!(bob.ask(json!({"request": "message", "to": "zoe", "text": "waiting"}))["reach"], "queued");
    chatd.user(&["remove", "zoe"], "").is("zoe has no account any more\n", "", 0);
    let answer = bob.ask(json!({"request": "message", "to": "zoe", "text": "to nobody"}));
    assert_eq!(answer["error"], "no-such-user");
    chatd.add("Zoe", "another");

    for restarted in [false, true] {
        if restarted {
            chatd.kill_and_restart();
        }
        // The old device has the old token, and then the old password; neither is worth anything.
        let mut client = chatd.connect();
        let answer = client.resume("zoe", device_claim(7), &token);
        assert_eq!(answer["error"], "token-refused", "{answer}");
        chatd.assert_password("zoe", "zeppelin", false);
        // The new owner's device has the same number, and finds nothing.
        for device in [7, 8] {
            let mut zoe = chatd.connect();
            let answer = zoe.log_in_with("zoe", "another", Some(device));
            assert_eq!(
                [&answer["user"], &answer["waiting"], &answer["counter"]],
                [&json!("Zoe"), &json!(0), &json!(0)]
            );
            zoe.nothing_but_alive();
            for request in [json!({"request": "history"}), json!({"request": "history", "with": "bob"})] {
                let answer = zoe.ask(request);
                assert_eq!([&answer["messages"], &answer["more"]], [&json!([]), &json!(false)], "{answer}");
            }
            assert_eq!(zoe.ask(json!({"request": "blocked"}))["users"], json!([]));
        }
        chatd.user(&["unlock", "zoe"], "").is("zoe is not locked out\n", "", 0);
    }
    // And what is sent from now on comes.
    let mut zoe = chatd.log_in_with("zoe", "another", Some(8));
    let mut carol = chatd.log_in("carol", 1);
    assert_eq!(carol.ask(json!({"request": "message", "to": "zoe", "text": "welcome"}))["reach"], "online");
    assert_eq!(zoe.event("message")["text"], "welcome");
    // Who had blocked the first has not blocked the second.
    assert_eq!(zoe.ask(json!({"request": "message", "to": "carol", "text": "thanks"}))["reach"], "online");
}

#[test]
fn an_account_that_was_acknowledged_survives_a_kill() {
    let mut chatd = Chatd::start(&[]);
    let mut rows = Vec::new();
    for number in 0..5 {
        let name = format!("zoe{number}");
        chatd.add(&name, &format!("password {number}"));
        chatd.kill_and_restart();
        chatd.assert_password(&name, &format!("password {number}"), true);
        rows.push(row(&name, "database", ""));
        chatd.user(&["list"], "").is(&list(&rows), "", 0);
    }
    chatd.user(&["passwd", "zoe0"], "another\n").is("zoe0 has another password\n", "", 0);
    chatd.kill_and_restart();
    chatd.assert_password("zoe0", "another", true);
    chatd.user(&["remove", "zoe4"], "").is("zoe4 has no account any more\n", "", 0);
    chatd.kill_and_restart();
    rows.pop();
    chatd.user(&["list"], "").is(&list(&rows), "", 0);
}

#[test]
fn a_list_of_any_length_is_shown_whole() {
    let names: Vec<String> = (0..1500).map(|number| format!("{number:05}-with-a-name-of-some-length")).collect();
    let file: String = names.iter().map(|name| format!("{name} x\n")).collect();
    let dir = directory_with(&file);
    let rows: String = names.iter().map(|name| row(name, "file", "")).collect();
    user(dir.path(), &["list"], "").is(&rows, "", 0);
}

#[test]
fn a_prompt_asks_again_after_a_mismatch_and_shows_nothing() {
    let chatd = Chatd::start(&[]);
    let mut terminal = Terminal::start(&user_command(chatd.dir.path(), &["add", "zoe"]));
    let mut screen = vec!["new password of zoe:"];
    terminal.sees(&screen);
    terminal.enters("zeppelin");
    screen.push("the same again:");
    terminal.sees(&screen);
    terminal.enters("zepelin");
    screen.extend(["chatd: that was not the same", "new password of zoe:"]);
    terminal.sees(&screen);
    terminal.enters("airship");
    screen.push("the same again:");
    terminal.sees(&screen);
    terminal.enters("airship");
    screen.push("zoe has an account");
    terminal.ends(0, &screen);
    for password in ["zeppelin", "zepelin", "airship"] {
        assert!(!terminal.printed().contains(password), "{}", terminal.printed());
    }
    chatd.assert_password("zoe", "airship", true);
    chatd.assert_password("zoe", "zeppelin", false);
}

#[test]
fn a_prompt_that_gets_no_password_changes_nothing() {
    let dir = directory();
    let mut terminal = Terminal::start(&user_command(dir.path(), &["add", "zoe"]));
    let mut screen = Vec::new();
    for _ in 0..3 {
        screen.push("new password of zoe:");
        terminal.sees(&screen);
        terminal.enters("");
        screen.push("chatd: a password has at least one character");
    }
    screen.push("chatd: there is no new password: nothing is changed");
    terminal.ends(2, &screen);
    user(dir.path(), &["list"], "").is(&list(&[]), "", 0);
}

#[test]
fn a_directory_that_was_mistyped_is_not_made() {
    let dir = directory();
    for words in [&["list"][..], &["remove", "zoe"], &["unlock", "zoe"], &["kick", "zoe"], &["passwd", "zoe"]] {
        let words = [words, &["--data-dir", "dta"]].concat();
        let nothing = "chatd: there is no chatd in dta: name its directory with --data-dir\n";
        user(dir.path(), &words, "x\n").is("", nothing, 73);
        assert!(!dir.path().join("dta").exists());
    }
}

#[test]
fn what_waits_and_history_are_not_given_up_by_a_command_and_names_come_from_the_servers_file() {
    let mut chatd = Chatd::start(&["--queue-days", "3650", "--history-days", "3650"]);
    let mut alice = chatd.log_in_once("alice");
    assert_eq!(alice.ask(json!({"request": "message", "to": "bob", "text": "old"}))["reply"], "accepted");
    drop(alice);
    assert!(chatd.stop().success());
    let database = rusqlite::Connection::open(chatd.data().join("chatd.sqlite3")).expect("the database");
    database.execute("UPDATE messages SET time = time - 400 * 86400000", []).expect("an older message");
    drop(database);
    // From a directory with another file of accounts.
    let elsewhere = tempfile::tempdir().expect("a directory");
    fs::write(elsewhere.path().join("credentials.txt"), "zed x\n").expect("credentials");
    let data = chatd.data();
    let words = ["--data-dir", data.to_str().expect("UTF-8")];
    user(elsewhere.path(), &[&["list"][..], &words].concat(), "").is(&list(&[]), "", 0);
    chatd.start_again();
    let mut bob = chatd.log_in("bob", 1);
    assert_eq!(bob.event("message")["text"], "old");
    chatd.add("zed", "x");
}

#[test]
fn two_at_once_lose_nothing_where_no_server_runs() {
    let dir = directory();
    add_from_two_sides(dir.path());
    user(dir.path(), &["list"], "").is(&list(&ten()), "", 0);
    let chatd = Chatd::start_in(dir, &[]);
    chatd.assert_password("left4", "left password 4", true);
    chatd.assert_password("right0", "right password 0", true);
}

#[test]
fn a_user_of_the_file_is_known_where_no_server_runs() {
    let dir = directory();
    for _ in 0..5 {
        user(dir.path(), &["kick", "alice"], "").is("alice: 0 sessions ended\n", "", 0);
    }
}
