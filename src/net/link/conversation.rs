//! One connection's TLS, whichever end of it is ours, without a socket of its own: whoever drives it hands the stream in, and
//! nothing blocks.
//!
//! What a certificate is worth is judged by the verifiers that it was made with; how long a handshake may take, by its driver.

use std::io::{self, ErrorKind, Read, Write};

use rustls::pki_types::CertificateDer;
use rustls::{Connection, Error, HandshakeKind};

use super::tls::TlsFailure;
use crate::hub::fingerprint::Fingerprint;
use crate::hub::scram::ChannelBinding;
use crate::wire::nick::server::PROMPT;

/// A TLS record of a handshake, and of an alert: what the other end can begin with (RFC 8446, section 5.1).
const RECORDS_AT_FIRST: [u8; 2] = [0x16, 0x15];

pub(super) struct Conversation {
    connection: Connection,
    /// How much of `PROMPT` the other end has said before anything else. A server asks whoever is slow to begin for a
    /// nickname, and knows what comes late all the same.
    prompted: usize,
    /// The first byte that the other end said.
    first: Option<u8>,
    /// The handshake is not through, or nobody has asked yet whether it is.
    shaking: bool,
    /// What the other end may still say before the handshake is through, in bytes.
    patience: usize,
}

/// Why nothing more comes.
#[derive(Debug)]
pub(super) enum End {
    /// The other end closed, in order.
    Ended,
    /// The connection ended without a goodbye.
    CutOff,
    /// The handshake did not come about.
    Handshake(TlsFailure),
    /// TLS says so: what came does not keep to the protocol, is not good enough, or is an alert.
    Tls(Error),
    /// The connection broke.
    Broken(io::Error),
}

impl End {
    /// Of a connection that can't be written to, after what was there to read. That the other end has gone is no error of its own.
    pub(super) fn of_writing(error: io::Error) -> End {
        match error.kind() {
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => End::CutOff,
            _ => End::Broken(error),
        }
    }
}

impl Conversation {
    /// `patience`: what the other end may say before the handshake is through, in bytes; some of it is kept meanwhile.
    pub(super) fn new(connection: impl Into<Connection>, patience: usize) -> Conversation {
        Conversation { connection: connection.into(), prompted: 0, first: None, shaking: true, patience }
    }

    /// Reads from `stream`, which is cleared of `readable` when it has nothing more, until `limit` bytes are there or have been
    /// read. What the other end said is put behind `bytes`.
    pub(super) fn read(
        &mut self,
        stream: &mut impl Read,
        readable: &mut bool,
        bytes: &mut Vec<u8>,
        limit: usize,
    ) -> Option<End> {
        bytes.resize(limit, 0);
        let (mut filled, mut read) = (0, 0);
        let end = loop {
            match self.connection.reader().read(&mut bytes[filled..]) {
                Ok(0) if filled == limit => break None,
                Ok(0) => break Some(End::Ended),
                Ok(n) => {
                    filled += n;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break Some(self.cut_off()),
                Err(_) => {}
            }
            if read >= limit {
                break None;
            }
            let shaking = self.connection.is_handshaking();
            let mut tap = Tap { stream, prompted: &mut self.prompted, first: &mut self.first };
            let taken = match self.connection.read_tls(&mut tap) {
                Ok(taken) => taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    *readable = false;
                    break None;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) if self.shaking && self.first.is_none() => break Some(self.cut_off()),
                Err(error) => break Some(End::Broken(error)),
            };
            read += taken;
            if let Err(error) = self.connection.process_new_packets() {
                break Some(if self.is_not_tls() { End::Handshake(TlsFailure::NotTls) } else { End::Tls(error) });
            }
            if shaking {
                self.patience = self.patience.saturating_sub(taken);
                if self.patience == 0 && self.connection.is_handshaking() {
                    let why = "it says more than a handshake takes".to_owned();
                    break Some(End::Handshake(TlsFailure::Other(why)));
                }
            }
        };
        bytes.truncate(filled);
        end
    }

