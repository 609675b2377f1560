//! Too much of everything, and too deep: whatever has a bound, one beyond it.

use serde_json::{Value, json};

use crate::scene::{Plain, Scene, ends_for, refused};

/// Bytes of a request with its newline.
const REQUEST_BYTES_MAX: usize = 16_384;
/// Bytes before the log-in.
const STRANGE_BYTES_MAX: usize = 4096;
const ALIVE: &str = "{\"id\":7,\"reply\":\"alive\"}\n";

fn line(mut request: Value) -> String {
    request["id"] = 7.into();
    format!("{request}\n")
}

/// A request that is as long as this with its newline, and does no harm.
fn padded(length: usize) -> String {
    let (start, end) = ("{\"id\":7,\"request\":\"alive\",\"x\":\"", "\"}\n");
    format!("{start}{}{end}", "x".repeat(length - start.len() - end.len()))
}

/// Requests with one thing in them that is too big, and their answers.
fn oversized() -> Vec<(String, String)> {
    let refuse = |request: Value, code: &str, text: &str| (line(request), refused(7, code, text));
    let log_in = |message: &str| json!({"request": "log-in", "mechanism": "SCRAM-SHA-256", "message": message});
    let integer = |field: &str| format!("'{field}' is a whole number from 0 to 9007199254740991");
    let unknown = "there is no such request; docs/PROTOCOL.md lists them";
    let (name, text) = ("a name has at most 32 characters", "a message has at most 4096 bytes; send it in parts");
    let without_id = |id: &str| {
        let line = format!("{{\"id\":{id},\"request\":\"alive\"}}\n");
        (line, ends_for("bad-request", &integer("id")))
    };
    let many_fields: String = (0..1500).map(|number| format!("\"{number}\":0,")).collect();
    vec![
        refuse(json!({"request": "message", "to": "bob", "text": "x".repeat(4097)}), "text-too-long", text),
        refuse(json!({"request": "broadcast", "text": "\n".repeat(4097)}), "text-too-long", text),
        refuse(json!({"request": "message", "to": "b".repeat(33), "text": "hi"}), "bad-name", name),
        refuse(json!({"request": "block", "user": "b".repeat(15_000)}), "bad-name", name),
        refuse(json!({"request": "x".repeat(15_000)}), "unknown-request", unknown),
        refuse(json!({"request": "history", "limit": 501}), "bad-request", "'limit' is 1 to 500"),
        refuse(json!({"request": "history", "limit": u64::MAX}), "bad-request", &integer("limit")),
        refuse(json!({"request": "history", "before": 1e300}), "bad-request", &integer("before")),
        refuse(
            json!({"request": "message", "to": "bob", "text": "hi", "counter": 1_u64 << 53}),
            "bad-request",
            &integer("counter"),
        ),
        refuse(
            log_in(&format!("n,,n=alice,r={}", "r".repeat(257))),
            "bad-request",
            "a nonce has 1 to 256 printable characters",
        ),
        refuse(log_in(&format!("n,,n={},r=r", "n".repeat(33))), "bad-request", "that is not a user name"),
        refuse(
            log_in(&"n,".repeat(7000)),
            "bad-request",
            "the first message is 'p=tls-exporter,,n=USER,r=NONCE', or begins with 'n,,'",
        ),
        refuse(
            json!({"request": "log-in", "mechanism": "SCRAM-SHA-256", "message": "n,,n=alice,r=r", "device": "a".repeat(33)}),
            "bad-request",
            "'device' is 32 hexadecimal digits",
        ),
        refuse(
            json!({"request": "password", "stored-key": "a".repeat(65), "server-key": "a".repeat(64)}),
            "bad-request",
            "'stored-key' is 64 hexadecimal digits",
        ),
        without_id("9007199254740992"),
        without_id(&"9".repeat(15_000)),
        without_id("1e999"),
        // What is only long, and means nothing, is no harm.
        (padded(REQUEST_BYTES_MAX), ALIVE.to_owned()),
        (format!("{{\"{}\":0,\"id\":7,\"request\":\"alive\"}}\n", "k".repeat(16_000)), ALIVE.to_owned()),
        (format!("{{{many_fields}\"id\":7,\"request\":\"alive\"}}\n"), ALIVE.to_owned()),
        (format!("{{\"id\":7,\"request\":\"{}\"}}\n", "\\u0061\\u006c\\u0069\\u0076\\u0065"), ALIVE.to_owned()),
    ]
}

