//! `nick`: the client in the server's room.

use super::existing::End;
use super::existing::nick_client::NickClient;
use super::existing::nick_server::NickServer;

#[test]
fn three_people_share_a_room() {
    let server = NickServer::start();
    let ann = NickClient::joined(server.address(), "ann");
    let ben = NickClient::joined(server.address(), "ben");
    let cat = NickClient::joined(server.address(), "cat");
    ann.expect("ben joined the chat!");
    ann.expect("cat joined the chat!");
    ben.expect("cat joined the chat!");
    ann.say("hi all");
    [&ann, &ben, &cat].iter().for_each(|listener| listener.expect("ann: hi all"));
    cat.say("hi, ann");
    [&ann, &ben, &cat].iter().for_each(|listener| listener.expect("cat: hi, ann"));
    assert_eq!(server.present(), ["ann", "ben", "cat"]);
    assert_eq!(server.chunks(), ["ann", "ben", "cat", "ann: hi all", "cat: hi, ann"]);
    assert_eq!(server.faults(), []);
}

#[test]
fn who_leaves_is_gone() {
    let server = NickServer::start();
    let ann = NickClient::joined(server.address(), "ann");
    let ben = NickClient::joined(server.address(), "ben");
    ann.expect("ben joined the chat!");
    drop(ben);
    ann.expect("ben left the chat!");
    assert_eq!(server.present(), ["ann"]);
    ann.expect_nothing_before("alone");
}

#[test]
fn messages_in_quick_succession_are_chunks_of_their_own() {
    let server = NickServer::start();
    let ann = NickClient::joined(server.address(), "ann");
    let ben = NickClient::joined(server.address(), "ben");
    ann.expect("ben joined the chat!");
    server.expect("ann");
    server.expect("ben");
    for text in ["one", "two", "three"] {
        ben.say(text);
        server.expect(&format!("ben: {text}"));
    }
    for text in ["ben: one", "ben: two", "ben: three"] {
        ann.expect(text);
    }
}

#[test]
fn a_server_that_has_gone_leaves_its_client_spinning() {
    let server = NickServer::start();
    let ann = NickClient::joined(server.address(), "ann");
    drop(server);
    assert_eq!(ann.expect_end(), End::SpunOnEndOfFile);
}