    /// Writes to `stream`, which is cleared of `writable` when it takes no more, what is to be said of `out`.
    pub(super) fn write(&mut self, stream: &mut impl Write, out: &mut Vec<u8>, writable: &mut bool) -> io::Result<()> {
        while *writable && (self.connection.wants_write() || !out.is_empty() && !self.shaking) {
            if !self.shaking {
                // It takes as much as its buffer, which is bounded, has room for.
                let taken = self.connection.writer().write(out)?;
                out.drain(..taken);
                if taken == 0 && !self.connection.wants_write() {
                    break;
                }
            }
            match self.connection.write_tls(stream) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => *writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the handshake is through; true only once.
    pub(super) fn settled(&mut self) -> bool {
        if !self.shaking || self.connection.is_handshaking() {
            return false;
        }
        self.shaking = false;
        true
    }

    /// Nobody was told yet that the handshake is through.
    pub(super) fn is_shaking(&self) -> bool {
        self.shaking
    }

    /// Of the certificate that the other end has shown, whose key it has shown to have when the handshake is through.
    pub(super) fn certificate(&self) -> Option<Fingerprint> {
        self.connection.peer_certificates().and_then(<[CertificateDer]>::first).map(|shown| Fingerprint::of(shown))
    }

    /// To bind a log-in to this connection with.
    pub(super) fn binding(&mut self) -> Result<ChannelBinding, Error> {
        let binding = [0; ChannelBinding::BYTES];
        self.connection.export_keying_material(binding, ChannelBinding::LABEL, Some(&[])).map(ChannelBinding)
    }

    /// An earlier connection goes on.
    pub(super) fn is_resumed(&self) -> bool {
        self.connection.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// What is spoken inside, as both ends agreed (RFC 7301).
    pub(super) fn protocol(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// Something encrypted is to be written.
    pub(super) fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Puts the goodbye behind what is to be written; nothing can be said after it.
    pub(super) fn say_goodbye(&mut self) {
        self.connection.send_close_notify();
    }

    fn cut_off(&self) -> End {
        match self.first {
            None if self.shaking => End::Handshake(TlsFailure::ClosedAtOnce),
            Some(_) if self.is_not_tls() => End::Handshake(TlsFailure::NotTls),
            _ => End::CutOff,
        }
    }

    fn is_not_tls(&self) -> bool {
        self.shaking && self.first.is_some_and(|first| !RECORDS_AT_FIRST.contains(&first))
    }
}

/// Lets bytes through but a `PROMPT` before all others, and notes the first.
struct Tap<'a, S> {
    stream: &'a mut S,
    prompted: &'a mut usize,
    first: &'a mut Option<u8>,
}

impl<S: Read> Read for Tap<'_, S> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut count = self.stream.read(bytes)?;
            let was_end = count == 0;
            if self.first.is_none() {
                let due = &PROMPT[*self.prompted..];
                let prompt = bytes[..count].iter().zip(due).take_while(|(said, due)| said == due).count();
                *self.prompted += prompt;
                bytes.copy_within(prompt..count, 0);
                count -= prompt;
            }
            if let Some(&byte) = bytes[..count].first() {
                // What began like a prompt and is none is no TLS, whatever follows.
                let is_broken = (1..PROMPT.len()).contains(self.prompted);
                self.first.get_or_insert(if is_broken { PROMPT[0] } else { byte });
            }
            if count > 0 || was_end {
                return Ok(count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads so much at a time, whatever there is room for.
    struct Piecemeal<'a>(&'a [u8], usize);

    impl Read for Piecemeal<'_> {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(bytes.len());
            self.0.read(&mut bytes[..count])
        }
    }

    /// What comes through, and what counts as the first byte.
    fn tapped(said: &[u8], at_a_time: usize) -> (Vec<u8>, Option<u8>) {
        let (mut prompted, mut first) = (0, None);
        let mut through = Vec::new();
        let mut stream = Piecemeal(said, at_a_time);
        Tap { stream: &mut stream, prompted: &mut prompted, first: &mut first }.read_to_end(&mut through).unwrap();
        (through, first)
    }

    #[test]
    fn the_question_for_a_nickname_is_passed_over_however_it_is_split() {
        for at_a_time in 1..9 {
            assert_eq!(tapped(b"NICK\x16\x03NICK", at_a_time), (b"\x16\x03NICK".to_vec(), Some(0x16)));
            assert_eq!(tapped(b"\x16\x03", at_a_time), (b"\x16\x03".to_vec(), Some(0x16)));
            assert_eq!(tapped(b"NICK", at_a_time), (vec![], None));
            assert_eq!(tapped(b"NICKNICK", at_a_time).1, Some(b'N'), "once");
            assert_eq!(tapped(b"NIX\x16", at_a_time).1, Some(b'N'), "what is no such question is no TLS");
        }
    }
}
