//! What an IP address is. Only [`AddressKind::Global`] may be called without an exception.
//!
//! The tables follow IANA's registries of special-purpose addresses for [IPv4] and [IPv6], read strictly: what is reserved
//! without being globally reachable is refused, and of IPv6 only the part that is handed out to the internet (`2000::/3`).
//!
//! [IPv4]: https://www.iana.org/assignments/iana-ipv4-special-registry
//! [IPv6]: https://www.iana.org/assignments/iana-ipv6-special-registry

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressKind {
    /// Reachable over the internet: the only kind that may be called.
    Global,
    /// This machine.
    Loopback,
    /// "This network", of which `0.0.0.0` is taken for this machine by many systems.
    Unspecified,
    /// A private network (RFC 1918).
    Private,
    /// A private network of IPv6 (RFC 4193), or the older site-local one.
    UniqueLocal,
    /// This link, where clouds answer with credentials.
    LinkLocal,
    /// A provider's own network, behind which many customers share an address (RFC 6598).
    CarrierShared,
    /// Networks for measuring devices (RFC 2544).
    Benchmark,
    /// Many receivers.
    Multicast,
    /// All of a network.
    Broadcast,
    /// Addresses for examples in texts.
    Documentation,
    /// The metadata service of a cloud, which hands out credentials.
    Metadata,
    /// IPv6 that carries IPv4 in a tunnel (6to4, Teredo, IPv4-compatible): nothing is served there, and it hides where it leads.
    Tunnel,
    /// Reserved, or of a protocol's own.
    Reserved,
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Global => "a global address",
            Self::Loopback => "a loopback address",
            Self::Unspecified => "an unspecified address",
            Self::Private => "a private address",
            Self::UniqueLocal => "a unique local address",
            Self::LinkLocal => "a link-local address",
            Self::CarrierShared => "a shared address of a provider",
            Self::Benchmark => "a benchmarking address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "a broadcast address",
            Self::Documentation => "a documentation address",
            Self::Metadata => "a cloud's metadata address",
            Self::Tunnel => "a tunnelled address",
            Self::Reserved => "a reserved address",
        })
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(segments: [u16; 8], prefix: u8) -> Ipv6Net {
    let s = segments;
    Ipv6Net::new_assert(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]), prefix)
}

/// First match wins, so that the narrow ones stand first.
const V4: &[(Ipv4Net, AddressKind)] = &[
    (v4(169, 254, 169, 254, 32), AddressKind::Metadata), // most clouds
    (v4(169, 254, 170, 2, 32), AddressKind::Metadata),   // AWS, tasks of containers
    (v4(169, 254, 170, 23, 32), AddressKind::Metadata),  // AWS, identities of pods
    (v4(100, 100, 100, 200, 32), AddressKind::Metadata), // Alibaba
    (v4(192, 0, 0, 192, 32), AddressKind::Metadata),     // Oracle
    (v4(168, 63, 129, 16, 32), AddressKind::Metadata),   // Azure, in the middle of a public network
    (v4(0, 0, 0, 0, 8), AddressKind::Unspecified),
    (v4(10, 0, 0, 0, 8), AddressKind::Private),
    (v4(100, 64, 0, 0, 10), AddressKind::CarrierShared),
    (v4(127, 0, 0, 0, 8), AddressKind::Loopback),
    (v4(169, 254, 0, 0, 16), AddressKind::LinkLocal),
    (v4(172, 16, 0, 0, 12), AddressKind::Private),
    (v4(192, 0, 0, 0, 24), AddressKind::Reserved),
    (v4(192, 0, 2, 0, 24), AddressKind::Documentation),
    (v4(192, 88, 99, 0, 24), AddressKind::Tunnel), // relays of 6to4
    (v4(192, 168, 0, 0, 16), AddressKind::Private),
    (v4(198, 18, 0, 0, 15), AddressKind::Benchmark),
    (v4(198, 51, 100, 0, 24), AddressKind::Documentation),
    (v4(203, 0, 113, 0, 24), AddressKind::Documentation),
    (v4(224, 0, 0, 0, 4), AddressKind::Multicast),
    (v4(255, 255, 255, 255, 32), AddressKind::Broadcast),
    (v4(240, 0, 0, 0, 4), AddressKind::Reserved),
];

/// First match wins. What stands in no line is reserved.
const V6: &[(Ipv6Net, AddressKind)] = &[
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), AddressKind::Unspecified),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), AddressKind::Loopback),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), AddressKind::Tunnel), // IPv4-compatible
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128), AddressKind::Metadata), // AWS
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128), AddressKind::Metadata), // AWS, identities of pods
    (v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128), AddressKind::Metadata), // Google
    (v6([0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128), AddressKind::Metadata), // OpenStack
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), AddressKind::UniqueLocal),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), AddressKind::UniqueLocal),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), AddressKind::LinkLocal),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), AddressKind::Multicast),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), AddressKind::Tunnel), // Teredo
    (v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), AddressKind::Benchmark),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), AddressKind::Reserved), // of protocols
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), AddressKind::Documentation),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), AddressKind::Tunnel), // 6to4
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), AddressKind::Documentation),
    (v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3), AddressKind::Global),
];

