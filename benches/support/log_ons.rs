//! Clients of the `session` protocol that log on by datagrams. Each comes from an address of its own, since what one source
//! may ask for in a time is bounded.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use chatd::wire::named::Named;
use chatd::wire::session::log_on::{FourDigitPort, FromClient, FromServer};
use chatd::wire::session::{Challenge, Response, SessionKey};
use chatd::wire::{Password, UserName};

use super::LIMIT;
use super::crowd::{PASSWORD, name};

/// The first of the addresses.
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 0);

/// From where a client comes.
pub fn address(n: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(FIRST_ADDRESS.to_bits() + n as u32)
}

pub fn password() -> Password {
    Password::parse(PASSWORD).expect("a password")
}

/// Clients that log on at one server, again and again.
pub struct LogOns {
    clients: Vec<Client>,
}

/// What a client has, once it has logged on.
pub struct LoggedOn {
    pub challenge: Challenge,
    pub key: SessionKey,
    pub port: FourDigitPort,
}

struct Client {
    socket: UdpSocket,
    user: Named,
}

impl LogOns {
    /// The users `u0`, `u1`, …, from addresses of the set with this number.
    pub fn new(server: SocketAddr, count: usize, set: usize) -> LogOns {
        LogOns { clients: (0..count).map(|n| Client::new(server, n, address(set * count + n))).collect() }
    }

    /// All of them log on, so many at once.
    pub fn log_on(&self, at_once: usize) -> Vec<LoggedOn> {
        let mut logged_on = Vec::with_capacity(self.clients.len());
        for clients in self.clients.chunks(at_once) {
            clients.iter().for_each(Client::say_hello);
            let challenged: Vec<Challenge> = clients.iter().map(Client::respond).collect();
            logged_on.extend(clients.iter().zip(challenged).map(|(client, challenge)| client.succeed(challenge)));
        }
        logged_on
    }
}

impl Client {
    fn new(server: SocketAddr, n: usize, from: Ipv4Addr) -> Client {
        let socket = UdpSocket::bind((from, 0)).expect("an address of this machine's own");
        socket.set_read_timeout(Some(LIMIT)).expect("a timeout");
        socket.connect(server).expect("an address");
        Client { socket, user: Named::User(UserName::parse(&name(n)).expect("a name")) }
    }

    fn say(&self, said: &FromClient) {
        self.socket.send(&said.write()).expect("a server that receives");
    }

    fn hear(&self, key: Option<&SessionKey>) -> FromServer {
        let mut buffer = [0; 1024];
        let bytes = self.socket.recv(&mut buffer).expect("an answer");
        FromServer::parse(&buffer[..bytes], key).expect("a word of the protocol")
    }

    fn say_hello(&self) {
        self.say(&FromClient::Hello(self.user.clone()));
    }

    fn respond(&self) -> Challenge {
        let FromServer::Challenge(challenge) = self.hear(None) else { panic!("no challenge") };
        let response = Response::to(challenge, &password());
        self.say(&FromClient::Response { user: self.user.clone(), response });
        challenge
    }

    fn succeed(&self, challenged: Challenge) -> LoggedOn {
        let key = SessionKey::of(challenged, &password());
        match self.hear(Some(&key)) {
            FromServer::Success { challenge, port } if challenge == challenged => LoggedOn { challenge, key, port },
            other => panic!("no success: {other:?}"),
        }
    }
}
