//! What clients without framing show, taken apart as their users would: who said what, and what the server said.

/// One thing on a screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A chunk that the client compares, and so has to be alone.
    Word(String),
    /// A line of the server's.
    Line(String),
    /// A text of somebody's, or a part of one, without the indents of its lines.
    Said { from: String, text: String, private: bool },
}

/// What a `request` client obeys, or takes apart at its commas.
const WORDS: [&str; 6] = ["logout_duplicate", "shutdown", "online", "getaddress", "private_consent", "logout"];
/// Who speaks where the server says something itself; nobody is called so.
pub const SERVER: &str = "server";
const INDENT: &str = "\n    ";
/// It has two lines.
const BLOCKED: &str = "Your message could not bedelivered\nas the recipient has blocked you";
/// Lines of the server's, by their beginnings; no name looks like them.
const LINES: [&str; 5] = [
    "User ",
    "No such User in the system",
    "Your message could not be delivered to some recipients",
    "Offline messages: ",
    "note:",
];

/// What a call brings to a `request` client, which reads once.
pub fn delivery(chunk: &str) -> Result<Vec<Item>, String> {
    let word = chunk.split(',').next().unwrap_or_default();
    if WORDS.contains(&word) {
        return Ok(vec![Item::Word(chunk.to_owned())]);
    }
    let Some(text) = chunk.strip_suffix('\n') else {
        return Err(format!("a delivery is neither a word nor lines: {chunk:?}"));
    };
    if text == BLOCKED {
        return Ok(vec![Item::Line(text.to_owned())]);
    }
    messages(text)
        .map(|message| match message.split_once(':') {
            _ if LINES.iter().any(|line| message.starts_with(line)) => Ok(Item::Line(message.to_owned())),
            Some((from, text)) if is_name(from) => {
                Ok(Item::Said { from: from.to_owned(), text: text.replace(INDENT, "\n"), private: false })
            }
            // What the server says beside the protocol is for people, and a word in it is none.
            _ if WORDS.contains(&message.split(',').next().unwrap_or_default()) => {
                Err(format!("a word is not alone: {chunk:?}"))
            }
            _ => Ok(Item::Line(message.to_owned())),
        })
        .collect()
}

/// What a `nick` client reads at once.
pub fn room(chunk: &str) -> Vec<Item> {
    let said = |message: &str| {
        let (head, text) = message.split_once(": ")?;
        let (from, private) = match head.strip_suffix(" (private)") {
            Some(from) => (from, true),
            None => (head, false),
        };
        is_name(from).then(|| Item::Said { from: from.to_owned(), text: text.replace(INDENT, "\n"), private })
    };
    messages(chunk).map(|message| said(message).unwrap_or_else(|| Item::Line(message.to_owned()))).collect()
}

/// Each begins at the begin of a line that is not indented.
fn messages(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let ends = |&(at, _): &(usize, &str)| !text[at..].starts_with(INDENT);
        let end = text.match_indices('\n').find(ends).map(|(at, _)| at);
        rest = end.map(|end| &text[end + 1..]);
        Some(&text[..end.unwrap_or(text.len())])
    })
}

pub fn is_name(word: &str) -> bool {
    word != SERVER
        && (1..=32).contains(&word.len())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}
