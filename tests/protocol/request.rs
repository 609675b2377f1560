//! The `request` protocol (protocols.md, section 1): each request, and each delivery. The log-in is in request_log_in.rs.

use chatd::hub::effect::{Answer, CloseReason, Event, NoAddress, Reach, Refusal, Reply};
use chatd::hub::input::Offer;
use chatd::wire::recognise::{Openings, Recognition, recognise};
use chatd::wire::request::{DELIVERY_BYTES_MAX, READ_BYTES_MAX, REQUEST_BYTES_MAX};
use chatd::wire::{
    Conversation, Dialect, Lull, Number, Pieces, Protocol, Request, RequestId, Step, TEXT_BYTES_MAX, TextError,
    UserName,
};

use super::samples::*;
use super::unframed::{Client, Piece, answered, control, last, line, told};

const HERE: Openings<'_> =
    Openings { native: true, request: true, nick: true, prompted: false, tls: true, expected: None };

/// What becomes of a whole connection.
fn posted(bytes: &[u8]) -> Step {
    assert_eq!(recognise(bytes, false, &HERE), Recognition::This(Protocol::Request), "{bytes:?}");
    let mut client = Client::new(Protocol::Request, bytes, false);
    assert!(matches!(client.conversation, Conversation::Post));
    let mut steps = client.say_and_close(bytes);
    assert_eq!(steps.len(), 1, "{bytes:?}: {steps:?}");
    steps.remove(0)
}

fn read(bytes: &[u8]) -> (UserName, RequestId, Request) {
    match posted(bytes) {
        Step::Posted { used, user, id: Some(id), request } if used == bytes.len() => (user, id, request),
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(bytes)),
    }
}

fn id_of(chunk: &str) -> RequestId {
    read(chunk.as_bytes()).1
}

const VIOLATION: Step = Step::Violation { reply: Vec::new() };

/// Each request of alice's, and what the hub gets.
pub fn requests() -> Vec<(&'static str, Request)> {
    let message = |to, body| Request::Message { to: name(to), text: text(body), counter: None, receipt: false };
    let broadcast = |body| Request::Broadcast { text: text(body), counter: None };
    let consent = |user, offer| Request::Consent { user: name(user), offer };
    vec![
        ("forward,alice,Bob,hi", message("Bob", "hi")),
        ("forward,alice,Bob,one, two,,three,", message("Bob", "one, two,,three,")),
        ("forward,alice,Bob, \n\tline é😀", message("Bob", " \n\tline é😀")),
        ("forward,alice,Bob,one\n    two\n\n        three", message("Bob", "one\ntwo\n\n    three")),
        ("broadcast,alice,hi", broadcast("hi")),
        ("broadcast,alice,Bob,hi, all", broadcast("Bob,hi, all")),
        ("online,alice", Request::Online),
        ("block,alice,Bob", Request::Block(name("Bob"))),
        ("unblock,alice,Bob", Request::Unblock(name("Bob"))),
        ("getaddress,alice,Bob", Request::AskAddress { user: name("Bob"), certificate: None }),
        ("private_answer,alice,Bob,yes", consent("Bob", Some(Offer::WhereCalled))),
        ("private_answer,alice,Bob,no", consent("Bob", None)),
        ("private_answer,alice,Bob,", consent("Bob", None)),
        ("private_answer,alice,Bob,YES", consent("Bob", None)),
        ("private_answer,alice,Bob,yes ", consent("Bob", None)),
        ("private_answer,alice,Bob,yes,yes", consent("Bob", None)),
        ("alive,alice", Request::Alive),
        ("logout,alice", Request::LogOut),
    ]
}

#[test]
fn each_request_becomes_what_was_meant_with_a_newline_or_without() {
    for (chunk, request) in requests() {
        for end in ["", "\n", "\r\n"] {
            let (user, _, read) = read(format!("{chunk}{end}").as_bytes());
            assert_eq!(format!("{user} {read:?}"), format!("alice {request:?}"), "{chunk}");
        }
    }
}

#[test]
fn only_the_end_of_the_stream_ends_a_request() {
    for (chunk, request) in requests() {
        let mut client = Client::new(Protocol::Request, chunk.as_bytes(), false);
        for byte in chunk.as_bytes() {
            assert_eq!(client.say(&[*byte]), [], "{chunk}");
        }
        let steps = client.say_and_close(b"\n");
        assert!(matches!(&steps[..], [Step::Posted { request: read, .. }] if *read == request), "{steps:?}");
    }
}

#[test]
fn a_client_that_never_logged_in_logs_nobody_out() {
    for chunk in ["logout,logout", "logout,logout\n"] {
        assert_eq!(posted(chunk.as_bytes()), Step::Refused { used: chunk.len(), reply: vec![] });
    }
}

