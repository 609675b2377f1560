//! Conversations without the server: who is asked, who may come, what was said and what was not.
//!
//! Pure: no socket, no clock, no terminal. Whoever drives it tells it what the server and the other clients say, and does
//! its actions. What always holds: nobody is talked to whose certificate is not the one that the server told with a consent;
//! a text is told once, in order; what could not be said is kept for whoever wrote it, and goes through the server only if
//! they want it.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::core::Now;
use super::exit::{Failure, Status};
use super::render;
use crate::net::link::peers::{PeerGone, PeerId};
use crate::net::link::tls::TlsFailure;
use crate::wire::native::client::{News, Problem};
use crate::wire::native::peer::{self, PeerHear, PeerLine};
use crate::wire::{Fingerprint, Text, UserName};

/// Conversations at a time, those that are still to come about included.
pub const TALKS_MAX: usize = 16;
/// Texts of a conversation that the other side has not confirmed.
pub const TEXTS_MAX: usize = 64;
/// Texts that are under way to the other side at a time: they fit the buffer that the link has for it.
const UNDER_WAY_MAX: u64 = 8;
/// Users for whom texts are kept that could not be said.
const HELD_MAX: usize = 16;
/// How much longer than the server said an answer may take.
const ANSWER_MARGIN: Duration = Duration::from_secs(5);
/// How long the server may take to say how long the answer may take.
const ASKED_WITHIN: Duration = Duration::from_secs(60);
/// How long whoever was dialled may take to say hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// A yes that is over that soon may be over for the server already.
const OVER_SOON: Duration = Duration::from_secs(5);

/// What the server says of a question whose yes another device of ours has taken back.
pub const REVOKED: &str = "revoked";

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the server for this user's address; `Peers::asked` or `Peers::not_asked` tells how that went.
    Ask(UserName),
    /// Somebody with this certificate may come in,
    Expect(Fingerprint),
    /// and now no longer.
    ExpectNoLonger(Fingerprint),
    /// Nobody is expected any more.
    StopListening,
    /// `Peers::dialling` tells what the connection is called.
    Dial {
        user: UserName,
        address: SocketAddr,
        certificate: Fingerprint,
    },
    Send(PeerId, Vec<u8>),
    /// What was sent before goes out first.
    Close(PeerId),
}

/// What there is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerNews {
    /// `dialled`: by us.
    Up {
        user: UserName,
        dialled: bool,
    },
    /// They know that we want to talk to them, and have so long to answer.
    Asked {
        user: UserName,
        within: Duration,
    },
    Said {
        user: UserName,
        text: Text,
    },
    /// They have seen everything that was said so far.
    Heard {
        user: UserName,
    },
    /// A conversation that was up is over.
    Ended {
        user: UserName,
        why: String,
    },
    /// A conversation did not come about, or these texts were not confirmed before it ended. They are kept.
    NotSaid {
        user: UserName,
        texts: usize,
        why: Failure,
    },
}

/// How things stand, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub talks: Vec<(UserName, Stand)>,
    /// Who may come, and for how long still.
    pub expected: Vec<(UserName, Duration)>,
    /// To whom we may come.
    pub known: Vec<(UserName, Duration)>,
    /// Whose question is without an answer.
    pub questions: Vec<(UserName, Duration)>,
    /// For whom there are texts that could not be said.
    pub held: Vec<(UserName, usize)>,
}

/// How far a conversation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    Asking,
    Dialling,
    Up(Fingerprint),
}

/// All conversations, and all that may become one.
#[derive(Debug, Default)]
pub struct Peers {
    you: Option<UserName>,
    /// The server is on this machine: its loopback addresses are ours.
    server_is_here: bool,
    talks: BTreeMap<UserName, Talk>,
    users: BTreeMap<PeerId, UserName>,
    /// To whom we have said yes.
    expected: BTreeMap<UserName, Expected>,
    /// Who has said yes to us.
    known: BTreeMap<UserName, Known>,
    questions: BTreeMap<UserName, Question>,
    held: BTreeMap<UserName, Vec<Text>>,
    actions: VecDeque<Action>,
    news: VecDeque<PeerNews>,
}

#[derive(Debug)]
struct Talk {
    stage: Stage,
    /// Not confirmed yet, oldest first.
    texts: VecDeque<Text>,
    /// The number of the first of them, and how many of them were sent.
    first: u64,
    sent: u64,
}

