//! docs/LIMITS.md against the source: each value is the constant's that it names, and no bound is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use chatd::hub::Config;

const PAGE: &str = include_str!("../docs/LIMITS.md");

/// Bounds that nobody on the other side of a connection can push against, or that stand on the page under another name.
const OF_OUR_OWN: &[(&str, &str)] = &[
    ("bin/chatd/user.rs", "BUSY_WITHIN"),          // for another chatd to end
    ("client/batch/lines.rs", "LINE_BYTES_MAX"),   // of one's own input
    ("client/command.rs", "SECONDS_MAX"),          // typed by the person
    ("client/connection.rs", "PAUSE_MIN"),         // where the pauses begin
    ("client/core.rs", "ACKNOWLEDGE_WITHIN"),      // a habit
    ("client/core.rs", "HEARTBEAT_MIN"),           // a habit
    ("client/core.rs", "INTEGER_MAX"),             // a number, and no bound
    ("client/interactive.rs", "CHANGE_WITHIN"),    // of a command
    ("client/interactive/editor.rs", "LINES_MAX"), // typed by the person
    ("client/mod.rs", "LINE_BYTES_MAX"),           // typed by the person
    ("client/operator.rs", "ANSWER_WITHIN"),       // of a command
    ("client/passwords.rs", "LINE_BYTES_MAX"),     // one's own file
    ("client/state.rs", "FILE_BYTES_MAX"),         // one's own file
    ("hub/devices.rs", "UNWRITTEN_MAX"),           // when a cursor is written
    ("net/connection.rs", "PIECES_MAX"),           // of a write
    ("net/link.rs", "EVENTS_MAX"),                 // of a poll
    ("net/link/datagrams.rs", "READ_MAX"),         // of a turn
    ("net/link/server.rs", "READ_BYTES_MAX"),      // of a read
    ("net/link/peers.rs", "READ_BYTES_MAX"),       // of a read
    ("net/link/peers.rs", "READ_BYTES_MIN"),       // of a read
    ("net/link/peers.rs", "ACCEPTED_MAX"),         // of a turn
    ("net/listener.rs", "FREE_PORT_TRIES"),        // of a start
    ("net/listener.rs", "SESSION_PORT_TRIES"),     // of a start
    ("net/server.rs", "EVENTS_MAX"),               // of a poll
    ("net/server.rs", "FIELDS_BYTES_MAX"),         // a measure
    ("net/server.rs", "SOCKETS_MAX"),              // a measure
    ("net/slots.rs", "SLOTS_ADDED_MIN"),           // how a table grows
    ("hub/table.rs", "SLOTS_ADDED_MIN"),           // how a table grows
    ("net/turn.rs", "IDLE_TURNS_MAX"),             // a bug
    ("net/turn/apply.rs", "RUN_MAX"),              // how a queue is cut
    ("store/absences.rs", "VARINT_BYTES_MAX"),     // a format
    ("store/forget.rs", "ROWS_PER_STEP_MAX"),      // of a commit
    ("store/memory.rs", "MESSAGES_MAX"),           // what --memory has of history
    ("store/memory.rs", "TEXT_BYTES_MAX"),         // the same
    ("store/memory.rs", "VISITS_PER_USER_MAX"),    // the same
    ("store/mod.rs", "QUERIES_WAITING_MAX"),       // more than the turn asks
    ("store/open.rs", "WAL_BYTES_MAX"),            // a file
    ("store/snapshot.rs", "WAITING_MAX"),          // of a start
    ("store/writer.rs", "GROUP_BATCHES_MAX"),      // of a commit
    ("store/writer.rs", "GROUP_CHANGES_MAX"),      // of a commit
    ("wire/native/server.rs", "ACCOUNTS_MAX"),     // of a line
    ("wire/native/server.rs", "INTEGER_MAX"),      // a number, and no bound
    ("wire/native/server.rs", "LIST_BYTES_MAX"),   // of a line
    ("wire/native/server.rs", "NAMES_MAX"),        // of a line
];

/// A row of the page: the value, in milliseconds where it is a time; the file and the name.
struct Row {
    line: &'static str,
    value: Option<u64>,
    file: &'static str,
    name: &'static str,
}

fn rows() -> Vec<Row> {
    let lines = PAGE.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| limit |"));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let [_, value, _, _, place] = cells[..] else { panic!("five cells: {line}") };
            let place: Vec<&str> = place.split('`').collect();
            let ["", file, " ", name, ""] = place[..] else { panic!("a file and a name: {line}") };
            Row { line, value: number(value), file, name }
        })
        .collect()
}

/// Reads `1,024`, `1 in 4`, `64 KiB`, `20 s`; `None`: no number.
fn number(cell: &str) -> Option<u64> {
    let (digits, unit) = match cell.strip_prefix("1 in ") {
        Some(share) => (share, ""),
        None => cell.split_once(' ').unwrap_or((cell, "")),
    };
    let number: u64 = digits.replace(',', "").parse().ok()?;
    Some(match unit {
        "" | "bytes" | "ms" => number,
        "KiB" => number << 10,
        "MiB" => number << 20,
        "s" => number * 1000,
        "d" => number * 86_400_000,
        other => panic!("a unit that this test does not know: {other}"),
    })
}

