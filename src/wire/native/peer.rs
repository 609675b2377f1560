//! What two clients say to each other without the server: one JSON object a line, as everywhere in this protocol.
//!
//! Whoever was dialled begins with `hello`; before it the other says nothing. Each numbers its own texts from 1.

use serde::{Deserialize, Serialize};

use super::REQUEST_BYTES_MAX;
use super::shape::Str;
use crate::hub::name::UserName;
use crate::hub::text::Text;
use crate::wire::lines::{Line, first_line};

/// A line of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerLine {
    /// I am `from`, and you are who I expect: `to`. Names are compared, because certificates alone don't say for whom they were
    /// told: somebody in the middle, whom both sides know, could have handed each the other's.
    Hello {
        from: UserName,
        to: UserName,
    },
    Say {
        number: u64,
        text: Text,
    },
    /// Everything up to this number has been shown.
    Heard {
        number: u64,
    },
    /// The conversation ends; the connection closes next.
    Bye,
    /// A newer client has said something that can be left out.
    Unknown,
}

/// What stands at the beginning of what the other client sent.
#[derive(Debug, PartialEq, Eq)]
pub enum PeerHear {
    Wait,
    Line {
        used: usize,
        line: PeerLine,
    },
    /// No client of this kind.
    NotUnderstood,
}

/// Every field that a line can have, to be written.
#[derive(Default, Serialize)]
struct Shape<'a> {
    peer: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Str<'a>>,
}

/// What says which fields a line has. Of the others nothing is known, not even their types: a newer client's may be other ones.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    peer: Str<'a>,
}

#[derive(Deserialize)]
struct Names<'a> {
    #[serde(borrow)]
    from: Str<'a>,
    #[serde(borrow)]
    to: Str<'a>,
}

#[derive(Deserialize)]
struct Said<'a> {
    number: u64,
    #[serde(borrow)]
    text: Str<'a>,
}

#[derive(Deserialize)]
struct Numbered {
    number: u64,
}

/// Appends a line and its newline; nothing for `Unknown`.
pub fn encode(line: &PeerLine, out: &mut Vec<u8>) {
    let shape = |peer: &'static str| Shape { peer: Some(peer.into()), ..Shape::default() };
    let shape = match line {
        PeerLine::Hello { from, to } => {
            Shape { from: Some(from.as_str().into()), to: Some(to.as_str().into()), ..shape("hello") }
        }
        PeerLine::Say { number, text } => {
            Shape { number: Some(*number), text: Some(text.as_str().into()), ..shape("say") }
        }
        PeerLine::Heard { number } => Shape { number: Some(*number), ..shape("heard") },
        PeerLine::Bye => shape("bye"),
        PeerLine::Unknown => return,
    };
    serde_json::to_writer(&mut *out, &shape).expect("strings and numbers can be written to memory");
    out.push(b'\n');
}

/// Reads the line at the beginning of `bytes`. How they were split on their way changes nothing.
pub fn decode(bytes: &[u8]) -> PeerHear {
    let (line, used) = match first_line(bytes, REQUEST_BYTES_MAX) {
        Line::Whole { line, used } => (line, used),
        Line::Partial => return PeerHear::Wait,
        Line::TooLong => return PeerHear::NotUnderstood,
    };
    match meant(line) {
        Some(line) => PeerHear::Line { used, line },
        None => PeerHear::NotUnderstood,
    }
}