#[derive(Debug)]
enum Stage {
    /// `answered`: the server has passed the question on.
    Asking {
        answered: bool,
        until: Now,
    },
    Dialling(Dialling),
    /// They have not let us in, since they are on their way to us as well.
    Coming {
        until: Now,
    },
    Up(Line),
}

#[derive(Debug)]
struct Dialling {
    /// `None` until the driver says it.
    peer: Option<PeerId>,
    address: SocketAddr,
    certificate: Fingerprint,
    /// Once the connection is there: until when they must have said hello.
    hello_until: Option<Now>,
    input: Vec<u8>,
}

/// A connection on which a conversation is up.
#[derive(Debug)]
struct Line {
    peer: PeerId,
    dialled: bool,
    certificate: Fingerprint,
    input: Vec<u8>,
    /// The number of the last text that they have said.
    heard: u64,
}

#[derive(Debug)]
struct Expected {
    certificate: Fingerprint,
    until: Now,
}

#[derive(Debug)]
struct Known {
    address: SocketAddr,
    certificate: Fingerprint,
    until: Now,
}

#[derive(Debug)]
struct Question {
    certificate: Fingerprint,
    until: Now,
}

impl Talk {
    fn new(stage: Stage) -> Talk {
        Talk { stage, texts: VecDeque::new(), first: 1, sent: 0 }
    }

    fn peer(&self) -> Option<PeerId> {
        match &self.stage {
            Stage::Asking { .. } | Stage::Coming { .. } => None,
            Stage::Dialling(dialling) => dialling.peer,
            Stage::Up(line) => Some(line.peer),
        }
    }
}

impl Peers {
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub fn next_news(&mut self) -> Option<PeerNews> {
        self.news.pop_front()
    }

    /// Says `text` to `user`, or, without one, only makes the conversation come about.
    pub fn say(&mut self, now: Now, user: &UserName, text: Option<Text>) -> Result<(), Failure> {
        if text.is_some() {
            self.has_room(user)?;
        }
        if let Some(talk) = self.talks.get_mut(user) {
            talk.texts.extend(text);
            self.pump(user);
            return Ok(());
        }
        if self.talks.len() >= TALKS_MAX {
            let why = format!("{TALKS_MAX} private conversations are open or asked for: end one first");
            return Err(Failure::new(Status::TryAgain, why));
        }
        let stage = match self.known.get(user) {
            Some(known) if known.until > now => self.dial(user.clone()),
            _ => None,
        };
        let stage = stage.unwrap_or_else(|| {
            self.actions.push_back(Action::Ask(user.clone()));
            Stage::Asking { answered: false, until: now.saturating_add(ASKED_WITHIN) }
        });
        let mut talk = Talk::new(stage);
        talk.texts.extend(text);
        self.talks.insert(user.clone(), talk);
        Ok(())
    }

    /// Whether one more text for `user` can be kept, should it not be said.
    fn has_room(&self, user: &UserName) -> Result<(), Failure> {
        let unconfirmed = self.talks.get(user).map_or(0, |talk| talk.texts.len());
        let held = self.held.get(user).map_or(0, Vec::len);
        let why = if unconfirmed >= TEXTS_MAX {
            format!("{user} has not seen the last {TEXTS_MAX} texts yet: wait until they have")
        } else if unconfirmed + held >= TEXTS_MAX {
            format!("{held} texts could not be said to {user} before: 'deliver {user}' sends them through the server")
        } else if held == 0 && self.held.len() >= HELD_MAX {
            format!("there are {HELD_MAX} users to whom texts could not be said: 'privacy' shows them, 'deliver' helps")
        } else {
            return Ok(());
        };
        Err(Failure::new(Status::TryAgain, why))
    }

    fn dial(&mut self, user: UserName) -> Option<Stage> {
        let &Known { address, certificate, .. } = self.known.get(&user)?;
        self.actions.push_back(Action::Dial { user, address, certificate });
        Some(Stage::Dialling(Dialling { peer: None, address, certificate, hello_until: None, input: Vec::new() }))
    }

    /// Ends the conversation with `user`, as our user wants. `false`: there is none.
    pub fn end(&mut self, user: &UserName) -> bool {
        self.give_up(user, Failure::new(Status::Refused, "you have ended the conversation"))
    }

    /// The same, for another reason.
    pub fn give_up(&mut self, user: &UserName, why: Failure) -> bool {
        if !self.talks.contains_key(user) {
            return false;
        }
        self.drop_line(user, true);
        self.lost(user, &why.text.clone(), why);
        true
    }

