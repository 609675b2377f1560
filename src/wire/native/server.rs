//! The server's side of the native protocol: requests in, answers and events out.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;

use super::shape::{AccountLine, IdOnly, MessageLine, PendingLine, RequestFields, ServerLine, Str};
use super::{HISTORY_LIMIT_DEFAULT, HISTORY_LIMIT_MAX, REQUEST_BYTES_MAX, SERVER_LINE_BYTES_MAX};
use crate::hub::credentials::Password;
use crate::hub::effect::{Answer, AskOver, CloseReason, Event, Listed, NoAddress, Pending, Reach, Refusal, Reply};
use crate::hub::fingerprint::Fingerprint;
use crate::hub::id::{DeviceId, LogId, Number, RequestId};
use crate::hub::input::{DeviceClaim, Mechanism, Offer, Operation, PeerPort, Request};
use crate::hub::message::{HistoryPage, Message, Recipient, Sender};
use crate::hub::name::UserName;
use crate::hub::scram::{ClientFinal, ClientFirst, Header, StoredKeys};
use crate::hub::text::{Text, TextError};
use crate::hub::time::LocalTime;
use crate::wire::hex::unhex;
use crate::wire::lines::{Line, first_line};
use crate::wire::{Farewell, Step, words};

/// The highest number that every JSON library keeps exact (RFC 8259, section 6).
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Why a line is no request.
struct Malformed {
    code: &'static str,
    text: String,
}

/// Reads the next request; see `Conversation::decode`.
pub(in crate::wire) fn decode(bytes: &[u8]) -> Step {
    let (line, used) = match first_line(bytes, REQUEST_BYTES_MAX) {
        Line::Whole { line, used } => (line, used),
        Line::Partial => return Step::Wait,
        Line::TooLong => return violation("too-long", format!("a request has at most {REQUEST_BYTES_MAX} bytes")),
    };
    if line.trim_ascii().is_empty() {
        return Step::Refused { used, reply: Vec::new() };
    }
    let Ok(line) = std::str::from_utf8(line) else {
        return violation("not-utf8", "a request is UTF-8".to_owned());
    };
    if !line.trim_ascii_start().starts_with('{') {
        return violation("not-json", "a request is a JSON object on a line".to_owned());
    }
    let fields = match serde_json::from_str::<RequestFields>(line) {
        Ok(fields) => fields,
        // All that can be wrong with well-formed JSON here: a field stands there twice.
        Err(error) if error.is_data() => {
            let id = serde_json::from_str::<IdOnly>(line).ok().and_then(|line| integer(line.id, "id").ok()?);
            return refused(used, id, Malformed { code: "bad-request", text: plain(&error) });
        }
        Err(error) => return violation("not-json", format!("a request is a JSON object on a line: {}", plain(&error))),
    };
    let id = match integer(fields.id, "id") {
        Ok(id) => id,
        Err(malformed) => return refused(used, None, malformed),
    };
    match request(&fields) {
        Ok(request) => {
            // These two may go without an id, and then without an answer.
            if id.is_none() && !matches!(request, Request::Acknowledge(_) | Request::Alive) {
                return refused(used, None, missing("id"));
            }
            Step::Request { used, id: id.map(RequestId), request }
        }
        Err(malformed) => refused(used, id, malformed),
    }
}

