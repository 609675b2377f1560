//! A client of the `datagram` protocol as the server hears it: datagrams come, and now and then the hub answers the last one.
//!
//! The first byte of each part of the input says what it is: a datagram, a dict that gets the digest which makes it one, a
//! text that is said to somebody or to all, the words of an acknowledgement, or an answer.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use chatd::hub::effect::{Answer, Event, Reach, Refusal, Reply};
use chatd::hub::id::{RequestId, UserId};
use chatd::hub::message::{Message, Recipient, Sender};
use chatd::hub::time::{LocalTime, WallTime};
use chatd::wire::datagram::notice::{Ends, Notice};
use chatd::wire::datagram::request::Server;
use chatd::wire::datagram::server::{Correspondent, Heard, Said, read};
use chatd::wire::datagram::{self, Manner, WRITTEN_BYTES_MAX};
use chatd::wire::hex::hex;
use chatd::wire::named::Named;
use chatd::wire::{Conversation, Dialect, Kind, Number, Pieces, Request, Text, TextError, UserName};
use sha2::{Digest, Sha256};

use super::script::parts;

const SERVER: Server<'_> = Server { host: "server.example", port: 12000 };

pub fn run(data: &[u8]) {
    for manner in [Manner::Plain, Manner::Unicode] {
        let mut client = Correspondent::new(name("Alice"), manner, farthest());
        let mut last = None;
        for part in parts(data) {
            let Some((&what, rest)) = part.split_first() else { continue };
            match what % 8 {
                0 => heard(&mut client, rest, &mut last),
                1 => heard(&mut client, &sealed(rest), &mut last),
                2 => say(&mut client, rest, &mut last),
                3 => acknowledge(&mut client, rest, &mut last),
                _ => client = answered(client, last, what),
            }
        }
    }
}

fn name(name: &str) -> UserName {
    UserName::parse(name).expect("a name")
}

/// As long as addresses can be.
fn farthest() -> Ends {
    let at = SocketAddr::new(IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)), u16::MAX);
    Ends { client: at, server: at }
}

/// A dict with its digest.
fn sealed(dict: &[u8]) -> Vec<u8> {
    let dict = dict.trim_ascii();
    [b"[", dict, b", '", hex(&Sha256::digest(dict)).as_bytes(), b"']"].concat()
}

/// A text, to somebody if there is a zero byte behind the name, in as many datagrams as it takes.
fn say(client: &mut Correspondent, said: &[u8], last: &mut Option<RequestId>) {
    let from = Named::User(name("alice"));
    let to = said.iter().position(|&byte| byte == 0);
    let text = Text::replacing(&said[to.map_or(0, |end| end + 1)..]);
    let request = match to {
        Some(end) => {
            let to = Named::parse(&String::from_utf8_lossy(&said[..end]));
            datagram::Request::Message { from, to, text }
        }
        None => datagram::Request::Broadcast { from, text },
    };
    for datagram in request.write(&SERVER) {
        heard(client, &datagram, last);
    }
}

fn acknowledge(client: &mut Correspondent, words: &[u8], last: &mut Option<RequestId>) {
    let (sender, text) = (Named::User(name("bob")), String::from_utf8_lossy(words).into_owned());
    for datagram in (datagram::Request::Acknowledgement { sender, text }).write(&SERVER) {
        heard(client, &datagram, last);
    }
}

fn heard(client: &mut Correspondent, datagram: &[u8], last: &mut Option<RequestId>) {
    let request = match read(datagram) {
        Ok(Heard::LogIn { user, request: Request::LogInByDigest { name, .. }, .. }) => {
            assert_eq!(name.as_str(), user.as_str());
            return;
        }
        Ok(Heard::LogIn { request, .. }) => panic!("{request:?} is no log-in of this protocol"),
        Ok(Heard::Said(request)) => request,
        Err(_) => return,
    };
    match client.hear(request) {
        Said::Request { id, request } => {
            check(&request);
            *last = id;
        }
        Said::Acknowledged { words: Some(words), .. } => {
            let delivered = Event::Delivered { number: Number(7), to: name("bob"), words: Some(words) };
            assert_eq!(told(&delivered).len(), 2, "one datagram, in each manner");
        }
        Said::Acknowledged { .. } | Said::Nothing(_) => {}
    }
}

