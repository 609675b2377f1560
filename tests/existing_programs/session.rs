//! `session`: the client with the server, everything that their tables have.

use std::time::Duration;

use super::existing::session_client::{LogOn, Refusal, SessionClient};
use super::existing::session_server::{SessionServer, Settings};
use super::existing::{End, Fault};

const ACCOUNTS: [(&str, &str); 5] =
    [("clientA", "100"), ("clientB", "200"), ("clientC", "300"), ("clientD", "400"), ("alice", "wonderland")];
const NO_CHAT: &str = "Start a chat first.";

fn server() -> SessionServer {
    SessionServer::start(&ACCOUNTS)
}

/// One of the four whose names are as long as the server takes all names to be.
fn client(server: &SessionServer, letter: char) -> SessionClient {
    let user = format!("client{letter}");
    let (_, secret) = ACCOUNTS.iter().find(|(is, _)| *is == user).expect("an account");
    SessionClient::connected(server.address(), &user, secret)
}

/// Two who talk: each has confirmed it, and the server knows.
fn pair(server: &SessionServer, caller: char, called: char) -> (SessionClient, SessionClient) {
    let (caller, called) = (client(server, caller), client(server, called));
    start_chat(server, &caller, &called);
    (caller, called)
}

fn start_chat(server: &SessionServer, caller: &SessionClient, called: &SessionClient) {
    caller.request_chat(called.user());
    let chat = caller.expect_chat_with(called.user());
    assert_eq!(called.expect_chat_with(caller.user()).id, chat.id);
    caller.press_enter();
    called.press_enter();
    server.wait_for(&format!("CHAT_CHECK({},  {})", chat.id, called.user()));
    server.wait_for(&format!("CHAT_CHECK({},  {})", chat.id, caller.user()));
}

/// Ends a chat, and has the other side confirm it.
fn end_chat(server: &SessionServer, by: &SessionClient, other: &SessionClient) {
    let id = by.chat().expect("a chat").id;
    by.end_chat();
    other.expect(&format!("END_NOTIF({id})"));
    other.press_enter();
    server.wait_for(&format!("END_CHECK({id})"));
}

#[test]
fn the_right_answer_to_the_challenge_opens_a_session() {
    let server = server();
    let client_a = client(&server, 'A');
    server.expect("HELLO(clientA)");
    let response = server.next().text;
    let res = response.strip_prefix("RESPONSE(clientA, ").and_then(|rest| rest.strip_suffix(')'));
    assert!(res.is_some_and(|res| res.len() == 64), "{response}");
    let connect = server.next().text;
    let rand = connect.strip_prefix("CONNECT(").and_then(|rest| rest.strip_suffix(')'));
    assert!(rand.is_some_and(|rand| rand.len() == 10 && !rand.starts_with('0')), "{connect}");
    assert_eq!(server.online(), ["clientA"]);
    client_a.expect_nothing_else();
    assert_eq!(server.faults(), []);
}

#[test]
fn who_is_not_on_the_list_or_has_another_secret_is_refused() {
    let server = server();
    let refusal = |user, secret| SessionClient::log_on(server.address(), user, secret).err();
    assert_eq!(refusal("clientX", "100"), Some(Refusal::NotOnList));
    assert_eq!(refusal("clientA", "101"), Some(Refusal::AuthFail));
    assert!(server.online().is_empty());
}

#[test]
fn a_name_that_has_not_seven_letters_never_has_the_right_answer() {
    let refusal = SessionClient::log_on(server().address(), "alice", "wonderland").err();
    assert_eq!(refusal, Some(Refusal::AuthFail));
}

#[test]
fn an_answer_that_is_sent_again_is_answered_again_and_counts_once() {
    let server = server();
    let log_on = LogOn::open(server.address(), "clientA", "100");
    let rand = log_on.hello().expect("a challenge");
    log_on.send_response(&rand);
    let port = log_on.respond(&rand).expect("a port");
    assert_eq!(log_on.receive_port(&rand), Ok(port));
    let client_a = log_on.connect(&rand, port).expect("a session");
    client_a.expect("CONNECTED\n");
    assert_eq!(log_on.respond(&rand), Ok(port));
    client_a.expect_nothing_else();
    assert_eq!(server.online(), ["clientA"]);
}

#[test]
fn a_log_on_goes_on_where_a_datagram_was_lost() {
    let server = server();
    let log_on = LogOn::open(server.address(), "clientA", "100");
    server.losses().lose_next(1);
    log_on.send("HELLO(clientA)");
    assert_eq!(server.losses().next(), b"HELLO(clientA)");
    let rand = log_on.hello().expect("a challenge");
    server.lost_answers().lose_next(1);
    log_on.send_response(&rand);
    server.lost_answers().next();
    let port = log_on.respond(&rand).expect("a port");
    log_on.connect(&rand, port).expect("a session").expect("CONNECTED\n");
}

