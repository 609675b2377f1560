//! Laws: whatever is said arrives unchanged, however it is split; no input makes either side panic or stand still; no
//! line is longer than it may be.

use std::sync::Arc;
use std::time::Duration;

use chatd::hub::consent::{CONSENTS_MAX, QUESTIONS_MAX};
use chatd::hub::effect::{AskOver, Event, Listed, NoAddress, Pending, PrivacyList, Reach, Reply};
use chatd::hub::fingerprint::Fingerprint;
use chatd::hub::gate::BLOCKS_MAX;
use chatd::hub::id::{PeerAddress, UserId};
use chatd::hub::input::{Offer, PeerPort};
use chatd::hub::message::{HistoryPage, Message, Recipient, Sender};
use chatd::hub::time::{LocalTime, WallTime};
use chatd::wire::native::client::{self, Ask, FromServer, Hear, Told};
use chatd::wire::native::{REQUEST_BYTES_MAX, SERVER_LINE_BYTES_MAX};
use chatd::wire::scram::{ChannelBinding, ClientExchange, ClientFinal, ClientFirst, StoredKeys};
use chatd::wire::{
    Conversation, DeviceClaim, DeviceId, LogId, Mechanism, Number, Operation, PASSWORD_BYTES_MAX, Password, Request,
    RequestId, Step, TEXT_BYTES_MAX, Text, UserName,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::golden::{news, told, told_message};
use super::malformed;
use super::samples::*;

pub fn texts() -> impl Strategy<Value = Text> {
    let odd = "\"\\/\n\t\u{2028}\u{2029}\u{202e}\u{2066}\u{200f}\u{feff}\u{fffd}\u{ffff}\u{10ffff}😀é{}[]:,nu";
    let odd: Vec<char> = odd.chars().collect();
    let character = prop_oneof![select(odd), any::<char>(), prop::char::range(' ', '~')];
    let short = vec(character.clone(), 1..40);
    // Up to the longest, by repetition.
    (short, prop_oneof![3 => Just(1_usize), 1 => 1..2000_usize]).prop_map(|(characters, times)| {
        let allowed = characters.into_iter().filter(|&c| !c.is_control() || "\n\t".contains(c));
        let once: String = allowed.collect();
        let mut text = if once.is_empty() { "x".to_owned() } else { once.repeat(times) };
        let end = (0..=text.len().min(TEXT_BYTES_MAX)).rev().find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or_default());
        Text::parse(&text).expect("a text")
    })
}

pub fn names() -> impl Strategy<Value = UserName> {
    "[A-Za-z0-9_.-]{1,32}".prop_filter_map("a reserved word", |name| UserName::parse(&name).ok())
}

pub fn passwords() -> impl Strategy<Value = Password> {
    let odd: Vec<char> = "\"\\/ \u{a0}\u{2028}\u{202e}\u{feff}\u{ffff}\u{10ffff}😀é{}:,".chars().collect();
    let character = prop_oneof![select(odd), any::<char>(), prop::char::range(' ', '~')];
    // Up to the longest, by repetition.
    (vec(character, 1..20), prop_oneof![3 => Just(1_usize), 1 => 1..600_usize]).prop_map(|(characters, times)| {
        let once: String = characters.into_iter().filter(|c| !c.is_control()).collect();
        let mut password = if once.is_empty() { "x".to_owned() } else { once.repeat(times) };
        let end = (0..=password.len().min(PASSWORD_BYTES_MAX)).rev().find(|&end| password.is_char_boundary(end));
        password.truncate(end.unwrap_or_default());
        Password::parse(&password).expect("a password")
    })
}

fn stored_keys() -> impl Strategy<Value = StoredKeys> {
    any::<([u8; 32], [u8; 32])>().prop_map(|(stored_key, server_key)| StoredKeys { stored_key, server_key })
}

