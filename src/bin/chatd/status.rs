//! `chatd status`: how much there is of everything in a server that runs.

use std::io;
use std::path::Path;

use chatd::client::operator::{Done, Operator};
use chatd::wire::native::client::{Told, encode_status};
use chatd::wire::{Chat, Operation, Status, Traffic};

use crate::failure::{FAULT, Failure, UNAVAILABLE};
use crate::print;

pub fn run(directory: &Path, json: bool) -> Result<(), Failure> {
    let mut operator = Operator::connect(directory).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::unreachable(directory, &error),
        _ => {
            let text =
                format!("no chatd runs in {}: start it, or name its directory with --data-dir", directory.display());
            Failure::new(UNAVAILABLE, text)
        }
    })?;
    let done = operator.ask(Operation::Status).map_err(|failure| Failure::new(failure.status as u8, failure.text))?;
    let Done::Told(Told::Status(status)) = done else {
        return Err(Failure::new(FAULT, "the server's answer is for something else"));
    };
    let mut text = Vec::new();
    match json {
        true => encode_status(&status, &mut text),
        false => rows(&status).iter().for_each(|(name, count)| text.extend(format!("{name:<28} {count}\n").bytes())),
    }
    print(&text)
}

/// For people; scripts take `--json`.
fn rows(status: &Status) -> Vec<(&'static str, u64)> {
    let Status { chat, traffic } = *status;
    let Chat { sessions, online, accounts, devices, waiting, broadcasts, counters, asks, consents, unsaved } = chat;
    let Traffic { connections, strangers, deadlines, in_bytes, out_bytes, .. } = traffic;
    let Traffic { batches, batch_bytes, questions, descriptors, .. } = traffic;
    let mut rows = vec![
        ("connections", connections),
        ("  without a log-in", strangers),
        ("  with a deadline", deadlines),
        ("sessions", sessions),
        ("users online", online),
        ("accounts", accounts),
        ("devices remembered", devices),
        ("messages waiting", waiting),
        ("broadcasts kept", broadcasts),
        ("counters of wrong passwords", counters),
        ("questions for an address", asks),
        ("consents", consents),
        ("bytes to be written", out_bytes),
        ("bytes of unfinished requests", in_bytes),
        ("batches not on disk", batches),
        ("  bytes of them", batch_bytes),
        ("lost and to be stored again", unsaved),
        ("questions to the disk", questions),
    ];
    rows.extend(descriptors.map(|descriptors| ("descriptors", descriptors)));
    rows
}
