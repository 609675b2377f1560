//! How things look on the screen and in a script's hands.
//!
//! Everything that others wrote goes through `visible` or `json` before it reaches an output, whether that is a terminal
//! or not: no control character, no bidi control and no invisible trouble gets through raw.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::core::{Chat, Done};
use super::exit::Failure;
use super::peers::{PeerNews, REVOKED, Stand, Standing};
use crate::net::link::peers::NotLetIn;
use crate::wire::native::client::{Heard, News, Party, ReachTold};
use crate::wire::{Fingerprint, Pending, PrivacyList, UserName};

/// Whether a character could make the output look like something it isn't.
fn is_trouble(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A text for the screen: trouble is spelled out, as in `<U+202E>`, and each line after the first is indented, so that it
/// can't be taken for a line of its own.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c != '\t' && is_trouble(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\n    "),
            '\t' => out.push('\t'),
            c if is_trouble(c) => {
                write!(out, "<U+{:04X}>", c as u32).expect("strings can be written to");
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// `visible`, on one line.
pub fn visible_line(text: &str) -> String {
    visible(text).replace(['\n', '\t'], " ")
}

/// One line of JSON, in which trouble is written as `\u` escapes.
pub fn json(value: &Value) -> String {
    let plain = value.to_string();
    if !plain.chars().any(is_trouble) {
        return plain;
    }
    let mut out = String::with_capacity(plain.len() + 16);
    for c in plain.chars() {
        if is_trouble(c) {
            // Outside of strings JSON has none of these.
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").expect("strings can be written to");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// A point in time in the reader's time zone: `2026-01-31 14:03:05`.
pub fn date_and_time(unix_ms: u64) -> String {
    local(unix_ms, "%Y-%m-%d %H:%M:%S")
}

/// `14:03`.
pub fn hour_and_minute(unix_ms: u64) -> String {
    local(unix_ms, "%H:%M")
}

fn local(unix_ms: u64, format: &str) -> String {
    let timestamp = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    // A server may say any number.
    timestamp.map_or("(no time)".to_owned(), |at| at.to_zoned(TimeZone::system()).strftime(format).to_string())
}

/// A name as the other side wrote it; names are ASCII and need no care.
fn party<'a>(party: &'a Party, you: &'a UserName) -> &'a str {
    match party {
        Party::User(user) => user.as_str(),
        Party::Everyone => "everyone",
        Party::Server => "server",
        Party::You => you.as_str(),
    }
}

/// The stable line of an event, for people and for scripts.
pub fn event_line(news: &News) -> Option<String> {
    Some(match news {
        News::Message(heard) => {
            let text = visible(&heard.text);
            match (&heard.from, &heard.to) {
                (Party::User(user), Party::Everyone) => format!("{user} (to everyone): {text}"),
                (Party::User(user), _) => format!("{user}: {text}"),
                _ => format!("* note: {text}"),
            }
        }
        News::Online { user } => format!("* {user} is online"),
        News::Offline { user } => format!("* {user} is offline"),
        News::Delivered { number, to } => format!("* delivered {} to {to}", number.0),
        News::Missed { count } => {
            format!("* missed {count}: too many messages came while you were away; history has them")
        }
        News::Asks { user, answer_within, .. } => {
            let seconds = answer_within.as_secs();
            format!(
                "* {user} asks for your address, to talk to you without the server: \
                 'consent {user} yes' or 'consent {user} no' within {seconds} s"
            )
        }
        News::AskOver { user, reason } if reason == REVOKED => {
            format!("* {user} may not come to you any more: the yes is taken back")
        }
        News::AskOver { user, reason } => format!("* {user} needs no answer any more: {}", ask_over(reason)),
        News::Address { user, address, connect_within, .. } => {
            let seconds = connect_within.as_secs();
            format!("* {user} says yes: {} port {}, for {seconds} s", address.ip(), address.port())
        }
        News::NoAddress { user, reason } => format!("* no address of {user}: {}", no_address(reason)),
        News::Revoked { user } => format!("* {user} has taken back the yes"),
        News::ChatStarted { user, .. } => format!("* a chat with {user} has begun"),
        News::ChatEnded { user, .. } => format!("* the chat with {user} is over"),
        News::Token | News::Closing { .. } | News::Unknown => return None,
    })
}

/// Why a question needs no answer any more, for people.
fn ask_over(reason: &str) -> String {
    match reason {
        "answered" => "another device of yours has answered".to_owned(),
        "expired" => "nobody has answered in time".to_owned(),
        "withdrawn" => "the question was withdrawn".to_owned(),
        "blocked" => "you have blocked them".to_owned(),
        "not-stored" => "the server could not write the answer to its disk".to_owned(),
        other => visible_line(other),
    }
}

/// The stable line of something that happened in a conversation without the server.
pub fn private_line(news: &PeerNews) -> Option<String> {
    Some(match news {
        PeerNews::Asked { user, within } => {
            format!("* {user} is asked, and has {} s to answer", within.as_secs())
        }
        PeerNews::Up { user, .. } => format!("* a private conversation with {user} has begun"),
        PeerNews::Said { user, text } => format!("{user} (privately): {}", visible(text.as_str())),
        PeerNews::Heard { .. } => return None,
        PeerNews::Ended { user, why } => {
            format!("* the private conversation with {user} is over: {}", visible_line(why))
        }
        PeerNews::NotSaid { user, texts, why } => not_said(user, *texts, why),
    })
}

/// What did not come about, and what can be done.
pub fn not_said(user: &UserName, texts: usize, why: &Failure) -> String {
    let why = visible_line(&why.text);
    match texts {
        0 => format!("* no private conversation with {user}: {why}"),
        1 => format!("* not said to {user}: {why}; 'deliver {user}' sends it through the server"),
        texts => format!("* {texts} texts not said to {user}: {why}; 'deliver {user}' sends them through the server"),
    }
}

/// The word for its kind.
pub fn private_kind(news: &PeerNews) -> &'static str {
    match news {
        PeerNews::Asked { .. } => "asked",
        PeerNews::Up { .. } => "private-up",
        PeerNews::Said { .. } => "private",
        PeerNews::Heard { .. } => "private-heard",
        PeerNews::Ended { .. } => "private-end",
        PeerNews::NotSaid { .. } => "not-said",
    }
}

pub fn private_json(news: &PeerNews) -> String {
    let event = private_kind(news);
    json(&match news {
        PeerNews::Asked { user, within } => {
            json!({"event": event, "user": user.as_str(), "seconds": within.as_secs()})
        }
        PeerNews::Up { user, .. } | PeerNews::Heard { user } => json!({"event": event, "user": user.as_str()}),
        PeerNews::Said { user, text } => json!({"event": event, "from": user.as_str(), "text": text.as_str()}),
        PeerNews::Ended { user, why } => json!({"event": event, "user": user.as_str(), "text": why}),
        PeerNews::NotSaid { user, texts, why } => {
            json!({"event": event, "user": user.as_str(), "count": texts, "text": why.text})
        }
    })
}

/// How private conversations stand, in plain words.
pub fn standing_lines(standing: &Standing, certificate: Option<&Fingerprint>) -> Vec<String> {
    let mut lines = Vec::new();
    for (user, stand) in &standing.talks {
        lines.push(match stand {
            Stand::Asking => format!("you want to talk to {user} privately; they are being asked"),
            Stand::Dialling => format!("a private conversation with {user} is coming about"),
            Stand::Up(certificate) => {
                format!("in a private conversation with {user}, whose certificate is {certificate}")
            }
        });
    }
    for (user, left) in &standing.expected {
        lines.push(format!("{user} may come in here for {} s more; 'revoke {user}' ends that", left.as_secs()));
    }
    for (user, left) in &standing.known {
        lines.push(format!("{user} has said yes: you may come to them for {} s more", left.as_secs()));
    }
    for (user, count) in &standing.held {
        lines.push(format!("not said to {user}: {count}; 'deliver {user}' sends them through the server"));
    }
    lines.extend(certificate.map(|certificate| format!("your certificate in private conversations is {certificate}")));
    lines
}

/// What stands above them while the server is away.
pub const APART: &str = "* not connected now: nothing comes through the server, and this is what chat itself knows";

/// The same while the server can't be asked who may reach the user and who has asked.
pub fn standing_lines_apart(standing: &Standing, certificate: Option<&Fingerprint>) -> Vec<String> {
    let mut lines = Vec::new();
    if standing.expected.is_empty() {
        lines.push("nobody may come to you without the server".to_owned());
    }
    if standing.questions.is_empty() {
        lines.push("nobody is asking for your address".to_owned());
    }
    for (user, left) in &standing.questions {
        let left = left.as_secs();
        lines.push(format!("{user} was asking for your address ({left} s left): answer when the server is back"));
    }
    lines.extend(standing_lines(standing, certificate));
    lines
}

/// A conversation without the server is up, as was wanted.
pub fn talking_json(user: &UserName) -> String {
    json(&json!({"reply": "talking", "user": user.as_str()}))
}

/// A text was said privately.
pub fn said_json(user: &UserName) -> String {
    json(&json!({"reply": "said", "user": user.as_str()}))
}

/// A private conversation was ended.
pub fn ended_json(user: &UserName) -> String {
    json(&json!({"reply": "ended", "user": user.as_str()}))
}

/// Where a user can be reached, for scripts: `bob 10.0.0.3 41234 SHA256:…`.
pub fn address_line(user: &UserName, address: SocketAddr, certificate: &Fingerprint) -> String {
    format!("{user} {} {} {certificate}", address.ip(), address.port())
}

/// Somebody was not let in.
pub fn knocked(from: IpAddr, why: &NotLetIn, untold: u64) -> String {
    let why = match why {
        NotLetIn::Unexpected | NotLetIn::NoCertificate => "it is nobody to whom you have said yes",
        NotLetIn::Tls(_) => "it does not speak as chat does",
        NotLetIn::Left => "it went away by itself",
        NotLetIn::Displaced => "too many came at once",
        NotLetIn::TooMany => "there are too many conversations",
    };
    let more = if untold > 0 { format!(" (and {untold} more before)") } else { String::new() };
    format!("somebody at {from} came to your private socket and was not let in: {why}{more}")
}

/// Why a question came to nothing, for people.
pub fn no_address(reason: &str) -> String {
    match reason {
        "no" => "the answer is no".to_owned(),
        "expired" => "there was no answer in time".to_owned(),
        "offline" => "they have gone offline".to_owned(),
        "withdrawn" => "you have blocked them".to_owned(),
        "not-stored" => "the server could not write the answer to its disk: ask again later".to_owned(),
        other => visible_line(other),
    }
}

/// The word for an event's kind, as `wait` and `--json` know it.
pub fn event_kind(news: &News) -> &'static str {
    match news {
        News::Message(Heard { from: Party::Server, .. }) => "note",
        News::Message(Heard { to: Party::Everyone, .. }) => "broadcast",
        News::Message(_) => "message",
        News::Online { .. } => "online",
        News::Offline { .. } => "offline",
        News::Delivered { .. } => "delivered",
        News::Missed { .. } => "missed",
        News::Asks { .. } => "asks",
        News::AskOver { .. } => "ask-over",
        News::Address { .. } => "address",
        News::NoAddress { .. } => "no-address",
        News::Revoked { .. } => "revoked",
        News::ChatStarted { .. } => "chat-started",
        News::ChatEnded { .. } => "chat-ended",
        News::Token => "token",
        News::Closing { .. } => "closing",
        News::Unknown => "unknown",
    }
}

/// An event in JSON.
pub fn event_json(news: &News, you: &UserName) -> Option<String> {
    let event = event_kind(news);
    let value = match news {
        News::Message(heard) => json!({
            "event": event,
            "number": heard.number.0,
            "time": heard.time,
            "from": party(&heard.from, you),
            "to": party(&heard.to, you),
            "text": heard.text,
        }),
        News::Online { user } | News::Offline { user } => json!({"event": event, "user": user.as_str()}),
        News::Delivered { number, to } => json!({"event": event, "number": number.0, "to": to.as_str()}),
        News::Missed { count } => json!({"event": event, "count": count}),
        News::Asks { user, certificate, answer_within } => json!({
            "event": event,
            "user": user.as_str(),
            "certificate": certificate.to_string(),
            "seconds": answer_within.as_secs(),
        }),
        News::AskOver { user, reason } | News::NoAddress { user, reason } => {
            json!({"event": event, "user": user.as_str(), "reason": reason})
        }
        News::Address { user, address, certificate, connect_within } => json!({
            "event": event,
            "user": user.as_str(),
            "address": address.ip().to_string(),
            "port": address.port(),
            "certificate": certificate.to_string(),
            "seconds": connect_within.as_secs(),
        }),
        News::Revoked { user } => json!({"event": event, "user": user.as_str()}),
        News::ChatStarted { id, user } | News::ChatEnded { id, user } => {
            json!({"event": event, "user": user.as_str(), "chat": id.to_string()})
        }
        News::Token | News::Closing { .. } | News::Unknown => return None,
    };
    Some(json(&value))
}

/// A message of the history: `2026-01-31 14:03:05 bob -> alice: hi`.
pub fn history_line(heard: &Heard, you: &UserName) -> String {
    let (time, text) = (date_and_time(heard.time), visible(&heard.text));
    format!("{time} {} -> {}: {text}", party(&heard.from, you), party(&heard.to, you))
}

/// The lines of an answer that brings something; of others none.
pub fn answer_lines(done: &Done, you: &UserName) -> Vec<String> {
    match done {
        Done::Accepted { .. } | Done::Blocked(_) | Done::Unblocked(_) => Vec::new(),
        Done::Asked { .. } | Done::Consented { .. } | Done::Declined(_) | Done::Revoked(_) => Vec::new(),
        Done::ChatStarted(_) | Done::ChatEnded(_) => Vec::new(),
        Done::Privacy(list) => privacy_lines(list),
        Done::Online(users) | Done::BlockList(users) => users.iter().map(UserName::to_string).collect(),
        Done::History(messages) => messages.iter().map(|heard| history_line(heard, you)).collect(),
    }
}

/// Who may reach the user and who has asked, in plain words.
fn privacy_lines(list: &PrivacyList) -> Vec<String> {
    let pending = |all: &[Pending]| {
        let each = all.iter().map(|pending| format!("{} ({} s left)", pending.user, pending.left.as_secs()));
        each.collect::<Vec<_>>().join(", ")
    };
    let mut lines = vec![match &list.blocked[..] {
        [] => "everyone with an account here can write to you: you block nobody".to_owned(),
        blocked => {
            let names = blocked.iter().map(UserName::as_str).collect::<Vec<_>>().join(", ");
            format!("everyone with an account here can write to you, but not whom you block: {names}")
        }
    }];
    lines.push(match &list.consents[..] {
        [] => "nobody may come to you without the server".to_owned(),
        consents => {
            format!("who may come to you without the server ('revoke USER' takes that back): {}", pending(consents))
        }
    });
    lines.push(match &list.asked_by {
        None => "nobody is asking for your address".to_owned(),
        Some(asking) => {
            let user = &asking.user;
            let left = asking.left.as_secs();
            format!("{user} is asking for your address ({left} s left): 'consent {user} yes' or 'consent {user} no'")
        }
    });
    if !list.asking.is_empty() {
        lines.push(format!("you are asking for the address of {}", pending(&list.asking)));
    }
    lines
}

fn chat_json(reply: &str, chat: &Chat) -> Value {
    json!({"reply": reply, "user": chat.user.as_str(), "chat": chat.id.to_string()})
}

/// An answer in JSON.
pub fn answer_json(done: &Done, you: &UserName) -> String {
    let names = |users: &[UserName]| users.iter().map(|user| user.as_str().to_owned()).collect::<Vec<_>>();
    let value = match done {
        Done::Accepted { number, reach } => {
            let reach = match reach {
                ReachTold::Online => "online",
                ReachTold::Queued => "queued",
                ReachTold::Partial => "partial",
            };
            json!({"reply": "accepted", "number": number.0, "reach": reach})
        }
        Done::ChatStarted(chat) => chat_json("chat-started", chat),
        Done::ChatEnded(chat) => chat_json("chat-ended", chat),
        Done::Online(users) => json!({"reply": "online", "users": names(users)}),
        Done::BlockList(users) => json!({"reply": "block-list", "users": names(users)}),
        Done::Blocked(user) => json!({"reply": "blocked", "user": user.as_str()}),
        Done::Unblocked(user) => json!({"reply": "unblocked", "user": user.as_str()}),
        Done::Asked { user, answer_within } => {
            json!({"reply": "asked", "user": user.as_str(), "seconds": answer_within.as_secs()})
        }
        Done::Consented { user, address, certificate, connect_within } => json!({
            "reply": "consented",
            "user": user.as_str(),
            "address": address.to_string(),
            "certificate": certificate.to_string(),
            "seconds": connect_within.as_secs(),
        }),
        Done::Declined(user) => json!({"reply": "declined", "user": user.as_str()}),
        Done::Revoked(user) => json!({"reply": "revoked", "user": user.as_str()}),
        Done::Privacy(list) => {
            let pending = |pending: &Pending| json!({"user": pending.user.as_str(), "seconds": pending.left.as_secs()});
            json!({
                "reply": "privacy",
                "blocked": names(&list.blocked),
                "consents": list.consents.iter().map(pending).collect::<Vec<_>>(),
                "asked-by": list.asked_by.iter().map(pending).collect::<Vec<_>>(),
                "asking": list.asking.iter().map(pending).collect::<Vec<_>>(),
            })
        }
        Done::History(messages) => {
            let message = |heard: &Heard| {
                json!({
                    "number": heard.number.0,
                    "time": heard.time,
                    "from": party(&heard.from, you),
                    "to": party(&heard.to, you),
                    "text": heard.text,
                })
            };
            json!({"reply": "history", "messages": messages.iter().map(message).collect::<Vec<_>>()})
        }
    };
    json(&value)
}

pub fn password_changed_json(user: &UserName) -> String {
    json(&json!({"reply": "password-changed", "user": user.as_str()}))
}

pub fn signed_up_json(user: &UserName) -> String {
    json(&json!({"reply": "signed-up", "user": user.as_str()}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Number;
    use proptest::prelude::*;

    fn name(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    fn heard(from: Party, to: Party, text: &str) -> News {
        News::Message(Heard { number: Number(3), time: 0, from, to, text: text.into() })
    }

    #[test]
    fn trouble_is_spelled_out_and_lines_are_indented() {
        assert_eq!(visible("grüß Gott\t👨‍👩‍👧"), "grüß Gott\t👨‍👩‍👧");
        assert_eq!(visible("a\nb"), "a\n    b");
        assert_eq!(visible("\u{1b}[2J\r\u{7f}\u{9b}"), "<U+001B>[2J<U+000D><U+007F><U+009B>");
        assert_eq!(visible("\u{202e}cba\u{2066}\u{200b}\u{feff}"), "<U+202E>cba<U+2066><U+200B><U+FEFF>");
        assert_eq!(visible("\u{2028}* bob is online"), "<U+2028>* bob is online");
        assert_eq!(visible_line("a\nb\tc"), "a     b c");
        assert_eq!(json(&json!("\u{202e}\n\u{9b}\u{e0001}")), "\"\\u202e\\n\\u009b\\udb40\\udc01\"");
    }

    #[test]
    fn events_have_stable_lines() {
        let (bob, everyone) = (Party::User(name("bob")), Party::Everyone);
        assert_eq!(event_line(&heard(bob.clone(), Party::You, "hi")).unwrap(), "bob: hi");
        assert_eq!(event_line(&heard(bob, everyone, "hi\nho")).unwrap(), "bob (to everyone): hi\n    ho");
        assert_eq!(event_line(&heard(Party::Server, Party::You, "hi")).unwrap(), "* note: hi");
        assert_eq!(event_line(&News::Online { user: name("bob") }).unwrap(), "* bob is online");
        assert_eq!(event_line(&News::Offline { user: name("bob") }).unwrap(), "* bob is offline");
        assert_eq!(event_line(&News::Unknown), None);
    }

    #[test]
    fn json_has_what_the_server_said() {
        let news = heard(Party::User(name("bob")), Party::You, "\u{1b}");
        assert_eq!(
            event_json(&news, &name("alice")).unwrap(),
            r#"{"event":"message","from":"bob","number":3,"text":"\u001b","time":0,"to":"alice"}"#
        );
        let done = Done::Accepted { number: Number(4), reach: ReachTold::Queued };
        assert_eq!(answer_json(&done, &name("alice")), r#"{"number":4,"reach":"queued","reply":"accepted"}"#);
    }

    #[test]
    fn a_time_out_of_range_is_no_panic() {
        assert_eq!(date_and_time(u64::MAX), "(no time)");
        assert_eq!(hour_and_minute(i64::MAX as u64), "(no time)");
    }

    proptest! {
        #[test]
        fn nothing_raw_gets_through(text in any::<String>(), spice in "[\u{0}-\u{9f}\u{200b}-\u{206f}\u{61c}\u{feff}]*") {
            let text = text + &spice;
            let shown = visible(&text);
            for line in shown.split('\n').skip(1) {
                prop_assert!(line.starts_with("    "));
            }
            prop_assert!(!shown.chars().any(|c| c != '\n' && c != '\t' && is_trouble(c)));
            prop_assert!(!visible_line(&text).chars().any(is_trouble));
            let coded = json(&json!({"text": text}));
            prop_assert!(!coded.chars().any(is_trouble));
            let back: Value = serde_json::from_str(&coded).unwrap();
            prop_assert_eq!(back["text"].as_str().unwrap(), text);
        }
    }
}