fn request(fields: &RequestFields<'_>) -> Result<Request, Malformed> {
    Ok(match &*need(string(fields.request, "request"), "request")? {
        "log-in" => log_in(fields)?,
        "authenticate" => Request::Authenticate(
            ClientFinal::parse(&need(string(fields.message, "message"), "message")?).map_err(bad)?,
        ),
        "sign-up" => Request::SignUp(need(keys(fields), "stored-key")?),
        "password" => Request::ChangePassword(need(keys(fields), "stored-key")?),
        "user-add" => Request::Operate(Operation::Add {
            name: user(fields)?,
            password: password(fields)?,
            classic: boolean(fields.classic, "classic")?.unwrap_or(false),
        }),
        "user-password" => Request::Operate(Operation::SetPassword {
            name: user(fields)?,
            password: password(fields)?,
            classic: boolean(fields.classic, "classic")?,
        }),
        "user-remove" => Request::Operate(Operation::Remove(user(fields)?)),
        "users" => Request::Operate(Operation::List),
        "user-unlock" => Request::Operate(Operation::Unlock(user(fields)?)),
        "user-kick" => Request::Operate(Operation::Kick(user(fields)?)),
        "status" => Request::Operate(Operation::Status),
        "log-out" => Request::LogOut,
        "message" => Request::Message {
            to: name(need(string(fields.to, "to"), "to")?)?,
            text: text(need(string(fields.text, "text"), "text")?)?,
            counter: counter(fields)?,
            receipt: boolean(fields.receipt, "receipt")?.unwrap_or(false),
        },
        "broadcast" => {
            Request::Broadcast { text: text(need(string(fields.text, "text"), "text")?)?, counter: counter(fields)? }
        }
        "chat" => Request::Chat(user(fields)?),
        "end-chat" => Request::EndChat(chat(fields)?),
        "acknowledge" => Request::Acknowledge(Number(need(integer(fields.number, "number"), "number")?)),
        "alive" => Request::Alive,
        "online" => Request::Online,
        "block" => Request::Block(user(fields)?),
        "unblock" => Request::Unblock(user(fields)?),
        "blocked" => Request::Blocked,
        "ask-address" => Request::AskAddress { user: user(fields)?, certificate: Some(certificate(fields)?) },
        "consent" => Request::Consent { user: user(fields)?, offer: offer(fields)? },
        "revoke" => Request::Revoke(user(fields)?),
        "privacy" => Request::Privacy,
        "history" => Request::History {
            with: string(fields.with, "with")?.map(name).transpose()?,
            before: integer(fields.before, "before")?.map(Number),
            limit: match integer(fields.limit, "limit")?.map(|limit| limit as usize) {
                None => HISTORY_LIMIT_DEFAULT,
                Some(limit @ 1..=HISTORY_LIMIT_MAX) => limit,
                Some(_) => return Err(bad(&format!("'limit' is 1 to {HISTORY_LIMIT_MAX}"))),
            },
        },
        _ => {
            let text = "there is no such request; docs/PROTOCOL.md lists them".to_owned();
            return Err(Malformed { code: "unknown-request", text });
        }
    })
}

fn log_in(fields: &RequestFields<'_>) -> Result<Request, Malformed> {
    let (mechanism, header) = match &*need(string(fields.mechanism, "mechanism"), "mechanism")? {
        "SCRAM-SHA-256" => (Mechanism::Password, Header::Unbound),
        "SCRAM-SHA-256-PLUS" => (Mechanism::Password, Header::Exporter),
        "RESUME-SHA-256" => (Mechanism::Token, Header::Unbound),
        "RESUME-SHA-256-PLUS" => (Mechanism::Token, Header::Exporter),
        _ => return Err(bad("'mechanism' is SCRAM-SHA-256 or RESUME-SHA-256, over TLS also with -PLUS")),
    };
    let first = ClientFirst::parse(&need(string(fields.message, "message"), "message")?).map_err(bad)?;
    if first.header != header {
        return Err(bad(
            "the message begins with 'p=tls-exporter,,' where the mechanism ends in -PLUS, else with 'n,,'",
        ));
    }
    Ok(Request::LogIn { mechanism, first, device: device(fields)? })
}

/// The keys of a new password; they count only together.
fn keys(fields: &RequestFields<'_>) -> Result<Option<StoredKeys>, Malformed> {
    let key = |field, called: &'static str| match string(field, called)? {
        Some(digits) => unhex(&digits).map(Some).ok_or_else(|| bad(&format!("'{called}' is 64 hexadecimal digits"))),
        None => Ok(None),
    };
    match (key(fields.stored_key, "stored-key")?, key(fields.server_key, "server-key")?) {
        (Some(stored_key), Some(server_key)) => Ok(Some(StoredKeys { stored_key, server_key })),
        (Some(_), None) => Err(missing("server-key")),
        (None, Some(_)) => Err(missing("stored-key")),
        (None, None) => Ok(None),
    }
}

