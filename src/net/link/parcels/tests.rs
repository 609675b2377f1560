use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use super::super::tests::until;
use super::super::{Happening, Link};
use super::coming::MESSAGE_BYTES_MAX;
use super::*;

const LOOPBACK: &str = "127.0.0.1:0";

fn listening(link: &mut Link) -> SocketAddr {
    let ip = IpAddr::from([127, 0, 0, 1]);
    let port = link.listen_for_parcels(LOOPBACK.parse().unwrap(), ip).unwrap();
    SocketAddr::new(ip, port)
}

/// The next message that comes, and whom it is from.
fn next(link: &mut Link) -> (IpAddr, Vec<u8>) {
    let all = until(link, |h| matches!(h, Happening::Parcel { .. }));
    match all.into_iter().next_back() {
        Some(Happening::Parcel { from, bytes }) => (from, bytes),
        other => panic!("{other:?}"),
    }
}

fn outcome(link: &mut Link, id: ParcelId) -> Result<(), NotSent> {
    let all = until(link, |h| matches!(h, Happening::ParcelSent(told, _) if *told == id));
    match all.into_iter().next_back() {
        Some(Happening::ParcelSent(_, result)) => result,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_connection_brings_one_message_however_it_was_split() {
    let mut link = Link::new().unwrap();
    let address = listening(&mut link);
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"bob:").unwrap();
    assert!(link.turn(Some(Instant::now())).unwrap().is_empty());
    stream.write_all(b"hi\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(next(&mut link), (address.ip(), b"bob:hi\n".to_vec()));
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0, "it is closed in order");
}

#[test]
fn what_stays_quiet_is_whole_and_what_says_nothing_is_dropped() {
    let mut link = Link::new().unwrap();
    let address = listening(&mut link);
    let mut silent = TcpStream::connect(address).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"shutdown").unwrap();
    assert_eq!(next(&mut link).1, b"shutdown");
    assert!(stream.read(&mut [0; 8]).is_ok_and(|read| read == 0));
    silent.set_nonblocking(true).unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while silent.read(&mut [0; 8]).is_err() {
        assert!(Instant::now() < end);
        assert!(link.turn(Some(Instant::now() + Duration::from_millis(100))).unwrap().is_empty());
    }
}

#[test]
fn what_is_too_long_is_cut() {
    let mut link = Link::new().unwrap();
    let mut stream = TcpStream::connect(listening(&mut link)).unwrap();
    stream.write_all(&[b'x'; MESSAGE_BYTES_MAX + 1]).unwrap();
    assert_eq!(next(&mut link).1, [b'x'; MESSAGE_BYTES_MAX]);
}

#[test]
fn strangers_who_only_hold_places_keep_nobody_out() {
    let mut link = Link::new().unwrap();
    let address = listening(&mut link);
    let from = |ip: [u8; 4]| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        TcpStream::from(socket)
    };
    let _silent: Vec<TcpStream> = (0..20).map(|_| from([127, 0, 0, 2])).collect();
    link.turn(Some(Instant::now())).unwrap();
    from([127, 0, 0, 3]).write_all(b"carol:hi\n").unwrap();
    from([127, 0, 0, 1]).write_all(b"bob:hi\n").unwrap();
    let mut heard = BTreeSet::new();
    until(&mut link, |h| {
        if let Happening::Parcel { from, bytes } = h {
            heard.insert((*from, bytes.clone()));
        }
        heard.len() == 2
    });
    let ip = |last| IpAddr::from([127, 0, 0, last]);
    assert_eq!(heard, [(ip(1), b"bob:hi\n".to_vec()), (ip(3), b"carol:hi\n".to_vec())].into());
}

#[test]
fn a_message_is_sent_and_ends_with_the_connection() {
    let mut link = Link::new().unwrap();
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let id = link.send_parcel(listener.local_addr().unwrap(), b"alive,alice".to_vec(), Duration::from_secs(5));
    let server = std::thread::spawn(move || {
        let mut heard = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut heard).unwrap();
        heard
    });
    assert!(outcome(&mut link, id).is_ok());
    assert_eq!(server.join().unwrap(), b"alive,alice");
}

#[test]
fn whoever_takes_a_message_and_does_not_close_has_it() {
    let mut link = Link::new().unwrap();
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let id = link.send_parcel(listener.local_addr().unwrap(), b"x".to_vec(), Duration::from_secs(5));
    assert!(outcome(&mut link, id).is_ok());
}

#[test]
fn a_message_that_was_not_taken_is_told() {
    let mut link = Link::new().unwrap();
    let closed = TcpListener::bind(LOOPBACK).unwrap().local_addr().unwrap();
    let id = link.send_parcel(closed, b"x".to_vec(), Duration::from_secs(5));
    let Err(NotSent::Unreachable(error)) = outcome(&mut link, id) else { panic!() };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let id = link.send_parcel(listener.local_addr().unwrap(), b"x".to_vec(), Duration::from_secs(5));
    let server = std::thread::spawn(move || {
        let stream = listener.accept().unwrap().0;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    assert!(matches!(outcome(&mut link, id), Err(NotSent::CutOff)));
    server.join().unwrap();
}

#[test]
fn too_many_at_once_are_told_apart() {
    let mut link = Link::new().unwrap();
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let address = listener.local_addr().unwrap();
    let ids: Vec<ParcelId> =
        (0..=going::GOING_MAX).map(|_| link.send_parcel(address, b"x".to_vec(), Duration::from_secs(5))).collect();
    assert!(matches!(outcome(&mut link, ids[going::GOING_MAX]), Err(NotSent::Unreachable(_))));
}
