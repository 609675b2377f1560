//! A server, somebody who is served all the time and must not notice anything, and how much the server had of everything
//! before: all of that has to be there again afterwards, and no more.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::support::tls::{Begun, Connector, Manner, Secret, TlsClient, UNBOUND};
use crate::support::{CREDENTIALS, Chatd, LIMIT, device_claim, password};

/// Between two requests of the bystander, so that a server that spins shows in its processor time.
const PACE: Duration = Duration::from_millis(2);
/// No answer takes so long, however busy the machine, unless the loop stands still.
const SLOWEST: Duration = Duration::from_secs(5);
/// One of so many requests is a message to oneself, which has to reach the disk.
const A_MESSAGE_IN: u64 = 50;
/// So many answers have to come while whatever is hostile is there.
const SERVED_MEANWHILE: u64 = 20;

pub const NOT_UNDERSTOOD: &str =
    "chatd: this is a chat server, and that is no protocol it speaks. Try: chat HOST PORT\n";
pub const TOO_MANY: &str = "chatd: too many connections wait for a log-in here: try again in a moment\n";
pub const LOG_IN_FIRST: &str = "{\"id\":1,\"error\":\"log-in-first\",\"text\":\"log in first\"}\n";
/// The same for a wrong name, a wrong password and a lock-out.
pub const NOT_AUTHENTICATED: &str = "{\"id\":2,\"error\":\"not-authenticated\",\"text\":\"wrong name or password, or too \
                                     many wrong tries: wait a minute after three\"}\n";

/// The line of an error that ends a connection.
pub fn ends_for(code: &str, text: &str) -> String {
    format!("{{\"error\":\"{code}\",\"text\":\"{text}\"}}\n")
}

/// The line of an error that is about one request.
pub fn refused(id: u64, code: &str, text: &str) -> String {
    format!("{{\"id\":{id},\"error\":\"{code}\",\"text\":\"{text}\"}}\n")
}

pub struct Scene {
    pub chatd: Chatd,
    pub connector: Connector,
    bystander: Bystander,
    operator: Operator,
    before: Status,
}

/// How much a server has of everything.
#[derive(Clone, Debug, PartialEq)]
struct Status {
    /// As it says itself.
    counts: Value,
    /// As the system says.
    descriptors: usize,
}

impl Scene {
    pub fn new() -> Scene {
        Scene::with(CREDENTIALS, &[])
    }

    pub fn with(accounts: &str, arguments: &[&str]) -> Scene {
        let arguments = [&["--durability", "process"], arguments].concat();
        Scene::around(Chatd::start_with_accounts(accounts, &arguments), A_MESSAGE_IN)
    }

    /// From now on the bystander is served. One of `a_message_in` requests needs the disk.
    pub fn around(chatd: Chatd, a_message_in: u64) -> Scene {
        let mut dave = Plain::connect(chatd.address());
        dave.log_in("dave", password("dave"), Some(9));
        // The store opens what it reads history with when it is first asked.
        dave.say(b"{\"id\":3,\"request\":\"history\"}\n");
        assert!(dave.line().contains("\"reply\":\"history\""));
        dave.say(b"{\"id\":4,\"request\":\"online\"}\n");
        let online = dave.line().replace("{\"id\":4,", "");
        let mut operator = Operator::of(&chatd);
        let before = operator.status(&chatd);
        let bystander = Bystander::start(dave, online, a_message_in);
        Scene { chatd, connector: Connector::new(), bystander, operator, before }
    }

    pub fn connect(&self) -> Plain {
        Plain::connect(self.chatd.address())
    }

    pub fn log_in(&self, user: &str) -> Plain {
        let mut client = self.connect();
        client.log_in(user, password(user), None);
        client
    }

    /// A TLS connection whose handshake is complete.
    pub fn connect_encrypted(&self) -> TlsClient {
        self.connector.connect(self.chatd.address())
    }

    /// What the server says of itself now.
    pub fn counts(&mut self) -> Value {
        self.operator.ask()
    }