fn operations() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (names(), passwords(), any::<bool>()).prop_map(|(name, password, classic)| Operation::Add {
            name,
            password,
            classic
        }),
        (names(), passwords(), any::<Option<bool>>()).prop_map(|(name, password, classic)| Operation::SetPassword {
            name,
            password,
            classic
        }),
        names().prop_map(Operation::Remove),
        Just(Operation::List),
        names().prop_map(Operation::Unlock),
        names().prop_map(Operation::Kick),
    ]
}

fn listed() -> impl Strategy<Value = Listed> {
    (names(), any::<[bool; 5]>()).prop_map(|(name, [in_file, classic, hashed, online, locked])| Listed {
        name,
        in_file,
        classic,
        hashed,
        online,
        locked,
    })
}

fn fingerprints() -> impl Strategy<Value = Fingerprint> {
    any::<[u8; Fingerprint::BYTES]>().prop_map(Fingerprint)
}

pub fn ports() -> impl Strategy<Value = PeerPort> {
    prop_oneof![Just(1024), Just(65_535), 1024..=65_535_u64].prop_map(port)
}

fn offers() -> impl Strategy<Value = Offer> {
    (ports(), fingerprints()).prop_map(|(port, certificate)| Offer::Encrypted { port, certificate })
}

fn addresses() -> impl Strategy<Value = PeerAddress> {
    any::<std::net::IpAddr>().prop_map(PeerAddress::of)
}

fn spans() -> impl Strategy<Value = Duration> {
    prop_oneof![(0..=600_u64).prop_map(Duration::from_secs), (0..=600_000_000_u64).prop_map(Duration::from_micros)]
}

fn pending() -> impl Strategy<Value = Pending> {
    (names(), spans()).prop_map(|(user, left)| Pending { user, left })
}

fn privacy_lists() -> impl Strategy<Value = PrivacyList> {
    let pending_list = || vec(pending(), 0..10);
    (vec(names(), 0..40), pending_list(), option::of(pending()), pending_list())
        .prop_map(|(blocked, consents, asked_by, asking)| PrivacyList { blocked, consents, asked_by, asking })
}

fn integers() -> impl Strategy<Value = u64> {
    prop_oneof![0..100_u64, 0..=HIGHEST, Just(HIGHEST)]
}

/// What is no time is no less a chat's id.
fn chat_ids() -> impl Strategy<Value = LocalTime> {
    (0..100_000_000_000_000_u64).prop_map(LocalTime::from_number)
}

fn claims() -> impl Strategy<Value = DeviceClaim> {
    (any::<[u8; 16]>(), option::of((any::<u64>(), integers()))).prop_map(|(id, shown)| DeviceClaim {
        id: DeviceId::from_bytes(id),
        shown: shown.map(|(log, number)| (LogId(log), Number(number))),
    })
}

