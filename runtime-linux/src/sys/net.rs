//! The sandbox's own network. The fifth place for the calls that [`super`] is for.

use super::{Result, check};
use libc::{c_char, c_int, c_long};

/// Brings the loopback interface of this network namespace up.
pub(crate) fn loopback_up() -> Result<()> {
    // SAFETY: `ifreq` is plain data, all zeros is a valid value; the socket is closed again here.
    unsafe {
        let socket = check(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) as c_long)? as c_int;
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as c_char;
        request.ifr_name[1] = b'o' as c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as _;
        let done = check(libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &request) as c_long);
        libc::close(socket);
        done.map(drop)
    }
}

/// A documentation address that nobody has, on the port that throws everything away.
pub(crate) const NOBODY: [u8; 4] = [198, 51, 100, 1];
const DISCARD: u16 = 9;

/// Asks for a way to somewhere outside, without sending anything.
pub(crate) fn reach_out() -> Result<()> {
    try_to_reach(DISCARD, libc::SOCK_DGRAM)
}

/// Connects to somewhere outside where every address is the sandbox's own: it is answered at once.
pub(crate) fn knock(port: u16) -> Result<()> {
    try_to_reach(port, libc::SOCK_STREAM)
}

fn try_to_reach(port: u16, kind: c_int) -> Result<()> {
    let to = libc::sockaddr_in {
        sin_family: libc::AF_INET as _,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(NOBODY) },
        sin_zero: [0; 8],
    };
    // SAFETY: the address is a local of the size given; the socket is closed again here.
    unsafe {
        let socket = check(libc::socket(libc::AF_INET, kind | libc::SOCK_CLOEXEC, 0) as c_long)? as c_int;
        let size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        let done = check(libc::connect(socket, (&raw const to).cast(), size) as c_long);
        libc::close(socket);
        done.map(drop)
    }
}