    /// Whether `user` is talked to, or dialled.
    pub fn has_line(&self, user: &UserName) -> bool {
        self.talks.get(user).is_some_and(|talk| !matches!(talk.stage, Stage::Asking { .. }))
    }

    /// How far a conversation with `user` has come, if there is one.
    pub fn stand(&self, user: &UserName) -> Option<Stand> {
        self.talks.get(user).map(|talk| match &talk.stage {
            Stage::Asking { .. } => Stand::Asking,
            Stage::Dialling(_) | Stage::Coming { .. } => Stand::Dialling,
            Stage::Up(line) => Stand::Up(line.certificate),
        })
    }

    /// The texts for `user` that could not be said; they are the caller's now.
    pub fn take_held(&mut self, user: &UserName) -> Vec<Text> {
        self.held.remove(user).unwrap_or_default()
    }

    /// A text that still could not be sent. There is room for it: `say` takes no more than that.
    pub fn hold(&mut self, user: &UserName, text: Text) {
        self.held.entry(user.clone()).or_default().push(text);
    }

    /// Our user is about to say yes: whoever asked may come in.
    pub fn expect(&mut self, now: Now, user: &UserName) -> Result<(), Failure> {
        let question = self.questions.get(user).filter(|question| question.until > now);
        let not_asked = || Failure::new(Status::Refused, format!("{user} is not asking you, or no longer"));
        let certificate = question.ok_or_else(not_asked)?.certificate;
        if let Some(other) = self.somebody_else_with(user, certificate) {
            return Err(same_certificate(user, other));
        }
        self.expect_certificate(user, certificate, now.saturating_add(ASKED_WITHIN));
        Ok(())
    }

    /// Another user who was told to have this certificate. Whoever gives somebody else's for their own can't speak for them,
    /// but what they say, and what is said to them, would be taken for another conversation.
    fn somebody_else_with(&self, user: &UserName, certificate: Fingerprint) -> Option<&UserName> {
        let expected = self.expected.iter().map(|(other, expected)| (other, expected.certificate));
        let known = self.known.iter().map(|(other, known)| (other, known.certificate));
        let talks = self.talks.iter().filter_map(|(other, talk)| match &talk.stage {
            Stage::Dialling(dialling) => Some((other, dialling.certificate)),
            Stage::Up(line) => Some((other, line.certificate)),
            Stage::Asking { .. } | Stage::Coming { .. } => None,
        });
        let mut all = expected.chain(known).chain(talks);
        all.find(|&(other, theirs)| other != user && theirs == certificate).map(|(other, _)| other)
    }

    fn expect_certificate(&mut self, user: &UserName, certificate: Fingerprint, until: Now) {
        let before = self.expected.insert(user.clone(), Expected { certificate, until });
        match before.map(|before| before.certificate) {
            Some(before) if before == certificate => return,
            Some(before) => self.actions.push_back(Action::ExpectNoLonger(before)),
            None => {}
        }
        self.actions.push_back(Action::Expect(certificate));
    }

    /// The server has the yes on its disk.
    pub fn consented(&mut self, now: Now, user: &UserName, certificate: Fingerprint, within: Duration) {
        self.questions.remove(user);
        // It need not be the certificate of the question that our user has answered.
        match self.somebody_else_with(user, certificate) {
            None => self.expect_certificate(user, certificate, now.saturating_add(within)),
            Some(_) => self.expect_no_longer(user),
        }
    }

    /// The server has the no.
    pub fn declined(&mut self, user: &UserName) {
        self.questions.remove(user);
    }

    /// The yes did not get through.
    pub fn not_consented(&mut self, user: &UserName) {
        self.expect_no_longer(user);
    }

    /// Our user takes back the yes. What they have begun with it ends.
    pub fn revoke(&mut self, user: &UserName) {
        self.expect_no_longer(user);
        let is_theirs = |talk: &Talk| matches!(&talk.stage, Stage::Up(line) if !line.dialled);
        if self.talks.get(user).is_some_and(is_theirs) {
            self.give_up(user, Failure::new(Status::Refused, "you have taken back your yes"));
        }
    }

    /// Whether anybody may come in.
    pub fn expects_anybody(&self) -> bool {
        !self.expected.is_empty()
    }

