//! One user's session with a server: log-in, sends that survive a reconnect, what has been shown, signs of life.
//!
//! Pure: no socket, no clock, no terminal. Whoever drives it tells it what happened and when, sends what `take_output`
//! gives, and takes the happenings. What always holds: a message is told once, in the order of the numbers; a send keeps
//! its counter until it is answered; nothing that a server says panics or makes it keep more than the bounds below.
//!
//! The promise about what was shown asks one thing of the driver: show the happenings, then keep `take_memory`, then
//! send `take_output`. A crash in between repeats a message, and never loses one.

mod chat;

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::net::IpAddr;
use std::time::Duration;

pub use self::chat::Chat;
use crate::wire::native::client::{self as wire, Ask, FromServer, Hear, Heard, News, Problem, ReachTold, Told};
use crate::wire::native::{HISTORY_LIMIT_MAX, SERVER_LINE_BYTES_MAX};
use crate::wire::nick::server::PROMPT;
use crate::wire::scram::{Challenge, ChannelBinding, ClientExchange, Secret, ServerSignature};
use crate::wire::{
    DeviceClaim, DeviceId, Fingerprint, LogId, Number, Offer, Password, PasswordDigest, PrivacyList, RequestId,
    ResumeToken, Text, UserName,
};

/// A point in time: how long after some fixed moment.
pub type Now = Duration;

/// How many requests may be without an answer. The server remembers the outcome of a device's last 256 sends, and a
/// send that is repeated must be among them.
pub const PENDING_MAX: usize = 200;
/// The most messages that one `Request::History` brings.
pub const HISTORY_COUNT_MAX: usize = 10_000;
/// The most names that a list may have.
const LIST_NAMES_MAX: usize = 100_000;
/// After so many messages an acknowledgement goes out at once,
const ACKNOWLEDGE_EVERY: usize = 32;
/// and after this time at the latest.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_millis(200);
/// How long a log-in may take.
pub const LOG_IN_WITHIN: Duration = Duration::from_secs(30);
/// A sign of life is sent so long before the server would miss it.
const HEARTBEAT_MARGIN: Duration = Duration::from_secs(5);
/// Signs of life are never closer together.
const HEARTBEAT_MIN: Duration = Duration::from_millis(250);
/// A server that takes no more sends for now is asked again after the time that it says, within these.
const AGAIN_AFTER_MIN: Duration = Duration::from_millis(10);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(20);
/// The highest number that every JSON library keeps exact (RFC 8259, section 6).
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Random bytes for one connection: two exchanges, in case the token is refused.
pub type Nonces = [[u8; 18]; 2];

/// Who logs in, and how.
pub struct Login {
    pub user: UserName,
    /// Without it only the resume token is left.
    pub password: Option<String>,
    /// Without it nothing is received, and nobody notices the log-in.
    pub device: Option<Device>,
    /// How often to send a sign of life; more often if the server wants it.
    pub heartbeat: Duration,
}

/// What an installation of the client keeps from one run to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub id: DeviceId,
    /// Up to which number of which log messages have been shown.
    pub shown: Option<(LogId, Number)>,
    pub token: Option<ResumeToken>,
}

/// What a request is called until its answer comes. Later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag(pub u64);

/// What can be asked of the server once logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `receipt`: tell when it was delivered.
    Message {
        to: UserName,
        text: Text,
        receipt: bool,
    },
    Broadcast {
        text: Text,
    },
    /// To chat with this user, as long as the connection lasts.
    Chat {
        user: UserName,
    },
    /// The chat is over.
    EndChat,
    Online,
    Block {
        user: UserName,
    },
    Unblock {
        user: UserName,
    },
    Blocked,
    /// May we know where this user is? `News::Address` or `News::NoAddress` is the answer.
    AskAddress {
        user: UserName,
        certificate: Fingerprint,
    },
    /// The answer to such a question; `None`: no.
    Consent {
        user: UserName,
        offer: Option<Offer>,
    },
    Revoke {
        user: UserName,
    },
    /// Who may reach us, and who has asked?
    Privacy,
    /// The newest `count` messages, with one user or of all.
    History {
        with: Option<UserName>,
        count: usize,
    },
}

/// A request that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// Safe on the server's disk.
    Accepted {
        number: Number,
        reach: ReachTold,
    },
    ChatStarted(Chat),
    ChatEnded(Chat),
    Online(Vec<UserName>),
    Blocked(UserName),
    Unblocked(UserName),
    BlockList(Vec<UserName>),
    /// The question was passed on.
    Asked {
        user: UserName,
        answer_within: Duration,
    },
    /// They may come for so long; `address` and `certificate` are theirs.
    Consented {
        user: UserName,
        address: IpAddr,
        certificate: Fingerprint,
        connect_within: Duration,
    },
    Declined(UserName),
    Revoked(UserName),
    Privacy(PrivacyList),
    /// Oldest first.
    History(Vec<Heard>),
}