    /// Waits until it says something of itself that fits.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, fits: impl Fn(&Value) -> bool) {
        let end = Instant::now() + LIMIT;
        loop {
            let counts = self.operator.ask();
            if fits(&counts) {
                return;
            }
            assert!(Instant::now() < end, "{what}: {counts}");
            self.bystander.is_served(1);
        }
    }

    /// From now on what there is now, without anything under way, is what there was before.
    #[track_caller]
    pub fn takes_stock(&mut self) {
        self.takes_stock_with(0);
    }

    /// The same with so many connections of others.
    #[track_caller]
    pub fn takes_stock_with(&mut self, connections: u64) {
        let end = Instant::now() + LIMIT;
        loop {
            let now = self.operator.status(&self.chatd);
            // Two are the bystander's and the operator's.
            let idle = ["batches", "deadlines", "in-bytes", "out-bytes", "waiting"]
                .iter()
                .all(|&count| now.counts[count] == 0);
            if idle && now.counts["connections"] == 2 + connections {
                self.before = now;
                return;
            }
            assert!(Instant::now() < end, "something is under way: {now:?}");
            self.bystander.is_served(1);
        }
    }

    /// Waits until the bystander was served so many times more.
    pub fn bystander_is_served(&self, times: u64) {
        self.bystander.is_served(times);
    }

    /// The processor time that the server's loop needs while the bystander is served so many times.
    pub fn cost_of(&self, times: u64) -> Duration {
        let before = self.loop_cpu();
        self.bystander.is_served(times);
        self.loop_cpu() - before
    }

    /// The processor time that the server's loop has needed so far.
    pub fn loop_cpu(&self) -> Duration {
        let path = format!("/proc/{0}/task/{0}/schedstat", self.chatd.pid());
        let schedstat = std::fs::read_to_string(path).expect("a kernel with schedstat");
        Duration::from_nanos(schedstat.split(' ').next().and_then(|field| field.parse().ok()).expect("nanoseconds"))
    }

    /// Waits until the server has no more of anything than before, but for so much `more` of these.
    #[track_caller]
    pub fn settles(&mut self, more: &[(&str, u64)]) {
        let mut expected = self.before.clone();
        for &(count, more) in more {
            expected.counts[count] = (expected.counts[count].as_u64().expect("a count") + more).into();
        }
        let end = Instant::now() + LIMIT;
        loop {
            let now = self.operator.status(&self.chatd);
            if now == expected {
                return;
            }
            assert!(Instant::now() < end, "something is left behind: {now:?}, not {expected:?}");
            self.bystander.is_served(1);
        }
    }

    /// The bystander has not noticed anything, nothing is left behind but so much `more` of these, and the server ends in
    /// order. Comes back: what is left of it.
    #[track_caller]
    pub fn end(mut self, more: &[(&str, u64)]) -> Chatd {
        self.bystander.is_served(SERVED_MEANWHILE);
        self.settles(more);
        self.bystander.stop();
        self.settles(more);
        let Scene { mut chatd, bystander, operator, .. } = self;
        // The server would wait a moment for them to close.
        drop((bystander, operator));
        assert!(chatd.stop().success());
        chatd
    }
}

/// Somebody with a session of their own who asks all the time, and gets each answer once, in order, and in time.
struct Bystander {
    thread: Option<JoinHandle<Plain>>,
    stop: Sender<()>,
    served: Arc<(Mutex<u64>, Condvar)>,
    /// Who is there to the end: a session that ends would be something that has changed.
    stopped: Option<Plain>,
}

impl Bystander {
    fn start(client: Plain, online: String, a_message_in: u64) -> Bystander {
        let (stop, stopped) = channel();
        let served = Arc::new((Mutex::new(0), Condvar::new()));
        let counter = Arc::clone(&served);
        let thread = thread::spawn(move || {
            let _told = ToldAtEnd(&counter.1);
            stand_by(client, &online, a_message_in, &stopped, &counter)
        });
        Bystander { thread: Some(thread), stop, served, stopped: None }
    }

    /// Waits for so many answers more.
    #[track_caller]
    fn is_served(&self, times: u64) {
        if self.thread.is_none() {
            return;
        }
        let (count, told) = &*self.served;
        let count = count.lock().expect("the bystander has not been disturbed");
        let until = *count + times;
        let waited = told.wait_timeout_while(count, LIMIT, |count| *count < until);
        let (_count, result) = waited.expect("the bystander has not been disturbed");
        assert!(!result.timed_out(), "the bystander is not served any more");
    }

    #[track_caller]
    fn stop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.stop.send(()).expect("the bystander is there");
        self.stopped = Some(thread.join().expect("the bystander has not been disturbed"));
    }
}

/// Whoever waits for the bystander is woken, however it ends.
struct ToldAtEnd<'a>(&'a Condvar);

impl Drop for ToldAtEnd<'_> {
    fn drop(&mut self) {
        self.0.notify_all();
    }
}

