//! The client's side: what `chat` writes, and what it makes of what a server says.
//!
//! Knows no time: a chunk is what came until it was quiet.

use super::READ_BYTES_MAX;
use super::server::PROMPT;
use crate::wire::parts::{INDENT, indented_parts};
use crate::wire::{Text, UserName};

const JOINED: &str = " joined the chat!";
const LEFT: &str = " left the chat!";
const PRIVATE: &str = " (private)";
const CONNECTED: &str = "Connected to the server!";

/// Whether the server asks for the nickname.
pub fn is_question(chunk: &[u8]) -> bool {
    chunk.trim_ascii() == PROMPT
}

/// The answer to it.
pub fn nickname(user: &UserName) -> Vec<u8> {
    user.as_str().into()
}

/// What to send so that everyone gets `text`, in order: each chunk by itself. Each line is a message of its own, since a
/// newline ends a message.
pub fn encode(user: &UserName, text: &Text) -> Vec<Vec<u8>> {
    let head = format!("{user}: ");
    let room = READ_BYTES_MAX - head.len();
    let lines = text.as_str().lines().filter(|line| !line.is_empty());
    lines.flat_map(|line| indented_parts(line, room)).map(|part| format!("{head}{part}").into_bytes()).collect()
}

/// What a chunk says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// To everyone; ours come back too.
    Text {
        from: UserName,
        text: String,
    },
    /// To us alone: the form in which chatd says it here.
    Private {
        from: UserName,
        text: String,
    },
    Joined(UserName),
    Left(UserName),
    /// We are in.
    Connected,
    /// For people; the text of somebody whose name is none here, for example.
    Free(String),
}

/// Takes what came until it was quiet. Several messages may have become one chunk, with newlines between them.
pub fn decode(chunk: &[u8]) -> Vec<Heard> {
    let mut heard = Vec::new();
    for line in String::from_utf8_lossy(chunk).lines().filter(|line| !line.is_empty()) {
        if let (Some(more), Some(Heard::Text { text, .. } | Heard::Private { text, .. })) =
            (line.strip_prefix(INDENT), heard.last_mut())
        {
            text.push('\n');
            text.push_str(more);
            continue;
        }
        // The two greetings are sent apart, and may have become one.
        match line.strip_suffix(CONNECTED).filter(|first| first.ends_with(JOINED)) {
            Some(first) => heard.extend([decode_line(first), Heard::Connected]),
            None => heard.push(decode_line(line)),
        }
    }
    heard
}

fn decode_line(line: &str) -> Heard {
    let about = |end| line.strip_suffix(end).and_then(|name| UserName::parse(name).ok());
    let text = || {
        let (from, text) = line.split_once(": ")?;
        let text = text.to_owned();
        match from.strip_suffix(PRIVATE) {
            Some(from) => Some(Heard::Private { from: UserName::parse(from).ok()?, text }),
            None => Some(Heard::Text { from: UserName::parse(from).ok()?, text }),
        }
    };
    match line {
        CONNECTED => Heard::Connected,
        line => about(JOINED)
            .map(Heard::Joined)
            .or_else(|| about(LEFT).map(Heard::Left))
            .or_else(text)
            .unwrap_or_else(|| Heard::Free(line.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    fn chunks(text: &str) -> Vec<String> {
        let chunks = encode(&name("alice"), &Text::parse(text).unwrap()).into_iter();
        chunks.map(|chunk| String::from_utf8(chunk).unwrap()).collect()
    }

    #[test]
    fn everything_that_is_said_has_its_bytes() {
        assert!(is_question(b"NICK") && is_question(b"NICK\n"));
        assert!(!is_question(b"NICKname") && !is_question(b""));
        assert_eq!(nickname(&name("alice")), b"alice");
        assert_eq!(chunks("hi: you"), ["alice: hi: you"]);
        assert_eq!(chunks("a\n\nb"), ["alice: a", "alice: b"]);
        assert_eq!(chunks("naïve"), ["alice: naïve"]);
    }

    #[test]
    fn a_text_that_does_not_fit_goes_in_parts() {
        let parts = chunks(&"é".repeat(600));
        assert_eq!(parts.iter().map(String::len).collect::<Vec<_>>(), [1023, 7 + 1200 - 1016]);
        assert!(parts.iter().all(|part| part.starts_with("alice: é")));
    }

    #[test]
    fn everything_that_is_heard_is_understood() {
        let text = |text: &str| Heard::Text { from: name("bob"), text: text.to_owned() };
        let rows = [
            ("bob joined the chat!", vec![Heard::Joined(name("bob"))]),
            ("bob left the chat!", vec![Heard::Left(name("bob"))]),
            ("Connected to the server!", vec![Heard::Connected]),
            ("bob joined the chat!Connected to the server!", vec![Heard::Joined(name("bob")), Heard::Connected]),
            ("bob: Connected to the server!", vec![text("Connected to the server!")]),
            ("bob: hi: you", vec![text("hi: you")]),
            ("bob (private): hi\n    ho", vec![Heard::Private { from: name("bob"), text: "hi\nho".into() }]),
            ("bob: hi\nbob: ho\n    hum\n", vec![text("hi"), text("ho\nhum")]),
            ("big bob: hi", vec![Heard::Free("big bob: hi".into())]),
            ("no name: you can't be called this", vec![Heard::Free("no name: you can't be called this".into())]),
            ("", vec![]),
        ];
        for (chunk, heard) in rows {
            assert_eq!(decode(chunk.as_bytes()), heard, "{chunk:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_a_server_says_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            decode(&bytes);
            is_question(&bytes);
        }

        #[test]
        fn a_line_comes_out_as_it_went_in(said in "[^\\p{Cc}]{1,80}") {
            let chunks = encode(&name("alice"), &Text::parse(&said).unwrap());
            let heard: Vec<Heard> = chunks.iter().flat_map(|chunk| decode(chunk)).collect();
            prop_assert_eq!(heard, vec![Heard::Text { from: name("alice"), text: said }]);
        }

        #[test]
        fn every_chunk_fits_what_is_read_at_once(said in "(é|x|\n){1,2048}") {
            let all = chunks(&said);
            prop_assert!(all.iter().all(|chunk| chunk.len() <= READ_BYTES_MAX));
        }
    }
}
