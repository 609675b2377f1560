//! From which addresses what is served, and on which the server listens.

mod support;

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;

use serde_json::json;
use support::by_tls::ByTls;
use support::{CREDENTIALS, Chatd, Client, device_claim};

#[test]
fn in_the_clear_only_addresses_in_the_scope_are_served() {
    for scope in ["off", "10.0.0.0/8", "10.0.0.0/8,192.168.0.0/16,::1", "127.0.0.2"] {
        let chatd = Chatd::start(&["--memory", "--plaintext", scope]);
        let mut bystander = ByTls::log_in(chatd.address(), "bob", "builder", Some(1));
        for first in ["{\"id\":1,\"request\":\"online\"}\n", "{", "{\"id\":1,\"request\":\"log-in\"}\n{\"id\":2}\n"] {
            let mut client = chatd.connect();
            client.send_bytes(first.as_bytes());
            let text = "unencrypted connections are not served to your address: use TLS";
            assert_eq!(client.line(), json!({"error": "out-of-scope", "text": text}), "{scope}");
            assert_eq!(client.try_line(), None, "{scope}");
        }
        chatd.expect_log("an unencrypted connection from 127.0.0.1 was refused: out of scope");
        // What is no protocol at all gets a line for people.
        let mut client = chatd.connect();
        client.send_bytes(b"hello\n");
        let rest = client.rest();
        assert!(rest.starts_with("chatd: ") && rest.ends_with('\n') && rest.lines().count() == 1, "{rest:?}");
        bystander.nothing_but_alive();
        ByTls::log_in(chatd.address(), "alice", "wonderland", None).nothing_but_alive();
    }
}

#[test]
fn in_the_clear_addresses_in_the_scope_are_served() {
    for scope in ["loopback", "private", "any", "10.0.0.0/8,127.0.0.0/8", "127.0.0.1", " 127.0.0.0/31 , ::1"] {
        let chatd = Chatd::start(&["--memory", "--plaintext", scope]);
        chatd.log_in("alice", 1).nothing_but_alive();
        ByTls::log_in(chatd.address(), "bob", "builder", Some(1)).nothing_but_alive();
    }
}

#[test]
fn an_ipv4_address_is_one_on_a_socket_for_both_too() {
    let chatd = Chatd::start(&["--memory", "--bind", "::", "--plaintext", "127.0.0.0/8"]);
    let at = |ip: &str| SocketAddr::new(ip.parse::<IpAddr>().expect("an address"), chatd.port());
    let mut client = Client::connect(at("127.0.0.1"));
    client.log_in("alice", Some(1));
    let mut client = Client::connect(at("::1"));
    client.send_bytes(b"{");
    assert_eq!(client.line()["error"], "out-of-scope");
    assert_eq!(client.try_line(), None);
    chatd.expect_log("an unencrypted connection from ::1 was refused");
    ByTls::log_in(at("::1"), "alice", "wonderland", None).nothing_but_alive();
}

#[test]
fn bound_to_an_address_it_is_reached_there_and_nowhere_else() {
    let chatd = Chatd::start(&["--memory", "--bind", "127.0.0.2"]);
    assert_eq!(chatd.address().ip(), IpAddr::from([127, 0, 0, 2]));
    chatd.log_in("alice", 1).nothing_but_alive();
    ByTls::log_in(chatd.address(), "bob", "builder", Some(1)).nothing_but_alive();
    let elsewhere = TcpStream::connect(("127.0.0.1", chatd.port()));
    assert_eq!(elsewhere.map(|_| ()).map_err(|error| error.kind()), Err(ErrorKind::ConnectionRefused));
}

