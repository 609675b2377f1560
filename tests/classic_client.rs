//! The program `chat` in the place of the existing clients, at the stand-ins of the existing servers: what reaches the server, what
//! chat prints, and how it ends.

mod existing;
mod support;

#[path = "classic_client/chats.rs"]
mod chats;
#[path = "classic_client/commands.rs"]
mod commands;
#[path = "classic_client/datagrams.rs"]
mod datagrams;
#[path = "classic_client/log_in.rs"]
mod log_in;
#[path = "classic_client/private.rs"]
mod private;
#[path = "classic_client/room.rs"]
mod room;
#[path = "classic_client/scene.rs"]
mod scene;
#[path = "classic_client/sessions.rs"]
mod sessions;
