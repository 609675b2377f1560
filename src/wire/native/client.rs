//! The client's side of the native protocol: requests out, answers and events in.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::SERVER_LINE_BYTES_MAX;
use super::shape::{AccountLine, EventOnly, PendingLine, RequestLine, ServerLine, StatusLine, Str};
use crate::hub::effect::{Listed, Pending, PrivacyList};
use crate::hub::fingerprint::Fingerprint;
use crate::hub::id::{LogId, Number, RequestId};
use crate::hub::input::{DeviceClaim, Offer, Operation, PeerPort};
use crate::hub::name::UserName;
use crate::hub::scram::StoredKeys;
use crate::hub::status::Status;
use crate::hub::text::Text;
use crate::hub::time::LocalTime;
use crate::wire::hex::hex;
use crate::wire::lines::{Line, first_line};

/// A request, as a client sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// `bound`: to the TLS connection.
    LogIn {
        resume: bool,
        bound: bool,
        message: String,
        device: Option<DeviceClaim>,
    },
    Authenticate {
        message: String,
    },
    SignUp {
        keys: StoredKeys,
    },
    ChangePassword {
        keys: StoredKeys,
    },
    Operate(Operation),
    LogOut,
    Message {
        to: UserName,
        text: Text,
        counter: Option<u64>,
        receipt: bool,
    },
    Broadcast {
        text: Text,
        counter: Option<u64>,
    },
    Chat {
        user: UserName,
    },
    /// `None`: whichever it is.
    EndChat {
        id: Option<LocalTime>,
    },
    Acknowledge {
        number: Number,
    },
    Alive,
    Online,
    Block {
        user: UserName,
    },
    Unblock {
        user: UserName,
    },
    Blocked,
    AskAddress {
        user: UserName,
        certificate: Fingerprint,
    },
    /// `None`: no.
    Consent {
        user: UserName,
        offer: Option<Offer>,
    },
    Revoke {
        user: UserName,
    },
    Privacy,
    History {
        with: Option<UserName>,
        before: Option<Number>,
        limit: usize,
    },
}

/// A line of the server's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromServer {
    /// The answer to the request with this id. A violation is reported without one.
    Answer {
        id: Option<RequestId>,
        answer: Result<Told, Problem>,
    },
    News(News),
}

/// An answer that says: done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// `hashed`: the digest of the password stands in its place.
    Challenge {
        message: String,
        hashed: bool,
    },
    LoggedIn {
        message: String,
        user: UserName,
        heartbeat_timeout: Duration,
        log: LogId,
        counter: u64,
        waiting: u64,
    },
    LoggedOut,
    SignedUp {
        user: UserName,
    },
    PasswordChanged {
        user: UserName,
    },
    UserAdded {
        user: UserName,
    },
    UserRemoved {
        user: UserName,
    },
    Users {
        accounts: Vec<Listed>,
        continues: bool,
    },
    UserUnlocked {
        user: UserName,
    },
    /// So many sessions were ended.
    UserKicked {
        user: UserName,
        sessions: u64,
    },
    Status(Status),
    Accepted {
        number: Number,
        reach: ReachTold,
    },
    /// `id`: what the chat is called.
    ChatStarted {
        id: LocalTime,
        user: UserName,
    },
    ChatEnded {
        id: LocalTime,
        user: UserName,
    },
    Acknowledged,
    Alive,
    /// `continues`: more follow in another answer with the same id.
    Online {
        users: Vec<UserName>,
        continues: bool,
    },
    Blocked {
        user: UserName,
    },
    Unblocked {
        user: UserName,
    },
    BlockList {
        users: Vec<UserName>,
        continues: bool,
    },
    Asked {
        user: UserName,
        answer_within: Duration,
    },
    /// Whoever asked may come for so long; `address` and `certificate` are theirs.
    Consented {
        user: UserName,
        address: IpAddr,
        certificate: Fingerprint,
        connect_within: Duration,
    },
    Declined {
        user: UserName,
    },
    Revoked {
        user: UserName,
    },
    Privacy(PrivacyList),
    History {
        messages: Vec<Heard>,
        more: bool,
        continues: bool,
    },
}

