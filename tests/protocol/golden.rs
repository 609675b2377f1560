//! Exact bytes of everything, in both directions, and what the other side makes of them.

use std::net::SocketAddr;
use std::time::Duration;

use chatd::hub::effect::{AskOver, CloseReason, Event, NoAddress, Pending, PrivacyList, Reach, Refusal, Reply};
use chatd::hub::message::{Message, Recipient, Sender};
use chatd::wire::native::client::{self, Ask, FromServer, Heard, News, Party, Problem, ReachTold, Told};
use chatd::wire::{Fingerprint, Request, RequestId, Step};

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
            let step = read(&bytes);
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
    let Step::Request { used, id, request } = read(&line) else { panic!("{:?}", read(&line)) };
    assert_eq!((used, id), (line.len(), ID));
    assert_eq!(format!("{request:?}"), r#"Message { to: Bob, text: "hi", counter: None, receipt: false }"#);
}

#[test]
fn history_brings_100_messages_unless_told_otherwise() {
    let step = read(b"{\"id\":7,\"request\":\"history\"}\n");
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
        let step = read(line(&lower, &lower).as_bytes());
        assert!(matches!(step, Step::Request { .. }), "{step:?}");
        assert_eq!(read(line(&upper, &lower).as_bytes()), step);
        assert_eq!(read(line(&lower, &upper).as_bytes()), step);
    }
}

#[test]
fn a_fingerprint_is_read_in_both_cases_and_a_no_needs_nothing_more() {
    let upper =
        format!("{{\"id\":7,\"request\":\"ask-address\",\"user\":\"bob\",\"certificate\":\"{CERTIFICATE}\"}}\n");
    let step = read(upper.as_bytes());
    assert!(matches!(step, Step::Request { .. }), "{step:?}");
    let digits = CERTIFICATE.strip_prefix("SHA256:").expect("the prefix");
    assert_eq!(read(upper.replace(digits, &digits.to_lowercase()).as_bytes()), step);
    let no = "{\"id\":7,\"request\":\"consent\",\"user\":\"bob\",\"answer\":false,\"port\":[],\"certificate\":5}\n";
    let Step::Request { request, .. } = read(no.as_bytes()) else { panic!("{:?}", read(no.as_bytes())) };
    assert_eq!(request, Request::Consent { user: name("bob"), offer: None });
}

#[test]
fn no_address_is_in_what_is_printed_of_an_effect() {
    let told = events().into_iter().map(|(event, line)| (format!("{event:?}"), line));
    let told = told.chain(replies().into_iter().map(|(reply, line)| (format!("{reply:?}"), line.to_owned())));
    let told: Vec<_> = told.filter(|(_, line)| line.contains("\"address\":")).collect();
    assert_eq!(told.len(), 2);
    for (printed, _) in told {
        assert!(!["192.0.2", "2001:db8", "192, 0", "2001"].iter().any(|secret| printed.contains(secret)), "{printed}");
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
        assert!(matches!(read(&bytes), Step::Request { id: None, .. }));
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
        let retry_after = match refusal {
            Refusal::TooFast { retry_after } => Some(retry_after),
            _ => None,
        };
        let after = retry_after.map(|time| format!(",\"retry-after\":{}", time.as_millis())).unwrap_or_default();
        let bytes = answer_bytes(Some(7), &Err(refusal));
        assert_eq!(bytes, format!("{{\"id\":7,\"error\":\"{code}\"{after},\"text\":\"{text}\"}}\n"));
        let problem = Problem { code: code.to_owned(), text: text.to_owned(), retry_after };
        assert_eq!(heard(&bytes), FromServer::Answer { id: ID, answer: Err(problem) });
    }
}