    /// What the server knows of our user's yeses after a time without it: those that do not hold were taken back elsewhere.
    pub fn review(&mut self, now: Now, holds: impl Fn(&UserName) -> bool) {
        let soon = now.saturating_add(OVER_SOON);
        let over = self.expected.iter().filter(|(user, expected)| expected.until > soon && !holds(user));
        for user in over.map(|(user, _)| user.clone()).collect::<Vec<_>>() {
            self.revoke(&user);
        }
    }

    /// Our user has blocked `user`.
    pub fn blocked(&mut self, user: &UserName) {
        self.questions.remove(user);
        self.known.remove(user);
        self.revoke(user);
        self.end(user);
    }

    fn expect_no_longer(&mut self, user: &UserName) {
        if let Some(expected) = self.expected.remove(user) {
            self.actions.push_back(Action::ExpectNoLonger(expected.certificate));
            if self.expected.is_empty() {
                self.actions.push_back(Action::StopListening);
            }
        }
    }

    /// Where the server is.
    pub fn connected(&mut self, server_is_here: bool) {
        self.server_is_here = server_is_here;
    }

    /// The session is logged in (again): the server has forgotten the questions of the one before.
    pub fn logged_in(&mut self, now: Now, you: &UserName) {
        self.you = Some(you.clone());
        self.questions.clear();
        for (user, talk) in &mut self.talks {
            if let Stage::Asking { answered: answered @ true, until } = &mut talk.stage {
                (*answered, *until) = (false, now.saturating_add(ASKED_WITHIN));
                self.actions.push_back(Action::Ask(user.clone()));
            }
        }
    }

    /// The server has passed our question on.
    pub fn asked(&mut self, now: Now, user: &UserName, within: Duration) {
        if let Some(Talk { stage: Stage::Asking { answered, until }, .. }) = self.talks.get_mut(user) {
            (*answered, *until) = (true, now.saturating_add(within).saturating_add(ANSWER_MARGIN));
            self.news.push_back(PeerNews::Asked { user: user.clone(), within });
        }
    }

    /// The server does not pass our question on.
    pub fn not_asked(&mut self, user: &UserName, problem: &Problem) {
        if matches!(self.talks.get(user), Some(Talk { stage: Stage::Asking { .. }, .. })) {
            self.failed(user, Failure::problem(problem));
        }
    }

    /// Our own side can't do it.
    pub fn can_not_ask(&mut self, user: &UserName, why: Failure) {
        if !matches!(self.talks.get(user), Some(Talk { stage: Stage::Up(_), .. })) {
            self.failed(user, why);
        }
    }

    /// The server has told something.
    pub fn news(&mut self, now: Now, news: &News) {
        match news {
            News::Asks { user, certificate, answer_within } if self.questions.len() < TALKS_MAX => {
                let until = now.saturating_add(*answer_within);
                self.questions.insert(user.clone(), Question { certificate: *certificate, until });
            }
            News::AskOver { user, reason } => {
                match reason == REVOKED {
                    // A newer question of theirs may be open.
                    true => self.revoke(user),
                    false => _ = self.questions.remove(user),
                }
            }
            // Here would be somebody else, or our own machine.
            News::Address { user, address, .. } if is_our_machine(address.ip()) && !self.server_is_here => {
                if matches!(self.talks.get(user), Some(Talk { stage: Stage::Asking { .. }, .. })) {
                    let why = format!(
                        "{user} is on the server's own machine, at an address that does not lead there from here"
                    );
                    self.failed(user, Failure::new(Status::NoServer, why));
                }
            }
            News::Address { user, certificate, .. } if self.somebody_else_with(user, *certificate).is_some() => {
                let other = self.somebody_else_with(user, *certificate).cloned();
                if let Some(other) = other.filter(|_| self.is_asking(user)) {
                    self.failed(user, same_certificate(user, &other));
                }
            }
            News::Address { user, address, certificate, connect_within } => {
                let until = now.saturating_add(*connect_within);
                let (address, certificate) = (*address, *certificate);
                if self.known.len() >= TALKS_MAX
                    && !self.known.contains_key(user)
                    && let Some(user) =
                        self.known.iter().min_by_key(|(_, known)| known.until).map(|(user, _)| user.clone())
                {
                    self.known.remove(&user);
                }
                self.known.insert(user.clone(), Known { address, certificate, until });
                if matches!(self.talks.get(user), Some(Talk { stage: Stage::Asking { .. }, .. }))
                    && let Some(stage) = self.dial(user.clone())
                    && let Some(talk) = self.talks.get_mut(user)
                {
                    talk.stage = stage;
                }
            }
            News::NoAddress { user, reason } => {
                if matches!(self.talks.get(user), Some(Talk { stage: Stage::Asking { .. }, .. })) {
                    self.failed(user, no_address(user, reason));
                }
            }
            News::Revoked { user } => {
                self.known.remove(user);
                if matches!(self.talks.get(user), Some(Talk { stage: Stage::Dialling(_), .. })) {
                    self.drop_line(user, false);
                    self.failed(user, Failure::new(Status::Refused, format!("{user} has taken back the yes")));
                }
            }
            _ => {}
        }
    }