/// What the driver is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// Each time that the session is (again) logged in. `waiting` messages come next.
    LoggedIn { user: UserName, waiting: u64 },
    /// The one answer to a request.
    Answered { tag: Tag, answer: Result<Done, Problem> },
    /// Something that nobody asked for: never `Token`, `Closing` or `Unknown`.
    News(News),
    /// The server ends the connection. Nothing comes from it after this.
    Closing { reason: Closing, text: String },
    /// This connection is of no use any more: close it.
    End(End),
}

/// Why the server ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The same device has logged in elsewhere: don't come back.
    Displaced,
    /// The account or its password was changed: don't come back without a new password.
    Account,
    /// By the operator: don't come back by yourself.
    Kicked,
    /// The server stops, has heard nothing for too long, or something else: come back.
    Lost,
}

/// Why a connection is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As asked.
    LoggedOut,
    /// The name or the password is wrong, or there were too many wrong tries.
    NotAuthenticated(Problem),
    /// The resume token is not valid any more, and there is no password.
    PasswordNeeded,
    /// The server does not know the password, or wants it weakened: it is not the one it claims to be.
    Impostor(&'static str),
    /// The server refuses this client, or complains of it.
    Refused(Problem),
    /// Nothing that this client understands: no chatd, or one gone mad.
    NotUnderstood,
    /// The log-in took too long.
    TooSlow,
}

/// More requests are without an answer than the client keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// The session. It outlives its connections.
pub struct Session {
    login: Login,
    /// Whether a log-in has succeeded: from then on the token comes before the password.
    proven: bool,
    memory_changed: bool,
    /// The token of this log-in, until the server says that it is valid.
    derived: Option<ResumeToken>,
    /// The password as the server wants it: making it is slow.
    salted: Option<Salted>,
    phase: Phase,
    /// Of the connection that is there, if it is encrypted.
    binding: Option<ChannelBinding>,
    /// Ids of requests; never used twice.
    last_id: u64,
    /// The highest counter of this device.
    counter: u64,
    pending: BTreeMap<Tag, Pending>,
    input: Vec<u8>,
    /// The server has said nothing yet that counts.
    unheard: bool,
    output: Vec<u8>,
    happenings: VecDeque<Happening>,
    heartbeat: Duration,
    alive_at: Option<Now>,
    unacknowledged: usize,
    acknowledge_at: Option<Now>,
    /// Sends were too fast: they and all later ones wait until then, so that the order is kept.
    resume_at: Option<Now>,
    /// The lowest counter that was too fast: from there on all are free, and it has to come first.
    free_from: u64,
    /// The counters of sends that were given up while they were under way: they may have been too fast.
    given_up: BTreeMap<Tag, u64>,
    /// So many sends may be under way: one after a send was too fast, and one more with each that is accepted. Most of a
    /// crowd would only be refused again.
    window: usize,
    /// The log-out waits for them.
    leaves: bool,
    /// As far as this connection knows.
    chat: Option<Chat>,
}

struct Salted {
    salt: Vec<u8>,
    iterations: u32,
    hashed: bool,
    secret: Secret,
}

enum Phase {
    /// There is no connection, or none that counts any more.
    Apart,
    LoggingIn {
        id: RequestId,
        step: Step,
        by: By,
        /// For the second exchange, if there has to be one.
        nonce: Option<[u8; 18]>,
        until: Now,
    },
    In,
    /// Logged in, until the answer to this.
    Leaving {
        id: RequestId,
    },
}

enum Step {
    Challenge(ClientExchange),
    Proof(ServerSignature, ResumeToken),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Password,
    Token,
}

/// A request without its (whole) answer.
struct Pending {
    request: Request,
    /// Given when it is first sent, and kept.
    counter: Option<u64>,
    /// It was sent on an earlier connection: it may be done already.
    again: bool,
    sent: bool,
    users: Vec<UserName>,
    /// Of the end of a chat: it has ended meanwhile.
    over: Option<Chat>,
    /// Of a history: the page that is coming in, and the newer ones.
    page: Vec<Heard>,
    newer: Vec<Heard>,
}