fn password(fields: &RequestFields<'_>) -> Result<Password, Malformed> {
    Password::parse(&need(string(fields.password, "password"), "password")?).map_err(|why| bad(&why.to_string()))
}

fn certificate(fields: &RequestFields<'_>) -> Result<Fingerprint, Malformed> {
    let digits = need(string(fields.certificate, "certificate"), "certificate")?;
    Fingerprint::parse(&digits)
        .ok_or_else(|| bad("'certificate' is 'SHA256:' and 32 bytes in hexadecimal, with colons"))
}

/// A yes says where, a no nothing.
fn offer(fields: &RequestFields<'_>) -> Result<Option<Offer>, Malformed> {
    if !need(boolean(fields.answer, "answer"), "answer")? {
        return Ok(None);
    }
    let port = PeerPort::parse(need(integer(fields.port, "port"), "port")?);
    let port = port.ok_or_else(|| bad(&format!("'port' is {} to 65535", PeerPort::MIN)))?;
    Ok(Some(Offer::Encrypted { port, certificate: certificate(fields)? }))
}

fn user(fields: &RequestFields<'_>) -> Result<UserName, Malformed> {
    name(need(string(fields.user, "user"), "user")?)
}

fn chat(fields: &RequestFields<'_>) -> Result<Option<LocalTime>, Malformed> {
    let Some(id) = string(fields.chat, "chat")? else { return Ok(None) };
    LocalTime::parse(&id).map(Some).ok_or_else(|| bad("'chat' is 14 digits"))
}

fn device(fields: &RequestFields<'_>) -> Result<Option<DeviceClaim>, Malformed> {
    let Some(id) = string(fields.device, "device")? else { return Ok(None) };
    let id = DeviceId::parse(&id).ok_or_else(|| bad("'device' is 32 hexadecimal digits"))?;
    let log = match string(fields.log, "log")? {
        Some(log) => Some(LogId::parse(&log).ok_or_else(|| bad("'log' is 16 hexadecimal digits"))?),
        None => None,
    };
    // Each is worth nothing without the other.
    let shown = log.zip(integer(fields.shown, "shown")?.map(Number));
    Ok(Some(DeviceClaim { id, shown }))
}

fn counter(fields: &RequestFields<'_>) -> Result<Option<u64>, Malformed> {
    match integer(fields.counter, "counter")? {
        Some(0) => Err(bad("'counter' begins at 1")),
        counter => Ok(counter),
    }
}

/// A field that is absent or null is `None`; one of another type is refused, and what it holds is told to nobody.
fn string<'a>(field: Option<&'a RawValue>, called: &'static str) -> Result<Option<Str<'a>>, Malformed> {
    // An escaped half of a surrogate pair is JSON, but no text.
    field
        .map(|raw| serde_json::from_str(raw.get()).map_err(|_| bad(&format!("'{called}' is a string of Unicode text"))))
        .transpose()
}

fn integer(field: Option<&RawValue>, called: &'static str) -> Result<Option<u64>, Malformed> {
    let Some(raw) = field else { return Ok(None) };
    match serde_json::from_str(raw.get()) {
        Ok(number @ 0..=INTEGER_MAX) => Ok(Some(number)),
        _ => Err(bad(&format!("'{called}' is a whole number from 0 to {INTEGER_MAX}"))),
    }
}

fn boolean(field: Option<&RawValue>, called: &'static str) -> Result<Option<bool>, Malformed> {
    field
        .map(|raw| serde_json::from_str(raw.get()).map_err(|_| bad(&format!("'{called}' is true or false"))))
        .transpose()
}

fn need<T>(field: Result<Option<T>, Malformed>, called: &'static str) -> Result<T, Malformed> {
    field?.ok_or_else(|| missing(called))
}

fn missing(field: &'static str) -> Malformed {
    Malformed { code: "bad-request", text: format!("the field '{field}' is missing") }
}

fn bad(text: &str) -> Malformed {
    Malformed { code: "bad-request", text: text.to_owned() }
}

fn name(text: Str<'_>) -> Result<UserName, Malformed> {
    UserName::parse(&text).map_err(|why| Malformed { code: "bad-name", text: why.to_string() })
}

