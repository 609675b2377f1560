//! The least that a fan-out can be: a mio loop that makes the system calls that chatd makes, and does nothing else.
//!
//! Edge-triggered, `TCP_NODELAY`, one read of at most 16 KiB a readable connection and turn, one write a recipient and turn. It knows no message,
//! no user and no queue: a request is a line that does not begin like an acknowledgement, and brings ready-made bytes to
//! everybody else.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use super::Task;

const WAKER: Token = Token(0);
const LISTENER: Token = Token(1);
const CONNECTIONS: usize = 2;

/// How an acknowledgement begins.
const ACKNOWLEDGEMENT: &[u8] = b"{\"request\":\"ack";

/// What is written, to the recipients and to the asker.
#[derive(Clone, Default)]
pub struct Texts {
    pub event: Vec<u8>,
    pub answer: Vec<u8>,
}

pub struct Bare {
    pub address: SocketAddr,
    pub task: Task,
    texts: Arc<Mutex<Texts>>,
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
    thread: JoinHandle<()>,
}

impl Bare {
    pub fn start() -> Bare {
        let (tell, told) = mpsc::channel();
        let (stop, texts) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Texts::default())));
        let (stopped, to_say) = (Arc::clone(&stop), Arc::clone(&texts));
        let thread = thread::Builder::new().name("bare".into());
        let thread = thread.spawn(move || {
            let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
            let poll = Poll::new().expect("a poll");
            let waker = Arc::new(Waker::new(poll.registry(), WAKER).expect("a waker"));
            poll.registry().register(&mut listener, LISTENER, Interest::READABLE).expect("a socket");
            tell.send((listener.local_addr().expect("an address"), Task::this(), waker)).expect("the bench waits");
            run(poll, &listener, &to_say, &stopped);
        });
        let thread = thread.expect("a thread");
        let (address, task, waker) = told.recv().expect("a server");
        Bare { address, task, texts, stop, waker, thread }
    }

    /// What it says from now on.
    pub fn say(&self, texts: Texts) {
        *self.texts.lock().expect("nobody panics with it") = texts;
        self.waker.wake().expect("a loop that runs");
    }

    pub fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.waker.wake().expect("a loop that runs");
        self.thread.join().expect("a server without a bug");
    }
}

fn run(mut poll: Poll, listener: &TcpListener, to_say: &Mutex<Texts>, stopped: &AtomicBool) {
    let mut events = Events::with_capacity(1024);
    let mut connections: Vec<TcpStream> = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    let mut texts = Texts::default();
    let mut out = Texts::default();
    // Whose last read filled the buffer: there may be more.
    let mut unread: Option<usize> = None;
    loop {
        poll.poll(&mut events, unread.map(|_| Duration::ZERO)).expect("a poll");
        let mut asked: Option<(usize, usize)> = None;
        let mut read = |index: usize, connections: &mut [TcpStream], unread: &mut Option<usize>| {
            let Ok(bytes) = connections[index].read(&mut buffer) else { return };
            *unread = (bytes == buffer.len()).then_some(index);
            if !buffer[..bytes].starts_with(ACKNOWLEDGEMENT) {
                let requests = buffer[..bytes].iter().filter(|&&b| b == b'\n').count();
                asked = (requests > 0).then_some((index, requests));
            }
        };
        if let Some(index) = unread.take() {
            read(index, &mut connections, &mut unread);
        }
        for event in &events {
            match event.token() {
                WAKER if stopped.load(Ordering::SeqCst) => return,
                WAKER => texts.clone_from(&to_say.lock().expect("nobody panics with it")),
                LISTENER => accept(&poll, listener, &mut connections),
                Token(token) => read(token - CONNECTIONS, &mut connections, &mut unread),
            }
        }
        let Some((asker, requests)) = asked else { continue };
        out.event.clear();
        out.answer.clear();
        for _ in 0..requests {
            out.event.extend_from_slice(&texts.event);
            out.answer.extend_from_slice(&texts.answer);
        }
        for (index, connection) in connections.iter_mut().enumerate() {
            let bytes = if index == asker { &out.answer } else { &out.event };
            let written = connection.write(bytes).expect("a client that reads");
            assert_eq!(written, bytes.len(), "the socket takes it whole: there is no queue here");
        }
    }
}

fn accept(poll: &Poll, listener: &TcpListener, connections: &mut Vec<TcpStream>) {
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                stream.set_nodelay(true).expect("no delay");
                let token = Token(connections.len() + CONNECTIONS);
                poll.registry().register(&mut stream, token, Interest::READABLE).expect("a socket");
                connections.push(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => panic!("accept: {error}"),
        }
    }
}