#[test]
fn what_is_no_text_is_replaced() {
    for (said, heard) in [
        (&b"a\0b\x1b[1mc\x7f"[..], "a\u{fffd}b\u{fffd}[1mc\u{fffd}"),
        (b"caf\xe9", "caf\u{fffd}"),
        ("next\u{85}line".as_bytes(), "next\u{fffd}line"),
        (b"two\r\nlines", "two\u{fffd}\nlines"),
        (b"one is framing\n\n", "one is framing\n"),
        (b"half of one\r", "half of one\u{fffd}"),
    ] {
        let expected = Request::Broadcast { text: text(heard), counter: None };
        assert_eq!(read(&[b"broadcast,alice,", said].concat()).2, expected);
    }
}

#[test]
fn what_can_be_no_message_is_told_to_the_sender() {
    let long = "x".repeat(TEXT_BYTES_MAX);
    for (chunk, why) in [
        ("forward,alice,bob,", TextError::Empty),
        ("forward,alice,bob,\n", TextError::Empty),
        ("broadcast,alice,", TextError::Empty),
        (&format!("forward,alice,bob,{long}x"), TextError::TooLong),
        (&format!("broadcast,alice,{long}x\n"), TextError::TooLong),
    ] {
        let (_, id, request) = read(chunk.as_bytes());
        assert_eq!(request, Request::Unfit(why));
        let told = answered(Dialect::Delivery, Some(id), &Err(Refusal::Unfit(why)));
        assert_eq!(told, [line(format!("{why}\n"))]);
    }
    let longest_name = "m".repeat(32);
    let longest = format!("forward,{longest_name},{longest_name},{long}\r\n");
    assert!(matches!(read(longest.as_bytes()).2, Request::Message { text, .. } if text.bytes() == TEXT_BYTES_MAX));
}

/// What does not keep to the protocol, whoever says it.
pub fn malformed() -> Vec<Vec<u8>> {
    let mut malformed: Vec<Vec<u8>> = [
        "forward,alice",
        "forward,alice,bob",
        "forward,alice,,hi",
        "forward,,bob,hi",
        "forward,a b,bob,hi",
        "forward,\u{e9},bob,hi",
        "forward,note,bob,hi",
        "broadcast,alice",
        "broadcast,,hi",
        "online,",
        "online,alice,",
        "online,alice,bob",
        "online, alice",
        "online,alice\0",
        "online,alice\n\n",
        "block,alice",
        "block,alice,",
        "block,alice,bob,",
        "block,,bob",
        "unblock,alice,",
        "unblock,alice,bob,carol",
        "getaddress,alice",
        "getaddress,alice,bob,carol",
        "private_answer,alice",
        "private_answer,alice,bob",
        "private_answer,alice,,yes",
        "alive,",
        "alive,alice,alice",
        "logout,",
        "logout,alice,logout",
        "logout,logout,",
        "logout,LOGOUT",
    ]
    .map(|chunk| chunk.as_bytes().to_vec())
    .to_vec();
    malformed.push(b"online,\xff".to_vec());
    malformed.push([b"broadcast,alice,".to_vec(), vec![b'x'; REQUEST_BYTES_MAX]].concat());
    malformed
}

#[test]
fn what_does_not_keep_to_the_protocol_ends_the_connection_without_a_word() {
    for chunk in malformed() {
        assert_eq!(posted(&chunk), VIOLATION, "{:?}", String::from_utf8_lossy(&chunk));
    }
}

#[test]
fn a_request_without_an_end_is_not_waited_for() {
    let mut endless = b"broadcast,alice,".to_vec();
    endless.resize(REQUEST_BYTES_MAX - 1, b'x');
    let mut client = Client::new(Protocol::Request, &endless, false);
    assert_eq!(client.say(&endless), []);
    assert_eq!(client.come(b"x"), [VIOLATION]);
}

#[test]
fn who_can_be_nobody_is_no_user_of_the_system() {
    for other in ["b b", "bob ", "é", "note", "server", "bob\0", "(bob)", &"m".repeat(33)] {
        for chunk in [
            format!("forward,alice,{other},hi"),
            format!("block,alice,{other}\n"),
            format!("unblock,alice,{other}"),
            format!("getaddress,alice,{other}"),
            format!("private_answer,alice,{other},yes"),
        ] {
            let (user, id, request) = read(chunk.as_bytes());
            // All that the hub needs to know is that alice is there.
            assert_eq!((user, request), (name("alice"), Request::Alive), "{chunk}");
            let told = answered(Dialect::Delivery, Some(id), &Ok(Reply::Alive));
            assert_eq!(told, [control("No such User in the system\n")], "{chunk}");
        }
    }
}

