//! SIGHUP: the operator's file is read again while people are there.

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::json;
use support::by_tls::ByTls;
use support::operator::row;
use support::{CREDENTIALS, Chatd, device_claim};

const READ: &str = "accounts in the file: ";

/// Puts this in place of the operator's file, at once, as editors do.
fn write(chatd: &Chatd, content: &[u8]) {
    let path = |name: &str| chatd.dir.path().join(name);
    let mut file = fs::File::create(path("new")).expect("a file");
    file.write_all(content).expect("written");
    fs::rename(path("new"), path("credentials.txt")).expect("renamed");
}

/// A server whose file was read.
fn start() -> Chatd {
    let chatd = Chatd::start(&[]);
    assert!(chatd.expect_log(READ).ends_with("] 4 accounts in the file: 4 added, 0 changed, 0 removed"));
    chatd
}

/// The file is this now, and the server says so.
#[track_caller]
fn reload(chatd: &Chatd, content: &str, says: &str) {
    write(chatd, content.as_bytes());
    chatd.signal("HUP");
    let line = chatd.expect_log(READ);
    assert!(line.ends_with(&format!("] {says}")) && line.contains(" INFO "), "{line}");
}

#[test]
fn lines_that_were_added_changed_or_removed_count_from_then_on() {
    let chatd = start();
    let mut alice = chatd.log_in("alice", 1);
    let mut bob = chatd.log_in("bob", 1);
    let mut bob_by_tls = ByTls::log_in(chatd.address(), "bob", "builder", Some(2));
    let mut carol = chatd.log_in("carol", 1);
    let mut carol_once = chatd.log_in_once("carol");
    reload(
        &chatd,
        "# bob has another password, carol has gone, erin is new\nalice wonderland\nbob Builder 2\ndave davidson\nerin x\n",
        "4 accounts in the file: 1 added, 1 changed, 1 removed",
    );
    for closed in [&mut bob, &mut carol, &mut carol_once] {
        let closing = closed.event("closing");
        assert_eq!(closing["reason"], "account", "{closing}");
        assert_eq!(closed.try_line(), None);
    }
    assert_eq!(bob_by_tls.line(), json!({"event": "online", "user": "carol"}));
    // In the order of their names, or not: who goes first does not see the other go.
    let next = bob_by_tls.line();
    assert_eq!([&next["event"], &next["reason"]], ["closing", "account"], "{next}");
    for (user, client) in [("bob", &bob), ("carol", &carol)] {
        let answer = chatd.connect().resume(user, device_claim(1), client.token.as_ref().expect("a token"));
        assert_eq!(answer["error"], "token-refused", "{answer}");
    }
    chatd.assert_password("erin", "x", true);
    chatd.assert_password("bob", "builder", false);
    chatd.assert_password("bob", "Builder 2", true);
    chatd.assert_password("carol", "christmas", false);
    let rest = ["bob", "dave", "erin"].map(|name| row(name, "file", "")).concat();
    chatd.user(&["list"], "").is(&(row("alice", "file", "online") + &rest), "", 0);
    // Alice is told who goes, and stays; her token too.
    let mut heard = vec![alice.line(), alice.line(), alice.line(), alice.line()];
    heard.sort_by_key(|line| line.to_string());
    let event = |event: &str, user: &str| json!({"event": event, "user": user});
    let expected =
        [event("offline", "bob"), event("offline", "carol"), event("online", "bob"), event("online", "carol")];
    assert_eq!(heard, expected);
    alice.nothing_but_alive();
    let answer = chatd.connect().resume("alice", device_claim(1), alice.token.as_ref().expect("a token"));
    assert_eq!(answer["reply"], "logged-in", "{answer}");
    // Nothing has changed: nobody is disturbed.
    let mut dave = chatd.log_in("dave", 1);
    reload(
        &chatd,
        "dave davidson\n\nerin x\r\nbob\tBuilder 2\nalice wonderland\n",
        "4 accounts in the file: 0 added, 0 changed, 0 removed",
    );
    dave.nothing_but_alive();
}

