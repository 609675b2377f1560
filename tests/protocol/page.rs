//! docs/PROTOCOL.md against the code: each example line is decoded and written anew, each worked log-in computed anew,
//! each table compared.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chatd::hub::effect::{Event, Reach, Reply};
use chatd::hub::id::{PeerAddress, UserId};
use chatd::hub::input::{PeerPort, Precondition};
use chatd::hub::message::{HistoryPage, Message, Recipient, Sender};
use chatd::hub::time::{LocalTime, WallTime};
use chatd::hub::{Config, accounts, consent, delivery, devices, gate, log_in, name, presence, rate, scram, sends};
use chatd::wire::native::client::{self, Ask, FromServer, Heard, News, Party, ReachTold, Told};
use chatd::wire::native::{HISTORY_LIMIT_DEFAULT, HISTORY_LIMIT_MAX, REQUEST_BYTES_MAX, SERVER_LINE_BYTES_MAX};
use chatd::wire::scram::{
    ChannelBinding, Checked, ClientExchange, ClientFinal, ClientFirst, Header, Secret, ServerExchange, StoredKeys,
    Verifier,
};
use chatd::wire::{Mechanism, PASSWORD_BYTES_MAX, Request, ResumeToken, Step, TEXT_BYTES_MAX, UserName};
use serde_json::Value;

use super::malformed;
use super::samples::{self, *};

const PAGE: &str = include_str!("../../docs/PROTOCOL.md");

/// The fenced blocks: what is said of each, and its lines.
fn blocks() -> Vec<(&'static str, Vec<&'static str>)> {
    let (mut blocks, mut open) = (Vec::new(), false);
    for line in PAGE.lines() {
        match line.strip_prefix("```") {
            Some(kind) if !open => {
                blocks.push((kind, Vec::new()));
                open = true;
            }
            Some(_) => open = false,
            None if open => blocks.last_mut().expect("a block").1.push(line),
            None => {}
        }
    }
    assert!(!open, "a block does not end");
    blocks
}

/// The example lines of the client and of the server.
fn examples() -> (Vec<&'static str>, Vec<&'static str>) {
    let (mut client, mut server) = (Vec::new(), Vec::new());
    for (kind, lines) in blocks() {
        match kind {
            "json client" => client.extend(lines),
            "json server" => server.extend(lines),
            "transcript" => {
                for line in lines {
                    match line.split_at(3) {
                        ("C: ", line) => client.push(line),
                        ("S: ", line) => server.push(line),
                        (start, _) => assert!(start.starts_with('#'), "{line}"),
                    }
                }
            }
            "text" => {}
            other if other.starts_with("scram ") => {}
            other => panic!("a block of an unknown kind: {other}"),
        }
    }
    assert!(client.len() > 20 && server.len() > 30, "the examples are found");
    (client, server)
}

#[test]
fn each_line_of_the_client_is_a_request_as_a_client_writes_it() {
    for line in examples().0 {
        let bytes = format!("{line}\n");
        let step = read(bytes.as_bytes());
        let Step::Request { used, id, request } = step else { panic!("{line}: {step:?}") };
        assert_eq!(used, bytes.len());
        let mut again = Vec::new();
        client::encode(id, &ask_of(&request, line), &mut again);
        assert_eq!(String::from_utf8_lossy(&again), bytes);
    }
}

#[test]
fn each_line_of_the_server_is_one_that_it_writes_and_a_client_understands() {
    let mut errors = BTreeMap::new();
    for (_, code, text) in refusals() {
        errors.insert((code, text), false);
    }
    for (_, _, code, text) in malformed::refused() {
        errors.insert((code, text), false);
    }
    for (_, code, text) in malformed::violations() {
        errors.insert((code, text), true);
    }
    for (_, code, text) in farewells() {
        errors.insert((code, text), true);
    }
    for line in examples().1 {
        let bytes = format!("{line}\n");
        match heard(&bytes) {
            FromServer::News(news) => assert_eq!(event_bytes(&event_of(&news)), bytes),
            FromServer::Answer { id, answer: Ok(told) } => {
                let (reply, continues) = reply_of(&told);
                let mut again = answer_bytes(id.map(|id| id.0), &Ok(reply));
                if continues {
                    again = again.replace(",\"more\":false}", "}").replace("}\n", ",\"continues\":true}\n");
                }
                assert_eq!(again, bytes);
            }
            FromServer::Answer { id, answer: Err(problem) } => {
                // The samples know no other name.
                let text = problem.text.replace("erin", "bob");
                let ends = errors.get(&(problem.code.as_str(), text.as_str()));
                assert_eq!(ends, Some(&id.is_none()), "{line}");
            }
        }
    }
}

