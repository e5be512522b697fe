//! Datagrams that lead nowhere. Every address is the sandbox's own and nobody listens there, so its kernel answers each with
//! an error of ICMP, which has the beginning of the datagram in it. Raw sockets of that namespace hear these errors; a
//! task, which has no capability, can make none itself.

use crate::decision::{Decision, Recorder, What};
use crate::gate::shown;
use crate::names::Names;
use crate::policy::{Destination, Reason, Refusal};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::sleep;

/// Destinations that are told one by one.
const MOST: usize = 256;
/// Both headers of an error, with all options, and the beginning of what it is about.
const LONGEST: usize = 256;
const UDP: u8 = 17;

/// What was heard of, for one run.
pub(crate) struct Strays {
    names: Arc<Names>,
    recorder: Arc<Recorder>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// How many came since their destination was told.
    more: HashMap<SocketAddr, u64>,
    /// How many went to other destinations.
    others: u64,
}

impl Strays {
    pub(crate) fn new(names: Arc<Names>, recorder: Arc<Recorder>) -> Self {
        Self { names, recorder, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more datagram. The first to a destination is told at once.
    fn heard(&self, to: SocketAddr) {
        // What a task sends to itself is no attempt to get out.
        if to.ip().is_loopback() {
            return;
        }
        let mut known = self.known();
        let Known { more, others } = &mut *known;
        let room = more.len() < MOST;
        match more.entry(to) {
            Entry::Occupied(mut known) => *known.get_mut() += 1,
            Entry::Vacant(first) if room => {
                first.insert(0);
                drop(known);
                // Nothing follows from it: the datagram is gone.
                let _ = self.recorder.decided(self.told(to, 1));
            }
            Entry::Vacant(_) => *others += 1,
        }
    }

    fn told(&self, to: SocketAddr, count: u64) -> What {
        let port = to.port();
        let to = self.names.name_of(to.ip()).map_or(Destination::Address(to.ip()), Destination::Name);
        let what = format!("datagrams to {}", shown(&to, port));
        let decision = Decision::from(&Refusal { what, rule: None, reason: Reason::Datagram, allow: None });
        What::Datagrams { to, port, count, decision }
    }
}

impl Drop for Strays {
    fn drop(&mut self) {
        let Known { more, others } = std::mem::take(&mut *self.known());
        for (to, count) in more.into_iter().filter(|(_, count)| *count > 0) {
            self.recorder.ended(self.told(to, count));
        }
        if others > 0 {
            self.recorder.ended(What::MoreDatagrams { count: others });
        }
    }
}

/// Hears of datagrams until the task is dropped.
pub(crate) async fn hear(socket: UdpSocket, strays: Arc<Strays>) {
    let of = socket.local_addr().map_or(of_4 as fn(&[u8]) -> _, |at| if at.is_ipv6() { of_6 } else { of_4 });
    let mut buffer = [0; LONGEST];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(length) => {
                if let Some(to) = of(&buffer[..length]) {
                    strays.heard(to);
                }
            }
            Err(_) => sleep(Duration::from_millis(1)).await,
        }
    }
}

/// Where the datagram went that this packet tells of, a whole one of IPv4: "port unreachable".
fn of_4(packet: &[u8]) -> Option<SocketAddr> {
    let error = behind_4(packet)?;
    let (3, 3) = (*error.first()?, *error.get(1)?) else { return None };
    let about = error.get(8..)?;
    let (4, UDP) = (about.first()? >> 4, *about.get(9)?) else { return None };
    let to: [u8; 4] = about.get(16..20)?.try_into().ok()?;
    Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(to)), port(behind_4(about)?)?))
}

fn behind_4(packet: &[u8]) -> Option<&[u8]> {
    packet.get(usize::from(packet.first()? & 15) * 4..)
}

/// The same of IPv6, whose own header is not there.
fn of_6(error: &[u8]) -> Option<SocketAddr> {
    let (1, 4) = (*error.first()?, *error.get(1)?) else { return None };
    let about = error.get(8..)?;
    let (6, UDP) = (about.first()? >> 4, *about.get(6)?) else { return None };
    let to: [u8; 16] = about.get(24..40)?.try_into().ok()?;
    Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(to)), port(about.get(40..)?)?))
}

fn port(datagram: &[u8]) -> Option<u16> {
    datagram.get(2..4)?.try_into().ok().map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Memory;
    use crate::names::Families;
    use crate::policy::{Policy, Rules};
    use proptest::prelude::*;

    fn four(kind: u8, code: u8, protocol: u8) -> Vec<u8> {
        let mut about = vec![0; 24];
        (about[0], about[9]) = (0x46, protocol);
        about[16..20].copy_from_slice(&[9, 9, 9, 9]);
        about.extend([0xab, 0xcd, 0x14, 0xe9, 0, 8, 0, 0]);
        let mut packet = vec![0x45; 20];
        packet.extend([kind, code, 0, 0, 0, 0, 0, 0]);
        packet.extend(about);
        packet
    }

    fn six(code: u8) -> Vec<u8> {
        let mut packet = vec![1, code, 0, 0, 0, 0, 0, 0];
        let mut about = vec![0; 40];
        (about[0], about[6], about[24], about[39]) = (0x60, UDP, 0x20, 7);
        packet.extend(about);
        packet.extend([0, 1, 1, 187, 0, 8, 0, 0]);
        packet
    }

    #[test]
    fn an_error_says_where_the_datagram_went() {
        assert_eq!(of_4(&four(3, 3, UDP)), Some("9.9.9.9:5353".parse().unwrap()));
        assert_eq!(of_6(&six(4)), Some("[2000::7]:443".parse().unwrap()));
        for other in [four(3, 1, UDP), four(0, 3, UDP), four(3, 3, 6)] {
            assert_eq!(of_4(&other), None);
        }
        assert_eq!(of_6(&six(1)), None);
    }

    #[test]
    fn each_destination_is_told_once_and_once_more_with_the_rest() {
        let memory = Memory::default();
        let recorder = Arc::new(Recorder::new(Box::new(memory.clone()), 1000));
        let policy = Arc::new(Policy::new(Rules::default()).unwrap());
        let names = Arc::new(Names::new(policy, recorder.clone(), Families { v4: true, v6: true }));
        let strays = Strays::new(names, recorder);
        for n in 0..MOST as u16 + 50 {
            strays.heard(SocketAddr::new([9, 9, 9, 9].into(), n + 1));
        }
        strays.heard("127.0.0.1:9".parse().unwrap());
        strays.heard("9.9.9.9:1".parse().unwrap());
        strays.heard("9.9.9.9:1".parse().unwrap());
        assert_eq!(memory.events().len(), MOST);
        drop(strays);
        let events = memory.events();
        assert_eq!(events.len(), MOST + 2);
        assert!(matches!(events[0].what, What::Datagrams { port: 1, count: 1, ref decision, .. } if !decision.allowed));
        assert!(matches!(events[MOST].what, What::Datagrams { port: 1, count: 2, .. }));
        assert_eq!(events[MOST + 1].what, What::MoreDatagrams { count: 50 });
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = (of_4(&bytes), of_6(&bytes));
        }
    }
}