fn stand_by(
    mut client: Plain,
    online: &str,
    a_message_in: u64,
    stop: &Receiver<()>,
    served: &(Mutex<u64>, Condvar),
) -> Plain {
    let mut last = 0;
    for id in 100.. {
        match stop.recv_timeout(PACE) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => break,
        }
        // While it is held, a panic here is noticed by whoever waits for the count.
        let mut count = served.0.lock().expect("only this thread may panic with it");
        let began = Instant::now();
        if id % a_message_in == 0 {
            let request = format!("{{\"id\":{id},\"request\":\"message\",\"to\":\"dave\",\"text\":\"still there\"}}\n");
            client.say(request.as_bytes());
            let event: Value = serde_json::from_str(&client.line()).expect("JSON");
            let number = event["number"].as_u64().expect("a number");
            assert!(number > last);
            last = number;
            let (time, from, text) = (event["time"].clone(), "dave", "still there");
            assert_eq!(event, json!({"event": "message", "number": number, "time": time, "from": from, "text": text}));
            let accepted = format!("{{\"id\":{id},\"reply\":\"accepted\",\"number\":{number},\"reach\":\"online\"}}\n");
            assert_eq!(client.line(), accepted);
            client.say(format!("{{\"request\":\"acknowledge\",\"number\":{number}}}\n").as_bytes());
        } else {
            client.say(format!("{{\"id\":{id},\"request\":\"online\"}}\n").as_bytes());
            assert_eq!(client.line(), format!("{{\"id\":{id},{online}"));
        }
        let took = began.elapsed();
        assert!(took < SLOWEST, "the bystander has waited {took:?} for an answer");
        *count += 1;
        served.1.notify_all();
    }
    client
}

/// The control socket by hand.
struct Operator {
    stream: BufReader<UnixStream>,
}

impl Operator {
    fn of(chatd: &Chatd) -> Operator {
        let path: PathBuf = chatd.data().join("control");
        let stream = UnixStream::connect(path).expect("a control socket");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        Operator { stream: BufReader::new(stream) }
    }

    #[track_caller]
    fn ask(&mut self) -> Value {
        self.stream.get_mut().write_all(b"{\"id\":1,\"request\":\"status\"}\n").expect("write");
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("an answer");
        let answer: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(answer["reply"], "status", "{answer}");
        answer["counts"].clone()
    }

    fn status(&mut self, chatd: &Chatd) -> Status {
        let counts = self.ask();
        Status { counts, descriptors: std::fs::read_dir(format!("/proc/{}/fd", chatd.pid())).expect("proc").count() }
    }
}

/// A TCP connection, and bytes.
pub struct Plain {
    stream: BufReader<TcpStream>,
}

impl Plain {
    pub fn connect(address: SocketAddr) -> Plain {
        Plain::of(TcpStream::connect(address).expect("connect"))
    }