/// How far an accepted message got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReachTold {
    Online,
    Queued,
    Partial,
}

/// An answer that says: not done, and why. `code` is for programs, `text` for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub code: String,
    pub text: String,
    /// After this time the same can be asked again.
    pub retry_after: Option<Duration>,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Message(Heard),
    Online {
        user: UserName,
    },
    Offline {
        user: UserName,
    },
    Delivered {
        number: Number,
        to: UserName,
    },
    /// Somebody has begun a chat with this client.
    ChatStarted {
        id: LocalTime,
        user: UserName,
    },
    /// The other side of this client's chat has ended it, or is gone.
    ChatEnded {
        id: LocalTime,
        user: UserName,
    },
    /// The token that was derived in this log-in is valid.
    Token,
    Missed {
        count: u64,
    },
    /// Somebody wants to know where this client is, and will show this certificate.
    Asks {
        user: UserName,
        certificate: Fingerprint,
        answer_within: Duration,
    },
    AskOver {
        user: UserName,
        reason: String,
    },
    /// The answer is yes: the user is there, and expects us for so long.
    Address {
        user: UserName,
        address: SocketAddr,
        certificate: Fingerprint,
        connect_within: Duration,
    },
    NoAddress {
        user: UserName,
        reason: String,
    },
    Revoked {
        user: UserName,
    },
    Closing {
        reason: String,
        text: String,
    },
    /// A server newer than this client has told something; it can be left out.
    Unknown,
}

/// A message, as the server tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub number: Number,
    /// Milliseconds since 1970-01-01 00:00 UTC, by the server's clock.
    pub time: u64,
    pub from: Party,
    pub to: Party,
    pub text: String,
}

/// An end of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Party {
    User(UserName),
    /// Only as a recipient.
    Everyone,
    /// Only as a sender.
    Server,
    /// Whoever hears it.
    You,
}

/// What stands at the beginning of what the server sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Hear {
    Wait,
    Line {
        used: usize,
        line: FromServer,
    },
    /// This is no native server, or it has gone mad.
    NotUnderstood,
}

