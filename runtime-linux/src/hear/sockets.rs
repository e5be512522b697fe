//! Addresses that a task names, and which of them lead nowhere.

use super::memory;
use super::places::{Found, Places};
use super::process::{self, Status};
use crate::sys::filter::Asked;
use aido_runtime::Cause;
use rustix::net::SocketType;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Bytes of the longest address that is looked at.
const MOST: usize = 128;
const NAMES: u16 = 53;
/// Where `connect` has the address among its arguments; `sendto` has it further on.
const CONNECTS: usize = 1;
/// The C library asks its cache of names at every start of many programs, and does well without.
const ASKED_ALWAYS: [&[u8]; 2] = [b"/var/run/nscd/socket", b"/run/nscd/socket"];

#[derive(Debug, PartialEq, Eq)]
enum Address {
    Network(SocketAddr),
    Path(Vec<u8>),
    Abstract(Vec<u8>),
}

/// What becomes of speaking to the address that stands at `at` of the arguments.
pub(super) fn connecting(places: &Places, asked: &Asked, at: usize) -> Option<Found> {
    match address(asked, at)? {
        Address::Network(address) if !is_own(address.ip()) => match &places.doors {
            None => Some(network(asked, address, libc::ENETUNREACH, None)),
            Some(doors) => past_the_doors(doors, asked, address, at),
        },
        Address::Network(address) if address.port() == NAMES && !is_served(asked.pid) => {
            Some(network(asked, address, libc::ECONNREFUSED, Some("name resolution")))
        }
        Address::Network(_) => None,
        Address::Path(path) if ASKED_ALWAYS.contains(&path.as_slice()) => None,
        Address::Path(path) => {
            let found = places.connecting(&absolute(asked.pid, path)?)?;
            Some(match found.cause {
                Cause::Absent => Found { target: format!("unix:{}", found.target), ..found },
                _ => found,
            })
        }
        Address::Abstract(name) => {
            let name = format!("@{}", String::from_utf8_lossy(&name));
            let all = std::fs::read(format!("/proc/{}/net/unix", asked.pid)).ok()?;
            let served = String::from_utf8_lossy(&all).lines().any(|line| line.split(' ').next_back() == Some(&name));
            (!served).then(|| Found {
                errno: libc::ECONNREFUSED,
                cause: Cause::Absent,
                target: format!("unix:{name}"),
                place: None,
                detail: None,
            })
        }
    }
}

/// What becomes of taking on that address.
pub(super) fn binding(places: &Places, asked: &Asked, at: usize) -> Option<Found> {
    match address(asked, at)? {
        // With a gateway every address is the sandbox's own.
        Address::Network(address) if !is_own(address.ip()) && places.doors.is_none() => {
            Some(network(asked, address, libc::EADDRNOTAVAIL, None))
        }
        Address::Network(address) if (1..1024).contains(&address.port()) => {
            let found = network(asked, address, libc::EACCES, Some("ports below 1024"));
            Some(Found { cause: Cause::Denied, ..found })
        }
        // Its name is made in a folder, like a file.
        Address::Path(path) => places.making(&absolute(asked.pid, path)?),
        Address::Network(_) | Address::Abstract(_) => None,
    }
}

/// Where there is a gateway it tells of what comes to its doors; the rest comes to nobody. A datagram's address is often
/// only asked about, so that is nothing unless something is sent to it.
fn past_the_doors(doors: &[u16], asked: &Asked, address: SocketAddr, at: usize) -> Option<Found> {
    let sends = at != CONNECTS;
    match protocol(asked) {
        "/udp" if !sends => None,
        "/tcp" if doors.contains(&address.port()) => None,
        _ => Some(network(asked, address, libc::ECONNREFUSED, Some("port without a rule"))),
    }
}

fn network(asked: &Asked, address: SocketAddr, errno: i32, place: Option<&str>) -> Found {
    let target = format!("{address}{}", protocol(asked));
    Found { errno, cause: Cause::Network, target, place: place.map(str::to_string), detail: None }
}

fn absolute(pid: i32, path: Vec<u8>) -> Option<Vec<u8>> {
    match path.first() {
        Some(b'/') => Some(path),
        _ => Some([&process::folder(pid, None)?[..], b"/", &path].concat()),
    }
}