impl Session {
    pub fn new(login: Login) -> Session {
        Session {
            login,
            proven: false,
            memory_changed: false,
            derived: None,
            salted: None,
            phase: Phase::Apart,
            binding: None,
            last_id: 0,
            counter: 0,
            pending: BTreeMap::new(),
            input: Vec::new(),
            unheard: false,
            output: Vec::new(),
            happenings: VecDeque::new(),
            heartbeat: Duration::ZERO,
            alive_at: None,
            unacknowledged: 0,
            acknowledge_at: None,
            resume_at: None,
            free_from: u64::MAX,
            given_up: BTreeMap::new(),
            window: PENDING_MAX,
            leaves: false,
            chat: None,
        }
    }

    /// A new connection is there: logs in on it. `binding`: of an encrypted one; then nothing else than a log-in that is
    /// bound to it will do.
    pub fn connected(&mut self, now: Now, nonces: Nonces, binding: Option<ChannelBinding>) {
        self.disconnected();
        self.unheard = true;
        self.binding = binding;
        let has_token = self.login.device.as_ref().is_some_and(|device| device.token.is_some());
        let by = if has_token && (self.proven || self.login.password.is_none()) { By::Token } else { By::Password };
        if by == By::Password && self.login.password.is_none() {
            self.end(End::PasswordNeeded);
            return;
        }
        self.log_in(by, nonces[0], Some(nonces[1]), now + LOG_IN_WITHIN);
    }

    /// Takes the question for a nickname off the beginning: a server asks it of whoever is slow to begin, and knows what comes
    /// late all the same. Says whether nothing else has come.
    fn is_only_a_prompt(&mut self) -> bool {
        if self.input.starts_with(PROMPT) {
            self.input.drain(..PROMPT.len());
            return self.input.is_empty();
        }
        PROMPT.starts_with(&self.input)
    }

    /// The connection is gone. Requests without an answer wait for the next one. Without a device, where a repeated send
    /// would be a second message, those that were sent are forgotten.
    pub fn disconnected(&mut self) {
        self.lose_chat();
        self.phase = Phase::Apart;
        self.derived = None;
        self.input.clear();
        self.output.clear();
        self.alive_at = None;
        self.unacknowledged = 0;
        self.acknowledge_at = None;
        self.resume_at = None;
        self.free_from = u64::MAX;
        self.given_up.clear();
        self.window = PENDING_MAX;
        self.leaves = false;
        if self.login.device.is_none() {
            self.pending.retain(|_, pending| !pending.sent);
        }
        for pending in self.pending.values_mut() {
            pending.again |= mem::take(&mut pending.sent);
            pending.users.clear();
            pending.page.clear();
            pending.newer.clear();
        }
    }

    /// The server sent something, split anyhow.
    pub fn received(&mut self, now: Now, bytes: &[u8]) {
        if matches!(self.phase, Phase::Apart) {
            return;
        }
        self.input.extend_from_slice(bytes);
        if self.unheard && self.is_only_a_prompt() {
            return;
        }
        self.unheard = false;
        let may_be_whole = bytes.contains(&b'\n') || self.input.len() >= SERVER_LINE_BYTES_MAX;
        if !may_be_whole && self.input.trim_ascii_start().first() == Some(&b'{') {
            return;
        }
        let input = mem::take(&mut self.input);
        let mut used = 0;
        while !matches!(self.phase, Phase::Apart) {
            match wire::decode(&input[used..]) {
                Hear::Wait => {
                    self.input = input[used..].to_vec();
                    return;
                }
                Hear::NotUnderstood => self.end(End::NotUnderstood),
                Hear::Line { used: length, line } => {
                    used += length;
                    match line {
                        FromServer::News(news) => self.news(now, news),
                        FromServer::Answer { id, answer } => self.answer(now, id, answer),
                    }
                }
            }
        }
    }

    /// Does what is due. Call it when `poll_timeout` has come; at other times it does nothing.
    pub fn tick(&mut self, now: Now) {
        if let Phase::LoggingIn { until, .. } = self.phase
            && until <= now
        {
            self.end(End::TooSlow);
        }
        if self.acknowledge_at.is_some_and(|at| at <= now) {
            self.acknowledge();
        }
        if self.alive_at.is_some_and(|at| at <= now) {
            wire::encode(None, &Ask::Alive, &mut self.output);
            self.alive_at = Some(now + self.heartbeat);
        }
        self.resume_if_due(now);
    }

    /// When `tick` has something to do next.
    pub fn poll_timeout(&self) -> Option<Now> {
        let log_in = match self.phase {
            Phase::LoggingIn { until, .. } => Some(until),
            _ => None,
        };
        // What is under way has to be answered first.
        let resume = self.resume_at.filter(|_| !self.has_sends_under_way());
        [log_in, self.acknowledge_at, self.alive_at, resume].into_iter().flatten().min()
    }

