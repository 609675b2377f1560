//! Whether the server is the one it should be, as far as TLS can tell: what is known of its certificate, what to do when a
//! log-in has proved a new one, and what to say when it is another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::connection::Target;
use super::exit::{Failure, Status};
use super::known_servers::KnownServers;
use super::render::visible_line;
use crate::net::link::tls::{Tls, TlsFailure};
use crate::wire::Fingerprint;

/// Of one server, for one run. Clones share what they learn.
#[derive(Clone)]
pub struct Trust {
    server: Target,
    tls: Tls,
    /// Without it nothing is known at the next time.
    known: Option<KnownServers>,
    /// The certificate is not in the file, and it was not tried to put it there.
    is_new: Arc<AtomicBool>,
}

impl Trust {
    /// Looks the server up.
    pub fn in_server(server: &Target, known: Option<KnownServers>) -> Result<Trust, Failure> {
        let found = match &known {
            Some(file) => file.find(server).map_err(|why| file.failure(&why))?,
            None => None,
        };
        let tls = Tls::new(found.map(|found| found.certificate));
        Ok(Trust { server: server.clone(), tls, known, is_new: Arc::new(AtomicBool::new(found.is_none())) })
    }

    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Whether the server is met for the first time.
    pub fn is_first_time(&self) -> bool {
        self.is_new.load(Ordering::SeqCst)
    }

    /// A log-in that is bound to the connection has succeeded: whoever showed this certificate knows the password. What comes
    /// back is to be told.
    pub fn proved(&self, certificate: Fingerprint) -> Option<String> {
        self.tls.pin(certificate);
        if !self.is_new.swap(false, Ordering::SeqCst) {
            return None;
        }
        let Target { host, port } = &self.server;
        let host = visible_line(host);
        let Some(file) = &self.known else {
            return Some(format!("first time at {host} port {port}: its certificate is {certificate}"));
        };
        let path = file.path().display();
        Some(match file.remember(&self.server, certificate) {
            Ok(()) => format!(
                "first time at {host} port {port}: from now on only its certificate will do, {certificate}; it stands in {path}"
            ),
            Err(why) => format!("can't remember the server's certificate, {certificate}, in {path}: {why}"),
        })
    }

    /// What to tell a person about a connection that did not come about.
    pub fn explain(&self, failure: &TlsFailure) -> Failure {
        let Target { host, port } = &self.server;
        let host = visible_line(host);
        match failure {
            TlsFailure::Changed { known, shown } => self.changed(known, shown),
            TlsFailure::NotItsOwn => Failure::new(
                Status::Refused,
                format!(
                    "{host} port {port} shows a certificate whose key it does not have: somebody is between you and the \
                     server, or pretends to be it. Don't go on; ask the operator. Nothing was sent, not even your name"
                ),
            ),
            TlsFailure::NotTls => Failure::new(
                Status::NotUnderstood,
                format!(
                    "what answers at {host} port {port} does not speak TLS: check the host and the port. Only if the server is \
                     known to have no TLS, and the network can be trusted with everything: --insecure-plaintext"
                ),
            ),
            TlsFailure::ClosedAtOnce => Failure::new(
                Status::NoServer,
                format!(
                    "{host} port {port} closed the connection at once: either it is going down, or it does not speak TLS. Only \
                     if it is known to have no TLS, and the network can be trusted with everything: --insecure-plaintext"
                ),
            ),
            TlsFailure::TooOld => Failure::new(
                Status::NotUnderstood,
                format!(
                    "{host} port {port} does not speak TLS 1.3, and nothing older will do: check the host and the port"
                ),
            ),
            TlsFailure::TooSlow => Failure::new(
                Status::NoServer,
                format!(
                    "{host} port {port} does not finish its TLS handshake: try again later, or check host and port"
                ),
            ),
            TlsFailure::Other(why) => {
                Failure::new(Status::NotUnderstood, format!("TLS with {host} port {port} fails: {}", visible_line(why)))
            }
        }
    }

    fn changed(&self, known: &Fingerprint, shown: &Fingerprint) -> Failure {
        let Target { host, port } = &self.server;
        let found = self.known.as_ref().and_then(|file| Some((file, file.find(&self.server).ok()??)));
        let way = match found {
            Some((file, known)) => format!("remove line {} of {} and try again", known.line, file.path().display()),
            None => "start chat again".to_owned(),
        };
        let text = format!(
            "THE CERTIFICATE OF {} PORT {port} HAS CHANGED!\n\
             Somebody may be between you and the server, who could read and change everything; or the server has a new one.\n\
             known so far: {known}\n\
             shown now:    {shown}\n\
             Nothing was sent, not even your name. Ask the operator which is right. If it is the new one, {way}.",
            visible_line(host)
        );
        Failure::new(Status::Refused, text)
    }
}
