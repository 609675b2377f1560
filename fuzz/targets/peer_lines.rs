//! What another client says without the server: its lines, and a conversation with it at either end.
//!
//! The input is what it says. However it is split, the same is heard, told and answered; nothing is said to it before it has said
//! hello, if it is the one to say that; and what is kept of it and for it stays within bounds.

use std::time::Duration;

use chatd::client::peers::{Action, PeerNews, Peers, TEXTS_MAX};
use chatd::net::link::peers::PeerId;
use chatd::wire::native::REQUEST_BYTES_MAX;
use chatd::wire::native::client::News;
use chatd::wire::native::peer::{PeerHear, PeerLine, decode, encode};
use chatd::wire::{Fingerprint, Text, UserName};

use super::script::Sizes;

const NOW: Duration = Duration::from_secs(1000);
const WITHIN: Duration = Duration::from_secs(600);
const ID: PeerId = PeerId(1);
const THEIRS: Fingerprint = Fingerprint([7; Fingerprint::BYTES]);
/// Texts that wait to be said to them.
const TEXTS: usize = 12;

pub fn run(data: &[u8]) {
    let whole = lines(data, |_| data.len().max(1));
    let mut sizes = Sizes::of(data);
    assert_eq!(whole, lines(data, |_| sizes.next()), "the split changes what is heard");
    for dialled in [false, true] {
        let mut whole = Play::new(dialled);
        whole.hear(data);
        let mut split = Play::new(dialled);
        let (mut rest, mut sizes) = (data, Sizes::of(data));
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(sizes.next()));
            split.hear(piece);
            rest = after;
        }
        assert_eq!(whole.told, split.told, "the split changes what is told");
        assert_eq!(whole.is_closed, split.is_closed, "the split changes when it ends");
        whole.ends();
        split.ends();
    }
}

/// What is heard of `data` when it comes in pieces of these sizes.
fn lines(data: &[u8], mut size: impl FnMut(usize) -> usize) -> Vec<String> {
    let (mut lines, mut used, mut come) = (Vec::new(), 0, 0);
    while come < data.len() {
        come = data.len().min(come + size(come));
        while used < come {
            let rest = &data[used..come];
            match decode(rest) {
                PeerHear::Wait => {
                    assert!(rest.len() < REQUEST_BYTES_MAX, "an endless line is waited for");
                    break;
                }
                PeerHear::NotUnderstood => {
                    lines.push("not understood".to_owned());
                    return lines;
                }
                PeerHear::Line { used: taken, line } => {
                    assert_eq!(rest.iter().position(|&byte| byte == b'\n'), Some(taken - 1), "a line");
                    check_again(&line);
                    used += taken;
                    lines.push(format!("{line:?}"));
                }
            }
        }
    }
    lines
}

/// What was understood can be said, and is understood alike.
fn check_again(line: &PeerLine) {
    let mut bytes = Vec::new();
    encode(line, &mut bytes);
    if *line == PeerLine::Unknown {
        assert!(bytes.is_empty());
        return;
    }
    assert!(bytes.len() <= REQUEST_BYTES_MAX);
    assert_eq!(decode(&bytes), PeerHear::Line { used: bytes.len(), line: line.clone() });
}

/// Alice, who talks to bob, who says anything.
struct Play {
    peers: Peers,
    dialled: bool,
    told: Vec<PeerNews>,
    is_up: bool,
    is_closed: bool,
}

impl Play {
    fn new(dialled: bool) -> Play {
        let (alice, bob) = (name("alice"), name("bob"));
        let mut peers = Peers::default();
        peers.connected(true);
        peers.logged_in(NOW, &alice);
        for n in 0..TEXTS {
            peers.say(NOW, &bob, Some(Text::parse(&format!("text {n}")).expect("a text"))).expect("room");
        }
        if dialled {
            let address = ([10, 0, 0, 2], 4000).into();
            let yes = News::Address { user: bob.clone(), address, certificate: THEIRS, connect_within: WITHIN };
            peers.news(NOW, &yes);
            peers.dialling(&bob, ID);
        } else {
            peers.news(NOW, &News::Asks { user: bob.clone(), certificate: THEIRS, answer_within: WITHIN });
            peers.expect(NOW, &bob).expect("bob asks");
            peers.consented(NOW, &bob, THEIRS, WITHIN);
        }
        peers.up(NOW, ID, THEIRS, dialled);
        let mut play = Play { peers, dialled, told: Vec::new(), is_up: false, is_closed: false };
        play.settle();
        play
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.peers.received(ID, bytes);
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(news) = self.peers.next_news() {
            match &news {
                PeerNews::Up { .. } => self.is_up = true,
                PeerNews::Said { .. } | PeerNews::Heard { .. } => assert!(self.is_up),
                _ => {}
            }
            self.told.push(news);
        }
        while let Some(action) = self.peers.next_action() {
            match action {
                Action::Send(id, bytes) => {
                    assert!(id == ID && !self.is_closed, "nothing is said behind the end");
                    assert!(!self.dialled || self.is_up, "nothing is said before hello");
                    assert!(bytes.ends_with(b"\n"));
                }
                Action::Close(id) => {
                    assert!(id == ID && !self.is_closed);
                    self.is_closed = true;
                }
                _ => {}
            }
        }
    }

    /// Nothing is left over, and what was not confirmed is kept, in order.
    fn ends(mut self) {
        self.peers.close();
        self.settle();
        assert!(self.is_closed);
        let held = self.peers.take_held(&name("bob"));
        assert!(held.len() <= TEXTS.min(TEXTS_MAX));
        let last: Vec<String> = (TEXTS - held.len()..TEXTS).map(|n| format!("text {n}")).collect();
        assert_eq!(held.iter().map(Text::as_str).collect::<Vec<_>>(), last);
        self.peers.tick(NOW + 2 * WITHIN);
        self.settle();
        assert_eq!(self.peers.standing(NOW), Default::default());
        assert_eq!(self.peers.poll_timeout(), None);
    }
}

fn name(text: &str) -> UserName {
    UserName::parse(text).expect("a name")
}
