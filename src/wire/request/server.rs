//! The server's side: what clients say, and what they are told.
