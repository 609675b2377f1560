//! What real programs have written, byte for byte, and what the stand-ins make of it.

use serde_json::Value;

use super::existing::datagram_message::{Message, sealed};
use super::existing::digest::hex_sha256;
use super::existing::python::{Literal, Python};
use super::existing::session_cipher::{Cipher, response};

fn session() -> Value {
    serde_json::from_str(include_str!("../vectors/session.json")).expect("JSON")
}

fn datagram() -> Value {
    serde_json::from_str(include_str!("../vectors/datagram.json")).expect("JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A value as a program of this version has it: lists stand for tuples.
fn literal(value: &Value, python: Python) -> Literal {
    match value {
        Value::String(text) => python.text(text),
        Value::Number(number) => Literal::Integer(number.as_u64().expect("a natural number")),
        Value::Array(items) => Literal::Tuple(items.iter().map(|item| literal(item, python)).collect()),
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| (python.text(key), literal(value, python));
            Literal::Dict(entries.iter().map(entry).collect())
        }
        other => panic!("{other} in a message"),
    }
}

#[test]
fn session_keys_and_ciphers_are_right() {
    for log_on in list(&session()) {
        let (rand, secret) = (text(&log_on["rand"]), text(&log_on["secret"]));
        assert_eq!(response(rand, secret), text(&log_on["response"]));
        let cipher = Cipher::new(rand, secret);
        for message in list(&log_on["messages"]) {
            let plain = text(&message["plain"]);
            let enciphered = cipher.apply(plain);
            assert_eq!(hex(enciphered.as_bytes()), text(&message["cipher_utf8_hex"]));
            assert_eq!(cipher.apply(&enciphered), plain);
        }
    }
}

#[test]
fn clients_of_both_versions_spell_their_datagrams_as_they_always_have() {
    for (python, name) in [(Python::Two, "from_existing_clients"), (Python::Three, "from_python3_ports")] {
        for vector in list(&datagram()[name]) {
            let (header, body) = (&vector["value"]["header"], &vector["value"]["body"]);
            let (command, message_type) = (text(&header["command"]), text(&header["message_type"]));
            let body = in_the_order_of_a_client(literal(body, python));
            let sealed = sealed(python, command, message_type, literal(&header["recipient_data"], python), body);
            assert_eq!(sealed, text(&vector["datagram"]));
        }
    }
}

/// That in which the program puts keys in, which is what Python 3 writes them in.
fn in_the_order_of_a_client(body: Literal) -> Literal {
    let Literal::Dict(mut entries) = body else { panic!("{body:?} is no dict") };
    let order = ["username", "sender_username", "receiver_username", "password", "text"];
    entries.sort_by_key(|(key, _)| order.iter().position(|is| key.text().as_deref() == Some(is)));
    Literal::Dict(entries)
}

#[test]
fn what_python_2_has_written_it_writes_again() {
    let vectors = datagram();
    for vector in list(&vectors["from_existing_clients"]).iter().chain(list(&vectors["other_spellings"])) {
        let Some(Literal::List(items)) = Python::Two.read(text(&vector["datagram"]).as_bytes()) else {
            panic!("{vector} is not read");
        };
        let rewritten = Python::Two.write(&items[0]);
        assert_eq!(rewritten, text(&vector["hashed"]));
        assert_eq!(items[1].text(), Some(hex_sha256(rewritten.as_bytes())));
    }
}

#[test]
fn python_2_writes_the_datagrams_of_python_3_in_another_way() {
    for vector in list(&datagram()["from_python3_ports"]) {
        let datagram = text(&vector["datagram"]);
        let Some(Literal::List(items)) = Python::Two.read(datagram.as_bytes()) else {
            assert!(!datagram.is_ascii());
            continue;
        };
        assert_ne!(Python::Two.write(&items[0]), text(&vector["hashed"]));
    }
}

#[test]
fn what_is_no_literal_is_not_read() {
    for vector in list(&datagram()["bad"]) {
        let why = text(&vector["why"]);
        if !["digest does not match", "not a list"].contains(&why) {
            assert_eq!(Python::Two.read(text(&vector["datagram"]).as_bytes()), None, "{why}");
        }
    }
}

#[test]
fn a_client_of_either_version_reads_what_a_server_says() {
    for value in list(&datagram()["from_the_server_as_values"]) {
        let datagram = Python::Two.write(&literal(value, Python::Two));
        for python in [Python::Two, Python::Three] {
            let message = Message::read(python, datagram.as_bytes()).expect("a message");
            assert_eq!(message.message_type, text(&value["header"]["message_type"]));
            assert_eq!(message.body, text(&value["body"]));
            assert_eq!(message.flaw(), None);
        }
    }
}

#[test]
fn texts_are_read_as_each_version_reads_them() {
    let read = |python: Python, source: &[u8]| python.read(source).and_then(|literal| literal.text());
    let (two, three) = (|source| read(Python::Two, source), |source| read(Python::Three, source));
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(two(br"'caf\xc3\xa9'"), text("caf\u{e9}"));
    assert_eq!(three(br"'caf\xc3\xa9'"), text("caf\u{c3}\u{a9}"));
    assert_eq!((two(br"u'caf\xe9'"), three(br"u'caf\xe9'")), (text("caf\u{e9}"), text("caf\u{e9}")));
    assert_eq!(two(br"u'\U0001f389 \ud83c\udf89 \u2713'"), text("\u{1f389} \u{1f389} \u{2713}"));
    assert_eq!(two(br"'\u2713'"), text(r"\u2713"));
    assert_eq!(two(br#"'a\'b"c\\d\ne\q'"#), text("a'b\"c\\d\ne\\q"));
    for source in [&b"'caf\xc3\xa9'"[..], b"'a", b"'a\nb'", br"'\x4'", br"u'\U00110000'", b"'a' ", b"r'a'", b"a", b""] {
        assert_eq!((two(source), three(source)), (None, None), "{source:?}");
    }
}

#[test]
fn collections_are_read_as_python_reads_them() {
    let read = |source: &str| Python::Two.read(source.as_bytes()).map(|literal| Python::Two.write(&literal));
    let same = ["()", "('a',)", "('a', 1)", "[]", "['a', {}]", "{'body': {}, 'header': ()}"];
    same.iter().for_each(|source| assert_eq!(read(source).as_deref(), Some(*source)));
    assert_eq!(read("( 'a' )").as_deref(), Some("'a'"));
    assert_eq!(read("{'header':1 ,'body':[2,],}").as_deref(), Some("{'body': [2], 'header': 1}"));
    assert_eq!(read("{'a': 1, 'a': 2}").as_deref(), Some("{'a': 2}"));
    for source in ["(", "(,)", "['a' 'b']", "{'a'}", "{1: 2}", "{'a': }", "[1]]", "-1", "None"] {
        assert_eq!(read(source), None, "{source}");
    }
}
