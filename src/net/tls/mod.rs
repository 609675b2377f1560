//! TLS on the server's side: what lies between a connection's socket and its lines.
//!
//! Knows neither sockets nor protocols. rustls is driven by hand (read_tls, process_new_packets, write_tls), so that
//! encryption is part of a turn like everything else: a bounded amount of it, and never waiting.

pub mod identity;

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};

use crate::hub::scram::ChannelBinding;

/// Plaintext that is encrypted ahead of the socket, at most: what is encrypted can't be taken back.
const AHEAD_BYTES_MAX: usize = 64 * 1024;

/// The encryption of one connection.
pub struct Tls {
    session: ServerConnection,
    /// Came before the handshake was complete, in bytes.
    shaken: usize,
    /// Came since the peer last said something, in bytes: what does not come to anything may be kept meanwhile.
    unheard: usize,
    /// Plaintext that was encrypted and is not completely written yet, in bytes.
    ahead: usize,
    /// Our end was announced.
    closing: bool,
    /// The peer has announced its end.
    ended: bool,
}

/// What the peer sent does not keep to the protocol, and why. The alert that says so is to be written.
#[derive(Debug)]
pub struct Violation(pub String);

impl Tls {
    pub fn new(config: &Arc<ServerConfig>) -> Result<Tls, rustls::Error> {
        let mut session = ServerConnection::new(Arc::clone(config))?;
        session.set_buffer_limit(Some(AHEAD_BYTES_MAX));
        Ok(Tls { session, shaken: 0, unheard: 0, ahead: 0, closing: false, ended: false })
    }

    pub fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// How many bytes the peer has needed for its handshake so far.
    pub fn shaken(&self) -> usize {
        self.shaken
    }

    /// How many bytes have come since the peer last said something.
    pub fn unheard(&self) -> usize {
        self.unheard
    }

    /// Whether the peer has announced its end. What comes after that counts for nothing.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Takes what came from the socket, and appends what it says to `plain`.
    pub fn take(&mut self, mut raw: &[u8], plain: &mut Vec<u8>) -> Result<(), Violation> {
        while !raw.is_empty() && !self.ended {
            let handshaking = self.session.is_handshaking();
            // It takes a part at a time.
            let taken = self.session.read_tls(&mut raw).map_err(|error| Violation(error.to_string()))?;
            if handshaking {
                self.shaken += taken;
            }
            self.unheard += taken;
            let state = self.session.process_new_packets().map_err(|error| Violation(error.to_string()))?;
            let waits = state.plaintext_bytes_to_read();
            if waits > 0 {
                self.unheard = 0;
                let start = plain.len();
                plain.resize(start + waits, 0);
                // All of it is there, as it has just said.
                let read = self.session.reader().read(&mut plain[start..]).unwrap_or(0);
                plain.truncate(start + read);
            }
            self.ended = state.peer_has_closed();
        }
        Ok(())
    }

    /// What only the two ends of this connection know (RFC 9266). `None` while the handshake goes on.
    pub fn binding(&self) -> Option<ChannelBinding> {
        let exported = [0; ChannelBinding::BYTES];
        self.session.export_keying_material(exported, ChannelBinding::LABEL, Some(&[])).ok().map(ChannelBinding)
    }

    /// Encrypts as much of `pieces` as may be encrypted ahead. Comes back: how many bytes.
    pub fn encrypt(&mut self, pieces: &[IoSlice<'_>]) -> usize {
        if self.session.is_handshaking() {
            return 0;
        }
        // It writes to memory, which does not fail.
        let taken = self.session.writer().write_vectored(pieces).unwrap_or(0);
        self.ahead += taken;
        taken
    }

    /// Whether something encrypted is to be written.
    pub fn wants_write(&self) -> bool {
        self.session.wants_write()
    }

    /// Plaintext that is encrypted and not completely written, in bytes.
    pub fn ahead(&self) -> usize {
        self.ahead
    }

    /// One write of what is encrypted, if there is something. False: the socket takes no more now.
    pub fn write(&mut self, socket: &mut impl Write) -> io::Result<bool> {
        if !self.session.wants_write() {
            return Ok(true);
        }
        let mut once = Once { socket, all: true };
        let written = match self.session.write_tls(&mut once) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(error.kind() == io::ErrorKind::Interrupted);
            }
            written => written?,
        };
        let all = once.all;
        // Encrypted it is a little longer; what counts is that it shrinks as the peer reads.
        self.ahead = match self.session.wants_write() {
            true => self.ahead.saturating_sub(written).max(self.ahead.min(1)),
            false => 0,
        };
        Ok(all)
    }

    /// The peer does not keep to the protocol: it ends with the alert that says so, if there is one, and without the goodbye
    /// that would make it look orderly.
    pub fn give_up(&mut self) {
        self.closing = true;
    }

    /// Announces our end (`close_notify`); it is still to be written.
    pub fn close(&mut self) {
        if !self.closing {
            self.closing = true;
            self.session.send_close_notify();
        }
    }
}

/// A socket that remembers whether it took all that it was offered.
struct Once<'a, W> {
    socket: &'a mut W,
    all: bool,
}

impl<W: Write> Write for Once<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.socket.write(bytes)?;
        self.all = written == bytes.len();
        Ok(written)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = match pieces {
            // Mostly there is one, and the kernel takes that with less ado.
            [one] => self.socket.write(one)?,
            _ => self.socket.write_vectored(pieces)?,
        };
        self.all = written == pieces.iter().map(|piece| piece.len()).sum::<usize>();
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(..)")
    }
}
