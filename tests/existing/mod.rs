//! The existing programs of classic protocols, as far as the other end can tell: client and server of `request`, `session`,
//! `datagram` and `nick`. They are written from the description of the wires alone, with plain sockets and threads and nothing of
//! chatd's: what both got wrong in the same way would not show otherwise.
//!
//! They keep the weaknesses of the programs whose places they take: a message is what one read brings, compared as a whole.
//! What one of those would come to grief by is recorded for the test instead. Dropping a program ends its threads and sockets.
#![allow(dead_code)] // Each test file uses its part.

pub mod datagram_client;
pub mod datagram_message;
pub mod datagram_server;
pub mod digest;
pub mod journal;
pub mod nick_client;
pub mod nick_server;
pub mod python;
pub mod request_client;
pub mod request_server;
pub mod session_cipher;
pub mod session_client;
pub mod session_server;
pub mod sockets;

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::Duration;

/// No single thing that a test waits for takes longer on a working peer, however slow the machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Between two messages to the same client where nothing is framed, so that it takes them for two even on a machine that is busy.
pub const PAUSE: Duration = Duration::from_millis(250);

/// How a client came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was told, with this chunk.
    Told(String),
    /// By a reset: how a server gets rid of it.
    Reset,
    /// It spun on end of file, which it does not notice: it prints blanks for ever.
    SpunOnEndOfFile,
    /// It takes a connection that brings nothing for the end of the conversation.
    NothingBrought,
    /// It died of a chunk that it could not decode: half a character, or one that is not ASCII where only ASCII is read.
    Undecodable(Vec<u8>),
    /// It waited for a chunk in vain, for [`LIMIT`].
    Silence,
    /// It ended the session itself, and the server closed.
    LoggedOff,
    /// Nobody listened where it was told to connect.
    NobodyListens,
    /// It took this for a control word, and died of what stands, or does not stand, behind the word.
    Misled(String),
    /// It died of this message, which has fewer words than it counts on.
    TooFewWords(String),
    /// It died of a datagram that is no literal, or not one of a message.
    NoMessage(Vec<u8>),
}

/// What a client has done to a server that this could not cope with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A connection that ended before it had said anything.
    NothingBrought,
    Undecodable(Vec<u8>),
    /// Something else where the server compares with `ok`.
    NotOk(String),
    /// Bytes behind the chunk that the server reads, and so lost to it.
    Surplus(Vec<u8>),
    /// The client stays connected where it is to close.
    StaysOpen,
    /// A chunk that is no request.
    NoRequest(String),
    /// A text that was deciphered with the wrong part of the key: it is the rest of a message, or two in one.
    Rubbish(String),
    /// What the side that was called said before it had confirmed the chat: it is lost.
    BeforeCheck(String),
    /// A datagram that is no message.
    NoMessage(Vec<u8>),
    /// A datagram whose digest is not that of this text, which is what its message is once read and written again.
    WrongDigest {
        rewritten: String,
    },
    /// A request from an address that nobody has logged in from, or in the name of somebody who has not.
    NotLoggedIn(String),
    /// The client did not take this delivery, or not whole.
    Undelivered {
        to: String,
        text: String,
    },
}

/// What one read has brought.
pub enum Received {
    Bytes(Vec<u8>),
    EndOfFile,
    Reset,
    /// Nothing within the read timeout of the socket.
    Silence,
}

/// Reads once, `size` bytes at most.
pub fn receive(mut stream: &TcpStream, size: usize) -> Received {
    let mut bytes = vec![0; size];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return Received::EndOfFile,
            Ok(length) => {
                bytes.truncate(length);
                return Received::Bytes(bytes);
            }
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => {}
                ErrorKind::WouldBlock | ErrorKind::TimedOut => return Received::Silence,
                _ => return Received::Reset,
            },
        }
    }
}

/// ASCII, and nothing else.
pub fn decode_ascii(bytes: Vec<u8>) -> Result<String, Vec<u8>> {
    if bytes.is_ascii() { decode_utf8(bytes) } else { Err(bytes) }
}

/// UTF-8 that is whole by itself.
pub fn decode_utf8(bytes: Vec<u8>) -> Result<String, Vec<u8>> {
    String::from_utf8(bytes).map_err(|error| error.into_bytes())
}
