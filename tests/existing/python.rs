//! Python's literals: read as strictly as the readers of messages can be, and written as each version of Python writes them.

/// In collections within collections: no message has more.
const DEPTH_MAX: usize = 16;
/// A dict of Python 2 with more keys has more slots, and another order; no message has so many.
const KEYS_MAX: usize = 5;
/// Of a small dict of Python 2.
const SLOTS: usize = 8;

/// Which version a program runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Python {
    Two,
    Three,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// A `str` of Python 2, a `bytes` of Python 3.
    Bytes(Vec<u8>),
    /// A `unicode` of Python 2, a `str` of Python 3: code points, which may be the halves of surrogate pairs.
    Unicode(Vec<u32>),
    Integer(u64),
    Tuple(Vec<Literal>),
    List(Vec<Literal>),
    /// In the order in which the keys were put in.
    Dict(Vec<(Literal, Literal)>),
}

impl Python {
    /// What this version has for a text that a program got from its keyboard.
    pub fn text(self, text: &str) -> Literal {
        match self {
            Python::Two => Literal::Bytes(text.as_bytes().to_vec()),
            Python::Three => Literal::Unicode(text.chars().map(u32::from).collect()),
        }
    }

    /// The tuple of a host and a port.
    pub fn address(self, host: &str, port: u16) -> Literal {
        Literal::Tuple(vec![self.text(host), Literal::Integer(port.into())])
    }

    pub fn dict<const N: usize>(self, entries: [(&str, Literal); N]) -> Literal {
        Literal::Dict(entries.map(|(key, value)| (self.text(key), value)).into())
    }

    /// `None`: it is no literal of 7-bit ASCII and of the kinds that messages are made of.
    pub fn read(self, source: &[u8]) -> Option<Literal> {
        let mut reader = Reader { rest: source, python: self };
        let literal = reader.value(0)?;
        (source.is_ascii() && reader.rest.is_empty()).then_some(literal)
    }

    /// What `repr` makes of it.
    pub fn write(self, literal: &Literal) -> String {
        match literal {
            Literal::Bytes(bytes) => {
                let points: Vec<u32> = bytes.iter().copied().map(u32::from).collect();
                let prefix = if self == Python::Two { "" } else { "b" };
                quote(prefix, &points, |point| (0x20..0x7f).contains(&point))
            }
            Literal::Unicode(points) if self == Python::Two => {
                quote("u", points, |point| (0x20..0x7f).contains(&point))
            }
            Literal::Unicode(points) => quote("", points, is_printable),
            Literal::Integer(number) => number.to_string(),
            Literal::Tuple(items) if items.len() == 1 => format!("({},)", self.write_all(items)),
            Literal::Tuple(items) => format!("({})", self.write_all(items)),
            Literal::List(items) => format!("[{}]", self.write_all(items)),
            Literal::Dict(entries) => format!("{{{}}}", self.write_entries(entries)),
        }
    }

    fn write_all(self, items: &[Literal]) -> String {
        items.iter().map(|item| self.write(item)).collect::<Vec<_>>().join(", ")
    }

    fn write_entries(self, entries: &[(Literal, Literal)]) -> String {
        let in_order: Vec<_> = match self {
            Python::Two => by_slot(entries),
            Python::Three => entries.iter().collect(),
        };
        let write = |(key, value): &(Literal, Literal)| format!("{}: {}", self.write(key), self.write(value));
        in_order.into_iter().map(write).collect::<Vec<_>>().join(", ")
    }
}

impl Literal {
    /// As a program shows it: bytes are UTF-8. `None`: it is no text.
    pub fn text(&self) -> Option<String> {
        match self {
            Literal::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Literal::Unicode(points) => {
                let units: Vec<u16> = points.iter().flat_map(|&point| utf16(point)).collect();
                Some(String::from_utf16_lossy(&units))
            }
            _ => None,
        }
    }

    /// What a dict has for a key.
    pub fn get(&self, key: &str) -> Option<&Literal> {
        let Literal::Dict(entries) = self else { return None };
        entries.iter().find(|(is, _)| is.text().as_deref() == Some(key)).map(|(_, value)| value)
    }

