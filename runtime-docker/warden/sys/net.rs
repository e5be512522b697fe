//! Calls for sockets.

use super::{O_CLOEXEC, O_NONBLOCK, Result, call, checked, close, number};

const INET: usize = 2;
const INET6: usize = 10;
const STREAM: usize = 1;
const DATAGRAM: usize = 2;
const SOL_SOCKET: usize = 1;
pub const POLLIN: u16 = 1;
pub const POLLOUT: u16 = 4;
pub const POLLERR: u16 = 8;
pub const POLLHUP: u16 = 16;
pub const EAGAIN: i32 = 11;

/// An address as the kernel has it: a family, and what that says.
#[derive(Clone, Copy)]
pub struct Address {
    bytes: [u8; 28],
    length: u32,
}

impl Address {
    pub const NONE: Address = Address { bytes: [0; 28], length: 0 };

    /// A port on an address of IPv4.
    pub fn v4(at: [u8; 4], port: u16) -> Address {
        let mut bytes = [0; 28];
        bytes[0] = INET as u8;
        bytes[2..4].copy_from_slice(&port.to_be_bytes());
        bytes[4..8].copy_from_slice(&at);
        Address { bytes, length: 16 }
    }

    /// A port on every address of both families.
    pub fn anywhere(port: u16) -> Address {
        let mut bytes = [0; 28];
        bytes[0] = INET6 as u8;
        bytes[2..4].copy_from_slice(&port.to_be_bytes());
        Address { bytes, length: 28 }
    }

    fn is_six(&self) -> bool {
        self.bytes[0] == INET6 as u8
    }

    /// Port, and the address in 16 bytes: one of IPv4 as IPv6 has it.
    pub fn parts(&self) -> (u16, [u8; 16]) {
        let port = u16::from_be_bytes([self.bytes[2], self.bytes[3]]);
        let mut at = [0; 16];
        if self.is_six() {
            at.copy_from_slice(&self.bytes[8..24]);
        } else {
            at[10..12].copy_from_slice(&[0xff, 0xff]);
            at[12..].copy_from_slice(&self.bytes[4..8]);
        }
        (port, at)
    }
}

fn socket(family: usize, kind: usize) -> Result<i32> {
    checked(call(number::SOCKET, [family, kind | O_CLOEXEC, 0, 0, 0, 0])).map(|fd| fd as i32)
}

fn set(fd: i32, level: usize, option: usize, value: &[u32]) -> Result<usize> {
    let arguments = [fd as usize, level, option, value.as_ptr() as usize, size_of_val(value), 0];
    checked(call(number::SETSOCKOPT, arguments))
}

fn bound(at: &Address, kind: usize) -> Result<i32> {
    const IPPROTO_IPV6: usize = 41;
    const V6ONLY: usize = 26;
    let fd = socket(if at.is_six() { INET6 } else { INET }, kind | O_NONBLOCK)?;
    if at.is_six() {
        set(fd, IPPROTO_IPV6, V6ONLY, &[0])?;
    }
    checked(call(number::BIND, [fd as usize, at.bytes.as_ptr() as usize, at.length as usize, 0, 0, 0])).map(|_| fd)
}

/// Takes connections at an address.
pub fn listen(at: &Address) -> Result<i32> {
    const BACKLOG: usize = 1024;
    let fd = bound(at, STREAM)?;
    checked(call(number::LISTEN, [fd as usize, BACKLOG, 0, 0, 0, 0])).map(|_| fd)
}

/// Takes datagrams at an address.
pub fn datagrams(at: &Address) -> Result<i32> {
    bound(at, DATAGRAM)
}