#[test]
fn whatever_is_too_big_is_refused_by_name_and_a_line_that_is_ends_the_connection() {
    let scene = Scene::new();
    let mut alice = scene.log_in("alice");
    for (request, answer) in oversized() {
        assert!(request.len() <= REQUEST_BYTES_MAX);
        alice.say(request.as_bytes());
        assert_eq!(alice.line(), answer, "{}", &request[..request.len().min(200)]);
    }
    alice.say(padded(REQUEST_BYTES_MAX + 1).as_bytes());
    assert_eq!(alice.rest(), ends_for("too-long", "a request has at most 16384 bytes"));
    // A stranger has less room, for all requests together.
    let too_much = ends_for("too-much", "too much was sent before the log-in");
    let mut stranger = scene.connect();
    stranger.say(padded(STRANGE_BYTES_MAX).as_bytes());
    stranger.hears(&refused(7, "log-in-first", "log in first"));
    stranger.say(b"{");
    assert_eq!(stranger.rest(), too_much);
    let mut stranger = scene.connect();
    stranger.say(padded(STRANGE_BYTES_MAX + 1).as_bytes());
    assert_eq!(stranger.rest(), too_much);
    let mut flood = scene.connect();
    flood.say_what_fits(&[b'{'; 1 << 20]);
    assert_eq!(flood.rest_as_far_as_it_goes(), too_much);
    drop((alice, stranger, flood));
    scene.end(&[]);
}

/// Nested so deep, and closed again or not.
fn nested(open: &str, close: &str, depth: usize, closed: bool) -> String {
    open.repeat(depth) + &close.repeat(if closed { depth } else { 0 })
}

#[test]
fn deep_json_is_read_or_refused_and_never_climbed() {
    let scene = Scene::new();
    let mut alice = scene.log_in("alice");
    let not_json = |why: &str| ends_for("not-json", &format!("a request is a JSON object on a line{why}"));
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let (fill, ends) = match open {
            "[" => ("", ": EOF while parsing a list"),
            _ => ("0", ": EOF while parsing a value"),
        };
        for depth in [2, 100, 127, 128, 129, 1000, 2600] {
            let deep = nested(open, "", depth, false) + fill + &nested("", close, depth, true);
            // Where it means nothing it is passed over; where it should be a text it is none.
            alice.say(format!("{{\"x\":{deep},\"id\":7,\"request\":\"alive\"}}\n").as_bytes());
            assert_eq!(alice.line(), ALIVE, "{depth}");
            let request = format!("{{\"id\":7,\"request\":\"message\",\"to\":\"bob\",\"text\":{deep}}}\n");
            alice.say(request.as_bytes());
            assert_eq!(alice.line(), refused(7, "bad-request", "'text' is a string of Unicode text"), "{depth}");
            alice.say(format!("{{\"id\":{deep},\"request\":\"alive\"}}\n").as_bytes());
            assert_eq!(alice.line(), ends_for("bad-request", "'id' is a whole number from 0 to 9007199254740991"));
        }
        // Open to the end, at a stranger's and at a user's greatest length.
        let start = "{\"x\":";
        let endless = |length: usize| {
            let deep = open.repeat((length - start.len() - 1) / open.len());
            format!("{start}{deep}\n")
        };
        let mut stranger: Plain = scene.connect();
        stranger.say(endless(STRANGE_BYTES_MAX).as_bytes());
        assert_eq!(stranger.rest(), not_json(ends));
        let mut bob = scene.log_in("bob");
        bob.say(endless(REQUEST_BYTES_MAX).as_bytes());
        assert_eq!(bob.rest(), not_json(ends));
    }
    // Deep from the first byte on it is no object.
    let mut stranger = scene.connect();
    stranger.say(b"{\"id\":1,\"request\":\"online\"}\n");
    stranger.line();
    stranger.say(format!("{}\n", "[".repeat(3000)).as_bytes());
    assert_eq!(stranger.rest(), not_json(""));
    drop((alice, stranger));
    scene.end(&[]);
}