/// What a client may ask, and what the hub is to get for it.
fn asks() -> impl Strategy<Value = (Ask, Request)> {
    let counter = || option::of(1..=HIGHEST);
    prop_oneof![
        (any::<[bool; 2]>(), names(), any::<[u8; 18]>(), option::of(claims())).prop_map(
            |([resume, bound], user, nonce, device)| {
                let binding = bound.then_some(ChannelBinding([7; ChannelBinding::BYTES]));
                let message = ClientExchange::new(&user, &nonce, binding).message();
                let first = ClientFirst::parse(&message).expect("a first message");
                let mechanism = if resume { Mechanism::Token } else { Mechanism::Password };
                (Ask::LogIn { resume, bound, message, device }, Request::LogIn { mechanism, first, device })
            }
        ),
        stored_keys().prop_map(|keys| (Ask::SignUp { keys: keys.clone() }, Request::SignUp(keys))),
        stored_keys().prop_map(|keys| (Ask::ChangePassword { keys: keys.clone() }, Request::ChangePassword(keys))),
        operations().prop_map(|operation| (Ask::Operate(operation.clone()), Request::Operate(operation))),
        "c=biws,r=[!-+\\--~]{1,60},p=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".prop_map(|message| {
            let last = ClientFinal::parse(&message).expect("a final message");
            (Ask::Authenticate { message }, Request::Authenticate(last))
        }),
        (names(), texts(), counter(), any::<bool>()).prop_map(|(to, text, counter, receipt)| (
            Ask::Message { to: to.clone(), text: text.clone(), counter, receipt },
            Request::Message { to, text, counter, receipt }
        )),
        (texts(), counter()).prop_map(|(text, counter)| (
            Ask::Broadcast { text: text.clone(), counter },
            Request::Broadcast { text, counter }
        )),
        integers()
            .prop_map(|number| (Ask::Acknowledge { number: Number(number) }, Request::Acknowledge(Number(number)))),
        names().prop_map(|user| (Ask::Chat { user: user.clone() }, Request::Chat(user))),
        option::of(chat_ids()).prop_map(|id| (Ask::EndChat { id }, Request::EndChat(id))),
        names().prop_map(|user| (Ask::Block { user: user.clone() }, Request::Block(user))),
        names().prop_map(|user| (Ask::Unblock { user: user.clone() }, Request::Unblock(user))),
        (names(), fingerprints()).prop_map(|(user, certificate)| (
            Ask::AskAddress { user: user.clone(), certificate },
            Request::AskAddress { user, certificate: Some(certificate) }
        )),
        (names(), option::of(offers()))
            .prop_map(|(user, offer)| (Ask::Consent { user: user.clone(), offer }, Request::Consent { user, offer })),
        names().prop_map(|user| (Ask::Revoke { user: user.clone() }, Request::Revoke(user))),
        (option::of(names()), option::of(integers()), 1..=500_usize).prop_map(|(with, before, limit)| {
            let before = before.map(Number);
            (Ask::History { with: with.clone(), before, limit }, Request::History { with, before, limit })
        }),
        select(vec![
            (Ask::LogOut, Request::LogOut),
            (Ask::Alive, Request::Alive),
            (Ask::Online, Request::Online),
            (Ask::Blocked, Request::Blocked),
            (Ask::Privacy, Request::Privacy),
        ]),
    ]
}

pub fn messages() -> impl Strategy<Value = Arc<Message>> {
    (integers(), integers(), option::of(names()), option::of(names()), texts()).prop_map(
        |(number, time, from, to, text)| {
            Arc::new(Message {
                number: Number(number),
                time: WallTime::from_millis(time),
                from: from.map_or(Sender::Server, |name| Sender::User(UserId(1), name)),
                to: to.map_or(Recipient::Everyone, |name| Recipient::User(UserId(2), name)),
                text,
                local: LocalTime::default(),
                origin: None,
            })
        },
    )
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        // What the server itself says is for one.
        messages()
            .prop_filter("no note to everyone", |message| message.from != Sender::Server
                || message.to != Recipient::Everyone)
            .prop_map(Event::Message),
        names().prop_map(Event::Online),
        names().prop_map(Event::Offline),
        (integers(), names()).prop_map(|(number, to)| Event::Delivered { number: Number(number), to, words: None }),
        (chat_ids(), names()).prop_map(|(id, peer)| Event::ChatStarted { id, peer }),
        (chat_ids(), names()).prop_map(|(id, peer)| Event::ChatEnded { id, peer }),
        Just(Event::Token),
        integers().prop_map(|count| Event::Missed { count }),
        (names(), fingerprints(), spans()).prop_map(|(user, certificate, answer_within)| Event::Asks {
            user,
            certificate: Some(certificate),
            answer_within
        }),
        (names(), addresses(), ports(), fingerprints(), spans()).prop_map(
            |(user, address, port, certificate, connect_within)| Event::Address {
                user,
                address,
                port,
                certificate: Some(certificate),
                connect_within
            }
        ),
        names().prop_map(|user| Event::AskOver { user, why: AskOver::Withdrawn }),
        names().prop_map(|user| Event::NoAddress { user, why: NoAddress::Declined }),
        names().prop_map(Event::Revoked),
        select(super::samples::events()).prop_map(|(event, _)| event),
    ]
}

