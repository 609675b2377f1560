//! The loop and everything that touches a socket: the only user of mio. No rule of the chat, no byte of a protocol.

mod clock;
mod connection;
pub mod link;
mod listener;
pub mod queue;
pub mod scope;
pub mod slots;
mod turn;
mod worker;

/// The server.
pub mod server {
    pub use super::turn::{ALL_OUT_BYTES_MAX, Ended, Options, Server, Stopper};
}