fn ask_of(request: &Request, line: &str) -> Ask {
    let fields: Value = serde_json::from_str(line).expect("JSON");
    let message = || fields["message"].as_str().expect("a message").to_owned();
    match request.clone() {
        Request::LogIn { mechanism, first, device } => Ask::LogIn {
            resume: mechanism == Mechanism::Token,
            bound: first.header == Header::Exporter,
            message: message(),
            device,
        },
        Request::SignUp(keys) => Ask::SignUp { keys },
        Request::ChangePassword(keys) => Ask::ChangePassword { keys },
        Request::Operate(operation) => Ask::Operate(operation),
        Request::Authenticate(_) => Ask::Authenticate { message: message() },
        Request::LogOut => Ask::LogOut,
        Request::Message { to, text, counter, receipt } => Ask::Message { to, text, counter, receipt },
        Request::Broadcast { text, counter } => Ask::Broadcast { text, counter },
        Request::Chat(user) => Ask::Chat { user },
        Request::EndChat(id) => Ask::EndChat { id },
        Request::Acknowledge(number) => Ask::Acknowledge { number },
        Request::Alive => Ask::Alive,
        Request::Online => Ask::Online,
        Request::Block(user) => Ask::Block { user },
        Request::Unblock(user) => Ask::Unblock { user },
        Request::Blocked => Ask::Blocked,
        Request::AskAddress { user, certificate } => {
            Ask::AskAddress { user, certificate: certificate.expect("a certificate") }
        }
        Request::LogInByPassword { .. }
        | Request::LogInByDigest { .. }
        | Request::Connect(_)
        | Request::Enter(_)
        | Request::Unfit(_)
        | Request::Say(_) => panic!("another protocol's: {line}"),
        Request::Consent { user, offer } => Ask::Consent { user, offer },
        Request::Revoke(user) => Ask::Revoke { user },
        Request::Privacy => Ask::Privacy,
        Request::History { with, before, limit } => Ask::History { with, before, limit },
    }
}

fn event_of(news: &News) -> Event {
    match news.clone() {
        News::Message(heard) => Event::Message(message_of(&heard)),
        News::Online { user } => Event::Online(user),
        News::Offline { user } => Event::Offline(user),
        News::Delivered { number, to } => Event::Delivered { number, to, words: None },
        News::ChatStarted { id, user } => Event::ChatStarted { id, peer: user },
        News::ChatEnded { id, user } => Event::ChatEnded { id, peer: user },
        News::Token => Event::Token,
        News::Missed { count } => Event::Missed { count },
        News::Asks { user, certificate, answer_within } => {
            Event::Asks { user, certificate: Some(certificate), answer_within }
        }
        News::Address { user, address, certificate, connect_within } => Event::Address {
            user,
            address: PeerAddress::of(address.ip()),
            port: port(address.port().into()),
            certificate: Some(certificate),
            connect_within,
        },
        News::AskOver { user, reason } => {
            let mut samples = samples::events().into_iter().map(|(event, _)| event);
            let why = samples.find_map(|event| match (super::golden::news(&event), event) {
                (News::AskOver { reason: said, .. }, Event::AskOver { why, .. }) if said == reason => Some(why),
                _ => None,
            });
            Event::AskOver { user, why: why.unwrap_or_else(|| panic!("{news:?}")) }
        }
        News::NoAddress { user, reason } => {
            let mut samples = samples::events().into_iter().map(|(event, _)| event);
            let why = samples.find_map(|event| match (super::golden::news(&event), event) {
                (News::NoAddress { reason: said, .. }, Event::NoAddress { why, .. }) if said == reason => Some(why),
                _ => None,
            });
            Event::NoAddress { user, why: why.unwrap_or_else(|| panic!("{news:?}")) }
        }
        News::Revoked { user } => Event::Revoked(user),
        News::Closing { .. } => {
            let closing = samples::events().into_iter().find(|(event, _)| super::golden::news(event) == *news);
            closing.unwrap_or_else(|| panic!("{news:?}")).0
        }
        News::Unknown => panic!("an event that the client does not know"),
    }
}

