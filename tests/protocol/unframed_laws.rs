//! Laws of the protocols without framing: what is said arrives, up to the renderings that are named; how it was split on its
//! way changes nothing; no input makes the server panic or stand still; and nothing in a text becomes a word of the protocol.

use std::sync::Arc;

use chatd::hub::effect::{Answer, Event, Refusal, Reply};
use chatd::hub::input::Offer;
use chatd::hub::message::{Message, Recipient, Sender};
use chatd::wire::nick::{CHUNK_BYTES_MAX, READ_BYTES_MAX};
use chatd::wire::request::{DELIVERY_BYTES_MAX, REQUEST_BYTES_MAX};
use chatd::wire::{Dialect, Kind, Lull, PeerPort, Pieces, Protocol, Request, Step, Text, UserName};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::laws::{messages, names, passwords, ports, texts};
use super::samples::*;
use super::unframed::{Client, answered, told};
use super::{laws, request, session};

/// A text as somebody can say it who says a line at a time.
fn lines() -> impl Strategy<Value = Text> {
    texts().prop_map(|text| Text::parse(&text.as_str().replace('\n', " ")).expect("a text"))
}

/// What a client of `request` may post, and what the hub gets.
fn posts() -> impl Strategy<Value = (String, UserName, Request)> {
    let message = |to, text| Request::Message { to, text, counter: None, receipt: false };
    let offer = |yes: bool| yes.then_some(Offer::WhereCalled);
    let rest = prop_oneof![
        (names(), texts())
            .prop_map(move |(to, text)| { (format!("forward,USER,{to},{}", text.as_str()), message(to, text)) }),
        texts().prop_map(|text| (
            format!("broadcast,USER,{}", indented(&text)),
            Request::Broadcast { text, counter: None }
        )),
        names().prop_map(|other| (format!("block,USER,{other}"), Request::Block(other))),
        names().prop_map(|other| (format!("unblock,USER,{other}"), Request::Unblock(other))),
        names().prop_map(|user| (format!("getaddress,USER,{user}"), Request::AskAddress { user, certificate: None })),
        (names(), any::<bool>()).prop_map(move |(user, yes)| {
            let answer = if yes { "yes" } else { "not now, later" };
            (format!("private_answer,USER,{user},{answer}"), Request::Consent { user, offer: offer(yes) })
        }),
        select(vec![("online", Request::Online), ("alive", Request::Alive), ("logout", Request::LogOut)])
            .prop_map(|(word, request)| (format!("{word},USER"), request)),
    ];
    let named = (rest, names())
        .prop_map(|((chunk, request), user)| (chunk.replacen("USER", user.as_str(), 1) + "\n", user, request));
    named.prop_filter("too much for one connection", |(chunk, ..)| chunk.len() < REQUEST_BYTES_MAX)
}

/// What somebody is told of a message, part by part: the text of each, and the number that the last one ends.
fn parts_of(message: Message, dialect: Dialect) -> (Vec<String>, Message) {
    let event = Event::Message(Arc::new(message.clone()));
    let pieces = told(dialect, &event);
    let (count, mut parts) = (pieces.len(), Vec::new());
    for (index, (piece, kind)) in pieces.into_iter().enumerate() {
        let is_last = index + 1 == count;
        assert_eq!(kind, Kind::Text { ends: is_last.then_some(message.number) });
        parts.push(piece);
    }
    (parts, message)
}

fn sender(message: &Message) -> &str {
    match &message.from {
        Sender::User(_, name) => name.as_str(),
        Sender::Server => "server",
    }
}

fn indented(text: &Text) -> String {
    text.as_str().replace('\n', "\n    ")
}

/// The text that one part shows, whose lines but the first are indented.
fn unindented(part: &str) -> String {
    assert_eq!(part.matches('\n').count(), part.matches("\n    ").count(), "{part:?}");
    part.replace("\n    ", "\n")
}

/// Escapes as they are written, so that a text that looks like one is like itself.
fn in_ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() { c.to_string() } else { c.escape_unicode().to_string() }).collect()
}