#[test]
fn a_server_that_listens_late_is_there_in_a_while() {
    let late = Duration::from_secs(2);
    let server = SessionServer::start_with(&Settings { listens_after: Some(late), ..Settings::new(&ACCOUNTS) });
    let log_on = LogOn::open(server.address(), "clientA", "100");
    let rand = log_on.hello().expect("a challenge");
    let port = log_on.respond(&rand).expect("a port");
    assert_eq!(log_on.connect(&rand, port).err(), Some(Refusal::Ended(End::NobodyListens)));
    let client_a = loop {
        match log_on.connect(&rand, port) {
            Ok(client) => break client,
            Err(refusal) => assert_eq!(refusal, Refusal::Ended(End::NobodyListens)),
        }
    };
    client_a.expect("CONNECTED\n");
}

#[test]
fn a_server_that_ends_before_it_has_listened_ends() {
    let late = Some(Duration::from_secs(3600));
    let server = SessionServer::start_with(&Settings { listens_after: late, ..Settings::new(&ACCOUNTS) });
    let log_on = LogOn::open(server.address(), "clientA", "100");
    let rand = log_on.hello().expect("a challenge");
    log_on.respond(&rand).expect("a port");
    drop(server);
}

#[test]
fn two_pairs_talk_at_once() {
    let server = server();
    let (client_a, client_b) = pair(&server, 'A', 'B');
    let (client_c, client_d) = pair(&server, 'C', 'D');
    client_a.say("hi, B");
    client_c.say("h\u{e9}llo w\u{f6}rld \u{2014} \u{2713} \u{1f389}");
    client_b.expect("clientA: hi, B");
    client_d.expect("clientC: h\u{e9}llo w\u{f6}rld \u{2014} \u{2713} \u{1f389}");
    client_b.say("hi, A");
    client_a.expect("clientB: hi, A");
    for client in [&client_a, &client_b, &client_c, &client_d] {
        client.expect_nothing_else();
    }
    assert_eq!(server.faults(), []);
}

#[test]
fn a_chat_ends_for_both_once_the_other_side_has_confirmed_it() {
    let server = server();
    let (client_a, client_b) = pair(&server, 'A', 'B');
    let id = client_a.chat().expect("a chat").id;
    client_a.end_chat();
    server.wait_for(&format!("END_REQUEST({id})"));
    client_b.expect(&format!("END_NOTIF({id})"));
    assert_eq!((client_a.chat(), client_b.chat()), (None, None));

    let client_c = client(&server, 'C');
    client_c.request_chat("clientB");
    client_c.expect("UNREACHABLE(clientB)");
    assert_eq!(server.engaged(), ["clientB"]);
    client_b.press_enter();
    server.wait_for(&format!("END_CHECK({id})"));
    client_c.request_chat("clientB");
    client_c.expect_chat_with("clientB");
    client_b.expect_chat_with("clientC");
    assert_eq!(server.engaged(), ["clientB", "clientC"]);
    assert_eq!(server.faults(), []);
}

#[test]
fn who_is_away_engaged_or_oneself_is_unreachable() {
    let server = server();
    let (client_a, _client_b) = pair(&server, 'A', 'B');
    let client_c = client(&server, 'C');
    for other in ["clientA", "clientB", "clientC", "clientD", "nobody"] {
        client_c.request_chat(other);
        client_c.expect(&format!("UNREACHABLE({other})"));
    }
    client_a.request_chat("clientC");
    client_a.expect("UNREACHABLE(clientC)");
    assert_eq!(server.engaged(), ["clientA", "clientB"]);
}

#[test]
fn what_the_called_side_says_before_it_confirms_is_lost() {
    let server = server();
    let (client_a, client_b) = (client(&server, 'A'), client(&server, 'B'));
    client_a.request_chat("clientB");
    let chat = client_a.expect_chat_with("clientB");
    client_a.press_enter();
    server.wait_for(&format!("CHAT_CHECK({},  clientB)", chat.id));
    client_b.expect_chat_with("clientA");
    client_b.send(&["too early"]);
    assert_eq!(server.next_fault(), Fault::BeforeCheck("too early".to_owned()));
    client_a.say("asking");
    client_b.expect("clientA: asking");
    client_b.press_enter();
    server.wait_for(&format!("CHAT_CHECK({},  clientA)", chat.id));
    client_b.expect_nothing_else();
    client_b.say("now");
    client_a.expect("clientB: now");
}

