use proptest::prelude::*;

use super::*;

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

fn text(text: &str) -> Text {
    Text::parse(text).unwrap()
}

fn chunks(request: &Request) -> Vec<String> {
    encode(&name("alice"), request).into_iter().map(|chunk| String::from_utf8(chunk).unwrap()).collect()
}

#[test]
fn every_request_has_its_bytes() {
    let bob = name("bob");
    let password = Password::parse("won,der land").unwrap();
    assert_eq!(log_in(&name("alice"), &password, 40123), b"newUser,alice,won,der land,40123");
    let rows = [
        (Request::Forward { to: bob.clone(), text: text("hi, you") }, "forward,alice,bob,hi, you\n"),
        (Request::Broadcast { text: text("hi, all\nof you") }, "broadcast,alice,hi, all\n    of you\n"),
        (Request::Online, "online,alice"),
        (Request::Block { user: bob.clone() }, "block,alice,bob"),
        (Request::Unblock { user: bob.clone() }, "unblock,alice,bob"),
        (Request::GetAddress { user: bob.clone() }, "getaddress,alice,bob"),
        (Request::Answer { asker: bob.clone(), yes: true }, "private_answer,alice,bob,yes"),
        (Request::Answer { asker: bob, yes: false }, "private_answer,alice,bob,no"),
        (Request::Alive, "alive,alice"),
        (Request::LogOut, "logout,alice"),
    ];
    for (request, bytes) in rows {
        assert_eq!(chunks(&request), [bytes]);
    }
    assert_eq!(LOG_OUT_UNKNOWN, b"logout,logout");
    assert_eq!(encode_private(&name("alice"), &text("hi")), [b"alice:hi\n"]);
}

#[test]
fn a_text_that_does_not_fit_goes_in_parts() {
    let long = format!("{}é", "x".repeat(4094));
    let parts = chunks(&Request::Forward { to: name("bob"), text: text(&long) });
    assert_eq!(parts.len(), 2);
    assert_eq!(parts[0], format!("forward,alice,bob,{}\n", "x".repeat(4096 - 19)));
    assert_eq!(parts[1], "forward,alice,bob,xxxxxxxxxxxxxxxxxé\n");
}

#[test]
fn the_dialogue_goes_as_the_table_says() {
    let mut log_in = LogIn::default();
    assert_eq!(log_in.hear(b"Invalid Username. Please try again.\n"), Step::Reply(b"ok"));
    let said = "Invalid Username. Please try again.".to_owned();
    assert_eq!(log_in.hear(b"prompt"), Step::UnknownUser { said });
    assert_eq!(log_in.hear(b"Invalid Password. Please try again.\n"), Step::Reply(b"ok"));
    let said = "Invalid Password. Please try again.".to_owned();
    assert_eq!(log_in.hear(b"prompt_password"), Step::WrongPassword { said });
    let locked = [
        "Invalid password. Your account has been blocked.\nPlease try again after sometime.\n",
        "Due to multiple login failures, your account has been blocked.\nPlease try again after sometime.\n",
    ];
    for text in locked {
        assert_eq!(log_in.hear(text.as_bytes()), Step::Reply(b"ok"));
        assert_eq!(log_in.said(), Some(text.trim_end()));
        assert_eq!(log_in.hear(b"exit"), Step::LockedOut { said: text.trim_end().to_owned() });
    }
    assert_eq!(log_in.hear(b"NICK"), Step::Reply(b"ok"), "what the main port says to the silent");
    assert_eq!(log_in.hear(b"Welcome to simple chat server!\n"), Step::Reply(b"ok"));
    assert_eq!(log_in.hear(b"Authenticated Alice"), Step::In(Some(name("Alice"))));
    assert_eq!(log_in.hear(b"Authenticated"), Step::In(None));
    assert_eq!(log_in.hear(b"prompt "), Step::Reply(b"ok"), "the words count only as they are");
}

