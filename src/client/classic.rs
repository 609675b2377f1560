//! The classic protocols, in which chat stands in for another system's client: `request`, `session`, `datagram` and `nick`.
//!
//! A session of each is pure (`request`, `session`, `datagram`, `nick`); `connection` joins one with the link and the clock, and `run` is the loop in
//! which it is used, in one of three manners: `one_shot`, `script` and `talk`. No device, no state directory, no encryption:
//! these protocols have none; and a session that has lost its server ends.

mod again;
mod chunks;
mod connection;
pub mod datagram;
pub mod nick;
mod one_shot;
pub mod request;
mod run;
mod script;
pub mod session;
mod show;
mod talk;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use self::connection::Connection;
use self::run::run;
use super::command::Command;
use super::core::{self, Now, Tag};
use super::exit::Failure;
use super::interrupt::Interrupt;
use super::output::Ended;
use super::{Options, PasswordFrom, Status, TRIES, passwords, warn};
use crate::wire::session::LocalTime;
use crate::wire::{Protocol, Text, UserName};

/// How many requests may be without an answer, or wait to be sent.
const PENDING_MAX: usize = 200;

/// Why `login` is refused.
const SECOND_LOG_IN: &str = "you are logged in: a second log-in is for another chat, with --user NAME";

/// What can be asked of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Message {
        to: UserName,
        text: Text,
    },
    Broadcast {
        text: Text,
    },
    Online,
    Block {
        user: UserName,
    },
    Unblock {
        user: UserName,
    },
    /// Where is this user? They are asked.
    GetAddress {
        user: UserName,
    },
    /// The answer to whoever wants to know where we are.
    Consent {
        user: UserName,
        yes: bool,
    },
    /// Says something without the server.
    Private {
        user: UserName,
        text: Text,
    },
    /// Begins a chat.
    Chat {
        user: UserName,
    },
    /// Says something in the chat.
    Say {
        text: Text,
    },
    EndChat,
    /// What was said between a user and us; of it the last so many messages.
    History {
        user: UserName,
        count: usize,
    },
}

/// A request that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// The server has it. More is not told in these protocols.
    HandedOver,
    /// The same; somebody has blocked us, and does not get it.
    PartlyDelivered,
    Online(Vec<UserName>),
    Blocked(UserName),
    Unblocked(UserName),
    Address {
        user: UserName,
        address: SocketAddr,
    },
    /// The answer has left.
    Consented(UserName),
    Declined(UserName),
    /// The other's client has it.
    Said(UserName),
    /// The same, of a message that went through the server.
    Delivered(UserName),
    /// The recipient is not there: the server keeps it.
    Kept(UserName),
    /// Nobody is there to get it.
    ReachedNobody,
    ChatStarted(Chat),
    ChatEnded(Chat),
    History(Vec<Entry>),
    /// There is no history, the server says in these words.
    NoHistory(String),
}

/// A chat with a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    pub id: LocalTime,
    pub peer: UserName,
}

/// A message of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When its chat began.
    pub chat: LocalTime,
    pub from: UserName,
    pub to: UserName,
    pub text: String,
}

/// Something that nobody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// From a user, to us or to everyone.
    Message {
        from: UserName,
        text: String,
    },
    /// To everyone.
    Broadcast {
        from: UserName,
        text: String,
    },
    /// Without the server.
    Private {
        from: UserName,
        text: String,
    },
    Online {
        user: UserName,
    },
    Offline {
        user: UserName,
    },
    /// Free text.
    Note {
        text: String,
    },
    /// Wants to know where we are.
    Asks {
        user: UserName,
    },
    /// Where a user is, for whom nobody waits any more.
    Address {
        user: UserName,
        address: SocketAddr,
    },
    /// Somebody has begun a chat with us.
    ChatStarted(Chat),
    /// The other side has ended the chat.
    ChatEnded(Chat),
    /// A message has come to one more of its recipients, or later than anybody waited for: in the words of whoever got it.
    Acknowledged {
        text: String,
    },
}

/// What the driver is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    LoggedIn {
        user: UserName,
    },
    /// The one answer to a request.
    Answered {
        tag: Tag,
        answer: Result<Done, Failure>,
    },
    Event(Event),
    /// For people to know.
    Warning(String),
    /// Nothing comes after it.
    End(End),
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As asked.
    LoggedOut,
    /// Another name or password may do.
    WrongPassword(Failure),
    Failed(Failure),
}

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write this on the connection.
    Write(Vec<u8>),
    /// Close the connection, and the socket for datagrams.
    HangUp,
    /// Send this datagram to the server. It may be lost.
    Datagram(Vec<u8>),
    /// Connect to this port of the server that the datagrams go to.
    Dial(u16),
    /// Send this to the server on a connection of its own. `Session::sent` hears how it went; until then there is no other one.
    ToServer(Vec<u8>),
    /// The same, to a peer.
    ToPeer(SocketAddr, Vec<u8>),
}