fn replies() -> impl Strategy<Value = Reply> {
    prop_oneof![
        ("[ -~]{0,400}", any::<bool>()).prop_map(|(message, hashed)| Reply::Challenge { message, hashed }),
        (names(), integers(), any::<u64>(), integers(), any::<u16>()).prop_map(
            |(user, timeout, log, counter, waiting)| Reply::LoggedIn {
                message: "v=".to_owned(),
                user,
                heartbeat_timeout: Duration::from_secs(timeout),
                log: LogId(log),
                counter,
                waiting: waiting.into(),
            }
        ),
        (integers(), select(vec![Reach::Online, Reach::Queued, Reach::Partial]))
            .prop_map(|(number, reach)| Reply::Accepted { number: Number(number), reach }),
        vec(names(), 0..40).prop_map(Reply::Online),
        vec(names(), 0..40).prop_map(Reply::BlockList),
        (chat_ids(), names()).prop_map(|(id, peer)| Reply::ChatStarted { id, peer }),
        (chat_ids(), names()).prop_map(|(id, peer)| Reply::ChatEnded { id, peer }),
        names().prop_map(Reply::SignedUp),
        names().prop_map(Reply::PasswordChanged),
        names().prop_map(Reply::UserAdded),
        names().prop_map(Reply::UserRemoved),
        names().prop_map(Reply::Unlocked),
        (names(), any::<u16>()).prop_map(|(user, sessions)| Reply::Kicked { user, sessions: sessions.into() }),
        vec(listed(), 0..40).prop_map(Reply::Users),
        names().prop_map(Reply::Blocked),
        names().prop_map(Reply::Unblocked),
        (names(), spans()).prop_map(|(user, answer_within)| Reply::Asked { user, answer_within }),
        (names(), addresses(), fingerprints(), spans()).prop_map(|(user, address, certificate, connect_within)| {
            Reply::Consented { user, address, certificate: Some(certificate), connect_within }
        }),
        names().prop_map(Reply::Declined),
        names().prop_map(Reply::Revoked),
        privacy_lists().prop_map(|list| Reply::Privacy(Box::new(list))),
        (vec(messages(), 0..6), any::<bool>())
            .prop_map(|(messages, more)| Reply::History(HistoryPage { messages, more })),
        select(super::samples::replies()).prop_map(|(reply, _)| reply),
    ]
}

/// What came out of a stream of bytes, with the bytes that are left.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    steps: Vec<String>,
    rest: Vec<u8>,
    violated: bool,
}

impl Heard {
    /// Takes in what came, as net does it: what is no whole request yet waits in a buffer, and is looked at only when
    /// `may_decode` says that it is worth it.
    fn receive(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        while !self.violated {
            let step = read(&self.rest);
            assert_eq!(Conversation::Native.may_decode(&self.rest), step != Step::Wait, "{:?}", self.rest);
            match step {
                Step::Wait => return,
                Step::Request { used, id, request } => {
                    assert!(0 < used && used <= self.rest.len());
                    self.steps.push(format!("{id:?} {request:?}"));
                    self.rest.drain(..used);
                }
                Step::Refused { used, reply } => {
                    assert!(0 < used && used <= self.rest.len());
                    self.steps.push(String::from_utf8(reply).expect("UTF-8"));
                    self.rest.drain(..used);
                }
                Step::Posted { .. } | Step::Heard { .. } => panic!("another protocol's: {step:?}"),
                Step::Violation { reply } => {
                    self.steps.push(String::from_utf8(reply).expect("UTF-8"));
                    self.violated = true;
                    self.rest.clear();
                }
            }
        }
        // Nobody looks at what comes after a violation.
        self.rest.clear();
    }
}

