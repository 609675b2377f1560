//! The client's side: what `chat` writes, and what it makes of what a server says.
