//! A route that makes every address this network namespace's own. Runs after the clone: no heap, no panic, no lock.

use crate::sys::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// The loopback is the first interface of every network namespace.
const LOOPBACK: u32 = 1;
const LENGTH: usize = 36;

/// Of addresses.
#[derive(Clone, Copy)]
pub(super) enum Family {
    V4,
    V6,
}

/// What `ip route add local 0.0.0.0/0 dev lo` does, or the same for `::/0`.
pub(super) fn all_is_here(family: Family) -> Result<(), Errno> {
    let kernel = SocketAddrNetlink::new(0, 0);
    // The protocol zero is that of routes.
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    rustix::net::sendto(&socket, &request(family), SendFlags::empty(), &kernel)?;
    let mut answer = [0u8; 256];
    let (_, length) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
    answered(answer.get(..length).unwrap_or_default())
}

/// A header, a route and the interface, as `linux/rtnetlink.h` has them.
fn request(family: Family) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let mut at = 0;
    let mut put = |piece: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + piece.len()) {
            place.copy_from_slice(piece);
        }
        at += piece.len();
    };
    put(&(LENGTH as u32).to_ne_bytes());
    put(&libc::RTM_NEWROUTE.to_ne_bytes());
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    put(&(flags as u16).to_ne_bytes());
    put(&1u32.to_ne_bytes());
    put(&0u32.to_ne_bytes());
    let family = match family {
        Family::V4 => libc::AF_INET,
        Family::V6 => libc::AF_INET6,
    };
    // Family; lengths of destination (all) and source; no type of service.
    put(&[family as u8, 0, 0, 0]);
    put(&[libc::RT_TABLE_LOCAL, libc::RTPROT_BOOT, libc::RT_SCOPE_HOST, libc::RTN_LOCAL]);
    put(&0u32.to_ne_bytes());
    put(&8u16.to_ne_bytes());
    put(&libc::RTA_OIF.to_ne_bytes());
    put(&LOOPBACK.to_ne_bytes());
    bytes
}

/// The kernel's acknowledgement: an error message with the number zero.
fn answered(message: &[u8]) -> Result<(), Errno> {
    let kind = message.get(4..6).and_then(|two| two.try_into().ok()).map(u16::from_ne_bytes);
    let number = message.get(16..20).and_then(|four| four.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, number) {
        (Some(kind), Some(0)) if i32::from(kind) == libc::NLMSG_ERROR => Ok(()),
        (Some(kind), Some(number)) if i32::from(kind) == libc::NLMSG_ERROR => Err(Errno(number.saturating_neg())),
        _ => Err(Errno(libc::EPROTO)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_the_kernel_is_its_number() {
        let mut message = [0u8; 36];
        message[4..6].copy_from_slice(&(libc::NLMSG_ERROR as u16).to_ne_bytes());
        assert_eq!(answered(&message), Ok(()));
        message[16..20].copy_from_slice(&(-libc::EPERM).to_ne_bytes());
        assert_eq!(answered(&message), Err(Errno(libc::EPERM)));
        assert_eq!(answered(&message[..12]), Err(Errno(libc::EPROTO)));
    }
}