/// Lines, good and bad ones.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let refused: Vec<Vec<u8>> =
        malformed::refused().into_iter().map(|(line, ..)| format!("{line}\n").into_bytes()).collect();
    let violations: Vec<Vec<u8>> = malformed::violations().into_iter().map(|(input, ..)| input).collect();
    prop_oneof![
        6 => asks().prop_map(|(ask, _)| {
            let mut bytes = Vec::new();
            client::encode(Some(RequestId(1)), &ask, &mut bytes);
            bytes
        }),
        2 => select(refused),
        1 => select(violations),
        1 => Just(b" \r\n".to_vec()),
    ]
}

/// Bytes that look like the protocol's, more or less.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let mangled = (lines(), vec((any::<Index>(), any::<u8>()), 0..4)).prop_map(|(mut line, changes)| {
        for (at, byte) in changes {
            let at = at.index(line.len());
            line[at] = byte;
        }
        line
    });
    let server = replies().prop_map(|reply| answer_bytes(Some(1), &Ok(reply)).into_bytes());
    let cut = (server, any::<Index>()).prop_map(|(mut line, at)| {
        let at = at.index(line.len());
        line.remove(at);
        line
    });
    prop_oneof![vec(any::<u8>(), 0..300), mangled, cut]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_a_client_asks_is_what_the_hub_gets(id in integers(), (ask, request) in asks()) {
        let mut bytes = Vec::new();
        client::encode(Some(RequestId(id)), &ask, &mut bytes);
        prop_assert!(bytes.len() <= REQUEST_BYTES_MAX);
        let expected = Step::Request { used: bytes.len(), id: Some(RequestId(id)), request };
        let step = read(&bytes);
        prop_assert_eq!(exactly(&step), exactly(&expected));
        prop_assert_eq!(step, expected);
    }

    #[test]
    fn what_the_server_tells_is_what_the_client_hears(id in integers(), event in events(), reply in replies()) {
        let line = event_bytes(&event);
        prop_assert!(line.len() <= SERVER_LINE_BYTES_MAX);
        prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
        prop_assert_eq!(heard(&line), FromServer::News(news(&event)));
        let line = answer_bytes(Some(id), &Ok(reply.clone()));
        prop_assert_eq!(heard(&line), FromServer::Answer { id: Some(RequestId(id)), answer: Ok(told(&reply)) });
    }

    #[test]
    fn however_it_is_split_the_same_is_understood(
        lines in vec(lines(), 0..6), tail in vec(any::<u8>(), 0..10), cuts in vec(any::<Index>(), 0..12)
    ) {
        let bytes = [lines.concat(), tail].concat();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort();
        let (mut whole, mut pieces, mut from) = (Heard::default(), Heard::default(), 0);
        whole.receive(&bytes);
        for to in cuts.into_iter().chain([bytes.len()]) {
            pieces.receive(&bytes[from..to]);
            from = to;
        }
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn nothing_makes_the_server_panic_or_stand_still(bytes in vec(garbage(), 0..4)) {
        let mut heard = Heard::default();
        heard.receive(&bytes.concat());
        prop_assert!(heard.violated || !Conversation::Native.may_decode(&heard.rest));
        for reply in heard.steps {
            prop_assert!(reply.len() < SERVER_LINE_BYTES_MAX);
        }
    }

    #[test]
    fn nothing_makes_the_client_panic_or_stand_still(bytes in vec(garbage(), 0..4)) {
        let bytes = bytes.concat();
        let mut rest = &bytes[..];
        loop {
            match client::decode(rest) {
                Hear::Wait => {
                    prop_assert!(rest.len() < SERVER_LINE_BYTES_MAX && !rest.contains(&b'\n'));
                    break;
                }
                Hear::NotUnderstood => break,
                Hear::Line { used, .. } => {
                    prop_assert!(0 < used && used <= rest.len());
                    rest = &rest[used..];
                }
            }
        }
    }
}

