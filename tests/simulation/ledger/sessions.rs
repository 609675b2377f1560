//! The laws for sessions: what their clients say comes as it was said, and to whoever they chat with.
//!
//! The protocol has no framing, so one law is weaker here: of messages that the server could only read as one, what is said is
//! what they decipher to as one. It holds for no others.

use std::collections::BTreeMap;

use chatd::hub::challenge::SessionKey;
use chatd::hub::id::{DeviceId, Number};
use chatd::hub::message::{Message, Recipient, Sender};
use chatd::hub::name::UserName;
use chatd::hub::text::Text;
use chatd::hub::time::LocalTime;

use super::{Ledger, Uid};
use crate::link::{LinkId, Time};

#[derive(Default)]
pub struct Sessions {
    all: BTreeMap<LinkId, Session>,
    /// What was said in sessions, and so goes to whoever its sender is in a chat with.
    said: BTreeMap<usize, LinkId>,
    pub glued: u64,
}

#[derive(Debug)]
struct Session {
    uid: Uid,
    key: SessionKey,
    /// Up to where the hub knew, when it began, that everything was shown.
    sure: Option<Number>,
    messages: Vec<Ciphered>,
    /// Where each read ended, in bytes of the connection, and whether it came so soon that it counts as one with the last.
    reads: Vec<(usize, bool)>,
    /// Which chats its client has been told of, and when; and which of them it has left.
    chats: Vec<(Time, LocalTime, UserName)>,
    left: Vec<LocalTime>,
    over: BTreeMap<LocalTime, u32>,
}

/// A message as it travels, and where it ends.
#[derive(Debug)]
struct Ciphered {
    bytes: Vec<u8>,
    end: usize,
}

impl Sessions {
    pub(super) fn sure(&self, link: LinkId) -> Option<Number> {
        self.all.get(&link).and_then(|session| session.sure)
    }

    /// Whether the last read has brought the end of one message and another.
    pub fn is_glued(&self, link: LinkId) -> bool {
        let Some(session) = self.all.get(&link) else { return false };
        let mut ends = session.reads.iter().rev().map(|(end, _)| *end);
        let (end, begin) = (ends.next().unwrap_or(0), ends.next().unwrap_or(0));
        begin > 0 && session.messages.iter().any(|message| message.end > begin && message.end < end)
    }

    pub fn is_one(&self, link: LinkId) -> bool {
        self.all.contains_key(&link)
    }

    pub fn key(&self, link: LinkId) -> Option<&SessionKey> {
        self.all.get(&link).map(|session| &session.key)
    }
}

impl Session {
    /// What the client's messages come to that the server could not read apart.
    fn as_one(&self) -> impl Iterator<Item = String> + '_ {
        let runs = (0..self.messages.len()).flat_map(move |begin| {
            let ends = begin + 1..self.messages.len();
            ends.take_while(move |&end| self.were_read_together(end)).map(move |end| begin..=end)
        });
        runs.filter_map(|run| {
            let whole: Vec<u8> = self.messages[run].iter().flat_map(|message| &message.bytes).copied().collect();
            let plain = self.key.decipher(&whole).ok()?;
            Some(Text::replacing(plain.as_bytes()).ok()?.as_str().to_owned())
        })
    }

    /// Whether the beginning of this message was read with the end of the one before, or so soon after it that it counts as
    /// one with it.
    fn were_read_together(&self, message: usize) -> bool {
        let begin = self.messages[message - 1].end;
        let read = self.reads.iter().find(|(end, _)| *end > begin);
        let is_boundary = self.reads.iter().any(|(end, _)| *end == begin);
        read.is_some_and(|(_, soon)| !is_boundary || *soon)
    }
}

impl Ledger {
    /// The client has a connection for its session.
    pub fn session_opened(&mut self, link: LinkId, uid: Uid, key: SessionKey) {
        let session = Session {
            uid,
            key,
            sure: None,
            messages: Vec::new(),
            reads: Vec::new(),
            chats: Vec::new(),
            left: Vec::new(),
            over: BTreeMap::new(),
        };
        self.sessions.all.insert(link, session);
    }

