//! Clients of the `session` protocol that chat, two by two: in each pair the first one speaks, and the second one hears.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use chatd::wire::UserName;
use chatd::wire::named::Named;
use chatd::wire::session::messages::{FromClient, FromServer};
use chatd::wire::session::{READ_BYTES_MAX, SessionKey, glued};
use socket2::{Domain, Socket, Type};

use super::LIMIT;
use super::crowd::name;
use super::log_ons::{LogOns, address};

pub struct Pairs(Vec<Pair>);

struct Pair {
    speaker: Member,
    hearer: Member,
    /// What the speaker is called.
    name: String,
}

struct Member {
    stream: TcpStream,
    key: SessionKey,
}

impl Pairs {
    /// They log on at chatd, and begin to chat.
    pub fn chat(server: SocketAddr, count: usize) -> Pairs {
        let logged_on = LogOns::new(server, 2 * count, 0).log_on(1);
        let members = logged_on.into_iter().enumerate().map(|(n, logged_on)| {
            let mut member = Member::connect(n, SocketAddr::new(server.ip(), logged_on.port.get()), logged_on.key);
            member.write(&glued::connect(logged_on.challenge, &member.key));
            assert_eq!(member.hear(), FromServer::Connected);
            member
        });
        let mut pairs = Pairs::of(members.collect());
        for (n, Pair { speaker, hearer, .. }) in pairs.0.iter_mut().enumerate() {
            let other = UserName::parse(&name(2 * n + 1)).expect("a name");
            speaker.say(&FromClient::ChatRequest(Named::User(other)).write());
            for member in [speaker, hearer] {
                assert!(matches!(member.hear(), FromServer::ChatStarted { .. }));
            }
        }
        pairs
    }

    /// They connect to a relay that asks nothing.
    pub fn connect(relay: SocketAddr, count: usize, keys: &[SessionKey; 2]) -> Pairs {
        Pairs::of((0..2 * count).map(|n| Member::connect(n, relay, keys[n % 2].clone())).collect())
    }

    fn of(members: Vec<Member>) -> Pairs {
        let mut members = members.into_iter().enumerate();
        let pairs = std::iter::from_fn(|| {
            let ((n, speaker), (_, hearer)) = (members.next()?, members.next()?);
            Some(Pair { speaker, hearer, name: name(n) })
        });
        Pairs(pairs.collect())
    }

    /// `count` messages, so many at once, each of another pair.
    pub fn say(&mut self, text: &str, count: usize, at_once: usize) {
        for _ in 0..count / at_once {
            for pair in &mut self.0[..at_once] {
                pair.speaker.say(text);
            }
            for Pair { hearer, name, .. } in &mut self.0[..at_once] {
                assert_eq!(hearer.hear(), FromServer::Text(format!("{name}: {text}")));
            }
        }
    }
}

impl Member {
    fn connect(n: usize, server: SocketAddr, key: SessionKey) -> Member {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((address(n), 0)).into()).expect("an address of this machine's own");
        socket.connect(&server.into()).expect("a server that listens");
        socket.set_read_timeout(Some(LIMIT)).expect("a timeout");
        Member { stream: socket.into(), key }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("a server that reads");
    }

    fn say(&mut self, plain: &str) {
        let mut ciphered = Vec::new();
        self.key.encipher(plain, &mut ciphered);
        self.write(&ciphered);
    }

    /// One read, which is one message.
    fn hear(&mut self) -> FromServer {
        let mut buffer = [0; READ_BYTES_MAX];
        let bytes = self.stream.read(&mut buffer).expect("a message");
        FromServer::parse(&self.key.decipher(&buffer[..bytes]).expect("what the key is for"))
    }
}
