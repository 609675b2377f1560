//! The server's side: what clients say, and what they are told.
//!
//! What is written is the same for all who are told it, one datagram a piece, but for the addresses at its two ends;
//! `Correspondent::seal` puts them in.

use std::collections::VecDeque;

use super::notice::{self, Audience, Ends, LOGGED_OUT, Notice};
use super::{Manner, Request, Unread, received_by};
use crate::hub::effect::{Answer, Event, Reach, Reply};
use crate::hub::id::{Number, RequestId};
use crate::hub::input;
use crate::hub::message::{Message, Recipient, Sender};
use crate::hub::name::UserName;
use crate::wire::named::Named;
use crate::wire::{Farewell, Kind, Pieces, Text, TextError, words};

/// So many messages of a client may wait for their answers at a time, as far as it is remembered to whom they are.
pub const UNANSWERED_MAX: usize = 64;

/// The id of a request that names somebody who can't exist: the hub never hears of that, and its answer says so.
const TO_NOBODY: RequestId = RequestId(0);
/// That of what is said to all; those of private messages follow it.
const TO_ALL: RequestId = RequestId(1);

const NO_SUCH_USER: &str = "there is no such user";
const NOT_TO_ALL: &str = "your message could not be delivered to some recipients";

/// What a datagram says.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// Somebody wants to log in, whoever was at the address before.
    LogIn { user: UserName, request: input::Request, manner: Manner },
    /// Something for whoever has logged in from the address. A log-in under a name that nobody can have is such a thing: it
    /// is nobody's.
    Said(Request),
}

/// What comes of something that a client says.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    Request {
        id: Option<RequestId>,
        request: input::Request,
    },
    /// The message of `sender`'s that is on its way has come, the client says in these words.
    Acknowledged {
        sender: Named,
        words: Option<Text>,
    },
    /// Nothing, and why not.
    Nothing(&'static str),
}

/// Reads a whole datagram.
pub fn read(datagram: &[u8]) -> Result<Heard, Unread> {
    Ok(match Request::parse(datagram)? {
        (Request::LogIn { user: Named::User(user), password: digest }, manner) => {
            let request = input::Request::LogInByDigest { name: user.clone(), digest };
            Heard::LogIn { user, request, manner }
        }
        (request, _) => Heard::Said(request),
    })
}

/// The datagram that answers one whose digest is wrong, or one that nobody has logged in to say; for people. A short text is
/// answered with less than any request has.
pub fn error(text: &str, ends: &Ends, manner: Manner) -> Vec<u8> {
    Notice::Error(text.to_owned()).write(ends, manner).swap_remove(0)
}

/// Whoever logs in from an address, or has.
#[derive(Debug)]
pub struct Correspondent {
    user: UserName,
    manner: Manner,
    ends: Ends,
    /// The id of the last message: clients give their requests none.
    last_message: RequestId,
    /// Messages that the hub has not answered, and for whom they are; the oldest first.
    unanswered: VecDeque<(RequestId, UserName)>,
}

impl Correspondent {
    pub fn new(user: UserName, manner: Manner, ends: Ends) -> Correspondent {
        Correspondent { user, manner, ends, last_message: TO_ALL, unanswered: VecDeque::new() }
    }

    pub fn manner(&self) -> Manner {
        self.manner
    }

    /// What comes of something that this client says. In somebody else's name nothing does.
    pub fn hear(&mut self, request: Request) -> Said {
        match request {
            Request::Message { from, .. } | Request::Broadcast { from, .. } if from.user() != Some(&self.user) => {
                Said::Nothing("a message in another's name")
            }
            Request::Message { to, text, .. } => self.message(to, text),
            Request::Broadcast { text, .. } => {
                said(Some(TO_ALL), unless_unfit(text, |text| input::Request::Broadcast { text, counter: None }))
            }
            Request::Contacts => said(None, input::Request::Online),
            Request::LogOut => said(None, input::Request::LogOut),
            Request::Acknowledgement { sender, text } => {
                Said::Acknowledged { sender, words: Text::replacing(text.as_bytes()).ok() }
            }
            Request::LogIn { .. } => Said::Nothing("a log-in under a name that nobody can have"),
        }
    }

