//! How classic sessions look on the screen and in a script's hands: in the forms of the native one, as far as these protocols
//! tell as much.

use serde_json::{Value, json};

use super::{Chat, Done, Entry, Event, Request};
use crate::client::render::{self, visible};
use crate::wire::Protocol;
use crate::wire::UserName;
use crate::wire::native::client::News;

/// What a person is told before anything is sent.
pub fn not_encrypted(protocol: Protocol) -> String {
    let password = if protocol.has_passwords() { ", and your password" } else { "" };
    format!(
        "the protocol '{protocol}' is not encrypted: everyone on the way can read and change what is said{password}"
    )
}

/// The stable line of an event.
pub fn event_line(event: &Event) -> String {
    match event {
        Event::Message { from, text } => format!("{from}: {}", visible(text)),
        Event::Broadcast { from, text } => format!("{from} (to everyone): {}", visible(text)),
        Event::Private { from, text } => format!("{from} (privately): {}", visible(text)),
        Event::Online { user } => native_line(&News::Online { user: user.clone() }),
        Event::Offline { user } => native_line(&News::Offline { user: user.clone() }),
        Event::Note { text } => format!("* note: {}", visible(text.trim_end())),
        Event::Asks { user } => format!(
            "* {user} asks for your address, to talk to you without the server: \
             'consent {user} yes' or 'consent {user} no'"
        ),
        Event::Address { user, address } => format!("* {user} says yes: {} port {}", address.ip(), address.port()),
        Event::ChatStarted(Chat { peer, .. }) => format!("* a chat with {peer} has begun"),
        Event::ChatEnded(Chat { peer, .. }) => format!("* the chat with {peer} is over"),
        Event::Acknowledged { text } => format!("* acknowledged: {}", visible(text.trim_end())),
    }
}

/// The word for an event's kind, as `wait` and `--json` know it.
pub fn event_kind(event: &Event) -> &'static str {
    match event {
        Event::Message { .. } => "message",
        Event::Broadcast { .. } => "broadcast",
        Event::Private { .. } => "private",
        Event::Online { .. } => "online",
        Event::Offline { .. } => "offline",
        Event::Note { .. } => "note",
        Event::Asks { .. } => "asks",
        Event::Address { .. } => "address",
        Event::ChatStarted(_) => "chat-started",
        Event::ChatEnded(_) => "chat-ended",
        Event::Acknowledged { .. } => "acknowledged",
    }
}

pub fn event_json(event: &Event) -> String {
    let kind = event_kind(event);
    render::json(&match event {
        Event::Message { from, text } | Event::Private { from, text } => {
            json!({"event": kind, "from": from.as_str(), "text": text})
        }
        Event::Broadcast { from, text } => {
            json!({"event": kind, "from": from.as_str(), "text": text, "to": "everyone"})
        }
        Event::Note { text } => json!({"event": kind, "from": "server", "text": text}),
        Event::Online { user } | Event::Offline { user } | Event::Asks { user } => {
            json!({"event": kind, "user": user.as_str()})
        }
        Event::ChatStarted(chat) | Event::ChatEnded(chat) => chat_json("event", kind, chat),
        Event::Acknowledged { text } => json!({"event": kind, "text": text}),
        Event::Address { user, address } => address_json("event", user, address),
    })
}

/// The lines of an answer that brings something; of others none.
pub fn answer_lines(done: &Done) -> Vec<String> {
    match done {
        Done::Online(users) => users.iter().map(UserName::to_string).collect(),
        Done::Address { user, address } => vec![format!("{user} {} {}", address.ip(), address.port())],
        Done::History(entries) => entries.iter().map(entry_line).collect(),
        Done::HandedOver
        | Done::PartlyDelivered
        | Done::Delivered(_)
        | Done::Kept(_)
        | Done::ReachedNobody
        | Done::ChatStarted(_)
        | Done::ChatEnded(_)
        | Done::NoHistory(_)
        | Done::Blocked(_)
        | Done::Unblocked(_)
        | Done::Consented(_)
        | Done::Declined(_)
        | Done::Said(_) => Vec::new(),
    }
}

