//! The native protocol: JSON, one object a line, UTF-8. docs/PROTOCOL.md specifies it.
//!
//! `server` reads requests and writes answers and events; `client` does the reverse.

pub mod client;
pub mod peer;
pub mod server;
mod shape;

/// The longest request, with its newline, in bytes. Every text of a message fits into it: 4096 bytes become at most 8192
/// where only what must be is escaped, and 12,288 where all but ASCII is.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// The longest line of the server's, with its newline, in bytes.
pub const SERVER_LINE_BYTES_MAX: usize = 64 * 1024;
/// The most messages in one answer to `history`.
pub const HISTORY_LIMIT_MAX: usize = 500;
/// How many messages `history` brings unless told otherwise.
pub const HISTORY_LIMIT_DEFAULT: usize = 100;