/// Each answer that is fixed by the table, with the request that it is to.
fn fixed_answers() -> Vec<(&'static str, Answer, &'static str)> {
    let bob = || name("Bob");
    let accepted = |reach| Ok(Reply::Accepted { number: Number(5), reach });
    let unknown = || Err(Refusal::NoSuchUser(bob()));
    let no_such_user = "No such User in the system\n";
    let not_listed = "User Bob is not in the blocked list\n";
    vec![
        (
            "forward,alice,bob,hi",
            Err(Refusal::BlockedBy(bob())),
            "Your message could not bedelivered\nas the recipient has blocked you\n",
        ),
        ("forward,alice,bob,hi", unknown(), no_such_user),
        ("broadcast,alice,hi", accepted(Reach::Partial), "Your message could not be delivered to some recipients\n"),
        ("online,alice", Ok(Reply::Online(vec![])), "online"),
        ("online,alice", Ok(Reply::Online(vec![bob(), name("carol")])), "online,Bob,carol"),
        ("block,alice,bob", Ok(Reply::Blocked(bob())), "User Bob has been blocked\n"),
        ("block,alice,bob", unknown(), no_such_user),
        ("unblock,alice,bob", Ok(Reply::Unblocked(bob())), "User Bob is unblocked\n"),
        ("unblock,alice,bob", Err(Refusal::NotBlocked(bob())), not_listed),
        ("unblock,alice,bob", unknown(), not_listed),
        ("getaddress,alice,bob", Err(Refusal::Offline(bob())), "getaddress,offline"),
        ("getaddress,alice,bob", Err(Refusal::BlockedBy(bob())), "getaddress,blocked"),
        ("getaddress,alice,bob", unknown(), no_such_user),
        ("private_answer,alice,bob,yes", unknown(), no_such_user),
    ]
}

#[test]
fn each_answer_is_in_the_words_of_its_request() {
    for (chunk, answer, word) in fixed_answers() {
        assert_eq!(answered(Dialect::Delivery, Some(id_of(chunk)), &answer), [control(word)], "{chunk}");
    }
}

#[test]
fn what_was_done_without_a_word_for_it_is_not_told() {
    for (chunk, reply) in [
        ("forward,alice,bob,hi", Reply::Accepted { number: Number(5), reach: Reach::Online }),
        ("forward,alice,bob,hi", Reply::Accepted { number: Number(5), reach: Reach::Queued }),
        ("broadcast,alice,hi", Reply::Accepted { number: Number(5), reach: Reach::Online }),
        ("alive,alice", Reply::Alive),
        ("logout,alice", Reply::LoggedOut),
    ] {
        assert_eq!(answered(Dialect::Delivery, Some(id_of(chunk)), &Ok(reply)), [], "{chunk}");
    }
    let has_words = |reply: &Reply| {
        matches!(reply, Reply::Online(_) | Reply::Blocked(_) | Reply::Unblocked(_))
            || matches!(reply, Reply::Accepted { reach: Reach::Partial, .. })
    };
    for (reply, _) in replies().into_iter().filter(|(reply, _)| !has_words(reply)) {
        assert_eq!(answered(Dialect::Delivery, None, &Ok(reply)), []);
    }
}

#[test]
fn every_other_refusal_is_a_line_to_read_and_ends_a_question_for_an_address() {
    for (request, _) in requests() {
        let id = id_of(request);
        for (refusal, _, text) in refusals() {
            let fixed = fixed_answers().into_iter().any(|(chunk, answer, _)| {
                let like = |a: &Refusal| std::mem::discriminant(a) == std::mem::discriminant(&refusal);
                id_of(chunk) == id && answer.as_ref().is_err_and(like)
            });
            if fixed || matches!(refusal, Refusal::NoSuchUser(_) | Refusal::NotBlocked(_)) {
                continue;
            }
            let mut expected = vec![line(format!("{text}\n"))];
            if request.starts_with("getaddress,") && !matches!(refusal, Refusal::AlreadyAsked(_)) {
                expected.push(control("getaddress,no"));
            }
            assert_eq!(answered(Dialect::Delivery, Some(id), &Err(refusal)), expected, "{request}");
        }
    }
}

#[test]
fn what_waited_is_announced() {
    for (waiting, expected) in [(0, vec![]), (1, vec![line("Offline messages: \n")])] {
        let welcome = Ok(Reply::Welcome { user: name("alice"), waiting });
        assert_eq!(answered(Dialect::Delivery, None, &welcome), expected);
    }
}