/// Everything that happens on a connection.
#[derive(Clone, Debug)]
enum Happens {
    Says(Vec<u8>),
    Answer(Answer),
}

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        select(refusals()).prop_map(|(refusal, ..)| Err(refusal)),
        select(replies()).prop_map(|(reply, _)| Ok(reply)),
        (names(), 0..3_usize).prop_map(|(user, waiting)| Ok(Reply::Welcome { user, waiting })),
        select(vec![Err(Refusal::UnknownName), Err(Refusal::WrongPassword), Err(Refusal::LockedOut)]),
    ]
}

/// Bytes that look like a protocol's, more or less.
fn chunks() -> impl Strategy<Value = Vec<u8>> {
    let odd = select(vec![&b"ok"[..], b"okok", b"ok\n", b"\n", b"bob,secret", b"secret", b"Bob: hi", b"\r", b"\xe9"]);
    prop_oneof![
        posts().prop_map(|(chunk, ..)| chunk.into_bytes()),
        (names(), passwords(), ports()).prop_map(|(user, password, port)| {
            format!("newUser,{user},{},{}", password.as_str(), port.get()).into_bytes()
        }),
        select(request::malformed()),
        vec(session::messages(), 1..4).prop_map(|messages| messages.concat()),
        odd.prop_map(<[u8]>::to_vec),
        lines().prop_map(|text| text.as_str().as_bytes().to_vec()),
        vec(any::<u8>(), 0..60),
    ]
}

fn happenings() -> impl Strategy<Value = Vec<Happens>> {
    vec(prop_oneof![2 => chunks().prop_map(Happens::Says), 1 => answers().prop_map(Happens::Answer)], 0..12)
}

