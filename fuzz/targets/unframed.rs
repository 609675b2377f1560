//! A client of a protocol without framing, as the server's side of wire sees it: chunks come, each with nothing behind it for a
//! while, and now and then the hub answers. How a chunk was split on its way must change nothing.
//!
//! The first byte of each part of the input says what is done, the rest is what is said.

use std::sync::Arc;

use chatd::hub::effect::{Answer, Event, Reach, Refusal, Reply};
use chatd::hub::id::UserId;
use chatd::hub::message::{Message, Recipient, Sender};
use chatd::hub::time::{LocalTime, WallTime};
use chatd::wire::{Conversation, Dialect, Lull, Number, Pieces, Protocol, Step, Text, TextError, UserName};

use super::script::{Sizes, parts};

/// The longest line that says why something is not done, in bytes.
const REPLY_BYTES_MAX: usize = 256;

/// How a protocol is spoken to the server.
#[derive(Clone, Copy)]
pub struct Speech {
    pub begin: fn() -> Conversation,
    /// What is said for a part of the input that has this byte before it.
    pub said: fn(u8, &[u8]) -> Vec<u8>,
    /// Each step passes it once, with the bytes that it took.
    pub check: fn(&[u8], &Step),
}

impl Speech {
    /// Where the input itself is what is said.
    pub fn plain(begin: fn() -> Conversation, check: fn(&[u8], &Step)) -> Speech {
        Speech { begin, said: |_, part| part.to_vec(), check }
    }
}

/// Says everything, whole and split.
pub fn run(data: &[u8], speech: Speech) {
    let whole = play(data, speech, || usize::MAX);
    let (mut sizes, checked) = (Sizes::of(data), Speech { check: |_, _| {}, ..speech });
    assert_eq!(whole, play(data, checked, || sizes.next()), "the split changes what is understood");
    if data.len() <= 256 {
        assert_eq!(whole, play(data, checked, || 1), "bytes one at a time change what is understood");
    }
}

fn play(data: &[u8], Speech { begin, said, check }: Speech, mut size: impl FnMut() -> usize) -> Vec<String> {
    let mut conversation = begin();
    let (mut inbound, mut heard) = (Vec::new(), Vec::new());
    for part in parts(data) {
        let Some((&what, rest)) = part.split_first() else { continue };
        if what & 0x40 != 0 {
            heard.push(answer(&mut conversation, what));
            continue;
        }
        let chunk = if what & 1 == 0 { said(what, rest) } else { said(what, &rest.repeat(64)) };
        let mut from = 0;
        while from < chunk.len() {
            let to = from.saturating_add(size()).min(chunk.len());
            inbound.extend_from_slice(&chunk[from..to]);
            if !decode(&mut conversation, &mut inbound, Lull::None, check, &mut heard) {
                return heard;
            }
            from = to;
        }
        let lull = if what & 2 == 0 { Lull::Quiet } else { Lull::None };
        if !decode(&mut conversation, &mut inbound, lull, check, &mut heard) {
            return heard;
        }
    }
    decode(&mut conversation, &mut inbound, Lull::Ended, check, &mut heard);
    heard
}

/// Decodes all that is there. Comes back: whether the connection goes on.
fn decode(
    conversation: &mut Conversation,
    inbound: &mut Vec<u8>,
    lull: Lull,
    check: fn(&[u8], &Step),
    heard: &mut Vec<String>,
) -> bool {
    loop {
        let may_decode = conversation.may_decode(inbound);
        let step = conversation.decode(inbound, lull);
        assert!(lull != Lull::None || may_decode == (step != Step::Wait), "who waits must not be tried in vain");
        let used = match &step {
            Step::Wait => {
                assert!(inbound.len() < conversation.request_bytes_max(), "what has no end is waited for");
                return true;
            }
            Step::Violation { reply } => {
                check_reply(conversation, reply);
                heard.push(format!("{step:?}"));
                return false;
            }
            Step::Heard { used, reply } | Step::Refused { used, reply } => {
                check_reply(conversation, reply);
                *used
            }
            Step::Request { used, .. } | Step::Posted { used, .. } => *used,
        };
        assert!(used > 0 && used <= inbound.len(), "{used} of {} bytes are used", inbound.len());
        check(&inbound[..used], &step);
        inbound.drain(..used);
        heard.push(format!("{step:?}"));
    }
}

/// People read it, or the client compares it: it is short, and nothing but ASCII where not everybody reads more.
fn check_reply(conversation: &Conversation, reply: &[u8]) {
    let is_read = match conversation.protocol() {
        Protocol::Session => str::from_utf8(reply).is_ok(),
        _ => reply.is_ascii(),
    };
    assert!(reply.len() <= REPLY_BYTES_MAX && is_read, "{reply:?}");
}

/// The hub answers something that it may answer here, and more; or has news of a chat.
fn answer(conversation: &mut Conversation, what: u8) -> String {
    let user = || UserName::parse("Alice").expect("a name");
    let (id, peer) = (LocalTime::default(), UserName::parse("Bob").expect("a name"));
    let mut out = Pieces::default();
    if what & 0x20 == 0 {
        let answers: [Answer; 8] = [
            Ok(Reply::Welcome { user: user(), waiting: 1 }),
            Err(Refusal::UnknownName),
            Err(Refusal::WrongPassword),
            Err(Refusal::LockedOutNow),
            Err(Refusal::LockedOut),
            Err(Refusal::NameTaken(user())),
            Err(Refusal::Unfit(TextError::TooLong)),
            Ok(Reply::Accepted { number: Number(5), reach: Reach::Partial }),
        ];
        conversation.encode_answer(None, &answers[usize::from(what) % answers.len()], &mut out);
    } else {
        match what % 4 {
            0 => conversation.encode_answer(None, &Ok(Reply::ChatStarted { id, peer }), &mut out),
            1 => conversation.encode_answer(None, &Ok(Reply::ChatEnded { id, peer }), &mut out),
            2 => conversation.told(&Event::ChatStarted { id, peer }),
            _ => conversation.told(&Event::ChatEnded { id, peer }),
        }
    }
    out.iter().for_each(|(piece, _)| check_reply(conversation, piece));
    format!("{out:?}")
}

/// A text that was understood is told to others: in no more than a read, as whole characters, and no line of it looks like
/// something else.
pub fn check_told(text: &Text) {
    let from = UserName::parse("Bob").expect("a name");
    let (number, time) = (Number(7), WallTime::from_millis(0));
    for to in [Recipient::Everyone, Recipient::User(UserId(2), UserName::parse("carol").expect("a name"))] {
        let from = Sender::User(UserId(1), from.clone());
        let message = Message { number, time, local: LocalTime::default(), from, to, text: text.clone(), origin: None };
        let event = Event::Message(Arc::new(message));
        for dialect in [Dialect::Delivery, Dialect::NickAscii, Dialect::Nick] {
            let mut out = Pieces::default();
            dialect.encode_event(&event, &mut out);
            let read_max = dialect.chunking().expect("it is not framed").bytes_max;
            for (piece, _) in out.iter() {
                assert!(piece.len() <= read_max, "{} bytes are too many to be read at once", piece.len());
                assert!(dialect != Dialect::NickAscii || piece.is_ascii());
                let piece = str::from_utf8(piece).expect("whole characters");
                let mut lines = piece.strip_suffix('\n').unwrap_or(piece).split('\n');
                assert!(
                    lines.next().is_some_and(|line| line.starts_with("Bob:") || line.starts_with("Bob (private): "))
                );
                assert!(lines.all(|line| line.starts_with("    ")), "{piece:?}");
            }
        }
    }
}