/// What a client is told of an event.
fn delivered(event: &Event) -> Vec<Piece> {
    match event {
        Event::Message(message) if message.text.as_str() == ODD => {
            vec![last(5, "Bob:a \"b\" \\ c\n    \td é\u{2028} 😀\n")]
        }
        Event::Message(message) if message.sender().is_none() => vec![last(5, "server:hi\n")],
        Event::Message(_) => vec![last(5, "Bob:hi\n")],
        Event::Online(_) => vec![control("note:Bob is online!\n")],
        Event::Offline(_) => vec![control("note:Bob is offline!\n")],
        Event::Missed { .. } => vec![line("missed 2: too many messages came while you were away\n")],
        Event::Asks { .. } => vec![control("private_consent,Bob")],
        Event::Address { .. } => vec![control("getaddress,Bob,2001:db8::7,6002")],
        Event::NoAddress { why: NoAddress::Offline, .. } => vec![control("getaddress,offline")],
        Event::NoAddress { .. } => vec![control("getaddress,no")],
        Event::Revoked(_) => vec![line("Bob has taken back the yes\n")],
        Event::Closing(reason) => match reason {
            CloseReason::Displaced => vec![control("logout_duplicate")],
            CloseReason::Shutdown => vec![control("shutdown")],
            CloseReason::AccountChanged => {
                let why = "the account or its password was changed; log in again\n";
                vec![line(why), control("shutdown")]
            }
            CloseReason::Kicked => vec![line("the operator has ended this session\n"), control("shutdown")],
            CloseReason::HeartbeatMissed | CloseReason::LogInsFailed => vec![],
        },
        Event::ChatStarted { .. } | Event::ChatEnded { .. } => vec![],
        Event::AskOver { .. } | Event::Delivered { .. } | Event::Token => vec![],
    }
}

#[test]
fn each_event_has_its_bytes() {
    for (event, _) in events() {
        assert_eq!(told(Dialect::Delivery, &event), delivered(&event), "{event:?}");
    }
    let address = Event::Address {
        user: name("Bob"),
        address: address("::ffff:192.0.2.7"),
        port: port(40_000),
        certificate: None,
        connect_within: std::time::Duration::from_secs(600),
    };
    assert_eq!(told(Dialect::Delivery, &address), [control("getaddress,Bob,192.0.2.7,40000")]);
}

#[test]
fn a_long_text_comes_in_parts_and_the_last_ends_it() {
    let event = |body: &str| Event::Message(message(5, "Bob", "alice", body));
    // "Bob:" and the newline take five bytes.
    let fits = "x".repeat(DELIVERY_BYTES_MAX - 5);
    assert_eq!(told(Dialect::Delivery, &event(&fits)), [last(5, format!("Bob:{fits}\n"))]);
    let first = line(format!("Bob:{fits}\n"));
    assert_eq!(told(Dialect::Delivery, &event(&format!("{fits}y"))), [first.clone(), last(5, "Bob:y\n")]);
    assert_eq!(told(Dialect::Delivery, &event(&format!("{fits}\ny"))), [first, last(5, "Bob:\n    y\n")]);
    let odd = format!("{}é\n", &fits[1..]);
    let expected = [line(format!("Bob:{}\n", &fits[1..])), last(5, "Bob:é\n    \n")];
    assert_eq!(told(Dialect::Delivery, &event(&odd)), expected);
    const { assert!(DELIVERY_BYTES_MAX <= READ_BYTES_MAX, "what is delivered is read at once") };
}

#[test]
fn a_long_list_goes_on_in_another_like_it() {
    for length in [41, 42, 43, 1000] {
        let users: Vec<UserName> = (0..length).map(|n| name(&format!("{n:032}"))).collect();
        let pieces = answered(Dialect::Delivery, None, &Ok(Reply::Online(users.clone())));
        // "online", and 33 bytes a user.
        assert_eq!(pieces.len(), usize::div_ceil(length, (DELIVERY_BYTES_MAX - 6) / 33));
        let mut heard = Vec::new();
        for (piece, kind) in pieces {
            assert!(piece.len() <= DELIVERY_BYTES_MAX);
            assert_eq!(kind, chatd::wire::Kind::Control);
            let (word, names) = piece.split_once(',').expect("names");
            assert_eq!(word, "online");
            heard.extend(names.split(',').map(name));
        }
        assert_eq!(heard, users);
    }
    // 42 names of 32 characters leave room for one of 7.
    for (length, count) in [(7, 1), (8, 2)] {
        let mut users: Vec<UserName> = (0..42).map(|n| name(&format!("{n:032}"))).collect();
        users.push(name(&"x".repeat(length)));
        assert_eq!(answered(Dialect::Delivery, None, &Ok(Reply::Online(users))).len(), count);
    }
}

#[test]
fn who_posts_is_told_nothing_on_that_connection() {
    let mut conversation = Conversation::begin(Protocol::Request, b"online,", false).unwrap();
    let mut out = Pieces::default();
    for (farewell, ..) in farewells() {
        conversation.encode_farewell(farewell, &mut out);
    }
    conversation.encode_answer(None, &Ok(Reply::Online(vec![])), &mut out);
    assert!(out.is_empty());
    assert_eq!(conversation.decode(b"", Lull::Ended), Step::Wait);
}