    /// Asks for something. It is sent as soon as the session is logged in.
    pub fn ask(&mut self, request: Request) -> Result<Tag, TooMany> {
        if self.pending.len() >= PENDING_MAX {
            return Err(TooMany);
        }
        let tag = Tag(self.next_id().0);
        let (users, page, newer) = (Vec::new(), Vec::new(), Vec::new());
        let pending = Pending { request, counter: None, again: false, sent: false, users, over: None, page, newer };
        let is_send = pending.is_send();
        self.pending.insert(tag, pending);
        match self.phase {
            Phase::In if is_send => self.send_waiting(),
            Phase::In => self.transmit(tag),
            _ => {}
        }
        Ok(tag)
    }

    /// Nobody waits for this answer any more. What was sent may be done all the same.
    pub fn forget(&mut self, tag: Tag) {
        let Some(Pending { counter: Some(counter), sent: true, .. }) = self.pending.remove(&tag) else { return };
        if self.given_up.len() >= PENDING_MAX {
            self.given_up.pop_first();
        }
        self.given_up.insert(tag, counter);
    }

    /// Whether the answer is still to come, and somebody waits for it.
    pub fn awaits(&self, tag: Tag) -> bool {
        self.pending.contains_key(&tag)
    }

    /// How many sends wait because the server takes no more of them for now.
    pub fn held(&self) -> usize {
        match self.phase {
            Phase::In => self.pending.values().filter(|pending| pending.waits()).count(),
            _ => 0,
        }
    }

    /// How many requests are without an answer.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Ends the session properly; `End::LoggedOut` follows. The resume token is worth nothing then.
    pub fn log_out(&mut self) {
        self.derived = None;
        if let Some(device) = &mut self.login.device
            && device.token.take().is_some()
        {
            self.memory_changed = true;
        }
        match self.phase {
            // An answer may say that a send has to be sent again.
            Phase::In if self.pending.values().any(Pending::is_send) => self.leaves = true,
            Phase::In => self.begin_leaving(),
            Phase::Leaving { .. } => {}
            Phase::Apart | Phase::LoggingIn { .. } => self.end(End::LoggedOut),
        }
    }

    fn begin_leaving(&mut self) {
        self.acknowledge();
        let id = self.next_id();
        wire::encode(Some(id), &Ask::LogOut, &mut self.output);
        self.phase = Phase::Leaving { id };
    }

    /// Another password for the next connection.
    pub fn set_password(&mut self, password: String) {
        self.login.password = Some(password);
        self.salted = None;
    }

    /// The account has another password: what was made with the old one is worth nothing.
    pub fn password_changed(&mut self, password: String) {
        self.set_password(password);
        self.derived = None;
        self.set_token(None);
    }

    /// Whose session it is.
    pub fn user(&self) -> &UserName {
        &self.login.user
    }

    pub fn is_logged_in(&self) -> bool {
        matches!(self.phase, Phase::In | Phase::Leaving { .. })
    }

    /// The bytes to send, which may be none.
    pub fn take_output(&mut self) -> Vec<u8> {
        mem::take(&mut self.output)
    }

    pub fn next_happening(&mut self) -> Option<Happening> {
        self.happenings.pop_front()
    }

    /// What is to be kept for the next run, if it has changed since the last call.
    pub fn take_memory(&mut self) -> Option<Device> {
        if !mem::take(&mut self.memory_changed) {
            return None;
        }
        self.login.device.clone()
    }

    fn next_id(&mut self) -> RequestId {
        self.last_id += 1;
        RequestId(self.last_id)
    }

    fn end(&mut self, end: End) {
        match end {
            // Whoever leaves knows what ends with that.
            End::LoggedOut => self.chat = None,
            _ => self.lose_chat(),
        }
        self.phase = Phase::Apart;
        self.alive_at = None;
        self.acknowledge_at = None;
        self.happenings.push_back(Happening::End(end));
    }

    fn log_in(&mut self, by: By, nonce: [u8; 18], second: Option<[u8; 18]>, until: Now) {
        let exchange = ClientExchange::new(&self.login.user, &nonce, self.binding.clone());
        let device = self.login.device.as_ref().map(|device| DeviceClaim { id: device.id, shown: device.shown });
        let id = self.next_id();
        let (resume, bound) = (by == By::Token, self.binding.is_some());
        let ask = Ask::LogIn { resume, bound, message: exchange.message(), device };
        wire::encode(Some(id), &ask, &mut self.output);
        self.phase = Phase::LoggingIn { id, step: Step::Challenge(exchange), by, nonce: second, until };
    }