#[test]
fn each_farewell_has_its_code_and_text_and_no_id() {
    for (farewell, code, text) in farewells() {
        let bytes = farewell_bytes(farewell);
        assert_eq!(bytes, format!("{{\"error\":\"{code}\",\"text\":\"{text}\"}}\n"));
        let problem = Problem { code: code.to_owned(), text: text.to_owned(), retry_after: None };
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
        "{\"id\":7,\"reply\":\"users\",\"accounts\":[{\"name\":\"b b\",\"in-file\":true,\"classic\":true,\"hashed\":true,\"online\":true,\"locked\":true}]}\n",
        "{\"id\":7,\"reply\":\"user-kicked\",\"user\":\"bob\"}\n",
        "{\"id\":7,\"reply\":\"signed-up\"}\n",
        "{\"id\":7,\"reply\":\"asked\",\"user\":\"bob\"}\n",
        "{\"id\":7,\"reply\":\"privacy\",\"blocked\":[],\"consents\":[],\"asking\":[]}\n",
        "{\"id\":7,\"reply\":\"privacy\",\"blocked\":[],\"consents\":[{\"user\":\"bob\"}],\"asked-by\":[],\"asking\":[]}\n",
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

/// A client connects to what is told here: nothing that is doubtful may pass.
#[test]
fn a_client_takes_no_address_that_it_could_not_come_to() {
    let good = format!(
        "{{\"event\":\"address\",\"user\":\"bob\",\"address\":\"192.0.2.7\",\"port\":6002,\"certificate\":\"{CERTIFICATE}\",\"seconds\":600}}\n"
    );
    assert!(matches!(heard(&good), FromServer::News(News::Address { .. })));
    for (part, bad) in [
        ("\"port\":6002", "\"port\":1023"),
        ("\"port\":6002", "\"port\":0"),
        ("\"port\":6002", "\"port\":65536"),
        ("\"port\":6002", "\"port\":-1"),
        ("\"port\":6002", "\"port\":\"6002\""),
        ("\"port\":6002,", ""),
        ("192.0.2.7", "192.0.2.7:22"),
        ("192.0.2.7", "[2001:db8::7]"),
        ("192.0.2.7", "bob.example"),
        ("192.0.2.7", "192.0.2.07"),
        ("192.0.2.7", ""),
        ("SHA256:00", "SHA256:0"),
        ("SHA256:00", "MD5:00"),
        (":1F", ""),
        (":1F", ":1F:20"),
        ("\"bob\"", "\"b b\""),
        ("\"seconds\":600", "\"seconds\":-1"),
        (",\"seconds\":600", ""),
    ] {
        let line = good.replace(part, bad);
        assert_ne!(line, good);
        assert_eq!(client::decode(line.as_bytes()), client::Hear::NotUnderstood, "{line}");
    }
}

/// What a client is to hear in a reply.
pub fn told(reply: &Reply) -> Told {
    match reply.clone() {
        Reply::Challenge { message, hashed } => Told::Challenge { message, hashed },
        Reply::LoggedIn { message, user, heartbeat_timeout, log, counter, waiting } => {
            Told::LoggedIn { message, user, heartbeat_timeout, log, counter, waiting: waiting as u64 }
        }
        Reply::Welcome { .. } => panic!("it answers a log-in of another protocol"),
        Reply::ChatStarted { id, peer } => Told::ChatStarted { id, user: peer },
        Reply::ChatEnded { id, peer } => Told::ChatEnded { id, user: peer },
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
                Reach::Online | Reach::Nobody => ReachTold::Online,
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
        Reply::Asked { user, answer_within } => Told::Asked { user, answer_within: in_seconds(answer_within) },
        Reply::Consented { user, address, certificate, connect_within } => Told::Consented {
            user,
            address: address.disclose(),
            certificate: shown(certificate),
            connect_within: in_seconds(connect_within),
        },
        Reply::Declined(user) => Told::Declined { user },
        Reply::Revoked(user) => Told::Revoked { user },
        Reply::Privacy(list) => {
            let pending = |pending: Pending| Pending { left: in_seconds(pending.left), ..pending };
            Told::Privacy(PrivacyList {
                blocked: list.blocked,
                consents: list.consents.into_iter().map(pending).collect(),
                asked_by: list.asked_by.map(pending),
                asking: list.asking.into_iter().map(pending).collect(),
            })
        }
        Reply::History(page) => Told::History {
            messages: page.messages.iter().map(|message| told_message(message, false)).collect(),
            more: page.more,
            continues: false,
        },
    }
}

/// Whoever has no certificate is not told of natively.
fn shown(certificate: Option<Fingerprint>) -> Fingerprint {
    certificate.expect("a certificate")
}

/// What a client is to hear in an event.
pub fn news(event: &Event) -> News {
    match event.clone() {
        Event::Message(message) => News::Message(told_message(&message, true)),
        Event::Online(user) => News::Online { user },
        Event::Offline(user) => News::Offline { user },
        Event::Delivered { number, to, .. } => News::Delivered { number, to },
        Event::ChatStarted { id, peer } => News::ChatStarted { id, user: peer },
        Event::ChatEnded { id, peer } => News::ChatEnded { id, user: peer },
        Event::Token => News::Token,
        Event::Missed { count } => News::Missed { count },
        Event::Asks { user, certificate, answer_within } => {
            News::Asks { user, certificate: shown(certificate), answer_within: in_seconds(answer_within) }
        }
        Event::AskOver { user, why } => {
            let reason = match why {
                AskOver::Answered => "answered",
                AskOver::Expired => "expired",
                AskOver::Withdrawn => "withdrawn",
                AskOver::Blocked => "blocked",
                AskOver::NotStored => "not-stored",
                AskOver::Revoked => "revoked",
            };
            News::AskOver { user, reason: reason.to_owned() }
        }
        Event::Address { user, address, port, certificate, connect_within } => News::Address {
            user,
            address: SocketAddr::new(address.disclose(), port.get()),
            certificate: shown(certificate),
            connect_within: in_seconds(connect_within),
        },
        Event::NoAddress { user, why } => {
            let reason = match why {
                NoAddress::Declined => "no",
                NoAddress::Expired => "expired",
                NoAddress::Offline => "offline",
                NoAddress::Withdrawn => "withdrawn",
                NoAddress::NotStored => "not-stored",
            };
            News::NoAddress { user, reason: reason.to_owned() }
        }
        Event::Revoked(user) => News::Revoked { user },
        Event::Closing(reason) => {
            let (reason, text) = match reason {
                CloseReason::Displaced => ("displaced", "this device has logged in again elsewhere"),
                CloseReason::Shutdown => ("shutdown", "the server stops"),
                CloseReason::HeartbeatMissed => ("heartbeat", "the server has heard nothing for too long"),
                CloseReason::AccountChanged => ("account", "the account or its password was changed; log in again"),
                CloseReason::Kicked => ("kicked", "the operator has ended this session"),
                CloseReason::LogInsFailed => {
                    ("failures", "too many log-ins have failed on this connection: connect again for another try")
                }
            };
            News::Closing { reason: reason.to_owned(), text: text.to_owned() }
        }
    }
}

/// As it is told: in whole seconds, rounded up.
fn in_seconds(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs() + u64::from(span.subsec_nanos() > 0))
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