    fn is_asking(&self, user: &UserName) -> bool {
        matches!(self.talks.get(user), Some(Talk { stage: Stage::Asking { .. }, .. }))
    }

    /// The connection that `Action::Dial` asked for is called this.
    pub fn dialling(&mut self, user: &UserName, id: PeerId) {
        match self.talks.get_mut(user) {
            Some(Talk { stage: Stage::Dialling(dialling), .. }) if dialling.peer.is_none() => {
                dialling.peer = Some(id);
                self.users.insert(id, user.clone());
            }
            // Nobody wants it any more.
            _ => self.actions.push_back(Action::Close(id)),
        }
    }

    /// A connection is there, and both certificates are checked.
    pub fn up(&mut self, now: Now, id: PeerId, certificate: Fingerprint, dialled: bool) {
        if dialled {
            let talk = self.users.get(&id).and_then(|user| self.talks.get_mut(user));
            match talk.map(|talk| &mut talk.stage) {
                Some(Stage::Dialling(dialling)) if dialling.peer == Some(id) => {
                    dialling.hello_until = Some(now.saturating_add(HELLO_WITHIN));
                }
                _ => self.actions.push_back(Action::Close(id)),
            }
            return;
        }
        let mut expected = self.expected.iter();
        let found = expected.find(|(_, expected)| expected.certificate == certificate && expected.until > now);
        let Some(user) = found.map(|(user, _)| user.clone()) else {
            return self.actions.push_back(Action::Close(id));
        };
        if self.keeps_own_line(&user) || (!self.talks.contains_key(&user) && self.talks.len() >= TALKS_MAX) {
            return self.actions.push_back(Action::Close(id));
        }
        if matches!(self.talks.get(&user), Some(Talk { stage: Stage::Up(_), .. })) {
            self.drop_line(&user, false);
            let why = "they have come anew".to_owned();
            self.over(&user, why.clone(), Failure::new(Status::NoServer, why));
        }
        self.drop_line(&user, false);
        let talk =
            self.talks.entry(user.clone()).or_insert_with(|| Talk::new(Stage::Asking { answered: false, until: now }));
        talk.stage = Stage::Up(Line { peer: id, dialled: false, certificate, input: Vec::new(), heard: 0 });
        self.users.insert(id, user.clone());
        let Some(you) = self.you.clone() else { return self.actions.push_back(Action::Close(id)) };
        let mut hello = Vec::new();
        peer::encode(&PeerLine::Hello { from: you, to: user.clone() }, &mut hello);
        self.actions.push_back(Action::Send(id, hello));
        self.news.push_back(PeerNews::Up { user: user.clone(), dialled: false });
        self.pump(&user);
    }

    /// If both dial at the same time, both keep the connection that the smaller name has dialled.
    fn keeps_own_line(&self, user: &UserName) -> bool {
        let is_ours = match self.talks.get(user).map(|talk| &talk.stage) {
            Some(Stage::Dialling(_)) => true,
            Some(Stage::Up(line)) => line.dialled,
            Some(Stage::Asking { .. } | Stage::Coming { .. }) | None => false,
        };
        is_ours && self.is_smaller_than(user)
    }

    fn is_smaller_than(&self, user: &UserName) -> bool {
        self.you.as_ref().is_some_and(|you| you.folded() < user.folded())
    }

