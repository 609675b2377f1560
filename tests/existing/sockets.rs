//! A program's sockets and threads, so that they end with it.

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::LIMIT;
use super::journal::Journal;

/// The connections that a program has open. A connection is closed when its owner drops it.
#[derive(Default)]
pub struct Sockets {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    has_ended: bool,
    open: Vec<Weak<TcpStream>>,
}

impl Sockets {
    /// `None`: the program has ended, and the connection with it.
    pub fn keep(&self, stream: TcpStream) -> Option<Arc<TcpStream>> {
        let mut state = self.lock();
        if state.has_ended {
            return None;
        }
        // Whoever writes to a peer that never reads wakes up some time.
        let _ = stream.set_write_timeout(Some(LIMIT));
        let stream = Arc::new(stream);
        state.open.retain(|open| open.strong_count() > 0);
        state.open.push(Arc::downgrade(&stream));
        Some(stream)
    }

    /// The connections that come to a listening socket, until the program ends.
    pub fn incoming<'a>(&'a self, listener: &'a TcpListener) -> impl Iterator<Item = Arc<TcpStream>> + 'a {
        listener.incoming().map_while(|stream| self.keep(stream.ok()?))
    }

    /// The datagrams that come to a socket, and where from, until the program ends. What is beyond `size` bytes of one is lost.
    pub fn datagrams<'a>(
        &'a self,
        socket: &'a UdpSocket,
        size: usize,
    ) -> impl Iterator<Item = (Vec<u8>, SocketAddr)> + 'a {
        std::iter::from_fn(move || {
            let mut bytes = vec![0; size];
            let (length, from) = socket.recv_from(&mut bytes).ok()?;
            bytes.truncate(length);
            (!self.has_ended()).then_some((bytes, from))
        })
    }

    /// Lets time pass, unless the program ends; whether it goes on.
    pub fn pause(&self, time: Duration) -> bool {
        let state = self.lock();
        let waited = self.ended.wait_timeout_while(state, time, |state| !state.has_ended);
        !waited.unwrap_or_else(PoisonError::into_inner).0.has_ended
    }

    pub fn has_ended(&self) -> bool {
        self.lock().has_ended
    }

    pub fn end(&self) {
        let mut state = self.lock();
        state.has_ended = true;
        for stream in state.open.drain(..).filter_map(|open| open.upgrade()) {
            // Wakes whoever reads. The other end notices when the owner closes: by a reset, if anything is unread.
            let _ = stream.shutdown(Shutdown::Read);
        }
        self.ended.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Datagrams that are to be lost on their way, and those that were.
pub struct Losses {
    left: Mutex<usize>,
    lost: Journal<Vec<u8>>,
}

impl Losses {
    pub fn none() -> Losses {
        Losses { left: Mutex::new(0), lost: Journal::new() }
    }

    /// So many from now on, whatever was said before.
    pub fn lose_next(&self, count: usize) {
        *self.left() = count;
    }

    /// The next that was lost.
    #[track_caller]
    pub fn next(&self) -> Vec<u8> {
        self.lost.next()
    }

    /// Whether this one is lost.
    pub fn take(&self, datagram: &[u8]) -> bool {
        let mut left = self.left();
        let is_lost = *left > 0;
        if is_lost {
            *left -= 1;
            self.lost.record(datagram.to_vec());
        }
        is_lost
    }

    fn left(&self) -> MutexGuard<'_, usize> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that takes what comes to a socket, for as long as this lives.
pub struct Listening {
    address: SocketAddr,
    sockets: Arc<Sockets>,
    /// Comes to the socket.
    wake: fn(SocketAddr),
    thread: Option<JoinHandle<()>>,
}

impl Listening {
    /// `accept` returns once [`Sockets::incoming`] has no more.
    pub fn start(
        listener: TcpListener,
        sockets: Arc<Sockets>,
        accept: impl FnOnce(TcpListener) + Send + 'static,
    ) -> Listening {
        let address = listener.local_addr().expect("a bound socket");
        let wake = |address| drop(TcpStream::connect(address));
        Listening { address, sockets, wake, thread: Some(thread::spawn(move || accept(listener))) }
    }

    /// `take` returns once [`Sockets::datagrams`] has no more.
    pub fn start_for_datagrams(
        socket: Arc<UdpSocket>,
        sockets: Arc<Sockets>,
        take: impl FnOnce() + Send + 'static,
    ) -> Listening {
        let address = socket.local_addr().expect("a bound socket");
        let wake = |address| {
            let _ = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.send_to(b"", address));
        };
        Listening { address, sockets, wake, thread: Some(thread::spawn(take)) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.sockets.end();
        let Some(thread) = self.thread.take() else { return };
        if !thread.is_finished() {
            // It may be waiting for somebody to come.
            (self.wake)(self.address);
        }
        let _ = thread.join();
    }
}