#[test]
fn one_byte_at_a_time_is_as_good_as_all_at_once() {
    let lines: Vec<u8> = requests().into_iter().flat_map(|(line, ..)| format!("{line}\r\n").into_bytes()).collect();
    let (mut whole, mut bytewise) = (Heard::default(), Heard::default());
    whole.receive(&lines);
    lines.iter().for_each(|byte| bytewise.receive(&[*byte]));
    assert_eq!(whole.steps.len(), requests().len());
    assert_eq!(whole, bytewise);
}

/// The longest texts, by what they become where they are escaped.
pub fn longest_texts() -> Vec<Text> {
    ["\"", "\\", "\n", "\t", "x", "é", "\u{2028}", "\u{10ffff}"]
        .map(|unit| text(&unit.repeat(TEXT_BYTES_MAX / unit.len())))
        .to_vec()
}

/// As encoders write it that keep to ASCII.
fn in_ascii(line: &str) -> String {
    let mut units = [0; 2];
    let escape = |c: char| match c.is_ascii() {
        true => c.to_string(),
        false => c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    };
    line.chars().map(escape).collect()
}

#[test]
fn every_text_fits_into_a_request_however_it_is_escaped() {
    for text in longest_texts() {
        let to = name(&"m".repeat(32));
        let ask = Ask::Message { to: to.clone(), text: text.clone(), counter: Some(HIGHEST), receipt: true };
        let mut bytes = Vec::new();
        client::encode(Some(RequestId(HIGHEST)), &ask, &mut bytes);
        let ascii = in_ascii(std::str::from_utf8(&bytes).expect("UTF-8")).into_bytes();
        let request = Request::Message { to, text, counter: Some(HIGHEST), receipt: true };
        for bytes in [bytes, ascii] {
            let expected = Step::Request { used: bytes.len(), id: Some(RequestId(HIGHEST)), request: request.clone() };
            assert_eq!(read(&bytes), expected);
        }
    }
}

/// The answer's lines, each checked: its length, and whether it says rightly that it goes on.
fn lines_of(reply: &Reply) -> Vec<Told> {
    let answer = answer_bytes(Some(HIGHEST), &Ok(reply.clone()));
    let lines: Vec<&str> = answer.split_inclusive('\n').collect();
    let mut told = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        assert!(line.len() <= SERVER_LINE_BYTES_MAX, "{} bytes", line.len());
        let last = index + 1 == lines.len();
        assert_eq!(line.contains("\"continues\""), !last);
        match heard(line) {
            FromServer::Answer { id: Some(RequestId(HIGHEST)), answer: Ok(answer) } => told.push(answer),
            other => panic!("{other:?}"),
        }
    }
    told
}

#[test]
fn a_long_history_comes_in_lines_that_are_not_too_long() {
    for text in longest_texts() {
        let messages: Vec<Arc<Message>> = (0..500)
            .map(|n| {
                Arc::new(Message {
                    number: Number(HIGHEST - 500 + n),
                    time: WallTime::from_millis(HIGHEST),
                    from: Sender::User(UserId(1), name(&"m".repeat(32))),
                    to: Recipient::User(UserId(2), name(&"w".repeat(32))),
                    text: text.clone(),
                    local: LocalTime::default(),
                    origin: None,
                })
            })
            .collect();
        let expected: Vec<_> = messages.iter().map(|message| told_message(message, false)).collect();
        let lines = lines_of(&Reply::History(HistoryPage { messages, more: true }));
        assert!(lines.len() > 1);
        let (mut heard, count) = (Vec::new(), lines.len());
        for (index, line) in lines.into_iter().enumerate() {
            let Told::History { messages, more, continues } = line else { panic!("{line:?}") };
            assert!(!messages.is_empty());
            assert_eq!((more, continues), (index + 1 == count, index + 1 < count), "only the last line says 'more'");
            heard.extend(messages);
        }
        assert_eq!(heard, expected);
    }
}

