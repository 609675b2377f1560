//! What can happen to the hub: everything that net tells it.

use std::sync::Arc;

use super::challenge::{Challenge, Response};
use super::change::Change;
use super::credentials::{Credential, Password, PasswordDigest};
use super::fingerprint::Fingerprint;
use super::id::{ConnectionId, DeviceId, Endpoint, LogId, Number, PeerAddress, RequestId};
use super::message::HistoryPage;
use super::name::UserName;
use super::scram::{ChannelBinding, ClientFinal, ClientFirst, StoredKeys, Verifier};
use super::text::{Text, TextError};
use super::time::LocalTime;

/// One thing that happened.
#[derive(Debug)]
pub enum Input {
    /// A client is there; it has said nothing yet.
    Connected { connection: ConnectionId, peer: Peer },
    /// A client asks for something.
    Request { connection: ConnectionId, id: Option<RequestId>, request: Request },
    /// A client asks for something, and says who it is, on a connection of its own that is none of the hub's: it counts for
    /// the session that is reached by calls, if one of that user was begun from this address. The answer goes there.
    Posted { from: PeerAddress, user: UserName, id: Option<RequestId>, request: Request },
    /// A datagram wants to log on to a session that goes on with a connection (protocols.md, section 2).
    LogOn { from: Endpoint, step: LogOn },
    /// Everything up to this number has reached a client that has no numbers (protocols.md, "Common to all"). `words`: what it
    /// says to that, for whoever sent the message, if it says anything.
    Shown { connection: ConnectionId, number: Number, words: Option<Text> },
    /// A client has acknowledged nothing of what was sent to it again and again: it is gone, and what it is owed waits.
    Unreached { connection: ConnectionId },
    /// A client that is reached by calls was called, and has taken what was for it; or not.
    Called { connection: ConnectionId, reached: bool },
    /// A client that is not read for now is there all the same: it takes what is written, or waits for the server itself.
    Heard { connection: ConnectionId },
    /// The connection is gone; effects for it reach nobody.
    Closed { connection: ConnectionId },
    /// The operator's accounts, read anew. They replace those of the last time. `public`: everybody knows their passwords,
    /// so they work from loopback only.
    Accounts { credentials: Vec<Credential>, public: bool },
    /// The worker has finished what `Effect::Derive` asked for with this ticket.
    Derived { ticket: Ticket, verifiers: Vec<(UserName, Arc<Verifier>)> },
    /// The store has answered what `Effect::Query` asked for; `None`: it could not.
    History { connection: ConnectionId, id: Option<RequestId>, page: Option<HistoryPage> },
    /// These changes, the oldest first, are not on disk and never will be. Effects that depended on them are void.
    CommitFailed(Vec<Change>),
    /// The server stops.
    Shutdown,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Somebody from the network.
    Stranger {
        address: PeerAddress,
        /// Of the TLS connection; `None`: it is not encrypted.
        binding: Option<ChannelBinding>,
        /// Whether whoever is there may make an account.
        may_sign_up: bool,
    },
    /// Whoever runs the server, through its control socket.
    Operator,
}

/// A step of such a log-on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOn {
    /// `None`: nobody can have the name that was given.
    Hello(Option<UserName>),
    Response {
        user: Option<UserName>,
        response: Response,
    },
}

