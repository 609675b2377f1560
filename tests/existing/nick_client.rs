//! The existing client of `nick` (a Python 3 program).

use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::journal::{Chunk, Journal, Seen};
use super::{End, Received, decode_ascii, receive};

/// What one read takes, in bytes.
const READ_SIZE: usize = 1024;

/// The program. Closes its connection when dropped.
pub struct NickClient {
    nickname: String,
    stream: Arc<TcpStream>,
    journal: Arc<Journal<Seen<End>>>,
    reader: Option<JoinHandle<()>>,
}

impl NickClient {
    /// Connects, and gives this nickname once it is asked for one.
    pub fn connect(server: SocketAddr, nickname: &str) -> NickClient {
        let stream = Arc::new(TcpStream::connect(server).expect("the server is there"));
        let journal = Arc::new(Journal::new());
        let (from, to, name) = (stream.clone(), journal.clone(), nickname.to_owned());
        let reader = thread::spawn(move || {
            let end = read_all(&from, &name, &to);
            if end != End::SpunOnEndOfFile {
                // Whoever spins stays connected.
                let _ = from.shutdown(Shutdown::Both);
            }
            to.record(Seen::Else(end));
        });
        NickClient { nickname: nickname.to_owned(), stream, journal, reader: Some(reader) }
    }

    /// A client that has come into the room.
    #[track_caller]
    pub fn joined(server: SocketAddr, nickname: &str) -> NickClient {
        let client = NickClient::connect(server, nickname);
        client.expect("NICK");
        client.expect(&format!("{nickname} joined the chat!"));
        client.expect("Connected to the server!");
        client
    }

    pub fn nickname(&self) -> &str {
        &self.nickname
    }

    /// What a person types: the program puts the name before it. Unless the first has come back, two of these may be one chunk.
    pub fn say(&self, text: &str) {
        self.send(format!("{}: {text}", self.nickname).as_bytes());
    }

    /// These bytes in one write.
    pub fn send(&self, bytes: &[u8]) {
        (&*self.stream).write_all(bytes).expect("the server is there");
    }

    /// The next chunk, whole.
    #[track_caller]
    pub fn next(&self) -> Chunk {
        self.journal.next_chunk()
    }

    /// The next chunk is this one.
    #[track_caller]
    pub fn expect(&self, text: &str) {
        assert_eq!(self.next().text, text);
    }

    /// This chunk comes, among others in whatever order.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> Chunk {
        self.journal.wait_for(text)
    }

    /// How the client comes to its end, next.
    #[track_caller]
    pub fn expect_end(&self) -> End {
        self.journal.next_else()
    }

    /// All chunks that came.
    pub fn chunks(&self) -> Vec<String> {
        self.journal.chunks()
    }

    /// Nothing else comes before the client hears itself say this.
    #[track_caller]
    pub fn expect_nothing_before(&self, text: &str) {
        self.say(text);
        self.expect(&format!("{}: {text}", self.nickname));
    }
}

impl Drop for NickClient {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// Each read by itself, until there is no going on.
fn read_all(mut stream: &TcpStream, nickname: &str, journal: &Journal<Seen<End>>) -> End {
    loop {
        let chunk = match receive(stream, READ_SIZE) {
            Received::Bytes(bytes) => decode_ascii(bytes).map_err(End::Undecodable),
            Received::EndOfFile => Err(End::SpunOnEndOfFile),
            Received::Reset => Err(End::Reset),
            Received::Silence => Err(End::Silence),
        };
        let text = match chunk {
            Ok(text) => text,
            Err(end) => return end,
        };
        let asks_for_nickname = text == "NICK";
        journal.chunk(text);
        if asks_for_nickname && stream.write_all(nickname.as_bytes()).is_err() {
            return End::Reset;
        }
    }
}