fn address(asked: &Asked, at: usize) -> Option<Address> {
    let (place, length) = (*asked.args.get(at)?, *asked.args.get(at + 1)? as i32);
    let mut bytes = [0u8; MOST];
    let wanted = bytes.get_mut(..usize::try_from(length).ok()?.min(MOST))?;
    let there = memory::read(asked.pid, place, wanted);
    parse(bytes.get(..there)?)
}

/// A `struct sockaddr`.
fn parse(bytes: &[u8]) -> Option<Address> {
    let family = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?);
    let port = || Some(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?));
    match i32::from(family) {
        libc::AF_INET => {
            let ip: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            Some(Address::Network(SocketAddr::new(IpAddr::from(ip), port()?)))
        }
        libc::AF_INET6 => {
            let ip: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            // One of the older family in the newer's clothes is what it is.
            Some(Address::Network(SocketAddr::new(Ipv6Addr::from(ip).to_canonical(), port()?)))
        }
        libc::AF_UNIX => match bytes.get(2..)? {
            [] => None,
            [0, name @ ..] => Some(Address::Abstract(name.to_vec())),
            path => Some(Address::Path(path.iter().copied().take_while(|byte| *byte != 0).collect())),
        },
        _ => None,
    }
}

/// The sandbox's own loopback, which "any address" means, too.
fn is_own(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified()
}

/// Whether something in the task's network answers questions for names.
fn is_served(pid: i32) -> bool {
    let has = |table: &str| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        let port = format!(":{NAMES:04X}");
        text.lines().skip(1).any(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&port)))
    };
    ["udp", "tcp", "udp6", "tcp6"].into_iter().any(has)
}

/// What the socket speaks: a copy of the descriptor is asked, and closed.
fn protocol(asked: &Asked) -> &'static str {
    let kind = || {
        let process = Pid::from_raw(Status::of(asked.pid)?.process()?)?;
        let process = rustix::process::pidfd_open(process, PidfdFlags::empty()).ok()?;
        let socket = rustix::process::pidfd_getfd(process, asked.args[0] as i32, PidfdGetfdFlags::empty()).ok()?;
        rustix::net::sockopt::socket_type(socket).ok()
    };
    match kind() {
        Some(SocketType::STREAM) => "/tcp",
        Some(SocketType::DGRAM) => "/udp",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &[u8]) -> Option<String> {
        match parse(bytes)? {
            Address::Network(address) => Some(address.to_string()),
            Address::Path(path) => Some(String::from_utf8(path).unwrap()),
            Address::Abstract(name) => Some(format!("@{}", String::from_utf8(name).unwrap())),
        }
    }

    #[test]
    fn addresses_are_read_and_what_is_too_short_is_none() {
        let [two, ten, one] = [2u16, 10, 1].map(u16::to_ne_bytes);
        let inet = [&two[..], &[1, 187, 93, 184, 216, 34]].concat();
        assert_eq!(shown(&inet).unwrap(), "93.184.216.34:443");
        assert_eq!(shown(&inet[..7]), None);
        let mut six = [&ten[..], &[0, 53, 0, 0, 0, 0], &[0; 15], &[1]].concat();
        assert_eq!(shown(&six).unwrap(), "[::1]:53");
        six[18..24].copy_from_slice(&[0xFF, 0xFF, 127, 0, 0, 9]);
        assert_eq!(shown(&six).unwrap(), "127.0.0.9:53");
        assert_eq!(shown(&[&one[..], b"/run/x\0junk"].concat()).unwrap(), "/run/x");
        assert_eq!(shown(&[&one[..], b"\0name"].concat()).unwrap(), "@name");
        for bytes in [&[][..], &one, &two, &[1], &[16, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(shown(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn only_the_loopback_is_the_sandboxes_own() {
        for (ip, own) in [("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("0.0.0.0", true), ("::", true)] {
            assert_eq!(is_own(ip.parse().unwrap()), own, "{ip}");
        }
        for ip in ["10.0.0.1", "169.254.169.254", "fe80::1", "255.255.255.255", "2001:db8::1"] {
            assert!(!is_own(ip.parse().unwrap()), "{ip}");
        }
    }
}