    /// The text that a dict has for a key.
    pub fn get_text(&self, key: &str) -> Option<String> {
        self.get(key)?.text()
    }

    /// The keys of a dict, in no order that says anything.
    pub fn keys(&self) -> Vec<String> {
        let Literal::Dict(entries) = self else { return Vec::new() };
        let mut keys: Vec<_> = entries.iter().filter_map(|(key, _)| key.text()).collect();
        keys.sort();
        keys
    }
}

/// A code point as UTF-16; halves of surrogate pairs stay what they are.
fn utf16(point: u32) -> Vec<u16> {
    match char::from_u32(point) {
        Some(character) => character.encode_utf16(&mut [0; 2]).to_vec(),
        None => u16::try_from(point).into_iter().collect(),
    }
}

/// What is left to read.
struct Reader<'a> {
    rest: &'a [u8],
    python: Python,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Option<Literal> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self.rest.first()? {
            b'{' => self.items(b'}', |reader| reader.entry(depth + 1)).map(|(entries, _)| dict(entries)),
            b'[' => self.items(b']', |reader| reader.value(depth + 1)).map(|(items, _)| Literal::List(items)),
            b'(' => match self.items(b')', |reader| reader.value(depth + 1))? {
                // Brackets alone make no tuple.
                (mut items, false) if items.len() == 1 => items.pop(),
                (items, _) => Some(Literal::Tuple(items)),
            },
            b'0'..=b'9' => self.integer(),
            _ => self.string(),
        }
    }

    /// What stands between brackets, and whether a comma stood behind the last.
    fn items<T>(&mut self, close: u8, item: impl Fn(&mut Self) -> Option<T>) -> Option<(Vec<T>, bool)> {
        let (mut items, mut has_comma) = (Vec::new(), false);
        self.byte()?;
        self.skip_blanks();
        while !self.skip(close) {
            if !items.is_empty() && !has_comma {
                return None;
            }
            items.push(item(self)?);
            self.skip_blanks();
            has_comma = self.skip(b',');
            self.skip_blanks();
        }
        Some((items, has_comma))
    }

    fn entry(&mut self, depth: usize) -> Option<(Literal, Literal)> {
        let key = self.string()?;
        self.skip_blanks();
        let has_colon = self.skip(b':');
        self.skip_blanks();
        has_colon.then_some((key, self.value(depth)?))
    }

    fn integer(&mut self) -> Option<Literal> {
        let length = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.rest.split_at(length);
        self.rest = rest;
        str::from_utf8(digits).ok()?.parse().ok().map(Literal::Integer)
    }

    fn string(&mut self) -> Option<Literal> {
        let is_unicode = match self.rest.first()? {
            b'u' => true,
            b'b' => false,
            _ => self.python == Python::Three,
        };
        let _has_prefix = self.skip(b'u') || self.skip(b'b');
        let quote = self.byte().filter(|byte| matches!(byte, b'\'' | b'"'))?;
        let mut points = Vec::new();
        loop {
            match self.byte()? {
                byte if byte == quote => break,
                b'\n' | b'\r' | 0 => return None,
                b'\\' => self.escape(is_unicode, &mut points)?,
                byte => points.push(byte.into()),
            }
        }
        if is_unicode {
            return Some(Literal::Unicode(points));
        }
        points.into_iter().map(u8::try_from).collect::<Result<_, _>>().ok().map(Literal::Bytes)
    }

    /// What stands behind a backslash.
    fn escape(&mut self, is_unicode: bool, points: &mut Vec<u32>) -> Option<()> {
        let point = match self.byte()? {
            byte @ (b'\\' | b'\'' | b'"') => byte.into(),
            b'n' => 0x0a,
            b't' => 0x09,
            b'r' => 0x0d,
            b'a' => 0x07,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'v' => 0x0b,
            b'x' => self.hex(2)?,
            b'u' if is_unicode => self.hex(4)?,
            b'U' if is_unicode => self.hex(8).filter(|&point| point <= u32::from(char::MAX))?,
            // Octal, and line ends: nobody writes them.
            b'0'..=b'7' | b'\n' | b'\r' => return None,
            byte => {
                points.push(b'\\'.into());
                byte.into()
            }
        };
        points.push(point);
        Some(())
    }

    fn hex(&mut self, length: usize) -> Option<u32> {
        let (digits, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        let are_digits = digits.iter().all(u8::is_ascii_hexdigit);
        are_digits.then(|| u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()).flatten()
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn skip(&mut self, byte: u8) -> bool {
        let is_there = self.rest.first() == Some(&byte);
        if is_there {
            self.rest = &self.rest[1..];
        }
        is_there
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }
}

/// A key that comes again keeps its place, and gets the later value.
fn dict(entries: Vec<(Literal, Literal)>) -> Literal {
    let mut unique: Vec<(Literal, Literal)> = Vec::new();
    for (key, value) in entries {
        match unique.iter_mut().find(|(is, _)| *is == key) {
            Some((_, earlier)) => *earlier = value,
            None => unique.push((key, value)),
        }
    }
    Literal::Dict(unique)
}

/// The entries in the order in which Python 2 goes through a dict: by hash, and where hashes collide, by which key came first.
/// Only `command` and `message_type` collide. Reading and writing them again would swap them each time; all programs have them in
/// the order in which a client writes them, for which `command` comes first, as in the alphabet.
fn by_slot(entries: &[(Literal, Literal)]) -> Vec<&(Literal, Literal)> {
    if entries.len() > KEYS_MAX {
        return entries.iter().collect();
    }
    let mut in_turn: Vec<_> = entries.iter().collect();
    in_turn.sort_by_key(|(key, _)| key.text());
    let mut slots = [None; SLOTS];
    for entry in in_turn {
        let hash = hash(&entry.0);
        let (mut at, mut perturbation) = (hash, hash);
        while slots[at % SLOTS].is_some() {
            at = at.wrapping_mul(5).wrapping_add(perturbation).wrapping_add(1);
            perturbation >>= 5;
        }
        slots[at % SLOTS] = Some(entry);
    }
    slots.into_iter().flatten().collect()
}

/// That of Python 2 on a 64-bit machine, of a `str` and of the `unicode` with the same characters.
fn hash(key: &Literal) -> usize {
    let points: Vec<usize> = match key {
        Literal::Bytes(bytes) => bytes.iter().map(|&byte| usize::from(byte)).collect(),
        Literal::Unicode(points) => points.iter().map(|&point| point as usize).collect(),
        // The reader takes nothing else for a key.
        _ => Vec::new(),
    };
    let Some(first) = points.first() else { return 0 };
    let mixed = points.iter().fold(first << 7, |hash, point| hash.wrapping_mul(1_000_003) ^ point);
    mixed ^ points.len()
}

/// `is_plain`: which code points need no escape.
fn quote(prefix: &str, points: &[u32], is_plain: impl Fn(u32) -> bool) -> String {
    let has = |character: char| points.contains(&u32::from(character));
    let quote = if has('\'') && !has('"') { '"' } else { '\'' };
    let mut quoted = format!("{prefix}{quote}");
    for &point in points {
        match char::from_u32(point) {
            Some('\\') => quoted += "\\\\",
            Some('\n') => quoted += "\\n",
            Some('\t') => quoted += "\\t",
            Some('\r') => quoted += "\\r",
            Some(character) if character == quote => quoted.extend(['\\', character]),
            Some(character) if is_plain(point) => quoted.push(character),
            _ => quoted += &escape(point),
        }
    }
    quoted.push(quote);
    quoted
}

fn escape(point: u32) -> String {
    match point {
        0..=0xff => format!("\\x{point:02x}"),
        0x100..=0xffff => format!("\\u{point:04x}"),
        _ => format!("\\U{point:08x}"),
    }
}

/// As Python 3 has it, for what people type: neither controls, formatting nor private use, and no blank but the usual one.
fn is_printable(point: u32) -> bool {
    let Some(character) = char::from_u32(point) else { return false };
    let is_formatting = matches!(point, 0xad | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0xfeff);
    let is_private = matches!(point, 0xe000..=0xf8ff);
    character == ' ' || !(character.is_control() || character.is_whitespace() || is_formatting || is_private)
}
