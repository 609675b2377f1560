//! Everything that a client can get wrong, and the exact line that it gets for it.

use chatd::wire::Step;
use chatd::wire::native::REQUEST_BYTES_MAX;

use super::samples::{CERTIFICATE, read};

/// What becomes of some input: of a refusal, or of a violation, the line, or nothing for a request.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Fine,
    Refused(String),
    Violation(String),
}

fn outcome(bytes: &[u8]) -> Outcome {
    let line = |reply: Vec<u8>| {
        let reply = String::from_utf8(reply).expect("UTF-8");
        assert!(!reply.trim_end_matches('\n').chars().any(char::is_control), "{reply:?}");
        assert!(reply.len() <= 256, "an error says what is wrong, and does not quote it: {reply}");
        reply
    };
    match read(bytes) {
        Step::Wait => panic!("it waits for more of {}", String::from_utf8_lossy(bytes)),
        other @ (Step::Posted { .. } | Step::Heard { .. }) => panic!("another protocol's: {other:?}"),
        Step::Request { used, .. } => {
            assert_eq!(used, bytes.len());
            Outcome::Fine
        }
        Step::Refused { used, reply } => {
            assert_eq!(used, bytes.len());
            Outcome::Refused(line(reply))
        }
        Step::Violation { reply } => Outcome::Violation(line(reply)),
    }
}

const ID_RANGE: &str = "'id' is a whole number from 0 to 9007199254740991";
const NOT_UNICODE: &str = "'text' is a string of Unicode text";
const BAD_CHARACTER: &str = "a name consists of the letters a to z, digits, '_', '-' and '.'";
const RESERVED: &str = "this word has a meaning of its own and can't be a name";
const TOO_LONG: &str = "a message has at most 4096 bytes; send it in parts";
const UNKNOWN: &str = "there is no such request; docs/PROTOCOL.md lists them";
const PROOF: &str = "the proof is not the base64 of 32 bytes";