fn text(text: Str<'_>) -> Result<Text, Malformed> {
    Text::parse(&text).map_err(|why| {
        let code = if why == TextError::TooLong { "text-too-long" } else { "bad-text" };
        Malformed { code, text: why.to_string() }
    })
}

/// What is wrong, without the place in the line: the line is not shown to anybody. Nothing of the line is in it.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

fn refused(used: usize, id: Option<u64>, why: Malformed) -> Step {
    let mut reply = Vec::new();
    error(id, why.code, why.text, &mut reply);
    Step::Refused { used, reply }
}

fn violation(code: &'static str, text: String) -> Step {
    let mut reply = Vec::new();
    error(None, code, text, &mut reply);
    Step::Violation { reply }
}

fn error(id: Option<u64>, code: &'static str, text: String, out: &mut Vec<u8>) {
    write(&ServerLine { id, error: Some(code.into()), text: Some(text.into()), ..ServerLine::default() }, out);
}

/// Appends an object and its newline.
fn write(line: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(&mut *out, line).expect("strings and numbers can be written to memory");
    out.push(b'\n');
}

/// See `Dialect::encode_answer`.
pub(in crate::wire) fn encode_answer(id: Option<RequestId>, answer: &Answer, out: &mut Vec<u8>) {
    let id = id.map(|id| id.0);
    match answer {
        Ok(Reply::Acknowledged | Reply::Alive) if id.is_none() => {}
        Ok(reply) => encode_reply(id, reply, out),
        Err(refusal) => {
            let (code, text) = (code(refusal), words::refusal(refusal));
            let line = ServerLine { id, error: Some(code.into()), text: Some(text.into()), ..ServerLine::default() };
            write(&ServerLine { retry_after: retry_after(refusal), ..line }, out);
        }
    }
}

fn encode_reply<'a>(id: Option<u64>, reply: &'a Reply, out: &mut Vec<u8>) {
    let line = |reply: &'static str| ServerLine { id, reply: Some(reply.into()), ..ServerLine::default() };
    let of_user = |reply, user: &'a UserName| ServerLine { user: Some(user.as_str().into()), ..line(reply) };
    let line = match reply {
        Reply::Challenge { message, hashed } => {
            ServerLine { message: Some(message.as_str().into()), hashed: hashed.then_some(true), ..line("challenge") }
        }
        Reply::LoggedIn { message, user, heartbeat_timeout, log, counter, waiting } => ServerLine {
            message: Some(message.as_str().into()),
            user: Some(user.as_str().into()),
            heartbeat_timeout: Some(heartbeat_timeout.as_secs()),
            log: Some(log.to_string().into()),
            counter: Some(*counter),
            waiting: Some(*waiting as u64),
            ..line("logged-in")
        },
        // It answers a log-in of another protocol.
        Reply::Welcome { .. } => return,
        Reply::ChatStarted { id, peer } => of_chat(of_user("chat-started", peer), *id),
        Reply::ChatEnded { id, peer } => of_chat(of_user("chat-ended", peer), *id),
        Reply::LoggedOut => line("logged-out"),
        Reply::SignedUp(user) => of_user("signed-up", user),
        Reply::PasswordChanged(user) => of_user("password-changed", user),
        Reply::UserAdded(user) => of_user("user-added", user),
        Reply::UserRemoved(user) => of_user("user-removed", user),
        Reply::Unlocked(user) => of_user("user-unlocked", user),
        Reply::Kicked { user, sessions } => {
            ServerLine { count: Some(*sessions as u64), ..of_user("user-kicked", user) }
        }
        Reply::Status(status) => ServerLine { counts: Some((*status).into()), ..line("status") },
        Reply::Accepted { number, reach } => ServerLine {
            number: Some(number.0),
            reach: Some(
                match reach {
                    // Whoever is there gets it.
                    Reach::Online | Reach::Nobody => "online",
                    Reach::Queued => "queued",
                    Reach::Partial => "partial",
                }
                .into(),
            ),
            ..line("accepted")
        },
        Reply::Acknowledged => line("acknowledged"),
        Reply::Alive => line("alive"),
        Reply::Blocked(user) => of_user("blocked", user),
        Reply::Unblocked(user) => of_user("unblocked", user),
        Reply::Asked { user, answer_within } => {
            ServerLine { seconds: Some(seconds(*answer_within)), ..of_user("asked", user) }
        }
        Reply::Consented { user, address, certificate, connect_within } => ServerLine {
            address: Some(address.disclose().to_string().into()),
            certificate: certificate.map(|certificate| certificate.to_string().into()),
            seconds: Some(seconds(*connect_within)),
            ..of_user("consented", user)
        },
        Reply::Declined(user) => of_user("declined", user),
        Reply::Revoked(user) => of_user("revoked", user),
        Reply::Privacy(list) => ServerLine {
            blocked: Some(list.blocked.iter().map(|user| user.as_str().into()).collect()),
            consents: Some(list.consents.iter().map(pending_line).collect()),
            asked_by: Some(list.asked_by.iter().map(pending_line).collect()),
            asking: Some(list.asking.iter().map(pending_line).collect()),
            ..line("privacy")
        },
        Reply::Users(accounts) => return encode_accounts(id, accounts, out),
        Reply::Online(users) => return encode_users("online", id, users, out),
        Reply::BlockList(users) => return encode_users("block-list", id, users, out),
        Reply::History(page) => return encode_history(id, page, out),
    };
    write(&line, out);
}