#[test]
fn a_scope_that_is_none_is_usage_and_says_what_is_wrong() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("credentials.txt"), CREDENTIALS).expect("credentials");
    let run = |arguments: &[&str], environment: &[(&str, &str)], says: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chatd"));
        command.current_dir(dir.path()).env_clear().args(["--memory", "--port", "0", "--bind", "127.0.0.1"]);
        let output = command.args(arguments).envs(environment.iter().copied()).output().expect("chatd");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {environment:?} {error}");
        assert!(output.stdout.is_empty() && error.contains(says), "{says}: {error}");
    };
    let shape = "networks like 192.168.1.0/24,fd00::/8";
    for flag in ["--plaintext", "--registration"] {
        run(&[flag, "everywhere"], &[], shape);
        run(&[flag, ""], &[], "");
        run(&[flag, "ANY"], &[], shape);
        run(&[flag, "10.0.0.0/33"], &[], "'10.0.0.0/33' is not a network");
        run(&[flag, "10.0.0.0/8,nonsense"], &[], "'nonsense' is not a network");
        run(&[flag, "10.0.0.0/8,"], &[], "'' is not a network");
        run(&[flag, "10.0.0.0/-1"], &[], "'10.0.0.0/-1' is not a network");
        run(&[flag, "::/129"], &[], "'::/129' is not a network");
        run(&[flag, "loopback,10.0.0.0/8"], &[], "'loopback' is not a network");
        run(&[flag, "host.example"], &[], "'host.example' is not a network");
    }
    run(&[], &[("CHATD_PLAINTEXT", "everywhere")], shape);
    run(&[], &[("CHATD_REGISTRATION", "10.0.0.0/8/8")], "'10.0.0.0/8/8' is not a network");
    run(&["--bind", "nowhere"], &[], "--bind");
}

/// An address of this machine that is not loopback, if it has one. Nothing is sent to find it.
fn address_of_this_machine() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

#[test]
fn the_shipped_passwords_work_from_loopback_only() {
    let Some(ip) = address_of_this_machine() else { return };
    let shipped = include_str!("../credentials.txt");
    let line = shipped.lines().find(|line| !line.starts_with('#') && !line.is_empty()).expect("an account");
    let (name, password) = line.split_once(char::is_whitespace).expect("a line");
    let password = password.trim_start();
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("credentials.txt"), shipped).expect("credentials");
    let chatd = Chatd::start_in(dir, &["--bind", "0.0.0.0", "--plaintext", "any"]);
    let [near, far] = [[127, 0, 0, 1].into(), ip].map(|ip| SocketAddr::new(ip, chatd.port()));
    chatd.add("zoe", "zeppelin");
    let mut here = Client::connect(near);
    assert_eq!(here.log_in_with(name, password, Some(1))["reply"], "logged-in");
    let refused = Client::connect(far).log_in_with(name, password, None);
    assert_eq!(refused["error"], "not-authenticated", "{refused}");
    assert!(chatd.expect_log("log-in failed").contains(&format!("] log-in failed from {ip} (")));
    assert_eq!(ByTls::connect(far).try_password(name, password, None)["error"], "not-authenticated");
    // Nor by the back door.
    let answer = Client::connect(far).resume(name, device_claim(1), here.token.as_ref().expect("a token"));
    assert_eq!(answer["error"], "token-refused", "{answer}");
    here.nothing_but_alive();
    // That is about those accounts and not about the address.
    assert_eq!(ByTls::connect(far).try_password("zoe", "zeppelin", None)["reply"], "logged-in");
    // With a line of the operator's own, the file is the operator's.
    fs::write(chatd.dir.path().join("credentials.txt"), format!("{shipped}quentin x\n")).expect("credentials");
    chatd.signal("HUP");
    chatd.expect_log("1 added, 0 changed, 0 removed");
    assert_eq!(ByTls::connect(far).try_password(name, password, None)["reply"], "logged-in");
    here.nothing_but_alive();
    // Until it is as shipped again.
    fs::write(chatd.dir.path().join("credentials.txt"), shipped).expect("credentials");
    chatd.signal("HUP");
    chatd.expect_log("0 added, 0 changed, 1 removed");
    assert_eq!(ByTls::connect(far).try_password(name, password, None)["error"], "not-authenticated");
    here.nothing_but_alive();
}
