//! The one shape that every line of the native protocol has: a flat object, in which each kind of line uses some fields.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::hub::status::{Chat, Status, Traffic};

/// A string that borrows from the line where it can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Str<'a>(pub Cow<'a, str>);

/// Every field that a request can have, to be written.
#[derive(Debug, Default, Serialize)]
pub struct RequestLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    pub request: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "stored-key")]
    pub stored_key: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "server-key")]
    pub server_key: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classic: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Str<'a>>,
}

/// Every field that a request can have, as it was written: what is wrong with one can be told by its name, and JSON that
/// is well formed is never taken for something else.
#[derive(Default, Deserialize)]
pub struct RequestFields<'a> {
    #[serde(borrow)]
    pub id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub request: Option<&'a RawValue>,
    #[serde(borrow)]
    pub mechanism: Option<&'a RawValue>,
    #[serde(borrow)]
    pub message: Option<&'a RawValue>,
    #[serde(borrow)]
    pub device: Option<&'a RawValue>,
    #[serde(borrow)]
    pub shown: Option<&'a RawValue>,
    #[serde(borrow)]
    pub log: Option<&'a RawValue>,
    #[serde(borrow)]
    pub user: Option<&'a RawValue>,
    #[serde(borrow)]
    pub chat: Option<&'a RawValue>,
    #[serde(borrow, rename = "stored-key")]
    pub stored_key: Option<&'a RawValue>,
    #[serde(borrow, rename = "server-key")]
    pub server_key: Option<&'a RawValue>,
    #[serde(borrow)]
    pub password: Option<&'a RawValue>,
    #[serde(borrow)]
    pub classic: Option<&'a RawValue>,
    #[serde(borrow)]
    pub to: Option<&'a RawValue>,
    #[serde(borrow)]
    pub text: Option<&'a RawValue>,
    #[serde(borrow)]
    pub counter: Option<&'a RawValue>,
    #[serde(borrow)]
    pub receipt: Option<&'a RawValue>,
    #[serde(borrow)]
    pub number: Option<&'a RawValue>,
    #[serde(borrow)]
    pub with: Option<&'a RawValue>,
    #[serde(borrow)]
    pub before: Option<&'a RawValue>,
    #[serde(borrow)]
    pub limit: Option<&'a RawValue>,
    #[serde(borrow)]
    pub answer: Option<&'a RawValue>,
    #[serde(borrow)]
    pub port: Option<&'a RawValue>,
    #[serde(borrow)]
    pub certificate: Option<&'a RawValue>,
}

/// Only the id of a line whose other fields can't be read.
#[derive(Deserialize)]
pub struct IdOnly<'a> {
    #[serde(borrow)]
    pub id: Option<&'a RawValue>,
}

/// Every field that a line of the server's can have.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct ServerLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub reply: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub error: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub event: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub message: Option<Str<'a>>,
    /// Of a challenge: the digest of the password stands in its place. Absent if not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hashed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub from: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub to: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub user: Option<Str<'a>>,
    /// What a chat is called.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub chat: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub reach: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub reason: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "heartbeat-timeout")]
    pub heartbeat_timeout: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub log: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// An IPv4 or IPv6 address in its usual form.
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub address: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub certificate: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub blocked: Option<Vec<Str<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub consents: Option<Vec<PendingLine<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "asked-by", borrow)]
    pub asked_by: Option<Vec<PendingLine<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub asking: Option<Vec<PendingLine<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub users: Option<Vec<Str<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub messages: Option<Vec<MessageLine<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub accounts: Option<Vec<AccountLine<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<StatusLine>,
    /// There are older messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more: Option<bool>,
    /// The answer goes on in another line with the same id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub continues: Option<bool>,
    /// In milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", rename = "retry-after")]
    pub retry_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", borrow)]
    pub text: Option<Str<'a>>,
}