/// Appends a request and its newline.
pub fn encode(id: Option<RequestId>, ask: &Ask, out: &mut Vec<u8>) {
    let line = |request: &'static str| RequestLine {
        id: id.map(|id| id.0),
        request: Some(request.into()),
        ..RequestLine::default()
    };
    let line = match ask {
        Ask::LogIn { resume, bound, message, device } => RequestLine {
            mechanism: Some(
                match (resume, bound) {
                    (false, false) => "SCRAM-SHA-256",
                    (false, true) => "SCRAM-SHA-256-PLUS",
                    (true, false) => "RESUME-SHA-256",
                    (true, true) => "RESUME-SHA-256-PLUS",
                }
                .into(),
            ),
            message: Some(message.as_str().into()),
            device: device.map(|device| device.id.to_string().into()),
            log: device.and_then(|device| device.shown).map(|(log, _)| log.to_string().into()),
            shown: device.and_then(|device| device.shown).map(|(_, shown)| shown.0),
            ..line("log-in")
        },
        Ask::Authenticate { message } => RequestLine { message: Some(message.as_str().into()), ..line("authenticate") },
        Ask::SignUp { keys } => with_keys(line("sign-up"), keys),
        Ask::ChangePassword { keys } => with_keys(line("password"), keys),
        Ask::Operate(Operation::Add { name, password, classic }) => RequestLine {
            user: Some(name.as_str().into()),
            password: Some(password.as_str().into()),
            classic: classic.then_some(true),
            ..line("user-add")
        },
        Ask::Operate(Operation::SetPassword { name, password, classic }) => RequestLine {
            user: Some(name.as_str().into()),
            password: Some(password.as_str().into()),
            classic: *classic,
            ..line("user-password")
        },
        Ask::Operate(Operation::Remove(name)) => {
            RequestLine { user: Some(name.as_str().into()), ..line("user-remove") }
        }
        Ask::Operate(Operation::List) => line("users"),
        Ask::Operate(Operation::Unlock(name)) => {
            RequestLine { user: Some(name.as_str().into()), ..line("user-unlock") }
        }
        Ask::Operate(Operation::Kick(name)) => RequestLine { user: Some(name.as_str().into()), ..line("user-kick") },
        Ask::Operate(Operation::Status) => line("status"),
        Ask::LogOut => line("log-out"),
        Ask::Message { to, text, counter, receipt } => RequestLine {
            to: Some(to.as_str().into()),
            text: Some(text.as_str().into()),
            counter: *counter,
            receipt: receipt.then_some(true),
            ..line("message")
        },
        Ask::Broadcast { text, counter } => {
            RequestLine { text: Some(text.as_str().into()), counter: *counter, ..line("broadcast") }
        }
        Ask::Chat { user } => RequestLine { user: Some(user.as_str().into()), ..line("chat") },
        Ask::EndChat { id } => RequestLine { chat: id.map(|id| id.to_string().into()), ..line("end-chat") },
        Ask::Acknowledge { number } => RequestLine { number: Some(number.0), ..line("acknowledge") },
        Ask::Alive => line("alive"),
        Ask::Online => line("online"),
        Ask::Block { user } => RequestLine { user: Some(user.as_str().into()), ..line("block") },
        Ask::Unblock { user } => RequestLine { user: Some(user.as_str().into()), ..line("unblock") },
        Ask::Blocked => line("blocked"),
        Ask::AskAddress { user, certificate } => RequestLine {
            user: Some(user.as_str().into()),
            certificate: Some(certificate.to_string().into()),
            ..line("ask-address")
        },
        Ask::Consent { user, offer } => RequestLine {
            user: Some(user.as_str().into()),
            answer: Some(offer.is_some()),
            port: encrypted(offer).map(|(port, _)| port.get()),
            certificate: encrypted(offer).map(|(_, certificate)| certificate.to_string().into()),
            ..line("consent")
        },
        Ask::Revoke { user } => RequestLine { user: Some(user.as_str().into()), ..line("revoke") },
        Ask::Privacy => line("privacy"),
        Ask::History { with, before, limit } => RequestLine {
            with: with.as_ref().map(|user| user.as_str().into()),
            before: before.map(|number| number.0),
            limit: Some(*limit),
            ..line("history")
        },
    };
    serde_json::to_writer(&mut *out, &line).expect("strings and numbers can be written to memory");
    out.push(b'\n');
}

/// Appends the counts of a status as one JSON object, as they stand in the answer, and a newline.
pub fn encode_status(status: &Status, out: &mut Vec<u8>) {
    serde_json::to_writer(&mut *out, &StatusLine::from(*status)).expect("numbers can be written to memory");
    out.push(b'\n');
}

/// What an offer says, in this protocol's words.
fn encrypted(offer: &Option<Offer>) -> Option<(PeerPort, Fingerprint)> {
    match offer {
        Some(Offer::Encrypted { port, certificate }) => Some((*port, *certificate)),
        Some(Offer::WhereCalled) | None => None,
    }
}

fn with_keys<'a>(line: RequestLine<'a>, keys: &StoredKeys) -> RequestLine<'a> {
    let (stored_key, server_key) = (hex(&keys.stored_key).into(), hex(&keys.server_key).into());
    RequestLine { stored_key: Some(stored_key), server_key: Some(server_key), ..line }
}