#[test]
fn a_file_that_is_no_good_changes_nothing_and_says_where() {
    let chatd = start();
    let mut alice = chatd.log_in("alice", 1);
    for (content, where_it_is) in [
        (&b"alice another\nbob\n"[..], "line 2: "),
        (b"alice another\n# a remark\n\nbob builder\na,b x\n", "line 5: "),
        (b"alice another\nALICE again\n", "line 2: "),
        (b"alice another\nbob \xff\n", "line 2: "),
    ] {
        write(&chatd, content);
        chatd.signal("HUP");
        let line = chatd.expect_log("credentials.txt: ");
        assert!(line.contains(" ERROR ") && line.contains(where_it_is), "{line}");
        assert!(line.ends_with("; the accounts stay as they were"), "{line}");
        assert!(!line.contains("a,b") && !line.contains("another") && !line.contains("again"), "{line}");
        alice.nothing_but_alive();
        chatd.assert_password("carol", "christmas", true);
    }
    let path = chatd.dir.path().join("credentials.txt");
    fs::remove_file(&path).expect("it goes");
    chatd.signal("HUP");
    let line = chatd.expect_log("credentials.txt");
    assert!(line.contains(" ERROR ") && line.ends_with("; the accounts stay as they were"), "{line}");
    fs::create_dir(&path).expect("a directory");
    chatd.signal("HUP");
    let line = chatd.expect_log("credentials.txt");
    assert!(line.contains(" ERROR ") && line.ends_with("; the accounts stay as they were"), "{line}");
    alice.nothing_but_alive();
    for user in ["alice", "bob", "carol", "dave"] {
        chatd.assert_password(user, support::password(user), true);
    }
    // And one that is good again is taken.
    fs::remove_dir(&path).expect("it goes");
    reload(&chatd, "alice wonderland\n", "1 accounts in the file: 0 added, 0 changed, 3 removed");
    alice.nothing_but_alive();
    chatd.assert_password("bob", "builder", false);
}

#[test]
fn of_two_signals_at_once_the_last_content_counts() {
    let chatd = start();
    let mut alice = chatd.log_in("alice", 1);
    for round in 0..5 {
        write(&chatd, format!("alice wonderland\nbob first{round}\ncarol gone{round}\n").as_bytes());
        chatd.signal("HUP");
        // By their number this content is known from all others: it may have been read for the first signal too.
        let more: String = (0..round + 2).map(|number| format!("more{number} x\n")).collect();
        write(&chatd, format!("alice wonderland\nbob second{round}\n{more}").as_bytes());
        chatd.signal("HUP");
        chatd.expect_log(&format!("] {} accounts in the file: ", round + 4));
        chatd.assert_password("bob", &format!("second{round}"), true);
        chatd.assert_password("bob", &format!("first{round}"), false);
        chatd.assert_password("carol", &format!("gone{round}"), false);
        chatd.user(&["unlock", "bob"], "").is("bob is not locked out\n", "", 0);
        chatd.user(&["unlock", "carol"], "").is("carol is not locked out\n", "", 0);
    }
    alice.nothing_but_alive();
}

#[test]
fn log_ins_go_on_while_the_file_is_read() {
    let chatd = start();
    let mut alice = chatd.log_in("alice", 1);
    let mut clients: Vec<_> = (0..8).map(|_| chatd.connect()).collect();
    for round in 0..10 {
        let more: String = (0..round + 1).map(|number| format!("more{number} x{number}\n")).collect();
        write(&chatd, format!("{CREDENTIALS}{more}").as_bytes());
        // Half of them have been challenged before, the others begin while it is read.
        let users = ["bob", "carol", "dave", "bob", "carol", "dave", "bob", "carol"];
        let (before, after) = clients.split_at_mut(4);
        let begun: Vec<_> = before.iter_mut().zip(users).map(|(client, user)| client.begin_log_in(user)).collect();
        chatd.signal("HUP");
        let ids: Vec<u64> = before
            .iter_mut()
            .zip(begun)
            .zip(users)
            .map(|((client, begun), user)| client.finish_log_in(begun, support::password(user)))
            .collect();
        for (client, id) in before.iter_mut().zip(ids) {
            let answer = client.answer(id);
            assert_eq!(answer["reply"], "logged-in", "{answer}");
        }
        for (client, user) in after.iter_mut().zip(&users[4..]) {
            let answer = client.try_password(user, support::password(user));
            assert_eq!(answer["reply"], "logged-in", "{answer}");
        }
        clients.iter_mut().for_each(|client| client.nothing_but_alive());
        clients = (0..8).map(|_| chatd.connect()).collect();
    }
    alice.nothing_but_alive();
}