    fn message(&mut self, to: Named, text: Result<Text, TextError>) -> Said {
        // A sign of life all the same; the answer says the rest.
        let Named::User(to) = to else { return said(Some(TO_NOBODY), input::Request::Alive) };
        self.last_message = RequestId(self.last_message.0 + 1);
        let id = self.last_message;
        if self.unanswered.len() == UNANSWERED_MAX {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back((id, to.clone()));
        said(Some(id), unless_unfit(text, |text| input::Request::Message { to, text, counter: None, receipt: true }))
    }

    /// Whether it is this piece that a client acknowledges by that name.
    pub fn acknowledges(&self, piece: &[u8], sender: &Named) -> bool {
        notice::sender(piece).is_some_and(|name| name.eq_ignore_ascii_case(sender.as_str().as_bytes()))
    }

    /// See `Conversation::encode_answer`.
    pub(in crate::wire) fn encode_answer(&mut self, id: Option<RequestId>, answer: &Answer, out: &mut Pieces) {
        let to = self.answered(id);
        match answer {
            Ok(_) if id == Some(TO_NOBODY) => self.tell(&Notice::Error(NO_SUCH_USER.to_owned()), out),
            Ok(Reply::Welcome { .. }) => self.tell(&Notice::Greeting, out),
            Ok(Reply::Online(users)) => {
                for user in users {
                    self.tell(&Notice::Contact { user: user.clone(), address: self.ends.server }, out);
                }
            }
            Ok(Reply::Accepted { reach, .. }) => {
                if let Some(notice) = notice_of_reach(*reach, to) {
                    self.tell(&notice, out);
                }
            }
            // The protocol says nothing to these, or has no request for them.
            Ok(_) => {}
            Err(refusal) => self.tell(&Notice::Error(words::refusal(refusal)), out),
        }
    }

    /// For whom the message was that is answered now. `None`: for all, or it is not known any more.
    fn answered(&mut self, id: Option<RequestId>) -> Option<UserName> {
        let index = self.unanswered.iter().position(|&(unanswered, _)| Some(unanswered) == id)?;
        self.unanswered.remove(index).map(|(_, to)| to)
    }

    fn tell(&self, notice: &Notice, out: &mut Pieces) {
        once(notice, self.manner, out);
    }

    /// See `Conversation::seal`.
    pub(in crate::wire) fn seal(&self, piece: &[u8], out: &mut Vec<u8>) {
        notice::seal(piece, &self.ends, out);
    }
}

fn said(id: Option<RequestId>, request: input::Request) -> Said {
    Said::Request { id, request }
}

fn unless_unfit(text: Result<Text, TextError>, request: impl FnOnce(Text) -> input::Request) -> input::Request {
    text.map_or_else(input::Request::Unfit, request)
}

/// What is told of how far a message gets, where no acknowledgement will follow at once.
fn notice_of_reach(reach: Reach, to: Option<UserName>) -> Option<Notice> {
    match (reach, to) {
        (Reach::Online, _) => None,
        (Reach::Queued, to) => to.map(Notice::Kept),
        (Reach::Nobody, _) => Some(Notice::Unheard),
        (Reach::Partial, _) => Some(Notice::Alert(NOT_TO_ALL.to_owned())),
    }
}

/// See `Dialect::encode_event`.
pub(in crate::wire) fn encode_event(event: &Event, manner: Manner, out: &mut Pieces) {
    let alert = |text: String| Notice::Alert(text);
    let notice = match event {
        Event::Message(message) => return encode_message(message, manner, out),
        Event::Online(user) => Notice::Online(user.clone()),
        Event::Offline(user) => Notice::Offline(user.clone()),
        Event::Delivered { to, words, .. } => Notice::Acknowledgement(acknowledgement(to, words.as_ref())),
        Event::Missed { count } => alert(words::missed(*count)),
        Event::Revoked(user) => alert(words::revoked(user)),
        Event::Closing(reason) => alert(format!("{LOGGED_OUT}{}", words::closing(*reason))),
        // Nobody chats with one user only here, is asked for an address, or asks.
        Event::ChatStarted { .. }
        | Event::ChatEnded { .. }
        | Event::Asks { .. }
        | Event::AskOver { .. }
        | Event::Address { .. }
        | Event::NoAddress { .. }
        | Event::Token => return,
    };
    once(&notice, manner, out);
}

/// What the recipient's client says to a message, or would.
fn acknowledgement(to: &UserName, words: Option<&Text>) -> String {
    words.map_or_else(|| received_by(to), |words| words.as_str().to_owned())
}

/// See `Conversation::encode_farewell`.
pub(in crate::wire) fn encode_farewell(farewell: Farewell, manner: Manner, out: &mut Pieces) {
    once(&Notice::Error(words::farewell(farewell).to_owned()), manner, out);
}

fn encode_message(message: &Message, manner: Manner, out: &mut Pieces) {
    let from = match &message.from {
        Sender::User(_, name) => Named::User(name.clone()),
        Sender::Server => Named::Nobody(words::SERVER.to_owned()),
    };
    let to = match &message.to {
        Recipient::Everyone => Audience::Everyone,
        Recipient::User(..) => Audience::OneUser,
    };
    let notice = Notice::Message { from, to, text: message.text.as_str().to_owned() };
    write(&notice, manner, Some(message.number), |ends| Kind::Acknowledged { ends }, out);
}

/// Appends something that is sent once, and that nobody acknowledges.
fn once(notice: &Notice, manner: Manner, out: &mut Pieces) {
    write(notice, manner, None, |_| Kind::Control, out);
}

/// Appends the pieces of a notice; the last one ends the message with this number.
fn write(
    notice: &Notice,
    manner: Manner,
    number: Option<Number>,
    kind: impl Fn(Option<Number>) -> Kind,
    out: &mut Pieces,
) {
    let mut pieces = notice.pieces(manner).into_iter().peekable();
    while let Some(piece) = pieces.next() {
        out.bytes.extend_from_slice(&piece);
        out.end(kind(number.filter(|_| pieces.peek().is_none())));
    }
}