/// Tells one job of the worker's from another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What a client can ask for. Which of these need a log-in stands in one place, `Request::precondition`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The first half of a log-in.
    LogIn {
        mechanism: Mechanism,
        first: ClientFirst,
        device: Option<DeviceClaim>,
    },
    /// The second half.
    Authenticate(ClientFinal),
    /// A whole log-in with the password itself, by a client that is reached by calls from then on: at this port of the
    /// address that it comes from. `None`: what was given can't be a password.
    LogInByPassword {
        name: UserName,
        password: Option<Password>,
        port: PeerPort,
    },
    /// A whole log-in with what the `datagram` protocol has in place of the password; or a sign-up, if nobody has the name and
    /// the client is where that is allowed.
    LogInByDigest {
        name: UserName,
        digest: PasswordDigest,
    },
    /// The client is whoever was challenged with this, and has answered it.
    Connect(Challenge),
    /// Somebody without an account comes in under this name, for as long as the connection lasts.
    Enter(UserName),
    /// What was to be sent is no text: the sender is told why.
    Unfit(TextError),
    /// In place of the second half: an account of the name that was challenged, with these keys from now on. The client
    /// has made them with the salt and the iterations of its challenge.
    SignUp(StoredKeys),
    /// Another password for oneself, by its keys, made in the same way.
    ChangePassword(StoredKeys),
    /// What only the operator may ask for.
    Operate(Operation),
    LogOut,
    /// A private message. `counter` is the device's own number for it; `receipt`: tell this connection when it was delivered.
    Message {
        to: UserName,
        text: Text,
        counter: Option<u64>,
        receipt: bool,
    },
    /// A message to all who are online.
    Broadcast {
        text: Text,
        counter: Option<u64>,
    },
    /// May this client chat with this user? It is in one chat at a time.
    Chat(UserName),
    /// A text for whom this client chats with.
    Say(Text),
    /// The chat is over. `None`: whichever it is.
    EndChat(Option<LocalTime>),
    /// Everything up to this number has been shown on this device.
    Acknowledge(Number),
    /// Nothing but a sign of life.
    Alive,
    /// Who is online?
    Online,
    Block(UserName),
    Unblock(UserName),
    /// Whom do I block?
    Blocked,
    /// May I know where this user is? `certificate`: what I show when I come; `None`: nothing, I come without encryption.
    AskAddress {
        user: UserName,
        certificate: Option<Fingerprint>,
    },
    /// The answer to such a question; `None`: no.
    Consent {
        user: UserName,
        offer: Option<Offer>,
    },
    /// A yes is taken back.
    Revoke(UserName),
    /// Who may reach me, and who has asked?
    Privacy,
    History {
        with: Option<UserName>,
        before: Option<Number>,
        limit: usize,
    },
}

/// What the operator does with accounts, and asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new account. `classic`: its password is kept, sealed.
    Add { name: UserName, password: Password, classic: bool },
    /// Another password; `classic`: `None` leaves that as it is.
    SetPassword { name: UserName, password: Password, classic: Option<bool> },
    /// The account goes, and its name is free.
    Remove(UserName),
    /// Who has an account?
    List,
    /// Ends all lock-outs of a name.
    Unlock(UserName),
    /// Ends all sessions of a user.
    Kick(UserName),
    /// How much is there of everything?
    Status,
}

/// Where whoever has said yes can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// At a listening socket with this port, where they show this certificate.
    Encrypted { port: PeerPort, certificate: Fingerprint },
    /// At the socket where the server calls them.
    WhereCalled,
}

/// A TCP port that a client listens at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerPort(u16);

impl PeerPort {
    /// Below are the well-known services (RFC 6335, section 6): nobody is to be sent there.
    pub const MIN: u16 = 1024;

    pub fn parse(port: u64) -> Option<PeerPort> {
        u16::try_from(port).ok().filter(|&port| port >= PeerPort::MIN).map(PeerPort)
    }

    pub fn get(self) -> u16 {
        self.0
    }
}

/// By what a client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// SCRAM-SHA-256 with the account's password (RFC 5802, RFC 7677).
    Password,
    /// The same exchange with the resume token of an earlier log-in of the same device.
    Token,
}

/// Which device logs in, and what it remembers having shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceClaim {
    pub id: DeviceId,
    /// Up to which number of which log.
    pub shown: Option<(LogId, Number)>,
}

/// What must hold for a request before its handler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    LoggedOut,
    /// A challenge was sent on this connection and not answered yet.
    Challenged,
    LoggedIn,
    /// Logged in, and as a device.
    Device,
    /// On the control socket.
    Operator,
}

impl Request {
    pub fn precondition(&self) -> Precondition {
        match self {
            Request::LogIn { .. }
            | Request::LogInByPassword { .. }
            | Request::LogInByDigest { .. }
            | Request::Connect(_)
            | Request::Enter(_) => Precondition::LoggedOut,
            Request::Authenticate(_) | Request::SignUp(_) => Precondition::Challenged,
            Request::Operate(_) => Precondition::Operator,
            Request::Acknowledge(_)
            | Request::Message { counter: Some(_), .. }
            | Request::Broadcast { counter: Some(_), .. } => Precondition::Device,
            Request::LogOut
            | Request::ChangePassword(_)
            | Request::Message { .. }
            | Request::Broadcast { .. }
            | Request::Chat(_)
            | Request::Say(_)
            | Request::EndChat(_)
            | Request::Alive
            | Request::Unfit(_)
            | Request::Online
            | Request::Block(_)
            | Request::Unblock(_)
            | Request::Blocked
            | Request::AskAddress { .. }
            | Request::Consent { .. }
            | Request::Revoke(_)
            | Request::Privacy
            | Request::History { .. } => Precondition::LoggedIn,
        }
    }
}
