//! The doors of a sandbox with a gateway: every address is its own, and who serves there stands outside.
//!
//! [`open`] runs after the clone, like [`crate::child`]: no heap, no formatting, no panic, no lock.

mod route;

use crate::child::{At, Failure};
use crate::script::Step;
use crate::sys::{self, Errno};
use crate::wire::Report;
use aido_runtime::{Doors, Gate, PROXY_PORT};
use rustix::fd::{AsRawFd, OwnedFd, RawFd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

/// Connections that wait until the gateway takes them.
const BACKLOG: i32 = 1024;
/// Where names are asked for.
const NAMES: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 53);
/// Where nobody is, however many doors there are: none of them can have all of these ports.
const NOWHERE: std::ops::RangeInclusive<u16> = 9..=u16::MAX;

const ALL: [Door; 5] = [Door::Tcp, Door::Proxy, Door::NamesUdp, Door::NamesTcp, Door::Strays];

/// Which doors are made.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) ports: Vec<u16>,
    /// None: a rule has taken its port.
    pub(crate) proxy: Option<u16>,
    /// Leads nowhere, and is tried before the task starts.
    pub(crate) shut: u16,
}

/// What a door is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Door {
    Tcp = 1,
    Proxy,
    NamesUdp,
    NamesTcp,
    Strays,
}

impl Wanted {
    pub(crate) fn of(gate: &Gate) -> Wanted {
        let is_shut = |port: &u16| !gate.ports.contains(port) && *port != PROXY_PORT;
        Wanted {
            ports: gate.ports.clone(),
            proxy: (!gate.ports.contains(&PROXY_PORT)).then_some(PROXY_PORT),
            shut: NOWHERE.into_iter().find(is_shut).unwrap_or_default(),
        }
    }
}

impl Door {
    pub(crate) fn from_number(number: u32) -> Option<Door> {
        ALL.into_iter().find(|door| *door as u32 == number)
    }
}

/// Puts what came home where it belongs.
pub(crate) fn take(doors: &mut Doors, door: Door, socket: OwnedFd) {
    match door {
        Door::Tcp => doors.tcp.push(TcpListener::from(socket)),
        Door::Proxy => doors.proxy.push(TcpListener::from(socket)),
        Door::NamesUdp => doors.names_udp.push(UdpSocket::from(socket)),
        Door::NamesTcp => doors.names_tcp.push(TcpListener::from(socket)),
        Door::Strays => doors.strays.push(UdpSocket::from(socket)),
    }
}

/// Makes every address local and opens the doors; the supervisor gets them, and this process keeps none.
pub(crate) fn open(control: RawFd, wanted: &Wanted) -> Result<(), Failure> {
    route::all_is_here(route::Family::V4).at(Step::Doors)?;
    // A host may do without IPv6.
    let six = route::all_is_here(route::Family::V6).is_ok();
    for port in &wanted.ports {
        let anywhere = if six { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let door = listen(SocketAddr::new(anywhere, *port)).map_err(|errno| (Step::Doors, u32::from(*port), errno))?;
        send(control, Door::Tcp, &door)?;
    }
    if let Some(port) = wanted.proxy {
        send(control, Door::Proxy, &listen(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)).at(Step::Doors)?)?;
    }
    send(control, Door::NamesUdp, &socket(NAMES, SocketType::DGRAM).at(Step::Doors)?)?;
    send(control, Door::NamesTcp, &listen(NAMES).at(Step::Doors)?)?;
    let raw =
        |family, protocol| rustix::net::socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol));
    // Nothing depends on them but the record of what leads nowhere in any case.
    for (family, protocol) in [(AddressFamily::INET, ipproto::ICMP), (AddressFamily::INET6, ipproto::ICMPV6)] {
        if let Ok(socket) = raw(family, protocol) {
            send(control, Door::Strays, &socket)?;
        }
    }
    Ok(())
}

fn send(control: RawFd, door: Door, socket: &OwnedFd) -> Result<(), Failure> {
    sys::send(control, &Report::Door(door).encode(), &[socket.as_raw_fd()]).at(Step::Report)
}

fn listen(at: SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = socket(at, SocketType::STREAM)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn socket(at: SocketAddr, kind: SocketType) -> Result<OwnedFd, Errno> {
    let family = if at.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    if at.is_ipv6() {
        // It takes both families.
        rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    rustix::net::bind(&socket, &at)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shut_port_is_no_door_and_a_rule_may_take_the_proxys_port() {
        let wanted = |ports: &[u16]| Wanted::of(&Gate { ports: ports.to_vec(), authority: String::new() });
        assert_eq!((wanted(&[443]).shut, wanted(&[443]).proxy), (9, Some(PROXY_PORT)));
        assert_eq!((wanted(&[9, 10, PROXY_PORT]).shut, wanted(&[9, 10, PROXY_PORT]).proxy), (11, None));
    }

    #[test]
    fn every_door_has_a_number_of_its_own() {
        for door in ALL {
            assert_eq!(Door::from_number(door as u32), Some(door));
        }
        assert_eq!(Door::from_number(0), None);
    }
}