#[test]
fn a_long_list_of_users_comes_in_lines_that_are_not_too_long() {
    for length in [0, 1, 1865, 1866, 10_000] {
        let users: Vec<UserName> = (0..length).map(|n| name(&format!("{n:032}"))).collect();
        for (reply, is_online) in [(Reply::Online(users.clone()), true), (Reply::BlockList(users.clone()), false)] {
            let mut heard = Vec::new();
            for line in lines_of(&reply) {
                match (line, is_online) {
                    (Told::Online { users, .. }, true) | (Told::BlockList { users, .. }, false) => heard.extend(users),
                    (other, _) => panic!("{other:?}"),
                }
            }
            assert_eq!(heard, users);
        }
    }
}

#[test]
fn a_long_list_of_accounts_comes_in_lines_that_are_not_too_long() {
    for length in [0, 1, 510, 511, 10_000] {
        // The longest that an account can be.
        let account = |n| Listed {
            name: name(&format!("{n:032}")),
            in_file: false,
            classic: false,
            hashed: false,
            online: false,
            locked: false,
        };
        let accounts: Vec<Listed> = (0..length).map(account).collect();
        let lines = lines_of(&Reply::Users(accounts.clone()));
        assert_eq!(lines.len() > 1, length > 510, "{length}");
        let (mut heard, count) = (Vec::new(), lines.len());
        for (index, line) in lines.into_iter().enumerate() {
            let Told::Users { accounts, continues } = line else { panic!("{line:?}") };
            assert_eq!(continues, index + 1 < count);
            assert!(count == 1 || !accounts.is_empty());
            heard.extend(accounts);
        }
        assert_eq!(heard, accounts);
    }
}

#[test]
fn the_longest_privacy_list_is_one_line() {
    let pending = |n| Pending { user: name(&format!("{n:032}")), left: Duration::from_secs(600) };
    let list = PrivacyList {
        blocked: (0..BLOCKS_MAX).map(|n| name(&format!("{n:032}"))).collect(),
        consents: (0..CONSENTS_MAX).map(pending).collect(),
        asked_by: Some(pending(0)),
        asking: (0..QUESTIONS_MAX).map(pending).collect(),
    };
    assert_eq!(lines_of(&Reply::Privacy(Box::new(list.clone()))), [Told::Privacy(list)]);
}

#[test]
fn every_password_fits_into_a_request_however_it_is_escaped() {
    for unit in ["\"", "\\", "x", "é", "\u{2028}", "\u{10ffff}"] {
        let new = password(&unit.repeat(PASSWORD_BYTES_MAX / unit.len()));
        let operation = Operation::Add { name: name(&"m".repeat(32)), password: new, classic: true };
        let mut bytes = Vec::new();
        client::encode(Some(RequestId(HIGHEST)), &Ask::Operate(operation.clone()), &mut bytes);
        let ascii = in_ascii(std::str::from_utf8(&bytes).expect("UTF-8")).into_bytes();
        let request = Request::Operate(operation);
        for bytes in [bytes, ascii] {
            let expected = Step::Request { used: bytes.len(), id: Some(RequestId(HIGHEST)), request: request.clone() };
            assert_eq!(read(&bytes), expected);
        }
    }
}

#[test]
fn every_error_and_event_is_short_whatever_name_is_in_it() {
    for (refusal, ..) in refusals() {
        assert!(answer_bytes(Some(HIGHEST), &Err(refusal)).len() <= 256);
    }
    let longest = longest_texts().into_iter().map(|text| {
        let message = message(HIGHEST, &"m".repeat(32), "everyone", text.as_str());
        event_bytes(&Event::Message(message)).len()
    });
    assert!(longest.max() <= Some(SERVER_LINE_BYTES_MAX));
}
