use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// What Python 2 and Python 3 make of literals, as scripts/literals.py has recorded it.
const RECORDED: [&str; 2] = [
    include_str!("../../../tests/vectors/literals-python2.json"),
    include_str!("../../../tests/vectors/literals-python3.json"),
];

fn recorded(of: &str) -> [Vec<Value>; 2] {
    RECORDED.map(|record| serde_json::from_str::<Value>(record).unwrap()[of].as_array().unwrap().clone())
}

fn parse(source: &str) -> Result<Literal<'_>, Malformed> {
    Literal::parse(source.as_bytes())
}

fn written(literal: &Literal<'_>, manner: Manner) -> String {
    let mut out = String::new();
    literal.write(manner, &mut out);
    out
}

/// As the record has it.
fn as_recorded(literal: &Literal<'_>) -> Value {
    match literal {
        Literal::None => json!({ "none": true }),
        Literal::Bool(value) => json!(value),
        Literal::Int(number) => json!(number),
        Literal::Text(text) => json!(text),
        Literal::Tuple(items) => json!({ "tuple": items.iter().map(as_recorded).collect::<Vec<_>>() }),
        Literal::List(items) => items.iter().map(as_recorded).collect(),
        Literal::Dict(entries) => {
            let last = |at: &usize| !entries[at + 1..].iter().any(|(key, _)| *key == entries[*at].0);
            let kept = (0..entries.len()).filter(last).map(|at| &entries[at]);
            json!({ "dict": kept.map(|(key, value)| vec![as_recorded(key), as_recorded(value)]).collect::<Vec<_>>() })
        }
    }
}

#[test]
fn literals_are_read_as_both_interpreters_read_them() {
    let [python_2, python_3] = recorded("read");
    assert!(python_2.len() > 100 && python_2.len() == python_3.len());
    let mut differ = 0;
    for (by_2, by_3) in python_2.iter().zip(python_3) {
        let source = by_2[0].as_str().unwrap();
        let read = parse(source).map_or(Value::Null, |literal| as_recorded(&literal));
        // Where they differ, bytes are UTF-8.
        assert_eq!(read, by_2[1], "{source:?}");
        if by_2 != &by_3 {
            differ += 1;
            assert!(!source.starts_with('u') && !read.as_str().unwrap().is_ascii(), "{source:?}");
        }
    }
    assert_eq!(differ, 3);
}

#[test]
fn what_either_interpreter_writes_comes_back() {
    for (text, spelling) in recorded("written").iter().flatten().flat_map(|entry| {
        let spellings = entry[1].as_array().unwrap().iter();
        spellings.map(|spelling| (entry[0].as_str().unwrap(), spelling.as_str().unwrap()))
    }) {
        assert_eq!(parse(spelling), Ok(text.into()), "{spelling}");
    }
}

#[test]
fn what_is_written_is_what_python_2_writes() {
    let [python_2, _] = recorded("written");
    assert_eq!(python_2.len(), 17);
    for entry in python_2 {
        let text = Literal::from(entry[0].as_str().unwrap());
        let [unicode, plain] = &entry[1].as_array().unwrap()[..] else { panic!("two spellings") };
        assert_eq!(written(&text, Manner::Plain), plain.as_str().unwrap());
        // What is ASCII needs no prefix.
        let unicode = if entry[0].as_str().unwrap().is_ascii() { plain } else { unicode };
        assert_eq!(written(&text, Manner::Unicode), unicode.as_str().unwrap());
    }
}

#[test]
fn what_neither_interpreter_writes_is_refused_though_they_read_it() {
    let sources = [
        "'a' 'b'",
        "'''a'''",
        r"r'\n'",
        r"u'\N{DIGIT ONE}'",
        r"'\777'",
        "[1] # one",
        "012",
        "00",
        "0x10",
        "1_000",
        "+1",
        "--1",
        "1.0",
        "1e3",
        "9223372036854775808",
        "(1\n,\\\n2)",
        "{1, 2}",
        "1j",
        "- 1",
        "ur'a'",
        "br'a'",
    ];
    for source in sources {
        assert_eq!(parse(source), Err(Malformed::Syntax), "{source}");
    }
}

#[test]
fn what_one_interpreter_has_or_none_is_read_for_what_is_meant() {
    let rows = [
        ("12000L", Literal::Int(12000)),
        (r"u'\ud83c\udf89'", "🎉".into()),
        (r"'\ud83c\udf89'", "🎉".into()),
        (r"u'\ud83cx\udf89'", "\u{fffd}x\u{fffd}".into()),
        (r"u'\udf89\ud83c'", "\u{fffd}\u{fffd}".into()),
        (r"u'\ud83c\ud83c\udf89'", "\u{fffd}🎉".into()),
        (r"'\xed\xa0\x80'", "\u{ed}\u{a0}\u{80}".into()),
        ("'é✓\\n'", "é✓\n".into()),
        ("b'é'", "é".into()),
        (r"'é\xe9'", "éé".into()),
        (r"'é\xc3\xa9'", "éé".into()),
        (r"'\é'", "\\é".into()),
        (" \t1\r\n", Literal::Int(1)),
    ];
    for (source, value) in rows {
        assert_eq!(parse(source), Ok(value), "{source}");
    }
    for bad in [&b"'\xff'"[..], b"\xff", b"'a\0b'", b"'\\\0'", b"\0", b"1\0"] {
        assert_eq!(Literal::parse(bad), Err(Malformed::Syntax), "{bad:?}");
    }
}