    /// From another address of this machine: to the server that is another source.
    pub fn connect_from(source: [u8; 4], address: SocketAddr) -> Plain {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((source, 0)).into()).expect("an address of this machine");
        socket.connect(&address.into()).expect("connect");
        Plain::of(socket.into())
    }

    /// One whose system takes next to nothing.
    pub fn connect_with_little_room(address: SocketAddr) -> Plain {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(1).expect("a size");
        // What the server's system buffers for us goes by the size of a segment.
        socket.set_tcp_mss(536).expect("a size");
        socket.connect(&address.into()).expect("connect");
        Plain::of(socket.into())
    }

    fn of(stream: TcpStream) -> Plain {
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        stream.set_nodelay(true).expect("no delay");
        Plain { stream: BufReader::new(stream) }
    }

    /// From now on its system takes as much as any other.
    pub fn makes_room(&self) {
        socket2::SockRef::from(self.stream()).set_recv_buffer_size(1 << 20).expect("a size");
    }

    pub fn stream(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    #[track_caller]
    pub fn say(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("write");
    }

    /// The same to a server that may have closed already.
    pub fn say_if_it_is_open(&mut self, bytes: &[u8]) {
        if let Err(error) = self.stream.get_mut().write_all(bytes) {
            assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
        }
    }

    /// Says as much as the server and the system take now. Comes back: how much that was.
    pub fn say_what_fits(&mut self, bytes: &[u8]) -> usize {
        let stream = self.stream.get_mut();
        stream.set_nonblocking(true).expect("a mode");
        let mut said = 0;
        while said < bytes.len() {
            match stream.write(&bytes[said..]) {
                Ok(count) => said += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        stream.set_nonblocking(false).expect("a mode");
        said
    }

    /// The next line.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a line");
        assert!(line.ends_with('\n'), "the server has closed after {line:?}");
        line
    }

    /// The next line, or nothing if the server has cut the connection off.
    #[track_caller]
    pub fn line_or_end(&mut self) -> String {
        let mut line = String::new();
        if let Err(error) = self.stream.read_line(&mut line) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        line
    }

    /// The next line is this.
    #[track_caller]
    pub fn hears(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// Everything up to the close.
    #[track_caller]
    pub fn rest(&mut self) -> String {
        String::from_utf8(self.rest_of_bytes()).expect("UTF-8")
    }

    /// The same, where it may be no text.
    #[track_caller]
    pub fn rest_of_bytes(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let result = self.stream.read_to_end(&mut rest);
        assert!(result.is_ok(), "{result:?} after {:?}", String::from_utf8_lossy(&rest));
        rest
    }

    /// What has come within a time: a part of it all the same, or the end (`true`).
    pub fn within(&mut self, time: Duration) -> (String, bool) {
        let (heard, ended) = self.bytes_within(time);
        (String::from_utf8(heard).expect("UTF-8"), ended)
    }

    /// The same, where it may be no text.
    pub fn bytes_within(&mut self, time: Duration) -> (Vec<u8>, bool) {
        self.stream().set_read_timeout(Some(time)).expect("a limit");
        let mut heard = Vec::new();
        let result = self.stream.read_to_end(&mut heard);
        self.stream().set_read_timeout(Some(LIMIT)).expect("a limit");
        match result {
            // Who was asked for a nickname may be a client that notices nothing else.
            Err(error) if error.kind() == ErrorKind::ConnectionReset && heard.starts_with(b"NICK") => (heard, true),
            Err(error) if error.kind() != ErrorKind::WouldBlock => panic!("{error} after {heard:x?}"),
            result => (heard, result.is_ok()),
        }
    }

    /// Everything that has still come from a server that has cut the connection off.
    pub fn rest_as_far_as_it_goes(&mut self) -> String {
        let mut rest = Vec::new();
        if let Err(error) = self.stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        String::from_utf8(rest).expect("UTF-8")
    }

    /// The first half of a log-in, by its bytes. Comes back: the challenge.
    #[track_caller]
    pub fn is_challenged(&mut self, user: &str, device: Option<u8>) -> String {
        self.say(log_in_line(UNBOUND, user, device).as_bytes());
        let line = self.line();
        let challenge = line.strip_prefix("{\"id\":1,\"reply\":\"challenge\",\"message\":\"");
        let challenge = challenge.and_then(|rest| rest.strip_suffix("\"}\n"));
        challenge.unwrap_or_else(|| panic!("no challenge: {line}")).to_owned()
    }

    /// Logs in with the lines 1 and 2.
    #[track_caller]
    pub fn log_in(&mut self, user: &str, password: &str, device: Option<u8>) {
        let challenge = self.is_challenged(user, device);
        let line = self.prove(user, password, &challenge);
        assert!(line.starts_with("{\"id\":2,\"reply\":\"logged-in\","), "{line}");
        if device.is_some() {
            self.hears("{\"event\":\"token\"}\n");
        }
    }

    /// The second half of a log-in. Comes back: the answer, which has the right signature if the password was right.
    #[track_caller]
    pub fn prove(&mut self, user: &str, password: &str, challenge: &str) -> String {
        let proof = Begun::new(UNBOUND, &bare(user), challenge).prove(Secret::Password(password), &[0; 32]);
        self.say_if_it_is_open(authenticate_line(&proof.message).as_bytes());
        let line = self.line_or_end();
        let signature = format!("\"message\":\"{}\"", proof.signature);
        assert!(line.contains(&signature) || !line.contains("\"logged-in\""), "{line}");
        line
    }

    /// A log-in with a proof of nothing. Comes back: the challenge, and what follows.
    #[track_caller]
    pub fn guess(&mut self, user: &str) -> (String, String) {
        let challenge = self.is_challenged(user, None);
        self.say(wrong_proof(&challenge).as_bytes());
        (challenge, self.line())
    }
}

pub fn log_in_line(manner: Manner, user: &str, device: Option<u8>) -> String {
    let message = format!("{}{}", manner.header, bare(user));
    let mut request = json!({"id": 1, "request": "log-in", "mechanism": manner.mechanism, "message": message});
    if let Some(device) = device {
        request["device"] = device_claim(device)["device"].take();
    }
    format!("{request}\n")
}

pub fn authenticate_line(message: &str) -> String {
    format!("{{\"id\":2,\"request\":\"authenticate\",\"message\":\"{message}\"}}\n")
}

/// As long as a proof, and none.
pub fn wrong_proof(challenge: &str) -> String {
    let nonce = challenge.split(',').next().expect("a nonce");
    authenticate_line(&format!("c=biws,{nonce},p={}", BASE64.encode([7; 32])))
}

fn bare(user: &str) -> String {
    format!("n={user},r=a-nonce-of-the-test")
}