    /// The other side has said something, split anyhow.
    pub fn received(&mut self, id: PeerId, bytes: &[u8]) {
        let Some(user) = self.users.get(&id).cloned() else { return };
        let Some(talk) = self.talks.get_mut(&user) else { return };
        let input = match &mut talk.stage {
            Stage::Dialling(dialling) => &mut dialling.input,
            Stage::Up(line) => &mut line.input,
            Stage::Asking { .. } | Stage::Coming { .. } => return,
        };
        input.extend_from_slice(bytes);
        let input = std::mem::take(input);
        let (mut used, mut heard_before) = (0, None);
        while self.users.contains_key(&id) {
            match peer::decode(&input[used..]) {
                PeerHear::Wait => break,
                PeerHear::NotUnderstood => {
                    self.drop_line(&user, false);
                    let why = "the other side could not be understood";
                    self.lost(&user, why, Failure::new(Status::NotUnderstood, format!("{user}: {why}")));
                    break;
                }
                PeerHear::Line { used: length, line } => {
                    used += length;
                    self.line(&user, line, &mut heard_before);
                    // What has room now goes now: what may be confirmed must not hang on how the lines were split.
                    self.pump(&user);
                }
            }
        }
        let Some(talk) = self.talks.get_mut(&user).filter(|talk| talk.peer() == Some(id)) else { return };
        match &mut talk.stage {
            Stage::Dialling(dialling) => dialling.input = input[used..].to_vec(),
            Stage::Up(line) => {
                line.input = input[used..].to_vec();
                if heard_before.is_some_and(|before| before < line.heard) {
                    let mut out = Vec::new();
                    peer::encode(&PeerLine::Heard { number: line.heard }, &mut out);
                    self.actions.push_back(Action::Send(id, out));
                }
            }
            Stage::Asking { .. } | Stage::Coming { .. } => {}
        }
    }

    fn line(&mut self, user: &UserName, said: PeerLine, heard_before: &mut Option<u64>) {
        let Some(talk) = self.talks.get_mut(user) else { return };
        let is_sense = match (&mut talk.stage, &said) {
            (_, PeerLine::Unknown) => true,
            (Stage::Dialling(_), PeerLine::Hello { from, to }) if from != user || self.you.as_ref() != Some(to) => {
                self.drop_line(user, false);
                let why = format!(
                    "whoever is there is {from} and expects {to}: somebody has brought you together under other names"
                );
                return self.failed(user, Failure::new(Status::Refused, why));
            }
            (Stage::Dialling(dialling), PeerLine::Hello { .. }) => {
                let (peer, certificate) = (dialling.peer, dialling.certificate);
                let Some(peer) = peer else { return };
                talk.stage = Stage::Up(Line { peer, dialled: true, certificate, input: Vec::new(), heard: 0 });
                self.news.push_back(PeerNews::Up { user: user.clone(), dialled: true });
                true
            }
            (Stage::Up(line), PeerLine::Say { number, text }) if *number == line.heard + 1 => {
                heard_before.get_or_insert(line.heard);
                line.heard = *number;
                self.news.push_back(PeerNews::Said { user: user.clone(), text: text.clone() });
                true
            }
            (Stage::Up(_), PeerLine::Heard { number }) if *number >= talk.first && *number < talk.first + talk.sent => {
                let confirmed = *number - talk.first + 1;
                talk.texts.drain(..confirmed as usize);
                talk.first += confirmed;
                talk.sent -= confirmed;
                if talk.texts.is_empty() {
                    self.news.push_back(PeerNews::Heard { user: user.clone() });
                }
                true
            }
            (Stage::Up(_), PeerLine::Bye) => {
                self.drop_line(user, false);
                let why = format!("{user} has ended it");
                return self.over(user, why.clone(), Failure::new(Status::NoServer, why));
            }
            _ => false,
        };
        if !is_sense {
            self.drop_line(user, false);
            let why = "the other side makes no sense";
            self.lost(user, why, Failure::new(Status::NotUnderstood, format!("{user}: {why}")));
        }
    }

    /// A connection is gone, or did not come about.
    pub fn gone(&mut self, now: Now, id: PeerId, why: &PeerGone) {
        let Some(user) = self.users.remove(&id) else { return };
        let is_smaller = self.is_smaller_than(&user);
        let may_come = self.expected.get(&user).is_some_and(|expected| expected.until > now);
        let Some(talk) = self.talks.get_mut(&user).filter(|talk| talk.peer() == Some(id)) else { return };
        let has_closed = matches!(why, PeerGone::Refused | PeerGone::Ended | PeerGone::CutOff | PeerGone::Broken(_));
        // Both have dialled, and theirs is the connection that both keep; it need not be the first to arrive.
        if matches!(talk.stage, Stage::Dialling(_)) && has_closed && may_come && !is_smaller {
            talk.stage = Stage::Coming { until: now.saturating_add(HELLO_WITHIN) };
            return;
        }
        let failure = match &talk.stage {
            Stage::Dialling(dialling) => explain(&user, dialling.address, why),
            _ => Failure::new(Status::NoServer, why_over(&user, why)),
        };
        self.lost(&user, &why_over(&user, why), failure);
    }

