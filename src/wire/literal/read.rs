//! The parser: by descent, which is bounded, and never back.

use super::{DEPTH_MAX, Item, Literal, Malformed, SOURCE_BYTES_MAX, VALUES_MAX, string};

pub(super) fn whole(source: &[u8]) -> Result<Literal<'_>, Malformed> {
    let mut reader = Reader::begin(source)?;
    let value = reader.value()?;
    reader.end()?;
    Ok(value)
}

pub(super) fn items(source: &[u8]) -> Result<Vec<Item<'_>>, Malformed> {
    let mut reader = Reader::begin(source)?;
    // The list is a value too, and its items stand in it.
    (reader.values, reader.depth) = (1, 1);
    reader.expect(b'[')?;
    let (items, _) = reader.separated(b']', |reader| {
        let start = reader.at;
        let value = reader.value()?;
        Ok(Item { value, source: &reader.source[start..reader.at] })
    })?;
    reader.end()?;
    Ok(items)
}

/// Its place is always the beginning of a character.
struct Reader<'a> {
    source: &'a str,
    at: usize,
    depth: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    fn begin(source: &'a [u8]) -> Result<Reader<'a>, Malformed> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(Malformed::TooLong);
        }
        let source = str::from_utf8(source).map_err(|_| Malformed::Syntax)?;
        let mut reader = Reader { source, at: 0, depth: 0, values: 0 };
        reader.skip_blanks();
        Ok(reader)
    }

    fn end(&mut self) -> Result<(), Malformed> {
        self.skip_blanks();
        if self.at == self.source.len() { Ok(()) } else { Err(Malformed::Syntax) }
    }

    fn peek(&self) -> Option<u8> {
        self.source.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r' | b'\x0c')) {
            self.at += 1;
        }
    }

    /// Takes this byte of ASCII and the blanks behind it, if it is there.
    fn takes(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        if is_there {
            self.at += 1;
            self.skip_blanks();
        }
        is_there
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.takes(byte) { Ok(()) } else { Err(Malformed::Syntax) }
    }

    /// A value, without the blanks behind it.
    fn value(&mut self) -> Result<Literal<'a>, Malformed> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(Malformed::TooMany);
        }
        match self.peek().ok_or(Malformed::Syntax)? {
            b'[' | b'(' | b'{' => self.nested(),
            b'-' | b'0'..=b'9' => self.integer(),
            _ => self.word_or_text(),
        }
    }

    fn nested(&mut self) -> Result<Literal<'a>, Malformed> {
        if self.depth == DEPTH_MAX {
            return Err(Malformed::TooDeep);
        }
        self.depth += 1;
        let value = if self.takes(b'[') {
            Literal::List(self.separated(b']', Reader::value)?.0)
        } else if self.takes(b'{') {
            Literal::Dict(self.separated(b'}', Reader::entry)?.0)
        } else {
            self.expect(b'(')?;
            parenthesised(self.separated(b')', Reader::value)?)
        };
        self.depth -= 1;
        Ok(value)
    }

    fn entry(&mut self) -> Result<(Literal<'a>, Literal<'a>), Malformed> {
        let key = self.value()?;
        if !key.is_hashable() {
            return Err(Malformed::Syntax);
        }
        self.skip_blanks();
        self.expect(b':')?;
        Ok((key, self.value()?))
    }

    /// Items up to the bracket that closes, and whether there was a comma. The blanks behind the bracket stay.
    fn separated<T>(
        &mut self,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<(Vec<T>, bool), Malformed> {
        let (mut items, mut has_comma) = (Vec::new(), false);
        while self.peek() != Some(close) {
            if !items.is_empty() && !has_comma {
                return Err(Malformed::Syntax);
            }
            items.push(item(self)?);
            self.skip_blanks();
            has_comma = self.takes(b',');
        }
        self.at += 1;
        Ok((items, has_comma))
    }

    /// Decimal digits; `L` stands behind the long ones of Python 2.
    fn integer(&mut self) -> Result<Literal<'a>, Malformed> {
        let rest = &self.source[self.at..];
        let sign = usize::from(rest.starts_with('-'));
        let digits = rest[sign..].bytes().take_while(u8::is_ascii_digit).count();
        let has_leading_zero = digits > 1 && rest[sign..].starts_with('0');
        let number = rest[..sign + digits].parse().ok().filter(|_| !has_leading_zero).ok_or(Malformed::Syntax)?;
        self.at += sign + digits;
        self.at += usize::from(self.peek() == Some(b'L'));
        Ok(Literal::Int(number))
    }

    fn word_or_text(&mut self) -> Result<Literal<'a>, Malformed> {
        let rest = &self.source[self.at..];
        let (word, value) = match self.peek() {
            Some(b'N') => ("None", Literal::None),
            Some(b'T') => ("True", Literal::Bool(true)),
            Some(b'F') => ("False", Literal::Bool(false)),
            _ => {
                let (text, used) = string::read(rest).ok_or(Malformed::Syntax)?;
                self.at += used;
                return Ok(Literal::Text(text));
            }
        };
        if !rest.starts_with(word) {
            return Err(Malformed::Syntax);
        }
        self.at += word.len();
        Ok(value)
    }
}

/// One value without a comma is that value.
fn parenthesised<'a>((mut items, has_comma): (Vec<Literal<'a>>, bool)) -> Literal<'a> {
    match items.pop() {
        Some(only) if items.is_empty() && !has_comma => only,
        last => {
            items.extend(last);
            Literal::Tuple(items)
        }
    }
}
