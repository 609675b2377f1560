//! The least that a delivery by dialling can be: a mio loop that dials, writes, half-closes, reads the end, and closes.
//!
//! Edge-triggered. Whoever asks has one connection; each line of theirs is a call to the next of the receivers, and gets a
//! ready-made answer, in one write a turn. It knows no message and no user, has no queue, and gives up on nobody.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::AtomicBool;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::bare::Texts;
use super::bare_server::{BareServer, CONNECTIONS, LISTENER, WAKER, accept, is_stopped};

const ASKER: Token = Token(CONNECTIONS);
const CALLS: usize = CONNECTIONS + 1;

/// `texts`: what is delivered, and what the asker is answered.
pub fn start(receivers: Vec<SocketAddr>, texts: Texts) -> BareServer {
    BareServer::start(move |poll, listener, stop| {
        let calls = Calls { poll, receivers, next: 0, calls: Vec::new(), free: Vec::new() };
        run(calls, &listener, &texts, stop);
    })
}

struct Calls {
    poll: Poll,
    receivers: Vec<SocketAddr>,
    /// Who of them is called next.
    next: usize,
    calls: Vec<Option<Call>>,
    free: Vec<usize>,
}

struct Call {
    stream: TcpStream,
    /// Everything was written.
    said: bool,
}

fn run(mut calls: Calls, listener: &TcpListener, texts: &Texts, stop: &AtomicBool) {
    let mut events = Events::with_capacity(1024);
    let mut asker: Option<TcpStream> = None;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        calls.poll.poll(&mut events, None).expect("a poll");
        let mut asked = 0;
        for event in &events {
            match event.token() {
                WAKER if is_stopped(stop) => return,
                WAKER => {}
                LISTENER => accept(listener, |mut stream| {
                    stream.set_nodelay(true).expect("no delay");
                    calls.poll.registry().register(&mut stream, ASKER, Interest::READABLE).expect("a socket");
                    asker = Some(stream);
                }),
                ASKER => {
                    let Some(Ok(bytes)) = asker.as_mut().map(|stream| stream.read(&mut buffer)) else { continue };
                    asked += buffer[..bytes].iter().filter(|&&b| b == b'\n').count();
                }
                Token(token) => {
                    let index = token - CALLS;
                    if event.is_writable() {
                        calls.say(index, &texts.event);
                    }
                    if event.is_readable() {
                        calls.hear(index, &mut buffer);
                    }
                }
            }
        }
        if asked > 0 {
            (0..asked).for_each(|_| calls.dial());
            let answers = texts.answer.repeat(asked);
            let written = asker.as_mut().expect("who has asked").write(&answers).expect("a client that reads");
            assert_eq!(written, answers.len(), "the socket takes it whole: there is no queue here");
        }
    }
}

impl Calls {
    fn dial(&mut self) {
        let receiver = self.receivers[self.next];
        self.next = (self.next + 1) % self.receivers.len();
        let mut stream = TcpStream::connect(receiver).expect("a socket");
        let index = self.free.pop().unwrap_or_else(|| {
            self.calls.push(None);
            self.calls.len() - 1
        });
        let token = Token(index + CALLS);
        self.poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE).expect("a socket");
        self.calls[index] = Some(Call { stream, said: false });
    }

    fn say(&mut self, index: usize, event: &[u8]) {
        let Some(call) = self.calls[index].as_mut().filter(|call| !call.said) else { return };
        // The check that mio's `TcpStream::connect` prescribes.
        assert!(call.stream.take_error().expect("a socket").is_none(), "a receiver that listens");
        call.stream.peer_addr().expect("a receiver that listens");
        let written = call.stream.write(event).expect("a receiver that reads");
        assert_eq!(written, event.len(), "the socket takes it whole: there is no queue here");
        call.stream.shutdown(Shutdown::Write).expect("a receiver that reads");
        call.said = true;
    }

    fn hear(&mut self, index: usize, buffer: &mut [u8]) {
        let Some(call) = &mut self.calls[index] else { return };
        match call.stream.read(buffer) {
            Ok(0) => {
                self.poll.registry().deregister(&mut call.stream).expect("a socket");
                self.calls[index] = None;
                self.free.push(index);
            }
            Ok(_) => panic!("a receiver that says nothing"),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("a receiver that has read everything: {error}"),
        }
    }
}