/// Somebody whose connection can be anything that is not framed, and what they begin with, whatever comes then.
type Begins = (fn() -> Client, &'static [u8]);

fn clients() -> impl Strategy<Value = Begins> {
    let begins: Vec<Begins> = vec![
        (|| Client::new(Protocol::Request, b"online,", false), b""),
        (|| Client::new(Protocol::Request, b"newUser,", false), b""),
        (|| Client::new(Protocol::Request, b"newUser,", true), b""),
        (|| Client::new(Protocol::Nick, b"", true), b""),
        (session::expected, b""),
        (session::expected, session::CONNECT),
    ];
    select(begins)
}

/// Lets everything happen. Each chunk comes in as many pieces as `cuts` say, and is followed by a lull.
fn play((begin, first): Begins, all: &[Happens], cuts: &[Index]) -> Vec<String> {
    let mut client = begin();
    client.come(first);
    let mut heard = Vec::new();
    for happens in all {
        match happens {
            Happens::Says(chunk) => {
                let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(chunk.len() + 1)).collect();
                ends.sort();
                let mut from = 0;
                for to in ends.into_iter().chain([chunk.len()]) {
                    heard.extend(client.come(&chunk[from..to]).iter().map(exactly));
                    from = to;
                }
                heard.extend(client.decode(Lull::Quiet).iter().map(exactly));
            }
            Happens::Answer(answer) => {
                let mut out = Pieces::default();
                client.conversation.encode_answer(None, answer, &mut out);
                heard.push(format!("{out:?}"));
            }
        }
    }
    heard.extend(client.decode(Lull::Ended).iter().map(exactly));
    heard
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_posted_is_what_the_hub_gets((chunk, user, request) in posts()) {
        let mut client = Client::new(Protocol::Request, chunk.as_bytes(), false);
        let steps = client.say_and_close(chunk.as_bytes());
        let [Step::Posted { used, user: poster, request: posted, .. }] = &steps[..] else { panic!("{steps:?}") };
        prop_assert_eq!(*used, chunk.len());
        prop_assert_eq!(format!("{poster} {posted:?}"), format!("{user} {request:?}"));
    }

    #[test]
    fn what_a_client_logs_in_with_is_what_the_hub_gets(
        user in names(), password in passwords(), port in ports(), prompted in any::<bool>()
    ) {
        let chunk = format!("newUser,{user},{},{}{}", password.as_str(), port.get(), if prompted { "ok" } else { "" });
        let mut client = Client::new(Protocol::Request, chunk.as_bytes(), prompted);
        let request = Request::LogInByPassword { name: user, password: Some(password), port };
        prop_assert_eq!(client.say(chunk.as_bytes()), [Step::Request { used: chunk.len(), id: None, request }]);
        prop_assert_eq!(client.conversation.listens_at().map(PeerPort::get), Some(port.get()));
    }

    #[test]
    fn what_somebody_says_in_the_room_is_what_the_hub_gets(name in names(), text in lines(), prefixed in any::<bool>()) {
        let mut client = Client::new(Protocol::Nick, b"", true);
        client.say(name.as_str().as_bytes());
        let own = format!("{name}: ");
        let text = text.as_str().strip_prefix(&own).map_or(Some(text.clone()), |text| Text::parse(text).ok());
        let Some(text) = text else { return Ok(()) };
        let chunk = if prefixed { own + text.as_str() } else { text.as_str().to_owned() };
        prop_assert!(chunk.len() < CHUNK_BYTES_MAX);
        let steps = client.say(chunk.as_bytes());
        let request = Request::Broadcast { text, counter: None };
        prop_assert_eq!(steps, [Step::Request { used: chunk.len(), id: None, request }]);
    }

    #[test]
    fn what_is_delivered_is_the_text_line_by_line(message in messages()) {
        let (parts, message) = parts_of(Message::clone(&message), Dialect::Delivery);
        let before = format!("{}:", sender(&message));
        let mut text = String::new();
        for part in parts {
            prop_assert!(part.len() <= DELIVERY_BYTES_MAX);
            let shown = part.strip_prefix(&before).and_then(|part| part.strip_suffix('\n'));
            text += &unindented(shown.expect("a sender and a newline"));
        }
        prop_assert_eq!(text, message.text.as_str());
    }

    #[test]
    fn what_the_room_is_shown_is_the_text_line_by_line(message in messages(), utf8 in any::<bool>()) {
        let dialect = if utf8 { Dialect::Nick } else { Dialect::NickAscii };
        let (parts, message) = parts_of(Message::clone(&message), dialect);
        let how = if message.to == Recipient::Everyone { "" } else { " (private)" };
        let before = format!("{}{how}: ", sender(&message));
        let mut text = String::new();
        for part in parts {
            prop_assert!(part.len() <= READ_BYTES_MAX);
            prop_assert!(utf8 || part.is_ascii());
            text += &unindented(part.strip_prefix(&before).expect("a sender"));
        }
        let expected = if utf8 { message.text.as_str().to_owned() } else { in_ascii(message.text.as_str()) };
        prop_assert_eq!(text, expected);
    }

    #[test]
    fn what_our_own_client_posts_and_hears_is_the_text(user in names(), to in names(), text in texts()) {
        use chatd::wire::request::client::{Heard, Request as Ask, decode, encode};
        let mut posted = String::new();
        for chunk in encode(&user, &Ask::Forward { to: to.clone(), text: text.clone() }) {
            let mut client = Client::new(Protocol::Request, &chunk, false);
            match &client.say_and_close(&chunk)[..] {
                [Step::Posted { request: Request::Message { to: whom, text: part, .. }, .. }] if *whom == to => {
                    posted += part.as_str();
                }
                other => panic!("{other:?}"),
            }
        }
        prop_assert_eq!(&posted, text.as_str());
        let (parts, _) = parts_of(Message::clone(&message(5, user.as_str(), "you", text.as_str())), Dialect::Delivery);
        let heard = parts.iter().flat_map(|part| decode(part.as_bytes()));
        let shown = heard.map(|heard| match heard {
            Heard::Text { from, text } if from == user => text,
            other => panic!("{other:?}"),
        });
        prop_assert_eq!(shown.collect::<String>(), text.as_str());
    }

    #[test]
    fn what_our_own_client_says_and_hears_in_the_room_is_the_text(user in names(), text in texts()) {
        use chatd::wire::nick::client::{Heard, decode, encode, nickname};
        let mut client = Client::new(Protocol::Nick, b"", true);
        client.say(&nickname(&user));
        let mut said = String::new();
        for chunk in encode(&user, &text) {
            match &client.say(&chunk)[..] {
                [Step::Request { request: Request::Broadcast { text, .. }, .. }] => said += text.as_str(),
                other => panic!("{other:?}"),
            }
        }
        // Each line is a message of its own.
        prop_assert_eq!(said, text.as_str().replace('\n', ""));
        let (parts, _) = parts_of(Message::clone(&message(5, user.as_str(), "everyone", text.as_str())), Dialect::Nick);
        let heard = parts.iter().flat_map(|part| decode(part.as_bytes()));
        let shown = heard.map(|heard| match heard {
            Heard::Text { from, text } if from == user => text,
            other => panic!("{other:?}"),
        });
        prop_assert_eq!(shown.collect::<String>(), text.as_str());
    }

    #[test]
    fn nothing_in_a_text_becomes_a_word_of_the_protocol(message in messages()) {
        for dialect in [Dialect::Delivery, Dialect::Nick, Dialect::NickAscii] {
            let between = dialect.chunking().expect("it is not framed").between;
            let (parts, message) = parts_of(Message::clone(&message), dialect);
            let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
            let chunk = String::from_utf8(parts.join(between)).expect("UTF-8");
            for line in chunk.lines() {
                prop_assert!(line.starts_with(sender(&message)) || line.starts_with("    "), "{line:?}");
            }
            for word in words() {
                prop_assert!(!chunk.starts_with(&word) && !chunk.contains(&format!("\n{word}")), "{word}: {chunk:?}");
            }
        }
    }

    #[test]
    fn however_it_is_split_the_same_is_understood(
        client in clients(), all in happenings(), cuts in vec(any::<Index>(), 0..6)
    ) {
        prop_assert_eq!(play(client, &all, &[]), play(client, &all, &cuts));
    }
}

