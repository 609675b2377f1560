//! Answers and events as the client reads them, and the client's session with a server that may say anything.

use std::sync::Arc;
use std::time::Duration;

use chatd::client::core::{Device, Happening, Login, Nonces, Request, Session};
use chatd::hub::effect::{Answer, AskOver, Event, NoAddress, Reach, Reply};
use chatd::hub::id::{PeerAddress, UserId};
use chatd::hub::input::PeerPort;
use chatd::hub::message::{HistoryPage, Message, Recipient, Sender};
use chatd::hub::time::{LocalTime, WallTime};
use chatd::wire::native::client::{FromServer, Hear, Heard, News, Party, ReachTold, Told, decode};
use chatd::wire::native::{REQUEST_BYTES_MAX, SERVER_LINE_BYTES_MAX};
use chatd::wire::scram::{Checked, ClientFinal, ClientFirst, SALT_BYTES, Secret, ServerExchange, StoredKeys};
use chatd::wire::{Conversation, DeviceId, Dialect, LogId, Lull, Pieces, RequestId, ResumeToken, Step, Text, UserName};
use serde::Deserialize;

use super::script::Sizes;

const TOKEN: [u8; 32] = [9; 32];
const NONCES: Nonces = [[1; 18], [2; 18]];
/// What a session may have to say for each line that it hears, in bytes: a page of the history is asked for in less.
const OUTPUT_A_LINE_MAX: usize = 256;
/// The requests of `Play::new`, a log-in and an acknowledgement.
const OUTPUT_MIN: usize = 4096;

