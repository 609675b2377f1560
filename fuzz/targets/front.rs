//! Strangers at the door: whatever they say, in whatever pieces, whenever they go.
//!
//! The input is a script. The first byte of each part says what is done (its lowest four bits) and on which of four
//! connections (the next two); the rest of the part is what is said.

use std::time::Duration;

use chatd::wire::native::client::{Hear, decode};

use super::script::parts;
use super::world::{Client, ELSEWHERE, HERE, PLENTY, World};

/// A wait is one of these, in milliseconds; the limits of the server lie around them.
const WAITS_MS: [u64; 8] = [10, 1000, 2000, 5000, 20_000, 36_000, 61_000, 600_000];
const CONNECTIONS: usize = 4;
/// Bytes that are said one at a time, at most.
const SINGLY_MAX: usize = 128;

/// A connection and everything that was told on it.
struct Somebody {
    client: Client,
    heard: Vec<u8>,
}

pub fn run(data: &[u8]) {
    let mut world = World::new();
    let mut people: [Option<Somebody>; CONNECTIONS] = [const { None }; CONNECTIONS];
    let mut gone = Vec::new();
    for part in parts(data) {
        let Some((&what, rest)) = part.split_first() else { continue };
        let place = usize::from(what >> 4) % CONNECTIONS;
        // One of them comes from where plain text is not served.
        let from = if place == CONNECTIONS - 1 { ELSEWHERE } else { HERE };
        let somebody = people[place].get_or_insert_with(|| Somebody { client: world.connect(from), heard: Vec::new() });
        let client = &somebody.client;
        match what % 16 {
            0 | 1 => world.say(client, rest),
            2 => world.say(client, &[rest, b"\n"].concat()),
            3 => {
                for byte in rest.iter().take(SINGLY_MAX) {
                    world.say(client, &[*byte]);
                    world.settle();
                }
            }
            4 => world.close(client),
            5 => world.reset(client),
            6 => gone.extend(people[place].take()),
            7 => {
                let wait = rest.first().map_or(0, |&index| WAITS_MS[usize::from(index) % WAITS_MS.len()]);
                world.pass(Duration::from_millis(wait));
            }
            8 => world.give_room(client, rest.first().map_or(PLENTY, |&room| usize::from(room) * 16)),
            9 => {
                let user = ["bob", "carol", "dave"][place % 3];
                // Not everybody can: the connection may have ended, or be another's by now.
                let device = rest.first().copied().unwrap_or(0) % 4;
                world.log_in(&somebody.client, user, device, &mut somebody.heard);
            }
            10 => world.keep_later(),
            11 => world.persist(),
            12 => world.lose(),
            13 => world.set_wall(rest.iter().fold(0, |wall, &byte| (wall << 8 | u64::from(byte)) % (1 << 46))),
            // In two pieces that come in two turns.
            14 => {
                let (first, second) = rest.split_at(rest.len() / 2);
                world.say(client, first);
                world.settle();
                world.say(client, second);
            }
            _ => world.say(client, &rest.repeat(64)),
        }
        world.settle();
        for somebody in people.iter_mut().flatten() {
            let told = somebody.client.told();
            somebody.heard.extend(told);
        }
        if what & 0x40 != 0 {
            world.ask_bystander();
        }
    }
    let people: Vec<Somebody> = people.into_iter().flatten().chain(gone).collect();
    world.end(&people.iter().map(|somebody| &somebody.client).collect::<Vec<_>>());
    for mut somebody in people {
        somebody.heard.extend(somebody.client.told());
        check_heard(&somebody.heard);
    }
}

/// Who speaks the native protocol is answered in it.
fn check_heard(mut heard: &[u8]) {
    if heard.first() != Some(&b'{') {
        return;
    }
    while heard.contains(&b'\n') {
        match decode(heard) {
            Hear::Line { used, .. } => heard = &heard[used..],
            other => panic!("{other:?}: {:?}", String::from_utf8_lossy(heard)),
        }
    }
}
