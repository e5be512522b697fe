//! The frames of a stream that carries connections, as `carried` describes them.

use crate::capture::Door;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

pub(super) const HEAD: usize = 8;
/// The bytes of one frame at most.
pub(super) const PIECE: usize = 32 * 1024;

/// The error of a stream that is none of ours.
pub(super) fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what carries the sandbox's connections makes no sense")
}

/// One frame, as it came.
pub(super) struct Frame {
    pub(super) number: u32,
    pub(super) letter: u8,
    pub(super) bytes: Vec<u8>,
}

/// The next one.
pub(super) fn frame(from: &mut impl Read) -> io::Result<Frame> {
    let mut head = [0; HEAD];
    from.read_exact(&mut head)?;
    let [a, b, c, d, letter, _, low, high] = head;
    let length = usize::from(u16::from_le_bytes([low, high]));
    if length > PIECE {
        return Err(nonsense());
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(Frame { number: u32::from_le_bytes([a, b, c, d]), letter, bytes })
}

/// A frame's bytes; `room` begins with free space for its head.
pub(super) fn finished(number: u32, letter: u8, mut room: Vec<u8>) -> Vec<u8> {
    let length = (room.len().saturating_sub(HEAD) as u16).to_le_bytes();
    let [a, b, c, d] = number.to_le_bytes();
    if let Some(head) = room.first_chunk_mut::<HEAD>() {
        *head = [a, b, c, d, letter, 0, length[0], length[1]];
    }
    room
}

/// One with these bytes.
pub(super) fn with(number: u32, letter: u8, bytes: &[u8]) -> Vec<u8> {
    finished(number, letter, [&[0; HEAD][..], bytes].concat())
}

/// Who serves a connection.
#[derive(Clone, Copy)]
pub(super) enum Service {
    Door(Door),
    Names,
}

/// At which listener, and to which address.
pub(super) fn arrival(bytes: &[u8]) -> io::Result<(Service, SocketAddr)> {
    let [kind, _, low, high, address @ ..] = bytes else { return Err(nonsense()) };
    let address: [u8; 16] = address.try_into().map_err(|_| nonsense())?;
    let to = SocketAddr::new(IpAddr::from(Ipv6Addr::from(address)), u16::from_le_bytes([*low, *high]));
    match kind {
        1 => Ok((Service::Door(Door::Captured), to)),
        2 => Ok((Service::Door(Door::Proxy), to)),
        4 => Ok((Service::Names, to)),
        _ => Err(nonsense()),
    }
}
