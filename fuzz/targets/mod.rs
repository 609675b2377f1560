//! What is fuzzed, one file a target: each takes any bytes and panics where something does not hold that must.
//!
//! The fuzzer runs these bodies (fuzz_targets/), and tests/fuzz_corpus.rs replays the corpora through the same ones.

pub mod classic_answers;
pub mod datagram_clients;
pub mod datagrams;
pub mod files;
pub mod front;
pub mod literals;
pub mod native_answers;
pub mod native_requests;
pub mod nick_clients;
pub mod peer_lines;
pub mod request_clients;
pub mod scram;
mod script;
pub mod session_clients;
pub mod session_messages;
pub mod tls_inside;
mod unframed;
mod world;

/// A target: its name, which is that of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 15] = [
    ("native_requests", native_requests::run),
    ("native_answers", native_answers::run),
    ("request_clients", request_clients::run),
    ("nick_clients", nick_clients::run),
    ("session_clients", session_clients::run),
    ("datagram_clients", datagram_clients::run),
    ("session_messages", session_messages::run),
    ("literals", literals::run),
    ("datagrams", datagrams::run),
    ("classic_answers", classic_answers::run),
    ("peer_lines", peer_lines::run),
    ("front", front::run),
    ("tls_inside", tls_inside::run),
    ("scram", scram::run),
    ("files", files::run),
];
