//! What an address is for. Only public ones are dialled for a name that was not granted as private.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Anybody's, on the internet.
    Public,
    /// Of this machine.
    Loopback,
    /// Of one organisation: RFC 1918, unique local, site local.
    Private,
    /// Of one link.
    LinkLocal,
    /// Between a provider and its customers (100.64.0.0/10).
    Shared,
    /// Where a cloud gives machines their credentials.
    Metadata,
    /// For groups, or everybody on a link.
    Multicast,
    /// Nobody's: `0.0.0.0/8` and `::`.
    Unspecified,
    /// For examples and measurements.
    Documentation,
    /// For uses to come, or to be thrown away.
    Reserved,
    /// An IPv4 address in IPv6 clothes, which the system or a tunnel would take off.
    Embedding,
}

impl Class {
    /// Whether a rule with `private: true` reaches it: what exists and is one machine's.
    pub fn can_be_granted(self) -> bool {
        matches!(self, Self::Public | Self::Loopback | Self::Private | Self::LinkLocal | Self::Shared | Self::Metadata)
    }

    /// What it is, in words that fit behind "is".
    pub fn words(self) -> &'static str {
        match self {
            Self::Public => "a public address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::Shared => "an address of a provider's inner network",
            Self::Metadata => "a cloud's metadata address",
            Self::Multicast => "a multicast or broadcast address",
            Self::Unspecified => "no address of a host",
            Self::Documentation => "an address for examples and measurements",
            Self::Reserved => "a reserved address",
            Self::Embedding => "an IPv4 address within an IPv6 one",
        }
    }
}

/// What an address is for. What is not known to be public is not public.
pub fn class_of(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(v4) => class_of_v4(v4),
        IpAddr::V6(v6) => class_of_v6(v6),
    }
}

/// Metadata services that no range gives away: of Amazon and most others, Alibaba, Azure.
const METADATA_V4: [Ipv4Addr; 4] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
];
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

fn class_of_v4(address: Ipv4Addr) -> Class {
    if METADATA_V4.contains(&address) {
        return Class::Metadata;
    }
    match address.octets() {
        [0, ..] => Class::Unspecified,
        [127, ..] => Class::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Class::Private,
        [100, 64..=127, ..] => Class::Shared,
        [169, 254, ..] => Class::LinkLocal,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [198, 18..=19, ..] => Class::Documentation,
        // Protocol assignments, 6to4 relays, AS112, AMT: nothing that a name should lead to.
        [192, 0, 0, _] | [192, 88, 99, _] | [192, 31, 196, _] | [192, 52, 193, _] | [192, 175, 48, _] => {
            Class::Reserved
        }
        [224..=239, ..] | [255, 255, 255, 255] => Class::Multicast,
        [240..=255, ..] => Class::Reserved,
        _ => Class::Public,
    }
}

fn class_of_v6(address: Ipv6Addr) -> Class {
    if METADATA_V6.contains(&address) {
        return Class::Metadata;
    }
    let parts = address.segments();
    let inner = || Ipv4Addr::from(((u32::from(parts[6])) << 16) | u32::from(parts[7]));
    match parts {
        [0, 0, 0, 0, 0, 0, 0, 0] => Class::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Class::Loopback,
        // Compatible, mapped, translated.
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => Class::Embedding,
        // The well-known prefix of translators (NAT64): where a network has IPv6 alone every name leads there, and the
        // translator goes to the address within. So that one decides.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => match class_of_v4(inner()) {
            Class::Public => Class::Public,
            _ => Class::Embedding,
        },
        // Local translators, Teredo, 6to4: tunnels to wherever the address within says.
        [0x64, 0xff9b, ..] | [0x2001, 0, ..] | [0x2002, ..] => Class::Embedding,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] | [0x2001, 2, 0, ..] => Class::Documentation,
        [0x2001, 0..=0x1ff, ..] => Class::Reserved,
        // An interface identifier that was made of an IPv4 address (ISATAP) leads into a tunnel as well.
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => Class::Embedding,
        [0xff00..=0xffff, ..] => Class::Multicast,
        [0xfe80..=0xfebf, ..] => Class::LinkLocal,
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Class::Private,
        [0x2000..=0x3fff, ..] => Class::Public,
        _ => Class::Reserved,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn class(text: &str) -> Class {
        class_of(text.parse().unwrap())
    }

    #[test]
    fn each_kind_is_told() {
        let table = [
            (
                Class::Public,
                "1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.0 172.15.0.1 172.32.0.1 169.253.0.1 223.255.255.255 2606:4700::1111 2a00:1450::1",
            ),
            (Class::Loopback, "127.0.0.1 127.255.255.254 ::1"),
            (Class::Private, "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 fc00::1 fd12:3456::1 fec0::1"),
            (Class::LinkLocal, "169.254.0.1 fe80::1 febf::1"),
            (Class::Shared, "100.64.0.1 100.127.255.255"),
            (Class::Metadata, "169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 fd00:ec2::254"),
            (Class::Multicast, "224.0.0.1 239.255.255.255 255.255.255.255 ff02::1"),
            (Class::Unspecified, "0.0.0.0 0.1.2.3 ::"),
            (Class::Documentation, "192.0.2.1 198.51.100.1 203.0.113.1 198.18.0.1 198.19.255.255 2001:db8::1 3fff::1"),
            (Class::Reserved, "192.0.0.8 192.88.99.1 240.0.0.1 255.255.255.254 2001:20::1 4000::1 100::1 5f00::1"),
            (
                Class::Embedding,
                "::ffff:127.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 ::ffff:0:10.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe",
            ),
            (
                Class::Embedding,
                "64:ff9b:1::1 2002:7f00:1::1 2002:808:808::1 2001:0:4136:e378::1 2a00::5efe:7f00:1 2a00::200:5efe:a00:1",
            ),
            (Class::Public, "64:ff9b::808:808"),
        ];
        for (expected, addresses) in table {
            for text in addresses.split(' ') {
                assert_eq!(class(text), expected, "{text}");
            }
        }
    }

    proptest! {
        /// An IPv4 address that is not public does not become so by any of the ways to write it as IPv6.
        #[test]
        fn clothes_change_nothing(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            let [a, b] = [(bits >> 16) as u16, bits as u16];
            let dressed = [
                v4.to_ipv6_mapped(), v4.to_ipv6_compatible(), Ipv6Addr::new(0x2002, a, b, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b), Ipv6Addr::new(0x2001, 0, 1, 2, 3, 4, !a, !b),
            ];
            for v6 in dressed {
                prop_assert!(class_of_v4(v4) == Class::Public || class_of(IpAddr::V6(v6)) != Class::Public, "{v6}");
            }
        }

        /// What std calls loopback, private and so on never counts as public.
        #[test]
        fn std_agrees(bits: u32, wide: u128) {
            let v4 = Ipv4Addr::from(bits);
            if v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified() {
                prop_assert_ne!(class_of_v4(v4), Class::Public);
            }
            let v6 = Ipv6Addr::from(wide);
            if v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified() {
                prop_assert_ne!(class_of_v6(v6), Class::Public);
            }
        }
    }
}
