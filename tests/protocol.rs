//! The native protocol, byte by byte, without a socket: what each line means, what each error says, and that
//! docs/PROTOCOL.md says the same.

#[path = "protocol/golden.rs"]
mod golden;
#[path = "protocol/laws.rs"]
mod laws;
#[path = "protocol/malformed.rs"]
mod malformed;
#[path = "protocol/page.rs"]
mod page;
#[path = "protocol/samples.rs"]
mod samples;