pub fn run(data: &[u8]) {
    let whole = lines(data, |_| data.len());
    let mut sizes = Sizes::of(data);
    assert_eq!(whole, lines(data, |_| sizes.next()), "the split changes what is heard");
    if data.len() <= 256 {
        assert_eq!(whole, lines(data, |_| 1), "bytes one at a time change what is heard");
    }
    for logged_in in [false, true] {
        let mut whole = Play::new(logged_in);
        whole.hear(data);
        let mut split = Play::new(logged_in);
        let (mut rest, mut sizes) = (data, Sizes::of(data));
        loop {
            let (piece, after) = rest.split_at(rest.len().min(sizes.next()));
            split.hear(piece);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        assert_eq!(whole.happened, split.happened, "the split changes what happens");
        assert_eq!(whole.output, split.output, "the split changes what is said");
        whole.goes_on();
    }
}

/// What is heard of `data` when it comes in pieces of these sizes.
fn lines(data: &[u8], mut size: impl FnMut(usize) -> usize) -> Vec<String> {
    let (mut lines, mut used, mut come) = (Vec::new(), 0, 0);
    while come < data.len() {
        come = data.len().min(come + size(come));
        while used < come {
            let rest = &data[used..come];
            match decode(rest) {
                Hear::Wait => {
                    assert!(rest.len() < SERVER_LINE_BYTES_MAX, "an endless line is waited for");
                    break;
                }
                Hear::NotUnderstood => {
                    lines.push("not understood".to_owned());
                    return lines;
                }
                Hear::Line { used: taken, line } => {
                    assert!(taken > 0 && taken <= rest.len(), "{taken} of {} bytes are used", rest.len());
                    assert_eq!(rest[..taken].iter().position(|&b| b == b'\n'), Some(taken - 1), "more than a line");
                    check_again(&line);
                    used += taken;
                    lines.push(format!("{line:?}"));
                }
            }
        }
    }
    lines
}

/// What the server would have written to say this is heard as the same.
fn check_again(line: &FromServer) {
    let mut again = Pieces::default();
    match line {
        FromServer::Answer { id, answer: Ok(told) } => {
            let Some(reply) = reply(told) else { return };
            let answer: Answer = Ok(reply);
            Dialect::Native.encode_answer(*id, &answer, &mut again);
            if again.is_empty() && id.is_none() {
                return;
            }
        }
        FromServer::News(news) => {
            let Some(event) = event(news) else { return };
            Dialect::Native.encode_event(&event, &mut again);
        }
        FromServer::Answer { answer: Err(_), .. } => return,
    }
    let again = again.bytes;
    // A long list is several lines.
    if again.iter().filter(|&&byte| byte == b'\n').count() > 1 {
        return;
    }
    match decode(&again) {
        Hear::Line { used, line: heard } if used == again.len() => {
            assert_eq!(format!("{heard:?}"), format!("{line:?}"));
        }
        other => panic!("{:?} is heard as {other:?}", String::from_utf8_lossy(&again)),
    }
}

/// The server's own form of an answer. `None`: no server has one.
fn reply(told: &Told) -> Option<Reply> {
    Some(match told.clone() {
        Told::Challenge { message, hashed } => Reply::Challenge { message, hashed },
        Told::LoggedIn { message, user, heartbeat_timeout, log, counter, waiting } => {
            Reply::LoggedIn { message, user, heartbeat_timeout, log, counter, waiting: waiting as usize }
        }
        Told::LoggedOut => Reply::LoggedOut,
        Told::SignedUp { user } => Reply::SignedUp(user),
        Told::PasswordChanged { user } => Reply::PasswordChanged(user),
        Told::UserAdded { user } => Reply::UserAdded(user),
        Told::UserRemoved { user } => Reply::UserRemoved(user),
        Told::Users { accounts, continues: false } => Reply::Users(accounts),
        Told::UserUnlocked { user } => Reply::Unlocked(user),
        Told::UserKicked { user, sessions } => Reply::Kicked { user, sessions: sessions as usize },
        Told::Status(status) => Reply::Status(status),
        Told::Accepted { number, reach } => {
            let reach = match reach {
                ReachTold::Online => Reach::Online,
                ReachTold::Queued => Reach::Queued,
                ReachTold::Partial => Reach::Partial,
            };
            Reply::Accepted { number, reach }
        }
        Told::ChatStarted { id, user } => Reply::ChatStarted { id, peer: user },
        Told::ChatEnded { id, user } => Reply::ChatEnded { id, peer: user },
        Told::Acknowledged => Reply::Acknowledged,
        Told::Alive => Reply::Alive,
        Told::Online { users, continues: false } => Reply::Online(users),
        Told::Blocked { user } => Reply::Blocked(user),
        Told::Unblocked { user } => Reply::Unblocked(user),
        Told::BlockList { users, continues: false } => Reply::BlockList(users),
        Told::Asked { user, answer_within } => Reply::Asked { user, answer_within },
        Told::Consented { user, address, certificate, connect_within } => {
            // What the server sees of an IPv4 address is never mapped.
            let address = (address.to_canonical() == address).then(|| PeerAddress::of(address))?;
            Reply::Consented { user, address, certificate: Some(certificate), connect_within }
        }
        Told::Declined { user } => Reply::Declined(user),
        Told::Revoked { user } => Reply::Revoked(user),
        Told::Privacy(list) => Reply::Privacy(Box::new(list)),
        Told::History { messages, more, continues: false } => {
            Reply::History(HistoryPage { messages: messages.iter().map(message).collect::<Option<_>>()?, more })
        }
        Told::Users { .. } | Told::Online { .. } | Told::BlockList { .. } | Told::History { .. } => return None,
    })
}

fn event(news: &News) -> Option<Event> {
    Some(match news.clone() {
        // To whom an event is does not stand in it.
        News::Message(heard) if heard.to == Party::You => {
            let to = Party::User(UserName::parse("you").ok()?);
            Event::Message(message(&Heard { to, ..heard })?)
        }
        News::Message(heard) => Event::Message(message(&heard)?),
        News::Online { user } => Event::Online(user),
        News::Offline { user } => Event::Offline(user),
        News::Delivered { number, to } => Event::Delivered { number, to, words: None },
        News::ChatStarted { id, user } => Event::ChatStarted { id, peer: user },
        News::ChatEnded { id, user } => Event::ChatEnded { id, peer: user },
        News::Token => Event::Token,
        News::Missed { count } => Event::Missed { count },
        News::Asks { user, certificate, answer_within } => {
            Event::Asks { user, certificate: Some(certificate), answer_within }
        }
        News::AskOver { user, reason } => {
            let all = [
                AskOver::Answered,
                AskOver::Expired,
                AskOver::Withdrawn,
                AskOver::Blocked,
                AskOver::NotStored,
                AskOver::Revoked,
            ];
            let words = ["answered", "expired", "withdrawn", "blocked", "not-stored"];
            let at = words.iter().position(|word| *word == reason)?;
            Event::AskOver { user, why: all[at] }
        }
        News::Address { user, address, certificate, connect_within } => {
            let port = PeerPort::parse(address.port().into())?;
            let address = (address.ip().to_canonical() == address.ip()).then(|| PeerAddress::of(address.ip()))?;
            Event::Address { user, address, port, certificate: Some(certificate), connect_within }
        }
        News::NoAddress { user, reason } => {
            let all = [
                NoAddress::Declined,
                NoAddress::Expired,
                NoAddress::Offline,
                NoAddress::Withdrawn,
                NoAddress::NotStored,
            ];
            let words = ["no", "expired", "offline", "withdrawn", "not-stored"];
            let at = words.iter().position(|word| *word == reason)?;
            Event::NoAddress { user, why: all[at] }
        }
        News::Revoked { user } => Event::Revoked(user),
        News::Closing { .. } | News::Unknown => return None,
    })
}

fn message(heard: &Heard) -> Option<Arc<Message>> {
    let from = match &heard.from {
        Party::User(name) => Sender::User(UserId(1), name.clone()),
        Party::Server => Sender::Server,
        Party::Everyone | Party::You => return None,
    };
    let to = match &heard.to {
        Party::User(name) => Recipient::User(UserId(2), name.clone()),
        Party::Everyone => Recipient::Everyone,
        Party::Server | Party::You => return None,
    };
    // The server's notes are to one person.
    if from == Sender::Server && to == Recipient::Everyone {
        return None;
    }
    let (number, time) = (heard.number, WallTime::from_millis(heard.time));
    Some(Arc::new(Message {
        number,
        time,
        local: LocalTime::default(),
        from,
        to,
        text: Text::parse(&heard.text).ok()?,
        origin: None,
    }))
}

/// A session, and what has come of it.
struct Play {
    session: Session,
    now: Duration,
    /// Bytes heard since the last newline.
    unfinished: usize,
    lines: usize,
    happened: Vec<Happening>,
    output: Vec<u8>,
    ended: bool,
}

#[derive(Deserialize)]
struct Asked {
    id: u64,
    message: String,
}

impl Play {
    /// A session whose log-in has begun, or is done. It has a resume token and no password: a password would be put to
    /// however many iterations the input asks for.
    fn new(logged_in: bool) -> Play {
        let token = ResumeToken(TOKEN);
        let device = Device { id: DeviceId::from_bytes([3; 16]), shown: None, token: Some(token) };
        let user = name("alice");
        let login = Login { user, password: None, device: Some(device), heartbeat: Duration::from_secs(30) };
        let (mut session, now) = (Session::new(login), Duration::from_secs(1));
        session.connected(now, NONCES, None);
        let text = || Text::parse("hi").expect("a text");
        for request in [
            Request::Message { to: name("bob"), text: text(), receipt: true },
            Request::Broadcast { text: text() },
            Request::Online,
            Request::Block { user: name("bob") },
            Request::Unblock { user: name("bob") },
            Request::Blocked,
            Request::History { with: None, count: 3 },
            Request::Chat { user: name("bob") },
            Request::EndChat,
        ] {
            session.ask(request).expect("there is room for it");
        }
        let (lines, unfinished) = (0, 0);
        let mut play = Play { session, now, unfinished, lines, happened: Vec::new(), output: Vec::new(), ended: false };
        if logged_in {
            play.log_in();
        }
        play
    }

    /// The server's side, as it should be.
    fn log_in(&mut self) {
        let keys = StoredKeys::of(&Secret::token(&ResumeToken(TOKEN)));
        let asked = self.asked();
        let first = ClientFirst::parse(&asked.message).expect("a first message");
        let exchange = ServerExchange::new(&first, b"server", &[0; SALT_BYTES], 4096);
        let challenge = Reply::Challenge { message: exchange.message().to_owned(), hashed: false };
        self.answer(asked.id, challenge);
        let asked = self.asked();
        let last = ClientFinal::parse(&asked.message).expect("a last message");
        let Checked::Right(message, _) = exchange.check(&last, &keys, None) else { panic!("the proof is right") };
        let (user, heartbeat_timeout, log) = (name("alice"), Duration::from_secs(35), LogId(7));
        self.answer(asked.id, Reply::LoggedIn { message, user, heartbeat_timeout, log, counter: 0, waiting: 0 });
        assert!(self.session.is_logged_in());
    }

    fn asked(&mut self) -> Asked {
        serde_json::from_slice(&self.session.take_output()).expect("a line")
    }

    fn answer(&mut self, id: u64, reply: Reply) {
        let mut line = Pieces::default();
        Dialect::Native.encode_answer(Some(RequestId(id)), &Ok(reply), &mut line);
        self.session.received(self.now, &line.bytes);
        while self.session.next_happening().is_some() {}
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.session.received(self.now, bytes);
        self.lines += bytes.iter().filter(|&&byte| byte == b'\n').count();
        self.unfinished = match bytes.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => bytes.len() - end - 1,
            None => self.unfinished + bytes.len(),
        };
        self.take();
    }

    fn take(&mut self) {
        self.output.extend(self.session.take_output());
        let most = OUTPUT_MIN + OUTPUT_A_LINE_MAX * self.lines;
        assert!(self.output.len() <= most, "{} bytes are said to {} lines", self.output.len(), self.lines);
        while let Some(happening) = self.session.next_happening() {
            assert!(!self.ended, "after its end a session has nothing to tell: {happening:?}");
            self.ended = matches!(happening, Happening::End(_) | Happening::Closing { .. });
            self.happened.push(happening);
        }
        assert!(self.happened.len() <= self.lines + 2, "more happens than was said");
        assert!(self.unfinished < SERVER_LINE_BYTES_MAX || self.ended, "an endless line is kept");
        assert!(!self.ended || self.session.poll_timeout().is_none(), "after its end nothing is due");
        self.session.take_memory();
    }

    /// Time passes, and everything that was said is a request; another connection is possible.
    fn goes_on(mut self) {
        for _ in 0..3 {
            let Some(at) = self.session.poll_timeout() else { break };
            self.now = self.now.max(at);
            self.lines += 1;
            self.session.tick(self.now);
            self.take();
            assert!(self.session.poll_timeout().is_none_or(|at| at > self.now), "a deadline that does not pass");
        }
        let mut rest = &self.output[..];
        while !rest.is_empty() {
            match Conversation::Native.decode(rest, Lull::None) {
                Step::Request { used, .. } if used <= REQUEST_BYTES_MAX => rest = &rest[used..],
                other => panic!("the server makes {other:?} of {:?}", String::from_utf8_lossy(rest)),
            }
        }
        self.session.connected(self.now, NONCES, None);
        self.session.take_output();
        self.session.log_out();
    }
}

fn name(name: &str) -> UserName {
    UserName::parse(name).expect("a name")
}