/// With the chat that it is about.
fn of_chat(line: ServerLine<'_>, id: LocalTime) -> ServerLine<'_> {
    ServerLine { chat: Some(id.to_string().into()), ..line }
}

/// Rounded up: what has not ended is never told as zero.
fn seconds(span: Duration) -> u64 {
    span.as_micros().div_ceil(1_000_000) as u64
}

fn pending_line(pending: &Pending) -> PendingLine<'_> {
    PendingLine { user: pending.user.as_str().into(), seconds: seconds(pending.left) }
}

/// Room that a list has in a line: what is left of `SERVER_LINE_BYTES_MAX` when the rest of the object is written.
const LIST_BYTES_MAX: usize = SERVER_LINE_BYTES_MAX - 256;

fn encode_users(reply: &'static str, id: Option<u64>, users: &[UserName], out: &mut Vec<u8>) {
    // A name is at most 32 bytes, two quotes and a comma.
    const NAMES_MAX: usize = LIST_BYTES_MAX / 35;
    let mut rest = users;
    loop {
        let (page, next) = rest.split_at(rest.len().min(NAMES_MAX));
        rest = next;
        let continues = (!rest.is_empty()).then_some(true);
        let users = Some(page.iter().map(|user| user.as_str().into()).collect());
        write(&ServerLine { id, reply: Some(reply.into()), users, continues, ..ServerLine::default() }, out);
        if rest.is_empty() {
            return;
        }
    }
}

fn encode_accounts(id: Option<u64>, accounts: &[Listed], out: &mut Vec<u8>) {
    // A name, and five words with their values.
    const ACCOUNTS_MAX: usize = LIST_BYTES_MAX / 128;
    let mut rest = accounts;
    loop {
        let (page, next) = rest.split_at(rest.len().min(ACCOUNTS_MAX));
        rest = next;
        let continues = (!rest.is_empty()).then_some(true);
        let line = |account: &'_ Listed| {
            let Listed { name, in_file, classic, hashed, online, locked } = account.clone();
            AccountLine { name: name.as_str().to_owned().into(), in_file, classic, hashed, online, locked }
        };
        let accounts = Some(page.iter().map(line).collect());
        write(&ServerLine { id, reply: Some("users".into()), accounts, continues, ..ServerLine::default() }, out);
        if rest.is_empty() {
            return;
        }
    }
}

