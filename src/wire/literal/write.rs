//! The writer.

use std::fmt::Write;

use super::Literal;

/// How what is not ASCII is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// `'\xc3\xa9'`: the bytes of its UTF-8, as Python 2 writes and reads them.
    Plain,
    /// `u'\xe9'`: its code points, as both read them.
    Unicode,
}

pub(super) fn value(value: &Literal<'_>, manner: Manner, out: &mut String) {
    match value {
        Literal::None => out.push_str("None"),
        Literal::Bool(true) => out.push_str("True"),
        Literal::Bool(false) => out.push_str("False"),
        Literal::Int(number) => out.push_str(&number.to_string()),
        Literal::Text(text) => write_text(text, manner, out),
        Literal::List(items) => {
            out.push('[');
            write_items(items, manner, out);
            out.push(']');
        }
        Literal::Tuple(items) => {
            out.push('(');
            write_items(items, manner, out);
            out.push_str(if items.len() == 1 { ",)" } else { ")" });
        }
        Literal::Dict(entries) => write_dict(entries, manner, out),
    }
}

fn write_items(items: &[Literal<'_>], manner: Manner, out: &mut String) {
    for (index, item) in items.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        value(item, manner, out);
    }
}

fn write_dict(entries: &[(Literal<'_>, Literal<'_>)], manner: Manner, out: &mut String) {
    out.push('{');
    for (index, (key, entry)) in entries.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        value(key, manner, out);
        out.push_str(": ");
        value(entry, manner, out);
    }
    out.push('}');
}

/// Between single quotes, unless there is a single one in it and no double one.
fn write_text(text: &str, manner: Manner, out: &mut String) {
    if manner == Manner::Unicode && !text.is_ascii() {
        out.push('u');
    }
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        if c == quote {
            out.push('\\');
            out.push(c);
        } else {
            write_character(c, manner, out);
        }
    }
    out.push(quote);
}

/// A character that is no quote.
fn write_character(c: char, manner: Manner, out: &mut String) {
    match (c, manner) {
        ('\\', _) => out.push_str("\\\\"),
        ('\t', _) => out.push_str("\\t"),
        ('\n', _) => out.push_str("\\n"),
        ('\r', _) => out.push_str("\\r"),
        (' '..='~', _) => out.push(c),
        (_, Manner::Plain) => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| escape(out, 'x', 2, byte.into())),
        (..='\u{ff}', Manner::Unicode) => escape(out, 'x', 2, c.into()),
        (..='\u{ffff}', Manner::Unicode) => escape(out, 'u', 4, c.into()),
        (_, Manner::Unicode) => escape(out, 'U', 8, c.into()),
    }
}

fn escape(out: &mut String, letter: char, digits: usize, number: u32) {
    write!(out, "\\{letter}{number:0digits$x}").expect("a string takes everything");
}

impl Manner {
    /// How long a character of a text is at most when it is written, in bytes.
    pub fn written_bytes_max(self, c: char) -> usize {
        let mut out = String::new();
        match c {
            '\'' | '"' => return 2,
            c => write_character(c, self, &mut out),
        }
        out.len()
    }
}
