//! The program `chat` against servers of the classic protocols. The servers here are the test itself, a step at a time with
//! plain sockets: it reads once where those servers read once, and compares with what they compare with.

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use support::LIMIT;
use support::chat::{Outcome, Person, Session, run};
use support::terminal::CTRL_C;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What a server of these reads at once.
fn read_once(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 4096];
    let count = stream.read(&mut bytes).expect("something, or the end");
    String::from_utf8(bytes[..count].to_vec()).expect("UTF-8")
}

/// Nothing more comes.
#[track_caller]
fn has_ended(stream: &mut TcpStream) {
    assert_eq!(read_once(stream), "");
}

fn says(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).expect("written");
}

/// A server, of which the test is the other half.
struct Server {
    listener: TcpListener,
    /// Where the client listens.
    client_port: u16,
}

impl Server {
    fn new() -> Server {
        Server { listener: TcpListener::bind((LOOPBACK, 0)).expect("a port"), client_port: 0 }
    }

    /// Somebody who uses it.
    fn person(&self, user: &'static str) -> Person {
        let port = self.listener.local_addr().expect("bound").port();
        let home = tempfile::tempdir().expect("a directory");
        Person { user, host: LOOPBACK.to_string(), port, certificate: String::new(), home }
    }

    #[track_caller]
    fn accept(&self) -> TcpStream {
        SockRef::from(&self.listener).set_read_timeout(Some(LIMIT)).expect("possible");
        let (stream, _) = self.listener.accept().expect("somebody comes");
        stream.set_read_timeout(Some(LIMIT)).expect("possible");
        stream.set_nodelay(true).expect("possible");
        stream
    }

    /// Hears the first words of a log-in.
    #[track_caller]
    fn meets(&mut self, user: &str, password: &str) -> TcpStream {
        let mut stream = self.accept();
        let first = read_once(&mut stream);
        let (rest, port) = first.rsplit_once(',').expect("a port");
        assert_eq!(rest, format!("newUser,{user},{password}"));
        self.client_port = port.parse().expect("a port");
        stream
    }

    /// Somebody logs in.
    #[track_caller]
    fn logs_in(&mut self, user: &str, password: &str) {
        let mut stream = self.meets(user, password);
        says(&mut stream, "Welcome to simple chat server!\n");
        assert_eq!(read_once(&mut stream), "ok");
        says(&mut stream, &format!("Authenticated {user}"));
        has_ended(&mut stream);
    }

    /// The next request is this one.
    #[track_caller]
    fn hears(&self, request: &str) {
        assert_eq!(read_once(&mut self.accept()), request);
    }

    /// Tells the client something, and sees it close.
    #[track_caller]
    fn delivers(&self, text: &str) {
        self.delivers_from([127, 0, 0, 1], text);
    }

    /// The same, from elsewhere.
    #[track_caller]
    fn delivers_from(&self, ip: [u8; 4], text: &str) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((ip, 0)).into()).expect("an address of loopback");
        socket.connect(&SocketAddr::new(LOOPBACK, self.client_port).into()).expect("the client listens");
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(LIMIT)).expect("possible");
        says(&mut stream, text);
        has_ended(&mut stream);
    }

    /// A chat with these words, and how it ends; `serve` is the server meanwhile.
    fn serves(mut self, words: &[&str], input: &[u8], serve: impl FnOnce(&mut Server)) -> Outcome {
        let alice = self.person("alice");
        let command = alice.command(words);
        let input = input.to_vec();
        let chat = thread::spawn(move || run(command, &input));
        serve(&mut self);
        drop(self);
        chat.join().expect("it runs")
    }
}

/// A session of alice, who has just logged in by `request`.
fn alice(options: &[&str]) -> (Server, Session) {
    let mut server = Server::new();
    let session = server.person("alice").start(&[&["--protocol", "request"], options].concat());
    server.logs_in("alice", "wonderland");
    (server, session)
}