    fn answer(&mut self, now: Now, id: Option<RequestId>, answer: Result<Told, Problem>) {
        let Some(id) = id else {
            // Only a violation of ours, or the server's own trouble, is told without an id.
            return match answer {
                Err(problem) => self.end(End::Refused(problem)),
                Ok(_) => self.end(End::NotUnderstood),
            };
        };
        match &self.phase {
            Phase::LoggingIn { id: awaited, .. } if *awaited == id => self.log_in_answer(now, answer),
            Phase::Leaving { id: awaited } if *awaited == id => match answer {
                Ok(Told::LoggedOut) => self.end(End::LoggedOut),
                Ok(_) => self.end(End::NotUnderstood),
                Err(problem) => self.end(End::Refused(problem)),
            },
            Phase::In | Phase::Leaving { .. } => {
                self.request_answer(now, Tag(id.0), answer);
                self.resume_if_due(now);
            }
            Phase::Apart | Phase::LoggingIn { .. } => {}
        }
    }

    fn log_in_answer(&mut self, now: Now, answer: Result<Told, Problem>) {
        let Phase::LoggingIn { step, by, nonce, until, .. } = mem::replace(&mut self.phase, Phase::Apart) else {
            return;
        };
        match (step, answer) {
            (_, Err(problem)) => self.log_in_refused(by, nonce, until, problem),
            (Step::Challenge(exchange), Ok(Told::Challenge { message, hashed })) => {
                match self.prove(by, &exchange, &message, hashed) {
                    Ok((message, signature, token)) => {
                        let id = self.next_id();
                        wire::encode(Some(id), &Ask::Authenticate { message }, &mut self.output);
                        self.phase = Phase::LoggingIn { id, step: Step::Proof(signature, token), by, nonce, until };
                    }
                    Err(why) => self.end(End::Impostor(why)),
                };
            }
            (
                Step::Proof(signature, token),
                Ok(Told::LoggedIn { message, user, heartbeat_timeout, log, counter, waiting }),
            ) => {
                if !signature.matches(&message) {
                    return self.end(End::unproven());
                }
                if user != self.login.user || counter >= INTEGER_MAX {
                    return self.end(End::NotUnderstood);
                }
                self.derived = Some(token);
                self.logged_in(now, heartbeat_timeout, log, counter);
                self.happenings.push_back(Happening::LoggedIn { user, waiting });
            }
            (_, Ok(_)) => self.end(End::NotUnderstood),
        }
    }

    fn log_in_refused(&mut self, by: By, nonce: Option<[u8; 18]>, until: Now, problem: Problem) {
        if by == By::Token && problem.code == "token-refused" {
            self.set_token(None);
            return match nonce {
                Some(nonce) if self.login.password.is_some() => self.log_in(By::Password, nonce, None, until),
                _ => self.end(End::PasswordNeeded),
            };
        }
        self.end(End::of_log_in(problem));
    }

