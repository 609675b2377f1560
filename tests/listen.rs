//! Further listening sockets, who is served there, and from where guests are let in: with the real program and real sockets.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use chatd::wire::named::Named;
use chatd::wire::session::{Challenge, Response, SessionKey, glued, log_on};
use chatd::wire::{Password, PasswordDigest, datagram};

use support::{CREDENTIALS, Client, LIMIT, signal, wait};

/// What is said to who speaks nothing that is served there.
const NOT_UNDERSTOOD: &str = "chatd: this is a chat server, and that is no protocol it speaks. Try: chat HOST PORT\n";
/// Nobody is asked for a nickname later than this.
const SILENCE: Duration = Duration::from_millis(1500);

/// A server that has announced all its listening sockets.
struct Listening {
    child: Child,
    /// The main one, and the others.
    addresses: Vec<SocketAddr>,
    _dir: tempfile::TempDir,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(dir: &tempfile::TempDir, arguments: &[&str]) -> Command {
    fs::write(dir.path().join("credentials.txt"), CREDENTIALS).expect("credentials");
    let mut command = Command::new(env!("CARGO_BIN_EXE_chatd"));
    command.current_dir(dir.path()).env_clear().args(["--memory", "--quiet", "--bind", "127.0.0.1"]);
    if !arguments.contains(&"--port") {
        command.args(["--port", "0"]);
    }
    command.args(arguments);
    command
}

/// Starts a server that is to announce these protocols, in order.
fn start(arguments: &[&str], environment: &[(&str, &str)], protocols: &[&str]) -> Listening {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = command(&dir, arguments);
    let mut child = command.envs(environment.iter().copied()).stdout(Stdio::piped()).spawn().expect("chatd");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut announced = |before: &str| {
        let line = lines.next().expect("a line").expect("text");
        line.strip_prefix(before).unwrap_or_else(|| panic!("{before}: {line}")).parse().expect("an address")
    };
    let mut addresses = vec![announced("chatd: listening on ")];
    addresses.extend(protocols.iter().map(|protocol| announced(&format!("chatd: listening for {protocol} on "))));
    Listening { child, addresses, _dir: dir }
}

/// Runs a server that does not start.
fn fail(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let dir = tempfile::tempdir().expect("a directory");
    command(&dir, arguments).envs(environment.iter().copied()).output().expect("chatd")
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    stream
}

/// What one read brings.
fn read(stream: &mut TcpStream) -> String {
    let mut buffer = [0; 4096];
    let bytes = stream.read(&mut buffer).expect("something");
    String::from_utf8_lossy(&buffer[..bytes]).into_owned()
}

fn ask(address: SocketAddr, text: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(text.as_bytes()).expect("sent");
    read(&mut stream)
}

/// Whether a connection is reset, whatever is told before.
fn is_reset(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

/// Where a client of `request` listens.
struct Ears(TcpListener);

impl Ears {
    fn open() -> Ears {
        Ears(TcpListener::bind("127.0.0.1:0").expect("a port"))
    }

    fn port(&self) -> u16 {
        self.0.local_addr().expect("an address").port()
    }

    /// Takes a delivery as such clients do: accepts, reads once, closes.
    fn hear(&self) -> String {
        let mut stream = self.0.accept().expect("a call").0;
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        read(&mut stream)
    }
}

fn log_in(address: SocketAddr, user: &str, ears: &Ears) {
    let mut stream = connect(address);
    let password = support::password(user);
    stream.write_all(format!("newUser,{user},{password},{}", ears.port()).as_bytes()).expect("sent");
    assert_eq!(read(&mut stream), "Welcome to simple chat server!\n");
    stream.write_all(b"ok").expect("sent");
    assert_eq!(read(&mut stream), format!("Authenticated {user}"));
}

fn post(address: SocketAddr, text: &str) {
    connect(address).write_all(text.as_bytes()).expect("sent");
}

#[test]
fn each_is_announced_and_speaks_its_protocol_only() {
    let listen = ["native", "request", "nick"].map(|protocol| format!("{protocol}=127.0.0.1:0"));
    let arguments: Vec<&str> = listen.iter().flat_map(|listen| ["--listen", listen]).collect();
    let server = start(&arguments, &[], &["native", "request", "nick"]);
    let [main, native, request, nick] = server.addresses[..] else { panic!("{:?}", server.addresses) };
    let json = "{\"id\":1,\"request\":\"online\"}\n";
    for address in [main, native] {
        assert!(ask(address, json).contains("log-in-first"));
        Client::connect(address).log_in("dave", None);
    }
    assert_eq!(ask(request, json), NOT_UNDERSTOOD);
    assert_eq!(ask(native, "online,alice"), NOT_UNDERSTOOD);
    let wrong = "newUser,nobody,x,5000";
    assert_eq!(ask(native, wrong), NOT_UNDERSTOOD);
    for address in [main, request] {
        assert_eq!(ask(address, wrong), "Invalid Username. Please try again.\n");
    }
    // The refusal follows, and a busy machine reads both at once.
    assert!(ask(nick, json).starts_with("NICK"));
    let mut guest = connect(nick);
    assert_eq!(read(&mut guest), "NICK");
    guest.write_all(json.as_bytes()).expect("sent");
    assert!(read(&mut guest).starts_with("a name consists of"));
    assert!(is_reset(&mut guest));
}

#[test]
fn the_environment_names_several() {
    let server = start(&[], &[("CHATD_LISTEN", "nick=127.0.0.1:0,nick=127.0.0.2:0")], &["nick", "nick"]);
    assert_eq!(server.addresses[2].ip(), IpAddr::from([127, 0, 0, 2]));
    for &address in &server.addresses[1..] {
        assert_eq!(read(&mut connect(address)), "NICK");
    }
}

#[test]
fn what_names_none_is_usage_and_a_port_in_use_is_named() {
    for (listen, says) in [
        ("55555", "write it like nick=0.0.0.0:55555"),
        ("irc=127.0.0.1:6667", "'irc' is no protocol that is served"),
        ("nick=127.0.0.1", "'127.0.0.1' is no address with a port"),
    ] {
        for output in [fail(&["--listen", listen], &[]), fail(&[], &[("CHATD_LISTEN", listen)])] {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{error}");
            assert!(output.stdout.is_empty() && error.contains(says), "{says}: {error}");
        }
    }
    let too_many: Vec<&str> = std::iter::repeat_n(["--listen", "nick=127.0.0.1:0"], 33).flatten().collect();
    assert_eq!(fail(&too_many, &[]).status.code(), Some(2));
    let taken = Ears::open();
    let output =
        fail(&["--listen", "nick=127.0.0.1:0", "--listen", &format!("request=127.0.0.1:{}", taken.port())], &[]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let says = format!("chatd: port {} is in use: stop what uses it, or choose another with --listen\n", taken.port());
    assert_eq!((output.status.code(), error), (Some(69), says));
}

#[test]
fn guests_are_let_in_from_the_scope_for_them_and_in_the_clear() {
    for (arguments, lets_in) in [
        (&["--guests", "127.0.0.1"][..], true),
        (&["--guests", "any"], true),
        (&["--guests", "off"], false),
        (&["--guests", "10.0.0.0/8"], false),
        (&["--guests", "any", "--plaintext", "off"], false),
    ] {
        let server = start(&[arguments, &["--listen", "nick=127.0.0.1:0"]].concat(), &[], &["nick"]);
        let mut guest = connect(server.addresses[1]);
        let told = read(&mut guest);
        if !lets_in {
            assert_eq!(told, "unencrypted connections are not served to your address: use TLS", "{arguments:?}");
            assert!(is_reset(&mut guest));
        }
        assert_eq!(told == "NICK", lets_in, "{arguments:?}");
        let mut silent = connect(server.addresses[0]);
        silent.set_read_timeout(Some(SILENCE)).expect("a limit");
        let asked = silent.read(&mut [0; 16]).is_ok();
        assert_eq!(asked, lets_in, "{arguments:?}");
    }
    let output = fail(&["--guests", "everybody"], &[]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn clients_of_all_kinds_meet() {
    let mut server = start(&["--listen", "nick=127.0.0.1:0"], &[], &["nick"]);
    let [main, nick] = server.addresses[..] else { panic!("{:?}", server.addresses) };
    let (alice, bob) = (Ears::open(), Ears::open());
    log_in(main, "alice", &alice);
    log_in(main, "bob", &bob);
    assert_eq!(alice.hear(), "note:bob is online!\n");
    post(main, "forward,alice,bob,hi, bob");
    assert_eq!(bob.hear(), "alice:hi, bob\n");
    let mut guest = connect(nick);
    assert_eq!(read(&mut guest), "NICK");
    guest.write_all(b"zoe").expect("sent");
    assert_eq!(read(&mut guest), "zoe joined the chat!");
    assert_eq!(read(&mut guest), "Connected to the server!");
    for ears in [&alice, &bob] {
        assert_eq!(ears.hear(), "note:zoe is online!\n");
    }
    guest.write_all(b"zoe: hello").expect("sent");
    assert_eq!(read(&mut guest), "zoe: hello");
    for ears in [&alice, &bob] {
        assert_eq!(ears.hear(), "zoe:hello\n");
    }
    let elsewhere = Ears::open();
    log_in(main, "bob", &elsewhere);
    assert_eq!(bob.hear(), "logout_duplicate");
    signal(&server.child, "TERM");
    assert_eq!(read(&mut guest), "the server stops");
    for ears in [&alice, &elsewhere] {
        assert_eq!(ears.hear(), "shutdown");
    }
    assert!(is_reset(&mut guest));
    assert!(wait(&mut server.child).success());
}

#[test]
fn nobody_makes_the_server_call_itself() {
    let server = start(&["--listen", "request=127.0.0.1:0"], &[], &["request"]);
    for address in &server.addresses {
        let mut stream = connect(server.addresses[0]);
        let text = format!("newUser,alice,{},{}", support::password("alice"), address.port());
        stream.write_all(text.as_bytes()).expect("sent");
        let began = Instant::now();
        assert!(is_reset(&mut stream), "{address}");
        assert!(began.elapsed() < LIMIT);
    }
}

/// A socket of datagrams that waits for answers, and not for ever.
fn datagrams() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(LIMIT)).expect("a limit");
    socket
}

/// What is answered, by datagrams, to one.
fn exchange(socket: &UdpSocket, address: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    socket.send_to(datagram, address).expect("sent");
    let mut buffer = [0; 4096];
    let (bytes, from) = socket.recv_from(&mut buffer).expect("an answer");
    assert_eq!(from, address);
    buffer[..bytes].to_vec()
}

/// Logs alice on to a session. Comes back: at which port it is, and what is said there with what cipher.
fn log_on(address: SocketAddr) -> (u16, Challenge, SessionKey) {
    let socket = datagrams();
    let told = exchange(&socket, address, b"HELLO(alice)");
    let Some(log_on::FromServer::Challenge(challenge)) = log_on::FromServer::parse(&told, None) else {
        panic!("no challenge: {}", String::from_utf8_lossy(&told));
    };
    let secret = Password::parse(support::password("alice")).expect("a password");
    let key = SessionKey::of(challenge, &secret);
    let response = format!("RESPONSE(alice, {})", Response::to(challenge, &secret));
    let told = exchange(&socket, address, response.as_bytes());
    let Some(log_on::FromServer::Success { port, .. }) = log_on::FromServer::parse(&told, Some(&key)) else {
        panic!("no success: {told:?}");
    };
    (port.get(), challenge, key)
}

fn python_log_in(user: &str) -> Vec<u8> {
    let password = PasswordDigest::of_text(support::password(user));
    let request = datagram::Request::LogIn { user: Named::parse(user), password };
    request.write(&datagram::request::Server { host: "127.0.0.1", port: 12_000 }).remove(0)
}

#[test]
fn datagrams_come_to_the_main_port_and_to_listeners_of_their_protocol() {
    let arguments = ["--listen", "session=127.0.0.1:0", "--listen", "datagram=127.0.0.1:0"];
    let server = start(&arguments, &[], &["session", "datagram", "session"]);
    let [main, session, datagram, four_digits] = server.addresses[..] else { panic!("{:?}", server.addresses) };
    assert!((1024..=9999).contains(&four_digits.port()), "{four_digits}");
    for address in [main, session] {
        let (port, challenge, key) = log_on(address);
        assert_eq!(port, four_digits.port());
        let mut stream = connect(four_digits);
        stream.write_all(&glued::connect(challenge, &key)).expect("sent");
        let mut told = [0; 10];
        stream.read_exact(&mut told).expect("an answer");
        assert_eq!(key.decipher(&told).as_deref(), Ok("CONNECTED\n"));
    }
    for (address, user) in [(main, "alice"), (datagram, "bob")] {
        let greeting = exchange(&datagrams(), address, &python_log_in(user));
        assert_eq!(datagram::Notice::parse(&greeting), Ok(datagram::Notice::Greeting));
    }
    // Nothing else is served there: what is asked there first is never answered.
    let (at_session, at_datagram) = (datagrams(), datagrams());
    at_session.send_to(&python_log_in("carol"), session).expect("sent");
    assert!(exchange(&at_session, session, b"HELLO(alice)").starts_with(b"CHALLENGE("));
    at_datagram.send_to(b"HELLO(alice)", datagram).expect("sent");
    let greeting = exchange(&at_datagram, datagram, &python_log_in("carol"));
    assert_eq!(datagram::Notice::parse(&greeting), Ok(datagram::Notice::Greeting));
    assert_eq!(TcpStream::connect(datagram).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(ask(four_digits, "online,alice"), NOT_UNDERSTOOD);
}

#[test]
fn a_number_that_somebody_has_for_datagrams_is_in_use() {
    let taken = datagrams();
    let port = taken.local_addr().expect("an address").port();
    for protocol in ["session", "datagram"] {
        let output = fail(&["--listen", &format!("{protocol}=127.0.0.1:{port}")], &[]);
        let says = format!("chatd: port {port} is in use: stop what uses it, or choose another with --listen\n");
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()), (Some(69), says));
    }
    let output = fail(&["--port", &port.to_string()], &[]);
    let says = format!("chatd: port {port} is in use: stop what uses it, or choose another with --port\n");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()), (Some(69), says));
}

#[test]
fn out_of_scope_a_datagram_gets_no_answer() {
    let server = start(&["--plaintext", "10.0.0.0/8"], &[], &[]);
    let socket = datagrams();
    socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a limit");
    for datagram in [&b"HELLO(alice)"[..], &python_log_in("alice")] {
        socket.send_to(datagram, server.addresses[0]).expect("sent");
        assert_eq!(socket.recv(&mut [0; 64]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}