#[test]
fn a_script_does_everything_that_request_has_a_word_for() {
    let (server, mut session) = alice(&[]);
    server.delivers("Offline messages: \ncarol:are you there?\n");
    session.hears("* note: what came while you were offline:");
    session.hears("carol: are you there?");
    session.says("message bob hi, there");
    server.hears("forward,alice,bob,hi, there\n");
    session.hears("ok");
    session.says("broadcast hi, all");
    server.hears("broadcast,alice,hi, all\n");
    session.hears("ok");
    session.says("online");
    server.hears("online,alice");
    server.delivers("online,bob,carol");
    session.hears("bob");
    session.hears("carol");
    session.says("block bob");
    server.hears("block,alice,bob");
    server.delivers("User bob has been blocked\n");
    session.hears("ok");
    session.says("unblock carol");
    server.hears("unblock,alice,carol");
    server.delivers("User carol is not in the blocked list\n");
    session.is_told("chat: line 5: you do not block carol");
    session.says("wait carol: 60");
    server.delivers("note:dave is online!\n");
    server.delivers("carol:two\n    lines, one \u{1b}[2J\n");
    session.hears("* dave is online");
    session.hears("carol: two");
    session.hears("    lines, one <U+001B>[2J");
    session.says("history");
    session.is_told("chat: line 7: the protocol 'request' has no word for 'history'");
    session.says("logout");
    server.hears("logout,alice");
    session.has_ended(77);
}

#[test]
fn the_end_of_the_input_logs_out() {
    let (server, session) = alice(&[]);
    let ending = thread::spawn(move || session.ends(0));
    server.hears("logout,alice");
    ending.join().expect("it ends");
}

#[test]
fn a_command_of_the_command_line_logs_in_and_out() {
    let command = |words: &[&str], request: &'static str, reply: &'static str| {
        let words = [&["--protocol", "request"], words].concat();
        Server::new().serves(&words, b"two\nlines\n", |server| {
            server.logs_in("alice", "wonderland");
            let mut stream = server.accept();
            assert_eq!(read_once(&mut stream), request);
            if !reply.is_empty() {
                // While the request is under way, or a slow machine could miss the time for a refusal.
                server.delivers(reply);
            }
            drop(stream);
            server.hears("logout,alice");
        })
    };
    command(&["message", "bob", "hi"], "forward,alice,bob,hi\n", "").is("", "", 0);
    command(&["message", "bob", "-"], "forward,alice,bob,two\n    lines\n", "").is("", "", 0);
    let blocked = "Your message could not bedelivered\nas the recipient has blocked you\n";
    command(&["message", "bob", "hi"], "forward,alice,bob,hi\n", blocked).is(
        "",
        "chat: not delivered: bob has blocked you\n",
        77,
    );
    let nobody = "No such User in the system\n";
    let told = "chat: there is no user 'zoe'\n";
    command(&["message", "zoe", "hi"], "forward,alice,zoe,hi\n", nobody).is("", told, 67);
    command(&["block", "zoe"], "block,alice,zoe", nobody).is("", told, 67);
    let partly = "Your message could not be delivered to some recipients\n";
    let said = "{\"reach\":\"partial\",\"reply\":\"handed-over\"}\n";
    command(&["--json", "broadcast", "hi"], "broadcast,alice,hi\n", partly).is(said, "", 0);
    command(&["online"], "online,alice", "online,bob").is("bob\n", "", 0);
    command(&["unblock", "bob"], "unblock,alice,bob", "User bob is unblocked\n").is("", "", 0);
    let address = "getaddress,bob,10.0.0.3,41234";
    command(&["getaddress", "bob"], "getaddress,alice,bob", address).is("bob 10.0.0.3 41234\n", "", 0);
    let offline = "chat: no address of bob: they have gone offline\n";
    command(&["getaddress", "bob"], "getaddress,alice,bob", "getaddress,offline").is("", offline, 75);
}

#[test]
fn a_command_loses_nothing_that_comes_with_its_log_in() {
    let outcome = Server::new().serves(&["--protocol", "request", "online"], b"", |server| {
        server.logs_in("alice", "wonderland");
        server.delivers("Offline messages: \ncarol:are you there?\n");
        server.hears("online,alice");
        server.delivers("note:dave is online!\n");
        server.delivers("online,bob");
        server.hears("logout,alice");
    });
    outcome.is("bob\n", "chat: carol: are you there?\n", 0);
}

#[test]
fn a_text_that_is_too_long_for_one_read_goes_in_parts() {
    let long = format!("{}é", "x".repeat(4094));
    let outcome = Server::new().serves(&["--protocol", "request", "message", "bob", &long], b"", |server| {
        server.logs_in("alice", "wonderland");
        server.hears(&format!("forward,alice,bob,{}\n", "x".repeat(4077)));
        server.hears(&format!("forward,alice,bob,{}é\n", "x".repeat(17)));
        server.hears("logout,alice");
    });
    outcome.is("", "", 0);
}