#[test]
fn every_delivery_is_understood() {
    let (bob, carol) = (name("bob"), name("carol"));
    let said = |text: &str| Heard::Text { from: name("bob"), text: text.to_owned() };
    let address = Heard::Address { user: bob.clone(), address: "10.0.0.3:41234".parse().unwrap() };
    let address_6 = Heard::Address { user: bob.clone(), address: "[fe80::1]:41234".parse().unwrap() };
    let rows = [
        ("bob:hi: you\n", vec![said("hi: you")]),
        ("bob:two\n    lines\n", vec![said("two\nlines")]),
        ("note:bob is online!\n", vec![Heard::CameOnline(bob.clone())]),
        ("note:bob is offline!\n", vec![Heard::WentOffline(bob.clone())]),
        ("note:be quiet\n", vec![Heard::Free("be quiet".into())]),
        ("Offline messages: \nbob:a\nbob:b\n    c\n", vec![Heard::OfflineMessages, said("a"), said("b\nc")]),
        ("Offline messages: \n", vec![Heard::OfflineMessages]),
        ("online", vec![Heard::Online(vec![])]),
        ("online,bob,carol", vec![Heard::Online(vec![bob.clone(), carol])]),
        ("User bob has been blocked\n", vec![Heard::Blocked(bob.clone())]),
        ("User bob is unblocked\n", vec![Heard::Unblocked(bob.clone())]),
        ("User bob is not in the blocked list\n", vec![Heard::NotBlocked(bob.clone())]),
        ("Your message could not bedelivered\nas the recipient has blocked you\n", vec![Heard::NotDelivered]),
        ("Your message could not be delivered to some recipients\n", vec![Heard::PartlyDelivered]),
        ("No such User in the system\n", vec![Heard::NoSuchUser]),
        ("private_consent,bob", vec![Heard::Asks(bob)]),
        ("getaddress,bob,10.0.0.3,41234", vec![address]),
        ("getaddress,bob,fe80::1,41234", vec![address_6]),
        ("getaddress,offline", vec![Heard::NoAddress(NoAddress::Offline)]),
        ("getaddress,blocked", vec![Heard::NoAddress(NoAddress::Blocked)]),
        ("getaddress,no", vec![Heard::NoAddress(NoAddress::No)]),
        ("logout_duplicate", vec![Heard::Displaced]),
        ("shutdown", vec![Heard::Shutdown]),
        ("anything\nelse\n", vec![Heard::Free("anything\nelse".into())]),
        ("getaddress,bob,nowhere,1", vec![Heard::Free("getaddress,bob,nowhere,1".into())]),
        ("", vec![Heard::Free(String::new())]),
    ];
    for (bytes, heard) in rows {
        assert_eq!(decode(bytes.as_bytes()), heard, "{bytes:?}");
    }
}

#[test]
fn what_is_for_people_may_come_joined() {
    let joined = "note:bob is online!\nYour message could not bedelivered\nas the recipient has blocked you\nbob:hi\n";
    let heard =
        vec![Heard::CameOnline(name("bob")), Heard::NotDelivered, Heard::Text { from: name("bob"), text: "hi".into() }];
    assert_eq!(decode(joined.as_bytes()), heard);
}

#[test]
fn nobodys_text_says_a_word_that_means_something() {
    for word in ["shutdown", "logout_duplicate", "online,bob", "private_consent,bob", "getaddress,no"] {
        let heard = decode(format!("bob:hi\n{word}\n").as_bytes());
        assert!(heard.iter().all(|heard| matches!(heard, Heard::Text { .. } | Heard::Free(_))), "{heard:?}");
    }
}

proptest! {
    #[test]
    fn nothing_that_a_server_says_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        decode(&bytes);
        LogIn::default().hear(&bytes);
    }

    #[test]
    fn nor_anything_that_looks_like_the_protocol(
        words in proptest::collection::vec("(online|getaddress|note|User|bob|,|:|\n|    | is online!|é|Authenticated)", 0..12)
    ) {
        let bytes = words.concat().into_bytes();
        decode(&bytes);
        LogIn::default().hear(&bytes);
    }

    #[test]
    fn a_text_comes_out_as_it_went_in(said in "[^\\p{Cc}]{1,80}(\n[^\\p{Cc}]{1,80}){0,3}") {
        // What a client sends to another one is what a server delivers.
        let chunks = encode_private(&name("alice"), &text(&said));
        let heard: Vec<Heard> = chunks.iter().flat_map(|chunk| decode(chunk)).collect();
        prop_assert_eq!(heard, vec![Heard::Text { from: name("alice"), text: said }]);
    }

    #[test]
    fn every_chunk_fits_what_is_read_at_once(said in "(é|x|\n){1,2048}") {
        let text = text(&said);
        let forward = Request::Forward { to: name("bob"), text: text.clone() };
        let all = [chunks(&forward), chunks(&Request::Broadcast { text })].concat();
        prop_assert!(all.iter().all(|chunk| chunk.len() <= READ_BYTES_MAX));
    }
}
