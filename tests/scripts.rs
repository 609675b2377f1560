//! The scripts do what they say: each passes on the programs that these tests are built with, and leaves nothing behind.

use std::path::Path;
use std::process::{Command, Stdio};

fn passes(name: &str) {
    let programs = Path::new(env!("CARGO_BIN_EXE_chatd")).parent().unwrap();
    assert_eq!(Some(programs), Path::new(env!("CARGO_BIN_EXE_chat")).parent());
    let directory = tempfile::tempdir().unwrap();
    let mut script = Command::new(scripts().join(name).with_extension("sh"));
    script.env("CHATD_BIN_DIR", programs).env("TMPDIR", directory.path()).stdin(Stdio::null());
    let output = script.output().expect("bash");
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{error}");
    let last = out.lines().last().unwrap_or_default();
    assert!(last.starts_with(&format!("{name}: ")) && last.ends_with(" steps passed"), "{out}{error}");
    assert_eq!(error, "");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left behind");
}

fn scripts() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts"))
}

macro_rules! scenarios {
    ($($test:ident $name:literal)*) => {
        $(
            #[test]
            fn $test() {
                passes($name);
            }
        )*

        const SCENARIOS: &[&str] = &[$($name),*];
    };
}

scenarios! {
    an_acknowledgement_by_datagram "datagram-acknowledgement"
    contacts_by_datagram "datagram-contacts"
    messages_to_all_by_datagram "datagram-group"
    a_lost_acknowledgement_by_datagram "datagram-lost-acknowledgement"
    private_messages_by_datagram "datagram-private"
    sign_up_by_datagram "datagram-sign-up"
    the_demonstration_passes "demo"
    nicknames_in_a_room "nick"
    blocking_by_request "request-blocking"
    a_duplicate_log_in_by_request "request-duplicate"
    heartbeats_by_request "request-heartbeat"
    lock_out_by_request "request-lockout"
    offline_delivery_by_request "request-offline"
    peer_to_peer_by_request "request-private"
    the_end_of_the_server_by_request "request-shutdown"
    who_is_absent_and_then_there_by_session "session-absent-then-there"
    who_is_busy_by_session "session-busy"
    a_chat_closed_by_who_has_called_by_session "session-closed-by-a"
    a_chat_closed_by_who_was_called_by_session "session-closed-by-b"
    history_by_session "session-history"
    two_chats_at_once_by_session "session-two-chats"
}

#[test]
fn every_scenario_is_played() {
    let mut found: Vec<String> = std::fs::read_dir(scripts())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sh"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        // What they stand on.
        .filter(|name| name != "stage")
        .collect();
    found.sort();
    assert_eq!(found, SCENARIOS);
}
