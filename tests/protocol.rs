//! The protocols, byte by byte, without a socket: what each line means, what each error says, and, of the native one, that
//! docs/PROTOCOL.md says the same.

#[path = "protocol/datagram.rs"]
mod datagram;
#[allow(dead_code)]
#[path = "existing/datagram_message.rs"]
mod datagram_message;
#[allow(dead_code)]
#[path = "existing/digest.rs"]
mod digest;
#[path = "protocol/golden.rs"]
mod golden;
#[path = "protocol/laws.rs"]
mod laws;
#[path = "protocol/malformed.rs"]
mod malformed;
#[path = "protocol/nick.rs"]
mod nick;
#[path = "protocol/page.rs"]
mod page;
#[allow(dead_code)]
#[path = "existing/python.rs"]
mod python;
#[path = "protocol/request.rs"]
mod request;
#[path = "protocol/request_log_in.rs"]
mod request_log_in;
#[path = "protocol/samples.rs"]
mod samples;
#[path = "protocol/session.rs"]
mod session;
#[allow(dead_code)]
#[path = "existing/session_cipher.rs"]
mod session_cipher;
#[path = "protocol/unframed.rs"]
mod unframed;
#[path = "protocol/unframed_laws.rs"]
mod unframed_laws;