/// Lines that are answered with an error, after which the connection goes on: line, whether the answer carries the id 7,
/// code, text.
pub fn refused() -> Vec<(String, bool, &'static str, &'static str)> {
    let mut lines: Vec<(String, bool, &str, &str)> = Vec::new();
    let mut add = |line: &str, with_id, code, text| lines.push((line.to_owned(), with_id, code, text));

    for id in ["-1", "-0", "1.0", "1e2", "9007199254740992", "18446744073709551616", "1e999", "\"7\"", "[7]", "{}"] {
        add(&format!(r#"{{"id":{id},"request":"online"}}"#), false, "bad-request", ID_RANGE);
    }
    let deep = format!("{}{}", "[".repeat(4000), "]".repeat(4000));
    add(&format!(r#"{{"id":{deep},"request":"online"}}"#), false, "bad-request", ID_RANGE);
    add(r#"{"request":"online"}"#, false, "bad-request", "the field 'id' is missing");
    add(r#"{"id":null,"request":"online"}"#, false, "bad-request", "the field 'id' is missing");
    add("{}", false, "bad-request", "the field 'request' is missing");
    add(r#"{"id":7}"#, true, "bad-request", "the field 'request' is missing");
    add(r#"{"id":7,"request":null}"#, true, "bad-request", "the field 'request' is missing");
    add(r#"{"id":7,"request":["online"]}"#, true, "bad-request", "'request' is a string of Unicode text");
    add(r#"{"id":7,"request":"Online"}"#, true, "unknown-request", UNKNOWN);
    add(r#"{"id":7,"request":"\u0000\u001b[2J\u202e"}"#, true, "unknown-request", UNKNOWN);
    add(r#"{"request":"x","text":"no id"}"#, false, "unknown-request", UNKNOWN);
    add(r#"{"id":7,"request":"online","request":"online"}"#, true, "bad-request", "duplicate field `request`");
    add(r#"{"id":7,"request":"online","\u0069d":7}"#, false, "bad-request", "duplicate field `id`");

    for id in ["2026022823595", "202602282359590", "2026-02-28 235959", "", "+2026022823595"] {
        let line = format!(r#"{{"id":7,"request":"end-chat","chat":"{id}"}}"#);
        add(&line, true, "bad-request", "'chat' is 14 digits");
    }
    add(
        r#"{"id":7,"request":"end-chat","chat":20260228235959}"#,
        true,
        "bad-request",
        "'chat' is a string of Unicode text",
    );
    add(r#"{"id":7,"request":"chat"}"#, true, "bad-request", "the field 'user' is missing");

    add(r#"{"id":7,"request":"message","text":"hi"}"#, true, "bad-request", "the field 'to' is missing");
    add(r#"{"id":7,"request":"message","to":"bob"}"#, true, "bad-request", "the field 'text' is missing");
    for value in
        ["5", "[]", "[\"hi\"]", "{\"a\":1}", "true", r#""\ud800""#, r#""\udc00\ud800""#, &deep[1..deep.len() - 1]]
    {
        add(&format!(r#"{{"id":7,"request":"message","to":"bob","text":{value}}}"#), true, "bad-request", NOT_UNICODE);
    }
    let long = "x".repeat(4097);
    let wide = "é".repeat(2049);
    for text in [&long, &wide] {
        add(&format!(r#"{{"id":7,"request":"broadcast","text":"{text}"}}"#), true, "text-too-long", TOO_LONG);
    }
    add(r#"{"id":7,"request":"broadcast","text":""}"#, true, "bad-text", "a message can't be empty");
    for (escape, text) in [
        ("\\u0000", "a message can't contain the control character U+0000; newline and tab are allowed"),
        ("\\u001b", "a message can't contain the control character U+001B; newline and tab are allowed"),
        ("\\r", "a message can't contain the control character U+000D; newline and tab are allowed"),
        ("\u{7f}", "a message can't contain the control character U+007F; newline and tab are allowed"),
        ("\u{9b}", "a message can't contain the control character U+009B; newline and tab are allowed"),
    ] {
        add(&format!(r#"{{"id":7,"request":"broadcast","text":"a{escape}b"}}"#), true, "bad-text", text);
    }
    for (to, text) in [
        ("", "a name can't be empty"),
        ("a b", BAD_CHARACTER),
        ("bob\\n", BAD_CHARACTER),
        ("bob\\u0000", BAD_CHARACTER),
        ("b\u{f6}b", BAD_CHARACTER),
        ("Everyone", RESERVED),
        ("123456789012345678901234567890123", "a name has at most 32 characters"),
    ] {
        add(&format!(r#"{{"id":7,"request":"message","to":"{to}","text":"hi"}}"#), true, "bad-name", text);
        add(&format!(r#"{{"id":7,"request":"block","user":"{to}"}}"#), true, "bad-name", text);
        add(&format!(r#"{{"id":7,"request":"unblock","user":"{to}"}}"#), true, "bad-name", text);
        add(&format!(r#"{{"id":7,"request":"history","with":"{to}"}}"#), true, "bad-name", text);
        add(&format!(r#"{{"id":7,"request":"ask-address","user":"{to}"}}"#), true, "bad-name", text);
        add(&format!(r#"{{"id":7,"request":"consent","user":"{to}"}}"#), true, "bad-name", text);
        add(&format!(r#"{{"id":7,"request":"revoke","user":"{to}"}}"#), true, "bad-name", text);
    }
    add(r#"{"id":7,"request":"block"}"#, true, "bad-request", "the field 'user' is missing");
    add(r#"{"id":7,"request":"unblock","user":null}"#, true, "bad-request", "the field 'user' is missing");
    for request in ["ask-address", "consent", "revoke"] {
        let line = format!(r#"{{"id":7,"request":"{request}"}}"#);
        add(&line, true, "bad-request", "the field 'user' is missing");
    }
    const FINGERPRINT: &str = "'certificate' is 'SHA256:' and 32 bytes in hexadecimal, with colons";
    const PORT: &str = "'port' is 1024 to 65535";
    for request in
        [r#""request":"ask-address","user":"bob""#, r#""request":"consent","user":"bob","answer":true,"port":6002"#]
    {
        let mut with = |certificate: &str, text| {
            add(&format!(r#"{{"id":7,{request}{certificate}}}"#), true, "bad-request", text);
        };
        with("", "the field 'certificate' is missing");
        with(r#","certificate":null"#, "the field 'certificate' is missing");
        with(r#","certificate":5"#, "'certificate' is a string of Unicode text");
        for bad in [
            "",
            "SHA256:",
            &CERTIFICATE[7..],
            &format!("{CERTIFICATE}:20"),
            &format!("{CERTIFICATE} "),
            &CERTIFICATE.replace(":1F", ""),
            &CERTIFICATE.replace(":1F", ":F"),
            &CERTIFICATE.replace(":1F", ":+F"),
            &CERTIFICATE.replace(":1F", ":é"),
            &CERTIFICATE.replace("SHA256", "SHA1"),
            &CERTIFICATE.replace("SHA256", "sha256"),
        ] {
            with(&format!(r#","certificate":"{bad}""#), FINGERPRINT);
        }
    }
    add(r#"{"id":7,"request":"consent","user":"bob"}"#, true, "bad-request", "the field 'answer' is missing");
    for answer in ["1", "\"yes\"", "\"true\"", "[]"] {
        let line = format!(r#"{{"id":7,"request":"consent","user":"bob","answer":{answer}}}"#);
        add(&line, true, "bad-request", "'answer' is true or false");
    }
    let text = "'port' is a whole number from 0 to 9007199254740991";
    for (port, text) in [
        ("", "the field 'port' is missing"),
        (r#","port":0"#, PORT),
        (r#","port":1023"#, PORT),
        (r#","port":65536"#, PORT),
        (r#","port":9007199254740991"#, PORT),
        (r#","port":-1"#, text),
        (r#","port":"6002""#, text),
        (r#","port":6002.0"#, text),
    ] {
        let line =
            format!(r#"{{"id":7,"request":"consent","user":"bob","answer":true,"certificate":"{CERTIFICATE}"{port}}}"#);
        add(&line, true, "bad-request", text);
    }
    add(r#"{"id":7,"request":"broadcast","text":"hi","counter":0}"#, true, "bad-request", "'counter' begins at 1");
    for counter in ["-1", "1.5", "9007199254740992", "\"1\""] {
        let text = "'counter' is a whole number from 0 to 9007199254740991";
        let line = format!(r#"{{"id":7,"request":"broadcast","text":"hi","counter":{counter}}}"#);
        add(&line, true, "bad-request", text);
    }
    for receipt in ["1", "\"true\"", "[]"] {
        let line = format!(r#"{{"id":7,"request":"message","to":"bob","text":"hi","receipt":{receipt}}}"#);
        add(&line, true, "bad-request", "'receipt' is true or false");
    }
    add(r#"{"id":7,"request":"acknowledge"}"#, true, "bad-request", "the field 'number' is missing");
    add(r#"{"request":"acknowledge"}"#, false, "bad-request", "the field 'number' is missing");
    let text = "'number' is a whole number from 0 to 9007199254740991";
    add(r#"{"id":7,"request":"acknowledge","number":-1}"#, true, "bad-request", text);
    for limit in ["0", "501", "9007199254740991"] {
        let line = format!(r#"{{"id":7,"request":"history","limit":{limit}}}"#);
        add(&line, true, "bad-request", "'limit' is 1 to 500");
    }
    let text = "'limit' is a whole number from 0 to 9007199254740991";
    add(r#"{"id":7,"request":"history","limit":-1}"#, true, "bad-request", text);
    let text = "'before' is a whole number from 0 to 9007199254740991";
    add(r#"{"id":7,"request":"history","before":"9"}"#, true, "bad-request", text);

    let log_in = |fields: &str| format!(r#"{{"id":7,"request":"log-in",{fields}}}"#);
    const SCRAM: &str = r#""mechanism":"SCRAM-SHA-256""#;
    const MECHANISM: &str = "'mechanism' is SCRAM-SHA-256 or RESUME-SHA-256, over TLS also with -PLUS";
    const DEVICE: &str = r#""message":"n,,n=a,r=x","device":"00112233445566778899aabbccddeeff""#;
    const SHOWN: &str = "'shown' is a whole number from 0 to 9007199254740991";
    for (fields, text) in [
        (r#""message":"n,,n=a,r=x""#.to_owned(), "the field 'mechanism' is missing"),
        (r#""mechanism":"PLAIN","message":"n,,n=a,r=x""#.to_owned(), MECHANISM),
        (r#""mechanism":"scram-sha-256-plus","message":"p=tls-exporter,,n=a,r=x""#.to_owned(), MECHANISM),
        (r#""mechanism":"SCRAM-SHA-1-PLUS","message":"p=tls-exporter,,n=a,r=x""#.to_owned(), MECHANISM),
        (SCRAM.to_owned(), "the field 'message' is missing"),
        (format!(r#"{SCRAM},"message":"n,,n=a,r=x","device":"0011""#), "'device' is 32 hexadecimal digits"),
        (format!(r#"{SCRAM},{DEVICE},"log":"1","shown":1"#), "'log' is 16 hexadecimal digits"),
        (format!(r#"{SCRAM},{DEVICE},"log":"0123456789abcdef","shown":-1"#), SHOWN),
    ] {
        add(&log_in(&fields), true, "bad-request", text);
    }
    let header = "the message begins with 'p=tls-exporter,,' where the mechanism ends in -PLUS, else with 'n,,'";
    for (mechanism, message) in [
        ("SCRAM-SHA-256", "p=tls-exporter,,n=a,r=x"),
        ("RESUME-SHA-256", "p=tls-exporter,,n=a,r=x"),
        ("SCRAM-SHA-256-PLUS", "n,,n=a,r=x"),
        ("RESUME-SHA-256-PLUS", "n,,n=a,r=x"),
    ] {
        let fields =
            format!(r#""mechanism":"{mechanism}","message":"{message}","device":"00112233445566778899aabbccddeeff""#);
        add(&log_in(&fields), true, "bad-request", header);
    }
    let form = "the first message is 'p=tls-exporter,,n=USER,r=NONCE', or begins with 'n,,'";
    let downgrade = "'y' is refused: this server binds channels, so somebody has hidden that";
    let other_binding = "the channel binding is tls-exporter";
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "RESUME-SHA-256", "RESUME-SHA-256-PLUS"] {
        for (message, text) in [
            ("y,,n=a,r=x", downgrade),
            ("p=tls-unique,,n=a,r=x", other_binding),
            ("p=tls-server-end-point,,n=a,r=x", other_binding),
            ("p=,,n=a,r=x", other_binding),
            ("p,,n=a,r=x", form),
            ("p=tls-exporter,a=bob,n=a,r=x", form),
            ("y,a=bob,n=a,r=x", form),
            ("P=tls-exporter,,n=a,r=x", form),
            (",,n=a,r=x", form),
        ] {
            let fields = format!(r#""mechanism":"{mechanism}","message":"{message}""#);
            add(&log_in(&fields), true, "bad-request", text);
        }
    }
    for (message, text) in [
        ("", form),
        ("n,a=bob,n=a,r=x", form),
        ("n=a,r=x", form),
        ("n,,r=x,n=a", "the user name is missing: 'n=USER'"),
        ("n,,m=x,n=a,r=x", "the user name is missing: 'n=USER'"),
        ("n,,n=a", "the nonce is missing: 'r=NONCE'"),
        ("n,,n=a b,r=x", "that is not a user name"),
        ("n,,n=a,r=", "a nonce has 1 to 256 printable characters"),
    ] {
        add(&log_in(&format!(r#"{SCRAM},"message":"{message}""#)), true, "bad-request", text);
    }
    for (message, text) in [
        ("", "the proof is missing: ',p=PROOF'"),
        ("r=x,p=AAAA", "'c=' is missing"),
        ("c=biws,p=AAAA", "the nonce is missing: 'r=NONCE'"),
        ("c=biws,r=x,p=", PROOF),
        ("c=biws,r=x,p=AAAA", PROOF),
        ("c=biws,r=x,p=!", PROOF),
    ] {
        let line = format!(r#"{{"id":7,"request":"authenticate","message":"{message}"}}"#);
        add(&line, true, "bad-request", text);
    }

    let key = "0123456789abcdef".repeat(4);
    const STORED_KEY: &str = "'stored-key' is 64 hexadecimal digits";
    const SERVER_KEY: &str = "'server-key' is 64 hexadecimal digits";
    for request in ["sign-up", "password"] {
        let mut with = |fields: &str, text| {
            add(&format!(r#"{{"id":7,"request":"{request}",{fields}}}"#), true, "bad-request", text);
        };
        for bad in
            ["", "00", &key[1..], &format!("{key}0"), &"g0".repeat(32), &"é".repeat(32), &format!(" {}", &key[1..])]
        {
            with(&format!(r#""stored-key":"{bad}","server-key":"{key}""#), STORED_KEY);
            with(&format!(r#""stored-key":"{key}","server-key":"{bad}""#), SERVER_KEY);
            with(&format!(r#""server-key":"{bad}""#), SERVER_KEY);
        }
        with(&format!(r#""stored-key":"{key}""#), "the field 'server-key' is missing");
        with(&format!(r#""server-key":"{key}""#), "the field 'stored-key' is missing");
        with(&format!(r#""stored-key":"{key}","server-key":null"#), "the field 'server-key' is missing");
        with(&format!(r#""stored-key":"{key}","password":"x""#), "the field 'server-key' is missing");
        with(&format!(r#""stored-key":5,"server-key":"{key}""#), "'stored-key' is a string of Unicode text");
        with(&format!(r#""stored-key":"{key}","server-key":["{key}"]"#), "'server-key' is a string of Unicode text");
        with(&format!(r#""stored-key":"{key}","stored-key":"{key}""#), "duplicate field `stored-key`");
    }
    add(r#"{"id":7,"request":"sign-up"}"#, true, "bad-request", "the field 'stored-key' is missing");
    add(r#"{"id":7,"request":"sign-up","password":"x"}"#, true, "bad-request", "the field 'stored-key' is missing");
    add(r#"{"request":"users"}"#, false, "bad-request", "the field 'id' is missing");

    const NO_CONTROLS: &str = "a password has no control characters";
    add(r#"{"id":7,"request":"password","password":"x"}"#, true, "bad-request", "the field 'stored-key' is missing");
    for request in ["user-add", "user-password"] {
        add(
            &format!(r#"{{"id":7,"request":"{request}","user":"bob"}}"#),
            true,
            "bad-request",
            "the field 'password' is missing",
        );
        for classic in ["0", "1", "\"true\"", "[]", "{}"] {
            let line = format!(r#"{{"id":7,"request":"{request}","user":"bob","password":"x","classic":{classic}}}"#);
            add(&line, true, "bad-request", "'classic' is true or false");
        }
    }
    let (long, wide) = ("x".repeat(1025), "é".repeat(513));
    for request in [r#""user-add","user":"bob""#, r#""user-password","user":"bob""#] {
        for (password, text) in [
            ("\"\"", "a password has at least one character"),
            (&*format!("\"{long}\""), "a password has at most 1024 bytes"),
            (&*format!("\"{wide}\""), "a password has at most 1024 bytes"),
            ("\"a\\nb\"", NO_CONTROLS),
            ("\"a\\u0000b\"", NO_CONTROLS),
            ("\"\\tab\"", NO_CONTROLS),
            ("\"ab\u{7f}\"", NO_CONTROLS),
            ("\"ab\u{9b}\"", NO_CONTROLS),
            ("5", "'password' is a string of Unicode text"),
            ("[\"x\"]", "'password' is a string of Unicode text"),
            ("\"\\ud800\"", "'password' is a string of Unicode text"),
        ] {
            add(&format!(r#"{{"id":7,"request":{request},"password":{password}}}"#), true, "bad-request", text);
        }
    }
    for request in ["user-add", "user-password", "user-remove", "user-unlock", "user-kick"] {
        let line = |user: &str| format!(r#"{{"id":7,"request":"{request}","password":"x"{user}}}"#);
        add(&line(""), true, "bad-request", "the field 'user' is missing");
        add(&line(r#","user":["bob"]"#), true, "bad-request", "'user' is a string of Unicode text");
        add(&line(r#","user":"""#), true, "bad-name", "a name can't be empty");
        add(&line(r#","user":"b b""#), true, "bad-name", BAD_CHARACTER);
        add(&line(r#","user":"Server""#), true, "bad-name", RESERVED);
    }
    lines
}

/// Input that ends the connection: code, text.
pub fn violations() -> Vec<(Vec<u8>, &'static str, &'static str)> {
    let mut inputs: Vec<(Vec<u8>, &str, &str)> = Vec::new();
    let mut add = |input: &[u8], code, text| inputs.push((input.to_vec(), code, text));
    const OBJECT: &str = "a request is a JSON object on a line";
    for line in [
        "hello",
        "GET / HTTP/1.1\r",
        "5",
        "\"{}\"",
        "null",
        "[]",
        // Every field in its place, but no object.
        r#"[7,"online",null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null,null]"#,
        "[{\"id\":7,\"request\":\"online\"}]",
        "\u{feff}{}",
        "\u{a0}{}",
        "\0",
    ] {
        add(format!("{line}\n").as_bytes(), "not-json", OBJECT);
    }
    for (line, text) in [
        ("{", "a request is a JSON object on a line: EOF while parsing an object"),
        ("{\"id\":7", "a request is a JSON object on a line: EOF while parsing an object"),
        ("{\"id\":7,}", "a request is a JSON object on a line: trailing comma"),
        ("{\"id\"}", "a request is a JSON object on a line: expected `:`"),
        ("{id:7}", "a request is a JSON object on a line: key must be a string"),
        ("{\"id\":nul}", "a request is a JSON object on a line: expected ident"),
        ("{\"id\":01}", "a request is a JSON object on a line: invalid number"),
        ("{\"id\":+1}", "a request is a JSON object on a line: expected value"),
        ("{\"id\":NaN}", "a request is a JSON object on a line: expected value"),
        ("{\"id\":7}{\"id\":8}", "a request is a JSON object on a line: trailing characters"),
        ("{\"id\":7} x", "a request is a JSON object on a line: trailing characters"),
        ("{\"text\":\"\\x\"}", "a request is a JSON object on a line: invalid escape"),
        ("{\"text\":\"\\u12\"}", "a request is a JSON object on a line: invalid escape"),
        ("{\"text\":\"a", "a request is a JSON object on a line: EOF while parsing a string"),
        (
            "{\"text\":\"a\0b\"}",
            "a request is a JSON object on a line: control character (\\\\u0000-\\\\u001F) found while parsing a string",
        ),
        (
            "{\"text\":\"a\tb\"}",
            "a request is a JSON object on a line: control character (\\\\u0000-\\\\u001F) found while parsing a string",
        ),
    ] {
        add(format!("{line}\n").as_bytes(), "not-json", text);
    }
    add(
        format!("{{\"a\":{}\n", "[".repeat(8000)).as_bytes(),
        "not-json",
        "a request is a JSON object on a line: EOF while parsing a list",
    );
    for bytes in
        [&b"{\"text\":\"\xff\"}\n"[..], b"\xc3\x28{}\n", b"{}\xed\xa0\x80\n", b"{}\xf4\x90\x80\x80\n", b"{}\xc0\xaf\n"]
    {
        add(bytes, "not-utf8", "a request is UTF-8");
    }
    for byte in [b'{', b' ', b'\0', 0xff, b'['] {
        add(&vec![byte; REQUEST_BYTES_MAX], "too-long", "a request has at most 16384 bytes");
        add(&vec![byte; 20_000], "too-long", "a request has at most 16384 bytes");
    }
    let mut late = vec![b' '; REQUEST_BYTES_MAX];
    late.push(b'\n');
    add(&late, "too-long", "a request has at most 16384 bytes");
    inputs
}

#[test]
fn a_mistake_is_refused_by_name_with_the_id_of_its_request() {
    for (line, with_id, code, text) in refused() {
        let id = if with_id { "\"id\":7," } else { "" };
        let expected = Outcome::Refused(format!("{{{id}\"error\":\"{code}\",\"text\":\"{text}\"}}\n"));
        assert_eq!(outcome(format!("{line}\n").as_bytes()), expected, "{line}");
    }
}

#[test]
fn what_is_no_request_at_all_ends_the_connection_with_a_reason() {
    for (input, code, text) in violations() {
        let expected = Outcome::Violation(format!("{{\"error\":\"{code}\",\"text\":\"{text}\"}}\n"));
        assert_eq!(outcome(&input), expected, "{}", String::from_utf8_lossy(&input));
    }
}

#[test]
fn blank_lines_are_nothing() {
    for line in [&b"\n"[..], b"\r\n", b" \t \n"] {
        assert_eq!(outcome(line), Outcome::Refused(String::new()));
    }
}

#[test]
fn deep_nesting_where_nobody_looks_is_only_bytes() {
    let nested = format!("{}{}", "[".repeat(4000), "]".repeat(4000));
    assert_eq!(outcome(format!(r#"{{"id":7,"request":"online","x":{nested}}}{}"#, "\n").as_bytes()), Outcome::Fine);
}

#[test]
fn a_request_of_16_kib_with_its_newline_is_just_not_too_long() {
    let mut line = br#"{"id":7,"request":"online"}"#.to_vec();
    line.resize(REQUEST_BYTES_MAX - 1, b' ');
    assert_eq!(read(&line), Step::Wait);
    line.push(b'\n');
    assert_eq!(outcome(&line), Outcome::Fine);
    line.insert(0, b' ');
    assert!(matches!(outcome(&line), Outcome::Violation(_)));
}

#[test]
fn nothing_of_what_a_client_wrote_is_told_back() {
    let marks = ["\u{7f}", "\u{85}", "\u{202e}", "QQ", "\\u001b"];
    for mark in marks {
        let long = mark.repeat(4000 / mark.len());
        for field in [
            "id",
            "request",
            "mechanism",
            "message",
            "device",
            "to",
            "text",
            "counter",
            "receipt",
            "number",
            "user",
            "stored-key",
            "server-key",
            "password",
            "classic",
            "answer",
            "port",
            "certificate",
        ] {
            for value in [format!("\"{long}\""), format!("[\"{long}\"]"), format!("{{\"{long}\":1}}")] {
                for request in [
                    "log-in",
                    "authenticate",
                    "message",
                    "acknowledge",
                    "history",
                    "block",
                    "sign-up",
                    "password",
                    "user-add",
                    "user-password",
                    "ask-address\",\"user\":\"bob",
                    "consent\",\"user\":\"bob",
                    "consent\",\"user\":\"bob\",\"answer\":true,\"port\":6002,\"x\":\"",
                ] {
                    let request =
                        if field == "request" { String::new() } else { format!("\"request\":\"{request}\",") };
                    let line = format!("{{{request}\"{field}\":{value}}}\n");
                    if let Outcome::Refused(reply) | Outcome::Violation(reply) = outcome(line.as_bytes()) {
                        assert!(!marks.iter().any(|mark| reply.contains(mark)), "{reply}");
                        assert!(!reply.contains("u{"), "{reply}");
                    }
                }
            }
        }
    }
}