/// Reads the line at the beginning of `bytes`.
pub fn decode(bytes: &[u8]) -> Hear {
    let (line, used) = match first_line(bytes, SERVER_LINE_BYTES_MAX) {
        Line::Whole { line, used } => (line, used),
        Line::Partial if bytes.trim_ascii_start().first().is_some_and(|&b| b != b'{') => return Hear::NotUnderstood,
        Line::Partial => return Hear::Wait,
        Line::TooLong => return Hear::NotUnderstood,
    };
    if line.trim_ascii_start().first() != Some(&b'{') {
        return Hear::NotUnderstood;
    }
    let line = match serde_json::from_slice::<ServerLine>(line) {
        Ok(line) => from_server(line),
        // A newer server's event may use a field in another sense.
        Err(error) if error.is_data() => unknown_event(line),
        Err(_) => None,
    };
    line.map_or(Hear::NotUnderstood, |line| Hear::Line { used, line })
}

fn from_server(mut line: ServerLine<'_>) -> Option<FromServer> {
    if let Some(event) = line.event.take() {
        return news(&event, line).map(FromServer::News);
    }
    let id = line.id.map(RequestId);
    if let Some(code) = line.error {
        let text = line.text.map(owned).unwrap_or_default();
        let retry_after = line.retry_after.map(Duration::from_millis);
        return Some(FromServer::Answer { id, answer: Err(Problem { code: owned(code), text, retry_after }) });
    }
    let reply = line.reply.take()?;
    told(&reply, line).map(|told| FromServer::Answer { id, answer: Ok(told) })
}

fn unknown_event(line: &[u8]) -> Option<FromServer> {
    let event = serde_json::from_slice::<EventOnly>(line).ok()?.event;
    // An event that is known lacks its fields here.
    news(&event, ServerLine::default()).map(FromServer::News)
}

fn told(reply: &str, line: ServerLine<'_>) -> Option<Told> {
    let continues = line.continues.unwrap_or(false);
    Some(match reply {
        "challenge" => Told::Challenge { message: owned(line.message?), hashed: line.hashed.unwrap_or(false) },
        "logged-in" => Told::LoggedIn {
            message: owned(line.message?),
            user: name(line.user?)?,
            heartbeat_timeout: Duration::from_secs(line.heartbeat_timeout?),
            log: LogId::parse(&line.log?)?,
            counter: line.counter?,
            waiting: line.waiting?,
        },
        "logged-out" => Told::LoggedOut,
        "signed-up" => Told::SignedUp { user: name(line.user?)? },
        "password-changed" => Told::PasswordChanged { user: name(line.user?)? },
        "user-added" => Told::UserAdded { user: name(line.user?)? },
        "user-removed" => Told::UserRemoved { user: name(line.user?)? },
        "users" => Told::Users { accounts: line.accounts?.into_iter().map(listed).collect::<Option<_>>()?, continues },
        "user-unlocked" => Told::UserUnlocked { user: name(line.user?)? },
        "user-kicked" => Told::UserKicked { user: name(line.user?)?, sessions: line.count? },
        "status" => Told::Status(line.counts?.into()),
        "accepted" => Told::Accepted {
            number: Number(line.number?),
            reach: match &*line.reach? {
                "online" => ReachTold::Online,
                "partial" => ReachTold::Partial,
                _ => ReachTold::Queued,
            },
        },
        "chat-started" => Told::ChatStarted { id: LocalTime::parse(&line.chat?)?, user: name(line.user?)? },
        "chat-ended" => Told::ChatEnded { id: LocalTime::parse(&line.chat?)?, user: name(line.user?)? },
        "acknowledged" => Told::Acknowledged,
        "alive" => Told::Alive,
        "online" => Told::Online { users: names(line.users?)?, continues },
        "blocked" => Told::Blocked { user: name(line.user?)? },
        "unblocked" => Told::Unblocked { user: name(line.user?)? },
        "block-list" => Told::BlockList { users: names(line.users?)?, continues },
        "asked" => Told::Asked { user: name(line.user?)?, answer_within: Duration::from_secs(line.seconds?) },
        "consented" => Told::Consented {
            user: name(line.user?)?,
            address: line.address?.parse().ok()?,
            certificate: Fingerprint::parse(&line.certificate?)?,
            connect_within: Duration::from_secs(line.seconds?),
        },
        "declined" => Told::Declined { user: name(line.user?)? },
        "revoked" => Told::Revoked { user: name(line.user?)? },
        "privacy" => {
            let all = |lines: Vec<PendingLine<'_>>| lines.into_iter().map(pending).collect::<Option<Vec<_>>>();
            Told::Privacy(PrivacyList {
                blocked: names(line.blocked?)?,
                consents: all(line.consents?)?,
                asked_by: all(line.asked_by?)?.into_iter().next(),
                asking: all(line.asking?)?,
            })
        }
        "history" => Told::History {
            messages: line
                .messages?
                .into_iter()
                .map(|message| {
                    Some(Heard {
                        number: Number(message.number),
                        time: message.time,
                        from: party(message.from)?,
                        to: party(message.to)?,
                        text: owned(message.text),
                    })
                })
                .collect::<Option<_>>()?,
            more: line.more.unwrap_or(false),
            continues,
        },
        _ => return None,
    })
}

