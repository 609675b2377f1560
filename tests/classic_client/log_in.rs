//! chat logs in by `request`.

use std::time::Duration;

use crate::existing::request_server::Settings;
use crate::scene::{ACCOUNTS, Scene, person};
use crate::support::chat::run;

/// What was said to the server, but for the port.
fn said(scene: &Scene) -> Vec<String> {
    let without_port = |chunk: String| match chunk.starts_with("newUser,") {
        true => chunk.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned(),
        false => chunk,
    };
    scene.server.chunks().into_iter().map(without_port).collect()
}

#[test]
fn whoever_is_right_is_logged_in_and_out_again() {
    let scene = Scene::new();
    scene.chat("alice", &["block", "bob"]).is("", "", 0);
    scene.server.wait_for("logout,alice");
    assert_eq!(said(&scene), ["newUser,alice,wonderland,", "ok", "block,alice,bob", "logout,alice"]);
    assert!(scene.server.online().is_empty());
    scene.is_content();
}

#[test]
fn a_name_that_is_unknown_is_77() {
    let scene = Scene::new();
    scene.chat("dave", &["online"]).is("", "chat: Invalid Username. Please try again.\n", 77);
    assert_eq!(said(&scene)[..2], ["newUser,dave,davidson,", "ok"]);
    assert!(said(&scene)[2..].iter().all(|chunk| chunk == "logout,logout"), "{:?}", said(&scene));
    scene.is_content();
}

#[test]
fn a_wrong_password_is_77_and_so_is_the_lock() {
    // Two writes that arrive as two or as one, and one that is one.
    for apart in [Some(Duration::from_millis(5)), Some(Duration::ZERO), None] {
        let scene = Scene::with(&Settings { lockout_writes_apart: apart, ..Settings::new(&ACCOUNTS) });
        let tries = |password: &str| {
            let (_person, mut command) = scene.command("alice", &["online"]);
            command.env("CHAT_PASSWORD", password);
            run(command, b"")
        };
        for _ in 0..2 {
            tries("wrong").is("", "chat: Invalid Password. Please try again.\n", 77);
        }
        let locked = tries("wrong");
        assert_eq!((locked.out.as_str(), locked.status), ("", 77));
        assert!(locked.error.contains("Invalid password. Your account has been blocked."), "{}", locked.error);
        assert!(locked.error.contains("Please try again after sometime."), "{}", locked.error);
        let still = tries("wonderland");
        assert_eq!((still.out.as_str(), still.status), ("", 77));
        assert!(
            still.error.contains("Due to multiple login failures, your account has been blocked."),
            "{}",
            still.error
        );
        scene.is_content();
        let oks = said(&scene).iter().filter(|chunk| *chunk == "ok").count();
        assert_eq!(oks, 4, "{:?}", said(&scene));
    }
}

#[test]
fn a_session_that_can_not_log_in_ends() {
    let scene = Scene::new();
    let (_person, mut command) = scene.command("alice", &[]);
    command.env("CHAT_PASSWORD", "wrong");
    run(command, b"online\n").is("", "chat: Invalid Password. Please try again.\n", 77);
    scene.is_content();
}

#[test]
fn a_password_may_hold_commas_and_comes_from_a_file_too() {
    let scene = Scene::with(&Settings::new(&[("alice", "one,two,,3"), ("bob", "builder")]));
    let alice = person(scene.server.address(), "alice");
    let file = alice.home.path().join("password");
    std::fs::write(&file, "one,two,,3\n").expect("a file");
    let words = ["--protocol", "request", "--password-file", file.to_str().expect("UTF-8"), "online"];
    let mut command = alice.command(&words);
    command.env_remove("CHAT_PASSWORD");
    run(command, b"").is("", "", 0);
    assert_eq!(said(&scene)[0], "newUser,alice,one,two,,3,");
    scene.is_content();
}

#[test]
fn where_no_server_is_it_is_69() {
    let scene = Scene::new();
    let alice = person(scene.server.address(), "alice");
    drop(scene);
    for protocol in ["request", "nick"] {
        let outcome = alice.chat(&["--protocol", protocol, "broadcast", "hi"]);
        assert_eq!((outcome.out.as_str(), outcome.status), ("", 69), "{outcome:?}");
        let outcome = alice.chat_with_input(&["--protocol", protocol], b"broadcast hi\n");
        assert_eq!((outcome.out.as_str(), outcome.status), ("", 69), "{outcome:?}");
    }
}

#[test]
fn a_protocol_that_there_is_not_is_usage() {
    let scene = Scene::new();
    let outcome = person(scene.server.address(), "alice").chat(&["--protocol", "telnet", "online"]);
    assert_eq!(outcome.status, 2, "{outcome:?}");
    assert!(scene.server.chunks().is_empty());
}
