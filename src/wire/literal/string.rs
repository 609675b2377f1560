//! Strings. In `'…'` and `b'…'` escapes of 80 and above are bytes if the whole is UTF-8 then, else code points: Python 2
//! writes its bytes so, Python 3 its code points. In `u'…'` they are code points.

use std::borrow::Cow;

/// Which letter stands before the quote.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prefix {
    None,
    Bytes,
    Unicode,
}

/// The string at the beginning of `source`, and how many bytes it took there.
pub(super) fn read(source: &str) -> Option<(Cow<'_, str>, usize)> {
    let (prefix, letters) = match source.bytes().next()? {
        b'u' | b'U' => (Prefix::Unicode, 1),
        b'b' | b'B' => (Prefix::Bytes, 1),
        _ => (Prefix::None, 0),
    };
    let quote = source[letters..].chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let inside = &source[letters + 1..];
    let (end, has_escapes) = closing(inside, quote)?;
    let used = letters + 1 + end + 1;
    let inside = &inside[..end];
    let text = if has_escapes { Cow::Owned(unescaped(inside, prefix)?) } else { Cow::Borrowed(inside) };
    Some((text, used))
}

/// Where the closing quote stands, and whether there is a backslash before it. A line that ends within is none.
fn closing(inside: &str, quote: char) -> Option<(usize, bool)> {
    let mut bytes = inside.bytes().enumerate();
    let mut has_escapes = false;
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => {
                has_escapes = true;
                bytes.next();
            }
            b'\n' | b'\r' | b'\0' => return None,
            byte if char::from(byte) == quote => return Some((at, has_escapes)),
            _ => {}
        }
    }
    None
}

fn unescaped(inside: &str, prefix: Prefix) -> Option<String> {
    let mut unescaped = Unescaped { prefix, text: String::with_capacity(inside.len()), bytes: Vec::new() };
    let mut rest = inside;
    while let Some(at) = rest.find('\\') {
        unescaped.push_str(&rest[..at]);
        rest = unescaped.escape(&rest[at + 1..])?;
    }
    unescaped.push_str(rest);
    Some(unescaped.finish())
}

/// What a string comes to, in both readings.
struct Unescaped {
    prefix: Prefix,
    /// With escapes as code points.
    text: String,
    /// With escapes of 80 and above as bytes.
    bytes: Vec<u8>,
}

impl Unescaped {
    fn push_str(&mut self, text: &str) {
        self.text.push_str(text);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn push(&mut self, c: char) {
        self.push_str(c.encode_utf8(&mut [0; 4]));
    }

    /// One that is a byte or a code point.
    fn push_ambiguous(&mut self, byte: u8) {
        self.text.push(char::from(byte));
        self.bytes.push(byte);
    }

    fn finish(self) -> String {
        match self.prefix {
            Prefix::Unicode => self.text,
            Prefix::None | Prefix::Bytes => String::from_utf8(self.bytes).unwrap_or(self.text),
        }
    }

    /// Takes what stands behind a backslash. Comes back: what follows it.
    fn escape<'a>(&mut self, after: &'a str) -> Option<&'a str> {
        let c = after.chars().next()?;
        let rest = &after[c.len_utf8()..];
        match c {
            // A line goes on.
            '\n' => return Some(rest),
            '\\' | '\'' | '"' => self.push(c),
            'a' => self.push('\x07'),
            'b' => self.push('\x08'),
            'f' => self.push('\x0c'),
            'n' => self.push('\n'),
            'r' => self.push('\r'),
            't' => self.push('\t'),
            'v' => self.push('\x0b'),
            'x' => return self.hexadecimal(rest),
            '0'..='7' => return self.octal(after),
            'u' | 'U' | 'N' if self.prefix == Prefix::Bytes => self.unknown(c),
            'u' | 'U' => return self.code_point(after),
            'N' | '\r' | '\0' => return None,
            _ => self.unknown(c),
        }
        Some(rest)
    }

    /// The backslash stays where it means nothing.
    fn unknown(&mut self, c: char) {
        self.push('\\');
        self.push(c);
    }

    fn hexadecimal<'a>(&mut self, after: &'a str) -> Option<&'a str> {
        let (digits, rest) = after.split_at_checked(2)?;
        self.push_ambiguous(u8::try_from(hexadecimal(digits)?).ok()?);
        Some(rest)
    }

    /// One to three digits; more than a byte is something else to each interpreter.
    fn octal<'a>(&mut self, after: &'a str) -> Option<&'a str> {
        let count = after.bytes().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
        let (digits, rest) = after.split_at(count);
        self.push_ambiguous(u8::from_str_radix(digits, 8).ok()?);
        Some(rest)
    }

    /// Two halves of a pair are one character (narrow builds of Python 2 have them); a half alone is none.
    fn code_point<'a>(&mut self, after: &'a str) -> Option<&'a str> {
        let (first, rest) = unit(after)?;
        if let 0xd800..0xdc00 = first
            && let Some((second @ 0xdc00..0xe000, rest)) = rest.strip_prefix('\\').and_then(unit)
        {
            self.push(char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))?);
            return Some(rest);
        }
        match first {
            0xd800..0xe000 => self.push(char::REPLACEMENT_CHARACTER),
            _ => self.push(char::from_u32(first)?),
        }
        Some(rest)
    }
}

/// `uXXXX` or `UXXXXXXXX`, and what follows it.
fn unit(after: &str) -> Option<(u32, &str)> {
    let count = match after.bytes().next()? {
        b'u' => 4,
        b'U' => 8,
        _ => return None,
    };
    let (digits, rest) = after[1..].split_at_checked(count)?;
    Some((hexadecimal(digits)?, rest))
}

fn hexadecimal(digits: &str) -> Option<u32> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_number.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}
