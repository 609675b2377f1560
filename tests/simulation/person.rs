//! A client: the real core of `chat`, and somebody who uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chatd::client::core::{self, Session, Tag};
use chatd::hub::fingerprint::Fingerprint;
use chatd::hub::name::UserName;

use crate::ledger::Uid;
use crate::link::{LinkId, Time};

/// What was asked under a tag.
#[derive(Clone, Debug)]
pub enum Asked {
    Message(usize),
    Block {
        other: UserName,
        index: usize,
    },
    Address {
        other: UserName,
        certificate: Fingerprint,
    },
    /// `None`: no.
    Consent {
        other: UserName,
        index: Option<usize>,
    },
    Revoke(usize),
    Privacy(Time),
    Other,
}

impl Asked {
    pub fn is_about_privacy(&self) -> bool {
        !matches!(self, Asked::Message(_) | Asked::Block { .. } | Asked::Other)
    }
}

/// A question for an address that was passed on.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    pub since: Time,
    pub certificate: Fingerprint,
}

/// Who is behind a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Comes and goes, and comes back.
    Device,
    /// One log-in without a device, and that is all.
    Once,
    /// Sends whatever comes to mind.
    Stranger,
}

pub struct Person {
    pub uid: Uid,
    pub kind: Kind,
    pub user: UserName,
    pub password_right: bool,
    pub session: Session,
    /// What the client keeps on its disk.
    pub memory: Option<core::Device>,
    /// What it kept earlier.
    pub stale_memory: Option<core::Device>,
    pub link: Option<LinkId>,
    pub linked_at: Time,
    /// The link is open, and not only asked for.
    pub connected: bool,
    pub wants_in: bool,
    pub reads: bool,
    /// Says nothing until then, whatever is due.
    pub silent_until: Time,
    /// What silence keeps back.
    pub unsent: Vec<u8>,
    pub asks: BTreeMap<Tag, Asked>,
    pub woken_at: Option<Time>,
    pub over: bool,
    pub flooding: u32,
    /// Has asked to be logged out on this connection.
    pub leaves: bool,
    /// Whom this connection has asked for their address, and heard nothing of yet.
    pub questions: BTreeMap<UserName, Question>,
    /// Who asks, as far as this connection knows, and since when.
    pub asked_by: BTreeMap<UserName, Time>,
    /// Who is let in by which yes, with which certificate, until when.
    pub expects: BTreeMap<usize, (UserName, Fingerprint, Time)>,
    /// Closes its side as soon as everything is said.
    pub half_closes: bool,
    /// When it has closed its side, and what it had asked before that.
    pub half_closed: Option<(Time, BTreeSet<Tag>)>,
}

impl Person {
    pub fn new(uid: Uid, kind: Kind, user: UserName, login: core::Login) -> Person {
        Person {
            uid,
            kind,
            user,
            password_right: true,
            memory: login.device.clone(),
            stale_memory: None,
            session: Session::new(login),
            link: None,
            linked_at: 0,
            connected: false,
            wants_in: true,
            reads: true,
            silent_until: 0,
            unsent: Vec::new(),
            asks: BTreeMap::new(),
            woken_at: None,
            over: false,
            flooding: 0,
            leaves: false,
            questions: BTreeMap::new(),
            asked_by: BTreeMap::new(),
            expects: BTreeMap::new(),
            half_closes: false,
            half_closed: None,
        }
    }
}

impl Person {
    pub fn log_out(&mut self) {
        self.leaves = true;
        self.session.log_out();
    }

    /// The connection is gone, and with it what belongs to it.
    pub fn disconnected(&mut self) {
        self.session.disconnected();
        (self.half_closed, self.leaves) = (None, false);
        self.unsent.clear();
        self.questions.clear();
        self.asked_by.clear();
        self.reads = true;
        self.connected = false;
    }
}

pub fn password(user: &UserName) -> String {
    format!("{user}'s password")
}

pub fn login(user: &UserName, device: Option<core::Device>, password: Option<String>) -> core::Login {
    core::Login { user: user.clone(), password, device, heartbeat: Duration::from_secs(30) }
}

/// Without the acknowledgements, as of somebody who never gets round to them.
pub fn without_acknowledgements(output: &[u8]) -> Vec<u8> {
    let keep = |line: &&[u8]| !line.windows(13).any(|word| word == b"\"acknowledge\"");
    output.split_inclusive(|&b| b == b'\n').filter(keep).flatten().copied().collect()
}