    /// The hub has let it in.
    pub fn session_begins(&mut self, link: LinkId) {
        if let Some(session) = self.sessions.all.get_mut(&link) {
            session.sure = self.classics.sure.get(&session.uid).copied();
        }
    }

    /// The client says this on its connection. `text`: the name that it has here.
    pub fn session_said(&mut self, link: LinkId, text: Option<usize>, bytes: &[u8]) {
        let Some(session) = self.sessions.all.get_mut(&link) else { return };
        let end = session.messages.last().map_or(0, |last| last.end) + bytes.len();
        session.messages.push(Ciphered { bytes: bytes.to_vec(), end });
        if let Some(name) = text {
            self.sessions.said.insert(name, link);
        }
    }

    /// The server has read so many bytes. `soon`: it could not take them for a message of their own.
    pub fn session_read(&mut self, link: LinkId, bytes: usize, soon: bool) {
        if let Some(session) = self.sessions.all.get_mut(&link) {
            let end = session.reads.last().map_or(0, |(end, _)| *end) + bytes;
            session.reads.push((end, soon));
        }
    }

    /// A text is said; in no chat it is nobody's, as far as its client knows.
    pub fn asked_in_session(
        &mut self,
        now: Time,
        uid: Uid,
        user: &UserName,
        peer: Option<&UserName>,
        text: String,
    ) -> usize {
        self.asked(now, uid, user, Some(peer.unwrap_or(user)), text)
    }

    /// A message that the hub took, if it is what several of a session's come to as one. Comes back: its name here.
    pub(super) fn read_as_one(&mut self, now: Time, message: &Message) -> Option<usize> {
        let Sender::User(_, user) = &message.from else { return None };
        let uid = self.classic_client(user, DeviceId::SESSION)?;
        let text = message.text.as_str();
        let theirs = self.sessions.all.iter().filter(|(_, session)| session.uid == uid);
        let link =
            theirs.rev().find(|(_, session)| session.as_one().any(|whole| whole == text)).map(|(link, _)| *link)?;
        let Recipient::User(_, to) = &message.to else { return None };
        let name = self.asked(now, uid, user, Some(to), text.to_owned());
        self.sessions.said.insert(name, link);
        self.sessions.glued += 1;
        Some(name)
    }

    /// What is said in a session goes to whoever its client is in a chat with. That may be another than the client knows,
    /// as long as it has not been told.
    pub(super) fn note_peer(&mut self, name: usize, message: &Message) {
        let Some(session) = self.sessions.said.get(&name).and_then(|link| self.sessions.all.get(link)) else { return };
        let Recipient::User(_, to) = &message.to else {
            return self.broken("6: what was said in a chat goes to everybody");
        };
        let sent = &mut self.sent[name];
        let was_told =
            session.chats.iter().any(|(at, id, peer)| *at <= sent.asked && *id == message.local && peer == to);
        let has_left = session.left.contains(&message.local);
        if sent.to.as_ref() != Some(to) && was_told && !has_left {
            let law = format!("6: {:?} for {:?} goes to {to:?}", sent.text, sent.to);
            return self.broken(&law);
        }
        sent.to = Some(to.clone());
    }

    /// The client is told that it is in a chat.
    pub fn chat_begun(&mut self, now: Time, link: LinkId, id: LocalTime, peer: &UserName) {
        if let Some(session) = self.sessions.all.get_mut(&link) {
            session.chats.push((now, id, peer.clone()));
        }
    }

    /// The client ends its chat.
    pub fn chat_left(&mut self, link: LinkId, id: LocalTime) {
        if let Some(session) = self.sessions.all.get_mut(&link) {
            session.left.push(id);
        }
    }

    /// The client is told that its chat has ended: once for each.
    pub fn chat_ended(&mut self, link: LinkId, id: LocalTime) {
        let Some(session) = self.sessions.all.get_mut(&link) else { return };
        let count = session.over.entry(id).or_default();
        *count += 1;
        let begun = session.chats.iter().filter(|(_, begun, _)| *begun == id).count();
        if *count as usize > begun {
            self.broken(&format!("13: a client is told the end of the chat {id} once too often"));
        }
    }
}