    /// More waits to be written than may.
    pub fn overflowed(&mut self, id: PeerId) {
        let Some(user) = self.users.get(&id).cloned() else { return };
        self.drop_line(&user, false);
        let why = format!("{user} takes nothing more");
        self.lost(&user, &why, Failure::new(Status::NoServer, why.clone()));
    }

    /// A conversation is of no use any more: it ends if it was up, else it does not come about.
    fn lost(&mut self, user: &UserName, why: &str, failure: Failure) {
        match self.talks.get(user).map(|talk| &talk.stage) {
            Some(Stage::Up(_)) => self.over(user, why.to_owned(), failure),
            _ => self.failed(user, failure),
        }
    }

    /// Ends a conversation that was up.
    fn over(&mut self, user: &UserName, why: String, failure: Failure) {
        if self.talks.get(user).is_some_and(|talk| !talk.texts.is_empty()) {
            self.failed(user, failure);
        }
        self.talks.remove(user);
        self.news.push_back(PeerNews::Ended { user: user.clone(), why });
    }

    /// Keeps what was not said, and tells.
    fn failed(&mut self, user: &UserName, why: Failure) {
        let Some(talk) = self.talks.remove(user) else { return };
        if !matches!(talk.stage, Stage::Asking { .. } | Stage::Up(_)) && why.status != Status::TryAgain {
            // Nobody is there who lets us in: the next time they are asked anew.
            self.known.remove(user);
        }
        let texts = talk.texts.len();
        talk.texts.into_iter().for_each(|text| self.hold(user, text));
        self.news.push_back(PeerNews::NotSaid { user: user.clone(), texts, why });
    }

    /// Closes the conversation's connection. `politely`: tells the other side that it was meant.
    fn drop_line(&mut self, user: &UserName, politely: bool) {
        let Some(talk) = self.talks.get(user) else { return };
        let Some(peer) = talk.peer() else { return };
        if politely && matches!(talk.stage, Stage::Up(_)) {
            let mut bye = Vec::new();
            peer::encode(&PeerLine::Bye, &mut bye);
            self.actions.push_back(Action::Send(peer, bye));
        }
        self.users.remove(&peer);
        self.actions.push_back(Action::Close(peer));
    }

    /// Sends what may be under way.
    fn pump(&mut self, user: &UserName) {
        let Some(talk) = self.talks.get_mut(user) else { return };
        let Stage::Up(line) = &talk.stage else { return };
        let mut out = Vec::new();
        while talk.sent < UNDER_WAY_MAX
            && let Some(text) = talk.texts.get(talk.sent as usize)
        {
            let said = PeerLine::Say { number: talk.first + talk.sent, text: text.clone() };
            peer::encode(&said, &mut out);
            talk.sent += 1;
        }
        if !out.is_empty() {
            self.actions.push_back(Action::Send(line.peer, out));
        }
    }

    /// Ends everything, as our user does.
    pub fn close(&mut self) {
        for user in self.talks.keys().cloned().collect::<Vec<_>>() {
            self.end(&user);
        }
        for user in self.expected.keys().cloned().collect::<Vec<_>>() {
            self.expect_no_longer(&user);
        }
    }

    /// Gives up what has had its time.
    pub fn tick(&mut self, now: Now) {
        self.questions.retain(|_, question| question.until > now);
        self.known.retain(|_, known| known.until > now);
        let over = self.expected.iter().filter(|(_, expected)| expected.until <= now);
        for user in over.map(|(user, _)| user.clone()).collect::<Vec<_>>() {
            self.expect_no_longer(&user);
        }
        let late = |(user, talk): (&UserName, &Talk)| {
            let until = match &talk.stage {
                Stage::Asking { until, .. } | Stage::Coming { until } => *until,
                Stage::Dialling(dialling) => dialling.hello_until?,
                Stage::Up(_) => return None,
            };
            (until <= now).then(|| user.clone())
        };
        for user in self.talks.iter().filter_map(late).collect::<Vec<_>>() {
            let is_asking = matches!(self.talks.get(&user), Some(Talk { stage: Stage::Asking { .. }, .. }));
            self.drop_line(&user, false);
            let why = match is_asking {
                true => no_address(&user, "expired"),
                false => Failure::new(Status::NoServer, format!("{user} does not say hello")),
            };
            self.failed(&user, why);
        }
    }