fn message_of(told: &Heard) -> std::sync::Arc<Message> {
    std::sync::Arc::new(Message {
        number: told.number,
        time: WallTime::from_millis(told.time),
        from: match &told.from {
            Party::User(name) => Sender::User(UserId(1), name.clone()),
            Party::Server => Sender::Server,
            other => panic!("a message from {other:?}"),
        },
        to: match &told.to {
            Party::User(name) => Recipient::User(UserId(2), name.clone()),
            Party::You => Recipient::User(UserId(2), name("alice")),
            Party::Everyone => Recipient::Everyone,
            Party::Server => panic!("a message to the server"),
        },
        text: text(&told.text),
        local: LocalTime::default(),
        origin: None,
    })
}

/// The reply, and whether more of it follows.
fn reply_of(told: &Told) -> (Reply, bool) {
    let whole = |reply| (reply, false);
    match told.clone() {
        Told::Challenge { message, hashed } => whole(Reply::Challenge { message, hashed }),
        Told::LoggedIn { message, user, heartbeat_timeout, log, counter, waiting } => {
            whole(Reply::LoggedIn { message, user, heartbeat_timeout, log, counter, waiting: waiting as usize })
        }
        Told::LoggedOut => whole(Reply::LoggedOut),
        Told::SignedUp { user } => whole(Reply::SignedUp(user)),
        Told::PasswordChanged { user } => whole(Reply::PasswordChanged(user)),
        Told::UserAdded { user } => whole(Reply::UserAdded(user)),
        Told::UserRemoved { user } => whole(Reply::UserRemoved(user)),
        Told::Users { accounts, continues } => (Reply::Users(accounts), continues),
        Told::UserUnlocked { user } => whole(Reply::Unlocked(user)),
        Told::UserKicked { user, sessions } => whole(Reply::Kicked { user, sessions: sessions as usize }),
        Told::Status(status) => whole(Reply::Status(status)),
        Told::Accepted { number, reach } => {
            let reach = match reach {
                ReachTold::Online => Reach::Online,
                ReachTold::Queued => Reach::Queued,
                ReachTold::Partial => Reach::Partial,
            };
            whole(Reply::Accepted { number, reach })
        }
        Told::ChatStarted { id, user } => whole(Reply::ChatStarted { id, peer: user }),
        Told::ChatEnded { id, user } => whole(Reply::ChatEnded { id, peer: user }),
        Told::Acknowledged => whole(Reply::Acknowledged),
        Told::Alive => whole(Reply::Alive),
        Told::Online { users, continues } => (Reply::Online(users), continues),
        Told::Blocked { user } => whole(Reply::Blocked(user)),
        Told::Unblocked { user } => whole(Reply::Unblocked(user)),
        Told::BlockList { users, continues } => (Reply::BlockList(users), continues),
        Told::Asked { user, answer_within } => whole(Reply::Asked { user, answer_within }),
        Told::Consented { user, address, certificate, connect_within } => {
            let (address, certificate) = (PeerAddress::of(address), Some(certificate));
            whole(Reply::Consented { user, address, certificate, connect_within })
        }
        Told::Declined { user } => whole(Reply::Declined(user)),
        Told::Revoked { user } => whole(Reply::Revoked(user)),
        Told::Privacy(list) => whole(Reply::Privacy(Box::new(list))),
        Told::History { messages, more, continues } => {
            (Reply::History(HistoryPage { messages: messages.iter().map(message_of).collect(), more }), continues)
        }
    }
}

