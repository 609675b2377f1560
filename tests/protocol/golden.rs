//! Exact bytes of everything, in both directions, and what the other side makes of them.

use chatd::hub::effect::{CloseReason, Event, Reach, Reply};
use chatd::hub::message::{Message, Recipient, Sender};
use chatd::wire::native::client::{self, Ask, FromServer, Heard, News, Party, Problem, ReachTold, Told};
use chatd::wire::{RequestId, Step};

use super::samples::*;

const ID: Option<RequestId> = Some(RequestId(7));

#[test]
fn each_request_has_its_bytes_and_becomes_what_was_meant() {
    for (line, ask, request) in requests() {
        let mut bytes = Vec::new();
        client::encode(ID, &ask, &mut bytes);
        // A client may escape what need not be; ours does not.
        assert_eq!(String::from_utf8_lossy(&bytes), format!("{}\n", line.replace("\\u2028", "\u{2028}")));
        for bytes in [bytes, format!("{line}\n").into_bytes(), format!("\t{line} \r\n").into_bytes()] {
            let step = NATIVE.decode(&bytes);
            let expected = Step::Request { used: bytes.len(), id: ID, request: request.clone() };
            assert_eq!(step, expected);
            assert_eq!(exactly(&step), exactly(&expected));
        }
    }
}