#[test]
fn a_log_in_that_is_refused_says_why() {
    let refused = |texts: &'static [&[&str]], word: &'static str| {
        Server::new().serves(&["--protocol", "request"], b"", |server| {
            let mut stream = server.meets("alice", "wonderland");
            for parts in texts {
                // In pieces, as those servers do, and answered once.
                for part in *parts {
                    says(&mut stream, part);
                    thread::yield_now();
                }
                assert_eq!(read_once(&mut stream), "ok");
            }
            says(&mut stream, word);
            has_ended(&mut stream);
        })
    };
    let unknown = refused(&[&["Invalid Username. Please try again.\n"]], "prompt");
    unknown.is("", "chat: Invalid Username. Please try again.\n", 77);
    let wrong = refused(&[&["Invalid Password. Please try again.\n"]], "prompt_password");
    wrong.is("", "chat: Invalid Password. Please try again.\n", 77);
    const LOCKED: &[&str] =
        &["Invalid password. Your account has been blocked.\n", "Please try again after sometime.\n"];
    let told = "chat: Invalid password. Your account has been blocked.\nchat: Please try again after sometime.\n";
    refused(&[LOCKED], "exit").is("", told, 77);
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let words = ["--protocol", "request", "--timeout", "0.3", "online"];
    let outcome = Server::new().serves(&words, b"", |server| {
        let mut stream = server.meets("alice", "wonderland");
        has_ended(&mut stream);
    });
    outcome.is("", "chat: no answer from the server within 0.3 s\n", 69);
    let outcome = Server::new().serves(&words, b"", |server| {
        server.logs_in("alice", "wonderland");
        server.hears("online,alice");
        server.hears("logout,alice");
    });
    outcome.is("", "chat: no answer from the server in time: it may be done or not\n", 69);
}

#[test]
fn what_is_no_such_server_is_not_understood() {
    for protocol in ["request", "nick"] {
        let outcome = Server::new().serves(&["--protocol", protocol, "broadcast", "hi"], b"", |server| {
            let mut stream = server.accept();
            says(&mut stream, "220 mail.example.org\r\n");
            if protocol == "request" {
                read_once(&mut stream);
            }
        });
        assert_eq!((&*outcome.out, outcome.status), ("", 76), "{outcome:?}");
        assert!(outcome.error.ends_with("it says: 220 mail.example.org\n"), "{outcome:?}");
    }
}

#[test]
fn where_nobody_listens_there_is_no_server() {
    for protocol in ["request", "nick"] {
        let person = Server::new().person("alice");
        for words in [&["--protocol", protocol, "broadcast", "hi"][..], &["--protocol", protocol]] {
            let outcome = person.chat(words);
            assert_eq!((&*outcome.out, outcome.status), ("", 69), "{outcome:?}");
            assert!(outcome.error.contains("is chatd running there?"), "{outcome:?}");
        }
    }
}

#[test]
fn a_server_that_has_gone_ends_the_session() {
    let (server, mut session) = alice(&["--heartbeat", "0.2"]);
    server.hears("alive,alice");
    drop(server);
    session.is_told_something_with("is chatd running there?");
    session.has_ended(69);
}

#[test]
fn a_server_that_ends_the_session_is_believed() {
    for (text, why) in [
        ("shutdown", "chat: the server stops"),
        (
            "logout_duplicate",
            "chat: displaced: the same user has logged in again with this protocol, and that session goes on",
        ),
    ] {
        let (server, mut session) = alice(&[]);
        server.delivers(text);
        session.is_told(why);
        session.has_ended(69);
        server.listener.set_nonblocking(true).expect("possible");
        assert!(server.listener.accept().is_err(), "no log-out, which would be the other session's");
    }
}

#[test]
fn signals_log_out_first() {
    for (name, status) in [("INT", 130), ("TERM", 143)] {
        let (server, session) = alice(&[]);
        session.signal(name);
        server.hears("logout,alice");
        session.has_ended(status);
    }
    let mut server = Server::new();
    let session = server.person("alice").start(&["--protocol", "request"]);
    let _undecided = server.meets("alice", "wonderland");
    session.signal("INT");
    server.hears("logout,logout");
    session.has_ended(130);
}

#[test]
fn whoever_is_not_the_server_is_not_taken_for_it() {
    let (server, mut session) = alice(&[]);
    server.delivers_from([127, 0, 0, 2], "shutdown");
    session.is_told(
        "chat: somebody at 127.0.0.2 sent something and was not heard: it is nobody to whom you have said yes",
    );
    server.delivers("private_consent,bob");
    session
        .hears("* bob asks for your address, to talk to you without the server: 'consent bob yes' or 'consent bob no'");
    session.says("consent bob yes");
    server.hears("private_answer,alice,bob,yes");
    session.hears("ok");
    server.delivers_from([127, 0, 0, 2], "bob:psst\n");
    session.hears("bob (privately): psst");
    session.says("consent bob no");
    session.is_told("chat: line 2: bob has not asked for your address");
    session.says("logout");
    server.hears("logout,alice");
    session.has_ended(77);
}