/// The well-known prefix under which a network without IPv4 reaches it (RFC 6052): such an address is its IPv4 address.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

/// The IPv4 address that this one leads to: itself, or what an IPv4-mapped or NAT64 address holds. A packet to one of those
/// goes to the IPv4 address, so it is that one which must be judged.
fn embedded_v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(address) if NAT64.contains(&address) => {
            let [.., a, b, c, d] = address.octets();
            Some(Ipv4Addr::new(a, b, c, d))
        }
        IpAddr::V6(address) => address.to_ipv4_mapped(),
    }
}

/// What an address is for.
pub fn kind_of(address: IpAddr) -> AddressKind {
    match (embedded_v4(address), address) {
        (Some(address), _) | (None, IpAddr::V4(address)) => {
            first(V4, |net| net.contains(&address)).unwrap_or(AddressKind::Global)
        }
        (None, IpAddr::V6(address)) => {
            first(V6, |net| net.contains(&address)).unwrap_or(AddressKind::Reserved)
        }
    }
}

fn first<N>(table: &[(N, AddressKind)], contains: impl Fn(&N) -> bool) -> Option<AddressKind> {
    table.iter().find(|(net, _)| contains(net)).map(|(_, kind)| *kind)
}

/// An address in its one spelling: as IPv4 where it leads to IPv4.
pub(crate) fn canonical(address: IpAddr) -> IpAddr {
    embedded_v4(address).map_or(address, IpAddr::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> AddressKind {
        kind_of(text.parse().unwrap_or_else(|_| panic!("{text} is an address")))
    }

    #[test]
    fn each_special_network_begins_and_ends_where_the_registry_says() {
        use AddressKind::*;
        for (first, last, expected) in [
            ("0.0.0.0", "0.255.255.255", Unspecified),
            ("10.0.0.0", "10.255.255.255", Private),
            ("100.64.0.0", "100.127.255.255", CarrierShared),
            ("127.0.0.0", "127.255.255.255", Loopback),
            ("169.254.0.0", "169.254.255.255", LinkLocal),
            ("172.16.0.0", "172.31.255.255", Private),
            ("192.0.0.0", "192.0.0.255", Reserved),
            ("192.0.2.0", "192.0.2.255", Documentation),
            ("192.88.99.0", "192.88.99.255", Tunnel),
            ("192.168.0.0", "192.168.255.255", Private),
            ("198.18.0.0", "198.19.255.255", Benchmark),
            ("198.51.100.0", "198.51.100.255", Documentation),
            ("203.0.113.0", "203.0.113.255", Documentation),
            ("224.0.0.0", "239.255.255.255", Multicast),
            ("240.0.0.0", "255.255.255.254", Reserved),
            ("255.255.255.255", "255.255.255.255", Broadcast),
            ("::", "::", Unspecified),
            ("::1", "::1", Loopback),
            ("::2", "::ffff:ffff", Tunnel),
            ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", Reserved),
            ("100::", "100::ffff:ffff:ffff:ffff", Reserved),
            ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", Tunnel),
            ("2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", Benchmark),
            ("2001:10::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", Reserved),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", Documentation),
            ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Tunnel),
            ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", Documentation),
            ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Reserved),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", UniqueLocal),
            ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", LinkLocal),
            ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", UniqueLocal),
            ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Multicast),
        ] {
            assert_eq!(kind(first), expected, "{first}");
            assert_eq!(kind(last), expected, "{last}");
        }
    }

    #[test]
    fn neighbours_of_special_networks_are_global() {
        for address in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "8.8.8.8",
            "168.63.129.15",
            "2000::",
            "2001:200::",
            "2001:db7::1",
            "2001:db9::1",
            "2003::1",
            "2606:4700::1111",
            "3ffe::1",
            "3fff:1000::",
        ] {
            assert_eq!(kind(address), AddressKind::Global, "{address}");
        }
    }

    #[test]
    fn metadata_is_known_wherever_a_cloud_keeps_it() {
        for address in [
            "169.254.169.254",
            "169.254.170.2",
            "169.254.170.23",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fe80::a9fe:a9fe",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
        ] {
            assert_eq!(kind(address), AddressKind::Metadata, "{address}");
        }
    }

    #[test]
    fn an_ipv4_address_in_ipv6_is_judged_as_what_it_leads_to() {
        assert_eq!(kind("::ffff:127.0.0.1"), AddressKind::Loopback);
        assert_eq!(kind("::ffff:8.8.8.8"), AddressKind::Global);
        assert_eq!(kind("64:ff9b::10.0.0.5"), AddressKind::Private);
        assert_eq!(kind("64:ff9b::8.8.8.8"), AddressKind::Global, "how a network without IPv4 reaches it");
        assert_eq!(kind("::127.0.0.1"), AddressKind::Tunnel, "IPv4-compatible");
        assert_eq!(kind("2002:7f00:1::"), AddressKind::Tunnel, "6to4 to 127.0.0.1");
        assert_eq!(kind("2002:808:808::"), AddressKind::Tunnel, "6to4 to anybody");
        assert_eq!(kind("2001:0:7f00:1:0:0:80ff:fffe"), AddressKind::Tunnel, "Teredo");
    }
}
