//! A connected stream, what waits to be written to it, and what encrypts it, if something does.
//!
//! mio tells only once that there is something to read, or room to write: a pipe remembers it until the stream says that
//! there is not.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Registry, event::Source};

use super::conversation::{Conversation, End};

/// How much is read at once of what nobody wants any more, in bytes.
const UNWANTED_BYTES: usize = 4096;

pub(super) struct Pipe {
    stream: TcpStream,
    tls: Option<Box<Conversation>>,
    readable: bool,
    writable: bool,
    /// Not encrypted, or not written, yet.
    out: Vec<u8>,
    /// Nothing is written any more.
    shut: bool,
}

impl Pipe {
    pub(super) fn new(stream: TcpStream, tls: Option<Conversation>) -> Pipe {
        // Whether it is so is found out by trying.
        Pipe { stream, tls: tls.map(Box::new), readable: true, writable: true, out: Vec::new(), shut: false }
    }

    /// Takes note of what the poll says.
    pub(super) fn stir(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_error();
    }

    /// There may be something to read.
    pub(super) fn is_readable(&self) -> bool {
        self.readable
    }

    pub(super) fn tls(&self) -> Option<&Conversation> {
        self.tls.as_deref()
    }

    pub(super) fn tls_mut(&mut self) -> Option<&mut Conversation> {
        self.tls.as_deref_mut()
    }

    /// The handshake goes on.
    pub(super) fn is_shaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_shaking())
    }

    /// Whether the handshake is through; true only once.
    pub(super) fn settled(&mut self) -> bool {
        self.tls.as_mut().is_some_and(|tls| tls.settled())
    }

    pub(super) fn local_address(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    pub(super) fn remote_address(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    /// Bytes that wait to be written, beside those that are encrypted already.
    pub(super) fn waiting(&self) -> usize {
        self.out.len()
    }

    /// Puts bytes behind those that wait to be written.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Reads at most `limit` bytes, and puts what the other end said behind `bytes`. Comes back: why nothing more comes.
    pub(super) fn read(&mut self, bytes: &mut Vec<u8>, limit: usize) -> Option<End> {
        if !self.readable {
            return None;
        }
        match &mut self.tls {
            Some(tls) => tls.read(&mut self.stream, &mut self.readable, bytes, limit),
            None => read_plain(&mut self.stream, &mut self.readable, bytes, limit),
        }
    }

    /// Writes what waits, as far as there is room. After an error there may still be something to read.
    pub(super) fn write(&mut self) -> io::Result<()> {
        let written = match &mut self.tls {
            Some(tls) => tls.write(&mut self.stream, &mut self.out, &mut self.writable),
            None => write_plain(&mut self.stream, &mut self.out, &mut self.writable),
        };
        if written.is_err() {
            // The other end's last words may be there, and reading tells the error again.
            self.out.clear();
            self.readable = true;
        }
        written
    }

    /// Says goodbye, if there is room for it at once; the other end finds out anyway.
    pub(super) fn close(&mut self) {
        self.out.clear();
        self.writable = true;
        if let Some(tls) = &mut self.tls {
            tls.say_goodbye();
            let _ = self.write();
        }
    }

    /// Writes what waits and the goodbye behind it, then waits for the other end to close: whoever closes while something comes
    /// in takes back what is still on its way out. True when all this is done, or can't be.
    pub(super) fn part(&mut self) -> bool {
        if self.write().is_err() {
            return true;
        }
        if self.out.is_empty() && !self.shut {
            if let Some(tls) = &mut self.tls {
                tls.say_goodbye();
            }
            if self.write().is_err() {
                return true;
            }
            if !self.tls.as_ref().is_some_and(|tls| tls.wants_write()) && self.end_writing().is_err() {
                return true;
            }
        }
        self.has_closed()
    }

    /// Nothing is written any more, and the other end is told so.
    pub(super) fn end_writing(&mut self) -> io::Result<()> {
        self.shut = true;
        self.stream.shutdown(Shutdown::Write)
    }

    /// Whether the other end has closed. What it says meanwhile is not wanted; a bounded part of it is read.
    fn has_closed(&mut self) -> bool {
        let mut unwanted = [0; UNWANTED_BYTES];
        if !self.readable {
            return false;
        }
        match self.stream.read(&mut unwanted) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                false
            }
            Err(error) => error.kind() != ErrorKind::Interrupted,
        }
    }

    /// A stream that can't be taken out of the poll leaves it when it is closed.
    pub(super) fn leave(&mut self, registry: &Registry) {
        let _ = self.stream.deregister(registry);
    }
}

fn read_plain(stream: &mut TcpStream, readable: &mut bool, bytes: &mut Vec<u8>, limit: usize) -> Option<End> {
    bytes.resize(limit, 0);
    let mut filled = 0;
    let end = loop {
        if filled == bytes.len() {
            break None;
        }
        match stream.read(&mut bytes[filled..]) {
            Ok(0) => break Some(End::Ended),
            Ok(n) => filled += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                *readable = false;
                break None;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => break Some(End::Broken(error)),
        }
    };
    bytes.truncate(filled);
    end
}

fn write_plain(stream: &mut TcpStream, out: &mut Vec<u8>, writable: &mut bool) -> io::Result<()> {
    while *writable && !out.is_empty() {
        match stream.write(out) {
            Ok(n) => drop(out.drain(..n)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => *writable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