#[test]
fn a_private_text_goes_to_the_other_client_itself() {
    let (server, mut session) = alice(&["--json"]);
    let mut bob = Server::new();
    bob.listener = TcpListener::bind(("127.0.0.3", 0)).expect("an address of loopback");
    let port = bob.listener.local_addr().expect("bound").port();
    session.says("private bob psst");
    server.hears("getaddress,alice,bob");
    server.delivers(&format!("getaddress,bob,127.0.0.3,{port}"));
    bob.hears("alice:psst\n");
    session.hears("{\"reply\":\"said\",\"user\":\"bob\"}");
    session.says("private bob again");
    bob.hears("alice:again\n");
    session.hears("{\"reply\":\"said\",\"user\":\"bob\"}");
    server.delivers_from([127, 0, 0, 3], "bob:yes?\n");
    session.hears("{\"event\":\"private\",\"from\":\"bob\",\"text\":\"yes?\"}");
    drop(bob);
    session.says("private bob gone?");
    session.is_told_something_with("line 3: not said to bob: can't reach 127.0.0.3 port");
    session.says("logout");
    server.hears("logout,alice");
    session.has_ended(69);
}

#[test]
fn a_request_that_is_broken_off_is_told() {
    let (server, mut session) = alice(&[]);
    session.says("message bob hi");
    let stream = server.accept();
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("possible");
    drop(stream);
    session.is_told("chat: line 1: the server broke the connection off: it may be done or not");
    session.says("message bob hi");
    server.hears("forward,alice,bob,hi\n");
    session.hears("ok");
    session.says("logout");
    server.hears("logout,alice");
    session.has_ended(69);
}

#[test]
fn what_makes_no_sense_in_a_protocol_is_usage() {
    let person = Server::new().person("alice");
    let wrong: [&[&str]; 5] = [
        &["--protocol", "request", "privacy"],
        &["--protocol", "request", "--wait", "delivered", "message", "bob", "hi"],
        &["--protocol", "nick", "online"],
        &["--protocol", "request", "consent", "bob", "no"],
        &["--protocol", "pigeons", "online"],
    ];
    for words in wrong {
        let outcome = person.chat(words);
        assert_eq!((&*outcome.out, outcome.status), ("", 2), "{outcome:?}");
    }
    let help = person.chat(&["--protocol", "nick", "help"]);
    assert_eq!(help.status, 0);
    assert!(help.out.contains("broadcast TEXT") && !help.out.contains("message USER"), "{help:?}");
}

/// Asks alice for her nickname, and lets her in.
#[track_caller]
fn lets_alice_in(server: &Server) -> TcpStream {
    let mut stream = server.accept();
    says(&mut stream, "NICK");
    assert_eq!(read_once(&mut stream), "alice");
    says(&mut stream, "alice joined the chat!");
    says(&mut stream, "Connected to the server!");
    stream
}

#[test]
fn a_script_talks_in_the_room() {
    let server = Server::new();
    let mut session = server.person("alice").start(&["--protocol", "nick"]);
    let mut stream = lets_alice_in(&server);
    session.says("broadcast hi, all");
    assert_eq!(read_once(&mut stream), "alice: hi, all");
    says(&mut stream, "alice: hi, all");
    session.hears("alice (to everyone): hi, all");
    session.hears("ok");
    session.says("wait bob (to everyone): 60");
    says(&mut stream, "bob joined the chat!");
    session.hears("* bob is online");
    says(&mut stream, "bob: \u{1b}[2Jna\u{ef}ve");
    session.hears("bob (to everyone): <U+001B>[2Jna\u{ef}ve");
    session.says("message bob hi");
    session.is_told("chat: line 3: the protocol 'nick' has no word for 'message'");
    says(&mut stream, "bob left the chat!");
    session.hears("* bob is offline");
    session.says("logout");
    has_ended(&mut stream);
    session.has_ended(2);
}

#[test]
fn a_command_says_something_in_the_room() {
    let outcome = Server::new().serves(&["--protocol", "nick", "broadcast", "two\nlines"], b"", |server| {
        let mut stream = lets_alice_in(server);
        // Apart, unless this thread is late.
        let mut both = [0; 22];
        stream.read_exact(&mut both).expect("both lines");
        assert_eq!(&both, b"alice: twoalice: lines");
        says(&mut stream, "alice: two\nalice: lines");
        has_ended(&mut stream);
    });
    outcome.is("", "", 0);
}

