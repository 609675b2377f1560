//! An existing server, and who comes to it with chat and with its own client.

use std::net::SocketAddr;
use std::process::Command;

use crate::existing::Fault;
use crate::existing::request_client::RequestClient;
use crate::existing::request_server::{RequestServer, Settings};
use crate::support::chat::{Outcome, Person, Session, run};
use crate::support::password;

pub const ACCOUNTS: [(&str, &str); 3] = [("alice", "wonderland"), ("bob", "builder"), ("carol", "christmas")];

/// A server of `request`.
pub struct Scene {
    pub server: RequestServer,
}

/// Somebody with a session of chat's, and a machine of their own.
pub struct Chatter {
    pub session: Session,
    _person: Person,
}

impl Chatter {
    pub fn new(person: Person, session: Session) -> Chatter {
        Chatter { session, _person: person }
    }
}

pub fn person(server: SocketAddr, user: &'static str) -> Person {
    let home = tempfile::tempdir().expect("a directory");
    Person { user, host: server.ip().to_string(), port: server.port(), certificate: String::new(), home }
}

impl Chatter {
    /// How the session ends when its input does.
    pub fn end(mut self) -> Outcome {
        self.session.end_input();
        self.session.outcome()
    }

    /// How the session ends by itself.
    pub fn has_ended(self) -> Outcome {
        self.session.outcome()
    }
}

impl Scene {
    pub fn new() -> Scene {
        Scene::with(&Settings::new(&ACCOUNTS))
    }

    pub fn with(settings: &Settings) -> Scene {
        Scene { server: RequestServer::start_with(settings) }
    }

    pub fn command(&self, user: &'static str, words: &[&str]) -> (Person, Command) {
        let person = person(self.server.address(), user);
        let command = person.command(&[&["--protocol", "request"], words].concat());
        (person, command)
    }

    /// One command of chat's.
    pub fn chat(&self, user: &'static str, words: &[&str]) -> Outcome {
        let (_person, command) = self.command(user, words);
        run(command, b"")
    }

    /// The existing client.
    pub fn client(&self, user: &str) -> RequestClient {
        RequestClient::logged_in(self.server.address(), user, password(user))
    }

    /// A session that is logged in when this returns.
    #[track_caller]
    pub fn session(&self, user: &'static str, options: &[&str]) -> Chatter {
        let person = person(self.server.address(), user);
        let mut session = person.start(&[&["--protocol", "request"], options].concat());
        // Whoever has an answer is logged in.
        let json = options.contains(&"--json");
        for (word, reply) in [("block", "blocked"), ("unblock", "unblocked")] {
            session.says(&format!("{word} carol"));
            let answer = format!("{{\"reply\":\"{reply}\",\"user\":\"carol\"}}");
            session.hears(if json { &answer } else { "ok" });
        }
        Chatter { session, _person: person }
    }

    /// The client has done nothing that the server could not cope with.
    #[track_caller]
    pub fn is_content(&self) {
        assert_eq!(self.server.faults(), Vec::<Fault>::new());
    }
}