#[test]
fn the_worked_log_ins_are_right_and_no_other_stands_on_the_page() {
    let (mut worked, mut keys) = (BTreeSet::new(), BTreeSet::new());
    let (mut mechanisms, mut newest) = (Vec::new(), None);
    for (kind, lines) in blocks() {
        let Some(mechanism) = kind.strip_prefix("scram ") else { continue };
        mechanisms.push(mechanism);
        let values: BTreeMap<&str, &str> = lines
            .iter()
            .map(|line| (line[..16].trim(), line[16..].trim()))
            .filter(|(name, _)| !name.is_empty())
            .collect();
        if let "sign-up" | "password" = mechanism {
            let (messages, new) = work_keys(&values);
            assert_eq!(messages.is_empty(), mechanism == "password");
            worked.extend(messages);
            keys.insert((mechanism.to_owned(), new));
            continue;
        }
        worked.extend(work(mechanism, &values));
        assert!(values.get("token").is_none_or(|&token| Some(token) == newest), "the token of the log-in before");
        newest = Some(values["ResumeToken"]);
    }
    let expected =
        ["SCRAM-SHA-256-PLUS", "RESUME-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "sign-up", "password"];
    assert_eq!(mechanisms, expected);
    let (client, server) = examples();
    let (mut used, mut used_keys) = (BTreeSet::new(), BTreeSet::new());
    for line in client.into_iter().chain(server) {
        let fields: Value = serde_json::from_str(line).expect("JSON");
        if let Some(message) = fields["message"].as_str() {
            assert!(worked.contains(message), "{line}");
            used.insert(message.to_owned());
        }
        let digits = |field: &str| fields[field].as_str().map(str::to_owned);
        if let Some(new) = digits("stored-key").zip(digits("server-key")) {
            used_keys.insert((digits("request").expect("a request"), new));
        }
    }
    assert_eq!(used, worked, "each message of the worked log-ins is shown");
    assert_eq!(used_keys, keys, "the keys of the examples are those that were worked");
}

/// Checks the keys of a new password. Comes back: the messages of the exchange up to the challenge if there was one, and
/// both keys.
fn work_keys(values: &BTreeMap<&str, &str>) -> (Vec<String>, (String, String)) {
    let bytes = |name: &str| unhex(values[name]);
    let (user, iterations) = (name(values["user"]), values["iterations"].parse().expect("a number"));
    let salt: [u8; scram::SALT_BYTES] = bytes("salt").try_into().expect("a salt");
    let made = StoredKeys::of(&Secret::salted(values["password"], &salt, iterations));
    assert_eq!(bytes("StoredKey"), made.stored_key);
    assert_eq!(bytes("ServerKey"), made.server_key);
    let salted = bytes("SaltedPassword");
    assert_eq!(hmac(&salted, "Client Key"), bytes("ClientKey"));
    assert_eq!(digest::digest(&digest::SHA256, &bytes("ClientKey")).as_ref(), bytes("StoredKey"));
    assert_eq!(hmac(&salted, "Server Key"), bytes("ServerKey"));
    let keys = (values["StoredKey"].to_owned(), values["ServerKey"].to_owned());
    if !values.contains_key("client nonce") {
        return (Vec::new(), keys);
    }
    let any = ChannelBinding([0; ChannelBinding::BYTES]);
    let client = ClientExchange::new(&user, &bytes("client nonce"), Some(any));
    let first = ClientFirst::parse(&client.message()).expect("a first message");
    let server = ServerExchange::new(&first, &bytes("server nonce"), &salt, iterations);
    (vec![client.message(), server.message().to_owned()], keys)
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// Checks every value of an exchange. Comes back: its four messages.
fn work(mechanism: &str, values: &BTreeMap<&str, &str>) -> [String; 4] {
    let bytes = |name: &str| unhex(values[name]);
    let (user, iterations) = (name(values["user"]), values["iterations"].parse().expect("a number"));
    let salt: [u8; scram::SALT_BYTES] = bytes("salt").try_into().expect("a salt");
    let account = Verifier::derive("wonderland", salt, iterations);
    let (kind, header) = match mechanism.strip_suffix("-PLUS") {
        Some(kind) => (kind, "p=tls-exporter,,"),
        None => (mechanism, "n,,"),
    };
    let exporter = values.contains_key("exporter").then(|| bytes("exporter"));
    assert_eq!(exporter.is_some(), kind != mechanism);
    let binding = exporter.clone().map(|value| ChannelBinding(value.try_into().expect("an exporter value")));
    let (secret, keys) = match kind {
        "SCRAM-SHA-256" => {
            let digits = values.get("digest").copied();
            let hashed = digest::digest(&digest::SHA256, values["password"].as_bytes());
            assert!(digits.is_none_or(|digits| unhex(digits) == hashed.as_ref()));
            let password = digits.unwrap_or(values["password"]);
            (Secret::salted(password, &salt, iterations), Verifier::derive(password, salt, iterations).keys)
        }
        _ => {
            let token = ResumeToken(bytes("token").try_into().expect("a token"));
            (Secret::token(&token), StoredKeys::of_token(&token, &account).bound_to(&account))
        }
    };
    let client = ClientExchange::new(&user, &bytes("client nonce"), binding.clone());
    let first = ClientFirst::parse(&client.message()).expect("a first message");
    let server = ServerExchange::new(&first, &bytes("server nonce"), &salt, iterations);
    let challenge = client.challenge(server.message()).expect("a challenge");
    assert!(challenge.iterations_are_sane());
    let (last, signature, token) = client.prove(&challenge, &secret);
    let parsed = ClientFinal::parse(&last).expect("a final message");
    let Checked::Right(verdict, same) = server.check(&parsed, &keys, binding.as_ref()) else {
        panic!("the right proof")
    };
    if binding.is_some() {
        let other = ChannelBinding([0; ChannelBinding::BYTES]);
        assert_eq!(server.check(&parsed, &keys, Some(&other)), Checked::Elsewhere);
    }
    assert!(token == same);
    assert!(signature.matches(&verdict));

    // By the formulas of the page, step by step.
    let salted = if kind == "SCRAM-SHA-256" { bytes("SaltedPassword") } else { bytes("token") };
    assert_eq!(hmac(&salted, "Client Key"), bytes("ClientKey"));
    assert_eq!(digest::digest(&digest::SHA256, &bytes("ClientKey")).as_ref(), bytes("StoredKey"));
    let message = client.message();
    let bare = message.strip_prefix(header).expect("the header");
    let bound = last.split(",p=").next().expect("a part").to_owned();
    let channel = BASE64.encode([header.as_bytes(), &exporter.unwrap_or_default()].concat());
    assert!(bound.starts_with(&format!("c={channel},r=")));
    assert_eq!(values.get("CHANNEL").copied().unwrap_or("biws"), channel);
    assert_eq!(format!("{bare},{},{bound}", server.message()), values["AuthMessage"]);
    assert_eq!(hmac(&bytes("StoredKey"), values["AuthMessage"]), bytes("ClientSignature"));
    let proof: Vec<u8> = bytes("ClientKey").iter().zip(bytes("ClientSignature")).map(|(a, b)| a ^ b).collect();
    assert_eq!(BASE64.encode(proof), values["PROOF"]);
    assert_eq!(hmac(&salted, "Server Key"), bytes("ServerKey"));
    assert_eq!(BASE64.encode(hmac(&bytes("ServerKey"), values["AuthMessage"])), values["SIGNATURE"]);
    let resume = format!("Resume Token{}", values["AuthMessage"]);
    assert_eq!(hmac(&bytes("ClientKey"), &resume), bytes("ResumeToken"));
    assert_eq!(token.0.to_vec(), bytes("ResumeToken"));

    assert_eq!(last, format!("{bound},p={}", values["PROOF"]));
    assert_eq!(verdict, format!("v={}", values["SIGNATURE"]));
    [message, server.message().to_owned(), last, verdict]
}

fn unhex(digits: &str) -> Vec<u8> {
    let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(pair).collect()
}

/// The tables under a heading, each as its rows of cells, without the header.
fn tables(heading: &str) -> Vec<Vec<Vec<&'static str>>> {
    let level = heading.split(' ').next().expect("a level");
    let section = PAGE.lines().skip_while(|line| *line != heading).skip(1);
    let section = section.take_while(|line| !(line.starts_with('#') && line.find(' ') <= Some(level.len())));
    let (mut tables, mut rows): (Vec<Vec<Vec<&str>>>, usize) = (Vec::new(), 0);
    for line in section {
        match line.strip_prefix("| ").or(line.strip_prefix("|-")) {
            Some(_) => {
                rows += 1;
                match rows {
                    1 => tables.push(Vec::new()),
                    2 => assert!(line.starts_with("|---"), "{line}"),
                    _ => {
                        let cells = line.trim_matches('|').split('|').map(str::trim).collect();
                        tables.last_mut().expect("a table").push(cells);
                    }
                }
            }
            None => rows = 0,
        }
    }
    assert!(!tables.is_empty(), "no table under {heading}");
    tables
}

/// What stands in backticks.
fn words(cell: &'static str) -> Vec<&'static str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn first_words(table: &[Vec<&'static str>]) -> BTreeSet<&'static str> {
    let firsts: Vec<&str> = table.iter().map(|row| words(row[0])[0]).collect();
    let set: BTreeSet<&str> = firsts.iter().copied().collect();
    assert_eq!(firsts.len(), set.len(), "a row stands twice: {firsts:?}");
    set
}

/// The value of a field in lines of JSON.
fn values_of(field: &str, lines: &[String]) -> BTreeSet<String> {
    let value = |line: &String| serde_json::from_str::<Value>(line).expect("JSON")[field].as_str().map(str::to_owned);
    lines.iter().filter_map(value).collect()
}

fn owned(words: BTreeSet<&str>) -> BTreeSet<String> {
    words.into_iter().map(str::to_owned).collect()
}

#[test]
fn the_table_of_errors_is_complete_and_says_which_end_the_connection() {
    let refused = refusals().into_iter().map(|(_, code, _)| code);
    let refused: BTreeSet<&str> = refused.chain(malformed::refused().into_iter().map(|(_, _, code, _)| code)).collect();
    let ends = farewells().into_iter().map(|(_, code, _)| code);
    let ends: BTreeSet<&str> = ends.chain(malformed::violations().into_iter().map(|(_, code, _)| code)).collect();
    let table = &tables("## Errors")[0];
    let said: BTreeSet<&str> = first_words(table);
    assert_eq!(said, refused.union(&ends).copied().collect());
    for row in table {
        assert_eq!(row[1] == "yes", ends.contains(words(row[0])[0]), "{row:?}");
    }
    let anywhere = table.iter().filter(|row| row[1] == "yes" || row[2] == "any request").map(|row| words(row[0])[0]);
    let of_requests = table_of_requests().iter().flat_map(|row| words(row[3])).collect::<Vec<_>>();
    assert_eq!(anywhere.chain(of_requests).collect::<BTreeSet<_>>(), said, "each error belongs to some request");
}

#[test]
fn the_table_of_requests_is_complete_and_each_has_its_fields() {
    let lines: Vec<String> = requests().into_iter().map(|(line, ..)| line.to_owned()).collect();
    let table = &table_of_requests();
    assert_eq!(owned(first_words(table)), values_of("request", &lines));
    let replies: Vec<String> = replies().into_iter().map(|(_, line)| line.to_owned()).collect();
    assert_eq!(owned(table.iter().flat_map(|row| words(row[2])).collect()), values_of("reply", &replies));

    let fields_of = |word: &str, kind: &str, lines: &[String]| -> BTreeSet<String> {
        let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let lines = lines.filter(|line| line[kind] == word);
        let fields = lines.flat_map(|line| line.as_object().expect("an object").keys().cloned().collect::<Vec<_>>());
        fields.filter(|field| field != "id" && field != kind).collect()
    };
    let said = |heading: &str, table: usize| -> BTreeSet<String> {
        tables(heading)[table].iter().flat_map(|row| words(row[0])).map(str::to_owned).collect()
    };
    for word in values_of("request", &lines) {
        let fields = fields_of(&word, "request", &lines);
        match word.as_str() {
            "block" | "unblock" => assert_eq!(said("### block and unblock", 0), fields),
            "user-remove" | "user-unlock" | "user-kick" => {
                assert_eq!(said("### user-remove, user-unlock and user-kick", 0), fields);
            }
            _ if fields.is_empty() => {
                let heading = format!("### {word}\n\nNo fields.");
                assert!(PAGE.contains(&heading), "{heading}");
            }
            _ => assert_eq!(said(&format!("### {word}"), 0), fields),
        }
    }
    assert_eq!(said("### authenticate", 1), fields_of("logged-in", "reply", &replies));
    assert_eq!(said("### consent", 1), fields_of("consented", "reply", &replies));
    assert_eq!(said("### privacy", 0), fields_of("privacy", "reply", &replies));
    let accounts = replies.iter().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let accounts = accounts.flat_map(|line| line["accounts"].as_array().cloned().unwrap_or_default());
    let of_accounts: BTreeSet<String> = accounts
        .flat_map(|account| account.as_object().expect("an object").keys().cloned().collect::<Vec<_>>())
        .collect();
    assert_eq!(said("### users", 0), of_accounts);
    let seconds = BTreeSet::from(["user".to_owned(), "seconds".to_owned()]);
    assert_eq!(fields_of("asked", "reply", &replies), seconds);
    assert!(PAGE.contains("Reply `asked`: `user` (name), as the account spells it, and `seconds`,"));
    let counts = replies.iter().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let counts = counts.filter_map(|line| line["counts"].as_object().cloned());
    let of_counts: BTreeSet<String> = counts.flat_map(|counts| counts.keys().cloned().collect::<Vec<_>>()).collect();
    assert_eq!(said("### status", 0), of_counts);
    for (reply, heading) in [
        ("declined", "### consent"),
        ("revoked", "### revoke"),
        ("signed-up", "### sign-up"),
        ("password-changed", "### password"),
        ("user-added", "### user-add"),
        ("user-removed", "### user-remove, user-unlock and user-kick"),
    ] {
        assert_eq!(fields_of(reply, "reply", &replies), BTreeSet::from(["user".to_owned()]), "{reply}");
        let section = PAGE.split(&format!("\n{heading}\n")).nth(1).and_then(|rest| rest.split("\n#").next());
        assert!(section.is_some_and(|section| section.contains("`user` (name)")), "{heading}");
    }
}

/// Everybody's and the operator's.
fn table_of_requests() -> Vec<Vec<&'static str>> {
    [&tables("## Requests")[0][..], &tables("## The control socket")[0]].concat()
}

#[test]
fn the_table_of_requests_says_what_each_needs() {
    let table = table_of_requests();
    let operators = first_words(&tables("## The control socket")[0]);
    for (line, _, request) in requests() {
        let word = serde_json::from_str::<Value>(line).expect("JSON")["request"].as_str().expect("a word").to_owned();
        let row = table.iter().find(|row| words(row[0]) == [&word]).expect("a row");
        let needs = request.precondition();
        assert_eq!(operators.contains(word.as_str()), needs == Precondition::Operator, "{word}");
        let said = match needs {
            Precondition::LoggedOut => row[1] == "no log-in",
            Precondition::Challenged => row[1].starts_with("a challenge"),
            Precondition::LoggedIn => row[1].starts_with("log-in"),
            Precondition::Device => row[1].contains("device"),
            Precondition::Operator => row[1] == "the control socket",
        };
        assert!(said, "{row:?}");
        let common = match needs {
            Precondition::LoggedOut => Some("already-logged-in"),
            Precondition::Challenged => Some("no-challenge"),
            Precondition::Device => Some("no-device"),
            Precondition::Operator => Some("operator-only"),
            Precondition::LoggedIn => None,
        };
        assert!(common.is_none_or(|code| words(row[3]).contains(&code)), "{row:?}");
    }
}

#[test]
fn each_mechanism_stands_in_the_table_with_its_header() {
    let table = &tables("### Mechanisms")[0];
    let mut said = BTreeMap::new();
    for row in table {
        said.insert(words(row[0])[0], words(row[1])[0]);
    }
    let mut known = BTreeMap::new();
    for (line, _, request) in requests() {
        let Request::LogIn { first, .. } = request else { continue };
        let fields: Value = serde_json::from_str(line).expect("JSON");
        let mechanism = fields["mechanism"].as_str().expect("a mechanism").to_owned();
        known.insert(mechanism, if first.header == Header::Exporter { "p=tls-exporter,," } else { "n,," });
    }
    assert_eq!(said, known.iter().map(|(mechanism, header)| (mechanism.as_str(), *header)).collect());
    let label = std::str::from_utf8(ChannelBinding::LABEL).expect("ASCII");
    assert!(PAGE.contains(&format!("label `{label}`, an empty context, {} bytes", ChannelBinding::BYTES)));
}

#[test]
fn the_tables_of_events_and_of_reasons_are_complete() {
    let lines: Vec<String> = samples::events().into_iter().map(|(_, line)| line).collect();
    let table = &tables("## Events")[0];
    assert_eq!(owned(first_words(table)), values_of("event", &lines));
    let of = |event: &str| -> Vec<String> {
        lines.iter().filter(|line| line.contains(&format!("\"event\":\"{event}\""))).cloned().collect()
    };
    for row in table.iter().filter(|row| !row[1].starts_with("the same")) {
        let line = serde_json::from_str::<Value>(&of(words(row[0])[0])[0]).expect("JSON");
        let fields = line.as_object().expect("an object").keys().filter(|field| *field != "event");
        assert_eq!(owned(words(row[1]).into_iter().collect()), fields.cloned().collect(), "{row:?}");
    }
    assert_eq!(owned(first_words(&tables("## How a connection ends")[1])), values_of("reason", &of("closing")));
    let ends = &tables("### The question")[0];
    let told: BTreeSet<&str> = ends.iter().filter_map(|row| words(row[0]).first().copied()).collect();
    assert_eq!(owned(told), values_of("reason", &of("no-address")));
    let over: BTreeSet<&str> = ends.iter().flat_map(|row| words(row[2])).collect();
    assert_eq!(owned(over), values_of("reason", &of("ask-over")));
}

#[test]
fn the_reserved_names_are_those_that_are_refused() {
    let row = PAGE.lines().find(|line| line.starts_with("| name |")).expect("the row on names");
    let reserved = words(row.split("Never a name:").nth(1).expect("the reserved names"));
    assert_eq!(reserved.len(), 9);
    for word in reserved {
        assert_eq!(UserName::parse(word), Err(chatd::wire::NameError::Reserved), "{word}");
    }
}

#[test]
fn the_limits_are_those_of_the_code() {
    let config = Config::default();
    let days = |time: Duration| time.as_secs() / 86_400;
    let limits: BTreeMap<&str, u64> = BTreeMap::from([
        ("bytes of a request, with its newline", REQUEST_BYTES_MAX as u64),
        ("bytes of a line of the server's, with its newline", SERVER_LINE_BYTES_MAX as u64),
        ("the highest integer", HIGHEST),
        ("bytes of a text", TEXT_BYTES_MAX as u64),
        ("bytes of a name", name::NAME_BYTES_MAX as u64),
        ("bytes of a password", PASSWORD_BYTES_MAX as u64),
        ("accounts in the database", accounts::ACCOUNTS_MAX as u64),
        ("devices of a user", devices::DEVICES_MAX as u64),
        ("sessions of a user", presence::SESSIONS_MAX as u64),
        ("sessions of a user without a device", presence::COMMANDS_MAX as u64),
        ("days until an unseen device is forgotten", days(devices::UNSEEN_MAX)),
        ("results of sends remembered for a device", sends::RESULTS_MAX as u64),
        ("messages a second of an account, unless set", config.messages_per_second.expect("a rate").into()),
        ("seconds' worth of messages at once", rate::BURST_SECONDS.into()),
        ("messages in the window", presence::WINDOW_MESSAGES.into()),
        ("bytes of text in the window", presence::WINDOW_BYTES.into()),
        ("private messages that wait for a user", delivery::QUEUE_MESSAGES_MAX as u64),
        ("bytes of private messages that wait for a user", delivery::QUEUE_BYTES_MAX as u64),
        ("broadcasts that are kept", delivery::BROADCASTS_MAX as u64),
        ("bytes of broadcasts that are kept", delivery::BROADCAST_BYTES_MAX as u64),
        ("users that one user can block", gate::BLOCKS_MAX as u64),
        ("seconds to answer a question for an address", consent::ANSWER_WITHIN.as_secs()),
        ("seconds to come after a yes", consent::CONNECT_WITHIN.as_secs()),
        ("seconds until the same user can be asked again", consent::ASK_AGAIN_AFTER.as_secs()),
        ("users whom one user may be asking", consent::QUESTIONS_MAX as u64),
        ("users to whom one user may have said yes", consent::CONSENTS_MAX as u64),
        ("the lowest port to listen at", PeerPort::MIN.into()),
        ("messages in an answer to `history`", HISTORY_LIMIT_MAX as u64),
        ("messages in an answer to `history` without `limit`", HISTORY_LIMIT_DEFAULT as u64),
        ("seconds of the heartbeat time, unless set", config.heartbeat_timeout.as_secs()),
        ("failed log-ins of a connection", log_in::LOG_IN_FAILURES_MAX.into()),
        ("wrong passwords until a lock-out, unless set", config.password_tries.into()),
        ("seconds of a lock-out, unless set", config.lockout.as_secs()),
        ("days that a private message waits, unless set", days(config.queue_expiry)),
        ("days that history is kept, unless set", days(config.history_kept)),
        // Not to be seen from here; looked for below.
        ("bytes of TLS until its handshake is complete", 4096),
        ("bytes before the log-in, each way", 4096),
        ("seconds until the first request", 20),
        ("seconds until each further request of the log-in", 60),
        ("seconds until the log-in is done", 600),
        ("bytes of a client's nonce", 256),
    ]);
    let said: BTreeMap<&str, u64> =
        tables("## Limits")[0].iter().map(|row| (row[0], row[1].parse().expect("a number"))).collect();
    assert_eq!(said, limits);
    let turn = include_str!("../../src/net/turn.rs");
    for constant in [
        "const STRANGE_BYTES_MAX: usize = 4 * 1024;",
        "const FIRST_MESSAGE_WITHIN: Duration = Duration::from_secs(20);",
        "const NEXT_MESSAGE_WITHIN: Duration = Duration::from_secs(60);",
        "const LOG_IN_WITHIN: Duration = Duration::from_secs(600);",
        "const OUT_BYTES_MAX: usize = 8 * 1024 * 1024;",
        "const OUT_BYTES_PAUSE: usize = 256 * 1024;",
    ] {
        assert!(turn.contains(constant), "{constant}: correct it on the page too");
    }
    let nonce = |bytes| ClientFirst::parse(&format!("n,,n=alice,r={}", "x".repeat(bytes)));
    assert!(nonce(256).is_ok() && nonce(257).is_err());
    assert!(PAGE.contains(&format!("`chatd` uses {}.", config.scram_iterations)));
}

#[test]
fn every_link_leads_somewhere() {
    let anchor = |line: &str| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    let anchors: BTreeSet<String> = PAGE.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
    for link in PAGE.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(anchors.contains(link), "{link}");
    }
}