#[test]
fn a_nickname_that_is_refused_and_a_room_that_closes_are_told_apart() {
    let words = ["--protocol", "nick", "broadcast", "hi"];
    let outcome = Server::new().serves(&words, b"", |server| {
        let mut stream = server.accept();
        says(&mut stream, "NICK");
        read_once(&mut stream);
        says(&mut stream, "alice is taken\n");
    });
    outcome.is("", "chat: the server does not let you in: alice is taken\n", 77);
    let outcome = Server::new().serves(&words, b"", |server| {
        let mut stream = lets_alice_in(server);
        read_once(&mut stream);
    });
    outcome.is("", "chat: the server closed the connection\n", 69);
    let outcome = Server::new().serves(&["--protocol", "nick", "--timeout", "0.3"], b"", |server| {
        has_ended(&mut server.accept());
    });
    outcome.is("", "chat: no answer from the server within 0.3 s\n", 69);
}

#[test]
fn ctrl_c_leaves_the_room() {
    let server = Server::new();
    let session = server.person("alice").start(&["--protocol", "nick"]);
    let mut stream = lets_alice_in(&server);
    session.signal("INT");
    has_ended(&mut stream);
    session.has_ended(130);
}

const NOT_ENCRYPTED: &str =
    "chat: the protocol 'request' is not encrypted: everyone on the way can read and change what is said,";

#[test]
fn a_person_is_asked_for_the_password_and_shown_the_commands() {
    let mut server = Server::new();
    let person = server.person("alice");
    let mut terminal = person.sit_down(&["--protocol", "request"]);
    let asked = [NOT_ENCRYPTED, " and your password", "password of alice:"];
    terminal.sees(&asked);
    terminal.enters("winterland");
    let mut stream = server.meets("alice", "winterland");
    says(&mut stream, "Invalid Password. Please try again.\n");
    assert_eq!(read_once(&mut stream), "ok");
    says(&mut stream, "prompt_password");
    has_ended(&mut stream);
    let again = ["chat: Invalid Password. Please try again.", "password of alice:"];
    terminal.sees(&[&asked[..], &again].concat());
    terminal.enters("wonderland");
    server.logs_in("alice", "wonderland");
    let has = |text: &'static str| move |screen: &[String]| screen.iter().any(|row| row.starts_with(text));
    terminal.sees_that("the commands", |screen| {
        has("hh:mm * you are online as alice; these are the commands:")(screen)
            && has("consent USER yes|no")(screen)
            && !has("history")(screen)
            && screen.last().is_some_and(|row| row == "alice>")
    });
    terminal.enters("message bob hi");
    server.hears("forward,alice,bob,hi\n");
    terminal.sees_that("that it is handed over", has("✓ to bob (handed over)"));
    server.delivers("bob:hello\n");
    terminal.sees_that("what bob says", has("hh:mm bob: hello"));
    terminal.enters("passwd");
    terminal.sees_that("that there is no such word", has("the protocol 'request' has no word for 'passwd'"));
    terminal.types(CTRL_C);
    server.hears("logout,alice");
    terminal.ended_with(130);
    assert!(!terminal.printed().contains("winterland"));
}

#[test]
fn a_person_sees_what_the_room_says_once() {
    let server = Server::new();
    let mut terminal = server.person("alice").sit_down(&["--protocol", "nick"]);
    let mut stream = lets_alice_in(&server);
    terminal.sees_that("the prompt", |screen| screen.last().is_some_and(|row| row == "alice>"));
    terminal.enters("broadcast hi");
    assert_eq!(read_once(&mut stream), "alice: hi");
    says(&mut stream, "alice: hi");
    says(&mut stream, "\nbob: ho");
    terminal.sees_that("both", |screen| {
        let [.., typed, ours, theirs, prompt] = screen else { return false };
        [&typed[..], ours, theirs, prompt]
            == ["alice> broadcast hi", "hh:mm alice (to everyone): hi", "hh:mm bob (to everyone): ho", "alice>"]
    });
    terminal.enters("logout");
    has_ended(&mut stream);
    terminal.ended_with(0);
}

#[test]
fn a_person_whose_server_has_gone_is_told_and_keeps_a_terminal() {
    let server = Server::new();
    let mut terminal = server.person("alice").sit_down(&["--protocol", "nick"]);
    let stream = lets_alice_in(&server);
    terminal.sees_that("the prompt", |screen| screen.last().is_some_and(|row| row == "alice>"));
    drop(stream);
    let screen = terminal.ended_with(69);
    assert_eq!(screen.last().map(String::as_str), Some("chat: the server closed the connection"));
}