fn check(request: &Request) {
    match request {
        Request::Message { text, counter: None, receipt: true, .. } | Request::Broadcast { text, counter: None } => {
            check_told(text);
        }
        Request::Online | Request::LogOut | Request::Alive => {}
        Request::Unfit(TextError::Empty | TextError::TooLong) => {}
        other => panic!("{other:?} is no request of this protocol"),
    }
}

/// A text that was understood is told to others: whole, from whom it is, and acknowledged by that name.
fn check_told(text: &Text) {
    let (number, time, local) = (Number(7), WallTime::from_millis(0), LocalTime::default());
    for to in [Recipient::Everyone, Recipient::User(UserId(2), name("carol"))] {
        let from = Sender::User(UserId(1), name("Bob"));
        let event =
            Event::Message(Arc::new(Message { number, time, local, from, to, text: text.clone(), origin: None }));
        let mut whole = String::new();
        for (datagram, kind) in told(&event) {
            let Ok(Notice::Message { from, text, .. }) = Notice::parse(&datagram) else { panic!("{datagram:?}") };
            assert!(matches!(kind, Kind::Acknowledged { .. }) && from.as_str() == "Bob");
            whole += &text;
        }
        assert_eq!(whole, text.as_str().repeat(2), "once in each manner");
    }
}

/// What clients of both manners are told of an event.
fn told(event: &Event) -> Vec<(Vec<u8>, Kind)> {
    let mut told = Vec::new();
    for (manner, dialect) in [(Manner::Plain, Dialect::DatagramPlain), (Manner::Unicode, Dialect::DatagramUnicode)] {
        let client = Correspondent::new(name("Alice"), manner, farthest());
        let mut out = Pieces::default();
        dialect.encode_event(event, &mut out);
        for (piece, kind) in out.iter() {
            let is_acknowledged = matches!(kind, Kind::Acknowledged { .. });
            assert_eq!(client.acknowledges(piece, &Named::parse("bob")), is_acknowledged);
        }
        told.extend(travels(client, &out));
    }
    told
}

/// Datagrams that every client reads.
fn travels(client: Correspondent, out: &Pieces) -> Vec<(Vec<u8>, Kind)> {
    let conversation = Conversation::Datagram(Box::new(client));
    let sealed = out.iter().map(|(piece, kind)| {
        let mut datagram = Vec::new();
        conversation.seal(piece, &mut datagram);
        assert!(datagram.is_ascii() && datagram.len() <= WRITTEN_BYTES_MAX);
        assert!(Notice::parse(&datagram).is_ok());
        (datagram, kind)
    });
    sealed.collect()
}

/// The hub answers the last request, or something else.
fn answered(client: Correspondent, last: Option<RequestId>, what: u8) -> Correspondent {
    let accepted = |reach| Ok(Reply::Accepted { number: Number(5), reach });
    let answers: [Answer; 8] = [
        Ok(Reply::Welcome { user: name("Alice"), waiting: 1 }),
        Ok(Reply::Online(vec![name("bob"), name("carol")])),
        accepted(Reach::Online),
        accepted(Reach::Queued),
        accepted(Reach::Partial),
        accepted(Reach::Nobody),
        Err(Refusal::NoSuchUser(name("bob"))),
        Err(Refusal::Unfit(TextError::TooLong)),
    ];
    let manner = client.manner();
    let mut conversation = Conversation::Datagram(Box::new(client));
    let mut out = Pieces::default();
    conversation.encode_answer(last, &answers[usize::from(what / 8) % answers.len()], &mut out);
    travels(Correspondent::new(name("Alice"), manner, farthest()), &out);
    match conversation {
        Conversation::Datagram(client) => *client,
        other => panic!("{other:?} has become of it"),
    }
}