/// Everything that a client compares with what it hears, or looks for at its beginning.
fn words() -> Vec<String> {
    let fixed =
        ["note:", "logout_duplicate", "shutdown", "online,", "getaddress,", "private_consent,", "prompt", "exit"];
    fixed.map(str::to_owned).to_vec()
}

/// What a client compares whole is one of the table's words, and nothing else is.
#[test]
fn what_travels_alone_is_a_word_of_the_table_and_every_line_is_told_from_a_text() {
    let is_word = |piece: &str| {
        let word = words().iter().any(|word| piece.starts_with(word) && !piece.contains(' '));
        let note =
            piece.starts_with("note:") && (piece.ends_with(" is online!\n") || piece.ends_with(" is offline!\n"));
        let fixed = ["No such User", "Your message could not be", "User ", "online"];
        word || note || fixed.iter().any(|fixed| piece.starts_with(fixed))
    };
    let mut told_of = Vec::new();
    told_of.extend(
        events()
            .into_iter()
            .filter(|(event, _)| !matches!(event, Event::Message(_)))
            .flat_map(|(event, _)| [Dialect::Delivery, Dialect::Nick].map(|dialect| (dialect, told(dialect, &event)))),
    );
    for (answer, dialect) in refusals().into_iter().flat_map(|(refusal, ..)| {
        [Dialect::Delivery, Dialect::Nick].map(|dialect| (Answer::Err(refusal.clone()), dialect))
    }) {
        told_of.push((dialect, answered(dialect, None, &answer)));
    }
    for (dialect, pieces) in told_of {
        for (piece, kind) in pieces {
            assert!(piece.len() <= 256 && piece.is_ascii(), "{piece:?}");
            if dialect == Dialect::Delivery {
                assert_eq!(kind == Kind::Control, is_word(&piece), "{piece:?}");
            }
            // Names have no blanks: who says something is told from what the server says.
            let before = piece.split(": ").next().expect("a part");
            assert!(kind == Kind::Control || before == piece || before.contains(' '), "{piece:?}");
        }
    }
}

#[test]
fn the_longest_names_leave_room_for_every_text() {
    for text in laws::longest_texts() {
        let to = name(&"w".repeat(32));
        for from in ["b", &"m".repeat(32)] {
            for recipient in [to.as_str(), "everyone"] {
                let message = message(5, from, recipient, text.as_str());
                for (dialect, most) in [
                    (Dialect::Delivery, DELIVERY_BYTES_MAX),
                    (Dialect::Nick, READ_BYTES_MAX),
                    (Dialect::NickAscii, READ_BYTES_MAX),
                ] {
                    let (parts, _) = parts_of(Message::clone(&message), dialect);
                    assert!(parts.iter().all(|part| part.len() <= most));
                    let full = parts.iter().rev().skip(1).all(|part| part.len() + 10 > most);
                    assert!(full, "no more parts than it takes");
                }
            }
        }
    }
}