    fn prove(
        &mut self,
        by: By,
        exchange: &ClientExchange,
        message: &str,
        hashed: bool,
    ) -> Result<(String, ServerSignature, ResumeToken), &'static str> {
        let challenge = exchange.challenge(message)?;
        if by == By::Token {
            let token = self.login.device.as_ref().and_then(|device| device.token.as_ref());
            return Ok(exchange.prove(&challenge, &Secret::token(token.ok_or("there is no token")?)));
        }
        if !challenge.iterations_are_sane() {
            return Err("the server asks for a password check that is too weak or too expensive");
        }
        let fits = |salted: &&Salted| {
            salted.salt == challenge.salt && salted.iterations == challenge.iterations && salted.hashed == hashed
        };
        let secret = match self.salted.as_ref().filter(fits) {
            Some(salted) => salted.secret.clone(),
            None => {
                let password = self.login.password.as_deref().unwrap_or_default();
                let secret = salted(password, hashed, &challenge);
                let (salt, iterations) = (challenge.salt.clone(), challenge.iterations);
                self.salted = Some(Salted { salt, iterations, hashed, secret: secret.clone() });
                secret
            }
        };
        Ok(exchange.prove(&challenge, &secret))
    }

    fn logged_in(&mut self, now: Now, heartbeat_timeout: Duration, log: LogId, counter: u64) {
        self.phase = Phase::In;
        self.proven = true;
        self.counter = self.counter.max(counter);
        let latest = match heartbeat_timeout.checked_sub(2 * HEARTBEAT_MARGIN) {
            Some(spare) => spare + HEARTBEAT_MARGIN,
            None => heartbeat_timeout / 2,
        };
        self.heartbeat = self.login.heartbeat.min(latest).max(HEARTBEAT_MIN);
        self.alive_at = Some(now + self.heartbeat);
        if let Some(device) = &mut self.login.device
            && device.shown.is_none_or(|(known, _)| known != log)
        {
            device.shown = Some((log, Number(0)));
            self.memory_changed = true;
        }
        for tag in self.pending.keys().copied().collect::<Vec<_>>() {
            self.transmit(tag);
        }
    }

    fn transmit(&mut self, tag: Tag) {
        let Some(pending) = self.pending.get_mut(&tag) else { return };
        if self.login.device.is_some() && pending.is_send() && pending.counter.is_none() {
            self.counter += 1;
            pending.counter = Some(self.counter);
        }
        pending.sent = true;
        wire::encode(Some(RequestId(tag.0)), &pending.ask(), &mut self.output);
    }

    fn has_sends_under_way(&self) -> bool {
        self.pending.values().any(|pending| pending.is_send() && pending.sent)
    }

    /// Sends what was too fast, and what came behind it, once everything that was under way has been answered: what was
    /// sent first is accepted first.
    fn resume_if_due(&mut self, now: Now) {
        if self.resume_at.is_some_and(|at| at <= now) && !self.has_sends_under_way() {
            self.resume_at = None;
            // None of them is anywhere. What was given up has left its counter to the next.
            self.counter = self.counter.min(mem::replace(&mut self.free_from, u64::MAX).saturating_sub(1));
            self.pending.values_mut().filter(|pending| pending.waits()).for_each(|pending| pending.counter = None);
        }
        self.send_waiting();
        if self.leaves && matches!(self.phase, Phase::In) && !self.pending.values().any(Pending::is_send) {
            self.leaves = false;
            self.begin_leaving();
        }
    }

    /// Sends what waits, in order, as far as the window is open.
    fn send_waiting(&mut self) {
        if !matches!(self.phase, Phase::In) || self.resume_at.is_some() {
            return;
        }
        let under_way = self.pending.values().filter(|pending| pending.is_send() && pending.sent).count();
        let waiting = self.pending.iter().filter(|(_, pending)| pending.waits()).map(|(&tag, _)| tag);
        let waiting: Vec<Tag> = waiting.collect();
        if under_way == 0 && waiting.is_empty() {
            self.window = PENDING_MAX;
        }
        for tag in waiting.into_iter().take(self.window.saturating_sub(under_way)) {
            self.transmit(tag);
        }
    }

    fn request_answer(&mut self, now: Now, tag: Tag, answer: Result<Told, Problem>) {
        let given_up = self.given_up.remove(&tag);
        if let (Some(counter), Err(problem), Phase::In) = (given_up, &answer, &self.phase)
            && is_too_fast(problem)
        {
            // The server takes no higher counter until this one has come again: the next send has it.
            return self.hold_back(now, Some(counter), problem.retry_after);
        }
        let Some(pending) = self.pending.get_mut(&tag).filter(|pending| pending.sent) else { return };
        let answer = match answer {
            Err(problem) if is_too_fast(&problem) && pending.is_send() && matches!(self.phase, Phase::In) => {
                // It is as if it had never been sent.
                (pending.sent, pending.again) = (false, false);
                let counter = pending.counter;
                return self.hold_back(now, counter, problem.retry_after);
            }
            Err(problem) => match &pending.request {
                // The first copy of the request has done it.
                Request::Unblock { user } if pending.again && problem.code == "not-blocked" => {
                    Ok(Done::Unblocked(user.clone()))
                }
                Request::Revoke { user } if pending.again && problem.code == "not-consented" => {
                    Ok(Done::Revoked(user.clone()))
                }
                Request::EndChat if problem.code == "not-in-chat" => {
                    pending.over.take().map(Done::ChatEnded).ok_or(problem)
                }
                _ => Err(problem),
            },
            Ok(told) => match pending.take_in(told) {
                Progress::Done(done) => Ok(done),
                Progress::Continues => return,
                Progress::NextPage => return self.transmit(tag),
                Progress::Nonsense => return self.end(End::NotUnderstood),
            },
        };
        match &answer {
            Ok(Done::Accepted { .. }) => self.window = PENDING_MAX.min(self.window + 1),
            Ok(Done::ChatStarted(chat)) => self.chat = Some(chat.clone()),
            Ok(Done::ChatEnded(_)) => self.chat = None,
            _ => {}
        }
        self.pending.remove(&tag);
        self.happenings.push_back(Happening::Answered { tag, answer });
    }

    /// A send with this counter was too fast, or behind one that was. The first one says when to go on: the others had to wait
    /// for it.
    fn hold_back(&mut self, now: Now, counter: Option<u64>, retry_after: Option<Duration>) {
        self.free_from = self.free_from.min(counter.unwrap_or(u64::MAX));
        self.window = 1;
        let after = retry_after.unwrap_or(AGAIN_AFTER_MAX);
        self.resume_at.get_or_insert(now + after.clamp(AGAIN_AFTER_MIN, AGAIN_AFTER_MAX));
    }

    fn news(&mut self, now: Now, news: News) {
        if let News::Closing { reason, text } = news {
            let reason = match &*reason {
                "displaced" => Closing::Displaced,
                "account" => Closing::Account,
                "kicked" => Closing::Kicked,
                _ => Closing::Lost,
            };
            self.lose_chat();
            self.phase = Phase::Apart;
            self.alive_at = None;
            self.acknowledge_at = None;
            // The device's memory is the other session's from here on.
            self.memory_changed &= reason != Closing::Displaced;
            self.happenings.push_back(Happening::Closing { reason, text });
            return;
        }
        // Before the server has proved itself it has nothing to tell.
        if !self.is_logged_in() {
            return;
        }
        match news {
            News::Token => {
                if let Some(token) = self.derived.take() {
                    self.set_token(Some(token));
                }
            }
            News::Unknown => {}
            News::ChatStarted { id, user } => self.chat_has_begun(Chat { id, user }),
            News::ChatEnded { id, user } => self.chat_is_over(Chat { id, user }),
            News::Message(heard) if heard.number.0 > INTEGER_MAX => self.end(End::NotUnderstood),
            News::Message(heard) => {
                if self.shown(now, heard.number) {
                    self.happenings.push_back(Happening::News(News::Message(heard)));
                }
            }
            news => self.happenings.push_back(Happening::News(news)),
        }
    }

    /// Notes that a message is shown. `false`: it was shown before.
    fn shown(&mut self, now: Now, number: Number) -> bool {
        let Some(device) = &mut self.login.device else { return true };
        let Some((_, shown)) = &mut device.shown else { return true };
        let new = *shown < number;
        if new {
            *shown = number;
            self.memory_changed = true;
        }
        // A copy is acknowledged too: the first acknowledgement may have been lost.
        self.unacknowledged += 1;
        self.acknowledge_at.get_or_insert(now + ACKNOWLEDGE_WITHIN);
        if self.unacknowledged >= ACKNOWLEDGE_EVERY {
            self.acknowledge();
        }
        new
    }

    fn acknowledge(&mut self) {
        self.acknowledge_at = None;
        if mem::take(&mut self.unacknowledged) == 0 {
            return;
        }
        if let Some((_, number)) = self.login.device.as_ref().and_then(|device| device.shown) {
            wire::encode(None, &Ask::Acknowledge { number }, &mut self.output);
        }
    }

    fn set_token(&mut self, token: Option<ResumeToken>) {
        if let Some(device) = &mut self.login.device {
            device.token = token;
            self.memory_changed = true;
        }
    }
}