/// Only the event of a line whose other fields can't be read.
#[derive(Deserialize)]
pub struct EventOnly<'a> {
    #[serde(borrow)]
    pub event: Str<'a>,
}

/// A message of the history.
#[derive(Debug, Deserialize, Serialize)]
pub struct MessageLine<'a> {
    pub number: u64,
    pub time: u64,
    #[serde(borrow)]
    pub from: Str<'a>,
    #[serde(borrow)]
    pub to: Str<'a>,
    #[serde(borrow)]
    pub text: Str<'a>,
}

/// Something with another user that ends by itself.
#[derive(Debug, Deserialize, Serialize)]
pub struct PendingLine<'a> {
    #[serde(borrow)]
    pub user: Str<'a>,
    pub seconds: u64,
}

/// An account, for the operator.
#[derive(Debug, Deserialize, Serialize)]
pub struct AccountLine<'a> {
    #[serde(borrow)]
    pub name: Str<'a>,
    #[serde(rename = "in-file")]
    pub in_file: bool,
    pub classic: bool,
    /// A server that does not say so has no such accounts.
    #[serde(default)]
    pub hashed: bool,
    pub online: bool,
    pub locked: bool,
}

/// What there is, for the operator.
#[derive(Debug, Deserialize, Serialize)]
pub struct StatusLine {
    pub connections: u64,
    pub strangers: u64,
    pub sessions: u64,
    pub online: u64,
    pub accounts: u64,
    pub devices: u64,
    pub waiting: u64,
    pub broadcasts: u64,
    pub counters: u64,
    pub asks: u64,
    pub consents: u64,
    pub unsaved: u64,
    pub deadlines: u64,
    #[serde(rename = "in-bytes")]
    pub in_bytes: u64,
    #[serde(rename = "out-bytes")]
    pub out_bytes: u64,
    pub batches: u64,
    #[serde(rename = "batch-bytes")]
    pub batch_bytes: u64,
    pub questions: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptors: Option<u64>,
}

impl From<Status> for StatusLine {
    fn from(Status { chat, traffic }: Status) -> StatusLine {
        let Chat { sessions, online, accounts, devices, waiting, broadcasts, counters, asks, consents, unsaved } = chat;
        let Traffic { connections, strangers, deadlines, in_bytes, out_bytes, .. } = traffic;
        let Traffic { batches, batch_bytes, questions, descriptors, .. } = traffic;
        StatusLine {
            connections,
            strangers,
            sessions,
            online,
            accounts,
            devices,
            waiting,
            broadcasts,
            counters,
            asks,
            consents,
            unsaved,
            deadlines,
            in_bytes,
            out_bytes,
            batches,
            batch_bytes,
            questions,
            descriptors,
        }
    }
}

impl From<StatusLine> for Status {
    fn from(line: StatusLine) -> Status {
        let StatusLine {
            sessions,
            online,
            accounts,
            devices,
            waiting,
            broadcasts,
            counters,
            asks,
            consents,
            unsaved,
            ..
        } = line;
        let StatusLine { connections, strangers, deadlines, in_bytes, out_bytes, .. } = line;
        let StatusLine { batches, batch_bytes, questions, descriptors, .. } = line;
        Status {
            chat: Chat { sessions, online, accounts, devices, waiting, broadcasts, counters, asks, consents, unsaved },
            traffic: Traffic {
                connections,
                strangers,
                deadlines,
                in_bytes,
                out_bytes,
                batches,
                batch_bytes,
                questions,
                descriptors,
            },
        }
    }
}

impl<'a> From<&'a str> for Str<'a> {
    fn from(text: &'a str) -> Str<'a> {
        Str(Cow::Borrowed(text))
    }
}

impl From<String> for Str<'_> {
    fn from(text: String) -> Self {
        Str(Cow::Owned(text))
    }
}

impl std::ops::Deref for Str<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Serialize for Str<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StrVisitor;

        impl<'de> Visitor<'de> for StrVisitor {
            type Value = Str<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Str<'de>, E> {
                Ok(Str(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(StrVisitor)
    }
}