fn encode_history(id: Option<u64>, page: &HistoryPage, out: &mut Vec<u8>) {
    let mut rest = &page.messages[..];
    loop {
        // Escaping doubles a text at most: only newline, tab, quote and backslash need it.
        let mut bytes = 0;
        let fits = rest.iter().take_while(|message| {
            bytes += 2 * message.text.bytes() + 200;
            bytes <= LIST_BYTES_MAX
        });
        let (lines, next) = rest.split_at(fits.count());
        rest = next;
        let continues = (!rest.is_empty()).then_some(true);
        let messages = Some(lines.iter().map(|message| message_line(message)).collect());
        let more = rest.is_empty().then_some(page.more);
        let reply = Some("history".into());
        write(&ServerLine { id, reply, messages, more, continues, ..ServerLine::default() }, out);
        if rest.is_empty() {
            return;
        }
    }
}

fn message_line(message: &Message) -> MessageLine<'_> {
    MessageLine {
        number: message.number.0,
        time: message.time.as_millis(),
        from: sender(message).into(),
        to: match &message.to {
            Recipient::User(_, name) => name.as_str().into(),
            Recipient::Everyone => "everyone".into(),
        },
        text: message.text.as_str().into(),
    }
}

fn sender(message: &Message) -> &str {
    match &message.from {
        Sender::User(_, name) => name.as_str(),
        Sender::Server => words::SERVER,
    }
}

/// See `Dialect::encode_event`.
pub(in crate::wire) fn encode_event(event: &Event, out: &mut Vec<u8>) {
    let line = |event: &'static str| ServerLine { event: Some(event.into()), ..ServerLine::default() };
    let line = match event {
        Event::Message(message) => ServerLine {
            number: Some(message.number.0),
            time: Some(message.time.as_millis()),
            from: Some(sender(message).into()),
            text: Some(message.text.as_str().into()),
            ..line(match (&message.from, &message.to) {
                (Sender::Server, _) => "note",
                (_, Recipient::User(..)) => "message",
                (_, Recipient::Everyone) => "broadcast",
            })
        },
        Event::Online(user) => ServerLine { user: Some(user.as_str().into()), ..line("online") },
        Event::Offline(user) => ServerLine { user: Some(user.as_str().into()), ..line("offline") },
        Event::Delivered { number, to, .. } => {
            ServerLine { number: Some(number.0), to: Some(to.as_str().into()), ..line("delivered") }
        }
        Event::ChatStarted { id, peer } => {
            of_chat(ServerLine { user: Some(peer.as_str().into()), ..line("chat-started") }, *id)
        }
        Event::ChatEnded { id, peer } => {
            of_chat(ServerLine { user: Some(peer.as_str().into()), ..line("chat-ended") }, *id)
        }
        Event::Token => line("token"),
        Event::Asks { user, certificate, answer_within } => ServerLine {
            user: Some(user.as_str().into()),
            certificate: certificate.map(|certificate| certificate.to_string().into()),
            seconds: Some(seconds(*answer_within)),
            ..line("asks")
        },
        Event::AskOver { user, why } => ServerLine {
            user: Some(user.as_str().into()),
            reason: Some(
                match why {
                    AskOver::Answered => "answered",
                    AskOver::Expired => "expired",
                    AskOver::Withdrawn => "withdrawn",
                    AskOver::Blocked => "blocked",
                    AskOver::NotStored => "not-stored",
                    AskOver::Revoked => "revoked",
                }
                .into(),
            ),
            ..line("ask-over")
        },
        Event::Address { user, address, port, certificate, connect_within } => ServerLine {
            user: Some(user.as_str().into()),
            address: Some(address.disclose().to_string().into()),
            port: Some(port.get()),
            certificate: certificate.map(|certificate| certificate.to_string().into()),
            seconds: Some(seconds(*connect_within)),
            ..line("address")
        },
        Event::NoAddress { user, why } => ServerLine {
            user: Some(user.as_str().into()),
            reason: Some(
                match why {
                    NoAddress::Declined => "no",
                    NoAddress::Expired => "expired",
                    NoAddress::Offline => "offline",
                    NoAddress::Withdrawn => "withdrawn",
                    NoAddress::NotStored => "not-stored",
                }
                .into(),
            ),
            ..line("no-address")
        },
        Event::Revoked(user) => ServerLine { user: Some(user.as_str().into()), ..line("revoked") },
        Event::Missed { count } => ServerLine { count: Some(*count), ..line("missed") },
        Event::Closing(reason) => {
            let word = match reason {
                CloseReason::Displaced => "displaced",
                CloseReason::Shutdown => "shutdown",
                CloseReason::HeartbeatMissed => "heartbeat",
                CloseReason::AccountChanged => "account",
                CloseReason::LogInsFailed => "failures",
                CloseReason::Kicked => "kicked",
            };
            ServerLine { reason: Some(word.into()), text: Some(words::closing(*reason).into()), ..line("closing") }
        }
    };
    write(&line, out);
}