#[test]
fn who_was_told_that_somebody_is_not_there_confirms_no_chat_any_more() {
    let server = server();
    let (client_a, client_b) = (client(&server, 'A'), client(&server, 'B'));
    client_b.request_chat("nobody");
    client_b.expect("UNREACHABLE(nobody)");
    client_a.request_chat("clientB");
    client_b.expect_chat_with("clientA");
    client_b.press_enter();
    client_b.say("hi");
    assert_eq!(server.next_fault(), Fault::BeforeCheck("hi".to_owned()));
    assert!(!server.chunks().iter().any(|chunk| chunk.contains("CHAT_CHECK")));
}

#[test]
fn a_text_instead_of_enter_is_one_with_what_confirms_the_chat() {
    let server = server();
    let (client_a, client_b) = (client(&server, 'A'), client(&server, 'B'));
    client_a.request_chat("clientB");
    client_b.expect_chat_with("clientA");
    client_b.say("hi");
    let Fault::Rubbish(rubbish) = server.next_fault() else { panic!("nothing wrong with two messages in one") };
    assert!(rubbish.starts_with("hi") && !rubbish.contains("CHAT_CHECK"), "{rubbish:?}");
    assert_eq!(server.next_fault(), Fault::BeforeCheck(rubbish));
}

#[test]
fn ending_no_chat_is_nothing() {
    let server = server();
    let client_a = client(&server, 'A');
    client_a.end_chat();
    server.wait_for("END_REQUEST(None)");
    client_a.expect_nothing_else();
    assert_eq!(server.faults(), []);
}

#[test]
fn history_is_what_both_ever_said_to_each_other() {
    let server = server();
    let (client_a, client_b) = pair(&server, 'A', 'B');
    let first = client_a.chat().expect("a chat").id;
    client_a.say("one");
    client_b.expect("clientA: one");
    client_b.say("two");
    client_a.expect("clientB: two");
    let said = format!("<{first}> clientA: one\n<{first}> clientB: two\n");
    client_b.ask_for_history("clientA");
    client_b.expect(&said);

    end_chat(&server, &client_b, &client_a);
    start_chat(&server, &client_b, &client_a);
    let second = client_a.chat().expect("a chat").id;
    client_a.say("three");
    client_b.expect("clientA: three");
    end_chat(&server, &client_a, &client_b);
    client_a.ask_for_history("clientB");
    client_a.expect(&format!("{said}<{second}> clientA: three\n"));
    for other in ["clientA", "clientC", "nobody"] {
        client_a.ask_for_history(other);
        client_a.expect("There is no history.");
    }
    assert_eq!(server.faults(), []);
}

#[test]
fn a_long_history_comes_in_parts() {
    let server = server();
    let (client_a, client_b) = pair(&server, 'A', 'B');
    let id = client_a.chat().expect("a chat").id;
    let text = "x".repeat(500);
    for _ in 0..3 {
        client_a.say(&text);
        client_b.expect(&format!("clientA: {text}"));
    }
    client_b.ask_for_history("clientA");
    let line = format!("<{id}> clientA: {text}\n");
    [&line, &line, &line].iter().for_each(|line| client_b.expect(line));
}

#[test]
fn a_text_outside_a_chat_goes_to_nobody() {
    let server = server();
    let (client_a, client_b) = (client(&server, 'A'), client(&server, 'B'));
    client_a.say("anybody?");
    client_a.expect(NO_CHAT);
    client_b.expect_nothing_else();
}

#[test]
fn one_logs_off_in_any_spelling() {
    let server = server();
    for spelling in ["log off", "LOG OFF", " Log oFF \n"] {
        let client_a = client(&server, 'A');
        client_a.log_off(spelling);
        assert_eq!(client_a.expect_end(), End::LoggedOff);
    }
    assert!(server.online().is_empty());
}

#[test]
fn the_peer_of_one_who_leaves_is_told() {
    let server = server();
    let (client_a, client_b) = pair(&server, 'A', 'B');
    let id = client_a.chat().expect("a chat").id;
    drop(client_a);
    client_b.expect(&format!("END_NOTIF({id})"));
    client_b.press_enter();
    server.wait_for(&format!("END_CHECK({id})"));
    client_b.expect_nothing_else();
    assert_eq!(server.online(), ["clientB"]);
}

#[test]
fn a_second_session_of_a_user_ends_the_first() {
    let server = server();
    let (first, client_b) = pair(&server, 'A', 'B');
    let id = first.chat().expect("a chat").id;
    let _second = client(&server, 'A');
    client_b.expect(&format!("END_NOTIF({id})"));
    assert_eq!(first.expect_end(), End::SpunOnEndOfFile);
    assert_eq!(server.online(), ["clientA", "clientB"]);
}

#[test]
fn a_server_that_has_gone_leaves_its_clients_spinning() {
    let server = server();
    let client_a = client(&server, 'A');
    drop(server);
    assert_eq!(client_a.expect_end(), End::SpunOnEndOfFile);
}