/// Whom something was sent to on a connection of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Server,
    Peer,
}

/// Why something was not sent on a connection of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// Nobody is there; why, for people.
    Unreachable(Failure),
    /// It broke off: it may have come to the other end or not.
    CutOff,
}

/// Whose connection has brought something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It comes from the server's address.
    Server,
    Elsewhere(IpAddr),
}

/// A session with a server, whose time begins with zero. Pure: whoever drives it tells it what happened and when, does what `next_action` says, and takes
/// the happenings.
pub trait Session {
    /// As the server spells it, once logged in.
    fn user(&self) -> &UserName;

    /// Whether it must listen for connections.
    fn listens(&self) -> bool {
        false
    }

    /// Whether it begins with datagrams, and not with a connection.
    fn uses_datagrams(&self) -> bool {
        false
    }

    /// The socket for datagrams is there.
    fn opened(&mut self, _: Now) {}

    /// A datagram of the server's has come.
    fn heard(&mut self, _: Now, _: &[u8]) {}

    /// Nobody hears the datagrams, and why.
    fn unheard(&mut self, _: Now, _: Failure) {}

    /// The connection is there. `port`: where we listen, if we do.
    fn connected(&mut self, now: Now, port: u16);

    /// Something came on the connection.
    fn received(&mut self, now: Now, bytes: &[u8]);

    /// The connection has ended, or did not come about.
    fn disconnected(&mut self, now: Now, why: Failure);

    /// A connection to where we listen has brought something.
    fn delivered(&mut self, _: Now, _: Source, _: &[u8]) {}

    /// What was to be sent on a connection of its own has left, or not.
    fn sent(&mut self, _: Now, _: Lane, _: Result<(), NotSent>) {}

    /// Does what is due.
    fn tick(&mut self, now: Now);

    /// When `tick` has something to do.
    fn poll_timeout(&self) -> Option<Now>;

    /// Asks for something, once logged in. `Happening::Answered` tells what came of it.
    fn ask(&mut self, now: Now, request: Request) -> Tag;

    /// Ends the session, once everything that was asked for has left.
    fn log_out(&mut self, now: Now);

    /// The program ends at once: what the server would not notice by itself is to be said.
    fn abandon(&mut self) {}

    /// How much of what was asked for has not left yet.
    fn unsent(&self) -> usize;

    /// Whom there is a chat with.
    fn chats_with(&self) -> Option<&UserName> {
        None
    }

    fn outbox(&mut self) -> &mut Outbox;

    fn next_action(&mut self) -> Option<Action> {
        self.outbox().actions.pop_front()
    }

    fn next_happening(&mut self) -> Option<Happening> {
        self.outbox().happenings.pop_front()
    }
}

/// What a session has for its driver; nothing more once it has told its end.
#[derive(Debug, Default)]
pub struct Outbox {
    actions: VecDeque<Action>,
    happenings: VecDeque<Happening>,
    over: bool,
}

impl End {
    fn result(self) -> Result<Status, Ended> {
        match self {
            End::LoggedOut => Ok(Status::Done),
            End::WrongPassword(failure) => Err(Ended::WrongPassword(failure)),
            End::Failed(failure) => Err(Ended::With(failure)),
        }
    }
}

impl Outbox {
    fn act(&mut self, action: Action) {
        if !self.over {
            self.actions.push_back(action);
        }
    }

    fn tell(&mut self, happening: Happening) {
        if !self.over {
            self.over = matches!(happening, Happening::End(_));
            self.happenings.push_back(happening);
        }
    }

    fn event(&mut self, event: Event) {
        self.tell(Happening::Event(event));
    }

    fn answer(&mut self, tag: Tag, answer: Result<Done, Failure>) {
        self.tell(Happening::Answered { tag, answer });
    }
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub log_in_within: Duration,
    /// For an answer of the server.
    pub within: Duration,
    /// For what another person must say.
    pub answer_within: Duration,
}