/// See `Conversation::encode_farewell`.
pub(in crate::wire) fn encode_farewell(farewell: Farewell, out: &mut Vec<u8>) {
    let code = match farewell {
        Farewell::TooSlow => "too-slow",
        Farewell::TooMuch => "too-much",
        Farewell::TooMany => "too-many",
        Farewell::Full => "full",
        Farewell::OutOfScope => "out-of-scope",
    };
    error(None, code, words::farewell(farewell).to_owned(), out);
}

/// In milliseconds, rounded up: who waits for it comes in time.
fn retry_after(refusal: &Refusal) -> Option<u64> {
    match refusal {
        Refusal::TooFast { retry_after } => u64::try_from(retry_after.as_micros().div_ceil(1000)).ok(),
        _ => None,
    }
}

/// A refusal in this protocol's word for programs.
fn code(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::LogInFirst => "log-in-first",
        Refusal::AlreadyLoggedIn => "already-logged-in",
        Refusal::NoChallenge => "no-challenge",
        Refusal::NoDevice => "no-device",
        // The others are what protocols are told in whose words there is a difference.
        Refusal::NotAuthenticated
        | Refusal::UnknownName
        | Refusal::WrongPassword
        | Refusal::LockedOutNow
        | Refusal::LockedOut
        | Refusal::NotByThisProtocol => "not-authenticated",
        Refusal::TokenRefused => "token-refused",
        Refusal::SomebodyInBetween => "somebody-in-between",
        Refusal::TooManyGuests | Refusal::TooManySessions => "too-many-sessions",
        Refusal::Unfit(_) => "bad-request",
        Refusal::NeedsTls => "needs-tls",
        Refusal::OperatorOnly => "operator-only",
        Refusal::NoSignUp => "no-sign-up",
        Refusal::NameTaken(_) => "name-taken",
        Refusal::InFile(_) => "in-file",
        Refusal::TooManyAccounts => "too-many-accounts",
        Refusal::PasswordFirst => "password-first",
        Refusal::PasswordIsKept => "password-is-kept",
        Refusal::NoSealingKey => "no-sealing-key",
        Refusal::NoSuchUser(_) => "no-such-user",
        Refusal::BlockedBy(_) => "blocked",
        Refusal::NotBlocked(_) => "not-blocked",
        Refusal::TooManyBlocked => "too-many-blocked",
        Refusal::CannotBlockYourself => "cannot-block-yourself",
        Refusal::CannotAskYourself => "cannot-ask-yourself",
        Refusal::BlockedByYou(_) => "blocked-by-you",
        Refusal::Offline(_) => "offline",
        Refusal::CannotBeAsked(_) => "cannot-be-asked",
        Refusal::Busy(_) => "busy",
        Refusal::AlreadyAsked(_) => "already-asked",
        Refusal::AskedLately(_) => "asked-lately",
        Refusal::TooManyQuestions => "too-many-questions",
        Refusal::NotAsked(_) => "not-asked",
        Refusal::TooManyConsents => "too-many-consents",
        Refusal::NotConsented(_) => "not-consented",
        Refusal::Unreachable(_) => "unreachable",
        Refusal::NotInChat => "not-in-chat",
        Refusal::QueueFull(_) => "queue-full",
        Refusal::TooFast { .. } => "too-fast",
        Refusal::OutOfTurn { .. } => "out-of-turn",
        Refusal::Conflict => "conflict",
        Refusal::CounterTooOld => "counter-too-old",
        Refusal::NotStored => "not-stored",
        Refusal::HistoryUnavailable => "history-unavailable",
        Refusal::ShuttingDown => "shutting-down",
    }
}