#[test]
fn the_order_of_fields_nulls_and_unknown_fields_count_for_nothing() {
    let line = br#" { "text" : "hi", "future": [{"a": [1e999, "\ud800"]}], "counter": null, "user": 5, "receipt":null,
"#;
    let line = [&line[..line.len() - 1], br#""\u0074o": "\u0042ob", "request": "message", "id": 7 }"#, b"\n"].concat();
    let Step::Request { used, id, request } = NATIVE.decode(&line) else { panic!("{:?}", NATIVE.decode(&line)) };
    assert_eq!((used, id), (line.len(), ID));
    assert_eq!(format!("{request:?}"), r#"Message { to: Bob, text: "hi", counter: None, receipt: false }"#);
}

#[test]
fn history_brings_100_messages_unless_told_otherwise() {
    let step = NATIVE.decode(b"{\"id\":7,\"request\":\"history\"}\n");
    let Step::Request { request, .. } = step else { panic!("{step:?}") };
    assert_eq!(format!("{request:?}"), "History { with: None, before: None, limit: 100 }");
}

#[test]
fn hexadecimal_digits_are_read_in_both_cases() {
    let (lower, upper) = ("0123456789abcdef".repeat(4), "0123456789ABCDEF".repeat(4));
    for request in ["sign-up", "password"] {
        let line = |a: &str, b: &str| {
            format!("{{\"id\":7,\"request\":\"{request}\",\"stored-key\":\"{a}\",\"server-key\":\"{b}\"}}\n")
        };
        let step = NATIVE.decode(line(&lower, &lower).as_bytes());
        assert!(matches!(step, Step::Request { .. }), "{step:?}");
        assert_eq!(NATIVE.decode(line(&upper, &lower).as_bytes()), step);
        assert_eq!(NATIVE.decode(line(&lower, &upper).as_bytes()), step);
    }
}

#[test]
fn no_password_and_no_key_is_in_what_is_printed_of_a_request() {
    let mut with_secrets = requests();
    with_secrets.retain(|(line, ..)| line.contains("\"password\":") || line.contains("-key\":"));
    assert!(with_secrets.len() > 5);
    for (_, ask, request) in with_secrets {
        for printed in [format!("{ask:?}"), format!("{request:?}")] {
            assert!(!["two words", "😀", "1, 2", "0102"].iter().any(|secret| printed.contains(secret)), "{printed}");
        }
    }
}

#[test]
fn acknowledge_and_alive_may_go_without_an_id_and_then_without_an_answer() {
    for (ask, reply) in [(Ask::Alive, Reply::Alive), (Ask::Acknowledge { number: N5 }, Reply::Acknowledged)] {
        let mut bytes = Vec::new();
        client::encode(None, &ask, &mut bytes);
        assert!(matches!(NATIVE.decode(&bytes), Step::Request { id: None, .. }));
        assert_eq!(answer_bytes(None, &Ok(reply)), "");
    }
}

const N5: chatd::wire::Number = chatd::wire::Number(5);

#[test]
fn each_reply_has_its_bytes_and_the_client_understands_it() {
    for (reply, line) in replies() {
        let bytes = answer_bytes(Some(7), &Ok(reply.clone()));
        assert_eq!(bytes, format!("{line}\n"));
        assert_eq!(heard(&bytes), FromServer::Answer { id: ID, answer: Ok(told(&reply)) });
    }
}

#[test]
fn each_refusal_has_its_code_and_text() {
    for (refusal, code, text) in refusals() {
        let bytes = answer_bytes(Some(7), &Err(refusal));
        assert_eq!(bytes, format!("{{\"id\":7,\"error\":\"{code}\",\"text\":\"{text}\"}}\n"));
        let problem = Problem { code: code.to_owned(), text: text.to_owned() };
        assert_eq!(heard(&bytes), FromServer::Answer { id: ID, answer: Err(problem) });
    }
}

#[test]
fn each_farewell_has_its_code_and_text_and_no_id() {
    for (farewell, code, text) in farewells() {
        let bytes = farewell_bytes(farewell);
        assert_eq!(bytes, format!("{{\"error\":\"{code}\",\"text\":\"{text}\"}}\n"));
        let problem = Problem { code: code.to_owned(), text: text.to_owned() };
        assert_eq!(heard(&bytes), FromServer::Answer { id: None, answer: Err(problem) });
    }
}

#[test]
fn each_event_has_its_bytes_and_the_client_understands_it() {
    for (event, line) in events() {
        let bytes = event_bytes(&event);
        assert_eq!(bytes, format!("{line}\n"));
        assert_eq!(heard(&bytes), FromServer::News(news(&event)));
    }
}

#[test]
fn a_client_leaves_out_what_a_newer_server_tells() {
    for fields in ["\"text\":5", "\"id\":-1,\"users\":\"all\"", "\"messages\":{}"] {
        assert_eq!(heard(&format!("{{\"event\":\"weather\",{fields}}}\n")), FromServer::News(News::Unknown));
    }
    for known in [
        "{\"event\":\"missed\",\"count\":\"2\"}\n",
        "{\"event\":\"missed\"}\n",
        "[null,null,null,\"x\"]\n",
        "[]\n",
        "{\"id\":7,\"reply\":\"users\"}\n",
        "{\"id\":7,\"reply\":\"users\",\"accounts\":[{\"name\":\"bob\"}]}\n",
        "{\"id\":7,\"reply\":\"users\",\"accounts\":[{\"name\":\"b b\",\"in-file\":true,\"classic\":true,\"online\":true,\"locked\":true}]}\n",
        "{\"id\":7,\"reply\":\"user-kicked\",\"user\":\"bob\"}\n",
        "{\"id\":7,\"reply\":\"signed-up\"}\n",
        "{\"id\":7,\"reply\":\"status\"}\n",
        "{\"id\":7,\"reply\":\"status\",\"counts\":{\"connections\":1}}\n",
    ] {
        assert_eq!(client::decode(known.as_bytes()), client::Hear::NotUnderstood, "{known}");
    }
    assert_eq!(heard("{\"event\":\"weather\",\"wind\":{\"n\":[5]}}\n"), FromServer::News(News::Unknown));
    assert_eq!(
        heard("{\"event\":\"online\",\"user\":\"bob\",\"since\":[]}\n"),
        FromServer::News(News::Online { user: name("bob") })
    );
}

/// What a client is to hear in a reply.
pub fn told(reply: &Reply) -> Told {
    match reply.clone() {
        Reply::Challenge { message } => Told::Challenge { message },
        Reply::LoggedIn { message, user, heartbeat_timeout, log, counter, waiting } => {
            Told::LoggedIn { message, user, heartbeat_timeout, log, counter, waiting: waiting as u64 }
        }
        Reply::LoggedOut => Told::LoggedOut,
        Reply::SignedUp(user) => Told::SignedUp { user },
        Reply::PasswordChanged(user) => Told::PasswordChanged { user },
        Reply::UserAdded(user) => Told::UserAdded { user },
        Reply::UserRemoved(user) => Told::UserRemoved { user },
        Reply::Users(accounts) => Told::Users { accounts, continues: false },
        Reply::Unlocked(user) => Told::UserUnlocked { user },
        Reply::Kicked { user, sessions } => Told::UserKicked { user, sessions: sessions as u64 },
        Reply::Status(status) => Told::Status(status),
        Reply::Accepted { number, reach } => {
            let reach = match reach {
                Reach::Online => ReachTold::Online,
                Reach::Queued => ReachTold::Queued,
                Reach::Partial => ReachTold::Partial,
            };
            Told::Accepted { number, reach }
        }
        Reply::Acknowledged => Told::Acknowledged,
        Reply::Alive => Told::Alive,
        Reply::Online(users) => Told::Online { users, continues: false },
        Reply::Blocked(user) => Told::Blocked { user },
        Reply::Unblocked(user) => Told::Unblocked { user },
        Reply::BlockList(users) => Told::BlockList { users, continues: false },
        Reply::History(page) => Told::History {
            messages: page.messages.iter().map(|message| told_message(message, false)).collect(),
            more: page.more,
            continues: false,
        },
    }
}

/// What a client is to hear in an event.
pub fn news(event: &Event) -> News {
    match event.clone() {
        Event::Message(message) => News::Message(told_message(&message, true)),
        Event::Online(user) => News::Online { user },
        Event::Offline(user) => News::Offline { user },
        Event::Delivered { number, to } => News::Delivered { number, to },
        Event::Token => News::Token,
        Event::Missed { count } => News::Missed { count },
        Event::Closing(reason) => {
            let (reason, text) = match reason {
                CloseReason::Displaced => ("displaced", "this device has logged in again elsewhere"),
                CloseReason::Shutdown => ("shutdown", "the server stops"),
                CloseReason::HeartbeatMissed => ("heartbeat", "the server has heard nothing for too long"),
                CloseReason::AccountChanged => ("account", "the account or its password was changed; log in again"),
                CloseReason::Kicked => ("kicked", "the operator has ended this session"),
            };
            News::Closing { reason: reason.to_owned(), text: text.to_owned() }
        }
    }
}

pub fn told_message(message: &Message, as_event: bool) -> Heard {
    Heard {
        number: message.number,
        time: message.time.as_millis(),
        from: match &message.from {
            Sender::User(_, name) => Party::User(name.clone()),
            Sender::Server => Party::Server,
        },
        to: match &message.to {
            Recipient::User(..) if as_event => Party::You,
            Recipient::User(_, name) => Party::User(name.clone()),
            Recipient::Everyone => Party::Everyone,
        },
        text: message.text.as_str().to_owned(),
    }
}