/// The next connection, and the address that it was made to. Never waits.
pub fn accept(listener: i32) -> Result<(i32, Address)> {
    const IPPROTO_TCP: usize = 6;
    const NODELAY: usize = 1;
    let fd = checked(call(number::ACCEPT4, [listener as usize, 0, 0, O_CLOEXEC | O_NONBLOCK, 0, 0]))? as i32;
    let _ = set(fd, IPPROTO_TCP, NODELAY, &[1]);
    let mut at = Address { length: 28, ..Address::NONE };
    let arguments = [fd as usize, at.bytes.as_mut_ptr() as usize, &raw mut at.length as usize, 0, 0, 0];
    match checked(call(number::GETSOCKNAME, arguments)) {
        Ok(_) => Ok((fd, at)),
        Err(error) => {
            close(fd);
            Err(error)
        }
    }
}

/// A datagram, and who sent it.
pub fn receive(fd: i32, into: &mut [u8]) -> Result<(usize, Address)> {
    let mut from = Address { length: 28, ..Address::NONE };
    let (bytes, length) = (from.bytes.as_mut_ptr() as usize, &raw mut from.length as usize);
    let arguments = [fd as usize, into.as_mut_ptr() as usize, into.len(), 0, bytes, length];
    checked(call(number::RECVFROM, arguments)).map(|length| (length, from))
}

/// Sends a datagram. One that is lost is asked for again.
pub fn send_to(fd: i32, bytes: &[u8], to: &Address) {
    let (at, length) = (to.bytes.as_ptr() as usize, to.length as usize);
    call(number::SENDTO, [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, at, length]);
}

/// Says that nothing more comes.
pub fn end_writing(fd: i32) {
    const WRITE: usize = 1;
    call(number::SHUTDOWN, [fd as usize, WRITE, 0, 0, 0, 0]);
}

/// Ends a connection so that the other side knows it for a cut.
pub fn cut(fd: i32) {
    const LINGER: usize = 13;
    let _ = set(fd, SOL_SOCKET, LINGER, &[1, 0]);
    close(fd);
}

/// What is waited for of a descriptor; minus one: none.
pub fn polled(fd: i32, events: u16) -> u64 {
    u64::from(fd as u32) | u64::from(events) << 32
}

/// What came of it.
pub fn came(polled: u64) -> u16 {
    (polled >> 48) as u16
}

/// Waits until something comes, within so many milliseconds.
pub fn poll(all: &mut [u64], ms: u64) {
    let time = [ms / 1000, ms % 1000 * 1_000_000];
    call(number::PPOLL, [all.as_mut_ptr() as usize, all.len(), time.as_ptr() as usize, 0, 8, 0]);
}

/// Asks the kernel for something of its network, and reads what it says.
pub fn netlink(request: &[u8], answer: &mut [u8]) -> Result<usize> {
    const NETLINK: usize = 16;
    const RAW: usize = 3;
    let fd = socket(NETLINK, RAW)?;
    let mut kernel = Address { length: 12, ..Address::NONE };
    kernel.bytes[0] = NETLINK as u8;
    let (at, length) = (kernel.bytes.as_ptr() as usize, kernel.length as usize);
    let said = checked(call(number::SENDTO, [fd as usize, request.as_ptr() as usize, request.len(), 0, at, length]))
        .and_then(|_| super::read(fd, answer));
    close(fd);
    said
}

/// Gives up every capability.
pub fn powerless() -> Result<usize> {
    const VERSION_3: u32 = 0x2008_0522;
    let (header, sets) = ([VERSION_3, 0], [0_u32; 6]);
    checked(call(number::CAPSET, [header.as_ptr() as usize, sets.as_ptr() as usize, 0, 0, 0, 0]))
}

fn connect(kind: usize, to: &Address) -> Result<usize> {
    let fd = socket(INET, kind)?;
    checked(call(number::CONNECT, [fd as usize, to.bytes.as_ptr() as usize, to.length as usize, 0, 0, 0]))
}

/// An address that is kept for documentation.
const NOBODY: [u8; 4] = [192, 0, 2, 1];

/// Reaches for it, without sending anything.
pub fn reach_out() -> Result<usize> {
    connect(DATAGRAM, &Address::v4(NOBODY, 9))
}

/// Asks for a connection to it, where every address is at home: nothing leaves.
pub fn knock(port: u16) -> Result<usize> {
    connect(STREAM, &Address::v4(NOBODY, port))
}