pub fn answer_json(done: &Done) -> String {
    let about = |reply: &str, user: &UserName| json!({"reply": reply, "user": user.as_str()});
    render::json(&match done {
        Done::HandedOver => json!({"reply": "handed-over"}),
        Done::PartlyDelivered => json!({"reply": "handed-over", "reach": "partial"}),
        Done::Online(users) => {
            json!({"reply": "online", "users": users.iter().map(UserName::as_str).collect::<Vec<_>>()})
        }
        Done::Blocked(user) => about("blocked", user),
        Done::Unblocked(user) => about("unblocked", user),
        Done::Address { user, address } => address_json("reply", user, address),
        Done::Consented(user) => about("consented", user),
        Done::Declined(user) => about("declined", user),
        Done::Said(user) => about("said", user),
        Done::Delivered(user) => about("delivered", user),
        Done::Kept(user) => json!({"reply": "handed-over", "reach": "queued", "user": user.as_str()}),
        Done::ReachedNobody => json!({"reply": "handed-over", "reach": "nobody"}),
        Done::ChatStarted(chat) => chat_json("reply", "chat-started", chat),
        Done::ChatEnded(chat) => chat_json("reply", "chat-ended", chat),
        Done::History(entries) => {
            json!({"reply": "history", "messages": entries.iter().map(entry_json).collect::<Vec<_>>()})
        }
        Done::NoHistory(text) => json!({"reply": "history", "messages": [], "text": text}),
    })
}

/// What is told of a request that was done, besides what it brings.
pub fn remark(done: &Done) -> Option<String> {
    match done {
        Done::Kept(user) => Some(format!("{user} is not there now: the server keeps the message")),
        Done::ReachedNobody => Some("nobody else is there to read it".to_owned()),
        Done::NoHistory(text) => Some(visible(text.trim_end()).into_owned()),
        _ => None,
    }
}

/// What a person is told of a request that was done. `tick`: how that is marked.
pub fn confirmation(request: &Request, done: &Done, tick: &str) -> String {
    match (request, done) {
        (Request::Message { to, .. }, Done::HandedOver) => format!("{tick} to {to} (handed over)"),
        (Request::Say { .. }, Done::HandedOver) => format!("{tick} (handed over)"),
        (_, Done::HandedOver) => format!("{tick} to everyone (handed over)"),
        (_, Done::PartlyDelivered) => format!("{tick} to everyone (but not to some who have blocked you)"),
        (_, Done::Online(users)) if users.is_empty() => "nobody else is online".to_owned(),
        (_, Done::Online(users)) => {
            format!("online: {}", users.iter().map(UserName::as_str).collect::<Vec<_>>().join(", "))
        }
        (_, Done::Blocked(user)) => format!("{tick} {user} is blocked: nothing more comes from them"),
        (_, Done::Unblocked(user)) => format!("{tick} {user} is not blocked any more"),
        (_, Done::Address { user, address }) => format!("{user} says yes: {} port {}", address.ip(), address.port()),
        (_, Done::Consented(user)) => format!("{tick} {user} learns where you are"),
        (_, Done::Declined(user)) => format!("{tick} {user} does not learn where you are"),
        (_, Done::Said(user)) => format!("{tick} to {user}, privately"),
        (_, Done::Delivered(user)) => format!("{tick} {user} has it"),
        (_, Done::Kept(user)) => format!("{tick} to {user} ({user} is not there now: it waits)"),
        (_, Done::ReachedNobody) => "nobody else is there to read it".to_owned(),
        (_, Done::ChatStarted(Chat { peer, .. })) => {
            format!("* a chat with {peer} has begun: what you type is said there, 'end chat' ends it")
        }
        (_, Done::ChatEnded(Chat { peer, .. })) => format!("* the chat with {peer} is over"),
        (_, Done::History(entries)) => entries.iter().map(entry_line).collect::<Vec<_>>().join("\n"),
        (_, Done::NoHistory(text)) => format!("* note: {}", visible(text.trim_end())),
    }
}

/// In the form of the native history; the time is that at which the chat began, as the server's clock showed it.
fn entry_line(Entry { chat, from, to, text }: &Entry) -> String {
    let digits = chat.to_string();
    let (date, time) = digits.split_at_checked(8).unwrap_or((&digits, ""));
    let parts = |digits: &str, lengths: &[usize], between: &str| {
        let mut rest = digits.chars();
        let parts = lengths.iter().map(|&length| rest.by_ref().take(length).collect::<String>());
        parts.collect::<Vec<_>>().join(between)
    };
    let (date, time) = (parts(date, &[4, 2, 2], "-"), parts(time, &[2, 2, 2], ":"));
    format!("{date} {time} {from} -> {to}: {}", visible(text))
}

fn entry_json(Entry { chat, from, to, text }: &Entry) -> Value {
    json!({"chat": chat.to_string(), "from": from.as_str(), "to": to.as_str(), "text": text})
}

fn chat_json(kind: &str, what: &str, chat: &Chat) -> Value {
    json!({kind: what, "user": chat.peer.as_str(), "chat": chat.id.to_string()})
}

fn address_json(kind: &str, user: &UserName, address: &std::net::SocketAddr) -> Value {
    json!({kind: "address", "user": user.as_str(), "address": address.ip().to_string(), "port": address.port()})
}

fn native_line(news: &News) -> String {
    render::event_line(news).unwrap_or_default()
}
