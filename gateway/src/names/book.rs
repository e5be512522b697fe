//! Addresses of the gateway's own, one for each name that was granted. They lead nowhere outside of the sandbox.

use crate::name::HostName;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// For measurements between networks (RFC 2544): no host on the internet has one.
const V4: u32 = u32::from_be_bytes([198, 18, 0, 0]);
/// Unique local, with a made-up global ID.
const V6: u128 = u128::from_be_bytes([0xfd, 0x61, 0x69, 0x64, 0x6f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
/// How many names one run may come to use. 131 072 would fit.
pub(crate) const MOST: usize = 16 * 1024;

/// Which name has which address. An address never gets another name: clients keep what they were told.
#[derive(Debug, Default)]
pub(crate) struct Book {
    by_name: HashMap<HostName, u32>,
    names: Vec<HostName>,
}

impl Book {
    /// The name's addresses, allotted now if it has none. None: there is no room left.
    pub(crate) fn allot(&mut self, name: &HostName) -> Option<(Ipv4Addr, Ipv6Addr)> {
        let number = match self.by_name.get(name) {
            Some(number) => *number,
            None if self.names.len() >= MOST => return None,
            None => {
                self.names.push(name.clone());
                let number = self.names.len() as u32;
                self.by_name.insert(name.clone(), number);
                number
            }
        };
        Some((Ipv4Addr::from(V4 + number), Ipv6Addr::from(V6 + u128::from(number))))
    }

    /// The name that has this address.
    pub(crate) fn name_of(&self, address: IpAddr) -> Option<&HostName> {
        let number = match address.to_canonical() {
            IpAddr::V4(v4) => u128::from(u32::from(v4).checked_sub(V4)?),
            IpAddr::V6(v6) => u128::from(v6).checked_sub(V6)?,
        };
        self.names.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HostName {
        HostName::written(text).unwrap()
    }

    #[test]
    fn an_address_leads_back_to_its_name_and_to_no_other() {
        let mut book = Book::default();
        let (a4, a6) = book.allot(&name("a.example")).unwrap();
        let (b4, b6) = book.allot(&name("b.example")).unwrap();
        assert_eq!(book.allot(&name("A.example.")).unwrap(), (a4, a6));
        assert!(a4 != b4 && a6 != b6);
        for address in [IpAddr::V4(b4), IpAddr::V6(b6), IpAddr::V6(b4.to_ipv6_mapped())] {
            assert_eq!(book.name_of(address), Some(&name("b.example")));
        }
        for text in [
            "198.18.0.0",
            "198.18.0.3",
            "198.17.255.255",
            "0.0.0.0",
            "255.255.255.255",
            "::",
            "fd61:6964:6f00::",
            "fd61:6964:6f00::3",
            "ffff::",
            "fd61:6964:6f00:1::1",
        ] {
            assert_eq!(book.name_of(text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn there_is_an_end_to_names() {
        let mut book = Book::default();
        for n in 0..MOST {
            assert!(book.allot(&name(&format!("n{n}.example"))).is_some());
        }
        assert_eq!(book.allot(&name("one-more.example")), None);
        let (last, _) = book.allot(&name(&format!("n{}.example", MOST - 1))).unwrap();
        assert!(last.octets()[..2] == [198, 18], "{last} is within the range");
        assert!(book.allot(&name("n0.example")).is_some());
    }
}