fn meant(line: &[u8]) -> Option<PeerLine> {
    // The fields of an object may also stand in an array, as far as serde is concerned.
    if line.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    let Kind { peer } = serde_json::from_slice(line).ok()?;
    Some(match &*peer {
        "hello" => {
            let Names { from, to } = serde_json::from_slice(line).ok()?;
            PeerLine::Hello { from: UserName::parse(&from).ok()?, to: UserName::parse(&to).ok()? }
        }
        "say" => {
            let Said { number, text } = serde_json::from_slice(line).ok()?;
            PeerLine::Say { number, text: Text::parse(&text).ok()? }
        }
        "heard" => {
            let Numbered { number } = serde_json::from_slice(line).ok()?;
            PeerLine::Heard { number }
        }
        "bye" => PeerLine::Bye,
        _ => PeerLine::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hello() -> PeerLine {
        PeerLine::Hello { from: UserName::parse("bob").unwrap(), to: UserName::parse("Alice").unwrap() }
    }

    fn lines() -> Vec<(&'static str, PeerLine)> {
        let say = |number, text: &str| PeerLine::Say { number, text: Text::parse(text).unwrap() };
        vec![
            ("{\"peer\":\"hello\",\"from\":\"bob\",\"to\":\"Alice\"}\n", hello()),
            ("{\"peer\":\"say\",\"number\":1,\"text\":\"hi\"}\n", say(1, "hi")),
            ("{\"peer\":\"say\",\"number\":2,\"text\":\"a \\\"b\\\" \\\\\\n\\té😀\"}\n", say(2, "a \"b\" \\\n\té😀")),
            ("{\"peer\":\"heard\",\"number\":18446744073709551615}\n", PeerLine::Heard { number: u64::MAX }),
            ("{\"peer\":\"bye\"}\n", PeerLine::Bye),
        ]
    }

    #[test]
    fn each_line_has_its_bytes() {
        for (bytes, line) in lines() {
            let mut out = Vec::new();
            encode(&line, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), bytes);
            assert_eq!(decode(bytes.as_bytes()), PeerHear::Line { used: bytes.len(), line });
        }
    }

    #[test]
    fn what_a_newer_client_says_is_left_out() {
        for (newer, line) in [
            ("{\"peer\":\"wave\",\"hand\":\"left\"}\n", PeerLine::Unknown),
            ("{\"peer\":\"wave\",\"number\":\"left\",\"text\":{\"a\":[1]}}\n", PeerLine::Unknown),
            (" {\"text\":5,\"to\":\"Alice\",\"peer\":\"hello\",\"number\":null,\"from\":\"bob\"}\r\n", hello()),
            ("{\"peer\":\"heard\",\"number\":1,\"text\":[]}\n", PeerLine::Heard { number: 1 }),
        ] {
            assert_eq!(decode(newer.as_bytes()), PeerHear::Line { used: newer.len(), line }, "{newer}");
        }
    }

    #[test]
    fn what_no_client_says_is_not_understood() {
        for bad in [
            "\n",
            "GET / HTTP/1.1\r\n",
            "{}\n",
            "{\"peer\":5}\n",
            "{\"peer\":\"say\",\"text\":\"hi\"}\n",
            "{\"peer\":\"say\",\"number\":1}\n",
            "{\"peer\":\"say\",\"number\":1,\"text\":\"\"}\n",
            "{\"peer\":\"say\",\"number\":1,\"text\":\"\\u001b[2J\"}\n",
            "{\"peer\":\"say\",\"number\":-1,\"text\":\"hi\"}\n",
            "{\"peer\":\"heard\"}\n",
            "{\"peer\":\"hello\"}\n",
            "{\"peer\":\"hello\",\"from\":\"bob\"}\n",
            "{\"peer\":\"hello\",\"from\":\"b b\",\"to\":\"alice\"}\n",
            "{\"peer\":\"hello\",\"peer\":\"bye\"}\n",
            "[{\"peer\":\"hello\"}]\n",
            "[\"hello\"]\n",
            "[\"hello\",null,null]\n",
            "{\"peer\":\"say\",\"number\":1,\"number\":2,\"text\":\"hi\"}\n",
            "{\"peer\":\"heard\",\"number\":18446744073709551616}\n",
            "{\"peer\":\"heard\",\"number\":1.0}\n",
        ] {
            assert_eq!(decode(bad.as_bytes()), PeerHear::NotUnderstood, "{bad}");
        }
        assert_eq!(decode(&vec![b'{'; REQUEST_BYTES_MAX + 1]), PeerHear::NotUnderstood);
        assert_eq!(decode(&vec![b'{'; REQUEST_BYTES_MAX - 1]), PeerHear::Wait);
    }

    #[test]
    fn the_longest_text_fits_a_line() {
        let text = Text::parse(&"\"".repeat(crate::wire::TEXT_BYTES_MAX)).unwrap();
        let (line, mut out) = (PeerLine::Say { number: u64::MAX, text }, Vec::new());
        encode(&line, &mut out);
        assert_eq!(decode(&out), PeerHear::Line { used: out.len(), line });
    }

    proptest! {
        #[test]
        fn every_text_comes_out_as_it_went_in(text in any::<String>(), number in any::<u64>(), cut in any::<prop::sample::Index>()) {
            if let Ok(text) = Text::parse(&text) {
                let (line, mut out) = (PeerLine::Say { number, text }, Vec::new());
                encode(&line, &mut out);
                prop_assert_eq!(decode(&out[..cut.index(out.len())]), PeerHear::Wait);
                prop_assert_eq!(decode(&out), PeerHear::Line { used: out.len(), line });
            }
        }

        #[test]
        fn nothing_that_comes_panics(bytes in any::<Vec<u8>>()) {
            decode(&bytes);
        }
    }
}