impl Request {
    /// What a command asks for; `None`: nothing that a session does.
    fn of(command: Command) -> Option<Result<Request, Failure>> {
        Some(Ok(match command {
            Command::Ask(core::Request::Message { to, text, .. }) => Request::Message { to, text },
            Command::Ask(core::Request::Broadcast { text }) => Request::Broadcast { text },
            Command::Ask(core::Request::Online) => Request::Online,
            Command::Ask(core::Request::Block { user }) => Request::Block { user },
            Command::Ask(core::Request::Unblock { user }) => Request::Unblock { user },
            Command::GetAddress { user } => Request::GetAddress { user },
            Command::Consent { user, yes } => Request::Consent { user, yes },
            Command::Private { user, text: Some(text) } => Request::Private { user, text },
            Command::Private { text: None, .. } => {
                return Some(Err(Failure::usage("'private' needs a text in this protocol: each text goes by itself")));
            }
            Command::Ask(core::Request::Chat { user }) => Request::Chat { user },
            Command::Say { text } => Request::Say { text },
            Command::Ask(core::Request::EndChat) => Request::EndChat,
            Command::Ask(core::Request::History { with: Some(user), count }) => Request::History { user, count },
            Command::Ask(core::Request::History { with: None, .. }) => {
                return Some(Err(Failure::usage("'history' needs a USER in this protocol")));
            }
            Command::EndPrivate { .. } => {
                return Some(Err(Failure::usage("there are no private conversations in this protocol: 'end chat'")));
            }
            Command::LogIn { .. } => return Some(Err(Failure::usage(SECOND_LOG_IN))),
            Command::MessageFromInput { to } => match super::message_from_input(to, false) {
                Ok(core::Request::Message { to, text, .. }) => Request::Message { to, text },
                Ok(_) => return None,
                Err(why) => return Some(Err(why)),
            },
            _ => return None,
        }))
    }
}

/// The log-in takes too long.
fn no_answer(patience: &Patience) -> Failure {
    let seconds = patience.log_in_within.as_secs_f64();
    Failure::new(Status::NoServer, format!("no answer from the server within {seconds} s"))
}

/// Does what the command line asks for, from beginning to end.
pub fn start(mut options: Options) -> Result<Status, Ended> {
    let request = options.command.take().and_then(Request::of).transpose()?;
    let is_person = request.is_none() && options.is_person();
    let user = options.user(is_person)?;
    if is_person {
        warn(&show::not_encrypted(options.protocol));
    }
    let interrupt = Interrupt::watch();
    let mut given = match &options.password {
        _ if !options.protocol.has_passwords() => None,
        PasswordFrom::File(path) => Some(passwords::in_file(path)?),
        PasswordFrom::Given(password) => Some(password.clone()),
        PasswordFrom::Person => None,
    };
    let mut wrong = 0;
    loop {
        let session = session(&options, &user, given.take(), is_person)?;
        let mut connection = Connection::dial(options.target.clone(), session)?;
        interrupt.leave_to_the_program(connection.bell());
        let result = match &request {
            Some(request) => {
                run(&mut connection, &mut one_shot::Errand::new(request.clone(), options.json), &interrupt)
            }
            None if is_person => {
                let mut talk = talk::Talk::new(options.protocol, super::look(), connection.bell());
                let result = run(&mut connection, &mut talk, &interrupt);
                talk.close(&interrupt);
                result
            }
            None => {
                let mut script = script::FromInput::new(options.protocol, options.json, connection.bell());
                run(&mut connection, &mut script, &interrupt)
            }
        };
        // A question for the password must be interruptible.
        interrupt.end_at_once();
        match result {
            Err(Ended::WrongPassword(failure)) if options.asks(is_person) && wrong + 1 < TRIES => {
                warn(&failure.text);
                wrong += 1;
            }
            result => return result,
        }
    }
}

fn session(
    options: &Options,
    user: &UserName,
    given: Option<String>,
    is_person: bool,
) -> Result<Box<dyn Session>, Failure> {
    let Options { within, answer_within, .. } = *options;
    // A command and a script have a limit of their own.
    let log_in_within = if is_person { core::LOG_IN_WITHIN } else { within };
    let patience = Patience { log_in_within, within, answer_within };
    if !options.protocol.has_passwords() {
        return Ok(Box::new(nick::Session::new(user.clone(), patience)));
    }
    let password = match given {
        Some(password) => password,
        None => passwords::ask(user)?,
    };
    let (user, password) = (user.clone(), passwords::valid(&password)?);
    Ok(match options.protocol {
        Protocol::Session => Box::new(session::Session::new(session::Login { user, secret: password }, patience)),
        Protocol::Datagram => {
            let login = datagram::Login { user, password, server: options.target.clone(), receipts: options.receipts };
            Box::new(datagram::Session::new(login, patience))
        }
        Protocol::Native | Protocol::Request | Protocol::Nick => {
            let heartbeat = options.heartbeat.unwrap_or(super::HEARTBEAT_DEFAULT);
            Box::new(request::Session::new(request::Login { user, password, heartbeat }, patience))
        }
    })
}
