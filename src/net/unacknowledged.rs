//! How much of what was written the peer's system has not acknowledged (tcp(7), SIOCOUTQ). The one thing that no library
//! asks for safely.

use std::ffi::c_int;
use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{Getter, Opcode, ioctl};

/// TIOCOUTQ, which is the same request (linux/sockios.h, asm-generic/ioctls.h).
const SIOCOUTQ: Opcode = 0x5411;

/// In bytes. The end of our side counts as one.
#[allow(unsafe_code)]
pub fn unacknowledged(socket: impl AsFd) -> io::Result<usize> {
    // SAFETY: the request takes no argument, and writes one int, which is what `Getter` makes room for.
    let bytes = unsafe { ioctl(socket, Getter::<SIOCOUTQ, c_int>::new()) }?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn what_the_peer_has_room_for_is_acknowledged_and_the_rest_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut theirs = listener.accept().unwrap().0;
        ours.write_all(b"hello").unwrap();
        theirs.read_exact(&mut [0; 5]).unwrap();
        let limit = Instant::now() + Duration::from_secs(10);
        while unacknowledged(&ours).unwrap() > 0 {
            assert!(Instant::now() < limit, "nothing is acknowledged");
        }
        ours.set_nonblocking(true).unwrap();
        while ours.write(&[0; 65_536]).is_ok() {}
        assert!(unacknowledged(&ours).unwrap() > 0, "both systems are full");
    }
}
