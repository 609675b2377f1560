//! Conversations without the server, on the real programs, from docs/PROTOCOL.md ("Between two clients") and docs/CHAT.md
//! ("Without the server"): chat with chat, and chat with a peer by hand at either end.

mod support;

#[path = "private/both.rs"]
mod both;
#[path = "private/coming.rs"]
mod coming;
#[path = "private/going.rs"]
mod going;
#[path = "private/peer.rs"]
mod peer;
#[path = "private/screen.rs"]
mod screen;

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};

use peer::{Door, Identity};
use support::Chatd;
use support::chat::{Person, Session};
use support::tls::{Connector, TlsClient};

/// What bob's chat says when alice asks.
const ASKED: &str = "* alice asks for your address, to talk to you without the server: \
                     'consent alice yes' or 'consent alice no' within 120 s";
/// What alice's chat says when bob is asked,
const IS_ASKED: &str = "* bob is asked, and has 120 s to answer";
/// and when they talk, at either end.
const UP_WITH_BOB: &str = "* a private conversation with bob has begun";
const UP_WITH_ALICE: &str = "* a private conversation with alice has begun";

/// A user by hand: what is said to the server and what it answers.
pub struct ByHand {
    pub server: TlsClient,
    pub identity: Identity,
}

impl ByHand {
    pub fn new(chatd: &Chatd, user: &str) -> ByHand {
        let mut server = Connector::new().connect(chatd.address());
        server.log_in(user, Some(9));
        ByHand { server, identity: Identity::new() }
    }

    /// Asks a user, who is not told to answer.
    #[track_caller]
    pub fn asks(&mut self, user: &str) {
        let certificate = self.identity.fingerprint();
        let answer = self.server.ask(json!({"request": "ask-address", "user": user, "certificate": certificate}));
        assert_eq!([&answer["reply"], &answer["seconds"]], [&json!("asked"), &json!(120)], "{answer}");
    }

    /// The answer: where they are, and what they will show.
    #[track_caller]
    pub fn is_told_the_address(&mut self) -> (SocketAddr, String) {
        let event = self.server.event("address");
        assert_eq!(event["seconds"], 600, "{event}");
        let text = |field: &str| event[field].as_str().expect("a text").to_owned();
        let port = event["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        assert!(port >= 1024, "{event}");
        (SocketAddr::new(text("address").parse().expect("an address"), port), text("certificate"))
    }

    /// Is asked, and says yes for this socket.
    #[track_caller]
    pub fn says_yes(&mut self, user: &str, door: &Door) -> Value {
        self.says_yes_at(user, door.port())
    }

    /// The same for a port.
    #[track_caller]
    pub fn says_yes_at(&mut self, user: &str, port: u16) -> Value {
        let event = self.server.event("asks");
        assert_eq!([&event["user"], &event["seconds"]], [&json!(user), &json!(120)], "{event}");
        let certificate = self.identity.fingerprint();
        let request = json!({
            "request": "consent", "user": user, "answer": true, "port": port, "certificate": certificate,
        });
        let answer = self.server.ask(request);
        assert_eq!(answer["reply"], "consented", "{answer}");
        assert_eq!(answer["certificate"], event["certificate"], "{answer}");
        answer
    }
}

/// The line that tells of an address, with the port left out of it.
#[track_caller]
fn hears_the_address(session: &mut Session, user: &str, address: IpAddr) -> u16 {
    let line = session.hears_something();
    let port = line
        .strip_prefix(&format!("* {user} says yes: {address} port "))
        .and_then(|rest| rest.strip_suffix(", for 600 s"))
        .unwrap_or_else(|| panic!("{line}"));
    port.parse().unwrap_or_else(|_| panic!("{line}"))
}

/// Alice and bob, in sessions, at a server that keeps nothing.
struct Two {
    chatd: Chatd,
    _alices: Person,
    _bobs: Person,
    alice: Session,
    bob: Session,
}

impl Two {
    fn new() -> Two {
        Two::with(&[])
    }

    fn with(options: &[&str]) -> Two {
        Two::at(Chatd::start(&["--memory"]), "127.0.0.1", options)
    }

    fn at(chatd: Chatd, host: &str, options: &[&str]) -> Two {
        let [alices, bobs] = ["alice", "bob"].map(|user| Person::new(&chatd, user).at(host));
        let bob = bobs.session(&chatd, options);
        let alice = alices.session(&chatd, options);
        let mut two = Two { chatd, _alices: alices, _bobs: bobs, alice, bob };
        let online =
            if options.contains(&"--json") { r#"{"event":"online","user":"alice"}"# } else { "* alice is online" };
        two.bob.hears(online);
        two
    }

    /// Alice asks, bob says yes, and alice's text is heard. Comes back: where he listens.
    #[track_caller]
    fn talk(&mut self, text: &str, address: IpAddr) -> u16 {
        self.alice.says(&format!("private bob {text}"));
        self.bob.hears(ASKED);
        self.bob.says("consent alice yes");
        self.bob.hears("ok");
        self.alice.hears(IS_ASKED);
        let port = hears_the_address(&mut self.alice, "bob", address);
        self.alice.hears(UP_WITH_BOB);
        self.alice.hears("ok");
        self.bob.hears(UP_WITH_ALICE);
        self.bob.hears(&format!("alice (privately): {text}"));
        port
    }
}

const LOCALHOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
