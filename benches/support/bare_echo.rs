//! The least that a log-on by datagrams can be: a mio loop that answers each datagram with a ready-made one, and computes the
//! two digests that no log-on can do without.
//!
//! Edge-triggered; it receives until nothing is there, then sends what there is to be said, as chatd does. It knows no user
//! and no challenge, and does not look at what it has computed.

use std::hint::black_box;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicBool;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use sha2::{Digest, Sha256, Sha512};

use super::bare_server::{BareServer, WAKER, is_stopped};

const SOCKET: Token = Token(1);
const BUFFER_BYTES: usize = 16 * 1024;

/// What it says.
pub struct Texts {
    /// What asks to be challenged begins so.
    pub hello: &'static [u8],
    pub challenge: Vec<u8>,
    /// The answer to everything else.
    pub success: Vec<u8>,
    /// What the digests are of: a challenge, and a secret behind it.
    pub challenged: String,
}

pub fn start(texts: Texts) -> BareServer {
    BareServer::start_with(open, move |poll, socket, stop| run(poll, &socket, &texts, stop))
}

fn open(poll: &Poll) -> (SocketAddr, UdpSocket) {
    let mut socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
    poll.registry().register(&mut socket, SOCKET, Interest::READABLE).expect("a socket");
    (socket.local_addr().expect("an address"), socket)
}

fn run(mut poll: Poll, socket: &UdpSocket, texts: &Texts, stop: &AtomicBool) {
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut answers: Vec<(SocketAddr, &[u8])> = Vec::new();
    loop {
        poll.poll(&mut events, None).expect("a poll");
        if is_stopped(stop) && events.iter().any(|event| event.token() == WAKER) {
            return;
        }
        loop {
            match socket.recv_from(&mut buffer) {
                Ok((bytes, from)) => answers.push((from, answer(&buffer[..bytes], texts))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("a client that is there: {error}"),
            }
        }
        for (to, answer) in answers.drain(..) {
            socket.send_to(answer, to).expect("a socket that takes it");
        }
    }
}

fn answer<'a>(datagram: &[u8], texts: &'a Texts) -> &'a [u8] {
    if datagram.starts_with(texts.hello) {
        return &texts.challenge;
    }
    black_box(Sha256::digest(&texts.challenged));
    black_box(Sha512::digest(&texts.challenged));
    &texts.success
}
