//! The existing server of `nick` (a Python 3 program).

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Scope};
use std::time::Duration;

use super::journal::{Chunk, Journal, Seen};
use super::sockets::{Listening, Sockets};
use super::{Fault, PAUSE, Received, decode_ascii, receive};

/// What one read takes, in bytes.
const READ_SIZE: usize = 1024;

/// The program. Ends when dropped, without a word to its clients.
pub struct NickServer {
    shared: Arc<Shared>,
    listening: Listening,
}

struct Shared {
    room: Mutex<Room>,
    journal: Journal<Seen<Fault>>,
    sockets: Arc<Sockets>,
    pause: Duration,
}

/// Who is there, by the order in which they came: a nickname may be there twice.
#[derive(Default)]
struct Room {
    came: u64,
    members: BTreeMap<u64, Member>,
}

struct Member {
    nickname: String,
    messages: Sender<String>,
}

impl NickServer {
    pub fn start() -> NickServer {
        NickServer::start_with_pause(PAUSE)
    }

    /// `pause`: between two messages to the same client. The existing server has none, and hopes.
    pub fn start_with_pause(pause: Duration) -> NickServer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let (room, sockets) = (Mutex::default(), Arc::new(Sockets::default()));
        let shared = Arc::new(Shared { room, journal: Journal::new(), sockets: sockets.clone(), pause });
        let serving = shared.clone();
        let listening = Listening::start(listener, sockets, move |listener| serving.serve(&listener));
        NickServer { shared, listening }
    }

    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// The next chunk that a client has sent, whole: a nickname, or something said.
    #[track_caller]
    pub fn next(&self) -> Chunk {
        self.shared.journal.next_chunk()
    }

    /// The next chunk is this one.
    #[track_caller]
    pub fn expect(&self, text: &str) {
        assert_eq!(self.next().text, text);
    }

    /// The next fault, whatever chunks came before it.
    #[track_caller]
    pub fn next_fault(&self) -> Fault {
        self.shared.journal.wait_for_else()
    }

    /// All chunks that came.
    pub fn chunks(&self) -> Vec<String> {
        self.shared.journal.chunks()
    }

    /// All faults so far.
    pub fn faults(&self) -> Vec<Fault> {
        self.shared.journal.others()
    }

    /// The nicknames of those who are there, first come first.
    pub fn present(&self) -> Vec<String> {
        self.shared.room().members.values().map(|member| member.nickname.clone()).collect()
    }
}

impl Shared {
    fn serve(&self, listener: &TcpListener) {
        thread::scope(|scope| {
            for stream in self.sockets.incoming(listener) {
                scope.spawn(move || self.serve_connection(&stream, scope));
            }
        });
    }

    fn serve_connection<'scope>(&'scope self, stream: &Arc<TcpStream>, scope: &'scope Scope<'scope, '_>) {
        if (&**stream).write_all(b"NICK").is_err() {
            return;
        }
        let (messages, receiver) = channel();
        let Some(member) = self.hear(receive(stream, READ_SIZE), |room, nickname| room.join(nickname, messages)) else {
            return;
        };
        let writer = stream.clone();
        scope.spawn(move || self.write_all(&writer, receiver));
        while self.hear(receive(stream, READ_SIZE), |room, text| room.tell_all(&text)).is_some() {}
        self.room().leave(member);
        // Whatever still waits for the member goes with it.
        let _ = stream.shutdown(Shutdown::Both);
    }

    /// `None`: the client has gone, or has sent what is not ASCII. Whoever has seen a chunk in the journal finds it handled.
    fn hear<T>(&self, received: Received, handle: impl FnOnce(&mut Room, String) -> T) -> Option<T> {
        let Received::Bytes(bytes) = received else { return None };
        let mut room = self.room();
        match decode_ascii(bytes) {
            Ok(text) => {
                self.journal.chunk(text.clone());
                Some(handle(&mut room, text))
            }
            Err(bytes) => {
                self.journal.record(Seen::Else(Fault::Undecodable(bytes)));
                None
            }
        }
    }

    /// Until the member has left.
    fn write_all(&self, mut stream: &TcpStream, messages: Receiver<String>) {
        for text in messages {
            if stream.write_all(text.as_bytes()).is_err() || !self.sockets.pause(self.pause) {
                return;
            }
        }
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// By which number the member leaves.
    fn join(&mut self, nickname: String, messages: Sender<String>) -> u64 {
        self.came += 1;
        let joined = format!("{nickname} joined the chat!");
        self.members.insert(self.came, Member { nickname, messages });
        self.tell_all(&joined);
        if let Some(newcomer) = self.members.get(&self.came) {
            newcomer.tell("Connected to the server!");
        }
        self.came
    }

    fn leave(&mut self, member: u64) {
        if let Some(Member { nickname, .. }) = self.members.remove(&member) {
            self.tell_all(&format!("{nickname} left the chat!"));
        }
    }

    /// The one who has said it too.
    fn tell_all(&self, text: &str) {
        for member in self.members.values() {
            member.tell(text);
        }
    }
}

impl Member {
    fn tell(&self, text: &str) {
        // A member whose connection is broken is about to leave.
        let _ = self.messages.send(text.to_owned());
    }
}
