//! Networks, as rules count them: by what a customer of an internet provider has at least, and by the
//! wider prefixes that one customer may have.
//!
//! A caller's network is its IPv4 address, or the /64 of its IPv6 address. One customer may hold a
//! whole /56, /48 or /24, so these count as well, with a weaker share than their size: a rule that
//! allows a network something once allows it to a /56 twice, and to a /48 or /24 eight times. Thus
//! one customer is never worth the ten networks that a new device withstands (OA-1), and neighbours
//! in one prefix hardly meet.

pub mod shares;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The prefixes of an IPv4 address, the narrowest first: bits, and how many networks one is worth.
const IPV4: [(u8, u32); 2] = [(32, 1), (24, 8)];

/// The prefixes of an IPv6 address, likewise.
const IPV6: [(u8, u32); 3] = [(64, 1), (56, 2), (48, 8)];

/// The network of a caller: an IPv4 address, or the /64 of an IPv6 address. `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(IpAddr);

/// A prefix that contains a network, the network itself included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// The address with all bits after the prefix cleared.
    base: IpAddr,
    bits: u8,
    /// How many networks this prefix is worth in a budget.
    pub weight: u32,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network(…)")
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefix(…/{})", self.bits)
    }
}

/// Writes an IPv4 address as it is, and a /64 with its length.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(address) => write!(f, "{address}/64"),
        }
    }
}

impl Network {
    /// Returns the network of an address. An IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) is the IPv4
    /// address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(_) => cleared_after(address, 64),
        })
    }

    /// Returns the IPv4 address, or the first address of the /64.
    #[must_use]
    pub const fn address(self) -> IpAddr {
        self.0
    }

    /// Returns the network and the wider prefixes around it, the narrowest first.
    pub fn prefixes(self) -> impl DoubleEndedIterator<Item = Prefix> + Clone {
        let sizes: &'static [(u8, u32)] = match self.0 {
            IpAddr::V4(_) => &IPV4,
            IpAddr::V6(_) => &IPV6,
        };
        sizes.iter().map(move |&(bits, weight)| Prefix {
            base: cleared_after(self.0, bits),
            bits,
            weight,
        })
    }
}

impl Prefix {
    /// Returns bytes that are different for any two prefixes, as the input of a hash.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = match self.base {
            IpAddr::V4(base) => base.octets().to_vec(),
            IpAddr::V6(base) => base.octets().to_vec(),
        };
        bytes.push(self.bits);
        bytes
    }
}

/// Returns the address with all bits after the first `bits` cleared.
fn cleared_after(address: IpAddr, bits: u8) -> IpAddr {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits));
            Ipv4Addr::from_bits(address.to_bits() & mask.unwrap_or(0)).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits));
            Ipv6Addr::from_bits(address.to_bits() & mask.unwrap_or(0)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        Network::of(text.parse().expect("an address"))
    }

    fn prefixes(text: &str) -> Vec<(String, u32)> {
        network(text)
            .prefixes()
            .map(|prefix| (format!("{}/{}", prefix.base, prefix.bits), prefix.weight))
            .collect()
    }

    #[test]
    fn px_01_a_network_is_an_ipv4_address_or_a_64() {
        assert_eq!(
            network("2001:db8:1:2:3:4:5:6").to_string(),
            "2001:db8:1:2::/64"
        );
        assert_eq!(network("192.0.2.1").to_string(), "192.0.2.1");
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:2"));
        assert_eq!(format!("{:?}", network("192.0.2.1")), "Network(…)");
    }

    #[test]
    fn wider_prefixes_are_worth_less_than_their_size() {
        assert_eq!(
            prefixes("192.0.2.129"),
            [
                ("192.0.2.129/32".to_owned(), 1),
                ("192.0.2.0/24".to_owned(), 8)
            ]
        );
        assert_eq!(
            prefixes("2001:db8:1:1234::9"),
            [
                ("2001:db8:1:1234::/64".to_owned(), 1),
                ("2001:db8:1:1200::/56".to_owned(), 2),
                ("2001:db8:1::/48".to_owned(), 8)
            ]
        );
    }

    #[test]
    fn bytes_tell_prefixes_of_one_base_apart() {
        let all: std::collections::BTreeSet<Vec<u8>> = ["2001:db8:1::", "192.0.2.0", "192.0.2.1"]
            .iter()
            .flat_map(|text| network(text).prefixes())
            .map(Prefix::to_bytes)
            .collect();
        assert_eq!(all.len(), 6, "the /24 is shared");
    }
}
