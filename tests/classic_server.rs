//! The real server, to which programs speak that were there before it: the stand-ins of `existing`, and `chat` beside them.
//! What is expected stands in the description of the wires; each reply is compared whole.

mod existing;
mod support;

#[path = "classic_server/across.rs"]
mod across;
#[path = "classic_server/blocks.rs"]
mod blocks;
#[path = "classic_server/calls.rs"]
mod calls;
#[path = "classic_server/coming_and_going.rs"]
mod coming_and_going;
#[path = "classic_server/datagram.rs"]
mod datagram;
#[path = "classic_server/datagram_delivery.rs"]
mod datagram_delivery;
#[path = "classic_server/everybody.rs"]
mod everybody;
#[path = "classic_server/kill.rs"]
mod kill;
#[path = "classic_server/listeners.rs"]
mod listeners;
#[path = "classic_server/log_in.rs"]
mod log_in;
#[path = "classic_server/receipts.rs"]
mod receipts;
#[path = "classic_server/requests.rs"]
mod requests;
#[path = "classic_server/room.rs"]
mod room;
#[path = "classic_server/scene.rs"]
mod scene;
#[path = "classic_server/session.rs"]
mod session;
#[path = "classic_server/session_chat.rs"]
mod session_chat;
#[path = "classic_server/session_log_on.rs"]
mod session_log_on;
#[path = "classic_server/session_ports.rs"]
mod session_ports;
#[path = "classic_server/with_chat.rs"]
mod with_chat;
