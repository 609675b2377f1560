//! Each room keeps to what it may know: the sources are read, and whoever reaches too far is named.

use std::fs;
use std::path::{Path, PathBuf};

/// A room, and what its sources may not name.
struct Room {
    path: &'static str,
    forbidden: &'static [&'static str],
}

/// What would tie the turn to the machine: the simulation runs it in virtual time.
const OUTSIDE_THE_TURN: &[&str] = &[
    "mio",
    "std::net::Tcp",
    "std::fs",
    "std::thread",
    "mpsc",
    "SystemTime",
    "std::time::Instant",
    "Instant::now",
    "Clock",
    "rand",
];

const ROOMS: [Room; 18] = [
    Room {
        path: "src/hub",
        forbidden: &[
            "crate::wire",
            "crate::net",
            "crate::store",
            "crate::client",
            "mio",
            "rusqlite",
            "std::net::Tcp",
            "std::net::Udp",
            "std::fs",
            "std::thread",
            "std::io",
            "SystemTime",
            "std::time::Instant",
            "Instant::now",
            "rand::rng()",
            "SysRng",
            "log::",
            "println",
        ],
    },
    Room {
        path: "src/wire",
        forbidden: &[
            "crate::net",
            "crate::store",
            "crate::client",
            "mio",
            "rusqlite",
            "std::net::Tcp",
            "std::net::Udp",
            "std::fs",
            "std::thread",
            "SystemTime",
            "std::time::Instant",
            "Instant::now",
            "rand",
            "log::",
            "println",
        ],
    },
    Room { path: "src/net", forbidden: &["crate::client", "rusqlite", "serde_json", "clap", "println"] },
    Room { path: "src/net/turn.rs", forbidden: OUTSIDE_THE_TURN },
    Room { path: "src/net/turn", forbidden: OUTSIDE_THE_TURN },
    Room { path: "src/net/arrivals.rs", forbidden: OUTSIDE_THE_TURN },
    Room { path: "src/net/connection.rs", forbidden: OUTSIDE_THE_TURN },
    Room { path: "src/net/queue.rs", forbidden: OUTSIDE_THE_TURN },
    Room { path: "src/net/callee.rs", forbidden: OUTSIDE_THE_TURN },
    Room { path: "src/net/correspondent.rs", forbidden: OUTSIDE_THE_TURN },
    Room { path: "src/net/reflection.rs", forbidden: OUTSIDE_THE_TURN },
    Room { path: "src/net/replies.rs", forbidden: OUTSIDE_THE_TURN },
    Room { path: "src/net/timers.rs", forbidden: OUTSIDE_THE_TURN },
    Room { path: "src/net/posts.rs", forbidden: OUTSIDE_THE_TURN },
    Room { path: "src/net/under_way.rs", forbidden: OUTSIDE_THE_TURN },
    Room {
        path: "src/store",
        forbidden: &["crate::wire", "crate::net", "crate::client", "mio", "serde_json", "std::net::Tcp", "println"],
    },
    Room { path: "src/client", forbidden: &["crate::hub", "crate::store", "mio", "rusqlite", "std::net::TcpStream"] },
    Room { path: "src/bin/chat.rs", forbidden: &["hub::", "store::", "mio", "rusqlite"] },
];

#[test]
fn no_room_reaches_for_what_it_may_not_know() {
    let mut trespasses = Vec::new();
    for room in &ROOMS {
        for file in sources(Path::new(room.path)) {
            let text = fs::read_to_string(&file).expect("a source file");
            for (index, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                for word in room.forbidden.iter().filter(|word| names(code, word)) {
                    trespasses.push(format!("{}:{}: {word}", file.display(), index + 1));
                }
            }
        }
    }
    assert!(trespasses.is_empty(), "{trespasses:#?}");
}

/// Whether a line of code names a path or a word, as a whole.
fn names(code: &str, word: &str) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word).any(|(at, _)| {
        let (before, after) = (code[..at].chars().next_back(), code[at + word.len()..].chars().next());
        let begins_whole = !word.starts_with(char::is_alphanumeric) || !is_word(before);
        let open_end = word.ends_with("::") || word.ends_with("()") || word.ends_with("Tcp") || word.ends_with("Udp");
        begins_whole && (open_end || !is_word(after))
    })
}

/// The sources below a path, without the tests inside the rooms.
fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).expect("a room") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "tests") {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_check_can_fail() {
    assert!(names("use crate::net::queue;", "crate::net"));
    assert!(names("use mio::Poll;", "mio"));
    assert!(!names("let min = mionine;", "mio"));
    assert!(!names("use crate::network;", "crate::net"));
    assert!(names("log::info!(\"x\")", "log::"));
    assert!(!names("catalog::x", "log::"));
}