#[test]
fn strings_without_escapes_are_borrowed() {
    assert!(matches!(parse("'é'"), Ok(Literal::Text(Cow::Borrowed("é")))));
    assert!(matches!(parse(r"'\n'"), Ok(Literal::Text(Cow::Owned(_)))));
}

#[test]
fn the_last_value_of_a_key_counts() {
    let dict = parse("{'a': 1, 2: 3, 'a': 4, u'b': None}").unwrap();
    assert_eq!(dict.get("a"), Some(&Literal::Int(4)));
    assert_eq!(dict.get("b"), Some(&Literal::None));
    assert_eq!(dict.get("c"), None);
    assert_eq!(parse("['a']").unwrap().get("a"), None);
}

#[test]
fn items_come_with_their_own_bytes() {
    let items = Literal::parse_items(b" [ {'a' : 1} , u'b',[ ] ]\n").unwrap();
    let sources: Vec<&str> = items.iter().map(|item| item.source).collect();
    assert_eq!(sources, ["{'a' : 1}", "u'b'", "[ ]"]);
    for bad in ["", "{}", "[1", "[1] 2", "(1,)", "'a'"] {
        assert_eq!(Literal::parse_items(bad.as_bytes()), Err(Malformed::Syntax), "{bad}");
    }
}

#[test]
fn what_is_too_much_is_refused_at_once() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(parse(&nested(DEPTH_MAX)).is_ok());
    assert_eq!(parse(&nested(DEPTH_MAX + 1)), Err(Malformed::TooDeep));
    for open in ["[", "(", "{0:", "({0:["] {
        assert_eq!(parse(&open.repeat(1000)), Err(Malformed::TooDeep));
    }
    let ones = |count: usize| format!("[{}]", "1,".repeat(count));
    assert!(parse(&ones(VALUES_MAX - 1)).is_ok());
    assert_eq!(parse(&ones(VALUES_MAX)), Err(Malformed::TooMany));
    for (source, bound) in [(nested(DEPTH_MAX + 1), Malformed::TooDeep), (ones(VALUES_MAX), Malformed::TooMany)] {
        assert_eq!(Literal::parse_items(source.as_bytes()), Err(bound), "as where it is one value");
    }
    assert!(Literal::parse_items(nested(DEPTH_MAX).as_bytes()).is_ok());
    assert!(Literal::parse_items(ones(VALUES_MAX - 1).as_bytes()).is_ok());
    let text = |bytes: usize| format!("'{}'", "x".repeat(bytes - 2));
    assert!(parse(&text(SOURCE_BYTES_MAX)).is_ok());
    assert_eq!(parse(&text(SOURCE_BYTES_MAX + 1)), Err(Malformed::TooLong));
    assert_eq!(parse(&"[".repeat(1 << 16)), Err(Malformed::TooLong));
}

#[test]
fn a_text_of_the_greatest_length_fits_however_it_is_written() {
    let text = "\u{7}".repeat(crate::hub::text::TEXT_BYTES_MAX);
    let source = written(&Literal::from(&*text), Manner::Plain);
    assert_eq!(parse(&source), Ok((&*text).into()));
}

/// Values within the bounds, with texts of all kinds.
fn literals() -> impl Strategy<Value = Literal<'static>> {
    let text =
        || prop_oneof![".{0,12}", "['\"\\\\\n\u{80}-\u{ff}]{0,8}"].prop_map(|text: String| Literal::Text(text.into()));
    let leaf = prop_oneof![
        Just(Literal::None),
        any::<bool>().prop_map(Literal::Bool),
        any::<i64>().prop_map(Literal::Int),
        text(),
    ];
    leaf.prop_recursive(3, 16, 3, move |inner| {
        let many = || proptest::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            many().prop_map(Literal::Tuple),
            many().prop_map(Literal::List),
            proptest::collection::vec((text(), inner.clone()), 0..4).prop_map(Literal::Dict),
        ]
    })
}

/// Sources that are nearly literals.
fn sources() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[\\[\\](){},:'\"\\\\ubxUN0-9a-f \n-]{1,4}",
        Just("\\x".to_owned()),
        Just("\\u".to_owned()),
        Just("\\ud83c".to_owned()),
        Just("\\udf89".to_owned()),
        Just("None".to_owned()),
        Just("é".to_owned()),
    ];
    proptest::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn what_is_written_is_read(literal in literals(), is_plain in any::<bool>()) {
        let manner = if is_plain { Manner::Plain } else { Manner::Unicode };
        let source = written(&literal, manner);
        prop_assert!(source.is_ascii());
        prop_assert_eq!(parse(&source), Ok(literal), "{}", source);
    }

    #[test]
    fn what_is_read_can_be_written_again(source in sources()) {
        if let Ok(literal) = parse(&source) {
            for manner in [Manner::Plain, Manner::Unicode] {
                let again = written(&literal, manner);
                prop_assert_eq!(parse(&again), Ok(literal.clone()), "{} {}", source, again);
            }
        }
    }

    #[test]
    fn no_character_is_longer_than_it_says(text in ".{0,40}", is_plain in any::<bool>()) {
        let manner = if is_plain { Manner::Plain } else { Manner::Unicode };
        let most: usize = text.chars().map(|c| manner.written_bytes_max(c)).sum();
        prop_assert!(written(&Literal::from(&*text), manner).len() <= most + "u''".len());
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Literal::parse(&bytes);
        let _ = Literal::parse_items(&bytes);
    }
}