    /// When `tick` has something to do.
    pub fn poll_timeout(&self) -> Option<Now> {
        let talks = self.talks.values().filter_map(|talk| match &talk.stage {
            Stage::Asking { until, .. } | Stage::Coming { until } => Some(*until),
            Stage::Dialling(dialling) => dialling.hello_until,
            Stage::Up(_) => None,
        });
        let expected = self.expected.values().map(|expected| expected.until);
        let known = self.known.values().map(|known| known.until);
        let questions = self.questions.values().map(|question| question.until);
        talks.chain(expected).chain(known).chain(questions).min()
    }

    /// How things stand.
    pub fn standing(&self, now: Now) -> Standing {
        let left = |until: Now| until.saturating_sub(now);
        Standing {
            talks: self.talks.keys().filter_map(|user| Some((user.clone(), self.stand(user)?))).collect(),
            expected: self.expected.iter().map(|(user, found)| (user.clone(), left(found.until))).collect(),
            known: self.known.iter().map(|(user, found)| (user.clone(), left(found.until))).collect(),
            questions: self.questions.iter().map(|(user, found)| (user.clone(), left(found.until))).collect(),
            held: self.held.iter().map(|(user, texts)| (user.clone(), texts.len())).collect(),
        }
    }
}

/// Why there is no address, as the server says it.
pub fn no_address(user: &UserName, reason: &str) -> Failure {
    let status = match reason {
        "no" | "withdrawn" => Status::Refused,
        _ => Status::TryAgain,
    };
    Failure::new(status, format!("no address of {user}: {}", render::no_address(reason)))
}

/// Whether this address, however it is written, leads to the machine that it is used on. What is unspecified does too.
fn is_our_machine(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || address.is_unspecified()
}

/// One certificate for two users.
fn same_certificate(user: &UserName, other: &UserName) -> Failure {
    let why = format!("{user} gives the certificate of {other} for their own: one of them is not who they seem to be");
    Failure::new(Status::Refused, why)
}

/// Why a connection did not come about.
fn explain(user: &UserName, address: SocketAddr, gone: &PeerGone) -> Failure {
    let (ip, port) = (address.ip(), address.port());
    match gone {
        PeerGone::Unreachable(error) => {
            let why = format!("can't reach {user} at {ip} port {port}: {error}; is there a firewall in between?");
            Failure::new(Status::NoServer, why)
        }
        PeerGone::Tls(TlsFailure::Changed { .. }) => {
            let why = format!("whoever is at {ip} port {port} is not {user}: the certificate is another one");
            Failure::new(Status::Refused, why)
        }
        PeerGone::Tls(TlsFailure::NotItsOwn) => {
            let why = format!("whoever is at {ip} port {port} shows {user}'s certificate, but does not have its key");
            Failure::new(Status::Refused, why)
        }
        PeerGone::Refused => {
            let why = format!("{user} does not let you in: the yes was taken back, or its time is over");
            Failure::new(Status::Refused, why)
        }
        PeerGone::Tls(TlsFailure::TooSlow) => {
            Failure::new(Status::NoServer, format!("{user} at {ip} port {port} does not answer"))
        }
        PeerGone::Tls(TlsFailure::NotTls | TlsFailure::TooOld) => {
            Failure::new(Status::Refused, format!("whoever is at {ip} port {port} is no chat, and not {user}"))
        }
        PeerGone::Tls(TlsFailure::ClosedAtOnce) | PeerGone::Ended | PeerGone::CutOff | PeerGone::Broken(_) => {
            let why = format!("{user} at {ip} port {port} has closed the connection");
            Failure::new(Status::NoServer, why)
        }
        PeerGone::TooMany => Failure::new(Status::TryAgain, "too many private conversations: end one first"),
        PeerGone::Tls(TlsFailure::Other(why)) => {
            let why = format!("no connection to {user} at {ip} port {port}: {}", render::visible_line(why));
            Failure::new(Status::NoServer, why)
        }
    }
}

/// Why a conversation that was up is over.
fn why_over(user: &UserName, gone: &PeerGone) -> String {
    match gone {
        PeerGone::Ended => format!("{user} has ended it"),
        PeerGone::Broken(error) => format!("the connection broke: {error}"),
        _ => "the connection was cut off".to_owned(),
    }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