fn news(event: &str, line: ServerLine<'_>) -> Option<News> {
    let heard = |line: ServerLine<'_>, to: Party| {
        Some(News::Message(Heard {
            number: Number(line.number?),
            time: line.time?,
            from: party(line.from?)?,
            to,
            text: owned(line.text?),
        }))
    };
    Some(match event {
        "message" | "note" => heard(line, Party::You)?,
        "broadcast" => heard(line, Party::Everyone)?,
        "online" => News::Online { user: name(line.user?)? },
        "offline" => News::Offline { user: name(line.user?)? },
        "delivered" => News::Delivered { number: Number(line.number?), to: name(line.to?)? },
        "chat-started" => News::ChatStarted { id: LocalTime::parse(&line.chat?)?, user: name(line.user?)? },
        "chat-ended" => News::ChatEnded { id: LocalTime::parse(&line.chat?)?, user: name(line.user?)? },
        "token" => News::Token,
        "missed" => News::Missed { count: line.count? },
        "asks" => News::Asks {
            user: name(line.user?)?,
            certificate: Fingerprint::parse(&line.certificate?)?,
            answer_within: Duration::from_secs(line.seconds?),
        },
        "ask-over" => News::AskOver { user: name(line.user?)?, reason: owned(line.reason?) },
        "address" => News::Address {
            user: name(line.user?)?,
            address: SocketAddr::new(line.address?.parse().ok()?, PeerPort::parse(line.port?.into())?.get()),
            certificate: Fingerprint::parse(&line.certificate?)?,
            connect_within: Duration::from_secs(line.seconds?),
        },
        "no-address" => News::NoAddress { user: name(line.user?)?, reason: owned(line.reason?) },
        "revoked" => News::Revoked { user: name(line.user?)? },
        "closing" => News::Closing { reason: owned(line.reason?), text: line.text.map(owned).unwrap_or_default() },
        _ => News::Unknown,
    })
}

fn listed(account: AccountLine<'_>) -> Option<Listed> {
    let AccountLine { name: text, in_file, classic, hashed, online, locked } = account;
    Some(Listed { name: name(text)?, in_file, classic, hashed, online, locked })
}

fn pending(line: PendingLine<'_>) -> Option<Pending> {
    Some(Pending { user: name(line.user)?, left: Duration::from_secs(line.seconds) })
}

fn owned(text: Str<'_>) -> String {
    text.0.into_owned()
}

fn name(text: Str<'_>) -> Option<UserName> {
    UserName::parse(&text).ok()
}

fn names(texts: Vec<Str<'_>>) -> Option<Vec<UserName>> {
    texts.into_iter().map(name).collect()
}

fn party(text: Str<'_>) -> Option<Party> {
    match &*text {
        "everyone" => Some(Party::Everyone),
        "server" => Some(Party::Server),
        _ => name(text).map(Party::User),
    }
}