impl End {
    /// The server's signature is wrong.
    pub(super) fn unproven() -> End {
        End::Impostor("the server can't prove that it knows your account")
    }

    /// The server refuses a log-in.
    pub(super) fn of_log_in(problem: Problem) -> End {
        match &*problem.code {
            "not-authenticated" => End::NotAuthenticated(problem),
            "somebody-in-between" => End::Impostor("somebody is between you and the server"),
            _ => End::Refused(problem),
        }
    }
}

/// What is proved of a password. `hashed`: the account knows but its digest, which stands in its place.
pub(super) fn salted(password: &str, hashed: bool, challenge: &Challenge) -> Secret {
    let digest = hashed.then(|| PasswordDigest::of_text(password).as_password());
    let password = digest.as_ref().map_or(password, Password::as_str);
    Secret::salted(password, &challenge.salt, challenge.iterations)
}

/// The send was not judged, and its counter is free.
fn is_too_fast(problem: &Problem) -> bool {
    matches!(&*problem.code, "too-fast" | "out-of-turn")
}

/// What an answer line was good for.
enum Progress {
    Done(Done),
    /// The rest of it comes in another line.
    Continues,
    /// Older messages are to be asked for.
    NextPage,
    /// It does not fit the request.
    Nonsense,
}

impl Pending {
    fn is_send(&self) -> bool {
        matches!(self.request, Request::Message { .. } | Request::Broadcast { .. })
    }

