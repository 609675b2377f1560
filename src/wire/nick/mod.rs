//! The `nick` protocol (protocols.md, section 5): a nickname and a shared room, bare text over one TCP connection.
//!
//! There is no framing: a chunk is a message, and so is a line. `server` is chatd's side, `client` is `chat`'s.

pub mod client;
pub mod server;

/// What the client reads at once, in bytes.
pub const READ_BYTES_MAX: usize = 1024;
/// The longest chunk that a client may say, in bytes: a text, its prefix and a newline.
pub const CHUNK_BYTES_MAX: usize = crate::hub::text::TEXT_BYTES_MAX + 64;