/// Each constant of the sources, outside of tests, with its expression.
fn constants() -> BTreeMap<(String, String), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut constants = BTreeMap::new();
    for path in sources(&root) {
        let file = path.strip_prefix(&root).expect("below").to_str().expect("UTF-8").to_owned();
        let text = fs::read_to_string(&path).expect("a source");
        let text = text.split("\nmod tests {").next().expect("a part");
        for line in text.lines() {
            let Some((head, rest)) =
                line.split_once("const ").and_then(|(head, rest)| Some((head, rest.split_once(": ")?)))
            else {
                continue;
            };
            let ((name, typed), is_public) = (rest, head.trim().starts_with("pub"));
            let Some((_, expression)) = typed.split_once(" = ").filter(|_| head.trim().is_empty() || is_public) else {
                continue;
            };
            constants.insert((file.clone(), name.to_owned()), expression.trim_end_matches(';').to_owned());
        }
    }
    constants
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let mut found = Vec::new();
    for path in entries {
        match path.is_dir() {
            true if path.ends_with("tests") => {}
            true => found.extend(sources(&path)),
            false if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") => {
                found.push(path);
            }
            false => {}
        }
    }
    found
}

/// What an expression of the few kinds that bounds are written in comes to; times in milliseconds.
fn value(expression: &str, constants: &BTreeMap<(String, String), String>) -> u64 {
    let inner = |prefix| expression.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(')'));
    if let Some(seconds) = inner("Duration::from_secs(") {
        return 1000 * value(seconds, constants);
    }
    if let Some(millis) = inner("Duration::from_millis(") {
        return value(millis, constants);
    }
    let words: Vec<&str> = expression.split(' ').collect();
    let mut result = atom(words[0], constants);
    for pair in words[1..].chunks(2) {
        let right = atom(pair[1], constants);
        result = match pair[0] {
            "*" => result * right,
            "+" => result + right,
            "-" => result - right,
            "<<" => result << right,
            other => panic!("an operator that this test does not know: {other} in {expression}"),
        };
    }
    result
}

fn atom(word: &str, constants: &BTreeMap<(String, String), String>) -> u64 {
    if let Ok(number) = word.replace('_', "").parse() {
        return number;
    }
    if let Some((module, name)) = word.strip_prefix("crate::").and_then(|path| path.rsplit_once("::")) {
        let place = (format!("{}.rs", module.replace("::", "/")), name.to_owned());
        return value(constants.get(&place).unwrap_or_else(|| panic!("no constant {word}")), constants);
    }
    let mut found = constants.iter().filter(|((_, name), _)| name == word).map(|(_, expression)| expression);
    let expression = found.next().unwrap_or_else(|| panic!("no constant {word}"));
    assert_eq!(found.next(), None, "{word} stands in two files");
    value(expression, constants)
}

#[test]
fn each_value_on_the_page_is_the_one_in_the_source() {
    let constants = constants();
    let config = Config::default();
    let millis = |time: std::time::Duration| time.as_millis() as u64;
    let set = BTreeMap::from([
        ("password_tries", u64::from(config.password_tries)),
        ("lockout", millis(config.lockout)),
        ("heartbeat_timeout", millis(config.heartbeat_timeout)),
        ("queue_expiry", millis(config.queue_expiry)),
        ("history_kept", millis(config.history_kept)),
    ]);
    let rows = rows();
    assert!(rows.len() > 90, "the page is read: {} rows", rows.len());
    for Row { line, value: said, file, name } in rows {
        let is = match set.get(name) {
            Some(&set) if file == "hub/mod.rs" => set,
            // What is left of the others: its arithmetic has a test of its own.
            _ if (file, name) == ("net/room.rs", "Room") => {
                assert_eq!(said, None);
                continue;
            }
            _ => {
                let key = (file.to_owned(), name.to_owned());
                value(constants.get(&key).unwrap_or_else(|| panic!("no such constant: {line}")), &constants)
            }
        };
        assert_eq!(said, Some(is), "{line}");
    }
    assert_eq!(config.messages_per_second, Some(chatd::hub::rate::MESSAGES_PER_SECOND));
}

#[test]
fn the_worked_examples_are_right() {
    use chatd::net::room::Room;
    let worked = "With a limit of 1024 there are 522 sessions, 232 connections without a log-in, 58 that are being told to go, \
                  58 calls and 58 posts; with 65,536 there are 62,880, 1024, 256, 256 and 1024.";
    assert!(PAGE.split_whitespace().collect::<Vec<_>>().join(" ").contains(worked), "correct it here too");
    assert_eq!(Room::of(1024), Room { sessions: 522, strangers: 232, parting: 58, calls: 58, posts: 58 });
    let large = Room { sessions: 62_880, strangers: 1024, parting: 256, calls: 256, posts: 1024 };
    assert_eq!(Room::of(65_536), large);
}

#[test]
fn no_bound_is_missing() {
    let said: BTreeSet<(String, String)> =
        rows().into_iter().map(|row| (row.file.to_owned(), row.name.to_owned())).collect();
    let own: BTreeSet<(String, String)> =
        OF_OUR_OWN.iter().map(|&(file, name)| (file.to_owned(), name.to_owned())).collect();
    let constants: BTreeSet<(String, String)> = constants().into_keys().collect();
    let is_bound =
        |name: &str| ["_MAX", "_MIN", "_WITHIN", "_SHARE", "_TRIES", "_WINDOW"].iter().any(|end| name.ends_with(end));
    for place in constants.iter().filter(|(_, name)| is_bound(name)) {
        assert!(said.contains(place) != own.contains(place), "on the page, or of our own: {place:?}");
    }
    for place in &own {
        assert!(constants.contains(place), "there is no {place:?} any more");
    }
}