#[test]
fn a_proof_of_the_old_password_is_worth_nothing_after_the_new_one_is_there() {
    let chatd = start();
    let mut bob = chatd.connect();
    let begun = bob.begin_log_in("bob");
    reload(&chatd, &CREDENTIALS.replace("builder", "baker"), "4 accounts in the file: 0 added, 1 changed, 0 removed");
    let id = bob.finish_log_in(begun, "builder");
    assert_eq!(bob.answer(id)["error"], "not-authenticated");
    assert_eq!(bob.try_password("bob", "baker")["reply"], "logged-in");
}

#[test]
fn the_file_wins_over_the_database() {
    let chatd = start();
    chatd.add("zoe", "zeppelin");
    let mut zoe = chatd.log_in_with("zoe", "zeppelin", Some(1));
    let with_zoe = format!("{CREDENTIALS}ZOE airship\n");
    reload(&chatd, &with_zoe, "5 accounts in the file: 1 added, 0 changed, 0 removed");
    zoe.is_closed_for("account");
    let answer = chatd.connect().resume("zoe", device_claim(1), zoe.token.as_ref().expect("a token"));
    assert_eq!(answer["error"], "token-refused", "{answer}");
    chatd.assert_password("zoe", "airship", true);
    chatd.assert_password("zoe", "zeppelin", false);
    let refused = chatd.user(&["passwd", "zoe"], "x\n");
    assert_eq!((refused.out.as_str(), refused.status), ("", 77), "{}", refused.error);
    assert!(chatd.user(&["list"], "").out.to_lowercase().ends_with(&row("zoe", "file", "")));
    let mut zoe = chatd.log_in_with("zoe", "airship", Some(1));
    reload(&chatd, CREDENTIALS, "4 accounts in the file: 0 added, 0 changed, 1 removed");
    zoe.is_closed_for("account");
    chatd.assert_password("zoe", "airship", false);
}

#[test]
fn who_leaves_the_file_and_gets_an_account_again_is_the_same_person() {
    let chatd = start();
    let mut bob = chatd.log_in("bob", 1);
    assert_eq!(bob.ask(json!({"request": "message", "to": "dave", "text": "it waits"}))["reach"], "queued");
    let without = CREDENTIALS.replace("dave davidson\n", "");
    reload(&chatd, &without, "3 accounts in the file: 0 added, 0 changed, 1 removed");
    assert_eq!(bob.ask(json!({"request": "message", "to": "dave", "text": "to whom?"}))["error"], "no-such-user");
    // Nobody else may take the name.
    let answer = ByTls::connect(chatd.address()).sign_up("dave", "mine");
    assert_eq!(answer["error"], "name-taken", "{answer}");
    chatd.add("dave", "again");
    let mut dave = chatd.log_in_with("dave", "again", Some(1));
    assert_eq!(dave.event("message")["text"], "it waits");
    bob.event("online");
    bob.nothing_but_alive();
}

#[test]
fn a_file_that_was_named_is_read_again_where_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("people"), "alice one\n").expect("a file");
    let chatd = Chatd::start_in(dir, &["--credentials", "people"]);
    chatd.expect_log(READ);
    let mut alice = chatd.log_in_with("alice", "one", None);
    fs::write(chatd.dir.path().join("people"), "alice two\n").expect("a file");
    chatd.signal("HUP");
    assert!(chatd.expect_log(READ).ends_with("] 1 accounts in the file: 0 added, 1 changed, 0 removed"));
    alice.is_closed_for("account");
    chatd.assert_password("alice", "two", true);
    assert!(!Path::new(&chatd.dir.path().join("credentials.txt")).exists());
}
