//! The `request` protocol (protocols.md, section 1): a short TCP connection for each request, and deliveries to the client's
//! own listening socket.
//!
//! Fields are separated by commas, and a chunk is a message: there is no framing. `server` is chatd's side, `client` is
//! `chat`'s.

pub mod client;
pub mod server;

/// What the client reads of a delivery, in bytes; what is beyond is lost.
pub const READ_BYTES_MAX: usize = 4096;
/// What a delivery has at most, in bytes: one segment, since a client reads once.
pub const DELIVERY_BYTES_MAX: usize = 1400;
/// The longest request, in bytes: a text, two names, the word and the commas.
pub const REQUEST_BYTES_MAX: usize = crate::hub::text::TEXT_BYTES_MAX + 128;
