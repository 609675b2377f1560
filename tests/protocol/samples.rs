//! One of everything that the protocol can say, with its bytes. The `match`es without a wildcard make the compiler ask
//! for a sample of whatever is added.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chatd::hub::effect::{
    Answer, AskOver, CloseReason, Event, Listed, NoAddress, Pending, PrivacyList, Reach, Refusal, Reply,
};
use chatd::hub::fingerprint::Fingerprint;
use chatd::hub::id::{PeerAddress, UserId};
use chatd::hub::input::{Offer, PeerPort};
use chatd::hub::message::{HistoryPage, Message, Recipient, Sender};
use chatd::hub::time::{LocalTime, WallTime};
use chatd::wire::native::client::{Ask, Hear, decode};
use chatd::wire::scram::{ClientFinal, ClientFirst, StoredKeys};
use chatd::wire::{
    Chat, Conversation, DeviceClaim, DeviceId, Dialect, Farewell, LogId, Lull, Mechanism, Number, Operation, Password,
    Pieces, Request, RequestId, Status, Step, Text, TextError, Traffic, UserName,
};

const DEVICE: DeviceId = DeviceId::from_bytes(*b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff");
/// What a chat is called that began one second before March.
pub const CHAT: LocalTime = LocalTime::from_number(20_260_228_235_959);
const LOG: LogId = LogId(0x0123_4567_89ab_cdef);
/// The fingerprint of `certificate()`.
pub const CERTIFICATE: &str = "SHA256:00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:\
                               10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F";
const FIRST: &str = "n,,n=Alice,r=abc";
const FIRST_BOUND: &str = "p=tls-exporter,,n=Alice,r=abc";
const FINAL: &str = "c=biws,r=abcdef,p=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

pub fn name(name: &str) -> UserName {
    UserName::parse(name).expect("a name")
}

pub fn text(text: &str) -> Text {
    Text::parse(text).expect("a text")
}

pub fn password(password: &str) -> Password {
    Password::parse(password).expect("a password")
}

/// Keys whose digits count up.
pub fn keys() -> StoredKeys {
    StoredKeys { stored_key: std::array::from_fn(|i| i as u8), server_key: std::array::from_fn(|i| 0xe0 + i as u8) }
}

/// A fingerprint whose digits count up.
pub fn certificate() -> Fingerprint {
    Fingerprint(std::array::from_fn(|i| i as u8))
}

pub fn address(address: &str) -> PeerAddress {
    PeerAddress::of(address.parse::<IpAddr>().expect("an address"))
}

pub fn port(port: u64) -> PeerPort {
    PeerPort::parse(port).expect("a port that may be told")
}

/// What tells requests apart that are equal or look alike: how a name is spelled, and what `Debug` keeps to itself.
pub fn exactly(step: &Step) -> String {
    let keys = |keys: &StoredKeys| format!("{:?} {:?}", keys.stored_key, keys.server_key);
    let secret = match step {
        Step::Request { request, .. } => match request {
            Request::LogInByPassword { password: Some(password), .. } => password.as_str().to_owned(),
            Request::SignUp(new) | Request::ChangePassword(new) => keys(new),
            Request::Operate(Operation::Add { password, .. } | Operation::SetPassword { password, .. }) => {
                password.as_str().to_owned()
            }
            _ => String::new(),
        },
        _ => String::new(),
    };
    format!("{step:?} {secret}")
}

pub fn message(number: u64, from: &str, to: &str, body: &str) -> Arc<Message> {
    Arc::new(Message {
        number: Number(number),
        time: WallTime::from_millis(1_772_000_000_000),
        from: if from == "server" { Sender::Server } else { Sender::User(UserId(1), name(from)) },
        to: if to == "everyone" { Recipient::Everyone } else { Recipient::User(UserId(2), name(to)) },
        text: text(body),
        local: LocalTime::default(),
        origin: None,
    })
}

/// What the server makes of these bytes, with more on its way.
pub fn read(bytes: &[u8]) -> Step {
    Conversation::Native.decode(bytes, Lull::None)
}

pub fn answer_bytes(id: Option<u64>, answer: &Answer) -> String {
    let mut out = Pieces::default();
    Dialect::Native.encode_answer(id.map(RequestId), answer, &mut out);
    String::from_utf8(out.bytes).expect("UTF-8")
}

pub fn event_bytes(event: &Event) -> String {
    let mut out = Pieces::default();
    Dialect::Native.encode_event(event, &mut out);
    String::from_utf8(out.bytes).expect("UTF-8")
}

pub fn farewell_bytes(farewell: Farewell) -> String {
    let mut out = Pieces::default();
    Conversation::Native.encode_farewell(farewell, &mut out);
    String::from_utf8(out.bytes).expect("UTF-8")
}

/// What the client makes of one whole line.
pub fn heard(line: &str) -> chatd::wire::native::client::FromServer {
    match decode(line.as_bytes()) {
        Hear::Line { used, line: heard } if used == line.len() => heard,
        other => panic!("{line}: {other:?}"),
    }
}

/// Each request: its line, what the client asks to write it, what the hub gets.
pub fn requests() -> Vec<(&'static str, Ask, Request)> {
    let first = || ClientFirst::parse(FIRST).expect("a first message");
    let log_in = |resume, device| Ask::LogIn { resume, bound: false, message: FIRST.to_owned(), device };
    let first_bound = || ClientFirst::parse(FIRST_BOUND).expect("a first message");
    let log_in_bound = |resume, device| Ask::LogIn { resume, bound: true, message: FIRST_BOUND.to_owned(), device };
    let operate = |line, operation: Operation| (line, Ask::Operate(operation.clone()), Request::Operate(operation));
    let add = |password, classic| Operation::Add { name: name("Bob"), password, classic };
    let set = |classic| Operation::SetPassword { name: name("Bob"), password: password("two words "), classic };
    let offer = |at| Offer::Encrypted { port: port(at), certificate: certificate() };
    let shown = DeviceClaim { id: DEVICE, shown: Some((LOG, Number(41))) };
    let fresh = DeviceClaim { id: DEVICE, shown: None };
    let samples = vec![
        (
            r#"{"id":7,"request":"log-in","mechanism":"SCRAM-SHA-256","message":"n,,n=Alice,r=abc"}"#,
            log_in(false, None),
            Request::LogIn { mechanism: Mechanism::Password, first: first(), device: None },
        ),
        (
            r#"{"id":7,"request":"log-in","mechanism":"SCRAM-SHA-256","message":"n,,n=Alice,r=abc","device":"00112233445566778899aabbccddeeff"}"#,
            log_in(false, Some(fresh)),
            Request::LogIn { mechanism: Mechanism::Password, first: first(), device: Some(fresh) },
        ),
        (
            r#"{"id":7,"request":"log-in","mechanism":"RESUME-SHA-256","message":"n,,n=Alice,r=abc","device":"00112233445566778899aabbccddeeff","shown":41,"log":"0123456789abcdef"}"#,
            log_in(true, Some(shown)),
            Request::LogIn { mechanism: Mechanism::Token, first: first(), device: Some(shown) },
        ),
        (
            r#"{"id":7,"request":"authenticate","message":"c=biws,r=abcdef,p=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}"#,
            Ask::Authenticate { message: FINAL.to_owned() },
            Request::Authenticate(ClientFinal::parse(FINAL).expect("a final message")),
        ),
        (
            r#"{"id":7,"request":"log-in","mechanism":"SCRAM-SHA-256-PLUS","message":"p=tls-exporter,,n=Alice,r=abc"}"#,
            log_in_bound(false, None),
            Request::LogIn { mechanism: Mechanism::Password, first: first_bound(), device: None },
        ),
        (
            r#"{"id":7,"request":"log-in","mechanism":"RESUME-SHA-256-PLUS","message":"p=tls-exporter,,n=Alice,r=abc","device":"00112233445566778899aabbccddeeff","shown":41,"log":"0123456789abcdef"}"#,
            log_in_bound(true, Some(shown)),
            Request::LogIn { mechanism: Mechanism::Token, first: first_bound(), device: Some(shown) },
        ),
        (
            r#"{"id":7,"request":"sign-up","stored-key":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f","server-key":"e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"}"#,
            Ask::SignUp { keys: keys() },
            Request::SignUp(keys()),
        ),
        (
            r#"{"id":7,"request":"password","stored-key":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f","server-key":"e0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"}"#,
            Ask::ChangePassword { keys: keys() },
            Request::ChangePassword(keys()),
        ),
        operate(
            r#"{"id":7,"request":"user-add","user":"Bob","password":"two words "}"#,
            add(password("two words "), false),
        ),
        operate(
            r#"{"id":7,"request":"user-add","user":"Bob","password":"a \"b\" \\ c é\u2028 😀","classic":true}"#,
            add(password(ODD_PASSWORD), true),
        ),
        operate(r#"{"id":7,"request":"user-password","user":"Bob","password":"two words "}"#, set(None)),
        operate(
            r#"{"id":7,"request":"user-password","user":"Bob","password":"two words ","classic":true}"#,
            set(Some(true)),
        ),
        operate(
            r#"{"id":7,"request":"user-password","user":"Bob","password":"two words ","classic":false}"#,
            set(Some(false)),
        ),
        operate(r#"{"id":7,"request":"user-remove","user":"Bob"}"#, Operation::Remove(name("Bob"))),
        operate(r#"{"id":7,"request":"users"}"#, Operation::List),
        operate(r#"{"id":7,"request":"user-unlock","user":"Bob"}"#, Operation::Unlock(name("Bob"))),
        operate(r#"{"id":7,"request":"user-kick","user":"Bob"}"#, Operation::Kick(name("Bob"))),
        operate(r#"{"id":7,"request":"status"}"#, Operation::Status),
        (r#"{"id":7,"request":"log-out"}"#, Ask::LogOut, Request::LogOut),
        (
            r#"{"id":7,"request":"message","to":"Bob","text":"hi"}"#,
            Ask::Message { to: name("Bob"), text: text("hi"), counter: None, receipt: false },
            Request::Message { to: name("Bob"), text: text("hi"), counter: None, receipt: false },
        ),
        (
            r#"{"id":7,"request":"message","to":"Bob","text":"a \"b\" \\ c\n\td é\u2028 😀","counter":9007199254740991,"receipt":true}"#,
            Ask::Message { to: name("Bob"), text: text(ODD), counter: Some(HIGHEST), receipt: true },
            Request::Message { to: name("Bob"), text: text(ODD), counter: Some(HIGHEST), receipt: true },
        ),
        (
            r#"{"id":7,"request":"broadcast","text":"hi","counter":1}"#,
            Ask::Broadcast { text: text("hi"), counter: Some(1) },
            Request::Broadcast { text: text("hi"), counter: Some(1) },
        ),
        (r#"{"id":7,"request":"chat","user":"Bob"}"#, Ask::Chat { user: name("Bob") }, Request::Chat(name("Bob"))),
        (r#"{"id":7,"request":"end-chat"}"#, Ask::EndChat { id: None }, Request::EndChat(None)),
        (
            r#"{"id":7,"request":"end-chat","chat":"20260228235959"}"#,
            Ask::EndChat { id: Some(CHAT) },
            Request::EndChat(Some(CHAT)),
        ),
        (
            r#"{"id":7,"request":"acknowledge","number":0}"#,
            Ask::Acknowledge { number: Number(0) },
            Request::Acknowledge(Number(0)),
        ),
        (r#"{"id":7,"request":"alive"}"#, Ask::Alive, Request::Alive),
        (r#"{"id":7,"request":"online"}"#, Ask::Online, Request::Online),
        (r#"{"id":7,"request":"block","user":"Bob"}"#, Ask::Block { user: name("Bob") }, Request::Block(name("Bob"))),
        (
            r#"{"id":7,"request":"unblock","user":"Bob"}"#,
            Ask::Unblock { user: name("Bob") },
            Request::Unblock(name("Bob")),
        ),
        (r#"{"id":7,"request":"blocked"}"#, Ask::Blocked, Request::Blocked),
        (
            r#"{"id":7,"request":"ask-address","user":"Bob","certificate":"SHA256:00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F"}"#,
            Ask::AskAddress { user: name("Bob"), certificate: certificate() },
            Request::AskAddress { user: name("Bob"), certificate: Some(certificate()) },
        ),
        (
            r#"{"id":7,"request":"consent","user":"Bob","answer":true,"port":1024,"certificate":"SHA256:00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F"}"#,
            Ask::Consent { user: name("Bob"), offer: Some(offer(1024)) },
            Request::Consent { user: name("Bob"), offer: Some(offer(1024)) },
        ),
        (
            r#"{"id":7,"request":"consent","user":"Bob","answer":true,"port":65535,"certificate":"SHA256:00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F"}"#,
            Ask::Consent { user: name("Bob"), offer: Some(offer(65_535)) },
            Request::Consent { user: name("Bob"), offer: Some(offer(65_535)) },
        ),
        (
            r#"{"id":7,"request":"consent","user":"Bob","answer":false}"#,
            Ask::Consent { user: name("Bob"), offer: None },
            Request::Consent { user: name("Bob"), offer: None },
        ),
        (
            r#"{"id":7,"request":"revoke","user":"Bob"}"#,
            Ask::Revoke { user: name("Bob") },
            Request::Revoke(name("Bob")),
        ),
        (r#"{"id":7,"request":"privacy"}"#, Ask::Privacy, Request::Privacy),
        (
            r#"{"id":7,"request":"history","limit":500}"#,
            Ask::History { with: None, before: None, limit: 500 },
            Request::History { with: None, before: None, limit: 500 },
        ),
        (
            r#"{"id":7,"request":"history","with":"Bob","before":9,"limit":1}"#,
            Ask::History { with: Some(name("Bob")), before: Some(Number(9)), limit: 1 },
            Request::History { with: Some(name("Bob")), before: Some(Number(9)), limit: 1 },
        ),
    ];
    for (.., request) in &samples {
        match request {
            Request::LogIn { .. } | Request::Authenticate(_) | Request::LogOut | Request::Message { .. } => {}
            Request::SignUp(_) | Request::ChangePassword(_) => {}
            Request::Operate(Operation::Add { .. } | Operation::SetPassword { .. } | Operation::Remove(_)) => {}
            Request::Operate(Operation::List | Operation::Unlock(_) | Operation::Kick(_) | Operation::Status) => {}
            Request::Broadcast { .. } | Request::Acknowledge(_) | Request::Alive | Request::Online => {}
            Request::Chat(_) | Request::EndChat(_) => {}
            Request::Block(_) | Request::Unblock(_) | Request::Blocked | Request::History { .. } => {}
            Request::AskAddress { .. } | Request::Consent { .. } | Request::Revoke(_) | Request::Privacy => {}
            // Other protocols say these.
            Request::LogInByPassword { .. } | Request::Enter(_) | Request::Unfit(_) => {}
            Request::LogInByDigest { .. } | Request::Connect(_) | Request::Say(_) => {}
        }
    }
    samples
}

pub const HIGHEST: u64 = (1 << 53) - 1;
/// What JSON may have to escape, and what it need not.
pub const ODD_PASSWORD: &str = "a \"b\" \\ c é\u{2028} 😀";
pub const ODD: &str = "a \"b\" \\ c\n\td é\u{2028} 😀";

/// Each reply, with its lines.
pub fn replies() -> Vec<(Reply, &'static str)> {
    let pending = |user, micros| Pending { user: name(user), left: Duration::from_micros(micros) };
    let page = |messages, more| Reply::History(HistoryPage { messages, more });
    let samples = vec![
        (
            Reply::Challenge { message: "r=a\"b".into(), hashed: false },
            r#"{"id":7,"reply":"challenge","message":"r=a\"b"}"#,
        ),
        (
            Reply::Challenge { message: "r=ab".into(), hashed: true },
            r#"{"id":7,"reply":"challenge","message":"r=ab","hashed":true}"#,
        ),
        (
            Reply::ChatStarted { id: CHAT, peer: name("Bob") },
            r#"{"id":7,"reply":"chat-started","user":"Bob","chat":"20260228235959"}"#,
        ),
        (
            Reply::ChatEnded { id: CHAT, peer: name("Bob") },
            r#"{"id":7,"reply":"chat-ended","user":"Bob","chat":"20260228235959"}"#,
        ),
        (
            Reply::LoggedIn {
                message: "v=AA==".into(),
                user: name("Alice"),
                heartbeat_timeout: Duration::from_secs(35),
                log: LOG,
                counter: 12,
                waiting: 3,
            },
            r#"{"id":7,"reply":"logged-in","message":"v=AA==","user":"Alice","heartbeat-timeout":35,"log":"0123456789abcdef","counter":12,"waiting":3}"#,
        ),
        (Reply::LoggedOut, r#"{"id":7,"reply":"logged-out"}"#),
        (Reply::SignedUp(name("Bob")), r#"{"id":7,"reply":"signed-up","user":"Bob"}"#),
        (Reply::PasswordChanged(name("Bob")), r#"{"id":7,"reply":"password-changed","user":"Bob"}"#),
        (Reply::UserAdded(name("Bob")), r#"{"id":7,"reply":"user-added","user":"Bob"}"#),
        (Reply::UserRemoved(name("Bob")), r#"{"id":7,"reply":"user-removed","user":"Bob"}"#),
        (Reply::Users(vec![]), r#"{"id":7,"reply":"users","accounts":[]}"#),
        (
            Reply::Users(vec![
                Listed { name: name("Bob"), in_file: true, classic: false, hashed: false, online: true, locked: false },
                Listed {
                    name: name("carol"),
                    in_file: false,
                    classic: true,
                    hashed: false,
                    online: false,
                    locked: true,
                },
                Listed {
                    name: name("dave"),
                    in_file: false,
                    classic: false,
                    hashed: true,
                    online: false,
                    locked: false,
                },
            ]),
            "{\"id\":7,\"reply\":\"users\",\"accounts\":[\
             {\"name\":\"Bob\",\"in-file\":true,\"classic\":false,\"hashed\":false,\"online\":true,\"locked\":false},\
             {\"name\":\"carol\",\"in-file\":false,\"classic\":true,\"hashed\":false,\"online\":false,\"locked\":true},\
             {\"name\":\"dave\",\"in-file\":false,\"classic\":false,\"hashed\":true,\"online\":false,\"locked\":false}]}",
        ),
        (Reply::Unlocked(name("Bob")), r#"{"id":7,"reply":"user-unlocked","user":"Bob"}"#),
        (Reply::Kicked { user: name("Bob"), sessions: 2 }, r#"{"id":7,"reply":"user-kicked","user":"Bob","count":2}"#),
        (
            Reply::Status(status(Some(40))),
            "{\"id\":7,\"reply\":\"status\",\"counts\":{\"connections\":3,\"strangers\":1,\"sessions\":2,\"online\":5,\
             \"accounts\":6,\"devices\":7,\"waiting\":8,\"broadcasts\":9,\"counters\":10,\"asks\":20,\"consents\":21,\"unsaved\":11,\
             \"deadlines\":4,\"in-bytes\":12,\"out-bytes\":13,\"batches\":14,\"batch-bytes\":15,\"questions\":16,\
             \"descriptors\":40}}",
        ),
        (
            Reply::Status(Status { chat: Chat::default(), ..status(None) }),
            "{\"id\":7,\"reply\":\"status\",\"counts\":{\"connections\":3,\"strangers\":1,\"sessions\":0,\"online\":0,\
             \"accounts\":0,\"devices\":0,\"waiting\":0,\"broadcasts\":0,\"counters\":0,\"asks\":0,\"consents\":0,\"unsaved\":0,\
             \"deadlines\":4,\"in-bytes\":12,\"out-bytes\":13,\"batches\":14,\"batch-bytes\":15,\"questions\":16}}",
        ),
        (
            Reply::Accepted { number: Number(42), reach: Reach::Online },
            r#"{"id":7,"reply":"accepted","number":42,"reach":"online"}"#,
        ),
        (
            Reply::Accepted { number: Number(42), reach: Reach::Queued },
            r#"{"id":7,"reply":"accepted","number":42,"reach":"queued"}"#,
        ),
        (
            Reply::Accepted { number: Number(42), reach: Reach::Partial },
            r#"{"id":7,"reply":"accepted","number":42,"reach":"partial"}"#,
        ),
        (Reply::Acknowledged, r#"{"id":7,"reply":"acknowledged"}"#),
        (Reply::Alive, r#"{"id":7,"reply":"alive"}"#),
        (Reply::Online(vec![]), r#"{"id":7,"reply":"online","users":[]}"#),
        (Reply::Online(vec![name("Bob"), name("carol")]), r#"{"id":7,"reply":"online","users":["Bob","carol"]}"#),
        (Reply::Blocked(name("Bob")), r#"{"id":7,"reply":"blocked","user":"Bob"}"#),
        (Reply::Unblocked(name("Bob")), r#"{"id":7,"reply":"unblocked","user":"Bob"}"#),
        (Reply::BlockList(vec![name("Bob")]), r#"{"id":7,"reply":"block-list","users":["Bob"]}"#),
        (
            Reply::Asked { user: name("Bob"), answer_within: Duration::from_secs(120) },
            r#"{"id":7,"reply":"asked","user":"Bob","seconds":120}"#,
        ),
        (
            Reply::Consented {
                user: name("Bob"),
                address: address("::ffff:192.0.2.7"),
                certificate: Some(certificate()),
                connect_within: Duration::from_secs(600),
            },
            r#"{"id":7,"reply":"consented","user":"Bob","address":"192.0.2.7","certificate":"SHA256:00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F","seconds":600}"#,
        ),
        (Reply::Declined(name("Bob")), r#"{"id":7,"reply":"declined","user":"Bob"}"#),
        (Reply::Revoked(name("Bob")), r#"{"id":7,"reply":"revoked","user":"Bob"}"#),
        (
            Reply::Privacy(Box::default()),
            r#"{"id":7,"reply":"privacy","blocked":[],"consents":[],"asked-by":[],"asking":[]}"#,
        ),
        (
            // What has not ended is never told as zero.
            Reply::Privacy(Box::new(PrivacyList {
                blocked: vec![name("Bob"), name("carol")],
                consents: vec![pending("dave", 599_000_001), pending("Erin", 1)],
                asked_by: Some(pending("frank", 120_000_000)),
                asking: vec![pending("grace", 0), pending("heidi", 1_000_000)],
            })),
            "{\"id\":7,\"reply\":\"privacy\",\"blocked\":[\"Bob\",\"carol\"],\
             \"consents\":[{\"user\":\"dave\",\"seconds\":600},{\"user\":\"Erin\",\"seconds\":1}],\
             \"asked-by\":[{\"user\":\"frank\",\"seconds\":120}],\
             \"asking\":[{\"user\":\"grace\",\"seconds\":0},{\"user\":\"heidi\",\"seconds\":1}]}",
        ),
        (page(vec![], false), r#"{"id":7,"reply":"history","messages":[],"more":false}"#),
        (
            page(vec![message(1, "server", "alice", "note"), message(2, "bob", "everyone", ODD)], true),
            "{\"id\":7,\"reply\":\"history\",\"messages\":[\
             {\"number\":1,\"time\":1772000000000,\"from\":\"server\",\"to\":\"alice\",\"text\":\"note\"},\
             {\"number\":2,\"time\":1772000000000,\"from\":\"bob\",\"to\":\"everyone\",\
             \"text\":\"a \\\"b\\\" \\\\ c\\n\\td é\u{2028} 😀\"}],\"more\":true}",
        ),
    ];
    for (reply, _) in &samples {
        match reply {
            Reply::Challenge { .. } | Reply::LoggedIn { .. } | Reply::LoggedOut | Reply::Accepted { .. } => {}
            Reply::Acknowledged | Reply::Alive | Reply::Online(_) | Reply::Blocked(_) | Reply::Unblocked(_) => {}
            Reply::BlockList(_) | Reply::History(_) | Reply::SignedUp(_) | Reply::PasswordChanged(_) => {}
            Reply::UserAdded(_) | Reply::UserRemoved(_) | Reply::Users(_) => {}
            Reply::Unlocked(_) | Reply::Kicked { .. } => {}
            Reply::Asked { .. } | Reply::Consented { .. } | Reply::Declined(_) | Reply::Revoked(_) => {}
            Reply::Privacy(_) => {}
            Reply::ChatStarted { .. } | Reply::ChatEnded { .. } => {}
            Reply::Status(_) => {}
            // It answers a log-in of another protocol.
            Reply::Welcome { .. } => {}
        }
    }
    samples
}

/// No two counts are alike.
pub fn status(descriptors: Option<u64>) -> Status {
    Status {
        chat: Chat {
            sessions: 2,
            online: 5,
            accounts: 6,
            devices: 7,
            waiting: 8,
            broadcasts: 9,
            counters: 10,
            asks: 20,
            consents: 21,
            unsaved: 11,
        },
        traffic: Traffic {
            connections: 3,
            strangers: 1,
            deadlines: 4,
            in_bytes: 12,
            out_bytes: 13,
            batches: 14,
            batch_bytes: 15,
            questions: 16,
            descriptors,
        },
    }
}

const NOT_AUTHENTICATED: &str = "wrong name or password, or too many wrong tries: wait a minute after three";

/// Each refusal, with its code and text.
pub fn refusals() -> Vec<(Refusal, &'static str, &'static str)> {
    let bob = || name("bob");
    let samples = vec![
        (Refusal::LogInFirst, "log-in-first", "log in first"),
        (
            Refusal::AlreadyLoggedIn,
            "already-logged-in",
            "this connection is logged in already, or a log-in is under way",
        ),
        (Refusal::NoChallenge, "no-challenge", "there is no challenge to answer: begin with 'log-in'"),
        (Refusal::NoDevice, "no-device", "this needs a log-in that names a device"),
        (Refusal::NotAuthenticated, "not-authenticated", NOT_AUTHENTICATED),
        (Refusal::UnknownName, "not-authenticated", NOT_AUTHENTICATED),
        (Refusal::WrongPassword, "not-authenticated", NOT_AUTHENTICATED),
        (Refusal::LockedOutNow, "not-authenticated", NOT_AUTHENTICATED),
        (Refusal::LockedOut, "not-authenticated", NOT_AUTHENTICATED),
        (
            Refusal::NotByThisProtocol,
            "not-authenticated",
            "this protocol can't check the password of your account: ask the operator for a --classic one",
        ),
        (Refusal::TooManyGuests, "too-many-sessions", "the server has no room for more guests"),
        (Refusal::Unfit(TextError::Empty), "bad-request", "a message can't be empty"),
        (Refusal::TokenRefused, "token-refused", "the resume token is not valid any more: log in with the password"),
        (
            Refusal::SomebodyInBetween,
            "somebody-in-between",
            "the password is right, but was not meant for this connection: somebody is in between",
        ),
        (
            Refusal::TooManySessions,
            "too-many-sessions",
            "too many commands of yours are logged in at a time: end some of them, or wait until they have ended",
        ),
        (Refusal::NeedsTls, "needs-tls", "this needs an encrypted connection"),
        (Refusal::OperatorOnly, "operator-only", "only the operator may do this, with 'chatd user'"),
        (Refusal::NoSignUp, "no-sign-up", "nobody can sign up from your address: ask the operator for an account"),
        (Refusal::NameTaken(bob()), "name-taken", "the name bob is taken"),
        (Refusal::InFile(bob()), "in-file", "the account bob stands in the operator's file, and is changed there"),
        (Refusal::TooManyAccounts, "too-many-accounts", "the server has no room for more accounts"),
        (
            Refusal::PasswordFirst,
            "password-first",
            "this session began without the password: log in with it to change it",
        ),
        (
            Refusal::PasswordIsKept,
            "password-is-kept",
            "this account is for classic clients: the server keeps its password, and the operator changes it",
        ),
        (
            Refusal::NoSealingKey,
            "no-sealing-key",
            "the server has no key to seal passwords with: it runs without a data directory",
        ),
        (Refusal::NoSuchUser(bob()), "no-such-user", "there is no user bob"),
        (Refusal::BlockedBy(bob()), "blocked", "bob has blocked you"),
        (Refusal::NotBlocked(bob()), "not-blocked", "bob is not blocked"),
        (Refusal::TooManyBlocked, "too-many-blocked", "your block list is full: unblock somebody first"),
        (Refusal::CannotBlockYourself, "cannot-block-yourself", "you can't block yourself"),
        (Refusal::CannotAskYourself, "cannot-ask-yourself", "your own address is no secret from you"),
        (
            Refusal::BlockedByYou(bob()),
            "blocked-by-you",
            "you have blocked bob, who would learn your address: unblock first",
        ),
        (Refusal::Offline(bob()), "offline", "bob is offline: ask when they are there"),
        (
            Refusal::CannotBeAsked(bob()),
            "cannot-be-asked",
            "bob is here without encryption, and can't be asked for an address",
        ),
        (Refusal::Busy(bob()), "busy", "somebody else is asking bob: try again in a moment"),
        (Refusal::AlreadyAsked(bob()), "already-asked", "bob has your question already"),
        (Refusal::AskedLately(bob()), "asked-lately", "bob did not say yes: ask again in a minute"),
        (Refusal::TooManyQuestions, "too-many-questions", "you are waiting for too many answers already"),
        (Refusal::NotAsked(bob()), "not-asked", "bob is not asking you, or no longer"),
        (Refusal::TooManyConsents, "too-many-consents", "you have said yes to too many: revoke one first"),
        (Refusal::NotConsented(bob()), "not-consented", "there is no yes of yours for bob"),
        (
            Refusal::Unreachable(bob()),
            "unreachable",
            "bob can't be reached for a chat: they are not online, or in one, or have blocked you",
        ),
        (Refusal::NotInChat, "not-in-chat", "you are in no chat: begin one first"),
        (
            Refusal::QueueFull(bob()),
            "queue-full",
            "too much waits for bob already: try again when they have been online",
        ),
        (
            Refusal::TooFast { retry_after: Duration::from_millis(10) },
            "too-fast",
            "you are sending too fast: nothing was done, send it again after the time",
        ),
        (
            Refusal::OutOfTurn { first: 8 },
            "out-of-turn",
            "the send with the counter 8 was too fast: send it again before this one",
        ),
        (Refusal::Conflict, "conflict", "this counter was used for another message"),
        (Refusal::CounterTooOld, "counter-too-old", "this counter is too far behind to be remembered"),
        (Refusal::NotStored, "not-stored", "the server can't write to its disk: nothing was done, try again later"),
        (Refusal::HistoryUnavailable, "history-unavailable", "the server can't read its history now: try again later"),
        (Refusal::ShuttingDown, "shutting-down", "the server stops"),
    ];
    for (refusal, ..) in &samples {
        match refusal {
            Refusal::LogInFirst | Refusal::AlreadyLoggedIn | Refusal::NoChallenge | Refusal::NoDevice => {}
            Refusal::NotAuthenticated | Refusal::TokenRefused | Refusal::SomebodyInBetween | Refusal::NeedsTls => {}
            Refusal::OperatorOnly | Refusal::NoSignUp | Refusal::NameTaken(_) | Refusal::InFile(_) => {}
            Refusal::TooManyAccounts | Refusal::PasswordFirst | Refusal::PasswordIsKept | Refusal::NoSealingKey => {}
            Refusal::NoSuchUser(_) | Refusal::BlockedBy(_) | Refusal::NotBlocked(_) | Refusal::TooManyBlocked => {}
            Refusal::CannotBlockYourself | Refusal::QueueFull(_) | Refusal::Conflict | Refusal::CounterTooOld => {}
            Refusal::NotStored | Refusal::HistoryUnavailable | Refusal::ShuttingDown => {}
            Refusal::CannotAskYourself | Refusal::BlockedByYou(_) | Refusal::Offline(_) | Refusal::CannotBeAsked(_) => {
            }
            Refusal::Busy(_) | Refusal::AlreadyAsked(_) | Refusal::AskedLately(_) | Refusal::TooManyQuestions => {}
            Refusal::NotAsked(_) | Refusal::TooManyConsents | Refusal::NotConsented(_) => {}
            Refusal::TooFast { .. } | Refusal::OutOfTurn { .. } | Refusal::TooManySessions => {}
            Refusal::UnknownName | Refusal::WrongPassword | Refusal::LockedOutNow | Refusal::LockedOut => {}
            Refusal::TooManyGuests | Refusal::Unfit(_) => {}
            Refusal::NotByThisProtocol | Refusal::Unreachable(_) | Refusal::NotInChat => {}
        }
    }
    samples
}

/// Each event, with its line.
pub fn events() -> Vec<(Event, String)> {
    let closing = |reason, word: &str, text: &str| {
        (Event::Closing(reason), format!(r#"{{"event":"closing","reason":"{word}","text":"{text}"}}"#))
    };
    let told = |word: &str, from: &str, text: &str| {
        format!(r#"{{"event":"{word}","number":5,"time":1772000000000,"from":"{from}","text":"{text}"}}"#)
    };
    let ask_over = |why, word: &str| {
        let line = format!(r#"{{"event":"ask-over","user":"Bob","reason":"{word}"}}"#);
        (Event::AskOver { user: name("Bob"), why }, line)
    };
    let no_address = |why, word: &str| {
        let line = format!(r#"{{"event":"no-address","user":"Bob","reason":"{word}"}}"#);
        (Event::NoAddress { user: name("Bob"), why }, line)
    };
    let samples = vec![
        (
            Event::Message(message(5, "Bob", "alice", ODD)),
            told("message", "Bob", "a \\\"b\\\" \\\\ c\\n\\td é\u{2028} 😀"),
        ),
        (Event::Message(message(5, "Bob", "everyone", "hi")), told("broadcast", "Bob", "hi")),
        (Event::Message(message(5, "server", "alice", "hi")), told("note", "server", "hi")),
        (Event::Online(name("Bob")), r#"{"event":"online","user":"Bob"}"#.to_owned()),
        (Event::Offline(name("Bob")), r#"{"event":"offline","user":"Bob"}"#.to_owned()),
        (
            Event::Delivered { number: Number(5), to: name("Bob"), words: None },
            r#"{"event":"delivered","number":5,"to":"Bob"}"#.to_owned(),
        ),
        (
            Event::ChatStarted { id: CHAT, peer: name("Bob") },
            r#"{"event":"chat-started","user":"Bob","chat":"20260228235959"}"#.to_owned(),
        ),
        (
            Event::ChatEnded { id: CHAT, peer: name("Bob") },
            r#"{"event":"chat-ended","user":"Bob","chat":"20260228235959"}"#.to_owned(),
        ),
        (Event::Token, r#"{"event":"token"}"#.to_owned()),
        (Event::Missed { count: 2 }, r#"{"event":"missed","count":2}"#.to_owned()),
        (
            Event::Asks {
                user: name("Bob"),
                certificate: Some(certificate()),
                answer_within: Duration::from_micros(119_000_001),
            },
            format!(r#"{{"event":"asks","user":"Bob","certificate":"{CERTIFICATE}","seconds":120}}"#),
        ),
        ask_over(AskOver::Answered, "answered"),
        ask_over(AskOver::Expired, "expired"),
        ask_over(AskOver::Withdrawn, "withdrawn"),
        ask_over(AskOver::Blocked, "blocked"),
        ask_over(AskOver::NotStored, "not-stored"),
        ask_over(AskOver::Revoked, "revoked"),
        (
            Event::Address {
                user: name("Bob"),
                address: address("2001:db8::7"),
                port: port(6002),
                certificate: Some(certificate()),
                connect_within: Duration::from_secs(600),
            },
            format!(
                r#"{{"event":"address","user":"Bob","address":"2001:db8::7","port":6002,"certificate":"{CERTIFICATE}","seconds":600}}"#
            ),
        ),
        no_address(NoAddress::Declined, "no"),
        no_address(NoAddress::Expired, "expired"),
        no_address(NoAddress::Offline, "offline"),
        no_address(NoAddress::Withdrawn, "withdrawn"),
        no_address(NoAddress::NotStored, "not-stored"),
        (Event::Revoked(name("Bob")), r#"{"event":"revoked","user":"Bob"}"#.to_owned()),
        closing(CloseReason::Displaced, "displaced", "this device has logged in again elsewhere"),
        closing(CloseReason::Shutdown, "shutdown", "the server stops"),
        closing(CloseReason::HeartbeatMissed, "heartbeat", "the server has heard nothing for too long"),
        closing(CloseReason::AccountChanged, "account", "the account or its password was changed; log in again"),
        closing(
            CloseReason::LogInsFailed,
            "failures",
            "too many log-ins have failed on this connection: connect again for another try",
        ),
        closing(CloseReason::Kicked, "kicked", "the operator has ended this session"),
    ];
    for (event, _) in &samples {
        match event {
            Event::Message(_) | Event::Online(_) | Event::Offline(_) | Event::Delivered { .. } => {}
            Event::Token | Event::Missed { .. } => {}
            Event::ChatStarted { .. } | Event::ChatEnded { .. } => {}
            Event::Asks { .. } | Event::Address { .. } | Event::Revoked(_) => {}
            Event::AskOver { why: AskOver::Answered | AskOver::Expired | AskOver::Withdrawn, .. } => {}
            Event::AskOver { why: AskOver::Blocked | AskOver::NotStored | AskOver::Revoked, .. } => {}
            Event::NoAddress { why: NoAddress::Declined | NoAddress::Expired | NoAddress::Offline, .. } => {}
            Event::NoAddress { why: NoAddress::Withdrawn | NoAddress::NotStored, .. } => {}
            Event::Closing(
                CloseReason::Displaced
                | CloseReason::Shutdown
                | CloseReason::HeartbeatMissed
                | CloseReason::AccountChanged
                | CloseReason::Kicked
                | CloseReason::LogInsFailed,
            ) => {}
        }
    }
    samples
}

/// Each farewell, with its code and text.
pub fn farewells() -> Vec<(Farewell, &'static str, &'static str)> {
    let samples = vec![
        (Farewell::TooSlow, "too-slow", "nobody logged in in time"),
        (Farewell::TooMuch, "too-much", "too much was sent before the log-in"),
        (Farewell::OutOfScope, "out-of-scope", "unencrypted connections are not served to your address: use TLS"),
        (Farewell::Full, "full", "the server has no room for more sessions: try again later"),
        (Farewell::TooMany, "too-many", "too many connections wait for a log-in here: try again in a moment"),
    ];
    for (farewell, ..) in &samples {
        match farewell {
            Farewell::TooSlow | Farewell::TooMuch | Farewell::OutOfScope | Farewell::TooMany | Farewell::Full => {}
        }
    }
    samples
}
