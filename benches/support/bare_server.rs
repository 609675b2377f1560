//! What the bare servers share: a thread with a listener, a poll and a way to stop it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Poll, Token, Waker};

use super::Task;

pub const WAKER: Token = Token(0);
pub const LISTENER: Token = Token(1);
/// The least token of a connection.
pub const CONNECTIONS: usize = 2;

pub struct BareServer {
    pub address: SocketAddr,
    pub task: Task,
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
    thread: JoinHandle<()>,
}

impl BareServer {
    /// `run` comes back when it is woken and `is_stopped` says so.
    pub fn start(run: impl FnOnce(Poll, TcpListener, &AtomicBool) + Send + 'static) -> BareServer {
        BareServer::start_with(listen, run)
    }

    /// The same with another socket than one that listens, which `open` opens and registers.
    pub fn start_with<S>(
        open: impl FnOnce(&Poll) -> (SocketAddr, S) + Send + 'static,
        run: impl FnOnce(Poll, S, &AtomicBool) + Send + 'static,
    ) -> BareServer {
        let (tell, told) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("bare".into());
        let thread = thread.spawn(move || {
            let poll = Poll::new().expect("a poll");
            let waker = Arc::new(Waker::new(poll.registry(), WAKER).expect("a waker"));
            let (address, socket) = open(&poll);
            tell.send((address, Task::this(), waker)).expect("the bench waits");
            run(poll, socket, &stopped);
        });
        let thread = thread.expect("a thread");
        let (address, task, waker) = told.recv().expect("a server");
        BareServer { address, task, stop, waker, thread }
    }

    /// Something that it should look at has changed.
    pub fn wake(&self) {
        self.waker.wake().expect("a loop that runs");
    }

    pub fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.wake();
        self.thread.join().expect("a server without a bug");
    }
}

fn listen(poll: &Poll) -> (SocketAddr, TcpListener) {
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE).expect("a socket");
    (listener.local_addr().expect("an address"), listener)
}

pub fn is_stopped(stop: &AtomicBool) -> bool {
    stop.load(Ordering::SeqCst)
}

/// Hands everybody who waits to `add`.
pub fn accept(listener: &TcpListener, mut add: impl FnMut(TcpStream)) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => add(stream),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => panic!("accept: {error}"),
        }
    }
}
