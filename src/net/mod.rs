//! The loop and everything that touches a socket: the only user of mio. No rule of the chat, no byte of a protocol.

mod clock;
mod connection;
pub mod fingerprint;
pub mod link;
mod listener;
pub mod queue;
pub mod scope;
pub mod server;
pub mod slots;
pub mod tls;
mod worker;