    /// A send that is not under way.
    fn waits(&self) -> bool {
        self.is_send() && !self.sent
    }

    fn ask(&self) -> Ask {
        match self.request.clone() {
            Request::Message { to, text, receipt } => Ask::Message { to, text, counter: self.counter, receipt },
            Request::Broadcast { text } => Ask::Broadcast { text, counter: self.counter },
            Request::Chat { user } => Ask::Chat { user },
            Request::EndChat => Ask::EndChat { id: None },
            Request::Online => Ask::Online,
            Request::Block { user } => Ask::Block { user },
            Request::Unblock { user } => Ask::Unblock { user },
            Request::Blocked => Ask::Blocked,
            Request::AskAddress { user, certificate } => Ask::AskAddress { user, certificate },
            Request::Consent { user, offer } => Ask::Consent { user, offer },
            Request::Revoke { user } => Ask::Revoke { user },
            Request::Privacy => Ask::Privacy,
            Request::History { with, count } => {
                let before = self.newer.first().map(|message| message.number);
                let left = count.min(HISTORY_COUNT_MAX).saturating_sub(self.newer.len());
                Ask::History { with, before, limit: left.clamp(1, HISTORY_LIMIT_MAX) }
            }
        }
    }

    fn take_in(&mut self, told: Told) -> Progress {
        match (&self.request, told) {
            (Request::Message { .. } | Request::Broadcast { .. }, Told::Accepted { number, reach }) => {
                Progress::Done(Done::Accepted { number, reach })
            }
            (Request::Chat { .. }, Told::ChatStarted { id, user }) => {
                Progress::Done(Done::ChatStarted(Chat { id, user }))
            }
            (Request::EndChat, Told::ChatEnded { id, user }) => Progress::Done(Done::ChatEnded(Chat { id, user })),
            (Request::Online, Told::Online { users, continues }) => self.take_names(users, continues, Done::Online),
            (Request::Blocked, Told::BlockList { users, continues }) => {
                self.take_names(users, continues, Done::BlockList)
            }
            (Request::Block { .. }, Told::Blocked { user }) => Progress::Done(Done::Blocked(user)),
            (Request::Unblock { .. }, Told::Unblocked { user }) => Progress::Done(Done::Unblocked(user)),
            (Request::AskAddress { .. }, Told::Asked { user, answer_within }) => {
                Progress::Done(Done::Asked { user, answer_within })
            }
            (
                Request::Consent { offer: Some(_), .. },
                Told::Consented { user, address, certificate, connect_within },
            ) => Progress::Done(Done::Consented { user, address, certificate, connect_within }),
            (Request::Consent { offer: None, .. }, Told::Declined { user }) => Progress::Done(Done::Declined(user)),
            (Request::Revoke { .. }, Told::Revoked { user }) => Progress::Done(Done::Revoked(user)),
            (Request::Privacy, Told::Privacy(list)) => Progress::Done(Done::Privacy(list)),
            (Request::History { count, .. }, Told::History { messages, more, continues }) => {
                let count = (*count).clamp(1, HISTORY_COUNT_MAX);
                self.take_page(count, messages, more, continues)
            }
            _ => Progress::Nonsense,
        }
    }

    fn take_names(&mut self, users: Vec<UserName>, continues: bool, done: fn(Vec<UserName>) -> Done) -> Progress {
        self.users.extend(users);
        match continues {
            true if self.users.len() > LIST_NAMES_MAX => Progress::Nonsense,
            true => Progress::Continues,
            false => Progress::Done(done(mem::take(&mut self.users))),
        }
    }

    fn take_page(&mut self, count: usize, messages: Vec<Heard>, more: bool, continues: bool) -> Progress {
        // A line that brings nothing must not go on: it would go on for ever.
        if messages.is_empty() && continues {
            return Progress::Nonsense;
        }
        self.page.extend(messages);
        if self.page.len() + self.newer.len() > count {
            return Progress::Nonsense;
        }
        if continues {
            return Progress::Continues;
        }
        let mut page = mem::take(&mut self.page);
        let rising = page.is_sorted_by(|a, b| a.number < b.number);
        let older = match (page.last(), self.newer.first()) {
            (Some(last), Some(first)) => last.number < first.number,
            _ => true,
        };
        if !rising || !older {
            return Progress::Nonsense;
        }
        let more = more && !page.is_empty();
        page.append(&mut self.newer);
        self.newer = page;
        match more && self.newer.len() < count {
            true => Progress::NextPage,
            false => Progress::Done(Done::History(mem::take(&mut self.newer))),
        }
    }
}

#[cfg(test)]
mod tests;
