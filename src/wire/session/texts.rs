//! How texts become messages that a client reads at once, in plain.
//!
//! Texts that wait for a client may share a message, so a line stands for one: their newlines are indented.

use super::messages::parse_command;
use super::{BREAK, READ_BYTES_MAX, broken, broken_word, unbroken, user};
use crate::hub::id::Number;
use crate::hub::time::LocalTime;
use crate::wire::parts::{self, Frame, plain_parts, unindented};
use crate::wire::pieces::{Kind, Pieces};
use crate::wire::{Text, UserName};

/// What stands between who says something and what.
const SAYS: &str = ": ";

/// One message of the history of two users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The chat's, or the time of a message that was in none.
    pub id: LocalTime,
    pub from: UserName,
    pub text: Text,
}

/// Appends what somebody has said, in as few parts as it takes; the last one ends the message that has this number.
pub fn relayed(from: &str, text: &Text, number: Option<Number>, out: &mut Pieces) {
    let from = broken(from);
    parts::write(&broken(text.as_str()), &frame([&from, SAYS], ""), number, out);
}

/// Appends a history, oldest first, in as few messages as it takes.
pub fn history(lines: &[Line], out: &mut Pieces) {
    let mut whole = Pieces::default();
    lines.iter().for_each(|line| line.write(&mut whole));
    let mut used = 0;
    for (line, kind) in whole.iter() {
        if used + line.len() > READ_BYTES_MAX {
            out.end(kind);
            used = 0;
        }
        out.bytes.extend_from_slice(line);
        used += line.len();
    }
    out.end(Kind::Text { ends: None });
}

/// The last lines of a history, as many as have no more than `bytes_max` bytes when they are written.
pub fn newest(lines: &[Line], bytes_max: usize) -> &[Line] {
    let (mut written, mut bytes) = (Pieces::default(), 0);
    let is_too_much = |line: &Line| {
        written.clear();
        line.write(&mut written);
        bytes += written.bytes.len();
        bytes > bytes_max
    };
    let before = lines.iter().rposition(is_too_much);
    &lines[before.map_or(0, |before| before + 1)..]
}

impl Line {
    fn write(&self, out: &mut Pieces) {
        let who = format!("<{}> {}", self.id, broken(self.from.as_str()));
        parts::write(&broken(self.text.as_str()), &frame([&who, SAYS], "\n"), None, out);
    }
}

fn frame<'a>(before: [&'a str; 2], after: &'a str) -> Frame<'a> {
    Frame { before, after, bytes_max: READ_BYTES_MAX, ascii: false }
}

/// What `user`'s client says so that the other gets `text`, in order: with room for the name that the server puts before it.
/// What would be a command is broken, so that it is a text.
pub fn said(user: &UserName, text: &Text) -> Vec<String> {
    let room = READ_BYTES_MAX - user.as_str().len() - SAYS.len() - BREAK.len_utf8();
    let text = broken(text.as_str());
    let parts = plain_parts(&text, room, char::len_utf8).into_iter();
    parts.map(|part| if parse_command(part).is_some() { broken_word(part) } else { part.to_owned() }).collect()
}

/// Who has said what, in a message that `relayed` has written, or another server. `None`: it is something else.
pub fn parse_relayed(plain: &str) -> Option<(UserName, String)> {
    let (from, text) = plain.split_once(SAYS)?;
    Some((user(from)?, restored(text)))
}

/// The history in a message that `history` has written, or another server. `None`: it is something else.
pub fn parse_history(plain: &str) -> Option<Vec<Line>> {
    let mut lines: Vec<(LocalTime, UserName, String)> = Vec::new();
    for line in plain.strip_suffix('\n').unwrap_or(plain).split('\n') {
        match (parse_head(line), lines.last_mut()) {
            (Some(begun), _) => lines.push(begun),
            (None, Some((_, _, text))) => *text += &format!("\n{line}"),
            (None, None) => return None,
        }
    }
    let line = |(id, from, text): (LocalTime, UserName, String)| {
        Some(Line { id, from, text: Text::replacing(restored(&text).as_bytes()).ok()? })
    };
    Some(lines.into_iter().filter_map(line).collect())
}

/// The first line of a message of a history.
fn parse_head(line: &str) -> Option<(LocalTime, UserName, String)> {
    let (id, said) = line.strip_prefix('<')?.split_once("> ")?;
    let (from, text) = said.split_once(SAYS)?;
    Some((LocalTime::parse(id)?, user(from)?, text.to_owned()))
}

/// What each text of somebody's begins with.
pub(super) fn beginning(from: &UserName) -> String {
    broken(from.as_str()).into_owned() + SAYS
}

/// A text as it was said.
fn restored(text: &str) -> String {
    unbroken(&unindented(text))
}
