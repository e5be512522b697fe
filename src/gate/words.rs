//! What goes to a gateway with its descriptors: a byte each, after one message of JSON behind its length. On the way back there are
//! lines of JSON ([`crate::egress::Said`]).

/// The byte that comes with a socket, or another descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Door {
    Tcp = 1,
    Proxy,
    NamesUdp,
    NamesTcp,
    Strays,
    /// Two pipes that carry what comes at all of the others.
    CarriedFrom,
    CarriedTo,
}

/// The byte after the last one.
pub(super) const ALL: u8 = 0;

impl Door {
    pub(super) fn from_number(number: u8) -> Option<Door> {
        use Door::{CarriedFrom, CarriedTo, NamesTcp, NamesUdp, Proxy, Strays, Tcp};
        let all = [Tcp, Proxy, NamesUdp, NamesTcp, Strays, CarriedFrom, CarriedTo];
        all.into_iter().find(|door| *door as u8 == number)
    }
}
